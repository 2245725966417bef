#![doc = include_str!("../README.md")]

mod seal;
mod secrets;

pub use secrets::SealedSecrets;
