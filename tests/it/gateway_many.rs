//! Packages with many versions over real nodes: the requests of a node that has only their heads.

use std::{sync::Arc, time::Duration};

use crate::lab::{Lab, PATIENCE, TCP, options, put};
use swarmdex::{
    control::Local,
    domain::{manifest::Draft, name::PublisherId, names::NamePattern},
    gateway::{Gateway, Options},
    node::{Conduct, Node, Staging},
    registry::Artifacts,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// More than one request asks for, and more than one head lists.
const VERSIONS: usize = 150;

/// Returns the metadata of a version for each ecosystem's clients.
fn native(ecosystem: &str, version: &str) -> String {
    match ecosystem {
        "npm" => format!("{{\"name\":\"many\",\"version\":\"{version}\"}}"),
        "cargo" => format!(
            "{{\"name\":\"many\",\"vers\":\"{version}\",\"deps\":[],\"features\":{{}},\"cksum\":\"{}\",\"yanked\":false}}",
            "ab".repeat(32)
        ),
        _ => format!(
            "Metadata-Version: 2.1\nName: many\nVersion: {version}\nRequires-Python: >=3.8\n\n"
        ),
    }
}

/// Publishes the versions of a package on a node.
async fn publishes(node: &Node, ecosystem: &str) {
    for number in 0..VERSIONS {
        let version = format!("1.{number}.0");
        let text = format!("name = \"many\"\nversion = \"{version}\"\necosystem = \"{ecosystem}\"");
        let draft: Draft = toml::from_str(&text).unwrap();
        let contents = node.contents();
        let native = put(contents.clone(), native(ecosystem, &version).as_bytes())
            .await
            .files[0]
            .content;
        let mut artifacts = put(contents, format!("{ecosystem} {version}").as_bytes()).await;
        let artifacts = match ecosystem {
            "pypi" => {
                artifacts.files[0].name = Some(format!("many-{version}-py3-none-any.whl"));
                artifacts.files[0].native = Some(native);
                artifacts
            }
            _ => Artifacts {
                native: Some(native),
                ..artifacts
            },
        };
        node.registry()
            .publish(draft, artifacts, None)
            .await
            .unwrap();
    }
}

/// Opens the gateway of a node that trusts a publisher.
pub async fn opens(lab: &Lab, owner: PublisherId) -> Gateway {
    let options = Options {
        wait: PATIENCE,
        ..Options::on_any_port()
    };
    let node = Arc::new(Local::new(lab.node.handle(), None));
    let told = (lab.node.requests(), lab.node.prover());
    let gateway = Gateway::open(node, told, lab.dir.path(), options)
        .await
        .unwrap();
    let names = lab.node.names();
    names
        .trust_for_names(owner, vec![NamePattern::all()])
        .await
        .unwrap();
    gateway
}

/// The body of an answer.
pub async fn gets(gateway: &Gateway, path: &str) -> String {
    let url = gateway.url();
    let address = url.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    tokio::time::timeout(PATIENCE, stream.read_to_string(&mut answer))
        .await
        .unwrap()
        .unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{path}: {answer}");
    answer
}

/// How many lookups in the DHT a node has made.
async fn lookups(node: &Node) -> f64 {
    let text = node.metrics().await.unwrap();
    let counts = text
        .lines()
        .filter(|line| line.starts_with("swarmdex_lookup_duration_seconds_count"));
    let counts: Vec<f64> = counts
        .map(|line| line.rsplit(' ').next().unwrap().parse().unwrap())
        .collect();
    assert!(!counts.is_empty(), "{text}");
    counts.iter().sum()
}

/// A node asks others, one of them bad, for the data of every version of a package, and serves all
/// versions.
async fn serves_all(ecosystem: &str, path: &str, bad: Conduct) {
    let alice = Lab::start(TCP, &[]).await;
    publishes(&alice.node, ecosystem).await;
    let dir = tempfile::tempdir().unwrap();
    let address = alice.address().await;
    let bad_options = {
        let mut options = options(dir.path(), TCP, std::slice::from_ref(&address));
        options.staging = Staging::of(bad);
        options
    };
    let bad = Lab {
        node: Node::start(bad_options).await.unwrap(),
        dir,
    };
    assert!(bad.node.wait_joined(PATIENCE).await);
    let bob = Lab::start(TCP, &[address, bad.address().await]).await;
    let owner = alice
        .node
        .registry()
        .own()
        .await
        .unwrap()
        .publisher
        .unwrap();
    let gateway = opens(&bob, owner).await;
    let name = format!("{ecosystem}:many").parse().unwrap();
    let known = async {
        while bob.node.names().why(&name).await.unwrap().owner().is_none() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, known).await.unwrap();

    let before = lookups(&bob.node).await;
    let page = gets(&gateway, path).await;
    for number in 0..VERSIONS {
        let version = format!("1.{number}.0");
        assert!(
            page.contains(&format!("\"{version}\"")) || page.contains(&format!("many-{version}-")),
            "{version}"
        );
    }
    // Only the head, its pages and the newest manifest are looked up one by one.
    let asked = lookups(&bob.node).await - before;
    assert!(
        asked < VERSIONS as f64 / 5.0,
        "{asked} lookups for {VERSIONS} versions"
    );
    let fetched = bob.node.contents().transfers().await.unwrap();
    // Of a crate's newest version, the gateway fetches the line and the file that cargo is likely
    // to request next. Nothing else is fetched alone.
    let newest = format!(" 1.{}.0", VERSIONS - 1);
    let is_ahead = |what: &str| ecosystem == "cargo" && what.ends_with(&newest);
    assert!(
        fetched.len() <= 2 && fetched.iter().all(|one| is_ahead(&one.what)),
        "fetched alone: {fetched:?}"
    );
    gateway.stop().await;
    bob.stop().await;
    bad.stop().await;
    alice.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_of_npms_costs_few_questions_beside_a_peer_that_lies() {
    serves_all("npm", "/npm/many", Conduct::Lying).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_of_cargos_costs_few_questions_beside_a_peer_that_is_silent() {
    serves_all("cargo", "/cargo/ma/ny/many", Conduct::Silent).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_pythons_costs_few_questions_beside_a_peer_that_stalls() {
    serves_all(
        "pypi",
        "/pypi/simple/many/",
        Conduct::Late {
            rate: 1_000,
            by: Duration::from_secs(4),
        },
    )
    .await;
}
