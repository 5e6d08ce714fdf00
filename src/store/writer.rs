//! The one thread that writes: whatever queued up during the last commit goes into the next one.

use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use rusqlite::Connection;
use tokio::{
    runtime::Runtime,
    sync::{mpsc, oneshot},
};

use crate::{
    RegistryError, Result, domain::percentile::percentiles, error::Trouble, metrics::Metrics,
};

/// Most jobs in one transaction.
const GROUP: usize = 1_000;
/// Jobs waiting; further writers wait for room.
const QUEUE: usize = 4_096;

/// Does its part of the transaction, if there is one, and returns what to tell its caller once the
/// commit is known, and why its part failed.
type Job = Box<dyn FnOnce(Option<&Connection>) -> (Reply, Option<Failure>) + Send>;
type Reply = Box<dyn FnOnce(std::result::Result<(), Failure>)>;

/// Told to everybody whose part of a transaction is lost with it.
#[derive(Clone)]
struct Failure {
    trouble: Trouble,
    said: String,
}

impl From<&rusqlite::Error> for Failure {
    fn from(error: &rusqlite::Error) -> Self {
        Self {
            trouble: Trouble::of(error),
            said: error.to_string(),
        }
    }
}

impl From<Failure> for RegistryError {
    fn from(Failure { trouble, said }: Failure) -> Self {
        Self::Commit { trouble, said }
    }
}

/// With nothing to write for so long, the log is brought into the database and its file emptied:
/// what is left of a burst is no larger than what it left in the tables.
const IDLE: Duration = Duration::from_secs(1);
/// A log that is smaller than this is left as it is.
const SMALL_LOG: u64 = 64 * 1_024;

/// Commits whose time is remembered.
const TIMES: usize = 128;

pub(super) struct Writer {
    jobs: mpsc::Sender<Job>,
    /// From asking for a commit to having it.
    times: Mutex<VecDeque<Duration>>,
    metrics: Metrics,
}

impl Writer {
    pub(super) fn start(connection: Connection, metrics: Metrics) -> Result<Self> {
        let (jobs, queue) = mpsc::channel(QUEUE);
        thread::Builder::new()
            .name("store".to_owned())
            .spawn(move || {
                // For its clock: a thread can wait for the queue, but not for the queue or a
                // second.
                match tokio::runtime::Builder::new_current_thread()
                    .enable_time()
                    .build()
                {
                    Ok(clock) => serve(&connection, queue, &clock),
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
            metrics,
        })
    }

    pub(super) async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T> {
        let asked = Instant::now();
        let (reply, answer) = oneshot::channel();
        let job: Job = Box::new(move |connection| {
            let outcome = connection.map(|connection| in_savepoint(connection, job));
            let failure = outcome
                .as_ref()
                .and_then(|outcome| outcome.as_ref().err().map(Failure::from));
            let reply = move |committed: std::result::Result<(), Failure>| {
                let outcome = match (committed, outcome) {
                    (Ok(()), Some(outcome)) => outcome.map_err(RegistryError::from),
                    // There is no commit without a transaction.
                    (Ok(()), None) => Err(RegistryError::Closed),
                    (Err(failure), _) => Err(failure.into()),
                };
                // Nobody listens any more: what was asked for is done all the same.
                drop(reply.send(outcome));
            };
            (Box::new(reply) as Reply, failure)
        });
        self.jobs
            .send(job)
            .await
            .map_err(|_| RegistryError::Closed)?;
        let outcome = answer.await.map_err(|_| RegistryError::Closed)?;
        let took = asked.elapsed();
        self.metrics.committed(took);
        let mut times = self.times.lock().unwrap_or_else(PoisonError::into_inner);
        if times.len() >= TIMES {
            times.pop_front();
        }
        times.push_back(took);
        outcome
    }

    /// The 95th percentile of the last commits.
    pub(super) fn p95(&self) -> Option<Duration> {
        let times = self.times.lock().unwrap_or_else(PoisonError::into_inner);
        let seconds = times.iter().map(Duration::as_secs_f64).collect();
        percentiles(seconds).map(|(_, p95)| Duration::from_secs_f64(p95))
    }
}

/// Runs the job so that its failure undoes its own changes and nobody else's.
fn in_savepoint<T>(
    connection: &Connection,
    job: impl FnOnce(&Connection) -> rusqlite::Result<T>,
) -> rusqlite::Result<T> {
    connection.execute_batch("SAVEPOINT job")?;
    let outcome = job(connection);
    // A disk that is full may have ended the whole transaction, and the savepoint with it.
    if outcome.is_ok() || !connection.is_autocommit() {
        connection.execute_batch(if outcome.is_ok() {
            "RELEASE job"
        } else {
            "ROLLBACK TO job; RELEASE job"
        })?;
    }
    outcome
}

fn serve(connection: &Connection, mut queue: mpsc::Receiver<Job>, clock: &Runtime) {
    let mut group = Vec::new();
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
                continue;
            }
        }
        let mut ended = connection
            .execute_batch("BEGIN IMMEDIATE")
            .err()
            .as_ref()
            .map(Failure::from);
        let mut replies: Vec<Reply> = Vec::with_capacity(group.len());
        for job in group.drain(..) {
            // Without a transaction each would commit its own part, and be told that it failed.
            let (reply, failure) = job(ended.is_none().then_some(connection));
            replies.push(reply);
            if ended.is_none() && connection.is_autocommit() {
                ended = failure;
            }
        }
        let committed = match ended {
            Some(failure) => Err(failure),
            None => connection
                .execute_batch("COMMIT")
                .map_err(|error| Failure::from(&error)),
        };
        if let Err(Failure { said, .. }) = &committed {
            tracing::error!(error = said, jobs = replies.len(), "commit failed");
            if !connection.is_autocommit() {
                drop(connection.execute_batch("ROLLBACK"));
            }
        }
        for reply in replies {
            reply(committed.clone());
        }
    }
}

/// Empties the log's file, unless it is small. False while a reader needs it.
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
    // Whoever wants to write does not wait until a reader has done.
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
