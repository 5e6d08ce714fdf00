use std::{fs, io::Write};

use flate2::{Compression, write::GzEncoder};
use liblzma::write::XzEncoder;
use libp2p::identity::Keypair;
use lz4_flex::frame::{BlockMode, BlockSize, FrameEncoder, FrameInfo};
use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::domain::{
    manifest::{Dependency, File as ReleaseFile, limit},
    name::{Handle, PublisherId},
    record::{Authorised, MAX_NUMBER},
    time::Timestamp,
};

/// Stanzas of bookworm, with some fields about files and checksums left out.
const BASH: &str = "\
Package: bash
Source: bash (5.2.15-2)
Version: 5.2.15-2+b13
Essential: yes
Maintainer: Matthias Klose <doko@debian.org>
Architecture: amd64
Replaces: bash-completion (<< 20060301-0), bash-doc (<= 2.05-1)
Depends: base-files (>= 2.1.12), debianutils (>= 5.6-0.1)
Pre-Depends: libc6 (>= 2.36), libtinfo6 (>= 6)
Description: GNU Bourne Again SHell
Homepage: http://tiswww.case.edu/php/chet/bash/bashtop.html
Description-md5: 3522aa7b4374048d6450e348a5bb45d9
Tag: admin::TODO, devel::TODO, devel::interpreter, implemented-in::c,
 interface::shell, interface::text-mode, role::program,
 scope::application, suite::gnu, uitoolkit::ncurses
Section: shells
Size: 1490652
";
const GIT: &str = "Package: git
Version: 1:2.39.5-0+deb12u3
Maintainer: Jonathan Nieder \
    <jrnieder@gmail.com>
Depends: libc6 (>= 2.34), libcurl3-gnutls (>= 7.56.1), perl, \
    liberror-perl, git-man (>> 1:2.39.5), git-man (<< 1:2.39.5-.)
Description: fast, scalable, \
    distributed revision control system
Homepage: https://git-scm.com/
Section: vcs
";
const GPP: &str = "\
Package: g++
Source: gcc-defaults (1.203)
Version: 4:12.2.0-3
Maintainer: Debian GCC Maintainers <debian-gcc@lists.debian.org>
Depends: cpp (= 4:12.2.0-3), gcc (= 4:12.2.0-3), g++-12 (>= 12.2.0-1~), gcc-12 (>= 12.2.0-1~)
Description: GNU C++ compiler
Section: devel
";

/// Creates a file in a directory of its own.
fn file(bytes: &[u8]) -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("Packages");
    fs::write(&path, bytes).unwrap();
    (dir, path)
}

/// Reads the whole index.
fn read_within(bytes: &[u8], limits: IndexLimits) -> Result<Vec<Result<Stanza, Bad>>, IndexError> {
    let (_dir, path) = file(bytes);
    open_within(&path, limits)?.collect()
}

fn read(bytes: &[u8]) -> Result<Vec<Result<Stanza, Bad>>, IndexError> {
    read_within(bytes, LIMITS)
}

fn one(text: &str) -> Result<Stanza, Bad> {
    let mut all = read(text.as_bytes()).unwrap();
    assert_eq!(all.len(), 1, "{text}");
    all.pop().unwrap()
}

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

fn xz(text: &[u8]) -> Vec<u8> {
    let mut encoder = XzEncoder::new(Vec::new(), 1);
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

/// Packed like apt's lists: linked blocks without checksums.
fn lz4(text: &[u8]) -> Vec<u8> {
    let info = FrameInfo::new()
        .block_size(BlockSize::Max64KB)
        .block_mode(BlockMode::Linked);
    let mut encoder = FrameEncoder::with_frame_info(info, Vec::new());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn real_stanzas_become_releases() {
    let all = read([BASH, GIT, GPP].join("\n").as_bytes()).unwrap();
    let [bash, git, gpp] = &*all.into_iter().map(Result::unwrap).collect::<Vec<_>>() else {
        panic!("not three")
    };
    let draft = &bash.draft;
    assert_eq!(
        (draft.name.as_str(), draft.title.as_deref()),
        ("bash", None)
    );
    assert_eq!(draft.version.to_string(), "5.2.15-2+b13");
    assert_eq!(draft.description, "GNU Bourne Again SHell");
    assert_eq!(
        draft.homepage.as_deref(),
        Some("http://tiswww.case.edu/php/chet/bash/bashtop.html")
    );
    assert_eq!(
        (&*draft.authors, &*draft.categories),
        (
            &["Matthias Klose".to_owned()][..],
            &["shells".to_owned()][..]
        )
    );
    assert_eq!(
        draft.tags,
        [
            "program",
            "shell",
            "text-mode",
            "tui",
            "interpreter",
            "c",
            "ncurses",
            "gnu"
        ]
    );
    assert_eq!(draft.ecosystem.as_str(), "debian");
    let needs = |stanza: &Stanza| {
        stanza
            .draft
            .dependencies
            .iter()
            .map(|need| format!("debian:{} {}", need.written(), need.requirement))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        needs(bash),
        [
            "debian:libc6 >= 2.36",
            "debian:libtinfo6 >= 6",
            "debian:base-files >= 2.1.12",
            "debian:debianutils >= 5.6-0.1"
        ]
    );
    assert_eq!(
        (bash.text.as_str(), git.text.as_str(), gpp.text.as_str()),
        (BASH, GIT, GPP)
    );

    assert_eq!(
        needs(git),
        [
            "debian:libc6 >= 2.34",
            "debian:libcurl3-gnutls >= 7.56.1",
            "debian:perl *",
            "debian:liberror-perl *",
            "debian:git-man >> 1:2.39.5, << 1:2.39.5-."
        ]
    );
    assert_eq!(
        (gpp.draft.name.as_str(), gpp.draft.title.as_deref()),
        ("g++", None)
    );
    assert_eq!(
        needs(gpp),
        [
            "debian:cpp = 4:12.2.0-3",
            "debian:gcc = 4:12.2.0-3",
            "debian:g++-12 >= 12.2.0-1~",
            "debian:gcc-12 >= 12.2.0-1~"
        ]
    );
}

#[test]
fn the_fixture_is_read_whole() {
    let mut index = open(Path::new(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/fixtures/debian-packages.xz"
    )))
    .unwrap();
    let mut seen = 0;
    let mut stanzas = Vec::new();
    while let Some(next) = index.next() {
        stanzas.push(next.unwrap().unwrap());
        let ReadProgress { read, size } = index.progress();
        assert!(seen <= read && read <= size, "{seen} {read} {size}");
        seen = read;
    }
    assert_eq!((stanzas.len(), seen), (3_000, index.progress().size));
    assert!(index.next().is_none());
    let mut names: Vec<_> = stanzas
        .iter()
        .map(|stanza| stanza.draft.name.as_str())
        .collect();
    names.sort_unstable();
    names.dedup();
    assert!(names.len() > 2_990, "a few are there in two versions");
    for known in [
        "bash",
        "git",
        "ripgrep",
        "vim",
        "g++",
        "python3-numpy",
        "libssl3",
    ] {
        assert!(names.contains(&known), "{known}");
    }
    let tagged = stanzas
        .iter()
        .filter(|stanza| stanza.draft.tags.contains(&"cli".to_owned()))
        .count();
    assert!(tagged > 200, "{tagged}");
}

#[test]
fn it_is_the_same_index_however_it_is_packed() {
    let text = [BASH, GIT, GPP].join("\n").into_bytes();
    let plain = read(&text).unwrap();
    assert_eq!(plain.len(), 3);
    for packed in [gzip(&text), xz(&text), lz4(&text)] {
        assert!(packed.len() < text.len());
        assert_eq!(read(&packed).unwrap(), plain);
    }
    // Concatenated, they are one index.
    let (first, second) = text.split_at(text.len() / 2);
    for pack in [gzip, xz, lz4] {
        assert_eq!(read(&[pack(first), pack(second)].concat()).unwrap(), plain);
    }
}

#[test]
fn an_index_that_is_cut_off_is_no_whole_one() {
    // Several blocks, the last of which are stored uncompressed.
    let noise = (0..40_000u64)
        .map(|n| format!("{:x} ", n.wrapping_mul(0x9e37_79b9_7f4a_7c15)))
        .collect::<String>();
    let text = format!("{BASH}\n{GIT}X-Noise: {noise}");
    for packed in [
        gzip(text.as_bytes()),
        xz(text.as_bytes()),
        lz4(text.as_bytes()),
    ] {
        let ends = (1..packed.len())
            .rev()
            .take(40)
            .chain((1..packed.len()).step_by(packed.len() / 40));
        for end in ends.chain(block_ends(&packed)) {
            let (_dir, path) = file(&packed[..end]);
            let read = open(&path)
                .map(|mut index| index.by_ref().find_map(Result::err).ok_or(index.stanzas));
            match read {
                Ok(Ok(error)) | Err(error) => {
                    assert!(
                        matches!(error, IndexError::Damaged { .. } | IndexError::NotIndex(_)),
                        "{end}: {error}"
                    );
                }
                Ok(Err(stanzas)) => {
                    panic!("{end} of {}: {stanzas} stanzas and no error", packed.len())
                }
            }
        }
    }
    // Complete stanzas before the damage are returned, and nothing after it.
    let packed = lz4(text.as_bytes());
    let (_dir, path) = file(&packed[..packed.len() - 1]);
    let mut index = open(&path).unwrap();
    assert_eq!(index.next().unwrap().unwrap().unwrap().text, BASH);
    let error = index.next().unwrap().unwrap_err().to_string();
    assert!(
        error.contains("cut off or damaged after") && error.contains("fetch it again"),
        "{error}"
    );
    assert!(index.next().is_none());
}

/// Offsets at which blocks of an lz4 frame end; empty for other files.
fn block_ends(packed: &[u8]) -> Vec<usize> {
    let mut ends = Vec::new();
    let mut at = 7;
    while packed.starts_with(&[0x04, 0x22, 0x4d, 0x18]) {
        let size = u32::from_le_bytes(packed[at..at + 4].try_into().unwrap()) & 0x7fff_ffff;
        if size == 0 {
            assert!(ends.len() > 2, "there are several");
            break;
        }
        at += 4 + size as usize;
        ends.push(at);
    }
    ends
}

#[test]
fn damage_is_found_wherever_a_sum_covers_it() {
    let text = [BASH, GIT, GPP].join("\n");
    for packed in [gzip(text.as_bytes()), xz(text.as_bytes())] {
        let mut damaged = packed.clone();
        damaged[packed.len() / 2] ^= 0x55;
        assert!(matches!(read(&damaged), Err(IndexError::Damaged { .. })));
    }
}

#[test]
fn what_is_no_index_is_refused() {
    let png = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01";
    for other in [
        &png[..],
        &gzip(png),
        b"<!DOCTYPE html>\n<p>a: b",
        b"{\"a\": 1}",
        b"hello",
        b": x",
        b" \n",
        b"-\xff:",
    ] {
        let error = read(other).unwrap_err();
        assert!(matches!(error, IndexError::NotIndex(_)), "{error}");
    }
    for empty in [
        b"".to_vec(),
        b"\n\r\n\n".to_vec(),
        gzip(b""),
        xz(b""),
        lz4(b""),
    ] {
        assert_eq!(read(&empty).unwrap(), []);
    }
    let dir = tempfile::tempdir().unwrap();
    assert!(matches!(open(dir.path()), Err(IndexError::NotFile(_))));
    let pipe = dir.path().join("pipe");
    assert!(
        std::process::Command::new("mkfifo")
            .arg(&pipe)
            .status()
            .unwrap()
            .success()
    );
    assert!(matches!(open(&pipe), Err(IndexError::NotFile(_))));
    let error = open(&dir.path().join("absent"))
        .map(|_| ())
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("absent cannot be read: No such file"),
        "{error}"
    );
}

#[test]
fn a_bad_stanza_is_told_and_passed_over() {
    let bad = |text: &str| one(text).unwrap_err();
    assert_eq!(bad("Version: 1").why, StanzaError::Missing("Package"));
    assert_eq!(
        bad("Package: a\nVersion:\nDepends: b").why,
        StanzaError::Missing("Version")
    );
    assert_eq!(
        bad("Package: a\nVersion: 1\nversion: 2").why,
        StanzaError::Twice("version".to_owned())
    );
    assert_eq!(
        bad("Package: a\nVersion: 1\nno field").why,
        StanzaError::NotField("no field".to_owned())
    );
    assert_eq!(
        bad("Package: a\nVersion: 1\nno\n field: 1").why,
        StanzaError::NotField("no field: 1".to_owned())
    );
    for bad_name in ["a_b", "a"] {
        assert!(
            matches!(
                bad(&format!("Package: {bad_name}\nVersion: 1")).why,
                StanzaError::Unsignable(_)
            ),
            "{bad_name}"
        );
    }
    let long = bad(&format!("Package: {}\nVersion: 1", "x".repeat(215)));
    assert!(long.to_string().contains("longer than 214 bytes"), "{long}");

    let text = [
        "Package: a\nVersion: 1\nMaintainer: J\u{f6}rg\n",
        "Package: b\nPackage: b\n",
        "Package: cc\nVersion: 3\n",
    ];
    let latin1: Vec<u8> = text
        .join("\n")
        .chars()
        .map(|c| u8::try_from(u32::from(c)).unwrap())
        .collect();
    let all = read(&latin1).unwrap();
    let told: Vec<_> = all
        .iter()
        .filter_map(|read| read.as_ref().err())
        .map(ToString::to_string)
        .collect();
    assert_eq!(
        told,
        [
            "a (line 1) was skipped: it is not UTF-8",
            "b (line 5) was skipped: it has the field Package twice"
        ]
    );
    assert_eq!(all[2].as_ref().unwrap().draft.name.as_str(), "cc");
}

#[test]
fn a_stanza_that_is_too_long_is_passed_over() {
    let lines = format!(
        "Package: lines\nVersion: 1\n{}\n",
        " and more\n".repeat(200_000)
    );
    // One line, no part of which may be taken for the blank line at the end.
    let line = format!(
        "Package: line\nVersion: 1\nX: {}\n\n",
        "x".repeat((2 << 20) - 29)
    );
    assert!(line.len() as u64 % PIECE == 1 && lines.len() > 1 << 20);
    let all = read([lines.as_str(), &line, BASH].concat().as_bytes()).unwrap();
    let told: Vec<_> = all
        .iter()
        .filter_map(|read| read.as_ref().err())
        .map(|bad| (bad.name.as_deref(), bad.line))
        .collect();
    assert_eq!(told, [(Some("lines"), 1), (Some("line"), 200_004)]);
    assert_eq!(all[2].as_ref().unwrap().text, BASH);
}

#[test]
fn an_index_without_end_is_given_up() {
    let text = [BASH, GIT, GPP].join("\n");
    let exactly = IndexLimits {
        bytes: text.len() as u64,
        stanza: BASH.len(),
        stanzas: 3,
    };
    assert_eq!(
        read_within(&gzip(text.as_bytes()), exactly).unwrap().len(),
        3
    );
    for (limits, expected) in [
        (
            IndexLimits {
                bytes: exactly.bytes - 1,
                ..exactly
            },
            "unpacks to more than",
        ),
        (
            IndexLimits {
                bytes: 100,
                ..exactly
            },
            "unpacks to more than 100 bytes",
        ),
        (
            IndexLimits {
                stanzas: 2,
                ..exactly
            },
            "has more than 2 packages",
        ),
    ] {
        let error = read_within(&gzip(text.as_bytes()), limits)
            .unwrap_err()
            .to_string();
        assert!(error.contains(expected), "{error}");
    }
    let short = read_within(
        text.as_bytes(),
        IndexLimits {
            stanza: BASH.len() - 1,
            ..exactly
        },
    )
    .unwrap();
    assert_eq!(short.iter().filter(|read| read.is_err()).count(), 1);
    // An xz file that requires a dictionary of 1.5 GiB: a byte in its first block header, which a
    // checksum covers.
    let mut greedy = xz(text.as_bytes());
    assert_eq!(
        greedy[14..16],
        [0x21, 0x01],
        "the filter is LZMA2, and one byte says how"
    );
    greedy[16] = 37;
    let mut sum = flate2::Crc::new();
    sum.update(&greedy[12..20]);
    greedy[20..24].copy_from_slice(&sum.sum().to_le_bytes());
    let error = read(&greedy).unwrap_err().to_string();
    assert!(error.contains("memory"), "{error}");
}

#[test]
fn what_could_move_a_cursor_is_gone() {
    let evil = "\u{202e}evil\u{1b}[2J\u{7}\u{200b}";
    let stanza = one(&format!(
        "Package: aa\nVersion: 1-1\nDescription: {evil}one\n {evil}two\n .\n   \
        three\u{2028}\nMaintainer: {evil}Ann <a@b>\nSection: non-free/{evil}net\nTag: \
        use::{evil}x, role::program\nHomepage: https://example.org/{evil}\nDepends: bb{evil}, cc \
        ({evil}), dd\n"
    ))
    .unwrap();
    let draft = &stanza.draft;
    assert_eq!(draft.description, "evil [2J one\nevil [2J two\n\nthree");
    assert_eq!(
        (&*draft.authors, &*draft.categories),
        (
            &["evil [2J Ann".to_owned()][..],
            &["evil [2J net".to_owned()][..]
        )
    );
    assert_eq!(
        (
            draft.homepage.as_deref(),
            draft.version.to_string().as_str()
        ),
        (None, "1-1")
    );
    assert_eq!(
        stanza
            .draft
            .dependencies
            .iter()
            .map(Dependency::written)
            .collect::<Vec<_>>(),
        ["cc", "dd"]
    );
    let shown = one(&format!("Package: aa\nVersion: 1{evil}-1\n"))
        .unwrap_err()
        .to_string();
    assert!(
        shown.contains("control or invisible")
            && !shown.contains(['\u{202e}', '\u{1b}', '\u{200b}']),
        "{shown}"
    );
}

#[test]
fn relations_are_read_as_policy_has_them() {
    let stanza = one(
        "Package: aa\nVersion: 1\nPre-Depends: dpkg(>=1.17)|xx\nDepends: libc6:any (>= 2.36) \
        [amd64] <!nocheck> | libc (>= 9),\n python3 (<< 3.12), python3 (>= 3.11~), \
        python3:any,,\n libstdc++6, Bad, a_b, default-mta | mail-transport-agent\n",
    );
    let needs = stanza.unwrap().draft.dependencies;
    let needs: Vec<_> = needs
        .iter()
        .map(|need| format!("debian:{} {}", need.written(), need.requirement))
        .collect();
    assert_eq!(
        needs,
        [
            "debian:dpkg >=1.17",
            "debian:libc6 >= 2.36",
            "debian:python3 << 3.12, >= 3.11~",
            "debian:libstdc++6 *",
            "debian:bad *",
            "debian:default-mta *"
        ]
    );
}

#[test]
fn lines_may_end_as_on_windows() {
    let stanza = one(&GIT.replace('\n', "\r\n")).unwrap();
    assert_eq!(stanza.draft, one(GIT).unwrap().draft);
    assert!(stanza.text.ends_with("vcs\n"));
}

/// Bytes that look like an index, with arbitrary fields.
fn index_like() -> impl Strategy<Value = Vec<u8>> {
    let name = "Package|Version|Description|Homepage|Maintainer|Section|Tag|Pre-Depends|Depends|X";
    let value = "\\PC{0,80}|.{0,1500}|[a-z0-9.+-]{1,70}|([a-z0-9+.-]{1,70}( \\([<>=]{1,2} \
        [0-9.:~a-z-]{1,70}\\))?, ?){0,70}|(use::[a-z:]{1,60},){0,30}|https?://\\PC{0,220}";
    let field = prop_oneof![
        8 => (name, value).prop_map(|(name, value)| format!("{name}: {value}\n").into_bytes()),
        2 => Just(b"\n".to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..40),
        1 => " .{0,40}\n".prop_map(String::into_bytes),
    ];
    prop::collection::vec(field, 0..30)
        .prop_map(|fields| [b"Package: aa\nVersion: 1\n".to_vec(), fields.concat()].concat())
}

proptest! {
    /// Any stanza gives either a release that can be signed and sent, or a reason.
    #[test]
    fn any_stanza_is_a_release_or_a_reason(text in index_like()) {
        for stanza in read(&text).unwrap().into_iter().flatten() {
            prop_assert!(stanza.text.ends_with('\n') && !stanza.text.ends_with("\n\n"));
            let handle: Handle = "a-handle-of-24-characters".parse().unwrap();
            let key = Keypair::generate_ed25519();
            let mut draft = stanza.draft;
            draft.handle = Some(handle);
            let content = ReleaseFile { size: MAX_NUMBER, ..ReleaseFile::of(&crate::ecosystem::Ecosystem::Generic, "x", b"") };
            let signable = draft.into_manifest(PublisherId::of(&key.public()), content, Timestamp(MAX_NUMBER)).unwrap();
            prop_assert!(Authorised::sign(&key, signable).is_ok());
        }
    }

    #[test]
    fn a_description_has_room(lines in prop::collection::vec("\\PC{0,300}", 0..12)) {
        let text = format!("Package: aa\nVersion: 1\nDescription: {}\n", lines.join("\n ."));
        let stanza = one(&text).unwrap();
        prop_assert!(stanza.draft.description.len() <= limit::DESCRIPTION);
    }

    #[test]
    fn any_bytes_come_to_an_end(bytes in prop::collection::vec(any::<u8>(), 0..2_000)) {
        let _ = read(&bytes);
        let _ = read(&[b"a:".to_vec(), bytes].concat());
    }

    #[test]
    fn any_damage_comes_to_an_end(
        which in 0usize..3, times in 1usize..300, damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let text = [BASH, GIT, GPP].join("\n").repeat(times);
        let mut packed = [gzip, xz, lz4][which](text.as_bytes());
        for (at, byte) in damage {
            let at = at.index(packed.len());
            packed[at] = byte;
        }
        let _ = read(&packed);
    }
}
