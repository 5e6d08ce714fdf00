use std::io::{Cursor, Write};

use flate2::{Compression, write::GzEncoder};
use proptest::prelude::*;

use super::*;

const CONTROL: &str = "Package: hello\nSource: hello-src (1.0)\nVersion: 1:2.10-3\nArchitecture: \
    amd64\nMaintainer: Ann <a@example.org>\nDepends: libc6 (>= 2.36),\n perl | awk\nSection: \
    devel\nPriority: optional\nHomepage: https://example.org/\nDescription: says hello\n It does \
    so at length.\n .\n   And more.\n";
const TIME: u64 = 1_600_000_000;

fn tar(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (name, bytes) in files {
        let mut header = tar::Header::new_gnu();
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        header.set_cksum();
        tar.append(&header, *bytes).unwrap();
    }
    tar.into_inner().unwrap()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn xz(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 1);
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn ar(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut archive = b"!<arch>\n".to_vec();
    for (name, bytes) in members {
        archive.extend(
            format!(
                "{name:<16}{TIME:<12}0     0     100644  {:<10}`\n",
                bytes.len()
            )
            .bytes(),
        );
        archive.extend_from_slice(bytes);
        archive.extend((bytes.len() % 2 > 0).then_some(b'\n'));
    }
    archive
}

/// Builds a package with this control file and these files.
fn package(control: &str, files: &[(&str, &[u8])]) -> Result<Deb, ArchiveError> {
    let control = gzip(&tar(&[
        ("./md5sums", b"0"),
        ("./control", control.as_bytes()),
    ]));
    of(Cursor::new(ar(&[
        ("debian-binary", b"2.0\n"),
        ("control.tar.gz", &control),
        ("data.tar.gz", &gzip(&tar(files))),
    ])))
}

#[test]
fn an_archive_is_a_package() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("any-name.deb");
    for extension in ["", ".gz", ".xz", ".zst"] {
        let pack = |bytes: &[u8]| match extension {
            ".gz" => gzip(bytes),
            ".xz" => xz(bytes),
            ".zst" => zstd::encode_all(bytes, 1).unwrap(),
            _ => bytes.to_vec(),
        };
        let control = pack(&tar(&[("./control", CONTROL.as_bytes())]));
        let data = pack(&tar(&[("./usr/share/doc/hello/README", b"read me")]));
        let (controls, datas) = (
            format!("control.tar{extension}"),
            format!("data.tar{extension}"),
        );
        let archive = ar(&[
            ("debian-binary", b"2.0\n"),
            ("_own/", b"odd"),
            (&controls, &control),
            (&datas, &data),
            ("more", b"x"),
        ]);
        std::fs::write(&path, &archive).unwrap();
        let package = read(&path).unwrap();
        assert_eq!(
            (
                package.name.as_str(),
                package.version.as_str(),
                package.architecture.as_str()
            ),
            ("hello", "1:2.10-3", "amd64")
        );
        assert_eq!(package.summary.as_deref(), Some("says hello"));
        assert_eq!(
            package.details.as_deref(),
            Some(" It does so at length.\n .\n   And more.")
        );
        assert_eq!(
            (package.section.as_deref(), package.priority.as_deref()),
            (Some("devel"), Some("optional"))
        );
        assert_eq!(
            (package.source.as_deref(), package.maintainer.as_deref()),
            (Some("hello-src (1.0)"), Some("Ann <a@example.org>"))
        );
        assert_eq!(package.homepage.as_deref(), Some("https://example.org/"));
        let depends = ControlRelation {
            kind: RelationKind::Depends,
            packages: "libc6 (>= 2.36), perl | awk".to_owned(),
        };
        assert_eq!(
            (package.relations.as_slice(), package.control.as_str()),
            (&[depends][..], CONTROL)
        );
        assert_eq!(
            package.readme,
            Some(ReadmeFile {
                name: "README".to_owned(),
                bytes: b"read me".to_vec()
            }),
            "{extension}"
        );
        assert_eq!(
            (package.published_at, package.size),
            (Some(TIME), archive.len() as u64)
        );
    }
    assert!(matches!(read(dir.path()), Err(ArchiveError::NotFile)));
}

#[test]
fn the_readme_is_the_best_there_is() {
    let packed = gzip(b"packed");
    for (files, best) in [
        (
            &[
                ("README.Debian", &b"d"[..]),
                ("README.gz", &packed),
                ("copyright", b"c"),
            ][..],
            Some(("README", &b"packed"[..])),
        ),
        (
            &[("README.txt", b"t"), ("README.md", b"m")],
            Some(("README.md", b"m")),
        ),
        (&[("README.Debian", b"d")], Some(("README.Debian", b"d"))),
        (
            &[
                ("docs/README", b"x"),
                ("READMES", b"x"),
                ("changelog.gz", b"x"),
            ],
            None,
        ),
        (&[("README.gz", b"not gzip")], None),
    ] {
        let files: Vec<_> = files
            .iter()
            .map(|(name, bytes)| (format!("./usr/share/doc/hello/{name}"), *bytes))
            .collect();
        let files: Vec<_> = files
            .iter()
            .map(|(name, bytes)| (name.as_str(), *bytes))
            .collect();
        let readme = package(CONTROL, &files).unwrap().readme;
        assert_eq!(
            readme
                .as_ref()
                .map(|readme| (readme.name.as_str(), readme.bytes.as_slice())),
            best
        );
    }
    let other = [
        ("./usr/share/doc/other/README", &b"x"[..]),
        ("./../usr/share/doc/hello/README", b"x"),
    ];
    assert_eq!(package(CONTROL, &other).unwrap().readme, None);
    let bomb = gzip(&vec![0; 8 << 20]);
    assert_eq!(
        package(CONTROL, &[("./usr/share/doc/hello/README.gz", &bomb)])
            .unwrap()
            .readme,
        None
    );
    // Behind the part that is searched.
    let large = vec![0; MAX_DATA as usize];
    let files = [
        ("./usr/bin/hello", large.as_slice()),
        ("./usr/share/doc/hello/README", b"x"),
    ];
    assert_eq!(package(CONTROL, &files).unwrap().readme, None);
}

#[test]
fn control_files_that_are_wrong_are_refused_with_a_reason() {
    for (good, bad) in [
        ("Package: hello\n", ""),
        ("Package: hello\n", "Package: a_b\n"),
        ("Package: hello\n", "Package: ../x\n"),
        ("Version: 1:2.10-3\n", ""),
        ("Version: 1:2.10-3\n", "Version: a\n"),
        ("Architecture: amd64\n", "Architecture: a b\n"),
        ("Section: devel\n", "package: other\n"),
        ("Section: devel\n", "Section\n"),
        ("Section: devel\n", "\n"),
        ("Section: devel\n", ": x\n"),
        ("Package: hello\n", " Package: hello\n"),
    ] {
        let control = CONTROL.replace(good, bad);
        assert_ne!(control, CONTROL);
        assert!(
            matches!(package(&control, &[]), Err(ArchiveError::Bad { why, .. }) if !why.is_empty()),
            "{bad}"
        );
    }
    assert!(package(&CONTROL.replace('\n', "\r\n"), &[]).is_ok());
    let read = |files: &[(&str, &[u8])]| {
        let control = tar(files);
        of(Cursor::new(ar(&[
            ("debian-binary", b"2.0\n"),
            ("control.tar", &control),
            ("data.tar", b""),
        ])))
    };
    assert!(matches!(
        read(&[("./control/control", b"x")]),
        Err(ArchiveError::Missing(_))
    ));
    assert!(matches!(
        read(&[("./control", b"x"), ("control", b"y")]),
        Err(ArchiveError::Ambiguous(_))
    ));
    assert!(matches!(
        read(&[("./control", b"\xff")]),
        Err(ArchiveError::Bad { .. })
    ));
    assert!(
        read(&[
            ("control", CONTROL.as_bytes()),
            ("./control", CONTROL.as_bytes())
        ])
        .is_ok()
    );
    let large = vec![b' '; MAX_PARAGRAPH as usize + 1];
    assert!(matches!(
        read(&[("./control", &large)]),
        Err(ArchiveError::TooLarge)
    ));
}

#[test]
fn what_is_no_package_is_refused() {
    let control = gzip(&tar(&[("./control", CONTROL.as_bytes())]));
    let binary = ("debian-binary", &b"2.0\n"[..]);
    let of = |members: &[(&str, &[u8])]| of(Cursor::new(ar(members)));
    for members in [
        &[][..],
        &[binary],
        &[binary, ("control.tar.gz", &control)],
        &[binary, ("data.tar", b""), ("control.tar.gz", &control)],
        &[
            binary,
            ("other", b""),
            ("control.tar.gz", &control),
            ("data.tar", b""),
        ],
        &[("control.tar.gz", &control), ("data.tar", b"")],
    ] {
        assert!(
            matches!(of(members), Err(ArchiveError::Other(_))),
            "{}",
            members.len()
        );
    }
    let old = of(&[
        ("debian-binary", b"0.939000\n"),
        ("control.tar.gz", &control),
        ("data.tar", b""),
    ]);
    assert!(matches!(old, Err(ArchiveError::OtherFormat(why)) if why.contains(" 0.939000 ")));
    assert!(
        of(&[
            ("debian-binary", b"2.1\nmore\n"),
            ("control.tar.gz", &control),
            ("data.tar.bz2", b"x")
        ])
        .is_ok()
    );
    let packing = of(&[binary, ("control.tar.bz2", &control), ("data.tar", b"")]);
    assert!(
        matches!(packing, Err(ArchiveError::OtherFormat(why)) if why.starts_with("control.tar.bz2 \
            is packed"))
    );
    let bomb = gzip(&tar(&[
        ("./md5sums", &vec![0; 20 << 20]),
        ("./control", CONTROL.as_bytes()),
    ]));
    assert!(matches!(
        of(&[binary, ("control.tar.gz", &bomb), ("data.tar", b"")]),
        Err(ArchiveError::TooLarge)
    ));
    let many: Vec<_> = std::iter::once(binary)
        .chain([("_x", &b""[..]); 100])
        .collect();
    assert!(matches!(of(&many), Err(ArchiveError::Other(_))));
}

#[test]
fn archives_that_are_cut_off_are_refused() {
    let control = gzip(&tar(&[("./control", CONTROL.as_bytes())]));
    let whole = ar(&[
        ("debian-binary", b"2.0\n"),
        ("control.tar.gz", &control),
        ("data.tar", &[0; 100]),
    ]);
    for length in 0..whole.len() {
        assert!(of(Cursor::new(&whole[..length])).is_err(), "{length}");
    }
    assert!(of(Cursor::new(&whole)).is_ok());
    // A length larger than the archive, and invalid ones.
    for length in ["9999999999", "-1", "0x10", ""] {
        let mut bytes = b"!<arch>\n".to_vec();
        bytes.extend(
            format!(
                "{:<16}{:<12}0     0     100644  {length:<10}`\n2.0\n",
                "debian-binary", 0
            )
            .bytes(),
        );
        assert!(of(Cursor::new(&bytes)).is_err(), "{length}");
    }
}

proptest! {
    #[test]
    fn any_control_comes_to_an_end(text in "\\PC{0,200}|((Package|Version|Architecture|X|)[: \
        ]{0,2}[a1 .\n]{0,9}\n?){0,9}") {
        let _ = package(&text, &[]);
    }

    #[test]
    fn any_bytes_come_to_an_end(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = of(Cursor::new([b"!<arch>\n".to_vec(), bytes.clone()].concat()));
        let _ = of(Cursor::new(ar(&[("debian-binary", b"2.0\n"), ("control.tar.xz", &bytes), ("data.tar", b"")])));
    }

    #[test]
    fn any_damage_comes_to_an_end(damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6)) {
        let control = xz(&tar(&[("./control", CONTROL.as_bytes())]));
        let data = xz(&tar(&[("./usr/share/doc/hello/README", b"x")]));
        let mut whole = ar(&[("debian-binary", b"2.0\n"), ("control.tar.xz", &control), ("data.tar.xz", &data)]);
        for (at, byte) in damage {
            let at = at.index(whole.len());
            whole[at] = byte;
        }
        let _ = of(Cursor::new(whole));
    }
}
