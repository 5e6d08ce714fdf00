//! Content between real nodes on loopback: from one and from several peers, from lying and from
//! slow ones; paused and resumed.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use crate::lab::{Lab, PATIENCE, QUIC, TCP, draft, options, put, reference};
use libp2p::PeerId;
use swarmdex::{
    RegistryError,
    domain::{
        hash::ContentRoot,
        manifest::Content,
        transfer::{Part, Transfer, TransferId, TransferState},
    },
    node::{Conduct, Node, NodeOptions},
    registry::{Contents, Fetched, Order, Wanted, read_whole},
};
use tokio::sync::mpsc;

/// Returns pseudo-random bytes.
fn bytes(size: usize, seed: u8) -> Vec<u8> {
    let mut out = vec![0; size];
    blake3::Hasher::new()
        .update(&[seed])
        .finalize_xof()
        .fill(&mut out);
    out
}

fn wanted(content: Content) -> Wanted {
    Wanted {
        content,
        what: "a test".to_owned(),
        package: None,
        beside: None,
        for_others: false,
    }
}

async fn start(
    conduct: Conduct,
    bootstrap: &[String],
    change: impl FnOnce(&mut NodeOptions),
) -> Lab {
    let dir = tempfile::tempdir().unwrap();
    let mut options = options(dir.path(), TCP, bootstrap);
    options.staging.conduct = conduct;
    options.content.idle = Duration::from_millis(1_500);
    change(&mut options);
    let node = Node::start(options).await.unwrap();
    if !bootstrap.is_empty() {
        assert!(node.wait_joined(PATIENCE).await, "found nobody");
    }
    Lab { node, dir }
}

async fn fetch(lab: &Lab, content: Content) -> Result<Fetched, RegistryError> {
    let fetching = async { lab.node.contents().fetch(wanted(content), None).await };
    tokio::time::timeout(PATIENCE, fetching)
        .await
        .expect("a fetch that does not end")
}

async fn whole(lab: &Lab, content: Content) -> Vec<u8> {
    read_whole(&*lab.node.contents(), content.root, u64::MAX)
        .await
        .unwrap()
}

/// Waits until a transfer of the node is as expected.
async fn until(lab: &Lab, what: &str, is_it: impl Fn(&Transfer) -> bool) -> Transfer {
    let looking = async {
        loop {
            let transfers = lab.node.contents().transfers().await.unwrap();
            if let Some(found) = transfers.into_iter().find(|transfer| is_it(transfer)) {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, looking)
        .await
        .unwrap_or_else(|_| panic!("waited in vain for {what}"))
}

fn is_fetch(transfer: &Transfer) -> bool {
    matches!(transfer.id, TransferId::Fetch { .. })
}

fn given(fetched: &Fetched, peer: PeerId) -> u64 {
    let shares = &fetched.origin.as_ref().unwrap().shares;
    shares
        .iter()
        .find(|share| share.peer == peer)
        .map_or(0, |share| share.bytes)
}

async fn arrives(listen: &str) {
    let a = Lab::start(listen, &[]).await;
    let b = Lab::start(listen, &[a.address().await]).await;
    let sizes = [
        0, 1, 16_383, 16_384, 16_385, 65_535, 65_536, 1_048_577, 5_000_000,
    ];
    for (seed, size) in (0..).zip(sizes) {
        let sent = bytes(size, seed);
        let content = put(a.node.contents(), &sent).await.files[0].content;
        let fetched = fetch(&b, content).await.unwrap();
        assert!(!fetched.was_held);
        assert_eq!(given(&fetched, a.node.peer_id()), size as u64, "{size}");
        assert_eq!(whole(&b, content).await, sent, "{size}");
        assert!(fetch(&b, content).await.unwrap().was_held);
    }
    a.stop().await;
    // Now b holds it.
    let c = Lab::start(listen, &[b.address().await]).await;
    let content = Content {
        root: ContentRoot::of(&bytes(5_000_000, 8)),
        size: 5_000_000,
    };
    assert_eq!(
        given(&fetch(&c, content).await.unwrap(), b.node.peer_id()),
        5_000_000
    );
    let served = until(&b, "what b served", |one| {
        !is_fetch(one) && one.id.root() == content.root
    })
    .await;
    assert_eq!(served.peers[0].peer, c.node.peer_id());
    b.stop().await;
    c.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn content_of_every_size_arrives_over_tcp() {
    arrives(TCP).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn content_of_every_size_arrives_over_quic() {
    arrives(QUIC).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_is_published_with_its_bytes_or_not_at_all() {
    let a = Lab::start(TCP, &[]).await;
    let b = Lab::start(TCP, &[a.address().await]).await;
    let registry = a.node.registry();
    let nowhere = Content {
        root: ContentRoot::of(b"nowhere"),
        size: 7,
    };
    let refused = registry
        .publish(draft("web", "1.0.0"), nowhere.into(), None)
        .await
        .unwrap_err();
    assert!(matches!(refused, RegistryError::NotPut(_)), "{refused}");
    let sent = bytes(300_000, 1);
    let mut artifacts = put(a.node.contents(), &sent).await;
    artifacts.readme = Some(put(a.node.contents(), b"# Web").await.files[0].content);
    artifacts.files[0].name = Some("web-1.0.0.tar.zst".to_owned());
    let receipt = registry
        .publish(draft("web", "1.0.0"), artifacts, None)
        .await
        .unwrap();
    let found = b.node.registry();
    let release = found
        .get_package_version(&reference(&receipt.package), &"*".parse().unwrap())
        .await
        .unwrap();
    assert_eq!(release.manifest.files[0].name, "web-1.0.0.tar.zst");
    let contents = b.node.contents();
    contents.fetch(Wanted::of(&release), None).await.unwrap();
    for beside in Wanted::beside(&release) {
        contents.fetch(beside, None).await.unwrap();
    }
    assert_eq!(whole(&b, release.manifest.content()).await, sent);
    assert_eq!(whole(&b, release.manifest.readme.unwrap()).await, b"# Web");
    // Own content is not evicted.
    let freed = a.node.contents().clean_up(true).await.unwrap();
    assert_eq!(freed.contents, 0);
    let freed = b.node.contents().clean_up(true).await.unwrap();
    assert_eq!(freed.contents, 2);
    a.stop().await;
    b.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn several_give_each_what_it_can_and_a_provider_is_found_through_the_dht() {
    const MIB: u64 = 1 << 20;
    let sent = bytes(24 << 20, 2);
    let a = start(Conduct::Paced(16 * MIB), &[], |_| {}).await;
    let content = put(a.node.contents(), &sent).await.files[0].content;
    let join = [a.address().await];
    let mut others = Vec::new();
    for _ in 0..2 {
        let other = start(Conduct::Paced(16 * MIB), &join, |_| {}).await;
        let same = put(other.node.contents(), &sent).await;
        other
            .node
            .registry()
            .publish(draft("same", "1.0.0"), same, None)
            .await
            .unwrap();
        others.push(other);
    }
    let b = start(Conduct::Honest, &join, |_| {}).await;
    let looking = async {
        while b.node.providers(&content.root).await.unwrap().len() < 2 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, looking)
        .await
        .expect("the DHT knows who has it");
    let fetched = fetch(&b, content).await.unwrap();
    assert_eq!(whole(&b, content).await, sent);
    let shares = fetched.origin.unwrap().shares;
    let gave = shares.iter().filter(|share| share.bytes > 4 * MIB).count();
    assert!(gave >= 2, "{shares:?}");
    for lab in others.into_iter().chain([a, b]) {
        lab.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_liar_is_caught_at_once_and_an_honest_one_gives_the_rest() {
    let sent = bytes(6 << 20, 3);
    let liar = start(Conduct::Corrupt, &[], |_| {}).await;
    let content = put(liar.node.contents(), &sent).await.files[0].content;
    let join = [liar.address().await];
    let b = start(Conduct::Honest, &join, |_| {}).await;
    let error = fetch(&b, content).await.unwrap_err();
    let text = error.to_string();
    assert!(
        matches!(error, RegistryError::Fetch { .. }) && text.contains("does not verify"),
        "{text}"
    );
    let failed = until(&b, "the failed fetch", is_fetch).await;
    let one = &failed.peers[0];
    assert_eq!((one.part, one.refused), (Part::Lied, 1));
    assert!(
        one.bytes <= 1 << 20,
        "what came before the lie verifies, and no second answer was waited for: {one:?}"
    );
    // With an honest peer the download resumes, and keeps what was verified.
    let honest = start(Conduct::Honest, &join, |_| {}).await;
    put(honest.node.contents(), &sent).await;
    assert!(
        honest
            .node
            .dial(b.address().await.parse().unwrap(), false, PATIENCE)
            .await
            .is_ok()
    );
    let fetched = fetch(&b, content).await.unwrap();
    assert_eq!(whole(&b, content).await, sent);
    assert!(given(&fetched, honest.node.peer_id()) > 4 << 20);
    let peers = b.node.peers().await.unwrap();
    let known = peers
        .iter()
        .find(|peer| peer.id == liar.node.peer_id())
        .unwrap();
    assert!(
        known
            .evidence
            .iter()
            .any(|one| one.outcome.label().contains("does not verify")),
        "{:?}",
        known.evidence
    );
    for lab in [liar, b, honest] {
        lab.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_falls_silent_is_dropped_and_another_goes_on() {
    let sent = bytes(4 << 20, 4);
    let silent = start(Conduct::Stalling(200_000), &[], |_| {}).await;
    let content = put(silent.node.contents(), &sent).await.files[0].content;
    let join = [silent.address().await];
    let honest = start(Conduct::Honest, &join, |_| {}).await;
    put(honest.node.contents(), &sent).await;
    let b = start(
        Conduct::Honest,
        &[join[0].clone(), honest.address().await],
        |_| {},
    )
    .await;
    let began = Instant::now();
    fetch(&b, content).await.unwrap();
    assert_eq!(whole(&b, content).await, sent);
    assert!(
        began.elapsed() < Duration::from_secs(15),
        "{:?}",
        began.elapsed()
    );
    for lab in [silent, honest, b] {
        lab.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_provider_it_says_so_and_goes_on_later() {
    let sent = bytes(8 << 20, 5);
    let a = start(Conduct::Paced(4 << 20), &[], |_| {}).await;
    let content = put(a.node.contents(), &sent).await.files[0].content;
    let b = start(Conduct::Honest, &[a.address().await], |_| {}).await;
    let (progress, _updates) = mpsc::channel::<Transfer>(1);
    let contents: Arc<dyn Contents> = b.node.contents();
    let fetching = tokio::spawn({
        let contents = contents.clone();
        async move { contents.fetch(wanted(content), Some(progress)).await }
    });
    until(&b, "a part of it", |one| {
        is_fetch(one) && one.done > 1 << 20
    })
    .await;
    let dir = a.stop().await;
    let error = tokio::time::timeout(PATIENCE, fetching)
        .await
        .unwrap()
        .unwrap()
        .unwrap_err();
    let RegistryError::Fetch { done, size, .. } = &error else {
        panic!("{error}")
    };
    assert!(*done > 1 << 20 && done < size, "{error}");
    let a = Lab::start_in(dir, TCP, &[b.address().await]).await;
    let fetched = fetch(&b, content).await.unwrap();
    let origin = fetched.origin.unwrap();
    assert!(origin.resumed >= *done, "{origin:?}");
    let again: u64 = origin.shares.iter().map(|share| share.bytes).sum();
    assert_eq!(
        again + origin.resumed,
        content.size,
        "nothing that verified was asked for again"
    );
    assert_eq!(whole(&b, content).await, sent);
    a.stop().await;
    b.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fetch_is_paused_gone_on_with_after_a_restart_and_cancelled() {
    let sent = bytes(8 << 20, 6);
    let a = start(Conduct::Paced(1 << 20), &[], |_| {}).await;
    let content = put(a.node.contents(), &sent).await.files[0].content;
    let id = TransferId::Fetch { root: content.root };
    let b = start(Conduct::Honest, &[a.address().await], |_| {}).await;
    b.node
        .contents()
        .start_fetch(wanted(content))
        .await
        .unwrap();
    until(&b, "a part of it", |one| is_fetch(one) && one.done > 0).await;
    assert!(b.node.contents().direct(id, Order::Pause).await.unwrap());
    until(&b, "the pause", |one| one.state == TransferState::Paused).await;
    assert!(
        !b.node.contents().direct(id, Order::Pause).await.unwrap(),
        "it is paused already"
    );
    let dir = b.stop().await;

    // After a restart the node shows the paused download and does not resume it.
    let b = Lab::start_in(dir, TCP, &[a.address().await]).await;
    until(&b, "what was paused", |one| {
        one.id == id && one.state == TransferState::Paused
    })
    .await;
    assert!(b.node.contents().direct(id, Order::Resume).await.unwrap());
    let running = until(&b, "that it goes on", |one| {
        one.id == id && one.state == TransferState::Running
    })
    .await;
    assert!(running.resumed > 0);
    let dir = b.stop().await;

    // A download that was running when its node stopped is resumed.
    let b = Lab::start_in(dir, TCP, &[a.address().await]).await;
    until(&b, "that it goes on by itself", |one| {
        one.id == id && one.state == TransferState::Running
    })
    .await;
    assert!(b.node.contents().direct(id, Order::Cancel).await.unwrap());
    until(&b, "the end", |one| {
        one.id == id && one.state == TransferState::Cancelled
    })
    .await;
    assert!(
        !b.node.contents().direct(id, Order::Resume).await.unwrap(),
        "it is forgotten"
    );
    let left = std::fs::read_dir(b.dir.path().join("content/partial"))
        .unwrap()
        .count();
    assert_eq!(left, 0);
    a.stop().await;
    b.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_for_a_fetch_is_told_that_the_node_ends_and_its_directory_is_free() {
    let a = start(Conduct::Paced(1 << 20), &[], |_| {}).await;
    let content = put(a.node.contents(), &bytes(32 << 20, 9)).await.files[0].content;
    let b = start(Conduct::Honest, &[a.address().await], |_| {}).await;
    let contents = b.node.contents();
    let fetching = tokio::spawn(async move {
        let ended = contents.fetch(wanted(content), None).await;
        // A download that begins while the node is stopping does not keep it either.
        (ended, contents.fetch(wanted(content), None).await)
    });
    until(&b, "a part of it", |one| is_fetch(one) && one.done > 0).await;
    let dir = b.stop().await;
    let (ended, begun) = tokio::time::timeout(PATIENCE, fetching)
        .await
        .expect("it waits for ever")
        .unwrap();
    assert!(matches!(ended, Err(RegistryError::Closed)), "{ended:?}");
    assert!(begun.is_err(), "{begun:?}");
    Lab::start_in(dir, TCP, &[]).await.stop().await;
    a.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_who_want_the_same_fetch_it_once() {
    let a = Lab::start(TCP, &[]).await;
    let content = put(a.node.contents(), &bytes(2 << 20, 7)).await.files[0].content;
    let b = Lab::start(TCP, &[a.address().await]).await;
    let contents = b.node.contents();
    let fetches = (0..50).map(|_| contents.fetch(wanted(content), None));
    let all = futures::future::join_all(fetches).await;
    assert!(all.iter().all(|fetched| fetched.is_ok()));
    let served = until(&a, "what a served", |one| one.id.root() == content.root).await;
    assert_eq!(served.done, content.size);
    a.stop().await;
    b.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_incomplete_is_served_too() {
    let sent = bytes(12 << 20, 8);
    let a = start(Conduct::Paced(4 << 20), &[], |_| {}).await;
    let content = put(a.node.contents(), &sent).await.files[0].content;
    let b = start(Conduct::Honest, &[a.address().await], |_| {}).await;
    b.node
        .contents()
        .start_fetch(wanted(content))
        .await
        .unwrap();
    until(&b, "a part of it", |one| {
        is_fetch(one) && one.done > 2 << 20
    })
    .await;
    let c = start(
        Conduct::Honest,
        &[a.address().await, b.address().await],
        |_| {},
    )
    .await;
    let fetched = fetch(&c, content).await.unwrap();
    assert!(
        given(&fetched, b.node.peer_id()) > 0,
        "{:?}",
        fetched.origin
    );
    assert_eq!(whole(&c, content).await, sent);
    for lab in [a, b, c] {
        lab.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_who_have_a_part_do_not_wait_for_one_another() {
    let sent = bytes(12 << 20, 16);
    let a = start(Conduct::Paced(1 << 20), &[], |_| {}).await;
    let content = put(a.node.contents(), &sent).await.files[0].content;
    let b = start(Conduct::Honest, &[a.address().await], |_| {}).await;
    let c = start(
        Conduct::Honest,
        &[a.address().await, b.address().await],
        |_| {},
    )
    .await;
    for lab in [&b, &c] {
        lab.node
            .contents()
            .start_fetch(wanted(content))
            .await
            .unwrap();
        until(lab, "a part of it", |one| {
            is_fetch(one) && one.done > 1 << 20
        })
        .await;
    }
    a.stop().await;
    for lab in [&b, &c] {
        let failed = until(lab, "an end", |one| {
            matches!(one.state, TransferState::Failed(_))
        })
        .await;
        assert!(
            failed.done > 1 << 20 && failed.done < content.size,
            "{failed:?}"
        );
    }
    b.stop().await;
    c.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_provide_serves_only_what_is_its_own() {
    let a = Lab::start(TCP, &[]).await;
    let content = put(a.node.contents(), &bytes(100_000, 9)).await.files[0].content;
    let b = start(Conduct::Honest, &[a.address().await], |options| {
        options.content.provide = false
    })
    .await;
    fetch(&b, content).await.unwrap();
    a.stop().await;
    let c = start(Conduct::Honest, &[b.address().await], |_| {}).await;
    assert!(fetch(&c, content).await.is_err());
    let own = put(b.node.contents(), &bytes(100_000, 10)).await;
    b.node
        .registry()
        .publish(draft("own", "1.0.0"), own.clone(), None)
        .await
        .unwrap();
    fetch(&c, own.files[0].content).await.unwrap();
    b.stop().await;
    c.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manifest_with_the_wrong_size_is_nobody_elses_fault() {
    let a = Lab::start(TCP, &[]).await;
    let b = Lab::start(TCP, &[a.address().await]).await;
    for size in [100, 400_000, 3_000_000] {
        let content = put(a.node.contents(), &bytes(size, 11)).await.files[0].content;
        let error = fetch(
            &b,
            Content {
                size: content.size + 20_000,
                ..content
            },
        )
        .await
        .unwrap_err()
        .to_string();
        assert!(
            error.contains("its manifest says") && error.contains(&size.to_string()),
            "{error}"
        );
    }
    let peers = b.node.peers().await.unwrap();
    assert!(
        peers[0]
            .evidence
            .iter()
            .all(|one| !one.outcome.label().contains("verify")),
        "{:?}",
        peers[0].evidence
    );
    let most = b
        .node
        .contents()
        .fetch(
            wanted(Content {
                size: u64::MAX,
                root: ContentRoot::of(b"x"),
            }),
            None,
        )
        .await;
    assert!(matches!(most, Err(RegistryError::TooLarge { .. })));
    a.stop().await;
    b.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_on_the_disk_is_never_served_and_mended_from_others() {
    let sent = bytes(2 << 20, 12);
    let a = Lab::start(TCP, &[]).await;
    let content = put(a.node.contents(), &sent).await.files[0].content;
    let b = Lab::start(TCP, &[a.address().await]).await;
    fetch(&b, content).await.unwrap();
    let name = blake3::Hash::from(content.root.0).to_hex();
    let path = a.dir.path().join(format!("content/{name}.data"));
    let mut file = std::fs::read(&path).unwrap();
    file[1_000_000] ^= 4;
    std::fs::write(&path, file).unwrap();
    assert!(!a.node.contents().check(content.root).await.unwrap());
    // Only the damaged part is downloaded again.
    let done = until(&a, "the mending", |one| {
        is_fetch(one) && one.state == TransferState::Done
    })
    .await;
    assert_eq!(
        done.peers.iter().map(|one| one.bytes).sum::<u64>(),
        16 * 1_024
    );
    assert_eq!(whole(&a, content).await, sent);
    a.stop().await;
    b.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_pinned_stays_so_through_damage() {
    let sent = bytes(1 << 20, 17);
    let a = Lab::start(TCP, &[]).await;
    let content = put(a.node.contents(), &sent).await.files[0].content;
    a.node
        .contents()
        .keep(content.root, String::new(), true)
        .await
        .unwrap();
    let name = blake3::Hash::from(content.root.0).to_hex();
    std::fs::remove_file(a.dir.path().join(format!("content/{name}.data"))).unwrap();
    assert!(!a.node.contents().check(content.root).await.unwrap());
    // No other node holds it, so it is reported lost, with its name.
    let noted = tokio::time::timeout(PATIENCE, async {
        loop {
            if let Some(lost) = a.node.contents().lost().await.unwrap().pop() {
                return lost;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    let lost = noted.await.expect("what was lost is known");
    assert!(lost.content == content && lost.pinned, "{lost:?}");
    let b = Lab::start(TCP, &[]).await;
    assert_eq!(
        put(b.node.contents(), &sent).await.files[0].content,
        content
    );
    let a = Lab::start_in(a.stop().await, TCP, &[b.address().await]).await;
    assert_eq!(
        given(&fetch(&a, content).await.unwrap(), b.node.peer_id()),
        content.size
    );
    let held = a.node.contents().held(content.root).await.unwrap();
    assert!(held.is_some_and(|one| one.pinned));
    assert!(a.node.contents().lost().await.unwrap().is_empty());
    a.stop().await;
    b.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sixty_four_mebibytes_arrive() {
    let sent = bytes(64 << 20, 13);
    let a = Lab::start(TCP, &[]).await;
    let content = put(a.node.contents(), &sent).await.files[0].content;
    let b = Lab::start(TCP, &[a.address().await]).await;
    let fetching = b.node.contents().fetch(wanted(content), None).await;
    assert_eq!(given(&fetching.unwrap(), a.node.peer_id()), 64 << 20);
    assert!(b.node.contents().check(content.root).await.unwrap());
    a.stop().await;
    b.stop().await;
}
