//! Each service in processes of its own, two of each, two doors behind a round robin, over an AWS
//! that throttles, fails and loses answers; and processes that are killed.

use std::{
    collections::HashMap,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{Json, Router, extract::State, http::StatusCode, response::IntoResponse, routing::post};
use serde_json::{Value, json};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::{Instant, sleep},
};

use crate::{
    crash::ends,
    gateway::{BINARY, Door, Process, free_address, key},
    installation::Installation,
};

const CALLS: usize = 60;
const CLIENTS: usize = 6;
/// Of the requests that each process makes to AWS. What is lost has been done.
const FAULTS: &str = "throttle=0.05,error=0.05,cut=0.02,lost=0.03";
const PATIENCE: Duration = Duration::from_mins(3);

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_and_nothing_acts_twice() {
    let directory = tempfile::tempdir().unwrap();
    let provider = Provider::default();
    let mut background = JoinSet::new();
    let upstream = provider.serve(&mut background).await;
    let mut fleet = Fleet::new(directory.path(), upstream);
    let doors = [fleet.door(1).await, fleet.door(2).await];
    let _sinks = [fleet.sink(3), fleet.sink(4)];
    let executors = [fleet.executor(5), fleet.executor(6)];
    let balancer = round_robin([doors[0].0, doors[1].0], &mut background).await;
    let client = Arc::new(fleet.behind(balancer));

    let mut clients = JoinSet::new();
    for number in 0..CLIENTS {
        let client = client.clone();
        clients.spawn(async move { submit(&client, number).await });
    }
    // In the middle of what it does. Another takes its place, as a container platform would see to.
    let until = Instant::now() + PATIENCE;
    while provider.acts().len() < CALLS / 3 {
        assert!(Instant::now() < until, "the provider is not called");
        sleep(Duration::from_millis(50)).await;
    }
    executors[0].kill();
    let _third = fleet.executor(7);
    let calls: HashMap<String, String> = clients.join_all().await.into_iter().flatten().collect();
    assert_eq!(calls.len(), CALLS);

    let mut unknown = 0;
    for (label, id) in &calls {
        let status = client.ended(id).await;
        let acts = provider.acts().get(label).copied().unwrap_or_default();
        if status["state"] == "completed" {
            assert_eq!(acts, 1, "{status}");
        } else {
            assert_eq!(status["error"]["code"], "outcome_unknown", "{status}");
            assert!(acts <= 1, "{status}");
            unknown += 1;
        }
    }
    // Of one that was killed, what it had in hand. Every other end is known.
    assert!(
        unknown < CALLS / 2,
        "{unknown} of {CALLS} outcomes are unknown"
    );
    let ids = calls.values().cloned().collect();
    let ends = ends(&client, &ids).await;
    assert!(ends.values().all(|ends| *ends == 1), "{ends:?}");
}

/// Submits its share. What is refused was not accepted, and what was lost may have been: the key
/// makes it one call however often it is sent.
async fn submit(client: &Door, number: usize) -> Vec<(String, String)> {
    let mut accepted = Vec::new();
    for call in 0..CALLS / CLIENTS {
        let label = format!("{number}-{call}");
        let until = Instant::now() + PATIENCE;
        let id = loop {
            assert!(Instant::now() < until, "{label} is not accepted");
            let body = json!({ "tool": "provider__act", "arguments": { "label": label } });
            let request = client.post("/calls").header("prefer", "respond-async");
            let request = request
                .header("idempotency-key", &label)
                .body(body.to_string());
            if let Ok(answer) = request.send().await
                && answer.status().is_success()
                && let Ok(status) = answer.json::<Value>().await
            {
                break status["id"].as_str().unwrap().to_owned();
            }
            sleep(Duration::from_millis(200)).await;
        };
        accepted.push((label, id));
    }
    accepted
}

/// Service processes over one installation.
struct Fleet {
    directory: PathBuf,
    installation: Installation,
}

impl Fleet {
    fn new(directory: &Path, provider: SocketAddr) -> Self {
        let upstream = json!({ "type": "http", "url": format!("http://{provider}/mcp") });
        let config = json!({ "mcpServers": { "provider": upstream } });
        std::fs::write(directory.join("mcp.json"), config.to_string()).unwrap();
        let fleet = Self {
            directory: directory.to_owned(),
            installation: Installation::new(),
        };
        // The operator's key: a service makes none.
        let mut keys = Command::new(BINARY);
        keys.args(["keys", "first", "--data-dir"])
            .arg(fleet.data_dir());
        assert!(
            fleet
                .installation
                .reached_by(&mut keys)
                .status()
                .unwrap()
                .success()
        );
        fleet
    }

    fn data_dir(&self) -> PathBuf {
        self.directory.join("operator")
    }

    fn behind(&self, address: SocketAddr) -> Door {
        Door::new(address, key(&self.data_dir()))
    }

    async fn door(&mut self, seed: u64) -> (SocketAddr, Process) {
        let (address, process) = self.start(env!("CARGO_BIN_EXE_waybill-ingress"), seed);
        self.behind(address).ready(&process).await;
        (address, process)
    }

    fn executor(&mut self, seed: u64) -> Process {
        self.start(env!("CARGO_BIN_EXE_waybill-tool-executor"), seed)
            .1
    }

    fn sink(&mut self, seed: u64) -> Process {
        self.start(env!("CARGO_BIN_EXE_waybill-audit-sink"), seed).1
    }

    fn start(&self, binary: &str, seed: u64) -> (SocketAddr, Process) {
        let address = free_address();
        let mut command = Command::new(binary);
        self.installation
            .reached_by(&mut command)
            .args([
                "--log",
                "error,aws_smithy_runtime=off",
                "--listen",
                &address.to_string(),
            ])
            .arg("--mcp-config")
            .arg(self.directory.join("mcp.json"))
            .env("WAYBILL_FAULTS", format!("seed={seed},{FAULTS}"))
            .current_dir(&self.directory);
        (address, Process::spawn(&mut command))
    }
}

/// Each connection to the next of `doors`.
async fn round_robin(doors: [SocketAddr; 2], background: &mut JoinSet<()>) -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    background.spawn(async move {
        let mut connections = JoinSet::new();
        for door in doors.into_iter().cycle() {
            let (mut inner, _) = listener.accept().await.unwrap();
            connections.spawn(async move {
                let mut outer = TcpStream::connect(door).await?;
                copy_bidirectional(&mut inner, &mut outer).await
            });
        }
    });
    address
}

/// An MCP server with one tool, which must not act twice.
#[derive(Clone, Default)]
struct Provider(Arc<Mutex<HashMap<String, usize>>>);

impl Provider {
    /// How often it has acted, by label.
    fn acts(&self) -> HashMap<String, usize> {
        self.0.lock().unwrap().clone()
    }

    async fn serve(&self, background: &mut JoinSet<()>) -> SocketAddr {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new()
            .route("/mcp", post(answer))
            .with_state(self.clone());
        background.spawn(async move { axum::serve(listener, router).await.unwrap() });
        address
    }
}

async fn answer(State(provider): State<Provider>, Json(request): Json<Value>) -> impl IntoResponse {
    let result = match request["method"].as_str().unwrap() {
        "initialize" => json!({
            "protocolVersion": "2025-11-25",
            "capabilities": { "tools": {} },
            "serverInfo": { "name": "provider", "version": "1" },
        }),
        "tools/list" => json!({ "tools": [{
            "name": "act",
            "description": "Acts, neither read-only nor idempotent",
            "inputSchema": { "type": "object", "properties": { "label": { "type": "string" } } },
        }] }),
        "tools/call" => {
            let label = request["params"]["arguments"]["label"].as_str().unwrap();
            *provider
                .0
                .lock()
                .unwrap()
                .entry(label.to_owned())
                .or_default() += 1;
            sleep(Duration::from_millis(300)).await;
            json!({ "content": [{ "type": "text", "text": "done" }] })
        }
        _ if request.get("id").is_none() => return StatusCode::ACCEPTED.into_response(),
        _ => {
            let error = json!({ "code": -32601, "message": "no such method" });
            let answer = json!({ "jsonrpc": "2.0", "id": request["id"], "error": error });
            return Json(answer).into_response();
        }
    };
    Json(json!({ "jsonrpc": "2.0", "id": request["id"], "result": result })).into_response()
}
