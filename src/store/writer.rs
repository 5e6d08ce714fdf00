//! The only thread that writes: jobs that arrive during one commit go into the next one together.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use rusqlite::Connection;
use tokio::{
    runtime::Runtime,
    sync::{mpsc, oneshot},
};

use super::trouble::trouble;
use crate::{
    RegistryError, Result, domain::percentile::percentiles, error::Trouble, metrics::Metrics,
};

/// Most jobs in one transaction.
const GROUP: usize = 1_000;
/// Most waiting jobs; further writers wait for a place.
const QUEUE: usize = 4_096;

/// Does its part of the transaction, if there is one. Returns the reply to send once the commit is
/// known, and the reason if its part failed.
type Work = Box<dyn FnOnce(Option<&Connection>) -> (Reply, Option<CommitFailure>) + Send>;
type Reply = Box<dyn FnOnce(std::result::Result<(), CommitFailure>)>;

/// The point at which a write is acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Durability {
    /// Once it is on the disk.
    Synced,
    /// Once it is in the log. It survives a crash of the process; a power cut may take it until the
    /// next synced write, but only together with all writes after it.
    Logged,
}

struct WriteJob {
    work: Work,
    durability: Durability,
}

/// Sent to all callers whose part of a transaction was lost.
#[derive(Clone)]
struct CommitFailure {
    trouble: Trouble,
    said: String,
}

impl From<&rusqlite::Error> for CommitFailure {
    fn from(error: &rusqlite::Error) -> Self {
        Self {
            trouble: trouble(error),
            said: error.to_string(),
        }
    }
}

impl From<CommitFailure> for RegistryError {
    fn from(CommitFailure { trouble, said }: CommitFailure) -> Self {
        Self::Commit { trouble, said }
    }
}

/// After this long without writes, the log is copied into the database and emptied, and the
/// writer's memory is released, so that a burst leaves only its rows behind.
const IDLE: Duration = Duration::from_secs(1);
/// A log smaller than this, in bytes, is left as it is.
const SMALL_LOG: u64 = 64 * 1_024;

/// Number of commit times remembered.
const TIMES: usize = 128;

pub(super) struct Writer {
    jobs: mpsc::Sender<WriteJob>,
    /// Times from asking for a commit to its end.
    times: Mutex<VecDeque<Duration>>,
    /// Number of committed transactions.
    commits: Arc<AtomicU64>,
    metrics: Metrics,
}

impl Writer {
    pub(super) fn start(connection: Connection, metrics: Metrics) -> Result<Self> {
        let (jobs, queue) = mpsc::channel(QUEUE);
        let commits = Arc::new(AtomicU64::new(0));
        let counted = commits.clone();
        thread::Builder::new()
            .name("store".to_owned())
            .spawn(move || {
                // For its clock: a thread can wait for the queue, but not for the queue or a
                // second.
                match tokio::runtime::Builder::new_current_thread()
                    .enable_time()
                    .build()
                {
                    Ok(clock) => serve(&connection, queue, &clock, &counted),
                    Err(error) => tracing::error!(%error, "the store's writer cannot start"),
                }
            })
            .map_err(|error| RegistryError::Internal {
                what: "starting the store's writer",
                why: error.to_string(),
            })?;
        Ok(Self {
            jobs,
            times: Mutex::default(),
            commits,
            metrics,
        })
    }

    pub(super) async fn run<T: Send + 'static>(
        &self,
        durability: Durability,
        job: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T> {
        let asked = Instant::now();
        let (reply, answer) = oneshot::channel();
        let work: Work = Box::new(move |connection| {
            let outcome = connection.map(|connection| in_savepoint(connection, job));
            let failure = outcome
                .as_ref()
                .and_then(|outcome| outcome.as_ref().err().map(CommitFailure::from));
            let reply = move |committed: std::result::Result<(), CommitFailure>| {
                let outcome = match (committed, outcome) {
                    (Ok(()), Some(outcome)) => outcome.map_err(RegistryError::from),
                    // Without a transaction there was no commit.
                    (Ok(()), None) => Err(RegistryError::Closed),
                    (Err(failure), _) => Err(failure.into()),
                };
                // The caller has gone, but the write is done all the same.
                drop(reply.send(outcome));
            };
            (Box::new(reply) as Reply, failure)
        });
        self.jobs
            .send(WriteJob { work, durability })
            .await
            .map_err(|_| RegistryError::Closed)?;
        let outcome = answer.await.map_err(|_| RegistryError::Closed)?;
        // Only synced writes measure the disk.
        if durability == Durability::Logged {
            return outcome;
        }
        let took = asked.elapsed();
        self.metrics.committed(took);
        let mut times = self.times.lock();
        if times.len() >= TIMES {
            times.pop_front();
        }
        times.push_back(took);
        outcome
    }

    /// Returns the number of transactions committed since the start.
    pub(super) fn commits(&self) -> u64 {
        self.commits.load(Ordering::Acquire)
    }

    /// Returns the 95th percentile of the latest commit times.
    pub(super) fn p95(&self) -> Option<Duration> {
        let times = self.times.lock();
        let seconds = times.iter().map(Duration::as_secs_f64).collect();
        percentiles(seconds).map(|(_, p95)| Duration::from_secs_f64(p95))
    }
}

/// Runs the job in a savepoint, so that a failure undoes its own changes only.
fn in_savepoint<T>(
    connection: &Connection,
    job: impl FnOnce(&Connection) -> rusqlite::Result<T>,
) -> rusqlite::Result<T> {
    connection.execute_batch("SAVEPOINT job")?;
    let outcome = job(connection);
    // A full disk may have ended the whole transaction, and the savepoint with it.
    if outcome.is_ok() || !connection.is_autocommit() {
        connection.execute_batch(if outcome.is_ok() {
            "RELEASE job"
        } else {
            "ROLLBACK TO job; RELEASE job"
        })?;
    }
    outcome
}

/// Sets whether the next commits are synced or only logged. Must be called between transactions.
fn set_durability(connection: &Connection, durability: Durability) -> rusqlite::Result<()> {
    let synchronous = match durability {
        Durability::Synced => "FULL",
        Durability::Logged => "NORMAL",
    };
    connection.pragma_update(None, "synchronous", synchronous)
}

/// Returns the strictest durability that the jobs of a transaction want.
fn strictest(group: &[WriteJob]) -> Durability {
    match group.iter().all(|job| job.durability == Durability::Logged) {
        true => Durability::Logged,
        false => Durability::Synced,
    }
}

fn serve(
    connection: &Connection,
    mut queue: mpsc::Receiver<WriteJob>,
    clock: &Runtime,
    commits: &AtomicU64,
) {
    let mut group = Vec::new();
    // The durability with which the connection was opened.
    let mut durability = Durability::Synced;
    let mut written = false;
    loop {
        let came = clock.block_on(async {
            let more = queue.recv_many(&mut group, GROUP);
            if written {
                tokio::time::timeout(IDLE, more).await.ok()
            } else {
                Some(more.await)
            }
        });
        match came {
            Some(0) => return,
            Some(_) => written = true,
            None => {
                written = !empty_log(connection);
                forget_pages(connection);
                continue;
            }
        }
        let wanted = strictest(&group);
        let begun = match wanted == durability {
            true => Ok(()),
            false => set_durability(connection, wanted),
        };
        if begun.is_ok() {
            durability = wanted;
        }
        let mut ended = begun
            .and_then(|()| connection.execute_batch("BEGIN IMMEDIATE"))
            .err()
            .as_ref()
            .map(CommitFailure::from);
        let mut replies: Vec<Reply> = Vec::with_capacity(group.len());
        for job in group.drain(..) {
            // Without a transaction, each job would commit its own part and still be told that it
            // failed.
            let (reply, failure) = (job.work)(ended.is_none().then_some(connection));
            replies.push(reply);
            if ended.is_none() && connection.is_autocommit() {
                ended = failure;
            }
        }
        let committed = match ended {
            Some(failure) => Err(failure),
            None => connection
                .execute_batch("COMMIT")
                .map_err(|error| CommitFailure::from(&error)),
        };
        if let Err(CommitFailure { said, .. }) = &committed {
            tracing::error!(error = said, jobs = replies.len(), "commit failed");
            if !connection.is_autocommit() {
                drop(connection.execute_batch("ROLLBACK"));
            }
        }
        commits.fetch_add(1, Ordering::Release);
        for reply in replies {
            reply(committed.clone());
        }
    }
}

/// Releases the pages that the writer caches, which after a burst of writes are the whole database.
fn forget_pages(connection: &Connection) {
    if let Err(error) = connection.execute_batch("PRAGMA shrink_memory") {
        tracing::warn!(%error, "the store's writer could not release its memory");
    }
}

/// Empties the log file, unless it is small. Returns false while a reader needs it.
fn empty_log(connection: &Connection) -> bool {
    let log = connection.path().map(|path| format!("{path}-wal"));
    let size = log
        .and_then(|log| std::fs::metadata(log).ok())
        .map_or(0, |log| log.len());
    if size < SMALL_LOG {
        return true;
    }
    let checkpoint = || {
        connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| {
            row.get::<_, i64>(0)
        })
    };
    // Do not make writers wait until a reader has finished.
    let emptied = connection
        .busy_timeout(Duration::ZERO)
        .and_then(|()| checkpoint());
    let restored = connection.busy_timeout(super::BUSY);
    match restored.and(emptied) {
        Ok(busy) => busy == 0,
        Err(error) => {
            tracing::warn!(%error, size, "the store's log could not be emptied");
            true
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_write_is_synced_unless_nobody_needs_that() {
        let dir = tempfile::tempdir().unwrap();
        let connection = Connection::open(dir.path().join("a.db")).unwrap();
        connection
            .pragma_update(None, "journal_mode", "WAL")
            .unwrap();
        connection
            .pragma_update(None, "synchronous", "FULL")
            .unwrap();
        let writer = Writer::start(connection, Metrics::default()).unwrap();
        let level = async |durability| {
            let read = |db: &Connection| db.query_row("PRAGMA synchronous", [], |row| row.get(0));
            writer.run::<i64>(durability, read).await.unwrap()
        };
        let (full, normal) = (2, 1);
        assert_eq!(level(Durability::Synced).await, full);
        assert_eq!(level(Durability::Logged).await, normal);
        assert_eq!(level(Durability::Logged).await, normal);
        assert_eq!(level(Durability::Synced).await, full);
        assert_eq!(writer.commits(), 4);
        assert!(
            writer.p95().is_some() && writer.times.lock().len() == 2,
            "the time of those that wait for the disk is what Health shows"
        );
    }

    #[test]
    fn one_that_must_be_synced_has_the_whole_transaction_synced() {
        let job = |durability| WriteJob {
            work: Box::new(|_| (Box::new(|_| {}) as Reply, None)),
            durability,
        };
        let (synced, logged) = (Durability::Synced, Durability::Logged);
        assert_eq!(strictest(&[job(logged), job(logged)]), logged);
        assert_eq!(strictest(&[job(logged), job(synced)]), synced);
    }
}
