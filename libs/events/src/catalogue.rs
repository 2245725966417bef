//! The list of event types. Adding one is a line here and a struct in `data`.

use schemars::{JsonSchema, Schema};
use serde::{Serialize, de::DeserializeOwned};

use crate::data;

/// The data of one event type.
pub trait EventData: Serialize + DeserializeOwned + JsonSchema {
    const TYPE: EventType;

    /// A realistic instance: published beside the schema and checked against it.
    fn example() -> Self;
}

/// A `type` attribute that is not in the catalogue.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("unknown event type {0:?}")]
pub struct UnknownEventType(pub String);

macro_rules! catalogue {
    ($($variant:ident = $name:literal, $summary:literal;)*) => {
        /// Every event type of the bus.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum EventType {
            $(#[doc = $summary] $variant,)*
        }

        impl EventType {
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The CloudEvents `type` attribute.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => concat!("dev.waybill.", $name),)* }
            }

            /// One sentence: what has happened.
            pub const fn summary(self) -> &'static str {
                match self { $(Self::$variant => $summary,)* }
            }

            pub fn parse(text: &str) -> Result<Self, UnknownEventType> {
                match text {
                    $(concat!("dev.waybill.", $name) => Ok(Self::$variant),)*
                    other => Err(UnknownEventType(other.to_owned())),
                }
            }

            /// JSON Schema of the type's `data`.
            pub fn data_schema(self) -> Schema {
                match self { $(Self::$variant => schemars::schema_for!(data::$variant),)* }
            }

            /// The example of the type's `data`.
            pub fn data_example(self) -> serde_json::Value {
                match self {
                    $(Self::$variant => serde_json::to_value(<data::$variant as EventData>::example())
                        .expect("event data are plain structs"),)*
                }
            }
        }

        $(const _: () = assert!(matches!(<data::$variant as EventData>::TYPE, EventType::$variant));)*
    };
}

catalogue! {
    ToolCallRequested = "tool-call.requested.v1", "A call was accepted and committed.";
    ToolCallCancelRequested = "tool-call.cancel-requested.v1", "Somebody asked for a call to be cancelled.";
    ToolCallProgressed = "tool-call.progressed.v1", "A running call reported progress.";
    ToolCallInputRequired = "tool-call.input-required.v1", "A call waits for answers from its client.";
    ToolCallInputProvided = "tool-call.input-provided.v1", "The client answered what a call waited for.";
    ToolCallCompleted = "tool-call.completed.v1", "A call produced its answer.";
    ToolCallFailed = "tool-call.failed.v1", "A call ended without an answer.";
    ToolCallCancelled = "tool-call.cancelled.v1", "A call ended because it was cancelled.";
    ToolCallExpired = "tool-call.expired.v1", "A call passed its deadline.";
    CircuitOpened = "circuit.opened.v1", "An upstream's circuit breaker opened.";
    CircuitClosed = "circuit.closed.v1", "An upstream's circuit breaker closed.";
    ScheduleTicked = "schedule.ticked.v1", "A timer fired.";
    AuditRecorded = "audit.recorded.v1", "Somebody did something that is accounted for.";
}
