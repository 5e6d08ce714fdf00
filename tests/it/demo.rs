//! The headless demo: real nodes that publish, search and download.

use std::time::Duration;

use crate::lab::PATIENCE;
use swarmdex::demo::{Demo, DemoOptions, Latency, catalogue::CatalogueSource};

/// Announcements after which a demo has shown enough.
const ANNOUNCED: usize = 20;
/// Searches and gets of which there are at least so many in a report.
const PROBED: usize = 10;

fn options(peers: usize, churn: f64, latency: Latency) -> DemoOptions {
    DemoOptions {
        peers,
        seed: 7,
        project: None,
        catalogue: CatalogueSource::Embedded,
        rate: 240.0,
        churn,
        latency,
        data_dir: None,
        query_timeout: Duration::from_secs(5),
    }
}

async fn eight_nodes_publish_find_and_get(latency: Latency) {
    let demo = Demo::start(options(8, 0.0, latency)).await.unwrap();
    // A busy machine takes longer until so much has happened.
    let enough = async {
        loop {
            let report = demo.report(Duration::from_secs(4)).await;
            if report.announced >= ANNOUNCED && report.searches.len() >= PROBED {
                break report;
            }
        }
    };
    let report = tokio::time::timeout(PATIENCE, enough).await;
    let report = report.expect("too little was announced");
    demo.shutdown().await.unwrap();
    println!("{}", serde_json::to_string_pretty(&report).unwrap());
    assert_eq!((report.peers, report.connected), (8, 8));
    assert!(report.delivered.unwrap() > 0.99, "{report:?}");
    assert!(
        report.searches.iter().all(|search| search.hits > 0),
        "{report:?}"
    );
    assert!(
        report.gets.len() >= PROBED && report.gets.iter().all(|get| get.found),
        "{report:?}"
    );
    assert!(report.errors.is_empty() && report.drops == 0, "{report:?}");
    assert_eq!(report.latency, latency);
    assert_eq!(report.one_way_ms.is_some(), latency == Latency::Distance);
}

/// The two demos run one after the other: sixteen nodes at once would overload the machine.
#[tokio::test(flavor = "multi_thread")]
async fn nodes_that_are_as_far_apart_as_their_cities_and_nodes_on_one_machine() {
    eight_nodes_publish_find_and_get(Latency::Distance).await;
    eight_nodes_publish_find_and_get(Latency::None).await;
}
