//! Names with several claimants: dependencies by key, pins, own handles, floods of claims, and
//! look-alikes.

use crate::lab::{Lab, PATIENCE, TCP, draft, put, wait_for};
use swarmdex::{
    domain::{
        manifest::{Dependency, DependencyOn, Draft},
        name::{Handle, Owner, PackageId, PackageRef, PublisherId},
        query::Query,
        trust::{Bound, HandleMeaning, MAX_HANDLES, Trust, Unsure},
        version::RequirementText,
    },
    registry::{KnownReason, Receipt, Registry},
    resolve::{Machine, resolve_on},
};

fn handle(text: &str) -> Handle {
    text.parse().unwrap()
}

fn needs(package: &str) -> Dependency {
    Dependency::on(package, RequirementText::any())
}

/// Publishes a release under a handle, with dependencies.
async fn publish(
    lab: &Lab,
    called: &str,
    name: &str,
    version: &str,
    dependencies: Vec<Dependency>,
) -> swarmdex::Result<Receipt> {
    let draft = Draft {
        handle: Some(handle(called)),
        dependencies,
        ..draft(name, version)
    };
    let artifacts = put(
        lab.node.contents(),
        format!("{called} {name} {version}").as_bytes(),
    )
    .await;
    lab.node.registry().publish(draft, artifacts, None).await
}

/// Waits until the node has the package.
async fn until_it_has(lab: &Lab, package: &PackageId) {
    let mut batches = lab.node.subscribe();
    let registry = lab.node.registry();
    let reference = PackageRef::of(package);
    if registry.get_package(&reference).await.is_ok() {
        return;
    }
    wait_for(&mut batches, "an announcement", |batch| {
        batch
            .announcements
            .iter()
            .any(|one| one.package == *package)
    })
    .await;
    registry.get_package(&reference).await.unwrap();
}

fn code<T: std::fmt::Debug>(result: swarmdex::Result<T>) -> String {
    result.unwrap_err().code().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dependency_is_signed_by_key_and_an_impostor_is_never_fetched_for_it() {
    let alice = Lab::start(TCP, &[]).await;
    let at = [alice.address().await];
    let (bob, mallory, carol) = (
        Lab::start(TCP, &at).await,
        Lab::start(TCP, &at).await,
        Lab::start(TCP, &at).await,
    );
    let lib = publish(&bob, "bob", "lib", "1.0.0", vec![])
        .await
        .unwrap()
        .package;
    until_it_has(&alice, &lib).await;

    // Only one key claims it, but the user has not agreed.
    let refused = publish(&alice, "alice", "app", "1.0.0", vec![needs("bob/lib")]).await;
    let said = refused.as_ref().unwrap_err().to_string();
    assert!(
        said.contains(&lib.owner.fingerprint()) && said.contains("trust bob"),
        "{said}"
    );
    assert_eq!(code(refused), "unpinned_handle");
    assert!(
        !alice.dir.path().join("publisher.key").exists(),
        "what was refused made no key"
    );

    alice
        .node
        .registry()
        .pin(&handle("bob"), lib.owner)
        .await
        .unwrap();
    let app = publish(&alice, "alice", "app", "1.0.0", vec![needs("bob/lib@^1")])
        .await
        .unwrap();
    let release = alice
        .node
        .registry()
        .get_package(&PackageRef::of(&app.package))
        .await
        .unwrap()
        .latest_release()
        .unwrap();
    let signed = &release.manifest.dependencies[0];
    assert_eq!(
        (signed.id(), signed.label()),
        (Some(lib.clone()), Some(&handle("bob")))
    );
    assert_eq!(
        (signed.written(), signed.requirement.as_str()),
        (&*lib.to_string(), "^1")
    );

    // An impostor publishes a higher version under the same handle and name.
    let fake = publish(&mallory, "bob", "lib", "9.9.9", vec![])
        .await
        .unwrap()
        .package;
    for lab in [&alice, &carol] {
        until_it_has(lab, &fake).await;
    }
    let wanted = vec![(PackageRef::of(&app.package), RequirementText::any())];
    let resolution = resolve_on(carol.node.registry(), wanted, Machine::here(), |_| {})
        .await
        .unwrap();
    let got: Vec<_> = resolution
        .releases
        .iter()
        .map(|one| (one.package.clone(), one.version.to_string()))
        .collect();
    assert_eq!(
        got,
        [
            (lib.clone(), "1.0.0".to_owned()),
            (app.package.clone(), "1.0.0".to_owned())
        ]
    );

    // A handle that is not pinned does not resolve at the top level either.
    let by_handle = vec![("bob/lib".parse().unwrap(), RequirementText::any())];
    assert_eq!(
        code(
            resolve_on(
                carol.node.registry(),
                by_handle.clone(),
                Machine::here(),
                |_| {}
            )
            .await
        ),
        "ambiguous_handle"
    );
    let pinned = resolve_on(alice.node.registry(), by_handle, Machine::here(), |_| {})
        .await
        .unwrap();
    assert_eq!(pinned.root, std::slice::from_ref(&lib));
    // A publisher who has pinned the handle can publish; others are told that it is ambiguous.
    let next = publish(&alice, "alice", "app", "1.1.0", vec![needs("bob/lib")])
        .await
        .unwrap();
    assert_eq!(next.version.to_string(), "1.1.0");
    assert_eq!(
        code(publish(&carol, "carol", "tool", "1.0.0", vec![needs("bob/lib")]).await),
        "ambiguous_handle"
    );
    // The agreement for the previous release still holds.
    let agreed = DependencyOn::Package {
        package: lib.to_string(),
        handle: Some(handle("bob")),
    }
    .into();
    publish(&carol, "carol", "tool", "1.0.0", vec![agreed])
        .await
        .unwrap();
    let again = publish(&carol, "carol", "tool", "1.1.0", vec![needs("bob/lib")])
        .await
        .unwrap();
    let again = carol
        .node
        .registry()
        .metadata(&PackageRef::of(&again.package), &again.version)
        .await
        .unwrap();
    assert_eq!(again.dependencies[0].id(), Some(lib.clone()));

    // Dependants of the real package are not counted for the other.
    let hits = alice
        .node
        .registry()
        .search(&Query {
            local: true,
            ..Query::text("lib")
        })
        .await
        .unwrap()
        .hits;
    let dependents = |id: &PackageId| {
        hits.iter()
            .find(|hit| hit.package == *id)
            .map(|hit| hit.dependents)
    };
    assert_eq!(dependents(&fake), Some(0), "{hits:?}");
    for lab in [alice, bob, mallory, carol] {
        lab.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn looking_pins_nothing_and_a_pin_takes_as_many_peers_as_there_are_up_to_three() {
    let alone = Lab::start(TCP, &[]).await;
    let id = publish(&alone, "mallory", "x", "1.0.0", vec![])
        .await
        .unwrap()
        .package;
    let at = [alone.address().await];
    let others = [
        Lab::start(TCP, &at).await,
        Lab::start(TCP, &at).await,
        Lab::start(TCP, &at).await,
    ];
    let [first, ..] = &others;
    let registry = first.node.registry();
    let by_handle: PackageRef = "mallory/x".parse().unwrap();
    for package in [&PackageRef::of(&id), &by_handle] {
        let found = registry.get_package(package).await.unwrap();
        assert_eq!(
            (found.id.clone(), found.trust),
            (id.clone(), Trust::Unknown)
        );
        assert_eq!(
            found.title(),
            format!("mallory/x ({})", id.owner.fingerprint())
        );
        registry.list_versions(package).await.unwrap();
        let release = registry
            .get_package_version(package, &RequirementText::any())
            .await
            .unwrap();
        assert_eq!(release.trust, Trust::Unknown);
    }
    registry.search(&Query::text("x")).await.unwrap();
    let claims = registry.claims(&handle("mallory"), false).await.unwrap();
    assert_eq!(
        (claims.bound, claims.is_sure()),
        (None, Err(Unsure::Unanswered)),
        "looking has pinned nothing"
    );

    let claims = registry.claims(&handle("mallory"), true).await.unwrap();
    assert_eq!(
        (claims.meaning(), claims.is_sure()),
        (HandleMeaning::One(id.owner), Ok(())),
        "{claims:?}"
    );
    assert!(
        claims.answered >= claims.needed && (1..=3).contains(&claims.needed),
        "{claims:?}"
    );
    registry.pin(&handle("mallory"), id.owner).await.unwrap();
    let claims = registry.claims(&handle("mallory"), false).await.unwrap();
    assert_eq!(claims.bound, Some((id.owner, Bound::Pinned)));
    assert_eq!(
        registry.get_package(&by_handle).await.unwrap().title(),
        "mallory/x"
    );

    // Without peers nothing is certain.
    let [first, second, third] = others;
    let lonely = Lab::start_in(second.stop().await, TCP, &[]).await;
    let claims = lonely
        .node
        .registry()
        .claims(&handle("mallory"), true)
        .await
        .unwrap();
    assert_eq!(
        (claims.answered, claims.is_sure()),
        (0, Err(Unsure::Unanswered))
    );
    for lab in [alone, first, third, lonely] {
        lab.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn claims_of_others_take_nothing_from_what_is_pinned_own_or_named_by_key() {
    let bob = Lab::start(TCP, &[]).await;
    let at = [bob.address().await];
    let (alice, mallory) = (Lab::start(TCP, &at).await, Lab::start(TCP, &at).await);
    let real = publish(&bob, "bob", "lib", "1.0.0", vec![])
        .await
        .unwrap()
        .package;
    let mine = publish(&alice, "alice", "own", "1.0.0", vec![])
        .await
        .unwrap()
        .package;
    until_it_has(&alice, &real).await;
    alice
        .node
        .registry()
        .pin(&handle("bob"), real.owner)
        .await
        .unwrap();

    for called in ["bob", "alice"] {
        let id = publish(&mallory, called, &format!("fake-{called}"), "1.0.0", vec![])
            .await
            .unwrap()
            .package;
        for lab in [&alice, &bob] {
            until_it_has(lab, &id).await;
        }
    }
    let registry = alice.node.registry();
    let by = async |package: &str| {
        registry
            .get_package(&package.parse().unwrap())
            .await
            .map(|found| found.id)
    };
    assert_eq!(by("bob/lib").await.unwrap(), real, "pinned");
    assert_eq!(by("alice/own").await.unwrap(), mine, "one's own");
    assert_eq!(by(&real.to_string()).await.unwrap(), real, "by key");
    let claims = registry.claims(&handle("alice"), false).await.unwrap();
    assert_eq!(claims.bound, Some((mine.owner, Bound::Own)));
    let hits = registry
        .search(&Query::text("publisher:alice"))
        .await
        .unwrap()
        .hits;
    assert_eq!(
        hits.iter().map(|hit| &hit.package).collect::<Vec<_>>(),
        [&mine],
        "one's own handle in a search"
    );
    let needs_own = publish(&alice, "alice", "more", "1.0.0", vec![needs("alice/own")])
        .await
        .unwrap();
    let more = registry
        .metadata(&PackageRef::of(&needs_own.package), &needs_own.version)
        .await
        .unwrap();
    assert_eq!(more.dependencies[0].id(), Some(mine.clone()));
    let refused = registry.trust(real.owner, Some(&handle("alice"))).await;
    assert!(refused.unwrap_err().to_string().contains("your own key"));

    // A node without a pin must choose; the key seen first comes first, with its date.
    let error = bob
        .node
        .registry()
        .get_package(&"alice/own".parse().unwrap())
        .await
        .unwrap_err();
    let said = error.to_string();
    let [first, then] =
        [mine.owner, registry_of(&mallory).await].map(|key| said.find(&key.to_string()).unwrap());
    assert!(first < then && said.contains("first seen"), "{said}");
    for lab in [bob, alice, mallory] {
        lab.stop().await;
    }
}

async fn registry_of(lab: &Lab) -> PublisherId {
    lab.node.registry().own().await.unwrap().publisher.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_claims_eight_handles_and_is_told_before_it_signs_a_ninth() {
    let a = Lab::start(TCP, &[]).await;
    for n in 0..MAX_HANDLES {
        publish(
            &a,
            &format!("name-{n}"),
            &format!("pkg-{n}"),
            "1.0.0",
            vec![],
        )
        .await
        .unwrap();
    }
    let refused = publish(&a, "one-more", "pkg-9", "1.0.0", vec![]).await;
    let said = refused.as_ref().unwrap_err().to_string();
    assert!(
        said.contains("one-more") && said.contains("name-0; name-1"),
        "{said}"
    );
    assert_eq!(code(refused), "too_many_handles");
    let own = a.node.registry().own().await.unwrap();
    assert_eq!(own.packages.len(), MAX_HANDLES, "nothing was signed");
    // A handle with a claim may be used again, and one that is given up makes room.
    publish(&a, "name-3", "pkg-9", "1.0.0", vec![])
        .await
        .unwrap();
    publish(&a, "name-0", "pkg-1", "1.1.0", vec![])
        .await
        .unwrap();
    publish(&a, "one-more", "pkg-10", "1.0.0", vec![])
        .await
        .unwrap();
    a.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_looks_like_a_known_one_is_said_to() {
    let alice = Lab::start(TCP, &[]).await;
    let at = [alice.address().await];
    let (bob, carol, mallory) = (
        Lab::start(TCP, &at).await,
        Lab::start(TCP, &at).await,
        Lab::start(TCP, &at).await,
    );
    let needed = publish(&bob, "bob", "wire", "1.0.0", vec![])
        .await
        .unwrap()
        .package;
    until_it_has(&alice, &needed).await;
    let real = publish(
        &alice,
        "alice",
        "serde_json",
        "1.0.0",
        vec![needs(&needed.to_string())],
    )
    .await
    .unwrap()
    .package;
    let fakes = [
        publish(&mallory, "mallory", "serde-js0n", "1.0.0", vec![])
            .await
            .unwrap()
            .package,
        publish(&mallory, "mallory", "vv1re", "1.0.0", vec![])
            .await
            .unwrap()
            .package,
    ];
    for id in fakes.iter().chain([&real, &needed]) {
        until_it_has(&carol, id).await;
    }
    let registry = carol.node.registry();
    let alike = async |id: &PackageId| {
        let found = registry.look_alike(&id.name, Some(id.owner)).await.unwrap();
        found.map(|found| (found.package, found.why))
    };
    assert_eq!(alike(&fakes[0]).await, None, "nobody is known here yet");
    registry.pin(&handle("alice"), real.owner).await.unwrap();
    assert_eq!(
        alike(&fakes[0]).await,
        Some((real.clone(), KnownReason::Pinned))
    );
    assert_eq!(
        alike(&fakes[1]).await,
        Some((needed.clone(), KnownReason::Needed))
    );
    assert_eq!(
        (alike(&real).await, alike(&needed).await),
        (None, None),
        "what is known is taken for nothing else"
    );
    let hits = registry.search(&Query::text("serde")).await.unwrap().hits;
    let warned: Vec<_> = hits
        .iter()
        .map(|hit| (hit.package == fakes[0], hit.looks_like.is_some()))
        .collect();
    assert!(
        hits.len() == 2 && warned.iter().all(|(fake, warned)| fake == warned),
        "{hits:?}"
    );
    let name = "serde.json".parse().unwrap();
    let own = registry.look_alike(&name, None).await.unwrap().unwrap();
    assert_eq!(
        (own.package, own.why),
        (real, KnownReason::Pinned),
        "also before one publishes"
    );
    for lab in [alice, bob, carol, mallory] {
        lab.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_distrusted_claims_nothing() {
    let bob = Lab::start(TCP, &[]).await;
    let at = [bob.address().await];
    let (alice, mallory) = (Lab::start(TCP, &at).await, Lab::start(TCP, &at).await);
    let real = publish(&bob, "bob", "lib", "1.0.0", vec![])
        .await
        .unwrap()
        .package;
    let fake = publish(&mallory, "bob", "lib", "1.0.0", vec![])
        .await
        .unwrap()
        .package;
    for id in [&real, &fake] {
        until_it_has(&alice, id).await;
    }
    let registry: std::sync::Arc<dyn Registry> = alice.node.registry();
    let by_handle = PackageRef {
        owner: Owner::Handle(handle("bob")),
        ..PackageRef::of(&real)
    };
    assert_eq!(
        code(registry.get_package(&by_handle).await),
        "ambiguous_handle"
    );
    registry.distrust(fake.owner).await.unwrap();
    assert_eq!(registry.get_package(&by_handle).await.unwrap().id, real);
    assert!(bob.node.wait_joined(PATIENCE).await);
    for lab in [bob, alice, mallory] {
        lab.stop().await;
    }
}
