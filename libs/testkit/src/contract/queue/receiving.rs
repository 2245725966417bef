//! Waiting for deliveries, and sharing them.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    task::JoinSet,
    time::{Instant, sleep, timeout},
};
use waybill_events::EventType;
use waybill_messaging::Settlement;

use super::{Fixture, event};
use crate::contract::{ALPHA, BETA, STURDY, eventually};

const LONG: Duration = Duration::from_secs(20);
const MOMENT: Duration = Duration::from_millis(200);

pub async fn a_commit_wakes_a_receiver(f: Fixture) {
    for _ in 0..3 {
        let committing = async {
            sleep(MOMENT).await;
            let began = Instant::now();
            f.publish([event(EventType::ToolCallRequested)]).await;
            began
        };
        let (received, began) = tokio::join!(f.queue.receive(ALPHA.name, 10, LONG), committing);
        let took = began.elapsed();
        let received = received.expect("receive");
        assert_eq!(received.len(), 1);
        assert!(took < f.promptness, "it woke only after {took:?}");
        f.settle(&received[0], Settlement::Done).await;
    }
}

pub async fn a_commit_wakes_one_of_many_receivers(f: Fixture) {
    let mut receivers = JoinSet::new();
    for _ in 0..5 {
        let queue = f.queue.clone();
        receivers.spawn(async move {
            let received = queue.receive(ALPHA.name, 1, Duration::from_secs(3)).await;
            received.expect("receive").len()
        });
    }
    sleep(MOMENT).await;
    f.publish([(); 3].map(|()| event(EventType::ToolCallRequested)))
        .await;
    let received: usize = receivers.join_all().await.into_iter().sum();
    assert_eq!(received, 3);
}

pub async fn an_empty_queue_times_out(f: Fixture) {
    let wait = Duration::from_secs(1);
    let began = Instant::now();
    let received = f.queue.receive(ALPHA.name, 10, wait).await;
    assert!(received.expect("receive").is_empty());
    let took = began.elapsed();
    assert!(took >= wait * 9 / 10, "it gave up after {took:?}");
    assert!(took < wait + f.promptness, "it gave up only after {took:?}");
}

pub async fn a_receive_without_wait_answers_at_once(f: Fixture) {
    let began = Instant::now();
    let received = f.queue.receive(ALPHA.name, 10, Duration::ZERO).await;
    assert!(received.expect("receive").is_empty());
    assert!(began.elapsed() < f.promptness);
}

/// Nothing is committed meanwhile: the passing of time alone makes the delivery ready.
pub async fn a_waiting_receiver_sees_a_delay_end(f: Fixture) {
    let after = Duration::from_secs(1);
    f.publish([event(EventType::ToolCallRequested)]).await;
    let delivery = f.one(ALPHA.name).await;
    f.settle(&delivery, Settlement::Retry { after }).await;
    let began = Instant::now();
    let received = f
        .queue
        .receive(ALPHA.name, 10, LONG)
        .await
        .expect("receive");
    assert_eq!(received.len(), 1);
    assert!(began.elapsed() < after * 2 + f.promptness);

    f.publish([event(EventType::CircuitOpened)]).await;
    f.one(STURDY.name).await;
    let began = Instant::now();
    let received = f
        .queue
        .receive(STURDY.name, 10, LONG)
        .await
        .expect("receive");
    assert_eq!(received.len(), 1, "the end of a lease went unseen");
    assert!(began.elapsed() < STURDY.lease * 2 + f.promptness);
}

pub async fn a_receive_gives_no_more_than_asked(f: Fixture) {
    f.publish([(); 12].map(|()| event(EventType::ToolCallRequested)))
        .await;
    let mut received = 0;
    for max in [1, 2, 5] {
        let deliveries = f
            .queue
            .receive(ALPHA.name, max, LONG)
            .await
            .expect("receive");
        assert!(
            (1..=max).contains(&deliveries.len()),
            "{} of {max}",
            deliveries.len()
        );
        received += deliveries.len();
    }
    eventually("the rest", async || {
        received += f.some(ALPHA.name).await.len();
        (received == 12).then_some(())
    })
    .await;
}

/// Receives are dropped before, while and after an event is committed.
pub async fn a_dropped_receive_loses_nothing(f: Fixture) {
    let mut expected = BTreeSet::new();
    for n in 0..30_u32 {
        let sent = event(EventType::CircuitOpened);
        expected.insert(sent.id.clone());
        let receiving = timeout(
            MOMENT / 20 * (n % 5),
            f.queue.receive(STURDY.name, 10, LONG),
        );
        let committing = async {
            sleep(MOMENT / 60 * (n % 3)).await;
            f.publish([sent]).await;
        };
        if let (Ok(received), ()) = tokio::join!(receiving, committing) {
            for delivery in received.expect("receive") {
                expected.remove(&delivery.event.id);
                f.settle(&delivery, Settlement::Done).await;
            }
        }
    }
    eventually("every event whose receive was dropped", async || {
        for delivery in f.some(STURDY.name).await {
            expected.remove(&delivery.event.id);
            f.settle(&delivery, Settlement::Done).await;
        }
        expected.is_empty().then_some(())
    })
    .await;
}

pub async fn many_consumers_share_without_a_double_lease(f: Fixture) {
    const EVENTS: usize = 200;
    let left = Arc::new(AtomicUsize::new(EVENTS));
    let mut consumers = JoinSet::new();
    for max in [1, 1, 2, 3, 5, 8, 10, 10] {
        let (queue, left) = (f.queue.clone(), left.clone());
        consumers.spawn(async move {
            let mut taken = Vec::new();
            while left.load(Ordering::SeqCst) > 0 {
                let received = queue.receive(BETA.name, max, MOMENT).await;
                for delivery in received.expect("receive") {
                    taken.push(delivery.event.id.clone());
                    let settled = queue.settle(&delivery.receipt, Settlement::Done).await;
                    settled.expect("its own lease");
                    left.fetch_sub(1, Ordering::SeqCst);
                }
            }
            taken
        });
    }
    for _ in 0..EVENTS / 20 {
        f.publish([(); 20].map(|()| event(EventType::ScheduleTicked)))
            .await;
    }
    let mut receives = BTreeMap::new();
    for id in consumers.join_all().await.into_iter().flatten() {
        *receives.entry(id).or_insert(0) += 1;
    }
    assert_eq!(receives.len(), EVENTS);
    assert!(receives.values().all(|count| *count == 1), "leased twice");
    assert!(f.none(BETA.name).await);
}
