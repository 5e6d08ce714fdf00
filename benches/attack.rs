//! Measures how much data one stranger, and four, can make a node keep, in one run: `cargo bench
//! --bench attack`.
//!
//! The node is a separate process, so that its memory can be measured; the strangers are bare peers
//! in this process, each with its own key and connection. For each store it prints the size before,
//! after an attack by one identity, after one by four, and the bound that the rules promise.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice
)]

#[path = "common/debian.rs"]
mod debian;
#[path = "../tests/lab/mod.rs"]
mod lab;

use std::{
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    time::Duration,
};
use swarmdex::ecosystem::Ecosystem;

use futures::{StreamExt, stream};
use lab::{BarePeer, DAY, TCP, options, silent};
use libp2p::{Multiaddr, PeerId, identity::Keypair};
use swarmdex::{
    clock,
    domain::{
        hash::Hash,
        manifest::{Draft, File, Manifest},
        name::PublisherId,
        record::{Announcement, Authorised, DhtKey, Head, HeadState, Record},
        release::ReleaseEntry,
        time::Timestamp,
    },
    metrics::Metrics,
    node::Node,
    store::Store,
};

/// Number of attacking identities, and the amount that each sends.
const ONE: usize = 1;
const FOUR: usize = 4;
const STATES: usize = 600;
const KEYS: usize = 900;
const CLAIMS: usize = 4_000;
const RECORDS: usize = 2_000;
/// Concurrent requests of one peer.
const AT_ONCE: usize = 32;
/// The limit of the catalogue that many keys try to fill: small, so that the bench can fill it.
const SMALL: u64 = 2 << 20;
const KNOWN: usize = 300;

/// Returns a manifest of a little more than `long` bytes: a description of up to a thousand
/// characters, and then dependencies.
fn manifest(key: &Keypair, name: &str, version: &str, long: usize) -> Authorised<Manifest> {
    let text = "all kinds of words ".repeat(60);
    let whose = PublisherId::of(&key.public());
    let needs: Vec<String> = (0..(long.saturating_sub(1_000) / 120).min(48))
        .map(|n| {
            format!(
                "{{ package = \"{whose}/{}-{n}\", requirement = \"*\" }}",
                "a".repeat(30)
            )
        })
        .collect();
    let draft: Draft = toml::from_str(&format!(
        "name = \"{name}\"\nversion = \"{version}\"\ndescription = \"{}\"\ndependencies = [{}]",
        &text[..long.clamp(1, 1_000)],
        needs.join(", ")
    ))
    .unwrap();
    let content = File::of(&Ecosystem::Generic, name, name.as_bytes());
    Authorised::sign(
        key,
        draft
            .into_manifest(PublisherId::of(&key.public()), content, clock::now())
            .unwrap(),
    )
    .unwrap()
}

fn head(key: &Keypair, name: &str, seq: u64, releases: Vec<ReleaseEntry>) -> Authorised<Head> {
    let prev = if seq > 1 {
        vec![Hash::of(b"before")]
    } else {
        vec![]
    };
    let state = HeadState {
        seq,
        prev,
        ..HeadState::first(Ecosystem::Generic, name.parse().unwrap(), releases)
    };
    state.sign(key, clock::now(), DAY).unwrap().0
}

fn listed(manifest: &Authorised<Manifest>) -> ReleaseEntry {
    ReleaseEntry::new(manifest.version.clone(), manifest.hash())
}

fn announcement(key: &Keypair, name: &str, seq: u64, long: usize) -> Vec<u8> {
    let manifest = manifest(key, name, &format!("1.{seq}.0"), long);
    let head = head(key, name, seq, vec![listed(&manifest)]);
    Announcement::sign(key, clock::now(), head, manifest)
        .unwrap()
        .encode()
        .unwrap()
        .to_vec()
}

/// Returns a head of more than 9 KiB.
fn large(key: &Keypair, n: usize) -> Record {
    let entry = |at: usize| {
        ReleaseEntry::new(
            format!("1.{n}.{at}-{}", "a".repeat(50)).parse().unwrap(),
            Hash::of(&at.to_be_bytes()),
        )
    };
    Record::Head(head(
        key,
        &format!("large-{n}"),
        1,
        (0..95).map(entry).collect(),
    ))
}

/// A node in a process of its own.
struct Victim {
    child: Child,
    asks: ChildStdin,
    says: BufReader<ChildStdout>,
    address: String,
    dir: tempfile::TempDir,
}

/// The figures that the node reports.
struct Figures {
    catalogue: u64,
    packages: u64,
    claims: u64,
    claim_bytes: u64,
    record_bytes: u64,
    /// Memory of the process.
    memory: u64,
    /// Size of the data directory, including the database's log.
    disk: u64,
}

impl Victim {
    fn start(catalogue: u64, dir: tempfile::TempDir) -> Self {
        let exe = std::env::current_exe().unwrap();
        let mut child = Command::new(exe)
            .args([
                "serve",
                dir.path().to_str().unwrap(),
                &catalogue.to_string(),
            ])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (asks, says) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let mut victim = Self {
            child,
            asks,
            says: BufReader::new(says),
            address: String::new(),
            dir,
        };
        victim.address = victim.line();
        victim
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.says.read_line(&mut line).unwrap();
        line.trim().to_owned()
    }

    fn id(&self) -> PeerId {
        self.address.rsplit('/').next().unwrap().parse().unwrap()
    }

    fn figures(&mut self) -> Figures {
        writeln!(self.asks, "figures").unwrap();
        let line = self.line();
        let numbers: Vec<u64> = line
            .split(' ')
            .map(|number| number.parse().unwrap())
            .collect();
        let [catalogue, packages, claims, claim_bytes, record_bytes] = numbers.try_into().unwrap();
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))
            .unwrap_or_default();
        let memory = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .unwrap_or_default();
        let memory = memory
            .trim()
            .split(' ')
            .next()
            .unwrap()
            .parse::<u64>()
            .unwrap_or(0)
            << 10;
        let files = std::fs::read_dir(self.dir.path()).unwrap().flatten();
        let disk = files
            .filter_map(|file| file.metadata().ok())
            .filter(|about| about.is_file())
            .map(|about| about.len());
        Figures {
            catalogue,
            packages,
            claims,
            claim_bytes,
            record_bytes,
            memory,
            disk: disk.sum(),
        }
    }

    /// Returns its figures once they have been stable for a while: everything received is stored
    /// and the log is emptied.
    async fn settled(&mut self) -> Figures {
        let mut before = self.figures();
        loop {
            tokio::time::sleep(Duration::from_millis(2_500)).await;
            let now = self.figures();
            let of = |figures: &Figures| {
                (
                    figures.catalogue,
                    figures.packages,
                    figures.claims,
                    figures.record_bytes,
                    figures.disk,
                )
            };
            if of(&now) == of(&before) {
                return now;
            }
            before = now;
        }
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

async fn serve(dir: &Path, catalogue: u64) {
    let mut options = options(dir, TCP, &[]);
    options.registry.catalogue_bytes = catalogue;
    let node = Node::start(options).await.unwrap();
    println!("{}", node.status().await.unwrap().addresses[0]);
    loop {
        let asked = tokio::task::spawn_blocking(|| std::io::stdin().read_line(&mut String::new()))
            .await
            .unwrap();
        if asked.unwrap_or(0) == 0 {
            return;
        }
        let text = node.metrics().await.unwrap();
        let figure = |name: &str| {
            let line = text.lines().find(|line| {
                line.strip_prefix(name)
                    .is_some_and(|rest| rest.starts_with(' '))
            });
            line.and_then(|line| line.rsplit(' ').next())
                .unwrap_or("0")
                .to_owned()
        };
        let names = [
            "catalogue_bytes",
            "catalogue_packages",
            "provider_claims",
            "provider_claims_bytes",
            "dht_records_bytes",
        ];
        println!(
            "{}",
            names
                .map(|name| figure(&format!("swarmdex_{name}")))
                .join(" ")
        );
    }
}

async fn strangers(count: usize, victim: &Victim) -> Vec<BarePeer> {
    let mut peers = Vec::new();
    for _ in 0..count {
        let peer = BarePeer::start(silent()).await;
        peer.dial(victim.address.parse().unwrap()).await;
        peers.push(peer);
    }
    peers
}

fn megabytes(bytes: u64) -> String {
    format!("{:.2} MB", bytes as f64 / 1e6)
}

fn row(what: &str, figures: [String; 3], bound: &str) {
    println!(
        "{what:<58} {:>12} {:>12} {:>12}   {bound}",
        figures[0], figures[1], figures[2]
    );
}

/// Sends states of one package, each replacing the one before.
async fn one_name() {
    let mut disk = Vec::new();
    let mut victim = Victim::start(1 << 30, tempfile::tempdir().unwrap());
    disk.push(megabytes(victim.settled().await.disk));
    for count in [ONE, FOUR] {
        let peers = strangers(count, &victim).await;
        for peer in &peers {
            let key = Keypair::generate_ed25519();
            for n in 0..STATES {
                peer.shout(&announcement(&key, "name", n as u64 + 1, 4_000 + n));
                if n.is_multiple_of(50) {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
        disk.push(megabytes(victim.settled().await.disk));
    }
    row(
        "data directory, 600 announcements of one name each",
        disk.try_into().unwrap(),
        "1 MB a name",
    );
}

/// Sends one package of each of many keys to a node with a small catalogue and long-known
/// publishers.
async fn many_keys() {
    let dir = tempfile::tempdir().unwrap();
    let key = Keypair::generate_ed25519();
    {
        let store = Store::open(dir.path(), Metrics::default()).unwrap();
        let records = (0..KNOWN).map(|n| {
            let name = format!("tool-{n}");
            let manifest = manifest(&key, &name, "1.0.0", 600);
            (
                head(&key, &name, 1, vec![listed(&manifest)]),
                Some(manifest),
            )
        });
        let long_ago: Timestamp = clock::now().before(10 * DAY);
        store.take_heads(records.collect(), long_ago).await.unwrap();
    }
    let mut victim = Victim::start(SMALL, dir);
    let (mut bytes, mut others) = (Vec::new(), Vec::new());
    let mut note = |figures: Figures| {
        bytes.push(megabytes(figures.catalogue));
        others.push(figures.packages.to_string());
    };
    note(victim.settled().await);
    for count in [ONE, FOUR] {
        let peers = strangers(count, &victim).await;
        for peer in &peers {
            for n in 0..KEYS {
                peer.shout(&announcement(
                    &Keypair::generate_ed25519(),
                    "junk",
                    1,
                    2_000,
                ));
                if n.is_multiple_of(50) {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
        note(victim.settled().await);
    }
    let left = {
        let db = rusqlite::Connection::open(victim.dir.path().join("swarmdex.db")).unwrap();
        db.query_row(
            "SELECT count(*) FROM heads WHERE name LIKE 'tool-%'",
            [],
            |row| row.get::<_, u64>(0),
        )
        .unwrap()
    };
    row(
        "catalogue of 2 MiB, 900 keys each",
        bytes.try_into().unwrap(),
        &megabytes(SMALL),
    );
    row(
        "  packages in it",
        others.try_into().unwrap(),
        &format!("{left} of {KNOWN} that were known before"),
    );
}

fn key(n: usize) -> Vec<u8> {
    DhtKey(Hash::of(&n.to_be_bytes()).0).0.to_vec()
}

async fn claims() {
    let mut victim = Victim::start(1 << 30, tempfile::tempdir().unwrap());
    let honest = strangers(1, &victim).await.remove(0);
    honest.provide(&key(7)).await;
    let long = |n: usize| -> Multiaddr {
        format!("/dns4/{}.{n}/tcp/1", "a".repeat(230))
            .parse()
            .unwrap()
    };
    let (mut counts, mut bytes, mut memory) = (Vec::new(), Vec::new(), Vec::new());
    let mut note = |figures: Figures| {
        counts.push(figures.claims.to_string());
        bytes.push(megabytes(figures.claim_bytes));
        memory.push(megabytes(figures.memory));
    };
    note(victim.settled().await);
    for count in [ONE, FOUR] {
        let peers = strangers(count, &victim).await;
        for peer in &peers {
            peer.lists((0..50).map(long).collect());
        }
        let all = peers
            .iter()
            .enumerate()
            .flat_map(|(at, peer)| (0..CLAIMS).map(move |n| (peer, at * CLAIMS + n)));
        let made = stream::iter(all).map(|(peer, n)| async move { peer.provide(&key(n)).await });
        made.buffer_unordered(AT_ONCE * count)
            .for_each(|()| std::future::ready(()))
            .await;
        note(victim.settled().await);
    }
    let asker = strangers(1, &victim).await.remove(0);
    let found = asker.providers(&key(7)).await.contains(&honest.id);
    row(
        "claims to have a content, 4000 each",
        counts.try_into().unwrap(),
        "1024 of an identity",
    );
    row(
        "  bytes",
        bytes.try_into().unwrap(),
        "0.52 MB of an identity, 33.55 MB",
    );
    row(
        "  memory of the process",
        memory.try_into().unwrap(),
        &format!("honest provider found: {found}"),
    );
}

async fn records() {
    let mut victim = Victim::start(1 << 30, tempfile::tempdir().unwrap());
    let id = victim.id();
    let honest = strangers(1, &victim).await.remove(0);
    let publisher = Keypair::generate_ed25519();
    let kept = Record::Manifest(manifest(&publisher, "kept", "1.0.0", 300));
    honest.put_to(id, &kept.key().0, kept.envelope()).await;
    let mut bytes = Vec::new();
    let mut memory = Vec::new();
    let mut note = |figures: Figures| {
        bytes.push(megabytes(figures.record_bytes));
        memory.push(megabytes(figures.memory));
    };
    note(victim.settled().await);
    for count in [ONE, FOUR] {
        let peers = strangers(count, &victim).await;
        let all = peers.iter().flat_map(|peer| {
            let key = Keypair::generate_ed25519();
            (0..RECORDS).map(move |n| (peer, large(&key, n)))
        });
        let put = stream::iter(all).map(|(peer, record)| async move {
            peer.put_to(id, &record.key().0, record.envelope()).await
        });
        put.buffer_unordered(AT_ONCE * count)
            .for_each(|()| std::future::ready(()))
            .await;
        note(victim.settled().await);
    }
    let asker = strangers(1, &victim).await.remove(0);
    let found = !asker.get(&kept.key().0).await.is_empty();
    row(
        "bytes of DHT records, 2000 of 9 KiB each",
        bytes.try_into().unwrap(),
        "0.52 MB of an identity, 33.55 MB",
    );
    row(
        "  memory of the process",
        memory.try_into().unwrap(),
        &format!("honest record found: {found}"),
    );
}

/// Compares the counted bytes with those on the disk, for real packages.
async fn sizes() {
    const REAL: usize = 10_000;
    let records = debian::signed(&Keypair::generate_ed25519(), debian::drafts(REAL));
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), Metrics::default()).unwrap();
    for batch in records.chunks(1_000) {
        store
            .take_heads(batch.to_vec(), clock::now())
            .await
            .unwrap();
    }
    let counted = store.catalogue_bytes().unwrap();
    // The log is copied into the database after a while without writes.
    let log = dir.path().join("swarmdex.db-wal");
    while std::fs::metadata(&log).is_ok_and(|log| log.len() > 0) {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let disk = std::fs::metadata(dir.path().join("swarmdex.db"))
        .unwrap()
        .len();
    println!(
        "{} real packages: {} counted bytes a package, and {} in the database, {:.2} times as many",
        records.len(),
        counted / records.len() as u64,
        disk / records.len() as u64,
        disk as f64 / counted as f64
    );
}

fn main() {
    let words: Vec<String> = std::env::args()
        .skip(1)
        .filter(|word| !word.starts_with("--"))
        .collect();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    match words.as_slice() {
        [what, dir, catalogue] if what == "serve" => {
            runtime.block_on(serve(Path::new(dir), catalogue.parse().unwrap()));
        }
        only => runtime.block_on(async {
            let wanted = |what: &str| only.is_empty() || only.iter().any(|word| word == what);
            let titles = ["before", "of one", "of four"].map(str::to_owned);
            row("what a node has, and after an attack", titles, "bound");
            if wanted("sizes") {
                sizes().await;
            }
            if wanted("name") {
                one_name().await;
            }
            if wanted("keys") {
                many_keys().await;
            }
            if wanted("claims") {
                claims().await;
            }
            if wanted("records") {
                records().await;
            }
        }),
    }
}
