//! A call's status document, and what of it a person and a script want to know.

use anyhow::{Context as _, Result};
use serde_json::Value;
use waybill_calls::{McpStatus, Status};

use super::{content, exit::Exit, print};

/// As the gateway wrote it (for `--json`), and as we read it.
#[derive(Clone, Debug)]
pub(super) struct Document {
    pub(super) raw: Value,
    pub(super) status: Status,
}

impl Document {
    pub(super) fn read(raw: Value) -> Result<Self> {
        let status = serde_json::from_value(raw.clone())
            .context("the gateway sent no status document; is it of another version?")?;
        Ok(Self { raw, status })
    }

    /// Nothing changes any more, or only when a client answers.
    pub(super) fn settled(&self) -> bool {
        self.status.status != McpStatus::Working
    }

    pub(super) fn exit(&self) -> Exit {
        match self.status.status {
            McpStatus::Working | McpStatus::InputRequired => Exit::StillRunning,
            McpStatus::Completed if !self.is_error() => Exit::Done,
            McpStatus::Completed | McpStatus::Failed | McpStatus::Cancelled => Exit::CallFailed,
        }
    }

    fn is_error(&self) -> bool {
        let flag = self
            .status
            .result
            .as_ref()
            .and_then(|result| result.get("isError"));
        flag.and_then(Value::as_bool).unwrap_or(false)
    }

    /// What a call that has settled came to: text for standard output, and a remark.
    pub(super) fn outcome(&self) -> (Option<String>, Option<String>) {
        let status = &self.status;
        let id = status.id.as_str();
        match status.status {
            McpStatus::Completed => {
                let text = status.result.as_ref().map(content::text);
                let remark = self
                    .is_error()
                    .then(|| "the tool reports an error".to_owned());
                (text, remark)
            }
            McpStatus::Failed | McpStatus::Cancelled => {
                let how = ended(&status.state);
                let remark = match (told(status, "code"), told(status, "message")) {
                    (Some(code), Some(message)) if code == status.state => message.to_owned(),
                    (Some(code), Some(message)) => format!("the call {how}: {message} ({code})"),
                    _ => format!("the call {how}"),
                };
                (None, Some(remark))
            }
            McpStatus::InputRequired => (None, Some(questions(status))),
            McpStatus::Working => (
                None,
                Some(format!("the call goes on; see waybill status {id} --wait")),
            ),
        }
    }

    /// The tenant, of a call that an operator asked for.
    pub(super) fn tenant(&self) -> Option<&str> {
        self.raw["tenant"].as_str()
    }

    /// One line for a change: state, progress, message.
    pub(super) fn change(&self) -> String {
        let state = self.status.state.as_str();
        let progress = Progress::of(&self.status);
        let parts = [Some(state.to_owned()), progress.amount(), progress.message];
        parts.into_iter().flatten().collect::<Vec<_>>().join("  ")
    }
}

/// The code of the error that a call ended with.
pub(super) fn code(status: &Status) -> Option<&str> {
    told(status, "code")
}

fn told<'a>(status: &'a Status, field: &str) -> Option<&'a str> {
    status.error.as_ref()?.get(field)?.as_str()
}

/// Whether it helps to call again, in the words of the README's table of codes.
pub(super) fn again(code: &str) -> Option<&'static str> {
    Some(match code {
        "timeout" => "with less to do",
        "expired" | "cancelled" => "yes",
        "upstream_unavailable" => "later",
        "outcome_unknown" => "look at the provider first",
        "result_too_large" => "ask for less",
        "protocol_error" => "as it says",
        "dead_lettered" => "ask the operator",
        "result_lost" | "unknown_tool" | "internal" => "no",
        _ => return None,
    })
}

/// The verb that fits `the call ...`.
fn ended(state: &str) -> &str {
    if state == "cancelled" {
        "was cancelled"
    } else {
        state
    }
}

fn questions(status: &Status) -> String {
    let requests = status.input_requests.as_ref().and_then(Value::as_object);
    let messages = requests.into_iter().flatten().map(|(key, request)| {
        let message = request.pointer("/params/message").and_then(Value::as_str);
        message.map_or_else(|| key.clone(), |message| format!("{key}: {message}"))
    });
    let messages = messages.collect::<Vec<_>>().join("; ");
    let id = status.id.as_str();
    format!("call {id} waits for an answer from an MCP client: {messages}")
}

/// How far a call says it is.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Progress {
    pub(super) done: f64,
    pub(super) total: Option<f64>,
    pub(super) message: Option<String>,
    told: bool,
}

impl Progress {
    pub(super) fn of(status: &Status) -> Self {
        let Some(progress) = &status.progress else {
            return Self::default();
        };
        let number = |field: &str| progress.get(field).and_then(Value::as_f64);
        let message = progress.get("message").and_then(Value::as_str);
        Self {
            done: number("progress").unwrap_or_default(),
            total: number("total").filter(|total| *total > 0.0),
            message: message.map(|text| print::visible(&text.replace('\n', " "))),
            told: true,
        }
    }

    /// `3/10`, or `3` where nobody knows how many there are.
    pub(super) fn amount(&self) -> Option<String> {
        let total = self
            .total
            .map(|total| format!("/{total}"))
            .unwrap_or_default();
        self.told.then(|| format!("{}{total}", self.done))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use chrono::DateTime;
    use serde_json::json;
    use waybill_events::CallId;

    use super::*;

    pub(in super::super) fn document(status: &str, state: &str, more: &Value) -> Value {
        let mut document = json!({
            "id": CallId::new(DateTime::UNIX_EPOCH, 7), "tool": "files_read", "effect": "readOnly",
            "status": status, "state": state, "attempt": 1,
            "createdAt": "2026-07-28T12:00:00Z", "updatedAt": "2026-07-28T12:00:01Z",
            "deadline": "2026-07-28T13:00:00Z", "expiresAt": "2026-07-29T12:00:00Z",
        });
        document
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        document
    }

    fn read(status: &str, state: &str, more: &Value) -> Document {
        Document::read(document(status, state, more)).unwrap()
    }

    #[test]
    fn exit_codes_tell_how_a_call_stands() {
        let error = json!({ "result": { "content": [], "isError": true } });
        for (status, state, more, exit) in [
            ("completed", "completed", json!({}), Exit::Done),
            ("completed", "completed", error, Exit::CallFailed),
            ("failed", "expired", json!({}), Exit::CallFailed),
            ("cancelled", "cancelled", json!({}), Exit::CallFailed),
            ("working", "accepted", json!({}), Exit::StillRunning),
            (
                "input_required",
                "waiting_input",
                json!({}),
                Exit::StillRunning,
            ),
        ] {
            assert_eq!(read(status, state, &more).exit(), exit, "{state} {more}");
        }
    }

    #[test]
    fn an_error_is_told_with_its_code() {
        let error = json!({ "error": { "code": "outcome_unknown", "message": "nobody knows" } });
        let (text, remark) = read("failed", "failed", &error).outcome();
        assert_eq!(text, None);
        assert_eq!(
            remark.unwrap(),
            "the call failed: nobody knows (outcome_unknown)"
        );
        let (_, remark) = read("cancelled", "cancelled", &json!({})).outcome();
        assert_eq!(remark.unwrap(), "the call was cancelled");
    }

    #[test]
    fn what_helps_is_told_as_in_the_readme() {
        let readme = include_str!("../../../../README.md");
        let (_, table) = readme
            .split_once("| code | what happened | again? |\n")
            .unwrap();
        let rows = table
            .lines()
            .skip(1)
            .take_while(|line| line.starts_with('|'));
        let mut codes = 0;
        for row in rows {
            let cells: Vec<_> = row.split('|').map(str::trim).collect();
            assert_eq!(again(cells[1].trim_matches('`')), Some(cells[3]), "{row}");
            codes += 1;
        }
        assert_eq!(codes, 11);
        assert_eq!(again("new"), None);
    }

    #[test]
    fn a_question_is_shown() {
        let asked = json!({ "inputRequests": {
            "name": { "method": "elicitation/create", "params": { "message": "Who are you?" } } } });
        let (_, remark) = read("input_required", "waiting_input", &asked).outcome();
        assert!(remark.unwrap().ends_with("name: Who are you?"));
    }

    #[test]
    fn a_change_is_one_line() {
        let progress = json!({ "progress": { "progress": 3.0, "total": 10.0, "message": "a\nb" } });
        assert_eq!(
            read("working", "running", &progress).change(),
            "running  3/10  a b"
        );
        assert_eq!(read("working", "accepted", &json!({})).change(), "accepted");
        let unbounded = json!({ "progress": { "progress": 0.5 } });
        assert_eq!(
            read("working", "running", &unbounded).change(),
            "running  0.5"
        );
    }
}
