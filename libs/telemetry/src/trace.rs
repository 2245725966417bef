//! Traces: `tracing`'s spans, exported by OpenTelemetry, and the thread between processes.
//!
//! A trace crosses a process as a W3C `traceparent`. All functions do nothing, or give `None`, when
//! traces are not exported.

use tracing::Span;
use tracing_subscriber::{Layer, Registry};

#[cfg(feature = "otel")]
mod otel;
#[cfg(feature = "otel")]
pub use otel::Error;

/// Makes `span` the child of whoever sent `traceparent`. Before the span is entered for the first
/// time; a `traceparent` that is none is passed over.
pub fn adopt(span: &Span, traceparent: Option<&str>) {
    #[cfg(feature = "otel")]
    otel::adopt(span, traceparent);
    #[cfg(not(feature = "otel"))]
    let _ = (span, traceparent);
}

/// Notes that `span` deals with what `traceparent` began, too: a batch has many causes.
pub fn link(span: &Span, traceparent: Option<&str>) {
    #[cfg(feature = "otel")]
    otel::link(span, traceparent);
    #[cfg(not(feature = "otel"))]
    let _ = (span, traceparent);
}

/// What to send along with whatever `span` causes elsewhere. `None`: nothing is traced here, and
/// what came in is passed on as it came.
pub fn traceparent(span: &Span) -> Option<String> {
    #[cfg(feature = "otel")]
    return otel::traceparent(span);
    #[cfg(not(feature = "otel"))]
    {
        let _ = span;
        None
    }
}

/// W3C Trace Context, version 00: `00-TRACE-SPAN-FLAGS`, in lower-case hex, neither id zero.
pub fn is_traceparent(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let hex = |text: &str, len: usize| {
        let digit = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        text.len() == len && text.bytes().all(digit)
    };
    let named = |text: &str, len: usize| hex(text, len) && text.bytes().any(|b| b != b'0');
    matches!(parts[..], ["00", trace, span, flags]
        if named(trace, 32) && named(span, 16) && hex(flags, 2))
}

/// Both belong to one trace.
pub fn same_trace(one: &str, other: &str) -> bool {
    let trace = |text: &str| text.split('-').nth(1).map(str::to_owned);
    trace(one).is_some() && trace(one) == trace(other)
}

/// Exports what is left, if anything is exported. It blocks the thread for as long as the collector
/// takes to answer, a few seconds at most: for the end of an invocation, and for shutdown.
pub fn flush() {
    #[cfg(feature = "otel")]
    otel::flush();
}

/// Whether and how spans leave the process, for [`init`](crate::init).
#[derive(Debug, Default)]
pub struct Traces {
    #[cfg(feature = "otel")]
    pub(crate) provider: Option<opentelemetry_sdk::trace::SdkTracerProvider>,
}

impl Traces {
    /// Spans go nowhere, at no cost.
    pub fn off() -> Self {
        Self::default()
    }

    /// The layer that makes spans of spans. `None`: nothing is done for them.
    pub(crate) fn layer(self) -> Option<Box<dyn Layer<Registry> + Send + Sync>> {
        #[cfg(feature = "otel")]
        return otel::layer(self);
        #[cfg(not(feature = "otel"))]
        {
            let Self {} = self;
            None
        }
    }
}
