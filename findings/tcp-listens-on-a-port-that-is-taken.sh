#!/usr/bin/env bash
# Two nodes of libp2p can listen on one TCP port of one address, on Linux, and neither is told:
# the system deals connections out to both, and half of those who dial the address of one meet the
# other. The listening socket is always given SO_REUSEPORT, although the documentation of its
# Config says that reuse of listening ports is disabled by default. A listener that does not ask
# for it is refused.
# Guess before: the second one fails, with "address in use".
# Seen with: libp2p 0.57.1 (libp2p-tcp 0.45),
# https://docs.rs/libp2p-tcp/latest/libp2p_tcp/struct.Config.html (new), Linux.
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
libp2p = { version = "=0.57.1", default-features = false, features = ["tokio", "macros", "ping", "tcp", "noise", "yamux", "ed25519"] }
tokio = { version = "=1.54.1", features = ["rt-multi-thread", "macros", "time"] }
TOML
cat > "$dir/src/main.rs" << 'RUST'
use std::{collections::BTreeMap, time::Duration};

use futures::StreamExt;
use libp2p::{
    Multiaddr, PeerId, Swarm, SwarmBuilder, multiaddr::Protocol, noise, ping, swarm::SwarmEvent,
    tcp, yamux,
};

fn node() -> Swarm<ping::Behaviour> {
    SwarmBuilder::with_new_identity()
        .with_tokio()
        .with_tcp(
            tcp::Config::default(),
            noise::Config::new,
            yamux::Config::default,
        )
        .unwrap()
        .with_behaviour(|_| ping::Behaviour::default())
        .unwrap()
        .with_swarm_config(|config| config.with_idle_connection_timeout(Duration::from_secs(60)))
        .build()
}

/// Listens, and returns the address that is reported.
async fn listen(node: &mut Swarm<ping::Behaviour>, on: &str) -> Result<Multiaddr, String> {
    node.listen_on(on.parse().unwrap())
        .map_err(|error| error.to_string())?;
    loop {
        match node.select_next_some().await {
            SwarmEvent::NewListenAddr { address, .. } => return Ok(address),
            SwarmEvent::ListenerClosed { reason, .. } => return Err(format!("{reason:?}")),
            _ => {}
        }
    }
}

#[tokio::main]
async fn main() {
    let (mut first, mut second) = (node(), node());
    let address = listen(&mut first, "/ip4/127.0.0.1/tcp/0").await.unwrap();
    let again = listen(&mut second, &address.to_string()).await;
    println!("the first node listens on {address}, and the second on it too: {again:?}");
    let std_too = address.iter().find_map(|part| {
        if let Protocol::Tcp(port) = part {
            Some(port)
        } else {
            None
        }
    });
    let plain = std::net::TcpListener::bind(("127.0.0.1", std_too.unwrap()));
    println!(
        "a listener of the standard library on the same port: {:?}",
        plain.map(drop).map_err(|error| error.kind())
    );

    let mut reached: BTreeMap<PeerId, u32> = BTreeMap::new();
    for node in [first, second] {
        let mut node = node;
        tokio::spawn(async move { while node.next().await.is_some() {} });
    }
    for _ in 0..40 {
        let mut dialler = node();
        dialler.dial(address.clone()).unwrap();
        loop {
            if let SwarmEvent::ConnectionEstablished { peer_id, .. } =
                dialler.select_next_some().await
            {
                *reached.entry(peer_id).or_default() += 1;
                break;
            }
        }
    }
    println!(
        "40 dials of that address reach {} nodes: {:?}",
        reached.len(),
        reached.values().collect::<Vec<_>>()
    );
    let as_before = again.is_ok() && reached.len() == 2;
    std::process::exit(i32::from(!as_before));
}
RUST
cd "$dir"
cargo build --quiet
cargo --version
cargo run --quiet || { echo "this has changed"; exit 1; }
