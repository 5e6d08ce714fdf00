use std::{
    ffi::OsStr,
    fs,
    os::unix::{
        ffi::OsStrExt,
        fs::{PermissionsExt, symlink},
        net::UnixListener,
    },
    time::{Duration, SystemTime},
};

use zstd::stream::write::Encoder;

use super::{write::LEVEL, *};

mod secrets;

fn excluding(exclude: &[&str]) -> Rules {
    Rules {
        exclude: exclude
            .iter()
            .map(|pattern| (*pattern).to_owned())
            .collect(),
        ..Rules::default()
    }
}

fn packed(dir: &Path, exclude: &[&str]) -> Result<Vec<u8>, PackError> {
    packed_by(dir, &excluding(exclude))
}

fn packed_by(dir: &Path, rules: &Rules) -> Result<Vec<u8>, PackError> {
    let mut out = Vec::new();
    pack(dir, rules, PackLimits::default(), &mut out, |_| {})?;
    Ok(out)
}

fn refused(dir: &Path) -> PackError {
    packed(dir, &[]).unwrap_err()
}

/// Creates the files with their parent directories, in the given order.
fn tree(dir: &Path, files: &[(&str, &[u8])]) {
    for (path, bytes) in files {
        let place = dir.join(path);
        fs::create_dir_all(place.parent().unwrap()).unwrap();
        fs::write(place, bytes).unwrap();
    }
}

fn paths(archive: &[u8]) -> Vec<String> {
    let tar = zstd::decode_all(archive).unwrap();
    let mut archive = tar::Archive::new(tar.as_slice());
    archive
        .entries()
        .unwrap()
        .map(|entry| entry.unwrap().path().unwrap().to_str().unwrap().to_owned())
        .collect()
}

const FIXED: [(&str, &[u8]); 5] = [
    ("src/main.rs", b"fn main() {}\n"),
    ("src.txt", b"between src and what is in it"),
    ("empty", b""),
    (".hidden/zähler", b"7"),
    ("zeros", &[0; 5_000]),
];

fn fixed_in(dir: &Path, files: &[(&str, &[u8])]) {
    tree(dir, files);
    tree(
        dir,
        &[(
            &format!("long/{}/{}", "d".repeat(90), "f".repeat(90)),
            b"long",
        )],
    );
    fs::create_dir(dir.join("nothing")).unwrap();
    symlink("src/main.rs", dir.join("link")).unwrap();
    fs::set_permissions(dir.join("zeros"), fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn the_same_tree_is_the_same_bytes_everywhere() {
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    fixed_in(one.path(), &FIXED);
    let deep = other.path().join("some/where/else");
    fs::create_dir_all(&deep).unwrap();
    let mut backwards = FIXED;
    backwards.reverse();
    fixed_in(&deep, &backwards);
    // As another time and another umask would have left them.
    for (path, mode) in [
        ("src/main.rs", 0o600),
        ("empty", 0o664),
        ("zeros", 0o700),
        ("src", 0o700),
        ("nothing", 0o1777),
    ] {
        let place = deep.join(path);
        let hour = SystemTime::now() - Duration::from_secs(3_600);
        File::open(&place).unwrap().set_modified(hour).unwrap();
        fs::set_permissions(&place, fs::Permissions::from_mode(mode)).unwrap();
    }
    let first = packed(one.path(), &[]).unwrap();
    assert_eq!(packed(one.path(), &[]).unwrap(), first);
    assert_eq!(packed(&deep, &[]).unwrap(), first);
    let through = other.path().join("link");
    symlink(&deep, &through).unwrap();
    assert_eq!(packed(&through, &[]).unwrap(), first, "however it is named");
    assert!(paths(&first).is_sorted());
    // A change here changes the hash of everything packed from now on.
    let hash = blake3::hash(&first).to_hex();
    assert_eq!(
        hash.as_str(),
        "c9dc84c0435f284f7b20eb907b25c52d136b404364e6eac1cd9ef2576723ee49"
    );
}

#[test]
fn zstd_writes_the_same_however_the_bytes_come() {
    let dir = tempfile::tempdir().unwrap();
    let noise: Vec<u8> = (0..700_000_u32)
        .flat_map(|n| (n.wrapping_mul(2_654_435_761) >> 20).to_le_bytes())
        .collect();
    tree(dir.path(), &[("a", &noise), ("b", b"x"), ("c", &noise)]);
    let archive = packed(dir.path(), &[]).unwrap();
    let tar = zstd::decode_all(archive.as_slice()).unwrap();
    for size in [1_000, 65_536, tar.len()] {
        let mut encoder = Encoder::new(Vec::new(), LEVEL).unwrap();
        encoder.include_checksum(true).unwrap();
        encoder.include_contentsize(false).unwrap();
        tar.chunks(size)
            .for_each(|chunk| encoder.write_all(chunk).unwrap());
        assert!(encoder.finish().unwrap() == archive, "{size} bytes at once");
    }
}

#[test]
fn headers_say_nothing_of_the_machine() {
    let dir = tempfile::tempdir().unwrap();
    fixed_in(dir.path(), &FIXED);
    let tar = zstd::decode_all(packed(dir.path(), &[]).unwrap().as_slice()).unwrap();
    let mut archive = tar::Archive::new(tar.as_slice());
    let mut modes = Vec::new();
    for entry in archive.entries().unwrap() {
        let entry = entry.unwrap();
        let header = entry.header();
        assert_eq!(
            (
                header.uid().unwrap(),
                header.gid().unwrap(),
                header.mtime().unwrap()
            ),
            (0, 0, 1)
        );
        assert_eq!(
            (header.username_bytes(), header.groupname_bytes()),
            (Some(&b""[..]), Some(&b""[..]))
        );
        modes.push((
            entry.path().unwrap().to_str().unwrap().to_owned(),
            header.mode().unwrap(),
        ));
    }
    let mode = |path: &str| modes.iter().find(|(known, _)| known == path).unwrap().1;
    assert_eq!(
        (mode("src"), mode("empty"), mode("zeros"), mode("link")),
        (0o755, 0o644, 0o755, 0o777)
    );
    assert!(
        modes.iter().any(|(path, _)| path.len() > 180)
            && modes.iter().any(|(path, _)| path == "nothing")
    );
}

#[test]
fn what_is_ignored_is_left_out() {
    let around = tempfile::tempdir().unwrap();
    let dir = around.path().join("web");
    tree(
        around.path(),
        &[
            (".gitignore", b"*"),
            ("web/.gitignore", b"*.log\n/target/\n!kept.log\n"),
            ("web/.ignore", b"*.md\n"),
            ("web/.git/config", b"[core]"),
            ("web/.git/info/exclude", b"*.rs\n"),
            ("web/.github/ci.yml", b""),
            ("web/a.log", b""),
            ("web/kept.log", b""),
            ("web/main.rs", b""),
            ("web/read.md", b""),
            ("web/sub/.git", b"gitdir: elsewhere"),
            ("web/sub/.gitignore", b"only-here\n"),
            ("web/sub/only-here", b""),
            ("web/sub/target/x", b""),
            ("web/target/x", b""),
            ("web/tmp/notes", b""),
        ],
    );
    let all = ".github .github/ci.yml .gitignore .ignore kept.log main.rs read.md sub \
        sub/.gitignore sub/target sub/target/x tmp tmp/notes";
    assert_eq!(paths(&packed(&dir, &[]).unwrap()).join(" "), all);
    let fewer = paths(
        &packed(
            &dir,
            &["# a comment", "/tmp", ".*", "target", "*.md", "!.gitignore"],
        )
        .unwrap(),
    );
    assert_eq!(
        fewer,
        [".gitignore", "kept.log", "main.rs", "sub", "sub/.gitignore"]
    );
    let error = packed(&dir, &["ok", "a{b"]).unwrap_err();
    assert!(
        matches!(&error, PackError::Pattern { pattern, .. } if pattern == "a{b"),
        "{error}"
    );
    fs::write(dir.join("sub/.gitignore"), "a{b\n").unwrap();
    let error = refused(&dir);
    assert!(
        matches!(error, PackError::Ignore(_)) && error.to_string().contains("sub/.gitignore"),
        "{error}"
    );
}

#[test]
fn links_that_leave_the_tree_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    tree(dir.path(), &[("a/b/c", b"")]);
    let link = dir.path().join("a/link");
    for target in ["b/c", "..", "../a/b", "dangling", ".", "./b/"] {
        symlink(target, &link).unwrap();
        assert!(packed(dir.path(), &[]).is_ok(), "{target}");
        fs::remove_file(&link).unwrap();
    }
    let absolute = dir.path().join("a/b");
    for target in [
        "../..",
        "../../x",
        "/etc/passwd",
        "b/../../../x",
        "b/..",
        absolute.to_str().unwrap(),
    ] {
        symlink(target, &link).unwrap();
        let error = refused(dir.path());
        assert!(
            matches!(&error, PackError::Link { path, .. } if path == "a/link"),
            "{target}: {error}"
        );
        assert!(
            packed(dir.path(), &["link"]).is_ok(),
            "what is excluded does not matter"
        );
        fs::remove_file(&link).unwrap();
    }
}

#[test]
fn what_is_no_file_is_refused_by_its_path() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("a")).unwrap();
    let socket = dir.path().join("a/socket");
    let _listener = UnixListener::bind(&socket).unwrap();
    let error = refused(dir.path()).to_string();
    assert!(
        error.contains("a/socket") && error.contains("a socket"),
        "{error}"
    );
    fs::remove_file(&socket).unwrap();
    let made = std::process::Command::new("mkfifo")
        .arg(dir.path().join("a/pipe"))
        .status();
    if made.is_ok_and(|made| made.success()) {
        let error = refused(dir.path()).to_string();
        assert!(
            error.contains("a/pipe") && error.contains("a pipe"),
            "{error}"
        );
    }
}

#[test]
fn names_that_mean_something_else_elsewhere_are_refused() {
    for (name, why) in [
        (&b"caf\xe9"[..], BadPath::NotText),
        (b"a\\b", BadPath::Unsafe),
        (b"bell\x07", BadPath::Unsafe),
        (b"C:x", BadPath::Drive),
        ("gpj\u{202e}.exe".as_bytes(), BadPath::Unsafe),
    ] {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("a")).unwrap();
        fs::write(dir.path().join("a").join(OsStr::from_bytes(name)), "").unwrap();
        let error = refused(dir.path());
        assert!(
            matches!(&error, PackError::Path { path, why: found } if path.starts_with("a/") && *found == why),
            "{error}"
        );
        assert!(!error.to_string().chars().any(char::is_control));
    }
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir_all(dir.path().join(["x".repeat(200).as_str(); 6].join("/"))).unwrap();
    assert!(matches!(
        refused(dir.path()),
        PackError::Path {
            why: BadPath::TooLong,
            ..
        }
    ));
}

#[test]
fn limits_name_the_path_that_goes_over() {
    let dir = tempfile::tempdir().unwrap();
    tree(
        dir.path(),
        &[("a/x", &[1; 600]), ("b", &[2; 400]), ("c", b"")],
    );
    let pack_within = |bytes, entries| {
        pack(
            dir.path(),
            &Rules::default(),
            PackLimits { bytes, entries },
            io::sink(),
            |_| {},
        )
    };
    let packed = pack_within(1_000, 4).unwrap();
    assert_eq!((packed.entries, packed.files, packed.bytes), (4, 3, 1_000));
    let large = pack_within(999, 4).unwrap_err();
    assert!(
        matches!(&large, PackError::TooLarge { path, limit: 999 } if path == "b"),
        "{large}"
    );
    let many = pack_within(1_000, 3).unwrap_err();
    assert!(
        matches!(&many, PackError::TooMany { path, limit: 3 } if path == "c"),
        "{many}"
    );
}

#[test]
fn a_file_that_changes_meanwhile_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let body = vec![7; 3 << 20];
    let victim = dir.path().join("b");
    let grow = || {
        File::options()
            .append(true)
            .open(&victim)
            .unwrap()
            .write_all(b"more")
            .unwrap()
    };
    let cut = || {
        File::options()
            .write(true)
            .open(&victim)
            .unwrap()
            .set_len(2 << 20)
            .unwrap()
    };
    let remove = || fs::remove_file(&victim).unwrap();
    let swap = || {
        fs::remove_file(&victim).unwrap();
        fs::write(&victim, vec![8; 3 << 20]).unwrap();
    };
    // While the file before it is being packed, and in the middle of it.
    for at in [1 << 20, 4 << 20] {
        let changes: [(&str, &dyn Fn()); 4] = [
            ("grow", &grow),
            ("cut", &cut),
            ("remove", &remove),
            ("swap", &swap),
        ];
        for (name, change) in changes {
            tree(dir.path(), &[("a", &body), ("b", &body)]);
            let mut done = false;
            let mut change_once = |packing: PackProgress| {
                if packing.bytes_done >= at && !std::mem::replace(&mut done, true) {
                    change();
                }
            };
            let result = pack(
                dir.path(),
                &Rules::default(),
                PackLimits::default(),
                io::sink(),
                &mut change_once,
            );
            match result {
                Err(PackError::Changed { path }) => assert_eq!(path, "b"),
                Err(PackError::Read { path, .. }) => {
                    assert_eq!((path.as_str(), name), ("b", "remove"))
                }
                // The opened file is still the one that was listed.
                Ok(_) => assert!(
                    matches!(name, "remove" | "swap") && at > 3 << 20,
                    "{name} at {at}"
                ),
                Err(error) => panic!("{name}: {error}"),
            }
        }
    }
}

#[test]
fn progress_is_told_now_and_then_and_at_the_end() {
    let dir = tempfile::tempdir().unwrap();
    tree(dir.path(), &[("big", &vec![0; 5 << 20])]);
    for n in 0..200 {
        tree(dir.path(), &[(&format!("small/{n}"), b"x")]);
    }
    let mut told = Vec::new();
    let mut out = Vec::new();
    let packed = pack(
        dir.path(),
        &Rules::default(),
        PackLimits::default(),
        &mut out,
        |packing| told.push(packing),
    )
    .unwrap();
    let whole = PackProgress {
        files_done: 201,
        files: 201,
        bytes_done: (5 << 20) + 200,
        bytes: (5 << 20) + 200,
    };
    assert_eq!(
        told.first(),
        Some(&PackProgress {
            files_done: 0,
            bytes_done: 0,
            ..whole
        })
    );
    assert_eq!(told.last(), Some(&whole));
    assert!(told.is_sorted_by_key(|packing| (packing.bytes_done, packing.files_done)));
    assert!((8..=15).contains(&told.len()), "{}", told.len());
    assert_eq!(
        packed,
        Packed {
            entries: 202,
            files: 201,
            bytes: whole.bytes,
            written: out.len() as u64
        }
    );
}

#[test]
fn an_empty_directory_is_an_archive_and_a_file_is_not() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(paths(&packed(dir.path(), &[]).unwrap()), [""; 0]);
    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    assert!(matches!(refused(&file), PackError::NotDirectory(_)));
    assert!(matches!(
        refused(&dir.path().join("absent")),
        PackError::Read { .. }
    ));
}

#[test]
fn a_disk_that_is_full_is_told_from_a_file_that_is_bad() {
    struct Full;
    impl Write for Full {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::StorageFull.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let dir = tempfile::tempdir().unwrap();
    tree(dir.path(), &[("a", &vec![0; 1 << 20])]);
    let error = pack(
        dir.path(),
        &Rules::default(),
        PackLimits::default(),
        Full,
        |_| {},
    )
    .unwrap_err();
    assert!(matches!(error, PackError::Write(_)), "{error}");
}
