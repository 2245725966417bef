//! A gateway with one queue, fake tools and a store that can crash.

use std::{
    collections::BTreeMap,
    future::pending,
    ops::Range,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU32, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use chrono::DateTime;
use futures::future::BoxFuture;
use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use waybill_backend_sqlite::{DirectoryBlobs, SqliteBackend};
use waybill_calls::{Call, CallState, Calls, NewCall, Outcome, Problem};
use waybill_events::{CallId, Event, EventType, TenantId};
use waybill_messaging::{
    Bus, Clock, Commit, Committed, Delivery, Error, Events, Handler, Key, Ledger, Meter, Page,
    Queue, Record, Result, Settlement, Subscription, dispatch,
};
use waybill_resilience::{Breakers, Settings};
use waybill_tool_executor::{DeadlineSweep, ToolExecutor};
use waybill_toolkit::{
    CallToolResult, ContentBlock, Effect, JsonObject, Reconciled, Registry, Tool, ToolContext,
    ToolError, ToolResult, ToolSpec, Toolkit,
};

/// Sees every event, for the tests to look at.
pub(crate) const WATCH: Subscription = Subscription::new("watch", Events::All);
/// Of every request.
pub(crate) const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
/// Longer than a lease.
pub(crate) const AFTER_LEASE: Duration = Duration::from_secs(61);

type Act = Box<dyn for<'a> Fn(u32, &'a ToolContext) -> BoxFuture<'a, ToolResult> + Send + Sync>;
type Reconcile = Box<dyn Fn() -> std::result::Result<Reconciled, ToolError> + Send + Sync>;

/// A tool that does what a test says. `Act` is told how often it has been called before.
pub(crate) struct Fake {
    pub(crate) spec: ToolSpec,
    pub(crate) act: Act,
    pub(crate) reconcile: Reconcile,
    pub(crate) runs: AtomicU32,
    pub(crate) reconciled: AtomicU32,
}

impl Fake {
    pub(crate) fn new(
        effect: Effect,
        act: impl for<'a> Fn(u32, &'a ToolContext) -> BoxFuture<'a, ToolResult> + Send + Sync + 'static,
    ) -> Self {
        Self {
            spec: ToolSpec::new("fake", "does what it is told", effect),
            act: Box::new(act),
            reconcile: Box::new(|| Ok(Reconciled::CannotTell)),
            runs: AtomicU32::new(0),
            reconciled: AtomicU32::new(0),
        }
    }

    pub(crate) fn spec(mut self, change: impl FnOnce(&mut ToolSpec)) -> Self {
        change(&mut self.spec);
        self
    }

    pub(crate) fn reconcile(
        mut self,
        reconcile: impl Fn() -> std::result::Result<Reconciled, ToolError> + Send + Sync + 'static,
    ) -> Self {
        self.reconcile = Box::new(reconcile);
        self
    }

    pub(crate) fn runs(&self) -> u32 {
        self.runs.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl Tool for Fake {
    fn spec(&self) -> &ToolSpec {
        &self.spec
    }

    async fn call(&self, _: JsonObject, cx: &ToolContext) -> ToolResult {
        let before = self.runs.fetch_add(1, Ordering::SeqCst);
        (self.act)(before, cx).await
    }

    async fn reconcile(
        &self,
        _: &JsonObject,
        _: &ToolContext,
    ) -> std::result::Result<Reconciled, ToolError> {
        self.reconciled.fetch_add(1, Ordering::SeqCst);
        (self.reconcile)()
    }
}

struct Kit {
    name: &'static str,
    tool: Option<Arc<Fake>>,
}

impl Toolkit for Kit {
    fn name(&self) -> &str {
        self.name
    }
    fn tools(&self) -> Vec<Arc<dyn Tool>> {
        let tool = self.tool.clone();
        tool.into_iter().map(|tool| tool as Arc<dyn Tool>).collect()
    }
}

/// A ledger whose user dies at a commit: its future never goes on.
#[derive(Clone)]
pub(crate) struct Mortal {
    inner: SqliteBackend,
    /// Commits until death; negative: never.
    left: Arc<AtomicI64>,
    /// Whether the last commit still happens.
    after: bool,
    /// Which commits, counted from 0, answer that the ledger is away. With `after` they happen.
    away: Range<u32>,
    /// How long a commit that has happened keeps its answer back.
    latency: Duration,
    died: Arc<Notify>,
    pub(crate) commits: Arc<AtomicU32>,
}

#[async_trait]
impl Ledger for Mortal {
    async fn commit(&self, commit: Commit) -> Result<Committed> {
        let nth = self.commits.fetch_add(1, Ordering::SeqCst);
        if self.away.contains(&nth) {
            if self.after {
                self.inner.commit(commit).await?;
            }
            return Err(Error::unavailable("away", "as told"));
        }
        let dies = self.left.fetch_sub(1, Ordering::SeqCst) == 0;
        if dies && !self.after {
            self.died.notify_one();
            pending::<()>().await;
        }
        let committed = self.inner.commit(commit).await;
        if dies {
            self.died.notify_one();
            pending::<()>().await;
        }
        if !self.latency.is_zero() {
            tokio::time::sleep(self.latency).await;
        }
        committed
    }
    async fn get(&self, key: &Key) -> Result<Option<Record>> {
        self.inner.get(key).await
    }
    async fn list(&self, partition: &str, range: waybill_messaging::Range) -> Result<Page> {
        self.inner.list(partition, range).await
    }
    async fn query(&self, partition: &str, range: waybill_messaging::Range) -> Result<Page> {
        self.inner.query(partition, range).await
    }
    async fn changed(&self, key: &Key, after: u64, wait: Duration) -> Result<Option<Record>> {
        self.inner.changed(key, after, wait).await
    }
    async fn expire(&self, limit: usize) -> Result<usize> {
        self.inner.expire(limit).await
    }
}

/// One worker process.
pub(crate) struct Worker {
    pub(crate) executor: ToolExecutor,
    pub(crate) bus: Bus,
    pub(crate) ledger: Mortal,
    pub(crate) shutdown: CancellationToken,
}

pub(crate) struct World {
    pub(crate) backend: SqliteBackend,
    pub(crate) clock: Clock,
    pub(crate) calls: Calls,
    pub(crate) registry: Registry,
    pub(crate) tool: Arc<Fake>,
    pub(crate) blobs: DirectoryBlobs,
    _directory: tempfile::TempDir,
}

impl World {
    pub(crate) fn new(tool: Fake) -> Self {
        let clock = Clock::simulated(DateTime::from_timestamp(1_780_000_000, 0).unwrap());
        let topology = [ToolExecutor::SUBSCRIPTION, WATCH];
        let backend = SqliteBackend::in_memory(&topology, clock.clone()).unwrap();
        let directory = tempfile::tempdir().unwrap();
        let blobs = blobs(directory.path(), &clock);
        let ledger = Arc::new(backend.clone());
        let calls = Calls::new(ledger, Arc::new(blobs.clone()), clock.clone());
        let world = Self {
            backend,
            clock,
            calls,
            registry: Registry::default(),
            tool: Arc::new(tool),
            blobs,
            _directory: directory,
        };
        world.offer(true);
        world
    }

    /// Whether the tool is there.
    pub(crate) fn offer(&self, there: bool) {
        let tool = there.then(|| self.tool.clone());
        self.registry.set(&Kit { name: "kit", tool }).unwrap();
    }

    /// Offers another tool as well.
    pub(crate) fn also(&self, tool: Fake) {
        let tool = Some(Arc::new(tool));
        self.registry.set(&Kit { name: "also", tool }).unwrap();
    }

    pub(crate) fn worker(&self) -> Worker {
        self.process(-1, false, Duration::ZERO, 0..0)
    }

    /// Its ledger is away for these commits, counted from 0; `after`: they happen all the same.
    pub(crate) fn cut_off(&self, away: Range<u32>, after: bool) -> Worker {
        self.process(-1, after, Duration::ZERO, away)
    }

    /// Its commits are answered late.
    pub(crate) fn late(&self, latency: Duration) -> Worker {
        self.process(-1, false, latency, 0..0)
    }

    /// Dies at its `nth` commit, just before or after it.
    pub(crate) fn mortal(&self, nth: i64, after: bool) -> Worker {
        self.process(nth, after, Duration::ZERO, 0..0)
    }

    fn process(&self, nth: i64, after: bool, latency: Duration, away: Range<u32>) -> Worker {
        let ledger = Mortal {
            inner: self.backend.clone(),
            left: Arc::new(AtomicI64::new(nth)),
            after,
            away,
            latency,
            died: Arc::default(),
            commits: Arc::default(),
        };
        let shared: Arc<dyn Ledger> = Arc::new(ledger.clone());
        let clock = self.clock.clone();
        let blobs = Arc::new(self.blobs.clone());
        let calls = Calls::new(shared.clone(), blobs, clock.clone());
        let breakers = Breakers::new(shared.clone(), clock.clone(), Settings::default());
        let breakers = Arc::new(breakers);
        Worker {
            executor: ToolExecutor::new(
                calls,
                shared.clone(),
                self.registry.clone(),
                breakers,
                clock.clone(),
            ),
            bus: Bus {
                ledger: shared,
                queue: Arc::new(self.backend.clone()),
                clock,
                meter: Meter::default(),
            },
            ledger,
            shutdown: CancellationToken::new(),
        }
    }

    pub(crate) async fn submit(&self) -> CallId {
        self.submit_for(Duration::from_mins(10)).await
    }

    pub(crate) async fn submit_for(&self, deadline: Duration) -> CallId {
        self.submit_to(&self.tool.spec.name, deadline).await
    }

    pub(crate) async fn submit_to(&self, tool: &str, deadline: Duration) -> CallId {
        self.place(tool, json!({"a": 1}), deadline).await
    }

    pub(crate) async fn submit_with(&self, arguments: Value, deadline: Duration) -> CallId {
        self.place(&self.tool.spec.name, arguments, deadline).await
    }

    async fn place(&self, tool: &str, arguments: Value, deadline: Duration) -> CallId {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let random = u128::from(NEXT.fetch_add(1, Ordering::SeqCst));
        let new = NewCall {
            id: CallId::new(self.clock.now(), random),
            tenant: tenant(),
            principal: "key".to_owned(),
            tool: tool.to_owned(),
            effect: self.tool.spec.effect.as_str(),
            arguments,
            deadline,
            retention: Duration::from_hours(1),
            idempotency_key: None,
            traceparent: Some(TRACE.to_owned()),
            client_capabilities: None,
        };
        self.calls.submit(new).await.unwrap().stored.call.id
    }

    pub(crate) async fn call(&self, id: &CallId) -> Call {
        self.calls.get(&tenant(), id).await.unwrap().call
    }

    pub(crate) async fn version(&self, id: &CallId) -> u64 {
        self.calls.get(&tenant(), id).await.unwrap().version
    }

    pub(crate) async fn state(&self, id: &CallId) -> CallState {
        self.call(id).await.state
    }

    pub(crate) async fn problem(&self, id: &CallId) -> Problem {
        match self.call(id).await.outcome {
            Some(Outcome::Error(problem)) => problem,
            other => panic!("no problem but {other:?}"),
        }
    }

    pub(crate) async fn text(&self, id: &CallId) -> String {
        let call = self.call(id).await;
        let result = self.calls.result(&call).await.unwrap().expect("a result");
        result["content"][0]["text"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn cancel(&self, id: &CallId) {
        self.calls.cancel(&tenant(), id, "key").await.unwrap();
    }

    /// Its worker has said nothing for as long as a claim holds.
    pub(crate) async fn lapse(&self, id: &CallId) {
        let let_go = |call: &mut Call, _| {
            call.hold(call.attempt, None)?;
            Ok(Some(Vec::new()))
        };
        self.calls.change(&tenant(), id, let_go).await.unwrap();
    }

    pub(crate) async fn answer(&self, id: &CallId, key: &str) {
        let answers = BTreeMap::from([(key.to_owned(), json!({"action": "accept"}))]);
        let answered = self.calls.answer(&tenant(), id, "key", answers).await;
        answered.unwrap();
    }

    /// The next delivery, if one is due.
    pub(crate) async fn receive(&self) -> Option<Delivery> {
        let received = self.backend.receive("tool-executor", 1, Duration::ZERO);
        received.await.unwrap().pop()
    }

    pub(crate) async fn next(&self) -> Delivery {
        self.receive().await.expect("a delivery is due")
    }

    /// Runs what is due, once, and says how it was settled.
    pub(crate) async fn step(&self) -> Settlement {
        let delivery = self.next().await;
        self.worker().run(&delivery).await
    }

    /// Runs the queue until nothing is left on it; time passes where it must.
    pub(crate) async fn drain(&self) {
        for _ in 0..2_000 {
            if let Some(delivery) = self.receive().await {
                self.worker().run(&delivery).await;
                continue;
            }
            let depth = self.backend.depth("tool-executor").await.unwrap();
            if depth.delayed + depth.leased == 0 {
                return;
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        panic!("the queue does not drain");
    }

    /// How many endings have been told since the last look.
    pub(crate) async fn told_endings(&self) -> usize {
        let told = self.told().await;
        told.into_iter()
            .filter(|kind| {
                matches!(
                    kind,
                    EventType::ToolCallCompleted
                        | EventType::ToolCallFailed
                        | EventType::ToolCallCancelled
                        | EventType::ToolCallExpired
                )
            })
            .count()
    }

    /// One tick of the sweep.
    pub(crate) async fn swept(&self) {
        let ledger = Arc::new(self.backend.clone());
        let blobs = Arc::new(self.blobs.clone());
        let sweep = DeadlineSweep::new(self.calls.clone(), ledger.clone(), blobs);
        let bus = Bus {
            queue: ledger.clone(),
            ledger,
            clock: self.clock.clone(),
            meter: Meter::default(),
        };
        let stop = CancellationToken::new();
        waybill_messaging::tick(&sweep, &bus, &stop).await.unwrap();
    }

    pub(crate) async fn dead(&self) -> u64 {
        self.backend.depth("tool-executor").await.unwrap().dead
    }

    /// The kinds of events since the last look, but for the request.
    pub(crate) async fn told(&self) -> Vec<EventType> {
        let events = self.events().await;
        let kinds = events.into_iter().map(|event| event.kind);
        kinds
            .filter(|kind| *kind != EventType::ToolCallRequested)
            .collect()
    }

    /// The events since the last look.
    pub(crate) async fn events(&self) -> Vec<Event> {
        let mut told = Vec::new();
        loop {
            let some = self.backend.receive("watch", 100, Duration::ZERO).await;
            let some = some.unwrap();
            if some.is_empty() {
                return told;
            }
            for delivery in some {
                told.push((*delivery.event).clone());
                let settled = self.backend.settle(&delivery.receipt, Settlement::Done);
                settled.await.unwrap();
            }
        }
    }
}

impl Worker {
    /// Dispatches and settles, as the driver does.
    pub(crate) async fn run(&self, delivery: &Delivery) -> Settlement {
        let dispatched = dispatch(&self.executor, &self.bus, delivery, &self.shutdown).await;
        if !dispatched.settled {
            let settlement = dispatched.settlement.clone();
            // A lease that was lost is the other worker's.
            let _lost = self.bus.queue.settle(&delivery.receipt, settlement).await;
        }
        dispatched.settlement
    }

    /// False when it died.
    pub(crate) async fn survives(&self, delivery: &Delivery) -> bool {
        tokio::select! {
            biased;
            () = self.ledger.died.notified() => false,
            _ = self.run(delivery) => true,
        }
    }

    pub(crate) fn commits(&self) -> u32 {
        self.ledger.commits.load(Ordering::SeqCst)
    }
}

pub(crate) fn tenant() -> TenantId {
    TenantId::parse("acme").unwrap()
}

pub(crate) fn text(text: &str) -> CallToolResult {
    CallToolResult::success(vec![ContentBlock::text(text)])
}

pub(crate) fn unavailable(retry_after: Option<Duration>) -> ToolError {
    ToolError::Unavailable {
        message: "connection refused".to_owned(),
        retry_after,
        source: None,
    }
}

pub(crate) fn unclear() -> ToolError {
    ToolError::Unknown {
        message: "the connection was cut".to_owned(),
        retry_after: None,
        source: None,
    }
}

pub(crate) fn question() -> ToolError {
    questions(&["sure"])
}

pub(crate) fn questions(keys: &[&str]) -> ToolError {
    let request = json!({
        "method": "elicitation/create",
        "params": {"mode": "form", "message": "Sure?", "requestedSchema": {"type": "object", "properties": {}}}
    });
    let requests: BTreeMap<String, Value> = keys
        .iter()
        .map(|key| ((*key).to_owned(), request.clone()))
        .collect();
    ToolError::InputRequired(serde_json::from_value(json!(requests)).unwrap())
}

fn blobs(directory: &Path, clock: &Clock) -> DirectoryBlobs {
    DirectoryBlobs::open(directory, clock.clone()).unwrap()
}
