//! Reads the answer on a stream that the other side closed before it read our request.
//!
//! A busy peer says so and closes the stream, often before our request arrives. yamux then refuses
//! to write ("connection is closed", although only the stream is), but data that came before can
//! still be read.

use std::io;

/// Ignores the error of a request that could not be sent, so that the answer is read. If there is
/// no answer, reading it fails.
pub fn or_closed(sent: io::Result<()>) -> io::Result<()> {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, NotConnected, WriteZero};
    match sent {
        Err(error)
            if [
                BrokenPipe,
                ConnectionAborted,
                ConnectionReset,
                NotConnected,
                WriteZero,
            ]
            .contains(&error.kind()) =>
        {
            tracing::trace!(%error, "the stream was closed before the request");
            Ok(())
        }
        other => other,
    }
}

#[cfg(test)]
pub mod tests {
    use std::{
        pin::Pin,
        task::{Context, Poll},
    };

    use futures::{AsyncRead, AsyncWrite, io::Cursor};

    use super::*;

    /// A stream that the other side closed after it had sent something.
    pub struct Closed(pub Cursor<Vec<u8>>);

    impl AsyncRead for Closed {
        fn poll_read(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            bytes: &mut [u8],
        ) -> Poll<io::Result<usize>> {
            Pin::new(&mut self.0).poll_read(cx, bytes)
        }
    }

    impl AsyncWrite for Closed {
        fn poll_write(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            _: &[u8],
        ) -> Poll<io::Result<usize>> {
            Poll::Ready(Err(io::Error::new(
                io::ErrorKind::WriteZero,
                "1/2: connection is closed",
            )))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }
}
