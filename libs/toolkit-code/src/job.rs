//! Runs a tool's blocking work so that it can be cancelled, ends in time and reports progress.

use std::{ops::ControlFlow, time::Instant};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use waybill_toolkit::{ToolContext, ToolError};

use crate::limits::{DEADLINE_MARGIN, PROGRESS_EVERY, SCAN_TIME};

/// The blocking side's view of its call.
pub(crate) struct Watch {
    cancelled: CancellationToken,
    until: Instant,
    progress: watch::Sender<Step>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    Cancelled,
    /// Answer with what there is.
    TimeUp,
}

#[derive(Clone, Copy, Default)]
struct Step {
    done: usize,
    total: usize,
}

impl Watch {
    pub(crate) fn check(&self) -> Result<(), Stop> {
        if self.cancelled.is_cancelled() {
            return Err(Stop::Cancelled);
        }
        if Instant::now() >= self.until {
            Err(Stop::TimeUp)
        } else {
            Ok(())
        }
    }

    /// For tree-sitter's callbacks: goes on until then, or until the call ends.
    pub(crate) fn flow(&self, until: Instant) -> ControlFlow<()> {
        if self.check().is_err() || Instant::now() >= until {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    }

    /// `done` of `total` files; tells the client now and then.
    pub(crate) fn step(&self, done: usize, total: usize) {
        if done > 0 && done.is_multiple_of(PROGRESS_EVERY) {
            self.progress.send_replace(Step { done, total });
        }
    }
}

/// Runs `work` on a blocking thread. It ends soon after the call is cancelled or dropped.
pub(crate) async fn run<T, F>(cx: &ToolContext, work: F) -> Result<T, ToolError>
where
    T: Send + 'static,
    F: FnOnce(&Watch) -> Result<T, ToolError> + Send + 'static,
{
    let cancelled = cx.cancelled().child_token();
    let _when_dropped = cancelled.clone().drop_guard();
    let (progress, mut steps) = watch::channel(Step::default());
    let watch = Watch {
        cancelled,
        until: until(cx),
        progress,
    };
    let mut task = tokio::task::spawn_blocking(move || work(&watch));
    let mut told = 0;
    let done = loop {
        tokio::select! {
            done = &mut task => break done,
            Ok(()) = steps.changed() => told = tell(cx, *steps.borrow_and_update(), told),
        }
    };
    // The last report may have come together with the end.
    tell(cx, *steps.borrow(), told);
    match done {
        Ok(result) => result,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        Err(_) => Err(ToolError::Cancelled),
    }
}

/// Reports what was not `told` yet. Returns what is now.
fn tell(cx: &ToolContext, Step { done, total }: Step, told: usize) -> usize {
    if done > told {
        let message = format!("{done} of {total} files");
        cx.progress(as_number(done), Some(as_number(total)), Some(message));
    }
    done.max(told)
}

fn until(cx: &ToolContext) -> Instant {
    let deadline = cx.deadline().into_std();
    let latest = Instant::now() + SCAN_TIME;
    deadline
        .checked_sub(DEADLINE_MARGIN)
        .unwrap_or(deadline)
        .min(latest)
}

fn as_number(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}
