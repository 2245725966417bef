//! One suite per port, written once, run against every backend.
//!
//! A backend's tests make a [`Fixture`] and hand its maker to the suite's macro:
//!
//! ```ignore
//! async fn in_memory() -> Fixture { /* a backend over contract::TOPOLOGY */ }
//!
//! mod ledger {
//!     waybill_testkit::ledger_contract!(super::in_memory);
//! }
//! mod queue {
//!     waybill_testkit::queue_contract!(super::in_memory);
//! }
//! ```
//!
//! Each property becomes one `#[test]` with a runtime and a fixture of its own. The suites run in
//! real time (an emulator answers over HTTP), wait no longer than they must and poll with
//! [`eventually`]. They use fresh tenants, so that the ledger may be shared; the queue's
//! subscriptions must be the fixture's alone.

use std::{any::Any, future::Future, sync::Arc, time::Duration};

use futures::future::BoxFuture;
use tokio::time::{Instant, sleep, timeout};
use waybill_events::EventType;
use waybill_messaging::{Blobs, Clock, Events, KeyRing, Ledger, Queue, Secrets, Subscription};

pub mod blobs;
pub mod keyring;
pub mod ledger;
pub mod queue;
pub mod secrets;

/// Wants two types.
pub const ALPHA: Subscription = Subscription::new(
    "alpha",
    Events::Only(&[EventType::ToolCallRequested, EventType::ToolCallCompleted]),
);

/// Wants everything.
pub const BETA: Subscription = Subscription::new("beta", Events::All);

/// Loses a lease after a second and an event after two receives.
pub const SHORT_LEASE: Subscription = Subscription {
    lease: Duration::from_secs(1),
    max_receives: 2,
    ..Subscription::new(
        "short-lease",
        Events::Only(&[EventType::ToolCallProgressed]),
    )
};

/// Loses a lease after a second and never an event.
pub const STURDY: Subscription = Subscription {
    lease: Duration::from_secs(1),
    max_receives: 1_000,
    ..Subscription::new("sturdy", Events::Only(&[EventType::CircuitOpened]))
};

/// What a backend under test is built with.
pub const TOPOLOGY: &[Subscription] = &[ALPHA, BETA, SHORT_LEASE, STURDY];

/// How long one property may take before it counts as hanging.
const PROPERTY_LIMIT: Duration = Duration::from_mins(2);
const EVENTUALLY_LIMIT: Duration = Duration::from_secs(10);
const EVENTUALLY_STEP: Duration = Duration::from_millis(20);

/// Puts a body that the ledger would never write into a subscription's queue, past the ports.
pub type Inject = Box<dyn Fn(&'static str, String) -> BoxFuture<'static, ()> + Send + Sync>;

/// A backend under test: empty queues over [`TOPOLOGY`], and a ledger.
pub struct Fixture {
    pub ledger: Arc<dyn Ledger>,
    pub queue: Arc<dyn Queue>,
    pub clock: Clock,
    inject: Inject,
    promptness: Duration,
    expiry: Expiry,
    /// Dropped last: a directory, a container.
    guard: Box<dyn Any + Send>,
}

/// Who removes expired records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expiry {
    /// `Ledger::expire`, and it counts them.
    Swept,
    /// The store itself, in its own time.
    Native,
}

impl Fixture {
    pub fn new(
        ledger: Arc<dyn Ledger>,
        queue: Arc<dyn Queue>,
        clock: Clock,
        inject: Inject,
    ) -> Self {
        Self {
            ledger,
            queue,
            clock,
            inject,
            promptness: Duration::from_secs(2),
            expiry: Expiry::Swept,
            guard: Box::new(()),
        }
    }

    /// How soon a waiting `receive` or `changed` must wake after the commit; 2 s unless told.
    #[must_use]
    pub fn prompt(mut self, within: Duration) -> Self {
        self.promptness = within;
        self
    }

    #[must_use]
    pub fn expiring(mut self, expiry: Expiry) -> Self {
        self.expiry = expiry;
        self
    }

    /// Drops `guard` after the backend.
    #[must_use]
    pub fn keeping(mut self, guard: impl Any + Send) -> Self {
        self.guard = Box::new(guard);
        self
    }
}

/// A key ring under test.
pub struct KeyRingFixture {
    pub ring: Arc<dyn KeyRing>,
    /// The same kind of ring with another master key.
    pub stranger: Arc<dyn KeyRing>,
    /// Dropped last.
    pub guard: Box<dyn Any + Send>,
}

/// A blob store under test.
pub struct BlobsFixture {
    pub blobs: Arc<dyn Blobs>,
    pub clock: Clock,
    /// Who removes expired blobs.
    pub expiry: Expiry,
    /// Dropped last.
    pub guard: Box<dyn Any + Send>,
}

/// A store of secrets under test, empty.
pub struct SecretsFixture {
    pub secrets: Arc<dyn Secrets>,
    pub clock: Clock,
    /// Dropped last.
    pub guard: Box<dyn Any + Send>,
}

/// Runs one property on a runtime of its own.
#[doc(hidden)]
pub fn run<T>(fixture: impl Future<Output = T>, property: impl AsyncFnOnce(T)) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime for the test");
    runtime.block_on(async {
        let fixture = fixture.await;
        timeout(PROPERTY_LIMIT, property(fixture))
            .await
            .expect("the property ends in time");
    });
}

/// Probes until there is an answer, and panics when there is none in 10 s.
pub async fn eventually<T>(what: &str, mut probe: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + EVENTUALLY_LIMIT;
    loop {
        if let Some(answer) = probe().await {
            return answer;
        }
        assert!(Instant::now() < deadline, "this never came: {what}");
        sleep(EVENTUALLY_STEP).await;
    }
}

/// Asserts the variant of an error and gives a readable panic.
macro_rules! assert_err {
    ($result:expr, $pattern:pat $(if $guard:expr)?) => {
        match $result {
            Err($pattern) $(if $guard)? => {}
            other => panic!(
                "expected {}, got {other:?}",
                stringify!($pattern $(if $guard)?)
            ),
        }
    };
}
pub(crate) use assert_err;

/// One `#[test]` per property of a suite.
#[doc(hidden)]
#[macro_export]
macro_rules! contract_tests {
    ($suite:ident, $fixture:path, [$($property:ident),* $(,)?]) => {
        $(
            #[test]
            fn $property() {
                $crate::contract::run($fixture(), $crate::contract::$suite::$property);
            }
        )*
    };
}

#[cfg(test)]
mod tests {
    /// A property that the macro does not name would never run.
    #[test]
    fn every_property_is_in_its_suite() {
        let suites: [&[&str]; 5] = [
            &[
                include_str!("ledger/mod.rs"),
                include_str!("ledger/commit.rs"),
                include_str!("ledger/inbox.rs"),
                include_str!("ledger/index.rs"),
                include_str!("ledger/races.rs"),
                include_str!("ledger/read.rs"),
                include_str!("ledger/waiting.rs"),
            ],
            &[
                include_str!("queue/mod.rs"),
                include_str!("queue/delivery.rs"),
                include_str!("queue/ends.rs"),
                include_str!("queue/leases.rs"),
                include_str!("queue/receiving.rs"),
            ],
            &[include_str!("keyring.rs")],
            &[include_str!("blobs.rs")],
            &[include_str!("secrets.rs")],
        ];
        for files in suites {
            let all = files.concat();
            let list = all.split("contract_tests!(").nth(1).unwrap();
            let list = list.split(['[', ']']).nth(1).unwrap();
            let listed: Vec<&str> = list.split(',').map(str::trim).collect();
            for property in all.split("pub async fn ").skip(1) {
                let name = property.split('(').next().unwrap();
                assert!(listed.contains(&name), "{name} is not in its suite's list");
            }
        }
    }
}
