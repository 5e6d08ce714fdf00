//! The log of a node's operations. There is one test, because a process has one log.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod lab;

use lab::{Lab, PATIENCE, TCP, draft, put, reference};
use serde_json::Value;
use swarmdex::{
    config::{Layers, Paths, Settings},
    domain::{name::PackageRef, query::Query},
    telemetry::{self, StderrUse},
};

/// Returns the ended spans with a name, with their fields.
fn ended<'a>(lines: &'a [Value], name: &str) -> Vec<&'a Value> {
    let closed = lines
        .iter()
        .filter(|line| line["fields"]["message"] == "close" && line["span"]["name"] == *name);
    closed.map(|line| &line["span"]).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_operation_says_once_how_it_ended_and_no_secret() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path().to_owned();
    let paths = Paths {
        config: at.join("none.toml"),
        data: at.clone(),
        state: at.clone(),
        runtime: at.clone(),
    };
    let flags = vec![("log_format", "json".to_owned())];
    let settings = Settings::load(
        paths,
        Layers {
            flags,
            ..Layers::default()
        },
    )
    .unwrap();
    let logs = telemetry::start(&settings.log_options(), StderrUse::Taken).unwrap();
    assert_eq!(telemetry::filter(), "info");

    let a = Lab::start(TCP, &[]).await;
    let b = Lab::start(TCP, &[a.address().await]).await;
    let registry = b.node.registry();
    let receipt = registry
        .publish(
            draft("web", "1.0.0"),
            put(b.node.contents(), b"bytes").await,
            None,
        )
        .await
        .unwrap();
    assert!(
        registry
            .publish(
                draft("web", "1.0.0"),
                put(b.node.contents(), b"bytes").await,
                None
            )
            .await
            .is_err()
    );
    assert!(b.node.wait_published(PATIENCE).await);
    // This node must ask others.
    let c = Lab::partial(TCP, &[a.address().await]).await;
    let registry = c.node.registry();
    let absent: PackageRef = format!("{}/nothing", receipt.package.owner)
        .parse()
        .unwrap();
    registry
        .get_package(&reference(&receipt.package))
        .await
        .unwrap();
    registry.get_package(&absent).await.unwrap_err();
    registry
        .search(&Query::text("private secrecy"))
        .await
        .unwrap();
    registry.search(&Query::text("package")).await.unwrap();

    let error = telemetry::set_filter("loud").unwrap_err();
    assert!(
        error.is_usage() && error.to_string().contains("\"loud\""),
        "{error}"
    );
    telemetry::set_filter("swarmdex=debug").unwrap();
    assert_eq!(telemetry::filter(), "swarmdex=debug");
    tracing::debug!(target: "swarmdex::test", "detail");
    telemetry::set_filter("off").unwrap();
    tracing::error!(target: "swarmdex::test", "unheard");
    drop(registry);
    let dirs = [a.stop().await, b.stop().await, c.stop().await];
    drop(logs);
    let lines: Vec<Value> = std::fs::read_dir(settings.paths.logs())
        .unwrap()
        .flat_map(|file| {
            let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
            text.lines()
                .map(|line| serde_json::from_str(line).unwrap())
                .collect::<Vec<Value>>()
        })
        .collect();

    let outcomes = |name: &str| -> Vec<String> {
        ended(&lines, name)
            .iter()
            .map(|span| span["outcome"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(
        outcomes("publish"),
        [
            if receipt.pending {
                "pending"
            } else {
                "delivered"
            },
            "refused"
        ]
    );
    assert_eq!(outcomes("get"), ["found", "missing"]);
    assert_eq!(outcomes("search"), ["missing", "found"]);
    assert!(outcomes("announce").iter().any(|told| told == "sent"));
    let lookups = outcomes("lookup");
    for outcome in ["found", "missing"] {
        assert!(lookups.iter().any(|told| told == outcome), "{lookups:?}");
    }
    for name in ["publish", "get", "search", "announce", "lookup"] {
        assert!(
            ended(&lines, name).iter().all(|span| span["ms"].is_u64()),
            "{name}"
        );
    }
    let published = ended(&lines, "publish")[0];
    assert_eq!(
        (
            &published["package"],
            &published["version"],
            &published["seq"]
        ),
        (&"web".into(), &"1.0.0".into(), &1.into())
    );
    assert_eq!(
        (&published["replicas"], &published["announced"]),
        (
            &receipt.steps.replicas.into(),
            &receipt.steps.announced.into()
        )
    );
    let got = ended(&lines, "get");
    assert!(
        ["peer", "DHT"].map(Value::from).contains(&got[0]["source"]),
        "{}",
        got[0]
    );
    assert!(
        got.iter().all(|get| get["asked"].as_u64() > Some(0)),
        "{got:?}"
    );
    assert!(
        got[1]["error"].as_str().unwrap().contains("not found"),
        "{}",
        got[1]
    );
    let searched = ended(&lines, "search");
    assert_eq!(
        (
            &searched[0]["words"],
            &searched[1]["peer_hits"]
                .as_u64()
                .max(searched[1]["local_hits"].as_u64())
        ),
        (&2.into(), &Some(1))
    );

    let text: String = lines.iter().map(Value::to_string).collect();
    assert!(
        text.contains("detail")
            && text.contains("changed the log filter")
            && !text.contains("unheard")
    );
    assert!(
        !text.contains("private"),
        "what somebody looks for is not written down"
    );
    let keys = dirs
        .iter()
        .flat_map(|dir| std::fs::read_dir(dir.path()).unwrap());
    let keys: Vec<Vec<u8>> = keys
        .map(|file| file.unwrap().path())
        .filter(|file| file.extension().is_some_and(|extension| extension == "key"))
        .map(|file| std::fs::read(file).unwrap())
        .collect();
    assert_eq!(keys.len(), 4, "three identities and a publisher");
    for key in keys {
        // After four bytes with the type comes the private half, then the public half.
        let secret = &key[4..36];
        let hex: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
        let listed = format!("{secret:?}");
        assert!(!text.contains(&hex) && !text.contains(listed.trim_matches(['[', ']'])));
    }
}
