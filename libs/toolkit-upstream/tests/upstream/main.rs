//! Upstreams as real processes and over real HTTP.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod http;
mod npm;
mod processes;
mod rig;
#[path = "../../examples/upstream_fixture/server.rs"]
mod server;
mod tools;
