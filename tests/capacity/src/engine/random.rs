//! Chance by a seed. Our own, so that no release of a library changes the published figures.

/// `SplitMix64`.
pub(crate) struct Random(u64);

/// How long something takes: log-normal, as waiting times in networks roughly are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spread {
    /// Half of them take no longer, in seconds.
    pub(crate) median: f64,
    /// Nine of ten take no longer.
    pub(crate) p90: f64,
}

/// Of the standard normal distribution.
const Z90: f64 = 1.281_551_565_5;

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Above 0 and below 1.
    pub(crate) fn share(&mut self) -> f64 {
        let half = u32::try_from(self.next() >> 32).expect("32 bits are left");
        (f64::from(half) + 0.5) / f64::from(u32::MAX)
    }

    /// Below `bound`.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        let bound = u64::try_from(bound.max(1)).unwrap_or(u64::MAX);
        usize::try_from(self.next() % bound).unwrap_or(0)
    }

    pub(crate) fn exponential(&mut self, mean: f64) -> f64 {
        -mean * self.share().ln()
    }

    pub(crate) fn draw(&mut self, spread: Spread) -> f64 {
        // Box and Muller.
        let radius = (-2.0 * self.share().ln()).sqrt();
        let normal = radius * (std::f64::consts::TAU * self.share()).cos();
        spread.median * (spread.sigma() * normal).exp()
    }
}

impl Spread {
    pub(crate) fn mean(self) -> f64 {
        self.median * (self.sigma().powi(2) / 2.0).exp()
    }

    fn sigma(self) -> f64 {
        (self.p90 / self.median).ln() / Z90
    }
}
