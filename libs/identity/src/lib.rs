#![doc = include_str!("../README.md")]

mod audit;
mod keys;
mod principal;
mod refusals;
mod secret;
mod tenants;

pub use audit::{Audit, Note};
pub use keys::{ApiKey, AuthError, Error, Keys, NewKey};
pub use principal::{Principal, Scope, UnknownScope};
pub use tenants::{Tenant, Tenants};
