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
use waybill_ingress::{Check, Readiness};
use waybill_messaging::{
    Blobs, Bus, Clock, KeyRing, Ledger, Meter, Secrets, Subscription, metered,
};

#[cfg(feature = "aws")]
use crate::backend::aws;
use crate::{
    backend::{Backend, Flush},
    config::Config,
    observe::Exporter,
    reconciler::Reconciler,
};

pub(crate) struct Stores {
    pub(crate) clock: Clock,
    /// Counts calls.
    pub(crate) ledger: Arc<dyn Ledger>,
    pub(crate) blobs: Arc<dyn Blobs>,
    pub(crate) keyring: Arc<dyn KeyRing>,
    pub(crate) secrets: Arc<dyn Secrets>,
    pub(crate) bus: Bus,
    pub(crate) calls: Calls,
    /// The backend's own, for `waybill doctor`.
    pub(crate) checks: Vec<Check>,
    /// The backend's own. The tool executor's processes run them.
    pub(crate) reconcilers: Vec<Reconciler>,
    pub(crate) flush: Flush,
    pub(crate) exporter: Exporter,
    #[cfg(feature = "aws")]
    pub(crate) relay: Option<Arc<EventRelay>>,
}

impl Stores {
    /// `topology`: whose queues are needed here.
    pub(crate) async fn open(config: &Config, topology: &[Subscription]) -> Result<Self> {
        let clock = Clock::system();
        let meter = Meter::default();
        let backend = Backend::open(config, &clock, topology, &meter).await?;
        Ok(Self::over(backend, clock, meter))
    }

    /// For a host that brings deliveries: with the queue that takes them.
    #[cfg(feature = "aws")]
    pub(crate) async fn open_pushed(
        config: &Config,
        topology: &[Subscription],
    ) -> Result<(Self, SqsQueue)> {
        let clock = Clock::system();
        let meter = Meter::default();
        let (backend, queue) = aws::open_pushed(config, &clock, topology, &meter).await?;
        Ok((Self::over(backend, clock, meter), queue))
    }

    /// For a host that is frozen between its invocations: the numbers go to its log.
    #[cfg(feature = "aws")]
    pub(crate) fn log_numbers(&mut self, config: &Config) {
        let installation = &config.aws.prefix;
        self.exporter = Exporter::logged(&self.bus.meter, installation, &self.clock);
    }

    fn over(backend: Backend, clock: Clock, meter: Meter) -> Self {
        let ledger = metered(backend.ledger, &meter);
        let calls = Calls::new(ledger.clone(), backend.blobs.clone(), clock.clone());
        let calls = calls.metered(&meter);
        let bus = Bus {
            ledger: ledger.clone(),
            queue: backend.queue,
            clock: clock.clone(),
            meter,
        };
        Self {
            calls,
            clock,
            ledger,
            blobs: backend.blobs,
            keyring: backend.keyring,
            secrets: backend.secrets,
            bus,
            checks: backend.checks,
            reconcilers: backend.reconcilers,
            flush: backend.flush,
            exporter: backend.exporter,
            #[cfg(feature = "aws")]
            relay: backend.relay,
        }
    }

    pub(crate) fn keys(&self) -> Keys {
        Keys::new(self.ledger.clone(), self.clock.clone())
    }

    /// For load balancers and Prometheus: all that a process without the ingress serves.
    pub(crate) fn probes(&self, topology: &[Subscription], readiness: &Readiness) -> Router {
        waybill_ingress::probes(&self.bus, topology, readiness)
    }

    pub(crate) async fn chain_key(&self) -> Result<ChainKey> {
        Ok(ChainKey::open(&*self.ledger, &*self.keyring).await?)
    }

    /// What the backend does in the background and nobody waits for, and then the numbers.
    pub(crate) fn flushed(&self) -> BoxFuture<'static, ()> {
        let (ended, exporter) = ((self.flush)(), self.exporter.clone());
        Box::pin(async move {
            ended.await;
            exporter.flush().await;
        })
    }
}
