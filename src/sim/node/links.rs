//! Connections: dialling, admission, trimming, and hellos.

use std::{collections::HashSet, time::Duration};

use libp2p::PeerId;

use super::{Alarm, Scene, SimEffect, SimNode, Wire, compare::Comparing, numbers};
use crate::{
    net::{
        machines::{ConnectionId, K, Origin, REDIALLED, TICK, has_room, most_connections, to_trim},
        protocol::Hello,
    },
    sim::{Id, time::Time},
};

/// Time to establish a connection, as a multiple of one way: TCP's handshake, protocol negotiation,
/// Noise and Yamux.
const HANDSHAKE: u32 = 6;
/// Further time until both sides know each other's protocols.
const IDENTIFY: u32 = 2;

/// Largest random delay on top of the travel time, in microseconds.
const JITTER: u64 = 2_000;

/// A connection with a peer.
#[derive(Clone, Copy, Debug)]
pub struct SimLink {
    pub number: u32,
    pub outbound: bool,
    /// Travel time in microseconds.
    pub one_way: u64,
    /// The arrival time of the last message sent; later messages arrive later.
    pub last: Time,
    /// The last time at which the peer table was told that something arrived.
    pub seen: Time,
}

impl SimNode {
    /// Starts the node, or lets it return, with these known addresses.
    pub fn enter(&mut self, bootstraps: &[Id], cx: &mut Scene<'_>) {
        self.online = true;
        for id in bootstraps {
            if let Some(member) = cx.shared.members.get(*id as usize) {
                let address = member.address.clone();
                self.discovery
                    .add_now(member.peer, address, Origin::Bootstrap, cx.instant());
            }
        }
        for id in std::mem::take(&mut self.remembered) {
            if let Some(member) = cx.shared.members.get(id as usize) {
                let address = member.address.clone();
                self.discovery
                    .add(member.peer, address, Origin::Remembered, cx.instant());
            }
        }
        // So that not all nodes run in step.
        let late = |dice: &mut crate::sim::dice::Dice, most: Duration| most.mul_f64(dice.share());
        let figures = self.gossip_figures();
        let tick = late(&mut self.dice, TICK);
        let beat = figures.first_heartbeat + late(&mut self.dice, figures.heartbeat);
        let ping = late(&mut self.dice, self.options.ping_every);
        cx.out.push(SimEffect::After(tick, Alarm::Tick));
        cx.out.push(SimEffect::After(beat, Alarm::Heartbeat));
        cx.out.push(SimEffect::After(ping, Alarm::Ping));
        self.dial_due(cx);
    }

    /// Stops the node: running work is lost, and its stored knowledge remains.
    pub fn leave(&mut self, cx: &mut Scene<'_>) {
        let peers: Vec<Id> = self.links.keys().copied().collect();
        self.remembered = peers.iter().copied().take(REDIALLED).collect();
        cx.out.extend(peers.into_iter().map(SimEffect::Close));
        self.online = false;
        self.epoch += 1;
        self.dialling.clear();
        self.queries.clear();
        self.gets.clear();
        self.deadline = None;
        self.abandon(cx);
        // It starts with an empty schedule, as a process does.
        self.comparing = Comparing::new(cx.instant(), cx.stamp());
    }

    pub fn link(&self, peer: Id) -> Option<SimLink> {
        self.links.get(&peer).copied()
    }

    /// Sends a message to a connected peer.
    pub fn send(&mut self, to: Id, wire: Wire, cx: &mut Scene<'_>) {
        if let Some(link) = self.links.get_mut(&to) {
            let at = cx.now.plus(link.one_way + self.dice.draw() % JITTER);
            link.last = link.last.max(at);
            let (link, at) = (link.number, link.last);
            cx.out.push(SimEffect::Send { to, link, at, wire });
        }
    }

    /// Sends a message to a peer, and dials it if necessary.
    pub fn send_or_dial(&mut self, to: Id, wire: Wire, cx: &mut Scene<'_>) {
        if self.links.contains_key(&to) {
            return self.send(to, wire, cx);
        }
        if let Some(waiting) = self.dialling.get_mut(&to) {
            return waiting.push(wire);
        }
        self.dialling.insert(to, vec![wire]);
        cx.out.push(SimEffect::Dial(to));
    }

    /// Sends the messages that waited for a connection.
    pub fn flush(&mut self, peer: Id, cx: &mut Scene<'_>) {
        for wire in self.dialling.remove(&peer).unwrap_or_default() {
            self.send(peer, wire, cx);
        }
    }

    /// Dials peers that the node was told of.
    pub fn told_of(&mut self, found: &[Id], cx: &mut Scene<'_>) {
        for peer in found {
            if !self.links.contains_key(peer) && !self.dialling.contains_key(peer) {
                self.dialling.insert(*peer, Vec::new());
                cx.out.push(SimEffect::Dial(*peer));
            }
        }
    }

    pub fn dial_due(&mut self, cx: &mut Scene<'_>) {
        let (peers, ledger, at) = (&self.peers, self.penalties.ledger(), cx.stamp());
        let outbound = self.links.values().filter(|link| link.outbound).count();
        let connected = (self.links.len(), outbound);
        let is_done = |peer: &PeerId| peers.is_connected(peer) || ledger.ban(peer, at).is_some();
        let due = self.discovery.due(
            cx.instant(),
            connected,
            self.options.low_water,
            is_done,
            &mut self.dice,
        );
        for (peer, ..) in due {
            let id = cx
                .shared
                .id(&peer)
                .filter(|id| !self.dialling.contains_key(id));
            if let Some(id) = id {
                self.dialling.insert(id, Vec::new());
                cx.out.push(SimEffect::Dial(id));
            }
        }
    }

    /// Decides whether an incoming connection is admitted.
    pub fn lets_in(&mut self, number: u32, from: Id, cx: &Scene<'_>) -> bool {
        let Some(member) = cx.shared.members.get(from as usize) else {
            return false;
        };
        let id = ConnectionId::new_unchecked(number as usize);
        let (most, from_outside) = most_connections(self.options.high_water);
        let inbound = self.links.values().filter(|link| !link.outbound).count();
        let let_in = self.online
            && self.links.len() < most as usize
            && inbound < from_outside as usize
            && self.admission.admit_address(id, member.ip).is_ok()
            && self
                .admission
                .admit_peer(id, member.peer, Some(member.ip))
                .is_ok();
        if !let_in {
            self.admission.leave(&id);
        }
        let_in
    }

    /// Decides whether it keeps a connection that it dialled itself.
    pub fn goes_on(&mut self, number: u32, to: Id, cx: &Scene<'_>) -> bool {
        let Some(member) = cx.shared.members.get(to as usize) else {
            return false;
        };
        let id = ConnectionId::new_unchecked(number as usize);
        let (most, _) = most_connections(self.options.high_water);
        self.online
            && self.links.len() < most as usize
            && self
                .admission
                .admit_peer(id, member.peer, Some(member.ip))
                .is_ok()
    }

    /// Handles that the other side closed a connection that was admitted here.
    pub fn given_up(&mut self, number: u32) {
        self.admission
            .leave(&ConnectionId::new_unchecked(number as usize));
    }

    pub fn connected(&mut self, peer: Id, link: SimLink, cx: &mut Scene<'_>) {
        let Some(member) = cx.shared.members.get(peer as usize) else {
            return;
        };
        let (id, now) = (member.peer, cx.stamp());
        let conn = ConnectionId::new_unchecked(link.number as usize);
        self.links.insert(peer, link);
        self.peers.connected(
            id,
            conn,
            &member.address,
            link.outbound,
            (now, cx.instant()),
        );
        self.discovery.connected(&id);
        self.callers.set(self.peers.caller(id, now));
        if let Some(sheet) = self.penalties.ledger().sheet(&id) {
            self.peers.set_sheet(id, Some(sheet.clone()), now);
        }
        self.flush(peer, cx);
    }

    /// Handles that both sides know each other's protocols.
    pub fn identified(&mut self, peer: Id, cx: &mut Scene<'_>) {
        let (Some(link), Some(member)) = (self.link(peer), cx.shared.members.get(peer as usize))
        else {
            return;
        };
        let address = vec![member.address.clone()];
        self.peers
            .identified(member.peer, "swarmdex", address, Vec::new(), cx.stamp());
        self.route(peer, cx);
        let mut out = Vec::new();
        self.gossip.joined(peer, link.outbound, cx.now, &mut out);
        self.say(out, cx);
        if link.outbound {
            self.say_hello(peer, cx);
        }
    }

    /// Adds a peer to the routing table, unless its prefix has too many peers there.
    fn route(&mut self, peer: Id, cx: &mut Scene<'_>) {
        let own = cx.shared.prefix(peer);
        let bucket = self.table.bucket_of(cx.shared.position(peer));
        // Peers of other prefixes do not count.
        let (mut here, mut others) = (Vec::new(), Vec::new());
        for other in cx.shared.beside(peer) {
            let position = cx.shared.position(*other);
            if self.table.contains(*other, position) {
                let is_here = self.table.bucket_of(position) == bucket;
                (if is_here { &mut here } else { &mut others }).push(own);
            }
        }
        if !has_room(own, &here, &others) {
            return;
        }
        self.table.insert(peer, cx.shared.position(peer));
        self.routed(cx);
    }

    /// Handles a failed dial.
    pub fn not_connected(&mut self, peer: Id, cx: &mut Scene<'_>) {
        for wire in self.dialling.remove(&peer).unwrap_or_default() {
            self.unsent(peer, &wire, cx);
        }
    }

    pub fn disconnected(&mut self, peer: Id, cx: &mut Scene<'_>) {
        let Some(link) = self.links.remove(&peer) else {
            return;
        };
        let conn = ConnectionId::new_unchecked(link.number as usize);
        self.admission.leave(&conn);
        if let Some(id) = cx.shared.peer(peer) {
            self.peers.disconnected(&id, conn, cx.stamp());
        }
        self.gossip.left(peer);
        self.table.disconnected(peer, cx.shared.position(peer));
        self.lost(peer, cx);
    }

    pub fn trim(&mut self, cx: &mut Scene<'_>) {
        let (low, high) = (self.options.low_water, self.options.high_water);
        // Scoring all peers takes a while, and below the high water mark none is disconnected.
        if self.links.len() <= high {
            return;
        }
        let here = cx.shared.position(self.me);
        let close = self.table.closest(here, None).into_iter().take(K);
        let mesh = self.gossip.mesh().iter().copied();
        let ids = close.chain(mesh);
        let mut protected: HashSet<PeerId> = ids.filter_map(|id| cx.shared.peer(id)).collect();
        protected.extend(self.requests.peers());
        let held = self.peers.held(|peer| protected.contains(peer), cx.stamp());
        let gone = to_trim(&held, low, high);
        cx.out.extend(
            gone.iter()
                .filter_map(|peer| cx.shared.id(peer))
                .map(SimEffect::Close),
        );
    }

    /// Says hello to the peers that are due.
    pub fn greet(&mut self, all: bool, cx: &mut Scene<'_>) {
        let greeting = self.greeting();
        let peers = &self.peers;
        let dialled = peers.ours().filter(|peer| peers.is_outbound(peer));
        let dialled = dialled.map(|peer| (peer, peers.has_answered(&peer)));
        let due = self.greeter.due(all, &greeting, dialled);
        for peer in numbers(due.into_iter(), cx.shared) {
            self.say_hello(peer, cx);
        }
    }

    pub fn hello(&self, now: Time) -> Hello {
        Hello {
            at: now.stamp(),
            packages: self.greeting().packages,
            start: u64::from(self.epoch) + 1,
            ..Hello::default()
        }
    }
}

/// Returns the times from a dial until the connection is established, and until both sides know
/// each other's protocols.
pub fn times(one_way: Duration) -> (Duration, Duration) {
    (one_way * HANDSHAKE, one_way * IDENTIFY)
}
