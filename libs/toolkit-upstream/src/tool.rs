//! An upstream's tool as one of ours.

use std::{borrow::Cow, sync::Arc, time::Duration};

use async_trait::async_trait;
use rmcp::model::{
    CallToolRequest, CallToolRequestParams, ClientRequest, ServerResult, Tool as RemoteTool,
};
use serde::{Deserialize, Serialize};
use tokio::time::sleep;
use waybill_toolkit::{
    Effect, InputRequests, InputResponses, JsonObject, Reconciled, Tool, ToolContext, ToolError,
    ToolResult, ToolSpec,
};

use crate::{call::exchange, config::Policy, outcome::nonsense, task, upstream::Upstream};

/// Longest name of a tool in MCP 2026-07-28.
const MAX_NAME: usize = 128;
/// Rounds in which an upstream only wants its state back (rmcp's client allows as many).
const MAX_ROUNDS: usize = 10;
const ROUND_PAUSE: Duration = Duration::from_millis(200);

pub(crate) struct UpstreamTool {
    spec: ToolSpec,
    /// Its name at home.
    remote: String,
    upstream: Arc<Upstream>,
}

/// What a later attempt needs to go on where this one stopped.
#[derive(Debug, Serialize, Deserialize)]
#[serde(
    tag = "waitsFor",
    rename_all = "camelCase",
    rename_all_fields = "camelCase"
)]
pub(crate) enum Checkpoint {
    /// The client's answers; the request is then sent again with them and the upstream's state.
    Input {
        asked: Vec<String>,
        request_state: Option<String>,
    },
    /// The upstream's task; `asked` is what it wants to know.
    Task { task_id: String, asked: Vec<String> },
}

/// Those of the client's answers that were asked for last.
pub(crate) fn answers(cx: &ToolContext, asked: &[String]) -> InputResponses {
    let answer = |key: &String| Some((key.clone(), cx.input(key)?.clone()));
    asked.iter().filter_map(answer).collect()
}

impl UpstreamTool {
    /// `Err` is the name that cannot be offered.
    pub(crate) fn new(upstream: Arc<Upstream>, tool: RemoteTool) -> Result<Self, String> {
        let remote = tool.name.into_owned();
        let name = format!("{}__{remote}", upstream.name);
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
        if remote.is_empty() || name.len() > MAX_NAME || !name.chars().all(allowed) {
            return Err(remote);
        }
        let annotations = tool.annotations.unwrap_or_default();
        let effect = effect(&upstream.policy, &remote, &annotations);
        let mut spec = ToolSpec::new(
            name,
            tool.description.map_or_else(String::new, Cow::into_owned),
            effect,
        );
        spec.title = tool.title.or_else(|| annotations.title.clone());
        spec.input_schema = tool.input_schema;
        spec.output_schema = tool.output_schema;
        spec.timeout = upstream.policy.timeout;
        spec.upstream = Some(format!("mcp/{}", upstream.name));
        spec.open_world = annotations.open_world_hint.unwrap_or(true);
        spec.annotations = Some(annotations);
        Ok(Self {
            spec,
            remote,
            upstream,
        })
    }

    fn request(&self, arguments: JsonObject, resume: Resume) -> ClientRequest {
        let mut params = CallToolRequestParams::new(self.remote.clone()).with_arguments(arguments);
        params.input_responses = Some(resume.responses).filter(|given| !given.is_empty());
        params.request_state = resume.state;
        ClientRequest::CallToolRequest(CallToolRequest::new(params))
    }

    /// Asks the client. What the next attempt needs is durable before.
    async fn ask(
        &self,
        requests: InputRequests,
        request_state: Option<String>,
        cx: &ToolContext,
    ) -> ToolError {
        let asked = requests.keys().cloned().collect();
        if cx
            .checkpoint(&Checkpoint::Input {
                asked,
                request_state,
            })
            .await
        {
            ToolError::InputRequired(requests)
        } else {
            ToolError::Cancelled
        }
    }
}

/// What a repeated request carries besides its arguments.
#[derive(Default)]
struct Resume {
    responses: InputResponses,
    state: Option<String>,
}

/// The operator's word, else the upstream's hints, else the careful assumption.
fn effect(policy: &Policy, tool: &str, hints: &rmcp::model::ToolAnnotations) -> Effect {
    match policy.effects.get(tool) {
        Some(effect) => *effect,
        None if hints.read_only_hint == Some(true) => Effect::ReadOnly,
        None if hints.idempotent_hint == Some(true) => Effect::Idempotent,
        None => Effect::Once,
    }
}

#[async_trait]
impl Tool for UpstreamTool {
    fn spec(&self) -> &ToolSpec {
        &self.spec
    }

    async fn call(&self, arguments: JsonObject, cx: &ToolContext) -> ToolResult {
        if let Some(Checkpoint::Task { task_id, asked }) = cx.last_checkpoint() {
            return task::follow(&self.upstream, task_id, asked, cx).await;
        }
        let mut resume = match cx.last_checkpoint() {
            Some(Checkpoint::Input {
                asked,
                request_state,
            }) => Resume {
                responses: answers(cx, &asked),
                state: request_state,
            },
            _ => Resume::default(),
        };
        for _ in 0..MAX_ROUNDS {
            let session = self.upstream.session(cx).await?;
            let request = self.request(arguments.clone(), std::mem::take(&mut resume));
            match exchange(&self.upstream, &session, request, cx).await? {
                ServerResult::CallToolResult(result) => return Ok(result),
                ServerResult::CreateTaskResult(created) => {
                    return task::begin(&self.upstream, created.task, cx).await;
                }
                ServerResult::InputRequiredResult(asks) => {
                    resume.state = asks.request_state;
                    if let Some(requests) = asks.input_requests.filter(|asked| !asked.is_empty()) {
                        return Err(self.ask(requests, resume.state, cx).await);
                    }
                    // Nothing to answer: it wants to be called again with its state.
                    sleep(ROUND_PAUSE).await;
                }
                _ => {
                    return Err(nonsense(
                        &self.upstream.name,
                        "its answer is no tool result",
                    ));
                }
            }
        }
        Err(nonsense(
            &self.upstream.name,
            "it wants to be called again and again",
        ))
    }

    /// An upstream that made a task can be asked how it ended; any other cannot.
    async fn reconcile(
        &self,
        _arguments: &JsonObject,
        cx: &ToolContext,
    ) -> Result<Reconciled, ToolError> {
        match cx.last_checkpoint() {
            Some(Checkpoint::Task { task_id, asked }) => {
                task::follow(&self.upstream, task_id, asked, cx)
                    .await
                    .map(Reconciled::Acted)
            }
            _ => Ok(Reconciled::CannotTell),
        }
    }
}
