//! Measures the cost of a record: signing and verifying it compared with a bare signature, its
//! size, a catalogue's size on disk, and a search in that: `cargo bench --bench records
//! [PACKAGES]`. To compare two builds, run this in both.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

#[path = "common/debian.rs"]
mod debian;

use std::{hint::black_box, path::Path, time::Instant};

use debian::{drafts, signed};
use libp2p::identity::Keypair;
use swarmdex::{
    clock,
    domain::{
        manifest::Manifest,
        query::Query,
        record::{Authorised, Head},
    },
    metrics::Metrics,
    store::Store,
};

const PACKAGES: usize = 20_000;
const ROUNDS: usize = 2_000;
const BATCH: usize = 1_000;

/// Returns the median of `ROUNDS` runs, in microseconds.
fn median(mut once: impl FnMut(usize)) -> f64 {
    let mut times: Vec<f64> = (0..ROUNDS)
        .map(|n| {
            let started = Instant::now();
            once(n);
            started.elapsed().as_secs_f64() * 1e6
        })
        .collect();
    times.sort_unstable_by(f64::total_cmp);
    times[times.len() / 2]
}

fn bytes_below(dir: &Path) -> u64 {
    std::fs::read_dir(dir)
        .unwrap()
        .map(|file| file.unwrap().metadata().unwrap().len())
        .sum()
}

#[tokio::main]
async fn main() {
    let count = std::env::args()
        .skip(1)
        .find_map(|word| word.parse().ok())
        .unwrap_or(PACKAGES);
    let key = Keypair::generate_ed25519();
    let records = signed(&key, drafts(count));
    let manifests: Vec<&Authorised<Manifest>> = records
        .iter()
        .filter_map(|(_, manifest)| manifest.as_ref())
        .collect();
    let heads: Vec<&Authorised<Head>> = records.iter().map(|(head, _)| head).collect();
    let (message, public) = (vec![7; 600], key.public());
    let signature = key.sign(&message).unwrap();
    let mean = |sizes: Vec<usize>| sizes.iter().sum::<usize>() as f64 / sizes.len() as f64;

    println!(
        "floor, ed25519 over 600 bytes: sign {:.1} us, verify {:.1} us",
        median(|_| drop(black_box(key.sign(&message).unwrap()))),
        median(|_| assert!(black_box(public.verify(&message, &signature))))
    );
    println!(
        "manifest: sign {:.1} us, verify {:.1} us, {:.0} bytes",
        median(|n| drop(black_box(
            Authorised::sign(&key, (***manifests[n % manifests.len()]).clone()).unwrap()
        ))),
        median(|n| drop(black_box(
            Authorised::<Manifest>::verify(manifests[n % manifests.len()].envelope()).unwrap()
        ))),
        mean(manifests.iter().map(|one| one.envelope().len()).collect())
    );
    println!(
        "head: sign {:.1} us, verify {:.1} us, {:.0} bytes",
        median(|n| drop(black_box(
            Authorised::sign(&key, (***heads[n % heads.len()]).clone()).unwrap()
        ))),
        median(|n| drop(black_box(
            Authorised::<Head>::verify(heads[n % heads.len()].envelope()).unwrap()
        ))),
        mean(heads.iter().map(|one| one.envelope().len()).collect())
    );

    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), Metrics::default()).unwrap();
    let started = Instant::now();
    for batch in records.chunks(BATCH) {
        store
            .take_heads(batch.to_vec(), clock::now())
            .await
            .unwrap();
    }
    println!(
        "{count} packages taken in {:.2} s",
        started.elapsed().as_secs_f64()
    );
    let words = [
        "library",
        "python",
        "server",
        "fonts for",
        "debug symbols",
        "http",
        "perl module",
        "game",
    ];
    let search = median(|n| {
        drop(black_box(
            store
                .search(&Query::text(words[n % words.len()]), clock::now())
                .unwrap(),
        ))
    });
    println!("search: {search:.0} us");
    drop(store);
    println!(
        "on disk: {:.0} bytes a package",
        bytes_below(dir.path()) as f64 / count as f64
    );
}
