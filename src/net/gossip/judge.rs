//! Decides about gossip messages: the rate limit of each peer, the announcements that wait for the
//! registry's verdict, and the consequences of a verdict for the message and for the peer that
//! passed it on. A state machine without I/O: it takes events and returns orders for the task.

use libp2p::PeerId;

use super::waiting::WaitingAnnouncements;
use crate::{
    domain::{
        allowance::Allowance,
        faults::PeerFault,
        lanes::{Lane, Lanes, Sender},
        record::{Class, Presence, Refusal},
        reputation::Outcome,
        time::Timestamp,
    },
    net::Verdict,
};

/// The two kinds of gossip messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Topic {
    Announcement,
    Presence,
}

/// A message and its senders, as far as this node knows them.
#[derive(Clone, Debug)]
pub struct GossipMessage<Id> {
    pub id: Id,
    pub topic: Topic,
    pub data: Vec<u8>,
    /// The neighbour that passed it on, or sent its own.
    pub via: Sender,
    /// The peer that signed it, if any.
    pub author: Option<Sender>,
    /// It claims to be from a publisher that is known here, or is from a peer with a good record.
    /// If the claim is false, the message does not verify and the peer that passed it on is
    /// penalised.
    pub known: bool,
}

/// An announcement that waits for the registry's verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Handed<Id> {
    pub id: Id,
    pub via: PeerId,
    pub author: Option<PeerId>,
}

#[derive(Debug)]
pub enum GossipEvent<Id> {
    /// A message arrived, while the queue to the registry has this many free places.
    Message(GossipMessage<Id>, usize),
    /// The registry has decided about an announcement.
    Verdict(Handed<Id>, Verdict),
}

/// An action for the task.
#[derive(Clone, Debug, PartialEq)]
pub enum GossipAction<Id> {
    /// Pass the announcement with these bytes to the registry.
    HandOver(Handed<Id>, Vec<u8>),
    /// Note the location that the peer declared.
    Place(PeerId, Presence),
    /// Report the verdict on the message that this peer passed on to gossipsub.
    Report(Id, PeerId, Verdict),
    Observe(PeerId, Outcome),
    Fault(PeerId, PeerFault),
}

pub struct MessageValidator {
    me: PeerId,
    waiting: WaitingAnnouncements,
    /// The allowance for this node's own announcements.
    announcing: Allowance,
}

impl MessageValidator {
    pub fn new(me: PeerId, now: Timestamp) -> Self {
        Self {
            me,
            waiting: WaitingAnnouncements::default(),
            announcing: Allowance::sent(now),
        }
    }

    /// Takes one of this node's own announcements from the allowance; false if none is left.
    pub fn may_announce(&mut self, now: Timestamp) -> bool {
        self.announcing.take(now)
    }

    /// Takes an event and returns the actions for it, in order.
    pub fn on<Id: Clone>(
        &mut self,
        event: GossipEvent<Id>,
        lanes: &mut Lanes,
        now: Timestamp,
    ) -> Vec<GossipAction<Id>> {
        match event {
            GossipEvent::Message(message, free) => self.message(message, free, lanes, now),
            GossipEvent::Verdict(handed, verdict) => {
                self.waiting.end(handed.via, handed.author);
                decided(handed.id, handed.via, verdict).into()
            }
        }
    }

    fn message<Id: Clone>(
        &mut self,
        message: GossipMessage<Id>,
        free: usize,
        lanes: &mut Lanes,
        now: Timestamp,
    ) -> Vec<GossipAction<Id>> {
        let via = message.via.caller.peer;
        let author = message.author.map(|author| author.caller.peer);
        // A message over the limit is not propagated. The neighbour that passed it on may have been
        // within its limit, so a peer is only blamed for messages of its own.
        if let Err(fault) = charge(&message, lanes, now) {
            let fault = fault.map(|fault| GossipAction::Fault(via, fault));
            let refused = decided(message.id, via, Err(Refusal::OverQuota));
            return fault.into_iter().chain(refused).collect();
        }
        match message.topic {
            Topic::Presence => self.presence(message, now),
            Topic::Announcement if self.waiting.has_room(via, author, message.known, free) => {
                self.waiting.begin(via, author);
                let handed = Handed {
                    id: message.id,
                    via,
                    author,
                };
                vec![GossipAction::HandOver(handed, message.data)]
            }
            Topic::Announcement => decided(message.id, via, Err(Refusal::Busy)).into(),
        }
    }

    fn presence<Id: Clone>(
        &self,
        message: GossipMessage<Id>,
        now: Timestamp,
    ) -> Vec<GossipAction<Id>> {
        let via = message.via.caller.peer;
        let verified = match message.author {
            Some(author) => {
                Presence::verify(&message.data, now).map(|presence| (author.caller.peer, presence))
            }
            None => Err(Refusal::BadSignature),
        };
        let (place, verdict) = match verified {
            Ok((author, presence)) => (
                (author != self.me).then_some(GossipAction::Place(author, presence)),
                Ok(()),
            ),
            Err(refusal) => (None, Err(refusal)),
        };
        place
            .into_iter()
            .chain(decided(message.id, via, verdict))
            .collect()
    }
}

/// Charges a message to its senders' allowances. Fails if one is exhausted, with the fault of the
/// neighbour, if any.
fn charge<Id>(
    message: &GossipMessage<Id>,
    lanes: &mut Lanes,
    now: Timestamp,
) -> Result<(), Option<PeerFault>> {
    let via = &message.via;
    match &message.author {
        Some(author) if author.caller.peer != via.caller.peer => {
            let taken = lanes.relay(via, author, message.known, now);
            taken.then_some(()).ok_or(None)
        }
        _ => {
            let taken = lanes.take(via, Lane::Own, now);
            taken.then_some(()).ok_or(Some(PeerFault::Flooding))
        }
    }
}

/// Returns the orders that end a message: the verdict, and the neighbour's fault if there is one.
fn decided<Id>(id: Id, via: PeerId, verdict: Verdict) -> [GossipAction<Id>; 2] {
    let outcome = match verdict {
        Ok(()) => Outcome::RecordValid,
        Err(refusal) => match refusal.class() {
            Class::Reject => Outcome::of_record(refusal),
            Class::Ignore => Outcome::RecordIgnored,
        },
    };
    [
        GossipAction::Report(id, via, verdict),
        GossipAction::Observe(via, outcome),
    ]
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    const FREE: usize = 512;
    const NOW: Timestamp = Timestamp(1_000_000_000);

    fn announcement(id: u32, via: PeerId, author: Option<PeerId>) -> GossipMessage<u32> {
        GossipMessage {
            id,
            topic: Topic::Announcement,
            data: vec![1, 2, 3],
            via: Sender::unknown(via),
            author: author.map(Sender::unknown),
            known: false,
        }
    }

    #[test]
    fn an_announcement_goes_to_the_registry_and_ends_with_its_verdict() {
        let (me, via, author) = (PeerId::random(), PeerId::random(), PeerId::random());
        let (mut judge, mut lanes) = (MessageValidator::new(me, NOW), Lanes::default());
        let message = GossipEvent::Message(announcement(7, via, Some(author)), FREE);
        let handed = Handed {
            id: 7,
            via,
            author: Some(author),
        };
        assert_eq!(
            judge.on(message, &mut lanes, NOW),
            [GossipAction::HandOver(handed, vec![1, 2, 3])]
        );
        assert_eq!(
            judge.on(GossipEvent::Verdict(handed, Ok(())), &mut lanes, NOW),
            decided(7, via, Ok(()))
        );
    }

    #[test]
    fn a_verdict_says_something_of_the_neighbour() {
        let via = PeerId::random();
        let outcome = |verdict| match decided(1, via, verdict) {
            [_, GossipAction::Observe(peer, outcome)] if peer == via => outcome,
            other => panic!("{other:?}"),
        };
        assert_eq!(outcome(Ok(())), Outcome::RecordValid);
        assert_eq!(
            outcome(Err(Refusal::BadSignature)),
            Outcome::of_record(Refusal::BadSignature)
        );
        assert_eq!(outcome(Err(Refusal::Busy)), Outcome::RecordIgnored);
        assert_eq!(outcome(Err(Refusal::OverQuota)), Outcome::RecordIgnored);
    }

    #[test]
    fn only_what_a_peer_sends_of_its_own_is_a_flood_of_its_own() {
        let (me, loud, author) = (PeerId::random(), PeerId::random(), PeerId::random());
        let faults = |author: Option<PeerId>| {
            let (mut judge, mut lanes) = (MessageValidator::new(me, NOW), Lanes::default());
            (0..5_000)
                .flat_map(|id| {
                    let message = announcement(id, loud, author);
                    let mut orders = judge.on(GossipEvent::Message(message, FREE), &mut lanes, NOW);
                    if let [GossipAction::HandOver(handed, _)] = orders.as_slice() {
                        let verdict = GossipEvent::Verdict(*handed, Ok(()));
                        orders = judge.on(verdict, &mut lanes, NOW);
                    }
                    orders
                })
                .filter(
                    |order| matches!(order, GossipAction::Fault(peer, PeerFault::Flooding) if *peer == loud),
                )
                .count()
        };
        assert!(faults(Some(loud)) > 0, "signed by itself");
        assert!(faults(None) > 0, "signed by nobody");
        assert_eq!(faults(Some(author)), 0, "passed on");
    }

    #[test]
    fn a_place_is_taken_from_whoever_signed_it_and_not_from_this_node() {
        let (me, via, author) = (PeerId::random(), PeerId::random(), PeerId::random());
        let data = Presence {
            at: NOW,
            location: Some("52.5,13.4".parse().unwrap()),
        }
        .encode()
        .unwrap();
        let placed = |author: Option<PeerId>| {
            let message = GossipMessage {
                topic: Topic::Presence,
                data: data.clone(),
                ..announcement(1, via, author)
            };
            let mut judge = MessageValidator::new(me, NOW);
            let orders = judge.on(
                GossipEvent::Message(message, FREE),
                &mut Lanes::default(),
                NOW,
            );
            let place = orders.iter().find_map(|order| match order {
                GossipAction::Place(peer, _) => Some(*peer),
                _ => None,
            });
            let verdict = orders.iter().find_map(|order| match order {
                GossipAction::Report(_, _, verdict) => Some(*verdict),
                _ => None,
            });
            (place, verdict.unwrap())
        };
        assert_eq!(placed(Some(author)), (Some(author), Ok(())));
        assert_eq!(placed(Some(me)), (None, Ok(())));
        assert_eq!(placed(None), (None, Err(Refusal::BadSignature)));
    }

    #[test]
    fn what_this_node_announces_has_a_bound() {
        let mut judge = MessageValidator::new(PeerId::random(), NOW);
        let announced = (0..10_000).filter(|_| judge.may_announce(NOW)).count();
        assert!((1..10_000).contains(&announced), "{announced}");
        assert!(judge.may_announce(NOW.after(std::time::Duration::from_secs(60))));
    }

    proptest! {
        /// Each message is either with the registry or ended, never both, and the waiting ones are
        /// bounded whatever the registry does.
        #[test]
        fn each_message_ends_once(
            steps in proptest::collection::vec((0usize..4, 0usize..4, any::<bool>(), 0usize..600), 1..400),
        ) {
            let peers: Vec<PeerId> = (0..4).map(|_| PeerId::random()).collect();
            let (mut judge, mut lanes) = (MessageValidator::new(PeerId::random(), NOW), Lanes::default());
            let mut with_registry: Vec<Handed<u32>> = Vec::new();
            let mut ended: HashMap<u32, usize> = HashMap::new();
            for (id, (via, author, decide, free)) in (0u32..).zip(steps) {
                let event = match with_registry.pop_if(|_| decide) {
                    Some(handed) => GossipEvent::Verdict(handed, Ok(())),
                    None => {
                        GossipEvent::Message(announcement(id, peers[via], Some(peers[author])), free)
                    }
                };
                for order in judge.on(event, &mut lanes, NOW) {
                    match order {
                        GossipAction::HandOver(handed, _) => {
                            prop_assert!(free > 0);
                            with_registry.push(handed);
                        }
                        GossipAction::Report(id, ..) => *ended.entry(id).or_default() += 1,
                        _ => {}
                    }
                }
            }
            prop_assert!(ended.values().all(|count| *count == 1));
            prop_assert!(with_registry.iter().all(|handed| !ended.contains_key(&handed.id)));
        }
    }
}
