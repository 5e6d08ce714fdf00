//! Turns batches of events into sentences. It is pure: the time is an argument.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use jiff::tz::TimeZone;
use libp2p::PeerId;

use crate::{
    bus::{Batch, Counters, Direction, Level, NodeSnapshot, Notice, PeerSnapshot, delay_ms},
    clock,
    control::Link,
    domain::{
        conflict::Case,
        hash::ContentRoot,
        health::{self, HealthState, History, Sample},
        name::{Handle, PublisherId, short_id},
        size::Size,
        text::printable,
        time::{Ago, Timestamp, Took},
        transfer::{Part, Transfer, TransferId, TransferState},
        trust::{SeenClaims, Trust},
    },
    registry::{ReceivedAnnouncement, title},
};

/// Most sentences about peers in one second; more is too fast to follow.
const PEER_LINES: usize = 20;
const SECOND: Duration = Duration::from_secs(1);
/// Time between two summaries.
const SUMMARY_EVERY: Duration = Duration::from_secs(60);
/// Downloads that are remembered.
const FETCHES: usize = 1_000;
/// Age up to which the end of an unknown download is reported.
const NEWS: Duration = Duration::from_secs(5);

/// The state that the sentences so far have described.
pub(super) struct Narrator {
    zone: TimeZone,
    addresses: Vec<String>,
    /// Connected peers, each with the name used for it.
    peers: HashMap<PeerId, String>,
    fetches: HashMap<ContentRoot, Fetch>,
    pace: SentenceRate,
    counts: SummaryCounts,
    health: History,
    claims: SeenClaims,
    lost_at: Option<Timestamp>,
    summarised: (Timestamp, SummaryCounts),
}

/// The reported state of a download.
#[derive(Default)]
struct Fetch {
    state: Option<&'static str>,
    liars: HashSet<PeerId>,
}

/// The figures of a summary.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct SummaryCounts {
    peers: usize,
    packages: u64,
    refused: u64,
    /// Events dropped by the bus because this reader was too slow.
    lost: u64,
    /// Messages dropped by the node because it was overloaded.
    overloaded: u64,
}

/// Limits the rate of sentences about peers.
struct SentenceRate {
    since: Timestamp,
    said: usize,
    held_back: usize,
}

impl Narrator {
    pub fn new(now: Timestamp) -> Self {
        Self::in_zone(now, TimeZone::system())
    }

    fn in_zone(now: Timestamp, zone: TimeZone) -> Self {
        Self {
            zone,
            addresses: Vec::new(),
            peers: HashMap::new(),
            fetches: HashMap::new(),
            pace: SentenceRate {
                since: now,
                said: 0,
                held_back: 0,
            },
            counts: SummaryCounts::default(),
            health: History::default(),
            claims: SeenClaims::default(),
            lost_at: None,
            summarised: (now, SummaryCounts::default()),
        }
    }

    /// Returns the first sentences, followed by the node's identity and addresses.
    pub fn begin(&mut self, node: &NodeSnapshot, first: &[String]) -> Vec<String> {
        let now = self.summarised.0;
        let name = node
            .handle
            .as_ref()
            .map_or(String::new(), |handle| format!("{handle}, "));
        let mut said = first.to_vec();
        said.push(format!(
            "you are {name}node {} in network {}",
            node.peer_id, node.network
        ));
        self.listening(node, &mut said);
        self.count(node);
        self.summarised.1 = self.counts;
        self.dated(now, said)
    }

    pub fn batch(&mut self, batch: Batch, now: Timestamp) -> Vec<String> {
        let mut said = Vec::new();
        batch.note_claims(&mut self.claims);
        if let Some(node) = &batch.node {
            self.listening(node, &mut said);
            self.count(node);
        }
        self.connections(batch.peers, &batch.gone, now, &mut said);
        let announced = batch.announcements.iter();
        said.extend(announced.map(|one| announcement(one, &self.claims)));
        batch
            .transfers
            .iter()
            .for_each(|transfer| self.fetch(transfer, now, &mut said));
        said.extend(batch.notices.iter().map(notice));
        said.extend(batch.conflicts.iter().map(conflict));
        if let Some(Counters {
            refused,
            overloaded,
            ..
        }) = batch.counters
        {
            self.counts.refused = refused.values().sum();
            self.counts.overloaded = overloaded;
        }
        self.counts.lost = batch.dropped;
        if let Some(sample) = &batch.health {
            self.health(sample, now, &mut said);
        }
        self.dated(now, said)
    }

    /// Says that the node was lost or is back.
    pub fn link(&mut self, link: &Link, now: Timestamp) -> Vec<String> {
        let said = match (link, self.lost_at) {
            (Link::Lost { why }, None) => {
                self.lost_at = Some(now);
                format!("the node does not answer: {why}; reconnecting")
            }
            (Link::Here, Some(at)) => {
                self.lost_at = None;
                format!("the node answers again, after {}", Ago(now.since(at)))
            }
            _ => return Vec::new(),
        };
        self.dated(now, vec![said])
    }

    /// Returns the sentences that are due.
    pub fn tick(&mut self, now: Timestamp) -> Vec<String> {
        let mut said = Vec::new();
        said.extend(self.pace.next_second(now));
        let (at, told) = self.summarised;
        if now.since(at) >= SUMMARY_EVERY {
            self.summarised = (now, self.counts);
            if told != self.counts {
                let SummaryCounts {
                    peers,
                    packages,
                    refused,
                    lost,
                    overloaded,
                } = self.counts;
                let dropped = lost.saturating_add(overloaded);
                let (s, p) = (
                    plural(peers),
                    plural(usize::try_from(packages).unwrap_or(usize::MAX)),
                );
                said.push(format!(
                    "{peers} peer{s}, {packages} package{p}, {refused} refused, {dropped} dropped"
                ));
            }
        }
        self.dated(now, said)
    }

    /// Adds a change of the health verdict; the first verdict only if it is not good.
    fn health(&mut self, sample: &Sample, now: Timestamp, said: &mut Vec<String>) {
        let first = self.health.verdict().is_none();
        let changed = self.health.take(health::verdict(sample), now);
        let Some(verdict) = self
            .health
            .verdict()
            .filter(|verdict| changed || first && verdict.state > HealthState::Good)
        else {
            return;
        };
        let remedy = if verdict.remedy.is_empty() {
            String::new()
        } else {
            format!("; what to do: {}", verdict.remedy)
        };
        said.push(format!(
            "health is {}: {}{remedy}",
            verdict.state.label(),
            verdict.cause
        ));
    }

    /// Adds the start of a download, peers that lied, and its end. Uploads are not reported.
    fn fetch(&mut self, transfer: &Transfer, now: Timestamp, said: &mut Vec<String>) {
        let TransferId::Fetch { root } = transfer.id else {
            return;
        };
        if self.fetches.len() >= FETCHES && !self.fetches.contains_key(&root) {
            self.fetches
                .retain(|_, fetch| matches!(fetch.state, Some("waiting" | "running")));
        }
        let what = &transfer.what;
        // The node repeats all transfers when another reader subscribes.
        let news = transfer
            .ended_at
            .is_none_or(|ended| now.since(ended) < NEWS);
        let fetch = self.fetches.entry(root).or_default();
        let before = fetch.state.replace(transfer.state.label());
        for liar in transfer.peers.iter().filter(|peer| peer.part == Part::Lied) {
            if fetch.liars.insert(liar.peer) && (news || before.is_some()) {
                let name = self
                    .peers
                    .get(&liar.peer)
                    .cloned()
                    .unwrap_or_else(|| short_id(&liar.peer));
                said.push(format!(
                    "peer {name} lied: its data for {what} failed verification and was discarded"
                ));
            }
        }
        if before == fetch.state || before.is_none() && !news {
            return;
        }
        let under_way = |state: Option<&str>| matches!(state, Some("waiting" | "running"));
        if transfer.for_others {
            return;
        }
        let size = Size(transfer.size);
        said.extend(match &transfer.state {
            TransferState::Waiting | TransferState::Running if under_way(before) => None,
            TransferState::Waiting | TransferState::Running => {
                Some(format!("downloading {what}, {size}"))
            }
            TransferState::Done => {
                let givers = transfer.peers.iter().filter(|peer| peer.bytes > 0).count();
                let time = Took(transfer.ended_at.unwrap_or(now).since(transfer.started_at));
                let resumed = match transfer.resumed {
                    0 => String::new(),
                    resumed => format!(", {} kept from an earlier attempt", Size(resumed)),
                };
                Some(format!(
                    "downloaded {what}: {size} from {givers} peer{} in {time}{resumed}",
                    plural(givers)
                ))
            }
            TransferState::Failed(why) => Some(format!("download of {what} failed: {why}")),
            TransferState::Paused => Some(format!(
                "download of {what} paused at {} of {size}",
                Size(transfer.done)
            )),
            TransferState::Cancelled => Some(format!("download of {what} cancelled")),
        });
    }

    fn count(&mut self, node: &NodeSnapshot) {
        (self.counts.peers, self.counts.packages) = (node.connected, node.packages);
    }

    fn listening(&mut self, node: &NodeSnapshot, said: &mut Vec<String>) {
        let before = std::mem::replace(&mut self.addresses, node.addresses.clone());
        let new = self
            .addresses
            .iter()
            .filter(|address| !before.contains(address));
        said.extend(new.map(|address| format!("listening on {address}")));
        let gone = before
            .iter()
            .filter(|address| !self.addresses.contains(address));
        said.extend(gone.map(|address| format!("no longer listening on {address}")));
    }

    fn connections(
        &mut self,
        mut changed: Vec<PeerSnapshot>,
        gone: &[PeerId],
        now: Timestamp,
        said: &mut Vec<String>,
    ) {
        said.extend(self.pace.next_second(now));
        // A batch is unordered, so sort by time.
        changed.sort_by_key(|peer| {
            (
                peer.connection.as_ref().map(|connection| connection.since),
                peer.id,
            )
        });
        for peer in changed {
            let line = self.connection(&peer);
            said.extend(line.and_then(|line| self.pace.admit(line)));
        }
        for peer in gone {
            let line = self.gone(peer);
            said.extend(line.and_then(|line| self.pace.admit(line)));
        }
    }

    /// Describes a change of a peer: it connected, disconnected, or named its publisher.
    fn connection(&mut self, peer: &PeerSnapshot) -> Option<String> {
        let Some(connection) = &peer.connection else {
            return self.gone(&peer.id);
        };
        let name = match &peer.owner {
            Some(owner) => {
                let sign = sign(&self.claims, &owner.handle, &owner.publisher);
                format!("{sign}{owner}'s {}", short_id(&peer.id))
            }
            None => short_id(&peer.id),
        };
        let first = self.peers.is_empty();
        match self.peers.insert(peer.id, name.clone()) {
            Some(before) if before == name => None,
            Some(before) => Some(format!("peer {before} is {name}")),
            None => {
                let address = &connection.address;
                let who = match connection.direction {
                    Direction::Inbound => "inbound",
                    Direction::Outbound => "outbound",
                };
                Some(if first {
                    format!("joined: {name} is connected at {address}, {who}")
                } else {
                    format!("peer connected: {name} at {address}, {who}")
                })
            }
        }
    }

    fn gone(&mut self, peer: &PeerId) -> Option<String> {
        let name = self.peers.remove(peer)?;
        let alone = if self.peers.is_empty() {
            "; no peers left"
        } else {
            ""
        };
        Some(format!("peer gone: {name}{alone}"))
    }

    /// Prefixes the time, and removes line breaks and control characters.
    fn dated(&self, now: Timestamp, said: Vec<String>) -> Vec<String> {
        if said.is_empty() {
            return said;
        }
        let time = clock::time_of_day(now, self.zone.clone());
        said.into_iter()
            .map(|line| format!("{time} {}", printable(&line)))
            .collect()
    }
}

impl SentenceRate {
    /// Starts the next second if this one is over, and reports how many sentences were held back.
    fn next_second(&mut self, now: Timestamp) -> Option<String> {
        if now.since(self.since) < SECOND && now >= self.since {
            return None;
        }
        (self.since, self.said) = (now, 0);
        let held_back = std::mem::take(&mut self.held_back);
        (held_back > 0).then(|| format!("and {held_back} more peer{} changed", plural(held_back)))
    }

    fn admit(&mut self, line: String) -> Option<String> {
        if self.said >= PEER_LINES {
            self.held_back += 1;
            return None;
        }
        self.said += 1;
        Some(line)
    }
}

/// Returns the sign of a handle that other keys claim too.
fn sign(claims: &SeenClaims, handle: &Handle, publisher: &PublisherId) -> &'static str {
    if claims.is_contested(handle, publisher) {
        "! "
    } else {
        ""
    }
}

fn announcement(one: &ReceivedAnnouncement, claims: &SeenClaims) -> String {
    let done = if one.yanked { "yanked" } else { "announced" };
    let summary = one.summary.trim_end_matches(['.', ' ']);
    let summary = if summary.is_empty() {
        String::new()
    } else {
        format!(": {summary}")
    };
    let from = match &one.via {
        Some(peer) => {
            let ms = delay_ms(one.delay);
            let delay = if ms < 10_000.0 {
                format!("{ms:.0} ms")
            } else {
                format!("{:.0} s", ms / 1_000.0)
            };
            format!("via {}, delay {delay}", short_id(peer))
        }
        None => "by you".to_owned(),
    };
    let trust = match one.trust {
        Trust::Unknown | Trust::Own => String::new(),
        said => format!(", {}", said.label()),
    };
    let owner = &one.package.owner;
    let sign = one
        .handle
        .as_ref()
        .map_or("", |handle| sign(claims, handle, owner));
    format!(
        "{done} {sign}{} {}{summary}, {from}{trust}",
        title(&one.package, one.handle.as_ref(), one.trust),
        one.version
    )
}

/// Describes a conflict that is new.
fn conflict(case: &Case) -> String {
    format!(
        "conflict: {}; see `swarmdex conflict show {}`",
        case.headline(),
        case.id.short()
    )
}

fn notice(notice: &Notice) -> String {
    let level = match notice.level {
        Level::Info => "info",
        Level::Warning => "warning",
        Level::Error => "error",
    };
    format!("{level}: {}", notice.text)
}

fn plural(count: usize) -> &'static str {
    if count == 1 { "" } else { "s" }
}

#[cfg(test)]
mod tests;
