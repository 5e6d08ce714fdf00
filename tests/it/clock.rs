//! Somebody sets the clock back by an hour, and forward again, while nodes run. In a process of its
//! own: the clock is everybody's.

use crate::lab::{Lab, PATIENCE, TCP, draft, put, reference, wait_for};
use swarmdex::{clock, domain::query::Query};

const HOUR_MS: i64 = 3_600_000;

#[tokio::test(flavor = "multi_thread")]
async fn nodes_go_on_when_the_clock_is_set() {
    let a = Lab::start(TCP, &[]).await;
    let b = Lab::start(TCP, &[a.address().await]).await;
    let mut heard = b.node.subscribe();
    for (ahead, version) in [
        (0, "1.0.0"),
        (-HOUR_MS, "1.1.0"),
        (0, "1.2.0"),
        (HOUR_MS, "1.3.0"),
        (-HOUR_MS, "1.4.0"),
    ] {
        clock::set_ahead(ahead);
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
    // What was written with either clock is there at the next start.
    let (a, b) = (a.stop().await, b.stop().await);
    let a = Lab::start_in(a, TCP, &[]).await;
    let b = Lab::start_in(b, TCP, &[a.address().await]).await;
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
