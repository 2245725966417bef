//! The trail over a real store, with what may happen beside it.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use chrono::DateTime;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use waybill_backend_sqlite::SqliteBackend;
use waybill_events::{Draft, ScheduleTicked, Stamp, TenantId};
use waybill_messaging::{
    BatchHandler, Bus, Clock, Commit, Committed, DataKey, Delivery, Expect, Key, Ledger, Meter,
    Page, Range, Receipt, Record, Result, Write, dispatch_batch, tick,
};

use crate::{AuditCheck, AuditSink, ChainKey, Flaw, Trail};

/// Commits another entry after each look at the head.
struct Busy(World);

#[derive(Clone)]
struct World {
    store: Arc<SqliteBackend>,
    clock: Clock,
    key: ChainKey,
}

impl World {
    fn new() -> Self {
        let clock = Clock::simulated(DateTime::UNIX_EPOCH);
        let store = SqliteBackend::in_memory(&[AuditSink::SUBSCRIPTION], clock.clone());
        Self {
            store: Arc::new(store.unwrap()),
            clock,
            key: ChainKey(DataKey([7; 32])),
        }
    }

    async fn verify(&self) -> Option<Flaw> {
        let trail = Trail::new(self.store.clone(), self.key.clone());
        trail.verify().await.unwrap().flaw
    }

    /// One entry, in a segment of its own.
    async fn record(&self) {
        let cause = format!("{:032x}", rand::random::<u128>());
        let data = ScheduleTicked {
            schedule: "test".to_owned(),
        };
        let stamp = Stamp {
            service: "test",
            now: self.clock.now(),
            cause: &cause,
            correlation: None,
            causation: None,
            traceparent: None,
        };
        let event = Draft::new(TenantId::system(), "test", &data).stamp(&stamp, 0);
        let delivery = Delivery {
            event: Arc::new(event),
            receives: 1,
            receipt: Receipt {
                subscription: AuditSink::SUBSCRIPTION.name,
                handle: "0:0".into(),
            },
        };
        let bus = self.bus();
        let sink = AuditSink::new(self.store.clone(), self.key.clone());
        let done = dispatch_batch(&sink, &bus, &[delivery], &CancellationToken::new()).await;
        assert!(done[0].settled, "{done:?}");
    }

    fn bus(&self) -> Bus {
        Bus {
            ledger: self.store.clone(),
            queue: self.store.clone(),
            clock: self.clock.clone(),
            meter: Meter::default(),
        }
    }

    async fn write(&self, write: Write) {
        let commit = Commit {
            writes: vec![write],
            ..Commit::default()
        };
        self.store.commit(commit).await.unwrap();
    }
}

fn head() -> Key {
    Key::new("audit", "head")
}

#[async_trait]
impl Ledger for Busy {
    async fn commit(&self, commit: Commit) -> Result<Committed> {
        self.0.store.commit(commit).await
    }

    async fn get(&self, key: &Key) -> Result<Option<Record>> {
        let found = self.0.store.get(key).await;
        if *key == head() {
            self.0.record().await;
        }
        found
    }

    async fn list(&self, partition: &str, range: Range) -> Result<Page> {
        self.0.store.list(partition, range).await
    }

    async fn query(&self, partition: &str, range: Range) -> Result<Page> {
        self.0.store.query(partition, range).await
    }

    async fn changed(&self, key: &Key, after: u64, wait: Duration) -> Result<Option<Record>> {
        self.0.store.changed(key, after, wait).await
    }

    async fn expire(&self, limit: usize) -> Result<usize> {
        self.0.store.expire(limit).await
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_appended_while_it_is_verified_is_no_flaw() {
    for before in [0, 1, 40] {
        let world = World::new();
        for _ in 0..before {
            world.record().await;
        }
        let trail = Trail::new(Arc::new(Busy(world.clone())), world.key);
        let found = trail.verify().await.unwrap();
        assert_eq!(found.flaw, None, "{before} before");
        assert!(found.entries > before, "{found:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_segments_signature_makes_no_head() {
    let world = World::new();
    for _ in 0..3 {
        world.record().await;
    }
    assert_eq!(world.verify().await, None);
    // The end is cut off, and the head says that the second segment was the last.
    let segments = world.store.list("audit/segments", Range::first(3)).await;
    let segments = segments.unwrap().records;
    let last: Value = serde_json::from_slice(&segments[1].body).unwrap();
    let forged = json!({
        "seq": 2, "hash": last["entries"][0]["hash"], "signature": last["signature"],
    });
    world
        .write(Write::Delete {
            key: segments[2].key.clone(),
            expect: Expect::Any,
        })
        .await;
    assert_eq!(world.verify().await, Some(Flaw::Missing { seq: 3 }));
    world
        .write(Write::Put {
            key: head(),
            expect: Expect::Any,
            body: forged.to_string().into(),
            index: None,
            expires_at: None,
        })
        .await;
    assert_eq!(world.verify().await, Some(Flaw::Unsigned { seq: 2 }));
}

#[tokio::test(start_paused = true)]
async fn the_recent_part_is_verified_alone() {
    for busy in [false, true] {
        for before in [0, 1, 40] {
            let world = World::new();
            for _ in 0..before {
                world.record().await;
            }
            let store: Arc<dyn Ledger> = if busy {
                Arc::new(Busy(world.clone()))
            } else {
                world.store.clone()
            };
            let trail = Trail::new(store, world.key);
            let found = trail.verify_recent().await.unwrap();
            assert_eq!(found.flaw, None, "{before} before");
            assert!(found.entries >= before, "{found:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_check_sets_the_gauge() {
    let world = World::new();
    for _ in 0..40 {
        world.record().await;
    }
    let meter = Meter::default();
    let trail = Trail::new(world.store.clone(), world.key.clone());
    let check = AuditCheck::new(trail, meter.clone());
    let bus = world.bus();
    let shutdown = CancellationToken::new();
    tick(&check, &bus, &shutdown).await.unwrap();
    let says = |line: &str| meter.open_metrics().unwrap().lines().any(|l| l == line);
    assert!(says("waybill_audit_problems 0"));
    let last = world.store.list("audit/segments", Range::last(1)).await;
    let last = last.unwrap().records.remove(0);
    let edited = String::from_utf8(last.body.to_vec()).unwrap();
    let edited = edited.replace("schedule", "Schedule");
    world
        .write(Write::Put {
            key: last.key,
            expect: Expect::Any,
            body: edited.into(),
            index: None,
            expires_at: None,
        })
        .await;
    tick(&check, &bus, &shutdown).await.unwrap();
    assert!(says("waybill_audit_problems 1"));
}
