//! Handles with several claimants and names that look alike, as a script sees them.

use serde_json::Value;

use crate::cli::program::{APART, Home, Ran, Running};

/// Publishes a small file with dependencies on the node of a home.
fn publish(home: &Home, flags: &[&str], name: &str, version: &str, needs: &str) -> Ran {
    let content = home.file("content.bin", &format!("{name} {version}"));
    let needs = if needs.is_empty() {
        String::new()
    } else {
        format!("dependencies = [{needs}]\n")
    };
    let manifest =
        format!("name = \"{name}\"\nversion = \"{version}\"\ndescription = \"A {name}\"\n{needs}");
    let manifest = home.file("swarmdex.toml", &manifest);
    home.run(
        [
            &APART,
            flags,
            &["publish", &content, "--manifest", &manifest, "--json"],
        ]
        .concat(),
    )
}

fn joined<'a>(node: &'a Running, words: &[&'a str]) -> Vec<&'a str> {
    [&["--bootstrap", node.address.as_str()], words].concat()
}

fn end(id: &Value) -> &str {
    let id = id.as_str().unwrap();
    &id[id.len() - 12..]
}

#[test]
fn a_script_gets_by_key_what_is_not_pinned_and_pins_only_when_told_to() {
    let (alice, bob) = (Home::new(), Home::new());
    let node = Running::start(&alice, &["--handle", "alice"]);
    let published = publish(&alice, &["--handle", "alice"], "tool", "1.0.0", "").json();
    let publisher = published["package"]["owner"].as_str().unwrap();
    let fingerprint = end(&published["package"]["owner"]);
    let run = |words: &[&str]| bob.alone(&joined(&node, words));
    let trust = || run(&["show", "alice/tool", "--json"]).json()["trust"].clone();

    // Showing a package, by handle or by key, pins nothing.
    let shown = run(&["show", &format!("{publisher}/tool"), "--json"]).json();
    assert_eq!(
        (&shown["trust"], &shown["fingerprint"]),
        (&"unknown".into(), &fingerprint.into())
    );
    let words = run(&["show", "alice/tool"]).stdout;
    assert!(
        words.contains(fingerprint) && words.contains("unpinned"),
        "{words}"
    );
    let versions = run(&["versions", "alice/tool"]);
    assert!(
        versions
            .stderr
            .contains(&format!("alice/tool ({fingerprint}), unpinned")),
        "{}",
        versions.stderr
    );
    let hits = run(&["search", "tool", "--json"]).json()["hits"].clone();
    assert_eq!(
        (&hits[0]["trust"], &hits[0]["fingerprint"]),
        (&"unpinned".into(), &fingerprint.into())
    );
    let table = run(&["search", "tool"]).stdout;
    assert!(
        table.contains("alice/tool") && table.contains(fingerprint),
        "{table}"
    );
    assert_eq!(trust(), "unknown");

    let got = run(&["get", "alice/tool"]);
    assert_eq!(got.code, Some(0), "{}", got.stderr);
    for part in [
        "warning: alice is not pinned",
        publisher,
        fingerprint,
        "--trust-new",
    ] {
        assert!(got.stderr.contains(part), "{part}: {}", got.stderr);
    }
    assert_eq!(trust(), "unknown", "a script pins nothing by itself");
    let got = run(&["get", "alice/tool", "--trust-new", "--json"]);
    assert!(
        got.stderr
            .contains("pinned alice: from now on it means the key"),
        "{}",
        got.stderr
    );
    assert_eq!(trust(), "pinned");
    let again = run(&["get", "alice/tool", "--json"]);
    assert!(!again.stderr.contains("warning"), "{}", again.stderr);
}

#[test]
fn without_a_peer_nothing_is_pinned_and_a_handle_can_be_trusted_by_name() {
    let (alice, bob) = (Home::new(), Home::new());
    let node = Running::start(&alice, &["--handle", "alice"]);
    publish(&alice, &["--handle", "alice"], "tool", "1.0.0", "").json();
    bob.alone(&joined(&node, &["show", "alice/tool", "--json"]))
        .json();
    node.stop("TERM");
    let said = bob.alone(&["trust", "alice"]);
    assert_eq!(said.code, Some(1), "{}", said.stderr);
    assert!(
        said.stderr
            .contains("alice is not pinned, because no peer reported"),
        "{}",
        said.stderr
    );
    let node = Running::start(&alice, &[]);
    let done = bob
        .alone(&joined(&node, &["trust", "alice", "--json"]))
        .json();
    assert_eq!(
        (&done["trusted"], &done["handle"]),
        (&true.into(), &"alice".into())
    );
    assert_eq!(
        bob.alone(&joined(&node, &["show", "alice/tool", "--json"]))
            .json()["trust"],
        "pinned"
    );
    bob.alone(&["trust", "alice", "--as", "alice"])
        .complains(2, &["--as requires a publisher id"]);
    bob.alone(&["trust", "Nobody"])
        .complains(2, &["Nobody", "publisher id"]);
}

#[test]
fn dependencies_are_signed_by_key_and_new_handles_are_agreed_to() {
    let (alice, bob) = (Home::new(), Home::new());
    let node = Running::start(&alice, &["--handle", "alice"]);
    let tool = publish(&alice, &["--handle", "alice"], "tool", "1.0.0", "").json();
    let id = format!("{}/tool", tool["package"]["owner"].as_str().unwrap());
    let needs = "{ package = \"alice/tool\", requirement = \"^1\" }";
    let flags = ["--handle", "bob", "--bootstrap", &node.address];
    let refused = publish(&bob, &flags, "app", "1.0.0", needs);
    refused.complains(
        2,
        &[
            "\"alice\" is pinned to no key",
            end(&tool["package"]["owner"]),
            "`trust alice`",
        ],
    );
    assert!(
        !bob.path(".local/share/swarmdex/publisher.key").exists(),
        "what was refused made no key"
    );

    let content = bob.file("content.bin", "app");
    let manifest = bob.path("swarmdex.toml").to_str().unwrap().to_owned();
    let words = [
        "publish",
        &content,
        "--manifest",
        &manifest,
        "--trust-new",
        "--json",
    ];
    let published = bob.run([&APART[..], &flags, &words].concat()).json();
    let shown = bob
        .alone(&["show", published["id"].as_str().unwrap(), "--json"])
        .json();
    let needed = &shown["manifest"]["dependencies"][0];
    assert_eq!(
        (&needed["package"], &needed["handle"]),
        (&id.clone().into(), &"alice".into())
    );
    assert_eq!(
        bob.alone(&["show", "alice/tool", "--json"]).json()["trust"],
        "unknown",
        "that pinned nothing"
    );
    let next = publish(&bob, &flags, "app", "1.1.0", needs);
    assert_eq!(
        next.code,
        Some(0),
        "what the last release called so is not asked about again: {}",
        next.stderr
    );
    publish(
        &bob,
        &flags,
        "other",
        "1.0.0",
        "{ package = \"nobody/tool\", requirement = \"*\" }",
    )
    .complains(1, &["nobody known calls itself \"nobody\""]);
}

#[test]
fn whoever_has_the_handle_or_a_name_like_it_is_said_before_anything_is_signed() {
    let (alice, bob) = (Home::new(), Home::new());
    let node = Running::start(&alice, &["--handle", "alice"]);
    let real = publish(&alice, &["--handle", "alice"], "serde_json", "1.0.0", "").json();
    let fingerprint = end(&real["package"]["owner"]);
    let flags = ["--handle", "alice", "--bootstrap", &node.address];
    let said = publish(&bob, &flags, "serde-json", "1.0.0", "");
    assert_eq!(
        said.code,
        Some(0),
        "a script is not stopped: {}",
        said.stderr
    );
    assert!(
        said.stderr.contains("also claims alice, first seen"),
        "{}",
        said.stderr
    );
    let (warned, signed) = (
        said.stderr.find(fingerprint).unwrap(),
        said.stderr.find("signed").unwrap(),
    );
    assert!(warned < signed, "before it is signed: {}", said.stderr);
    let fake = said.json();
    let fake = format!("{}/serde-json", fake["package"]["owner"].as_str().unwrap());

    // A user who knows the real package is warned of the other.
    let carol = Home::new();
    let other = Running::start(&bob, &["--bootstrap", &node.address]);
    let run = |words: &[&str]| {
        carol.alone(&[&joined(&other, &["--bootstrap", &node.address]), words].concat())
    };
    let publisher = real["package"]["owner"].as_str().unwrap();
    assert!(
        !run(&["get", &fake]).stderr.contains("looks like"),
        "nobody is known yet"
    );
    assert_eq!(run(&["trust", publisher, "--as", "alice"]).code, Some(0));
    run(&["show", "alice/serde_json", "--json"]).json();
    let got = run(&["get", &fake, "--force"]);
    let looks = format!("looks like alice/serde_json ({fingerprint}), whose publisher you pinned");
    assert!(
        got.code == Some(0) && got.stderr.contains(&looks),
        "{}",
        got.stderr
    );
    let found = run(&["search", "serde"]);
    assert!(found.stderr.contains(&looks), "{}", found.stderr);
    let hits = run(&["search", "serde", "--json"]).json()["hits"].clone();
    let fakes: Vec<_> = hits
        .as_array()
        .unwrap()
        .iter()
        .filter(|hit| !hit["looks_like"].is_null())
        .collect();
    assert_eq!(
        fakes
            .iter()
            .map(|hit| hit["id"].as_str().unwrap())
            .collect::<Vec<_>>(),
        [fake.as_str()]
    );
}

#[test]
fn an_import_makes_its_key_first_and_needs_no_handle() {
    let home = Home::new();
    let index = "Package: spell\nVersion: 1.0\nDescription: words\n\nPackage: check\nVersion: \
                 1.0\nDepends: spell\nDescription: checks\n";
    let index = home.file("Packages", index);
    let ran = home.alone(&["import", "debian", "--sign", "--json", &index]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert!(
        ran.stderr.contains("your new publisher key"),
        "{}",
        ran.stderr
    );
    let found = home
        .alone(&["search", "checks", "--local", "--json"])
        .json();
    let shown = home
        .alone(&["show", found["hits"][0]["id"].as_str().unwrap(), "--json"])
        .json();
    assert_eq!(
        shown["manifest"]["dependencies"],
        serde_json::json!([{ "name": "spell", "requirement": "*" }])
    );
}
