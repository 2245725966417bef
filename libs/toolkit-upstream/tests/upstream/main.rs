//! Upstreams as real processes and over real HTTP.

mod http;
mod npm;
mod processes;
mod rig;
#[path = "../../examples/upstream_fixture/server.rs"]
mod server;
mod tools;
