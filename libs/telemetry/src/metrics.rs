//! The numbers that a process keeps, and who is told them.

mod catalogue;
mod emf;
mod export;
mod meter;

pub use catalogue::*;
pub use emf::Emf;
pub use export::{Cursor, Datum, Distribution, Sample};
pub use meter::Meter;

/// Where the numbers are in `CloudWatch`.
pub const NAMESPACE: &str = "Waybill";
/// The dimension that every number has there.
pub const INSTALLATION: &str = "installation";
