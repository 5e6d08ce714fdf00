//! Answering those who compare their catalogue with ours: one task for each, bounded in number, in
//! rounds and in time.

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
    wire::{self, Answer, MAX_COMPARED, MAX_FRAME, MAX_WANTED, Question},
};
use crate::{
    bus::Tally,
    domain::{hash::Hash, places::PoolSize, record::Refusal},
    metrics::{Metrics, TurnedAway},
    net::{
        pool::{Callers, Held, Pool},
        protocol::Item,
    },
    store::Store,
};

/// Comparisons at once, and those of one peer; each holds a set of the catalogue, which they share
/// unless it changes.
const SESSIONS: PoolSize = PoolSize {
    places: 8,
    of_a_peer: 1,
    yields: true,
};
/// Times that a comparison may go through the whole set: a dozen rounds, each of which fingerprints
/// what differs at most twice.
const PASSES: u64 = 24;
/// A message lists a thousand hashes and fingerprints what is left, so that listing all of a set
/// goes through half of it for every thousand; twice that is allowed.
const LISTED: u64 = 1_000;
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
    pub callers: Callers,
    pub metrics: Metrics,
}

pub(crate) fn lacking() -> (mpsc::Sender<PeerId>, mpsc::Receiver<PeerId>) {
    mpsc::channel(LACKING)
}

/// Takes streams until told to stop.
pub(crate) async fn serve(shared: Shared, mut incoming: libp2p_stream::IncomingStreams) {
    let shared = Arc::new(shared);
    let pool = Pool::new(SESSIONS);
    let mut lately = Lately::default();
    // Drained at once: a stream for which the channel has no room is dropped by libp2p-stream.
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
            let Some(session) = shared.stop.run_until_cancelled(place.end().run_until_cancelled(session)).await else {
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
                    tracing::debug!(%peer, "a comparison on which nothing moved made room for another");
                    shared.metrics.turned_away(TurnedAway::Idle);
                }
            }
        });
    }
}

/// When peers began their last comparison. Whoever floods it with names only has its own forgotten
/// sooner.
#[derive(Default)]
struct Lately {
    begun: HashMap<PeerId, Instant>,
    order: VecDeque<PeerId>,
}

impl Lately {
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

/// Items of the set that a comparison may go through, by how many there are.
fn most_work(items: u64) -> u64 {
    items
        .saturating_mul(PASSES)
        .saturating_add(items.saturating_mul(items) / LISTED)
}

async fn refuse(mut stream: Stream) {
    // Whoever does not hear it finds the stream closed.
    let _ = wire::write(&mut stream, &Answer::Busy, Duration::from_secs(5)).await;
}

async fn session(
    shared: &Shared,
    peer: PeerId,
    mut stream: Stream,
    place: &Held,
) -> io::Result<()> {
    let mut set = None;
    let (mut rounds, mut questions, mut worked) = (0, 0, 0);
    while let Some((question, _)) = wire::read::<Question>(&mut stream, SILENCE).await? {
        match question {
            Question::Compare(message) => {
                rounds += 1;
                if rounds > MAX_ROUNDS || message.len() > MAX_COMPARED {
                    return Err(io::Error::new(
                        io::ErrorKind::InvalidData,
                        "more was compared than there can be",
                    ));
                }
                let (sets, held) = (shared.set.clone(), set.take());
                // Fingerprints of a large catalogue are not for the tasks that serve the network.
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
                    wire::write(&mut stream, &Answer::Compare(answer.into()), SILENCE).await?,
                );
            }
            Question::Want(hashes) => {
                questions += 1;
                if questions > MAX_QUESTIONS || hashes.len() > MAX_WANTED {
                    return Err(io::Error::new(
                        io::ErrorKind::InvalidData,
                        "more was asked for than there is",
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
                        wire::write(&mut stream, &Answer::Records { items, more }, SILENCE).await?,
                    );
                }
            }
            // As far as there is room: whoever knows more tells it again.
            Question::Lacking => drop(shared.lacking.try_send(peer)),
        }
    }
    Ok(())
}

/// Answers one message of a comparison that went through so many items before; returns how many it
/// did in all.
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
            "it had the whole catalogue gone through too often",
        ));
    }
    Ok((answer.map_err(invalid)?, set.worked()))
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
        let (mut lately, now, honest) = (Lately::default(), Instant::now(), PeerId::random());
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

    /// Has an honest asker compare with us; returns how many items were gone through here, and how
    /// many may be.
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
        // Fingerprints of everything, again and again.
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
