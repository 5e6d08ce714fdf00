//! Counters that several tasks add to.

use std::sync::{Arc, Mutex, PoisonError};

use super::Counters;
use crate::domain::record::Refusal;

/// The node's counters. Cheap to clone; every clone counts into the same.
#[derive(Clone, Debug, Default)]
pub struct Tally(Arc<Mutex<Counters>>);

impl Tally {
    pub fn snapshot(&self) -> Counters {
        self.with(|counters| counters.clone())
    }

    pub fn announced(&self) {
        self.with(|counters| counters.announcements += 1);
    }

    pub fn refused(&self, refusal: Refusal) {
        self.with(|counters| *counters.refused.entry(refusal).or_default() += 1);
    }

    /// Something from the network was dropped because this node had no room for it.
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
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
