//! The official servers, unmodified. `WAYBILL_NPM_SERVERS` names a folder in which `npm install
//! @modelcontextprotocol/server-filesystem @modelcontextprotocol/server-everything` was run.

use std::{fs, path::PathBuf, time::Duration};

use serde_json::{Value, json};
use waybill_toolkit::{Effect, ToolError};
use waybill_toolkit_upstream::{Health, Options};

use crate::rig::{Call, Rig, options, text};

#[expect(
    clippy::disallowed_methods,
    reason = "how the test command says where it installed them"
)]
fn server(name: &str) -> PathBuf {
    let folder = std::env::var("WAYBILL_NPM_SERVERS")
        .expect("WAYBILL_NPM_SERVERS names the folder of the npm servers");
    let main = PathBuf::from(folder)
        .join("node_modules/@modelcontextprotocol")
        .join(name)
        .join("dist/index.js");
    assert!(main.exists(), "{} is missing", main.display());
    main
}

#[expect(clippy::disallowed_methods, reason = "where node is")]
fn node_options() -> Options {
    let mut options = options();
    let path = std::env::var("PATH").expect("PATH is set");
    options.base_env.insert("PATH".to_owned(), path);
    options
}

fn node(name: &str, args: &[&str]) -> Value {
    let mut all = vec![server(name).display().to_string()];
    all.extend(args.iter().map(|&arg| arg.to_owned()));
    json!({ "command": "node", "args": all })
}

#[tokio::test]
#[ignore = "needs npm servers; cargo xtask test installs them"]
async fn server_filesystem() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path().canonicalize().unwrap();
    fs::write(root.join("a.txt"), "alpha").unwrap();
    let entry = node("server-filesystem", &[root.to_str().unwrap()]);
    let rig = Rig::start_with(json!({ "fs": entry }), node_options()).await;
    let health = rig.supervisor.health();
    assert!(
        matches!(health["fs"], Health::Ready { tools: 10.., .. }),
        "{health:?}"
    );
    assert_eq!(
        rig.tool("fs__read_text_file").spec().effect,
        Effect::ReadOnly
    );
    assert_eq!(rig.tool("fs__edit_file").spec().effect, Effect::Once);

    let path = |name: &str| root.join(name).display().to_string();
    let read = rig
        .text("fs__read_text_file", json!({ "path": path("a.txt") }))
        .await;
    assert_eq!(read, "alpha");
    rig.text(
        "fs__write_file",
        json!({ "path": path("b.txt"), "content": "beta" }),
    )
    .await;
    assert_eq!(fs::read_to_string(root.join("b.txt")).unwrap(), "beta");
    let list = rig
        .text("fs__list_directory", json!({ "path": root }))
        .await;
    assert!(list.contains("a.txt") && list.contains("b.txt"), "{list}");
    // Its own refusal is an answer.
    let outside = rig
        .call("fs__read_text_file", json!({ "path": "/etc/passwd" }))
        .await
        .unwrap();
    assert_eq!(outside.is_error, Some(true), "{outside:?}");
    rig.stop().await;
}

#[tokio::test]
#[ignore = "needs npm servers; cargo xtask test installs them"]
async fn server_everything() {
    let entry = node("server-everything", &["stdio"]);
    let rig = Rig::start_with(json!({ "all": entry }), node_options()).await;
    let health = rig.supervisor.health();
    assert!(
        matches!(health["all"], Health::Ready { tools: 5.., .. }),
        "{health:?}"
    );

    let echoed = rig.text("all__echo", json!({ "message": "hé" })).await;
    assert_eq!(echoed, "Echo: hé");
    let sum = rig.text("all__get-sum", json!({ "a": 2, "b": 3 })).await;
    assert!(sum.contains('5'), "{sum}");

    let slow = rig.tool("all__trigger-long-running-operation");
    let call = Call::new();
    text(call.run(&slow, json!({ "duration": 1, "steps": 4 })).await);
    let progress = call.progress.lock().unwrap().clone();
    assert!(progress.len() >= 3, "{progress:?}");
    assert_eq!(progress[0].1, Some(4.0));

    let call = Call::new();
    let cancelled = tokio::join!(
        call.run(&slow, json!({ "duration": 60, "steps": 2 })),
        async {
            tokio::time::sleep(Duration::from_millis(100)).await;
            call.cancel.cancel();
        }
    );
    assert!(
        matches!(cancelled.0, Err(ToolError::Cancelled)),
        "{cancelled:?}"
    );
    assert_eq!(
        rig.text("all__echo", json!({ "message": "on" })).await,
        "Echo: on"
    );

    let environment = rig.text("all__get-env", json!({})).await;
    let environment: Value = serde_json::from_str(&environment).unwrap();
    assert_eq!(
        environment.as_object().unwrap().keys().collect::<Vec<_>>(),
        ["PATH"]
    );
    rig.stop().await;
}

/// The same server over HTTP, with sessions.
#[tokio::test]
#[ignore = "needs npm servers; cargo xtask test installs them"]
async fn server_everything_over_http() {
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let mut process = tokio::process::Command::new("node")
        .arg(server("server-everything"))
        .arg("streamableHttp")
        .env("PORT", port.to_string())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let entry = json!({ "type": "http", "url": format!("http://127.0.0.1:{port}/mcp") });
    // It is not up yet: the supervisor comes back until it is.
    let soon = Options {
        refresh: Duration::from_millis(200),
        ..options()
    };
    let rig = Rig::begin(&json!({ "all": entry }), &soon);
    rig.until_ready("all").await;
    let call = Call::new();
    let slow = rig.tool("all__trigger-long-running-operation");
    text(call.run(&slow, json!({ "duration": 1, "steps": 4 })).await);
    assert!(call.progress.lock().unwrap().len() >= 3);

    // A restart loses its sessions.
    process.kill().await.unwrap();
    rig.until_failed("all").await;
    let error = rig
        .call("all__echo", json!({ "message": "x" }))
        .await
        .unwrap_err();
    assert!(matches!(error, ToolError::Unavailable { .. }), "{error:?}");
    let _process = tokio::process::Command::new("node")
        .arg(server("server-everything"))
        .arg("streamableHttp")
        .env("PORT", port.to_string())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    rig.until_ready("all").await;
    assert_eq!(
        rig.text("all__echo", json!({ "message": "x" })).await,
        "Echo: x"
    );
    rig.stop().await;
}
