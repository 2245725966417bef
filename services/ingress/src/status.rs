//! `/mcp/status/{id}`: what became of a call, for anybody who can poll.

use std::{convert::Infallible, time::Duration};

use axum::{
    Extension, Json, Router,
    extract::{Path, Query, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{
        IntoResponse, Response,
        sse::{Event, KeepAlive, Sse},
    },
    routing::get,
};
use futures::{Stream, stream};
use serde::Deserialize;
use tokio::time::Instant;
use waybill_calls::{Status, Stored};
use waybill_identity::Principal;

use crate::{
    desk::{Desk, settled},
    problem::Problem,
};

/// The longest wait of one request: API Gateway cuts at 29 s.
const MAX_WAIT_S: u64 = 28;
/// What a client that polls without waiting is told to leave between two looks.
const POLL_AFTER_S: u64 = 1;
/// Between two comments on an idle stream: proxies cut at about 100 s.
const HEARTBEAT: Duration = Duration::from_secs(15);

#[derive(Deserialize)]
struct Wait {
    /// Seconds to wait for an end.
    wait: Option<u64>,
}

pub(crate) fn router(desk: Desk) -> Router {
    Router::new().route(
        "/mcp/status/{id}",
        get(show).delete(cancel).with_state(desk),
    )
}

async fn show(
    State(desk): State<Desk>,
    Extension(principal): Extension<Principal>,
    Path(id): Path<String>,
    query: Result<Query<Wait>, axum::extract::rejection::QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let Query(Wait { wait }) =
        query.map_err(|_| Problem::bad_request("wait takes a whole number of seconds, 0 to 28"))?;
    let mut stored = desk.find(&principal, &id).await?;
    let accepts = headers
        .get(header::ACCEPT)
        .and_then(|accept| accept.to_str().ok());
    if accepts.is_some_and(|accept| accept.contains("text/event-stream")) {
        return Ok(follow(desk, stored).into_response());
    }
    if let Some(wait) = wait.filter(|wait| *wait > 0) {
        stored = desk
            .outcome(stored, Duration::from_secs(wait.min(MAX_WAIT_S)))
            .await?;
    }
    document(&desk, &stored, &headers).await
}

async fn cancel(
    State(desk): State<Desk>,
    Extension(principal): Extension<Principal>,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let found = desk.find(&principal, &id).await?;
    let stored = desk.cancel(&principal, &found.call.id).await?;
    // A running tool is told; its end is seen by polling.
    let ended = stored.call.state.is_terminal();
    let code = if ended {
        StatusCode::OK
    } else {
        StatusCode::ACCEPTED
    };
    Ok((code, Json(status(&desk, &stored).await?)).into_response())
}

async fn document(desk: &Desk, stored: &Stored, headers: &HeaderMap) -> Result<Response, Problem> {
    let tag = format!("\"{}\"", stored.version);
    let etag = HeaderValue::from_str(&tag).expect("digits and quotes");
    let known = headers
        .get(header::IF_NONE_MATCH)
        .and_then(|value| value.to_str().ok());
    let mut response = if known.is_some_and(|known| known.split(',').any(|k| k.trim() == tag)) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        Json(status(desk, stored).await?).into_response()
    };
    let fields = response.headers_mut();
    fields.insert(header::ETAG, etag);
    fields.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if !settled(&stored.call) {
        fields.insert(header::RETRY_AFTER, HeaderValue::from(POLL_AFTER_S));
    }
    Ok(response)
}

pub(crate) async fn status(desk: &Desk, stored: &Stored) -> Result<Status, Problem> {
    let result = desk.calls().result(&stored.call).await?;
    Ok(Status::new(&stored.call, result))
}

/// One `status` event now and at every change, until the call has ended.
fn follow(desk: Desk, stored: Stored) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let events = stream::unfold(Some((desk, stored, true)), |state| async move {
        let (desk, mut stored, first) = state?;
        while !first {
            let until = Instant::now() + Duration::from_secs(MAX_WAIT_S);
            match desk.next(&stored, until).await {
                Ok(Some(newer)) => {
                    stored = newer;
                    break;
                }
                Ok(None) => {}
                Err(_) => return None,
            }
        }
        let document = status(&desk, &stored).await.ok()?;
        let event = Event::default()
            .event("status")
            .id(stored.version.to_string());
        let event = event.json_data(document).ok()?;
        let ended = stored.call.state.is_terminal();
        Some((Ok(event), (!ended).then_some((desk, stored, false))))
    });
    Sse::new(events).keep_alive(KeepAlive::new().interval(HEARTBEAT))
}
