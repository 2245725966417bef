//! An upstream that fails is left alone, and its calls wait for it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures::FutureExt;
use tokio::time::sleep;
use waybill_calls::CallState;
use waybill_events::EventType::{CircuitClosed, CircuitOpened};
use waybill_messaging::Settlement;
use waybill_resilience::{Breakers, Settings, State};
use waybill_toolkit::{CallToolResult, ContentBlock, Effect, ToolError};

use super::world::{Fake, World, text, unavailable, unclear};

pub(crate) fn upstream(tool: Fake) -> Fake {
    tool.spec(|spec| spec.upstream = Some("shop".to_owned()))
}

/// Away until it is told to come back.
fn away() -> (Fake, Arc<AtomicBool>) {
    let back = Arc::new(AtomicBool::new(false));
    let is_back = back.clone();
    let tool = Fake::new(Effect::ReadOnly, move |_, _| {
        let told = if is_back.load(Ordering::SeqCst) {
            Ok(text("sold"))
        } else {
            Err(unavailable(None))
        };
        async move { told }.boxed()
    });
    (upstream(tool), back)
}

pub(crate) async fn state(world: &World) -> State {
    let ledger = Arc::new(world.backend.clone());
    let breakers = Breakers::new(ledger, world.clock.clone(), Settings::default());
    breakers.state("shop").await.unwrap()
}

async fn open(world: &World) {
    for _ in 0..5 {
        world.submit_for(Duration::from_secs(1)).await;
    }
    let worker = world.worker();
    for _ in 0..5 {
        worker.run(&world.next().await).await;
    }
    assert!(matches!(state(world).await, State::Open { .. }));
    assert_eq!(world.tool.runs(), 5);
}

#[tokio::test(start_paused = true)]
async fn calls_wait_out_a_long_outage() {
    let (tool, back) = away();
    let world = World::new(tool);
    open(&world).await;
    let mut waiting = Vec::new();
    for _ in 0..20 {
        waiting.push(world.submit_for(Duration::from_hours(3)).await);
    }
    let outage = async {
        sleep(Duration::from_hours(2)).await;
        for id in &waiting {
            assert_eq!(world.state(id).await, CallState::WaitingCapacity);
        }
        back.store(true, Ordering::SeqCst);
    };
    let working = async {
        let end = tokio::time::Instant::now() + Duration::from_mins(130);
        while tokio::time::Instant::now() < end {
            match world.receive().await {
                Some(delivery) => drop(world.worker().run(&delivery).await),
                None => sleep(Duration::from_secs(1)).await,
            }
        }
    };
    tokio::join!(outage, working);
    for id in &waiting {
        assert_eq!(world.text(id).await, "sold");
    }
    assert_eq!(world.dead().await, 0);
    let told = world.told().await;
    assert!(told.contains(&CircuitOpened) && told.contains(&CircuitClosed));
    assert_eq!(state(&world).await, State::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_cannot_wait_so_long_fails_at_once_and_says_why() {
    let (tool, _) = away();
    let world = World::new(tool);
    open(&world).await;
    world.drain().await;
    let State::Open { until, .. } = state(&world).await else {
        panic!("it is open");
    };
    let left = (until - world.clock.now()).to_std().unwrap();
    let id = world.submit_for(left).await;
    assert_eq!(world.step().await, Settlement::Done);
    let problem = world.problem(&id).await;
    assert_eq!(problem.code, "upstream_unavailable");
    let data = problem.data.unwrap();
    assert_eq!(data["breaker"], "shop");
    assert!(data["retryAt"].is_string());
    assert_eq!(world.tool.runs(), 5);
}

#[tokio::test(start_paused = true)]
async fn a_parked_call_can_be_cancelled() {
    let (tool, _) = away();
    let world = World::new(tool);
    open(&world).await;
    let id = world.submit().await;
    assert!(matches!(world.step().await, Settlement::Retry { .. }));
    world.cancel(&id).await;
    assert_eq!(world.state(&id).await, CallState::Cancelled);
    world.drain().await;
    assert_eq!(world.tool.runs(), 5);
}

#[tokio::test(start_paused = true)]
async fn errors_of_the_tools_own_open_nothing() {
    let says = [
        || Ok(CallToolResult::error(vec![ContentBlock::text("no")])),
        || Err(ToolError::Invalid("no".to_owned())),
        || {
            Err(ToolError::Protocol {
                code: -32_602,
                message: "no".to_owned(),
                data: None,
            })
        },
    ];
    for say in says {
        let world = World::new(upstream(Fake::new(Effect::ReadOnly, move |_, _| {
            async move { say() }.boxed()
        })));
        let worker = world.worker();
        for _ in 0..30 {
            world.submit().await;
            worker.run(&world.next().await).await;
        }
        assert_eq!(state(&world).await, State::Closed);
    }
}

#[tokio::test(start_paused = true)]
async fn an_upstream_that_hangs_opens_it_too() {
    let world = World::new(upstream(Fake::new(Effect::ReadOnly, |_, _| {
        std::future::pending().boxed()
    })));
    let worker = world.worker();
    for _ in 0..5 {
        world.submit().await;
        worker.run(&world.next().await).await;
    }
    assert!(matches!(state(&world).await, State::Open { .. }));
}

#[tokio::test(start_paused = true)]
async fn clients_in_a_hurry_close_it_for_nobody() {
    let world = World::new(upstream(Fake::new(Effect::ReadOnly, |nth, cx| {
        let deadline = cx.deadline();
        async move {
            if nth % 2 == 0 {
                return std::future::pending().await;
            }
            tokio::time::sleep_until(deadline).await;
            Err(unclear())
        }
        .boxed()
    })));
    let worker = world.worker();
    for _ in 0..20 {
        world.submit_for(Duration::from_secs(1)).await;
        worker.run(&world.next().await).await;
    }
    assert_eq!(world.tool.runs(), 20);
    assert_eq!(state(&world).await, State::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_healthy_upstream_costs_no_commit() {
    let world = World::new(upstream(Fake::new(Effect::ReadOnly, |_, _| {
        async { Ok(text("sold")) }.boxed()
    })));
    let worker = world.worker();
    for _ in 0..10 {
        world.submit().await;
        worker.run(&world.next().await).await;
    }
    assert_eq!(worker.commits(), 10);
}
