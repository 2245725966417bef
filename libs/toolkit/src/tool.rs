//! The tool, erased: what the executor and the door see.

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use rmcp::model::{CallToolResult, InputRequests, JsonObject, ToolAnnotations};
use serde::{Deserialize, Serialize};

use crate::ToolContext;

/// What happens to the world when a tool runs twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Effect {
    /// Nothing: a redelivery may run it again.
    ReadOnly,
    /// The same as once: a redelivery may run it again.
    Idempotent,
    /// It would happen twice: a redelivery must never act again.
    Once,
}

impl Effect {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ReadOnly => "readOnly",
            Self::Idempotent => "idempotent",
            Self::Once => "once",
        }
    }
}

impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Whether a call may be answered with a task (MCP `execution.taskSupport` of 2025-11-25; the tasks
/// extension of 2026-07-28 leaves the choice to the server).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum TaskSupport {
    /// Always answered in the response, whatever the client declared.
    Forbidden,
    /// A task when it is slow and the client speaks tasks.
    #[default]
    Optional,
    /// Refused with -32021 to a client that did not declare tasks, before anything runs.
    Required,
}

/// Everything about a tool but its code.
#[derive(Clone, Debug)]
pub struct ToolSpec {
    /// `family_verb` for ours, `SERVER__TOOL` for an upstream's; 1 to 128 of `A-Z a-z 0-9 _ - .`.
    pub name: String,
    pub title: Option<String>,
    pub description: String,
    /// JSON Schema (2020-12 unless `$schema` says otherwise) of the arguments object.
    pub input_schema: Arc<JsonObject>,
    /// JSON Schema of `structuredContent`, when the tool gives one.
    pub output_schema: Option<Arc<JsonObject>>,
    pub effect: Effect,
    pub task_support: TaskSupport,
    /// How long one attempt may run. Beyond it the call ends as `timeout` and is not tried again.
    pub timeout: Duration,
    /// The external system behind it; one circuit breaker per name guards it. An MCP server is
    /// `mcp/NAME`, so that it never shares a breaker with a provider of ours.
    pub upstream: Option<String>,
    /// Whether it reaches beyond this gateway (MCP `openWorldHint`).
    pub open_world: bool,
    /// Annotations that an upstream declared; ours follow from `effect`.
    pub annotations: Option<ToolAnnotations>,
}

impl ToolSpec {
    /// 60 s of time, a task when it is slow, no upstream, closed world.
    pub fn new(name: impl Into<String>, description: impl Into<String>, effect: Effect) -> Self {
        Self {
            name: name.into(),
            title: None,
            description: description.into(),
            input_schema: Arc::new(empty_object_schema()),
            output_schema: None,
            effect,
            task_support: TaskSupport::default(),
            timeout: Duration::from_mins(1),
            upstream: None,
            open_world: false,
            annotations: None,
        }
    }

    /// The MCP annotations: an upstream's own, or what the effect says.
    pub fn annotations(&self) -> ToolAnnotations {
        self.annotations.clone().unwrap_or_else(|| {
            let read_only = self.effect == Effect::ReadOnly;
            ToolAnnotations::new()
                .read_only(read_only)
                .destructive(self.effect == Effect::Once)
                .idempotent(self.effect != Effect::Once)
                .open_world(self.open_world)
        })
    }
}

fn empty_object_schema() -> JsonObject {
    let mut schema = JsonObject::new();
    schema.insert("type".into(), "object".into());
    schema
}

pub type ToolResult = Result<CallToolResult, ToolError>;

/// Why a tool gave no answer. An answer that reports a failure (`isError: true`) is an answer.
#[derive(Debug, thiserror::Error)]
pub enum ToolError {
    /// The arguments passed the schema and still make no sense: answered as `isError: true`.
    #[error("{0}")]
    Invalid(String),
    /// The upstream did not do it and is likely to later: retried by the queue, counted by the
    /// breaker. Only say so when it certainly did not act. A tool's own time limits must be shorter
    /// than [`ToolSpec::timeout`], which ends the call without another try.
    #[error("{message}")]
    Unavailable {
        message: String,
        retry_after: Option<Duration>,
        #[source]
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
    /// It may or may not have acted (a connection cut after the request was sent). A `once` tool is
    /// asked to [reconcile](Tool::reconcile); others are retried.
    #[error("{message}")]
    Unknown {
        message: String,
        /// When a tool that may act twice is tried again.
        retry_after: Option<Duration>,
        #[source]
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
    /// It cannot go on before the client answers these; the tool runs again with the answers.
    #[error("waits for input")]
    InputRequired(InputRequests),
    /// It stopped because its cancellation token fired.
    #[error("cancelled")]
    Cancelled,
    /// A JSON-RPC error that the call ends with: for upstreams and protocol fixtures.
    #[error("{message}")]
    Protocol {
        code: i32,
        message: String,
        data: Option<serde_json::Value>,
    },
}

/// One operation that a model can call.
#[async_trait]
pub trait Tool: Send + Sync + 'static {
    fn spec(&self) -> &ToolSpec;

    /// One attempt. `arguments` satisfy the input schema. The future is dropped when its time is up,
    /// when the process ends and when another attempt has taken over: whatever must not be left half
    /// done happens in one request, or is found again from a checkpoint.
    async fn call(&self, arguments: JsonObject, cx: &ToolContext) -> ToolResult;

    /// For `Once` tools of which nobody knows whether they acted: the worker died after it wrote its
    /// intent, the time was up, or the attempt ended as [`ToolError::Unknown`]. Asks the provider, by
    /// [`ToolContext::idempotency_key`], and never acts. [`ToolError::Unavailable`] and
    /// [`ToolError::Unknown`] mean that the provider cannot be asked now: it is asked again later.
    /// Other errors are as good as [`Reconciled::CannotTell`].
    async fn reconcile(
        &self,
        _arguments: &JsonObject,
        _cx: &ToolContext,
    ) -> Result<Reconciled, ToolError> {
        Ok(Reconciled::CannotTell)
    }
}

/// What a provider knows of an act.
#[derive(Clone, Debug, PartialEq)]
pub enum Reconciled<T = CallToolResult> {
    /// It happened, and this is its answer.
    Acted(T),
    /// It did not happen, and no request that is still on its way can make it happen twice, because
    /// the provider takes one idempotency key once. The tool runs again.
    DidNotAct,
    /// The call ends as `outcome_unknown`, which tells its client what to check.
    CannotTell,
}
