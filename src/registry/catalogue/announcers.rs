//! Remembers the peers that announced a content first, because they are likely to have it.

use std::collections::{HashMap, VecDeque};

use libp2p::PeerId;
use parking_lot::Mutex;

use crate::domain::hash::ContentRoot;

/// Most contents remembered; the oldest are dropped first.
const MOST: usize = 8_192;
/// Most announcers of one content.
const EACH: usize = 4;

#[derive(Default)]
pub struct Announcers(Mutex<AnnouncersByRoot>);

#[derive(Default)]
struct AnnouncersByRoot {
    by_root: HashMap<ContentRoot, Vec<PeerId>>,
    order: VecDeque<ContentRoot>,
}

impl Announcers {
    pub fn note(&self, root: ContentRoot, peer: PeerId) {
        let mut inner = self.0.lock();
        if !inner.by_root.contains_key(&root) {
            if inner.order.len() >= MOST
                && let Some(oldest) = inner.order.pop_front()
            {
                inner.by_root.remove(&oldest);
            }
            inner.order.push_back(root);
        }
        let peers = inner.by_root.entry(root).or_default();
        if !peers.contains(&peer) && peers.len() < EACH {
            peers.push(peer);
        }
    }

    pub fn of(&self, root: &ContentRoot) -> Vec<PeerId> {
        let inner = self.0.lock();
        inner.by_root.get(root).cloned().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_ones_are_remembered() {
        let announcers = Announcers::default();
        let peer = PeerId::random();
        let root = |n: usize| ContentRoot::of(&n.to_be_bytes());
        for n in 0..MOST + 10 {
            announcers.note(root(n), peer);
            announcers.note(root(n), peer);
        }
        assert_eq!(announcers.of(&root(0)), []);
        assert_eq!(announcers.of(&root(MOST)), [peer]);
        (0..10).for_each(|_| announcers.note(root(MOST), PeerId::random()));
        assert_eq!(announcers.of(&root(MOST)).len(), EACH);
    }
}
