//! The layer in front of rmcp: it reads the body once, answers what is no message, takes batches
//! apart, leads the tasks of 2025-11-25 to their adapter, and passes everything else on as it came.
//!
//! `notifications/cancelled` is accepted and has no effect: it names a request of the connection,
//! and no connection is remembered. A client ends a call by `tasks/cancel`, by the tool
//! `call_cancel` or at its status URL. A client that disconnects cancels nothing either.

use axum::{
    body::{Body, Bytes, to_bytes},
    http::{
        HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode,
        header::{ACCEPT, CONTENT_TYPE},
        request::Parts,
    },
};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use rmcp::{
    model::{ErrorCode, ErrorData, ProtocolVersion},
    transport::streamable_http_server::{
        StreamableHttpService, session::never::NeverSessionManager,
    },
};
use serde_json::value::RawValue;
use waybill_toolkit::Registry;

use super::{
    McpSettings, batch,
    envelope::{Envelope, Malformed, Message, version},
    errors, old_tasks,
    server::Server,
};

const MCP_NAME: HeaderName = HeaderName::from_static("mcp-name");
const BOTH_KINDS: HeaderValue = HeaderValue::from_static("application/json, text/event-stream");
/// Largest plain-text error of rmcp that is repeated.
const MAX_ERROR_TEXT: usize = 4096;

pub(super) type Rmcp = StreamableHttpService<Server, NeverSessionManager>;

pub(super) struct Door {
    rmcp: Rmcp,
    registry: Registry,
    body_bytes: usize,
}

impl Door {
    pub(super) fn new(rmcp: Rmcp, registry: Registry, settings: &McpSettings) -> Self {
        Self {
            rmcp,
            registry,
            body_bytes: settings.body_bytes,
        }
    }

    pub(super) async fn enter(&self, request: Request<Body>) -> Response<Body> {
        let (mut parts, body) = request.into_parts();
        if !is_json(&parts.headers) {
            let error = ErrorData::invalid_request("Content-Type must be application/json", None);
            return errors::response(StatusCode::UNSUPPORTED_MEDIA_TYPE, None, error);
        }
        let body = match Limited::new(body, self.body_bytes).collect().await {
            Ok(body) => body.to_bytes(),
            Err(error) => return self.unread(&*error),
        };
        accept(&mut parts.headers);
        match Message::parse(&body) {
            Ok(Message::One(envelope)) => self.one(parts, &body, &envelope).await,
            Ok(Message::Batch(items)) => batch::run(self, &parts, &body, &items).await,
            Err(malformed) => errors::response(StatusCode::BAD_REQUEST, None, malformed.into()),
        }
    }

    /// One message of a batch.
    pub(super) async fn item(&self, parts: Parts, body: Bytes) -> Response<Body> {
        let text = std::str::from_utf8(&body).unwrap_or_default();
        match Envelope::parse(text) {
            Ok(envelope) if envelope.method() == "initialize" => {
                let error = ErrorData::invalid_request("initialize cannot be in a batch", None);
                errors::response(StatusCode::BAD_REQUEST, envelope.id, error)
            }
            Ok(envelope) => self.one(parts, &body, &envelope).await,
            Err(malformed) => errors::response(StatusCode::BAD_REQUEST, None, malformed.into()),
        }
    }

    async fn one(&self, mut parts: Parts, body: &Bytes, envelope: &Envelope<'_>) -> Response<Body> {
        if let Some(fault) = envelope.fault() {
            let error = ErrorData::invalid_request(fault, None);
            return errors::response(StatusCode::BAD_REQUEST, envelope.id, error);
        }
        name_task(&mut parts.headers, envelope);
        let announces = old_tasks::announces(envelope, &parts.headers);
        let body = old_tasks::redirect(envelope, &parts.headers).unwrap_or_else(|| body.clone());
        let response = plain(self.forward(parts, body).await, envelope.id).await;
        if announces {
            return old_tasks::announce(response, &self.registry).await;
        }
        response
    }

    async fn forward(&self, parts: Parts, body: Bytes) -> Response<Body> {
        let request = Request::from_parts(parts, Body::from(body));
        self.rmcp.handle(request).await.map(Body::new)
    }

    fn unread(&self, error: &(dyn std::error::Error + Send + Sync + 'static)) -> Response<Body> {
        if error.is::<LengthLimitError>() {
            let limit = self.body_bytes;
            let message = format!("the body is larger than {limit} bytes");
            let error = ErrorData::invalid_request(message, None);
            return errors::response(StatusCode::PAYLOAD_TOO_LARGE, None, error);
        }
        let error = ErrorData::invalid_request("the body could not be read to its end", None);
        errors::response(StatusCode::BAD_REQUEST, None, error)
    }
}

impl From<Malformed> for ErrorData {
    fn from(malformed: Malformed) -> Self {
        match malformed {
            Malformed::NotJson(reason) => {
                Self::parse_error(format!("the body is not JSON: {reason}"), None)
            }
            Malformed::NotRequest(reason) => Self::invalid_request(reason, None),
        }
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers
        .get(CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok());
    kind.and_then(|kind| kind.split(';').next())
        .is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
}

/// A client that takes anything takes both kinds that rmcp insists on.
fn accept(headers: &mut HeaderMap) {
    let anything = headers
        .get_all(ACCEPT)
        .iter()
        .any(|value| value.as_bytes().windows(3).any(|kind| kind == b"*/*"));
    if anything || !headers.contains_key(ACCEPT) {
        headers.insert(ACCEPT, BOTH_KINDS);
    }
}

/// `FastMCP`'s task client leaves out the header that repeats the task id, which rmcp insists on.
/// One that is there is never replaced: a mismatch must be refused.
fn name_task(headers: &mut HeaderMap, envelope: &Envelope<'_>) {
    let new_task = envelope.method().starts_with("tasks/")
        && version(headers) >= ProtocolVersion::STANDARD_HEADERS.as_str();
    if !new_task || headers.contains_key(MCP_NAME) {
        return;
    }
    let id = envelope.hints().and_then(|hints| hints.task_id);
    if let Some(Ok(id)) = id.map(|id| HeaderValue::from_str(&id)) {
        headers.insert(MCP_NAME, id);
    }
}

/// rmcp answers some refusals in plain text; clients understand JSON-RPC errors.
async fn plain(response: Response<Body>, id: Option<&RawValue>) -> Response<Body> {
    let status = response.status();
    let refused = status.is_client_error() || status.is_server_error();
    if !refused || is_json(response.headers()) {
        return response;
    }
    let (parts, body) = response.into_parts();
    let text = to_bytes(body, MAX_ERROR_TEXT).await.unwrap_or_default();
    let text = String::from_utf8_lossy(&text).into_owned();
    let (status, code) = match parts.status {
        // The content type has been checked: this is rmcp failing to read the message.
        StatusCode::UNSUPPORTED_MEDIA_TYPE => (StatusCode::BAD_REQUEST, ErrorCode::INVALID_REQUEST),
        status if status.is_server_error() => (status, ErrorCode::INTERNAL_ERROR),
        status => (status, ErrorCode::INVALID_REQUEST),
    };
    errors::response(status, id, ErrorData::new(code, text, None))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(version: &'static str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert("mcp-protocol-version", HeaderValue::from_static(version));
        headers
    }

    #[test]
    fn a_missing_task_name_is_filled_and_a_present_one_kept() {
        let get = r#"{"jsonrpc":"2.0","id":1,"method":"tasks/get","params":{"taskId":"t1"}}"#;
        let get = Envelope::parse(get).unwrap();
        let mut new = headers("2026-07-28");
        name_task(&mut new, &get);
        assert_eq!(new[MCP_NAME], "t1");
        new.insert(MCP_NAME, HeaderValue::from_static("other"));
        name_task(&mut new, &get);
        assert_eq!(new[MCP_NAME], "other");
        let mut old = headers("2025-11-25");
        name_task(&mut old, &get);
        assert!(!old.contains_key(MCP_NAME));
        let call = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a"}}"#;
        let mut new = headers("2026-07-28");
        name_task(&mut new, &Envelope::parse(call).unwrap());
        assert!(
            !new.contains_key(MCP_NAME),
            "a missing name of a tool is refused"
        );
    }

    #[test]
    fn only_clients_that_take_anything_are_helped() {
        for (given, helped) in [("*/*", true), ("application/json", false)] {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT, HeaderValue::from_static(given));
            accept(&mut headers);
            assert_eq!(headers[ACCEPT] == BOTH_KINDS, helped);
        }
        let mut none = HeaderMap::new();
        accept(&mut none);
        assert_eq!(none[ACCEPT], BOTH_KINDS);
    }
}
