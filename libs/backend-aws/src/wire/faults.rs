//! What goes wrong between a client and its service, thrown by dice.

use std::{
    str::FromStr,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use aws_smithy_runtime_api::client::{
    http::{HttpConnector, HttpConnectorFuture, SharedHttpConnector},
    orchestrator::{HttpRequest, HttpResponse},
    result::ConnectorError,
};
use aws_smithy_types::body::SdkBody;
use tokio::time::sleep;
use waybill_messaging::Error;

use super::Operation;

/// The longest delay of a [`Faults::delay`].
const LONGEST_DELAY: Duration = Duration::from_millis(300);

/// How often a request meets which fate, as shares of 1. Written
/// `seed=7,throttle=0.05,error=0.05,cut=0.02,lost=0.02,delay=0.05`, each part optional.
///
/// The n-th request of a process has the same fate in every run with the same seed; which request
/// is the n-th is up to the scheduler.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Faults {
    pub seed: u64,
    /// The service says that there is too much of it.
    pub throttle: f64,
    /// The service answers 500 or 503 and has done nothing.
    pub error: f64,
    /// The connection breaks before the service has the request.
    pub cut: f64,
    /// The service does it, and the connection breaks before the answer.
    pub lost: f64,
    /// The request is late by up to 300 ms.
    pub delay: f64,
}

/// A request's fate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Fault {
    Throttled,
    /// With this status.
    Failed(u16),
    Cut,
    Lost,
    Late(Duration),
}

#[derive(Debug)]
pub(super) struct Dice {
    faults: Faults,
    thrown: AtomicU64,
}

impl FromStr for Faults {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let refused = |part: &str| Error::broken("these are no faults", part.to_owned());
        let mut faults = Self::default();
        for part in text.split(',') {
            let (name, value) = part.split_once('=').ok_or_else(|| refused(part))?;
            if name == "seed" {
                faults.seed = value.parse().map_err(|_| refused(part))?;
                continue;
            }
            let share = match name {
                "throttle" => &mut faults.throttle,
                "error" => &mut faults.error,
                "cut" => &mut faults.cut,
                "lost" => &mut faults.lost,
                "delay" => &mut faults.delay,
                _ => return Err(refused(part)),
            };
            let value: f64 = value.parse().map_err(|_| refused(part))?;
            *share = Some(value)
                .filter(|value| (0.0..=1.0).contains(value))
                .ok_or_else(|| refused(part))?;
        }
        Ok(faults)
    }
}

impl Dice {
    pub(super) fn new(faults: Faults) -> Self {
        let thrown = AtomicU64::new(0);
        Self { faults, thrown }
    }

    pub(super) fn throw(&self) -> Option<Fault> {
        let number = self.thrown.fetch_add(1, Ordering::Relaxed);
        self.faults.fate(number)
    }
}

impl Faults {
    /// Of the request with this number. `None`: it passes.
    fn fate(&self, number: u64) -> Option<Fault> {
        let bits = mixed(self.seed ^ mixed(number));
        let more = mixed(bits);
        let late = LONGEST_DELAY.mul_f64(unit(more));
        let status = if more.is_multiple_of(2) { 500 } else { 503 };
        let fates = [
            (self.throttle, Fault::Throttled),
            (self.error, Fault::Failed(status)),
            (self.cut, Fault::Cut),
            (self.lost, Fault::Lost),
            (self.delay, Fault::Late(late)),
        ];
        let mut left = unit(bits);
        for (share, fault) in fates {
            if left < share {
                return Some(fault);
            }
            left -= share;
        }
        None
    }
}

impl Fault {
    pub(super) fn befall(
        self,
        service: SharedHttpConnector,
        request: HttpRequest,
        operation: &Operation,
    ) -> HttpConnectorFuture {
        tracing::debug!(%operation, fault = ?self, "injected");
        match self {
            Self::Throttled => HttpConnectorFuture::ready(Ok(throttled(operation.service))),
            Self::Failed(status) => HttpConnectorFuture::ready(Ok(answer(status, ""))),
            Self::Cut => HttpConnectorFuture::ready(Err(broken())),
            Self::Lost => HttpConnectorFuture::new(async move {
                service.call(request).await?;
                Err(broken())
            }),
            Self::Late(by) => HttpConnectorFuture::new(async move {
                sleep(by).await;
                service.call(request).await
            }),
        }
    }
}

fn broken() -> ConnectorError {
    ConnectorError::io("the connection was cut, as told".into())
}

/// In the service's own words.
fn throttled(service: &str) -> HttpResponse {
    let json = |code: &str| {
        answer(
            400,
            &format!(r#"{{"__type":"{code}","message":"as told"}}"#),
        )
    };
    match service {
        "DynamoDB" => {
            json("com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException")
        }
        "SQS" => json("com.amazonaws.sqs#RequestThrottled"),
        "S3" => answer(
            503,
            "<Error><Code>SlowDown</Code><Message>as told</Message></Error>",
        ),
        "SNS" => answer(
            400,
            "<ErrorResponse><Error><Type>Sender</Type><Code>Throttled</Code>\
             <Message>as told</Message></Error></ErrorResponse>",
        ),
        // CBOR has no body that could be written here.
        "CloudWatch" => answer(503, ""),
        _ => json("ThrottlingException"),
    }
}

fn answer(status: u16, body: &str) -> HttpResponse {
    let status = status.try_into().expect("a status within its range");
    HttpResponse::new(status, SdkBody::from(body))
}

/// The finalizer of splitmix64: neighbours become strangers.
fn mixed(number: u64) -> u64 {
    let number = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

/// To 0 up to, not including, 1.
fn unit(bits: u64) -> f64 {
    let high = u32::try_from(bits >> 32).expect("32 bits are left");
    f64::from(high) / (f64::from(u32::MAX) + 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_kept_and_a_seed_is_a_run() {
        let faults: Faults = "seed=7,throttle=0.1,cut=0.2,lost=0.1,delay=0.1"
            .parse()
            .unwrap();
        let fates: Vec<_> = (0..10_000).map(|n| faults.fate(n)).collect();
        let share = |of: fn(&Fault) -> bool| fates.iter().flatten().filter(|f| of(f)).count();
        assert!((900..1_100).contains(&share(|f| *f == Fault::Throttled)));
        assert!((1_850..2_150).contains(&share(|f| *f == Fault::Cut)));
        assert!((900..1_100).contains(&share(|f| *f == Fault::Lost)));
        assert!((900..1_100).contains(&share(|f| matches!(f, Fault::Late(_)))));
        assert_eq!(share(|f| matches!(f, Fault::Failed(_))), 0);
        let again: Vec<_> = (0..10_000).map(|n| faults.fate(n)).collect();
        assert_eq!(fates, again);
        let other = Faults { seed: 8, ..faults };
        assert_ne!(
            fates,
            (0..10_000).map(|n| other.fate(n)).collect::<Vec<_>>()
        );
    }

    #[test]
    fn what_is_no_share_is_refused() {
        for text in [
            "",
            "seed",
            "seed=x",
            "cut=1.1",
            "lost=-0.1",
            "delay=nan",
            "cat=0.1",
        ] {
            assert!(text.parse::<Faults>().is_err(), "{text}");
        }
    }
}
