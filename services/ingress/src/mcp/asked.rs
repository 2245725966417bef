//! What a request says besides its parameters: who asks, in which era, and how long it waits.

use std::time::Duration;

use axum::http::{HeaderMap, header::HOST, request::Parts};
use rmcp::{
    RoleServer,
    model::{ErrorData, ProtocolVersion, RequestMetaObject},
    service::RequestContext,
};
use serde_json::Value;
use waybill_events::CallId;
use waybill_identity::Principal;
use waybill_toolkit::TaskSupport;

use super::McpSettings;
use crate::span;

const CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";
/// The `_meta` key of the idempotency key, for clients that cannot set headers.
const IDEMPOTENCY_META: &str = "dev.waybill/idempotencyKey";

/// Who asks and how.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) principal: Principal,
    /// 2026-07-28 or newer: every request says all about its client.
    pub(super) modern: bool,
    /// The client declared the tasks extension on this request.
    pub(super) tasks: bool,
    /// MCP `ClientCapabilities`; only a modern client tells them on each request.
    pub(super) capabilities: Option<Value>,
    pub(super) prefer: Prefer,
    pub(super) idempotency_key: Option<String>,
    pub(super) traceparent: Option<String>,
    /// Where the client reaches the gateway, without a slash at the end.
    pub(super) base: String,
}

/// RFC 7240.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Prefer {
    pub(super) respond_async: bool,
    pub(super) wait: Option<Duration>,
}

impl Asked {
    pub(super) fn read(
        cx: &RequestContext<RoleServer>,
        settings: &McpSettings,
    ) -> Result<Self, ErrorData> {
        let principal = principal(cx)?.clone();
        let parts = parts(cx)?;
        let headers = &parts.headers;
        let modern = is_modern(cx);
        let declared = cx.client_capabilities();
        Ok(Self {
            principal,
            modern,
            tasks: modern && declared.is_some_and(|declared| declared.supports_tasks()),
            capabilities: modern.then(|| cx.meta.get(CAPABILITIES).cloned()).flatten(),
            prefer: Prefer::read(headers),
            idempotency_key: idempotency_key(headers, &cx.meta),
            traceparent: span::parent(&parts.extensions, headers, cx.meta.get_traceparent()),
            base: base(headers, settings.public_url.as_deref()),
        })
    }

    /// How long this client is kept waiting for the answer of a tool.
    pub(super) fn patience(&self, support: TaskSupport, settings: &McpSettings) -> Duration {
        let usual = if self.takes_task(support) {
            settings.task_wait
        } else {
            settings.wait
        };
        match self.prefer.wait {
            Some(wait) => wait.min(settings.max_wait),
            None if self.prefer.respond_async && support != TaskSupport::Forbidden => {
                Duration::ZERO
            }
            None => usual.min(settings.max_wait),
        }
    }

    /// Whether a call of such a tool may be answered with a task.
    pub(super) fn takes_task(&self, support: TaskSupport) -> bool {
        self.tasks && support != TaskSupport::Forbidden
    }

    pub(super) fn status_url(&self, id: &CallId) -> String {
        format!("{}/mcp/status/{id}", self.base)
    }
}

impl Prefer {
    fn read(headers: &HeaderMap) -> Self {
        let values = headers.get_all("prefer").iter();
        let texts = values.filter_map(|value| value.to_str().ok());
        let mut prefer = Self::default();
        for preference in texts.flat_map(|text| text.split([',', ';'])).map(str::trim) {
            let (name, value) = preference.split_once('=').unwrap_or((preference, ""));
            if name.trim().eq_ignore_ascii_case("respond-async") {
                prefer.respond_async = true;
            } else if name.trim().eq_ignore_ascii_case("wait") {
                let seconds = value.trim().trim_matches('"').parse().ok();
                prefer.wait = seconds.map(Duration::from_secs).or(prefer.wait);
            }
        }
        prefer
    }
}

pub(super) fn principal(cx: &RequestContext<RoleServer>) -> Result<&Principal, ErrorData> {
    parts(cx)?
        .extensions
        .get()
        .ok_or_else(|| ErrorData::internal_error("the request was not authenticated", None))
}

pub(super) fn is_modern(cx: &RequestContext<RoleServer>) -> bool {
    cx.protocol_version()
        .is_some_and(|version| version.as_str() >= ProtocolVersion::V_2026_07_28.as_str())
}

fn parts(cx: &RequestContext<RoleServer>) -> Result<&Parts, ErrorData> {
    cx.extensions
        .get()
        .ok_or_else(|| ErrorData::internal_error("the request did not come by HTTP", None))
}

/// A quoted string in the IETF draft's form, or bare as everybody writes it.
fn idempotency_key(headers: &HeaderMap, meta: &RequestMetaObject) -> Option<String> {
    text(headers, "idempotency-key")
        .map(|key| key.trim().trim_matches('"'))
        .or_else(|| meta.get(IDEMPOTENCY_META).and_then(Value::as_str))
        .map(str::to_owned)
}

fn base(headers: &HeaderMap, public: Option<&str>) -> String {
    if let Some(public) = public {
        return public.trim_end_matches('/').to_owned();
    }
    let https = text(headers, "x-forwarded-proto").is_some_and(|proto| proto == "https");
    let scheme = if https { "https" } else { "http" };
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    format!("{scheme}://{}", host.unwrap_or("localhost"))
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn preferences_are_read_from_all_headers() {
        let mut headers = HeaderMap::new();
        headers.append("prefer", HeaderValue::from_static("handling=lenient"));
        headers.append(
            "prefer",
            HeaderValue::from_static("Respond-Async; x, wait=\"7\""),
        );
        let prefer = Prefer::read(&headers);
        assert!(prefer.respond_async);
        assert_eq!(prefer.wait, Some(Duration::from_secs(7)));
        headers.insert("prefer", HeaderValue::from_static("wait=soon"));
        assert_eq!(Prefer::read(&headers), Prefer::default());
    }

    #[test]
    fn the_base_is_the_public_url_or_the_host() {
        let mut headers = HeaderMap::new();
        headers.insert(HOST, HeaderValue::from_static("gw.example:8080"));
        assert_eq!(base(&headers, None), "http://gw.example:8080");
        assert_eq!(
            base(&headers, Some("https://a.example/")),
            "https://a.example"
        );
        headers.insert("x-forwarded-proto", HeaderValue::from_static("https"));
        assert_eq!(base(&headers, None), "https://gw.example:8080");
    }
}
