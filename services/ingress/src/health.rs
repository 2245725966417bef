//! For load balancers: is the process alive, and should it get requests.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use axum::{Json, Router, extract::State, http::StatusCode, routing::get};
use serde_json::{Value, json};
use waybill_messaging::{Bus, Key};

/// Whether the process takes requests. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Readiness(Arc<AtomicBool>);

impl Readiness {
    /// No more: the process is about to end.
    pub fn drain(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    fn is_draining(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

pub(crate) fn router(readiness: Readiness, bus: Bus) -> Router {
    Router::new()
        .route(
            "/healthz",
            get(|| async { Json(json!({ "status": "ok" })) }),
        )
        .route("/readyz", get(ready).with_state((readiness, bus)))
}

async fn ready(State((readiness, bus)): State<(Readiness, Bus)>) -> (StatusCode, Json<Value>) {
    let mut reasons = Vec::new();
    if readiness.is_draining() {
        reasons.push("draining".to_owned());
    }
    if let Err(error) = bus.ledger.get(&Key::new("health", "probe")).await {
        tracing::warn!(
            error = &error as &dyn std::error::Error,
            "the ledger does not answer"
        );
        reasons.push("the ledger does not answer".to_owned());
    }
    if reasons.is_empty() {
        return (StatusCode::OK, Json(json!({ "status": "ready" })));
    }
    (
        StatusCode::SERVICE_UNAVAILABLE,
        Json(json!({ "status": "not ready", "reasons": reasons })),
    )
}
