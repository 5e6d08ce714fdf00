//! Decides when this node gossips its location. A state machine without I/O.

use crate::domain::{geo::GeoLocation, record::Presence, time::Timestamp};

/// The state of this node's declared location.
pub struct Telling {
    /// The location was sent since the node started.
    told: bool,
    /// A location was sent at some time and is to be withdrawn once none is declared any more.
    withdrawing: bool,
}

impl Telling {
    /// `withdrawing` is true if the location was declared when this node ran last.
    pub fn new(withdrawing: bool) -> Self {
        Self {
            told: false,
            withdrawing,
        }
    }

    pub fn is_told(&self) -> bool {
        self.told
    }

    /// Returns the presence to gossip while a peer listens: the declared location, or, if there is
    /// none any more, the withdrawal of an earlier one.
    pub fn due(&self, here: Option<GeoLocation>, now: Timestamp) -> Option<Presence> {
        (here.is_some() || self.withdrawing).then_some(Presence {
            at: now,
            location: here,
        })
    }

    /// Notes that a presence was sent or failed. If it changes, returns the flag to store: true if
    /// peers have a location of this node.
    pub fn sent(&mut self, presence: &Presence, is_out: bool) -> Option<bool> {
        self.told = is_out;
        let place = presence.location.is_some();
        let is_news = is_out && self.withdrawing != place;
        is_news.then(|| {
            self.withdrawing = place;
            place
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1);

    fn berlin() -> Option<GeoLocation> {
        Some("52.5,13.4".parse().unwrap())
    }

    #[test]
    fn nothing_is_said_without_a_place() {
        assert_eq!(Telling::new(false).due(None, NOW), None);
    }

    #[test]
    fn a_place_is_told_until_somebody_heard_and_written_down_once() {
        let mut telling = Telling::new(false);
        let presence = telling.due(berlin(), NOW).unwrap();
        assert_eq!(telling.sent(&presence, false), None);
        assert!(!telling.is_told());
        assert_eq!(telling.sent(&presence, true), Some(true));
        assert!(telling.is_told());
        assert_eq!(telling.sent(&presence, true), None, "written already");
    }

    #[test]
    fn a_place_that_was_told_is_withdrawn_once() {
        let mut telling = Telling::new(true);
        let presence = telling.due(None, NOW).unwrap();
        assert_eq!(presence.location, None);
        assert_eq!(telling.sent(&presence, false), None);
        assert!(telling.due(None, NOW).is_some(), "nobody heard");
        assert_eq!(telling.sent(&presence, true), Some(false));
        assert_eq!(telling.due(None, NOW), None);
    }
}
