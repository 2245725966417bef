//! An MCP server that misbehaves on demand. Shared by the process in `main.rs` and the HTTP
//! fixture of the tests.

use std::{
    borrow::Cow,
    collections::{BTreeMap, HashMap},
    io::Write,
    process::{Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use rmcp::{
    ErrorData, RoleServer, ServerHandler,
    model::{
        CallToolRequestParams, CallToolResponse, CallToolResult, CancelTaskParams, ContentBlock,
        CreateTaskResult, DetailedTask, ErrorCode, GetTaskParams, GetTaskResult, InputRequests,
        InputRequiredResult, JsonObject, ListToolsResult, PaginatedRequestParams,
        ProgressNotificationParam, ProtocolVersion, ServerCapabilities, ServerConfig,
        SubscriptionFilter, TASKS_EXTENSION_ID, Task, TaskPayload, TaskStatus, Tool,
        ToolAnnotations, UpdateTaskParams,
    },
    service::{RequestContext, SubscriptionContext},
};
use serde_json::{Value, json};
use tokio::sync::Notify;

/// Tools in one page of `tools/list`.
const PAGE: usize = 4;
const TOOLS: &[&str] = &[
    "echo",
    "slow",
    "exit",
    "garbage",
    "hang",
    "cancelled",
    "spawn",
    "env",
    "meta",
    "grow",
    "fail",
    "refuse",
    "task",
    "ask",
    "ask_task",
    "not offered: spaces",
];

#[derive(Clone)]
pub(crate) struct Fixture {
    versions: &'static [ProtocolVersion],
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    cancelled: AtomicUsize,
    grown: AtomicBool,
    growth: Notify,
    tasks: Mutex<HashMap<String, Job>>,
}

struct Job {
    looks: u32,
    asks: bool,
    answers: BTreeMap<String, Value>,
    cancelled: bool,
}

impl Fixture {
    pub(crate) fn modern() -> Self {
        Self {
            versions: ProtocolVersion::KNOWN_VERSIONS,
            state: Arc::default(),
        }
    }

    /// Knows nothing of `server/discover`.
    pub(crate) fn legacy() -> Self {
        let known = ProtocolVersion::KNOWN_VERSIONS;
        Self {
            versions: &known[..known.len() - 1],
            state: Arc::default(),
        }
    }

    async fn run(
        &self,
        tool: &str,
        arguments: &JsonObject,
        request: &CallToolRequestParams,
        cx: &RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let number = |key: &str| {
            arguments
                .get(key)
                .and_then(Value::as_u64)
                .unwrap_or_default()
        };
        match tool {
            "echo" => Ok(text(
                arguments
                    .get("text")
                    .and_then(Value::as_str)
                    .unwrap_or_default(),
            )),
            "slow" => self.slow(number("steps"), number("ms"), cx).await,
            "hang" => {
                cx.ct.cancelled().await;
                self.state.cancelled.fetch_add(1, Ordering::SeqCst);
                Ok(text("too late"))
            }
            "cancelled" => Ok(text(
                &self.state.cancelled.load(Ordering::SeqCst).to_string(),
            )),
            "exit" => std::process::exit(7),
            "garbage" => {
                let noise = b"hello\n{\"half\": \n\"a string\"\n{\"level\":\"info\"}\n\xff\xfe\n";
                std::io::stdout().write_all(noise).unwrap();
                std::io::stdout().flush().unwrap();
                Ok(text("survived"))
            }
            "spawn" => Ok(text(&grandchild())),
            "env" => {
                let env: BTreeMap<_, _> = environment();
                Ok(text(&serde_json::to_string(&env).unwrap()))
            }
            "meta" => Ok(text(&serde_json::to_string(&cx.meta).unwrap())),
            "grow" => {
                self.state.grown.store(true, Ordering::SeqCst);
                self.state.growth.notify_waiters();
                if cx
                    .protocol_version()
                    .is_some_and(|version| version.has_initialize())
                {
                    cx.peer.notify_tool_list_changed().await.unwrap();
                }
                Ok(text("grown"))
            }
            "fail" => Ok(CallToolResult::error(vec![ContentBlock::text("no luck")]).into()),
            "refuse" => {
                let code = ErrorCode(-32050);
                Err(ErrorData::new(
                    code,
                    "not you",
                    Some(json!({ "why": "because" })),
                ))
            }
            "ask" => Ok(ask(request)),
            "task" | "ask_task" => Ok(self.begin(tool == "ask_task")),
            _ => Err(ErrorData::invalid_params("unknown tool", None)),
        }
    }

    async fn slow(
        &self,
        steps: u64,
        ms: u64,
        cx: &RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        for step in 1..=steps {
            tokio::time::sleep(Duration::from_millis(ms)).await;
            if let Some(token) = cx.meta.get_progress_token() {
                #[expect(clippy::cast_precision_loss, reason = "a handful of steps")]
                let update = ProgressNotificationParam::new(token, step as f64)
                    .with_total(steps as f64)
                    .with_message(format!("step {step}"));
                cx.peer.notify_progress(update).await.unwrap();
            }
        }
        Ok(text("done"))
    }

    fn begin(&self, asks: bool) -> CallToolResponse {
        let mut tasks = self.state.tasks.lock().unwrap();
        let id = format!("task-{}", tasks.len());
        let job = Job {
            looks: 0,
            asks,
            answers: BTreeMap::new(),
            cancelled: false,
        };
        tasks.insert(id.clone(), job);
        CallToolResponse::Task(CreateTaskResult::new(task(&id)))
    }
}

fn task(id: &str) -> Task {
    let at = "2026-11-01T00:00:00Z";
    Task::new(id, TaskStatus::Working, at, at).with_poll_interval_ms(50)
}

fn text(text: &str) -> CallToolResponse {
    CallToolResult::success(vec![ContentBlock::text(text)]).into()
}

#[expect(
    clippy::disallowed_methods,
    reason = "what it was given is what the test is about"
)]
fn environment() -> BTreeMap<String, String> {
    std::env::vars().collect()
}

/// A process that outlives its parent, as `npx` and shells leave them.
#[expect(
    clippy::zombie_processes,
    reason = "who is left behind is what the test is about"
)]
fn grandchild() -> String {
    let child = Command::new("sleep")
        .arg("1000")
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    child.id().to_string()
}

fn question() -> InputRequests {
    let form = json!({
        "method": "elicitation/create",
        "params": {
            "mode": "form",
            "message": "Your name?",
            "requestedSchema": {"type": "object", "properties": {"name": {"type": "string"}}},
        },
    });
    BTreeMap::from([("name".to_owned(), serde_json::from_value(form).unwrap())])
}

fn ask(request: &CallToolRequestParams) -> CallToolResponse {
    let name = request
        .input_responses
        .as_ref()
        .and_then(|given| given.get("name"));
    match (name, request.request_state.as_deref()) {
        (Some(answer), Some("second")) => text(&format!("hello {}", answer["content"]["name"])),
        (None, Some("first")) => {
            InputRequiredResult::new(Some(question()), Some("second".to_owned())).into()
        }
        (None, None) => InputRequiredResult::from_request_state("first").into(),
        other => text(&format!("confused by {other:?}")),
    }
}

fn tool(name: &'static str) -> Tool {
    let mut schema = JsonObject::new();
    schema.insert("type".to_owned(), "object".into());
    let mut tool = Tool::new(name, format!("The {name} tool."), Arc::new(schema));
    tool.annotations = match name {
        "echo" | "slow" => Some(ToolAnnotations::new().read_only(true).open_world(false)),
        "garbage" => Some(ToolAnnotations::new().idempotent(true)),
        _ => None,
    };
    tool
}

impl ServerHandler for Fixture {
    fn get_info(&self) -> ServerConfig {
        let mut capabilities = ServerCapabilities::builder()
            .enable_tools()
            .enable_tool_list_changed()
            .build();
        capabilities.extensions = Some([(TASKS_EXTENSION_ID.to_owned(), JsonObject::new())].into());
        ServerConfig::new(capabilities)
    }

    fn supported_protocol_versions(&self) -> Cow<'static, [ProtocolVersion]> {
        Cow::Borrowed(self.versions)
    }

    async fn list_tools(
        &self,
        request: Option<PaginatedRequestParams>,
        _cx: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        let cursor = request.and_then(|request| request.cursor);
        let start: usize = cursor.map_or(0, |cursor| cursor.parse().unwrap());
        let mut names = TOOLS.to_vec();
        if self.state.grown.load(Ordering::SeqCst) {
            names.push("extra");
        }
        let tools = names
            .iter()
            .skip(start)
            .take(PAGE)
            .map(|name| tool(name))
            .collect();
        let mut page = ListToolsResult::with_all_items(tools);
        page.next_cursor = (start + PAGE < names.len()).then(|| (start + PAGE).to_string());
        Ok(page)
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        cx: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let arguments = request.arguments.clone().unwrap_or_default();
        self.run(&request.name, &arguments, &request, &cx).await
    }

    fn accepted_subscription_filter(
        &self,
        requested: &SubscriptionFilter,
    ) -> Option<SubscriptionFilter> {
        Some(requested.clone())
    }

    async fn listen(&self, cx: SubscriptionContext) -> Result<(), ErrorData> {
        loop {
            tokio::select! {
                () = cx.cancelled() => return Ok(()),
                () = self.state.growth.notified() => {
                    cx.sink().notify_tool_list_changed().await.unwrap();
                }
            }
        }
    }

    async fn get_task(
        &self,
        request: GetTaskParams,
        _cx: RequestContext<RoleServer>,
    ) -> Result<GetTaskResult, ErrorData> {
        let mut tasks = self.state.tasks.lock().unwrap();
        let Some(job) = tasks.get_mut(&request.task_id) else {
            return Err(ErrorData::invalid_params("unknown task", None));
        };
        job.looks += 1;
        let payload = if job.cancelled {
            TaskPayload::Cancelled
        } else if job.asks && job.answers.is_empty() {
            TaskPayload::InputRequired {
                input_requests: question(),
            }
        } else if !job.asks && job.looks < 3 {
            TaskPayload::Working
        } else {
            let answer = job.answers.get("name").map_or("nobody", |answer| {
                answer["content"]["name"].as_str().unwrap()
            });
            let result = CallToolResult::success(vec![ContentBlock::text(answer)]);
            let Ok(Value::Object(result)) = serde_json::to_value(result) else {
                unreachable!()
            };
            TaskPayload::Completed { result }
        };
        let task = task(&request.task_id).with_status_message(format!("look {}", job.looks));
        Ok(GetTaskResult::new(DetailedTask::new(task, payload)))
    }

    async fn update_task(
        &self,
        request: UpdateTaskParams,
        _cx: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        let mut tasks = self.state.tasks.lock().unwrap();
        let job = tasks.get_mut(&request.task_id).unwrap();
        job.answers.extend(request.input_responses);
        Ok(())
    }

    async fn cancel_task(
        &self,
        request: CancelTaskParams,
        _cx: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        self.state
            .tasks
            .lock()
            .unwrap()
            .get_mut(&request.task_id)
            .unwrap()
            .cancelled = true;
        self.state.cancelled.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }
}
