//! What a running tool may ask of the executor.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use rmcp::model::{ClientCapabilities, InputResponses};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;
use tokio::{
    sync::{mpsc, oneshot},
    time::Instant,
};
use tokio_util::sync::CancellationToken;
use waybill_events::{CallId, TenantId};

/// Signals that a tool has sent and the executor has not taken yet.
const SIGNALS: usize = 16;

/// What a tool tells the executor while it runs.
#[derive(Debug)]
pub enum Signal {
    /// Latest wins; the executor may skip some.
    Progress {
        progress: f64,
        total: Option<f64>,
        message: Option<String>,
    },
    /// A line for the client's log, never for ours. Kept in order, and advisory: the door passes it
    /// on only to a client that asked for this level.
    Log {
        level: LogLevel,
        logger: Option<String>,
        data: Value,
    },
    /// Acknowledged once it is durable.
    Checkpoint {
        value: Value,
        saved: oneshot::Sender<()>,
    },
}

pub type Signals = mpsc::Receiver<Signal>;

/// The protocol's log levels, which are syslog's. rmcp's own type is deprecated, as logging itself
/// is since 2026-07-28; clients of 2025-11-25 still listen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    Debug,
    Info,
    Notice,
    Warning,
    Error,
    Critical,
    Alert,
    Emergency,
}

/// What one attempt is given.
#[derive(Clone, Debug)]
pub struct ToolRun {
    pub call: CallId,
    pub tenant: TenantId,
    /// Fencing number: 1 for the first attempt.
    pub attempt: u32,
    pub deadline: Instant,
    /// What the executor's clock says as the attempt begins.
    pub now: DateTime<Utc>,
    pub checkpoint: Option<Value>,
    /// Every answer given so far, of all rounds of asking.
    pub responses: InputResponses,
    /// What the client declared on the request. `None`: not known, as for a client of 2025-11-25
    /// and before, which says it once, in a session that nobody holds.
    pub client_capabilities: Option<ClientCapabilities>,
    /// The request's W3C trace context, for outgoing requests.
    pub traceparent: Option<String>,
}

impl ToolRun {
    /// For the tests of tools: the first attempt of a call of tenant `acme`, with a minute of time,
    /// in May 2026. Change what the test is about: `ToolRun { attempt: 2, ..ToolRun::for_test() }`.
    pub fn for_test() -> Self {
        let now = DateTime::from_timestamp(1_780_000_000, 0).expect("a time");
        Self {
            call: CallId::new(now, 1),
            tenant: TenantId::parse("acme").expect("a tenant's name"),
            attempt: 1,
            deadline: Instant::now() + Duration::from_mins(1),
            now,
            checkpoint: None,
            responses: InputResponses::default(),
            client_capabilities: None,
            traceparent: None,
        }
    }
}

/// The tool's side of its run.
#[derive(Debug)]
pub struct ToolContext {
    run: ToolRun,
    began: Instant,
    cancelled: CancellationToken,
    signals: mpsc::Sender<Signal>,
}

impl ToolContext {
    /// The context and the executor's end of it.
    pub fn new(run: ToolRun, cancelled: CancellationToken) -> (Self, Signals) {
        let (signals, receiver) = mpsc::channel(SIGNALS);
        (
            Self {
                run,
                began: Instant::now(),
                cancelled,
                signals,
            },
            receiver,
        )
    }

    pub fn call(&self) -> &CallId {
        &self.run.call
    }

    pub fn tenant(&self) -> &TenantId {
        &self.run.tenant
    }

    pub fn attempt(&self) -> u32 {
        self.run.attempt
    }

    /// When the attempt is ended, whatever it does.
    pub fn deadline(&self) -> Instant {
        self.run.deadline
    }

    /// The time. Tools do not read the clock: tests and the simulation move it.
    pub fn now(&self) -> DateTime<Utc> {
        let passed = TimeDelta::from_std(self.began.elapsed()).unwrap_or(TimeDelta::MAX);
        self.run.now + passed
    }

    pub fn traceparent(&self) -> Option<&str> {
        self.run.traceparent.as_deref()
    }

    /// Fires when somebody cancelled the call or the process shuts down.
    pub fn cancelled(&self) -> &CancellationToken {
        &self.cancelled
    }

    /// The same for every attempt of this call: what a provider deduplicates by.
    pub fn idempotency_key(&self) -> &str {
        self.run.call.as_str()
    }

    /// Tells the client how far it is. Never blocks; under pressure some are dropped.
    pub fn progress(&self, progress: f64, total: Option<f64>, message: Option<String>) {
        // Progress is advisory: a full channel or an executor that left loses nothing.
        drop(self.signals.try_send(Signal::Progress {
            progress,
            total,
            message,
        }));
    }

    /// Writes to the client's log. Never blocks; under pressure some are dropped.
    pub fn log(&self, level: LogLevel, logger: Option<String>, data: Value) {
        // Advisory, as progress is.
        drop(self.signals.try_send(Signal::Log {
            level,
            logger,
            data,
        }));
    }

    /// Saves where to go on after a crash; durable when it returns true. False: the executor has
    /// gone (shutdown, or a newer attempt took over), or it is more than 64 KiB of JSON, of which our
    /// log tells; the tool should stop.
    pub async fn checkpoint<T: Serialize + Sync>(&self, value: &T) -> bool {
        let Ok(value) = serde_json::to_value(value) else {
            return false;
        };
        let (saved, wait) = oneshot::channel();
        self.signals
            .send(Signal::Checkpoint { value, saved })
            .await
            .is_ok()
            && wait.await.is_ok()
    }

    /// What the last attempt saved. `None` too when it no longer has this shape.
    pub fn last_checkpoint<T: DeserializeOwned>(&self) -> Option<T> {
        self.run
            .checkpoint
            .clone()
            .and_then(|value| serde_json::from_value(value).ok())
    }

    /// The client's answer to an input request, if it was given. To ask, return
    /// [`ToolError::InputRequired`](crate::ToolError::InputRequired).
    pub fn input(&self, key: &str) -> Option<&Value> {
        self.run.responses.get(key)
    }

    /// What the client said it can be asked for, when that is known.
    pub fn client_capabilities(&self) -> Option<&ClientCapabilities> {
        self.run.client_capabilities.as_ref()
    }

    pub fn inputs(&self) -> &InputResponses {
        &self.run.responses
    }
}
