//! Running a handler on a delivery and committing what it wants, in one atomic step.

use std::{
    collections::HashSet, future::Future, panic::AssertUnwindSafe, slice, sync::Arc, time::Duration,
};

use futures::FutureExt;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;
use waybill_events::{Draft, Event, EventId, ScheduleTicked, Stamp, TenantId};
use waybill_telemetry::{
    metrics::{DEAD_LETTERS, DISPATCH_DURATION, PORT_FAILURES},
    trace,
};

use crate::{
    BatchHandler, BoxError, Clock, Commit, Context, Delivery, Effects, Error, Failure, Handler,
    Ledger, Meter, Queue, Rebase, Receipt, Seen, Settlement, Subscription,
    retry::{MAX_RETRY, Panicked, backoff, of_a_port, patiently, waits_for_a_port},
};

/// Version conflicts that one delivery may meet before it is retried later.
const MAX_CONFLICTS: usize = 8;
/// Receives after which an event over which a batch handler panics is put aside.
const PANICS: u32 = 5;

/// What a driver needs: the two ports that deliveries go through, the time, and where it counts.
#[derive(Clone)]
pub struct Bus {
    pub ledger: Arc<dyn Ledger>,
    pub queue: Arc<dyn Queue>,
    pub clock: Clock,
    pub meter: Meter,
}

/// How a delivery ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dispatched {
    pub settlement: Settlement,
    /// The backend settled it in the same step as the commit.
    pub settled: bool,
}

/// Runs `handler` on one delivery: bounded in time, panics caught, conflicts re-run, effects
/// committed with the inbox mark. Logs a failure once. The driver carries out the settlement.
pub async fn dispatch<H: Handler>(
    handler: &H,
    bus: &Bus,
    delivery: &Delivery,
    shutdown: &CancellationToken,
) -> Dispatched {
    let event = &*delivery.event;
    let span = tracing::info_span!(
        "dispatch",
        subscription = H::SUBSCRIPTION.name,
        event.id = %event.id,
        event.kind = event.kind.as_str(),
        event.subject = %event.subject,
        tenant.id = %event.tenant,
        receives = delivery.receives,
        otel.kind = "consumer",
    );
    trace::adopt(&span, event.traceparent.as_deref());
    let cx = context(bus, delivery.receives, shutdown);
    let step = Step {
        bus,
        subscription: &H::SUBSCRIPTION,
        deliveries: &[delivery],
    };
    let began = Instant::now();
    let dispatched = async {
        if delivery.receives > H::SUBSCRIPTION.max_receives {
            let reason = format!("received {} times without an end", delivery.receives - 1);
            return abandon(handler, &step, &cx, reason).await;
        }
        match step.run(|| handler.handle(event, &cx)).await {
            Ok(ran) => ran.into(),
            Err(Failure::Retry { after, source })
                if delivery.receives < H::SUBSCRIPTION.max_receives =>
            {
                let after = after.unwrap_or_else(|| backoff(event, delivery.receives));
                again(after, &source)
            }
            Err(Failure::Retry { source, .. } | Failure::Reject { source }) => {
                let reason = chain(&*source);
                tracing::error!(error = reason, "dead letter");
                abandon(handler, &step, &cx, reason).await
            }
        }
    }
    .instrument(span)
    .await;
    count(bus, &H::SUBSCRIPTION, began, slice::from_ref(&dispatched));
    dispatched
}

/// Runs a reconciler because time has passed. A tick is not on the queue: one that is lost is made
/// up by the next, because a reconciler looks at what is.
pub async fn tick<H: Handler>(
    handler: &H,
    bus: &Bus,
    shutdown: &CancellationToken,
) -> Result<(), Failure> {
    let service = H::SUBSCRIPTION.name;
    let now = bus.clock.now();
    let cause = EventId::floor(now);
    let data = ScheduleTicked {
        schedule: service.to_owned(),
    };
    let stamp = Stamp {
        service,
        now,
        cause: cause.as_str(),
        correlation: None,
        causation: None,
        traceparent: None,
    };
    let event = Draft::new(TenantId::system(), service, &data).stamp(&stamp, 0);
    let receipt = Receipt {
        subscription: service,
        handle: "tick".into(),
    };
    let delivery = Delivery {
        event: Arc::new(event),
        receives: 1,
        receipt,
    };
    let cx = context(bus, 1, shutdown);
    let step = Step {
        bus,
        subscription: &H::SUBSCRIPTION,
        deliveries: &[&delivery],
    };
    let began = Instant::now();
    let attempt = step.attempt(None, || handler.handle(&delivery.event, &cx));
    let ran = attempt.await.map(drop);
    count(bus, &H::SUBSCRIPTION, began, &[]);
    ran
}

/// Runs `handler` on several deliveries in one commit. Where the batch cannot be committed whole
/// (one was seen before, one is poison), each is tried alone.
pub async fn dispatch_batch<H: BatchHandler>(
    handler: &H,
    bus: &Bus,
    deliveries: &[Delivery],
    shutdown: &CancellationToken,
) -> Vec<Dispatched> {
    let span = tracing::info_span!(
        "dispatch_batch",
        subscription = H::SUBSCRIPTION.name,
        events = deliveries.len(),
        otel.kind = "consumer",
    );
    for delivery in deliveries {
        trace::link(&span, delivery.event.traceparent.as_deref());
    }
    let began = Instant::now();
    let dispatched = async {
        let mut ids = HashSet::new();
        let distinct = deliveries
            .iter()
            .all(|delivery| ids.insert(&delivery.event.id));
        if distinct && let Some(all) = batch(handler, bus, deliveries, shutdown).await {
            return vec![all; deliveries.len()];
        }
        let mut each = Vec::with_capacity(deliveries.len());
        for delivery in deliveries {
            let one = batch(handler, bus, slice::from_ref(delivery), shutdown).await;
            each.push(one.unwrap_or_else(|| {
                unsettled(Settlement::DeadLetter {
                    reason: "cannot be handled".to_owned(),
                })
            }));
        }
        each
    }
    .instrument(span)
    .await;
    count(bus, &H::SUBSCRIPTION, began, &dispatched);
    dispatched
}

/// How long it took, and who was given up.
fn count(bus: &Bus, subscription: &Subscription, began: Instant, ended: &[Dispatched]) {
    let labels = [subscription.name];
    bus.meter
        .observe(&DISPATCH_DURATION, &labels, began.elapsed());
    let dead = |end: &&Dispatched| matches!(end.settlement, Settlement::DeadLetter { .. });
    match ended.iter().filter(dead).count() {
        0 => {}
        dead => bus.meter.add(&DEAD_LETTERS, &labels, dead as u64),
    }
}

/// `None`: it must be taken apart.
async fn batch<H: BatchHandler>(
    handler: &H,
    bus: &Bus,
    deliveries: &[Delivery],
    shutdown: &CancellationToken,
) -> Option<Dispatched> {
    let receives = deliveries.iter().map(|d| d.receives).max().unwrap_or(1);
    let alone = deliveries.len() == 1;
    let refs: Vec<&Delivery> = deliveries.iter().collect();
    let events: Vec<&Event> = deliveries.iter().map(|d| &*d.event).collect();
    let cx = context(bus, receives, shutdown);
    let step = Step {
        bus,
        subscription: &H::SUBSCRIPTION,
        deliveries: &refs,
    };
    match step.run(|| handler.handle(&events, &cx)).await {
        Ok(Ran::Seen) if !alone => None,
        Ok(ran) => Some(ran.into()),
        // One of them made it panic; the others are not to wait for that one's end.
        Err(Failure::Retry { source, .. }) if source.is::<Panicked>() && !alone => None,
        Err(Failure::Retry { after, source }) if receives < most_receives::<H>(&source) => {
            let after = after.unwrap_or_else(|| backoff(events[0], receives));
            Some(again(after, &source))
        }
        Err(Failure::Retry { source, .. } | Failure::Reject { source }) if alone => {
            let reason = chain(&*source);
            tracing::error!(error = reason, "dead letter");
            Some(unsettled(Settlement::DeadLetter { reason }))
        }
        Err(_) => None,
    }
}

fn most_receives<H: BatchHandler>(source: &BoxError) -> u32 {
    let most = H::SUBSCRIPTION.max_receives;
    if source.is::<Panicked>() {
        most.min(PANICS)
    } else {
        most
    }
}

/// What no waiting mends is told louder.
fn again(after: Duration, source: &BoxError) -> Dispatched {
    let (error, retry_ms) = (chain(&**source), after.as_millis());
    if let Some(Error::Refused { .. }) = of_a_port(source) {
        tracing::error!(error, retry_ms, "a port refuses; retry");
    } else {
        tracing::warn!(error, retry_ms, "retry");
    }
    unsettled(Settlement::Retry { after })
}

/// Commits what the handler wants written before its event is put aside.
async fn abandon<H: Handler>(
    handler: &H,
    step: &Step<'_>,
    cx: &Context,
    reason: String,
) -> Dispatched {
    let event = &*step.deliveries[0].event;
    // The delivery must outlive this commit: it is still to be dead-lettered.
    match step
        .attempt(None, || handler.abandon(event, &reason, cx))
        .await
    {
        Ok(_) => unsettled(Settlement::DeadLetter { reason }),
        Err(Failure::Retry { source, .. } | Failure::Reject { source }) => {
            tracing::error!(
                error = chain(&*source),
                "cannot abandon; trying again later"
            );
            unsettled(Settlement::Retry { after: MAX_RETRY })
        }
    }
}

/// One commit on behalf of a subscription's deliveries.
struct Step<'a> {
    bus: &'a Bus,
    subscription: &'static Subscription,
    deliveries: &'a [&'a Delivery],
}

enum Ran {
    Committed { settled: bool },
    Seen,
}

impl From<Ran> for Dispatched {
    fn from(ran: Ran) -> Self {
        let settled = matches!(ran, Ran::Committed { settled: true });
        Self {
            settlement: Settlement::Done,
            settled,
        }
    }
}

impl Step<'_> {
    async fn run<F>(&self, handle: impl Fn() -> F) -> Result<Ran, Failure>
    where
        F: Future<Output = Result<Effects, Failure>>,
    {
        let seen = self.deliveries.iter().map(|delivery| Seen {
            subscription: self.subscription.name,
            event: delivery.event.id.clone(),
            receipt: Some(delivery.receipt.clone()),
        });
        let ran = self.attempt(Some(seen.collect()), handle).await;
        if let Err(Failure::Retry { source, .. } | Failure::Reject { source }) = &ran
            && of_a_port(source).is_some()
        {
            let labels = [self.subscription.name];
            self.bus.meter.add(&PORT_FAILURES, &labels, 1);
        }
        ran
    }

    async fn attempt<F>(
        &self,
        seen: Option<Vec<Seen>>,
        handle: impl Fn() -> F,
    ) -> Result<Ran, Failure>
    where
        F: Future<Output = Result<Effects, Failure>>,
    {
        let mut effects = self.bounded(handle()).await?;
        let mut rebase: Option<Rebase> = None;
        for _ in 0..MAX_CONFLICTS {
            rebase = effects.rebase.take().or(rebase);
            if seen.is_none() && effects.writes.is_empty() && effects.events.is_empty() {
                return Ok(Ran::Committed { settled: false });
            }
            let commit = self.commit(effects, seen.clone());
            let span = tracing::info_span!("commit");
            let committed = match &rebase {
                None => self.bus.ledger.commit(commit).instrument(span).await,
                Some(_) => {
                    patiently(
                        || self.bus.ledger.commit(commit.clone()),
                        |error| matches!(error, Error::Unavailable { .. }),
                    )
                    .instrument(span)
                    .await
                }
            };
            match committed {
                Ok(committed) => {
                    return Ok(Ran::Committed {
                        settled: committed.settled,
                    });
                }
                Err(Error::AlreadySeen) => return Ok(Ran::Seen),
                Err(Error::Conflict { key }) => {
                    tracing::debug!(%key, "conflict");
                    effects = match &rebase {
                        Some(rebase) => patiently(rebase, waits_for_a_port).await?,
                        None => self.bounded(handle()).await?,
                    };
                }
                Err(error) => return Err(error.into()),
            }
        }
        Err(Failure::retry(format!(
            "{MAX_CONFLICTS} conflicts in a row"
        )))
    }

    /// The handler within its time, its panics caught.
    async fn bounded(
        &self,
        handling: impl Future<Output = Result<Effects, Failure>>,
    ) -> Result<Effects, Failure> {
        let limit = self.subscription.timeout;
        match timeout(limit, AssertUnwindSafe(handling).catch_unwind()).await {
            Ok(Ok(result)) => result,
            Ok(Err(panic)) => Err(Failure::retry(Panicked(panic_message(&*panic).to_owned()))),
            Err(_) => Err(Failure::retry(format!(
                "the handler took over {} s",
                limit.as_secs()
            ))),
        }
    }

    fn commit(&self, effects: Effects, seen: Option<Vec<Seen>>) -> Commit {
        let cause = &*self.deliveries[0].event;
        let stamp = Stamp::caused_by(cause, self.subscription.name, self.bus.clock.now());
        let here = trace::traceparent(&tracing::Span::current());
        let events = effects.events.into_iter().enumerate();
        Commit {
            writes: effects.writes,
            events: events
                .map(|(ordinal, draft)| traced(draft.stamp(&stamp, ordinal), here.as_deref()))
                .collect(),
            seen: seen.unwrap_or_default(),
        }
    }
}

/// What comes of an event is a child of the span that makes it. A tick ends calls of other traces:
/// their events stay in these.
fn traced(mut event: Event, here: Option<&str>) -> Event {
    if let (Some(story), Some(here)) = (&mut event.traceparent, here)
        && trace::same_trace(story, here)
    {
        here.clone_into(story);
    }
    event
}

fn context(bus: &Bus, receives: u32, shutdown: &CancellationToken) -> Context {
    Context {
        now: bus.clock.now(),
        receives,
        shutdown: shutdown.clone(),
    }
}

fn unsettled(settlement: Settlement) -> Dispatched {
    Dispatched {
        settlement,
        settled: false,
    }
}

/// An error and its causes, on one line.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(": ")
}

fn panic_message(panic: &(dyn std::any::Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
}
