//! The files tools as a worker calls them.
#![expect(
    clippy::unwrap_used,
    reason = "a test fails by panicking, its helpers too"
)]

mod bench;
mod bounds;
mod escape;
mod hidden;
mod property;
mod read;
mod search;
mod walk;
