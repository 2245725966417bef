//! Letting requests in: a key, its scope, its tenant's rate.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use axum::{
    extract::{ConnectInfo, Request, State},
    http::{HeaderMap, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use waybill_identity::{AuthError, Keys, Principal, Scope};

use crate::{limit::Limiter, metrics::Metrics, problem::Problem};

pub(crate) struct Door {
    pub(crate) keys: Keys,
    pub(crate) rate: Limiter,
    pub(crate) anonymous: Option<Principal>,
    pub(crate) metrics: Metrics,
}

/// Puts the [`Principal`] into the request, or answers 401 or 429.
pub(crate) async fn enter(
    State(door): State<Arc<Door>>,
    mut request: Request,
    next: Next,
) -> Response {
    let peer = request
        .extensions()
        .get()
        .map(|ConnectInfo(address): &ConnectInfo<SocketAddr>| {
            // An IPv4 client of a dual-stack socket is an IPv4 client.
            address.ip().to_canonical()
        });
    match door.admit(request.headers(), peer).await {
        Ok(principal) => {
            request.extensions_mut().insert(principal);
            next.run(request).await
        }
        Err(problem) => problem.into_response(),
    }
}

/// For the operator's routes.
pub(crate) async fn only_admin(request: Request, next: Next) -> Response {
    only(Scope::Admin, request, next).await
}

/// For routes where tools are called.
pub(crate) async fn only_callers(request: Request, next: Next) -> Response {
    only(Scope::ToolsCall, request, next).await
}

/// 403 where the key may not do this; the challenge names the scope that may (RFC 6750).
pub(crate) fn require(principal: &Principal, scope: Scope) -> Result<(), Problem> {
    if principal.may(scope) {
        return Ok(());
    }
    let challenge = match scope {
        Scope::ToolsCall => {
            r#"Bearer realm="waybill", error="insufficient_scope", scope="tools:call""#
        }
        Scope::Admin => r#"Bearer realm="waybill", error="insufficient_scope", scope="admin""#,
    };
    let message = format!("this needs a key with the scope {scope}");
    let problem = Problem::new(StatusCode::FORBIDDEN, "insufficient_scope", message);
    Err(problem.challenge(challenge))
}

async fn only(scope: Scope, request: Request, next: Next) -> Response {
    let principal = request.extensions().get::<Principal>();
    let allowed = principal.map_or_else(|| Err(no_key()), |known| require(known, scope));
    match allowed {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}

impl Door {
    async fn admit(&self, headers: &HeaderMap, peer: Option<IpAddr>) -> Result<Principal, Problem> {
        let principal = match credentials(headers) {
            Credentials::Bearer(token) => match self.keys.authenticate(token).await {
                Ok(principal) => principal,
                Err(AuthError::Unavailable(error)) => return Err(error.into()),
                Err(error) => return Err(self.refuse(peer, invalid_key(error.to_string())).await),
            },
            Credentials::Unclear => {
                let message = "Authorization must be given once, as Bearer wbk_...";
                return Err(self.refuse(peer, invalid_key(message)).await);
            }
            Credentials::None => match &self.anonymous {
                // Where the peer is not known, the composition root answers for the address.
                Some(principal) if peer.is_none_or(|peer| peer.is_loopback()) => principal.clone(),
                _ => return Err(self.refuse(peer, no_key()).await),
            },
        };
        self.rate.take(&principal.tenant).map_err(|wait| {
            let message = "the tenant's rate limit is reached";
            Problem::new(StatusCode::TOO_MANY_REQUESTS, "rate_limited", message)
                .retry_after(wait.as_secs() + u64::from(wait.subsec_nanos() > 0))
        })?;
        Ok(principal)
    }

    async fn refuse(&self, peer: Option<IpAddr>, problem: Problem) -> Problem {
        self.metrics.refused();
        let source = source(peer);
        let refused = self.keys.refused_from(&source, problem.message());
        if let Err(error) = refused.await {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "cannot audit a refusal"
            );
        }
        problem
    }
}

enum Credentials<'a> {
    Bearer(&'a str),
    /// Something else than one bearer token.
    Unclear,
    None,
}

/// Only the header counts: a token in the query string ends in logs.
fn credentials(headers: &HeaderMap) -> Credentials<'_> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let Some(value) = values.next() else {
        return Credentials::None;
    };
    let parts = value.to_str().ok().and_then(|text| text.split_once(' '));
    match (parts, values.next()) {
        (Some((scheme, token)), None) if scheme.eq_ignore_ascii_case("bearer") => {
            Credentials::Bearer(token.trim())
        }
        _ => Credentials::Unclear,
    }
}

/// What refusals are counted by: an IPv6 client has the whole of its /64.
fn source(peer: Option<IpAddr>) -> String {
    match peer {
        Some(IpAddr::V6(address)) => {
            let [a, b, c, d, ..] = address.segments();
            format!("{a:x}:{b:x}:{c:x}:{d:x}::")
        }
        Some(address) => address.to_string(),
        None => String::new(),
    }
}

fn no_key() -> Problem {
    let message = "this needs an API key: Authorization: Bearer wbk_...";
    Problem::new(StatusCode::UNAUTHORIZED, "unauthorized", message)
        .challenge(r#"Bearer realm="waybill""#)
}

fn invalid_key(message: impl Into<String>) -> Problem {
    Problem::new(StatusCode::UNAUTHORIZED, "unauthorized", message)
        .challenge(r#"Bearer realm="waybill", error="invalid_token""#)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_in_a_network_of_version_six_count_as_one() {
        let source = |text: &str| source(Some(text.parse().unwrap()));
        assert_eq!(source("2001:db8:1:2::1"), source("2001:db8:1:2:ffff::9"));
        assert_ne!(source("2001:db8:1:2::1"), source("2001:db8:1:3::1"));
        assert_ne!(source("192.0.2.1"), source("192.0.2.2"));
    }
}
