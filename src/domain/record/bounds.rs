//! Bounds of the numbers in records: one rule for what comes from the network.

use std::time::Duration;

use super::{super::time::Timestamp, Authorised, Head, Refusal};

/// Largest number in a record, 2^53 - 1: what every language, file format and database of this
/// field holds exactly.
pub const MAX_NUMBER: u64 = (1 << 53) - 1;
/// How far ahead of this machine's clock a record from the network may be dated.
pub const MAX_AHEAD: Duration = Duration::from_secs(24 * 3_600);
/// How far above the highest `seq` seen of a package a head may be: more than a publisher signs in
/// years, and too few to put the owner's next state out of reach.
pub const MAX_JUMP: u64 = 1 << 20;

/// A time that fits.
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

/// The latest time that a record from the network may have; none while this machine's own clock
/// cannot be right.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Horizon(Option<Timestamp>);

impl Horizon {
    /// `offset_ms` is this machine's clock minus the median of the peers' clocks, `newest` the
    /// newest record on the disk. A clock that is more than a day behind either is wrong, as that
    /// of a machine without a battery is after a start: then nothing is refused for its time.
    pub fn of(now: Timestamp, offset_ms: Option<i64>, newest: Option<Timestamp>) -> Self {
        let day = i64::try_from(MAX_AHEAD.as_millis()).unwrap_or(i64::MAX);
        let behind = offset_ms.is_some_and(|offset| offset < -day)
            || newest.is_some_and(|newest| newest > now.after(MAX_AHEAD));
        Self((!behind).then(|| now.after(MAX_AHEAD)))
    }

    /// Whether this machine's clock is taken to be behind.
    pub fn is_clock_behind(&self) -> bool {
        self.0.is_none()
    }

    /// Whether a head is not dated beyond it.
    ///
    /// # Errors
    /// [`Refusal::Ahead`], which is nobody's fault: it is asked for again later.
    pub fn check(&self, head: &Authorised<Head>) -> Result<(), Refusal> {
        self.check_time(head.signed_at)
    }

    /// As [`Self::check`] for any time in a record.
    ///
    /// # Errors
    /// [`Refusal::Ahead`] for one beyond it.
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
