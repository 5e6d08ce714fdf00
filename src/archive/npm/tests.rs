use std::io::Write;

use flate2::{Compression, write::GzEncoder};
use proptest::prelude::*;

use super::*;

const MANIFEST: &str =
    r#"{"name": "@scope/Hello", "version": "1.2.3-rc.1+build", "description": " Says hello "}"#;

/// A real time, and the constant that npm writes.
const TIME: u64 = 1_600_000_000;
const OF_NPM: u64 = 499_162_500;

struct Packed(tar::Builder<GzEncoder<Vec<u8>>>);

impl Packed {
    fn new() -> Self {
        Self(tar::Builder::new(GzEncoder::new(
            Vec::new(),
            Compression::fast(),
        )))
    }

    /// Adds a file, its name unchecked as a hostile author would have it.
    fn file(self, name: &str, bytes: impl AsRef<[u8]>) -> Self {
        self.entry(name, bytes, tar::EntryType::Regular, OF_NPM)
    }

    fn entry(
        mut self,
        name: &str,
        bytes: impl AsRef<[u8]>,
        kind: tar::EntryType,
        time: u64,
    ) -> Self {
        let bytes = bytes.as_ref();
        let mut header = tar::Header::new_ustar();
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_size(bytes.len() as u64);
        header.set_entry_type(kind);
        header.set_mtime(time);
        header.set_mode(0o644);
        header.set_cksum();
        self.0.append(&header, bytes).unwrap();
        self
    }

    fn bytes(self) -> Vec<u8> {
        self.0.into_inner().unwrap().finish().unwrap()
    }

    fn read(self) -> Result<NpmTarball, ArchiveError> {
        of(&self.bytes())
    }
}

fn manifest(text: &str) -> Result<NpmTarball, ArchiveError> {
    Packed::new().file("package/package.json", text).read()
}

/// A valid manifest with these fields added.
fn with(fields: &str) -> NpmTarball {
    manifest(&format!(r#"{{"name": "a", "version": "1.0.0", {fields}}}"#)).unwrap()
}

/// A file is read in pieces, and a member may straddle two of them.
#[test]
fn a_file_with_several_members_is_read_like_its_bytes() {
    let packed = Packed::new().file("package/package.json", MANIFEST).bytes();
    let mut unpacked = Vec::new();
    std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(&*packed), &mut unpacked).unwrap();
    let member = |bytes: &[u8], level| {
        let mut encoder = GzEncoder::new(Vec::new(), level);
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    };
    let (first, second) = unpacked.split_at(700);
    let archive = [
        member(first, Compression::none()),
        member(second, Compression::none()),
        vec![0; 9],
    ]
    .concat();
    let whole = of(&archive).unwrap();
    assert_eq!(whole.name, "@scope/Hello");
    for capacity in 1..900 {
        let read = within(BufReader::with_capacity(capacity, Cursor::new(&archive))).unwrap();
        assert_eq!(read, whole, "{capacity}");
    }
}

#[test]
fn a_tarball_is_a_package() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("any-name.tgz");
    let bytes = Packed::new()
        .file("package/index.js", "//")
        .file("package/package.json", MANIFEST)
        .file("package/README.md", "# Hello")
        .file("package/node_modules/other/package.json", "{}")
        .bytes();
    std::fs::write(&path, &bytes).unwrap();
    let package = read(&path).unwrap();
    assert_eq!(
        (package.name.as_str(), package.version.as_str()),
        ("@scope/Hello", "1.2.3-rc.1")
    );
    assert_eq!(package.description.as_deref(), Some("Says hello"));
    assert_eq!(package.package_json, MANIFEST.as_bytes());
    assert_eq!(
        package.readme,
        Some(ReadmeFile {
            name: "README.md".into(),
            bytes: b"# Hello".to_vec()
        })
    );
    assert_eq!(package.size, bytes.len() as u64);
    assert_eq!(package.sha1, <[u8; 20]>::from(Sha1::digest(&bytes)));
    assert_eq!(package.sha512, <[u8; 64]>::from(Sha512::digest(&bytes)));
    assert_eq!(package.published_at, None, "npm's own time is nobody's");
    assert!(matches!(read(dir.path()), Err(ArchiveError::NotFile)));
}

#[test]
fn the_first_directory_may_be_any() {
    for path in [
        "package/package.json",
        "node/package.json",
        "JSONStream/package.json",
        "./package.json",
        "é/package.json",
    ] {
        assert!(Packed::new().file(path, MANIFEST).read().is_ok(), "{path}");
    }
    for path in [
        "package.json",
        "package/lib/package.json",
        "./package/package.json",
        "package//package.json",
        "package/Package.json",
    ] {
        assert!(
            matches!(
                Packed::new().file(path, MANIFEST).read(),
                Err(ArchiveError::Missing(_))
            ),
            "{path}"
        );
    }
    let link = Packed::new().entry("package/package.json", "", tar::EntryType::Symlink, TIME);
    assert!(matches!(link.read(), Err(ArchiveError::Missing(_))));
}

#[test]
fn of_two_manifests_nobody_knows_which_counts() {
    let other = r#"{"name": "b", "version": "1.0.0"}"#;
    for path in ["package/package.json", "evil/package.json"] {
        let two = Packed::new()
            .file("package/package.json", MANIFEST)
            .file(path, other);
        assert!(
            matches!(two.read(), Err(ArchiveError::Ambiguous(_))),
            "{path}"
        );
        let one = Packed::new()
            .file("package/package.json", MANIFEST)
            .file(path, MANIFEST);
        assert!(one.read().is_ok(), "{path}");
    }
}

#[test]
fn times_are_those_of_files_if_they_are_real() {
    let of = |times: &[u64]| {
        let packed = Packed::new().file("package/package.json", MANIFEST);
        let packed = times.iter().fold(packed, |packed, time| {
            packed.entry(
                &format!("package/{time}"),
                "",
                tar::EntryType::Regular,
                *time,
            )
        });
        packed
            .entry("package/", "", tar::EntryType::Directory, TIME * 4)
            .read()
            .unwrap()
            .published_at
    };
    assert_eq!(of(&[]), None);
    assert_eq!(of(&[OF_NPM, 456_789_000, 0]), None);
    assert_eq!(of(&[OF_NPM, TIME, TIME - 1]), Some(TIME));
}

#[test]
fn the_readme_is_the_best_there_is() {
    for (files, best) in [
        (
            &["README.txt", "README", "readme.md", "README.zh-CN.md"][..],
            Some("readme.md"),
        ),
        (&["README.zh-CN.md", "Readme.txt"], Some("Readme.txt")),
        (&["README.markdown", "README"], Some("README.markdown")),
        (&["README.zh-CN.md"], Some("README.zh-CN.md")),
        (&["docs/README.md", "READMEX", "README.d/a"], None),
    ] {
        let packed = Packed::new().file("x/package.json", MANIFEST);
        let packed = files.iter().fold(packed, |packed, name| {
            packed.file(&format!("x/{name}"), name)
        });
        let readme = packed.read().unwrap().readme;
        assert_eq!(readme.as_ref().map(|readme| readme.name.as_str()), best);
        assert_eq!(
            readme.map(|readme| readme.bytes),
            best.map(|name| name.as_bytes().to_vec())
        );
    }
    let large = vec![b'x'; ReadmeFile::MOST as usize + 1];
    let packed = Packed::new()
        .file("x/package.json", MANIFEST)
        .file("x/README.md", large)
        .file("x/README", "small");
    assert_eq!(packed.read().unwrap().readme.unwrap().name, "README");
}

#[test]
fn old_forms_are_read() {
    for (fields, license) in [
        (r#""license": "MIT""#, Some("MIT")),
        (
            r#""license": "(MIT OR Apache-2.0)""#,
            Some("(MIT OR Apache-2.0)"),
        ),
        (r#""license": {"type": "BSD", "url": "x"}"#, Some("BSD")),
        (
            r#""licenses": [{"type": "MIT"}, {"type": "GPL-2.0 WITH x"}]"#,
            Some("MIT OR (GPL-2.0 WITH x)"),
        ),
        (r#""license": ["MIT", 7]"#, Some("MIT")),
        (r#""license": 7"#, None),
        (r#""license": "" "#, None),
    ] {
        assert_eq!(with(fields).license.as_deref(), license, "{fields}");
    }
    let people = with(
        r#""author": "Ann Example <ann@example.org> (https://example.org)",
           "maintainers": [{"name": "Bob", "mail": "b@example.org", "web": "https://b"}, "<only@example.org>", 7, {}, ""],
           "contributors": "Carl""#,
    );
    let person = |name: &str, email: Option<&str>, url: Option<&str>| Person {
        name: name.into(),
        email: email.map(Into::into),
        url: url.map(Into::into),
    };
    assert_eq!(
        people.author,
        Some(person(
            "Ann Example",
            Some("ann@example.org"),
            Some("https://example.org")
        ))
    );
    let bob = person("Bob", Some("b@example.org"), Some("https://b"));
    assert_eq!(
        people.maintainers,
        [bob, person("", Some("only@example.org"), None)]
    );
    assert_eq!(people.contributors, [person("Carl", None, None)]);
    assert_eq!(
        with(r#""keywords": ["a", " b ", "", 7]"#).keywords,
        ["a", "b"]
    );
    assert_eq!(with(r#""keywords": "a, b  c""#).keywords, ["a", "b", "c"]);
}

#[test]
fn repositories_are_addresses() {
    for (written, address) in [
        (r#""npm/cli""#, "https://github.com/npm/cli"),
        (r#""github:npm/cli""#, "https://github.com/npm/cli"),
        (r#""gitlab:a/b""#, "https://gitlab.com/a/b"),
        (
            r#""gist:11081aaa281""#,
            "https://gist.github.com/11081aaa281",
        ),
        (
            r#"{"type": "git", "url": "git+https://github.com/a/b.git"}"#,
            "https://github.com/a/b.git",
        ),
        (
            r#"{"url": "git://github.com/a/b.git", "directory": "x"}"#,
            "https://github.com/a/b.git",
        ),
        (r#""git@github.com:a/b.git""#, "https://github.com/a/b.git"),
        (
            r#""git+ssh://git@github.com/a/b.git""#,
            "https://github.com/a/b.git",
        ),
        (r#""https://example.org/a/b""#, "https://example.org/a/b"),
        (r#""javascript:alert(1)/x""#, "javascript:alert(1)/x"),
        (r#""../x""#, "../x"),
    ] {
        assert_eq!(
            with(&format!(r#""repository": {written}"#))
                .repository
                .as_deref(),
            Some(address)
        );
    }
    assert_eq!(with(r#""repository": [1]"#).repository, None);
}

#[test]
fn dependencies_are_told_by_kind() {
    let package = with(
        r#""dependencies": {"b": "^1", "c": "npm:other@2", "o": "1", "odd": {}},
           "devDependencies": {"d": " latest "}, "optionalDependencies": {"o": "2"},
           "peerDependencies": {"p": ">=1", "q": "*"}, "peerDependenciesMeta": {"q": {"optional": true}, "p": 7}"#,
    );
    let told: Vec<_> = package
        .dependencies
        .iter()
        .map(|it| {
            (
                it.name.as_str(),
                it.requirement.as_str(),
                it.kind,
                it.optional,
            )
        })
        .collect();
    use NpmDependencyKind::{Dev, Normal, Optional, Peer};
    assert_eq!(
        told,
        [
            ("b", "^1", Normal, false),
            ("c", "npm:other@2", Normal, false),
            ("p", ">=1", Peer, false),
            ("q", "*", Peer, true),
            ("o", "2", Optional, true),
            ("d", "latest", Dev, false),
        ]
    );
    assert!(
        with(r#""dependencies": ["a", "b"]"#)
            .dependencies
            .is_empty()
    );
}

#[test]
fn manifests_that_are_wrong_are_refused_with_a_reason() {
    let deep = format!(
        r#"{{"name": "a", "version": "1.0.0", "x": {}1{}}}"#,
        "[".repeat(500),
        "]".repeat(500)
    );
    for bad in [
        "",
        "[]",
        "{}",
        "null",
        r#"{"name": "a"}"#,
        r#"{"version": "1.0.0"}"#,
        r#"{"name": "../a", "version": "1.0.0"}"#,
        r#"{"name": "a", "version": "1.0"}"#,
        r#"{"name": "a", "version": 1}"#,
        r#"{"name": ["a"], "version": "1.0.0"}"#,
        r#"{"name": "node_modules", "version": "1.0.0"}"#,
        &deep,
    ] {
        assert!(
            matches!(manifest(bad), Err(ArchiveError::Bad { why, .. }) if !why.is_empty()),
            "{bad}"
        );
    }
    for (odd, version) in [("v1.0.0", "1.0.0"), (" = 1.0.0 ", "1.0.0")] {
        assert_eq!(
            manifest(&format!(r#"{{"name": "a", "version": "{odd}"}}"#))
                .unwrap()
                .version,
            version
        );
    }
    let mark = format!("\u{feff}{MANIFEST}");
    assert_eq!(manifest(&mark).unwrap().package_json, mark.as_bytes());
    let latin = Packed::new().file(
        "a/package.json",
        b"{\"name\": \"a\", \"version\": \"1.0.0\", \"author\": \"J\xf6rg\"}",
    );
    assert_eq!(latin.read().unwrap().author.unwrap().name, "J\u{fffd}rg");
    let twice = r#"{"name": "a", "name": "b", "version": "1.0.0"}"#;
    assert_eq!(
        manifest(twice).unwrap().name,
        "b",
        "the last one counts, as for npm"
    );
}

#[test]
fn archives_that_unpack_to_too_much_are_given_up() {
    let large = vec![b' '; MAX_MANIFEST as usize + 1];
    assert!(matches!(
        Packed::new().file("a/package.json", large).read(),
        Err(ArchiveError::TooLarge)
    ));
    let bomb = Packed::new()
        .file("a/package.json", MANIFEST)
        .file("a/zeros", vec![0; 64 << 20])
        .bytes();
    assert!(bomb.len() < 1 << 20, "it is a bomb");
    assert!(matches!(of(&bomb), Err(ArchiveError::TooLarge)));
    let many = (0..=crate::archive::read::MAX_ENTRIES).fold(
        Packed::new().file("a/package.json", MANIFEST),
        |packed, n| packed.file(&format!("a/{n}"), ""),
    );
    assert!(matches!(many.read(), Err(ArchiveError::TooLarge)));
    // The tar crate would keep the whole of a long name in memory.
    let name = Packed::new().entry(
        "././@LongLink",
        vec![b'x'; 1 << 20],
        tar::EntryType::GNULongName,
        TIME,
    );
    assert!(matches!(
        name.file("a/package.json", MANIFEST).read(),
        Err(ArchiveError::Unreadable(_))
    ));
}

#[test]
fn damaged_archives_are_refused() {
    let whole = Packed::new()
        .file("a/package.json", MANIFEST)
        .file("a/b", vec![7; 5_000])
        .bytes();
    for length in [0, 1, 10, whole.len() / 2, whole.len() - 9] {
        assert!(of(&whole[..length]).is_err(), "{length}");
    }
    // As in zlib, zeros or anything that is no member may follow, and another member is part of the
    // file.
    for after in [&[0; 3_000][..], b"junk", b"\x1f"] {
        let package = of(&[&whole, after].concat()).unwrap();
        assert_eq!(package.size, (whole.len() + after.len()) as u64);
    }
    assert!(of(&[&whole[..], b"\x1f\x8bjunk"].concat()).is_err());
    assert!(matches!(
        of(b"not an archive at all"),
        Err(ArchiveError::Unreadable(_))
    ));
    let mut page = GzEncoder::new(Vec::new(), Compression::fast());
    page.write_all(&b"<html>".repeat(400)).unwrap();
    assert!(of(&page.finish().unwrap()).is_err());
}

proptest! {
    #[test]
    fn any_manifest_comes_to_an_end(text in "\\PC{0,200}|(\\{?\"(name|version|license|author|repository|keywords|dependencies)\": ?[\\[\\]{}\",a1. ]{0,12},?\\}?){0,8}") {
        let _ = manifest(&text);
    }

    #[test]
    fn any_value_of_a_field_is_read(
        key in "license|licenses|author|maintainers|contributors|repository|keywords|dependencies|peerDependenciesMeta|description",
        text in "\\PC{0,30}|[<(a@b:/.)> ]{0,20}",
    ) {
        let text = serde_json::Value::from(text);
        for value in [text.clone(), serde_json::json!([text]), serde_json::json!({"name": text, "url": text, "type": text}), serde_json::json!([[text]])] {
            with(&format!("{}: {value}", serde_json::Value::from(key.as_str())));
        }
    }

    #[test]
    fn any_damage_comes_to_an_end(damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6)) {
        let mut packed = Packed::new().file("a/package.json", MANIFEST).file("a/README", "x").bytes();
        for (at, byte) in damage {
            let at = at.index(packed.len());
            packed[at] = byte;
        }
        let _ = of(&packed);
    }
}
