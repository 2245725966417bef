//! Who is told what this process counts and does.

#[cfg(feature = "aws")]
use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

#[cfg(feature = "aws")]
use waybill_backend_aws::CloudWatchMetrics;
use waybill_messaging::Driver;
#[cfg(feature = "aws")]
use waybill_messaging::{Clock, Meter};
#[cfg(feature = "aws")]
use waybill_telemetry::metrics::Emf;

#[cfg(feature = "aws")]
const SEND_EVERY: Duration = Duration::from_mins(1);

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
        let _ = driver;
    }

    /// Before the process ends, or is frozen.
    #[cfg_attr(not(feature = "aws"), expect(clippy::unused_async, reason = "AWS waits"))]
    pub(crate) async fn flush(&self) {
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
