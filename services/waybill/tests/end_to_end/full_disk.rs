//! A disk without room: calls are refused with the reason, the process lives, and when there is
//! room again everything that was accepted is there.
//!
//! The disk is played by the kernel's limit on the size of a file (`RLIMIT_FSIZE`), which needs no
//! rights and can be lifted while the process runs.

use std::{collections::HashSet, process::Command};

use reqwest::StatusCode;
use rustix::process::{Pid, Resource, Rlimit, prlimit};
use serde_json::{Value, json};

use crate::{
    crash::finish,
    gateway::{Gateway, command, free_address},
};

/// More than a new database, less than the calls below write.
const ROOM: u64 = 1024 * 1024;
const MAX_CALLS: usize = 5_000;

#[tokio::test]
async fn what_was_accepted_outlives_a_full_disk() {
    let directory = tempfile::tempdir().unwrap();
    let (data_dir, address) = (directory.path().join("data"), free_address());
    let command = deaf_to_the_limit(&command(&data_dir, address));
    let gateway = Gateway::run(&data_dir, address, command).await;
    limit(&gateway, Some(ROOM));
    let mut accepted = HashSet::new();
    let refused = loop {
        assert!(accepted.len() < MAX_CALLS, "the disk never got full");
        let answer = gateway.submit("greet", json!({ "name": "Ada" })).await;
        let answer = answer.unwrap();
        let status = answer.status();
        let body: Value = answer.json().await.unwrap();
        if !status.is_success() {
            break (status, body);
        }
        accepted.insert(body["id"].as_str().unwrap().to_owned());
    };
    let (status, body) = refused;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{body}");
    assert!(body.to_string().contains("the disk"), "{body}");
    // Reading still works, and the process can say how it is.
    let known = accepted.iter().next().unwrap();
    let seen = gateway.json(&format!("/mcp/status/{known}")).await;
    assert_eq!(seen["id"], known.as_str());
    assert_eq!(
        gateway.get("/healthz").send().await.unwrap().status(),
        StatusCode::OK
    );

    limit(&gateway, None);
    finish(&gateway, &accepted).await;
}

/// The limit shows as a failed write, as a full disk does, and not as a signal that kills.
fn deaf_to_the_limit(command: &Command) -> Command {
    let mut shell = Command::new("sh");
    shell
        .args(["-c", r#"trap "" XFSZ; exec "$0" "$@""#])
        .arg(command.get_program())
        .args(command.get_args());
    shell.current_dir(command.get_current_dir().unwrap());
    shell
}

fn limit(gateway: &Gateway, bytes: Option<u64>) {
    let pid = Pid::from_raw(i32::try_from(gateway.pid()).unwrap());
    let limit = Rlimit {
        current: bytes,
        maximum: None,
    };
    prlimit(pid, Resource::Fsize, limit).unwrap();
}
