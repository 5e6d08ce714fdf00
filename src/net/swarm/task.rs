//! The task that owns the swarm: its main loop, commands, and shutdown.

use std::{
    collections::HashSet,
    time::{Duration, Instant},
};

use futures::{StreamExt, future::BoxFuture, stream::FuturesUnordered};
use libp2p::{
    Multiaddr, PeerId, Swarm,
    gossipsub::MessageId,
    kad::{self, QueryId, RecordKey},
    request_response::{OutboundRequestId, ResponseChannel},
    swarm::SwarmEvent,
};
use rand::{RngExt, rngs::StdRng};
use tokio::sync::{mpsc, oneshot, watch};

use super::{
    behaviour::{BehaviourEvent, Protocols},
    command::{AskError, Command, QueryReply},
    measure::Measures,
    start::GREET_EVERY,
    timers::Timers,
    writes::Writes,
};
use crate::{
    bus::{Board, Bus, BusEvent, Counters, Level, NodeSnapshot, Notice, Tally},
    clock::Clock,
    domain::{
        lanes::Lanes,
        name::{NetworkName, PublisherId},
        places::SlotId,
        record::{Record, Refusal},
        reputation::SelectionMethod,
        time::Timestamp,
    },
    metrics::Metrics,
    net::{
        ClockOffset, Conduct, Greeting, Inbound, Staging, Verdict,
        content::BusyPeers,
        dht::{
            lookups::PendingLookup,
            queries::{self, Queries},
        },
        gossip::{
            judge::{Handed, MessageValidator},
            place::Telling,
            topics::Topics,
        },
        peers::{
            discovery::{Discovery, Origin},
            identity::Identities,
            penalties::{self, Penalties},
            pool::{Callers, Pool},
            table::PeerTable,
            trouble,
        },
        query::{answering::Answering, greeting::Greeter, protocol::Response, requests::Requests},
        reach::{dial_back::DialBackOutcomes, limited::Limited, listen},
    },
    store::Store,
};

/// Interval of the upkeep.
pub const TICK: Duration = Duration::from_millis(500);
/// Time to say goodbye to the peers.
const GOODBYE: Duration = Duration::from_millis(300);
/// Most verdicts and answers that the registry owes.
pub const MAX_OUTSTANDING: usize = 1_024;

/// The task's connections to the rest of the node.
pub struct Wiring {
    pub commands: mpsc::Receiver<Command>,
    pub inbound: mpsc::Sender<Inbound>,
    pub greeting: watch::Receiver<Greeting>,
    pub joined: watch::Sender<usize>,
    /// Peers that are asked last and counted in no quorum.
    pub doubted: watch::Sender<HashSet<PeerId>>,
    pub clock: watch::Sender<Option<ClockOffset>>,
    pub store: Store,
    pub bus: Bus,
    pub tally: Tally,
    pub board: Board,
    pub busy: BusyPeers,
    /// The slots of the streams that serve content.
    pub served: Pool,
    pub callers: Callers,
    pub known: watch::Receiver<HashSet<PublisherId>>,
    pub metrics: Metrics,
}

/// A decision or answer of the registry.
pub enum Settled {
    Message(Handed<MessageId>, Verdict),
    Put {
        from: PeerId,
        outcome: Result<Box<Record>, Refusal>,
    },
    Answer {
        peer: PeerId,
        channel: ResponseChannel<Response>,
        place: SlotId,
        answered: QueryReply,
    },
}

pub struct Task {
    pub swarm: Swarm<Limited>,
    pub wiring: Wiring,
    pub discovery: Discovery,
    pub peers: PeerTable,
    pub protocols: Protocols,
    pub topics: Topics,
    network: NetworkName,
    pub water: (usize, usize),
    pub queries: Queries<QueryId>,
    pub requests: Requests<OutboundRequestId>,
    pub settled: FuturesUnordered<BoxFuture<'static, Settled>>,
    pub answering: Answering,
    pub judge: MessageValidator,
    pub reach: DialBackOutcomes,
    pub measures: Measures,
    pub penalties: Penalties,
    /// The way this node answers.
    pub acting: Conduct,
    /// The way it chooses the peers to ask.
    selection: SelectionMethod,
    pub lanes: Lanes,
    pub clock: Clock,
    pub rng: StdRng,
    pub started_at: Timestamp,
    pub timers: Timers,
    told: (Counters, Option<NodeSnapshot>),
    pub telling: Telling,
    pub greeter: Greeter,
    pub troubles: trouble::ToldTroubles,
    pub identities: Identities,
    /// Bootstrap addresses that name this node's own key.
    pub own_addresses: Vec<Multiaddr>,
    /// A random number that tells this node from another one with the same key.
    pub start: u64,
    pub writes: Writes,
}

impl Task {
    #[allow(clippy::too_many_arguments)]
    pub fn new(
        swarm: Swarm<Limited>,
        wiring: Wiring,
        discovery: Discovery,
        peers: PeerTable,
        protocols: Protocols,
        topics: Topics,
        network: NetworkName,
        water: (usize, usize),
        penalties: Penalties,
        staging: Staging,
        measures: Measures,
        ping_every: Duration,
        own_addresses: Vec<Multiaddr>,
        mut rng: StdRng,
    ) -> Self {
        // If this cannot be read, start anyway: a location expires within the hour.
        let withdrawing = wiring.store.is_presence_told().unwrap_or_default();
        let (clock, me) = (staging.clock, *swarm.local_peer_id());
        let now = clock.now();
        Self {
            swarm,
            wiring,
            discovery,
            peers,
            protocols,
            topics,
            network,
            water,
            queries: Queries::new(),
            requests: Requests::new(),
            settled: FuturesUnordered::new(),
            answering: Answering::new(),
            judge: MessageValidator::new(me, now),
            reach: DialBackOutcomes::default(),
            measures,
            penalties,
            acting: staging.conduct,
            selection: staging.selection,
            lanes: Lanes::default(),
            clock,
            started_at: now,
            timers: Timers::new(ping_every.min(GREET_EVERY), Instant::now()),
            told: (Counters::default(), None),
            telling: Telling::new(withdrawing),
            greeter: Greeter::default(),
            troubles: trouble::ToldTroubles::default(),
            identities: Identities::default(),
            own_addresses,
            start: rng.random_range(1..=u64::MAX),
            rng,
            writes: Writes::default(),
        }
    }

    /// Runs until the shutdown command, or until all handles are gone. `early` holds the events
    /// from before the start.
    pub async fn run(mut self, early: Vec<SwarmEvent<BehaviourEvent>>) {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        self.penalise(penalties::PenaltyEvent::Start);
        early.into_iter().for_each(|event| self.on_swarm(event));
        self.dial_due();
        loop {
            let deadline = self.next_deadline();
            tokio::select! {
                event = self.swarm.select_next_some() => self.on_swarm(event),
                Some(settled) = self.settled.next(), if !self.settled.is_empty() => self.on_settled(settled),
                command = self.wiring.commands.recv() => match command {
                    Some(Command::Shutdown { reply }) => return self.shut_down(Some(reply)).await,
                    Some(command) => self.on_command(command),
                    None => return self.shut_down(None).await,
                },
                () = sleep_until(deadline) => self.expire(),
                _ = tick.tick() => self.upkeep(),
                () = self.writes.next(), if !self.writes.is_empty() => {},
            }
        }
    }

    fn on_command(&mut self, command: Command) {
        match command {
            Command::Find {
                key,
                want,
                what,
                deadline,
                permit,
                reply,
            } => {
                let kad = &mut self.swarm.behaviour_mut().kad;
                let id = kad.get_record(RecordKey::new(&key.0));
                let trace = kad.follow(id, what).unwrap_or(0);
                self.queries.look_up(
                    id,
                    PendingLookup {
                        key,
                        want,
                        started: Instant::now(),
                        deadline,
                        reply,
                        _permit: Some(permit),
                        answers: Vec::new(),
                        asked: 0,
                        trace,
                    },
                );
            }
            Command::Put {
                record,
                deadline,
                reply,
            } => self.put(&record, deadline, reply),
            Command::Announce { data, reply } => {
                if !self.judge.may_announce(self.clock.now()) {
                    // The outbox will try again, and catalogues are compared, so refusing loses
                    // nothing.
                    let _ = reply.send(Vec::new());
                    return;
                }
                let topic = self.topics.announce.hash();
                let subscribers = self.subscribers(&topic);
                let published = self.swarm.behaviour_mut().gossip.publish(topic, data);
                // Without subscribers, publishing is not an error: the outbox will try again.
                let _ = reply.send(if published.is_ok() {
                    subscribers
                } else {
                    Vec::new()
                });
            }
            Command::Alive {
                peers,
                since,
                greet,
                reply,
            } => {
                let (alive, unproven): (Vec<PeerId>, Vec<PeerId>) = peers
                    .into_iter()
                    .partition(|peer| self.peers.is_alive_since(peer, since));
                for peer in unproven.into_iter().filter(|_| greet) {
                    if self.peers.is_ours(&peer) {
                        self.say_hello(peer);
                    }
                }
                let _ = reply.send(alive.len());
            }
            Command::Ask {
                peer,
                request,
                deadline,
                reply,
            } => {
                let id = self
                    .swarm
                    .behaviour_mut()
                    .query
                    .send_request(&peer, request);
                self.requests
                    .sent(id, peer, Some(reply), deadline, Instant::now());
            }
            Command::FindProviders {
                key,
                what,
                deadline,
                found,
            } => {
                let kad = &mut self.swarm.behaviour_mut().kad;
                let id = kad.get_providers(RecordKey::new(&key.0));
                kad.follow(id, Some(what));
                self.queries.find_providers(id, deadline, found);
            }
            Command::Provide { key, what, reply } => {
                let kad = &mut self.swarm.behaviour_mut().kad;
                match kad.start_providing(RecordKey::new(&key.0)) {
                    Ok(id) => {
                        kad.follow(id, Some(what));
                        self.queries.provide(id, reply);
                    }
                    Err(error) => {
                        tracing::debug!(%error, "a content of ours was not noted as provided")
                    }
                }
            }
            Command::Look {
                sought,
                what,
                deadline,
                reply,
            } => self.look(sought, what, deadline, reply),
            Command::Trace { number, reply } => {
                drop(reply.send(self.swarm.behaviour().kad.traces.get(number)))
            }
            Command::Lookups { reply } => {
                drop(reply.send(self.swarm.behaviour().kad.traces.list()))
            }
            Command::Routing { reply } => drop(reply.send(self.routing())),
            Command::Sources { publisher, reply } => {
                let sources = self.peers.sources(
                    self.selection,
                    publisher.as_ref(),
                    self.clock.now(),
                    &mut self.rng,
                );
                let _ = reply.send(sources);
            }
            Command::BestPeers {
                min_reputation,
                limit,
                reply,
            } => {
                let candidates = self.peers.candidates(self.selection, self.clock.now());
                let mut chosen = self.selection.choose(
                    &candidates,
                    min_reputation,
                    candidates.len(),
                    &mut self.rng,
                );
                // A stable sort, so both groups keep their order.
                chosen.sort_by_key(|peer| self.wiring.doubted.borrow().contains(peer));
                chosen.truncate(limit);
                self.peers.chosen(&chosen);
                let _ = reply.send(chosen);
            }
            Command::Catalogues { reply } => {
                drop(reply.send(self.peers.catalogues(Instant::now())))
            }
            Command::Rooms { reply } => drop(reply.send(self.peers.rooms(Instant::now()))),
            Command::Observe { peer, outcome } => self.observe(peer, outcome),
            Command::Gave { peer, bytes, took } => {
                self.peers.gave(peer, bytes, took, self.clock.now());
                self.penalise(penalties::PenaltyEvent::Gave(peer));
            }
            Command::Moderate {
                peer,
                ruling,
                reply,
            } => self.moderate(peer, ruling, reply),
            Command::Standings { reply } => {
                drop(reply.send(self.peers.standings(self.clock.now())))
            }
            Command::Status { reply } => drop(reply.send(self.snapshot())),
            Command::Peers { reply } => {
                drop(reply.send(self.peers.snapshots((self.clock.now(), Instant::now()))))
            }
            Command::Health { reply } => drop(reply.send(Box::new(self.sample()))),
            Command::Dial {
                peer,
                address,
                keep,
            } => {
                let origin = if keep {
                    Origin::Bootstrap
                } else {
                    Origin::Asked
                };
                self.discovery
                    .add_now(peer, address, origin, Instant::now());
                self.dial_due();
            }
            Command::Disconnect { peer, reply } => {
                self.discovery.forget(&peer);
                let _ = reply.send(self.swarm.disconnect_peer_id(peer).is_ok());
            }
            Command::Refresh => {
                self.peers.touch_all();
                self.told = (Counters::default(), None);
                self.measures.tell_again();
                self.swarm.behaviour_mut().kad.traces.touch_all();
                self.wiring.board.tell_again();
                self.wiring
                    .bus
                    .emit(BusEvent::Counters(self.wiring.tally.snapshot()));
                self.tell_readers();
            }
            Command::Shutdown { .. } => {}
        }
    }

    fn next_deadline(&self) -> Option<Instant> {
        let deadlines = [self.queries.next_deadline(), self.requests.next_deadline()];
        deadlines.into_iter().flatten().min()
    }

    /// Ends everything that is past its deadline, with the results so far.
    fn expire(&mut self) {
        let now = Instant::now();
        self.advance(queries::DhtEvent::Due);
        for id in self.requests.late(now) {
            self.ask_failed(&id, AskError::TimedOut);
        }
    }

    pub fn notice(&self, level: Level, text: String) {
        self.wiring.bus.emit(BusEvent::Notice(Notice {
            at: self.clock.now(),
            level,
            text,
        }));
    }

    /// Sends the changes to the readers of the bus. Without readers, nothing is built.
    pub fn tell_readers(&mut self) {
        let joined = self.peers.ours().count();
        self.wiring
            .joined
            .send_if_modified(|told| std::mem::replace(told, joined) != joined);
        if !self.wiring.bus.has_readers() {
            return;
        }
        let (changed, gone) = self.peers.take_changes((self.clock.now(), Instant::now()));
        for peer in changed {
            self.wiring.bus.emit(BusEvent::Peer(Box::new(peer)));
        }
        for peer in gone {
            self.wiring.bus.emit(BusEvent::PeerGone(peer));
        }
        for trace in self.swarm.behaviour_mut().kad.traces.take_changes() {
            self.wiring.bus.emit(BusEvent::Lookup(Box::new(trace)));
        }
        let counters = self.wiring.tally.snapshot();
        if self.told.0 != counters {
            self.wiring.bus.emit(BusEvent::Counters(counters.clone()));
            self.told.0 = counters;
        }
        let node = Some(self.snapshot());
        if self.told.1 != node {
            self.told.1 = node.clone();
            node.into_iter()
                .for_each(|node| self.wiring.bus.emit(BusEvent::Node(Box::new(node))));
        }
    }

    fn snapshot(&mut self) -> NodeSnapshot {
        let me = *self.swarm.local_peer_id();
        let (packages, handle) = {
            let greeting = self.wiring.greeting.borrow();
            (greeting.packages, greeting.handle.clone())
        };
        NodeSnapshot {
            peer_id: me,
            network: self.network.to_string(),
            addresses: listen::for_others(self.swarm.listeners(), me),
            handle,
            connected: self.peers.ours().count(),
            known_peers: self.peers.len(),
            packages,
            dht_records: self.swarm.behaviour_mut().kad.store_mut().len(),
            mdns: self.swarm.behaviour().mdns.is_enabled(),
            dht_server: self.swarm.behaviour().kad.mode() == kad::Mode::Server,
            mesh: self
                .swarm
                .behaviour()
                .gossip
                .mesh_peers(&self.topics.announce.hash())
                .count(),
            clock_offset_ms: self
                .peers
                .clock_offset(Instant::now())
                .map(|offset| offset.ms),
            location: self.peers.bearings.here.clone(),
            started_at: self.started_at,
        }
    }

    /// Closes all connections and writes pending changes.
    async fn shut_down(mut self, reply: Option<oneshot::Sender<()>>) {
        self.peers.settle(self.clock.now());
        self.remember();
        self.flush();
        self.penalise(penalties::PenaltyEvent::Due);
        self.write_penalties();
        let swarm = &mut self.swarm;
        let goodbye = async {
            // Give the last messages time to leave before the connections close. Do not
            // unsubscribe: gossipsub would keep this node out of the mesh for a while, and a node
            // that is back sooner, as each command-line verb is, would be penalised for trying.
            // Closing the connection removes it from the meshes just as fast.
            let said = tokio::time::sleep(GOODBYE / 3);
            tokio::pin!(said);
            loop {
                tokio::select! {
                    _ = swarm.select_next_some() => {}
                    () = &mut said => break,
                }
            }
            let connected: Vec<PeerId> = swarm.connected_peers().copied().collect();
            for peer in connected {
                let _ = swarm.disconnect_peer_id(peer);
            }
            while swarm.connected_peers().next().is_some() {
                swarm.select_next_some().await;
            }
        };
        let _ = tokio::time::timeout(GOODBYE, goodbye).await;
        self.writes.finish().await;
        drop(self.wiring.store);
        reply.map(|reply| reply.send(()));
    }
}

async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
        None => std::future::pending().await,
    }
}
