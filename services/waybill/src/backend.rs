//! What this process keeps its records, queues, keys and payloads in. Chosen here, and nowhere else.

#[cfg(feature = "aws")]
pub(crate) mod aws;
mod embedded;

use std::sync::Arc;

use anyhow::Result;
use futures::future::BoxFuture;
#[cfg(feature = "aws")]
use waybill_backend_aws::EventRelay;
use waybill_ingress::Check;
use waybill_messaging::{Blobs, Clock, KeyRing, Ledger, Meter, Queue, Secrets, Subscription};

use crate::{
    compose::TOPOLOGY,
    config::{BackendKind, Config},
    observe::Exporter,
    reconciler::Reconciler,
};

/// The five ports, and what comes with them.
pub(crate) struct Backend {
    pub(crate) ledger: Arc<dyn Ledger>,
    pub(crate) queue: Arc<dyn Queue>,
    pub(crate) keyring: Arc<dyn KeyRing>,
    pub(crate) blobs: Arc<dyn Blobs>,
    pub(crate) secrets: Arc<dyn Secrets>,
    /// For `waybill doctor`.
    pub(crate) checks: Vec<Check>,
    /// What must be done at times as long as the services run.
    pub(crate) reconcilers: Vec<Reconciler>,
    pub(crate) flush: Flush,
    /// Who tells others what is counted here. Prometheus asks by itself.
    pub(crate) exporter: Exporter,
    /// The backend's own service, where it has one.
    #[cfg(feature = "aws")]
    pub(crate) relay: Option<Arc<EventRelay>>,
}

/// Waits for what the backend does in the background. Again and again, before a process ends or is
/// frozen.
pub(crate) type Flush = Box<dyn Fn() -> BoxFuture<'static, ()> + Send + Sync>;

/// Every subscription of an installation over `backend`.
pub(crate) fn topology(backend: BackendKind) -> &'static [Subscription] {
    match backend {
        #[cfg(feature = "aws")]
        BackendKind::Aws => aws::TOPOLOGY,
        _ => TOPOLOGY,
    }
}

impl Backend {
    /// `topology`: whose queues are needed here.
    pub(crate) async fn open(
        config: &Config,
        clock: &Clock,
        topology: &[Subscription],
        meter: &Meter,
    ) -> Result<Self> {
        match config.backend {
            BackendKind::Embedded => {
                // Prometheus asks for the numbers.
                let _ = meter;
                embedded::open(config, clock, topology)
            }
            #[cfg(feature = "aws")]
            BackendKind::Aws => aws::open(config, clock, topology, meter).await,
            #[cfg(not(feature = "aws"))]
            BackendKind::Aws => anyhow::bail!("this waybill was built without AWS"),
        }
    }
}
