//! `Host` and `Origin`: a page in a browser must not reach a gateway on this machine by tricks of
//! its name server.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, Uri, header, uri::Authority},
    middleware::Next,
    response::{IntoResponse, Response},
};

use crate::problem::Problem;

/// Load balancers ask these by address. Nothing in them is worth a trick.
const PROBES: [&str; 2] = ["/healthz", "/readyz"];

/// The names that are answered. Patterns as in `McpSettings`.
pub struct Guard {
    hosts: Vec<String>,
    origins: Vec<String>,
}

impl Guard {
    pub fn new(hosts: &[String], origins: &[String]) -> Self {
        let lower = |list: &[String]| list.iter().map(|entry| entry.to_lowercase()).collect();
        Self {
            hosts: lower(hosts),
            origins: lower(origins),
        }
    }

    fn refusal(&self, uri: &Uri, headers: &HeaderMap) -> Option<&'static str> {
        let named = headers
            .get(header::HOST)
            .map(|host| host.to_str().unwrap_or_default());
        let host = named
            .or_else(|| uri.authority().map(Authority::as_str))
            .unwrap_or_default();
        let probe = PROBES.contains(&uri.path());
        if !probe && !self.hosts.is_empty() && !self.answers(&host.to_lowercase()) {
            return Some("this gateway does not answer to that Host; see http.allowed-hosts");
        }
        let allowed = self.allows(headers.get(header::ORIGIN)?);
        (!allowed).then_some("this gateway does not answer that Origin; see http.allowed-origins")
    }

    pub(crate) fn allows(&self, origin: &HeaderValue) -> bool {
        let origin = origin.to_str().unwrap_or_default().to_lowercase();
        self.origins
            .iter()
            .any(|pattern| match pattern.strip_suffix(":*") {
                Some(scheme_and_host) => origin.strip_prefix(scheme_and_host).is_some_and(|rest| {
                    rest.is_empty() || rest.strip_prefix(':').is_some_and(is_port)
                }),
                None => *pattern == origin,
            })
    }

    fn answers(&self, host: &str) -> bool {
        let without_port = match host.rsplit_once(':') {
            Some((name, port)) if is_port(port) => name,
            _ => host,
        };
        self.hosts
            .iter()
            .any(|allowed| allowed == host || allowed == without_port)
    }
}

pub(crate) async fn check(
    State(guard): State<Arc<Guard>>,
    request: Request,
    next: Next,
) -> Response {
    match guard.refusal(request.uri(), request.headers()) {
        None => next.run(request).await,
        Some(message) => Problem::new(StatusCode::FORBIDDEN, "forbidden", message).into_response(),
    }
}

fn is_port(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_named_hosts_and_origins_pass() {
        let strings = |list: &[&str]| list.iter().map(ToString::to_string).collect::<Vec<_>>();
        let guard = Guard::new(
            &strings(&["localhost", "[::1]"]),
            &strings(&["http://localhost:*"]),
        );
        let refused = |host: &str, origin: Option<&str>| {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, host.parse().unwrap());
            if let Some(origin) = origin {
                headers.insert(header::ORIGIN, origin.parse().unwrap());
            }
            guard.refusal(&Uri::from_static("/mcp"), &headers).is_some()
        };
        assert!(!refused("localhost:8080", None));
        assert!(!refused("[::1]:8080", Some("http://localhost:3000")));
        assert!(refused("evil.example", None));
        assert!(refused("", None));
        assert!(refused("localhost", Some("http://localhost.evil.example")));
        assert!(refused("localhost", Some("https://localhost:3000")));
        assert!(refused("localhost", Some("null")));
    }
}
