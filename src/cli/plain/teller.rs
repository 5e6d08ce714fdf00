//! Batches of the bus as sentences. Pure: the time comes with each call.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use jiff::tz::TimeZone;
use libp2p::PeerId;

use crate::{
    bus::{Batch, Counters, Direction, Level, NodeSnapshot, Notice, PeerSnapshot, delay_ms},
    clock,
    domain::{
        conflict::Case,
        hash::ContentRoot,
        health::{self, History, Sample, State},
        name::short_id,
        size::Size,
        text::printable,
        time::{Timestamp, Took},
        transfer::{Part, Transfer, TransferId, TransferState},
        trust::Trust,
    },
    registry::{Announced, title},
};

/// Sentences about peers in one second; a person can follow no more, and a storm of connections
/// says nothing else.
const PEER_LINES: usize = 20;
const SECOND: Duration = Duration::from_secs(1);
/// Time between two summaries.
const SUMMARY_EVERY: Duration = Duration::from_secs(60);
/// Fetches that are remembered.
const FETCHES: usize = 1_000;
/// The end of a fetch that was not seen before is news for this long.
const NEWS: Duration = Duration::from_secs(5);

/// What a listener has been told.
pub(super) struct Teller {
    zone: TimeZone,
    addresses: Vec<String>,
    /// Connected peers, and what each was called.
    peers: HashMap<PeerId, String>,
    fetches: HashMap<ContentRoot, Fetch>,
    pace: Pace,
    counts: Counts,
    health: History,
    summarised: (Timestamp, Counts),
}

/// What was told of a fetch.
#[derive(Default)]
struct Fetch {
    state: Option<&'static str>,
    liars: HashSet<PeerId>,
}

/// What a summary says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counts {
    peers: usize,
    packages: u64,
    refused: u64,
    /// By the bus, because lines were taken more slowly than they came.
    lost: u64,
    /// By the node, for want of room.
    overloaded: u64,
}

/// Bounds the sentences about peers.
struct Pace {
    since: Timestamp,
    said: usize,
    held_back: usize,
}

impl Teller {
    pub fn new(now: Timestamp) -> Self {
        Self::in_zone(now, TimeZone::system())
    }

    fn in_zone(now: Timestamp, zone: TimeZone) -> Self {
        Self {
            zone,
            addresses: Vec::new(),
            peers: HashMap::new(),
            fetches: HashMap::new(),
            pace: Pace {
                since: now,
                said: 0,
                held_back: 0,
            },
            counts: Counts::default(),
            health: History::default(),
            summarised: (now, Counts::default()),
        }
    }

    /// Who this node is and where it listens, after these sentences.
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
        if let Some(node) = &batch.node {
            self.listening(node, &mut said);
            self.count(node);
        }
        self.connections(batch.peers, &batch.gone, now, &mut said);
        said.extend(batch.announcements.iter().map(announced));
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

    /// What its time has come for.
    pub fn tick(&mut self, now: Timestamp) -> Vec<String> {
        let mut said = Vec::new();
        said.extend(self.pace.next_second(now));
        let (at, told) = self.summarised;
        if now.since(at) >= SUMMARY_EVERY {
            self.summarised = (now, self.counts);
            if told != self.counts {
                let Counts {
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

    /// The verdict, when it is another: at first only if there is something to say.
    fn health(&mut self, sample: &Sample, now: Timestamp, said: &mut Vec<String>) {
        let first = self.health.verdict().is_none();
        let changed = self.health.take(health::verdict(sample), now);
        let Some(verdict) = self
            .health
            .verdict()
            .filter(|verdict| changed || first && verdict.state > State::Good)
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

    /// That a fetch begins, who lied in it, and how it ends. What others fetch of this node is told
    /// by nobody.
    fn fetch(&mut self, transfer: &Transfer, now: Timestamp, said: &mut Vec<String>) {
        let TransferId::Fetch { root } = transfer.id else {
            return;
        };
        if self.fetches.len() >= FETCHES && !self.fetches.contains_key(&root) {
            self.fetches
                .retain(|_, fetch| matches!(fetch.state, Some("waiting" | "running")));
        }
        let what = &transfer.what;
        // A node tells all of them again when somebody else begins to listen.
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
                    "peer {name} lied: bytes it gave for {what} do not verify, and were thrown away"
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
                Some(format!("fetching {what}, {size}"))
            }
            TransferState::Done => {
                let givers = transfer.peers.iter().filter(|peer| peer.bytes > 0).count();
                let time = Took(transfer.ended_at.unwrap_or(now).since(transfer.started_at));
                let resumed = match transfer.resumed {
                    0 => String::new(),
                    resumed => format!(", {} of it were here from before", Size(resumed)),
                };
                Some(format!(
                    "fetched {what}: {size} from {givers} peer{} in {time}{resumed}",
                    plural(givers)
                ))
            }
            TransferState::Failed(why) => Some(format!("fetching {what} failed: {why}")),
            TransferState::Paused => Some(format!(
                "fetching {what} is paused at {} of {size}",
                Size(transfer.done)
            )),
            TransferState::Cancelled => Some(format!("fetching {what} was cancelled")),
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
        // In the order in which they came, because the batch has none.
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

    /// What there is to be said of a peer: that it came, that it went, or whose it is.
    fn connection(&mut self, peer: &PeerSnapshot) -> Option<String> {
        let Some(connection) = &peer.connection else {
            return self.gone(&peer.id);
        };
        let name = match &peer.owner {
            Some(owner) => format!("{owner}'s {}", short_id(&peer.id)),
            None => short_id(&peer.id),
        };
        let first = self.peers.is_empty();
        match self.peers.insert(peer.id, name.clone()) {
            Some(before) if before == name => None,
            Some(before) => Some(format!("peer {before} is {name}")),
            None => {
                let address = &connection.address;
                let who = match connection.direction {
                    Direction::Inbound => "it dialled",
                    Direction::Outbound => "we dialled",
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
            "; no peer is left"
        } else {
            ""
        };
        Some(format!("peer gone: {name}{alone}"))
    }

    /// Each with the time, on one line, and with nothing in it that a terminal or a braille display
    /// would act on.
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

impl Pace {
    /// Begins another second if this one is over, and says what was held back in it.
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

fn announced(one: &Announced) -> String {
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
    format!(
        "{done} {} {}{summary}, {from}{trust}",
        title(&one.package, one.handle.as_ref(), one.trust),
        one.version
    )
}

/// Where it is seen first.
fn conflict(case: &Case) -> String {
    format!(
        "conflict: {}; `swarmdex conflict show {}` says more",
        case.news(),
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
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::{
        bus::Connection,
        domain::{
            name::{PackageId, PublisherId},
            record::Refusal,
            reputation::Score,
            transfer::TransferPeer,
        },
        registry::NodeOwner,
    };

    /// 12:00:00 UTC.
    const NOON: Timestamp = Timestamp(1_795_435_200_000);

    fn later(ms: u64) -> Timestamp {
        Timestamp(NOON.0 + ms)
    }

    fn teller() -> Teller {
        Teller::in_zone(NOON, TimeZone::UTC)
    }

    fn node(peers: usize, packages: u64) -> NodeSnapshot {
        NodeSnapshot {
            peer_id: PeerId::random(),
            network: "lab".to_owned(),
            addresses: vec!["/ip4/127.0.0.1/tcp/1".to_owned()],
            handle: Some("alice".to_owned()),
            connected: peers,
            known_peers: peers,
            packages,
            dht_records: 0,
            dht_server: true,
            mdns: true,
            mesh: 0,
            clock_offset_ms: None,
            location: None,
            started_at: NOON,
        }
    }

    fn peer(id: PeerId, connected: bool) -> PeerSnapshot {
        let connection = Connection {
            address: "/ip4/127.0.0.1/tcp/2".to_owned(),
            direction: Direction::Inbound,
            since: NOON,
        };
        PeerSnapshot {
            id,
            owner: None,
            agent: None,
            connection: connected.then_some(connection),
            addresses: Vec::new(),
            protocols: Vec::new(),
            rtts_ms: Vec::new(),
            score: Score::default(),
            location: None,
            distance_km: None,
            provenance: None,
            packages: None,
            room: 0,
            first_seen: NOON,
            last_seen: NOON,
            evidence: Vec::new(),
            in_mesh: false,
            basis: crate::domain::reputation::Basis::default(),
            gossip_score: None,
            traffic: crate::bus::Traffic::default(),
            sheet: None,
        }
    }

    fn package() -> Announced {
        let publisher = PublisherId::of(&libp2p::identity::Keypair::generate_ed25519().public());
        Announced {
            at: NOON,
            package: PackageId {
                owner: publisher,
                name: "web".parse().unwrap(),
            },
            handle: Some("bob".parse().unwrap()),
            trust: Trust::Unknown,
            version: "1.2.3".parse().unwrap(),
            summary: "A \u{1b}[31mweb\nserver.".to_owned(),
            yanked: false,
            via: Some(PeerId::random()),
            delay: Duration::from_millis(12),
            travelled: Duration::from_millis(3),
            seq: 1,
        }
    }

    fn peers(peers: Vec<PeerSnapshot>) -> Batch {
        Batch {
            peers,
            events: 1,
            ..Batch::default()
        }
    }

    #[test]
    fn it_begins_with_who_and_where() {
        let node = node(0, 0);
        let said = teller().begin(&node, &["a demo".to_owned()]);
        let you = format!(
            "12:00:00 you are alice, node {} in network lab",
            node.peer_id
        );
        assert_eq!(
            said,
            [
                "12:00:00 a demo",
                &you,
                "12:00:00 listening on /ip4/127.0.0.1/tcp/1"
            ]
        );
    }

    #[test]
    fn a_peer_is_told_of_when_it_comes_goes_and_is_somebodys() {
        let (mut teller, a, b) = (teller(), PeerId::random(), PeerId::random());
        let (short_a, short_b) = (short_id(&a), short_id(&b));
        let mut tell = |batch| teller.batch(batch, later(61_000)).join("; ");
        let at = "/ip4/127.0.0.1/tcp/2, it dialled";
        let joined = tell(peers(vec![peer(a, true)]));
        assert_eq!(
            joined,
            format!("12:01:01 joined: {short_a} is connected at {at}")
        );
        assert_eq!(
            tell(peers(vec![peer(a, true)])),
            "",
            "a new round trip is nothing to be told of"
        );
        assert_eq!(
            tell(peers(vec![peer(b, false)])),
            "",
            "nor is one that is only known"
        );
        assert_eq!(
            tell(peers(vec![peer(b, true)])),
            format!("12:01:01 peer connected: {short_b} at {at}")
        );
        let owner = NodeOwner {
            publisher: package().package.owner,
            handle: "bob".parse().unwrap(),
        };
        let bob = format!("bob ({})", owner.publisher.fingerprint());
        let owned = PeerSnapshot {
            owner: Some(owner),
            ..peer(b, true)
        };
        assert_eq!(
            tell(peers(vec![owned])),
            format!("12:01:01 peer {short_b} is {bob}'s {short_b}")
        );
        assert_eq!(
            tell(peers(vec![peer(a, false)])),
            format!("12:01:01 peer gone: {short_a}")
        );
        let forgotten = Batch {
            gone: vec![a, b],
            events: 2,
            ..Batch::default()
        };
        assert_eq!(
            tell(forgotten),
            format!("12:01:01 peer gone: {bob}'s {short_b}; no peer is left")
        );
    }

    #[test]
    fn a_storm_of_peers_is_twenty_lines_a_second_and_a_count() {
        let mut teller = teller();
        let storm = || peers((0..50).map(|_| peer(PeerId::random(), true)).collect());
        assert_eq!(teller.batch(storm(), later(100)).len(), PEER_LINES);
        assert!(
            teller.batch(storm(), later(900)).is_empty(),
            "the same second"
        );
        assert!(teller.tick(later(950)).is_empty());
        assert_eq!(
            teller.tick(later(1_100)),
            ["12:00:01 and 80 more peers changed"]
        );
        assert_eq!(
            teller.batch(storm(), later(1_200)).len(),
            PEER_LINES,
            "a new second has room again"
        );
        let mut next = teller.batch(storm(), later(2_300));
        assert_eq!(
            next.remove(0),
            "12:00:02 and 30 more peers changed",
            "also without a tick in between"
        );
        assert_eq!(next.len(), PEER_LINES);
    }

    #[test]
    fn announcements_and_notices_are_one_harmless_line_each() {
        let mut teller = teller();
        let (first, own) = (
            package(),
            Announced {
                via: None,
                yanked: true,
                trust: Trust::Pinned,
                ..package()
            },
        );
        let slow = Announced {
            delay: Duration::from_secs(90),
            summary: String::new(),
            ..package()
        };
        let from = first.via.map(|peer| short_id(&peer)).unwrap();
        let [key, slow_key] = [&first, &slow].map(|one| one.package.owner.fingerprint());
        let notices = vec![Notice {
            at: NOON,
            level: Level::Warning,
            text: "disk\r\u{202e}full".to_owned(),
        }];
        let batch = Batch {
            announcements: vec![first, own, slow],
            notices,
            events: 4,
            ..Batch::default()
        };
        let said = teller.batch(batch, later(5_000));
        assert_eq!(
            said[0],
            format!(
                "12:00:05 announced bob/web ({key}) 1.2.3: A [31mweb server, via {from}, delay 12 ms"
            )
        );
        assert_eq!(
            said[1],
            "12:00:05 yanked bob/web 1.2.3: A [31mweb server, by you, pinned"
        );
        assert!(
            said[2].contains(&format!("announced bob/web ({slow_key}) 1.2.3, via"))
                && said[2].ends_with("delay 90 s"),
            "{}",
            said[2]
        );
        assert_eq!(said[3], "12:00:05 warning: disk full");
    }

    #[test]
    fn a_summary_comes_once_a_minute_and_only_when_something_changed() {
        let mut teller = teller();
        let addresses = node(0, 0).addresses;
        teller.begin(&node(0, 0), &[]);
        assert!(teller.tick(later(60_000)).is_empty(), "nothing has changed");
        let refused: BTreeMap<_, _> = [(Refusal::BadSignature, 2)].into();
        let counters = Some(Counters {
            refused,
            overloaded: 3,
            ..Counters::default()
        });
        let node = Some(NodeSnapshot {
            addresses,
            ..node(1, 12)
        });
        let batch = Batch {
            node,
            counters,
            dropped: 4,
            events: 2,
            ..Batch::default()
        };
        assert!(teller.batch(batch, later(61_000)).is_empty());
        assert!(
            teller.tick(later(119_000)).is_empty(),
            "its time has not come"
        );
        assert_eq!(
            teller.tick(later(120_000)),
            ["12:02:00 1 peer, 12 packages, 2 refused, 7 dropped"]
        );
        assert!(teller.tick(later(180_000)).is_empty());
    }

    #[test]
    fn addresses_that_come_and_go_are_told() {
        let mut teller = teller();
        teller.begin(&node(0, 0), &[]);
        let moved = NodeSnapshot {
            addresses: vec!["/ip4/127.0.0.1/tcp/9".to_owned()],
            ..node(0, 0)
        };
        let said = teller.batch(
            Batch {
                node: Some(moved),
                events: 1,
                ..Batch::default()
            },
            NOON,
        );
        assert_eq!(
            said,
            [
                "12:00:00 listening on /ip4/127.0.0.1/tcp/9",
                "12:00:00 no longer listening on /ip4/127.0.0.1/tcp/1"
            ]
        );
    }

    #[test]
    fn a_fetch_is_told_when_it_begins_ends_and_somebody_lies() {
        let (mut teller, liar) = (teller(), PeerId::random());
        let giver = |part, bytes| TransferPeer {
            part,
            bytes,
            ..TransferPeer::new(PeerId::random())
        };
        let fetch = |root: &[u8], state, ended: Option<u64>| Transfer {
            id: TransferId::Fetch {
                root: ContentRoot::of(root),
            },
            what: "bob/web 1.2.3".to_owned(),
            size: 3 << 20,
            done: 1 << 20,
            resumed: 0,
            rate: 0.0,
            state,
            peers: vec![
                giver(Part::Giving, 1),
                giver(Part::Idle, 1),
                giver(Part::Slow, 0),
            ],
            started_at: NOON,
            ended_at: ended.map(later),
            for_others: false,
            beside: false,
        };
        let mut tell = |transfer: Transfer, at| {
            teller
                .batch(
                    Batch {
                        transfers: vec![transfer],
                        events: 1,
                        ..Batch::default()
                    },
                    later(at),
                )
                .join("; ")
        };
        let (waiting, running) = (TransferState::Waiting, TransferState::Running);
        assert_eq!(
            tell(fetch(b"a", waiting, None), 0),
            "12:00:00 fetching bob/web 1.2.3, 3.0 MiB"
        );
        assert_eq!(
            tell(fetch(b"a", running.clone(), None), 100),
            "",
            "it goes on"
        );
        let mut lied = fetch(b"a", running.clone(), None);
        lied.peers.push(TransferPeer {
            part: Part::Lied,
            refused: 1,
            ..TransferPeer::new(liar)
        });
        let said = tell(lied.clone(), 200);
        let short = short_id(&liar);
        assert!(
            said.ends_with("thrown away")
                && said.contains(&format!("peer {short} lied: bytes it gave")),
            "{said}"
        );
        assert_eq!(tell(lied.clone(), 300), "", "once");
        let done = Transfer {
            state: TransferState::Done,
            ended_at: Some(later(4_200)),
            resumed: 1 << 20,
            ..lied
        };
        let all = "12:00:04 fetched bob/web 1.2.3: 3.0 MiB from 2 peers in 4.2 s, 1.0 MiB of it were here from before";
        assert_eq!(tell(done.clone(), 4_200), all);
        assert_eq!(tell(done, 60_000), "", "another listener came");
        let why = || TransferState::Failed("nobody has it".to_owned());
        assert_eq!(
            tell(fetch(b"b", why(), Some(0)), 60_000),
            "",
            "what ended before is no news"
        );
        assert_eq!(
            tell(fetch(b"c", why(), Some(60_000)), 60_000),
            "12:01:00 fetching bob/web 1.2.3 failed: nobody has it"
        );
        assert_eq!(
            tell(fetch(b"c", running, None), 61_000),
            "12:01:01 fetching bob/web 1.2.3, 3.0 MiB",
            "tried again"
        );
        assert!(
            tell(fetch(b"c", TransferState::Paused, Some(62_000)), 62_000)
                .ends_with("is paused at 1.0 MiB of 3.0 MiB")
        );
        let served = TransferId::Serve {
            root: ContentRoot::of(b"a"),
            peer: liar,
        };
        assert_eq!(
            tell(
                Transfer {
                    id: served,
                    ..fetch(b"d", TransferState::Running, None)
                },
                63_000
            ),
            ""
        );
    }

    #[test]
    fn health_is_told_when_it_is_another() {
        let mut teller = teller();
        let health = |sample: Sample| Batch {
            health: Some(sample),
            events: 1,
            ..Batch::default()
        };
        let alone = Sample {
            running_for: Duration::from_secs(60),
            ..Sample::default()
        };
        let said = teller.batch(health(alone.clone()), NOON);
        assert!(
            said[0].contains("health is degraded: nobody") && said[0].contains("what to do: start"),
            "{said:?}"
        );
        assert!(teller.batch(health(alone), later(2_000)).is_empty(), "once");
        let well = Sample {
            running_for: Duration::from_secs(60),
            peers_in: 1,
            announce_mesh: 1,
            announce_subscribers: 1,
            routing_table: 1,
            ..Sample::default()
        };
        assert!(
            teller.batch(health(well.clone()), later(4_000)).is_empty(),
            "it must hold"
        );
        let said = teller.batch(health(well), later(6_000));
        assert!(
            said[0].contains("health is good: connected to 1 peer"),
            "{said:?}"
        );
    }
}
