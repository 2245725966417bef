//! Errors of the REST routes: `{"error": {"code", "message"}}`.

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header::RETRY_AFTER},
    response::{IntoResponse, Response},
};
use serde_json::json;
use waybill_calls::Error;

use crate::desk::Refusal;

/// An answer that is an error.
#[derive(Debug)]
pub(crate) struct Problem {
    status: StatusCode,
    /// Stable word for programs.
    code: &'static str,
    /// For people.
    message: String,
    retry_after_s: Option<u64>,
}

impl Problem {
    pub(crate) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            code,
            message: message.into(),
            retry_after_s: None,
        }
    }

    /// One and the same for ids that never were, are another tenant's, or have been forgotten.
    pub(crate) fn no_such_call() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "not_found",
            "there is no such call, or it has expired",
        )
    }

    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad_request", message)
    }

    #[must_use]
    pub(crate) fn retry_after(mut self, seconds: u64) -> Self {
        self.retry_after_s = Some(seconds);
        self
    }

    /// Ours, not the client's: logged here and told without its inside.
    pub(crate) fn internal(error: &(dyn std::error::Error + 'static)) -> Self {
        tracing::error!(error, "cannot answer a request");
        let message = "the gateway could not do this; trying again later may help";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", message).retry_after(1)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = Json(json!({ "error": { "code": self.code, "message": self.message } }));
        let mut response = (self.status, body).into_response();
        if let Some(seconds) = self.retry_after_s {
            response
                .headers_mut()
                .insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        match error {
            Error::Unknown => Self::no_such_call(),
            Error::IdempotencyMismatch { .. } => Self::new(
                StatusCode::CONFLICT,
                "idempotency_mismatch",
                error.to_string(),
            ),
            Error::Fenced(_) => Self::new(StatusCode::CONFLICT, "ended", error.to_string()),
            Error::Port(_) | Error::Corrupt(_) => Self::internal(&error),
        }
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let (status, code) = match &refusal {
            Refusal::Calls(_) => {
                let Refusal::Calls(error) = refusal else {
                    unreachable!("matched above")
                };
                return error.into();
            }
            Refusal::Schema { .. } | Refusal::Interrupted => return Self::internal(&refusal),
            Refusal::UnknownTool { .. } => (StatusCode::NOT_FOUND, "unknown_tool"),
            Refusal::Invalid { .. } => (StatusCode::UNPROCESSABLE_ENTITY, "invalid_arguments"),
            Refusal::TooDeep { .. } | Refusal::TooLarge { .. } => {
                (StatusCode::PAYLOAD_TOO_LARGE, "too_large")
            }
            Refusal::IdempotencyKey => (StatusCode::BAD_REQUEST, "idempotency_key"),
        };
        Self::new(status, code, refusal.to_string())
    }
}

impl From<waybill_messaging::Error> for Problem {
    fn from(error: waybill_messaging::Error) -> Self {
        match error {
            waybill_messaging::Error::Unknown(what) => Self::new(
                StatusCode::NOT_FOUND,
                "not_found",
                format!("there is no {what}"),
            ),
            error => Self::internal(&error),
        }
    }
}

pub(crate) async fn no_such_route() -> Problem {
    let message = "there is no such route; MCP is at POST /mcp, the others are in /openapi.json";
    Problem::new(StatusCode::NOT_FOUND, "no_such_route", message)
}
