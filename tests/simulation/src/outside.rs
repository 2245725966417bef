//! The tools, and the outside world that they act on.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use serde_json::json;
use tokio::time::sleep;
use waybill_events::{CallId, TenantId};
use waybill_testkit::Dice;
use waybill_toolkit::{
    CallToolResult, ContentBlock, Effect, InputRequests, JsonObject, Reconciled, Tool, ToolContext,
    ToolError, ToolResult, ToolSpec, Toolkit,
};

/// What has happened outside, whatever anybody believes.
#[derive(Clone)]
pub(crate) struct Outside(Arc<Mutex<State>>);

struct State {
    dice: Dice,
    /// How often each call has acted.
    acts: HashMap<CallId, u32>,
    /// Which tenant each call ran for.
    tenants: HashMap<CallId, TenantId>,
    crossed: bool,
}

impl Outside {
    pub(crate) fn new(seed: u64) -> Self {
        let (acts, tenants) = (HashMap::new(), HashMap::new());
        let dice = Dice::of(seed, 77, 1);
        Self(Arc::new(Mutex::new(State {
            dice,
            acts,
            tenants,
            crossed: false,
        })))
    }

    /// Calls that acted more than once.
    pub(crate) fn doubled(&self) -> Vec<CallId> {
        self.with(|state| {
            let twice = state.acts.iter().filter(|(_, times)| **times > 1);
            twice.map(|(call, _)| call.clone()).collect()
        })
    }

    pub(crate) fn acted(&self, call: &CallId) -> bool {
        self.with(|state| state.acts.contains_key(call))
    }

    /// A call ran for a tenant that is not its own.
    pub(crate) fn crossed(&self) -> bool {
        self.with(|state| state.crossed)
    }

    fn chance(&self, probability: f64) -> bool {
        self.with(|state| state.dice.chance(probability))
    }

    fn pause(&self, bound: Duration) -> Duration {
        self.with(|state| state.dice.up_to(bound))
    }

    fn with<T>(&self, look: impl FnOnce(&mut State) -> T) -> T {
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// One tool per way to behave.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Behaviour {
    Look,
    Set,
    Act,
    Walk,
    Ask,
    Hang,
    Panic,
    /// Looks for longer than several leases.
    Stare,
    /// Acts after longer than several leases.
    Brood,
}

pub(crate) const TOOLS: [&str; 9] = [
    "look", "set", "act", "walk", "ask", "hang", "panic", "stare", "brood",
];

struct Simulated {
    behaviour: Behaviour,
    spec: ToolSpec,
    outside: Outside,
}

impl Toolkit for Outside {
    fn name(&self) -> &'static str {
        "outside"
    }

    fn tools(&self) -> Vec<Arc<dyn Tool>> {
        use Behaviour::{Act, Ask, Brood, Hang, Look, Panic, Set, Stare, Walk};
        let effects = [
            (Look, Effect::ReadOnly),
            (Set, Effect::Idempotent),
            (Act, Effect::Once),
            (Walk, Effect::ReadOnly),
            (Ask, Effect::Once),
            (Hang, Effect::ReadOnly),
            (Panic, Effect::Idempotent),
            (Stare, Effect::ReadOnly),
            (Brood, Effect::Once),
        ];
        let tools = TOOLS
            .iter()
            .zip(effects)
            .map(|(name, (behaviour, effect))| {
                let mut spec = ToolSpec::new(*name, "simulated", effect);
                spec.timeout = match behaviour {
                    Stare | Brood => Duration::from_mins(10),
                    _ => Duration::from_secs(20),
                };
                spec.upstream = (behaviour == Look).then(|| "somewhere".to_owned());
                let outside = self.clone();
                Arc::new(Simulated {
                    behaviour,
                    spec,
                    outside,
                }) as Arc<dyn Tool>
            });
        tools.collect()
    }
}

#[async_trait]
impl Tool for Simulated {
    fn spec(&self) -> &ToolSpec {
        &self.spec
    }

    async fn call(&self, arguments: JsonObject, cx: &ToolContext) -> ToolResult {
        let told = arguments.get("tenant").and_then(|tenant| tenant.as_str());
        self.outside.with(|state| {
            let known = state
                .tenants
                .entry(cx.call().clone())
                .or_insert_with(|| cx.tenant().clone());
            state.crossed |= known != cx.tenant() || told != Some(known.as_str());
        });
        sleep(self.outside.pause(Duration::from_millis(300))).await;
        match self.behaviour {
            Behaviour::Look if self.outside.chance(0.2) => Err(unavailable()),
            Behaviour::Set if self.outside.chance(0.2) => Err(unknown()),
            Behaviour::Look | Behaviour::Set => Ok(answer()),
            Behaviour::Walk => walk(cx).await,
            Behaviour::Ask if cx.input("go").is_none() => Err(ToolError::InputRequired(question())),
            Behaviour::Act | Behaviour::Ask => self.act(cx).await,
            Behaviour::Hang => {
                sleep(Duration::from_hours(1)).await;
                Ok(answer())
            }
            Behaviour::Panic => panic!("as simulated"),
            Behaviour::Stare => {
                sleep(Duration::from_secs(150)).await;
                Ok(answer())
            }
            Behaviour::Brood => {
                sleep(Duration::from_secs(150)).await;
                self.act(cx).await
            }
        }
    }

    async fn reconcile(
        &self,
        _arguments: &JsonObject,
        cx: &ToolContext,
    ) -> Result<Reconciled, ToolError> {
        if self.outside.chance(0.5) && self.outside.acted(cx.call()) {
            return Ok(Reconciled::Acted(answer()));
        }
        Ok(Reconciled::CannotTell)
    }
}

impl Simulated {
    /// Refuses, or acts; and perhaps nobody hears of it.
    async fn act(&self, cx: &ToolContext) -> ToolResult {
        if self.outside.chance(0.1) {
            return Err(unavailable());
        }
        self.outside
            .with(|state| *state.acts.entry(cx.call().clone()).or_default() += 1);
        sleep(self.outside.pause(Duration::from_millis(300))).await;
        if self.outside.chance(0.1) {
            Err(unknown())
        } else {
            Ok(answer())
        }
    }
}

/// Longer than a lease's third, in steps that are saved.
async fn walk(cx: &ToolContext) -> ToolResult {
    for step in cx.last_checkpoint::<u32>().unwrap_or(0)..5 {
        sleep(Duration::from_secs(3)).await;
        cx.progress(f64::from(step), Some(5.0), None);
        if !cx.checkpoint(&(step + 1)).await {
            return Err(ToolError::Cancelled);
        }
    }
    Ok(answer())
}

fn answer() -> CallToolResult {
    CallToolResult::success(vec![ContentBlock::text("done")])
}

fn question() -> InputRequests {
    let request = json!({
        "method": "elicitation/create",
        "params": {
            "mode": "form",
            "message": "Go on?",
            "requestedSchema": { "type": "object", "properties": {} },
        },
    });
    let request = serde_json::from_value(request).expect("an elicitation");
    InputRequests::from([("go".to_owned(), request)])
}

fn unavailable() -> ToolError {
    let message = "not now".to_owned();
    ToolError::Unavailable {
        message,
        retry_after: None,
        source: None,
    }
}

fn unknown() -> ToolError {
    ToolError::Unknown {
        message: "the line was cut".to_owned(),
        retry_after: None,
        source: None,
    }
}
