//! What a call writes to `DynamoDB`, in write units, from the records and events themselves.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta};
use serde_json::value::RawValue;
use waybill_calls::{Call, CallState, Calls, Outcome, Payload, digest};
use waybill_events::{CallId, Event, Stamp, TenantId, ToolCallRequested};
use waybill_messaging::{Expect, Write};

use crate::assumptions::CallSize;

/// Bytes of a write unit.
const UNIT: usize = 1024;
/// A transaction prepares and commits.
const IN_TRANSACTION: u32 = 2;
/// What `DynamoDB` adds to an item when it bills for storage.
const STORED_MORE: usize = 100;
const RANDOM: u128 = 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736;
const TRACEPARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// The items of one call of a quick tool, in bytes as `DynamoDB` counts them: names and values.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Items {
    /// The record as it is submitted, with its index entry.
    pub(crate) accepted: usize,
    /// The record as it ends, without one.
    pub(crate) completed: usize,
    /// Of the two, the events' outbox items.
    pub(crate) events: [usize; 2],
    /// Of both, an entry of the audit trail, on the average.
    pub(crate) entry: usize,
    pub(crate) mark: usize,
    pub(crate) head: usize,
}

/// Write units, a transaction counted twice.
impl Items {
    pub(crate) fn of(size: &CallSize) -> Self {
        let accepted = call(RANDOM, size.arguments_bytes);
        let requested = requested(&accepted);
        let (completed, ended) = ended(size, accepted.clone(), &requested);
        let entries = [&requested, &ended].map(entry);
        Self {
            accepted: record(&Calls::write(&accepted, Expect::Absent)),
            completed: record(&Calls::write(&completed, Expect::Version(1))),
            events: [outbox(&requested), outbox(&ended)],
            entry: usize::midpoint(entries[0], entries[1]),
            mark: mark(&requested),
            head: head(),
        }
    }

    pub(crate) fn submit_record(&self) -> u32 {
        IN_TRANSACTION * units(self.accepted)
    }

    /// The record again, still open: its index entry is written once.
    pub(crate) fn claim(&self) -> u32 {
        self.submit_record() + units(self.accepted)
    }

    pub(crate) fn end_record(&self) -> u32 {
        IN_TRANSACTION * units(self.completed)
    }

    /// A put and a delete. The index follows the table and is not part of the transaction.
    pub(crate) fn index(&self) -> u32 {
        2 * units(self.accepted)
    }

    /// Of each event: put within the transaction, deleted alone.
    pub(crate) fn outbox(&self) -> [u32; 2] {
        self.events.map(|event| (IN_TRANSACTION + 1) * units(event))
    }

    pub(crate) fn mark(&self) -> u32 {
        IN_TRANSACTION * units(self.mark)
    }

    /// A segment of so many entries.
    pub(crate) fn segment(&self, entries: f64) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "sizes of items are small")]
        let unit = (entries * self.entry as f64 / UNIT as f64).ceil();
        f64::from(IN_TRANSACTION) * unit.max(1.0)
    }

    pub(crate) fn head(&self) -> u32 {
        IN_TRANSACTION * units(self.head)
    }

    /// GB that a call leaves in the table while it is kept, with its marks apart.
    pub(crate) fn stored_gb(&self) -> [f64; 3] {
        #[expect(clippy::cast_precision_loss, reason = "sizes of items are small")]
        let gb = |bytes: usize| bytes as f64 / 1e9;
        [
            gb(self.completed + STORED_MORE),
            gb(5 * (self.mark + STORED_MORE)),
            gb(2 * self.entry),
        ]
    }
}

fn units(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX)
}

/// A call as it is accepted, with this end of its id.
pub(crate) fn call(random: u128, arguments_bytes: usize) -> Call {
    let now = DateTime::from_timestamp_millis(1_780_000_000_000).expect("a valid time");
    Call {
        id: CallId::new(now, random),
        tenant: TenantId::parse("acme").expect("a valid name"),
        principal: "key_2f9k4hx7".to_owned(),
        tool: "crm__find_contact".to_owned(),
        effect: "readOnly".to_owned(),
        arguments: Payload::Inline(text("query", arguments_bytes)),
        arguments_sha256: digest(&serde_json::Value::Null),
        state: CallState::Accepted,
        attempt: 0,
        created_at: now,
        updated_at: now,
        deadline: now + TimeDelta::hours(1),
        claimed_until: None,
        reopened_at: None,
        expires_at: now + TimeDelta::hours(25),
        progress: None,
        reports: Vec::new(),
        checkpoint: None,
        intent: None,
        cancel_requested: false,
        input_requests: BTreeMap::new(),
        input_responses: BTreeMap::new(),
        outcome: None,
        traceparent: Some(TRACEPARENT.to_owned()),
        client_capabilities: None,
    }
}

fn requested(call: &Call) -> Event {
    let data = ToolCallRequested {
        tool: call.tool.clone(),
        effect: call.effect.clone(),
        principal: call.principal.clone(),
        arguments_sha256: call.arguments_sha256.clone(),
        deadline: call.deadline,
    };
    let stamp = Stamp {
        service: "ingress",
        now: call.created_at,
        cause: call.id.as_str(),
        correlation: None,
        causation: None,
        traceparent: None,
    };
    call.draft(&data).stamp(&stamp, 0)
}

fn ended(size: &CallSize, mut call: Call, cause: &Event) -> (Call, Event) {
    let now = call.created_at + TimeDelta::milliseconds(150);
    let result = Outcome::Result(Payload::Inline(text("text", size.result_bytes)));
    call.claim(now).expect("the call is open");
    call.finish(1, result, now)
        .expect("the attempt is the newest");
    let draft = call.ended((500, false)).expect("the call has ended");
    let event = draft.stamp(&Stamp::caused_by(cause, "tool-executor", now), 0);
    (call, event)
}

/// An object with one member, of so many bytes.
fn text(name: &str, bytes: usize) -> Box<RawValue> {
    let frame = format!(r#"{{"{name}":""}}"#);
    let fill = "x".repeat(bytes.saturating_sub(frame.len()));
    let json = format!(r#"{{"{name}":"{fill}"}}"#);
    RawValue::from_string(json).expect("it is JSON")
}

/// The attributes are those of `libs/backend-aws/src/ledger/schema.rs`.
fn record(write: &Write) -> usize {
    let Write::Put {
        key, body, index, ..
    } = write
    else {
        unreachable!("a call is stored by a put");
    };
    let indexed = index.as_ref().map_or(0, |entry| {
        text_size("index_partition", &entry.partition) + text_size("index_sort", &entry.sort)
    });
    text_size("partition", &key.partition)
        + text_size("sort", &key.sort)
        + number_size("version", 1)
        + "body".len()
        + body.len()
        + number_size("expires_at", 13)
        + number_size("ttl", 10)
        + indexed
}

fn outbox(event: &Event) -> usize {
    number_size("shard", 2)
        + text_size("event", event.id.as_str())
        + text_size("type", event.kind.as_str())
        + text_size("tenantid", event.tenant.as_str())
        + "body".len()
        + event.to_json().len()
        + number_size("committed_at", 13)
}

fn mark(event: &Event) -> usize {
    text_size("event", event.id.as_str())
        + text_size("subscription", "tool-executor")
        + number_size("ttl", 10)
}

/// `seq`, the hash before, its own hash and the event.
fn entry(event: &Event) -> usize {
    let frame = r#"{"seq":100000000,"prev":"","hash":"","event":},"#;
    frame.len() + 2 * 64 + event.to_json().len()
}

fn head() -> usize {
    let body = r#"{"seq":100000000,"hash":"","signature":""}"#.len() + 2 * 64;
    text_size("partition", "audit") + text_size("sort", "head") + number_size("version", 9) + body
}

fn text_size(name: &str, value: &str) -> usize {
    name.len() + value.len()
}

/// A byte for two digits, and one more.
fn number_size(name: &str, digits: usize) -> usize {
    name.len() + digits.div_ceil(2) + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_have_the_sizes_of_what_is_written() {
        let small = CallSize {
            arguments_bytes: 200,
            result_bytes: 500,
            ..CallSize::default()
        };
        let items = Items::of(&small);
        // A record of less than a kilobyte, without the result; events too.
        assert!((600..1_024).contains(&items.accepted), "{items:?}");
        let grown = items.completed - items.accepted;
        assert!((300..600).contains(&grown), "{items:?}");
        assert!(
            items
                .events
                .iter()
                .all(|event| (600..1_024).contains(event)),
            "{items:?}"
        );
        assert_eq!((items.mark(), items.head()), (2, 2));

        let large = CallSize {
            result_bytes: 10_500,
            ..small
        };
        let more = Items::of(&large);
        assert_eq!(more.completed, items.completed + 10_000);
        assert_eq!(more.accepted, items.accepted);
        let kilobytes = u32::try_from(more.completed.div_ceil(1_024)).unwrap();
        assert_eq!(more.end_record(), 2 * kilobytes);
        assert!((10..13).contains(&kilobytes));
    }

    #[test]
    fn a_segment_costs_by_its_entries() {
        let items = Items::of(&CallSize::default());
        assert!((items.segment(96.0) / items.segment(48.0) - 2.0).abs() < 0.05);
        assert!((items.segment(0.5) - 2.0).abs() < 1e-9);
    }
}
