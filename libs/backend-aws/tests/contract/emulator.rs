//! An account of the test's own in the emulator.

use waybill_backend_aws::{Clients, Faults, Names, Settings};

/// Where the emulators answer.
const URL: &str = "AWS_EMULATOR_URL";
const STRICT_KMS_URL: &str = "KMS_EMULATOR_URL";

pub(crate) struct Account {
    pub(crate) clients: Clients,
    pub(crate) names: Names,
    number: String,
}

impl Account {
    /// Empty. The emulator takes an access key of twelve digits for an account's number.
    pub(crate) async fn fresh() -> Self {
        Self::at(URL).await
    }

    /// Where KMS refuses altered bytes and other keys.
    pub(crate) async fn with_strict_kms() -> Self {
        Self::at(STRICT_KMS_URL).await
    }

    async fn at(variable: &str) -> Self {
        let account = format!("{:012}", rand::random_range(1..1_000_000_000_000_u64));
        Self {
            clients: reached(variable, &account, None).await,
            names: Names::new(format!("t-{}", &account[..8])),
            number: account,
        }
    }

    /// Other clients of the same account, whose requests suffer.
    pub(crate) async fn suffering(&self, faults: Faults) -> Clients {
        reached(URL, &self.number, Some(faults)).await
    }
}

async fn reached(variable: &str, account: &str, faults: Option<Faults>) -> Clients {
    #[expect(clippy::disallowed_methods, reason = "how an emulator's place is told")]
    let url = std::env::var(variable).unwrap_or_else(|_| {
        panic!("these tests need {variable}: run `cargo xtask emulator COMMAND...`")
    });
    let settings = Settings {
        endpoint_url: Some(url),
        region: Some("eu-central-1".to_owned()),
        faults,
    };
    Clients::with_keys(&settings, account, "test")
        .await
        .unwrap()
}
