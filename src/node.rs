//! One whole node: store, keys, swarm task and registry, put together and taken down in order.

use std::{
    ops::Deref,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use libp2p::{Multiaddr, PeerId};
use tokio::{sync::mpsc, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use crate::{
    RegistryError, Result,
    bus::{
        Batch, Board, Bus, BusEvent, Level, NodeSnapshot, Notice, PeerSnapshot, RequestLog, Tally,
    },
    clock,
    domain::{
        faults::Ruling,
        hash::ContentRoot,
        health::{GatewayHealth, Sample},
        lookup::{LookupResult, RoutingTable, Sought, Trace},
        name::NetworkName,
        proof::Prover,
        record::DhtKey,
        secret::Role,
    },
    geoip::{Atlas, Database},
    metrics::{Metrics, ScrapedValues},
    net::{self, Beginning, Net},
    process,
    registry::{Chance, Contents, Names, P2pRegistry, Parts, Registry, SyncReport},
    store::{
        Room, Store,
        backup::{self, Ask, Backup},
        content::ContentStore,
        keys,
    },
};
pub use crate::{
    domain::content::ContentOptions,
    net::{Conduct, Delays, DhtMode, NetOptions, Staging},
    registry::RegistryOptions,
};

/// Everything a node needs to know to start. Settings fill it in place.
#[derive(Clone, Debug)]
pub struct NodeOptions {
    /// The directory of keys and database.
    pub data_dir: PathBuf,
    /// Settings of the swarm.
    pub net: NetOptions,
    /// Settings of what is published, and of what is kept for others.
    pub registry: RegistryOptions,
    /// Settings of content.
    pub content: ContentOptions,
    /// Delays and misconduct of demos and tests: none, for a real node.
    pub staging: Staging,
}

impl NodeOptions {
    /// Those of a node without settings, on a data directory and in a network.
    pub fn of(data_dir: PathBuf, network: NetworkName) -> Self {
        Self {
            data_dir,
            net: NetOptions::of(network),
            registry: RegistryOptions::default(),
            content: ContentOptions::default(),
            staging: Staging::default(),
        }
    }
}

/// A running node. It is used through its [`NodeHandle`].
pub struct Node {
    handle: NodeHandle,
    stop: CancellationToken,
    tasks: Vec<JoinHandle<()>>,
}

/// The interface of a running node. Cheap to clone; a node that has ended answers
/// [`Closed`](crate::RegistryError::Closed).
#[derive(Clone)]
pub struct NodeHandle {
    net: Net,
    registry: P2pRegistry,
    bus: Bus,
    requests: RequestLog,
    prover: Prover,
    tally: Tally,
    metrics: Metrics,
    store: Store,
    data_dir: Arc<Path>,
}

impl Deref for Node {
    type Target = NodeHandle;

    fn deref(&self) -> &NodeHandle {
        &self.handle
    }
}

impl Node {
    /// Starts a node; returns once it listens.
    ///
    /// # Errors
    /// [`DataDirInUse`](crate::RegistryError::DataDirInUse) while another node has the data
    /// directory, [`Listen`](crate::RegistryError::Listen) when an address that was asked for
    /// cannot be had, [`Usage`](crate::RegistryError::Usage) when the database of places cannot be
    /// used.
    pub async fn start(options: NodeOptions) -> Result<Self> {
        let metrics = Metrics::default();
        let store = Store::open(&options.data_dir, metrics.clone())?;
        store.set_room(Room {
            bytes: options.registry.catalogue_bytes,
            packages: options.registry.catalogue_max,
        });
        let known = store.known_key(Role::Identity)?;
        let key = keys::load_or_first(
            Role::Identity,
            &keys::identity_path(&options.data_dir),
            known,
        )?;
        store
            .remember_key(Role::Identity, &key.public().to_peer_id().to_string())
            .await?;
        let (bus, tally) = (Bus::default(), Tally::default());
        let prover = Prover::new(key.clone());
        let NodeOptions {
            data_dir,
            net: net_options,
            registry: registry_options,
            content,
            staging,
        } = options;
        let contents = ContentStore::open(&data_dir, store.clone(), content.quota)?;
        let board = Board::new(bus.clone());
        let clock = staging.clock.clone();
        let with = Beginning {
            key,
            store: store.clone(),
            contents: contents.clone(),
            content,
            atlas: atlas(net_options.geoip_db.clone()).await?,
            staging,
            board: board.clone(),
            bus: bus.clone(),
            tally: tally.clone(),
            metrics: metrics.clone(),
        };
        let (net, inbound, lacking) = net::start(net_options, with).await?;
        let parts = Parts {
            net: net.clone(),
            store: store.clone(),
            contents,
            board,
            bus: bus.clone(),
            tally: tally.clone(),
            metrics: metrics.clone(),
            data_dir: data_dir.clone(),
            content,
            clock,
            chance: Chance::default(),
        };
        let registry = P2pRegistry::new(parts, registry_options).await?;
        let stop = CancellationToken::new();
        let tasks = registry.start(inbound, lacking, &stop);
        let requests = RequestLog::new(bus.clone(), metrics.clone());
        let handle = NodeHandle {
            net,
            registry,
            bus,
            requests,
            prover,
            tally,
            metrics,
            store,
            data_dir: data_dir.into(),
        };
        Ok(Self {
            handle,
            stop,
            tasks,
        })
    }

    /// Returns a handle to this node.
    pub fn handle(&self) -> NodeHandle {
        self.handle.clone()
    }

    /// Tells the peers, writes what is unwritten, and ends every task. Takes two seconds at most.
    ///
    /// # Errors
    /// [`Closed`](crate::RegistryError::Closed) if the swarm task had ended before.
    pub async fn shutdown(self) -> Result<()> {
        self.end_within(Duration::from_millis(1_800)).await
    }

    async fn end_within(self, most: Duration) -> Result<()> {
        let Self {
            handle,
            stop,
            tasks,
        } = self;
        // Also where the goodbye takes longer than there is time: tasks that are not told go on,
        // and hold the data directory.
        let _told = stop.clone().drop_guard();
        let ended = async {
            let told = handle.net.shutdown().await;
            stop.cancel();
            for task in tasks {
                // A task that panicked has ended too, and the panic has been logged.
                let _ = task.await;
            }
            told
        };
        let result = tokio::time::timeout(most, ended).await.unwrap_or(Ok(()));
        drop(handle);
        result
    }
}

/// Opens the person's own database, if there is one: some have a hundred megabytes.
async fn atlas(database: Option<PathBuf>) -> Result<Atlas> {
    let Some(path) = database else {
        return Ok(Atlas::default());
    };
    let opened = tokio::task::spawn_blocking(move || Database::open(&path)).await;
    let opened = opened.map_err(|error| RegistryError::Internal {
        what: "reading places",
        why: error.to_string(),
    })?;
    Ok(Atlas::new(Some(opened?)))
}

impl NodeHandle {
    /// Returns the id of this node as a peer.
    pub fn peer_id(&self) -> PeerId {
        self.net.peer_id()
    }

    /// Returns the registry: search, get, publish.
    pub fn registry(&self) -> Arc<dyn Registry> {
        Arc::new(self.registry.clone())
    }

    /// Returns the content of this node.
    pub fn contents(&self) -> Arc<dyn Contents> {
        Arc::new(self.registry.clone())
    }

    /// Returns the table of bare names.
    pub fn names(&self) -> Arc<dyn Names> {
        Arc::new(self.registry.clone())
    }

    /// Everything that happens from now on, beginning with how things stand.
    pub fn subscribe(&self) -> mpsc::Receiver<Batch> {
        let reader = self.bus.subscribe();
        self.net.refresh();
        self.requests.tell_again();
        reader
    }

    /// Signs that this node answers at an address.
    pub fn prover(&self) -> Prover {
        self.prover.clone()
    }

    /// The board on which the gateway says what package managers ask.
    pub fn requests(&self) -> RequestLog {
        self.requests.clone()
    }

    /// Shows a sentence to whoever watches.
    pub fn tell(&self, text: &str) {
        let notice = Notice {
            at: clock::now(),
            level: Level::Info,
            text: text.to_owned(),
        };
        self.bus.emit(BusEvent::Notice(notice));
    }

    /// Says how the gateway for package managers is, for Health.
    pub fn tell_gateway(&self, gateway: Option<GatewayHealth>) {
        self.net.tell_gateway(gateway);
    }

    /// Returns the state of the node.
    ///
    /// # Errors
    /// [`Closed`](crate::RegistryError::Closed) once the node has ended.
    pub async fn status(&self) -> Result<NodeSnapshot> {
        self.net.status().await
    }

    /// Every peer that is known, connected or not.
    ///
    /// # Errors
    /// [`Closed`](crate::RegistryError::Closed) once the node has ended.
    pub async fn peers(&self) -> Result<Vec<PeerSnapshot>> {
        self.net.peers().await
    }

    /// Measures the node now.
    ///
    /// # Errors
    /// [`Closed`](crate::RegistryError::Closed) once the node has ended.
    pub async fn health(&self) -> Result<Sample> {
        let sample = self.net.health().await?;
        // The samples look at the disk every now and then only: whoever asks may be about to write.
        let path = self.store.path().to_owned();
        let disk = tokio::task::spawn_blocking(move || process::disk(&path))
            .await
            .unwrap_or_default();
        Ok(Sample {
            disk: disk.or(sample.disk),
            ..sample
        })
    }

    /// Every lookup in the DHT that runs, and the last that ended, the newest first.
    ///
    /// # Errors
    /// [`Closed`](crate::RegistryError::Closed) once the node has ended.
    pub async fn lookups(&self) -> Result<Vec<Trace>> {
        self.net.lookups().await
    }

    /// Whom Kademlia knows, by distance.
    ///
    /// # Errors
    /// [`Closed`](crate::RegistryError::Closed) once the node has ended.
    pub async fn routing(&self) -> Result<RoutingTable> {
        self.net.routing().await
    }

    /// Looks something up in the DHT, and tells what came of it hop by hop.
    ///
    /// # Errors
    /// [`Closed`](crate::RegistryError::Closed) once the node has ended.
    pub async fn look(
        &self,
        sought: Sought,
        what: Option<String>,
        timeout: Duration,
    ) -> Result<LookupResult> {
        self.net.look(sought, what, timeout).await
    }

    /// Connects to a peer and waits until it is known to be of this network; with `keep`, for good.
    ///
    /// # Errors
    /// [`Unreached`](crate::RegistryError::Unreached) for a peer that does not answer within
    /// `most`,
    /// [`Address`](crate::RegistryError::Address) for an address that cannot be dialled.
    pub async fn dial(&self, address: Multiaddr, keep: bool, most: Duration) -> Result<PeerId> {
        self.net.dial(address, keep, most).await
    }

    /// Compares this node's catalogue with a peer's now, and takes what it has not.
    ///
    /// # Errors
    /// [`Closed`](crate::RegistryError::Closed) once the node has ended, and those of the exchange
    /// with
    /// the peer.
    pub async fn sync_with(&self, peer: PeerId) -> Result<SyncReport> {
        self.registry.sync_with(peer).await
    }

    /// Ends the connection with a peer; false when there was none.
    ///
    /// # Errors
    /// [`Closed`](crate::RegistryError::Closed) once the node has ended.
    pub async fn disconnect(&self, peer: PeerId) -> Result<bool> {
        self.net.disconnect(peer).await
    }

    /// Has a peer banned, protected, or let be; false when it changes nothing.
    ///
    /// # Errors
    /// [`Closed`](crate::RegistryError::Closed) once the node has ended.
    pub async fn judge(&self, peer: PeerId, ruling: Ruling) -> Result<bool> {
        self.net.judge(peer, ruling).await
    }

    /// Finds the providers of a content in the DHT.
    ///
    /// # Errors
    /// [`Closed`](crate::RegistryError::Closed) once the node has ended,
    /// [`Timeout`](crate::RegistryError::Timeout) for a lookup that took too long.
    pub async fn providers(&self, root: &ContentRoot) -> Result<Vec<PeerId>> {
        let (key, timeout) = (DhtKey::of_content(root), self.net.query_timeout());
        let mut found = self
            .net
            .find_providers(key, format!("content {root}"), timeout)
            .await?;
        let mut providers = Vec::new();
        while let Some(peer) = found.recv().await {
            providers.push(peer);
        }
        Ok(providers)
    }

    /// Returns the data directory.
    pub fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    /// A number that is another one when anything that is stored may have changed.
    pub fn revision(&self) -> u64 {
        self.store.revision()
    }

    /// Makes a backup of this node, which goes on meanwhile; the directory is on its machine.
    ///
    /// # Errors
    /// [`Usage`](crate::RegistryError::Usage) for a directory that cannot be used,
    /// [`File`](crate::RegistryError::File) where it cannot be written.
    pub async fn backup(&self, ask: Ask) -> Result<Backup> {
        let data_dir = self.data_dir.clone();
        let made = tokio::task::spawn_blocking(move || backup::make(&data_dir, &ask)).await;
        made.unwrap_or_else(|error| {
            Err(RegistryError::Internal {
                what: "a backup",
                why: error.to_string(),
            })
        })
    }

    /// Records in the lock file that this node stays, and where its control socket is; or that it
    /// is about to end.
    pub fn stays(&self, stays: bool, socket: Option<&Path>) {
        self.store.stays(stays, socket);
    }

    /// Everything this node counts and measures, as OpenMetrics text: a scrape.
    ///
    /// # Errors
    /// [`Closed`](crate::RegistryError::Closed) once the node has ended.
    pub async fn metrics(&self) -> Result<String> {
        let (status, counters) = (self.status().await?, self.tally.snapshot());
        let figures = ScrapedValues {
            packages: status.packages,
            catalogue_bytes: self.registry.catalogue_bytes()?,
            dht_records: status.dht_records,
            connected: status.connected,
            mesh: status.mesh,
            reputations: self.net.reputations().await?,
            announcements: counters.announcements,
            refused: counters.refused,
            overloaded: counters.overloaded,
            events_dropped: self.bus.dropped(),
        };
        let told = self
            .metrics
            .text(figures, self.net.families().iter().map(AsRef::as_ref));
        told.map_err(|error| RegistryError::Internal {
            what: "writing the metrics",
            why: error.to_string(),
        })
    }

    /// Waits until a peer of this network is connected; false when there is none after `most`.
    pub async fn wait_joined(&self, most: Duration) -> bool {
        self.net.wait_joined(most).await
    }

    /// Waits until no own release is being given to other nodes any more; false when one is after
    /// `most`.
    pub async fn wait_copied(&self, most: Duration) -> bool {
        self.registry.wait_copied(most).await
    }

    /// Waits until the network has taken every publish; false when it has not after `most`.
    pub async fn wait_published(&self, most: Duration) -> bool {
        self.registry.wait_published(most).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn tasks_are_told_to_end_also_where_there_is_no_time_for_a_goodbye() {
        let dir = tempfile::tempdir().unwrap();
        let network = "test".parse().unwrap();
        let listen = vec!["/ip4/127.0.0.1/tcp/0".parse().unwrap()];
        let mut options = NodeOptions::of(dir.path().to_owned(), network);
        options.net.listen = listen;
        options.net.mdns = false;
        let node = Node::start(options).await.unwrap();
        let stop = node.stop.clone();
        node.end_within(Duration::ZERO).await.unwrap();
        assert!(stop.is_cancelled());
    }
}
