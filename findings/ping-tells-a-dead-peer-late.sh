#!/usr/bin/env bash
# libp2p-ping tells late that a peer does not answer, and what its settings say is not what one waits for. After the last pong it waits
# the interval, then the time-out, keeps that failure to itself (the first is "free"), waits the interval again, and then asks for a
# new stream, on which nothing is agreed within the 10 seconds that a stream may take: `timeout` does not count there. With an
# interval of 5 s and a time-out of 1 s the first failure is told 21 s after the last pong, and not after 6; the connection stays open.
# A shorter time-out moves it by what it is shorter, once.
# Guess before: a failure for every interval, from the first time-out on.
# Seen with: libp2p 0.57.1 (libp2p-ping 0.48), https://docs.rs/libp2p-ping/latest/libp2p_ping/struct.Config.html.
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
tokio = { version = "=1.54.1", features = ["rt-multi-thread", "macros", "time", "net", "io-util", "sync"] }
TOML
cat > "$dir/src/main.rs" << 'RUST'
use std::time::{Duration, Instant};

use futures::StreamExt;
use libp2p::{Multiaddr, Swarm, SwarmBuilder, multiaddr::Protocol, noise, ping, swarm::SwarmEvent, tcp, yamux};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, tcp::{OwnedReadHalf, OwnedWriteHalf}},
    sync::watch,
};

const INTERVAL: Duration = Duration::from_secs(5);
const TIMEOUT: Duration = Duration::from_secs(1);
/// Watched after the last pong.
const WATCHED: Duration = Duration::from_secs(45);

fn node() -> Swarm<ping::Behaviour> {
    SwarmBuilder::with_new_identity()
        .with_tokio()
        .with_tcp(tcp::Config::default(), noise::Config::new, yamux::Config::default)
        .unwrap()
        .with_behaviour(|_| ping::Behaviour::new(ping::Config::new().with_interval(INTERVAL).with_timeout(TIMEOUT)))
        .unwrap()
        .with_swarm_config(|config| config.with_idle_connection_timeout(Duration::from_secs(300)))
        .build()
}

/// Passes bytes on until the cable is cut, and then keeps both ends open.
async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, cut: watch::Receiver<bool>) {
    let mut bytes = [0; 4096];
    while let Ok(count @ 1..) = from.read(&mut bytes).await {
        if !*cut.borrow() && to.write_all(&bytes[..count]).await.is_err() {
            break;
        }
    }
    std::future::pending::<()>().await;
}

#[tokio::main]
async fn main() {
    let (mut near, mut far) = (node(), node());
    far.listen_on("/ip4/127.0.0.1/tcp/0".parse().unwrap()).unwrap();
    let port = loop {
        if let SwarmEvent::NewListenAddr { address, .. } = far.select_next_some().await {
            let port = address.iter().find_map(|part| if let Protocol::Tcp(port) = part { Some(port) } else { None });
            break port.unwrap();
        }
    };
    tokio::spawn(async move { while far.next().await.is_some() {} });
    let (cut, watched) = watch::channel(false);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let door: Multiaddr = format!("/ip4/127.0.0.1/tcp/{}", listener.local_addr().unwrap().port()).parse().unwrap();
    tokio::spawn(async move {
        let (one, _) = listener.accept().await.unwrap();
        let other = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        let ((a, b), (c, d)) = (one.into_split(), other.into_split());
        tokio::spawn(pass(a, d, watched.clone()));
        tokio::spawn(pass(c, b, watched));
    });
    near.dial(door).unwrap();
    let (mut pongs, mut last, mut told, mut closed) = (0, Instant::now(), Vec::new(), false);
    loop {
        let event = tokio::select! {
            event = near.select_next_some() => event,
            () = tokio::time::sleep((last + WATCHED).saturating_duration_since(Instant::now())), if pongs == 2 => break,
        };
        match event {
            SwarmEvent::Behaviour(ping::Event { result: Ok(_), .. }) => {
                (pongs, last) = (pongs + 1, Instant::now());
                if pongs == 2 {
                    cut.send_replace(true);
                }
            }
            SwarmEvent::Behaviour(ping::Event { result: Err(error), .. }) => {
                told.push(last.elapsed().as_secs_f64());
                println!("{:.1} s after the last pong: {error}", last.elapsed().as_secs_f64());
            }
            SwarmEvent::ConnectionClosed { .. } => closed = true,
            _ => {}
        }
    }
    println!("told {} failures in {} s; the connection was closed: {closed}", told.len(), WATCHED.as_secs());
    let first = told.first().copied().unwrap_or(f64::INFINITY);
    // 5 s, 1 s, 5 s and 10 s.
    let as_before = (20.0..23.0).contains(&first) && !closed;
    std::process::exit(i32::from(!as_before));
}
RUST
cd "$dir"
cargo build --quiet
cargo --version
cargo run --quiet || { echo "this has changed"; exit 1; }
