#!/usr/bin/env bash
# A put of libp2p-kad succeeds although the only peer that it went to has not stored the record.
# With StoreInserts::FilterBoth the peer answers before the program on it has looked at the
# record, and the same answer is sent for one that it throws away. Without a filter a record that
# names the peer itself as its publisher, which anybody can write, is acknowledged and dropped. A
# quorum counts answers, and only a get says who holds a record.
# Guess before: the quorum of a put counts the peers that have stored it.
# Seen with: libp2p 0.57.1 (libp2p-kad 0.49),
# https://docs.rs/libp2p-kad/latest/libp2p_kad/struct.Behaviour.html (put_record),
# https://docs.rs/libp2p-kad/latest/libp2p_kad/enum.StoreInserts.html.
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
futures = "=0.3.34"
libp2p = { version = "=0.57.1", default-features = false, features = ["tokio", "macros", "kad", "tcp", "noise", "yamux", "ed25519"] }
tokio = { version = "=1.54.1", features = ["rt-multi-thread", "macros", "time"] }
TOML
cat > "$dir/src/main.rs" << 'RUST'
use std::time::Duration;

use futures::StreamExt;
use libp2p::{
    Multiaddr, PeerId, StreamProtocol, Swarm, SwarmBuilder,
    kad::{
        self,
        store::{MemoryStore, RecordStore},
    },
    noise,
    swarm::SwarmEvent,
    tcp, yamux,
};

type Node = Swarm<kad::Behaviour<MemoryStore>>;

fn node(inserts: kad::StoreInserts) -> Node {
    SwarmBuilder::with_new_identity()
        .with_tokio()
        .with_tcp(
            tcp::Config::default(),
            noise::Config::new,
            yamux::Config::default,
        )
        .unwrap()
        .with_behaviour(|key| {
            let me = key.public().to_peer_id();
            let mut config = kad::Config::new(StreamProtocol::new("/probe/kad/1"));
            config
                .set_query_timeout(Duration::from_secs(10))
                .set_record_filtering(inserts);
            let mut kad = kad::Behaviour::with_config(me, MemoryStore::new(me), config);
            kad.set_mode(Some(kad::Mode::Server));
            kad
        })
        .unwrap()
        .with_swarm_config(|config| config.with_idle_connection_timeout(Duration::from_secs(60)))
        .build()
}

/// Puts a record to one peer; returns what the putter is told, and whether the peer has it.
async fn put(
    inserts: kad::StoreInserts,
    publisher: impl Fn(PeerId) -> Option<PeerId>,
) -> (bool, bool) {
    let (mut server, mut client) = (node(inserts), node(kad::StoreInserts::Unfiltered));
    server
        .listen_on("/ip4/127.0.0.1/tcp/0".parse().unwrap())
        .unwrap();
    let address: Multiaddr = loop {
        if let SwarmEvent::NewListenAddr { address, .. } = server.select_next_some().await {
            break address;
        }
    };
    let (peer, key) = (*server.local_peer_id(), kad::RecordKey::new(b"key"));
    client.behaviour_mut().add_address(&peer, address);
    let mut record = kad::Record::new(key.clone(), b"value".to_vec());
    record.publisher = publisher(peer);
    let to = std::iter::once(peer);
    client
        .behaviour_mut()
        .put_record_to(record, to, kad::Quorum::One);
    loop {
        tokio::select! {
            // What is to be filtered is thrown away.
            _ = server.select_next_some() => {}
            event = client.select_next_some() => {
                if let SwarmEvent::Behaviour(kad::Event::OutboundQueryProgressed { result: kad::QueryResult::PutRecord(result), .. }) = event {
                    return (result.is_ok(), server.behaviour_mut().store_mut().get(&key).is_some());
                }
            }
        }
    }
}

#[tokio::main]
async fn main() {
    let plain = put(kad::StoreInserts::Unfiltered, |_| None).await;
    let filtered = put(kad::StoreInserts::FilterBoth, |_| None).await;
    let claimed = put(kad::StoreInserts::Unfiltered, Some).await;
    for (what, (told, stored)) in [
        ("stored at once", plain),
        ("filtered and thrown away", filtered),
        ("claims the receiver as its publisher", claimed),
    ] {
        println!("{what}: the putter is told of success: {told}; the receiver has it: {stored}");
    }
    let as_before = plain == (true, true) && filtered == (true, false) && claimed == (true, false);
    std::process::exit(i32::from(!as_before));
}
RUST
cd "$dir"
cargo build --quiet
cargo --version
cargo run --quiet || { echo "this has changed"; exit 1; }
