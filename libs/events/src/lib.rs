#![doc = include_str!("../README.md")]

mod catalogue;
mod data;
mod event;
mod id;

pub use catalogue::{EventData, EventType, UnknownEventType};
pub use data::*;
pub use event::{Draft, Error, Event, Stamp, Story};
pub use id::{CallId, EventId, IdError, TenantId};
