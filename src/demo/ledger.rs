//! Records when each announcement was made, and which nodes received it.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    time::{Duration, Instant},
};

use libp2p::PeerId;

use crate::domain::percentile::percentiles;
use crate::{bus::Batch, domain::name::PackageId};

/// A package and its revision.
type Revision = (PackageId, u64);

/// Age from which an announcement counts for delivery.
pub const SETTLED: Duration = Duration::from_secs(2);

/// Delays kept for the percentiles.
const MAX_DELAYS: usize = 100_000;

/// The demo's records of announcements.
pub(super) struct AnnouncementLedger {
    announced: BTreeMap<Revision, (Instant, usize)>,
    heard: Vec<HashSet<Revision>>,
    /// The peer from which each node first received an announcement.
    via: HashMap<Revision, HashMap<usize, PeerId>>,
    /// The time since when each node has been connected without a break.
    online: Vec<Option<Instant>>,
    delays_ms: Vec<f64>,
    dropped: Vec<u64>,
    pub errors: Vec<String>,
}

impl AnnouncementLedger {
    pub fn new(peers: usize) -> Self {
        Self {
            announced: BTreeMap::new(),
            heard: vec![HashSet::new(); peers],
            via: HashMap::new(),
            online: vec![None; peers],
            delays_ms: Vec::new(),
            dropped: vec![0; peers],
            errors: Vec::new(),
        }
    }

    pub fn announced(&mut self, package: PackageId, seq: u64, by: usize, at: Instant) {
        self.announced.insert((package, seq), (at, by));
    }

    pub fn online(&mut self, peer: usize, since: Option<Instant>) {
        if let Some(online) = self.online.get_mut(peer) {
            *online = since;
        }
    }

    pub fn is_online(&self, peer: usize) -> bool {
        self.online.get(peer).is_some_and(Option::is_some)
    }

    /// Returns the number of connected nodes.
    pub fn connected(&self) -> usize {
        self.online.iter().flatten().count()
    }

    pub fn heard(&mut self, peer: usize, batch: &Batch) {
        for announced in &batch.announcements {
            if let Some(heard) = self.heard.get_mut(peer) {
                heard.insert((announced.package.clone(), announced.seq));
            }
            if let Some(via) = announced.via {
                let state = (announced.package.clone(), announced.seq);
                let first = self.via.entry(state).or_default();
                first.entry(peer).or_insert(via);
            }
            if announced.via.is_some() && self.delays_ms.len() < MAX_DELAYS {
                self.delays_ms
                    .push(announced.travelled.as_secs_f64() * 1_000.0);
            }
        }
        if let Some(dropped) = self.dropped.get_mut(peer) {
            *dropped = batch.dropped;
        }
    }

    pub fn dropped(&self) -> u64 {
        self.dropped.iter().sum()
    }

    pub fn announcements(&self) -> usize {
        self.announced.len()
    }

    /// Returns the packages announced at least `age` ago, with the node that announced them.
    pub fn known(&self, age: Duration, now: Instant) -> Vec<(PackageId, usize)> {
        let old = |(at, _): &&(Instant, usize)| now.duration_since(*at) >= age;
        self.announced
            .iter()
            .filter(|(_, entry)| old(entry))
            .map(|((package, _), (_, by))| (package.clone(), *by))
            .collect()
    }

    /// Returns the share of deliveries that succeeded, over all announcements older than
    /// [`SETTLED`] and all nodes connected since; `None` if there are none.
    pub fn delivered(&self, now: Instant) -> Option<f64> {
        let (mut expected, mut reached) = (0_u64, 0_u64);
        for (state, (at, by)) in &self.announced {
            if now.duration_since(*at) < SETTLED {
                continue;
            }
            for (peer, (online, heard)) in self.online.iter().zip(&self.heard).enumerate() {
                if peer != *by && online.is_some_and(|since| since <= *at) {
                    expected += 1;
                    reached += u64::from(heard.contains(state));
                }
            }
        }
        (expected > 0).then(|| reached as f64 / expected as f64)
    }

    /// Returns the number of announcements that some node received. The publisher's own receipt may
    /// come later.
    pub fn heard_of(&self) -> usize {
        self.via.len()
    }

    /// Returns the number of hops of each delivery, 1 for a direct one; `ids` are the nodes' peer
    /// ids.
    pub fn hops(&self, ids: &[PeerId]) -> Vec<f64> {
        let number = |id: &PeerId| ids.iter().position(|one| one == id);
        let hops = |by: usize, first: &HashMap<usize, PeerId>, to: usize| {
            let mut at = to;
            (1..=first.len()).find(|_| {
                let via = first.get(&at).and_then(number);
                at = via.unwrap_or(usize::MAX);
                at == by
            })
        };
        let all = self.announced.iter().filter_map(|(state, (_, by))| {
            let first = self.via.get(state)?;
            let to = first.keys().filter(|to| *to != by);
            Some(
                to.filter_map(|to| hops(*by, first, *to))
                    .collect::<Vec<_>>(),
            )
        });
        all.flatten().map(|hops| hops as f64).collect()
    }

    /// Returns the delay from sending to verification at another node, in milliseconds: the 50th
    /// and 95th percentile.
    pub fn delays(&self) -> Option<(f64, f64)> {
        percentiles(self.delays_ms.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::name::PublisherId;
    use libp2p::identity::Keypair;

    #[test]
    fn only_nodes_that_were_there_all_the_time_are_expected_to_have_heard() {
        let package = PackageId {
            owner: PublisherId::of(&Keypair::generate_ed25519().public()),
            name: "web".parse().unwrap(),
        };
        let start = Instant::now();
        let later = start + Duration::from_secs(5);
        let mut ledger = AnnouncementLedger::new(4);
        ledger.online(0, Some(start));
        ledger.online(1, Some(start));
        ledger.online(2, Some(later));
        ledger.announced(package.clone(), 1, 0, start + Duration::from_secs(1));
        assert_eq!(
            ledger.delivered(start + Duration::from_secs(2)),
            None,
            "not settled yet"
        );
        assert_eq!(ledger.delivered(later), Some(0.0));
        ledger
            .heard
            .get_mut(1)
            .unwrap()
            .insert((package.clone(), 1));
        assert_eq!(
            ledger.delivered(later),
            Some(1.0),
            "the publisher and those who came later do not count"
        );
        assert_eq!(ledger.known(Duration::from_secs(3), later), [(package, 0)]);
        assert_eq!(ledger.connected(), 3);
    }
}
