//! The HTTP client of an upstream, and what rmcp's own leaves out.

use std::{collections::HashMap, sync::Arc, time::Duration};

use futures::stream::BoxStream;
use http::{HeaderName, HeaderValue};
use rmcp::{
    model::{ClientJsonRpcMessage, RequestId, ServerJsonRpcMessage},
    transport::{
        StreamableHttpClientTransport,
        common::client_side_sse::SseRetryPolicy,
        streamable_http_client::{
            SseError, StreamableHttpClient, StreamableHttpClientTransportConfig,
            StreamableHttpError, StreamableHttpPostResponse,
        },
    },
};
use rustls::{ClientConfig, RootCertStore, crypto::ring};
use rustls_platform_verifier::BuilderVerifierExt;
use sse_stream::Sse;

use crate::config::HttpConfig;

/// To reach the server; the answer may take as long as the call's deadline allows.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// A dead peer behind a silent network is noticed by this.
const KEEPALIVE: Duration = Duration::from_secs(30);
/// Shorter than Node's five seconds: a request on a connection that the server is just closing ends
/// as unknown, though nothing was done.
const POOL_IDLE: Duration = Duration::from_secs(4);
/// The executor bounds the calls; this only must not be the narrower limit (rmcp's default is 16).
const MAX_REQUESTS: usize = 1024;
/// Pause before a broken stream is resumed; doubles.
const FIRST_RESUME: Duration = Duration::from_millis(500);

pub(crate) type HttpError = StreamableHttpError<reqwest::Error>;

/// Why no client can be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    #[error("TLS cannot be set up")]
    Tls(#[from] rustls::Error),
    #[error("the HTTP client cannot be set up")]
    Http(#[from] reqwest::Error),
}

/// A transport to the endpoint. Redirects are not followed and no proxy is read from the
/// environment: the operator named the host to talk to.
pub(crate) fn transport(
    config: &HttpConfig,
    resumes: usize,
) -> Result<StreamableHttpClientTransport<HttpClient>, ClientError> {
    let client = client(config.url.starts_with("https:"))?;
    let mut settings = StreamableHttpClientTransportConfig::with_uri(config.url.as_str())
        .custom_headers(config.headers.iter().cloned().collect())
        .max_concurrent_requests(MAX_REQUESTS);
    settings.retry_config = Arc::new(Resume { times: resumes });
    Ok(StreamableHttpClientTransport::with_client(
        HttpClient(client),
        settings,
    ))
}

/// A client whose every limit is set here.
pub(crate) fn client(secure: bool) -> Result<reqwest::Client, ClientError> {
    Ok(reqwest::Client::builder()
        .tls_backend_preconfigured(tls(secure)?)
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .connect_timeout(CONNECT_TIMEOUT)
        .tcp_keepalive(KEEPALIVE)
        .pool_idle_timeout(POOL_IDLE)
        .build()?)
}

/// When a stream that broke off is asked for again. rmcp's own policy never ends, and its pauses
/// double without a limit: a call on a server that is gone would hang to its deadline.
#[derive(Debug)]
struct Resume {
    times: usize,
}

impl SseRetryPolicy for Resume {
    fn retry(&self, tried: usize) -> Option<Duration> {
        let doublings = u32::try_from(tried).ok().filter(|_| tried < self.times)?;
        Some(FIRST_RESUME.saturating_mul(2u32.saturating_pow(doublings)))
    }
}

/// The platform's certificates for https. A plain endpoint trusts none, so that a machine without
/// certificates can still serve it.
fn tls(secure: bool) -> Result<ClientConfig, rustls::Error> {
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?;
    let builder = if secure {
        builder.with_platform_verifier()?
    } else {
        builder.with_root_certificates(RootCertStore::empty())
    };
    Ok(builder.with_no_client_auth())
}

/// `reqwest` with a wider idea of a lost session. rmcp knows the specification's 404; servers also
/// answer 400, or an error with an id that is not the request's (`null`, `"server-error"`), which
/// rmcp drops so that the call would hang.
#[derive(Clone)]
pub(crate) struct HttpClient(reqwest::Client);

impl StreamableHttpClient for HttpClient {
    type Error = reqwest::Error;

    async fn post_message(
        &self,
        uri: Arc<str>,
        message: ClientJsonRpcMessage,
        session: Option<Arc<str>>,
        auth: Option<String>,
        headers: HashMap<HeaderName, HeaderValue>,
    ) -> Result<StreamableHttpPostResponse, HttpError> {
        let (id, has_session) = (request_id(&message), session.is_some());
        let posted = self
            .0
            .post_message(uri, message, session, auth, headers)
            .await;
        understood(id, has_session, posted)
    }

    async fn post_message_with_max_sse_event_size(
        &self,
        uri: Arc<str>,
        message: ClientJsonRpcMessage,
        session: Option<Arc<str>>,
        auth: Option<String>,
        headers: HashMap<HeaderName, HeaderValue>,
        max: usize,
    ) -> Result<StreamableHttpPostResponse, HttpError> {
        let (id, has_session) = (request_id(&message), session.is_some());
        let posted = self
            .0
            .post_message_with_max_sse_event_size(uri, message, session, auth, headers, max)
            .await;
        understood(id, has_session, posted)
    }

    async fn delete_session(
        &self,
        uri: Arc<str>,
        session: Arc<str>,
        auth: Option<String>,
        headers: HashMap<HeaderName, HeaderValue>,
    ) -> Result<(), HttpError> {
        self.0.delete_session(uri, session, auth, headers).await
    }

    async fn get_stream(
        &self,
        uri: Arc<str>,
        session: Option<Arc<str>>,
        last_event: Option<String>,
        auth: Option<String>,
        headers: HashMap<HeaderName, HeaderValue>,
    ) -> Result<BoxStream<'static, Result<Sse, SseError>>, HttpError> {
        self.0
            .get_stream(uri, session, last_event, auth, headers)
            .await
    }

    async fn get_stream_with_max_sse_event_size(
        &self,
        uri: Arc<str>,
        session: Option<Arc<str>>,
        last_event: Option<String>,
        auth: Option<String>,
        headers: HashMap<HeaderName, HeaderValue>,
        max: usize,
    ) -> Result<BoxStream<'static, Result<Sse, SseError>>, HttpError> {
        self.0
            .get_stream_with_max_sse_event_size(uri, session, last_event, auth, headers, max)
            .await
    }
}

fn request_id(message: &ClientJsonRpcMessage) -> Option<RequestId> {
    match message {
        ClientJsonRpcMessage::Request(request) => Some(request.id.clone()),
        _ => None,
    }
}

/// Only for requests: both forms of rejection come before the server looked at the request, so that
/// sending it again on a new session is safe.
fn understood(
    request: Option<RequestId>,
    has_session: bool,
    posted: Result<StreamableHttpPostResponse, HttpError>,
) -> Result<StreamableHttpPostResponse, HttpError> {
    let Some(id) = request else { return posted };
    match posted {
        Ok(StreamableHttpPostResponse::Json(ServerJsonRpcMessage::Error(error), _))
            // As text: some servers answer the number 7 with the string "7".
            if error.id.as_ref().is_none_or(|answered| answered.to_string() != id.to_string()) =>
        {
            if has_session {
                return Err(HttpError::SessionExpired);
            }
            let text = format!("an error without the request's id: {}", error.error.message);
            Err(HttpError::UnexpectedServerResponse(text.into()))
        }
        Err(HttpError::UnexpectedServerResponse(text))
            if has_session && text.starts_with("HTTP 400") =>
        {
            Err(HttpError::SessionExpired)
        }
        posted => posted,
    }
}
