//! The MCP endpoint over HTTP, with the worker's side of each call played by hand.

mod calls;
mod door;
mod gateway;
mod input;
mod lists;
mod old_tasks;
mod tasks;
