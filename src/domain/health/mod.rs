//! Health: a sentence that says how well the network works for this node, the cause if it does not,
//! and the remedy.
//!
//! Pure: a [`Sample`] of measurements becomes rows, and the worst row is the verdict. Only measured
//! values are judged.

mod measure;
mod rows;

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use serde::{Deserialize, Serialize};

pub use measure::Measure;
pub use rows::{MESH_LOW, row};

use super::{copies::CopyFigures, record::Refusal, text::quantity, time::Timestamp};

/// The measurements. `None` means not measured, or not yet.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Sample {
    /// Time since the node started.
    pub running_for: Duration,
    /// Connected peers of this network that opened the connection, and those to which this node
    /// did.
    pub peers_in: usize,
    /// Connections that this node opened.
    pub peers_out: usize,
    /// All known peers, connected or not.
    pub known_peers: usize,
    /// Peers in the mesh of the announcement topic, and subscribers to it.
    pub announce_mesh: usize,
    /// Subscribers to the announcement topic.
    pub announce_subscribers: usize,
    /// Peers in the mesh of the presence topic.
    pub presence_mesh: usize,
    /// Entries of the routing table.
    pub routing_table: usize,
    /// DHT lookups that ended in the last 5 minutes, and those that nobody answered.
    pub lookups: u64,
    /// Lookups that nobody answered.
    pub lookups_failed: u64,
    /// Duration of these lookups, in milliseconds.
    pub lookup_p50_ms: Option<f64>,
    /// 95th percentile of their duration.
    pub lookup_p95_ms: Option<f64>,
    /// Announcements accepted in the last minute.
    pub announced_a_minute: u64,
    /// Their time in gossip, in milliseconds.
    pub gossip_p50_ms: Option<f64>,
    /// 95th percentile of the time in gossip.
    pub gossip_p95_ms: Option<f64>,
    /// Messages from peers in the last minute, and those refused.
    pub messages: u64,
    /// Messages refused.
    pub messages_refused: u64,
    /// All data from peers that failed a check since the node started, by reason.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub refused: BTreeMap<Refusal, u64>,
    /// Peers dialled in the last 5 minutes, and those that the last dial did not reach.
    pub dials: u64,
    /// Peers that could not be reached.
    pub dials_failed: u64,
    /// Bytes a second, over all protocols.
    pub bytes_in: Option<f64>,
    /// Bytes sent a second.
    pub bytes_out: Option<f64>,
    /// Time from asking the store for a commit to having it, in milliseconds.
    pub store_p95_ms: Option<f64>,
    /// Memory of the process, in bytes.
    pub memory: Option<u64>,
    /// Open file descriptors, and the limit.
    pub descriptors: Option<(u64, u64)>,
    /// Messages dropped for lack of room in the last minute.
    pub overloaded: u64,
    /// Our clock minus the median of the peers', in milliseconds.
    pub clock_offset_ms: Option<i64>,
    /// Connections over TCP and over QUIC.
    pub tcp: usize,
    /// Connections over QUIC.
    pub quic: usize,
    /// This node serves the DHT, as a node does that others can reach.
    pub dht_server: bool,
    /// Round trips to the connected peers, in milliseconds.
    pub rtt_p50_ms: Option<f64>,
    /// 95th percentile of the round trips.
    pub rtt_p95_ms: Option<f64>,
    /// Connected peers with a gossip score below 0.
    pub negative: usize,
    /// Peers banned now.
    pub banned: usize,
    /// Peers that only the share of peers that a rule may ban spares.
    #[serde(default)]
    pub doubted: usize,
    /// This machine's clock is more than a day behind its peers' or its own records.
    #[serde(default)]
    pub clock_behind: bool,
    /// Time since the routing table was last refreshed.
    pub refreshed_ago: Option<Duration>,
    /// The failed dials by kind of error.
    pub dial_errors: BTreeMap<String, u64>,
    /// Gets since the start, answered from memory, disk, the DHT and peers.
    pub gets: [u64; 4],
    /// The share of duplicates among gossip messages since the start, 0 to 1.
    pub duplicates: Option<f64>,
    /// Announcements that gossip received since the start, and those that were no duplicates. Only
    /// nodes of this process report it.
    #[serde(skip)]
    pub announcement_copies: (u64, u64),
    /// Peers that came and went in the last 5 minutes, and those lost in the last 2 that are not
    /// back.
    pub joined: usize,
    /// Peers that went.
    pub left: usize,
    /// Peers lost that are not back.
    pub lost: usize,
    /// Of the peers that went, those that fell silent.
    #[serde(default)]
    pub dead: usize,
    /// Listening addresses by family, transport and port. `None` for a node that does not report
    /// them.
    #[serde(default)]
    pub listening: Option<Vec<String>>,
    /// The gateway for package managers, or the reason why it is not open; `None` if it is off.
    #[serde(default)]
    pub gateway: Option<GatewayHealth>,
    /// The evidence that another node runs with this node's key.
    #[serde(default)]
    pub twin: Option<String>,
    /// A bootstrap address at which an unexpected node answers, and that node's id.
    #[serde(default)]
    pub strange: Option<(String, String)>,
    /// The programs of connected peers, by name and version.
    pub agents: BTreeMap<String, usize>,
    /// Own packages, those that would be lost with this node, and the names of some of these.
    pub own: Option<u64>,
    /// Own packages that would be lost with this node.
    pub endangered: u64,
    /// The names of some of them.
    pub endangered_named: Vec<String>,
    /// Figures about replicas on other nodes.
    #[serde(default)]
    pub copies: CopyFigures,
    /// Free and total bytes on the disk that holds the data.
    pub disk: Option<(u64, u64)>,
}

/// The state of the gateway for package managers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum GatewayHealth {
    /// It answers at this address.
    Open(String),
    /// It cannot listen.
    Failed {
        /// The address.
        address: String,
        /// The reason.
        why: String,
    },
}

impl Sample {
    /// Returns the number of connected peers.
    pub fn peers(&self) -> usize {
        self.peers_in + self.peers_out
    }
}

/// A health state. The greater one is the worse.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum HealthState {
    /// All is well.
    #[default]
    Good,
    /// It works, but not as well as it should.
    Degraded,
    /// It does not work.
    Bad,
}

impl HealthState {
    /// Returns a short name for display.
    pub fn label(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Degraded => "degraded",
            Self::Bad => "bad",
        }
    }
}

/// The overall health in one sentence, with a remedy.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthVerdict {
    /// The state.
    pub state: HealthState,
    /// The cause, as a sentence.
    pub cause: String,
    /// Empty if nothing needs to be done.
    pub remedy: String,
}

/// One measure: its value, its threshold and its state.
#[derive(Clone, Debug, PartialEq)]
pub struct MeasureRow {
    /// The measure.
    pub measure: Measure,
    /// The value for the history; `None` if it was not measured.
    pub value: Option<f64>,
    /// The value as text, with its unit.
    pub shown: String,
    /// The range that counts as good; empty if the measure is not judged.
    pub threshold: String,
    /// `None` if it was not measured, or means nothing by itself.
    pub state: Option<HealthState>,
    remedy: Option<(String, &'static str)>,
}

/// Returns every measure, in the order of [`Measure::ALL`].
pub fn rows(sample: &Sample) -> Vec<MeasureRow> {
    Measure::ALL
        .into_iter()
        .map(|measure| rows::row(measure, sample))
        .collect()
}

/// Returns the worst row as a verdict, the first among equals.
pub fn verdict(sample: &Sample) -> HealthVerdict {
    let rows = rows(sample);
    let worst = rows
        .iter()
        .filter(|row| row.state > Some(HealthState::Good))
        .max_by(|a, b| {
            // Prefer the first among equals.
            a.state.cmp(&b.state).then(b.measure.cmp(&a.measure))
        });
    if let Some(row) = worst {
        let (cause, remedy) = row.remedy.clone().unwrap_or_default();
        return HealthVerdict {
            state: row.state.unwrap_or_default(),
            cause,
            remedy: remedy.to_owned(),
        };
    }
    let cause = match sample.peers() {
        0 => "starting: looking for peers".to_owned(),
        peers => format!(
            "connected to {}; every measure is healthy",
            quantity(peers, "peer")
        ),
    };
    HealthVerdict {
        state: HealthState::Good,
        cause,
        remedy: String::new(),
    }
}

/// The most changes of the verdict that are kept.
pub const MOST_CHANGES: usize = 50;

/// A change of the verdict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerdictChange {
    /// The time of the change.
    pub at: Timestamp,
    /// The state before.
    pub from: HealthState,
    /// The verdict after it.
    pub to: HealthVerdict,
}

/// The current verdict and its changes.
#[derive(Clone, Debug, Default)]
pub struct History {
    verdict: Option<HealthVerdict>,
    /// A better state that one sample has shown.
    candidate: Option<HealthState>,
    changes: VecDeque<VerdictChange>,
}

impl History {
    /// Takes the verdict of a sample. Returns true if the state changed. A worse one is taken at
    /// once, a better one after two samples in a row, so that nothing flickers and no row is worse
    /// than the verdict.
    pub fn take(&mut self, verdict: HealthVerdict, at: Timestamp) -> bool {
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
        let from = before.state;
        self.change(from, verdict, at);
        true
    }

    /// Takes a verdict that is no sample's, such as an outage, and keeps it as a change whatever the
    /// state was before.
    pub fn note(&mut self, verdict: HealthVerdict, at: Timestamp) {
        let from = self.verdict.take().unwrap_or_default().state;
        self.change(from, verdict, at);
    }

    fn change(&mut self, from: HealthState, to: HealthVerdict, at: Timestamp) {
        self.candidate = None;
        if self.changes.len() >= MOST_CHANGES {
            self.changes.pop_front();
        }
        self.changes.push_back(VerdictChange {
            at,
            from,
            to: to.clone(),
        });
        self.verdict = Some(to);
    }

    /// Returns the current verdict.
    pub fn verdict(&self) -> Option<&HealthVerdict> {
        self.verdict.as_ref()
    }

    /// Returns the changes, newest first.
    pub fn changes(&self) -> impl Iterator<Item = &VerdictChange> {
        self.changes.iter().rev()
    }
}

#[cfg(test)]
mod tests;
