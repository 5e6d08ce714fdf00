//! Resolution over real nodes: one publishes; another resolves, locks and verifies.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use crate::lab::{Lab, PATIENCE, TCP, draft, put, reference};
use swarmdex::{
    domain::{manifest::Dependency, release::ReleaseEntry, version::RequirementText},
    registry::{Registry, files_of},
    resolve::{LockFile, Machine, Resolving, resolve_on},
};

#[tokio::test(flavor = "multi_thread")]
async fn what_one_node_publishes_another_resolves_and_locks() {
    let a = Lab::start(TCP, &[]).await;
    let b = Lab::start(TCP, &[a.address().await]).await;
    let publisher = a.node.registry();
    let publish = async |name: &str, version: &str, needs: &[(String, &str)]| {
        let mut draft = draft(name, version);
        let dependency = |(package, requirement): &(String, &str)| match package.contains('/') {
            true => Dependency::on(package, requirement.parse().unwrap()),
            false => Dependency::bare(package.parse().unwrap(), requirement.parse().unwrap()),
        };
        draft.dependencies = needs.iter().map(dependency).collect();
        let artifacts = put(a.node.contents(), format!("{name} {version}").as_bytes()).await;
        publisher
            .publish(draft, artifacts, None)
            .await
            .unwrap()
            .package
    };
    let json = publish("json", "1.0.0", &[]).await;
    publish("json", "1.1.0", &[]).await;
    publish("json", "2.0.0", &[]).await;
    let app = publish("app", "1.0.0", &[(json.to_string(), "^1")]).await;
    let tool = publish("tool", "1.0.0", &[("json".to_owned(), "^1")]).await;
    let odd = publish(
        "odd",
        "1.0.0",
        &[(app.to_string(), "*"), (json.to_string(), "^2")],
    )
    .await;
    assert!(a.node.wait_published(PATIENCE).await);

    let registry: Arc<dyn Registry> = b.node.registry();
    let wanted = vec![(reference(&app), RequirementText::any())];
    let told = Arc::new(Mutex::new(Vec::new()));
    let tell = {
        let told = told.clone();
        move |step: Resolving| told.lock().unwrap().push(step.to_string())
    };
    let resolution = resolve_on(registry.clone(), wanted.clone(), Machine::here(), tell)
        .await
        .unwrap();
    let found: Vec<_> = resolution
        .releases
        .iter()
        .map(|release| format!("{} {}", release.package.name, release.version))
        .collect();
    assert_eq!(found, ["json 1.1.0", "app 1.0.0"]);
    assert!(
        told.lock().unwrap().contains(&format!("asking for {json}")),
        "{told:?}"
    );

    let lock = LockFile::from_text(&LockFile::of(&resolution, &wanted).to_text()).unwrap();
    for locked in lock.packages() {
        let exact = format!("={}", locked.version).parse().unwrap();
        let release = registry
            .get_package_version(&reference(&locked.id), &exact)
            .await
            .unwrap();
        lock.check(
            &release.package,
            &release.manifest_hash,
            &release.manifest,
            &release.files,
        )
        .unwrap();
    }

    // A bare name means a package of the same owner if nobody else has one, or else the user's own.
    let wanted = vec![(reference(&tool), RequirementText::any())];
    let json_of = async |registry: Arc<dyn Registry>| {
        let resolution = resolve_on(registry, wanted.clone(), Machine::here(), |_| {})
            .await
            .unwrap();
        let lock = LockFile::from_text(&LockFile::of(&resolution, &wanted).to_text()).unwrap();
        let tool = resolution.releases.last().unwrap();
        let entry = ReleaseEntry::new(tool.version.clone(), tool.manifest_hash);
        let files = files_of(&entry, [(tool.manifest_hash, &tool.manifest)]);
        lock.check(&tool.package, &tool.manifest_hash, &tool.manifest, &files)
            .unwrap();
        resolution.releases[0].package.clone()
    };
    assert_eq!(json_of(registry.clone()).await, json);
    let artifacts = put(b.node.contents(), b"json of b").await;
    let own = registry
        .publish(draft("json", "1.0.0"), artifacts, None)
        .await
        .unwrap()
        .package;
    assert_eq!(
        (
            json_of(registry.clone()).await,
            json_of(a.node.registry()).await
        ),
        (own.clone(), json.clone())
    );
    assert_ne!(own, json);

    let error = resolve_on(
        registry.clone(),
        vec![(reference(&odd), RequirementText::any())],
        Machine::here(),
        |_| {},
    )
    .await
    .unwrap_err();
    assert_eq!(error.code(), "unresolvable", "{error}");
    assert!(error.to_string().contains("json ^2.0.0"), "{error}");

    // Giving up at once is not delayed by a running request.
    let absent = format!("{}/absent", json.owner).parse().unwrap();
    let given_up = resolve_on(
        registry.clone(),
        vec![(absent, RequirementText::any())],
        Machine::here(),
        |_| {},
    );
    assert!(
        tokio::time::timeout(Duration::from_millis(1), given_up)
            .await
            .is_err()
    );
    drop((registry, publisher));
    for lab in [a, b] {
        lab.stop().await;
    }
}
