//! One `waybill up` in a process of its own.

use std::{
    net::SocketAddr,
    ops::Deref,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Mutex,
    time::Duration,
};

use reqwest::{Client, RequestBuilder, Response, StatusCode};
use serde_json::Value;
use tokio::time::{Instant, sleep};

pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_waybill");
const PATIENCE: Duration = Duration::from_secs(30);

/// What a client knows of a gateway: one process, or several behind an address.
pub(crate) struct Door {
    address: SocketAddr,
    key: String,
    pub(crate) http: Client,
}

impl Door {
    pub(crate) fn new(address: SocketAddr, key: String) -> Self {
        // Another test of this process may have done it.
        drop(rustls::crypto::ring::default_provider().install_default());
        let http = Client::builder().timeout(PATIENCE).build().unwrap();
        Self { address, key, http }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) fn get(&self, path: &str) -> RequestBuilder {
        self.http.get(self.url(path)).bearer_auth(&self.key)
    }

    pub(crate) fn post(&self, path: &str) -> RequestBuilder {
        self.http
            .post(self.url(path))
            .bearer_auth(&self.key)
            .header("content-type", "application/json")
            .header("accept", "application/json, text/event-stream")
    }

    /// Asks again as long as the gateway cannot tell.
    pub(crate) async fn json(&self, path: &str) -> Value {
        let until = Instant::now() + PATIENCE;
        loop {
            let answer = self.get(path).send().await;
            if let Ok(answer) = answer
                && answer.status() != StatusCode::SERVICE_UNAVAILABLE
            {
                return answer.json().await.unwrap();
            }
            assert!(Instant::now() < until, "{path} is not answered");
            sleep(Duration::from_millis(100)).await;
        }
    }

    /// Submits a call and does not wait for its end.
    pub(crate) async fn submit(&self, tool: &str, arguments: Value) -> reqwest::Result<Response> {
        let body = serde_json::json!({ "tool": tool, "arguments": arguments });
        let request = self.post("/calls").header("prefer", "respond-async");
        request.body(body.to_string()).send().await
    }

    /// The call's document once it has ended.
    pub(crate) async fn ended(&self, id: &str) -> Value {
        let until = Instant::now() + PATIENCE * 4;
        loop {
            let status = self.json(&format!("/mcp/status/{id}?wait=20")).await;
            if status["status"] != "working" {
                return status;
            }
            assert!(Instant::now() < until, "{id} does not end: {status}");
        }
    }

    /// Waits until it answers; `process` is one that must not have ended.
    pub(crate) async fn ready(&self, process: &Process) {
        let until = Instant::now() + PATIENCE;
        while self.http.get(self.url("/readyz")).send().await.is_err() {
            assert!(Instant::now() < until, "nothing answers");
            assert!(!process.has_ended(), "the process has ended");
            sleep(Duration::from_millis(10)).await;
        }
    }
}

/// Killed when it is dropped.
pub(crate) struct Process(Mutex<Child>);

impl Process {
    pub(crate) fn spawn(command: &mut Command) -> Self {
        Self(Mutex::new(command.stdout(Stdio::null()).spawn().unwrap()))
    }

    /// SIGKILL, in the middle of whatever it does.
    pub(crate) fn kill(&self) {
        let mut process = self.0.lock().unwrap();
        process.kill().unwrap();
        process.wait().unwrap();
    }

    pub(crate) fn id(&self) -> u32 {
        self.0.lock().unwrap().id()
    }

    fn has_ended(&self) -> bool {
        self.0.lock().unwrap().try_wait().unwrap().is_some()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Ok(mut process) = self.0.lock() {
            drop(process.kill());
            drop(process.wait());
        }
    }
}

pub(crate) struct Gateway {
    pub(crate) data_dir: PathBuf,
    door: Door,
    process: Process,
}

impl Deref for Gateway {
    type Target = Door;

    fn deref(&self) -> &Door {
        &self.door
    }
}

impl Gateway {
    /// Starts over `data_dir` with the fixture tools, and waits until it answers.
    pub(crate) async fn start(data_dir: &Path) -> Self {
        let address = free_address();
        Self::run(data_dir, address, command(data_dir, address)).await
    }

    /// The same by a command of the test's own, which must listen on `address`.
    pub(crate) async fn run(data_dir: &Path, address: SocketAddr, mut command: Command) -> Self {
        let process = Process::spawn(&mut command);
        let mut door = Door::new(address, String::new());
        door.ready(&process).await;
        door.key = key(data_dir);
        Self {
            data_dir: data_dir.to_owned(),
            door,
            process,
        }
    }

    /// SIGKILL. Clients may still hold the gateway.
    pub(crate) fn kill(&self) -> PathBuf {
        self.process.kill();
        self.data_dir.clone()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }
}

/// The first API key.
pub(crate) fn key(data_dir: &Path) -> String {
    let key = std::fs::read_to_string(data_dir.join("api-key")).unwrap();
    key.trim().to_owned()
}

pub(crate) fn command(data_dir: &Path, address: SocketAddr) -> Command {
    let mut command = Command::new(BINARY);
    command
        .args([
            "up",
            "--conformance",
            "--log",
            "error",
            "--listen",
            &address.to_string(),
        ])
        .arg("--data-dir")
        .arg(data_dir)
        .current_dir(data_dir.parent().unwrap());
    command
}

pub(crate) fn free_address() -> SocketAddr {
    std::net::TcpListener::bind(("127.0.0.1", 0))
        .unwrap()
        .local_addr()
        .unwrap()
}
