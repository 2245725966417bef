//! A call's trace through every hop of two gateways, one the other's upstream, as a collector of
//! OpenTelemetry gets it.

use std::{fs, net::SocketAddr, path::Path, process::Command, time::Duration};

use axum::{Router, body::Bytes, extract::State, routing::post};
use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest, common::v1::any_value::Value as Said,
};
use prost::Message as _;
use serde_json::{Value, json};
use tokio::{
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    task::JoinSet,
    time::timeout,
};

use crate::gateway::{BINARY, Gateway, free_address};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const CLIENT: &str = "00f067aa0ba902b7";
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Clone, Debug, PartialEq)]
struct Span {
    service: String,
    name: String,
    trace: String,
    id: String,
    parent: String,
}

/// Takes spans as any OTLP collector does.
struct Collector {
    address: SocketAddr,
    arriving: UnboundedReceiver<Span>,
    seen: Vec<Span>,
    _server: JoinSet<()>,
}

impl Collector {
    async fn start() -> Self {
        let (tell, arriving) = unbounded_channel();
        let router = Router::new()
            .route("/v1/traces", post(take))
            .with_state(tell);
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0))
            .await
            .unwrap();
        let address = listener.local_addr().unwrap();
        let mut server = JoinSet::new();
        server.spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self {
            address,
            arriving,
            seen: Vec::new(),
            _server: server,
        }
    }

    /// The span of this name under that parent; waits until it has come.
    async fn child(&mut self, service: &str, name: &str, parent: &str) -> Span {
        let wanted =
            |span: &&Span| (&*span.service, &*span.name, &*span.parent) == (service, name, parent);
        loop {
            if let Some(span) = self.seen.iter().find(wanted) {
                return span.clone();
            }
            let span = timeout(PATIENCE, self.arriving.recv()).await;
            let span = span.unwrap_or_else(|_| {
                panic!("no {name} of {service} under {parent} in {:#?}", self.seen)
            });
            self.seen.push(span.unwrap());
        }
    }
}

async fn take(State(tell): State<UnboundedSender<Span>>, body: Bytes) {
    let request = ExportTraceServiceRequest::decode(body).unwrap();
    for of_service in request.resource_spans {
        let attributes = of_service.resource.unwrap().attributes;
        let name = attributes.into_iter().find(|a| a.key == "service.name");
        let Some(Said::StringValue(service)) = name.unwrap().value.unwrap().value else {
            panic!("a service without a name");
        };
        let spans = of_service.scope_spans.into_iter().flat_map(|s| s.spans);
        for span in spans {
            let span = Span {
                service: service.clone(),
                name: span.name,
                trace: hex(&span.trace_id),
                id: hex(&span.span_id),
                parent: hex(&span.parent_span_id),
            };
            // The test may have ended.
            drop(tell.send(span));
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits
        .map(|digit| char::from_digit(digit.into(), 16).unwrap())
        .collect()
}

fn command(directory: &Path, address: SocketAddr, collector: SocketAddr, name: &str) -> Command {
    let mut command = Command::new(BINARY);
    command
        .args(["up", "--log", "error", "--listen", &address.to_string()])
        .arg("--data-dir")
        .arg(directory.join(name))
        .current_dir(directory)
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://{collector}"))
        .env("OTEL_SERVICE_NAME", name)
        .env("OTEL_BSP_SCHEDULE_DELAY", "50");
    command
}

/// `near`, whose upstream `far` is.
async fn gateways(directory: &Path, collector: SocketAddr) -> (Gateway, Gateway) {
    let address = free_address();
    let data_dir = directory.join("far");
    let far = command(directory, address, collector, "far");
    let far = Gateway::run(&data_dir, address, far).await;
    let key = crate::gateway::key(&data_dir);
    let upstreams = json!({ "mcpServers": { "far": {
        "type": "http",
        "url": far.url("/mcp"),
        "headers": { "Authorization": format!("Bearer {key}") },
    } } });
    let config = directory.join("mcp.json");
    fs::write(&config, upstreams.to_string()).unwrap();
    let address = free_address();
    let mut near = command(directory, address, collector, "near");
    near.arg("--mcp-config").arg(config);
    let near = Gateway::run(&directory.join("near"), address, near).await;
    (near, far)
}

/// Places a call of the far gateway's tool at the near one, and waits for its end.
async fn call(near: &Gateway, header: (&str, &str)) -> Value {
    let tool = tool(near).await;
    let body = json!({ "tool": tool, "arguments": {} });
    let request = near.post("/calls").header("prefer", "respond-async");
    let request = request.header(header.0, header.1).body(body.to_string());
    let placed: Value = request.send().await.unwrap().json().await.unwrap();
    let ended = near.ended(placed["id"].as_str().unwrap()).await;
    assert_eq!(ended["status"], "completed", "{ended}");
    ended
}

/// What the near gateway calls the far one's `files_roots`, once it has heard of it.
async fn tool(near: &Gateway) -> String {
    for _ in 0..300 {
        let tools = near.json("/tools").await;
        let tools = tools["tools"].as_array().unwrap();
        let names = tools.iter().map(|tool| tool["name"].as_str().unwrap());
        let mut far = names.filter(|name| name.starts_with("far") && name.ends_with("files_tree"));
        if let Some(name) = far.next() {
            return name.to_owned();
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the upstream's tools are not listed");
}

#[tokio::test]
async fn every_hop_is_in_one_trace() {
    let directory = tempfile::tempdir().unwrap();
    let mut collector = Collector::start().await;
    let (near, _far) = gateways(directory.path(), collector.address).await;
    let traceparent = format!("00-{TRACE}-{CLIENT}-01");
    let ended = call(&near, ("traceparent", &traceparent)).await;

    let mut parent = CLIENT.to_owned();
    for (service, name) in [
        ("near", "request"),
        ("near", "commit"),
        ("near", "dispatch"),
        ("near", "run"),
        ("near", "upstream_request"),
        ("far", "commit"),
        ("far", "dispatch"),
        ("far", "run"),
    ] {
        let span = collector.child(service, name, &parent).await;
        assert_eq!(span.trace, TRACE, "{span:?}");
        if (service, name) == ("near", "commit") {
            // The record names the span that made it: what is done for it later hangs there.
            assert_eq!(ended["trace"], format!("00-{TRACE}-{}-01", span.id));
        }
        parent = span.id;
    }
}

#[tokio::test]
async fn the_header_of_x_ray_is_a_trace_too() {
    let directory = tempfile::tempdir().unwrap();
    let mut collector = Collector::start().await;
    let (near, _far) = gateways(directory.path(), collector.address).await;
    let (time, rest) = TRACE.split_at(8);
    let header = format!("Root=1-{time}-{rest};Parent={CLIENT};Sampled=1");
    call(&near, ("x-amzn-trace-id", &header)).await;
    let span = collector.child("near", "request", CLIENT).await;
    assert_eq!(span.trace, TRACE);
}

#[tokio::test]
async fn nothing_is_exported_unless_it_is_asked_for() {
    let directory = tempfile::tempdir().unwrap();
    let mut collector = Collector::start().await;
    let address = free_address();
    let mut quiet = command(directory.path(), address, collector.address, "quiet");
    quiet.env_remove("OTEL_EXPORTER_OTLP_ENDPOINT");
    let quiet = Gateway::run(&directory.path().join("quiet"), address, quiet).await;
    let traceparent = format!("00-{TRACE}-{CLIENT}-01");
    let body = json!({ "tool": "files_tree", "arguments": {} });
    let request = quiet.post("/calls").header("traceparent", &traceparent);
    let request = request.header("prefer", "respond-async");
    let placed = request.body(body.to_string()).send().await.unwrap();
    let placed: Value = placed.json().await.unwrap();
    let ended = quiet.ended(placed["id"].as_str().unwrap()).await;
    assert_eq!(ended["trace"], traceparent, "it is passed on as it came");
    assert!(collector.arriving.try_recv().is_err());
}
