//! Releases contain only what their authors intend: dry runs, keys, passphrases, and file
//! permissions.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::Path,
};

use serde_json::Value;

use crate::cli::program::{APART, Home, Ran, Running, ran};

const PEM: &str = "-----BEGIN RSA PRIVATE KEY-----\nnot really\n-----END RSA PRIVATE KEY-----\n";

/// Creates a directory with these files and a swarmdex.toml.
fn project(home: &Home, toml: &str, files: &[(&str, &str)]) -> String {
    let dir = home.path("web");
    let head = "handle = \"alice\"\nname = \"web\"\nversion = \"1.0.0\"\ndescription = \"A web\"\n";
    for (path, text) in files
        .iter()
        .copied()
        .chain([("swarmdex.toml", format!("{head}{toml}").as_str())])
    {
        let place = dir.join(path);
        fs::create_dir_all(place.parent().unwrap()).unwrap();
        fs::write(place, text).unwrap();
    }
    dir.to_str().unwrap().to_owned()
}

fn dry_run(home: &Home, flags: &[&str], dir: &str) -> Ran {
    home.alone(&[flags, &["publish", dir, "--dry-run", "--json"]].concat())
}

fn names<'a>(report: &'a Value, list: &str) -> Vec<&'a str> {
    report[list]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["path"].as_str().unwrap())
        .collect()
}

/// Returns the names in the archive of a release.
fn published(home: &Home, package: &str) -> Vec<String> {
    let _ = fs::remove_dir_all(home.path("got"));
    let got = home.alone(&["get", package, "--output", "got.tar.zst", "--force"]);
    assert_eq!(got.code, Some(0), "{}", got.stderr);
    let tar = zstd::decode_all(fs::read(home.path("got.tar.zst")).unwrap().as_slice()).unwrap();
    let mut archive = tar::Archive::new(tar.as_slice());
    archive
        .entries()
        .unwrap()
        .map(|entry| entry.unwrap().path().unwrap().to_str().unwrap().to_owned())
        .collect()
}

#[test]
fn a_dry_run_lists_what_a_publish_then_does() {
    let home = Home::new();
    let files = [
        (".gitignore", "*.log\n"),
        ("noise.log", "not this"),
        (".env", "PASSWORD=hunter2"),
        (".env.example", "PASSWORD="),
        (".ssh/config", "Host *"),
        ("src/main.sh", "echo hello"),
        ("scratch/x", ""),
    ];
    let dir = project(
        &home,
        "include = [\".env.example\"]\nexclude = [\"/scratch\"]\n",
        &files,
    );
    let report = dry_run(&home, &[], &dir).json();
    let wanted = [
        ".env.example",
        ".gitignore",
        "src",
        "src/main.sh",
        "swarmdex.toml",
    ];
    assert_eq!(names(&report, "entries"), wanted);
    assert_eq!(
        names(&report, "left_out"),
        [".env", ".ssh/", "noise.log", "scratch/"]
    );
    let whys: Vec<_> = report["left_out"]
        .as_array()
        .unwrap()
        .iter()
        .map(|left| left["why"].as_str().unwrap())
        .collect();
    assert_eq!(whys, ["private", "private", "ignored", "excluded"]);
    let entry = &report["entries"][3];
    assert_eq!(
        (&entry["kind"], &entry["size"]),
        (&"file".into(), &10.into()),
        "{entry}"
    );
    assert_eq!(
        (&report["would_succeed"], &report["first_publish"]),
        (&true.into(), &true.into())
    );
    assert_eq!(
        (&report["files"], report["archive"].as_u64().unwrap() > 0),
        (&4.into(), true)
    );
    assert_eq!(
        home.run(["key", "show"]).code,
        Some(1),
        "nothing was signed, and no key was made"
    );

    let text = home.alone(&["publish", &dir, "--dry-run"]);
    assert_eq!(text.code, Some(0), "{}", text.stderr);
    for part in [
        "goes in:",
        "10 B  src/main.sh",
        "stays out:",
        ".env: .env* is often private",
        ".gitignore says *.log",
        "exclude says /scratch",
        "web 1.0.0 would be published",
    ] {
        assert!(
            text.stdout.contains(part),
            "\"{part}\" is missing: {}",
            text.stdout
        );
    }

    let ran = home.alone(&["publish", &dir, "--json"]);
    ran.json();
    assert!(
        ran.stderr.contains("left out: .env (") && ran.stderr.contains("left out: .ssh/ ("),
        "{}",
        ran.stderr
    );
    assert!(
        !ran.stderr.contains("scratch"),
        "what the author left out is not repeated: {}",
        ran.stderr
    );
    assert_eq!(published(&home, "alice/web"), wanted);
}

#[test]
fn a_dry_run_fails_exactly_where_a_publish_does() {
    let home = Home::new();
    let same = |flags: &[&str], dir: &str, part: &str| {
        let dry = dry_run(&home, flags, dir);
        let real = home.alone(&[flags, &["publish", dir, "--json"]].concat());
        assert_eq!(dry.code, real.code, "{}\n{}", dry.stderr, real.stderr);
        assert!(![Some(0), None].contains(&dry.code), "{}", dry.stderr);
        assert!(
            dry.stderr.contains(part) && real.stderr.contains(part),
            "{part}: {}\n{}",
            dry.stderr,
            real.stderr
        );
        dry
    };
    same(
        &[],
        &project(&home, "include = [\"a{b\"]\n", &[("a", "x")]),
        "\"a{b\" in include",
    );
    same(
        &[],
        &project(&home, "exclude = [\"[\"]\n", &[]),
        "\"[\" in exclude",
    );
    same(&[], &project(&home, "license = 5\n", &[]), "license");
    let dry = same(
        &[],
        &project(&home, "", &[("tls/test_key", PEM)]),
        "tls/test_key contains a private key",
    );
    let report = dry.value();
    assert_eq!(
        (names(&report, "refused"), &report["would_succeed"]),
        (vec!["tls/test_key"], &false.into())
    );
    assert!(
        report["error"].as_str().unwrap().contains("tls/test_key")
            && report["refused"][0]["label"] == "RSA PRIVATE KEY"
    );
    // A key that is included by name is intentional.
    let dir = project(&home, "include = [\"tls/test_key\"]\n", &[]);
    assert_eq!(dry_run(&home, &[], &dir).json()["would_succeed"], true);
    home.alone(&["publish", &dir, "--json"]).json();
    assert!(published(&home, "alice/web").contains(&"tls/test_key".to_owned()));
    same(
        &[],
        &dir,
        "the file web-1.0.0.tar.zst of web 1.0.0 already exists",
    );
    fs::write(
        home.path("web/swarmdex.toml"),
        "name = \"web\"\nversion = \"0.9.0\"\ninclude = [\"tls/test_key\"]",
    )
    .unwrap();
    assert_eq!(
        dry_run(&home, &[], &dir).json()["would_succeed"],
        true,
        "an older line may go on"
    );
    fs::write(
        home.path("web/swarmdex.toml"),
        "name = \"web\"\nversion = \"2.0.0\"\ninclude = [\"tls/test_key\"]",
    )
    .unwrap();
    home.file("config.toml", "max_content_mb = 1\ncontent_mb = 100\n");
    let noise: String = (0..1_200_000_u32)
        .map(|n| char::from(b'a' + (n.wrapping_mul(2_654_435_761) >> 28) as u8))
        .collect();
    fs::write(home.path("web/big"), noise).unwrap();
    same(&["--config", "config.toml"], &dir, "1048576");
    fs::remove_file(home.path("web/big")).unwrap();
    assert_eq!(
        dry_run(&home, &["--config", "config.toml"], &dir).json()["first_publish"],
        false
    );
}

#[test]
fn a_nodes_own_files_and_keys_are_never_published() {
    let home = Home::new();
    let dir = project(&home, "include = [\".node/**\"]\n", &[("src/lib.rs", "//")]);
    let node_dir = home.path("web/.node");
    let by_link = home.path("link");
    symlink(&node_dir, &by_link).unwrap();
    // The first publish creates the keys; the second would find them in the directory.
    let flags = ["--data-dir", node_dir.to_str().unwrap()];
    home.alone(&[&flags[..], &["publish", &dir]].concat());
    assert!(node_dir.join("publisher.key").exists());
    for data_dir in [&node_dir, &by_link] {
        let report = dry_run(&home, &["--data-dir", data_dir.to_str().unwrap()], &dir);
        assert_eq!(
            names(&report.value(), "left_out"),
            [".node/"],
            "{}",
            report.stderr
        );
        assert_eq!(
            names(&report.value(), "entries"),
            ["src", "src/lib.rs", "swarmdex.toml"]
        );
    }
    home.alone(&[
        "--data-dir",
        node_dir.to_str().unwrap(),
        "publish",
        node_dir.to_str().unwrap(),
    ])
    .complains(2, &["swarmdex.toml"]);
    let database = node_dir.join("swarmdex.db");
    let toml = home.file("db.toml", "name = \"db\"\nversion = \"1.0.0\"");
    home.alone(
        &[
            &flags[..],
            &["publish", database.to_str().unwrap(), "--manifest", &toml],
        ]
        .concat(),
    )
    .complains(2, &["swarmdex.db", "directory of your node"]);

    // To another node, it is a directory with keys in it, whatever their names.
    let stranger = Home::new();
    fs::rename(node_dir.join("publisher.key"), home.path("web/notes.txt")).unwrap();
    fs::remove_dir_all(&node_dir).unwrap();
    stranger
        .alone(&["publish", &dir])
        .complains(2, &["notes.txt is a key of Swarmdex"]);
    let key = home.path("web/notes.txt");
    stranger
        .alone(&["publish", key.to_str().unwrap(), "--manifest", &toml])
        .complains(2, &["notes.txt is a key of Swarmdex"]);
    let sealed = home.path("web/backup.txt");
    fs::create_dir_all(home.path("data")).unwrap();
    fs::rename(&key, home.path("data/publisher.key")).unwrap();
    let mut export = home.command([
        "--data-dir",
        "data",
        "key",
        "export",
        sealed.to_str().unwrap(),
    ]);
    export.env("SWARMDEX_PASSPHRASE", "correct horse");
    assert_eq!(ran(export).code, Some(0));
    stranger
        .alone(&["publish", &dir])
        .complains(2, &["backup.txt is a key of Swarmdex"]);
}

#[test]
fn a_readme_beside_an_archive_is_looked_at_too() {
    let home = Home::new();
    let dir = project(
        &home,
        "readme = \"about.md\"\nexclude = [\"about.md\"]\n",
        &[("about.md", PEM)],
    );
    home.alone(&["publish", &dir])
        .complains(2, &["about.md contains a private key"]);
    fs::write(home.path("web/about.md"), "# Web").unwrap();
    let report = dry_run(&home, &[], &dir).json();
    assert!(
        report["warnings"][0]
            .as_str()
            .unwrap()
            .contains("about.md stays out of the archive"),
        "{report}"
    );
}

#[test]
fn a_key_is_sealed_unless_it_is_to_be_plain() {
    let (alice, bob) = (Home::new(), Home::new());
    alice.publish(&[], "web", "1.0.0");
    let whose = alice.run(["key", "show", "--json"]).json()["publisher"].clone();
    let words = alice.file("words", "correct horse\nsecond line\n");
    let wrong = alice.file("wrong", "battery staple\n");
    alice.run(["key", "export", "sealed.key"]).complains(
        2,
        &[
            "no terminal",
            "--passphrase-file",
            "SWARMDEX_PASSPHRASE",
            "--plain",
        ],
    );
    alice
        .run([
            "key",
            "export",
            "sealed.key",
            "--passphrase-file",
            "nowhere",
        ])
        .complains(1, &["nowhere"]);
    let empty = alice.file("empty", "");
    alice
        .run(["key", "export", "sealed.key", "--passphrase-file", &empty])
        .complains(2, &["the passphrase is empty"]);
    alice
        .run(["key", "export", "no/where.key", "--plain"])
        .complains(1, &["where.key"]);
    // A limit on file sizes acts like a full disk.
    let mut full = std::process::Command::new("sh");
    let program = env!("CARGO_BIN_EXE_swarmdex");
    let script = format!("trap '' XFSZ; ulimit -f 0; exec {program} key export sealed.key --plain");
    full.args(["-c", &script])
        .env("HOME", alice.path("."))
        .current_dir(alice.path("."));
    full.stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped());
    ran(full).complains(1, &["sealed.key", "written"]);
    assert!(
        !alice.path("sealed.key").exists(),
        "a failed export leaves no file"
    );

    alice.run(["key", "export", "sealed.key", "--passphrase-file", &words]);
    alice.run(["key", "export", "plain.key", "--plain"]);
    let text = fs::read_to_string(alice.path("sealed.key")).unwrap();
    assert!(
        text.contains("BEGIN AGE ENCRYPTED FILE")
            && text.starts_with("# Swarmdex publisher key, sealed"),
        "{text}"
    );
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(
        (
            mode(&alice.path("sealed.key")),
            mode(&alice.path("plain.key"))
        ),
        (0o600, 0o600)
    );
    alice
        .run(["key", "export", "sealed.key", "--passphrase-file", &words])
        .complains(1, &["sealed.key"]);

    let sealed = alice.path("sealed.key").to_str().unwrap().to_owned();
    bob.run(["key", "import", &sealed])
        .complains(2, &["no terminal", "--passphrase-file"]);
    bob.run(["key", "import", &sealed, "--passphrase-file", &wrong])
        .complains(1, &["stays sealed", "passphrase"]);
    assert_eq!(bob.run(["key", "show"]).code, Some(1));
    let mut import = bob.command(["key", "import", &sealed, "--json"]);
    import.env("SWARMDEX_PASSPHRASE", "correct horse");
    assert_eq!(ran(import).json()["publisher"], whose);
    let carol = Home::new();
    let plain = alice.path("plain.key").to_str().unwrap().to_owned();
    assert_eq!(
        carol.run(["key", "import", &plain, "--json"]).json()["publisher"],
        whose
    );
    assert_eq!(
        fs::read(&plain).unwrap(),
        fs::read(carol.path(".local/share/swarmdex/publisher.key")).unwrap()
    );
}

#[test]
fn what_others_could_look_into_is_closed_with_a_warning() {
    let home = Home::new();
    let data = home.path("data");
    let flags = ["--data-dir", data.to_str().unwrap(), "--handle", "alice"];
    home.publish(&flags, "web", "1.0.0");
    let token = data.join("control.token");
    fs::write(&token, "0123456789abcdef0123456789abcdef").unwrap();
    let log = fs::read_dir(data.join("state/logs"))
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let private = [
        (data.join("swarmdex.db"), 0o600),
        (log, 0o600),
        (data.join("state/logs"), 0o700),
        (data.clone(), 0o700),
    ];
    for (path, wanted) in &private {
        assert_eq!(mode(path), *wanted, "{} from the start", path.display());
    }
    for (path, _) in private.iter().chain([&(token.clone(), 0)]) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode(path) | 0o055)).unwrap();
    }
    home.file("config.toml", "control_tcp = \"127.0.0.1:0\"\n");
    let node = Running::start(&home, &[&flags[..], &["--config", "config.toml"]].concat());
    for (path, wanted) in private.iter().chain([&(token, 0o600)]) {
        assert_eq!(mode(path), *wanted, "{}", path.display());
    }
    for end in ["-wal", "-shm"] {
        assert_eq!(
            mode(&data.join(format!("swarmdex.db{end}"))),
            0o600,
            "{end}"
        );
    }
    node.stop("TERM");
    let logged: String = fs::read_dir(data.join("state/logs"))
        .unwrap()
        .map(|file| fs::read_to_string(file.unwrap().path()).unwrap())
        .collect();
    for name in ["swarmdex.db", "control.token", "/logs", ".log"] {
        let warned = logged
            .lines()
            .any(|line| line.contains("others could look into this") && line.contains(name));
        assert!(warned, "{name}: {logged}");
    }
}

#[test]
fn an_import_warns_and_takes_archives_as_they_are() {
    let home = Home::new();
    let mut tar = tar::Builder::new(flate2::write::GzEncoder::new(
        Vec::new(),
        flate2::Compression::fast(),
    ));
    let manifest = "[package]\nname = \"tls\"\nversion = \"1.0.0\"\ndescription = \"A \
                    crate\"\nlicense = \"MIT\"\n";
    for (path, text) in [
        ("Cargo.toml", manifest),
        ("tests/key", PEM),
        (".env", "A=1"),
        ("src/lib.rs", "//"),
    ] {
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        tar.append_data(&mut header, format!("tls-1.0.0/{path}"), text.as_bytes())
            .unwrap();
    }
    let bytes = tar.into_inner().unwrap().finish().unwrap();
    fs::write(home.path("tls-1.0.0.crate"), &bytes).unwrap();
    let ran = home.run(
        [
            &APART[..],
            &["import", "tls-1.0.0.crate", "--handle", "alice"],
        ]
        .concat(),
    );
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert!(ran.stdout.contains("1 published"), "{}", ran.stdout);
    let warning = ran
        .stderr
        .lines()
        .find(|line| line.starts_with("warning: "))
        .unwrap_or_default();
    assert!(
        warning.contains("tls-1.0.0/tests/key") && warning.contains("tls-1.0.0/.env"),
        "{}",
        ran.stderr
    );
}
