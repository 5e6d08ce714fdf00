//! How much one peer may send.

use std::time::Duration;

use super::time::Timestamp;

/// How many messages there may be: so many at once, and so many a second after that.
#[derive(Clone, Copy, Debug)]
pub struct Allowance {
    left: f64,
    at: Timestamp,
    /// When one was taken last.
    taken: Option<Timestamp>,
    at_once: f64,
    a_second: f64,
}

impl Allowance {
    /// What a node itself sends, so that nobody can take it for a flood; the rest goes with the
    /// comparing of catalogues.
    pub fn sent(now: Timestamp) -> Self {
        Self::new(500.0, 10.0, now)
    }

    /// What is taken of a peer: twice as much, because messages bunch up on their way.
    pub fn received(now: Timestamp) -> Self {
        let Self {
            at_once, a_second, ..
        } = Self::sent(now);
        Self::new(2.0 * at_once, 2.0 * a_second, now)
    }

    /// What is taken of one peer that passes on what many sent.
    pub fn of_many(now: Timestamp) -> Self {
        let Self {
            at_once, a_second, ..
        } = Self::received(now);
        Self::new(10.0 * at_once, 10.0 * a_second, now)
    }

    /// A tenth of it, which unknown identities of a prefix share that has several banned ones.
    pub fn tenth(self) -> Self {
        Self {
            left: self.left / 10.0,
            at_once: self.at_once / 10.0,
            a_second: self.a_second / 10.0,
            ..self
        }
    }

    /// So many at once, and so many a second after that.
    pub fn new(at_once: f64, a_second: f64, now: Timestamp) -> Self {
        Self {
            left: at_once,
            at: now,
            taken: None,
            at_once,
            a_second,
        }
    }

    /// How many there may be now, of as many as there may ever be: 0 to 1.
    pub fn share(&self, now: Timestamp) -> f64 {
        self.left(now) / self.at_once
    }

    /// How many there may be now; less than none where more was used than there was.
    pub fn left(&self, now: Timestamp) -> f64 {
        (self.left + now.since(self.at).as_secs_f64() * self.a_second).min(self.at_once)
    }

    /// Takes what was used, of which more may have been than there was: then the rest is owed.
    pub fn spend(&mut self, amount: f64, now: Timestamp) {
        (self.left, self.at) = ((self.left(now) - amount).max(-self.at_once), now);
    }

    /// Gives one back that turned out to be well spent.
    pub fn give_back(&mut self, now: Timestamp) {
        (self.left, self.at) = ((self.left(now) + 1.0).min(self.at_once), now);
    }

    /// The time since one was taken last; for ever where none ever was.
    pub fn rested(&self, now: Timestamp) -> Duration {
        self.taken.map_or(Duration::MAX, |taken| now.since(taken))
    }

    /// Takes one; false when there is none left.
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
