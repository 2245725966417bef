//! The desk: where a call is placed, and where its outcome is waited for. Every door (MCP, REST)
//! goes through it.

mod schemas;

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use serde_json::Value;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::task::TaskTracker;
use tracing::Instrument as _;
use waybill_calls::{Call, CallState, Calls, Error, NewCall, Outcome, Payload, Stored, Submitted};
use waybill_events::CallId;
use waybill_identity::Principal;
use waybill_messaging::{BoxError, Clock};
use waybill_telemetry::trace;
use waybill_toolkit::{CallToolResult, Registry};

pub use schemas::Violation;

use schemas::Schemas;

/// Longest idempotency key.
const MAX_KEY: usize = 255;
/// Longest part of an unknown tool's name that is repeated to the client.
const MAX_ECHO: usize = 128;
/// Pauses before each look for a call whose commit gave no answer, and the time of all together.
const LOOKS: [Duration; 3] = [
    Duration::ZERO,
    Duration::from_millis(300),
    Duration::from_secs(1),
];
const LOOK_TIME: Duration = Duration::from_secs(4);
/// How alike a name must be to be suggested (Jaro-Winkler, 0 to 1).
const ALIKE: f64 = 0.85;

/// What one call may be.
#[derive(Clone, Copy, Debug)]
pub struct DeskLimits {
    /// Size of the arguments, in bytes of text (an estimate that ignores escapes).
    pub argument_bytes: usize,
    /// Levels of arrays and objects in the arguments.
    pub argument_depth: usize,
    /// How long a call may take when the client does not say, waiting included.
    pub deadline: Duration,
    /// The longest that a client may ask for.
    pub max_deadline: Duration,
    /// How long a call is kept after its deadline.
    pub retention: Duration,
}

impl Default for DeskLimits {
    fn default() -> Self {
        Self {
            argument_bytes: 1024 * 1024,
            argument_depth: 64,
            deadline: Duration::from_hours(1),
            max_deadline: Duration::from_hours(24),
            retention: Duration::from_hours(24),
        }
    }
}

/// What a client asks for.
#[derive(Clone, Debug)]
pub struct PlaceRequest {
    pub tool: String,
    /// The arguments object.
    pub arguments: Value,
    /// The same key, tool and arguments name the same call again.
    pub idempotency_key: Option<String>,
    /// Cut to [`DeskLimits::max_deadline`].
    pub deadline: Option<Duration>,
    /// W3C `traceparent`; a new trace begins where there is none or a broken one.
    pub traceparent: Option<String>,
    /// MCP `ClientCapabilities`, when the client told them.
    pub client_capabilities: Option<Value>,
}

/// Why a call is not placed.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    #[error("there is no tool {tool}{}", suggestion(nearest.as_deref()))]
    UnknownTool {
        tool: String,
        nearest: Option<String>,
    },
    /// The arguments do not fit the tool's schema.
    #[error("the arguments of {tool} are not valid: {}", Listed(violations))]
    Invalid {
        tool: String,
        violations: Vec<Violation>,
    },
    #[error("the arguments are nested deeper than {limit} levels")]
    TooDeep { limit: usize },
    #[error("the arguments are larger than {limit} bytes")]
    TooLarge { limit: usize },
    #[error("an idempotency key has 1 to {MAX_KEY} visible ASCII characters")]
    IdempotencyKey,
    /// Ours or an upstream's mistake, not the client's.
    #[error("the input schema of {tool} cannot be used")]
    Schema {
        tool: String,
        #[source]
        source: Box<jsonschema::ValidationError<'static>>,
    },
    #[error(transparent)]
    Calls(#[from] Error),
    /// Its commit gave no answer, and the call is not there so far.
    #[error("the call may have been accepted: look for call {call} before you call again")]
    Unclear {
        call: CallId,
        #[source]
        source: BoxError,
    },
}

/// Source of the 128 random bits of an id.
pub type Randomness = Arc<dyn Fn() -> u128 + Send + Sync>;

/// Cheap to clone.
#[derive(Clone)]
pub struct Desk(Arc<Inner>);

struct Inner {
    calls: Calls,
    registry: Registry,
    clock: Clock,
    limits: DeskLimits,
    random: Randomness,
    schemas: Schemas,
    /// Commits that must end although their client has left.
    submissions: TaskTracker,
}

impl Desk {
    /// Ids come from the thread's cryptographic generator, which the system seeds.
    pub fn new(calls: Calls, registry: Registry, clock: Clock, limits: DeskLimits) -> Self {
        Self::with_randomness(
            calls,
            registry,
            clock,
            limits,
            Arc::new(rand::random::<u128>),
        )
    }

    /// For the simulation, where every id is drawn from a seed.
    pub fn with_randomness(
        calls: Calls,
        registry: Registry,
        clock: Clock,
        limits: DeskLimits,
        random: Randomness,
    ) -> Self {
        Self(Arc::new(Inner {
            calls,
            registry,
            clock,
            limits,
            random,
            schemas: Schemas::default(),
            submissions: TaskTracker::new(),
        }))
    }

    pub fn calls(&self) -> &Calls {
        &self.0.calls
    }

    pub fn registry(&self) -> &Registry {
        &self.0.registry
    }

    pub fn clock(&self) -> &Clock {
        &self.0.clock
    }

    /// Checks and commits a call. The commit goes on when this future is dropped: a client that
    /// leaves takes nothing with it. A commit that gives no answer is looked for, and is
    /// [`Refusal::Unclear`] only when that does not help.
    pub async fn place(
        &self,
        principal: &Principal,
        request: PlaceRequest,
    ) -> Result<Submitted, Refusal> {
        let mut new = self.check(principal, request)?;
        let span = tracing::info_span!("commit", call.id = %new.id, call.tool = new.tool);
        trace::adopt(&span, new.traceparent.as_deref());
        new.traceparent = trace::traceparent(&span).or(new.traceparent);
        let (calls, call) = (self.0.calls.clone(), new.id.clone());
        let submission = async move { calls.submit(new).await }.instrument(span);
        let submission = self.0.submissions.spawn(submission);
        let source: BoxError = match submission.await {
            Ok(Err(Error::Unclear(error))) => error.into(),
            Ok(submitted) => return Ok(submitted?),
            Err(cut_off) => cut_off.into(),
        };
        let Some(stored) = self.look_for(principal, &call).await else {
            let error = &*source as &dyn std::error::Error;
            tracing::error!(error, call.id = %call, "a call may have been accepted");
            return Err(Refusal::Unclear { call, source });
        };
        Ok(Submitted {
            stored,
            fresh: true,
        })
    }

    /// A call that may be there soon.
    async fn look_for(&self, principal: &Principal, id: &CallId) -> Option<Stored> {
        let looking = async {
            for pause in LOOKS {
                sleep(pause).await;
                if let Ok(stored) = self.0.calls.get(&principal.tenant, id).await {
                    return Some(stored);
                }
            }
            None
        };
        timeout(LOOK_TIME, looking).await.ok().flatten()
    }

    /// Waits for commits that are under way. For shutdown.
    pub async fn drain(&self) {
        self.0.submissions.close();
        self.0.submissions.wait().await;
    }

    /// A call of the principal's tenant. Another tenant's id is as unknown as one that never was.
    pub async fn find(&self, principal: &Principal, id: &str) -> Result<Stored, Error> {
        let id = CallId::parse(id).map_err(|_| Error::Unknown)?;
        self.0.calls.get(&principal.tenant, &id).await
    }

    /// Asks for a call's end. One that has ended stays as it is.
    pub async fn cancel(&self, principal: &Principal, id: &CallId) -> Result<Stored, Error> {
        let calls = &self.0.calls;
        calls.cancel(&principal.tenant, id, &principal.key_id).await
    }

    /// Gives a waiting call its answers. One that has ended stays as it is. `round`: the attempt
    /// whose questions they answer. Those of another one stay open, even under the same keys:
    /// nobody who sends this has seen them.
    pub async fn answer(
        &self,
        principal: &Principal,
        id: &CallId,
        round: Option<u32>,
        responses: BTreeMap<String, Value>,
    ) -> Result<Stored, Error> {
        let (calls, tenant) = (&self.0.calls, &principal.tenant);
        let answered = calls.answer_round(tenant, id, &principal.key_id, round, responses);
        match answered.await {
            Err(Error::Fenced(_)) => calls.get(tenant, id).await,
            other => other,
        }
    }

    /// The next version of a call, or `None` when there was none before `until`.
    pub async fn next(&self, stored: &Stored, until: Instant) -> Result<Option<Stored>, Error> {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(None);
        }
        self.0.calls.changed(stored, left).await
    }

    /// The call when it has ended, waits for its client, or `wait` has passed.
    pub async fn outcome(&self, mut stored: Stored, wait: Duration) -> Result<Stored, Error> {
        let until = Instant::now() + wait;
        while !settled(&stored.call) {
            match self.next(&stored, until).await? {
                Some(newer) => stored = newer,
                None => break,
            }
        }
        Ok(stored)
    }

    /// The tool's answer. `None`: the call did not complete, or its result has been forgotten.
    pub async fn result(&self, call: &Call) -> Result<Option<CallToolResult>, Error> {
        match &call.outcome {
            Some(Outcome::Result(Payload::Inline(json))) => serde_json::from_str(json.get())
                .map(Some)
                .map_err(Error::Corrupt),
            Some(Outcome::Result(payload)) => match self.0.calls.load(payload).await? {
                Some(value) => serde_json::from_value(value)
                    .map(Some)
                    .map_err(Error::Corrupt),
                None => Ok(None),
            },
            _ => Ok(None),
        }
    }

    fn check(&self, principal: &Principal, request: PlaceRequest) -> Result<NewCall, Refusal> {
        let Inner {
            registry,
            clock,
            limits,
            random,
            schemas,
            ..
        } = &*self.0;
        let Some(tool) = registry.get(&request.tool) else {
            return Err(self.unknown(&request.tool));
        };
        let spec = tool.spec();
        measure(&request.arguments, limits)?;
        if !request.idempotency_key.as_deref().is_none_or(fits) {
            return Err(Refusal::IdempotencyKey);
        }
        schemas.check(spec, &request.arguments)?;
        let deadline = request.deadline.unwrap_or(limits.deadline);
        let traceparent = request
            .traceparent
            .filter(|text| trace::is_traceparent(text))
            .unwrap_or_else(|| traceparent(random()));
        Ok(NewCall {
            id: CallId::new(clock.now(), random()),
            tenant: principal.tenant.clone(),
            principal: principal.key_id.clone(),
            tool: request.tool,
            effect: spec.effect.as_str(),
            arguments: request.arguments,
            deadline: deadline.min(limits.max_deadline),
            retention: limits.retention,
            idempotency_key: request.idempotency_key,
            traceparent: Some(traceparent),
            client_capabilities: request.client_capabilities,
        })
    }

    fn unknown(&self, tool: &str) -> Refusal {
        let likeness = |name: &str| strsim::jaro_winkler(name, tool);
        let nearest = self
            .0
            .registry
            .list()
            .iter()
            .map(|tool| tool.spec().name.clone())
            .max_by(|a, b| likeness(a).total_cmp(&likeness(b)))
            .filter(|name| likeness(name) >= ALIKE);
        let tool = tool.chars().take(MAX_ECHO).collect();
        Refusal::UnknownTool { tool, nearest }
    }
}

/// Nothing will change unless a client acts, or ever.
pub fn settled(call: &Call) -> bool {
    call.state.is_terminal() || call.state == CallState::WaitingInput
}

struct Listed<'a>(&'a [Violation]);

impl fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, violation) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            write!(f, "{separator}{violation}")?;
        }
        Ok(())
    }
}

fn suggestion(nearest: Option<&str>) -> String {
    nearest.map_or_else(String::new, |name| format!("; did you mean {name}?"))
}

fn fits(key: &str) -> bool {
    (1..=MAX_KEY).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic())
}

fn measure(arguments: &Value, limits: &DeskLimits) -> Result<(), Refusal> {
    fn walk(value: &Value, depth: usize, bytes: &mut usize) -> bool {
        let (size, fits) = match value {
            Value::Array(items) => {
                let fits = depth > 0 && items.iter().all(|item| walk(item, depth - 1, bytes));
                (2, fits)
            }
            Value::Object(entries) => {
                let fits = depth > 0 && entries.values().all(|item| walk(item, depth - 1, bytes));
                (entries.keys().map(|key| key.len() + 4).sum(), fits)
            }
            Value::String(text) => (text.len() + 2, true),
            Value::Null | Value::Bool(_) | Value::Number(_) => (4, true),
        };
        *bytes = bytes.saturating_add(size);
        fits
    }
    let mut bytes = 0;
    if !walk(arguments, limits.argument_depth, &mut bytes) {
        let limit = limits.argument_depth;
        return Err(Refusal::TooDeep { limit });
    }
    if bytes > limits.argument_bytes {
        let limit = limits.argument_bytes;
        return Err(Refusal::TooLarge { limit });
    }
    Ok(())
}

fn traceparent(random: u128) -> String {
    let trace = random | 1;
    let span = u64::try_from(trace >> 64).unwrap_or(1) ^ u64::MAX | 1;
    format!("00-{trace:032x}-{span:016x}-01")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_broken_traceparent_is_replaced_by_a_good_one() {
        let good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        assert!(trace::is_traceparent(good));
        for broken in [
            "",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        ] {
            assert!(!trace::is_traceparent(broken), "{broken}");
        }
        for random in [0, 1, u128::MAX, 1 << 100] {
            assert!(trace::is_traceparent(&traceparent(random)), "{random}");
        }
    }

    #[test]
    fn depth_and_size_are_limited() {
        let limits = DeskLimits {
            argument_depth: 3,
            argument_bytes: 40,
            ..DeskLimits::default()
        };
        let fits = |value: Value| measure(&value, &limits);
        assert!(fits(json!({"a": {"b": [1]}})).is_ok());
        assert!(matches!(
            fits(json!({"a": {"b": [[1]]}})),
            Err(Refusal::TooDeep { limit: 3 })
        ));
        assert!(matches!(
            fits(json!({"a": "x".repeat(40)})),
            Err(Refusal::TooLarge { limit: 40 })
        ));
    }
}
