//! Admission to the routing table. Kademlia would add any peer, so an operator with many addresses
//! on one network could fill the table around any key.

use libp2p::{Multiaddr, PeerId, kad};

use crate::domain::prefix::Prefix;
use crate::net::{dht::claims::MAX_ADDRESS, swarm::task::Task};

/// Most peers of one public prefix in a bucket, and in the whole table.
const OF_A_BUCKET: usize = 2;
const OF_THE_TABLE: usize = 3;
/// If a peer has more addresses than this, those that it does not list any more are removed.
const MAX_ADDRESSES: usize = 16;

/// Returns true if a peer of a prefix may be added, given the prefixes of the peers in its bucket
/// and in the other buckets. Peers without a public prefix may always be added.
pub fn has_room(
    group: Option<Prefix>,
    bucket: &[Option<Prefix>],
    others: &[Option<Prefix>],
) -> bool {
    if group.is_none() {
        return true;
    }
    let count = |groups: &[Option<Prefix>]| groups.iter().filter(|one| **one == group).count();
    let here = count(bucket);
    here < OF_A_BUCKET && here + count(others) < OF_THE_TABLE
}

/// Returns the prefix of the first public address.
fn group<'a>(addresses: impl IntoIterator<Item = &'a Multiaddr>) -> Option<Prefix> {
    addresses.into_iter().find_map(Prefix::of_address)
}

impl Task {
    /// Adds a DHT server to the routing table, unless its prefix has too many peers there.
    pub fn route(&mut self, peer: PeerId, addresses: &[Multiaddr]) {
        // The address that it connects from is harder to forge than those it lists.
        let own = self.peers.group(&peer).or_else(|| group(addresses));
        let me = kad::KBucketKey::from(*self.swarm.local_peer_id());
        let distance = |other: PeerId| me.distance(&kad::KBucketKey::from(other)).ilog2();
        let (bucket, mut here, mut others) = (distance(peer), Vec::new(), Vec::new());
        let kad = &mut self.swarm.behaviour_mut().kad;
        let mut had: Vec<Multiaddr> = Vec::new();
        for routed in kad.kbuckets() {
            for entry in routed.iter() {
                let known = *entry.node.key.preimage();
                if known == peer {
                    had = entry.node.value.iter().cloned().collect();
                    continue;
                }
                let group = self
                    .peers
                    .group(&known)
                    .or_else(|| group(entry.node.value.iter()));
                if distance(known) == bucket {
                    here.push(group)
                } else {
                    others.push(group)
                }
            }
        }
        if !has_room(own, &here, &others) {
            tracing::debug!(%peer, "not routed: its prefix has enough peers in the table");
            return;
        }
        for address in addresses
            .iter()
            .filter(|address| address.len() <= MAX_ADDRESS)
        {
            kad.add_address(&peer, address.clone());
        }
        // Kademlia keeps every address that a peer ever listed.
        if had.len() > MAX_ADDRESSES {
            had.iter()
                .filter(|one| !addresses.contains(one))
                .for_each(|one| drop(kad.remove_address(&peer, one)));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn one_prefix_gets_two_places_of_a_bucket_and_three_of_the_table() {
        let group = |n| Prefix::of(Ipv4Addr::new(81, 2, n, 1).into());
        let (a, b) = (group(1), group(2));
        assert!(has_room(a, &[], &[]) && has_room(a, &[a], &[a]));
        assert!(
            !has_room(a, &[a, a], &[])
                && !has_room(a, &[], &[a, a, a])
                && !has_room(a, &[a], &[a, a])
        );
        assert!(
            has_room(b, &[a, a], &[a]) && has_room(None, &[None; 20], &[None; 60]),
            "a LAN is no prefix"
        );
    }

    #[test]
    fn what_a_peer_is_told_apart_by_is_its_public_address() {
        let addresses: Vec<Multiaddr> = ["/ip4/10.0.0.1/tcp/1", "/ip4/81.2.1.9/tcp/1"]
            .iter()
            .map(|text| text.parse().unwrap())
            .collect();
        assert_eq!(
            group(&addresses).map(|group| group.to_string()).as_deref(),
            Some("81.2.1.0/24")
        );
        assert_eq!(group(&addresses[..1]), None);
    }
}
