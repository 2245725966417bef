#![doc = include_str!("../README.md")]

pub mod metrics;

use std::io::IsTerminal as _;

use tracing_subscriber::{EnvFilter, fmt, layer::SubscriberExt, util::SubscriberInitExt};

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

/// Logs what `filter` lets through (a level, or a `tracing` filter) to standard error.
pub fn init(filter: &str, format: Format) -> Result<(), Error> {
    let parsed = EnvFilter::try_new(filter).map_err(|source| Error::Filter {
        filter: filter.to_owned(),
        source,
    })?;
    let registry = tracing_subscriber::registry().with(parsed);
    let lines = fmt::layer().with_writer(std::io::stderr);
    match format {
        // Colours are for a terminal: not for a file, nor for journald.
        Format::Text if !std::io::stderr().is_terminal() => {
            registry.with(lines.with_ansi(false).compact()).try_init()?;
        }
        Format::Text => registry.with(lines.compact()).try_init()?,
        Format::Json => registry.with(lines.json().flatten_event(true)).try_init()?,
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_filter_is_named() {
        let error = init("waybill=loud", Format::Text).unwrap_err();
        assert!(error.to_string().contains("waybill=loud"), "{error}");
    }
}
