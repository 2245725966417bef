#![doc = include_str!("../README.md")]

mod chain;
mod check;
mod pass;
mod redact;
mod sink;
#[cfg(test)]
mod tests;
mod trail;

pub use chain::{ChainKey, Entry};
pub use check::AuditCheck;
pub use sink::AuditSink;
pub use trail::{Error, Flaw, Tail, Trail, Verification};
