#![doc = include_str!("../README.md")]

mod entry;
mod globs;
mod text;
mod tools;

use std::{sync::Arc, time::Duration};

use waybill_toolkit::{Tool, ToolContext, ToolError, Toolkit, typed};
use waybill_workspace::{Job, Roots};

/// The `files` family of tools, over a fixed set of roots.
#[derive(Clone)]
pub struct FilesToolkit {
    roots: Arc<Roots>,
}

impl FilesToolkit {
    pub fn new(roots: Arc<Roots>) -> Self {
        Self { roots }
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

/// As long as the call may take.
async fn blocking<T: Send + 'static>(
    cx: &ToolContext,
    work: impl FnOnce(&Job) -> Result<T, ToolError> + Send + 'static,
) -> Result<T, ToolError> {
    const DAY: Duration = Duration::from_hours(24);
    waybill_workspace::blocking(cx, DAY, work).await
}
