#![doc = include_str!("../README.md")]

mod entry;
mod globs;
mod hidden;
mod ignores;
mod job;
mod place;
mod refusal;
mod roots;
mod text;
mod tools;
mod walk;

use std::{path::PathBuf, sync::Arc};

use waybill_toolkit::{Tool, Toolkit, typed};

use crate::{hidden::Hidden, roots::Roots};

/// A directory that tools may read, and the name that callers know it by.
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
    #[error("no root was given: the files toolkit serves at least one directory")]
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
        source: std::io::Error,
    },
}

/// The `files` family of tools, over a fixed set of roots.
#[derive(Clone)]
pub struct FilesToolkit {
    roots: Arc<Roots>,
}

impl FilesToolkit {
    /// Opens every root now and keeps it open: a directory that is renamed later is still served,
    /// one put in its place is not. The first root is the default.
    pub fn open(roots: &[Root]) -> Result<Self, Error> {
        Self::open_without(roots, &[])
    }

    /// The same without these files and directories, wherever in a root they lie and by whatever
    /// link they are reached: the gateway's own data and configuration. They must exist; they are
    /// known by device and inode. Their names are still listed.
    pub fn open_without(roots: &[Root], hidden: &[PathBuf]) -> Result<Self, Error> {
        let hidden = Hidden::new(hidden).map_err(|(path, source)| Error::Open {
            name: "hidden".to_owned(),
            path,
            source,
        })?;
        Ok(Self {
            roots: Arc::new(Roots::open(roots, &Arc::new(hidden))?),
        })
    }
}

impl Toolkit for FilesToolkit {
    fn name(&self) -> &'static str {
        "files"
    }

    fn tools(&self) -> Vec<Arc<dyn Tool>> {
        let roots = &self.roots;
        vec![
            typed(tools::glob::FilesGlob(roots.clone())),
            typed(tools::list::FilesList(roots.clone())),
            typed(tools::read::FilesRead(roots.clone())),
            typed(tools::roots::FilesRoots(roots.clone())),
            typed(tools::search::FilesSearch(roots.clone())),
            typed(tools::stat::FilesStat(roots.clone())),
            typed(tools::tree::FilesTree(roots.clone())),
        ]
    }
}
