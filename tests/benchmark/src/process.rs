//! A process under test, and what it has cost so far. Reads `/proc`: Linux only.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context as _, Result, bail};
use tokio::{
    process::{Child, Command},
    time::{Instant, sleep},
};

use crate::client::Client;

const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) struct Process(Child);

impl Process {
    /// Starts `command` and waits until `path` is answered at `address`; how long that took.
    pub(crate) async fn start(
        mut command: Command,
        address: SocketAddr,
        path: &str,
    ) -> Result<(Self, Duration)> {
        let began = Instant::now();
        let child = command.kill_on_drop(true).spawn();
        let process = Self(child.context("cannot start what is measured")?);
        loop {
            if began.elapsed() > PATIENCE {
                bail!("what is measured does not answer at {address}");
            }
            if let Ok(mut client) = Client::connect(address, None).await
                && client.get(path).await.is_ok()
            {
                return Ok((process, began.elapsed()));
            }
            sleep(Duration::from_micros(200)).await;
        }
    }

    /// By SIGKILL, so that the next start is a recovery.
    pub(crate) async fn kill(mut self) -> Result<()> {
        Ok(self.0.kill().await?)
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
        self.0.id().context("what is measured has ended")
    }
}

pub(crate) fn free_address() -> Result<SocketAddr> {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0))?;
    Ok(listener.local_addr()?)
}
