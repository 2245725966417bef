#![doc = include_str!("../README.md")]

pub mod metrics;
pub mod trace;
pub mod xray;

use std::io::IsTerminal as _;

use tracing_subscriber::{EnvFilter, Layer, fmt, layer::SubscriberExt, util::SubscriberInitExt};

use trace::Traces;

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Text,
    Json,
}

/// Why logging could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the log filter {filter:?} is not valid; try info, or waybill=debug")]
    Filter {
        filter: String,
        source: tracing_subscriber::filter::ParseError,
    },
    #[error("logging was set up before")]
    Twice(#[from] tracing_subscriber::util::TryInitError),
}

/// Logs what `filter` lets through (a level, or a `tracing` filter) to standard error, and exports
/// `traces`, whatever is logged.
pub fn init(filter: &str, format: Format, traces: Traces) -> Result<(), Error> {
    let parsed = EnvFilter::try_new(filter).map_err(|source| Error::Filter {
        filter: filter.to_owned(),
        source,
    })?;
    tracing_subscriber::registry()
        .with(traces.layer())
        .with(lines(format).with_filter(parsed))
        .try_init()?;
    Ok(())
}

fn lines<S>(format: Format) -> Box<dyn Layer<S> + Send + Sync>
where
    S: tracing::Subscriber + for<'a> tracing_subscriber::registry::LookupSpan<'a>,
{
    let lines = fmt::layer().with_writer(std::io::stderr);
    match format {
        // Colours are for a terminal: not for a file, nor for journald.
        Format::Text => lines
            .with_ansi(std::io::stderr().is_terminal())
            .compact()
            .boxed(),
        Format::Json => lines.json().flatten_event(true).boxed(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_filter_is_named() {
        let error = init("waybill=loud", Format::Text, Traces::off()).unwrap_err();
        assert!(error.to_string().contains("waybill=loud"), "{error}");
    }
}
