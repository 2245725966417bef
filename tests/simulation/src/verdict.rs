//! The promises, checked when a world has come to rest.

use std::collections::{BTreeMap, HashMap};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use waybill_audit_sink::Trail;
use waybill_calls::{CallFilter, Calls, Error};
use waybill_events::{EventType, TenantId};
use waybill_messaging::Bus;

use crate::{clients::Accepted, outside::Outside};

const ENDS: [EventType; 4] = [
    EventType::ToolCallCompleted,
    EventType::ToolCallFailed,
    EventType::ToolCallCancelled,
    EventType::ToolCallExpired,
];

/// The calls by how they ended.
pub(crate) async fn check(
    bus: &Bus,
    calls: &Calls,
    trail: &Trail,
    outside: &Outside,
    accepted: &[Accepted],
) -> Result<BTreeMap<String, u64>> {
    let doubled = outside.doubled();
    ensure!(doubled.is_empty(), "acted twice: {doubled:?}");
    ensure!(!outside.crossed(), "a call ran for another tenant");

    let verification = trail.verify().await?;
    ensure!(
        verification.flaw.is_none(),
        "the chain is broken: {verification:?}"
    );
    let told = told(trail).await?;
    let mut ended = BTreeMap::new();
    for Accepted { tenant, id, tool } in accepted {
        let call = calls.get(tenant, id).await?.call;
        *ended
            .entry(format!("{tool} {}", call.state.as_str()))
            .or_default() += 1;
        let count = |kind: EventType| told.get(&(id.to_string(), kind)).copied().unwrap_or(0);
        ensure!(
            count(EventType::ToolCallRequested) == 1,
            "{tool} {id}: not told once as requested"
        );
        let ends: Vec<EventType> = ENDS.into_iter().filter(|kind| count(*kind) > 0).collect();
        let times: u32 = ENDS.into_iter().map(count).sum();
        ensure!(
            times == 1,
            "{tool} {id} is {:?}, told {times} times as {ends:?}",
            call.state
        );
        let word = call.state.as_str();
        ensure!(
            ends[0].as_str().contains(word),
            "{tool} {id} is {word}, told as {ends:?}"
        );
        let stranger = if tenant.as_str() == "acme" {
            "globex"
        } else {
            "acme"
        };
        let stranger = TenantId::parse(stranger)?;
        let foreign = calls.get(&stranger, id).await;
        ensure!(
            matches!(foreign, Err(Error::Unknown)),
            "{id} is seen by {stranger}"
        );
    }
    lists(calls, accepted).await?;
    letters(bus, calls).await?;
    Ok(ended)
}

/// How often the trail tells each kind of event of each subject.
async fn told(trail: &Trail) -> Result<HashMap<(String, EventType), u32>> {
    let mut told = HashMap::new();
    let mut from = Some(1);
    while let Some(next) = from {
        let (entries, after) = trail.export(next).await?;
        from = after;
        for entry in entries {
            let event: Value = serde_json::from_str(entry.event.get())?;
            let text = |name: &str| event[name].as_str().map(str::to_owned);
            let subject = text("subject").context("a subject")?;
            let kind = EventType::parse(&text("type").context("a type")?)?;
            *told.entry((subject, kind)).or_default() += 1;
        }
    }
    Ok(told)
}

/// Each tenant lists exactly its own calls: also those whose acceptance nobody heard of are its own.
async fn lists(calls: &Calls, accepted: &[Accepted]) -> Result<()> {
    for name in ["acme", "globex"] {
        let tenant = TenantId::parse(name)?;
        let filter = CallFilter {
            limit: 1_000,
            ..CallFilter::default()
        };
        let (listed, _) = calls.list(&tenant, filter).await?;
        ensure!(
            listed.iter().all(|stored| stored.call.tenant == tenant),
            "{name} lists a stranger's"
        );
        for own in accepted.iter().filter(|own| own.tenant == tenant) {
            ensure!(
                listed.iter().any(|stored| stored.call.id == own.id),
                "{name} misses {}",
                own.id
            );
        }
    }
    Ok(())
}

/// A dead letter of the executor leaves an ended call behind.
async fn letters(bus: &Bus, calls: &Calls) -> Result<()> {
    let audit = bus.queue.dead_letters("audit-sink", 10).await?;
    ensure!(
        audit.is_empty(),
        "the audit sink gave up on {} events",
        audit.len()
    );
    for letter in bus.queue.dead_letters("tool-executor", 100).await? {
        let event = letter.event.context("a dead letter that is no event")?;
        let id = waybill_events::CallId::parse(&event.subject)?;
        let call = calls.get(&event.tenant, &id).await?.call;
        ensure!(
            call.state.is_terminal(),
            "{id} is dead-lettered and {:?}",
            call.state
        );
    }
    Ok(())
}
