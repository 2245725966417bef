//! A secret's way from an operator's hand to the server that it is the key to.

use std::{
    fs,
    io::Write as _,
    net::SocketAddr,
    path::Path,
    process::{Command, Output, Stdio},
    time::Duration,
};

use axum::{Router, http::HeaderMap, http::StatusCode};
use serde_json::json;
use tokio::{net::TcpListener, sync::mpsc, time::timeout};

use crate::gateway::{BINARY, Gateway, command, free_address};

const VALUE: &str = "the-secret-value";
const PATIENCE: Duration = Duration::from_secs(30);

#[tokio::test]
async fn a_secret_reaches_its_server_and_nobody_else() {
    let directory = tempfile::tempdir().unwrap();
    let data_dir = directory.path().join("data");
    let (upstream, mut seen) = upstream().await;
    let servers = json!({ "mcpServers": { "web": {
        "url": format!("http://{upstream}/mcp"),
        "headers": { "Authorization": "Bearer ${secret:web/key}" },
    } } });
    fs::write(directory.path().join("mcp.json"), servers.to_string()).unwrap();

    let gateway = start(&data_dir).await;
    let lacking = doctor(&gateway).await;
    assert!(lacking.contains("waybill secrets set web/key"), "{lacking}");
    let set = secrets(&data_dir, &["set", "web/key"], &format!("{VALUE}\n"));
    assert_eq!((set.status.code(), text(&set.stderr)), (Some(0), ""));
    gateway.kill();

    // Without a gateway the commands open the store themselves.
    let listed = secrets(&data_dir, &["list"], "");
    assert!(text(&listed.stdout).contains("web/key"), "{listed:?}");
    let other = secrets(&data_dir, &["set", "other"], VALUE);
    assert!(other.status.success(), "{other:?}");

    let gateway = start(&data_dir).await;
    let told = timeout(PATIENCE, seen.recv()).await.unwrap().unwrap();
    assert_eq!(told, format!("Bearer {VALUE}"));
    let removed = secrets(&data_dir, &["remove", "other"], "");
    assert!(removed.status.success(), "{removed:?}");
    let again = secrets(&data_dir, &["remove", "other"], "");
    assert_eq!(again.status.code(), Some(3), "{again:?}");
    let bad = secrets(&data_dir, &["set", "Web Key"], VALUE);
    assert_eq!(bad.status.code(), Some(2), "{bad:?}");

    assert!(!doctor(&gateway).await.contains(VALUE));
    gateway.kill();
    for output in [set, listed, other, removed, again, bad] {
        assert!(!text(&output.stdout).contains(VALUE) && !text(&output.stderr).contains(VALUE));
    }
    for entry in fs::read_dir(&data_dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            let bytes = fs::read(&path).unwrap();
            let kept = bytes.windows(VALUE.len()).any(|of| of == VALUE.as_bytes());
            assert!(!kept, "{}", path.display());
        }
    }
}

/// Says which `Authorization` it was asked with, and refuses.
async fn upstream() -> (SocketAddr, mpsc::UnboundedReceiver<String>) {
    let (told, seen) = mpsc::unbounded_channel();
    let app = Router::new().fallback(async move |headers: HeaderMap| {
        let header = headers["authorization"].to_str().unwrap().to_owned();
        told.send(header).unwrap();
        StatusCode::FORBIDDEN
    });
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    #[expect(clippy::disallowed_methods, reason = "it ends with the test's runtime")]
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    (address, seen)
}

async fn start(data_dir: &Path) -> Gateway {
    let address = free_address();
    let mut command = command(data_dir, address);
    command.args(["--mcp-config", "mcp.json"]);
    Gateway::run(data_dir, address, command).await
}

async fn doctor(gateway: &Gateway) -> String {
    gateway.json("/admin/doctor").await.to_string()
}

fn secrets(data_dir: &Path, arguments: &[&str], input: &str) -> Output {
    let mut command = Command::new(BINARY);
    let command = command.arg("secrets").args(arguments);
    let mut process = command
        .arg("--data-dir")
        .arg(data_dir)
        .current_dir(data_dir.parent().unwrap())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // One that refuses its arguments has not waited for it.
    drop(process.stdin.take().unwrap().write_all(input.as_bytes()));
    process.wait_with_output().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    str::from_utf8(bytes).unwrap()
}
