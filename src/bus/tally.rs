//! Counters shared by several tasks.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use parking_lot::Mutex;

use super::Counters;
use crate::domain::{record::Refusal, time::Timestamp};

/// The node's counters. All clones share them.
#[derive(Clone, Debug, Default)]
pub struct Tally(Arc<Mutex<TallyState>>);

#[derive(Debug, Default)]
struct TallyState {
    counters: Counters,
    /// Travel times of announcements, with their time of arrival.
    travelled: VecDeque<(Timestamp, Duration)>,
}

/// Target of the log lines about refused data.
pub const REFUSED: &str = "swarmdex::refused";
/// Refusals that are logged one by one; after that, each power of two.
const LOGGED: u64 = 200;
/// The most announcements whose travel time is kept.
const TRAVELS: usize = 512;

impl Tally {
    pub fn snapshot(&self) -> Counters {
        self.with(|counters| counters.clone())
    }

    /// Counts an announcement. `travelled` is the time since it was sent, unless it is our own.
    pub fn announced(&self, travelled: Option<Duration>, at: Timestamp) {
        let mut inner = self.0.lock();
        inner.counters.announcements += 1;
        let Some(travelled) = travelled else { return };
        if inner.travelled.len() >= TRAVELS {
            inner.travelled.pop_front();
        }
        inner.travelled.push_back((at, travelled));
    }

    /// Returns the travel times of the announcements since `from`.
    pub fn travelled_since(&self, from: Timestamp) -> Vec<Duration> {
        self.0
            .lock()
            .travelled
            .iter()
            .filter(|(at, _)| *at >= from)
            .map(|(_, travelled)| *travelled)
            .collect()
    }

    /// Counts data from a peer that failed a check. This is the one count of what was refused; its
    /// log lines have the target [`REFUSED`].
    pub fn refused(&self, refusal: Refusal) {
        let all = self.with(|counters| {
            *counters.refused.entry(refusal).or_default() += 1;
            counters.refused.values().sum::<u64>()
        });
        // A flood must not push everything else out of the log.
        if all <= LOGGED || all.is_power_of_two() {
            tracing::info!(target: REFUSED, "refused, number {all}: {refusal}");
        }
    }

    /// Counts a message dropped because this node had no room for it.
    pub fn overloaded(&self) {
        self.with(|counters| counters.overloaded += 1);
    }

    pub fn looked_up(&self, found: bool) {
        self.with(|counters| {
            counters.lookups += 1;
            counters.lookups_failed += u64::from(!found);
        });
    }

    fn with<T>(&self, change: impl FnOnce(&mut Counters) -> T) -> T {
        change(&mut self.0.lock().counters)
    }
}
