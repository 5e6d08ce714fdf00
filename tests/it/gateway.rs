//! The gateway over real nodes: files that are served while they are downloaded, that stall, or
//! that differ from the manifest; and cargo with misbehaving peers, and when it is killed.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use crate::lab::{BarePeer, DAY, Lab, PATIENCE, TCP, head, options, put, silent};
use libp2p::identity::Keypair;
use sha2::{Digest, Sha256};
use swarmdex::{
    clock,
    control::Local,
    domain::{
        hash::{ContentRoot, Digest as Hashed},
        manifest::{Content, Draft, File, Manifest},
        name::{PackageId, PackageName, PublisherId},
        names::NamePattern,
        record::{Announcement, Authorised},
        request::{ClientRequest, RequestPurpose},
        transfer::{Part, TransferId},
    },
    ecosystem::Ecosystem,
    gateway::{self, Gateway, Options},
    node::{Conduct, Node, Staging},
    registry::{Artifacts, Wanted},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

const MIB: usize = 1 << 20;

/// A publisher with a given behaviour, and a node with a gateway that trusts it.
struct Two {
    alice: Lab,
    bob: Lab,
    gateway: Gateway,
}

async fn behaving(conduct: Conduct, bootstrap: &[String]) -> Lab {
    let dir = tempfile::tempdir().unwrap();
    let mut options = options(dir.path(), TCP, bootstrap);
    options.staging = Staging::of(conduct);
    let node = Node::start(options).await.unwrap();
    assert!(
        bootstrap.is_empty() || node.wait_joined(PATIENCE).await,
        "found nobody"
    );
    Lab { node, dir }
}

async fn two(conduct: Conduct, wait: Duration) -> Two {
    let alice = behaving(conduct, &[]).await;
    let bob = Lab::start(TCP, &[alice.address().await]).await;
    let gateway = gateway_of(&bob, wait).await;
    Two {
        alice,
        bob,
        gateway,
    }
}

/// Opens a gateway of a node on a free port.
async fn gateway_of(lab: &Lab, wait: Duration) -> Gateway {
    let options = Options {
        address: SocketAddr::from(([127, 0, 0, 1], 0)),
        token: None,
        publish: true,
        wait,
        upload: 1 << 20,
        replicas: 0,
        url: None,
    };
    let node = Arc::new(Local::new(lab.node.handle(), None));
    Gateway::open(
        node,
        (lab.node.requests(), lab.node.prover()),
        lab.dir.path(),
        options,
    )
    .await
    .unwrap()
}

/// Returns pseudo-random bytes in place of a crate.
fn bytes(size: usize) -> Vec<u8> {
    let mut bytes = vec![0; size];
    blake3::Hasher::new_derive_key("a crate")
        .finalize_xof()
        .fill(&mut bytes);
    bytes
}

fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

impl Two {
    /// Publishes a crate with `said` as the index line of its file; makes the other node know and
    /// trust it.
    async fn publishes(&self, file: &[u8], said: &str) -> PackageId {
        let draft: Draft =
            toml::from_str("name = \"big\"\nversion = \"1.0.0\"\necosystem = \"cargo\"").unwrap();
        let line = format!(
            "{{\"name\":\"big\",\"vers\":\"1.0.0\",\"deps\":[],\"features\":{{}},\"cksum\":\"{said}\",\"yanked\":false}}"
        );
        let contents = self.alice.node.contents();
        let native = put(contents.clone(), line.as_bytes()).await.files[0].content;
        let artifacts = Artifacts {
            native: Some(native),
            ..put(contents, file).await
        };
        let receipt = self
            .alice
            .node
            .registry()
            .publish(draft, artifacts, None)
            .await
            .unwrap();
        self.trusts(&receipt.package).await;
        receipt.package
    }

    /// Makes the other node trust an owner, and waits until it knows the package.
    async fn trusts(&self, package: &PackageId) {
        let names = self.bob.node.names();
        names
            .trust_for_names(package.owner, vec![NamePattern::all()])
            .await
            .unwrap();
        let known = async {
            while names.why(&package.name).await.unwrap().owner().is_none() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, known).await.unwrap();
    }

    /// Returns the first `count` requests on the bus, once they have been answered.
    async fn told(&self, count: usize) -> Vec<ClientRequest> {
        let mut batches = self.bob.node.subscribe();
        let mut told: BTreeMap<u64, ClientRequest> = BTreeMap::new();
        while told.values().filter(|one| !one.is_open()).count() < count {
            let batch = tokio::time::timeout(PATIENCE, batches.recv())
                .await
                .unwrap()
                .unwrap();
            told.extend(
                batch
                    .requests
                    .into_iter()
                    .map(|request| (request.id, request)),
            );
        }
        told.into_values().collect()
    }

    /// Requests the file; returns the connection after the head of the answer, and the head.
    async fn asks(&self) -> (TcpStream, String) {
        asks(&self.gateway, "/cargo/api/v1/crates/big/1.0.0/download").await
    }
}

/// Requests a path; returns the connection after the head of the answer, and the head.
async fn asks(gateway: &Gateway, path: &str) -> (TcpStream, String) {
    let url = gateway.url();
    let address = url.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(
            tokio::time::timeout(PATIENCE, stream.read_u8())
                .await
                .unwrap()
                .unwrap(),
        );
    }
    (stream, String::from_utf8(head).unwrap())
}

/// Requests a path; returns head and body of the answer.
async fn answered(gateway: &Gateway, path: &str) -> (String, Vec<u8>) {
    let (mut stream, head) = asks(gateway, path).await;
    let (body, ended) = rest(&mut stream).await;
    ended.unwrap();
    (head, body)
}

fn name() -> PackageName {
    "cargo:big".parse().unwrap()
}

/// Reads to the end; returns the bytes and the last result.
async fn rest(stream: &mut TcpStream) -> (Vec<u8>, std::io::Result<usize>) {
    let mut body = Vec::new();
    let ended = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut body))
        .await
        .unwrap();
    (body, ended)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_sent_while_it_comes_and_comes_on_when_nobody_reads() {
    let two = two(Conduct::Paced(4 << 20), Duration::from_secs(10)).await;
    let file = bytes(8 * MIB);
    two.publishes(&file, &digest(&file)).await;
    let (mut stream, head) = two.asks().await;
    assert!(
        head.starts_with("HTTP/1.1 200")
            && head.contains(&format!("content-length: {}", file.len())),
        "{head}"
    );
    let mut first = vec![0; 64 << 10];
    stream.read_exact(&mut first).await.unwrap();
    assert_eq!(first, file[..first.len()]);
    let contents = two.bob.node.contents();
    let root = blake3::hash(&file).into();
    assert!(
        contents.held(root).await.unwrap().is_none(),
        "the first bytes came before the last"
    );
    drop(stream);
    let came = async {
        while contents.held(root).await.unwrap().is_none() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, came)
        .await
        .expect("the fetch went on");
    let (mut stream, _) = two.asks().await;
    let (body, ended) = rest(&mut stream).await;
    assert!(ended.is_ok() && body == file);
    let told = two.told(2).await;
    let origins: Vec<_> = told
        .iter()
        .map(|one| (one.origin.peers.clone(), one.origin.here))
        .collect();
    let alice = two.alice.node.peer_id();
    assert!(
        told[0].is_broken_off() && matches!(origins[0].0[..], [(peer, 1..)] if peer == alice),
        "{told:?}"
    );
    assert_eq!(
        origins[1],
        (Vec::new(), file.len() as u64),
        "the second time it was here"
    );
    assert_eq!(
        (told[1].status, told[1].run, told[1].is_broken_off()),
        (200, told[0].id, false)
    );
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
    assert_eq!(
        ended.unwrap_err().kind(),
        std::io::ErrorKind::ConnectionReset
    );
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
    assert!(
        said.contains("cargo:big 1.0.0") && said.contains("nobody gave the next bytes"),
        "{said}"
    );
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
            assert_eq!(
                ended.unwrap_err().kind(),
                std::io::ErrorKind::ConnectionReset
            );
        }
        let (mut stream, head) = two.asks().await;
        let (body, _) = rest(&mut stream).await;
        let said = String::from_utf8(body).unwrap();
        assert!(
            head.starts_with("HTTP/1.1 404") && said.contains(&id.owner.to_string()),
            "{head} {said}"
        );
        assert!(
            said.contains(&digest(&file)) && said.contains(&digest(b"another one")),
            "{said}"
        );
        let blocks = two.bob.node.names().blocks(&name()).await.unwrap();
        assert_eq!(blocks.len(), 1);
        let peers = two.bob.node.peers().await.unwrap();
        let alice = peers
            .iter()
            .find(|peer| peer.id == two.alice.node.peer_id())
            .unwrap();
        assert!(
            alice.connection.is_some(),
            "whoever gave the bytes is not to blame"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_is_asked_whether_it_is_the_nodes() {
    let two = two(Conduct::Honest, Duration::from_secs(10)).await;
    let (bob, alice) = (two.bob.node.peer_id(), two.alice.node.peer_id());
    let url = two.gateway.url();
    gateway::check(&url, &bob).await.unwrap();
    let said = gateway::check(&url, &alice).await.unwrap_err();
    assert!(
        said.contains("another node") && said.contains(&bob.to_string()),
        "{said}"
    );

    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let stranger = format!("http://{}", listener.local_addr().unwrap());
    let answers = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut asked = [0; 1_024];
        let _ = stream.read(&mut asked).await.unwrap();
        stream
            .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")
            .await
            .unwrap();
        stream
    };
    let (said, stream) = tokio::join!(gateway::check(&stranger, &bob), answers);
    assert!(said.unwrap_err().contains("is no gateway"));
    drop((stream, listener));
    assert!(
        gateway::check(&stranger, &bob)
            .await
            .unwrap_err()
            .contains("nothing answers")
    );
    two.gateway.stop().await;
    two.bob.stop().await;
    two.alice.stop().await;
}

/// Returns a Python release of two files signed by a stranger, one of them with a wrong digest.
fn mistaken(key: &Keypair, files: &[(&str, Vec<u8>)]) -> Authorised<Manifest> {
    let draft: Draft =
        toml::from_str("name = \"tiny\"\nversion = \"1.0\"\necosystem = \"pypi\"").unwrap();
    let mut signed: Vec<File> = files
        .iter()
        .map(|(name, bytes)| File::of(&Ecosystem::Pypi, *name, bytes))
        .collect();
    signed[0].sha256 = Hashed(Sha256::digest(b"another one").into());
    let artifacts = Artifacts {
        files: signed,
        readme: None,
        native: None,
    };
    let manifest = draft
        .into_manifest(PublisherId::of(&key.public()), artifacts, clock::now())
        .unwrap();
    Authorised::sign(key, manifest).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_not_what_was_signed_leaves_the_others_of_its_version() {
    let two = two(Conduct::Honest, Duration::from_secs(10)).await;
    let files = [
        ("tiny-1.0-py3-none-any.whl", bytes(1_000)),
        ("tiny-1.0.tar.gz", bytes(2_000)),
    ];
    for (_, bytes) in &files {
        put(two.alice.node.contents(), bytes).await;
    }
    let (key, now) = (Keypair::generate_ed25519(), clock::now());
    let manifest = mistaken(&key, &files);
    let said: Vec<String> = manifest
        .files
        .iter()
        .map(|file| file.sha256.to_string())
        .collect();
    let package = crate::lab::id_of(&key, "pypi:tiny");
    let announcement =
        Announcement::sign(&key, now, head(&key, 1, &[&manifest], now, DAY), manifest).unwrap();
    let stranger = BarePeer::start(silent()).await;
    stranger
        .dial(two.bob.address().await.parse().unwrap())
        .await;
    let shouts = async {
        loop {
            stranger.shouted(&announcement.encode().unwrap()).await;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::select! {
        () = two.trusts(&package) => {}
        () = shouts => {}
    }
    let path = |at: usize| format!("/pypi/files/{}/{}", said[at], files[at].0);
    let listed = async || {
        let (_, page) = answered(&two.gateway, "/pypi/simple/tiny/").await;
        let page = String::from_utf8(page).unwrap();
        files
            .each_ref()
            .map(|(name, _)| page.contains(&format!(">{name}<")))
    };
    assert_eq!(listed().await, [true, true]);
    let why = async |path: &str| {
        let (head, body) = answered(&two.gateway, path).await;
        assert!(head.starts_with("HTTP/1.1 404"), "{head}");
        String::from_utf8(body).unwrap()
    };
    let refused = why(&path(0)).await;
    for part in [
        &package.owner.to_string(),
        files[0].0,
        &said[0],
        &digest(&files[0].1),
    ] {
        assert!(refused.contains(part), "{part}: {refused}");
    }
    // From then on it is blocked, and the page omits it.
    assert_eq!(listed().await, [false, true]);
    for path in [path(0), format!("{}.metadata", path(0))] {
        let refused = why(&path).await;
        assert!(
            refused.contains("is blocked on this node"),
            "{path}: {refused}"
        );
    }
    let (head, body) = answered(&two.gateway, &path(1)).await;
    assert!(
        head.starts_with("HTTP/1.1 200") && body == files[1].1,
        "{head}"
    );
    let names = two.bob.node.names();
    let blocks = names.blocks(&package.name).await.unwrap();
    assert_eq!(
        blocks
            .iter()
            .map(|block| block.file.as_deref())
            .collect::<Vec<_>>(),
        [Some(files[0].0)]
    );
    assert!(
        names
            .unblock(package.name, Some("1.0".parse().unwrap()))
            .await
            .unwrap()
    );
    assert_eq!(
        listed().await,
        [true, true],
        "a person takes it back with the version"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_can_know_yet_is_too_early() {
    const UNKNOWN: [&str; 5] = [
        "/cargo/un/kn/unknown",
        "/cargo/api/v1/crates/unknown/1.0.0/download",
        "/npm/unknown",
        "/npm/unknown/-/unknown-1.0.0.tgz",
        "/pypi/simple/unknown/",
    ];
    let before = two(Conduct::Honest, Duration::from_secs(10)).await;
    let file = bytes(1_000);
    before.publishes(&file, &digest(&file)).await;
    let known = "/cargo/3/b/big";
    let (_, index) = answered(&before.gateway, known).await;
    for path in UNKNOWN {
        assert!(
            answered(&before.gateway, path)
                .await
                .0
                .starts_with("HTTP/1.1 404"),
            "{path}: somebody is there"
        );
    }
    before.gateway.stop().await;
    let (alice, bob) = (before.alice.stop().await, before.bob.stop().await);

    let bob = Lab::start_in(bob, TCP, &[]).await;
    let gateway = gateway_of(&bob, Duration::from_secs(10)).await;
    for path in UNKNOWN {
        let (head, said) = answered(&gateway, path).await;
        let said = String::from_utf8(said).unwrap();
        assert!(
            head.starts_with("HTTP/1.1 503") && head.contains("\r\nretry-after: 2\r\n"),
            "{path}: {head}"
        );
        assert!(said.contains("has just started"), "{path}: {said}");
    }
    assert_eq!(
        answered(&gateway, known).await.1,
        index,
        "what is known is served"
    );
    let _alice = Lab::start_in(alice, TCP, &[bob.address().await]).await;
    assert!(bob.node.wait_joined(PATIENCE).await);
    for path in UNKNOWN {
        assert!(
            answered(&gateway, path).await.0.starts_with("HTTP/1.1 404"),
            "{path}: somebody is there again"
        );
    }
}

/// Returns a crate with incompressible data of this size.
fn packed(size: usize) -> Vec<u8> {
    let mut archive = tar::Builder::new(flate2::write::GzEncoder::new(
        Vec::new(),
        flate2::Compression::none(),
    ));
    let manifest = b"[package]\nname = \"big\"\nversion = \"1.0.0\"\nedition = \"2024\"\n";
    for (path, bytes) in [
        ("Cargo.toml", &manifest[..]),
        ("src/lib.rs", b""),
        ("blob", &bytes(size)),
    ] {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        archive
            .append_data(&mut header, format!("big-1.0.0/{path}"), bytes)
            .unwrap();
    }
    archive.into_inner().unwrap().finish().unwrap()
}

/// A cargo with its own home and a project that needs the crate.
struct Customer {
    dir: tempfile::TempDir,
    index: String,
}

impl Customer {
    fn of(gateway: &Gateway) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let manifest = "[package]\nname = \"app\"\nversion = \"0.1.0\"\nedition \
                        = \"2024\"\n[workspace]\n\
                        [dependencies]\nbig = { version = \"1\", registry = \"swarm\" }\n";
        std::fs::write(dir.path().join("Cargo.toml"), manifest).unwrap();
        std::fs::create_dir(dir.path().join("src")).unwrap();
        std::fs::write(dir.path().join("src/lib.rs"), "").unwrap();
        Self {
            dir,
            index: format!("sparse+{}/cargo/", gateway.url()),
        }
    }

    fn fetches(&self) -> Child {
        let mut cargo = Command::new(std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned()));
        let kept = ["PATH", "HOME", "RUSTUP_HOME", "RUSTUP_TOOLCHAIN"];
        cargo
            .env_clear()
            .envs(std::env::vars_os().filter(|(name, _)| kept.iter().any(|kept| name == kept)));
        cargo
            .arg("fetch")
            .current_dir(self.dir.path())
            .env("CARGO_HOME", self.dir.path().join("home"));
        // Tests must not connect to anything else.
        cargo
            .env("CARGO_REGISTRIES_SWARM_INDEX", &self.index)
            .env("https_proxy", "http://127.0.0.1:1");
        cargo
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    }

    /// Waits for the successful end of a run; returns cargo's copy of the crate.
    async fn has(&self, running: Child) -> Vec<u8> {
        let ended = tokio::task::spawn_blocking(move || running.wait_with_output());
        let output = tokio::time::timeout(PATIENCE, ended)
            .await
            .unwrap()
            .unwrap()
            .unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        self.cached().unwrap()
    }

    /// Returns the crate in cargo's cache, if it is there.
    fn cached(&self) -> Option<Vec<u8>> {
        let mut caches = std::fs::read_dir(self.dir.path().join("home/registry/cache")).ok()?;
        std::fs::read(caches.next()?.ok()?.path().join("big-1.0.0.crate")).ok()
    }

    fn lock(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("Cargo.lock")).unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_three_holders_the_one_that_serves_wrong_bytes_pays_and_cargo_has_the_right_ones() {
    // Slow down the honest peers, so that the other one is asked too.
    let paced = Conduct::Paced(4 << 20);
    let two = two(paced, Duration::from_secs(10)).await;
    let file = packed(8 * MIB);
    two.publishes(&file, &digest(&file)).await;
    let content = Content {
        root: ContentRoot::of(&file),
        size: file.len() as u64,
    };
    let join = [two.alice.address().await, two.bob.address().await];
    let (carol, liar) = (
        behaving(paced, &join).await,
        behaving(Conduct::Corrupt, &join).await,
    );
    for holder in [&carol, &liar] {
        let wanted = Wanted {
            content,
            what: "a crate".to_owned(),
            package: None,
            beside: None,
            for_others: false,
        };
        tokio::time::timeout(PATIENCE, holder.node.contents().fetch(wanted, None))
            .await
            .unwrap()
            .unwrap();
    }
    let customer = Customer::of(&two.gateway);
    assert!(
        customer.has(customer.fetches()).await == file,
        "cargo has the crate as it was published"
    );
    let transfers = two.bob.node.contents().transfers().await.unwrap();
    let fetch = transfers
        .iter()
        .find(|one| one.id == TransferId::Fetch { root: content.root })
        .unwrap();
    let part = |lab: &Lab| {
        fetch
            .peers
            .iter()
            .find(|one| one.peer == lab.node.peer_id())
            .unwrap()
    };
    assert_eq!(
        (part(&liar).part, part(&liar).refused),
        (Part::Lied, 1),
        "{fetch:?}"
    );
    let given = part(&two.alice).bytes + part(&carol).bytes;
    assert!(
        given + part(&liar).bytes >= content.size && given > content.size / 2,
        "{fetch:?}"
    );
    let peers = two.bob.node.peers().await.unwrap();
    let invalid = |lab: &Lab| {
        let peer = peers
            .iter()
            .find(|peer| peer.id == lab.node.peer_id())
            .unwrap();
        peer.evidence
            .iter()
            .filter(|one| one.outcome.label().contains("does not verify"))
            .count()
    };
    assert!(invalid(&liar) > 0, "whoever lied pays");
    assert_eq!(
        (invalid(&two.alice), invalid(&carol)),
        (0, 0),
        "and nobody else does"
    );
    assert_eq!(
        two.bob.node.names().blocks(&name()).await.unwrap(),
        [],
        "and the signer is not to blame"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_is_killed_in_the_middle_runs_again_and_two_at_once_cost_one_transfer() {
    let two = two(Conduct::Paced(4 << 20), Duration::from_secs(10)).await;
    let file = packed(16 * MIB);
    two.publishes(&file, &digest(&file)).await;
    let mut batches = two.bob.node.subscribe();
    let (first, second) = (Customer::of(&two.gateway), Customer::of(&two.gateway));
    let (mut killed, goes_on) = (first.fetches(), second.fetches());
    let mut sending = std::collections::BTreeSet::new();
    while sending.len() < 2 {
        let batch = tokio::time::timeout(PATIENCE, batches.recv())
            .await
            .unwrap()
            .unwrap();
        let files = batch
            .requests
            .into_iter()
            .filter(|one| one.purpose == RequestPurpose::File);
        sending.extend(
            files
                .inspect(|one| assert!(one.is_open(), "{one:?}"))
                .map(|one| one.id),
        );
    }
    killed.kill().unwrap();
    assert!(!killed.wait().unwrap().success());
    assert!(
        first.cached().is_none(),
        "it was killed before it had the crate"
    );
    assert!(second.has(goes_on).await == file);
    assert!(first.has(first.fetches()).await == file);
    assert_eq!(first.lock(), second.lock());
    let transfers = two.bob.node.contents().transfers().await.unwrap();
    let came: u64 = transfers
        .iter()
        .filter(|one| {
            one.id
                == TransferId::Fetch {
                    root: ContentRoot::of(&file),
                }
        })
        .flat_map(|one| &one.peers)
        .map(|peer| peer.bytes)
        .sum();
    assert_eq!(came, file.len() as u64, "the publisher sent it once");
}
