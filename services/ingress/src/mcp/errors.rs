//! JSON-RPC errors of this door.

use axum::{
    body::Body,
    http::{HeaderValue, Response, StatusCode, header::CONTENT_TYPE},
};
use rmcp::model::{ErrorCode, ErrorData};
use serde::Serialize;
use serde_json::{Value, json, value::RawValue};
use waybill_calls::{Call, Error, Problem};

use super::asked::Asked;
use crate::{
    desk::Refusal,
    problem::{UNCLEAR, may_be_accepted, not_now},
};

/// `data.code` of what may work later.
const UNAVAILABLE: &str = "unavailable";
/// A call ended without an answer: `data.code` says why, in a word.
pub const ERROR_NO_ANSWER: i32 = -32000;

/// The one answer for ids that never were, are another tenant's, or have been forgotten.
pub(super) fn no_such_task() -> ErrorData {
    ErrorData::invalid_params("there is no such task, or it has expired", None)
}

/// -32021: the client did not declare what the request takes.
pub(super) fn missing(capabilities: &Value) -> ErrorData {
    ErrorData::new(
        ErrorCode::MISSING_REQUIRED_CLIENT_CAPABILITY,
        "the client did not declare a capability that this takes",
        Some(json!({ "requiredCapabilities": capabilities })),
    )
}

/// An error of the repository, logged here and told without its inside.
pub(super) fn calls(error: &Error) -> ErrorData {
    match error {
        Error::Unknown => no_such_task(),
        Error::IdempotencyMismatch { call } => ErrorData::invalid_params(
            error.to_string(),
            Some(json!({ "callId": call, "code": "idempotency_mismatch" })),
        ),
        Error::TooLarge { .. } => {
            let data = json!({ "code": "too_large" });
            ErrorData::invalid_params(error.to_string(), Some(data))
        }
        Error::Fenced(_) => ErrorData::invalid_params(error.to_string(), None),
        Error::Port(port @ waybill_messaging::Error::TooLarge { .. }) => {
            ErrorData::invalid_params(port.to_string(), Some(json!({ "code": "too_large" })))
        }
        Error::Port(_) | Error::Unclear(_) | Error::Corrupt(_) => internal(error),
    }
}

pub(super) fn internal(error: &(dyn std::error::Error + 'static)) -> ErrorData {
    tracing::error!(error, "cannot answer a request");
    ErrorData::internal_error(not_now(error), Some(json!({ "code": UNAVAILABLE })))
}

/// Whether the gateway failed: the error says nothing about the call.
pub(super) fn is_ours(error: &ErrorData) -> bool {
    let data = error.data.as_ref();
    error.code == ErrorCode::INTERNAL_ERROR && data.is_some_and(|data| data["code"] == UNAVAILABLE)
}

/// Why a call was not placed, where that is not the tool's to say.
pub(super) fn refusal(refusal: &Refusal, asked: &Asked) -> ErrorData {
    let code = match refusal {
        Refusal::Calls(error) => return calls(error),
        Refusal::Schema { .. } => return internal(refusal),
        Refusal::Unclear { call, source } => {
            let url = asked.status_url(call);
            let look = format!("the tool call_status or GET {url}");
            let data = json!({ "callId": call, "code": UNCLEAR, "statusUrl": url });
            let message = may_be_accepted(call, &**source, &look);
            return ErrorData::new(ErrorCode(ERROR_NO_ANSWER), message, Some(data));
        }
        Refusal::UnknownTool { .. } => "unknown_tool",
        Refusal::Invalid { .. } => "invalid_arguments",
        Refusal::TooDeep { .. } | Refusal::TooLarge { .. } => "too_large",
        Refusal::IdempotencyKey => "idempotency_key",
    };
    ErrorData::invalid_params(refusal.to_string(), Some(json!({ "code": code })))
}

/// What a call that ended without an answer says. A JSON-RPC error that its tool named passes as
/// it is.
pub(super) fn problem(problem: &Problem, call: &Call, status_url: &str) -> ErrorData {
    let message = problem.message.clone();
    if let Some(code) = problem.rpc_code {
        return ErrorData::new(ErrorCode(code), message, problem.data.clone());
    }
    let code = match problem.code.as_str() {
        "internal" | "dead_lettered" => ErrorCode::INTERNAL_ERROR,
        _ => ErrorCode(ERROR_NO_ANSWER),
    };
    let mut data = json!({ "callId": call.id, "code": problem.code, "statusUrl": status_url });
    if let Some(details) = &problem.data {
        data["details"] = details.clone();
    }
    ErrorData::new(code, message, Some(data))
}

#[derive(Serialize)]
struct Failure<'a> {
    jsonrpc: &'static str,
    /// The request's, as it was written; null when it could not be read.
    id: Option<&'a RawValue>,
    error: ErrorData,
}

/// An error that this layer answers by itself.
pub(super) fn response(
    status: StatusCode,
    id: Option<&RawValue>,
    error: ErrorData,
) -> Response<Body> {
    let failure = Failure {
        jsonrpc: "2.0",
        id,
        error,
    };
    let body = serde_json::to_vec(&failure).expect("an error is plain JSON");
    json_response(status, body)
}

pub(super) fn json_response(status: StatusCode, body: Vec<u8>) -> Response<Body> {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// The error object of a failed task.
pub(super) fn object(error: &ErrorData) -> Value {
    serde_json::to_value(error).unwrap_or(Value::Null)
}
