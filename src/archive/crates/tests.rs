use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
};

use flate2::{Compression, write::GzEncoder};
use libp2p::identity::Keypair;
use proptest::prelude::*;

use super::*;
use crate::domain::{
    hash::{ContentRoot, Hash},
    manifest::{Dependency, File as ReleaseFile},
    name::{Handle, PublisherId},
    record::{Authorised, MAX_NUMBER},
    time::Timestamp,
};

const MANIFEST: &str = r#"
[package]
name = "Hello_World"
version = "1.2.3"
description = "Says hello\n   to the\tworld"
categories = ["encoding", "encoding", ""]
keywords = ["hello", "world"]
license = "MIT"
authors = ["Ann Example <ann@example.org>", "<nobody@example.org>", "me@example.org"]
repository = "https://example.org/hello"
homepage = "javascript:alert(1)"

[dependencies]
serde = "1"
renamed = { package = "Rand", version = "0.8", optional = true }
local = { path = "../local" }
"bad name" = "1"
"#;

/// Writes an archive with the given files, names unchecked as a hostile author would have them.
fn archive(dir: &Path, name: &str, files: &[(&str, &[u8])]) -> PathBuf {
    let mut tar = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    for (name, bytes) in files {
        let mut header = tar::Header::new_ustar();
        let field = &mut header.as_old_mut().name;
        field[..name.len()].copy_from_slice(name.as_bytes());
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        header.set_cksum();
        tar.append(&header, *bytes).unwrap();
    }
    let path = dir.join(name);
    fs::write(&path, tar.into_inner().unwrap().finish().unwrap()).unwrap();
    path
}

fn refused(path: &Path) -> ArchiveError {
    read(path).unwrap_err()
}

#[test]
fn a_real_archive_becomes_a_release() {
    let dir = tempfile::tempdir().unwrap();
    let files: [(&str, &[u8]); 2] = [
        ("hello-1.2.3/src/lib.rs", b"//"),
        ("hello-1.2.3/Cargo.toml", MANIFEST.as_bytes()),
    ];
    let path = archive(dir.path(), "hello-1.2.3.crate", &files);
    let entry = read(&path).unwrap();
    let bytes = fs::read(&path).unwrap();
    assert_eq!(
        entry.content,
        Content {
            root: ContentRoot::of(&bytes),
            size: bytes.len() as u64
        }
    );
    let draft = &entry.draft;
    assert_eq!(
        (draft.name.as_str(), draft.version.to_string().as_str()),
        ("Hello_World", "1.2.3")
    );
    assert_eq!(draft.description, "Says hello to the world");
    assert_eq!((draft.categories.len(), draft.tags.len()), (1, 2));
    assert_eq!(draft.authors, ["Ann Example"]);
    assert_eq!(
        draft.repository.as_deref(),
        Some("https://example.org/hello")
    );
    assert_eq!(draft.homepage, None);
    let needs: Vec<_> = draft
        .dependencies
        .iter()
        .map(Dependency::describe)
        .collect();
    assert_eq!(
        needs,
        ["local@*", "serde@1", "Rand@0.8 (optional; with renamed)"]
    );
    let [bad] = entry.left_out.as_slice() else {
        panic!("{:?}", entry.left_out)
    };
    assert!(bad.starts_with("bad name: "), "{bad}");
    let index: serde_json::Value = serde_json::from_str(&entry.index).unwrap();
    assert_eq!(index["cksum"], Hash::of(&bytes).to_string());
    assert_eq!(
        (&index["name"], index["deps"].as_array().unwrap().len()),
        (&"Hello_World".into(), 3)
    );
    assert_eq!(entry.readme, None);
}

#[test]
fn names_that_climb_are_passed_over() {
    let dir = tempfile::tempdir().unwrap();
    let manifest = MANIFEST.as_bytes();
    for name in [
        "../a-1/Cargo.toml",
        "/a-1/Cargo.toml",
        "a-1/../a-1/Cargo.toml",
        "b-1/Cargo.toml",
        "a-1/x/Cargo.toml",
    ] {
        let path = archive(dir.path(), "a-1.crate", &[(name, manifest)]);
        assert!(matches!(refused(&path), ArchiveError::Missing(_)), "{name}");
    }
    let path = archive(
        dir.path(),
        "a-1.crate",
        &[("../../etc/passwd", b"x"), ("a-1/Cargo.toml", manifest)],
    );
    assert!(read(&path).is_ok());
    assert_eq!(
        fs::read_dir(dir.path()).unwrap().count(),
        1,
        "nothing was unpacked"
    );
}

#[test]
fn archives_that_unpack_to_too_much_are_given_up() {
    let dir = tempfile::tempdir().unwrap();
    let huge = vec![b'#'; 600 << 10];
    let path = archive(dir.path(), "a-1.crate", &[("a-1/Cargo.toml", &huge)]);
    assert!(matches!(refused(&path), ArchiveError::TooLarge));
    let zeros = vec![0; 40 << 20];
    let path = archive(
        dir.path(),
        "a-1.crate",
        &[
            ("a-1/bomb", &zeros),
            ("a-1/Cargo.toml", MANIFEST.as_bytes()),
        ],
    );
    assert!(fs::metadata(&path).unwrap().len() < 1 << 20, "it is a bomb");
    assert!(matches!(refused(&path), ArchiveError::TooLarge));
    let many: Vec<(String, Vec<u8>)> = (0..5_000)
        .map(|n| (format!("a-1/{n}"), Vec::new()))
        .collect();
    let mut files: Vec<(&str, &[u8])> = many
        .iter()
        .map(|(name, bytes)| (name.as_str(), bytes.as_slice()))
        .collect();
    files.push(("a-1/Cargo.toml", MANIFEST.as_bytes()));
    assert!(matches!(
        refused(&archive(dir.path(), "a-1.crate", &files)),
        ArchiveError::Missing(_)
    ));
}

#[test]
fn a_crate_may_be_as_large_as_a_gateway_takes() {
    let dir = tempfile::tempdir().unwrap();
    let path = archive(
        dir.path(),
        "a-1.crate",
        &[("a-1/Cargo.toml", MANIFEST.as_bytes())],
    );
    let grow = |size: u64| {
        fs::File::options()
            .append(true)
            .open(&path)
            .unwrap()
            .set_len(size)
            .unwrap()
    };
    grow(70 << 20);
    let whole = fs::read(&path).unwrap();
    let entry = read(&path).unwrap();
    assert_eq!(
        entry.content,
        Content {
            root: ContentRoot::of(&whole),
            size: 70 << 20
        }
    );
    assert!(
        entry.index.contains(&Hash::of(&whole).to_string()),
        "{}",
        entry.index
    );
    grow((512 << 20) + 1);
    assert!(matches!(refused(&path), ArchiveError::TooLarge));
}

#[test]
fn damaged_archives_are_skipped_with_a_reason() {
    let dir = tempfile::tempdir().unwrap();
    let whole = archive(
        dir.path(),
        "a-1.crate",
        &[("a-1/Cargo.toml", MANIFEST.as_bytes())],
    );
    let bytes = fs::read(&whole).unwrap();
    let cut = dir.path().join("cut-1.crate");
    for length in [0, 1, 10, bytes.len() / 2] {
        fs::write(&cut, &bytes[..length]).unwrap();
        assert!(!matches!(refused(&cut), ArchiveError::TooLarge), "{length}");
    }
    let text = dir.path().join("text-1.crate");
    fs::File::create(&text)
        .unwrap()
        .write_all(b"not an archive at all")
        .unwrap();
    assert!(matches!(refused(&text), ArchiveError::Unreadable(_)));
    for bad in [
        "",
        "[package]\nname = \"a\"",
        "[package]\nname = \"-\"\nversion = \"1.0.0\"",
        "x =",
        "package = 1",
    ] {
        let path = archive(
            dir.path(),
            "a-1.crate",
            &[("a-1/Cargo.toml", bad.as_bytes())],
        );
        assert!(
            matches!(refused(&path), ArchiveError::Bad { why, .. } if !why.is_empty()),
            "{bad}"
        );
    }
    let path = archive(dir.path(), "a-1.crate", &[("a-1/Cargo.toml", b"\xff\xfe")]);
    assert!(matches!(refused(&path), ArchiveError::Bad { .. }));
}

fn index_of(manifest: &str) -> serde_json::Value {
    let line = index::line(&manifest.parse().unwrap(), "00".to_owned()).unwrap();
    assert!(!line.contains('\n'));
    serde_json::from_str(&line).unwrap()
}

#[test]
fn the_index_has_what_cargo_reads() {
    let line = index_of(
        r#"
        [package]
        name = "Foo"
        version = "1.0.0-rc.1"
        links = "z"
        rust-version = "1.85"
        [features]
        default = ["std"]
        std = ["dep:rand", "serde?/std"]
        [dependencies]
        rand-core = { version = "0.6", package = "rand_core", features = ["std"], optional = true, default-features = false }
        elsewhere = { version = "=1.2.3", registry-index = "sparse+https://example.org/" }
        "no name" = "1"
        no-requirement = "one"
        [build-dependencies.cc]
        version = "1, <1.3"
        [dev_dependencies]
        insta = "*"
        [target.'cfg(unix)'.dependencies]
        libc = { version = "0.2", default_features = false }
        [target.x86_64-pc-windows-msvc.dev-dependencies]
        winapi = "0.3.9"
        "#,
    );
    let expected = serde_json::json!({
        "name": "Foo",
        "vers": "1.0.0-rc.1",
        "deps": [
            {"name": "elsewhere", "req": "=1.2.3", "features": [], "optional": false, "default_features": true,
             "target": null, "kind": "normal", "registry": "sparse+https://example.org/", "package": null},
            {"name": "rand-core", "req": "^0.6", "features": ["std"], "optional": true, "default_features": false,
             "target": null, "kind": "normal", "registry": null, "package": "rand_core"},
            {"name": "cc", "req": "^1, \
                <1.3", "features": [], "optional": false, "default_features": true,
             "target": null, "kind": "build", "registry": null, "package": null},
            {"name": "insta", "req": "*", "features": [], "optional": false, "default_features": true,
             "target": null, "kind": "dev", "registry": null, "package": null},
            {"name": "libc", "req": "^0.2", "features": [], "optional": false, "default_features": false,
             "target": "cfg(unix)", "kind": "normal", "registry": null, "package": null},
            {"name": "winapi", "req": "^0.3.9", "features": [], "optional": false, "default_features": true,
             "target": "x86_64-pc-windows-msvc", "kind": "dev", "registry": null, "package": null},
        ],
        "cksum": "00",
        "features": {"default": ["std"], "std": ["dep:rand", "serde?/std"]},
        "yanked": false,
        "links": "z",
        "rust_version": "1.85",
        "v": 2,
    });
    assert_eq!(line, expected);
    let odd =
        index_of("[package]\nname = \"a\"\nversion = \"1.0.0\"\nrust-version = \"1.85-nightly\"");
    assert_eq!(
        (odd.get("rust_version"), &odd["links"], &odd["deps"]),
        (None, &serde_json::Value::Null, &serde_json::json!([]))
    );
}

#[test]
fn the_readme_is_the_one_it_names() {
    let dir = tempfile::tempdir().unwrap();
    let big = vec![b'x'; (1 << 20) + 1];
    for (key, expected) in [
        ("", Some("default")),
        ("readme = \"./docs/a.md\"", Some("docs")),
        ("readme = \"CHANGES\"", Some("before the manifest")),
        ("readme = true", Some("default")),
        ("readme = false", None),
        ("readme = \"absent.md\"", None),
        ("readme = \"latin1.md\"", None),
        ("readme = \"big.md\"", None),
        ("readme = \"../README.md\"", None),
    ] {
        let manifest = format!("[package]\nname = \"a\"\nversion = \"1.0.0\"\n{key}");
        let files: [(&str, &[u8]); 7] = [
            ("README.md", b"outside"),
            ("a-1.0.0/CHANGES", b"before the manifest"),
            ("a-1.0.0/Cargo.toml", manifest.as_bytes()),
            ("a-1.0.0/big.md", &big),
            ("a-1.0.0/README.md", b"default"),
            ("a-1.0.0/docs/a.md", b"docs"),
            ("a-1.0.0/latin1.md", b"\xe9"),
        ];
        let read = read(&archive(dir.path(), "a-1.0.0.crate", &files)).unwrap();
        assert_eq!(read.readme.as_deref(), expected, "{key}");
    }
}

proptest! {
    /// Any fields give either a release that can be signed and sent, or a reason.
    #[test]
    fn any_manifest_is_a_release_or_a_reason(
        description in "\\PC{0,1500}|.{0,300}", labels in prop::collection::vec(".{0,60}", 0..20), license in ".{0,150}",
        authors in prop::collection::vec("\\PC{0,200}", 0..12), link in "https://\\PC{0,250}|.{0,20}",
        needs in prop::collection::btree_map("[a-zA-Z][a-z0-9_-]{0,63}", "[~^=]?[0-9]{1,3}\\.[0-9]{1,3}", 0..60),
    ) {
        let mut package = toml::Table::new();
        package.insert("name".into(), "x".into());
        package.insert("version".into(), "1.0.0".into());
        package.insert("description".into(), description.into());
        package.insert("categories".into(), labels.clone().into());
        package.insert("keywords".into(), labels.into());
        package.insert("license".into(), license.into());
        package.insert("authors".into(), authors.into());
        package.insert("repository".into(), link.clone().into());
        package.insert("homepage".into(), link.into());
        let mut manifest = toml::Table::new();
        manifest.insert("package".into(), package.into());
        manifest.insert("dependencies".into(), toml::Value::try_from(needs).unwrap());
        let content = ReleaseFile { size: MAX_NUMBER, ..ReleaseFile::of(&crate::ecosystem::Ecosystem::Generic, "x", b"") };
        let (mut draft, _) = manifest::release(&manifest).unwrap();
        let handle: Handle = "a-handle-of-24-characters".parse().unwrap();
            let key = Keypair::generate_ed25519();
        draft.handle = Some(handle);
        let signable = draft.into_manifest(PublisherId::of(&key.public()), content, Timestamp(MAX_NUMBER)).unwrap();
        prop_assert!(Authorised::sign(&key, signable).is_ok());
    }

    #[test]
    fn any_text_is_read_without_panic(text in ".*|(\\[?(package|dependencies|features|target|readme|name|version|a)[\\].=]*[\"{}0-9 \n]*){0,8}") {
        if let Ok(manifest) = text.parse::<Table>() {
            let _ = manifest::release(&manifest);
            let _ = index::line(&manifest, String::new());
            let _ = readme_of(&manifest);
        }
    }
}
