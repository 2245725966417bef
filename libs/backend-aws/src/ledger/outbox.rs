//! Events between their commit and the topic.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use aws_sdk_dynamodb::{
    operation::put_item::PutItemError,
    primitives::Blob,
    types::{AttributeValue, DeleteRequest, Put, TransactWriteItem, WriteRequest},
};
use bytes::Bytes;
use tokio::time::sleep;
use waybill_events::Event;
use waybill_messaging::{Error, Result};

use super::{
    item::{Item, aliases, bytes, incomplete, integer, number, string, text, unreadable},
    publish::MAX_EVENT,
    random_below,
    schema::{BODY, CLAIMED_BY, CLAIMED_UNTIL, COMMITTED_AT, EVENT, KIND, SHARD, TENANT},
};
use crate::{
    Clients, Names,
    coalesce::{Coalescer, Limits, for_each},
    error::port_error,
};

/// A partition of `DynamoDB` takes 1,000 write units a second, and an event costs three: 16 shards
/// hold about 5,000 events of 1 KB a second before `DynamoDB` has to split them.
pub(super) const SHARDS: u64 = 16;
/// Quota of `DynamoDB` for one request.
const MAX_DELETES: usize = 25;
/// Of the deletes that `DynamoDB` leaves undone.
const ATTEMPTS: u32 = 4;
const PAUSE: Duration = Duration::from_millis(50);
/// Events are read in pages of up to 1 MB; this many in one page are enough.
const PAGE: i32 = 100;
/// How long a shard stays with the process that sweeps it, from one page to the next: longer than
/// a page takes, and shorter than what is between two ticks of a schedule.
const CLAIM: Duration = Duration::from_secs(30);
const FREE_OR_OURS: &str = "attribute_not_exists(#claimed_until) OR #claimed_until <= :now \
                            OR #claimed_by = :me";

/// An event in wire form, and what goes along for the subscriptions' filters.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Message {
    pub(super) id: String,
    pub(super) kind: String,
    pub(super) tenant: String,
    /// UTF-8 that SQS takes.
    pub(super) body: Bytes,
}

/// An event in the outbox.
pub(super) struct Waiting {
    pub(super) message: Message,
    /// Milliseconds since 1970.
    pub(super) committed_at: i64,
}

pub(super) struct OldEvents {
    pub(super) events: Vec<Waiting>,
    /// Where the next page begins; `None`: this was the last.
    pub(super) next: Option<Item>,
}

/// Deletes, by the event's id.
const LIMITS: Limits<String> = Limits {
    entries: MAX_DELETES,
    bytes: usize::MAX,
    size: |_| 0,
};

#[derive(Clone, Debug)]
pub(super) struct Outbox {
    table: Table,
    /// For commits that are under way at the same time.
    together: Coalescer<String, Result<()>>,
    /// This process, where shards are claimed.
    sweeper: Arc<str>,
}

#[derive(Clone, Debug)]
struct Table {
    dynamodb: aws_sdk_dynamodb::Client,
    name: String,
}

impl Message {
    /// [`Error::TooLarge`] when it could never leave the outbox.
    pub(super) fn new(event: &Event) -> Result<Self> {
        let body = deliverable(event.to_json());
        if body.len() > MAX_EVENT {
            return Err(Error::TooLarge {
                what: "an event",
                size: body.len(),
                limit: MAX_EVENT,
            });
        }
        Ok(Self {
            id: event.id.as_str().to_owned(),
            kind: event.kind.as_str().to_owned(),
            tenant: event.tenant.as_str().to_owned(),
            body: body.into(),
        })
    }
}

impl Waiting {
    fn from_item(mut item: Item) -> Result<Self> {
        let body = item.remove(BODY);
        let text = |name| string(&item, name).map(str::to_owned);
        Ok(Self {
            committed_at: integer(&item, COMMITTED_AT)?,
            message: Message {
                id: text(EVENT)?,
                kind: text(KIND)?,
                tenant: text(TENANT)?,
                body: match body {
                    Some(AttributeValue::B(blob)) => Blob::into_bytes(blob),
                    _ => return Err(unreadable(BODY)),
                },
            },
        })
    }
}

fn key(id: &str) -> Item {
    HashMap::from([
        (SHARD.to_owned(), number(shard(id))),
        (EVENT.to_owned(), text(id)),
    ])
}

impl Outbox {
    pub(super) fn new(clients: &Clients, names: &Names) -> Self {
        let table = Table {
            dynamodb: clients.dynamodb.clone(),
            name: names.outbox(),
        };
        let its = table.clone();
        let together = Coalescer::new(LIMITS, move |ids: Vec<String>| {
            let table = its.clone();
            async move {
                let each = ids.len();
                match table.delete(ids).await {
                    Ok(()) => (0..each).map(|_| Ok(())).collect(),
                    Err(error) => for_each(error, each),
                }
            }
        });
        Self {
            table,
            together,
            sweeper: format!("{:016x}", random_below(u64::MAX)).into(),
        }
    }

    /// The item of a commit at `now`, in milliseconds.
    pub(super) fn put(&self, event: &Message, now: i64) -> Result<TransactWriteItem> {
        let mut item = key(&event.id);
        item.extend([
            (KIND.to_owned(), text(&event.kind)),
            (TENANT.to_owned(), text(&event.tenant)),
            (BODY.to_owned(), bytes(&event.body)),
            (COMMITTED_AT.to_owned(), number(now)),
        ]);
        let put = Put::builder()
            .table_name(&self.table.name)
            .set_item(Some(item));
        let put = put.build().map_err(incomplete)?;
        Ok(TransactWriteItem::builder().put(put).build())
    }

    /// Removes what was published, in the company of what others remove at this moment.
    pub(super) async fn forget(&self, events: &[Message]) -> Result<()> {
        let ids = events.iter().map(|event| event.id.clone());
        let mut outcomes = self.together.ask_all(ids).await.into_iter();
        outcomes.try_for_each(Result::flatten)
    }

    /// Events of a shard that were committed at or before `before`, in milliseconds: of a page's
    /// items those that were.
    pub(super) async fn page(
        &self,
        shard: u64,
        before: i64,
        start: Option<Item>,
    ) -> Result<OldEvents> {
        let found = self
            .table
            .dynamodb
            .query()
            .table_name(&self.table.name)
            .consistent_read(true)
            .key_condition_expression("#shard = :shard")
            .filter_expression("#committed_at <= :before")
            .set_expression_attribute_names(Some(aliases(&[SHARD, COMMITTED_AT])))
            .expression_attribute_values(":shard", number(shard))
            .expression_attribute_values(":before", number(before))
            .set_exclusive_start_key(start)
            .limit(PAGE)
            .send()
            .await
            .map_err(|error| port_error("the outbox cannot be read", error))?;
        let events = found.items.unwrap_or_default().into_iter();
        Ok(OldEvents {
            events: events.map(Waiting::from_item).collect::<Result<_>>()?,
            next: found.last_evaluated_key,
        })
    }

    /// Takes a shard for the sweep of this process, or keeps it, for [`CLAIM`] from `now`. False:
    /// another process has it.
    pub(super) async fn claim(&self, shard: u64, now: i64) -> Result<bool> {
        let until = now.saturating_add(i64::try_from(CLAIM.as_millis()).unwrap_or(i64::MAX));
        let claimed = self
            .table
            .dynamodb
            .put_item()
            .table_name(&self.table.name)
            // Beside the shards of events: no sweep reads it.
            .item(SHARD, number(SHARDS + shard))
            .item(EVENT, text("sweep"))
            .item(CLAIMED_BY, text(&self.sweeper))
            .item(CLAIMED_UNTIL, number(until))
            .condition_expression(FREE_OR_OURS)
            .set_expression_attribute_names(Some(aliases(&[CLAIMED_BY, CLAIMED_UNTIL])))
            .expression_attribute_values(":me", text(&self.sweeper))
            .expression_attribute_values(":now", number(now))
            .send()
            .await;
        match claimed {
            Ok(_) => Ok(true),
            Err(error)
                if error
                    .as_service_error()
                    .is_some_and(PutItemError::is_conditional_check_failed_exception) =>
            {
                Ok(false)
            }
            Err(error) => Err(port_error("the outbox cannot be claimed", error)),
        }
    }
}

impl Table {
    /// One request, and more where that leaves some undone.
    async fn delete(&self, ids: Vec<String>) -> Result<()> {
        // A batch must not name an item twice.
        let ids: HashSet<String> = ids.into_iter().collect();
        let deletes = ids.iter().map(|id| {
            let delete = DeleteRequest::builder().set_key(Some(key(id)));
            let delete = delete.build().map_err(incomplete)?;
            Ok(WriteRequest::builder().delete_request(delete).build())
        });
        let mut left = HashMap::from([(self.name.clone(), deletes.collect::<Result<_>>()?)]);
        for attempt in 1..=ATTEMPTS {
            let deleting = self.dynamodb.batch_write_item();
            let deleted = deleting.set_request_items(Some(left)).send().await;
            let deleted =
                deleted.map_err(|error| port_error("the outbox is not emptied", error))?;
            left = deleted.unprocessed_items.unwrap_or_default();
            if left.is_empty() {
                return Ok(());
            }
            sleep(PAUSE * attempt).await;
        }
        let undone = "DynamoDB leaves deletes undone";
        Err(Error::unavailable("the outbox is not emptied", undone))
    }
}

/// Depends on the id alone: whoever publishes finds the item again. FNV-1a, which is stable over
/// versions, as the standard library's hash is not.
fn shard(id: &str) -> u64 {
    let hash = id.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    hash % SHARDS
}

/// SQS takes the characters of XML 1.0. JSON escapes those below U+0020 in any case; the two
/// others that are excluded can only be inside a string.
fn deliverable(json: Vec<u8>) -> String {
    let json = String::from_utf8(json).expect("JSON is UTF-8");
    if json.contains(['\u{fffe}', '\u{ffff}']) {
        json.replace('\u{fffe}', "\\ufffe")
            .replace('\u{ffff}', "\\uffff")
    } else {
        json
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_are_all_in_use_and_stay_as_they_are() {
        let mut counts = HashMap::new();
        for n in 0..1_600 {
            let id = format!("01jzzzzzzz{n:016}");
            *counts.entry(shard(&id)).or_insert(0) += 1;
        }
        assert_eq!(counts.len(), 16);
        assert!(counts.values().all(|count| (50..200).contains(count)));
        // An item that an older release left behind is found by the newer one.
        assert_eq!(shard("01jzzzzzzz0000000000000000"), 10);
    }

    #[test]
    fn what_sqs_would_refuse_is_escaped() {
        let text = "a\u{ffff}b\u{fffe}\u{0}🐎";
        let json = deliverable(serde_json::to_vec(text).unwrap());
        assert!(!json.contains(['\u{fffe}', '\u{ffff}', '\u{0}']));
        assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text);
    }
}
