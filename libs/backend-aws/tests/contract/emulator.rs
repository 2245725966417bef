//! An account of the test's own in the emulator.

use waybill_backend_aws::{Clients, Names, Settings};

/// Where the emulator answers.
const URL: &str = "AWS_EMULATOR_URL";

pub(crate) struct Account {
    pub(crate) clients: Clients,
    pub(crate) names: Names,
}

impl Account {
    /// Empty. The emulator takes an access key of twelve digits for an account's number.
    pub(crate) async fn fresh() -> Self {
        #[expect(clippy::disallowed_methods, reason = "how the emulator's place is told")]
        let url = std::env::var(URL).unwrap_or_else(|_| {
            panic!("these tests need an emulator at {URL}: run `cargo xtask emulator COMMAND...`")
        });
        let settings = Settings {
            endpoint_url: Some(url),
            region: Some("eu-central-1".to_owned()),
        };
        let account = format!("{:012}", rand::random_range(1..1_000_000_000_000_u64));
        let clients = Clients::with_keys(&settings, &account, "test").await;
        Self {
            clients,
            names: Names::new(format!("t-{}", &account[..8])),
        }
    }
}
