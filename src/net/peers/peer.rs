//! The entry of one peer in the peer table.

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

/// A round trip older than this says nothing about now. Pings go every few seconds, but a full link
/// answers some of them late.
const RTT_LIFE: Duration = Duration::from_secs(60);
/// The same for the contents of a hello, which comes once a minute.
const HELLO_LIFE: Duration = Duration::from_secs(180);

pub struct OpenConnection {
    pub id: ConnectionId,
    pub address: String,
    pub direction: Direction,
    pub since: Timestamp,
}

/// The contents of a connected peer's last hello, and its time.
pub struct LastHello {
    pub at: Instant,
    pub packages: u64,
    /// Bytes that it may keep for others.
    pub room: u64,
    pub clock_offset_ms: i64,
}

/// The entry of one peer.
pub struct Peer {
    pub standing: PeerStanding,
    pub addresses: Vec<Multiaddr>,
    pub open: Vec<OpenConnection>,
    /// The time up to which connected time has been added to the standing.
    pub counted_until: Timestamp,
    pub agent: Option<String>,
    pub protocols: Vec<String>,
    /// It speaks this network's protocols.
    pub ours: bool,
    /// It was connected at some time, also before a restart, or a person protected or banned it.
    pub met: bool,
    pub rtts_ms: VecDeque<f32>,
    /// The time of the newest round trip.
    pub measured: Option<Instant>,
    pub owner: Option<NodeOwner>,
    pub place: Whereabouts,
    /// Cleared when its last connection closes.
    pub said: Option<LastHello>,
    /// Tells two nodes with its key from one that restarts, and notes the time there were two.
    pub starts: Starts,
    pub twins: Option<Instant>,
    /// The last proof that it is alive: it connected, answered, asked, or passed something on.
    pub alive: Option<Instant>,
    pub in_mesh: bool,
    /// A request to it got no answer, and neither has any other request or ping since.
    pub silent: bool,
    pub gossip_score: Option<f64>,
    pub traffic: PeerTraffic,
    /// Its entry in the penalty ledger.
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

    /// Returns its last hello, if recent.
    pub fn said(&self, now: Instant) -> Option<&LastHello> {
        self.said
            .as_ref()
            .filter(|said| now.saturating_duration_since(said.at) <= HELLO_LIFE)
    }

    /// Returns true if two nodes with its key took turns to say hello lately.
    pub fn are_two(&self, now: Instant) -> bool {
        self.twins
            .is_some_and(|at| now.saturating_duration_since(at) <= HELLO_LIFE)
    }

    /// Returns the last round trips in milliseconds, if the newest is recent.
    pub fn rtts_ms(&self, now: Instant) -> impl DoubleEndedIterator<Item = f32> {
        let recent = |at: Instant| now.saturating_duration_since(at) <= RTT_LIFE;
        let known = self.measured.is_some_and(recent).then_some(&self.rtts_ms);
        known.into_iter().flatten().copied()
    }

    /// Returns the public prefix that it connects from, or connected from last.
    pub fn group(&self, classes: Classes) -> Option<Prefix> {
        self.place
            .remote()
            .and_then(|ip| Prefix::classed(ip, classes))
    }
}

/// Returns the standing that the peer's score is computed from: a connected peer counts as seen
/// now. The evidence, which is for display only, is left out.
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
