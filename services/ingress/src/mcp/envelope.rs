//! The outside of a JSON-RPC message: what the door must know before rmcp reads it whole.

use std::borrow::Cow;

use axum::http::HeaderMap;
use rmcp::model::ProtocolVersion;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

/// Levels of arrays and objects in a message. Arguments have their own, lower limit.
const MAX_DEPTH: usize = 100;
const VERSION_HEADER: &str = "mcp-protocol-version";

/// A message, parsed no further than to its members.
#[derive(Debug, Deserialize)]
pub(super) struct Envelope<'a> {
    #[serde(borrow)]
    pub(super) jsonrpc: Option<Cow<'a, str>>,
    /// As it is written; `Some` for null, which is not the same as none.
    #[serde(borrow, default, deserialize_with = "present")]
    pub(super) id: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) method: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(super) params: Option<&'a RawValue>,
    /// Of a response: clients answer nothing here, and rmcp says so.
    #[serde(borrow)]
    pub(super) result: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) error: Option<&'a RawValue>,
}

/// What of the parameters decides the way.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Hints<'a> {
    #[serde(borrow)]
    pub(super) task_id: Option<Cow<'a, str>>,
    /// The task augmentation of 2025-11-25.
    #[serde(borrow)]
    pub(super) task: Option<&'a RawValue>,
}

/// Why text is not a message.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Malformed {
    /// -32700, with what the parser says.
    NotJson(String),
    /// -32600, with what is wrong.
    NotRequest(&'static str),
}

/// One message, or several (JSON-RPC batch), each as its own text.
#[derive(Debug)]
pub(super) enum Message<'a> {
    One(Envelope<'a>),
    Batch(Vec<&'a RawValue>),
}

impl<'a> Message<'a> {
    pub(super) fn parse(body: &'a [u8]) -> Result<Self, Malformed> {
        let text = std::str::from_utf8(body)
            .map_err(|error| Malformed::NotJson(format!("the body is not UTF-8: {error}")))?;
        if depth(body) > MAX_DEPTH {
            return Err(Malformed::NotRequest("the message is nested too deeply"));
        }
        let not_json = |error: serde_json::Error| Malformed::NotJson(error.to_string());
        match text.trim_start().as_bytes().first() {
            Some(b'[') => serde_json::from_str(text)
                .map(Self::Batch)
                .map_err(not_json),
            Some(b'{') => Envelope::parse(text).map(Self::One),
            _ => match serde_json::from_str::<&RawValue>(text) {
                Ok(_) => Err(Malformed::NotRequest("a message is a JSON object")),
                Err(error) => Err(not_json(error)),
            },
        }
    }
}

impl<'a> Envelope<'a> {
    pub(super) fn parse(text: &'a str) -> Result<Self, Malformed> {
        match serde_json::from_str(text) {
            Ok(envelope) => Ok(envelope),
            // Well-formed JSON whose members have the wrong kinds, such as a method of 5.
            Err(_) if serde_json::from_str::<&RawValue>(text).is_ok() => Err(
                Malformed::NotRequest("method and jsonrpc must be strings, each given once"),
            ),
            Err(error) => Err(Malformed::NotJson(error.to_string())),
        }
    }

    pub(super) fn method(&self) -> &str {
        self.method.as_deref().unwrap_or_default()
    }

    /// What the parameters say that decides the way; nothing where they are no object.
    pub(super) fn hints(&self) -> Option<Hints<'a>> {
        self.params
            .and_then(|params| serde_json::from_str(params.get()).ok())
    }

    /// What makes it no JSON-RPC 2.0 message at all.
    pub(super) fn fault(&self) -> Option<&'static str> {
        if self.jsonrpc.as_deref() != Some("2.0") {
            return Some("jsonrpc must be \"2.0\"");
        }
        let response = self.result.is_some() || self.error.is_some();
        if self.method.is_none() && !response {
            return Some("the message has no method");
        }
        // MCP forbids the null id that JSON-RPC discourages.
        let id_starts = self.id.and_then(|id| id.get().bytes().next());
        match id_starts {
            None | Some(b'"' | b'-' | b'0'..=b'9') => None,
            Some(_) => Some("id must be a string or a number"),
        }
    }
}

fn present<'de, D: Deserializer<'de>>(json: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(json).map(Some)
}

/// The protocol version that the request is under: its header, or 2025-03-26, which did not have
/// the header yet.
pub(super) fn version(headers: &HeaderMap) -> &str {
    headers
        .get(VERSION_HEADER)
        .and_then(|value| value.to_str().ok())
        .unwrap_or(ProtocolVersion::V_2025_03_26.as_str())
}

/// The deepest nesting of JSON text, without parsing it.
fn depth(json: &[u8]) -> usize {
    let (mut depth, mut deepest) = (0usize, 0usize);
    let (mut quoted, mut escaped) = (false, false);
    for byte in json {
        if quoted {
            quoted = escaped || *byte != b'"';
            escaped = !escaped && *byte == b'\\';
            continue;
        }
        match byte {
            b'"' => quoted = true,
            b'{' | b'[' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depth_counts_brackets_outside_of_strings() {
        assert_eq!(depth(br#"{"a":[1,{"b":"[[[\"[["}]}"#), 3);
        assert_eq!(depth(br#""\\[[""#), 0);
        assert_eq!(depth(b"[[]]]]]["), 2);
    }

    #[test]
    fn what_is_wrong_is_told_apart() {
        let kind = |text: &str| match Message::parse(text.as_bytes()) {
            Ok(Message::Batch(_)) => "batch",
            Ok(Message::One(envelope)) => envelope.fault().unwrap_or("one"),
            Err(Malformed::NotJson(_)) => "not JSON",
            Err(Malformed::NotRequest(reason)) => reason,
        };
        assert_eq!(kind(r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#), "one");
        assert_eq!(kind(r#" [{"jsonrpc":"2.0"}]"#), "batch");
        assert_eq!(kind("{"), "not JSON");
        assert_eq!(kind("{} x"), "not JSON");
        assert_eq!(kind("5"), "a message is a JSON object");
        assert_eq!(kind("{}"), "jsonrpc must be \"2.0\"");
        assert_eq!(
            kind(r#"{"jsonrpc":"2.0","id":1}"#),
            "the message has no method"
        );
        assert_eq!(
            kind(r#"{"jsonrpc":"2.0","id":null,"method":"ping"}"#),
            "id must be a string or a number"
        );
        assert_eq!(
            kind(r#"{"jsonrpc":"2.0","id":1,"method":5}"#),
            "method and jsonrpc must be strings, each given once"
        );
        assert_eq!(
            kind(&format!("{}{}", "[".repeat(200), "]".repeat(200))),
            "the message is nested too deeply"
        );
        let bad = [b'{', b'"', 0xff, b'"', b'}'];
        assert!(matches!(Message::parse(&bad), Err(Malformed::NotJson(_))));
    }
}
