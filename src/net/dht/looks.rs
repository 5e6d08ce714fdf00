//! Running lookups of providers and of closest peers that a person started.

use std::{
    collections::HashMap,
    hash::Hash,
    time::{Duration, Instant},
};

use libp2p::PeerId;
use tokio::sync::oneshot;

/// Most peers returned.
pub const MOST: usize = 20;
/// Time for Kademlia to end a lookup after it was told to stop.
const ENDING: Duration = Duration::from_secs(60);

/// Receives the number of a lookup's trace and the peers found.
type LookupReply = oneshot::Sender<(u64, Vec<PeerId>)>;

struct TracedLookup {
    deadline: Instant,
    number: u64,
    peers: Vec<PeerId>,
    reply: LookupReply,
}

/// The running lookups.
pub struct Looks<Id>(HashMap<Id, TracedLookup>);

impl<Id: Copy + Eq + Hash> Looks<Id> {
    pub fn new() -> Self {
        Self(HashMap::new())
    }

    /// Adds a lookup; `number` is the number of its trace.
    pub fn start(&mut self, id: Id, number: u64, deadline: Instant, reply: LookupReply) {
        let look = TracedLookup {
            deadline,
            number,
            peers: Vec::new(),
            reply,
        };
        self.0.insert(id, look);
    }

    /// Adds peers that a lookup found.
    pub fn add(&mut self, id: &Id, peers: &[PeerId]) {
        if let Some(look) = self.0.get_mut(id) {
            for peer in peers {
                if look.peers.len() < MOST && !look.peers.contains(peer) {
                    look.peers.push(*peer);
                }
            }
        }
    }

    /// Replaces the peers that a lookup found.
    pub fn set(&mut self, id: &Id, mut peers: Vec<PeerId>) {
        peers.truncate(MOST);
        if let Some(look) = self.0.get_mut(id) {
            look.peers = peers;
        }
    }

    /// Sends the reply of a lookup that Kademlia has ended.
    pub fn end(&mut self, id: &Id) {
        if let Some(look) = self.0.remove(id) {
            // The asker may have gone.
            let _ = look.reply.send((look.number, look.peers));
        }
    }

    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn next_deadline(&self) -> Option<Instant> {
        self.0.values().map(|look| look.deadline).min()
    }

    /// Returns the lookups that are past their deadline or that nobody waits for. Kademlia ends
    /// them on request, and they then reply with the peers found so far.
    pub fn expire(&mut self, now: Instant) -> Vec<Id> {
        let late = self
            .0
            .iter_mut()
            .filter(|(_, look)| look.deadline <= now || look.reply.is_closed());
        late.map(|(id, look)| {
            look.deadline = now + ENDING;
            *id
        })
        .collect()
    }
}
