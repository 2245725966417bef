//! Several instances, one ledger.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use chrono::DateTime;
use futures::future::join_all;
use tokio::{task::yield_now, time::advance};
use waybill_backend_sqlite::SqliteBackend;
use waybill_events::{Event, EventType};
use waybill_messaging::{
    Clock, Commit, Committed, Events, Key, Ledger, Page, Queue, Range, Record, Result, Subscription,
};
use waybill_resilience::{Admission, Breakers, Permit, State};

use super::{bad, good, settings};

const WATCH: Subscription = Subscription::new("watch", Events::All);

/// Lets the others run between a read and a commit, as a network would.
struct Interleaved(SqliteBackend);

#[async_trait]
impl Ledger for Interleaved {
    async fn commit(&self, commit: Commit) -> Result<Committed> {
        yield_now().await;
        self.0.commit(commit).await
    }
    async fn get(&self, key: &Key) -> Result<Option<Record>> {
        self.0.get(key).await
    }
    async fn list(&self, partition: &str, range: Range) -> Result<Page> {
        self.0.list(partition, range).await
    }
    async fn query(&self, partition: &str, range: Range) -> Result<Page> {
        self.0.query(partition, range).await
    }
    async fn changed(&self, key: &Key, after: u64, wait: Duration) -> Result<Option<Record>> {
        self.0.changed(key, after, wait).await
    }
    async fn expire(&self, limit: usize) -> Result<usize> {
        self.0.expire(limit).await
    }
}

struct World {
    backend: SqliteBackend,
    instances: Vec<Breakers>,
}

impl World {
    fn new(instances: usize) -> Self {
        let clock = Clock::simulated(DateTime::from_timestamp(1_780_000_000, 0).unwrap());
        let backend = SqliteBackend::in_memory(&[WATCH], clock.clone()).unwrap();
        let ledger: Arc<dyn Ledger> = Arc::new(Interleaved(backend.clone()));
        let breakers = || Breakers::new(ledger.clone(), clock.clone(), settings());
        Self {
            instances: (0..instances).map(|_| breakers()).collect(),
            backend,
        }
    }

    async fn opened(instances: usize) -> Self {
        let world = Self::new(instances);
        for _ in 0..4 {
            let permit = world.permit(0).await.unwrap();
            world.report(0, permit, false).await;
        }
        world
    }

    async fn permit(&self, instance: usize) -> Option<Permit> {
        match self.instances[instance].admit("up").await.unwrap() {
            Admission::Permitted(permit) => Some(permit),
            Admission::Refused { .. } => None,
        }
    }

    async fn report(&self, instance: usize, permit: Permit, ok: bool) {
        let sample = if ok { good() } else { bad() };
        let breakers = &self.instances[instance];
        breakers.report("up", permit, sample).await.unwrap();
    }

    async fn version(&self) -> u64 {
        let key = Key::new("breakers/GLOBAL", "up");
        let record = self.backend.get(&key).await.unwrap();
        record.map_or(0, |record| record.version)
    }

    async fn told(&self) -> Vec<Event> {
        let deliveries = self.backend.receive("watch", 100, Duration::ZERO).await;
        let deliveries = deliveries.unwrap();
        deliveries.iter().map(|d| (*d.event).clone()).collect()
    }
}

#[tokio::test(start_paused = true)]
async fn a_healthy_breaker_commits_nothing() {
    let world = World::new(1);
    for _ in 0..100 {
        let permit = world.permit(0).await.unwrap();
        world.report(0, permit, true).await;
        advance(Duration::from_millis(300)).await;
    }
    assert_eq!(world.version().await, 0);
    assert!(world.told().await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_opening_reaches_every_instance_and_is_told_once() {
    let world = World::new(2);
    let stale = world.permit(1).await.unwrap();
    let permits: Vec<_> = join_all((0..8).map(|_| world.permit(0))).await;
    for permit in permits.into_iter().flatten() {
        world.report(0, permit, false).await;
    }
    assert_eq!(world.version().await, 1);
    advance(Duration::from_secs(1)).await;
    assert!(world.permit(1).await.is_none());
    world.report(1, stale, false).await;
    let told = world.told().await;
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].kind, EventType::CircuitOpened);
    assert_eq!(told[0].subject, "up");
}

#[tokio::test(start_paused = true)]
async fn exactly_n_probes_pass_across_instances() {
    let world = World::opened(5).await;
    advance(Duration::from_secs(5)).await;
    let asked = (0..50).map(|n| {
        let world = &world;
        async move { world.permit(n % 5).await.map(|permit| (n % 5, permit)) }
    });
    let probes: Vec<_> = join_all(asked).await.into_iter().flatten().collect();
    assert_eq!(probes.len(), 3);
    for (instance, permit) in probes {
        world.report(instance, permit, true).await;
    }
    let state = world.instances[4].state("up").await.unwrap();
    assert_eq!(state, State::Closed);
    assert!(world.permit(4).await.is_some());
    let kinds: Vec<_> = world.told().await.iter().map(|event| event.kind).collect();
    assert_eq!(kinds, [EventType::CircuitOpened, EventType::CircuitClosed]);
}

#[tokio::test(start_paused = true)]
async fn a_probe_given_back_by_one_instance_is_taken_by_another() {
    let world = World::opened(2).await;
    advance(Duration::from_secs(5)).await;
    let mut probes = Vec::new();
    for _ in 0..3 {
        probes.push(world.permit(0).await.unwrap());
    }
    assert!(world.permit(1).await.is_none());
    let back = probes.pop().unwrap();
    world.instances[0].give_back("up", back).await.unwrap();
    assert!(world.permit(1).await.is_some());
}
