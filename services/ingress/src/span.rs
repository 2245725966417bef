//! The span of a request, and the id that its answer and its log lines share.

use axum::{
    extract::{MatchedPath, Request},
    http::{Extensions, HeaderMap, HeaderName, HeaderValue},
    middleware::Next,
    response::Response,
};
use tracing::Instrument;
use waybill_telemetry::{trace, xray};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const TRACEPARENT: &str = "traceparent";
const MAX_ID: usize = 64;

/// No path, no query, no header but the id: those may carry what must not be logged.
pub(crate) async fn enter(mut request: Request, next: Next) -> Response {
    let id = id(&request);
    let route = request.extensions().get::<MatchedPath>();
    let span = tracing::info_span!(
        "request",
        request.id = id.to_str().unwrap_or_default(),
        http.method = request.method().as_str(),
        http.route = route.map_or("none", MatchedPath::as_str),
        otel.kind = "server",
    );
    let client = traceparent(request.headers());
    trace::adopt(&span, client.as_deref());
    if let Some(here) = trace::traceparent(&span) {
        let by_client = client.is_some();
        request.extensions_mut().insert(Traced { here, by_client });
    }
    let mut response = next.run(request).instrument(span).await;
    response.headers_mut().insert(REQUEST_ID, id);
    response
}

/// The span of a request that is traced.
#[derive(Clone)]
struct Traced {
    /// Its `traceparent`.
    here: String,
    /// It is part of the client's trace.
    by_client: bool,
}

/// What is to be the parent of whatever the request causes. `inner`: what its body says, which counts
/// where its headers say nothing.
pub(crate) fn parent(
    extensions: &Extensions,
    headers: &HeaderMap,
    inner: Option<&str>,
) -> Option<String> {
    let traced = extensions.get::<Traced>();
    let inner = inner.filter(|text| trace::is_traceparent(text));
    match traced {
        Some(Traced { here, by_client }) => {
            let inner = inner.filter(|_| !by_client);
            Some(inner.unwrap_or(here).to_owned())
        }
        None => traceparent(headers).or_else(|| inner.map(str::to_owned)),
    }
}

/// W3C's header, or AWS's in its form.
fn traceparent(headers: &HeaderMap) -> Option<String> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let own = text(TRACEPARENT).filter(|text| trace::is_traceparent(text));
    let amazon = || text(xray::HEADER).and_then(xray::to_traceparent);
    own.map(str::to_owned).or_else(amazon)
}

/// The client's own id where it is short and plain; a new one otherwise.
fn id(request: &Request) -> HeaderValue {
    let given = request.headers().get(REQUEST_ID);
    let plain = |id: &&HeaderValue| {
        let bytes = id.as_bytes();
        let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.".contains(byte);
        (1..=MAX_ID).contains(&bytes.len()) && bytes.iter().all(plain)
    };
    given.filter(plain).cloned().unwrap_or_else(|| {
        let text = format!("{:016x}", rand::random::<u64>());
        HeaderValue::from_str(&text).expect("hexadecimal digits")
    })
}
