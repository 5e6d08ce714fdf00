//! Chooses the peers to dial and the time of the next try: bootstrap addresses, remembered peers,
//! and peers found by mDNS.

use std::{
    collections::{HashMap, HashSet},
    time::{Duration, Instant},
};

use libp2p::{Multiaddr, PeerId, multiaddr::Protocol};
use rand::{Rng, RngExt, seq::SliceRandom};

use crate::net::peers::connections::OUTBOUND;

/// Wait after the first failure; it doubles with each further one.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(300);
/// Failures after which a peer is given up unless it is a bootstrap peer.
const PATIENCE: u32 = 6;
/// Most peers waiting to be dialled.
const MAX_TARGETS: usize = 256;
/// Most addresses kept of each.
const MAX_ADDRESSES: usize = 8;
/// Most remembered peers of other networks, which are not dialled again.
const MAX_STRANGERS: usize = 1_024;
/// Most dials started at once.
const AT_ONCE: usize = 8;

/// The way this node learned of a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Named in the settings; never given up.
    Bootstrap,
    Remembered,
    Mdns,
    /// Named by a person for one dial.
    Asked,
}

struct DiscoveryTarget {
    origin: Origin,
    addresses: Vec<Multiaddr>,
    failures: u32,
    not_before: Instant,
}

#[derive(Default)]
pub struct Discovery {
    targets: HashMap<PeerId, DiscoveryTarget>,
    strangers: HashSet<PeerId>,
}

/// Returns an address without the peer id at its end.
pub fn bare(address: &Multiaddr) -> Multiaddr {
    address
        .iter()
        .filter(|part| !matches!(part, Protocol::P2p(_)))
        .collect()
}

impl Discovery {
    /// Adds an address to dial.
    pub fn add(&mut self, peer: PeerId, address: Multiaddr, origin: Origin, now: Instant) {
        if self.strangers.contains(&peer) && origin != Origin::Bootstrap {
            return;
        }
        if !self.targets.contains_key(&peer)
            && self.targets.len() >= MAX_TARGETS
            && origin != Origin::Bootstrap
        {
            return;
        }
        let target = self.targets.entry(peer).or_insert_with(|| DiscoveryTarget {
            origin,
            addresses: Vec::new(),
            failures: 0,
            not_before: now,
        });
        if !target.addresses.contains(&address) && target.addresses.len() < MAX_ADDRESSES {
            target.addresses.push(address);
        }
    }

    /// As [`Self::add`], for a peer that a person named just now: its earlier failures are
    /// forgotten.
    pub fn add_now(&mut self, peer: PeerId, address: Multiaddr, origin: Origin, now: Instant) {
        self.strangers.remove(&peer);
        self.targets.remove(&peer);
        self.add(peer, address, origin, now);
    }

    /// Stops dialling the peer until it is added again.
    pub fn forget(&mut self, peer: &PeerId) {
        self.targets.remove(peer);
    }

    /// Returns the peers to dial now, if there are fewer than `wanted` connections or fewer than
    /// [`OUTBOUND`] that this node dialled, so that not all its peers are ones that came from
    /// outside. The flag is true if the address is only a claim of others.
    pub fn due(
        &mut self,
        now: Instant,
        (connected, outbound): (usize, usize),
        wanted: usize,
        is_connected: impl Fn(&PeerId) -> bool,
        rng: &mut impl Rng,
    ) -> Vec<(PeerId, Vec<Multiaddr>, bool)> {
        if connected >= wanted && outbound >= OUTBOUND {
            return Vec::new();
        }
        let waiting = self.targets.iter();
        let waiting = waiting.filter(|(peer, one)| one.not_before <= now && !is_connected(peer));
        let mut waiting: Vec<PeerId> = waiting.map(|(peer, _)| *peer).collect();
        // Shuffled, because a peer chooses its id and could choose one that is dialled first.
        waiting.sort_unstable();
        waiting.shuffle(rng);
        let mut due = Vec::new();
        for peer in waiting.into_iter().take(AT_ONCE) {
            let Some(target) = self.targets.get_mut(&peer) else {
                continue;
            };
            // Counted as failed until it connects, so that a peer that never answers is not dialled
            // again at once.
            target.failures = target.failures.saturating_add(1);
            target.not_before = now + wait(target.failures, rng);
            let claimed = matches!(target.origin, Origin::Remembered | Origin::Mdns);
            due.push((peer, target.addresses.clone(), claimed));
        }
        self.targets
            .retain(|_, target| target.origin == Origin::Bootstrap || target.failures <= PATIENCE);
        due
    }

    pub fn connected(&mut self, peer: &PeerId) {
        if let Some(target) = self.targets.get_mut(peer) {
            target.failures = 0;
        }
    }

    /// Returns true if the peer was named in the settings.
    pub fn is_bootstrap(&self, peer: &PeerId) -> bool {
        self.targets
            .get(peer)
            .is_some_and(|target| target.origin == Origin::Bootstrap)
    }

    /// Returns true if the settings or a person, and not some peer, named this address of the peer.
    pub fn names(&self, peer: &PeerId, address: &Multiaddr) -> bool {
        let sought = bare(address);
        let ours = self
            .targets
            .get(peer)
            .filter(|target| target.origin != Origin::Mdns);
        ours.is_some_and(|target| target.addresses.iter().any(|one| bare(one) == sought))
    }

    /// Notes that the peer does not speak our protocols: no fault, but no reason to dial it again.
    pub fn is_stranger(&mut self, peer: PeerId) {
        self.targets.remove(&peer);
        if self.strangers.len() < MAX_STRANGERS {
            self.strangers.insert(peer);
        }
    }

    /// Returns the bootstrap peers that failed this many times, each with an address, for the
    /// message to the person.
    pub fn unreachable_bootstraps(&self, failures: u32) -> Vec<(PeerId, Multiaddr)> {
        let stuck = |(_, target): &(&PeerId, &DiscoveryTarget)| {
            target.origin == Origin::Bootstrap && target.failures == failures
        };
        let stuck = self.targets.iter().filter(stuck);
        stuck
            .filter_map(|(peer, target)| Some((*peer, target.addresses.first()?.clone())))
            .collect()
    }
}

/// Returns the wait, which doubles from [`FIRST_WAIT`] and varies by a quarter, so that the nodes
/// of a site do not all dial at once when its power returns.
fn wait(failures: u32, rng: &mut impl Rng) -> Duration {
    let doubled =
        FIRST_WAIT.saturating_mul(2u32.saturating_pow(failures.saturating_sub(1).min(16)));
    doubled
        .min(LONGEST_WAIT)
        .mul_f64(rng.random_range(0.75..=1.25))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{SeedableRng, rngs::StdRng};

    fn address() -> Multiaddr {
        "/ip4/127.0.0.1/tcp/1".parse().unwrap()
    }

    #[test]
    fn failures_back_off_and_only_named_peers_are_kept() {
        let mut rng = StdRng::seed_from_u64(1);
        let mut discovery = Discovery::default();
        let (named, found) = (PeerId::random(), PeerId::random());
        let mut now = Instant::now();
        discovery.add(named, address(), Origin::Bootstrap, now);
        discovery.add(found, address(), Origin::Mdns, now);
        let mut dials: HashMap<PeerId, Vec<Duration>> = HashMap::new();
        let start = now;
        for _ in 0..4_000 {
            for (peer, ..) in discovery.due(now, (0, 0), 8, |_| false, &mut rng) {
                dials.entry(peer).or_default().push(now - start);
            }
            now += Duration::from_secs(1);
        }
        assert!(dials[&found].len() as u32 <= PATIENCE + 1);
        let gaps: Vec<_> = dials[&named]
            .windows(2)
            .map(|pair| pair[1] - pair[0])
            .collect();
        assert!(
            gaps.len() > 10 && gaps[0] < Duration::from_secs(3),
            "{gaps:?}"
        );
        assert!(
            gaps.iter().all(|gap| *gap <= LONGEST_WAIT.mul_f64(1.3)),
            "{gaps:?}"
        );
    }

    #[test]
    fn enough_connections_need_no_more() {
        let mut rng = StdRng::seed_from_u64(1);
        let mut discovery = Discovery::default();
        let peer = PeerId::random();
        let mut now = Instant::now();
        discovery.add(peer, address(), Origin::Remembered, now);
        assert_eq!(
            discovery
                .due(now, (100, OUTBOUND - 1), 8, |_| false, &mut rng)
                .len(),
            1,
            "of its own choice"
        );
        now += FIRST_WAIT * 2;
        assert!(
            discovery
                .due(now, (8, OUTBOUND), 8, |_| false, &mut rng)
                .is_empty()
        );
        assert!(
            discovery
                .due(now, (1, 1), 8, |other| *other == peer, &mut rng)
                .is_empty()
        );
        discovery.is_stranger(peer);
        discovery.add(peer, address(), Origin::Mdns, now);
        assert!(
            discovery
                .due(now, (1, 1), 8, |_| false, &mut rng)
                .is_empty()
        );
    }
}
