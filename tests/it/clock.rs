//! The clock is set back by an hour and forward again while nodes run.

use crate::lab::{Lab, PATIENCE, TCP, draft, options, put, reference, wait_for};
use swarmdex::{
    clock::Clock,
    domain::query::Query,
    node::{Node, NodeOptions},
};

const HOUR_MS: i64 = 3_600_000;

/// Starts a node with `clock`, in a new or an existing directory.
async fn start(dir: tempfile::TempDir, bootstrap: &[String], clock: &Clock) -> Lab {
    let mut options: NodeOptions = options(dir.path(), TCP, bootstrap);
    options.staging.clock = clock.clone();
    let node = Node::start(options).await.unwrap();
    if !bootstrap.is_empty() {
        assert!(node.wait_joined(PATIENCE).await, "found nobody");
    }
    Lab { node, dir }
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_go_on_when_the_clock_is_set() {
    let (clock, dir) = (Clock::default(), || tempfile::tempdir().unwrap());
    let a = start(dir(), &[], &clock).await;
    let b = start(dir(), &[a.address().await], &clock).await;
    let mut heard = b.node.subscribe();
    for (ahead, version) in [
        (0, "1.0.0"),
        (-HOUR_MS, "1.1.0"),
        (0, "1.2.0"),
        (HOUR_MS, "1.3.0"),
        (-HOUR_MS, "1.4.0"),
    ] {
        clock.set_ahead(ahead);
        let receipt = a
            .node
            .registry()
            .publish(
                draft("web", version),
                put(a.node.contents(), b"1").await,
                None,
            )
            .await
            .unwrap();
        wait_for(&mut heard, version, |batch| {
            batch
                .announcements
                .iter()
                .any(|one| one.version.to_string() == version)
        })
        .await;
        assert!(a.node.wait_published(PATIENCE).await);
        let package = b
            .node
            .registry()
            .get_package(&reference(&receipt.package))
            .await
            .unwrap();
        assert_eq!(
            package.latest.unwrap().version.to_string(),
            version,
            "{ahead} ms ahead"
        );
        assert_eq!(
            b.node
                .registry()
                .search(&Query::text("web"))
                .await
                .unwrap()
                .hits
                .len(),
            1
        );
        for node in [&a.node, &b.node] {
            let peers = node.peers().await.unwrap();
            assert!(
                peers
                    .iter()
                    .all(|peer| (0.0..=1.0).contains(&peer.score.total)),
                "{peers:?}"
            );
            assert_eq!(node.status().await.unwrap().connected, 1);
        }
    }
    // Everything written under either clock is there after a restart.
    let (a, b) = (a.stop().await, b.stop().await);
    let a = start(a, &[], &clock).await;
    let b = start(b, &[a.address().await], &clock).await;
    assert_eq!(
        b.node
            .registry()
            .search(&Query::text("web"))
            .await
            .unwrap()
            .hits
            .len(),
        1
    );
    a.stop().await;
    b.stop().await;
}
