#![doc = include_str!("../README.md")]

mod attempt;
mod bulkhead;
mod conclude;
mod ending;
mod error;
mod executor;
mod gate;
mod limits;
mod notes;
mod plan;
mod run;
mod sweep;

pub use executor::ToolExecutor;
pub use sweep::DeadlineSweep;
