//! Confidence that the state held of a package is its current one.

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};

use super::{
    text::quantity,
    time::{Ago, Timestamp},
};

/// Distinct peers that must hold the same state to confirm it; fewer only if fewer are connected.
pub const QUORUM: usize = 3;
/// After a confirmation no peer is asked again for this long.
pub const CONFIRMED_FOR: Duration = Duration::from_secs(600);

/// The evidence that a state is current. A stale state stays usable: a site may be cut off for
/// weeks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Freshness {
    /// This node signed it.
    pub own: bool,
    /// The time at which this node received it.
    pub received_at: Timestamp,
    /// The last time a quorum of distinct peers was seen to hold this very state.
    pub confirmed_at: Option<Timestamp>,
    /// The number of these peers.
    pub confirmed_by: usize,
    /// The time until which its publisher declares it current, unless it is renewed.
    pub expires: Timestamp,
}

impl Freshness {
    /// Returns true if its publisher no longer declares it current.
    pub fn is_expired(&self, now: Timestamp) -> bool {
        self.expires <= now
    }

    /// Returns true if this node signed it, or it was confirmed lately and has not expired.
    pub fn is_fresh(&self, now: Timestamp) -> bool {
        let lately = self
            .confirmed_at
            .is_some_and(|at| now.since(at) < CONFIRMED_FOR);
        self.own || (lately && !self.is_expired(now))
    }

    /// Returns text such as "confirmed 3 min ago by 3 peers".
    pub fn describe(&self, now: Timestamp) -> FreshnessText {
        FreshnessText {
            freshness: *self,
            now,
        }
    }
}

/// Returns true if enough peers hold a state to confirm it: a quorum, or all if fewer are
/// connected.
pub fn confirms(holding: usize, connected: usize) -> bool {
    holding >= QUORUM.min(connected.max(1))
}

/// Displays a [`Freshness`] at a point in time.
pub struct FreshnessText {
    freshness: Freshness,
    now: Timestamp,
}

impl fmt::Display for FreshnessText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { freshness, now } = self;
        let Freshness {
            own,
            received_at,
            confirmed_at,
            confirmed_by,
            expires,
        } = freshness;
        if freshness.is_expired(*now) {
            write!(
                f,
                "expired {} ago because its publisher did not renew it; ",
                Ago(now.since(*expires))
            )?;
        }
        match confirmed_at {
            Some(at) => {
                let peers = quantity(*confirmed_by, "peer");
                write!(f, "confirmed {} ago by {peers}", Ago(now.since(*at)))
            }
            None if *own => f.write_str("signed here"),
            None => write!(
                f,
                "unconfirmed since it arrived {} ago",
                Ago(now.since(*received_at))
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_700_000_000_000);

    #[test]
    fn what_is_known_of_a_state_is_said_in_a_few_words() {
        let minutes = |n: u64| Duration::from_secs(60 * n);
        let held = Freshness {
            received_at: NOW.before(minutes(90)),
            expires: NOW.after(minutes(9)),
            ..Freshness::default()
        };
        assert_eq!(
            held.describe(NOW).to_string(),
            "unconfirmed since it arrived 90 min ago"
        );
        let confirmed = Freshness {
            confirmed_at: Some(NOW.before(minutes(3))),
            confirmed_by: 3,
            ..held
        };
        assert_eq!(
            confirmed.describe(NOW).to_string(),
            "confirmed 3 min ago by 3 peers"
        );
        assert!(
            confirmed.is_fresh(NOW)
                && !held.is_fresh(NOW)
                && !confirmed.is_fresh(NOW.after(minutes(8)))
        );
        let later = NOW.after(minutes(20));
        let told = confirmed.describe(later).to_string();
        assert!(
            told.starts_with("expired 11 min ago")
                && told.ends_with("confirmed 23 min ago by 3 peers"),
            "{told}"
        );
        assert!(
            Freshness { own: true, ..held }.is_fresh(later),
            "one's own is what one says it is"
        );
    }

    #[test]
    fn a_quorum_is_three_or_all_where_fewer_are_there() {
        assert!(confirms(3, 50) && confirms(2, 2) && confirms(1, 1) && confirms(4, 2));
        assert!(
            !confirms(2, 50) && !confirms(1, 2) && !confirms(0, 0),
            "nobody confirms nothing"
        );
    }
}
