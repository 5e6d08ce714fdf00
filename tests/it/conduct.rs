//! Misbehaving peers among honest ones: they are detected, banned and shown as such, and nobody
//! else is.

use std::{sync::Arc, time::Duration};

use crate::lab::{
    BarePeer, DAY, Lab, PATIENCE, TCP, draft, head, manifest, options, put, wait_for,
};
use libp2p::{PeerId, identity::Keypair};
use swarmdex::{
    bus::{Batch, PeerSnapshot},
    clock,
    domain::{
        faults::{BanOrigin, PeerFault, Ruling},
        record::Announcement,
        time::Timestamp,
    },
    node::{Conduct, Node, Staging},
    registry::{Content, Receipt, Wanted},
};
use tokio::sync::mpsc;

/// Starts a node that pings often, so that it soon distinguishes silence from a broken connection.
async fn start(bootstrap: &[String], place: &str, conduct: Conduct) -> Lab {
    let dir = tempfile::tempdir().unwrap();
    let mut options = options(dir.path(), TCP, bootstrap);
    options.net.ping_every = Duration::from_millis(500);
    options.net.location = Some(place.parse().unwrap());
    options.staging = Staging::of(conduct);
    let node = Node::start(options).await.unwrap();
    if !bootstrap.is_empty() {
        assert!(node.wait_joined(PATIENCE).await, "found nobody");
    }
    Lab { node, dir }
}

/// Waits until a node has banned a peer for a fault.
async fn banned(lab: &Lab, peer: PeerId, fault: PeerFault) -> PeerSnapshot {
    let is_banned = |one: &PeerSnapshot| one.ban(clock::now()).is_some();
    let peer = seen(
        lab,
        peer,
        &format!("a ban for {}", fault.label()),
        is_banned,
    )
    .await;
    let sheet = peer.sheet.as_ref().unwrap();
    assert!(sheet.counts.contains_key(&fault), "{:?}", sheet.counts);
    assert!(sheet.ban.unwrap().by == BanOrigin::Points && sheet.ban.unwrap().until.is_some());
    peer
}

/// Waits until a peer is shown as expected.
async fn seen(
    lab: &Lab,
    peer: PeerId,
    what: &str,
    is: impl Fn(&PeerSnapshot) -> bool,
) -> PeerSnapshot {
    /// A flood takes a while to become one, and the machine may be busy.
    const MOST: Duration = Duration::from_secs(150);
    let mut batches = lab.node.subscribe();
    let waited = tokio::time::timeout(MOST, async {
        loop {
            let batch = batches.recv().await.expect("the node runs");
            if let Some(one) = batch
                .peers
                .into_iter()
                .find(|one| one.id == peer && is(one))
            {
                return one;
            }
        }
    });
    if let Ok(peer) = waited.await {
        return peer;
    }
    let known = lab
        .node
        .peers()
        .await
        .unwrap()
        .into_iter()
        .find(|one| one.id == peer);
    panic!("waited in vain for {what}: {known:?}");
}

/// Returns an announcement that every node accepts.
fn announcement(key: &Keypair, name: &str, seq: u64) -> Vec<u8> {
    let now = clock::now();
    let manifest = manifest(key, name, &format!("1.0.{seq}"), b"x");
    let head = head(key, seq, &[&manifest], now, DAY);
    Announcement::sign(key, now, head, manifest)
        .unwrap()
        .encode()
        .unwrap()
        .to_vec()
}

/// Returns announcements of one release, signed in advance: signing while sending may be too slow
/// for a flood. Each is older than the one before, so that no node relays it.
fn flood(count: u64) -> Vec<Vec<u8>> {
    let (key, now) = (Keypair::generate_ed25519(), clock::now());
    let manifest = manifest(&key, "spam", "1.0.0", b"x");
    let head = head(&key, 1, &[&manifest], Timestamp(now.0 - count), DAY);
    let signed =
        |n| Announcement::sign(&key, Timestamp(now.0 - n), head.clone(), manifest.clone()).unwrap();
    (0..count)
        .map(|n| signed(n).encode().unwrap().to_vec())
        .collect()
}

async fn publish(lab: &Lab, name: &str, version: &str, bytes: &[u8]) -> Receipt {
    let artifacts = put(lab.node.contents(), bytes).await;
    lab.node
        .registry()
        .publish(draft(name, version), artifacts, None)
        .await
        .unwrap()
}

/// Publishes until all nodes have received it: right after a flood, unknown publishers wait for up
/// to a minute.
async fn tell_everybody(lab: &Lab, name: &str, readers: &mut [mpsc::Receiver<Batch>]) {
    const TIMES: usize = 6;
    let mut left: Vec<_> = readers.iter_mut().collect();
    for attempt in 0..TIMES {
        publish(lab, name, &format!("1.0.{attempt}"), b"honest").await;
        let heard = left.into_iter().map(async |reader| {
            let told = async {
                while let Some(batch) = reader.recv().await {
                    if batch
                        .announcements
                        .iter()
                        .any(|one| one.package.name.as_str() == name)
                    {
                        return;
                    }
                }
            };
            tokio::time::timeout(PATIENCE, told)
                .await
                .is_err()
                .then_some(reader)
        });
        left = futures::future::join_all(heard)
            .await
            .into_iter()
            .flatten()
            .collect();
        if left.is_empty() {
            return;
        }
    }
    panic!("{} nodes never heard of {name}", left.len());
}

/// There are seven honest nodes, and a forger, a spammer, a staller, a corrupt server, and a node
/// with a false location. The first four are banned by every node they deal with, the fifth is
/// marked as implausible, and releases of honest nodes reach all of them.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn bad_peers_are_caught_and_honest_ones_are_served() {
    let flood = flood(3_000);
    let forger = BarePeer::start(crate::lab::silent()).await;
    let spammer = BarePeer::start(crate::lab::silent()).await;
    let staller = BarePeer::start(Arc::new(|_| None)).await;
    let bad: Vec<String> = [&forger, &spammer, &staller]
        .iter()
        .map(|peer| peer.address.clone())
        .collect();
    let first = start(&bad, "52.5,13.4,Berlin", Conduct::Honest).await;
    let here = [first.address().await];
    let mut honest = vec![first];
    for _ in 0..6 {
        honest.push(start(&here, "52.5,13.4,Berlin", Conduct::Honest).await);
    }
    let corrupt = start(&here, "52.5,13.4,Berlin", Conduct::Corrupt).await;
    let liar = start(&here, "35.7,139.7,Tokyo", Conduct::Honest).await;
    let first = &honest[0];

    // The staller answers pings but no queries.
    let stalled = banned(first, staller.id, PeerFault::Stalling);
    // The corrupt server damages content of packages that no other node has.
    let damaged = async {
        for n in 0..30 {
            if first
                .node
                .peers()
                .await
                .unwrap()
                .iter()
                .any(|one| one.id == corrupt.node.peer_id() && one.ban(clock::now()).is_some())
            {
                break;
            }
            // Fetch as if the release had been found elsewhere: an announcement would be delayed by
            // the flood.
            let name = format!("damaged-{n}");
            let receipt = publish(&corrupt, &name, "1.0.0", &vec![n; 200_000]).await;
            let wanted = Wanted {
                content: Content {
                    root: receipt.content,
                    size: receipt.size,
                },
                what: name,
                package: Some(receipt.package),
                beside: None,
                for_others: false,
            };
            assert!(
                first.node.contents().fetch(wanted, None).await.is_err(),
                "it does not verify"
            );
        }
        banned(first, corrupt.node.peer_id(), PeerFault::HashMismatch).await
    };
    // The forger sends bytes that every honest node refuses.
    let forged = async {
        let key = Keypair::generate_ed25519();
        for seq in 1..=20 {
            let mut data = announcement(&key, "forged", seq);
            let last = data.len() - 1;
            data[last] ^= 1;
            forger.shout(&data);
        }
        banned(first, forger.id, PeerFault::ForgedRecord).await
    };
    // The spammer sends three times its allowance, all of it valid.
    let flooded = async {
        let mut every = tokio::time::interval(Duration::from_millis(1));
        let flood = async {
            // Repeat: announcements are lost while nobody listens, and received ones are not sent
            // twice.
            for data in flood.iter().cycle() {
                every.tick().await;
                spammer.shouted(data).await;
            }
        };
        tokio::select! {
            peer = banned(first, spammer.id, PeerFault::Flooding) => peer,
            () = flood => unreachable!("it does not end"),
        }
    };
    let (stalled, damaged, forged, flooded) = tokio::join!(stalled, damaged, forged, flooded);
    for peer in [stalled, damaged, forged, flooded] {
        let gone = seen(first, peer.id, "it to be gone", |one| {
            one.connection.is_none()
        })
        .await;
        assert!(gone.ban(clock::now()).is_some(), "it stays out: {gone:?}");
    }

    // Light could not have covered the distance, so the location gives no bonus.
    let claims = liar.node.peer_id();
    let shown = first
        .node
        .peers()
        .await
        .unwrap()
        .into_iter()
        .find(|one| one.id == claims)
        .unwrap();
    assert!(shown.provenance().is_implausible(), "{shown:?}");
    assert_eq!(shown.score.proximity, 0.0);
    assert!(
        shown.ban(clock::now()).is_none(),
        "a wrong place is no fault"
    );

    // Honest nodes still receive everything, and none of them was banned.
    let mut readers: Vec<_> = honest.iter().map(|lab| lab.node.subscribe()).collect();
    for (n, lab) in honest.iter().enumerate() {
        tell_everybody(lab, &format!("honest-{n}"), &mut readers).await;
    }
    let ids: Vec<PeerId> = honest
        .iter()
        .chain([&liar])
        .map(|lab| lab.node.peer_id())
        .collect();
    for lab in &honest {
        for peer in lab.node.peers().await.unwrap() {
            assert!(
                !ids.contains(&peer.id) || peer.ban(clock::now()).is_none(),
                "{peer:?}"
            );
        }
    }
}

/// A user bans a peer, the ban outlives a restart, and the user lifts it.
#[tokio::test(flavor = "multi_thread")]
async fn bans_are_kept_over_a_restart_and_taken_back_by_hand() {
    let other = Lab::start(TCP, &[]).await;
    let address = [other.address().await];
    let node = Lab::start(TCP, &address).await;
    let peer = other.node.peer_id();
    let ruling = Ruling::Ban { seconds: None };
    assert!(node.node.judge(peer, ruling).await.unwrap());
    let mut batches = node.node.subscribe();
    wait_for(&mut batches, "the end of the connection", |batch| {
        batch.peers.iter().any(|one| {
            one.id == peer && one.connection.is_none() && one.ban(clock::now()).is_some()
        })
    })
    .await;
    drop(batches);

    let dir = node.stop().await;
    let node = Node::start(options(dir.path(), TCP, &address))
        .await
        .unwrap();
    let known = node
        .peers()
        .await
        .unwrap()
        .into_iter()
        .find(|one| one.id == peer)
        .unwrap();
    assert!(
        known
            .ban(clock::now())
            .is_some_and(|ban| ban.until.is_none() && ban.by == BanOrigin::Person),
        "{known:?}"
    );
    let address: libp2p::Multiaddr = address[0].parse().unwrap();
    assert!(
        node.dial(address.clone(), false, Duration::from_secs(1))
            .await
            .is_err(),
        "nothing to do with it"
    );

    assert!(
        node.judge(peer, Ruling::Unban).await.unwrap()
            && !node.judge(peer, Ruling::Unban).await.unwrap()
    );
    assert_eq!(node.dial(address, true, PATIENCE).await.unwrap(), peer);
    assert!(node.judge(peer, Ruling::Protect).await.unwrap());
    node.shutdown().await.unwrap();
}
