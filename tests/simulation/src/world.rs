//! One run: two processes over one backend, until everything has come to its end.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep, timeout},
};
use waybill_audit_sink::{AuditSink, ChainKey, Trail};
use waybill_backend_sqlite::{LocalKeyRing, SqliteBackend};
use waybill_calls::Calls;
use waybill_ingress::desk::{Desk, DeskLimits};
use waybill_messaging::{
    BatchHandler, BlobKey, Blobs, Bus, Clock, Driver, Handler, Limits, Meter, Subscription,
};
use waybill_resilience::{Breakers, Settings};
use waybill_testkit::{
    Dice,
    faulty::{Faults, FaultyBackend},
};
use waybill_tool_executor::{DeadlineSweep, ToolExecutor};
use waybill_toolkit::Registry;

use crate::{
    clients::{Accepted, client},
    outside::Outside,
    verdict,
};

const TOPOLOGY: &[Subscription] = &[ToolExecutor::SUBSCRIPTION, AuditSink::SUBSCRIPTION];
const PROCESSES: u64 = 2;
const CLIENTS: u64 = 12;
/// Simulated time with faults, and the longest that the rest may take without them.
const FAULTY: Duration = Duration::from_mins(5);
const CALM: Duration = Duration::from_hours(3);

/// What a run met.
#[derive(Debug, Default)]
pub struct Report {
    /// Faults by kind.
    pub injected: BTreeMap<&'static str, u64>,
    /// Calls by the state that they ended in.
    pub ended: BTreeMap<String, u64>,
    /// Commits of the first process.
    pub commits: u64,
}

/// Runs the world of `seed`. An error is a broken promise.
pub fn run(seed: u64) -> Result<Report> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()?
        .block_on(world(seed))
        .with_context(|| format!("seed {seed}"))
}

async fn world(seed: u64) -> Result<Report> {
    let clock = Clock::simulated(DateTime::from_timestamp(1_780_000_000, 0).context("a time")?);
    let backend = Arc::new(SqliteBackend::in_memory(TOPOLOGY, clock.clone())?);
    let inner = Bus {
        ledger: backend.clone(),
        queue: backend.clone(),
        clock,
        meter: Meter::default(),
    };
    let directory = tempfile::tempdir()?;
    let keyring = LocalKeyRing::open(&directory.path().join("master-key"))?;
    let chain = ChainKey::open(&*inner.ledger, &keyring).await?;
    let outside = Outside::new(seed);
    let processes: Vec<Process> = (0..PROCESSES)
        .map(|number| {
            let faults = Faults::swarm(seed);
            let faulty = FaultyBackend::new(inner.clone(), seed * PROCESSES + number, faults);
            Process::new(faulty, seed, number, &outside, chain.clone())
        })
        .collect::<Result<_>>()?;

    let mut running = JoinSet::new();
    for process in &processes {
        running.spawn(process.clone().live());
    }
    let desks: Vec<Desk> = processes
        .iter()
        .map(|process| process.desk.clone())
        .collect();
    let mut clients = JoinSet::new();
    for number in 0..CLIENTS {
        clients.spawn(client(desks.clone(), seed, number));
    }
    sleep(FAULTY).await;
    let mut report = Report {
        commits: processes[0].faulty.commits(),
        ..Report::default()
    };
    for process in &processes {
        process.faulty.calm();
        for (fault, count) in process.faulty.injected() {
            *report.injected.entry(fault).or_default() += count;
        }
    }
    let accepted = timeout(CALM, clients.join_all())
        .await
        .context("a client hangs")?;
    let calls = Calls::new(
        inner.ledger.clone(),
        processes[0].blobs.clone(),
        inner.clock.clone(),
    );
    quiet(&inner, &calls, &accepted).await?;
    let trail = Trail::new(inner.ledger.clone(), chain);
    report.ended = verdict::check(&inner, &calls, &trail, &outside, &accepted).await?;
    Ok(report)
}

/// Until every call has ended and every queue is empty.
async fn quiet(bus: &Bus, calls: &Calls, accepted: &[Accepted]) -> Result<()> {
    let end = Instant::now() + CALM;
    loop {
        let mut open = Vec::new();
        for Accepted { tenant, id, tool } in accepted {
            let call = calls.get(tenant, id).await?.call;
            if !call.state.is_terminal() {
                open.push(format!("{tool} {id} is {}", call.state.as_str()));
            }
        }
        for subscription in TOPOLOGY {
            let depth = bus.queue.depth(subscription.name).await?;
            if depth.ready + depth.delayed + depth.leased > 0 {
                open.push(format!("{} has {depth:?}", subscription.name));
            }
        }
        if open.is_empty() {
            return Ok(());
        }
        ensure!(
            Instant::now() < end,
            "it does not come to rest: {}",
            open.join("; ")
        );
        sleep(Duration::from_secs(1)).await;
    }
}

/// One process: its connection, and how its services are started.
#[derive(Clone)]
struct Process {
    faulty: FaultyBackend,
    desk: Desk,
    calls: Calls,
    blobs: Arc<Memory>,
    registry: Registry,
    chain: ChainKey,
}

impl Process {
    fn new(
        faulty: FaultyBackend,
        seed: u64,
        number: u64,
        outside: &Outside,
        chain: ChainKey,
    ) -> Result<Self> {
        let Bus { ledger, clock, .. } = faulty.bus();
        let blobs = Arc::new(Memory::default());
        let registry = Registry::default();
        registry.set(outside)?;
        let calls = Calls::new(ledger, blobs.clone(), clock.clone());
        let dice = Mutex::new(Dice::of(seed, 55, number));
        let random = move || {
            dice.lock()
                .unwrap_or_else(PoisonError::into_inner)
                .roll_wide()
        };
        let limits = DeskLimits::default();
        let desk = Desk::with_randomness(
            calls.clone(),
            registry.clone(),
            clock,
            limits,
            Arc::new(random),
        );
        Ok(Self {
            faulty,
            desk,
            calls,
            blobs,
            registry,
            chain,
        })
    }

    /// Crashes and starts again, for ever.
    async fn live(self) {
        loop {
            let services = self.start();
            self.faulty.crashed().await;
            services.drain(Duration::ZERO).await;
            sleep(Duration::from_millis(500)).await;
            self.faulty.revive();
        }
    }

    fn start(&self) -> Driver {
        let bus = self.faulty.bus();
        let (ledger, clock) = (bus.ledger.clone(), bus.clock.clone());
        let breakers = Breakers::new(ledger.clone(), clock.clone(), Settings::default());
        let executor = ToolExecutor::new(
            self.calls.clone(),
            ledger.clone(),
            self.registry.clone(),
            Arc::new(breakers),
            clock,
        );
        let driver = Driver::new(bus, Limits::default());
        driver.start(Arc::new(executor));
        driver.start_batch(Arc::new(AuditSink::new(ledger.clone(), self.chain.clone())));
        let sweep = DeadlineSweep::new(self.calls.clone(), ledger, self.blobs.clone());
        driver.schedule(Arc::new(sweep), Duration::from_secs(5));
        driver
    }
}

/// Blobs that no test outgrows: payloads here are small.
#[derive(Default)]
struct Memory(Mutex<BTreeMap<String, Bytes>>);

impl Memory {
    fn with<T>(&self, look: impl FnOnce(&mut BTreeMap<String, Bytes>) -> T) -> T {
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[async_trait]
impl Blobs for Memory {
    async fn put(
        &self,
        key: &BlobKey,
        body: Bytes,
        _expires_at: DateTime<Utc>,
    ) -> waybill_messaging::Result<()> {
        self.with(|blobs| blobs.insert(format!("{}/{}", key.tenant, key.name), body));
        Ok(())
    }

    async fn get(&self, key: &BlobKey) -> waybill_messaging::Result<Option<Bytes>> {
        Ok(self.with(|blobs| blobs.get(&format!("{}/{}", key.tenant, key.name)).cloned()))
    }

    async fn delete(&self, key: &BlobKey) -> waybill_messaging::Result<()> {
        self.with(|blobs| blobs.remove(&format!("{}/{}", key.tenant, key.name)));
        Ok(())
    }

    async fn expire(&self, _limit: usize) -> waybill_messaging::Result<usize> {
        Ok(0)
    }
}
