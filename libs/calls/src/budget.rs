//! What each part of a record may take, so that the whole always fits the ledger: a call that cannot
//! be written could not even be ended.

use std::io;

use serde::Serialize;
use waybill_messaging::Record;

use crate::{Call, Error, INLINE_LIMIT, Problem};

/// Bytes of JSON that a byte of text may become: a control character is `\u0001`.
const ESCAPED: usize = 6;
/// Identifiers, names, times, the trace and the keys of the record's own JSON.
const FIXED: usize = 8 * 1024;

const _: () = assert!(
    FIXED
        + INLINE_LIMIT
        + Call::MAX_CAPABILITIES
        + Call::MAX_CHECKPOINT
        + Call::MAX_QUESTIONS
        + Call::MAX_ANSWERS
        + ESCAPED * Call::MAX_REPORT_BYTES
        <= Record::MAX_BODY,
    "a call that runs fits its record; its reports have the rest"
);
const _: () = assert!(
    INLINE_LIMIT >= ESCAPED * Call::MAX_MESSAGE + Call::MAX_DATA
        && Call::MAX_CHECKPOINT >= INLINE_LIMIT,
    "an outcome takes no more than the checkpoint that it replaces"
);

impl Call {
    /// Reports that a record keeps, the newest: fewer where it has no room for them.
    pub const MAX_REPORTS: usize = 64;
    /// Longest text of one report or of the progress.
    pub const MAX_REPORT_BYTES: usize = 1024;
    /// Bytes of JSON, as the following are.
    pub const MAX_CHECKPOINT: usize = 64 * 1024;
    /// All open questions of a call.
    pub const MAX_QUESTIONS: usize = 32 * 1024;
    /// All answers to a call, of all rounds.
    pub const MAX_ANSWERS: usize = 64 * 1024;
    /// What a client declares that it can do.
    pub const MAX_CAPABILITIES: usize = 8 * 1024;
    /// Longest text of a problem's message; the rest is cut off.
    pub const MAX_MESSAGE: usize = 4 * 1024;
    /// A problem's data; left out where it is larger.
    pub const MAX_DATA: usize = 16 * 1024;

    /// The record's JSON, without the oldest reports where there is no room for them.
    pub(crate) fn body(&self) -> Vec<u8> {
        let body = json(self);
        if body.len() <= Record::MAX_BODY {
            return body;
        }
        let mut fits = self.clone();
        let mut surplus = body.len() - Record::MAX_BODY;
        let dropped = fits.reports.iter().take_while(|report| {
            let more = surplus > 0;
            surplus = surplus.saturating_sub(stored_size(report));
            more
        });
        let dropped = dropped.count();
        fits.reports.drain(..dropped);
        json(&fits)
    }
}

impl Problem {
    /// No longer than the record has room for.
    pub(crate) fn bounded(mut self) -> Self {
        let bytes = self.data.as_ref().map_or(0, stored_size);
        let note = if bytes > Call::MAX_DATA {
            self.data = None;
            format!(" (Its data of {bytes} bytes are left out.)")
        } else {
            String::new()
        };
        cut(&mut self.message, Call::MAX_MESSAGE - note.len());
        self.message.push_str(&note);
        self
    }
}

/// How many bytes of JSON `value` is in a record.
pub fn stored_size(value: &impl Serialize) -> usize {
    struct Count(usize);
    impl io::Write for Count {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut count = Count(0);
    serde_json::to_writer(&mut count, value).expect("records have string keys only");
    count.0
}

/// Refuses what the record has no room for.
pub(crate) fn fits(what: &'static str, value: &impl Serialize, limit: usize) -> Result<(), Error> {
    let size = stored_size(value);
    if size > limit {
        return Err(Error::TooLarge { what, size, limit });
    }
    Ok(())
}

pub(crate) fn cut(text: &mut String, limit: usize) {
    text.truncate(text.floor_char_boundary(limit));
}

pub(crate) fn json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("records have string keys only")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use chrono::DateTime;
    use proptest::prelude::*;
    use serde_json::{Value, json, value::to_raw_value};
    use waybill_events::{CallId, TenantId};

    use super::*;
    use crate::{CallState, LogLine, Outcome, Payload, Progress, Said};

    /// Text of `unit`s whose JSON takes `share` hundredths of `limit` bytes, and not more.
    fn text(unit: &str, limit: usize, share: usize) -> Value {
        let each = stored_size(&unit) - 2;
        Value::String(unit.repeat((limit * share / 100).saturating_sub(2) / each))
    }

    fn call(arguments: &Value, capabilities: Value) -> Call {
        let now = DateTime::UNIX_EPOCH;
        Call {
            id: CallId::new(now, 1),
            tenant: TenantId::parse(&"t".repeat(64)).unwrap(),
            principal: "p".repeat(64),
            tool: "t".repeat(128),
            effect: "idempotent".to_owned(),
            arguments: Payload::Inline(to_raw_value(arguments).unwrap()),
            arguments_sha256: "0".repeat(64),
            state: CallState::Accepted,
            attempt: 0,
            created_at: now,
            updated_at: now,
            deadline: now,
            claimed_until: None,
            reopened_at: None,
            expires_at: now,
            progress: None,
            reports: Vec::new(),
            checkpoint: None,
            intent: None,
            cancel_requested: false,
            input_requests: BTreeMap::new(),
            input_responses: BTreeMap::new(),
            outcome: None,
            traceparent: Some("0".repeat(55)),
            client_capabilities: Some(capabilities),
        }
    }

    fn one(value: Value) -> BTreeMap<String, Value> {
        BTreeMap::from([("k".to_owned(), value)])
    }

    /// For `{"k":}`.
    const KEY: usize = 6;

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

        #[test]
        fn any_call_can_be_written_at_any_time_and_ended(
            unit in prop::sample::select(vec!["a", "\"", "\u{1}", "é", "\u{1f600}"]),
            shares in prop::collection::vec(prop::sample::select(vec![0_usize, 50, 100]), 8),
            logs in any::<bool>(),
            answers in any::<bool>(),
        ) {
            let now = DateTime::UNIX_EPOCH;
            let part = |nth: usize, limit: usize| text(unit, limit, shares[nth]);
            let mut call = call(&part(0, INLINE_LIMIT), part(1, Call::MAX_CAPABILITIES));
            let fits = |call: &Call| assert!(call.body().len() <= Record::MAX_BODY);
            let long = unit.repeat(2_000 * shares[2]);

            let attempt = call.claim(now).unwrap();
            let asked = one(part(3, Call::MAX_QUESTIONS - KEY));
            call.ask(attempt, asked.clone(), now).unwrap();
            call.answer(one(part(4, Call::MAX_ANSWERS - KEY)), now).unwrap();
            fits(&call);
            let attempt = call.claim(now).unwrap();
            for _ in 0..Call::MAX_REPORTS {
                let said = if logs {
                    let (level, logger) = ("emergency".to_owned(), Some(long.clone()));
                    Said::Log(LogLine { level, logger, data: Value::String(long.clone()) })
                } else {
                    let message = Some(long.clone());
                    Said::Progress(Progress { progress: f64::MAX, total: Some(f64::MIN), message })
                };
                call.report(attempt, [said], now).unwrap();
            }
            fits(&call);
            call.save(attempt, part(5, Call::MAX_CHECKPOINT), now).unwrap();
            call.intend(attempt, now).unwrap();
            fits(&call);
            call.ask(attempt, asked, now).unwrap();
            fits(&call);

            let outcome = if answers {
                Outcome::Result(Payload::Inline(to_raw_value(&part(6, INLINE_LIMIT)).unwrap()))
            } else {
                let data = Some(part(7, Record::MAX_BODY * 2));
                Outcome::Error(Problem { data, ..Problem::new("internal", long.clone()) })
            };
            call.finish(attempt, outcome, now).unwrap();
            fits(&call);
            let written: Call = serde_json::from_slice(&call.body()).unwrap();
            prop_assert!(written.outcome.is_some());
            prop_assert_eq!(written.reports.last(), call.reports.last(), "the newest are kept");
        }
    }

    #[test]
    fn what_is_cut_says_so() {
        let mut problem = Problem::new("internal", "é".repeat(5_000));
        problem.data = Some(json!("x".repeat(20_000)));
        let bounded = problem.bounded();
        assert!(bounded.message.len() <= Call::MAX_MESSAGE);
        assert!(
            bounded
                .message
                .ends_with("(Its data of 20002 bytes are left out.)")
        );
        assert_eq!(bounded.data, None);
        let short = Problem::new("internal", "short");
        assert_eq!(short.clone().bounded(), short);
    }
}
