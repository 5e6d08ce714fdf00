//! This node's own DHT queries: record lookups, puts, provider lookups, and lookups that a person
//! started. A state machine without I/O: it takes Kademlia's results and the time as events,
//! answers each caller exactly once, and returns orders for the task.

use std::{collections::HashMap, hash::Hash, time::Instant};

use libp2p::PeerId;
use tokio::sync::{mpsc, oneshot};

use super::{
    looks::Looks,
    lookups::{DhtAnswer, LookupEnd, LookupStats, Lookups, PendingLookup},
    providers::ProviderAnswers,
};
use crate::domain::{
    lookup::End,
    record::{Class, Record, Refusal},
    reputation::Outcome,
};

/// A put is complete once this many peers have acknowledged it; the others are still sent the
/// record.
pub const PUT_QUORUM: usize = 3;

/// A result of Kademlia's, or the passing of time.
#[derive(Clone, Debug)]
pub enum DhtEvent<Id> {
    /// This many peers have been asked so far.
    Asked(Id, usize),
    /// A peer, or this node itself, has a record. Kademlia does not verify its bytes.
    Found(Id, Option<PeerId>, Vec<u8>),
    /// The closest peers to the key that were asked and had no record.
    Missing(Vec<PeerId>),
    /// A record lookup has ended.
    LookedUp(Id, LookupEnd),
    /// A put has ended, and this many peers acknowledged it.
    Put(Id, usize),
    /// These peers have a content.
    Providers(Id, Vec<PeerId>),
    /// These are the closest peers.
    Closest(Id, Vec<PeerId>),
    /// An announcement of a content in the DHT has succeeded or failed.
    Provided(Id),
    /// Kademlia is done with a query.
    Last(Id),
    /// Time has passed.
    Due,
}

/// An action for the task.
#[derive(Clone, Debug, PartialEq)]
pub enum DhtAction<Id> {
    /// Stop a query whose result nobody waits for any more.
    Stop(Id, End),
    /// Dial a provider. Kademlia knows its addresses only while the query runs.
    Dial(PeerId),
    Observe(PeerId, Outcome),
    /// Count a refused record.
    Refused(Refusal),
    /// Count a wrong answer of a peer to a query.
    Wrong(Id, Option<PeerId>),
    /// Count a finished record lookup.
    Done(LookupStats),
}

/// A running put. `reply` is `None` if nobody waits for it.
struct Put {
    deadline: Instant,
    reply: Option<oneshot::Sender<usize>>,
}

/// The running queries, by their Kademlia ids.
pub struct Queries<Id> {
    lookups: Lookups<Id>,
    puts: HashMap<Id, Put>,
    findings: ProviderAnswers<Id>,
    looks: Looks<Id>,
    /// Callers that wait until a content is announced in the DHT.
    providing: HashMap<Id, oneshot::Sender<()>>,
}

impl<Id: Copy + Eq + Hash> Queries<Id> {
    pub fn new() -> Self {
        Self {
            lookups: Lookups::new(),
            puts: HashMap::new(),
            findings: ProviderAnswers::new(),
            looks: Looks::new(),
            providing: HashMap::new(),
        }
    }

    pub fn look_up(&mut self, id: Id, pending: PendingLookup) {
        self.lookups.start(id, pending);
    }

    /// Adds a put. `reply` receives the number of peers that acknowledged it, or nothing at the
    /// deadline.
    pub fn put(&mut self, id: Id, deadline: Instant, reply: Option<oneshot::Sender<usize>>) {
        self.puts.insert(id, Put { deadline, reply });
    }

    /// Adds a provider lookup. Providers are sent to `found`, which closes when the query ends.
    pub fn find_providers(&mut self, id: Id, deadline: Instant, found: mpsc::Sender<PeerId>) {
        self.findings.start(id, deadline, found);
    }

    /// Adds a lookup that a person started. `reply` receives the number of the trace and the peers
    /// found.
    pub fn look(
        &mut self,
        id: Id,
        number: u64,
        deadline: Instant,
        reply: oneshot::Sender<(u64, Vec<PeerId>)>,
    ) {
        self.looks.start(id, number, deadline, reply);
    }

    /// Adds an announcement of a content. `reply` is told when the DHT has it.
    pub fn provide(&mut self, id: Id, reply: oneshot::Sender<()>) {
        self.providing.insert(id, reply);
    }

    /// Returns the number of running queries that somebody waits for.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.lookups.len()
            + self.puts.len()
            + self.findings.len()
            + self.looks.len()
            + self.providing.len()
    }

    /// Takes an event and returns the actions for it, in order.
    pub fn on(&mut self, event: DhtEvent<Id>, now: Instant) -> Vec<DhtAction<Id>> {
        match event {
            DhtEvent::Asked(id, asked) => {
                self.lookups.asked(&id, asked);
                Vec::new()
            }
            DhtEvent::Found(id, peer, value) => self.found(id, peer, &value, now),
            DhtEvent::Missing(peers) => peers
                .into_iter()
                .map(|peer| DhtAction::Observe(peer, Outcome::AnswerMissing))
                .collect(),
            DhtEvent::LookedUp(id, ended) => {
                let done = self.lookups.end(&id, ended, now);
                done.map(DhtAction::Done).into_iter().collect()
            }
            DhtEvent::Put(id, acknowledged) => {
                acknowledge(self.puts.remove(&id), acknowledged);
                Vec::new()
            }
            DhtEvent::Providers(id, peers) => {
                self.looks.add(&id, &peers);
                let new = self.findings.found(&id, &peers);
                new.into_iter().map(DhtAction::Dial).collect()
            }
            DhtEvent::Closest(id, peers) => {
                self.looks.set(&id, peers);
                Vec::new()
            }
            DhtEvent::Provided(id) => {
                self.providing.remove(&id);
                Vec::new()
            }
            DhtEvent::Last(id) => {
                self.looks.end(&id);
                self.findings.end(&id);
                Vec::new()
            }
            DhtEvent::Due => self.expire(now),
        }
    }

    fn found(
        &mut self,
        id: Id,
        peer: Option<PeerId>,
        value: &[u8],
        now: Instant,
    ) -> Vec<DhtAction<Id>> {
        let Some(key) = self.lookups.key(&id) else {
            return Vec::new();
        };
        match Record::verify(&key, value) {
            Ok(record) => {
                let right = peer.map(|peer| DhtAction::Observe(peer, Outcome::AnswerRight));
                let done = self.lookups.answer(&id, DhtAnswer { peer, record }, now);
                let ended =
                    done.map(|done| [DhtAction::Done(done), DhtAction::Stop(id, End::Enough)]);
                right
                    .into_iter()
                    .chain(ended.into_iter().flatten())
                    .collect()
            }
            Err(refusal) => {
                let faulty = peer.filter(|_| refusal.class() == Class::Reject);
                let outcome = if refusal.is_proven() {
                    Outcome::RecordInvalid
                } else {
                    Outcome::AnswerWrong
                };
                let mut orders = vec![DhtAction::Refused(refusal), DhtAction::Wrong(id, peer)];
                orders.extend(faulty.map(|peer| DhtAction::Observe(peer, outcome)));
                orders
            }
        }
    }

    /// Ends the queries that are past their deadline, with the results so far.
    fn expire(&mut self, now: Instant) -> Vec<DhtAction<Id>> {
        let mut orders = Vec::new();
        for (id, done) in self.lookups.expire(now) {
            orders.extend([DhtAction::Done(done), DhtAction::Stop(id, End::Deadline)]);
        }
        let late = self.findings.expire(now).into_iter();
        let late = late.chain(self.looks.expire(now));
        orders.extend(late.map(|id| DhtAction::Stop(id, End::Deadline)));
        for (_, put) in self.puts.extract_if(|_, put| put.deadline <= now) {
            acknowledge(Some(put), 0);
        }
        orders
    }

    pub fn next_deadline(&self) -> Option<Instant> {
        let puts = self.puts.values().map(|put| put.deadline).min();
        [
            self.lookups.next_deadline(),
            self.findings.next_deadline(),
            self.looks.next_deadline(),
            puts,
        ]
        .into_iter()
        .flatten()
        .min()
    }
}

fn acknowledge(put: Option<Put>, acknowledged: usize) {
    if let Some(reply) = put.and_then(|put| put.reply) {
        // The caller may have gone.
        let _ = reply.send(acknowledged);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::{
        domain::record::{DhtKey, tests::head_record},
        net::{Lookup, Want},
    };

    const SECOND: Duration = Duration::from_secs(1);

    fn look_up(
        queries: &mut Queries<u32>,
        id: u32,
        key: DhtKey,
        want: Want,
        now: Instant,
    ) -> oneshot::Receiver<Lookup> {
        let (reply, receiver) = oneshot::channel();
        let pending = PendingLookup {
            key,
            want,
            started: now,
            deadline: now + SECOND,
            reply,
            _permit: None,
            answers: Vec::new(),
            asked: 0,
            trace: 1,
        };
        queries.look_up(id, pending);
        receiver
    }

    #[test]
    fn a_right_answer_ends_a_lookup_and_counts_for_who_gave_it() {
        let (now, peer) = (Instant::now(), PeerId::random());
        let record = head_record("web");
        let mut queries = Queries::new();
        let mut found = look_up(&mut queries, 1, record.key(), Want::First, now);
        let event = DhtEvent::Found(1, Some(peer), record.envelope().to_vec());
        let orders = queries.on(event.clone(), now);
        assert!(
            matches!(
                orders.as_slice(),
                [
                    DhtAction::Observe(who, Outcome::AnswerRight),
                    DhtAction::Done(LookupStats { found: true, .. }),
                    DhtAction::Stop(1, End::Enough)
                ] if *who == peer
            ),
            "{orders:?}"
        );
        assert_eq!(found.try_recv().unwrap().answers.len(), 1);
        assert_eq!(queries.on(event, now), [], "nobody asks any more");
    }

    #[test]
    fn a_wrong_answer_counts_against_who_gave_it_and_the_lookup_goes_on() {
        let (now, peer) = (Instant::now(), PeerId::random());
        let (record, other) = (head_record("web"), head_record("other"));
        let mut queries = Queries::new();
        let mut found = look_up(&mut queries, 1, record.key(), Want::First, now);
        for value in [b"no record".to_vec(), other.envelope().to_vec()] {
            let orders = queries.on(DhtEvent::Found(1, Some(peer), value), now);
            assert!(
                matches!(
                    orders.as_slice(),
                    [
                        DhtAction::Refused(_),
                        DhtAction::Wrong(1, Some(_)),
                        DhtAction::Observe(_, Outcome::AnswerWrong | Outcome::RecordInvalid)
                    ]
                ),
                "{orders:?}"
            );
        }
        assert!(found.try_recv().is_err(), "it goes on");
        queries.on(DhtEvent::LookedUp(1, LookupEnd::Exhausted), now);
        assert_eq!(found.try_recv().unwrap().ended, LookupEnd::Exhausted);
    }

    #[test]
    fn a_put_replies_what_was_acknowledged_or_nothing_at_its_deadline() {
        let now = Instant::now();
        let mut queries = Queries::new();
        let mut put = |id| {
            let (reply, receiver) = oneshot::channel();
            queries.put(id, now + SECOND, Some(reply));
            receiver
        };
        let (mut first, mut late) = (put(1), put(2));
        queries.on(DhtEvent::Put(1, 3), now);
        assert_eq!(queries.on(DhtEvent::Due, now + SECOND), []);
        assert_eq!(first.try_recv(), Ok(3));
        assert_eq!(late.try_recv(), Ok(0));
        assert_eq!(queries.next_deadline(), None);
    }

    #[test]
    fn each_provider_is_told_and_dialled_once() {
        let (now, peers) = (Instant::now(), [PeerId::random(), PeerId::random()]);
        let mut queries = Queries::new();
        let (sender, mut found) = mpsc::channel(8);
        queries.find_providers(1, now + SECOND, sender);
        let all = queries.on(DhtEvent::Providers(1, peers.to_vec()), now);
        assert_eq!(all, peers.map(DhtAction::Dial));
        assert_eq!(queries.on(DhtEvent::Providers(1, peers.to_vec()), now), []);
        queries.on(DhtEvent::Last(1), now);
        assert_eq!(found.try_recv().ok(), Some(peers[0]));
        assert_eq!(found.try_recv().ok(), Some(peers[1]));
        assert!(found.try_recv().is_err() && found.is_closed());
    }

    #[test]
    fn what_a_person_looks_up_ends_with_what_was_found() {
        let (now, peers) = (Instant::now(), [PeerId::random(), PeerId::random()]);
        let mut queries = Queries::new();
        let (reply, mut looked) = oneshot::channel();
        queries.look(1, 42, now + SECOND, reply);
        queries.on(DhtEvent::Closest(1, peers.to_vec()), now);
        let orders = queries.on(DhtEvent::Due, now + SECOND);
        assert_eq!(orders, [DhtAction::Stop(1, End::Deadline)]);
        assert_eq!(queries.on(DhtEvent::Due, now + SECOND), [], "told once");
        queries.on(DhtEvent::Last(1), now + SECOND);
        assert_eq!(looked.try_recv(), Ok((42, peers.to_vec())));
    }

    proptest! {
        /// No query outlives its deadline, whatever Kademlia reports in whatever order.
        #[test]
        fn nothing_outlives_its_deadline(
            steps in proptest::collection::vec((0u8..9, 0u32..6), 0..60),
        ) {
            let (now, peer) = (Instant::now(), PeerId::random());
            let record = head_record("web");
            let mut queries = Queries::new();
            let mut found = Vec::new();
            for id in 0..3 {
                found.push(look_up(&mut queries, id, record.key(), Want::Quorum(2), now));
            }
            let (reply, mut put) = oneshot::channel();
            queries.put(3, now + SECOND, Some(reply));
            let (sender, _providers) = mpsc::channel(8);
            queries.find_providers(4, now + SECOND, sender);
            for (kind, id) in steps {
                queries.on(match kind {
                    0 => DhtEvent::Asked(id, 3),
                    1 => DhtEvent::Found(id, Some(peer), record.envelope().to_vec()),
                    2 => DhtEvent::Found(id, None, b"no record".to_vec()),
                    3 => DhtEvent::LookedUp(id, LookupEnd::TimedOut),
                    4 => DhtEvent::Put(id, 2),
                    5 => DhtEvent::Providers(id, vec![peer]),
                    6 => DhtEvent::Closest(id, vec![peer]),
                    7 => DhtEvent::Provided(id),
                    _ => DhtEvent::Last(id),
                }, now);
            }
            queries.on(DhtEvent::Due, now + SECOND);
            prop_assert_eq!(queries.len(), 0);
            prop_assert_eq!(queries.next_deadline(), None);
            for found in &mut found {
                prop_assert!(found.try_recv().is_ok());
            }
            prop_assert!(put.try_recv().is_ok());
        }
    }
}
