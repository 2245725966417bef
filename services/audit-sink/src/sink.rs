//! Writing the trail.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use serde_json::{Value, value::to_raw_value};
use waybill_events::Event;
use waybill_messaging::{
    BatchHandler, Batching, Context, Effects, Error, Events, Expect, Failure, Key, Ledger,
    Subscription, Write,
};

use crate::{
    chain::{ChainKey, Entry, GENESIS, Head, Seal, Segment},
    redact::redact,
};

/// Segments, by the number of their first entry.
pub(crate) const SEGMENTS: &str = "audit/segments";

/// The handler. One instance writes at a time; where two do, the slower one runs again.
pub struct AuditSink {
    ledger: Arc<dyn Ledger>,
    key: ChainKey,
}

impl AuditSink {
    pub fn new(ledger: Arc<dyn Ledger>, key: ChainKey) -> Self {
        Self { ledger, key }
    }
}

impl BatchHandler for AuditSink {
    const SUBSCRIPTION: Subscription = Subscription {
        batching: Batching {
            // With segment and head within one commit.
            max: 96,
            window: Duration::from_millis(100),
        },
        concurrency: 96,
        ..Subscription::new("audit-sink", Events::All)
    };

    async fn handle(&self, events: &[&Event], _cx: &Context) -> Result<Effects, Failure> {
        // Whatever is wrong with the head, it is wrong for every event.
        let (head, version) = read_head(&*self.ledger).await.map_err(Failure::retry)?;
        let (mut seq, mut hash) = head.map_or((0, GENESIS.to_owned()), |h| (h.seq, h.hash));
        let first = seq + 1;
        let mut entries = Vec::with_capacity(events.len());
        for event in events {
            seq += 1;
            let entry = Entry::new(seq, &hash, redacted(event)?);
            hash.clone_from(&entry.hash);
            entries.push(entry);
        }
        let segment = Segment {
            entries,
            signature: self.key.sign(Seal::Segment, seq, &hash),
        };
        let head = Head {
            seq,
            signature: self.key.sign(Seal::Head, seq, &hash),
            hash,
        };
        let expect = version.map_or(Expect::Absent, Expect::Version);
        Ok(Effects {
            writes: vec![
                put(
                    Key::new(SEGMENTS, sort_key(first)),
                    Expect::Absent,
                    &segment,
                )?,
                put(head_key(), expect, &head)?,
            ],
            ..Effects::default()
        })
    }
}

pub(crate) async fn read_head(ledger: &dyn Ledger) -> Result<(Option<Head>, Option<u64>), Error> {
    let Some(record) = ledger.get(&head_key()).await? else {
        return Ok((None, None));
    };
    let head = serde_json::from_slice(&record.body)
        .map_err(|error| Error::broken("the audit head cannot be read", error))?;
    Ok((Some(head), Some(record.version)))
}

/// Of fixed width: sorts as text like the number.
pub(crate) fn sort_key(seq: u64) -> String {
    format!("{seq:020}")
}

fn head_key() -> Key {
    Key::new("audit", "head")
}

fn redacted(event: &Event) -> Result<Box<serde_json::value::RawValue>, Failure> {
    let mut value: Value = serde_json::to_value(event.to_cloud_event()).map_err(Failure::reject)?;
    redact(&mut value);
    to_raw_value(&value).map_err(Failure::reject)
}

fn put(key: Key, expect: Expect, value: &impl serde::Serialize) -> Result<Write, Failure> {
    let body = Bytes::from(serde_json::to_vec(value).map_err(Failure::reject)?);
    Ok(Write::Put {
        key,
        expect,
        body,
        index: None,
        expires_at: None,
    })
}
