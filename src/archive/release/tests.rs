use std::{fs, io::Write};

use flate2::{Compression, write::GzEncoder};
use proptest::prelude::*;
use zip::{ZipWriter, write::SimpleFileOptions};

use super::*;
use crate::domain::manifest::{Artifacts, File};

/// 2025-06-01, in seconds.
const MADE: u64 = 1_748_736_001;
const NOW: Timestamp = Timestamp(1_800_000_000_000);
const METADATA: &str = "Metadata-Version: 2.1\nName: Zope.Interface\nVersion: 6.0\nSummary: \
    Interfaces\nLicense: ZPL 2.1\nClassifier: Topic :: Software Development :: \
    Libraries\nRequires-Dist: setuptools\nRequires-Dist: Six[fast, x] (>=1.10,<2); python_version \
    < \"3.9\"\nRequires-Dist: sphinx; extra == 'docs'\nRequires-Dist: own @ \
    https://example.org/own.whl\nRequires-Dist: what is this\n\n# Read me\n";

fn tgz(files: &[(&str, &str)], made: u64) -> Vec<u8> {
    let mut tar = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    for (path, text) in files {
        let mut header = tar::Header::new_ustar();
        header.set_size(text.len() as u64);
        header.set_mode(0o644);
        header.set_mtime(made);
        tar.append_data(&mut header, path, text.as_bytes()).unwrap();
    }
    tar.into_inner().unwrap().finish().unwrap()
}

fn wheel() -> Vec<u8> {
    let mut zip = ZipWriter::new(std::io::Cursor::new(Vec::new()));
    zip.start_file(
        "zope_interface-6.0.dist-info/METADATA",
        SimpleFileOptions::default(),
    )
    .unwrap();
    zip.write_all(METADATA.as_bytes()).unwrap();
    zip.finish().unwrap().into_inner()
}

fn deb(architecture: &str) -> Vec<u8> {
    let control = format!(
        "Package: hello\nVersion: 2.10-3\nArchitecture: {architecture}\nDepends: libc6 (>= 2.34)\n\
         Description: says hello\n Long ago,\n .\n and today.\n"
    );
    let control = tgz(&[("./control", &control)], MADE);
    let data = tgz(&[("./usr/bin/hello", "x")], MADE);
    let mut ar = b"!<arch>\n".to_vec();
    for (name, bytes) in [
        ("debian-binary", &b"2.0\n"[..]),
        ("control.tar.gz", &control),
        ("data.tar.gz", &data),
    ] {
        ar.extend(
            format!(
                "{name:<16}{MADE:<12}{:<6}{:<6}{:<8}{:<10}`\n",
                0,
                0,
                "100644",
                bytes.len()
            )
            .bytes(),
        );
        ar.extend(bytes);
        ar.extend(vec![b'\n'; bytes.len() % 2]);
    }
    ar
}

fn npm() -> Vec<u8> {
    let package = r#"{"name": "@scope/say", "version": "v1.0.0", "bin": "./cli.js", "readme": "old", "license": "MIT",
        "dependencies": {"ms": "^2", "alias": "npm:@us/other@^1.2", "forked": "github:us/forked"},
        "peerDependencies": {"react": ">=16"}, "optionalDependencies": {"fsevents": ""}, "devDependencies": {"mocha": "*"},
        "author": "Ann <ann@example.org>", "repository": "github:ann/say", "keywords": ["words"]}"#;
    tgz(
        &[
            ("package/package.json", package),
            ("package/README.md", "# Say"),
        ],
        499_162_500,
    )
}

fn krate(made: u64) -> Vec<u8> {
    let manifest =
        "[package]\nname = \"a_b\"\nversion = \"1.0.0\"\n[dependencies]\nserde = \"1\"\n";
    tgz(
        &[
            ("a_b-1.0.0/Cargo.toml", manifest),
            ("a_b-1.0.0/README.md", "# A"),
        ],
        made,
    )
}

fn read_as(name: &str, bytes: &[u8]) -> Result<ArchivedRelease, ArchiveError> {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join(name), bytes).unwrap();
    read(&dir.path().join(name), NOW)
}

#[test]
fn each_ecosystems_archives_become_one_type() {
    let made = Some(Timestamp(MADE * 1_000));
    let sdist = tgz(&[("zope.interface-6.0/PKG-INFO", METADATA)], MADE);
    for (name, bytes, what, readme, published_at) in [
        (
            "a_b-1.0.0.crate",
            krate(MADE),
            "cargo:a-b 1.0.0",
            "# A",
            made,
        ),
        (
            "a_b-1.0.0.crate",
            krate(1_153_704_088),
            "cargo:a-b 1.0.0",
            "# A",
            None,
        ),
        (
            "scope-say-1.0.0.tgz",
            npm(),
            "npm:@scope/say 1.0.0",
            "# Say",
            None,
        ),
        (
            "zope_interface-6.0-py3-none-any.whl",
            wheel(),
            "pypi:zope-interface 6.0",
            "# Read me\n",
            None,
        ),
        (
            "zope.interface-6.0.tar.gz",
            sdist,
            "pypi:zope-interface 6.0",
            "# Read me\n",
            made,
        ),
        (
            "hello_2.10-3_amd64.deb",
            deb("amd64"),
            "debian:hello 2.10-3",
            "Long ago,\n\nand today.",
            made,
        ),
    ] {
        let release = read_as(name, &bytes).unwrap();
        let ArchivedRelease { draft, files, .. } = &release;
        assert_eq!(
            format!("{} {}", draft.package().unwrap(), draft.version),
            what
        );
        assert_eq!(release.readme.as_deref(), Some(readme.as_bytes()), "{name}");
        let [file] = files.as_slice() else {
            panic!("{files:?}")
        };
        assert_eq!(
            (file.name.as_str(), file.published_at),
            (name, published_at)
        );
        assert_eq!(
            file.content,
            Content {
                root: ContentRoot::of(&bytes),
                size: bytes.len() as u64
            }
        );
        let has_own = matches!(draft.ecosystem, Ecosystem::Pypi | Ecosystem::Debian);
        assert_eq!(
            (file.native.is_some(), release.native.is_some()),
            (has_own, !has_own),
            "{name}"
        );
    }
}

#[test]
fn what_npm_says_of_a_version_is_normal() {
    let release = read_as("say.tgz", &npm()).unwrap();
    let native: serde_json::Value = serde_json::from_slice(&release.native.unwrap()).unwrap();
    assert_eq!(
        (&native["version"], &native["bin"]),
        (&"1.0.0".into(), &serde_json::json!({ "say": "./cli.js" }))
    );
    assert_eq!(native.get("readme"), None);
    let draft = release.draft;
    let needs: Vec<_> = draft
        .dependencies
        .iter()
        .map(Dependency::describe)
        .collect();
    assert_eq!(
        needs,
        [
            "@us/other@^1.2",
            "ms@^2",
            "react@>=16 (peer)",
            "fsevents@* (optional)"
        ]
    );
    let [git] = release.left_out.as_slice() else {
        panic!("{:?}", release.left_out)
    };
    assert_eq!(git, "forked: github:us/forked is not a version range");
    assert_eq!(
        (draft.authors, draft.tags),
        (vec!["Ann".to_owned()], vec!["words".to_owned()])
    );
    assert_eq!(
        draft.repository.as_deref(),
        Some("https://github.com/ann/say")
    );
}

#[test]
fn a_source_distribution_without_a_description_has_its_readme() {
    let metadata = METADATA.split("\n\n").next().unwrap();
    let files = [
        ("a-1/PKG-INFO", metadata),
        ("a-1/docs/README.md", "no"),
        ("a-1/README.rst", "yes"),
    ];
    let release = read_as("zope.interface-6.0.tar.gz", &tgz(&files, MADE)).unwrap();
    assert_eq!(release.readme.as_deref(), Some(&b"yes"[..]));
    assert_eq!(release.draft.license.as_deref(), Some("ZPL 2.1"));
    assert_eq!(release.draft.categories, ["Libraries"]);
    let needs: Vec<_> = release
        .draft
        .dependencies
        .iter()
        .map(Dependency::describe)
        .collect();
    let wanted = [
        "setuptools@*",
        "Six[fast, x]@>=1.10,<2 (python_version < \"3.9\")",
        "sphinx@* (optional; extra == 'docs')",
    ];
    assert_eq!(needs, wanted);
    assert_eq!(release.left_out.len(), 2, "{:?}", release.left_out);
}

#[test]
fn what_has_no_room_in_a_manifest_is_said() {
    let lines: String = (0..300)
        .map(|n| format!("Requires-Dist: a-package-with-a-long-name-{n}>=1.0; extra == 'x'\n"))
        .collect();
    let metadata =
        format!("Metadata-Version: 2.1\nName: a\nVersion: 1\n{lines}Requires-Dist: last>=1\n\n");
    let release = read_as("a-1.tar.gz", &tgz(&[("a-1/PKG-INFO", &metadata)], MADE)).unwrap();
    let Draft { dependencies, .. } = &release.draft;
    assert_eq!(dependencies.len() + release.left_out.len(), 301);
    assert!(
        dependencies.len() > 48 && release.left_out.len() > 100,
        "{}",
        dependencies.len()
    );
    assert_eq!(
        dependencies[0].written(),
        "last",
        "what is always needed comes first"
    );
    assert!(
        release.left_out[0].ends_with("a manifest has no room for it"),
        "{}",
        release.left_out[0]
    );
    let beside = Some(Content {
        root: ContentRoot::of(b""),
        size: 1,
    });
    let file = File::of(&release.draft.ecosystem, release.files[0].name.clone(), b"");
    let artifacts = Artifacts {
        files: vec![file],
        readme: beside,
        native: beside,
    };
    let key = libp2p::identity::Keypair::generate_ed25519();
    let owner = crate::domain::name::PublisherId::of(&key.public());
    let manifest = release.draft.into_manifest(owner, artifacts, NOW).unwrap();
    assert!(crate::domain::record::Authorised::sign(&key, manifest).is_ok());
}

#[test]
fn what_is_none_says_why() {
    for (name, bytes, why) in [
        (
            "notes.txt",
            &b"x"[..],
            "it is not named like a supported archive",
        ),
        ("other-1.0.0.crate", &krate(MADE), "it has no Cargo.toml"),
        ("a.deb", b"x", "it is not an ar archive"),
        ("a.tgz", b"x", "it cannot be read"),
        ("a-1.whl", b"x", "its name must have five parts"),
        ("a-1.tar.gz", b"x", "it cannot be read"),
    ] {
        let said = read_as(name, bytes).unwrap_err().to_string();
        assert!(said.starts_with(why), "{name}: {said}");
    }
}

/// A release of one file, as [`read`] returns it.
fn found(path: String, name: String, ecosystem: Ecosystem, version: u8) -> ArchivedRelease {
    let facts = Facts {
        ecosystem,
        name: "hello",
        version: "1.0.0",
        description: &path,
        categories: Vec::new(),
        tags: Vec::new(),
        license: None,
        authors: Vec::new(),
        repository: None,
        homepage: None,
    };
    let draft = Draft {
        version: format!("{version}.0.0").parse().unwrap(),
        ..draft(facts).unwrap()
    };
    let content = Content {
        root: ContentRoot::of(path.as_bytes()),
        size: 1,
    };
    let file = FoundFile {
        path: path.clone().into(),
        name,
        content,
        native: None,
        published_at: None,
    };
    ArchivedRelease {
        draft,
        left_out: Vec::new(),
        files: vec![file],
        readme: None,
        native: None,
    }
}

fn releases() -> impl Strategy<Value = Vec<ArchivedRelease>> {
    let one = (
        "[a-c]{1,2}(\\.whl)?",
        prop::sample::select(Ecosystem::KNOWN.to_vec()),
        0u8..3,
    );
    prop::collection::vec(one, 0..24).prop_map(|all| {
        let all = all.into_iter().enumerate();
        all.map(|(at, (name, ecosystem, version))| {
            found(format!("{at:02}/{name}"), name, ecosystem, version)
        })
        .collect()
    })
}

proptest! {
    #[test]
    fn groups_have_every_file_once_whatever_the_order(
        (all, shuffled) in releases().prop_flat_map(|all| (Just(all.clone()), Just(all).prop_shuffle()))
    ) {
        let (groups, refused) = grouped(all.clone());
        let mut paths: Vec<_> = groups.iter().flat_map(|group| &group.files).map(|file| file.path.clone()).collect();
        paths.extend(refused.iter().map(|refused| refused.path.clone()));
        paths.sort();
        prop_assert_eq!(paths, all.iter().map(|one| one.files[0].path.clone()).collect::<Vec<_>>());
        for group in &groups {
            prop_assert!(group.files.windows(2).all(|pair| pair[0].name < pair[1].name));
            prop_assert!(group.files.len() == 1 || group.draft.ecosystem.grows());
            // The draft comes from a wheel, if there is one.
            let has_wheel = group.files.iter().any(|file| file.name.ends_with(".whl"));
            prop_assert_eq!(has_wheel, group.draft.description.ends_with(".whl"));
        }
        let mut keys: Vec<_> = groups.iter().map(|group| key(&group.draft)).collect();
        keys.dedup();
        prop_assert_eq!(keys.len(), groups.len());
        // Every refused file conflicts with a kept one of its version: by name, or because the
        // release does not grow.
        for one in refused {
            let group = groups.iter().find(|group| key(&group.draft) == key(&one.draft)).unwrap();
            let name = one.path.file_name().unwrap().to_str().unwrap();
            prop_assert!(!group.draft.ecosystem.grows() || group.files.iter().any(|file| file.name == name));
        }
        let (same, _) = grouped(shuffled);
        prop_assert_eq!(same, groups);
    }
}
