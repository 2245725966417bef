//! What a driver holds: leases that are kept while it works, and deliveries to be settled.

use std::{convert::Infallible, future::Future, time::Duration};

use futures::future::join_all;
use tokio::{
    sync::Mutex,
    time::{Instant, MissedTickBehavior, interval_at, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::{Delivery, Error, Queue, Receipt, Result, Settlement};

/// Deliveries, named by their places among those that it was made of.
pub(crate) struct Held<'a> {
    queue: &'a dyn Queue,
    /// Between two extensions, and the longest that one may take.
    period: Duration,
    leases: Vec<Lease>,
    /// Locked while leases are being extended.
    beating: Mutex<()>,
}

struct Lease {
    receipt: Receipt,
    /// It was lost, or the delivery settled.
    over: CancellationToken,
}

impl<'a> Held<'a> {
    pub(crate) fn new<'d>(
        queue: &'a dyn Queue,
        lease: Duration,
        deliveries: impl IntoIterator<Item = &'d Delivery>,
    ) -> Self {
        let leases = deliveries.into_iter().map(|delivery| Lease {
            receipt: delivery.receipt.clone(),
            over: CancellationToken::new(),
        });
        Self {
            queue,
            period: lease / 3,
            leases: leases.collect(),
            beating: Mutex::default(),
        }
    }

    /// Extends the leases while `work` runs and beside it: at `first`, and from then on three times
    /// in a lease.
    pub(crate) async fn kept<T>(&self, first: Instant, work: impl Future<Output = T>) -> T {
        tokio::select! {
            biased;
            done = work => done,
            never = self.beats(first) => match never {},
        }
    }

    /// `None`: the leases of all of these were lost, and `work` was dropped. Work on several goes on
    /// while one of them is held: the inbox knows what somebody else has committed meanwhile.
    pub(crate) async fn unless_lost<T>(
        &self,
        places: &[usize],
        work: impl Future<Output = T>,
    ) -> Option<T> {
        let lost = join_all(places.iter().map(|at| self.leases[*at].over.cancelled()));
        tokio::select! {
            biased;
            done = work => Some(done),
            _ = lost => {
                let subscription = self.leases[places[0]].receipt.subscription;
                tracing::warn!(subscription, "lease lost");
                None
            }
        }
    }

    /// True: it is done. What could not be settled comes again, and then the inbox makes up for it.
    pub(crate) async fn settle(&self, place: usize, settlement: Settlement) -> bool {
        let Lease { receipt, over } = &self.leases[place];
        if over.is_cancelled() {
            return false;
        }
        over.cancel();
        if let Settlement::Retry { .. } = settlement {
            // An extension under way could overtake it, and hide the delivery for a lease.
            drop(self.beating.lock().await);
        }
        let done = settlement == Settlement::Done;
        match self.queue.settle(receipt, settlement).await {
            Ok(()) => return true,
            Err(Error::LeaseLost) if done => {}
            Err(error) => tracing::warn!(
                subscription = receipt.subscription,
                error = &error as &dyn std::error::Error,
                "cannot settle a delivery"
            ),
        }
        false
    }

    async fn beats(&self, first: Instant) -> Infallible {
        let mut beats = interval_at(first, self.period);
        beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            beats.tick().await;
            self.beat().await;
        }
    }

    /// At once, so that a backend may extend several by one request.
    async fn beat(&self) {
        let _beating = self.beating.lock().await;
        let held = self.leases.iter();
        let held = held.filter(|lease| !lease.over.is_cancelled());
        let extended = join_all(held.map(|lease| self.extend(lease))).await;
        let failed: Vec<Error> = extended.into_iter().filter_map(Result::err).collect();
        if let Some(error) = failed.first() {
            tracing::warn!(
                subscription = self.leases[0].receipt.subscription,
                leases = failed.len(),
                error = error as &dyn std::error::Error,
                "cannot extend leases"
            );
        }
    }

    async fn extend(&self, lease: &Lease) -> Result<()> {
        let extended = timeout(self.period, self.queue.extend(&lease.receipt)).await;
        match extended {
            Ok(Err(Error::LeaseLost)) => {
                lease.over.cancel();
                Ok(())
            }
            Ok(answer) => answer,
            Err(elapsed) => Err(Error::unavailable("the queue does not answer", elapsed)),
        }
    }
}
