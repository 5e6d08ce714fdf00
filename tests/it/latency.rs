//! Simulated latency between nodes on one machine.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use crate::lab::{Lab, PATIENCE, QUIC, TCP, draft, options, put, reference, wait_for};
use libp2p::PeerId;
use swarmdex::{
    domain::geo::GeoLocation,
    node::{Delays, Node, NodeOptions},
    registry::{CatalogueScope, Wanted, read_whole},
    store::keys,
};

const ONE_WAY: Duration = Duration::from_millis(40);

async fn start(listen: &str, bootstrap: &[String], change: impl FnOnce(&mut NodeOptions)) -> Lab {
    let dir = tempfile::tempdir().unwrap();
    let mut options = options(dir.path(), listen, bootstrap);
    options.staging.delays = Some(Delays::new(|_| Some(ONE_WAY)));
    change(&mut options);
    let node = Node::start(options).await.unwrap();
    if !bootstrap.is_empty() {
        assert!(node.wait_joined(PATIENCE).await, "found nobody");
    }
    Lab { node, dir }
}

/// Returns the first round trip that a node measures with a peer.
async fn round_trip(lab: &Lab, peer: PeerId) -> Duration {
    let mut heard = lab.node.subscribe();
    let mut found = None;
    wait_for(&mut heard, "a round trip", |batch| {
        found = batch
            .peers
            .iter()
            .find(|seen| seen.id == peer)
            .and_then(|seen| seen.rtts_ms.last())
            .copied();
        found.is_some()
    })
    .await;
    Duration::from_secs_f32(found.unwrap() / 1_000.0)
}

async fn everything_takes_its_time(listen: &str) {
    let a = start(listen, &[], |_| {}).await;
    let door = [a.address().await];
    let b = start(listen, &door, |options| {
        options.registry.catalogue = CatalogueScope::Partial
    })
    .await;
    assert!(round_trip(&b, a.node.peer_id()).await >= 2 * ONE_WAY);
    assert!(round_trip(&a, b.node.peer_id()).await >= 2 * ONE_WAY);

    // Send more than the streams' flow control windows hold.
    let mut sent = vec![0; 6 << 20];
    blake3::Hasher::new()
        .update(b"far")
        .finalize_xof()
        .fill(&mut sent);
    let artifacts = put(a.node.contents(), &sent).await;
    let wanted = Wanted {
        content: artifacts.files[0].content,
        what: "a test".to_owned(),
        package: None,
        beside: None,
        for_others: false,
    };
    let began = Instant::now();
    let contents = b.node.contents();
    let fetched = tokio::time::timeout(PATIENCE, contents.fetch(wanted, None))
        .await
        .unwrap()
        .unwrap();
    assert!(!fetched.was_held && began.elapsed() >= 2 * ONE_WAY);
    assert_eq!(
        read_whole(&*contents, artifacts.files[0].content.root, u64::MAX)
            .await
            .unwrap(),
        sent
    );
    assert!(
        b.node
            .metrics()
            .await
            .unwrap()
            .contains("libp2p_bandwidth_bytes_total"),
        "bytes are counted"
    );

    // Gossip, and queries of a new node.
    let mut heard = b.node.subscribe();
    let receipt = a
        .node
        .registry()
        .publish(draft("far", "1.0.0"), artifacts, None)
        .await
        .unwrap();
    let mut travelled = None;
    wait_for(&mut heard, "the announcement", |batch| {
        travelled = batch
            .announcements
            .iter()
            .find(|one| one.package == receipt.package)
            .map(|one| one.travelled);
        travelled.is_some()
    })
    .await;
    assert!(travelled.unwrap() >= ONE_WAY, "{travelled:?}");
    assert!(a.node.wait_published(PATIENCE).await);
    let c = start(listen, &door, |options| {
        options.registry.catalogue = CatalogueScope::Partial
    })
    .await;
    let began = Instant::now();
    assert!(
        c.node
            .registry()
            .exists(&reference(&receipt.package))
            .await
            .unwrap()
    );
    assert!(began.elapsed() >= 2 * ONE_WAY);

    // A node that leaves is noticed.
    let mut heard = a.node.subscribe();
    let gone = b.node.peer_id();
    b.stop().await;
    wait_for(&mut heard, "who left", |batch| {
        batch
            .peers
            .iter()
            .any(|peer| peer.id == gone && peer.connection.is_none())
    })
    .await;
    c.stop().await;
    a.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn over_tcp() {
    everything_takes_its_time(TCP).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn over_quic() {
    everything_takes_its_time(QUIC).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn by_distance_only_those_whose_place_is_known_are_far() {
    let dirs: Vec<_> = (0..3).map(|_| tempfile::tempdir().unwrap()).collect();
    let id = |dir: &tempfile::TempDir| {
        keys::load_or_create(&keys::identity_path(dir.path()))
            .unwrap()
            .public()
            .to_peer_id()
    };
    let homes: [GeoLocation; 2] = [
        "52.5,13.4,Berlin".parse().unwrap(),
        "-33.9,151.2,Sydney".parse().unwrap(),
    ];
    let places: HashMap<PeerId, GeoLocation> = dirs.iter().map(id).zip(homes.clone()).collect();
    let places = Arc::new(places);
    let mut labs: Vec<Lab> = Vec::new();
    for (dir, home) in dirs.into_iter().zip(homes.iter().map(Some).chain([None])) {
        let door = match labs.first() {
            Some(first) => vec![first.address().await],
            None => vec![],
        };
        let mut options = options(dir.path(), TCP, &door);
        options.staging.delays =
            home.map(|home| Delays::by_distance(home.clone(), places.clone(), 1));
        labs.push(Lab {
            node: Node::start(options).await.unwrap(),
            dir,
        });
    }
    let [berlin, sydney, nowhere] = labs.try_into().ok().unwrap();
    let least = homes[0].one_way(&homes[1]).mul_f64(2.0 * 0.9);
    assert!(least > Duration::from_millis(100));
    assert!(round_trip(&sydney, berlin.node.peer_id()).await >= least);
    // This link has no latency: on a busy machine some answers are slow, but at least one is quick.
    let begun = Instant::now();
    while round_trip(&nowhere, berlin.node.peer_id()).await >= least {
        assert!(begun.elapsed() < PATIENCE, "each answer was held back");
    }
}
