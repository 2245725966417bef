//! The tool executor and what belongs to it.

use std::{sync::Arc, time::Duration};

use waybill_messaging::Driver;
use waybill_resilience::{Breakers, Settings};
use waybill_tool_executor::{DeadlineSweep, ToolExecutor};

use crate::{reconciler::Reconciler, stores::Stores, toolbox::Toolbox};

const SWEEP_EVERY: Duration = Duration::from_secs(1);

pub(crate) struct Executor {
    pub(crate) handler: Arc<ToolExecutor>,
    pub(crate) reconcilers: Vec<Reconciler>,
    pub(crate) toolbox: Arc<Toolbox>,
}

impl Executor {
    /// Takes over the backend's reconcilers.
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

    pub(crate) fn start(&self, driver: &Driver) {
        driver.start(self.handler.clone());
        for reconciler in &self.reconcilers {
            reconciler.schedule(driver);
        }
    }
}
