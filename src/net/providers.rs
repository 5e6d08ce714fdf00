//! Who has which content: the records that this node holds for others, and its own questions to the DHT.
//!
//! A provider record is a claim that its sender is worth asking, and no more. So they are kept in memory only, bounded in
//! every direction, and the oldest goes: whoever still has the content says so again.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    time::{Duration, Instant},
};

use libp2p::{
    Multiaddr, PeerId,
    kad::{self, ProviderRecord, QueryId, RecordKey},
};
use tokio::sync::mpsc;

use crate::domain::{record::DhtKey, time::Timestamp};

/// Keys of which providers are known.
const MAX_KEYS: usize = 16_384;
/// Providers of one key, as many as Kademlia has replicas.
const MAX_PER_KEY: usize = 20;
/// Keys that one peer can be a provider of here.
const MAX_PER_PEER: usize = 4_096;
/// Addresses kept of a provider.
const MAX_ADDRESSES: usize = 8;
/// A provider that has not said so again for this long has gone. Providers say so twice in that time.
pub(super) const PROVIDER_LIFE: Duration = Duration::from_secs(24 * 3_600);

struct Claim {
    at: Timestamp,
    addresses: Vec<Multiaddr>,
}

/// The records held for others, and of this node itself.
#[derive(Default)]
pub(super) struct ProviderRecords {
    keys: HashMap<DhtKey, BTreeMap<PeerId, Claim>>,
    by_peer: HashMap<PeerId, usize>,
}

impl ProviderRecords {
    /// Takes a claim; false when its peer has made enough of them, or there is no room.
    pub fn add(&mut self, key: DhtKey, peer: PeerId, mut addresses: Vec<Multiaddr>, now: Timestamp) -> bool {
        addresses.truncate(MAX_ADDRESSES);
        let known = self.keys.get(&key).is_some_and(|claims| claims.contains_key(&peer));
        if !known {
            let made = self.by_peer.get(&peer).copied().unwrap_or(0);
            let no_room = !self.keys.contains_key(&key) && self.keys.len() >= MAX_KEYS;
            if made >= MAX_PER_PEER || no_room {
                return false;
            }
            let full = self.keys.get(&key).filter(|claims| claims.len() >= MAX_PER_KEY);
            let oldest = full.and_then(|claims| claims.iter().min_by_key(|(_, claim)| claim.at)).map(|(peer, _)| *peer);
            if let Some(oldest) = oldest {
                self.remove(&key, &oldest);
            }
            *self.by_peer.entry(peer).or_default() += 1;
        }
        self.keys.entry(key).or_default().insert(peer, Claim { at: now, addresses });
        true
    }

    pub fn remove(&mut self, key: &DhtKey, peer: &PeerId) {
        let Some(claims) = self.keys.get_mut(key) else { return };
        if claims.remove(peer).is_none() {
            return;
        }
        if claims.is_empty() {
            self.keys.remove(key);
        }
        if let Some(made) = self.by_peer.get_mut(peer) {
            *made -= 1;
            if *made == 0 {
                self.by_peer.remove(peer);
            }
        }
    }

    /// The providers of a key, as Kademlia wants them.
    pub fn of(&self, key: &DhtKey, now: Timestamp) -> Vec<ProviderRecord> {
        let claims = self.keys.get(key).into_iter().flatten();
        let live = claims.filter(|(_, claim)| now.since(claim.at) < PROVIDER_LIFE);
        live.map(|(peer, claim)| ProviderRecord::new(RecordKey::new(&key.0), *peer, claim.addresses.clone())).collect()
    }

    /// Forgets who has not said so again for long.
    pub fn tick(&mut self, now: Timestamp) {
        let over = |(key, claims): (&DhtKey, &BTreeMap<PeerId, Claim>)| {
            let old = claims.iter().filter(|(_, claim)| now.since(claim.at) >= PROVIDER_LIFE);
            old.map(|(peer, _)| (*key, *peer)).collect::<Vec<_>>()
        };
        let gone: Vec<(DhtKey, PeerId)> = self.keys.iter().flat_map(over).collect();
        for (key, peer) in gone {
            self.remove(&key, &peer);
        }
    }
}

/// A question to the DHT who has a content.
pub(super) struct Finding {
    pub deadline: Instant,
    /// Dropped at the end, which is how the asker knows.
    pub found: mpsc::Sender<PeerId>,
    told: HashSet<PeerId>,
}

/// The questions that run.
#[derive(Default)]
pub(super) struct Findings(HashMap<QueryId, Finding>);

impl Findings {
    pub fn start(&mut self, id: QueryId, deadline: Instant, found: mpsc::Sender<PeerId>) {
        self.0.insert(id, Finding { deadline, found, told: HashSet::new() });
    }

    /// Hands on what Kademlia found; returns those that were not known before.
    pub fn progress(&mut self, id: QueryId, result: &kad::GetProvidersResult, last: bool) -> Vec<PeerId> {
        let mut new = Vec::new();
        if let (Some(finding), Ok(kad::GetProvidersOk::FoundProviders { providers, .. })) =
            (self.0.get_mut(&id), result)
        {
            for peer in providers {
                // The channel has room for more providers than a fetch ever wants.
                if finding.told.insert(*peer) && finding.found.try_send(*peer).is_ok() {
                    new.push(*peer);
                }
            }
        }
        if last {
            self.0.remove(&id);
        }
        new
    }

    pub fn next_deadline(&self) -> Option<Instant> {
        self.0.values().map(|finding| finding.deadline).min()
    }

    /// Ends what is past its deadline or that nobody waits for; Kademlia can stop these.
    pub fn expire(&mut self, now: Instant) -> Vec<QueryId> {
        let over = |finding: &Finding| finding.deadline <= now || finding.found.is_closed();
        let ids: Vec<QueryId> = self.0.iter().filter(|(_, finding)| over(finding)).map(|(id, _)| *id).collect();
        for id in &ids {
            self.0.remove(id);
        }
        ids
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_700_000_000_000);

    fn peers(of: &[ProviderRecord]) -> Vec<PeerId> {
        of.iter().map(|record| record.provider).collect()
    }

    #[test]
    fn the_first_to_claim_a_key_do_not_keep_it_from_others() {
        let mut records = ProviderRecords::default();
        let key = DhtKey([1; 32]);
        let squatters: Vec<PeerId> = (0..MAX_PER_KEY).map(|_| PeerId::random()).collect();
        for (n, peer) in squatters.iter().enumerate() {
            assert!(records.add(key, *peer, vec![], Timestamp(NOW.0 + n as u64)));
        }
        let late = PeerId::random();
        assert!(records.add(key, late, vec![], Timestamp(NOW.0 + 1_000)));
        let now = peers(&records.of(&key, Timestamp(NOW.0 + 1_000)));
        assert_eq!(now.len(), MAX_PER_KEY);
        assert!(now.contains(&late) && !now.contains(&squatters[0]));
    }

    #[test]
    fn one_peer_can_claim_so_much_and_claims_end() {
        let mut records = ProviderRecords::default();
        let greedy = PeerId::random();
        let key = |n: usize| DhtKey(crate::domain::hash::Hash::of(&n.to_be_bytes()).0);
        for n in 0..MAX_PER_PEER {
            assert!(records.add(key(n), greedy, vec![], NOW));
        }
        assert!(!records.add(key(MAX_PER_PEER), greedy, vec![], NOW));
        assert!(records.add(key(0), greedy, vec![], NOW), "saying so again is no new claim");
        assert!(records.add(key(MAX_PER_PEER), PeerId::random(), vec![], NOW));
        assert!(records.of(&key(5), NOW.after(PROVIDER_LIFE)).is_empty());
        records.tick(NOW.after(PROVIDER_LIFE));
        assert!(records.keys.is_empty() && records.by_peer.is_empty());
    }
}
