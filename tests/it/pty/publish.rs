//! Publishing from the form, as a user would.

use std::{path::Path, process::Command};

use crate::pty::terminal::Terminal;

/// Starts a demo in a data directory of its own, which another run finds again.
fn demo(home: tempfile::TempDir) -> Terminal {
    let data = home.path().join("data");
    let args = [
        "--data-dir",
        data.to_str().unwrap(),
        "demo",
        "--peers",
        "4",
        "--catalogue",
        "embedded",
    ];
    let mut terminal = Terminal::start_in(
        home,
        &[&args[..], &["--rate", "6", "--seed", "11"]].concat(),
        &[],
    );
    terminal.until_text("3 peers");
    terminal
}

/// Types a text into the focused field, checks it, and moves to the next field.
fn field(terminal: &mut Terminal, name: &str, text: &str) {
    terminal.press(text);
    let line = format!("{name:<13}{text}");
    terminal.until_text(line.trim_end());
    terminal.press("\t");
}

/// Fills in the form for a new package, from its name on.
fn fill(terminal: &mut Terminal, name: &str, file: &Path) {
    terminal.press("5");
    terminal.until_text("n  new package");
    terminal.press("n");
    terminal.until_text("TYPING");
    field(terminal, "name", name);
    // Make a mistake and correct it.
    terminal.press("one");
    terminal.until_text("! is not a version (example: 1.0.0)");
    terminal.press("\x15");
    field(terminal, "version", "1.0.0");
    field(terminal, "title", "A spider");
    field(terminal, "description", "Spins webs.");
    terminal.press("\t\t");
    field(terminal, "license", "MIT OR Apache-2.0");
    // Go from the first field back to the last.
    terminal.press("\x1b[Z".repeat(8).as_str());
    terminal.press("\x1b[Z");
    terminal.until_text("file or directory");
    terminal.press(file.to_str().unwrap());
    terminal.until_text("Ready: Ctrl-s");
}

#[test]
fn a_person_publishes_finds_follows_up_and_yanks() {
    let files = tempfile::tempdir().unwrap();
    let file = files.path().join("spider.tar");
    std::fs::write(&file, b"eight legs").unwrap();
    let mut terminal = demo(tempfile::tempdir().unwrap());

    // Copy the address of another node from the clipboard.
    terminal.press("y");
    terminal.until_text("copied /ip4/127.0.0.1/tcp/");
    let address = terminal.copied().unwrap();
    let network = terminal
        .text()
        .split("network ")
        .nth(1)
        .unwrap()
        .split_whitespace()
        .next()
        .unwrap()
        .to_owned();

    fill(&mut terminal, "spider", &file);
    terminal.press("\x13");
    terminal.until_text("sign and publish this");
    terminal.until_text("(10 bytes)");
    terminal.press("\r");
    for step in [
        "hashed: 10 bytes",
        "signed: revision 1",
        "stored: the release is safe",
        "replicated to",
        "announced to 3 peers",
    ] {
        terminal.until_text(step);
    }
    terminal.until_text("Published.");
    terminal.press("\x1b");
    terminal.until("the row of it", |screen| {
        screen.contains("/spider")
            && screen.contains("announced to 3")
            && !screen.contains("Published.")
    });

    // A new node of the same network finds it.
    let elsewhere = tempfile::tempdir().unwrap();
    let found = Command::new(env!("CARGO_BIN_EXE_swarmdex"))
        .args([
            "search",
            "spider",
            "--json",
            "--no-mdns",
            "--listen",
            "/ip4/127.0.0.1/tcp/0",
            "--network",
            &network,
        ])
        .args([
            "--bootstrap",
            &address,
            "--data-dir",
            elsewhere.path().to_str().unwrap(),
        ])
        .output()
        .unwrap();
    let answer = String::from_utf8(found.stdout).unwrap();
    assert!(
        answer.contains("\"spider\"") || answer.contains("/spider"),
        "{answer}"
    );
    assert!(answer.contains("1.0.0"), "{answer}");

    // The next release is filled in from the last one; only the file is chosen again.
    terminal.press("/spider");
    terminal.until_text("filter: spider");
    terminal.press("\x1b");
    terminal.until_text("BROWSING");
    terminal.press("e");
    terminal.until_text("version      1.0.1");
    terminal.until_text("Spins webs.");
    terminal.press("\x1b[Z".repeat(3).as_str());
    terminal.until_text("file or directory");
    terminal.press(file.to_str().unwrap());
    terminal.until_text("Ready: Ctrl-s");
    terminal.press("\x13");
    terminal.until_text("(10 bytes)");
    terminal.press("\r");
    terminal.until_text("Published.");
    // A key right after Esc would be read as Alt and that key.
    terminal.press("\x1b");
    terminal.until("the new version in the list", |screen| {
        screen.contains("1.0.1") && !screen.contains("Published.")
    });

    terminal.press("x");
    terminal.until_text("Yank");
    terminal.until_text("spider@1.0.1");
    terminal.press("y");
    terminal.until_text("yanked  ");
    terminal.press("q");
    assert!(terminal.ended().0);
}

#[test]
fn a_draft_outlives_the_terminal_and_ctrl_c() {
    let mut terminal = demo(tempfile::tempdir().unwrap());
    terminal.press("5");
    terminal.until_text("n  new package");
    terminal.press("n");
    terminal.until_text("TYPING");
    field(&mut terminal, "name", "fly");
    field(&mut terminal, "version", "1.0.0");
    let home = terminal.closed_at_home();

    let mut terminal = demo(home);
    terminal.until_text("unfinished draft: fly");
    terminal.press("5");
    terminal.until_text("saved draft");
    terminal.press("d");
    terminal.until_text("TYPING");
    terminal.until_text("name         fly");
    terminal.until_text("version      1.0.0");
    terminal.press("\t!");
    terminal.until_text("name         fly!");
    terminal.press("\x03");
    let home = terminal.ended_at_home();

    let mut terminal = demo(home);
    terminal.until_text("unfinished draft: fly!");
    terminal.press("q");
    assert!(terminal.ended().0);
}

#[test]
fn a_publish_that_is_interrupted_is_a_draft_or_a_package() {
    let files = tempfile::tempdir().unwrap();
    let file = files.path().join("fly.tar");
    std::fs::write(&file, vec![7; 1 << 20]).unwrap();
    let mut terminal = demo(tempfile::tempdir().unwrap());
    fill(&mut terminal, "fly", &file);
    terminal.press("\x13");
    terminal.until_text("(1048576 bytes)");
    // Publish and quit before the result is shown.
    terminal.press("\r\x03");
    let home = terminal.ended_at_home();

    let mut terminal = demo(home);
    terminal.press("5");
    terminal.until("either of them", |screen| {
        let (draft, package) = (screen.contains("saved draft"), screen.contains("/fly "));
        assert!(!(draft && package), "{screen}");
        draft || package
    });
    terminal.press("q");
    assert!(terminal.ended().0);
}

#[test]
fn a_directory_is_packed_published_and_fetched_back() {
    let files = tempfile::tempdir().unwrap();
    let dir = files.path().join("nest");
    std::fs::create_dir(&dir).unwrap();
    std::fs::write(dir.join("README.md"), "# A nest of words").unwrap();
    std::fs::write(dir.join("egg"), vec![7; 100_000]).unwrap();
    std::fs::write(dir.join(".env"), "PASSWORD=hunter2").unwrap();
    let mut terminal = demo(tempfile::tempdir().unwrap());
    fill(&mut terminal, "nest", &dir);
    terminal.until_text("directory");
    terminal.press("\x13");
    terminal.until_text("Press Enter to sign and publish this");
    terminal.until_text("Included: 2 files");
    terminal.press("\r");
    terminal.until_text("Published.");
    terminal.press("\x1b");
    terminal.until("the row of it", |screen| {
        screen.contains("/nest") && !screen.contains("Published.")
    });
    // Its window shows the readme and that the content is here.
    terminal.press("\r");
    terminal.until_text("nest-1.0.0.tar.zst");
    terminal.until_text("A nest of words");
    terminal.press("\x1b6");
    terminal.until_text("6 Transfers");
    terminal.press("q");
}
