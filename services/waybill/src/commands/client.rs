//! Asking a gateway: the REST routes, over HTTP or in this process.
//!
//! Timeouts are below. Nothing is retried here but a broken stream (`watch`): reading again is for
//! the operator to decide, and a call is safe to place again under its `--idempotency-key`.

use std::{sync::Arc, time::Duration};

use anyhow::{Context as _, Result, anyhow};
use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::de::DeserializeOwned;
use serde_json::Value;
use sse_stream::SseStream;
use tower::ServiceExt as _;

use super::exit::{Exit, Failure};
use crate::compose::Local;

const CONNECT: Duration = Duration::from_secs(5);
/// Longer than the gateway's longest wait, 28 s.
const ANSWER: Duration = Duration::from_mins(1);
/// Walking the whole audit trail, checking every page of the database.
const LONG_WORK: Duration = Duration::from_mins(30);
/// The largest document that is read: results are bounded far below by the gateway.
const MAX_DOCUMENT: usize = 256 * 1024 * 1024;
/// Characters shown of an answer that is not ours.
const SHOWN: usize = 200;

/// A gateway and the key to it.
pub(super) struct Client {
    transport: Transport,
    authorization: HeaderValue,
}

enum Transport {
    Http {
        client: reqwest::Client,
        base: String,
    },
    Local(Box<Local>),
}

impl Client {
    /// `url`: the gateway's root, or its MCP endpoint.
    pub(super) fn http(url: &str, key: &str) -> Result<Self> {
        let trimmed = url.trim_end_matches('/');
        let base = trimmed.strip_suffix("/mcp").unwrap_or(trimmed).to_owned();
        let secure = base.starts_with("https://");
        if !secure && !base.starts_with("http://") {
            return Err(Failure::usage(format!("{url} is not an http:// or https:// URL")).into());
        }
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(tls(secure)?)
            // The key goes to the host that was named, and no other.
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .connect_timeout(CONNECT)
            .build()
            .context("the HTTP client cannot be set up")?;
        Self::new(Transport::Http { client, base }, key)
    }

    /// The services in this process, for as long as the command lives.
    pub(super) fn local(local: Local, key: &str) -> Result<Self> {
        Self::new(Transport::Local(Box::new(local)), key)
    }

    fn new(transport: Transport, key: &str) -> Result<Self> {
        let mut authorization = HeaderValue::from_str(&format!("Bearer {key}"))
            .map_err(|_| anyhow!("the key file holds no API key"))?;
        authorization.set_sensitive(true);
        Ok(Self {
            transport,
            authorization,
        })
    }

    /// Nothing goes on after this command.
    pub(super) fn is_local(&self) -> bool {
        matches!(self.transport, Transport::Local(_))
    }

    pub(super) async fn close(self) {
        if let Transport::Local(local) = self.transport {
            local.close().await;
        }
    }

    pub(super) async fn get(&self, path: &str) -> Result<Value> {
        self.read(path).await
    }

    /// Into a type that keeps what [`Value`] does not: the bytes as they were written.
    pub(super) async fn read<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        self.ask(Method::GET, path, HeaderMap::new(), Bytes::new(), ANSWER)
            .await
    }

    /// For what reads everything that is stored.
    pub(super) async fn get_long(&self, path: &str) -> Result<Value> {
        self.ask(Method::GET, path, HeaderMap::new(), Bytes::new(), LONG_WORK)
            .await
    }

    pub(super) async fn delete(&self, path: &str) -> Result<Value> {
        self.ask(Method::DELETE, path, HeaderMap::new(), Bytes::new(), ANSWER)
            .await
    }

    pub(super) async fn post(&self, path: &str, headers: HeaderMap, body: &Value) -> Result<Value> {
        self.send(Method::POST, path, headers, body).await
    }

    pub(super) async fn put(&self, path: &str, body: &Value) -> Result<Value> {
        self.send(Method::PUT, path, HeaderMap::new(), body).await
    }

    /// A stream of server-sent events, from now on.
    pub(super) async fn events(&self, path: &str) -> Result<SseStream<Body>> {
        let mut headers = HeaderMap::new();
        headers.insert(
            header::ACCEPT,
            HeaderValue::from_static("text/event-stream"),
        );
        let request = self.request(Method::GET, path, headers, Bytes::new())?;
        let response = tokio::time::timeout(ANSWER, self.exchange(request));
        let response = response.await.context("the gateway does not answer")??;
        if response.status().is_success() {
            return Ok(SseStream::new(response.into_body()));
        }
        Err(document::<Value>(response)
            .await
            .err()
            .context("the gateway sent no stream")?)
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        mut headers: HeaderMap,
        body: &Value,
    ) -> Result<Value> {
        let json = HeaderValue::from_static("application/json");
        headers.insert(header::CONTENT_TYPE, json);
        self.ask(method, path, headers, body.to_string().into(), ANSWER)
            .await
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        headers: HeaderMap,
        body: Bytes,
        patience: Duration,
    ) -> Result<T> {
        let request = self.request(method, path, headers, body)?;
        let answer = async { document(self.exchange(request).await?).await };
        let answer = tokio::time::timeout(patience, answer).await;
        answer.with_context(|| format!("the gateway did not answer in {} s", patience.as_secs()))?
    }

    fn request(
        &self,
        method: Method,
        path: &str,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<Request<Bytes>> {
        let base = match &self.transport {
            Transport::Http { base, .. } => base,
            Transport::Local(_) => "http://localhost",
        };
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{base}{path}"))
            .body(body)
            .with_context(|| format!("{base} is not a URL"))?;
        *request.headers_mut() = headers;
        request
            .headers_mut()
            .insert(header::AUTHORIZATION, self.authorization.clone());
        Ok(request)
    }

    async fn exchange(&self, request: Request<Bytes>) -> Result<Response<Body>> {
        match &self.transport {
            Transport::Http { client, base } => {
                let request = reqwest::Request::try_from(request).context("not a URL")?;
                let answer = client.execute(request).await;
                let answer = answer.map_err(reqwest::Error::without_url);
                let answer = answer.with_context(|| format!("cannot reach {base}"))?;
                Ok(http::Response::<reqwest::Body>::from(answer).map(Body::new))
            }
            Transport::Local(local) => {
                let request = request.map(Body::from);
                Ok(local
                    .running
                    .router
                    .clone()
                    .oneshot(request)
                    .await
                    .unwrap_or_else(|never| match never {}))
            }
        }
    }
}

/// One segment of a path, or one value of a query.
pub(super) fn escaped(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

/// `path?name=value&...` of those that are there.
pub(super) fn with_query(path: &str, pairs: &[(&str, Option<String>)]) -> String {
    let present = pairs
        .iter()
        .filter_map(|(name, value)| Some((name, value.as_ref()?)));
    let query: Vec<String> = present
        .map(|(name, value)| format!("{name}={}", escaped(value)))
        .collect();
    if query.is_empty() {
        path.to_owned()
    } else {
        format!("{path}?{}", query.join("&"))
    }
}

/// A header whose value the operator wrote.
pub(super) fn put(headers: &mut HeaderMap, name: &'static str, value: &str) -> Result<()> {
    let value = HeaderValue::from_str(value)
        .map_err(|_| Failure::usage(format!("{value:?} cannot be sent as {name}")))?;
    headers.insert(HeaderName::from_static(name), value);
    Ok(())
}

async fn document<T: DeserializeOwned>(response: Response<Body>) -> Result<T> {
    let status = response.status();
    let body = axum::body::to_bytes(response.into_body(), MAX_DOCUMENT).await;
    let body = body.context("the gateway's answer broke off")?;
    if status.is_success() {
        return serde_json::from_slice(&body)
            .context("the answer is not a gateway's; is the URL right, and the version?");
    }
    let message = serde_json::from_slice::<Value>(&body)
        .ok()
        .and_then(|problem| Some(problem["error"]["message"].as_str()?.to_owned()));
    let message = message.unwrap_or_else(|| {
        let text: String = String::from_utf8_lossy(&body).chars().take(SHOWN).collect();
        format!("the gateway answered {status}: {}", text.trim())
    });
    Err(Failure::new(exit(status), message).into())
}

fn exit(status: StatusCode) -> Exit {
    match status {
        StatusCode::NOT_FOUND => Exit::NotFound,
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Exit::Unauthorised,
        StatusCode::CONFLICT => Exit::Conflict,
        StatusCode::BAD_REQUEST
        | StatusCode::PAYLOAD_TOO_LARGE
        | StatusCode::UNPROCESSABLE_ENTITY => Exit::Usage,
        _ => Exit::Failed,
    }
}

/// The platform's certificates for https. A plain endpoint trusts none, so that a machine without
/// certificates can still reach it.
pub(crate) fn tls(secure: bool) -> Result<rustls::ClientConfig> {
    use rustls_platform_verifier::BuilderVerifierExt as _;

    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .context("TLS cannot be set up")?;
    let builder = if secure {
        builder
            .with_platform_verifier()
            .context("this machine's certificates cannot be used")?
    } else {
        builder.with_root_certificates(rustls::RootCertStore::empty())
    };
    Ok(builder.with_no_client_auth())
}

#[cfg(test)]
mod tests {
    use axum::{Json, Router, http::Uri, routing::get};
    use serde_json::json;

    use super::{super::served::served, *};

    #[tokio::test]
    async fn the_key_and_the_path_arrive() {
        let app = Router::new().route(
            "/mcp/status/{id}",
            get(async |headers: HeaderMap, uri: Uri| {
                Json(json!({ "key": headers["authorization"].to_str().unwrap(), "path": uri.path() }))
            }),
        );
        let gateway = served(app).await;
        let client = Client::http(&format!("{}/mcp/", gateway.url), "wbk_1").unwrap();
        let path = format!("/mcp/status/{}", escaped("a/../b ?"));
        let answer = client.get(&path).await.unwrap();
        assert_eq!(answer["key"], "Bearer wbk_1");
        assert_eq!(answer["path"], "/mcp/status/a%2F%2E%2E%2Fb%20%3F");
    }

    #[tokio::test]
    async fn refusals_have_an_exit_code_and_the_gateways_words() {
        for (status, wanted) in [
            (401, Exit::Unauthorised),
            (404, Exit::NotFound),
            (409, Exit::Conflict),
            (422, Exit::Usage),
            (503, Exit::Failed),
        ] {
            let status = StatusCode::from_u16(status).unwrap();
            let body = json!({ "error": { "code": "x", "message": "in words" } });
            let app = Router::new().route("/tools", get(async move || (status, Json(body))));
            let gateway = served(app).await;
            let error = gateway.client().get("/tools").await.unwrap_err();
            let failure = error.downcast_ref::<Failure>().unwrap();
            assert_eq!(
                (failure.exit, failure.to_string().as_str()),
                (wanted, "in words")
            );
        }
    }

    #[tokio::test]
    async fn something_else_at_the_url_is_told() {
        let app = Router::new().route("/tools", get(async || "<html>"));
        let gateway = served(app).await;
        let error = gateway.client().get("/tools").await.unwrap_err();
        assert!(error.to_string().contains("is the URL right"), "{error}");
        assert!(Client::http("gateway:8080", "k").is_err());
    }

    #[test]
    fn queries_leave_out_what_is_not_there() {
        let pairs = [("tool", Some("a&b".to_owned())), ("since", None)];
        assert_eq!(with_query("/calls", &pairs), "/calls?tool=a%26b");
        assert_eq!(with_query("/calls", &[("since", None)]), "/calls");
    }
}
