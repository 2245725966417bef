//! `requestState`: which call a retry goes on with, sealed, so that only the client that was asked
//! can answer, and only for a while.

use chrono::DateTime;
use rmcp::model::{ErrorData, RequestStateCodec, SealOptions};
use serde::{Deserialize, Serialize};
use waybill_calls::Stored;
use waybill_events::CallId;
use waybill_identity::Principal;
use waybill_messaging::Clock;

use super::StateKeyTooShort;

/// Seals and opens tickets.
pub(super) struct Tickets {
    codec: RequestStateCodec,
    clock: Clock,
}

/// Readable by the client, and no secret: it has the call's id already.
#[derive(Serialize, Deserialize)]
struct Ticket {
    call: CallId,
    /// The attempt that asked: another round has another ticket.
    round: u32,
    /// Milliseconds since 1970. The codec's own expiry would read the system's clock.
    expires: i64,
}

impl Tickets {
    pub(super) fn new(key: &[u8], clock: Clock) -> Result<Self, StateKeyTooShort> {
        let codec = RequestStateCodec::try_new(key).map_err(StateKeyTooShort)?;
        Ok(Self { codec, clock })
    }

    /// Valid until the call's deadline, for this principal and this tool.
    pub(super) fn seal(&self, principal: &Principal, stored: &Stored) -> Result<String, ErrorData> {
        let ticket = Ticket {
            call: stored.call.id.clone(),
            round: stored.call.attempt,
            expires: stored.call.deadline.timestamp_millis(),
        };
        let holder = holder(principal, &stored.call.tool);
        let options = SealOptions::new().associated_data(holder.as_bytes());
        self.codec
            .seal_json_with(&ticket, &options)
            .map_err(|error| super::errors::internal(&error))
    }

    /// The call and the attempt that asked, or one error for all that may be wrong with a ticket.
    pub(super) fn open(
        &self,
        principal: &Principal,
        tool: &str,
        sealed: &str,
    ) -> Result<(CallId, u32), ErrorData> {
        let holder = holder(principal, tool);
        self.codec
            .open_json_with::<Ticket>(sealed, holder.as_bytes())
            .ok()
            .filter(|ticket| {
                DateTime::from_timestamp_millis(ticket.expires)
                    .is_some_and(|expires| self.clock.now() < expires)
            })
            .map(|ticket| (ticket.call, ticket.round))
            .ok_or_else(invalid)
    }
}

pub(super) fn invalid() -> ErrorData {
    let message = "requestState is not valid for this call, or has expired; call the tool again \
                   without it";
    ErrorData::invalid_params(message, None)
}

/// No part can hold the separator: a key id and a tenant id are of a narrow alphabet.
fn holder(principal: &Principal, tool: &str) -> String {
    format!("{}\n{}\n{tool}", principal.tenant, principal.key_id)
}
