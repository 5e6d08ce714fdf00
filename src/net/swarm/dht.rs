//! The task's side of the DHT: it passes on Kademlia's events and the puts of peers, and executes
//! the orders of the queries.

use std::time::Instant;

use libp2p::{
    PeerId,
    kad::{self, QueryId, RecordKey},
    swarm::dial_opts::{DialOpts, PeerCondition},
};
use tokio::sync::oneshot;

use super::task::{Settled, Task};
use crate::{
    domain::{
        lanes::Lane,
        lookup::{RoutingTable, Sought},
        record::{Class, Record, Refusal},
        reputation::Outcome,
        shares::HolderId,
    },
    net::{
        Inbound,
        dht::{
            inspect::what_of,
            progress,
            queries::{DhtAction, DhtEvent, PUT_QUORUM},
        },
    },
};

impl Task {
    pub fn on_kad(&mut self, event: kad::Event) {
        match event {
            kad::Event::InboundRequest {
                request:
                    kad::InboundRequest::PutRecord {
                        source,
                        record: Some(record),
                        ..
                    },
            } => {
                if !self.allowed(source, Lane::Stored) {
                    return self.wiring.tally.refused(Refusal::OverQuota);
                }
                let (verdict, receiver) = oneshot::channel();
                let asked = Inbound::Put {
                    key: record.key.to_vec(),
                    value: record.value,
                    from: source,
                    verdict,
                };
                if self.hand_over(asked) {
                    self.settled.push(Box::pin(async move {
                        let outcome = receiver.await.unwrap_or(Err(Refusal::Busy)).map(Box::new);
                        Settled::Put {
                            from: source,
                            outcome,
                        }
                    }));
                }
            }
            kad::Event::InboundRequest {
                request:
                    kad::InboundRequest::AddProvider {
                        record: Some(record),
                    },
            } => {
                if !self.allowed(record.provider, Lane::Claimed) {
                    return self.wiring.tally.refused(Refusal::OverQuota);
                }
                let prefix = self.peers.group(&record.provider);
                let store = self.swarm.behaviour_mut().kad.store_mut();
                let taken = store.claim(record, prefix);
                taken.unwrap_or_else(|refusal| self.wiring.tally.refused(refusal));
            }
            kad::Event::OutboundQueryProgressed {
                id,
                result,
                stats,
                step,
            } => {
                if step.last && matches!(result, kad::QueryResult::Bootstrap(Ok(_))) {
                    self.measures.refreshed(Instant::now());
                }
                let asked = stats.num_requests() as usize;
                for event in progress::events(id, result, asked, step.last) {
                    self.advance(event);
                }
            }
            _ => {}
        }
    }

    /// Passes an event to the queries and executes their orders.
    pub fn advance(&mut self, event: DhtEvent<QueryId>) {
        let now = Instant::now();
        for order in self.queries.on(event, now) {
            match order {
                DhtAction::Stop(id, end) => self.swarm.behaviour_mut().kad.stop(&id, end),
                DhtAction::Dial(peer) => self.dial_provider(peer),
                DhtAction::Observe(peer, outcome) => self.observe(peer, outcome),
                DhtAction::Refused(refusal) => self.wiring.tally.refused(refusal),
                DhtAction::Wrong(id, peer) => {
                    let traces = &mut self.swarm.behaviour_mut().kad.traces;
                    traces.wrong(&id, peer.as_ref());
                }
                DhtAction::Done(done) => {
                    self.wiring.tally.looked_up(done.found);
                    self.measures.looked_up(done, now);
                }
            }
        }
    }

    /// Dials a provider while the query runs: Kademlia knows the addresses that providers gave only
    /// until it ends.
    fn dial_provider(&mut self, peer: PeerId) {
        if peer == *self.swarm.local_peer_id() || self.peers.is_connected(&peer) {
            return;
        }
        let dial = DialOpts::peer_id(peer)
            .condition(PeerCondition::DisconnectedAndNotDialing)
            .build();
        if let Err(error) = self.swarm.dial(dial) {
            tracing::debug!(%peer, %error, "a provider was not dialled");
        }
    }

    /// Keeps a record that a peer put and the registry verified, or counts the reason for refusing
    /// it.
    pub fn keep_put(&mut self, from: PeerId, outcome: Result<Box<Record>, Refusal>) {
        let origin = HolderId::of(from, self.peers.group(&from));
        let store = self.swarm.behaviour_mut().kad.store_mut();
        if let Err(refusal) = outcome.and_then(|record| store.accept(&record, origin)) {
            self.wiring.tally.refused(refusal);
            if refusal.class() == Class::Reject {
                self.observe(from, Outcome::of_record(refusal));
            }
        }
    }

    pub fn put(&mut self, record: &Record, deadline: Instant, reply: oneshot::Sender<usize>) {
        let value = kad::Record::new(RecordKey::new(&record.key().0), record.envelope().to_vec());
        self.put_value(value, what_of(record), deadline, Some(reply));
    }

    pub fn put_value(
        &mut self,
        value: kad::Record,
        what: String,
        deadline: Instant,
        reply: Option<oneshot::Sender<usize>>,
    ) {
        let quorum =
            std::num::NonZeroUsize::new(PUT_QUORUM).map_or(kad::Quorum::One, kad::Quorum::N);
        let kad = &mut self.swarm.behaviour_mut().kad;
        match kad.put_record(value, quorum) {
            Ok(id) => {
                kad.follow(id, Some(what));
                self.queries.put(id, deadline, reply);
            }
            Err(error) => {
                tracing::debug!(%error, "a record of our own was not kept");
                reply.map(|reply| reply.send(0));
            }
        }
    }

    /// Starts a lookup for a person. `reply` receives the number of the trace and the peers found.
    pub fn look(
        &mut self,
        sought: Sought,
        what: Option<String>,
        deadline: Instant,
        reply: oneshot::Sender<(u64, Vec<PeerId>)>,
    ) {
        let kad = &mut self.swarm.behaviour_mut().kad;
        let id = match sought {
            Sought::Record(key) => kad.get_record(RecordKey::new(&key.0)),
            Sought::Providers(key) => kad.get_providers(RecordKey::new(&key.0)),
            Sought::Closest(peer) => kad.get_closest_peers(peer),
        };
        if let Some(number) = kad.follow(id, what) {
            self.queries.look(id, number, deadline, reply);
        }
    }

    pub fn routing(&mut self) -> RoutingTable {
        let (peers, now) = (&self.peers, self.clock.now());
        let kad = &mut self.swarm.behaviour_mut().kad;
        kad.routing(|peer| peers.last_seen(peer, now))
    }
}
