//! Freshness of heads, and revisions and clocks that cannot be right.

use std::{sync::Arc, time::Duration};

use crate::lab::{BarePeer, DAY, Lab, TCP, draft, head, id_of, manifest, put, reference, wait_for};
use libp2p::identity::Keypair;
use serde_bytes::ByteBuf;
use swarmdex::{
    bus::Batch,
    clock,
    domain::{
        record::{Announcement, Refusal},
        time::Timestamp,
    },
    net::protocol::{Hello, Item, Keeping, Request, Response},
};

/// Answers hellos with this clock, and queries with one head or none.
fn with_clock(
    at: impl Fn() -> Timestamp + Send + Sync + 'static,
    held: Option<Vec<u8>>,
) -> crate::lab::Answers {
    Arc::new(move |request| {
        Some(match request {
            Request::Hello(_) => Response::Hello(Hello {
                at: at(),
                ..Hello::default()
            }),
            Request::Head(_) | Request::Heads(_) => {
                let item = held.iter().map(|head| Item {
                    head: ByteBuf::from(head.clone()),
                    manifest: None,
                });
                Response::Packages {
                    items: item.collect(),
                    more: false,
                }
            }
            Request::Search(_) => Response::Packages {
                items: vec![],
                more: false,
            },
            Request::Objects(_) => Response::Objects(vec![]),
            Request::Keep(_) => Response::Keeping(Keeping::Declined),
            Request::Handle(_) => Response::Heads(vec![]),
        })
    })
}

async fn node_with(peers: &[&BarePeer]) -> Lab {
    let addresses: Vec<String> = peers.iter().map(|peer| peer.address.clone()).collect();
    let lab = Lab::start(TCP, &addresses).await;
    let mut joined = lab.node.subscribe();
    wait_for(&mut joined, "all of them", |batch| {
        batch
            .node
            .as_ref()
            .is_some_and(|node| node.connected >= peers.len() && node.mesh >= peers.len())
    })
    .await;
    lab
}

/// Repeats an announcement until the node has received it: a bare peer cannot tell when the node is
/// subscribed.
async fn say_until(
    peer: &BarePeer,
    batches: &mut tokio::sync::mpsc::Receiver<Batch>,
    what: &str,
    say: impl Fn() -> bytes::Bytes,
    is_it: impl FnMut(&Batch) -> bool,
) {
    let mut every = tokio::time::interval(Duration::from_millis(200));
    let saying = async {
        loop {
            every.tick().await;
            peer.shout(&say());
        }
    };
    tokio::select! {
        () = wait_for(batches, what, is_it) => {}
        () = saying => unreachable!("it does not end"),
    }
}

fn refused(reason: Refusal, times: u64) -> impl FnMut(&Batch) -> bool {
    move |batch| {
        let counted = batch
            .counters
            .as_ref()
            .and_then(|counters| counters.refused.get(&reason));
        counted.is_some_and(|count| *count >= times)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_peers_that_hold_a_state_confirm_it_and_a_replay_does_not() {
    let key = Keypair::generate_ed25519();
    let id = id_of(&key, "prize");
    let one = manifest(&key, "prize", "1.0.0", b"one");
    let now = clock::now();
    let current = head(&key, 1, &[&one], now, DAY);
    let (teller, other) = (
        BarePeer::start(with_clock(clock::now, None)).await,
        BarePeer::start(with_clock(clock::now, None)).await,
    );
    let lab = node_with(&[&teller, &other]).await;
    let registry = lab.node.registry();
    let mut batches = lab.node.subscribe();
    let said = |at: Timestamp| {
        Announcement::sign(&key, at, current.clone(), one.clone())
            .unwrap()
            .encode()
            .unwrap()
    };
    let heard = |batch: &Batch| batch.announcements.iter().any(|one| one.package == id);
    say_until(
        &teller,
        &mut batches,
        "the announcement",
        || said(clock::now()),
        heard,
    )
    .await;
    // The head was signed earlier with the same revision: its date cannot be changed, and it is not
    // relayed.
    let replay = || said(clock::now().before(Duration::from_secs(120)));
    say_until(
        &teller,
        &mut batches,
        "the replay to be refused",
        replay,
        refused(Refusal::Superseded, 1),
    )
    .await;

    let package = registry.get_package(&reference(&id)).await.unwrap();
    assert_eq!(
        package.freshness.confirmed_at, None,
        "two are connected, and neither holds it"
    );
    assert!(
        package
            .freshness
            .describe(clock::now())
            .to_string()
            .starts_with("unconfirmed since"),
        "{:?}",
        package.freshness
    );
    assert!(!package.freshness.is_fresh(clock::now()));
    drop((teller, other));

    let holder = || BarePeer::start(with_clock(clock::now, Some(current.envelope().to_vec())));
    let holders = [holder().await, holder().await];
    let lab = node_with(&[&holders[0], &holders[1]]).await;
    let package = lab
        .node
        .registry()
        .get_package(&reference(&id))
        .await
        .unwrap();
    assert_eq!(package.freshness.confirmed_by, 2, "all that are connected");
    assert!(package.freshness.is_fresh(clock::now()));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_dated_ahead_is_nobodys_fault_and_a_clock_that_is_behind_refuses_nothing() {
    let key = Keypair::generate_ed25519();
    let ahead = |name: &str| {
        let (now, one) = (clock::now(), manifest(&key, name, "1.0.0", b"one"));
        let later = head(&key, 1, &[&one], now.after(2 * DAY), 90 * DAY);
        Announcement::sign(&key, now, later, one)
            .unwrap()
            .encode()
            .unwrap()
    };
    let teller = BarePeer::start(with_clock(clock::now, None)).await;
    let lab = node_with(&[&teller]).await;
    let mut batches = lab.node.subscribe();
    say_until(
        &teller,
        &mut batches,
        "it to be refused",
        || ahead("early"),
        refused(Refusal::Ahead, 1),
    )
    .await;
    let peers = lab.node.peers().await.unwrap();
    let told = peers.iter().find(|peer| peer.id == teller.id).unwrap();
    assert!(told.sheet.is_none(), "{:?}", told.sheet);
    drop(teller);

    // Two other clocks are two days ahead: this machine's is behind.
    let later = || with_clock(|| clock::now().after(2 * DAY), None);
    let peers = [
        BarePeer::start(later()).await,
        BarePeer::start(later()).await,
    ];
    let lab = node_with(&[&peers[0], &peers[1]]).await;
    let mut batches = lab.node.subscribe();
    wait_for(&mut batches, "the clock to be found behind", |batch| {
        batch
            .health
            .as_ref()
            .is_some_and(|health| health.clock_behind)
    })
    .await;
    let id = id_of(&key, "early");
    let heard = |batch: &Batch| batch.announcements.iter().any(|one| one.package == id);
    say_until(
        &peers[0],
        &mut batches,
        "the announcement",
        || ahead("early"),
        heard,
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_publisher_whose_clock_is_wrong_is_told_and_nobody_is_said_to_have_heard() {
    let earlier = || with_clock(|| clock::now().before(DAY), None);
    let peers = [
        BarePeer::start(earlier()).await,
        BarePeer::start(earlier()).await,
    ];
    let lab = node_with(&[&peers[0], &peers[1]]).await;
    let mut batches = lab.node.subscribe();
    wait_for(&mut batches, "the clocks to be compared", |batch| {
        batch
            .node
            .as_ref()
            .is_some_and(|node| node.clock_offset_ms.is_some())
    })
    .await;
    let artifacts = put(lab.node.contents(), b"bytes").await;
    let receipt = lab
        .node
        .registry()
        .publish(draft("web", "1.0.0"), artifacts, None)
        .await
        .unwrap();
    let told = receipt.clock.expect("what is wrong with the clock");
    assert!(
        told.starts_with("your clock is 24 h ahead of 2 peers'"),
        "{told}"
    );
    assert!(receipt.pending && receipt.steps.announced == 0);
}
