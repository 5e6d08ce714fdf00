//! The task that owns the swarm: its loop, its commands, and its end.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    time::{Duration, Instant},
};

use futures::{StreamExt, future::BoxFuture, stream::FuturesUnordered};
use libp2p::{
    Multiaddr, PeerId, Swarm,
    gossipsub::{self, MessageId},
    kad::{self, QueryId, RecordKey},
    request_response::{OutboundRequestId, ResponseChannel},
    swarm::SwarmEvent,
};
use rand::rngs::StdRng;
use tokio::sync::{mpsc, oneshot, watch};

use crate::net::{
    ClockOffset, Conduct, Greeting, Inbound, Verdict,
    content::BusyPeers,
    dht::inspect::{Looks, what_of},
    dht::lookups::{Lookups, Pending},
    dht::providers::Findings,
    gossip::topics::Topics,
    gossip::waiting::Waiting,
    peers::discovery::{Discovery, Origin},
    peers::identity::Identities,
    peers::penalties::{self, Penalties},
    peers::pool::{Callers, Pool},
    peers::table::PeerTable,
    query::protocol::Response,
    query::requests::Requests,
    reach::dial_back::Reach,
    reach::limited::Limited,
    reach::listen,
    swarm::behaviour::{BehaviourEvent, Protocols},
    swarm::command::{Answered, AskError, Command},
    swarm::measure::Measures,
    swarm::start::GREET_EVERY,
    swarm::timers::Timers,
};
use crate::{
    bus::{Board, Bus, Counters, Event, Level, NodeSnapshot, Notice, Tally},
    clock,
    domain::{
        allowance::Allowance,
        lanes::Lanes,
        lookup::End,
        name::{NetworkName, PublisherId},
        places::{Place, Places, Size},
        record::{Record, Refusal},
        reputation::Selection,
        time::Timestamp,
    },
    metrics::Metrics,
    store::Store,
};

/// Upkeep goes round this often.
pub const TICK: Duration = Duration::from_millis(500);
/// Time to say goodbye to the peers.
const GOODBYE: Duration = Duration::from_millis(300);
/// Peers that must have acknowledged a put for it to be over; the others are still sent it.
pub const PUT_QUORUM: usize = 3;
/// Questions that are answered at once, and those of one peer. A place is held for as long as the
/// answer takes, which has a bound of its own: nobody loses one for being idle.
pub const QUESTIONS: Size = Size {
    places: 128,
    of_a_peer: 8,
    yields: false,
};
/// Longest time that one question takes, of what its peer has left: a search of half a million
/// packages takes a tenth.
pub const MOST_ANSWERING: Duration = Duration::from_secs(2);
/// Verdicts and answers outstanding from the registry.
pub const MAX_OUTSTANDING: usize = 1_024;

/// What connects the task with the rest of the node.
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
    /// Streams on which content is served.
    pub served: Pool,
    pub callers: Callers,
    pub known: watch::Receiver<HashSet<PublisherId>>,
    pub metrics: Metrics,
}

/// What the registry decided.
pub enum Settled {
    Message {
        id: MessageId,
        via: PeerId,
        author: Option<PeerId>,
        verdict: Verdict,
    },
    Put {
        from: PeerId,
        outcome: Result<Box<Record>, Refusal>,
    },
    Answer {
        peer: PeerId,
        channel: ResponseChannel<Response>,
        place: Place,
        answered: Answered,
    },
}

pub struct PendingPut {
    pub deadline: Instant,
    pub reply: Option<oneshot::Sender<usize>>,
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
    pub lookups: Lookups<QueryId>,
    pub puts: HashMap<QueryId, PendingPut>,
    pub requests: Requests<OutboundRequestId>,
    pub settled: FuturesUnordered<BoxFuture<'static, Settled>>,
    pub questions: Places,
    pub waiting: Waiting,
    pub findings: Findings,
    pub looks: Looks,
    /// Who waits for the DHT to have been told of a content.
    pub providing: HashMap<QueryId, oneshot::Sender<()>>,
    pub reach: Reach,
    pub measures: Measures,
    pub penalties: Penalties,
    /// How this node itself answers.
    pub acting: Conduct,
    /// Whom it asks.
    selection: Selection,
    pub lanes: Lanes,
    /// How much this node itself may announce.
    announcing: Allowance,
    pub rng: StdRng,
    pub started_at: Timestamp,
    pub timers: Timers,
    told: (Counters, Option<NodeSnapshot>),
    pub presence_told: bool,
    /// What was told is still to be withdrawn once nothing is to be told any more.
    pub withdrawing: bool,
    /// What the last round of hellos told.
    pub greeted: Greeting,
    pub told_unreachable: HashSet<Multiaddr>,
    pub identities: Identities,
    /// Bootstrap addresses that name this node's own key.
    pub own_addresses: Vec<Multiaddr>,
    /// What a person was told last of identities.
    pub told_identity: Option<String>,
    /// Drawn at the start, so that another node with the same key is told from this one.
    pub start: u64,
    writes: VecDeque<BoxFuture<'static, ()>>,
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
        (acting, selection): (Conduct, Selection),
        measures: Measures,
        ping_every: Duration,
        own_addresses: Vec<Multiaddr>,
    ) -> Self {
        // What cannot be read is no reason not to start; it would be withdrawn by the hour.
        let withdrawing = wiring.store.is_presence_told().unwrap_or_default();
        Self {
            swarm,
            wiring,
            discovery,
            peers,
            protocols,
            topics,
            network,
            water,
            lookups: Lookups::new(),
            puts: HashMap::new(),
            requests: Requests::new(),
            settled: FuturesUnordered::new(),
            questions: Places::new(QUESTIONS),
            waiting: Waiting::default(),
            findings: Findings::default(),
            looks: Looks::new(),
            providing: HashMap::new(),
            reach: Reach::default(),
            measures,
            penalties,
            acting,
            selection,
            lanes: Lanes::default(),
            announcing: Allowance::sent(clock::now()),
            rng: rand::make_rng(),
            started_at: clock::now(),
            timers: Timers::new(ping_every.min(GREET_EVERY), Instant::now()),
            told: (Counters::default(), None),
            presence_told: false,
            withdrawing,
            greeted: Greeting::default(),
            told_unreachable: HashSet::new(),
            identities: Identities::default(),
            own_addresses,
            told_identity: None,
            start: rand::random_range(1..=u64::MAX),
            writes: VecDeque::new(),
        }
    }

    /// Runs until told to shut down, or until nobody is left to tell it anything.
    /// `early` is what the swarm has reported before.
    pub async fn run(mut self, early: Vec<SwarmEvent<BehaviourEvent>>) {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        self.judge(penalties::Event::Start);
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
                () = next_write(&mut self.writes), if !self.writes.is_empty() => {},
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
                self.lookups.start(
                    id,
                    Pending {
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
                if !self.announcing.take(clock::now()) {
                    // The outbox tries again, and catalogues are compared.
                    let _ = reply.send(Vec::new());
                    return;
                }
                let topic = self.topics.announce.hash();
                let subscribers = self.subscribers(&topic);
                let published = self.swarm.behaviour_mut().gossip.publish(topic, data);
                // With nobody there to hear it, publishing is not an error: the outbox tries again.
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
                self.findings.start(id, deadline, found);
            }
            Command::Provide { key, what, reply } => {
                let kad = &mut self.swarm.behaviour_mut().kad;
                match kad.start_providing(RecordKey::new(&key.0)) {
                    Ok(id) => {
                        kad.follow(id, Some(what));
                        self.providing.insert(id, reply);
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
                    clock::now(),
                    &mut self.rng,
                );
                let _ = reply.send(sources);
            }
            Command::BestPeers {
                min_reputation,
                limit,
                reply,
            } => {
                let candidates = self.peers.candidates(self.selection, clock::now());
                let mut chosen = self.selection.choose(
                    &candidates,
                    min_reputation,
                    candidates.len(),
                    &mut self.rng,
                );
                // Stable: both keep their order.
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
                self.peers.gave(peer, bytes, took, clock::now());
                self.judge(penalties::Event::Gave(peer));
            }
            Command::Obey {
                peer,
                ruling,
                reply,
            } => self.obey(peer, ruling, reply),
            Command::Standings { reply } => drop(reply.send(self.peers.standings(clock::now()))),
            Command::Status { reply } => drop(reply.send(self.snapshot())),
            Command::Peers { reply } => drop(reply.send(self.peers.snapshots(clock::now()))),
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
                    .emit(Event::Counters(self.wiring.tally.snapshot()));
                self.tell_readers();
            }
            Command::Shutdown { .. } => {}
        }
    }

    fn put(&mut self, record: &Record, deadline: Instant, reply: oneshot::Sender<usize>) {
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
                self.puts.insert(id, PendingPut { deadline, reply });
            }
            Err(error) => {
                tracing::debug!(%error, "a record of our own was not kept");
                reply.map(|reply| reply.send(0));
            }
        }
    }

    pub fn subscribers(&self, topic: &gossipsub::TopicHash) -> Vec<PeerId> {
        let subscribed = self
            .swarm
            .behaviour()
            .gossip
            .all_peers()
            .filter(|(_, topics)| topics.contains(&topic));
        subscribed.map(|(peer, _)| *peer).collect()
    }

    fn next_deadline(&self) -> Option<Instant> {
        let puts = self.puts.values().map(|put| put.deadline).min();
        let looks = self.looks.values().map(|look| look.deadline).min();
        [
            self.lookups.next_deadline(),
            self.findings.next_deadline(),
            puts,
            self.requests.next_deadline(),
            looks,
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Ends what is past its deadline, with what came by then.
    fn expire(&mut self) {
        let now = Instant::now();
        for (id, done) in self.lookups.expire(now) {
            self.looked_up(done);
            self.stop(&id, End::Deadline);
        }
        for id in self.findings.expire(now) {
            self.stop(&id, End::Deadline);
        }
        self.expire_looks(now);
        let late: Vec<QueryId> = self
            .puts
            .iter()
            .filter(|(_, put)| put.deadline <= now)
            .map(|(id, _)| *id)
            .collect();
        for id in late {
            if let Some(PendingPut {
                reply: Some(reply), ..
            }) = self.puts.remove(&id)
            {
                let _ = reply.send(0);
            }
        }
        for id in self.requests.late(now) {
            self.ask_failed(&id, AskError::TimedOut);
        }
    }

    pub fn ask_failed(&mut self, id: &OutboundRequestId, error: AskError) {
        let Some(failed) = self.requests.failed(id, error, Instant::now()) else {
            return;
        };
        if let Some(took) = failed.took_over {
            self.peers.answered(&failed.peer, took);
        }
        if let Some(outcome) = failed.outcome {
            self.observe(failed.peer, outcome);
        }
    }

    /// Lets Kademlia stop a query whose result nobody waits for any more.
    pub fn stop(&mut self, id: &QueryId, end: End) {
        self.swarm.behaviour_mut().kad.stop(id, end);
    }

    pub fn notice(&self, level: Level, text: String) {
        self.wiring.bus.emit(Event::Notice(Notice {
            at: clock::now(),
            level,
            text,
        }));
    }

    pub fn write(&mut self, job: impl Future<Output = crate::Result<()>> + Send + 'static) {
        self.writes.push_back(Box::pin(async move {
            if let Err(error) = job.await {
                tracing::error!(%error, "state could not be written");
            }
        }));
    }

    /// Tells the readers of the bus what changed; with none, nothing is built.
    pub fn tell_readers(&mut self) {
        let joined = self.peers.ours().count();
        self.wiring
            .joined
            .send_if_modified(|told| std::mem::replace(told, joined) != joined);
        if !self.wiring.bus.has_readers() {
            return;
        }
        let (changed, gone) = self.peers.take_changes(clock::now());
        for peer in changed {
            self.wiring.bus.emit(Event::Peer(Box::new(peer)));
        }
        for peer in gone {
            self.wiring.bus.emit(Event::PeerGone(peer));
        }
        for trace in self.swarm.behaviour_mut().kad.traces.take_changes() {
            self.wiring.bus.emit(Event::Lookup(Box::new(trace)));
        }
        let counters = self.wiring.tally.snapshot();
        if self.told.0 != counters {
            self.wiring.bus.emit(Event::Counters(counters.clone()));
            self.told.0 = counters;
        }
        let node = Some(self.snapshot());
        if self.told.1 != node {
            self.told.1 = node.clone();
            node.into_iter()
                .for_each(|node| self.wiring.bus.emit(Event::Node(Box::new(node))));
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

    /// Closes every connection, and writes what is unwritten.
    async fn shut_down(mut self, reply: Option<oneshot::Sender<()>>) {
        self.peers.settle(clock::now());
        self.remember();
        self.flush();
        self.settle_penalties();
        let swarm = &mut self.swarm;
        let goodbye = async {
            // Long enough for what was said last to leave before the connections do. No
            // unsubscriptions: they would forbid this node the mesh for a while, and whoever is
            // back within that, as each verb is, pays for trying. That the connection ends takes it
            // out of the meshes just as soon.
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
        while let Some(write) = self.writes.pop_front() {
            write.await;
        }
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

/// Writes go one after the other, in order: a later state must not be overtaken by an earlier one.
async fn next_write(writes: &mut VecDeque<BoxFuture<'static, ()>>) {
    if let Some(write) = writes.front_mut() {
        write.await;
        writes.pop_front();
    }
}
