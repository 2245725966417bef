//! The code tools as the executor calls them.

#![expect(clippy::unwrap_used, reason = "a helper of a test fails the test")]

mod bounds;
mod outline;
mod project;
mod references;
mod sandbox;
mod structure;
mod symbols;
