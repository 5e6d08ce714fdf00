//! Content through the verbs: packed, published, downloaded, unpacked, locked, imported, kept.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::Path,
};

use serde_json::Value;

use crate::cli::program::{APART, Home, PATIENCE, Ran, Running};

/// Creates a directory to publish, with this swarmdex.toml.
fn project(home: &Home, name: &str, toml: &str) -> String {
    let dir = home.path(name);
    fs::create_dir_all(dir.join("src")).unwrap();
    fs::write(dir.join("swarmdex.toml"), toml).unwrap();
    fs::write(dir.join("README.md"), format!("# {name}\n")).unwrap();
    fs::write(dir.join("src/main.sh"), "#!/bin/sh\necho hello\n").unwrap();
    fs::set_permissions(dir.join("src/main.sh"), fs::Permissions::from_mode(0o755)).unwrap();
    fs::write(dir.join(".gitignore"), "*.log\n").unwrap();
    fs::write(dir.join("noise.log"), "not this").unwrap();
    dir.to_str().unwrap().to_owned()
}

fn toml(name: &str, version: &str, more: &str) -> String {
    format!(
        "handle = \"alice\"\nname = \"{name}\"\nversion = \"{version}\"\ndescription = \"A \
         {name}\"\n{more}"
    )
}

/// Returns the last line of output, which is the result.
#[track_caller]
fn last(ran: &Ran) -> Value {
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let line = ran
        .stdout
        .lines()
        .last()
        .unwrap_or_else(|| panic!("nothing was printed: {}", ran.stderr));
    serde_json::from_str(line).unwrap()
}

fn join<'a>(node: &'a Running, words: &[&'a str]) -> Vec<&'a str> {
    [&["--bootstrap", &node.address], words].concat()
}

#[test]
fn a_directory_travels_and_is_unpacked_as_it_was() {
    let alice = Home::new();
    let dir = project(
        &alice,
        "tool",
        &toml("tool", "1.0.0", "exclude = [\"*.tmp\"]"),
    );
    fs::write(Path::new(&dir).join("scratch.tmp"), "nor this").unwrap();
    let node = Running::start(&alice, &[]);
    let published = alice.run(["publish", &dir, "--json"]);
    let receipt = published.json();
    assert!(
        published.stderr.contains("packed: 4 files"),
        "{}",
        published.stderr
    );

    let bob = Home::new();
    let got = bob.alone(&join(&node, &["get", "alice/tool", "--json"]));
    let done = &last(&got)["got"];
    assert_eq!(done["path"], "tool-1.0.0.tar.zst");
    assert_eq!(done["fetched"]["content"]["root"], receipt["content"]);
    assert_eq!(
        done["fetched"]["origin"]["shares"][0]["peer"],
        node.peer_id.as_str()
    );
    let mode = fs::metadata(bob.path("tool-1.0.0.tar.zst"))
        .unwrap()
        .permissions()
        .mode()
        & 0o777;
    assert_eq!(mode & 0o600, 0o600);
    // The same file again is fine, but another one is never overwritten.
    assert_eq!(
        last(&bob.alone(&join(&node, &["get", "alice/tool", "--json"])))["got"]["fetched"]["was_held"],
        true
    );
    bob.file("tool-1.0.0.tar.zst", "mine");
    bob.alone(&join(&node, &["get", "alice/tool"]))
        .complains(2, &["exists already", "different content", "--force"]);
    last(&bob.alone(&join(&node, &["get", "alice/tool", "--json", "--force"])));

    last(&bob.alone(&join(
        &node,
        &[
            "get",
            "alice/tool@1",
            "--extract",
            "--output",
            "there",
            "--json",
        ],
    )));
    let read = |file: &str| fs::read_to_string(bob.path("there").join(file)).unwrap();
    assert_eq!(
        (read("README.md").as_str(), read("src/main.sh").as_str()),
        ("# tool\n", "#!/bin/sh\necho hello\n")
    );
    assert!(
        fs::metadata(bob.path("there/src/main.sh"))
            .unwrap()
            .permissions()
            .mode()
            & 0o100
            != 0
    );
    assert!(!bob.path("there/noise.log").exists() && !bob.path("there/scratch.tmp").exists());
    bob.alone(&join(
        &node,
        &["get", "alice/tool", "--extract", "--output", "there"],
    ))
    .complains(2, &["not empty"]);
    let left: Vec<_> = fs::read_dir(bob.path("."))
        .unwrap()
        .flatten()
        .map(|file| file.file_name())
        .collect();
    assert!(
        left.iter()
            .all(|name| !name.to_string_lossy().contains("tmp")),
        "{left:?}"
    );

    // Without peers, the local copy is used.
    node.stop("TERM");
    let here = bob.alone(&["get", "alice/tool", "--output", "again.zst", "--json"]);
    assert_eq!(last(&here)["got"]["fetched"]["was_held"], true);
    assert_eq!(
        fs::read(bob.path("again.zst")).unwrap(),
        fs::read(bob.path("tool-1.0.0.tar.zst")).unwrap()
    );
    let words = bob
        .alone(&["get", "alice/tool", "--output", "words.zst"])
        .stdout;
    assert!(
        words.contains("written to  words.zst") && words.contains("this node, which got it from"),
        "{words}"
    );
}

#[test]
fn what_nobody_gives_is_said_and_what_is_no_archive_is_not_unpacked() {
    let alice = Home::new();
    let web = alice.publish(&["--handle", "alice"], "web", "1.0.0");
    let node = Running::start(&alice, &[]);
    let bob = Home::new();
    let id = web["id"].as_str().unwrap();
    bob.alone(&join(&node, &["get", id, "--extract"]))
        .complains(2, &["not an archive", "--extract"]);
    assert!(!bob.path("web-1.0.0").exists());
    // The package is known, but no node holds its content.
    let carol = Home::new();
    carol.alone(&join(&node, &["show", id, "--json"])).json();
    node.stop("TERM");
    carol
        .alone(&["get", id])
        .complains(1, &["could not be fetched", "no peer is connected"]);
    assert!(!carol.path("content.bin").exists());
}

#[test]
fn dependencies_are_resolved_locked_and_had_again_exactly() {
    let alice = Home::new();
    let node = Running::start(&alice, &["--handle", "alice"]);
    let publish = |name: &str, version: &str, needs: &str| {
        let needs = if needs.is_empty() {
            String::new()
        } else {
            format!("dependencies = [{needs}]")
        };
        let dir = project(&alice, name, &toml(name, version, &needs));
        alice.run(["publish", &dir, "--json"]).json()
    };
    publish("json", "1.0.0", "");
    publish("json", "1.1.0", "");
    publish("json", "2.0.0", "");
    publish(
        "app",
        "1.0.0",
        "{ package = \"alice/json\", requirement = \"^1\" }",
    );
    publish(
        "odd",
        "1.0.0",
        "{ package = \"alice/app\", requirement = \"*\" }, { package = \"alice/json\", requirement \
         = \"^2\" }",
    );

    let bob = Home::new();
    let words = [
        "get",
        "alice/app",
        "--with-deps",
        "--trust-new",
        "--output",
        "all",
        "--extract",
        "--json",
    ];
    let got = bob.alone(&join(&node, &words));
    assert_eq!(last(&got)["lock"], "all/swarmdex.lock");
    assert!(
        bob.path("all/alice/json-1.1.0/README.md").exists()
            && bob.path("all/alice/app-1.0.0/src/main.sh").exists()
    );
    bob.alone(&join(
        &node,
        &["get", "alice/odd", "--with-deps", "--output", "odd"],
    ))
    .complains(1, &["alice/odd", "alice/json"]);
    assert!(!bob.path("odd").exists());

    // The lock file wins over a newer release that would match.
    publish("json", "2.1.0", "");
    let lock = bob.path("all/swarmdex.lock");
    let carol = Home::new();
    let text = fs::read_to_string(&lock).unwrap();
    let copy = carol.file("swarmdex.lock", &text);
    let words = [
        "get", "--locked", "--lock", &copy, "--output", "same", "--json",
    ];
    let again = carol.alone(&join(&node, &words));
    assert_eq!(again.code, Some(0), "{}", again.stderr);
    let roots = |ran: &Ran| {
        let lines = ran
            .stdout
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap());
        let mut roots: Vec<_> = lines
            .filter_map(|line| {
                line["got"]["fetched"]["content"]["root"]
                    .as_str()
                    .map(str::to_owned)
            })
            .collect();
        roots.sort();
        roots
    };
    assert_eq!((roots(&again).len(), roots(&again)), (2, roots(&got)));
    let changed = text.replacen("size = ", "size = 1", 1);
    let bad = carol.file("bad.lock", &changed);
    carol
        .alone(&join(&node, &["get", "--locked", "--lock", &bad]))
        .complains(1, &["bad.lock"]);
    carol
        .alone(&["get", "--locked", "--lock", "none.lock"])
        .complains(1, &["none.lock"]);
}

#[test]
fn a_version_that_is_named_is_that_build_in_every_verb() {
    let alice = Home::new();
    let _node = Running::start(&alice, &["--handle", "alice"]);
    let publish = |name: &str, version: &str| {
        let dir = project(&alice, name, &toml(name, version, ""));
        alice.run(["publish", &dir, "--json"]).json()["id"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    publish("x", "1.0.0");
    let id = publish("x", "1.0.0+b2");
    publish("x", "1.0.0+c10");
    publish("y", "1.0.0+b2");
    let shown =
        |asked: &str| alice.run(["show", asked, "--json"]).json()["manifest"]["version"].clone();
    for (asked, version) in [
        ("alice/x@=1.0.0+b2", "1.0.0+b2"),
        ("alice/x@1.0.0+b2", "1.0.0+b2"),
        (&id, "1.0.0+b2"),
        ("alice/x@=1.0.0", "1.0.0"),
        ("alice/x@1.0.0", "1.0.0"),
        ("alice/x@^1", "1.0.0+c10"),
        ("alice/x", "1.0.0+c10"),
    ] {
        assert_eq!(shown(asked), version, "{asked}");
    }
    alice
        .run(["get", "alice/x@=1.0.0+zz"])
        .complains(1, &["=1.0.0+zz", "1.0.0+c10, 1.0.0+b2, 1.0.0"]);
    alice
        .run(["get", "alice/y@=1.0.0"])
        .complains(1, &["=1.0.0", "it has 1.0.0+b2"]);
    let none = alice.run(["versions", "alice/y@=1.0.0"]);
    assert!(
        none.code == Some(1) && none.stderr.contains("available: 1.0.0+b2"),
        "{}",
        none.stderr
    );
    alice
        .run(["get", "alice/y@=1.0.0", "--with-deps"])
        .complains(1, &["alice/y also has 1.0.0+b2"]);
    assert_eq!(
        alice
            .run(["get", "alice/x@=1.0.0+b2", "--with-deps", "--output", "all"])
            .code,
        Some(0)
    );
    let lock = fs::read_to_string(alice.path("all/swarmdex.lock")).unwrap();
    assert!(
        lock.contains("requirement = \"=1.0.0+b2\"") && lock.contains("version = \"1.0.0+b2\""),
        "{lock}"
    );
    assert_eq!(
        alice.run(["get", "--locked", "--output", "all"]).code,
        Some(0)
    );
    alice.run(["yank", "alice/x@1.0.0+b2", "--json"]).json();
    let versions = alice.run(["versions", "alice/x", "--json"]).json();
    let yanked: Vec<_> = versions
        .as_array()
        .unwrap()
        .iter()
        .filter(|one| one["yanked"] == true)
        .collect();
    assert!(
        yanked.len() == 1 && yanked[0]["version"] == "1.0.0+b2",
        "{versions}"
    );
    alice
        .run(["yank", "alice/y@1.0.0"])
        .complains(1, &["1.0.0 is not a release"]);
}

#[test]
fn what_is_not_needed_any_more_goes_and_what_is_missing_is_said_with_who_needs_it() {
    let alice = Home::new();
    let _node = Running::start(&alice, &["--handle", "alice"]);
    let publish = |name: &str, version: &str, needs: &str| {
        let needs = format!("dependencies = [{needs}]");
        let dir = project(&alice, name, &toml(name, version, &needs));
        alice.run(["publish", &dir, "--json"]).json()
    };
    publish("json", "1.0.0", "");
    publish("xml", "1.0.0", "");
    let needs = |name: &str| format!("{{ package = \"alice/{name}\", requirement = \"^1\" }}");
    publish("app", "1.0.0", &[needs("json"), needs("xml")].join(", "));
    alice.run(["get", "alice/app", "--with-deps", "--output", "all"]);
    let json = alice.path("all/alice/json-1.0.0/json-1.0.0.tar.zst");
    assert!(json.exists());
    // A file that was changed is not removed.
    let xml = alice.path("all/alice/xml-1.0.0/xml-1.0.0.tar.zst");
    fs::write(&xml, "mine").unwrap();
    publish("app", "1.1.0", "");
    let again = alice.run(["get", "alice/app", "--with-deps", "--output", "all"]);
    assert_eq!(again.code, Some(0), "{}", again.stderr);
    assert!(
        again.stderr.contains("removed all/alice/json-1.0.0"),
        "{}",
        again.stderr
    );
    assert!(
        again
            .stderr
            .contains("xml-1.0.0: it is no longer needed, but has been changed"),
        "{}",
        again.stderr
    );
    assert!(
        !json.parent().unwrap().exists()
            && xml.exists()
            && !alice.path("all/alice/app-1.0.0").exists()
    );
    assert!(alice.path("all/alice/app-1.1.0/app-1.1.0.tar.zst").exists());

    // If it was unpacked, its directory is removed too.
    publish("tool", "1.0.0", &needs("json"));
    alice.run([
        "get",
        "alice/tool",
        "--with-deps",
        "--extract",
        "--output",
        "tree",
    ]);
    assert!(alice.path("tree/alice/json-1.0.0/README.md").exists());
    publish("tool", "1.1.0", "");
    let again = alice.run([
        "get",
        "alice/tool",
        "--with-deps",
        "--extract",
        "--output",
        "tree",
        "--json",
    ]);
    let removed = again
        .stdout
        .lines()
        .filter(|line| line.contains("removed"))
        .count();
    assert!(
        removed == 2 && !alice.path("tree/alice/json-1.0.0").exists(),
        "{} {}",
        again.stdout,
        again.stderr
    );

    // It works through a running node too.
    publish("mid", "1.0.0", &needs("gone"));
    publish("top", "1.0.0", &needs("mid"));
    let missing = alice.run(["get", "alice/top", "--with-deps", "--output", "none"]);
    assert!(missing.code != Some(0), "{}", missing.stdout);
    for said in ["alice/mid", "/gone, which was not found", "alice/top"] {
        assert!(missing.stderr.contains(said), "{}", missing.stderr);
    }
}

/// Creates a .crate file, with as much in it as an import reads.
fn crate_file(home: &Home, file: &str, name: &str, version: &str, needs: &str) -> String {
    let manifest = format!(
        "[package]\nname = \"{name}\"\nversion = \"{version}\"\ndescription = \"A \
         crate\"\nkeywords = [\"k\"]\n\
         license = \"MIT\"\nreadme = \"README.md\"\n[dependencies]\n{needs}"
    );
    let mut tar = tar::Builder::new(flate2::write::GzEncoder::new(
        Vec::new(),
        flate2::Compression::fast(),
    ));
    for (path, text) in [
        ("Cargo.toml", manifest.as_str()),
        ("README.md", "# It"),
        ("src/lib.rs", "//"),
    ] {
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o644);
        let dir = Path::new(file).file_stem().unwrap().to_str().unwrap();
        tar.append_data(&mut header, format!("{dir}/{path}"), text.as_bytes())
            .unwrap();
    }
    let path = home.path(file);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, tar.into_inner().unwrap().finish().unwrap()).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn crates_are_imported_and_bad_ones_do_not_stop_the_rest() {
    let home = Home::new();
    crate_file(&home, "cache/base-1.0.0.crate", "base", "1.0.0", "");
    // The order is that of versions, not of names.
    crate_file(&home, "cache/base-1.10.0.crate", "base", "1.10.0", "");
    crate_file(&home, "cache/base-1.9.0.crate", "base", "1.9.0", "");
    let top = crate_file(
        &home,
        "cache/top-0.1.0.crate",
        "top",
        "0.1.0",
        "base = \"1\"\n",
    );
    crate_file(&home, "cache/liar-1.0.0.crate", "other", "1.0.0", "");
    home.file("cache/broken-1.0.0.crate", "this is no archive");
    let node = Running::start(&home, &["--handle", "mirror"]);

    let ran = home.run(["import", "cache", "--handle", "mirror", "--json"]);
    let summary = |ran: &Ran| -> serde_json::Value {
        serde_json::from_str(ran.stdout.lines().last().unwrap()).unwrap()
    };
    assert_eq!(
        summary(&ran),
        serde_json::json!({ "published": 4, "known": 0, "refused": 2 }),
        "{}",
        ran.stdout
    );
    assert_eq!(ran.code, Some(1), "something failed");
    assert!(
        ran.stderr.contains("broken-1.0.0.crate was not imported")
            && ran.stderr.contains("its contents are other 1.0.0"),
        "{}",
        ran.stderr
    );
    let again = home.run(["import", "cache", "--handle", "mirror"]);
    assert!(
        again
            .stdout
            .contains("0 published, 4 published already, 2 not imported"),
        "{}",
        again.stdout
    );
    let good = home.run([
        "import",
        "cache/base-1.0.0.crate",
        &top,
        "--handle",
        "mirror",
    ]);
    assert!(
        good.code == Some(0) && good.stdout.contains("2 published already"),
        "{}",
        good.stdout
    );
    // The same version with other bytes is not a duplicate.
    crate_file(
        &home,
        "other/base-1.0.0.crate",
        "base",
        "1.0.0",
        "top = \"1\"\n",
    );
    let other = home.run(["import", "other", "--handle", "mirror"]);
    assert!(
        other.code == Some(1) && other.stderr.contains("different content"),
        "{}",
        other.stderr
    );

    let bob = Home::new();
    let shown = bob
        .alone(&join(&node, &["show", "mirror/top", "--json"]))
        .json();
    let manifest = &shown["manifest"];
    assert_eq!(
        (&manifest["ecosystem"], &manifest["files"][0]["name"]),
        (&"cargo".into(), &"top-0.1.0.crate".into())
    );
    assert_eq!(
        manifest["dependencies"][0],
        serde_json::json!({ "name": "base", "requirement": "1" })
    );
    assert!(manifest["readme"]["size"] == 4 && manifest["native"]["size"].as_u64().unwrap() > 100);
    last(&bob.alone(&join(
        &node,
        &["get", "mirror/top", "--with-deps", "--trust-new", "--json"],
    )));
    let fetched = fs::read(bob.path("mirror/cargo/top-0.1.0/top-0.1.0.crate")).unwrap();
    assert_eq!(fetched, fs::read(top).unwrap(), "byte for byte");
    assert!(
        bob.path("mirror/cargo/base-1.10.0/base-1.10.0.crate")
            .exists()
    );
    // It works through a running node too.
    last(&home.run([
        "get",
        "mirror/top",
        "--with-deps",
        "--output",
        "own",
        "--json",
    ]));
    assert!(
        home.path("own/mirror/cargo/base-1.10.0/base-1.10.0.crate")
            .exists()
    );

    home.run(["import", "nowhere"]).complains(1, &["nowhere"]);
    fs::create_dir(home.path("empty")).unwrap();
    home.run(["import", "empty"])
        .complains(2, &["no .crate, .whl", "empty"]);
}

#[test]
fn an_import_says_of_each_archive_of_a_mix_what_it_was() {
    let home = Home::new();
    let tgz = |name: &str, files: &[(&str, &str)]| {
        let mut tar = tar::Builder::new(flate2::write::GzEncoder::new(
            Vec::new(),
            flate2::Compression::fast(),
        ));
        for (path, text) in files {
            let mut header = tar::Header::new_ustar();
            header.set_size(text.len() as u64);
            header.set_mode(0o644);
            tar.append_data(&mut header, path, text.as_bytes()).unwrap();
        }
        fs::create_dir_all(home.path("mix/deep")).unwrap();
        fs::write(home.path(name), tar.into_inner().unwrap().finish().unwrap()).unwrap();
    };
    crate_file(&home, "mix/deep/base-1.0.0.crate", "base", "1.0.0", "");
    tgz(
        "mix/say-1.2.3.tgz",
        &[(
            "package/package.json",
            r#"{"name": "@us/say", "version": "1.2.3"}"#,
        )],
    );
    let metadata = "Metadata-Version: 2.1\nName: Zope.Interface\nVersion: 6.0\nSummary: \
                    Interfaces\n\n# Read me\n";
    tgz(
        "mix/zope.interface-6.0.tar.gz",
        &[("zope.interface-6.0/PKG-INFO", metadata)],
    );
    tgz(
        "mix/zope.interface-6.0.0.tar.gz",
        &[("zope.interface-6.0/PKG-INFO", metadata)],
    );
    home.file("mix/broken.deb", "no package");
    home.file("mix/SHA256SUMS", "nothing that is looked at");
    home.file(
        "mix/Packages",
        "Package: only-described\nVersion: 1:1.0-1\nArchitecture: all\nDescription: a\n",
    );
    let node = Running::start(&home, &["--handle", "mirror"]);
    let ran = home.run(["import", "mix", "--handle", "mirror", "--json"]);
    assert_eq!(ran.code, Some(1), "one is broken: {}", ran.stderr);
    let lines: Vec<serde_json::Value> = ran
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let of = |file: &str| {
        let line = lines
            .iter()
            .find(|line| {
                line["file"]
                    .as_str()
                    .is_some_and(|path| path.ends_with(file))
            })
            .unwrap();
        ["ecosystem", "name", "version", "outcome"]
            .map(|key| line[key].as_str().unwrap_or_default().to_owned())
    };
    assert_eq!(
        of("deep/base-1.0.0.crate"),
        ["cargo", "base", "1.0.0", "published"]
    );
    assert_eq!(
        of("say-1.2.3.tgz"),
        ["npm", "@us/say", "1.2.3", "published"]
    );
    assert_eq!(
        of("zope.interface-6.0.0.tar.gz"),
        ["pypi", "Zope.Interface", "6.0", "published"]
    );
    assert_eq!(
        of("zope.interface-6.0.tar.gz"),
        ["pypi", "Zope.Interface", "6.0", "published"],
        "both are of one release"
    );
    assert_eq!(of("broken.deb"), ["", "", "", "refused"]);
    assert_eq!(
        lines.last(),
        Some(&serde_json::json!({ "published": 5, "known": 0, "refused": 1 }))
    );

    let shown = home
        .run(["show", "mirror/pypi:zope-interface", "--json"])
        .json();
    assert_eq!(shown["manifest"]["readme"]["size"], 10);
    let files: Vec<_> = shown["files"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["file"]["name"].as_str().unwrap())
        .collect();
    assert_eq!(
        files,
        ["zope.interface-6.0.0.tar.gz", "zope.interface-6.0.tar.gz"]
    );
    // A release that exists is not published again.
    let again = home.run(["import", "mix/zope.interface-6.0.tar.gz", "--json"]);
    assert!(
        again.code == Some(0) && again.stdout.contains("\"known\":1"),
        "{} {}",
        again.stdout,
        again.stderr
    );
    // A package that is only described in an index cannot be a dependency.
    let described = ["get", "mirror/debian:only-described", "--with-deps"];
    home.run(described)
        .complains(1, &["it only has an index entry, not the package itself"]);
    drop(node);
}

#[test]
fn content_is_listed_kept_verified_and_cleaned_up() {
    let alice = Home::new();
    let node = Running::start(&alice, &["--handle", "alice"]);
    let dir = project(&alice, "tool", &toml("tool", "1.0.0", ""));
    fs::write(Path::new(&dir).join("large.bin"), blake3_bytes(300_000)).unwrap();
    alice.run(["publish", &dir, "--json"]).json();
    let bob = Home::new();
    last(&bob.alone(&join(
        &node,
        &["get", "alice/tool", "--trust-new", "--json"],
    )));
    let list = bob.alone(&["contents", "--json"]).json();
    let whats: Vec<&str> = list
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["what"].as_str().unwrap())
        .collect();
    assert!(
        whats.contains(&"alice/tool 1.0.0") && whats.contains(&"readme of alice/tool 1.0.0"),
        "{whats:?}"
    );
    assert!(bob.alone(&["contents"]).stdout.contains("alice/tool 1.0.0"));

    assert_eq!(bob.alone(&["pin", "alice/tool"]).code, Some(0));
    assert_eq!(bob.alone(&["gc", "--all", "--json"]).json()["contents"], 0);
    assert!(
        bob.alone(&["verify"])
            .stdout
            .contains("2 contents verify, 0 are damaged")
    );
    let data = bob.path(".local/share/swarmdex/content");
    let file = fs::read_dir(&data)
        .unwrap()
        .flatten()
        .find(|file| file.path().extension().is_some_and(|e| e == "data"));
    let file = file.unwrap().path();
    let mut bytes = fs::read(&file).unwrap();
    bytes[1_234] ^= 1;
    fs::write(&file, bytes).unwrap();
    let verified = bob.alone(&["verify", "--json"]);
    assert_eq!(
        (verified.code, &verified.value()["verified"]),
        (Some(1), &1.into())
    );
    // The damaged content is missing until it is downloaded again from the remembered peer, which
    // may happen at once.
    let again = bob.alone(&["verify", "--json"]).value();
    let missed = again["damaged"].as_array().unwrap().len() as u64;
    assert!(missed <= 1 && again["verified"] == 2 - missed, "{again}");
    last(&bob.alone(&join(
        &node,
        &["get", "alice/tool", "--json", "--output", "again.zst"],
    )));
    assert_eq!(bob.alone(&["unpin", "alice/tool"]).code, Some(0));
    assert_eq!(bob.alone(&["gc", "--all", "--json"]).json()["contents"], 2);
    let gone = bob.alone(&["pin", "alice/tool"]);
    assert!(
        gone.code == Some(1) && gone.stderr.contains("not on this node"),
        "{}",
        gone.stderr
    );

    let served = alice.run(["transfers", "--json"]).json();
    assert!(
        served
            .as_array()
            .unwrap()
            .iter()
            .any(|one| one["id"]["direction"] == "serve"),
        "{served}"
    );
    Home::new()
        .run(["transfers"])
        .complains(3, &["no node runs"]);
}

#[test]
fn a_pin_is_for_a_release_and_not_for_its_bytes() {
    let alice = Home::new();
    let node = Running::start(&alice, &["--handle", "alice"]);
    for name in ["one", "two"] {
        let file = alice.file(&format!("{name}.bin"), "the same bytes");
        let manifest = alice.file(&format!("{name}.toml"), &toml(name, "1.0.0", ""));
        alice
            .run(["publish", &file, "--manifest", &manifest, "--json"])
            .json();
    }
    let bob = Home::new();
    for name in ["alice/one", "alice/two"] {
        last(&bob.alone(&join(&node, &["get", name, "--trust-new", "--json"])));
        assert_eq!(bob.alone(&["pin", name]).code, Some(0));
    }
    let unpinned = bob.alone(&["unpin", "alice/one"]);
    assert!(
        unpinned.code == Some(0) && unpinned.stderr.contains("/two@1.0.0 too"),
        "{}",
        unpinned.stderr
    );
    assert_eq!(bob.alone(&["gc", "--all", "--json"]).json()["contents"], 0);
    let list = bob.alone(&["contents", "--json"]).json();
    assert!(
        list[0]["pinned_for"][0]
            .as_str()
            .unwrap()
            .ends_with("/two@1.0.0"),
        "{list}"
    );
    assert_eq!(bob.alone(&["unpin", "alice/two"]).code, Some(0));
    assert_eq!(bob.alone(&["gc", "--all", "--json"]).json()["contents"], 1);
}

fn blake3_bytes(size: usize) -> Vec<u8> {
    let mut out = vec![0; size];
    blake3::Hasher::new().finalize_xof().fill(&mut out);
    out
}

#[test]
fn a_get_that_is_killed_goes_on_where_it_was() {
    let alice = Home::new();
    let node = Running::start(&alice, &["--handle", "alice"]);
    let large = alice.path("large.bin");
    fs::write(&large, blake3_bytes(96 << 20)).unwrap();
    let manifest = alice.file("large.toml", &toml("large", "1.0.0", ""));
    let published = alice
        .run([
            "publish",
            large.to_str().unwrap(),
            "--manifest",
            &manifest,
            "--json",
        ])
        .json();
    let id = published["id"].as_str().unwrap();

    let bob = Home::new();
    let get = [&APART[..], &join(&node, &["get", id, "--json"])].concat();
    let mut killed = bob.command(&get).spawn().unwrap();
    let partial = bob.path(".local/share/swarmdex/content/partial");
    let written = || -> u64 {
        let files = fs::read_dir(&partial).into_iter().flatten().flatten();
        files
            .filter_map(|file| file.metadata().ok())
            .map(|about| about.blocks() * 512)
            .sum()
    };
    let begun = std::time::Instant::now();
    while written() < 4 << 20 {
        assert!(begun.elapsed() < PATIENCE, "nothing comes any more");
        assert!(
            killed.try_wait().unwrap().is_none(),
            "it ended before it could be killed"
        );
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    killed.kill().unwrap();
    killed.wait().unwrap();
    assert!(!bob.path("large.bin").exists());

    let fetched = last(&bob.run(&get))["got"]["fetched"].clone();
    let origin = &fetched["origin"];
    let resumed = origin["resumed"].as_u64().unwrap();
    let again: u64 = origin["shares"]
        .as_array()
        .unwrap()
        .iter()
        .map(|share| share["bytes"].as_u64().unwrap())
        .sum();
    assert!(resumed > 2 << 20, "{origin}");
    assert_eq!(
        resumed + again,
        96 << 20,
        "what verified was not asked for again"
    );
    assert_eq!(
        fs::read(bob.path("large.bin")).unwrap(),
        fs::read(&large).unwrap()
    );
}

/// Stanzas as in a mirror's index.
const STANZAS: &str = "Package: spellcheck\nVersion: 1:2.3-4+deb12u1\nSection: text\nMaintainer: A \
                       Team <team@example.org>\nDepends: libspell (>= 2.0)\nDescription: finds \
                       words that are spelt wrongly\n\nPackage: libspell\nVersion: 2.3-4\nSection: \
                       libs\nDescription: what spellcheck is made of\n\nPackage: \
                       broken\nDescription: no version\n";

#[test]
fn nothing_of_an_index_is_lost_without_a_word() {
    let home = Home::new();
    let stanza = |version: &str, says: &str| {
        format!("Package: tool\nVersion: {version}\nSection: utils\nDescription: {says}\n\n")
    };
    let index = |name: &str, stanzas: &[String]| home.file(name, &stanzas.concat());
    let first = index("first", &[stanza("1:5.0-1", "a tool")]);
    let epoch = index("epoch", &[stanza("2:0.5-1", "the next tool")]);
    let _node = Running::start(&home, &["--handle", "mirror"]);
    let import =
        |index: &str| home.run(["import", "debian", "--sign", "--handle", "mirror", index]);

    let ran = import(&first);
    assert!(
        ran.code == Some(0) && ran.stdout.contains("1 signed"),
        "{} {}",
        ran.stdout,
        ran.stderr
    );
    // A version with an epoch is newer than one without, or with a lower one.
    let ran = import(&epoch);
    assert!(
        ran.stdout.contains("1 signed") && !ran.stdout.contains("not the latest"),
        "{}",
        ran.stdout
    );
    let got = home.run(["show", "mirror/tool", "--json"]).json();
    assert_eq!(
        (&got["manifest"]["description"], &got["manifest"]["version"]),
        (&"the next tool".into(), &"2:0.5-1".into())
    );
    let got = home
        .run(["show", "mirror/debian:tool@1:5.0-1", "--json"])
        .json();
    assert_eq!(got["manifest"]["description"], "a tool");
    let again = import(&epoch);
    assert!(
        again.code == Some(0) && again.stdout.contains("1 there already"),
        "{}",
        again.stdout
    );
    let ran = import(&index("older", &[stanza("1:6.0-1", "an older tool")]));
    assert!(
        ran.stdout.contains("1 signed") && ran.stdout.contains("1 of them not the latest"),
        "{}",
        ran.stdout
    );
    assert!(
        ran.stderr
            .contains("tool 1:6.0-1 is signed, and 2:0.5-1 stays the latest"),
        "{}",
        ran.stderr
    );

    // Two spellings of one version: the second is not a duplicate.
    let ran = import(&index(
        "zeros",
        &[stanza("1.0", "one"), stanza("1.0-0", "another")],
    ));
    assert_eq!(ran.code, Some(1), "{} {}", ran.stdout, ran.stderr);
    assert!(
        ran.stdout
            .contains("1 signed as your own, 0 there already, 1 passed over"),
        "{}",
        ran.stdout
    );
    assert!(
        ran.stderr
            .contains("1.0-0 is there already with another text"),
        "{}",
        ran.stderr
    );

    // A truncated index fails, and the others are still read.
    let damaged = home.path("damaged.gz");
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    std::io::Write::write_all(&mut packed, stanza("3.0-1", "cut off").as_bytes()).unwrap();
    let packed = packed.finish().unwrap();
    fs::write(&damaged, &packed[..packed.len() - 12]).unwrap();
    let ran = home.run([
        "import",
        "debian",
        "--yes",
        damaged.to_str().unwrap(),
        &first,
    ]);
    assert!(
        ran.code == Some(1) && ran.stderr.contains("cut off or damaged"),
        "{} {}",
        ran.stdout,
        ran.stderr
    );
    assert!(
        ran.stdout.contains("1 files not read to their end"),
        "{}",
        ran.stdout
    );
}

#[test]
fn an_index_is_signed() {
    let home = Home::new();
    let index = home.file("Packages", STANZAS);
    let node = Running::start(&home, &["--handle", "mirror"]);
    let bob = Home::new();

    let signed = home.run(["import", "debian", "--handle", "mirror", "--json", &index]);
    assert!(
        signed.stdout.contains("broken") && signed.stdout.contains("no Version"),
        "{}",
        signed.stdout
    );
    let summary: serde_json::Value =
        serde_json::from_str(signed.stdout.lines().last().unwrap()).unwrap();
    let expected =
        serde_json::json!({ "imported": 2, "known": 0, "refused": 1, "behind": 0, "unread": 0 });
    assert_eq!((summary, signed.code), (expected, Some(1)));
    let again = home.run(["import", "debian", "--sign", "--handle", "mirror", &index]);
    assert!(again.stdout.contains("2 there already"), "{}", again.stdout);
    let found = bob
        .alone(&join(&node, &["search", "spellcheck", "--json"]))
        .json();
    assert_eq!(
        (&found["hits"][0]["handle"], &found["hits"][0]["version"]),
        (&"mirror".into(), &"1:2.3-4+deb12u1".into())
    );
    let got = bob.alone(&join(
        &node,
        &[
            "get",
            "mirror/spellcheck",
            "--output",
            bob.path("").to_str().unwrap(),
        ],
    ));
    assert_eq!(got.code, Some(0), "{}", got.stderr);
    let stanza = fs::read_to_string(bob.path("spellcheck.control")).unwrap();
    assert!(
        stanza.starts_with("Package: spellcheck") && stanza.ends_with("spelt wrongly\n"),
        "{stanza}"
    );

    // The output of a search.
    let narrow = home
        .run(["search", "eco:debian category:libs", "--local", "--json"])
        .json();
    assert_eq!(narrow["hits"].as_array().unwrap().len(), 1);
    let page = home
        .run([
            "search", "spell", "--local", "--limit", "1", "--offset", "1", "--json",
        ])
        .json();
    assert_eq!(
        (page["hits"].as_array().unwrap().len(), &page["total"]),
        (1, &2.into())
    );
    let wrong = home.run(["search", "--local", "colour:red spell"]);
    assert!(
        wrong.code == Some(0) && wrong.stderr.contains("unknown filter colour:"),
        "{}",
        wrong.stderr
    );
    for nothing in ["%", "(", "🦀", "is:nonsense"] {
        home.run(["search", "--local", nothing])
            .complains(2, &["not searched", nothing]);
    }
    home.run(["search", "--local", "--", "-spell"])
        .complains(2, &["-spell: this only says what to leave out"]);
    home.run(["import", "debian"])
        .complains(2, &["required arguments"]);
    let junk = home.file("junk", "this is no index at all\n");
    home.run(["import", "debian", &junk])
        .complains(2, &["not a Packages index"]);
}
