//! The services that events drive, as hosts see them.

use std::{sync::Arc, time::Duration};

use anyhow::{Context as _, Result};
use futures::future::BoxFuture;
use waybill_audit_sink::AuditSink;
use waybill_backend_aws::EventRelay;
use waybill_messaging::{
    BatchHandler, Bus, Driver, Handler, Outcome, Pushed, Subscription, push, push_batch,
};
use waybill_tool_executor::ToolExecutor;

use crate::{
    config::Config, executor::Executor, reconciler::Reconciler, sink::Sink, stores::Stores,
    toolbox::Toolbox,
};

/// A service that takes events from its queue, by itself in a process.
pub(super) trait Consumer: Sized + Send + Sync + 'static {
    const SUBSCRIPTION: Subscription;

    /// With everything that it needs beside the stores.
    async fn open(config: &Config, stores: &mut Stores) -> Result<Self>;

    /// In a process that receives and tells the time.
    fn start(&self, driver: &Driver);

    /// Works on a batch that the host brings, until `left` has passed.
    async fn push(&self, bus: &Bus, batch: Vec<Pushed>, left: Duration) -> Vec<Outcome>;

    /// For a host that tells the time.
    fn reconcilers(&self) -> &[Reconciler] {
        &[]
    }

    /// Ends what it has opened.
    fn closing(&self) -> Option<BoxFuture<'static, ()>> {
        None
    }
}

impl Consumer for Executor {
    const SUBSCRIPTION: Subscription = <ToolExecutor as Handler>::SUBSCRIPTION;

    async fn open(config: &Config, stores: &mut Stores) -> Result<Self> {
        let toolbox = Toolbox::open_settled(config, &*stores.secrets).await?;
        Ok(Self::new(stores, Arc::new(toolbox)))
    }

    fn start(&self, driver: &Driver) {
        Self::start(self, driver);
    }

    async fn push(&self, bus: &Bus, batch: Vec<Pushed>, left: Duration) -> Vec<Outcome> {
        push(&*self.handler, bus, batch, left).await
    }

    fn reconcilers(&self) -> &[Reconciler] {
        &self.reconcilers
    }

    fn closing(&self) -> Option<BoxFuture<'static, ()>> {
        Some(self.toolbox.closing())
    }
}

impl Consumer for Sink {
    const SUBSCRIPTION: Subscription = <AuditSink as BatchHandler>::SUBSCRIPTION;

    async fn open(_: &Config, stores: &mut Stores) -> Result<Self> {
        let chain_key = stores.chain_key().await?;
        Ok(Self::new(stores, chain_key))
    }

    fn start(&self, driver: &Driver) {
        Self::start(self, driver);
    }

    async fn push(&self, bus: &Bus, batch: Vec<Pushed>, left: Duration) -> Vec<Outcome> {
        push_batch(&*self.handler, bus, batch, left).await
    }

    fn reconcilers(&self) -> &[Reconciler] {
        &self.reconcilers
    }
}

impl Consumer for Arc<EventRelay> {
    const SUBSCRIPTION: Subscription = <EventRelay as BatchHandler>::SUBSCRIPTION;

    async fn open(_: &Config, stores: &mut Stores) -> Result<Self> {
        stores.relay.take().context("this backend has no bus")
    }

    fn start(&self, driver: &Driver) {
        driver.start_batch(self.clone());
    }

    async fn push(&self, bus: &Bus, batch: Vec<Pushed>, left: Duration) -> Vec<Outcome> {
        push_batch(&**self, bus, batch, left).await
    }
}
