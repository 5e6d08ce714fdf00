//! Virtual time, and the queue of events.

use std::{
    collections::{BTreeMap, VecDeque},
    time::{Duration, Instant},
};

use crate::domain::time::Timestamp;

/// Events within this many microseconds happen in the order in which they were caused.
const TICK: u64 = 200;
/// Number of ticks ahead with a slot each: thirteen seconds.
const RING: u64 = 1 << 16;
/// The start of every run's wall clock, so that signed bytes are the same.
const EPOCH: Timestamp = Timestamp(1_800_000_000_000);

/// Microseconds since the start of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time(u64);

impl Time {
    pub fn at(since_start: Duration) -> Self {
        Self::default().after(since_start)
    }

    pub fn after(self, duration: Duration) -> Self {
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(micros))
    }

    pub fn plus(self, micros: u64) -> Self {
        Self(self.0.saturating_add(micros))
    }

    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }

    /// Converts a monotonic time of a run that starts at `base`.
    pub fn of(instant: Instant, base: Instant) -> Self {
        Self::at(instant.saturating_duration_since(base))
    }

    pub fn micros(self) -> u64 {
        self.0
    }

    /// Returns the wall-clock time, on which all nodes agree.
    pub fn stamp(self) -> Timestamp {
        EPOCH.after(Duration::from_micros(self.0))
    }

    /// Returns the monotonic time of a run that starts at `base`.
    pub fn instant(self, base: Instant) -> Instant {
        base + Duration::from_micros(self.0)
    }
}

/// Events by time.
pub struct Queue<E> {
    tick: u64,
    /// The events of this tick.
    due: VecDeque<E>,
    ring: Vec<Vec<E>>,
    far: BTreeMap<u64, Vec<E>>,
    /// The first tick of `far`.
    next_far: u64,
    len: usize,
    /// The most events that ever waited.
    pub most: usize,
}

impl<E> Queue<E> {
    pub fn new() -> Self {
        Self {
            tick: 0,
            due: VecDeque::new(),
            ring: (0..RING).map(|_| Vec::new()).collect(),
            far: BTreeMap::new(),
            next_far: u64::MAX,
            len: 0,
            most: 0,
        }
    }

    pub fn push(&mut self, at: Time, event: E) {
        self.len += 1;
        self.most = self.most.max(self.len);
        let tick = at.0.div_ceil(TICK);
        if tick <= self.tick {
            self.due.push_back(event);
        } else if tick - self.tick >= RING {
            self.far.entry(tick).or_default().push(event);
            self.next_far = self.next_far.min(tick);
        } else if let Some(slot) = self.ring.get_mut((tick % RING) as usize) {
            slot.push(event);
        }
    }

    /// Returns the time of the next event.
    #[cfg(test)]
    pub fn next_at(&self) -> Option<Time> {
        if !self.due.is_empty() {
            return Some(Time(self.tick * TICK));
        }
        let near = (1..RING).find(|ahead| {
            let slot = self.ring.get(((self.tick + ahead) % RING) as usize);
            slot.is_some_and(|slot| !slot.is_empty())
        });
        let near = near.map(|ahead| self.tick + ahead);
        let far = self.far.keys().next().copied();
        near.into_iter()
            .chain(far)
            .min()
            .map(|tick| Time(tick * TICK))
    }

    /// Returns the next event and its time.
    pub fn pop(&mut self) -> Option<(Time, E)> {
        loop {
            if let Some(event) = self.due.pop_front() {
                self.len -= 1;
                return Some((Time(self.tick * TICK), event));
            }
            if self.len == 0 {
                return None;
            }
            self.tick += 1;
            if self.tick == self.next_far {
                self.due
                    .extend(self.far.remove(&self.tick).into_iter().flatten());
                self.next_far = self.far.keys().next().map_or(u64::MAX, |tick| *tick);
            }
            if let Some(slot) = self.ring.get_mut((self.tick % RING) as usize)
                && !slot.is_empty()
            {
                self.due.extend(slot.drain(..));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn everything_comes_once_in_order_of_time_and_of_cause(
            times in prop::collection::vec(0u64..20_000_000, 0..200),
        ) {
            let mut queue = Queue::new();
            for (n, micros) in times.iter().enumerate() {
                queue.push(Time(*micros), n);
            }
            prop_assert_eq!(queue.most, times.len());
            let mut last = (0, 0);
            let mut came = 0;
            while let Some((at, n)) = queue.pop() {
                prop_assert!(at.0 >= times[n] && at.0 < times[n] + TICK);
                prop_assert!((at.0, n) >= last || at.0 > last.0);
                last = (at.0, n);
                came += 1;
            }
            prop_assert_eq!(came, times.len());
        }
    }
}
