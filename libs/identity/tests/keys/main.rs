//! Keys over the embedded backend in memory.

mod keys;
mod refusals;
mod rig;
