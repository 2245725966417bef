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
use tokio::net::TcpListener;

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

/// Serves until the process ends, on threads of its own.
pub(crate) async fn serve() -> Result<SocketAddr> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let address = listener.local_addr()?;
    let listener = listener.into_std()?;
    std::thread::Builder::new()
        .name("echo".to_owned())
        .spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .enable_all()
                .build()?;
            runtime.block_on(async move {
                let config = StreamableHttpServerConfig::default()
                    .with_legacy_session_mode(false)
                    .with_json_response(true);
                let service = StreamableHttpService::new(
                    || {
                        Ok(Echo {
                            tool_router: Echo::tool_router(),
                        })
                    },
                    Arc::new(NeverSessionManager::default()),
                    config,
                );
                let router = axum::Router::new().route_service("/mcp", service);
                axum::serve(TcpListener::from_std(listener)?, router).await
            })
        })?;
    Ok(address)
}
