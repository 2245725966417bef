//! A call's blocking work, within this crate's bounds.

use std::{ops::ControlFlow, time::Instant};

use waybill_toolkit::{ToolContext, ToolError};
use waybill_workspace::{Job, blocking};

use crate::limits::{PROGRESS_EVERY, SCAN_TIME};

pub(crate) async fn run<T: Send + 'static>(
    cx: &ToolContext,
    work: impl FnOnce(&Job) -> Result<T, ToolError> + Send + 'static,
) -> Result<T, ToolError> {
    blocking(cx, SCAN_TIME, work).await
}

/// For tree-sitter's callbacks: goes on until then, or until the call ends.
pub(crate) fn flow(job: &Job, until: Instant) -> ControlFlow<()> {
    if job.go_on().is_err() || Instant::now() >= until {
        ControlFlow::Break(())
    } else {
        ControlFlow::Continue(())
    }
}

/// `done` of `total` files; tells the client now and then.
pub(crate) fn step(job: &Job, done: usize, total: usize) {
    if done > 0 && done.is_multiple_of(PROGRESS_EVERY) {
        let message = format!("{done} of {total} files");
        job.progress(done as u64, Some(total as u64), message);
    }
}
