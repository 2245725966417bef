//! From a run's verdict to effects, or to another try.

use std::{collections::BTreeMap, panic::AssertUnwindSafe, time::Duration};

use futures::FutureExt;
use serde_json::{Value, value::RawValue};
use tokio::time::{Instant, sleep, timeout};
use waybill_calls::{Call, INLINE_LIMIT, Outcome, Payload, Problem, stored_size};
use waybill_messaging::{BoxError, Effects, Failure};
use waybill_toolkit::{
    CallToolResult, ContentBlock, InputRequests, JsonObject, Reconciled, Tool, ToolContext,
    ToolError,
};

use crate::{
    attempt::Attempt,
    ending::{Ending, overtaken},
    error::failure,
    limits::{KEEP_TRIES, LEDGER_PAUSE, MAX_RESULT, RECONCILE},
    plan::{cancelled, exhausted, expired, outcome_unknown},
    run::{Verdict, Why, longest, tool_run},
};

/// What is known about a run besides its verdict.
pub(crate) struct Run<'a> {
    pub(crate) tool: &'a dyn Tool,
    /// Kept for tools that may have to reconcile.
    pub(crate) arguments: &'a JsonObject,
    pub(crate) once: bool,
    pub(crate) receives: u32,
    /// It was let through to see whether its upstream is back.
    pub(crate) probe: bool,
}

impl Run<'_> {
    pub(crate) async fn conclude(
        &self,
        mut attempt: Attempt,
        verdict: Verdict,
    ) -> Result<Effects, Failure> {
        match verdict {
            Verdict::Told(Ok(result)) => self.answered(attempt, &result).await,
            Verdict::Told(Err(error)) => self.refused(attempt, error).await,
            Verdict::Panicked(message) => attempt.end(self.panicked(&message)),
            Verdict::Stopped(Why::Cancelled) if self.once => {
                let why = "it was cancelled and did not stop in time";
                unknown(attempt, why)
            }
            Verdict::Stopped(Why::Cancelled) => attempt.end(cancelled()),
            Verdict::Stopped(Why::Timeout) if self.once => {
                self.reconcile(attempt, "it took too long").await
            }
            Verdict::Stopped(Why::Timeout) => attempt.end(self.timed_out()),
            Verdict::Stopped(Why::Deadline) if self.once => unknown(attempt, "its deadline passed"),
            Verdict::Stopped(Why::Deadline) => attempt.end(expired()),
            Verdict::Stopped(Why::Lost) => {
                if attempt.has_ended().await? {
                    Ok(Effects::default())
                } else {
                    Err(overtaken())
                }
            }
            Verdict::Stopped(Why::Shutdown) => {
                attempt.let_go().await;
                Err(Failure::Retry {
                    after: Some(Duration::ZERO),
                    source: "the process ends".into(),
                })
            }
        }
    }

    async fn refused(&self, attempt: Attempt, error: ToolError) -> Result<Effects, Failure> {
        let cancel = attempt.call().cancel_requested;
        match error {
            ToolError::Invalid(text) => {
                let result = CallToolResult::error(vec![ContentBlock::text(text)]);
                self.answered(attempt, &result).await
            }
            ToolError::Protocol {
                code,
                message,
                data,
            } => attempt.end(Problem {
                rpc_code: Some(code),
                data,
                ..Problem::new("protocol_error", message)
            }),
            // It says that it stopped.
            ToolError::Cancelled if cancel => attempt.end(cancelled()),
            ToolError::Unavailable { .. } | ToolError::InputRequired(_) if cancel => {
                attempt.end(cancelled())
            }
            ToolError::Unknown { .. } if cancel && !self.once => attempt.end(cancelled()),
            ToolError::InputRequired(requests) => self.asks(attempt, requests),
            ToolError::Unknown { message, .. } if self.once => {
                self.reconcile(attempt, &message).await
            }
            ToolError::Unavailable {
                message,
                retry_after,
                source,
            }
            | ToolError::Unknown {
                message,
                retry_after,
                source,
            } => {
                self.again(attempt, Trouble(message, source), retry_after)
                    .await
            }
            ToolError::Cancelled if self.once => {
                self.reconcile(attempt, "it stopped by itself").await
            }
            ToolError::Cancelled => {
                let trouble = Trouble("the tool stopped by itself".to_owned(), None);
                self.again(attempt, trouble, None).await
            }
        }
    }

    async fn answered(
        &self,
        attempt: Attempt,
        result: &CallToolResult,
    ) -> Result<Effects, Failure> {
        let json = match serde_json::to_string(result) {
            Ok(json) if json.len() <= MAX_RESULT => json,
            Ok(json) => return attempt.end(self.too_large(json.len())),
            Err(error) => {
                let message = format!("The answer of {} is not JSON: {error}.", self.name());
                return attempt.end(Problem::new("internal", message));
            }
        };
        let bytes = json.len() as u64;
        let payload = match self.keep(&attempt, json).await {
            Ok(payload) => payload,
            Err(_) if self.once => return attempt.end(self.result_lost(bytes)),
            Err(failure) => return Err(failure),
        };
        attempt.end(Ending::Outcome {
            outcome: Outcome::Result(payload),
            bytes,
            is_error: result.is_error == Some(true),
        })
    }

    /// In the record, or behind a claim check of this attempt's own. What a tool has done is not
    /// given up at the first refusal of a store.
    async fn keep(&self, attempt: &Attempt, json: String) -> Result<Payload, Failure> {
        let broken = |error: serde_json::Error| failure(waybill_calls::Error::Corrupt(error));
        if json.len() <= INLINE_LIMIT {
            return RawValue::from_string(json)
                .map(Payload::Inline)
                .map_err(broken);
        }
        let value: Value = serde_json::from_str(&json).map_err(broken)?;
        let name = format!("result-{}", attempt.number());
        let mut tries = 1;
        loop {
            match attempt.calls().keep(attempt.call(), &name, &value).await {
                Ok(payload) => return Ok(payload),
                Err(error) if tries >= KEEP_TRIES => return Err(failure(error)),
                Err(_) => sleep(LEDGER_PAUSE).await,
            }
            tries += 1;
        }
    }

    fn asks(&self, attempt: Attempt, requests: InputRequests) -> Result<Effects, Failure> {
        let mut questions = BTreeMap::new();
        for (key, request) in requests {
            questions.insert(key, serde_json::to_value(request).map_err(Failure::reject)?);
        }
        if questions.is_empty() {
            let message = format!("{} waits for input and asks for nothing.", self.name());
            return attempt.end(Problem::new("internal", message));
        }
        let bytes = stored_size(&questions);
        if bytes > Call::MAX_QUESTIONS {
            let (name, most) = (self.name(), Call::MAX_QUESTIONS);
            let message = format!("{name} asks for {bytes} bytes; at most {most} are kept.");
            return attempt.end(Problem::new("internal", message));
        }
        attempt.end(Ending::Ask(questions))
    }

    /// Back to the queue while attempts and deadline allow.
    async fn again(
        &self,
        mut attempt: Attempt,
        trouble: Trouble,
        after: Option<Duration>,
    ) -> Result<Effects, Failure> {
        let last = !self.probe && exhausted(attempt.call(), attempt.counted(), self.receives);
        if last || after.unwrap_or_default() >= attempt.left() {
            let message = format!("{} is not available: {}", self.upstream(), trouble.0);
            return attempt.end(Problem::new("upstream_unavailable", message));
        }
        match attempt.release(self.probe).await {
            Ok(()) => {}
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::debug!(error, "cannot put the call back; its next delivery will");
            }
        }
        Err(Failure::Retry {
            after,
            source: trouble.into(),
        })
    }

    /// Asks the provider whether a `once` tool acted. Never acts.
    pub(crate) async fn reconcile(
        &self,
        mut attempt: Attempt,
        why: &str,
    ) -> Result<Effects, Failure> {
        let limit = RECONCILE.min(attempt.left());
        let run = tool_run(&attempt, Instant::now() + limit);
        // Without a receiver a checkpoint fails at once: nothing is saved while reconciling.
        let (cx, _) = ToolContext::new(run, tokio_util::sync::CancellationToken::new());
        let asking = AssertUnwindSafe(async { self.tool.reconcile(self.arguments, &cx).await })
            .catch_unwind();
        let after = match timeout(limit, asking).await {
            Ok(Ok(Ok(Reconciled::Acted(result)))) => return self.answered(attempt, &result).await,
            Ok(Ok(Ok(Reconciled::DidNotAct))) if attempt.call().cancel_requested => {
                return attempt.end(cancelled());
            }
            Ok(Ok(Ok(Reconciled::DidNotAct))) => {
                let trouble = Trouble(format!("it did not act, because {why}"), None);
                return self.again(attempt, trouble, None).await;
            }
            Ok(Ok(Err(
                ToolError::Unavailable { retry_after, .. } | ToolError::Unknown { retry_after, .. },
            ))) => retry_after,
            Err(_) => None,
            Ok(Ok(Ok(Reconciled::CannotTell) | Err(_)) | Err(_)) => return unknown(attempt, why),
        };
        let last = exhausted(attempt.call(), attempt.counted(), self.receives);
        if last || after.unwrap_or_default() >= attempt.left() {
            return unknown(attempt, why);
        }
        attempt.let_go().await;
        let source = format!("{} cannot tell yet whether it acted", self.upstream());
        Err(Failure::Retry {
            after,
            source: source.into(),
        })
    }

    fn name(&self) -> &str {
        &self.tool.spec().name
    }

    fn upstream(&self) -> &str {
        self.tool.spec().upstream.as_deref().unwrap_or(self.name())
    }

    fn panicked(&self, message: &str) -> Problem {
        let name = self.name();
        tracing::error!(tool = name, panic = message, "a tool panicked");
        let acted = if self.once {
            " It may have acted: check before you repeat it."
        } else {
            ""
        };
        Problem::new(
            "internal",
            format!("{name} has a bug and broke off.{acted}"),
        )
    }

    fn timed_out(&self) -> Problem {
        let limit = longest(self.tool).as_secs_f64();
        let message = format!("{} gave no answer within {limit} s.", self.name());
        Problem::new("timeout", message)
    }

    fn too_large(&self, bytes: usize) -> Problem {
        let message = format!(
            "The answer of {} is {bytes} bytes; at most {MAX_RESULT} are kept. Ask for less of it.",
            self.name()
        );
        Problem::new("result_too_large", message)
    }

    fn result_lost(&self, bytes: u64) -> Problem {
        let message = format!(
            "{} acted, but its answer of {bytes} bytes could not be stored. Do not repeat it.",
            self.name()
        );
        Problem::new("result_lost", message)
    }
}

fn unknown(attempt: Attempt, why: &str) -> Result<Effects, Failure> {
    let problem = outcome_unknown(attempt.call(), why);
    attempt.end(problem)
}

/// What a tool said about its upstream, with its cause.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Trouble(String, #[source] Option<BoxError>);
