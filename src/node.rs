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

pub use crate::net::{Conduct, Delays, DhtMode, Staging};
use crate::{
    RegistryError, Result,
    bus::{
        Batch, Board, Bus, BusEvent, Level, NodeSnapshot, Notice, PeerSnapshot, RequestLog, Tally,
    },
    clock,
    domain::{
        caps,
        content::MAX_CONTENT,
        faults::Ruling,
        geo::GeoLocation,
        hash::ContentRoot,
        health::{GatewayHealth, Sample},
        lookup::{LookupResult, RoutingTable, Sought, Trace},
        name::{Handle, NetworkName},
        names::NameRule,
        proof::Prover,
        record::DhtKey,
        reputation::Weights,
        secret::Role,
    },
    geoip::{Atlas, Database},
    metrics::{Figures, Metrics},
    net::{self, Net, NetOptions},
    process,
    registry::{
        CatalogueScope, Chance, Contents, Names, P2pRegistry, Parts, Registry, RegistryOptions,
        SyncReport,
    },
    store::{
        Room, Store,
        backup::{self, Ask, Backup},
        content::ContentStore,
        keys,
    },
};

/// [`NodeOptions::dial_back_every`] where there is nothing to be said for another.
pub const DIAL_BACK_EVERY: Duration = Duration::from_secs(15);

/// [`NodeOptions::content_idle`] likewise: a mobile link wakes up within this, and a person waits
/// no longer gladly.
pub const CONTENT_IDLE: Duration = Duration::from_secs(10);
/// [`NodeOptions::content_quota`] of a node without settings.
pub const CONTENT_QUOTA: u64 = 10 << 30;

/// [`NodeOptions::ban_time`] likewise: long enough that trying again does not pay, and short enough
/// for who was wronged.
pub const BAN_TIME: Duration = Duration::from_secs(1_800);
/// [`NodeOptions::ping_every`] likewise: a connection is found dead when nothing has come for four
/// times as long.
pub const PING_EVERY: Duration = Duration::from_secs(5);

/// [`NodeOptions::catalogue_bytes`] likewise: the records of some 400,000 packages.
pub const CATALOGUE_BYTES: u64 = 1 << 30;
/// [`NodeOptions::catalogue_max`] likewise: about 1.5 GiB of disk.
pub const CATALOGUE_MAX: u64 = 500_000;
/// [`NodeOptions::sync_every`] likewise: comparing equal catalogues costs a KiB, and gossip brings
/// what is new at once.
pub const SYNC_EVERY: Duration = Duration::from_secs(300);

/// [`NodeOptions::copies`] likewise: one of them may leave, and a third node has the bytes.
pub const COPIES: usize = 2;
/// [`NodeOptions::keep_for_others`] likewise: a tenth of the quota.
pub const KEEP_FOR_OTHERS: u64 = 1 << 30;
/// [`NodeOptions::copy_lost_after`] likewise: a laptop comes back within a day.
pub const COPY_LOST_AFTER: Duration = Duration::from_secs(86_400);

/// Everything a node needs to know to start.
#[derive(Clone, Debug)]
pub struct NodeOptions {
    pub data_dir: PathBuf,
    pub network: NetworkName,
    /// Where to listen. Empty: all interfaces on the default port, or on any free one when that is
    /// taken.
    pub listen: Vec<Multiaddr>,
    /// Peers to join through, each with `/p2p/`.
    pub bootstrap: Vec<Multiaddr>,
    /// What this node's publisher calls itself.
    pub handle: Option<Handle>,
    /// Declared to others only when set: setting it is the opt-in.
    pub location: Option<GeoLocation>,
    /// A database in MaxMind's format, in which places of those are looked up that declare none.
    pub geoip_db: Option<PathBuf>,
    pub mdns: bool,
    pub dht: DhtMode,
    /// With [`DhtMode::Auto`], peers are asked to dial back this often until it is clear what comes
    /// of it.
    pub dial_back_every: Duration,
    /// Deadline of each query to the network.
    pub query_timeout: Duration,
    pub weights: Weights,
    /// Length of a peer's first ban; each one after it is twice as long.
    pub ban_time: Duration,
    /// Pings go this often, and a connection on which nothing comes for four times as long, or 20
    /// s, is ended.
    pub ping_every: Duration,
    /// Most bytes of content in all, beyond which what was used longest ago goes, unless it is own
    /// or pinned.
    pub content_quota: u64,
    /// Most bytes of one content.
    pub max_content: u64,
    /// Offer to others what was fetched.
    pub provide: bool,
    /// Longest time in which a peer that content is asked of sends nothing.
    pub content_idle: Duration,
    /// How much of the network's catalogue is kept, and how many bytes of records and how many
    /// packages at most.
    pub catalogue: CatalogueScope,
    pub catalogue_bytes: u64,
    pub catalogue_max: u64,
    /// The catalogue is compared with others this often, a little earlier or later.
    pub sync_every: Duration,
    /// Other nodes that are to have the bytes of each own release.
    pub copies: usize,
    /// Most bytes that are kept for others, of the quota of content.
    pub keep_for_others: u64,
    /// A copy on a node that is gone for so long is lost, and made anew.
    pub copy_lost_after: Duration,
    /// The node is there for longer than one thing that a person asks for: only then others may
    /// have something kept here.
    pub stays: bool,
    /// What the settings say whose packages bare names are.
    pub names: Vec<NameRule>,
    /// Connections are trimmed down to `low_water` once there are more than `high_water`.
    pub low_water: usize,
    pub high_water: usize,
    /// Connections that one private address may have to this node.
    pub local_connections: usize,
    /// What is staged: nothing, for a real node.
    pub staging: Staging,
}

impl NodeOptions {
    /// Those of a node without settings, on a data directory and in a network.
    pub fn of(data_dir: PathBuf, network: NetworkName) -> Self {
        Self {
            data_dir,
            network,
            listen: Vec::new(),
            bootstrap: Vec::new(),
            handle: None,
            location: None,
            geoip_db: None,
            mdns: true,
            dht: DhtMode::Auto,
            dial_back_every: DIAL_BACK_EVERY,
            query_timeout: Duration::from_secs(5),
            weights: Weights::default(),
            ban_time: BAN_TIME,
            ping_every: PING_EVERY,
            content_quota: CONTENT_QUOTA,
            max_content: MAX_CONTENT,
            provide: true,
            content_idle: CONTENT_IDLE,
            catalogue: CatalogueScope::Full,
            catalogue_bytes: CATALOGUE_BYTES,
            catalogue_max: CATALOGUE_MAX,
            sync_every: SYNC_EVERY,
            copies: COPIES,
            keep_for_others: KEEP_FOR_OTHERS,
            copy_lost_after: COPY_LOST_AFTER,
            stays: true,
            names: Vec::new(),
            low_water: 48,
            high_water: 64,
            local_connections: caps::OF_A_PRIVATE_ADDRESS,
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

/// What a running node can be asked and told. Cheap to clone; a node that has ended answers
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
            bytes: options.catalogue_bytes,
            packages: options.catalogue_max,
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
        let net_options = NetOptions {
            key,
            network: options.network,
            listen: options.listen,
            bootstrap: options.bootstrap,
            location: options.location,
            atlas: atlas(options.geoip_db).await?,
            mdns: options.mdns,
            dht: options.dht,
            dial_back_every: options.dial_back_every,
            query_timeout: options.query_timeout,
            weights: options.weights,
            ban_time: options.ban_time,
            ping_every: options.ping_every,
            low_water: options.low_water,
            high_water: options.high_water,
            local_connections: options.local_connections,
            provide: options.provide,
            idle: options.content_idle,
            staging: options.staging.clone(),
        };
        let contents = ContentStore::open(&options.data_dir, store.clone(), options.content_quota)?;
        let board = Board::new(bus.clone());
        let parts = (store.clone(), contents.clone());
        let (net, inbound, lacking) = net::start(
            net_options,
            parts,
            board.clone(),
            bus.clone(),
            tally.clone(),
            metrics.clone(),
        )
        .await?;
        let data_dir = options.data_dir.as_path().into();
        let registry_options = RegistryOptions {
            data_dir: options.data_dir,
            handle: options.handle,
            max_content: options.max_content,
            provide: options.provide,
            content_idle: options.content_idle,
            catalogue: options.catalogue,
            sync_every: options.sync_every,
            copies: options.copies,
            keep_for_others: options.keep_for_others,
            copy_lost_after: options.copy_lost_after,
            stays: options.stays,
            names: options.names,
            clock: options.staging.clock,
            chance: Chance::default(),
        };
        let parts = Parts {
            net: net.clone(),
            store: store.clone(),
            contents,
            board,
            bus: bus.clone(),
            tally: tally.clone(),
            metrics: metrics.clone(),
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
            data_dir,
        };
        Ok(Self {
            handle,
            stop,
            tasks,
        })
    }

    pub fn handle(&self) -> NodeHandle {
        self.handle.clone()
    }

    /// Tells the peers, writes what is unwritten, and ends every task. Takes two seconds at most.
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
    pub fn peer_id(&self) -> PeerId {
        self.net.peer_id()
    }

    pub fn registry(&self) -> Arc<dyn Registry> {
        Arc::new(self.registry.clone())
    }

    pub fn contents(&self) -> Arc<dyn Contents> {
        Arc::new(self.registry.clone())
    }

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

    pub async fn status(&self) -> Result<NodeSnapshot> {
        self.net.status().await
    }

    /// Every peer that is known, connected or not.
    pub async fn peers(&self) -> Result<Vec<PeerSnapshot>> {
        self.net.peers().await
    }

    /// What is measured now.
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
    pub async fn lookups(&self) -> Result<Vec<Trace>> {
        self.net.lookups().await
    }

    /// Whom Kademlia knows, by distance.
    pub async fn routing(&self) -> Result<RoutingTable> {
        self.net.routing().await
    }

    /// Looks something up in the DHT, and tells what came of it hop by hop.
    pub async fn look(
        &self,
        sought: Sought,
        what: Option<String>,
        timeout: Duration,
    ) -> Result<LookupResult> {
        self.net.look(sought, what, timeout).await
    }

    /// Connects to a peer and waits until it is known to be of this network; with `keep`, for good.
    pub async fn dial(&self, address: Multiaddr, keep: bool, most: Duration) -> Result<PeerId> {
        self.net.dial(address, keep, most).await
    }

    /// Compares this node's catalogue with a peer's now, and takes what it has not.
    pub async fn sync_with(&self, peer: PeerId) -> Result<SyncReport> {
        self.registry.sync_with(peer).await
    }

    /// Ends the connection with a peer; false when there was none.
    pub async fn disconnect(&self, peer: PeerId) -> Result<bool> {
        self.net.disconnect(peer).await
    }

    /// Has a peer banned, protected, or let be; false when it changes nothing.
    pub async fn judge(&self, peer: PeerId, ruling: Ruling) -> Result<bool> {
        self.net.judge(peer, ruling).await
    }

    /// Who has a content, as far as the DHT says.
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

    pub fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    /// A number that is another one when anything that is stored may have changed.
    pub fn revision(&self) -> u64 {
        self.store.revision()
    }

    /// Makes a backup of this node, which goes on meanwhile; the directory is on its machine.
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
    pub async fn metrics(&self) -> Result<String> {
        let (status, counters) = (self.status().await?, self.tally.snapshot());
        let figures = Figures {
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
        let options = NodeOptions {
            listen,
            mdns: false,
            ..NodeOptions::of(dir.path().to_owned(), network)
        };
        let node = Node::start(options).await.unwrap();
        let stop = node.stop.clone();
        node.end_within(Duration::ZERO).await.unwrap();
        assert!(stop.is_cancelled());
    }
}
