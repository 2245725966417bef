//! The atomic step: conditions first, then writes, events and inbox marks.

use std::sync::Arc;

use rusqlite::{OptionalExtension, params};
use waybill_events::Event;
use waybill_messaging::{Commit, Committed, Error, Expect, IndexEntry, Key, Record, Seen, Write};

use super::{Change, Engine, deliver};
use crate::error::Outcome;

/// A commit checked against the limits, its events already in wire form.
pub(crate) struct Prepared {
    writes: Vec<Write>,
    events: Vec<(Arc<Event>, Vec<u8>)>,
    seen: Vec<Seen>,
}

/// What a key holds now.
struct Current {
    id: i64,
    version: u64,
    live: bool,
}

impl Prepared {
    /// Outside the writer: serialising is the caller's work.
    pub(crate) fn new(commit: Commit) -> Result<Self, Error> {
        commit.check()?;
        let Commit {
            writes,
            events,
            seen,
        } = commit;
        let events = events.into_iter().map(|event| {
            let body = event.to_json();
            (Arc::new(event), body)
        });
        Ok(Self {
            writes,
            events: events.collect(),
            seen,
        })
    }
}

impl Engine {
    pub(crate) fn commit(&mut self, commit: Prepared) -> Outcome<Committed> {
        for seen in &commit.seen {
            if self.has_seen(seen)? {
                return Err(Error::AlreadySeen.into());
            }
        }
        let mut currents = Vec::with_capacity(commit.writes.len());
        for write in &commit.writes {
            currents.push(self.checked(write)?);
        }
        // From here on only the database itself can fail, and that voids the batch.
        for (write, current) in commit.writes.into_iter().zip(currents) {
            self.apply(write, current)?;
        }
        for (event, body) in &commit.events {
            self.publish(event, body)?;
        }
        let settled = !commit.seen.is_empty() && commit.seen.iter().all(|s| s.receipt.is_some());
        for seen in &commit.seen {
            self.mark(seen)?;
        }
        Ok(Committed { settled })
    }

    fn has_seen(&self, seen: &Seen) -> Outcome<bool> {
        let id = self.subscriptions[self.position(seen.subscription)?].id;
        let mut statement = self
            .connection
            .prepare_cached("SELECT 1 FROM inbox WHERE event = ?1 AND subscription = ?2")?;
        Ok(statement.exists(params![seen.event.as_str(), id])?)
    }

    fn mark(&mut self, seen: &Seen) -> Outcome<()> {
        let id = self.subscriptions[self.position(seen.subscription)?].id;
        self.connection
            .prepare_cached("INSERT OR IGNORE INTO inbox (event, subscription) VALUES (?1, ?2)")?
            .execute(params![seen.event.as_str(), id])?;
        if let Some((delivery, _)) = seen.receipt.as_ref().and_then(deliver::parse) {
            // Whoever holds the lease now: the event is handled.
            self.connection
                .prepare_cached("DELETE FROM delivery WHERE id = ?1")?
                .execute([delivery])?;
        }
        Ok(())
    }

    fn checked(&self, write: &Write) -> Outcome<Option<Current>> {
        let (key, expect) = match write {
            Write::Put { key, expect, .. }
            | Write::Delete { key, expect }
            | Write::Check { key, expect } => (key, *expect),
        };
        let current = self.current(key)?;
        let live = current
            .as_ref()
            .filter(|current| current.live)
            .map(|current| current.version);
        let holds = match expect {
            Expect::Any => true,
            Expect::Absent => live.is_none(),
            Expect::Version(version) => live == Some(version),
        };
        if holds {
            Ok(current)
        } else {
            Err(Error::Conflict { key: key.clone() }.into())
        }
    }

    fn current(&self, key: &Key) -> Outcome<Option<Current>> {
        let now = self.now();
        let mut statement = self.connection.prepare_cached(
            "SELECT id, version, expires_at FROM record WHERE partition = ?1 AND sort = ?2",
        )?;
        let current = statement.query_row(params![key.partition, key.sort], |row| {
            Ok(Current {
                id: row.get(0)?,
                version: row.get::<_, i64>(1)?.unsigned_abs(),
                live: row.get::<_, Option<i64>>(2)?.is_none_or(|at| at > now),
            })
        });
        Ok(current.optional()?)
    }

    fn apply(&mut self, write: Write, current: Option<Current>) -> Outcome<()> {
        match write {
            Write::Check { .. } => Ok(()),
            Write::Delete { key, .. } => {
                if let Some(current) = current {
                    self.connection
                        .prepare_cached("DELETE FROM record WHERE id = ?1")?
                        .execute([current.id])?;
                }
                self.after.changes.push(Change::Removed(key));
                Ok(())
            }
            Write::Put {
                key,
                body,
                index,
                expires_at,
                ..
            } => {
                let version = match &current {
                    Some(current) if current.live => current.version + 1,
                    _ => 1,
                };
                let record = Record {
                    key,
                    version,
                    body,
                    expires_at,
                };
                self.put(&record, index.as_ref(), current.as_ref())?;
                self.after.changes.push(Change::Put(record));
                Ok(())
            }
        }
    }

    fn put(
        &self,
        record: &Record,
        index: Option<&IndexEntry>,
        current: Option<&Current>,
    ) -> Outcome<()> {
        let version = i64::try_from(record.version).unwrap_or(i64::MAX);
        let expires_at = record.expires_at.map(|at| at.timestamp_millis());
        let (partition, sort) = index.map(|entry| (&entry.partition, &entry.sort)).unzip();
        let body = &record.body[..];
        if let Some(Current { id, .. }) = current {
            self.connection
                .prepare_cached(
                    "UPDATE record SET version = ?2, expires_at = ?3, index_partition = ?4,
                     index_sort = ?5, body = ?6 WHERE id = ?1",
                )?
                .execute(params![id, version, expires_at, partition, sort, body])?;
            return Ok(());
        }
        let key = &record.key;
        self.connection
            .prepare_cached(
                "INSERT INTO record
                 (partition, sort, version, expires_at, index_partition, index_sort, body)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            )?
            .execute(params![
                key.partition,
                key.sort,
                version,
                expires_at,
                partition,
                sort,
                body
            ])?;
        Ok(())
    }
}
