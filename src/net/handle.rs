//! The handle through which the rest of the node controls the swarm task.

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
    dht::lookups::{Lookup, LookupEnd, Want},
    query::{
        asking::PeerPermits,
        protocol::{Request, Response},
    },
    reach::listen,
    swarm::{
        command::{AskError, Command},
        measure::Safety,
        readings::Readings,
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

/// A handle on the swarm task. Cheap to clone. The task ends on shutdown or when the last handle is
/// dropped.
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
    pub(super) asking: PeerPermits,
    pub(super) idle: Duration,
    pub(super) serving: Arc<ServingTasks>,
    pub(super) families: [Arc<Registry>; 2],
    pub(super) readings: Readings,
}

/// The tasks that serve content to peers.
pub(super) struct ServingTasks {
    pub(super) stop: CancellationToken,
    pub(super) tasks: TaskTracker,
}

impl Net {
    pub fn peer_id(&self) -> PeerId {
        self.me
    }

    /// Returns the default deadline of a query.
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

    /// Looks up a record in the DHT. Resolves after `timeout` at the latest, with the answers
    /// received by then. `what` describes the purpose for display.
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
                    LookupEnd::TimedOut => "timeout",
                    LookupEnd::Satisfied | LookupEnd::Exhausted => "missing",
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

    /// Puts a record into the DHT. Returns the number of peers that acknowledged it. An
    /// acknowledgement does not mean that a peer kept the record; only reading it back shows that.
    pub async fn put(&self, record: Record, timeout: Duration) -> Result<usize> {
        let deadline = clock::deadline(std::time::Instant::now(), timeout);
        self.send(|reply| Command::Put {
            record: Box::new(record),
            deadline,
            reply,
        })
        .await
    }

    /// Gossips an announcement. Returns the peers that it was sent to. Some of them may be gone
    /// already: see [`Self::alive`].
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

    /// Returns how many of these peers prove to be alive after `since`, within `most`. A connection
    /// delivers in order, so these peers have also received everything sent before.
    pub async fn alive(
        &self,
        peers: &[PeerId],
        since: std::time::Instant,
        most: Duration,
    ) -> Result<usize> {
        /// The interval at which answers are checked.
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

    /// Sends a request to one peer. `timeout` includes the wait for a free slot.
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

    /// Returns up to `limit` connected peers to ask, chosen by reputation.
    pub async fn best_peers(&self, min_reputation: f64, limit: usize) -> Result<Vec<PeerId>> {
        self.send(|reply| Command::BestPeers {
            min_reputation,
            limit,
            reply,
        })
        .await
    }

    /// Returns the offset of this machine's clock from those of its peers; `None` with fewer than
    /// two peers to compare.
    pub fn clock_offset(&self) -> Option<ClockOffset> {
        *self.clock.borrow()
    }

    /// Returns true if a peer's answer counts in a quorum. It does not if the peer earned a ban
    /// that was withheld because too many peers would be banned at once.
    pub fn counts(&self, peer: &PeerId) -> bool {
        !self.doubted.borrow().contains(peer)
    }

    /// Returns the connected peers of this network, with the number of packages that each says it
    /// has.
    pub async fn catalogues(&self) -> Result<Vec<(PeerId, u64)>> {
        self.send(|reply| Command::Catalogues { reply }).await
    }

    /// Returns the connected peers of this network, with the bytes that each says it may keep for
    /// others.
    pub async fn rooms(&self) -> Result<Vec<(PeerId, u64)>> {
        self.send(|reply| Command::Rooms { reply }).await
    }

    /// Opens a stream to request content from a peer, and dials the peer if necessary.
    ///
    /// # Errors
    /// [`Broken`] if the peer could not be reached within `most` or does not support the protocol.
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
    /// [`Stopped::Lost`] if the peer could not be reached within `most` or does not support the
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

    /// Returns the heads of this node's catalogue, for comparison.
    pub(crate) fn heads(&self) -> &HeadSet {
        &self.heads
    }

    /// Sets the known publishers, whose announcements take precedence over those of strangers.
    pub(crate) fn know(&self, publishers: HashSet<PublisherId>) {
        self.known.send_replace(publishers);
    }

    /// Returns the known publishers.
    pub(crate) fn known(&self) -> HashSet<PublisherId> {
        self.known.borrow().clone()
    }

    /// Looks up the providers of a key in the DHT. Peers are sent as they are found, and the
    /// channel closes when the lookup ends. `what` describes the purpose for display.
    pub async fn find_providers(
        &self,
        key: DhtKey,
        what: String,
        timeout: Duration,
    ) -> Result<mpsc::Receiver<PeerId>> {
        /// More providers than are ever asked.
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

    /// Announces in the DHT that this node provides a key. Returns once the announcement is done.
    pub async fn provide(&self, key: DhtKey, what: String) -> Result<()> {
        let (reply, told) = oneshot::channel();
        let command = Command::Provide { key, what, reply };
        self.commands
            .send(command)
            .await
            .map_err(|_| RegistryError::Closed)?;
        // The sender is dropped if there is no peer to tell; peers that ask this node still get the
        // record.
        let _ = told.await;
        Ok(())
    }

    /// Returns the connected peers with their scores, best first, but with the nodes of `publisher`
    /// before all others.
    pub async fn sources(&self, publisher: Option<PublisherId>) -> Result<Vec<(PeerId, f64)>> {
        self.send(|reply| Command::Sources { publisher, reply })
            .await
    }

    /// Records the outcome of a request to a peer. It is dropped if the task is busy, because it is
    /// only statistics.
    pub fn observe(&self, peer: PeerId, outcome: Outcome) {
        let _ = self.commands.try_send(Command::Observe { peer, outcome });
    }

    /// Records the verified bytes of content that a peer supplied, and the time it took.
    pub fn gave(&self, peer: PeerId, bytes: u64, took: Duration) {
        let _ = self.commands.try_send(Command::Gave { peer, bytes, took });
    }

    /// Bans, protects or releases a peer. Returns false if that changes nothing.
    pub async fn judge(&self, peer: PeerId, ruling: Ruling) -> Result<bool> {
        self.send(|reply| Command::Moderate {
            peer,
            ruling,
            reply,
        })
        .await
    }

    /// Changes what the next hello tells peers about this node.
    pub fn greet(&self, change: impl FnOnce(&mut Greeting)) {
        self.greeting.send_modify(change);
    }

    /// Sets the replication of this node's own packages, for the health screen.
    pub fn tell_safety(&self, safety: Safety) {
        self.safety.send_replace(Some(safety));
    }

    /// Sets the state of the gateway for package managers, for the health screen.
    pub fn tell_gateway(&self, gateway: Option<GatewayHealth>) {
        self.gateway.send_replace(gateway);
    }

    /// Sets the figures on copies kept for others, for the health screen.
    pub fn tell_copies(&self, copies: CopyFigures) {
        self.copies.send_replace(copies);
    }

    pub async fn status(&self) -> Result<NodeSnapshot> {
        self.send(|reply| Command::Status { reply }).await
    }

    /// Returns all known peers, connected or not.
    pub async fn peers(&self) -> Result<Vec<PeerSnapshot>> {
        self.send(|reply| Command::Peers { reply }).await
    }

    /// Returns a sample of the current measurements.
    pub async fn health(&self) -> Result<Sample> {
        self.readings.read_now().await;
        self.send(|reply| Command::Health { reply })
            .await
            .map(|sample| *sample)
    }

    /// Connects to a peer, and waits until it is known to be on this network. With `keep`, it is
    /// dialled again whenever the connection is lost, like a bootstrap peer.
    ///
    /// # Errors
    /// [`RegistryError::Address`] if the address does not end with `/p2p/`,
    /// [`RegistryError::Unreached`] if no peer of this network answered within `most`.
    pub async fn dial(&self, address: Multiaddr, keep: bool, most: Duration) -> Result<PeerId> {
        let peer = listen::peer_of(&address).ok_or_else(|| RegistryError::Address {
            given: address.to_string(),
            why: "it does not end with /p2p/ and the peer's id".to_owned(),
        })?;
        /// The longest interval at which the peers that joined are checked for the wanted one.
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
            // Check again after either.
            let _ = tokio::time::timeout_at(deadline.min(Instant::now() + LOOK), joined.changed())
                .await;
        }
    }

    /// Disconnects a peer. Returns false if it was not connected.
    pub async fn disconnect(&self, peer: PeerId) -> Result<bool> {
        self.send(|reply| Command::Disconnect { peer, reply }).await
    }

    /// Returns the scores of the known peers, 0 to 1.
    pub async fn reputations(&self) -> Result<Vec<f64>> {
        let standings = self.send(|reply| Command::Standings { reply }).await?;
        let scores = tokio::task::spawn_blocking(move || standings.scores()).await;
        scores.map_err(|error| RegistryError::Internal {
            what: "scoring the peers",
            why: error.to_string(),
        })
    }

    /// Returns libp2p's own metrics.
    pub fn families(&self) -> &[Arc<Registry>] {
        &self.families
    }

    /// Makes the task send its whole state to the readers of the bus, for a new reader.
    pub fn refresh(&self) {
        let _ = self.commands.try_send(Command::Refresh);
    }

    /// Returns the number of connected peers of this network, as it changes.
    pub fn joined(&self) -> watch::Receiver<usize> {
        self.joined.clone()
    }

    /// Waits until a peer of this network is connected. Returns false if there is none after
    /// `most`.
    pub async fn wait_joined(&self, most: Duration) -> bool {
        let mut joined = self.joined.clone();
        tokio::time::timeout(most, joined.wait_for(|peers| *peers > 0))
            .await
            .is_ok_and(|waited| waited.is_ok())
    }

    /// Says goodbye to the peers, closes the connections, and writes pending changes. Returns
    /// within two seconds.
    pub async fn shutdown(&self) -> Result<()> {
        self.serving.stop.cancel();
        self.serving.tasks.close();
        self.serving.tasks.wait().await;
        self.send(|reply| Command::Shutdown { reply }).await
    }
}
