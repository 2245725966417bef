//! Errors of the REST routes: `{"error": {"code", "message", "details"?}}`.

use axum::{
    Json,
    extract::rejection::{JsonRejection, PathRejection, QueryRejection},
    http::{
        HeaderValue, StatusCode,
        header::{RETRY_AFTER, WWW_AUTHENTICATE},
    },
    response::{IntoResponse, Response},
};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};
use waybill_calls::Error;
use waybill_events::CallId;
use waybill_messaging::Error as PortError;

use crate::desk::Refusal;

/// What every error of these routes looks like.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Error")]
pub(crate) struct Document {
    error: Body,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "ErrorBody")]
struct Body {
    /// Stable word for programs.
    code: &'static str,
    /// For people: what was wrong and what to do.
    message: String,
    /// More for programs, where there is more to say.
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<Value>,
}

/// An answer that is an error.
#[derive(Debug)]
pub(crate) struct Problem {
    status: StatusCode,
    body: Body,
    retry_after_s: Option<u64>,
    challenge: Option<&'static str>,
}

impl Problem {
    pub(crate) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        let message = message.into();
        Self {
            status,
            body: Body {
                code,
                message,
                details: None,
            },
            retry_after_s: None,
            challenge: None,
        }
    }

    /// One and the same for ids that never were, are another tenant's, or have been forgotten.
    pub(crate) fn no_such_call() -> Self {
        Self::not_found("there is no such call, or it has expired")
    }

    pub(crate) fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", message)
    }

    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad_request", message)
    }

    /// It may work later.
    pub(crate) fn unavailable(error: &(dyn std::error::Error + 'static)) -> Self {
        tracing::error!(error, "cannot answer a request");
        let message = not_now(error);
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", message).retry_after(1)
    }

    /// Ours, not the client's, and waiting does not help: logged here, told without its inside.
    pub(crate) fn internal(error: &(dyn std::error::Error + 'static)) -> Self {
        tracing::error!(error, "cannot answer a request");
        let message = "the gateway failed; its log says why";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", message)
    }

    #[must_use]
    pub(crate) fn retry_after(mut self, seconds: u64) -> Self {
        self.retry_after_s = Some(seconds);
        self
    }

    #[must_use]
    pub(crate) fn details(mut self, details: Value) -> Self {
        self.body.details = Some(details);
        self
    }

    /// `WWW-Authenticate` (RFC 6750).
    #[must_use]
    pub(crate) fn challenge(mut self, challenge: &'static str) -> Self {
        self.challenge = Some(challenge);
        self
    }

    pub(crate) fn message(&self) -> &str {
        &self.body.message
    }

    pub(crate) fn document(self) -> Document {
        Document { error: self.body }
    }

    fn rejected(status: StatusCode, message: String) -> Self {
        let code = match status {
            StatusCode::PAYLOAD_TOO_LARGE => "too_large",
            StatusCode::UNSUPPORTED_MEDIA_TYPE => "unsupported_media_type",
            _ => return Self::bad_request(message),
        };
        Self::new(status, code, message)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let (status, retry, challenge) = (self.status, self.retry_after_s, self.challenge);
        let mut response = (status, Json(self.document())).into_response();
        let headers = response.headers_mut();
        if let Some(seconds) = retry {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if let Some(challenge) = challenge {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        }
        response
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        match error {
            Error::Unknown => Self::no_such_call(),
            Error::IdempotencyMismatch { ref call } => {
                let details = json!({ "callId": call });
                let message = error.to_string();
                Self::new(StatusCode::CONFLICT, "idempotency_mismatch", message).details(details)
            }
            Error::TooLarge { .. } => {
                let status = StatusCode::PAYLOAD_TOO_LARGE;
                Self::new(status, "too_large", error.to_string())
            }
            Error::Fenced(_) => Self::new(StatusCode::CONFLICT, "ended", error.to_string()),
            Error::Port(error) => error.into(),
            Error::Unclear(_) => Self::unavailable(&error),
            Error::Corrupt(_) => Self::internal(&error),
        }
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let message = refusal.to_string();
        let (status, code, details) = match refusal {
            Refusal::Calls(error) => return error.into(),
            Refusal::Unclear { call, source } => {
                let status_url = format!("/mcp/status/{call}");
                let details = json!({ "callId": call, "statusUrl": status_url });
                let message = may_be_accepted(&call, &*source, &format!("GET {status_url}"));
                let status = StatusCode::SERVICE_UNAVAILABLE;
                return Self::new(status, UNCLEAR, message).details(details);
            }
            Refusal::Schema { .. } => return Self::internal(&refusal),
            Refusal::UnknownTool { nearest, .. } => {
                let details = nearest.map(|nearest| json!({ "nearest": nearest }));
                (StatusCode::NOT_FOUND, "unknown_tool", details)
            }
            Refusal::Invalid { violations, .. } => {
                let violations = violations.iter().map(|violation| {
                    json!({
                        "pointer": violation.pointer,
                        "expected": violation.expected,
                        "received": violation.received,
                    })
                });
                let details = json!({ "violations": violations.collect::<Vec<_>>() });
                let status = StatusCode::UNPROCESSABLE_ENTITY;
                (status, "invalid_arguments", Some(details))
            }
            Refusal::TooDeep { .. } | Refusal::TooLarge { .. } => {
                (StatusCode::PAYLOAD_TOO_LARGE, "too_large", None)
            }
            Refusal::IdempotencyKey => (StatusCode::BAD_REQUEST, "idempotency_key", None),
        };
        let mut problem = Self::new(status, code, message);
        problem.body.details = details;
        problem
    }
}

impl From<PortError> for Problem {
    fn from(error: PortError) -> Self {
        match error {
            PortError::Unknown(what) => Self::not_found(format!("{what} is unknown")),
            PortError::TooLarge { .. } => Self::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                "too_large",
                error.to_string(),
            ),
            PortError::Broken { .. } | PortError::Refused { .. } => Self::internal(&error),
            error => Self::unavailable(&error),
        }
    }
}

/// The word for a call of which nobody knows yet whether it was accepted.
pub(crate) const UNCLEAR: &str = "acceptance_unknown";

/// Not to be repeated blindly: a second call would act a second time.
pub(crate) fn may_be_accepted(
    call: &CallId,
    error: &(dyn std::error::Error + 'static),
    look: &str,
) -> String {
    let what = own_words(error);
    format!(
        "the gateway could not confirm the call{what}; it may have been accepted as {call}: look \
         before you call again, with {look}"
    )
}

/// What is told of a store that fails.
pub(crate) fn not_now(error: &(dyn std::error::Error + 'static)) -> String {
    let what = own_words(error);
    format!("the gateway could not do this now{what}; try again")
}

/// The store's own words, which name no path and no secret, and never those of its cause.
fn own_words(error: &(dyn std::error::Error + 'static)) -> String {
    let mut causes = std::iter::successors(Some(error), |error| error.source());
    let what = causes.find_map(|cause| match cause.downcast_ref() {
        Some(PortError::Unavailable { what, .. }) => Some(format!(" ({what})")),
        _ => None,
    });
    what.unwrap_or_default()
}

impl From<JsonRejection> for Problem {
    fn from(rejection: JsonRejection) -> Self {
        Self::rejected(rejection.status(), rejection.body_text())
    }
}

impl From<QueryRejection> for Problem {
    fn from(rejection: QueryRejection) -> Self {
        Self::rejected(rejection.status(), rejection.body_text())
    }
}

impl From<PathRejection> for Problem {
    fn from(rejection: PathRejection) -> Self {
        Self::rejected(rejection.status(), rejection.body_text())
    }
}

pub(crate) async fn no_such_route() -> Problem {
    let message = "there is no such route; MCP is at POST /mcp, the others are in /openapi.json";
    Problem::new(StatusCode::NOT_FOUND, "no_such_route", message)
}

pub(crate) async fn no_such_method() -> Problem {
    let message = "the route does not take this method; Allow names those that it takes";
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "no_such_method", message)
}
