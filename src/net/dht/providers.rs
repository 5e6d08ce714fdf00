//! This node's own provider lookups. `claims.rs` has the provider records held for others.

use std::{
    collections::{HashMap, HashSet},
    hash::Hash,
    time::Instant,
};

use libp2p::PeerId;
use tokio::sync::mpsc;

/// A running provider lookup.
struct Finding {
    deadline: Instant,
    /// Dropped at the end, which tells the asker that the lookup has ended.
    found: mpsc::Sender<PeerId>,
    told: HashSet<PeerId>,
}

/// The running provider lookups.
pub struct ProviderAnswers<Id>(HashMap<Id, Finding>);

impl<Id: Copy + Eq + Hash> ProviderAnswers<Id> {
    pub fn new() -> Self {
        Self(HashMap::new())
    }

    pub fn start(&mut self, id: Id, deadline: Instant, found: mpsc::Sender<PeerId>) {
        let finding = Finding {
            deadline,
            found,
            told: HashSet::new(),
        };
        self.0.insert(id, finding);
    }

    /// Passes on the providers found. Returns those that are new to this lookup.
    pub fn found(&mut self, id: &Id, peers: &[PeerId]) -> Vec<PeerId> {
        let Some(finding) = self.0.get_mut(id) else {
            return Vec::new();
        };
        let mut new = Vec::new();
        for peer in peers {
            // The channel has room for more providers than any fetch needs.
            if finding.told.insert(*peer) && finding.found.try_send(*peer).is_ok() {
                new.push(*peer);
            }
        }
        new
    }

    pub fn end(&mut self, id: &Id) {
        self.0.remove(id);
    }

    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn next_deadline(&self) -> Option<Instant> {
        self.0.values().map(|finding| finding.deadline).min()
    }

    /// Ends the lookups that are past their deadline or that nobody waits for, and returns their
    /// ids so that Kademlia can stop them.
    pub fn expire(&mut self, now: Instant) -> Vec<Id> {
        let over = |finding: &Finding| finding.deadline <= now || finding.found.is_closed();
        let late = self.0.extract_if(|_, finding| over(finding));
        late.map(|(id, _)| id).collect()
    }
}
