//! Measures the processor time of a process by thread, and the bytes of a database by part.

#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use rusqlite::{Connection, OpenFlags};

/// Interval of the measurements; a thread that ends loses at most this much of its time.
const LOOK: Duration = Duration::from_millis(10);

/// Processor time of each thread of a process in seconds, as the system reports it while the thread
/// runs, by thread and with its name.
pub struct Threads {
    process: u32,
    seen: Arc<Mutex<BTreeMap<u32, (String, f64)>>>,
    stop: Arc<AtomicBool>,
    looking: Option<JoinHandle<()>>,
}

impl Threads {
    pub fn of(process: u32) -> Self {
        let seen = Arc::new(Mutex::new(BTreeMap::new()));
        let stop = Arc::new(AtomicBool::new(false));
        let looking = thread::spawn({
            let (seen, stop) = (seen.clone(), stop.clone());
            move || {
                while !stop.load(Ordering::Relaxed) {
                    look(process, &mut seen.lock().unwrap());
                    thread::sleep(LOOK);
                }
            }
        });
        Self {
            process,
            seen,
            stop,
            looking: Some(looking),
        }
    }

    /// As [`Self::so_far`], measured now.
    pub fn once(&self) -> Vec<(String, f64)> {
        look(self.process, &mut self.seen.lock().unwrap());
        self.so_far()
    }

    /// Returns the threads in the order in which they started, with their times so far.
    pub fn so_far(&self) -> Vec<(String, f64)> {
        self.seen.lock().unwrap().values().cloned().collect()
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.looking.take().unwrap().join().unwrap();
    }
}

fn look(process: u32, seen: &mut BTreeMap<u32, (String, f64)>) {
    let threads = fs::read_dir(format!("/proc/{process}/task"));
    for thread in threads.into_iter().flatten().flatten() {
        let read = |what: &str| fs::read_to_string(thread.path().join(what)).ok();
        // proc_pid_schedstat(5): the first field is nanoseconds on a processor.
        let used = read("schedstat").and_then(|said| said.split(' ').next()?.parse::<f64>().ok());
        if let (Some(name), Some(used)) = (read("comm"), used) {
            let id = thread.file_name().to_string_lossy().parse().unwrap();
            seen.insert(id, (name.trim().to_owned(), used / 1e9));
        }
    }
}

/// The parts of a database of records, each with the prefixes of its tables and indexes.
const PARTS: [(&str, &[&str]); 6] = [
    ("heads", &["head", "sqlite_autoindex_head"]),
    ("manifests", &["manifests", "sqlite_autoindex_manifests"]),
    ("the index of words", &["words"]),
    (
        "what is listed",
        &[
            "package",
            "sqlite_autoindex_package",
            "dependents",
            "recount",
        ],
    ),
    ("marks, releases and files", &["mark", "release", "files"]),
    ("the rest", &[""]),
];

/// Returns the MiB of each part and of the whole file.
pub fn sizes(database: &Path) -> Vec<(&'static str, f64)> {
    let db = Connection::open_with_flags(database, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    let mut sums = vec![0.0; PARTS.len()];
    let mut statement = db
        .prepare("SELECT name, sum(pgsize) FROM dbstat GROUP BY name")
        .unwrap();
    let mut rows = statement.query([]).unwrap();
    while let Some(row) = rows.next().unwrap() {
        let (name, bytes): (String, f64) = (row.get(0).unwrap(), row.get(1).unwrap());
        let part = PARTS
            .iter()
            .position(|(_, begins)| begins.iter().any(|begin| name.starts_with(begin)))
            .unwrap();
        sums[part] += bytes / f64::from(1 << 20);
    }
    let whole = database.metadata().unwrap().len() as f64 / f64::from(1 << 20);
    PARTS
        .iter()
        .map(|(part, _)| *part)
        .zip(sums)
        .chain([("the file", whole)])
        .collect()
}
