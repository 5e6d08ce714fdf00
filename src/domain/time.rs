//! Wall-clock instants and durations, for records and tables.

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};

/// Milliseconds since the Unix epoch, UTC.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// Returns the instant `duration` later, saturating at the largest one.
    pub fn after(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(millis(duration)))
    }

    /// Returns the instant `duration` earlier, saturating at the epoch.
    pub fn before(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(millis(duration)))
    }

    /// Returns the time since `earlier`; zero if that is in the future.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }

    /// Returns the milliseconds from `other` to `self`, negative if `other` is later.
    pub fn offset_ms(self, other: Self) -> i64 {
        let difference = i128::from(self.0) - i128::from(other.0);
        i64::try_from(difference).unwrap_or(if difference < 0 { i64::MIN } else { i64::MAX })
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Displays a duration as short as in a table cell: `850 ms`, `12 s`, `3 min`, `5 h`, `9 d`.
pub struct Ago(pub Duration);

impl fmt::Display for Ago {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        match seconds {
            0 => write!(f, "{} ms", self.0.as_millis()),
            1..=99 => write!(f, "{seconds} s"),
            100..=5_999 => write!(f, "{} min", seconds / 60),
            6_000..=172_799 => write!(f, "{} h", seconds / 3_600),
            _ => write!(f, "{} d", seconds / 86_400),
        }
    }
}

/// Displays the duration of an operation: `85 ms`, `4.2 s`, and from ten seconds on like [`Ago`].
pub struct Took(pub Duration);

impl fmt::Display for Took {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_millis() {
            1_000..=9_949 => write!(f, "{:.1} s", self.0.as_secs_f64()),
            _ => Ago(self.0).fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_saturates_at_both_ends() {
        assert_eq!(Timestamp(5).before(Duration::from_secs(1)), Timestamp(0));
        assert_eq!(
            Timestamp(u64::MAX).after(Duration::from_secs(1)),
            Timestamp(u64::MAX)
        );
        assert_eq!(Timestamp(10).since(Timestamp(20)), Duration::ZERO);
        assert_eq!(Timestamp(10).offset_ms(Timestamp(25)), -15);
        assert_eq!(Timestamp(u64::MAX).offset_ms(Timestamp(0)), i64::MAX);
    }

    #[test]
    fn ages_read_like_a_person_would_say_them() {
        let say = |ms| Ago(Duration::from_millis(ms)).to_string();
        assert_eq!(say(850), "850 ms");
        assert_eq!(say(12_400), "12 s");
        assert_eq!(say(180_000), "3 min");
        assert_eq!(say(7_200_000), "2 h");
        assert_eq!(say(3 * 86_400_000), "3 d");
        let took = |ms| Took(Duration::from_millis(ms)).to_string();
        assert_eq!(
            [85, 4_210, 9_960, 61_000].map(took),
            ["85 ms", "4.2 s", "9 s", "61 s"]
        );
    }
}
