//! A tool at work, and everything that may come to it meanwhile.

use std::{panic::AssertUnwindSafe, time::Duration};

use futures::FutureExt;
use serde_json::Value;
use tokio::{
    sync::oneshot,
    time::{Instant, sleep, sleep_until},
};
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;
use waybill_calls::{Call, LogLine, Progress, Said, stored_size};
use waybill_telemetry::trace;
use waybill_toolkit::{
    JsonObject, LogLevel, Signal, Signals, Tool, ToolContext, ToolResult, ToolRun,
};

use crate::{
    attempt::Attempt,
    error::Error,
    limits::{GRACE, LEDGER_PAUSE, LONGEST_RUN, PROGRESS_EVERY, QUIET, RENEW, WATCH},
};

/// How a run ended.
#[derive(Debug)]
pub(crate) enum Verdict {
    Told(ToolResult),
    /// With this message.
    Panicked(String),
    Stopped(Why),
}

/// Why a run ended before its tool did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    /// It was cancelled and did not stop in time.
    Cancelled,
    /// It took longer than the tool may.
    Timeout,
    /// The call's deadline passed.
    Deadline,
    /// Another attempt has the call, or it has ended.
    Lost,
    /// The process ends.
    Shutdown,
}

/// Runs the tool. Afterwards `attempt` knows what of it is committed.
pub(crate) async fn run(
    attempt: &mut Attempt,
    tool: &dyn Tool,
    arguments: JsonObject,
    shutdown: &CancellationToken,
) -> Verdict {
    let (left, timeout) = (attempt.left(), longest(tool));
    let deadline = Instant::now() + left.min(timeout);
    let cancel = CancellationToken::new();
    let mut run = tool_run(attempt, deadline);
    let span = tracing::info_span!(
        "run",
        call.id = %attempt.call().id,
        call.tool = attempt.call().tool,
        attempt = run.attempt
    );
    run.traceparent = trace::traceparent(&span).or(run.traceparent);
    let (cx, signals) = ToolContext::new(run, cancel.clone());
    let work = AssertUnwindSafe(async { tool.call(arguments, &cx).await }).catch_unwind();
    let work = work.instrument(span);
    let finished = CancellationToken::new();
    let watch = Watch {
        attempt,
        signals,
        cancel: &cancel,
        finished: &finished,
        quiet_until: Instant::now() + QUIET,
        renew_at: Instant::now() + RENEW,
    };
    let watch = watch.run();
    tokio::pin!(work, watch);
    let why = tokio::select! {
        biased;
        done = &mut work => {
            // A commit under way is not dropped: the outcome stands on what it wrote.
            finished.cancel();
            watch.await;
            return match done {
                Ok(told) => Verdict::Told(told),
                Err(panic) => Verdict::Panicked(panic_message(&*panic).to_owned()),
            };
        }
        why = &mut watch => why.unwrap_or(Why::Lost),
        () = sleep_until(deadline) => if left <= timeout { Why::Deadline } else { Why::Timeout },
        () = shutdown.cancelled() => Why::Shutdown,
    };
    cancel.cancel();
    Verdict::Stopped(why)
}

/// How long one attempt of the tool may take.
pub(crate) fn longest(tool: &dyn Tool) -> Duration {
    tool.spec().timeout.min(LONGEST_RUN)
}

/// What a run of this attempt is given.
pub(crate) fn tool_run(attempt: &Attempt, deadline: Instant) -> ToolRun {
    let call = attempt.call();
    let capabilities = call.client_capabilities.clone();
    ToolRun {
        call: call.id.clone(),
        tenant: call.tenant.clone(),
        attempt: attempt.number(),
        deadline,
        now: attempt.now(),
        checkpoint: call.checkpoint.clone(),
        responses: call.input_responses.clone(),
        client_capabilities: capabilities.and_then(|value| serde_json::from_value(value).ok()),
        traceparent: call.traceparent.clone(),
    }
}

/// Looks after the record while the tool runs.
struct Watch<'a> {
    attempt: &'a mut Attempt,
    signals: Signals,
    cancel: &'a CancellationToken,
    /// The tool is done: nothing new is begun.
    finished: &'a CancellationToken,
    /// Nothing but a checkpoint is committed before.
    quiet_until: Instant,
    /// When the claim is held anew at the latest.
    renew_at: Instant,
}

enum Step {
    Finished,
    Signal(Signal),
    /// The claim, or what the tool has said, is due.
    Due,
    Renew,
    Changed(Result<(), Error>),
}

impl Watch<'_> {
    /// Ends with the tool (`None`) or when the tool must end.
    async fn run(mut self) -> Option<Why> {
        loop {
            if self.attempt.call().cancel_requested {
                return self.wind_down(Why::Cancelled).await;
            }
            let done = match self.next().await {
                Step::Finished => {
                    self.hear_out();
                    return None;
                }
                Step::Signal(signal) => Box::pin(self.take(signal)).await,
                Step::Due => Box::pin(self.commit()).await,
                Step::Renew => Box::pin(self.renew()).await,
                Step::Changed(changed) => changed,
            };
            match done {
                Ok(()) => {}
                Err(Error::Fenced(_)) => return self.wind_down(Why::Lost).await,
                Err(Error::Calls(error)) => {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "cannot commit what a tool reports; trying again"
                    );
                    self.pause().await;
                }
            }
        }
    }

    async fn next(&mut self) -> Step {
        let committed = self.attempt.is_committed();
        let due = !committed || self.attempt.has_heard();
        tokio::select! {
            biased;
            () = self.finished.cancelled() => Step::Finished,
            Some(signal) = self.signals.recv() => Step::Signal(signal),
            () = sleep_until(self.quiet_until), if due => Step::Due,
            () = sleep_until(self.renew_at), if committed => Step::Renew,
            changed = Box::pin(self.attempt.changed(WATCH)), if committed => Step::Changed(changed),
        }
    }

    async fn take(&mut self, signal: Signal) -> Result<(), Error> {
        match heard(signal) {
            Ok(said) => said.into_iter().for_each(|said| self.attempt.hear(said)),
            Err((value, _)) if stored_size(&value) > Call::MAX_CHECKPOINT => {
                tracing::warn!(
                    tool = self.attempt.call().tool,
                    bytes = stored_size(&value),
                    limit = Call::MAX_CHECKPOINT,
                    "a checkpoint is too large and is not saved"
                );
            }
            Err((value, saved)) => {
                // When it fails `saved` is dropped, and the tool knows.
                self.attempt.save(&value).await?;
                // The tool may have stopped waiting for it.
                let _waits = saved.send(());
            }
        }
        Ok(())
    }

    /// What a tool said just before it ended goes along with its outcome.
    fn hear_out(&mut self) {
        while let Ok(signal) = self.signals.try_recv() {
            if let Ok(Some(said)) = heard(signal) {
                self.attempt.hear(said);
            }
        }
    }

    async fn commit(&mut self) -> Result<(), Error> {
        if !self.attempt.has_heard() {
            return self.renew().await;
        }
        self.attempt.report().await?;
        self.quiet_until = Instant::now() + PROGRESS_EVERY;
        Ok(())
    }

    async fn renew(&mut self) -> Result<(), Error> {
        self.attempt.commit().await?;
        self.renew_at = Instant::now() + RENEW;
        Ok(())
    }

    /// Tells the tool to stop and gives it time to. Nothing that it reports from now on is kept.
    async fn wind_down(mut self, why: Why) -> Option<Why> {
        self.cancel.cancel();
        self.signals.close();
        while self.signals.try_recv().is_ok() {}
        self.unless_finished(GRACE).await.then_some(why)
    }

    async fn pause(&self) {
        self.unless_finished(LEDGER_PAUSE).await;
    }

    /// True when the time has passed first.
    async fn unless_finished(&self, time: Duration) -> bool {
        tokio::select! {
            biased;
            () = self.finished.cancelled() => false,
            () = sleep(time) => true,
        }
    }
}

/// What a signal tells the client, or the checkpoint that it is. JSON has no infinity and no NaN:
/// progress that is none is nothing.
fn heard(signal: Signal) -> Result<Option<Said>, (Value, oneshot::Sender<()>)> {
    match signal {
        Signal::Progress {
            progress,
            total,
            message,
        } => Ok(progress.is_finite().then(|| {
            Said::Progress(Progress {
                progress,
                total: total.filter(|total| total.is_finite()),
                message,
            })
        })),
        Signal::Log {
            level,
            logger,
            data,
        } => Ok(Some(Said::Log(LogLine {
            level: word(level).to_owned(),
            logger,
            data,
        }))),
        Signal::Checkpoint { value, saved } => Err((value, saved)),
    }
}

/// MCP's word for a level.
const fn word(level: LogLevel) -> &'static str {
    match level {
        LogLevel::Debug => "debug",
        LogLevel::Info => "info",
        LogLevel::Notice => "notice",
        LogLevel::Warning => "warning",
        LogLevel::Error => "error",
        LogLevel::Critical => "critical",
        LogLevel::Alert => "alert",
        LogLevel::Emergency => "emergency",
    }
}

pub(crate) fn panic_message(panic: &(dyn std::any::Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
}
