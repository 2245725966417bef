//! JSON-RPC batches, which MCP had until 2025-03-26.

use axum::{
    body::{Body, Bytes, to_bytes},
    http::{Response, StatusCode, header::CONTENT_TYPE, request::Parts},
};
use futures::future::join_all;
use rmcp::model::{ErrorData, ProtocolVersion};
use serde_json::value::RawValue;

use super::{door::Door, envelope::Envelope, envelope::version, errors};

/// Messages in one batch.
const MAX_BATCH: usize = 50;
/// Largest answer to one message of a batch, in bytes.
const MAX_ANSWER: usize = 64 * 1024 * 1024;

/// Runs the messages at once and answers those that are requests, in their order.
pub(super) async fn run(
    door: &Door,
    parts: &Parts,
    body: &Bytes,
    items: &[&RawValue],
) -> Response<Body> {
    if let Some(error) = refuse(version(&parts.headers), items.len()) {
        return errors::response(StatusCode::BAD_REQUEST, None, error);
    }
    let answers = join_all(items.iter().map(|item| async {
        let message = body.slice_ref(item.get().as_bytes());
        answer(door.item(parts.clone(), message).await).await
    }));
    let answers: Vec<Bytes> = answers.await.into_iter().flatten().collect();
    if answers.is_empty() {
        let mut accepted = Response::new(Body::empty());
        *accepted.status_mut() = StatusCode::ACCEPTED;
        return accepted;
    }
    errors::json_response(StatusCode::OK, [b"[", &*answers.join(&b','), b"]"].concat())
}

fn refuse(version: &str, messages: usize) -> Option<ErrorData> {
    let message = if version > ProtocolVersion::V_2025_03_26.as_str() {
        format!("batches are not part of MCP {version}; send one message per request")
    } else if messages == 0 {
        "a batch has at least one message".to_owned()
    } else if messages > MAX_BATCH {
        format!("a batch has at most {MAX_BATCH} messages")
    } else {
        return None;
    };
    Some(ErrorData::invalid_request(message, None))
}

/// The JSON-RPC response in an HTTP response; `None` for a notification's empty one.
async fn answer(response: Response<Body>) -> Option<Bytes> {
    let stream = response
        .headers()
        .get(CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"));
    let body = to_bytes(response.into_body(), MAX_ANSWER).await.ok()?;
    if stream {
        return last_response(&body);
    }
    (!body.is_empty()).then_some(body)
}

/// The response at the end of a stream; notifications before it have no place in a batch.
fn last_response(stream: &Bytes) -> Option<Bytes> {
    let text = std::str::from_utf8(stream).ok()?;
    let mut messages = text.lines().filter_map(|line| line.strip_prefix("data:"));
    let response = messages
        .rfind(|data| Envelope::parse(data.trim()).is_ok_and(|message| message.method.is_none()))?;
    Some(stream.slice_ref(response.trim().as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_are_for_the_revisions_that_had_them() {
        assert!(refuse("2025-03-26", 50).is_none());
        assert!(refuse("2024-11-05", 1).is_none());
        for (version, messages) in [("2025-03-26", 0), ("2025-03-26", 51), ("2025-06-18", 1)] {
            assert!(refuse(version, messages).is_some(), "{version} {messages}");
        }
    }

    #[test]
    fn the_response_of_a_stream_is_found_behind_its_notifications() {
        let stream = Bytes::from_static(
            b"id: 0\ndata: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\"}\n\n\
              data: {\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}\n\n: ping\n\n",
        );
        let response = last_response(&stream).unwrap();
        assert_eq!(&*response, br#"{"jsonrpc":"2.0","id":1,"result":{}}"#);
    }
}
