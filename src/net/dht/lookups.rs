//! The running DHT lookups. Each has a deadline and resolves exactly once, however it ends.

use std::{
    collections::HashMap,
    hash::Hash,
    time::{Duration, Instant},
};

use libp2p::PeerId;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use crate::domain::record::{DhtKey, Record};

/// The condition on which a lookup ends early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Want {
    /// One valid answer is enough: for immutable records.
    First,
    /// Valid answers of this many different peers, not counting our own copy: for heads.
    Quorum(usize),
}

/// A verified answer and the peer that gave it; `None` for our own copy.
#[derive(Clone, Debug)]
pub struct DhtAnswer {
    pub peer: Option<PeerId>,
    pub record: Record,
}

/// The way a lookup ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LookupEnd {
    /// It got what it wanted.
    Satisfied,
    /// All peers worth asking were asked.
    Exhausted,
    /// The deadline passed; the answers are those received by then.
    TimedOut,
}

/// The result of a lookup.
#[derive(Clone, Debug)]
pub struct Lookup {
    pub answers: Vec<DhtAnswer>,
    pub ended: LookupEnd,
    /// Number of peers asked, as far as Kademlia reported.
    pub asked: usize,
    /// The number of its trace.
    pub trace: u64,
}

/// The result of a lookup, for the statistics.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LookupStats {
    pub found: bool,
    /// No peer answered. "Not found" counts as an answer.
    pub unanswered: bool,
    pub took: Duration,
}

pub struct PendingLookup {
    pub key: DhtKey,
    pub want: Want,
    pub started: Instant,
    pub deadline: Instant,
    pub reply: oneshot::Sender<Lookup>,
    /// Held while the lookup runs, which bounds the number of lookups.
    pub _permit: Option<OwnedSemaphorePermit>,
    pub answers: Vec<DhtAnswer>,
    pub asked: usize,
    pub trace: u64,
}

impl PendingLookup {
    fn is_satisfied(&self) -> bool {
        match self.want {
            Want::First => !self.answers.is_empty(),
            Want::Quorum(least) => {
                let mut peers: Vec<_> = self
                    .answers
                    .iter()
                    .filter_map(|answer| answer.peer)
                    .collect();
                peers.sort_unstable();
                peers.dedup();
                peers.len() >= least
            }
        }
    }

    fn resolve(self, ended: LookupEnd, now: Instant) -> LookupStats {
        let found = !self.answers.is_empty();
        let unanswered = !found && (ended == LookupEnd::TimedOut || self.asked == 0);
        let done = LookupStats {
            found,
            unanswered,
            took: now.saturating_duration_since(self.started),
        };
        // The asker may have gone.
        let _ = self.reply.send(Lookup {
            answers: self.answers,
            ended,
            asked: self.asked,
            trace: self.trace,
        });
        done
    }
}

/// Running lookups by their Kademlia ids.
pub struct Lookups<Id> {
    running: HashMap<Id, PendingLookup>,
}

impl<Id: Copy + Eq + Hash> Lookups<Id> {
    pub fn new() -> Self {
        Self {
            running: HashMap::new(),
        }
    }

    pub fn start(&mut self, id: Id, pending: PendingLookup) {
        self.running.insert(id, pending);
    }

    /// Returns the key of a running lookup.
    pub fn key(&self, id: &Id) -> Option<DhtKey> {
        self.running.get(id).map(|pending| pending.key)
    }

    pub fn asked(&mut self, id: &Id, asked: usize) {
        if let Some(pending) = self.running.get_mut(id) {
            pending.asked = pending.asked.max(asked);
        }
    }

    /// Adds an answer. Returns `Some` if it satisfies the lookup, which is then resolved and can be
    /// stopped in Kademlia.
    pub fn answer(&mut self, id: &Id, answer: DhtAnswer, now: Instant) -> Option<LookupStats> {
        let pending = self.running.get_mut(id)?;
        pending.answers.push(answer);
        if !pending.is_satisfied() {
            return None;
        }
        self.running
            .remove(id)
            .map(|pending| pending.resolve(LookupEnd::Satisfied, now))
    }

    /// Notes that Kademlia finished the lookup. Returns `Some` unless it was resolved before.
    pub fn end(&mut self, id: &Id, ended: LookupEnd, now: Instant) -> Option<LookupStats> {
        self.running
            .remove(id)
            .map(|pending| pending.resolve(ended, now))
    }

    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.running.len()
    }

    pub fn next_deadline(&self) -> Option<Instant> {
        self.running.values().map(|pending| pending.deadline).min()
    }

    /// Resolves the lookups that are past their deadline. Returns them with their results, so that
    /// Kademlia can stop them.
    pub fn expire(&mut self, now: Instant) -> Vec<(Id, LookupStats)> {
        // If the asker has gone, treat the lookup as expired.
        let over = |pending: &PendingLookup| pending.deadline <= now || pending.reply.is_closed();
        let ids: Vec<Id> = self
            .running
            .iter()
            .filter(|(_, pending)| over(pending))
            .map(|(id, _)| *id)
            .collect();
        ids.into_iter()
            .filter_map(|id| Some((id, self.end(&id, LookupEnd::TimedOut, now)?)))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::record::tests::head_record;

    fn pending(want: Want, deadline: Instant) -> (PendingLookup, oneshot::Receiver<Lookup>) {
        let (reply, receiver) = oneshot::channel();
        let key = DhtKey([7; 32]);
        (
            PendingLookup {
                key,
                want,
                started: Instant::now(),
                deadline,
                reply,
                _permit: None,
                answers: vec![],
                asked: 0,
                trace: 1,
            },
            receiver,
        )
    }

    #[derive(Clone, Copy, Debug)]
    enum Step {
        Answer(u8),
        OwnCopy,
        End(bool),
        Expire,
    }

    proptest! {
        #[test]
        fn whatever_happens_it_resolves_exactly_once(
            quorum in 1usize..4,
            steps in proptest::collection::vec(prop_oneof![
                (0u8..5).prop_map(Step::Answer),
                Just(Step::OwnCopy),
                any::<bool>().prop_map(Step::End),
                Just(Step::Expire),
            ], 0..20),
        ) {
            let peers: Vec<PeerId> = (0..5).map(|_| PeerId::random()).collect();
            let record = head_record("web");
            let now = Instant::now();
            let mut lookups = Lookups::new();
            let (pending, mut receiver) = pending(Want::Quorum(quorum), now);
            lookups.start(1, pending);
            for step in steps {
                match step {
                    Step::Answer(peer) => {
                        lookups.answer(&1, DhtAnswer { peer: Some(peers[usize::from(peer)]), record: record.clone() }, now);
                    }
                    Step::OwnCopy => {
                        lookups.answer(&1, DhtAnswer { peer: None, record: record.clone() }, now);
                    }
                    Step::End(timed_out) => {
                        lookups.end(&1, if timed_out { LookupEnd::TimedOut } else { LookupEnd::Exhausted }, now);
                    }
                    Step::Expire => drop(lookups.expire(now)),
                }
            }
            lookups.expire(now);
            let lookup = receiver.try_recv().expect("resolved by its deadline at the latest");
            let mut distinct: Vec<_> = lookup.answers.iter().filter_map(|answer| answer.peer).collect();
            distinct.sort();
            distinct.dedup();
            prop_assert_eq!(lookup.ended == LookupEnd::Satisfied, distinct.len() >= quorum);
            prop_assert!(lookups.next_deadline().is_none());
        }
    }

    #[test]
    fn a_deadline_returns_what_came() {
        let now = Instant::now();
        let mut lookups = Lookups::new();
        let (pending, mut receiver) = pending(Want::Quorum(3), now + Duration::from_secs(1));
        lookups.start("a", pending);
        lookups.answer(
            &"a",
            DhtAnswer {
                peer: Some(PeerId::random()),
                record: head_record("web"),
            },
            now,
        );
        assert!(lookups.expire(now).is_empty());
        let expired = lookups.expire(now + Duration::from_secs(1));
        assert!(
            matches!(
                expired.as_slice(),
                [(
                    "a",
                    LookupStats {
                        found: true,
                        unanswered: false,
                        ..
                    }
                )]
            ),
            "{expired:?}"
        );
        let lookup = receiver.try_recv().unwrap();
        assert_eq!(
            (lookup.answers.len(), lookup.ended),
            (1, LookupEnd::TimedOut)
        );
    }

    #[test]
    fn an_asker_that_left_frees_its_place() {
        let mut lookups = Lookups::new();
        let (pending, receiver) = pending(Want::First, Instant::now() + Duration::from_secs(60));
        lookups.start(1, pending);
        drop(receiver);
        assert_eq!(lookups.expire(Instant::now()).len(), 1);
    }
}
