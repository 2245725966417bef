//! What a worker has counted, told to `CloudWatch` each minute.

use std::sync::Arc;

use aws_sdk_cloudwatch::{
    Client,
    types::{Dimension, MetricDatum, StandardUnit},
};
use aws_smithy_types::DateTime;
use chrono::Utc;
use tokio::sync::Mutex;
use waybill_events::{Event, EventType};
use waybill_messaging::{Context, Effects, Events, Failure, Handler, Meter, Result, Subscription};
use waybill_telemetry::metrics::{Cursor, Datum, INSTALLATION, NAMESPACE, Sample, Unit};

use crate::{Clients, error::port_error};

/// Data in one request, by the service's quota. So many of ours stay below its other limit of 1 MB:
/// none has more values than a histogram has buckets.
const MAX_DATA: usize = 1_000;

/// A reconciler between the numbers of this process and what `CloudWatch` knows of them: schedule it
/// each minute, and [`flush`](Self::flush) at shutdown. Cheap to clone.
///
/// What cannot be sent stays in the numbers and goes with the next request, under its time. An
/// answer that is lost may make `CloudWatch` count a request twice.
#[derive(Clone)]
pub struct CloudWatchMetrics(Arc<Inner>);

struct Inner {
    client: Client,
    meter: Meter,
    installation: String,
    told: Mutex<Told>,
}

#[derive(Default)]
struct Told {
    cursor: Cursor,
    /// The last request failed, and it was said.
    failing: bool,
}

impl CloudWatchMetrics {
    /// `installation`: the dimension that all its metrics share.
    pub fn new(clients: &Clients, installation: impl Into<String>, meter: Meter) -> Self {
        Self(Arc::new(Inner {
            client: clients.cloudwatch.clone(),
            meter,
            installation: installation.into(),
            told: Mutex::default(),
        }))
    }

    /// Sends what was counted since the last time. A failure is logged when it begins and when it
    /// ends, not each minute.
    pub async fn flush(&self, now: chrono::DateTime<Utc>) {
        let mut told = self.0.told.lock().await;
        let sent = self.0.send(&mut told.cursor, now).await;
        match sent {
            Ok(()) if told.failing => {
                told.failing = false;
                tracing::info!("CloudWatch takes metrics again");
            }
            Ok(()) => {}
            Err(_) if told.failing => {}
            Err(error) => {
                told.failing = true;
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, "cannot send metrics; they are kept until it works");
            }
        }
    }
}

impl Inner {
    async fn send(&self, cursor: &mut Cursor, now: chrono::DateTime<Utc>) -> Result<()> {
        let at = DateTime::from_millis(now.timestamp_millis());
        for data in cursor.pending(&self.meter).chunks(MAX_DATA) {
            let request = self.client.put_metric_data().namespace(NAMESPACE);
            let given = data.iter().map(|datum| self.datum(datum, at)).collect();
            let sending = request.set_metric_data(Some(given)).send();
            let sent = sending.await;
            sent.map_err(|error| port_error("CloudWatch takes no metrics", error))?;
            cursor.sent(data);
        }
        Ok(())
    }

    #[expect(clippy::cast_precision_loss, reason = "counts are below 2^52")]
    fn datum(&self, datum: &Datum, at: DateTime) -> MetricDatum {
        let unit = match datum.metric.unit {
            Unit::Count => StandardUnit::Count,
            Unit::Seconds => StandardUnit::Seconds,
        };
        let mut given = MetricDatum::builder()
            .metric_name(datum.metric.name())
            .timestamp(at)
            .unit(unit)
            .dimensions(dimension(INSTALLATION, &self.installation));
        if let Some((name, value)) = datum.dimension() {
            given = given.dimensions(dimension(name, value));
        }
        let given = match &datum.sample {
            Sample::Count(count) => given.value(*count as f64),
            Sample::Gauge(value) => given.value(*value as f64),
            Sample::Distribution(distribution) => distribution
                .values()
                .into_iter()
                .fold(given, |given, (value, count)| {
                    given.values(value).counts(count as f64)
                }),
        };
        given.build()
    }
}

impl Handler for CloudWatchMetrics {
    const SUBSCRIPTION: Subscription = Subscription {
        concurrency: 1,
        // All tries of one request.
        timeout: std::time::Duration::from_mins(1),
        ..Subscription::new("metrics", Events::Only(&[EventType::ScheduleTicked]))
    };

    async fn handle(&self, _tick: &Event, cx: &Context) -> Result<Effects, Failure> {
        self.flush(cx.now).await;
        Ok(Effects::default())
    }
}

fn dimension(name: &str, value: &str) -> Dimension {
    Dimension::builder().name(name).value(value).build()
}
