//! What is not served although it lies in a root: the gateway's own data and configuration.

use std::{io, path::PathBuf};

use cap_fs_ext::MetadataExt;
use cap_std::fs::Metadata;

/// Files and directories, known by device and inode: no link to them leads around it.
#[derive(Debug, Default)]
pub struct Hidden {
    paths: Vec<PathBuf>,
    first: Vec<Id>,
}

/// Device and inode.
type Id = (u64, u64);

/// What is hidden during one operation.
#[derive(Clone, Debug, Default)]
pub struct Ids(Vec<Id>);

impl Hidden {
    /// They must exist.
    pub(crate) fn new(paths: &[PathBuf]) -> Result<Self, (PathBuf, io::Error)> {
        let absolute = |path: &PathBuf| std::path::absolute(path);
        let identify = |path: &PathBuf| Ok((absolute(path)?, id(path)?));
        let known = paths
            .iter()
            .map(|path| identify(path).map_err(|error| (path.clone(), error)));
        let (paths, first) = known.collect::<Result<Vec<_>, _>>()?.into_iter().unzip();
        Ok(Self { paths, first })
    }

    /// An editor that saves a file puts a new one in its place: both are hidden.
    pub fn now(&self) -> Ids {
        let current = self.paths.iter().filter_map(|path| id(path).ok());
        Ids(self.first.iter().copied().chain(current).collect())
    }
}

impl Ids {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn hold(&self, found: &Metadata) -> bool {
        self.0.contains(&(found.dev(), found.ino()))
    }
}

fn id(path: &PathBuf) -> io::Result<Id> {
    let found = std::fs::metadata(path)?;
    Ok((found.dev(), found.ino()))
}
