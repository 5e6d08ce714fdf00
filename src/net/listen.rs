//! Where a node listens.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket};

use libp2p::{Multiaddr, PeerId, multiaddr::Protocol};

use super::DEFAULT_PORT;
use crate::{RegistryError, Result};

/// The port of an address and whether it is TCP, as far as it says both.
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

/// Binds for a moment without sharing the port. libp2p's own sockets share theirs, so two nodes on one port would
/// both start, and each would miss what the other gets.
fn is_free(address: SocketAddr, tcp: bool) -> std::io::Result<()> {
    if tcp { TcpListener::bind(address).map(drop) } else { UdpSocket::bind(address).map(drop) }
}

/// Finds out whether an address can be listened on now.
///
/// # Errors
/// As the system says.
pub fn try_listen(address: &Multiaddr) -> std::io::Result<()> {
    socket(address).map_or(Ok(()), |(socket, tcp)| is_free(socket, tcp))
}

/// Every interface, on one port, over TCP and QUIC.
fn everywhere(port: u16) -> Vec<Multiaddr> {
    let any = Multiaddr::empty().with(Protocol::Ip4(Ipv4Addr::UNSPECIFIED));
    vec![any.clone().with(Protocol::Tcp(port)), any.with(Protocol::Udp(port)).with(Protocol::QuicV1)]
}

/// Where to listen: what was asked for, or else the default port, or else any port that is free, with a sentence that
/// says so.
///
/// # Errors
/// [`RegistryError::Listen`] when an address that was asked for cannot be had.
pub(super) fn choose(asked: &[Multiaddr]) -> Result<(Vec<Multiaddr>, Option<String>)> {
    if asked.is_empty() {
        let default = everywhere(DEFAULT_PORT);
        let busy = default.iter().filter_map(socket).find_map(|(address, tcp)| is_free(address, tcp).err());
        return Ok(match busy {
            None => (default, None),
            Some(why) => (
                everywhere(0),
                Some(format!(
                    "port {DEFAULT_PORT} cannot be used ({why}), so another one was taken; give --listen to choose"
                )),
            ),
        });
    }
    for address in asked {
        if let Some((socket, tcp)) = socket(address).filter(|(socket, _)| socket.port() != 0) {
            is_free(socket, tcp)
                .map_err(|why| RegistryError::Listen { address: address.to_string(), why: why.to_string() })?;
        }
    }
    Ok((asked.to_vec(), None))
}

/// The peer an address names at its end.
pub(super) fn peer_of(address: &Multiaddr) -> Option<PeerId> {
    address.iter().find_map(|part| match part {
        Protocol::P2p(peer) => Some(peer),
        _ => None,
    })
}

pub(super) fn is_loopback(address: &Multiaddr) -> bool {
    address.iter().any(|part| match part {
        Protocol::Ip4(v4) => v4.is_loopback(),
        Protocol::Ip6(v6) => v6.is_loopback(),
        _ => false,
    })
}

/// Addresses for others, with the peer's id: those a LAN can reach first, loopback last.
pub(super) fn for_others<'a>(listeners: impl Iterator<Item = &'a Multiaddr>, me: PeerId) -> Vec<String> {
    let mut addresses: Vec<&Multiaddr> = listeners.collect();
    let is_udp = |address: &Multiaddr| address.iter().any(|part| matches!(part, Protocol::Udp(_)));
    addresses.sort_by_key(|address| (is_loopback(address), is_udp(address), address.to_string()));
    addresses.into_iter().map(|address| format!("{address}/p2p/{me}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_that_was_asked_for_and_is_busy_is_an_error() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let asked: Multiaddr = format!("/ip4/127.0.0.1/tcp/{}", taken.local_addr().unwrap().port()).parse().unwrap();
        let error = choose(std::slice::from_ref(&asked)).unwrap_err().to_string();
        assert!(error.contains(&asked.to_string()) && error.contains("--listen"), "{error}");
        drop(taken);
        assert_eq!(choose(std::slice::from_ref(&asked)).unwrap().0, [asked]);
    }

    #[test]
    fn addresses_of_the_lan_come_first() {
        let addresses: Vec<Multiaddr> =
            ["/ip4/127.0.0.1/tcp/1", "/ip4/192.168.1.2/udp/1/quic-v1", "/ip4/192.168.1.2/tcp/1"]
                .iter()
                .map(|address| address.parse().unwrap())
                .collect();
        let shown = for_others(addresses.iter(), PeerId::random());
        assert!(shown[0].starts_with("/ip4/192.168.1.2/tcp/1/p2p/"), "{shown:?}");
        assert!(shown[2].starts_with("/ip4/127.0.0.1"), "{shown:?}");
    }
}
