//! `/admin/doctor`: is everything that this process needs there.

use std::sync::Arc;

use axum::{Json, Router, extract::State, routing::get};
use futures::future::BoxFuture;
use serde::Serialize;
use serde_json::{Value, json};

/// One thing that can be wrong. Made by the composition root, which knows what there is.
#[derive(Clone)]
pub struct Check {
    pub name: String,
    pub run: Arc<dyn Fn() -> BoxFuture<'static, Verdict> + Send + Sync>,
}

pub type Checks = Arc<[Check]>;

/// What a check found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase", tag = "verdict", content = "message")]
pub enum Verdict {
    Ok(String),
    Warning(String),
    Failed(String),
}

pub(super) fn router(checks: Checks) -> Router {
    Router::new()
        .route("/doctor", get(examine))
        .with_state(checks)
}

async fn examine(State(checks): State<Checks>) -> Json<Value> {
    let mut found = Vec::with_capacity(checks.len());
    for check in &*checks {
        found.push(json!({ "check": check.name, "result": (check.run)().await }));
    }
    Json(json!({ "checks": found }))
}
