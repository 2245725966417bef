//! The echo tool without a gateway: what an MCP server costs by itself.

use std::{net::SocketAddr, sync::Arc};

use anyhow::Result;
use rmcp::{
    ServerHandler,
    handler::server::tool::ToolRouter,
    tool, tool_handler, tool_router,
    transport::streamable_http_server::{
        StreamableHttpServerConfig, StreamableHttpService, session::never::NeverSessionManager,
    },
};
use tokio::{net::TcpListener, process::Command};

use crate::process::{Process, free_address};

#[derive(Clone)]
struct Echo {
    tool_router: ToolRouter<Self>,
}

#[tool_router]
impl Echo {
    #[tool(description = "Says the same text every time")]
    async fn test_simple_text(&self) -> String {
        "This is a simple text response for testing.".to_owned()
    }
}

#[tool_handler(router = self.tool_router)]
impl ServerHandler for Echo {}

/// Starts this program again as the server, so that both costs are those of a process.
pub(crate) async fn start() -> Result<(SocketAddr, Process)> {
    let address = free_address()?;
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("--serve-direct").arg(address.to_string());
    let (process, _) = Process::start(command, address, "/healthz").await?;
    Ok((address, process))
}

/// Serves until the process ends.
pub(crate) async fn serve(address: SocketAddr) -> Result<()> {
    let config = StreamableHttpServerConfig::default()
        .with_legacy_session_mode(false)
        .with_json_response(true);
    let tool_router = Echo::tool_router();
    let echo = Echo { tool_router };
    let service = StreamableHttpService::new(
        move || Ok(echo.clone()),
        Arc::new(NeverSessionManager::default()),
        config,
    );
    let router = axum::Router::new()
        .route_service("/mcp", service)
        .route("/healthz", axum::routing::get(async || "ok"));
    axum::serve(TcpListener::bind(address).await?, router).await?;
    Ok(())
}
