//! The explorer in a real pseudo-terminal: visits every screen, and restores the terminal.

mod asking;
mod attached;
mod names;
mod publish;
mod terminal;

use self::terminal::{ENTER_ALTERNATE, LEAVE_ALTERNATE, Terminal, contains};

const DEMO: [&str; 9] = [
    "demo",
    "--peers",
    "4",
    "--catalogue",
    "embedded",
    "--rate",
    "600",
    "--seed",
    "11",
];

#[test]
fn every_screen_of_the_demo_and_the_terminal_back_as_it_was() {
    let mut terminal = Terminal::start(&DEMO, &[]);
    terminal.until_text("3 peers");
    terminal.until("packages of others", |screen| {
        !screen.contains("0 packages") && screen.contains("packages")
    });
    terminal.press("\r");
    terminal.until_text("Score");
    terminal.press("\x1b");
    terminal.until("the window to close", |screen| {
        !screen.contains("of 1: reliability")
    });

    terminal.press("3");
    terminal.until_text("following the newest");
    terminal.until("announcements", |screen| screen.contains("✓"));
    terminal.press("f");
    terminal.until_text("FROZEN");
    terminal.press("\r");
    terminal.until_text("Publisher");
    terminal.press("q");
    terminal.press("f");
    // Opening a row held the list on it.
    terminal.press("g");
    terminal.until_text("following the newest");

    terminal.press("4");
    terminal.until_text("TYPING");
    terminal.press("a");
    terminal.until_text("search: a");
    // Clear the text to see everything: the test does not know what has been published by now.
    terminal.press("\x15");
    terminal.until("an answer of every peer", |screen| {
        screen.contains("newest first") && screen.contains("3 of 3 peers answered")
    });
    terminal.press("\r");
    terminal.until_text("Source and freshness");
    terminal.press("\x1b");
    terminal.until("the window to close", |screen| {
        !screen.contains("Source and freshness")
    });

    terminal.until_text("TYPING");
    terminal.press("\x1b");
    terminal.until_text("BROWSING");
    terminal.press("5");
    terminal.until_text("n  new package");
    terminal.press("8");
    terminal.until_text("announce mesh");
    terminal.press("0");
    terminal.until_text("entries, all levels");
    terminal.press("A");
    terminal.until_text("Embedded data and licences");
    terminal.press("q");
    terminal.press("?");
    terminal.until_text("Show every key");
    terminal.press("q");
    terminal.until("the help to close", |screen| {
        !screen.contains("Show every key")
    });
    terminal.press("q");
    let (in_order, raw) = terminal.ended();
    assert!(in_order);
    let (entered, left) = (
        contains(&raw, ENTER_ALTERNATE),
        contains(&raw, LEAVE_ALTERNATE),
    );
    assert!(entered && left, "the screen of the shell is back");
    assert!(contains(&raw, b"\x1b[?25h"), "and its cursor");
    assert!(contains(&raw, b"\x1b[?2026h"), "frames are synchronised");
}

#[test]
fn a_signal_ends_it_in_order_too_and_without_colour_there_is_none() {
    let mut terminal = Terminal::start(&DEMO, &[("NO_COLOR", "1")]);
    terminal.until_text("3 peers");
    let process = terminal.process();
    let killed = std::process::Command::new("kill")
        .args(["-TERM", &process.to_string()])
        .status()
        .unwrap();
    assert!(killed.success());
    let (in_order, raw) = terminal.ended();
    assert!(in_order && contains(&raw, LEAVE_ALTERNATE));
    assert!(!contains(&raw, b"\x1b[38;5;"), "NO_COLOR");
}

#[test]
fn alone_it_says_what_to_do() {
    let args = ["--listen", "/ip4/127.0.0.1/tcp/0", "--no-mdns"];
    let mut terminal = Terminal::start(&args, &[]);
    terminal.until_text("No other peer is connected yet");
    terminal.until_text("swarmdex --bootstrap /ip4/127.0.0.1/tcp/");
    terminal.press("\x03");
    assert!(terminal.ended().0, "Ctrl-C quits from anywhere");
}

#[test]
fn ascii_without_colour_is_ascii_without_colour() {
    let args: Vec<&str> = [&DEMO[..], &["--ascii"]].concat();
    let mut terminal = Terminal::start(&args, &[("NO_COLOR", "1")]);
    terminal.until_text("3 peers");
    terminal.until("a peer's row", |screen| screen.contains("@ "));
    for (key, seen) in [
        ("8", "announce mesh"),
        ("5", "new package"),
        ("?", "Show every key"),
    ] {
        terminal.press(key);
        terminal.until_text(seen);
        assert!(terminal.text().is_ascii(), "{}", terminal.text());
    }
    terminal.press("qq");
    let (in_order, raw) = terminal.ended();
    assert!(in_order);
    // All colour codes of SGR begin with one of these digits.
    let coloured = raw
        .split(|byte| *byte == 0x1b)
        .filter(|rest| rest.first() == Some(&b'['))
        .filter(|rest| {
            let code: Vec<u8> = rest
                .iter()
                .skip(1)
                .take_while(|byte| byte.is_ascii_digit() || **byte == b';')
                .copied()
                .collect();
            let is_style = rest.get(1 + code.len()) == Some(&b'm');
            let codes = String::from_utf8(code).unwrap();
            is_style
                && codes
                    .split(';')
                    .any(|code| matches!(code.parse::<u32>(), Ok(30..=38 | 40..=48 | 90..=107)))
        });
    assert_eq!(coloured.count(), 0);
}

#[test]
fn the_mouse_clicks_and_can_be_left_to_the_terminal() {
    let mut terminal = Terminal::start(&DEMO, &[]);
    terminal.until_text("3 peers");
    assert!(
        contains(&terminal.raw, b"\x1b[?1000h"),
        "clicks are asked for"
    );
    terminal.click(terminal.column_of(2, "3 Feed") + 1, 2);
    terminal.until_text("following the newest");
    terminal.press("M");
    terminal.until_text("terminal can select text");
    assert!(contains(&terminal.raw, b"\x1b[?1000l"));
    terminal.press("q");
    assert!(terminal.ended().0);
}

#[test]
fn keys_that_mean_two_things_are_refused_with_both() {
    let home = tempfile::tempdir().unwrap();
    let config = home.path().join("config.toml");
    std::fs::write(&config, "[keys]\nquit = [\"?\"]\n").unwrap();
    let config = config.to_str().unwrap();
    let mut terminal = Terminal::start(
        &[
            "--config",
            config,
            "--no-mdns",
            "--listen",
            "/ip4/127.0.0.1/tcp/0",
        ],
        &[],
    );
    terminal.until_text("keys.help");
    terminal.until_text("keys.quit");
    assert!(!terminal.ended().0);
}

/// A terminal that cannot move its cursor gets only sentences.
#[test]
fn a_dumb_terminal_gets_the_plain_form() {
    let words = ["--no-mdns", "--listen", "/ip4/127.0.0.1/tcp/0"];
    let mut terminal = Terminal::start(&words, &[("TERM", "dumb")]);
    terminal.until_text("TERM=dumb");
    terminal.until_text("network main");
    terminal.press("\x03");
    let (in_order, raw) = terminal.ended();
    assert!(in_order);
    assert!(!raw.contains(&0x1b), "{}", String::from_utf8_lossy(&raw));
}
