//! Who asks, and what they may do.

use std::{collections::BTreeSet, fmt, str::FromStr};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use waybill_events::TenantId;

/// Something that a key may do.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub enum Scope {
    /// Call tools, and read and cancel the tenant's calls.
    #[serde(rename = "tools:call")]
    ToolsCall,
    /// Everything else: keys, queues, dead letters, the audit trail; how any tenant's call stands,
    /// and its end.
    #[serde(rename = "admin")]
    Admin,
}

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("there is no scope {0:?}; there are tools:call and admin")]
pub struct UnknownScope(pub String);

/// Who asks: an API key and what it may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    pub key_id: String,
    pub tenant: TenantId,
    pub scopes: BTreeSet<Scope>,
}

impl Principal {
    pub fn may(&self, scope: Scope) -> bool {
        self.scopes.contains(&scope)
    }
}

impl Scope {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ToolsCall => "tools:call",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Scope {
    type Err = UnknownScope;

    fn from_str(text: &str) -> Result<Self, UnknownScope> {
        [Self::ToolsCall, Self::Admin]
            .into_iter()
            .find(|scope| scope.as_str() == text)
            .ok_or_else(|| UnknownScope(text.to_owned()))
    }
}
