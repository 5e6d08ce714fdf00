//! Peers that abuse the comparison of catalogues, on either side.

use std::{sync::Arc, time::Duration};

use crate::lab::{BarePeer, DAY, Lab, PATIENCE, TCP, head, manifest, silent};
use futures::{AsyncReadExt, AsyncWriteExt, StreamExt};
use libp2p::{PeerId, Stream, identity::Keypair};
use serde_bytes::ByteBuf;
use swarmdex::{
    domain::hash::Hash,
    net::{
        protocol::Item,
        sync::wire::{self, MAX_WANTED, SyncAnswer, SyncRequest},
    },
};

/// Returns a peer's answer to a request, by the number of the request.
type Answering = Arc<dyn Fn(usize, SyncRequest) -> Option<SyncAnswer> + Send + Sync>;

/// Starts a node that compares only when told to.
async fn victim(peer: &BarePeer) -> Lab {
    Lab::partial(TCP, std::slice::from_ref(&peer.address)).await
}

async fn server(answering: Answering) -> BarePeer {
    let mut peer = BarePeer::start(silent()).await;
    let mut incoming = peer.streams.accept(BarePeer::sync_protocol()).unwrap();
    tokio::spawn(async move {
        while let Some((_, mut stream)) = incoming.next().await {
            let answering = answering.clone();
            tokio::spawn(async move {
                let mut number = 0;
                while let Ok(Some((question, _))) =
                    wire::read::<SyncRequest>(&mut stream, PATIENCE).await
                {
                    let Some(answer) = answering(number, question) else {
                        return;
                    };
                    number += 1;
                    if wire::write(&mut stream, &answer, PATIENCE).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    peer
}

async fn refused(lab: &Lab, reason: &str) -> f64 {
    let text = lab.node.metrics().await.unwrap();
    let of = |line: &&str| {
        line.starts_with("swarmdex_refusals_total")
            && line.contains(&format!("reason=\"{reason}\""))
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

/// Returns a message: the version of the protocol, and then ranges, each with its bound, kind and
/// data.
fn message(ranges: &[(u64, u8, Vec<u8>)]) -> SyncAnswer {
    fn number(mut value: u64) -> Vec<u8> {
        let mut bytes = vec![(value & 0x7f) as u8];
        while value > 0x7f {
            value >>= 7;
            bytes.push((value & 0x7f) as u8 | 0x80);
        }
        bytes.reverse();
        bytes
    }
    let mut bytes = vec![0x61];
    for (time, mode, rest) in ranges {
        bytes.extend(number(*time));
        bytes.extend([0, *mode]);
        bytes.extend(rest);
    }
    SyncAnswer::Compare(ByteBuf::from(bytes))
}

/// The end of time, as a bound.
const END: u64 = 0;
const FINGERPRINT: u8 = 1;
const LIST: u8 = 2;

fn noise(seed: usize, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    blake3::Hasher::new()
        .update(&seed.to_be_bytes())
        .finalize_xof()
        .fill(&mut bytes);
    bytes
}

#[tokio::test(flavor = "multi_thread")]
async fn a_comparison_that_leads_nowhere_is_cut_off_and_counted() {
    let endless: Answering =
        Arc::new(|number, _| Some(message(&[(END, FINGERPRINT, noise(number, 16))])));
    // Each message has a thousand new hashes and promises more.
    let billions: Answering = Arc::new(|number, _| {
        let mut list = vec![0x87, 0x68];
        list.extend(noise(number, 1_000 * 32));
        Some(message(&[
            (10, LIST, list),
            (END, FINGERPRINT, noise(number, 16)),
        ]))
    });
    let claimed: Answering =
        Arc::new(|_, _| Some(message(&[(END, LIST, vec![0x84, 0x80, 0x80, 0x80, 0])])));
    let nonsense: Answering =
        Arc::new(|number, _| Some(SyncAnswer::Compare(ByteBuf::from(noise(number, 60_000)))));
    let other: Answering = Arc::new(|_, _| {
        Some(SyncAnswer::Records {
            items: vec![],
            more: false,
        })
    });
    for (what, answering) in [
        ("what has no end", endless),
        ("more than there can be", billions),
        ("a number without what it counts", claimed),
        ("what makes no sense", nonsense),
        ("an answer to what was not asked", other),
    ] {
        let peer = server(answering).await;
        let lab = victim(&peer).await;
        let compared = tokio::time::timeout(PATIENCE, lab.node.sync_with(peer.id)).await;
        let error = compared
            .unwrap_or_else(|_| panic!("{what}: no end"))
            .unwrap_err();
        assert_eq!(refused(&lab, "endless").await, 1.0, "{what}: {error}");
        assert_eq!(lab.node.status().await.unwrap().packages, 0, "{what}");
        lab.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn records_are_taken_only_if_they_hold_and_were_asked_for() {
    let key = Keypair::generate_ed25519();
    let item = |name: &str| {
        let manifest = manifest(&key, name, "1.0.0", b"x");
        let head = head(&key, 1, &[&manifest], swarmdex::clock::now(), DAY);
        let bytes = |envelope: &bytes::Bytes| ByteBuf::from(envelope.to_vec());
        (
            head.hash(),
            Item {
                head: bytes(head.envelope()),
                manifest: Some(bytes(manifest.envelope())),
            },
        )
    };
    let (hash, good) = item("good");
    let (_, unasked) = item("unasked");
    let mut forged = good.clone();
    let last = forged.head.len() - 1;
    forged.head[last] ^= 1;
    let mut strange = good.clone();
    strange.manifest = unasked.manifest.clone();
    for (what, sent, reason) in [
        ("forged", vec![forged], Some("bad-signature")),
        ("not asked for", vec![unasked], Some("irrelevant")),
        (
            "with the manifest of another",
            vec![strange],
            Some("mismatch"),
        ),
        ("good", vec![good], None),
    ] {
        let answering: Answering = Arc::new(move |_, question| match question {
            SyncRequest::Compare(_) => {
                let mut list = vec![1];
                list.extend(hash.0);
                Some(message(&[(END, LIST, list)]))
            }
            SyncRequest::Want(_) => Some(SyncAnswer::Records {
                items: sent.clone(),
                more: false,
            }),
            SyncRequest::Lacking => None,
        });
        let peer = server(answering).await;
        let lab = victim(&peer).await;
        let compared = lab.node.sync_with(peer.id).await;
        match reason {
            Some(reason) => {
                assert!(compared.is_err(), "{what}");
                assert_eq!(refused(&lab, reason).await, 1.0, "{what}");
            }
            None => assert_eq!(compared.unwrap().taken, 1, "{what}"),
        }
        lab.stop().await;
    }
}

async fn open(peer: &BarePeer, node: PeerId) -> Stream {
    let mut streams = peer.streams.clone();
    streams
        .open_stream(node, BarePeer::sync_protocol())
        .await
        .unwrap()
}

/// Repeats a request until the node accepts it: it allows a peer one comparison at a time, and not
/// often.
async fn ask(peer: &BarePeer, node: PeerId, question: &SyncRequest) -> Option<SyncAnswer> {
    loop {
        let mut stream = open(peer, node).await;
        wire::write(&mut stream, question, PATIENCE).await.ok();
        match wire::read::<SyncAnswer>(&mut stream, PATIENCE).await {
            Ok(Some((SyncAnswer::Busy, _))) => tokio::time::sleep(Duration::from_millis(100)).await,
            Ok(answer) => return answer.map(|(answer, _)| answer),
            Err(_) => return None,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_asked_honest_ones_are_answered() {
    let peer = BarePeer::start(silent()).await;
    let lab = victim(&peer).await;
    let node = lab.node.peer_id();

    let absent = ask(&peer, node, &SyncRequest::Want(vec![Hash([7; 32])])).await;
    assert_eq!(
        absent,
        Some(SyncAnswer::Records {
            items: vec![],
            more: false
        })
    );
    for (what, question) in [
        (
            "nonsense",
            SyncRequest::Compare(ByteBuf::from(vec![0x61, 0, 0, 9, 9, 9])),
        ),
        (
            "too long",
            SyncRequest::Compare(ByteBuf::from(vec![0x61; 100_000])),
        ),
        (
            "too much",
            SyncRequest::Want((0..=MAX_WANTED).map(|n| Hash([n as u8; 32])).collect()),
        ),
    ] {
        let counted = refused(&lab, "endless").await;
        assert_eq!(ask(&peer, node, &question).await, None, "{what}");
        assert_eq!(refused(&lab, "endless").await, counted + 1.0, "{what}");
    }
    // An endless frame, and a second stream beside an open one.
    let mut long = open(&peer, node).await;
    let _ = long.write_all(&[0xff; 64]).await;
    let _ = long.flush().await;
    let mut end = Vec::new();
    let closed = tokio::time::timeout(PATIENCE, long.read_to_end(&mut end))
        .await
        .expect("the stream is closed");
    assert!(
        closed.is_err() || end.is_empty() || end.len() < 16,
        "{end:?}"
    );
    let mut first = open(&peer, node).await;
    while wire::write(&mut first, &SyncRequest::Want(vec![]), PATIENCE)
        .await
        .is_err()
        || !matches!(
            wire::read(&mut first, PATIENCE).await,
            Ok(Some((SyncAnswer::Records { .. }, _)))
        )
    {
        tokio::time::sleep(Duration::from_millis(100)).await;
        first = open(&peer, node).await;
    }
    let mut second = open(&peer, node).await;
    let refused = wire::read::<SyncAnswer>(&mut second, PATIENCE)
        .await
        .unwrap();
    assert_eq!(refused.map(|(answer, _)| answer), Some(SyncAnswer::Busy));

    let honest = Lab::start(TCP, &[lab.address().await]).await;
    let compared = tokio::time::timeout(PATIENCE, async {
        loop {
            if let Ok(report) = honest.node.sync_with(node).await {
                return report;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    });
    assert_eq!(compared.await.unwrap().differed, 0);
    honest.stop().await;
    lab.stop().await;
}
