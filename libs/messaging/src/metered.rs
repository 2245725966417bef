//! Counting where everything passes: at the commits that accept and end calls.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use waybill_events::{
    CircuitOpened, Event, EventType, ToolCallCancelled, ToolCallCompleted, ToolCallExpired,
    ToolCallFailed, ToolCallRequested,
};
use waybill_telemetry::metrics::{
    CALL_DURATION, CALLS_ACCEPTED, CALLS_ENDED, CALLS_FAILED, CIRCUITS_OPENED, Meter,
};

use crate::{Commit, Committed, Error, Key, Ledger, Page, Range, Record, Result};

/// `ledger`, with what its commits say counted: calls that other processes accept or end are in
/// those processes' numbers.
pub fn metered(ledger: Arc<dyn Ledger>, meter: &Meter) -> Arc<dyn Ledger> {
    let meter = meter.clone();
    Arc::new(Metered { ledger, meter })
}

struct Metered {
    ledger: Arc<dyn Ledger>,
    meter: Meter,
}

/// What one event adds to the numbers.
enum Observed {
    Accepted {
        tool: String,
    },
    Ended {
        tool: String,
        state: &'static str,
        took_ms: u64,
        /// The error's code, of a call that failed.
        reason: Option<String>,
    },
    Opened {
        upstream: String,
    },
}

impl Observed {
    /// `None` for events that are not counted.
    fn read(event: &Event) -> Option<Self> {
        let ended = |tool, state, took_ms, reason| Self::Ended {
            tool,
            state,
            took_ms,
            reason,
        };
        Some(match event.kind {
            EventType::ToolCallRequested => Self::Accepted {
                tool: event.data::<ToolCallRequested>().ok()?.tool,
            },
            EventType::ToolCallCompleted => {
                let data: ToolCallCompleted = event.data().ok()?;
                ended(data.tool, "completed", data.duration_ms, None)
            }
            EventType::ToolCallFailed => {
                let data: ToolCallFailed = event.data().ok()?;
                ended(data.tool, "failed", data.duration_ms, Some(data.code))
            }
            EventType::ToolCallCancelled => {
                let data: ToolCallCancelled = event.data().ok()?;
                ended(data.tool, "cancelled", data.duration_ms, None)
            }
            EventType::ToolCallExpired => {
                let data: ToolCallExpired = event.data().ok()?;
                ended(data.tool, "expired", data.duration_ms, None)
            }
            EventType::CircuitOpened => Self::Opened {
                upstream: event.data::<CircuitOpened>().ok()?.upstream,
            },
            _ => return None,
        })
    }

    fn count(&self, meter: &Meter) {
        match self {
            Self::Accepted { tool } => meter.add(&CALLS_ACCEPTED, &[tool], 1),
            Self::Ended {
                tool,
                state,
                took_ms,
                reason,
            } => {
                meter.add(&CALLS_ENDED, &[tool, state], 1);
                meter.observe(&CALL_DURATION, &[tool], Duration::from_millis(*took_ms));
                if let Some(reason) = reason {
                    meter.add(&CALLS_FAILED, &[reason], 1);
                }
            }
            Self::Opened { upstream } => meter.add(&CIRCUITS_OPENED, &[upstream], 1),
        }
    }
}

#[async_trait]
impl Ledger for Metered {
    async fn commit(&self, commit: Commit) -> Result<Committed, Error> {
        let observed: Vec<_> = commit.events.iter().filter_map(Observed::read).collect();
        let committed = self.ledger.commit(commit).await?;
        for seen in observed {
            seen.count(&self.meter);
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
