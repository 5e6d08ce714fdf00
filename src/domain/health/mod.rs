//! Whether the network works for this node, why not, and what to do about it.
//!
//! Pure: a [`Sample`] of what was measured becomes rows, and the worst row is the verdict. Nothing is judged that was
//! not measured.

use std::{collections::VecDeque, time::Duration};

use serde::{Deserialize, Serialize};

use super::time::Timestamp;

/// What was measured. `None` is what was not, or not yet.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
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
    /// Lookups in the DHT that ended in the last 5 minutes, and those that got no answer from anybody.
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
    /// Dials that ended in the last 5 minutes, and those that failed.
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
}

impl Sample {
    pub fn peers(&self) -> usize {
        self.peers_in + self.peers_out
    }
}

/// How something is. Ordered: the worst is the greatest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
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

/// Something that is measured. The order is that of the rows, and of what is blamed first among equals.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Measure {
    Peers,
    PeersIn,
    PeersOut,
    Mesh,
    PresenceMesh,
    RoutingTable,
    Lookups,
    LookupTime,
    GossipRate,
    GossipDelay,
    Invalid,
    Dials,
    BytesIn,
    BytesOut,
    StoreTime,
    Memory,
    Descriptors,
    Dropped,
    Clock,
}

impl Measure {
    pub const ALL: [Self; 19] = [
        Self::Peers,
        Self::PeersIn,
        Self::PeersOut,
        Self::Mesh,
        Self::PresenceMesh,
        Self::RoutingTable,
        Self::Lookups,
        Self::LookupTime,
        Self::GossipRate,
        Self::GossipDelay,
        Self::Invalid,
        Self::Dials,
        Self::BytesIn,
        Self::BytesOut,
        Self::StoreTime,
        Self::Memory,
        Self::Descriptors,
        Self::Dropped,
        Self::Clock,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Peers => "peers",
            Self::PeersIn => "peers in",
            Self::PeersOut => "peers out",
            Self::Mesh => "announce mesh",
            Self::PresenceMesh => "presence mesh",
            Self::RoutingTable => "routing table",
            Self::Lookups => "lookups answered",
            Self::LookupTime => "lookup time",
            Self::GossipRate => "gossip rate",
            Self::GossipDelay => "gossip delay",
            Self::Invalid => "gossip refused",
            Self::Dials => "dials answered",
            Self::BytesIn => "bandwidth in",
            Self::BytesOut => "bandwidth out",
            Self::StoreTime => "store latency",
            Self::Memory => "memory",
            Self::Descriptors => "descriptors",
            Self::Dropped => "dropped",
            Self::Clock => "clock",
        }
    }

    /// What it is, for somebody who reads the word for the first time.
    pub fn hint(self) -> &'static str {
        match self {
            Self::Peers => "Nodes of this network that this node is connected to.",
            Self::PeersIn => "Connections that others opened. None at all can mean that nobody can reach this node.",
            Self::PeersOut => "Connections that this node opened.",
            Self::Mesh => {
                "Peers that announcements are passed to and from at once (the gossip mesh). The others only hear that \
                 there is something."
            }
            Self::PresenceMesh => "The same for the topic in which nodes say where they are, if they do.",
            Self::RoutingTable => "Peers that lookups in the DHT can begin with (Kademlia's buckets).",
            Self::Lookups => {
                "Lookups in the DHT of the last 5 minutes that somebody answered. That nothing was there is an answer \
                 too."
            }
            Self::LookupTime => {
                "How long lookups took: half of them were faster than p50, all but a twentieth than p95."
            }
            Self::GossipRate => "Announcements that arrived in the last minute.",
            Self::GossipDelay => "From a peer's sending of an announcement to its arrival here, by the two clocks.",
            Self::Invalid => "Messages of the last minute that were refused: damaged, forged, or by a bad clock.",
            Self::Dials => "Connections that this node tried to open in the last 5 minutes, and that came about.",
            Self::BytesIn => "Received a second, over all protocols.",
            Self::BytesOut => "Sent a second, over all protocols.",
            Self::StoreTime => {
                "From asking for a write to having it safe on the disk, for all but a twentieth of them."
            }
            Self::Memory => "What the whole process has in memory.",
            Self::Descriptors => "Open sockets and files, and how many the system allows (ulimit -n).",
            Self::Dropped => "Messages of the last minute that this node had no room for.",
            Self::Clock => "This machine's clock against the median of the peers'.",
        }
    }
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

/// A node that is younger is still starting.
const STARTING: Duration = Duration::from_secs(10);
/// Meshes take some heartbeats to form.
const SETTLING: Duration = Duration::from_secs(20);
/// Fewer of something than this say nothing about a share.
const FEW: u64 = 5;
/// Gossipsub wants at least this many peers in a mesh, where there are as many (`mesh_n_low`).
const MESH_LOW: usize = 4;
/// A clock that is further off refuses and is refused.
const CLOCK_LIMIT_MS: i64 = 120_000;

/// Every measure, in the order of [`Measure::ALL`].
pub fn rows(sample: &Sample) -> Vec<Row> {
    Measure::ALL.into_iter().map(|measure| row(measure, sample)).collect()
}

/// The worst row, with its cause and remedy; among equals the first.
pub fn verdict(sample: &Sample) -> Verdict {
    let rows = rows(sample);
    let worst = rows.iter().filter(|row| row.state > Some(State::Good)).max_by(|a, b| {
        // The first among equals.
        a.state.cmp(&b.state).then(b.measure.cmp(&a.measure))
    });
    if let Some(row) = worst {
        let (cause, remedy) = row.remedy.clone().unwrap_or_default();
        return Verdict { state: row.state.unwrap_or_default(), cause, remedy: remedy.to_owned() };
    }
    let cause = match sample.peers() {
        0 => "starting: looking for peers".to_owned(),
        1 => "connected to 1 peer, and everything that was measured is as it should be".to_owned(),
        peers => format!("connected to {peers} peers, and everything that was measured is as it should be"),
    };
    Verdict { state: State::Good, cause, remedy: String::new() }
}

fn row(measure: Measure, sample: &Sample) -> Row {
    let peers = sample.peers();
    let plain = |value: f64, shown: String| Row {
        measure,
        value: value.is_finite().then_some(value),
        shown,
        threshold: String::new(),
        state: None,
        remedy: None,
    };
    let count = |value: usize| plain(value as f64, value.to_string());
    match measure {
        Measure::Peers => {
            let starting = sample.running_for < STARTING;
            let row = count(peers).good_when("at least 1");
            match peers {
                0 if starting => row,
                0 => row.is(
                    State::Degraded,
                    "nobody of this network is connected: what you publish waits here".to_owned(),
                    "start another node, or join one with --bootstrap and its address; check that both are in the same \
                     network and that no firewall is between them",
                ),
                _ => row.good(),
            }
        }
        Measure::PeersIn => count(sample.peers_in),
        Measure::PeersOut => count(sample.peers_out),
        Measure::Mesh => {
            let wanted = MESH_LOW.min(sample.announce_subscribers);
            let row = count(sample.announce_mesh);
            if peers == 0 || sample.running_for < SETTLING {
                return row;
            }
            let row = row.good_when(&format!("at least {}", wanted.max(1)));
            match sample.announce_mesh {
                0 => row.is(
                    State::Bad,
                    format!("nobody passes announcements on to this node, although {} connected", are(peers)),
                    "wait a minute; if it stays, restart this node and look at the logs of both sides (0)",
                ),
                mesh if mesh * 2 < wanted => row.is(
                    State::Degraded,
                    format!("only {mesh} of {} subscribers pass announcements on at once", sample.announce_subscribers),
                    "announcements arrive later than they could; it usually mends itself within a minute",
                ),
                _ => row.good(),
            }
        }
        Measure::PresenceMesh => count(sample.presence_mesh),
        Measure::RoutingTable => {
            let row = count(sample.routing_table);
            if peers == 0 || sample.running_for < SETTLING {
                return row;
            }
            let row = row.good_when("at least 1");
            match sample.routing_table {
                0 => row.is(
                    State::Bad,
                    "no peer can be asked in the DHT: all of them are clients, or told no address".to_owned(),
                    "run at least one node that others can reach, with --dht server",
                ),
                _ => row.good(),
            }
        }
        Measure::Lookups => {
            if sample.lookups == 0 {
                return plain(f64::NAN, "none yet".to_owned());
            }
            let good = 1.0 - share(sample.lookups_failed, sample.lookups);
            let shown = format!("{} of {}", sample.lookups.saturating_sub(sample.lookups_failed), sample.lookups);
            let row = plain(good * 100.0, shown);
            if peers == 0 || sample.lookups < FEW {
                return row;
            }
            let row = row.good_when("at least 90 %");
            let failed = format!("{} of {} lookups got no answer from anybody", sample.lookups_failed, sample.lookups);
            match good {
                good if good < 0.5 => row.is(
                    State::Bad,
                    failed,
                    "peers are connected and do not answer: look at their scores (1) and at the logs (0); a higher \
                     --timeout helps on a slow network",
                ),
                good if good < 0.9 => {
                    row.is(State::Degraded, failed, "some peers do not answer: sort by score (1) to see which")
                }
                _ => row.good(),
            }
        }
        Measure::LookupTime => match (sample.lookup_p50_ms, sample.lookup_p95_ms) {
            (Some(p50), Some(p95)) => {
                let row = plain(p95, format!("p50 {}, p95 {}", millis(p50), millis(p95)));
                let row = row.good_when("p95 under 2 s");
                if p95 >= 2_000.0 && sample.lookups >= FEW {
                    return row.is(
                        State::Degraded,
                        format!("lookups are slow: a twentieth of them takes {} or more", millis(p95)),
                        "slow or overloaded peers: sort by round trip (1)",
                    );
                }
                row.good()
            }
            _ => plain(f64::NAN, "not measured yet".to_owned()),
        },
        Measure::GossipRate => {
            plain(sample.announced_a_minute as f64, format!("{} a minute", sample.announced_a_minute))
        }
        Measure::GossipDelay => match (sample.gossip_p50_ms, sample.gossip_p95_ms) {
            (Some(p50), Some(p95)) => {
                let row = plain(p95, format!("p50 {}, p95 {}", millis(p50), millis(p95)));
                let row = row.good_when("p95 under 5 s");
                if p95 >= 5_000.0 {
                    return row.is(
                        State::Degraded,
                        format!("announcements arrive late: p95 {}", millis(p95)),
                        "clocks that differ, or a mesh that is too small: look at those two rows",
                    );
                }
                row.good()
            }
            _ => plain(f64::NAN, "not measured yet".to_owned()),
        },
        Measure::Invalid => {
            if sample.messages == 0 {
                return plain(f64::NAN, "none came".to_owned());
            }
            let refused = share(sample.messages_refused, sample.messages);
            let shown = format!("{} of {}", sample.messages_refused, sample.messages);
            let row = plain(refused * 100.0, shown);
            if sample.messages < FEW {
                return row;
            }
            let row = row.good_when("under 5 %");
            match refused {
                refused if refused >= 0.5 => row.is(
                    State::Bad,
                    format!("{} of {} messages were refused in the last minute", sample.messages_refused, sample.messages),
                    "somebody sends damaged or forged messages: peers that do are marked down (1); check this machine's \
                     clock",
                ),
                refused if refused >= 0.05 => row.is(
                    State::Degraded,
                    format!("{} of {} messages were refused in the last minute", sample.messages_refused, sample.messages),
                    "a peer sends what does not verify: sort by score (1) to see which",
                ),
                _ => row.good(),
            }
        }
        Measure::Dials => {
            if sample.dials == 0 {
                return plain(f64::NAN, "none lately".to_owned());
            }
            let good = 1.0 - share(sample.dials_failed, sample.dials);
            let row = plain(
                good * 100.0,
                format!("{} of {}", sample.dials - sample.dials_failed.min(sample.dials), sample.dials),
            );
            if sample.dials < FEW {
                return row;
            }
            // Remembered peers that are gone fail too: where others could be reached it says nothing of this node.
            let row = row.good_when("20 % or 1 out");
            if good < 0.2 && sample.peers_out == 0 {
                return row.is(
                    State::Degraded,
                    format!("{} of {} connections could not be opened", sample.dials_failed, sample.dials),
                    "peers are gone, or a firewall is in between: check the addresses given with --bootstrap",
                );
            }
            row.good()
        }
        Measure::BytesIn => rate(measure, sample.bytes_in),
        Measure::BytesOut => rate(measure, sample.bytes_out),
        Measure::StoreTime => match sample.store_p95_ms {
            Some(p95) => {
                let row = plain(p95, format!("p95 {}", millis(p95))).good_when("p95 under 250 ms");
                match p95 {
                    p95 if p95 >= 2_000.0 => row.is(
                        State::Bad,
                        format!("the disk is very slow: a write takes {}", millis(p95)),
                        "free or repair the disk, or move the data with --data-dir",
                    ),
                    p95 if p95 >= 250.0 => row.is(
                        State::Degraded,
                        format!("the disk is slow: a write takes {}", millis(p95)),
                        "something else keeps the disk busy, or it is a slow one: --data-dir moves the data",
                    ),
                    _ => row.good(),
                }
            }
            None => plain(f64::NAN, "not measured yet".to_owned()),
        },
        Measure::Memory => match sample.memory {
            Some(bytes) => plain(bytes as f64, size(bytes as f64)),
            None => plain(f64::NAN, "not known here".to_owned()),
        },
        Measure::Descriptors => match sample.descriptors {
            Some((open, most)) => {
                let row = plain(open as f64, format!("{open} of {most}")).good_when("under 80 %");
                match share(open, most) {
                    used if used >= 0.95 => row.is(
                        State::Bad,
                        format!("{open} of {most} descriptors are open: new connections will fail"),
                        "raise the limit (ulimit -n 4096) and start again, or lower high_water",
                    ),
                    used if used >= 0.8 => row.is(
                        State::Degraded,
                        format!("{open} of {most} descriptors are open"),
                        "raise the limit (ulimit -n 4096) before it is reached, or lower high_water",
                    ),
                    _ => row.good(),
                }
            }
            None => plain(f64::NAN, "not known here".to_owned()),
        },
        Measure::Dropped => {
            let row = plain(sample.overloaded as f64, format!("{} a minute", sample.overloaded)).good_when("none");
            match sample.overloaded {
                0 => row.good(),
                dropped => row.is(
                    State::Degraded,
                    format!("{dropped} messages were dropped in the last minute: there was no room for them"),
                    "this machine is too busy, or somebody floods: look at the logs (0)",
                ),
            }
        }
        Measure::Clock => match sample.clock_offset_ms {
            Some(offset) => {
                let seconds = offset as f64 / 1_000.0;
                let row = plain(seconds, format!("{seconds:+.1} s")).good_when("within 2 minutes");
                if offset.saturating_abs() > CLOCK_LIMIT_MS {
                    let way = if offset > 0 { "ahead of" } else { "behind" };
                    let minutes = offset.unsigned_abs() / 60_000;
                    return row.is(
                        State::Bad,
                        format!("this machine's clock is {minutes} minutes {way} the peers'"),
                        "set the clock: what is signed with a wrong one is refused by others",
                    );
                }
                row.good()
            }
            None => plain(f64::NAN, "too few to compare".to_owned()),
        },
    }
}

impl Row {
    fn good_when(mut self, threshold: &str) -> Self {
        threshold.clone_into(&mut self.threshold);
        self
    }

    fn good(self) -> Self {
        Self { state: Some(State::Good), ..self }
    }

    fn is(self, state: State, cause: String, remedy: &'static str) -> Self {
        Self { state: Some(state), remedy: Some((cause, remedy)), ..self }
    }

    /// Why it is not good, and what to do about it.
    pub fn complaint(&self) -> Option<(&str, &str)> {
        self.remedy.as_ref().map(|(cause, remedy)| (cause.as_str(), *remedy))
    }
}

fn are(peers: usize) -> String {
    if peers == 1 { "1 peer is".to_owned() } else { format!("{peers} peers are") }
}

fn share(part: u64, whole: u64) -> f64 {
    part.min(whole) as f64 / whole.max(1) as f64
}

fn millis(ms: f64) -> String {
    match ms {
        ms if ms >= 1_000.0 => format!("{:.1} s", ms / 1_000.0),
        ms if ms >= 10.0 => format!("{ms:.0} ms"),
        ms => format!("{ms:.1} ms"),
    }
}

/// Bytes in the unit that leaves few digits: powers of 1,024.
fn size(bytes: f64) -> String {
    match bytes {
        bytes if bytes >= 1_073_741_824.0 => format!("{:.1} GiB", bytes / 1_073_741_824.0),
        bytes if bytes >= 1_048_576.0 => format!("{:.0} MiB", bytes / 1_048_576.0),
        bytes if bytes >= 1_024.0 => format!("{:.0} KiB", bytes / 1_024.0),
        bytes => format!("{bytes:.0} B"),
    }
}

fn rate(measure: Measure, bytes: Option<f64>) -> Row {
    let shown = bytes.map_or("not measured".to_owned(), |bytes| format!("{}/s", size(bytes)));
    let value = bytes.filter(|bytes| bytes.is_finite());
    Row { measure, value, shown, threshold: String::new(), state: None, remedy: None }
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
    /// Takes the verdict of a sample; true when its state is another than before. A worse one is taken at once, a better
    /// one when two samples in a row say so: nothing flickers, and no row is worse than the verdict.
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
        if verdict.state < before.state && self.candidate.is_none_or(|candidate| verdict.state > candidate) {
            self.candidate = Some(verdict.state);
            return false;
        }
        self.candidate = None;
        if self.changes.len() >= MOST_CHANGES {
            self.changes.pop_front();
        }
        self.changes.push_back(Change { at, from: before.state, to: verdict.clone() });
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
