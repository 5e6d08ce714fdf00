//! Caps on inbound connections, by address and network, checked before the handshake.
//!
//! An identity costs nothing and an address does, so addresses pay. The caps of one address never
//! depend on what others hold: a peer that fills its own turns nobody else away.

use std::{
    collections::HashMap,
    hash::Hash,
    net::{IpAddr, Ipv6Addr},
};

use super::prefix::{AddressClass, network};

/// Connections allowed from one public address: enough for a household or a small site behind it.
pub const OF_AN_ADDRESS: usize = 8;
/// Connections allowed from one public /24 or /48: two small sites. Filling a node takes a dozen
/// networks.
pub const OF_A_NETWORK: usize = 16;
/// Default for connections allowed from one private address: enough for a whole demo or a container
/// host.
pub const OF_A_PRIVATE_ADDRESS: usize = 64;
/// A private network may have as many connections as this many of its addresses.
const ADDRESSES_OF_A_PRIVATE_NETWORK: usize = 4;

/// The most connections that an address and its network may have open at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caps {
    /// The most connections from one address.
    pub of_an_address: usize,
    /// The most connections from one network.
    pub of_a_network: usize,
}

impl Caps {
    /// Returns the caps of an address of a class, given that a private address may have `private`.
    pub fn of(class: AddressClass, private: usize) -> Self {
        match class {
            AddressClass::Public => Self {
                of_an_address: OF_AN_ADDRESS,
                of_a_network: OF_A_NETWORK,
            },
            AddressClass::Private => Self {
                of_an_address: private,
                of_a_network: private.saturating_mul(ADDRESSES_OF_A_PRIVATE_NETWORK),
            },
        }
    }
}

/// The cap that a connection exceeds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CapReached {
    /// The cap of its address.
    Address,
    /// The cap of its network.
    Network,
}

/// Returns the address that a connection is counted under: for public IPv6 the /64, since one
/// machine has all of it.
pub fn host(ip: IpAddr, class: AddressClass) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(ip) if class == AddressClass::Public => {
            let [a, b, c, d, ..] = ip.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        ip => ip,
    }
}

/// Open and pending inbound connections, by origin. It grows with the number of connections only.
#[derive(Debug)]
pub struct Origins<K> {
    open: HashMap<K, (IpAddr, IpAddr)>,
    hosts: HashMap<IpAddr, usize>,
    networks: HashMap<IpAddr, usize>,
}

impl<K> Default for Origins<K> {
    fn default() -> Self {
        Self {
            open: HashMap::new(),
            hosts: HashMap::new(),
            networks: HashMap::new(),
        }
    }
}

impl<K: Hash + Eq> Origins<K> {
    /// Admits a connection.
    ///
    /// # Errors
    /// The cap that is reached.
    pub fn admit(
        &mut self,
        id: K,
        ip: IpAddr,
        class: AddressClass,
        private: usize,
    ) -> Result<(), CapReached> {
        let caps = Caps::of(class, private);
        let (host, network) = (host(ip, class), network(ip));
        let count =
            |counts: &HashMap<IpAddr, usize>, of| counts.get(of).copied().unwrap_or_default();
        if count(&self.hosts, &host) >= caps.of_an_address {
            return Err(CapReached::Address);
        }
        if count(&self.networks, &network) >= caps.of_a_network {
            return Err(CapReached::Network);
        }
        if self.open.insert(id, (host, network)).is_none() {
            *self.hosts.entry(host).or_default() += 1;
            *self.networks.entry(network).or_default() += 1;
        }
        Ok(())
    }

    /// Removes a connection that ended or failed. A connection that was never admitted changes
    /// nothing.
    pub fn leave(&mut self, id: &K) {
        let Some((host, network)) = self.open.remove(id) else {
            return;
        };
        for (counts, of) in [(&mut self.hosts, host), (&mut self.networks, network)] {
            if let Some(count) = counts.get_mut(&of) {
                *count -= 1;
                if *count == 0 {
                    counts.remove(&of);
                }
            }
        }
    }

    /// Returns the number of connections.
    pub fn len(&self) -> usize {
        self.open.len()
    }

    /// Returns true if there are no connections.
    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::prefix::Classes;

    fn ip(a: u8, b: u8) -> IpAddr {
        [81, 2, a, b].into()
    }

    #[test]
    fn a_machine_with_a_whole_ipv6_network_is_one_address() {
        let (a, b): (IpAddr, IpAddr) = (
            "2a02:1:2:3::1".parse().unwrap(),
            "2a02:1:2:3:9::7".parse().unwrap(),
        );
        assert_eq!(host(a, AddressClass::Public), host(b, AddressClass::Public));
        assert_ne!(
            host(a, AddressClass::Private),
            host(b, AddressClass::Private)
        );
    }

    #[test]
    fn a_private_address_has_wider_caps_and_the_class_is_the_callers_to_say() {
        let loopback: IpAddr = [127, 0, 0, 1].into();
        let held = |classes: Classes| {
            let mut origins = Origins::default();
            let admitted = |n: &usize| {
                origins
                    .admit(*n, loopback, classes.of(loopback), 64)
                    .is_ok()
            };
            (0..1_000).filter(admitted).count()
        };
        assert_eq!(
            (held(Classes::ByRange), held(Classes::AllPublic)),
            (64, OF_AN_ADDRESS)
        );
    }

    proptest! {
        #[test]
        fn caps_hold_and_nobody_pays_for_another_network(
            steps in proptest::collection::vec((any::<bool>(), 0u8..3, 0u8..4, 0usize..80), 0..300),
        ) {
            let (mut origins, mut next) = (Origins::default(), 0usize);
            let mut held: Vec<(usize, u8, u8)> = Vec::new();
            for (comes, a, b, which) in steps {
                if comes {
                    let of_host = held.iter().filter(|(_, x, y)| (*x, *y) == (a, b)).count();
                    let of_network = held.iter().filter(|(_, x, _)| *x == a).count();
                    let admitted = origins.admit(next, ip(a, b), AddressClass::Public, 64);
                    // Only its own address and network decide.
                    let expected = of_host < OF_AN_ADDRESS && of_network < OF_A_NETWORK;
                    prop_assert_eq!(admitted.is_ok(), expected);
                    if expected {
                        held.push((next, a, b));
                    }
                    next += 1;
                } else if !held.is_empty() {
                    let (id, ..) = held.swap_remove(which % held.len());
                    origins.leave(&id);
                    origins.leave(&id);
                }
            }
            prop_assert_eq!(origins.len(), held.len());
            held.iter().for_each(|(id, ..)| origins.leave(id));
            prop_assert!(origins.is_empty() && origins.hosts.is_empty() && origins.networks.is_empty());
        }
    }
}
