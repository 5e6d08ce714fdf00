//! Measures the benefit of choosing peers by reputation and distance, compared with random choice
//! and with a score that is not smoothed, in one run: `cargo bench --bench selection`.
//!
//! 32 nodes in one process are placed in the cities of the world, with data between them delayed
//! accordingly. All know all. A quarter misbehaves: three lie, three are slow, two are silent. The
//! honest ones look up the packages and fetch the contents that they lack, both at the same time,
//! each one after the other.
//!
//! Each node starts one lookup and one fetch every half second, so that a node that chooses well is
//! not slowed down by asking more: the machine is half idle.
//!
//! Nothing but the selection is measured: the DHT is off, so that only connected peers can be
//! asked, and all peers are protected, so that none is banned. Nodes, packages, contents and
//! locations are the same each time, and each method starts without knowledge of the peers.
//!
//! Words after `--` choose methods: reputation, random, unsmoothed.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

#[path = "common/debian.rs"]
mod debian;

use std::{
    collections::{HashMap, HashSet},
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use debian::{Record, drafts, percentile, signed};
use futures::StreamExt;
use libp2p::{PeerId, identity::Keypair};
use rand::{RngExt, SeedableRng, rngs::StdRng, seq::SliceRandom};
use swarmdex::{
    clock,
    demo::city,
    domain::{
        faults::Ruling,
        geo::GeoLocation,
        manifest::Content,
        name::{PackageId, PackageRef},
        reputation::{Outcome, SelectionMethod},
        transfer::Part,
    },
    metrics::Metrics,
    node::{Conduct, Delays, DhtMode, Node, NodeHandle, NodeOptions, Staging},
    registry::{CatalogueScope, Wanted},
    store::{Store, keys},
};
use tokio::sync::mpsc;

const NODES: usize = 32;
const SEED: u64 = 7;
/// A misbehaving slow node: its rate in bytes per second, and the delay of its answers.
const SLOW: Conduct = Conduct::Late {
    rate: 128 << 10,
    by: Duration::from_secs(1),
};
const BAD: [Conduct; 8] = [
    Conduct::Lying,
    SLOW,
    Conduct::Silent,
    Conduct::Lying,
    SLOW,
    Conduct::Silent,
    Conduct::Lying,
    SLOW,
];
/// Number of packages, of which an honest node lacks one in ten, and a misbehaving one none.
const PACKAGES: usize = 1_000;
/// Number of contents, of which each node lacks one in two.
const CONTENTS: usize = 120;
/// Longest wait for a peer. It is shorter than a node's own five and ten seconds, which is lenient
/// to the methods that choose badly.
const PATIENCE: Duration = Duration::from_secs(2);
/// Interval between the starts of a node's lookups or fetches, unless one takes longer.
const PACE: Duration = Duration::from_millis(500);
/// Lookups and fetches of a node after which it should know whom to ask.
const LEARNING: [usize; 2] = [60, 40];

struct Lab {
    honest: Vec<Honest>,
    nodes: Vec<Node>,
    liars: HashSet<PeerId>,
}

/// An asking node, and what it lacks.
struct Honest {
    node: NodeHandle,
    packages: Vec<PackageId>,
    contents: Vec<Content>,
}

/// The outcome of one request.
struct Request {
    ms: f64,
    failed: bool,
    /// True if the node had learned by then.
    late: bool,
    /// Peers asked, and liars among them.
    asked: usize,
    lied: usize,
    size: u64,
}

#[derive(Default)]
struct Figures {
    lookups: Vec<Request>,
    fetches: Vec<Request>,
    wasted: f64,
    seconds: f64,
}

/// From 256 KiB, for which one peer is asked, to 1 MiB, for which eight are.
fn bytes_of(n: usize) -> Vec<u8> {
    let size = [256, 256, 512, 1_024][n % 4] << 10;
    let mut bytes = vec![0; size];
    blake3::Hasher::new()
        .update(&n.to_be_bytes())
        .finalize_xof()
        .fill(&mut bytes);
    bytes
}

async fn sent(node: &NodeHandle) -> f64 {
    let text = node.metrics().await.unwrap();
    let lines = text
        .lines()
        .filter(|line| line.starts_with("libp2p_bandwidth_bytes_total"));
    lines
        .filter(|line| line.contains("Outbound"))
        .map(|l| l.rsplit(' ').next().unwrap().parse::<f64>().unwrap())
        .sum()
}

/// Returns the number of times that peers were seen to do something.
async fn seen(node: &NodeHandle, outcome: Outcome) -> usize {
    let peers = node.peers().await.unwrap();
    let of = peers
        .iter()
        .flat_map(|peer| &peer.evidence)
        .filter(|one| one.outcome == outcome);
    of.map(|one| one.count as usize).sum()
}

/// Every fourth node misbehaves.
fn conduct(n: usize) -> Conduct {
    if n % 4 == 3 {
        BAD[n / 4]
    } else {
        Conduct::Honest
    }
}

impl Lab {
    async fn start(dir: &Path, selection: SelectionMethod, records: &[Record]) -> Self {
        let mut dice = StdRng::seed_from_u64(SEED);
        let cities = city::cities().unwrap();
        let homes: Vec<GeoLocation> = (0..NODES)
            .map(|n| {
                cities[n % cities.len()]
                    .near(dice.random_range(-0.2..0.2), dice.random_range(-0.2..0.2))
                    .unwrap()
            })
            .collect();
        let dirs: Vec<_> = (0..NODES).map(|n| dir.join(n.to_string())).collect();
        let mut lacking: Vec<Vec<PackageId>> = Vec::new();
        let mut ids = Vec::new();
        for (n, dir) in dirs.iter().enumerate() {
            std::fs::create_dir_all(dir).unwrap();
            ids.push(
                keys::load_or_create(&keys::identity_path(dir))
                    .unwrap()
                    .public()
                    .to_peer_id(),
            );
            let lacks =
                |dice: &mut StdRng| conduct(n) == Conduct::Honest && dice.random_ratio(1, 10);
            let (lacked, held): (Vec<Record>, Vec<Record>) =
                records.iter().cloned().partition(|_| lacks(&mut dice));
            let store = Store::open(dir, Metrics::default()).unwrap();
            store.take_heads(held, clock::now()).await.unwrap();
            let id = |(head, _): &Record| head.package().clone();
            lacking.push(lacked.iter().map(id).collect());
        }
        let places: Arc<HashMap<PeerId, GeoLocation>> =
            Arc::new(ids.iter().copied().zip(homes.clone()).collect());
        let mut nodes: Vec<Node> = Vec::new();
        let mut doors = Vec::new();
        for (n, dir) in dirs.into_iter().enumerate() {
            let mut options = NodeOptions::of(dir, "bench".parse().unwrap());
            options.net.listen = vec!["/ip4/127.0.0.1/tcp/0".parse().unwrap()];
            options.net.bootstrap = doors.clone();
            options.net.location = Some(homes[n].clone());
            options.net.mdns = false;
            options.net.dht = DhtMode::Client;
            options.net.query_timeout = PATIENCE;
            options.content.idle = PATIENCE;
            options.registry.catalogue = CatalogueScope::Partial;
            options.staging = Staging {
                delays: Some(Delays::by_distance(homes[n].clone(), places.clone(), SEED)),
                selection,
                ..Staging::of(conduct(n))
            };
            // Only the bench moves bytes.
            options.registry.copies = 0;
            options.registry.keep_for_others = 0;
            let node = Node::start(options).await.unwrap();
            doors.push(node.status().await.unwrap().addresses[0].parse().unwrap());
            for peer in ids.iter().filter(|id| **id != node.peer_id()) {
                node.judge(*peer, Ruling::Protect).await.unwrap();
            }
            nodes.push(node);
        }
        let mut contents: Vec<Vec<Content>> = vec![Vec::new(); NODES];
        for n in 0..CONTENTS {
            let bytes = bytes_of(n);
            let mut order: Vec<usize> = (0..NODES).collect();
            order.shuffle(&mut dice);
            let (holders, others) = order.split_at(NODES / 2);
            let put = |at: &usize| {
                let (contents, bytes) = (
                    nodes[*at].contents(),
                    Box::pin(std::io::Cursor::new(bytes.clone())),
                );
                async move { contents.put(bytes).await }
            };
            let put: Vec<_> = futures::stream::iter(holders)
                .map(put)
                .buffer_unordered(4)
                .collect()
                .await;
            let content = *put[0].as_ref().unwrap();
            others.iter().for_each(|at| contents[*at].push(content));
        }
        for node in &nodes {
            loop {
                let measured = |peers: Vec<swarmdex::bus::PeerSnapshot>| {
                    peers
                        .iter()
                        .filter(|peer| peer.connection.is_some() && !peer.rtts_ms.is_empty())
                        .count()
                };
                if measured(node.peers().await.unwrap()) == NODES - 1 {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
        // Medians are computed every five seconds.
        tokio::time::sleep(Duration::from_secs(6)).await;
        let honest = (0..NODES)
            .filter(|n| conduct(*n) == Conduct::Honest)
            .map(|n| {
                let (packages, contents) = (lacking[n].clone(), contents[n].clone());
                Honest {
                    node: nodes[n].handle(),
                    packages,
                    contents,
                }
            });
        let liars = ids
            .iter()
            .enumerate()
            .filter(|(n, _)| conduct(*n) == Conduct::Lying)
            .map(|(_, id)| *id)
            .collect();
        Self {
            honest: honest.collect(),
            nodes,
            liars,
        }
    }

    async fn run(&self) -> Figures {
        let before = self.sent().await;
        let began = Instant::now();
        let mut figures = Figures::default();
        for late in [false, true] {
            let runs = self.honest.iter().map(|one| async {
                let [packages, contents] = LEARNING;
                let (packages, contents) = if late {
                    (&one.packages[packages..], &one.contents[contents..])
                } else {
                    (&one.packages[..packages], &one.contents[..contents])
                };
                tokio::join!(
                    self.look_up(&one.node, packages, late),
                    self.fetch(&one.node, contents, late)
                )
            });
            for (lookups, fetches) in futures::future::join_all(runs).await {
                figures.lookups.extend(lookups);
                figures.fetches.extend(fetches);
            }
        }
        figures.seconds = began.elapsed().as_secs_f64();
        let used: u64 = figures
            .fetches
            .iter()
            .filter(|one| !one.failed)
            .map(|one| one.size)
            .sum();
        figures.wasted = (self.sent().await - before) / used as f64 - 1.0;
        figures
    }

    async fn sent(&self) -> f64 {
        let mut all = 0.0;
        for node in &self.nodes {
            all += sent(node).await;
        }
        all
    }

    async fn look_up(&self, node: &NodeHandle, packages: &[PackageId], late: bool) -> Vec<Request> {
        let mut done = Vec::new();
        let mut wrong = seen(node, Outcome::AnswerWrong).await;
        for package in packages {
            let begun = Instant::now();
            let got = node.registry().get_package(&PackageRef::of(package)).await;
            let ms = begun.elapsed().as_secs_f64() * 1_000.0;
            let now = seen(node, Outcome::AnswerWrong).await;
            // Three peers are asked, and up to three more in their place, so the share of liars is
            // at most this. They have all packages.
            done.push(Request {
                ms,
                failed: got.is_err(),
                late,
                asked: 3,
                lied: now.saturating_sub(wrong),
                size: 0,
            });
            wrong = now;
            tokio::time::sleep_until((begun + PACE).into()).await;
        }
        done
    }

    async fn fetch(&self, node: &NodeHandle, contents: &[Content], late: bool) -> Vec<Request> {
        let mut done = Vec::new();
        for content in contents {
            let (sender, mut progress) = mpsc::channel(1_024);
            let wanted = Wanted {
                content: *content,
                what: "bench".to_owned(),
                package: None,
                beside: None,
                for_others: false,
            };
            let begun = Instant::now();
            let got = node.contents().fetch(wanted, Some(sender)).await;
            let ms = begun.elapsed().as_secs_f64() * 1_000.0;
            let mut peers = Vec::new();
            while let Some(transfer) = progress.recv().await {
                peers = transfer.peers;
            }
            let lied = peers
                .iter()
                .filter(|peer| self.liars.contains(&peer.peer) || peer.part == Part::Lied)
                .count();
            done.push(Request {
                ms,
                failed: got.is_err(),
                late,
                asked: peers.len(),
                lied,
                size: content.size,
            });
            tokio::time::sleep_until((begun + PACE).into()).await;
        }
        done
    }

    async fn stop(self) {
        futures::future::join_all(self.nodes.into_iter().map(Node::shutdown)).await;
    }
}

/// Returns the median and the 95th percentile of some requests, in milliseconds.
fn times<'a>(requests: impl Iterator<Item = &'a Request>) -> (f64, f64) {
    let mut ms: Vec<f64> = requests.map(|one| one.ms).collect();
    (percentile(&mut ms, 0.5), percentile(&mut ms, 0.95))
}

/// Returns the share of liars among the peers asked, in per cent.
fn liars<'a>(requests: impl Iterator<Item = &'a Request>) -> f64 {
    let (lied, asked) = requests.fold((0, 0), |(lied, asked), one| {
        (lied + one.lied, asked + one.asked)
    });
    lied as f64 * 100.0 / asked.max(1) as f64
}

fn late(one: &&Request) -> bool {
    one.late
}

fn tell(name: &str, figures: &Figures) {
    let all = || figures.lookups.iter().chain(&figures.fetches);
    println!(
        "{name}: {} requests in {:.0} s, {} failed",
        all().count(),
        figures.seconds,
        all().filter(|one| one.failed).count()
    );
    for (what, requests) in [("lookup", &figures.lookups), ("fetch", &figures.fetches)] {
        let ((p50, p95), (after50, after95)) =
            (times(requests.iter()), times(requests.iter().filter(late)));
        let asked =
            requests.iter().map(|one| one.asked).sum::<usize>() as f64 / requests.len() as f64;
        let asked = if what == "fetch" {
            format!("{asked:.1}")
        } else {
            "3 to 6".to_owned()
        };
        println!(
            "  {what:<6} p50 {p50:>5.0} ms, p95 {p95:>5.0}; after 100 requests p50 \
             {after50:>5.0}, p95 {after95:>5.0}; \
             {asked} asked for each, {:.1} % of them liars, then {:.1} %",
            liars(requests.iter()),
            liars(requests.iter().filter(late)),
        );
    }
    for (what, of) in [("256 KiB", 256 << 10), ("more", 0)] {
        let (p50, p95) = times(
            figures
                .fetches
                .iter()
                .filter(|one| (one.size == 256 << 10) == (of > 0)),
        );
        println!("    {what:<7} p50 {p50:>5.0} ms, p95 {p95:>5.0}");
    }
    println!(
        "  {:.1} % more bytes sent than were of use",
        figures.wasted * 100.0
    );
}

fn goal(met: bool) -> &'static str {
    if met { "met" } else { "missed" }
}

#[tokio::main]
async fn main() {
    let words: Vec<String> = std::env::args()
        .skip(1)
        .filter(|word| !word.starts_with("--"))
        .collect();
    rlimit::increase_nofile_limit(8_192).unwrap();
    let records = signed(&Keypair::generate_ed25519(), drafts(PACKAGES));
    let mut results = HashMap::new();
    let ways = [
        ("reputation", SelectionMethod::Reputation),
        ("random", SelectionMethod::Random),
        ("unsmoothed", SelectionMethod::Unsmoothed),
    ];
    for (name, selection) in ways
        .into_iter()
        .filter(|(name, _)| words.is_empty() || words.iter().any(|w| w == name))
    {
        // On the disk that a node would use, and not in memory.
        let dir = tempfile::tempdir_in(std::env::current_dir().unwrap().join("target")).unwrap();
        let lab = Lab::start(dir.path(), selection, &records).await;
        let figures = lab.run().await;
        lab.stop().await;
        tell(name, &figures);
        results.insert(name, figures);
    }
    let Some(ours) = results.get("reputation") else {
        return;
    };
    for other in ["random", "unsmoothed"] {
        let Some(figures) = results.get(other) else {
            continue;
        };
        println!("{other} beside reputation, times as long or as many:");
        for (what, ours, theirs) in [
            ("lookup", &ours.lookups, &figures.lookups),
            ("fetch", &ours.fetches, &figures.fetches),
        ] {
            let ((a50, a95), (b50, b95)) = (times(ours.iter()), times(theirs.iter()));
            let ((c50, c95), (d50, d95)) = (
                times(ours.iter().filter(late)),
                times(theirs.iter().filter(late)),
            );
            let verdict = match other {
                "random" => format!(
                    "; goal 2 at p95 {}, then {}",
                    goal(b95 / a95 >= 2.0),
                    goal(d95 / c95 >= 2.0)
                ),
                _ => String::new(),
            };
            println!(
                "  {what:<6} p50 {:.2}, p95 {:.2}; after 100 requests p50 {:.2}, p95 \
                 {:.2}{verdict}",
                b50 / a50,
                b95 / a95,
                d50 / c50,
                d95 / c95
            );
        }
        println!("  wasted bytes {:.2}", figures.wasted / ours.wasted);
    }
    let lied = liars(ours.lookups.iter().chain(&ours.fetches).filter(late));
    println!(
        "liars chosen after 100 requests of each node: {lied:.2} % (goal less than 2: {})",
        goal(lied < 2.0)
    );
}
