//! Remembers which peers supplied contents of each publisher: a peer with one file of a publisher
//! is likely to have the next.

use std::collections::HashMap;

use libp2p::PeerId;
use parking_lot::Mutex;

use crate::domain::name::PublisherId;

/// Most publishers remembered, and most peers of each.
const PUBLISHERS: usize = 1_024;
const PEERS: usize = 64;

/// For each publisher, the peers asked and whether they had the last content requested.
#[derive(Default)]
pub struct Givers(Mutex<HashMap<PublisherId, HashMap<PeerId, bool>>>);

impl Givers {
    /// Notes that a peer supplied a content of this publisher, or lacked it. If there is no room,
    /// all other publishers are forgotten.
    pub fn note(&self, owner: PublisherId, peer: PeerId, gave: bool) {
        let mut all = self.0.lock();
        if all.len() >= PUBLISHERS && !all.contains_key(&owner) {
            all.clear();
        }
        let peers = all.entry(owner).or_default();
        if peers.len() >= PEERS && !peers.contains_key(&peer) {
            peers.clear();
        }
        peers.insert(peer, gave);
    }

    pub fn of(&self, owner: &PublisherId) -> HashMap<PeerId, bool> {
        let all = self.0.lock();
        all.get(owner).cloned().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use libp2p::identity::Keypair;

    use super::*;

    #[test]
    fn the_last_answer_counts_and_what_is_remembered_is_bounded() {
        let owner = || PublisherId::of(&Keypair::generate_ed25519().public());
        let (givers, one, peer) = (Givers::default(), owner(), PeerId::random());
        givers.note(one, peer, false);
        givers.note(one, peer, true);
        assert_eq!(givers.of(&one), HashMap::from([(peer, true)]));
        (0..PEERS).for_each(|_| givers.note(one, PeerId::random(), true));
        assert!(givers.of(&one).len() <= PEERS);
        (0..PUBLISHERS).for_each(|_| givers.note(owner(), peer, true));
        assert!(givers.0.lock().len() <= PUBLISHERS);
        assert!(givers.of(&one).is_empty());
    }
}
