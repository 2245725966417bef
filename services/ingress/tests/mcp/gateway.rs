//! A gateway in memory and the clients of its tests.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use axum::{
    Router,
    body::{Body, Bytes, to_bytes},
    http::{Request, StatusCode},
};
use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;
use waybill_backend_sqlite::SqliteBackend;
use waybill_calls::{Call, CallState, Calls, Outcome, Problem, Progress, Said};
use waybill_events::{CallId, EventType, TenantId};
use waybill_identity::Principal;
use waybill_ingress::{
    desk::{Desk, DeskLimits},
    mcp::{self, Changes, McpSettings, McpState},
};
use waybill_messaging::{
    BlobKey, Blobs, Clock, Error, Events, Queue, Result, Settlement, Subscription,
};
use waybill_toolkit::{
    CallToolResult, Content, ContentBlock, Effect, JsonObject, Registry, TaskSupport, Tool,
    ToolContext, ToolResult, ToolSpec, Toolkit,
};

pub(crate) const NEW: &str = "2026-07-28";
pub(crate) const OLD: &str = "2025-11-25";
pub(crate) const SUITE: Subscription = Subscription::new(
    "worker",
    Events::Only(&[
        EventType::ToolCallRequested,
        EventType::ToolCallInputProvided,
    ]),
);

pub(crate) struct Gateway {
    pub(crate) router: Router,
    pub(crate) desk: Desk,
    pub(crate) changes: Changes,
    queue: SqliteBackend,
    blobs: Arc<MemoryBlobs>,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) text: String,
}

pub(crate) fn principal(tenant: &str, key: &str) -> Principal {
    Principal {
        key_id: key.to_owned(),
        tenant: TenantId::parse(tenant).unwrap(),
        scopes: std::collections::BTreeSet::new(),
    }
}

pub(crate) fn gateway() -> Gateway {
    gateway_with(|_| {}, None)
}

pub(crate) fn gateway_with(
    change: impl FnOnce(&mut McpSettings),
    content: Option<Arc<dyn Content>>,
) -> Gateway {
    let clock = Clock::simulated(DateTime::from_timestamp(1_780_000_000, 0).unwrap());
    let backend = SqliteBackend::in_memory(&[SUITE], clock.clone()).unwrap();
    let blobs = Arc::new(MemoryBlobs::default());
    let calls = Calls::new(Arc::new(backend.clone()), blobs.clone(), clock.clone());
    let registry = Registry::default();
    registry.set(&Fixtures).unwrap();
    let desk = Desk::new(calls, registry, clock, DeskLimits::default());
    let changes = Changes::default();
    let mut settings = McpSettings::new(vec![7; 32]);
    change(&mut settings);
    let state = McpState {
        desk: desk.clone(),
        content,
        changes: changes.clone(),
        settings: Arc::new(settings),
        shutdown: CancellationToken::new(),
    };
    Gateway {
        router: mcp::router(state).unwrap(),
        desk,
        changes,
        queue: backend,
        blobs,
    }
}

impl Gateway {
    /// As `acme`'s key `k1`.
    pub(crate) async fn post(&self, headers: &[(&str, &str)], body: impl Into<Body>) -> Answer {
        self.post_as(principal("acme", "k1"), headers, body).await
    }

    pub(crate) async fn post_as(
        &self,
        principal: Principal,
        headers: &[(&str, &str)],
        body: impl Into<Body>,
    ) -> Answer {
        let response = self
            .router
            .clone()
            .oneshot(request(principal, headers, body))
            .await
            .unwrap();
        let (parts, body) = response.into_parts();
        let body = to_bytes(body, usize::MAX).await.unwrap();
        let text = |value: &axum::http::HeaderValue| value.to_str().unwrap().to_owned();
        Answer {
            status: parts.status,
            headers: parts
                .headers
                .iter()
                .map(|(name, value)| (name.to_string(), text(value)))
                .collect(),
            text: String::from_utf8(body.to_vec()).unwrap(),
        }
    }

    /// A request of 2026-07-28 from a client with these capabilities.
    pub(crate) async fn new_era(&self, capabilities: Value, method: &str, params: Value) -> Answer {
        let by = principal("acme", "k1");
        self.new_era_as(by, &[], capabilities, method, params).await
    }

    pub(crate) async fn new_era_as(
        &self,
        by: Principal,
        more: &[(&str, &str)],
        capabilities: Value,
        method: &str,
        params: Value,
    ) -> Answer {
        let (name, body) = new_era(capabilities, method, params);
        let mut headers = vec![("mcp-protocol-version", NEW), ("mcp-method", method)];
        headers.extend(name.as_deref().map(|name| ("mcp-name", name)));
        headers.extend_from_slice(more);
        self.post_as(by, &headers, body.to_string()).await
    }

    pub(crate) async fn old_era(&self, version: &str, method: &str, params: Value) -> Answer {
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        let headers = [("mcp-protocol-version", version)];
        self.post(&headers, body.to_string()).await
    }

    /// The call that a worker gets next, claimed.
    pub(crate) async fn claim(&self) -> Call {
        let deliveries = self.queue.receive(SUITE.name, 1, Duration::from_mins(1));
        let deliveries = deliveries.await.unwrap();
        let delivery = deliveries.first().expect("a call is queued");
        let done = self.queue.settle(&delivery.receipt, Settlement::Done);
        done.await.unwrap();
        let id = CallId::parse(&delivery.event.subject).unwrap();
        let tenant = delivery.event.tenant.clone();
        self.change(&tenant, &id, |call, now| {
            call.claim(now).unwrap();
        })
        .await
    }

    /// Large results can be read, or not.
    pub(crate) fn offer_blobs(&self, there: bool) {
        self.blobs.away.store(!there, Ordering::Relaxed);
    }

    /// Nothing is queued.
    pub(crate) async fn idle(&self) -> bool {
        let depth = self.queue.depth(SUITE.name).await.unwrap();
        depth.ready + depth.leased == 0
    }

    pub(crate) async fn finish(&self, call: &Call, result: &CallToolResult) {
        let result = json!(result);
        let kept = self.desk.calls().keep(call, "result", &result);
        let payload = kept.await.unwrap();
        self.change(&call.tenant, &call.id, move |call, now| {
            let outcome = Outcome::Result(payload.clone());
            call.finish(call.attempt, outcome, now).unwrap();
        })
        .await;
    }

    pub(crate) async fn say(&self, call: &Call, text: &str) {
        let result = CallToolResult::success(vec![ContentBlock::text(text)]);
        self.finish(call, &result).await;
    }

    pub(crate) async fn fail(&self, call: &Call, problem: Problem) {
        self.change(&call.tenant, &call.id, move |call, now| {
            call.give_up(problem.clone(), now).unwrap();
        })
        .await;
    }

    pub(crate) async fn progress(&self, call: &Call, progress: f64) {
        self.change(&call.tenant, &call.id, move |call, now| {
            let progress = Progress {
                progress,
                total: Some(10.0),
                message: Some("moves".to_owned()),
            };
            call.progress(call.attempt, progress, now).unwrap();
        })
        .await;
    }

    /// Several reports in one version of the record.
    pub(crate) async fn report(&self, call: &Call, said: &[Said]) {
        self.change(&call.tenant, &call.id, |call, now| {
            call.report(call.attempt, said.to_vec(), now).unwrap();
        })
        .await;
    }

    /// Asks for a name by elicitation, under this key.
    pub(crate) async fn ask(&self, call: &Call, key: &str) {
        let question = json!({
            "method": "elicitation/create",
            "params": {
                "mode": "form",
                "message": "Who?",
                "requestedSchema": { "type": "object", "properties": { "name": { "type": "string" } } },
            },
        });
        let questions = BTreeMap::from([(key.to_owned(), question)]);
        self.change(&call.tenant, &call.id, move |call, now| {
            call.ask(call.attempt, questions.clone(), now).unwrap();
        })
        .await;
    }

    pub(crate) async fn state(&self, id: &str) -> CallState {
        let found = self.desk.find(&principal("acme", "k1"), id).await;
        found.unwrap().call.state
    }

    async fn change(
        &self,
        tenant: &TenantId,
        id: &CallId,
        change: impl Fn(&mut Call, DateTime<Utc>),
    ) -> Call {
        let changed = self.desk.calls().change(tenant, id, |call, now| {
            change(call, now);
            Ok(Some(Vec::new()))
        });
        changed.await.unwrap().call
    }
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("not JSON: {self:?}"))
    }

    pub(crate) fn result(&self) -> Value {
        let answer = self.json();
        assert!(answer["error"].is_null(), "{answer}");
        answer["result"].clone()
    }

    /// Code and message, of an answer that repeats the request's id.
    pub(crate) fn error(&self) -> (i64, String) {
        let answer = self.json();
        let error = &answer["error"];
        let message = error["message"].as_str().unwrap_or_default().to_owned();
        (
            error["code"].as_i64().unwrap_or_else(|| panic!("{answer}")),
            message,
        )
    }

    /// The messages of an event stream.
    pub(crate) fn stream(&self) -> Vec<Value> {
        self.text
            .lines()
            .filter_map(|line| line.strip_prefix("data:"))
            .filter_map(|data| serde_json::from_str(data).ok())
            .collect()
    }
}

pub(crate) fn request(
    principal: Principal,
    headers: &[(&str, &str)],
    body: impl Into<Body>,
) -> Request<Body> {
    let mut request = Request::post("/mcp").header("host", "localhost:8080");
    let defaults = [
        ("content-type", "application/json"),
        ("accept", "application/json, text/event-stream"),
    ];
    for (name, value) in defaults {
        if !headers.iter().any(|(given, _)| *given == name) {
            request = request.header(name, value);
        }
    }
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.extension(principal).body(body.into()).unwrap()
}

/// The `Mcp-Name` and the body of a request of 2026-07-28. Tasks go without the name, as `FastMCP`
/// sends them.
pub(crate) fn new_era(
    capabilities: Value,
    method: &str,
    mut params: Value,
) -> (Option<String>, Value) {
    params["_meta"]["io.modelcontextprotocol/protocolVersion"] = json!(NEW);
    params["_meta"]["io.modelcontextprotocol/clientCapabilities"] = capabilities;
    let name = params["name"].as_str().or(params["uri"].as_str());
    let name = name.map(str::to_owned);
    let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
    (name, body)
}

/// Client capabilities with the tasks extension.
pub(crate) fn with_tasks() -> Value {
    json!({ "elicitation": {}, "extensions": { "io.modelcontextprotocol/tasks": {} } })
}

struct Fixtures;

/// Only its spec is looked at: the worker is played by hand.
struct Described(ToolSpec);

#[async_trait]
impl Tool for Described {
    fn spec(&self) -> &ToolSpec {
        &self.0
    }

    async fn call(&self, _: JsonObject, _: &ToolContext) -> ToolResult {
        unreachable!("no tool runs here")
    }
}

impl Toolkit for Fixtures {
    fn name(&self) -> &'static str {
        "fixtures"
    }

    fn tools(&self) -> Vec<Arc<dyn Tool>> {
        let object = |schema: Value| Arc::new(schema.as_object().unwrap().clone());
        let mut echo = ToolSpec::new("echo", "Echoes", Effect::ReadOnly);
        echo.input_schema = object(json!({
            "type": "object",
            "properties": { "text": { "type": "string" } },
            "additionalProperties": false,
        }));
        let mut typed = ToolSpec::new("typed", "Has an output schema", Effect::ReadOnly);
        typed.output_schema = Some(object(json!({ "type": "object" })));
        let mut inline = ToolSpec::new("inline", "Never a task", Effect::ReadOnly);
        inline.task_support = TaskSupport::Forbidden;
        let mut job = ToolSpec::new("job", "Always a task", Effect::Once);
        job.task_support = TaskSupport::Required;
        let described = |spec| Arc::new(Described(spec)) as Arc<dyn Tool>;
        [echo, typed, inline, job].map(described).into()
    }
}

#[derive(Default)]
struct MemoryBlobs {
    kept: Mutex<HashMap<String, Bytes>>,
    away: AtomicBool,
}

#[async_trait]
impl Blobs for MemoryBlobs {
    async fn put(&self, key: &BlobKey, body: Bytes, _: DateTime<Utc>) -> Result<()> {
        self.kept.lock().unwrap().insert(key.name.clone(), body);
        Ok(())
    }

    async fn get(&self, key: &BlobKey) -> Result<Option<Bytes>> {
        if self.away.load(Ordering::Relaxed) {
            return Err(Error::unavailable("the store is away", "as told"));
        }
        Ok(self.kept.lock().unwrap().get(&key.name).cloned())
    }

    async fn delete(&self, key: &BlobKey) -> Result<()> {
        self.kept.lock().unwrap().remove(&key.name);
        Ok(())
    }

    async fn expire(&self, _: usize) -> Result<usize> {
        Ok(0)
    }
}
