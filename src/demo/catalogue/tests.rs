use std::{
    fs,
    path::{Path, PathBuf},
};

use flate2::{Compression, write::GzEncoder};

use super::*;

const MANIFEST: &str = r#"
[package]
name = "hello"
version = "1.2.3"

[dependencies]
serde = "1"
rand = "0.8"
"#;

/// Writes an archive with the given files.
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

#[test]
fn an_archive_becomes_a_release_of_somebody() {
    let dir = tempfile::tempdir().unwrap();
    archive(
        dir.path(),
        "hello-1.2.3.crate",
        &[("hello-1.2.3/Cargo.toml", MANIFEST.as_bytes())],
    );
    let mut catalogue = DemoCatalogue::load(
        &CatalogueSource::Directory(dir.path().into()),
        &Needs::default(),
    )
    .unwrap();
    let entry = catalogue.entries.pop().unwrap();
    let bob = PublisherId::of(&libp2p::identity::Keypair::generate_ed25519().public());
    let owner = |name: &PackageName| {
        (name.as_str() == "cargo:serde").then(|| (bob, "bob".parse().unwrap()))
    };
    let by = entry.draft_by("ann".parse().unwrap(), owner);
    assert_eq!(by.dependencies.len(), 1);
    assert_eq!(by.dependencies[0].written(), format!("{bob}/cargo:serde"));
    assert_eq!(by.dependencies[0].label().unwrap().as_str(), "bob");
    assert_eq!(by.handle.unwrap().as_str(), "ann");
}

#[test]
fn a_directory_is_read_in_order_without_doubles() {
    let dir = tempfile::tempdir().unwrap();
    for (stem, version) in [("b-1", "1.10.0"), ("b-2", "1.9.0"), ("b-3", "1.9.0")] {
        let manifest = format!("[package]\nname = \"b\"\nversion = \"{version}\"");
        archive(
            dir.path(),
            &format!("{stem}.crate"),
            &[(&format!("{stem}/Cargo.toml"), manifest.as_bytes())],
        );
    }
    fs::write(dir.path().join("README"), "no archive").unwrap();
    let catalogue = DemoCatalogue::load(
        &CatalogueSource::Directory(dir.path().into()),
        &Needs::default(),
    )
    .unwrap();
    let versions: Vec<_> = catalogue
        .entries
        .iter()
        .map(|entry| entry.draft.version.to_string())
        .collect();
    assert_eq!(versions, ["1.9.0", "1.10.0"]);
    assert_eq!(catalogue.skipped.len(), 1);
}

#[test]
fn a_directory_with_nothing_to_publish_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let load = |path: &Path| {
        DemoCatalogue::load(&CatalogueSource::Directory(path.into()), &Needs::default())
            .unwrap_err()
    };
    assert!(
        load(dir.path())
            .to_string()
            .contains("there are no .crate files")
    );
    fs::write(dir.path().join("x-1.crate"), "x").unwrap();
    let error = load(dir.path());
    assert!(
        error.is_usage() && error.to_string().contains("x-1.crate"),
        "{error}"
    );
    assert!(matches!(
        load(&dir.path().join("absent")),
        RegistryError::File { .. }
    ));
}

#[test]
fn the_embedded_catalogue_is_real_and_valid() {
    let catalogue = DemoCatalogue::load(&CatalogueSource::Embedded, &Needs::default()).unwrap();
    assert!(
        catalogue.entries.len() >= 300,
        "{}",
        catalogue.entries.len()
    );
    let read = |entry: &CatalogueEntry| entry.draft.version.read(&entry.draft.ecosystem).unwrap();
    let order: Vec<_> = catalogue
        .entries
        .iter()
        .map(|entry| (&entry.package, read(entry)))
        .collect();
    assert!(order.is_sorted(), "by name and version");
    assert!(
        catalogue
            .entries
            .iter()
            .all(|entry| !entry.draft.description.is_empty() && entry.content.size > 0)
    );
    let needs: usize = catalogue
        .entries
        .iter()
        .map(|entry| entry.draft.dependencies.len())
        .sum();
    assert!(needs > 500, "{needs}");
}
