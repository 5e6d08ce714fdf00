//! What it takes a newcomer to have the whole catalogue, and equals to find that they are, in one
//! run:
//! `cargo bench --bench sync`.
//!
//! Each side is a process of its own. Beside it: the same records verified and stored by one
//! thread, without a network.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod packages;

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use libp2p::identity::Keypair;
use packages::{Record, drafts, signed};
use swarmdex::{
    clock,
    domain::{
        manifest::Manifest,
        record::{Authorised, Head},
    },
    metrics::Metrics,
    node::{DhtMode, Node, NodeOptions},
    store::Store,
};

const PACKAGES: usize = 63_666;
const BATCH: usize = 1_000;
const EQUAL: usize = 20;

#[track_caller]
fn median(mut values: Vec<f64>) -> f64 {
    assert!(
        !values.is_empty(),
        "nothing was measured, and a figure of nothing is none"
    );
    values.sort_unstable_by(f64::total_cmp);
    values[values.len() / 2]
}

async fn start(dir: &Path, door: Option<&str>) -> (Node, String) {
    let node = Node::start(NodeOptions {
        listen: vec!["/ip4/127.0.0.1/tcp/0".parse().unwrap()],
        bootstrap: door.iter().map(|door| door.parse().unwrap()).collect(),
        mdns: false,
        dht: DhtMode::Server,
        // Only when it is told to.
        sync_every: Duration::from_secs(3_600),
        // Bytes move when the bench moves them.
        copies: 0,
        keep_for_others: 0,
        ..NodeOptions::of(dir.to_owned(), "bench".parse().unwrap())
    })
    .await
    .unwrap();
    let address = node.status().await.unwrap().addresses[0].clone();
    (node, address)
}

/// A node in a process of its own, which ends with this one.
struct Peer(Child, String);

impl Peer {
    fn start(dir: &Path) -> Self {
        let exe = std::env::current_exe().unwrap();
        let mut child = Command::new(exe)
            .args(["serve", dir.to_str().unwrap()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut address = String::new();
        BufReader::new(child.stdout.as_mut().unwrap())
            .read_line(&mut address)
            .unwrap();
        Self(child, address.trim().to_owned())
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

async fn serve(dir: &Path) {
    let (_node, address) = start(dir, None).await;
    println!("{address}");
    tokio::task::spawn_blocking(|| std::io::stdin().read_line(&mut String::new()))
        .await
        .unwrap()
        .unwrap();
}

async fn fill(dir: &Path, records: Vec<Record>) {
    let store = Store::open(dir, Metrics::default()).unwrap();
    for batch in records.chunks(BATCH) {
        store
            .take_heads(batch.to_vec(), clock::now())
            .await
            .unwrap();
    }
}

/// The floor: what every signature and every row costs, one after the other.
async fn alone(records: &[Record]) -> (f64, f64) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), Metrics::default()).unwrap();
    let begun = Instant::now();
    let verified: Vec<Record> = records
        .iter()
        .map(|(head, manifest)| {
            let head = Authorised::<Head>::verify(head.envelope()).unwrap();
            (
                head,
                manifest
                    .as_ref()
                    .map(|manifest| Authorised::<Manifest>::verify(manifest.envelope()).unwrap()),
            )
        })
        .collect();
    let verifying = begun.elapsed().as_secs_f64();
    let begun = Instant::now();
    for batch in verified.chunks(BATCH) {
        store
            .take_heads(batch.to_vec(), clock::now())
            .await
            .unwrap();
    }
    (verifying, begun.elapsed().as_secs_f64())
}

async fn measure() {
    let key = Keypair::generate_ed25519();
    let records = signed(&key, drafts(PACKAGES));
    let bytes: usize = records
        .iter()
        .map(|(head, manifest)| {
            head.envelope().len() + manifest.as_ref().map_or(0, |one| one.envelope().len())
        })
        .sum();
    let (verifying, storing) = alone(&records).await;
    let (full, fresh) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    fill(full.path(), records).await;
    let peer = Peer::start(full.path());

    let begun = Instant::now();
    let (node, _) = start(fresh.path(), Some(&peer.1)).await;
    while node.status().await.unwrap().packages < PACKAGES as u64 {
        tokio::time::sleep(Duration::from_millis(10)).await;
        assert!(
            begun.elapsed() < Duration::from_secs(300),
            "{}",
            node.status().await.unwrap().packages
        );
    }
    let took = begun.elapsed().as_secs_f64();
    println!(
        "a newcomer has {PACKAGES} packages, verified and searchable, {took:.1} s after its start ({:.0} a second)",
        PACKAGES as f64 / took
    );
    println!(
        "  beside: verifying alone {verifying:.1} s and storing alone {storing:.1} s, in one thread each"
    );
    let metrics = node.metrics().await.unwrap();
    let moved = metrics
        .lines()
        .find(|line| line.starts_with("swarmdex_sync_bytes_total"))
        .unwrap();
    let moved: f64 = moved.rsplit(' ').next().unwrap().parse().unwrap();
    println!(
        "  {:.1} MiB moved for {:.1} MiB of records",
        moved / f64::from(1 << 20),
        bytes as f64 / f64::from(1 << 20)
    );

    let peer_id = peer.1.rsplit('/').next().unwrap().parse().unwrap();
    let (mut times, mut most) = (Vec::new(), 0);
    while times.len() < EQUAL {
        tokio::time::sleep(Duration::from_millis(600)).await;
        let begun = Instant::now();
        let Ok(report) = node.sync_with(peer_id).await else {
            continue;
        };
        assert_eq!((report.differed, report.they_lack), (0, 0));
        times.push(begun.elapsed().as_secs_f64() * 1_000.0);
        most = most.max(report.bytes);
    }
    println!(
        "equals find that they are in {:.1} ms and {most} bytes (median of {EQUAL}, most bytes)",
        median(times)
    );
    node.shutdown().await.unwrap();
}

fn main() {
    let words: Vec<String> = std::env::args()
        .skip(1)
        .filter(|word| !word.starts_with("--"))
        .collect();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    match words.as_slice() {
        [what, dir] if what == "serve" => runtime.block_on(serve(Path::new(dir))),
        _ => runtime.block_on(measure()),
    }
}
