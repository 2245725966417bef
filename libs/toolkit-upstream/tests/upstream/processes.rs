//! What happens to the processes.

use std::{
    collections::BTreeMap,
    fs, io,
    sync::{Arc, Mutex},
    time::Duration,
};

use serde_json::json;
use tokio::time::{Instant, timeout};
use tracing_subscriber::fmt::MakeWriter;
use waybill_toolkit::ToolError;
use waybill_toolkit_upstream::{Health, Options};

use crate::rig::{Call, Rig, entry, eventually, fixture, options, text};

#[tokio::test]
async fn the_environment_is_what_was_given() {
    let mut up = entry("modern");
    up["env"] = json!({"TOKEN": "t"});
    let rig = Rig::start(json!({ "up": up })).await;
    let env: BTreeMap<String, String> =
        serde_json::from_str(&rig.text("up__env", json!({})).await).unwrap();
    let expected = [("PATH", "/usr/bin:/bin"), ("TOKEN", "t")];
    assert_eq!(
        env,
        expected.map(|(k, v)| (k.to_owned(), v.to_owned())).into()
    );
    rig.stop().await;
}

#[tokio::test]
async fn a_crash_is_unknown_for_its_calls_then_the_server_is_back() {
    let rig = Rig::start(json!({ "up": entry("modern"), "other": entry("modern") })).await;
    let other = rig.tool("other__slow");
    let undisturbed = Call::new();
    let (crashed, slow) = tokio::join!(
        rig.call("up__exit", json!({})),
        undisturbed.run(&other, json!({"steps": 2, "ms": 50})),
    );
    assert!(
        matches!(crashed, Err(ToolError::Unknown { .. })),
        "{crashed:?}"
    );
    assert_eq!(text(slow), "done");
    // It stays listed while it is away, and comes back by itself.
    assert!(rig.registry.get("up__echo").is_some());
    rig.until_ready("up").await;
    assert_eq!(
        rig.text("up__echo", json!({"text": "again"})).await,
        "again"
    );
    rig.stop().await;
}

#[tokio::test]
async fn a_dead_upstream_delays_nobody_and_says_why() {
    let started = Instant::now();
    let servers = json!({
        "up": entry("modern"),
        "gone": {"command": "/nonexistent/server"},
        "dies": {"command": "sh", "args": ["-c", "exit 3"]},
        "deaf": entry("deaf"),
        "locked": {"command": "sh", "env": {"KEY": "${secret:web/key}"}},
    });
    let rig = Rig::begin(
        &servers,
        &Options {
            backoff_min: Duration::from_mins(1),
            ..options()
        },
    );
    assert!(
        started.elapsed() < Duration::from_secs(1),
        "start returns at once"
    );
    rig.until_ready("up").await;
    assert_eq!(rig.text("up__echo", json!({"text": "a"})).await, "a");
    for (server, part) in [
        ("gone", "cannot be started"),
        ("dies", "exit status: 3"),
        ("locked", "waybill secrets set web/key"),
    ] {
        let reason = rig.until_failed(server).await;
        assert!(reason.contains(part), "{reason}");
    }
    assert_eq!(rig.supervisor.health()["deaf"], Health::Starting);
    rig.stop().await;
    assert!(
        rig.supervisor
            .health()
            .values()
            .all(|health| *health == Health::Stopped)
    );
}

#[tokio::test]
async fn a_server_that_is_down_fails_its_calls_as_unavailable() {
    let pause = Duration::from_mins(1);
    let options = Options {
        backoff_min: pause,
        backoff_max: pause,
        ..options()
    };
    let rig = Rig::start_with(json!({ "up": entry("modern") }), options).await;
    rig.call("up__exit", json!({})).await.unwrap_err();
    rig.until_failed("up").await;
    let error = rig.call("up__echo", json!({})).await.unwrap_err();
    let ToolError::Unavailable {
        message,
        retry_after,
        ..
    } = error
    else {
        panic!("{error:?}")
    };
    assert!(message.contains("exit status: 7"), "{message}");
    assert!(
        retry_after.unwrap() > Duration::from_secs(30),
        "{retry_after:?}"
    );
    rig.stop().await;
    let error = rig.call("up__echo", json!({})).await.unwrap_err();
    assert!(matches!(error, ToolError::Unavailable { .. }), "{error:?}");
}

#[tokio::test]
async fn a_server_that_never_shakes_hands_is_given_up() {
    let options = Options {
        connect_timeout: Duration::from_millis(300),
        ..options()
    };
    let rig = Rig::start_with(json!({ "up": entry("deaf") }), options).await;
    assert_eq!(
        rig.until_failed("up").await,
        "no handshake within the connect timeout"
    );
    rig.stop().await;
}

/// Servers built on older SDKs leave when the first message is not `initialize`.
#[tokio::test]
async fn a_server_that_dies_of_discover_is_met_with_initialize() {
    let script = r#"read -r first; case "$first" in *server/discover*) exit 1;; esac
        { printf '%s\n' "$first"; cat; } | "$0" legacy"#;
    let old = json!({"command": "sh", "args": ["-c", script, fixture()]});
    let rig = Rig::start(json!({ "old": old })).await;
    let ready = Health::Ready {
        tools: 15,
        protocol: "2025-11-25".to_owned(),
    };
    assert_eq!(rig.supervisor.health()["old"], ready);
    assert_eq!(rig.text("old__echo", json!({"text": "x"})).await, "x");
    rig.stop().await;
}

#[tokio::test]
async fn no_process_survives_shutdown() {
    let rig = Rig::start(json!({ "up": entry("modern"), "stubborn": entry("stubborn") })).await;
    let mut pids = Vec::new();
    for server in ["up", "stubborn"] {
        let grandchild = rig.text(&format!("{server}__spawn"), json!({})).await;
        pids.push(parent(&grandchild));
        pids.push(grandchild);
    }
    assert!(pids.iter().all(|pid| alive(pid)), "{pids:?}");
    rig.stop().await;
    for pid in &pids {
        eventually(|| (!alive(pid)).then_some(())).await;
    }
}

#[tokio::test]
async fn a_crash_takes_the_grandchildren_along() {
    let rig = Rig::start(json!({ "up": entry("modern") })).await;
    let grandchild = rig.text("up__spawn", json!({})).await;
    // The grandchild holds the server's stdout open: its end must not be what we wait for.
    let crashed = timeout(Duration::from_secs(5), rig.call("up__exit", json!({}))).await;
    assert!(
        matches!(crashed, Ok(Err(ToolError::Unknown { .. }))),
        "{crashed:?}"
    );
    eventually(|| (!alive(&grandchild)).then_some(())).await;
    rig.stop().await;
}

#[tokio::test]
async fn dropping_the_supervisor_kills_what_it_started() {
    let rig = Rig::start(json!({ "up": entry("stubborn") })).await;
    let grandchild = rig.text("up__spawn", json!({})).await;
    let server = parent(&grandchild);
    drop(rig);
    for pid in [server, grandchild] {
        eventually(|| (!alive(&pid)).then_some(())).await;
    }
}

#[tokio::test]
async fn a_shutdown_deadline_is_kept() {
    let options = Options {
        grace: Duration::from_mins(1),
        ..options()
    };
    let rig = Rig::start_with(json!({ "up": entry("stubborn") }), options).await;
    let grandchild = rig.text("up__spawn", json!({})).await;
    let started = Instant::now();
    rig.supervisor.shutdown(Duration::from_millis(200)).await;
    assert!(
        started.elapsed() < Duration::from_secs(5),
        "{:?}",
        started.elapsed()
    );
    eventually(|| (!alive(&grandchild)).then_some(())).await;
}

#[tokio::test]
async fn stderr_is_logged_line_by_line_and_bounded() {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt()
        .with_writer(log.clone())
        .with_env_filter("upstream.stderr=info")
        .with_ansi(false)
        .finish();
    // For the whole program: a scoped one races with the other tests for tracing's cache.
    tracing::subscriber::set_global_default(subscriber).unwrap();
    let script = r#"printf '%10000s\n' x >&2; echo short >&2; exec "$0" modern"#;
    let noisy = json!({"command": "sh", "args": ["-c", script, fixture()]});
    let rig = Rig::start(json!({ "noisy": noisy })).await;
    let lines = eventually(|| {
        let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
        let lines: Vec<_> = text
            .lines()
            .filter(|line| line.contains("noisy"))
            .map(str::to_owned)
            .collect();
        lines
            .iter()
            .any(|line| line.contains("fixture starts as modern"))
            .then_some(lines)
    })
    .await;
    assert!(
        lines
            .iter()
            .any(|line| line.contains("short upstream=\"noisy\"")),
        "{lines:?}"
    );
    assert!(
        lines.len() >= 5,
        "the long one came in pieces: {}",
        lines.len()
    );
    assert!(
        lines
            .iter()
            .all(|line| line.len() < 5000 && line.contains("upstream.stderr"))
    );
    rig.stop().await;
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// State and parent of a process; `None` when there is none.
fn stat(pid: &str) -> Option<(char, String)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    Some((fields.next()?.chars().next()?, fields.next()?.to_owned()))
}

fn parent(pid: &str) -> String {
    stat(pid).expect("a running process").1
}

/// A zombie is gone, whoever has not buried it yet.
fn alive(pid: &str) -> bool {
    stat(pid).is_some_and(|(state, _)| state != 'Z')
}
