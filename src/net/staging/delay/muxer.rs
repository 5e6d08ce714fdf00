//! A connection whose streams and end are delayed.

use std::{
    future::Future,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use libp2p::core::muxing::{StreamMuxer, StreamMuxerBox, StreamMuxerEvent, SubstreamBox};
use tokio::time::{Sleep, sleep};

use super::{StreamDelay, stream::Delayed};

pub(super) struct Muxer {
    inner: StreamMuxerBox,
    pace: StreamDelay,
    /// The error that ended the connection, and the time left until it is reported: data sent
    /// before it is still on its way.
    broken: Option<(io::Error, Pin<Box<Sleep>>)>,
}

impl Muxer {
    pub(super) fn new(inner: StreamMuxerBox, pace: StreamDelay) -> Self {
        Self {
            inner,
            pace,
            broken: None,
        }
    }

    /// Polls the connection and delays its end.
    fn ask<T>(
        &mut self,
        cx: &mut Context<'_>,
        ask: impl FnOnce(Pin<&mut StreamMuxerBox>, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if self.broken.is_none() {
            match ready!(ask(Pin::new(&mut self.inner), cx)) {
                Err(error) => self.broken = Some((error, Box::pin(sleep(self.pace.most())))),
                fine => return Poll::Ready(fine),
            }
        }
        let Some((error, until)) = &mut self.broken else {
            return Poll::Pending;
        };
        if !until.is_elapsed() {
            ready!(until.as_mut().poll(cx));
        }
        Poll::Ready(Err(io::Error::new(error.kind(), error.to_string())))
    }

    fn delay(&mut self, stream: SubstreamBox) -> SubstreamBox {
        let (stream, pump) = Delayed::new(stream, self.pace.fork());
        tokio::spawn(pump);
        SubstreamBox::new(stream)
    }
}

impl StreamMuxer for Muxer {
    type Substream = SubstreamBox;
    type Error = io::Error;

    fn poll_inbound(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<SubstreamBox>> {
        let this = self.get_mut();
        let stream = ready!(this.ask(cx, StreamMuxer::poll_inbound))?;
        Poll::Ready(Ok(this.delay(stream)))
    }

    fn poll_outbound(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<SubstreamBox>> {
        let this = self.get_mut();
        let stream = ready!(this.ask(cx, StreamMuxer::poll_outbound))?;
        Poll::Ready(Ok(this.delay(stream)))
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        match this.broken {
            Some(_) => Poll::Ready(Ok(())),
            None => Pin::new(&mut this.inner).poll_close(cx),
        }
    }

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<StreamMuxerEvent>> {
        self.get_mut().ask(cx, StreamMuxer::poll)
    }
}
