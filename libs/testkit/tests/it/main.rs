//! The kit itself: each suite can fail, and the faulty backend fails as its plan says.

#![expect(clippy::unwrap_used, reason = "a test that fails panics")]

mod faulty;
mod flawed;
mod flaws;
mod swarm;
