//! What clients read about a call.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use waybill_events::CallId;

use crate::{Call, CallState, Outcome};

/// MCP's words for a task's status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum McpStatus {
    Working,
    InputRequired,
    Completed,
    Failed,
    Cancelled,
}

/// The status document of a call.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    pub id: CallId,
    pub tool: String,
    /// `readOnly`, `idempotent` or `once`.
    pub effect: String,
    pub status: McpStatus,
    /// Our finer word: `accepted`, `running`, `waiting_input`, `waiting_credential`,
    /// `waiting_capacity`, `completed`, `failed`, `cancelled`, `expired`.
    pub state: String,
    /// `{progress, total?, message?}`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub progress: Option<Value>,
    pub attempt: u32,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
    /// When it ends as `expired`, whatever it does.
    pub deadline: DateTime<Utc>,
    /// When the result may be forgotten.
    pub expires_at: DateTime<Utc>,
    /// Open questions by key, while `input_required`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input_requests: Option<Value>,
    /// MCP `CallToolResult`, when `completed`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub result: Option<Value>,
    /// `{code, message, data?}`, when it ended without a result.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<Value>,
    /// W3C `traceparent` of the request that made it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace: Option<String>,
}

impl From<CallState> for McpStatus {
    fn from(state: CallState) -> Self {
        match state {
            CallState::Completed => Self::Completed,
            CallState::Failed | CallState::Expired => Self::Failed,
            CallState::Cancelled => Self::Cancelled,
            CallState::WaitingInput => Self::InputRequired,
            CallState::Accepted
            | CallState::Running
            | CallState::WaitingCredential
            | CallState::WaitingCapacity => Self::Working,
        }
    }
}

impl Status {
    /// `result` is the loaded payload of the outcome, where there is one.
    pub fn new(call: &Call, result: Option<Value>) -> Self {
        let error = match &call.outcome {
            Some(Outcome::Error(problem)) => serde_json::to_value(problem).ok(),
            _ => None,
        };
        Self {
            id: call.id.clone(),
            tool: call.tool.clone(),
            effect: call.effect.clone(),
            status: call.state.into(),
            state: call.state.as_str().to_owned(),
            progress: call
                .progress
                .as_ref()
                .and_then(|p| serde_json::to_value(p).ok()),
            attempt: call.attempt,
            created_at: call.created_at,
            updated_at: call.updated_at,
            deadline: call.deadline,
            expires_at: call.expires_at,
            input_requests: (call.state == CallState::WaitingInput)
                .then(|| serde_json::to_value(&call.input_requests).ok())
                .flatten(),
            result,
            error,
            trace: call.traceparent.clone(),
        }
    }
}
