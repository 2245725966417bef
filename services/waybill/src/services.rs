//! The services by name: what one process can be told to run.

use std::{collections::BTreeSet, fmt};

use serde::Deserialize;

use crate::config::BackendKind;

/// A service. On AWS each can have processes of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Service {
    Ingress,
    ToolExecutor,
    AuditSink,
    /// Over AWS only: events onto the installation's bus.
    EventRelay,
}

impl Service {
    /// Those that an installation over `backend` consists of.
    pub(crate) fn of(backend: BackendKind) -> BTreeSet<Self> {
        let everywhere = [Self::Ingress, Self::ToolExecutor, Self::AuditSink];
        let own = match backend {
            BackendKind::Embedded => None,
            BackendKind::Aws => Some(Self::EventRelay),
        };
        everywhere.into_iter().chain(own).collect()
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ingress => "ingress",
            Self::ToolExecutor => "tool-executor",
            Self::AuditSink => "audit-sink",
            Self::EventRelay => "event-relay",
        })
    }
}
