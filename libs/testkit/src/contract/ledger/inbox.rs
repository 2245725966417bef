//! The inbox mark, and the delivery that it settles.

use std::time::Duration;

use tokio::time::sleep;
use waybill_events::EventType;
use waybill_messaging::{Commit, Error, Expect, Seen, Settlement};

use super::{Fixture, Space, put, seen};
use crate::contract::{ALPHA, BETA, STURDY, assert_err};

pub async fn a_seen_event_is_refused_whole(f: Fixture) {
    let space = Space::new();
    let cause = space.event(EventType::ScheduleTicked);
    let first = Commit {
        seen: vec![seen(ALPHA.name, &cause)],
        ..Commit::default()
    };
    f.ledger.commit(first).await.expect("the first time");
    let second = Commit {
        writes: vec![put(&space.key("a"), Expect::Any, "no")],
        events: vec![space.event(EventType::ToolCallCompleted)],
        seen: vec![seen(ALPHA.name, &cause)],
    };
    assert_err!(f.ledger.commit(second).await, Error::AlreadySeen);
    assert!(space.is_untouched(&*f.ledger).await);
    let wait = Duration::from_millis(200);
    let delivered = f.queue.receive(BETA.name, 10, wait).await;
    assert!(delivered.expect("receive").is_empty(), "an event escaped");
}

pub async fn seen_is_per_subscription(f: Fixture) {
    let cause = Space::new().event(EventType::ScheduleTicked);
    let mark = |subscription| Commit {
        seen: vec![seen(subscription, &cause)],
        ..Commit::default()
    };
    for subscription in [ALPHA.name, BETA.name] {
        let committed = f.ledger.commit(mark(subscription)).await;
        committed.expect("its own first time");
    }
    for subscription in [ALPHA.name, BETA.name] {
        assert_err!(
            f.ledger.commit(mark(subscription)).await,
            Error::AlreadySeen
        );
    }
}

pub async fn several_events_are_marked_in_one_commit(f: Fixture) {
    let space = Space::new();
    let causes = [(); 3].map(|()| space.event(EventType::ScheduleTicked));
    let batch = Commit {
        seen: causes.iter().map(|cause| seen(BETA.name, cause)).collect(),
        ..Commit::default()
    };
    f.ledger.commit(batch).await.expect("the batch");
    for cause in &causes {
        let again = Commit {
            seen: vec![seen(BETA.name, cause)],
            ..Commit::default()
        };
        assert_err!(f.ledger.commit(again).await, Error::AlreadySeen);
    }
}

pub async fn one_seen_event_refuses_the_batch(f: Fixture) {
    let space = Space::new();
    let (old, new) = (
        space.event(EventType::ScheduleTicked),
        space.event(EventType::ScheduleTicked),
    );
    let commit = |events: &[&waybill_events::Event]| Commit {
        writes: vec![put(&space.key("a"), Expect::Any, "x")],
        seen: events.iter().map(|event| seen(BETA.name, event)).collect(),
        ..Commit::default()
    };
    f.ledger.commit(commit(&[&old])).await.expect("the first");
    assert_err!(
        f.ledger.commit(commit(&[&new, &old])).await,
        Error::AlreadySeen
    );
    assert_eq!(f.version(&space.key("a")).await, Some(1));
    f.ledger
        .commit(commit(&[&new]))
        .await
        .expect("no mark was left");
}

pub async fn the_same_mark_twice_is_already_seen(f: Fixture) {
    let space = Space::new();
    let cause = space.event(EventType::ScheduleTicked);
    let twice = Commit {
        writes: vec![put(&space.key("a"), Expect::Any, "no")],
        seen: vec![seen(BETA.name, &cause), seen(BETA.name, &cause)],
        ..Commit::default()
    };
    assert_err!(f.ledger.commit(twice).await, Error::AlreadySeen);
    assert!(space.is_untouched(&*f.ledger).await);
}

/// A redelivery usually fails on both; running the handler again would never end it.
pub async fn already_seen_outranks_a_conflict(f: Fixture) {
    let space = Space::new();
    let cause = space.event(EventType::ScheduleTicked);
    let commit = || Commit {
        writes: vec![put(&space.key("a"), Expect::Absent, "x")],
        seen: vec![seen(BETA.name, &cause)],
        ..Commit::default()
    };
    f.ledger.commit(commit()).await.expect("the first time");
    assert_err!(f.ledger.commit(commit()).await, Error::AlreadySeen);
}

pub async fn a_mark_settles_its_delivery(f: Fixture) {
    let space = Space::new();
    f.publish([space.event(EventType::CircuitOpened)]).await;
    let delivery = f.one(STURDY.name).await;
    let commit = Commit {
        seen: vec![Seen {
            subscription: STURDY.name,
            event: delivery.event.id.clone(),
            receipt: Some(delivery.receipt.clone()),
        }],
        ..Commit::default()
    };
    let committed = f.ledger.commit(commit).await.expect("the commit");
    if !committed.settled {
        let settled = f.queue.settle(&delivery.receipt, Settlement::Done).await;
        settled.expect("the lease is still held");
    }
    sleep(STURDY.lease + Duration::from_millis(200)).await;
    assert!(f.none(STURDY.name).await, "it was delivered again");
    let depth = f.queue.depth(STURDY.name).await.expect("depth");
    assert_eq!(depth.ready + depth.leased + depth.delayed + depth.dead, 0);
}

pub async fn a_conflict_leaves_the_delivery_leased(f: Fixture) {
    let space = Space::new();
    let key = space.key("a");
    f.write([put(&key, Expect::Any, "taken")]).await;
    f.publish([space.event(EventType::ToolCallRequested)]).await;
    let delivery = f.one(ALPHA.name).await;
    let commit = |expect| Commit {
        writes: vec![put(&key, expect, "x")],
        seen: vec![Seen {
            subscription: ALPHA.name,
            event: delivery.event.id.clone(),
            receipt: Some(delivery.receipt.clone()),
        }],
        ..Commit::default()
    };
    assert_err!(
        f.ledger.commit(commit(Expect::Absent)).await,
        Error::Conflict { .. }
    );
    let extended = f.queue.extend(&delivery.receipt).await;
    extended.expect("the conflict settled the delivery");
    f.ledger
        .commit(commit(Expect::Version(1)))
        .await
        .expect("the retry");
    // The next receive of a handled event: nothing is written, and it can still be settled.
    assert_err!(
        f.ledger.commit(commit(Expect::Any)).await,
        Error::AlreadySeen
    );
}
