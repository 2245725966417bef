//! An installation in an emulator that `cargo xtask test` starts.

use std::{
    process::{Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
};

use waybill_backend_aws::{Clients, Settings};

use crate::gateway::BINARY;

/// By this process.
static MADE: AtomicU32 = AtomicU32::new(0);

/// An account of its own, with everything made that the services need.
pub(crate) struct Installation {
    pub(crate) account: String,
    /// The names of buckets are those of all accounts.
    pub(crate) prefix: String,
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
        let account = format!("9{made:02}{process:09}");
        let prefix = format!("e{made}-{process}");
        let installation = Self {
            account,
            prefix,
            url,
        };
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
            .env("WAYBILL_PREFIX", &self.prefix)
            .env("WAYBILL_ENDPOINT_URL", &self.url)
    }

    /// The first API key, which an operator's command makes.
    pub(crate) fn key(&self) -> String {
        let directory = tempfile::tempdir().unwrap();
        let mut list = Command::new(BINARY);
        list.args(["keys", "first", "--data-dir"])
            .arg(directory.path())
            .stdout(Stdio::null());
        assert!(self.reached_by(&mut list).status().unwrap().success());
        let key = std::fs::read_to_string(directory.path().join("api-key")).unwrap();
        key.trim().to_owned()
    }

    /// Past everything that is ours.
    pub(crate) async fn clients(&self) -> Clients {
        let settings = Settings {
            endpoint_url: Some(self.url.clone()),
            region: Some("eu-central-1".to_owned()),
            faults: None,
        };
        Clients::with_keys(&settings, &self.account, "test")
            .await
            .unwrap()
    }
}
