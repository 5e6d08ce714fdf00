//! Looking ahead over real nodes: what a crate needs is here before it is asked for, whoever of
//! those
//! who have it lies or stalls, and nothing else is.

use std::{collections::BTreeMap, time::Duration};

use crate::{
    gateway_many::{gets, opens},
    lab::{Lab, PATIENCE, TCP, options, put},
};
use swarmdex::{
    domain::{
        hash::{ContentRoot, Digester},
        manifest::Draft,
        name::PublisherId,
    },
    gateway::Gateway,
    node::{Conduct, Node, Staging},
    registry::{Artifacts, Contents},
};

/// Crates that the first one needs beside the chain.
const WIDE: usize = 24;
/// The crates of a chain, each of which needs the next: beyond the fifth nobody looks.
const CHAIN: usize = 7;

/// A name that a crate needs, and what is said of it.
type Need = (String, &'static str);

/// The crates of the test by their names: `c0` needs the wide ones, the chain, one that it may do
/// without, one for its tests and one that nobody who is trusted has.
fn crates() -> BTreeMap<String, Vec<Need>> {
    let mut crates: BTreeMap<String, Vec<Need>> = BTreeMap::new();
    let must = |name: String| (name, "");
    for at in 0..CHAIN {
        let next = (at + 1 < CHAIN).then(|| must(format!("c{}", at + 1)));
        crates.insert(format!("c{at}"), next.into_iter().collect());
    }
    let first = crates.get_mut("c0").unwrap();
    first.extend((0..WIDE).map(|at| must(format!("wide{at}"))));
    first.push(("may".to_owned(), "optional = true"));
    first.push(("tests".to_owned(), "kind = \"dev\""));
    first.push(must("foreign".to_owned()));
    for at in 0..WIDE {
        crates.insert(format!("wide{at}"), Vec::new());
    }
    crates.insert("may".to_owned(), Vec::new());
    crates.insert("tests".to_owned(), Vec::new());
    crates
}

/// Publishes a crate; returns where its file is.
async fn publishes(node: &Node, name: &str, needs: &[Need]) -> ContentRoot {
    let mut text = format!("name = \"{name}\"\nversion = \"1.0.0\"\necosystem = \"cargo\"\n");
    for (need, said) in needs {
        text += &format!("[[dependencies]]\nname = \"{need}\"\nrequirement = \"^1\"\n{said}\n");
    }
    let draft: Draft = toml::from_str(&text).unwrap();
    let bytes = name.repeat(20_000 / name.len());
    let mut digester = Digester::default();
    digester.update(bytes.as_bytes());
    let line = format!(
        "{{\"name\":\"{name}\",\"vers\":\"1.0.0\",\"deps\":[],\"features\":{{}},\"cksum\":\"{}\",\"yanked\":false}}",
        digester.finish().sha256
    );
    let native = put(node.contents(), line.as_bytes()).await.files[0].content;
    let artifacts = Artifacts {
        native: Some(native),
        ..put(node.contents(), bytes.as_bytes()).await
    };
    let root = artifacts.files[0].content.root;
    node.registry()
        .publish(draft, artifacts, None)
        .await
        .unwrap();
    root
}

async fn starts(conduct: Conduct, bootstrap: &[String]) -> Lab {
    let dir = tempfile::tempdir().unwrap();
    let mut options = options(dir.path(), TCP, bootstrap);
    options.staging = Staging::of(conduct);
    options.content.idle = Duration::from_secs(1);
    let node = Node::start(options).await.unwrap();
    assert!(node.wait_joined(PATIENCE).await);
    Lab { node, dir }
}

async fn owner_of(node: &Node) -> PublisherId {
    node.registry().own().await.unwrap().publisher.unwrap()
}

/// Waits until a node knows all of these crates.
async fn knows<'a>(node: &Node, names: impl Iterator<Item = &'a String>) {
    for name in names {
        let name = format!("cargo:{name}").parse().unwrap();
        let known = async {
            while node.names().known(&name).await.unwrap().owner().is_none() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, known).await.unwrap();
    }
}

/// Heads that a node has looked for in the DHT.
async fn heads_looked_for(node: &Node) -> usize {
    let lookups = node.lookups().await.unwrap();
    let is_head = |what: &String| what.starts_with("head of");
    lookups
        .iter()
        .filter(|one| one.what.as_ref().is_some_and(is_head))
        .count()
}

async fn is_here(contents: &dyn Contents, root: ContentRoot) -> bool {
    contents.held(root).await.unwrap().is_some()
}

/// A swarm in which three nodes have the crates of a publisher that is gone, and one more asks.
struct Swarm {
    roots: BTreeMap<String, ContentRoot>,
    holders: Vec<Lab>,
    bob: Lab,
    gateway: Gateway,
}

async fn swarm(bad: Conduct) -> Swarm {
    let alice = Lab::start(TCP, &[]).await;
    let mut roots = BTreeMap::new();
    for (name, needs) in crates() {
        let root = publishes(&alice.node, &name, &needs).await;
        roots.insert(name, root);
    }
    let owner = owner_of(&alice.node).await;
    let (mut holders, mut doors) = (Vec::new(), vec![alice.address().await]);
    // As many as confirm a state, so that the DHT need not be asked.
    for conduct in [Conduct::Honest, Conduct::Honest, bad] {
        let holder = starts(conduct, &doors).await;
        let gateway = opens(&holder, owner).await;
        knows(&holder.node, roots.keys()).await;
        for name in roots.keys() {
            let path = format!("/cargo/api/v1/crates/{name}/1.0.0/download");
            gets(&gateway, &path).await;
        }
        gateway.stop().await;
        doors.push(holder.address().await);
        holders.push(holder);
    }
    let foreign = &holders[0].node;
    roots.insert(
        "foreign".to_owned(),
        publishes(foreign, "foreign", &[]).await,
    );
    alice.stop().await;
    let bob = starts(Conduct::Honest, &doors[1..]).await;
    let gateway = opens(&bob, owner).await;
    knows(&bob.node, roots.keys().filter(|name| *name != "foreign")).await;
    Swarm {
        roots,
        holders,
        bob,
        gateway,
    }
}

impl Swarm {
    async fn stop(self) {
        self.gateway.stop().await;
        self.bob.stop().await;
        for holder in self.holders {
            holder.stop().await;
        }
    }
}

/// The index of one crate is asked for, and all that it must have comes.
async fn comes(bad: Conduct) -> Swarm {
    let swarm = swarm(bad).await;
    let contents = swarm.bob.node.contents();
    let before = heads_looked_for(&swarm.bob.node).await;
    gets(&swarm.gateway, "/cargo/2/c0").await;
    let is_needed = |name: &str| {
        let number = |of: &str| {
            name.strip_prefix(of)
                .and_then(|at| at.parse::<usize>().ok())
        };
        number("wide").is_some() || number("c").is_some_and(|at| at < 5)
    };
    for (name, root) in swarm.roots.iter().filter(|(name, _)| is_needed(name)) {
        let came = async {
            while !is_here(&*contents, *root).await {
                tokio::task::yield_now().await;
            }
        };
        let came = tokio::time::timeout(PATIENCE, came).await;
        assert!(came.is_ok(), "{name} does not come");
    }
    for (name, root) in swarm.roots.iter().filter(|(name, _)| !is_needed(name)) {
        assert!(!is_here(&*contents, *root).await, "nobody needs {name}");
    }
    let asked = heads_looked_for(&swarm.bob.node).await - before;
    assert!(
        asked < WIDE / 2,
        "{asked} heads of {} crates were looked for",
        WIDE + CHAIN
    );
    swarm
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_crate_needs_comes_before_it_is_asked_for_and_nothing_else() {
    let swarm = comes(Conduct::Honest).await;
    // Nobody is first to be served by being looked at.
    let table = swarm.bob.node.names().table().await.unwrap();
    let served: Vec<String> = table
        .served
        .iter()
        .map(|one| one.name.to_string())
        .collect();
    assert_eq!(served, ["cargo:c0"]);
    swarm.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_comes_beside_a_peer_that_lies_which_pays_for_it() {
    let swarm = comes(Conduct::Corrupt).await;
    let text = swarm.bob.node.metrics().await.unwrap();
    let refused = text
        .lines()
        .filter(|line| line.contains("refusals") && line.contains("content"))
        .any(|line| !line.ends_with(" 0"));
    assert!(refused, "the liar was not found out: {text}");
    swarm.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_comes_beside_a_peer_that_stalls() {
    comes(Conduct::Stalling(100)).await.stop().await;
}
