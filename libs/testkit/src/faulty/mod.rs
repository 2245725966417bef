//! A backend that fails as real ones do, by a seed: what the simulation runs the services over.
//!
//! [`FaultyBackend`] wraps a [`Bus`] and stays within the ports' contracts: whatever it does, a
//! throttled or crashed `DynamoDB` and SQS may do too. So a service that loses or doubles something
//! over it is wrong. One `FaultyBackend` is one process's connection: give each simulated process
//! its own over the same inner bus, and they crash apart.
//!
//! # Faults
//!
//! [`Faults`] holds a probability for each kind; [`Faults::NONE`] passes everything through,
//! [`Faults::swarm`] draws a mixture from a seed (some kinds off, some rare, some common: a mixture
//! in which everything always happens hides what only a few faults together would show). [`Plan`]
//! adds a crash at one exact commit, so that a run can be repeated with a crash before and after
//! each of its commits ([`FaultyBackend::commits`] says how many there were).
//!
//! # A crash
//!
//! From a crash until [`revive`](FaultyBackend::revive) every operation answers `Unavailable`, also
//! those that were under way (they may have happened). A real process does not live to see that
//! answer. So the simulation races its services with [`crashed`](FaultyBackend::crashed), drops
//! their tasks, waits until they have ended, calls `revive` and starts them again:
//!
//! ```ignore
//! loop {
//!     let mut services = start(&faulty.bus());
//!     tokio::select! {
//!         () = faulty.crashed() => { services.shutdown().await; faulty.revive(); }
//!         () = quiet(&bus) => break,
//!     }
//! }
//! ```
//!
//! Leases of a crashed process run out by themselves. At the end, [`calm`](FaultyBackend::calm) ends
//! all faults so that the queues can drain.
//!
//! # Determinism
//!
//! The fate of the n-th operation of a kind depends on the seed, the kind and n, and on nothing
//! else. On a current-thread runtime with paused time and a deterministic inner backend, the same
//! seed gives the same run: as long as the services draw no random numbers of their own (a jittered
//! pause does) and `select!` is `biased`. Each fault is logged at `debug` with its operation and n, and counted in
//! [`injected`](FaultyBackend::injected): assert there that a run met the faults it is about.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::watch,
    time::{Instant, sleep},
};
use waybill_messaging::{Bus, Delivery, Error, Page, Receipt, Result};

use crate::Dice;

mod ledger;
mod queue;

/// The probability of each fault, 0.0 to 1.0, each per operation that it concerns.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Faults {
    /// Every operation takes a random time under this.
    pub latency: Duration,
    /// Any operation: `Unavailable`, and nothing happened.
    pub throttle: f64,
    /// A commit: `Unavailable`, and nothing happened.
    pub lost_commit: f64,
    /// A commit or settlement: it happened, and answers `Unavailable`.
    pub ambiguous: f64,
    /// A commit with writes: `Conflict` although nobody else wrote.
    pub conflict: f64,
    /// A commit or settlement: the process crashes, before it or after it (even odds).
    pub crash: f64,
    /// A commit: it does not settle its deliveries in the same step, as on a backend whose queue
    /// is another system.
    pub separate_settle: f64,
    /// A settlement: it does not happen. `Done` answers `Ok`, as SQS may; the others `Unavailable`.
    pub lost_settle: f64,
    /// A delivery: it comes a second time, within `delay`, with the same receipt.
    pub duplicate: f64,
    /// A commit: its events are published twice, as a bus that delivers at least once may. Each is
    /// another message, with receives of its own.
    pub republish: f64,
    /// A delivery: it comes within `delay`, its lease running meanwhile. This also reorders.
    pub late: f64,
    /// A delivery: its lease ends within `delay`, and nobody tells its holder; or an `extend`
    /// answers `LeaseLost`. Another consumer gets it.
    pub short_lease: f64,
    /// A query: the answer of an earlier one, at most `delay` old.
    pub stale_query: f64,
    /// The bound of the times above.
    pub delay: Duration,
}

impl Faults {
    pub const NONE: Self = Self {
        latency: Duration::ZERO,
        throttle: 0.0,
        lost_commit: 0.0,
        ambiguous: 0.0,
        conflict: 0.0,
        crash: 0.0,
        separate_settle: 0.0,
        lost_settle: 0.0,
        duplicate: 0.0,
        republish: 0.0,
        late: 0.0,
        short_lease: 0.0,
        stale_query: 0.0,
        delay: Duration::ZERO,
    };

    /// A mixture drawn from `seed`: each kind is off, rare (1 %) or common (10 %; 50 % for
    /// `separate_settle`), times are up to 50 ms for an operation and 2 s for a delay.
    pub fn swarm(seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        let mut draw = |common: f64| match dice.below(3) {
            0 => 0.0,
            1 => common / 10.0,
            _ => common,
        };
        Self {
            throttle: draw(0.1),
            lost_commit: draw(0.1),
            ambiguous: draw(0.1),
            conflict: draw(0.1),
            // Each crash costs all deliveries under way a receive.
            crash: draw(0.02),
            separate_settle: draw(0.5),
            lost_settle: draw(0.1),
            duplicate: draw(0.1),
            late: draw(0.1),
            short_lease: draw(0.1),
            stale_query: draw(0.1),
            republish: draw(0.1),
            latency: dice.up_to(Duration::from_millis(50)),
            delay: dice.up_to(Duration::from_secs(2)),
        }
    }
}

/// What will go wrong.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Plan {
    pub faults: Faults,
    pub crash: Option<Crash>,
}

/// A crash at one exact commit of this connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crash {
    /// Counted from 1.
    pub commit: u64,
    pub when: When,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    Before,
    After,
}

impl From<Faults> for Plan {
    fn from(faults: Faults) -> Self {
        let crash = None;
        Self { faults, crash }
    }
}

impl From<Crash> for Plan {
    fn from(crash: Crash) -> Self {
        Self {
            faults: Faults::NONE,
            crash: Some(crash),
        }
    }
}

/// One process's faulty connection to a backend. Clones share it.
#[derive(Clone)]
pub struct FaultyBackend(Arc<Shared>);

struct Shared {
    inner: Bus,
    seed: u64,
    down: watch::Sender<bool>,
    state: Mutex<State>,
}

struct State {
    plan: Plan,
    /// Operations begun, by kind.
    begun: HashMap<Operation, u64>,
    late: Vec<Late>,
    doomed: Vec<Doomed>,
    /// The last answer of each query, and when it was given.
    answers: HashMap<String, (Instant, Page)>,
    injected: BTreeMap<&'static str, u64>,
}

/// A delivery to be given out later.
struct Late {
    due: Instant,
    delivery: Delivery,
}

/// A lease to be ended early.
struct Doomed {
    due: Instant,
    receipt: Receipt,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Operation {
    Commit,
    Get,
    List,
    Query,
    Changed,
    Expire,
    Receive,
    Extend,
    Settle,
    Depth,
    DeadLetters,
    Redrive,
}

/// An operation on its way: its number among its kind, and its fate.
struct Begun {
    operation: Operation,
    nth: u64,
    dice: Dice,
    faults: Faults,
}

impl FaultyBackend {
    pub fn new(inner: Bus, seed: u64, plan: impl Into<Plan>) -> Self {
        let state = State {
            plan: plan.into(),
            begun: HashMap::new(),
            late: Vec::new(),
            doomed: Vec::new(),
            answers: HashMap::new(),
            injected: BTreeMap::new(),
        };
        Self(Arc::new(Shared {
            inner,
            seed,
            down: watch::Sender::new(false),
            state: Mutex::new(state),
        }))
    }

    /// The bus that services are given.
    pub fn bus(&self) -> Bus {
        Bus {
            ledger: Arc::new(self.clone()),
            queue: Arc::new(self.clone()),
            clock: self.0.inner.clock.clone(),
            meter: self.0.inner.meter.clone(),
        }
    }

    /// Crashes now: every operation is `Unavailable` until [`revive`](Self::revive).
    pub fn crash(&self) {
        // What was taken and not yet given out is lost with the process; its leases run out.
        self.state().late.clear();
        self.0.down.send_replace(true);
    }

    /// Waits for a crash; at once when it has crashed.
    pub async fn crashed(&self) {
        let mut down = self.0.down.subscribe();
        // The sender is in `self`: it cannot close.
        if down.wait_for(|down| *down).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    pub fn is_crashed(&self) -> bool {
        *self.0.down.borrow()
    }

    /// A new process connects.
    pub fn revive(&self) {
        self.0.down.send_replace(false);
    }

    /// No more faults from now on; deliveries that are late still come.
    pub fn calm(&self) {
        let mut state = self.state();
        state.plan = Faults::NONE.into();
        state.doomed.clear();
    }

    /// How many commits were begun.
    pub fn commits(&self) -> u64 {
        let state = self.state();
        state.begun.get(&Operation::Commit).copied().unwrap_or(0)
    }

    /// How often each fault was injected, by its field in [`Faults`].
    pub fn injected(&self) -> BTreeMap<&'static str, u64> {
        self.state().injected.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts the operation, lets it take its time, and perhaps throttles it.
    async fn begin(&self, operation: Operation) -> Result<Begun> {
        self.up()?;
        let mut begun = {
            let mut state = self.state();
            let faults = state.plan.faults;
            let count = state.begun.entry(operation).or_default();
            *count += 1;
            Begun {
                operation,
                nth: *count,
                dice: Dice::of(self.0.seed, operation as u64, *count),
                faults,
            }
        };
        let pause = begun.dice.up_to(begun.faults.latency);
        if !pause.is_zero() {
            sleep(pause).await;
            self.up()?;
        }
        let throttle = begun.faults.throttle;
        if self.strikes(&mut begun, "throttle", throttle) {
            return Err(unavailable("throttled"));
        }
        Ok(begun)
    }

    fn up(&self) -> Result<()> {
        if self.is_crashed() {
            Err(unavailable("the process has crashed"))
        } else {
            Ok(())
        }
    }

    /// Whether a fault strikes the operation; counted and logged if so.
    fn strikes(&self, begun: &mut Begun, fault: &'static str, probability: f64) -> bool {
        let strikes = begun.dice.chance(probability);
        if strikes {
            self.note(begun, fault);
        }
        strikes
    }

    fn note(&self, begun: &Begun, fault: &'static str) {
        let Begun { operation, nth, .. } = begun;
        tracing::debug!(fault, ?operation, nth, "injected");
        *self.state().injected.entry(fault).or_default() += 1;
    }

    /// When this operation crashes the process.
    fn crash_point(&self, begun: &mut Begun) -> Option<When> {
        let before = begun.dice.chance(0.5);
        let drawn = begun.dice.chance(begun.faults.crash).then_some(if before {
            When::Before
        } else {
            When::After
        });
        let crash = self.state().plan.crash;
        let planned = crash
            .filter(|crash| begun.operation == Operation::Commit && crash.commit == begun.nth)
            .map(|crash| crash.when);
        let when = planned.or(drawn);
        if when.is_some() {
            self.note(begun, "crash");
        }
        when
    }

    fn die(&self) -> Error {
        self.crash();
        unavailable("the process has crashed")
    }
}

fn unavailable(what: &'static str) -> Error {
    Error::unavailable(what, "an injected fault")
}
