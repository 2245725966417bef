//! The directories that are served, and which of them a path means.

use std::{
    io,
    path::{Component, Path, PathBuf},
    sync::Arc,
};

use cap_std::{ambient_authority, fs::Dir};
use waybill_toolkit::ToolError;

use crate::{Hidden, Place, shown};

/// Longest path that is looked at, in bytes (`PATH_MAX` on Linux).
const MAX_PATH_BYTES: usize = 4096;
const MAX_NAME_CHARS: usize = 64;

/// A directory that tools may look into, and the name that callers know it by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Root {
    pub name: String,
    /// Opened once; relative paths count from the process's working directory.
    pub path: PathBuf,
}

impl Root {
    pub fn new(name: impl Into<String>, path: impl Into<PathBuf>) -> Self {
        Self {
            name: name.into(),
            path: path.into(),
        }
    }
}

/// Why a set of roots cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("no root was given: at least one directory is needed")]
    NoRoots,
    #[error("{0:?} cannot name a root: use 1 to 64 characters, no slash, no control character")]
    Name(String),
    #[error("two roots are named {0}: each needs its own name")]
    Duplicate(String),
    #[error("root {name} cannot be opened as a directory at {}", path.display())]
    Open {
        name: String,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{} cannot be hidden", path.display())]
    Hide {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

/// One root, open.
#[derive(Debug)]
pub struct OpenRoot {
    pub name: String,
    /// With its symlinks resolved.
    pub path: PathBuf,
    /// As it was configured, made absolute.
    configured: PathBuf,
    /// The only way to its files.
    pub dir: Dir,
    pub hidden: Arc<Hidden>,
}

impl OpenRoot {
    fn open(root: &Root, hidden: &Arc<Hidden>) -> Result<Self, Error> {
        let failed = |source: io::Error| Error::Open {
            name: root.name.clone(),
            path: root.path.clone(),
            source,
        };
        let configured = std::path::absolute(&root.path).map_err(failed)?;
        let path = configured.canonicalize().map_err(failed)?;
        let dir = Dir::open_ambient_dir(&path, ambient_authority()).map_err(failed)?;
        Ok(Self {
            name: root.name.clone(),
            path,
            configured: normal(&configured),
            dir,
            hidden: Arc::clone(hidden),
        })
    }

    /// Whether the path, or what it resolves to, is hidden or lies in what is.
    pub(crate) fn hides(&self, path: &Path) -> bool {
        let hidden = self.hidden.now();
        if hidden.is_empty() {
            return false;
        }
        let resolved = self.dir.canonicalize(path).unwrap_or_default();
        let below = |part: &&Path| !part.as_os_str().is_empty();
        let mut parts = path.ancestors().chain(resolved.ancestors()).filter(below);
        parts.any(|part| {
            let found = self.dir.metadata(part);
            found.is_ok_and(|found| hidden.hold(&found))
        })
    }

    /// The part of an absolute path below this root.
    pub(crate) fn relative(&self, absolute: &Path) -> Option<PathBuf> {
        let absolute = normal(absolute);
        [&self.path, &self.configured]
            .into_iter()
            .find_map(|root| absolute.strip_prefix(root).ok())
            .map(Path::to_owned)
    }
}

/// All roots; the first is the default.
#[derive(Debug)]
pub struct Roots(Vec<Arc<OpenRoot>>);

impl Roots {
    /// Opens every root now and keeps it open: a directory that is renamed later is still served,
    /// one put in its place is not.
    ///
    /// `hidden` must exist. What it names is not served, wherever in a root it lies and by whatever
    /// link it is reached.
    pub fn open(roots: &[Root], hidden: &[PathBuf]) -> Result<Self, Error> {
        let hidden = Hidden::new(hidden).map_err(|(path, source)| Error::Hide { path, source })?;
        let hidden = Arc::new(hidden);
        if roots.is_empty() {
            return Err(Error::NoRoots);
        }
        let mut open: Vec<Arc<OpenRoot>> = Vec::with_capacity(roots.len());
        for root in roots {
            let fits = (1..=MAX_NAME_CHARS).contains(&root.name.chars().count());
            if !fits || root.name.contains(|c: char| c == '/' || c.is_control()) {
                return Err(Error::Name(root.name.clone()));
            }
            if open.iter().any(|other| other.name == root.name) {
                return Err(Error::Duplicate(root.name.clone()));
            }
            open.push(Arc::new(OpenRoot::open(root, &hidden)?));
        }
        Ok(Self(open))
    }

    pub fn iter(&self) -> impl Iterator<Item = &OpenRoot> {
        self.0.iter().map(AsRef::as_ref)
    }

    /// Where `path` points to, by its words alone: nothing is opened yet. An absolute path picks
    /// its root by itself.
    pub fn place(&self, root: Option<&str>, path: &str) -> Result<Place, ToolError> {
        if path.len() > MAX_PATH_BYTES || path.contains('\0') {
            return Err(ToolError::Invalid(format!(
                "path: no file can have this name (at most {MAX_PATH_BYTES} bytes, no NUL)"
            )));
        }
        let named = root.map(|name| self.named(name)).transpose()?;
        if Path::new(path).is_absolute() {
            return self.absolute(named, Path::new(path));
        }
        let root = named.unwrap_or(&self.0[0]);
        let relative = inside(Path::new(path)).ok_or_else(|| {
            ToolError::Invalid(format!(
                "{path:?} leads outside root {}: only files inside the roots can be read ({})",
                root.name,
                self.described(),
            ))
        })?;
        Ok(Place::new(root.clone(), relative))
    }

    fn named(&self, name: &str) -> Result<&Arc<OpenRoot>, ToolError> {
        self.0.iter().find(|root| root.name == name).ok_or_else(|| {
            ToolError::Invalid(format!(
                "there is no root {name:?}; there are: {}",
                self.described()
            ))
        })
    }

    fn absolute(&self, named: Option<&Arc<OpenRoot>>, path: &Path) -> Result<Place, ToolError> {
        let candidates = named.map_or(self.0.as_slice(), std::slice::from_ref);
        let shortest = candidates
            .iter()
            .filter_map(|root| Some((root, root.relative(path)?)))
            .min_by_key(|(_, relative)| relative.components().count());
        match shortest {
            Some((root, relative)) => Ok(Place::new(root.clone(), relative)),
            None => Err(ToolError::Invalid(format!(
                "{:?} is outside {}; give a path relative to a root ({})",
                shown(path),
                named.map_or_else(
                    || "every root".to_owned(),
                    |root| format!("root {}", root.name)
                ),
                self.described(),
            ))),
        }
    }

    fn described(&self) -> String {
        let roots = self
            .0
            .iter()
            .map(|root| format!("{} = {}", root.name, root.path.display()));
        roots.collect::<Vec<_>>().join(", ")
    }
}

/// An absolute path without `.` and `..`.
fn normal(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                normal.pop();
            }
            part => normal.push(part),
        }
    }
    normal
}

/// A relative path without `.` and `..`; `None` when it climbs above where it starts.
fn inside(path: &Path) -> Option<PathBuf> {
    let mut inside = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir if inside.pop() => {}
            Component::Normal(part) => inside.push(part),
            _ => return None,
        }
    }
    Some(inside)
}
