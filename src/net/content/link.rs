//! The asking side: a stream to a peer that serves content. Answers are verified 16 KiB at a time.

use std::{io, ops::Range, time::Duration};

use bao_tree::io::{
    BaoContentItem, DecodeError,
    fsm::{ResponseDecoder, ResponseDecoderNext},
};
use bytes::{Bytes, BytesMut};
use futures::{
    AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt,
    io::{ReadHalf, WriteHalf},
};
use iroh_io::AsyncStreamReader;
use libp2p::{PeerId, Stream};
use tokio::time::timeout;

use super::{
    busy::Busy,
    wire::{self, ContentHead, ContentRequest, ContentStatus, MAX_RANGES},
};
use crate::{
    domain::{
        content::{Groups, groups},
        hash::ContentRoot,
        manifest::Content,
    },
    net::content::closed::or_closed,
    store::content::{chunks, hash, tree},
};

/// Bytes read from a stream at once.
const READ: usize = 256 * 1_024;

/// The reason why a peer sends nothing more on this stream.
#[derive(Debug, thiserror::Error)]
pub enum Broken {
    #[error("the connection with it was lost: {0}")]
    Lost(io::Error),
    #[error("it sent nothing for too long")]
    Silent,
    /// The answer does not verify or does not decode. No honest node sends one.
    #[error("it sent data that does not verify")]
    Lied,
}

impl From<io::Error> for Broken {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::TimedOut {
            Self::Silent
        } else {
            Self::Lost(error)
        }
    }
}

/// An honest answer of a peer.
#[derive(Clone, Debug, PartialEq)]
pub enum ContentReply {
    /// All requested groups came and were verified.
    Bytes,
    /// The peer holds these groups of a content of this size in bytes.
    Holds {
        size: u64,
        have: Groups,
    },
    /// The peer lacks some of the requested groups. The size is 0 if it does not know the content.
    NotHeld {
        size: u64,
    },
    Busy,
    /// The peer holds a content of that root with another size and can prove it, so the manifest is
    /// wrong.
    OtherSize(u64),
}

/// A stream to a peer. Requests are answered in order.
pub struct ContentLink<S = Stream> {
    pub peer: PeerId,
    reader: PieceReader<S>,
    writer: WriteHalf<S>,
    _busy: Busy,
}

impl<S: AsyncRead + AsyncWrite + Unpin> ContentLink<S> {
    pub(crate) fn new(peer: PeerId, stream: S, idle: Duration, busy: Busy) -> Self {
        let (reader, writer) = stream.split();
        let reader = PieceReader {
            stream: reader,
            held: BytesMut::new(),
            scratch: vec![0; READ],
            idle,
        };
        Self {
            peer,
            reader,
            writer,
            _busy: busy,
        }
    }

    /// Requests groups. Several requests may be sent before the first is answered.
    pub async fn ask(&mut self, root: ContentRoot, range: &Range<u64>) -> Result<(), Broken> {
        self.question(ContentRequest::of(root, range)).await
    }

    /// Asks which groups the peer holds.
    pub async fn ask_held(&mut self, root: ContentRoot) -> Result<(), Broken> {
        self.question(ContentRequest::held(root)).await
    }

    async fn question(&mut self, question: ContentRequest) -> Result<(), Broken> {
        let asked = async {
            self.writer.write_all(&question.to_bytes()).await?;
            self.writer.flush().await
        };
        let sent = timeout(self.reader.idle, asked)
            .await
            .map_err(|_| Broken::Silent)?;
        Ok(or_closed(sent)?)
    }

    /// Reads the answer to the oldest request, which was for `range` of `content`. Verified bytes
    /// are passed to `take` as they arrive.
    pub async fn answer(
        mut self,
        content: Content,
        range: &Range<u64>,
        mut take: impl FnMut(BaoContentItem),
    ) -> Result<(Self, ContentReply), Broken> {
        let head = ContentHead::from_bytes(&self.reader.read().await?).ok_or(Broken::Lied)?;
        let answered = match head.status {
            ContentStatus::Bytes if head.size != content.size => ContentReply::OtherSize(head.size),
            ContentStatus::NotHeld if head.size != 0 && head.size != content.size => {
                ContentReply::OtherSize(head.size)
            }
            ContentStatus::Bytes if range.is_empty() => return Err(Broken::Lied),
            ContentStatus::Bytes => {
                let mut left = u64::from(head.length);
                let mut decoder = ResponseDecoder::new(
                    hash(&content.root),
                    chunks(range),
                    tree(content.size),
                    self.reader,
                );
                self.reader = loop {
                    let (next, item) = match decoder.next().await {
                        ResponseDecoderNext::More(more) => more,
                        ResponseDecoderNext::Done(reader) => break reader,
                    };
                    decoder = next;
                    let item = item.map_err(|error| match error {
                        DecodeError::Io(error) => Broken::from(error),
                        DecodeError::LeafNotFound(_) | DecodeError::ParentNotFound(_) => {
                            Broken::Lost(io::ErrorKind::UnexpectedEof.into())
                        }
                        DecodeError::ParentHashMismatch(_) | DecodeError::LeafHashMismatch(_) => {
                            Broken::Lied
                        }
                    })?;
                    let bytes = match &item {
                        BaoContentItem::Parent(_) => 64,
                        BaoContentItem::Leaf(leaf) => leaf.data.len() as u64,
                    };
                    left = left.checked_sub(bytes).ok_or(Broken::Lied)?;
                    take(item);
                };
                // The tree gives the length; a peer that states another one wants the rest to be
                // misread.
                if left > 0 {
                    return Err(Broken::Lied);
                }
                ContentReply::Bytes
            }
            ContentStatus::Holds => {
                let length = head.length as usize;
                if length > MAX_RANGES * 16 {
                    return Err(Broken::Lied);
                }
                let body = self.reader.read_bytes_exact(length).await?;
                let ranges = wire::ranges_from_bytes(&body).ok_or(Broken::Lied)?;
                let all = Groups::from(0..groups(head.size));
                let have = ranges
                    .into_iter()
                    .fold(Groups::empty(), |have, range| have | Groups::from(range));
                ContentReply::Holds {
                    size: head.size,
                    have: have & all,
                }
            }
            ContentStatus::NotHeld | ContentStatus::Refused => {
                ContentReply::NotHeld { size: head.size }
            }
            ContentStatus::Busy => ContentReply::Busy,
        };
        Ok((self, answered))
    }
}

/// Reads a stream in large pieces and hands out small ones.
struct PieceReader<S> {
    stream: ReadHalf<S>,
    held: BytesMut,
    scratch: Vec<u8>,
    /// Longest time without any data.
    idle: Duration,
}

impl<S: AsyncRead + Unpin> PieceReader<S> {
    /// Reads the next piece. Returns false at the end of the stream.
    async fn fill(&mut self) -> io::Result<bool> {
        let read = timeout(self.idle, self.stream.read(&mut self.scratch)).await;
        let count = read.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))?;
        self.held
            .extend_from_slice(self.scratch.get(..count).unwrap_or_default());
        Ok(count > 0)
    }
}

impl<S: AsyncRead + Unpin> AsyncStreamReader for PieceReader<S> {
    async fn read_bytes(&mut self, len: usize) -> io::Result<Bytes> {
        while self.held.len() < len && self.fill().await? {}
        Ok(self.held.split_to(len.min(self.held.len())).freeze())
    }

    async fn read<const L: usize>(&mut self) -> io::Result<[u8; L]> {
        let bytes = self.read_bytes(L).await?;
        bytes
            .as_ref()
            .try_into()
            .map_err(|_| io::ErrorKind::UnexpectedEof.into())
    }
}

#[cfg(test)]
mod tests {
    use futures::io::Cursor;

    use super::*;
    use crate::net::content::{BusyPeers, closed::tests::Closed};

    /// Asks a peer that sent `said` and closed the stream before it was asked.
    async fn answered_after(said: &[u8]) -> Result<ContentReply, Broken> {
        let (peer, content) = (
            PeerId::random(),
            Content {
                root: ContentRoot::of(b"x"),
                size: 1,
            },
        );
        let stream = Closed(Cursor::new(said.to_vec()));
        let mut link = ContentLink::new(
            peer,
            stream,
            Duration::from_secs(10),
            BusyPeers::default().hold(peer),
        );
        link.ask(content.root, &(0..1)).await?;
        link.answer(content, &(0..1), |_| {})
            .await
            .map(|(_, answered)| answered)
    }

    #[tokio::test]
    async fn who_is_busy_and_closes_before_it_is_asked_is_busy() {
        let busy = ContentHead {
            status: ContentStatus::Busy,
            size: 0,
            length: 0,
        }
        .to_bytes();
        assert_eq!(answered_after(&busy).await.unwrap(), ContentReply::Busy);
        assert!(
            matches!(answered_after(&[]).await, Err(Broken::Lost(_))),
            "it said nothing"
        );
    }
}
