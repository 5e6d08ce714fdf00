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
pub enum AdmissionError {
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
pub struct ConnectionAdmission<K> {
    pub lists: AdmissionLists,
    origins: Origins<K>,
    /// Connections, in both directions, of peers with a public prefix.
    open: HashMap<K, (PeerId, Prefix)>,
    classes: Classes,
    /// Most connections from one private address.
    private: usize,
}

impl<K: Copy + Ord + Hash> ConnectionAdmission<K> {
    pub fn new(classes: Classes, private: usize) -> Self {
        Self {
            lists: AdmissionLists::default(),
            origins: Origins::default(),
            open: HashMap::new(),
            classes,
            private,
        }
    }

    /// Checks an incoming connection before the handshake, when only its address is known.
    ///
    /// # Errors
    /// [`AdmissionError::Address`] or [`AdmissionError::Network`] if that has as many connections
    /// as it may.
    pub fn admit_address(&mut self, id: K, ip: IpAddr) -> Result<(), AdmissionError> {
        let admitted = self
            .origins
            .admit(id, ip, self.classes.of(ip), self.private);
        admitted.map_err(|full| match full {
            CapReached::Address => AdmissionError::Address,
            CapReached::Network => AdmissionError::Network,
        })
    }

    /// Checks a connection, in either direction, once the peer is known.
    ///
    /// # Errors
    /// [`AdmissionError::Banned`] or [`AdmissionError::Doubtful`].
    pub fn admit_peer(
        &mut self,
        id: K,
        peer: PeerId,
        ip: Option<IpAddr>,
    ) -> Result<(), AdmissionError> {
        if self.lists.banned.contains(&peer) {
            return Err(AdmissionError::Banned);
        }
        let Some(prefix) = ip.and_then(|ip| Prefix::classed(ip, self.classes)) else {
            return Ok(());
        };
        if !self.lists.good.contains(&peer)
            && self.lists.doubtful.contains(&prefix)
            && self.unknown(&prefix).any(|(other, _)| *other != peer)
        {
            return Err(AdmissionError::Doubtful);
        }
        self.open.insert(id, (peer, prefix));
        Ok(())
    }

    /// Returns the connections of a prefix's unknown peers, oldest first.
    fn unknown(&self, prefix: &Prefix) -> impl Iterator<Item = (&PeerId, &K)> {
        let of_it = self
            .open
            .iter()
            .filter(move |(_, (peer, of))| of == prefix && !self.lists.good.contains(peer));
        let mut of_it: Vec<_> = of_it.map(|(id, (peer, _))| (peer, id)).collect();
        of_it.sort_by_key(|(_, id)| **id);
        of_it.into_iter()
    }

    /// Returns the unknown peers of doubtful prefixes beyond the one that each prefix may have.
    pub fn beyond(&self) -> Vec<PeerId> {
        let mut beyond = HashSet::new();
        for prefix in &self.lists.doubtful {
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
        let mut admission = ConnectionAdmission::new(Classes::ByRange, 64);
        admission.lists.banned.insert(liar);
        admission.lists.good.insert(friend);
        let mut number = 0;
        let mut admitted = |admission: &mut ConnectionAdmission<usize>, peer: PeerId, ip| {
            number += 1;
            admission.admit_peer(number, peer, Some(ip)).is_ok()
        };
        assert!(!admitted(&mut admission, liar, elsewhere));
        assert!(admitted(&mut admission, first, there) && admitted(&mut admission, second, there));
        admission.lists.doubtful.extend(Prefix::of(there));
        assert_eq!(admission.beyond(), [second], "the later one");
        assert!(!admitted(&mut admission, PeerId::random(), there));
        assert!(admitted(&mut admission, friend, there));
        assert!(admitted(&mut admission, PeerId::random(), elsewhere));
        (0..=number).for_each(|n| admission.leave(&n));
        assert!(admission.admit_peer(100, second, Some(there)).is_ok());
        assert!(admission.admit_peer(101, second, Some(there)).is_ok());
        assert_eq!(
            admission.admit_peer(102, first, Some(there)),
            Err(AdmissionError::Doubtful)
        );
        assert!(admission.beyond().is_empty());
    }

    #[test]
    fn an_address_pays_before_the_handshake_and_loopback_by_the_class_that_it_is_given() {
        let let_in = |admission: &mut ConnectionAdmission<usize>, ids: std::ops::Range<usize>| {
            ids.filter(|n| admission.admit_address(*n, at("127.0.0.1")).is_ok())
                .count()
        };
        assert_eq!(
            let_in(&mut ConnectionAdmission::new(Classes::ByRange, 64), 0..300),
            64
        );
        let mut strict = ConnectionAdmission::new(Classes::AllPublic, 64);
        assert_eq!(let_in(&mut strict, 0..300), OF_AN_ADDRESS);
        let spread = (300..600).filter(|n| {
            let ip = at(&format!("127.0.1.{}", 1 + n % 200));
            strict.admit_address(*n, ip).is_ok()
        });
        assert_eq!(spread.count(), OF_A_NETWORK);
        (0..300).for_each(|n| strict.leave(&n));
        assert!(strict.admit_address(1_000, at("127.0.0.1")).is_ok());
    }
}
