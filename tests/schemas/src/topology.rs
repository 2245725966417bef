//! Who consumes what.

use waybill_audit_sink::{AuditCheck, AuditSink};
use waybill_backend_aws::{EventRelay, OutboxSweep};
use waybill_events::EventType;
use waybill_messaging::{BatchHandler, Events, Handler, Subscription};
use waybill_tool_executor::{DeadlineSweep, ToolExecutor};

/// Consumers of the bus.
pub(crate) const SUBSCRIPTIONS: &[Subscription] = &[
    ToolExecutor::SUBSCRIPTION,
    AuditSink::SUBSCRIPTION,
    EventRelay::SUBSCRIPTION,
];

/// Reconcilers: driven by a timer, not by the bus.
pub(crate) const TIMED: &[Subscription] = &[
    DeadlineSweep::SUBSCRIPTION,
    AuditCheck::SUBSCRIPTION,
    OutboxSweep::SUBSCRIPTION,
];

/// Of SUBSCRIPTIONS and TIMED, those that the backend on AWS brings.
const ON_AWS: &[Subscription] = &[EventRelay::SUBSCRIPTION, OutboxSweep::SUBSCRIPTION];

/// As a person reads it: its name, and where it is when that is not everywhere.
pub(crate) fn title(subscription: &Subscription) -> String {
    let name = subscription.name;
    if ON_AWS.iter().any(|each| each.name == name) {
        format!("{name} (AWS)")
    } else {
        name.to_owned()
    }
}

/// Ticks are not: see `docs/adr/0005-no-ticks-on-the-bus.md`.
pub(crate) fn is_on_the_bus(kind: EventType) -> bool {
    !TIMED.iter().any(|each| each.wants(kind))
}

pub(crate) fn consumers(kind: EventType) -> String {
    let all = if is_on_the_bus(kind) {
        SUBSCRIPTIONS
    } else {
        TIMED
    };
    let names: Vec<_> = all
        .iter()
        .filter(|each| each.wants(kind))
        .map(title)
        .collect();
    let how = if is_on_the_bus(kind) {
        ""
    } else {
        ", by a timer"
    };
    format!("{}{how}", names.join(", "))
}

/// `None`: all of them.
pub(crate) fn named(subscription: &Subscription) -> Option<&'static [EventType]> {
    match subscription.events {
        Events::All => None,
        Events::Only(kinds) => Some(kinds),
    }
}
