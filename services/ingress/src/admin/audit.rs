//! `/admin/audit`.

use axum::{
    Json, Router,
    body::{Body, Bytes},
    extract::{Query, State, rejection::QueryRejection},
    http::{HeaderMap, header},
    response::{IntoResponse, Response},
    routing::get,
};
use futures::{Stream, stream};
use serde::Deserialize;
use serde_json::{Value, json};
use waybill_audit_sink::{Entry, Error, Tail, Trail};

use crate::problem::Problem;

const MAX_TAIL: usize = 10_000;
/// JSON Lines: one entry a line.
const LINES: &str = "application/jsonl";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Newest {
    limit: Option<usize>,
    /// Only entries about it: a call's id, a key's.
    subject: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
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
    query: Result<Query<Newest>, QueryRejection>,
) -> Result<Json<Tail>, Problem> {
    let Query(Newest { limit, subject }) = query?;
    let limit = limit.unwrap_or(50).clamp(1, MAX_TAIL);
    Ok(Json(trail.tail(limit, subject.as_deref()).await?))
}

/// A page of entries and the number that the next page begins with; for `Accept:
/// application/jsonl` all of them in one stream.
async fn export(
    State(trail): State<Trail>,
    query: Result<Query<Export>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let Query(Export { from }) = query?;
    let from = from.unwrap_or(1);
    let accept = headers
        .get(header::ACCEPT)
        .and_then(|accept| accept.to_str().ok());
    let (entries, next) = trail.export(from).await?;
    if !accept.is_some_and(|accept| accept.contains(LINES)) {
        return Ok(Json(json!({ "entries": entries, "next": next })).into_response());
    }
    let body = Body::from_stream(pages(trail, entries, next));
    Ok(([(header::CONTENT_TYPE, LINES)], body).into_response())
}

/// The first page and those after it. A page that cannot be read cuts the answer off, so that
/// nobody takes it for the whole trail.
fn pages(
    trail: Trail,
    entries: Vec<Entry>,
    next: Option<u64>,
) -> impl Stream<Item = Result<Bytes, Error>> {
    let state = Some((trail, Some(entries), next));
    stream::unfold(state, |state| async move {
        let (trail, first, next) = state?;
        let (entries, next) = match (first, next) {
            (Some(entries), next) => (entries, next),
            (None, Some(from)) => match trail.export(from).await {
                Ok(page) => page,
                Err(error) => return Some((Err(error), None)),
            },
            (None, None) => return None,
        };
        Some((Ok(lines(&entries)), Some((trail, None, next))))
    })
}

fn lines(entries: &[Entry]) -> Bytes {
    let mut text = Vec::new();
    for entry in entries {
        serde_json::to_writer(&mut text, entry).expect("entries are plain structs");
        text.push(b'\n');
    }
    text.into()
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
        match error {
            Error::Port(error) => error.into(),
            Error::Unreadable { .. } => Self::internal(&error),
        }
    }
}
