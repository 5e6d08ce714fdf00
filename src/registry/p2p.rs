//! The registry over the network: five services, started together, behind the traits that users
//! see.

use std::{path::PathBuf, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use libp2p::PeerId;
use tokio::{sync::mpsc, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use super::{
    Artifacts, Bundle, Chance, Change, Contents, Imported, Incoming, LookAlike, Names, Namesake,
    OwnPackages, Package, PublishStep, Receipt, Registry, RegistryOptions, Release, SearchResults,
    SearchUpdate, SyncReport,
    catalogue::Catalogue,
    core::{Core, blocking},
    fetcher::Fetcher,
    packages::Packages,
    publisher::Publisher,
    search::Search,
};
use crate::{
    Result,
    bus::{Board, Bus, Tally},
    clock::Clock,
    domain::{
        conflict::{ConflictId, ConflictList, Evidence},
        content::ContentOptions,
        hash::{ContentRoot, Hash},
        held::{Freed, Held, Lost, StorageUsage},
        manifest::{Content, Draft, Manifest},
        name::{Handle, PackageId, PackageName, PackageRef, PublisherId},
        names::{NameBlock, NameDecision, NamePattern, NameTable},
        package,
        query::Query,
        release::ReleaseEntry,
        transfer::{Fetched, Order, Transfer, TransferId, Wanted},
        trust::Claims,
        version::{RequirementText, VersionText},
    },
    metrics::Metrics,
    net::{Inbound, Net},
    store::{Store, content::ContentStore},
};

/// The parts that a registry is built from.
#[allow(missing_docs)] // Their types say what they are.
pub struct Parts {
    pub net: Net,
    pub store: Store,
    pub contents: ContentStore,
    pub board: Board,
    pub bus: Bus,
    pub tally: Tally,
    pub metrics: Metrics,
    pub data_dir: PathBuf,
    pub content: ContentOptions,
    pub clock: Clock,
    pub chance: Chance,
}

/// A [`Registry`] over a store and the network. Cheap to clone.
#[derive(Clone)]
pub struct P2pRegistry {
    core: Arc<Core>,
    pub(super) catalogue: Arc<Catalogue>,
    packages: Arc<Packages>,
    search: Arc<Search>,
    pub(super) fetcher: Arc<Fetcher>,
    publisher: Arc<Publisher>,
}

impl P2pRegistry {
    /// Creates a registry.
    ///
    /// # Errors
    /// [`RegistryError::Key`](crate::RegistryError::Key) if there is a publisher key that cannot be
    /// read.
    pub async fn new(parts: Parts, options: RegistryOptions) -> Result<Self> {
        let Parts {
            net,
            store,
            contents,
            board,
            bus,
            tally,
            metrics,
            data_dir,
            content,
            clock,
            chance,
        } = parts;
        let told = (bus, tally, metrics);
        let core = Core::new(
            (net, store),
            told,
            (options, content),
            data_dir,
            (clock, chance),
        )
        .await?;
        let core = Arc::new(core);
        let catalogue = Arc::new(Catalogue::new(core.clone()));
        let packages = Arc::new(Packages::new(core.clone(), catalogue.clone()));
        let search = Search::new(core.clone(), catalogue.clone(), packages.clone());
        let fetcher = Fetcher::new(core.clone(), catalogue.clone(), contents, board);
        let fetcher = Arc::new(fetcher);
        let publisher = Publisher::new(
            core.clone(),
            catalogue.clone(),
            packages.clone(),
            fetcher.clone(),
        );
        publisher.introduce()?;
        core.count();
        Ok(Self {
            core,
            catalogue,
            packages,
            search: Arc::new(search),
            fetcher,
            publisher: Arc::new(publisher),
        })
    }

    /// Starts the background tasks of the registry, until `stop` is cancelled. `inbound` receives
    /// peers' requests, and `lacking` the peers that have what this node lacks.
    pub fn start(
        &self,
        inbound: mpsc::Receiver<Inbound>,
        lacking: mpsc::Receiver<PeerId>,
        stop: &CancellationToken,
    ) -> Vec<JoinHandle<()>> {
        let (catalogue, packages) = (&self.catalogue, &self.packages);
        let (fetcher, publisher) = (&self.fetcher, &self.publisher);
        vec![
            tokio::spawn(self.clone().run_intake(inbound, stop.clone())),
            tokio::spawn(catalogue.clone().run_sync(lacking, stop.clone())),
            tokio::spawn(catalogue.clone().run_tidy(stop.clone())),
            tokio::spawn(catalogue.clone().run_conflicts(stop.clone())),
            tokio::spawn(packages.clone().run_latest(stop.clone())),
            tokio::spawn(fetcher.clone().run_contents(stop.clone())),
            tokio::spawn(fetcher.clone().run_safety(stop.clone())),
            tokio::spawn(fetcher.clone().run_copies(stop.clone())),
            tokio::spawn(publisher.clone().run_outbox(stop.clone())),
            tokio::spawn(publisher.clone().run_renewals(stop.clone())),
            tokio::spawn(publisher.clone().run_spreading(stop.clone())),
        ]
    }

    /// Compares this node's catalogue with a peer's, and downloads what this node lacks.
    ///
    /// # Errors
    /// Fails if the peer cannot be reached or misbehaves, or if the store fails.
    pub async fn sync_with(&self, peer: PeerId) -> Result<SyncReport> {
        Ok(self.catalogue.sync_with(peer).await?)
    }

    /// Returns the bytes of the catalogue's records.
    ///
    /// # Errors
    /// Fails if the store cannot be read.
    pub fn catalogue_bytes(&self) -> Result<u64> {
        self.core.store.catalogue_bytes()
    }

    /// Waits until no own release is being offered any more. Returns false if one still is after
    /// `most`.
    pub async fn wait_copied(&self, most: Duration) -> bool {
        let copied = self.fetcher.wait_copied();
        tokio::time::timeout(most, copied).await.is_ok()
    }

    /// Waits until all publishes are delivered. Returns false if one is not after `most`.
    pub async fn wait_published(&self, most: Duration) -> bool {
        let published = self.publisher.wait_published();
        tokio::time::timeout(most, published).await.is_ok()
    }
}

#[async_trait]
impl Registry for P2pRegistry {
    async fn search(&self, query: &Query) -> Result<SearchResults> {
        Ok(self.search.collect(query).await)
    }

    fn search_stream(&self, query: Query) -> mpsc::Receiver<SearchUpdate> {
        self.search.stream(query)
    }

    async fn get_package(&self, package: &PackageRef) -> Result<Package> {
        self.packages.get(package).await
    }

    async fn get_package_version(
        &self,
        package: &PackageRef,
        requirement: &RequirementText,
    ) -> Result<Release> {
        self.packages.get_version(package, requirement).await
    }

    async fn list_versions(&self, package: &PackageRef) -> Result<Vec<ReleaseEntry>> {
        Ok(self.packages.get(package).await?.releases.into())
    }

    async fn publish(
        &self,
        draft: Draft,
        artifacts: Artifacts,
        progress: Option<mpsc::Sender<PublishStep>>,
    ) -> Result<Receipt> {
        self.publisher.publish(draft, artifacts, progress).await
    }

    async fn change(&self, package: &PackageRef, change: Change) -> Result<Receipt> {
        self.publisher.change(package, change).await
    }

    async fn import(&self, batch: Vec<Bundle>) -> Result<Vec<Imported>> {
        Ok(self.publisher.import(batch).await?)
    }

    async fn own(&self) -> Result<OwnPackages> {
        self.publisher.own().await
    }

    async fn publisher(&self) -> Result<package::OwnPublisher> {
        self.publisher.publisher().await
    }

    async fn claims(&self, handle: &Handle, ask: bool) -> Result<Claims> {
        self.packages.claims_of(handle, ask).await
    }

    async fn look_alike(
        &self,
        name: &PackageName,
        publisher: Option<PublisherId>,
    ) -> Result<Option<LookAlike>> {
        self.packages.look_alike(name, publisher)
    }

    async fn namesakes(&self, name: &PackageName, beside: PublisherId) -> Result<Vec<Namesake>> {
        self.core.store.namesakes(name, &beside)
    }

    async fn conflicts(&self) -> Result<ConflictList> {
        self.catalogue.conflicts().await
    }

    async fn conflict_evidence(&self, id: ConflictId) -> Result<Evidence> {
        self.catalogue.evidence(id).await
    }

    async fn exists(&self, package: &PackageRef) -> Result<bool> {
        self.packages.exists(package).await
    }

    async fn metadata(&self, package: &PackageRef, version: &VersionText) -> Result<Manifest> {
        self.packages.metadata(package, version).await
    }

    async fn manifest_of(&self, package: &PackageId, hash: &Hash) -> Result<Manifest> {
        Ok(self.packages.manifest(package, hash).await?.into_value())
    }

    async fn manifests_of(
        &self,
        package: &PackageId,
        hashes: &[Hash],
        within: Duration,
    ) -> Result<Vec<(Hash, Manifest)>> {
        self.packages
            .gather_manifests(package, hashes, within)
            .await
    }

    async fn pin(&self, handle: &Handle, publisher: PublisherId) -> Result<()> {
        Ok(self.packages.pin(handle, publisher).await?)
    }

    async fn trust(&self, publisher: PublisherId, handle: Option<&Handle>) -> Result<()> {
        Ok(self.packages.trust(publisher, handle).await?)
    }

    async fn distrust(&self, publisher: PublisherId) -> Result<()> {
        self.packages.distrust(publisher).await
    }
}

#[async_trait]
impl Names for P2pRegistry {
    async fn why(&self, name: &PackageName) -> Result<NameDecision> {
        self.packages.why(name).await
    }

    async fn known(&self, name: &PackageName) -> Result<NameDecision> {
        self.packages.known(name).await
    }

    async fn serve(&self, name: &PackageName) -> Result<NameDecision> {
        self.packages.serve(name).await
    }

    async fn table(&self) -> Result<NameTable> {
        let packages = self.packages.clone();
        blocking("listing the names", move || packages.name_table()).await
    }

    async fn set_name(&self, pattern: NamePattern, owner: PublisherId) -> Result<()> {
        Ok(self.packages.set_name(pattern, owner).await?)
    }

    async fn unset_name(&self, pattern: NamePattern) -> Result<bool> {
        self.core.store.unset_name(pattern).await
    }

    async fn trust_for_names(&self, key: PublisherId, patterns: Vec<NamePattern>) -> Result<()> {
        let core = &self.core;
        core.store.trust_for_names(key, patterns, core.now()).await
    }

    async fn block(
        &self,
        name: PackageName,
        version: Option<VersionText>,
        file: Option<String>,
        why: String,
    ) -> Result<()> {
        let since = self.core.now();
        let block = NameBlock {
            name,
            version,
            file,
            why,
            since,
        };
        self.core.store.block(block).await
    }

    async fn unblock(&self, name: PackageName, version: Option<VersionText>) -> Result<bool> {
        self.core.store.unblock(name, version).await
    }

    async fn blocks(&self, name: &PackageName) -> Result<Vec<NameBlock>> {
        self.core.store.blocks(Some(name))
    }
}

#[async_trait]
impl Contents for P2pRegistry {
    async fn put(&self, bytes: Incoming) -> Result<Content> {
        self.fetcher.put(bytes).await
    }

    async fn fetch(
        &self,
        wanted: Wanted,
        progress: Option<mpsc::Sender<Transfer>>,
    ) -> Result<Fetched> {
        Ok(self.fetcher.fetch(wanted, progress).await?)
    }

    async fn gather(&self, wanted: Vec<Wanted>, within: Duration) -> Result<()> {
        self.fetcher.gather(wanted, within).await
    }

    async fn start_fetch(&self, wanted: Wanted) -> Result<()> {
        Ok(self.fetcher.start_fetch(wanted).await?)
    }

    async fn read(&self, root: ContentRoot) -> Result<mpsc::Receiver<Result<Bytes>>> {
        Ok(self.fetcher.read(root).await?)
    }

    async fn stream(&self, wanted: Wanted, from: u64) -> Result<mpsc::Receiver<Result<Bytes>>> {
        Ok(self.fetcher.stream(wanted, from).await?)
    }

    async fn held(&self, root: ContentRoot) -> Result<Option<Held>> {
        self.fetcher.contents.get(&root)
    }

    async fn list(&self) -> Result<Vec<Held>> {
        let contents = self.fetcher.contents.clone();
        blocking("listing the contents", move || contents.list()).await
    }

    async fn lost(&self) -> Result<Vec<Lost>> {
        let contents = self.fetcher.contents.clone();
        blocking("listing what was damaged", move || contents.lost()).await
    }

    async fn usage(&self) -> Result<StorageUsage> {
        self.fetcher.contents.usage()
    }

    async fn keep(&self, root: ContentRoot, release: String, pinned: bool) -> Result<bool> {
        self.fetcher.pin(root, release, pinned).await
    }

    async fn clean_up(&self, all: bool) -> Result<Freed> {
        self.fetcher.clean_up(all).await
    }

    async fn check(&self, root: ContentRoot) -> Result<bool> {
        Ok(self.fetcher.check(root).await?)
    }

    async fn holders(&self, root: ContentRoot) -> Result<Vec<PeerId>> {
        self.fetcher.holders_of(root).await
    }

    async fn offer_again(&self) -> Result<()> {
        self.fetcher.offer_everything();
        Ok(())
    }

    async fn transfers(&self) -> Result<Vec<Transfer>> {
        Ok(self.fetcher.board.list())
    }

    async fn direct(&self, id: TransferId, order: Order) -> Result<bool> {
        Ok(self.fetcher.direct(id, order).await?)
    }
}
