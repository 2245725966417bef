//! The services that events drive, as their hosts see them.

use std::{sync::Arc, time::Duration};

use anyhow::Result;
use futures::future::BoxFuture;
use waybill_audit_sink::{AuditSink, ChainKey};
use waybill_messaging::{BatchHandler, Driver, Handler, Subscription};
use waybill_resilience::{Breakers, Settings};
use waybill_tool_executor::{DeadlineSweep, ToolExecutor};

use crate::{config::Config, reconciler::Reconciler, stores::Stores, toolbox::Toolbox};

const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// A service that takes events from its queue.
pub(crate) trait Consumer: Sized + Send + Sync + 'static {
    const SUBSCRIPTION: Subscription;

    /// By itself in a process, with everything that it needs beside the stores.
    async fn open(config: &Config, stores: &mut Stores) -> Result<Self>;

    /// Hands its handler to a process that receives.
    fn start(&self, driver: &Driver);

    /// What it does at times.
    fn reconcilers(&self) -> &[Reconciler] {
        &[]
    }

    /// Ends what it has opened.
    fn closing(&self) -> Option<BoxFuture<'static, ()>> {
        None
    }
}

/// The tool executor.
pub(crate) struct Executor {
    handler: Arc<ToolExecutor>,
    reconcilers: Vec<Reconciler>,
    toolbox: Arc<Toolbox>,
}

impl Executor {
    pub(crate) fn new(stores: &mut Stores, toolbox: Arc<Toolbox>) -> Self {
        let (calls, ledger, clock) = (&stores.calls, &stores.ledger, &stores.clock);
        let breakers = Breakers::new(ledger.clone(), clock.clone(), Settings::default());
        let handler = ToolExecutor::new(
            calls.clone(),
            ledger.clone(),
            toolbox.registry.clone(),
            Arc::new(breakers),
            clock.clone(),
        );
        let sweep = DeadlineSweep::new(calls.clone(), ledger.clone(), stores.blobs.clone());
        let mut reconcilers = vec![Reconciler::new(sweep, SWEEP_EVERY)];
        reconcilers.append(&mut stores.reconcilers);
        Self {
            handler: Arc::new(handler),
            reconcilers,
            toolbox,
        }
    }
}

impl Consumer for Executor {
    const SUBSCRIPTION: Subscription = <ToolExecutor as Handler>::SUBSCRIPTION;

    async fn open(config: &Config, stores: &mut Stores) -> Result<Self> {
        Ok(Self::new(stores, Arc::new(Toolbox::open(config)?)))
    }

    fn start(&self, driver: &Driver) {
        driver.start(self.handler.clone());
    }

    fn reconcilers(&self) -> &[Reconciler] {
        &self.reconcilers
    }

    fn closing(&self) -> Option<BoxFuture<'static, ()>> {
        Some(self.toolbox.closing())
    }
}

/// The audit sink.
pub(crate) struct Sink(Arc<AuditSink>);

impl Sink {
    pub(crate) fn new(stores: &Stores, chain_key: ChainKey) -> Self {
        Self(Arc::new(AuditSink::new(stores.ledger.clone(), chain_key)))
    }
}

impl Consumer for Sink {
    const SUBSCRIPTION: Subscription = <AuditSink as BatchHandler>::SUBSCRIPTION;

    async fn open(_: &Config, stores: &mut Stores) -> Result<Self> {
        Ok(Self::new(stores, stores.chain_key().await?))
    }

    fn start(&self, driver: &Driver) {
        driver.start_batch(self.0.clone());
    }
}
