//! Groups of addresses that one hand can have many of: the /24 of an IPv4 address and the /48 of an IPv6 one.
//!
//! Only public addresses have a group. Behind a private one stands a LAN, a container network or this very machine, whose
//! nodes share addresses honestly.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

use libp2p::{Multiaddr, multiaddr::Protocol};
use serde::{Deserialize, Serialize};

/// A public prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Prefix(IpAddr);

impl Prefix {
    /// The group of an address; `None` for one that is not public.
    pub fn of(ip: IpAddr) -> Option<Self> {
        match ip {
            IpAddr::V4(ip) => {
                let [a, b, c, _] = ip.octets();
                is_public(ip).then_some(Self(Ipv4Addr::new(a, b, c, 0).into()))
            }
            IpAddr::V6(ip) => match ip.to_ipv4_mapped() {
                Some(ip) => Self::of(ip.into()),
                None => {
                    let [a, b, c, ..] = ip.segments();
                    // 2000::/3 is all of IPv6 that has been given out (RFC 4291, section 2.4).
                    let is_public = a & 0xe000 == 0x2000 && !(a == 0x2001 && b == 0x0db8);
                    is_public.then_some(Self(Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0).into()))
                }
            },
        }
    }

    /// That of what a multiaddress begins with; `None` for a name, a relay, or what is not public.
    pub fn of_address(address: &Multiaddr) -> Option<Self> {
        if address.iter().any(|part| part == Protocol::P2pCircuit) {
            return None;
        }
        match address.iter().next()? {
            Protocol::Ip4(ip) => Self::of(ip.into()),
            Protocol::Ip6(ip) => Self::of(ip.into()),
            _ => None,
        }
    }
}

/// Neither private, shared (RFC 6598), loopback, link-local, documentation nor reserved.
fn is_public(ip: Ipv4Addr) -> bool {
    let [a, b, ..] = ip.octets();
    let shared = a == 100 && (64..128).contains(&b);
    let reserved = a == 0 || a >= 224;
    !(ip.is_private() || ip.is_loopback() || ip.is_link_local() || ip.is_documentation() || shared || reserved)
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
        let ip = text.split('/').next().and_then(|ip| ip.parse().ok()).and_then(Self::of);
        ip.filter(|prefix| prefix.to_string() == text).ok_or_else(|| format!("\"{text}\" is no public /24 or /48"))
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
            ("/ip6/2a02:1234:5678:9abc::1/tcp/1", Some("2a02:1234:5678::/48")),
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
            assert_eq!(prefix.map(|prefix| prefix.to_string()).as_deref(), group, "{address}");
            if let Some(prefix) = prefix {
                assert_eq!(prefix.to_string().parse(), Ok(prefix));
            }
        }
        assert!("10.0.0.0/24".parse::<Prefix>().is_err() && "81.2.69.7/24".parse::<Prefix>().is_err());
    }
}
