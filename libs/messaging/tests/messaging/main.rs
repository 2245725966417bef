//! Dispatch and the driver over the embedded backend, in paused time.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails here")]

mod dispatch;
mod driver;
mod push;
mod world;
