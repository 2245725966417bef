//! Finding calls: a tenant's newest, and those that are overdue.

use chrono::{DateTime, TimeDelta, Utc};
use waybill_events::{CallId, TenantId};
use waybill_messaging::Range;

use super::{Calls, Error, OPEN_SHARDS, Stored, open_partition, sortable, stored};
use crate::CallState;

/// Which calls to list. Newest first.
#[derive(Clone, Debug, Default)]
pub struct CallFilter {
    pub tool: Option<String>,
    pub state: Option<CallState>,
    pub since: Option<DateTime<Utc>>,
    pub limit: usize,
    pub after: Option<String>,
    /// Only calls older than this one, which may be another tenant's.
    pub before: Option<CallId>,
}

impl Calls {
    /// A page of the tenant's calls, newest first, and where the next begins. A filter may leave
    /// fewer than `limit` on a page that has a next.
    pub async fn list(
        &self,
        tenant: &TenantId,
        filter: CallFilter,
    ) -> Result<(Vec<Stored>, Option<String>), Error> {
        let mut range = Range::last(filter.limit.clamp(1, Range::MAX_LIMIT)).after(filter.after);
        let since = filter.since.map(|since| CallId::new(since, 0));
        if let Some(before) = &filter.before {
            if since.as_ref().is_some_and(|since| since > before) {
                return Ok((Vec::new(), None));
            }
            range = range.to(before.as_str());
        }
        if let Some(since) = &since {
            range = range.from(since.as_str());
        }
        let page = self.ledger.list(&format!("calls/{tenant}"), range).await?;
        let mut calls = Vec::with_capacity(page.records.len());
        for record in &page.records {
            let stored = stored(record)?;
            let fits = filter
                .tool
                .as_ref()
                .is_none_or(|tool| *tool == stored.call.tool)
                && filter.state.is_none_or(|state| state == stored.call.state);
            // The ledger's range goes up to and with its end.
            let older = filter.before.as_ref().is_none_or(|id| stored.call.id < *id);
            if fits && older {
                calls.push(stored);
            }
        }
        Ok((calls, page.next))
    }

    /// Open calls whose deadline has passed, up to `limit`.
    pub async fn overdue(&self, limit: usize) -> Result<Vec<Stored>, Error> {
        // An entry goes on after its time: the next millisecond is the first that is not due.
        let now = sortable(self.clock.now() + TimeDelta::milliseconds(1));
        let mut overdue = Vec::new();
        for shard in 0..OPEN_SHARDS {
            let range = Range::first(limit).to(now.clone());
            let page = self.ledger.query(&open_partition(shard), range).await?;
            for record in &page.records {
                overdue.push(stored(record)?);
            }
        }
        overdue.truncate(limit);
        Ok(overdue)
    }
}
