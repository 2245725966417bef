//! `/admin/doctor`: is everything that this process needs there.

use std::{sync::Arc, time::Duration};

use axum::{Json, Router, extract::State, routing::get};
use futures::future::{BoxFuture, join_all};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::time::timeout;

/// For one check; they run at once.
const PATIENCE: Duration = Duration::from_secs(20);

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
    let found = join_all(checks.iter().map(|check| async {
        let late = || Verdict::Failed(format!("no answer in {} s", PATIENCE.as_secs()));
        let verdict = timeout(PATIENCE, (check.run)()).await;
        json!({ "check": check.name, "result": verdict.unwrap_or_else(|_| late()) })
    }));
    Json(json!({ "checks": found.await }))
}
