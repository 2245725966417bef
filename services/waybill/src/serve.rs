//! `waybill up`, and serving until told to end.

use std::{
    future::IntoFuture as _, io::Write as _, net::SocketAddr, process::ExitCode, time::Instant,
};

use anyhow::{Context as _, Result};
use tokio::{
    net::TcpListener,
    runtime::{Builder, Runtime},
};

use crate::{
    address,
    compose::{FirstKey, Local, Role},
    config::{Config, LogFormat},
    files, observe,
    running::Running,
    shutdown,
};

/// Serves until SIGINT or SIGTERM.
pub(crate) fn up(config: &Config) -> Result<ExitCode> {
    logs(config)?;
    runtime()?.block_on(serve(config))
}

/// Logs as the configuration says.
pub(crate) fn logs(config: &Config) -> Result<()> {
    let format = match config.log_format {
        LogFormat::Text => waybill_telemetry::Format::Text,
        LogFormat::Json => waybill_telemetry::Format::Json,
    };
    Ok(waybill_telemetry::init(
        &config.log,
        format,
        observe::traces()?,
    )?)
}

pub(crate) fn runtime() -> Result<Runtime> {
    Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")
}

async fn serve(config: &Config) -> Result<ExitCode> {
    let began = Instant::now();
    // Before anything is made or run: a process that cannot listen must not work on calls either.
    let listening = Listening::on(config.listen).await?;
    let Local { running, key } = Local::open(config, Role::Serve).await?;
    let url = &listening.url;
    let Some(key) = key else {
        greet_without_door(config, url, began)?;
        return listening.serve(running).await;
    };
    let url_file = files::url_file(&config.data_dir);
    files::write_private(&url_file, &format!("{url}\n"))?;
    greet(config, &key, url, began)?;
    let ended = listening.serve(running).await;
    drop(std::fs::remove_file(url_file));
    ended
}

/// A socket, before anything answers on it.
pub(crate) struct Listening {
    listener: TcpListener,
    /// As a client on this machine reaches it.
    pub(crate) url: String,
}

impl Listening {
    pub(crate) async fn on(address: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind(address)
            .await
            .with_context(|| format!("cannot listen on {address}; is the port taken?"))?;
        let bound = listener
            .local_addr()
            .context("the listener has no address")?;
        let url = format!("http://{}", address::reachable(bound));
        Ok(Self { listener, url })
    }

    /// Until SIGINT or SIGTERM, and to the end of what runs then.
    pub(crate) async fn serve(self, running: Running) -> Result<ExitCode> {
        let stop = running.shutdown.clone();
        let service = running
            .router
            .clone()
            .into_make_service_with_connect_info::<SocketAddr>();
        let serving = axum::serve(self.listener, service)
            .with_graceful_shutdown(async move { stop.cancelled().await });
        let mut serving = Box::pin(serving.into_future());
        tokio::select! {
            ended = &mut serving => ended.context("the server ended")?,
            told = shutdown::requested() => told?,
        }
        tracing::info!("draining");
        running.readiness.drain();
        running.shutdown.cancel();
        let open = tokio::time::timeout(Config::DRAIN, serving).await;
        let finished = running.close().await;
        tracing::info!(
            requests_finished = open.is_ok(),
            work_finished = finished,
            "ended"
        );
        Ok(ExitCode::SUCCESS)
    }
}

fn greet_without_door(config: &Config, url: &str, began: Instant) -> Result<()> {
    let took = began.elapsed().as_millis();
    let services: Vec<_> = config.services.iter().map(ToString::to_string).collect();
    let services = services.join(", ");
    say(&format!(
        "waybill is ready after {took} ms\n\n  runs    {services}\n  probes  {url}/readyz\n  \
         metrics {url}/metrics\n"
    ))
}

/// What somebody needs who has just started it.
fn greet(config: &Config, first: &FirstKey, url: &str, began: Instant) -> Result<()> {
    let took = began.elapsed().as_millis();
    let key_file = std::path::absolute(&first.file).unwrap_or_else(|_| first.file.clone());
    let (key_file, data) = (key_file.display(), config.data_dir.display());
    let url = config.public_url.as_deref().unwrap_or(url);
    let url = url.trim_end_matches('/');
    // The secret once, when it was made; later the place where it is.
    let (key, made, hint) = if first.new {
        (
            first.secret.as_str(),
            " (made now; keep it private)",
            String::new(),
        )
    } else {
        let hint = format!(", with the line of {key_file} for MCP_KEY");
        ("MCP_KEY", "", hint)
    };
    let client = serde_json::json!({
        "mcpServers": { "waybill": {
            "type": "http",
            "url": format!("{url}/mcp"),
            "headers": { "Authorization": format!("Bearer {key}") },
        } }
    });
    let client = serde_json::to_string_pretty(&client).context("plain JSON")?;
    say(&format!(
        "waybill is ready after {took} ms\n\n  MCP     {url}/mcp\n  status  {url}/mcp/status/ID\n  \
         key     {key_file}{made}\n  data    {data}\n\nFor an MCP client (mcp.json){hint}:\n\n{client}\n"
    ))
}

fn say(text: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .context("cannot write to stdout")
}
