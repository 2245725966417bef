//! Every change, as a function on one connection inside a transaction. No threads, no waiting.

mod commit;
mod deliver;
mod housekeeping;

use std::collections::VecDeque;

use rusqlite::{Connection, OptionalExtension};
use tokio::sync::oneshot;
use waybill_messaging::{Clock, Delivery, Key, Record, Subscription};

use crate::{OpenError, error::Outcome};

pub(crate) use commit::Prepared;

/// The writing connection, and who waits for deliveries.
pub(crate) struct Engine {
    connection: Connection,
    clock: Clock,
    subscriptions: Vec<Known>,
    next_lease: i64,
    /// What must happen once the running transaction is durable.
    after: After,
}

/// A subscription of the topology and its number in the file.
struct Known {
    subscription: Subscription,
    id: i64,
    waiters: VecDeque<Waiter>,
}

/// A receive that waits for deliveries.
pub(crate) struct Waiter {
    pub(crate) room: usize,
    pub(crate) wake: oneshot::Sender<Wake>,
}

pub(crate) enum Wake {
    /// Leased to the waiter.
    Deliver(Vec<Delivery>),
    /// Something changed that it should look at.
    Recheck,
}

/// Effects outside the file, withheld until the commit is durable.
#[derive(Default)]
pub(crate) struct After {
    /// In the order in which they happened.
    pub(crate) changes: Vec<Change>,
    pub(crate) wakes: Vec<(oneshot::Sender<Wake>, Wake)>,
    /// By subscription: the waiter being filled in this transaction.
    serving: Vec<Option<(Waiter, Vec<Delivery>)>>,
}

pub(crate) enum Change {
    Put(Record),
    Removed(Key),
}

impl Engine {
    pub(crate) fn new(
        connection: Connection,
        clock: Clock,
        topology: &[Subscription],
    ) -> Result<Self, OpenError> {
        connection.set_prepared_statement_cache_capacity(64);
        let mut subscriptions = Vec::with_capacity(topology.len());
        for &subscription in topology {
            connection.execute(
                "INSERT OR IGNORE INTO subscription (name) VALUES (?1)",
                [subscription.name],
            )?;
            let id = connection.query_row(
                "SELECT id FROM subscription WHERE name = ?1",
                [subscription.name],
                |row| row.get(0),
            )?;
            subscriptions.push(Known {
                subscription,
                id,
                waiters: VecDeque::new(),
            });
        }
        let engine = Self {
            connection,
            clock,
            subscriptions,
            next_lease: 1,
            after: After::default(),
        };
        engine.void_leases()?;
        Ok(engine)
    }

    /// Leases of a process that has ended. This one owns the file, so nobody holds them.
    fn void_leases(&self) -> rusqlite::Result<()> {
        let now = self.now();
        for known in &self.subscriptions {
            self.connection.execute(
                "UPDATE delivery SET lease = 0, visible_at = ?2
                 WHERE subscription = ?1 AND visible_at > ?2 AND lease <> 0",
                (known.id, now),
            )?;
        }
        Ok(())
    }

    pub(crate) fn connection(&self) -> &Connection {
        &self.connection
    }

    pub(crate) fn begin(&mut self) -> rusqlite::Result<()> {
        self.connection
            .prepare_cached("BEGIN IMMEDIATE")?
            .execute([])
            .map(drop)
    }

    /// Durable when it returns `Ok`; then the effects outside the file are due.
    pub(crate) fn end(&mut self) -> rusqlite::Result<After> {
        self.connection.prepare_cached("COMMIT")?.execute([])?;
        let mut after = std::mem::take(&mut self.after);
        for (waiter, deliveries) in after.serving.drain(..).flatten() {
            after.wakes.push((waiter.wake, Wake::Deliver(deliveries)));
        }
        Ok(after)
    }

    /// Nothing of the transaction happened. Waiters that were to be served look again.
    pub(crate) fn roll_back(&mut self) {
        self.after = After::default();
        if !self.connection.is_autocommit()
            && let Err(error) = self.connection.execute_batch("ROLLBACK")
        {
            tracing::error!(%error, "cannot roll back");
        }
    }

    /// Milliseconds since 1970.
    fn now(&self) -> i64 {
        self.clock.now().timestamp_millis()
    }

    fn position(&self, name: &str) -> Outcome<usize> {
        let position = self
            .subscriptions
            .iter()
            .position(|k| k.subscription.name == name);
        position
            .ok_or_else(|| waybill_messaging::Error::Unknown(format!("subscription {name}")).into())
    }

    /// The file's number of a subscription by name, whether this process runs it or not.
    pub(crate) fn subscription_id(connection: &Connection, name: &str) -> Outcome<i64> {
        let id = connection
            .prepare_cached("SELECT id FROM subscription WHERE name = ?1")?
            .query_row([name], |row| row.get(0))
            .optional()?;
        id.ok_or_else(|| waybill_messaging::Error::Unknown(format!("subscription {name}")).into())
    }
}
