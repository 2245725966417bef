//! Deliveries: published, leased, extended, settled, put aside.

use std::sync::Arc;

use rusqlite::{OptionalExtension, params};
use waybill_events::Event;
use waybill_messaging::{DeadLetterId, Delivery, Error, Receipt, Settlement};

use super::{Engine, Waiter, Wake};
use crate::error::Outcome;

/// Letters delivered again in one turn of the writer.
const MOST_REDRIVEN: u32 = 500;

struct Row {
    id: i64,
    receives: u32,
    body: Vec<u8>,
}

impl Engine {
    /// Inserts a delivery for every subscription that wants the event; leased at once where
    /// somebody waits for one.
    pub(super) fn publish(&mut self, event: &Arc<Event>, body: &[u8]) -> Outcome<()> {
        for at in 0..self.subscriptions.len() {
            if self.subscriptions[at].subscription.wants(event.kind) {
                self.deliver(at, event, body)?;
            }
        }
        Ok(())
    }

    fn deliver(&mut self, at: usize, event: &Arc<Event>, body: &[u8]) -> Outcome<()> {
        let now = self.now();
        let served = self.is_awaited(at);
        let (lease, receives, visible_at) = if served {
            (self.new_lease(), 1, now + self.lease_ms(at))
        } else {
            (0, 0, now)
        };
        let id = self
            .connection
            .prepare_cached(
                "INSERT INTO delivery (subscription, visible_at, lease, receives, enqueued_at, body)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            )?
            .insert(params![self.subscriptions[at].id, visible_at, lease, receives, now, body])?;
        if served {
            let receipt = self.receipt(at, id, lease);
            let delivery = Delivery {
                event: event.clone(),
                receives: 1,
                receipt,
            };
            self.serve(at, delivery);
        }
        Ok(())
    }

    /// Whether a waiter has room; takes the next one into service when there is none.
    fn is_awaited(&mut self, at: usize) -> bool {
        if self.after.serving.len() <= at {
            self.after
                .serving
                .resize_with(self.subscriptions.len(), || None);
        }
        if self.after.serving[at].is_some() {
            return true;
        }
        while let Some(waiter) = self.subscriptions[at].waiters.pop_front() {
            if !waiter.wake.is_closed() {
                self.after.serving[at] = Some((waiter, Vec::new()));
                return true;
            }
        }
        false
    }

    fn serve(&mut self, at: usize, delivery: Delivery) {
        let Some((waiter, deliveries)) = &mut self.after.serving[at] else {
            return;
        };
        deliveries.push(delivery);
        if deliveries.len() >= waiter.room
            && let Some((waiter, deliveries)) = self.after.serving[at].take()
        {
            self.after
                .wakes
                .push((waiter.wake, Wake::Deliver(deliveries)));
        }
    }

    /// Leases up to `waiter.room` deliveries for the waiter, or registers it. When the next one is
    /// due (ms since 1970), where none is now.
    pub(crate) fn receive(&mut self, name: &str, waiter: Waiter) -> Outcome<Option<i64>> {
        let at = self.position(name)?;
        let now = self.now();
        let mut deliveries = Vec::new();
        for row in self.visible(at, now, waiter.room)? {
            deliveries.extend(self.lease(at, &row, now)?);
        }
        if !deliveries.is_empty() {
            self.after
                .wakes
                .push((waiter.wake, Wake::Deliver(deliveries)));
            return Ok(None);
        }
        let due = self
            .connection
            .prepare_cached("SELECT min(visible_at) FROM delivery WHERE subscription = ?1")?
            .query_row([self.subscriptions[at].id], |row| row.get(0))?;
        let waiters = &mut self.subscriptions[at].waiters;
        waiters.retain(|waiter| !waiter.wake.is_closed());
        waiters.push_back(waiter);
        Ok(due)
    }

    fn visible(&self, at: usize, now: i64, limit: usize) -> Outcome<Vec<Row>> {
        let mut statement = self.connection.prepare_cached(
            "SELECT id, receives, body FROM delivery
             WHERE subscription = ?1 AND visible_at <= ?2 ORDER BY visible_at, id LIMIT ?3",
        )?;
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let rows = statement.query_map(params![self.subscriptions[at].id, now, limit], |row| {
            Ok(Row {
                id: row.get(0)?,
                receives: row.get(1)?,
                body: row.get(2)?,
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// `None`: it was put aside instead.
    fn lease(&mut self, at: usize, row: &Row, now: i64) -> Outcome<Option<Delivery>> {
        let receives = row.receives + 1;
        if receives > self.subscriptions[at].subscription.max_receives + 1 {
            let reason = format!("received {} times without an end", row.receives);
            self.put_aside(row.id, &reason)?;
            return Ok(None);
        }
        let event = match Event::from_json(&row.body) {
            Ok(event) => Arc::new(event),
            Err(error) => {
                self.put_aside(row.id, &error.to_string())?;
                return Ok(None);
            }
        };
        let lease = self.new_lease();
        self.connection
            .prepare_cached(
                "UPDATE delivery SET visible_at = ?2, lease = ?3, receives = ?4 WHERE id = ?1",
            )?
            .execute(params![row.id, now + self.lease_ms(at), lease, receives])?;
        Ok(Some(Delivery {
            event,
            receives,
            receipt: self.receipt(at, row.id, lease),
        }))
    }

    pub(crate) fn extend(&mut self, receipt: &Receipt) -> Outcome<()> {
        let at = self.position(receipt.subscription)?;
        let until = self.now() + self.lease_ms(at);
        let (id, lease) = leased(receipt)?;
        let changed = self
            .connection
            .prepare_cached("UPDATE delivery SET visible_at = ?3 WHERE id = ?1 AND lease = ?2")?
            .execute(params![id, lease, until])?;
        if changed == 1 {
            Ok(())
        } else {
            Err(Error::LeaseLost.into())
        }
    }

    pub(crate) fn settle(&mut self, receipt: &Receipt, settlement: &Settlement) -> Outcome<()> {
        let at = self.position(receipt.subscription)?;
        let (id, lease) = leased(receipt)?;
        let held = self
            .connection
            .prepare_cached("SELECT 1 FROM delivery WHERE id = ?1 AND lease = ?2")?
            .exists(params![id, lease])?;
        if !held {
            return Err(Error::LeaseLost.into());
        }
        match settlement {
            Settlement::Done => {
                self.connection
                    .prepare_cached("DELETE FROM delivery WHERE id = ?1")?
                    .execute([id])?;
            }
            Settlement::Retry { after } => {
                let after = i64::try_from(after.as_millis()).unwrap_or(i64::MAX / 2);
                self.connection
                    .prepare_cached("UPDATE delivery SET visible_at = ?2, lease = 0 WHERE id = ?1")?
                    .execute(params![id, self.now() + after])?;
                self.recheck(at);
            }
            Settlement::DeadLetter { reason } => self.put_aside(id, reason)?,
        }
        Ok(())
    }

    /// A receive that was dropped while its deliveries were on the way: as if never received.
    pub(crate) fn hand_back(&mut self, receipts: &[Receipt]) -> Outcome<()> {
        let now = self.now();
        for receipt in receipts {
            let (id, lease) = leased(receipt)?;
            self.connection
                .prepare_cached(
                    "UPDATE delivery SET visible_at = ?3, lease = 0, receives = receives - 1
                     WHERE id = ?1 AND lease = ?2",
                )?
                .execute(params![id, lease, now])?;
            let at = self.position(receipt.subscription)?;
            self.recheck(at);
        }
        Ok(())
    }

    pub(crate) fn redrive(&mut self, name: &str, id: &DeadLetterId) -> Outcome<()> {
        let at = self.position(name)?;
        let unknown = || Error::Unknown(format!("dead letter {}", id.0));
        let number: i64 = id.0.parse().map_err(|_| unknown())?;
        let body: Option<Vec<u8>> = self
            .connection
            .prepare_cached(
                "DELETE FROM dead_letter WHERE id = ?1 AND subscription = ?2 RETURNING body",
            )?
            .query_row(params![number, self.subscriptions[at].id], |row| row.get(0))
            .optional()?;
        self.enqueue(at, &body.ok_or_else(unknown)?)
    }

    /// 0 where there is none.
    pub(crate) fn newest_letter(&mut self, name: &str) -> Outcome<i64> {
        let id = self.subscriptions[self.position(name)?].id;
        let newest = self
            .connection
            .prepare_cached("SELECT coalesce(max(id), 0) FROM dead_letter WHERE subscription = ?1")?
            .query_row([id], |row| row.get(0))?;
        Ok(newest)
    }

    /// Delivers again up to [`MOST_REDRIVEN`] letters, none newer than `newest`. Tells how many.
    pub(crate) fn redrive_some(&mut self, name: &str, newest: i64) -> Outcome<u64> {
        let at = self.position(name)?;
        let letters: Vec<Vec<u8>> = self
            .connection
            .prepare_cached(
                "DELETE FROM dead_letter WHERE id IN (SELECT id FROM dead_letter
                 WHERE subscription = ?1 AND id <= ?2 ORDER BY id LIMIT ?3) RETURNING body",
            )?
            .query_map(
                params![self.subscriptions[at].id, newest, MOST_REDRIVEN],
                |row| row.get(0),
            )?
            .collect::<Result<_, _>>()?;
        for body in &letters {
            self.enqueue(at, body)?;
        }
        Ok(letters.len() as u64)
    }

    pub(crate) fn inject(&mut self, name: &str, body: &str) -> Outcome<()> {
        let at = self.position(name)?;
        self.enqueue(at, body.as_bytes())
    }

    fn enqueue(&mut self, at: usize, body: &[u8]) -> Outcome<()> {
        let now = self.now();
        self.connection
            .prepare_cached(
                "INSERT INTO delivery (subscription, visible_at, lease, receives, enqueued_at, body)
                 VALUES (?1, ?2, 0, 0, ?2, ?3)",
            )?
            .execute(params![self.subscriptions[at].id, now, body])?;
        self.recheck(at);
        Ok(())
    }

    fn put_aside(&self, id: i64, reason: &str) -> Outcome<()> {
        self.connection
            .prepare_cached(
                "INSERT INTO dead_letter (subscription, body, reason, receives, died_at)
                 SELECT subscription, body, ?2, receives, ?3 FROM delivery WHERE id = ?1",
            )?
            .execute(params![id, reason, self.now()])?;
        self.connection
            .prepare_cached("DELETE FROM delivery WHERE id = ?1")?
            .execute([id])?;
        Ok(())
    }

    /// One waiter looks again: there is something to receive, now or at a new time.
    fn recheck(&mut self, at: usize) {
        while let Some(waiter) = self.subscriptions[at].waiters.pop_front() {
            if !waiter.wake.is_closed() {
                self.after.wakes.push((waiter.wake, Wake::Recheck));
                return;
            }
        }
    }

    fn new_lease(&mut self) -> i64 {
        self.next_lease += 1;
        self.next_lease
    }

    fn lease_ms(&self, at: usize) -> i64 {
        let lease = self.subscriptions[at].subscription.lease;
        i64::try_from(lease.as_millis()).unwrap_or(i64::MAX / 2)
    }

    fn receipt(&self, at: usize, id: i64, lease: i64) -> Receipt {
        let subscription = self.subscriptions[at].subscription.name;
        Receipt {
            subscription,
            handle: format!("{id}.{lease}").into(),
        }
    }
}

/// Row and lease of a receipt.
pub(super) fn parse(receipt: &Receipt) -> Option<(i64, i64)> {
    let (id, lease) = receipt.handle.split_once('.')?;
    Some((id.parse().ok()?, lease.parse().ok()?))
}

fn leased(receipt: &Receipt) -> Outcome<(i64, i64)> {
    parse(receipt).ok_or_else(|| Error::LeaseLost.into())
}
