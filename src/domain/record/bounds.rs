//! Bounds on the numbers in records from the network.

use std::time::Duration;

use super::{super::time::Timestamp, Authorised, Head, Refusal};

/// Largest number in a record, 2^53 - 1, which every language, file format and database represents
/// exactly.
pub const MAX_NUMBER: u64 = (1 << 53) - 1;
/// A record from the network may be dated this far ahead of this machine's clock.
pub const MAX_AHEAD: Duration = Duration::from_secs(24 * 3_600);
/// A head's `seq` may exceed the highest one seen of the package by this much: more than a
/// publisher signs in years, but too few to put the owner's next state out of reach.
pub const MAX_JUMP: u64 = 1 << 20;

/// Checks that a time is within bounds.
///
/// # Errors
/// [`Refusal::BadField`] beyond [`MAX_NUMBER`].
pub fn check_time(time: Timestamp) -> Result<(), Refusal> {
    if time.0 <= MAX_NUMBER {
        Ok(())
    } else {
        Err(Refusal::BadField)
    }
}

/// The latest time allowed in a record from the network; `None` while this machine's clock is
/// evidently wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Horizon(Option<Timestamp>);

impl Horizon {
    /// Creates the horizon. `offset_ms` is this machine's clock minus the median of the peers'
    /// clocks, and `newest` the newest stored record. A clock more than a day behind either is
    /// wrong, as on a machine without a battery after a start; then no record is refused for its
    /// time.
    pub fn of(now: Timestamp, offset_ms: Option<i64>, newest: Option<Timestamp>) -> Self {
        let day = i64::try_from(MAX_AHEAD.as_millis()).unwrap_or(i64::MAX);
        let behind = offset_ms.is_some_and(|offset| offset < -day)
            || newest.is_some_and(|newest| newest > now.after(MAX_AHEAD));
        Self((!behind).then(|| now.after(MAX_AHEAD)))
    }

    /// Returns true if this machine's clock is evidently behind.
    pub fn is_clock_behind(&self) -> bool {
        self.0.is_none()
    }

    /// Checks that a head is not dated beyond the horizon.
    ///
    /// # Errors
    /// [`Refusal::Ahead`], which is nobody's fault: the head is requested again later.
    pub fn check(&self, head: &Authorised<Head>) -> Result<(), Refusal> {
        self.check_time(head.signed_at)
    }

    /// Checks any time in a record, like [`Self::check`].
    ///
    /// # Errors
    /// [`Refusal::Ahead`] for a time beyond the horizon.
    pub fn check_time(&self, time: Timestamp) -> Result<(), Refusal> {
        match self.0 {
            Some(latest) if time > latest => Err(Refusal::Ahead),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_700_000_000_000);
    const DAY_MS: i64 = 24 * 3_600 * 1_000;

    #[test]
    fn a_clock_that_is_behind_refuses_nothing_for_its_time() {
        assert!(!Horizon::of(NOW, None, None).is_clock_behind());
        assert!(!Horizon::of(NOW, Some(-DAY_MS), Some(NOW.after(MAX_AHEAD))).is_clock_behind());
        assert!(
            !Horizon::of(NOW, Some(10 * DAY_MS), Some(Timestamp(0))).is_clock_behind(),
            "it is ahead"
        );
        assert!(Horizon::of(NOW, Some(-DAY_MS - 1), None).is_clock_behind());
        assert!(Horizon::of(Timestamp(0), None, Some(NOW)).is_clock_behind());
    }
}
