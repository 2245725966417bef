//! One delivery of one call.

use std::{sync::Arc, time::Duration};

use serde_json::Value;
use tokio::time::Instant;
use waybill_calls::{Call, Calls, Fenced, Outcome, Problem, Stored};
use waybill_events::{CallId, Event, EventType};
use waybill_messaging::{
    Clock, Context, Effects, Events, Expect, Failure, Handler, Ledger, Subscription,
};
use waybill_resilience::Breakers;
use waybill_toolkit::{Effect, JsonObject, Registry, Tool};

use crate::{
    attempt::{Attempt, Stores},
    bulkhead::Bulkheads,
    conclude::Run,
    ending::{overtaken, tell},
    error::{Error, failure},
    gate::{Course, Gate, Guards, Pass, gate, park},
    limits::{CONCURRENCY, LEASE, LONGEST_DELIVERY, MAX_RECEIVES},
    notes::Notes,
    plan::{Plan, outcome_unknown, plan},
    run::{longest, run},
};

/// Runs the tools of accepted calls.
pub struct ToolExecutor {
    stores: Stores,
    registry: Registry,
    breakers: Arc<Breakers>,
    bulkheads: Bulkheads,
}

impl ToolExecutor {
    /// `ledger` is the one that `calls` and `breakers` are kept in.
    pub fn new(
        calls: Calls,
        ledger: Arc<dyn Ledger>,
        registry: Registry,
        breakers: Arc<Breakers>,
        clock: Clock,
    ) -> Self {
        Self {
            stores: Stores {
                calls,
                ledger,
                clock,
            },
            registry,
            breakers,
            bulkheads: Bulkheads::default(),
        }
    }

    async fn load(&self, event: &Event) -> Result<Option<Stored>, Failure> {
        let id = CallId::parse(&event.subject).map_err(Failure::reject)?;
        match self.stores.calls.get(&event.tenant, &id).await {
            Ok(stored) => Ok(Some(stored)),
            // Its record has expired: nobody waits for it.
            Err(waybill_calls::Error::Unknown) => Ok(None),
            Err(error) => Err(failure(error)),
        }
    }

    /// Ends a call that no attempt runs for. A conflict makes the whole delivery run again.
    fn end(&self, mut stored: Stored, problem: &Problem) -> Effects {
        let now = self.stores.clock.now();
        match stored.call.give_up(problem.clone(), now) {
            Ok(()) => {
                tell(&stored.call, problem, now);
                Effects {
                    writes: vec![Calls::write(&stored.call, Expect::Version(stored.version))],
                    events: stored.call.ended((0, false)).into_iter().collect(),
                    rebase: None,
                }
            }
            Err(_) => Effects::default(),
        }
    }

    /// An upstream's tools come and go with it; one of our own that is not there never will be.
    async fn without_tool(&self, stored: Stored, receives: u32) -> Result<Effects, Failure> {
        let tool = &stored.call.tool;
        if let Some((upstream, _)) = tool.split_once("__") {
            let why = format!("{upstream} does not offer {tool} now");
            let least = Duration::from_secs(1);
            if let Some(parked) = park(&self.stores, &stored, receives, least, &why).await? {
                return Err(parked);
            }
        }
        let problem = if stored.call.intent.is_some() {
            outcome_unknown(&stored.call, "the tool is no longer there to ask")
        } else {
            let message = format!("There is no tool {tool}. List the tools to see what there is.");
            Problem::new("unknown_tool", message)
        };
        Ok(self.end(stored, &problem))
    }

    /// An event whose own delivery did not act leaves a call that may have acted to the one that
    /// did: to wait for its end, or to find out.
    async fn reconcile(
        &self,
        event: &Event,
        receives: u32,
        stored: Stored,
        notes: Notes,
    ) -> Result<Effects, Failure> {
        if notes
            .acts_for
            .as_ref()
            .is_some_and(|actor| *actor != event.id)
        {
            return Ok(Effects::default());
        }
        let Some(tool) = self.registry.get(&stored.call.tool) else {
            return self.without_tool(stored, receives).await;
        };
        let arguments = match self.arguments(&stored.call).await? {
            Ok(arguments) => arguments,
            Err(_) => JsonObject::new(),
        };
        let mut attempt = Attempt::begin(&self.stores, stored, notes).map_err(Error::from)?;
        if let Err(error) = attempt.commit().await {
            return stopped(error);
        }
        let run = Run {
            tool: &*tool,
            arguments: &arguments,
            once: true,
            receives,
            probe: false,
        };
        run.reconcile(attempt, "its worker died while it acted")
            .await
    }

    async fn execute(
        &self,
        event: &Event,
        cx: &Context,
        stored: Stored,
        notes: Notes,
    ) -> Result<Effects, Failure> {
        let Some(tool) = self.registry.get(&stored.call.tool) else {
            return Box::pin(self.without_tool(stored, cx.receives)).await;
        };
        let arguments = match self.arguments(&stored.call).await? {
            Ok(arguments) => arguments,
            Err(problem) => return Ok(self.end(stored, &problem)),
        };
        let upstream = tool.spec().upstream.as_deref();
        let guards = Guards {
            breakers: &self.breakers,
            bulkheads: &self.bulkheads,
        };
        let gate = gate(&self.stores, guards, upstream, &stored, cx.receives);
        let pass = match Box::pin(gate).await? {
            Gate::Through(pass) => pass,
            Gate::Parked(failure) => return Err(failure),
            Gate::Refused(problem) => return Ok(self.end(stored, &problem)),
        };
        let once = is_once(&*tool, &stored.call);
        let mut attempt = Attempt::begin(&self.stores, stored, notes).map_err(Error::from)?;
        // Another try is counted before it runs: it may be what kills its workers.
        let claimed = if once {
            Box::pin(attempt.intend(&event.id)).await
        } else if cx.receives > 1 {
            Box::pin(attempt.commit()).await
        } else {
            Ok(())
        };
        if let Err(error) = claimed {
            if let Some(pass) = pass {
                Box::pin(pass.give_back()).await;
            }
            return stopped(error);
        }
        let probe = pass.as_ref().is_some_and(Pass::is_probe);
        let began = Instant::now();
        let kept = if once {
            arguments.clone()
        } else {
            JsonObject::new()
        };
        let verdict = run(&mut attempt, &*tool, arguments, &cx.shutdown).await;
        if let Some(pass) = pass {
            let took = began.elapsed();
            let course = Course {
                verdict: &verdict,
                took,
                cut_short: attempt.left().is_zero() && took < longest(&*tool),
            };
            Box::pin(pass.report(&course)).await;
        }
        let run = Run {
            tool: &*tool,
            arguments: &kept,
            once,
            receives: cx.receives,
            probe,
        };
        Box::pin(run.conclude(attempt, verdict)).await
    }

    async fn arguments(&self, call: &Call) -> Result<Result<JsonObject, Problem>, Failure> {
        let arguments = self.stores.calls.load(&call.arguments).await;
        Ok(match arguments.map_err(failure)? {
            Some(Value::Object(arguments)) => Ok(arguments),
            Some(_) => Err(Problem::new("internal", "The arguments are no object.")),
            None => Err(Problem::new("internal", "The arguments have expired.")),
        })
    }
}

impl Handler for ToolExecutor {
    const SUBSCRIPTION: Subscription = Subscription {
        timeout: LONGEST_DELIVERY,
        lease: LEASE,
        max_receives: MAX_RECEIVES,
        concurrency: CONCURRENCY,
        ..Subscription::new(
            "tool-executor",
            Events::Only(&[
                EventType::ToolCallRequested,
                EventType::ToolCallInputProvided,
            ]),
        )
    };

    async fn handle(&self, event: &Event, cx: &Context) -> Result<Effects, Failure> {
        let Some(mut stored) = self.load(event).await? else {
            return Ok(Effects::default());
        };
        let now = self.stores.clock.now();
        let reopened = cx.receives == 1 && stored.call.reopen(now);
        // The first delivery of a call has none, and does not look.
        let notes = if cx.receives > 1 || stored.call.attempt > 0 {
            Notes::read(&*self.stores.ledger, &stored.call).await?
        } else {
            Notes::default()
        };
        let tried = stored.call.attempt.saturating_sub(notes.forgiven);
        let plan = plan(&stored.call, event, cx.receives, tried, now);
        if reopened && plan == Plan::Run {
            let committed = self.stores.calls.reopened(&stored).await;
            stored = committed.map_err(failure)?;
        }
        match plan {
            Plan::Nothing => Ok(Effects::default()),
            Plan::GivenUp(reason) => Err(Failure::reject(reason)),
            Plan::End(problem) => Ok(self.end(stored, &problem)),
            Plan::ComeBack(after) => Err(Failure::Retry {
                after: Some(after),
                source: "another delivery of the call is being worked on".into(),
            }),
            Plan::PutAside => Err(Failure::reject(format!(
                "{} attempts ended without a word: the tool seems to end its process",
                tried + 1
            ))),
            Plan::Reconcile => Box::pin(self.reconcile(event, cx.receives, stored, notes)).await,
            Plan::Run => self.execute(event, cx, stored, notes).await,
        }
    }

    async fn abandon(&self, event: &Event, reason: &str, _: &Context) -> Result<Effects, Failure> {
        let Ok(id) = CallId::parse(&event.subject) else {
            return Ok(Effects::default());
        };
        // Not by effects, whose event would be named after this delivery: what the call ends with
        // after a redrive is another event than this end.
        let ended = self.stores.calls.change(&event.tenant, &id, |call, now| {
            let given_up = call.give_up(dead_letter(call, reason), now);
            Ok(given_up
                .ok()
                .map(|()| call.ended((0, false)).into_iter().collect()))
        });
        match ended.await {
            Ok(Stored { call, .. }) => {
                if let Some(Outcome::Error(problem)) = &call.outcome {
                    tell(&call, problem, call.updated_at);
                }
                Ok(Effects::default())
            }
            Err(error @ waybill_calls::Error::Port(_)) => Err(failure(error)),
            // What cannot be read cannot be ended either; the dead letter tells of it.
            Err(_) => Ok(Effects::default()),
        }
    }
}

fn dead_letter(call: &Call, reason: &str) -> Problem {
    if call.intent.is_some() {
        return outcome_unknown(call, reason);
    }
    let message = format!("The call was given up: {reason}.");
    Problem::new("dead_lettered", message)
}

/// The stricter of what the tool says now and what it said when the call was accepted.
fn is_once(tool: &dyn Tool, call: &Call) -> bool {
    tool.spec().effect == Effect::Once || call.effect == Effect::Once.as_str()
}

/// The claim could not be committed, so nothing was done.
fn stopped(error: Error) -> Result<Effects, Failure> {
    match error {
        Error::Fenced(Fenced::Ended) => Ok(Effects::default()),
        Error::Fenced(Fenced::Overtaken) => Err(overtaken()),
        other @ Error::Calls(_) => Err(other.into()),
    }
}
