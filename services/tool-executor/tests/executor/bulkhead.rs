//! An upstream that is slow does not slow down the others.

use std::{sync::Arc, time::Duration};

use futures::{FutureExt, future::join_all};
use tokio::{sync::Semaphore, time::sleep};
use waybill_calls::CallState;
use waybill_messaging::{Delivery, Settlement};
use waybill_resilience::State;
use waybill_toolkit::Effect;

use super::{
    breaker::{state, upstream},
    world::{Fake, World, text},
};

/// Runs of one upstream at once.
const SLOTS: usize = 64;

/// Every run takes as long as it is kept from a permit.
fn held() -> (Fake, Arc<Semaphore>) {
    let held = Arc::new(Semaphore::new(0));
    let permits = held.clone();
    let tool = Fake::new(Effect::ReadOnly, move |_, _| {
        let permits = permits.clone();
        async move {
            permits.acquire().await.unwrap().forget();
            Ok(text("sold"))
        }
        .boxed()
    });
    (upstream(tool), held)
}

async fn full(world: &World) -> Vec<Delivery> {
    let mut deliveries = Vec::new();
    for _ in 0..SLOTS {
        world.submit().await;
        deliveries.push(world.next().await);
    }
    deliveries
}

#[tokio::test(start_paused = true)]
async fn an_upstream_that_hangs_takes_its_own_slots_only() {
    let (tool, held) = held();
    let world = World::new(tool);
    let other = Fake::new(Effect::ReadOnly, |_, _| async { Ok(text("here")) }.boxed());
    world.also(other.spec(|spec| spec.name = "other".to_owned()));
    let (worker, hanging) = (world.worker(), full(&world).await);
    let hang = join_all(hanging.iter().map(|delivery| worker.run(delivery)));
    let story = async {
        sleep(Duration::from_secs(1)).await;
        let id = world.submit().await;
        let parked = worker.run(&world.next().await).await;
        assert!(matches!(parked, Settlement::Retry { .. }));
        let call = world.call(&id).await;
        assert_eq!((call.state, call.attempt), (CallState::WaitingCapacity, 0));

        let elsewhere = world.submit_to("other", Duration::from_mins(10)).await;
        assert_eq!(worker.run(&world.next().await).await, Settlement::Done);
        assert_eq!(world.text(&elsewhere).await, "here");

        held.add_permits(1);
        sleep(Duration::from_secs(2)).await;
        let parked = world.next().await;
        let (done, ()) = tokio::join!(worker.run(&parked), async {
            sleep(Duration::from_secs(1)).await;
            held.add_permits(SLOTS);
        });
        assert_eq!(done, Settlement::Done);
        assert_eq!(world.text(&id).await, "sold");
    };
    tokio::join!(hang, story);
    assert_eq!(state(&world).await, State::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_slot_that_gets_free_in_a_moment_is_waited_for() {
    let (tool, held) = held();
    let world = World::new(tool);
    let (worker, hanging) = (world.worker(), full(&world).await);
    let hang = join_all(hanging.iter().map(|delivery| worker.run(delivery)));
    let story = async {
        let id = world.submit().await;
        let delivery = world.next().await;
        let (done, ()) = tokio::join!(worker.run(&delivery), async {
            sleep(Duration::from_millis(100)).await;
            held.add_permits(SLOTS + 1);
        });
        assert_eq!(done, Settlement::Done);
        assert_eq!(world.text(&id).await, "sold");
    };
    tokio::join!(hang, story);
}

#[tokio::test(start_paused = true)]
async fn a_run_that_is_dropped_gives_its_slot_back() {
    let (tool, held) = held();
    let world = World::new(tool);
    let (worker, hanging) = (world.worker(), full(&world).await);
    tokio::select! {
        _ = join_all(hanging.iter().map(|delivery| worker.run(delivery))) => panic!("they hang"),
        () = sleep(Duration::from_secs(1)) => {}
    }
    held.add_permits(1);
    let id = world.submit().await;
    assert_eq!(worker.run(&world.next().await).await, Settlement::Done);
    assert_eq!(world.text(&id).await, "sold");
}

#[tokio::test(start_paused = true)]
async fn who_cannot_wait_for_a_slot_is_told_so() {
    let (tool, held) = held();
    let world = World::new(tool);
    let (worker, hanging) = (world.worker(), full(&world).await);
    let hang = join_all(hanging.iter().map(|delivery| worker.run(delivery)));
    let story = async {
        let id = world.submit_for(Duration::from_secs(2)).await;
        assert_eq!(worker.run(&world.next().await).await, Settlement::Done);
        let problem = world.problem(&id).await;
        assert_eq!(problem.code, "upstream_unavailable");
        assert!(problem.message.contains("64 calls of shop"), "{problem:?}");
        held.add_permits(SLOTS);
    };
    tokio::join!(hang, story);
}
