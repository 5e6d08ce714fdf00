//! Measures the time for a new node to get the whole catalogue, and for equal nodes to find that
//! they are equal, in one run: `cargo bench --bench sync`.
//!
//! Each side is a process of its own. Beside it: the same records verified and stored by one
//! thread, without a network. `cargo bench --bench sync -- beside BINARY` runs this bench of
//! another build and of this one in turns, and prints the processor's time and the database by
//! part.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

#[path = "common/debian.rs"]
mod debian;
#[path = "common/usage.rs"]
mod usage;

use std::{
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use debian::{Record, drafts, signed};
use libp2p::identity::Keypair;
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
use usage::Threads;

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
    let mut options = NodeOptions::of(dir.to_owned(), "bench".parse().unwrap());
    options.net.listen = vec!["/ip4/127.0.0.1/tcp/0".parse().unwrap()];
    options.net.bootstrap = door.iter().map(|door| door.parse().unwrap()).collect();
    options.net.mdns = false;
    options.net.dht = DhtMode::Server;
    // Only when it is told to.
    options.registry.sync_every = Duration::from_secs(3_600);
    // Only the bench moves bytes.
    options.registry.copies = 0;
    options.registry.keep_for_others = 0;
    let node = Node::start(options).await.unwrap();
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

/// The baseline: every signature and every row, one after the other.
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
        "a newcomer has {PACKAGES} packages, verified and searchable, {took:.1} s after its start \
         ({:.0} a second)",
        PACKAGES as f64 / took
    );
    println!(
        "  beside: verifying alone {verifying:.1} s and storing alone {storing:.1} s, in one \
         thread each"
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

/// The figures of one run of a build, in seconds and MiB.
struct Run {
    figures: Vec<(&'static str, f64)>,
    sizes: Vec<(&'static str, f64)>,
}

/// Runs the bench of a build and measures it from outside, in the same way for each build.
fn run(binary: &Path) -> Run {
    let dir = tempfile::tempdir().unwrap();
    let mut child = Command::new(binary)
        .arg("--bench")
        .env("TMPDIR", dir.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let threads = Threads::of(child.id());
    let (mut lines, mut server, mut copy) = (Vec::new(), None, None);
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        if line.starts_with("a newcomer has") {
            let (process, data_dir) = child_of(child.id());
            let at = dir.path().join("copy.db");
            std::fs::copy(data_dir.join("swarmdex.db"), &at).unwrap();
            let used: f64 = Threads::of(process)
                .once()
                .iter()
                .map(|(_, used)| used)
                .sum();
            (server, copy) = (Some(used), Some(at));
        }
        lines.push(line);
    }
    assert!(child.wait().unwrap().success());
    let of = |names: &str| {
        let threads = threads.so_far();
        let used = threads.into_iter().filter(|(name, _)| name == names);
        used.map(|(_, used)| used).collect::<Vec<_>>()
    };
    // One of each kind: the store alone, the filled one, and the new node's.
    let stores = of("store");
    let [alone, _, newcomer] = stores.as_slice() else {
        panic!("three stores, not {stores:?}");
    };
    let said = |after: &str| number_after(&lines, after);
    Run {
        figures: vec![
            (
                "until a newcomer has all, seconds",
                said("verified and searchable, "),
            ),
            ("verifying alone", said("verifying alone ")),
            ("storing alone, processor", *alone),
            ("newcomer storing, processor", *newcomer),
            (
                "newcomer verifying and receiving, processor",
                of("tokio-rt-worker").iter().sum(),
            ),
            ("server, processor", server.unwrap()),
        ],
        sizes: usage::sizes(&copy.unwrap()),
    }
}

fn number_after(lines: &[String], text: &str) -> f64 {
    let rest = lines
        .iter()
        .find_map(|line| line.split_once(text))
        .unwrap()
        .1;
    rest.split(' ').next().unwrap().parse().unwrap()
}

/// Returns the serving process and its data directory.
fn child_of(parent: u32) -> (u32, PathBuf) {
    let children = format!("/proc/{parent}/task/{parent}/children");
    let mut all = vec![std::fs::read_to_string(children).unwrap()];
    for task in std::fs::read_dir(format!("/proc/{parent}/task"))
        .unwrap()
        .flatten()
    {
        all.extend(std::fs::read_to_string(task.path().join("children")).ok());
    }
    let process = all
        .iter()
        .flat_map(|one| one.split_whitespace())
        .next()
        .unwrap();
    let said = std::fs::read_to_string(format!("/proc/{process}/cmdline")).unwrap();
    let data_dir = said.trim_end_matches('\0').rsplit('\0').next().unwrap();
    (process.parse().unwrap(), data_dir.into())
}

fn beside(other: &Path) {
    /// Runs of each, of which the median counts.
    const RUNS: usize = 3;
    let this = std::env::current_exe().unwrap();
    let (mut before, mut now) = (Vec::new(), Vec::new());
    for _ in 0..RUNS {
        before.push(run(other));
        now.push(run(&this));
    }
    println!("{:<46}{:>9}{:>9}{:>9}", "seconds", "before", "now", "share");
    for at in 0..now[0].figures.len() {
        let of = |runs: &[Run]| median(runs.iter().map(|run| run.figures[at].1).collect());
        print_row(now[0].figures[at].0, of(&before), of(&now));
    }
    println!(
        "{:<46}{:>9}{:>9}{:>9}",
        "MiB of the database", "before", "now", "share"
    );
    for (at, (part, now)) in now[0].sizes.iter().enumerate() {
        print_row(part, before[0].sizes[at].1, *now);
    }
}

fn print_row(what: &str, before: f64, now: f64) {
    println!(
        "{what:<46}{before:>9.2}{now:>9.2}{:>8.0}%",
        now / before * 100.0
    );
}

fn main() {
    let words: Vec<String> = std::env::args()
        .skip(1)
        .filter(|word| !word.starts_with("--"))
        .collect();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    match words.as_slice() {
        [what, dir] if what == "serve" => runtime.block_on(serve(Path::new(dir))),
        [what, other] if what == "beside" => beside(Path::new(other)),
        _ => runtime.block_on(measure()),
    }
}
