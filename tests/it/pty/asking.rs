//! Verbs that ask the user: before the first publish of a package, and for a passphrase.

use std::{fs, path::Path};

use crate::pty::terminal::{Terminal, contains};

const APART: [&str; 3] = ["--no-mdns", "--listen", "/ip4/127.0.0.1/tcp/0"];

fn project(dir: &Path, version: &str) {
    fs::create_dir_all(dir.join("src")).unwrap();
    fs::write(dir.join("src/main.sh"), "echo hello").unwrap();
    fs::write(dir.join(".env"), "PASSWORD=hunter2").unwrap();
    fs::write(
        dir.join("swarmdex.toml"),
        format!("name = \"web\"\nversion = \"{version}\"\n"),
    )
    .unwrap();
}

#[test]
fn the_first_publish_of_a_package_shows_what_goes_in_and_asks() {
    let files = tempfile::tempdir().unwrap();
    project(files.path(), "1.0.0");
    let args = [&APART[..], &["publish", files.path().to_str().unwrap()]].concat();
    let mut terminal = Terminal::start(&args, &[]);
    terminal.until_text("left out: .env (.env* is often private; include adds it)");
    terminal.until_text("web has not been published before. It will contain:");
    terminal.until_text("10 B  src/main.sh");
    terminal.until_text("(y/n)");
    terminal.press("n\n");
    terminal.until_text("nothing was published");
    let (in_order, home) = terminal.ended_with_home();
    assert!(!in_order, "a script that has a terminal learns of it");

    let mut terminal = Terminal::start_in(home, &args, &[]);
    terminal.until_text("(y/n)");
    terminal.press("y\n");
    terminal.until_text("announced");
    let home = terminal.ended_at_home();

    // The package is known from then on; otherwise --yes answers.
    project(files.path(), "1.1.0");
    let mut terminal = Terminal::start_in(home, &args, &[]);
    terminal.until_text("announced");
    assert!(!terminal.text().contains("(y/n)"), "{}", terminal.text());
    terminal.ended_at_home();
    let mut terminal = Terminal::start(&[&args[..], &["--yes"]].concat(), &[]);
    terminal.until_text("announced");
    assert!(!terminal.text().contains("(y/n)"), "{}", terminal.text());
    terminal.ended_at_home();
}

#[test]
fn a_passphrase_is_asked_for_twice_and_not_shown() {
    let files = tempfile::tempdir().unwrap();
    let (dir, backup) = (files.path().join("web"), files.path().join("backup.key"));
    project(&dir, "1.0.0");
    let mut terminal = Terminal::start(
        &[&APART[..], &["publish", dir.to_str().unwrap(), "--yes"]].concat(),
        &[],
    );
    terminal.until_text("announced");
    let home = terminal.ended_at_home();

    let export = ["key", "export", backup.to_str().unwrap()];
    let mut terminal = Terminal::start_in(home, &export, &[]);
    terminal.until_text("Passphrase for this copy of your key:");
    terminal.press("correct horse\n");
    terminal.until_text("Repeat the passphrase:");
    terminal.press("incorrect horse\n");
    terminal.until_text("the passphrases differ");
    let (in_order, home) = terminal.ended_with_home();
    assert!(!in_order && !backup.exists());

    // Ctrl-C while typed input is hidden.
    let mut terminal = Terminal::start_in(home, &export, &[]);
    terminal.until_text("Passphrase for this copy of your key:");
    terminal.press("corr\x03");
    let (in_order, home) = terminal.ended_with_home();
    assert!(!in_order && !backup.exists());

    let mut terminal = Terminal::start_in(home, &export, &[]);
    terminal.until_text("Passphrase for this copy of your key:");
    terminal.press("correct horse\n");
    terminal.until_text("Repeat the passphrase:");
    terminal.press("correct horse\n");
    terminal.until_text("can only be read with your passphrase");
    let (in_order, raw) = terminal.ended();
    assert!(in_order && backup.exists() && !contains(&raw, b"horse"));

    let mut terminal = Terminal::start(&["key", "import", backup.to_str().unwrap()], &[]);
    terminal.until_text("Passphrase:");
    terminal.press("correct horse\n");
    terminal.until_text("from now on");
    let (in_order, raw) = terminal.ended();
    assert!(in_order && !contains(&raw, b"horse"));
}
