//! One node: our state machines unchanged, the models of libp2p's, and the work of a real node's
//! task to connect them.

mod compare;
mod dht;
mod gossip;
mod links;
mod query;

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    time::Duration,
};

use libp2p::PeerId;
use tokio::sync::oneshot;

use crate::{
    domain::{
        faults::PenaltyLedger,
        lanes::{Lane, Lanes, Sender},
        name::PublisherId,
        prefix::Classes,
        record::HeadMark,
        reputation::{Outcome, Weights},
        time::Timestamp,
    },
    geoip::Atlas,
    metrics::Metrics,
    net::{
        Greeting,
        machines::{
            Callers, ConnectionAdmission, ConnectionId, Discovery, GREET_EVERY, Greeter, Job,
            KadStore, Lookup, PeerTable, PlacingContext, Requests, TICK, Timers,
            answering::Answering,
            judge::{Handed, MessageValidator},
            penalties::{Penalties, PenaltyAction, PenaltyEvent},
            queries::Queries,
        },
    },
    sim::{
        Id, Options,
        dice::Dice,
        model::{gossip::Figures, gossip::Gossip, kad::KadTable},
        script::NodeRole,
        shared::{SharedObjects, Value},
        time::Time,
    },
};
use compare::Comparing;
use dht::RunningLookup;
pub use dht::{Dht, LookupOutcome};
use gossip::Inbox;
pub use links::{SimLink, times};
pub use query::QueryMessage;
use query::{Get, OpenRequest};

/// Peers that one flooder floods.
const FLOODED: usize = 8;

/// The way a node received an announcement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    Gossip,
    Comparison,
}

/// The newest known state of a package.
#[derive(Clone, Copy, Debug)]
pub struct KnownState {
    mark: HeadMark,
    at: Timestamp,
    head: Value,
    message: u32,
}

/// A message between nodes.
#[derive(Clone, Debug)]
pub enum Wire {
    Gossip(super::model::gossip::GossipRpc),
    /// Many messages at once, each of which would be news only the first time.
    Flood(u32, u32),
    Dht(Dht),
    Ask(QueryMessage),
    Ping(Time),
    Pong(Time),
}

/// A timer of a node.
#[derive(Clone, Debug)]
pub enum Alarm {
    Tick,
    Heartbeat,
    Ping,
    /// Kademlia looks up its own neighbourhood.
    Refresh,
    /// A lookup or a request reaches its deadline.
    Deadline,
    /// Kademlia ends a query.
    Over(u64),
    /// A message has been verified.
    Settled(Box<Handed<u32>>),
    /// Peers have joined, and the catalogue is to be compared with theirs.
    Joined,
    /// A failed comparison is tried again, or a silent peer no longer holds up the next one.
    Again,
    /// A request has been answered.
    Answered {
        to: Id,
        number: u64,
        place: u64,
        value: Option<Value>,
    },
}

/// An action of a node.
#[derive(Clone, Debug)]
pub enum SimEffect {
    /// Sends a message over a connection, and its time of arrival.
    Send {
        to: Id,
        link: u32,
        at: Time,
        wire: Wire,
    },
    Dial(Id),
    /// It wants to be told of other peers instead of looking them up.
    Bootstrap,
    Close(Id),
    After(Duration, Alarm),
    /// It accepted an announcement that it had not seen before, first from this peer.
    Heard {
        message: u32,
        via: Id,
        how: How,
    },
    /// It received one more copy of a message.
    Copy {
        message: u32,
        first: bool,
    },
    /// It sent an announcement to this many peers.
    Announced {
        message: u32,
        to: usize,
    },
    /// A DHT lookup has ended.
    LookedUp(LookupOutcome),
    /// A person's request has been answered, or failed.
    Got {
        found: bool,
        took: Duration,
    },
    /// It banned a peer.
    Banned(Id),
}

/// The part of the world that a node sees at a moment.
pub struct Scene<'a> {
    pub now: Time,
    pub shared: &'a SharedObjects,
    pub out: &'a mut Vec<SimEffect>,
    pub signatures: &'a mut u64,
}

impl Scene<'_> {
    pub fn stamp(&self) -> Timestamp {
        self.now.stamp()
    }

    pub fn instant(&self) -> std::time::Instant {
        self.now.instant(self.shared.base)
    }
}

/// An instruction to a node by its person or the plan of the run.
#[derive(Clone, Copy, Debug)]
pub enum NodeOrder {
    Publish { message: u32 },
    Get { package: u32 },
    Shout { message: u32 },
    Flood { message: u32, count: u32 },
}

pub struct SimNode {
    pub me: Id,
    pub role: NodeRole,
    pub online: bool,
    /// Grows when it leaves, which invalidates earlier timers.
    pub epoch: u32,
    options: Options,
    dice: Dice,
    links: BTreeMap<Id, SimLink>,
    /// Peers being dialled, with the messages for them.
    dialling: BTreeMap<Id, Vec<Wire>>,

    pub peers: PeerTable,
    pub penalties: Penalties,
    discovery: Discovery,
    requests: Requests<u64>,
    pub lanes: Lanes,
    judge: MessageValidator,
    answering: Answering,
    greeter: Greeter,
    timers: Timers,
    lookups: Queries<u64>,
    pub store: KadStore,
    admission: ConnectionAdmission<ConnectionId>,
    callers: Callers,
    doubted: HashSet<PeerId>,

    gossip: Gossip,
    table: KadTable,
    queries: BTreeMap<u64, RunningLookup>,
    /// True from the time a lookup of the neighbourhood is scheduled until it ends.
    refreshing: bool,
    is_refreshed: bool,
    /// The depth of the first answer to a lookup.
    depths: BTreeMap<u64, u32>,
    /// Peers that gave a lookup its record.
    holders: BTreeMap<u64, BTreeSet<Id>>,
    /// Releases to publish once the lookup of the newest head has ended.
    publishing: BTreeMap<u64, (u32, oneshot::Receiver<Lookup>)>,
    gets: BTreeMap<u64, Get>,
    asked: BTreeMap<u64, OpenRequest>,
    /// The time of the next check of deadlines.
    deadline: Option<Time>,
    inbox: Inbox,
    /// The newest head of each package that it has seen, by the newest notice of it.
    catalogue: BTreeMap<u32, KnownState>,
    comparing: Comparing,
    /// Its own publishers; no other has been known for long enough.
    pub known: HashSet<PublisherId>,
    /// Peers that it was connected with when it left.
    remembered: Vec<Id>,
    /// Peers that it floods, and the bursts of each peer that floods it.
    flooded: BTreeSet<Id>,
    pub bursts: BTreeMap<Id, u32>,
    next: u64,
    /// The largest sizes of its queues of requests, waiting messages and connections.
    pub most: Most,
}

/// The largest size that each queue of a node ever had.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Most {
    pub connections: usize,
    pub waiting: usize,
    pub requests: usize,
    pub lookups: usize,
    pub peers: usize,
    pub lanes: usize,
    pub remembered: usize,
}

impl Most {
    pub fn join(&mut self, other: &Self) {
        self.connections = self.connections.max(other.connections);
        self.waiting = self.waiting.max(other.waiting);
        self.requests = self.requests.max(other.requests);
        self.lookups = self.lookups.max(other.lookups);
        self.peers = self.peers.max(other.peers);
        self.lanes = self.lanes.max(other.lanes);
        self.remembered = self.remembered.max(other.remembered);
    }
}

impl SimNode {
    pub fn new(
        me: Id,
        shared: &SharedObjects,
        options: &Options,
        figures: Figures,
        metrics: &Metrics,
    ) -> Option<Self> {
        let member = shared.members.get(me as usize)?;
        let (now, start) = (Time::default().stamp(), shared.base);
        let bearings = PlacingContext {
            atlas: Atlas::default(),
            here: None,
            judged: false,
        };
        let weights = Weights::default();
        Some(Self {
            me,
            role: member.role,
            online: false,
            epoch: 0,
            options: options.clone(),
            dice: Dice::of(options.seed, "node", u64::from(me)),
            links: BTreeMap::new(),
            dialling: BTreeMap::new(),
            peers: PeerTable::new(
                Vec::new(),
                weights,
                metrics.clone(),
                bearings,
                Classes::ByRange,
                now,
            ),
            penalties: Penalties::new(
                PenaltyLedger::new([], options.ban_time, now),
                metrics.clone(),
            ),
            discovery: Discovery::default(),
            requests: Requests::new(),
            lanes: Lanes::default(),
            judge: MessageValidator::new(member.peer, now),
            answering: Answering::new(),
            greeter: Greeter::default(),
            timers: Timers::new(GREET_EVERY, start),
            lookups: Queries::new(),
            store: KadStore::new(member.peer, Vec::new(), now),
            admission: ConnectionAdmission::new(Classes::ByRange, options.low_water),
            callers: Callers::default(),
            doubted: HashSet::new(),
            gossip: Gossip::new(figures),
            table: KadTable::new(shared.position(me)),
            queries: BTreeMap::new(),
            refreshing: false,
            is_refreshed: false,
            depths: BTreeMap::new(),
            holders: BTreeMap::new(),
            publishing: BTreeMap::new(),
            gets: BTreeMap::new(),
            asked: BTreeMap::new(),
            deadline: None,
            inbox: Inbox::default(),
            catalogue: BTreeMap::new(),
            comparing: Comparing::new(start, now),
            known: HashSet::new(),
            remembered: Vec::new(),
            flooded: BTreeSet::new(),
            bursts: BTreeMap::new(),
            next: 0,
            most: Most::default(),
        })
    }

    pub fn is_honest(&self) -> bool {
        self.role == NodeRole::Honest
    }

    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// Receives a message over a connection that still exists.
    pub fn take(&mut self, from: Id, wire: Wire, cx: &mut Scene<'_>) {
        let Some(peer) = cx.shared.peer(from) else {
            return;
        };
        match wire {
            Wire::Gossip(said) => self.on_gossip(from, said, cx),
            Wire::Flood(message, count) => self.on_flood(from, message, count, cx),
            Wire::Dht(said) => self.on_dht(from, said, cx),
            Wire::Ask(ask) => self.on_ask(from, ask, cx),
            Wire::Ping(sent) => return self.send(from, Wire::Pong(sent), cx),
            Wire::Pong(sent) => {
                let rtt = cx.now.since(sent);
                self.penalise(PenaltyEvent::Pong(peer, rtt, cx.instant()), cx);
            }
        }
        // Once a second is enough.
        if let Some(link) = self.links.get_mut(&from)
            && link.seen.after(Duration::from_secs(1)) <= cx.now
        {
            link.seen = cx.now;
            self.peers.is_there(&peer, cx.stamp(), cx.instant());
        }
    }

    /// Executes a step of the run's plan.
    pub fn told(&mut self, told: NodeOrder, cx: &mut Scene<'_>) {
        match told {
            NodeOrder::Publish { message } => self.publish(message, cx),
            NodeOrder::Get { package } => self.get(package, cx),
            NodeOrder::Shout { message } => drop(self.announce(message, cx)),
            NodeOrder::Flood { message, count } => {
                // The same peers each time: it comes back to those that disconnect it.
                if self.flooded.is_empty() {
                    self.flooded = self.links.keys().copied().take(FLOODED).collect();
                }
                for peer in self.flooded.clone() {
                    self.send_or_dial(peer, Wire::Flood(message, count), cx);
                }
            }
        }
    }

    pub fn woken(&mut self, alarm: Alarm, cx: &mut Scene<'_>) {
        match alarm {
            Alarm::Tick => {
                self.tick(cx);
                cx.out.push(SimEffect::After(TICK, Alarm::Tick));
            }
            Alarm::Heartbeat => self.beat(cx),
            Alarm::Ping => {
                let peers: Vec<Id> = self.links.keys().copied().collect();
                for peer in peers {
                    self.send(peer, Wire::Ping(cx.now), cx);
                }
                cx.out
                    .push(SimEffect::After(self.options.ping_every, Alarm::Ping));
            }
            Alarm::Refresh => self.refresh(cx),
            Alarm::Deadline => self.due(cx),
            Alarm::Joined => self.joined(cx),
            Alarm::Again => self.compare_again(cx),
            Alarm::Over(query) => self.over(query, cx),
            Alarm::Settled(handed) => self.settled(*handed, cx),
            Alarm::Answered {
                to,
                number,
                place,
                value,
            } => self.answered(to, number, place, value, cx),
        }
    }

    fn tick(&mut self, cx: &mut Scene<'_>) {
        self.dial_due(cx);
        for job in self.timers.due(cx.instant()) {
            self.work(job, cx);
        }
        self.note_most();
    }

    fn work(&mut self, job: Job, cx: &mut Scene<'_>) {
        let now = cx.stamp();
        match job {
            Job::Settle => {
                self.peers.settle(now);
                self.callers.replace(self.peers.callers(now));
            }
            Job::Flush => {
                self.store.tick(now);
                self.store.take_dirty();
                self.penalise(PenaltyEvent::Due, cx);
                self.penalties.take_unwritten();
            }
            Job::Trim => self.trim(cx),
            Job::GreetAll => self.greet(true, cx),
            Job::Greet => self.greet(false, cx),
            // Not observed in a simulation, or for a disk or a person.
            Job::FindTwins | Job::Remember | Job::Presence | Job::Health | Job::Measure => {}
        }
    }

    fn note_most(&mut self) {
        self.most.join(&Most {
            connections: self.links.len(),
            waiting: self.inbox.waiting(),
            requests: self.asked.len(),
            lookups: self.gets.len(),
            peers: self.peers.len(),
            lanes: self.lanes.len(),
            remembered: self.gossip.remembered(),
        });
    }

    /// Passes an event to the penalties and executes their orders.
    pub fn penalise(&mut self, event: PenaltyEvent, cx: &mut Scene<'_>) {
        // A hostile node bans nobody.
        if !self.is_honest() {
            return;
        }
        let orders = self.penalties.on(event, &mut self.peers, cx.stamp());
        for order in orders {
            self.carry_out(order, cx);
        }
    }

    fn observe(&mut self, peer: Id, outcome: Outcome, cx: &mut Scene<'_>) {
        if let Some(peer) = cx.shared.peer(peer) {
            self.penalise(PenaltyEvent::Observed(peer, outcome), cx);
        }
    }

    fn carry_out(&mut self, order: PenaltyAction, cx: &mut Scene<'_>) {
        match order {
            PenaltyAction::Disconnect(peer) => {
                let id = cx.shared.id(&peer).filter(|id| self.links.contains_key(id));
                cx.out.extend(id.map(SimEffect::Close));
            }
            PenaltyAction::Unroute(peer) => {
                if let Some(id) = cx.shared.id(&peer) {
                    self.table.remove(id, cx.shared.position(id));
                    cx.out.push(SimEffect::Banned(id));
                }
            }
            PenaltyAction::Admit(admission) => {
                self.admission.lists = admission;
                let mut beyond = self.admission.beyond();
                beyond.sort_unstable();
                let beyond = beyond.iter().filter_map(|peer| cx.shared.id(peer));
                cx.out.extend(beyond.map(SimEffect::Close));
            }
            PenaltyAction::Doubt(peers) => self.doubted = peers,
            PenaltyAction::Promote(peer) => {
                if !self.callers.of(peer).good {
                    self.callers.set(self.peers.caller(peer, cx.stamp()));
                }
            }
            PenaltyAction::Notice(..) => {}
        }
    }

    /// Returns a peer as a sender, with the doubts about its prefix.
    fn sender(&self, peer: PeerId) -> Sender {
        let caller = self.callers.of(peer);
        let doubtful = &self.admission.lists.doubtful;
        Sender {
            caller,
            doubtful: caller
                .prefix
                .is_some_and(|prefix| doubtful.contains(&prefix)),
        }
    }

    /// Returns the greeting for its peers.
    fn greeting(&self) -> Greeting {
        Greeting {
            packages: self.catalogue.len() as u64,
            ..Greeting::default()
        }
    }

    /// Takes a message of this kind from the peer's allowance; false if none is left.
    fn allowed(&mut self, peer: PeerId, lane: Lane, now: Timestamp) -> bool {
        let sender = self.sender(peer);
        self.lanes.take(&sender, lane, now)
    }

    /// Returns true if it has a peer as a connection, in the mesh or in the routing table.
    pub fn deals_with(&self, peer: Id) -> bool {
        self.links.contains_key(&peer)
            || self.gossip.mesh().contains(&peer)
            || self.table.peers().any(|(_, other)| other == peer)
    }

    /// Returns the number of its own running queries and its person's requests.
    pub fn lookups_open(&self) -> usize {
        let queries = self.queries.values();
        self.gets.len() + queries.filter(|query| query.is_asked()).count()
    }

    /// Returns the number of packages that it knows.
    #[cfg(test)]
    pub fn packages(&self) -> usize {
        self.catalogue.len()
    }

    /// Returns the failures that it has recorded of a connected peer.
    #[cfg(test)]
    pub fn failures(&self, of: Id, shared: &SharedObjects) -> f64 {
        let now = Time::default().stamp();
        let all = self
            .peers
            .candidates(crate::domain::reputation::SelectionMethod::Reputation, now);
        let of = shared.peer(of);
        let its = all.iter().filter(|one| Some(one.peer) == of);
        its.map(|one| one.failures).sum()
    }

    pub fn connections(&self) -> usize {
        self.links.len()
    }
}

/// Returns a node's peers by number, in an order that depends on nothing else.
fn numbers(peers: impl Iterator<Item = PeerId>, shared: &SharedObjects) -> Vec<Id> {
    let mut ids: Vec<Id> = peers.filter_map(|peer| shared.id(&peer)).collect();
    ids.sort_unstable();
    ids
}
