//! Archives reveal no secrets, and their listings say so.

use std::collections::BTreeSet;

use libp2p::identity::Keypair;
use proptest::prelude::*;

use super::*;
use crate::store::keys::{encoded, seal};

const PEM: &[u8] =
    b"-----BEGIN OPENSSH PRIVATE KEY-----\nnot really\n-----END OPENSSH PRIVATE KEY-----\n";

fn rules(include: &[&str], exclude: &[&str]) -> Rules {
    Rules {
        include: include.iter().map(|line| (*line).to_owned()).collect(),
        ..excluding(exclude)
    }
}

fn listed(dir: &Path, rules: &Rules) -> PackListing {
    plan(dir, rules, PackLimits::default())
        .unwrap()
        .listing()
        .clone()
}

fn names(listing: &PackListing) -> Vec<&str> {
    listing
        .entries
        .iter()
        .map(|entry| entry.path.as_str())
        .collect()
}

fn out(listing: &PackListing) -> Vec<&str> {
    listing
        .left_out
        .iter()
        .map(|left| left.path.as_str())
        .collect()
}

#[test]
fn names_that_are_private_by_convention_stay_out_and_are_named() {
    let private = [
        ".env",
        ".env.local",
        ".netrc",
        ".npmrc",
        ".pypirc",
        ".aws/credentials",
        ".ssh/config",
        ".gnupg/x",
        ".kube/config",
        ".docker/config.json",
        "tls/server.pem",
        "tls/SERVER.KEY",
        "x.p12",
        "id_rsa",
        "id_ed25519",
        "id_custom",
        "deep/er/id_rsa.old",
        ".hg/store",
        ".svn/entries",
        "app.sqlite",
        "app.sqlite3-wal",
    ];
    let public = [
        "id_map.rs",
        "id_rsa.pub",
        "environment",
        "key",
        "keys.md",
        "sqlite.c",
        ".github/ci.yml",
        "ssh/config",
    ];
    let dir = tempfile::tempdir().unwrap();
    for path in private.iter().chain(&public) {
        tree(dir.path(), &[(path, b"x")]);
    }
    let listing = listed(dir.path(), &Rules::default());
    let files: BTreeSet<_> = names(&listing)
        .into_iter()
        .filter(|path| dir.path().join(path).is_file())
        .collect();
    assert_eq!(files, BTreeSet::from(public));
    for path in private {
        let top = listing
            .left_out
            .iter()
            .find(|left| path.starts_with(&left.path))
            .unwrap_or_else(|| panic!("{path}"));
        assert!(matches!(top.why, LeftOutReason::Private { .. }), "{top:?}");
    }
    let size = |path: &str| {
        listing
            .left_out
            .iter()
            .find(|left| left.path == path)
            .unwrap()
            .size
    };
    assert_eq!((size(".env"), size(".aws/")), (Some(1), None));
    let archive = packed(dir.path(), &[]).unwrap();
    assert_eq!(paths(&archive), names(&listing));
}

#[test]
fn include_adds_against_names_and_ignore_files_and_never_takes_away() {
    let dir = tempfile::tempdir().unwrap();
    let files: [(&str, &[u8]); 14] = [
        (".gitignore", b"/dist/\n*.log\n/node_modules/\n"),
        (".env.example", b"A="),
        (".env", b"A=1"),
        ("dist/app.js", b""),
        ("dist/.env", b""),
        ("dist/.gitignore", b"*\n"),
        ("dist/deep/er.js", b""),
        ("node_modules/x/notes.md", b""),
        ("src/main.rs", b""),
        ("src/debug.log", b""),
        ("src/other.log", b""),
        (".ssh/config.example", b""),
        (".ssh/known_hosts", b""),
        ("tls/a.pem", b"certificate"),
    ];
    tree(dir.path(), &files);
    let with = |include: &[&str]| listed(dir.path(), &rules(include, &[]));
    let plain = with(&[]);
    assert_eq!(names(&plain), [".gitignore", "src", "src/main.rs", "tls"]);
    assert_eq!(
        out(&plain),
        [
            ".env",
            ".env.example",
            ".ssh/",
            "dist/",
            "node_modules/",
            "src/debug.log",
            "src/other.log",
            "tls/a.pem"
        ]
    );
    let ignored = |path: &str| {
        plain
            .left_out
            .iter()
            .find(|left| left.path == path)
            .unwrap()
            .why
            .to_string()
    };
    assert_eq!(ignored("dist/"), ".gitignore says /dist/");
    for (include, added) in [
        (&[".env.example"][..], &[".env.example"][..]),
        (&["./src/debug.log"], &["src/debug.log"]),
        (&["src/*.log"], &["src/debug.log", "src/other.log"]),
        // A directory brings its contents, except for private names.
        (
            &["dist"],
            &[
                "dist",
                "dist/.gitignore",
                "dist/app.js",
                "dist/deep",
                "dist/deep/er.js",
            ],
        ),
        (
            &["dist/"],
            &[
                "dist",
                "dist/.gitignore",
                "dist/app.js",
                "dist/deep",
                "dist/deep/er.js",
            ],
        ),
        (&["dist/app.js"], &["dist", "dist/app.js"]),
        (
            &["dist/**/*.js"],
            &["dist", "dist/app.js", "dist/deep", "dist/deep/er.js"],
        ),
        (
            &["dist", "dist/.env"],
            &[
                "dist",
                "dist/.env",
                "dist/.gitignore",
                "dist/app.js",
                "dist/deep",
                "dist/deep/er.js",
            ],
        ),
        (&[".ssh/config.example"], &[".ssh", ".ssh/config.example"]),
        (&["*.pem"], &["tls/a.pem"]),
        // A file in an ignored directory has to be named with the directory.
        (&["notes.md", "er.js"], &[]),
        (&["*.md", "**/er.js"], &[]),
        // In cargo's syntax, which has no effect here.
        (&["/src/main.rs"], &[]),
        (&["# a comment", ""], &[]),
    ] {
        let listing = with(include);
        let mut wanted = names(&plain);
        wanted.extend(added);
        wanted.sort_unstable();
        assert_eq!(names(&listing), wanted, "{include:?}");
        let archive = packed_by(dir.path(), &rules(include, &[])).unwrap();
        assert_eq!(paths(&archive), wanted, "{include:?}");
    }
    // `exclude` is stronger than `include`, and git's own files are always left out.
    tree(dir.path(), &[(".git/config", b"")]);
    let both = listed(
        dir.path(),
        &rules(&["dist", ".git", ".env"], &["dist/deep", ".env"]),
    );
    assert!(
        !names(&both)
            .iter()
            .any(|path| path.contains("deep") || path.contains(".git/") || path.contains(".env"))
    );
    assert!(
        both.warnings
            .iter()
            .any(|warning| warning.contains("include names .env,")),
        "{:?}",
        both.warnings
    );
    let wide = with(&["dist/**"]);
    assert!(
        wide.warnings
            .iter()
            .any(|warning| warning.contains("dist/.env") && warning.contains("dist/**"))
    );
}

#[test]
fn a_broken_pattern_of_either_list_is_an_error_that_names_it() {
    let dir = tempfile::tempdir().unwrap();
    for broken in ["a{b", "[", "src/[a-", "x\\"] {
        for (list, rules) in [
            ("include", rules(&["ok", broken], &[])),
            ("exclude", rules(&[], &["ok", broken])),
        ] {
            let error = packed_by(dir.path(), &rules).unwrap_err();
            let PackError::Pattern {
                pattern,
                list: named,
                ..
            } = &error
            else {
                panic!("{error}")
            };
            assert_eq!((pattern.as_str(), *named), (broken, list));
        }
    }
    let error = packed_by(dir.path(), &rules(&["!src"], &[]))
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("\"!src\" in include") && error.contains("exclude"),
        "{error}"
    );
}

#[test]
fn a_private_key_goes_in_only_where_include_has_its_very_path() {
    let dir = tempfile::tempdir().unwrap();
    tree(
        dir.path(),
        &[
            ("tests/tls_key", PEM),
            ("tests/two", PEM),
            ("src/lib.rs", b""),
        ],
    );
    let error = refused(dir.path()).to_string();
    assert!(
        error.contains("tests/tls_key") && error.contains("tests/two") && error.contains("OPENSSH"),
        "{error}"
    );
    for include in [
        &["tests/*"][..],
        &["tests"],
        &["**/tls_key", "**/two"],
        &["tests/tls_key"],
        &["tls_key", "two"],
    ] {
        let listing = listed(dir.path(), &rules(include, &[]));
        assert!(!listing.refused.is_empty(), "{include:?}");
        assert!(packed_by(dir.path(), &rules(include, &[])).is_err());
    }
    for include in [
        ["tests/tls_key", "/tests/two"],
        ["./tests/tls_key", "tests/two"],
    ] {
        packed_by(dir.path(), &rules(&include, &[])).unwrap();
    }
    packed(dir.path(), &["tests"]).unwrap();
    // A header far into a large file counts too.
    tree(
        dir.path(),
        &[(
            "big",
            &[&vec![b'x'; 700_000], b"\n".as_slice(), PEM].concat(),
        )],
    );
    assert!(
        packed(dir.path(), &["tests"])
            .unwrap_err()
            .to_string()
            .contains("big contains a private key")
    );
}

#[test]
fn a_key_of_ours_never_goes_in() {
    let dir = tempfile::tempdir().unwrap();
    let key = Keypair::generate_ed25519();
    for bytes in [
        encoded(&key).unwrap(),
        seal::seal(&key, "words", 1).unwrap().into_bytes(),
    ] {
        tree(dir.path(), &[("a/innocent.txt", &bytes)]);
        for rules in [
            rules(&[], &[]),
            rules(&["a/innocent.txt"], &[]),
            rules(&["**"], &[]),
        ] {
            let error = packed_by(dir.path(), &rules).unwrap_err();
            assert!(
                error
                    .to_string()
                    .contains("a/innocent.txt is a key of Swarmdex"),
                "{error}"
            );
        }
        packed(dir.path(), &["innocent.txt"]).unwrap();
    }
}

#[test]
fn the_nodes_directories_stay_out_however_they_are_named() {
    let around = tempfile::tempdir().unwrap();
    let dir = around.path().join("proj");
    tree(
        &dir,
        &[
            ("src/main.rs", b""),
            (".node/swarmdex.db", b"rows"),
            (".node/deep/notes", b""),
            ("state/x.log", b""),
        ],
    );
    let (elsewhere, link) = (around.path().join("elsewhere"), around.path().join("link"));
    tree(&elsewhere, &[("control.token", b"word")]);
    symlink(dir.join(".node"), &link).unwrap();
    symlink("../elsewhere", dir.join("outside")).unwrap();
    symlink(".node/swarmdex.db", dir.join("shortcut")).unwrap();
    let own = |dirs: &[&Path]| Rules {
        own: dirs.iter().map(|dir| (*dir).to_owned()).collect(),
        ..Rules::default()
    };
    // By its path, by a link to it, by a path with a detour, and with directories that do not
    // exist.
    let detour = dir.join("src/../.node");
    for data in [dir.join(".node"), link.clone(), detour] {
        let rules = own(&[&data, &elsewhere, &dir.join("absent"), &dir.join("state")]);
        let listing = listed(&dir, &rules);
        assert_eq!(
            names(&listing),
            ["src", "src/main.rs"],
            "{}",
            data.display()
        );
        assert_eq!(out(&listing), [".node/", "outside", "shortcut", "state/"]);
        assert!(
            listing
                .left_out
                .iter()
                .all(|left| left.why == LeftOutReason::Node)
        );
        let included = Rules {
            include: vec![".node/**".to_owned(), ".node/swarmdex.db".to_owned()],
            ..rules
        };
        assert_eq!(
            names(&listed(&dir, &included)),
            ["src", "src/main.rs"],
            "nothing brings them in"
        );
    }
    // The directory itself, and one in it.
    for packed_dir in [dir.join(".node"), dir.join(".node/deep"), link] {
        let error = packed_by(&packed_dir, &own(&[&dir.join(".node")])).unwrap_err();
        assert!(matches!(&error, PackError::Own(_)), "{error}");
    }
}

#[test]
fn names_that_are_one_name_elsewhere_are_warned_of() {
    let dir = tempfile::tempdir().unwrap();
    let files = [
        "README",
        "readme",
        "a/X",
        "b/x",
        "caf\u{e9}",
        "cafe\u{301}",
        "Dir/1",
        "dir/2",
    ];
    for path in files {
        tree(dir.path(), &[(path, b"")]);
    }
    let warnings = listed(dir.path(), &Rules::default()).warnings;
    // A file system that unifies these names leaves nothing to warn of.
    if fs::read_dir(dir.path()).unwrap().count() == 8 {
        assert_eq!(warnings.len(), 3, "{warnings:?}");
        assert!(
            warnings
                .iter()
                .any(|warning| warning.contains("README and readme") && warning.contains("case"))
        );
        assert!(
            warnings
                .iter()
                .any(|warning| warning.contains("Unicode normal form"))
        );
        assert!(
            warnings
                .iter()
                .any(|warning| warning.starts_with("Dir and dir"))
        );
    }
}

#[test]
fn a_long_listing_is_folded_and_counts_everything() {
    let dir = tempfile::tempdir().unwrap();
    for n in 0..30 {
        tree(
            dir.path(),
            &[
                (&format!("src/{n:02}"), b"12"),
                (&format!("top-{n:02}"), b"1"),
            ],
        );
    }
    let listing = listed(dir.path(), &Rules::default());
    assert_eq!(listing.folded(100).len(), 60);
    for most in [1, 5, 31, 59] {
        let rows = listing.folded(most);
        assert!(rows.len() <= most, "{rows:?}");
        let sums = rows.iter().fold((0, 0), |(files, size), row| {
            (files + row.files, size + row.size)
        });
        assert_eq!(sums, (60, 90));
    }
    assert!(listing.folded(31).contains(&ListingRow {
        path: "src/".to_owned(),
        files: 30,
        size: 60
    }));
}

/// Names of files and directories, private and harmless.
fn name() -> impl Strategy<Value = String> {
    let some = [
        "src",
        "publisher.key",
        ".env",
        ".ssh",
        "id_rsa",
        "notes.md",
        "a.pem",
        "build",
        ".gitignore.txt",
        "x.log",
    ];
    prop_oneof![
        prop::sample::select(some.to_vec()).prop_map(str::to_owned),
        "[a-zA-Z0-9_.äé-]{1,12}".prop_filter("no name", |name| !name.trim_matches('.').is_empty()),
    ]
}

fn path() -> impl Strategy<Value = String> {
    prop::collection::vec(name(), 1..6).prop_map(|names| names.join("/"))
}

#[derive(Clone, Copy, Debug)]
enum Content {
    Words,
    Plain,
    Sealed,
}

fn content() -> impl Strategy<Value = Content> {
    prop_oneof![3 => Just(Content::Words), 1 => Just(Content::Plain), 1 => Just(Content::Sealed)]
}

fn patterns() -> impl Strategy<Value = Vec<String>> {
    let some = [
        "**", "*", "*.key", "/src", "build/**", "*.log", ".env*", "id_*", ".ssh/**", "src/*",
    ];
    let one = prop_oneof![
        prop::sample::select(some.to_vec()).prop_map(str::to_owned),
        path()
    ];
    prop::collection::vec(
        one.prop_filter("a pattern", |line| !line.starts_with(['!', '#'])),
        0..4,
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    /// No archive has a private key, under any name, at any depth and with any lists, and every
    /// archive has exactly the names in its listing.
    #[test]
    fn no_archive_holds_a_key_and_every_archive_is_what_was_listed(
        files in prop::collection::vec((path(), content()), 1..12),
        include in patterns(),
        exclude in patterns(),
        ignored in patterns(),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let mut keys = Vec::new();
        for (path, content) in files {
            let bytes = match content {
                Content::Words => b"words".to_vec(),
                Content::Plain => encoded(&Keypair::generate_ed25519()).unwrap(),
                Content::Sealed => seal::seal(&Keypair::generate_ed25519(), "words", 1).unwrap().into_bytes(),
            };
            let place = dir.path().join(&path);
            // The random names may collide as file and directory.
            let made = fs::create_dir_all(place.parent().unwrap()).and_then(|()| fs::write(&place, &bytes));
            if made.is_ok() && !matches!(content, Content::Words) {
                keys.push((path, bytes));
            }
        }
        fs::write(dir.path().join(".gitignore"), ignored.join("\n")).unwrap();
        let rules = Rules { include, exclude, own: Vec::new() };
        let plan = plan(dir.path(), &rules, PackLimits::default()).unwrap();
        let listing = plan.listing();
        let going_in: BTreeSet<_> = listing.entries.iter().map(|entry| entry.path.clone()).collect();
        let mut archive = Vec::new();
        match plan.write(&mut archive, |_| {}) {
            Ok(packed) => {
                prop_assert!(listing.refused.is_empty());
                let listed: Vec<_> = listing.entries.iter().map(|entry| entry.path.clone()).collect();
                prop_assert_eq!(paths(&archive), listed);
                prop_assert_eq!(listing.files(), (packed.files, packed.bytes));
                for (path, bytes) in keys.iter().filter(|(path, bytes)| fs::read(dir.path().join(path)).unwrap() == *bytes) {
                    prop_assert!(!going_in.contains(path), "{path}");
                    let tar = zstd::decode_all(archive.as_slice()).unwrap();
                    prop_assert!(!tar.windows(bytes.len()).any(|window| window == bytes.as_slice()), "{path}");
                }
            }
            Err(PackError::Keys(refused)) => {
                prop_assert!(archive.is_empty());
                for one in refused {
                    prop_assert!(going_in.contains(&one.path));
                    prop_assert!(keys.iter().any(|(path, _)| *path == one.path));
                }
            }
            Err(error) => prop_assert!(false, "{error}"),
        }
        // Everything is in one of the two lists, or in a directory that is.
        for left in &listing.left_out {
            prop_assert!(!going_in.contains(&left.path), "{}", left.path);
        }
    }
}
