//! The port to durable records, and the one atomic step in which everything is committed.

use std::{collections::HashSet, fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use waybill_events::{Event, EventId};

use crate::{Error, Receipt, Result};

/// A record's key: a partition, and an order within it (`DynamoDB`'s partition and sort key).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    /// `COLLECTION/TENANT`, such as `calls/acme`.
    pub partition: Arc<str>,
    pub sort: Arc<str>,
}

/// A versioned record.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    pub key: Key,
    /// 1 after the first write, one more after each.
    pub version: u64,
    pub body: Bytes,
    /// From then on it reads as absent.
    pub expires_at: Option<DateTime<Utc>>,
}

/// A second way to find a record: `partition` and `sort` as in a key, but not unique. A record has
/// one at most, so that a backend keeps it as two attributes of the item.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct IndexEntry {
    pub partition: Arc<str>,
    pub sort: Arc<str>,
}

/// The condition of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// No record with this key (an expired one counts as none).
    Absent,
    Version(u64),
    Any,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Write {
    /// Stores the body and replaces the record's index entry.
    Put {
        key: Key,
        expect: Expect,
        body: Bytes,
        index: Option<IndexEntry>,
        expires_at: Option<DateTime<Utc>>,
    },
    Delete {
        key: Key,
        expect: Expect,
    },
    /// Writes nothing; the commit fails unless the condition holds.
    Check {
        key: Key,
        expect: Expect,
    },
}

/// The inbox mark: `subscription` has handled `event`.
#[derive(Clone, Debug, PartialEq)]
pub struct Seen {
    pub subscription: &'static str,
    pub event: EventId,
    /// The delivery that brought it: a backend whose queue lives in the same store settles it in
    /// the same step.
    pub receipt: Option<Receipt>,
}

/// One atomic step: all of it happens, or none.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Commit {
    pub writes: Vec<Write>,
    /// Delivered at least once to every subscription that wants their type.
    pub events: Vec<Event>,
    pub seen: Vec<Seen>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Committed {
    /// The deliveries of `seen` were settled in the same step.
    pub settled: bool,
}

/// Which part of a partition, by sort key. `from` is the lower and `to` the upper bound in both
/// directions, inclusive; `None` is open.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Range {
    pub from: Option<String>,
    pub to: Option<String>,
    pub direction: Direction,
    /// Continue behind this position, as given by [`Page::next`].
    pub after: Option<String>,
    /// 1 to [`Range::MAX_LIMIT`].
    pub limit: usize,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Direction {
    #[default]
    Ascending,
    Descending,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Page {
    pub records: Vec<Record>,
    /// Opaque position of the last record; `None` when nothing may follow.
    pub next: Option<String>,
}

/// Versioned records by key and by index, and atomic commits.
///
/// # Contract
///
/// - `commit` is all or nothing: writes, events and inbox marks become visible together or not at
///   all. When it returns `Ok`, all of it survives a crash of the process and of the machine.
/// - A mark that is there is [`Error::AlreadySeen`](crate::Error::AlreadySeen) even where a condition
///   fails too: a redelivery must end. The same mark twice in one commit is there already.
/// - When it returns [`Error::Conflict`](crate::Error::Conflict) or
///   [`Error::AlreadySeen`](crate::Error::AlreadySeen), nothing happened. After `Unavailable` it may
///   have happened: conditions and inbox marks make repeating it safe.
/// - The future may be dropped at any time; the commit then happens whole or not at all.
/// - At most one write per key in a commit, and no more than [`Commit::check`] allows: at most
///   [`Commit::MAX_ITEMS`] writes, events and marks together, [`Commit::MAX_BYTES`] of bodies, a body
///   of at most [`Record::MAX_BODY`] bytes (more goes through [`Blobs`](crate::Blobs)).
/// - `get` and `list` see every commit that was answered before they were called. `query` (by
///   index) does too on SQLite; on `DynamoDB` an index trails by a moment, so a sweep re-reads
///   what it acts on.
/// - An expired record reads as absent; `expire` removes it for good.
/// - Timeouts and retries: none here; the queue retries.
#[async_trait]
pub trait Ledger: Send + Sync + 'static {
    async fn commit(&self, commit: Commit) -> Result<Committed>;

    async fn get(&self, key: &Key) -> Result<Option<Record>>;

    /// Records of a partition in the order of their sort keys.
    async fn list(&self, partition: &str, range: Range) -> Result<Page>;

    /// Records with an index entry in `partition`, in the order of the entries.
    async fn query(&self, partition: &str, range: Range) -> Result<Page>;

    /// Waits up to `wait` for a version newer than `after` and gives the newest. `None` when there
    /// was none in that time. A record that is deleted or absent counts as no newer version.
    async fn changed(&self, key: &Key, after: u64, wait: Duration) -> Result<Option<Record>>;

    /// Removes up to `limit` expired records and inbox marks older than their retention; how many.
    async fn expire(&self, limit: usize) -> Result<usize>;
}

impl Key {
    pub fn new(partition: impl Into<Arc<str>>, sort: impl Into<Arc<str>>) -> Self {
        Self {
            partition: partition.into(),
            sort: sort.into(),
        }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.partition, self.sort)
    }
}

impl IndexEntry {
    pub fn new(partition: impl Into<Arc<str>>, sort: impl Into<Arc<str>>) -> Self {
        Self {
            partition: partition.into(),
            sort: sort.into(),
        }
    }
}

impl Range {
    pub const MAX_LIMIT: usize = 1_000;

    /// The first `limit` records.
    pub fn first(limit: usize) -> Self {
        Self {
            limit,
            ..Self::default()
        }
    }

    /// The last `limit` records, newest first.
    pub fn last(limit: usize) -> Self {
        Self {
            limit,
            direction: Direction::Descending,
            ..Self::default()
        }
    }

    #[must_use]
    pub fn from(mut self, from: impl Into<String>) -> Self {
        self.from = Some(from.into());
        self
    }

    #[must_use]
    pub fn to(mut self, to: impl Into<String>) -> Self {
        self.to = Some(to.into());
        self
    }

    #[must_use]
    pub fn after(mut self, after: Option<String>) -> Self {
        self.after = after;
        self
    }
}

impl Record {
    /// 256 KiB: fits a `DynamoDB` item (400 KB) with its index attributes.
    pub const MAX_BODY: usize = 256 * 1024;
}

impl Commit {
    /// Writes, events and inbox marks together: the items of a `DynamoDB` transaction.
    pub const MAX_ITEMS: usize = 100;
    /// Bodies of all writes, in bytes: leaves room for events, marks and keys in the 4 MB of a
    /// `DynamoDB` transaction.
    pub const MAX_BYTES: usize = 3 * 1024 * 1024;

    /// Every backend begins with this, so that what works on one works on all:
    /// [`Error::TooLarge`](crate::Error::TooLarge) names what is over its limit, and a mark that is
    /// there twice is [`Error::AlreadySeen`](crate::Error::AlreadySeen).
    pub fn check(&self) -> Result<()> {
        let within = |what, size, limit| match size {
            size if size > limit => Err(Error::TooLarge { what, size, limit }),
            _ => Ok(()),
        };
        let items = self.writes.len() + self.events.len() + self.seen.len();
        within(
            "the number of writes, events and marks in a commit",
            items,
            Self::MAX_ITEMS,
        )?;
        let mut bytes = 0;
        for write in &self.writes {
            if let Write::Put { body, .. } = write {
                within("a record's body", body.len(), Record::MAX_BODY)?;
                bytes += body.len();
            }
        }
        within("the bodies in a commit", bytes, Self::MAX_BYTES)?;
        let mut marks = HashSet::with_capacity(self.seen.len());
        if self
            .seen
            .iter()
            .all(|seen| marks.insert((seen.subscription, &seen.event)))
        {
            Ok(())
        } else {
            Err(Error::AlreadySeen)
        }
    }
}

impl Write {
    pub fn key(&self) -> &Key {
        match self {
            Self::Put { key, .. } | Self::Delete { key, .. } | Self::Check { key, .. } => key,
        }
    }
}
