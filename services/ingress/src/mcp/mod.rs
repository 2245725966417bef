//! MCP at the door: one endpoint for both eras of the protocol, with no session held anywhere.

mod asked;
mod batch;
mod call;
mod changes;
mod door;
mod envelope;
mod errors;
mod listen;
mod old_tasks;
mod outcome;
mod own;
mod reports;
mod resources;
mod server;
mod tasks;
mod ticket;
mod tools;

use std::{sync::Arc, time::Duration};

use axum::{Router, http::StatusCode, routing};
use rmcp::transport::streamable_http_server::{
    StreamableHttpServerConfig, StreamableHttpService, session::never::NeverSessionManager,
};
use tokio_util::sync::CancellationToken;
use waybill_toolkit::Content;

pub use changes::Changes;
pub use errors::ERROR_NO_ANSWER;

use self::{door::Door, server::Server, ticket::Tickets};
use crate::desk::Desk;

/// Everything that MCP needs. Cheap to clone.
#[derive(Clone)]
pub struct McpState {
    pub desk: Desk,
    /// Prompts and resources besides our own, where there are any.
    pub content: Option<Arc<dyn Content>>,
    /// Told when the list of tools or prompts has changed.
    pub changes: Changes,
    pub settings: Arc<McpSettings>,
    /// Ends open streams.
    pub shutdown: CancellationToken,
}

/// How the endpoint behaves.
#[derive(Clone, Debug)]
pub struct McpSettings {
    /// `Host` headers that are answered, `NAME` or `NAME:PORT`; others get 403 (DNS rebinding).
    /// Empty: any.
    pub hosts: Vec<String>,
    /// `Origin` headers that are answered, such as `https://app.example.com:443` or
    /// `http://localhost:*`; others get 403. A request without one passes.
    pub origins: Vec<String>,
    /// Where clients reach the gateway (`https://gateway.example.com`), for status URLs. `None`:
    /// what the request's `Host` says.
    pub public_url: Option<String>,
    /// Key of the seal on `requestState`, the same on every instance; at least 32 bytes.
    pub state_key: Vec<u8>,
    /// Largest request body, in bytes.
    pub body_bytes: usize,
    /// How long a call is waited for when the client has no tasks.
    pub wait: Duration,
    /// The same for a client that has: beyond it, it gets a task.
    pub task_wait: Duration,
    /// The longest wait that a client may ask for (`Prefer: wait=SECONDS`). Below the 29 s and 30 s
    /// after which gateways and clients give up.
    pub max_wait: Duration,
    /// Tools on one page of `tools/list`.
    pub page: usize,
}

impl McpSettings {
    /// Loopback hosts and origins only, 4 MiB bodies, 20 s of waiting, tasks after half a second.
    pub fn new(state_key: Vec<u8>) -> Self {
        let local = ["localhost", "127.0.0.1", "[::1]"];
        Self {
            hosts: local.map(str::to_owned).to_vec(),
            origins: local.map(|host| format!("http://{host}:*")).to_vec(),
            public_url: None,
            state_key,
            body_bytes: 4 * 1024 * 1024,
            wait: Duration::from_secs(20),
            task_wait: Duration::from_millis(500),
            max_wait: Duration::from_secs(28),
            page: 250,
        }
    }
}

/// The key of the seal is too short.
#[derive(Debug, thiserror::Error)]
#[error("the key for requestState is too short; it takes at least 32 bytes")]
pub struct StateKeyTooShort(#[source] rmcp::model::RequestStateError);

/// `POST /mcp`. Other methods answer 405. Requests carry a
/// [`Principal`](waybill_identity::Principal) in their extensions.
pub fn router(state: McpState) -> Result<Router, StateKeyTooShort> {
    let tickets = Tickets::new(&state.settings.state_key, state.desk.clock().clone())?;
    let settings = Arc::clone(&state.settings);
    let config = StreamableHttpServerConfig::default()
        .with_legacy_session_mode(false)
        .with_json_response(true)
        .with_allowed_hosts(settings.hosts.iter().cloned())
        .with_allowed_origins(settings.origins.iter().cloned())
        .enforce_origin_validation()
        .with_max_request_body_bytes(settings.body_bytes)
        .with_cancellation_token(state.shutdown.clone());
    let registry = state.desk.registry().clone();
    let server = Server::new(state, tickets);
    let service = StreamableHttpService::new(
        move || Ok(server.clone()),
        Arc::new(NeverSessionManager::default()),
        config,
    );
    // Shared: axum clones a route's handler for every request.
    let door = Arc::new(Door::new(service, registry, &settings));
    let only_post = || async { (StatusCode::METHOD_NOT_ALLOWED, [("allow", "POST")]) };
    let method =
        routing::post(move |request| async move { door.enter(request).await }).fallback(only_post);
    Ok(Router::new().route("/mcp", method))
}
