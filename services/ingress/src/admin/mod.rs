//! The operator's routes: keys, queues, dead letters, the audit trail, the doctor. Scope `admin`.

mod audit;
pub(crate) mod doctor;
mod keys;
mod queues;

use axum::Router;

use crate::Gateway;

pub(crate) fn router(gateway: &Gateway) -> Router {
    Router::new()
        .merge(keys::router(gateway.keys.clone()))
        .merge(queues::router(
            gateway.bus.queue.clone(),
            gateway.subscriptions.clone(),
        ))
        .merge(audit::router(gateway.trail.clone()))
        .merge(doctor::router(gateway.checks.clone()))
}
