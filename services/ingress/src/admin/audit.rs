//! `/admin/audit`.

use axum::{
    Json, Router,
    extract::{Query, State},
    routing::get,
};
use serde::Deserialize;
use serde_json::{Value, json};
use waybill_audit_sink::{Error, Trail};

use crate::problem::Problem;

const MAX_TAIL: usize = 10_000;

#[derive(Deserialize)]
struct Tail {
    limit: Option<usize>,
}

#[derive(Deserialize)]
struct Export {
    /// Number of the first entry wanted.
    from: Option<u64>,
}

pub(super) fn router(trail: Trail) -> Router {
    Router::new()
        .route("/audit", get(tail))
        .route("/audit/export", get(export))
        .route("/audit/verify", get(verify))
        .with_state(trail)
}

async fn tail(
    State(trail): State<Trail>,
    Query(Tail { limit }): Query<Tail>,
) -> Result<Json<Value>, Problem> {
    let entries = trail.tail(limit.unwrap_or(50).min(MAX_TAIL)).await?;
    Ok(Json(json!({ "entries": entries })))
}

/// A page of entries and the number that the next page begins with.
async fn export(
    State(trail): State<Trail>,
    Query(Export { from }): Query<Export>,
) -> Result<Json<Value>, Problem> {
    let (entries, next) = trail.export(from.unwrap_or(1)).await?;
    Ok(Json(json!({ "entries": entries, "next": next })))
}

async fn verify(State(trail): State<Trail>) -> Result<Json<Value>, Problem> {
    let verification = trail.verify().await?;
    let message = verification.flaw.as_ref().map(ToString::to_string);
    Ok(Json(json!({
        "sound": verification.flaw.is_none(),
        "entries": verification.entries,
        "head": verification.head,
        "flaw": verification.flaw,
        "message": message,
    })))
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        Self::internal(&error)
    }
}
