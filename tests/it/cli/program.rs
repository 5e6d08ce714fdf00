//! Runs the program with a home directory of the test's own and none of the caller's settings.

use std::{
    ffi::OsStr,
    io::{BufRead, BufReader, Read},
    path::PathBuf,
    process::{Child, Command, ExitStatus, Output, Stdio},
    sync::mpsc,
    time::Duration,
};

use serde_json::Value;
use tempfile::TempDir;

/// Longest wait for something that must happen; reaching it fails the test.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// Flags that isolate a node of a test.
pub const APART: [&str; 3] = ["--no-mdns", "--listen", "/ip4/127.0.0.1/tcp/0"];

pub struct Home(TempDir);

impl Home {
    pub fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Creates a file with this text.
    pub fn file(&self, name: &str, text: &str) -> String {
        std::fs::write(self.path(name), text).unwrap();
        self.path(name).to_str().unwrap().to_owned()
    }

    pub fn command<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_swarmdex"));
        for (name, _) in std::env::vars_os() {
            if name
                .to_str()
                .is_some_and(|name| name.starts_with("SWARMDEX_") || name.starts_with("XDG_"))
            {
                command.env_remove(name);
            }
        }
        command
            .args(arguments)
            .env("HOME", self.0.path())
            .env("SWARMDEX_GATEWAY", "off")
            .current_dir(self.0.path());
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    pub fn run<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Ran {
        ran(self.command(arguments))
    }

    /// Runs a verb on a node that listens on loopback and has no peers.
    pub fn alone(&self, words: &[&str]) -> Ran {
        self.run([&APART, words].concat())
    }

    /// Publishes a small file as this release.
    pub fn publish(&self, flags: &[&str], name: &str, version: &str) -> Value {
        let content = self.file("content.bin", &format!("{name} {version}"));
        let manifest = format!(
            "name = \"{name}\"\nversion = \"{version}\"\ndescription = \"A {name} for tests\""
        );
        let manifest = self.file("swarmdex.toml", &manifest);
        self.alone(
            &[
                flags,
                &["publish", &content, "--manifest", &manifest, "--json"],
            ]
            .concat(),
        )
        .json()
    }
}

/// The result of a run.
pub struct Ran {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

pub fn ran(mut command: Command) -> Ran {
    let child = command.spawn().unwrap();
    let Output {
        status,
        stdout,
        stderr,
    } = within(child, Child::wait_with_output);
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let ran = Ran {
        code: status.code(),
        stdout: text(stdout),
        stderr: text(stderr),
    };
    assert!(!ran.stderr.contains("panicked"), "{}", ran.stderr);
    ran
}

/// Runs a verb, and sends the signal as soon as it prints something.
pub fn interrupted(mut command: Command, signal: &str) -> Ran {
    let mut child = command.spawn().unwrap();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut said = String::new();
    stderr.read_line(&mut said).unwrap();
    send(signal, child.id());
    let Output { status, stdout, .. } = within(child, Child::wait_with_output);
    stderr.read_to_string(&mut said).unwrap();
    Ran {
        code: status.code(),
        stdout: String::from_utf8(stdout).unwrap(),
        stderr: said,
    }
}

impl Ran {
    /// Returns the only JSON value on stdout of a successful run.
    #[track_caller]
    pub fn json(&self) -> Value {
        assert_eq!(self.code, Some(0), "{}", self.stderr);
        self.value()
    }

    /// Returns the only JSON value on stdout.
    #[track_caller]
    pub fn value(&self) -> Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("{error}: {}", self.stdout))
    }

    /// Asserts that the run ended with `code`, with nothing on stdout, and with one sentence that
    /// has all of `parts`.
    #[track_caller]
    pub fn complains(&self, code: i32, parts: &[&str]) {
        let said = &self.stderr;
        assert_eq!(
            (self.code, self.stdout.as_str()),
            (Some(code), ""),
            "{said}"
        );
        let sentences: Vec<_> = said
            .lines()
            .filter(|line| line.starts_with("error: "))
            .collect();
        assert_eq!(sentences.len(), 1, "{said}");
        for part in parts {
            assert!(sentences[0].contains(part), "\"{part}\" is missing: {said}");
        }
    }
}

/// A node that runs until it is told to stop.
pub struct Running {
    child: Option<Child>,
    /// Address for other nodes, with `/p2p/`.
    pub address: String,
    pub peer_id: String,
}

impl Running {
    pub fn start(home: &Home, flags: &[&str]) -> Self {
        Self::start_with(home, flags, &[])
    }

    pub fn start_with(home: &Home, flags: &[&str], environment: &[(&str, &str)]) -> Self {
        let mut command = home.command([&APART, flags, &["node", "--json"]].concat());
        command.envs(environment.iter().copied());
        Self::of(command)
    }

    /// Starts a command that runs a node and reports it as JSON.
    pub fn of(mut command: Command) -> Self {
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap())
            .read_line(&mut line)
            .unwrap();
        let said: Value =
            serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        Self {
            child: Some(child),
            address: text(&said["addresses"][0]),
            peer_id: text(&said["peer_id"]),
        }
    }

    /// Sends the signal and waits for the exit.
    pub fn stop(mut self, signal: &str) -> ExitStatus {
        let child = self.child.take().unwrap();
        send(signal, child.id());
        within(child, |mut child| child.wait())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Waits for the end of a process, and kills it after too long.
pub fn within<T: Send + 'static>(
    child: Child,
    wait: impl FnOnce(Child) -> std::io::Result<T> + Send + 'static,
) -> T {
    let id = child.id();
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || sender.send(wait(child)));
    match receiver.recv_timeout(PATIENCE) {
        Ok(ended) => ended.unwrap(),
        Err(_) => {
            send("KILL", id);
            panic!("the program did not end within {PATIENCE:?}");
        }
    }
}

pub fn send(signal: &str, id: u32) {
    let sent = Command::new("sh")
        .arg("-c")
        .arg(format!("kill -{signal} {id}"))
        .status()
        .unwrap();
    assert!(sent.success());
}
