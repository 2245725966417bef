//! Web pages of the allowed origins: they may read the answers, and a browser may ask beforehand
//! without a key.

use std::{sync::Arc, time::Duration};

use axum::http::{HeaderName, HeaderValue, Method, header};
use tower_http::cors::{AllowHeaders, AllowOrigin, CorsLayer};

use crate::guard::Guard;

/// How long a browser remembers what it was allowed.
const REMEMBERED: Duration = Duration::from_hours(1);

/// The origins are the [`Guard`]'s, which refuses the others before they come here.
pub(crate) fn layer(guard: &Arc<Guard>) -> CorsLayer {
    let guard = guard.clone();
    CorsLayer::new()
        .allow_origin(AllowOrigin::predicate(move |origin: &HeaderValue, _| {
            guard.allows(origin)
        }))
        .allow_methods([Method::GET, Method::POST, Method::DELETE])
        // Whatever is asked for: MCP repeats arguments in headers that the tools name
        // (`Mcp-Param-...`).
        .allow_headers(AllowHeaders::mirror_request())
        .expose_headers([
            HeaderName::from_static("x-request-id"),
            HeaderName::from_static("mcp-session-id"),
            header::ETAG,
            header::LOCATION,
            header::RETRY_AFTER,
            header::WWW_AUTHENTICATE,
        ])
        .max_age(REMEMBERED)
}
