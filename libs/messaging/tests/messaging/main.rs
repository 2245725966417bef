//! Dispatch and the driver over the embedded backend, in paused time.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails here")]

mod counting;
mod dispatch;
mod driver;
mod leases;
mod push;
mod world;
