//! What a policy answers.

use std::{fmt, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize, Serializer};

/// In the order of strictness.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// It runs.
    Allow,
    /// It runs once somebody has approved exactly this call.
    Ask,
    /// It does not run.
    Deny,
}

impl Verdict {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Ask => "ask",
            Self::Deny => "deny",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How a call is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Ask {
    /// Whoever made the call may not approve it.
    pub second_person: bool,
    /// How long the question stands; unanswered by then, it is denied. In JSON: seconds.
    #[serde(rename = "expiresS", serialize_with = "seconds")]
    pub expires: Duration,
}

impl Ask {
    /// What satisfies both.
    pub(crate) fn and(self, other: Self) -> Self {
        Self {
            second_person: self.second_person || other.second_person,
            expires: self.expires.min(other.expires),
        }
    }
}

impl Default for Ask {
    /// Anybody who may approve, within 15 minutes.
    fn default() -> Self {
        Self {
            second_person: false,
            expires: Duration::from_mins(15),
        }
    }
}

fn seconds<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(duration.as_secs())
}

/// The answer for a whole call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Decision {
    pub verdict: Verdict,
    /// The rule that decided; `None`: the default of the effect class, or a limit.
    pub rule: Option<String>,
    /// For whoever made the call, and for whoever is asked.
    pub reason: String,
    /// The command and the path that it was decided for, when the call has any.
    pub part: Option<String>,
    /// Exactly when `verdict` is [`Verdict::Ask`].
    pub ask: Option<Ask>,
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.rule {
            Some(rule) => write!(f, "{} by rule {rule}: {}", self.verdict, self.reason)?,
            None => write!(f, "{}: {}", self.verdict, self.reason)?,
        }
        match &self.part {
            Some(part) => write!(f, " ({part})"),
            None => Ok(()),
        }
    }
}
