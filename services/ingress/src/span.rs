//! The span of a request, and the id that its answer and its log lines share.

use axum::{
    extract::{MatchedPath, Request},
    http::{HeaderName, HeaderValue},
    middleware::Next,
    response::Response,
};
use tracing::Instrument;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const MAX_ID: usize = 64;

/// No path, no query, no header but the id: those may carry what must not be logged.
pub(crate) async fn enter(request: Request, next: Next) -> Response {
    let id = id(&request);
    let route = request.extensions().get::<MatchedPath>();
    let span = tracing::info_span!(
        "request",
        request.id = id.to_str().unwrap_or_default(),
        http.method = request.method().as_str(),
        http.route = route.map_or("none", MatchedPath::as_str),
    );
    let mut response = next.run(request).instrument(span).await;
    response.headers_mut().insert(REQUEST_ID, id);
    response
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
