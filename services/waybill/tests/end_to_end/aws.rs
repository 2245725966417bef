//! Several processes over one installation, in an emulator that `cargo xtask test` starts.

use std::{
    collections::HashSet,
    path::Path,
    process::{Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
};

use serde_json::{Value, json};

use crate::{
    crash::finish,
    gateway::{BINARY, Gateway, command, free_address},
};

const CALLS: usize = 40;
/// Of a process's requests to AWS, one in ten does not go well.
const FAULTS: &str = "throttle=0.02,error=0.01,cut=0.01,lost=0.02,delay=0.05";

static MADE: AtomicU32 = AtomicU32::new(0);

/// An account of its own, with everything made that the services need.
pub(crate) struct Installation {
    account: String,
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
        let (process, made) = (std::process::id(), MADE.fetch_add(1, Ordering::Relaxed));
        let account = format!("9{process:08}{made:03}");
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

    async fn gateway(&self, data_dir: &Path) -> Gateway {
        self.suffering_gateway(data_dir, None).await
    }

    /// With this seed, its requests to AWS go wrong at times.
    async fn suffering_gateway(&self, data_dir: &Path, seed: Option<u32>) -> Gateway {
        let address = free_address();
        let mut command = command(data_dir, address);
        self.reached_by(&mut command);
        if let Some(seed) = seed {
            command.env("WAYBILL_FAULTS", format!("seed={seed},{FAULTS}"));
        }
        Gateway::run(data_dir, address, command).await
    }
}

/// One of them is killed, too. Whoever has no answer to a submission does not count it.
#[tokio::test(flavor = "multi_thread")]
async fn processes_over_a_service_that_fails_lose_nothing_and_repeat_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let installation = Installation::new();
    let folder = |name: &str| directory.path().join(name);
    let one = installation
        .suffering_gateway(&folder("one"), Some(1))
        .await;
    let two = installation
        .suffering_gateway(&folder("two"), Some(2))
        .await;
    let mut accepted = HashSet::new();
    for call in 0..CALLS {
        let door = if call % 2 == 0 { &one } else { &two };
        let answer = door.submit("slow_compute", json!({ "seconds": 0.2 })).await;
        let status: Value = answer.unwrap().json().await.unwrap_or_default();
        accepted.extend(status["id"].as_str().map(str::to_owned));
    }
    assert!(
        accepted.len() > CALLS / 2,
        "{} were accepted",
        accepted.len()
    );
    one.kill();
    let whole = installation.gateway(&folder("three")).await;
    finish(&whole, &accepted).await;
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
