//! Replication: the publisher leaves, and the content stays.

use std::{
    collections::{BTreeMap, HashSet},
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use crate::lab::{Answers, BarePeer, PATIENCE, TCP, draft, options, put, reference};
use futures::{AsyncReadExt, AsyncWriteExt, StreamExt};
use libp2p::identity::Keypair;
use rand::{RngExt, SeedableRng, rngs::StdRng};
use swarmdex::{
    clock,
    domain::{hash::ContentRoot, manifest::Manifest, record::Authorised},
    net::{
        content::wire::{ContentHead, ContentStatus},
        protocol::{Hello, Keeping, Request, Response},
    },
    node::{Node, NodeOptions},
    registry::{Receipt, Wanted},
};

const MIB: u64 = 1 << 20;

/// Returns options of a node that holds replicas, with `room` bytes for them.
fn copying(dir: &Path, door: &[String], room: u64) -> NodeOptions {
    let mut options = options(dir, TCP, door);
    options.registry.copies = 2;
    options.registry.keep_for_others = room;
    options
}

struct Peer {
    node: Node,
    dir: tempfile::TempDir,
}

async fn start(door: &[String], change: impl FnOnce(NodeOptions) -> NodeOptions) -> Peer {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(change(copying(dir.path(), door, 64 * MIB)))
        .await
        .unwrap();
    if !door.is_empty() {
        assert!(node.wait_joined(PATIENCE).await, "found nobody");
    }
    Peer { node, dir }
}

async fn address(node: &Node) -> String {
    node.status().await.unwrap().addresses[0].clone()
}

/// Starts a swarm of connected nodes that know each other's free space.
async fn swarm(
    count: usize,
    change: impl Fn(NodeOptions) -> NodeOptions,
) -> (Vec<Peer>, Vec<String>) {
    let first = start(&[], &change).await;
    let door = vec![address(&first.node).await];
    let mut peers = vec![first];
    for _ in 1..count {
        peers.push(start(&door, &change).await);
    }
    (peers, door)
}

/// Waits until a condition holds; fails after the usual time.
async fn until<F: Future<Output = bool>>(what: &str, mut holds: impl FnMut() -> F) {
    let begun = Instant::now();
    while !holds().await {
        assert!(begun.elapsed() < PATIENCE, "waited in vain for {what}");
        // Another node's state has no events to wait for.
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn wait_for_room(node: &Node, peers: usize) {
    until("peers with room", async || {
        node.peers()
            .await
            .unwrap()
            .iter()
            .filter(|peer| peer.room > 0)
            .count()
            >= peers
    })
    .await;
}

async fn publish(node: &Node, name: &str, bytes: &[u8]) -> Receipt {
    let artifacts = put(node.contents(), bytes).await;
    node.registry()
        .publish(draft(name, "1.0.0"), artifacts, None)
        .await
        .unwrap()
}

async fn holds(node: &Node, root: ContentRoot) -> bool {
    node.contents().held(root).await.unwrap().is_some()
}

async fn how_many_hold(peers: &[Peer], root: ContentRoot) -> usize {
    let mut count = 0;
    for peer in peers {
        count += usize::from(holds(&peer.node, root).await);
    }
    count
}

fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut reader = blake3::Hasher::new()
        .update(&seed.to_be_bytes())
        .finalize_xof();
    let mut bytes = vec![0; length];
    reader.fill(&mut bytes);
    bytes
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_is_on_two_other_nodes_when_publish_returns() {
    let (peers, door) = swarm(5, |options| options).await;
    let publisher = start(&door, |options| options).await;
    wait_for_room(&publisher.node, 1).await;
    until("connections", async || {
        publisher.node.status().await.unwrap().connected >= 3
    })
    .await;
    for (n, length) in [100, 70_000, 3 << 20].into_iter().enumerate() {
        let receipt = publish(
            &publisher.node,
            &format!("web-{n}"),
            &noise(n as u64, length),
        )
        .await;
        assert!(publisher.node.wait_copied(PATIENCE).await);
        assert_eq!(receipt.steps.copies_wanted, 2);
        assert_eq!(
            how_many_hold(&peers, receipt.content).await,
            2,
            "{receipt:?}"
        );
        let own = publisher.node.registry().own().await.unwrap().packages;
        assert_eq!(
            own.iter()
                .find(|own| own.id == receipt.package)
                .unwrap()
                .copies,
            2
        );
        if length < 100_000 {
            assert_eq!(receipt.steps.copies, 2, "what is small is there at once");
            assert_eq!(receipt.steps.copied(), "content on 2 other nodes");
        }
    }
    // The publisher leaves, and a new node gets everything.
    let content = publisher.node.registry().own().await.unwrap().packages;
    publisher.node.shutdown().await.unwrap();
    drop(publisher.dir);
    for own in content {
        for peer in &peers {
            let release = peer
                .node
                .registry()
                .get_package_version(&reference(&own.id), &"*".parse().unwrap())
                .await
                .unwrap();
            let fetched = peer
                .node
                .contents()
                .fetch(Wanted::of(&release), None)
                .await
                .unwrap();
            assert_eq!(fetched.content.root, release.manifest.content().root);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_is_lost_is_made_anew_once() {
    let quick = |mut options: NodeOptions| {
        options.registry.copy_lost_after = Duration::from_secs(3);
        options
    };
    let (mut peers, door) = swarm(5, quick).await;
    let publisher = start(&door, quick).await;
    wait_for_room(&publisher.node, 3).await;
    let receipt = publish(&publisher.node, "web", &noise(7, 300_000)).await;
    assert!(publisher.node.wait_copied(PATIENCE).await);
    assert_eq!(how_many_hold(&peers, receipt.content).await, 2);
    publisher.node.shutdown().await.unwrap();
    // Two of three replicas are left.
    let at = {
        let mut at = 0;
        while !holds(&peers[at].node, receipt.content).await {
            at += 1;
        }
        at
    };
    let lost = peers.remove(at);
    // Nobody may join through it any more.
    lost.node.shutdown().await.unwrap();
    until("copies that are made anew", async || {
        how_many_hold(&peers, receipt.content).await >= 3
    })
    .await;
    // A few intervals later there are not more of them.
    tokio::time::sleep(Duration::from_secs(8)).await;
    assert_eq!(how_many_hold(&peers, receipt.content).await, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_restarts_keeps_what_it_kept_and_drops_what_it_had_begun() {
    let (peers, door) = swarm(3, |options| options).await;
    let publisher = start(&door, |options| options).await;
    wait_for_room(&publisher.node, 2).await;
    let receipt = publish(&publisher.node, "web", &noise(3, 200_000)).await;
    assert!(publisher.node.wait_copied(PATIENCE).await);
    for peer in peers {
        let held = holds(&peer.node, receipt.content).await;
        peer.node.shutdown().await.unwrap();
        let again = Node::start(copying(peer.dir.path(), &[], 64 * MIB))
            .await
            .unwrap();
        assert_eq!(holds(&again, receipt.content).await, held);
        again.shutdown().await.unwrap();
        // Without any space it is evicted.
        let none = Node::start(copying(peer.dir.path(), &[], 0)).await.unwrap();
        until("room to be made", async || {
            !holds(&none, receipt.content).await
        })
        .await;
        assert_eq!(none.contents().usage().await.unwrap().bytes, 0);
        let files = || {
            std::fs::read_dir(peer.dir.path().join("content"))
                .unwrap()
                .flatten()
        };
        until("the files to go", async || {
            files().all(|entry| entry.path().is_dir())
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_person_asked_for_stays_when_the_room_for_others_goes() {
    let (peers, door) = swarm(2, |options| options).await;
    let publisher = start(&door, |options| options).await;
    wait_for_room(&publisher.node, 2).await;
    let receipt = publish(&publisher.node, "web", &noise(3, 200_000)).await;
    assert!(publisher.node.wait_copied(PATIENCE).await);
    let peer = peers.into_iter().next().unwrap();
    let for_others = async || {
        peer.node
            .contents()
            .held(receipt.content)
            .await
            .unwrap()
            .unwrap()
            .for_others
    };
    assert!(for_others().await, "both were to have it");
    let release = peer
        .node
        .registry()
        .get_package_version(&reference(&receipt.package), &"*".parse().unwrap())
        .await
        .unwrap();
    assert!(
        peer.node
            .contents()
            .fetch(Wanted::of(&release), None)
            .await
            .unwrap()
            .was_held
    );
    assert!(!for_others().await);
    peer.node.shutdown().await.unwrap();
    let again = Node::start(copying(peer.dir.path(), &[], 0)).await.unwrap();
    // The replicas to be evicted go before others are offered.
    until("the start", async || {
        again.contents().usage().await.unwrap().bytes > 0
    })
    .await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(holds(&again, receipt.content).await);
}

/// Returns answers that claim all content and serve none.
fn pretender() -> Answers {
    Arc::new(|request| {
        Some(match request {
            Request::Hello(_) => Response::Hello(Hello::default()),
            Request::Keep(_) => Response::Keeping(Keeping::Held),
            Request::Head(_) | Request::Heads(_) | Request::Search(_) => Response::Packages {
                items: vec![],
                more: false,
            },
            Request::Handle(_) => Response::Heads(vec![]),
            Request::Objects(_) => Response::Objects(vec![]),
        })
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_says_that_it_holds_what_it_does_not_is_not_counted() {
    let publisher = start(&[], |options| options).await;
    let mut pretender = BarePeer::start(pretender()).await;
    let mut asked = pretender
        .streams
        .accept(BarePeer::content_protocol())
        .unwrap();
    tokio::spawn(async move {
        while let Some((_, mut stream)) = asked.next().await {
            // Answer like a node without the content.
            let mut question = [0; 44];
            while stream.read_exact(&mut question).await.is_ok() {
                let head = ContentHead {
                    status: ContentStatus::NotHeld,
                    size: 0,
                    length: 0,
                };
                let _ = stream.write_all(&head.to_bytes()).await;
                let _ = stream.flush().await;
            }
        }
    });
    pretender
        .dial(address(&publisher.node).await.parse().unwrap())
        .await;
    until("the pretender", async || {
        publisher.node.status().await.unwrap().connected >= 1
    })
    .await;
    let hello = Hello {
        at: clock::now(),
        room: u64::MAX,
        ..Hello::default()
    };
    assert!(
        pretender
            .ask(publisher.node.peer_id(), Request::Hello(hello))
            .await
            .is_some()
    );
    let failures = async || {
        let peers = publisher.node.peers().await.unwrap();
        peers
            .iter()
            .find(|peer| peer.id == pretender.id)
            .unwrap()
            .basis
            .failures
    };
    wait_for_room(&publisher.node, 1).await;
    assert_eq!(failures().await, 0.0);
    let receipt = publish(&publisher.node, "web", b"bytes").await;
    assert!(publisher.node.wait_copied(PATIENCE).await);
    assert_eq!(receipt.steps.copies, 0);
    until("the lower score", async || failures().await > 3.0).await;
    // An honest node is chosen instead.
    let honest = start(&[address(&publisher.node).await], |options| options).await;
    until("the copy", async || {
        holds(&honest.node, receipt.content).await
    })
    .await;
    until("the count", async || {
        publisher.node.registry().own().await.unwrap().packages[0].copies == 1
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_fills_nobodys_room() {
    fill_the_room(64 * MIB, 10).await;
}

/// The packages are a gigabyte in total.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes"]
async fn a_strangers_gigabyte_fills_nobodys_room() {
    fill_the_room(256 * MIB, 64).await;
}

/// Four keys offer 4 MiB packages to nodes with limited space: a sixteenth of it is used for each
/// key, and a quarter for all of them.
async fn fill_the_room(room: u64, packages: u64) {
    let (peers, door) = swarm(3, |mut options| {
        options.registry.keep_for_others = room;
        options
    })
    .await;
    let [keeper, ..] = &peers[..] else {
        unreachable!()
    };
    let honest = start(&door, |options| options).await;
    wait_for_room(&honest.node, 3).await;
    let receipt = publish(&honest.node, "web", &noise(1, 100_000)).await;
    assert!(honest.node.wait_copied(PATIENCE).await);
    let stays = [
        how_many_hold(&peers, receipt.content).await,
        keeper.node.contents().list().await.unwrap().len(),
    ];
    assert_eq!(stays[0], 2);
    let mut offered = Vec::new();
    for n in 0..4_u64 {
        let attacker = start(&door, |mut options| {
            options.registry.copies = 16;
            options
        })
        .await;
        wait_for_room(&attacker.node, 3).await;
        for package in 0..packages {
            let bytes = noise(100 + n * packages + package, 4 << 20);
            offered.push(publish(&attacker.node, &format!("junk-{package}"), &bytes).await);
        }
        attacker.node.wait_copied(PATIENCE / 3).await;
        attacker.node.shutdown().await.unwrap();
    }
    assert_eq!(
        how_many_hold(&peers, receipt.content).await,
        2,
        "an attacker displaces nobody"
    );
    for peer in &peers {
        let mut of: BTreeMap<_, u64> = BTreeMap::new();
        for one in &offered {
            if holds(&peer.node, one.content).await {
                *of.entry(one.package.owner).or_default() += one.size;
            }
        }
        let all: u64 = of.values().sum();
        println!(
            "of {} MiB offered a node with room for {} MiB keeps {}",
            packages * 16,
            room / MIB,
            all / MIB
        );
        assert!(
            of.values().all(|bytes| *bytes <= room / 16) && all <= room / 4,
            "{of:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_asked_to_be_kept_has_to_be_signed() {
    let keeper = start(&[], |options| options).await;
    let peer = BarePeer::start(pretender()).await;
    peer.dial(address(&keeper.node).await.parse().unwrap())
        .await;
    let id = keeper.node.peer_id();
    let ask = async |envelope: Vec<u8>| peer.ask(id, Request::Keep(envelope.into())).await;
    assert_eq!(ask(b"nothing".to_vec()).await, Some(Response::Refused));
    let key = Keypair::generate_ed25519();
    let manifest: Authorised<Manifest> =
        crate::lab::manifest(&key, "web", "1.0.0", b"nobody has it");
    let mut damaged = manifest.envelope().to_vec();
    *damaged.last_mut().unwrap() ^= 1;
    assert_eq!(ask(damaged).await, Some(Response::Refused));
    // Content that no peer serves is dropped, and may be offered again.
    let answer = ask(manifest.envelope().to_vec()).await;
    assert!(matches!(answer, Some(Response::Keeping(_))), "{answer:?}");
    until("the end of the fetch", async || {
        keeper
            .node
            .contents()
            .transfers()
            .await
            .unwrap()
            .iter()
            .all(|transfer| transfer.ended_at.is_some())
    })
    .await;
    assert_eq!(keeper.node.contents().usage().await.unwrap().bytes, 0);
}

/// Twelve nodes, two of them away at any time. The last publisher leaves as soon as its content is
/// replicated, and so does another node.
#[tokio::test(flavor = "multi_thread")]
async fn publishers_leave_and_every_fetch_ends_well() {
    const NODES: usize = 12;
    const ROUNDS: usize = 10;
    let seed: u64 = rand::random();
    println!("seed {seed}");
    let mut rng = StdRng::seed_from_u64(seed);
    let (peers, _) = swarm(NODES, |options| options).await;
    let (mut nodes, dirs): (Vec<Option<Node>>, Vec<_>) = peers
        .into_iter()
        .map(|peer| (Some(peer.node), peer.dir))
        .unzip();
    let mut published: Vec<Receipt> = Vec::new();
    let mut fetched: HashSet<(usize, ContentRoot)> = HashSet::new();
    let mut away: Vec<usize> = Vec::new();
    for round in 0..ROUNDS {
        // Nodes that were away rejoin through any node that is online.
        for back in std::mem::take(&mut away) {
            let mut doors = Vec::new();
            for node in nodes.iter().flatten().take(3) {
                doors.push(address(node).await);
            }
            let node = Node::start(copying(dirs[back].path(), &doors, 64 * MIB))
                .await
                .unwrap();
            assert!(node.wait_joined(PATIENCE).await);
            nodes[back] = Some(node);
        }
        let who = rng.random_range(0..NODES);
        let publisher = nodes[who].take().unwrap();
        wait_for_room(&publisher, 4).await;
        let length = [200, 40_000, 1 << 20][round % 3];
        let receipt = publish(
            &publisher,
            &format!("web-{round}"),
            &noise(rng.random(), length),
        )
        .await;
        assert!(
            publisher.wait_copied(Duration::from_secs(5)).await,
            "given away within the five seconds"
        );
        fetched.insert((who, receipt.content));
        published.push(receipt);
        publisher.shutdown().await.unwrap();
        let other = (who + rng.random_range(1..NODES)) % NODES;
        nodes[other].take().unwrap().shutdown().await.unwrap();
        away.extend([who, other]);
        // Get the newest package, and a random one.
        let older = rng.random_range(0..published.len());
        for receipt in [published.last().unwrap(), &published[older]] {
            let reader = (0..NODES)
                .cycle()
                .skip(rng.random_range(0..NODES))
                .find(|n| nodes[*n].is_some())
                .unwrap();
            let node = nodes[reader].as_ref().unwrap();
            let package = reference(&receipt.package);
            let release = node
                .registry()
                .get_package_version(&package, &"*".parse().unwrap())
                .await
                .unwrap();
            let done = node.contents().fetch(Wanted::of(&release), None).await;
            assert!(
                done.is_ok(),
                "seed {seed}, round {round}, {}: {done:?}",
                receipt.id
            );
            fetched.insert((reader, receipt.content));
        }
    }
    for back in away {
        nodes[back] = Some(
            Node::start(copying(dirs[back].path(), &[], 64 * MIB))
                .await
                .unwrap(),
        );
    }
    for receipt in &published {
        let mut copies = 0;
        for (n, node) in nodes.iter().enumerate() {
            copies += usize::from(
                !fetched.contains(&(n, receipt.content))
                    && holds(node.as_ref().unwrap(), receipt.content).await,
            );
        }
        assert!(
            copies <= 3,
            "seed {seed}: {} was copied {copies} times",
            receipt.id
        );
    }
}
