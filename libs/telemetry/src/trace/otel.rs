//! The same with OpenTelemetry.

use std::{
    fmt,
    sync::{Mutex, OnceLock},
};

use async_trait::async_trait;
use opentelemetry::{
    Context,
    trace::{
        SpanContext, SpanId, TraceContextExt as _, TraceFlags, TraceId, TraceState,
        TracerProvider as _,
    },
};
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{SpanExporter, WithHttpConfig as _};
use opentelemetry_sdk::{Resource, trace::SdkTracerProvider};
use tokio::runtime::Runtime;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;
use tracing_subscriber::{
    Layer, Registry,
    filter::{LevelFilter, filter_fn},
};

use super::{Traces, is_traceparent};

/// The process's, as the subscriber is that it belongs to.
static EXPORTING: OnceLock<SdkTracerProvider> = OnceLock::new();

/// Spans of our crates, and what is logged in them. Those of libraries say nothing about a call.
const OURS: &str = "waybill";

/// Why traces cannot be exported.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the exporter of traces cannot be made; look at the OTEL_EXPORTER_OTLP_* variables")]
    Exporter(#[from] opentelemetry_otlp::ExporterBuildError),
    #[error("the exporter of traces has no runtime")]
    Runtime(#[from] std::io::Error),
}

impl Traces {
    /// Exports by OTLP over HTTP with `client`, to where the standard `OTEL_EXPORTER_OTLP_*`
    /// variables say; these and `OTEL_TRACES_SAMPLER`, `OTEL_BSP_*`, `OTEL_RESOURCE_ATTRIBUTES` are
    /// read by the SDK. `service` is what `OTEL_SERVICE_NAME` does not say.
    ///
    /// Spans wait in memory, 2,048 at most; what a collector does not take is lost, and nothing waits
    /// for it.
    pub fn export(client: reqwest::Client, service: &'static str) -> Result<Self, Error> {
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(Client::new(client)?)
            .build()?;
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            .with_resource(resource(service))
            .build();
        Ok(Self {
            provider: Some(provider),
        })
    }
}

pub(super) fn layer(traces: Traces) -> Option<Box<dyn Layer<Registry> + Send + Sync>> {
    let provider = traces.provider?;
    let provider = EXPORTING.get_or_init(|| provider);
    let tracer = provider.tracer("waybill");
    let layer = tracing_opentelemetry::layer()
        .with_tracer(tracer)
        .with_location(false)
        .with_threads(false)
        .with_tracked_inactivity(false)
        .with_target(false);
    let ours =
        filter_fn(|meta| meta.target().starts_with(OURS) && *meta.level() <= tracing::Level::INFO);
    Some(
        layer
            .with_filter(ours.with_max_level_hint(LevelFilter::INFO))
            .boxed(),
    )
}

pub(super) fn flush() {
    let Some(provider) = EXPORTING.get() else {
        return;
    };
    if let Err(error) = provider.force_flush() {
        let error = &error as &dyn std::error::Error;
        tracing::warn!(error, "traces could not be exported");
    }
}

pub(super) fn adopt(span: &Span, traceparent: Option<&str>) {
    if let Some(parent) = traceparent.and_then(parse) {
        // Refused when nothing is exported.
        let _refused = span.set_parent(Context::new().with_remote_span_context(parent));
    }
}

pub(super) fn link(span: &Span, traceparent: Option<&str>) {
    if let Some(cause) = traceparent.and_then(parse) {
        span.add_link(cause);
    }
}

pub(super) fn traceparent(span: &Span) -> Option<String> {
    let context = span.context();
    let span = context.span();
    let context = span.span_context();
    let (trace, id) = (context.trace_id(), context.span_id());
    let flags = context.trace_flags() & TraceFlags::SAMPLED;
    let text = || format!("00-{trace}-{id}-{flags:02x}");
    context.is_valid().then(text)
}

fn parse(traceparent: &str) -> Option<SpanContext> {
    let mut parts = is_traceparent(traceparent).then(|| traceparent.split('-'))?;
    let trace = TraceId::from_hex(parts.nth(1)?).ok()?;
    let span = SpanId::from_hex(parts.next()?).ok()?;
    let flags = TraceFlags::new(u8::from_str_radix(parts.next()?, 16).ok()?);
    let state = TraceState::default();
    Some(SpanContext::new(trace, span, flags, true, state))
}

fn resource(service: &'static str) -> Resource {
    let said = Resource::builder().build();
    let name = said.get(&"service.name".into());
    if name.is_some_and(|name| !name.as_str().starts_with("unknown_service")) {
        return said;
    }
    Resource::builder().with_service_name(service).build()
}

/// Sends from the exporter's own thread, where no runtime is.
struct Client {
    client: reqwest::Client,
    runtime: Mutex<Runtime>,
}

impl Client {
    fn new(client: reqwest::Client) -> Result<Self, std::io::Error> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        Ok(Self {
            client,
            runtime: Mutex::new(runtime),
        })
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").finish_non_exhaustive()
    }
}

#[async_trait]
impl HttpClient for Client {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let runtime = self
            .runtime
            .lock()
            .map_err(|_| "an earlier export panicked")?;
        runtime.block_on(async {
            let answer = self.client.execute(request.try_into()?).await?;
            let mut response = Response::builder().status(answer.status());
            if let Some(headers) = response.headers_mut() {
                headers.clone_from(answer.headers());
            }
            Ok(response.body(answer.bytes().await?)?)
        })
    }
}
