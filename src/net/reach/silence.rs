//! Ends TCP connections on which nothing arrives any more. The system reports a closed connection,
//! but not a pulled cable or a machine that lost its power: it retransmits silently for a quarter
//! of an hour, and libp2p reports failed pings without closing anything. QUIC has an idle timeout
//! of its own.
//!
//! Each side pings the other, so a live peer sends bytes at least every few seconds. On a slow link
//! that is full, these are the bytes that fill it, or the acknowledgements that let our own writes
//! continue.

use std::{
    future::Future,
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use futures::{AsyncRead, AsyncWrite};
use libp2p::swarm::ConnectionError;
use tokio::time::{Instant, Sleep, sleep};

/// A connection is dead after this many checks, one in each ping interval, without any data. Three
/// pings have been sent by then, and the last one has had time to be answered.
pub const MOST: u32 = 4;

/// A stream that ends with [`io::ErrorKind::TimedOut`] once nothing arrives any more.
///
/// It counts checks and not the time since the last data: a process that was suspended checks once
/// when it continues, and finds the data that arrived meanwhile.
pub struct Watched<S> {
    inner: S,
    every: Duration,
    look: Pin<Box<Sleep>>,
    /// True if data arrived since the last check.
    moved: bool,
    /// Number of checks in a row without data.
    silent: u32,
    /// True if a write waits for the other side to acknowledge earlier data.
    held_up: bool,
}

impl<S> Watched<S> {
    /// Checks the stream `every` so often.
    pub fn new(inner: S, every: Duration) -> Self {
        Self {
            inner,
            every,
            look: Box::pin(sleep(every)),
            moved: false,
            silent: 0,
            held_up: false,
        }
    }

    /// Stays pending, but fails once the peer has been silent for too long.
    fn wait<T>(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        while self.look.as_mut().poll(cx).is_ready() {
            self.silent = if std::mem::take(&mut self.moved) {
                0
            } else {
                self.silent + 1
            };
            if self.silent >= MOST {
                let seconds = (self.every * MOST).as_secs();
                let text = format!("the peer sent nothing for {seconds} s");
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, text)));
            }
            self.look.as_mut().reset(Instant::now() + self.every);
        }
        Poll::Pending
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let read = Pin::new(&mut this.inner).poll_read(cx, bytes);
        match read {
            Poll::Pending => this.wait(cx),
            done => {
                this.moved |= matches!(done, Poll::Ready(Ok(1..)));
                done
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.inner).poll_write(cx, bytes);
        match written {
            Poll::Pending => {
                this.held_up = true;
                this.wait(cx)
            }
            done => {
                // There is room again because the other side acknowledged something.
                this.moved |= std::mem::take(&mut this.held_up);
                done
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_flush(cx)
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_close(cx)
    }
}

/// Returns true if a connection ended because nothing arrived any more. libp2p wraps the
/// transport's error.
pub fn is_dead(error: &ConnectionError) -> bool {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(this) = cause {
        let io = this.downcast_ref::<io::Error>();
        if io.is_some_and(|io| io.kind() == io::ErrorKind::TimedOut) {
            return true;
        }
        // An `io::Error` that wraps another reports that one's source as its own.
        cause = match io.and_then(io::Error::get_ref) {
            Some(inner) => Some(inner),
            None => this.source(),
        };
    }
    // QUIC's own timeout.
    error.to_string().contains("timed out")
}

#[cfg(test)]
mod tests {
    use futures::{AsyncReadExt, AsyncWriteExt, ready};
    use tokio::io::{DuplexStream, ReadBuf};

    use super::*;

    /// A pipe with the traits that libp2p uses.
    struct Pipe(DuplexStream);

    impl AsyncRead for Pipe {
        fn poll_read(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            bytes: &mut [u8],
        ) -> Poll<io::Result<usize>> {
            let mut bytes = ReadBuf::new(bytes);
            ready!(tokio::io::AsyncRead::poll_read(
                Pin::new(&mut self.0),
                cx,
                &mut bytes
            ))?;
            Poll::Ready(Ok(bytes.filled().len()))
        }
    }

    impl AsyncWrite for Pipe {
        fn poll_write(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            tokio::io::AsyncWrite::poll_write(Pin::new(&mut self.0), cx, bytes)
        }

        fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            tokio::io::AsyncWrite::poll_flush(Pin::new(&mut self.0), cx)
        }

        fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            tokio::io::AsyncWrite::poll_shutdown(Pin::new(&mut self.0), cx)
        }
    }

    const EVERY: Duration = Duration::from_secs(5);

    fn pair(room: usize) -> (Watched<Pipe>, Pipe) {
        let (near, far) = tokio::io::duplex(room);
        (Watched::new(Pipe(near), EVERY), Pipe(far))
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_on_which_nothing_comes_ends() {
        let (mut near, mut far) = pair(64);
        let mut bytes = [0; 8];
        far.write_all(b"hello").await.unwrap();
        assert_eq!(near.read(&mut bytes).await.unwrap(), 5);
        let begun = Instant::now();
        assert_eq!(
            near.read(&mut bytes).await.unwrap_err().kind(),
            io::ErrorKind::TimedOut
        );
        let took = begun.elapsed();
        assert!(
            took >= EVERY * MOST && took <= EVERY * (MOST + 1),
            "{took:?}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_write_that_nobody_takes_ends_too() {
        let (mut near, _far) = pair(64);
        assert_eq!(
            near.write_all(&[0; 65]).await.unwrap_err().kind(),
            io::ErrorKind::TimedOut
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_byte_now_and_then_is_enough_in_either_direction() {
        let (mut near, mut far) = pair(64);
        let slowly = async {
            for _ in 0..50 {
                tokio::time::sleep(EVERY * (MOST - 1)).await;
                far.write_all(&[0]).await.unwrap();
            }
        };
        let mut bytes = [0; 50];
        let (_, read) = tokio::join!(slowly, near.read_exact(&mut bytes));
        read.unwrap();
        let taken = async {
            for _ in 0..50 {
                tokio::time::sleep(EVERY * (MOST - 1)).await;
                far.read_exact(&mut [0; 64]).await.unwrap();
            }
        };
        let (_, written) = tokio::join!(taken, near.write_all(&[0; 64 * 50]));
        written.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_was_stopped_finds_what_came_meanwhile() {
        let (mut near, mut far) = pair(64);
        let mut bytes = [0; 8];
        // Polled once, so that the timer runs, and then not for an hour.
        assert!(futures::poll!(near.read(&mut bytes)).is_pending());
        tokio::time::advance(Duration::from_secs(3_600)).await;
        assert!(
            futures::poll!(near.read(&mut bytes)).is_pending(),
            "one look, however late"
        );
        far.write_all(b"hello").await.unwrap();
        assert_eq!(near.read(&mut bytes).await.unwrap(), 5);
    }
}
