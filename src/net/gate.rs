//! Who is not let in: peers that are banned, and whoever comes from a prefix that is closed.

use std::{
    collections::HashSet,
    convert::Infallible,
    fmt,
    task::{Context, Poll},
};

use libp2p::{
    Multiaddr, PeerId,
    core::{Endpoint, transport::PortUse},
    swarm::{
        ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, THandler, THandlerInEvent, THandlerOutEvent,
        ToSwarm, dummy,
    },
};

use crate::domain::prefix::Prefix;

/// Refuses connections, and says so to nobody.
#[derive(Default)]
pub(super) struct Gate {
    pub banned: HashSet<PeerId>,
    pub closed: HashSet<Prefix>,
    /// Let in whatever their prefix.
    pub protected: HashSet<PeerId>,
}

#[derive(Debug)]
struct Refused(&'static str);

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for Refused {}

impl Gate {
    fn admit(&self, peer: &PeerId, address: &Multiaddr) -> Result<dummy::ConnectionHandler, ConnectionDenied> {
        if self.banned.contains(peer) {
            return Err(ConnectionDenied::new(Refused("the peer is banned")));
        }
        let closed = Prefix::of_address(address).is_some_and(|prefix| self.closed.contains(&prefix));
        if closed && !self.protected.contains(peer) {
            return Err(ConnectionDenied::new(Refused("the peer's address prefix is closed")));
        }
        Ok(dummy::ConnectionHandler)
    }
}

impl NetworkBehaviour for Gate {
    type ConnectionHandler = dummy::ConnectionHandler;
    type ToSwarm = Infallible;

    fn handle_established_inbound_connection(
        &mut self,
        _: ConnectionId,
        peer: PeerId,
        _: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.admit(&peer, remote)
    }

    fn handle_pending_outbound_connection(
        &mut self,
        _: ConnectionId,
        peer: Option<PeerId>,
        _: &[Multiaddr],
        _: Endpoint,
    ) -> Result<Vec<Multiaddr>, ConnectionDenied> {
        match peer.filter(|peer| self.banned.contains(peer)) {
            Some(_) => Err(ConnectionDenied::new(Refused("the peer is banned"))),
            None => Ok(Vec::new()),
        }
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        peer: PeerId,
        address: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.admit(&peer, address)
    }

    fn on_swarm_event(&mut self, _: FromSwarm<'_>) {}

    fn on_connection_handler_event(&mut self, _: PeerId, _: ConnectionId, event: THandlerOutEvent<Self>) {
        match event {}
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn banned_peers_and_closed_prefixes_are_not_let_in_and_protected_ones_are() {
        let (peer, liar, friend) = (PeerId::random(), PeerId::random(), PeerId::random());
        let there: Multiaddr = "/ip4/81.2.69.1/tcp/4001".parse().unwrap();
        let elsewhere: Multiaddr = "/ip4/127.0.0.1/tcp/4001".parse().unwrap();
        let gate = Gate {
            banned: [liar].into(),
            closed: Prefix::of_address(&there).into_iter().collect(),
            protected: [friend].into(),
        };
        assert!(gate.admit(&liar, &elsewhere).is_err() && gate.admit(&peer, &there).is_err());
        assert!(gate.admit(&peer, &elsewhere).is_ok() && gate.admit(&friend, &there).is_ok());
    }
}
