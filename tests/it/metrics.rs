//! Prometheus metrics of a node, and the dashboard that uses them.

use std::collections::BTreeSet;

use crate::lab::{Lab, PATIENCE, TCP, draft, put, reference, wait_for};
use libp2p::PeerId;
use serde_json::Value;
use swarmdex::{
    domain::{name::PackageRef, query::Query},
    node::Node,
};

/// Returns the names of our and libp2p's samples in a text.
fn names(text: &str) -> BTreeSet<&str> {
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    words
        .filter(|word| {
            ["swarmdex_", "libp2p_"]
                .iter()
                .any(|prefix| word.starts_with(prefix))
        })
        .collect()
}

/// Sums the samples of a metric that have all of `labels`.
fn value(scrape: &str, name: &str, labels: &[&str]) -> f64 {
    let samples = scrape.lines().filter(|line| {
        let rest = line.strip_prefix(name).unwrap_or_default();
        rest.starts_with(['{', ' ']) && labels.iter().all(|label| rest.contains(label))
    });
    let values: Vec<f64> = samples
        .map(|line| line.rsplit(' ').next().unwrap().parse().unwrap())
        .collect();
    assert!(
        !values.is_empty(),
        "there is no {name} with {labels:?} in\n{scrape}"
    );
    values.into_iter().sum()
}

/// Returns the expressions of all panels.
fn expressions(dashboard: &Value) -> Vec<&str> {
    let panels = dashboard["panels"].as_array().unwrap().iter();
    let targets = panels
        .filter(|panel| panel["type"] != "row")
        .flat_map(|panel| panel["targets"].as_array().unwrap());
    targets
        .map(|target| target["expr"].as_str().unwrap())
        .collect()
}

async fn scrape(node: &Node) -> String {
    let scrape = node.metrics().await.unwrap();
    assert!(
        scrape.ends_with("# EOF\n") && scrape.matches("# EOF").count() == 1,
        "one exposition, whole"
    );
    let families: Vec<&str> = scrape
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE "))
        .collect();
    assert_eq!(
        families.iter().collect::<BTreeSet<_>>().len(),
        families.len(),
        "each family once: {families:?}"
    );
    scrape
}

#[tokio::test(flavor = "multi_thread")]
async fn what_happened_is_counted_and_the_dashboard_asks_for_what_there_is() {
    let a = Lab::start(TCP, &[]).await;
    let b = Lab::start(TCP, &[a.address().await]).await;
    // One address is closed, and that is counted too.
    let shut = format!("/ip4/127.0.0.1/tcp/1/p2p/{}", PeerId::random());
    let mut seen = b.node.subscribe();
    let c = Lab::start(TCP, &[a.address().await, shut]).await;
    let mut watched = c.node.subscribe();
    let before = scrape(&c.node).await;
    for (name, labels) in [
        ("swarmdex_searches_total", &["source=\"local\""][..]),
        ("swarmdex_gets_total", &["provenance=\"memory\""]),
        (
            "swarmdex_lookup_duration_seconds_count",
            &["outcome=\"found\""],
        ),
        ("swarmdex_gossip_delay_seconds_count", &[]),
        (
            "swarmdex_refusals_total",
            &["reason=\"bad-signature\"", "class=\"reject\""],
        ),
        ("swarmdex_faults_total", &["reason=\"answer-wrong\""]),
        ("swarmdex_bus_dropped_events_total", &[]),
        ("swarmdex_catalogue_packages", &[]),
    ] {
        assert_eq!(
            value(&before, name, labels),
            0.0,
            "{name} is told before anything has happened"
        );
    }
    wait_for(&mut watched, "the shut door", |batch| {
        batch
            .health
            .as_ref()
            .is_some_and(|sample| sample.dials_failed > 0)
    })
    .await;

    let receipt = a
        .node
        .registry()
        .publish(
            draft("web", "1.0.0"),
            put(a.node.contents(), b"bytes").await,
            None,
        )
        .await
        .unwrap();
    assert!(a.node.wait_published(PATIENCE).await);
    wait_for(&mut seen, "the package in b's catalogue", |batch| {
        batch.node.as_ref().is_some_and(|node| node.packages == 1)
    })
    .await;
    wait_for(&mut watched, "the package in c's catalogue", |batch| {
        batch.node.as_ref().is_some_and(|node| node.packages == 1)
    })
    .await;
    let registry = c.node.registry();
    let package = reference(&receipt.package);
    let absent: PackageRef = format!("{}/nothing", receipt.package.owner)
        .parse()
        .unwrap();
    registry.get_package(&package).await.unwrap();
    registry.get_package(&package).await.unwrap();
    registry.get_package(&absent).await.unwrap_err();
    assert_eq!(
        registry
            .search(&Query::text("web"))
            .await
            .unwrap()
            .hits
            .len(),
        1
    );
    assert!(
        registry
            .search(&Query::text("nothing"))
            .await
            .unwrap()
            .hits
            .is_empty()
    );
    // This node does not copy the catalogue before a query.
    let newcomer = Lab::partial(TCP, &[a.address().await]).await;
    newcomer
        .node
        .registry()
        .search(&Query::text("web"))
        .await
        .unwrap();
    newcomer
        .node
        .registry()
        .get_package(&package)
        .await
        .unwrap();

    let after = scrape(&c.node).await;
    let of = |name: &str, labels: &[&str]| value(&after, name, labels);
    let others =
        ["dht", "peer"].map(|from| of("swarmdex_gets_total", &[&format!("provenance=\"{from}\"")]));
    assert_eq!(
        others.iter().sum::<f64>(),
        1.0,
        "gossip brought it, and others confirmed it"
    );
    assert_eq!(of("swarmdex_gets_total", &["provenance=\"memory\""]), 1.0);
    assert_eq!(of("swarmdex_gets_total", &["provenance=\"missing\""]), 1.0);
    assert_eq!(of("swarmdex_gets_total", &[]), 3.0);
    assert_eq!(of("swarmdex_searches_total", &["source=\"local\""]), 1.0);
    assert_eq!(of("swarmdex_searches_total", &["source=\"none\""]), 1.0);
    assert_eq!(of("swarmdex_searches_total", &[]), 2.0);
    assert_eq!(of("swarmdex_search_hits_total", &["source=\"local\""]), 1.0);
    assert!(
        of(
            "swarmdex_lookup_duration_seconds_count",
            &["outcome=\"missing\""]
        ) > 0.0
    );
    assert!(of("swarmdex_lookup_duration_seconds_sum", &[]) > 0.0);
    assert_eq!(of("swarmdex_gossip_delay_seconds_count", &[]), 1.0);
    assert_eq!(
        of("swarmdex_gossip_delay_seconds_bucket", &["le=\"+Inf\""]),
        1.0
    );
    assert_eq!(of("swarmdex_announcements_total", &[]), 1.0);
    assert!(of("swarmdex_store_commit_duration_seconds_count", &[]) > 0.0);
    assert_eq!(of("swarmdex_catalogue_packages", &[]), 1.0);
    assert!(of("swarmdex_connected_peers", &[]) > 0.0);
    assert_eq!(
        of("swarmdex_peer_reputation_ratio_count", &[]),
        of("swarmdex_known_peers", &[])
    );
    assert!(
        of("swarmdex_faults_total", &["reason=\"unreachable\""]) > 0.0,
        "the shut door"
    );
    assert_eq!(
        of("swarmdex_faults_total", &["reason=\"answer-wrong\""]),
        0.0
    );
    assert!(of("libp2p_bandwidth_bytes_total", &["Inbound"]) > 0.0);
    assert!(
        of("libp2p_swarm_new_listen_addr_total", &[]) > 0.0,
        "also what happened before the node was there"
    );
    let published = scrape(&a.node).await;
    assert!(
        value(
            &published,
            "swarmdex_lookup_duration_seconds_count",
            &["outcome=\"found\""]
        ) > 0.0,
        "read back"
    );
    let come = scrape(&newcomer.node).await;
    assert_eq!(
        value(&come, "swarmdex_searches_total", &["source=\"peer\""]),
        1.0,
        "it held nothing itself"
    );
    let confirmed = ["dht", "peer"].map(|from| {
        value(
            &come,
            "swarmdex_gets_total",
            &[&format!("provenance=\"{from}\"")],
        )
    });
    assert_eq!(
        confirmed.iter().sum::<f64>(),
        1.0,
        "the search brought it, and a peer confirmed it"
    );

    let dashboard: Value =
        serde_json::from_str(include_str!("../../assets/grafana/swarmdex.json")).unwrap();
    let asked = expressions(&dashboard);
    let told: BTreeSet<&str> = after
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split(['{', ' ']).next())
        .collect();
    for expression in &asked {
        let names = names(expression);
        assert!(
            !names.is_empty() && names.is_subset(&told),
            "{expression} asks for what is not told"
        );
    }
    // The dashboard shows all of our metrics, except for parts of a histogram that its buckets
    // cover.
    let seen: BTreeSet<&str> = asked
        .iter()
        .flat_map(|expression| names(expression))
        .collect();
    let unseen: Vec<_> = told
        .iter()
        .filter(|name| {
            name.starts_with("swarmdex_") && !name.ends_with("_sum") && !name.ends_with("_count")
        })
        .filter(|name| !seen.contains(*name))
        .collect();
    assert!(unseen.is_empty(), "{unseen:?} has no panel");
    if let Some(file) = std::env::var_os("SHOW_METRICS") {
        std::fs::write(file, &after).unwrap();
    }
    drop(registry);
    for lab in [a, b, c, newcomer] {
        lab.stop().await;
    }
}
