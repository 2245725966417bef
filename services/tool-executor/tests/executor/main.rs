//! Event in, effects out: the executor over the embedded backend in memory, with fake tools.

#![expect(clippy::unwrap_used, reason = "a test's helpers fail by panicking")]

mod breaker;
mod bulkhead;
mod claims;
mod crash;
mod interleavings;
mod log;
mod once;
mod outcomes;
mod sweep;
mod world;
