//! Multiples of one point of ed25519's curve, added up from a table of them.
//!
//! A verification multiplies two points, the curve's base and the signer's key, which takes some
//! 250 doublings. With the multiples of each power of 256 in a table it takes 32 additions for each
//! point and no doubling; a table costs as much as some twenty verifications. Everything here is
//! public, so that it need not take the same time for every number.

use curve25519_dalek::{EdwardsPoint, Scalar};

/// Digits of a scalar in base 256.
const DIGITS: usize = 32;
/// Multiples of each power: digits go from -128 to 128.
const MULTIPLES: usize = 128;

/// A point's multiples: 640 KiB.
pub(super) struct Comb(Vec<EdwardsPoint>);

impl Comb {
    pub(super) fn of(point: EdwardsPoint) -> Self {
        let mut multiples = Vec::with_capacity(DIGITS * MULTIPLES);
        let mut power = point;
        for _ in 0..DIGITS {
            let mut multiple = power;
            multiples.push(multiple);
            for _ in 1..MULTIPLES {
                multiple += power;
                multiples.push(multiple);
            }
            power = multiple + multiple;
        }
        Self(multiples)
    }

    /// Adds the point, so many times as the number that `scalar` is below the group's order, to a
    /// sum. Also of a point that is not of that order: the number is not reduced further.
    pub(super) fn add_to(&self, sum: EdwardsPoint, scalar: &Scalar) -> EdwardsPoint {
        let (mut sum, mut carry) = (sum, 0);
        for (multiples, byte) in self.0.chunks_exact(MULTIPLES).zip(scalar.as_bytes()) {
            let digit = usize::from(*byte) + carry;
            carry = usize::from(digit > MULTIPLES);
            let (size, is_negative) = match carry {
                0 => (digit, false),
                _ => (2 * MULTIPLES - digit, true),
            };
            // Of a digit of zero there is nothing to add.
            if let Some(multiple) = size.checked_sub(1).and_then(|at| multiples.get(at)) {
                match is_negative {
                    true => sum -= multiple,
                    false => sum += multiple,
                }
            }
        }
        sum
    }
}

#[cfg(test)]
mod tests {
    use curve25519_dalek::{
        constants::{ED25519_BASEPOINT_POINT, EIGHT_TORSION},
        traits::Identity,
    };
    use proptest::prelude::*;

    use super::*;

    fn agrees(point: EdwardsPoint, scalar: Scalar) -> bool {
        let added = Comb::of(point).add_to(ED25519_BASEPOINT_POINT, &scalar);
        added == ED25519_BASEPOINT_POINT + point * scalar
    }

    #[test]
    fn the_numbers_at_the_ends_are_multiplied_by() {
        for scalar in [Scalar::ZERO, Scalar::ONE, -Scalar::ONE, Scalar::from(128u8)] {
            assert!(agrees(ED25519_BASEPOINT_POINT, scalar));
            assert!(agrees(EdwardsPoint::identity(), scalar));
            EIGHT_TORSION
                .iter()
                .for_each(|small| assert!(agrees(ED25519_BASEPOINT_POINT + small, scalar)));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn it_multiplies_as_the_library_does(
            scalar in any::<[u8; 32]>(), point in any::<[u8; 32]>(), small in 0usize..8,
        ) {
            let point = ED25519_BASEPOINT_POINT * Scalar::from_bytes_mod_order(point);
            let scalar = Scalar::from_bytes_mod_order(scalar);
            prop_assert!(agrees(point + EIGHT_TORSION[small], scalar));
        }
    }
}
