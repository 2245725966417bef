//! For load balancers: is the process alive, and should it get requests.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use axum::{Json, Router, extract::State, http::StatusCode, routing::get};
use serde_json::{Value, json};

use crate::vitals::Vitals;

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

#[derive(Clone)]
struct Probe {
    readiness: Readiness,
    vitals: Vitals,
}

pub(crate) fn router(readiness: Readiness, vitals: Vitals) -> Router {
    let probe = Probe { readiness, vitals };
    Router::new()
        .route(
            "/healthz",
            get(|| async { Json(json!({ "status": "ok" })) }),
        )
        .route("/readyz", get(ready).with_state(probe))
}

async fn ready(State(probe): State<Probe>) -> (StatusCode, Json<Value>) {
    let draining = probe.readiness.is_draining().then_some("draining");
    let seen = probe.vitals.look().await;
    let reasons: Vec<_> = draining.into_iter().chain(seen.troubles.clone()).collect();
    if reasons.is_empty() {
        return (StatusCode::OK, Json(json!({ "status": "ready" })));
    }
    let body = json!({ "status": "not ready", "reasons": reasons });
    (StatusCode::SERVICE_UNAVAILABLE, Json(body))
}
