//! The gate refuses peers that are banned, more connections from one address or network than its
//! caps say, and all but one unknown peer of a doubtful prefix.

use std::{
    collections::{HashMap, HashSet},
    convert::Infallible,
    fmt,
    task::{Context, Poll},
};

use libp2p::{
    Multiaddr, PeerId,
    core::{Endpoint, transport::PortUse},
    swarm::{
        ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, THandler, THandlerInEvent,
        THandlerOutEvent, ToSwarm, dummy,
    },
};

use crate::net::peers::penalties::Admission;
use crate::{
    domain::{
        caps::{Full, Origins},
        prefix::{Classes, Prefix, ip_of},
    },
    metrics::{Metrics, TurnedAway},
};

/// Refuses connections, and says so to nobody.
pub struct Gate {
    pub admission: Admission,
    origins: Origins<ConnectionId>,
    /// Connections, in both directions, of peers with a prefix.
    open: HashMap<ConnectionId, (PeerId, Prefix)>,
    classes: Classes,
    /// Connections that one private address may have.
    private: usize,
    metrics: Metrics,
}

#[derive(Debug)]
struct Refused(&'static str);

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for Refused {}

fn refused(why: &'static str) -> ConnectionDenied {
    ConnectionDenied::new(Refused(why))
}

impl Gate {
    pub fn new(classes: Classes, private: usize, metrics: Metrics) -> Self {
        Self {
            admission: Admission::default(),
            origins: Origins::default(),
            open: HashMap::new(),
            classes,
            private,
            metrics,
        }
    }

    /// Before the handshake, when nothing but the address is known.
    fn knock(&mut self, id: ConnectionId, address: &Multiaddr) -> Result<(), ConnectionDenied> {
        // What has no address is counted with all connections.
        let Some(ip) = ip_of(address) else {
            return Ok(());
        };
        let admitted = self
            .origins
            .admit(id, ip, self.classes.of(ip), self.private);
        admitted.map_err(|full| {
            self.metrics.turned_away(TurnedAway::Connection);
            refused(match full {
                Full::Address => "its address has as many connections as one may",
                Full::Network => "its network has as many connections as one may",
            })
        })
    }

    /// Once it is known who it is.
    fn admit(
        &mut self,
        id: ConnectionId,
        peer: &PeerId,
        address: &Multiaddr,
    ) -> Result<dummy::ConnectionHandler, ConnectionDenied> {
        if self.admission.banned.contains(peer) {
            return Err(refused("the peer is banned"));
        }
        let Some(prefix) = ip_of(address).and_then(|ip| Prefix::classed(ip, self.classes)) else {
            return Ok(dummy::ConnectionHandler);
        };
        if !self.admission.good.contains(peer)
            && self.admission.doubtful.contains(&prefix)
            && self.unknown(&prefix).any(|(other, _)| other != peer)
        {
            self.metrics.turned_away(TurnedAway::Connection);
            return Err(refused(
                "several of its prefix are banned, and another unknown peer of it has the place",
            ));
        }
        self.open.insert(id, (*peer, prefix));
        Ok(dummy::ConnectionHandler)
    }

    /// Connections of unknown peers of a prefix, the oldest first.
    fn unknown(&self, prefix: &Prefix) -> impl Iterator<Item = (&PeerId, &ConnectionId)> {
        let of_it = self
            .open
            .iter()
            .filter(move |(_, (peer, of))| of == prefix && !self.admission.good.contains(peer));
        let mut of_it: Vec<_> = of_it.map(|(id, (peer, _))| (peer, id)).collect();
        of_it.sort_by_key(|(_, id)| **id);
        of_it.into_iter()
    }

    /// Unknown peers of doubtful prefixes that have a connection beyond the one that there may be.
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

    fn leave(&mut self, id: &ConnectionId) {
        self.origins.leave(id);
        self.open.remove(id);
    }
}

impl NetworkBehaviour for Gate {
    type ConnectionHandler = dummy::ConnectionHandler;
    type ToSwarm = Infallible;

    fn handle_pending_inbound_connection(
        &mut self,
        id: ConnectionId,
        _: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<(), ConnectionDenied> {
        self.knock(id, remote)
    }

    fn handle_established_inbound_connection(
        &mut self,
        id: ConnectionId,
        peer: PeerId,
        _: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.admit(id, &peer, remote)
    }

    fn handle_pending_outbound_connection(
        &mut self,
        _: ConnectionId,
        peer: Option<PeerId>,
        _: &[Multiaddr],
        _: Endpoint,
    ) -> Result<Vec<Multiaddr>, ConnectionDenied> {
        match peer.filter(|peer| self.admission.banned.contains(peer)) {
            Some(_) => Err(refused("the peer is banned")),
            None => Ok(Vec::new()),
        }
    }

    fn handle_established_outbound_connection(
        &mut self,
        id: ConnectionId,
        peer: PeerId,
        address: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.admit(id, &peer, address)
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        match event {
            FromSwarm::ConnectionClosed(closed) => self.leave(&closed.connection_id),
            // One that was let in here may have been refused by another behaviour, or not have come
            // about.
            FromSwarm::ListenFailure(failed) => self.leave(&failed.connection_id),
            FromSwarm::DialFailure(failed) => self.leave(&failed.connection_id),
            _ => {}
        }
    }

    fn on_connection_handler_event(
        &mut self,
        _: PeerId,
        _: ConnectionId,
        event: THandlerOutEvent<Self>,
    ) {
        match event {}
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::caps::{OF_A_NETWORK, OF_AN_ADDRESS};

    fn gate(classes: Classes) -> Gate {
        Gate::new(classes, 64, Metrics::default())
    }

    fn at(text: &str) -> Multiaddr {
        text.parse().unwrap()
    }

    fn id(n: usize) -> ConnectionId {
        ConnectionId::new_unchecked(n)
    }

    #[test]
    fn banned_peers_are_not_let_in_and_of_a_doubtful_prefix_one_unknown_peer_and_all_good_ones() {
        let [liar, first, second, friend] = [(); 4].map(|()| PeerId::random());
        let (there, elsewhere) = (at("/ip4/81.2.69.1/tcp/4001"), at("/ip4/127.0.0.1/tcp/4001"));
        let mut gate = gate(Classes::ByRange);
        gate.admission.banned.insert(liar);
        gate.admission.good.insert(friend);
        let mut number = 0;
        let mut admitted = |gate: &mut Gate, peer: &PeerId, address: &Multiaddr| {
            number += 1;
            gate.admit(id(number), peer, address).is_ok()
        };
        assert!(!admitted(&mut gate, &liar, &elsewhere));
        assert!(admitted(&mut gate, &first, &there) && admitted(&mut gate, &second, &there));
        gate.admission.doubtful.extend(Prefix::of_address(&there));
        assert_eq!(gate.beyond(), [second], "the later one");
        assert!(
            !admitted(&mut gate, &PeerId::random(), &there) && admitted(&mut gate, &friend, &there)
        );
        assert!(admitted(&mut gate, &PeerId::random(), &elsewhere));
        (0..=number).for_each(|n| gate.leave(&id(n)));
        assert!(
            gate.admit(id(100), &second, &there).is_ok()
                && gate.admit(id(101), &second, &there).is_ok()
        );
        assert!(gate.admit(id(102), &first, &there).is_err() && gate.beyond().is_empty());
    }

    #[test]
    fn an_address_pays_before_the_handshake_and_loopback_by_the_class_that_it_is_given() {
        let loopback = |n: usize| at(&format!("/ip4/127.0.0.1/tcp/{}", 1_000 + n));
        let mut lan = gate(Classes::ByRange);
        assert_eq!(
            (0..300)
                .filter(|n| lan.knock(id(*n), &loopback(*n)).is_ok())
                .count(),
            64
        );
        let mut strict = gate(Classes::AllPublic);
        assert_eq!(
            (0..300)
                .filter(|n| strict.knock(id(*n), &loopback(*n)).is_ok())
                .count(),
            OF_AN_ADDRESS
        );
        let spread = (300..600).filter(|n| {
            let address = at(&format!("/ip4/127.0.1.{}/tcp/1", 1 + n % 200));
            strict.knock(id(*n), &address).is_ok()
        });
        assert_eq!(spread.count(), OF_A_NETWORK);
        (0..300).for_each(|n| strict.leave(&id(n)));
        assert!(strict.knock(id(1_000), &loopback(1)).is_ok());
    }
}
