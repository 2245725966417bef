//! Letting requests in: a key, its scope, its tenant's rate.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
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

/// Puts the [`Principal`] into the request, or answers 401, 403 or 429.
pub(crate) async fn enter(
    State(door): State<Arc<Door>>,
    mut request: Request,
    next: Next,
) -> Response {
    match door.admit(request.headers()).await {
        Ok(principal) => {
            request.extensions_mut().insert(principal);
            next.run(request).await
        }
        Err(response) => response,
    }
}

/// For the operator's routes.
pub(crate) async fn only_admin(request: Request, next: Next) -> Response {
    let principal = request.extensions().get::<Principal>();
    if principal.is_some_and(|principal| principal.may(Scope::Admin)) {
        return next.run(request).await;
    }
    let message = "this needs a key with the scope admin";
    let mut response =
        Problem::new(StatusCode::FORBIDDEN, "insufficient_scope", message).into_response();
    let challenge = r#"Bearer error="insufficient_scope", scope="admin""#;
    let challenge = HeaderValue::from_static(challenge);
    response
        .headers_mut()
        .insert(header::WWW_AUTHENTICATE, challenge);
    response
}

impl Door {
    async fn admit(&self, headers: &HeaderMap) -> Result<Principal, Response> {
        let principal = match bearer(headers) {
            Some(token) => match self.keys.authenticate(token).await {
                Ok(principal) => principal,
                Err(AuthError::Unavailable(error)) => {
                    return Err(Problem::internal(&error).into_response());
                }
                Err(error) => return Err(self.refuse(&error.to_string()).await),
            },
            None => match &self.anonymous {
                Some(principal) => principal.clone(),
                None => {
                    let message = "this needs an API key: Authorization: Bearer wbk_...";
                    return Err(self.refuse(message).await);
                }
            },
        };
        if !principal.may(Scope::ToolsCall) && !principal.may(Scope::Admin) {
            let message = "the key may not call tools";
            let refusal = Problem::new(StatusCode::FORBIDDEN, "insufficient_scope", message);
            return Err(refusal.into_response());
        }
        match self.rate.take(&principal.tenant) {
            Ok(()) => Ok(principal),
            Err(wait) => {
                let message = "the tenant's rate limit is reached";
                let refusal = Problem::new(StatusCode::TOO_MANY_REQUESTS, "rate_limited", message);
                Err(refusal.retry_after(wait.as_secs() + 1).into_response())
            }
        }
    }

    async fn refuse(&self, reason: &str) -> Response {
        self.metrics.refused();
        if let Err(error) = self.keys.refused(reason).await {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "cannot audit a refusal"
            );
        }
        let problem = Problem::new(StatusCode::UNAUTHORIZED, "unauthorized", reason);
        let mut response = problem.into_response();
        let challenge = HeaderValue::from_static(r#"Bearer realm="waybill""#);
        response
            .headers_mut()
            .insert(header::WWW_AUTHENTICATE, challenge);
        response
    }
}

/// Only the header counts: a token in the query string ends in logs.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}
