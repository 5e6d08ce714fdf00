//! Names at a terminal: messages about pins, and questions.

use std::path::Path;

use crate::pty::{
    attached::{start, swarmdex},
    terminal::Terminal,
};

fn publish(home: &Path, name: &str, handle: &str) -> serde_json::Value {
    std::fs::write(home.join("content.bin"), name).unwrap();
    std::fs::write(
        home.join("draft.toml"),
        format!("name = \"{name}\"\nversion = \"1.0.0\"\n"),
    )
    .unwrap();
    let (content, draft) = (home.join("content.bin"), home.join("draft.toml"));
    let words = [
        "publish",
        content.to_str().unwrap(),
        "--manifest",
        draft.to_str().unwrap(),
        "--handle",
        handle,
        "--json",
    ];
    let output = swarmdex(home, &words);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

#[test]
fn a_person_pins_by_getting_and_is_asked_before_depending_or_sharing_a_handle() {
    let alice = tempfile::tempdir().unwrap();
    start(alice.path());
    let status = swarmdex(alice.path(), &["status", "--json"]);
    let status: serde_json::Value = serde_json::from_slice(&status.stdout).unwrap();
    let address = status["addresses"][0].as_str().unwrap().to_owned();
    let published = publish(alice.path(), "tool", "alice");
    let id = published["package"]["owner"].as_str().unwrap().to_owned();
    let fingerprint = id.get(id.len() - 12..).unwrap();
    let apart = [
        "--no-mdns",
        "--listen",
        "/ip4/127.0.0.1/tcp/0",
        "--bootstrap",
        &address,
    ];

    // The user agrees to an unknown handle among the dependencies by its fingerprint, or refuses.
    let bob = tempfile::tempdir().unwrap();
    let draft = "name = \"app\"\nversion = \"1.0.0\"\ndependencies = [{ package = \"alice/tool\", \
                 requirement = \"*\" }]\n";
    std::fs::write(bob.path().join("draft.toml"), draft).unwrap();
    std::fs::write(bob.path().join("app.bin"), "app").unwrap();
    let (content, draft) = (bob.path().join("app.bin"), bob.path().join("draft.toml"));
    let (content, draft) = (
        content.to_str().unwrap().to_owned(),
        draft.to_str().unwrap().to_owned(),
    );
    let publish = |handle: &'static str| {
        let words = [
            "publish",
            &content,
            "--manifest",
            &draft,
            "--handle",
            handle,
        ]
        .map(str::to_owned);
        apart
            .iter()
            .map(|word| (*word).to_owned())
            .chain(words)
            .collect::<Vec<String>>()
    };
    let words = publish("bob");
    let mut terminal = Terminal::start_in(
        bob,
        &words.iter().map(String::as_str).collect::<Vec<_>>(),
        &[],
    );
    terminal.until_text("It can be yanked");
    terminal.press("y\r");
    terminal.until_text("Is that the one you mean?");
    assert!(
        terminal
            .text()
            .replace(['\r', '\n'], "")
            .contains(fingerprint),
        "{}",
        terminal.text()
    );
    terminal.press("y\r");
    terminal.until_text("/app@1.0.0");
    let bob = terminal.ended_at_home();

    // A first publish under a handle that someone else claims is confirmed by the user.
    std::fs::write(
        bob.path().join("draft.toml"),
        "name = \"other\"\nversion = \"1.0.0\"\n",
    )
    .unwrap();
    let words = publish("alice");
    let mut terminal = Terminal::start_in(
        bob,
        &words.iter().map(String::as_str).collect::<Vec<_>>(),
        &[],
    );
    terminal.until_text("It can be yanked");
    terminal.press("y\r");
    terminal.until_text("Publish as alice?");
    assert!(
        terminal.text().contains("also claims alice"),
        "{}",
        terminal.text()
    );
    terminal.press("n\r");
    terminal.until_text("nothing was published");
    let (in_order, _) = terminal.ended();
    assert!(!in_order, "it says so with its exit code");

    let carol = tempfile::tempdir().unwrap();
    let path = carol.path().join("tool.bin");
    let words = ["get", "alice/tool", "--output", path.to_str().unwrap()];
    let mut terminal = Terminal::start_in(carol, &[&apart[..], &words].concat(), &[]);
    terminal.until_text("pinned alice: from now on it means the key");
    assert!(
        terminal
            .text()
            .replace(['\r', '\n'], "")
            .contains(fingerprint),
        "{}",
        terminal.text()
    );
    let carol = terminal.ended_at_home();
    let shown = swarmdex(carol.path(), &["--no-mdns", "show", "alice/tool", "--json"]);
    let shown: serde_json::Value = serde_json::from_slice(&shown.stdout).unwrap();
    assert_eq!(shown["trust"], "pinned");
    swarmdex(alice.path(), &["node", "stop"]);
}
