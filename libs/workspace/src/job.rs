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
pub struct Job {
    stop: CancellationToken,
    finish_by: Instant,
    progress: watch::Sender<Progress>,
}

/// Why work ends before its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// Nobody waits for the answer any more.
    Cancelled,
    /// Answer with what there is.
    TimeUp,
}

#[derive(Default)]
struct Progress {
    done: u64,
    total: Option<u64>,
    message: String,
}

impl Job {
    pub fn go_on(&self) -> Result<(), Stop> {
        if self.stop.is_cancelled() {
            Err(Stop::Cancelled)
        } else if self.out_of_time() {
            Err(Stop::TimeUp)
        } else {
            Ok(())
        }
    }

    /// Fails once nobody waits for the answer any more.
    pub fn check(&self) -> Result<(), ToolError> {
        if self.stop.is_cancelled() {
            Err(ToolError::Cancelled)
        } else {
            Ok(())
        }
    }

    /// Time to answer with what there is.
    pub fn out_of_time(&self) -> bool {
        Instant::now() >= self.finish_by
    }

    /// How many files are done, of how many where that is known; the latest is told.
    pub fn progress(&self, done: u64, total: Option<u64>, message: String) {
        self.progress.send_replace(Progress {
            done,
            total,
            message,
        });
    }
}

/// Runs file work on a blocking thread, and its progress to the client. A call that is cancelled or
/// dropped ends at once and tells the thread to stop. The work has until shortly before the call's
/// deadline, and at most `most`.
pub async fn blocking<T: Send + 'static>(
    cx: &ToolContext,
    most: Duration,
    work: impl FnOnce(&Job) -> Result<T, ToolError> + Send + 'static,
) -> Result<T, ToolError> {
    let stop = cx.cancelled().child_token();
    let _stops_when_dropped = stop.clone().drop_guard();
    let (progress, mut reported) = watch::channel(Progress::default());
    let deadline = cx.deadline();
    let finish_by = deadline.checked_sub(HAND_OVER).unwrap_or(deadline);
    let job = Job {
        stop: stop.clone(),
        finish_by: finish_by.min(Instant::now() + most),
        progress,
    };
    let mut working = tokio::task::spawn_blocking(move || work(&job));
    let done = loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => return Err(ToolError::Cancelled),
            Ok(()) = reported.changed() => tell(cx, &mut reported),
            done = &mut working => break done,
        }
    };
    // The last report may have come together with the end.
    if reported.has_changed().unwrap_or(true) {
        tell(cx, &mut reported);
    }
    done.unwrap_or_else(|error| match error.try_into_panic() {
        Ok(panic) => resume_unwind(panic),
        Err(_) => Err(ToolError::Cancelled),
    })
}

#[expect(
    clippy::cast_precision_loss,
    reason = "progress is for a person to look at"
)]
fn tell(cx: &ToolContext, reported: &mut watch::Receiver<Progress>) {
    let Progress {
        done,
        total,
        message,
    } = &*reported.borrow_and_update();
    if *done > 0 {
        let total = total.map(|total| total as f64);
        cx.progress(*done as f64, total, Some(message.clone()));
    }
}
