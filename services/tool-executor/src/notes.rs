//! What the executor must remember of a call and nobody else needs to know.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use waybill_calls::Call;
use waybill_events::EventId;
use waybill_messaging::{Expect, Failure, Key, Ledger, Write};

/// Kept beside the call, at `attempts/TENANT` under its id, for as long as the call. Most calls never
/// have any.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Notes {
    /// In whose name a `once` tool acts or acted. Only a delivery of this event may reconcile:
    /// others would end a call that is being worked on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) acts_for: Option<EventId>,
    /// Attempts that were probes of an upstream that was known to be away: they do not count.
    #[serde(default)]
    pub(crate) forgiven: u32,
}

impl Notes {
    pub(crate) async fn read(ledger: &dyn Ledger, call: &Call) -> Result<Self, Failure> {
        match ledger.get(&key(call)).await? {
            Some(record) => serde_json::from_slice(&record.body).map_err(Failure::reject),
            None => Ok(Self::default()),
        }
    }

    /// Goes into a commit that is fenced by the call's own version.
    pub(crate) fn write(&self, call: &Call) -> Write {
        Write::Put {
            key: key(call),
            expect: Expect::Any,
            body: Bytes::from(serde_json::to_vec(self).expect("notes are plain data")),
            index: None,
            expires_at: Some(call.expires_at),
        }
    }
}

fn key(call: &Call) -> Key {
    Key::new(format!("attempts/{}", call.tenant), call.id.as_str())
}
