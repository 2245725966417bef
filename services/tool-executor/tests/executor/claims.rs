//! Two workers and one call: only the newest attempt ends it, and a long tool goes on where it was.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures::FutureExt;
use serde_json::json;
use tokio::time::sleep;
use waybill_calls::CallState;
use waybill_events::EventType::{ToolCallCompleted, ToolCallFailed};
use waybill_messaging::{Queue, Settlement};
use waybill_toolkit::Effect;

use super::world::{AFTER_LEASE, Fake, World, question, questions, text};

/// The first run takes two minutes, the later ones are quick.
fn slow_at_first() -> Fake {
    Fake::new(Effect::ReadOnly, |nth, _| {
        async move {
            if nth == 0 {
                sleep(Duration::from_secs(50)).await;
                // Blind to the world, as a worker whose machine stood still.
                return Ok(text("first"));
            }
            sleep(Duration::from_millis(200)).await;
            Ok(text("second"))
        }
        .boxed()
    })
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_was_overtaken_ends_nothing() {
    let world = World::new(slow_at_first());
    let id = world.submit().await;
    let (old, first) = (world.worker(), world.next().await);
    let overtake = async {
        sleep(Duration::from_secs(10)).await;
        // The lease was lost: the queue gives the delivery to somebody else.
        world.lapse(&id).await;
        let mut again = first.clone();
        again.receives = 2;
        world.worker().run(&again).await
    };
    let (stale, newest) = tokio::join!(old.run(&first), overtake);
    assert_eq!(newest, Settlement::Done);
    assert_eq!(stale, Settlement::Done, "the call has ended");
    assert_eq!(world.text(&id).await, "second");
    assert_eq!(world.call(&id).await.attempt, 2);
    assert_eq!(world.told().await, [ToolCallCompleted]);
}

#[tokio::test(start_paused = true)]
async fn a_quick_attempt_that_never_claimed_gives_way_to_one_that_did() {
    // Without its claim the first is attempt 1 in memory; the second commits attempt 1.
    let world = World::new(Fake::new(Effect::ReadOnly, |nth, _| {
        async move {
            let (wait, told) = if nth == 0 {
                (40, "first")
            } else {
                (300, "second")
            };
            sleep(Duration::from_millis(wait)).await;
            Ok(text(told))
        }
        .boxed()
    }));
    let id = world.submit().await;
    let (old, first) = (world.worker(), world.next().await);
    let overtake = async {
        sleep(Duration::from_millis(20)).await;
        let mut again = first.clone();
        again.receives = 2;
        world.worker().run(&again).await
    };
    let (stale, newest) = tokio::join!(old.run(&first), overtake);
    assert!(
        matches!(stale, Settlement::Retry { .. }),
        "and marks nothing as seen"
    );
    assert_eq!(newest, Settlement::Done);
    assert_eq!(world.text(&id).await, "second");
    assert_eq!(world.told().await, [ToolCallCompleted]);
}

#[tokio::test(start_paused = true)]
async fn a_first_delivery_does_not_take_a_running_call() {
    let world = World::new(slow_at_first());
    let id = world.submit().await;
    let (worker, first) = (world.worker(), world.next().await);
    let duplicate = async {
        sleep(Duration::from_secs(1)).await;
        world.worker().run(&first.clone()).await
    };
    let (settled, duplicate) = tokio::join!(worker.run(&first), duplicate);
    assert!(matches!(duplicate, Settlement::Retry { .. }));
    assert_eq!(settled, Settlement::Done);
    assert_eq!(world.text(&id).await, "first");
    assert_eq!(world.tool.runs(), 1);
}

/// A bus that delivers at least once does that: another message, with receives of its own.
#[tokio::test(start_paused = true)]
async fn a_second_message_of_one_event_waits_for_the_worker_that_lives() {
    for effect in [Effect::ReadOnly, Effect::Idempotent, Effect::Once] {
        let world = World::new(
            Fake::new(effect, |_, _| {
                async move {
                    sleep(Duration::from_mins(5)).await;
                    Ok(text("done"))
                }
                .boxed()
            })
            .spec(|spec| spec.timeout = Duration::from_mins(10)),
        );
        let id = world.submit_for(Duration::from_hours(1)).await;
        let (worker, first) = (world.worker(), world.next().await);
        let body = String::from_utf8(first.event.to_json()).unwrap();
        let others = async {
            sleep(Duration::from_secs(1)).await;
            world.backend.inject("tool-executor", body).await.unwrap();
            let mut brought = 0;
            while !world.state(&id).await.is_terminal() {
                if let Some(again) = world.receive().await {
                    brought = brought.max(again.receives);
                    world.worker().run(&again).await;
                }
                sleep(Duration::from_secs(1)).await;
            }
            brought
        };
        let (settled, brought) = tokio::join!(worker.run(&first), others);
        assert_eq!(settled, Settlement::Done, "{effect}");
        assert!(brought > 2, "{effect}: it was brought {brought} times");
        assert_eq!(world.text(&id).await, "done", "{effect}");
        assert_eq!(world.tool.runs(), 1, "{effect}");
        world.drain().await;
        assert_eq!(world.told().await, [ToolCallCompleted], "{effect}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_ends_leaves_its_call_to_the_next_at_once() {
    let world = World::new(Fake::new(Effect::ReadOnly, |nth, _| {
        async move {
            if nth == 0 {
                std::future::pending::<()>().await;
            }
            Ok(text("done"))
        }
        .boxed()
    }));
    let id = world.submit().await;
    let (worker, first) = (world.worker(), world.next().await);
    let ends = async {
        sleep(Duration::from_secs(1)).await;
        worker.shutdown.cancel();
    };
    let (settled, ()) = tokio::join!(worker.run(&first), ends);
    assert!(matches!(settled, Settlement::Retry { after } if after.is_zero()));
    assert_eq!(world.step().await, Settlement::Done);
    assert_eq!(world.text(&id).await, "done");
}

#[tokio::test(start_paused = true)]
async fn a_tool_goes_on_from_its_last_checkpoint() {
    let world = World::new(Fake::new(Effect::Idempotent, |nth, cx| {
        async move {
            let from: u32 = cx.last_checkpoint().unwrap_or(0);
            for step in from..10 {
                if nth == 0 && step == 7 {
                    std::future::pending::<()>().await;
                }
                assert!(cx.checkpoint(&(step + 1)).await);
            }
            Ok(text(&format!("from {from}")))
        }
        .boxed()
    }));
    let id = world.submit().await;
    let delivery = world.next().await;
    let lost = world.worker();
    tokio::select! {
        _ = lost.run(&delivery) => panic!("it hangs"),
        () = sleep(Duration::from_secs(1)) => {}
    }
    sleep(AFTER_LEASE).await;
    world.drain().await;
    assert_eq!(world.text(&id).await, "from 7");
    assert_eq!(world.call(&id).await.attempt, 2);
}

#[tokio::test(start_paused = true)]
async fn a_tool_whose_call_was_taken_learns_it_from_its_checkpoint() {
    let world = World::new(Fake::new(Effect::ReadOnly, |nth, cx| {
        async move {
            if nth > 0 {
                return Ok(text("second"));
            }
            sleep(Duration::from_secs(1)).await;
            assert!(!cx.checkpoint(&1).await);
            assert!(cx.cancelled().is_cancelled());
            Ok(text("first"))
        }
        .boxed()
    }));
    let id = world.submit().await;
    let (old, first) = (world.worker(), world.next().await);
    let overtake = async {
        sleep(Duration::from_millis(500)).await;
        world.lapse(&id).await;
        let mut again = first.clone();
        again.receives = 2;
        world.worker().run(&again).await
    };
    tokio::join!(old.run(&first), overtake);
    assert_eq!(world.text(&id).await, "second");
}

/// Each process that runs the tool dies of it, here within the first moments, until it is put aside.
async fn put_aside(world: &World) {
    loop {
        let delivery = world.next().await;
        let worker = world.worker();
        tokio::select! {
            biased;
            settlement = worker.run(&delivery) => {
                assert!(matches!(settlement, Settlement::DeadLetter { .. }));
                return;
            }
            () = sleep(Duration::from_millis(1)) => {}
        }
        sleep(AFTER_LEASE).await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_kills_its_workers_is_put_aside_and_its_client_is_told() {
    let world = World::new(Fake::new(Effect::ReadOnly, |_, _| {
        std::future::pending().boxed()
    }));
    let id = world.submit_for(Duration::from_hours(1)).await;
    put_aside(&world).await;
    // Twenty deaths that were counted, and the first, which was too quick to be.
    assert_eq!(world.tool.runs(), 21);
    assert_eq!(world.problem(&id).await.code, "dead_lettered");
    assert_eq!(world.dead().await, 1);
    assert_eq!(world.told().await, [ToolCallFailed]);
}

#[tokio::test(start_paused = true)]
async fn a_dead_letter_that_is_redriven_runs_also_after_its_deadline() {
    for late in [false, true] {
        let mended = Arc::new(AtomicBool::new(false));
        let works = mended.clone();
        let world = World::new(Fake::new(Effect::ReadOnly, move |_, _| {
            if works.load(Ordering::SeqCst) {
                async { Ok(text("at last")) }.boxed()
            } else {
                std::future::pending().boxed()
            }
        }));
        let id = world.submit_for(Duration::from_hours(1)).await;
        put_aside(&world).await;
        assert_eq!(world.problem(&id).await.code, "dead_lettered");
        if late {
            sleep(Duration::from_hours(1)).await;
        }
        mended.store(true, Ordering::SeqCst);
        redrive(&world).await;
        world.drain().await;
        assert_eq!(world.text(&id).await, "at last", "late: {late}");
        let told = world.events().await;
        let ids: BTreeSet<_> = told.iter().map(|event| &event.id).collect();
        assert_eq!(ids.len(), told.len(), "no end is taken for the other");
        let kinds: Vec<_> = told.iter().map(|event| event.kind).collect();
        assert!(kinds.contains(&ToolCallCompleted), "{kinds:?}");
        assert!(kinds.contains(&ToolCallFailed), "{kinds:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_redriven_has_its_whole_time_again_and_no_more() {
    let world = World::new(Fake::new(Effect::ReadOnly, |_, _| {
        std::future::pending().boxed()
    }));
    let hour = Duration::from_hours(1);
    let large = "x".repeat(100_000);
    let id = world.submit_with(json!({ "a": large }), hour).await;
    for _ in 0..2 {
        put_aside(&world).await;
        sleep(hour).await;
        redrive(&world).await;
        let began = world.clock.now();
        let (worker, delivery) = (world.worker(), world.next().await);
        tokio::select! {
            _ = worker.run(&delivery) => panic!("it hangs"),
            () = sleep(Duration::from_secs(1)) => {}
        }
        let call = world.call(&id).await;
        assert_eq!(call.deadline, began + hour);
        assert_eq!(call.expires_at, call.deadline + hour);
        sleep(AFTER_LEASE).await;
    }
    // Later than the arguments were to be kept at first.
    world.swept().await;
    let call = world.call(&id).await;
    assert!(world.calls.load(&call.arguments).await.unwrap().is_some());
    sleep(hour).await;
    world.swept().await;
    assert_eq!(world.state(&id).await, CallState::Expired);
}

#[tokio::test(start_paused = true)]
async fn only_a_redrive_opens_what_was_given_up() {
    let world = World::new(Fake::new(Effect::ReadOnly, |nth, _| {
        async move {
            if nth == 0 {
                return Err(question());
            }
            std::future::pending().await
        }
        .boxed()
    }));
    let id = world.submit_for(Duration::from_hours(2)).await;
    world.step().await;
    world.answer(&id, "sure").await;
    put_aside(&world).await;
    let runs = world.tool.runs();
    // The settlement was lost: the same delivery comes once more.
    let letter = world
        .backend
        .dead_letters("tool-executor", 1)
        .await
        .unwrap()
        .remove(0);
    let (redriven, event) = (Arc::new(letter.event.unwrap()), letter.id);
    world
        .backend
        .redrive("tool-executor", &event)
        .await
        .unwrap();
    let mut late = world.next().await;
    assert_eq!(late.event, redriven);
    late.receives = 22;
    let settled = world.worker().run(&late).await;
    assert!(matches!(settled, Settlement::DeadLetter { reason } if reason.contains("given up")));
    assert_eq!(
        (world.tool.runs(), world.state(&id).await),
        (runs, CallState::Failed)
    );
    // An operator's does, and what its client has answered still holds.
    redrive(&world).await;
    let (worker, again) = (world.worker(), world.next().await);
    tokio::select! {
        _ = worker.run(&again) => panic!("it hangs"),
        () = sleep(Duration::from_secs(1)) => {}
    }
    assert_eq!(world.tool.runs(), runs + 1);
    let call = world.call(&id).await;
    assert!(call.input_responses.contains_key("sure"));
    assert_eq!(call.state, CallState::Running);
}

async fn redrive(world: &World) {
    let dead = world.backend.dead_letters("tool-executor", 1);
    let letter = dead.await.unwrap().remove(0).id;
    let redriven = world.backend.redrive("tool-executor", &letter);
    redriven.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn answers_given_one_by_one_make_the_tool_run_once() {
    let world = World::new(Fake::new(Effect::Once, |_, cx| {
        let all = cx.input("a").is_some() && cx.input("b").is_some();
        async move {
            if !all {
                return Err(questions(&["a", "b"]));
            }
            sleep(Duration::from_secs(1)).await;
            Ok(text("both"))
        }
        .boxed()
    }));
    let id = world.submit().await;
    world.drain().await;
    world.answer(&id, "a").await;
    sleep(Duration::from_millis(5)).await;
    world.answer(&id, "b").await;
    let (one, two) = (world.next().await, world.next().await);
    let (worker, other) = (world.worker(), world.worker());
    tokio::join!(worker.run(&one), other.run(&two));
    world.drain().await;
    assert_eq!(world.text(&id).await, "both");
    assert_eq!(world.tool.runs(), 2);
}

#[tokio::test(start_paused = true)]
async fn an_old_event_of_an_answered_call_does_not_act() {
    let world = World::new(Fake::new(Effect::Once, |_, cx| {
        let answered = cx.input("sure").is_some();
        async move {
            if answered {
                Ok(text("did it"))
            } else {
                Err(question())
            }
        }
        .boxed()
    }));
    let id = world.submit().await;
    let request = world.next().await;
    world.worker().run(&request).await;
    world.answer(&id, "sure").await;
    // Its settlement was lost on the way, so it comes once more.
    let mut again = request.clone();
    again.receives = 2;
    world.worker().run(&again).await;
    assert_eq!(world.state(&id).await, CallState::Accepted);
    assert_eq!(world.tool.runs(), 1);
    world.drain().await;
    assert_eq!(world.text(&id).await, "did it");
}

#[tokio::test(start_paused = true)]
async fn an_event_that_does_not_own_the_run_never_ends_it() {
    let world = World::new(
        Fake::new(Effect::Once, |_, cx| {
            let all = cx.input("a").is_some() && cx.input("b").is_some();
            async move {
                if !all {
                    return Err(questions(&["a", "b"]));
                }
                sleep(Duration::from_mins(3)).await;
                Ok(text("both"))
            }
            .boxed()
        })
        .spec(|spec| spec.timeout = Duration::from_mins(5)),
    );
    let id = world.submit().await;
    world.drain().await;
    world.answer(&id, "a").await;
    sleep(Duration::from_millis(5)).await;
    world.answer(&id, "b").await;
    let (partial, last) = (world.next().await, world.next().await);
    assert!(partial.event.time < last.event.time);
    let worker = world.worker();
    let meanwhile = async {
        for receives in [1, 2] {
            sleep(AFTER_LEASE).await;
            let mut partial = partial.clone();
            partial.receives = receives;
            world.worker().run(&partial).await;
        }
    };
    tokio::join!(worker.run(&last), meanwhile);
    assert_eq!(world.text(&id).await, "both");
    world.drain().await;
}

#[tokio::test(start_paused = true)]
async fn a_claim_that_is_being_committed_when_the_tool_ends_is_its_own() {
    let world = World::new(Fake::new(Effect::ReadOnly, |_, _| {
        async {
            sleep(Duration::from_millis(52)).await;
            Ok(text("done"))
        }
        .boxed()
    }));
    let id = world.submit().await;
    let (worker, delivery) = (world.late(Duration::from_millis(5)), world.next().await);
    assert_eq!(worker.run(&delivery).await, Settlement::Done);
    assert_eq!(world.text(&id).await, "done");
    assert_eq!(worker.commits(), 2);
}
