//! The record of a call and its transitions.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use waybill_events::{
    CallId, Draft, EventData, EventId, Story, TenantId, ToolCallCancelled, ToolCallCompleted,
    ToolCallExpired, ToolCallFailed,
};

use crate::{Payload, budget::cut};

/// Where a call is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CallState {
    Accepted,
    Running,
    WaitingInput,
    WaitingCredential,
    WaitingCapacity,
    Completed,
    Failed,
    Cancelled,
    Expired,
}

/// One tool call. Field names are short where the record is written at every step.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Call {
    pub id: CallId,
    pub tenant: TenantId,
    /// Who asked: an API key's id.
    pub principal: String,
    pub tool: String,
    /// `readOnly`, `idempotent` or `once`.
    pub effect: String,
    pub arguments: Payload,
    pub arguments_sha256: String,
    pub state: CallState,
    /// The newest claim; only it may commit an outcome. 0 before the first.
    pub attempt: u32,
    /// The worker that runs it has it until then, and says so again while it lives. Whoever else
    /// brings the call comes back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claimed_until: Option<DateTime<Utc>>,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
    /// When the sweep ends it, whatever it does.
    pub deadline: DateTime<Utc>,
    /// When its time began anew: see [`Call::reopen`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reopened_at: Option<DateTime<Utc>>,
    /// When the record may be forgotten.
    pub expires_at: DateTime<Utc>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<Progress>,
    /// What its tool has told so far, the newest [`Call::MAX_REPORTS`], oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reports: Vec<Report>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoint: Option<Value>,
    /// Written before a `once` tool acts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub intent: Option<Intent>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cancel_requested: bool,
    /// Open questions: key to MCP `InputRequest`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub input_requests: BTreeMap<String, Value>,
    /// Answers so far: key to MCP result.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub input_responses: BTreeMap<String, Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
    /// What the client declared that it can do (MCP `ClientCapabilities`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_capabilities: Option<Value>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    pub progress: f64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// Something that a tool told while it ran.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// From 1, and growing through all attempts of the call.
    pub seq: u64,
    #[serde(flatten)]
    pub said: Said,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Said {
    Progress(Progress),
    Log(LogLine),
}

/// A line for the client's log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LogLine {
    /// MCP's word: `debug` to `emergency`.
    pub level: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub logger: Option<String>,
    /// Any JSON; as text and cut off where it is longer than [`Call::MAX_REPORT_BYTES`].
    pub data: Value,
}

/// A `once` tool is about to act.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intent {
    pub attempt: u32,
    pub at: DateTime<Utc>,
}

/// How a call ended.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Outcome {
    /// The tool answered: an MCP `CallToolResult`, `isError` or not.
    Result(Payload),
    /// It never will.
    Error(Problem),
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Problem {
    /// Stable word for programs: `timeout`, `expired`, `cancelled`, `upstream_unavailable`,
    /// `outcome_unknown`, `result_too_large`, `result_lost`, `protocol_error`, `unknown_tool`,
    /// `dead_lettered`, `internal`. The README says what each means.
    pub code: String,
    /// For people: what was wrong, where, what to do.
    pub message: String,
    /// JSON-RPC error code, when the tool named one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rpc_code: Option<i32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<Value>,
}

/// The transition must not happen: the call has ended, or a newer attempt has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fenced {
    #[error("the call has already ended")]
    Ended,
    #[error("a newer attempt has claimed the call")]
    Overtaken,
}

impl CallState {
    pub const ALL: [Self; 9] = [
        Self::Accepted,
        Self::Running,
        Self::WaitingInput,
        Self::WaitingCredential,
        Self::WaitingCapacity,
        Self::Completed,
        Self::Failed,
        Self::Cancelled,
        Self::Expired,
    ];

    pub const fn is_terminal(self) -> bool {
        matches!(
            self,
            Self::Completed | Self::Failed | Self::Cancelled | Self::Expired
        )
    }

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Running => "running",
            Self::WaitingInput => "waiting_input",
            Self::WaitingCredential => "waiting_credential",
            Self::WaitingCapacity => "waiting_capacity",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Expired => "expired",
        }
    }
}

impl Problem {
    pub fn new(code: &str, message: impl Into<String>) -> Self {
        Self {
            code: code.to_owned(),
            message: message.into(),
            rpc_code: None,
            data: None,
        }
    }
}

impl Said {
    /// No longer than the record has room for.
    fn bounded(mut self) -> Self {
        let cut = |text: &mut String| cut(text, Call::MAX_REPORT_BYTES);
        match &mut self {
            Self::Progress(progress) => progress.message.iter_mut().for_each(cut),
            Self::Log(line) => {
                line.logger.iter_mut().for_each(cut);
                match &mut line.data {
                    Value::String(text) => cut(text),
                    data => {
                        let mut text = data.to_string();
                        if text.len() > Call::MAX_REPORT_BYTES {
                            cut(&mut text);
                            *data = Value::String(text);
                        }
                    }
                }
            }
        }
        self
    }
}

impl Call {
    /// A worker takes it: the attempt that it may act under.
    pub fn claim(&mut self, now: DateTime<Utc>) -> Result<u32, Fenced> {
        self.open()?;
        self.attempt += 1;
        self.state = CallState::Running;
        self.claimed_until = None;
        self.updated_at = now;
        Ok(self.attempt)
    }

    /// The claim holds until then; `None`: anybody may take the call at once. Only a call that runs
    /// is held.
    pub fn hold(&mut self, attempt: u32, until: Option<DateTime<Utc>>) -> Result<(), Fenced> {
        self.mine(attempt)?;
        if self.state == CallState::Running {
            self.claimed_until = until;
        }
        Ok(())
    }

    /// Until when a worker has it, if one has.
    pub fn held(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.claimed_until.filter(|until| *until > now)
    }

    /// Whether it ended as a dead letter. It has not acted in a way that must not be repeated: such
    /// a call ends as `outcome_unknown`.
    pub fn is_dead_lettered(&self) -> bool {
        let dead = |problem: &Problem| problem.code == "dead_lettered";
        self.state == CallState::Failed
            && matches!(&self.outcome, Some(Outcome::Error(problem)) if dead(problem))
    }

    /// Opens it again when it ended as a dead letter, for a delivery that an operator has redriven:
    /// it is a new one, where a late settlement brings the old one back. It has as much time as it had
    /// at first, from now on, and is kept for as long after that. False: there is nothing to open.
    pub fn reopen(&mut self, now: DateTime<Utc>) -> bool {
        if !self.is_dead_lettered() {
            return false;
        }
        let time = self.deadline - self.reopened_at.unwrap_or(self.created_at);
        let kept = self.expires_at - self.deadline;
        self.reopened_at = Some(now);
        self.deadline = now + time;
        self.expires_at = self.deadline + kept;
        // Back on the queue: whose event brings it does not matter.
        self.state = CallState::WaitingCapacity;
        self.outcome = None;
        self.updated_at = now;
        true
    }

    pub fn progress(
        &mut self,
        attempt: u32,
        progress: Progress,
        now: DateTime<Utc>,
    ) -> Result<(), Fenced> {
        self.report(attempt, [Said::Progress(progress)], now)
    }

    /// Numbers what the tool has said since the last time, and keeps it.
    pub fn report(
        &mut self,
        attempt: u32,
        said: impl IntoIterator<Item = Said>,
        now: DateTime<Utc>,
    ) -> Result<(), Fenced> {
        self.mine(attempt)?;
        let first = self.reports.last().map_or(0, |last| last.seq) + 1;
        for (seq, said) in (first..).zip(said) {
            let said = said.bounded();
            if let Said::Progress(progress) = &said {
                self.progress = Some(progress.clone());
            }
            self.reports.push(Report { seq, said });
        }
        let surplus = self.reports.len().saturating_sub(Self::MAX_REPORTS);
        self.reports.drain(..surplus);
        self.updated_at = now;
        Ok(())
    }

    /// `checkpoint` has at most [`Call::MAX_CHECKPOINT`] bytes.
    pub fn save(
        &mut self,
        attempt: u32,
        checkpoint: Value,
        now: DateTime<Utc>,
    ) -> Result<(), Fenced> {
        self.mine(attempt)?;
        self.checkpoint = Some(checkpoint);
        self.updated_at = now;
        Ok(())
    }

    /// A `once` tool will act after this is durable. At most one intent in a call's life.
    pub fn intend(&mut self, attempt: u32, now: DateTime<Utc>) -> Result<(), Fenced> {
        self.mine(attempt)?;
        self.intent = Some(Intent { attempt, at: now });
        self.updated_at = now;
        Ok(())
    }

    /// Parks it until something else happens.
    pub fn park(
        &mut self,
        attempt: u32,
        state: CallState,
        now: DateTime<Utc>,
    ) -> Result<(), Fenced> {
        self.mine(attempt)?;
        self.state = state;
        self.claimed_until = None;
        self.updated_at = now;
        Ok(())
    }

    /// Asks the client. The tool has not acted, so an intent is void. `requests` have at most
    /// [`Call::MAX_QUESTIONS`] bytes.
    pub fn ask(
        &mut self,
        attempt: u32,
        requests: BTreeMap<String, Value>,
        now: DateTime<Utc>,
    ) -> Result<(), Fenced> {
        self.park(attempt, CallState::WaitingInput, now)?;
        self.input_requests = requests;
        self.intent = None;
        Ok(())
    }

    /// Takes the answers to open questions; others are ignored. True when none is open any more:
    /// the call goes on. The repository sees to it that all answers are at most
    /// [`Call::MAX_ANSWERS`] bytes.
    pub fn answer(
        &mut self,
        responses: BTreeMap<String, Value>,
        now: DateTime<Utc>,
    ) -> Result<Vec<String>, Fenced> {
        self.open()?;
        let mut taken = Vec::new();
        for (key, response) in responses {
            if self.input_requests.remove(&key).is_some() {
                self.input_responses.insert(key.clone(), response);
                taken.push(key);
            }
        }
        if !taken.is_empty() {
            self.updated_at = now;
            if self.input_requests.is_empty() && self.state == CallState::WaitingInput {
                self.state = CallState::Accepted;
            }
        }
        Ok(taken)
    }

    /// Somebody wants it to end. True when nothing runs and it has ended by this.
    pub fn cancel(&mut self, now: DateTime<Utc>) -> Result<bool, Fenced> {
        self.open()?;
        self.cancel_requested = true;
        self.updated_at = now;
        if self.state == CallState::Running {
            return Ok(false);
        }
        self.end(CallState::Cancelled, Outcome::Error(cancelled()), now);
        Ok(true)
    }

    /// The attempt ends it.
    pub fn finish(
        &mut self,
        attempt: u32,
        outcome: Outcome,
        now: DateTime<Utc>,
    ) -> Result<(), Fenced> {
        self.mine(attempt)?;
        let state = match &outcome {
            Outcome::Result(_) => CallState::Completed,
            Outcome::Error(problem) if problem.code == "cancelled" => CallState::Cancelled,
            Outcome::Error(problem) if problem.code == "expired" => CallState::Expired,
            Outcome::Error(_) => CallState::Failed,
        };
        self.end(state, outcome, now);
        Ok(())
    }

    /// Ends it from outside: the sweep, a dead letter.
    pub fn give_up(&mut self, problem: Problem, now: DateTime<Utc>) -> Result<(), Fenced> {
        self.finish(self.attempt, Outcome::Error(problem), now)
    }

    /// The event that tells how it ended; `None` while it has not. `result` is the result's size
    /// in bytes and whether it says `isError`.
    pub fn ended(&self, result: (u64, bool)) -> Option<Draft> {
        let (tool, attempt) = (self.tool.clone(), self.attempt);
        let passed = (self.updated_at - self.created_at).num_milliseconds();
        let duration_ms = u64::try_from(passed).unwrap_or(0);
        let (result_bytes, is_error) = result;
        Some(match (self.state, &self.outcome) {
            (CallState::Completed, _) => self.draft(&ToolCallCompleted {
                tool,
                attempt,
                is_error,
                duration_ms,
                result_bytes,
            }),
            (CallState::Cancelled, _) => self.draft(&ToolCallCancelled {
                tool,
                attempt,
                duration_ms,
            }),
            (CallState::Expired, _) => self.draft(&ToolCallExpired {
                tool,
                attempt,
                duration_ms,
            }),
            (CallState::Failed, Some(Outcome::Error(problem))) => self.draft(&ToolCallFailed {
                tool,
                attempt,
                code: problem.code.clone(),
                duration_ms,
            }),
            _ => return None,
        })
    }

    /// An event of this call, in the call's own story: all of them share correlation and trace,
    /// whoever emits them and whatever was the cause.
    pub fn draft<D: EventData>(&self, data: &D) -> Draft {
        Draft::new(self.tenant.clone(), self.id.as_str(), data).within(Story {
            correlation: EventId::derived(self.id.as_str(), "ingress", 0),
            traceparent: self.traceparent.clone(),
        })
    }

    fn end(&mut self, state: CallState, outcome: Outcome, now: DateTime<Utc>) {
        self.state = state;
        self.outcome = Some(match outcome {
            Outcome::Error(problem) => Outcome::Error(problem.bounded()),
            result @ Outcome::Result(_) => result,
        });
        self.updated_at = now;
        self.claimed_until = None;
        self.checkpoint = None;
        self.input_requests.clear();
        // What was answered need not be asked again when an operator lets it run again.
        if !self.is_dead_lettered() {
            self.input_responses.clear();
        }
    }

    fn open(&self) -> Result<(), Fenced> {
        if self.state.is_terminal() {
            Err(Fenced::Ended)
        } else {
            Ok(())
        }
    }

    fn mine(&self, attempt: u32) -> Result<(), Fenced> {
        self.open()?;
        if self.attempt == attempt {
            Ok(())
        } else {
            Err(Fenced::Overtaken)
        }
    }
}

fn cancelled() -> Problem {
    Problem::new("cancelled", "The call was cancelled.")
}
