#![doc = include_str!("../README.md")]

mod doubt;
mod error;
mod explain;
mod file;
mod parse;
mod pattern;
mod policy;
mod question;
mod rule;
mod verdict;
mod watched;
mod when;

pub use doubt::{Doubt, Known};
pub use error::Error;
pub use explain::{Explanation, Missed, PartExplained, RuleExplained};
pub use file::schema;
pub use policy::{MAX_PARTS, Policy};
pub use question::{Command, Question, Target, Word};
pub use verdict::{Ask, Decision, Verdict};
pub use watched::{Problem, Reload, Watched};
