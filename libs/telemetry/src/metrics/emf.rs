//! Metrics in log lines, which `CloudWatch` reads out of the log: a Lambda function is frozen
//! between invocations, and has no minute in which to send them.

use std::{collections::BTreeMap, io};

use serde_json::{Map, Value, json};

use super::{Cursor, Datum, INSTALLATION, Meter, NAMESPACE, Sample, catalogue::Unit};

/// Metrics in one line, by the specification of the format.
const MAX_METRICS: usize = 100;

/// Writes what a meter has counted in the embedded metric format.
pub struct Emf {
    meter: Meter,
    installation: String,
    cursor: Cursor,
}

impl Emf {
    pub fn new(meter: Meter, installation: impl Into<String>) -> Self {
        Self {
            meter,
            installation: installation.into(),
            cursor: Cursor::default(),
        }
    }

    /// What has been counted since the last flush, one line for each dimension's value. For the end
    /// of an invocation, with the standard output. `now_ms`: since the epoch. What could not be
    /// written comes with the next flush.
    pub fn flush(&mut self, now_ms: i64, out: &mut impl io::Write) -> io::Result<()> {
        let pending = self.cursor.pending(&self.meter);
        for data in lines(&pending) {
            // In one write: the log takes a line for an event.
            let line = format!("{}\n", self.line(&data, now_ms));
            out.write_all(line.as_bytes())?;
            self.cursor.sent(&data);
        }
        out.flush()
    }

    fn line(&self, data: &[Datum], now_ms: i64) -> Value {
        let mut root = Map::new();
        root.insert(INSTALLATION.to_owned(), json!(self.installation));
        let mut dimensions = vec![INSTALLATION];
        if let Some((name, value)) = data.first().and_then(Datum::dimension) {
            root.insert(name.to_owned(), json!(value));
            dimensions.push(name);
        }
        let mut metrics = Vec::with_capacity(data.len());
        for datum in data {
            let name = datum.metric.name();
            metrics.push(json!({ "Name": name, "Unit": unit(datum.metric.unit) }));
            root.insert(name, value(&datum.sample));
        }
        let directive = json!({
            "Namespace": NAMESPACE,
            "Dimensions": [dimensions],
            "Metrics": metrics,
        });
        let metadata = json!({ "Timestamp": now_ms, "CloudWatchMetrics": [directive] });
        root.insert("_aws".to_owned(), metadata);
        Value::Object(root)
    }
}

/// All metrics of a line have the same dimensions.
fn lines(data: &[Datum]) -> Vec<Vec<Datum>> {
    let mut by_dimension: BTreeMap<_, Vec<Datum>> = BTreeMap::new();
    for datum in data {
        let line = by_dimension.entry(datum.dimension()).or_default();
        line.push(datum.clone());
    }
    let chunks = by_dimension
        .values()
        .flat_map(|line| line.chunks(MAX_METRICS));
    chunks.map(<[Datum]>::to_vec).collect()
}

const fn unit(unit: Unit) -> &'static str {
    match unit {
        Unit::Count => "Count",
        Unit::Seconds => "Seconds",
    }
}

/// The specification knows a number and a list of numbers. `Values` with `Counts`, as in
/// `PutMetricData`, is what the `CloudWatch` agent and the exporters of AWS write for many values.
fn value(sample: &Sample) -> Value {
    match sample {
        Sample::Count(count) => json!(count),
        Sample::Gauge(value) => json!(value),
        Sample::Distribution(distribution) => {
            let (values, counts): (Vec<_>, Vec<_>) = distribution.values().into_iter().unzip();
            json!({ "Values": values, "Counts": counts })
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::metrics::{
        AUDIT_PROBLEMS, CALL_DURATION, CALLS_ACCEPTED, CALLS_ENDED, CloudWatch, DEAD_LETTERS,
        METRICS, QUEUE_DEPTH,
    };

    const NOW: i64 = 1_780_000_000_000;

    fn flush(emf: &mut Emf) -> Vec<Value> {
        let mut out = Vec::new();
        emf.flush(NOW, &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        text.lines()
            .map(|l| serde_json::from_str(l).unwrap())
            .collect()
    }

    /// Written after "Specification: Embedded metric format" of the `CloudWatch` user guide, with
    /// its limits, and with what it says in words: that dimensions and metrics are members.
    fn conforms(line: &Value) {
        let schema: Value = serde_json::from_str(include_str!("emf.schema.json")).unwrap();
        let validator = jsonschema::validator_for(&schema).unwrap();
        let errors: Vec<_> = validator.iter_errors(line).map(|e| e.to_string()).collect();
        assert!(errors.is_empty(), "{errors:?} in {line}");
        let directive = &line["_aws"]["CloudWatchMetrics"][0];
        for dimension in directive["Dimensions"][0].as_array().unwrap() {
            assert!(line[dimension.as_str().unwrap()].is_string(), "{line}");
        }
        for metric in directive["Metrics"].as_array().unwrap() {
            assert!(!line[metric["Name"].as_str().unwrap()].is_null(), "{line}");
        }
    }

    #[test]
    fn lines_conform_to_the_specification() {
        let meter = Meter::default();
        for metric in METRICS {
            let labels = vec!["x"; metric.labels.len()];
            meter.touch(metric, &labels);
        }
        let lines = flush(&mut Emf::new(meter, "waybill-test"));
        lines.iter().for_each(conforms);
        let named: Vec<_> = lines
            .iter()
            .flat_map(|line| {
                line["_aws"]["CloudWatchMetrics"][0]["Metrics"]
                    .as_array()
                    .unwrap()
            })
            .map(|metric| metric["Name"].as_str().unwrap().to_owned())
            .collect();
        for metric in METRICS {
            let told = metric.cloudwatch != CloudWatch::No;
            assert_eq!(named.contains(&metric.name()), told, "{}", metric.name());
        }
    }

    #[test]
    fn one_line_for_each_dimension() {
        let meter = Meter::default();
        meter.add(&CALLS_ACCEPTED, &["files_read"], 3);
        meter.add(&CALLS_ENDED, &["files_read", "failed"], 2);
        meter.add(&DEAD_LETTERS, &["audit-sink"], 1);
        meter.set(&AUDIT_PROBLEMS, &[], 0);
        meter.set(&QUEUE_DEPTH, &["audit-sink", "ready"], 0);
        meter.observe(&CALL_DURATION, &["files_read"], Duration::from_secs(2));
        let mut emf = Emf::new(meter.clone(), "waybill-test");
        let lines = flush(&mut emf);
        assert_eq!(lines.len(), 3);
        assert_eq!(lines[0]["_aws"]["Timestamp"], NOW);
        assert_eq!(lines[0]["waybill_calls_accepted_total"], 3);
        assert_eq!(lines[0]["waybill_audit_problems"], 0);
        let durations = json!({ "Values": [2.0], "Counts": [1] });
        assert_eq!(lines[0]["waybill_call_duration_seconds"], durations);
        assert_eq!(lines[1]["state"], "failed");
        assert_eq!(lines[1]["waybill_calls_ended_total"], 2);
        assert_eq!(lines[2]["subscription"], "audit-sink");

        meter.add(&CALLS_ENDED, &["files_read", "failed"], 1);
        let lines = flush(&mut emf);
        let state = lines.iter().find(|line| line["state"] == "failed").unwrap();
        assert_eq!(state["waybill_calls_ended_total"], 1);
    }

    #[test]
    fn what_cannot_be_written_comes_later() {
        let meter = Meter::default();
        meter.add(&CALLS_ACCEPTED, &["files_read"], 3);
        let mut emf = Emf::new(meter, "waybill-test");
        let full: &mut [u8] = &mut [];
        assert!(emf.flush(NOW, &mut io::Cursor::new(full)).is_err());
        assert_eq!(flush(&mut emf)[0]["waybill_calls_accepted_total"], 3);
    }
}
