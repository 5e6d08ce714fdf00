use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
};

use flate2::{Compression, write::GzEncoder};
use libp2p::identity::Keypair;
use proptest::prelude::*;

use super::*;
use crate::domain::{hash::ContentRoot, record::Signed, time::Timestamp};

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

fn refused(path: &Path) -> Unusable {
    archive::read(path).unwrap_err()
}

#[test]
fn a_real_archive_becomes_a_release() {
    let dir = tempfile::tempdir().unwrap();
    let files: [(&str, &[u8]); 2] =
        [("hello-1.2.3/src/lib.rs", b"//"), ("hello-1.2.3/Cargo.toml", MANIFEST.as_bytes())];
    let path = archive(dir.path(), "hello-1.2.3.crate", &files);
    let entry = archive::read(&path).unwrap();
    let bytes = fs::read(&path).unwrap();
    assert_eq!(entry.content, Content { root: ContentRoot::of(&bytes), size: bytes.len() as u64 });
    let draft = &entry.draft;
    assert_eq!((draft.name.as_str(), draft.version.to_string().as_str()), ("hello_world", "1.2.3"));
    assert_eq!(draft.description, "Says hello to the world");
    assert_eq!((draft.categories.len(), draft.tags.len()), (1, 2));
    assert_eq!(draft.authors, ["Ann Example"]);
    assert_eq!(draft.repository.as_deref(), Some("https://example.org/hello"));
    assert_eq!(draft.homepage, None);
    let needs: Vec<_> = entry.needs.iter().map(|need| (need.name.as_str(), need.optional)).collect();
    assert_eq!(needs, [("local", false), ("rand", true), ("serde", false)]);
    let by = entry.draft_by("ann".parse().unwrap(), |name| (name.as_str() == "serde").then(|| "bob".parse().unwrap()));
    assert_eq!(by.dependencies.len(), 1);
    assert_eq!(by.dependencies[0].package, "bob/serde");
    assert_eq!(by.handle.unwrap().as_str(), "ann");
}

#[test]
fn names_that_climb_are_passed_over() {
    let dir = tempfile::tempdir().unwrap();
    let manifest = MANIFEST.as_bytes();
    for name in ["../a-1/Cargo.toml", "/a-1/Cargo.toml", "a-1/../a-1/Cargo.toml", "b-1/Cargo.toml", "a-1/x/Cargo.toml"]
    {
        let path = archive(dir.path(), "a-1.crate", &[(name, manifest)]);
        assert!(matches!(refused(&path), Unusable::NoManifest), "{name}");
    }
    let path = archive(dir.path(), "a-1.crate", &[("../../etc/passwd", b"x"), ("a-1/Cargo.toml", manifest)]);
    assert!(archive::read(&path).is_ok());
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing was unpacked");
}

#[test]
fn archives_that_unpack_to_too_much_are_given_up() {
    let dir = tempfile::tempdir().unwrap();
    let huge = vec![b'#'; 600 << 10];
    let path = archive(dir.path(), "a-1.crate", &[("a-1/Cargo.toml", &huge)]);
    assert!(matches!(refused(&path), Unusable::TooLarge));
    let zeros = vec![0; 40 << 20];
    let path = archive(dir.path(), "a-1.crate", &[("a-1/bomb", &zeros), ("a-1/Cargo.toml", MANIFEST.as_bytes())]);
    assert!(fs::metadata(&path).unwrap().len() < 1 << 20, "it is a bomb");
    assert!(matches!(refused(&path), Unusable::TooLarge));
    let many: Vec<(String, Vec<u8>)> = (0..5_000).map(|n| (format!("a-1/{n}"), Vec::new())).collect();
    let mut files: Vec<(&str, &[u8])> = many.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())).collect();
    files.push(("a-1/Cargo.toml", MANIFEST.as_bytes()));
    assert!(matches!(refused(&archive(dir.path(), "a-1.crate", &files)), Unusable::NoManifest));
}

#[test]
fn damaged_archives_are_skipped_with_a_reason() {
    let dir = tempfile::tempdir().unwrap();
    let whole = archive(dir.path(), "a-1.crate", &[("a-1/Cargo.toml", MANIFEST.as_bytes())]);
    let bytes = fs::read(&whole).unwrap();
    let cut = dir.path().join("cut-1.crate");
    for length in [0, 1, 10, bytes.len() / 2] {
        fs::write(&cut, &bytes[..length]).unwrap();
        assert!(!matches!(refused(&cut), Unusable::TooLarge), "{length}");
    }
    let text = dir.path().join("text-1.crate");
    fs::File::create(&text).unwrap().write_all(b"not an archive at all").unwrap();
    assert!(matches!(refused(&text), Unusable::Unreadable(_)));
    for bad in ["", "[package]\nname = \"a\"", "[package]\nname = \"-\"\nversion = \"1.0.0\"", "x =", "package = 1"] {
        let path = archive(dir.path(), "a-1.crate", &[("a-1/Cargo.toml", bad.as_bytes())]);
        assert!(matches!(refused(&path), Unusable::BadManifest(why) if !why.is_empty()), "{bad}");
    }
    let path = archive(dir.path(), "a-1.crate", &[("a-1/Cargo.toml", b"\xff\xfe")]);
    assert!(matches!(refused(&path), Unusable::BadManifest(_)));
}

#[test]
fn a_directory_is_read_in_order_without_doubles() {
    let dir = tempfile::tempdir().unwrap();
    for (stem, version) in [("b-1", "1.10.0"), ("b-2", "1.9.0"), ("b-3", "1.9.0")] {
        let manifest = format!("[package]\nname = \"b\"\nversion = \"{version}\"");
        archive(dir.path(), &format!("{stem}.crate"), &[(&format!("{stem}/Cargo.toml"), manifest.as_bytes())]);
    }
    fs::write(dir.path().join("README"), "no archive").unwrap();
    let catalogue = Catalogue::load(&Source::Directory(dir.path().into())).unwrap();
    let versions: Vec<_> = catalogue.entries.iter().map(|entry| entry.draft.version.to_string()).collect();
    assert_eq!(versions, ["1.9.0", "1.10.0"]);
    assert_eq!(catalogue.skipped.len(), 1);
}

#[test]
fn a_directory_with_nothing_to_publish_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let load = |path: &Path| Catalogue::load(&Source::Directory(path.into())).unwrap_err();
    assert!(load(dir.path()).to_string().contains("there are no .crate files"));
    fs::write(dir.path().join("x-1.crate"), "x").unwrap();
    let error = load(dir.path());
    assert!(error.is_usage() && error.to_string().contains("x-1.crate"), "{error}");
    assert!(matches!(load(&dir.path().join("absent")), RegistryError::File { .. }));
}

#[test]
fn the_embedded_catalogue_is_real_and_valid() {
    let catalogue = Catalogue::load(&Source::Embedded).unwrap();
    assert!(catalogue.entries.len() >= 300, "{}", catalogue.entries.len());
    let order: Vec<_> = catalogue.entries.iter().map(|entry| (&entry.draft.name, &entry.draft.version)).collect();
    assert!(order.is_sorted(), "by name and version");
    assert!(catalogue.entries.iter().all(|entry| !entry.draft.description.is_empty() && entry.content.size > 0));
    let needs: usize = catalogue.entries.iter().map(|entry| entry.needs.len()).sum();
    assert!(needs > 500, "{needs}");
}

proptest! {
    /// Whatever the fields say, the result is a release that can be signed and sent, or a reason.
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
        let content = Content { root: ContentRoot::of(b""), size: u64::MAX };
        let entry = sanitise::entry(&toml::to_string(&manifest).unwrap(), content).unwrap();
        let handle: Handle = "a-handle-of-24-characters".parse().unwrap();
        let draft = entry.draft_by(handle.clone(), |_| Some(handle.clone()));
        let signable = draft.into_manifest(content, Timestamp(u64::MAX)).unwrap();
        prop_assert!(Signed::sign(&Keypair::generate_ed25519(), signable).is_ok());
    }

    #[test]
    fn any_text_is_read_without_panic(text in ".*") {
        let _ = sanitise::entry(&text, Content { root: ContentRoot::of(b""), size: 0 });
    }
}
