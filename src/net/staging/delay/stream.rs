//! A stream whose bytes are stamped on arrival and read once they are due.
//!
//! A task reads ahead, so that the stamp is the time of arrival even if nothing reads, and wakes
//! the reader when data is due. It sleeps while nothing arrives and nothing falls due.

use std::{
    collections::VecDeque,
    future::Future,
    io::{self, Write},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker, ready},
    time::Duration,
};

use bytes::Bytes;
use futures::{AsyncRead, AsyncWrite};
use parking_lot::Mutex;
use tokio::time::{Instant, Sleep, sleep_until};

use super::StreamDelay;

/// Bytes per second that a stream can carry without being limited by its delay.
const BANDWIDTH: u64 = 64 << 20;
/// Time beyond the delay by which a reader may be late, for example while it writes to a disk.
const SLACK: Duration = Duration::from_millis(10);
/// Bytes read at once.
const PIECE: usize = 16 << 10;
/// Memory of a piece besides its bytes, so that a peer that sends single bytes cannot fill the
/// memory.
const OVERHEAD: usize = 64;

/// The delayed side. Writes pass through at once, because the other side delays them.
pub(super) struct Delayed<S>(Arc<Mutex<DelayLine<S>>>);

struct DelayLine<S> {
    /// `None` once the reader is gone.
    inner: Option<S>,
    /// In the order of arrival, which is also the order of due times.
    pieces: VecDeque<(Instant, Bytes)>,
    /// Bytes in `pieces`, including the overhead.
    held: usize,
    /// Reading stops at this many bytes, so that flow control makes the sender wait.
    most: usize,
    full: bool,
    /// The due time of the end of the stream, and its error, if any.
    end: Option<(Instant, Option<io::Error>)>,
    pace: StreamDelay,
    reader: Option<Waker>,
    pump: Option<Waker>,
}

/// Returns the bandwidth-delay product in bytes.
fn window(delay: Duration) -> usize {
    let bytes = (delay + SLACK)
        .as_millis()
        .saturating_mul(u128::from(BANDWIDTH))
        / 1_000;
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

impl<S: AsyncRead + Unpin> Delayed<S> {
    /// Creates the stream and the task that reads ahead for it. The task ends soon after the stream
    /// is dropped or has ended.
    pub(super) fn new(inner: S, pace: StreamDelay) -> (Self, Pump<S>) {
        let line = Arc::new(Mutex::new(DelayLine {
            inner: Some(inner),
            pieces: VecDeque::new(),
            held: 0,
            most: window(pace.most()),
            full: false,
            end: None,
            pace,
            reader: None,
            pump: None,
        }));
        (Self(line.clone()), Pump { line, timer: None })
    }
}

impl<S: AsyncRead + Unpin> DelayLine<S> {
    /// Reads the data that has arrived, as far as there is room. Returns false once the reader is
    /// gone.
    fn take_in(&mut self, cx: &mut Context<'_>) -> bool {
        match &mut self.pump {
            Some(pump) => pump.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
        let mut piece = [0; PIECE];
        loop {
            let Some(inner) = &mut self.inner else {
                return false;
            };
            self.full = self.held >= self.most;
            if self.full || self.end.is_some() {
                return true;
            }
            let Poll::Ready(came) = Pin::new(inner).poll_read(cx, &mut piece) else {
                return true;
            };
            let due = self.pace.due(Instant::now());
            match came.map(|n| piece.get(..n).unwrap_or_default()) {
                Ok([]) => self.end = Some((due, None)),
                Err(error) => self.end = Some((due, Some(error))),
                Ok(bytes) => {
                    self.held += bytes.len() + OVERHEAD;
                    self.pieces.push_back((due, Bytes::copy_from_slice(bytes)));
                }
            }
        }
    }

    /// Returns the earliest due time: that of the first bytes, else of the end.
    fn first(&self) -> Option<Instant> {
        self.pieces
            .front()
            .map(|(due, _)| *due)
            .or(self.end.as_ref().map(|(due, _)| *due))
    }

    /// Returns the first due time after `now`.
    fn next(&self, now: Instant) -> Option<Instant> {
        let passed = self.pieces.partition_point(|(due, _)| *due <= now);
        let end = self
            .end
            .as_ref()
            .map(|(due, _)| *due)
            .filter(|due| *due > now);
        self.pieces.get(passed).map(|(due, _)| *due).or(end)
    }

    fn read(&mut self, mut room: &mut [u8], now: Instant) -> io::Result<usize> {
        let asked = room.len();
        while !room.is_empty()
            && let Some((due, bytes)) = self.pieces.front_mut()
            && *due <= now
        {
            let read = room.write(bytes)?;
            let _ = bytes.split_to(read);
            self.held -= read;
            if bytes.is_empty() {
                self.pieces.pop_front();
                self.held -= OVERHEAD;
            }
        }
        if self.full && self.held <= self.most / 2 {
            self.full = false;
            wake(&mut self.pump);
        }
        Ok(asked - room.len())
    }
}

fn wake(waker: &mut Option<Waker>) {
    if let Some(waker) = waker.take() {
        waker.wake();
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Delayed<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let mut line = self.0.lock();
        let now = Instant::now();
        let read = line.read(buf, now)?;
        if read > 0 || buf.is_empty() {
            return Poll::Ready(Ok(read));
        }
        if line.pieces.is_empty()
            && let Some((due, error)) = &mut line.end
            && *due <= now
        {
            return Poll::Ready(error.take().map_or(Ok(0), Err));
        }
        // The task wakes at the next due time, and then wakes this reader.
        match &mut line.reader {
            Some(reader) => reader.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
        Poll::Pending
    }
}

impl<S: AsyncWrite + Unpin> Delayed<S> {
    fn with<T>(&self, act: impl FnOnce(Pin<&mut S>) -> Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        match &mut self.0.lock().inner {
            Some(inner) => act(Pin::new(inner)),
            None => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Delayed<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.with(|inner| inner.poll_write(cx, buf))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.with(|inner| inner.poll_write_vectored(cx, bufs))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.with(|inner| inner.poll_flush(cx))
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.with(|inner| inner.poll_close(cx))
    }
}

impl<S> Drop for Delayed<S> {
    fn drop(&mut self) {
        let mut line = self.0.lock();
        // Dropped here and not by the task, so that the other side sees the end without delay.
        line.inner = None;
        line.pieces = VecDeque::new();
        wake(&mut line.pump);
    }
}

/// Reads ahead, and wakes the reader when data is due.
pub(super) struct Pump<S> {
    line: Arc<Mutex<DelayLine<S>>>,
    /// Created on first use: most streams are short.
    timer: Option<Pin<Box<Sleep>>>,
}

impl<S: AsyncRead + Unpin> Future for Pump<S> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        loop {
            let next = {
                let mut line = this.line.lock();
                if !line.take_in(cx) {
                    return Poll::Ready(());
                }
                let now = Instant::now();
                if line.first().is_some_and(|due| due <= now) {
                    wake(&mut line.reader);
                }
                match line.next(now) {
                    Some(next) => next,
                    None if line.end.is_some() => return Poll::Ready(()),
                    None => return Poll::Pending,
                }
            };
            let timer = this
                .timer
                .get_or_insert_with(|| Box::pin(sleep_until(next)));
            if timer.deadline() != next {
                timer.as_mut().reset(next);
            }
            ready!(timer.as_mut().poll(cx));
        }
    }
}

#[cfg(test)]
mod tests;
