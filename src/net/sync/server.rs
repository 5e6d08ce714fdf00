//! Answers peers that compare their catalogue with ours: one task for each, with bounds on number,
//! rounds and time.

use std::{
    collections::{HashMap, VecDeque},
    io,
    sync::Arc,
    time::{Duration, Instant},
};

use futures::StreamExt;
use libp2p::{PeerId, Stream};
use negentropy::Negentropy;
use serde_bytes::ByteBuf;
use tokio::{sync::mpsc, time::timeout};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    HeadSet, Heads,
    wire::{self, MAX_COMPARED, MAX_FRAME, MAX_WANTED, SyncAnswer, SyncRequest},
};
use crate::{
    bus::Tally,
    domain::{hash::Hash, places::PoolSize, record::Refusal},
    metrics::{Metrics, TurnedAway},
    net::{
        pool::{Callers, Pool, PoolSlot},
        protocol::Item,
    },
    store::Store,
};

/// Most concurrent comparisons, in all and of one peer. They share one set of the catalogue unless
/// it changes.
const SESSIONS: PoolSize = PoolSize {
    places: 8,
    of_a_peer: 1,
    yields: true,
};
/// A comparison may visit the whole set this many times: a dozen rounds, each of which fingerprints
/// the differences at most twice.
const PASSES: u64 = 24;
/// A message lists a thousand hashes and fingerprints the rest, so listing a whole set visits half
/// of it for every thousand items; twice that is allowed.
const LISTED: u64 = 1_000;
/// Most messages of one comparison. Each divides the differences by sixteen, or lists a thousand of
/// them.
const MAX_ROUNDS: usize = 1_024;
/// Most requests for heads in one session: a catalogue of a million packages.
const MAX_QUESTIONS: usize = 4_096;
/// Longest wait for a request, and for an answer to be sent.
const SILENCE: Duration = Duration::from_secs(20);
/// Longest session.
const MOST: Duration = Duration::from_secs(600);
/// Shortest time between two sessions of one peer, which learns nothing new sooner.
const GAP: Duration = Duration::from_millis(500);
/// Most peers whose last session is remembered.
const REMEMBERED: usize = 1_024;
/// Most peers in the queue of those that have what we lack.
const LACKING: usize = 16;

pub(crate) struct SyncServer {
    pub store: Store,
    pub set: HeadSet,
    pub tally: Tally,
    pub stop: CancellationToken,
    pub tasks: TaskTracker,
    /// Receives the peers that have what this node lacks.
    pub lacking: mpsc::Sender<PeerId>,
    pub callers: Callers,
    pub metrics: Metrics,
}

pub(crate) fn lacking() -> (mpsc::Sender<PeerId>, mpsc::Receiver<PeerId>) {
    mpsc::channel(LACKING)
}

/// Accepts streams until told to stop.
pub(crate) async fn serve(shared: SyncServer, mut incoming: libp2p_stream::IncomingStreams) {
    let shared = Arc::new(shared);
    let pool = Pool::new(SESSIONS);
    let mut lately = LastComparisons::default();
    // Accept without delay: libp2p-stream drops a stream that does not fit into its channel.
    while let Some(Some((peer, stream))) = shared.stop.run_until_cancelled(incoming.next()).await {
        let place = if lately.is_soon(&peer, Instant::now()) {
            None
        } else {
            pool.take(shared.callers.of(peer)).ok()
        };
        let Some(place) = place else {
            shared.metrics.turned_away(TurnedAway::Session);
            shared.tasks.spawn(refuse(stream));
            continue;
        };
        lately.note(peer, Instant::now());
        let shared = shared.clone();
        shared.clone().tasks.spawn(async move {
            let session = timeout(MOST, session(&shared, peer, stream, &place));
            let Some(session) = shared
                .stop
                .run_until_cancelled(place.end().run_until_cancelled(session))
                .await
            else {
                return;
            };
            match session {
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
                Some(Ok(Ok(()))) => {}
                None => {
                    tracing::debug!(%peer, "an idle comparison was ended for another");
                    shared.metrics.turned_away(TurnedAway::Idle);
                }
            }
        });
    }
}

/// The time at which each peer began its last comparison. A flood of identities only makes those
/// identities' own entries expire sooner.
#[derive(Default)]
struct LastComparisons {
    begun: HashMap<PeerId, Instant>,
    order: VecDeque<PeerId>,
}

impl LastComparisons {
    fn is_soon(&self, peer: &PeerId, now: Instant) -> bool {
        self.begun
            .get(peer)
            .is_some_and(|begun| now.saturating_duration_since(*begun) < GAP)
    }

    fn note(&mut self, peer: PeerId, now: Instant) {
        if self.begun.insert(peer, now).is_some() {
            self.order.retain(|other| *other != peer);
        }
        self.order.push_back(peer);
        if self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.begun.remove(&oldest);
        }
    }
}

/// Returns the number of items that a comparison may visit, for a set of this size.
fn most_work(items: u64) -> u64 {
    items
        .saturating_mul(PASSES)
        .saturating_add(items.saturating_mul(items) / LISTED)
}

async fn refuse(mut stream: Stream) {
    // If the peer does not read it, it sees the stream close.
    let _ = wire::write(&mut stream, &SyncAnswer::Busy, Duration::from_secs(5)).await;
}

async fn session(
    shared: &SyncServer,
    peer: PeerId,
    mut stream: Stream,
    place: &PoolSlot,
) -> io::Result<()> {
    let mut set = None;
    let (mut rounds, mut questions, mut worked) = (0, 0, 0);
    while let Some((question, _)) = wire::read::<SyncRequest>(&mut stream, SILENCE).await? {
        match question {
            SyncRequest::Compare(message) => {
                rounds += 1;
                if rounds > MAX_ROUNDS || message.len() > MAX_COMPARED {
                    return Err(io::Error::new(
                        io::ErrorKind::InvalidData,
                        "too many or too long messages in one comparison",
                    ));
                }
                let (sets, held) = (shared.set.clone(), set.take());
                // Fingerprinting a large catalogue blocks, so it runs outside the tasks that serve
                // the network.
                let compared = tokio::task::spawn_blocking(move || {
                    let set = match held {
                        Some(set) => set,
                        None => sets.get().map_err(io::Error::other)?,
                    };
                    compare(&set, &message, worked).map(|(answer, worked)| (set, answer, worked))
                });
                let (held, answer, so_far) = compared.await.map_err(io::Error::other)??;
                (set, worked) = (Some(held), so_far);
                place.moved(
                    wire::write(&mut stream, &SyncAnswer::Compare(answer.into()), SILENCE).await?,
                );
            }
            SyncRequest::Want(hashes) => {
                questions += 1;
                if questions > MAX_QUESTIONS || hashes.len() > MAX_WANTED {
                    return Err(io::Error::new(
                        io::ErrorKind::InvalidData,
                        "too many heads were requested",
                    ));
                }
                let store = shared.store.clone();
                let found = tokio::task::spawn_blocking(move || records(&store, &hashes));
                let mut frames = found
                    .await
                    .map_err(io::Error::other)?
                    .map_err(io::Error::other)?
                    .into_iter()
                    .peekable();
                while let Some(items) = frames.next() {
                    let more = frames.peek().is_some();
                    place.moved(
                        wire::write(&mut stream, &SyncAnswer::Records { items, more }, SILENCE)
                            .await?,
                    );
                }
            }
            // If the queue is full, the message is dropped: a peer that has more says so again.
            SyncRequest::Lacking => drop(shared.lacking.try_send(peer)),
        }
    }
    Ok(())
}

/// Answers one message of a comparison that visited `worked` items before. Returns the new total as
/// well.
fn compare(set: &Heads, message: &[u8], worked: u64) -> io::Result<(Vec<u8>, u64)> {
    let invalid =
        |error: negentropy::Error| io::Error::new(io::ErrorKind::InvalidData, error.to_string());
    let set = set.counted(worked, most_work(set.len()));
    let answer = Negentropy::borrowed(&set, MAX_COMPARED as u64)
        .map_err(invalid)?
        .reconcile(message);
    if set.is_spent() {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "the comparison went through the catalogue too often",
        ));
    }
    Ok((answer.map_err(invalid)?, set.worked()))
}

/// Returns the requested records that are held, in one or more frames.
fn records(store: &Store, hashes: &[Hash]) -> crate::Result<Vec<Vec<Item>>> {
    /// A generous estimate of the bytes that CBOR adds to an item.
    const AROUND: usize = 32;
    let (mut frames, mut items, mut size) = (Vec::new(), Vec::new(), 0);
    for (head, manifest) in store.raw_heads(hashes)? {
        let length = head.len() + manifest.as_ref().map_or(0, Vec::len) + AROUND;
        if size + length > MAX_FRAME - 1_024 {
            frames.push(std::mem::take(&mut items));
            size = 0;
        }
        size += length;
        items.push(Item {
            head: ByteBuf::from(head),
            manifest: manifest.map(ByteBuf::from),
        });
    }
    frames.push(items);
    Ok(frames)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time::Timestamp;

    #[test]
    fn a_thousand_names_at_once_refuse_nobody_else() {
        let (mut lately, now, honest) =
            (LastComparisons::default(), Instant::now(), PeerId::random());
        let first = PeerId::random();
        lately.note(first, now);
        assert!(lately.is_soon(&first, now + GAP / 2) && !lately.is_soon(&first, now + GAP));
        (0..3 * REMEMBERED).for_each(|_| lately.note(PeerId::random(), now));
        assert!(!lately.is_soon(&honest, now));
        assert_eq!(
            (lately.begun.len(), lately.order.len()),
            (REMEMBERED, REMEMBERED)
        );
    }

    fn heads(count: u32, step: u32) -> Heads {
        let hash = |n: u32| Hash::of_parts(&[&n.to_be_bytes()]);
        Heads::of((0..count).map(|n| (hash(n * step), Timestamp(u64::from(n * step))))).unwrap()
    }

    /// Runs an honest comparison with us. Returns the number of items visited here and the number
    /// allowed.
    fn worked(ours: &Heads, theirs: &Heads) -> (u64, u64) {
        let mut asker = Negentropy::borrowed(theirs, MAX_COMPARED as u64).unwrap();
        let (mut message, mut worked) = (asker.initiate().unwrap(), 0);
        loop {
            let (answer, so_far) = compare(ours, &message, worked).unwrap();
            worked = so_far;
            let (mut have, mut need) = (Vec::new(), Vec::new());
            match asker
                .reconcile_with_ids(&answer, &mut have, &mut need)
                .unwrap()
            {
                Some(next) => message = next,
                None => return (worked, most_work(ours.len())),
            }
        }
    }

    #[test]
    fn an_honest_comparison_is_far_within_what_it_may_cost_and_an_endless_one_ends() {
        for (ours, theirs) in [
            (heads(20_000, 1), heads(20_000, 1)),
            (heads(20_000, 1), heads(0, 1)),
            (heads(20_000, 1), heads(10_000, 2)),
            (heads(100, 1), heads(100, 3)),
            (heads(1, 1), heads(5_000, 1)),
        ] {
            let (worked, most) = worked(&ours, &theirs);
            println!("{} items: {worked} of {most}", ours.len());
            assert!(worked * 2 <= most || ours.len() < 10, "{worked} of {most}");
        }
        // A peer that requests fingerprints of everything, again and again.
        let (ours, mut worked, mut rounds) = (heads(20_000, 1), 0, 0);
        let question = Negentropy::borrowed(&heads(19_999, 1), MAX_COMPARED as u64)
            .unwrap()
            .initiate()
            .unwrap();
        while let Ok((_, so_far)) = compare(&ours, &question, worked) {
            (worked, rounds) = (so_far, rounds + 1);
        }
        assert!(rounds < 100, "{rounds}");
    }
}
