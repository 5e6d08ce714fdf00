//! Gets packages: from memory, then from the store, then from the network.

use futures::{StreamExt, stream};
use tracing::field::Empty;

use super::{FAN_OUT, Packages, PackagesError};
use crate::{
    RegistryError, Result,
    domain::{
        hash::Hash,
        manifest::Manifest,
        name::{PackageId, PackageRef},
        package::{Package, Release, ReleaseFile, ReleaseState, Source, files_of},
        record::Authorised,
        release::{self, ReleaseEntry},
        time::Timestamp,
        version::{RequirementText, VersionText},
    },
    ending::Ending,
    metrics::GetSource,
    store::StoredHead,
};

/// Manifests of one release that are requested at once.
const MANIFESTS_AT_ONCE: usize = 8;

/// Classifies the outcome of a get, for the metrics.
fn provenance(got: Result<Source, &RegistryError>) -> GetSource {
    match got {
        Ok(Source::Cache) => GetSource::Memory,
        Ok(Source::Local) => GetSource::Disk,
        Ok(Source::Dht) => GetSource::Dht,
        Ok(Source::Peer(_)) => GetSource::Peer,
        Err(error) if error.is_missing() => GetSource::Missing,
        Err(_) => GetSource::Failed,
    }
}

/// Returns the position of the manifest that describes a release: the first one that is more than a
/// description, because an index's description counts only while there is nothing else.
fn said_by<'a>(mut manifests: impl Iterator<Item = &'a Manifest>) -> usize {
    manifests
        .position(|manifest| !manifest.is_description())
        .unwrap_or(0)
}

/// Returns the time since which a package's state is believed; `None` if no peer has confirmed it,
/// so that peers are asked again.
fn believed_since(held: &StoredHead, now: Timestamp) -> Option<Timestamp> {
    match held.own {
        true => Some(now),
        false => held.confirmed_at,
    }
}

impl Packages {
    /// Returns the current state of a package, in a span that records the outcome.
    pub async fn get(&self, package: &PackageRef) -> Result<Package> {
        let get = async {
            let id = self.resolve(package).await?;
            self.package(&id).await
        };
        self.traced_get(package, get, |found| found.source).await
    }

    /// As [`Self::get`], for the highest release that matches.
    pub async fn get_version(
        &self,
        package: &PackageRef,
        requirement: &RequirementText,
    ) -> Result<Release> {
        let get = self.release(package, requirement);
        self.traced_get(package, get, |found| found.source).await
    }

    /// Returns true if the package exists.
    pub async fn exists(&self, package: &PackageRef) -> Result<bool> {
        match self.get(package).await {
            Ok(_) => Ok(true),
            Err(RegistryError::NotFound { .. } | RegistryError::UnknownHandle(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Returns the manifest of one version.
    pub async fn metadata(&self, package: &PackageRef, version: &VersionText) -> Result<Manifest> {
        let found = self.get(package).await?;
        let entry = release::find(found.id.name.ecosystem(), &found.releases, version);
        let entry = entry.ok_or_else(|| RegistryError::NoVersion {
            package: found.title(),
            version: version.clone(),
        })?;
        Ok(self.files_of(&found.id, entry).await?.0.into_value())
    }

    /// Runs a get in a span that records the outcome, and counts it.
    async fn traced_get<T>(
        &self,
        package: &PackageRef,
        get: impl Future<Output = Result<T, PackagesError>>,
        source: fn(&T) -> Source,
    ) -> Result<T> {
        let ending = Ending::of(tracing::info_span!(
            "get",
            %package,
            source = Empty,
            asked = Empty,
            answered = Empty,
            error = Empty,
            outcome = Empty,
            ms = Empty
        ));
        match ending.within(get).await {
            Ok(found) => {
                let source = source(&found);
                self.core.metrics.got(provenance(Ok(source)));
                ending.span().record("source", source.label());
                ending.ended("found");
                Ok(found)
            }
            Err(error) => {
                let error = RegistryError::from(error);
                ending.failed(&error);
                self.core.metrics.got(provenance(Err(&error)));
                Err(error)
            }
        }
    }

    /// Returns the highest release that matches. Asks the network if none is held.
    async fn release(
        &self,
        package: &PackageRef,
        requirement: &RequirementText,
    ) -> Result<Release, PackagesError> {
        let id = self.resolve(package).await?;
        let ecosystem = id.name.ecosystem();
        let asked = requirement.read(ecosystem)?;
        let mut found = self.package(&id).await?;
        if release::resolve(ecosystem, &found.releases, Some(&asked)).is_none() {
            // The held state may lack the newest release.
            found = self.package_from_network(&id).await.unwrap_or(found);
        }
        let entry =
            release::resolve(ecosystem, &found.releases, Some(&asked)).ok_or_else(|| {
                PackagesError::NoMatch {
                    package: found.title(),
                    requirement: requirement.clone(),
                    instead: release::instead(ecosystem, &found.releases, &asked),
                }
            })?;
        let (manifest, files, missing) = self.files_of(&id, entry).await?;
        Ok(Release {
            package: id,
            handle: found.handle.clone(),
            trust: found.trust,
            manifest_hash: manifest.hash(),
            state: ReleaseState::of(entry),
            tags: found.tags_of(&entry.version),
            freshness: found.freshness,
            manifest: manifest.into_value(),
            files,
            missing,
            source: found.source,
        })
    }

    /// Returns the files of a release from its available manifests: the one that describes it, all
    /// files, and the number of manifests that are missing.
    ///
    /// # Errors
    /// [`PackagesError::NotFound`] if no manifest is available.
    pub async fn files_of(
        &self,
        id: &PackageId,
        entry: &ReleaseEntry,
    ) -> Result<(Authorised<Manifest>, Vec<ReleaseFile>, usize), PackagesError> {
        let ask = |hash: Hash| async move { self.manifest(id, &hash).await };
        let asked = stream::iter(entry.manifests.clone())
            .map(ask)
            .buffered(MANIFESTS_AT_ONCE);
        let (mut had, mut last_error) = (Vec::new(), None);
        for manifest in asked.collect::<Vec<_>>().await {
            match manifest {
                Ok(manifest) => had.push(manifest),
                Err(error @ PackagesError::NotFound { .. }) => last_error = Some(error),
                Err(error) => return Err(error),
            }
        }
        let files = files_of(
            entry,
            had.iter().map(|manifest| (manifest.hash(), &***manifest)),
        );
        let missing = entry.manifests.len() - had.len();
        let nothing = || PackagesError::NotFound {
            package: format!("the manifest of {id} {}", entry.version),
            asked: FAN_OUT,
        };
        let first = said_by(had.iter().map(|manifest| &***manifest));
        let first = had
            .into_iter()
            .nth(first)
            .ok_or_else(|| last_error.unwrap_or_else(nothing))?;
        Ok((first, files, missing))
    }

    /// Returns the package's state: from memory, from the store while it is fresh, from the
    /// network, or else from the store however old.
    pub async fn package(&self, id: &PackageId) -> Result<Package, PackagesError> {
        let now = self.core.now();
        if let Some(package) = self.core.cache().get(id, now) {
            return Ok(Package {
                source: Source::Cache,
                ..package.clone()
            });
        }
        let held = self.core.store.head(id)?;
        if let Some(held) = held.as_ref().filter(|held| held.freshness().is_fresh(now)) {
            return self.assemble(held, Source::Local).await;
        }
        match (self.package_from_network(id).await, held) {
            (Err(PackagesError::NotFound { .. }), Some(held)) => {
                self.assemble(&held, Source::Local).await
            }
            (found, _) => found,
        }
    }

    /// Finds the newest head in the network and accepts it.
    pub async fn package_from_network(&self, id: &PackageId) -> Result<Package, PackagesError> {
        let (source, asked) = self.refresh_head(id).await?;
        let missing = || PackagesError::NotFound {
            package: self.missing(id),
            asked,
        };
        let source = source.ok_or_else(missing)?;
        let held = self.core.store.head(id)?.ok_or_else(missing)?;
        self.assemble(&held, source).await
    }

    /// Builds the package from a head.
    async fn assemble(&self, held: &StoredHead, source: Source) -> Result<Package, PackagesError> {
        let head = &held.head;
        let id = head.package().clone();
        let (mut releases, mut complete) = self.core.store.releases(head)?;
        if !complete {
            self.fetch_pages(&id, head).await?;
            (releases, complete) = self.core.store.releases(head)?;
        }
        let latest = match release::resolve(id.name.ecosystem(), &releases, None)
            .and_then(ReleaseEntry::first)
        {
            Some(hash) => match self.manifest(&id, &hash).await {
                Ok(manifest) => Some(manifest.into_value()),
                Err(PackagesError::NotFound { .. }) => None,
                Err(error) => return Err(error),
            },
            None => None,
        };
        let package = Package {
            handle: head.handle.clone(),
            trust: self.core.store.trust(&id.owner, head.handle.as_ref())?,
            seq: head.seq,
            signed_at: head.signed_at,
            freshness: held.freshness(),
            conflicts: self.core.store.conflicts(&id)?,
            tags: head.tags.clone(),
            releases: releases.into(),
            complete,
            latest,
            source,
            id,
        };
        if package.latest.is_some() && package.complete {
            let since = believed_since(held, self.core.now());
            since.inspect(|since| self.core.cache().keep(package.clone(), *since));
        }
        Ok(package)
    }
}

#[cfg(test)]
mod tests {
    use libp2p::{PeerId, identity::Keypair};

    use super::*;
    use crate::{
        domain::{
            manifest::{DESCRIPTION, Draft, File},
            name::PublisherId,
            record::{DEFAULT_LIFE, HeadState},
        },
        ecosystem::Ecosystem,
    };

    const NOW: Timestamp = Timestamp(1_700_000_000_000);

    #[test]
    fn a_get_is_counted_by_what_it_came_from() {
        let from = |source| provenance(Ok(source));
        assert_eq!(from(Source::Cache), GetSource::Memory);
        assert_eq!(from(Source::Local), GetSource::Disk);
        assert_eq!(from(Source::Dht), GetSource::Dht);
        assert_eq!(from(Source::Peer(PeerId::random())), GetSource::Peer);
        let missing = RegistryError::NotFound {
            package: "alice/web".to_owned(),
            asked: 5,
        };
        assert_eq!(provenance(Err(&missing)), GetSource::Missing);
        assert_eq!(
            provenance(Err(&RegistryError::Closed)),
            GetSource::Failed,
            "nobody knows if there is one"
        );
    }

    #[test]
    fn a_package_says_what_a_release_is_before_an_index_that_describes_it() {
        let owner = PublisherId::from(PeerId::random());
        let manifest = |ending: &str| {
            let (name, version) = ("tool".parse().unwrap(), "1.0-1".parse().unwrap());
            let draft = Draft::of(Ecosystem::Debian, name, version);
            let file = File::of(&Ecosystem::Debian, format!("tool{ending}"), b"bytes");
            draft.into_manifest(owner, file, NOW).unwrap()
        };
        let (described, package) = (manifest(DESCRIPTION), manifest(".deb"));
        assert_eq!(said_by([&described, &package].into_iter()), 1);
        assert_eq!(said_by([&package, &described].into_iter()), 0);
        assert_eq!(said_by([&described, &described].into_iter()), 0);
    }

    #[test]
    fn a_state_is_believed_since_a_quorum_confirmed_it_and_one_s_own_at_once() {
        let key = Keypair::ed25519_from_bytes([1; 32]).unwrap();
        let release = ReleaseEntry::new("1.0.0".parse().unwrap(), Hash::of(b"1"));
        let name = "web".parse().unwrap();
        let state = HeadState::first(Ecosystem::Generic, name, vec![release]);
        let mut held = StoredHead {
            head: state.sign(&key, NOW, DEFAULT_LIFE).unwrap().0,
            received_at: NOW,
            confirmed_at: None,
            confirmed_by: 0,
            own: false,
        };
        let later = NOW.after(std::time::Duration::from_secs(60));
        assert_eq!(believed_since(&held, later), None, "only received");
        held.confirmed_at = Some(NOW);
        assert_eq!(believed_since(&held, later), Some(NOW));
        held.own = true;
        assert_eq!(believed_since(&held, later), Some(later));
    }
}
