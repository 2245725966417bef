//! The REST routes over HTTP, with the worker's side of each call played by hand.
#![expect(
    clippy::unwrap_used,
    reason = "a test fails by panicking, its helpers too"
)]

mod admin;
mod auth;
mod calls;
mod operator;
mod rig;
mod service;
mod status;
mod unclear;
