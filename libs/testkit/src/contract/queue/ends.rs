//! How a delivery ends, and what is counted.

use std::{collections::BTreeSet, time::Duration};

use tokio::time::sleep;
use waybill_events::EventType;
use waybill_messaging::{DeadLetterId, Error, Settlement};

use super::{Fixture, event};
use crate::contract::{ALPHA, BETA, SHORT_LEASE, STURDY, assert_err, eventually};

const AT_ONCE: Settlement = Settlement::Retry {
    after: Duration::ZERO,
};

pub async fn what_is_done_never_returns(f: Fixture) {
    f.publish([event(EventType::CircuitOpened)]).await;
    let delivery = f.one(STURDY.name).await;
    f.settle(&delivery, Settlement::Done).await;
    sleep(STURDY.lease + Duration::from_millis(200)).await;
    assert!(f.none(STURDY.name).await);
    let depth = f.depth(STURDY.name).await;
    assert_eq!(depth.ready + depth.delayed + depth.leased + depth.dead, 0);
}

pub async fn a_dead_letter_is_kept_aside(f: Fixture) {
    let sent = event(EventType::ToolCallRequested);
    f.publish([sent.clone()]).await;
    let before = f.clock.now();
    let first = f.one(ALPHA.name).await;
    f.settle(&first, AT_ONCE).await;
    let second = f.one(ALPHA.name).await;
    f.bury(&second, "žádný důvod: 'none'").await;
    let letter = f.dead(ALPHA.name, 1).await.remove(0);
    assert_eq!(letter.event.as_ref(), Some(&sent));
    assert!(letter.body.contains(sent.id.as_str()));
    assert_eq!(letter.reason, "žádný důvod: 'none'");
    assert_eq!(letter.receives, 2);
    let slack = chrono::TimeDelta::seconds(5);
    assert!(letter.died_at >= before - slack && letter.died_at <= f.clock.now() + slack);
    assert!(f.none(ALPHA.name).await, "it was delivered again");
    assert_err!(f.queue.extend(&second.receipt).await, Error::LeaseLost);
}

pub async fn dead_letters_come_newest_first(f: Fixture) {
    let mut expected = Vec::new();
    for n in 0..4 {
        let sent = crate::event(EventType::ToolCallRequested)
            .subject(format!("{n}"))
            .build();
        f.publish([sent]).await;
        let delivery = f.one(ALPHA.name).await;
        f.bury(&delivery, "poison").await;
        f.dead(ALPHA.name, n + 1).await;
        expected.insert(0, format!("{n}"));
        sleep(Duration::from_millis(20)).await;
    }
    let subjects = |letters: Vec<waybill_messaging::DeadLetter>| -> Vec<String> {
        letters
            .into_iter()
            .map(|letter| letter.event.expect("an event").subject)
            .collect()
    };
    assert_eq!(subjects(f.dead(ALPHA.name, 4).await), expected);
    let newest = f
        .queue
        .dead_letters(ALPHA.name, 2)
        .await
        .expect("dead_letters");
    assert_eq!(subjects(newest), expected[..2]);
}

/// Receives until the backend gives up, ending each delivery by `end`; how often it was received.
async fn until_dead(f: &Fixture, end: impl AsyncFn(&waybill_messaging::Delivery)) -> u32 {
    let mut receives = 0;
    eventually("the dead letter", async || {
        for delivery in f.some(SHORT_LEASE.name).await {
            receives += 1;
            assert_eq!(delivery.receives, receives);
            end(&delivery).await;
        }
        (f.depth(SHORT_LEASE.name).await.dead == 1).then_some(())
    })
    .await;
    receives
}

pub async fn too_many_receives_dead_letter(f: Fixture) {
    let sent = event(EventType::ToolCallProgressed);
    f.publish([sent.clone()]).await;
    let receives = until_dead(&f, async |delivery| f.settle(delivery, AT_ONCE).await).await;
    assert_eq!(receives, SHORT_LEASE.max_receives + 1);
    let letter = f.dead(SHORT_LEASE.name, 1).await.remove(0);
    assert_eq!(letter.event.as_ref(), Some(&sent));
    assert!(!letter.reason.is_empty());
    assert!(f.none(SHORT_LEASE.name).await);
}

pub async fn too_many_expired_leases_dead_letter(f: Fixture) {
    f.publish([event(EventType::ToolCallProgressed)]).await;
    let receives = until_dead(&f, async |_| {}).await;
    assert_eq!(receives, SHORT_LEASE.max_receives + 1);
    assert!(f.none(SHORT_LEASE.name).await);
}

pub async fn a_redriven_letter_is_as_new(f: Fixture) {
    let sent = event(EventType::ToolCallRequested);
    f.publish([sent.clone(), event(EventType::ToolCallRequested)])
        .await;
    for _ in 0..2 {
        let delivery = f.one(ALPHA.name).await;
        f.bury(&delivery, "poison").await;
    }
    let letters = f.dead(ALPHA.name, 2).await;
    let letter = letters
        .iter()
        .find(|letter| {
            letter
                .event
                .as_ref()
                .is_some_and(|event| event.id == sent.id)
        })
        .expect("the event among the letters");
    f.queue
        .redrive(ALPHA.name, &letter.id)
        .await
        .expect("redrive");
    let again = f.one(ALPHA.name).await;
    assert_eq!(*again.event, sent);
    assert_eq!(again.receives, 1);
    f.dead(ALPHA.name, 1).await;
    assert_err!(
        f.queue.redrive(ALPHA.name, &letter.id).await,
        Error::Unknown(_)
    );
    f.settle(&again, Settlement::Done).await;
    assert!(f.none(ALPHA.name).await);
    for _ in 0..2 {
        let delivery = f.one(BETA.name).await;
        assert_eq!(delivery.receives, 1);
    }
    assert!(f.none(BETA.name).await, "redriven to another subscription");
}

pub async fn all_letters_are_redriven_as_new(f: Fixture) {
    assert_eq!(f.queue.redrive_all(ALPHA.name).await.expect("none"), 0);
    let sent: Vec<_> = (0..3)
        .map(|_| event(EventType::ToolCallRequested))
        .collect();
    f.publish(sent.clone()).await;
    for subscription in [ALPHA.name, BETA.name] {
        for _ in &sent {
            let delivery = f.one(subscription).await;
            f.bury(&delivery, "poison").await;
        }
    }
    f.dead(ALPHA.name, 3).await;
    let redriven = f.queue.redrive_all(ALPHA.name).await.expect("redrive_all");
    assert_eq!(redriven, 3);
    let mut again = BTreeSet::new();
    for _ in &sent {
        let delivery = f.one(ALPHA.name).await;
        assert_eq!(delivery.receives, 1);
        again.insert(delivery.event.id.clone());
        f.settle(&delivery, Settlement::Done).await;
    }
    assert_eq!(again, sent.into_iter().map(|event| event.id).collect());
    f.dead(ALPHA.name, 0).await;
    f.dead(BETA.name, 3).await;
    assert!(f.none(BETA.name).await, "redriven to another subscription");
    assert_err!(f.queue.redrive_all("nothing").await, Error::Unknown(_));
}

pub async fn an_unknown_dead_letter_is_said(f: Fixture) {
    for id in ["nothing", "", "0", "'"] {
        let id = DeadLetterId(id.to_owned());
        assert_err!(f.queue.redrive(ALPHA.name, &id).await, Error::Unknown(_));
    }
}

pub async fn a_body_that_is_no_event_is_dead_lettered(f: Fixture) {
    let bodies = ["{", " ", "null", r#"{"specversion":"1.0"}"#, "žluť 🐎"];
    for body in bodies {
        (f.inject)(ALPHA.name, body.to_owned()).await;
    }
    let sent = event(EventType::ToolCallRequested);
    f.publish([sent.clone()]).await;
    // The good one is not held up by the bad ones.
    let delivery = f.one(ALPHA.name).await;
    assert_eq!(delivery.event.id, sent.id);
    f.settle(&delivery, Settlement::Done).await;
    let letters = eventually("all of them put aside", async || {
        assert!(f.none(ALPHA.name).await, "delivered what is no event");
        let letters = f
            .queue
            .dead_letters(ALPHA.name, 100)
            .await
            .expect("dead_letters");
        (letters.len() == bodies.len()).then_some(letters)
    })
    .await;
    for letter in &letters {
        assert_eq!(letter.event, None);
        assert!(!letter.reason.is_empty());
    }
    let kept: BTreeSet<&str> = letters.iter().map(|letter| &*letter.body).collect();
    assert_eq!(kept, bodies.into());
}

pub async fn a_settlement_concerns_its_subscription_only(f: Fixture) {
    f.publish([event(EventType::ToolCallRequested)]).await;
    let alpha = f.one(ALPHA.name).await;
    f.settle(&alpha, Settlement::Done).await;
    let beta = f.one(BETA.name).await;
    assert_eq!(beta.receives, 1);
    f.bury(&beta, "poison").await;
    f.dead(BETA.name, 1).await;
    assert_eq!(f.depth(ALPHA.name).await.dead, 0);
}

/// A queue may keep its delayed deliveries among the leased ones (SQS does: both are invisible),
/// so those two are told apart only while the other is empty.
pub async fn depth_counts_each_state(f: Fixture) {
    let counts = async |what: &str, expected: [u64; 3]| {
        eventually(what, async || {
            let depth = f.depth(ALPHA.name).await;
            let counted = [depth.ready, depth.leased + depth.delayed, depth.dead];
            (counted == expected).then_some(())
        })
        .await;
    };
    counts("an empty queue", [0, 0, 0]).await;
    f.publish([(); 5].map(|()| event(EventType::ToolCallRequested)))
        .await;
    counts("5 ready", [5, 0, 0]).await;
    let leased = f.one(ALPHA.name).await;
    counts("one leased", [4, 1, 0]).await;
    assert_eq!(f.depth(ALPHA.name).await.delayed, 0, "a lease is no delay");
    let after = Duration::from_mins(1);
    let delayed = f.one(ALPHA.name).await;
    f.settle(&delayed, Settlement::Retry { after }).await;
    counts("one leased, one delayed", [3, 2, 0]).await;
    let dead = f.one(ALPHA.name).await;
    f.bury(&dead, "poison").await;
    counts("one dead", [2, 2, 1]).await;
    f.settle(&leased, Settlement::Done).await;
    counts("one done", [2, 1, 1]).await;
    assert_eq!(
        f.depth(STURDY.name).await,
        waybill_messaging::Depth::default()
    );
}

pub async fn depth_gives_the_age_of_the_oldest(f: Fixture) {
    assert_eq!(f.depth(ALPHA.name).await.oldest_ms, 0);
    f.publish([event(EventType::ToolCallRequested)]).await;
    sleep(Duration::from_secs(1)).await;
    f.publish([event(EventType::ToolCallRequested)]).await;
    let oldest = eventually("an age", async || {
        let oldest = f.depth(ALPHA.name).await.oldest_ms;
        (oldest >= 900).then_some(oldest)
    })
    .await;
    assert!(oldest < 60_000, "{oldest} ms");
}
