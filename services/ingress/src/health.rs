//! For load balancers: is the process alive, and should it get requests.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{Json, Router, extract::State, http::StatusCode, routing::get};
use serde_json::{Value, json};
use tokio::time::timeout;
use waybill_messaging::{Bus, Key, Subscription};

/// A port that takes longer is as good as away.
const PATIENCE: Duration = Duration::from_secs(2);

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
    bus: Bus,
    /// One queue stands for all: they share their backend.
    subscription: Option<&'static str>,
}

pub(crate) fn router(readiness: Readiness, bus: Bus, subscriptions: &[Subscription]) -> Router {
    let probe = Probe {
        readiness,
        bus,
        subscription: subscriptions.first().map(|first| first.name),
    };
    Router::new()
        .route(
            "/healthz",
            get(|| async { Json(json!({ "status": "ok" })) }),
        )
        .route("/readyz", get(ready).with_state(probe))
}

async fn ready(State(probe): State<Probe>) -> (StatusCode, Json<Value>) {
    let mut reasons = Vec::new();
    if probe.readiness.is_draining() {
        reasons.push("draining");
    }
    let key = Key::new("health", "probe");
    let ledger = async { probe.bus.ledger.get(&key).await.map(drop) };
    let queue = async {
        match probe.subscription {
            Some(name) => probe.bus.queue.depth(name).await.map(drop),
            None => Ok(()),
        }
    };
    let (ledger, queue) = tokio::join!(timeout(PATIENCE, ledger), timeout(PATIENCE, queue));
    for (answer, reason) in [
        (ledger, "the ledger does not answer"),
        (queue, "the queue does not answer"),
    ] {
        match answer {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    reason,
                    "not ready"
                );
                reasons.push(reason);
            }
            Err(_) => {
                tracing::warn!(reason, "not ready: no answer in time");
                reasons.push(reason);
            }
        }
    }
    if reasons.is_empty() {
        return (StatusCode::OK, Json(json!({ "status": "ready" })));
    }
    let body = json!({ "status": "not ready", "reasons": reasons });
    (StatusCode::SERVICE_UNAVAILABLE, Json(body))
}
