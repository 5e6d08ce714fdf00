//! The program in a real pseudo-terminal, and its screen.

use std::{
    io::{Read, Write},
    sync::mpsc::{Receiver, channel},
    time::{Duration, Instant},
};

use portable_pty::{Child, CommandBuilder, NativePtySystem, PtyPair, PtySize, PtySystem};

/// Size of the terminal.
const ROWS: u16 = 34;
const COLUMNS: u16 = 120;
/// Longest wait for something that must appear.
const PATIENCE: Duration = Duration::from_secs(40);
pub const ENTER_ALTERNATE: &[u8] = b"\x1b[?1049h";
pub const LEAVE_ALTERNATE: &[u8] = b"\x1b[?1049l";
/// A frame is between these two sequences (synchronized output).
const BEGIN_FRAME: &[u8] = b"\x1b[?2026h";
const END_FRAME: &[u8] = b"\x1b[?2026l";

/// A process that is killed when the test ends.
struct Running(Box<dyn Child + Send + Sync>);

impl Running {
    fn ended_in_order(&mut self) -> bool {
        self.0.wait().unwrap().success()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // In a successful test it has exited already.
        let _ = self.0.kill();
    }
}

pub struct Terminal {
    screen: vt100::Parser,
    /// Everything the program wrote.
    pub raw: Vec<u8>,
    output: Receiver<Vec<u8>>,
    input: Box<dyn Write + Send>,
    child: Running,
    pair: PtyPair,
    home: tempfile::TempDir,
}

impl Terminal {
    /// Starts the program in a home of its own.
    pub fn start(args: &[&str], environment: &[(&str, &str)]) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), args, environment)
    }

    pub fn start_in(home: tempfile::TempDir, args: &[&str], environment: &[(&str, &str)]) -> Self {
        let size = PtySize {
            rows: ROWS,
            cols: COLUMNS,
            pixel_width: 0,
            pixel_height: 0,
        };
        let pair = NativePtySystem::default().openpty(size).unwrap();
        let mut command = CommandBuilder::new(env!("CARGO_BIN_EXE_swarmdex"));
        command.args(args);
        command.env_clear();
        command.env("HOME", home.path());
        command.env("SWARMDEX_GATEWAY", "off");
        command.env("TERM", "xterm-256color");
        for (name, value) in environment {
            command.env(name, value);
        }
        let child = Running(pair.slave.spawn_command(command).unwrap());
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
        let screen = vt100::Parser::new(ROWS, COLUMNS, 0);
        Self {
            screen,
            raw: Vec::new(),
            output,
            input,
            child,
            pair,
            home,
        }
    }

    pub fn press(&mut self, keys: &str) {
        self.input.write_all(keys.as_bytes()).unwrap();
        self.input.flush().unwrap();
    }

    pub fn text(&self) -> String {
        self.screen.screen().contents()
    }

    /// Reads until the screen is as expected, looking at whole frames only.
    pub fn until(&mut self, what: &str, is_it: impl Fn(&str) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while self.is_drawing() || !is_it(&self.text()) {
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

    pub fn until_text(&mut self, text: &str) {
        self.until(text, |screen| screen.contains(text));
    }

    fn is_drawing(&self) -> bool {
        let last = |mark: &[u8]| {
            self.raw
                .windows(mark.len())
                .rposition(|window| window == mark)
        };
        last(BEGIN_FRAME) > last(END_FRAME)
    }

    pub fn process(&self) -> u32 {
        self.child.0.process_id().unwrap()
    }

    /// Returns the column where a text begins in a row, counted from 0.
    pub fn column_of(&self, row: u16, text: &str) -> u16 {
        let line = self
            .screen
            .screen()
            .rows(0, COLUMNS)
            .nth(usize::from(row))
            .unwrap();
        let at = line
            .find(text)
            .unwrap_or_else(|| panic!("no {text} in {line}"));
        line.char_indices()
            .take_while(|(index, _)| *index < at)
            .count() as u16
    }

    /// Clicks with the left button, at a position counted from 0.
    pub fn click(&mut self, column: u16, row: u16) {
        let (x, y) = (column + 1, row + 1);
        self.press(&format!("\x1b[<0;{x};{y}M\x1b[<0;{x};{y}m"));
    }

    /// Returns the text that was last copied to the clipboard with OSC 52.
    pub fn copied(&self) -> Option<String> {
        const START: &[u8] = b"\x1b]52;c;";
        let at = self
            .raw
            .windows(START.len())
            .rposition(|window| window == START)?
            + START.len();
        let length = self.raw[at..]
            .iter()
            .position(|byte| !byte.is_ascii_alphanumeric() && !b"+/=".contains(byte))?;
        Some(decode(&self.raw[at..at + length]))
    }

    /// Waits for the program to exit; returns its home for another start.
    pub fn ended_at_home(mut self) -> tempfile::TempDir {
        assert!(self.child.ended_in_order());
        self.home
    }

    /// Waits for the program to exit; returns true if it succeeded, and its home.
    pub fn ended_with_home(mut self) -> (bool, tempfile::TempDir) {
        (self.child.ended_in_order(), self.home)
    }

    /// Closes the terminal abruptly, like a lost connection; returns the home of the exited
    /// program.
    pub fn closed_at_home(mut self) -> tempfile::TempDir {
        drop((self.output, self.input));
        // Drawing now fails, and the program closes its handle on the terminal.
        let size = PtySize {
            rows: ROWS - 1,
            cols: COLUMNS,
            pixel_width: 0,
            pixel_height: 0,
        };
        self.pair.master.resize(size).unwrap();
        drop(self.pair);
        self.child.ended_in_order();
        self.home
    }

    /// Waits for the program to exit; returns true if it succeeded, and its output.
    pub fn ended(mut self) -> (bool, Vec<u8>) {
        let in_order = self.child.ended_in_order();
        drop(self.pair);
        while let Ok(bytes) = self.output.recv_timeout(Duration::from_secs(5)) {
            self.screen.process(&bytes);
            self.raw.extend(bytes);
        }
        (in_order, self.raw)
    }
}

pub fn contains(raw: &[u8], wanted: &[u8]) -> bool {
    raw.windows(wanted.len()).any(|window| window == wanted)
}

/// Decodes base64 (RFC 4648), as far as a test needs it.
fn decode(text: &[u8]) -> String {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let (mut bytes, mut held, mut bits) = (Vec::new(), 0u32, 0);
    for digit in text
        .iter()
        .filter_map(|byte| DIGITS.iter().position(|digit| digit == byte))
    {
        held = held << 6 | digit as u32;
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            bytes.push((held >> bits) as u8);
        }
    }
    String::from_utf8(bytes).unwrap()
}
