//! The record by which a run is judged: who received what, from whom and when; the ends of lookups;
//! and the bans.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use crate::{
    net::machines::LookupEnd,
    sim::{
        Id,
        node::{How, LookupOutcome},
        time::Time,
    },
};

/// A node that has been present for this long is in the others' meshes and receives announcements
/// by gossip.
const SETTLED: Duration = Duration::from_secs(8);
/// A node that is present, or back, has an announcement within this time: by gossip or by comparing
/// catalogues, which may have to wait in vain for a silent peer first.
pub const HEARD_WITHIN: Duration = Duration::from_secs(7);

/// An announcement of an honest node.
#[derive(Debug)]
pub struct Announced {
    pub package: u32,
    pub by: Id,
    pub at: Time,
    pub copies: u64,
    pub firsts: u64,
    /// The time at which each node received it, the peer that it came from first, and the way.
    heard: BTreeMap<Id, (Time, Id, How)>,
}

impl Announced {
    /// Returns the time at which a node received it by gossip.
    fn by_gossip(&self, id: Id) -> Option<Time> {
        let (at, _, how) = self.heard.get(&id)?;
        (*how == How::Gossip).then_some(*at)
    }

    /// Returns the number of hops until it reached a node: 1 for a direct neighbour, `None` if it
    /// came by comparing catalogues.
    fn hops(&self, to: Id) -> Option<usize> {
        let mut at = to;
        for hops in 1..=self.heard.len() {
            let (_, via, how) = self.heard.get(&at)?;
            if *how == How::Comparison {
                return None;
            }
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
    /// The times at which each node came and left; `None` for a node that is still there.
    sessions: BTreeMap<Id, Vec<(Time, Option<Time>)>>,
    pub lookups: Vec<LookupOutcome>,
    pub gets: Vec<(bool, Duration)>,
    pub gets_asked: usize,
    /// Bans, as pairs of the banning and the banned node.
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

    pub fn announced(&mut self, message: u32, package: u32, by: Id, now: Time) {
        self.announced.entry(message).or_insert_with(|| Announced {
            package,
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

    pub fn heard(&mut self, message: u32, by: Id, via: Id, how: How, now: Time) {
        if let Some(one) = self.announced.get_mut(&message) {
            one.heard.entry(by).or_insert((now, via, how));
        }
    }

    pub fn all_announced(&self) -> impl Iterator<Item = &Announced> {
        self.announced.values()
    }

    fn sessions(&self, id: Id) -> &[(Time, Option<Time>)] {
        self.sessions.get(&id).map_or(&[], Vec::as_slice)
    }

    /// Returns true if a node was present from long enough before a time until long enough after
    /// it.
    fn was_there(&self, id: Id, at: Time) -> bool {
        self.sessions(id).iter().any(|(from, until)| {
            from.after(SETTLED) <= at && until.is_none_or(|until| until >= at.after(HEARD_WITHIN))
        })
    }

    /// Returns true if a node was present for long enough at any time between the announcement and
    /// the end of the run.
    fn should_know(&self, id: Id, at: Time, end: Time) -> bool {
        self.sessions(id).iter().any(|(from, until)| {
            let begins = (*from).max(at);
            begins.after(HEARD_WITHIN) <= until.unwrap_or(end)
        })
    }

    /// Returns true if a node received an announcement, or a later one of the same package, which
    /// replaces it.
    fn knows(&self, id: Id, message: u32, package: u32) -> bool {
        let later = self.announced.range(message..);
        let mut later = later.filter(|(_, one)| one.package == package);
        later.any(|(_, one)| one.heard.contains_key(&id))
    }

    /// Returns the nodes of `honest` that should have received each announcement by the end, in any
    /// way.
    fn expected<'a>(
        &'a self,
        honest: &'a [Id],
        end: Time,
    ) -> impl Iterator<Item = (u32, &'a Announced, Id)> {
        self.announced.iter().flat_map(move |(message, one)| {
            let others = honest.iter().filter(|id| **id != one.by);
            others
                .filter(move |id| self.should_know(**id, one.at, end))
                .map(move |id| (*message, one, *id))
        })
    }

    /// Returns those of them that did not.
    pub fn missed(&self, honest: &[Id], end: Time) -> Vec<(u32, Id)> {
        let all = self.expected(honest, end);
        all.filter(|(message, one, id)| !self.knows(*id, *message, one.package))
            .map(|(message, _, id)| (message, id))
            .collect()
    }

    /// Returns the share of expected deliveries that happened.
    pub fn delivered(&self, honest: &[Id], end: Time) -> Option<f64> {
        let expected = self.expected(honest, end).count();
        let missed = self.missed(honest, end).len();
        (expected > 0).then(|| (expected - missed) as f64 / expected as f64)
    }

    /// Returns the number of deliveries by comparing catalogues.
    pub fn compared(&self, honest: &[Id]) -> usize {
        let all = self.announced.values().flat_map(|one| &one.heard);
        all.filter(|(id, (.., how))| *how == How::Comparison && honest.binary_search(id).is_ok())
            .count()
    }

    /// Returns the share of announcements that gossip delivered to nodes that had been present for
    /// a while.
    pub fn gossiped(&self, honest: &[Id]) -> Option<f64> {
        let (mut all, mut heard) = (0usize, 0usize);
        for one in self.announced.values() {
            for id in honest.iter().filter(|id| **id != one.by) {
                if self.was_there(*id, one.at) {
                    all += 1;
                    heard += usize::from(one.by_gossip(*id).is_some());
                }
            }
        }
        (all > 0).then(|| heard as f64 / all as f64)
    }

    /// Returns the milliseconds until gossip delivered each announcement to each honest node.
    pub fn delays_ms(&self, honest: &[Id]) -> Vec<f64> {
        let all = self.announced.values().flat_map(|one| {
            let heard = honest.iter().filter_map(|id| one.by_gossip(*id));
            heard.map(|at| at.since(one.at).as_secs_f64() * 1_000.0)
        });
        all.collect()
    }

    /// Returns the hops of each delivery.
    pub fn hops(&self) -> Vec<f64> {
        let all = self.announced.values();
        all.flat_map(|one| one.heard.keys().filter_map(|id| one.hops(*id)))
            .map(|hops| hops as f64)
            .collect()
    }

    pub fn timed_out(&self) -> usize {
        let is_late = |found: &&LookupOutcome| found.ended == LookupEnd::TimedOut;
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
        let (mut book, end) = (Book::default(), at(40));
        (0..6).for_each(|id| book.entered(id, at(0)));
        book.left(3, at(22));
        book.left(4, at(15));
        book.entered(4, at(30));
        book.announced(7, 1, 0, at(20));
        book.heard(7, 1, 0, How::Gossip, at(21));
        book.heard(7, 2, 1, How::Gossip, at(22));
        assert_eq!(book.missed(&[0, 1, 2, 3], end), [], "it left at once");
        assert_eq!(book.missed(&[0, 1, 4], end), [(7, 4)], "it was back");
        assert_eq!(book.delivered(&[0, 1, 2, 5], end), Some(2.0 / 3.0));
        book.heard(7, 4, 1, How::Comparison, at(31));
        assert_eq!(book.missed(&[0, 1, 4], end), []);
        assert_eq!(
            (book.compared(&[1, 4]), book.gossiped(&[1, 4, 5])),
            (1, Some(0.5))
        );
        assert_eq!(book.hops(), [1.0, 2.0]);
        assert_eq!(book.delays_ms(&[1, 2, 4]), [1_000.0, 2_000.0]);
        book.announced(8, 1, 0, at(25));
        book.heard(8, 5, 0, How::Gossip, at(26));
        assert_eq!(book.missed(&[5], end), [], "it wants the older one no more");
    }
}
