//! Answering those who compare their catalogue with ours: one task for each, bounded in number, in rounds and in time.

use std::{
    collections::HashMap,
    io,
    sync::Arc,
    time::{Duration, Instant},
};

use futures::StreamExt;
use libp2p::{PeerId, Stream};
use negentropy::Negentropy;
use serde_bytes::ByteBuf;
use tokio::{
    sync::{Semaphore, mpsc},
    time::timeout,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    HeadSet, Heads,
    wire::{self, Answer, MAX_COMPARED, MAX_FRAME, MAX_WANTED, Question},
};
use crate::{
    bus::Tally,
    domain::{hash::Hash, record::Refusal},
    net::{content::BusyPeers, protocol::Item},
    store::Store,
};

/// Comparisons at once; each holds a set of the catalogue, which they share unless it changes.
const MAX_SESSIONS: usize = 8;
/// Messages of one comparison. Each divides what differs by sixteen, or lists a thousand of it.
const MAX_ROUNDS: usize = 1_024;
/// Questions for heads in one session: a catalogue of a million packages.
const MAX_QUESTIONS: usize = 4_096;
/// A question must come, and an answer leave, within this.
const SILENCE: Duration = Duration::from_secs(20);
/// All of a session.
const MOST: Duration = Duration::from_secs(600);
/// Between two sessions of one peer: whoever compares without end learns nothing new.
const GAP: Duration = Duration::from_millis(500);
/// Peers whose last session is remembered.
const REMEMBERED: usize = 1_024;
/// Peers that have what we lack, until we ask them.
const LACKING: usize = 16;

pub(crate) struct Shared {
    pub store: Store,
    pub set: HeadSet,
    pub tally: Tally,
    pub stop: CancellationToken,
    pub tasks: TaskTracker,
    /// Told of peers that have what this node lacks.
    pub lacking: mpsc::Sender<PeerId>,
}

pub(crate) fn lacking() -> (mpsc::Sender<PeerId>, mpsc::Receiver<PeerId>) {
    mpsc::channel(LACKING)
}

/// Takes streams until told to stop.
pub(crate) async fn serve(shared: Shared, mut incoming: libp2p_stream::IncomingStreams) {
    let shared = Arc::new(shared);
    let places = Arc::new(Semaphore::new(MAX_SESSIONS));
    let served = BusyPeers::default();
    let mut lately: HashMap<PeerId, Instant> = HashMap::new();
    // Drained at once: a stream for which the channel has no room is dropped by libp2p-stream.
    while let Some(Some((peer, stream))) = shared.stop.run_until_cancelled(incoming.next()).await {
        if lately.len() >= REMEMBERED {
            lately.retain(|_, begun| begun.elapsed() < GAP);
        }
        let soon = lately.get(&peer).is_some_and(|begun| begun.elapsed() < GAP) || lately.len() >= REMEMBERED;
        let (Ok(place), Some(one), false) = (places.clone().try_acquire_owned(), served.hold_up_to(peer, 1), soon)
        else {
            shared.tasks.spawn(refuse(stream));
            continue;
        };
        lately.insert(peer, Instant::now());
        let shared = shared.clone();
        shared.clone().tasks.spawn(async move {
            let session = timeout(MOST, session(&shared, peer, stream));
            match shared.stop.run_until_cancelled(session).await {
                Some(Ok(Err(error))) => {
                    tracing::debug!(%peer, %error, "a comparison of catalogues ended");
                    if error.kind() == io::ErrorKind::InvalidData {
                        shared.tally.refused(Refusal::Endless);
                    }
                }
                Some(Err(_)) => {
                    tracing::debug!(%peer, "a comparison of catalogues took too long");
                    shared.tally.refused(Refusal::Endless);
                }
                Some(Ok(Ok(()))) | None => {}
            }
            drop((place, one));
        });
    }
}

async fn refuse(mut stream: Stream) {
    // Whoever does not hear it finds the stream closed.
    let _ = wire::write(&mut stream, &Answer::Busy, Duration::from_secs(5)).await;
}

async fn session(shared: &Shared, peer: PeerId, mut stream: Stream) -> io::Result<()> {
    let mut set = None;
    let (mut rounds, mut questions) = (0, 0);
    while let Some((question, _)) = wire::read::<Question>(&mut stream, SILENCE).await? {
        match question {
            Question::Compare(message) => {
                rounds += 1;
                if rounds > MAX_ROUNDS || message.len() > MAX_COMPARED {
                    return Err(io::Error::new(io::ErrorKind::InvalidData, "more was compared than there can be"));
                }
                let (sets, held) = (shared.set.clone(), set.take());
                // Fingerprints of a large catalogue are not for the tasks that serve the network.
                let compared = tokio::task::spawn_blocking(move || {
                    let set = match held {
                        Some(set) => set,
                        None => sets.get().map_err(io::Error::other)?,
                    };
                    compare(&set, &message).map(|answer| (set, answer))
                });
                let (held, answer) = compared.await.map_err(io::Error::other)??;
                set = Some(held);
                wire::write(&mut stream, &Answer::Compare(answer.into()), SILENCE).await?;
            }
            Question::Want(hashes) => {
                questions += 1;
                if questions > MAX_QUESTIONS || hashes.len() > MAX_WANTED {
                    return Err(io::Error::new(io::ErrorKind::InvalidData, "more was asked for than there is"));
                }
                let store = shared.store.clone();
                let found = tokio::task::spawn_blocking(move || records(&store, &hashes));
                let mut frames =
                    found.await.map_err(io::Error::other)?.map_err(io::Error::other)?.into_iter().peekable();
                while let Some(items) = frames.next() {
                    let more = frames.peek().is_some();
                    wire::write(&mut stream, &Answer::Records { items, more }, SILENCE).await?;
                }
            }
            // As far as there is room: whoever knows more tells it again.
            Question::Lacking => drop(shared.lacking.try_send(peer)),
        }
    }
    Ok(())
}

fn compare(set: &Heads, message: &[u8]) -> io::Result<Vec<u8>> {
    let invalid = |error: negentropy::Error| io::Error::new(io::ErrorKind::InvalidData, error.to_string());
    Negentropy::borrowed(set, MAX_COMPARED as u64).map_err(invalid)?.reconcile(message).map_err(invalid)
}

/// What is held of it, in frames; one at least.
fn records(store: &Store, hashes: &[Hash]) -> crate::Result<Vec<Vec<Item>>> {
    /// What CBOR adds to an item, generously.
    const AROUND: usize = 32;
    let (mut frames, mut items, mut size) = (Vec::new(), Vec::new(), 0);
    for (head, manifest) in store.raw_heads(hashes)? {
        let length = head.len() + manifest.as_ref().map_or(0, Vec::len) + AROUND;
        if size + length > MAX_FRAME - 1_024 {
            frames.push(std::mem::take(&mut items));
            size = 0;
        }
        size += length;
        items.push(Item { head: ByteBuf::from(head), manifest: manifest.map(ByteBuf::from) });
    }
    frames.push(items);
    Ok(frames)
}
