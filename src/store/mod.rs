//! Durable state: one SQLite file, the key files beside it, and a lock that keeps a second node
//! out.
//!
//! All writes go through one thread that commits whatever queued up in one transaction
//! (`synchronous=FULL`), so an acknowledged write survives the power going off, and a hundred
//! concurrent ones cost one `fsync`. What is worth nothing without a later write is committed
//! without an `fsync` of its own, and is on the disk before that one is. Reads run on their own
//! connections and never wait for the writer.

pub mod backup;
mod batch;
mod catalogue;
mod claims;
mod conflicts;
pub mod content;
mod copies;
mod dht;
mod fetches;
mod folds;
pub mod keys;
mod known_keys;
mod listed;
mod listing;
mod lock;
mod look_alikes;
mod names;
mod objects;
mod outbox;
mod pack;
mod peers;
mod readers;
mod room;
mod schema;
mod search;
mod trouble;
mod trust;
mod usage;
mod writer;

pub use batch::OwnRelease;
pub use catalogue::{HeadVerdict, StoredHead};
pub use copies::{CopyHolder, Reserved};
pub use dht::StoredRecord;
pub use fetches::StoredFetch;
pub use known_keys::known_key;
pub use lock::{Holder, holder, in_use, is_in_use};
pub use outbox::{Pending, Reach};
pub use peers::StoredPeer;
pub use readers::processors;
pub use room::Room;

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Instant,
};

use rusqlite::Connection;

use tokio::sync::Notify;

use crate::{
    RegistryError, Result, disk, domain::name::PublisherId, error::Trouble, metrics::Metrics,
};
use readers::Readers;
use writer::{Durability, Writer};

/// Instructions of SQLite's machine between two looks at the time, where there is a bound: some
/// tens of microseconds.
const CHECKED_EVERY: i32 = 2_000;
/// Most KiB of pages that a connection keeps: a batch of a thousand packages changes some 20 MiB of
/// a full catalogue, and a search looks at a few. Taken only by databases that are as large.
const WRITER_CACHE: i64 = 48 * 1_024;
const READER_CACHE: i64 = 12 * 1_024;
/// Pages of the log after which they are brought into the database: several batches of a thousand
/// packages, 64 MiB.
const CHECKPOINT: i64 = 16_000;
/// Bytes of the log's file that are left once its pages are in the database.
const LOG_LEFT: i64 = 256 * 1_024;

/// Records in one savepoint. A statement that fires a trigger has a savepoint of its own, and to
/// release these took most of the time (`sqlite3BtreeSavepoint` of SQLite 3.54.1) where one
/// savepoint around them had a thousand packages.
const TOGETHER: usize = 16;

/// How long a connection waits for another one.
const BUSY: std::time::Duration = std::time::Duration::from_secs(5);

/// A node's database. Cheap to clone; the last clone closes it.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
    /// Reads are interrupted at it.
    until: Option<Instant>,
}

struct Inner {
    path: PathBuf,
    readers: Readers,
    writer: Writer,
    /// Grows when the heads that are held change.
    heads: AtomicU64,
    /// Told with it.
    heads_changed: Notify,
    /// This node's own publisher, once it has a key.
    own: Mutex<Option<PublisherId>>,
    room: Mutex<Room>,
    /// Something had to make room since that was looked at last.
    full: AtomicBool,
    /// Read lately.
    pages: listed::Pages,
    metrics: Metrics,
    lock: lock::DirLock,
}

impl Store {
    /// The database's file.
    pub fn path(&self) -> &Path {
        &self.inner.path
    }

    /// Opens the state in `data_dir`, making it as needed; its commits are counted in `metrics`.
    ///
    /// # Errors
    /// [`RegistryError::DataDirInUse`] while another node has it, [`RegistryError::NewerSchema`]
    /// and [`RegistryError::OlderSchema`] when another version wrote it, [`RegistryError::File`]
    /// when the directory cannot be used.
    pub fn open(data_dir: &Path, metrics: Metrics) -> Result<Self> {
        make_private(data_dir).map_err(RegistryError::file(data_dir, "created"))?;
        let lock = lock::DirLock::take(data_dir)?;
        backup::recover(data_dir)?;
        let path = database_path(data_dir);
        make_database_private(&path)?;
        let connection = Connection::open(&path)?;
        tune(&connection, WRITER_CACHE)?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update(None, "wal_autocheckpoint", CHECKPOINT)?;
        connection.pragma_update(None, "journal_size_limit", LOG_LEFT)?;
        schema::prepare(&connection, &path)?;
        // What a savepoint may have to put back; not what an earlier schema is sorted by.
        connection.pragma_update(None, "temp_store", "MEMORY")?;
        let writer = Writer::start(connection, metrics.clone())?;
        Ok(Self {
            inner: Arc::new(Inner {
                readers: Readers::new(path.clone()),
                path,
                writer,
                heads: AtomicU64::new(0),
                heads_changed: Notify::new(),
                own: Mutex::default(),
                room: Mutex::default(),
                full: AtomicBool::new(false),
                pages: listed::Pages::default(),
                metrics,
                lock,
            }),
            until: None,
        })
    }

    /// The same store, whose reads are interrupted at `until`: what others ask has a bound in time.
    /// They end with the error that [`is_interrupted`] tells.
    pub fn until(&self, until: Instant) -> Self {
        Self {
            inner: self.inner.clone(),
            until: Some(until),
        }
    }

    /// Records for other programs that this process stays and where its control socket is; or that
    /// it is about to end.
    pub fn stays(&self, stays: bool, socket: Option<&Path>) {
        self.inner.lock.write(stays, socket);
    }

    /// Says whose the packages of this node are.
    pub fn set_own_publisher(&self, publisher: PublisherId) {
        *self
            .inner
            .own
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = Some(publisher);
    }

    pub(crate) fn own_publisher(&self) -> Option<PublisherId> {
        *self
            .inner
            .own
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs `job` in the writer's next transaction and returns once it is on the disk.
    pub(crate) async fn write<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T> {
        self.inner.writer.run(Durability::Synced, job).await
    }

    /// As [`Self::write`], and returns before it is on the disk: for what nobody misses after a
    /// power cut, or what a later write says is there, which then cannot be without it.
    pub(crate) async fn write_unsynced<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T> {
        self.inner.writer.run(Durability::Logged, job).await
    }

    /// Writes many records, some at a time, in as few transactions as they fit into; returns what
    /// became of each part. What comes before a part that fails is kept.
    pub(crate) async fn write_each<R: Send + 'static, T: Send + 'static>(
        &self,
        records: Vec<R>,
        job: impl Fn(&Connection, Vec<R>) -> rusqlite::Result<T> + Clone + Send + 'static,
    ) -> Result<Vec<T>> {
        self.write_parts(Durability::Synced, records, job).await
    }

    /// As [`Self::write_each`], and returns before it is on the disk, as [`Self::write_unsynced`].
    pub(crate) async fn write_each_unsynced<R: Send + 'static, T: Send + 'static>(
        &self,
        records: Vec<R>,
        job: impl Fn(&Connection, Vec<R>) -> rusqlite::Result<T> + Clone + Send + 'static,
    ) -> Result<Vec<T>> {
        self.write_parts(Durability::Logged, records, job).await
    }

    async fn write_parts<R: Send + 'static, T: Send + 'static>(
        &self,
        durability: Durability,
        mut records: Vec<R>,
        job: impl Fn(&Connection, Vec<R>) -> rusqlite::Result<T> + Clone + Send + 'static,
    ) -> Result<Vec<T>> {
        let mut parts = Vec::new();
        while !records.is_empty() {
            let rest = records.split_off(TOGETHER.min(records.len()));
            let (part, job) = (std::mem::replace(&mut records, rest), job.clone());
            parts.push(self.inner.writer.run(durability, move |db| job(db, part)));
        }
        futures::future::try_join_all(parts).await
    }

    /// A number that is another one when anything that the store has may have changed.
    pub fn revision(&self) -> u64 {
        self.inner.writer.commits()
    }

    /// A number that is another one when the heads that are held may have changed.
    pub fn heads_version(&self) -> u64 {
        self.inner.heads.load(Ordering::Acquire)
    }

    /// Resolves when the heads that are held may have changed since the last time; for one who
    /// waits.
    pub async fn wait_for_heads(&self) {
        self.inner.heads_changed.notified().await;
    }

    fn heads_changed(&self) {
        self.inner.heads.fetch_add(1, Ordering::Release);
        self.inner.heads_changed.notify_one();
    }

    /// From asking for a commit to having it: the 95th percentile of the last ones; `None` before
    /// the first.
    pub fn commit_p95(&self) -> Option<std::time::Duration> {
        self.inner.writer.p95()
    }

    /// Runs `query` on a read connection, in the calling thread: point reads take tens of
    /// microseconds.
    pub(crate) fn read<T>(
        &self,
        query: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T> {
        if self.until.is_some_and(|until| Instant::now() >= until) {
            return Err(interrupted().into());
        }
        let mut reader = self.inner.readers.take(self.until)?;
        let connection = reader.connection()?;
        if let Some(until) = self.until {
            connection.progress_handler(CHECKED_EVERY, Some(move || Instant::now() >= until))?;
        }
        let answer = query(connection)?;
        if self.until.is_some() {
            connection.progress_handler(0, None::<fn() -> bool>)?;
        }
        reader.keep();
        Ok(answer)
    }

    /// As [`Self::read`] for a query of many statements, which then see one state, and lock the
    /// file once.
    pub(crate) fn read_together<T>(
        &self,
        query: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T> {
        self.read(|connection| {
            // Nothing is written in it; its end is the end of reading.
            let together = connection.unchecked_transaction()?;
            let answer = query(&together)?;
            together.commit()?;
            Ok(answer)
        })
    }
}

/// Where the database of a data directory is.
fn database_path(data_dir: &Path) -> PathBuf {
    data_dir.join("swarmdex.db")
}

/// The error of a read that was interrupted.
fn interrupted() -> rusqlite::Error {
    rusqlite::Error::SqliteFailure(
        rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_INTERRUPT),
        None,
    )
}

/// Whether a read ended because its time was up.
pub fn is_interrupted(error: &RegistryError) -> bool {
    matches!(
        error,
        RegistryError::Database {
            trouble: Trouble::Interrupted,
            ..
        }
    )
}

/// Makes the directory for its owner alone. One that exists becomes that too: there are keys in it,
/// and what somebody searches for and trusts.
pub(crate) fn make_private(dir: &Path) -> std::io::Result<()> {
    disk::private_dir(dir)?;
    disk::tighten_ours(dir)
}

/// Makes the database's file before SQLite does, for its owner alone: the log and its index are
/// made with the mode that the database has. Those that are there are tightened.
fn make_database_private(path: &Path) -> Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    let made = std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(path);
    made.map_err(RegistryError::file(path, "opened"))?;
    for end in ["", "-wal", "-shm"] {
        let mut file = path.as_os_str().to_owned();
        file.push(end);
        disk::tighten_ours(Path::new(&file))
            .map_err(RegistryError::file(Path::new(&file), "made private"))?;
    }
    Ok(())
}

fn tune(connection: &Connection, cache_kib: i64) -> Result<()> {
    connection.busy_timeout(BUSY)?;
    connection.pragma_update(None, "cache_size", -cache_kib)?;
    connection.set_prepared_statement_cache_capacity(128);
    Ok(())
}

/// Reads a column that this node wrote itself: anything else in it is damage.
pub(crate) fn damaged(column: usize, what: &'static str) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Blob, what.into())
}

#[cfg(test)]
mod tests;
