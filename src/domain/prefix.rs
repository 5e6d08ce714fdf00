//! Prefixes: groups of addresses that one party can easily own, the /24 of an IPv4 address and the
//! /48 of an IPv6 one.
//!
//! Only public addresses have a prefix. Behind a private one is a LAN, a container network or this
//! very machine, whose nodes share addresses honestly.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

use libp2p::{Multiaddr, multiaddr::Protocol};
use serde::{Deserialize, Serialize};

/// The class of an address, by how nodes share it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressClass {
    /// One party can have many of them cheaply.
    Public,
    /// A LAN, a container network or this machine, whose nodes share addresses honestly.
    Private,
}

/// The rule that says which addresses are public.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Classes {
    /// Addresses in public ranges.
    #[default]
    ByRange,
    /// All addresses, so that tests on loopback meet the rules for strangers on the Internet.
    AllPublic,
}

impl Classes {
    /// Returns the class of an address.
    pub fn of(self, ip: IpAddr) -> AddressClass {
        let is_public = match ip.to_canonical() {
            IpAddr::V4(ip) => is_public(ip),
            IpAddr::V6(ip) => {
                let [a, b, ..] = ip.segments();
                // 2000::/3 is all of IPv6 that has been allocated (RFC 4291, section 2.4).
                a & 0xe000 == 0x2000 && !(a == 0x2001 && b == 0x0db8)
            }
        };
        if self == Self::AllPublic || is_public {
            AddressClass::Public
        } else {
            AddressClass::Private
        }
    }
}

/// Returns the IP address that a multiaddress begins with; `None` for a DNS name, a relay or
/// anything else.
pub fn ip_of(address: &Multiaddr) -> Option<IpAddr> {
    if address.iter().any(|part| part == Protocol::P2pCircuit) {
        return None;
    }
    match address.iter().next()? {
        Protocol::Ip4(ip) => Some(ip.into()),
        Protocol::Ip6(ip) => Some(IpAddr::V6(ip).to_canonical()),
        _ => None,
    }
}

/// Returns the network of an address: the /24 of IPv4, the /48 of IPv6.
pub fn network(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V4(ip) => {
            let [a, b, c, _] = ip.octets();
            Ipv4Addr::new(a, b, c, 0).into()
        }
        IpAddr::V6(ip) => {
            let [a, b, c, ..] = ip.segments();
            Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0).into()
        }
    }
}

/// A public prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Prefix(IpAddr);

impl Prefix {
    /// Returns the prefix of an address; `None` if it is not public.
    pub fn of(ip: IpAddr) -> Option<Self> {
        Self::classed(ip, Classes::ByRange)
    }

    /// Returns the prefix of an address, with `classes` deciding which are public.
    pub fn classed(ip: IpAddr, classes: Classes) -> Option<Self> {
        (classes.of(ip) == AddressClass::Public).then(|| Self(network(ip)))
    }

    /// Returns the prefix of a multiaddress's IP address; `None` for a DNS name, a relay or a
    /// private address.
    pub fn of_address(address: &Multiaddr) -> Option<Self> {
        ip_of(address).and_then(Self::of)
    }
}

/// Returns true if the address is neither private, shared (RFC 6598), loopback, link-local,
/// documentation nor reserved.
fn is_public(ip: Ipv4Addr) -> bool {
    let [a, b, ..] = ip.octets();
    let shared = a == 100 && (64..128).contains(&b);
    let reserved = a == 0 || a >= 224;
    !(ip.is_private()
        || ip.is_loopback()
        || ip.is_link_local()
        || ip.is_documentation()
        || shared
        || reserved)
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.0, if self.0.is_ipv4() { 24 } else { 48 })
    }
}

impl From<Prefix> for String {
    fn from(prefix: Prefix) -> Self {
        prefix.to_string()
    }
}

impl FromStr for Prefix {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let ip = text
            .split('/')
            .next()
            .and_then(|ip| ip.parse().ok())
            .and_then(Self::of);
        ip.filter(|prefix| prefix.to_string() == text)
            .ok_or_else(|| format!("\"{text}\" is not a public /24 or /48"))
    }
}

impl TryFrom<String> for Prefix {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn public_addresses_have_a_group_and_others_have_none() {
        for (address, group) in [
            ("/ip4/81.2.69.160/tcp/1", Some("81.2.69.0/24")),
            ("/ip4/81.2.69.9/udp/1/quic-v1", Some("81.2.69.0/24")),
            (
                "/ip6/2a02:1234:5678:9abc::1/tcp/1",
                Some("2a02:1234:5678::/48"),
            ),
            ("/ip6/::ffff:81.2.69.160/tcp/1", Some("81.2.69.0/24")),
            ("/ip4/10.1.2.3/tcp/1", None),
            ("/ip4/192.168.1.1/tcp/1", None),
            ("/ip4/100.64.0.1/tcp/1", None),
            ("/ip4/127.0.0.1/tcp/1", None),
            ("/ip4/169.254.1.1/tcp/1", None),
            ("/ip6/::1/tcp/1", None),
            ("/ip6/fe80::1/tcp/1", None),
            ("/ip6/fd00::1/tcp/1", None),
            ("/dns4/example.org/tcp/1", None),
            ("/memory/1", None),
        ] {
            let prefix = Prefix::of_address(&address.parse().unwrap());
            assert_eq!(
                prefix.map(|prefix| prefix.to_string()).as_deref(),
                group,
                "{address}"
            );
            if let Some(prefix) = prefix {
                assert_eq!(prefix.to_string().parse(), Ok(prefix));
            }
        }
        let loopback = ip_of(&"/ip4/127.0.0.1/tcp/1".parse().unwrap()).unwrap();
        let strict = Prefix::classed(loopback, Classes::AllPublic);
        assert_eq!(
            strict.map(|prefix| prefix.to_string()).as_deref(),
            Some("127.0.0.0/24")
        );
        assert!(
            "10.0.0.0/24".parse::<Prefix>().is_err() && "81.2.69.7/24".parse::<Prefix>().is_err()
        );
    }
}
