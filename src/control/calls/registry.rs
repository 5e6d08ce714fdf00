//! The calls of the registry.

use tokio::sync::mpsc;

use super::{
    super::{Local, Remote, wire::Batch},
    Control, calls,
};
use crate::{
    RegistryError, Result,
    domain::{
        conflict::{ConflictId, ConflictList, Evidence},
        hash::Hash,
        manifest::{Draft, Manifest},
        name::{Handle, PackageId, PackageName, PackageRef, PublisherId},
        query::Query,
        release::ReleaseEntry,
        trust::Claims,
        version::{RequirementText, VersionText},
    },
    registry::{
        Artifacts, Bundle, Change, Imported, LookAlike, Namesake, OwnPackages, OwnPublisher,
        Package, PublishStep, Receipt, Registry, Release, SearchResults, SearchUpdate,
    },
};

/// Reads a package as a person writes it: `handle/name`, or `publisher-id/name`. The request has it
/// as text, so that a name that cannot be one is refused with the name's own error.
fn reference(text: &str) -> Result<PackageRef> {
    Ok(text.parse()?)
}

calls! {
    impl Registry for Remote {
        fn search_stream(&self, query: Query) -> mpsc::Receiver<SearchUpdate> {
            self.search_updates(query)
        }

        async fn publish(
            &self,
            draft: Draft,
            artifacts: Artifacts,
            progress: Option<mpsc::Sender<PublishStep>>,
        ) -> Result<Receipt> {
            self.publish_steps(draft, artifacts, progress).await
        }

        async fn list_versions(&self, package: &PackageRef) -> Result<Vec<ReleaseEntry>> {
            self.get_package(package).await.map(|package| package.releases.into())
        }

        async fn exists(&self, package: &PackageRef) -> Result<bool> {
            match self.get_package(package).await {
                Ok(_) => Ok(true),
                Err(error) if matches!(error.code(), "not_found" | "unknown_handle") => Ok(false),
                Err(error) => Err(error),
            }
        }
    }

    /// Returns hits, best first; their total; the corrected query, if any; counts by label; the
    /// number of peers that were asked and that answered; and the share of all packages that they
    /// have. `text` is in the language of searches. Optional fields are `categories`, `tags`,
    /// `offset`, `min_reputation`, `local` and `timeout` (a duration).
    POST "/v1/search" r#"{"text": "web", "limit": 50}"#:
    #[serde(transparent)]
    Search = search(query: &Query as Query) -> SearchResults
        |local| local.registry().search(&query).await;

    /// Returns the package's current state.
    POST "/v1/package" r#"{"package": "alice/web"}"#:
    GetPackage = get_package(package: &PackageRef as String) -> Package
        |local| local.registry().get_package(&reference(&package)?).await;

    /// Returns the release that the requirement resolves to.
    POST "/v1/release" r#"{"package": "alice/web", "requirement": "^1.2"}"#:
    GetRelease = get_package_version(
        package: &PackageRef as String,
        requirement: &RequirementText as RequirementText,
    ) -> Release
        |local| local.registry().get_package_version(&reference(&package)?, &requirement).await;

    /// Returns one manifest.
    POST "/v1/manifest" r#"{"package": "alice/web", "version": "1.2.0"}"#:
    GetManifest = metadata(
        package: &PackageRef as String,
        version: &VersionText as VersionText,
    ) -> Manifest
        |local| local.registry().metadata(&reference(&package)?, &version).await;

    /// Returns a manifest that the package's head lists, from this node or from the network.
    POST "/v1/manifest/by-hash"
        r#"{"package": {"owner": "12D3KooW…", "name": "web"}, "hash": "HASH"}"#:
    ManifestOf = manifest_of(
        package: &PackageId as PackageId,
        hash: &Hash as Hash,
    ) -> Manifest
        |local| local.registry().manifest_of(&package, &hash).await;

    /// Signs many small releases as the node's own; a package may occur once. Each entry of the
    /// batch has `draft`, `file` (file name) and `text`. The result of each is `taken`, `behind`
    /// with its version and the latest, `known`, or `refused` with the reason.
    POST "/v1/import" r#"{"batch": []}"#, changes "importing":
    #[serde(transparent)]
    Import = import(batch: Vec<Bundle> as Batch) -> Vec<Imported>
        |local| local.registry().import(batch.batch).await;

    /// Yanks, unyanks, deprecates or tags a release, and returns the receipt. `what` is `yank`,
    /// `unyank`, `deprecate` with a `message`, or `tag` with a `tag`.
    POST "/v1/change"
        r#"{"package": "alice/web", "change": {"what": "yank", "version": "1.2.0", "why": "…"}}"#,
        changes "changing what is said of a release":
    ChangeOf = change(package: &PackageRef as String, change: Change) -> Receipt
        |local| local.registry().change(&reference(&package)?, change).await;

    /// Returns this node's publisher and its packages.
    GET "/v1/own":
    Own = own() -> OwnPackages
        |local| local.registry().own().await;

    /// Returns this node's publisher as `id`. Creates its key if there is none; `new_key` is then
    /// the path.
    POST "/v1/publisher", changes "making a publisher's key":
    Publisher = publisher() -> OwnPublisher
        |local| local.registry().publisher().await;

    /// Returns the key that a handle means on this node, and pins nothing. Without `ask`, no peer
    /// is asked. `bound` is the key that it means, `own` or `pinned`; `own` is the node's key, and
    /// `published` says whether that key has used the handle; `claimants` are the keys that claim
    /// it, in the order in which they were first seen, each with `since`; `answered` of the
    /// `needed` peers have answered.
    POST "/v1/claims" r#"{"handle": "alice", "ask": true}"#:
    WhoClaims = claims(handle: &Handle as Handle, #[serde(default)] ask: bool) -> Claims
        |local| local.registry().claims(&handle, ask).await;

    /// Returns the known package whose name this one resembles, and `why` it is known (`own`,
    /// `pinned`, `needed`), or `null`. Without `publisher`, the name is one to be published here.
    POST "/v1/look-alike" r#"{"name": "serde-json", "publisher": "12D3KooW…"}"#:
    IsLookAlike = look_alike(
        name: &PackageName as PackageName,
        #[serde(default)] publisher: Option<PublisherId>,
    ) -> Option<LookAlike>
        |local| local.registry().look_alike(&name, publisher).await;

    /// Returns the known packages of exactly this name: your own, that of the publisher `beside`,
    /// and those of pinned publishers. No peer is asked.
    POST "/v1/namesakes" r#"{"name": "pypi:six", "beside": "12D3KooW…"}"#:
    Namesakes = namesakes(
        name: &PackageName as PackageName,
        beside: PublisherId,
    ) -> Vec<Namesake>
        |local| local.registry().namesakes(&name, beside).await;

    /// Returns `cases`, the conflicts, latest first, with both sides, the accepted one and the
    /// reason; `forgotten` counts older ones that were dropped.
    GET "/v1/conflicts":
    Conflicts = conflicts() -> ConflictList
        |local| local.registry().conflicts().await;

    /// Returns [evidence](evidence.md) that anybody can verify. Fails with `no_conflict`, or with
    /// `one_sided` if the evidence would prove nothing.
    POST "/v1/conflicts/evidence" r#"{"id": "0123456789abcdef0123456789abcdef"}"#:
    EvidenceOf = conflict_evidence(id: ConflictId) -> Evidence
        |local| local.registry().conflict_evidence(id).await;

    /// Pins a handle to a key on this node, unless it is pinned already. It trusts the key for no
    /// names.
    POST "/v1/pin" r#"{"handle": "alice", "publisher": "12D3KooW…"}"#, changes "pinning a handle":
    Pin = pin(handle: &Handle as Option<Handle>, publisher: PublisherId) -> ()
        |local| {
            let none = || RegistryError::Usage("say which handle to pin".to_owned());
            local.registry().pin(&handle.ok_or_else(none)?, publisher).await
        };

    /// Undoes a distrust. With `handle`, also pins that handle to the key, in place of any other.
    /// `/v1/names/trust` is what lets package managers use the key's packages.
    POST "/v1/trust" r#"{"publisher": "12D3KooW…"}"#, changes "trusting":
    Trusting = trust(
        publisher: PublisherId,
        #[serde(default)] handle: Option<&Handle> as Option<Handle>,
    ) -> ()
        |local| local.registry().trust(publisher, handle.as_ref()).await;

    /// Hides a publisher's packages on this node, and removes its trust for names, its name rules
    /// and the names first served from it.
    POST "/v1/distrust" r#"{"publisher": "12D3KooW…"}"#, changes "distrusting":
    Distrust = distrust(publisher: PublisherId) -> ()
        |local| local.registry().distrust(publisher).await;
}
