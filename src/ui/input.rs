//! Keys, clicks and sizes, read by a thread of their own.
//!
//! Not by crossterm's `EventStream`: when the terminal goes away, crossterm 0.29 reads the end of
//! it for ever, and whoever polls it then serves nothing else any more, signals least of all.

use std::{
    io,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use crossterm::event::{self, Event};
use futures::{Stream, stream};
use tokio::sync::mpsc;

/// Events that wait to be served; beyond it they wait in the terminal.
const WAITING: usize = 64;
/// The thread looks this often whether another program wants the terminal.
const LOOK: Duration = Duration::from_millis(50);

/// Another program has the terminal, or is about to.
static AWAY: AtomicBool = AtomicBool::new(false);
/// Held while input is read.
static READING: Mutex<()> = Mutex::new(());

/// Everything that is put in. It ends when the terminal cannot be read.
pub fn events() -> impl Stream<Item = io::Result<Event>> + Unpin {
    let (sender, receiver) = mpsc::channel(WAITING);
    std::thread::spawn(move || {
        while !sender.is_closed() {
            if AWAY.load(Ordering::SeqCst) {
                std::thread::sleep(LOOK);
                continue;
            }
            let reading = lock();
            let next = match event::poll(LOOK) {
                Ok(true) => Some(event::read()),
                Ok(false) => None,
                Err(error) => Some(Err(error)),
            };
            drop(reading);
            if let Some(next) = next {
                let failed = next.is_err();
                if sender.blocking_send(next).is_err() || failed {
                    return;
                }
            }
        }
    });
    Box::pin(stream::unfold(receiver, async |mut receiver| {
        Some((receiver.recv().await?, receiver))
    }))
}

/// Nothing is read while this is held: what is typed is another program's.
pub struct Away {
    _reading: MutexGuard<'static, ()>,
}

impl Away {
    pub fn begin() -> Self {
        AWAY.store(true, Ordering::SeqCst);
        Self { _reading: lock() }
    }
}

impl Drop for Away {
    fn drop(&mut self) {
        AWAY.store(false, Ordering::SeqCst);
    }
}

/// A poisoned lock only means that the thread panicked between two reads.
fn lock() -> MutexGuard<'static, ()> {
    READING.lock().unwrap_or_else(PoisonError::into_inner)
}
