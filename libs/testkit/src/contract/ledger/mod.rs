//! The suite of [`Ledger`](waybill_messaging::Ledger).

use std::sync::Arc;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use waybill_events::{Event, EventType, TenantId};
use waybill_messaging::{
    Commit, Expect, IndexEntry, Key, Ledger, Page, Range, Record, Seen, Write,
};

use super::Fixture;

mod commit;
mod inbox;
mod index;
mod races;
mod read;
mod waiting;

pub use commit::*;
pub use inbox::*;
pub use index::*;
pub use races::*;
pub use read::*;
pub use waiting::*;

/// Runs the ledger's suite: `ledger_contract!(path::to::fixture)`, in a module of its own, where
/// `fixture` is an `async fn() -> Fixture`.
#[macro_export]
macro_rules! ledger_contract {
    ($fixture:path) => {
        $crate::contract_tests!(
            ledger,
            $fixture,
            [
                versions_count_writes,
                absent_refuses_what_exists,
                a_version_that_moved_is_a_conflict,
                any_writes_over_whatever_is_there,
                a_check_guards_without_writing,
                a_delete_obeys_its_condition,
                a_conflict_on_the_last_write_leaves_nothing,
                an_empty_commit_is_fine,
                bodies_come_back_byte_for_byte,
                keys_may_hold_any_text,
                a_body_over_the_limit_is_too_large,
                a_commit_over_the_limit_is_too_large,
                two_writes_of_one_key_are_refused,
                what_is_missing_is_none,
                a_list_is_ordered_by_bytes,
                a_list_keeps_to_its_bounds,
                a_list_pages_in_both_directions,
                a_list_keeps_to_its_partition,
                an_expired_record_reads_as_absent,
                an_expired_record_can_be_created_again,
                a_put_moves_the_expiry,
                expire_removes_only_what_has_expired,
                a_query_is_ordered_by_entry,
                a_query_keeps_to_its_bounds,
                a_query_pages_over_equal_entries,
                a_put_replaces_the_entry,
                a_delete_takes_its_entry_along,
                an_expired_record_is_not_found_by_index,
                a_seen_event_is_refused_whole,
                seen_is_per_subscription,
                several_events_are_marked_in_one_commit,
                one_seen_event_refuses_the_batch,
                the_same_mark_twice_is_already_seen,
                already_seen_outranks_a_conflict,
                a_mark_settles_its_delivery,
                a_conflict_leaves_the_delivery_leased,
                a_change_wakes_a_waiter,
                a_newer_version_answers_at_once,
                no_change_times_out,
                a_creation_wakes_a_waiter,
                what_is_absent_or_deleted_is_no_change,
                a_change_wakes_every_waiter,
                concurrent_increments_lose_nothing,
                one_of_many_creators_wins,
                a_dropped_commit_happens_whole_or_not_at_all,
                an_event_arrives_after_its_record,
            ]
        );
    };
}

/// A corner of the store that is this test's alone.
struct Space {
    tenant: TenantId,
    partition: Arc<str>,
}

impl Space {
    fn new() -> Self {
        let tenant = crate::tenant();
        let partition = format!("contract/{tenant}").into();
        Self { tenant, partition }
    }

    fn key(&self, sort: &str) -> Key {
        Key::new(self.partition.clone(), sort)
    }

    /// The partition of an index.
    fn index(&self, name: &str) -> String {
        format!("contract-{name}/{}", self.tenant)
    }

    fn event(&self, kind: EventType) -> Event {
        crate::event(kind).tenant(&self.tenant).build()
    }

    /// Keys that were never written.
    async fn is_untouched(&self, ledger: &dyn Ledger) -> bool {
        let page = ledger.list(&self.partition, Range::first(1)).await;
        page.expect("list").records.is_empty()
    }
}

fn put(key: &Key, expect: Expect, body: impl AsRef<[u8]>) -> Write {
    put_until(key, expect, body, None)
}

fn put_until(
    key: &Key,
    expect: Expect,
    body: impl AsRef<[u8]>,
    expires_at: Option<DateTime<Utc>>,
) -> Write {
    Write::Put {
        key: key.clone(),
        expect,
        body: Bytes::copy_from_slice(body.as_ref()),
        index: None,
        expires_at,
    }
}

fn put_indexed(key: &Key, entry: Option<(&str, &str)>) -> Write {
    Write::Put {
        key: key.clone(),
        expect: Expect::Any,
        body: Bytes::copy_from_slice(key.sort.as_bytes()),
        index: entry.map(|(partition, sort)| IndexEntry::new(partition, sort)),
        expires_at: None,
    }
}

fn writing(writes: impl Into<Vec<Write>>) -> Commit {
    Commit {
        writes: writes.into(),
        ..Commit::default()
    }
}

fn seen(subscription: &'static str, event: &Event) -> Seen {
    Seen {
        subscription,
        event: event.id.clone(),
        receipt: None,
    }
}

fn sorts(records: &[Record]) -> Vec<&str> {
    records.iter().map(|record| &*record.key.sort).collect()
}

/// All pages of a list or query, each checked against the limit.
async fn all_pages<F>(range: Range, mut read: impl FnMut(Range) -> F) -> Vec<Record>
where
    F: Future<Output = waybill_messaging::Result<Page>>,
{
    let mut records = Vec::new();
    let mut after = None;
    for _ in 0..100 {
        let page = read(range.clone().after(after)).await.expect("a page");
        assert!(
            page.records.len() <= range.limit,
            "the page is over its limit"
        );
        records.extend(page.records);
        after = page.next;
        if after.is_none() {
            return records;
        }
    }
    panic!("the pages never end");
}

impl Fixture {
    async fn write(&self, writes: impl Into<Vec<Write>>) {
        let committed = self.ledger.commit(writing(writes)).await;
        committed.expect("the commit succeeds");
    }

    /// `None` when absent.
    async fn version(&self, key: &Key) -> Option<u64> {
        let record = self.ledger.get(key).await.expect("get");
        record.map(|record| record.version)
    }

    async fn body(&self, key: &Key) -> Option<Bytes> {
        let record = self.ledger.get(key).await.expect("get");
        record.map(|record| record.body)
    }
}
