//! Serves content to peers: one task for each stream, with bounds on their number, bytes and time.

use std::{io, sync::Arc, time::Duration};

use futures::{AsyncReadExt, AsyncWriteExt, StreamExt};
use libp2p::{PeerId, Stream};
use tokio::{
    sync::mpsc,
    task::JoinHandle,
    time::{Instant, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::wire::{self, ContentHead, ContentRequest, ContentStatus};
use crate::{
    bus::Board,
    clock::Clock,
    domain::{
        content::{self, bytes_in},
        hash::ContentRoot,
        places::PoolSize,
        transfer::{Part, TransferId},
    },
    metrics::{Metrics, TurnedAway},
    net::{
        Conduct,
        pool::{Callers, Pool, PoolSlot},
    },
    store::content::ContentStore,
};

/// Most streams in all, and of one peer.
pub(crate) const STREAMS: PoolSize = PoolSize {
    places: 128,
    of_a_peer: 4,
    yields: true,
};
/// The pool is told of progress each time this many bytes were written.
const NOTED: usize = 64 * 1_024;
/// Most answers, of up to 1 MiB each, that are being made or sent: this bounds the memory that
/// peers can make the node use. A peer gets as many as its streams can have in flight.
const ANSWERS: PoolSize = PoolSize {
    places: 40,
    of_a_peer: STREAMS.of_a_peer * (AHEAD + 1),
    yields: false,
};
/// Answers of one stream that are prepared while another is sent.
const AHEAD: usize = 2;
/// A stream without requests for this long is closed.
const SILENCE: Duration = Duration::from_secs(60);
/// Time for a peer to read [`NOTED`] bytes. A peer that reads nothing then does not hold an answer
/// in memory for all of [`SENDING`].
const STALLED: Duration = Duration::from_secs(20);
/// Time for a peer to read an answer. For 1 MiB, that is the speed of a slow modem; a slower peer
/// would hold up others.
const SENDING: Duration = Duration::from_secs(60);

/// State that all streams share.
pub(crate) struct ContentServer {
    pub contents: ContentStore,
    /// Serves only content that this node published, not content that it fetched.
    pub own_only: bool,
    pub board: Board,
    pub metrics: Metrics,
    pub pool: Pool,
    pub callers: Callers,
    pub conduct: Conduct,
    pub clock: Clock,
    pub stop: CancellationToken,
    pub tasks: TaskTracker,
}

/// An answer on its way: its head and body, and the permit for its memory.
struct ContentAnswer {
    root: ContentRoot,
    head: ContentHead,
    body: Vec<u8>,
    /// Bytes of content in it.
    bytes: u64,
    _place: PoolSlot,
}

/// Accepts streams until told to stop.
pub(crate) async fn serve(shared: ContentServer, mut incoming: libp2p_stream::IncomingStreams) {
    let shared = Arc::new(shared);
    let answers = Pool::new(ANSWERS);
    // Accept without delay: libp2p-stream drops a stream that does not fit into its channel.
    while let Some(Some((peer, stream))) = shared.stop.run_until_cancelled(incoming.next()).await {
        let place = match shared.pool.take(shared.callers.of(peer)) {
            Ok(place) => place,
            Err(full) => {
                tracing::debug!(%peer, ?full, "a stream was refused: too many are open");
                shared.metrics.turned_away(TurnedAway::Stream);
                shared.tasks.spawn(refuse(stream));
                continue;
            }
        };
        let (shared, answers) = (shared.clone(), answers.clone());
        shared.clone().tasks.spawn(async move {
            let stop = shared.stop.clone();
            let serving = one_stream(&shared, peer, stream, answers, &place);
            match stop
                .run_until_cancelled(place.end().run_until_cancelled(serving))
                .await
            {
                Some(Some(Err(error))) => tracing::debug!(%peer, %error, "serving ended"),
                Some(None) => {
                    tracing::debug!(%peer, "an idle stream was closed for another");
                    shared.metrics.turned_away(TurnedAway::Idle);
                }
                Some(Some(Ok(()))) | None => {}
            }
        });
    }
}

/// Answers the first request with "busy".
async fn refuse(mut stream: Stream) {
    let busy = ContentHead {
        status: ContentStatus::Busy,
        size: 0,
        length: 0,
    };
    let told = async {
        stream.write_all(&busy.to_bytes()).await?;
        stream.close().await
    };
    // If the peer does not read it, it sees the stream close.
    let _ = timeout(Duration::from_secs(5), told).await;
}

async fn one_stream(
    shared: &ContentServer,
    peer: PeerId,
    stream: Stream,
    answers: Pool,
    place: &PoolSlot,
) -> io::Result<()> {
    let (mut questions, mut stream) = stream.split();
    let (contents, own_only, callers) = (
        shared.contents.clone(),
        shared.own_only,
        shared.callers.clone(),
    );
    let (sender, mut made) = mpsc::channel::<JoinHandle<ContentAnswer>>(AHEAD);
    // The channel closes with this block: without requests, nothing is left to answer after those
    // in it.
    let reading = async move {
        loop {
            let mut bytes = [0; wire::QUESTION];
            match timeout(SILENCE, questions.read_exact(&mut bytes)).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
                Ok(Err(error)) => return Err(error),
                Err(_) => return Err(io::ErrorKind::TimedOut.into()),
            }
            let Some(question) = ContentRequest::from_bytes(&bytes) else {
                return Err(io::ErrorKind::InvalidData.into());
            };
            let place = answers.wait(callers.of(peer)).await;
            let contents = contents.clone();
            // Reading and hashing block, so they run outside the tasks that serve the network.
            let answer =
                tokio::task::spawn_blocking(move || answer(&contents, own_only, question, place));
            if sender.send(answer).await.is_err() {
                return Ok(());
            }
        }
    };
    let writing = async {
        let mut due = Instant::now();
        while let Some(answer) = made.recv().await {
            let mut answer = answer.await.map_err(io::Error::other)?;
            shared.conduct.spoil(&mut answer.body);
            let begun = Instant::now();
            let sent = timeout(
                SENDING,
                send(&mut stream, &answer, shared.conduct, &mut due, place),
            )
            .await;
            sent.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))?;
            if made.is_empty() {
                stream.flush().await?;
            }
            if answer.bytes > 0 {
                tell(shared, peer, &answer, begun.elapsed());
            }
        }
        stream.close().await
    };
    let (read, written) = tokio::join!(reading, writing);
    read.and(written)
}

async fn send(
    stream: &mut (impl futures::AsyncWrite + Unpin),
    answer: &ContentAnswer,
    conduct: Conduct,
    due: &mut Instant,
    place: &PoolSlot,
) -> io::Result<()> {
    conduct.think().await;
    stream.write_all(&answer.head.to_bytes()).await?;
    let most = if conduct == Conduct::Honest {
        NOTED
    } else {
        conduct.piece()
    };
    for piece in answer.body.chunks(most) {
        let stalled = |_| io::Error::from(io::ErrorKind::TimedOut);
        timeout(STALLED, stream.write_all(piece))
            .await
            .map_err(stalled)??;
        place.moved(piece.len() as u64);
        if conduct != Conduct::Honest {
            stream.flush().await?;
            conduct.wait(due, piece.len()).await;
        }
    }
    Ok(())
}

fn answer(
    contents: &ContentStore,
    own_only: bool,
    question: ContentRequest,
    place: PoolSlot,
) -> ContentAnswer {
    let (head, body, bytes) = match respond(contents, own_only, question) {
        Ok(answer) => answer,
        Err(error) => {
            tracing::error!(%error, root = %question.root, "content could not be read for a peer");
            (
                ContentHead {
                    status: ContentStatus::NotHeld,
                    size: 0,
                    length: 0,
                },
                Vec::new(),
                0,
            )
        }
    };
    ContentAnswer {
        root: question.root,
        head,
        body,
        bytes,
        _place: place,
    }
}

fn respond(
    contents: &ContentStore,
    own_only: bool,
    question: ContentRequest,
) -> crate::Result<(ContentHead, Vec<u8>, u64)> {
    let head = |status, size, body: &[u8]| ContentHead {
        status,
        size,
        length: u32::try_from(body.len()).unwrap_or(0),
    };
    let Some(range) = question.range() else {
        return Ok((head(ContentStatus::Refused, 0, &[]), Vec::new(), 0));
    };
    let root = question.root;
    let is_own =
        || Ok::<_, crate::RegistryError>(contents.get(&root)?.is_some_and(|held| held.own));
    let offered = !own_only || is_own()?;
    let holding = if offered {
        contents.holding(&root)?
    } else {
        None
    };
    let Some(holding) = holding else {
        return Ok((head(ContentStatus::NotHeld, 0, &[]), Vec::new(), 0));
    };
    let size = holding.size();
    if range.is_empty() {
        let body = wire::ranges_to_bytes(&content::ranges(&holding.have(), content::groups(size)));
        return Ok((head(ContentStatus::Holds, size, &body), body, 0));
    }
    if range.end > content::groups(size) {
        return Ok((head(ContentStatus::NotHeld, size, &[]), Vec::new(), 0));
    }
    Ok(match contents.encode(&root, &range)? {
        Some(body) => (
            head(ContentStatus::Bytes, size, &body),
            body,
            bytes_in(&range, size),
        ),
        None => (head(ContentStatus::NotHeld, size, &[]), Vec::new(), 0),
    })
}

/// Reports on the bus what a peer was sent.
fn tell(shared: &ContentServer, peer: PeerId, answer: &ContentAnswer, took: Duration) {
    shared.metrics.served(answer.bytes);
    let id = TransferId::Serve {
        root: answer.root,
        peer,
    };
    let what = || {
        let held = shared.contents.get(&answer.root).ok().flatten();
        held.and_then(|held| held.what)
            .unwrap_or_else(|| answer.root.to_string())
    };
    shared
        .board
        .served(id, what, answer.head.size, shared.clock.now(), |one| {
            one.part = Part::Giving;
            one.bytes += answer.bytes;
            one.millis += u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        });
}
