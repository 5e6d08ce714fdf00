use std::{collections::BTreeMap, os::unix::fs::PermissionsExt};

use flate2::{Compression, write::GzEncoder};
use proptest::prelude::*;
use tar::{EntryType, Header};

use super::*;
use crate::archive::pack::{self, pack};

const LIMITS: ExtractLimits = ExtractLimits {
    bytes: 64 << 20,
    entries: 1_000,
    ratio: 100,
};

/// A tar archive with arbitrary names and types, as a hostile author would write.
#[derive(Default)]
struct Tar(Vec<u8>);

impl Tar {
    fn add(mut self, kind: EntryType, path: &[u8], link: &[u8], mode: u32, bytes: &[u8]) -> Self {
        let mut header = Header::new_gnu();
        let old = header.as_old_mut();
        old.name[..path.len()].copy_from_slice(path);
        old.linkname[..link.len()].copy_from_slice(link);
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_size(bytes.len() as u64);
        header.set_cksum();
        self.0.extend(header.as_bytes());
        self.0.extend(bytes);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    fn file(self, path: &str, bytes: &[u8]) -> Self {
        self.add(EntryType::Regular, path.as_bytes(), b"", 0o644, bytes)
    }

    fn dir(self, path: &str) -> Self {
        self.add(EntryType::Directory, path.as_bytes(), b"", 0o755, b"")
    }

    fn link(self, path: &str, target: &str) -> Self {
        self.add(
            EntryType::Symlink,
            path.as_bytes(),
            target.as_bytes(),
            0o777,
            b"",
        )
    }

    fn pax(self, records: &[(&str, &str)]) -> Self {
        self.add(EntryType::XHeader, b"pax", b"", 0o644, &pax(records))
    }

    fn end(mut self) -> Vec<u8> {
        self.0.resize(self.0.len() + 1_024, 0);
        self.0
    }
}

fn pax(records: &[(&str, &str)]) -> Vec<u8> {
    let mut out = Vec::new();
    for (key, value) in records {
        let body = key.len() + value.len() + 3;
        let length = (body..)
            .find(|length| *length == body + length.to_string().len())
            .unwrap();
        out.extend(format!("{length} {key}={value}\n").into_bytes());
    }
    out
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 3).unwrap();
    encoder.include_checksum(true).unwrap();
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Everything below a directory, by path.
fn listed(dir: &Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut left = vec![dir.to_owned()];
    while let Some(below) = left.pop() {
        for entry in fs::read_dir(below).unwrap() {
            let place = entry.unwrap().path();
            let metadata = fs::symlink_metadata(&place).unwrap();
            let what = if metadata.is_dir() {
                left.push(place.clone());
                "directory".to_owned()
            } else if metadata.is_symlink() {
                format!("link {}", fs::read_link(&place).unwrap().display())
            } else {
                let bytes = fs::read(&place).unwrap();
                format!(
                    "{:o} {}",
                    metadata.permissions().mode() & 0o7777,
                    blake3::hash(&bytes).to_hex()
                )
            };
            found.insert(
                place
                    .strip_prefix(dir)
                    .unwrap()
                    .to_str()
                    .unwrap()
                    .to_owned(),
                what,
            );
        }
    }
    found
}

/// Extracts as `around/web/tree`. If that fails, checks that nothing changed around it.
fn extracted(
    archive: &[u8],
    kind: ArchiveKind,
    limits: ExtractLimits,
) -> Result<BTreeMap<String, String>, ExtractError> {
    let around = tempfile::tempdir().unwrap();
    let into = around.path().join("web/tree");
    fs::create_dir(around.path().join("web")).unwrap();
    fs::write(around.path().join("secret"), "as it was").unwrap();
    let before = listed(around.path());
    let result = extract(archive, kind, &into, limits);
    match result {
        Ok(told) => {
            let found = listed(&into);
            let files = found
                .values()
                .filter(|what| what.starts_with(|c: char| c.is_ascii_digit()))
                .count();
            assert_eq!(told.files, files as u64);
            fs::remove_dir_all(&into).unwrap();
            assert_eq!(listed(around.path()), before, "something outside");
            Ok(found)
        }
        Err(error) => {
            assert_eq!(listed(around.path()), before, "{error}");
            assert!(!error.to_string().chars().any(char::is_control), "{error}");
            Err(error)
        }
    }
}

fn refused(tar: Tar) -> Unsafe {
    match extracted(&tar.end(), ArchiveKind::Tar, LIMITS).unwrap_err() {
        ExtractError::Refused { why, .. } => why,
        error => panic!("{error}"),
    }
}

fn damaged(archive: &[u8], kind: ArchiveKind) {
    let error = extracted(archive, kind, LIMITS).unwrap_err();
    assert!(matches!(error, ExtractError::Damaged(_)), "{error}");
}

#[test]
fn an_archive_of_another_program_is_unpacked() {
    let long = format!("{}/{}", "d".repeat(120), "f".repeat(130));
    let global = pax(&[("comment", "of git archive")]);
    let tar = Tar::default()
        .add(
            EntryType::XGlobalHeader,
            b"pax_global_header",
            b"",
            0o644,
            &global,
        )
        .dir("./")
        .dir("./a/")
        .file("./a/b", b"content")
        .add(EntryType::Regular, b"a/run", b"", 0o755, b"#!")
        .file("implied/c", b"")
        .dir("implied/")
        .link("a/link", "../implied/c")
        .add(
            EntryType::GNULongName,
            b"././@LongLink",
            b"",
            0o644,
            format!("{long}\0").as_bytes(),
        )
        .file("dddd", b"long")
        .pax(&[
            ("path", "über/\u{200d}"),
            ("mtime", "1.5"),
            ("SCHILY.xattr.user.x", "a\nb"),
            ("size", "3"),
        ])
        .file("uber", b"pax")
        .pax(&[("linkpath", "über")])
        .link("l", "uber")
        .end();
    let mut padded = tar.clone();
    padded.resize(padded.len().next_multiple_of(10_240), 0);
    let two_members = [gzip(&tar[..700]), gzip(&tar[700..])].concat();
    let two_frames = [zstd(&tar[..700]), zstd(&tar[700..])].concat();
    let found = extracted(&tar, ArchiveKind::Tar, LIMITS).unwrap();
    for (archive, kind) in [
        (padded.clone(), ArchiveKind::Tar),
        (gzip(&padded), ArchiveKind::Gzip),
        (zstd(&tar), ArchiveKind::Zstd),
        (two_members, ArchiveKind::Gzip),
        (two_frames, ArchiveKind::Zstd),
    ] {
        assert_eq!(extracted(&archive, kind, LIMITS).unwrap(), found);
    }
    let hash = |bytes: &[u8]| blake3::hash(bytes).to_hex();
    assert_eq!(found["a/b"], format!("644 {}", hash(b"content")));
    assert_eq!(found["a/run"], format!("755 {}", hash(b"#!")));
    assert_eq!(found[&long], format!("644 {}", hash(b"long")));
    assert_eq!(found["über/\u{200d}"], format!("644 {}", hash(b"pax")));
    assert_eq!(
        (found["a/link"].as_str(), found["l"].as_str()),
        ("link ../implied/c", "link über")
    );
    assert_eq!(found.len(), 11);
}

#[test]
fn names_that_leave_the_tree_are_refused() {
    let path = |name: &[u8]| {
        refused(
            Tar::default()
                .file("fine", b"x")
                .add(EntryType::Regular, name, b"", 0o644, b"x"),
        )
    };
    for (name, why) in [
        (&b"../x"[..], BadPath::Climbs),
        (b"a/../../x", BadPath::Climbs),
        (b"a/..", BadPath::Climbs),
        (b"./../x", BadPath::Climbs),
        (b"/x", BadPath::Absolute),
        (b"//x", BadPath::Absolute),
        (b"./", BadPath::Empty),
        (b"", BadPath::Empty),
        (b".", BadPath::Empty),
        (b"a/", BadPath::Empty),
        (b"a//b", BadPath::Empty),
        (b".//x", BadPath::Absolute),
        (b"C:\\x", BadPath::Unsafe),
        (b"C:x", BadPath::Drive),
        (b"..\\x", BadPath::Unsafe),
        (b"a\x1b[2J", BadPath::Unsafe),
        (b"a\nb", BadPath::Unsafe),
        (b"a\xff", BadPath::NotText),
    ] {
        assert_eq!(
            path(name),
            Unsafe::Path(why),
            "{}",
            String::from_utf8_lossy(name)
        );
    }
    let long = |bytes: &[u8]| {
        Tar::default()
            .add(EntryType::GNULongName, b"L", b"", 0, bytes)
            .file("x", b"")
    };
    assert_eq!(refused(long(b"a\0b\0")), Unsafe::Path(BadPath::Unsafe));
    assert_eq!(refused(long(b"../x\0")), Unsafe::Path(BadPath::Climbs));
    assert_eq!(
        refused(long(&[b'x'; 5_000])),
        Unsafe::Path(BadPath::TooLong)
    );
    assert_eq!(
        refused(Tar::default().pax(&[("path", "/x")]).file("x", b"")),
        Unsafe::Path(BadPath::Absolute)
    );
    for name in ["..", "../", "/", "a/../.."] {
        assert!(
            matches!(refused(Tar::default().dir(name)), Unsafe::Path(_)),
            "{name}"
        );
        assert!(
            matches!(refused(Tar::default().link(name, "a")), Unsafe::Path(_)),
            "{name}"
        );
    }
}

#[test]
fn links_that_leave_the_tree_are_refused() {
    for (path, target, why) in [
        ("l", "..", BadLink::Leaves),
        ("l", "../secret", BadLink::Leaves),
        ("a/l", "../../secret", BadLink::Leaves),
        ("l", "/etc/passwd", BadLink::Absolute),
        ("l", "a/../../secret", BadLink::Winding),
        ("l", "", BadLink::NotText),
        ("l", "a\\b", BadLink::NotText),
    ] {
        assert_eq!(
            refused(Tar::default().link(path, target)),
            Unsafe::Link(why),
            "{path} -> {target}"
        );
    }
    // Each stays inside as written; the second would climb from the target of the first.
    let chain = Tar::default()
        .dir("a")
        .dir("a/b")
        .link("a/b/up", "../..")
        .link("out", "a/b/up/../secret");
    assert_eq!(refused(chain), Unsafe::Link(BadLink::Winding));
    assert_eq!(
        refused(
            Tar::default()
                .pax(&[("linkpath", "../secret")])
                .link("l", "a")
        ),
        Unsafe::Link(BadLink::Leaves)
    );
    let long = Tar::default()
        .add(EntryType::GNULongLink, b"K", b"", 0, b"/etc\0")
        .link("l", "a");
    assert_eq!(refused(long), Unsafe::Link(BadLink::Absolute));
}

#[test]
fn nothing_is_written_through_a_link() {
    let through = Tar::default().dir("a").link("l", "a").file("l/x", b"x");
    assert_eq!(refused(through), Unsafe::Conflict);
    let later = Tar::default().dir("a").file("l/x", b"x").link("l", "a");
    assert_eq!(refused(later), Unsafe::Conflict);
    assert_eq!(
        refused(Tar::default().file("a", b"x").file("a/b", b"x")),
        Unsafe::Through
    );
    assert_eq!(
        refused(Tar::default().link("l", "a").link("l/x", "y")),
        Unsafe::Conflict
    );
    // A file that replaces a link is written in its place, not at its target.
    let replaced = Tar::default()
        .file("a", b"a")
        .link("l", "a")
        .file("l", b"x")
        .end();
    let found = extracted(&replaced, ArchiveKind::Tar, LIMITS).unwrap();
    assert_eq!(found["a"], format!("644 {}", blake3::hash(b"a").to_hex()));
    assert_eq!(found["l"], format!("644 {}", blake3::hash(b"x").to_hex()));

    // A link that somebody else created meanwhile.
    let around = tempfile::tempdir().unwrap();
    fs::create_dir(around.path().join("outside")).unwrap();
    let mut tree = UnpackedTree::new(around.path().join("tree"), 10).unwrap();
    symlink("../outside", around.path().join("tree/a")).unwrap();
    let error = tree.place("a/b").unwrap_err();
    assert!(
        matches!(
            error,
            ExtractError::Refused {
                why: Unsafe::Through,
                ..
            }
        ),
        "{error}"
    );
}

fn hard(tar: Tar, path: &str, target: &str) -> Tar {
    tar.add(
        EntryType::Link,
        path.as_bytes(),
        target.as_bytes(),
        0o644,
        b"",
    )
}

#[test]
fn hard_links_within_the_archive_are_copies() {
    let tar = Tar::default()
        .add(EntryType::Regular, b"./bin/git", b"", 0o755, b"program")
        .dir("d")
        .link("d/l", "../bin");
    let tar = hard(
        hard(
            hard(
                hard(tar, "./bin/git-add", "./bin/git"),
                "git",
                "bin/git-add",
            ),
            "d/m",
            "d/l",
        ),
        "git",
        "git",
    );
    // Replacing the first file leaves the copies linked to it unchanged.
    let found = extracted(&tar.file("bin/git", b"new").end(), ArchiveKind::Tar, LIMITS).unwrap();
    let program = format!("755 {}", blake3::hash(b"program").to_hex());
    assert_eq!((&found["bin/git-add"], &found["git"]), (&program, &program));
    assert_eq!(
        found["bin/git"],
        format!("644 {}", blake3::hash(b"new").to_hex())
    );
    assert_eq!(
        (found["d/l"].as_str(), found["d/m"].as_str()),
        ("link ../bin", "link ../bin")
    );

    let long = Tar::default()
        .file("a", b"x")
        .add(EntryType::GNULongLink, b"K", b"", 0, b"a\0");
    assert!(
        extracted(&hard(long, "l", "other").end(), ArchiveKind::Tar, LIMITS).is_ok(),
        "an extension says to what"
    );
}

#[test]
fn hard_links_out_of_the_archive_and_devices_are_refused() {
    for target in [
        "../secret",
        "/etc/passwd",
        "later",
        "dir",
        "",
        "l",
        "a/../a",
        "secret",
    ] {
        let tar = hard(Tar::default().file("a", b"x").dir("dir"), "l", target).file("later", b"x");
        assert_eq!(refused(tar), Unsafe::HardLink, "{target}");
    }
    // A link copied into another directory points elsewhere.
    let moved = hard(Tar::default().dir("a").link("a/l", "../x"), "l", "a/l");
    assert_eq!(refused(moved), Unsafe::Link(BadLink::Leaves));
    let bytes = Tar::default()
        .file("a", b"x")
        .add(EntryType::Link, b"l", b"a", 0o644, b"bytes");
    assert_eq!(refused(bytes), Unsafe::Ambiguous);
    for kind in [
        EntryType::Char,
        EntryType::Block,
        EntryType::Fifo,
        EntryType::Continuous,
        EntryType::GNUSparse,
    ] {
        assert_eq!(
            refused(Tar::default().add(kind, b"dev", b"", 0o666, b"")),
            Unsafe::Special
        );
    }
    assert_eq!(
        refused(Tar::default().add(EntryType::new(b'Z'), b"odd", b"", 0o666, b"")),
        Unsafe::Special
    );
}

#[test]
fn modes_are_what_the_owner_may_do() {
    let mut tar = Tar::default().add(EntryType::Directory, b"dir", b"", 0o7777, b"");
    for (name, mode) in [
        ("suid", 0o4755),
        ("all", 0o7777),
        ("secret", 0o400),
        ("none", 0),
    ] {
        tar = tar.add(EntryType::Regular, name.as_bytes(), b"", mode, b"");
    }
    let around = tempfile::tempdir().unwrap();
    let into = around.path().join("tree");
    extract(tar.end().as_slice(), ArchiveKind::Tar, &into, LIMITS).unwrap();
    let mode = |name: &str| fs::metadata(into.join(name)).unwrap().permissions().mode() & 0o7777;
    assert_eq!(
        (mode("suid"), mode("all"), mode("secret"), mode("none")),
        (0o755, 0o755, 0o600, 0o600)
    );
    assert_eq!((mode("dir"), mode(".")), (0o755, 0o755));
}

#[test]
fn of_what_is_there_twice_the_last_counts() {
    let two = format!("644 {}", blake3::hash(b"2").to_hex());
    for (twice, last) in [
        (Tar::default().file("a", b"1").file("a", b"2"), two.as_str()),
        (Tar::default().file("a", b"1").file("./a", b"2"), &two),
        (Tar::default().dir("a").file("a", b"2"), &two),
        (Tar::default().link("a", "b").file("a", b"2"), &two),
        (Tar::default().file("a", b"1").dir("a"), "directory"),
        (Tar::default().link("a", "b").dir("a"), "directory"),
        (Tar::default().dir("a").dir("a/"), "directory"),
        (Tar::default().link("a", "b").link("a", "c"), "link c"),
        (Tar::default().dir("a").link("a", "c"), "link c"),
        (Tar::default().file("a", b"1").link("a", "c"), "link c"),
        (
            hard(Tar::default().file("b", b"2").file("a", b"1"), "a", "b"),
            &two,
        ),
    ] {
        let mut found = extracted(&twice.end(), ArchiveKind::Tar, LIMITS).unwrap();
        found.remove("b");
        assert_eq!(found, BTreeMap::from([("a".to_owned(), last.to_owned())]));
    }
    assert_eq!(
        refused(Tar::default().file("a/b", b"1").file("a", b"2")),
        Unsafe::Conflict
    );
    // Replaced entries count as unpacked bytes too.
    let again = (0..5).fold(Tar::default(), |tar, _| tar.file("a", &vec![7; 1 << 20]));
    let error = extracted(
        &again.end(),
        ArchiveKind::Tar,
        ExtractLimits {
            bytes: 4 << 20,
            ..LIMITS
        },
    )
    .unwrap_err();
    assert!(matches!(error, ExtractError::TooLarge { .. }), "{error}");
}

#[test]
fn what_is_refused_accuses_nobody_and_says_what_to_do() {
    let tars = [
        Tar::default().link("l", "/usr/bin/python3"),
        hard(Tar::default(), "l", "/etc/passwd"),
    ];
    for tar in tars {
        let error = extracted(&tar.end(), ArchiveKind::Tar, LIMITS)
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("without --extract") && !error.contains("trust"),
            "{error}"
        );
    }
}

#[test]
fn headers_that_can_be_read_in_two_ways_are_refused() {
    let name = |tar: Tar| tar.add(EntryType::GNULongName, b"L", b"", 0, b"long\0");
    for twofold in [
        name(name(Tar::default())).file("x", b""),
        name(Tar::default()).pax(&[("path", "pax")]).file("x", b""),
        Tar::default()
            .pax(&[("path", "a"), ("path", "b")])
            .file("x", b""),
        Tar::default().pax(&[("size", "9")]).file("x", b"123"),
        Tar::default().pax(&[("size", "many")]).file("x", b"123"),
        Tar::default()
            .pax(&[("GNU.sparse.major", "1")])
            .file("x", b"123"),
        Tar::default()
            .add(
                EntryType::XGlobalHeader,
                b"g",
                b"",
                0,
                &pax(&[("path", "every")]),
            )
            .file("x", b""),
    ] {
        assert_eq!(refused(twofold), Unsafe::Ambiguous);
    }
    for broken in [
        &b"5 a=b\n"[..],
        b"999 a=b\n",
        b"a=b\n",
        b"6 a=bc",
        b"6 abc\n",
        b"0 a=b\n",
    ] {
        damaged(
            &Tar::default()
                .add(EntryType::XHeader, b"x", b"", 0, broken)
                .file("x", b"")
                .end(),
            ArchiveKind::Tar,
        );
    }
    damaged(&name(Tar::default()).end(), ArchiveKind::Tar);
    damaged(
        &Tar::default()
            .add(EntryType::XHeader, b"x", b"", 0, &vec![b'x'; 70_000])
            .file("x", b"")
            .end(),
        ArchiveKind::Tar,
    );
    let mut old = Header::new_old();
    old.set_path("old").unwrap();
    old.set_size(0);
    old.set_mode(0o644);
    old.set_cksum();
    damaged(
        &[&old.as_bytes()[..], &[0; 1_024]].concat(),
        ArchiveKind::Tar,
    );
}

#[test]
fn bombs_are_given_up_early() {
    let bomb = Tar::default().file("zeros", &vec![0; 40 << 20]).end();
    for (archive, kind) in [
        (gzip(&bomb), ArchiveKind::Gzip),
        (zstd(&bomb), ArchiveKind::Zstd),
    ] {
        let error = extracted(&archive, kind, LIMITS).unwrap_err();
        assert!(
            matches!(error, ExtractError::Bomb { limit: 100 }),
            "{error}"
        );
        let error = extracted(
            &archive,
            kind,
            ExtractLimits {
                ratio: u64::MAX,
                bytes: 39 << 20,
                ..LIMITS
            },
        )
        .unwrap_err();
        assert!(matches!(error, ExtractError::TooLarge { .. }), "{error}");
        let error = extracted(
            &archive,
            kind,
            ExtractLimits {
                bytes: 10 << 20,
                ..LIMITS
            },
        )
        .unwrap_err();
        assert!(matches!(error, ExtractError::TooLarge { .. }), "{error}");
        assert!(
            extracted(
                &archive,
                kind,
                ExtractLimits {
                    ratio: u64::MAX,
                    ..LIMITS
                }
            )
            .is_ok()
        );
    }
    // Behind the end, and as an entry's name, which readers keep in memory.
    let after = [Tar::default().file("x", b"").end(), vec![0; 40 << 20]].concat();
    let error = extracted(&zstd(&after), ArchiveKind::Zstd, LIMITS).unwrap_err();
    assert!(matches!(error, ExtractError::Bomb { .. }), "{error}");
    let name = Tar::default()
        .add(EntryType::GNULongName, b"L", b"", 0, &vec![b'x'; 20 << 20])
        .file("x", b"")
        .end();
    damaged(&zstd(&name), ArchiveKind::Zstd);
    // Copies of one file count like files.
    let file = Tar::default().file("a", &vec![7; 1 << 20]);
    let links = (0..100)
        .fold(file, |tar, n| hard(tar, &format!("l{n}"), "a"))
        .end();
    for (limits, is_bomb) in [
        (
            ExtractLimits {
                ratio: u64::MAX,
                ..LIMITS
            },
            false,
        ),
        (LIMITS, true),
    ] {
        let error = extracted(&zstd(&links), ArchiveKind::Zstd, limits).unwrap_err();
        assert_eq!(
            matches!(error, ExtractError::Bomb { .. }),
            is_bomb,
            "{error}"
        );
        assert!(
            is_bomb || matches!(error, ExtractError::TooLarge { .. }),
            "{error}"
        );
    }
    let error = extracted(
        &links,
        ArchiveKind::Tar,
        ExtractLimits {
            bytes: 50 << 20,
            ratio: u64::MAX,
            ..LIMITS
        },
    )
    .unwrap_err();
    assert!(matches!(error, ExtractError::TooLarge { .. }), "{error}");
    // Small ones are harmless.
    let small = Tar::default().file("zeros", &vec![0; 15 << 20]).end();
    assert!(extracted(&zstd(&small), ArchiveKind::Zstd, LIMITS).is_ok());
    // A header may lie.
    let mut header = Header::new_gnu();
    header.set_path("liar").unwrap();
    header.set_size(1 << 50);
    header.set_mode(0o644);
    header.set_cksum();
    damaged(
        &[&header.as_bytes()[..], &[0; 2_048]].concat(),
        ArchiveKind::Tar,
    );
}

#[test]
fn a_million_entries_are_too_many() {
    let mut tar = Vec::new();
    let mut encoder = zstd::stream::write::Encoder::new(&mut tar, 1).unwrap();
    let mut header = Header::new_gnu();
    header.set_size(0);
    header.set_mode(0o644);
    for n in 0..1_000_000 {
        header.set_path(format!("f/{n}")).unwrap();
        header.set_cksum();
        encoder.write_all(header.as_bytes()).unwrap();
    }
    encoder.write_all(&[0; 1_024]).unwrap();
    encoder.finish().unwrap();
    let error = extracted(&tar, ArchiveKind::Zstd, LIMITS).unwrap_err();
    assert!(
        matches!(error, ExtractError::TooMany { limit: 1_000 }),
        "{error}"
    );
    // Implied directories and extension headers count too.
    let deep = (0..30).fold(Tar::default(), |tar, n| {
        tar.file(&format!("{n}/{}x", "d/".repeat(40)), b"")
    });
    assert!(matches!(
        extracted(&deep.end(), ArchiveKind::Tar, LIMITS),
        Err(ExtractError::TooMany { .. })
    ));
    let global = pax(&[("comment", "x")]);
    let headers = (0..1_001).fold(Tar::default(), |tar, _| {
        tar.add(EntryType::XGlobalHeader, b"g", b"", 0, &global)
    });
    assert!(matches!(
        extracted(&headers.end(), ArchiveKind::Tar, LIMITS),
        Err(ExtractError::TooMany { .. })
    ));
}

#[test]
fn archives_that_were_cut_off_are_noticed_wherever() {
    let noise: Vec<u8> = (0..3_000_u32)
        .flat_map(|n| (n.wrapping_mul(2_654_435_761) >> 7).to_le_bytes())
        .collect();
    let tar = Tar::default()
        .dir("a")
        .file("a/b", &noise)
        .link("l", "a")
        .file("zeros", &[0; 1_024])
        .end();
    let whole = tar.len();
    for length in (0..whole - 1_023)
        .step_by(256)
        .chain([whole - 1_025, whole - 1_024])
    {
        damaged(&tar[..length], ArchiveKind::Tar);
    }
    for (archive, kind) in [
        (gzip(&tar), ArchiveKind::Gzip),
        (zstd(&tar), ArchiveKind::Zstd),
    ] {
        for length in (0..archive.len())
            .step_by(101)
            .chain(archive.len() - 12..archive.len())
        {
            damaged(&archive[..length], kind);
        }
        let longer = [archive.as_slice(), b"more"].concat();
        damaged(&longer, kind);
    }
    let followed = [tar.clone(), Tar::default().file("hidden", b"x").end()].concat();
    damaged(&followed, ArchiveKind::Tar);
    damaged(&zstd(&followed), ArchiveKind::Zstd);
    damaged(b"", ArchiveKind::Tar);
    damaged(&[b'x'; 2_000], ArchiveKind::Tar);
}

#[test]
fn what_is_said_of_a_damaged_archive_moves_no_cursor() {
    let mut archive = Tar::default().file("\u{1b}[2Jred", b"x").end();
    archive[148] = 0x1b;
    damaged(&archive, ArchiveKind::Tar);
    let error = extracted(&archive, ArchiveKind::Tar, LIMITS)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("[2Jred") && !error.contains('\u{1b}'),
        "{error}"
    );
}

#[test]
fn an_empty_archive_is_an_empty_directory() {
    assert!(
        extracted(&Tar::default().end(), ArchiveKind::Tar, LIMITS)
            .unwrap()
            .is_empty()
    );
    assert!(
        extracted(
            &zstd(&Tar::default().dir("./").end()),
            ArchiveKind::Zstd,
            LIMITS
        )
        .unwrap()
        .is_empty()
    );
}

#[test]
fn only_an_empty_place_is_unpacked_to() {
    let around = tempfile::tempdir().unwrap();
    let archive = Tar::default().file("a", b"x").end();
    let at = |path: &str| {
        extract(
            archive.as_slice(),
            ArchiveKind::Tar,
            &around.path().join(path),
            LIMITS,
        )
    };
    fs::create_dir_all(around.path().join("empty")).unwrap();
    fs::create_dir_all(around.path().join("full/sub")).unwrap();
    fs::write(around.path().join("file"), "").unwrap();
    symlink("empty", around.path().join("link")).unwrap();
    symlink("absent", around.path().join("dangling")).unwrap();
    let before = listed(around.path());
    for taken in [
        "full",
        "file",
        "link",
        "link/",
        "dangling",
        "dangling/",
        "empty/..",
        ".",
    ] {
        let error = at(taken).unwrap_err();
        let sentence = error.to_string();
        assert!(
            matches!(
                error,
                ExtractError::Place { .. } | ExtractError::File { .. }
            ),
            "{taken}: {sentence}"
        );
        assert!(sentence.contains(taken), "{sentence}");
    }
    assert!(matches!(at("no/parent"), Err(ExtractError::File { .. })));
    assert_eq!(listed(around.path()), before);
    at("empty").unwrap();
    assert_eq!(fs::read(around.path().join("empty/a")).unwrap(), b"x");
    at("new/").unwrap();
    assert!(
        matches!(at("new"), Err(ExtractError::Place { .. })),
        "not twice"
    );
}

#[derive(Clone, Debug)]
enum Leaf {
    File { bytes: Vec<u8>, executable: bool },
    Directory,
    Link(usize),
}

fn leaf() -> impl Strategy<Value = Leaf> {
    let bytes = prop_oneof![
        Just(Vec::new()),
        prop::collection::vec(any::<u8>(), 0..3_000),
        Just(vec![b'x'; 70_000])
    ];
    prop_oneof![
        4 => (bytes, any::<bool>()).prop_map(|(bytes, executable)| Leaf::File { bytes, executable }),
        1 => Just(Leaf::Directory),
        1 => (0_usize..8).prop_map(Leaf::Link),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn what_was_packed_comes_back(
        leaves in prop::collection::btree_map(
            prop::collection::vec("[a-zA-Zäßж字🦀 ._-]{1,12}|[a-z]{60,80}", 1..5), leaf(), 0..24),
        seed in any::<prop::sample::Index>(),
    ) {
        let around = tempfile::tempdir().unwrap();
        let tree = around.path().join("tree");
        fs::create_dir(&tree).unwrap();
        for (names, leaf) in &leaves {
            let names: Vec<_> = names.iter().map(|name| format!("{name}~")).collect();
            // Packing leaves out names that look like secrets.
            if names.iter().map(|name| name.to_lowercase()).any(|name| name.starts_with("id_") || name.starts_with(".env")) {
                continue;
            }
            let place = tree.join(names.join("/"));
            // A name cannot be both a file and a directory.
            if fs::create_dir_all(place.parent().unwrap()).is_err() {
                continue;
            }
            let _ = match leaf {
                Leaf::File { bytes, executable } => fs::write(&place, bytes).and_then(|()| {
                    fs::set_permissions(&place, fs::Permissions::from_mode(if *executable { 0o755 } else { 0o644 }))
                }),
                Leaf::Directory => fs::create_dir(&place),
                Leaf::Link(up) => symlink(format!("{}{}", "../".repeat(up % names.len()), names[0]), &place),
            };
        }
        let mut archive = Vec::new();
        let packed = pack(&tree, &pack::Rules::default(), pack::PackLimits::default(), &mut archive, |_| {}).unwrap();
        let found = extracted(&archive, ArchiveKind::sniff(&archive).unwrap(), LIMITS).unwrap();
        prop_assert_eq!(&found, &listed(&tree));
        prop_assert_eq!(packed.entries, found.len() as u64);

        // A flipped bit is either an error or without effect.
        let mut flipped = archive.clone();
        *seed.get_mut(&mut flipped) ^= 0x10;
        if let Ok(other) = extracted(&flipped, ArchiveKind::Zstd, LIMITS) {
            prop_assert_eq!(&other, &found);
        }
    }

    /// Refused bytes leave nothing behind, and accepted ones nothing outside.
    #[test]
    fn any_bytes_are_unpacked_or_refused(
        blocks in prop::collection::vec(("[./a-b\\\\]{0,8}", "[./a-b]{0,6}", prop::sample::select(b"01125LKxgS37\0".to_vec()),
            "([0-9]{1,2} (path|linkpath|size)=[./a0-9]{0,5}\n)?|[./ab]{0,9}"), 0..6),
        end in any::<bool>(), flip in any::<prop::sample::Index>(), flips in any::<bool>(),
    ) {
        let mut tar = Tar::default();
        for (path, link, kind, bytes) in &blocks {
            tar = tar.add(EntryType::new(*kind), path.as_bytes(), link.as_bytes(), 0o7777, bytes.as_bytes());
        }
        let mut bytes = if end { tar.end() } else { tar.0 };
        if flips && !bytes.is_empty() {
            *flip.get_mut(&mut bytes) ^= 0x11;
        }
        let _ = extracted(&bytes, ArchiveKind::Tar, LIMITS);
        let _ = extracted(&zstd(&bytes), ArchiveKind::Zstd, LIMITS);
    }
}
