//! Dead and slow connections, nodes that restart, and identities that two nodes share.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use crate::lab::{Lab, PATIENCE, QUIC, TCP, draft, options, put, reference};
use swarmdex::{
    bus::PeerSnapshot,
    domain::{health::verdict, manifest::Content},
    node::{DhtMode, Node},
    registry::{PublishStep, Wanted},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::{mpsc, watch},
};

/// A silent connection is closed within half of this; a busy machine may take twice as long.
const GONE: Duration = Duration::from_secs(60);

/// The latency and rate of one direction.
#[derive(Clone, Copy)]
struct Pace {
    one_way: Duration,
    bytes_a_second: f64,
}

/// A relay to a node that can be cut like a cable: nothing passes any more, and neither side is
/// told.
struct Way {
    address: String,
    /// The number of its first connections that are cut, and the total.
    cut: watch::Sender<usize>,
    opened: Arc<AtomicUsize>,
}

impl Way {
    async fn to(node: &str, pace: Option<Pace>) -> Self {
        let (ip, port, peer) = crate::lab::tcp_parts(node);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let way = listener.local_addr().unwrap();
        let (cut, is_cut) = watch::channel(0);
        let opened = Arc::new(AtomicUsize::new(0));
        let count = opened.clone();
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let number = count.fetch_add(1, Ordering::Relaxed);
                let Ok(far) = TcpStream::connect((ip, port)).await else {
                    continue;
                };
                let ((near_in, near_out), (far_in, far_out)) =
                    (near.into_split(), far.into_split());
                let cut = Cut {
                    number,
                    cut: is_cut.clone(),
                };
                tokio::spawn(pump(near_in, far_out, cut.clone(), pace));
                tokio::spawn(pump(far_in, near_out, cut, pace));
            }
        });
        Self {
            address: format!("/ip4/127.0.0.1/tcp/{}/p2p/{peer}", way.port()),
            cut,
            opened,
        }
    }

    /// Cuts all connections, existing and new.
    fn cut(&self) {
        self.cut.send_replace(usize::MAX);
    }

    /// Cuts the existing connections only.
    fn strand(&self) {
        self.cut.send_replace(self.opened.load(Ordering::Relaxed));
    }

    fn mend(&self) {
        self.cut.send_replace(0);
    }
}

/// The state of one connection.
#[derive(Clone)]
struct Cut {
    number: usize,
    cut: watch::Receiver<usize>,
}

impl Cut {
    /// Waits while the connection is whole; returns false if the relay has ended.
    async fn is_whole(&mut self) -> bool {
        let number = self.number;
        self.cut.wait_for(|cut| number >= *cut).await.is_ok()
    }
}

async fn pump(mut from: OwnedReadHalf, to: OwnedWriteHalf, mut cut: Cut, pace: Option<Pace>) {
    let (sender, receiver) = mpsc::channel(64);
    tokio::spawn(deliver(to, receiver, cut.clone(), pace));
    let mut bytes = vec![0; 4_096];
    while let Ok(count @ 1..) = from.read(&mut bytes).await {
        let due = Instant::now() + pace.map_or(Duration::ZERO, |pace| pace.one_way);
        if !cut.is_whole().await || sender.send((due, bytes[..count].to_vec())).await.is_err() {
            return;
        }
    }
    // The end of a cut connection is not relayed either.
    cut.is_whole().await;
}

async fn deliver(
    mut to: OwnedWriteHalf,
    mut chunks: mpsc::Receiver<(Instant, Vec<u8>)>,
    mut cut: Cut,
    pace: Option<Pace>,
) {
    let mut free = Instant::now();
    while let Some((due, chunk)) = chunks.recv().await {
        if let Some(pace) = pace {
            free = free.max(due);
            tokio::time::sleep_until(free.into()).await;
            free += Duration::from_secs_f64(chunk.len() as f64 / pace.bytes_a_second);
        }
        if !cut.is_whole().await || to.write_all(&chunk).await.is_err() {
            return;
        }
    }
}

/// Starts a node that does not announce its address in the DHT, so that it is reached only over the
/// relay.
async fn client(bootstrap: &[String]) -> Lab {
    let dir = tempfile::tempdir().unwrap();
    let mut options = options(dir.path(), TCP, bootstrap);
    options.net.dht = DhtMode::Client;
    let node = Node::start(options).await.unwrap();
    assert!(
        bootstrap.is_empty() || node.wait_joined(PATIENCE).await,
        "found nobody"
    );
    Lab { node, dir }
}

/// Waits until a condition holds.
async fn until(what: &str, most: Duration, mut holds: impl AsyncFnMut() -> bool) {
    let waited = tokio::time::timeout(most, async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    });
    waited
        .await
        .unwrap_or_else(|_| panic!("waited in vain for {what}"));
}

async fn connected(lab: &Lab) -> usize {
    lab.node.status().await.unwrap().connected
}

async fn publish(
    lab: &Lab,
    name: &str,
    version: &str,
    bytes: &[u8],
) -> swarmdex::registry::Receipt {
    let content = put(lab.node.contents(), bytes).await;
    lab.node
        .registry()
        .publish(draft(name, version), content, None)
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cable_that_is_out_is_noticed_and_no_fault_and_receipts_count_nobody_behind_it() {
    let a = client(&[]).await;
    let way = Way::to(&a.address().await, None).await;
    let b = client(std::slice::from_ref(&way.address)).await;
    for lab in [&a, &b] {
        until("gossip", PATIENCE, async || {
            lab.node.health().await.unwrap().announce_subscribers == 1
        })
        .await;
        until("hello", PATIENCE, async || {
            lab.node.peers().await.unwrap()[0].packages.is_some()
        })
        .await;
    }
    assert_eq!(publish(&a, "web", "1.0.0", b"1").await.steps.announced, 1);

    way.cut();
    let receipt = publish(&a, "web", "1.1.0", b"2").await;
    assert_eq!(
        (receipt.steps.announced, receipt.pending),
        (0, true),
        "nobody can have got it"
    );
    for lab in [&a, &b] {
        until("the peer to be gone", GONE, async || {
            connected(lab).await == 0
        })
        .await;
        let peers = lab.node.peers().await.unwrap();
        let peer = &peers[0];
        assert_eq!(
            (&peer.connection, peer.packages, peer.rtts_ms.len()),
            (&None, None, 0),
            "what is old is unknown"
        );
        assert_eq!(peer.sheet, None, "no fault");
        let health = lab.node.health().await.unwrap();
        assert_eq!((health.dead, health.peers()), (1, 0));
        assert!(
            health.memory.is_some() && health.disk.is_some(),
            "read just now"
        );
        let moved = [health.bytes_in, health.bytes_out];
        assert!(
            moved
                .iter()
                .all(|a_second| a_second.is_none_or(|bytes| bytes > 0.0)),
            "{moved:?}"
        );
    }
    let heard = b.node.health().await.unwrap().announcement_copies;
    assert!(heard.0 > 0 && heard.1 > 0, "gossip is counted: {heard:?}");

    way.mend();
    for lab in [&a, &b] {
        until("the peer to be back", GONE, async || {
            connected(lab).await == 1
        })
        .await;
    }
    until("what waited to be delivered", GONE, async || {
        let package = b
            .node
            .registry()
            .get_package(&reference(&receipt.package))
            .await;
        package.is_ok_and(|package| {
            package
                .latest
                .is_some_and(|latest| latest.version.to_string() == "1.1.0")
        })
    })
    .await;
    b.stop().await;
    a.stop().await;
}

/// Transfers a content over a link of 700 ms and 100 kB/s, which it fills; the connection must
/// survive.
async fn fill_a_slow_link(size: usize) {
    let pace = Pace {
        one_way: Duration::from_millis(350),
        bytes_a_second: 100_000.0,
    };
    let a = client(&[]).await;
    let way = Way::to(&a.address().await, Some(pace)).await;
    let b = client(std::slice::from_ref(&way.address)).await;
    let mut bytes = vec![0; size];
    blake3::Hasher::new().finalize_xof().fill(&mut bytes);
    let content: Content = a
        .node
        .contents()
        .put(Box::pin(std::io::Cursor::new(bytes)))
        .await
        .unwrap();
    let since = async |lab: &Lab| {
        lab.node.peers().await.unwrap()[0]
            .connection
            .as_ref()
            .map(|open| open.since)
    };
    let before = (since(&a).await, since(&b).await);
    assert!(before.0.is_some() && before.1.is_some());
    let begun = Instant::now();
    let wanted = Wanted {
        content,
        what: "a test".to_owned(),
        package: None,
        beside: None,
        for_others: false,
    };
    b.node.contents().fetch(wanted, None).await.unwrap();
    println!("{size} bytes in {:?}", begun.elapsed());
    assert_eq!(
        (since(&a).await, since(&b).await),
        before,
        "it is the same connection"
    );
    for lab in [&a, &b] {
        assert_eq!(lab.node.health().await.unwrap().dead, 0);
    }
    b.stop().await;
    a.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_link_that_is_full_is_not_cut() {
    fill_a_slow_link(3_500_000).await;
}

/// Fills the link for two minutes.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes two minutes"]
async fn a_slow_link_that_is_full_for_two_minutes_is_not_cut() {
    fill_a_slow_link(12_000_000).await;
}

/// Starts a node on the data and address of a stopped one, whose port may be in use for a moment
/// longer.
async fn restarted(dir: tempfile::TempDir, listen: &str) -> Lab {
    let mut node = None;
    until("the address to be free", PATIENCE, async || {
        node = Node::start(options(dir.path(), listen, &[])).await.ok();
        node.is_some()
    })
    .await;
    Lab {
        node: node.unwrap(),
        dir,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_node_that_restarts_publishes_is_fetched_at_once() {
    for listen in [TCP, QUIC] {
        // A fetch fails if a peer without the content is asked: nobody else has it.
        let mut dir = tempfile::tempdir().unwrap();
        let mut fixed = listen.to_owned();
        let mut reader: Option<Lab> = None;
        for restart in 0..7 {
            let publisher = restarted(dir, &fixed).await;
            let address = publisher.address().await;
            address
                .rsplit_once("/p2p/")
                .unwrap()
                .0
                .clone_into(&mut fixed);
            let a = match reader.take() {
                Some(a) => a,
                None => Lab::start(listen, &[address]).await,
            };
            until("both to be connected", GONE, async || {
                connected(&publisher).await == 1 && connected(&a).await == 1
            })
            .await;
            let version = format!("1.{restart}.0");
            // Small contents are stored in another way than large ones.
            let size = [60_000, 900_000][restart % 2];
            let bytes = vec![restart as u8; size];
            let receipt = publish(&publisher, "web", &version, &bytes).await;
            let exactly = reference(&receipt.package);
            // A cached lookup is valid until the announcement arrives, which may be repeated.
            until("the release to be heard of", PATIENCE, async || {
                let package = a.node.registry().get_package(&exactly).await.unwrap();
                package
                    .latest
                    .is_some_and(|latest| latest.version.to_string() == version)
            })
            .await;
            let content = Content {
                root: receipt.content,
                size: receipt.size,
            };
            let wanted = Wanted {
                content,
                what: version.clone(),
                package: Some(receipt.package),
                beside: None,
                for_others: false,
            };
            let fetched =
                tokio::time::timeout(PATIENCE, a.node.contents().fetch(wanted, None)).await;
            fetched
                .unwrap_or_else(|_| panic!("{listen} {version} hangs"))
                .unwrap();
            dir = publisher.stop().await;
            reader = Some(a);
        }
        reader.unwrap().stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_opened_before_a_power_cut_is_used_no_more() {
    let a = client(&[]).await;
    let way = Way::to(&a.address().await, None).await;
    let mut b = client(std::slice::from_ref(&way.address)).await;
    for restart in 0..4 {
        until("the publisher to be connected", GONE, async || {
            connected(&b).await == 1
        })
        .await;
        let receipt = publish(&b, "web", &format!("1.{restart}.0"), &vec![restart; 30_000]).await;
        let content = Content {
            root: receipt.content,
            size: receipt.size,
        };
        let wanted = Wanted {
            content,
            what: "a test".to_owned(),
            package: Some(receipt.package),
            beside: None,
            for_others: false,
        };
        let fetched = tokio::time::timeout(PATIENCE, a.node.contents().fetch(wanted, None)).await;
        fetched
            .unwrap_or_else(|_| panic!("1.{restart}.0 hangs"))
            .unwrap();
        let before = a.node.peers().await.unwrap()[0].connection.clone().unwrap();
        // The end of the connection is not relayed.
        way.strand();
        b.node.shutdown().await.unwrap();
        let bootstrap = std::slice::from_ref(&way.address);
        let again = {
            let mut options = options(b.dir.path(), TCP, bootstrap);
            options.net.dht = DhtMode::Client;
            options
        };
        b.node = Node::start(again).await.unwrap();
        let mut batches = a.node.subscribe();
        crate::lab::wait_for(&mut batches, "the end of the old connection", |batch| {
            let open = |peer: &PeerSnapshot| {
                peer.connection
                    .as_ref()
                    .is_some_and(|open| open.since != before.since)
            };
            batch.peers.iter().any(open)
        })
        .await;
    }
    assert_eq!(
        a.node.health().await.unwrap().dead,
        0,
        "it was known before it was silent for long"
    );
    b.stop().await;
    a.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_of_a_data_directory_is_named_on_both_nodes_by_whoever_knows_both() {
    let meeting = Lab::start(TCP, &[]).await;
    let bootstrap = [meeting.address().await];
    let dir = tempfile::tempdir().unwrap();
    let copy = tempfile::tempdir().unwrap();
    let start = async |dir: &std::path::Path| {
        let ping_every = Duration::from_millis(300);
        let mut options = options(dir, TCP, &bootstrap);
        options.net.ping_every = ping_every;
        let node = Node::start(options).await.unwrap();
        assert!(node.wait_joined(PATIENCE).await);
        node
    };
    let one = start(dir.path()).await;
    std::fs::copy(
        dir.path().join("identity.key"),
        copy.path().join("identity.key"),
    )
    .unwrap();
    let other = start(copy.path()).await;
    assert_eq!(
        one.status().await.unwrap().peer_id,
        other.status().await.unwrap().peer_id
    );
    for (n, node) in [(0, &one), (1, &other)] {
        // Hellos are sent when something has changed.
        let (mut version, mut remedy) = (0, String::new());
        until("the twin to be named", GONE, async || {
            version += 1;
            for node in [&one, &other] {
                let content = put(node.contents(), &[n, version]).await;
                let name = format!("package-{n}-{version}");
                node.registry()
                    .publish(draft(&name, "1.0.0"), content, None)
                    .await
                    .unwrap();
            }
            // A slow disk may make the verdict worse for a while.
            let said = verdict(&node.health().await.unwrap());
            remedy = said.remedy.to_string();
            said.cause
                .contains("another node runs with this node's key")
        })
        .await;
        assert!(remedy.contains("--data-dir"), "{remedy}");
    }
    one.shutdown().await.unwrap();
    other.shutdown().await.unwrap();
    meeting.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_is_to_join_through_the_first_is_named_and_a_node_that_names_itself_is_none() {
    let first = Lab::start(TCP, &[]).await;
    let address = first.address().await;
    let copy = tempfile::tempdir().unwrap();
    std::fs::copy(
        first.dir.path().join("identity.key"),
        copy.path().join("identity.key"),
    )
    .unwrap();
    let other = Node::start(options(copy.path(), TCP, std::slice::from_ref(&address)))
        .await
        .unwrap();
    // For the other side, libp2p only reports that the peer broke off.
    until("the twin to be named", GONE, async || {
        other.health().await.unwrap().twin.is_some()
    })
    .await;
    other.shutdown().await.unwrap();

    // At many sites, all nodes share settings that name every node.
    let dir = first.stop().await;
    let listen = address.rsplit_once("/p2p/").unwrap().0;
    let itself = Node::start(options(dir.path(), listen, std::slice::from_ref(&address)))
        .await
        .unwrap();
    let mut logged = itself.subscribe();
    let begun = Instant::now();
    // Wait for longer than it takes to be sure of a duplicate identity.
    while begun.elapsed() < Duration::from_secs(8) {
        let _ = tokio::time::timeout(Duration::from_secs(1), logged.recv()).await;
        assert_eq!(itself.health().await.unwrap().twin, None);
    }
    itself.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn another_node_at_a_bootstrap_address_is_named() {
    let there = Lab::start(TCP, &[]).await;
    let (address, real) = (
        there.address().await,
        there.node.status().await.unwrap().peer_id,
    );
    let meant = libp2p::PeerId::random();
    let named = address.replace(&real.to_string(), &meant.to_string());
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(options(dir.path(), TCP, &[named]))
        .await
        .unwrap();
    let mut told = node.subscribe();
    let mut notices = Vec::new();
    crate::lab::wait_for(&mut told, "a notice", |batch| {
        notices.extend(batch.notices.iter().map(|notice| notice.text.clone()));
        notices.iter().any(|text| text.contains(&real.to_string()))
    })
    .await;
    let said = verdict(&node.health().await.unwrap());
    let listen = address.rsplit_once("/p2p/").unwrap().0;
    assert!(
        said.cause.contains(listen) && said.cause.contains(&real.to_string()),
        "{said:?}"
    );
    assert!(
        notices
            .iter()
            .all(|text| !text.contains("cannot be reached")),
        "{notices:?}"
    );
    node.shutdown().await.unwrap();
    there.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_known_peer_that_is_off_is_one_however_often_it_is_dialled() {
    let a = Lab::start(TCP, &[]).await;
    let off = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        format!("/ip4/127.0.0.1/tcp/{port}/p2p/{}", libp2p::PeerId::random())
    };
    // Another node joins, so that it is not alone.
    let b = Lab::start(TCP, &[a.address().await]).await;
    for _ in 0..6 {
        let dialled = a
            .node
            .dial(off.parse().unwrap(), false, Duration::from_millis(300))
            .await;
        assert!(dialled.is_err());
    }
    until("the dials to be counted", PATIENCE, async || {
        a.node.health().await.unwrap().dials_failed > 0
    })
    .await;
    let health = a.node.health().await.unwrap();
    assert_eq!((health.dials, health.dials_failed), (1, 1));
    assert_eq!(health.dial_errors.values().sum::<u64>(), 1);
    assert!(
        !verdict(&health).cause.contains("could not be reached"),
        "{:?}",
        verdict(&health)
    );
    b.stop().await;
    a.stop().await;
}

/// On a busy machine one publish may end before the other is stored; a lock would cause that every
/// time.
#[tokio::test(flavor = "multi_thread")]
async fn a_publish_that_waits_for_a_peer_that_is_gone_holds_up_no_other() {
    for _ in 0..3 {
        if two_publishes_wait_beside_one_another().await {
            return;
        }
    }
    panic!("one waited for the network of the other");
}

/// Publishes twice while the only peer is gone; returns true if both were stored before either
/// ended.
async fn two_publishes_wait_beside_one_another() -> bool {
    let a = client(&[]).await;
    let way = Way::to(&a.address().await, None).await;
    let b = client(std::slice::from_ref(&way.address)).await;
    until("gossip", PATIENCE, async || {
        a.node.health().await.unwrap().announce_subscribers == 1
    })
    .await;

    // Both look up the newest head without an answer, and then announce to nobody.
    way.cut();
    let begin = async |name: &str| {
        let (progress, steps) = mpsc::channel(64);
        let content = put(a.node.contents(), name.as_bytes()).await;
        let (registry, draft) = (a.node.registry(), draft(name, "1.0.0"));
        let publish =
            tokio::spawn(async move { registry.publish(draft, content, Some(progress)).await });
        (publish, steps)
    };
    let (first, mut first_steps) = begin("web").await;
    let (second, mut second_steps) = begin("lib").await;
    let stored = async |steps: &mut mpsc::Receiver<PublishStep>| {
        while !matches!(
            steps.recv().await.expect("it is stored"),
            PublishStep::Stored
        ) {}
    };
    let both = async {
        tokio::join!(stored(&mut first_steps), stored(&mut second_steps));
    };
    tokio::time::timeout(GONE, both).await.unwrap();
    let beside_one_another = !first.is_finished() && !second.is_finished();
    for publish in [first, second] {
        let receipt = publish.await.unwrap().unwrap();
        assert_eq!((receipt.steps.announced, receipt.pending), (0, true));
    }
    a.stop().await;
    b.stop().await;
    beside_one_another
}
