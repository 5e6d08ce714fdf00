//! The pool of read connections: opened on demand, up to a limit.

use std::{path::PathBuf, time::Instant};

use parking_lot::{Condvar, Mutex};
use rusqlite::{Connection, OpenFlags};

use super::{READER_CACHE, interrupted, tune};
use crate::Result;

/// Connections per processor, because requests of peers, listings for this node's person, and
/// threads that serve the network all read at once.
const EACH: usize = 3;

/// Returns the number of processors, at least two.
pub fn processors() -> usize {
    std::thread::available_parallelism().map_or(2, |count| count.get().max(2))
}

/// The read connections of a store. A caller that finds none free waits for one, so a task must not
/// take a second one.
pub struct Readers {
    path: PathBuf,
    pool: Mutex<IdleReaders>,
    given_back: Condvar,
    most: usize,
    /// Most connections kept open while idle.
    most_idle: usize,
}

#[derive(Default)]
struct IdleReaders {
    idle: Vec<Connection>,
    /// Number of connections, idle and in use.
    open: usize,
}

/// A connection in use. When dropped it is closed, unless it is kept.
pub struct Reader<'a> {
    readers: &'a Readers,
    connection: Option<Connection>,
    /// True once the connection is back in the pool.
    is_kept: bool,
}

impl Readers {
    pub fn new(path: PathBuf) -> Self {
        Self {
            path,
            pool: Mutex::default(),
            given_back: Condvar::new(),
            most: EACH * processors(),
            most_idle: processors(),
        }
    }

    /// Returns the most connections that may be open at once.
    #[cfg(test)]
    pub fn most(&self) -> usize {
        self.most
    }

    /// Returns the number of open connections.
    #[cfg(test)]
    pub fn open(&self) -> usize {
        self.pool.lock().open
    }

    /// Waits for a connection until this time.
    ///
    /// # Errors
    /// Fails after that time, or if the file cannot be opened.
    pub fn take(&self, until: Option<Instant>) -> Result<Reader<'_>> {
        let mut pool = self.pool.lock();
        while pool.idle.is_empty() && pool.open >= self.most {
            match until {
                None => self.given_back.wait(&mut pool),
                Some(until) if until <= Instant::now() => return Err(interrupted().into()),
                Some(until) => drop(self.given_back.wait_until(&mut pool, until)),
            }
        }
        let idle = pool.idle.pop();
        pool.open += usize::from(idle.is_none());
        drop(pool);
        let mut reader = Reader {
            readers: self,
            connection: idle,
            is_kept: false,
        };
        // If opening fails, dropping the reader frees its slot.
        if reader.connection.is_none() {
            reader.connection = Some(self.connect()?);
        }
        Ok(reader)
    }

    fn connect(&self) -> Result<Connection> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&self.path, flags)?;
        tune(&connection, READER_CACHE)?;
        Ok(connection)
    }
}

impl Reader<'_> {
    /// Returns the connection.
    pub fn connection(&mut self) -> rusqlite::Result<&mut Connection> {
        self.connection.as_mut().ok_or_else(interrupted)
    }

    /// Returns the connection to the pool.
    pub fn keep(mut self) {
        let mut pool = self.readers.pool.lock();
        if pool.idle.len() < self.readers.most_idle
            && let Some(connection) = self.connection.take()
        {
            pool.idle.push(connection);
            self.is_kept = true;
        }
    }
}

impl Drop for Reader<'_> {
    fn drop(&mut self) {
        // Close it before the slot is free.
        drop(self.connection.take());
        if !self.is_kept {
            self.readers.pool.lock().open -= 1;
        }
        self.readers.given_back.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{
            Barrier,
            atomic::{AtomicUsize, Ordering},
        },
        time::Duration,
    };

    use super::*;
    use crate::{
        metrics::Metrics,
        store::{Store, is_interrupted},
    };

    #[test]
    fn many_questions_at_once_open_so_many_connections_and_no_more() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), Metrics::default()).unwrap();
        let most = store.inner.readers.most();
        let (asking, reading) = (4 * most, AtomicUsize::new(0));
        let (begin, highest) = (Barrier::new(asking), AtomicUsize::new(0));
        std::thread::scope(|threads| {
            for _ in 0..asking {
                threads.spawn(|| {
                    begin.wait();
                    let answer = store.read(|db| {
                        let now = reading.fetch_add(1, Ordering::SeqCst) + 1;
                        highest.fetch_max(now, Ordering::SeqCst);
                        // A query that runs long enough for the readers to overlap.
                        let sum = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n
                                   WHERE x < 20000) SELECT sum(x) FROM n";
                        let answer = db.query_row(sum, [], |row| row.get::<_, i64>(0));
                        reading.fetch_sub(1, Ordering::SeqCst);
                        answer
                    });
                    assert_eq!(answer.unwrap(), 200_010_000);
                    assert!(store.inner.readers.open() <= most);
                });
            }
        });
        assert!(highest.into_inner() <= most);
        assert!(
            store.inner.readers.open() <= processors(),
            "the rest are closed"
        );
    }

    #[test]
    fn a_read_that_fails_or_panics_gives_its_place_back() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), Metrics::default()).unwrap();
        for _ in 0..store.inner.readers.most() * 2 {
            let failed = store.read(|db| db.query_row("SELECT nothing", [], |_| Ok(())));
            assert!(failed.is_err());
            let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                let _ = store.read(|_| -> rusqlite::Result<()> { panic!("within a read") });
            }));
            assert!(panicked.is_err());
        }
        assert_eq!(store.inner.readers.open(), 0);
        assert!(store.package_count().is_ok());
    }

    #[test]
    fn whoever_has_little_time_waits_no_longer_for_a_connection() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), Metrics::default()).unwrap();
        let readers = &store.inner.readers;
        let all: Vec<Reader<'_>> = (0..readers.most())
            .map(|_| readers.take(None).unwrap())
            .collect();
        let hasty = store.until(Instant::now() + Duration::from_millis(10));
        assert!(is_interrupted(&hasty.package_count().unwrap_err()));
        std::thread::scope(|threads| {
            let waits = threads.spawn(|| store.package_count());
            all.into_iter().for_each(Reader::keep);
            assert_eq!(waits.join().unwrap().unwrap(), 0);
        });
    }
}
