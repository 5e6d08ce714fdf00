//! The gateway over real nodes: files that are read while they come, that stop coming, and that are not what was signed.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod lab;

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::Duration};

use lab::{Lab, PATIENCE, TCP, options, put};
use sha2::{Digest, Sha256};
use swarmdex::{
    control::Local,
    domain::{
        manifest::Draft,
        name::{PackageId, PackageName},
        names::NamePattern,
        request::ClientRequest,
    },
    gateway::{self, Gateway, Options},
    node::{Conduct, Node, NodeOptions},
    registry::Artifacts,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

const MIB: usize = 1 << 20;

/// A publisher whose content is served so, and a node with a gateway that trusts it.
struct Two {
    alice: Lab,
    bob: Lab,
    gateway: Gateway,
}

async fn two(conduct: Conduct, wait: Duration) -> Two {
    let dir = tempfile::tempdir().unwrap();
    let alice = Node::start(NodeOptions { conduct, ..options(dir.path(), TCP, &[]) }).await.unwrap();
    let alice = Lab { node: alice, dir };
    let bob = Lab::start(TCP, &[alice.address().await]).await;
    let options = Options {
        address: SocketAddr::from(([127, 0, 0, 1], 0)),
        token: None,
        publish: true,
        wait,
        upload: 1 << 20,
        replicas: 0,
        url: None,
    };
    let node = Arc::new(Local::new(bob.node.handle(), None));
    let gateway = Gateway::open(node, (bob.node.requests(), bob.node.prover()), bob.dir.path(), options).await.unwrap();
    Two { alice, bob, gateway }
}

/// A crate's file of so many bytes, which no archive has to be for this.
fn bytes(size: usize) -> Vec<u8> {
    let mut bytes = vec![0; size];
    blake3::Hasher::new_derive_key("a crate").finalize_xof().fill(&mut bytes);
    bytes
}

fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Two {
    /// Publishes a crate with a line that says of its file what `said` is, and has the other node know of it and trust it.
    async fn publishes(&self, file: &[u8], said: &str) -> PackageId {
        let draft: Draft = toml::from_str("name = \"big\"\nversion = \"1.0.0\"\necosystem = \"cargo\"").unwrap();
        let line = format!(
            "{{\"name\":\"big\",\"vers\":\"1.0.0\",\"deps\":[],\"features\":{{}},\"cksum\":\"{said}\",\"yanked\":false}}"
        );
        let contents = self.alice.node.contents();
        let native = put(contents.clone(), line.as_bytes()).await.files[0].content;
        let artifacts = Artifacts { native: Some(native), ..put(contents, file).await };
        let receipt = self.alice.node.registry().publish(draft, artifacts, None).await.unwrap();
        let names = self.bob.node.names();
        names.trust_for_names(receipt.package.owner, vec![NamePattern::all()]).await.unwrap();
        let known = async {
            while names.why(&name()).await.unwrap().owner().is_none() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, known).await.unwrap();
        receipt.package
    }

    /// The first so many requests as they are told on the bus, once each has been answered.
    async fn told(&self, count: usize) -> Vec<ClientRequest> {
        let mut batches = self.bob.node.subscribe();
        let mut told: BTreeMap<u64, ClientRequest> = BTreeMap::new();
        while told.values().filter(|one| !one.is_open()).count() < count {
            let batch = tokio::time::timeout(PATIENCE, batches.recv()).await.unwrap().unwrap();
            told.extend(batch.requests.into_iter().map(|request| (request.id, request)));
        }
        told.into_values().collect()
    }

    /// Asks for the file; the connection, behind the head of the answer, and that.
    async fn asks(&self) -> (TcpStream, String) {
        let url = self.gateway.url();
        let address = url.strip_prefix("http://").unwrap();
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!(
            "GET /cargo/api/v1/crates/big/1.0.0/download HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(tokio::time::timeout(PATIENCE, stream.read_u8()).await.unwrap().unwrap());
        }
        (stream, String::from_utf8(head).unwrap())
    }
}

fn name() -> PackageName {
    "cargo:big".parse().unwrap()
}

/// Reads to the end; what came, and how it ended.
async fn rest(stream: &mut TcpStream) -> (Vec<u8>, std::io::Result<usize>) {
    let mut body = Vec::new();
    let ended = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut body)).await.unwrap();
    (body, ended)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_sent_while_it_comes_and_comes_on_when_nobody_reads() {
    let two = two(Conduct::Paced(4 << 20), Duration::from_secs(10)).await;
    let file = bytes(8 * MIB);
    two.publishes(&file, &digest(&file)).await;
    let (mut stream, head) = two.asks().await;
    assert!(head.starts_with("HTTP/1.1 200") && head.contains(&format!("content-length: {}", file.len())), "{head}");
    let mut first = vec![0; 64 << 10];
    stream.read_exact(&mut first).await.unwrap();
    assert_eq!(first, file[..first.len()]);
    let contents = two.bob.node.contents();
    let root = blake3::hash(&file).into();
    assert!(contents.held(root).await.unwrap().is_none(), "the first bytes came before the last");
    drop(stream);
    let came = async {
        while contents.held(root).await.unwrap().is_none() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, came).await.expect("the fetch went on");
    let (mut stream, _) = two.asks().await;
    let (body, ended) = rest(&mut stream).await;
    assert!(ended.is_ok() && body == file);
    let told = two.told(2).await;
    let origins: Vec<_> = told.iter().map(|one| (one.origin.peers.clone(), one.origin.here)).collect();
    let alice = two.alice.node.peer_id();
    assert!(told[0].is_broken_off() && matches!(origins[0].0[..], [(peer, 1..)] if peer == alice), "{told:?}");
    assert_eq!(origins[1], (Vec::new(), file.len() as u64), "the second time it was here");
    assert_eq!((told[1].status, told[1].run, told[1].is_broken_off()), (200, told[0].id, false));
    assert_eq!(told[1].package, Some(name()));
    two.gateway.stop().await;
    two.bob.stop().await;
    two.alice.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_stops_coming_is_broken_off_by_a_reset() {
    let two = two(Conduct::Paced(1 << 20), Duration::from_secs(2)).await;
    let file = bytes(16 * MIB);
    two.publishes(&file, &digest(&file)).await;
    let (mut stream, head) = two.asks().await;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    let mut first = vec![0; 64 << 10];
    stream.read_exact(&mut first).await.unwrap();
    two.alice.stop().await;
    let (body, ended) = rest(&mut stream).await;
    assert_eq!(ended.unwrap_err().kind(), std::io::ErrorKind::ConnectionReset);
    assert!(first.len() + body.len() < file.len() && file[first.len()..].starts_with(&body));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_of_which_nothing_comes_is_not_found() {
    let two = two(Conduct::Stalling(200 << 10), Duration::from_secs(2)).await;
    let file = bytes(4 * MIB);
    two.publishes(&file, &digest(&file)).await;
    let (mut stream, head) = two.asks().await;
    let (said, ended) = rest(&mut stream).await;
    assert!(head.starts_with("HTTP/1.1 404") && ended.is_ok(), "{head}");
    let said = String::from_utf8(said).unwrap();
    assert!(said.contains("cargo:big 1.0.0") && said.contains("nobody gave the next bytes"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_not_what_was_signed_is_withheld_and_not_served_again() {
    for size in [3 * MIB, 1_000] {
        let two = two(Conduct::Honest, Duration::from_secs(10)).await;
        let file = bytes(size);
        let id = two.publishes(&file, &digest(b"another one")).await;
        let (mut stream, head) = two.asks().await;
        let (body, ended) = rest(&mut stream).await;
        if size < MIB {
            assert!(head.starts_with("HTTP/1.1 404") && ended.is_ok(), "{head}");
        } else {
            assert!(head.starts_with("HTTP/1.1 200"), "{head}");
            assert!(body.len() < size, "the last of it is kept back");
            assert_eq!(ended.unwrap_err().kind(), std::io::ErrorKind::ConnectionReset);
        }
        let (mut stream, head) = two.asks().await;
        let (body, _) = rest(&mut stream).await;
        let said = String::from_utf8(body).unwrap();
        assert!(head.starts_with("HTTP/1.1 404") && said.contains(&id.owner.to_string()), "{head} {said}");
        assert!(said.contains(&digest(&file)) && said.contains(&digest(b"another one")), "{said}");
        let blocks = two.bob.node.names().blocks(&name()).await.unwrap();
        assert_eq!(blocks.len(), 1);
        let peers = two.bob.node.peers().await.unwrap();
        let alice = peers.iter().find(|peer| peer.id == two.alice.node.peer_id()).unwrap();
        assert!(alice.connection.is_some(), "whoever gave the bytes is not to blame");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_is_asked_whether_it_is_the_nodes() {
    let two = two(Conduct::Honest, Duration::from_secs(10)).await;
    let (bob, alice) = (two.bob.node.peer_id(), two.alice.node.peer_id());
    let url = two.gateway.url();
    gateway::check(&url, &bob).await.unwrap();
    let said = gateway::check(&url, &alice).await.unwrap_err();
    assert!(said.contains("another node") && said.contains(&bob.to_string()), "{said}");

    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let stranger = format!("http://{}", listener.local_addr().unwrap());
    let answers = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut asked = [0; 1_024];
        let _ = stream.read(&mut asked).await.unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello").await.unwrap();
        stream
    };
    let (said, stream) = tokio::join!(gateway::check(&stranger, &bob), answers);
    assert!(said.unwrap_err().contains("is no gateway"));
    drop((stream, listener));
    assert!(gateway::check(&stranger, &bob).await.unwrap_err().contains("nothing answers"));
    two.gateway.stop().await;
    two.bob.stop().await;
    two.alice.stop().await;
}
