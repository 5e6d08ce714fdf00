//! The rule for connections: it refuses banned peers, more connections from one address or network
//! than their caps, and all but one unknown peer of a doubtful prefix.

use std::{
    collections::{HashMap, HashSet},
    hash::Hash,
    net::IpAddr,
};

use libp2p::PeerId;

use crate::domain::{
    caps::{CapReached, Origins},
    prefix::{Classes, Prefix},
};
use crate::net::peers::penalties::AdmissionLists;

/// The reason a connection is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Shut {
    #[error("its address has too many connections")]
    Address,
    #[error("its network has too many connections")]
    Network,
    #[error("the peer is banned")]
    Banned,
    #[error("several peers of its prefix are banned, and another unknown peer has the only place")]
    Doubtful,
}

/// The open connections and the rule for new ones. `K` is the number of a connection; later ones
/// are higher.
pub struct Door<K> {
    pub admission: AdmissionLists,
    origins: Origins<K>,
    /// Connections, in both directions, of peers with a public prefix.
    open: HashMap<K, (PeerId, Prefix)>,
    classes: Classes,
    /// Most connections from one private address.
    private: usize,
}

impl<K: Copy + Ord + Hash> Door<K> {
    pub fn new(classes: Classes, private: usize) -> Self {
        Self {
            admission: AdmissionLists::default(),
            origins: Origins::default(),
            open: HashMap::new(),
            classes,
            private,
        }
    }

    /// Checks an incoming connection before the handshake, when only its address is known.
    ///
    /// # Errors
    /// [`Shut::Address`] or [`Shut::Network`] if that has as many connections as it may.
    pub fn knock(&mut self, id: K, ip: IpAddr) -> Result<(), Shut> {
        let admitted = self
            .origins
            .admit(id, ip, self.classes.of(ip), self.private);
        admitted.map_err(|full| match full {
            CapReached::Address => Shut::Address,
            CapReached::Network => Shut::Network,
        })
    }

    /// Checks a connection, in either direction, once the peer is known.
    ///
    /// # Errors
    /// [`Shut::Banned`] or [`Shut::Doubtful`].
    pub fn admit(&mut self, id: K, peer: PeerId, ip: Option<IpAddr>) -> Result<(), Shut> {
        if self.admission.banned.contains(&peer) {
            return Err(Shut::Banned);
        }
        let Some(prefix) = ip.and_then(|ip| Prefix::classed(ip, self.classes)) else {
            return Ok(());
        };
        if !self.admission.good.contains(&peer)
            && self.admission.doubtful.contains(&prefix)
            && self.unknown(&prefix).any(|(other, _)| *other != peer)
        {
            return Err(Shut::Doubtful);
        }
        self.open.insert(id, (peer, prefix));
        Ok(())
    }

    /// Returns the connections of a prefix's unknown peers, oldest first.
    fn unknown(&self, prefix: &Prefix) -> impl Iterator<Item = (&PeerId, &K)> {
        let of_it = self
            .open
            .iter()
            .filter(move |(_, (peer, of))| of == prefix && !self.admission.good.contains(peer));
        let mut of_it: Vec<_> = of_it.map(|(id, (peer, _))| (peer, id)).collect();
        of_it.sort_by_key(|(_, id)| **id);
        of_it.into_iter()
    }

    /// Returns the unknown peers of doubtful prefixes beyond the one that each prefix may have.
    pub fn beyond(&self) -> Vec<PeerId> {
        let mut beyond = HashSet::new();
        for prefix in &self.admission.doubtful {
            let first = self.unknown(prefix).next().map(|(peer, _)| *peer);
            beyond.extend(
                self.unknown(prefix)
                    .map(|(peer, _)| *peer)
                    .filter(|peer| Some(*peer) != first),
            );
        }
        beyond.into_iter().collect()
    }

    /// Removes a connection that has ended or failed.
    pub fn leave(&mut self, id: &K) {
        self.origins.leave(id);
        self.open.remove(id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::caps::{OF_A_NETWORK, OF_AN_ADDRESS};

    fn at(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn banned_peers_are_not_let_in_and_of_a_doubtful_prefix_one_unknown_peer_and_all_good_ones() {
        let [liar, first, second, friend] = [(); 4].map(|()| PeerId::random());
        let (there, elsewhere) = (at("81.2.69.1"), at("127.0.0.1"));
        let mut door = Door::new(Classes::ByRange, 64);
        door.admission.banned.insert(liar);
        door.admission.good.insert(friend);
        let mut number = 0;
        let mut admitted = |door: &mut Door<usize>, peer: PeerId, ip| {
            number += 1;
            door.admit(number, peer, Some(ip)).is_ok()
        };
        assert!(!admitted(&mut door, liar, elsewhere));
        assert!(admitted(&mut door, first, there) && admitted(&mut door, second, there));
        door.admission.doubtful.extend(Prefix::of(there));
        assert_eq!(door.beyond(), [second], "the later one");
        assert!(!admitted(&mut door, PeerId::random(), there));
        assert!(admitted(&mut door, friend, there));
        assert!(admitted(&mut door, PeerId::random(), elsewhere));
        (0..=number).for_each(|n| door.leave(&n));
        assert!(door.admit(100, second, Some(there)).is_ok());
        assert!(door.admit(101, second, Some(there)).is_ok());
        assert_eq!(door.admit(102, first, Some(there)), Err(Shut::Doubtful));
        assert!(door.beyond().is_empty());
    }

    #[test]
    fn an_address_pays_before_the_handshake_and_loopback_by_the_class_that_it_is_given() {
        let let_in = |door: &mut Door<usize>, ids: std::ops::Range<usize>| {
            ids.filter(|n| door.knock(*n, at("127.0.0.1")).is_ok())
                .count()
        };
        assert_eq!(let_in(&mut Door::new(Classes::ByRange, 64), 0..300), 64);
        let mut strict = Door::new(Classes::AllPublic, 64);
        assert_eq!(let_in(&mut strict, 0..300), OF_AN_ADDRESS);
        let spread = (300..600).filter(|n| {
            let ip = at(&format!("127.0.1.{}", 1 + n % 200));
            strict.knock(*n, ip).is_ok()
        });
        assert_eq!(spread.count(), OF_A_NETWORK);
        (0..300).for_each(|n| strict.leave(&n));
        assert!(strict.knock(1_000, at("127.0.0.1")).is_ok());
    }
}
