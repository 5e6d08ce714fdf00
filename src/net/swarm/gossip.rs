//! The task's side of gossip: it passes on gossipsub's messages, and executes the orders about
//! them.

use std::time::Instant;

use libp2p::{
    PeerId,
    gossipsub::{self, MessageAcceptance, MessageId},
};
use tokio::sync::oneshot;

use super::task::{Settled, Task};
use crate::{
    domain::record::{Announcement, Class, Refusal},
    net::{
        Inbound, Verdict,
        gossip::judge::{GossipAction, GossipEvent, GossipMessage, Handed, Topic},
    },
};

impl Task {
    pub fn on_gossip(&mut self, event: gossipsub::Event) {
        let gossipsub::Event::Message {
            propagation_source: via,
            message_id: id,
            message,
        } = event
        else {
            return;
        };
        self.peers.traffic(&via, |traffic| {
            traffic.announcements_in += message.data.len() as u64
        });
        let topic = if message.topic == self.topics.presence.hash() {
            Topic::Presence
        } else {
            Topic::Announcement
        };
        let message = GossipMessage {
            id,
            topic,
            known: self.is_known(topic, &message),
            data: message.data,
            via: self.sender(via),
            author: message.source.map(|author| self.sender(author)),
        };
        let free = self.wiring.inbound.capacity();
        self.weigh(GossipEvent::Message(message, free));
    }

    /// Passes an event to the judge of gossip and executes its orders.
    pub fn weigh(&mut self, event: GossipEvent<MessageId>) {
        let now = self.clock.now();
        for order in self.judge.on(event, &mut self.lanes, now) {
            match order {
                GossipAction::HandOver(handed, data) => self.hand_over_announcement(handed, data),
                GossipAction::Place(peer, presence) => self.peers.presence(peer, presence, now),
                GossipAction::Report(id, via, verdict) => self.report(&id, &via, verdict),
                GossipAction::Observe(peer, outcome) => self.observe(peer, outcome),
                GossipAction::Fault(peer, fault) => self.fault(peer, fault),
            }
        }
    }

    fn hand_over_announcement(&mut self, handed: Handed<MessageId>, data: Vec<u8>) {
        let (verdict, receiver) = oneshot::channel();
        let announcement = Inbound::Announcement {
            data,
            via: handed.via,
            author: handed.author,
            verdict,
        };
        if self.hand_over(announcement) {
            self.settled.push(Box::pin(async move {
                let verdict = receiver.await.unwrap_or(Err(Refusal::Busy));
                Settled::Message(handed, verdict)
            }));
        } else {
            self.weigh(GossipEvent::Verdict(handed, Err(Refusal::Busy)));
        }
    }

    /// Returns true if a message claims to be from a publisher that is known here, or is from a
    /// peer with a good record.
    fn is_known(&self, topic: Topic, message: &gossipsub::Message) -> bool {
        match topic {
            Topic::Presence => message
                .source
                .is_some_and(|author| self.wiring.callers.of(author).good),
            Topic::Announcement => Announcement::claimed_publisher(&message.data)
                .is_some_and(|publisher| self.wiring.known.borrow().contains(&publisher)),
        }
    }

    fn report(&mut self, id: &MessageId, via: &PeerId, verdict: Verdict) {
        let class = verdict.err().map(|refusal| {
            self.wiring.tally.refused(refusal);
            refusal.class()
        });
        self.measures
            .judged(class == Some(Class::Reject), Instant::now());
        let acceptance = match class {
            None => MessageAcceptance::Accept,
            Some(Class::Reject) => MessageAcceptance::Reject,
            Some(Class::Ignore) => MessageAcceptance::Ignore,
        };
        let gossip = &mut self.swarm.behaviour_mut().gossip;
        gossip.report_message_validation_result(id, via, acceptance);
    }

    pub fn subscribers(&self, topic: &gossipsub::TopicHash) -> Vec<PeerId> {
        let subscribed = self
            .swarm
            .behaviour()
            .gossip
            .all_peers()
            .filter(|(_, topics)| topics.contains(&topic));
        subscribed.map(|(peer, _)| *peer).collect()
    }

    /// Gossips this node's location, or its withdrawal, if there are subscribers.
    pub fn tell_presence(&mut self) {
        let here = self.peers.bearings.here.clone();
        let Some(presence) = self.telling.due(here, self.clock.now()) else {
            return;
        };
        let topic = self.topics.presence.hash();
        let Ok(data) = presence.encode() else {
            return;
        };
        if self.subscribers(&topic).is_empty() {
            return;
        }
        let sent = self.swarm.behaviour_mut().gossip.publish(topic, data);
        if let Some(told) = self.telling.sent(&presence, sent.is_ok()) {
            let store = self.wiring.store.clone();
            self.writes
                .push(async move { store.set_presence_told(told).await });
        }
    }
}
