//! The addresses that a node listens on.

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket},
};

use libp2p::{Multiaddr, PeerId, multiaddr::Protocol};

use crate::net::DEFAULT_PORT;
use crate::{RegistryError, Result};

/// Returns the socket address in a multiaddress and whether it is TCP; `None` if it is incomplete.
fn socket(address: &Multiaddr) -> Option<(SocketAddr, bool)> {
    let mut ip = None;
    for part in address {
        match part {
            Protocol::Ip4(v4) => ip = Some(IpAddr::V4(v4)),
            Protocol::Ip6(v6) => ip = Some(IpAddr::V6(v6)),
            Protocol::Tcp(port) => return Some((SocketAddr::new(ip?, port), true)),
            Protocol::Udp(port) => return Some((SocketAddr::new(ip?, port), false)),
            _ => {}
        }
    }
    None
}

/// Binds for a moment without sharing the port. libp2p's own sockets share theirs, so two nodes on
/// one port would both start and each would miss part of the traffic.
fn is_free(address: SocketAddr, tcp: bool) -> std::io::Result<()> {
    if tcp {
        TcpListener::bind(address).map(drop)
    } else {
        UdpSocket::bind(address).map(drop)
    }
}

/// Checks whether this node can listen on an address now.
///
/// # Errors
/// The error of the operating system.
pub fn try_listen(address: &Multiaddr) -> std::io::Result<()> {
    socket(address).map_or(Ok(()), |(socket, tcp)| is_free(socket, tcp))
}

/// Most addresses of one peer in the routing table.
const MAX_ROUTED: usize = 8;

/// Returns those of a peer's listed addresses at which others can reach it. Loopback addresses
/// count only for a peer on this machine, which saw this node at a loopback address (`observed`).
pub fn usable(peer: PeerId, said: Vec<Multiaddr>, observed: &Multiaddr) -> Vec<Multiaddr> {
    let is_near = is_loopback(observed);
    let is_usable = |address: &Multiaddr| {
        (is_near || !is_loopback(address))
            && !is_link_local(address)
            && peer_of(address).is_none_or(|named| named == peer)
    };
    said.into_iter()
        .filter(is_usable)
        .take(MAX_ROUTED)
        .collect()
}

/// Returns the addresses for every interface on one port: TCP and QUIC, over IPv4 and, if the
/// system has it, IPv6. libp2p binds IPv6 sockets to IPv6 only, so both can share the port.
pub(crate) fn everywhere(port: u16) -> Vec<Multiaddr> {
    let any = [
        IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    ];
    let there = any
        .into_iter()
        .filter(|ip| is_free(SocketAddr::new(*ip, 0), false).is_ok())
        .map(Multiaddr::from);
    there
        .flat_map(|any| {
            [
                any.clone().with(Protocol::Tcp(port)),
                any.with(Protocol::Udp(port)).with(Protocol::QuicV1),
            ]
        })
        .collect()
}

/// Returns true if an address stands for all interfaces, of which there may be none yet.
pub fn is_any(address: &Multiaddr) -> bool {
    socket(address).is_some_and(|(socket, _)| socket.ip().is_unspecified())
}

/// Describes the listeners in words: family, transport and port.
pub fn in_words<'a>(listeners: impl Iterator<Item = &'a Multiaddr>) -> BTreeSet<String> {
    let one = |address| {
        let (socket, tcp) = socket(address)?;
        let (family, transport) = (
            if socket.is_ipv4() { "IPv4" } else { "IPv6" },
            if tcp { "tcp" } else { "quic" },
        );
        Some(format!("{family} {transport} {}", socket.port()))
    };
    listeners.filter_map(one).collect()
}

/// Chooses the addresses to listen on: the given ones, or else the default port, or else any free
/// port together with a message that says so.
///
/// # Errors
/// [`RegistryError::Listen`] if a given address cannot be used.
pub fn choose(asked: &[Multiaddr]) -> Result<(Vec<Multiaddr>, Option<String>)> {
    if asked.is_empty() {
        let default = everywhere(DEFAULT_PORT);
        let busy = default
            .iter()
            .filter_map(socket)
            .find_map(|(address, tcp)| is_free(address, tcp).err());
        return Ok(match busy {
            None => (default, None),
            Some(why) => (
                everywhere(0),
                Some(format!(
                    "port {DEFAULT_PORT} cannot be used ({why}), so another one was taken; use \
                     --listen to choose"
                )),
            ),
        });
    }
    for address in asked {
        if let Some((socket, tcp)) = socket(address).filter(|(socket, _)| socket.port() != 0) {
            is_free(socket, tcp).map_err(|why| RegistryError::Listen {
                address: address.to_string(),
                why: why.to_string(),
            })?;
        }
    }
    Ok((asked.to_vec(), None))
}

/// Returns the peer id at the end of an address.
pub fn peer_of(address: &Multiaddr) -> Option<PeerId> {
    address.iter().find_map(|part| match part {
        Protocol::P2p(peer) => Some(peer),
        _ => None,
    })
}

/// Returns true for a link-local address. Without the name of an interface, which an address cannot
/// have, no other node can dial it.
pub fn is_link_local(address: &Multiaddr) -> bool {
    address
        .iter()
        .any(|part| matches!(part, Protocol::Ip6(v6) if v6.is_unicast_link_local()))
}

pub fn is_loopback(address: &Multiaddr) -> bool {
    address.iter().any(|part| match part {
        Protocol::Ip4(v4) => v4.is_loopback(),
        Protocol::Ip6(v6) => v6.is_loopback(),
        _ => false,
    })
}

/// Returns the addresses for others, with the peer's id: those reachable in a LAN first, loopback
/// last.
pub fn for_others<'a>(listeners: impl Iterator<Item = &'a Multiaddr>, me: PeerId) -> Vec<String> {
    let mut addresses: Vec<&Multiaddr> = listeners
        .filter(|address| !is_link_local(address))
        .collect();
    let is_udp = |address: &Multiaddr| address.iter().any(|part| matches!(part, Protocol::Udp(_)));
    addresses.sort_by_key(|address| (is_loopback(address), is_udp(address), address.to_string()));
    addresses
        .into_iter()
        .map(|address| format!("{address}/p2p/{me}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_what_a_peer_says_only_what_others_can_reach_is_used() {
        let peer = PeerId::random();
        let used = |address: &str, observed: &str| {
            let said = vec![address.parse().unwrap()];
            !usable(peer, said, &observed.parse().unwrap()).is_empty()
        };
        let (here, there) = ("/ip4/127.0.0.1/tcp/9", "/ip4/10.0.0.2/tcp/9");
        assert!(used(here, here), "on one machine");
        assert!(!used(here, there));
        assert!(used("/ip4/10.0.0.3/tcp/1", there));
        assert!(!used("/ip6/fe80::1/tcp/1", there), "of one link");
        assert!(used(&format!("/ip4/10.0.0.3/tcp/1/p2p/{peer}"), there));
        let other = PeerId::random();
        assert!(!used(&format!("/ip4/10.0.0.3/tcp/1/p2p/{other}"), there));
        let many = vec![there.parse().unwrap(); 50];
        assert_eq!(
            usable(peer, many, &there.parse().unwrap()).len(),
            MAX_ROUTED
        );
    }

    #[test]
    fn a_port_that_was_asked_for_and_is_busy_is_an_error() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let asked: Multiaddr = format!("/ip4/127.0.0.1/tcp/{}", taken.local_addr().unwrap().port())
            .parse()
            .unwrap();
        let error = choose(std::slice::from_ref(&asked))
            .unwrap_err()
            .to_string();
        assert!(
            error.contains(&asked.to_string()) && error.contains("--listen"),
            "{error}"
        );
        drop(taken);
        assert_eq!(choose(std::slice::from_ref(&asked)).unwrap().0, [asked]);
    }

    #[test]
    fn a_system_listens_on_the_families_that_it_has() {
        let texts: Vec<String> = everywhere(4807).iter().map(ToString::to_string).collect();
        let has = |any: &str| UdpSocket::bind((any, 0)).is_ok();
        for (any, multiaddr) in [("0.0.0.0", "/ip4/0.0.0.0"), ("::", "/ip6/::")] {
            for rest in ["/tcp/4807", "/udp/4807/quic-v1"] {
                assert_eq!(
                    texts.contains(&format!("{multiaddr}{rest}")),
                    has(any),
                    "{any}: {texts:?}"
                );
            }
        }
    }

    #[test]
    fn what_is_listened_on_is_said_once_whatever_the_interfaces() {
        let addresses: Vec<Multiaddr> = [
            "/ip4/127.0.0.1/tcp/1",
            "/ip4/10.0.0.1/tcp/1",
            "/ip6/::1/udp/2/quic-v1",
            "/ip6/fe80::1/udp/2/quic-v1",
        ]
        .iter()
        .map(|address| address.parse().unwrap())
        .collect();
        let words: Vec<String> = in_words(addresses.iter()).into_iter().collect();
        assert_eq!(words, ["IPv4 tcp 1", "IPv6 quic 2"]);
        assert!(
            for_others(addresses.iter(), PeerId::random())
                .iter()
                .all(|address| !address.contains("fe80"))
        );
        assert!(is_any(&"/ip6/::/tcp/1".parse().unwrap()) && !addresses.iter().any(is_any));
    }

    #[test]
    fn addresses_of_the_lan_come_first() {
        let addresses: Vec<Multiaddr> = [
            "/ip4/127.0.0.1/tcp/1",
            "/ip4/192.168.1.2/udp/1/quic-v1",
            "/ip4/192.168.1.2/tcp/1",
        ]
        .iter()
        .map(|address| address.parse().unwrap())
        .collect();
        let shown = for_others(addresses.iter(), PeerId::random());
        assert!(
            shown[0].starts_with("/ip4/192.168.1.2/tcp/1/p2p/"),
            "{shown:?}"
        );
        assert!(shown[2].starts_with("/ip4/127.0.0.1"), "{shown:?}");
    }
}
