//! Releases that are extended, and owners' notices about them, between nodes.

use crate::lab::{Lab, PATIENCE, TCP, put, reference, wait_for};
use libp2p::identity::Keypair;
use swarmdex::{
    RegistryError,
    domain::{
        conflict::Kind,
        manifest::{Draft, Ecosystem},
        name::{PackageRef, PublisherId},
    },
    registry::{Artifacts, Change, Receipt, Release},
    resolve::{LockFile, Machine, resolve_on},
    store::keys,
};

fn pypi(version: &str) -> Draft {
    Draft {
        ecosystem: Ecosystem::Pypi,
        ..crate::lab::draft("Wheel.Box", version)
    }
}

async fn named(lab: &Lab, file: &str) -> Artifacts {
    let mut artifacts = put(lab.node.contents(), file.as_bytes()).await;
    artifacts.files[0].name = Some(file.to_owned());
    artifacts
}

async fn add(lab: &Lab, version: &str, file: &str) -> swarmdex::Result<Receipt> {
    lab.node
        .registry()
        .publish(pypi(version), named(lab, file).await, None)
        .await
}

fn names(release: &Release) -> Vec<&str> {
    release
        .files
        .iter()
        .map(|one| one.file.name.as_str())
        .collect()
}

async fn release(lab: &Lab, package: &PackageRef, requirement: &str) -> swarmdex::Result<Release> {
    lab.node
        .registry()
        .get_package_version(package, &requirement.parse().unwrap())
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_added_to_a_release_and_never_changed() {
    let a = Lab::start(TCP, &[]).await;
    let b = Lab::start(TCP, &[a.address().await]).await;
    let mut heard = b.node.subscribe();
    let first = add(&a, "1.0", "wheel_box-1.0.tar.gz").await.unwrap();
    let package = reference(&first.package);
    let before = release(&a, &package, "==1.0").await.unwrap();
    let wanted = vec![(package.clone(), "==1.0".parse().unwrap())];
    let resolution = resolve_on(a.node.registry(), wanted.clone(), Machine::here(), |_| {})
        .await
        .unwrap();
    let mut lock = LockFile::of(&resolution, &wanted);
    lock.lock_files(&first.package, &before.files);

    // Other spellings of the version mean the same release.
    let second = add(&a, "1.0.0", "wheel_box-1.0-py3-none-any.whl")
        .await
        .unwrap();
    assert_eq!(
        (second.seq, second.package.clone()),
        (2, first.package.clone())
    );
    wait_for(&mut heard, "the addition", |batch| {
        batch.announcements.iter().any(|one| one.seq == 2)
    })
    .await;
    let there = release(&b, &package, "==1.0").await.unwrap();
    assert_eq!(
        names(&there),
        ["wheel_box-1.0.tar.gz", "wheel_box-1.0-py3-none-any.whl"]
    );
    assert!(
        there.files[0].signed_at <= there.files[1].signed_at
            && there.files[0].manifest != there.files[1].manifest
    );
    assert_eq!(there.missing, 0);
    // A lock file from before is still valid.
    lock.check(
        &there.package,
        &there.manifest_hash,
        &there.manifest,
        &there.files,
    )
    .unwrap();
    assert_eq!(lock.get(&there.package).unwrap().files.len(), 1);

    let mut other = named(&a, "wheel_box-1.0.tar.gz").await;
    other.files[0].content = put(a.node.contents(), b"other bytes").await.files[0].content;
    let error = a
        .node
        .registry()
        .publish(pypi("1.0"), other, None)
        .await
        .unwrap_err();
    assert!(
        matches!(&error, RegistryError::FileTaken { file, .. } if file == "wheel_box-1.0.tar.gz"),
        "{error}"
    );
    // Crates cannot be extended.
    let krate = |version: &str| Draft {
        ecosystem: Ecosystem::Cargo,
        ..crate::lab::draft("tool", version)
    };
    a.node
        .registry()
        .publish(krate("1.0.0"), named(&a, "tool-1.0.0.crate").await, None)
        .await
        .unwrap();
    let again = a
        .node
        .registry()
        .publish(krate("1.0.0"), named(&a, "more.crate").await, None)
        .await;
    assert!(matches!(again, Err(RegistryError::VersionTaken { .. })));
    a.stop().await;
    b.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_owner_says_of_releases_travels_and_can_be_taken_back() {
    let a = Lab::start(TCP, &[]).await;
    let b = Lab::start(TCP, &[a.address().await]).await;
    let mut heard = b.node.subscribe();
    let mut receipt = add(&a, "1.0", "wheel_box-1.0.tar.gz").await.unwrap();
    for (version, file) in [
        ("1.0", "wheel_box-1.0-py3-none-any.whl"),
        ("2.0", "wheel_box-2.0.tar.gz"),
    ] {
        receipt = add(&a, version, file).await.unwrap();
    }
    let package = reference(&receipt.package);
    let version = |text: &str| text.parse().unwrap();
    let changes = [
        Change::Yank {
            version: version("2.0"),
            file: None,
            why: "it loses data\nsee the notes".to_owned(),
        },
        Change::Yank {
            version: version("1.0"),
            file: Some("wheel_box-1.0-py3-none-any.whl".to_owned()),
            why: "built on the wrong machine".to_owned(),
        },
        Change::Deprecate {
            version: version("1.0"),
            message: Some("use wheel-crate".to_owned()),
        },
        Change::Tag {
            tag: "stable".to_owned(),
            version: Some(version("1.0.0")),
        },
    ];
    for change in changes {
        receipt = a.node.registry().change(&package, change).await.unwrap();
    }
    wait_for(&mut heard, "the last state", |batch| {
        batch.announcements.iter().any(|one| one.seq == receipt.seq)
    })
    .await;
    let latest = release(&b, &package, "*").await.unwrap();
    assert_eq!(latest.manifest.version.as_str(), "1.0");
    assert_eq!(latest.state.deprecated.as_deref(), Some("use wheel-crate"));
    assert_eq!(latest.files[0].yanked, None);
    assert_eq!(
        latest.files[1].yanked.as_deref(),
        Some("built on the wrong machine")
    );
    let exact = release(&b, &package, "===2.0").await.unwrap();
    assert_eq!(
        exact.state.why_yanked.as_deref(),
        Some("it loses data\nsee the notes")
    );
    let found = b.node.registry().get_package(&package).await.unwrap();
    assert_eq!(found.tags_of(&version("1.0")), ["stable"]);
    let hits = b
        .node
        .registry()
        .search(&swarmdex::domain::query::Query::text("wheel"))
        .await
        .unwrap()
        .hits;
    assert!(hits[0].deprecated && !hits[0].yanked, "{hits:?}");

    let refused = |change| {
        let (registry, package) = (a.node.registry(), package.clone());
        async move {
            registry
                .change(&package, change)
                .await
                .unwrap_err()
                .to_string()
        }
    };
    let long = "x".repeat(501);
    let why = refused(Change::Yank {
        version: version("1.0"),
        file: None,
        why: long.clone(),
    })
    .await;
    assert!(
        why.contains("the reason is 501 characters long, but at most 500 are allowed"),
        "{why}"
    );
    let why = refused(Change::Deprecate {
        version: version("1.0"),
        message: Some("a\u{1b}b".to_owned()),
    })
    .await;
    assert!(
        why.contains("the message has control or invisible characters"),
        "{why}"
    );
    let why = refused(Change::Tag {
        tag: "1.0".to_owned(),
        version: Some(version("1.0")),
    })
    .await;
    assert!(why.contains("the tag 1.0 looks like a version"), "{why}");
    let why = refused(Change::Tag {
        tag: "gone".to_owned(),
        version: None,
    })
    .await;
    assert!(why.contains("has no tag gone"), "{why}");
    let why = refused(Change::Yank {
        version: version("1.0"),
        file: Some("no.whl".to_owned()),
        why: String::new(),
    })
    .await;
    assert!(
        why.contains("has no file no.whl; it has wheel_box-1.0.tar.gz, "),
        "{why}"
    );
    assert!(
        refused(Change::Tag {
            tag: "next".to_owned(),
            version: Some(version("9.0"))
        })
        .await
        .contains("9.0")
    );

    for change in [
        Change::Unyank {
            version: version("2.0"),
            file: None,
        },
        Change::Unyank {
            version: version("1.0"),
            file: Some("wheel_box-1.0-py3-none-any.whl".to_owned()),
        },
        Change::Deprecate {
            version: version("1.0"),
            message: None,
        },
        Change::Tag {
            tag: "stable".to_owned(),
            version: None,
        },
    ] {
        a.node.registry().change(&package, change).await.unwrap();
    }
    let found = a.node.registry().get_package(&package).await.unwrap();
    assert!(found.tags.is_empty() && found.latest.unwrap().version.as_str() == "2.0");
    assert!(
        found
            .releases
            .iter()
            .all(|entry| !entry.is_yanked() && entry.deprecated.is_none())
    );
    assert!(
        found
            .releases
            .iter()
            .all(|entry| entry.yanked_files.is_empty())
    );
    a.stop().await;
    b.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_nodes_of_one_publisher_add_different_files_and_the_release_has_both() {
    let key = Keypair::generate_ed25519();
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    for dir in &dirs {
        keys::save(&keys::publisher_path(dir.path()), &key).unwrap();
    }
    let [first, second] = dirs;
    // Offline, each signs a first head of its own.
    let a = Lab::start_in(first, TCP, &[]).await;
    let b = Lab::start_in(second, TCP, &[]).await;
    add(&a, "1.0", "linux.whl").await.unwrap();
    let receipt = add(&b, "1.0", "windows.whl").await.unwrap();
    let second = b.stop().await;
    let b = Lab::start_in(second, TCP, &[a.address().await]).await;
    let both = reference(&receipt.package);
    for lab in [&a, &b] {
        let mut batches = lab.node.subscribe();
        let joined = async {
            loop {
                let release = release(lab, &both, "==1.0").await.unwrap();
                if release.files.len() == 2
                    && lab.node.registry().get_package(&both).await.unwrap().seq >= 2
                {
                    return release;
                }
                batches.recv().await.unwrap();
            }
        };
        let joined = tokio::time::timeout(PATIENCE, joined).await;
        let Ok(release) = joined else {
            let package = lab.node.registry().get_package(&both).await;
            let release = release(lab, &both, "==1.0")
                .await
                .map(|release| release.files);
            panic!("the fork was not joined: {package:#?} {release:#?}");
        };
        let mut files = names(&release);
        files.sort_unstable();
        assert_eq!(files, ["linux.whl", "windows.whl"]);
        let cases = lab.node.registry().conflicts().await.unwrap().cases;
        assert!(
            cases.iter().all(|case| case.kind == Kind::Fork),
            "{cases:?}"
        );
    }
    // A node that has seen neither gets everything that the merged head lists.
    let c = Lab::partial(TCP, &[a.address().await, b.address().await]).await;
    assert_eq!(release(&c, &both, "==1.0").await.unwrap().files.len(), 2);
    c.stop().await;
    a.stop().await;
    b.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_of_sixty_wheels_reaches_whoever_asks_for_it() {
    let a = Lab::start(TCP, &[]).await;
    let mut receipt = None;
    for n in 0..60 {
        receipt = Some(
            add(
                &a,
                "1.0",
                &format!("wheel_box-1.0-cp3{n}-manylinux_2_28_x86_64.whl"),
            )
            .await
            .unwrap(),
        );
    }
    let package = reference(&receipt.unwrap().package);
    // This node compares no catalogues, and has received no announcement.
    let b = Lab::partial(TCP, &[a.address().await]).await;
    let there = release(&b, &package, "==1.0").await.unwrap();
    assert_eq!((there.files.len(), there.missing), (60, 0));
    let (last, contents) = (&there.files[59], b.node.contents());
    let wanted = swarmdex::registry::Wanted::file(&there, &last.file);
    let fetched = contents.fetch(wanted, None).await.unwrap();
    assert_eq!(fetched.content, last.file.content());
    assert_eq!(
        there.package.owner,
        PublisherId::from_bytes(&there.package.owner.to_bytes()).unwrap()
    );
    drop(contents);
    a.stop().await;
    b.stop().await;
}
