//! The lock that allows one node at a time on a data directory, and the record of the process that
//! holds it.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io::Read,
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
    time::Duration,
};

use serde::{Deserialize, Serialize};

use crate::{RegistryError, Result, process};

/// Size of a record in bytes, padded with spaces: it overwrites the one before in one piece, and
/// needs no more space on a full disk.
const RECORD: usize = 512;

/// The record that the holder writes into the lock file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct LockHolder {
    pid: u32,
    /// The start time of the process, which tells it from a later process with the same number.
    started: Option<String>,
    /// True if it runs until it is told to end, unlike a command with a node of its own.
    #[serde(default)]
    stays: bool,
    /// Its control socket.
    #[serde(default)]
    socket: Option<PathBuf>,
}

/// Held while the directory is in use. The operating system releases it when the process ends,
/// however it ends.
pub(super) struct DirLock(File);

impl DirLock {
    pub(super) fn take(data_dir: &Path) -> Result<Self> {
        let path = path(data_dir);
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .mode(0o600)
            .open(&path)
            .map_err(RegistryError::file(&path, "opened"))?;
        /// Another process may hold the lock for a moment to check whether the directory is in use.
        const LOOKS: usize = 5;
        const LOOK: Duration = Duration::from_millis(5);
        for _ in 0..LOOKS {
            match file.try_lock() {
                Ok(()) => {
                    let lock = Self(file);
                    lock.write(false, None);
                    return Ok(lock);
                }
                Err(TryLockError::WouldBlock) => std::thread::sleep(LOOK),
                Err(TryLockError::Error(source)) => {
                    return Err(RegistryError::File {
                        path,
                        doing: "locked",
                        source,
                    });
                }
            }
        }
        Err(in_use(data_dir))
    }

    /// Records that this process stays, and its control socket; or, with false, that it is about to
    /// end.
    pub(super) fn write(&self, stays: bool, socket: Option<&Path>) {
        let pid = std::process::id();
        let record = LockHolder {
            pid,
            started: process::started(pid),
            stays,
            socket: socket.map(Path::to_owned),
        };
        let written = serde_json::to_vec(&record)
            .map_err(std::io::Error::from)
            .and_then(|mut bytes| {
                bytes.resize(bytes.len().max(RECORD), b' ');
                self.0.write_all_at(&bytes, 0)
            });
        // The lock works without the record, and other processes then try the usual paths of the
        // socket.
        if let Err(error) = written {
            tracing::warn!(%error, "the lock file could not be written, so others may not find this node");
        }
    }
}

fn path(data_dir: &Path) -> PathBuf {
    data_dir.join("lock")
}

/// Returns the error for a directory that another process uses.
pub fn in_use(data_dir: &Path) -> RegistryError {
    let pid = holder(data_dir).and_then(|holder| holder.pid);
    RegistryError::DataDirInUse {
        data_dir: data_dir.to_owned(),
        pid,
    }
}

/// Returns true if a process uses the directory.
pub fn is_in_use(data_dir: &Path) -> bool {
    held(data_dir).is_some()
}

/// Returns the lock file if a process holds the lock.
fn held(data_dir: &Path) -> Option<File> {
    let file = File::open(path(data_dir)).ok()?;
    matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)).then_some(file)
}

/// The process that uses a data directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// Known only if the process still runs: its start time must equal the recorded one.
    pub pid: Option<u32>,
    /// True if it runs until it is told to end.
    pub stays: bool,
    /// Its control socket, as it recorded.
    pub socket: Option<PathBuf>,
    started: Option<String>,
}

/// Returns the process that uses the data directory, as far as the lock file tells; `None` if none
/// does.
pub fn holder(data_dir: &Path) -> Option<Holder> {
    let file = held(data_dir)?;
    let mut text = String::new();
    // An unreadable record says nothing, but the lock is held all the same.
    let read = file
        .take(2 * RECORD as u64)
        .read_to_string(&mut text)
        .is_ok();
    let record: Option<LockHolder> = read.then(|| serde_json::from_str(&text).ok()).flatten();
    let Some(LockHolder {
        pid,
        started,
        stays,
        socket,
    }) = record
    else {
        return Some(Holder {
            pid: None,
            stays: false,
            socket: None,
            started: None,
        });
    };
    let runs = started.is_some() && process::started(pid) == started;
    Some(Holder {
        pid: runs.then_some(pid),
        stays: stays && runs,
        socket,
        started,
    })
}

impl Holder {
    /// Sends SIGTERM to the process if it is known, belongs to the same user, and has the lock file
    /// open. Returns true if it was sent.
    pub fn terminate(&self, data_dir: &Path) -> bool {
        let (Some(pid), Some(started)) = (self.pid, &self.started) else {
            return false;
        };
        process::terminate(pid, started, &path(data_dir))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lock_names_its_process_while_it_is_held_and_only_then() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(holder(dir.path()), None);
        let lock = DirLock::take(dir.path()).unwrap();
        let first = holder(dir.path()).unwrap();
        assert_eq!(
            (first.pid, first.stays, &first.socket),
            (Some(std::process::id()), false, &None)
        );
        // It overwrites a longer record.
        let long = PathBuf::from("/run").join("x".repeat(90));
        lock.write(true, Some(&long));
        assert_eq!(holder(dir.path()).unwrap().socket, Some(long));
        lock.write(true, Some(Path::new("/run/a.sock")));
        let now = holder(dir.path()).unwrap();
        assert_eq!(
            (now.stays, now.socket.as_deref()),
            (true, Some(Path::new("/run/a.sock")))
        );
        let error = DirLock::take(dir.path()).err().unwrap().to_string();
        assert!(
            error.contains(&format!("process {}", std::process::id())),
            "{error}"
        );
        drop(lock);
        assert_eq!(
            holder(dir.path()),
            None,
            "the record is still there, and nobody holds the lock"
        );
    }

    #[test]
    fn a_process_that_got_the_number_later_does_not_count() {
        let dir = tempfile::tempdir().unwrap();
        let lock = DirLock::take(dir.path()).unwrap();
        let mut other = std::process::Command::new("sleep")
            .arg("60")
            .spawn()
            .unwrap();
        let record = |started: Option<String>| {
            let record = LockHolder {
                pid: other.id(),
                started,
                stays: true,
                socket: None,
            };
            let mut bytes = serde_json::to_vec(&record).unwrap();
            bytes.resize(RECORD, b' ');
            lock.0.write_all_at(&bytes, 0).unwrap();
            holder(dir.path()).unwrap()
        };
        let earlier = process::started(other.id()).map(|started| format!("{started}0"));
        for started in [None, earlier] {
            let holder = record(started);
            assert_eq!((holder.pid, holder.stays), (None, false));
            assert!(!holder.terminate(dir.path()));
        }
        // Another program with a matching start time does not have the lock file open.
        let named = record(process::started(other.id()));
        assert_eq!(named.pid, Some(other.id()));
        assert!(!named.terminate(dir.path()));
        assert_eq!(other.try_wait().unwrap(), None, "it was not told to end");
        other.kill().unwrap();
        other.wait().unwrap();
    }
}
