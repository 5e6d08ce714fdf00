//! The table of peers: what is known of each, and the snapshot that readers get.

use std::{
    collections::{BTreeMap, HashMap, HashSet, VecDeque},
    time::{Duration, Instant},
};

use libp2p::{Multiaddr, PeerId, swarm::ConnectionId};
use rand::Rng;

use crate::net::{
    ClockOffset,
    peers::connections::Held,
    peers::discovery::bare,
    peers::identity::{Start, Starts},
    peers::place::{Bearings, Whereabouts},
    query::protocol::Hello,
};
use crate::{
    bus::{Connection, Direction, PeerSnapshot, RTT_HISTORY, Traffic},
    domain::{
        announced::NodeOwner,
        faults::Sheet,
        name::PublisherId,
        places::Caller,
        prefix::{Classes, Prefix},
        record::{NodeClaim, Presence, Signed},
        reputation::{
            Basis, Candidate, Choices, Outcome, Population, Selection, Standing, Weights, score,
        },
        text::{fit, printable},
        time::Timestamp,
    },
    metrics::Metrics,
    store::StoredPeer,
};

/// Peers kept; the one unseen for longest makes room, unless it is connected.
pub const MAX_PEERS: usize = 2_000;
/// Peers of them that are known from a presence message only: names to sign one with cost nothing,
/// so they displace each other and nobody who was ever met.
const MAX_HEARD: usize = 500;
const MAX_ADDRESSES: usize = 16;
const MAX_PROTOCOLS: usize = 32;
/// Longest text a peer may say of itself, in columns.
const MAX_AGENT: usize = 40;
/// A round trip that was measured longer ago says nothing of now. Pings go every few seconds; a
/// link that is full answers some of them late.
const RTT_LIFE: Duration = Duration::from_secs(60);
/// Likewise for what a peer said in a hello, of which there is one a minute.
const HELLO_LIFE: Duration = Duration::from_secs(180);

struct Open {
    id: ConnectionId,
    address: String,
    direction: Direction,
    since: Timestamp,
}

/// What a connected peer said of itself, and when.
struct Said {
    at: Instant,
    packages: u64,
    /// Bytes that it may keep for others.
    room: u64,
    clock_offset_ms: i64,
}

/// What is known of one peer.
struct Peer {
    standing: Standing,
    addresses: Vec<Multiaddr>,
    open: Vec<Open>,
    /// Up to when connected time has been added to the standing.
    counted_until: Timestamp,
    agent: Option<String>,
    protocols: Vec<String>,
    /// It speaks this network's protocols.
    ours: bool,
    /// It was connected, here or before a restart, or this node's person said something about it.
    met: bool,
    rtts_ms: VecDeque<f32>,
    /// When the last of these was measured.
    measured: Option<Instant>,
    owner: Option<NodeOwner>,
    place: Whereabouts,
    /// Over a connection that is still there.
    said: Option<Said>,
    /// By which two nodes with its key are told from one that restarts, and when there were two.
    starts: Starts,
    twins: Option<Instant>,
    /// The last proof that it is there: it connected, answered, asked or passed something on.
    alive: Option<Instant>,
    in_mesh: bool,
    /// It left a question without an answer, and has answered neither another nor a ping since.
    silent: bool,
    gossip_score: Option<f64>,
    traffic: Traffic,
    /// What the ledger has about it.
    sheet: Option<Sheet>,
}

impl Peer {
    fn new(now: Timestamp) -> Self {
        Self {
            standing: Standing::new(now),
            addresses: Vec::new(),
            open: Vec::new(),
            counted_until: now,
            agent: None,
            protocols: Vec::new(),
            ours: false,
            met: true,
            rtts_ms: VecDeque::new(),
            measured: None,
            owner: None,
            place: Whereabouts::default(),
            said: None,
            starts: Starts::default(),
            twins: None,
            alive: None,
            in_mesh: false,
            silent: false,
            gossip_score: None,
            traffic: Traffic::default(),
            sheet: None,
        }
    }

    /// What it said lately.
    fn said(&self, now: Instant) -> Option<&Said> {
        self.said
            .as_ref()
            .filter(|said| now.saturating_duration_since(said.at) <= HELLO_LIFE)
    }

    /// Two nodes with its key said hello by turns, lately.
    fn are_two(&self, now: Instant) -> bool {
        self.twins
            .is_some_and(|at| now.saturating_duration_since(at) <= HELLO_LIFE)
    }

    /// The last round trips, if the newest is not too old to say something.
    fn rtts_ms(&self, now: Instant) -> impl DoubleEndedIterator<Item = f32> {
        let recent = |at: Instant| now.saturating_duration_since(at) <= RTT_LIFE;
        let known = self.measured.is_some_and(recent).then_some(&self.rtts_ms);
        known.into_iter().flatten().copied()
    }

    /// Of where it is connected from, or was last.
    fn group(&self, classes: Classes) -> Option<Prefix> {
        self.place
            .remote()
            .and_then(|ip| Prefix::classed(ip, classes))
    }
}

/// What the scores of all known peers are made of. Two thousand take 3.5 ms to compute, for which
/// no message should wait.
pub struct Standings {
    /// Each with the distance in km that earns a bonus.
    peers: Vec<(Standing, Option<f64>)>,
    population: Population,
    weights: Weights,
    at: Timestamp,
}

impl Standings {
    /// The scores, 0 to 1.
    pub fn scores(&self) -> Vec<f64> {
        let one = |(standing, km): &(Standing, Option<f64>)| {
            score(
                &Basis::of(standing, &self.population, *km, self.at),
                &self.weights,
            )
            .total
        };
        self.peers.iter().map(one).collect()
    }
}

/// The connected peers of this network, taken together.
#[derive(Default)]
pub struct Here {
    /// Connections by transport.
    pub tcp: usize,
    pub quic: usize,
    /// Those that gossip scores below 0.
    pub negative: usize,
    /// The newest round trip of each that was measured.
    pub rtts_ms: Vec<f64>,
    pub agents: BTreeMap<String, usize>,
}

pub struct PeerTable {
    peers: HashMap<PeerId, Peer>,
    weights: Weights,
    metrics: Metrics,
    pub bearings: Bearings,
    /// Places could be looked up when the peers were settled last.
    placed: bool,
    population: Population,
    choices: Choices,
    dirty: HashSet<PeerId>,
    gone: Vec<PeerId>,
    /// The rule by which addresses are public.
    classes: Classes,
    /// Those that were never met.
    heard: HashSet<PeerId>,
}

impl PeerTable {
    pub fn new(
        known: Vec<StoredPeer>,
        weights: Weights,
        metrics: Metrics,
        bearings: Bearings,
        classes: Classes,
        now: Timestamp,
    ) -> Self {
        let peers = known
            .into_iter()
            .map(|known| {
                let mut peer = Peer {
                    standing: known.standing,
                    addresses: known.addresses,
                    ..Peer::new(now)
                };
                peer.place.lists(&peer.addresses);
                (known.id, peer)
            })
            .collect();
        Self {
            peers,
            weights,
            metrics,
            bearings,
            placed: false,
            population: Population::default(),
            choices: Choices::default(),
            dirty: HashSet::new(),
            gone: Vec::new(),
            classes,
            heard: HashSet::new(),
        }
    }

    fn entry(&mut self, id: PeerId, now: Timestamp) -> &mut Peer {
        if !self.peers.contains_key(&id) && self.peers.len() >= MAX_PEERS {
            self.forget_one(|_| true);
        }
        self.dirty.insert(id);
        let peer = self.peers.entry(id).or_insert_with(|| Peer::new(now));
        if !std::mem::replace(&mut peer.met, true) {
            self.heard.remove(&id);
        }
        peer
    }

    /// As [`Self::entry`] for a peer that was only heard of.
    fn heard(&mut self, id: PeerId, now: Timestamp) -> Option<&mut Peer> {
        if !self.peers.contains_key(&id) {
            if self.heard.len() >= MAX_HEARD {
                self.forget_one(|peer| !peer.met);
            } else if self.peers.len() >= MAX_PEERS {
                // Whoever was met leaves no room.
                return None;
            }
            self.peers.insert(
                id,
                Peer {
                    met: false,
                    ..Peer::new(now)
                },
            );
            self.heard.insert(id);
        }
        self.dirty.insert(id);
        self.peers.get_mut(&id)
    }

    /// Forgets the peer that was unseen for longest: one that was never met before all others.
    fn forget_one(&mut self, may: impl Fn(&Peer) -> bool) {
        let oldest = self
            .peers
            .iter()
            .filter(|(_, peer)| peer.open.is_empty() && may(peer))
            .min_by_key(|(_, peer)| (peer.met, peer.sheet.is_some(), peer.standing.last_seen))
            .map(|(id, _)| *id);
        if let Some(oldest) = oldest {
            self.forget(&oldest);
        }
    }

    pub fn forget(&mut self, id: &PeerId) {
        if self.peers.remove(id).is_some() {
            self.heard.remove(id);
            self.dirty.remove(id);
            self.gone.push(*id);
        }
    }

    pub fn len(&self) -> usize {
        self.peers.len()
    }

    pub fn connected(
        &mut self,
        id: PeerId,
        conn: ConnectionId,
        address: &Multiaddr,
        outbound: bool,
        now: Timestamp,
    ) {
        let peer = self.entry(id, now);
        if peer.open.is_empty() {
            peer.counted_until = now;
        }
        peer.place.connected(address, peer.open.is_empty());
        let direction = if outbound {
            Direction::Outbound
        } else {
            Direction::Inbound
        };
        peer.open.push(Open {
            id: conn,
            address: address.to_string(),
            direction,
            since: now,
        });
        peer.standing.last_seen = now;
        peer.alive = Some(Instant::now());
        if outbound && !peer.addresses.contains(address) && peer.addresses.len() < MAX_ADDRESSES {
            peer.addresses.insert(0, address.clone());
        }
    }

    /// A connection closed; true when it was the last one.
    pub fn disconnected(&mut self, id: &PeerId, conn: ConnectionId, now: Timestamp) -> bool {
        let Some(peer) = self.peers.get_mut(id) else {
            return true;
        };
        peer.open.retain(|open| open.id != conn);
        let last = peer.open.is_empty();
        if last {
            count_uptime(peer, now);
            if peer.ours {
                peer.standing.observe(Outcome::ConnectionLost, now);
            }
            (peer.in_mesh, peer.silent, peer.gossip_score) = (false, false, None);
            // What it said and how far it was holds for a connection.
            (peer.said, peer.alive, peer.measured) = (None, None, None);
            peer.rtts_ms.clear();
        }
        self.dirty.insert(*id);
        last
    }

    pub fn identified(
        &mut self,
        id: PeerId,
        agent: &str,
        addresses: Vec<Multiaddr>,
        protocols: Vec<String>,
        now: Timestamp,
    ) {
        let peer = self.entry(id, now);
        peer.agent = Some(fit(&printable(agent), MAX_AGENT));
        peer.addresses = addresses.into_iter().take(MAX_ADDRESSES).collect();
        peer.place.lists(&peer.addresses);
        peer.protocols = protocols
            .iter()
            .take(MAX_PROTOCOLS)
            .map(|name| fit(&printable(name), 80))
            .collect();
        peer.ours = true;
    }

    pub fn is_ours(&self, id: &PeerId) -> bool {
        self.peers
            .get(id)
            .is_some_and(|peer| peer.ours && !peer.open.is_empty())
    }

    pub fn is_connected(&self, id: &PeerId) -> bool {
        self.peers.get(id).is_some_and(|peer| !peer.open.is_empty())
    }

    /// Whether this side opened the oldest connection: that side says hello.
    pub fn is_outbound(&self, id: &PeerId) -> bool {
        let oldest = self.peers.get(id).and_then(|peer| peer.open.first());
        oldest.is_some_and(|open| open.direction == Direction::Outbound)
    }

    /// When a peer was last connected; now, for one that is.
    pub fn last_seen(&self, id: &PeerId, now: Timestamp) -> Option<Timestamp> {
        self.peers.get(id).map(|peer| {
            if peer.open.is_empty() {
                peer.standing.last_seen
            } else {
                now
            }
        })
    }

    /// Connected peers of this network.
    pub fn ours(&self) -> impl Iterator<Item = PeerId> {
        self.peers
            .iter()
            .filter(|(_, peer)| peer.ours && !peer.open.is_empty())
            .map(|(id, _)| *id)
    }

    /// Whether it has said hello in its turn.
    pub fn has_answered(&self, id: &PeerId) -> bool {
        self.peers.get(id).is_some_and(|peer| peer.said.is_some())
    }

    /// Connected peers of this network, and how many packages each says it has.
    pub fn catalogues(&self, now: Instant) -> Vec<(PeerId, u64)> {
        let here = self
            .peers
            .iter()
            .filter(|(_, peer)| peer.ours && !peer.open.is_empty());
        here.filter_map(|(id, peer)| Some((*id, peer.said(now)?.packages)))
            .collect()
    }

    /// Connected peers of this network, and how many bytes each says it may keep for others.
    pub fn rooms(&self, now: Instant) -> Vec<(PeerId, u64)> {
        let here = self
            .peers
            .iter()
            .filter(|(_, peer)| peer.ours && !peer.open.is_empty());
        here.map(|(id, peer)| (*id, peer.said(now).map_or(0, |said| said.room)))
            .collect()
    }

    /// Who opened the connection, for each connected peer of this network.
    pub fn directions(&self) -> impl Iterator<Item = Direction> {
        self.peers
            .values()
            .filter(|peer| peer.ours)
            .filter_map(|peer| peer.open.first())
            .map(|open| open.direction)
    }

    /// The connected peers of this network, taken together.
    pub fn here(&self, now: Instant) -> Here {
        /// Programs that are told apart.
        const AGENTS: usize = 6;
        let mut here = Here::default();
        for peer in self.peers.values().filter(|peer| peer.ours) {
            let Some(open) = peer.open.first() else {
                continue;
            };
            if open.address.contains("/quic") {
                here.quic += 1;
            } else {
                here.tcp += 1;
            }
            here.negative += usize::from(peer.gossip_score.is_some_and(|score| score < 0.0));
            here.rtts_ms
                .extend(peer.rtts_ms(now).next_back().map(f64::from));
            let agent = peer.agent.as_deref().unwrap_or_default();
            let known = here.agents.contains_key(agent) || here.agents.len() < AGENTS;
            *here
                .agents
                .entry(if known { agent } else { "others" }.to_owned())
                .or_default() += 1;
        }
        here
    }

    /// Connected peers that this node dialled.
    pub fn outbound_count(&self) -> usize {
        let is_outbound = |peer: &&Peer| {
            peer.open
                .first()
                .is_some_and(|open| open.direction == Direction::Outbound)
        };
        self.peers.values().filter(is_outbound).count()
    }

    /// Whether a peer has been good to ask, or a person protects it.
    fn is_good(&self, peer: &Peer, now: Timestamp) -> bool {
        let protected = peer.sheet.as_ref().is_some_and(|sheet| sheet.protected);
        protected || self.basis(peer, now).is_good()
    }

    /// A peer as one that wants a place.
    pub fn caller(&self, id: PeerId, now: Timestamp) -> Caller {
        let peer = self.peers.get(&id);
        Caller {
            peer: id,
            good: peer.is_some_and(|peer| self.is_good(peer, now)),
            prefix: peer.and_then(|peer| peer.group(self.classes)),
        }
    }

    /// All that are connected.
    pub fn callers(&self, now: Timestamp) -> HashMap<PeerId, Caller> {
        let here = self.peers.iter().filter(|(_, peer)| !peer.open.is_empty());
        here.map(|(id, _)| (*id, self.caller(*id, now))).collect()
    }

    /// Those that have been good to ask, connected or not.
    pub fn good(&self, now: Timestamp) -> impl Iterator<Item = PeerId> {
        self.peers
            .iter()
            .filter(move |(_, peer)| self.is_good(peer, now))
            .map(|(id, _)| *id)
    }

    pub fn connected_count(&self) -> usize {
        self.peers
            .values()
            .filter(|peer| !peer.open.is_empty())
            .count()
    }

    pub fn observe(&mut self, id: PeerId, outcome: Outcome, now: Timestamp) {
        self.metrics.observed(outcome);
        self.entry(id, now).standing.observe(outcome, now);
    }

    /// Verified bytes of content that it gave, and how long it took.
    pub fn gave(&mut self, id: PeerId, bytes: u64, took: Duration, now: Timestamp) {
        let peer = self.entry(id, now);
        peer.traffic.content_in = peer.traffic.content_in.saturating_add(bytes);
        peer.standing.observe_content(bytes, took, now);
    }

    /// Counts bytes that went between a peer and this node.
    pub fn traffic(&mut self, id: &PeerId, count: impl FnOnce(&mut Traffic)) {
        if let Some(peer) = self.peers.get_mut(id) {
            count(&mut peer.traffic);
        }
    }

    /// It took so long to answer. True when that is slow beside the others.
    pub fn answered(&mut self, id: &PeerId, took: Duration) -> bool {
        if let Some(peer) = self.peers.get_mut(id) {
            peer.standing.observe_answer(took);
        }
        self.population.is_slow(took)
    }

    /// It left a question without an answer.
    pub fn silent(&mut self, id: &PeerId) {
        if let Some(peer) = self.peers.get_mut(id) {
            peer.silent = true;
        }
    }

    /// Something came from it.
    pub fn is_there(&mut self, id: &PeerId, now: Timestamp, at: Instant) {
        if let Some(peer) = self.peers.get_mut(id).filter(|peer| !peer.open.is_empty()) {
            (peer.alive, peer.standing.last_seen) = (Some(at), now);
        }
    }

    /// Whether it is connected, and something has come from it since.
    pub fn is_alive_since(&self, id: &PeerId, since: Instant) -> bool {
        self.peers
            .get(id)
            .and_then(|peer| peer.alive)
            .is_some_and(|at| at >= since)
    }

    /// It answered something.
    pub fn spoke(&mut self, id: &PeerId) {
        if let Some(peer) = self.peers.get_mut(id) {
            peer.silent = false;
        }
    }

    /// What the ledger has about a peer, for whoever looks at it.
    pub fn set_sheet(&mut self, id: PeerId, sheet: Option<Sheet>, now: Timestamp) {
        // Nobody is made known by having nothing against it.
        if sheet.is_some() || self.peers.contains_key(&id) {
            self.entry(id, now).sheet = sheet;
        }
    }

    /// The public prefix it is connected from.
    pub fn group(&self, id: &PeerId) -> Option<Prefix> {
        self.peers.get(id)?.group(self.classes)
    }

    /// A peer answered a ping. True when it has left a question without an answer since the ping
    /// before, and answered none: however many there were, all of them may be one interruption.
    pub fn round_trip(&mut self, id: PeerId, rtt: Duration, now: Timestamp) -> bool {
        let peer = self.entry(id, now);
        peer.standing.observe_rtt(rtt, now);
        peer.place.round_trip(rtt);
        if peer.rtts_ms.len() >= RTT_HISTORY {
            peer.rtts_ms.pop_front();
        }
        peer.rtts_ms.push_back(rtt.as_secs_f32() * 1_000.0);
        peer.measured = Some(Instant::now());
        std::mem::take(&mut peer.silent)
    }

    /// Takes what a peer says of itself in a hello.
    pub fn hello(&mut self, id: PeerId, hello: &Hello, now: Timestamp) -> Start {
        let owner = hello
            .claim
            .as_ref()
            .and_then(|claim| Signed::<NodeClaim>::verify(claim).ok());
        let owner = owner.filter(|claim| claim.node == id && claim.expires > now);
        let peer = self.entry(id, now);
        if !peer.open.is_empty() {
            let clock_offset_ms = now.offset_ms(hello.at);
            peer.said = Some(Said {
                at: Instant::now(),
                packages: hello.packages,
                room: hello.room,
                clock_offset_ms,
            });
        }
        peer.owner = owner.map(|claim| NodeOwner {
            publisher: claim.signer(),
            handle: claim.handle.clone(),
        });
        peer.standing.last_seen = now;
        peer.place.hello(hello.location.clone(), hello.at, now);
        let start = peer.starts.said(hello.start);
        if start == Start::Twins {
            peer.twins = Some(Instant::now());
        }
        start
    }

    /// Its connections but one.
    pub fn other_connections(&self, id: &PeerId, but: ConnectionId) -> Vec<ConnectionId> {
        let open = self
            .peers
            .get(id)
            .map(|peer| peer.open.as_slice())
            .unwrap_or_default();
        open.iter()
            .map(|open| open.id)
            .filter(|open| *open != but)
            .collect()
    }

    /// Whether two nodes have its key.
    pub fn are_two(&self, id: &PeerId) -> bool {
        self.peers
            .get(id)
            .is_some_and(|peer| peer.are_two(Instant::now()))
    }

    /// Takes a presence message that `id` itself has signed.
    pub fn presence(&mut self, id: PeerId, presence: Presence, now: Timestamp) {
        // Nobody is made known by having no place.
        if (presence.location.is_some() || self.peers.contains_key(&id))
            && let Some(peer) = self.heard(id, now)
        {
            peer.place.presence(presence);
        }
    }

    /// Whether it says itself that it is at an address.
    pub fn lists(&self, id: &PeerId, address: &Multiaddr) -> bool {
        let sought = bare(address);
        self.peers
            .get(id)
            .is_some_and(|peer| peer.addresses.iter().any(|one| bare(one) == sought))
    }

    pub fn set_mesh(&mut self, mesh: &HashSet<PeerId>) {
        for (id, peer) in &mut self.peers {
            let in_mesh = mesh.contains(id);
            if peer.in_mesh != in_mesh {
                peer.in_mesh = in_mesh;
                self.dirty.insert(*id);
            }
        }
    }

    /// What gossip itself makes of the connected peers.
    pub fn set_gossip_scores(&mut self, score: impl Fn(&PeerId) -> Option<f64>) {
        for (id, peer) in self
            .peers
            .iter_mut()
            .filter(|(_, peer)| !peer.open.is_empty())
        {
            // To a tenth: time in the mesh moves it by less than that every second.
            peer.gossip_score = score(id).map(|score| (score * 10.0).round() / 10.0);
        }
    }

    /// Adds connected time to the standings, and takes the population's median round trip anew.
    pub fn settle(&mut self, now: Timestamp) {
        for peer in self.peers.values_mut().filter(|peer| !peer.open.is_empty()) {
            count_uptime(peer, now);
        }
        let here = self.peers.values().filter(|peer| !peer.open.is_empty());
        self.population = Population::of(here.map(|peer| &peer.standing));
        // Scores move with time and with the median.
        self.dirty.extend(
            self.peers
                .iter()
                .filter(|(_, peer)| !peer.open.is_empty())
                .map(|(id, _)| *id),
        );
        if !self.placed && self.bearings.atlas.is_ready() {
            self.placed = true;
            self.touch_all();
        }
    }

    fn basis(&self, peer: &Peer, now: Timestamp) -> Basis {
        Basis::of(
            &current(peer, now),
            &self.population,
            self.bonus_km(peer, now),
            now,
        )
    }

    fn score(&self, peer: &Peer, now: Timestamp) -> f64 {
        score(&self.basis(peer, now), &self.weights).total
    }

    pub fn standings(&self, now: Timestamp) -> Standings {
        let peers = self
            .peers
            .values()
            .map(|peer| (current(peer, now), self.bonus_km(peer, now)))
            .collect();
        Standings {
            peers,
            population: self.population,
            weights: self.weights,
            at: now,
        }
    }

    fn bonus_km(&self, peer: &Peer, now: Timestamp) -> Option<f64> {
        peer.place.placed(&self.bearings, now).bonus_km()
    }

    /// Connected peers of this network that can be asked, with their scores.
    pub fn candidates(&self, selection: Selection, now: Timestamp) -> Vec<Candidate> {
        self.peers
            .iter()
            .filter(|(_, peer)| peer.ours && !peer.open.is_empty())
            .map(|(id, peer)| {
                let basis = self.basis(peer, now);
                Candidate {
                    peer: *id,
                    score: selection.score(&basis, &self.weights),
                    successes: basis.successes,
                    failures: basis.failures,
                    response: basis.response(),
                    share: self.choices.share(id),
                    group: peer.group(self.classes),
                }
            })
            .collect()
    }

    /// These were chosen to be asked.
    pub fn chosen(&mut self, peers: &[PeerId]) {
        self.choices.note(peers);
    }

    /// Connections, for the plan that trims them.
    pub fn held(&self, is_protected: impl Fn(&PeerId) -> bool, now: Timestamp) -> Vec<Held> {
        self.peers
            .iter()
            .filter_map(|(id, peer)| {
                let oldest = peer.open.first()?;
                Some(Held {
                    peer: *id,
                    age: now.since(oldest.since),
                    score: self.score(peer, now),
                    protected: is_protected(id),
                    outbound: oldest.direction == Direction::Outbound,
                    group: peer.group(self.classes),
                    host: peer.place.remote(),
                })
            })
            .collect()
    }

    /// Median of our clock minus the peers', with two of them at least: one may be the one that is
    /// wrong.
    pub fn clock_offset(&self, now: Instant) -> Option<ClockOffset> {
        let said = self.peers.values().filter_map(|peer| peer.said(now));
        let mut offsets: Vec<i64> = said.map(|said| said.clock_offset_ms).collect();
        offsets.sort_unstable();
        let ms = *offsets
            .get(offsets.len() / 2)
            .filter(|_| offsets.len() >= 2)?;
        Some(ClockOffset {
            ms,
            peers: offsets.len(),
        })
    }

    /// Snapshots of what changed since the last call, and the peers forgotten.
    pub fn take_changes(&mut self, now: Timestamp) -> (Vec<PeerSnapshot>, Vec<PeerId>) {
        let dirty = std::mem::take(&mut self.dirty);
        let changed = dirty
            .iter()
            .filter_map(|id| Some(self.snapshot(*id, self.peers.get(id)?, now)))
            .collect();
        (changed, std::mem::take(&mut self.gone))
    }

    /// Connected peers of this network with their scores, in the order in which to ask them; those
    /// of `publisher` before all others.
    pub fn sources(
        &self,
        selection: Selection,
        publisher: Option<&PublisherId>,
        now: Timestamp,
        rng: &mut impl Rng,
    ) -> Vec<(PeerId, f64)> {
        let candidates = self.candidates(selection, now);
        let scores: HashMap<PeerId, f64> =
            candidates.iter().map(|one| (one.peer, one.score)).collect();
        let mut sources = selection.order(&candidates, rng);
        let owner = |id: &PeerId| Some(&self.peers.get(id)?.owner.as_ref()?.publisher);
        sources.sort_by_key(|id| publisher.is_none() || owner(id) != publisher);
        sources
            .into_iter()
            .filter_map(|id| Some((id, *scores.get(&id)?)))
            .collect()
    }

    /// Everybody that is known.
    pub fn snapshots(&self, now: Timestamp) -> Vec<PeerSnapshot> {
        self.peers
            .iter()
            .map(|(id, peer)| self.snapshot(*id, peer, now))
            .collect()
    }

    /// Makes the next changes contain everybody: for a reader that is new.
    pub fn touch_all(&mut self) {
        self.dirty.extend(self.peers.keys().copied());
    }

    fn snapshot(&self, id: PeerId, peer: &Peer, now: Timestamp) -> PeerSnapshot {
        let connection = peer.open.first().map(|open| Connection {
            address: open.address.clone(),
            direction: open.direction,
            since: open.since,
        });
        let basis = self.basis(peer, now);
        let placed = peer.place.placed(&self.bearings, now);
        let at = Instant::now();
        PeerSnapshot {
            id,
            owner: peer.owner.clone(),
            agent: peer.agent.clone(),
            connection,
            addresses: peer.addresses.iter().map(ToString::to_string).collect(),
            protocols: peer.protocols.clone(),
            rtts_ms: peer.rtts_ms(at).collect(),
            score: score(&basis, &self.weights),
            basis,
            location: placed.location.cloned(),
            distance_km: placed.distance_km,
            provenance: Some(placed.provenance),
            packages: peer.said(at).map(|said| said.packages),
            room: peer.said(at).map_or(0, |said| said.room),
            first_seen: peer.standing.first_seen,
            last_seen: peer.standing.last_seen,
            evidence: peer.standing.recent.iter().copied().collect(),
            in_mesh: peer.in_mesh,
            gossip_score: peer.gossip_score,
            traffic: peer.traffic,
            sheet: peer.sheet.clone().map(Box::new),
        }
    }

    /// What is worth remembering: peers of this network that can be dialled.
    pub fn to_store(&self) -> Vec<StoredPeer> {
        self.peers
            .iter()
            .filter(|(_, peer)| !peer.addresses.is_empty())
            .map(|(id, peer)| StoredPeer {
                id: *id,
                addresses: peer.addresses.clone(),
                standing: peer.standing.clone(),
            })
            .collect()
    }
}

/// What a peer's score is made of: it is seen for as long as it is connected. Without the evidence,
/// which is for eyes.
fn current(peer: &Peer, now: Timestamp) -> Standing {
    Standing {
        last_seen: if peer.open.is_empty() {
            peer.standing.last_seen
        } else {
            now
        },
        recent: VecDeque::new(),
        ..peer.standing
    }
}

fn count_uptime(peer: &mut Peer, now: Timestamp) {
    peer.standing.connected += now.since(peer.counted_until);
    peer.counted_until = now;
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{domain::geo::GeoLocation, geoip::Atlas};

    const NOW: Timestamp = Timestamp(1_700_000_000_000);

    fn table(known: usize) -> (PeerTable, Vec<PeerId>) {
        let known: Vec<StoredPeer> = (0..known)
            .map(|n| StoredPeer {
                id: PeerId::random(),
                addresses: vec!["/ip4/127.0.0.1/tcp/1".parse().unwrap()],
                standing: Standing::new(NOW.before(Duration::from_secs(n as u64))),
            })
            .collect();
        let ids = known.iter().map(|peer| peer.id).collect();
        let bearings = Bearings {
            atlas: Atlas::default(),
            here: None,
            judged: true,
        };
        (
            PeerTable::new(
                known,
                Weights::default(),
                Metrics::default(),
                bearings,
                Classes::default(),
                NOW,
            ),
            ids,
        )
    }

    fn presence(at: Timestamp) -> Presence {
        Presence {
            at,
            location: GeoLocation::new(48.9, 2.4, None),
        }
    }

    #[test]
    fn presence_messages_of_fresh_names_push_nobody_out_that_was_met() {
        for known in [MAX_PEERS, MAX_PEERS - MAX_HEARD - 1, 10] {
            let (mut table, ids) = table(known);
            let connected = PeerId::random();
            for n in 0..3 * MAX_PEERS as u64 {
                table.presence(
                    PeerId::random(),
                    presence(NOW),
                    NOW.after(Duration::from_secs(n)),
                );
                if n == 5 {
                    let address = "/ip4/127.0.0.1/tcp/1".parse().unwrap();
                    table.connected(
                        connected,
                        ConnectionId::new_unchecked(1),
                        &address,
                        false,
                        NOW,
                    );
                }
            }
            let lost = ids
                .iter()
                .filter(|id| !table.peers.contains_key(id))
                .count();
            assert_eq!(
                lost,
                usize::from(known == MAX_PEERS),
                "one made room for a peer that connected"
            );
            assert!(table.peers.contains_key(&connected) && table.len() <= MAX_PEERS);
            assert_eq!(
                table.to_store().len(),
                known - lost,
                "these are remembered after a restart"
            );
            assert!(table.heard.len() <= MAX_HEARD);
        }
    }

    #[test]
    fn whoever_was_heard_of_and_then_connects_is_met() {
        let (mut table, _) = table(0);
        let peer = PeerId::random();
        table.presence(peer, presence(NOW), NOW);
        assert_eq!(table.heard.len(), 1);
        table.observe(peer, Outcome::RecordValid, NOW);
        assert!(
            table.heard.is_empty()
                && table.peers[&peer]
                    .place
                    .placed(&table.bearings, NOW)
                    .location
                    .is_some()
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]
        #[test]
        fn the_table_is_bounded_and_knows_whom_it_only_heard_of(
            steps in prop::collection::vec((0usize..40, 0u8..4), 1..300),
        ) {
            let (mut table, _) = table(MAX_PEERS - 20);
            let who: Vec<PeerId> = (0..40).map(|_| PeerId::random()).collect();
            let address: Multiaddr = "/ip4/127.0.0.1/tcp/1".parse().unwrap();
            for (n, (at, what)) in steps.into_iter().enumerate() {
                let now = NOW.after(Duration::from_secs(n as u64));
                match what {
                    0 => table.connected(who[at], ConnectionId::new_unchecked(n), &address, true, now),
                    1 => table.forget(&who[at]),
                    _ => table.presence(who[at], presence(now), now),
                }
                let heard: HashSet<PeerId> =
                    table.peers.iter().filter(|(_, peer)| !peer.met).map(|(id, _)| *id).collect();
                prop_assert_eq!(&heard, &table.heard);
                prop_assert!(table.len() <= MAX_PEERS + 40 && heard.len() <= MAX_HEARD);
            }
        }
    }
}
