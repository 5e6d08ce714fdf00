//! Several nodes: joining, announcing, searching, getting, restarting.

use std::{path::Path, sync::Arc, time::Duration};

use crate::lab::{Lab, PATIENCE, QUIC, TCP, content, draft, put, reference, wait_for};
use futures::future::join_all;
use libp2p::identity::Keypair;
use swarmdex::{
    RegistryError,
    domain::{
        geo::provenance::LocationSource as PlaceSource,
        health::{HealthState, Sample, verdict},
        name::{PackageRef, PublisherId},
        query::Query,
    },
    node::{DhtMode, Node},
    registry::{P2pRegistry, Registry, Source},
    store::keys,
};

#[test]
fn a_registry_may_be_held_by_any_thread() {
    fn any_thread<T: Send + Sync + ?Sized>() {}
    any_thread::<dyn Registry>();
    any_thread::<Arc<dyn Registry>>();
    any_thread::<P2pRegistry>();
    any_thread::<Node>();
}

async fn three_nodes_share_a_package(listen: &str) {
    let a = Lab::start(listen, &[]).await;
    let door = [a.address().await];
    let b = Lab::start(listen, &door).await;
    let c = Lab::start(listen, &door).await;
    let mut heard = c.node.subscribe();
    let receipt = b
        .node
        .registry()
        .publish(
            draft("web", "1.0.0"),
            put(b.node.contents(), b"bytes").await,
            None,
        )
        .await
        .unwrap();
    assert!(receipt.steps.announced > 0, "{receipt:?}");
    wait_for(&mut heard, "the announcement", |batch| {
        batch
            .announcements
            .iter()
            .any(|announced| announced.package == receipt.package && announced.via.is_some())
    })
    .await;
    assert!(b.node.wait_published(PATIENCE).await);

    let registry = c.node.registry();
    let package = registry
        .get_package(&reference(&receipt.package))
        .await
        .unwrap();
    assert_eq!(
        package.latest.unwrap().content().root,
        content(b"bytes").files[0].content.root
    );
    let hits = registry.search(&Query::text("web")).await.unwrap().hits;
    assert_eq!(hits.len(), 1);

    let absent: PackageRef = format!("{}/nothing", receipt.package.owner)
        .parse()
        .unwrap();
    assert!(
        matches!(registry.get_package(&absent).await, Err(RegistryError::NotFound { asked, .. }) if asked > 0)
    );
    assert!(!registry.exists(&absent).await.unwrap());
    drop(registry);
    for lab in [a, b, c] {
        lab.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn three_nodes_over_tcp() {
    three_nodes_share_a_package(TCP).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn three_nodes_over_quic() {
    three_nodes_share_a_package(QUIC).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_publisher_left_behind_is_found_by_one_who_never_met_it() {
    let keeper = Lab::start(TCP, &[]).await;
    let door = [keeper.address().await];
    let publisher = Lab::start(TCP, &door).await;
    let receipt = publisher
        .node
        .registry()
        .publish(
            draft("parser", "2.1.0"),
            put(publisher.node.contents(), b"p").await,
            None,
        )
        .await
        .unwrap();
    assert!(publisher.node.wait_published(PATIENCE).await, "{receipt:?}");
    publisher.stop().await;

    let newcomer = Lab::partial(TCP, &door).await;
    let registry = newcomer.node.registry();
    let package = registry
        .get_package(&reference(&receipt.package))
        .await
        .unwrap();
    assert!(
        matches!(package.source, Source::Dht | Source::Peer(_)),
        "{:?}",
        package.source
    );

    let searcher = Lab::partial(TCP, &door).await;
    let results = searcher
        .node
        .registry()
        .search(&Query::text("parser"))
        .await
        .unwrap();
    assert_eq!(results.hits.len(), 1, "{results:?}");
    assert!(matches!(results.hits[0].source, Source::Peer(_)));
    assert!(results.coverage.answered > 0);
    let release = searcher
        .node
        .registry()
        .get_package_version(&reference(&receipt.package), &"^2".parse().unwrap())
        .await
        .unwrap();
    assert_eq!(release.manifest.version, receipt.version);
}

#[tokio::test(flavor = "multi_thread")]
async fn published_alone_and_delivered_when_somebody_appears() {
    let lonely = Lab::start(TCP, &[]).await;
    let receipt = lonely
        .node
        .registry()
        .publish(
            draft("solo", "1.0.0"),
            put(lonely.node.contents(), b"s").await,
            None,
        )
        .await
        .unwrap();
    assert!(receipt.pending && receipt.new_key.is_some(), "{receipt:?}");
    let other = Lab::start(TCP, &[lonely.address().await]).await;
    assert!(
        lonely.node.wait_published(PATIENCE).await,
        "delivered once there is a peer"
    );
    assert!(
        other
            .node
            .registry()
            .exists(&reference(&receipt.package))
            .await
            .unwrap()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn parallel_gets_each_resolve_once() {
    let a = Lab::start(TCP, &[]).await;
    let b = Lab::start(TCP, &[a.address().await]).await;
    let receipt = a
        .node
        .registry()
        .publish(
            draft("busy", "1.0.0"),
            put(a.node.contents(), b"b").await,
            None,
        )
        .await
        .unwrap();
    assert!(a.node.wait_published(PATIENCE).await);
    let registry = b.node.registry();
    let present = reference(&receipt.package);
    let gets = (0..60).map(|n| {
        let (registry, present) = (registry.clone(), present.clone());
        tokio::spawn(async move {
            if n % 2 == 0 {
                registry.get_package(&present).await.map(|_| true)
            } else {
                let absent: PackageRef = format!("{}/absent-{n}", receipt.package.owner)
                    .parse()
                    .unwrap();
                registry.exists(&absent).await
            }
        })
    });
    let answers = tokio::time::timeout(PATIENCE, join_all(gets))
        .await
        .expect("every get ends");
    for (n, answer) in answers.into_iter().enumerate() {
        assert_eq!(answer.unwrap().unwrap(), n % 2 == 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_nodes_of_one_publisher_fork_and_converge() {
    let key = Keypair::generate_ed25519();
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    for dir in &dirs {
        keys::save(&keys::publisher_path(dir.path()), &key).unwrap();
    }
    let [first, second] = dirs;
    // Offline, each signs a first head of its own.
    let a = Lab::start_in(first, TCP, &[]).await;
    let b = Lab::start_in(second, TCP, &[]).await;
    a.node
        .registry()
        .publish(
            draft("split", "1.0.0"),
            put(a.node.contents(), b"a").await,
            None,
        )
        .await
        .unwrap();
    let receipt = b
        .node
        .registry()
        .publish(
            draft("split", "1.1.0"),
            put(b.node.contents(), b"b").await,
            None,
        )
        .await
        .unwrap();
    let second = b.stop().await;
    let b = Lab::start_in(second, TCP, &[a.address().await]).await;

    let both = reference(&receipt.package);
    for lab in [&a, &b] {
        let mut batches = lab.node.subscribe();
        let registry = lab.node.registry();
        let converged = async {
            loop {
                let package = registry.get_package(&both).await.unwrap();
                if package.releases.len() == 2 && package.seq == 2 {
                    return package;
                }
                batches.recv().await.unwrap();
            }
        };
        let package = tokio::time::timeout(PATIENCE, converged)
            .await
            .expect("the fork is joined");
        assert!(package.conflicts.is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_keeps_keys_catalogue_and_marks() {
    let a = Lab::start(TCP, &[]).await;
    let b = Lab::start(TCP, &[a.address().await]).await;
    let mut heard = b.node.subscribe();
    let registry = a.node.registry();
    registry
        .publish(
            draft("kept", "1.0.0"),
            put(a.node.contents(), b"1").await,
            None,
        )
        .await
        .unwrap();
    let receipt = registry
        .publish(
            draft("kept", "1.1.0"),
            put(a.node.contents(), b"2").await,
            None,
        )
        .await
        .unwrap();
    drop(registry);
    wait_for(&mut heard, "the second release", |batch| {
        batch.announcements.iter().any(|one| one.seq == 2)
    })
    .await;
    let peer_id = b.node.peer_id();
    a.stop().await;
    let dir = b.stop().await;

    let b = Lab::start_in(dir, TCP, &[]).await;
    assert_eq!(b.node.peer_id(), peer_id);
    let status = b.node.status().await.unwrap();
    assert_eq!(status.packages, 1);
    assert!(status.known_peers >= 1, "the other is remembered");
    let package = b
        .node
        .registry()
        .get_package(&reference(&receipt.package))
        .await
        .unwrap();
    assert_eq!((package.seq, package.releases.len()), (2, 2));
    assert_eq!(
        b.node
            .registry()
            .search(&Query::text("kept"))
            .await
            .unwrap()
            .hits
            .len(),
        1
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn yanks_travel_and_versions_are_never_reused() {
    let a = Lab::start(TCP, &[]).await;
    let b = Lab::start(TCP, &[a.address().await]).await;
    let registry = a.node.registry();
    let receipt = registry
        .publish(
            draft("tool", "1.0.0"),
            put(a.node.contents(), b"1").await,
            None,
        )
        .await
        .unwrap();
    registry
        .publish(
            draft("tool", "1.1.0"),
            put(a.node.contents(), b"2").await,
            None,
        )
        .await
        .unwrap();
    let again = registry
        .publish(
            draft("tool", "1.1.0"),
            put(a.node.contents(), b"3").await,
            None,
        )
        .await;
    assert!(matches!(again, Err(RegistryError::FileTaken { .. })));

    let mut heard = b.node.subscribe();
    let package = reference(&receipt.package);
    let yank = registry
        .yank(&package, &"1.1.0".parse().unwrap())
        .await
        .unwrap();
    assert_eq!(yank.seq, 3);
    wait_for(&mut heard, "the yank", |batch| {
        batch.announcements.iter().any(|one| one.yanked)
    })
    .await;
    let other = b.node.registry();
    let latest = other
        .get_package_version(&package, &"*".parse().unwrap())
        .await
        .unwrap();
    assert_eq!(latest.manifest.version.to_string(), "1.0.0");
    let exact = other
        .get_package_version(&package, &"=1.1.0".parse().unwrap())
        .await
        .unwrap();
    assert!(exact.state.yanked);
    let theirs = other.yank(&package, &"1.0.0".parse().unwrap()).await;
    assert!(matches!(theirs, Err(RegistryError::NotYours { .. })));
    registry
        .unyank(&package, &"1.1.0".parse().unwrap())
        .await
        .unwrap();
    assert!(a.node.wait_published(PATIENCE).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fix_of_an_older_line_is_published_and_the_latest_stays_the_highest() {
    let a = Lab::start(TCP, &[]).await;
    let registry = a.node.registry();
    registry
        .publish(
            draft("tool", "1.9.0"),
            put(a.node.contents(), b"1").await,
            None,
        )
        .await
        .unwrap();
    registry
        .publish(
            draft("tool", "2.0.0"),
            put(a.node.contents(), b"2").await,
            None,
        )
        .await
        .unwrap();
    // It has received neither announcement, and compares no catalogues.
    let b = Lab::partial(TCP, &[a.address().await]).await;
    let mut heard = b.node.subscribe();
    let receipt = registry
        .publish(
            draft("tool", "1.9.1"),
            put(a.node.contents(), b"3").await,
            None,
        )
        .await
        .unwrap();
    let again = registry
        .publish(
            draft("tool", "1.9.0"),
            put(a.node.contents(), b"4").await,
            None,
        )
        .await;
    assert!(matches!(again, Err(RegistryError::FileTaken { .. })));
    wait_for(&mut heard, "the fix", |batch| {
        batch
            .announcements
            .iter()
            .any(|one| one.version.to_string() == "1.9.1" && one.via.is_some())
    })
    .await;
    // The announcement has the fixed release; the listing of the package is fetched.
    let shown = async || {
        let hits = b
            .node
            .registry()
            .search(&Query {
                local: true,
                ..Query::text("tool")
            })
            .await
            .unwrap()
            .hits;
        hits.first().map(|hit| hit.version.to_string())
    };
    let listed = tokio::time::timeout(PATIENCE, async {
        while shown().await.as_deref() != Some("2.0.0") {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    listed
        .await
        .expect("the package is listed by its latest release");
    for lab in [&a, &b] {
        let registry = lab.node.registry();
        let package = registry
            .get_package(&reference(&receipt.package))
            .await
            .unwrap();
        assert_eq!(package.latest.unwrap().version.to_string(), "2.0.0");
        let older = registry
            .get_package_version(&reference(&receipt.package), &"^1".parse().unwrap())
            .await
            .unwrap();
        assert_eq!(older.manifest.version.to_string(), "1.9.1");
    }
    let own = registry.own().await.unwrap().packages.remove(0);
    assert_eq!(own.latest.unwrap().version.to_string(), "2.0.0");
}

#[tokio::test(flavor = "multi_thread")]
async fn places_are_told_by_those_who_opted_in_and_by_nobody_else() {
    let [paris, berlin] =
        ["48.857,2.352,Paris", "52.52,13.405,Berlin"].map(|place| place.parse().unwrap());
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let mut options = crate::lab::options(dirs[0].path(), TCP, &[]);
    options.net.location = Some(paris);
    let a = Node::start(options).await.unwrap();
    let door = [a.status().await.unwrap().addresses[0].clone()];
    let mut options = crate::lab::options(dirs[1].path(), TCP, &door);
    options.net.location = Some(berlin);
    let b = Node::start(options).await.unwrap();
    let quiet = Lab::start(TCP, &door).await;
    let mut batches = a.subscribe();
    let (mut near, mut silent) = (false, false);
    wait_for(&mut batches, "both peers", |batch| {
        for peer in &batch.peers {
            near |= peer.id == b.peer_id()
                && peer
                    .location
                    .as_ref()
                    .is_some_and(|place| place.to_string() == "Berlin")
                && peer
                    .distance_km
                    .is_some_and(|km| (850.0..900.0).contains(&km));
            silent |= peer.id == quiet.node.peer_id()
                && peer.packages.is_some()
                && peer.location.is_none();
        }
        near && silent
    })
    .await;
    b.shutdown().await.unwrap();
    a.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_tell_any_more_where_it_is_is_nowhere_at_once() {
    let dirs = [
        tempfile::tempdir().unwrap(),
        tempfile::tempdir().unwrap(),
        tempfile::tempdir().unwrap(),
    ];
    let mut options = crate::lab::options(dirs[0].path(), TCP, &[]);
    options.net.location = Some("48.857,2.352,Paris".parse().unwrap());
    let a = Node::start(options).await.unwrap();
    let door = [a.status().await.unwrap().addresses[0].clone()];
    let middle = Lab::start(TCP, &door).await;
    let mut batches = a.subscribe();
    let start = async |location: Option<&str>| {
        let mut options = crate::lab::options(dirs[1].path(), TCP, &door);
        options.net.location = location.map(|place| place.parse().unwrap());
        Node::start(options).await.unwrap()
    };
    let b = start(Some("52.52,13.405,Berlin")).await;
    let (id, mut latest) = (b.peer_id(), None);
    let mut peer = |batch: &swarmdex::bus::Batch| {
        latest = batch
            .peers
            .iter()
            .rfind(|peer| peer.id == id)
            .cloned()
            .or(latest.take());
        latest.clone()
    };
    wait_for(&mut batches, "the place, and that it cannot be", |batch| {
        let peer = peer(batch);
        peer.is_some_and(|peer| {
            let from = peer.provenance();
            // Both nodes are on this machine, so the round trip supports the location.
            from.source == PlaceSource::Declared
                && from.is_implausible()
                && peer.score.proximity == 0.0
        })
    })
    .await;
    b.shutdown().await.unwrap();
    let b = start(None).await;
    wait_for(&mut batches, "the withdrawal", |batch| {
        let peer = peer(batch);
        peer.is_some_and(|peer| {
            peer.connection.is_some()
                && peer.location.is_none()
                && peer.provenance().source == PlaceSource::Local
        })
    })
    .await;
    b.shutdown().await.unwrap();
    middle.node.shutdown().await.unwrap();
    a.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_needs_the_database_that_it_is_given() {
    let dir = tempfile::tempdir().unwrap();
    let database = dir.path().join("home.mmdb");
    std::fs::write(
        &database,
        crate::lab::mmdb::database(
            1_792_000_000,
            &[(
                "192.0.2.0/24",
                crate::lab::mmdb::flat("JP", "Osaka", 34.7, 135.5),
            )],
        ),
    )
    .unwrap();
    let mut options = crate::lab::options(&dir.path().join("a"), TCP, &[]);
    options.net.geoip_db = Some(database.clone());
    Node::start(options.clone())
        .await
        .unwrap()
        .shutdown()
        .await
        .unwrap();
    std::fs::write(&database, "no more").unwrap();
    let error = Node::start(options).await.err().unwrap();
    assert!(
        error.is_usage() && error.to_string().contains("home.mmdb"),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn shutting_down_tells_the_peers_and_takes_no_time() {
    let a = Lab::start(TCP, &[]).await;
    let b = Lab::start(TCP, &[a.address().await]).await;
    let mut batches = a.node.subscribe();
    wait_for(&mut batches, "the connection", |batch| {
        batch.node.as_ref().is_some_and(|node| node.connected == 1)
    })
    .await;
    tokio::time::timeout(Duration::from_secs(2), b.node.shutdown())
        .await
        .expect("within two seconds")
        .unwrap();
    wait_for(&mut batches, "the goodbye", |batch| {
        batch.node.as_ref().is_some_and(|node| node.connected == 0)
    })
    .await;
}

/// A node that others cannot dial, because it listens at another address than it dials from, stops
/// serving the DHT; its neighbours, which can dial each other, go on.
#[tokio::test(flavor = "multi_thread")]
async fn who_cannot_be_dialled_back_stops_serving() {
    let auto = |dir: &Path, listen: &str, bootstrap: &[String]| {
        let mut options = crate::lab::options(dir, listen, bootstrap);
        options.net.dht = DhtMode::Auto;
        options
    };
    let dirs: Vec<_> = (0..5).map(|_| tempfile::tempdir().unwrap()).collect();
    let mut servers: Vec<Node> = Vec::new();
    let mut door = Vec::new();
    for dir in &dirs[1..] {
        let server = Node::start(auto(dir.path(), TCP, &door)).await.unwrap();
        door.push(server.status().await.unwrap().addresses[0].clone());
        servers.push(server);
    }
    // It dials over TCP from 127.0.0.1, where nothing listens on its UDP port.
    let hidden = Node::start(auto(dirs[0].path(), "/ip4/127.0.0.2/udp/0/quic-v1", &door))
        .await
        .unwrap();
    let mut seen = hidden.subscribe();
    wait_for(&mut seen, "the switch", |batch| {
        batch.node.as_ref().is_some_and(|node| !node.dht_server)
    })
    .await;
    for server in servers {
        assert!(server.status().await.unwrap().dht_server);
        server.shutdown().await.unwrap();
    }
    hidden.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn health_is_judged_from_what_was_measured() {
    let a = Lab::start(TCP, &[]).await;
    let b = Lab::start(TCP, &[a.address().await]).await;
    let mut seen = b.node.subscribe();
    let registry = b.node.registry();
    let absent: PackageRef = format!(
        "{}/nothing",
        PublisherId::of(&Keypair::generate_ed25519().public())
    )
    .parse()
    .unwrap();
    assert!(registry.get_package(&absent).await.is_err());
    registry
        .publish(
            draft("web", "1.0.0"),
            put(b.node.contents(), b"bytes").await,
            None,
        )
        .await
        .unwrap();
    wait_for(&mut seen, "a sample of all of it", |batch| {
        batch.health.as_ref().is_some_and(|sample| {
            let verdict = verdict(sample);
            (sample.peers_out, sample.dials, sample.dials_failed) == (1, 1, 0)
                && sample.lookups > 0
                && sample.lookups_failed == 0
                && sample.lookup_p95_ms.is_some()
                && sample.announced_a_minute == 1
                && sample.store_p95_ms.is_some()
                && sample.bytes_out.is_some_and(|bytes| bytes > 0.0)
                && sample.descriptors.is_none_or(|(open, _)| open > 0)
                && verdict.state == HealthState::Good
        })
    })
    .await;
    drop(registry);
    b.stop().await;

    // Without peers, the node reports that, and what to do.
    let mut seen = a.node.subscribe();
    wait_for(&mut seen, "being alone", |batch| {
        batch.health.as_ref().is_some_and(|sample| {
            let verdict = verdict(&Sample {
                running_for: Duration::from_secs(60),
                ..sample.clone()
            });
            verdict.state == HealthState::Degraded && verdict.remedy.contains("--bootstrap")
        })
    })
    .await;
    a.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_publisher_sees_its_packages_and_how_far_each_got() {
    let a = Lab::start(TCP, &[]).await;
    let registry = a.node.registry();
    let nothing = registry.own().await.unwrap();
    assert!(
        nothing.publisher.is_none() && nothing.packages.is_empty(),
        "{nothing:?}"
    );
    assert!(
        nothing.key.ends_with("publisher.key") && !nothing.key.exists(),
        "{nothing:?}"
    );
    registry
        .publish(
            draft("web", "1.0.0"),
            put(a.node.contents(), b"1").await,
            None,
        )
        .await
        .unwrap();
    let own = registry.own().await.unwrap();
    assert!(own.publisher.is_some() && own.key.exists(), "{own:?}");
    let mine = own.packages;
    assert!(
        mine[0].pending && mine[0].replicas == Some(0),
        "nobody there: {mine:?}"
    );

    let b = Lab::start(TCP, &[a.address().await]).await;
    assert!(a.node.wait_published(PATIENCE).await);
    let receipt = registry
        .publish(
            draft("web", "1.1.0"),
            put(a.node.contents(), b"2").await,
            None,
        )
        .await
        .unwrap();
    assert!(a.node.wait_published(PATIENCE).await);
    registry
        .yank(&reference(&receipt.package), &receipt.version)
        .await
        .unwrap();
    assert!(a.node.wait_published(PATIENCE).await);
    let mine = registry.own().await.unwrap().packages;
    let latest = mine[0].latest.as_ref().unwrap();
    assert_eq!(
        (mine.len(), mine[0].releases, mine[0].pending),
        (1, 2, false)
    );
    assert_eq!(
        (latest.version.to_string().as_str(), latest.is_yanked()),
        ("1.1.0", true)
    );
    assert!(
        mine[0].replicas > Some(0) && mine[0].announced > Some(0),
        "{mine:?}"
    );
    assert!(mine[0].manifest.is_some());

    let claims = b
        .node
        .registry()
        .claims(&"team".parse().unwrap(), true)
        .await
        .unwrap();
    assert_eq!(
        (claims.claimants, claims.answered),
        (vec![], 1),
        "the publisher calls itself nothing"
    );
    drop(registry);
    a.stop().await;
    b.stop().await;
}
