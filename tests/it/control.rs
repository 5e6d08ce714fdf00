//! Runs one suite on a node in this process and on the same node behind its control socket, and
//! attacks the socket.

use std::{
    io::{Read, Write},
    os::unix::net::UnixStream,
    sync::Arc,
    time::Duration,
};

use crate::lab::{Lab, PATIENCE, TCP, draft, put, reference};
use swarmdex::{
    bus::Batch,
    control::{self, Control, Link, Local, PROTOCOL, Remote, Serving, Target, Wait, Watch},
    domain::{
        conflict::{ConflictId, ConflictList},
        faults::Ruling,
        hash::Hash,
        health::verdict,
        lookup::{LookupKind, Sought, Trace},
        query::Query,
        record::DhtKey,
    },
    registry::{PublishStep, SearchUpdate},
};
use tokio::sync::mpsc;

/// A node with its control socket.
struct Served {
    lab: Lab,
    local: Arc<Local>,
    serving: Serving,
}

impl Served {
    async fn start(bootstrap: &[String]) -> Self {
        Self::of(Lab::start(TCP, bootstrap).await).await
    }

    async fn of(lab: Lab) -> Self {
        let local = Arc::new(Local::new(lab.node.handle(), None));
        let tcp = Some("127.0.0.1:0".parse().unwrap());
        let serving = control::serve(local.clone(), lab.dir.path(), tcp)
            .await
            .unwrap();
        Self {
            lab,
            local,
            serving,
        }
    }

    fn target(&self) -> Target {
        Target::Unix(self.serving.socket())
    }

    async fn remote(&self) -> Remote {
        Remote::connect(self.target(), false).await.unwrap()
    }

    async fn stop(self) {
        self.serving.stop().await;
        self.lab.stop().await;
    }
}

/// Takes batches until one has the expected event.
async fn until<T>(
    batches: &mut mpsc::Receiver<Batch>,
    what: &str,
    is_it: impl Fn(&Batch) -> Option<T>,
) -> T {
    let looking = async {
        loop {
            let batch = batches
                .recv()
                .await
                .unwrap_or_else(|| panic!("the stream ended before {what}"));
            if let Some(it) = is_it(&batch) {
                return it;
            }
        }
    };
    tokio::time::timeout(PATIENCE, looking)
        .await
        .unwrap_or_else(|_| panic!("waited in vain for {what}"))
}

/// Tests all requests to a node, however it is reached. `name` is a package that nobody has yet,
/// `other` an unconnected node of the same network.
async fn everything_works(node: &dyn Control, name: &str, other: &Lab) {
    let registry = node.registry();
    let mut batches = node.subscribe();
    assert_eq!(*node.link().borrow(), Link::Here);
    let status = node.status().await.unwrap();
    assert_eq!(
        (status.protocol, status.pid),
        (PROTOCOL, std::process::id())
    );
    assert!(status.socket.is_some_and(|socket| socket.exists()) && status.data_dir.is_dir());
    until(&mut batches, "the node itself", |batch| batch.node.clone()).await;

    // Connect and disconnect peers.
    let address = other.address().await.parse().unwrap();
    let peer = node.dial(&address, false, PATIENCE).await.unwrap();
    assert_eq!(peer, other.node.peer_id());
    assert!(node.wait(Wait::Joined, PATIENCE).await.unwrap());
    assert!(
        node.peers()
            .await
            .unwrap()
            .iter()
            .any(|known| known.id == peer && known.connection.is_some())
    );
    let connected = |batch: &Batch| {
        batch
            .peers
            .iter()
            .any(|it| it.id == peer && it.connection.is_some())
            .then_some(())
    };
    until(&mut batches, "the peer", connected).await;
    let nowhere = "/ip4/127.0.0.1/tcp/1/p2p/12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN"
        .parse()
        .unwrap();
    let error = node
        .dial(&nowhere, false, Duration::from_millis(300))
        .await
        .unwrap_err();
    assert_eq!(error.code(), "unreached");
    assert!(
        !node
            .health()
            .await
            .map(|sample| verdict(&sample).cause)
            .unwrap()
            .is_empty()
    );

    // Publish, follow all steps, and receive the announcement in the stream.
    let (progress, mut steps) = mpsc::channel(16);
    let receipt = registry
        .publish(
            draft(name, "1.0.0"),
            put(node.contents(), b"1").await,
            Some(progress),
        )
        .await
        .unwrap();
    let mut told = Vec::new();
    while let Ok(step) = steps.try_recv() {
        told.push(step);
    }
    assert!(
        told.iter().any(|step| matches!(step, PublishStep::Stored)),
        "{told:?}"
    );
    let id = receipt.package.clone();
    until(&mut batches, "the announcement", |batch| {
        batch
            .announcements
            .iter()
            .any(|one| one.package == id)
            .then_some(())
    })
    .await;
    assert!(node.wait(Wait::Published, PATIENCE).await.unwrap());
    let package = reference(&id);
    assert_eq!(
        registry
            .get_package(&package)
            .await
            .unwrap()
            .latest
            .unwrap()
            .version,
        receipt.version
    );
    assert_eq!(
        registry
            .metadata(&package, &receipt.version)
            .await
            .unwrap()
            .size(),
        receipt.size
    );
    let release = registry
        .get_package_version(&package, &"^1".parse().unwrap())
        .await
        .unwrap();
    assert_eq!(
        (release.manifest.name.as_str(), release.state.yanked),
        (name, false)
    );
    assert!(registry.exists(&package).await.unwrap());
    let own = registry.own().await.unwrap();
    assert!(own.publisher.is_some() && own.packages.iter().any(|own| own.id == id));

    // There are no conflicts, and an unknown id is reported.
    assert_eq!(registry.conflicts().await.unwrap(), ConflictList::default());
    let error = registry
        .conflict_evidence(ConflictId([7; 16]))
        .await
        .unwrap_err();
    assert_eq!(error.code(), "no_conflict", "{error}");
    // Check the lookup of the publish, and run one by hand.
    let stored = until(&mut batches, "the put", |batch| {
        let is_it = |trace: &&Trace| trace.kind == LookupKind::Put && !trace.is_open();
        batch.lookups.iter().find(is_it).cloned()
    })
    .await;
    assert!(
        node.lookups()
            .await
            .unwrap()
            .iter()
            .any(|trace| trace.id == stored.id)
    );
    let head = Sought::Record(Hash(DhtKey::of_head(&id).0));
    let looked = node
        .look(head, Some("by hand".to_owned()), PATIENCE)
        .await
        .unwrap();
    assert!(
        looked.found() && looked.copies.iter().all(|copy| copy.says.contains(name)),
        "{looked:?}"
    );
    assert_eq!(
        (looked.trace.kind, looked.trace.what.as_deref()),
        (LookupKind::Get, Some("by hand"))
    );
    assert!(!looked.trace.hops.is_empty());
    let closest = node
        .look(Sought::Closest(peer), None, PATIENCE)
        .await
        .unwrap();
    assert!(closest.peers.contains(&peer), "{closest:?}");
    let nothing = node
        .look(Sought::Providers(Hash::of(name.as_bytes())), None, PATIENCE)
        .await
        .unwrap();
    assert!(!nothing.found() && nothing.peers.is_empty());
    let table = node.routing().await.unwrap();
    assert!(
        table.me == status.node.peer_id && table.peers() > 0,
        "{table:?}"
    );

    // Search, at once and as a stream.
    let query = Query::text(name);
    assert_eq!(registry.search(&query).await.unwrap().hits.len(), 1);
    let mut updates = registry.search_stream(query);
    let (mut hits, mut done) = (0, false);
    while let Some(update) = updates.recv().await {
        match update {
            SearchUpdate::Facets { .. } => {}
            SearchUpdate::Hits { hits: some, .. } => hits += some.len(),
            SearchUpdate::Done { .. } => done = true,
        }
    }
    assert!(hits >= 1 && done);

    // Errors have the same text on both ways.
    for (error, code, usage) in [
        (
            registry
                .publish(draft(name, "1.0.0"), put(node.contents(), b"2").await, None)
                .await
                .unwrap_err(),
            "file_taken",
            false,
        ),
        (
            registry
                .get_package(&"nobody/nothing".parse().unwrap())
                .await
                .unwrap_err(),
            "unknown_handle",
            false,
        ),
        (
            registry
                .get_package_version(&package, &"^9".parse().unwrap())
                .await
                .unwrap_err(),
            "no_match",
            false,
        ),
        (
            node.dial(&"/ip4/127.0.0.1/tcp/1".parse().unwrap(), false, PATIENCE)
                .await
                .unwrap_err(),
            "address",
            true,
        ),
    ] {
        assert_eq!((error.code(), error.is_usage()), (code, usage), "{error}");
        assert!(!error.to_string().is_empty());
    }

    // Yank and trust.
    registry.yank(&package, &receipt.version).await.unwrap();
    assert!(registry.list_versions(&package).await.unwrap()[0].is_yanked());
    registry.unyank(&package, &receipt.version).await.unwrap();
    registry.distrust(id.owner).await.unwrap();
    assert!(
        registry
            .search(&Query::text(name))
            .await
            .unwrap()
            .hits
            .is_empty(),
        "distrusted"
    );
    registry.trust(id.owner, None).await.unwrap();
    assert_eq!(
        registry
            .search(&Query::text(name))
            .await
            .unwrap()
            .hits
            .len(),
        1
    );

    // Ban and protect.
    assert!(
        node.judge(peer, Ruling::Protect).await.unwrap()
            && !node.judge(peer, Ruling::Protect).await.unwrap()
    );
    assert!(node.judge(peer, Ruling::Unprotect).await.unwrap());
    assert!(
        !node.judge(peer, Ruling::Unban).await.unwrap(),
        "it is not banned"
    );
    node.contents().offer_again().await.unwrap();

    // The peer or Kademlia may open another connection at once.
    let since = async || {
        let peers = node.peers().await.unwrap();
        peers
            .into_iter()
            .find(|known| known.id == peer)
            .and_then(|known| known.connection)
            .map(|it| it.since)
    };
    let before = since().await;
    assert!(before.is_some() && node.disconnect(peer).await.unwrap());
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while since().await == before {
        assert!(
            tokio::time::Instant::now() < deadline,
            "still the same connection"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(node.logs(0).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn in_this_process_and_over_either_socket_it_is_the_same() {
    let served = Served::start(&[]).await;
    let other = Lab::start(TCP, &[]).await;
    everything_works(&*served.local, "one", &other).await;
    everything_works(&served.remote().await, "two", &other).await;
    let token = std::fs::read_to_string(control::token_path(served.lab.dir.path())).unwrap();
    let address = served.serving.tcp.unwrap().to_string();
    let remote = Remote::connect(
        Target::Tcp {
            address: address.clone(),
            token,
        },
        false,
    )
    .await
    .unwrap();
    everything_works(&remote, "three", &other).await;

    let stranger = Remote::connect(
        Target::Tcp {
            address,
            token: "guess".to_owned(),
        },
        false,
    )
    .await
    .err()
    .unwrap();
    assert_eq!(stranger.code(), "unauthorized", "{stranger}");
    other.stop().await;
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_only_look_changes_nothing() {
    let served = Served::start(&[]).await;
    let watcher = Remote::connect(served.target(), true).await.unwrap();
    let registry = watcher.registry();
    let nobody = served.lab.node.peer_id();
    assert!(watcher.status().await.is_ok() && registry.search(&Query::text("")).await.is_ok());
    for error in [
        registry
            .publish(
                draft("web", "1.0.0"),
                put(served.local.contents(), b"1").await,
                None,
            )
            .await
            .unwrap_err(),
        watcher.disconnect(nobody).await.unwrap_err(),
        watcher.shut_down().await.unwrap_err(),
        watcher.set_log_filter("debug").await.unwrap_err(),
    ] {
        assert_eq!(error.code(), "read_only", "{error}");
    }
    assert!(registry.own().await.unwrap().packages.is_empty());
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_outlives_the_node_and_learns_who_left_meanwhile() {
    let other = Lab::start(TCP, &[]).await;
    let served = Served::start(&[other.address().await]).await;
    let remote = served.remote().await;
    let (mut batches, mut link) = (remote.subscribe(), remote.link());
    let peer = other.node.peer_id();
    until(&mut batches, "the peer", |batch| {
        batch.peers.iter().any(|it| it.id == peer).then_some(())
    })
    .await;

    let Served { lab, serving, .. } = served;
    serving.stop().await;
    let lost = tokio::time::timeout(PATIENCE, link.wait_for(|link| *link != Link::Here))
        .await
        .unwrap()
        .unwrap()
        .clone();
    let Link::Lost { why } = lost else {
        panic!("{lost:?}")
    };
    assert!(!why.is_empty());

    // Start another node on the directory, which does not know that peer.
    let dir = lab.stop().await;
    std::fs::remove_dir_all(dir.path()).unwrap();
    std::fs::create_dir(dir.path()).unwrap();
    let served = Served::of(Lab::start_in(dir, TCP, &[]).await).await;
    tokio::time::timeout(PATIENCE, link.wait_for(|link| *link == Link::Here))
        .await
        .unwrap()
        .unwrap();
    until(&mut batches, "who left", |batch| {
        batch.gone.contains(&peer).then_some(())
    })
    .await;
    until(&mut batches, "the node that is there now", |batch| {
        batch.node.clone()
    })
    .await;
    other.stop().await;
    served.stop().await;
}

/// Sends bytes and returns the beginning of the answer.
fn say(served: &Served, bytes: &[u8]) -> String {
    let mut stream = UnixStream::connect(served.serving.socket()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    // The request may be refused before all of it was sent.
    let _ = stream.write_all(bytes);
    let mut answer = vec![0; 4_096];
    let read = stream.read(&mut answer).unwrap_or(0);
    String::from_utf8_lossy(&answer[..read]).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_make_no_sense_are_refused_in_words() {
    let served = Served::start(&[]).await;
    let post = |path: &str, body: &str| {
        format!(
            "POST {path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: \
             {}\r\n\r\n{body}",
            body.len()
        )
    };
    for (request, status, said) in [
        (
            "GET /v1/nonsense HTTP/1.1\r\nhost: x\r\n\r\n".to_owned(),
            "404",
            "version 2",
        ),
        (
            "GET /v2/status HTTP/1.1\r\nhost: x\r\n\r\n".to_owned(),
            "404",
            "version 2",
        ),
        (
            "PUT /v1/status HTTP/1.1\r\nhost: x\r\n\r\n".to_owned(),
            "405",
            "",
        ),
        (post("/v1/package", "{"), "400", "error"),
        (
            post("/v1/package", "{\"package\": \"///\"}"),
            "400",
            "error",
        ),
        (
            post("/v1/package", "{\"pakcage\": \"a/b\"}"),
            "422",
            "missing field",
        ),
        ("complete nonsense\r\n\r\n".to_owned(), "400", ""),
        (
            format!("GET /{} HTTP/1.1\r\nhost: x\r\n\r\n", "x".repeat(200_000)),
            "4",
            "",
        ),
    ] {
        let answer = say(&served, request.as_bytes());
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status}")) && answer.contains(said),
            "{answer}"
        );
    }
    // A body of a gigabyte is refused as soon as it is announced, or exceeds the limit.
    let announced = "POST /v1/search HTTP/1.1\r\nhost: x\r\ncontent-type: \
                     application/json\r\ncontent-length: 1073741824\r\n\r\n";
    assert!(say(&served, announced.as_bytes()).starts_with("HTTP/1.1 413"));
    let mut chunked =
        b"POST /v1/search HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"
            .to_vec();
    for _ in 0..64 {
        chunked.extend(b"4000\r\n");
        chunked.extend([b' '; 0x4000]);
        chunked.extend(b"\r\n");
    }
    assert!(say(&served, &chunked).starts_with("HTTP/1.1 413"));
    assert!(
        served.remote().await.status().await.is_ok(),
        "and the node goes on"
    );
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_clients_and_some_that_never_read_slow_nobody() {
    let served = Served::start(&[]).await;
    // These clients request the stream and never read it; the last ones do not even send a whole
    // request.
    let mut idle = Vec::new();
    for number in 0..40 {
        let mut stream = UnixStream::connect(served.serving.socket()).unwrap();
        let request: &[u8] = b"GET /v1/events HTTP/1.1\r\nhost: x\r\n\r\n";
        let sent = if number < 30 { request.len() } else { 20 };
        stream.write_all(&request[..sent]).unwrap();
        idle.push(stream);
    }
    let mut asking = tokio::task::JoinSet::new();
    for _ in 0..200 {
        let target = served.target();
        asking.spawn(async move { Remote::connect(target, false).await?.status().await });
    }
    let answers = tokio::time::timeout(PATIENCE, asking.join_all())
        .await
        .unwrap();
    assert!(
        answers.iter().all(Result::is_ok),
        "{:?}",
        answers.iter().find(|answer| answer.is_err())
    );

    // There are more events than the idle clients can buffer; the one that reads gets all of them.
    let remote = served.remote().await;
    let mut batches = remote.subscribe();
    until(&mut batches, "the node", |batch| batch.node.clone()).await;
    let registry = served.local.registry();
    for number in 0..50 {
        registry
            .publish(
                draft(&format!("p{number}"), "1.0.0"),
                put(served.local.contents(), b"1").await,
                None,
            )
            .await
            .unwrap();
    }
    let mut heard = 0;
    while heard < 50 {
        let batch = tokio::time::timeout(PATIENCE, batches.recv())
            .await
            .unwrap()
            .unwrap();
        heard += batch.announcements.len();
        assert_eq!(batch.dropped, 0);
    }
    drop(idle);
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_reader_gets_merged_batches_and_its_own_count_of_what_it_lost() {
    const TOLD: u64 = 60_000;
    let served = Served::start(&[]).await;
    let remote = served.remote().await;
    let (mut slow, mut quick) = (remote.subscribe(), remote.subscribe());
    until(&mut slow, "the node", |batch| batch.node.clone()).await;
    until(&mut quick, "the node", |batch| batch.node.clone()).await;
    for number in 0..TOLD {
        served.lab.node.tell(&number.to_string());
        // This is slower than the ring fills between two batches, but fast enough to overflow for a
        // client that does not read.
        if number % 500 == 499 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
    let all = async |batches: &mut mpsc::Receiver<Batch>| {
        let (mut told, mut lost, mut taken) = (0, 0, 0);
        while told + lost < TOLD {
            let batch = tokio::time::timeout(PATIENCE, batches.recv())
                .await
                .unwrap()
                .unwrap();
            (told, lost, taken) = (told + batch.notices.len() as u64, batch.dropped, taken + 1);
        }
        (told, lost, taken)
    };
    let (told, lost, batches) = all(&mut slow).await;
    assert_eq!(told + lost, TOLD, "what is not told is counted");
    assert!(
        lost > 0 && batches < 200,
        "{lost} lost in {batches} batches"
    );
    let (told, lost, _) = all(&mut quick).await;
    assert_eq!(told + lost, TOLD, "and each reader has a count of its own");
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn probes_and_metrics_are_for_any_program() {
    let served = Served::start(&[]).await;
    let get = |path: &str| {
        say(
            &served,
            format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n").as_bytes(),
        )
    };
    let health = get("/healthz");
    assert!(
        health.starts_with("HTTP/1.1 200") && health.contains("\"verdict\""),
        "{health}"
    );
    assert!(get("/readyz").starts_with("HTTP/1.1 200"));
    let metrics = get("/metrics");
    assert!(
        metrics.contains("openmetrics-text") && metrics.contains("swarmdex_"),
        "{metrics}"
    );
    assert!(
        get("/v1/status")
            .to_lowercase()
            .contains("swarmdex-protocol: 2")
    );
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_loopback_is_listened_on() {
    let lab = Lab::start(TCP, &[]).await;
    let local = Arc::new(Local::new(lab.node.handle(), None));
    let error = control::serve(local, lab.dir.path(), Some("0.0.0.0:0".parse().unwrap()))
        .await
        .err()
        .unwrap();
    assert!(
        error.is_usage() && error.to_string().contains("loopback"),
        "{error}"
    );
    lab.stop().await;
}
