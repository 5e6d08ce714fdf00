#!/usr/bin/env bash
# libp2p-kad's MemoryStore keeps the first 20 providers of a key, whoever they are, and says Ok to
# all later ones without keeping them. The documentation of its trait says that a store should
# keep the providers that are closest to the key. Its `max_provided_keys` is documented as the
# most records "for which the local node is the provider", and counts the keys of everybody: 1,024
# keys that others provide, and the node cannot provide its first own one.
# Guess before: a closer provider displaces a farther one, and what others provide does not count
# as one's own.
# Seen with: libp2p 0.57.1 (libp2p-kad 0.49),
# https://docs.rs/libp2p-kad/latest/libp2p_kad/store/trait.RecordStore.html (add_provider),
# https://docs.rs/libp2p-kad/latest/libp2p_kad/store/struct.MemoryStoreConfig.html.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
mkdir "$dir/src"
cat > "$dir/Cargo.toml" << 'TOML'
[package]
name = "probe"
version = "0.0.0"
edition = "2024"

[dependencies]
libp2p = { version = "=0.57.1", default-features = false, features = ["kad"] }
TOML
cat > "$dir/src/main.rs" << 'RUST'
use libp2p::{
    PeerId,
    kad::{
        K_VALUE, KBucketKey, ProviderRecord, RecordKey,
        store::{Error, MemoryStore, RecordStore},
    },
};

/// Returns how far a peer is from a key.
fn distance(key: &RecordKey, peer: &PeerId) -> impl Ord + use<> {
    KBucketKey::new(key.clone()).distance(&KBucketKey::from(*peer))
}

fn main() {
    let me = PeerId::random();
    let most = K_VALUE.get();

    let mut store = MemoryStore::new(me);
    let key = RecordKey::new(b"one content");
    let mut peers: Vec<PeerId> = (0..1_000).map(|_| PeerId::random()).collect();
    // The farthest come first, the closest last.
    peers.sort_by_key(|peer| std::cmp::Reverse(distance(&key, peer)));
    let refused = peers
        .iter()
        .filter(|peer| {
            store
                .add_provider(ProviderRecord::new(key.clone(), **peer, Vec::new()))
                .is_err()
        })
        .count();
    let kept: Vec<PeerId> = store
        .providers(&key)
        .into_iter()
        .map(|record| record.provider)
        .collect();
    let are_first = kept == peers[..most];
    println!(
        "of 1,000 providers of a key, {refused} are refused and {} kept; the farthest 20, which came first: {are_first}",
        kept.len()
    );

    let mut store = MemoryStore::new(me);
    for n in 0..1_024_u32 {
        let key = RecordKey::new(&n.to_be_bytes());
        store
            .add_provider(ProviderRecord::new(key, PeerId::random(), Vec::new()))
            .unwrap();
    }
    let own = store.add_provider(ProviderRecord::new(key, me, Vec::new()));
    println!(
        "{} keys are provided by this node; one more of its own: {own:?}",
        store.provided().count()
    );

    let as_before = refused == 0 && are_first && matches!(own, Err(Error::MaxProvidedKeys));
    std::process::exit(i32::from(!as_before));
}
RUST
cd "$dir"
cargo build --quiet
cargo --version
cargo run --quiet || { echo "this has changed"; exit 1; }
