//! A gateway on a free port with a data directory of its own.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};

use crate::{command::run, tools::build_waybill};

/// From its start until it is ready.
const START: Duration = Duration::from_secs(10);
/// From SIGTERM until it has ended.
const STOP: Duration = Duration::from_secs(15);
const POLL: Duration = Duration::from_millis(20);

/// Killed when it is dropped.
pub(crate) struct Gateway {
    child: Child,
    address: SocketAddr,
    data: tempfile::TempDir,
}

impl Gateway {
    /// Builds the binary where needed, and starts it with the conformance suite's tools.
    pub(crate) fn start() -> Result<Self> {
        let waybill = build_waybill()?;
        let data = tempfile::tempdir().context("cannot make a data directory")?;
        let address = free_address()?;
        let log = fs::File::create(data.path().join("log")).context("cannot make the log")?;
        let child = Command::new(waybill)
            .args([
                "up",
                "--conformance",
                "--listen",
                &address.to_string(),
                "--data-dir",
            ])
            .arg(data.path())
            .current_dir(data.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .context("cannot start the gateway")?;
        let mut gateway = Self {
            child,
            address,
            data,
        };
        match gateway.wait_until_ready() {
            Ok(()) => Ok(gateway),
            Err(error) => Err(error.context(format!("its log:\n{}", gateway.log()))),
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/mcp", self.address)
    }

    pub(crate) fn key(&self) -> Result<String> {
        let text = fs::read_to_string(self.data.path().join("api-key"));
        Ok(text.context("the gateway made no key")?.trim().to_owned())
    }

    /// What it wrote to standard error.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.data.path().join("log")).unwrap_or_default()
    }

    /// Ends it as an operator would; it must end by itself, with success and in time.
    pub(crate) fn stop(mut self) -> Result<()> {
        run("kill", ["-TERM", &self.child.id().to_string()]).run()?;
        let deadline = Instant::now() + STOP;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait().context("it cannot be waited for")? {
                ensure!(
                    status.success(),
                    "the gateway ended with {status}:\n{}",
                    self.log()
                );
                return Ok(());
            }
            pause();
        }
        bail!(
            "the gateway did not end within {} s of SIGTERM",
            STOP.as_secs()
        )
    }

    fn wait_until_ready(&mut self) -> Result<()> {
        let deadline = Instant::now() + START;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait().context("it cannot be waited for")? {
                bail!("the gateway ended with {status} before it was ready");
            }
            if ready(self.address).unwrap_or(false) {
                return Ok(());
            }
            pause();
        }
        bail!("the gateway was not ready within {} s", START.as_secs())
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        // It may have ended already, which is what is wanted.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a command without tasks waits for a process"
)]
fn pause() {
    std::thread::sleep(POLL);
}

fn free_address() -> Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").context("no free port")?;
    listener.local_addr().context("no free port")
}

fn ready(address: SocketAddr) -> std::io::Result<bool> {
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(1))?;
    stream.set_read_timeout(Some(Duration::from_secs(1)))?;
    let request = format!("GET /readyz HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut head = [0; 12];
    stream.read_exact(&mut head)?;
    Ok(head == *b"HTTP/1.1 200")
}
