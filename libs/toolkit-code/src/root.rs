//! The folders that the tools may see, each behind a capability handle.

use std::{
    io::{self, Read},
    path::{Component, Path, PathBuf},
    sync::Arc,
};

use cap_fs_ext::OpenOptionsSyncExt;
use cap_std::{
    ambient_authority,
    fs::{Dir, OpenOptions},
};
use waybill_toolkit::ToolError;

use crate::{
    hidden::{Hidden, Ids},
    language::supported,
    limits::{BINARY_PROBE_BYTES, LINE_BYTES, PARSE_TIME, PATH_BYTES},
};

/// A folder and the name that callers know it by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Root {
    pub name: String,
    pub path: PathBuf,
}

/// The configured roots are unusable.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the code toolkit needs at least one root")]
    NoRoot,
    #[error("two roots of the code toolkit are named {0}")]
    DuplicateRoot(String),
    #[error("root {name} of the code toolkit cannot be opened ({})", path.display())]
    Unopened {
        name: String,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

/// The opened roots; the first is the default.
#[derive(Debug)]
pub(crate) struct Roots(Vec<Arc<OpenRoot>>);

#[derive(Debug)]
pub(crate) struct OpenRoot {
    pub(crate) name: String,
    pub(crate) dir: Dir,
    hidden: Arc<Hidden>,
}

/// Why a file gave nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unread {
    #[error("does not exist")]
    Missing,
    #[error("leads outside the root")]
    Outside,
    #[error("is the gateway's own data or configuration: it is not served")]
    Hidden,
    #[error("is a folder")]
    Folder,
    #[error("is not a folder")]
    NoFolder,
    #[error("is not a regular file")]
    Special,
    #[error("is larger than {limit} bytes")]
    Large { limit: u64 },
    #[error("is binary")]
    Binary,
    #[error("is minified or generated: it has a line of more than {LINE_BYTES} bytes")]
    Minified,
    #[error("took more than {} s to parse", PARSE_TIME.as_secs())]
    Slow,
    #[error("is in no supported language; {}", supported())]
    Unsupported,
    #[error("cannot be read: {0}")]
    Io(io::Error),
}

impl From<io::Error> for Unread {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Self::Missing,
            // cap-std's own refusal carries no errno; the system's "permission denied" does.
            io::ErrorKind::PermissionDenied if error.raw_os_error().is_none() => Self::Outside,
            _ => Self::Io(error),
        }
    }
}

impl Roots {
    pub(crate) fn open(roots: &[Root], hidden: &[PathBuf]) -> Result<Self, Error> {
        let hidden = Hidden::new(hidden).map_err(|(path, source)| Error::Unopened {
            name: "hidden".to_owned(),
            path,
            source,
        })?;
        let hidden = Arc::new(hidden);
        let mut opened: Vec<Arc<OpenRoot>> = Vec::with_capacity(roots.len());
        for Root { name, path } in roots {
            if opened.iter().any(|root| root.name == *name) {
                return Err(Error::DuplicateRoot(name.clone()));
            }
            let dir = Dir::open_ambient_dir(path, ambient_authority()).map_err(|source| {
                Error::Unopened {
                    name: name.clone(),
                    path: path.clone(),
                    source,
                }
            })?;
            opened.push(Arc::new(OpenRoot {
                name: name.clone(),
                dir,
                hidden: Arc::clone(&hidden),
            }));
        }
        if opened.is_empty() {
            Err(Error::NoRoot)
        } else {
            Ok(Self(opened))
        }
    }

    /// The named root, or the default one.
    pub(crate) fn find(&self, name: Option<&str>) -> Result<Arc<OpenRoot>, ToolError> {
        let found = match name {
            None => self.0.first(),
            Some(name) => self.0.iter().find(|root| root.name == name),
        };
        found.cloned().ok_or_else(|| {
            let names: Vec<_> = self.0.iter().map(|root| root.name.as_str()).collect();
            let name = name.unwrap_or_default();
            ToolError::Invalid(format!(
                "there is no root {name:?}; roots: {}",
                names.join(", ")
            ))
        })
    }
}

impl OpenRoot {
    /// Whether the path, which a caller named, is a folder.
    pub(crate) fn is_folder(&self, path: &Path) -> Result<bool, Unread> {
        if path.as_os_str().is_empty() {
            return self.check(Path::new(".")).map(|()| true);
        }
        self.check(path)?;
        Ok(self.dir.metadata(path)?.is_dir())
    }

    /// Refuses a path that is hidden or lies in what is, or that resolves to such a one.
    fn check(&self, path: &Path) -> Result<(), Unread> {
        let hidden = self.hidden.now();
        if hidden.is_empty() {
            return Ok(());
        }
        let resolved = self.dir.canonicalize(path).unwrap_or_default();
        let below = |part: &&Path| !part.as_os_str().is_empty();
        let mut parts = path.ancestors().chain(resolved.ancestors()).filter(below);
        let is_hidden = parts.any(|part| {
            let found = self.dir.metadata(part);
            found.is_ok_and(|found| hidden.hold(&found))
        });
        if is_hidden {
            Err(Unread::Hidden)
        } else {
            Ok(())
        }
    }

    /// What one walk leaves out.
    pub(crate) fn hidden(&self) -> Ids {
        self.hidden.now()
    }

    /// A regular file's bytes, at most `limit`. Symbolic links are followed inside the root only.
    pub(crate) fn read(&self, path: &Path, limit: u64) -> Result<Vec<u8>, Unread> {
        read_in(&self.dir, path, limit, &self.hidden.now())
    }
}

pub(crate) fn read_in(dir: &Dir, path: &Path, limit: u64, hidden: &Ids) -> Result<Vec<u8>, Unread> {
    let mut options = OpenOptions::new();
    // Opening a FIFO would wait for a writer.
    options.read(true).nonblock(true);
    let file = dir.open_with(path, &options)?;
    let metadata = file.metadata()?;
    if hidden.hold(&metadata) {
        return Err(Unread::Hidden);
    }
    if metadata.is_dir() {
        return Err(Unread::Folder);
    }
    if !metadata.is_file() {
        return Err(Unread::Special);
    }
    if metadata.len() > limit {
        return Err(Unread::Large { limit });
    }
    let mut bytes = Vec::new();
    file.take(limit + 1).read_to_end(&mut bytes)?;
    // It may have grown since it was measured.
    if bytes.len() as u64 > limit {
        Err(Unread::Large { limit })
    } else {
        Ok(bytes)
    }
}

/// Refuses what no person wrote.
pub(crate) fn check_source(bytes: &[u8]) -> Result<(), Unread> {
    if is_binary(bytes) {
        return Err(Unread::Binary);
    }
    if bytes
        .split(|byte| *byte == b'\n')
        .any(|line| line.len() > LINE_BYTES)
    {
        return Err(Unread::Minified);
    }
    Ok(())
}

pub(crate) fn is_binary(bytes: &[u8]) -> bool {
    bytes[..bytes.len().min(BINARY_PROBE_BYTES)].contains(&0)
}

/// A caller's path as a path relative to the root, without `.` and `..`. Empty is the root itself.
pub(crate) fn relative(path: &str) -> Result<PathBuf, ToolError> {
    let invalid = |why: &str| Err(ToolError::Invalid(format!("path {}: {why}", quoted(path))));
    if path.len() > PATH_BYTES {
        return invalid("is too long");
    }
    if path.contains('\0') {
        return invalid("holds a NUL byte");
    }
    let mut clean = PathBuf::new();
    for component in Path::new(path).components() {
        match component {
            Component::Normal(name) => clean.push(name),
            Component::CurDir => {}
            Component::ParentDir if clean.pop() => {}
            Component::ParentDir => return invalid("leads outside the root"),
            Component::RootDir | Component::Prefix(_) => {
                return invalid("is absolute; paths are relative to the root");
            }
        }
    }
    Ok(clean)
}

/// A caller's text for an error message.
pub(crate) fn quoted(text: &str) -> String {
    const SHOWN: usize = 200;
    let shown: String = text.chars().take(SHOWN).collect();
    format!("{shown:?}")
}

/// How answers write a path: with `/`, lossily where it is not UTF-8.
pub(crate) fn shown(path: &Path) -> String {
    if path.as_os_str().is_empty() {
        return ".".to_owned();
    }
    path.components()
        .map(|part| part.as_os_str().to_string_lossy())
        .collect::<Vec<_>>()
        .join("/")
}
