//! The node's persistent state: one SQLite file, the key files beside it, and a lock that keeps a
//! second node out.
//!
//! All writes go through one thread that commits all queued jobs in one transaction
//! (`synchronous=FULL`), so an acknowledged write survives a power cut, and a hundred concurrent
//! writes cost one `fsync`. Writes that are worthless without a later write are committed without
//! an `fsync` of their own, and reach the disk before that later one. Reads use their own
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
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Instant,
};

use parking_lot::Mutex;
use rusqlite::{Connection, config::DbConfig};

use tokio::sync::Notify;

use crate::{
    RegistryError, Result, disk, domain::name::PublisherId, error::Trouble, metrics::Metrics,
};
use readers::Readers;
use writer::{Durability, Writer};

/// SQLite instructions between two checks of a deadline: some tens of microseconds.
const CHECKED_EVERY: i32 = 2_000;
/// Most KiB of pages that a connection caches: a batch of a thousand packages changes some 20 MiB
/// of a full catalogue, and a search reads little. A smaller database takes less.
const WRITER_CACHE: i64 = 48 * 1_024;
const READER_CACHE: i64 = 12 * 1_024;
/// Pages of the log after which they are copied into the database: several batches of a thousand
/// packages, 64 MiB.
const CHECKPOINT: i64 = 16_000;
/// Bytes to which the log file is truncated once its pages are in the database.
const LOG_LEFT: i64 = 256 * 1_024;

/// Records in one savepoint, at whose beginning the waiting words of the index are written. While
/// statements had savepoints of their own (see usage.rs), releasing these took longer the more
/// records one outer savepoint covered (`sqlite3BtreeSavepoint` of SQLite 3.54.1).
const TOGETHER: usize = 256;

/// Longest wait of a connection for another one's lock.
const BUSY: std::time::Duration = std::time::Duration::from_secs(5);

/// A node's database. Cheap to clone; the last clone closes it.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
    /// Reads are interrupted at this time.
    until: Option<Instant>,
}

struct Inner {
    path: PathBuf,
    readers: Readers,
    writer: Writer,
    /// Grows when the stored heads change.
    heads: AtomicU64,
    /// Signals that `heads` has grown.
    heads_changed: Notify,
    /// This node's own publisher, once it has a key.
    own: Mutex<Option<PublisherId>>,
    room: Mutex<Room>,
    /// True if something was evicted since the last check.
    full: AtomicBool,
    /// Pages read lately.
    pages: listed::Pages,
    metrics: Metrics,
    lock: lock::DirLock,
}

impl Store {
    /// Returns the path of the database file.
    pub fn path(&self) -> &Path {
        &self.inner.path
    }

    /// Opens the state in `data_dir`, and creates it if necessary. Commits are counted in
    /// `metrics`.
    ///
    /// # Errors
    /// [`RegistryError::DataDirInUse`] while another node uses it, [`RegistryError::NewerSchema`]
    /// and [`RegistryError::OlderSchema`] if another version wrote it, [`RegistryError::File`] if
    /// the directory cannot be used.
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
        // Keeps rollback data of savepoints in memory, but not the sorting while migrating an
        // earlier schema.
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

    /// Returns the same store with a deadline for its reads, because peers' requests are limited in
    /// time. An interrupted read fails with an error that [`is_interrupted`] recognises.
    pub fn until(&self, until: Instant) -> Self {
        Self {
            inner: self.inner.clone(),
            until: Some(until),
        }
    }

    /// Records for other programs that this process stays, and its control socket; or that it is
    /// about to end.
    pub fn stays(&self, stays: bool, socket: Option<&Path>) {
        self.inner.lock.write(stays, socket);
    }

    /// Sets the publisher of this node's packages.
    pub fn set_own_publisher(&self, publisher: PublisherId) {
        *self.inner.own.lock() = Some(publisher);
    }

    pub(crate) fn own_publisher(&self) -> Option<PublisherId> {
        *self.inner.own.lock()
    }

    /// Runs `job` in the writer's next transaction, and returns once it is on the disk.
    pub(crate) async fn write<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T> {
        self.inner.writer.run(Durability::Synced, job).await
    }

    /// As [`Self::write`], but returns before it is on the disk. For writes whose loss in a power
    /// cut does not matter, or that a later write refers to, which cannot survive without them.
    pub(crate) async fn write_unsynced<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T> {
        self.inner.writer.run(Durability::Logged, job).await
    }

    /// Writes many records in chunks and in as few transactions as they fit into. Returns the
    /// result of each chunk. Chunks before one that fails are kept.
    pub(crate) async fn write_each<R: Send + 'static, T: Send + 'static>(
        &self,
        records: Vec<R>,
        job: impl Fn(&Connection, Vec<R>) -> rusqlite::Result<T> + Clone + Send + 'static,
    ) -> Result<Vec<T>> {
        self.write_parts(Durability::Synced, records, job).await
    }

    /// As [`Self::write_each`], but returns before it is on the disk, as [`Self::write_unsynced`].
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

    /// Returns a number that changes whenever anything in the store may have changed.
    pub fn revision(&self) -> u64 {
        self.inner.writer.commits()
    }

    /// Returns a number that changes whenever the stored heads may have changed.
    pub fn heads_version(&self) -> u64 {
        self.inner.heads.load(Ordering::Acquire)
    }

    /// Waits until the stored heads may have changed since the last call. For a single waiter.
    pub async fn wait_for_heads(&self) {
        self.inner.heads_changed.notified().await;
    }

    fn heads_changed(&self) {
        self.inner.heads.fetch_add(1, Ordering::Release);
        self.inner.heads_changed.notify_one();
    }

    /// Returns the 95th percentile of the latest commit times; `None` before the first commit.
    pub fn commit_p95(&self) -> Option<std::time::Duration> {
        self.inner.writer.p95()
    }

    /// Runs `query` on a read connection in the calling thread: point reads take tens of
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

    /// As [`Self::read`], for a query of several statements, which then see the same state and lock
    /// the file once.
    pub(crate) fn read_together<T>(
        &self,
        query: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T> {
        self.read(|connection| {
            // Nothing is written, so committing only ends the transaction.
            let together = connection.unchecked_transaction()?;
            let answer = query(&together)?;
            together.commit()?;
            Ok(answer)
        })
    }
}

/// Returns the path of a data directory's database.
fn database_path(data_dir: &Path) -> PathBuf {
    data_dir.join("swarmdex.db")
}

/// Returns the error of an interrupted read.
fn interrupted() -> rusqlite::Error {
    rusqlite::Error::SqliteFailure(
        rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_INTERRUPT),
        None,
    )
}

/// Returns true if a read was interrupted at its deadline.
pub fn is_interrupted(error: &RegistryError) -> bool {
    matches!(
        error,
        RegistryError::Database {
            trouble: Trouble::Interrupted,
            ..
        }
    )
}

/// Creates the directory readable by its owner only, and makes an existing one so, too: it contains
/// keys and a person's searches and trust.
pub(crate) fn make_private(dir: &Path) -> std::io::Result<()> {
    disk::private_dir(dir)?;
    disk::tighten_ours(dir)
}

/// Creates the database file before SQLite does, readable by its owner only: the log and its index
/// get the mode of the database. Existing files are restricted as well.
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
    // Without it, SQLite may plan a kept statement anew for each value that is bound, which took
    // more than a third of the time of storing a record. The price is that a prefix in `LIKE ?` or
    // `GLOB ?` would use no index: there is none.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    Ok(())
}

/// Returns the error for a column with a value that this node cannot have written.
pub(crate) fn damaged(column: usize, what: &'static str) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Blob, what.into())
}

#[cfg(test)]
mod tests;
