//! A token bucket: a bound on how much one peer may send.

use std::time::Duration;

use super::time::Timestamp;

/// A token bucket: `at_once` tokens when full, refilled with `a_second` tokens a second.
#[derive(Clone, Copy, Debug)]
pub struct Allowance {
    left: f64,
    at: Timestamp,
    /// The time of the last successful [`take`](Self::take).
    taken: Option<Timestamp>,
    at_once: f64,
    a_second: f64,
}

impl Allowance {
    /// Returns the allowance a node keeps to when it sends (500 at once, 10 a second), so that no
    /// peer takes it for a flood. Catalogue comparison carries the rest.
    pub fn sent(now: Timestamp) -> Self {
        Self::new(500.0, 10.0, now)
    }

    /// Returns the allowance granted to a peer: twice what a node sends, because messages bunch up
    /// in transit.
    pub fn received(now: Timestamp) -> Self {
        let Self {
            at_once, a_second, ..
        } = Self::sent(now);
        Self::new(2.0 * at_once, 2.0 * a_second, now)
    }

    /// Returns the allowance granted to a peer that forwards messages of many authors.
    pub fn of_many(now: Timestamp) -> Self {
        let Self {
            at_once, a_second, ..
        } = Self::received(now);
        Self::new(10.0 * at_once, 10.0 * a_second, now)
    }

    /// Returns a tenth of the allowance, for unknown identities behind a prefix with several banned
    /// ones.
    pub fn tenth(self) -> Self {
        Self {
            left: self.left / 10.0,
            at_once: self.at_once / 10.0,
            a_second: self.a_second / 10.0,
            ..self
        }
    }

    /// Creates a full bucket of `at_once` tokens that gains `a_second` tokens a second.
    pub fn new(at_once: f64, a_second: f64, now: Timestamp) -> Self {
        Self {
            left: at_once,
            at: now,
            taken: None,
            at_once,
            a_second,
        }
    }

    /// Returns the tokens left as a share of a full bucket. Negative while in debt, 1 at most.
    pub fn share(&self, now: Timestamp) -> f64 {
        self.left(now) / self.at_once
    }

    /// Returns the tokens left; negative while in debt.
    pub fn left(&self, now: Timestamp) -> f64 {
        (self.left + now.since(self.at).as_secs_f64() * self.a_second).min(self.at_once)
    }

    /// Takes `amount` tokens and goes into debt if there are fewer, by one full bucket at most.
    pub fn spend(&mut self, amount: f64, now: Timestamp) {
        (self.left, self.at) = ((self.left(now) - amount).max(-self.at_once), now);
    }

    /// Returns one token that turned out to be well spent.
    pub fn give_back(&mut self, now: Timestamp) {
        (self.left, self.at) = ((self.left(now) + 1.0).min(self.at_once), now);
    }

    /// Returns the time since the last token was taken, or [`Duration::MAX`] if none ever was.
    pub fn rested(&self, now: Timestamp) -> Duration {
        self.taken.map_or(Duration::MAX, |taken| now.since(taken))
    }

    /// Takes one token. Returns false if there is none left.
    pub fn take(&mut self, now: Timestamp) -> bool {
        (self.left, self.at) = (self.left(now), now);
        let taken = self.left >= 1.0;
        if taken {
            self.left -= 1.0;
            self.taken = Some(now);
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_700_000_000_000);

    #[test]
    fn a_thousand_messages_a_second_are_flooding_and_ten_never_are() {
        let (mut busy, mut flood) = (Allowance::received(NOW), Allowance::received(NOW));
        let millis = |n| NOW.after(Duration::from_millis(n));
        assert!((0..36_000).all(|n| busy.take(millis(n * 100))));
        let beyond = (0..3_000).filter(|n| !flood.take(millis(*n))).count();
        assert!(beyond > 500, "{beyond}");
        let mut own = Allowance::sent(NOW);
        let sent = (0..60_000)
            .filter(|n| own.take(millis(*n)))
            .map(millis)
            .collect::<Vec<_>>();
        let mut other = Allowance::received(NOW);
        assert!(
            sent.into_iter().all(|at| other.take(at)),
            "whoever keeps to its own is within that of the others"
        );
    }
}
