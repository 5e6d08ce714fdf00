//! Counts the announcements that wait for the registry's verdict, and limits those of one peer and
//! of unknown publishers.

use std::collections::HashMap;

use libp2p::PeerId;

use crate::net::swarm::start::INBOUND;

/// Most waiting announcements of one peer: half of the queue to the registry.
const OF_A_PEER: usize = INBOUND / 2;
/// Places in the queue that announcements of unknown publishers leave free for known ones.
const LEFT_TO_KNOWN: usize = INBOUND / 4;

/// The number of waiting announcements for each peer that signed them or passed them on.
#[derive(Default)]
pub struct WaitingAnnouncements(HashMap<PeerId, usize>);

impl WaitingAnnouncements {
    /// Returns true if one more announcement may wait, with `free` places left in the queue.
    /// Announcements of one peer leave room for those of others, and unknown publishers leave room
    /// for known ones.
    pub fn has_room(&self, via: PeerId, author: Option<PeerId>, known: bool, free: usize) -> bool {
        let (most, left) = if known {
            (OF_A_PEER, 0)
        } else {
            (OF_A_PEER / 2, LEFT_TO_KNOWN)
        };
        let of = |peer: PeerId| self.0.get(&peer).copied().unwrap_or(0);
        free > left && both(via, author).all(|peer| of(peer) < most)
    }

    pub fn begin(&mut self, via: PeerId, author: Option<PeerId>) {
        both(via, author).for_each(|peer| *self.0.entry(peer).or_default() += 1);
    }

    pub fn end(&mut self, via: PeerId, author: Option<PeerId>) {
        for peer in both(via, author) {
            if let Some(count) = self.0.get_mut(&peer) {
                *count -= 1;
                if *count == 0 {
                    self.0.remove(&peer);
                }
            }
        }
    }
}

/// Returns the peer that passed an announcement on and, if it is another one, the peer that signed
/// it.
fn both(via: PeerId, author: Option<PeerId>) -> impl Iterator<Item = PeerId> {
    [Some(via), author.filter(|author| *author != via)]
        .into_iter()
        .flatten()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_peer_has_half_of_the_queue_and_a_stranger_a_quarter() {
        for (known, most) in [(true, OF_A_PEER), (false, OF_A_PEER / 2)] {
            let (mut waiting, via) = (WaitingAnnouncements::default(), PeerId::random());
            let mut taken = 0;
            while waiting.has_room(via, Some(PeerId::random()), known, INBOUND - taken) {
                waiting.begin(via, Some(PeerId::random()));
                taken += 1;
            }
            assert_eq!(taken, most);
            assert!(
                waiting.has_room(PeerId::random(), None, known, INBOUND - taken),
                "others have room"
            );
        }
    }

    #[test]
    fn strangers_leave_the_last_quarter_to_known_publishers() {
        let (waiting, via) = (WaitingAnnouncements::default(), PeerId::random());
        assert!(
            !waiting.has_room(via, None, false, LEFT_TO_KNOWN)
                && waiting.has_room(via, None, true, LEFT_TO_KNOWN)
        );
        assert!(
            waiting.has_room(via, None, false, LEFT_TO_KNOWN + 1)
                && !waiting.has_room(via, None, true, 0)
        );
    }

    proptest! {
        #[test]
        fn what_has_ended_leaves_nothing(pairs in prop::collection::vec((0usize..4, prop::option::of(0usize..4)), 0..40)) {
            let who: Vec<PeerId> = (0..4).map(|_| PeerId::random()).collect();
            let pairs: Vec<_> = pairs.into_iter().map(|(via, author)| (who[via], author.map(|at| who[at]))).collect();
            let mut waiting = WaitingAnnouncements::default();
            pairs.iter().for_each(|(via, author)| waiting.begin(*via, *author));
            pairs.iter().rev().for_each(|(via, author)| waiting.end(*via, *author));
            prop_assert!(waiting.0.is_empty());
        }
    }
}
