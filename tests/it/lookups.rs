//! Traces of real lookups among real nodes: all requests, answers and failures.

use std::time::Duration;

use crate::lab::{BarePeer, Lab, NETWORK, PATIENCE, TCP, draft, put, silent, wait_for};
use futures::StreamExt;
use libp2p::{
    PeerId, StreamProtocol, SwarmBuilder, identify,
    identity::Keypair,
    noise,
    swarm::{NetworkBehaviour, SwarmEvent},
    tcp, yamux,
};
use swarmdex::{
    domain::{
        hash::Hash,
        lookup::{
            HopAnswer, HopFailure, HopRequest, LookupKind, LookupResult, LookupState, Sought,
            Trace, distance_bits, position,
        },
        record::DhtKey,
    },
    registry::Receipt,
};

fn head_of(receipt: &Receipt) -> Sought {
    Sought::Record(Hash(DhtKey::of_head(&receipt.package).0))
}

/// Checks what must hold for every trace.
fn is_sound(trace: &Trace, target: Option<&Hash>) {
    assert!(
        trace.hops.is_sorted_by_key(|hop| hop.after_us),
        "in order of time: {trace:?}"
    );
    for hop in &trace.hops {
        if let Some(target) = target {
            assert_eq!(
                hop.bits,
                distance_bits(&position(&hop.peer), target),
                "{hop:?}"
            );
        }
        assert_eq!(
            hop.answer.came(),
            hop.took_us.is_some() && !matches!(hop.answer, HopAnswer::Failed(_)),
            "{hop:?}"
        );
        assert!(hop.new <= hop.closer);
        assert_ne!(
            hop.answer == HopAnswer::Waiting,
            trace.took_us.is_some(),
            "nothing waits when it is over: {hop:?}"
        );
    }
}

async fn look(lab: &Lab, sought: Sought) -> LookupResult {
    let looked = lab.node.look(sought, None, PATIENCE).await.unwrap();
    let target = match sought {
        Sought::Record(key) | Sought::Providers(key) => Hash::of(&key.0),
        Sought::Closest(peer) => position(&peer),
    };
    assert_eq!(looked.trace.target, target);
    is_sound(&looked.trace, Some(&target));
    looked
}

/// Waits for an ended lookup that matches, and returns the latest one.
async fn ended(lab: &Lab, what: &str, is_it: impl Fn(&Trace) -> bool) -> Trace {
    let is_it = |trace: &Trace| !trace.is_open() && is_it(trace);
    let mut batches = lab.node.subscribe();
    let mut found = None;
    wait_for(&mut batches, what, |batch| {
        found = batch
            .lookups
            .iter()
            .filter(|trace| is_it(trace))
            .max_by_key(|trace| trace.id)
            .cloned();
        found.is_some()
    })
    .await;
    found.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn lookups_among_nine_nodes_are_followed_hop_by_hop() {
    let first = Lab::start(TCP, &[]).await;
    let address = first.address().await;
    let mut labs = vec![first];
    for _ in 0..8 {
        labs.push(Lab::start(TCP, std::slice::from_ref(&address)).await);
    }
    let publisher = &labs[1];
    let registry = publisher.node.registry();
    let receipt = registry.publish(
        draft("web", "1.0.0"),
        put(publisher.node.contents(), b"web").await,
        None,
    );
    let receipt = receipt.await.unwrap();
    assert!(publisher.node.wait_published(PATIENCE).await);

    // The put has two phases: the closest peers, and the record itself.
    let stored = ended(publisher, "the put", |trace| {
        trace.kind == LookupKind::Put
            && trace
                .what
                .as_deref()
                .is_some_and(|what| what.starts_with("head of"))
    })
    .await;
    is_sound(&stored, Some(&stored.target));
    assert_eq!(stored.state, LookupState::Done);
    let kept = stored
        .hops
        .iter()
        .filter(|hop| hop.ask == HopRequest::Put && hop.answer == HopAnswer::Stored)
        .count();
    assert!(kept > 0 && kept == stored.found as usize, "{stored:?}");
    assert!(stored.hops.iter().any(|hop| hop.ask == HopRequest::Find));

    // The get.
    let seeker = labs.last().unwrap();
    let looked = look(seeker, head_of(&receipt)).await;
    assert!(looked.found() && !looked.copies.is_empty(), "{looked:?}");
    assert!(
        looked.copies[0].says.contains("web, seq 1"),
        "{:?}",
        looked.copies[0].says
    );
    let trace = &looked.trace;
    let gave: Vec<PeerId> = trace
        .hops
        .iter()
        .filter(|hop| hop.answer == HopAnswer::Record)
        .map(|hop| hop.peer)
        .collect();
    assert!(
        !gave.is_empty() && gave.len() == trace.found as usize,
        "{trace:?}"
    );
    assert!(
        looked
            .copies
            .iter()
            .filter_map(|copy| copy.peer)
            .all(|peer| gave.contains(&peer))
    );
    assert!(
        trace
            .hops
            .iter()
            .filter(|hop| hop.answer.came())
            .any(|hop| hop.closer > 0),
        "{trace:?}"
    );

    // A record that nobody has.
    let missing = look(seeker, Sought::Record(Hash::of(b"nobody has this"))).await;
    assert!(!missing.found() && missing.copies.is_empty());
    assert_eq!(missing.trace.state, LookupState::Missing);
    assert!(!missing.trace.hops.is_empty());
    assert!(missing.trace.hops.iter().all(|hop| !hop.answer.is_it()));

    // Announcing a provider happens in the background and may take a moment.
    let told = ended(publisher, "providing", |trace| {
        trace.kind == LookupKind::Provide && trace.found > 0
    })
    .await;
    assert!(
        told.hops
            .iter()
            .any(|hop| hop.ask == HopRequest::Provide && hop.answer == HopAnswer::Told),
        "{told:?}"
    );
    let key = Hash(
        DhtKey::of_content(
            &publisher.node.contents().list().await.unwrap()[0]
                .content
                .root,
        )
        .0,
    );
    let providers = tokio::time::timeout(PATIENCE, async {
        loop {
            let looked = look(seeker, Sought::Providers(key)).await;
            if looked.peers.contains(&publisher.node.peer_id()) {
                return looked;
            }
        }
    });
    let providers = providers.await.unwrap();
    assert!(providers.found());
    assert_eq!(providers.trace.found as usize, providers.peers.len());

    // The peer closest to a peer's own key is that peer.
    let peer = labs[4].node.peer_id();
    let closest = look(seeker, Sought::Closest(peer)).await;
    assert_eq!(closest.peers.first(), Some(&peer), "{closest:?}");
    assert!(
        closest
            .trace
            .hops
            .iter()
            .any(|hop| hop.peer == peer && hop.bits == 0)
    );

    // Kademlia bootstraps by itself; the target changes with each lookup.
    let bootstrap = ended(seeker, "a bootstrap", |trace| {
        trace.kind == LookupKind::Bootstrap && trace.found > 0
    })
    .await;
    is_sound(&bootstrap, None);
    assert_eq!(bootstrap.state, LookupState::Done);

    let all = seeker.node.lookups().await.unwrap();
    assert!(
        all.is_sorted_by_key(|trace| std::cmp::Reverse(trace.id)),
        "the newest first"
    );
    assert!(all.iter().any(|trace| trace.id == looked.trace.id));

    let table = seeker.node.routing().await.unwrap();
    assert_eq!((table.me, table.peers()), (seeker.node.peer_id(), 8));
    let bits = |lab: &Lab| {
        distance_bits(
            &position(&lab.node.peer_id()),
            &position(&seeker.node.peer_id()),
        )
    };
    for bucket in &table.buckets {
        let there = labs.iter().filter(|lab| bits(lab) == bucket.bits).count();
        assert_eq!(usize::from(bucket.peers), there, "{table:?}");
        assert!(bucket.oldest_contact.is_some());
    }
    assert!(
        table
            .buckets
            .is_sorted_by_key(|bucket| std::cmp::Reverse(bucket.bits))
    );
    assert!(
        table
            .buckets
            .iter()
            .any(|bucket| bucket.refreshed.is_some()),
        "{table:?}"
    );
    for lab in labs {
        lab.stop().await;
    }
}

#[derive(NetworkBehaviour)]
struct Mute {
    identify: identify::Behaviour,
    streams: libp2p_stream::Behaviour,
}

/// Starts a peer that accepts all DHT requests and never answers.
async fn mute() -> (PeerId, String) {
    let key = Keypair::generate_ed25519();
    let id = key.public().to_peer_id();
    let streams = libp2p_stream::Behaviour::new();
    let mut control = streams.new_control();
    let identify =
        identify::Behaviour::new(identify::Config::new("/mute/1".to_owned(), key.public()));
    let mut swarm = SwarmBuilder::with_existing_identity(key)
        .with_tokio()
        .with_tcp(
            tcp::Config::default(),
            noise::Config::new,
            yamux::Config::default,
        )
        .unwrap()
        .with_behaviour(|_| Mute { identify, streams })
        .unwrap()
        .with_swarm_config(|config| config.with_idle_connection_timeout(PATIENCE))
        .build();
    for kind in ["kad/3", "query/3"] {
        let protocol =
            StreamProtocol::try_from_owned(format!("/swarmdex/{NETWORK}/{kind}")).unwrap();
        let mut incoming = control.accept(protocol).unwrap();
        tokio::spawn(async move {
            let mut held = Vec::new();
            while let Some(stream) = incoming.next().await {
                held.push(stream);
            }
        });
    }
    swarm.listen_on(TCP.parse().unwrap()).unwrap();
    let address = loop {
        if let SwarmEvent::NewListenAddr { address, .. } = swarm.select_next_some().await {
            break format!("{address}/p2p/{id}");
        }
    };
    tokio::spawn(async move {
        loop {
            swarm.select_next_some().await;
        }
    });
    (id, address)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_never_answers_is_seen_to() {
    let (id, address) = mute().await;
    let lab = Lab::start(TCP, &[address]).await;
    let sought = Sought::Record(Hash::of(b"something"));
    let looked = lab
        .node
        .look(sought, Some("something".to_owned()), Duration::from_secs(2))
        .await
        .unwrap();
    assert!(!looked.found());
    assert_eq!(
        (looked.trace.state, looked.trace.what.as_deref()),
        (LookupState::Unanswered, Some("something"))
    );
    let hops: Vec<_> = looked
        .trace
        .hops
        .iter()
        .map(|hop| (hop.peer, hop.answer))
        .collect();
    assert_eq!(hops, [(id, HopAnswer::Failed(HopFailure::TimedOut))]);
    assert_eq!(looked.trace.came(), "none of 1 asked answered");
    lab.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_is_not_connected_is_dialled_and_one_that_is_gone_is_said_to_be() {
    let witness = BarePeer::start(silent()).await;
    let lab = Lab::start(TCP, std::slice::from_ref(&witness.address)).await;
    let sought = Sought::Record(Hash::of(b"something"));
    assert!(lab.node.disconnect(witness.id).await.unwrap());
    let mut batches = lab.node.subscribe();
    wait_for(&mut batches, "the peer to leave", |batch| {
        batch
            .peers
            .iter()
            .any(|peer| peer.id == witness.id && peer.connection.is_none())
    })
    .await;
    let looked = look(&lab, sought).await;
    let [hop] = looked.trace.hops.as_slice() else {
        panic!("{looked:?}")
    };
    assert_eq!(
        (hop.peer, hop.dialled, hop.answer),
        (witness.id, true, HopAnswer::Nothing)
    );

    let id = witness.id;
    drop(witness);
    wait_for(&mut batches, "the peer to leave", |batch| {
        batch
            .peers
            .iter()
            .any(|peer| peer.id == id && peer.connection.is_none())
    })
    .await;
    let looked = look(&lab, sought).await;
    let [hop] = looked.trace.hops.as_slice() else {
        panic!("{looked:?}")
    };
    assert_eq!(
        (hop.peer, hop.answer),
        (id, HopAnswer::Failed(HopFailure::Unreachable))
    );
    assert_eq!(looked.trace.state, LookupState::Unanswered);

    // A node without any peer to ask.
    let alone = Lab::start(TCP, &[]).await;
    let looked = look(&alone, sought).await;
    assert!(looked.trace.hops.is_empty());
    assert_eq!(looked.trace.came(), "there was no peer to ask");
    lab.stop().await;
    alone.stop().await;
}
