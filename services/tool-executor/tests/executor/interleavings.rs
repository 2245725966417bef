//! Any order of deliveries, deaths, answers, cancellations and waits ends a call exactly once.

use std::time::Duration;

use futures::FutureExt;
use proptest::prelude::*;
use tokio::time::sleep;
use waybill_toolkit::Effect;

use super::world::{Fake, World, question, text, unavailable, unclear};

#[derive(Clone, Copy, Debug)]
enum Step {
    /// A worker takes what is due and lives.
    Work,
    /// A worker dies at this commit, before or after it.
    Die(i64, bool),
    /// A worker dies after so many milliseconds.
    DieAt(u64),
    /// The queue gives the last delivery once more, while somebody else works on it.
    Twice(u64),
    Cancel,
    Answer,
    Wait(u64),
}

#[derive(Clone, Copy, Debug)]
enum Does {
    Answers,
    Slowly,
    Asks,
    IsAway,
    IsUnclear,
    Hangs,
    Panics,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => Just(Step::Work),
        2 => (0..5i64, any::<bool>()).prop_map(|(nth, after)| Step::Die(nth, after)),
        1 => (0..400u64).prop_map(Step::DieAt),
        2 => (0..400u64).prop_map(Step::Twice),
        1 => Just(Step::Cancel),
        2 => Just(Step::Answer),
        3 => (0..100u64).prop_map(Step::Wait),
    ]
}

fn does() -> impl Strategy<Value = Does> {
    prop_oneof![
        3 => Just(Does::Answers),
        3 => Just(Does::Slowly),
        2 => Just(Does::Asks),
        2 => Just(Does::IsAway),
        1 => Just(Does::IsUnclear),
        1 => Just(Does::Hangs),
        1 => Just(Does::Panics),
    ]
}

/// Whether a run with this behaviour changes the world.
fn acts(does: Does) -> bool {
    !matches!(does, Does::Asks | Does::IsAway)
}

fn tool(effect: Effect, script: Vec<Does>) -> Fake {
    Fake::new(effect, move |nth, cx| {
        let does = script[nth as usize % script.len()];
        let answered = cx.input("sure").is_some();
        async move {
            match does {
                Does::Answers => Ok(text("done")),
                Does::Slowly => {
                    cx.progress(1.0, None, None);
                    sleep(Duration::from_millis(200)).await;
                    cx.checkpoint(&1).await;
                    Ok(text("done"))
                }
                Does::Asks if answered => Err(unavailable(None)),
                Does::Asks => Err(question()),
                Does::IsAway => Err(unavailable(None)),
                Does::IsUnclear => Err(unclear()),
                Does::Hangs => std::future::pending().await,
                Does::Panics => panic!("a bug"),
            }
        }
        .boxed()
    })
}

async fn play(effect: Effect, script: Vec<Does>, steps: Vec<Step>) {
    let world =
        World::new(tool(effect, script.clone()).spec(|s| s.timeout = Duration::from_secs(5)));
    let id = world.submit_for(Duration::from_mins(5)).await;
    for step in steps {
        match step {
            Step::Work => {
                if let Some(delivery) = world.receive().await {
                    world.worker().run(&delivery).await;
                }
            }
            Step::Die(nth, after) => {
                if let Some(delivery) = world.receive().await {
                    world.mortal(nth, after).survives(&delivery).await;
                }
            }
            Step::DieAt(ms) => {
                if let Some(delivery) = world.receive().await {
                    let worker = world.worker();
                    tokio::select! {
                        biased;
                        () = sleep(Duration::from_millis(ms)) => {}
                        _ = worker.run(&delivery) => {}
                    }
                }
            }
            Step::Twice(ms) => {
                if let Some(delivery) = world.receive().await {
                    let (one, two) = (world.worker(), world.worker());
                    let mut again = delivery.clone();
                    again.receives += 1;
                    let later = async {
                        sleep(Duration::from_millis(ms)).await;
                        two.run(&again).await
                    };
                    tokio::join!(one.run(&delivery), later);
                }
            }
            Step::Cancel => world.cancel(&id).await,
            Step::Answer if !world.state(&id).await.is_terminal() => {
                world.answer(&id, "sure").await;
            }
            Step::Answer => {}
            Step::Wait(seconds) => sleep(Duration::from_secs(seconds)).await,
        }
    }
    sleep(Duration::from_mins(6)).await;
    world.drain().await;
    world.swept().await;
    let state = world.state(&id).await;
    assert!(state.is_terminal(), "{state:?}");
    assert_eq!(world.told_endings().await, 1);
    let acted = (0..world.tool.runs()).filter(|nth| acts(script[*nth as usize % script.len()]));
    let acted = acted.count();
    assert!(effect != Effect::Once || acted <= 1, "acted {acted} times");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_call_ends_exactly_once(
        once in any::<bool>(),
        script in prop::collection::vec(does(), 1..5),
        steps in prop::collection::vec(step(), 1..14),
    ) {
        let effect = if once { Effect::Once } else { Effect::Idempotent };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(play(effect, script, steps));
    }
}
