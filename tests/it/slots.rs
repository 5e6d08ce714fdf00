//! Unknown peers have a limited share of a node, and others have theirs.
//!
//! The nodes treat loopback as a public network here, so that the strict limits apply.

use std::{sync::Arc, time::Duration};

use crate::lab::{
    BarePeer, DAY, Lab, PATIENCE, TCP, by_way_of, head, manifest, options, put, silent, wait_for,
};
use futures::{AsyncReadExt, AsyncWriteExt, FutureExt};
use libp2p::{PeerId, Stream, identity::Keypair};
use serde_bytes::ByteBuf;
use swarmdex::{
    clock,
    domain::{
        caps::OF_AN_ADDRESS, content::groups, faults::Ruling, hash::ContentRoot, prefix::Classes,
        query::Query,
    },
    net::{
        content::wire::{ContentHead, ContentRequest, ContentStatus, HEAD},
        protocol::{Item, Request, Response},
    },
    node::{Node, Staging},
    registry::Wanted,
};

/// Starts a node that treats every address as public.
async fn strict(bootstrap: &[String]) -> Lab {
    let dir = tempfile::tempdir().unwrap();
    let mut options = options(dir.path(), TCP, bootstrap);
    options.staging = Staging {
        classes: Classes::AllPublic,
        ..Staging::default()
    };
    options.net.ping_every = Duration::from_millis(500);
    let node = Node::start(options).await.unwrap();
    Lab { node, dir }
}

/// Returns the number of refused requests with a label.
async fn turned_away(lab: &Lab, what: &str) -> f64 {
    let text = lab.node.metrics().await.unwrap();
    let of = |line: &&str| {
        line.starts_with("swarmdex_turned_away_total") && line.contains(&format!("what=\"{what}\""))
    };
    text.lines()
        .find(of)
        .unwrap()
        .rsplit(' ')
        .next()
        .unwrap()
        .parse()
        .unwrap()
}

/// Waits until a condition holds, if there is no event to wait for.
async fn until(what: &str, mut is: impl AsyncFnMut() -> bool) {
    let waited = tokio::time::timeout(PATIENCE, async {
        while !is().await {
            tokio::task::yield_now().await;
        }
    });
    waited
        .await
        .unwrap_or_else(|_| panic!("waited in vain for {what}"));
}

async fn connected(lab: &Lab, peers: &[PeerId]) -> usize {
    let known = lab.node.peers().await.unwrap();
    known
        .iter()
        .filter(|one| one.connection.is_some() && peers.contains(&one.id))
        .count()
}

/// Dials until the node knows what the peer speaks: a busy machine may lose a connection before.
async fn let_in(peer: &BarePeer, way: &str, lab: &Lab) {
    until("a stranger", async || {
        let known = lab.node.peers().await.unwrap();
        let is_in = known
            .iter()
            .any(|one| one.id == peer.id && one.connection.is_some() && !one.protocols.is_empty());
        if !is_in {
            peer.knock(way);
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        is_in
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn throw_away_identities_of_one_address_keep_nobody_else_out() {
    const IDENTITIES: usize = 24;
    let lab = strict(&[]).await;
    let address = lab.address().await;
    let way = by_way_of([127, 0, 1, 1], &address).await;
    let mut crowd = Vec::new();
    for _ in 0..IDENTITIES {
        let peer = BarePeer::start(silent()).await;
        peer.knock(&way);
        crowd.push(peer);
    }
    let ids: Vec<PeerId> = crowd.iter().map(|peer| peer.id).collect();
    // Each peer is accepted or refused. Peers that lost their connection or dialled in vain try
    // again.
    until("all to have tried", async || {
        let tried = connected(&lab, &ids).await as f64 + turned_away(&lab, "connection").await;
        if tried < IDENTITIES as f64 {
            tokio::time::sleep(Duration::from_millis(200)).await;
            crowd.iter().for_each(|peer| peer.knock(&way));
        }
        tried >= IDENTITIES as f64
    })
    .await;
    assert!(connected(&lab, &ids).await <= OF_AN_ADDRESS);
    assert!(turned_away(&lab, "connection").await >= (IDENTITIES - OF_AN_ADDRESS) as f64);

    let newcomer = strict(&[by_way_of([127, 0, 2, 1], &address).await]).await;
    assert!(
        newcomer.node.wait_joined(PATIENCE).await,
        "another address has its own"
    );
    newcomer.stop().await;
    lab.stop().await;
}

/// Answers a search with a matching package, as an honest node does.
fn honest() -> crate::lab::Answers {
    let key = Keypair::generate_ed25519();
    let one = manifest(&key, "good", "1.0.0", b"x");
    let head = head(&key, 1, &[&one], clock::now(), DAY);
    let bytes = |envelope: &bytes::Bytes| ByteBuf::from(envelope.to_vec());
    let item = Item {
        head: bytes(head.envelope()),
        manifest: Some(bytes(one.envelope())),
    };
    Arc::new(move |request| {
        Some(match request {
            Request::Search(_) => Response::Packages {
                items: vec![item.clone()],
                more: false,
            },
            _ => Response::Busy,
        })
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_prefix_with_three_bans_unknown_peers_share_one_place_and_good_ones_keep_theirs() {
    let lab = strict(&[]).await;
    let address = lab.address().await;
    let way = by_way_of([127, 0, 1, 1], &address).await;
    let mut batches = lab.node.subscribe();

    // One peer of the prefix has a good score.
    let good = BarePeer::start(honest()).await;
    let_in(&good, &way, &lab).await;
    for _ in 0..4 {
        let found = lab
            .node
            .registry()
            .search(&Query::text("good"))
            .await
            .unwrap();
        assert_eq!(
            (found.hits.len(), found.coverage.answered),
            (1, 1),
            "{:?}",
            found.coverage
        );
    }
    // Three others send records that every honest node refuses.
    for _ in 0..3 {
        let forger = BarePeer::start(silent()).await;
        let_in(&forger, &way, &lab).await;
        for n in 0..2u8 {
            forger
                .put_to(lab.node.peer_id(), &[n; 32], b"garbage")
                .await;
        }
        wait_for(&mut batches, "its ban", |batch| {
            batch
                .peers
                .iter()
                .any(|peer| peer.id == forger.id && peer.ban(clock::now()).is_some())
        })
        .await;
    }

    let unknown = [(); 4].map(|()| silent());
    let mut neighbours = Vec::new();
    for answers in unknown {
        let peer = BarePeer::start(answers).await;
        peer.knock(&way);
        neighbours.push(peer);
    }
    let ids: Vec<PeerId> = neighbours.iter().map(|peer| peer.id).collect();
    until("one of them to be in and the others not", async || {
        let is_so =
            connected(&lab, &ids).await == 1 && turned_away(&lab, "connection").await >= 3.0;
        if !is_so {
            tokio::time::sleep(Duration::from_millis(200)).await;
            neighbours.iter().for_each(|peer| peer.knock(&way));
        }
        is_so
    })
    .await;
    assert_eq!(
        connected(&lab, &[good.id]).await,
        1,
        "what its neighbours did is not its fault"
    );
    let elsewhere = strict(&[by_way_of([127, 0, 2, 1], &address).await]).await;
    assert!(elsewhere.node.wait_joined(PATIENCE).await);
    // A protected peer has a slot too.
    let friend = BarePeer::start(silent()).await;
    assert!(lab.node.judge(friend.id, Ruling::Protect).await.unwrap());
    let_in(&friend, &way, &lab).await;
    elsewhere.stop().await;
    lab.stop().await;
}

/// Sends the first request on a new stream; returns the answer.
async fn ask(peer: &BarePeer, node: PeerId, root: ContentRoot) -> Option<(Stream, ContentStatus)> {
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
    Some((stream, ContentHead::from_bytes(&bytes)?.status))
}

/// Reads the bytes that have arrived, half a mebibyte at most, and returns true unless the stream
/// has ended: a node that takes a slot away, or loses a connection, ends its streams.
fn is_open(stream: &mut Stream) -> bool {
    let mut bytes = vec![0; 512 * 1_024];
    let mut room = &mut bytes[..];
    while !room.is_empty() {
        match stream.read(room).now_or_never() {
            None => return true,
            Some(Ok(0) | Err(_)) => return false,
            Some(Ok(count)) => room = &mut room[count..],
        }
    }
    true
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_of_one_prefix_hold_an_eighth_of_the_streams_and_others_are_served() {
    let lab = strict(&[]).await;
    let held = put(lab.node.contents(), &[7; 2_000_000]).await.files[0].content;
    assert!(groups(held.size) > 1);
    let address = lab.address().await;
    let way = by_way_of([127, 0, 1, 1], &address).await;
    let (mut crowd, mut streams, mut busy) = (Vec::new(), Vec::new(), 0);
    for _ in 0..6 {
        let peer = BarePeer::start(silent()).await;
        let_in(&peer, &way, &lab).await;
        for _ in 0..6 {
            match ask(&peer, lab.node.peer_id(), held.root).await {
                Some((stream, ContentStatus::Bytes)) => streams.push(stream),
                Some((_, status)) => {
                    assert_eq!(status, ContentStatus::Busy);
                    busy += 1;
                }
                // libp2p-stream dropped a stream that arrived before the node had accepted the last
                // one.
                None => {}
            }
        }
        crowd.push(peer);
    }
    let open: usize = streams.iter_mut().map(is_open).map(usize::from).sum();
    assert!(
        (1..=16).contains(&open) && busy > 0,
        "{open} streams are open, {busy} times busy"
    );
    let reader = strict(&[by_way_of([127, 0, 2, 1], &address).await]).await;
    assert!(reader.node.wait_joined(PATIENCE).await);
    let wanted = Wanted {
        content: held,
        what: "a test".to_owned(),
        package: None,
        beside: None,
        for_others: false,
    };
    let fetched = tokio::time::timeout(PATIENCE, reader.node.contents().fetch(wanted, None))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(fetched.content, held);
    reader.stop().await;
    lab.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn any_timeout_is_a_time_to_wait() {
    let peer = BarePeer::start(honest()).await;
    let lab = Lab::start(TCP, std::slice::from_ref(&peer.address)).await;
    for timeout in [
        Duration::MAX,
        Duration::from_secs(u64::MAX - 1),
        Duration::from_millis(u64::MAX),
    ] {
        let query = Query {
            timeout: Some(timeout),
            ..Query::text("good")
        };
        let found = tokio::time::timeout(PATIENCE, lab.node.registry().search(&query))
            .await
            .unwrap()
            .unwrap();
        assert_eq!(
            (found.coverage.asked, found.coverage.answered),
            (1, 1),
            "{timeout:?}"
        );
        assert!(lab.node.wait_joined(timeout).await);
        assert_eq!(
            lab.node
                .dial(crate::lab::address(&peer.address), false, timeout)
                .await
                .unwrap(),
            peer.id
        );
    }
    lab.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn questions_that_take_too_much_time_are_answered_that_the_node_is_busy() {
    let lab = Lab::start(TCP, &[]).await;
    let peer = BarePeer::start(silent()).await;
    peer.knock(&lab.address().await);
    let mut batches = lab.node.subscribe();
    wait_for(&mut batches, "the peer", |batch| {
        batch
            .peers
            .iter()
            .any(|one| one.id == peer.id && !one.protocols.is_empty())
    })
    .await;
    // A far offset costs only its own peer; the query is still answered.
    let query = Query {
        offset: 10_000,
        limit: 200,
        ..Query::text("a")
    };
    let answer = peer.ask(lab.node.peer_id(), Request::Search(query)).await;
    assert!(
        matches!(answer, Some(Response::Packages { .. })),
        "{answer:?}"
    );
    // Send more queries at once than a peer may have open.
    let asking = (0..40).map(|_| peer.ask(lab.node.peer_id(), Request::Search(Query::text("b"))));
    let answers = futures::future::join_all(asking).await;
    let busy = answers
        .iter()
        .filter(|answer| matches!(answer, Some(Response::Busy)))
        .count();
    assert!(
        answers.iter().all(Option::is_some),
        "each is told something"
    );
    assert!(
        busy as f64 <= turned_away(&lab, "question").await + turned_away(&lab, "time").await,
        "and counted"
    );
    lab.stop().await;
}
