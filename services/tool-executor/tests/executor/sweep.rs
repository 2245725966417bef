//! What passed its deadline while nobody worked on it.

use std::{sync::Arc, time::Duration};

use futures::FutureExt;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use waybill_calls::{CallFilter, CallState, Calls};
use waybill_events::{
    CallId,
    EventType::{ToolCallExpired, ToolCallFailed, ToolCallInputRequired},
};
use waybill_messaging::{Commit, Expect, IndexEntry, Ledger, Meter, Write, tick};
use waybill_tool_executor::DeadlineSweep;
use waybill_toolkit::Effect;

use super::world::{Fake, TRACE, Worker, World, question, tenant, text};

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
async fn one_tick_ends_all_that_is_overdue() {
    let world = World::new(asks());
    for _ in 0..400 {
        world.submit_for(Duration::from_secs(1)).await;
    }
    sleep(Duration::from_secs(2)).await;
    world.swept().await;
    assert_eq!(world.told().await.len(), 400);
    world.swept().await;
    assert_eq!(world.told().await.len(), 0);
    world.drain().await;
}

/// A tick by this process, over its ledger.
async fn swept_by(world: &World, worker: &Worker) {
    let (ledger, blobs) = (worker.bus.ledger.clone(), Arc::new(world.blobs.clone()));
    let calls = Calls::new(ledger.clone(), blobs.clone(), world.clock.clone());
    let sweep = DeadlineSweep::new(calls, ledger, blobs);
    let stop = CancellationToken::new();
    tick(&sweep, &worker.bus, &stop).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_tick_ends_in_time_and_the_next_one_goes_on() {
    let world = World::new(asks());
    for _ in 0..100 {
        world.submit_for(Duration::from_secs(1)).await;
    }
    sleep(Duration::from_secs(2)).await;
    let slow = world.late(Duration::from_secs(5));
    swept_by(&world, &slow).await;
    let first = world.told().await.len();
    assert!((1..100).contains(&first), "{first}");
    swept_by(&world, &slow).await;
    assert_eq!(first + world.told().await.len(), 100);
    world.drain().await;
}

/// Writes `body` over a call's record and moves it to the part of the index that `beside` is in.
async fn garble(world: &World, id: &CallId, beside: &IndexEntry, body: &'static str) {
    let stored = world.calls.get(&tenant(), id).await.unwrap();
    let mut write = Calls::write(&stored.call, Expect::Version(stored.version));
    if let Write::Put {
        body: kept,
        index: Some(index),
        ..
    } = &mut write
    {
        *kept = body.into();
        index.partition = beside.partition.clone();
    }
    let commit = Commit {
        writes: vec![write],
        ..Commit::default()
    };
    world.backend.commit(commit).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_read_keeps_no_other_call_from_ending() {
    let world = World::new(asks());
    let good = world.submit_for(Duration::from_secs(2)).await;
    let stored = world.calls.get(&tenant(), &good).await.unwrap();
    let put = Calls::write(&stored.call, Expect::Any);
    let Write::Put {
        index: Some(beside),
        ..
    } = put
    else {
        panic!("an open call has an index entry: {put:?}");
    };
    let newer = r#"{"state":"paused_by_a_newer_version"}"#;
    for nth in 0..100 {
        // Before the good one in the order of the sweep, and more than it reads at a time.
        let bad = world.submit_for(Duration::from_secs(1)).await;
        let body = if nth % 2 == 0 { "{" } else { newer };
        garble(&world, &bad, &beside, body).await;
    }
    sleep(Duration::from_secs(3)).await;
    let (worker, meter) = (world.worker(), Meter::default());
    let calls = world.calls.clone().metered(&meter);
    let blobs = Arc::new(world.blobs.clone());
    let sweep = DeadlineSweep::new(calls.clone(), worker.bus.ledger.clone(), blobs);
    let stop = CancellationToken::new();
    tick(&sweep, &worker.bus, &stop).await.unwrap();
    assert_eq!(world.state(&good).await, CallState::Expired);
    let counted = |n: u32| {
        let line = format!("waybill_calls_unreadable_total {n}");
        meter.open_metrics().unwrap().lines().any(|l| l == line)
    };
    assert!(counted(100), "{}", meter.open_metrics().unwrap());

    let filter = CallFilter {
        limit: 1_000,
        ..CallFilter::default()
    };
    let (listed, next) = calls.list(&tenant(), filter).await.unwrap();
    let listed: Vec<_> = listed.into_iter().map(|stored| stored.call.id).collect();
    assert_eq!((listed, next), (vec![good], None));
    assert!(counted(200));
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
