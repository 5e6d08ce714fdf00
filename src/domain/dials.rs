//! Bounds on dials to addresses that other peers reported.
//!
//! Anybody may claim that a peer is at any address. Without a bound, a stranger could have every
//! node knock on somebody's door. A dial that reaches the intended peer is given back, so only
//! false claims count.

use std::{collections::HashMap, net::IpAddr};

use libp2p::{Multiaddr, multiaddr::Protocol};

use super::{
    allowance::Allowance,
    prefix::{AddressClass, Classes, ip_of, network},
    time::Timestamp,
};

/// Dials to one public prefix: 8 at once, and four a minute after that.
pub const OF_A_PREFIX: (f64, f64) = (8.0, 1.0 / 15.0);
/// Dials to one private network, where a demo runs over a hundred nodes on one address.
const OF_A_LAN: (f64, f64) = (256.0, 2.0);
/// The most networks whose dials are counted; those with most dials left are forgotten first.
const MAX_TARGETS: usize = 1_024;

/// The network or name that a dial goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum DialTarget {
    Network(IpAddr),
    /// All DNS names together, because many names can lead to one address.
    Names,
}

/// The dials left to each target.
#[derive(Debug, Default)]
pub struct Dials {
    left: HashMap<DialTarget, Allowance>,
    classes: Classes,
}

impl Dials {
    /// Creates an empty account that classifies addresses by `classes`.
    pub fn of(classes: Classes) -> Self {
        Self {
            classes,
            ..Self::default()
        }
    }

    fn target(&self, address: &Multiaddr) -> Option<(DialTarget, (f64, f64))> {
        if let Some(ip) = ip_of(address) {
            let bound = if self.classes.of(ip) == AddressClass::Public {
                OF_A_PREFIX
            } else {
                OF_A_LAN
            };
            return Some((DialTarget::Network(network(ip)), bound));
        }
        let is_name = |part: Protocol<'_>| {
            matches!(
                part,
                Protocol::Dns(_) | Protocol::Dns4(_) | Protocol::Dns6(_) | Protocol::Dnsaddr(_)
            )
        };
        address
            .iter()
            .next()
            .is_some_and(is_name)
            .then_some((DialTarget::Names, OF_A_PREFIX))
    }

    /// Takes one dial to an address. Returns false if its network has none left. An address that is
    /// neither IP nor DNS passes, because no transport of ours dials it.
    pub fn take(&mut self, address: &Multiaddr, now: Timestamp) -> bool {
        let Some((target, (at_once, a_second))) = self.target(address) else {
            return true;
        };
        if self.left.len() >= MAX_TARGETS && !self.left.contains_key(&target) {
            let idle = self
                .left
                .iter()
                .max_by(|(_, a), (_, b)| a.share(now).total_cmp(&b.share(now)));
            idle.map(|(target, _)| *target)
                .map(|idle| self.left.remove(&idle));
        }
        self.left
            .entry(target)
            .or_insert_with(|| Allowance::new(at_once, a_second, now))
            .take(now)
    }

    /// Gives back the dials to the network at which a peer was reached, of those to `dialled`, all
    /// of which were taken. The claims about that network were true; those about others may be
    /// false.
    pub fn reached(&mut self, at: &Multiaddr, dialled: &[Multiaddr], now: Timestamp) {
        let Some((target, _)) = self.target(at) else {
            return;
        };
        let same = dialled
            .iter()
            .filter(|one| self.target(one).is_some_and(|(other, _)| other == target))
            .count();
        if let Some(left) = self.left.get_mut(&target) {
            (0..same).for_each(|_| left.give_back(now));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    const NOW: Timestamp = Timestamp(1_700_000_000_000);

    fn at(a: u8, b: u8, port: u16) -> Multiaddr {
        format!("/ip4/81.2.{a}.{b}/tcp/{port}").parse().unwrap()
    }

    #[test]
    fn a_prefix_is_dialled_a_few_times_whatever_is_claimed_and_honest_peers_cost_nothing() {
        let mut dials = Dials::default();
        let dialled = (0..1_000u16)
            .filter(|n| dials.take(&at(1, *n as u8, 1 + n), NOW))
            .count();
        assert_eq!(dialled, OF_A_PREFIX.0 as usize);
        assert!(dials.take(&at(2, 1, 1), NOW), "others are still dialled");
        let later = NOW.after(Duration::from_secs(60));
        assert_eq!(
            (0..100).filter(|_| dials.take(&at(1, 1, 1), later)).count(),
            4
        );
        let reached = (0..1_000).filter(|_| {
            let dialled = dials.take(&at(3, 1, 1), NOW);
            // Over TCP and QUIC, and an address elsewhere.
            let also = [at(3, 1, 2), at(4, 1, 1)].map(|one| dials.take(&one, NOW).then_some(one));
            let all: Vec<_> = also.into_iter().flatten().chain([at(3, 1, 1)]).collect();
            dials.reached(&at(3, 1, 1), &all, NOW);
            dialled
        });
        assert_eq!(reached.count(), 1_000);
        assert!(
            !dials.take(&at(4, 1, 1), NOW),
            "the other was dialled eight times all the same"
        );
        let names = |n: usize| format!("/dns4/n{n}.example.org/tcp/1").parse().unwrap();
        assert_eq!(
            (0..100).filter(|n| dials.take(&names(*n), NOW)).count(),
            OF_A_PREFIX.0 as usize
        );
    }

    proptest! {
        #[test]
        fn no_prefix_is_dialled_more_than_its_share(
            steps in proptest::collection::vec((0u8..3, any::<u8>(), 0u64..5_000), 1..400),
        ) {
            let (mut dials, mut now, mut counts) = (Dials::default(), NOW, HashMap::new());
            for (a, b, later) in steps {
                now = now.after(Duration::from_millis(later));
                if dials.take(&at(a, b, 1), now) {
                    *counts.entry(a).or_insert(0u32) += 1;
                }
                let most = OF_A_PREFIX.0 + now.since(NOW).as_secs_f64() * OF_A_PREFIX.1;
                prop_assert!(counts.values().all(|count| f64::from(*count) <= most + 1e-6));
            }
        }

        #[test]
        fn what_is_remembered_is_bounded(count in 0usize..3_000) {
            let mut dials = Dials::default();
            for n in 0..count {
                let (a, b) = ((n / 200) as u8, (n % 200) as u8);
                dials.take(&format!("/ip4/{}.{b}.1.1/tcp/1", 20 + a).parse().unwrap(), NOW);
            }
            prop_assert!(dials.left.len() <= MAX_TARGETS);
        }
    }
}
