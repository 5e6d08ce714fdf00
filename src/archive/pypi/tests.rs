use std::{
    fs,
    io::{Cursor, Write},
    path::PathBuf,
};

use flate2::{Compression, Crc, write::GzEncoder};
use proptest::prelude::*;
use tempfile::TempDir;
use zip::{DateTime, ZipWriter, write::SimpleFileOptions};

use super::*;
use crate::ecosystem::pypi::{dependency::VersionsOrUrl, marker::Marker};

/// 2026-01-01.
const NOW: Timestamp = Timestamp(1_767_225_600_000);

const METADATA: &str = r#"Metadata-Version: 2.4
Name: Zope.Interface
Version: 6.0
Summary: Interfaces
  for	Python
Author-email: "Ann, B." <ann@example.org>, Ben <ben@example.org>
License-Expression: ZPL-2.1
Keywords: interface,components, plug ins ,
Classifier: Programming Language :: Python
Project-URL: Source Code, https://example.org/source
Project-URL: HomePage, https://example.org/
Project-URL: Nothing
Requires-Python: >=3.9
Requires-Dist: sphinx (>=2,<9) ; extra == "docs"
Requires-Dist: odd >= 1.*
Provides-Extra: docs
Dynamic: License-File
Description-Content-Type: text/markdown; charset=UTF-8

# Interfaces

Zoë's.
"#;

/// A file of a handmade archive: its name in the local header and in the directory, and its bytes.
#[derive(Clone)]
struct Raw<'a> {
    here: &'a str,
    listed: &'a str,
    bytes: &'a [u8],
    flags: u16,
    mode: u32,
    at: Option<u32>,
}

fn raw<'a>(name: &'a str, bytes: &'a [u8]) -> Raw<'a> {
    Raw {
        here: name,
        listed: name,
        bytes,
        flags: 0,
        mode: 0o100_644,
        at: None,
    }
}

/// Stores files uncompressed, with a directory that omits the first `hidden` ones.
fn zip_by_hand(files: &[Raw<'_>], hidden: usize) -> Vec<u8> {
    let mut archive = Vec::new();
    let mut directory = Vec::new();
    for (at, file) in files.iter().enumerate() {
        let start = file.at.unwrap_or(archive.len() as u32);
        let mut crc = Crc::new();
        crc.update(file.bytes);
        let common = |name: &str| {
            let mut header = Vec::new();
            for field in [20, file.flags, 0, 0x6000, 0x5a21] {
                header.extend(field.to_le_bytes());
            }
            for field in [crc.sum(), file.bytes.len() as u32, file.bytes.len() as u32] {
                header.extend(field.to_le_bytes());
            }
            header.extend((name.len() as u32).to_le_bytes());
            header
        };
        archive.extend(b"PK\x03\x04");
        archive.extend(common(file.here));
        archive.extend(file.here.as_bytes());
        archive.extend(file.bytes);
        if at >= hidden {
            directory.extend(b"PK\x01\x02\x14\x03");
            directory.extend(common(file.listed));
            directory.extend([0; 6]);
            directory.extend((file.mode << 16).to_le_bytes());
            directory.extend(start.to_le_bytes());
            directory.extend(file.listed.as_bytes());
        }
    }
    let (start, listed) = (archive.len() as u32, (files.len() - hidden) as u16);
    archive.extend(&directory);
    archive.extend(b"PK\x05\x06\0\0\0\0");
    archive.extend([listed.to_le_bytes(), listed.to_le_bytes()].concat());
    archive.extend([(directory.len() as u32).to_le_bytes(), start.to_le_bytes()].concat());
    archive.extend([0, 0]);
    archive
}

fn zip_of(files: &[(&str, &[u8])], at: (u16, u8, u8, u8)) -> Vec<u8> {
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    let (year, month, day, hour) = at;
    let at = DateTime::from_date_and_time(year, month, day, hour, 0, 0).unwrap();
    for (name, bytes) in files {
        archive
            .start_file(*name, SimpleFileOptions::default().last_modified_time(at))
            .unwrap();
        archive.write_all(bytes).unwrap();
    }
    archive.finish().unwrap().into_inner()
}

/// Names are unchecked, as a hostile author would have them.
fn tar_of(files: &[(&str, tar::EntryType, &[u8])]) -> Vec<u8> {
    let mut archive = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    for (name, kind, bytes) in files {
        let mut header = tar::Header::new_ustar();
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_entry_type(*kind);
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        header.set_mtime(1_500_000_000);
        header.set_cksum();
        archive.append(&header, *bytes).unwrap();
    }
    archive.into_inner().unwrap().finish().unwrap()
}

const FILE: tar::EntryType = tar::EntryType::Regular;
const WHEEL: &str = "zope_interface-6.0-py3-none-any.whl";
const SDIST: &str = "zope.interface-6.0.0.tar.gz";
const INFO: &str = "zope_interface-6.0.dist-info/METADATA";

fn written(name: &str, bytes: &[u8]) -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(name);
    fs::write(&path, bytes).unwrap();
    (dir, path)
}

fn read_as(name: &str, bytes: &[u8]) -> Result<Distribution, ArchiveError> {
    let (_dir, path) = written(name, bytes);
    read(&path, NOW)
}

#[test]
fn a_wheel_says_what_it_is() {
    let metadata = METADATA.as_bytes();
    let archive = zip_of(
        &[
            ("zope/__init__.py", b""),
            (INFO, metadata),
            ("x/METADATA", b"x"),
        ],
        (2025, 3, 4, 5),
    );
    let wheel = read_as(WHEEL, &archive).unwrap();
    assert!(matches!(&wheel.file, FileName::Wheel(wheel) if wheel.pythons == ["py3"]));
    assert_eq!(wheel.metadata_file, metadata);
    assert_eq!(wheel.published_at, Some(Timestamp(1_741_064_400_000)));
    let CoreMetadata {
        name,
        version,
        summary,
        description,
        authors,
        keywords,
        requires_dist,
        ..
    } = wheel.metadata.clone();
    assert_eq!(
        (name.as_str(), version.as_str(), summary.as_deref()),
        ("Zope.Interface", "6.0", Some("Interfaces for Python"))
    );
    let description = description.unwrap();
    assert_eq!(description.bytes, "# Interfaces\n\nZoë's.\n".as_bytes());
    assert_eq!(
        description.content_type.as_deref(),
        Some("text/markdown; charset=UTF-8")
    );
    assert_eq!(
        authors,
        ["Ann, B. <ann@example.org>", "Ben <ben@example.org>"]
    );
    assert_eq!(keywords, ["interface", "components", "plug ins"]);
    let links = (
        wheel.metadata.homepage.as_deref(),
        wheel.metadata.repository.as_deref(),
    );
    assert_eq!(
        links,
        (
            Some("https://example.org/"),
            Some("https://example.org/source")
        )
    );
    assert_eq!(
        wheel.metadata.license_expression.as_deref(),
        Some("ZPL-2.1")
    );
    assert_eq!(wheel.metadata.requires_python.as_deref(), Some(">=3.9"));
    assert_eq!(
        (wheel.metadata.provides_extra, wheel.metadata.dynamic),
        (vec!["docs".to_owned()], vec!["license-file".to_owned()])
    );
    let [sphinx, odd] = requires_dist.as_slice() else {
        panic!("{requires_dist:?}")
    };
    let needed = sphinx.dependency.as_ref().unwrap();
    assert_eq!(
        (needed.name.as_str(), &needed.wanted),
        ("sphinx", &VersionsOrUrl::Versions(">=2,<9".to_owned()))
    );
    assert_eq!(
        needed.marker.as_ref().map(Marker::as_str),
        Some("extra == \"docs\"")
    );
    assert_eq!((odd.text.as_str(), &odd.dependency), ("odd >= 1.*", &None));
}

#[test]
fn source_distributions_are_read_from_either_archive() {
    let metadata = METADATA.as_bytes();
    let egg = (
        "zope.interface-6.0.0/src/zope.interface.egg-info/PKG-INFO",
        FILE,
        &b"Name: other"[..],
    );
    for root in [
        "zope.interface-6.0.0/PKG-INFO",
        "./zope_interface-6.0/PKG-INFO",
        "anything/PKG-INFO",
    ] {
        let source = read_as(SDIST, &tar_of(&[egg, (root, FILE, metadata)])).unwrap();
        assert_eq!(
            (
                source.metadata.name.as_str(),
                source.metadata_file.as_slice()
            ),
            ("Zope.Interface", metadata)
        );
        assert_eq!(source.published_at, Some(Timestamp(1_500_000_000_000)));
    }
    let source = read_as(
        "zope.interface-6.0.zip",
        &zip_of(
            &[("a/PKG-INFO", metadata), ("a/b/PKG-INFO", b"")],
            (2003, 5, 6, 7),
        ),
    );
    assert_eq!(
        source.unwrap().published_at,
        Some(Timestamp(1_052_204_400_000))
    );
}

#[test]
fn what_is_another_release_inside_is_refused() {
    let sdist =
        |metadata: &str| read_as(SDIST, &tar_of(&[("a/PKG-INFO", FILE, metadata.as_bytes())]));
    assert!(sdist("Name: zope_interface\nVersion: v6\n").is_ok());
    for other in [
        "Name: zope.interfaces\nVersion: 6.0\n",
        "Name: zope.interface\nVersion: 6.0.post1\n",
    ] {
        assert!(
            matches!(sdist(other), Err(ArchiveError::OtherRelease { .. })),
            "{other}"
        );
    }
    for (bad, why) in [
        ("Name: zope.interface\n", "has no version"),
        ("Version: 6.0\n", "has no name"),
        ("Name: UNKNOWN\nVersion: 6.0\n", "has no name"),
        (
            "Name: zope.interface\nVersion: 6.0\nname: other\n",
            "has its name twice",
        ),
        (
            "Name: zope.interface\nVersion: 6.0\rVersion: 7\n",
            "has its version twice",
        ),
        ("Name: zope interface\nVersion: 6.0\n", "has a name that"),
        (
            "Name: zope.interface\nVersion: latest\n",
            "has a version that",
        ),
        (
            "Metadata-Version: 3.0\nName: zope.interface\nVersion: 6.0\n",
            "has the version 3 of its format",
        ),
        (
            "\u{feff}Name: zope.interface\nVersion: 6.0\n",
            "has no name",
        ),
        ("\nName: zope.interface\nVersion: 6.0\n", "has no name"),
    ] {
        let error = sdist(bad).unwrap_err().to_string();
        assert!(error.contains(why), "{bad:?}: {error}");
    }
    // Installers use the directory.
    for info in [
        "zope_interface-6.1.dist-info/METADATA",
        "other-6.0.dist-info/METADATA",
        ".dist-info/METADATA",
    ] {
        let wheel = read_as(
            WHEEL,
            &zip_of(&[(info, METADATA.as_bytes())], (2025, 1, 1, 1)),
        );
        assert!(matches!(wheel, Err(ArchiveError::Ambiguous(_))), "{info}");
    }
    assert!(matches!(
        read_as("zope-6.0.tgz", b""),
        Err(ArchiveError::BadFileName(_))
    ));
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join(SDIST)).unwrap();
    assert!(matches!(
        read(&dir.path().join(SDIST), NOW),
        Err(ArchiveError::NotFile)
    ));
}

#[test]
fn zip_archives_that_can_be_read_in_two_ways_are_refused() {
    let metadata = METADATA.as_bytes();
    let good = [raw("a.py", b"pass"), raw(INFO, metadata)];
    let whole = zip_by_hand(&good, 0);
    assert!(read_as(WHEEL, &whole).is_ok());
    let [first, second] = good.clone();
    let with = |file: Raw<'static>| zip_by_hand(&[first.clone(), second.clone(), file], 0);
    let twice = zip_by_hand(&[second.clone(), second.clone()], 0);
    let renamed = zip_by_hand(
        &[
            first.clone(),
            Raw {
                here: "zope_interface-6.0.dist-info/METAZZZZ",
                ..second.clone()
            },
        ],
        0,
    );
    let hidden = zip_by_hand(
        &[raw(INFO, b"Name: other"), first.clone(), second.clone()],
        1,
    );
    let overlapping = zip_by_hand(
        &[
            Raw {
                at: Some(0),
                ..second.clone()
            },
            Raw {
                at: Some(0),
                ..raw(INFO, metadata)
            },
        ],
        1,
    );
    let mut commented = whole.clone();
    commented.splice(whole.len() - 2.., [4, 0, b'P', b'K', 5, 6]);
    let mut located = whole.clone();
    located.splice(whole.len() - 42..whole.len() - 38, *b"PK\x06\x07");
    let count = whole.len() - 14;
    let patched = |at: usize, with: &[u8]| {
        let mut bytes = whole.clone();
        bytes[at..at + with.len()].copy_from_slice(with);
        bytes
    };
    for (what, bytes) in [
        ("the same name twice", twice),
        (
            "two directories",
            with(raw("other-1.dist-info/RECORD", b"")),
        ),
        (
            "two metadata files",
            with(raw("ZOPE_INTERFACE-6.0.DIST-INFO/METADATA", b"")),
        ),
        ("another name before the file", renamed),
        ("a file that is not listed", hidden),
        ("one file for two", overlapping),
        ("something before it", [b"MZ", whole.as_slice()].concat()),
        ("something behind it", [whole.as_slice(), b"\0"].concat()),
        ("an end within its end", commented),
        ("a second end", located),
        ("more files than there are", patched(count, &[9, 0, 9, 0])),
        ("fewer files", patched(count, &[1, 0, 1, 0])),
        ("files on another disk", patched(count, &[1, 0, 2, 0])),
        (
            "as many files as there can be",
            patched(count, &[255, 255, 255, 255]),
        ),
        (
            "a directory elsewhere",
            patched(whole.len() - 6, &[0, 0, 0, 0]),
        ),
        (
            "an encrypted file",
            zip_by_hand(
                &[Raw {
                    flags: 1,
                    ..second.clone()
                }],
                0,
            ),
        ),
        (
            "a link",
            zip_by_hand(
                &[Raw {
                    mode: 0o120_777,
                    ..second.clone()
                }],
                0,
            ),
        ),
        (
            "a directory",
            zip_by_hand(&[raw("zope_interface-6.0.dist-info/METADATA/", b"")], 0),
        ),
        ("no metadata", zip_by_hand(std::slice::from_ref(&first), 0)),
        (
            "metadata further down",
            zip_by_hand(
                &[raw("x/zope_interface-6.0.dist-info/METADATA", metadata)],
                0,
            ),
        ),
        (
            "metadata that climbs",
            zip_by_hand(
                &[raw("../zope_interface-6.0.dist-info/METADATA", metadata)],
                0,
            ),
        ),
        ("no file", zip_by_hand(&[], 0)),
        ("nothing", Vec::new()),
    ] {
        let read = read_as(WHEEL, &bytes);
        assert!(read.is_err(), "{what}: {read:?}");
    }
    for length in 0..whole.len() {
        assert!(
            read_as(WHEEL, &whole[..length]).is_err(),
            "cut after {length} bytes"
        );
    }
}

#[test]
fn tar_archives_that_can_be_read_in_two_ways_are_refused() {
    let metadata = METADATA.as_bytes();
    let info = ("a/PKG-INFO", FILE, metadata);
    let whole = tar_of(&[info, ("a/x", FILE, b"x")]);
    assert!(read_as(SDIST, &whole).is_ok());
    let link = |kind| tar_of(&[("a/PKG-INFO", kind, &b""[..])]);
    for (what, bytes) in [
        ("two metadata files", tar_of(&[info, info])),
        (
            "two directories",
            tar_of(&[info, ("b/PKG-INFO", FILE, metadata)]),
        ),
        ("a link", link(tar::EntryType::Symlink)),
        ("a hard link", link(tar::EntryType::Link)),
        ("a device", link(tar::EntryType::Char)),
        (
            "no metadata",
            tar_of(&[
                ("PKG-INFO", FILE, metadata),
                ("a/b/PKG-INFO", FILE, metadata),
            ]),
        ),
        (
            "metadata that climbs",
            tar_of(&[
                ("../PKG-INFO", FILE, metadata),
                ("/PKG-INFO", FILE, metadata),
            ]),
        ),
        (
            "something behind it",
            [whole.as_slice(), b"\x1f\x8b"].concat(),
        ),
        (
            "a zip archive",
            zip_of(&[("a/PKG-INFO", metadata)], (2025, 1, 1, 1)),
        ),
    ] {
        let read = read_as(SDIST, &bytes);
        assert!(read.is_err(), "{what}: {read:?}");
    }
    for length in 0..whole.len() {
        assert!(
            read_as(SDIST, &whole[..length]).is_err(),
            "cut after {length} bytes"
        );
    }
}

#[test]
fn archives_that_unpack_to_too_much_are_given_up() {
    let long = [METADATA.as_bytes(), &vec![b'x'; 1 << 20]].concat();
    let wheel = read_as(WHEEL, &zip_of(&[(INFO, &long)], (2025, 1, 1, 1)));
    assert!(matches!(wheel, Err(ArchiveError::TooLarge)), "{wheel:?}");
    let sdist = read_as(SDIST, &tar_of(&[("a/PKG-INFO", FILE, &long)]));
    assert!(matches!(sdist, Err(ArchiveError::TooLarge)), "{sdist:?}");
    let bomb = tar_of(&[
        ("a/zeros", FILE, &vec![0; 40 << 20]),
        ("a/PKG-INFO", FILE, METADATA.as_bytes()),
    ]);
    assert!(bomb.len() < 1 << 20, "it is a bomb");
    assert!(matches!(read_as(SDIST, &bomb), Err(ArchiveError::TooLarge)));
    // The directory claims fewer bytes than there are.
    let mut liar = zip_of(&[(INFO, &long)], (2025, 1, 1, 1));
    let size = (long.len() as u32).to_le_bytes();
    let at: Vec<usize> = liar
        .windows(4)
        .enumerate()
        .filter(|(_, bytes)| *bytes == size)
        .map(|(at, _)| at)
        .collect();
    for at in &at {
        liar[*at..at + 4].copy_from_slice(&100_u32.to_le_bytes());
    }
    assert!(!at.is_empty() && read_as(WHEEL, &liar).is_err());
}

#[test]
fn times_are_told_where_they_can_be() {
    let at = |when| {
        read_as(WHEEL, &zip_of(&[(INFO, METADATA.as_bytes())], when))
            .unwrap()
            .published_at
    };
    for none in [
        (1980, 1, 1, 0),
        (1980, 1, 1, 5),
        (2002, 12, 31, 23),
        (2016, 1, 1, 0),
        (2020, 2, 2, 0),
        (2026, 1, 1, 1),
        (2107, 1, 1, 1),
    ] {
        assert_eq!(at(none), None, "{none:?}");
    }
    assert!(at((2025, 12, 31, 23)).is_some());

    // As Python's tarfile writes it: with a fraction in an extension header.
    let mut archive = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    archive
        .append_pax_extensions([("mtime", &b"1684768335.4978771"[..])])
        .unwrap();
    let mut header = tar::Header::new_ustar();
    header.set_path("a/PKG-INFO").unwrap();
    header.set_mode(0o644);
    header.set_size(METADATA.len() as u64);
    header.set_cksum();
    archive.append(&header, METADATA.as_bytes()).unwrap();
    let bytes = archive.into_inner().unwrap().finish().unwrap();
    assert_eq!(
        read_as(SDIST, &bytes).unwrap().published_at,
        Some(Timestamp(1_684_768_335_000))
    );
}

fn parsed(text: impl AsRef<[u8]>) -> CoreMetadata {
    CoreMetadata::parse(&[b"Name: a\nVersion: 1\n", text.as_ref()].concat()).unwrap()
}

#[test]
fn what_distutils_wrote_is_read() {
    let old = parsed(
        "Metadata-Version: 1.0\r\nSummary: UNKNOWN\r\nHome-page: http://example.org\r\n\
         Author: Ann, Ben\r\nAuthor-email: a@example.org\r\nLicense: UNKNOWN\r\n\
         Description: First\r\n        \r\n          code\r\n        last\r\n\
         Keywords: one two\r\nPlatform: UNKNOWN\r\n",
    );
    assert_eq!(
        (old.summary, old.license, old.homepage.as_deref()),
        (None, None, Some("http://example.org"))
    );
    assert_eq!(
        (old.authors, old.keywords),
        (
            vec!["Ann, Ben".to_owned()],
            vec!["one".to_owned(), "two".to_owned()]
        )
    );
    let description = old.description.unwrap();
    assert_eq!(
        (description.bytes.as_slice(), description.content_type),
        (&b"First\n\n  code\nlast"[..], None)
    );
    let bar = parsed("Description: First\n       |\n       |  code\n")
        .description
        .unwrap();
    assert_eq!(bar.bytes, b"First\n\n  code");
    assert_eq!(
        parsed("Description: UNKNOWN\n\nUNKNOWN\n").description,
        None
    );
    assert_eq!(parsed("Maintainer: Ann\n").authors, ["Ann"]);
}

#[test]
fn headers_end_where_they_end_in_mail() {
    // A line that is no header begins the body; a header without a name is skipped.
    let odd = parsed(
        "From somebody\n x\n: x\n\ty\nKeywords: a,\n b\n\tc\nnot a header\nRequires-Dist: unseen\n",
    );
    assert_eq!(odd.keywords, ["a", "b c"]);
    assert!(odd.requires_dist.is_empty());
    assert_eq!(
        odd.description.unwrap().bytes,
        b"not a header\nRequires-Dist: unseen\n"
    );
    assert_eq!(parsed("Summary: a\rAuthor: b").authors, ["b"]);
    assert_eq!(parsed(b"Author: Zo\xeb\n").authors, ["Zo\u{fffd}"]);
    assert_eq!(
        parsed("Summary: UNKNOWN\nSummary: second\n")
            .summary
            .as_deref(),
        Some("second")
    );
}

proptest! {
    #[test]
    fn no_metadata_makes_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..400), text in "(([A-Za-z-]{0,12})?:? ?[ -~\r\n\t]{0,30}\n){0,20}") {
        let _ = CoreMetadata::parse(&bytes);
        let _ = CoreMetadata::parse(&[b"Name: a\nVersion: 1\n", text.as_bytes(), &bytes].concat());
    }

    #[test]
    fn no_change_of_an_archive_makes_it_panic(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..5)) {
        let metadata = METADATA.as_bytes();
        let wheel = zip_by_hand(&[raw("a.py", b"pass"), raw(INFO, metadata)], 0);
        let packed = zip_of(&[("a.py", b"pass"), (INFO, metadata)], (2025, 1, 1, 1));
        let sdist = tar_of(&[("a/x", FILE, b"x"), ("a/PKG-INFO", FILE, metadata)]);
        for (name, mut bytes) in [(WHEEL, wheel), (WHEEL, packed), (SDIST, sdist)] {
            for (at, byte) in &changes {
                let at = at.index(bytes.len());
                bytes[at] = *byte;
            }
            let _ = read_as(name, &bytes);
        }
    }
}
