//! What a process that stays has going on, and how it ends.

use axum::Router;
use futures::future::BoxFuture;
use tokio_util::sync::CancellationToken;
use waybill_ingress::Readiness;
use waybill_messaging::Driver;

use crate::config::Config;

pub(crate) struct Running {
    pub(crate) router: Router,
    pub(crate) readiness: Readiness,
    /// Ends open streams.
    pub(crate) shutdown: CancellationToken,
    pub(crate) driver: Driver,
    /// Ended in this order: what brings work in before the workers, what they work with after.
    pub(crate) before: Vec<BoxFuture<'static, ()>>,
    pub(crate) after: Vec<BoxFuture<'static, ()>>,
}

impl Running {
    /// Lets running work finish within [`Config::DRAIN`]. False: some of it goes on after the next
    /// start.
    pub(crate) async fn close(self) -> bool {
        self.shutdown.cancel();
        for ending in self.before {
            ending.await;
        }
        let finished = self.driver.drain(Config::DRAIN).await;
        for ending in self.after {
            ending.await;
        }
        finished
    }
}
