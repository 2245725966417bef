#![doc = include_str!("../README.md")]

mod keys;
mod principal;
mod secret;

pub use keys::{ApiKey, AuthError, Error, Keys, NewKey};
pub use principal::{Principal, Scope, UnknownScope};
