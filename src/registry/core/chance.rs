//! A source of randomness that is passed in, so that a test can repeat a run by its seed.

use std::{ops::Range, sync::Arc};

use parking_lot::Mutex;
use rand::{RngExt, SeedableRng, rngs::StdRng};

/// A source of random numbers. Clones draw from the same one.
#[derive(Clone)]
pub struct Chance(Arc<Mutex<StdRng>>);

impl Default for Chance {
    /// Creates a source seeded by the operating system.
    fn default() -> Self {
        Self(Arc::new(Mutex::new(rand::make_rng())))
    }
}

impl Chance {
    /// Creates a source with a fixed seed.
    pub fn seeded(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(StdRng::seed_from_u64(seed))))
    }

    /// Draws any number.
    pub fn number(&self) -> u64 {
        self.with(|rng| rng.random())
    }

    /// Draws a number from the range, or its start if it is empty.
    pub fn below(&self, numbers: Range<u64>) -> u64 {
        match numbers.is_empty() {
            true => numbers.start,
            false => self.with(|rng| rng.random_range(numbers)),
        }
    }

    /// Draws a number from 0 up to, but not including, 1.
    pub fn share(&self) -> f64 {
        self.with(|rng| rng.random_range(0.0..1.0))
    }

    fn with<T>(&self, draw: impl FnOnce(&mut StdRng) -> T) -> T {
        draw(&mut self.0.lock())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_draws_the_same_numbers_again_and_clones_share_them() {
        let (one, other) = (Chance::seeded(7), Chance::seeded(7));
        let clone = one.clone();
        let drawn: Vec<u64> = (0..8)
            .map(|n| if n % 2 == 0 { &one } else { &clone }.number())
            .collect();
        assert_eq!(drawn, (0..8).map(|_| other.number()).collect::<Vec<_>>());
        assert_ne!(Chance::seeded(8).number(), Chance::seeded(7).number());
        assert!((0..100).all(|_| (3..5).contains(&one.below(3..5))));
        assert!((0..100).all(|_| (0.0..1.0).contains(&one.share())));
        assert_eq!(one.below(4..4), 4, "an empty range has its start");
    }
}
