//! Builders that name only what a test is about.

use chrono::{DateTime, Utc};
use serde_json::Value;
use waybill_events::{CallId, Event, EventId, EventType, TenantId};

use crate::Dice;

/// A tenant that no other test has: suites may share a store.
pub fn tenant() -> TenantId {
    Ids::random().tenant()
}

/// An event of `kind` with a fresh id and tenant and its type's example as data.
pub fn event(kind: EventType) -> EventBuilder {
    Ids::random().event(kind)
}

/// Identifiers and events from a seed: the same seed gives the same ones.
#[derive(Clone, Debug)]
pub struct Ids(Dice);

impl Ids {
    pub const fn new(seed: u64) -> Self {
        Self(Dice::new(seed))
    }

    /// Different at each call.
    pub fn random() -> Self {
        Self::new(rand::random())
    }

    pub fn tenant(&mut self) -> TenantId {
        let text = format!("t-{:016x}", self.0.roll());
        TenantId::parse(&text).expect("hexadecimal digits and '-' fit")
    }

    pub fn call(&mut self, now: DateTime<Utc>) -> CallId {
        CallId::new(now, self.0.roll_wide())
    }

    pub fn event_id(&mut self, now: DateTime<Utc>) -> EventId {
        EventId::root(now, self.0.roll_wide())
    }

    pub fn event(&mut self, kind: EventType) -> EventBuilder {
        let time = noon();
        let id = self.event_id(time);
        EventBuilder(Event {
            kind,
            source: "/waybill/testkit".to_owned(),
            subject: format!("subject-{:08x}", self.0.roll() >> 32),
            time,
            tenant: self.tenant(),
            correlation: id.clone(),
            id,
            causation: None,
            traceparent: None,
            data: kind.data_example(),
        })
    }
}

/// An event in the making.
#[derive(Clone, Debug)]
pub struct EventBuilder(Event);

impl EventBuilder {
    #[must_use]
    pub fn tenant(mut self, tenant: &TenantId) -> Self {
        self.0.tenant = tenant.clone();
        self
    }

    #[must_use]
    pub fn subject(mut self, subject: impl Into<String>) -> Self {
        self.0.subject = subject.into();
        self
    }

    #[must_use]
    pub fn data(mut self, data: Value) -> Self {
        self.0.data = data;
        self
    }

    #[must_use]
    pub fn at(mut self, time: DateTime<Utc>) -> Self {
        self.0.time = time;
        self
    }

    /// In the story of `cause`.
    #[must_use]
    pub fn caused_by(mut self, cause: &Event) -> Self {
        self.0.tenant = cause.tenant.clone();
        self.0.correlation = cause.correlation.clone();
        self.0.causation = Some(cause.id.clone());
        self.0.traceparent.clone_from(&cause.traceparent);
        self
    }

    #[must_use]
    pub fn traced(mut self, traceparent: impl Into<String>) -> Self {
        self.0.traceparent = Some(traceparent.into());
        self
    }

    pub fn build(self) -> Event {
        self.0
    }
}

fn noon() -> DateTime<Utc> {
    DateTime::from_timestamp(1_780_000_000, 0).expect("a valid time")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_repeats_and_two_seeds_differ() {
        let make = |seed| Ids::new(seed).event(EventType::ScheduleTicked).build();
        assert_eq!(make(1), make(1));
        assert_ne!(make(1).id, make(2).id);
        assert_ne!(tenant(), tenant());
    }
}
