//! Keys, clicks and resizes, read on a thread of their own.
//!
//! crossterm's `EventStream` is not used: if the terminal goes away, crossterm 0.29 polls its end
//! of file without end, and the task that awaits the stream serves nothing else, not even signals.

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

/// Events buffered for the explorer; any more wait in the terminal.
const WAITING: usize = 64;
/// Interval at which the thread checks whether another program needs the terminal.
const LOOK: Duration = Duration::from_millis(50);

/// True while another program uses the terminal, or is about to.
static AWAY: AtomicBool = AtomicBool::new(false);
/// Held by the thread while it reads input.
static READING: Mutex<()> = Mutex::new(());

/// Starts the thread and returns its events. The stream ends when the terminal cannot be read.
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

/// A guard that stops the reading of input, so that another program gets what is typed.
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

/// Ignores poisoning: it only means that the thread panicked between two reads.
fn lock() -> MutexGuard<'static, ()> {
    READING.lock().unwrap_or_else(PoisonError::into_inner)
}
