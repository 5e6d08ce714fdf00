#!/usr/bin/env bash
# libp2p-kad sends answers that its own peers refuse. Kademlia's packets are limited to 16 KiB by default, and only the decoder looks at
# that: the encoder sends whatever it is given. A record close to the limit is found at a node that knows nobody, and not found at
# one that knows twenty others, because an answer has their addresses beside the record. The default store takes values
# of up to 65 KiB, four times what any answer can carry. The asker is told that there is no such record.
# Guess before: what does not fit is refused by who sends it, or what is beside the record is left out.
# Seen with: libp2p 0.57.1 (libp2p-kad 0.49), https://docs.rs/libp2p-kad/latest/libp2p_kad/struct.Config.html (set_max_packet_size).
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
    kad::{self, store::{MemoryStore, RecordStore}},
    noise, swarm::SwarmEvent, tcp, yamux,
};

type Node = Swarm<kad::Behaviour<MemoryStore>>;

fn node() -> Node {
    SwarmBuilder::with_new_identity()
        .with_tokio()
        .with_tcp(tcp::Config::default(), noise::Config::new, yamux::Config::default)
        .unwrap()
        .with_behaviour(|key| {
            let me = key.public().to_peer_id();
            let mut config = kad::Config::new(StreamProtocol::new("/probe/kad/1"));
            config.set_query_timeout(Duration::from_secs(10));
            kad::Behaviour::with_config(me, MemoryStore::new(me), config)
        })
        .unwrap()
        .with_swarm_config(|config| config.with_idle_connection_timeout(Duration::from_secs(60)))
        .build()
}

/// Returns how a record of so many bytes is found at a node whose routing table has `peers` others with three addresses each.
async fn find(bytes: usize, peers: usize) -> String {
    let (mut server, mut client) = (node(), node());
    server.listen_on("/ip4/127.0.0.1/tcp/0".parse().unwrap()).unwrap();
    let address = loop {
        if let SwarmEvent::NewListenAddr { address, .. } = server.select_next_some().await {
            break address;
        }
    };
    server.behaviour_mut().set_mode(Some(kad::Mode::Server));
    let key = kad::RecordKey::new(b"key");
    let record = kad::Record::new(key.clone(), vec![7; bytes]);
    server.behaviour_mut().store_mut().put(record).expect("the store takes it");
    let me = *server.local_peer_id();
    for _ in 0..peers {
        let peer = PeerId::random();
        for n in 1..=3 {
            let at: Multiaddr = format!("/ip4/192.0.2.{n}/udp/4001/quic-v1/p2p/{peer}").parse().unwrap();
            server.behaviour_mut().add_address(&peer, at);
        }
    }
    client.behaviour_mut().add_address(&me, address);
    client.behaviour_mut().get_record(key);
    let answer = async {
        loop {
            tokio::select! {
                _ = server.select_next_some() => {}
                event = client.select_next_some() => {
                    if let SwarmEvent::Behaviour(kad::Event::OutboundQueryProgressed { result: kad::QueryResult::GetRecord(result), .. }) = event {
                        return match result {
                            Ok(kad::GetRecordOk::FoundRecord(found)) => format!("found, {} bytes", found.record.value.len()),
                            Ok(_) => continue,
                            Err(kad::GetRecordError::NotFound { .. }) => "not found".to_owned(),
                            Err(other) => format!("{other:?}"),
                        };
                    }
                }
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(20), answer).await.unwrap_or_else(|_| "no end".to_owned())
}

#[tokio::main]
async fn main() {
    for (bytes, peers) in [(14_000, 0), (8_000, 20), (14_000, 20), (20_000, 0)] {
        println!("a record of {bytes} bytes at a node that knows {peers} others: {}", find(bytes, peers).await);
    }
}
RUST
cd "$dir"
cargo --version
said=$(CARGO_TARGET_DIR="$dir/target" cargo run --quiet)
printf '%s\n' "$said"
expected='a record of 14000 bytes at a node that knows 0 others: found, 14000 bytes
a record of 8000 bytes at a node that knows 20 others: found, 8000 bytes
a record of 14000 bytes at a node that knows 20 others: not found
a record of 20000 bytes at a node that knows 0 others: not found'
[ "$said" = "$expected" ] || { echo "this has changed"; exit 1; }
