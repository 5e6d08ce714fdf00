//! The explorer in a real pseudo-terminal: every screen visited, and the terminal given back as it was.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::{
    io::{Read, Write},
    sync::mpsc::{Receiver, channel},
    time::{Duration, Instant},
};

use portable_pty::{Child, CommandBuilder, NativePtySystem, PtyPair, PtySize, PtySystem};

/// Longest wait for something that must appear.
const PATIENCE: Duration = Duration::from_secs(40);
const ENTER_ALTERNATE: &[u8] = b"\x1b[?1049h";
const LEAVE_ALTERNATE: &[u8] = b"\x1b[?1049l";

struct Terminal {
    screen: vt100::Parser,
    /// Everything the program wrote.
    raw: Vec<u8>,
    output: Receiver<Vec<u8>>,
    input: Box<dyn Write + Send>,
    child: Box<dyn Child + Send + Sync>,
    pair: PtyPair,
    _home: tempfile::TempDir,
}

impl Terminal {
    fn start(args: &[&str], no_colour: bool) -> Self {
        let size = PtySize { rows: 30, cols: 110, pixel_width: 0, pixel_height: 0 };
        let pair = NativePtySystem::default().openpty(size).unwrap();
        let home = tempfile::tempdir().unwrap();
        let mut command = CommandBuilder::new(env!("CARGO_BIN_EXE_swarmdex"));
        command.args(args);
        command.env_clear();
        command.env("HOME", home.path());
        command.env("TERM", "xterm-256color");
        if no_colour {
            command.env("NO_COLOR", "1");
        }
        let child = pair.slave.spawn_command(command).unwrap();
        let mut reader = pair.master.try_clone_reader().unwrap();
        let input = pair.master.take_writer().unwrap();
        let (sender, output) = channel();
        std::thread::spawn(move || {
            let mut buffer = [0; 8_192];
            while let Ok(read) = reader.read(&mut buffer) {
                if read == 0 || sender.send(buffer[..read].to_vec()).is_err() {
                    return;
                }
            }
        });
        let screen = vt100::Parser::new(30, 110, 0);
        Self { screen, raw: Vec::new(), output, input, child, pair, _home: home }
    }

    fn press(&mut self, keys: &str) {
        self.input.write_all(keys.as_bytes()).unwrap();
        self.input.flush().unwrap();
    }

    fn text(&self) -> String {
        self.screen.screen().contents()
    }

    /// Reads until the screen shows what is waited for.
    fn until(&mut self, what: &str, is_it: impl Fn(&str) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !is_it(&self.text()) {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.output.recv_timeout(left) {
                Ok(bytes) => {
                    self.screen.process(&bytes);
                    self.raw.extend(bytes);
                }
                Err(_) => panic!("waited in vain for {what}; the screen is\n{}", self.text()),
            }
        }
    }

    fn until_text(&mut self, text: &str) {
        self.until(text, |screen| screen.contains(text));
    }

    /// Waits for the program to end, and returns whether it did so in order.
    fn ended(mut self) -> (bool, Vec<u8>) {
        let status = self.child.wait().unwrap();
        drop(self.pair);
        while let Ok(bytes) = self.output.recv_timeout(Duration::from_secs(5)) {
            self.screen.process(&bytes);
            self.raw.extend(bytes);
        }
        (status.success(), self.raw)
    }
}

fn contains(raw: &[u8], wanted: &[u8]) -> bool {
    raw.windows(wanted.len()).any(|window| window == wanted)
}

const DEMO: [&str; 9] = ["demo", "--peers", "4", "--catalogue", "embedded", "--rate", "600", "--seed", "11"];

#[test]
fn every_screen_of_the_demo_and_the_terminal_back_as_it_was() {
    let mut terminal = Terminal::start(&DEMO, false);
    terminal.until_text("3 peers");
    terminal.until("packages of others", |screen| !screen.contains("0 packages") && screen.contains("packages"));
    terminal.press("\r");
    terminal.until_text("Score");
    terminal.press("\x1b");
    terminal.until("the window to close", |screen| !screen.contains("how good it is to ask"));

    terminal.press("3");
    terminal.until_text("following the newest");
    terminal.until("announcements", |screen| screen.contains("✓"));
    terminal.press("f");
    terminal.until_text("FROZEN");
    terminal.press("\r");
    terminal.until_text("Publisher");
    terminal.press("q");
    terminal.press("f");
    terminal.until_text("following the newest");

    terminal.press("4");
    terminal.until_text("TYPING");
    terminal.press("a");
    terminal.until("an answer of every peer", |screen| screen.contains("3 of 3 peers answered"));
    terminal.press("\r");
    terminal.until_text("Where from, how fresh");
    terminal.press("\x1b");
    terminal.until("the window to close", |screen| !screen.contains("how fresh"));

    terminal.press("\x1b");
    terminal.until_text("BROWSING");
    terminal.press("?");
    terminal.until_text("Show every key");
    terminal.press("q");
    terminal.until("the help to close", |screen| !screen.contains("Show every key"));
    terminal.press("q");
    let (in_order, raw) = terminal.ended();
    assert!(in_order);
    let (entered, left) = (contains(&raw, ENTER_ALTERNATE), contains(&raw, LEAVE_ALTERNATE));
    assert!(entered && left, "the screen of the shell is back");
    assert!(contains(&raw, b"\x1b[?25h"), "and its cursor");
    assert!(contains(&raw, b"\x1b[?2026h"), "frames are synchronised");
}

#[test]
fn a_signal_ends_it_in_order_too_and_without_colour_there_is_none() {
    let mut terminal = Terminal::start(&DEMO, true);
    terminal.until_text("3 peers");
    let process = terminal.child.process_id().unwrap();
    let killed = std::process::Command::new("kill").args(["-TERM", &process.to_string()]).status().unwrap();
    assert!(killed.success());
    let (in_order, raw) = terminal.ended();
    assert!(in_order && contains(&raw, LEAVE_ALTERNATE));
    assert!(!contains(&raw, b"\x1b[38;5;"), "NO_COLOR");
}

#[test]
fn alone_it_says_what_to_do() {
    let args = ["--listen", "/ip4/127.0.0.1/tcp/0", "--no-mdns"];
    let mut terminal = Terminal::start(&args, false);
    terminal.until_text("Nobody else is here yet");
    terminal.until_text("swarmdex --bootstrap /ip4/127.0.0.1/tcp/");
    terminal.press("\x03");
    assert!(terminal.ended().0, "Ctrl-C quits from anywhere");
}
