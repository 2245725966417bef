//! Who consumes what.

use waybill_audit_sink::AuditSink;
use waybill_backend_aws::EventRelay;
use waybill_events::EventType;
use waybill_messaging::{BatchHandler, Events, Handler, Subscription};
use waybill_tool_executor::{DeadlineSweep, ToolExecutor};

/// Consumers of the bus.
pub(crate) const SUBSCRIPTIONS: &[Subscription] =
    &[ToolExecutor::SUBSCRIPTION, AuditSink::SUBSCRIPTION];

/// The same on AWS: with the consumer that only this backend has.
pub(crate) const SUBSCRIPTIONS_ON_AWS: &[Subscription] = &[
    ToolExecutor::SUBSCRIPTION,
    AuditSink::SUBSCRIPTION,
    EventRelay::SUBSCRIPTION,
];

/// Reconcilers: driven by a timer, not by the bus.
pub(crate) const TIMED: &[Subscription] = &[DeadlineSweep::SUBSCRIPTION];

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
        .map(|each| each.name)
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
