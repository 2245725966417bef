//! The faulty backend over the embedded one, in paused time.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use chrono::DateTime;
use tokio::{
    task::JoinSet,
    time::{Instant, timeout},
};
use waybill_backend_sqlite::SqliteBackend;
use waybill_events::{Event, EventType};
use waybill_messaging::{
    Bus, Clock, Commit, Delivery, Error, Expect, Key, Meter, Range, Seen, Settlement, Write,
};
use waybill_testkit::{
    Ids,
    contract::{ALPHA, STURDY, TOPOLOGY},
    faulty::{Crash, Faults, FaultyBackend, Plan, When},
};

pub(crate) const WAIT: Duration = Duration::from_secs(1);

pub(crate) fn inner() -> Bus {
    let origin = DateTime::from_timestamp(1_780_000_000, 0).unwrap();
    let clock = Clock::simulated(origin);
    let backend = Arc::new(SqliteBackend::in_memory(TOPOLOGY, clock.clone()).unwrap());
    Bus {
        ledger: backend.clone(),
        queue: backend,
        clock,
        meter: Meter::default(),
    }
}

fn faulty(plan: impl Into<Plan>) -> (FaultyBackend, Bus, Bus) {
    let inner = inner();
    let faulty = FaultyBackend::new(inner.clone(), 7, plan);
    let bus = faulty.bus();
    (faulty, bus, inner)
}

pub(crate) fn event(n: u64) -> Event {
    let subject = format!("{n:03}");
    Ids::new(n)
        .event(EventType::CircuitOpened)
        .subject(subject)
        .build()
}

pub(crate) fn key(n: u64) -> Key {
    Key::new("done/acme", format!("{n:03}"))
}

fn put(key: Key) -> Write {
    Write::Put {
        key,
        expect: Expect::Any,
        body: Bytes::new(),
        index: None,
        expires_at: None,
    }
}

fn commit(n: u64) -> Commit {
    Commit {
        writes: vec![put(key(n))],
        events: vec![event(n)],
        seen: Vec::new(),
    }
}

pub(crate) async fn publish(bus: &Bus, events: impl Into<Vec<Event>>) {
    let commit = Commit {
        events: events.into(),
        ..Commit::default()
    };
    bus.ledger.commit(commit).await.unwrap();
}

/// The next deliveries; a receive may end early without any.
async fn next(bus: &Bus, subscription: &str) -> Vec<Delivery> {
    for _ in 0..10 {
        let received = bus.queue.receive(subscription, 50, WAIT).await.unwrap();
        if !received.is_empty() {
            return received;
        }
    }
    panic!("nothing came to {subscription}");
}

async fn happened(bus: &Bus, n: u64) -> bool {
    bus.ledger.get(&key(n)).await.unwrap().is_some()
}

fn is_unavailable<T>(result: &Result<T, Error>) -> bool {
    matches!(result, Err(Error::Unavailable { .. }))
}

#[tokio::test(start_paused = true)]
async fn without_faults_it_passes_everything_through() {
    let (faulty, bus, _) = faulty(Faults::NONE);
    for n in 0..50 {
        bus.ledger.commit(commit(n)).await.unwrap();
        let delivery = bus
            .queue
            .receive(STURDY.name, 10, WAIT)
            .await
            .unwrap()
            .remove(0);
        assert_eq!(*delivery.event, event(n));
        bus.queue
            .settle(&delivery.receipt, Settlement::Done)
            .await
            .unwrap();
    }
    assert!(faulty.injected().is_empty());
    assert_eq!(faulty.commits(), 50);
}

#[tokio::test(start_paused = true)]
async fn a_lost_commit_did_not_happen_and_an_ambiguous_one_did() {
    let lost = Faults {
        lost_commit: 1.0,
        ..Faults::NONE
    };
    let ambiguous = Faults {
        ambiguous: 1.0,
        ..Faults::NONE
    };
    let throttled = Faults {
        throttle: 1.0,
        ..Faults::NONE
    };
    for (faults, expected) in [(lost, false), (ambiguous, true), (throttled, false)] {
        let (_, bus, inner) = faulty(faults);
        assert!(is_unavailable(&bus.ledger.commit(commit(1)).await));
        assert_eq!(happened(&inner, 1).await, expected);
    }
    let (_, bus, inner) = faulty(Faults {
        conflict: 1.0,
        ..Faults::NONE
    });
    let answer = bus.ledger.commit(commit(1)).await;
    assert!(matches!(answer, Err(Error::Conflict { key: of }) if of == key(1)));
    assert!(!happened(&inner, 1).await);
}

#[tokio::test(start_paused = true)]
async fn a_planned_crash_hits_its_commit_and_lasts_until_the_revival() {
    for (when, expected) in [(When::Before, false), (When::After, true)] {
        let (faulty, bus, inner) = faulty(Crash { commit: 2, when });
        bus.ledger.commit(commit(1)).await.unwrap();
        assert!(timeout(WAIT, faulty.crashed()).await.is_err());
        assert!(is_unavailable(&bus.ledger.commit(commit(2)).await));
        faulty.crashed().await;
        assert!(is_unavailable(&bus.ledger.commit(commit(3)).await));
        assert!(is_unavailable(&bus.ledger.get(&key(1)).await));
        assert!(is_unavailable(
            &bus.queue.receive(STURDY.name, 1, WAIT).await
        ));
        faulty.revive();
        assert_eq!(happened(&bus, 2).await, expected);
        assert!(!happened(&inner, 3).await);
        bus.ledger.commit(commit(4)).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_crash_ends_what_waits() {
    let (faulty, bus, inner) = faulty(Faults::NONE);
    let receiving = bus.queue.receive(STURDY.name, 1, WAIT * 100);
    let changing = bus.ledger.clone();
    let changed = key(1);
    let changing = changing.changed(&changed, 0, WAIT * 100);
    let began = Instant::now();
    let crashing = async { faulty.crash() };
    let (received, changed, ()) = tokio::join!(receiving, changing, crashing);
    assert!(is_unavailable(&received) && is_unavailable(&changed));
    assert!(began.elapsed() < WAIT);
    publish(&inner, [event(1)]).await;
    faulty.revive();
    assert_eq!(
        bus.queue.receive(STURDY.name, 1, WAIT).await.unwrap().len(),
        1
    );
}

#[tokio::test(start_paused = true)]
async fn deliveries_come_twice_and_late() {
    let delay = Duration::from_millis(300);
    let twice = Faults {
        duplicate: 1.0,
        delay,
        ..Faults::NONE
    };
    let (_, bus, inner) = faulty(twice);
    publish(&inner, [event(1)]).await;
    let first = bus
        .queue
        .receive(STURDY.name, 10, WAIT)
        .await
        .unwrap()
        .remove(0);
    let again = next(&bus, STURDY.name).await.remove(0);
    assert_eq!(
        (&again.event, &again.receipt),
        (&first.event, &first.receipt)
    );

    let late = Faults {
        late: 1.0,
        delay,
        ..Faults::NONE
    };
    let (_, bus, inner) = faulty(late);
    let sent: Vec<Event> = (0..20).map(event).collect();
    publish(&inner, sent.clone()).await;
    let mut order = Vec::new();
    while order.len() < sent.len() {
        for delivery in next(&bus, STURDY.name).await {
            assert_eq!(delivery.receives, 1);
            order.push(delivery.event.subject.clone());
        }
    }
    let subjects: Vec<String> = sent.into_iter().map(|event| event.subject).collect();
    assert_ne!(order, subjects, "nothing was reordered");
    order.sort();
    assert_eq!(order, subjects);
}

#[tokio::test(start_paused = true)]
async fn a_lease_ends_early_and_another_consumer_gets_the_event() {
    let delay = Duration::from_millis(300);
    let (faulty, bus, inner) = faulty(Faults {
        short_lease: 1.0,
        delay,
        ..Faults::NONE
    });
    publish(
        &inner,
        [Ids::new(1).event(EventType::ToolCallRequested).build()],
    )
    .await;
    let lost = bus
        .queue
        .receive(ALPHA.name, 1, WAIT)
        .await
        .unwrap()
        .remove(0);
    let began = Instant::now();
    let taken = next(&bus, ALPHA.name).await;
    assert!(
        began.elapsed() < ALPHA.lease,
        "the lease lasted its full length"
    );
    assert_eq!(
        (taken[0].event.id.clone(), taken[0].receives),
        (lost.event.id.clone(), 2)
    );
    let settled = bus.queue.settle(&lost.receipt, Settlement::Done).await;
    assert!(matches!(settled, Err(Error::LeaseLost)));
    let extended = bus.queue.extend(&taken[0].receipt).await;
    assert!(matches!(extended, Err(Error::LeaseLost)));
    assert_eq!(faulty.injected()["short_lease"], 3);
}

#[tokio::test(start_paused = true)]
async fn a_lost_settlement_brings_the_event_again() {
    let (_, bus, inner) = faulty(Faults {
        lost_settle: 1.0,
        ..Faults::NONE
    });
    publish(&inner, [event(1)]).await;
    let delivery = bus
        .queue
        .receive(STURDY.name, 1, WAIT)
        .await
        .unwrap()
        .remove(0);
    bus.queue
        .settle(&delivery.receipt, Settlement::Done)
        .await
        .unwrap();
    let again = bus
        .queue
        .receive(STURDY.name, 1, WAIT * 10)
        .await
        .unwrap()
        .remove(0);
    assert_eq!(again.receives, 2);
    let after = Duration::ZERO;
    let retried = bus
        .queue
        .settle(&again.receipt, Settlement::Retry { after })
        .await;
    assert!(is_unavailable(&retried));
}

#[tokio::test(start_paused = true)]
async fn an_event_may_come_as_two_messages() {
    let (_, bus, inner) = faulty(Faults {
        republish: 1.0,
        ..Faults::NONE
    });
    publish(&bus, [event(1)]).await;
    let received = inner.queue.receive(STURDY.name, 10, WAIT).await.unwrap();
    assert_eq!(received.len(), 2);
    assert_eq!(received[0].event.id, received[1].event.id);
    assert_ne!(received[0].receipt, received[1].receipt);
    assert!(received.iter().all(|delivery| delivery.receives == 1));
}

#[tokio::test(start_paused = true)]
async fn a_mark_may_leave_its_delivery_to_be_settled() {
    for (separate_settle, settled) in [(0.0, true), (1.0, false)] {
        let (_, bus, inner) = faulty(Faults {
            separate_settle,
            ..Faults::NONE
        });
        publish(&inner, [event(1)]).await;
        let received = bus.queue.receive(STURDY.name, 1, WAIT).await.unwrap();
        let seen = Seen {
            subscription: STURDY.name,
            event: received[0].event.id.clone(),
            receipt: Some(received[0].receipt.clone()),
        };
        let commit = Commit {
            seen: vec![seen],
            ..Commit::default()
        };
        let committed = bus.ledger.commit(commit).await.unwrap();
        assert_eq!(committed.settled, settled);
        let depth = inner.queue.depth(STURDY.name).await.unwrap();
        assert_eq!(depth.leased, u64::from(!settled));
    }
}

#[tokio::test(start_paused = true)]
async fn a_crash_loses_what_was_not_yet_given_out() {
    let (faulty, bus, inner) = faulty(Faults {
        late: 1.0,
        delay: WAIT / 2,
        ..Faults::NONE
    });
    publish(&inner, [event(1)]).await;
    let none = bus.queue.receive(STURDY.name, 1, WAIT).await.unwrap();
    assert!(none.is_empty());
    faulty.crash();
    faulty.revive();
    faulty.calm();
    let again = bus.queue.receive(STURDY.name, 1, WAIT * 2).await.unwrap();
    assert_eq!(again[0].receives, 2, "the crashed process handed it over");
}

#[tokio::test(start_paused = true)]
async fn operations_take_their_time() {
    let latency = Duration::from_millis(40);
    let (_, bus, _) = faulty(Faults {
        latency,
        ..Faults::NONE
    });
    let began = Instant::now();
    for n in 0..50 {
        let before = Instant::now();
        assert!(!happened(&bus, n).await);
        assert!(before.elapsed() < latency);
    }
    assert!(began.elapsed() > latency * 50 / 4);
}

#[tokio::test(start_paused = true)]
async fn a_query_may_trail() {
    let delay = Duration::from_secs(2);
    let (_, bus, inner) = faulty(Faults {
        stale_query: 1.0,
        delay,
        ..Faults::NONE
    });
    let read = async || {
        bus.ledger
            .query("state/acme", Range::first(10))
            .await
            .unwrap()
            .records
            .len()
    };
    assert_eq!(read().await, 0);
    let mut write = put(key(1));
    if let Write::Put { index, .. } = &mut write {
        *index = Some(waybill_messaging::IndexEntry::new("state/acme", "1"));
    }
    let commit = Commit {
        writes: vec![write],
        ..Commit::default()
    };
    inner.ledger.commit(commit).await.unwrap();
    assert_eq!(read().await, 0, "the index did not trail");
    tokio::time::advance(delay * 2).await;
    assert_eq!(read().await, 1);
}

/// Several processes over one store crash apart.
#[tokio::test(start_paused = true)]
async fn connections_crash_apart() {
    let inner = inner();
    let one = FaultyBackend::new(inner.clone(), 1, Faults::NONE);
    let two = FaultyBackend::new(inner, 2, Faults::NONE);
    one.crash();
    let mut tasks = JoinSet::new();
    for (n, faulty) in [&one, &two].into_iter().enumerate() {
        let bus = faulty.bus();
        tasks.spawn(async move { (n, bus.ledger.commit(commit(1)).await.is_ok()) });
    }
    let mut answers = tasks.join_all().await;
    answers.sort_unstable();
    assert_eq!(answers, [(0, false), (1, true)]);
}
