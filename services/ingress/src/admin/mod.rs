//! The operator's routes: calls of every tenant, keys, tenants, queues, dead letters, the audit
//! trail, the doctor. Scope `admin`.

mod audit;
pub(crate) mod calls;
pub(crate) mod doctor;
pub(crate) mod keys;
mod queues;

use axum::Router;
use waybill_identity::Audit;

use crate::Gateway;

pub(crate) fn router(gateway: &Gateway) -> Router {
    let (ledger, clock) = (gateway.bus.ledger.clone(), gateway.bus.clock.clone());
    let audit = Audit::new(ledger, clock, "ingress");
    Router::new()
        .merge(keys::router(gateway.keys.clone()))
        .merge(queues::router(
            gateway.bus.queue.clone(),
            gateway.subscriptions.clone(),
            audit.clone(),
        ))
        .merge(calls::router(
            gateway.mcp.desk.calls().clone(),
            gateway.keys.tenants().clone(),
            audit,
        ))
        .merge(audit::router(gateway.trail.clone()))
        .merge(doctor::router(gateway.checks.clone()))
}
