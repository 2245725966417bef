#![doc = include_str!("../README.md")]

mod budget;
mod call;
mod payload;
mod repository;
mod status;

pub use budget::stored_size;
pub use call::{
    Call, CallState, Fenced, Intent, LogLine, Outcome, Problem, Progress, Report, Said,
};
pub use payload::{INLINE_LIMIT, Payload, digest};
pub use repository::{CallFilter, Calls, Error, NewCall, Stored, Submitted};
pub use status::{McpStatus, Status};
