//! The explorer attached to a running node.

use std::{path::Path, process::Command};

use crate::pty::terminal::Terminal;

pub fn swarmdex(home: &Path, words: &[&str]) -> std::process::Output {
    let program = env!("CARGO_BIN_EXE_swarmdex");
    Command::new(program)
        .args(words)
        .env_clear()
        .env("HOME", home)
        .env("SWARMDEX_GATEWAY", "off")
        .output()
        .unwrap()
}

/// Starts a node in the background, and returns its process id.
pub fn start(home: &Path) -> String {
    let words = [
        "--no-mdns",
        "--listen",
        "/ip4/127.0.0.1/tcp/0",
        "node",
        "start",
        "--json",
    ];
    let output = swarmdex(home, &words);
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(
        output.status.success(),
        "{said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    said.split("\"pid\":")
        .nth(1)
        .unwrap()
        .split(',')
        .next()
        .unwrap()
        .to_owned()
}

#[test]
fn it_outlives_its_node_and_its_node_outlives_it() {
    let home = tempfile::tempdir().unwrap();
    let (path, pid) = (home.path().to_owned(), start(home.path()));
    let mut terminal = Terminal::start_in(home, &[], &[]);
    let mut other = Terminal::start(
        &[
            "--attach",
            path.join(".local/share/swarmdex/control.sock")
                .to_str()
                .unwrap(),
        ],
        &[],
    );
    for terminal in [&mut terminal, &mut other] {
        terminal.until_text("attached");
        terminal.until_text("No other peer is connected yet");
    }
    assert!(
        Command::new("kill")
            .args(["-KILL", &pid])
            .status()
            .unwrap()
            .success()
    );
    terminal.until_text("reconnecting");
    terminal.until_text("No other peer is connected yet");
    start(&path);
    terminal.until_text("the node is back");
    terminal.press("q");
    let home = terminal.ended_at_home();
    other.until_text("the node is back");
    other.press("q");
    assert!(other.ended().0);
    assert!(
        swarmdex(&path, &["node", "stop"]).status.success(),
        "the node has gone on without them"
    );
    drop(home);
}
