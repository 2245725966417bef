//! What a failed exchange says about the world: not done, perhaps done, or an answer.

use std::time::Duration;

use rmcp::service::{ClientInitializeError, ServiceError};
use waybill_toolkit::ToolError;

use crate::http::HttpError;

/// JSON-RPC's "internal error", for an upstream that answers with nonsense.
const INTERNAL_ERROR: i32 = -32603;
/// Rate limits are checked before a request is worked on. No other status says as much: proxies
/// answer 503 too when they lost a server that has the request.
const TOO_MANY_REQUESTS: u16 = 429;

type Cause = Option<Box<dyn std::error::Error + Send + Sync>>;

/// The upstream certainly did not act.
pub(crate) fn unavailable(
    upstream: &str,
    reason: &str,
    retry_after: Option<Duration>,
) -> ToolError {
    let message = format!("upstream {upstream} is not available: {reason}");
    ToolError::Unavailable {
        message,
        retry_after,
        source: None,
    }
}

/// The upstream may have acted.
pub(crate) fn unknown(upstream: &str, what: &str) -> ToolError {
    ToolError::Unknown {
        message: format!("upstream {upstream}: {what}"),
        retry_after: None,
        source: None,
    }
}

/// The upstream answered, and not with a result.
pub(crate) fn nonsense(upstream: &str, what: &str) -> ToolError {
    let message = format!("upstream {upstream}: {what}");
    ToolError::Protocol {
        code: INTERNAL_ERROR,
        message,
        data: None,
    }
}

/// The failure of a request that was handed to the transport.
pub(crate) fn failed(upstream: &str, error: ServiceError) -> ToolError {
    match error {
        ServiceError::McpError(error) => ToolError::Protocol {
            code: error.code.0,
            message: error.message.into_owned(),
            data: error.data,
        },
        ServiceError::TransportSend(error) => match error.error.downcast::<HttpError>() {
            Ok(error) => http(upstream, *error),
            // A line that was not written whole is no message to a process.
            Err(error) => ToolError::Unavailable {
                message: format!("upstream {upstream} did not take the request"),
                retry_after: None,
                source: Some(error),
            },
        },
        ServiceError::UnexpectedResponse => nonsense(upstream, "its answer is no tool result"),
        error => lost(upstream, None, Some(Box::new(error))),
    }
}

fn lost(upstream: &str, retry_after: Option<Duration>, source: Cause) -> ToolError {
    ToolError::Unknown {
        message: format!("upstream {upstream}: the connection was lost before it answered"),
        retry_after,
        source,
    }
}

fn http(upstream: &str, error: HttpError) -> ToolError {
    let refused = |retry_after, error| ToolError::Unavailable {
        message: format!("upstream {upstream} did not take the request"),
        retry_after,
        source: Some(Box::new(error)),
    };
    match error {
        HttpError::Client(ref cause) if cause.is_connect() => refused(None, error),
        HttpError::HttpStatus(ref status) => {
            let after = status.retry_after.as_deref().and_then(delay);
            if status.status == TOO_MANY_REQUESTS {
                refused(after, error)
            } else {
                lost(upstream, after, Some(Box::new(error)))
            }
        }
        // Rejected before it was looked at, twice: rmcp has made a new session in between.
        HttpError::SessionExpired | HttpError::ReinitializationFailed(_) => refused(None, error),
        HttpError::AuthRequired(_) | HttpError::InsufficientScope(_) => {
            nonsense(upstream, "it refused the credentials of its configuration")
        }
        HttpError::UnexpectedServerResponse(ref text) if text.starts_with("HTTP 4") => {
            nonsense(upstream, &format!("it rejected the request: {text}"))
        }
        error => lost(upstream, None, Some(Box::new(error))),
    }
}

/// `Retry-After` in seconds; its date form is rare and not worth a clock here.
fn delay(retry_after: &str) -> Option<Duration> {
    retry_after.trim().parse().ok().map(Duration::from_secs)
}

/// Whether the session may not be usable any more. A status is an answer: who sends it is there.
pub(crate) fn is_lost(error: &ServiceError) -> bool {
    match error {
        ServiceError::TransportClosed => true,
        ServiceError::TransportSend(error) => {
            !matches!(error.error.downcast_ref(), Some(HttpError::HttpStatus(_)))
        }
        _ => false,
    }
}

/// Whether a server of the old era may have choked on `server/discover`: it left, or answered it
/// late, after we had turned to `initialize`.
pub(crate) fn choked_on_discover(error: &ClientInitializeError) -> bool {
    use ClientInitializeError as E;
    matches!(
        error,
        E::ConnectionClosed(_)
            | E::ConflictInitResponseId(..)
            | E::UncorrelatedErrorResponse { .. }
            | E::ExpectedInitResult(_)
            | E::NoCompatibleProtocolVersion { .. }
    )
}

/// A cause with its causes, for a health reason that a person reads.
pub(crate) fn describe(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        // Several of rmcp's errors print their source as well.
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use std::any::TypeId;

    use rmcp::{ErrorData, transport::DynamicTransportError};

    use super::*;

    fn send(error: HttpError) -> ToolError {
        let error = DynamicTransportError::from_parts("test", TypeId::of::<()>(), Box::new(error));
        failed("u", ServiceError::TransportSend(error))
    }

    fn status(status: u16, retry_after: Option<&str>) -> HttpError {
        use rmcp::transport::streamable_http_client::HttpStatusError;
        HttpStatusError::new(status, retry_after.map(str::to_owned)).into()
    }

    #[test]
    fn what_certainly_did_not_happen_is_unavailable() {
        let error = send(status(429, Some("7")));
        let ToolError::Unavailable { retry_after, .. } = error else {
            panic!("{error:?}")
        };
        assert_eq!(retry_after, Some(Duration::from_secs(7)));
        assert!(matches!(
            send(HttpError::SessionExpired),
            ToolError::Unavailable { .. }
        ));
        let pipe = std::io::Error::from(std::io::ErrorKind::BrokenPipe);
        let pipe = DynamicTransportError::from_parts("t", TypeId::of::<()>(), Box::new(pipe));
        let error = failed("u", ServiceError::TransportSend(pipe));
        assert!(matches!(error, ToolError::Unavailable { .. }));
    }

    #[tokio::test]
    async fn a_refused_connection_is_unavailable() {
        let client = crate::http::client(false).unwrap();
        // Port 1: nobody listens there, and nobody unprivileged can.
        let refused = client.get("http://127.0.0.1:1/").send().await.unwrap_err();
        let error = send(HttpError::Client(refused));
        assert!(matches!(error, ToolError::Unavailable { .. }), "{error:?}");
    }

    #[test]
    fn what_may_have_happened_is_unknown() {
        for error in [
            send(status(500, None)),
            send(status(503, None)),
            send(status(504, Some("1"))),
            send(HttpError::UnexpectedEndOfStream),
            send(HttpError::SessionRecoveryTimeout),
            failed("u", ServiceError::TransportClosed),
        ] {
            assert!(matches!(error, ToolError::Unknown { .. }), "{error:?}");
        }
    }

    #[test]
    fn a_server_that_may_have_acted_is_left_alone_for_as_long_as_it_says() {
        let ToolError::Unknown { retry_after, .. } = send(status(503, Some("7"))) else {
            panic!("a proxy may have passed the request on")
        };
        assert_eq!(retry_after, Some(Duration::from_secs(7)));
    }

    #[test]
    fn a_busy_server_is_not_a_lost_one() {
        let sent = |error: HttpError| {
            let id = TypeId::of::<()>();
            ServiceError::TransportSend(DynamicTransportError::from_parts("t", id, Box::new(error)))
        };
        assert!(!is_lost(&sent(status(429, None))));
        assert!(is_lost(&sent(HttpError::UnexpectedEndOfStream)));
        assert!(is_lost(&ServiceError::TransportClosed));
    }

    #[test]
    fn an_answer_keeps_its_code_and_data() {
        let data = serde_json::json!({ "a": 1 });
        let error = ErrorData::invalid_params("no", Some(data.clone()));
        let ToolError::Protocol {
            code,
            message,
            data: kept,
        } = failed("u", ServiceError::McpError(error))
        else {
            panic!()
        };
        assert_eq!((code, message.as_str(), kept), (-32602, "no", Some(data)));
    }
}
