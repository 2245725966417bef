//! Where the numbers are kept.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet, text},
    metrics::MetricType,
    registry::{self, Registry},
};

use super::{
    catalogue::{AUTH_REFUSED, Kind, METRICS, Metric, Unit},
    export::Distribution,
};

/// Every number of this process since its start. Cheap to clone; the clones share the numbers.
///
/// Label values come from the installation (its tools, routes, subscriptions), never from a client:
/// each new combination is kept for good.
#[derive(Clone)]
pub struct Meter(Arc<Mutex<BTreeMap<&'static str, Family>>>);

/// The series of one metric.
struct Family {
    metric: &'static Metric,
    series: BTreeMap<Box<[Box<str>]>, Series>,
}

/// What one combination of labels has come to.
#[derive(Clone)]
pub(super) enum Series {
    Counter(u64),
    Gauge(i64),
    Histogram(Distribution),
}

impl Series {
    fn new(kind: Kind) -> Self {
        match kind {
            Kind::Counter => Self::Counter(0),
            Kind::Gauge => Self::Gauge(0),
            Kind::Histogram(bounds) => Self::Histogram(Distribution::new(bounds.len() + 1)),
        }
    }
}

impl Default for Meter {
    fn default() -> Self {
        let meter = Self(Arc::default());
        // Without labels it is known before it first happens.
        meter.add(&AUTH_REFUSED, &[], 0);
        meter
    }
}

impl fmt::Debug for Meter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Meter").finish_non_exhaustive()
    }
}

impl Meter {
    /// Counts on.
    pub fn add(&self, metric: &'static Metric, labels: &[&str], more: u64) {
        self.change(metric, labels, |series| match series {
            Series::Counter(count) => *count += more,
            Series::Gauge(_) | Series::Histogram(_) => debug_assert!(false, "not a counter"),
        });
    }

    /// Sets a gauge.
    pub fn set(&self, metric: &'static Metric, labels: &[&str], value: i64) {
        self.change(metric, labels, |series| match series {
            Series::Gauge(gauge) => *gauge = value,
            Series::Counter(_) | Series::Histogram(_) => debug_assert!(false, "not a gauge"),
        });
    }

    /// Adds one duration to a histogram.
    pub fn observe(&self, metric: &'static Metric, labels: &[&str], took: Duration) {
        let Kind::Histogram(bounds) = metric.kind else {
            debug_assert!(false, "not a histogram");
            return;
        };
        let seconds = took.as_secs_f64();
        let bucket = bounds.partition_point(|bound| *bound < seconds);
        self.change(metric, labels, |series| {
            if let Series::Histogram(distribution) = series {
                distribution.add(bucket, seconds);
            }
        });
    }

    /// Everything, in the text format of `OpenMetrics` 1.0.
    pub fn open_metrics(&self) -> Result<String, fmt::Error> {
        let mut registry = Registry::with_prefix("waybill");
        registry.register_collector(Box::new(self.clone()));
        let mut text = String::new();
        text::encode(&mut text, &registry)?;
        Ok(text)
    }

    /// Calls `visit` with every series.
    pub(super) fn each(&self, mut visit: impl FnMut(&'static Metric, &[Box<str>], &Series)) {
        for family in self.families().values() {
            for (labels, series) in &family.series {
                visit(family.metric, labels, series);
            }
        }
    }

    fn change(&self, metric: &'static Metric, labels: &[&str], change: impl FnOnce(&mut Series)) {
        debug_assert_eq!(labels.len(), metric.labels.len(), "{}", metric.stem);
        let labels = labels.iter().map(|label| Box::from(*label)).collect();
        let mut families = self.families();
        let family = families.entry(metric.stem).or_insert_with(|| Family {
            metric,
            series: BTreeMap::new(),
        });
        let series = family.series.entry(labels);
        change(series.or_insert_with(|| Series::new(metric.kind)));
    }

    /// Numbers stay usable whatever panicked over them.
    fn families(&self) -> MutexGuard<'_, BTreeMap<&'static str, Family>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Collector for Meter {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let families = self.families();
        let counted = METRICS
            .iter()
            .filter_map(|metric| families.get(metric.stem));
        for Family { metric, series } in counted {
            let unit = (metric.unit == Unit::Seconds).then_some(registry::Unit::Seconds);
            let kind = match metric.kind {
                Kind::Counter => MetricType::Counter,
                Kind::Gauge => MetricType::Gauge,
                Kind::Histogram(_) => MetricType::Histogram,
            };
            let help = format!("{}.", metric.help);
            let mut family = encoder.encode_descriptor(metric.stem, &help, unit.as_ref(), kind)?;
            for (values, series) in series {
                if values.is_empty() {
                    encode(metric, series, &mut family)?;
                    continue;
                }
                let values = values.iter().map(|value| &**value);
                let labels: Vec<_> = metric.labels.iter().copied().zip(values).collect();
                encode(metric, series, &mut family.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }
}

fn encode(metric: &Metric, series: &Series, encoder: &mut MetricEncoder<'_>) -> fmt::Result {
    match series {
        Series::Counter(count) => encoder.encode_counter::<NoLabelSet, _, u64>(count, None),
        Series::Gauge(value) => encoder.encode_gauge(value),
        Series::Histogram(distribution) => {
            let Kind::Histogram(bounds) = metric.kind else {
                return Err(fmt::Error);
            };
            let bounds = bounds.iter().copied().chain([f64::INFINITY]);
            let buckets: Vec<_> = bounds.zip(distribution.counts()).collect();
            let (sum, count) = (distribution.sum(), distribution.count());
            encoder.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)
        }
    }
}

#[cfg(test)]
impl Meter {
    /// Something of any kind.
    pub(super) fn touch(&self, metric: &'static Metric, labels: &[&str]) {
        match metric.kind {
            Kind::Counter => self.add(metric, labels, 1),
            Kind::Gauge => self.set(metric, labels, 1),
            Kind::Histogram(_) => self.observe(metric, labels, Duration::from_millis(3)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::{CALL_DURATION, CALLS_ENDED, QUEUE_DEPTH};

    #[test]
    fn prometheus_reads_all_kinds() {
        let meter = Meter::default();
        meter.add(&CALLS_ENDED, &["files_read", "failed"], 2);
        meter.set(&QUEUE_DEPTH, &["audit-sink", "ready"], 7);
        meter.observe(&CALL_DURATION, &["files_read"], Duration::from_millis(1));
        meter.observe(&CALL_DURATION, &["files_read"], Duration::from_hours(2));
        let text = meter.open_metrics().unwrap();
        for line in [
            "# TYPE waybill_calls_ended counter",
            r#"waybill_calls_ended_total{tool="files_read",state="failed"} 2"#,
            r#"waybill_queue_depth{subscription="audit-sink",state="ready"} 7"#,
            "# UNIT waybill_call_duration_seconds seconds",
            r#"waybill_call_duration_seconds_bucket{le="0.001",tool="files_read"} 1"#,
            r#"waybill_call_duration_seconds_bucket{le="3600.0",tool="files_read"} 1"#,
            r#"waybill_call_duration_seconds_bucket{le="+Inf",tool="files_read"} 2"#,
            r#"waybill_call_duration_seconds_count{tool="files_read"} 2"#,
            "waybill_auth_refused_total 0",
            "# EOF",
        ] {
            assert!(text.lines().any(|l| l == line), "{line} is not in\n{text}");
        }
    }
}
