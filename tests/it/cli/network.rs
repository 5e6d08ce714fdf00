//! Verbs on real nodes.

use std::{
    os::unix::process::ExitStatusExt,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::cli::program::{APART, Home, Running, interrupted, send, within};

#[test]
fn a_release_is_published_found_yanked_and_brought_back() {
    let home = Home::new();
    let first = home.publish(&["--handle", "alice"], "web", "1.0.0");
    let id = first["id"].as_str().unwrap();
    let key = home.path(".local/share/swarmdex/publisher.key");
    assert_eq!(
        first["new_key"],
        key.to_str().unwrap(),
        "the first publish makes the key"
    );
    let second = home.publish(&["--handle", "alice"], "web", "1.1.0");
    assert!(second["new_key"].is_null() && second["seq"].as_u64() > first["seq"].as_u64());

    let got = home.alone(&["show", id, "--json"]).json();
    assert_eq!(
        got["manifest"]["version"], "1.0.0",
        "a receipt's id gets the release it was given for"
    );
    assert_eq!(
        (&got["manifest"]["files"][0]["root"], &got["manifest_hash"]),
        (&first["content"], &first["manifest"])
    );
    let latest =
        || home.alone(&["show", "alice/web", "--json"]).json()["manifest"]["version"].clone();
    assert_eq!(latest(), "1.1.0");

    let hits = home
        .alone(&["search", "web", "for", "test", "--json"])
        .json()["hits"]
        .clone();
    assert_eq!(
        (hits[0]["name"].as_str(), hits[0]["trust"].as_str()),
        (Some("web"), Some("own"))
    );

    home.alone(&["yank", "alice/web@1.1.0", "--json"]).json();
    assert_eq!(latest(), "1.0.0");
    let versions = home.alone(&["versions", "alice/web", "--json"]).json();
    let list: Vec<_> = versions
        .as_array()
        .unwrap()
        .iter()
        .map(|v| (v["version"].as_str(), v["yanked"].as_bool()))
        .collect();
    assert_eq!(
        list,
        [(Some("1.1.0"), Some(true)), (Some("1.0.0"), Some(false))]
    );
    home.alone(&["unyank", "alice/web@1.1.0", "--json"]).json();
    assert_eq!(latest(), "1.1.0");

    home.alone(&["yank", "alice/web@9.9.9"])
        .complains(1, &["9.9.9", "versions"]);
    home.alone(&["show", "alice/web@^3"])
        .complains(1, &["^3", "versions"]);
    assert_eq!(home.alone(&["status", "--json"]).json()["packages"], 1);
}

#[test]
fn a_person_reads_the_same_in_words() {
    let home = Home::new();
    let file = home.file("web.tar", "content");
    let draft = home.file(
        "draft.toml",
        "handle = \"alice\"\nname = \"web\"\nversion = \"1.0.0\"\ntitle = \"The web\"",
    );
    let published = home.alone(&["publish", &file, "--manifest", &draft]);
    assert!(
        published.code == Some(0) && published.stdout.starts_with("id "),
        "{}",
        published.stdout
    );
    for part in [
        "starting a temporary one",
        "stored",
        "publisher.key",
        "back it up",
        "keep trying",
    ] {
        assert!(
            published.stderr.contains(part),
            "{part}: {}",
            published.stderr
        );
    }
    for (words, part) in [
        (["search", "web"], "alice/web"),
        (["show", "alice/web"], "The web"),
        (["versions", "alice/web"], "1.0.0"),
    ] {
        let said = home.alone(&words);
        assert!(
            said.code == Some(0) && said.stdout.contains(part),
            "{}{}",
            said.stdout,
            said.stderr
        );
    }
    let status = home.alone(&["status"]).stdout;
    assert!(
        status.contains("12D3KooW") && status.contains("/ip4/127.0.0.1/tcp/"),
        "{status}"
    );
}

#[test]
fn a_data_directory_serves_one_node_at_a_time() {
    let home = Home::new();
    let node = Running::start(&home, &[]);
    home.alone(&["node"]).complains(
        1,
        &[
            "in use",
            "--data-dir",
            home.path(".local/share/swarmdex").to_str().unwrap(),
        ],
    );
    let attached = home.alone(&["status", "--json"]).json();
    assert_eq!(
        attached["peer_id"],
        node.peer_id.as_str(),
        "every other verb uses the node that runs"
    );
    let other = home
        .alone(&["--data-dir", "other", "status", "--json"])
        .json();
    assert_ne!(other["peer_id"], node.peer_id.as_str());
    assert!(
        home.path("other/state/logs").is_dir(),
        "everything of the other node is in its directory"
    );
}

#[test]
fn a_node_ends_in_order_when_it_is_told_to() {
    let home = Home::new();
    for signal in ["TERM", "INT"] {
        let node = Running::start(&home, &[]);
        let told = Instant::now();
        let ended = node.stop(signal);
        assert_eq!((ended.code(), ended.signal()), (Some(0), None), "{signal}");
        assert!(
            told.elapsed() < Duration::from_secs(2),
            "{signal}: {:?}",
            told.elapsed()
        );
    }
}

#[test]
fn a_verb_that_is_interrupted_ends_its_node_in_order() {
    let home = Home::new();
    let absent = "/ip4/127.0.0.1/tcp/1/p2p/12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN";
    for signal in ["TERM", "INT"] {
        let command =
            home.command([&APART[..], &["--bootstrap", absent, "search", "web"]].concat());
        let ran = interrupted(command, signal);
        assert_eq!(
            (ran.code, ran.stdout.as_str()),
            (Some(130), ""),
            "{signal}: {}",
            ran.stderr
        );
        assert!(
            ran.stderr.contains("interrupted"),
            "{signal}: {}",
            ran.stderr
        );
    }
}

#[test]
fn processes_that_join_find_what_others_published() {
    let (alice, bob, carol) = (Home::new(), Home::new(), Home::new());
    let web = alice.publish(&["--handle", "alice"], "web", "1.0.0");
    let node = Running::start(&alice, &[]);
    let join = ["--bootstrap", &node.address];

    let found = bob
        .alone(&[&join[..], &["search", "web", "--json"]].concat())
        .json();
    assert_eq!(found["hits"][0]["publisher"], web["package"]["owner"]);
    let got = bob
        .alone(&[&join[..], &["show", web["id"].as_str().unwrap(), "--json"]].concat())
        .json();
    assert_eq!(got["manifest_hash"], web["manifest"]);
    assert_eq!(
        bob.alone(&[&join[..], &["status", "--json"]].concat())
            .json()["connected"],
        1
    );

    let looked = bob
        .alone(&[&join[..], &["lookup", "alice/web", "--trace", "--json"]].concat())
        .json();
    assert_eq!(
        (&looked["trace"]["kind"], &looked["trace"]["state"]),
        (&"get".into(), &"done".into()),
        "{looked}"
    );
    assert!(
        looked["trace"]["hops"]
            .as_array()
            .is_some_and(|hops| !hops.is_empty()),
        "{looked}"
    );
    let traced = bob.alone(&[&join[..], &["lookup", "alice/web", "--trace"]].concat());
    assert!(
        traced.stdout.starts_with("AT ") && traced.stdout.contains("THE RECORD"),
        "{}",
        traced.stdout
    );
    let found = bob.alone(&[&join[..], &["lookup", web["id"].as_str().unwrap()]].concat());
    let publisher = web["package"]["owner"].as_str().unwrap();
    let head = format!(
        "head of alice/web ({}), seq 1",
        &publisher[publisher.len() - 12..]
    );
    assert!(found.stdout.contains(&head), "{}", found.stdout);
    let nowhere = "0".repeat(64);
    let missing = bob.alone(&[&join[..], &["lookup", &nowhere]].concat());
    assert_eq!((missing.code, missing.stdout.as_str()), (Some(1), ""));
    assert!(
        missing.stderr.contains("missing") && missing.stderr.contains("nobody of 1 asked has it"),
        "{}",
        missing.stderr
    );
    bob.alone(&["lookup", "no-key"])
        .complains(2, &["no-key is not a key", "64 hexadecimal digits"]);

    // It holds however often the node has restarted.
    let json = bob.publish(&[&join[..], &["--handle", "bob"]].concat(), "json", "0.1.0");
    let from_the_node = carol
        .alone(&[&join[..], &["show", "bob/json", "--json"]].concat())
        .json();
    assert_eq!(
        from_the_node["manifest_hash"], json["manifest"],
        "the publisher is gone, the release is not"
    );
}

#[test]
fn a_kill_at_any_moment_loses_nothing_that_was_acknowledged() {
    use std::io::{BufRead, BufReader};
    let home = Home::new();
    let file = home.file("web.tar", "content");
    let mut acknowledged = Vec::new();
    for minor in 0..8 {
        let version = format!("1.{minor}.0");
        let text = format!("handle = \"alice\"\nname = \"web\"\nversion = \"{version}\"");
        let draft = home.file(&format!("draft-{minor}.toml"), &text);
        let words = ["publish", &file, "--manifest", &draft];
        let mut child = home.command([&APART[..], &words].concat()).spawn().unwrap();
        let said = BufReader::new(child.stderr.take().unwrap())
            .lines()
            .map_while(Result::ok);
        if said.into_iter().any(|line| line.starts_with("stored")) {
            acknowledged.push(version);
        }
        // Kill the node at any moment after the acknowledgement.
        child.kill().unwrap();
        child.wait().unwrap();
    }
    assert_eq!(acknowledged.len(), 8);
    let versions = home.alone(&["versions", "alice/web", "--json"]).json();
    for version in acknowledged {
        assert!(
            versions
                .as_array()
                .unwrap()
                .iter()
                .any(|entry| entry["version"] == *version),
            "{version} is gone"
        );
    }
    assert_eq!(home.alone(&["status", "--json"]).json()["packages"], 1);
}

#[test]
fn a_log_for_a_program_is_json_in_the_file_and_on_stderr() {
    use std::io::{BufRead, BufReader};
    let home = Home::new();
    let absent = "/ip4/127.0.0.1/tcp/1/p2p/12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN";
    let mut child = home
        .command(
            [
                &APART[..],
                &["--log-format", "json", "--bootstrap", absent, "node"],
            ]
            .concat(),
        )
        .spawn()
        .unwrap();
    let object = |line: &str| {
        serde_json::from_str::<Value>(line).unwrap_or_else(|error| panic!("{error}: {line}"))
    };
    let mut stderr = BufReader::new(child.stderr.take().unwrap())
        .lines()
        .map_while(Result::ok);
    let first = object(&stderr.next().unwrap());
    assert_eq!(
        (first["level"].as_str(), first["target"].as_str()),
        (Some("WARN"), Some("swarmdex::net::swarm::upkeep"))
    );
    assert!(
        first["fields"]["message"]
            .as_str()
            .unwrap()
            .contains("cannot be reached"),
        "{first}"
    );
    send("TERM", child.id());
    stderr.for_each(|line| drop(object(&line)));
    assert!(within(child, |mut child| child.wait()).success());

    let logs = std::fs::read_dir(home.path(".local/state/swarmdex/logs")).unwrap();
    let text: String = logs
        .map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap())
        .collect();
    let messages: Vec<_> = text
        .lines()
        .map(|line| {
            object(line)["fields"]["message"]
                .as_str()
                .unwrap()
                .to_owned()
        })
        .collect();
    for message in ["the node has started", "shutting down"] {
        assert!(messages.iter().any(|said| said == message), "{messages:?}");
    }
}
