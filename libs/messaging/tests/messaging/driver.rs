//! The worker over a queue.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use futures::FutureExt;
use tokio::{
    sync::Notify,
    time::{Instant, sleep},
};
use waybill_events::Event;
use waybill_messaging::{
    BatchHandler, Batching, Context, Driver, Effects, Events, Failure, Handler, Limits,
    Subscription,
};
use waybill_testkit::event;

use crate::world::{INPUT, Trial, World};

const WINDOW: Duration = Duration::from_millis(100);

/// Notes the size of each batch.
#[derive(Default)]
struct Gatherer {
    sizes: Mutex<Vec<usize>>,
    more: Notify,
}

impl BatchHandler for Gatherer {
    const SUBSCRIPTION: Subscription = Subscription {
        batching: Batching {
            max: 20,
            window: WINDOW,
        },
        concurrency: 20,
        ..Subscription::new("gatherer", Events::Only(&[INPUT]))
    };

    async fn handle(&self, events: &[&Event], _: &Context) -> Result<Effects, Failure> {
        self.sizes.lock().unwrap().push(events.len());
        self.more.notify_one();
        Ok(Effects::default())
    }
}

impl Gatherer {
    async fn gathered(&self, events: usize) -> Vec<usize> {
        loop {
            let sizes = self.sizes.lock().unwrap().clone();
            if sizes.iter().sum::<usize>() >= events {
                return sizes;
            }
            self.more.notified().await;
        }
    }
}

fn driver(world: &World) -> Driver {
    let limits = Limits {
        wait: Duration::from_secs(1),
        max_receive: 8,
    };
    Driver::new(world.bus.clone(), limits)
}

#[tokio::test(start_paused = true)]
async fn a_full_batch_waits_for_no_window() {
    let world = World::new(&[Gatherer::SUBSCRIPTION]);
    world
        .publish((0..200).map(|_| event(INPUT).build()).collect())
        .await;
    let (driver, gatherer) = (driver(&world), Arc::new(Gatherer::default()));
    let began = Instant::now();
    driver.start_batch(gatherer.clone());
    assert_eq!(gatherer.gathered(200).await, [20; 10]);
    assert!(began.elapsed() < WINDOW, "{:?}", began.elapsed());
    assert!(driver.drain(Duration::from_secs(2)).await);
}

#[tokio::test(start_paused = true)]
async fn what_comes_within_the_window_shares_a_batch() {
    let world = World::new(&[Gatherer::SUBSCRIPTION]);
    let (driver, gatherer) = (driver(&world), Arc::new(Gatherer::default()));
    driver.start_batch(gatherer.clone());
    for _ in 0..3 {
        world.publish(vec![event(INPUT).build()]).await;
        sleep(WINDOW / 4).await;
    }
    assert_eq!(gatherer.gathered(3).await, [3]);
    assert!(driver.drain(Duration::from_secs(2)).await);
}

#[tokio::test(start_paused = true)]
async fn a_drain_lets_work_finish_until_its_deadline() {
    let begun = Arc::new(AtomicU32::new(0));
    for (takes, finished) in [(500, true), (60_000, false)] {
        let world = World::of_trial();
        let (driver, counter) = (driver(&world), begun.clone());
        let handler = Trial::new(move |_, _| {
            counter.fetch_add(1, Ordering::SeqCst);
            sleep(Duration::from_millis(takes))
                .map(|()| Ok(Effects::default()))
                .boxed()
        });
        driver.start(Arc::new(handler));
        world.publish(vec![event(INPUT).build()]).await;
        sleep(Duration::from_millis(10)).await;
        assert_eq!(driver.drain(Duration::from_millis(700)).await, finished);
        let left = world
            .bus
            .queue
            .depth(Trial::SUBSCRIPTION.name)
            .await
            .unwrap();
        assert_eq!(
            left.leased + left.ready + left.delayed,
            u64::from(!finished)
        );
    }
    assert_eq!(begun.load(Ordering::SeqCst), 2);
}
