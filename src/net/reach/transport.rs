//! Builds TCP and QUIC as [`SwarmBuilder`](libp2p::SwarmBuilder) would, which has no place to add
//! anything: here, silent TCP connections end, and delays are added to both.

use std::time::Duration;

use libp2p::{
    PeerId, Transport,
    core::{muxing::StreamMuxerBox, transport::Boxed, upgrade::Version},
    identity::Keypair,
    noise, quic, tcp, yamux,
};

use crate::net::{reach::silence::Watched, staging::delay::Delays};

/// Builds the transport of a node. A TCP connection ends when nothing has arrived for
/// [`silence::MOST`](crate::net::reach::silence::MOST) times `every`; QUIC has a timeout of its
/// own, of 10 s.
pub fn transport(
    key: &Keypair,
    every: Duration,
    delays: Option<Delays>,
) -> Result<Boxed<(PeerId, StreamMuxerBox)>, noise::Error> {
    let me = key.public().to_peer_id();
    let tcp = tcp::tokio::Transport::new(tcp::Config::default())
        .map(move |stream, _| Watched::new(stream, every))
        .upgrade(Version::V1Lazy)
        .authenticate(noise::Config::new(key)?)
        .multiplex(yamux::Config::default())
        .map(|(peer, connection), _| (peer, StreamMuxerBox::new(connection)));
    let quic = quic::tokio::Transport::new(quic::Config::new(key))
        .map(|(peer, connection), _| (peer, StreamMuxerBox::new(connection)));
    let both = tcp.or_transport(quic).map(|either, _| either.into_inner());
    Ok(match delays {
        None => both.boxed(),
        Some(delays) => both
            .map(move |(peer, one), _| (peer, delays.apply(&me, &peer, one)))
            .boxed(),
    })
}
