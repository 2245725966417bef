//! Every metric. Adding one is an item here; `docs/observability.md` is checked against it.

/// What a metric is.
#[derive(Debug)]
pub struct Metric {
    /// Bare: [`Metric::name`] is what others see.
    pub(crate) stem: &'static str,
    /// Ends up in Prometheus as well as in the documentation.
    pub help: &'static str,
    pub kind: Kind,
    pub unit: Unit,
    /// In the order in which values are given.
    pub labels: &'static [&'static str],
    pub cloudwatch: CloudWatch,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    Counter,
    Gauge,
    /// With these upper bounds; above the last there is one more bucket.
    Histogram(&'static [f64]),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    Count,
    Seconds,
}

/// What `CloudWatch` is told. It charges for each combination of values, so it is told little.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloudWatch {
    /// It has a number of its own for this.
    No,
    /// The sum over all labels.
    Total,
    /// The sum for each value of this label.
    By(&'static str),
}

const PREFIX: &str = "waybill_";

impl Metric {
    /// As Prometheus and `CloudWatch` call it: `waybill_calls_ended_total`.
    pub fn name(&self) -> String {
        let unit = match self.unit {
            Unit::Count => "",
            Unit::Seconds => "_seconds",
        };
        let kind = match self.kind {
            Kind::Counter => "_total",
            Kind::Gauge | Kind::Histogram(_) => "",
        };
        format!("{PREFIX}{}{unit}{kind}", self.stem)
    }

    /// The place of the label that `CloudWatch` sees.
    pub(crate) fn cloudwatch_label(&self) -> Option<usize> {
        let CloudWatch::By(name) = self.cloudwatch else {
            return None;
        };
        self.labels.iter().position(|label| *label == name)
    }
}

/// Seconds: from a local tool to one that runs for an hour.
const CALL_SECONDS: &[f64] = &[
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0, 120.0, 600.0, 3600.0,
];
/// Seconds: up to the longest wait for an outcome.
const REQUEST_SECONDS: &[f64] = &[
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0, 15.0, 30.0,
];
/// Seconds: from one tick of the sweep to the longest deadline of a call.
const WAIT_SECONDS: &[f64] = &[10.0, 30.0, 60.0, 120.0, 300.0, 900.0, 3600.0, 86400.0];

macro_rules! catalogue {
    ($($(#[$doc:meta])* $name:ident = $stem:literal, $kind:expr, $unit:ident, $labels:expr, $cloudwatch:expr, $help:literal;)*) => {
        $(#[doc = $help] $(#[$doc])* pub static $name: Metric = Metric {
            stem: $stem,
            help: $help,
            kind: $kind,
            unit: Unit::$unit,
            labels: &$labels,
            cloudwatch: $cloudwatch,
        };)*

        /// All of them, in the order of their declaration.
        pub static METRICS: &[&Metric] = &[$(&$name,)*];
    };
}

use CloudWatch::{By, No, Total};
use Kind::{Counter, Gauge, Histogram};

catalogue! {
    CALLS_ACCEPTED = "calls_accepted", Counter, Count, ["tool"], Total,
        "Calls committed";
    CALLS_ENDED = "calls_ended", Counter, Count, ["tool", "state"], By("state"),
        "Calls ended, by state: completed, failed, cancelled, expired";
    CALLS_FAILED = "calls_failed", Counter, Count, ["reason"], By("reason"),
        "Calls that ended without an answer, by the code of their error, such as `outcome_unknown`";
    CALLS_UNREADABLE = "calls_unreadable", Counter, Count, [], Total,
        "Times that a call was skipped because its record is corrupt or of a newer version";
    CALL_DURATION = "call_duration", Histogram(CALL_SECONDS), Seconds, ["tool"], Total,
        "From acceptance to outcome";
    CIRCUITS_OPENED = "circuits_opened", Counter, Count, ["upstream"], Total,
        "Times that a circuit breaker opened";
    DEAD_LETTERS = "dead_letters", Counter, Count, ["subscription"], By("subscription"),
        "Deliveries that a handler gave up";
    PORT_FAILURES = "port_failures", Counter, Count, ["subscription"], By("subscription"),
        "Deliveries and batches that wait because a store, a queue or a bus is away or refuses";
    DISPATCH_DURATION = "dispatch_duration", Histogram(CALL_SECONDS), Seconds, ["subscription"], By("subscription"),
        "From the receipt of a delivery, a batch or a tick to the end of its handling";
    AUDIT_PROBLEMS = "audit_problems", Gauge, Count, [], Total,
        "Problems that the last verification of the audit trail found";
    AUDIT_PASS_AGE = "audit_pass_age", Gauge, Seconds, [], Total,
        "Time since the newest complete pass over the audit trail began";
    /// No gauge: a process that does not sweep any more would tell its last value for ever.
    OUTBOX_OLDEST = "outbox_oldest", Histogram(WAIT_SECONDS), Seconds, [], Total,
        "How long the oldest event had waited for its publication, of each sweep of the outbox";
    HTTP_REQUESTS = "http_requests", Counter, Count, ["route", "method", "status"], Total,
        "HTTP requests answered";
    HTTP_REQUEST_DURATION = "http_request_duration", Histogram(REQUEST_SECONDS), Seconds, ["route"], Total,
        "Time to the first byte of the answer";
    AUTH_REFUSED = "auth_refused", Counter, Count, [], Total,
        "Requests without a valid key";
    QUEUE_DEPTH = "queue_depth", Gauge, Count, ["subscription", "state"], No,
        "Deliveries by state: ready, delayed, leased, dead";
    QUEUE_OLDEST = "queue_oldest", Gauge, Seconds, ["subscription"], No,
        "Age of the oldest delivery that waits";
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_distinct_and_labels_exist() {
        let names: BTreeSet<_> = METRICS.iter().map(|metric| metric.name()).collect();
        assert_eq!(names.len(), METRICS.len());
        assert!(names.contains("waybill_calls_ended_total"));
        assert!(names.contains("waybill_call_duration_seconds"));
        for metric in METRICS {
            let by = matches!(metric.cloudwatch, CloudWatch::By(_));
            assert_eq!(metric.cloudwatch_label().is_some(), by, "{}", metric.name());
            if let Kind::Histogram(bounds) = metric.kind {
                assert!(bounds.is_sorted(), "{}", metric.name());
            }
        }
    }

    #[test]
    fn cloudwatch_is_never_told_what_a_client_can_multiply() {
        for metric in METRICS {
            for dear in ["tool", "route", "upstream"] {
                assert_ne!(metric.cloudwatch, CloudWatch::By(dear), "{}", metric.name());
            }
        }
    }

    /// A metric's line in the documentation.
    fn row(metric: &Metric) -> String {
        let kind = match metric.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram(_) => "histogram",
        };
        let unit = match metric.unit {
            Unit::Count => "count",
            Unit::Seconds => "seconds",
        };
        let labels: Vec<_> = metric.labels.iter().map(|l| format!("`{l}`")).collect();
        let cloudwatch = match metric.cloudwatch {
            CloudWatch::No => "no".to_owned(),
            CloudWatch::Total => "total".to_owned(),
            CloudWatch::By(label) => format!("by `{label}`"),
        };
        let (name, labels) = (metric.name(), labels.join(", "));
        let help = metric.help;
        format!("| `{name}` | {kind}, {unit} | {labels} | {cloudwatch} | {help} |\n")
    }

    #[test]
    fn the_documentation_lists_every_metric() {
        let rows: String = METRICS.iter().copied().map(row).collect();
        let page = include_str!("../../../../docs/observability.md");
        assert!(page.contains(&rows), "the table must be:\n{rows}");
    }
}
