//! The asking side: a stream to a peer whose catalogue is compared with ours.

use std::{collections::HashSet, io, time::Duration};

use futures::{AsyncRead, AsyncWrite};
use libp2p::{PeerId, Stream};
use negentropy::{Id, Negentropy};

use super::{
    Heads,
    wire::{self, MAX_COMPARED, MAX_FRAME, MAX_WANTED, SyncAnswer, SyncRequest},
};
use crate::{
    domain::hash::Hash,
    net::{
        content::{Busy, closed::or_closed},
        protocol::Item,
    },
};

/// Most messages until the difference is known. Each lists about two thousand hashes, or narrows
/// the range sixteenfold.
const MAX_ROUNDS: usize = 1_024;
/// Longest wait for an answer.
const SILENCE: Duration = Duration::from_secs(20);

/// The reason why a comparison ended early.
#[derive(Debug, thiserror::Error)]
pub enum Stopped {
    #[error("the connection with it was lost: {0}")]
    Lost(io::Error),
    #[error("it was silent for too long")]
    Silent,
    #[error("it is busy")]
    Busy,
    /// The peer did what no honest node does.
    #[error("{0}")]
    Lied(&'static str),
}

impl From<io::Error> for Stopped {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::TimedOut => Self::Silent,
            io::ErrorKind::InvalidData => Self::Lied("it sent an invalid answer"),
            _ => Self::Lost(error),
        }
    }
}

/// The differences between two catalogues.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Differences {
    /// Heads that the peer has and we lack.
    pub theirs: Vec<Hash>,
    /// The number of heads that we have and the peer lacks.
    pub ours: usize,
    pub rounds: usize,
}

/// A stream to a peer. Requests are sent one at a time, except those for heads.
pub struct SyncLink<S = Stream> {
    pub peer: PeerId,
    stream: S,
    /// Bytes sent and received.
    pub bytes: u64,
    _busy: Busy,
}

impl<S: AsyncRead + AsyncWrite + Unpin> SyncLink<S> {
    pub(crate) fn new(peer: PeerId, stream: S, busy: Busy) -> Self {
        Self {
            peer,
            stream,
            bytes: 0,
            _busy: busy,
        }
    }

    async fn send(&mut self, question: &SyncRequest) -> Result<(), Stopped> {
        let sent = wire::write(&mut self.stream, question, SILENCE)
            .await
            .map(|length| self.bytes += length);
        Ok(or_closed(sent)?)
    }

    async fn receive(&mut self) -> Result<SyncAnswer, Stopped> {
        let frame = wire::read(&mut self.stream, SILENCE).await?;
        let (answer, length) =
            frame.ok_or_else(|| Stopped::Lost(io::ErrorKind::UnexpectedEof.into()))?;
        self.bytes += length;
        if answer == SyncAnswer::Busy {
            Err(Stopped::Busy)
        } else {
            Ok(answer)
        }
    }

    /// Finds the differences. Fails if the peer claims more than `most` heads that we lack. Calls
    /// `answered` once the first answer has arrived.
    ///
    /// # Errors
    /// [`Stopped::Lied`] for a comparison that repeats itself, does not end, or claims too much.
    pub async fn compare(
        &mut self,
        set: Heads,
        most: usize,
        answered: impl FnOnce() + Send,
    ) -> Result<Differences, Stopped> {
        let mut answered = Some(answered);
        let wrong = |_: negentropy::Error| Stopped::Lied("its comparison makes no sense");
        let mut comparing = Negentropy::owned(set, MAX_COMPARED as u64).map_err(wrong)?;
        let mut message = comparing.initiate().map_err(wrong)?;
        let mut asked = HashSet::new();
        // In the order of the messages, which is nearly that of time: records signed together are
        // then stored together.
        let (mut ours, mut theirs, mut told) = (0, Vec::new(), HashSet::new());
        for round in 1..=MAX_ROUNDS {
            if !asked.insert(blake3::hash(&message)) {
                return Err(Stopped::Lied("its comparison goes round in a circle"));
            }
            self.send(&SyncRequest::Compare(message.into())).await?;
            let SyncAnswer::Compare(answer) = self.receive().await? else {
                return Err(Stopped::Lied("it answered what was not asked"));
            };
            if let Some(answered) = answered.take() {
                answered();
            }
            // Fingerprinting a large catalogue blocks, so it runs outside the tasks that serve the
            // network.
            let compared = tokio::task::spawn_blocking(move || {
                let (mut have, mut need): (Vec<Id>, Vec<Id>) = (Vec::new(), Vec::new());
                let next = comparing.reconcile_with_ids(&answer, &mut have, &mut need);
                (comparing, next, have, need)
            });
            let (back, next, have, need) = compared
                .await
                .map_err(|error| Stopped::Lost(io::Error::other(error)))?;
            comparing = back;
            ours += have.len();
            theirs.extend(
                need.iter()
                    .map(|id| Hash(id.to_bytes()))
                    .filter(|hash| told.insert(*hash)),
            );
            if theirs.len() > most {
                return Err(Stopped::Lied("it claims more than there can be"));
            }
            match next.map_err(wrong)? {
                Some(next) => message = next,
                None => {
                    return Ok(Differences {
                        theirs,
                        ours,
                        rounds: round,
                    });
                }
            }
        }
        Err(Stopped::Lied("its comparison has no end"))
    }

    /// Requests up to [`MAX_WANTED`] heads. The next request may be sent before the answer arrives.
    pub async fn want(&mut self, hashes: &[Hash]) -> Result<(), Stopped> {
        self.send(&SyncRequest::Want(hashes.to_vec())).await
    }

    /// Reads the answer to the oldest request for heads. Nothing in it is verified.
    pub async fn records(&mut self) -> Result<Vec<Item>, Stopped> {
        let mut records = Vec::new();
        // One frame has room for many heads and manifests, so this is more than enough.
        for _ in 0..MAX_WANTED {
            let SyncAnswer::Records { items, more } = self.receive().await? else {
                return Err(Stopped::Lied("it answered what was not asked"));
            };
            records.extend(items);
            if records.len() > MAX_WANTED {
                break;
            }
            if !more {
                return Ok(records);
            }
        }
        Err(Stopped::Lied("it sent more than was asked for"))
    }

    /// Tells the peer that it lacks heads of ours.
    pub async fn tell_lacking(&mut self) -> Result<(), Stopped> {
        self.send(&SyncRequest::Lacking).await
    }
}

const _: () = assert!(
    MAX_COMPARED < MAX_FRAME,
    "a message of the comparison fits into a frame"
);

#[cfg(test)]
mod tests {
    use futures::io::Cursor;

    use super::*;
    use crate::net::content::{BusyPeers, closed::tests::Closed};

    /// Compares with a peer that sent `said` and closed the stream before it was asked.
    async fn compared_after(said: &[u8]) -> Stopped {
        let peer = PeerId::random();
        let stream = Closed(Cursor::new(said.to_vec()));
        let mut link = SyncLink::new(peer, stream, BusyPeers::default().hold(peer));
        link.compare(Heads::of([]).unwrap(), 10, || ())
            .await
            .unwrap_err()
    }

    #[tokio::test]
    async fn who_is_busy_and_closes_before_it_is_asked_is_busy() {
        let mut busy = Cursor::new(Vec::new());
        wire::write(&mut busy, &SyncAnswer::Busy, SILENCE)
            .await
            .unwrap();
        assert!(matches!(
            compared_after(busy.get_ref()).await,
            Stopped::Busy
        ));
        assert!(
            matches!(compared_after(&[]).await, Stopped::Lost(_)),
            "it said nothing"
        );
    }
}
