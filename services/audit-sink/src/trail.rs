//! Reading the trail, and showing that nobody changed it.

use std::{cmp::Ordering, fmt, sync::Arc};

use serde::Serialize;
use waybill_messaging::{Ledger, Range, Record};

use crate::{
    chain::{ChainKey, Entry, GENESIS, Head, Seal, Segment},
    sink::{SEGMENTS, read_head, sort_key},
};

/// Segments read at a time.
pub(crate) const PAGE: usize = 16;
/// Segments that are recent: up to 1,536 entries, of about a megabyte together.
const RECENT: usize = 16;
/// Segments that are searched for a subject.
const SEARCHED: usize = 2_048;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot read the audit trail")]
    Port(#[from] waybill_messaging::Error),
    #[error("segment {segment} of the audit trail cannot be read")]
    Unreadable {
        segment: String,
        source: serde_json::Error,
    },
}

/// The end of the trail, or what of it is about something.
#[derive(Debug, Serialize)]
pub struct Tail {
    /// Oldest first.
    pub entries: Vec<Entry>,
    /// Number of the first entry that was looked at. There may be others before it.
    pub since: u64,
}

/// The trail of one ledger.
#[derive(Clone)]
pub struct Trail {
    pub(crate) ledger: Arc<dyn Ledger>,
    pub(crate) key: ChainKey,
}

/// What verification found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Verification {
    /// Entries that are sound, from the first on.
    pub entries: u64,
    /// Hash of the last sound entry.
    pub head: String,
    /// The first thing that is wrong.
    pub flaw: Option<Flaw>,
}

/// Where the trail is not what was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase", tag = "kind")]
pub enum Flaw {
    /// The entry's event or number is not what its hash was made of.
    Edited { seq: u64 },
    /// The entry that should follow is not there.
    Missing { seq: u64 },
    /// An entry stands where another belongs.
    Misplaced { seq: u64, expected: u64 },
    /// The entry does not continue the one before it.
    Unchained { seq: u64 },
    /// The segment that ends here was not signed with this ledger's key.
    Unsigned { seq: u64 },
    /// The segment cannot be read at all.
    Unreadable { seq: u64 },
    /// The record of how far a pass came is not ours. The pass begins again.
    Mark,
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Edited { seq } => write!(f, "entry {seq} was edited"),
            Self::Missing { seq } => write!(f, "entry {seq} is missing"),
            Self::Misplaced { seq, expected } => {
                write!(f, "entry {seq} stands where entry {expected} belongs")
            }
            Self::Unchained { seq } => write!(f, "entry {seq} does not continue the one before it"),
            Self::Unsigned { seq } => write!(f, "the signature at entry {seq} is not ours"),
            Self::Unreadable { seq } => write!(f, "what is stored at entry {seq} cannot be read"),
            Self::Mark => f.write_str("the record of how far it was verified is not ours"),
        }
    }
}

impl Trail {
    pub fn new(ledger: Arc<dyn Ledger>, key: ChainKey) -> Self {
        Self { ledger, key }
    }

    /// The last `limit` entries; with `subject` those about it, such as a call's id, among the last
    /// [`SEARCHED`] segments.
    pub async fn tail(&self, limit: usize, subject: Option<&str>) -> Result<Tail, Error> {
        let segments = subject.map_or(usize::MAX, |_| SEARCHED);
        let wanted = |entry: &Entry| subject.is_none_or(|subject| entry.is_about(subject));
        let (mut entries, mut read, mut since) = (Vec::new(), 0, 1);
        let mut range = Range::last(PAGE);
        loop {
            let page = self.ledger.list(SEGMENTS, range).await?;
            read += page.records.len();
            for record in &page.records {
                let segment = parse(&record.key.sort, &record.body)?;
                since = segment.entries.first().map_or(since, |first| first.seq);
                entries.extend(segment.entries.into_iter().rev().filter(wanted));
            }
            if entries.len() >= limit || read >= segments || page.next.is_none() {
                entries.truncate(limit);
                entries.reverse();
                return Ok(Tail { entries, since });
            }
            range = Range::last(PAGE).after(page.next);
        }
    }

    /// Up to `segments` segments' entries from number `from` on, and the number to go on from;
    /// `None` at the end.
    pub async fn export(&self, from: u64) -> Result<(Vec<Entry>, Option<u64>), Error> {
        // The segment that holds `from` begins at or before it.
        let before = self
            .ledger
            .list(SEGMENTS, Range::last(1).to(sort_key(from)))
            .await?;
        let begin = before
            .records
            .first()
            .map_or_else(|| sort_key(from), |r| r.key.sort.to_string());
        let page = self
            .ledger
            .list(SEGMENTS, Range::first(PAGE).from(begin))
            .await?;
        let mut entries = Vec::new();
        for record in &page.records {
            entries.extend(parse(&record.key.sort, &record.body)?.entries);
        }
        entries.retain(|entry| entry.seq >= from);
        let next = entries.last().map(|entry| entry.seq + 1);
        Ok((entries, next))
    }

    /// Walks the last segments, [`RECENT`] at most, from a sound entry on: cheap enough to do all
    /// the time. What was done to older ones is found by the pass, and by [`Self::verify`].
    pub async fn verify_recent(&self) -> Result<Verification, Error> {
        let (head, _) = read_head(&*self.ledger).await?;
        let mut recent = self
            .ledger
            .list(SEGMENTS, Range::last(RECENT))
            .await?
            .records;
        recent.reverse();
        if head.is_none() && !recent.is_empty() && read_head(&*self.ledger).await?.0.is_some() {
            // The trail began while we looked.
            return Box::pin(self.verify_recent()).await;
        }
        let (seq, hash) = recent.first().map_or((0, GENESIS.to_owned()), before);
        let mut walk = Walk {
            key: &self.key,
            seq,
            hash,
            // So much was appended meanwhile that the end of then is not among the last.
            passed_head: head.as_ref().is_some_and(|head| head.seq <= seq),
            head,
        };
        let flaw = walk.segments(&recent).or_else(|| walk.end());
        Ok(walk.verdict(flaw))
    }

    /// Walks the whole trail, with what is appended meanwhile.
    pub async fn verify(&self) -> Result<Verification, Error> {
        // Before the walk: its end is then among what is walked.
        let (head, _) = read_head(&*self.ledger).await?;
        let mut walk = Walk::new(&self.key, 0, GENESIS.to_owned(), head);
        let mut range = Range::first(PAGE);
        loop {
            let page = self.ledger.list(SEGMENTS, range).await?;
            let flaw = walk.segments(&page.records);
            if flaw.is_some() {
                return Ok(walk.verdict(flaw));
            }
            let Some(next) = page.next else { break };
            range = Range::first(PAGE).after(Some(next));
        }
        let appended = walk.head.is_none() && walk.seq > 0;
        if appended && read_head(&*self.ledger).await?.0.is_some() {
            // The trail began while we walked.
            return Box::pin(self.verify()).await;
        }
        let flaw = walk.end();
        Ok(walk.verdict(flaw))
    }
}

/// The end of what is known to be sound.
pub(crate) struct Walk<'a> {
    key: &'a ChainKey,
    pub(crate) seq: u64,
    pub(crate) hash: String,
    /// The end of the chain when the walk began.
    head: Option<Head>,
    /// The chain went through that end.
    passed_head: bool,
}

impl<'a> Walk<'a> {
    /// From behind a sound entry, by its number and hash.
    pub(crate) fn new(key: &'a ChainKey, seq: u64, hash: String, head: Option<Head>) -> Self {
        let at = |head: &Head| (head.seq, &head.hash) == (seq, &hash);
        Self {
            passed_head: head.as_ref().is_some_and(at),
            key,
            seq,
            hash,
            head,
        }
    }

    /// Whether the chain ends where its head says, or goes on from there.
    pub(crate) fn end(&self) -> Option<Flaw> {
        let Some(head) = &self.head else {
            return (self.seq > 0).then_some(Flaw::Unsigned { seq: self.seq });
        };
        if head.seq > self.seq {
            return Some(Flaw::Missing { seq: self.seq + 1 });
        }
        if !self.passed_head {
            return Some(Flaw::Unchained { seq: head.seq });
        }
        let signed = self
            .key
            .signed(Seal::Head, head.seq, &head.hash, &head.signature);
        (!signed).then_some(Flaw::Unsigned { seq: head.seq })
    }

    /// The first flaw in these.
    pub(crate) fn segments(&mut self, records: &[Record]) -> Option<Flaw> {
        records.iter().find_map(|record| {
            let next = self.seq + 1;
            match parse(&record.key.sort, &record.body) {
                Ok(segment) => self.segment(&record.key.sort, segment),
                Err(_) => Some(Flaw::Unreadable { seq: next }),
            }
        })
    }

    fn segment(&mut self, sort: &str, segment: Segment) -> Option<Flaw> {
        let first = segment.entries.first();
        // A sound entry under the number of another: its row was moved.
        if let Some(first) = first.filter(|first| first.recomputed() == first.hash)
            && sort_key(first.seq) != sort
        {
            let (seq, expected) = (first.seq, sort.parse().unwrap_or(self.seq + 1));
            return Some(Flaw::Misplaced { seq, expected });
        }
        for entry in segment.entries {
            if let Some(flaw) = self.entry(&entry) {
                return Some(flaw);
            }
            self.seq = entry.seq;
            self.hash = entry.hash;
            self.passed_head |= self
                .head
                .as_ref()
                .is_some_and(|head| (head.seq, &head.hash) == (self.seq, &self.hash));
        }
        let signed = self
            .key
            .signed(Seal::Segment, self.seq, &self.hash, &segment.signature);
        (!signed).then_some(Flaw::Unsigned { seq: self.seq })
    }

    fn entry(&self, entry: &Entry) -> Option<Flaw> {
        let (seq, expected) = (entry.seq, self.seq + 1);
        if entry.recomputed() != entry.hash {
            return Some(Flaw::Edited { seq: expected });
        }
        match seq.cmp(&expected) {
            Ordering::Greater => Some(Flaw::Missing { seq: expected }),
            Ordering::Less => Some(Flaw::Misplaced { seq, expected }),
            Ordering::Equal => (entry.prev != self.hash).then_some(Flaw::Unchained { seq }),
        }
    }

    fn verdict(self, flaw: Option<Flaw>) -> Verification {
        Verification {
            entries: self.seq,
            head: self.hash,
            flaw,
        }
    }
}

/// Number and hash of the entry before a segment, by what the segment says.
fn before(segment: &Record) -> (u64, String) {
    let first: u64 = segment.key.sort.parse().unwrap_or(1);
    let entries = parse(&segment.key.sort, &segment.body).map(|segment| segment.entries);
    match entries.unwrap_or_default().into_iter().next() {
        Some(entry) if first > 1 => (first - 1, entry.prev),
        _ => (first.saturating_sub(1), GENESIS.to_owned()),
    }
}

fn parse(segment: &str, body: &[u8]) -> Result<Segment, Error> {
    serde_json::from_slice(body).map_err(|source| Error::Unreadable {
        segment: segment.to_owned(),
        source,
    })
}
