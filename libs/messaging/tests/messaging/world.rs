//! A store, a queue, and a handler that does what a test tells it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use chrono::DateTime;
use futures::future::BoxFuture;
use tokio_util::sync::CancellationToken;
use waybill_backend_sqlite::SqliteBackend;
use waybill_events::{CircuitOpened, Draft, Event, EventData as _, EventType};
use waybill_messaging::{
    Bus, Clock, Commit, Context, Delivery, Dispatched, Effects, Events, Expect, Failure, Handler,
    Key, Meter, Queue as _, Record, Settlement, Subscription, Write, dispatch,
};
use waybill_testkit::event;

/// What the handlers of these tests consume.
pub(crate) const INPUT: EventType = EventType::ToolCallRequested;
/// Sees what handlers emit.
pub(crate) const WATCH: Subscription =
    Subscription::new("watch", Events::Only(&[EventType::CircuitOpened]));

type Act = Box<dyn Fn(u32, &Event) -> BoxFuture<'static, Result<Effects, Failure>> + Send + Sync>;

/// Runs `act` with the number of runs before it.
pub(crate) struct Trial {
    act: Act,
    abandon: fn() -> Result<Effects, Failure>,
    runs: AtomicU32,
}

impl Trial {
    pub(crate) fn new(
        act: impl Fn(u32, &Event) -> BoxFuture<'static, Result<Effects, Failure>>
        + Send
        + Sync
        + 'static,
    ) -> Self {
        Self {
            act: Box::new(act),
            abandon: || Ok(Effects::default()),
            runs: AtomicU32::new(0),
        }
    }

    /// The same answer at once, every time.
    pub(crate) fn always(
        answer: impl Fn(&Event) -> Result<Effects, Failure> + Send + Sync + 'static,
    ) -> Self {
        Self::new(move |_, event| {
            let answer = answer(event);
            Box::pin(async move { answer })
        })
    }

    pub(crate) fn abandon(mut self, abandon: fn() -> Result<Effects, Failure>) -> Self {
        self.abandon = abandon;
        self
    }

    pub(crate) fn runs(&self) -> u32 {
        self.runs.load(Ordering::SeqCst)
    }
}

impl Handler for Trial {
    const SUBSCRIPTION: Subscription = Subscription {
        timeout: Duration::from_secs(1),
        max_receives: 3,
        ..Subscription::new("trial", Events::Only(&[INPUT]))
    };

    async fn handle(&self, event: &Event, _: &Context) -> Result<Effects, Failure> {
        let before = self.runs.fetch_add(1, Ordering::SeqCst);
        (self.act)(before, event).await
    }

    async fn abandon(&self, _: &Event, _: &str, _: &Context) -> Result<Effects, Failure> {
        (self.abandon)()
    }
}

pub(crate) struct World {
    pub(crate) bus: Bus,
    pub(crate) store: Arc<SqliteBackend>,
}

impl World {
    pub(crate) fn new(topology: &[Subscription]) -> Self {
        let origin = DateTime::from_timestamp(1_780_000_000, 0).unwrap();
        let clock = Clock::simulated(origin);
        let store = Arc::new(SqliteBackend::in_memory(topology, clock.clone()).unwrap());
        let bus = Bus {
            ledger: store.clone(),
            queue: store.clone(),
            clock,
            meter: Meter::default(),
        };
        Self { bus, store }
    }

    /// With the trial's subscription, and one that watches.
    pub(crate) fn of_trial() -> Self {
        Self::new(&[Trial::SUBSCRIPTION, WATCH])
    }

    pub(crate) async fn publish(&self, events: Vec<Event>) {
        for events in events.chunks(Commit::MAX_ITEMS) {
            let commit = Commit {
                events: events.to_vec(),
                ..Commit::default()
            };
            self.bus.ledger.commit(commit).await.unwrap();
        }
    }

    pub(crate) async fn receive(&self, name: &str) -> Vec<Delivery> {
        self.bus
            .queue
            .receive(name, 100, Duration::ZERO)
            .await
            .unwrap()
    }

    /// One published event, received by the trial.
    pub(crate) async fn delivery(&self) -> Delivery {
        self.publish(vec![event(INPUT).build()]).await;
        self.receive(Trial::SUBSCRIPTION.name).await.remove(0)
    }

    pub(crate) async fn dispatch(&self, trial: &Trial, delivery: &Delivery) -> Dispatched {
        dispatch(trial, &self.bus, delivery, &CancellationToken::new()).await
    }

    /// What the watcher has received since the last look.
    pub(crate) async fn emitted(&self) -> Vec<Event> {
        let deliveries = self.receive(WATCH.name).await;
        for delivery in &deliveries {
            self.store
                .settle(&delivery.receipt, Settlement::Done)
                .await
                .unwrap();
        }
        let events = deliveries.iter().map(|delivery| (*delivery.event).clone());
        events.collect()
    }

    pub(crate) async fn record(&self, sort: &str) -> Option<Record> {
        self.bus.ledger.get(&key(sort)).await.unwrap()
    }
}

pub(crate) fn key(sort: &str) -> Key {
    Key::new("trial/acme", sort)
}

pub(crate) fn put(sort: &str, expect: Expect) -> Write {
    Write::Put {
        key: key(sort),
        expect,
        body: "x".into(),
        index: None,
        expires_at: None,
    }
}

pub(crate) fn writes(write: Write) -> Effects {
    Effects {
        writes: vec![write],
        ..Effects::default()
    }
}

/// An event that the watcher sees.
pub(crate) fn draft(cause: &Event) -> Draft {
    let example = EventType::CircuitOpened.data_example();
    let data: CircuitOpened = serde_json::from_value(example).unwrap();
    Draft::new(cause.tenant.clone(), CircuitOpened::TYPE.as_str(), &data)
}
