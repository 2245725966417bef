//! Forgetting what has expired.

use std::time::Duration;

use chrono::TimeDelta;
use rusqlite::params;
use waybill_events::EventId;
use waybill_messaging::Key;

use super::{Change, Engine};
use crate::error::Outcome;

/// How long it is remembered that an event was handled. Its delivery goes in the same transaction,
/// so only a worker that lost its lease and did not notice may still bring it; no run is that long.
const INBOX_RETENTION: Duration = Duration::from_hours(24);

impl Engine {
    pub(crate) fn expire(&mut self, limit: usize) -> Outcome<usize> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let mut expired = Vec::new();
        {
            let mut statement = self.connection.prepare_cached(
                "SELECT id, partition, sort FROM record
                 WHERE expires_at IS NOT NULL AND expires_at <= ?1 LIMIT ?2",
            )?;
            let mut rows = statement.query(params![self.now(), limit])?;
            while let Some(row) = rows.next()? {
                let key = Key::new(row.get::<_, String>(1)?, row.get::<_, String>(2)?);
                expired.push((row.get::<_, i64>(0)?, key));
            }
        }
        let removed = expired.len();
        for (id, key) in expired {
            self.connection
                .prepare_cached("DELETE FROM record WHERE id = ?1")?
                .execute([id])?;
            self.after.changes.push(Change::Removed(key));
        }
        let retention = TimeDelta::from_std(INBOX_RETENTION).unwrap_or(TimeDelta::MAX);
        let floor = EventId::floor(self.clock.now() - retention);
        let forgotten = self
            .connection
            .prepare_cached(
                "DELETE FROM inbox WHERE (event, subscription) IN
                 (SELECT event, subscription FROM inbox WHERE event < ?1 LIMIT ?2)",
            )?
            .execute(params![floor.as_str(), limit])?;
        Ok(removed + forgotten)
    }
}
