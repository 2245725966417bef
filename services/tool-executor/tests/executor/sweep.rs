//! What passed its deadline while nobody worked on it.

use std::time::Duration;

use futures::FutureExt;
use tokio::time::sleep;
use waybill_calls::CallState;
use waybill_events::EventType::{ToolCallExpired, ToolCallFailed, ToolCallInputRequired};
use waybill_toolkit::Effect;

use super::world::{Fake, TRACE, World, question, text};

fn asks() -> Fake {
    Fake::new(Effect::ReadOnly, |_, _| async { Err(question()) }.boxed())
}

#[tokio::test(start_paused = true)]
async fn a_call_that_waits_for_its_client_expires() {
    let world = World::new(asks());
    let id = world.submit_for(Duration::from_secs(30)).await;
    world.drain().await;
    sleep(Duration::from_secs(29)).await;
    world.swept().await;
    assert_eq!(world.state(&id).await, CallState::WaitingInput);
    sleep(Duration::from_millis(1_001)).await;
    world.swept().await;
    assert_eq!(world.state(&id).await, CallState::Expired);
    assert_eq!(world.told().await, [ToolCallInputRequired, ToolCallExpired]);
    world.swept().await;
    assert!(world.told().await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_the_sweep_tells_belongs_to_the_story_of_the_call() {
    let world = World::new(asks());
    world.submit_for(Duration::from_secs(30)).await;
    world.drain().await;
    sleep(Duration::from_secs(31)).await;
    world.swept().await;
    let told = world.events().await;
    assert_eq!(told.len(), 3);
    for event in &told {
        assert_eq!(event.correlation, told[0].id, "{:?}", event.kind);
        assert_eq!(
            event.traceparent.as_deref(),
            Some(TRACE),
            "{:?}",
            event.kind
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_step_is_bounded_and_the_next_tick_goes_on() {
    let world = World::new(asks());
    for _ in 0..100 {
        world.submit_for(Duration::from_secs(1)).await;
    }
    sleep(Duration::from_secs(2)).await;
    let mut steps = Vec::new();
    for _ in 0..4 {
        world.swept().await;
        steps.push(world.told().await.len());
    }
    assert_eq!(steps, [40, 40, 20, 0]);
    world.drain().await;
}

#[tokio::test(start_paused = true)]
async fn one_that_may_have_acted_does_not_just_expire() {
    let world = World::new(Fake::new(Effect::Once, |_, _| {
        std::future::pending().boxed()
    }));
    let id = world.submit_for(Duration::from_secs(30)).await;
    let (worker, delivery) = (world.worker(), world.next().await);
    tokio::select! {
        _ = worker.run(&delivery) => panic!("it hangs"),
        () = sleep(Duration::from_secs(1)) => {}
    }
    sleep(Duration::from_secs(31)).await;
    world.swept().await;
    assert_eq!(
        world.state(&id).await,
        CallState::Running,
        "its worker may be about to end it"
    );
    sleep(Duration::from_secs(5)).await;
    world.swept().await;
    assert_eq!(world.problem(&id).await.code, "outcome_unknown");
    assert_eq!(world.told().await, [ToolCallFailed]);
}

#[tokio::test(start_paused = true)]
async fn what_has_expired_is_removed() {
    let world = World::new(Fake::new(Effect::ReadOnly, |_, _| {
        async { Ok(text(&"x".repeat(100_000))) }.boxed()
    }));
    let id = world.submit().await;
    world.drain().await;
    let call = world.call(&id).await;
    sleep(Duration::from_hours(2)).await;
    world.swept().await;
    assert_eq!(world.calls.result(&call).await.unwrap(), None);
}
