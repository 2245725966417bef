//! Keys over the embedded backend in memory.
#![expect(
    clippy::unwrap_used,
    reason = "a test fails by panicking, its helpers too"
)]

mod keys;
mod refusals;
mod rig;
mod tenants;
