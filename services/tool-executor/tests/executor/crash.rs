//! The worker dies before and after every commit and at every moment between; another takes over.

use std::time::Duration;

use futures::FutureExt;
use tokio::time::sleep;
use waybill_toolkit::Effect;

use super::world::{AFTER_LEASE, Fake, World, text};

/// Reports, saves and answers: every kind of commit that a run can make.
fn busy(effect: Effect) -> Fake {
    Fake::new(effect, |_, cx| {
        async {
            sleep(Duration::from_millis(100)).await;
            cx.progress(1.0, Some(2.0), None);
            sleep(Duration::from_millis(100)).await;
            cx.checkpoint(&"half").await;
            sleep(Duration::from_millis(500)).await;
            Ok(text("done"))
        }
        .boxed()
    })
}

#[tokio::test(start_paused = true)]
async fn a_once_tool_acts_at_most_once_whichever_commit_its_worker_dies_at() {
    let mut deaths = 0;
    for nth in 0..8 {
        for after in [false, true] {
            let world = World::new(busy(Effect::Once));
            let id = world.submit().await;
            let delivery = world.next().await;
            deaths += u32::from(!world.mortal(nth, after).survives(&delivery).await);
            sleep(AFTER_LEASE).await;
            world.drain().await;
            let call = world.call(&id).await;
            assert!(
                call.state.is_terminal(),
                "commit {nth}, after: {after}: {call:?}"
            );
            assert!(world.tool.runs() <= 1, "commit {nth}, after: {after}");
            assert_eq!(
                world.told_endings().await,
                1,
                "commit {nth}, after: {after}"
            );
        }
    }
    assert!(deaths >= 8, "only {deaths} of the deaths came to pass");
}

#[tokio::test(start_paused = true)]
async fn a_tool_that_may_run_again_always_gets_to_its_answer() {
    for effect in [Effect::ReadOnly, Effect::Idempotent] {
        for nth in 0..6 {
            for after in [false, true] {
                let world = World::new(busy(effect));
                let id = world.submit().await;
                let delivery = world.next().await;
                world.mortal(nth, after).survives(&delivery).await;
                sleep(AFTER_LEASE).await;
                world.drain().await;
                assert_eq!(
                    world.text(&id).await,
                    "done",
                    "commit {nth}, after: {after}"
                );
                assert_eq!(world.told_endings().await, 1);
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_worker_may_die_at_any_moment() {
    for effect in [Effect::ReadOnly, Effect::Once] {
        for moment in (0..800).step_by(23) {
            let world = World::new(busy(effect));
            let id = world.submit().await;
            let (worker, delivery) = (world.worker(), world.next().await);
            tokio::select! {
                biased;
                () = sleep(Duration::from_millis(moment)) => {}
                _ = worker.run(&delivery) => {}
            }
            sleep(AFTER_LEASE).await;
            world.drain().await;
            assert!(world.state(&id).await.is_terminal());
            assert_eq!(world.told_endings().await, 1);
            assert!(effect != Effect::Once || world.tool.runs() <= 1);
        }
    }
}
