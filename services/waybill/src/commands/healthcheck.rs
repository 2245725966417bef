//! `waybill healthcheck`: for images without a shell.

use std::net::SocketAddr;

use anyhow::Result;
use clap::Args;

use super::{client::Client, exit::Exit};
use crate::address;

#[derive(Args)]
pub(super) struct HealthcheckArgs {
    /// The address that the process was told to listen on
    #[arg(
        long,
        env = "WAYBILL_LISTEN",
        value_name = "ADDR",
        default_value = "127.0.0.1:8080"
    )]
    listen: SocketAddr,
}

/// Done when the process on this machine takes work. Probes take no key.
pub(super) async fn run(args: HealthcheckArgs) -> Result<Exit> {
    let url = format!("http://{}", address::reachable(args.listen));
    Client::http(&url, "")?.get("/readyz").await?;
    Ok(Exit::Done)
}

#[cfg(test)]
mod tests {
    use axum::{Json, Router, http::StatusCode, routing::get};
    use serde_json::json;

    use super::{super::served::served, *};

    #[tokio::test]
    async fn it_is_as_healthy_as_its_probe_says() {
        for (status, healthy) in [
            (StatusCode::OK, true),
            (StatusCode::SERVICE_UNAVAILABLE, false),
        ] {
            let ready = get(async move || (status, Json(json!({ "status": "as told" }))));
            let process = served(Router::new().route("/readyz", ready)).await;
            let listen = process.url.trim_start_matches("http://").parse().unwrap();
            let checked = run(HealthcheckArgs { listen }).await;
            assert_eq!(checked.is_ok(), healthy, "{checked:?}");
        }
    }
}
