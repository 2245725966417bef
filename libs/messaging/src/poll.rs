//! The driver that receives, dispatches and settles: a worker over any queue.

use std::{future::Future, slice, sync::Arc, time::Duration};

use backon::BackoffBuilder;
use futures::future::join_all;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, MissedTickBehavior, interval_at, sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    BatchHandler, Bus, Delivery, Dispatched, Error, Handler, Subscription, dispatch,
    dispatch_batch, held::Held, tick,
};

/// For tasks to end once they were told to drop their work.
const LETTING_GO: Duration = Duration::from_secs(1);
/// The pauses after failed receives are jittered, and the same in every run of a simulation.
const JITTER_SEED: u64 = 0x7761_7962_696c_6c21;

/// How a worker asks its queue.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// How long one receive waits for a delivery.
    pub wait: Duration,
    /// How many deliveries one receive asks for.
    pub max_receive: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            wait: Duration::from_secs(20),
            max_receive: 64,
        }
    }
}

/// Runs handlers over a queue until it is drained.
pub struct Driver {
    bus: Bus,
    limits: Limits,
    /// No new deliveries are received.
    stopping: CancellationToken,
    /// Handlers are told to stop.
    shutdown: CancellationToken,
    tasks: TaskTracker,
}

impl Driver {
    pub fn new(bus: Bus, limits: Limits) -> Self {
        let (stopping, shutdown) = (CancellationToken::new(), CancellationToken::new());
        Self {
            bus,
            limits,
            stopping,
            shutdown,
            tasks: TaskTracker::new(),
        }
    }

    /// Starts a worker for `handler`.
    pub fn start<H: Handler>(&self, handler: Arc<H>) {
        let worker = self.worker(&H::SUBSCRIPTION);
        self.tasks
            .spawn(worker.run(move |worker: Worker, deliveries, mut permits| {
                for delivery in deliveries {
                    let (handler, inner) = (handler.clone(), worker.clone());
                    let permit = permits.split(1);
                    worker.tasks.spawn(async move {
                        let _permit = permit;
                        inner.one(&*handler, delivery).await;
                    });
                }
                std::future::ready(())
            }));
    }

    /// Starts the worker of a batch handler: one batch at a time.
    pub fn start_batch<H: BatchHandler>(&self, handler: Arc<H>) {
        let worker = self.worker(&H::SUBSCRIPTION);
        self.tasks
            .spawn(worker.run(move |worker: Worker, deliveries, _permits| {
                let handler = handler.clone();
                async move { worker.batch(&*handler, deliveries).await }
            }));
    }

    /// Runs a reconciler every `period`, the first time at once.
    pub fn schedule<H: Handler>(&self, handler: Arc<H>, period: Duration) {
        let (bus, stopping) = (self.bus.clone(), self.stopping.clone());
        self.tasks.spawn(async move {
            let mut ticks = interval_at(Instant::now(), period);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                tokio::select! {
                    biased;
                    () = stopping.cancelled() => return,
                    _ = ticks.tick() => {}
                }
                if let Err(failure) = tick(&*handler, &bus, &stopping).await {
                    let subscription = H::SUBSCRIPTION.name;
                    tracing::warn!(
                        subscription,
                        ?failure,
                        "a reconciler failed; the next tick retries"
                    );
                }
            }
        });
    }

    /// Stops receiving, lets running handlers finish for up to `deadline`, then drops them: their
    /// leases run out and another worker takes over. True when all had finished.
    pub async fn drain(self, deadline: Duration) -> bool {
        self.stopping.cancel();
        self.tasks.close();
        let finished = timeout(deadline, self.tasks.wait()).await.is_ok();
        self.shutdown.cancel();
        // What was dropped lets go of what it held; a commit that is under way is waited for.
        drop(timeout(LETTING_GO, self.tasks.wait()).await);
        finished
    }

    fn worker(&self, subscription: &'static Subscription) -> Worker {
        Worker {
            bus: self.bus.clone(),
            limits: self.limits,
            subscription,
            stopping: self.stopping.clone(),
            shutdown: self.shutdown.clone(),
            tasks: self.tasks.clone(),
        }
    }
}

#[derive(Clone)]
struct Worker {
    bus: Bus,
    limits: Limits,
    subscription: &'static Subscription,
    stopping: CancellationToken,
    shutdown: CancellationToken,
    tasks: TaskTracker,
}

impl Worker {
    async fn run<F: Future<Output = ()>>(
        self,
        work: impl Fn(Self, Vec<Delivery>, OwnedSemaphorePermit) -> F,
    ) {
        let batching = self.subscription.batching;
        let concurrency = self.subscription.concurrency.max(batching.max);
        let slots = Arc::new(Semaphore::new(concurrency));
        let mut errors = retries();
        loop {
            let received = tokio::select! {
                biased;
                () = self.stopping.cancelled() => return,
                received = self.receive(&slots) => received,
            };
            match received {
                Ok((deliveries, permits)) => {
                    errors = retries();
                    if !deliveries.is_empty() {
                        work(self.clone(), deliveries, permits).await;
                    }
                }
                Err(error) => {
                    let pause = errors.next().unwrap_or(Duration::from_secs(30));
                    tracing::error!(
                        subscription = self.subscription.name,
                        error = &error as &dyn std::error::Error,
                        retry_ms = pause.as_millis(),
                        "cannot receive"
                    );
                    sleep(pause).await;
                }
            }
        }
    }

    /// As many deliveries as there are free slots, and the slots that they take.
    async fn receive(
        &self,
        slots: &Arc<Semaphore>,
    ) -> Result<(Vec<Delivery>, OwnedSemaphorePermit), Error> {
        let first = slots.clone().acquire_owned().await;
        let mut permits = first.expect("the semaphore is never closed");
        let batching = self.subscription.batching;
        let wanted = self.limits.max_receive.max(batching.max);
        let more = slots.available_permits().min(wanted - 1);
        if let Ok(rest) = slots
            .clone()
            .try_acquire_many_owned(u32::try_from(more).unwrap_or(0))
        {
            permits.merge(rest);
        }
        let max = permits.num_permits();
        let name = self.subscription.name;
        let mut deliveries = self.bus.queue.receive(name, max, self.limits.wait).await?;
        // A full batch has nothing to wait for: the window must not limit what a worker can do.
        if !deliveries.is_empty() && !batching.window.is_zero() && deliveries.len() < max {
            sleep(batching.window).await;
            let room = max - deliveries.len();
            match self.bus.queue.receive(name, room, Duration::ZERO).await {
                Ok(more) => deliveries.extend(more),
                // Those that are here are leased to us, and are worked on.
                Err(error) => tracing::warn!(
                    subscription = name,
                    error = &error as &dyn std::error::Error,
                    "cannot fill up a batch"
                ),
            }
        }
        Ok((deliveries, permits))
    }

    async fn one<H: Handler>(&self, handler: &H, delivery: Delivery) {
        let work = async { vec![dispatch(handler, &self.bus, &delivery, &self.shutdown).await] };
        self.work(slice::from_ref(&delivery), work).await;
    }

    async fn batch<H: BatchHandler>(&self, handler: &H, deliveries: Vec<Delivery>) {
        let work = dispatch_batch(handler, &self.bus, &deliveries, &self.shutdown);
        self.work(&deliveries, work).await;
    }

    /// Settles the deliveries as `work` says. Drops it when their leases are lost, and at the end of
    /// the process: then they run out.
    async fn work(&self, deliveries: &[Delivery], work: impl Future<Output = Vec<Dispatched>>) {
        let lease = self.subscription.lease;
        let held = Held::new(&*self.bus.queue, lease, deliveries);
        let places: Vec<usize> = (0..deliveries.len()).collect();
        let work = async {
            tokio::select! {
                biased;
                done = work => done,
                () = self.shutdown.cancelled() => Vec::new(),
            }
        };
        let working = async {
            let dispatched = held.unless_lost(&places, work).await.unwrap_or_default();
            let unsettled = places
                .iter()
                .zip(dispatched)
                .filter(|(_, each)| !each.settled);
            // At once: a backend may settle several by one request.
            join_all(unsettled.map(|(place, each)| held.settle(*place, each.settlement))).await
        };
        held.kept(Instant::now() + lease / 3, working).await;
    }
}

fn retries() -> backon::ExponentialBackoff {
    backon::ExponentialBuilder::new()
        .with_min_delay(Duration::from_millis(100))
        .with_max_delay(Duration::from_secs(30))
        .without_max_times()
        .with_jitter()
        .with_jitter_seed(JITTER_SEED)
        .build()
}
