//! Faults of the queue.

use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;
use waybill_messaging::{
    DeadLetter, DeadLetterId, Delivery, Depth, Error, Queue, Receipt, Result, Settlement,
};

use super::{Begun, Doomed, FaultyBackend, Late, Operation, When, unavailable};

const AT_ONCE: Settlement = Settlement::Retry {
    after: Duration::ZERO,
};

#[async_trait]
impl Queue for FaultyBackend {
    async fn receive(
        &self,
        subscription: &str,
        max: usize,
        wait: Duration,
    ) -> Result<Vec<Delivery>> {
        let mut begun = self.begin(Operation::Receive).await?;
        self.end_doomed_leases().await;
        let due = self.take_late(subscription, max);
        if !due.is_empty() {
            return Ok(due);
        }
        let wait = self.next_due(subscription).map_or(wait, |due| {
            wait.min(due.saturating_duration_since(Instant::now()))
        });
        let received = tokio::select! {
            biased;
            () = self.crashed() => return Err(unavailable("the process has crashed")),
            received = self.0.inner.queue.receive(subscription, max, wait) => received?,
        };
        let mut given = Vec::with_capacity(received.len());
        for delivery in received {
            given.extend(self.hand_over(&mut begun, delivery));
        }
        begun.dice.shuffle(&mut given);
        Ok(given)
    }

    async fn extend(&self, receipt: &Receipt) -> Result<()> {
        let mut begun = self.begin(Operation::Extend).await?;
        let probability = begun.faults.short_lease;
        if self.strikes(&mut begun, "short_lease", probability) {
            self.release(receipt).await;
            return Err(Error::LeaseLost);
        }
        self.0.inner.queue.extend(receipt).await
    }

    async fn settle(&self, receipt: &Receipt, settlement: Settlement) -> Result<()> {
        let mut begun = self.begin(Operation::Settle).await?;
        let faults = begun.faults;
        let crash = self.crash_point(&mut begun);
        if crash == Some(When::Before) {
            return Err(self.die());
        }
        if self.strikes(&mut begun, "lost_settle", faults.lost_settle) {
            return match settlement {
                Settlement::Done => Ok(()),
                _ => Err(unavailable("the settlement was lost")),
            };
        }
        let answer = self.0.inner.queue.settle(receipt, settlement).await;
        self.up()?;
        if crash == Some(When::After) {
            return Err(self.die());
        }
        answer?;
        if self.strikes(&mut begun, "ambiguous", faults.ambiguous) {
            return Err(unavailable("no answer to the settlement"));
        }
        Ok(())
    }

    async fn depth(&self, subscription: &str) -> Result<Depth> {
        self.begin(Operation::Depth).await?;
        self.0.inner.queue.depth(subscription).await
    }

    async fn dead_letters(&self, subscription: &str, limit: usize) -> Result<Vec<DeadLetter>> {
        self.begin(Operation::DeadLetters).await?;
        self.0.inner.queue.dead_letters(subscription, limit).await
    }

    async fn redrive(&self, subscription: &str, id: &DeadLetterId) -> Result<()> {
        self.begin(Operation::Redrive).await?;
        self.0.inner.queue.redrive(subscription, id).await
    }

    async fn redrive_all(&self, subscription: &str) -> Result<u64> {
        self.begin(Operation::Redrive).await?;
        self.0.inner.queue.redrive_all(subscription).await
    }
}

impl FaultyBackend {
    /// Decides on a delivery: `None` when it comes later.
    fn hand_over(&self, begun: &mut Begun, delivery: Delivery) -> Option<Delivery> {
        let faults = begun.faults;
        let due = |begun: &mut Begun| Instant::now() + begun.dice.up_to(faults.delay);
        if self.strikes(begun, "short_lease", faults.short_lease) {
            let (due, receipt) = (due(begun), delivery.receipt.clone());
            self.state().doomed.push(Doomed { due, receipt });
        }
        if self.strikes(begun, "duplicate", faults.duplicate) {
            let (due, delivery) = (due(begun), delivery.clone());
            self.state().late.push(Late { due, delivery });
        }
        if self.strikes(begun, "late", faults.late) {
            let due = due(begun);
            self.state().late.push(Late { due, delivery });
            return None;
        }
        Some(delivery)
    }

    /// Up to `max` late deliveries whose time has come.
    fn take_late(&self, subscription: &str, max: usize) -> Vec<Delivery> {
        let now = Instant::now();
        let mut left = max;
        let late = &mut self.state().late;
        late.extract_if(.., |late| {
            let given =
                left > 0 && late.due <= now && late.delivery.receipt.subscription == subscription;
            left -= usize::from(given);
            given
        })
        .map(|late| late.delivery)
        .collect()
    }

    /// When this connection itself makes a delivery ready.
    fn next_due(&self, subscription: &str) -> Option<Instant> {
        let state = self.state();
        let late = state
            .late
            .iter()
            .map(|late| (late.due, &late.delivery.receipt));
        let doomed = state
            .doomed
            .iter()
            .map(|doomed| (doomed.due, &doomed.receipt));
        late.chain(doomed)
            .filter(|(_, receipt)| receipt.subscription == subscription)
            .map(|(due, _)| due)
            .min()
    }

    async fn end_doomed_leases(&self) {
        let now = Instant::now();
        let doomed: Vec<Doomed> = {
            let mut state = self.state();
            state
                .doomed
                .extract_if(.., |doomed| doomed.due <= now)
                .collect()
        };
        for doomed in doomed {
            self.release(&doomed.receipt).await;
        }
    }

    /// Makes a delivery ready for another consumer. Best effort: it may have ended already.
    async fn release(&self, receipt: &Receipt) {
        if let Err(error) = self.0.inner.queue.settle(receipt, AT_ONCE).await {
            tracing::debug!(%error, "the lease had ended already");
        }
    }
}
