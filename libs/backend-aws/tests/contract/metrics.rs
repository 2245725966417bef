//! Metrics reach `CloudWatch`, under the names that Prometheus shows.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use aws_sdk_cloudwatch::{
    config::{ConfigBag, Intercept, interceptors::BeforeSerializationInterceptorContextRef},
    error::BoxError,
    types::{Dimension, DimensionFilter, Statistic},
};
use aws_smithy_types::DateTime;
use chrono::{TimeDelta, Utc};
use waybill_backend_aws::{Clients, CloudWatchMetrics};
use waybill_messaging::{Clock, Meter};
use waybill_telemetry::metrics::{
    AUDIT_PROBLEMS, CALL_DURATION, CALLS_ACCEPTED, CALLS_ENDED, DEAD_LETTERS, INSTALLATION,
    NAMESPACE,
};

use crate::emulator::Account;

const INSTALLED: &str = "waybill-test";

/// Sum and number of samples of a metric in the last minutes.
async fn read(clients: &Clients, metric: &str, label: Option<(&str, &str)>) -> (f64, f64) {
    let now = Clock::system().now();
    let at = |time: chrono::DateTime<Utc>| DateTime::from_millis(time.timestamp_millis());
    let dimensions = [Some((INSTALLATION, INSTALLED)), label];
    let dimensions = dimensions.into_iter().flatten();
    let dimensions = dimensions.map(|(n, v)| Dimension::builder().name(n).value(v).build());
    let told = clients
        .cloudwatch
        .get_metric_statistics()
        .namespace(NAMESPACE)
        .metric_name(metric)
        .set_dimensions(Some(dimensions.collect()))
        .start_time(at(now - TimeDelta::minutes(10)))
        .end_time(at(now + TimeDelta::minutes(10)))
        .period(3_600)
        .statistics(Statistic::Sum)
        .statistics(Statistic::SampleCount)
        .send()
        .await
        .unwrap();
    told.datapoints()
        .iter()
        .fold((0.0, 0.0), |(sum, n), point| {
            (
                sum + point.sum().unwrap(),
                n + point.sample_count().unwrap(),
            )
        })
}

fn count(meter: &Meter) {
    meter.add(&CALLS_ACCEPTED, &["files_read"], 2);
    meter.add(&CALLS_ACCEPTED, &["files_search"], 1);
    meter.add(&CALLS_ENDED, &["files_read", "failed"], 1);
    meter.observe(&CALL_DURATION, &["files_read"], Duration::from_millis(250));
    meter.observe(&CALL_DURATION, &["files_read"], Duration::from_millis(750));
    meter.set(&AUDIT_PROBLEMS, &[], 3);
}

#[tokio::test]
async fn metrics_are_read_back() {
    let Account { clients, .. } = Account::fresh().await;
    let meter = Meter::default();
    let metrics = CloudWatchMetrics::new(&clients, INSTALLED, meter.clone());
    count(&meter);
    metrics.flush(Clock::system().now()).await;
    meter.add(&CALLS_ACCEPTED, &["files_read"], 4);
    metrics.flush(Clock::system().now()).await;

    let accepted = read(&clients, "waybill_calls_accepted_total", None).await;
    assert_eq!(accepted, (7.0, 2.0));
    let failed = Some(("state", "failed"));
    let failed = read(&clients, "waybill_calls_ended_total", failed).await;
    assert_eq!(failed, (1.0, 1.0));
    let took = read(&clients, "waybill_call_duration_seconds", None).await;
    assert_eq!(took, (1.0, 2.0));
    let problems = read(&clients, "waybill_audit_problems", None).await;
    assert_eq!(problems, (6.0, 2.0), "a gauge is told each time");
}

#[tokio::test]
async fn names_are_those_of_prometheus_and_dimensions_are_few() {
    let Account { clients, .. } = Account::fresh().await;
    let meter = Meter::default();
    count(&meter);
    let metrics = CloudWatchMetrics::new(&clients, INSTALLED, meter.clone());
    metrics.flush(Clock::system().now()).await;
    let installation = DimensionFilter::builder()
        .name(INSTALLATION)
        .value(INSTALLED);
    let listed = clients
        .cloudwatch
        .list_metrics()
        .namespace(NAMESPACE)
        .dimensions(installation.build())
        .send()
        .await
        .unwrap();
    assert_eq!(listed.metrics().len(), 4, "{listed:?}");
    let prometheus = meter.open_metrics().unwrap();
    for metric in listed.metrics() {
        let name = metric.metric_name().unwrap();
        assert!(prometheus.contains(&format!("\n{name}")), "{name}");
        let others = metric.dimensions().iter().filter_map(Dimension::name);
        let others: Vec<_> = others.filter(|name| *name != INSTALLATION).collect();
        assert!(others.is_empty() || others == ["state"], "{others:?}");
    }
}

#[derive(Debug)]
struct Outage(Arc<AtomicBool>);

impl Intercept for Outage {
    fn name(&self) -> &'static str {
        "outage"
    }

    fn read_before_execution(
        &self,
        _: &BeforeSerializationInterceptorContextRef<'_>,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if self.0.load(Ordering::SeqCst) {
            Err("nobody is there".into())
        } else {
            Ok(())
        }
    }
}

#[tokio::test]
async fn what_cannot_be_sent_goes_with_the_next() {
    let Account { mut clients, .. } = Account::fresh().await;
    let away = Arc::new(AtomicBool::new(true));
    let config = clients.cloudwatch.config().to_builder();
    let config = config.interceptor(Outage(away.clone())).build();
    clients.cloudwatch = aws_sdk_cloudwatch::Client::from_conf(config);
    let meter = Meter::default();
    let metrics = CloudWatchMetrics::new(&clients, INSTALLED, meter.clone());
    meter.add(&CALLS_ACCEPTED, &["files_read"], 2);
    metrics.flush(Clock::system().now()).await;
    meter.add(&CALLS_ACCEPTED, &["files_read"], 3);
    away.store(false, Ordering::SeqCst);
    metrics.flush(Clock::system().now()).await;
    let accepted = read(&clients, "waybill_calls_accepted_total", None).await;
    assert_eq!(accepted, (5.0, 1.0));
}

#[tokio::test]
async fn many_are_sent_in_several_requests() {
    let Account { clients, .. } = Account::fresh().await;
    let meter = Meter::default();
    for number in 0..1_500 {
        meter.add(&DEAD_LETTERS, &[&format!("s{number}")], 1);
    }
    let metrics = CloudWatchMetrics::new(&clients, INSTALLED, meter);
    metrics.flush(Clock::system().now()).await;
    for last in ["s0", "s1499"] {
        let label = Some(("subscription", last));
        let dead = read(&clients, "waybill_dead_letters_total", label).await;
        assert_eq!(dead, (1.0, 1.0), "{last}");
    }
}
