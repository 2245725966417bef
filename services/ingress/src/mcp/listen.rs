//! `subscriptions/listen`: changes of the lists, and of calls as resources, on an open stream.

use std::time::Duration;

use futures::{StreamExt, stream::FuturesUnordered};
use rmcp::{
    model::{
        ErrorData, PromptListChangedNotification, ResourceUpdatedNotification,
        ResourceUpdatedNotificationParam, ServerNotification, SubscriptionFilter,
        ToolListChangedNotification,
    },
    service::{SubscriptionContext, SubscriptionSink},
};
use tokio::{
    sync::watch,
    time::{Instant, sleep},
};
use waybill_calls::Stored;

use super::{asked::principal, resources::call_id, server::Server};

/// Streams of one process.
pub(super) const MAX_STREAMS: usize = 1_000;
/// A stream ends after this, and its client asks again: a revoked key does not listen for ever.
const LIFETIME: Duration = Duration::from_hours(1);
/// Calls that one stream follows.
const MAX_CALLS: usize = 20;
/// One look for changes of a call.
const LOOK: Duration = Duration::from_secs(30);
/// Pause after the ledger could not be reached.
const PAUSE: Duration = Duration::from_secs(5);

/// Everything that is asked for and that we could send; rmcp takes away what we do not advertise.
pub(super) fn accepted(requested: &SubscriptionFilter) -> SubscriptionFilter {
    let mut filter = requested.clone();
    if let Some(uris) = &mut filter.resource_subscriptions {
        uris.retain(|uri| call_id(uri).is_some());
        uris.truncate(MAX_CALLS);
    }
    filter
}

/// Runs until the client leaves or the service ends.
pub(super) async fn listen(server: &Server, cx: SubscriptionContext) -> Result<(), ErrorData> {
    let principal = principal(cx.request_context())?.clone();
    let Ok(_place) = server.streams.try_acquire() else {
        let message = "too many streams are open; ask again later";
        return Err(ErrorData::internal_error(message, None));
    };
    let (tools, prompts) = (server.changes.tools(), server.changes.prompts());
    let registry = server.desk.registry().changes();
    let mut calls = FuturesUnordered::new();
    for uri in cx.accepted().resource_subscriptions.iter().flatten() {
        let id = call_id(uri).unwrap_or_default();
        if let Ok(stored) = server.desk.find(&principal, id).await {
            calls.push(follow(server, stored, uri, cx.sink()));
        }
    }
    let tools_changed = || {
        let changed = ToolListChangedNotification::default();
        ServerNotification::ToolListChangedNotification(changed)
    };
    let prompts_changed = || {
        let changed = PromptListChangedNotification::default();
        ServerNotification::PromptListChangedNotification(changed)
    };
    tokio::select! {
        () = cx.cancelled() => {}
        () = server.shutdown.cancelled() => {}
        () = sleep(LIFETIME) => {}
        () = async { tokio::join!(
            tell(tools, cx.sink(), tools_changed),
            tell(registry, cx.sink(), tools_changed),
            tell(prompts, cx.sink(), prompts_changed),
            async { while calls.next().await.is_some() {} },
        ); } => {}
    }
    Ok(())
}

/// Says so at each change, until the stream is closed. A client that did not ask gets nothing.
async fn tell(
    mut changes: watch::Receiver<()>,
    sink: &SubscriptionSink,
    say: impl Fn() -> ServerNotification,
) {
    while changes.changed().await.is_ok() {
        // Not accepted, or closed: the select above ends a closed stream.
        drop(sink.send(say()).await);
    }
}

/// Says so at each new version of a call, until it has ended.
async fn follow(server: &Server, mut stored: Stored, uri: &str, sink: &SubscriptionSink) {
    while !stored.call.state.is_terminal() {
        match server.desk.next(&stored, Instant::now() + LOOK).await {
            Ok(Some(newer)) => stored = newer,
            Ok(None) => continue,
            Err(error) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "cannot follow a call"
                );
                sleep(PAUSE).await;
                continue;
            }
        }
        let updated = ResourceUpdatedNotificationParam::new(uri);
        let updated = ResourceUpdatedNotification::new(updated);
        let sent = sink.send(ServerNotification::ResourceUpdatedNotification(updated));
        if sent.await.is_err() {
            return;
        }
    }
}
