//! The trail over a real store, with what may happen beside it.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use chrono::DateTime;
use serde_json::{Value, json};
use tokio::time::sleep;
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

    async fn overwrite(&self, key: Key, body: String) {
        self.write(Write::Put {
            key,
            expect: Expect::Any,
            body: body.into(),
            index: None,
            expires_at: None,
        })
        .await;
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
    world.overwrite(head(), forged.to_string()).await;
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

/// A check and the numbers that it sets.
struct Checked {
    world: World,
    check: AuditCheck,
    meter: Meter,
}

impl Checked {
    /// Over a trail of so many segments.
    async fn new(segments: u64, listing: Duration) -> Self {
        let world = World::new();
        for _ in 0..segments {
            world.record().await;
        }
        let meter = Meter::default();
        let slow = Arc::new(Slow(world.clone(), listing));
        let trail = Trail::new(slow, world.key.clone());
        let check = AuditCheck::new(trail, meter.clone());
        Self {
            world,
            check,
            meter,
        }
    }

    /// What the gauges say after one more tick: problems, and the age of the pass in seconds.
    async fn tick(&self) -> (i64, i64) {
        let bus = self.world.bus();
        tick(&self.check, &bus, &CancellationToken::new())
            .await
            .unwrap();
        let text = self.meter.open_metrics().unwrap();
        let gauge = |name: &str| {
            let mut lines = text.lines();
            let value = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
            value
                .unwrap_or_else(|| panic!("{name} is not in {text}"))
                .parse()
                .unwrap()
        };
        let age = "waybill_audit_pass_age_seconds";
        (gauge("waybill_audit_problems"), gauge(age))
    }

    /// Rewrites the segment of an entry: each has one.
    async fn edit(&self, seq: u64, from: &str, to: &str) {
        let key = Key::new("audit/segments", format!("{seq:020}"));
        let segment = self.world.store.get(&key).await.unwrap().unwrap();
        let body = String::from_utf8(segment.body.to_vec()).unwrap();
        let edited = body.replace(from, to);
        assert_ne!(edited, body);
        self.world.overwrite(key, edited).await;
    }
}

/// Whose lists take their time.
struct Slow(World, Duration);

#[async_trait]
impl Ledger for Slow {
    async fn commit(&self, commit: Commit) -> Result<Committed> {
        self.0.store.commit(commit).await
    }

    async fn get(&self, key: &Key) -> Result<Option<Record>> {
        self.0.store.get(key).await
    }

    async fn list(&self, partition: &str, range: Range) -> Result<Page> {
        sleep(self.1).await;
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
async fn a_check_sees_what_was_done_to_the_end_at_once() {
    let checked = Checked::new(40, Duration::ZERO).await;
    assert_eq!(checked.tick().await, (0, 0));
    checked.edit(40, "schedule", "Schedule").await;
    assert_eq!(checked.tick().await.0, 1);
}

#[tokio::test(start_paused = true)]
async fn a_check_sees_what_was_done_to_any_entry_within_a_day() {
    let checked = Checked::new(40, Duration::ZERO).await;
    assert_eq!(checked.tick().await, (0, 0));
    checked.edit(3, "schedule", "Schedule").await;
    sleep(Duration::from_hours(23)).await;
    assert_eq!(checked.tick().await, (0, 23 * 3_600));
    sleep(Duration::from_hours(1)).await;
    for _ in 0..2 {
        assert_eq!(checked.tick().await.0, 1, "until it is mended");
    }
    checked.edit(3, "Schedule", "schedule").await;
    assert_eq!(checked.tick().await, (0, 0));
}

/// Each tick verifies two pages of 16 segments, after the recent ones.
#[tokio::test(start_paused = true)]
async fn a_pass_goes_on_where_the_tick_before_stopped() {
    let checked = Checked::new(100, Duration::from_secs(8)).await;
    assert_eq!(checked.tick().await.0, 0);
    checked.edit(60, "schedule", "Schedule").await;
    assert_eq!(checked.tick().await.0, 1);
    checked.edit(60, "Schedule", "schedule").await;
    // Verified by then, and no more in this pass.
    checked.edit(1, "schedule", "Schedule").await;
    let mut ages = Vec::new();
    for _ in 0..3 {
        let (problems, age) = checked.tick().await;
        assert_eq!(problems, 0);
        ages.push(age);
    }
    assert!(ages.is_sorted(), "it has begun once: {ages:?}");
    sleep(Duration::from_hours(24)).await;
    assert_eq!(checked.tick().await.0, 1);
}

#[tokio::test(start_paused = true)]
async fn the_mark_of_a_pass_cannot_be_moved() {
    let checked = Checked::new(40, Duration::ZERO).await;
    checked.tick().await;
    let key = Key::new("audit", "pass");
    let mark = checked.world.store.get(&key).await.unwrap().unwrap();
    let mark = String::from_utf8(mark.body.to_vec()).unwrap();
    for forged in ["{}".to_owned(), mark.replace("true", "false")] {
        assert_ne!(forged, mark);
        checked.world.overwrite(key.clone(), forged).await;
        assert_eq!(checked.tick().await.0, 1);
        assert_eq!(checked.tick().await.0, 0, "the pass begins again");
    }
}

/// The end is cut off, and the head is the one that belonged to what is left.
#[tokio::test(start_paused = true)]
async fn a_trail_that_was_longer_is_seen() {
    let checked = Checked::new(20, Duration::ZERO).await;
    let early = checked.world.store.get(&head()).await.unwrap().unwrap();
    checked.world.record().await;
    assert_eq!(checked.tick().await.0, 0);
    let key = Key::new("audit/segments", format!("{:020}", 21));
    let expect = Expect::Any;
    checked.world.write(Write::Delete { key, expect }).await;
    let early = String::from_utf8(early.body.to_vec()).unwrap();
    checked.world.overwrite(head(), early).await;
    assert_eq!(checked.world.verify().await, None);
    assert_eq!(checked.tick().await.0, 1);
}
