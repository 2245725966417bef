//! Finding calls: a tenant's newest, and those that are overdue.

use chrono::{DateTime, TimeDelta, Utc};
use waybill_events::{CallId, TenantId};
use waybill_messaging::{Range, Record};
use waybill_telemetry::metrics::CALLS_UNREADABLE;

use super::{Calls, Error, Stored, open_partition, sortable, stored};
use crate::{Call, CallState};

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
        let CallFilter {
            tool,
            state,
            before,
            ..
        } = filter;
        let fits = |call: &Call| {
            // The ledger's range goes up to and with its end.
            before.as_ref().is_none_or(|before| call.id < *before)
                && tool.as_ref().is_none_or(|tool| *tool == call.tool)
                && state.is_none_or(|state| state == call.state)
        };
        let calls = self.readable(&page.records);
        let calls = calls.filter(|stored| fits(&stored.call)).collect();
        Ok((calls, page.next))
    }

    /// A page of the open calls whose deadline has passed, up to `limit`, and where the next begins.
    /// `shard`: which of [`Self::OPEN_SHARDS`] parts of them. The longest overdue come first.
    pub async fn overdue(
        &self,
        shard: u8,
        limit: usize,
        after: Option<String>,
    ) -> Result<(Vec<Stored>, Option<String>), Error> {
        // An entry goes on after its time: the next millisecond is the first that is not due.
        let now = sortable(self.clock.now() + TimeDelta::milliseconds(1));
        let range = Range::first(limit).to(now).after(after);
        let page = self.ledger.query(&open_partition(shard), range).await?;
        Ok((self.readable(&page.records).collect(), page.next))
    }

    /// Without those that are corrupt or of a newer version: one keeps no other from its reader.
    fn readable(&self, records: &[Record]) -> impl Iterator<Item = Stored> {
        records.iter().filter_map(|record| {
            let skip = |error: &Error| {
                self.meter.add(&CALLS_UNREADABLE, &[], 1);
                let error = error as &dyn std::error::Error;
                tracing::error!(error, key = %record.key, "skipped a call");
            };
            stored(record).inspect_err(skip).ok()
        })
    }
}
