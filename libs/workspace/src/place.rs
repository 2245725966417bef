//! A path inside a root, and the only ways to open it.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use cap_fs_ext::{FollowSymlinks, OpenOptionsFollowExt, OpenOptionsSyncExt};
use cap_std::fs::{Dir, File, Metadata, OpenOptions};

use crate::{Kind, OpenRoot, Refusal, Refused, refusal::escapes, shown};

/// Absolute symlinks that are followed on the way to one file, like `SYMLOOP_MAX`.
const MAX_ABSOLUTE_LINKS: usize = 8;

/// A root and a normalised path below it. Every access goes through the root's directory handle,
/// which never resolves to anything outside it, whatever changes meanwhile.
#[derive(Clone, Debug)]
pub struct Place {
    pub root: Arc<OpenRoot>,
    /// Empty for the root itself.
    pub path: PathBuf,
}

impl Place {
    pub fn new(root: Arc<OpenRoot>, path: PathBuf) -> Self {
        Self { root, path }
    }

    pub fn shown(&self) -> String {
        shown(&self.path)
    }

    pub fn open_dir(&self) -> Result<Dir, Refused> {
        self.reach(|root, path| {
            let dir = root.open_dir(path)?;
            // On some systems the handle is made without a look at the type.
            if dir.dir_metadata()?.is_dir() {
                Ok(dir)
            } else {
                Err(io::ErrorKind::NotADirectory.into())
            }
        })
    }

    /// Opens a regular file for reading; anything else is refused, and nothing blocks: a fifo
    /// without a writer, a device.
    pub fn open_file(&self) -> Result<(File, Metadata), Refused> {
        // A look before the open spares devices that act on being opened; the handle decides.
        let kind = Kind::from(self.metadata()?.file_type());
        if kind != Kind::File {
            return Err(self.refused(Refusal::Kind(kind)));
        }
        let (file, metadata) = self.reach(|root, path| {
            let file = root.open_with(path, &reading(FollowSymlinks::Yes))?;
            let metadata = file.metadata()?;
            Ok((file, metadata))
        })?;
        match Kind::from(metadata.file_type()) {
            // The path may have come to mean another file since it was looked at.
            Kind::File if self.root.hidden.now().hold(&metadata) => {
                Err(self.refused(Refusal::Hidden))
            }
            Kind::File => Ok((file, metadata)),
            kind => Err(self.refused(Refusal::Kind(kind))),
        }
    }

    /// Opens a regular file that a walk has found, with less ado than what a caller names: no part
    /// of the path is a symlink, and none is hidden.
    pub fn open_found(&self) -> Result<(File, Metadata), Refused> {
        let refused = |error: io::Error| self.refused(error.into());
        let file = self
            .root
            .dir
            .open_with(&self.path, &reading(FollowSymlinks::No));
        let file = file.map_err(refused)?;
        let metadata = file.metadata().map_err(refused)?;
        match Kind::from(metadata.file_type()) {
            Kind::File if self.root.hidden.now().hold(&metadata) => {
                Err(self.refused(Refusal::Hidden))
            }
            Kind::File => Ok((file, metadata)),
            kind => Err(self.refused(Refusal::Kind(kind))),
        }
    }

    /// Of what the path leads to, through symlinks.
    pub fn metadata(&self) -> Result<Metadata, Refused> {
        self.reach(|root, path| root.metadata(path))
    }

    /// Of the path itself, if it is a symlink.
    pub fn symlink_metadata(&self) -> Result<Metadata, Refused> {
        self.reach(|root, path| root.symlink_metadata(path))
    }

    pub fn link_target(&self) -> Result<PathBuf, Refused> {
        self.reach(|root, path| root.read_link_contents(path))
    }

    /// Does `open` below the root's handle. The handle refuses every absolute symlink; one that
    /// points back into the root is translated, and then opened below the handle as well.
    fn reach<T>(&self, open: impl Fn(&Dir, &Path) -> io::Result<T>) -> Result<T, Refused> {
        let mut path = self.path.clone();
        for _ in 0..MAX_ABSOLUTE_LINKS {
            if self.root.hides(here(&path)) {
                return Err(self.refused(Refusal::Hidden));
            }
            match open(&self.root.dir, here(&path)) {
                Ok(opened) => return Ok(opened),
                Err(error) => match self.without_absolute_link(&path) {
                    Some(next) if escapes(&error) => path = next,
                    _ => return Err(self.refused(error.into())),
                },
            }
        }
        Err(self.refused(io::Error::other("too many symbolic links").into()))
    }

    /// `path` with its first absolute symlink into this root replaced by what it points to.
    fn without_absolute_link(&self, path: &Path) -> Option<PathBuf> {
        let mut walked = PathBuf::new();
        let mut parts = path.components();
        while let Some(part) = parts.next() {
            walked.push(part);
            let Ok(target) = self.root.dir.read_link_contents(&walked) else {
                continue;
            };
            if target.is_absolute() {
                return Some(self.root.relative(&target)?.join(parts.as_path()));
            }
        }
        None
    }

    /// The same failure, with where it was met.
    pub fn refused(&self, why: Refusal) -> Refused {
        Refused {
            place: self.clone(),
            why,
        }
    }
}

/// The root itself has an empty path; the system calls it `.`.
pub fn here(path: &Path) -> &Path {
    if path.as_os_str().is_empty() {
        Path::new(".")
    } else {
        path
    }
}

/// Opens `name` in `dir` if it is a regular file, and not a symlink to one.
pub(crate) fn open_entry(dir: &Dir, name: &Path) -> io::Result<(File, Metadata)> {
    let file = dir.open_with(name, &reading(FollowSymlinks::No))?;
    let metadata = file.metadata()?;
    if metadata.is_file() {
        Ok((file, metadata))
    } else {
        Err(io::ErrorKind::InvalidInput.into())
    }
}

fn reading(follow: FollowSymlinks) -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).nonblock(true).follow(follow);
    options
}
