//! What breaks first: limits by arithmetic, and an installation in a simulated world.

mod limits;
pub(crate) mod page;
mod remedies;
mod setup;
mod study;
mod world;

/// What the installation is asked to do.
#[derive(Clone, Debug)]
pub struct Load {
    /// Calls a second.
    pub base: f64,
    /// Multiples of the base.
    pub times: Vec<f64>,
    pub seed: u64,
}

impl Load {
    pub const BASE: f64 = 10.0;
    pub const TIMES: [f64; 4] = [1.0, 10.0, 100.0, 1_000.0];
    pub const SEED: u64 = 1;
}

impl Default for Load {
    fn default() -> Self {
        Self {
            base: Self::BASE,
            times: Self::TIMES.to_vec(),
            seed: Self::SEED,
        }
    }
}
