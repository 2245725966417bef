//! Leases: held, extended, lost.

use std::time::Duration;

use tokio::time::{Instant, sleep};
use waybill_events::EventType;
use waybill_messaging::{Error, Settlement};

use super::{Fixture, event};
use crate::contract::{ALPHA, STURDY, assert_err};

pub async fn an_expired_lease_redelivers(f: Fixture) {
    let sent = event(EventType::CircuitOpened);
    f.publish([sent.clone()]).await;
    let first = f.one(STURDY.name).await;
    let leased = Instant::now();
    for receives in 2..4 {
        let again = f.one(STURDY.name).await;
        assert_eq!(again.event, first.event);
        assert_eq!(again.receives, receives);
        assert_ne!(again.receipt, first.receipt);
    }
    // Two leases ran out; a queue may round a lease to its own grain.
    let took = leased.elapsed();
    assert!(took > STURDY.lease * 3 / 2, "the leases lasted {took:?}");
}

pub async fn a_lost_lease_is_said(f: Fixture) {
    f.publish([event(EventType::CircuitOpened)]).await;
    let lost = f.one(STURDY.name).await;
    let held = f.one(STURDY.name).await;
    assert_err!(f.queue.extend(&lost.receipt).await, Error::LeaseLost);
    let settlements = [
        Settlement::Done,
        Settlement::Retry {
            after: Duration::ZERO,
        },
        Settlement::DeadLetter {
            reason: "no".to_owned(),
        },
    ];
    for settlement in settlements {
        let settled = f.queue.settle(&lost.receipt, settlement).await;
        assert_err!(settled, Error::LeaseLost);
    }
    f.queue
        .extend(&held.receipt)
        .await
        .expect("the other lease is held");
    f.settle(&held, Settlement::Done).await;
    assert_eq!(f.depth(STURDY.name).await.dead, 0);
}

pub async fn an_extended_lease_holds(f: Fixture) {
    f.publish([event(EventType::CircuitOpened)]).await;
    let delivery = f.one(STURDY.name).await;
    let began = Instant::now();
    while began.elapsed() < STURDY.lease * 5 / 2 {
        f.queue
            .extend(&delivery.receipt)
            .await
            .expect("the lease is held");
        let other = f.queue.receive(STURDY.name, 1, STURDY.lease / 4).await;
        assert!(other.expect("receive").is_empty(), "leased twice");
    }
    f.settle(&delivery, Settlement::Done).await;
    sleep(STURDY.lease).await;
    assert!(f.none(STURDY.name).await);
}

pub async fn a_redelivery_keeps_to_its_new_lease(f: Fixture) {
    f.publish([event(EventType::ToolCallRequested)]).await;
    let first = f.one(ALPHA.name).await;
    f.settle(
        &first,
        Settlement::Retry {
            after: Duration::ZERO,
        },
    )
    .await;
    let second = f.one(ALPHA.name).await;
    assert_eq!(second.receives, 2);
    assert!(f.none(ALPHA.name).await, "leased twice");
    assert_err!(f.queue.extend(&first.receipt).await, Error::LeaseLost);
    f.settle(&second, Settlement::Done).await;
}

pub async fn a_retry_is_delivered_later(f: Fixture) {
    let after = Duration::from_secs(2);
    f.publish([event(EventType::ToolCallRequested)]).await;
    let first = f.one(ALPHA.name).await;
    f.settle(&first, Settlement::Retry { after }).await;
    let asked = Instant::now();
    let again = f.one(ALPHA.name).await;
    let took = asked.elapsed();
    assert!(took > after * 3 / 4, "it came after {took:?}");
    let grain = Duration::from_secs(1);
    assert!(
        took < after + grain + f.promptness,
        "it came only after {took:?}"
    );
    assert_eq!((again.receives, &again.event), (2, &first.event));
}

pub async fn a_retry_at_once_is_delivered_at_once(f: Fixture) {
    f.publish([event(EventType::ToolCallRequested)]).await;
    for receives in 1..4 {
        let asked = Instant::now();
        let delivery = f.one(ALPHA.name).await;
        assert!(asked.elapsed() < f.promptness);
        assert_eq!(delivery.receives, receives);
        f.settle(
            &delivery,
            Settlement::Retry {
                after: Duration::ZERO,
            },
        )
        .await;
    }
}
