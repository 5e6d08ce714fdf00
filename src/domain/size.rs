//! Byte amounts for display.

use std::fmt;

/// Displays bytes in the unit that leaves few digits, powers of 1,024: `812 B`, `1.2 KiB`, `99.9
/// MiB`, `100 MiB`, `4.0 GiB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size(pub u64);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
        if self.0 < 1_024 {
            return write!(f, "{} B", self.0);
        }
        let mut amount = self.0 as f64;
        let mut unit = "";
        for larger in UNITS {
            // An amount that rounds up to 1,024 takes the next unit.
            if !unit.is_empty() && amount < 1_023.5 {
                break;
            }
            (amount, unit) = (amount / 1_024.0, larger);
        }
        if amount < 99.95 {
            write!(f, "{amount:.1} {unit}")
        } else {
            write!(f, "{amount:.0} {unit}")
        }
    }
}

/// Displays bytes a second: `12.3 MiB/s`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate(pub f64);

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/s", Size(self.0.round() as u64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_few_digits() {
        let shown = |bytes: u64| Size(bytes).to_string();
        assert_eq!(
            [0, 812, 1_023, 1_024].map(shown),
            ["0 B", "812 B", "1023 B", "1.0 KiB"]
        );
        assert_eq!(
            [1_258_291, 104_806_420, 104_857_600].map(shown),
            ["1.2 MiB", "100 MiB", "100 MiB"]
        );
        assert_eq!(
            [1_048_575, 4 << 30, u64::MAX].map(shown),
            ["1.0 MiB", "4.0 GiB", "16384 PiB"]
        );
        assert_eq!(Rate(12_897_485.0).to_string(), "12.3 MiB/s");
        assert_eq!(Rate(f64::NAN).to_string(), "0 B/s");
    }
}
