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
    BatchHandler, Batching, Context, Dispatched, Effects, Error, Events, Expect, Failure, Handler,
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

/// Neither an outage nor a role without its permissions says anything about the events.
#[tokio::test(start_paused = true)]
async fn a_port_that_fails_is_not_held_against_the_event() {
    let away = || Error::unavailable("the store is away", "no answer");
    let refuses = || Error::refused("the store refuses", "AccessDenied");
    let broken = || Error::broken("the record is garbled", "no JSON");
    let cases: [(fn() -> Error, bool); 3] = [(away, true), (refuses, true), (broken, false)];
    for (error, comes_again) in cases {
        let world = World::of_trial();
        let delivery = world.delivery().await;
        let fails = Trial::always(move |_| Err(error().into()));
        let ended = world.dispatch(&fails, &delivery).await;
        let again = matches!(ended.settlement, Settlement::Retry { .. });
        assert_eq!(again, comes_again, "{ended:?}");
        let counted = world.says(r#"waybill_port_failures_total{subscription="trial"} 1"#);
        assert_eq!(counted, comes_again, "{}", error());
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
#[derive(Default)]
struct Sorter {
    sorted: AtomicU32,
}

impl BatchHandler for Sorter {
    const SUBSCRIPTION: Subscription = Subscription {
        batching: Batching {
            max: 10,
            window: Duration::ZERO,
        },
        ..Subscription::new("sorter", Events::Only(&[INPUT]))
    };

    async fn handle(&self, events: &[&Event], _: &Context) -> Result<Effects, Failure> {
        self.sorted.fetch_add(1, Ordering::SeqCst);
        for event in events {
            match event.subject.as_str() {
                "poison" => return Err(Failure::reject("it is poison")),
                "panic" => panic!("a bug"),
                "away" => return Err(Error::unavailable("the store is away", "no answer").into()),
                _ => {}
            }
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

/// How each of these ends when it comes for the `receives`-th time, and how often the handler ran.
async fn sorted(subjects: [&str; 3], receives: u32) -> (Vec<Dispatched>, u32) {
    let world = World::new(&[Sorter::SUBSCRIPTION, WATCH]);
    let events = subjects.map(|subject| event(INPUT).subject(subject).build());
    world.publish(events.to_vec()).await;
    let mut deliveries = world.receive(Sorter::SUBSCRIPTION.name).await;
    for delivery in &mut deliveries {
        delivery.receives = receives;
    }
    let (sorter, shutdown) = (Sorter::default(), CancellationToken::new());
    let ended = dispatch_batch(&sorter, &world.bus, &deliveries, &shutdown).await;
    assert_eq!(ended.len(), 3);
    for (delivery, ended) in deliveries.iter().zip(&ended) {
        let written = world.record(&delivery.event.subject).await.is_some();
        assert_eq!(written, ended.settlement == Settlement::Done);
    }
    (ended, sorter.sorted.load(Ordering::SeqCst))
}

#[tokio::test(start_paused = true)]
async fn one_poisonous_event_does_not_hold_up_its_batch() {
    let (ended, runs) = sorted(["one", "poison", "two"], 1).await;
    assert_eq!(ended[0].settlement, Settlement::Done);
    assert_eq!(dead(&ended[1]), "it is poison");
    assert_eq!(ended[2].settlement, Settlement::Done);
    // The whole batch, then each alone.
    assert_eq!(runs, 4);
}

#[tokio::test(start_paused = true)]
async fn an_event_that_makes_a_batch_panic_is_found_tried_again_and_put_aside() {
    for receives in [1, 4, 5] {
        let (ended, runs) = sorted(["one", "panic", "two"], receives).await;
        assert_eq!(ended[0].settlement, Settlement::Done);
        assert_eq!(ended[2].settlement, Settlement::Done);
        match receives {
            5 => assert!(dead(&ended[1]).contains("a bug")),
            _ => assert!(matches!(ended[1].settlement, Settlement::Retry { .. })),
        }
        assert_eq!(runs, 4);
    }
}

#[tokio::test(start_paused = true)]
async fn a_batch_waits_for_a_port_as_a_whole_and_for_long() {
    for receives in [1, 20, 899] {
        let (ended, runs) = sorted(["one", "away", "two"], receives).await;
        for ended in ended {
            assert!(matches!(ended.settlement, Settlement::Retry { .. }));
        }
        assert_eq!(runs, 1);
    }
}
