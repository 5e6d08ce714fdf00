//! Whether the network works for this node, why not, and what to do about it.
//!
//! Pure: a [`Sample`] of what was measured becomes rows, and the worst row is the verdict. Nothing
//! is judged that was not measured.

mod measure;
mod rows;

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use serde::{Deserialize, Serialize};

pub use measure::Measure;
pub use rows::{MESH_LOW, row};

use super::{copies::CopyFigures, time::Timestamp};

/// What was measured. `None` is what was not, or not yet.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Sample {
    /// Since the node started.
    pub running_for: Duration,
    /// Connected peers of this network, by who opened the connection.
    pub peers_in: usize,
    pub peers_out: usize,
    /// Peers that are known, connected or not.
    pub known_peers: usize,
    /// Peers in the mesh of the announcements' topic, and how many subscribe to it.
    pub announce_mesh: usize,
    pub announce_subscribers: usize,
    /// Likewise for the presence topic.
    pub presence_mesh: usize,
    /// Entries of the routing table.
    pub routing_table: usize,
    /// Lookups in the DHT that ended in the last 5 minutes, and those that got no answer from
    /// anybody.
    pub lookups: u64,
    pub lookups_failed: u64,
    /// Time they took, in milliseconds.
    pub lookup_p50_ms: Option<f64>,
    pub lookup_p95_ms: Option<f64>,
    /// Announcements taken in the last minute.
    pub announced_a_minute: u64,
    /// What gossip itself took of them, in milliseconds.
    pub gossip_p50_ms: Option<f64>,
    pub gossip_p95_ms: Option<f64>,
    /// Messages from peers in the last minute, and those that were refused.
    pub messages: u64,
    pub messages_refused: u64,
    /// Peers that were dialled in the last 5 minutes, and those of them that the last dial did not
    /// reach.
    pub dials: u64,
    pub dials_failed: u64,
    /// Bytes a second, all protocols.
    pub bytes_in: Option<f64>,
    pub bytes_out: Option<f64>,
    /// Time from asking the store for a commit to having it, in milliseconds.
    pub store_p95_ms: Option<f64>,
    /// Bytes in memory.
    pub memory: Option<u64>,
    /// Open descriptors, and how many there may be.
    pub descriptors: Option<(u64, u64)>,
    /// Messages in the last minute that the node had no room for.
    pub overloaded: u64,
    /// Our clock minus the median of the peers', in milliseconds.
    pub clock_offset_ms: Option<i64>,
    /// Connections by TCP and by QUIC.
    pub tcp: usize,
    pub quic: usize,
    /// It serves the DHT, as one does that others can reach.
    pub dht_server: bool,
    /// Round trips to the connected peers, in milliseconds.
    pub rtt_p50_ms: Option<f64>,
    pub rtt_p95_ms: Option<f64>,
    /// Connected peers that gossip scores below 0.
    pub negative: usize,
    /// Peers that are banned now.
    pub banned: usize,
    /// Peers that are not banned only because too many would be for the same.
    #[serde(default)]
    pub doubted: usize,
    /// This machine's clock is more than a day behind its peers' or its own records.
    #[serde(default)]
    pub clock_behind: bool,
    /// Since the routing table was last refreshed.
    pub refreshed_ago: Option<Duration>,
    /// Why these were not reached, by kind.
    pub dial_errors: BTreeMap<String, u64>,
    /// Gets since the start that were answered from memory, the disk, the DHT and peers.
    pub gets: [u64; 4],
    /// Share of gossip's messages that had come before, since the start.
    pub duplicates: Option<f64>,
    /// Copies of announcements that gossip received since the start, and how many of them were the
    /// first of theirs. Only nodes of this process tell.
    #[serde(skip)]
    pub announcement_copies: (u64, u64),
    /// Peers that came and went in the last 5 minutes, and those lost in the last 2 that are not
    /// back.
    pub joined: usize,
    pub left: usize,
    pub lost: usize,
    /// Of those that went, the ones from which nothing came any more.
    #[serde(default)]
    pub dead: usize,
    /// What is listened on, by family, transport and port. `None` of nodes that do not tell.
    #[serde(default)]
    pub listening: Option<Vec<String>>,
    /// Where package managers use this node, or why they cannot; `None` where they are not meant
    /// to.
    #[serde(default)]
    pub gateway: Option<Gateway>,
    /// How another node is known to run with this node's key.
    #[serde(default)]
    pub twin: Option<String>,
    /// A bootstrap address at which another node answers than the one that was named, and its id.
    #[serde(default)]
    pub strange: Option<(String, String)>,
    /// Programs of the connected peers, by name and version.
    pub agents: BTreeMap<String, usize>,
    /// Own packages, and those of them that would be lost with this node, of which some are named.
    pub own: Option<u64>,
    pub endangered: u64,
    pub endangered_named: Vec<String>,
    /// How this node stands with copies on other nodes.
    #[serde(default)]
    pub copies: CopyFigures,
    /// Bytes that are free where the data is, and how many there are.
    pub disk: Option<(u64, u64)>,
}

/// How the gateway for package managers is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Gateway {
    /// It answers at this address.
    Open(String),
    Failed {
        address: String,
        why: String,
    },
}

impl Sample {
    pub fn peers(&self) -> usize {
        self.peers_in + self.peers_out
    }
}

/// How something is. Ordered: the worst is the greatest.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum State {
    #[default]
    Good,
    Degraded,
    Bad,
}

impl State {
    pub fn label(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Degraded => "degraded",
            Self::Bad => "bad",
        }
    }
}

/// The whole in one sentence, and what to do about it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    pub state: State,
    pub cause: String,
    /// Empty when there is nothing to be done.
    pub remedy: String,
}

/// One measure: its value, what it should be, and how it is.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    pub measure: Measure,
    /// For a history; `None` when it was not measured.
    pub value: Option<f64>,
    /// With its unit.
    pub shown: String,
    /// What counts as good; empty where nothing is judged.
    pub threshold: String,
    /// `None` when it was not measured, or says nothing by itself.
    pub state: Option<State>,
    remedy: Option<(String, &'static str)>,
}

/// Every measure, in the order of [`Measure::ALL`].
pub fn rows(sample: &Sample) -> Vec<Row> {
    Measure::ALL
        .into_iter()
        .map(|measure| rows::row(measure, sample))
        .collect()
}

/// The worst row, with its cause and remedy; among equals the first.
pub fn verdict(sample: &Sample) -> Verdict {
    let rows = rows(sample);
    let worst = rows
        .iter()
        .filter(|row| row.state > Some(State::Good))
        .max_by(|a, b| {
            // The first among equals.
            a.state.cmp(&b.state).then(b.measure.cmp(&a.measure))
        });
    if let Some(row) = worst {
        let (cause, remedy) = row.remedy.clone().unwrap_or_default();
        return Verdict {
            state: row.state.unwrap_or_default(),
            cause,
            remedy: remedy.to_owned(),
        };
    }
    let cause = match sample.peers() {
        0 => "starting: looking for peers".to_owned(),
        1 => "connected to 1 peer, and everything that was measured is as it should be".to_owned(),
        peers => format!(
            "connected to {peers} peers, and everything that was measured is as it should be"
        ),
    };
    Verdict {
        state: State::Good,
        cause,
        remedy: String::new(),
    }
}

/// Changes of the verdict that are kept.
pub const MOST_CHANGES: usize = 50;

/// The verdict became another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    pub at: Timestamp,
    pub from: State,
    pub to: Verdict,
}

/// The verdict in force and how it came to be.
#[derive(Clone, Debug, Default)]
pub struct History {
    verdict: Option<Verdict>,
    /// A better state that was seen once.
    candidate: Option<State>,
    changes: VecDeque<Change>,
}

impl History {
    /// Takes the verdict of a sample; true when its state is another than before. A worse one is
    /// taken at once, a better one when two samples in a row say so: nothing flickers, and no row
    /// is worse than the verdict.
    pub fn take(&mut self, verdict: Verdict, at: Timestamp) -> bool {
        let Some(before) = &self.verdict else {
            self.verdict = Some(verdict);
            return false;
        };
        if verdict.state == before.state {
            self.candidate = None;
            self.verdict = Some(verdict);
            return false;
        }
        if verdict.state < before.state
            && self
                .candidate
                .is_none_or(|candidate| verdict.state > candidate)
        {
            self.candidate = Some(verdict.state);
            return false;
        }
        self.candidate = None;
        if self.changes.len() >= MOST_CHANGES {
            self.changes.pop_front();
        }
        self.changes.push_back(Change {
            at,
            from: before.state,
            to: verdict.clone(),
        });
        self.verdict = Some(verdict);
        true
    }

    pub fn verdict(&self) -> Option<&Verdict> {
        self.verdict.as_ref()
    }

    /// Newest first.
    pub fn changes(&self) -> impl Iterator<Item = &Change> {
        self.changes.iter().rev()
    }
}

#[cfg(test)]
mod tests;
