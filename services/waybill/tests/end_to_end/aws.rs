//! Several processes over one installation.

use std::{collections::HashSet, fs::File, path::Path, process::Command};

use serde_json::{Value, json};

use crate::{
    crash::finish,
    gateway::{BINARY, Gateway, command, free_address},
    installation::Installation,
};

const CALLS: usize = 40;
#[tokio::test(flavor = "multi_thread")]
async fn another_process_finishes_what_a_killed_one_has_begun() {
    let directory = tempfile::tempdir().unwrap();
    let installation = Installation::new();
    let one = gateway(&installation, &directory.path().join("one")).await;
    let two = gateway(&installation, &directory.path().join("two")).await;
    let mut accepted = HashSet::new();
    for call in 0..CALLS {
        let door = if call % 2 == 0 { &one } else { &two };
        let answer = door.submit("slow_compute", json!({ "seconds": 1 })).await;
        let status: Value = answer.unwrap().json().await.unwrap();
        accepted.insert(status["id"].as_str().unwrap().to_owned());
    }
    assert_eq!(accepted.len(), CALLS);
    one.kill();
    finish(&two, &accepted).await;
}

/// No lock tells where the records are far away.
#[tokio::test(flavor = "multi_thread")]
async fn a_command_finds_the_gateway_of_its_directory() {
    let directory = tempfile::tempdir().unwrap();
    let installation = Installation::new();
    let data_dir = directory.path().join("data");
    let gateway = gateway(&installation, &data_dir).await;
    let call = || {
        let mut call = Command::new(BINARY);
        call.args(["call", "greet", "--arg", "name=Ada", "--data-dir"])
            .arg(&data_dir);
        installation.reached_by(&mut call).output().unwrap()
    };
    let called = call();
    let told = String::from_utf8_lossy(&called.stdout);
    assert!(told.contains("Hello, Ada!"), "{called:?}");
    // Its address is still there, and nobody answers at it.
    gateway.kill();
    // The command looks for itself then, and has no fixtures.
    let refused = call();
    let told = String::from_utf8_lossy(&refused.stderr);
    assert!(told.contains("there is no tool greet"), "{refused:?}");
}

/// Each command is a process with a data directory of its own.
#[test]
fn a_secret_is_the_installations() {
    let installation = Installation::new();
    let kept = tempfile::tempdir().unwrap();
    let key_file = kept.path().join("key");
    std::fs::write(&key_file, installation.key()).unwrap();
    let secrets = |arguments: &[&str]| {
        let directory = tempfile::tempdir().unwrap();
        let mut command = Command::new(BINARY);
        command.arg("secrets").args(arguments).arg("--data-dir");
        let input = File::open(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")).unwrap();
        command.arg(directory.path()).stdin(input);
        command.arg("--key-file").arg(&key_file);
        installation.reached_by(&mut command).output().unwrap()
    };
    let set = secrets(&["set", "web/key"]);
    assert!(set.status.success(), "{set:?}");
    let listed = secrets(&["list"]);
    let told = String::from_utf8_lossy(&listed.stdout);
    assert!(told.contains("web/key"), "{listed:?}");
    for wanted in [0, 3] {
        let removed = secrets(&["remove", "web/key"]);
        assert_eq!(removed.status.code(), Some(wanted), "{removed:?}");
    }
}

async fn gateway(installation: &Installation, data_dir: &Path) -> Gateway {
    let address = free_address();
    let mut command = command(data_dir, address);
    installation.reached_by(&mut command);
    Gateway::run(data_dir, address, command).await
}
