//! A small seeded generator: the same seed rolls the same numbers on every machine and version.

use std::time::Duration;

/// `SplitMix64` (Steele, Lea, Flood 2014). For tests only: its numbers can be foretold.
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The generator of the `nth` occurrence of something named `what`: what happens to one kind of
    /// operation does not depend on how many others ran before it.
    pub const fn of(seed: u64, what: u64, nth: u64) -> Self {
        Self(mix(mix(seed ^ mix(what)) ^ mix(nth)))
    }

    pub const fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    pub fn roll_wide(&mut self) -> u128 {
        u128::from(self.roll()) << 64 | u128::from(self.roll())
    }

    /// A number under `bound`, which is not 0.
    pub const fn below(&mut self, bound: u64) -> u64 {
        self.roll() % bound
    }

    /// True with `probability`: never at 0.0, always at 1.0.
    pub fn chance(&mut self, probability: f64) -> bool {
        #[expect(clippy::cast_precision_loss, reason = "53 bits fit an f64 exactly")]
        let fraction = (self.roll() >> 11) as f64 / (1u64 << 53) as f64;
        fraction < probability
    }

    /// A duration under `bound`, in whole milliseconds; zero when the bound is.
    pub fn up_to(&mut self, bound: Duration) -> Duration {
        match u64::try_from(bound.as_millis()).unwrap_or(u64::MAX) {
            0 => Duration::ZERO,
            millis => Duration::from_millis(self.below(millis)),
        }
    }

    /// Puts `items` into a random order.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            let other = self.below(last as u64 + 1);
            items.swap(last, usize::try_from(other).unwrap_or(last));
        }
    }
}

const fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rolls_the_published_sequence() {
        // From the reference implementation (vigna.di.unimi.it/xorshift/splitmix64.c), seed 1234567.
        let mut dice = Dice::new(1_234_567);
        assert_eq!(dice.roll(), 6_457_827_717_110_365_317);
        assert_eq!(dice.roll(), 3_203_168_211_198_807_973);
    }

    #[test]
    fn chances_are_fair_and_their_ends_are_exact() {
        let mut dice = Dice::new(7);
        let hits = (0..10_000).filter(|_| dice.chance(0.25)).count();
        assert!((2_300..2_700).contains(&hits), "{hits}");
        assert!((0..1_000).all(|_| !dice.chance(0.0) && dice.chance(1.0)));
    }
}
