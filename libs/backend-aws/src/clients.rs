//! The SDK's clients, and everything that is decided about them: timeouts, retries, connections.

use std::time::Duration;

use aws_config::{BehaviorVersion, Region, retry::RetryConfig, timeout::TimeoutConfig};
use aws_smithy_http_client::{
    Builder,
    tls::{Provider, rustls_provider::CryptoMode},
};
use waybill_messaging::{Error, Result};

use crate::wire::{self, Faults, Requests};

/// To a service in the same region; beyond it the network is at fault.
const CONNECT: Duration = Duration::from_secs(2);
/// One try of an operation. A long poll of SQS has 20 s of its own.
const ATTEMPT: Duration = Duration::from_secs(25);
/// All tries of an operation.
const OPERATION: Duration = Duration::from_secs(40);
/// Of throttled and lost requests, by the SDK, with jitter. The queue retries what fails then.
const ATTEMPTS: u32 = 3;
const FIRST_BACKOFF: Duration = Duration::from_millis(50);

/// How an installation is reached. Credentials come by the SDK's default chain.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// An emulator's URL; `None`: AWS itself.
    pub endpoint_url: Option<String>,
    /// `None`: by the environment or the profile.
    pub region: Option<String>,
    /// What an emulator's answers suffer, for tests.
    pub faults: Option<Faults>,
}

/// One client per service, over one pool of connections. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Clients {
    pub cloudwatch: aws_sdk_cloudwatch::Client,
    pub dynamodb: aws_sdk_dynamodb::Client,
    pub sqs: aws_sdk_sqs::Client,
    pub sns: aws_sdk_sns::Client,
    pub kms: aws_sdk_kms::Client,
    pub s3: aws_sdk_s3::Client,
    pub secretsmanager: aws_sdk_secretsmanager::Client,
    pub eventbridge: aws_sdk_eventbridge::Client,
    pub sts: aws_sdk_sts::Client,
    requests: Requests,
}

impl Clients {
    /// Reads the environment and the profile; asks no service.
    /// [`Error::Broken`]: faults are asked for, and no emulator is named.
    pub async fn connect(settings: &Settings) -> Result<Self> {
        let requests = Requests::default();
        let config = loader(settings, &requests)?.load().await;
        Ok(Self::over(&config, settings, requests))
    }

    /// With these credentials in place of the chain's: for emulators.
    pub async fn with_keys(settings: &Settings, id: &str, secret: &str) -> Result<Self> {
        let keys = aws_sdk_dynamodb::config::Credentials::new(id, secret, None, None, "given");
        let requests = Requests::default();
        let loader = loader(settings, &requests)?.credentials_provider(keys);
        Ok(Self::over(&loader.load().await, settings, requests))
    }

    /// What was asked of each service by these clients and their clones.
    pub fn requests(&self) -> &Requests {
        &self.requests
    }

    pub(crate) fn over(
        config: &aws_config::SdkConfig,
        settings: &Settings,
        requests: Requests,
    ) -> Self {
        // An emulator has no DNS name for each bucket.
        let s3 = aws_sdk_s3::config::Builder::from(config)
            .force_path_style(settings.endpoint_url.is_some())
            .build();
        Self {
            cloudwatch: aws_sdk_cloudwatch::Client::new(config),
            requests,
            dynamodb: aws_sdk_dynamodb::Client::new(config),
            sqs: aws_sdk_sqs::Client::new(config),
            sns: aws_sdk_sns::Client::new(config),
            kms: aws_sdk_kms::Client::new(config),
            s3: aws_sdk_s3::Client::from_conf(s3),
            secretsmanager: aws_sdk_secretsmanager::Client::new(config),
            eventbridge: aws_sdk_eventbridge::Client::new(config),
            sts: aws_sdk_sts::Client::new(config),
        }
    }
}

fn loader(settings: &Settings, requests: &Requests) -> Result<aws_config::ConfigLoader> {
    if settings.faults.is_some() && settings.endpoint_url.is_none() {
        let refused = "faults are for emulators, and none is named";
        return Err(Error::broken("AWS is not made to fail", refused));
    }
    let http = Builder::new()
        .tls_provider(Provider::Rustls(CryptoMode::Ring))
        .build_https();
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(CONNECT)
        .operation_attempt_timeout(ATTEMPT)
        .operation_timeout(OPERATION)
        .build();
    let retries = RetryConfig::standard()
        .with_max_attempts(ATTEMPTS)
        .with_initial_backoff(FIRST_BACKOFF);
    let mut loader = aws_config::defaults(BehaviorVersion::latest())
        .http_client(wire::watched(http, requests, settings.faults.clone()))
        .timeout_config(timeouts)
        .retry_config(retries);
    if let Some(url) = &settings.endpoint_url {
        loader = loader.endpoint_url(url);
    }
    if let Some(region) = &settings.region {
        loader = loader.region(Region::new(region.clone()));
    }
    Ok(loader)
}
