//! The handle by which everybody else tells the swarm task what to do.

use std::{collections::HashSet, sync::Arc, time::Duration};

use bytes::Bytes;
use libp2p::{Multiaddr, PeerId, Stream, StreamProtocol, metrics::Registry};
use tokio::{
    sync::{Semaphore, mpsc, oneshot, watch},
    time::Instant,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::field::Empty;

use super::{
    ClockOffset, Greeting, MAX_LOOKUPS,
    content::{Broken, BusyPeers, ContentLink},
    dht::lookups::{Ended, Lookup, Want},
    query::{
        asking::Asking,
        protocol::{Request, Response},
    },
    reach::listen,
    swarm::{
        command::{AskError, Command},
        measure::Safety,
    },
    sync::{HeadSet, Stopped, SyncLink},
};
use crate::{
    RegistryError, Result,
    bus::{NodeSnapshot, PeerSnapshot},
    clock,
    domain::{
        copies::CopyFigures,
        faults::Ruling,
        hash::Hash,
        health::{GatewayHealth, Sample},
        name::PublisherId,
        record::{DhtKey, Record},
        reputation::Outcome,
    },
    ending::Ending,
};

/// A handle on the swarm task. Cheap to clone; the task ends when it is told to shut down or the
/// last handle is gone.
#[derive(Clone)]
pub struct Net {
    pub(super) commands: mpsc::Sender<Command>,
    pub(super) lookups: Arc<Semaphore>,
    pub(super) greeting: Arc<watch::Sender<Greeting>>,
    pub(super) safety: Arc<watch::Sender<Option<Safety>>>,
    pub(super) copies: Arc<watch::Sender<CopyFigures>>,
    pub(super) gateway: Arc<watch::Sender<Option<GatewayHealth>>>,
    pub(super) joined: watch::Receiver<usize>,
    pub(super) doubted: watch::Receiver<HashSet<PeerId>>,
    pub(super) clock: watch::Receiver<Option<ClockOffset>>,
    pub(super) me: PeerId,
    pub(super) query_timeout: Duration,
    pub(super) streams: libp2p_stream::Control,
    pub(super) content: StreamProtocol,
    pub(super) sync: StreamProtocol,
    pub(super) heads: HeadSet,
    pub(super) known: Arc<watch::Sender<HashSet<PublisherId>>>,
    pub(super) busy: BusyPeers,
    pub(super) asking: Asking,
    pub(super) idle: Duration,
    pub(super) serving: Arc<Serving>,
    pub(super) families: [Arc<Registry>; 2],
}

/// The tasks that serve content to peers.
pub(super) struct Serving {
    pub(super) stop: CancellationToken,
    pub(super) tasks: TaskTracker,
}

impl Net {
    pub fn peer_id(&self) -> PeerId {
        self.me
    }

    /// Deadline of a query that is given none.
    pub fn query_timeout(&self) -> Duration {
        self.query_timeout
    }

    pub(super) async fn send<T>(
        &self,
        command: impl FnOnce(oneshot::Sender<T>) -> Command,
    ) -> Result<T> {
        let (reply, receiver) = oneshot::channel();
        self.commands
            .send(command(reply))
            .await
            .map_err(|_| RegistryError::Closed)?;
        receiver.await.map_err(|_| RegistryError::Closed)
    }

    /// Looks a record up in the DHT. Resolves at the latest after `timeout`, with what came by
    /// then. `what` is what it is for, as a person is told.
    ///
    /// # Errors
    /// [`RegistryError::Busy`] beyond [`MAX_LOOKUPS`] at once, [`RegistryError::Closed`] while
    /// shutting down.
    pub async fn find(
        &self,
        key: DhtKey,
        want: Want,
        what: Option<String>,
        timeout: Duration,
    ) -> Result<Lookup> {
        let ending = Ending::of(tracing::info_span!(
            "lookup",
            key = %Hash(key.0),
            ?want,
            asked = Empty,
            answered = Empty,
            outcome = Empty,
            ms = Empty
        ));
        let found = ending
            .within(self.start_lookup(key, want, what, timeout))
            .await;
        match &found {
            Ok(lookup) => {
                ending.count("asked", lookup.asked);
                ending.count("answered", lookup.answers.len());
                ending.ended(match lookup.ended {
                    _ if !lookup.answers.is_empty() => "found",
                    Ended::TimedOut => "timeout",
                    Ended::Satisfied | Ended::Exhausted => "missing",
                });
            }
            Err(error) => ending.failed(error),
        }
        found
    }

    async fn start_lookup(
        &self,
        key: DhtKey,
        want: Want,
        what: Option<String>,
        timeout: Duration,
    ) -> Result<Lookup> {
        let permit = self
            .lookups
            .clone()
            .try_acquire_owned()
            .map_err(|_| RegistryError::Busy {
                what: "the lookup table",
                limit: MAX_LOOKUPS,
            })?;
        let deadline = clock::deadline(std::time::Instant::now(), timeout);
        self.send(|reply| Command::Find {
            key,
            want,
            what,
            deadline,
            permit,
            reply,
        })
        .await
    }

    /// Puts a record into the DHT. Returns how many peers acknowledged it, which does not mean that
    /// they kept it: reading back does.
    pub async fn put(&self, record: Record, timeout: Duration) -> Result<usize> {
        let deadline = clock::deadline(std::time::Instant::now(), timeout);
        self.send(|reply| Command::Put {
            record: Box::new(record),
            deadline,
            reply,
        })
        .await
    }

    /// Gossips an announcement. Returns the peers it went to, which may not all be there any more:
    /// see [`Self::alive`].
    pub async fn announce(&self, data: Bytes) -> Result<Vec<PeerId>> {
        let span = tracing::info_span!(
            "announce",
            bytes = data.len(),
            peers = Empty,
            outcome = Empty,
            ms = Empty
        );
        let ending = Ending::of(span);
        let heard = ending
            .within(self.send(|reply| Command::Announce { data, reply }))
            .await;
        match &heard {
            Ok(peers) => {
                ending.count("peers", peers.len());
                ending.ended(if peers.is_empty() { "unheard" } else { "sent" });
            }
            Err(error) => ending.failed(error),
        }
        heard
    }

    /// How many of these peers prove to be there after `since`, within `most`. What is sent over a
    /// connection arrives in order, so that they have got what was sent before, too.
    pub async fn alive(
        &self,
        peers: &[PeerId],
        since: std::time::Instant,
        most: Duration,
    ) -> Result<usize> {
        /// Their answers are looked for this often.
        const LOOK: Duration = Duration::from_millis(20);
        let deadline = Instant::from_std(clock::deadline(std::time::Instant::now(), most));
        let mut greet = true;
        loop {
            let peers = peers.to_vec();
            let (all, ask) = (peers.len(), std::mem::take(&mut greet));
            let alive = self
                .send(|reply| Command::Alive {
                    peers,
                    since,
                    greet: ask,
                    reply,
                })
                .await?;
            if alive == all || Instant::now() >= deadline {
                return Ok(alive);
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Asks one peer, and waits no longer than `timeout`, also for its turn.
    pub async fn ask(
        &self,
        peer: PeerId,
        request: Request,
        timeout: Duration,
    ) -> Result<Result<Response, AskError>> {
        let deadline = clock::deadline(std::time::Instant::now(), timeout);
        let Ok(_place) =
            tokio::time::timeout_at(Instant::from_std(deadline), self.asking.place(peer)).await
        else {
            return Ok(Err(AskError::TimedOut));
        };
        self.send(|reply| Command::Ask {
            peer,
            request,
            deadline,
            reply,
        })
        .await
    }

    /// Up to `limit` connected peers worth asking, by reputation.
    pub async fn best_peers(&self, min_reputation: f64, limit: usize) -> Result<Vec<PeerId>> {
        self.send(|reply| Command::BestPeers {
            min_reputation,
            limit,
            reply,
        })
        .await
    }

    /// This machine's clock beside the peers'; `None` with fewer than two to compare with.
    pub fn clock_offset(&self) -> Option<ClockOffset> {
        *self.clock.borrow()
    }

    /// Whether a peer's word counts in a quorum: not while only the share of peers that a rule may
    /// ban spares it.
    pub fn counts(&self, peer: &PeerId) -> bool {
        !self.doubted.borrow().contains(peer)
    }

    /// The connected peers of this network, and how many packages each says it has.
    pub async fn catalogues(&self) -> Result<Vec<(PeerId, u64)>> {
        self.send(|reply| Command::Catalogues { reply }).await
    }

    /// The connected peers of this network, and how many bytes each says it may keep for others.
    pub async fn rooms(&self) -> Result<Vec<(PeerId, u64)>> {
        self.send(|reply| Command::Rooms { reply }).await
    }

    /// Opens a stream to ask a peer for content, dialling it if need be.
    ///
    /// # Errors
    /// [`Broken`] when it could not be reached within `most`, or does not speak the protocol.
    pub async fn open_content(&self, peer: PeerId, most: Duration) -> Result<ContentLink, Broken> {
        let busy = self.busy.hold(peer);
        let stream = self
            .open(peer, &self.content, most)
            .await
            .map_err(Broken::Lost)?;
        Ok(ContentLink::new(peer, stream, self.idle, busy))
    }

    /// Opens a stream to compare catalogues with a peer.
    ///
    /// # Errors
    /// [`Stopped::Lost`] when it could not be reached within `most`, or does not speak the
    /// protocol.
    pub async fn open_sync(&self, peer: PeerId, most: Duration) -> Result<SyncLink, Stopped> {
        let busy = self.busy.hold(peer);
        let stream = self
            .open(peer, &self.sync, most)
            .await
            .map_err(Stopped::Lost)?;
        Ok(SyncLink::new(peer, stream, busy))
    }

    async fn open(
        &self,
        peer: PeerId,
        protocol: &StreamProtocol,
        most: Duration,
    ) -> std::io::Result<Stream> {
        let mut streams = self.streams.clone();
        let opened = tokio::time::timeout(most, streams.open_stream(peer, protocol.clone())).await;
        opened
            .map_err(std::io::Error::other)?
            .map_err(std::io::Error::other)
    }

    /// The heads of this node's catalogue, for comparing.
    pub(crate) fn heads(&self) -> &HeadSet {
        &self.heads
    }

    /// Takes these for the publishers that are known here: what they announce is heard before what
    /// strangers do.
    pub(crate) fn know(&self, publishers: HashSet<PublisherId>) {
        self.known.send_replace(publishers);
    }

    /// The publishers that are known here.
    pub(crate) fn known(&self) -> HashSet<PublisherId> {
        self.known.borrow().clone()
    }

    /// Asks the DHT who says that it has what is behind a key; peers come as they are found, and
    /// the end is the end of the search. `what` is what it is for, as a person is told.
    pub async fn find_providers(
        &self,
        key: DhtKey,
        what: String,
        timeout: Duration,
    ) -> Result<mpsc::Receiver<PeerId>> {
        /// More than are ever asked.
        const PROVIDERS: usize = 64;
        let (found, receiver) = mpsc::channel(PROVIDERS);
        let deadline = clock::deadline(std::time::Instant::now(), timeout);
        let command = Command::FindProviders {
            key,
            what,
            deadline,
            found,
        };
        self.commands
            .send(command)
            .await
            .map_err(|_| RegistryError::Closed)?;
        Ok(receiver)
    }

    /// Tells the DHT that this node has what is behind a key; returns once it has been told.
    pub async fn provide(&self, key: DhtKey, what: String) -> Result<()> {
        let (reply, told) = oneshot::channel();
        let command = Command::Provide { key, what, reply };
        self.commands
            .send(command)
            .await
            .map_err(|_| RegistryError::Closed)?;
        // Dropped when there is nobody to tell: whoever asks this node is told by itself.
        let _ = told.await;
        Ok(())
    }

    /// Connected peers with their scores, the best first; nodes that are `publisher`'s own before
    /// all others.
    pub async fn sources(&self, publisher: Option<PublisherId>) -> Result<Vec<(PeerId, f64)>> {
        self.send(|reply| Command::Sources { publisher, reply })
            .await
    }

    /// Notes what a peer's answer was worth. Dropped when the task has too much to do: evidence is
    /// statistics.
    pub fn observe(&self, peer: PeerId, outcome: Outcome) {
        let _ = self.commands.try_send(Command::Observe { peer, outcome });
    }

    /// Notes verified bytes of content that a peer gave, and how long it took.
    pub fn gave(&self, peer: PeerId, bytes: u64, took: Duration) {
        let _ = self.commands.try_send(Command::Gave { peer, bytes, took });
    }

    /// Has a peer banned, protected, or let be; false when it changes nothing.
    pub async fn judge(&self, peer: PeerId, ruling: Ruling) -> Result<bool> {
        self.send(|reply| Command::Obey {
            peer,
            ruling,
            reply,
        })
        .await
    }

    /// Changes what peers are told of this node, at the next hello.
    pub fn greet(&self, change: impl FnOnce(&mut Greeting)) {
        self.greeting.send_modify(change);
    }

    /// How the own packages are kept, for who looks at the node's health.
    pub fn tell_safety(&self, safety: Safety) {
        self.safety.send_replace(Some(safety));
    }

    /// How the gateway for package managers is, likewise.
    pub fn tell_gateway(&self, gateway: Option<GatewayHealth>) {
        self.gateway.send_replace(gateway);
    }

    /// How this node stands with copies, likewise.
    pub fn tell_copies(&self, copies: CopyFigures) {
        self.copies.send_replace(copies);
    }

    pub async fn status(&self) -> Result<NodeSnapshot> {
        self.send(|reply| Command::Status { reply }).await
    }

    /// Every peer that is known, connected or not.
    pub async fn peers(&self) -> Result<Vec<PeerSnapshot>> {
        self.send(|reply| Command::Peers { reply }).await
    }

    /// What is measured now.
    pub async fn health(&self) -> Result<Sample> {
        self.send(|reply| Command::Health { reply })
            .await
            .map(|sample| *sample)
    }

    /// Connects to a peer, and waits until it is known to be of this network. With `keep`, it is
    /// dialled again whenever the connection is lost, like one that was named at the start.
    ///
    /// # Errors
    /// [`RegistryError::Address`] without `/p2p/` at its end, [`RegistryError::Unreached`] when
    /// nobody of this network answered there after `most`.
    pub async fn dial(&self, address: Multiaddr, keep: bool, most: Duration) -> Result<PeerId> {
        let peer = listen::peer_of(&address).ok_or_else(|| RegistryError::Address {
            given: address.to_string(),
            why: "it does not end with /p2p/ and the peer's id".to_owned(),
        })?;
        /// Whether the wanted one is among those that joined is looked at this often at least.
        const LOOK: Duration = Duration::from_millis(200);
        let deadline = Instant::from_std(clock::deadline(std::time::Instant::now(), most));
        let mut joined = self.joined.clone();
        let unreached = RegistryError::Unreached {
            address: address.to_string(),
            millis: most.as_millis(),
        };
        self.commands
            .send(Command::Dial {
                peer,
                address,
                keep,
            })
            .await
            .map_err(|_| RegistryError::Closed)?;
        loop {
            let is_it = |known: &PeerSnapshot| {
                known.id == peer && known.connection.is_some() && !known.protocols.is_empty()
            };
            if self.peers().await?.iter().any(is_it) {
                return Ok(peer);
            }
            if Instant::now() >= deadline {
                return Err(unreached);
            }
            // Either is a reason to look again.
            let _ = tokio::time::timeout_at(deadline.min(Instant::now() + LOOK), joined.changed())
                .await;
        }
    }

    /// Ends the connection with a peer; false when there was none.
    pub async fn disconnect(&self, peer: PeerId) -> Result<bool> {
        self.send(|reply| Command::Disconnect { peer, reply }).await
    }

    /// The scores of the known peers, 0 to 1.
    pub async fn reputations(&self) -> Result<Vec<f64>> {
        let standings = self.send(|reply| Command::Standings { reply }).await?;
        let scores = tokio::task::spawn_blocking(move || standings.scores()).await;
        scores.map_err(|error| RegistryError::Internal {
            what: "scoring the peers",
            why: error.to_string(),
        })
    }

    /// libp2p's own metrics.
    pub fn families(&self) -> &[Arc<Registry>] {
        &self.families
    }

    /// Has everything told again to the readers of the bus: one is new.
    pub fn refresh(&self) {
        let _ = self.commands.try_send(Command::Refresh);
    }

    /// The number of connected peers that speak this network's protocols, as it changes.
    pub fn joined(&self) -> watch::Receiver<usize> {
        self.joined.clone()
    }

    /// Waits until a peer of this network is connected; false when there is none after `most`.
    pub async fn wait_joined(&self, most: Duration) -> bool {
        let mut joined = self.joined.clone();
        tokio::time::timeout(most, joined.wait_for(|peers| *peers > 0))
            .await
            .is_ok_and(|waited| waited.is_ok())
    }

    /// Tells the peers, closes the connections, writes what is unwritten. Returns within two
    /// seconds.
    pub async fn shutdown(&self) -> Result<()> {
        self.serving.stop.cancel();
        self.serving.tasks.close();
        self.serving.tasks.wait().await;
        self.send(|reply| Command::Shutdown { reply }).await
    }
}
