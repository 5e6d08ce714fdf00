//! What a run is judged by: who heard what, from whom, and when; how lookups ended; who was banned.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use crate::{
    net::machines::Ended,
    sim::{Id, node::Found, time::Time},
};

/// Whoever has been there for so long is connected with the others.
const SETTLED: Duration = Duration::from_secs(8);
/// And hears of an announcement within this.
pub const HEARD_WITHIN: Duration = Duration::from_secs(10);

/// An announcement of an honest node.
#[derive(Debug)]
pub struct Announced {
    pub by: Id,
    pub at: Time,
    pub copies: u64,
    pub firsts: u64,
    /// When each heard of it, and first from whom.
    heard: BTreeMap<Id, (Time, Id)>,
}

impl Announced {
    /// Peers that passed it on one after the other until it reached a node: 1 for the first.
    fn hops(&self, to: Id) -> Option<usize> {
        let mut at = to;
        for hops in 1..=self.heard.len() {
            let (_, via) = self.heard.get(&at)?;
            if *via == self.by {
                return Some(hops);
            }
            at = *via;
        }
        None
    }
}

#[derive(Debug, Default)]
pub struct Book {
    announced: BTreeMap<u32, Announced>,
    /// When each node came and left, the last time without an end.
    sessions: BTreeMap<Id, Vec<(Time, Option<Time>)>>,
    pub lookups: Vec<Found>,
    pub gets: Vec<(bool, Duration)>,
    pub gets_asked: usize,
    /// Who was banned by whom.
    pub bans: BTreeSet<(Id, Id)>,
    pub bans_at: BTreeMap<Id, Time>,
    pub sent: u64,
    pub lost: u64,
}

impl Book {
    pub fn entered(&mut self, id: Id, now: Time) {
        self.sessions.entry(id).or_default().push((now, None));
    }

    pub fn left(&mut self, id: Id, now: Time) {
        let last = self.sessions.get_mut(&id).and_then(|all| all.last_mut());
        if let Some((_, end)) = last {
            *end = Some(now);
        }
    }

    pub fn announced(&mut self, message: u32, by: Id, now: Time) {
        self.announced.entry(message).or_insert_with(|| Announced {
            by,
            at: now,
            copies: 0,
            firsts: 0,
            heard: BTreeMap::new(),
        });
    }

    pub fn copy(&mut self, message: u32, first: bool) {
        if let Some(one) = self.announced.get_mut(&message) {
            one.copies += 1;
            one.firsts += u64::from(first);
        }
    }

    pub fn heard(&mut self, message: u32, by: Id, via: Id, now: Time) {
        if let Some(one) = self.announced.get_mut(&message) {
            one.heard.entry(by).or_insert((now, via));
        }
    }

    pub fn all_announced(&self) -> impl Iterator<Item = &Announced> {
        self.announced.values()
    }

    /// Whether a node was there from long enough before a time until long enough after it.
    fn was_there(&self, id: Id, at: Time) -> bool {
        let sessions = self.sessions.get(&id).into_iter().flatten();
        sessions.clone().any(|(from, until)| {
            from.after(SETTLED) <= at && until.is_none_or(|until| until >= at.after(HEARD_WITHIN))
        })
    }

    /// Those of `honest` that should have heard of each announcement, and did not.
    pub fn missed(&self, honest: &[Id]) -> Vec<(u32, Id)> {
        let all = self.expected(honest);
        all.filter(|(_, one, id)| !one.heard.contains_key(id))
            .map(|(message, _, id)| (message, id))
            .collect()
    }

    fn expected<'a>(&'a self, honest: &'a [Id]) -> impl Iterator<Item = (u32, &'a Announced, Id)> {
        self.announced.iter().flat_map(move |(message, one)| {
            let others = honest.iter().filter(|id| **id != one.by);
            others
                .filter(|id| self.was_there(**id, one.at))
                .map(move |id| (*message, one, *id))
        })
    }

    /// Share of what should have been heard that was.
    pub fn delivered(&self, honest: &[Id]) -> Option<f64> {
        let expected = self.expected(honest).count();
        let missed = self.missed(honest).len();
        (expected > 0).then(|| (expected - missed) as f64 / expected as f64)
    }

    /// Milliseconds until each honest node heard of each announcement.
    pub fn delays_ms(&self, honest: &[Id]) -> Vec<f64> {
        let all = self.expected(honest);
        all.filter_map(|(_, one, id)| {
            let (at, _) = one.heard.get(&id)?;
            Some(at.since(one.at).as_secs_f64() * 1_000.0)
        })
        .collect()
    }

    /// Hops of each delivery.
    pub fn hops(&self) -> Vec<f64> {
        let all = self.announced.values();
        all.flat_map(|one| one.heard.keys().filter_map(|id| one.hops(*id)))
            .map(|hops| hops as f64)
            .collect()
    }

    pub fn timed_out(&self) -> usize {
        let is_late = |found: &&Found| found.ended == Ended::TimedOut;
        self.lookups.iter().filter(is_late).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Time {
        Time::at(Duration::from_secs(seconds))
    }

    #[test]
    fn only_who_was_there_is_missed_and_hops_are_counted_back_to_the_author() {
        let mut book = Book::default();
        (0..5).for_each(|id| book.entered(id, at(0)));
        book.left(3, at(22));
        book.entered(4, at(19));
        book.announced(7, 0, at(20));
        book.heard(7, 1, 0, at(21));
        book.heard(7, 2, 1, at(22));
        assert_eq!(book.missed(&[0, 1, 2, 3]), []);
        assert_eq!(
            book.missed(&[0, 1, 4]),
            [(7, 4)],
            "it was there the first time"
        );
        assert_eq!(book.hops(), [1.0, 2.0]);
        assert_eq!(book.delays_ms(&[1, 2]), [1_000.0, 2_000.0]);
        assert_eq!(book.delivered(&[0, 1, 2, 4]), Some(2.0 / 3.0));
    }
}
