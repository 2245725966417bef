//! The binary under test, in a process of its own.

use std::{
    net::SocketAddr,
    path::Path,
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::client::Client;

pub(crate) struct Gateway {
    pub(crate) address: SocketAddr,
    pub(crate) key: String,
    /// From the start of the process to its first answered request.
    pub(crate) cold_start: Duration,
    process: Child,
    _directory: TempDir,
}

impl Gateway {
    pub(crate) async fn start(binary: &Path) -> Result<Self> {
        let directory = tempfile::tempdir()?;
        let port = std::net::TcpListener::bind(("127.0.0.1", 0))?
            .local_addr()?
            .port();
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let began = Instant::now();
        let process = Command::new(binary)
            .args([
                "up",
                "--conformance",
                "--log",
                "warn",
                "--listen",
                &address.to_string(),
            ])
            .arg("--data-dir")
            .arg(directory.path().join("data"))
            .current_dir(directory.path())
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start {}", binary.display()))?;
        let cold_start = loop {
            if began.elapsed() > Duration::from_secs(10) {
                bail!("the gateway does not answer");
            }
            let answered = async { Client::connect(address, None).await?.get("/healthz").await };
            if answered.await.is_ok() {
                break began.elapsed();
            }
            tokio::time::sleep(Duration::from_micros(200)).await;
        };
        let key = std::fs::read_to_string(directory.path().join("data/api-key"))?
            .trim()
            .to_owned();
        Ok(Self {
            address,
            key,
            cold_start,
            process,
            _directory: directory,
        })
    }

    /// Calls that it has taken so far.
    pub(crate) async fn stored(&self) -> Result<u64> {
        let mut client = Client::connect(self.address, Some(&self.key)).await?;
        let text = client.get("/metrics").await?;
        let count = |line: &str| {
            line.rsplit_once(' ')
                .and_then(|(_, n)| n.parse::<u64>().ok())
        };
        let posts = String::from_utf8_lossy(&text)
            .lines()
            .filter(|line| {
                line.starts_with("waybill_http_requests_total") && line.contains(r#""/mcp""#)
            })
            .filter_map(count)
            .sum();
        Ok(posts)
    }

    pub(crate) fn resident_mb(&self) -> Result<f64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid()?))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib: f64 = line
            .and_then(|l| l.split_whitespace().next())
            .context("no VmRSS")?
            .parse()?;
        Ok(kib / 1024.0)
    }

    /// User and system time so far.
    pub(crate) fn cpu(&self) -> Result<Duration> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid()?))?;
        let fields: Vec<&str> = stat
            .rsplit_once(')')
            .context("no comm")?
            .1
            .split_whitespace()
            .collect();
        let ticks: u64 = fields[11].parse::<u64>()? + fields[12].parse::<u64>()?;
        // Linux counts in hundredths of a second on every common build (sysconf(_SC_CLK_TCK)).
        Ok(Duration::from_millis(ticks * 10))
    }

    fn pid(&self) -> Result<u32> {
        self.process.id().context("the gateway has ended")
    }
}
