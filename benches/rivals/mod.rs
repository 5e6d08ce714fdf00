//! Rivals that `benches/rivals/install` installed: each a process of its own on loopback, which
//! ends when it is dropped.

#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::{
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

/// Returns the folder of the rivals, if it exists.
pub fn folder() -> Option<PathBuf> {
    let folder = std::env::var_os("SWARMDEX_RIVALS")
        .map_or_else(|| PathBuf::from("/tmp/swarmdex-rivals"), PathBuf::from);
    folder.join("serve").is_file().then_some(folder)
}

/// A running rival.
pub struct Rival {
    child: Child,
    pub host: String,
}

impl Drop for Rival {
    fn drop(&mut self) {
        // A master process ends its workers when it is terminated, but not when it is killed.
        let _ = Command::new("kill")
            .arg(self.child.id().to_string())
            .status();
        let _ = self.child.wait();
    }
}

impl Rival {
    /// Starts a rival on a free port with its data in `dir`, and waits until it answers; `None` if
    /// it is not installed.
    pub fn start(name: &str, dir: &Path, more: &[(&str, &str)]) -> Option<Self> {
        let folder = folder()?;
        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let mut serve = Command::new(folder.join("serve"));
        serve
            .args([name, &port.to_string()])
            .arg(dir)
            .envs(more.iter().copied());
        serve
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let rival = Self {
            child: serve.spawn().ok()?,
            host: format!("127.0.0.1:{port}"),
        };
        let begun = Instant::now();
        while TcpStream::connect(&rival.host).is_err() {
            assert!(
                begun.elapsed() < Duration::from_secs(120),
                "{name} does not answer; see what it wrote in {dir:?}"
            );
            std::thread::sleep(Duration::from_millis(100));
        }
        Some(rival)
    }

    /// Returns the memory of the process and its children, in MiB.
    pub fn resident_mib(&self) -> f64 {
        let of = |id: u32| crate::debian::resident_mib(&id.to_string());
        let children =
            std::fs::read_to_string(format!("/proc/{0}/task/{0}/children", self.child.id()))
                .unwrap_or_default();
        of(self.child.id())
            + children
                .split_whitespace()
                .filter_map(|id| id.parse().ok())
                .map(of)
                .sum::<f64>()
    }
}

/// Returns the installed versions, one per line.
pub fn versions() -> Option<String> {
    let said = Command::new(folder()?.join("serve"))
        .arg("versions")
        .output()
        .ok()?;
    Some(String::from_utf8_lossy(&said.stdout).into_owned())
}
