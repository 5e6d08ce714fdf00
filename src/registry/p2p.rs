//! The registry over the network: what its parts share, and the trait put together from them.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use libp2p::PeerId;
use serde_bytes::ByteBuf;
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;

use super::{
    Artifacts, Bundle, Change, Imported, Importing, LookAlike, Namesake, Own, Package, PublishStep,
    Publisher, Receipt, Registry, Release, SearchResults, SearchUpdate, SyncReport,
    catalogue::Catalogue,
    copies::Copying,
    core::{Core, RegistryOptions},
    fetch::Fetches,
    names::ToldNames,
    panel,
    provide::Providing,
    publish,
    safety::Looking,
    search,
};
use crate::{
    RegistryError, Result,
    bus::{Board, Bus, Tally},
    domain::{
        conflict::{ConflictId, Conflicts, Evidence},
        hash::Hash,
        manifest::{Draft, Manifest},
        name::{Handle, PackageId, PackageName, PackageRef, PublisherId},
        query::Query,
        record::{NodeClaim, Signed},
        release::{self, ReleaseEntry},
        trust::Claims,
        version::{RequirementText, VersionText},
    },
    metrics::Metrics,
    net::Net,
    store::{Store, content::ContentStore, keys},
};

/// What a registry is put together from.
pub struct Parts {
    pub net: Net,
    pub store: Store,
    pub contents: ContentStore,
    pub board: Board,
    pub bus: Bus,
    pub tally: Tally,
    pub metrics: Metrics,
}

pub(super) struct State {
    /// Held while a head is made: two at once would fork.
    pub publishing: tokio::sync::Mutex<()>,
    /// A publish went on its way, or arrived.
    pub outbox: Notify,
    /// Something imported is to be put into the DHT.
    pub spreading: Notify,
    /// How long peers took to answer searches and gets.
    pub search_times: panel::Answers,
    pub get_times: panel::Answers,
    pub fetches: Fetches,
    pub providing: Providing,
    pub copying: Copying,
    pub looking: Looking,
    pub told_names: ToldNames,
}

/// A [`Registry`] over a store and the network. Cheap to clone.
#[derive(Clone)]
pub struct P2pRegistry {
    pub(super) core: Arc<Core>,
    pub(super) catalogue: Arc<Catalogue>,
    pub(super) contents: ContentStore,
    pub(super) board: Board,
    pub(super) state: Arc<State>,
}

impl P2pRegistry {
    /// # Errors
    /// [`RegistryError::Key`] when there is a publisher key that cannot be read.
    pub async fn new(parts: Parts, options: RegistryOptions) -> Result<Self> {
        let Parts {
            net,
            store,
            contents,
            board,
            bus,
            tally,
            metrics,
        } = parts;
        let core = Arc::new(Core::new(net, store, bus, (tally, metrics), options).await?);
        let state = State {
            publishing: tokio::sync::Mutex::default(),
            outbox: Notify::new(),
            spreading: Notify::new(),
            search_times: panel::Answers::default(),
            get_times: panel::Answers::default(),
            fetches: Fetches::default(),
            providing: Providing::default(),
            copying: Copying::default(),
            looking: Looking::default(),
            told_names: ToldNames::default(),
        };
        let registry = Self {
            catalogue: Arc::new(Catalogue::new(core.clone())),
            core,
            contents,
            board,
            state: Arc::new(state),
        };
        let handle = registry
            .core
            .options
            .handle
            .clone()
            .or(registry.published_handle()?);
        registry.claim_node(handle.as_ref());
        registry.core.count();
        Ok(registry)
    }

    /// What this node's publisher called itself last.
    fn published_handle(&self) -> Result<Option<Handle>> {
        Ok(self
            .core
            .store
            .newest_own_head()?
            .and_then(|stored| stored.head.handle.clone()))
    }

    /// Tells peers whose node this is, if there is a publisher and it calls itself something.
    pub(super) fn claim_node(&self, handle: Option<&Handle>) {
        let claim = handle
            .zip(self.core.publisher_key())
            .and_then(|(handle, key)| {
                let now = self.core.now();
                let node: PeerId = self.core.net.peer_id();
                let claim = NodeClaim {
                    node,
                    handle: handle.clone(),
                    signed_at: now,
                    expires: now.after(NodeClaim::MAX_LIFE),
                };
                Signed::sign(&key, claim).ok()
            });
        self.core.net.greet(|greeting| {
            greeting.handle = handle.map(ToString::to_string);
            greeting.claim = claim.map(|claim| ByteBuf::from(claim.envelope().to_vec()));
        });
    }

    /// Compares catalogues until `stop` is called. `lacking` says who has what this node lacks.
    pub async fn run_sync(self, lacking: mpsc::Receiver<PeerId>, stop: CancellationToken) {
        self.catalogue.run_sync(lacking, stop).await;
    }

    /// Tells each new conflict once, until `stop` is called.
    pub async fn run_conflicts(self, stop: CancellationToken) {
        self.catalogue.run_conflicts(stop).await;
    }

    /// Tidies the catalogue after it has changed, until `stop` is called.
    pub async fn run_tidy(self, stop: CancellationToken) {
        self.catalogue.run_tidy(stop).await;
    }

    /// Compares this node's catalogue with a peer's, and takes what the peer has and this node has
    /// not.
    ///
    /// # Errors
    /// When the peer cannot be reached or does not answer as it should, or the store cannot be
    /// used.
    pub async fn sync_with(&self, peer: PeerId) -> Result<SyncReport> {
        self.catalogue.sync_with(peer).await
    }

    /// Waits until no own release is being given to others any more; false when one is after
    /// `most`.
    pub async fn wait_copied(&self, most: std::time::Duration) -> bool {
        tokio::time::timeout(most, self.state.copying.idle())
            .await
            .is_ok()
    }

    /// Waits until the network has taken every publish; false when it has not after `most`.
    pub async fn wait_published(&self, most: std::time::Duration) -> bool {
        let delivered = async {
            loop {
                let changed = self.state.outbox.notified();
                if self
                    .core
                    .store
                    .outbox()
                    .is_ok_and(|pending| pending.is_empty())
                {
                    return;
                }
                changed.await;
            }
        };
        tokio::time::timeout(most, delivered).await.is_ok()
    }
}

#[async_trait]
impl Registry for P2pRegistry {
    async fn search(&self, query: &Query) -> Result<SearchResults> {
        let query = query.clone().bounded();
        Ok(search::collect(&query, self.search_stream(query.clone())).await)
    }

    fn search_stream(&self, query: Query) -> mpsc::Receiver<SearchUpdate> {
        search::start(self.clone(), query)
    }

    async fn get_package(&self, package: &PackageRef) -> Result<Package> {
        let get = async {
            let id = self.resolve(package).await?;
            self.package(&id).await
        };
        self.traced_get(package, get, |found| found.source).await
    }

    async fn get_package_version(
        &self,
        package: &PackageRef,
        requirement: &RequirementText,
    ) -> Result<Release> {
        self.traced_get(package, self.release(package, requirement), |found| {
            found.source
        })
        .await
    }

    async fn list_versions(&self, package: &PackageRef) -> Result<Vec<ReleaseEntry>> {
        Ok(self.get_package(package).await?.releases.into())
    }

    async fn publish(
        &self,
        draft: Draft,
        artifacts: Artifacts,
        progress: Option<mpsc::Sender<PublishStep>>,
    ) -> Result<Receipt> {
        // On a task of its own: whoever asked may stop waiting, and what is signed must still be
        // delivered.
        let registry = self.clone();
        let ending = publish::ending("publish", &draft.name, &draft.version);
        let publish = async move {
            registry
                .publish_release(draft, artifacts, progress.as_ref())
                .await
        };
        joined(tokio::spawn(publish::traced(ending, publish)).await)
    }

    async fn change(&self, package: &PackageRef, change: Change) -> Result<Receipt> {
        let (registry, package) = (self.clone(), package.clone());
        let ending = publish::ending(change.verb(), &package, change.about());
        let change = async move { registry.change_state(&package, &change).await };
        joined(tokio::spawn(publish::traced(ending, change)).await)
    }

    async fn import(&self, batch: Vec<Bundle>, how: Importing) -> Result<Vec<Imported>> {
        self.import_batch(batch, how).await
    }

    async fn forget_previews(&self) -> Result<u64> {
        self.core
            .store
            .forget_previews(self.core.preview_owner())
            .await
    }

    async fn own(&self) -> Result<Own> {
        let publisher = self.core.publisher_id();
        let packages =
            publisher.map_or_else(|| Ok(Vec::new()), |publisher| self.packages_of(&publisher))?;
        Ok(Own {
            publisher,
            key: keys::publisher_path(&self.core.options.data_dir),
            packages,
        })
    }

    async fn publisher(&self) -> Result<Publisher> {
        self.own_publisher().await
    }

    async fn claims(&self, handle: &Handle, ask: bool) -> Result<Claims> {
        self.claims_of(handle, ask).await
    }

    async fn look_alike(
        &self,
        name: &PackageName,
        publisher: Option<PublisherId>,
    ) -> Result<Option<LookAlike>> {
        match publisher.filter(|publisher| self.core.publisher_id() != Some(*publisher)) {
            Some(publisher) => self.core.store.look_alike(&PackageId {
                owner: publisher,
                name: name.clone(),
            }),
            // A package that was published before keeps its name.
            None => match self.core.publisher_id().map(|publisher| PackageId {
                owner: publisher,
                name: name.clone(),
            }) {
                Some(own) if self.core.store.mark(&own)?.is_some() => Ok(None),
                _ => self.core.store.look_alike_of_own(name),
            },
        }
    }

    async fn namesakes(&self, name: &PackageName, beside: PublisherId) -> Result<Vec<Namesake>> {
        self.core.store.namesakes(name, &beside)
    }

    async fn conflicts(&self) -> Result<Conflicts> {
        self.catalogue.conflicts().await
    }

    async fn conflict_evidence(&self, id: ConflictId) -> Result<Evidence> {
        self.catalogue.evidence(id).await
    }

    async fn exists(&self, package: &PackageRef) -> Result<bool> {
        match self.get_package(package).await {
            Ok(_) => Ok(true),
            Err(RegistryError::NotFound { .. } | RegistryError::UnknownHandle(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn metadata(&self, package: &PackageRef, version: &VersionText) -> Result<Manifest> {
        let found = self.get_package(package).await?;
        let entry = release::find(found.id.name.ecosystem(), &found.releases, version).ok_or_else(
            || RegistryError::NoVersion {
                package: found.title(),
                version: version.clone(),
            },
        )?;
        Ok(self.files_of(&found.id, entry).await?.0.into_value())
    }

    async fn manifest_of(&self, package: &PackageId, hash: &Hash) -> Result<Manifest> {
        Ok(self.manifest(package, hash).await?.into_value())
    }

    async fn manifests_of(
        &self,
        package: &PackageId,
        hashes: &[Hash],
        within: Duration,
    ) -> Result<Vec<(Hash, Manifest)>> {
        self.gather_manifests(package, hashes, within).await
    }

    async fn pin(&self, handle: &Handle, publisher: PublisherId) -> Result<()> {
        self.not_own(handle, publisher)?;
        self.core
            .store
            .pin(handle, publisher, self.core.now())
            .await?;
        self.core.cache().clear();
        self.catalogue.know().await
    }

    async fn trust(&self, publisher: PublisherId, handle: Option<&Handle>) -> Result<()> {
        handle
            .map(|handle| self.not_own(handle, publisher))
            .transpose()?;
        self.core
            .store
            .trust_again(publisher, handle, self.core.now())
            .await?;
        self.core.cache().clear();
        self.catalogue.know().await
    }

    async fn distrust(&self, publisher: PublisherId) -> Result<()> {
        self.core.store.distrust(publisher, self.core.now()).await?;
        self.core.cache().clear();
        self.catalogue.know().await
    }
}

fn joined<T>(result: Result<Result<T>, tokio::task::JoinError>) -> Result<T> {
    result.unwrap_or_else(|error| {
        Err(RegistryError::Internal {
            what: "a publish",
            why: error.to_string(),
        })
    })
}
