//! Test vectors of records for other implementations: `tests/vectors/records.json`, described by
//! `docs/protocols/records.md`.
//!
//! `UPDATE_VECTORS=1 cargo test --test it vectors` writes the file anew; Ed25519 signatures are the
//! same each time.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use data_encoding::HEXLOWER;
use libp2p::{core::SignedEnvelope, identity::Keypair};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use swarmdex::domain::{
    hash::{ContentRoot, Hash},
    manifest::{Artifacts, Content, Dependency, Draft, Ecosystem, File, Manifest},
    name::PublisherId,
    record::{Authorised, Ext, Head, HeadState, Owned, Page, Payload, Refusal},
    release::{ReleaseEntry, YankedFile},
    time::Timestamp,
};

/// One record, and its meaning or the reason why it is refused.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Vector {
    /// The case that it demonstrates.
    about: String,
    /// The type to parse it as: `head`, `page` or `manifest`.
    kind: String,
    /// The signed envelope, in hexadecimal.
    envelope: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    hash: Option<Hash>,
    /// Its fields; digests, roots and keys as text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    value: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    refused: Option<Refusal>,
}

const NOW: Timestamp = Timestamp(1_790_000_000_000);
const LIFE: Duration = Duration::from_secs(90 * 24 * 3_600);

fn key(n: u8) -> Keypair {
    Keypair::ed25519_from_bytes([n; 32]).unwrap()
}

fn owner(n: u8) -> PublisherId {
    PublisherId::of(&key(n).public())
}

fn content(bytes: &[u8]) -> Content {
    Content {
        root: ContentRoot::of(bytes),
        size: bytes.len() as u64,
    }
}

fn manifest(toml: &str, files: Vec<File>) -> Manifest {
    let draft: Draft = toml::from_str(toml).unwrap();
    draft
        .into_manifest(
            owner(1),
            Artifacts {
                files,
                readme: None,
                native: None,
            },
            NOW,
        )
        .unwrap()
}

fn least() -> Manifest {
    manifest(
        "name = \"web\"\nversion = \"1.0.0\"",
        vec![File::of(&Ecosystem::Generic, "web-1.0.0.tar.zst", b"bytes")],
    )
}

fn wheel() -> Manifest {
    let wheel = File {
        native: Some(content(b"Metadata-Version: 2.1")),
        published_at: Some(Timestamp(1_700_000_000_000)),
        ..File::of(
            &Ecosystem::Pypi,
            "Wheel_Box-1.0-py3-none-any.whl",
            b"a wheel",
        )
    };
    let toml = r#"
        ecosystem = "pypi"
        name = "Wheel.Box"
        version = "1.0"
        title = "A box"
        description = "Of wheels.\nRound ones."
        categories = ["tools"]
        tags = ["wheel"]
        license = "MIT"
        authors = ["A. Person"]
        repository = "https://example.org/box"
        homepage = "https://example.org"
        dependencies = [{ name = "six", requirement = ">=1.10", marker = "python_version < '3.9'", extras = ["fast"] }]
    "#;
    let mut manifest = manifest(
        toml,
        vec![
            File::of(&Ecosystem::Pypi, "wheel_box-1.0.tar.gz", b"an sdist"),
            wheel,
        ],
    );
    manifest.readme = Some(content(b"# Box"));
    manifest.ext = Ext(BTreeMap::from([(
        "x-later".to_owned(),
        b"kept".to_vec().into(),
    )]));
    manifest
}

fn npm() -> Manifest {
    let toml = format!(
        "ecosystem = \"npm\"\nname = \"@scope/name\"\nversion = \"2.0.0-rc.1\"\n\
         dependencies = [{{ package = \"{}/npm:left\", requirement = \"^1.2.0 || 2.x\", optional = \
         true }}]",
        owner(2)
    );
    manifest(
        &toml,
        vec![File::of(
            &Ecosystem::Npm,
            "name-2.0.0-rc.1.tgz",
            b"a tarball",
        )],
    )
}

fn entry(version: &str, manifest: &[u8]) -> ReleaseEntry {
    ReleaseEntry::new(version.parse().unwrap(), Hash::of(manifest))
}

fn first_head() -> Head {
    let state = HeadState::first(
        Ecosystem::Cargo,
        "serde_json".parse().unwrap(),
        vec![entry("1.0.0", b"one")],
    );
    state.sign(&key(1), NOW, LIFE).unwrap().0.into_value()
}

fn page() -> Page {
    let releases = vec![entry("1.0.0", b"one"), entry("1.1.0", b"two")];
    Page {
        owner: owner(1),
        ecosystem: Ecosystem::Pypi,
        name: "box".parse().unwrap(),
        releases,
        older: None,
        ext: Ext::default(),
    }
}

fn later_head() -> Head {
    let page = Authorised::sign(&key(1), page()).unwrap();
    let added = ReleaseEntry {
        older: true,
        deprecated: Some("use crate-box".to_owned()),
        ..entry("1.0.0", b"added")
    };
    let files = vec![YankedFile {
        name: "box-1.1.0.tar.gz".to_owned(),
        why: "wrong license".to_owned(),
    }];
    let said = ReleaseEntry {
        manifests: vec![],
        older: true,
        yanked_files: files,
        ..entry("1.1.0", b"")
    };
    let yanked = ReleaseEntry {
        yanked: Some("it leaks".to_owned()),
        ..entry("1.2.0", b"three")
    };
    let state = HeadState {
        handle: Some("alice".parse().unwrap()),
        seq: 7,
        prev: vec![Hash::of(b"one tip"), Hash::of(b"another")],
        older: Some(page.hash()),
        tags: BTreeMap::from([("stable".to_owned(), "1.1.0".parse().unwrap())]),
        ..HeadState::first(
            Ecosystem::Pypi,
            "Box".parse().unwrap(),
            vec![added, said, yanked, entry("2.0rc1", b"four")],
        )
    };
    state.sign(&key(1), NOW, LIFE).unwrap().0.into_value()
}

fn taken<T: Owned + Serialize>(about: &str, kind: &str, value: T) -> Vector {
    let signed = Authorised::sign(&key(1), value).unwrap();
    Vector {
        about: about.to_owned(),
        kind: kind.to_owned(),
        envelope: HEXLOWER.encode(signed.envelope()),
        hash: Some(signed.hash()),
        value: Some(serde_json::to_value(&**signed).unwrap()),
        refused: None,
    }
}

/// Signs a record that the program itself would not sign.
fn forged(
    about: &str,
    kind: &str,
    signer: u8,
    (domain, payload_type): (&str, &str),
    payload: &impl Serialize,
    refused: Refusal,
) -> Vector {
    let payload = cbor4ii::serde::to_vec(Vec::new(), payload).unwrap();
    let envelope = SignedEnvelope::new(
        &key(signer),
        domain.to_owned(),
        payload_type.as_bytes().to_vec(),
        payload,
    )
    .unwrap();
    Vector {
        about: about.to_owned(),
        kind: kind.to_owned(),
        envelope: HEXLOWER.encode(&envelope.into_protobuf_encoding()),
        hash: None,
        value: None,
        refused: Some(refused),
    }
}

fn vectors() -> Vec<Vector> {
    const MANIFEST: (&str, &str) = ("swarmdex-manifest", "/swarmdex/manifest/3");
    #[derive(Serialize)]
    struct More {
        #[serde(flatten)]
        page: Page,
        more: u8,
    }
    let changed = {
        let mut vector = taken("one bit of the signature is another", "manifest", least());
        let mut bytes = HEXLOWER.decode(vector.envelope.as_bytes()).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        vector.envelope = HEXLOWER.encode(&bytes);
        Vector {
            hash: None,
            value: None,
            refused: Some(Refusal::BadSignature),
            ..vector
        }
    };
    let twice = Manifest {
        files: [least().files, least().files].concat(),
        ..least()
    };
    let none = Manifest {
        files: vec![],
        ..least()
    };
    let rootless = Head {
        seq: 2,
        ..first_head()
    };
    let two_manifests = ReleaseEntry {
        manifests: vec![Hash::of(b"a"), Hash::of(b"b")],
        ..entry("1.0.0", b"a")
    };
    let grown = Head {
        releases: vec![two_manifests],
        ..first_head()
    };
    vec![
        taken("the least that a manifest has", "manifest", least()),
        taken(
            "a manifest with two files, a marker, and a field of later versions",
            "manifest",
            wheel(),
        ),
        taken(
            "a scoped name, three digests, and a dependency by key",
            "manifest",
            npm(),
        ),
        taken("a package's first state", "head", first_head()),
        taken(
            "a state that joins a fork, adds to and says of versions in a page, and has a tag",
            "head",
            later_head(),
        ),
        taken("a page of older entries", "page", page()),
        changed,
        forged(
            "signed by another key than the owner's",
            "manifest",
            2,
            MANIFEST,
            &least(),
            Refusal::Unauthorised,
        ),
        forged(
            "of a later format",
            "manifest",
            1,
            (MANIFEST.0, "/swarmdex/manifest/4"),
            &least(),
            Refusal::UnknownFormat,
        ),
        forged(
            "of another kind",
            "manifest",
            1,
            ("swarmdex-page", "/swarmdex/page/3"),
            &page(),
            Refusal::Malformed,
        ),
        forged(
            "one file twice",
            "manifest",
            1,
            MANIFEST,
            &twice,
            Refusal::BadField,
        ),
        forged("no file", "manifest", 1, MANIFEST, &none, Refusal::BadField),
        forged(
            "a second state that follows nothing",
            "head",
            1,
            ("swarmdex-head", "/swarmdex/head/3"),
            &rootless,
            Refusal::BadField,
        ),
        forged(
            "two manifests where a release has one",
            "head",
            1,
            ("swarmdex-head", "/swarmdex/head/3"),
            &grown,
            Refusal::BadField,
        ),
        forged(
            "a field that is not known",
            "page",
            1,
            ("swarmdex-page", "/swarmdex/page/3"),
            &More {
                page: page(),
                more: 1,
            },
            Refusal::Malformed,
        ),
    ]
}

fn read<T: Owned + Payload + Serialize>(envelope: &[u8]) -> Result<(Hash, Value), Refusal> {
    let record = Authorised::<T>::verify(envelope)?;
    Ok((record.hash(), serde_json::to_value(&**record).unwrap()))
}

#[test]
fn the_vectors_are_read_as_they_say() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/records.json");
    if std::env::var_os("UPDATE_VECTORS").is_some() {
        let mut text = serde_json::to_string_pretty(&vectors()).unwrap();
        text.push('\n');
        std::fs::write(&path, text).unwrap();
    }
    let held: Vec<Vector> = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    for vector in &held {
        let envelope = HEXLOWER.decode(vector.envelope.as_bytes()).unwrap();
        let read = match vector.kind.as_str() {
            "head" => read::<Head>(&envelope),
            "page" => read::<Page>(&envelope),
            "manifest" => read::<Manifest>(&envelope),
            other => panic!("{other}"),
        };
        let said = match (vector.hash, vector.value.clone(), vector.refused) {
            (Some(hash), Some(value), None) => Ok((hash, value)),
            (None, None, Some(refused)) => Err(refused),
            _ => panic!("{} says neither", vector.about),
        };
        assert_eq!(read, said, "{}", vector.about);
    }
    // Signing today gives the stored bytes.
    assert_eq!(held, vectors());
}

#[test]
fn a_dependency_says_what_it_is_on() {
    let manifest = wheel();
    assert_eq!(
        manifest.dependencies[0],
        Dependency {
            extras: vec!["fast".to_owned()],
            marker: manifest.dependencies[0].marker.clone(),
            ..Dependency::bare("six".parse().unwrap(), ">=1.10".parse().unwrap())
        }
    );
}
