//! The gate refuses connections by the rule in [`ConnectionAdmission`]: of banned peers, beyond
//! the caps of an address or network, and of all but one unknown peer of a doubtful prefix.

use std::{
    convert::Infallible,
    ops::{Deref, DerefMut},
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

use crate::net::reach::admission::{AdmissionError, ConnectionAdmission};
use crate::{
    domain::prefix::{Classes, ip_of},
    metrics::{Metrics, TurnedAway},
};

/// Refuses connections without telling the other side why.
pub struct Gate {
    admission: ConnectionAdmission<ConnectionId>,
    metrics: Metrics,
}

impl Gate {
    pub fn new(classes: Classes, private: usize, metrics: Metrics) -> Self {
        Self {
            admission: ConnectionAdmission::new(classes, private),
            metrics,
        }
    }

    fn refused(&self, error: AdmissionError) -> ConnectionDenied {
        if error != AdmissionError::Banned {
            self.metrics.turned_away(TurnedAway::Connection);
        }
        ConnectionDenied::new(error)
    }

    fn admit(
        &mut self,
        id: ConnectionId,
        peer: PeerId,
        address: &Multiaddr,
    ) -> Result<dummy::ConnectionHandler, ConnectionDenied> {
        let admitted = self.admission.admit_peer(id, peer, ip_of(address));
        admitted.map_err(|error| self.refused(error))?;
        Ok(dummy::ConnectionHandler)
    }
}

impl Deref for Gate {
    type Target = ConnectionAdmission<ConnectionId>;

    fn deref(&self) -> &Self::Target {
        &self.admission
    }
}

impl DerefMut for Gate {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.admission
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
        // A connection without an IP address only counts towards all connections.
        let Some(ip) = ip_of(remote) else {
            return Ok(());
        };
        self.admission
            .admit_address(id, ip)
            .map_err(|error| self.refused(error))
    }

    fn handle_established_inbound_connection(
        &mut self,
        id: ConnectionId,
        peer: PeerId,
        _: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.admit(id, peer, remote)
    }

    fn handle_pending_outbound_connection(
        &mut self,
        _: ConnectionId,
        peer: Option<PeerId>,
        _: &[Multiaddr],
        _: Endpoint,
    ) -> Result<Vec<Multiaddr>, ConnectionDenied> {
        match peer.filter(|peer| self.admission.lists.banned.contains(peer)) {
            Some(_) => Err(self.refused(AdmissionError::Banned)),
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
        self.admit(id, peer, address)
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        match event {
            FromSwarm::ConnectionClosed(closed) => self.admission.leave(&closed.connection_id),
            // The gate counted the connection, but another behaviour refused it or it failed.
            FromSwarm::ListenFailure(failed) => self.admission.leave(&failed.connection_id),
            FromSwarm::DialFailure(failed) => self.admission.leave(&failed.connection_id),
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
