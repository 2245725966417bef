//! What this process keeps its records, queues, keys and payloads in. Chosen here, and nowhere else.

#[cfg(feature = "aws")]
pub(crate) mod aws;
mod embedded;

use std::sync::Arc;

use anyhow::Result;
use futures::future::BoxFuture;
use waybill_ingress::Check;
use waybill_messaging::{Blobs, Clock, Driver, KeyRing, Ledger, Queue};

use crate::config::{BackendKind, Config};

/// The four ports, and what comes with them.
pub(crate) struct Backend {
    pub(crate) ledger: Arc<dyn Ledger>,
    pub(crate) queue: Arc<dyn Queue>,
    pub(crate) keyring: Arc<dyn KeyRing>,
    pub(crate) blobs: Arc<dyn Blobs>,
    /// For `waybill doctor`.
    pub(crate) checks: Vec<Check>,
    /// What must be done beside the services as long as they run.
    pub(crate) chores: Vec<Chore>,
    /// What it still has to end when everything else has ended.
    pub(crate) closing: BoxFuture<'static, ()>,
}

/// Hands a reconciler of the backend's own to the driver.
pub(crate) type Chore = Box<dyn FnOnce(&Driver) + Send>;

impl Backend {
    pub(crate) async fn open(config: &Config, clock: &Clock) -> Result<Self> {
        match config.backend {
            BackendKind::Embedded => embedded::open(config, clock),
            #[cfg(feature = "aws")]
            BackendKind::Aws => aws::open(config, clock).await,
            #[cfg(not(feature = "aws"))]
            BackendKind::Aws => anyhow::bail!("this waybill was built without AWS"),
        }
    }
}
