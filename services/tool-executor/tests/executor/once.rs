//! Tools that must not act twice.

use std::time::Duration;

use futures::FutureExt;
use tokio::time::sleep;
use waybill_calls::CallState;
use waybill_events::EventType::{ToolCallCompleted, ToolCallFailed};
use waybill_messaging::Settlement;
use waybill_toolkit::{Effect, Reconciled, ToolError};

use super::world::{AFTER_LEASE, Fake, World, text, unavailable, unclear};

fn phone(told: impl Fn(u32) -> Result<&'static str, ToolError> + Send + Sync + 'static) -> Fake {
    Fake::new(Effect::Once, move |nth, _| {
        let told = told(nth).map(text);
        async move { told }.boxed()
    })
}

fn rings_for_ever() -> Fake {
    Fake::new(Effect::Once, |_, _| std::future::pending().boxed())
}

#[tokio::test(start_paused = true)]
async fn the_intent_is_durable_before_it_acts() {
    let world = World::new(phone(|_| Ok("rang")));
    let id = world.submit().await;
    let (worker, delivery) = (world.worker(), world.next().await);
    worker.run(&delivery).await;
    assert_eq!(worker.commits(), 2);
    let call = world.call(&id).await;
    assert_eq!(call.state, CallState::Completed);
    assert_eq!(call.intent.unwrap().attempt, 1);
    assert_eq!(world.told().await, [ToolCallCompleted]);
}

#[tokio::test(start_paused = true)]
async fn what_it_answered_outlives_a_ledger_that_is_away_for_a_moment() {
    for after in [false, true] {
        let world = World::new(phone(|_| Ok("rang")));
        let id = world.submit().await;
        let (worker, delivery) = (world.cut_off(1..7, after), world.next().await);
        assert_eq!(worker.run(&delivery).await, Settlement::Done);
        assert_eq!(world.text(&id).await, "rang", "after: {after}");
        assert_eq!(world.tool.runs(), 1);
        assert_eq!(world.told().await, [ToolCallCompleted]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_ledger_that_stays_away_is_not_waited_for_for_ever() {
    let world = World::new(phone(|_| Ok("rang")));
    let id = world.submit().await;
    let (worker, delivery) = (world.cut_off(1..1_000, false), world.next().await);
    let settlement = worker.run(&delivery).await;
    assert!(matches!(settlement, Settlement::Retry { .. }));
    assert_eq!(worker.commits(), 10);
    world.drain().await;
    assert_eq!(world.problem(&id).await.code, "outcome_unknown");
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_died_while_it_acted_leaves_a_question_not_a_second_call() {
    let world = World::new(rings_for_ever());
    let id = world.submit().await;
    let (worker, delivery) = (world.worker(), world.next().await);
    tokio::select! {
        _ = worker.run(&delivery) => panic!("it rings for ever"),
        () = sleep(Duration::from_secs(1)) => {}
    }
    sleep(AFTER_LEASE).await;
    world.drain().await;
    let problem = world.problem(&id).await;
    assert_eq!(problem.code, "outcome_unknown");
    assert!(
        problem.message.contains("Check with the provider"),
        "{}",
        problem.message
    );
    assert!(
        problem.message.contains(id.as_str()),
        "names the idempotency key"
    );
    assert_eq!(world.tool.runs(), 1);
    assert_eq!(world.told().await, [ToolCallFailed]);
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_knows_what_happened_is_believed() {
    let world =
        World::new(phone(|_| Err(unclear())).reconcile(|| Ok(Reconciled::Acted(text("it rang")))));
    let id = world.submit().await;
    assert_eq!(world.step().await, Settlement::Done);
    assert_eq!(world.text(&id).await, "it rang");
    assert_eq!(world.tool.runs(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_certainly_did_not_happen_is_done_again() {
    let dies_first = Fake::new(Effect::Once, |nth, _| match nth {
        0 => std::future::pending().boxed(),
        _ => async { Ok(text("rang")) }.boxed(),
    });
    let world = World::new(dies_first.reconcile(|| Ok(Reconciled::DidNotAct)));
    let id = world.submit().await;
    let (worker, delivery) = (world.worker(), world.next().await);
    tokio::select! {
        _ = worker.run(&delivery) => panic!("it rings for ever"),
        () = sleep(Duration::from_secs(1)) => {}
    }
    sleep(AFTER_LEASE).await;
    world.drain().await;
    assert_eq!(world.text(&id).await, "rang");
    assert_eq!(world.tool.runs(), 2);
    assert_eq!(world.told().await, [ToolCallCompleted]);
}

#[tokio::test(start_paused = true)]
async fn what_never_happens_is_given_up() {
    let never = phone(|_| Err(unclear())).reconcile(|| Ok(Reconciled::DidNotAct));
    let world = World::new(never);
    let id = world.submit().await;
    world.drain().await;
    assert_eq!(world.problem(&id).await.code, "upstream_unavailable");
    assert_eq!(world.tool.runs(), 5);
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_is_away_is_asked_again_and_never_acted_upon() {
    let away = phone(|_| Err(unclear())).reconcile(|| Err(unavailable(None)));
    let world = World::new(away);
    let id = world.submit().await;
    world.drain().await;
    assert_eq!(world.problem(&id).await.code, "outcome_unknown");
    assert_eq!(world.tool.runs(), 1);
    let reconciled = world
        .tool
        .reconciled
        .load(std::sync::atomic::Ordering::SeqCst);
    assert_eq!(reconciled, 5);
}

#[tokio::test(start_paused = true)]
async fn one_that_certainly_did_not_act_may_try_again() {
    let world = World::new(phone(|nth| match nth {
        0 => Err(unavailable(None)),
        _ => Ok("rang"),
    }));
    let id = world.submit().await;
    assert!(matches!(world.step().await, Settlement::Retry { .. }));
    let call = world.call(&id).await;
    assert_eq!(
        (call.intent, call.state),
        (None, CallState::WaitingCapacity)
    );
    world.drain().await;
    assert_eq!(world.text(&id).await, "rang");
    assert_eq!(world.tool.runs(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_panic_is_not_tried_again() {
    let world = World::new(Fake::new(Effect::Once, |_, _| async { panic!() }.boxed()));
    let id = world.submit().await;
    world.drain().await;
    let problem = world.problem(&id).await;
    assert_eq!(problem.code, "internal");
    assert!(problem.message.contains("may have acted"));
    assert_eq!(world.tool.runs(), 1);
}

#[tokio::test(start_paused = true)]
async fn whatever_cuts_it_off_leaves_the_outcome_unknown() {
    for cut in ["timeout", "deadline", "cancel"] {
        let timeout = if cut == "timeout" { 5 } else { 60 };
        let world = World::new(rings_for_ever().spec(|s| s.timeout = Duration::from_secs(timeout)));
        let id = world.submit_for(Duration::from_secs(20)).await;
        let cancel = async {
            sleep(Duration::from_secs(2)).await;
            if cut == "cancel" {
                world.cancel(&id).await;
            }
        };
        tokio::join!(world.step(), cancel);
        assert_eq!(world.problem(&id).await.code, "outcome_unknown", "{cut}");
        assert_eq!(world.state(&id).await, CallState::Failed, "{cut}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_cancellation_does_not_hide_that_it_may_have_acted() {
    let world = World::new(rings_for_ever());
    let id = world.submit().await;
    let (worker, delivery) = (world.worker(), world.next().await);
    tokio::select! {
        _ = worker.run(&delivery) => panic!("it rings for ever"),
        () = sleep(Duration::from_secs(1)) => {}
    }
    world.cancel(&id).await;
    sleep(AFTER_LEASE).await;
    world.drain().await;
    assert_eq!(world.problem(&id).await.code, "outcome_unknown");
}

#[tokio::test(start_paused = true)]
async fn a_tool_that_became_once_is_treated_as_once() {
    let mut lenient = phone(|_| Err(unclear()));
    lenient.spec.effect = Effect::ReadOnly;
    let world = World::new(lenient);
    let id = world.submit().await;
    let strict = World::new(phone(|_| Err(unclear())));
    world.registry.set(&OnlyOnce(strict.tool.clone())).unwrap();
    world.drain().await;
    assert_eq!(world.problem(&id).await.code, "outcome_unknown");
    assert_eq!(strict.tool.runs(), 1);
}

struct OnlyOnce(std::sync::Arc<Fake>);

impl waybill_toolkit::Toolkit for OnlyOnce {
    fn name(&self) -> &'static str {
        "kit"
    }
    fn tools(&self) -> Vec<std::sync::Arc<dyn waybill_toolkit::Tool>> {
        vec![self.0.clone()]
    }
}

#[tokio::test(start_paused = true)]
async fn while_its_upstream_is_down_a_cancellation_hides_nothing_either() {
    let world = World::new(rings_for_ever().spec(|spec| spec.name = "shop__buy".to_owned()));
    let id = world.submit().await;
    let (worker, delivery) = (world.worker(), world.next().await);
    tokio::select! {
        _ = worker.run(&delivery) => panic!("it rings for ever"),
        () = sleep(Duration::from_secs(1)) => {}
    }
    world.offer(false);
    sleep(AFTER_LEASE).await;
    assert!(matches!(world.step().await, Settlement::Retry { .. }));
    world.cancel(&id).await;
    assert_eq!(world.state(&id).await, CallState::Running);
    world.offer(true);
    world.drain().await;
    assert_eq!(world.problem(&id).await.code, "outcome_unknown");
    assert_eq!(world.tool.runs(), 1);
}
