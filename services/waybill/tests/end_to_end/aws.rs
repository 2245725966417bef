//! Several processes over one installation, in an emulator that `cargo xtask test` starts.

use std::{
    collections::HashSet,
    path::Path,
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
};

use serde_json::{Value, json};
use waybill_backend_aws::{Clients, Settings};

use crate::{
    crash::finish,
    gateway::{BINARY, Gateway, command, free_address},
};

const CALLS: usize = 40;
/// Installations of this process.
static MADE: AtomicU32 = AtomicU32::new(0);

/// An account of its own, with everything made that the services need.
pub(crate) struct Installation {
    pub(crate) account: String,
    url: String,
}

impl Installation {
    pub(crate) fn new() -> Self {
        #[expect(
            clippy::disallowed_methods,
            reason = "how the emulator's place is told"
        )]
        let url = std::env::var("AWS_EMULATOR_URL")
            .expect("this test needs an emulator: run `cargo xtask emulator COMMAND...`");
        let (process, within) = (std::process::id(), MADE.fetch_add(1, Ordering::Relaxed));
        let account = format!("9{process:08}{within:03}");
        let installation = Self { account, url };
        let mut apply = Command::new(BINARY);
        apply.args(["infra", "apply"]).stdout(Stdio::null());
        let applied = installation.reached_by(&mut apply).status().unwrap();
        assert!(applied.success());
        installation
    }

    pub(crate) fn reached_by<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command
            .env("AWS_ACCESS_KEY_ID", &self.account)
            .env("AWS_SECRET_ACCESS_KEY", "test")
            .env("AWS_REGION", "eu-central-1")
            .env("WAYBILL_BACKEND", "aws")
            .env("WAYBILL_ENDPOINT_URL", &self.url)
    }

    /// Past everything that is ours.
    pub(crate) async fn clients(&self) -> Clients {
        let settings = Settings {
            endpoint_url: Some(self.url.clone()),
            region: Some("eu-central-1".to_owned()),
        };
        Clients::with_keys(&settings, &self.account, "test").await
    }

    /// A service in a process of its own, by its binary.
    fn worker(&self, binary: &str) -> Worker {
        let mut command = Command::new(binary);
        command
            .args(["--conformance", "--log", "error", "--listen", "127.0.0.1:0"])
            .stdout(Stdio::null());
        Worker(self.reached_by(&mut command).spawn().unwrap())
    }

    /// The door in a process of its own. Its key is made by an operator's command.
    async fn door(&self, data_dir: &Path) -> Gateway {
        let mut keys = Command::new(BINARY);
        keys.args(["keys", "list", "--data-dir"])
            .arg(data_dir)
            .stdout(Stdio::null());
        assert!(self.reached_by(&mut keys).status().unwrap().success());
        let address = free_address();
        let mut command = Command::new(env!("CARGO_BIN_EXE_waybill-ingress"));
        command
            .args(["--conformance", "--log", "error", "--listen"])
            .arg(address.to_string());
        self.reached_by(&mut command);
        Gateway::run(data_dir, address, command).await
    }

    async fn gateway(&self, data_dir: &Path) -> Gateway {
        let address = free_address();
        let mut command = command(data_dir, address);
        self.reached_by(&mut command);
        Gateway::run(data_dir, address, command).await
    }
}

struct Worker(Child);

impl Drop for Worker {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_service_has_processes_of_its_own_and_one_is_killed() {
    let directory = tempfile::tempdir().unwrap();
    let installation = Installation::new();
    let doors = [
        installation.door(&directory.path().join("one")).await,
        installation.door(&directory.path().join("two")).await,
    ];
    let executor = env!("CARGO_BIN_EXE_waybill-tool-executor");
    let first = installation.worker(executor);
    let _second = installation.worker(executor);
    let _sink = installation.worker(env!("CARGO_BIN_EXE_waybill-audit-sink"));
    let mut accepted = HashSet::new();
    for call in 0..CALLS {
        let door = &doors[call % doors.len()];
        let answer = door.submit("slow_compute", json!({ "seconds": 1 })).await;
        let status: Value = answer.unwrap().json().await.unwrap();
        accepted.insert(status["id"].as_str().unwrap().to_owned());
    }
    drop(first);
    finish(&doors[0], &accepted).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_process_finishes_what_a_killed_one_has_begun() {
    let directory = tempfile::tempdir().unwrap();
    let installation = Installation::new();
    let one = installation.gateway(&directory.path().join("one")).await;
    let two = installation.gateway(&directory.path().join("two")).await;
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
