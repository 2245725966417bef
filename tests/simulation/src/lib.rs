#![doc = include_str!("../README.md")]

mod clients;
mod outside;
mod verdict;
mod world;

pub use world::{Report, run};
