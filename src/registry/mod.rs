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
pub(crate) use publisher::{AdditionError, check_files, check_version};
pub use publisher::{Bundle, Imported, MAX_BATCH};
pub use replicas::{Replicas, replicated};

pub use crate::domain::{
    announced::{NodeOwner, ReceivedAnnouncement},
    catalogue::CatalogueScope,
    change::Change,
    held::Held,
    names::NameTable,
    package::{
        Conflict, OwnPackage, OwnPackages, OwnPublisher, Package, Release, ReleaseFile,
        ReleaseState, Source, claimed, files_of, title,
    },
    query::{
        Coverage, FacetCount, Facets, Hit, KnownReason, LookAlike, Namesake, SearchResults,
        SearchUpdate,
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
        conflict::{ConflictId, ConflictList, Evidence},
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
///
/// # Errors
/// Every call fails with [`Closed`](crate::RegistryError::Closed) once the node has ended, with
/// [`Database`](crate::RegistryError::Database) where its database fails, and over a control socket
/// with [`NoNode`](crate::RegistryError::NoNode) or [`Control`](crate::RegistryError::Control)
/// where that fails.
#[async_trait]
pub trait Registry: Send + Sync {
    /// Searches, and returns what came by the time that enough peers have answered or the timeout
    /// has passed.
    ///
    /// # Errors
    /// [`Usage`](crate::RegistryError::Usage) for text that cannot be understood; those of every
    /// call.
    async fn search(&self, query: &Query) -> Result<SearchResults>;

    /// Searches and streams results: local hits at once, then hits as peers answer, then one
    /// [`SearchUpdate::Done`]. Dropping the receiver ends the search.
    fn search_stream(&self, query: Query) -> mpsc::Receiver<SearchUpdate>;

    /// Returns the current state of a package: from memory, then the store, then the DHT and peers.
    ///
    /// # Errors
    /// [`NotFound`](crate::RegistryError::NotFound),
    /// [`UnknownHandle`](crate::RegistryError::UnknownHandle) or
    /// [`AmbiguousHandle`](crate::RegistryError::AmbiguousHandle); those of every call.
    async fn get_package(&self, package: &PackageRef) -> Result<Package>;

    /// Returns the highest release that matches; a yanked one only for an exact requirement.
    ///
    /// # Errors
    /// As [`Registry::get_package`], and [`NoMatch`](crate::RegistryError::NoMatch); those of every
    /// call.
    async fn get_package_version(
        &self,
        package: &PackageRef,
        requirement: &RequirementText,
    ) -> Result<Release>;

    /// Returns every release of a package, in the order in which they were published.
    ///
    /// # Errors
    /// As [`Registry::get_package`]; those of every call.
    async fn list_versions(
        &self,
        package: &PackageRef,
    ) -> Result<Vec<crate::domain::release::ReleaseEntry>>;

    /// Signs a release, stores it, puts it into the DHT and announces it. Dependencies are signed
    /// by key: a handle must be bound here, or be what the package's last release called a key.
    /// Once this returns, nothing is lost: what the network has not taken yet is retried until it
    /// has. Progress goes to `progress` as far as it has room.
    ///
    /// # Errors
    /// [`Draft`](crate::RegistryError::Draft), [`NotPut`](crate::RegistryError::NotPut),
    /// [`VersionTaken`](crate::RegistryError::VersionTaken),
    /// [`HistoryUnknown`](crate::RegistryError::HistoryUnknown),
    /// [`TooManyHandles`](crate::RegistryError::TooManyHandles), and for a dependency
    /// [`UnknownHandle`](crate::RegistryError::UnknownHandle),
    /// [`AmbiguousHandle`](crate::RegistryError::AmbiguousHandle) or
    /// [`UnpinnedHandle`](crate::RegistryError::UnpinnedHandle); those of every call.
    async fn publish(
        &self,
        draft: Draft,
        artifacts: Artifacts,
        progress: Option<mpsc::Sender<PublishStep>>,
    ) -> Result<Receipt>;

    /// Signs many small releases at once: [`MAX_BATCH`] at most, and each package once. Returns
    /// what became of each.
    ///
    /// # Errors
    /// [`Usage`](crate::RegistryError::Usage) for a larger batch; those of every call.
    async fn import(&self, batch: Vec<Bundle>) -> Result<Vec<Imported>>;

    /// Yanks, deprecates or tags releases of our own. What was published stays as it is.
    ///
    /// # Errors
    /// [`NoVersion`](crate::RegistryError::NoVersion), [`NotFound`](crate::RegistryError::NotFound)
    /// or [`Usage`](crate::RegistryError::Usage) for a change that makes no sense; those of every
    /// call.
    async fn change(&self, package: &PackageRef, change: Change) -> Result<Receipt>;

    /// Yanks a release of our own without a reason: it is not chosen any more, and stays readable.
    ///
    /// # Errors
    /// As [`Registry::change`]; those of every call.
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
    ///
    /// # Errors
    /// As [`Registry::change`]; those of every call.
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

    /// Returns this node's publisher and its packages.
    ///
    /// # Errors
    /// Those of every call.
    async fn own(&self) -> Result<OwnPackages>;

    /// Returns this node's publisher, and makes its key if there is none.
    ///
    /// # Errors
    /// [`Key`](crate::RegistryError::Key), [`LostKey`](crate::RegistryError::LostKey) or
    /// [`File`](crate::RegistryError::File); those of every call.
    async fn publisher(&self) -> Result<OwnPublisher>;

    /// Tells what a handle means here and who claims it. With `ask`, peers are asked first. Pins
    /// nothing.
    ///
    /// # Errors
    /// Those of every call.
    async fn claims(&self, handle: &Handle, ask: bool) -> Result<Claims>;

    /// Finds the package that this node's person knows (an own one, one of a pinned publisher, or
    /// one that these need) and that a package called `name` may be mistaken for. `publisher` owns
    /// that package; without it, it is one that this node is to publish. A package that is known
    /// itself, or was published here before, is never mistaken for another.
    ///
    /// # Errors
    /// Those of every call.
    async fn look_alike(
        &self,
        name: &PackageName,
        publisher: Option<PublisherId>,
    ) -> Result<Option<LookAlike>>;

    /// Returns the packages of this very name that this node knows: an own one, that of `beside`,
    /// and those of pinned publishers. Asks nobody.
    ///
    /// # Errors
    /// Those of every call.
    async fn namesakes(&self, name: &PackageName, beside: PublisherId) -> Result<Vec<Namesake>>;

    /// Returns the conflicts that this node has seen: handles that several keys claim, versions
    /// that were changed, several states of one number.
    ///
    /// # Errors
    /// Those of every call.
    async fn conflicts(&self) -> Result<ConflictList>;

    /// Returns the records that prove a conflict to others.
    ///
    /// # Errors
    /// [`NoConflict`](crate::RegistryError::NoConflict) for an id that is not known; those of every
    /// call.
    async fn conflict_evidence(&self, id: ConflictId) -> Result<Evidence>;

    /// Tells if there is such a package.
    ///
    /// # Errors
    /// Any other than that it is not found; those of every call.
    async fn exists(&self, package: &PackageRef) -> Result<bool>;

    /// Returns the manifest of one version.
    ///
    /// # Errors
    /// As [`Registry::get_package`], and [`NoVersion`](crate::RegistryError::NoVersion); those of
    /// every call.
    async fn metadata(&self, package: &PackageRef, version: &VersionText) -> Result<Manifest>;

    /// Returns a manifest that the package's head lists, by its hash. One that has been seen is not
    /// asked for again.
    ///
    /// # Errors
    /// [`NotFound`](crate::RegistryError::NotFound); those of every call.
    async fn manifest_of(&self, package: &PackageId, hash: &Hash) -> Result<Manifest>;

    /// Returns manifests of one package by their hashes, many at once: those that can be had within
    /// this time, each with its hash.
    ///
    /// # Errors
    /// Those of every call.
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
        // Return what arrived by then.
        let _ = tokio::time::timeout(within, asking).await;
        Ok(had)
    }

    /// Binds a handle to a key on this node. Only a person's act may call this, never anything
    /// received.
    ///
    /// # Errors
    /// [`Usage`](crate::RegistryError::Usage) for one's own handle and another's key; those of
    /// every call.
    async fn pin(&self, handle: &Handle, publisher: PublisherId) -> Result<()>;

    /// Takes a distrust back. With a handle, that means this key on this node from now on, whatever
    /// it meant before. Only a person's act may call this.
    ///
    /// # Errors
    /// As [`Registry::pin`]; those of every call.
    async fn trust(&self, publisher: PublisherId, handle: Option<&Handle>) -> Result<()>;

    /// Hides a publisher's packages on this node. Only a person's act may call this.
    ///
    /// # Errors
    /// Those of every call.
    async fn distrust(&self, publisher: PublisherId) -> Result<()>;
}

pub use crate::domain::manifest::{Artifacts, Content};
