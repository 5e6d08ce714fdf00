//! Rows of the table of peers.

use libp2p::PeerId;

use crate::{
    bus::{Direction, PeerSnapshot},
    domain::{
        faults::Ruling,
        geo::provenance::LocationSource,
        name::short_id,
        text::fit,
        time::{Ago, Timestamp},
    },
    registry::NodeOwner,
    ui::table::{TableEntry, column::Column, filter::CellValue},
};

/// Least width of the state, with its sign, in columns.
pub const STATE: usize = 8;
/// Width of the sparkline of round trips, in columns.
pub const SPARK: usize = 10;

/// Packages of a peer's publisher in the local catalogue: their number, and the first few by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerPackages {
    pub peer: PeerId,
    pub names: Vec<String>,
    pub total: u64,
}

/// An action on a peer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum PeerAction {
    /// Bans, unbans, protects or unprotects it.
    Rule(Ruling),
    Disconnect,
}

impl TableEntry for PeerSnapshot {
    type Id = PeerId;
    const NAME: &'static str = "peers";
    const COLUMNS: &'static [Column] = &[
        Column::new("state", "state", STATE, 0).rather(11).up_to(11),
        Column::new("peer", "peer", 12, 0),
        Column::new("handle", "handle", 20, 1).rather(25).up_to(27),
        Column::new("rtt", "round trip", 10, 2).right().unit("ms"),
        Column::new("trend", "", SPARK, 5).picture(),
        Column::new("score", "score", 10, 0).highest_first(),
        Column::new("place", "place", 12, 4).up_to(16),
        Column::new("distance", "distance", 9, 5).right().unit("km"),
        Column::new("packages", "packages", 8, 3)
            .right()
            .highest_first(),
        Column::new("seen", "seen", 6, 3).right().unit("s_ago"),
        Column::new("direction", "dir", 3, 6),
        Column::new("agent", "agent", 14, 8).up_to(20),
        Column::new("address", "address", 24, 7).up_to(60),
    ];
    const MOST: usize = 10_000;
    const SORT: Option<&'static str> = Some("score");
    const LEADING: &'static str = ", connected first";
    const WAITS_ABOVE: bool = false;

    fn id(&self) -> PeerId {
        self.id
    }

    fn value(&self, column: &'static str, now: Timestamp) -> CellValue {
        match column {
            "state" => CellValue::text(state(self, now).as_str()),
            "peer" => CellValue::text(short_id(&self.id)),
            "handle" => CellValue::text(name_and_key(self)),
            // A round trip measured before the connection ended is out of date.
            "rtt" if self.connection.is_none() => CellValue::Nothing,
            "rtt" => CellValue::number(self.rtts_ms.last().map(|ms| f64::from(*ms))),
            "score" => CellValue::Number(self.score.total),
            "place" => CellValue::text(place(self)),
            "distance" => CellValue::number(self.distance_km),
            "packages" => CellValue::number(self.packages.map(|count| count as f64)),
            "seen" if self.connection.is_some() => CellValue::Number(0.0),
            "seen" => CellValue::Number(now.since(self.last_seen).as_secs_f64().round()),
            "direction" => CellValue::text(direction(self)),
            "agent" => CellValue::text(self.agent.as_deref().unwrap_or_default()),
            "address" => CellValue::text(address(self)),
            _ => CellValue::Nothing,
        }
    }

    fn exported(&self, column: &'static str, now: Timestamp) -> CellValue {
        match column {
            "peer" => CellValue::text(self.id.to_string()),
            column => self.value(column, now),
        }
    }

    fn copied(&self) -> String {
        match address(self) {
            address if address.is_empty() || address.contains("/p2p/") => {
                format!("{address}{}", self.id)
            }
            address => format!("{address}/p2p/{}", self.id),
        }
    }

    fn leads(&self) -> bool {
        self.connection.is_some()
    }

    fn age(&self, now: Timestamp) -> Option<String> {
        self.connection.is_none().then(|| seen(self, now))
    }
}

/// Returns the location, with a word in place of the table's sign.
fn place(peer: &PeerSnapshot) -> String {
    let from = peer.provenance();
    match (&peer.location, from.is_implausible(), from.approximate) {
        (Some(place), true, _) => format!("{place} (implausible)"),
        (Some(place), false, true) => format!("{place} (approximate)"),
        (Some(place), false, false) => place.to_string(),
        (None, ..) if from.source == LocationSource::Local => "local address".to_owned(),
        (None, ..) => String::new(),
    }
}

/// Returns the words of the state column. A lie comes first, because a narrow column cuts off the
/// end.
pub fn state(peer: &PeerSnapshot, now: Timestamp) -> String {
    let state = match (peer.connection.is_some(), peer.in_mesh) {
        _ if peer.ban(now).is_some() => "banned",
        (true, true) => "mesh",
        (true, false) => "connected",
        (false, _) => "known",
    };
    if lied(peer) {
        format!("lied, {state}")
    } else {
        state.to_owned()
    }
}

/// Returns true if the peer was proven to have sent something false lately.
pub fn lied(peer: &PeerSnapshot) -> bool {
    // A node of an earlier version reports the evidence only.
    peer.basis.lies > 0 || peer.evidence.iter().any(|one| one.outcome.is_lie())
}

/// Returns when the peer was last seen, in a word.
pub fn seen(peer: &PeerSnapshot, now: Timestamp) -> String {
    if peer.connection.is_some() {
        "now".to_owned()
    } else {
        Ago(now.since(peer.last_seen)).to_string()
    }
}

pub fn handle(peer: &PeerSnapshot) -> &str {
    peer.owner
        .as_ref()
        .map_or("", |owner| owner.handle.as_str())
}

/// Returns the handle and the fingerprint of its key. A long handle is cut, the fingerprint never.
pub fn name_and_key(peer: &PeerSnapshot) -> String {
    /// Width of a handle, in columns.
    const LONGEST: usize = 12;
    let text = |owner: &NodeOwner| {
        format!(
            "{} {}",
            fit(owner.handle.as_str(), LONGEST),
            owner.publisher.fingerprint()
        )
    };
    peer.owner.as_ref().map_or(String::new(), text)
}

pub fn direction(peer: &PeerSnapshot) -> &'static str {
    match peer
        .connection
        .as_ref()
        .map(|connection| connection.direction)
    {
        Some(Direction::Inbound) => "in",
        Some(Direction::Outbound) => "out",
        None => "",
    }
}

pub fn address(peer: &PeerSnapshot) -> &str {
    match &peer.connection {
        Some(connection) => &connection.address,
        None => peer.addresses.first().map_or("", String::as_str),
    }
}
