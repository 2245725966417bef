//! The operator's routes: calls of every tenant, keys, tenants, secrets, queues, dead letters, the
//! audit trail, the doctor. Scope `admin`.

mod audit;
pub(crate) mod calls;
pub(crate) mod doctor;
pub(crate) mod keys;
mod queues;
pub(crate) mod secrets;

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
            audit.clone(),
        ))
        .merge(secrets::router(gateway.secrets.clone(), audit))
        .merge(audit::router(gateway.trail.clone()))
        .merge(doctor::router(gateway.checks.clone()))
}
