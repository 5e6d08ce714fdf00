//! Measures the overhead of a swarm of ours over bare libp2p, both in one run on loopback: `cargo
//! bench --bench swarm`.
//!
//! `SWARMDEX_BENCH_NODES` sets the number of nodes (32).

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

#[path = "common/bare_libp2p.rs"]
mod bare_libp2p;

use std::{io::Write, path::Path, time::Duration};

use bare_libp2p::{Floor, random_key};
use libp2p::Multiaddr;
use swarmdex::{
    domain::{
        manifest::Draft,
        name::{PackageId, PackageRef},
    },
    node::{DhtMode, Node, NodeOptions},
    registry::{CatalogueScope, Source},
};
use tokio::{sync::mpsc, time::Instant};

/// Messages, packages, and gets of each kind.
const ROUNDS: usize = 30;
/// Nodes that join after the packages were announced and compare no catalogues, so they hold only
/// the last few packages.
const LATE: usize = 8;
/// Time between the starts of two nodes.
const STAGGER: Duration = Duration::from_millis(20);

#[derive(Default)]
struct Figures {
    joined_ms: f64,
    gossip_ms: Vec<f64>,
    present_ms: Vec<f64>,
    absent_ms: Vec<f64>,
    stored_ms: Vec<f64>,
    node_mib: f64,
    idle_percent: f64,
}

#[track_caller]
fn percentile(values: &[f64], share: f64) -> f64 {
    assert!(
        !values.is_empty(),
        "nothing was measured, and a figure of nothing is none"
    );
    let mut values = values.to_vec();
    values.sort_unstable_by(f64::total_cmp);
    values[((values.len() as f64 * share) as usize).min(values.len() - 1)]
}

fn ms(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1_000.0
}

fn rss_mib() -> f64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: f64 = text
        .split_whitespace()
        .nth(1)
        .and_then(|pages| pages.parse().ok())
        .expect("the process says so");
    pages * 4_096.0 / 1_048_576.0
}

/// Returns the processor time of this process in seconds: fields 14 and 15 of `/proc/self/stat`, in
/// hundredths.
fn cpu_seconds() -> f64 {
    let text = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after_name = text.rsplit(')').next().unwrap_or_default();
    let fields: Vec<f64> = after_name
        .split_whitespace()
        .skip(11)
        .take(2)
        .filter_map(|field| field.parse().ok())
        .collect();
    fields.iter().sum::<f64>() / 100.0
}

async fn idle_percent() -> f64 {
    const SETTLE: Duration = Duration::from_secs(8);
    const MEASURE: Duration = Duration::from_secs(10);
    tokio::time::sleep(SETTLE).await;
    let before = cpu_seconds();
    tokio::time::sleep(MEASURE).await;
    (cpu_seconds() - before) / MEASURE.as_secs_f64() * 100.0
}

async fn floor(nodes: usize) -> Figures {
    let mut figures = Figures::default();
    let memory = rss_mib();
    let (heard, mut hears) = mpsc::unbounded_channel();
    let started = Instant::now();
    let mut swarm: Vec<Floor> = Vec::new();
    for _ in 0..nodes {
        let door = swarm.first().map(|node| node.address.clone());
        swarm.push(Floor::start(door, heard.clone()).await);
        tokio::time::sleep(STAGGER).await;
    }
    for node in &swarm {
        while node.connected().await < nodes / 2 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    figures.joined_ms = ms(started);
    figures.idle_percent = idle_percent().await;
    figures.node_mib = (rss_mib() - memory) / nodes as f64;
    for round in 0..ROUNDS {
        let mut data = vec![0; 1_024];
        data[..8].copy_from_slice(&(round as u64).to_be_bytes());
        let sent = Instant::now();
        swarm[round % nodes].publish(data.clone());
        for _ in 1..nodes {
            let (_, at) = tokio::time::timeout(Duration::from_secs(10), hears.recv())
                .await
                .unwrap()
                .unwrap();
            figures
                .gossip_ms
                .push(at.duration_since(sent).as_secs_f64() * 1_000.0);
        }
    }
    let keys: Vec<Vec<u8>> = (0..ROUNDS).map(|_| random_key()).collect();
    for (round, key) in keys.iter().enumerate() {
        swarm[round % nodes].put(key.clone(), vec![1; 1_024]).await;
    }
    let mut late = Vec::new();
    for _ in 0..LATE {
        let node = Floor::start(Some(swarm[0].address.clone()), heard.clone()).await;
        while node.connected().await < nodes / 2 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        late.push(node);
    }
    for (round, key) in keys.iter().enumerate() {
        let asked = Instant::now();
        assert!(late[round % LATE].get(key.clone()).await);
        figures.present_ms.push(ms(asked));
        let asked = Instant::now();
        assert!(!late[round % LATE].get(random_key()).await);
        figures.absent_ms.push(ms(asked));
    }
    figures
}

async fn start(dir: &Path, door: Option<&str>, catalogue: CatalogueScope) -> (Node, String) {
    let mut options = NodeOptions::of(dir.to_owned(), "bench".parse().unwrap());
    options.registry.catalogue = catalogue;
    options.net.listen = vec!["/ip4/127.0.0.1/tcp/0".parse::<Multiaddr>().unwrap()];
    options.net.bootstrap = door.iter().map(|door| door.parse().unwrap()).collect();
    options.net.mdns = false;
    options.net.dht = DhtMode::Server;
    // Only the bench moves bytes.
    options.registry.copies = 0;
    options.registry.keep_for_others = 0;
    let node = Node::start(options).await.unwrap();
    let address = node.status().await.unwrap().addresses[0].clone();
    (node, address)
}

async fn connected(node: &Node, least: usize) {
    while node.status().await.unwrap().connected < least {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn draft(name: &str) -> Draft {
    toml::from_str(&format!(
        "name = \"{name}\"\nversion = \"1.0.0\"\ndescription = \"{}\"",
        "words ".repeat(100)
    ))
    .unwrap()
}

async fn ours(nodes: usize) -> Figures {
    let mut figures = Figures::default();
    let root = tempfile::tempdir().unwrap();
    let memory = rss_mib();
    let started = Instant::now();
    let mut swarm = Vec::new();
    let mut door: Option<String> = None;
    for n in 0..nodes {
        let (node, address) = start(
            &root.path().join(format!("{n}")),
            door.as_deref(),
            CatalogueScope::Full,
        )
        .await;
        door.get_or_insert(address);
        swarm.push(node);
        tokio::time::sleep(STAGGER).await;
    }
    for node in &swarm {
        connected(node, nodes / 2).await;
    }
    figures.joined_ms = ms(started);
    figures.idle_percent = idle_percent().await;
    figures.node_mib = (rss_mib() - memory) / nodes as f64;

    let mut packages: Vec<PackageId> = Vec::new();
    // Each node's own reader reports the time until an announcement was verified there.
    let mut readers: Vec<_> = swarm.iter().map(|node| node.subscribe()).collect();
    for round in 0..ROUNDS {
        let content = swarm[round % nodes]
            .contents()
            .put(Box::pin(std::io::Cursor::new(vec![round as u8])))
            .await
            .unwrap();
        let registry = swarm[round % nodes].registry();
        let receipt = registry
            .publish(draft(&format!("package-{round}")), content.into(), None)
            .await
            .unwrap();
        figures
            .stored_ms
            .push(receipt.steps.stored.as_secs_f64() * 1_000.0);
        for (n, reader) in readers.iter_mut().enumerate() {
            let heard = async {
                loop {
                    let batch = reader.recv().await.unwrap();
                    if let Some(one) = batch
                        .announcements
                        .iter()
                        .find(|one| one.package == receipt.package)
                    {
                        return one.travelled;
                    }
                }
            };
            let travelled = tokio::time::timeout(Duration::from_secs(10), heard)
                .await
                .expect("heard everywhere");
            if n != round % nodes {
                figures.gossip_ms.push(travelled.as_secs_f64() * 1_000.0);
            }
        }
        packages.push(receipt.package);
    }
    drop(readers);
    let mut late = Vec::new();
    for n in 0..LATE {
        let (node, _) = start(
            &root.path().join(format!("late-{n}")),
            door.as_deref(),
            CatalogueScope::Partial,
        )
        .await;
        connected(&node, nodes / 2).await;
        late.push(node);
    }
    for (round, package) in packages.iter().enumerate() {
        let registry = late[round % LATE].registry();
        let asked = Instant::now();
        let found = registry
            .get_package(&PackageRef::of(package))
            .await
            .unwrap();
        // Gossip passes the last few announcements on to late nodes; packages known by that are not
        // fetched.
        if matches!(found.source, Source::Dht | Source::Peer(_)) {
            figures.present_ms.push(ms(asked));
        }
        let absent = format!("{}/absent-{round}", package.owner).parse().unwrap();
        let asked = Instant::now();
        assert!(!registry.exists(&absent).await.unwrap());
        figures.absent_ms.push(ms(asked));
    }
    let measured = figures.present_ms.len();
    assert!(
        measured >= ROUNDS / 2,
        "{measured} of {ROUNDS} gets found nothing held: too few to say how long they take"
    );
    for node in swarm.into_iter().chain(late) {
        node.shutdown().await.unwrap();
    }
    figures
}

/// Measures appending 4 KiB and syncing it, in milliseconds.
fn fsync() -> Vec<f64> {
    let dir = tempfile::tempdir().unwrap();
    let mut file = std::fs::File::create(dir.path().join("bare")).unwrap();
    (0..ROUNDS)
        .map(|_| {
            let started = std::time::Instant::now();
            file.write_all(&[0; 4_096]).unwrap();
            file.sync_all().unwrap();
            started.elapsed().as_secs_f64() * 1_000.0
        })
        .collect()
}

fn main() {
    // `cargo test` runs it without `--bench`; then it does nothing.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let nodes = std::env::var("SWARMDEX_BENCH_NODES")
        .ok()
        .and_then(|nodes| nodes.parse().ok())
        .unwrap_or(32);
    let _ = rlimit::increase_nofile_limit(20_000);
    let runtime = || {
        tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .unwrap()
    };
    let run = runtime();
    let ours = run.block_on(ours(nodes));
    run.shutdown_timeout(Duration::from_secs(2));
    let run = runtime();
    let floor = run.block_on(floor(nodes));
    run.shutdown_timeout(Duration::from_secs(2));
    let sync = fsync();

    let row = |what: &str, ours: f64, floor: f64, goal: &str| {
        println!(
            "{what:<44} {ours:>9.2} {floor:>9.2} {:>7.2}  {goal}",
            ours / floor
        );
    };
    println!("{nodes} nodes in one process, no added latency");
    println!(
        "{:<44} {:>9} {:>9} {:>7}  goal",
        "", "ours", "floor", "ratio"
    );
    row(
        "joined (each connected to half), ms",
        ours.joined_ms,
        floor.joined_ms,
        "5000",
    );
    row(
        "gossip to verified, p50, ms",
        percentile(&ours.gossip_ms, 0.5),
        percentile(&floor.gossip_ms, 0.5),
        "",
    );
    row(
        "gossip to verified, p95, ms",
        percentile(&ours.gossip_ms, 0.95),
        percentile(&floor.gossip_ms, 0.95),
        "25",
    );
    row(
        "get, present, not held, p50, ms",
        percentile(&ours.present_ms, 0.5),
        percentile(&floor.present_ms, 0.5),
        "",
    );
    row(
        "get, present, not held, p95, ms",
        percentile(&ours.present_ms, 0.95),
        percentile(&floor.present_ms, 0.95),
        "10",
    );
    row(
        "get, absent, p50, ms",
        percentile(&ours.absent_ms, 0.5),
        percentile(&floor.absent_ms, 0.5),
        "",
    );
    row(
        "get, absent, p95, ms",
        percentile(&ours.absent_ms, 0.95),
        percentile(&floor.absent_ms, 0.95),
        "25",
    );
    row(
        "publish stored, median (floor: one fsync), ms",
        percentile(&ours.stored_ms, 0.5),
        percentile(&sync, 0.5),
        "5",
    );
    row("memory a node, MiB", ours.node_mib, floor.node_mib, "10");
    row(
        "idle, all nodes, % of a core",
        ours.idle_percent,
        floor.idle_percent,
        "5",
    );
}
