//! File work off the async threads: it stops when the call does.

use std::panic::resume_unwind;

use tokio::{
    sync::watch,
    time::{Duration, Instant},
};
use tokio_util::sync::CancellationToken;
use waybill_toolkit::{ToolContext, ToolError};

/// Left before the deadline to hand over what was found so far.
const HAND_OVER: Duration = Duration::from_secs(2);

/// The blocking side of a call.
pub(crate) struct Job {
    stop: CancellationToken,
    finish_by: Instant,
    progress: watch::Sender<(u64, String)>,
}

impl Job {
    /// Fails once nobody waits for the answer any more.
    pub(crate) fn check(&self) -> Result<(), ToolError> {
        if self.stop.is_cancelled() {
            Err(ToolError::Cancelled)
        } else {
            Ok(())
        }
    }

    /// Time to answer with what there is.
    pub(crate) fn out_of_time(&self) -> bool {
        Instant::now() >= self.finish_by
    }

    /// How many files are done; the latest is told.
    pub(crate) fn progress(&self, files: u64, message: String) {
        self.progress.send_replace((files, message));
    }
}

/// Runs file work on a blocking thread, and its progress to the client. A call that is cancelled or
/// dropped ends at once and tells the thread to stop.
pub(crate) async fn blocking<T: Send + 'static>(
    cx: &ToolContext,
    work: impl FnOnce(&Job) -> Result<T, ToolError> + Send + 'static,
) -> Result<T, ToolError> {
    let stop = cx.cancelled().child_token();
    let _stops_when_dropped = stop.clone().drop_guard();
    let (progress, mut reported) = watch::channel((0, String::new()));
    let finish_by = cx
        .deadline()
        .checked_sub(HAND_OVER)
        .unwrap_or_else(|| cx.deadline());
    let job = Job {
        stop: stop.clone(),
        finish_by,
        progress,
    };
    let mut working = tokio::task::spawn_blocking(move || work(&job));
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => return Err(ToolError::Cancelled),
            Ok(()) = reported.changed() => {
                let (files, message) = reported.borrow_and_update().clone();
                #[expect(clippy::cast_precision_loss, reason = "progress is for a person to look at")]
                cx.progress(files as f64, None, Some(message));
            }
            done = &mut working => return done.unwrap_or_else(|error| match error.try_into_panic() {
                Ok(panic) => resume_unwind(panic),
                Err(_) => Err(ToolError::Cancelled),
            }),
        }
    }
}
