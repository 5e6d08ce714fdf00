//! Runs the demo: real nodes in this process, on loopback, that publish, leave and return as
//! planned.

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use futures::future::join_all;
use libp2p::PeerId;
use parking_lot::Mutex;
use rand::{RngExt, seq::IndexedRandom};
use tokio::{runtime, sync::mpsc, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use super::{
    catalogue::{CatalogueEntry, CatalogueSource, DemoCatalogue, Needs},
    ledger::AnnouncementLedger,
    plan::{DemoPlan, PlanOptions, Publication},
    report::{DemoReport, GetProbe, Percentiles, SearchProbe},
    traffic::TrafficTotals,
};
use crate::{
    RegistryError, Result,
    bus::Batch,
    clock,
    domain::percentile::percentiles,
    domain::{
        geo::GeoLocation,
        lookup::{LookupKind, LookupState},
        name::{NetworkName, OTHER_NODES, PackageId, PackageName, PackageRef, PublisherId},
        names::NamePattern,
        query::Query,
        version::VersionText,
    },
    node::{Delays, DhtMode, Node, NodeHandle, NodeOptions, Staging},
    process,
    registry::Registry,
    store::keys,
};

/// The latency between nodes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Latency {
    /// By the distance between their cities ([`GeoLocation::one_way`]).
    #[default]
    Distance,
    /// No added latency.
    None,
}

/// The options of a demo.
#[derive(Clone, Debug)]
pub struct DemoOptions {
    /// Number of nodes, including the user's.
    pub peers: usize,
    pub seed: u64,
    pub catalogue: CatalogueSource,
    /// A directory whose `Cargo.lock` lists the crates to publish first.
    pub project: Option<PathBuf>,
    /// Packages a minute, over the whole swarm.
    pub rate: f64,
    /// Share of nodes that leave and return, from 0 to 1.
    pub churn: f64,
    pub latency: Latency,
    /// Directory for the nodes' data; a temporary one if `None`.
    pub data_dir: Option<PathBuf>,
    pub query_timeout: Duration,
}

/// Longest wait for a node to find the others.
const JOIN_WAIT: Duration = Duration::from_secs(10);
/// Nodes that start at the same time.
const STARTING: usize = 4;
/// Least number of searches and gets in a report.
const PROBES: usize = 10;

/// A swarm on loopback.
pub struct Demo {
    you: Option<Node>,
    stage: Arc<Stage>,
    director: JoinHandle<()>,
    /// Runs all nodes but the person's.
    others: Option<runtime::Runtime>,
    notes: Vec<String>,
    _temporary: Option<tempfile::TempDir>,
}

/// The state that the demo's tasks share.
pub(super) struct Stage {
    pub(super) plan: DemoPlan,
    pub(super) catalogue: DemoCatalogue,
    network: NetworkName,
    root: PathBuf,
    query_timeout: Duration,
    seed: u64,
    /// Locations of the nodes, if links have latency.
    places: Option<Arc<HashMap<PeerId, GeoLocation>>>,
    cast: Mutex<Cast>,
    ledger: Mutex<AnnouncementLedger>,
    pub(super) traffic: TrafficTotals,
    pub(super) stop: CancellationToken,
    /// Runs what the person's own node is made to do.
    pub(super) home: runtime::Handle,
}

/// The running nodes.
struct Cast {
    nodes: Vec<Option<NodeHandle>>,
    addresses: Vec<Option<String>>,
    stored_ms: Vec<f64>,
    joined: Option<Duration>,
}

impl Demo {
    /// Starts the user's node; the others start in the background.
    pub async fn start(options: DemoOptions) -> Result<Self> {
        let mut notes = Vec::new();
        let peers = affordable(options.peers, &mut notes);
        let asked = options.catalogue.clone();
        let project = options.project;
        let load = move || {
            DemoCatalogue::load(
                &asked,
                &project.map_or_else(Needs::default, |dir| Needs::of(&dir)),
            )
        };
        let catalogue = tokio::task::spawn_blocking(load).await.map_err(|error| {
            RegistryError::Internal {
                what: "reading the catalogue",
                why: error.to_string(),
            }
        })??;
        if catalogue.source != options.catalogue {
            notes.push("there is no cargo cache, so the embedded packages are used".to_owned());
        }
        if let Some(first) = catalogue.skipped.first() {
            let (count, name) = (catalogue.skipped.len(), first.path.display());
            let archives = if count == 1 { "archive" } else { "archives" };
            notes.push(format!(
                "skipped {count} {archives}, the first was {name}: {}",
                first.why
            ));
        }
        let wish = PlanOptions {
            seed: options.seed,
            peers,
            rate: options.rate,
            churn: options.churn,
        };
        let plan = DemoPlan::new(wish, &catalogue.entries)?;
        let places = (options.latency == Latency::Distance).then(|| Arc::new(plan.places()));
        if let Some((p50, p95)) = places.as_ref().and_then(|_| one_way_ms(&plan)) {
            notes.push(format!(
                "links have the latency of the distance between cities: one way {p50:.0} ms, p95 \
                 {p95:.0} ms"
            ));
        }
        let (root, temporary) = match options.data_dir {
            Some(dir) => (dir.join(format!("demo-{}", options.seed)), None),
            None => {
                let dir = tempfile::Builder::new().prefix("swarmdex-demo-").tempdir();
                let dir = dir.map_err(RegistryError::file(
                    std::env::temp_dir(),
                    "used for the demo's data",
                ))?;
                (dir.path().to_owned(), Some(dir))
            }
        };
        let network = format!("demo-{:08x}", rand::rng().random::<u32>()).parse()?;
        let cast = Cast {
            nodes: vec![None; peers],
            addresses: vec![None; peers],
            stored_ms: Vec::new(),
            joined: None,
        };
        let stage = Arc::new(Stage {
            plan,
            catalogue,
            network,
            root,
            query_timeout: options.query_timeout,
            seed: options.seed,
            places,
            cast: Mutex::new(cast),
            ledger: Mutex::new(AnnouncementLedger::new(peers)),
            traffic: TrafficTotals::default(),
            stop: CancellationToken::new(),
            home: runtime::Handle::current(),
        });
        let needed = stage
            .catalogue
            .entries
            .iter()
            .filter(|entry| entry.needed)
            .count();
        if needed > 0 {
            notes.push(format!(
                "{needed} crates of the local Cargo.lock are published first"
            ));
        }
        let you = stage.enter(0).await?;
        // Package managers may use the packages of everyone in the demo.
        for peer in &stage.plan.peers {
            let key = PublisherId::of(&peer.publisher_key.public());
            you.names()
                .trust_for_names(key, vec![NamePattern::all()])
                .await?;
        }
        // The others have threads of their own, by which their log is told from the person's.
        let others = runtime::Builder::new_multi_thread()
            .thread_name(OTHER_NODES)
            .enable_all()
            .build()
            .map_err(|error| RegistryError::Internal {
                what: "starting the demo's other nodes",
                why: error.to_string(),
            })?;
        let director = others.spawn(stage.clone().direct());
        Ok(Self {
            you: Some(you),
            stage,
            director,
            others: Some(others),
            notes,
            _temporary: temporary,
        })
    }

    /// Returns the user's own node.
    ///
    /// # Errors
    /// [`RegistryError::Closed`] once the demo is shutting down.
    pub fn you(&self) -> Result<&Node> {
        self.you.as_ref().ok_or(RegistryError::Closed)
    }

    /// Returns remarks for the user: fewer peers, another catalogue, skipped archives.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Runs the swarm for `length` with searches and gets, and returns the report.
    pub async fn report(&self, length: Duration) -> DemoReport {
        let end = clock::deadline(Instant::now(), length);
        let pace = (length / (PROBES as u32 + 6)).max(Duration::from_millis(50));
        let (mut searches, mut gets) = (Vec::new(), Vec::new());
        while Instant::now() < end {
            tokio::time::sleep(pace.min(end.saturating_duration_since(Instant::now()))).await;
            self.stage.probe(&mut searches, &mut gets).await;
        }
        while searches.len() < PROBES || gets.len() < PROBES {
            let before = (searches.len(), gets.len());
            self.stage.probe(&mut searches, &mut gets).await;
            if before == (searches.len(), gets.len()) {
                break;
            }
        }
        let packages = match self.you() {
            Ok(you) => you.status().await.map_or(0, |status| status.packages),
            Err(_) => 0,
        };
        let spread = |(p50, p95)| Percentiles { p50, p95 };
        let (joined, stored) = {
            let cast = self.stage.cast.lock();
            (cast.joined, cast.stored_ms.clone())
        };
        let traffic = self.stage.traffic.counts();
        let costs = self.stage.costs().await;
        let ids = self.stage.plan.peers.iter();
        let ids: Vec<PeerId> = ids
            .map(|peer| peer.node_key.public().to_peer_id())
            .collect();
        let ledger = self.stage.ledger.lock();
        let (copies, announced, heard) = (costs.copies, ledger.announcements(), ledger.heard_of());
        DemoReport {
            peers: self.stage.plan.peers.len(),
            connected: ledger.connected(),
            latency: if self.stage.places.is_some() {
                Latency::Distance
            } else {
                Latency::None
            },
            one_way_ms: self
                .stage
                .places
                .as_ref()
                .and_then(|_| one_way_ms(&self.stage.plan))
                .map(spread),
            joined_ms: joined.map(|joined| joined.as_secs_f64() * 1_000.0),
            announced,
            delivered: ledger.delivered(Instant::now()),
            delivery_ms: ledger.delays().map(spread),
            messages_a_publish: (heard > 0).then(|| copies as f64 / heard as f64),
            duplicates: (copies > 0).then(|| (copies - costs.first) as f64 / copies as f64),
            delivery_hops: mean(&ledger.hops(&ids)),
            requests_found: mean(&costs.found),
            requests_missing: mean(&costs.missing),
            stored_ms: percentiles(stored).map(spread),
            packages,
            searches,
            gets,
            fetches: traffic.fetches,
            bytes: traffic.bytes,
            bytes_per_s: (traffic.fetches > 0)
                .then(|| traffic.bytes as f64 / traffic.time.as_secs_f64().max(f64::MIN_POSITIVE)),
            bad_ranges_refused: traffic.bad_ranges_refused,
            bad_bytes_delivered: traffic.bad_bytes_delivered,
            drops: ledger.dropped(),
            errors: ledger.errors.clone(),
            rss_bytes: process::memory(),
        }
    }

    /// Shuts down every node.
    pub async fn shutdown(mut self) -> Result<()> {
        self.stage.stop.cancel();
        self.stage.cast.lock().nodes.clear();
        let you = self.you.take();
        let you = async move {
            match you {
                Some(you) => you.shutdown().await,
                None => Ok(()),
            }
        };
        let (ended, _) = tokio::join!(you, &mut self.director);
        ended
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        // A task must not wait for another runtime to end.
        if let Some(others) = self.others.take() {
            others.shutdown_background();
        }
    }
}

/// The cost of gossip and lookups, over all nodes.
#[derive(Default)]
struct Costs {
    /// Copies of announcements received, and the first copies among them.
    copies: u64,
    first: u64,
    /// Requests of each lookup that found a record, and of each that did not.
    found: Vec<f64>,
    missing: Vec<f64>,
}

fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

impl Stage {
    /// Adds up the costs of all nodes.
    async fn costs(&self) -> Costs {
        let nodes: Vec<NodeHandle> = self.cast.lock().nodes.iter().flatten().cloned().collect();
        let mut costs = Costs::default();
        for node in nodes {
            if let Ok(sample) = node.health().await {
                costs.copies += sample.announcement_copies.0;
                costs.first += sample.announcement_copies.1;
            }
            for trace in node.lookups().await.unwrap_or_default() {
                let requests = trace.hops.len() as f64;
                match (trace.kind, trace.state) {
                    (LookupKind::Get, LookupState::Done) => costs.found.push(requests),
                    (LookupKind::Get, LookupState::Missing) => costs.missing.push(requests),
                    _ => {}
                }
            }
        }
        costs
    }

    /// Starts the node of a peer, and records what it receives.
    async fn enter(self: &Arc<Self>, number: usize) -> Result<Node> {
        let missing = || RegistryError::Internal {
            what: "the demo",
            why: format!("there is no peer {number}"),
        };
        let peer = self.plan.peers.get(number).ok_or_else(missing)?;
        let data_dir = self.root.join(format!("node-{number:02}"));
        crate::disk::private_dir(&data_dir).map_err(RegistryError::file(&data_dir, "created"))?;
        keys::save(&keys::identity_path(&data_dir), &peer.node_key)?;
        keys::save(&keys::publisher_path(&data_dir), &peer.publisher_key)?;
        let bootstrap = self
            .bootstrap_of(number)
            .iter()
            .filter_map(|address| address.parse().ok())
            .collect();
        let listen =
            "/ip4/127.0.0.1/tcp/0"
                .parse()
                .map_err(|error: libp2p::multiaddr::Error| RegistryError::Internal {
                    what: "the demo's address",
                    why: error.to_string(),
                })?;
        let mut options = NodeOptions::of(data_dir, self.network.clone());
        options.net.listen = vec![listen];
        options.net.bootstrap = bootstrap;
        options.registry.handle = Some(peer.handle.clone());
        options.net.location = Some(peer.location.clone());
        options.net.mdns = false;
        // Connections within one process do not go dead, and there are many of them.
        options.net.ping_every = Duration::from_secs(15);
        options.net.dht = DhtMode::Server;
        options.net.query_timeout = self.query_timeout;
        // All nodes share one address.
        options.net.local_connections = self.plan.peers.len() * 4;
        // With latency, round trips match the claimed locations, so they can be checked.
        options.staging = Staging {
            believes_places: self.places.is_none(),
            delays: self
                .places
                .clone()
                .map(|places| Delays::by_distance(peer.location.clone(), places, self.seed)),
            ..Staging::of(peer.conduct)
        };
        let node = Node::start(options).await?;
        let address = node.status().await?.addresses.first().cloned();
        tokio::spawn(self.clone().listen(number, node.subscribe()));
        let mut cast = self.cast.lock();
        if let Some(place) = cast.nodes.get_mut(number) {
            *place = Some(node.handle());
        }
        if let Some(place) = cast.addresses.get_mut(number) {
            *place = address;
        }
        Ok(node)
    }

    /// Restarts a node. Work that is still under way may keep its data directory locked for a
    /// moment.
    async fn enter_again(self: &Arc<Self>, number: usize) -> Result<Node> {
        const TRIES: usize = 20;
        const BREATH: Duration = Duration::from_millis(250);
        for _ in 1..TRIES {
            match self.enter(number).await {
                Err(RegistryError::DataDirInUse { .. }) => tokio::time::sleep(BREATH).await,
                entered => return entered,
            }
        }
        self.enter(number).await
    }

    /// Returns two bootstrap addresses: the user's node and one other, as a user might be given.
    fn bootstrap_of(&self, number: usize) -> Vec<String> {
        let cast = self.cast.lock();
        let there: Vec<&String> = cast
            .addresses
            .iter()
            .enumerate()
            .filter(|(n, _)| *n != number)
            .filter_map(|(_, address)| address.as_ref())
            .collect();
        let yours = there.first().map(|address| (*address).clone());
        let other = there
            .choose(&mut rand::rng())
            .map(|address| (*address).clone());
        yours.into_iter().chain(other).collect()
    }

    async fn listen(self: Arc<Self>, number: usize, mut batches: mpsc::Receiver<Batch>) {
        while let Some(batch) = batches.recv().await {
            let mut ledger = self.ledger.lock();
            if let Some(node) = &batch.node {
                let was = ledger.is_online(number);
                if (node.connected > 0) != was {
                    ledger.online(number, (node.connected > 0).then(Instant::now));
                }
            }
            ledger.heard(number, &batch);
        }
        self.ledger.lock().online(number, None);
    }

    /// Starts all nodes, then follows the plan until told to stop.
    async fn direct(self: Arc<Self>) {
        let started = Instant::now();
        let mut nodes: HashMap<usize, Node> = HashMap::new();
        let others: Vec<usize> = (1..self.plan.peers.len()).collect();
        for group in others.chunks(STARTING) {
            if self.stop.is_cancelled() {
                break;
            }
            let entered = join_all(group.iter().map(|number| self.enter(*number))).await;
            for (number, node) in group.iter().zip(entered) {
                match node {
                    Ok(node) => drop(nodes.insert(*number, node)),
                    Err(error) => self.note_error(format!("node {number} did not start: {error}")),
                }
            }
        }
        let joined = join_all(nodes.values().map(|node| node.wait_joined(JOIN_WAIT))).await;
        if joined.iter().all(|joined| *joined) {
            self.cast.lock().joined = Some(started.elapsed());
        } else {
            self.note_error("some nodes found no peers".to_owned());
        }
        let trading = tokio::spawn(self.clone().trade());
        self.perform(&mut nodes).await;
        // Aborting is enough: everything it waits for has been told to stop too.
        trading.abort();
        let _ = trading.await;
        join_all(nodes.into_values().map(Node::shutdown)).await;
    }

    async fn perform(self: &Arc<Self>, nodes: &mut HashMap<usize, Node>) {
        enum Cue {
            Publish(Publication),
            Leave(usize),
            Return(usize),
        }
        let mut cues: Vec<(Duration, Cue)> = Vec::new();
        cues.extend(
            self.publications()
                .await
                .into_iter()
                .map(|cue| (cue.at, Cue::Publish(cue))),
        );
        for absence in &self.plan.absences {
            cues.push((absence.leaves, Cue::Leave(absence.peer)));
            cues.push((absence.returns, Cue::Return(absence.peer)));
        }
        cues.sort_by_key(|(at, _)| *at);
        let mut leaving: HashMap<usize, tokio::task::JoinHandle<()>> = HashMap::new();
        let curtain = tokio::time::Instant::now();
        for (at, cue) in cues {
            tokio::select! {
                () = self.stop.cancelled() => return,
                () = tokio::time::sleep_until(curtain + at) => {}
            }
            match cue {
                Cue::Publish(publication) if publication.peer == 0 => {
                    drop(self.home.spawn(self.clone().publish(publication)));
                }
                Cue::Publish(publication) => drop(tokio::spawn(self.clone().publish(publication))),
                Cue::Leave(number) => {
                    if let Some(place) = self.cast.lock().nodes.get_mut(number) {
                        *place = None;
                    }
                    if let Some(node) = nodes.remove(&number) {
                        leaving.insert(
                            number,
                            tokio::spawn(async move { drop(node.shutdown().await) }),
                        );
                    }
                }
                Cue::Return(number) => {
                    // On a busy machine, the node may still be shutting down and hold its
                    // directory.
                    if let Some(left) = leaving.remove(&number) {
                        let _ = left.await;
                    }
                    match self.enter_again(number).await {
                        Ok(node) => drop(nodes.insert(number, node)),
                        Err(error) => {
                            self.note_error(format!("node {number} did not return: {error}"))
                        }
                    }
                }
            }
        }
        self.stop.cancelled().await;
    }

    /// Returns the publications that an earlier run on the same data has not made.
    async fn publications(&self) -> Vec<Publication> {
        let nodes: Vec<_> = self.cast.lock().nodes.iter().flatten().cloned().collect();
        let mut published: HashMap<PackageName, VersionText> = HashMap::new();
        for node in nodes {
            match node.registry().own().await {
                Ok(own) => published.extend(
                    own.packages
                        .into_iter()
                        .filter_map(|package| Some((package.id.name, package.latest?.version))),
                ),
                Err(error) => {
                    self.note_error(format!("what was published before cannot be read: {error}"))
                }
            }
        }
        if published.is_empty() {
            return self.plan.publications.clone();
        }
        self.plan.left(
            &self.catalogue.entries,
            |CatalogueEntry { package, draft, .. }| {
                let read = |version: &VersionText| version.read(package.ecosystem()).ok();
                published
                    .get(package)
                    .is_some_and(|latest| read(&draft.version) <= read(latest))
            },
        )
    }

    pub(super) fn node(&self, number: usize) -> Option<NodeHandle> {
        self.cast.lock().nodes.get(number).cloned().flatten()
    }

    /// Returns the packages announced at least `age` ago, with the node that announced them.
    pub(super) fn known(&self, age: Duration) -> Vec<(PackageId, usize)> {
        self.ledger.lock().known(age, Instant::now())
    }

    pub(super) fn note_error(&self, error: String) {
        tracing::warn!("{error}");
        self.ledger.lock().errors.push(error);
    }

    async fn publish(self: Arc<Self>, publication: Publication) {
        let Some(node) = self.node(publication.peer) else {
            return;
        };
        let (Some(entry), Some(peer)) = (
            self.catalogue.entries.get(publication.entry),
            self.plan.peers.get(publication.peer),
        ) else {
            return;
        };
        let owner = |package: &_| {
            let peer = self.plan.owner(package)?;
            Some((
                PublisherId::of(&peer.publisher_key.public()),
                peer.handle.clone(),
            ))
        };
        let draft = entry.draft_by(peer.handle.clone(), owner);
        let asked = Instant::now();
        let put = entry.put(&*node.contents()).await;
        let artifacts = match put {
            Ok(artifacts) => artifacts,
            Err(RegistryError::Closed) if self.stop.is_cancelled() => return,
            Err(error) => {
                return self.note_error(format!("{} could not be put: {error}", entry.draft.name));
            }
        };
        match node.registry().publish(draft, artifacts, None).await {
            Ok(receipt) => {
                self.cast
                    .lock()
                    .stored_ms
                    .push(receipt.steps.stored.as_secs_f64() * 1_000.0);
                self.ledger
                    .lock()
                    .announced(receipt.package, receipt.seq, publication.peer, asked);
            }
            // An earlier run on the same data published it.
            Err(RegistryError::VersionTaken { .. } | RegistryError::FileTaken { .. }) => {}
            // The node left before the answers arrived, some of which take long.
            Err(RegistryError::Closed)
                if self.stop.is_cancelled() || self.node(publication.peer).is_none() => {}
            Err(error) => {
                self.note_error(format!("publishing {} failed: {error}", entry.draft.name))
            }
        }
    }

    /// Runs one search and one get, for a recent announcement, on nodes that did not publish it.
    async fn probe(&self, searches: &mut Vec<SearchProbe>, gets: &mut Vec<GetProbe>) {
        const AGE: Duration = Duration::from_millis(500);
        let known = self.known(AGE);
        let Some((package, by)) = known.choose(&mut rand::rng()).cloned() else {
            return;
        };
        let Some(registry) = self.somebody_else(by) else {
            return;
        };
        let started = Instant::now();
        let query = package.name.bare().to_owned();
        match registry.search(&Query::text(query.clone())).await {
            Ok(results) => {
                searches.push(SearchProbe {
                    query,
                    hits: results.hits.len(),
                    ms: started.elapsed().as_secs_f64() * 1_000.0,
                });
            }
            Err(error) => self.note_error(format!("searching {query} failed: {error}")),
        }
        self.probe_get(&package, registry.as_ref(), gets).await;
    }

    async fn probe_get(
        &self,
        package: &PackageId,
        registry: &dyn Registry,
        gets: &mut Vec<GetProbe>,
    ) {
        let started = Instant::now();
        let found = registry.get_package(&PackageRef::of(package)).await;
        let ms = started.elapsed().as_secs_f64() * 1_000.0;
        let from = found.as_ref().ok().map(|found| found.source.label());
        gets.push(GetProbe {
            id: package.to_string(),
            found: found.is_ok(),
            ms,
            from,
        });
        if let Err(error) = found {
            self.note_error(format!("getting {package} failed: {error}"));
        }
    }

    fn somebody_else(&self, than: usize) -> Option<Arc<dyn Registry>> {
        let cast = self.cast.lock();
        let there: Vec<_> = cast
            .nodes
            .iter()
            .enumerate()
            .filter(|(n, _)| *n != than)
            .filter_map(|(_, there)| Some(there.as_ref()?.registry()))
            .collect();
        there.choose(&mut rand::rng()).cloned()
    }
}

/// Returns the one-way latency between pairs of nodes: the 50th and 95th percentile; `None` for one
/// node.
fn one_way_ms(plan: &DemoPlan) -> Option<(f64, f64)> {
    percentiles(
        plan.one_ways()
            .iter()
            .map(|one_way| one_way.as_secs_f64() * 1_000.0)
            .collect(),
    )
}

/// Limits the number of peers by file descriptors: each node needs both ends of a connection to
/// every other node, its database and its sockets.
fn affordable(peers: usize, notes: &mut Vec<String>) -> usize {
    let needed = |peers: u64| peers * peers + 40 * peers + 100;
    let wanted = needed(peers as u64);
    let limit = rlimit::increase_nofile_limit(wanted).unwrap_or(wanted);
    let most = (1..=peers)
        .rev()
        .find(|peers| needed(*peers as u64) <= limit)
        .unwrap_or(1);
    if most < peers {
        notes.push(format!(
            "the limit of {limit} open files allows {most} peers instead of {peers}; raise it \
             (ulimit -Hn) for more"
        ));
    }
    most.max(peers.min(1))
}
