//! The `Queue` port.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use chrono::DateTime;
use rusqlite::params;
use tokio::{
    sync::oneshot,
    time::{Instant, timeout_at},
};
use waybill_events::Event;
use waybill_messaging::{
    DeadLetter, DeadLetterId, Delivery, Depth, Queue, Receipt, Result, Settlement,
};

use crate::{
    SqliteBackend,
    backend::Shared,
    engine::{Engine, Waiter, Wake},
    error::Outcome,
};

#[async_trait]
impl Queue for SqliteBackend {
    async fn receive(
        &self,
        subscription: &str,
        max: usize,
        wait: Duration,
    ) -> Result<Vec<Delivery>> {
        let end = Instant::now() + wait;
        loop {
            let (wake, woken) = oneshot::channel();
            let waiter = Waiter {
                room: max.max(1),
                wake,
            };
            let mut awaited = Awaited {
                shared: self.0.clone(),
                woken,
            };
            let name = subscription.to_owned();
            let due = self
                .0
                .writer
                .run(move |engine| engine.receive(&name, waiter))
                .await?;
            if let Ok(Ok(Wake::Deliver(deliveries))) =
                timeout_at(self.until(due, end), &mut awaited.woken).await
            {
                return Ok(deliveries);
            }
            if Instant::now() >= end {
                return Ok(Vec::new());
            }
        }
    }

    async fn extend(&self, receipt: &Receipt) -> Result<()> {
        let receipt = receipt.clone();
        self.0
            .writer
            .run(move |engine| engine.extend(&receipt))
            .await
    }

    async fn settle(&self, receipt: &Receipt, settlement: Settlement) -> Result<()> {
        let receipt = receipt.clone();
        self.0
            .writer
            .run(move |engine| engine.settle(&receipt, &settlement))
            .await
    }

    async fn depth(&self, subscription: &str) -> Result<Depth> {
        let now = self.0.clock.now().timestamp_millis();
        let name = subscription.to_owned();
        self.0
            .read(move |connection| depth(connection, &name, now))
            .await
    }

    async fn dead_letters(&self, subscription: &str, limit: usize) -> Result<Vec<DeadLetter>> {
        let name = subscription.to_owned();
        self.0
            .read(move |connection| dead_letters(connection, &name, limit))
            .await
    }

    async fn redrive(&self, subscription: &str, id: &DeadLetterId) -> Result<()> {
        let (name, id) = (subscription.to_owned(), id.clone());
        self.0
            .writer
            .run(move |engine| engine.redrive(&name, &id))
            .await
    }

    async fn redrive_all(&self, subscription: &str) -> Result<u64> {
        let name = subscription.to_owned();
        let newest = move |engine: &mut Engine| engine.newest_letter(&name);
        let newest = self.0.writer.run(newest).await?;
        let mut redriven = 0;
        loop {
            let name = subscription.to_owned();
            let some = move |engine: &mut Engine| engine.redrive_some(&name, newest);
            let moved = self.0.writer.run(some).await?;
            if moved == 0 {
                return Ok(redriven);
            }
            redriven += moved;
        }
    }
}

impl SqliteBackend {
    /// When to look again: at the end, or when the next delivery becomes visible.
    fn until(&self, due: Option<i64>, end: Instant) -> Instant {
        let Some(due) = due else { return end };
        let ahead = due - self.0.clock.now().timestamp_millis();
        let ahead = Duration::from_millis(u64::try_from(ahead).unwrap_or(0).max(1));
        end.min(Instant::now() + ahead)
    }
}

/// A receive that waits. Dropped with deliveries on the way, it hands them back.
struct Awaited {
    shared: Arc<Shared>,
    woken: oneshot::Receiver<Wake>,
}

impl Drop for Awaited {
    fn drop(&mut self) {
        self.woken.close();
        if let Ok(Wake::Deliver(deliveries)) = self.woken.try_recv() {
            let receipts: Vec<Receipt> = deliveries.into_iter().map(|d| d.receipt).collect();
            self.shared
                .writer
                .run_detached(move |engine| engine.hand_back(&receipts));
        }
    }
}

fn depth(connection: &rusqlite::Connection, name: &str, now: i64) -> Outcome<Depth> {
    let id = Engine::subscription_id(connection, name)?;
    let mut depth = connection
        .prepare_cached(
            "SELECT count(*) FILTER (WHERE visible_at <= ?2),
                    count(*) FILTER (WHERE visible_at > ?2 AND lease = 0),
                    count(*) FILTER (WHERE visible_at > ?2 AND lease <> 0),
                    max(0, ?2 - min(enqueued_at) FILTER (WHERE visible_at <= ?2))
             FROM delivery WHERE subscription = ?1",
        )?
        .query_row(params![id, now], |row| {
            let number = |at: usize| -> rusqlite::Result<u64> {
                Ok(row.get::<_, Option<i64>>(at)?.unwrap_or(0).unsigned_abs())
            };
            Ok(Depth {
                ready: number(0)?,
                delayed: number(1)?,
                leased: number(2)?,
                dead: 0,
                oldest_ms: number(3)?,
            })
        })?;
    let dead: i64 = connection
        .prepare_cached("SELECT count(*) FROM dead_letter WHERE subscription = ?1")?
        .query_row([id], |row| row.get(0))?;
    depth.dead = dead.unsigned_abs();
    Ok(depth)
}

fn dead_letters(
    connection: &rusqlite::Connection,
    name: &str,
    limit: usize,
) -> Outcome<Vec<DeadLetter>> {
    let id = Engine::subscription_id(connection, name)?;
    let mut statement = connection.prepare_cached(
        "SELECT id, body, reason, receives, died_at FROM dead_letter
         WHERE subscription = ?1 ORDER BY id DESC LIMIT ?2",
    )?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let rows = statement.query_map(params![id, limit], |row| {
        let body: Vec<u8> = row.get(1)?;
        Ok(DeadLetter {
            id: DeadLetterId(row.get::<_, i64>(0)?.to_string()),
            event: Event::from_json(&body).ok(),
            body: String::from_utf8_lossy(&body).into_owned(),
            reason: row.get(2)?,
            receives: row.get(3)?,
            died_at: DateTime::from_timestamp_millis(row.get(4)?).unwrap_or_default(),
        })
    })?;
    Ok(rows.collect::<Result<_, rusqlite::Error>>()?)
}
