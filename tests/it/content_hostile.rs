//! The content protocol against hostile peers, as servers and as clients.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use crate::lab::{BarePeer, Lab, PATIENCE, TCP, options, put, silent};
use futures::{AsyncReadExt, AsyncWriteExt, StreamExt};
use libp2p::Stream;
use swarmdex::{
    RegistryError,
    domain::{
        hash::ContentRoot,
        manifest::Content,
        transfer::{Part, TransferPeer},
    },
    net::content::wire::{ContentHead, ContentRequest, ContentStatus, HEAD},
    node::Node,
    registry::Wanted,
};

const MIB: u64 = 1 << 20;

fn content(size: u64) -> Content {
    Content {
        root: ContentRoot::of(b"something that nobody has"),
        size,
    }
}

async fn question(stream: &mut Stream) -> Option<ContentRequest> {
    let mut bytes = [0; 44];
    stream.read_exact(&mut bytes).await.ok()?;
    ContentRequest::from_bytes(&bytes)
}

async fn answer(stream: &mut Stream, status: ContentStatus, size: u64, length: usize, body: &[u8]) {
    let head = ContentHead {
        status,
        size,
        length: u32::try_from(length).unwrap(),
    };
    // The node may have closed the stream if it needs nothing more.
    let _ = stream.write_all(&head.to_bytes()).await;
    let _ = stream.write_all(body).await;
    let _ = stream.flush().await;
}

/// Answers that all of a content is held.
async fn holds(stream: &mut Stream, size: u64) {
    let groups = size.div_ceil(16 * 1_024).max(1);
    let body = [0_u64.to_be_bytes(), groups.to_be_bytes()].concat();
    answer(stream, ContentStatus::Holds, size, body.len(), &body).await;
}

/// The behaviour of a bare peer for a stream and the request for groups that it received.
type Serve =
    Arc<dyn Fn(Stream, ContentRequest) -> futures::future::BoxFuture<'static, ()> + Send + Sync>;

/// Starts a bare peer that claims all of a content of `size` bytes, and then serves it with
/// `serve`.
async fn bad_server(size: u64, serve: Serve) -> BarePeer {
    let mut peer = BarePeer::start(silent()).await;
    let mut incoming = peer.streams.accept(BarePeer::content_protocol()).unwrap();
    tokio::spawn(async move {
        while let Some((_, mut stream)) = incoming.next().await {
            let serve = serve.clone();
            tokio::spawn(async move {
                while let Some(asked) = question(&mut stream).await {
                    if asked.count == 0 {
                        holds(&mut stream, size).await;
                    } else {
                        return serve(stream, asked).await;
                    }
                }
            });
        }
    });
    peer
}

async fn victim(peer: &BarePeer) -> Lab {
    let dir = tempfile::tempdir().unwrap();
    let mut options = options(dir.path(), TCP, std::slice::from_ref(&peer.address));
    options.content.idle = Duration::from_millis(500);
    let node = Node::start(options).await.unwrap();
    assert!(node.wait_joined(PATIENCE).await);
    Lab { node, dir }
}

/// Returns the result of the download, and of the peer in it, if only that peer could serve it.
async fn became(size: u64, serve: Serve) -> (String, TransferPeer) {
    let peer = bad_server(size, serve).await;
    let lab = victim(&peer).await;
    let contents = lab.node.contents();
    let wanted = Wanted {
        content: content(size),
        what: "a test".to_owned(),
        package: None,
        beside: None,
        for_others: false,
    };
    let fetching = tokio::time::timeout(PATIENCE, contents.fetch(wanted, None)).await;
    let error = fetching.expect("a fetch that does not end").unwrap_err();
    assert!(matches!(error, RegistryError::Fetch { .. }), "{error}");
    assert_eq!(
        contents.list().await.unwrap(),
        [],
        "nothing of it counts as content"
    );
    let transfer = contents.transfers().await.unwrap().remove(0);
    let part = transfer
        .peers
        .into_iter()
        .find(|one| one.peer == peer.id)
        .unwrap();
    lab.stop().await;
    (error.to_string(), part)
}

/// Returns a behaviour that sends these bytes after the head, and then closes the stream or keeps
/// it open.
fn sends(status: ContentStatus, length: usize, body: Vec<u8>, close: bool) -> Serve {
    Arc::new(move |mut stream, _| {
        let body = body.clone();
        Box::pin(async move {
            answer(&mut stream, status, 4 * MIB, length, &body).await;
            if close {
                let _ = stream.close().await;
            }
            tokio::time::sleep(PATIENCE).await;
        })
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_a_peer_answers_it_is_dropped_and_only_lies_are_faults() {
    let cases: [(&str, Serve, Part); 7] = [
        (
            "bytes that are not the content's",
            sends(ContentStatus::Bytes, 2 << 20, vec![7; 2 << 20], false),
            Part::Lied,
        ),
        (
            "an answer to what was not asked",
            sends(ContentStatus::Holds, 3, vec![0; 3], false),
            Part::Lied,
        ),
        (
            "more ranges than anybody has",
            sends(ContentStatus::Holds, 16 << 20, vec![0; 1 << 20], false),
            Part::Lied,
        ),
        (
            "an end in the middle",
            sends(ContentStatus::Bytes, 1 << 20, vec![0; 10], true),
            Part::Lost,
        ),
        (
            "silence in the middle",
            sends(ContentStatus::Bytes, 1 << 20, vec![0; 10], false),
            Part::Slow,
        ),
        (
            "nothing held after all",
            sends(ContentStatus::NotHeld, 0, vec![], false),
            Part::Slow,
        ),
        (
            "no words of the protocol",
            Arc::new(|mut stream, _| {
                Box::pin(async move {
                    let _ = stream.write_all(&[0xff; HEAD]).await;
                    let _ = stream.flush().await;
                    tokio::time::sleep(PATIENCE).await;
                })
            }),
            Part::Lied,
        ),
    ];
    for (what, serve, expected) in cases {
        let (error, part) = became(4 * MIB, serve).await;
        assert_eq!(part.part, expected, "{what}: {error}");
        assert_eq!(
            (part.bytes, part.refused),
            (0, u64::from(expected == Part::Lied)),
            "{what}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_says_it_is_busy_is_asked_a_few_times_and_no_more() {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    let serve: Serve = Arc::new(move |mut stream, _| {
        count.fetch_add(1, Ordering::Relaxed);
        Box::pin(async move { answer(&mut stream, ContentStatus::Busy, 0, 0, &[]).await })
    });
    let (error, part) = became(4 * MIB, serve).await;
    assert_eq!((part.part, part.refused), (Part::Idle, 0), "{error}");
    assert!(
        (2..20).contains(&asked.load(Ordering::Relaxed)),
        "{asked:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_size_that_the_manifest_does_not_say_is_no_lie() {
    let peer = bad_server(5 * MIB, Arc::new(|_, _| Box::pin(async {}))).await;
    let lab = victim(&peer).await;
    let wanted = Wanted {
        content: content(4 * MIB),
        what: "a test".to_owned(),
        package: None,
        beside: None,
        for_others: false,
    };
    let error = lab
        .node
        .contents()
        .fetch(wanted, None)
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains("5242880"), "{error}");
    lab.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_a_peer_asks_honest_ones_are_served() {
    let peer = BarePeer::start(silent()).await;
    let lab = victim(&peer).await;
    let sent = vec![9; 3 << 20];
    let held = put(lab.node.contents(), &sent).await.files[0].content;
    let node = lab.node.peer_id();
    let head = async |stream: &mut Stream| {
        let mut bytes = [0; HEAD];
        stream.read_exact(&mut bytes).await.ok()?;
        ContentHead::from_bytes(&bytes)
    };
    let ask = |root, start, count| ContentRequest { root, start, count }.to_bytes();
    // Opens a stream and returns the answer to its first request. libp2p-stream drops a stream that
    // arrives before the node has accepted the last one; that is no fault, so try again.
    let open = async || {
        let mut streams = peer.streams.clone();
        loop {
            let mut stream = streams
                .open_stream(node, BarePeer::content_protocol())
                .await
                .unwrap();
            let first = ask(held.root, 0, 1);
            if stream.write_all(&first).await.is_ok()
                && stream.flush().await.is_ok()
                && let Some(answer) = tokio::time::timeout(PATIENCE, head(&mut stream))
                    .await
                    .unwrap()
            {
                let mut body = vec![0; answer.length as usize];
                stream.read_exact(&mut body).await.unwrap();
                return (stream, answer.status);
            }
        }
    };

    let (mut stream, status) = open().await;
    assert_eq!(status, ContentStatus::Bytes);
    for (question, status) in [
        (
            ask(ContentRoot::of(b"nothing"), 0, 1),
            ContentStatus::NotHeld,
        ),
        (ask(held.root, 0, u32::MAX), ContentStatus::Refused),
        (ask(held.root, u64::MAX, 64), ContentStatus::Refused),
        (ask(held.root, 1 << 40, 64), ContentStatus::NotHeld),
        (ask(held.root, 190, 64), ContentStatus::NotHeld),
    ] {
        stream.write_all(&question).await.unwrap();
        stream.flush().await.unwrap();
        assert_eq!(
            head(&mut stream)
                .await
                .map(|head| (head.status, head.length)),
            Some((status, 0))
        );
    }
    stream.write_all(&ask(held.root, 190, 2)).await.unwrap();
    stream.flush().await.unwrap();
    let good = head(&mut stream).await.unwrap();
    assert_eq!((good.status, good.size), (ContentStatus::Bytes, held.size));

    // Hundreds of requests with unread answers cost the node two answers for each stream, and more
    // than four streams are refused.
    let mut greedy = vec![stream];
    for _ in 0..3 {
        let (stream, status) = open().await;
        assert_eq!(status, ContentStatus::Bytes);
        greedy.push(stream);
    }
    for stream in &mut greedy {
        for _ in 0..200 {
            let question = ask(held.root, 0, 64);
            let writing = stream.write_all(&question);
            if tokio::time::timeout(Duration::from_millis(200), writing)
                .await
                .is_err()
            {
                break;
            }
        }
        let _ = tokio::time::timeout(Duration::from_millis(200), stream.flush()).await;
    }
    let (_fifth, status) = open().await;
    assert_eq!(status, ContentStatus::Busy);

    let honest = Lab::start(TCP, &[lab.address().await]).await;
    let wanted = Wanted {
        content: held,
        what: "a test".to_owned(),
        package: None,
        beside: None,
        for_others: false,
    };
    let fetched = tokio::time::timeout(PATIENCE, honest.node.contents().fetch(wanted, None))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(fetched.content, held);
    honest.stop().await;
    lab.stop().await;
}
