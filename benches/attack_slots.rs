//! Measures how many slots of a node strangers can occupy, before and during an attack: `cargo
//! bench --bench attack_slots`.
//!
//! The node treats loopback as a public network, so that the strict rules apply. Attackers connect
//! from 127.0.1.1 and, where there are four, from three other networks too. Rules that depend on
//! time alone run in virtual time.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

#[path = "../tests/lab/mod.rs"]
mod lab;

use std::time::{Duration, Instant};

use futures::{AsyncReadExt, AsyncWriteExt};
use lab::{BarePeer, DAY, Lab, PATIENCE, TCP, by_way_of, head, manifest, options, put, silent};
use libp2p::{PeerId, Stream, identity::Keypair};
use swarmdex::{
    clock,
    domain::{
        dials::{self, Dials},
        hash::ContentRoot,
        lanes::{ANSWERING, Lanes, Sender},
        places::Caller,
        prefix::Classes,
        query::Query,
        time::Timestamp,
    },
    metrics::Metrics,
    net::{
        content::wire::{ContentHead, ContentRequest, ContentStatus, HEAD},
        protocol::{Request, Response},
        sync::wire::{self, SyncAnswer},
    },
    node::{Node, Staging},
    registry::Wanted,
    store::Store,
};

struct Row {
    what: &'static str,
    values: [String; 3],
    bound: String,
}

fn tell(rows: Vec<Row>) {
    for Row {
        what,
        values: [before, one, four],
        bound,
    } in rows
    {
        println!("| {what} | {before} | {one} | {four} | {bound} |");
    }
}

async fn strict(bootstrap: &[String]) -> Lab {
    strict_in(tempfile::tempdir().unwrap(), bootstrap).await
}

async fn strict_in(dir: tempfile::TempDir, bootstrap: &[String]) -> Lab {
    let mut options = options(dir.path(), TCP, bootstrap);
    options.staging = Staging {
        classes: Classes::AllPublic,
        ..Staging::default()
    };
    let node = Node::start(options).await.unwrap();
    Lab { node, dir }
}

/// Returns an address of the node for each attacker, each through a network of its own.
async fn ways(node: &Lab, attackers: usize) -> Vec<String> {
    let address = node.address().await;
    let mut ways = Vec::new();
    for n in 0..attackers {
        ways.push(by_way_of([127, 0, 1 + n as u8, 1], &address).await);
    }
    ways
}

async fn joined(lab: &Lab, peer: &BarePeer) {
    let is = |one: &swarmdex::bus::PeerSnapshot| one.id == peer.id && !one.protocols.is_empty();
    let waited = tokio::time::timeout(PATIENCE, async {
        while !lab.node.peers().await.unwrap().iter().any(is) {
            tokio::task::yield_now().await;
        }
    });
    waited.await.unwrap();
}

/// Starts an honest node that joins from elsewhere. Returns it and the time that it took to join.
async fn newcomer(lab: &Lab) -> (Lab, Option<Duration>) {
    let way = by_way_of([127, 0, 99, 1], &lab.address().await).await;
    let begun = Instant::now();
    let newcomer = strict(&[way]).await;
    let has_joined = newcomer.node.wait_joined(PATIENCE).await;
    (newcomer, has_joined.then(|| begun.elapsed()))
}

fn ms(took: Option<Duration>) -> String {
    took.map_or_else(
        || "never".to_owned(),
        |took| format!("{} ms", took.as_millis()),
    )
}

/// Connects with throw-away identities, from one address and from four.
async fn connections() -> Vec<Row> {
    const IDENTITIES: usize = 30;
    let (mut held, mut took) = (Vec::new(), Vec::new());
    for attackers in [0, 1, 4] {
        let lab = strict(&[]).await;
        let mut crowd = Vec::new();
        for way in ways(&lab, attackers).await {
            for _ in 0..IDENTITIES {
                let peer = BarePeer::start(silent()).await;
                peer.knock(&way);
                crowd.push(peer);
            }
        }
        // Each was admitted or refused by now; there is nothing else to wait for.
        let (honest, joined) = newcomer(&lab).await;
        let ids: Vec<PeerId> = crowd.iter().map(|peer| peer.id).collect();
        let known = lab.node.peers().await.unwrap();
        let theirs = known
            .iter()
            .filter(|one| one.connection.is_some() && ids.contains(&one.id))
            .count();
        held.push(theirs.to_string());
        took.push(ms(joined));
        honest.stop().await;
        lab.stop().await;
    }
    let [held, took] = [held, took].map(|values| <[String; 3]>::try_from(values).unwrap());
    vec![
        Row {
            what: "connections of 30 throw-away identities an address",
            values: held,
            bound: "8 an address, 16 a network, 192 from outside in all".to_owned(),
        },
        Row {
            what: "an honest newcomer joins in",
            values: took,
            bound: "it joins".to_owned(),
        },
    ]
}

async fn open(peer: &BarePeer, node: PeerId, root: ContentRoot) -> Option<Stream> {
    let mut streams = peer.streams.clone();
    let mut stream = streams
        .open_stream(node, BarePeer::content_protocol())
        .await
        .ok()?;
    stream
        .write_all(
            &ContentRequest {
                root,
                start: 0,
                count: 1,
            }
            .to_bytes(),
        )
        .await
        .ok()?;
    stream.flush().await.ok()?;
    let mut bytes = [0; HEAD];
    tokio::time::timeout(PATIENCE, stream.read_exact(&mut bytes))
        .await
        .ok()?
        .ok()?;
    (ContentHead::from_bytes(&bytes)?.status == ContentStatus::Bytes).then_some(stream)
}

/// Opens streams and leaves them idle, with eight identities of each attacker.
async fn streams() -> Vec<Row> {
    let (mut held, mut took) = (Vec::new(), Vec::new());
    for attackers in [0, 1, 4] {
        let lab = strict(&[]).await;
        let content = put(lab.node.contents(), &vec![7; 1 << 20]).await.files[0].content;
        let (mut crowd, mut streams) = (Vec::new(), Vec::new());
        for way in ways(&lab, attackers).await {
            for _ in 0..8 {
                let peer = BarePeer::start(silent()).await;
                peer.knock(&way);
                joined(&lab, &peer).await;
                for _ in 0..5 {
                    streams.extend(open(&peer, lab.node.peer_id(), content.root).await);
                }
                crowd.push(peer);
            }
        }
        let (honest, _) = newcomer(&lab).await;
        let begun = Instant::now();
        let wanted = Wanted {
            content,
            what: "a bench".to_owned(),
            package: None,
            beside: None,
            for_others: false,
        };
        let fetched =
            tokio::time::timeout(PATIENCE, honest.node.contents().fetch(wanted, None)).await;
        took.push(ms(fetched
            .ok()
            .and_then(Result::ok)
            .map(|_| begun.elapsed())));
        held.push(streams.len().to_string());
        honest.stop().await;
        lab.stop().await;
    }
    let [held, took] = [held, took].map(|values| <[String; 3]>::try_from(values).unwrap());
    vec![
        Row {
            what: "content streams that 8 identities of each are given, idle ones making room, of 128",
            values: held,
            bound: "16 a network, 64 of strangers".to_owned(),
        },
        Row {
            what: "a newcomer fetches 1 MiB in",
            values: took,
            bound: "it is served".to_owned(),
        },
    ]
}

/// Starts comparisons and leaves them idle.
async fn sessions() -> Vec<Row> {
    let (mut held, mut took) = (Vec::new(), Vec::new());
    for attackers in [0, 1, 4] {
        let lab = strict(&[]).await;
        let (mut crowd, mut sessions) = (Vec::new(), Vec::new());
        for way in ways(&lab, attackers).await {
            for _ in 0..4 {
                let peer = BarePeer::start(silent()).await;
                peer.knock(&way);
                joined(&lab, &peer).await;
                let mut streams = peer.streams.clone();
                let opened = streams
                    .open_stream(lab.node.peer_id(), BarePeer::sync_protocol())
                    .await;
                if let Ok(mut stream) = opened
                    && wire::write(&mut stream, &wire::SyncRequest::Want(vec![]), PATIENCE)
                        .await
                        .is_ok()
                    && let Ok(Some((SyncAnswer::Records { .. }, _))) =
                        wire::read(&mut stream, PATIENCE).await
                {
                    sessions.push(stream);
                }
                crowd.push(peer);
            }
        }
        held.push(sessions.len().to_string());
        let (honest, _) = newcomer(&lab).await;
        let begun = Instant::now();
        let compared = tokio::time::timeout(PATIENCE, async {
            while honest.node.sync_with(lab.node.peer_id()).await.is_err() {
                tokio::task::yield_now().await;
            }
        });
        took.push(ms(compared.await.ok().map(|()| begun.elapsed())));
        honest.stop().await;
        lab.stop().await;
    }
    let [held, took] = [held, took].map(|values| <[String; 3]>::try_from(values).unwrap());
    vec![
        Row {
            what: "comparisons that 4 identities of each begin and leave, of 8",
            values: held,
            bound: "1 a network, 4 of strangers, 10 s when others wait".to_owned(),
        },
        Row {
            what: "a newcomer compares its catalogue in",
            values: took,
            bound: "10 s and a little".to_owned(),
        },
    ]
}

/// Sends requests without end, eight at a time.
async fn questions() -> Vec<Row> {
    const LENGTH: Duration = Duration::from_secs(12);
    const PACKAGES: usize = 2_000;
    let key = Keypair::generate_ed25519();
    let packages: Vec<_> = (0..PACKAGES)
        .map(|n| {
            let manifest = manifest(&key, &format!("package-{n}"), "1.0.0", b"x");
            (
                head(&key, 1, &[&manifest], clock::now(), DAY),
                Some(manifest),
            )
        })
        .collect();
    let (mut answered, mut took) = (Vec::new(), Vec::new());
    for attackers in [0, 1, 4] {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), Metrics::default()).unwrap();
        store
            .take_heads(packages.clone(), clock::now())
            .await
            .unwrap();
        drop(store);
        let lab = strict_in(dir, &[]).await;
        let mut crowd = Vec::new();
        for way in ways(&lab, attackers).await {
            let peer = BarePeer::start(silent()).await;
            peer.knock(&way);
            joined(&lab, &peer).await;
            crowd.push(peer);
        }
        let (honest, _) = newcomer(&lab).await;
        let end = Instant::now() + LENGTH;
        let node = lab.node.peer_id();
        let flood = async |peer: &BarePeer| {
            let (mut right, mut busy) = (0, 0);
            while Instant::now() < end {
                let query = Query {
                    limit: 200,
                    ..Query::text("p")
                };
                let asking = (0..8).map(|_| peer.ask(node, Request::Search(query.clone())));
                for answer in futures::future::join_all(asking).await {
                    match answer {
                        Some(Response::Packages { .. }) => right += 1,
                        _ => busy += 1,
                    }
                }
            }
            (right, busy)
        };
        let mut times = Vec::new();
        let asking = async {
            while Instant::now() < end {
                let begun = Instant::now();
                let found = honest
                    .node
                    .registry()
                    .search(&Query::text("package"))
                    .await
                    .unwrap();
                times.push((begun.elapsed(), found.coverage.answered));
                tokio::task::yield_now().await;
            }
        };
        let floods = futures::future::join_all(crowd.iter().map(flood));
        let (counts, ()) = tokio::join!(floods, asking);
        let (right, busy) = counts
            .iter()
            .fold((0, 0), |sum, count| (sum.0 + count.0, sum.1 + count.1));
        answered.push(format!("{right} answered, {busy} not"));
        times.sort_unstable();
        let unanswered = times.iter().filter(|(_, answered)| *answered == 0).count();
        took.push(format!(
            "{}, {unanswered} of {} unanswered",
            ms(Some(times[times.len() / 2].0)),
            times.len()
        ));
        honest.stop().await;
        lab.stop().await;
    }
    let [answered, took] = [answered, took].map(|values| <[String; 3]>::try_from(values).unwrap());
    vec![
        Row {
            what: "dear questions of attackers in 12 s",
            values: answered,
            bound: format!(
                "{} ms of the node's time at once and {} a second, each",
                ANSWERING.0, ANSWERING.1
            ),
        },
        Row {
            what: "an honest search meanwhile, median",
            values: took,
            bound: "it is answered".to_owned(),
        },
    ]
}

fn sender(good: bool) -> Sender {
    Sender {
        caller: Caller {
            peer: PeerId::random(),
            good,
            prefix: None,
        },
        doubtful: false,
    }
}

/// Counts the announcements accepted in ten minutes through one neighbour, while attackers send
/// through it under eleven names each.
fn gossip() -> Vec<Row> {
    let (mut known, mut newcomers, mut theirs) = (Vec::new(), Vec::new(), Vec::new());
    for attackers in [0, 1, 4] {
        let (mut lanes, via) = (Lanes::default(), sender(true));
        let names: Vec<Sender> = (0..attackers * 11).map(|_| sender(false)).collect();
        let (publisher, newcomer) = (sender(false), sender(false));
        let mut counts = [0u32; 3];
        let mut sent = 0;
        for tick in 0..6_000u64 {
            let now = Timestamp(1_700_000_000_000).after(Duration::from_millis(tick * 100));
            for name in &names {
                while lanes.relay(&via, name, false, now) {
                    counts[2] += 1;
                }
            }
            if tick % 100 == 99 {
                sent += 1;
                counts[0] += u32::from(lanes.relay(&via, &publisher, true, now));
                counts[1] += u32::from(lanes.relay(&via, &newcomer, false, now));
            }
        }
        known.push(format!("{} of {sent}", counts[0]));
        newcomers.push(format!("{} of {sent}", counts[1]));
        theirs.push(counts[2].to_string());
    }
    let [known, newcomers, theirs] =
        [known, newcomers, theirs].map(|values| <[String; 3]>::try_from(values).unwrap());
    vec![
        Row {
            what: "announcements of a known publisher that are taken",
            values: known,
            bound: "all".to_owned(),
        },
        Row {
            what: "announcements of a new publisher that are taken",
            values: newcomers,
            bound: "all, beside names that stay".to_owned(),
        },
        Row {
            what: "announcements of attackers that are taken",
            values: theirs,
            bound: "10,000 and 200 a second".to_owned(),
        },
    ]
}

/// Counts the dials to one victim's network in ten minutes, where attackers claim that peers are
/// there.
fn dialled() -> Vec<Row> {
    let mut counts = Vec::new();
    for attackers in [0u32, 1, 4] {
        let mut dials = Dials::default();
        let mut count = 0;
        for second in 0..600u64 {
            let now = Timestamp(1_700_000_000_000).after(Duration::from_secs(second));
            for n in 0..attackers * 20 {
                let port = 1_000 + second as u32 * 80 + n;
                let at = format!("/ip4/81.2.69.{}/tcp/{}", n % 250, port % 60_000 + 1)
                    .parse()
                    .unwrap();
                count += u32::from(dials.take(&at, now));
            }
        }
        counts.push(count.to_string());
    }
    vec![Row {
        what: "dials to a victim's /24 in ten minutes, of 20 claims a second and identity",
        values: counts.try_into().unwrap(),
        bound: format!(
            "{} at once, {} a minute",
            dials::OF_A_PREFIX.0,
            dials::OF_A_PREFIX.1 * 60.0
        ),
    }]
}

#[tokio::main]
async fn main() {
    let only: Option<String> = std::env::args()
        .skip(1)
        .find(|argument| !argument.starts_with('-'));
    let wanted = |name: &str| {
        only.as_ref()
            .is_none_or(|only| name.contains(only.as_str()))
    };
    let begun = clock::now();
    println!("| what | before | one identity | four identities | bound |");
    println!("|---|---|---|---|---|");
    if wanted("connections") {
        tell(connections().await);
    }
    if wanted("streams") {
        tell(streams().await);
    }
    if wanted("sessions") {
        tell(sessions().await);
    }
    if wanted("questions") {
        tell(questions().await);
    }
    if wanted("gossip") {
        tell(gossip());
    }
    if wanted("dials") {
        tell(dialled());
    }
    println!("\ntook {} s", clock::now().since(begun).as_secs());
}
