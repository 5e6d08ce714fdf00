//! Handles the swarm's events, protocol by protocol.

use std::time::Instant;

use libp2p::{
    Multiaddr, PeerId, autonat, gossipsub, identify, kad, mdns,
    metrics::Recorder,
    ping, request_response,
    swarm::{DialError, ListenError, SwarmEvent},
};

use super::{
    behaviour::BehaviourEvent,
    measure::Move,
    task::{MAX_OUTSTANDING, Settled, Task},
};
use crate::{
    bus::Level,
    domain::reputation::Outcome,
    net::{
        Inbound,
        gossip::judge,
        peers::discovery,
        reach::{dial_back, failure::PeerFailure, listen, silence},
    },
};

impl Task {
    pub fn on_swarm(&mut self, event: SwarmEvent<BehaviourEvent>) {
        let (now, at) = (self.clock.now(), Instant::now());
        self.measures.families.record(&event);
        match event {
            SwarmEvent::Behaviour(event) => self.on_behaviour(event),
            SwarmEvent::ConnectionEstablished {
                peer_id,
                connection_id,
                endpoint,
                ..
            } => {
                self.peers.connected(
                    peer_id,
                    connection_id,
                    endpoint.get_remote_address(),
                    endpoint.is_dialer(),
                    (now, at),
                );
                self.discovery.connected(&peer_id);
                self.identities.met(&peer_id);
                self.wiring.callers.set(self.peers.caller(peer_id, now));
                if let Some(sheet) = self.penalties.ledger().sheet(&peer_id) {
                    self.peers.set_sheet(peer_id, Some(sheet.clone()), now);
                }
                if endpoint.is_dialer() {
                    self.measures.dialled(peer_id, None, at);
                }
            }
            SwarmEvent::ConnectionClosed {
                peer_id,
                connection_id,
                cause,
                ..
            } => {
                let was_ours = self.peers.is_ours(&peer_id);
                self.peers.disconnected(&peer_id, connection_id, now);
                if was_ours && !self.peers.is_connected(&peer_id) {
                    let dead = cause.as_ref().is_some_and(silence::is_dead);
                    if dead {
                        tracing::warn!(peer = %peer_id, "a silent peer was disconnected");
                    } else {
                        tracing::info!(peer = %peer_id, "a peer has left");
                    }
                    self.measures.moved(
                        Move::Went {
                            peer: peer_id,
                            lost: cause.is_some(),
                            dead,
                        },
                        at,
                    );
                }
            }
            SwarmEvent::OutgoingConnectionError {
                error: DialError::LocalPeerId { address },
                ..
            } => {
                self.identities.answered(discovery::bare(&address), at);
            }
            SwarmEvent::OutgoingConnectionError {
                peer_id: Some(peer),
                error,
                ..
            } => {
                tracing::debug!(%peer, %error, "dial failed");
                if let DialError::WrongPeerId { obtained, address } = &error
                    && self.discovery.is_bootstrap(&peer)
                    && !self.peers.is_connected(&peer)
                {
                    self.identities
                        .misnamed(peer, *obtained, discovery::bare(address), at);
                }
                let is_named = |address: &Multiaddr| {
                    self.peers.lists(&peer, address) || self.discovery.names(&peer, address)
                };
                if let Some(failure) = PeerFailure::of(&error, is_named)
                    && !self.peers.is_connected(&peer)
                {
                    self.measures.dialled(peer, Some(failure.why), at);
                    if failure.is_unreachable {
                        self.observe(peer, Outcome::Unreachable);
                    }
                }
            }
            SwarmEvent::IncomingConnectionError {
                error: ListenError::LocalPeerId { .. },
                send_back_addr,
                ..
            } => {
                self.identities.knocked(send_back_addr, at);
            }
            SwarmEvent::IncomingConnectionError { .. } => self.identities.broken(at),
            SwarmEvent::NewListenAddr { address, .. } => tracing::info!(%address, "listening"),
            SwarmEvent::ListenerClosed {
                addresses,
                reason: Err(error),
                ..
            } => {
                let text = format!(
                    "listening on {addresses:?} ended: {error}; restart the node to listen there \
                     again"
                );
                tracing::error!("{text}");
                self.notice(Level::Error, text);
            }
            _ => {}
        }
    }

    fn on_behaviour(&mut self, event: BehaviourEvent) {
        match &event {
            BehaviourEvent::Identify(event) => self.measures.families.record(event),
            BehaviourEvent::Ping(event) => self.measures.families.record(event),
            BehaviourEvent::Kad(event) => self.measures.families.record(event),
            BehaviourEvent::Gossip(event) => self.measures.families.record(event),
            _ => {}
        }
        if let Some(peer) = sender_of(&event) {
            self.peers.is_there(&peer, self.clock.now(), Instant::now());
        }
        match event {
            BehaviourEvent::Identify(identify::Event::Received { peer_id, info, .. }) => {
                self.on_identified(peer_id, info)
            }
            BehaviourEvent::Ping(ping::Event {
                peer,
                result: Ok(rtt),
                ..
            }) => {
                self.ponged(peer, rtt);
            }
            BehaviourEvent::Kad(event) => self.on_kad(event),
            BehaviourEvent::Gossip(event) => self.on_gossip(event),
            BehaviourEvent::Query(event) => self.on_query(event),
            BehaviourEvent::Mdns(mdns::Event::Discovered(found))
            | BehaviourEvent::Mdns6(mdns::Event::Discovered(found)) => {
                for (peer, address) in found {
                    self.discovery
                        .add(peer, address, discovery::Origin::Mdns, Instant::now());
                }
            }
            BehaviourEvent::Reach(autonat::v1::Event::OutboundProbe(probe)) => {
                self.on_dial_back(&probe)
            }
            _ => {}
        }
    }

    /// Notes a peer that is not of this network. Addresses from identify are not added to Kademlia.
    fn on_identified(&mut self, peer: PeerId, info: identify::Info) {
        if !info.protocols.contains(&self.protocols.query) {
            tracing::debug!(%peer, agent = %info.agent_version, "speaks none of our protocols");
            self.discovery.is_stranger(peer);
            let _ = self.swarm.disconnect_peer_id(peer);
            self.peers.forget(&peer);
            return;
        }
        let known = self.peers.is_ours(&peer);
        let addresses = listen::usable(peer, info.listen_addrs, &info.observed_addr);
        if info.protocols.contains(&self.protocols.kad) {
            self.route(peer, &addresses);
        }
        let protocols = info.protocols.iter().map(ToString::to_string).collect();
        self.peers.identified(
            peer,
            &info.agent_version,
            addresses,
            protocols,
            self.clock.now(),
        );
        if !known {
            tracing::info!(%peer, agent = %info.agent_version, "a peer has joined");
            self.measures.moved(Move::Came, Instant::now());
        }
        if !known && self.peers.is_outbound(&peer) {
            self.say_hello(peer);
        }
        let joined = self.peers.ours().count();
        self.wiring
            .joined
            .send_if_modified(|told| std::mem::replace(told, joined) != joined);
    }

    /// Passes a request to the registry. Returns false, and counts it, if the queue is full.
    pub fn hand_over(&mut self, inbound: Inbound) -> bool {
        let taken =
            self.settled.len() < MAX_OUTSTANDING && self.wiring.inbound.try_send(inbound).is_ok();
        if !taken {
            self.wiring.tally.overloaded();
        }
        taken
    }

    pub fn on_settled(&mut self, settled: Settled) {
        match settled {
            Settled::Message(handed, verdict) => {
                self.weigh(judge::GossipEvent::Verdict(handed, verdict))
            }
            Settled::Put { from, outcome } => self.keep_put(from, outcome),
            Settled::Answer {
                peer,
                channel,
                place,
                answered,
            } => self.answer(peer, channel, place, answered),
        }
    }

    fn on_dial_back(&mut self, probe: &autonat::v1::OutboundProbeEvent) {
        tracing::debug!(?probe, "dial-back");
        let Some(mode) = dial_back::outcome(probe)
            .and_then(|(server, reached)| self.reach.dialled_back(server, reached))
        else {
            return;
        };
        if self.swarm.behaviour().kad.mode() != mode {
            tracing::info!(?mode, "dial-backs decided the DHT mode");
            self.swarm.behaviour_mut().kad.set_mode(Some(mode));
        }
    }
}

/// Returns the peer that an event came from over the network, which proves that it is alive.
fn sender_of(event: &BehaviourEvent) -> Option<PeerId> {
    match event {
        BehaviourEvent::Ping(ping::Event {
            peer,
            result: Ok(_),
            ..
        })
        | BehaviourEvent::Query(request_response::Event::Message { peer, .. })
        | BehaviourEvent::Identify(identify::Event::Received { peer_id: peer, .. })
        | BehaviourEvent::Gossip(gossipsub::Event::Message {
            propagation_source: peer,
            ..
        })
        | BehaviourEvent::Kad(kad::Event::InboundRequest {
            request: kad::InboundRequest::PutRecord { source: peer, .. },
        }) => Some(*peer),
        _ => None,
    }
}
