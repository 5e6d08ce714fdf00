//! The provider records that this node holds for others.
//!
//! A provider record claims only that its sender has a content. Claims are therefore kept in memory
//! only, and [`Shares`] bounds their number and bytes; a peer that still has the content announces
//! it again.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    time::Duration,
};

use libp2p::{
    Multiaddr, PeerId,
    kad::{ProviderRecord, RecordKey},
};

use crate::domain::{
    hash::Hash,
    lookup::position,
    prefix::Prefix,
    record::DhtKey,
    shares::{HolderId, Shares},
    time::Timestamp,
};
use crate::net::reach::listen::is_loopback;

/// Most claims held. [`Shares`] allows a thousand of one peer and four thousand of a public prefix.
const MAX_CLAIMS: u64 = 65_536;
/// Most bytes of claims held, including [`OVERHEAD`] for each.
const MAX_BYTES: u64 = 32 * 1024 * 1024;
/// Bytes that a claim takes besides its addresses: its key, its peer, and its entries in the
/// tables.
const OVERHEAD: usize = 384;
/// Most providers of one key: as many as Kademlia puts into an answer.
const MAX_PER_KEY: usize = 20;
/// Most addresses kept of a provider: two protocols over IPv4 and IPv6.
const MAX_ADDRESSES: usize = 4;
/// Longest address in bytes. A DNS name has at most 253, and the longest real addresses, with two
/// certificate hashes, take 160.
pub const MAX_ADDRESS: usize = 256;
/// A claim expires this long after it was last made. Providers announce twice in that time.
pub const PROVIDER_LIFE: Duration = Duration::from_secs(24 * 3_600);

/// Claims are numbered because several tables refer to them.
type Number = u32;

struct Claim {
    key: DhtKey,
    peer: PeerId,
    prefix: Option<Prefix>,
    at: Timestamp,
    /// All addresses in one allocation, each after its length: hundreds of thousands of small
    /// allocations take more memory than their contents.
    addresses: Box<[u8]>,
}

/// The claims of other peers, and those of this node itself.
pub struct ProviderRecords {
    me: PeerId,
    here: Hash,
    claims: HashMap<Number, Claim>,
    keys: HashMap<DhtKey, BTreeMap<PeerIndex, Number>>,
    /// The time at which each claim expires unless it is renewed.
    ends: BTreeSet<(Timestamp, Number)>,
    shares: Shares<Number>,
    next: Number,
    displaced: u64,
}

/// The part of a peer's id that differs between peers: enough to find a peer's claim among twenty.
type PeerIndex = [u8; 16];

fn index(peer: &PeerId) -> PeerIndex {
    let bytes = position(peer).0;
    bytes.first_chunk().copied().unwrap_or_default()
}

impl ProviderRecords {
    pub fn new(me: PeerId) -> Self {
        Self {
            me,
            here: position(&me),
            claims: HashMap::new(),
            keys: HashMap::new(),
            ends: BTreeSet::new(),
            shares: Shares::new(MAX_BYTES, MAX_CLAIMS),
            next: 0,
            displaced: 0,
        }
    }

    /// Adds a claim and drops those that then exceed a bound. Returns false if the new one was
    /// dropped. `prefix` is the public prefix that the peer connects from.
    pub fn add(
        &mut self,
        key: DhtKey,
        peer: PeerId,
        prefix: Option<Prefix>,
        addresses: Vec<Multiaddr>,
        now: Timestamp,
    ) -> bool {
        let addresses = packed(addresses);
        let held = self
            .keys
            .get(&key)
            .and_then(|claims| claims.get(&index(&peer)))
            .copied();
        if let Some(number) = held {
            self.drop_claim(number);
        } else if let Some(number) = self.crowded_out(&key, prefix) {
            self.displaced += 1;
            self.drop_claim(number);
        }
        self.next = self.next.wrapping_add(1);
        let number = self.next;
        let origin = if peer == self.me {
            HolderId::OURSELVES
        } else {
            HolderId::of(peer, prefix)
        };
        let gone = self.shares.put(
            number,
            origin,
            OVERHEAD + addresses.len(),
            self.distance(&key),
        );
        self.keys
            .entry(key)
            .or_default()
            .insert(index(&peer), number);
        self.ends.insert((now.after(PROVIDER_LIFE), number));
        self.claims.insert(
            number,
            Claim {
                key,
                peer,
                prefix,
                at: now,
                addresses,
            },
        );
        let taken = !gone.contains(&number);
        self.displaced += gone.iter().filter(|gone| **gone != number).count() as u64;
        gone.into_iter().for_each(|gone| self.drop_claim(gone));
        taken
    }

    /// Returns the claim to drop when a key has as many as an answer carries: the oldest one of the
    /// prefix with most claims, so that no single operator fills the answer. This node's own claim
    /// stays.
    fn crowded_out(&self, key: &DhtKey, newcomer: Option<Prefix>) -> Option<Number> {
        let claims = self
            .keys
            .get(key)
            .filter(|claims| claims.len() >= MAX_PER_KEY)?;
        let claims = || {
            claims
                .values()
                .filter_map(|number| Some((*number, self.claims.get(number)?)))
        };
        let of = |prefix: Option<Prefix>| match prefix {
            // Peers without a prefix are not grouped.
            None => 1,
            prefix => claims().filter(|(_, claim)| claim.prefix == prefix).count(),
        };
        let newcomers = if newcomer.is_some() { of(newcomer) } else { 0 };
        let others = claims().filter(|(_, claim)| claim.peer != self.me);
        let most = others.clone().map(|(_, claim)| of(claim.prefix)).max()?;
        let is_of = |prefix: Option<Prefix>| match newcomers >= most.max(1) && newcomer.is_some() {
            true => prefix == newcomer,
            false => of(prefix) == most,
        };
        others
            .filter(|(_, claim)| is_of(claim.prefix))
            .min_by_key(|(_, claim)| claim.at)
            .map(|(number, _)| number)
    }

    /// Returns the first bytes of Kademlia's distance between a key and this node, enough to order
    /// keys.
    fn distance(&self, key: &DhtKey) -> u64 {
        first_of(&DhtKey(self.here.0).distance(&DhtKey(Hash::of(&key.0).0)))
    }

    fn drop_claim(&mut self, number: Number) {
        let Some(claim) = self.claims.remove(&number) else {
            return;
        };
        self.shares.remove(&number);
        self.ends.remove(&(claim.at.after(PROVIDER_LIFE), number));
        if let Some(claims) = self.keys.get_mut(&claim.key) {
            claims.remove(&index(&claim.peer));
            if claims.is_empty() {
                self.keys.remove(&claim.key);
            }
        }
    }

    pub fn remove(&mut self, key: &DhtKey, peer: &PeerId) {
        let held = self
            .keys
            .get(key)
            .and_then(|claims| claims.get(&index(peer)))
            .copied();
        held.into_iter().for_each(|number| self.drop_claim(number));
    }

    /// Returns the providers of a key, newest first, because an answer that is too long is cut at
    /// the end.
    pub fn of(&self, key: &DhtKey, now: Timestamp) -> Vec<ProviderRecord> {
        let claims = self.keys.get(key).into_iter().flatten();
        let mut live: Vec<&Claim> = claims
            .filter_map(|(_, number)| self.claims.get(number))
            .collect();
        live.retain(|claim| now.since(claim.at) < PROVIDER_LIFE);
        live.sort_by_key(|claim| std::cmp::Reverse(claim.at));
        let record = |claim: &Claim| {
            ProviderRecord::new(
                RecordKey::new(&key.0),
                claim.peer,
                unpacked(&claim.addresses),
            )
        };
        live.into_iter().map(record).collect()
    }

    /// Drops expired claims.
    pub fn tick(&mut self, now: Timestamp) {
        while let Some((end, number)) = self.ends.first().copied()
            && end <= now
        {
            self.drop_claim(number);
        }
    }

    /// Returns the number of claims and the bytes charged for them.
    pub fn held(&self) -> (usize, u64) {
        (self.claims.len(), self.shares.charged())
    }

    /// Returns the number of claims that were evicted since the last call.
    pub fn take_displaced(&mut self) -> u64 {
        std::mem::take(&mut self.displaced)
    }
}

pub fn first_of(distance: &[u8; 32]) -> u64 {
    distance
        .first_chunk()
        .map_or(0, |first| u64::from_be_bytes(*first))
}

/// Returns the addresses to keep: no overlong ones, and public ones first, because a peer lists
/// every interface it has.
pub fn worth_keeping(mut addresses: Vec<Multiaddr>) -> Vec<Multiaddr> {
    addresses.retain(|address| address.len() <= MAX_ADDRESS);
    addresses.sort_by_key(|address| (Prefix::of_address(address).is_none(), is_loopback(address)));
    addresses.truncate(MAX_ADDRESSES);
    addresses
}

fn packed(addresses: Vec<Multiaddr>) -> Box<[u8]> {
    let mut bytes = Vec::new();
    for address in worth_keeping(addresses) {
        let Ok(length) = u16::try_from(address.len()) else {
            continue;
        };
        bytes.extend(length.to_be_bytes());
        bytes.extend_from_slice(address.as_ref());
    }
    bytes.into_boxed_slice()
}

fn unpacked(mut bytes: &[u8]) -> Vec<Multiaddr> {
    let mut addresses = Vec::new();
    while let Some((length, rest)) = bytes.split_first_chunk::<2>() {
        let Some((address, rest)) = rest.split_at_checked(u16::from_be_bytes(*length).into())
        else {
            break;
        };
        addresses.extend(Multiaddr::try_from(address.to_vec()).ok());
        bytes = rest;
    }
    addresses
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use proptest::prelude::*;

    use super::*;
    use crate::domain::shares::{OF_IDENTITY, OF_PREFIX};

    const NOW: Timestamp = Timestamp(1_700_000_000_000);

    fn records() -> ProviderRecords {
        ProviderRecords::new(PeerId::random())
    }

    fn key(n: usize) -> DhtKey {
        DhtKey(Hash::of(&n.to_be_bytes()).0)
    }

    fn prefix(n: u8) -> Option<Prefix> {
        Prefix::of(Ipv4Addr::new(81, 2, n, 1).into())
    }

    fn peers(of: &[ProviderRecord]) -> Vec<PeerId> {
        of.iter().map(|record| record.provider).collect()
    }

    fn long(n: usize) -> Multiaddr {
        format!("/dns4/{}.{n}/tcp/1", "a".repeat(n))
            .parse()
            .unwrap()
    }

    #[test]
    fn the_first_to_claim_a_key_do_not_keep_it_from_others() {
        let mut records = records();
        let key = DhtKey([1; 32]);
        let squatters: Vec<PeerId> = (0..MAX_PER_KEY).map(|_| PeerId::random()).collect();
        for (n, peer) in squatters.iter().enumerate() {
            assert!(records.add(key, *peer, None, vec![], Timestamp(NOW.0 + n as u64)));
        }
        let late = PeerId::random();
        assert!(records.add(key, late, None, vec![], Timestamp(NOW.0 + 1_000)));
        let now = peers(&records.of(&key, Timestamp(NOW.0 + 1_000)));
        assert_eq!(
            (now.len(), now[0]),
            (MAX_PER_KEY, late),
            "the newest comes first"
        );
        assert!(!now.contains(&squatters[0]));
    }

    #[test]
    fn one_prefix_does_not_fill_a_key() {
        let mut records = records();
        let key = DhtKey([1; 32]);
        let honest: Vec<PeerId> = (0..5).map(|_| PeerId::random()).collect();
        for (n, peer) in (10u8..).zip(&honest) {
            assert!(records.add(key, *peer, prefix(n), vec![], NOW));
        }
        for n in 0..200 {
            records.add(
                key,
                PeerId::random(),
                prefix(1),
                vec![],
                Timestamp(NOW.0 + n),
            );
        }
        let now = peers(&records.of(&key, Timestamp(NOW.0 + 200)));
        assert_eq!(now.len(), MAX_PER_KEY);
        assert!(honest.iter().all(|peer| now.contains(peer)));
        for n in 0..100 {
            records.add(
                key,
                PeerId::random(),
                prefix(50 + n),
                vec![],
                Timestamp(NOW.0 + 300),
            );
        }
        assert!(
            !peers(&records.of(&key, Timestamp(NOW.0 + 300)))
                .iter()
                .any(|peer| honest.contains(peer))
        );
    }

    #[test]
    fn one_peer_displaces_its_own_claims_and_claims_end() {
        let mut records = records();
        let (greedy, other) = (PeerId::random(), PeerId::random());
        let most = (MAX_CLAIMS / OF_IDENTITY) as usize;
        assert!(records.add(key(7), other, None, vec![], NOW));
        for n in 0..3 * most {
            assert!(records.add(key(n), greedy, None, vec![], NOW));
        }
        assert_eq!(records.held().0, most + 1);
        assert_eq!(records.take_displaced(), 2 * most as u64);
        assert_eq!(
            peers(&records.of(&key(7), NOW)),
            [other],
            "the greedy peer's own is the one that went"
        );
        assert!(records.of(&key(7), NOW.after(PROVIDER_LIFE)).is_empty());
        records.tick(NOW.after(PROVIDER_LIFE));
        assert!(records.keys.is_empty() && records.claims.is_empty() && records.ends.is_empty());
        assert!(records.shares.is_empty());
    }

    #[test]
    fn addresses_are_bounded_and_public_ones_are_kept_first() {
        let mut records = records();
        let text = [
            "/ip4/127.0.0.1/tcp/1",
            "/ip4/10.0.0.1/tcp/1",
            "/ip4/81.2.3.4/tcp/1",
        ];
        let mut addresses: Vec<Multiaddr> = text.iter().map(|text| text.parse().unwrap()).collect();
        addresses.extend((0..5).map(|_| long(60)));
        addresses.push(format!("/dns4/{}/tcp/1", "b".repeat(400)).parse().unwrap());
        let peer = PeerId::random();
        assert!(records.add(key(1), peer, None, addresses.clone(), NOW));
        let kept = &records.of(&key(1), NOW)[0].addresses;
        assert_eq!(
            (kept.len(), kept[0].to_string().as_str()),
            (MAX_ADDRESSES, text[2])
        );
        assert!(
            kept.iter()
                .all(|address| addresses.contains(address) && address.len() <= MAX_ADDRESS)
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        /// The tables agree with one another and keep their bounds, for claims of any sizes.
        #[test]
        fn claims_are_bounded_in_places_and_bytes(
            steps in prop::collection::vec((0usize..40, 0u8..6, 0usize..12, 0usize..6, 0usize..63, 0u64..30), 1..600),
        ) {
            let me = PeerId::random();
            // Small limits, so that all of them are reached.
            let mut records = ProviderRecords { shares: Shares::new(64 * 2_048, 64 * 4), ..ProviderRecords::new(me) };
            let who: Vec<PeerId> = std::iter::once(me).chain((1..40).map(|_| PeerId::random())).collect();
            let mut now = NOW;
            for (peer, group, n, count, length, hours) in steps {
                now = if hours == 29 { now.after(Duration::from_secs(3_600 * 5)) } else { now };
                let group = (group > 2 && peer > 0).then(|| prefix(group)).flatten();
                let taken = records.add(key(n), who[peer], group, vec![long(length); count], now);
                prop_assert_eq!(taken, peers(&records.of(&key(n), now)).contains(&who[peer]));
                records.tick(now);
                let of = |is: &dyn Fn(&Claim) -> bool| records.claims.values().filter(|claim| is(claim)).count();
                prop_assert!(records.shares.charged() <= 64 * 2_048 && records.claims.len() <= 64 * 4);
                prop_assert!(who[1..].iter().all(|peer| of(&|claim| claim.peer == *peer) <= 4));
                let from = |n| {
                    let origins = records.claims.keys().filter_map(|number| records.shares.origin(number));
                    origins.filter(|origin| origin.prefix == prefix(n)).count()
                };
                prop_assert!((3..6).all(|n| from(n) <= (64 * 4 / OF_PREFIX) as usize));
                prop_assert!(records.keys.values().all(|claims| !claims.is_empty() && claims.len() <= MAX_PER_KEY));
                let listed: usize = records.keys.values().map(BTreeMap::len).sum();
                prop_assert_eq!((listed, records.ends.len(), records.shares.len()),
                    (records.claims.len(), records.claims.len(), records.claims.len()));
            }
        }
    }
}
