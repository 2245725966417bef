//! The driver for a host that brings deliveries itself and says by when it must have an answer: a
//! function that is called with a batch.

use std::{collections::HashMap, sync::Arc, time::Duration};

use futures::{StreamExt as _, stream, stream::FuturesUnordered};
use tokio::time::{Instant, sleep_until, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::{
    BatchHandler, Bus, Delivery, Dispatched, Handler, Settlement, Subscription, dispatch,
    dispatch_batch, held::Held,
};

/// Before the end, handlers are told to let go: as long as a tool may take to stop, and a commit.
const LET_GO: Duration = Duration::from_secs(5);
/// Before the end, what still runs is dropped: as long as it takes to tell the queue.
const DROP: Duration = Duration::from_millis(1_500);
/// Before the end, nothing more is waited for: as long as it takes the host to answer.
const ANSWER: Duration = Duration::from_millis(300);
/// When what was dropped comes again. It may be with another process at once.
const SOON: Duration = Duration::from_secs(1);

/// A delivery that a host brings.
#[derive(Clone, Debug)]
pub struct Pushed {
    pub delivery: Delivery,
    /// Those of one group are worked on in their order, one after another, and only as long as
    /// none of them has to come again. `None`: no order was promised.
    pub group: Option<Arc<str>>,
}

/// What the host tells its source about a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Handled or put aside: it is over.
    Ended,
    /// The queue knows when.
    ComesAgain,
}

/// When is what.
#[derive(Clone, Copy)]
struct Times {
    let_go: Instant,
    drop: Instant,
    end: Instant,
}

/// Runs `handler` on each delivery, as many at once as its subscription says, and settles them. The
/// outcomes are in the order of the deliveries, and are there before `left` has passed: what is not
/// done by then comes again soon.
///
/// Where the host gives more time than a lease, it hides its deliveries for longer than that too.
/// Their leases are then extended from the beginning, so that they come again within a lease of a
/// crash, and until the end: whoever brought them deletes them once it has the answer.
pub async fn push<H: Handler>(
    handler: &H,
    bus: &Bus,
    batch: Vec<Pushed>,
    left: Duration,
) -> Vec<Outcome> {
    let concurrency = H::SUBSCRIPTION.concurrency;
    let work = async |deliveries: Vec<Delivery>, shutdown: &CancellationToken| {
        let mut each = Vec::with_capacity(deliveries.len());
        for delivery in &deliveries {
            each.push(dispatch(handler, bus, delivery, shutdown).await);
        }
        each
    };
    let push = Push::new(bus, &H::SUBSCRIPTION, &batch, left);
    push.run(lanes(batch, 1), concurrency, work).await
}

/// The same for a batch handler: one batch at a time. Deliveries of groups are not batched, because
/// of a batch that is taken apart a later one could be done before an earlier one.
pub async fn push_batch<H: BatchHandler>(
    handler: &H,
    bus: &Bus,
    batch: Vec<Pushed>,
    left: Duration,
) -> Vec<Outcome> {
    let work = async |deliveries: Vec<Delivery>, shutdown: &CancellationToken| {
        dispatch_batch(handler, bus, &deliveries, shutdown).await
    };
    let push = Push::new(bus, &H::SUBSCRIPTION, &batch, left);
    let lanes = lanes(batch, H::SUBSCRIPTION.batching.max);
    push.run(lanes, 1, work).await
}

/// Deliveries and their places in the host's batch.
type Unit = (Vec<usize>, Vec<Delivery>);

/// What is worked on one after another. An ordered lane ends at the first that comes again.
struct Lane {
    ordered: bool,
    units: Vec<Unit>,
}

/// A lane for each group; the others in units of up to `most`, each in a lane of its own.
fn lanes(batch: Vec<Pushed>, most: usize) -> Vec<Lane> {
    let mut groups: HashMap<Arc<str>, Vec<Unit>> = HashMap::new();
    let mut free: Vec<Unit> = Vec::new();
    for (place, Pushed { delivery, group }) in batch.into_iter().enumerate() {
        match (group, free.last_mut()) {
            (Some(group), _) => groups
                .entry(group)
                .or_default()
                .push((vec![place], vec![delivery])),
            (None, Some((places, deliveries))) if places.len() < most => {
                places.push(place);
                deliveries.push(delivery);
            }
            (None, _) => free.push((vec![place], vec![delivery])),
        }
    }
    let groups = groups.into_values().map(|units| Lane {
        ordered: true,
        units,
    });
    let free = free.into_iter().map(|unit| Lane {
        ordered: false,
        units: vec![unit],
    });
    groups.chain(free).collect()
}

struct Push<'a> {
    held: Held<'a>,
    /// Of the leases.
    first_beat: Instant,
    times: Times,
    shutdown: CancellationToken,
}

impl<'a> Push<'a> {
    fn new(bus: &'a Bus, subscription: &Subscription, batch: &[Pushed], left: Duration) -> Self {
        let now = Instant::now();
        let (lease, end) = (subscription.lease, now + left);
        let deliveries = batch.iter().map(|pushed| &pushed.delivery);
        // Of little time, the most is for the work.
        Self {
            held: Held::new(&*bus.queue, lease, deliveries),
            first_beat: if left > lease { now } else { end },
            times: Times {
                let_go: end - LET_GO.min(left / 3),
                drop: end - DROP.min(left / 5),
                end: end - ANSWER.min(left / 10),
            },
            shutdown: CancellationToken::new(),
        }
    }

    async fn run(
        &self,
        lanes: Vec<Lane>,
        concurrency: usize,
        work: impl AsyncFn(Vec<Delivery>, &CancellationToken) -> Vec<Dispatched>,
    ) -> Vec<Outcome> {
        let size = lanes.iter().flat_map(|lane| &lane.units);
        let size = size.map(|(places, _)| places.len()).sum();
        let mut outcomes = vec![Outcome::ComesAgain; size];
        let working = async {
            let mut lanes = stream::iter(lanes)
                .map(|lane| self.lane(lane, &work))
                .buffer_unordered(concurrency);
            let mut over = Vec::new();
            while let Some(ended) = lanes.next().await {
                for (place, dispatched) in ended {
                    if dispatched.settlement == Settlement::Done {
                        outcomes[place] = Outcome::Ended;
                    }
                    over.push((place, dispatched));
                }
            }
            let mut told: FuturesUnordered<_> = over.into_iter().map(|one| self.end(one)).collect();
            while let Some((place, told)) = told.next().await {
                if told {
                    outcomes[place] = Outcome::Ended;
                }
            }
        };
        let telling = async {
            sleep_until(self.times.let_go).await;
            self.shutdown.cancel();
            sleep_until(self.times.end).await;
        };
        // In any case in time: what the queue was not told comes again after its lease.
        tokio::select! {
            () = self.held.kept(self.first_beat, working) => {}
            () = telling => tracing::warn!("the time is up before every delivery was settled"),
        }
        outcomes
    }

    /// What is over. The queue is told at once of what has to come again, so that it does.
    async fn lane(
        &self,
        lane: Lane,
        work: impl AsyncFn(Vec<Delivery>, &CancellationToken) -> Vec<Dispatched>,
    ) -> Vec<(usize, Dispatched)> {
        let mut over = Vec::new();
        let mut stopped = None;
        for (places, deliveries) in lane.units {
            let dispatched = match stopped {
                None if !self.shutdown.is_cancelled() => {
                    let working = work(deliveries, &self.shutdown);
                    let working = self.held.unless_lost(&places, working);
                    let worked = timeout_at(self.times.drop, working).await;
                    let worked = worked.ok().flatten();
                    worked.unwrap_or_else(|| vec![again(SOON); places.len()])
                }
                None => vec![again(Duration::ZERO); places.len()],
                // The group waits for the one that failed.
                Some(after) => vec![again(after); places.len()],
            };
            for (place, dispatched) in places.into_iter().zip(dispatched) {
                match dispatched.settlement {
                    Settlement::Retry { after } => {
                        if lane.ordered {
                            stopped.get_or_insert(after);
                        }
                        self.held.settle(place, dispatched.settlement).await;
                    }
                    _ => over.push((place, dispatched)),
                }
            }
        }
        over
    }

    /// At the end of the batch: until then, what is over stays hidden. True: the queue knows.
    async fn end(&self, (place, dispatched): (usize, Dispatched)) -> (usize, bool) {
        let told = dispatched.settled || self.held.settle(place, dispatched.settlement).await;
        (place, told)
    }
}

fn again(after: Duration) -> Dispatched {
    Dispatched {
        settlement: Settlement::Retry { after },
        settled: false,
    }
}
