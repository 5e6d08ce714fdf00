//! The behaviour that the swarm runs: ours, with a filter on the addresses that it would dial.
//!
//! Kademlia, identify and others each know addresses of peers, all of which some peer claimed. All
//! of them pass this filter before the swarm dials them.

use std::{
    collections::{HashMap, HashSet},
    ops::{Deref, DerefMut},
    task::{Context, Poll},
};

use libp2p::{
    Multiaddr, PeerId,
    core::{Endpoint, transport::PortUse},
    swarm::{
        ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, THandler, THandlerInEvent,
        THandlerOutEvent, ToSwarm,
    },
};

use crate::net::swarm::behaviour::Behaviour;
use crate::{
    clock::Clock,
    domain::dials::Dials,
    metrics::{Metrics, TurnedAway},
};

pub struct Limited {
    inner: Behaviour,
    dials: Dials,
    /// Addresses that are being dialled. Bounded by the number of pending connections.
    dialled: HashMap<ConnectionId, Vec<Multiaddr>>,
    metrics: Metrics,
    clock: Clock,
}

impl Limited {
    pub fn new(inner: Behaviour, dials: Dials, metrics: Metrics, clock: Clock) -> Self {
        Self {
            inner,
            dials,
            dialled: HashMap::new(),
            metrics,
            clock,
        }
    }

    /// Notes the addresses of a dial.
    pub fn dials(&mut self, id: ConnectionId, addresses: &[Multiaddr]) {
        self.dialled.insert(id, addresses.to_vec());
    }

    /// Returns those of the addresses that may be dialled now.
    pub fn dialable(&mut self, addresses: Vec<Multiaddr>) -> Vec<Multiaddr> {
        let now = self.clock.now();
        let mut seen = HashSet::new();
        let mut left = Vec::new();
        for address in addresses {
            if !seen.insert(address.clone()) {
                continue;
            }
            if self.dials.take(&address, now) {
                left.push(address);
            } else {
                tracing::debug!(%address, "not dialled: too many claimed addresses in this network failed");
                self.metrics.turned_away(TurnedAway::Dial);
            }
        }
        left
    }
}

impl Deref for Limited {
    type Target = Behaviour;

    fn deref(&self) -> &Behaviour {
        &self.inner
    }
}

impl DerefMut for Limited {
    fn deref_mut(&mut self) -> &mut Behaviour {
        &mut self.inner
    }
}

impl NetworkBehaviour for Limited {
    type ConnectionHandler = <Behaviour as NetworkBehaviour>::ConnectionHandler;
    type ToSwarm = <Behaviour as NetworkBehaviour>::ToSwarm;

    fn handle_pending_inbound_connection(
        &mut self,
        id: ConnectionId,
        local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<(), ConnectionDenied> {
        self.inner
            .handle_pending_inbound_connection(id, local, remote)
    }

    fn handle_established_inbound_connection(
        &mut self,
        id: ConnectionId,
        peer: PeerId,
        local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.inner
            .handle_established_inbound_connection(id, peer, local, remote)
    }

    fn handle_pending_outbound_connection(
        &mut self,
        id: ConnectionId,
        peer: Option<PeerId>,
        addresses: &[Multiaddr],
        role: Endpoint,
    ) -> Result<Vec<Multiaddr>, ConnectionDenied> {
        let claimed = self
            .inner
            .handle_pending_outbound_connection(id, peer, addresses, role)?;
        // A dial with explicit addresses uses these; libp2p ignores any that are added here.
        if !addresses.is_empty() {
            return Ok(claimed);
        }
        let dialable = self.dialable(claimed);
        self.dials(id, &dialable);
        Ok(dialable)
    }

    fn handle_established_outbound_connection(
        &mut self,
        id: ConnectionId,
        peer: PeerId,
        address: &Multiaddr,
        role: Endpoint,
        port: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        // The handshake has proven that the dialled peer is at this address.
        let dialled = self.dialled.remove(&id).unwrap_or_default();
        self.dials.reached(address, &dialled, self.clock.now());
        self.inner
            .handle_established_outbound_connection(id, peer, address, role, port)
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        if let FromSwarm::DialFailure(failed) = &event {
            self.dialled.remove(&failed.connection_id);
        }
        self.inner.on_swarm_event(event);
    }

    fn on_connection_handler_event(
        &mut self,
        peer: PeerId,
        id: ConnectionId,
        event: THandlerOutEvent<Self>,
    ) {
        self.inner.on_connection_handler_event(peer, id, event);
    }

    fn poll(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        self.inner.poll(context)
    }
}
