//! Leases that are kept while a driver works.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use tokio::time::{Instant, sleep};
use waybill_events::Event;
use waybill_messaging::{
    BatchHandler, Batching, Context, DeadLetter, DeadLetterId, Delivery, Depth, Driver, Effects,
    Error, Events, Failure, Handler, Limits, Outcome, Pushed, Queue, Receipt, Result, Settlement,
    Subscription, push,
};
use waybill_testkit::event;

use crate::world::{INPUT, World};

const LEASE: Duration = Duration::from_mins(1);
/// More than Lambda gives.
const AMPLE: Duration = Duration::from_mins(20);

/// Extends as slowly as it is told, and notes what it is asked, and after how many seconds.
struct Slow {
    inner: Arc<dyn Queue>,
    extend: Duration,
    /// The extension that finds its lease lost: the first, the second, ...
    loses: usize,
    began: Instant,
    notes: Mutex<Vec<(u64, &'static str)>>,
}

impl Slow {
    fn note(&self, what: &'static str) {
        let at = self.began.elapsed().as_secs();
        self.notes.lock().unwrap().push((at, what));
    }

    fn notes(&self) -> Vec<(u64, &'static str)> {
        self.notes.lock().unwrap().clone()
    }

    /// When leases were extended.
    fn beats(&self) -> Vec<u64> {
        let notes = self.notes().into_iter();
        let beats = notes.filter(|(_, what)| *what == "extend");
        beats.map(|(at, _)| at).collect()
    }
}

#[async_trait]
impl Queue for Slow {
    async fn receive(&self, name: &str, max: usize, wait: Duration) -> Result<Vec<Delivery>> {
        self.inner.receive(name, max, wait).await
    }

    async fn extend(&self, receipt: &Receipt) -> Result<()> {
        self.note("extend");
        let number = self.beats().len();
        sleep(self.extend).await;
        if number == self.loses {
            return Err(Error::LeaseLost);
        }
        self.inner.extend(receipt).await
    }

    async fn settle(&self, receipt: &Receipt, settlement: Settlement) -> Result<()> {
        self.note(match settlement {
            Settlement::Done => "done",
            Settlement::Retry { .. } => "retry",
            Settlement::DeadLetter { .. } => "dead letter",
        });
        self.inner.settle(receipt, settlement).await
    }

    async fn depth(&self, name: &str) -> Result<Depth> {
        self.inner.depth(name).await
    }

    async fn dead_letters(&self, name: &str, limit: usize) -> Result<Vec<DeadLetter>> {
        self.inner.dead_letters(name, limit).await
    }

    async fn redrive(&self, name: &str, id: &DeadLetterId) -> Result<()> {
        self.inner.redrive(name, id).await
    }

    async fn redrive_all(&self, name: &str) -> Result<u64> {
        self.inner.redrive_all(name).await
    }
}

/// Works for the seconds that an event's subject says, and then refuses or retries where it says so.
#[derive(Default)]
struct Sleeper(Mutex<Vec<(String, Duration)>>);

impl Sleeper {
    async fn sleep(&self, subject: &str) -> Result<Effects, Failure> {
        let began = Instant::now();
        let (seconds, then) = subject.split_once('-').unwrap_or((subject, ""));
        // In steps, as a tool reports its progress.
        for _ in 0..seconds.parse().unwrap() {
            sleep(Duration::from_secs(1)).await;
        }
        let done = (subject.to_owned(), began.elapsed());
        self.0.lock().unwrap().push(done);
        match then {
            "reject" => Err(Failure::reject("told to")),
            "retry" => Err(Failure::retry("told to")),
            _ => Ok(Effects::default()),
        }
    }

    fn slept(&self) -> Vec<(String, Duration)> {
        self.0.lock().unwrap().clone()
    }
}

impl Handler for Sleeper {
    const SUBSCRIPTION: Subscription = Subscription {
        timeout: Duration::from_hours(1),
        lease: LEASE,
        concurrency: 4,
        ..Subscription::new("sleeper", Events::Only(&[INPUT]))
    };

    async fn handle(&self, event: &Event, _: &Context) -> Result<Effects, Failure> {
        self.sleep(&event.subject).await
    }
}

/// The same for a batch: as long as its first event says.
#[derive(Default)]
struct Sleepers(Sleeper);

impl BatchHandler for Sleepers {
    const SUBSCRIPTION: Subscription = Subscription {
        batching: Batching {
            max: 20,
            window: Duration::ZERO,
        },
        ..<Sleeper as Handler>::SUBSCRIPTION
    };

    async fn handle(&self, events: &[&Event], _: &Context) -> Result<Effects, Failure> {
        self.0.sleep(&events[0].subject).await
    }
}

/// A world with these events published, over a queue that takes so long to extend.
async fn slow(subjects: &[&str], extend: Duration) -> (World, Slow) {
    let world = World::new(&[<Sleeper as Handler>::SUBSCRIPTION]);
    let events = subjects.iter();
    let events = events.map(|subject| event(INPUT).subject(*subject).build());
    world.publish(events.collect()).await;
    let queue = Slow {
        inner: world.store.clone(),
        extend,
        loses: 0,
        began: Instant::now(),
        notes: Mutex::default(),
    };
    (world, queue)
}

async fn received(world: &World) -> Vec<Delivery> {
    world.receive(<Sleeper as Handler>::SUBSCRIPTION.name).await
}

fn brought(batch: Vec<Delivery>) -> Vec<Pushed> {
    let batch = batch.into_iter();
    let batch = batch.map(|delivery| Pushed {
        delivery,
        group: None,
    });
    batch.collect()
}

async fn pushed(
    subjects: &[&str],
    extend: Duration,
    left: Duration,
) -> (Vec<Outcome>, Arc<Slow>, World) {
    let (mut world, queue) = slow(subjects, extend).await;
    let (batch, queue) = (received(&world).await, Arc::new(queue));
    world.bus.queue = queue.clone();
    let outcomes = push(&Sleeper::default(), &world.bus, brought(batch), left).await;
    (outcomes, queue, world)
}

fn driver(world: &mut World, queue: Arc<Slow>) -> Driver {
    world.bus.queue = queue;
    let limits = Limits {
        wait: Duration::from_secs(1),
        max_receive: 100,
    };
    Driver::new(world.bus.clone(), limits)
}

#[tokio::test(start_paused = true)]
async fn work_goes_on_while_a_lease_is_extended() {
    for extend in [Duration::from_secs(5), Duration::from_hours(1)] {
        let (mut world, queue) = slow(&["45"], extend).await;
        let (driver, sleeper) = (
            driver(&mut world, Arc::new(queue)),
            Arc::new(Sleeper::default()),
        );
        driver.start(sleeper.clone());
        sleep(Duration::from_secs(50)).await;
        let slept = [("45".to_owned(), Duration::from_secs(45))];
        assert_eq!(sleeper.slept(), slept, "{extend:?}");
        assert!(driver.drain(LEASE).await);
    }
}

#[tokio::test(start_paused = true)]
async fn the_leases_of_a_batch_are_extended_at_once() {
    let (mut world, queue) = slow(&["50"; 20], Duration::from_secs(3)).await;
    let queue = Arc::new(queue);
    let driver = driver(&mut world, queue.clone());
    driver.start_batch(Arc::new(Sleepers::default()));
    sleep(Duration::from_secs(55)).await;
    assert_eq!(queue.beats(), [[20; 20], [40; 20]].concat());
    assert!(driver.drain(LEASE).await);
}

#[tokio::test(start_paused = true)]
async fn a_batch_goes_on_with_the_leases_that_it_has() {
    let (mut world, mut queue) = slow(&["50"; 3], Duration::ZERO).await;
    queue.loses = 2;
    let (queue, sleepers) = (Arc::new(queue), Arc::new(Sleepers::default()));
    let driver = driver(&mut world, queue.clone());
    driver.start_batch(sleepers.clone());
    sleep(Duration::from_secs(55)).await;
    assert_eq!(sleepers.0.slept().len(), 1);
    assert_eq!(queue.beats(), [20, 20, 20, 40, 40]);
    assert!(driver.drain(LEASE).await);
}

#[tokio::test(start_paused = true)]
async fn what_has_lost_its_lease_is_dropped_alone() {
    let (mut world, mut queue) = slow(&["30", "31", "32"], Duration::ZERO).await;
    queue.loses = 2;
    let batch = received(&world).await;
    world.bus.queue = Arc::new(queue);
    let sleeper = Sleeper::default();
    let outcomes = push(&sleeper, &world.bus, brought(batch), AMPLE).await;
    let (ended, again) = (Outcome::Ended, Outcome::ComesAgain);
    assert_eq!(outcomes, [ended, again, ended]);
    let slept: Vec<_> = sleeper.slept().into_iter().map(|(what, _)| what).collect();
    assert_eq!(slept, ["30", "32"]);
}

/// From the beginning, because the host hides them for longer.
#[tokio::test(start_paused = true)]
async fn pushed_leases_are_extended_where_there_is_more_time_than_a_lease() {
    let (outcomes, queue, _) = pushed(&["50"], Duration::ZERO, AMPLE).await;
    assert_eq!(outcomes, [Outcome::Ended]);
    assert_eq!(queue.beats(), [0, 20, 40]);
    let (outcomes, queue, _) = pushed(&["50"], Duration::ZERO, LEASE).await;
    assert_eq!(outcomes, [Outcome::Ended]);
    assert_eq!(queue.beats(), [0; 0], "each costs a request");
}

/// With room for four, the last waits for 50 s: it is held from the beginning too.
#[tokio::test(start_paused = true)]
async fn what_waits_for_its_turn_is_held() {
    let subjects = ["50", "50", "50", "50", "1"];
    let (outcomes, queue, _) = pushed(&subjects, Duration::ZERO, AMPLE).await;
    assert_eq!(outcomes, [Outcome::Ended; 5]);
    assert_eq!(queue.beats(), [[0; 5], [20; 5], [40; 5]].concat());
}

/// The host deletes it with the rest.
#[tokio::test(start_paused = true)]
async fn a_dead_letter_stays_hidden_until_its_batch_ends() {
    let (outcomes, queue, world) = pushed(&["1-reject", "30"], Duration::ZERO, AMPLE).await;
    assert_eq!(outcomes, [Outcome::Ended; 2]);
    assert_eq!(queue.beats(), [0, 0, 20, 20]);
    let buried = queue
        .notes()
        .into_iter()
        .find(|(_, what)| what.starts_with("dead"));
    assert_eq!(buried, Some((30, "dead letter")));
    let depth = world.store.depth("sleeper").await.unwrap();
    assert_eq!((depth.dead, depth.leased), (1, 0));
}

/// SQS would do them in either order.
#[tokio::test(start_paused = true)]
async fn a_retry_is_not_overtaken_by_an_extension() {
    let extend = Duration::from_secs(3);
    let (outcomes, queue, _) = pushed(&["1-retry", "30"], extend, AMPLE).await;
    assert_eq!(outcomes, [Outcome::ComesAgain, Outcome::Ended]);
    let notes = queue.notes();
    assert_eq!(notes[..3], [(0, "extend"), (0, "extend"), (3, "retry")]);
    assert_eq!(notes[3..], [(20, "extend")], "it is no longer held");
}
