//! Numbers of any length in versions: the ecosystems' own tools have no bound.

use std::{cmp::Ordering, fmt};

/// The digits without leading zeros; empty for zero.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct DecimalNumber(Box<str>);

impl DecimalNumber {
    /// Parses decimal digits.
    pub fn of(digits: &str) -> Self {
        Self(digits.trim_start_matches('0').into())
    }

    pub fn is_zero(&self) -> bool {
        self.0.is_empty()
    }
}

/// A shorter number is less.
impl Ord for DecimalNumber {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0
            .len()
            .cmp(&other.0.len())
            .then_with(|| self.0.cmp(&other.0))
    }
}

impl PartialOrd for DecimalNumber {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for DecimalNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_zero() { "0" } else { &self.0 })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn numbers_are_in_the_order_of_numbers(a: u64, b in prop_oneof![any::<u64>(), 0u64..20], zeros in 0usize..4) {
            let of = |number: u64| DecimalNumber::of(&format!("{}{number}", "0".repeat(zeros)));
            prop_assert_eq!(of(a).cmp(&of(b)), a.cmp(&b));
            prop_assert_eq!(of(a).to_string(), a.to_string());
            prop_assert_eq!(DecimalNumber::of(&format!("{a}0")) > of(a), a > 0);
        }
    }
}
