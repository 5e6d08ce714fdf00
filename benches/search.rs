//! Measures searching the catalogue against plain BM25 and a substring scan, in one run: `cargo
//! bench --bench search`.
//!
//! Over 63,666 packages; with `-- large`, over 500,000 too.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice
)]

#[path = "common/debian.rs"]
mod debian;

use std::{path::Path, process::Command, time::Instant};

use debian::{Record, drafts, percentile, resident_mib, signed};
use libp2p::identity::Keypair;
use rusqlite::Connection;
use swarmdex::{clock, domain::query::Query, metrics::Metrics, store::Store};

const PACKAGES: usize = 63_666;
const LARGE: usize = 500_000;
const BATCH: usize = 1_000;

/// Search texts, typed letter by letter.
const TYPED: [&str; 24] = [
    "postgresql",
    "python3-num",
    "web server",
    "libssl",
    "image view",
    "git",
    "node",
    "lib",
    "json parser",
    "video edi",
    "rust comp",
    "fonts-dej",
    "network mon",
    "qt5",
    "sqlite3",
    "text editor",
    "firefox",
    "golang-",
    "perl modu",
    "terminal emu",
    "x11",
    "latex",
    "kernel",
    "zlib",
];

fn prefixes() -> Vec<String> {
    let typed = TYPED
        .iter()
        .flat_map(|text| (1..=text.len()).map(|end| text[..end].to_owned()));
    let mut all: Vec<String> = typed.collect();
    all.truncate(200);
    all
}

fn millis(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1_000.0
}

fn row(what: &str, times: &mut [f64]) {
    let of = |share, times: &mut [f64]| percentile(times, share);
    println!(
        "{what:<46} p50 {:>7.2} ms  p95 {:>7.2}  p99 {:>7.2}  most {:>7.2}",
        of(0.5, times),
        of(0.95, times),
        of(0.99, times),
        of(1.0, times)
    );
}

async fn fill(dir: &Path, records: Vec<Record>) -> Store {
    let store = Store::open(dir, Metrics::default()).unwrap();
    let (count, now) = (records.len(), clock::now());
    let mut batches: Vec<Vec<Record>> = Vec::new();
    let mut records = records.into_iter().peekable();
    while records.peek().is_some() {
        batches.push(records.by_ref().take(BATCH).collect());
    }
    let begun = Instant::now();
    for batch in batches {
        store.take_heads(batch, now).await.unwrap();
    }
    let inserted = begun.elapsed().as_secs_f64();
    let counting = Instant::now();
    store.recount().await.unwrap();
    println!(
        "{count} packages taken, with the index, durably: {:.0} a second (then {:.1} s to count \
         who needs whom)",
        count as f64 / inserted,
        counting.elapsed().as_secs_f64()
    );
    store
}

fn search(store: &Store, prefixes: &[String]) -> Vec<f64> {
    let one = |text: &String| {
        let begun = Instant::now();
        store
            .search(&Query::text(text.clone()), clock::now())
            .unwrap();
        millis(begun)
    };
    prefixes.iter().map(one).collect()
}

/// The index alone: every word must occur, the last one as a prefix, and the best fifty are
/// returned by BM25.
fn bm25(path: &Path, prefixes: &[String]) -> Vec<f64> {
    let db = Connection::open(path).unwrap();
    let mut best = db
        .prepare("SELECT p.name, p.summary FROM words JOIN packages p ON p.id = words.rowid WHERE words MATCH ? ORDER BY rank LIMIT 50")
        .unwrap();
    let one = |text: &String| {
        let words: Vec<String> = swarmdex::domain::query::words(text)
            .map(|word| format!("\"{word}\""))
            .collect();
        let begun = Instant::now();
        let rows = best
            .query_map([format!("{} *", words.join(" "))], |row| {
                row.get::<_, String>(0)
            })
            .unwrap();
        rows.for_each(|name| drop(name.unwrap()));
        millis(begun)
    };
    prefixes
        .iter()
        .filter(|text| swarmdex::domain::query::words(text).next().is_some())
        .map(one)
        .collect()
}

/// No index: scans every name and description, in lower case and in memory.
fn scan(path: &Path, prefixes: &[String]) -> Vec<f64> {
    let db = Connection::open(path).unwrap();
    let mut all = db
        .prepare("SELECT name || ' ' || coalesce(title, '') || ' ' || summary FROM packages")
        .unwrap();
    let texts: Vec<String> = all
        .query_map([], |row| row.get::<_, String>(0))
        .unwrap()
        .map(|text| text.unwrap().to_lowercase())
        .collect();
    let one = |text: &String| {
        let begun = Instant::now();
        let found: Vec<&String> = texts
            .iter()
            .filter(|held| held.contains(text.as_str()))
            .take(50)
            .collect();
        std::hint::black_box(found);
        millis(begun)
    };
    prefixes.iter().map(one).collect()
}

/// Runs in a process of its own: opens a database, searches once, and measures the memory after all
/// searches.
fn cold(dir: &Path) {
    let begun = Instant::now();
    let store = Store::open(dir, Metrics::default()).unwrap();
    let found = store
        .search(&Query::text("web server"), clock::now())
        .unwrap();
    let first = millis(begun);
    assert!(found.total > 0);
    search(&store, &prefixes());
    println!(
        "opened and searched for the first time in {first:.1} ms; {:.0} MiB of memory after 200 \
         more",
        resident_mib("self")
    );
}

async fn visible(store: &Store, key: &Keypair) -> Vec<f64> {
    let mut times = Vec::new();
    for n in 0..200 {
        let draft = toml::from_str(&format!(
            "name = \"quixotic-{n}\"\nversion = \"1.0.0\"\ndescription = \"x\""
        ))
        .unwrap();
        let batch = signed(key, vec![(draft, String::new())]);
        store.take_heads(batch, clock::now()).await.unwrap();
        let committed = Instant::now();
        while store
            .search(&Query::text(format!("quixotic-{n}")), clock::now())
            .unwrap()
            .hits
            .is_empty()
        {}
        times.push(millis(committed));
    }
    times
}

async fn measure(count: usize) {
    println!("\n{count} packages");
    let key = Keypair::generate_ed25519();
    let dir = tempfile::tempdir().unwrap();
    let records = signed(&key, drafts(count));
    let store = fill(dir.path(), records).await;
    let (path, prefixes) = (dir.path().join("swarmdex.db"), prefixes());
    search(&store, &prefixes);
    row("search, 200 typed prefixes", &mut search(&store, &prefixes));
    row("  beside: BM25 alone", &mut bm25(&path, &prefixes));
    row(
        "  beside: substrings in memory",
        &mut scan(&path, &prefixes),
    );
    let mut facets: Vec<f64> = prefixes
        .iter()
        .map(|text| {
            let begun = Instant::now();
            store
                .facets(&Query::text(text.clone()), clock::now())
                .unwrap();
            millis(begun)
        })
        .collect();
    row("counting labels, after the hits are shown", &mut facets);
    row(
        "from the commit until it is found",
        &mut visible(&store, &key).await,
    );
    drop(store);
    let size = path.metadata().unwrap().len();
    println!("{:.0} MiB on disk", size as f64 / f64::from(1 << 20));
    let exe = std::env::current_exe().unwrap();
    assert!(
        Command::new(exe)
            .args(["cold", dir.path().to_str().unwrap()])
            .status()
            .unwrap()
            .success()
    );
}

fn main() {
    let words: Vec<String> = std::env::args()
        .skip(1)
        .filter(|word| !word.starts_with("--"))
        .collect();
    if let [what, dir] = words.as_slice()
        && what == "cold"
    {
        return cold(Path::new(dir));
    }
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(measure(PACKAGES));
    if words.iter().any(|word| word == "large") {
        runtime.block_on(measure(LARGE));
    }
}
