use proptest::prelude::*;

use super::{
    super::tests::{World, id, publisher, wanted},
    *,
};
use crate::domain::{
    hash::{ContentRoot, Digest},
    release::ReleaseEntry,
};

fn files(hash: Hash, manifest: &Manifest) -> Vec<ReleaseFile> {
    registry::files_of(
        &ReleaseEntry::new(manifest.version.clone(), hash),
        [(hash, manifest)],
    )
}

fn world() -> World {
    World::default()
        .with(
            "alice/app",
            "1.2.0",
            &["alice/json ^1", "bob/log *", "?bob/gone *"],
        )
        .with("alice/json", "1.5.0", &["alice/json *"])
        .with("bob/log", "0.3.0-rc.1+b7", &["alice/json >=1.2, <2"])
}

const ASKED: [(&str, &str); 2] = [("alice/app", "^1"), ("bob/log", "^0.3.0-rc.1")];

fn lock() -> LockFile {
    LockFile::of(&world().solve(&ASKED).unwrap(), &wanted(&ASKED))
}

#[test]
fn a_lock_reads_well_and_back() {
    let text = lock().to_text();
    insta::assert_snapshot!(text);
    assert_eq!(LockFile::from_text(&text).unwrap(), lock());
    assert!(lock().answers(&wanted(&ASKED)));
    assert!(lock().answers(&wanted(&[("alice/app@^1", "*"), ASKED[1]])));
    assert!(!lock().answers(&wanted(&ASKED[..1])));
    let order: Vec<_> = lock()
        .dependencies_first()
        .iter()
        .map(|locked| locked.id.name.to_string())
        .collect();
    assert_eq!(order, ["json", "log", "app"]);
}

#[test]
fn a_file_is_replaced_and_read() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(FILE);
    assert_eq!(LockFile::read(&path).unwrap_err().code(), "file");
    lock().write(&path).unwrap();
    assert_eq!(LockFile::read(&path).unwrap(), lock());
    fs::write(&path, "format = 7").unwrap();
    let error = LockFile::read(&path).unwrap_err();
    assert_eq!(error.code(), "lock");
    assert!(error.to_string().starts_with(&format!(
        "the lock file {} has format 7, but",
        path.display()
    )));
}

#[test]
fn what_was_changed_by_hand_and_does_not_fit_is_refused() {
    let text = lock().to_text();
    let json = id("alice/json").to_string();
    let of_app = format!(
        "[[wanted]]\npackage = \"alice/app\"\nrequirement = \"^1\"\nid = \"{}\"\n",
        id("alice/app")
    );
    let changed = |from: &str, to: &str| {
        assert!(text.contains(from), "{from}\n{text}");
        LockFile::from_text(&text.replace(from, to))
            .unwrap_err()
            .to_string()
    };
    let entries: Vec<_> = text.split("\n[[package]]\n").collect();
    let (last, of_json) = (
        entries.len() - 1,
        entries
            .iter()
            .position(|entry| entry.contains("json-1.5.0"))
            .unwrap(),
    );
    let without: Vec<_> = (0..=last)
        .filter(|at| *at != of_json)
        .map(|at| entries[at])
        .collect();
    let twice = [entries.clone(), vec![entries[of_json]]].concat();
    let join = |entries: &[&str]| {
        LockFile::from_text(&entries.join("\n[[package]]\n"))
            .unwrap_err()
            .to_string()
    };
    for (error, says) in [
        (
            changed("format = 2", "format = 3"),
            "has format 3, but this Swarmdex knows format 2; use",
        ),
        (changed("format = 2", ""), "has no format number; delete"),
        (
            changed("format = 2", "format = 2\nformat = 2"),
            "is broken at line 4: duplicate key",
        ),
        (changed("size = ", "seize = "), "unknown key seize"),
        (
            changed("version = \"1.5.0\"", "version = \"1.5\""),
            "number 2, 12D3Koo",
        ),
        (
            changed("version = \"1.5.0\"", "version = \"1.6.0\""),
            "where",
        ),
        (
            changed("\"^1\"", "\"^2\""),
            "1.2.0, where ^2 was asked for; undo the change",
        ),
        (
            changed("package = \"alice/app\"", "package = \"alice/ape\""),
            "which is impossible",
        ),
        (
            changed("package = \"alice/app\"", "package = \"alice/app@1\""),
            "number 1: package: put the requirement",
        ),
        (
            changed("name = \"json-1.5.0\"", "name = \"../json\""),
            "files: ",
        ),
        (changed("sha256 = ", "sha512 = "), "unknown key sha512"),
        (
            changed(&of_app, ""),
            &format!("has the package {}, which nothing needs", id("alice/app")),
        ),
        (
            join(&without),
            &format!("lacks the package {json} 1.5.0, which"),
        ),
        (join(&twice), &format!("has two entries for {json}; undo")),
    ] {
        assert!(error.contains(says), "{says}: {error}");
    }
}

#[test]
fn what_the_registry_has_is_held_against_the_lock() {
    let resolution = world().solve(&ASKED).unwrap();
    for release in &resolution.releases {
        let files = files(release.manifest_hash, &release.manifest);
        lock()
            .check(
                &release.package,
                &release.manifest_hash,
                &release.manifest,
                &files,
            )
            .unwrap();
    }
    let app = resolution.releases.last().unwrap();
    let check = |lock: &LockFile, hash: Hash, change: &dyn Fn(&mut Manifest)| {
        let mut manifest = app.manifest.clone();
        change(&mut manifest);
        lock.check(&app.package, &hash, &manifest, &files(hash, &manifest))
            .unwrap_err()
            .to_string()
    };
    let hash = app.manifest_hash;
    assert!(check(&lock(), Hash([1; 32]), &|_| {}).contains("the manifest is 0101"));
    assert!(
        check(&lock(), hash, &|manifest| manifest.files[0].size += 1)
            .contains("the size is 16 there and 15 in the lock")
    );
    let other = |manifest: &mut Manifest| manifest.files[0].root = ContentRoot([0; 32]);
    assert!(check(&lock(), hash, &other).contains("the content is"));
    assert!(
        check(&lock(), hash, &|manifest| manifest.files[0].sha256 =
            Digest([0; 32]))
        .contains("the SHA-256 is")
    );
    assert!(
        check(&lock(), hash, &|manifest| manifest.version =
            "2.2.0".parse().unwrap())
        .contains("the version is 2.2.0")
    );
    assert!(
        check(&lock(), hash, &|manifest| manifest.files[0].name =
            "b".into())
        .contains("the file is missing")
    );
    let mut grown = app.manifest.clone();
    grown
        .files
        .push(File::of(&grown.ecosystem, "added.zip", b"later"));
    lock()
        .check(&app.package, &hash, &grown, &files(hash, &grown))
        .unwrap();
    let mut forged = lock();
    forged
        .packages
        .get_mut(&app.package)
        .unwrap()
        .dependencies
        .clear();
    assert!(check(&forged, hash, &|_| {}).contains("has no dependency of"));
    let error = lock()
        .check(&id("carol/x"), &hash, &app.manifest, &[])
        .unwrap_err();
    assert!(error.to_string().starts_with("has no entry for"));
}

fn any_lock() -> impl Strategy<Value = LockFile> {
    let package = (
        "[a-z0-9][a-z0-9._-]{0,9}",
        prop::option::of("[a-z]{1,8}"),
        prop::sample::select(vec![
            "1.0.0",
            "0.0.0-a.1+x-y",
            "18446744073709551615.0.0",
            "2.1.3+7",
        ]),
        any::<([u8; 32], [u8; 32])>(),
        any::<u64>(),
        "[a-zA-Zü '#=\\[\\]]{0,20}z",
        prop::collection::vec(any::<prop::sample::Index>(), 0..4),
    );
    prop::collection::vec(package, 1..8).prop_map(|list| {
        let keys = ["a", "b"].map(publisher);
        let ids: Vec<_> = list
            .iter()
            .enumerate()
            .map(|(at, package)| PackageId {
                owner: keys[at % 2],
                name: package.0.parse().unwrap(),
            })
            .collect();
        let mut packages = BTreeMap::new();
        for (id, (_, handle, version, (manifest, root), size, file, _)) in ids.iter().zip(&list) {
            packages.entry(id.clone()).or_insert_with(|| LockedRelease {
                id: id.clone(),
                handle: handle.as_ref().map(|handle| handle.parse().unwrap()),
                version: version.parse().unwrap(),
                manifest: Hash(*manifest),
                files: vec![LockedFile {
                    name: file.clone(),
                    content: Content {
                        root: ContentRoot(*root),
                        size: *size,
                    },
                    sha256: Digest(*manifest),
                }],
                dependencies: Vec::new(),
            });
        }
        for (id, package) in ids.iter().zip(&list) {
            let needed: BTreeSet<_> = package.6.iter().map(|index| index.get(&ids)).collect();
            let needed = needed
                .into_iter()
                .map(|id| (id.clone(), packages[id].version.clone()))
                .collect();
            packages.get_mut(id).unwrap().dependencies = needed;
        }
        let wanted = packages.values().map(|locked| LockedRequirement {
            package: PackageRef::of(&locked.id),
            requirement: RequirementText::exactly(locked.id.name.ecosystem(), &locked.version),
            id: locked.id.clone(),
        });
        LockFile {
            wanted: wanted.collect(),
            packages,
        }
    })
}

proptest! {
    #[test]
    fn every_lock_survives_its_text(lock in any_lock()) {
        let text = lock.to_text();
        prop_assert_eq!(LockFile::from_text(&text).map_err(|error| error.to_string()), Ok(lock), "{}", text);
    }

    #[test]
    fn no_text_is_too_strange(text in "\\PC{0,200}", at in any::<prop::sample::Index>()) {
        let _ = LockFile::from_text(&text);
        let mut changed: Vec<char> = lock().to_text().chars().collect();
        let at = at.index(changed.len());
        changed.splice(at..at, text.chars());
        let _ = LockFile::from_text(&changed.into_iter().collect::<String>());
    }
}
