//! The wall clock, read in one place. Rules get the time as an argument.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use jiff::tz::TimeZone;

use crate::domain::time::Timestamp;

/// The clock of one node: the system's, which a test may set for that node alone.
#[derive(Clone, Debug, Default)]
pub struct Clock {
    /// Milliseconds that it is ahead of the system's.
    ahead: Arc<AtomicI64>,
}

impl Clock {
    pub fn now(&self) -> Timestamp {
        let ahead = self.ahead.load(Ordering::Relaxed);
        Timestamp(now().0.saturating_add_signed(ahead))
    }

    /// Sets this clock, as somebody may set a machine's at any moment.
    #[doc(hidden)]
    pub fn set_ahead(&self, millis: i64) {
        self.ahead.store(millis, Ordering::Relaxed);
    }
}

/// The system's time, for files and for eyes. What a node does goes by its own [`Clock`].
pub fn now() -> Timestamp {
    let since_epoch = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Timestamp(u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX))
}

/// Longest time that anybody waits for anything, whatever number a client gives.
const LONGEST_WAIT: Duration = Duration::from_secs(365 * 24 * 3_600);

/// The instant so long after `now`: a year at most, because a client may give any number, and
/// adding it must not end a task.
pub fn deadline(now: Instant, after: Duration) -> Instant {
    // A year fits wherever there are instants; where it does not, there is no time left.
    now.checked_add(after.min(LONGEST_WAIT)).unwrap_or(now)
}

/// Hours, minutes and seconds in a zone.
pub fn time_of_day(at: Timestamp, zone: TimeZone) -> String {
    let millis = i64::try_from(at.0).unwrap_or(i64::MAX);
    let at = jiff::Timestamp::from_millisecond(millis).unwrap_or(jiff::Timestamp::MAX);
    at.to_zoned(zone).strftime("%H:%M:%S").to_string()
}

/// Date and time with the offset from UTC (RFC 3339), on this machine's clock: for files.
pub fn stamp(at: Timestamp) -> String {
    let millis = i64::try_from(at.0).unwrap_or(i64::MAX);
    let at = jiff::Timestamp::from_millisecond(millis).unwrap_or(jiff::Timestamp::MAX);
    at.to_zoned(TimeZone::system())
        .strftime("%Y-%m-%dT%H:%M:%S%.3f%:z")
        .to_string()
}

/// Date and time in UTC with six digits of a second (RFC 3339), as programs read it.
pub fn universal(at: Timestamp) -> String {
    let millis = i64::try_from(at.0).unwrap_or(i64::MAX);
    let at = jiff::Timestamp::from_millisecond(millis).unwrap_or(jiff::Timestamp::MAX);
    at.strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string()
}

/// Day and time on this machine's clock, for eyes.
pub fn day(at: Timestamp) -> String {
    let millis = i64::try_from(at.0).unwrap_or(i64::MAX);
    let at = jiff::Timestamp::from_millisecond(millis).unwrap_or(jiff::Timestamp::MAX);
    at.to_zoned(TimeZone::system())
        .strftime("%Y-%m-%d %H:%M:%S")
        .to_string()
}

/// Hours, minutes and seconds on this machine's clock.
pub fn here(at: Timestamp) -> String {
    time_of_day(at, TimeZone::system())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_time_to_wait_is_an_instant(seconds in any::<u64>(), nanos in 0u32..1_000_000_000) {
            let (now, after) = (Instant::now(), Duration::new(seconds, nanos));
            let end = deadline(now, after);
            prop_assert!(end >= now && end - now <= LONGEST_WAIT);
            prop_assert!(after > LONGEST_WAIT || end - now == after);
        }
    }
}
