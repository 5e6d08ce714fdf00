//! The registry as its users see it, and its peer-to-peer implementation.

mod catalogue;
mod contents;
mod core;
mod fetcher;
mod intake;
mod names;
mod p2p;
mod packages;
mod publisher;
mod replicas;
mod search;

pub use self::core::{Chance, RegistryOptions};
pub use catalogue::SyncReport;
pub(crate) use catalogue::schedule;
pub use contents::{Contents, Incoming, read_whole};
pub use names::Names;
pub use p2p::{P2pRegistry, Parts};
pub(crate) use packages::FAN_OUT;
pub use publisher::{Bundle, Imported, Importing, MAX_BATCH};
pub(crate) use publisher::{check_files, check_version};
pub use replicas::{Replicas, replicated};

pub use crate::domain::{
    announced::{Announced, NodeOwner},
    catalogue::CatalogueScope,
    change::Change,
    held::Held,
    names::NameTable,
    package::{
        Conflict, Own, OwnPackage, Package, Publisher, Release, ReleaseFile, ReleaseState, Source,
        claimed, files_of, title,
    },
    query::{
        Coverage, FacetCount, Facets, Hit, Known, LookAlike, Namesake, SearchResults, SearchUpdate,
    },
    receipt::{PublishStep, Receipt, Steps, on_other_nodes},
    transfer::{Fetched, Order, Wanted},
};

use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::mpsc;

use crate::{
    Result,
    domain::{
        conflict::{ConflictId, Conflicts, Evidence},
        hash::Hash,
        manifest::{Draft, Manifest},
        name::{Handle, PackageId, PackageName, PackageRef, PublisherId},
        query::Query,
        trust::Claims,
        version::{RequirementText, VersionText},
    },
};

/// A package registry. `Send + Sync` and object safe, so an `Arc<dyn Registry>` works from any
/// thread, whatever the implementation holds behind it.
#[async_trait]
pub trait Registry: Send + Sync {
    /// Searches and collects until enough peers answered or the timeout ran out; returns what came
    /// by then.
    async fn search(&self, query: &Query) -> Result<SearchResults>;

    /// Searches and streams: local hits at once, then hits as peers answer, then one
    /// [`SearchUpdate::Done`]. Dropping the receiver ends the search.
    fn search_stream(&self, query: Query) -> mpsc::Receiver<SearchUpdate>;

    /// The package's current state: memory, then store, then DHT and peers.
    async fn get_package(&self, package: &PackageRef) -> Result<Package>;

    /// The highest release that matches; a yanked one only for an exact requirement.
    async fn get_package_version(
        &self,
        package: &PackageRef,
        requirement: &RequirementText,
    ) -> Result<Release>;

    /// Every release there is, in the order they were published.
    async fn list_versions(
        &self,
        package: &PackageRef,
    ) -> Result<Vec<crate::domain::release::ReleaseEntry>>;

    /// Signs, stores, puts into the DHT and announces. Dependencies are signed by key: one that is
    /// named by a handle which is neither bound here, nor what the package's last release called a
    /// key, is refused. Once it returns, nothing is lost: what the network did not take yet is
    /// retried until it has. Progress goes to `progress`, as far as it has room.
    async fn publish(
        &self,
        draft: Draft,
        artifacts: Artifacts,
        progress: Option<mpsc::Sender<PublishStep>>,
    ) -> Result<Receipt>;

    /// Takes many small releases at once, [`MAX_BATCH`] at most and each package once; returns what
    /// became of each.
    async fn import(&self, batch: Vec<Bundle>, how: Importing) -> Result<Vec<Imported>>;

    /// Takes all previews off the list; returns how many there were.
    async fn forget_previews(&self) -> Result<u64>;

    /// Says something else of releases of our own: yanks, deprecations, tags. What was published
    /// stays as it is.
    async fn change(&self, package: &PackageRef, change: Change) -> Result<Receipt>;

    /// Marks a release of our own as not to be chosen any more, without a reason; it stays
    /// readable.
    async fn yank(&self, package: &PackageRef, version: &VersionText) -> Result<Receipt> {
        self.change(
            package,
            Change::Yank {
                version: version.clone(),
                file: None,
                why: String::new(),
            },
        )
        .await
    }

    /// Takes a yank back.
    async fn unyank(&self, package: &PackageRef, version: &VersionText) -> Result<Receipt> {
        self.change(
            package,
            Change::Unyank {
                version: version.clone(),
                file: None,
            },
        )
        .await
    }

    /// This node's publisher and its packages.
    async fn own(&self) -> Result<Own>;

    /// This node's publisher; makes its key where there is none.
    async fn publisher(&self) -> Result<Publisher>;

    /// Tells what a handle means here, and who claims it. With `ask`, peers are asked first. Pins
    /// nothing.
    async fn claims(&self, handle: &Handle, ask: bool) -> Result<Claims>;

    /// The package that this node's person knows (an own one, one of a pinned publisher, or one
    /// that these need) and that a package called `name` may be taken for. `publisher` is whose
    /// package that is; none is one that this node is to publish. No package that is known itself,
    /// or was published here before, is taken for another.
    async fn look_alike(
        &self,
        name: &PackageName,
        publisher: Option<PublisherId>,
    ) -> Result<Option<LookAlike>>;

    /// The packages of this very name that this node knows of: an own one, that of `beside`, and
    /// those of pinned publishers. Asks nobody.
    async fn namesakes(&self, name: &PackageName, beside: PublisherId) -> Result<Vec<Namesake>>;

    /// What does not go together, as far as this node has seen it: handles that several keys claim,
    /// versions that were changed, states of one number.
    async fn conflicts(&self) -> Result<Conflicts>;

    /// What others can be shown of a conflict, and verify by themselves.
    async fn conflict_evidence(&self, id: ConflictId) -> Result<Evidence>;

    async fn exists(&self, package: &PackageRef) -> Result<bool>;

    /// The manifest of one version.
    async fn metadata(&self, package: &PackageRef, version: &VersionText) -> Result<Manifest>;

    /// A manifest that the package's head lists, by its hash: what has been seen is not asked for
    /// again.
    async fn manifest_of(&self, package: &PackageId, hash: &Hash) -> Result<Manifest>;

    /// Manifests of one package by their hashes, many at once: those that can be had within this
    /// time, each with its hash.
    async fn manifests_of(
        &self,
        package: &PackageId,
        hashes: &[Hash],
        within: Duration,
    ) -> Result<Vec<(Hash, Manifest)>> {
        let one = async |hash: &Hash| {
            self.manifest_of(package, hash)
                .await
                .ok()
                .map(|manifest| (*hash, manifest))
        };
        let mut had = Vec::new();
        let asking = async {
            for hash in hashes {
                had.extend(one(hash).await);
            }
        };
        // What came by then counts.
        let _ = tokio::time::timeout(within, asking).await;
        Ok(had)
    }

    /// Binds a handle to a key on this node. Only a person's act may call this, never something
    /// received.
    async fn pin(&self, handle: &Handle, publisher: PublisherId) -> Result<()>;

    /// Takes a distrust back; with a handle, that means this key on this node from now on, whatever
    /// it meant before. Only a person's act may call this.
    async fn trust(&self, publisher: PublisherId, handle: Option<&Handle>) -> Result<()>;

    /// Hides a publisher's packages on this node. Only a person's act may call this.
    async fn distrust(&self, publisher: PublisherId) -> Result<()>;
}

pub use crate::domain::manifest::{Artifacts, Content};
