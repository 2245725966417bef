//! The data of each event type. Released structs only grow by optional fields.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{EventData, EventType};

macro_rules! data {
    ($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident : $ty:ty = $example:expr,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
        #[serde(rename_all = "camelCase")]
        pub struct $name {
            $($(#[$field_doc])* pub $field: $ty,)*
        }
        impl EventData for $name {
            const TYPE: EventType = EventType::$name;
            fn example() -> Self {
                Self { $($field: $example,)* }
            }
        }
    };
}

const DIGEST: &str = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

fn noon() -> DateTime<Utc> {
    DateTime::from_timestamp(1_780_000_000, 0).expect("a valid time")
}

data! {
    /// Subject: the call id. The arguments stay in the ledger; here is their digest.
    ToolCallRequested {
        tool: String = "files_read".into(),
        /// `readOnly`, `idempotent` or `once`.
        effect: String = "readOnly".into(),
        /// Who asked: an API key's id.
        principal: String = "key_2f9k".into(),
        /// SHA-256 of the canonical arguments, in hex.
        arguments_sha256: String = DIGEST.into(),
        deadline: DateTime<Utc> = noon(),
    }
}

data! {
    /// Subject: the call id.
    ToolCallCancelRequested {
        tool: String = "files_read".into(),
        principal: String = "key_2f9k".into(),
    }
}

data! {
    /// Subject: the call id.
    ToolCallProgressed {
        tool: String = "files_search".into(),
        attempt: u32 = 1,
        progress: f64 = 40.0,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        total: Option<f64> = Some(100.0),
    }
}

data! {
    /// Subject: the call id.
    ToolCallInputRequired {
        tool: String = "confirm_delete".into(),
        attempt: u32 = 1,
        /// Names of the open questions.
        keys: Vec<String> = vec!["confirm".into()],
    }
}

data! {
    /// Subject: the call id.
    ToolCallInputProvided {
        tool: String = "confirm_delete".into(),
        principal: String = "key_2f9k".into(),
        keys: Vec<String> = vec!["confirm".into()],
    }
}

data! {
    /// Subject: the call id. A tool that answered with `isError: true` completed.
    ToolCallCompleted {
        tool: String = "files_read".into(),
        attempt: u32 = 1,
        is_error: bool = false,
        /// From acceptance to outcome, in milliseconds.
        duration_ms: u64 = 12,
        result_bytes: u64 = 512,
    }
}

data! {
    /// Subject: the call id.
    ToolCallFailed {
        tool: String = "files_read".into(),
        attempt: u32 = 3,
        /// Stable word for programs, such as `outcome_unknown`.
        code: String = "upstream_unavailable".into(),
        duration_ms: u64 = 30_500,
    }
}

data! {
    /// Subject: the call id.
    ToolCallCancelled {
        tool: String = "files_search".into(),
        attempt: u32 = 1,
        duration_ms: u64 = 900,
    }
}

data! {
    /// Subject: the call id.
    ToolCallExpired {
        tool: String = "files_search".into(),
        attempt: u32 = 1,
        duration_ms: u64 = 300_000,
    }
}

data! {
    /// Subject: the upstream.
    CircuitOpened {
        upstream: String = "everything".into(),
        /// Failures in the window that opened it, of `calls`.
        failures: u32 = 6,
        calls: u32 = 10,
    }
}

data! {
    /// Subject: the upstream.
    CircuitClosed {
        upstream: String = "everything".into(),
    }
}

data! {
    /// Subject: the schedule. A tick carries no state: a reconciler looks at what is.
    ScheduleTicked {
        schedule: String = "every-second".into(),
    }
}

data! {
    /// Subject: what was acted on.
    AuditRecorded {
        /// Verb and noun, such as `key.created` or `auth.refused`.
        action: String = "key.created".into(),
        /// Who: an API key's id, `operator` (the command line) or `system`.
        actor: String = "operator".into(),
        /// `allowed`, `denied` or `failed`.
        outcome: String = "allowed".into(),
        /// What it was about, redacted.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        detail: Option<String> = Some("scopes: tools:call".into()),
    }
}
