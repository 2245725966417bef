//! The audit sink and what belongs to it.

use std::{sync::Arc, time::Duration};

use waybill_audit_sink::{AuditCheck, AuditSink, ChainKey, Trail};
use waybill_messaging::Driver;

use crate::{reconciler::Reconciler, stores::Stores};

const CHECK_EVERY: Duration = Duration::from_mins(15);

pub(crate) struct Sink {
    pub(crate) handler: Arc<AuditSink>,
    pub(crate) reconcilers: Vec<Reconciler>,
}

impl Sink {
    pub(crate) fn new(stores: &Stores, chain_key: ChainKey) -> Self {
        let trail = Trail::new(stores.ledger.clone(), chain_key.clone());
        let check = AuditCheck::new(trail, stores.bus.meter.clone());
        Self {
            handler: Arc::new(AuditSink::new(stores.ledger.clone(), chain_key)),
            reconcilers: vec![Reconciler::new(check, CHECK_EVERY)],
        }
    }

    pub(crate) fn start(&self, driver: &Driver) {
        driver.start_batch(self.handler.clone());
        for reconciler in &self.reconcilers {
            reconciler.schedule(driver);
        }
    }
}
