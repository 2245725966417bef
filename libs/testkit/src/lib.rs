#![doc = include_str!("../README.md")]

mod builders;
pub mod contract;
mod dice;
pub mod faulty;

pub use builders::{EventBuilder, Ids, event, tenant};
pub use dice::Dice;
