//! Who is told what this process counts and does.

#[cfg(any(feature = "aws", feature = "otel"))]
use std::time::Duration;
#[cfg(feature = "aws")]
use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
};

#[cfg(feature = "otel")]
use anyhow::Context as _;
use anyhow::Result;
#[cfg(feature = "aws")]
use waybill_backend_aws::CloudWatchMetrics;
use waybill_messaging::Driver;
#[cfg(feature = "aws")]
use waybill_messaging::{Clock, Meter};
#[cfg(feature = "aws")]
use waybill_telemetry::metrics::Emf;
use waybill_telemetry::trace::{self, Traces};

#[cfg(feature = "otel")]
use crate::commands::tls;
use crate::config;

/// One request to a collector.
#[cfg(feature = "otel")]
const EXPORT: Duration = Duration::from_secs(5);
#[cfg(feature = "aws")]
const SEND_EVERY: Duration = Duration::from_mins(1);

/// Exported where the standard variables name a collector.
pub(crate) fn traces() -> Result<Traces> {
    let named = |name| config::variable(name).filter(|value| !value.is_empty());
    let endpoint = named("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
        .or_else(|| named("OTEL_EXPORTER_OTLP_ENDPOINT"));
    let off = named("OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true"))
        || named("OTEL_TRACES_EXPORTER").is_some_and(|value| value == "none");
    let Some(endpoint) = endpoint.filter(|_| !off) else {
        return Ok(Traces::off());
    };
    #[cfg(feature = "otel")]
    return export(&endpoint);
    #[cfg(not(feature = "otel"))]
    anyhow::bail!("traces are to go to {endpoint}, but this waybill was built without them")
}

#[cfg(feature = "otel")]
fn export(endpoint: &str) -> Result<Traces> {
    let client = reqwest::Client::builder()
        .tls_backend_preconfigured(tls(endpoint.starts_with("https://"))?)
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        // Minutes may lie between two exports.
        .pool_max_idle_per_host(0)
        .timeout(EXPORT)
        .build()
        .context("the HTTP client for traces cannot be set up")?;
    Traces::export(client, "waybill").context("OTEL_EXPORTER_OTLP_ENDPOINT")
}

/// Tells the numbers. Cheap to clone.
#[derive(Clone)]
pub(crate) enum Exporter {
    /// Prometheus asks for them.
    None,
    /// A process that stays sends them.
    #[cfg(feature = "aws")]
    Sent(CloudWatchMetrics, Clock),
    /// A function leaves them in its log.
    #[cfg(feature = "aws")]
    Logged(Arc<Mutex<Emf>>, Clock),
}

impl Exporter {
    #[cfg(feature = "aws")]
    pub(crate) fn logged(meter: &Meter, installation: &str, clock: &Clock) -> Self {
        let emf = Emf::new(meter.clone(), installation);
        Self::Logged(Arc::new(Mutex::new(emf)), clock.clone())
    }

    /// As long as the process stays.
    pub(crate) fn schedule(&self, driver: &Driver) {
        #[cfg(feature = "aws")]
        if let Self::Sent(metrics, _) = self {
            driver.schedule(Arc::new(metrics.clone()), SEND_EVERY);
        }
        #[cfg(not(feature = "aws"))]
        let (Self::None, _) = (self, driver);
    }

    /// Before the process ends, or is frozen: the numbers and the traces.
    pub(crate) async fn flush(&self) {
        // A collector that is away is waited for by a thread of its own.
        drop(tokio::task::spawn_blocking(trace::flush).await);
        match self {
            Self::None => {}
            #[cfg(feature = "aws")]
            Self::Sent(metrics, clock) => metrics.flush(clock.now()).await,
            #[cfg(feature = "aws")]
            Self::Logged(emf, clock) => {
                let mut emf = emf.lock().unwrap_or_else(PoisonError::into_inner);
                let now = clock.now().timestamp_millis();
                if let Err(error) = emf.flush(now, &mut io::stdout().lock()) {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(error, "cannot write metrics; they come with the next");
                }
            }
        }
    }
}
