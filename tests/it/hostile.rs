//! Forged records: refused when stored and when read, and counted.

use std::sync::Arc;

use crate::lab::{BarePeer, DAY, Lab, TCP, head, id_of, manifest, reference, silent, wait_for};
use libp2p::identity::Keypair;
use serde_bytes::ByteBuf;
use swarmdex::{
    RegistryError,
    bus::Batch,
    clock,
    domain::{
        faults::Ruling,
        name::PackageId,
        query::Query,
        record::{Authorised, DhtKey, Head, Refusal},
        reputation::Outcome,
    },
    net::protocol::{Item, Keeping, Request, Response},
};

fn key_of(id: &PackageId) -> Vec<u8> {
    DhtKey::of_head(id).0.to_vec()
}

/// Records that must be refused, each with the reason, and the honest head that they compete with.
struct Forgeries {
    key: Keypair,
    honest: Authorised<Head>,
    bad: Vec<(Refusal, Vec<u8>)>,
}

fn forgeries() -> Forgeries {
    let key = Keypair::generate_ed25519();
    let now = clock::now();
    let one = manifest(&key, "cargo:prize", "1.0.0", b"one");
    let changed = manifest(&key, "cargo:prize", "1.0.0", b"changed");
    let honest = head(&key, 5, &[&one], now, DAY);
    let lower = head(&key, 4, &[&one], now, DAY);
    let conflict = head(&key, 6, &[&changed], now, DAY);
    let expired = head(&key, 7, &[&one], now.before(2 * DAY), DAY);
    let stranger = Keypair::generate_ed25519();
    let foreign = head(
        &stranger,
        9,
        &[&manifest(&stranger, "cargo:prize", "1.0.0", b"foreign")],
        now,
        DAY,
    );
    let mut flipped = honest.envelope().to_vec();
    let last = flipped.len() - 1;
    flipped[last] ^= 1;
    let bytes = |head: &Authorised<Head>| head.envelope().to_vec();
    let bad = vec![
        (Refusal::Superseded, bytes(&lower)),
        (Refusal::Conflict, bytes(&conflict)),
        (Refusal::Expired, bytes(&expired)),
        (Refusal::WrongKey, bytes(&foreign)),
        (Refusal::BadSignature, flipped),
        (Refusal::Malformed, b"garbage".to_vec()),
    ];
    Forgeries { key, honest, bad }
}

/// Answers every query for a head with this one.
fn with_head(head: &[u8]) -> crate::lab::Answers {
    let head = ByteBuf::from(head.to_vec());
    Arc::new(move |request| {
        Some(match request {
            Request::Head(_) | Request::Heads(_) => Response::Packages {
                items: vec![Item {
                    head: head.clone(),
                    manifest: None,
                }],
                more: false,
            },
            Request::Objects(_) => Response::Objects(vec![]),
            Request::Keep(_) => Response::Keeping(Keeping::Declined),
            Request::Search(_) => Response::Packages {
                items: vec![],
                more: false,
            },
            _ => Response::Refused,
        })
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn forged_records_are_not_stored() {
    let Forgeries { key, honest, bad } = forgeries();
    let id = id_of(&key, "cargo:prize");
    let witness = BarePeer::start(with_head(honest.envelope())).await;
    let node = Lab::start(TCP, std::slice::from_ref(&witness.address)).await;
    // The node has seen the honest head, so it recognises older and changed ones.
    node.node
        .registry()
        .get_package(&reference(&id))
        .await
        .unwrap();

    // Protect the sender, so that it is not banned after the second record.
    node.node.judge(witness.id, Ruling::Protect).await.unwrap();

    let mut batches = node.node.subscribe();
    // A changed version displaces its own entry, so put it last.
    let (changed, bad): (Vec<_>, Vec<_>) = bad
        .into_iter()
        .partition(|(reason, _)| *reason == Refusal::Conflict);
    let counted = |reason: Refusal| {
        move |batch: &Batch| {
            let refused = batch
                .counters
                .as_ref()
                .and_then(|counters| counters.refused.get(&reason));
            refused.is_some_and(|count| *count > 0)
        }
    };
    for (reason, value) in &bad {
        witness
            .put_to(node.node.peer_id(), &key_of(&id), value)
            .await;
        wait_for(
            &mut batches,
            &format!("{reason} to be counted"),
            counted(*reason),
        )
        .await;
    }
    assert!(
        witness.get(&key_of(&id)).await.is_empty(),
        "nothing of it is served to others"
    );

    // The honest record is stored, and served afterwards.
    witness
        .put_to(node.node.peer_id(), &key_of(&id), honest.envelope())
        .await;
    wait_for(&mut batches, "the honest head", |batch| {
        batch
            .node
            .as_ref()
            .is_some_and(|node| node.dht_records == 1)
    })
    .await;
    assert_eq!(
        witness.get(&key_of(&id)).await,
        [honest.envelope().to_vec()]
    );
    for (reason, value) in &changed {
        witness
            .put_to(node.node.peer_id(), &key_of(&id), value)
            .await;
        wait_for(
            &mut batches,
            &format!("{reason} to be counted"),
            counted(*reason),
        )
        .await;
    }
    let releases = node
        .node
        .registry()
        .list_versions(&reference(&id))
        .await
        .unwrap();
    let kept: Vec<_> = releases.iter().map(|entry| entry.manifests[0]).collect();
    assert_eq!(
        kept,
        [honest.releases[0].manifests[0]],
        "what was seen first counts"
    );
    wait_for(&mut batches, "the cost of forging", |batch| {
        batch.peers.iter().any(|peer| {
            peer.id == witness.id
                && peer
                    .evidence
                    .iter()
                    .any(|evidence| evidence.outcome == Outcome::RecordInvalid)
        })
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn forged_records_are_not_believed_when_read() {
    let Forgeries { key, honest, bad } = forgeries();
    let id = id_of(&key, "cargo:prize");
    for (reason, value) in &bad {
        let witness = BarePeer::start(with_head(honest.envelope())).await;
        let node = Lab::start(TCP, std::slice::from_ref(&witness.address)).await;
        let registry = node.node.registry();
        assert_eq!(registry.get_package(&reference(&id)).await.unwrap().seq, 5);
        drop(registry);
        // Later the node meets only the liar, in the DHT and directly.
        let dir = node.stop().await;
        drop(witness);
        let liar = BarePeer::start(with_head(value)).await;
        liar.hold(&key_of(&id), value);
        let mut options = crate::lab::options(dir.path(), TCP, std::slice::from_ref(&liar.address));
        options.net.query_timeout = std::time::Duration::from_secs(2);
        let node = swarmdex::node::Node::start(options).await.unwrap();
        assert!(node.wait_joined(crate::lab::PATIENCE).await);
        let package = node.registry().get_package(&reference(&id)).await.unwrap();
        let kept = package
            .releases
            .iter()
            .map(|entry| entry.manifests[0])
            .collect::<Vec<_>>();
        if *reason != Refusal::Expired {
            assert_eq!(package.seq, 5, "{reason}");
        }
        assert_eq!(kept, [honest.releases[0].manifests[0]], "{reason}");
        node.shutdown().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_head_is_readable_and_marked() {
    let key = Keypair::generate_ed25519();
    let id = id_of(&key, "old");
    let one = manifest(&key, "old", "1.0.0", b"old");
    let expired = head(&key, 3, &[&one], clock::now().before(2 * DAY), DAY);
    let witness = BarePeer::start(with_head(expired.envelope())).await;
    let node = Lab::start(TCP, std::slice::from_ref(&witness.address)).await;
    let package = node
        .node
        .registry()
        .get_package(&reference(&id))
        .await
        .unwrap();
    assert_eq!(package.seq, 3);
    assert!(
        package.freshness.is_expired(clock::now()),
        "shown as unconfirmed"
    );
    assert_eq!(
        node.node.status().await.unwrap().dht_records,
        0,
        "and not in the DHT"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_answers_garbage_is_seen_through() {
    let key = Keypair::generate_ed25519();
    let id = id_of(&key, "bait");
    let junk = || ByteBuf::from(b"junk".to_vec());
    let liar = BarePeer::start(Arc::new(move |request| {
        Some(match request {
            Request::Search(_) | Request::Head(_) | Request::Heads(_) => Response::Packages {
                items: vec![
                    Item {
                        head: junk(),
                        manifest: Some(junk())
                    };
                    200
                ],
                more: true,
            },
            Request::Handle(_) => Response::Heads(vec![junk(); 50]),
            Request::Objects(_) => Response::Objects(vec![junk()]),
            Request::Keep(_) => Response::Keeping(Keeping::Declined),
            Request::Hello(_) => Response::Busy,
        })
    }))
    .await;
    liar.hold(&key_of(&id), b"junk");
    let node = Lab::start(TCP, std::slice::from_ref(&liar.address)).await;
    let registry = node.node.registry();
    let mut batches = node.node.subscribe();
    assert!(matches!(
        registry.get_package(&reference(&id)).await,
        Err(RegistryError::NotFound { .. })
    ));
    assert!(
        registry
            .search(&Query::text("bait"))
            .await
            .unwrap()
            .hits
            .is_empty()
    );
    assert!(matches!(
        registry.get_package(&"nobody/bait".parse().unwrap()).await,
        Err(RegistryError::UnknownHandle(_))
    ));
    wait_for(&mut batches, "the liar's score", |batch| {
        batch.peers.iter().any(|peer| {
            let wrong = peer
                .evidence
                .iter()
                .filter(|evidence| evidence.outcome == Outcome::AnswerWrong);
            let wrong = wrong.map(|evidence| evidence.count).sum::<u32>();
            peer.id == liar.id && wrong >= 3 && peer.score.success < 0.1 && peer.sheet.is_some()
        })
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_never_answers_costs_the_deadline_and_no_more() {
    let stuck = BarePeer::start(Arc::new(|request| match request {
        Request::Hello(_) => Some(Response::Busy),
        _ => None,
    }))
    .await;
    let dir = tempfile::tempdir().unwrap();
    let mut options = crate::lab::options(dir.path(), TCP, std::slice::from_ref(&stuck.address));
    options.net.query_timeout = std::time::Duration::from_millis(500);
    let node = swarmdex::node::Node::start(options).await.unwrap();
    assert!(node.wait_joined(crate::lab::PATIENCE).await);
    let results = node
        .registry()
        .search(&Query::text("anything"))
        .await
        .unwrap();
    assert_eq!(
        (results.coverage.asked, results.coverage.answered),
        (1, 0),
        "it returns what came: nothing"
    );
    let id = id_of(&Keypair::generate_ed25519(), "absent");
    assert!(!node.registry().exists(&reference(&id)).await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_of_another_kind_is_left_alone() {
    let other = BarePeer::start(silent()).await;
    let dir = tempfile::tempdir().unwrap();
    let mut options = crate::lab::options(dir.path(), TCP, std::slice::from_ref(&other.address));
    options.net.network = "elsewhere".parse().unwrap();
    let node = swarmdex::node::Node::start(options).await.unwrap();
    let mut batches = node.subscribe();
    wait_for(&mut batches, "the stranger to be forgotten", |batch| {
        batch.gone.contains(&other.id)
    })
    .await;
    assert_eq!(node.status().await.unwrap().connected, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_answers_what_was_not_asked_for_pays_for_it() {
    let key = Keypair::generate_ed25519();
    let advertised = manifest(&key, "buy-this", "1.0.0", b"x");
    let head = head(&key, 1, &[&advertised], clock::now(), DAY);
    let item = Item {
        head: ByteBuf::from(head.envelope().to_vec()),
        manifest: Some(ByteBuf::from(advertised.envelope().to_vec())),
    };
    let pushy = BarePeer::start(Arc::new(move |request| match request {
        Request::Search(_) => Some(Response::Packages {
            items: vec![item.clone()],
            more: false,
        }),
        _ => Some(Response::Busy),
    }))
    .await;
    let node = Lab::start(TCP, std::slice::from_ref(&pushy.address)).await;
    let registry = node.node.registry();
    let mut batches = node.node.subscribe();
    let asked = registry.search(&Query::text("buy")).await.unwrap();
    assert_eq!(asked.hits.len(), 1, "whoever asks for it is shown it");
    let other = registry.search(&Query::text("database")).await.unwrap();
    assert!(
        other.hits.is_empty() && other.coverage.answered == 1,
        "{other:?}"
    );
    wait_for(&mut batches, "the fault", |batch| {
        let counted = batch
            .counters
            .as_ref()
            .is_some_and(|counters| counters.refused.contains_key(&Refusal::Irrelevant));
        counted
            || batch.peers.iter().any(|peer| {
                peer.id == pushy.id
                    && peer
                        .evidence
                        .iter()
                        .any(|evidence| evidence.outcome == Outcome::AnswerWrong)
            })
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_search_does_not_wait_for_slow_peers_alone() {
    // Five peers never answer and one does: in the end, the one that answers is asked.
    let node = Lab::start(TCP, &[]).await;
    let mut peers = Vec::new();
    for quick in [false, false, false, false, false, true] {
        let peer = BarePeer::start(Arc::new(move |request| match request {
            Request::Search(_) if quick => Some(Response::Packages {
                items: vec![],
                more: false,
            }),
            Request::Search(_) => None,
            _ => Some(Response::Busy),
        }))
        .await;
        node.node
            .dial(
                crate::lab::address(&peer.address),
                true,
                crate::lab::PATIENCE,
            )
            .await
            .unwrap();
        peers.push(peer);
    }
    let query = Query {
        timeout: Some(std::time::Duration::from_secs(2)),
        ..Query::text("anything")
    };
    let coverage = node.node.registry().search(&query).await.unwrap().coverage;
    assert_eq!((coverage.asked, coverage.answered), (6, 1), "{coverage:?}");
}
