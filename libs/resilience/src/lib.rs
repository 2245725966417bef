#![doc = include_str!("../README.md")]

mod breaker;
mod breakers;
mod circuit;
mod error;
mod settings;
mod token_bucket;
mod window;

pub use breaker::CircuitBreaker;
pub use breakers::Breakers;
pub use circuit::{Admission, Change, Circuit, Permit, State};
pub use error::Error;
pub use settings::{Settings, Span};
pub use token_bucket::{Rate, TokenBucket};
pub use window::{Sample, Tally};
