//! The atomic step: one transaction over the three tables.

use std::{
    collections::{BTreeSet, HashSet},
    time::Duration,
};

use aws_sdk_dynamodb::{
    error::SdkError,
    operation::transact_write_items::TransactWriteItemsError,
    types::{CancellationReason, Put, TransactWriteItem},
};
use tokio::time::sleep;
use waybill_messaging::{BoxError, Commit, Error, IndexEntry, Key, Result, Seen, Write};

use super::{
    DynamoLedger, Message,
    item::{Item, incomplete, number, text},
    random_below,
    schema::{EVENT, SUBSCRIPTION, TTL},
    write,
};
use crate::error::port_error;

/// A queue keeps a message for 14 days at most, and so long it may be delivered again.
const RETENTION: Duration = Duration::from_hours(15 * 24);
/// Of a transaction that met another one: `DynamoDB` cancels both or one, and neither is a
/// conflict until the other has committed.
pub(super) const ATTEMPTS: u32 = 8;
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LAST_PAUSE: Duration = Duration::from_millis(500);
/// The items of a transaction together, in bytes (quota of `DynamoDB`), less room for the names
/// and numbers of a hundred items.
const MAX_TRANSACTION: usize = 4 * 1024 * 1024 - 64 * 1024;
/// Quotas of `DynamoDB`, in bytes.
const MAX_PARTITION: usize = 2_048;
const MAX_SORT: usize = 1_024;

/// A commit checked against the limits, its events already in wire form.
pub(super) struct Prepared {
    writes: Vec<Write>,
    seen: Vec<Seen>,
    pub(super) events: Vec<Message>,
}

/// What an item of a transaction is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Target {
    Mark,
    /// By its place in the commit.
    Write(usize),
    Event,
}

/// Why `DynamoDB` cancelled a transaction, and so what to do.
#[derive(Debug)]
enum Verdict {
    Refused(Error),
    /// These puts under `Expect::Any` met an expired record, or met none any more: they have the
    /// other form next time.
    Turn(Vec<usize>),
    /// Another transaction has one of the items in hand: the first such record, if it is one.
    Busy(Option<Key>),
}

impl Prepared {
    pub(super) fn new(commit: Commit) -> Result<Self> {
        commit.check()?;
        let Commit {
            writes,
            events,
            seen,
        } = commit;
        let mut keys = HashSet::with_capacity(writes.len());
        if !writes.iter().all(|write| keys.insert(write.key())) {
            return Err(refused("two writes of one key"));
        }
        let events: Vec<Message> = events.iter().map(Message::new).collect::<Result<_>>()?;
        let mut ids = HashSet::with_capacity(events.len());
        if !events.iter().all(|event| ids.insert(&event.id)) {
            return Err(refused("two events of one id"));
        }
        let mut size: usize = events.iter().map(|event| event.body.len()).sum();
        for write in &writes {
            size += fitting(write)?;
        }
        if size > MAX_TRANSACTION {
            return Err(Error::TooLarge {
                what: "a commit with its events",
                size,
                limit: MAX_TRANSACTION,
            });
        }
        Ok(Self {
            writes,
            seen,
            events,
        })
    }

    fn verdict(&self, targets: &[Target], reasons: &[CancellationReason]) -> Verdict {
        let codes = reasons.iter().map(|reason| reason.code().unwrap_or("None"));
        let failed: Vec<(Target, &str)> = targets
            .iter()
            .copied()
            .zip(codes)
            .filter(|(_, code)| *code != "None")
            .collect();
        let seen = (Target::Mark, "ConditionalCheckFailed");
        if failed.contains(&seen) {
            return Verdict::Refused(Error::AlreadySeen);
        }
        if let Some(error) = failed
            .iter()
            .find_map(|(_, code)| out_of_order(code, reasons))
        {
            return Verdict::Refused(error);
        }
        let busy = |target: &Target| failed.contains(&(*target, "TransactionConflict"));
        let unmet = |target: &Target| failed.contains(&(*target, "ConditionalCheckFailed"));
        let writes = self.writes.iter().enumerate();
        let unmet = writes.filter(|(at, _)| unmet(&Target::Write(*at)));
        let (any, lost): (Vec<_>, Vec<_>) = unmet.partition(|(_, write)| write::is_put_any(write));
        // While a mark is in other hands, whether it is there decides.
        if !busy(&Target::Mark)
            && let Some((_, write)) = lost.first()
        {
            let key = write.key().clone();
            return Verdict::Refused(Error::Conflict { key });
        }
        if failed.iter().any(|(target, _)| busy(target)) {
            let writes = self.writes.iter().enumerate();
            let mut writes = writes.filter(|(at, _)| busy(&Target::Write(*at)));
            return Verdict::Busy(writes.next().map(|(_, write)| write.key().clone()));
        }
        if any.is_empty() {
            let reasons = format!("{reasons:?}");
            return Verdict::Refused(Error::broken("a commit was cancelled", reasons));
        }
        Verdict::Turn(any.into_iter().map(|(at, _)| at).collect())
    }
}

impl DynamoLedger {
    /// Tries again where another transaction was in the way, which is over in milliseconds. The
    /// queue's retry would come much later, and for a record that many write never in time.
    pub(super) async fn transact(&self, prepared: &Prepared) -> Result<()> {
        let mut over_expired = BTreeSet::new();
        let mut pause = FIRST_PAUSE;
        let mut busy = None;
        for _ in 0..ATTEMPTS {
            let (targets, items) = self.items(prepared, &over_expired)?;
            if items.is_empty() {
                return Ok(());
            }
            let sending = self.dynamodb.transact_write_items();
            // Without a token of ours the SDK makes one for this call and all tries of it.
            let Err(error) = sending.set_transact_items(Some(items)).send().await else {
                return Ok(());
            };
            let reasons = cancelled(&error);
            if reasons.is_empty() {
                return Err(port_error("a commit failed", error));
            }
            match prepared.verdict(&targets, reasons) {
                Verdict::Refused(error) => return Err(error),
                Verdict::Turn(puts) => {
                    for at in puts {
                        if !over_expired.remove(&at) {
                            over_expired.insert(at);
                        }
                    }
                }
                Verdict::Busy(key) => {
                    busy = key;
                    let most = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
                    sleep(Duration::from_millis(random_below(most) + 1)).await;
                    pause = (pause * 2).min(LAST_PAUSE);
                }
            }
        }
        // Nothing was written, and somebody else writes the record all the time.
        Err(busy.map_or_else(
            || Error::unavailable("a commit failed", "other transactions are in the way"),
            |key| Error::Conflict { key },
        ))
    }

    fn items(
        &self,
        prepared: &Prepared,
        over_expired: &BTreeSet<usize>,
    ) -> Result<(Vec<Target>, Vec<TransactWriteItem>)> {
        let now = self.now();
        let mut items = Vec::new();
        for seen in &prepared.seen {
            items.push((Target::Mark, self.mark(seen, now)?));
        }
        for (at, write) in prepared.writes.iter().enumerate() {
            let form = if over_expired.contains(&at) {
                write::Over::Expired
            } else {
                write::Over::Live
            };
            let item = write::item(&self.records, write, form, now)?;
            items.extend(item.map(|item| (Target::Write(at), item)));
        }
        for event in &prepared.events {
            items.push((Target::Event, self.outbox.put(event, now)?));
        }
        Ok(items.into_iter().unzip())
    }

    fn mark(&self, seen: &Seen, now: i64) -> Result<TransactWriteItem> {
        let put = Put::builder()
            .table_name(&self.inbox)
            .set_item(Some(Item::from([
                (EVENT.to_owned(), text(seen.event.as_str())),
                (SUBSCRIPTION.to_owned(), text(seen.subscription)),
                (TTL.to_owned(), retained(now)),
            ])))
            .condition_expression("attribute_not_exists(#event)")
            .expression_attribute_names("#event", EVENT)
            .build()
            .map_err(incomplete)?;
        Ok(TransactWriteItem::builder().put(put).build())
    }
}

/// When what is written now may be forgotten: a [`TTL`], in seconds.
fn retained(now: i64) -> aws_sdk_dynamodb::types::AttributeValue {
    number(now / 1_000 + i64::try_from(RETENTION.as_secs()).unwrap_or(i64::MAX))
}

/// Empty unless the transaction was cancelled; else a reason for each of its items.
fn cancelled(error: &SdkError<TransactWriteItemsError>) -> &[CancellationReason] {
    match error.as_service_error() {
        Some(TransactWriteItemsError::TransactionCanceledException(cancelled)) => {
            cancelled.cancellation_reasons()
        }
        _ => &[],
    }
}

/// What is neither an unmet condition nor another transaction.
fn out_of_order(code: &str, reasons: &[CancellationReason]) -> Option<Error> {
    let source = || BoxError::from(format!("{reasons:?}"));
    match code {
        "ConditionalCheckFailed" | "TransactionConflict" => None,
        "ThrottlingError" | "ProvisionedThroughputExceeded" | "RequestLimitExceeded" => {
            Some(Error::unavailable("DynamoDB throttles a commit", source()))
        }
        _ => Some(Error::broken("DynamoDB refuses a commit", source())),
    }
}

/// The size of a write, in bytes, if its keys are such as `DynamoDB` can hold.
fn fitting(write: &Write) -> Result<usize> {
    let Key { partition, sort } = write.key();
    let mut size = name(partition, "a key's partition", MAX_PARTITION)?;
    size += name(sort, "a key's sort", MAX_SORT)?;
    if let Write::Put { body, index, .. } = write {
        size += body.len();
        if let Some(IndexEntry { partition, sort }) = index {
            size += name(partition, "an index entry's partition", MAX_PARTITION)?;
            size += name(sort, "an index entry's sort", MAX_SORT)?;
        }
    }
    Ok(size)
}

fn name(text: &str, what: &'static str, limit: usize) -> Result<usize> {
    match text.len() {
        0 => Err(refused("an empty name in a key or an index entry")),
        size if size > limit => Err(Error::TooLarge { what, size, limit }),
        size => Ok(size),
    }
}

fn refused(what: &'static str) -> Error {
    Error::broken("a commit cannot be made", what)
}

#[cfg(test)]
mod tests {
    use waybill_messaging::Expect;

    use super::*;

    const UNMET: &str = "ConditionalCheckFailed";
    const BUSY: &str = "TransactionConflict";

    fn put(sort: &str, expect: Expect) -> Write {
        Write::Put {
            key: Key::new("p", sort),
            expect,
            body: "x".into(),
            index: None,
            expires_at: None,
        }
    }

    /// Of a commit with a mark, a put that expects a version, a put that does not, and an event.
    fn verdict(codes: [&str; 4]) -> String {
        let prepared = Prepared {
            writes: vec![put("a", Expect::Version(1)), put("b", Expect::Any)],
            seen: Vec::new(),
            events: Vec::new(),
        };
        let targets = [
            Target::Mark,
            Target::Write(0),
            Target::Write(1),
            Target::Event,
        ];
        let reasons = codes.map(|code| CancellationReason::builder().code(code).build());
        match prepared.verdict(&targets, &reasons) {
            Verdict::Refused(Error::AlreadySeen) => "seen".to_owned(),
            Verdict::Refused(Error::Conflict { key }) => format!("conflict {key}"),
            Verdict::Refused(Error::Unavailable { .. }) => "unavailable".to_owned(),
            Verdict::Refused(Error::Broken { .. }) => "broken".to_owned(),
            Verdict::Busy(key) => {
                format!("busy {}", key.map_or_else(String::new, |k| k.to_string()))
            }
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn a_cancelled_transaction_is_read_reason_by_reason() {
        let none = "None";
        let cases = [
            ([UNMET, UNMET, UNMET, none], "seen"),
            ([UNMET, BUSY, none, "ThrottlingError"], "seen"),
            ([none, UNMET, none, none], "conflict p/a"),
            ([none, UNMET, UNMET, BUSY], "conflict p/a"),
            ([BUSY, UNMET, none, none], "busy "),
            ([BUSY, BUSY, none, none], "busy p/a"),
            ([none, none, BUSY, none], "busy p/b"),
            ([none, none, none, BUSY], "busy "),
            ([none, none, UNMET, none], "Turn([1])"),
            ([none, BUSY, UNMET, none], "busy p/a"),
            ([none, none, "ThrottlingError", none], "unavailable"),
            (
                [none, "ProvisionedThroughputExceeded", none, none],
                "unavailable",
            ),
            ([none, "ValidationError", none, none], "broken"),
            ([none, none, none, UNMET], "broken"),
        ];
        for (codes, expected) in cases {
            assert_eq!(verdict(codes), expected, "{codes:?}");
        }
    }

    #[test]
    fn what_dynamodb_cannot_hold_is_named() {
        let long = "x".repeat(MAX_SORT + 1);
        let commit = |write| Commit {
            writes: vec![write],
            ..Commit::default()
        };
        let prepared = Prepared::new(commit(put(&long, Expect::Any)));
        assert!(matches!(
            prepared.err().unwrap(),
            Error::TooLarge {
                what: "a key's sort",
                limit: MAX_SORT,
                ..
            }
        ));
        let prepared = Prepared::new(commit(put("", Expect::Any)));
        assert!(matches!(prepared.err().unwrap(), Error::Broken { .. }));
    }
}
