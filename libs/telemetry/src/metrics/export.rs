//! What an exporter has not yet passed on.

use std::collections::BTreeMap;

use super::{
    catalogue::{CloudWatch, Metric},
    meter::{Meter, Series},
};

/// One number for `CloudWatch`: what has been added since the exporter last told it, or how a gauge
/// stands.
#[derive(Clone, Debug)]
pub struct Datum {
    pub metric: &'static Metric,
    /// Of the one label that `CloudWatch` sees.
    pub label: Option<String>,
    pub sample: Sample,
}

impl Datum {
    /// The dimension beside the installation, and its value.
    pub fn dimension(&self) -> Option<(&'static str, &str)> {
        let CloudWatch::By(name) = self.metric.cloudwatch else {
            return None;
        };
        self.label.as_deref().map(|value| (name, value))
    }
}

#[derive(Clone, Debug, PartialEq)]
pub enum Sample {
    Count(u64),
    Gauge(i64),
    Distribution(Distribution),
}

/// Observations by bucket, each with the sum of what fell into it.
#[derive(Clone, Debug, PartialEq)]
pub struct Distribution(Box<[Bucket]>);

#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Bucket {
    count: u64,
    sum: f64,
}

impl Distribution {
    pub(super) fn new(buckets: usize) -> Self {
        Self(vec![Bucket::default(); buckets].into())
    }

    pub(super) fn add(&mut self, bucket: usize, value: f64) {
        self.0[bucket].count += 1;
        self.0[bucket].sum += value;
    }

    pub(super) fn counts(&self) -> impl Iterator<Item = u64> {
        self.0.iter().map(|bucket| bucket.count)
    }

    pub fn count(&self) -> u64 {
        self.counts().sum()
    }

    pub fn sum(&self) -> f64 {
        self.0.iter().map(|bucket| bucket.sum).sum()
    }

    /// The mean of each bucket that is not empty, and how many it stands for: at most one more than
    /// the metric has bounds.
    pub fn values(&self) -> Vec<(f64, u64)> {
        let filled = self.0.iter().filter(|bucket| bucket.count > 0);
        #[expect(clippy::cast_precision_loss, reason = "a count is far below 2^52")]
        filled
            .map(|bucket| ((bucket.sum / bucket.count as f64).max(0.0), bucket.count))
            .collect()
    }

    fn plus(&mut self, other: &Self) {
        for (mine, more) in self.0.iter_mut().zip(&other.0) {
            mine.count += more.count;
            mine.sum += more.sum;
        }
    }

    fn minus(&mut self, other: &Self) {
        for (mine, less) in self.0.iter_mut().zip(&other.0) {
            mine.count -= less.count;
            mine.sum -= less.sum;
        }
    }
}

impl Sample {
    fn plus(&mut self, other: &Self) {
        match (self, other) {
            (Self::Count(mine), Self::Count(more)) => *mine += more,
            (Self::Gauge(mine), Self::Gauge(more)) => *mine += more,
            (Self::Distribution(mine), Self::Distribution(more)) => mine.plus(more),
            _ => debug_assert!(false, "a metric has one kind"),
        }
    }

    fn minus(&mut self, other: &Self) {
        match (self, other) {
            (Self::Count(mine), Self::Count(less)) => *mine -= less,
            (Self::Distribution(mine), Self::Distribution(less)) => mine.minus(less),
            // How it stands now: nothing of it has been told before.
            (Self::Gauge(_), Self::Gauge(_)) => {}
            _ => debug_assert!(false, "a metric has one kind"),
        }
    }

    fn is_nothing(&self) -> bool {
        match self {
            Self::Count(count) => *count == 0,
            Self::Gauge(_) => false,
            Self::Distribution(distribution) => distribution.count() == 0,
        }
    }
}

impl From<&Series> for Sample {
    fn from(series: &Series) -> Self {
        match series {
            Series::Counter(count) => Self::Count(*count),
            Series::Gauge(value) => Self::Gauge(*value),
            Series::Histogram(distribution) => Self::Distribution(distribution.clone()),
        }
    }
}

type Name = (&'static str, Option<String>);

/// What one exporter has passed on. What could not be passed on is in the next [`Cursor::pending`],
/// together with what came since: nothing piles up.
#[derive(Debug, Default)]
pub struct Cursor {
    sent: BTreeMap<Name, Sample>,
}

impl Cursor {
    /// What `meter` has for `CloudWatch` and this exporter has not [told](Self::sent). Counters and
    /// histograms to which nothing was added are left out.
    pub fn pending(&self, meter: &Meter) -> Vec<Datum> {
        let mut sums: BTreeMap<Name, Datum> = BTreeMap::new();
        meter.each(|metric, labels, series| {
            if metric.cloudwatch == CloudWatch::No {
                return;
            }
            let label = metric.cloudwatch_label().map(|at| labels[at].to_string());
            let sample = Sample::from(series);
            sums.entry((metric.stem, label.clone()))
                .and_modify(|sum| sum.sample.plus(&sample))
                .or_insert(Datum {
                    metric,
                    label,
                    sample,
                });
        });
        for (name, sum) in &mut sums {
            if let Some(sent) = self.sent.get(name) {
                sum.sample.minus(sent);
            }
        }
        let pending = sums.into_values();
        pending.filter(|datum| !datum.sample.is_nothing()).collect()
    }

    /// These were passed on.
    pub fn sent(&mut self, data: &[Datum]) {
        for datum in data {
            self.sent
                .entry((datum.metric.stem, datum.label.clone()))
                .and_modify(|sent| sent.plus(&datum.sample))
                .or_insert_with(|| datum.sample.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::metrics::{AUDIT_PROBLEMS, CALL_DURATION, CALLS_ENDED, QUEUE_DEPTH};

    fn told(data: &[Datum]) -> Vec<(&str, Option<&str>, Sample)> {
        data.iter()
            .map(|datum| {
                (
                    datum.metric.stem,
                    datum.label.as_deref(),
                    datum.sample.clone(),
                )
            })
            .collect()
    }

    #[test]
    fn what_was_not_sent_is_told_again_with_what_came_since() {
        let (meter, mut cursor) = (Meter::default(), Cursor::default());
        meter.add(&CALLS_ENDED, &["a", "failed"], 1);
        meter.add(&CALLS_ENDED, &["b", "failed"], 2);
        meter.set(&QUEUE_DEPTH, &["audit-sink", "ready"], 9);
        let lost = cursor.pending(&meter);
        let ended = |count| ("calls_ended", Some("failed"), Sample::Count(count));
        assert_eq!(told(&lost), [ended(3)]);

        meter.add(&CALLS_ENDED, &["b", "failed"], 1);
        let kept = cursor.pending(&meter);
        assert_eq!(told(&kept), [ended(4)]);
        cursor.sent(&kept);
        assert_eq!(told(&cursor.pending(&meter)), []);

        meter.add(&CALLS_ENDED, &["a", "failed"], 1);
        assert_eq!(told(&cursor.pending(&meter)), [ended(1)]);
    }

    #[test]
    fn a_gauge_is_told_as_it_stands() {
        let (meter, mut cursor) = (Meter::default(), Cursor::default());
        meter.set(&AUDIT_PROBLEMS, &[], 2);
        cursor.sent(&cursor.pending(&meter));
        meter.set(&AUDIT_PROBLEMS, &[], 1);
        let stands = [("audit_problems", None, Sample::Gauge(1))];
        assert_eq!(told(&cursor.pending(&meter)), stands);
    }

    #[test]
    fn a_distribution_keeps_count_and_sum() {
        let (meter, mut cursor) = (Meter::default(), Cursor::default());
        let observe = |tool, ms| meter.observe(&CALL_DURATION, &[tool], Duration::from_millis(ms));
        observe("a", 30);
        cursor.sent(&cursor.pending(&meter));
        observe("a", 26);
        observe("b", 50);
        observe("b", 800);
        let pending = cursor.pending(&meter);
        let [
            Datum {
                sample: Sample::Distribution(distribution),
                ..
            },
        ] = &*pending
        else {
            panic!("{pending:?}");
        };
        let rounded = distribution.values().into_iter();
        let rounded: Vec<_> = rounded.map(|(mean, n)| ((mean * 1e6).round(), n)).collect();
        assert_eq!(rounded, [(38_000.0, 2), (800_000.0, 1)]);
    }
}
