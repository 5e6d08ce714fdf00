//! The task's regular jobs: dialling, greeting, writing behind, trimming, and publishing state.

use std::{
    collections::HashSet,
    time::{Duration, Instant},
};

use libp2p::{
    PeerId, kad,
    swarm::dial_opts::{DialOpts, PeerCondition},
};

use super::{task::Task, timers::Job};
use crate::{
    bus::Level,
    domain::health::{self, Measure, Sample},
    metrics::Displaced,
    net::{
        dht::store::Dirty,
        peers::{
            connections::{served, to_trim},
            penalties::PenaltyEvent,
            table::MAX_PEERS,
        },
    },
};

impl Task {
    pub fn upkeep(&mut self) {
        let now = Instant::now();
        self.dial_due();
        let mesh: HashSet<PeerId> = self
            .swarm
            .behaviour()
            .gossip
            .mesh_peers(&self.topics.announce.hash())
            .copied()
            .collect();
        self.peers.set_mesh(&mesh);
        self.wiring.board.settle(self.clock.now());
        let clock = self.peers.clock_offset(now);
        self.wiring
            .clock
            .send_if_modified(|told| std::mem::replace(told, clock) != clock);
        self.settle_identities(now);
        let due = self.timers.due(now);
        due.iter().for_each(|job| self.work(*job, now));
        if !self.telling.is_told() && !due.contains(&Job::Presence) {
            self.tell_presence();
        }
        self.tell_readers();
    }

    fn work(&mut self, job: Job, now: Instant) {
        match job {
            Job::Settle => {
                let gossip = &self.swarm.behaviour().gossip;
                self.peers.set_gossip_scores(|peer| gossip.peer_score(peer));
                self.peers.settle(self.clock.now());
                self.wiring
                    .callers
                    .replace(self.peers.callers(self.clock.now()));
            }
            Job::Flush => {
                self.reput_one();
                self.penalise(PenaltyEvent::Due);
                // Changes that find no room stay where they are and are written later.
                if self.writes.has_room() {
                    self.flush();
                    self.write_penalties();
                }
            }
            Job::FindTwins => self.look_at_myself(now),
            Job::Remember if self.writes.has_room() => self.remember(),
            Job::Remember => {}
            Job::Trim => self.trim(),
            Job::GreetAll => self.greet(true),
            Job::Greet => self.greet(false),
            Job::Presence => self.tell_presence(),
            Job::Health if self.wiring.bus.has_readers() => self.tell_health(),
            Job::Health => {}
            Job::Measure if self.wiring.bus.has_readers() => {}
            // Only for a single request, which needs recent figures.
            Job::Measure => drop(self.sample()),
        }
    }

    /// Greets the peers that this node dialled: all of them if there is news, else those that have
    /// not answered yet.
    fn greet(&mut self, all: bool) {
        let dialled = self
            .peers
            .ours()
            .filter(|peer| self.peers.is_outbound(peer))
            .map(|peer| (peer, self.peers.has_answered(&peer)));
        let to_greet = self
            .greeter
            .due(all, &self.wiring.greeting.borrow(), dialled);
        to_greet.into_iter().for_each(|peer| self.say_hello(peer));
    }

    pub fn dial_due(&mut self) {
        let now = Instant::now();
        let (peers, ledger, at) = (&self.peers, self.penalties.ledger(), self.clock.now());
        let connected = (peers.connected_count(), peers.outbound_count());
        let is_done = |peer: &PeerId| peers.is_connected(peer) || ledger.ban(peer, at).is_some();
        let due = self
            .discovery
            .due(now, connected, self.water.0, is_done, &mut self.rng);
        for (peer, addresses, claimed) in due {
            let behaviour = self.swarm.behaviour_mut();
            let addresses = if claimed {
                behaviour.dialable(addresses)
            } else {
                addresses
            };
            if addresses.is_empty() {
                continue;
            }
            let noted = claimed.then(|| addresses.clone());
            let dial = DialOpts::peer_id(peer)
                .condition(PeerCondition::DisconnectedAndNotDialing)
                .addresses(addresses)
                .build();
            if let Some(addresses) = noted {
                behaviour.dials(dial.connection_id(), &addresses);
            }
            if let Err(error) = self.swarm.dial(dial) {
                tracing::debug!(%peer, %error, "not dialled");
            }
        }
        // Told once, and only when the peer is not just slow.
        const TELLING: u32 = 3;
        for (peer, address) in self.discovery.unreachable_bootstraps(TELLING) {
            // Another node answers there, and the person is told of that instead.
            if self.identities.is_misnamed(&peer) {
                continue;
            }
            if let Some(text) = self.troubles.unreachable(address) {
                tracing::warn!("{text}");
                self.notice(Level::Warning, text);
            }
        }
    }

    /// Dials the bootstrap addresses that name this node's own key. Usually this node itself
    /// answers.
    fn look_at_myself(&mut self, now: Instant) {
        for address in self.own_addresses.clone() {
            self.identities.looks(now);
            if let Err(error) = self
                .swarm
                .dial(DialOpts::unknown_peer_id().address(address).build())
            {
                tracing::debug!(%error, "a bootstrap address of this node's own was not dialled");
            }
        }
    }

    /// Tells the person once about a conflicting identity.
    fn settle_identities(&mut self, now: Instant) {
        self.identities.settle(now);
        let twin = self.identities.twin().map(str::to_owned);
        let sample = Sample {
            twin,
            strange: self.identities.strange(),
            ..Sample::default()
        };
        let row = health::row(Measure::Identity, &sample);
        let complaint = row
            .complaint()
            .map(|(cause, remedy)| format!("{cause}; {remedy}"));
        if let Some(text) = self.troubles.identity(complaint) {
            tracing::warn!("{text}");
            self.notice(Level::Warning, text);
        }
    }

    /// Writes changed DHT records behind, without waiting for the disk.
    pub fn flush(&mut self) {
        let kad_store = self.swarm.behaviour_mut().kad.store_mut();
        kad_store.tick(self.clock.now());
        let Dirty { put, removed } = kad_store.take_dirty();
        self.wiring
            .metrics
            .holds(kad_store.held().1, kad_store.providers.held());
        let displaced = [
            (Displaced::Record, kad_store.take_displaced()),
            (Displaced::Claim, kad_store.providers.take_displaced()),
            (
                Displaced::Address,
                self.swarm.behaviour_mut().kad.take_left_out(),
            ),
        ];
        displaced
            .into_iter()
            .for_each(|(kind, count)| self.wiring.metrics.displaced(kind, count));
        if !put.is_empty() || !removed.is_empty() {
            let store = self.wiring.store.clone();
            self.writes
                .push(async move { store.write_dht(put, removed).await });
        }
    }

    pub fn remember(&mut self) {
        let (peers, store) = (self.peers.to_store(), self.wiring.store.clone());
        self.writes
            .push(async move { store.remember_peers(peers, MAX_PEERS).await });
    }

    /// Puts at most one record a second: putting everything again at once would bring down a small
    /// network.
    fn reput_one(&mut self) {
        if *self.wiring.joined.borrow() == 0 {
            return;
        }
        if let Some(value) = self.swarm.behaviour_mut().kad.store_mut().due_for_reput() {
            self.put_value(
                value,
                "putting again what is held for others".to_owned(),
                Instant::now() + Duration::from_secs(10),
                None,
            );
        }
    }

    fn trim(&mut self) {
        let me = kad::KBucketKey::from(*self.swarm.local_peer_id());
        let behaviour = self.swarm.behaviour_mut();
        let close = behaviour
            .kad
            .get_closest_local_peers(&me)
            .take(kad::K_VALUE.get());
        let mut protected: HashSet<PeerId> = close.map(|key| *key.preimage()).collect();
        protected.extend(behaviour.gossip.all_mesh_peers().copied());
        protected.extend(self.requests.peers());
        protected.extend(self.wiring.busy.list());
        // Only some of the downloading peers are protected, and only while bytes move.
        protected.extend(served(&self.wiring.served.moving(), self.water.0));
        protected.extend(
            self.penalties
                .ledger()
                .all()
                .filter(|(_, sheet)| sheet.protected)
                .map(|(peer, _)| *peer),
        );
        let held = self
            .peers
            .held(|peer| protected.contains(peer), self.clock.now());
        for peer in to_trim(&held, self.water.0, self.water.1) {
            let _ = self.swarm.disconnect_peer_id(peer);
        }
    }
}
