//! The headless demo: real nodes that publish, find and get.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::time::Duration;

use swarmdex::demo::{Demo, DemoOptions, catalogue::Source};

fn options(peers: usize, churn: f64) -> DemoOptions {
    DemoOptions {
        peers,
        seed: 7,
        catalogue: Source::Embedded,
        rate: 600.0,
        churn,
        data_dir: None,
        query_timeout: Duration::from_secs(5),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn eight_nodes_publish_find_and_get() {
    let demo = Demo::start(options(8, 0.0)).await.unwrap();
    let report = demo.report(Duration::from_secs(8)).await;
    demo.shutdown().await.unwrap();
    println!("{}", serde_json::to_string_pretty(&report).unwrap());
    assert_eq!((report.peers, report.connected), (8, 8));
    assert!(report.announced >= 20, "{report:?}");
    assert!(report.delivered.unwrap() > 0.99, "{report:?}");
    assert!(report.searches.len() >= 10 && report.searches.iter().all(|search| search.hits > 0), "{report:?}");
    assert!(report.gets.len() >= 10 && report.gets.iter().all(|get| get.found), "{report:?}");
    assert!(report.errors.is_empty() && report.drops == 0, "{report:?}");
}
