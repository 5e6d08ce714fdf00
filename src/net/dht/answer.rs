//! Cuts answers to the size of a Kademlia message.
//!
//! `libp2p-kad` refuses messages larger than 16 KiB, but sends larger ones all the same: a record
//! of 14 KiB together with twenty peers, or providers with long addresses. The asking peer would
//! get nothing at all, so the excess is left out here.

use libp2p::kad::KadPeer;

/// Most bytes of a message, as every node of this network reads them (`DEFAULT_MAX_PACKET_SIZE` of
/// `libp2p-kad`).
const MAX_MESSAGE: usize = 16 * 1024;
/// Bytes of a message besides peers and a record's value: its type, the record's key, publisher and
/// lifetime, and their lengths.
const FRAME: usize = 128;
/// Bytes of a peer besides its addresses: an id of 38 bytes, its connection state, and lengths.
const PEER: usize = 48;
/// Bytes before an address: a tag and its length.
const BEFORE: usize = 3;

/// Removes peers and addresses until an answer with a record of `value` bytes fits. Each peer's
/// first address is kept before any second one, so that long lists push nobody out, and providers
/// are kept before closer peers.
///
/// Returns the number of addresses and peers left out.
pub fn fit(value: usize, providers: &mut Vec<KadPeer>, closer: &mut Vec<KadPeer>) -> usize {
    let room = MAX_MESSAGE.saturating_sub(FRAME + value);
    let size = |peer: &KadPeer| {
        PEER + peer
            .multiaddrs
            .iter()
            .map(|address| address.len() + BEFORE)
            .sum::<usize>()
    };
    if providers
        .iter()
        .chain(closer.iter())
        .map(size)
        .sum::<usize>()
        <= room
    {
        return 0;
    }
    let peers: Vec<&KadPeer> = providers.iter().chain(closer.iter()).collect();
    let rounds = peers
        .iter()
        .map(|peer| peer.multiaddrs.len())
        .max()
        .unwrap_or(0);
    let (mut left, mut kept) = (room, vec![None; peers.len()]);
    for round in 0..rounds.max(1) {
        for (peer, kept) in peers.iter().zip(&mut kept) {
            // Once one of its addresses did not fit, the peer gets no more.
            if *kept != (round > 0).then_some(round) {
                continue;
            }
            let base = if round == 0 { PEER } else { 0 };
            let needed = match peer.multiaddrs.get(round) {
                Some(address) => base + BEFORE + address.len(),
                None if round == 0 => base,
                None => continue,
            };
            if needed <= left {
                left -= needed;
                *kept = Some(round + usize::from(!peer.multiaddrs.is_empty()));
            }
        }
    }
    let mut dropped = 0;
    let mut kept = kept.into_iter();
    for list in [providers, closer] {
        list.retain_mut(|peer| match kept.next().flatten() {
            Some(count) => {
                dropped += peer.multiaddrs.len().saturating_sub(count);
                peer.multiaddrs.truncate(count);
                true
            }
            None => {
                dropped += 1;
                false
            }
        });
    }
    dropped
}

#[cfg(test)]
mod tests {
    use libp2p::{Multiaddr, PeerId, kad::ConnectionType};
    use proptest::prelude::*;

    use super::*;

    fn peer(lengths: &[usize]) -> KadPeer {
        let address = |length: &usize| {
            format!("/dns4/{}/tcp/1", "a".repeat(*length))
                .parse::<Multiaddr>()
                .unwrap()
        };
        KadPeer {
            node_id: PeerId::random(),
            multiaddrs: lengths.iter().map(address).collect(),
            connection_ty: ConnectionType::Connected,
        }
    }

    fn varint(mut number: usize) -> usize {
        let mut bytes = 1;
        while number >= 0x80 {
            number >>= 7;
            bytes += 1;
        }
        bytes
    }

    /// Returns the length in bytes of the message as protobuf encodes it, by `dht.proto` of the
    /// specification.
    fn encoded(value: Option<usize>, peers: &[&Vec<KadPeer>]) -> usize {
        let field = |length: usize| 1 + varint(length) + length;
        let peers = peers.iter().flat_map(|peers| peers.iter());
        let peers = peers.map(|peer| {
            let addresses = peer
                .multiaddrs
                .iter()
                .map(|address| field(address.len()))
                .sum::<usize>();
            field(field(peer.node_id.to_bytes().len()) + addresses + 2)
        });
        // Key, value, publisher and lifetime; then type and level.
        let record = value.map_or(0, |value| {
            field(field(32) + field(value) + 1 + field(38) + 7)
        });
        4 + record + peers.sum::<usize>()
    }

    #[test]
    fn a_whole_record_is_answered_whoever_else_is_told_of() {
        let (mut none, mut closer) = (
            Vec::new(),
            (0..20).map(|_| peer(&[60; 4])).collect::<Vec<_>>(),
        );
        assert!(
            encoded(Some(14 * 1024), &[&closer]) > MAX_MESSAGE,
            "as it would be sent"
        );
        assert!(fit(14 * 1024, &mut none, &mut closer) > 0);
        assert!(encoded(Some(14 * 1024), &[&closer]) <= MAX_MESSAGE);
        assert!(
            closer.len() >= 15 && closer.iter().all(|peer| peer.multiaddrs.len() == 1),
            "{}",
            closer.len()
        );
    }

    #[test]
    fn long_addresses_push_nobody_out() {
        let mut providers: Vec<KadPeer> = (0..19)
            .map(|_| peer(&[250; 4]))
            .chain([peer(&[9])])
            .collect();
        let honest = providers[19].node_id;
        let mut closer: Vec<KadPeer> = (0..20).map(|_| peer(&[20; 4])).collect();
        assert!(fit(0, &mut providers, &mut closer) > 0);
        assert_eq!((providers.len(), closer.len()), (20, 20));
        assert!(
            providers
                .iter()
                .any(|peer| peer.node_id == honest && peer.multiaddrs.len() == 1)
        );
    }

    proptest! {
        #[test]
        fn what_is_left_fits_and_what_fits_is_left(
            value in 0usize..14_400,
            lists in prop::collection::vec(prop::collection::vec(prop::collection::vec(0usize..252, 0..6), 0..24), 2),
        ) {
            let mut all = lists.iter().map(|list| list.iter().map(|one| peer(one)).collect::<Vec<_>>());
            let (mut providers, mut closer) = (all.next().unwrap(), all.next().unwrap());
            let before = (providers.clone(), closer.clone());
            let dropped = fit(value, &mut providers, &mut closer);
            prop_assert!(encoded(Some(value), &[&providers, &closer]) <= MAX_MESSAGE);
            prop_assert_eq!(dropped == 0, (&providers, &closer) == (&before.0, &before.1));
            let is_of = |kept: &[KadPeer], all: &[KadPeer]| kept.iter().all(|one| {
                all.iter().any(|peer| peer.node_id == one.node_id && peer.multiaddrs.starts_with(&one.multiaddrs))
            });
            prop_assert!(is_of(&providers, &before.0) && is_of(&closer, &before.1));
        }
    }
}
