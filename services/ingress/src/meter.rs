//! Counting calls where all of them pass: at the commits that accept and end them.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, histogram::Histogram},
    registry::{Registry, Unit},
};
use serde_json::Value;
use waybill_events::{Event, EventType};
use waybill_messaging::{Commit, Committed, Error, Key, Ledger, Page, Range, Record, Result};

/// Seconds: from a local tool to one that runs for an hour.
const BUCKETS: [f64; 14] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0, 120.0, 600.0, 3600.0,
];

/// Calls accepted and ended by tool and state, and how long they took. Cheap to clone.
///
/// [`Meter::over`] gives the ledger that counts: calls that other processes accept or end are in
/// those processes' numbers.
#[derive(Clone)]
pub struct Meter {
    accepted: Family<ToolLabels, Counter>,
    ended: Family<EndLabels, Counter>,
    durations: Family<ToolLabels, Histogram>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ToolLabels {
    tool: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EndLabels {
    tool: String,
    state: &'static str,
}

impl Default for Meter {
    fn default() -> Self {
        Self {
            accepted: Family::default(),
            ended: Family::default(),
            durations: Family::new_with_constructor(|| Histogram::new(BUCKETS)),
        }
    }
}

impl Meter {
    /// `ledger`, with its commits counted.
    pub fn over(&self, ledger: Arc<dyn Ledger>) -> Arc<dyn Ledger> {
        let meter = self.clone();
        Arc::new(Metered { ledger, meter })
    }

    pub(crate) fn register(&self, registry: &mut Registry) {
        let accepted = Family::clone(&self.accepted);
        registry.register("calls_accepted", "Calls committed, by tool", accepted);
        let ended = Family::clone(&self.ended);
        registry.register("calls_ended", "Calls ended, by tool and state", ended);
        let (help, durations) = ("From acceptance to outcome", Family::clone(&self.durations));
        registry.register_with_unit("call_duration", help, Unit::Seconds, durations);
    }

    fn count(&self, observed: Observed) {
        let Observed { tool, end } = observed;
        let Some((state, took)) = end else {
            self.accepted.get_or_create(&ToolLabels { tool }).inc();
            return;
        };
        let labels = EndLabels {
            tool: tool.clone(),
            state,
        };
        self.ended.get_or_create(&labels).inc();
        let took = took.as_secs_f64();
        self.durations
            .get_or_create(&ToolLabels { tool })
            .observe(took);
    }
}

/// What one event says about a call.
struct Observed {
    tool: String,
    /// State and duration; `None` for one that was accepted.
    end: Option<(&'static str, Duration)>,
}

impl Observed {
    /// `None` for events that neither accept nor end a call.
    fn read(event: &Event) -> Option<Self> {
        let state = match event.kind {
            EventType::ToolCallRequested => None,
            EventType::ToolCallCompleted => Some("completed"),
            EventType::ToolCallFailed => Some("failed"),
            EventType::ToolCallCancelled => Some("cancelled"),
            EventType::ToolCallExpired => Some("expired"),
            _ => return None,
        };
        let tool = event.data.get("tool").and_then(Value::as_str)?.to_owned();
        let took = event.data.get("durationMs").and_then(Value::as_u64);
        let end = state.map(|state| (state, Duration::from_millis(took.unwrap_or(0))));
        Some(Self { tool, end })
    }
}

struct Metered {
    ledger: Arc<dyn Ledger>,
    meter: Meter,
}

#[async_trait]
impl Ledger for Metered {
    async fn commit(&self, commit: Commit) -> Result<Committed, Error> {
        let observed: Vec<_> = commit.events.iter().filter_map(Observed::read).collect();
        let committed = self.ledger.commit(commit).await?;
        for seen in observed {
            self.meter.count(seen);
        }
        Ok(committed)
    }

    async fn get(&self, key: &Key) -> Result<Option<Record>> {
        self.ledger.get(key).await
    }

    async fn list(&self, partition: &str, range: Range) -> Result<Page> {
        self.ledger.list(partition, range).await
    }

    async fn query(&self, partition: &str, range: Range) -> Result<Page> {
        self.ledger.query(partition, range).await
    }

    async fn changed(&self, key: &Key, after: u64, wait: Duration) -> Result<Option<Record>> {
        self.ledger.changed(key, after, wait).await
    }

    async fn expire(&self, limit: usize) -> Result<usize> {
        self.ledger.expire(limit).await
    }
}
