//! One MCP session with an upstream, from handshake to end.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use rmcp::{
    ClientHandler, Peer, RoleClient,
    model::{
        ClientCapabilities, ClientConfig, ErrorCode, Implementation, PaginatedRequestParams,
        ProgressNotificationParam, ProgressToken, ServerPeerInfo, SubscriptionFilter, Tool,
    },
    service::{
        ClientCacheConfig, ClientInitializeError, ClientLifecycleMode, NotificationContext,
        RunningService, ServiceError, serve_client_with_lifecycle_and_ct,
    },
    transport::IntoTransport,
};
use tokio::sync::{Notify, watch};
use tokio_util::sync::{CancellationToken, DropGuard};

/// Pages of one `tools/list`; a server that turns in a circle is stopped here.
const MAX_PAGES: usize = 100;
/// Tools of one server.
const MAX_TOOLS: usize = 2000;
/// Pause before a subscription that ended is made again.
const RELISTEN: Duration = Duration::from_secs(5);

/// What calls and the supervisor share of a live session. The session is closed when the last one
/// drops it, so that a call in flight on a replaced HTTP session still gets its answer.
pub(crate) struct Session {
    pub(crate) peer: Peer<RoleClient>,
    pub(crate) progress: Progress,
    /// Fires when the tools may have changed.
    pub(crate) changed: Arc<Notify>,
    pub(crate) info: Arc<ServerPeerInfo>,
    _open: DropGuard,
}

/// A running rmcp client.
pub(crate) type Running = RunningService<RoleClient, Client>;

/// Shakes hands over `transport`. The session ends with `open`, which is cancelled when the session
/// is dropped.
pub(crate) async fn shake_hands<T, E, A>(
    transport: T,
    mode: ClientLifecycleMode,
    open: CancellationToken,
) -> Result<(Session, Running), ClientInitializeError>
where
    T: IntoTransport<RoleClient, E, A>,
    E: std::error::Error + Send + Sync + 'static,
{
    let client = Client::default();
    let (progress, changed) = (client.progress.clone(), client.changed.clone());
    let guard = open.clone().drop_guard();
    let running = serve_client_with_lifecycle_and_ct(client, transport, mode, open).await?;
    let peer = running.peer().clone();
    // A list is read when it changed: an answer from a cache would be the old one.
    peer.set_response_cache_config(ClientCacheConfig::disabled())
        .await;
    let info = peer.peer_info().ok_or(ClientInitializeError::Cancelled)?;
    Ok((
        Session {
            peer,
            progress,
            changed,
            info,
            _open: guard,
        },
        running,
    ))
}

impl Session {
    /// Whether it is of 2026-07-28 or newer: no session, capabilities with each request.
    pub(crate) fn is_modern(&self) -> bool {
        !self.info.protocol_version.has_initialize()
    }

    /// Its tools, all pages. A server without tools has an empty list.
    pub(crate) async fn tools(&self) -> Result<Vec<Tool>, ServiceError> {
        let mut tools = Vec::new();
        let mut cursor = None;
        for _ in 0..MAX_PAGES {
            let params = PaginatedRequestParams::default().with_cursor(cursor);
            match self.peer.list_tools(Some(params)).await {
                Ok(page) => {
                    tools.extend(page.tools);
                    cursor = page.next_cursor;
                }
                Err(ServiceError::McpError(error)) if error.code == ErrorCode::METHOD_NOT_FOUND => {
                    break;
                }
                Err(error) => return Err(error),
            }
            if cursor.is_none() || tools.len() >= MAX_TOOLS {
                break;
            }
        }
        tools.truncate(MAX_TOOLS);
        Ok(tools)
    }

    /// Turns a modern server's subscription into `changed`; an old server sends its notification by
    /// itself. Runs until it is dropped.
    pub(crate) async fn watch_changes(&self) {
        let announces = self
            .info
            .capabilities
            .tools
            .as_ref()
            .and_then(|tools| tools.list_changed);
        if !self.is_modern() || announces != Some(true) {
            return std::future::pending().await;
        }
        loop {
            let filter = SubscriptionFilter::builder().tools_list_changed().build();
            if let Ok(mut subscription) = self.peer.listen(filter).await {
                // Once at the start as well: it may have changed before we listened.
                self.changed.notify_one();
                while let Ok(Some(_)) = subscription.next().await {
                    self.changed.notify_one();
                }
            }
            tokio::time::sleep(RELISTEN).await;
        }
    }
}

/// Our side of the protocol. It declares no capability, so an old server has nothing to ask us.
#[derive(Clone, Default)]
pub(crate) struct Client {
    progress: Progress,
    changed: Arc<Notify>,
}

impl ClientHandler for Client {
    fn get_info(&self) -> ClientConfig {
        let us = Implementation::new("waybill", env!("CARGO_PKG_VERSION"));
        ClientConfig::new(ClientCapabilities::default(), us)
    }

    async fn on_progress(
        &self,
        update: ProgressNotificationParam,
        _context: NotificationContext<RoleClient>,
    ) {
        self.progress.deliver(update);
    }

    async fn on_tool_list_changed(&self, _context: NotificationContext<RoleClient>) {
        self.changed.notify_one();
    }
}

type Latest = watch::Sender<Option<ProgressNotificationParam>>;

/// Brings progress to the call that it belongs to. Latest wins: a call that does not look keeps
/// nobody waiting.
#[derive(Clone, Default)]
pub(crate) struct Progress(Arc<Mutex<HashMap<ProgressToken, Latest>>>);

impl Progress {
    pub(crate) fn subscribe(&self, token: ProgressToken) -> ProgressUpdates {
        let (sender, updates) = watch::channel(None);
        self.lock().insert(token.clone(), sender);
        ProgressUpdates {
            registry: self.clone(),
            token,
            updates,
        }
    }

    fn deliver(&self, update: ProgressNotificationParam) {
        let Some(latest) = self.lock().get(&update.progress_token).cloned() else {
            return;
        };
        latest.send_if_modified(|last| {
            // rmcp handles each notification in a task of its own: an older one may come late.
            let newer = last
                .as_ref()
                .is_none_or(|last| update.progress > last.progress);
            if newer {
                *last = Some(update);
            }
            newer
        });
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<ProgressToken, Latest>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The progress of one request; ends its registration when dropped.
pub(crate) struct ProgressUpdates {
    registry: Progress,
    token: ProgressToken,
    updates: watch::Receiver<Option<ProgressNotificationParam>>,
}

impl ProgressUpdates {
    pub(crate) async fn next(&mut self) -> ProgressNotificationParam {
        loop {
            if self.updates.changed().await.is_err() {
                return std::future::pending().await;
            }
            if let Some(update) = self.updates.borrow_and_update().clone() {
                return update;
            }
        }
    }
}

impl Drop for ProgressUpdates {
    fn drop(&mut self) {
        self.registry.lock().remove(&self.token);
    }
}
