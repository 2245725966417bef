//! `waybill up`.

use std::{
    future::IntoFuture as _, io::Write as _, net::SocketAddr, process::ExitCode, time::Instant,
};

use anyhow::{Context as _, Result};
use tokio::net::TcpListener;

use crate::{
    address,
    compose::{Local, Role},
    config::{Config, LogFormat},
    files, shutdown,
};

/// Serves until SIGINT or SIGTERM.
pub(crate) fn up(config: &Config) -> Result<ExitCode> {
    let format = match config.log_format {
        LogFormat::Text => waybill_telemetry::Format::Text,
        LogFormat::Json => waybill_telemetry::Format::Json,
    };
    waybill_telemetry::init(&config.log, format)?;
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?
        .block_on(serve(config))
}

async fn serve(config: &Config) -> Result<ExitCode> {
    let began = Instant::now();
    // Before anything is made or run: a process that cannot listen must not work on calls either.
    let listener = TcpListener::bind(config.listen)
        .await
        .with_context(|| format!("cannot listen on {}; is the port taken?", config.listen))?;
    let bound = listener
        .local_addr()
        .context("the listener has no address")?;
    let local = Local::open(config, Role::Serve).await?;
    let url = format!("http://{}", address::reachable(bound));
    files::write_private(&files::url_file(&config.data_dir), &format!("{url}\n"))?;
    greet(config, &local, &url, began)?;

    let stop = local.shutdown.clone();
    let service = local
        .router
        .clone()
        .into_make_service_with_connect_info::<SocketAddr>();
    let serving = axum::serve(listener, service)
        .with_graceful_shutdown(async move { stop.cancelled().await });
    let mut serving = Box::pin(serving.into_future());
    tokio::select! {
        ended = &mut serving => ended.context("the server ended")?,
        told = shutdown::requested() => told?,
    }
    tracing::info!("draining");
    local.readiness.drain();
    local.shutdown.cancel();
    let open = tokio::time::timeout(Config::DRAIN, serving).await;
    let finished = local.close().await;
    drop(std::fs::remove_file(files::url_file(&config.data_dir)));
    tracing::info!(
        requests_finished = open.is_ok(),
        work_finished = finished,
        "ended"
    );
    Ok(ExitCode::SUCCESS)
}

/// What somebody needs who has just started it.
fn greet(config: &Config, local: &Local, url: &str, began: Instant) -> Result<()> {
    let took = began.elapsed().as_millis();
    let key_file = files::key_file(&config.data_dir);
    let key_file = std::path::absolute(&key_file).unwrap_or(key_file);
    let (key_file, data) = (key_file.display(), config.data_dir.display());
    let url = config.public_url.as_deref().unwrap_or(url);
    let url = url.trim_end_matches('/');
    // The secret once, when it was made; later the place where it is.
    let (key, made, hint) = if local.first_start {
        (
            local.key.as_str(),
            " (made now; keep it private)",
            String::new(),
        )
    } else {
        let hint = format!(", with the line of {key_file} for WAYBILL_KEY");
        ("WAYBILL_KEY", "", hint)
    };
    let client = serde_json::json!({
        "mcpServers": { "waybill": {
            "type": "http",
            "url": format!("{url}/mcp"),
            "headers": { "Authorization": format!("Bearer {key}") },
        } }
    });
    let client = serde_json::to_string_pretty(&client).context("plain JSON")?;
    let text = format!(
        "waybill is ready after {took} ms\n\n  MCP     {url}/mcp\n  status  {url}/mcp/status/ID\n  \
         key     {key_file}{made}\n  data    {data}\n\nFor an MCP client (mcp.json){hint}:\n\n{client}\n"
    );
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .context("cannot write to stdout")
}
