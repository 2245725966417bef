//! `/mcp/status/{id}`: what became of a call, for anybody who can poll.

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{
    Extension, Json, Router,
    extract::{
        Path, Query, State,
        rejection::{PathRejection, QueryRejection},
    },
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{
        IntoResponse, Response,
        sse::{Event, KeepAlive, Sse},
    },
    routing::get,
};
use futures::{Stream, stream};
use serde::Deserialize;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Instant,
};
use tokio_util::sync::CancellationToken;
use waybill_calls::{McpStatus, Status, Stored};
use waybill_identity::{Principal, Scope};

use crate::{auth::require, desk::Desk, problem::Problem};

/// The longest wait of one request: API Gateway cuts at 29 s.
const MAX_WAIT_S: u64 = 28;
/// Between two comments on an idle stream: proxies cut at about 100 s.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// A stream ends after this, and its client asks again: a revoked key does not listen for ever.
const LIFETIME: Duration = Duration::from_hours(1);
/// Streams of one process.
const MAX_STREAMS: usize = 1_000;
const LAST_EVENT_ID: &str = "last-event-id";

#[derive(Deserialize)]
struct Wait {
    /// Seconds to wait.
    wait: Option<u64>,
}

#[derive(Clone)]
struct Counter {
    desk: Desk,
    shutdown: CancellationToken,
    streams: Arc<Semaphore>,
}

pub(crate) fn router(desk: Desk, shutdown: CancellationToken) -> Router {
    let counter = Counter {
        desk,
        shutdown,
        streams: Arc::new(Semaphore::new(MAX_STREAMS)),
    };
    Router::new().route(
        "/mcp/status/{id}",
        get(show).delete(cancel).with_state(counter),
    )
}

async fn show(
    State(counter): State<Counter>,
    Extension(principal): Extension<Principal>,
    id: Result<Path<String>, PathRejection>,
    query: Result<Query<Wait>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let stored = find(&counter.desk, &principal, id).await?;
    let Ok(Query(Wait { wait })) = query else {
        let message = "wait takes a whole number of seconds, 0 to 28";
        return Err(Problem::bad_request(message));
    };
    if text(&headers, header::ACCEPT.as_str()).contains("text/event-stream") {
        return follow(counter, stored, text(&headers, LAST_EVENT_ID));
    }
    let wait = Duration::from_secs(wait.unwrap_or(0).min(MAX_WAIT_S));
    let stored = wait_for(&counter.desk, stored, wait, &headers).await?;
    document(&counter.desk, &stored, &headers).await
}

async fn cancel(
    State(counter): State<Counter>,
    Extension(principal): Extension<Principal>,
    id: Result<Path<String>, PathRejection>,
) -> Result<Response, Problem> {
    require(&principal, Scope::ToolsCall)?;
    let desk = &counter.desk;
    let found = find(desk, &principal, id).await?;
    let stored = desk.cancel(&principal, &found.call.id).await?;
    // A running tool is told; its end is seen by polling.
    let ended = stored.call.state.is_terminal();
    let code = if ended {
        StatusCode::OK
    } else {
        StatusCode::ACCEPTED
    };
    let mut response = (code, Json(status(desk, &stored).await?)).into_response();
    mark(&mut response, &stored);
    Ok(response)
}

/// An id that cannot even be decoded is as unknown as any other.
async fn find(
    desk: &Desk,
    principal: &Principal,
    id: Result<Path<String>, PathRejection>,
) -> Result<Stored, Problem> {
    let Path(id) = id.map_err(|_| Problem::no_such_call())?;
    Ok(desk.find(principal, &id).await?)
}

/// A client that names the version it knows waits for another one; others wait for an end, or for
/// what only a client can change.
async fn wait_for(
    desk: &Desk,
    stored: Stored,
    wait: Duration,
    headers: &HeaderMap,
) -> Result<Stored, Problem> {
    if wait.is_zero() || stored.call.state.is_terminal() {
        return Ok(stored);
    }
    if is_known(headers, &stored) {
        let newer = desk.next(&stored, Instant::now() + wait).await?;
        return Ok(newer.unwrap_or(stored));
    }
    Ok(desk.outcome(stored, wait).await?)
}

async fn document(desk: &Desk, stored: &Stored, headers: &HeaderMap) -> Result<Response, Problem> {
    let mut response = if is_known(headers, stored) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        Json(status(desk, stored).await?).into_response()
    };
    mark(&mut response, stored);
    Ok(response)
}

pub(crate) async fn status(desk: &Desk, stored: &Stored) -> Result<Status, Problem> {
    let result = desk.calls().result(&stored.call).await?;
    Ok(Status::new(&stored.call, result))
}

/// `ETag`, and when to look again while there is something to come.
pub(crate) fn mark(response: &mut Response, stored: &Stored) {
    let etag = HeaderValue::from_str(&etag(stored)).expect("digits and quotes");
    let fields = response.headers_mut();
    fields.insert(header::ETAG, etag);
    let cache = HeaderValue::from_static("private, no-cache");
    fields.insert(header::CACHE_CONTROL, cache);
    fields.insert(header::VARY, HeaderValue::from_static("accept"));
    if McpStatus::from(stored.call.state) == McpStatus::Working {
        fields.insert(header::RETRY_AFTER, HeaderValue::from(poll_after_s(stored)));
    }
}

fn etag(stored: &Stored) -> String {
    format!("\"{}\"", stored.version)
}

/// Weak comparison (RFC 9110, 13.1.2).
fn is_known(headers: &HeaderMap, stored: &Stored) -> bool {
    let etag = etag(stored);
    let values = headers.get_all(header::IF_NONE_MATCH).iter();
    let mut tags = values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|v| v.split(','));
    tags.any(|tag| {
        let tag = tag.trim();
        tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == etag
    })
}

/// Soon for a young call, rarely for an old one: a tenth of its age, 1 to 10 s.
fn poll_after_s(stored: &Stored) -> u64 {
    let age = stored.call.updated_at - stored.call.created_at;
    u64::try_from(age.num_seconds())
        .unwrap_or(0)
        .div_ceil(10)
        .clamp(1, 10)
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    let value = headers.get(name).and_then(|value| value.to_str().ok());
    value.unwrap_or_default()
}

/// One `status` event now and at every change, until the call has ended. A client that comes back
/// after a cut names what it saw last; when that was the end, 204 tells an `EventSource` to stop.
fn follow(counter: Counter, stored: Stored, seen: &str) -> Result<Response, Problem> {
    let seen = seen == stored.version.to_string();
    if seen && stored.call.state.is_terminal() {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let Ok(place) = counter.streams.try_acquire_owned() else {
        let message = "too many streams are open; poll, or try again later";
        let problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE, "too_many_streams", message);
        return Err(problem.retry_after(10));
    };
    let follower = Follower {
        desk: counter.desk,
        shutdown: counter.shutdown,
        until: Instant::now() + LIFETIME,
        stored,
        seen,
        _place: place,
    };
    let keep_alive = KeepAlive::new().interval(HEARTBEAT).text("heartbeat");
    Ok(Sse::new(follower.events())
        .keep_alive(keep_alive)
        .into_response())
}

struct Follower {
    desk: Desk,
    shutdown: CancellationToken,
    until: Instant,
    stored: Stored,
    /// The client has this version.
    seen: bool,
    _place: OwnedSemaphorePermit,
}

impl Follower {
    fn events(self) -> impl Stream<Item = Result<Event, Infallible>> {
        stream::unfold(Some(self), |follower| async move {
            let mut follower = follower?;
            match follower.next().await {
                Ok(Some(event)) => {
                    let more = !follower.stored.call.state.is_terminal();
                    Some((Ok(event), more.then_some(follower)))
                }
                Ok(None) => None,
                Err(problem) => {
                    let event = Event::default()
                        .event("error")
                        .json_data(problem.document());
                    Some((Ok(event.ok()?), None))
                }
            }
        })
    }

    /// `None`: the stream's time is up, or the process ends. The client asks again.
    async fn next(&mut self) -> Result<Option<Event>, Problem> {
        if self.seen {
            let newer = tokio::select! {
                newer = self.desk.next(&self.stored, self.until) => newer?,
                () = self.shutdown.cancelled() => None,
            };
            let Some(newer) = newer else { return Ok(None) };
            self.stored = newer;
        }
        self.seen = true;
        let document = status(&self.desk, &self.stored).await?;
        let event = Event::default()
            .event("status")
            .id(self.stored.version.to_string());
        event
            .json_data(document)
            .map(Some)
            .map_err(|error| Problem::internal(&error))
    }
}
