//! The services by name: what one process can be told to run.

use std::fmt;

use serde::Deserialize;

/// A service. On AWS each can have processes of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Service {
    Ingress,
    ToolExecutor,
    AuditSink,
}

impl Service {
    pub(crate) const ALL: [Self; 3] = [Self::Ingress, Self::ToolExecutor, Self::AuditSink];
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ingress => "ingress",
            Self::ToolExecutor => "tool-executor",
            Self::AuditSink => "audit-sink",
        })
    }
}
