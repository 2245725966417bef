//! What the services of a process share.

use std::sync::Arc;

use anyhow::Result;
use axum::Router;
use futures::future::BoxFuture;
use waybill_audit_sink::ChainKey;
#[cfg(feature = "aws")]
use waybill_backend_aws::{EventRelay, SqsQueue};
use waybill_calls::Calls;
use waybill_identity::Keys;
use waybill_ingress::{Check, Meter, Readiness};
use waybill_messaging::{Blobs, Bus, Clock, KeyRing, Ledger, Subscription};

#[cfg(feature = "aws")]
use crate::backend::aws;
use crate::{
    backend::{Backend, Flush},
    config::Config,
    reconciler::Reconciler,
};

pub(crate) struct Stores {
    pub(crate) clock: Clock,
    /// Counts calls.
    pub(crate) ledger: Arc<dyn Ledger>,
    pub(crate) blobs: Arc<dyn Blobs>,
    pub(crate) keyring: Arc<dyn KeyRing>,
    pub(crate) bus: Bus,
    pub(crate) calls: Calls,
    pub(crate) meter: Meter,
    /// The backend's own, for `waybill doctor`.
    pub(crate) checks: Vec<Check>,
    /// The backend's own. The tool executor's processes run them.
    pub(crate) reconcilers: Vec<Reconciler>,
    pub(crate) flush: Flush,
    #[cfg(feature = "aws")]
    pub(crate) relay: Option<Arc<EventRelay>>,
}

impl Stores {
    /// `topology`: whose queues are needed here.
    pub(crate) async fn open(config: &Config, topology: &[Subscription]) -> Result<Self> {
        let clock = Clock::system();
        let backend = Backend::open(config, &clock, topology).await?;
        Ok(Self::over(backend, clock))
    }

    /// For a host that brings deliveries: with the queue that takes them.
    #[cfg(feature = "aws")]
    pub(crate) async fn open_pushed(
        config: &Config,
        topology: &[Subscription],
    ) -> Result<(Self, SqsQueue)> {
        let clock = Clock::system();
        let (backend, queue) = aws::open_pushed(config, &clock, topology).await?;
        Ok((Self::over(backend, clock), queue))
    }

    fn over(backend: Backend, clock: Clock) -> Self {
        let meter = Meter::default();
        let ledger = meter.over(backend.ledger);
        let bus = Bus {
            ledger: ledger.clone(),
            queue: backend.queue,
            clock: clock.clone(),
        };
        Self {
            calls: Calls::new(ledger.clone(), backend.blobs.clone(), clock.clone()),
            clock,
            ledger,
            blobs: backend.blobs,
            keyring: backend.keyring,
            bus,
            meter,
            checks: backend.checks,
            reconcilers: backend.reconcilers,
            flush: backend.flush,
            #[cfg(feature = "aws")]
            relay: backend.relay,
        }
    }

    pub(crate) fn keys(&self) -> Keys {
        Keys::new(self.ledger.clone(), self.clock.clone())
    }

    /// For load balancers and Prometheus: all that a process without the ingress serves.
    pub(crate) fn probes(&self, topology: &[Subscription], readiness: &Readiness) -> Router {
        waybill_ingress::probes(&self.bus, topology, readiness, &self.meter)
    }

    pub(crate) async fn chain_key(&self) -> Result<ChainKey> {
        Ok(ChainKey::open(&*self.ledger, &*self.keyring).await?)
    }

    /// What the backend does in the background and nobody waits for.
    pub(crate) fn flushed(&self) -> BoxFuture<'static, ()> {
        (self.flush)()
    }
}
