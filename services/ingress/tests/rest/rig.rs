//! A whole gateway in memory, and a client of it.

use std::{
    collections::{BTreeSet, HashMap},
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use axum::{
    Router,
    body::{Body, Bytes, to_bytes},
    extract::ConnectInfo,
    http::{HeaderMap, Request, StatusCode},
};
use chrono::{DateTime, Utc};
use serde_json::{Value, json, value::to_raw_value};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;
use waybill_audit_sink::{AuditSink, ChainKey, Trail};
use waybill_backend_sqlite::SqliteBackend;
use waybill_calls::{Call, Calls, Outcome, Payload, Progress};
use waybill_events::{CallId, EventType, TenantId};
use waybill_identity::{Keys, NewKey, Principal, Scope};
use waybill_ingress::{
    Check, Gateway, McpSettings, McpState, RateLimit, Readiness, Verdict,
    desk::{Desk, DeskLimits},
    mcp::Changes,
    router,
};
use waybill_messaging::{
    BatchHandler, BlobKey, Blobs, Bus, Clock, Commit, Committed, DataKey, EncryptionContext, Error,
    Events, Key, KeyRing, Ledger, Meter, Page, Queue, Range, Record, Result, Settlement,
    Subscription, dispatch_batch, metered,
};
use waybill_toolkit::{
    CallToolResult, ContentBlock, Effect, JsonObject, Registry, Tool, ToolContext, ToolResult,
    ToolSpec, Toolkit,
};
use waybill_vault::SealedSecrets;

pub(crate) const WORKER: Subscription =
    Subscription::new("worker", Events::Only(&[EventType::ToolCallRequested]));
const TOPOLOGY: &[Subscription] = &[WORKER, AuditSink::SUBSCRIPTION];

pub(crate) struct Rig {
    pub(crate) router: Router,
    pub(crate) keys: Keys,
    pub(crate) readiness: Readiness,
    pub(crate) shutdown: CancellationToken,
    pub(crate) queue: SqliteBackend,
    pub(crate) ledger: Arc<Breakable>,
    calls: Calls,
    bus: Bus,
    chain_key: ChainKey,
    /// `acme`'s key, which may call tools.
    pub(crate) key: String,
    /// The operator's key, which may not.
    pub(crate) admin: String,
}

/// What a test changes about the gateway.
pub(crate) struct Setup {
    pub(crate) rate: RateLimit,
    pub(crate) body_bytes: usize,
    pub(crate) anonymous: bool,
}

impl Default for Setup {
    fn default() -> Self {
        let rate = RateLimit {
            per_second: 1_000.0,
            burst: 1_000,
        };
        Self {
            rate,
            body_bytes: 64 * 1024,
            anonymous: false,
        }
    }
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

pub(crate) async fn rig() -> Rig {
    rig_with(Setup::default()).await
}

pub(crate) async fn rig_with(setup: Setup) -> Rig {
    let clock = Clock::simulated(DateTime::from_timestamp(1_780_000_000, 0).unwrap());
    let queue = SqliteBackend::in_memory(TOPOLOGY, clock.clone()).unwrap();
    let breakable = Arc::new(Breakable::new(queue.clone()));
    let meter = Meter::default();
    let ledger = metered(breakable.clone(), &meter);
    let bus = Bus {
        ledger: ledger.clone(),
        queue: Arc::new(queue.clone()),
        clock: clock.clone(),
        meter,
    };
    let blobs = Arc::new(MemoryBlobs::default());
    let calls = Calls::new(ledger.clone(), blobs, clock.clone());
    let keys = Keys::new(ledger.clone(), clock.clone());
    let secrets = SealedSecrets::new(ledger.clone(), Arc::new(PlainKeyRing), clock.clone());
    let registry = Registry::default();
    registry.set(&Fixtures).unwrap();
    let desk = Desk::new(calls.clone(), registry, clock, DeskLimits::default());
    let chain_key = ChainKey::open(&*ledger, &PlainKeyRing).await.unwrap();
    let (readiness, shutdown) = (Readiness::default(), CancellationToken::new());
    let mut settings = McpSettings::new(vec![7; 32]);
    settings.body_bytes = setup.body_bytes;
    let checks = [check("ledger", Verdict::Ok("answers".into())), stuck()];
    let anonymous = setup.anonymous.then(|| Principal {
        key_id: "anonymous".into(),
        tenant: TenantId::parse("acme").unwrap(),
        scopes: BTreeSet::from([Scope::ToolsCall]),
    });
    let gateway = Gateway {
        mcp: McpState {
            desk,
            content: None,
            changes: Changes::default(),
            settings: Arc::new(settings),
            shutdown: shutdown.clone(),
        },
        keys: keys.clone(),
        trail: Trail::new(ledger.clone(), chain_key.clone()),
        secrets: Arc::new(secrets),
        bus: bus.clone(),
        subscriptions: TOPOLOGY.into(),
        checks: Arc::new(checks),
        readiness: readiness.clone(),
        rate: setup.rate,
        anonymous,
    };
    let router = router(gateway).unwrap();
    let tenants = keys.tenants();
    tenants
        .create("test", TenantId::parse("acme").unwrap(), "Acme")
        .await
        .unwrap();
    let key = make(&keys, "acme", Scope::ToolsCall).await.secret;
    let admin = make(&keys, "default", Scope::Admin).await.secret;
    Rig {
        router,
        keys,
        readiness,
        shutdown,
        queue,
        ledger: breakable,
        calls,
        bus,
        chain_key,
        key,
        admin,
    }
}

pub(crate) async fn make(keys: &Keys, tenant: &str, scope: Scope) -> NewKey {
    let (tenant, scopes) = (TenantId::parse(tenant).unwrap(), BTreeSet::from([scope]));
    keys.create("test", tenant, "a key", scopes, None)
        .await
        .unwrap()
}

impl Rig {
    /// As `acme`'s key.
    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(&self.key, "GET", path, &[], Body::empty()).await
    }

    pub(crate) async fn get_with(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        self.send(&self.key, "GET", path, headers, Body::empty())
            .await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        self.send(&self.key, "DELETE", path, &[], Body::empty())
            .await
    }

    pub(crate) async fn post(&self, path: &str, headers: &[(&str, &str)], body: Value) -> Answer {
        self.send(&self.key, "POST", path, headers, body.to_string())
            .await
    }

    pub(crate) async fn admin(&self, method: &str, path: &str, body: Value) -> Answer {
        let body = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        self.send(&self.admin, method, path, &[], body).await
    }

    pub(crate) async fn send(
        &self,
        key: &str,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Body>,
    ) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        let bearer = format!("Bearer {key}");
        let defaults = [
            ("host", "localhost:8080"),
            ("content-type", "application/json"),
            ("authorization", bearer.as_str()),
        ];
        for (name, value) in defaults {
            let given = headers.iter().any(|(given, _)| *given == name);
            let withheld = name == "authorization" && key.is_empty();
            if !(given || withheld) {
                request = request.header(name, value);
            }
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.request(request.body(body.into()).unwrap()).await
    }

    pub(crate) async fn as_peer(&self, peer: &str, path: &str) -> Answer {
        let peer: SocketAddr = peer.parse().unwrap();
        let request = Request::get(path).header("host", "localhost");
        self.request(
            request
                .extension(ConnectInfo(peer))
                .body(Body::empty())
                .unwrap(),
        )
        .await
    }

    pub(crate) async fn request(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = to_bytes(body, usize::MAX).await.unwrap();
        let text = String::from_utf8(body.to_vec()).unwrap();
        Answer {
            status: parts.status,
            headers: parts.headers,
            text,
        }
    }

    /// Places a call of `echo` and does not wait for it; its id.
    pub(crate) async fn place(&self) -> String {
        let placed = self
            .post(
                "/calls",
                &[("prefer", "respond-async")],
                json!({ "tool": "echo" }),
            )
            .await;
        assert_eq!(placed.status, StatusCode::ACCEPTED, "{placed:?}");
        placed.json()["id"].as_str().unwrap().to_owned()
    }

    /// The call that a worker gets next, claimed.
    pub(crate) async fn claim(&self) -> Call {
        let received = self
            .queue
            .receive(WORKER.name, 1, Duration::from_mins(1))
            .await
            .unwrap();
        let delivery = received.first().expect("a call is queued");
        self.queue
            .settle(&delivery.receipt, Settlement::Done)
            .await
            .unwrap();
        let id = CallId::parse(&delivery.event.subject).unwrap();
        let tenant = delivery.event.tenant.clone();
        self.change(&tenant, &id, |call, now| {
            call.claim(now).unwrap();
        })
        .await
    }

    pub(crate) async fn progress(&self, call: &Call, progress: f64) {
        self.change(&call.tenant, &call.id, |call, now| {
            let progress = Progress {
                progress,
                total: None,
                message: None,
            };
            call.progress(call.attempt, progress, now).unwrap();
        })
        .await;
    }

    pub(crate) async fn finish(&self, call: &Call, text: &str) {
        let result = CallToolResult::success(vec![ContentBlock::text(text)]);
        let payload = Payload::Inline(to_raw_value(&result).unwrap());
        self.change(&call.tenant, &call.id, |call, now| {
            call.finish(call.attempt, Outcome::Result(payload.clone()), now)
                .unwrap();
        })
        .await;
    }

    async fn change(
        &self,
        tenant: &TenantId,
        id: &CallId,
        change: impl Fn(&mut Call, DateTime<Utc>),
    ) -> Call {
        let changed = self.calls.change(tenant, id, |call, now| {
            change(call, now);
            Ok(Some(call.ended((1, false)).into_iter().collect()))
        });
        changed.await.unwrap().call
    }

    /// Lets the audit sink write down what has happened.
    pub(crate) async fn audit(&self) {
        let sink = AuditSink::new(self.bus.ledger.clone(), self.chain_key.clone());
        let name = AuditSink::SUBSCRIPTION.name;
        loop {
            let deliveries = self.queue.receive(name, 64, Duration::ZERO).await.unwrap();
            if deliveries.is_empty() {
                return;
            }
            dispatch_batch(&sink, &self.bus, &deliveries, &self.shutdown).await;
        }
    }

    /// The actions in the trail, oldest first.
    pub(crate) async fn actions(&self) -> Vec<String> {
        self.audit().await;
        let trail = self
            .admin("GET", "/admin/audit?limit=1000", Value::Null)
            .await
            .json();
        let entries = trail["entries"].as_array().unwrap().iter();
        let actions = entries.filter_map(|entry| entry["event"]["data"]["action"].as_str());
        actions.map(str::to_owned).collect()
    }
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("not JSON: {self:?}"))
    }

    pub(crate) fn code(&self) -> String {
        let answer = self.json();
        assert!(answer["error"]["message"].is_string(), "{answer}");
        answer["error"]["code"].as_str().unwrap().to_owned()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }

    /// Name, id and document of each event of a stream.
    pub(crate) fn events(&self) -> Vec<(String, String, Value)> {
        let field = |event: &str, name: &str| {
            let mut lines = event.lines();
            lines
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
                .map(str::to_owned)
        };
        let events = self.text.split("\n\n").filter_map(|event| {
            let data = field(event, "data")?;
            let id = field(event, "id").unwrap_or_default();
            Some((
                field(event, "event")?,
                id,
                serde_json::from_str(&data).unwrap(),
            ))
        });
        events.collect()
    }
}

fn check(name: &str, verdict: Verdict) -> Check {
    let run = move || -> futures::future::BoxFuture<'static, Verdict> {
        Box::pin(std::future::ready(verdict.clone()))
    };
    Check {
        name: name.to_owned(),
        run: Arc::new(run),
    }
}

fn stuck() -> Check {
    Check {
        name: "stuck".into(),
        run: Arc::new(|| Box::pin(std::future::pending())),
    }
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
        let schema = json!({
            "type": "object",
            "properties": { "text": { "type": "string" } },
            "additionalProperties": false,
        });
        let mut echo = ToolSpec::new("echo", "Echoes", Effect::ReadOnly);
        echo.input_schema = Arc::new(schema.as_object().unwrap().clone());
        let other = ToolSpec::new("other", "Something else", Effect::Once);
        [echo, other]
            .map(|spec| Arc::new(Described(spec)) as Arc<dyn Tool>)
            .into()
    }
}

/// The ledger, which can be made to fail.
pub(crate) struct Breakable {
    inner: SqliteBackend,
    broken: AtomicBool,
    full: AtomicBool,
    mute: AtomicBool,
    blind: AtomicBool,
    commits: AtomicUsize,
}

impl Breakable {
    fn new(inner: SqliteBackend) -> Self {
        Self {
            inner,
            broken: AtomicBool::new(false),
            full: AtomicBool::new(false),
            mute: AtomicBool::new(false),
            blind: AtomicBool::new(false),
            commits: AtomicUsize::new(0),
        }
    }

    /// No room for writes any more; reads go on.
    pub(crate) fn fill_up(&self) {
        self.full.store(true, Ordering::Relaxed);
    }

    /// Commits happen from now on, and their answers are lost.
    pub(crate) fn mute(&self) {
        self.mute.store(true, Ordering::Relaxed);
    }

    /// Nobody can wait for a change any more.
    pub(crate) fn blind(&self) {
        self.blind.store(true, Ordering::Relaxed);
    }

    pub(crate) fn commits(&self) -> usize {
        self.commits.load(Ordering::Relaxed)
    }

    pub(crate) fn break_down(&self) {
        self.broken.store(true, Ordering::Relaxed);
    }

    fn works(&self) -> Result<()> {
        if self.broken.load(Ordering::Relaxed) {
            return Err(Error::unavailable("the disk is full", "secret inside"));
        }
        Ok(())
    }
}

#[async_trait]
impl Ledger for Breakable {
    async fn commit(&self, commit: Commit) -> Result<Committed> {
        self.works()?;
        self.commits.fetch_add(1, Ordering::Relaxed);
        if self.full.load(Ordering::Relaxed) {
            return Err(Error::unavailable("the disk is full", "secret inside"));
        }
        let committed = self.inner.commit(commit).await;
        if self.mute.load(Ordering::Relaxed) {
            return Err(Error::unavailable("no answer in time", "secret inside"));
        }
        committed
    }

    async fn get(&self, key: &Key) -> Result<Option<Record>> {
        self.works()?;
        self.inner.get(key).await
    }

    async fn list(&self, partition: &str, range: Range) -> Result<Page> {
        self.works()?;
        self.inner.list(partition, range).await
    }

    async fn query(&self, partition: &str, range: Range) -> Result<Page> {
        self.works()?;
        self.inner.query(partition, range).await
    }

    async fn changed(&self, key: &Key, after: u64, wait: Duration) -> Result<Option<Record>> {
        self.works()?;
        if self.blind.load(Ordering::Relaxed) {
            return Err(Error::unavailable("no answer in time", "secret inside"));
        }
        self.inner.changed(key, after, wait).await
    }

    async fn expire(&self, limit: usize) -> Result<usize> {
        self.works()?;
        self.inner.expire(limit).await
    }
}

/// Wraps nothing: the trail's key is not what is tested here.
struct PlainKeyRing;

#[async_trait]
impl KeyRing for PlainKeyRing {
    async fn wrap(&self, key: &DataKey, _: &EncryptionContext) -> Result<Vec<u8>> {
        Ok(key.0.to_vec())
    }

    async fn unwrap(&self, wrapped: &[u8], _: &EncryptionContext) -> Result<DataKey> {
        Ok(DataKey(wrapped.try_into().unwrap()))
    }
}

#[derive(Default)]
struct MemoryBlobs(Mutex<HashMap<String, Bytes>>);

#[async_trait]
impl Blobs for MemoryBlobs {
    async fn put(&self, key: &BlobKey, body: Bytes, _: DateTime<Utc>) -> Result<()> {
        self.0.lock().unwrap().insert(key.name.clone(), body);
        Ok(())
    }

    async fn get(&self, key: &BlobKey) -> Result<Option<Bytes>> {
        Ok(self.0.lock().unwrap().get(&key.name).cloned())
    }

    async fn delete(&self, key: &BlobKey) -> Result<()> {
        self.0.lock().unwrap().remove(&key.name);
        Ok(())
    }

    async fn expire(&self, _: usize) -> Result<usize> {
        Ok(0)
    }
}
