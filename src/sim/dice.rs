//! Random numbers that depend only on the seed.

use std::convert::Infallible;

use rand::TryRng;

/// A small and fast generator, which is enough for a simulation: SplitMix64 (Steele, Lea and Flood,
/// 2014).
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    /// Creates the generator of one part of the simulation, so that drawing more numbers in one
    /// part does not change another.
    pub fn of(seed: u64, part: &str, number: u64) -> Self {
        let mut state = Self(seed);
        let mut mixed = state.draw();
        for byte in part.bytes() {
            mixed = Self(mixed ^ u64::from(byte)).draw();
        }
        Self(mixed ^ Self(number).draw())
    }

    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Draws a number from 0 up to, but not including, 1.
    pub fn share(&mut self) -> f64 {
        (self.draw() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Draws a number below `most`, or 0 if that is 0.
    pub fn below(&mut self, most: usize) -> usize {
        (self.share() * most as f64) as usize
    }

    /// Moves `count` randomly drawn items to the front, or all if there are fewer.
    pub fn pick<T>(&mut self, items: &mut [T], count: usize) {
        for at in 0..count.min(items.len()) {
            let other = at + self.below(items.len() - at);
            items.swap(at, other);
        }
    }
}

impl TryRng for Dice {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok((self.draw() >> 32) as u32)
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(self.draw())
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        for piece in bytes.chunks_mut(8) {
            let drawn = self.draw().to_le_bytes();
            piece
                .iter_mut()
                .zip(drawn)
                .for_each(|(to, from)| *to = from);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_seed_part_and_number_has_its_own_numbers_and_always_the_same() {
        let first = |seed, part, number| Dice::of(seed, part, number).draw();
        assert_eq!(first(7, "links", 1), first(7, "links", 1));
        let all = [
            first(7, "links", 1),
            first(8, "links", 1),
            first(7, "nodes", 1),
            first(7, "links", 2),
        ];
        assert!(
            all.iter()
                .enumerate()
                .all(|(n, one)| !all[..n].contains(one))
        );
    }

    #[test]
    fn a_pick_leaves_all_items_there() {
        let (mut dice, mut items) = (Dice::of(1, "pick", 0), (0..20).collect::<Vec<_>>());
        dice.pick(&mut items, 5);
        assert_ne!(items[..5], [0, 1, 2, 3, 4]);
        items.sort_unstable();
        assert_eq!(items, (0..20).collect::<Vec<_>>());
    }
}
