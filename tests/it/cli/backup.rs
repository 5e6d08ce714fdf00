//! A node is backed up while it runs, and restored elsewhere, with either side killed in the
//! middle.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use crate::cli::program::{Home, PATIENCE, Running, send};

/// Waits until a condition holds or the process has exited.
fn until(process: &mut std::process::Child, is_it: impl Fn() -> bool) -> bool {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if is_it() {
            return true;
        }
        if process.try_wait().unwrap().is_some() {
            return false;
        }
        assert!(
            Instant::now() < deadline,
            "it neither came about nor did the process end"
        );
        std::thread::sleep(Duration::from_micros(200));
    }
}

fn entries(dir: &Path) -> Vec<String> {
    let all = std::fs::read_dir(dir).into_iter().flatten().flatten();
    all.map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect()
}

/// Returns a home with a release whose bytes take a while to copy.
fn publisher() -> (Home, String) {
    let home = Home::new();
    std::fs::write(home.path("big.bin"), vec![7; 24 << 20]).unwrap();
    let manifest = home.file(
        "big.toml",
        "name = \"big\"\nversion = \"1.0.0\"\ndescription = \"For tests\"",
    );
    let published = home
        .alone(&[
            "--handle",
            "alice",
            "publish",
            "big.bin",
            "--manifest",
            &manifest,
            "--json",
        ])
        .json();
    (home, published["id"].as_str().unwrap().to_owned())
}

#[test]
fn a_node_that_runs_is_backed_up_and_comes_back_elsewhere() {
    let (home, id) = publisher();
    let node = Running::start(&home, &[]);
    let backup = home.run(["backup", "saved", "--json"]).json();
    assert_eq!(backup["node"], node.peer_id.as_str());
    let has = |backup: &serde_json::Value, path: &str| {
        backup["files"]
            .as_array()
            .unwrap()
            .iter()
            .any(|file| file["path"] == path)
    };
    assert!(
        has(&backup, "swarmdex.db")
            && has(&backup, "identity.key")
            && has(&backup, "publisher.key")
    );
    home.run(["backup", "saved"])
        .complains(2, &["saved", "is there already"]);
    home.run(["backup", "no/such"])
        .complains(1, &["no/such", "check the path"]);
    home.run(["restore", "saved"])
        .complains(1, &["in use", "process"]);
    let keyless = home
        .run([
            "backup",
            "keyless",
            "--no-keys",
            "--contents",
            "none",
            "--json",
        ])
        .json();
    assert!(!has(&keyless, "publisher.key") && !home.path("keyless/publisher.key").exists());
    assert_eq!(
        home.run(["status", "--json"]).json()["peer_id"],
        node.peer_id.as_str(),
        "it goes on meanwhile"
    );
    assert_eq!(node.stop("TERM").code(), Some(0));
    // Backing up a stopped node works too, and does not start it.
    let stopped = home.run(["backup", "stopped", "--json"]).json();
    assert_eq!(stopped["node"], backup["node"]);

    // On another machine it is the same node, with its key, packages and bytes.
    let other = Home::new();
    let saved = home.path("saved");
    let restored = other.run(["restore", saved.to_str().unwrap()]);
    assert!(
        restored.code == Some(0) && restored.stderr.contains("never run it twice"),
        "{}",
        restored.stderr
    );
    let status = other.alone(&["status", "--json"]).json();
    assert_eq!(status["peer_id"], backup["node"]);
    let own = other.alone(&["key", "show", "--json"]).json();
    assert_eq!(own["publisher"], backup["publisher"]);
    assert_eq!(
        other.alone(&["get", &id, "--output", "big.bin"]).code,
        Some(0)
    );
    assert_eq!(
        std::fs::read(other.path("big.bin")).unwrap().len(),
        24 << 20
    );
    other
        .run(["restore", saved.to_str().unwrap()])
        .complains(2, &["has a node already", "--replace"]);

    // Without keys, restoring says what is missing and who the node was.
    let third = Home::new();
    assert_eq!(
        third
            .run(["restore", home.path("keyless").to_str().unwrap()])
            .code,
        Some(0)
    );
    let named = backup["node"].as_str().unwrap();
    third
        .alone(&["status"])
        .complains(1, &[named, "is gone", "key new --identity"]);
    let beside = Home::new();
    assert_eq!(
        beside
            .run(["restore", saved.to_str().unwrap(), "--new-identity"])
            .code,
        Some(0)
    );
    assert_ne!(
        beside.alone(&["status", "--json"]).json()["peer_id"],
        backup["node"]
    );
    let nothing = Home::new();
    nothing
        .run(["backup", "saved"])
        .complains(2, &["nothing to back up"]);
    nothing
        .run(["restore", "saved"])
        .complains(2, &["no backup"]);
}

/// The backup is killed when each of these appears, which are moments in its middle: afterwards it
/// is whole or absent.
#[test]
fn a_node_that_is_killed_in_the_middle_of_a_backup_leaves_none() {
    let (home, _) = publisher();
    let mut in_the_middle = 0;
    for end in ["swarmdex.db", "content", "identity.key", "backup.json"] {
        let mut node = home
            .command(crate::cli::program::APART.into_iter().chain(["node"]))
            .spawn()
            .unwrap();
        assert!(until(&mut node, || home.run(["node", "status"]).code == Some(0)));
        let mut backup = home.command(["backup", "saved"]).spawn().unwrap();
        let unfinished = || {
            let dir = entries(&home.path(""))
                .into_iter()
                .find(|name| name.starts_with(".saved.unfinished-"))?;
            Some(home.path(&dir))
        };
        let came = until(&mut backup, || {
            unfinished().is_some_and(|dir| dir.join(end).exists())
        });
        send("KILL", node.id());
        node.wait().unwrap();
        let code = backup.wait().unwrap().code();
        let whole = home.path("saved").exists();
        in_the_middle += usize::from(came && !whole);
        assert!(
            whole || code != Some(0),
            "{end}: said to be made, and is not there"
        );
        if whole {
            let back = Home::new();
            assert_eq!(
                back.run(["restore", home.path("saved").to_str().unwrap()])
                    .code,
                Some(0),
                "{end}"
            );
            std::fs::remove_dir_all(home.path("saved")).unwrap();
        }
    }
    assert!(in_the_middle > 0, "never killed in the middle");
    assert_eq!(home.run(["backup", "saved"]).code, Some(0));
    assert!(
        entries(&home.path(""))
            .iter()
            .all(|name| !name.contains("unfinished")),
        "what was left is gone"
    );
}

/// The restore is killed when each of these appears: the next start finds all of the backup or
/// nothing of it.
#[test]
fn a_restore_that_is_killed_in_the_middle_is_whole_or_not_there() {
    let (home, id) = publisher();
    let backup = home.run(["backup", "saved", "--json"]).json();
    let saved = home.path("saved");
    let mut in_the_middle = 0;
    for end in [
        "restoring",
        "restoring/identity.key",
        "restoring/content",
        "restoring/swarmdex.db",
        "restoring/complete",
        "swarmdex.db",
    ] {
        let other = Home::new();
        let data = other.path("data");
        let flags = ["--data-dir", data.to_str().unwrap()];
        let words = [&flags[..], &["restore", saved.to_str().unwrap()]].concat();
        let mut restore = other.command(&words).spawn().unwrap();
        until(&mut restore, || data.join(end).exists());
        let _ = restore.kill();
        restore.wait().unwrap();
        in_the_middle += usize::from(data.join("restoring").exists());
        let status = other
            .alone(&[&flags[..], &["status", "--json"]].concat())
            .json();
        assert!(!data.join("restoring").exists(), "{end}");
        if status["peer_id"] == backup["node"] {
            let got = other.alone(&[&flags[..], &["get", &id, "--output", "big.bin"]].concat());
            assert_eq!(got.code, Some(0), "{end}: {}", got.stderr);
        } else {
            // Nothing was restored, so this is a new node; the backup can still be restored.
            assert_eq!(status["packages"], 0, "{end}");
            let again = other.run([&words[..], &["--replace"]].concat());
            assert_eq!(again.code, Some(0), "{end}: {}", again.stderr);
            assert_eq!(
                other
                    .alone(&[&flags[..], &["status", "--json"]].concat())
                    .json()["peer_id"],
                backup["node"]
            );
        }
    }
    assert!(in_the_middle > 0, "never killed in the middle");
}
