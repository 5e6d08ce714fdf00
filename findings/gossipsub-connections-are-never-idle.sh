#!/usr/bin/env bash
# A connection between two nodes with libp2p-gossipsub is never closed for being idle, also where
# neither has subscribed to anything: the streams on which gossipsub would say something stay
# open, and an open stream keeps a connection. That its handler asks to keep only the connections
# of the mesh (`connection_keep_alive`) has no effect. So every node ends up connected to every
# other one that it met, until the program closes connections by itself.
# Guess before: a connection on which nobody wants anything is closed after the time-out, as it is
# with ping alone.
# Seen with: libp2p 0.57.1 (libp2p-gossipsub 0.50.1, libp2p-swarm 0.48),
# https://docs.rs/libp2p-swarm/latest/libp2p_swarm/struct.Config.html
# (with_idle_connection_timeout).
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
libp2p = { version = "=0.57.1", default-features = false, features = ["tokio", "macros", "gossipsub", "ping", "tcp", "noise", "yamux", "ed25519"] }
tokio = { version = "=1.54.1", features = ["rt-multi-thread", "macros", "time"] }
TOML
cat > "$dir/src/main.rs" << 'RUST'
use std::time::Duration;

use futures::StreamExt;
use libp2p::{
    Swarm, SwarmBuilder, gossipsub, noise, ping,
    swarm::{NetworkBehaviour, SwarmEvent},
    tcp, yamux,
};
use tokio::time::{Instant, timeout_at};

const IDLE: Duration = Duration::from_secs(1);
const WATCHED: Duration = Duration::from_secs(20);

fn node<B: NetworkBehaviour>(behaviour: impl Fn(&libp2p::identity::Keypair) -> B) -> Swarm<B> {
    SwarmBuilder::with_new_identity()
        .with_tokio()
        .with_tcp(
            tcp::Config::default(),
            noise::Config::new,
            yamux::Config::default,
        )
        .unwrap()
        .with_behaviour(|key| behaviour(key))
        .unwrap()
        .with_swarm_config(|config| config.with_idle_connection_timeout(IDLE))
        .build()
}

/// Returns after how many seconds a connection on which nobody wants anything is closed.
async fn closed<B: NetworkBehaviour>(
    behaviour: impl Fn(&libp2p::identity::Keypair) -> B + Copy,
) -> Option<f64>
where
    B: Send,
    B::ToSwarm: Send + std::fmt::Debug,
{
    let (mut near, mut far) = (node(behaviour), node(behaviour));
    far.listen_on("/ip4/127.0.0.1/tcp/0".parse().unwrap())
        .unwrap();
    let address = loop {
        if let SwarmEvent::NewListenAddr { address, .. } = far.select_next_some().await {
            break address;
        }
    };
    tokio::spawn(async move { while far.next().await.is_some() {} });
    near.dial(address).unwrap();
    let begun = Instant::now();
    loop {
        match timeout_at(begun + WATCHED, near.select_next_some()).await {
            Ok(SwarmEvent::ConnectionClosed { .. }) => return Some(begun.elapsed().as_secs_f64()),
            Ok(_) => {}
            Err(_) => return None,
        }
    }
}

#[tokio::main]
async fn main() {
    let ping = closed(|_| ping::Behaviour::default()).await;
    let gossip = closed(|key| {
        let signed = gossipsub::MessageAuthenticity::Signed(key.clone());
        gossipsub::Behaviour::<gossipsub::IdentityTransform>::new(
            signed,
            gossipsub::Config::default(),
        )
        .unwrap()
    })
    .await;
    println!(
        "idle time-out {} s; closed after: with ping {ping:?}, with gossipsub and no topic {gossip:?} (watched for {} s)",
        IDLE.as_secs(),
        WATCHED.as_secs()
    );
    std::process::exit(i32::from(ping.is_none() || gossip.is_some()));
}
RUST
cd "$dir"
cargo build --quiet
cargo --version
cargo run --quiet || { echo "this has changed"; exit 1; }
