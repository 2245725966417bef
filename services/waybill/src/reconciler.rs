//! What runs because time has passed, whoever tells the time: a timer or a scheduler's invocation.

use std::{sync::Arc, time::Duration};

use futures::future::BoxFuture;
use tokio_util::sync::CancellationToken;
use waybill_messaging::{Bus, Driver, Failure, Handler, tick};

/// A reconciler, whatever its type.
pub(crate) struct Reconciler {
    /// Its subscription's: the name of its schedule.
    pub(crate) name: &'static str,
    schedule: Box<dyn Fn(&Driver) + Send + Sync>,
    tick: Box<Tick>,
}

type Tick = dyn Fn(Bus, CancellationToken) -> BoxFuture<'static, Result<(), Failure>> + Send + Sync;

impl Reconciler {
    /// `period`: between two runs, where this process tells the time.
    pub(crate) fn new<H: Handler>(handler: H, period: Duration) -> Self {
        let handler = Arc::new(handler);
        let scheduled = handler.clone();
        Self {
            name: H::SUBSCRIPTION.name,
            schedule: Box::new(move |driver| driver.schedule(scheduled.clone(), period)),
            tick: Box::new(move |bus, shutdown| {
                let handler = handler.clone();
                Box::pin(async move { tick(&*handler, &bus, &shutdown).await })
            }),
        }
    }

    pub(crate) fn schedule(&self, driver: &Driver) {
        (self.schedule)(driver);
    }

    /// Once, now.
    #[cfg(feature = "aws")]
    pub(crate) async fn tick(
        &self,
        bus: &Bus,
        shutdown: &CancellationToken,
    ) -> Result<(), Failure> {
        (self.tick)(bus.clone(), shutdown.clone()).await
    }
}
