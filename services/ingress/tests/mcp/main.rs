//! The MCP endpoint over HTTP, with the worker's side of each call played by hand.

#![expect(clippy::unwrap_used, reason = "the helpers of a test may panic")]

mod calls;
mod door;
mod gateway;
mod input;
mod lists;
mod old_tasks;
mod tasks;
