//! The driver for hosts that bring deliveries and a deadline.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::time::{Instant, sleep};
use waybill_events::Event;
use waybill_messaging::{
    BatchHandler, Batching, Context, Depth, Effects, Events, Failure, Handler, Outcome,
    Outcome::{ComesAgain, Ended},
    Pushed, Queue as _, Subscription, push, push_batch,
};
use waybill_testkit::event;

use crate::world::{INPUT, World};

const MINUTE: Duration = Duration::from_mins(1);

/// Does what an event's subject says, and notes what it did.
#[derive(Default)]
struct Teller {
    notes: Mutex<Vec<String>>,
}

impl Teller {
    fn note(&self, what: &str, event: &Event) {
        let mut notes = self.notes.lock().unwrap();
        notes.push(format!("{what} {}", event.subject));
    }

    fn notes(&self) -> Vec<String> {
        self.notes.lock().unwrap().clone()
    }
}

impl Handler for Teller {
    const SUBSCRIPTION: Subscription = Subscription {
        timeout: Duration::from_hours(1),
        concurrency: 4,
        ..Subscription::new("teller", Events::Only(&[INPUT]))
    };

    async fn handle(&self, event: &Event, cx: &Context) -> Result<Effects, Failure> {
        self.note("began", event);
        match event.subject.split('-').next().unwrap() {
            "retry" => {
                return Err(Failure::Retry {
                    after: Some(MINUTE),
                    source: "told to".into(),
                });
            }
            "reject" => return Err(Failure::reject("told to")),
            "panic" => panic!("told to"),
            "sleep" => sleep(Duration::from_millis(100)).await,
            "obey" => {
                cx.shutdown.cancelled().await;
                self.note("let go", event);
                return Err(Failure::retry("the process ends"));
            }
            "ignore" => std::future::pending().await,
            _ => {}
        }
        self.note("did", event);
        Ok(Effects::default())
    }
}

/// Published and received, in this order. The group is after an `@`.
async fn batch(world: &World, name: &'static str, subjects: &[&str]) -> Vec<Pushed> {
    let mut batch = Vec::new();
    for subject in subjects {
        let (subject, group) = subject.split_once('@').unwrap_or((subject, ""));
        let event = event(INPUT).subject(subject).build();
        world.publish(vec![event]).await;
        batch.push(Pushed {
            delivery: world.receive(name).await.remove(0),
            group: Some(group).filter(|group| !group.is_empty()).map(Arc::from),
        });
    }
    batch
}

async fn pushed(teller: &Teller, subjects: &[&str], left: Duration) -> (Vec<Outcome>, Depth) {
    let name = Teller::SUBSCRIPTION.name;
    let world = World::new(&[Teller::SUBSCRIPTION]);
    let batch = batch(&world, name, subjects).await;
    let outcomes = push(teller, &world.bus, batch, left).await;
    (outcomes, world.store.depth(name).await.unwrap())
}

#[tokio::test(start_paused = true)]
async fn each_delivery_has_an_outcome_of_its_own_in_its_place() {
    let subjects = ["do", "retry", "reject", "panic", "do-too"];
    let (outcomes, depth) = pushed(&Teller::default(), &subjects, MINUTE).await;
    assert_eq!(outcomes, [Ended, ComesAgain, Ended, ComesAgain, Ended]);
    assert_eq!((depth.delayed, depth.dead, depth.leased), (2, 1, 0));
}

#[tokio::test(start_paused = true)]
async fn as_many_run_at_once_as_the_subscription_says() {
    let began = Instant::now();
    let (outcomes, _) = pushed(&Teller::default(), &["sleep"; 8], MINUTE).await;
    assert_eq!(outcomes, [Ended; 8]);
    assert_eq!(began.elapsed().as_millis(), 200);
}

#[tokio::test(start_paused = true)]
async fn before_the_time_is_up_handlers_let_go_and_the_rest_is_dropped() {
    let (teller, began) = (Teller::default(), Instant::now());
    let subjects = ["obey", "ignore", "do"];
    let (outcomes, depth) = pushed(&teller, &subjects, MINUTE).await;
    assert_eq!(outcomes, [ComesAgain, ComesAgain, Ended]);
    assert!(began.elapsed() < MINUTE, "{:?}", began.elapsed());
    assert!(teller.notes().contains(&"let go obey".to_owned()));
    assert_eq!((depth.leased, depth.ready + depth.delayed), (0, 2));
}

/// What has not begun when handlers let go does not begin.
#[tokio::test(start_paused = true)]
async fn what_waits_for_a_place_when_the_time_is_up_comes_again() {
    let teller = Teller::default();
    let subjects = ["obey-1", "obey-2", "obey-3", "obey-4", "do"];
    let (outcomes, depth) = pushed(&teller, &subjects, MINUTE).await;
    assert_eq!(outcomes, [ComesAgain; 5]);
    assert!(!teller.notes().contains(&"began do".to_owned()));
    assert_eq!(depth.leased, 0);
}

#[tokio::test(start_paused = true)]
async fn a_group_is_in_order_and_stops_at_the_first_that_comes_again() {
    let teller = Teller::default();
    let subjects = [
        "sleep-1@a",
        "reject-2@a",
        "do-3@a",
        "retry-4@a",
        "do-5@a",
        "do-6@b",
        "do-7",
    ];
    let (outcomes, depth) = pushed(&teller, &subjects, MINUTE * 2).await;
    let (again, ended) = (ComesAgain, Ended);
    assert_eq!(outcomes, [ended, ended, ended, again, again, ended, ended]);
    let notes = teller.notes();
    let of_a: Vec<_> = notes
        .iter()
        .filter(|note| !note.ends_with(['6', '7']))
        .collect();
    let order = [
        "began sleep-1",
        "did sleep-1",
        "began reject-2",
        "began do-3",
        "did do-3",
        "began retry-4",
    ];
    assert_eq!(of_a, order.each_ref());
    // Those that wait for it come when it does.
    assert_eq!((depth.delayed, depth.ready, depth.leased), (2, 0, 0));
}

/// Notes the size of each batch.
#[derive(Default)]
struct Gatherer(Mutex<Vec<usize>>);

impl BatchHandler for Gatherer {
    const SUBSCRIPTION: Subscription = Subscription {
        batching: Batching {
            max: 3,
            window: Duration::ZERO,
        },
        ..Subscription::new("gatherer", Events::Only(&[INPUT]))
    };

    async fn handle(&self, events: &[&Event], _: &Context) -> Result<Effects, Failure> {
        self.0.lock().unwrap().push(events.len());
        if events
            .iter()
            .any(|event| event.subject.starts_with("retry"))
        {
            return Err(Failure::retry("told to"));
        }
        Ok(Effects::default())
    }
}

#[tokio::test(start_paused = true)]
async fn a_batch_handler_gets_batches_and_groups_one_by_one() {
    let name = Gatherer::SUBSCRIPTION.name;
    for (subjects, sizes, outcomes) in [
        (["do"; 5], vec![3, 2], [Ended; 5]),
        (["do@a"; 5], vec![1; 5], [Ended; 5]),
        (
            ["do@a", "retry@a", "do@a", "do@a", "do@a"],
            vec![1; 2],
            [Ended, ComesAgain, ComesAgain, ComesAgain, ComesAgain],
        ),
    ] {
        let world = World::new(&[Gatherer::SUBSCRIPTION]);
        let gatherer = Gatherer::default();
        let batch = batch(&world, name, &subjects).await;
        let pushed = push_batch(&gatherer, &world.bus, batch, MINUTE).await;
        assert_eq!(pushed, outcomes, "{subjects:?}");
        assert_eq!(*gatherer.0.lock().unwrap(), sizes, "{subjects:?}");
    }
}
