//! The binary under test, in a process of its own.

use std::{net::SocketAddr, path::Path, process::Stdio, time::Duration};

use anyhow::Result;
use tempfile::TempDir;
use tokio::process::Command;

use crate::{
    client::Client,
    process::{Process, free_address},
};

pub(crate) struct Gateway {
    pub(crate) address: SocketAddr,
    pub(crate) key: String,
    /// From the start of the process to its first answered request.
    pub(crate) start: Duration,
    pub(crate) process: Process,
}

impl Gateway {
    /// Over `directory`, which may hold what an earlier run has stored.
    pub(crate) async fn start(binary: &Path, directory: &TempDir) -> Result<Self> {
        let address = free_address()?;
        let mut command = Command::new(binary);
        command
            .args(["up", "--conformance", "--log", "error", "--listen"])
            .arg(address.to_string())
            .arg("--data-dir")
            .arg(directory.path().join("data"))
            .current_dir(directory.path())
            .stdout(Stdio::null());
        let (process, start) = Process::start(command, address, "/healthz").await?;
        let key = std::fs::read_to_string(directory.path().join("data/api-key"))?;
        Ok(Self {
            address,
            key: key.trim().to_owned(),
            start,
            process,
        })
    }

    /// Calls that it has taken since its start.
    pub(crate) async fn taken(&self) -> Result<u64> {
        self.sum("waybill_http_requests_total", r#""/mcp""#).await
    }

    /// Events that wait for their consumers.
    pub(crate) async fn waiting(&self) -> Result<u64> {
        self.sum("waybill_queue_depth", r#""ready""#).await
    }

    async fn sum(&self, metric: &str, label: &str) -> Result<u64> {
        let mut client = Client::connect(self.address, Some(&self.key)).await?;
        let text = client.get("/metrics").await?;
        let count = |line: &str| {
            line.rsplit_once(' ')
                .and_then(|(_, n)| n.parse::<u64>().ok())
        };
        let text = String::from_utf8_lossy(&text);
        let lines = text.lines();
        let wanted = lines.filter(|line| line.starts_with(metric) && line.contains(label));
        Ok(wanted.filter_map(count).sum())
    }
}
