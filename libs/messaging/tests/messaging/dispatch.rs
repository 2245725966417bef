//! One delivery in, one commit out.

use std::{
    collections::BTreeSet,
    future::pending,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use futures::FutureExt;
use tokio_util::sync::CancellationToken;
use waybill_events::Event;
use waybill_messaging::{
    BatchHandler, Batching, Context, Dispatched, Effects, Events, Expect, Failure, Handler,
    Settlement, Subscription, dispatch_batch, tick,
};
use waybill_testkit::event;

use crate::world::{INPUT, Trial, WATCH, World, draft, put, writes};

fn emits_and_writes(event: &Event) -> Effects {
    Effects {
        writes: vec![put("a", Expect::Absent)],
        events: vec![draft(event), draft(event)],
        rebase: None,
    }
}

fn dead(dispatched: &Dispatched) -> &str {
    match &dispatched.settlement {
        Settlement::DeadLetter { reason } => reason,
        other => panic!("no dead letter: {other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn effects_and_mark_are_one_step_and_a_redelivery_changes_nothing() {
    let world = World::of_trial();
    let trial = Trial::always(|event| Ok(emits_and_writes(event)));
    let delivery = world.delivery().await;
    for _ in 0..2 {
        let done = world.dispatch(&trial, &delivery).await;
        assert_eq!(done.settlement, Settlement::Done);
    }
    assert_eq!(world.record("a").await.unwrap().version, 1);
    let emitted = world.emitted().await;
    assert_eq!(emitted.len(), 2);
    assert_ne!(emitted[0].id, emitted[1].id);
    for told in emitted {
        assert_eq!(told.causation.as_ref(), Some(&delivery.event.id));
        assert_eq!(told.correlation, delivery.event.correlation);
    }
}

#[tokio::test(start_paused = true)]
async fn the_same_cause_makes_events_of_the_same_ids() {
    let input = event(INPUT).build();
    let mut ids = BTreeSet::new();
    for _ in 0..2 {
        let world = World::of_trial();
        world.publish(vec![input.clone()]).await;
        let delivery = world.receive(Trial::SUBSCRIPTION.name).await.remove(0);
        world
            .dispatch(
                &Trial::always(|event| Ok(emits_and_writes(event))),
                &delivery,
            )
            .await;
        ids.extend(world.emitted().await.into_iter().map(|event| event.id));
    }
    assert_eq!(ids.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_conflict_runs_the_handler_again_a_bounded_number_of_times() {
    let world = World::of_trial();
    let delivery = world.delivery().await;
    let once = Trial::new(|before, _| {
        let expect = if before == 0 {
            Expect::Version(7)
        } else {
            Expect::Absent
        };
        async move { Ok(writes(put("a", expect))) }.boxed()
    });
    assert_eq!(
        world.dispatch(&once, &delivery).await.settlement,
        Settlement::Done
    );
    assert_eq!(once.runs(), 2);

    let for_ever = Trial::always(|_| Ok(writes(put("b", Expect::Version(7)))));
    let delivery = world.delivery().await;
    let ended = world.dispatch(&for_ever, &delivery).await;
    assert!(
        matches!(ended.settlement, Settlement::Retry { .. }),
        "{ended:?}"
    );
    assert_eq!(for_ever.runs(), 9);
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_has_acted_is_not_run_again() {
    let world = World::of_trial();
    let delivery = world.delivery().await;
    let acted = Trial::always(|_| {
        Ok(Effects {
            rebase: Some(Box::new(|| {
                async { Ok(writes(put("a", Expect::Absent))) }.boxed()
            })),
            ..writes(put("a", Expect::Version(7)))
        })
    });
    assert_eq!(
        world.dispatch(&acted, &delivery).await.settlement,
        Settlement::Done
    );
    assert_eq!(acted.runs(), 1);
    assert!(world.record("a").await.is_some());
}

#[tokio::test(start_paused = true)]
async fn hanging_and_panicking_are_tried_again_and_then_put_aside() {
    let hangs = || Trial::new(|_, _| pending().boxed());
    let panics = || Trial::new(|_, _| async { panic!("a bug") }.boxed());
    for (make, said) in [
        (&hangs as &dyn Fn() -> Trial, "over 1 s"),
        (&panics, "a bug"),
    ] {
        let world = World::of_trial();
        let mut delivery = world.delivery().await;
        let trial = make();
        for receives in 1..=3 {
            delivery.receives = receives;
            let ended = world.dispatch(&trial, &delivery).await;
            match receives {
                3 => assert!(dead(&ended).contains(said), "{ended:?}"),
                _ => assert!(matches!(ended.settlement, Settlement::Retry { .. })),
            }
        }
        // A worker that died each time never came to put it aside.
        delivery.receives = 4;
        let ended = world.dispatch(&trial, &delivery).await;
        assert!(dead(&ended).contains("received 3 times"), "{ended:?}");
        assert_eq!(trial.runs(), 3);
    }
}

#[tokio::test(start_paused = true)]
async fn a_rejected_event_is_abandoned_and_put_aside() {
    let rejects = || Trial::always(|_| Err(Failure::reject("it makes no sense")));
    let world = World::of_trial();
    let delivery = world.delivery().await;
    let trial = rejects().abandon(|| Ok(writes(put("abandoned", Expect::Absent))));
    let ended = world.dispatch(&trial, &delivery).await;
    assert_eq!(dead(&ended), "it makes no sense");
    assert!(!ended.settled, "the delivery must be there to be put aside");
    assert!(world.record("abandoned").await.is_some());

    let cannot = rejects().abandon(|| Err(Failure::retry("the store is away")));
    let delivery = world.delivery().await;
    let ended = world.dispatch(&cannot, &delivery).await;
    assert!(
        matches!(ended.settlement, Settlement::Retry { .. }),
        "nobody must wait for ever: {ended:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_tick_commits_and_leaves_no_mark() {
    let world = World::of_trial();
    let trial = Trial::always(|_| Ok(writes(put("a", Expect::Any))));
    for version in 1..=2 {
        let ticked = tick(&trial, &world.bus, &CancellationToken::new()).await;
        ticked.unwrap();
        assert_eq!(world.record("a").await.unwrap().version, version);
    }
}

/// Writes a record of each event's subject, and refuses a batch with a poisonous one.
struct Sorter;

static SORTED: AtomicU32 = AtomicU32::new(0);

impl BatchHandler for Sorter {
    const SUBSCRIPTION: Subscription = Subscription {
        batching: Batching {
            max: 10,
            window: Duration::ZERO,
        },
        ..Subscription::new("sorter", Events::Only(&[INPUT]))
    };

    async fn handle(&self, events: &[&Event], _: &Context) -> Result<Effects, Failure> {
        SORTED.fetch_add(1, Ordering::SeqCst);
        if events.iter().any(|event| event.subject == "poison") {
            return Err(Failure::reject("it is poison"));
        }
        let writes = events
            .iter()
            .map(|event| put(&event.subject, Expect::Absent));
        Ok(Effects {
            writes: writes.collect(),
            ..Effects::default()
        })
    }
}

#[tokio::test(start_paused = true)]
async fn one_poisonous_event_does_not_hold_up_its_batch() {
    let world = World::new(&[Sorter::SUBSCRIPTION, WATCH]);
    let subjects = ["one", "poison", "two"];
    let events = subjects.map(|subject| event(INPUT).subject(subject).build());
    world.publish(events.to_vec()).await;
    let deliveries = world.receive(Sorter::SUBSCRIPTION.name).await;
    let ended = dispatch_batch(&Sorter, &world.bus, &deliveries, &CancellationToken::new()).await;
    assert_eq!(ended.len(), 3);
    for (delivery, ended) in deliveries.iter().zip(&ended) {
        if delivery.event.subject == "poison" {
            assert_eq!(dead(ended), "it is poison");
        } else {
            assert_eq!(ended.settlement, Settlement::Done);
        }
    }
    assert!(world.record("one").await.is_some());
    assert!(world.record("two").await.is_some());
    // The whole batch, then each alone.
    assert_eq!(SORTED.load(Ordering::SeqCst), 4);
}
