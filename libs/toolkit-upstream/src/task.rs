//! An upstream's task (`io.modelcontextprotocol/tasks`), followed to its end.

use std::{collections::HashSet, time::Duration};

use rmcp::model::{
    CancelTaskParams, CancelTaskRequest, ClientRequest, DetailedTask, ErrorCode, GetTaskParams,
    GetTaskRequest, JsonObject, ServerResult, Task, TaskPayload, UpdateTaskParams,
    UpdateTaskRequest,
};
use tokio::time::{Instant, sleep_until, timeout};
use waybill_toolkit::{InputRequests, ToolContext, ToolError, ToolResult};

use crate::{
    call::{exchange, options},
    outcome::{nonsense, unknown},
    tool::{Checkpoint, answers},
    upstream::{Link, Upstream},
};

/// Between two looks when the upstream does not say.
const POLL: Duration = Duration::from_secs(1);
/// The upstream's wish is honoured within these.
const FASTEST: Duration = Duration::from_millis(50);
const SLOWEST: Duration = Duration::from_secs(30);
/// For telling the upstream that nobody wants the task any more.
const FAREWELL: Duration = Duration::from_secs(5);

/// Follows a task that the upstream just made. Its id is durable before the first look, so that a
/// crash from here on loses nothing.
pub(crate) async fn begin(upstream: &Upstream, task: Task, cx: &ToolContext) -> ToolResult {
    let made = Checkpoint::Task {
        task_id: task.task_id.clone(),
        asked: Vec::new(),
    };
    if !cx.checkpoint(&made).await {
        cancel(upstream, &task.task_id);
        return Err(ToolError::Cancelled);
    }
    follow(upstream, task.task_id, Vec::new(), cx).await
}

/// Follows a known task, first handing over the client's answers to what it `asked`. At the
/// deadline the task is left alone: the next attempt goes on with it.
pub(crate) async fn follow(
    upstream: &Upstream,
    task_id: String,
    asked: Vec<String>,
    cx: &ToolContext,
) -> ToolResult {
    let mut follower = Follower {
        upstream,
        task_id,
        cx,
        answered: HashSet::new(),
        said: None,
        looks: 0.0,
    };
    let outcome = follower.run(asked).await;
    if matches!(outcome, Err(ToolError::Cancelled)) {
        cancel(upstream, &follower.task_id);
    }
    outcome
}

struct Follower<'a> {
    upstream: &'a Upstream,
    task_id: String,
    cx: &'a ToolContext,
    /// Keys handed over; the upstream may still list them for a while.
    answered: HashSet<String>,
    /// The last status message passed on.
    said: Option<String>,
    looks: f64,
}

impl Follower<'_> {
    async fn run(&mut self, asked: Vec<String>) -> ToolResult {
        self.answer(&asked).await?;
        loop {
            let Some(state) = self.look().await? else {
                self.pause(POLL).await?;
                continue;
            };
            let pause = state
                .task
                .poll_interval_ms
                .map_or(POLL, Duration::from_millis);
            self.tell(state.task.status_message);
            match state.payload {
                TaskPayload::Completed { result } => return self.complete(result),
                TaskPayload::Failed { error } => return Err(self.fail(error)),
                TaskPayload::Cancelled => {
                    return Err(nonsense(
                        &self.upstream.name,
                        "it cancelled the task by itself",
                    ));
                }
                TaskPayload::InputRequired { input_requests } => self.ask(input_requests).await?,
                _ => {}
            }
            self.pause(pause.clamp(FASTEST, SLOWEST)).await?;
        }
    }

    /// `None`: the upstream cannot be reached now. Its task lives on, so it is looked at again.
    async fn look(&self) -> Result<Option<DetailedTask>, ToolError> {
        let params = GetTaskParams::new(self.task_id.clone());
        match self
            .send(ClientRequest::GetTaskRequest(GetTaskRequest::new(params)))
            .await
        {
            Ok(ServerResult::GetTaskResult(result)) => Ok(Some(result.task)),
            Ok(_) => Err(nonsense(&self.upstream.name, "its answer is no task")),
            Err(ToolError::Unavailable { .. } | ToolError::Unknown { .. }) => Ok(None),
            Err(ToolError::Protocol { code, .. }) if code == ErrorCode::INVALID_PARAMS.0 => {
                Err(unknown(&self.upstream.name, "it has forgotten the task"))
            }
            Err(error) => Err(error),
        }
    }

    async fn send(&self, request: ClientRequest) -> Result<ServerResult, ToolError> {
        let session = self.upstream.session(self.cx).await?;
        exchange(self.upstream, &session, request, self.cx).await
    }

    /// Hands over what the client answered; keys without an answer stay open.
    async fn answer(&mut self, asked: &[String]) -> Result<(), ToolError> {
        let given = answers(self.cx, asked);
        if given.is_empty() {
            return Ok(());
        }
        self.answered.extend(given.keys().cloned());
        let params = UpdateTaskParams::new(self.task_id.clone(), given);
        let request = ClientRequest::UpdateTaskRequest(UpdateTaskRequest::new(params));
        self.send(request).await.map(drop)
    }

    async fn ask(&mut self, mut requests: InputRequests) -> Result<(), ToolError> {
        requests.retain(|key, _| !self.answered.contains(key));
        if requests.is_empty() {
            return Ok(());
        }
        let asked: Vec<String> = requests.keys().cloned().collect();
        let waiting = Checkpoint::Task {
            task_id: self.task_id.clone(),
            asked,
        };
        if self.cx.checkpoint(&waiting).await {
            Err(ToolError::InputRequired(requests))
        } else {
            Err(ToolError::Cancelled)
        }
    }

    fn tell(&mut self, message: Option<String>) {
        if message.is_some() && message != self.said {
            self.looks += 1.0;
            self.cx.progress(self.looks, None, message.clone());
            self.said = message;
        }
    }

    fn complete(&self, result: JsonObject) -> ToolResult {
        serde_json::from_value(result.into())
            .map_err(|_| nonsense(&self.upstream.name, "the task's result is no tool result"))
    }

    fn fail(&self, mut error: JsonObject) -> ToolError {
        let code = error
            .get("code")
            .and_then(|code| i32::try_from(code.as_i64()?).ok());
        let message = error.get("message").and_then(|message| message.as_str());
        match (code, message) {
            (Some(code), Some(message)) => ToolError::Protocol {
                code,
                message: message.to_owned(),
                data: error.remove("data"),
            },
            _ => nonsense(&self.upstream.name, "the task failed and does not say why"),
        }
    }

    async fn pause(&self, pause: Duration) -> Result<(), ToolError> {
        let next = Instant::now() + pause;
        tokio::select! {
            () = self.cx.cancelled().cancelled() => Err(ToolError::Cancelled),
            () = sleep_until(next.min(self.cx.deadline())) => {
                if next < self.cx.deadline() {
                    return Ok(());
                }
                let what = format!("its task {} runs beyond the deadline", self.task_id);
                Err(unknown(&self.upstream.name, &what))
            }
        }
    }
}

/// Best effort, in the background: the caller has been told already.
fn cancel(upstream: &Upstream, task_id: &str) {
    let Link::Ready { session, .. } = upstream.link.borrow().clone() else {
        return;
    };
    let params = CancelTaskParams::new(task_id);
    upstream.tasks.spawn(async move {
        let request = ClientRequest::CancelTaskRequest(CancelTaskRequest::new(params));
        let options = options(&session, None);
        if let Ok(sent) = session
            .peer
            .send_cancellable_request(request, options)
            .await
        {
            drop(timeout(FAREWELL, sent.await_response()).await);
        }
    });
}
