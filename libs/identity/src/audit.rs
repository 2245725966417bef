//! Writing down who did what.

use std::sync::Arc;

use waybill_events::{AuditRecorded, Draft, Event, EventId, Stamp, TenantId};
use waybill_messaging::{Clock, Commit, Ledger};

/// What is accounted for. Nothing in it may be secret or personal.
#[derive(Clone, Debug)]
pub struct Note<'a> {
    /// Noun and verb, such as `key.created`.
    pub action: &'a str,
    /// A key's id, `operator`, `system` or `unknown`.
    pub actor: &'a str,
    /// `allowed`, `denied` or `failed`.
    pub outcome: &'a str,
    /// What was acted on.
    pub subject: &'a str,
    pub detail: Option<String>,
}

/// Makes `audit.recorded` events. Cheap to clone.
#[derive(Clone)]
pub struct Audit {
    ledger: Arc<dyn Ledger>,
    clock: Clock,
    service: &'static str,
}

impl Audit {
    /// `service` is who emits the events.
    pub fn new(ledger: Arc<dyn Ledger>, clock: Clock, service: &'static str) -> Self {
        Self {
            ledger,
            clock,
            service,
        }
    }

    /// Commits the note alone: for acts that are no write of ours. Durable when it returns.
    pub async fn record(&self, note: Note<'_>) -> waybill_messaging::Result<()> {
        let commit = Commit {
            events: vec![self.event(note)],
            ..Commit::default()
        };
        self.ledger.commit(commit).await.map(drop)
    }

    /// For the commit that does what the note says.
    pub fn event(&self, note: Note<'_>) -> Event {
        let now = self.clock.now();
        let data = AuditRecorded {
            action: note.action.to_owned(),
            actor: note.actor.to_owned(),
            outcome: note.outcome.to_owned(),
            detail: note.detail,
        };
        let cause = EventId::root(now, rand::random());
        let stamp = Stamp {
            service: self.service,
            now,
            cause: cause.as_str(),
            correlation: None,
            causation: None,
            traceparent: None,
        };
        Draft::new(TenantId::system(), note.subject, &data).stamp(&stamp, 0)
    }
}
