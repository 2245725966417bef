//! One request to an upstream: its progress, its cancellation, its deadline.

use rmcp::{
    RoleClient,
    model::{
        ClientCapabilities, ClientRequest, JsonObject, RequestMetaObject, ServerResult,
        TASKS_EXTENSION_ID,
    },
    service::{PeerRequestOptions, RequestHandle},
};
use tokio::time::{Duration, sleep_until, timeout};
use tokio_util::task::TaskTracker;
use tracing::Instrument as _;
use waybill_telemetry::trace;
use waybill_toolkit::{ToolContext, ToolError};

use crate::{
    outcome::{failed, is_lost, unavailable, unknown},
    session::Session,
    upstream::Upstream,
};

/// For the last word to an upstream that may not be listening.
const FAREWELL: Duration = Duration::from_secs(5);

/// Sends `request` and waits for its answer, no longer than the call's deadline. Who stops waiting,
/// by cancellation, deadline or drop, tells the upstream; a late answer goes nowhere. Never
/// retried here: the queue knows whether it may.
pub(crate) async fn exchange(
    upstream: &Upstream,
    session: &Session,
    request: ClientRequest,
    cx: &ToolContext,
) -> Result<ServerResult, ToolError> {
    let span = tracing::info_span!(
        "upstream_request",
        upstream = upstream.name,
        mcp.method = request.method(),
        otel.kind = "client",
    );
    let exchanged = send(upstream, session, request, cx);
    exchanged.instrument(span).await
}

async fn send(
    upstream: &Upstream,
    session: &Session,
    request: ClientRequest,
    cx: &ToolContext,
) -> Result<ServerResult, ToolError> {
    let options = options(session, Some(cx));
    let Ok(handle) = session
        .peer
        .send_cancellable_request(request, options)
        .await
    else {
        return Err(unavailable(
            &upstream.name,
            "the connection was just lost",
            None,
        ));
    };
    let mut progress = session.progress.subscribe(handle.progress_token.clone());
    let mut request = InFlight {
        handle: Some(handle),
        tasks: upstream.tasks.clone(),
    };
    loop {
        tokio::select! {
            // In this order, so that progress that came before the answer is passed on before it.
            biased;
            update = progress.next() => cx.progress(update.progress, update.total, update.message),
            answer = request.answer() => {
                return match answer {
                    Some(Ok(result)) => Ok(result),
                    Some(Err(error)) => {
                        if is_lost(&error) {
                            session.changed.notify_one();
                        }
                        Err(failed(&upstream.name, error))
                    }
                    None => Err(unknown(&upstream.name, "the connection was lost mid-call")),
                };
            }
            () = cx.cancelled().cancelled() => return Err(ToolError::Cancelled),
            () = sleep_until(cx.deadline()) => {
                return Err(unknown(&upstream.name, "no answer before the deadline"));
            }
        }
    }
}

/// The trace, and for a modern server what we understand. Nothing else of the client's: an upstream
/// has credentials of its own.
pub(crate) fn options(session: &Session, cx: Option<&ToolContext>) -> PeerRequestOptions {
    let mut meta = RequestMetaObject::new();
    if let Some(cx) = cx {
        let here = trace::traceparent(&tracing::Span::current());
        if let Some(traceparent) = here.as_deref().or(cx.traceparent()) {
            meta.set_traceparent(traceparent);
        }
    }
    if session.is_modern() {
        meta.set_client_capabilities(capabilities(cx));
    }
    PeerRequestOptions::no_options().with_meta(meta)
}

/// Tasks, which we follow ourselves, and questions if the client who would answer them said that it
/// can: else the upstream may find another way.
fn capabilities(cx: Option<&ToolContext>) -> ClientCapabilities {
    let mut capabilities = ClientCapabilities::default();
    let client = cx.and_then(ToolContext::client_capabilities);
    capabilities.elicitation = client.and_then(|client| client.elicitation.clone());
    capabilities.extensions = Some([(TASKS_EXTENSION_ID.to_owned(), JsonObject::new())].into());
    capabilities
}

/// A request whose answer is awaited. Dropped before that, it is cancelled at the upstream.
struct InFlight {
    handle: Option<RequestHandle<RoleClient>>,
    tasks: TaskTracker,
}

impl InFlight {
    /// `None`: the session ended.
    async fn answer(&mut self) -> Option<Result<ServerResult, rmcp::ServiceError>> {
        let handle = self.handle.as_mut()?;
        let answer = (&mut handle.rx).await;
        self.handle = None;
        answer.ok()
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        if let Some(handle) = self.handle.take() {
            let reason = "the call was cancelled or ran out of time".to_owned();
            self.tasks.spawn(async move {
                // Best effort: the answer has no reader either way.
                drop(timeout(FAREWELL, handle.cancel(Some(reason))).await);
            });
        }
    }
}
