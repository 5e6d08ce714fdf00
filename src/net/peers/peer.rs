//! What is known of one peer.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use libp2p::{Multiaddr, swarm::ConnectionId};

use super::{identity::Starts, place::Whereabouts};
use crate::{
    bus::{Direction, PeerTraffic},
    domain::{
        announced::NodeOwner,
        faults::PenaltyRecord,
        prefix::{Classes, Prefix},
        reputation::PeerStanding,
        time::Timestamp,
    },
};

/// A round trip that was measured longer ago says nothing of now. Pings go every few seconds; a
/// link that is full answers some of them late.
const RTT_LIFE: Duration = Duration::from_secs(60);
/// Likewise for what a peer said in a hello, of which there is one a minute.
const HELLO_LIFE: Duration = Duration::from_secs(180);

pub struct Open {
    pub id: ConnectionId,
    pub address: String,
    pub direction: Direction,
    pub since: Timestamp,
}

/// What a connected peer said of itself, and when.
pub struct Said {
    pub at: Instant,
    pub packages: u64,
    /// Bytes that it may keep for others.
    pub room: u64,
    pub clock_offset_ms: i64,
}

/// What is known of one peer.
pub struct Peer {
    pub standing: PeerStanding,
    pub addresses: Vec<Multiaddr>,
    pub open: Vec<Open>,
    /// Up to when connected time has been added to the standing.
    pub counted_until: Timestamp,
    pub agent: Option<String>,
    pub protocols: Vec<String>,
    /// It speaks this network's protocols.
    pub ours: bool,
    /// It was connected, here or before a restart, or this node's person said something about it.
    pub met: bool,
    pub rtts_ms: VecDeque<f32>,
    /// When the last of these was measured.
    pub measured: Option<Instant>,
    pub owner: Option<NodeOwner>,
    pub place: Whereabouts,
    /// Over a connection that is still there.
    pub said: Option<Said>,
    /// By which two nodes with its key are told from one that restarts, and when there were two.
    pub starts: Starts,
    pub twins: Option<Instant>,
    /// The last proof that it is there: it connected, answered, asked or passed something on.
    pub alive: Option<Instant>,
    pub in_mesh: bool,
    /// It left a question without an answer, and has answered neither another nor a ping since.
    pub silent: bool,
    pub gossip_score: Option<f64>,
    pub traffic: PeerTraffic,
    /// What the ledger has about it.
    pub sheet: Option<PenaltyRecord>,
}

impl Peer {
    pub fn new(now: Timestamp) -> Self {
        Self {
            standing: PeerStanding::new(now),
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
            traffic: PeerTraffic::default(),
            sheet: None,
        }
    }

    /// What it said lately.
    pub fn said(&self, now: Instant) -> Option<&Said> {
        self.said
            .as_ref()
            .filter(|said| now.saturating_duration_since(said.at) <= HELLO_LIFE)
    }

    /// Two nodes with its key said hello by turns, lately.
    pub fn are_two(&self, now: Instant) -> bool {
        self.twins
            .is_some_and(|at| now.saturating_duration_since(at) <= HELLO_LIFE)
    }

    /// The last round trips, if the newest is not too old to say something.
    pub fn rtts_ms(&self, now: Instant) -> impl DoubleEndedIterator<Item = f32> {
        let recent = |at: Instant| now.saturating_duration_since(at) <= RTT_LIFE;
        let known = self.measured.is_some_and(recent).then_some(&self.rtts_ms);
        known.into_iter().flatten().copied()
    }

    /// Of where it is connected from, or was last.
    pub fn group(&self, classes: Classes) -> Option<Prefix> {
        self.place
            .remote()
            .and_then(|ip| Prefix::classed(ip, classes))
    }
}

/// What a peer's score is made of: it is seen for as long as it is connected. Without the evidence,
/// which is for eyes.
pub fn current(peer: &Peer, now: Timestamp) -> PeerStanding {
    PeerStanding {
        last_seen: if peer.open.is_empty() {
            peer.standing.last_seen
        } else {
            now
        },
        recent: VecDeque::new(),
        ..peer.standing
    }
}

pub fn count_uptime(peer: &mut Peer, now: Timestamp) {
    peer.standing.connected += now.since(peer.counted_until);
    peer.counted_until = now;
}
