//! Imports many small releases at once: signs an index that somebody else made as this node's own.

use std::{collections::HashSet, fmt::Display, sync::Arc, time::Duration};

use bytes::Bytes;
use libp2p::identity::Keypair;
use serde::{Deserialize, Serialize};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::{
    super::core::blocking, AdditionError, Publisher, PublisherError, base::Base,
    checks::check_version,
};
use crate::{
    RegistryError, Result,
    domain::{
        manifest::{Draft, FieldError, File, Manifest},
        name::{Handle, PackageId, PublisherId},
        package::claimed,
        record::{Authorised, DEFAULT_LIFE, Head, Record},
        release::{self, ReleaseEntry},
        version::VersionText,
    },
    store::{OwnRelease, content::SMALL},
};

/// Most releases in one batch.
pub const MAX_BATCH: usize = 1_000;
/// Pause between two packages that are put into the DHT: twenty a second disturb nobody.
const PACE: Duration = Duration::from_millis(50);

/// A release whose content is a short text, to be imported in a batch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Bundle {
    /// The draft that is signed.
    pub draft: Draft,
    /// The file name of the content.
    pub file: String,
    /// The content.
    pub text: String,
}

/// The result for one release of a batch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "outcome")]
pub enum Imported {
    /// Signed, and its package's latest.
    Taken,
    /// Imported, but another release with a higher version stays the latest.
    Behind {
        /// Its own version.
        version: VersionText,
        /// The package's latest.
        latest: VersionText,
    },
    /// This very release existed before.
    Known,
    /// Not signed.
    Refused {
        /// The reason, as a clause for people.
        why: String,
    },
}

/// The reason why a release of a batch is not signed.
enum Unsigned {
    /// Only this release is not signed.
    This(Imported),
    /// The whole batch fails.
    All(PublisherError),
}

impl<E: Into<PublisherError>> From<E> for Unsigned {
    fn from(error: E) -> Self {
        Self::All(error.into())
    }
}

/// Refuses this release of a batch.
fn refuse(why: impl Display) -> Unsigned {
    Unsigned::This(Imported::Refused {
        why: why.to_string(),
    })
}

impl Publisher {
    /// Signs many small releases at once, and returns the result for each.
    ///
    /// # Errors
    /// [`PublisherError::BatchTooLarge`] for more than [`MAX_BATCH`]; fails if the key cannot be
    /// read or the
    /// releases cannot be stored.
    pub async fn import(
        self: &Arc<Self>,
        batch: Vec<Bundle>,
    ) -> Result<Vec<Imported>, PublisherError> {
        if batch.len() > MAX_BATCH {
            return Err(PublisherError::BatchTooLarge {
                given: batch.len(),
                most: MAX_BATCH,
            });
        }
        let _one_at_a_time = self.signing.lock().await;
        let (key, _) = self.core.publisher_or_new().await?;
        let publisher = self.clone();
        let signing = blocking("signing a batch", move || publisher.sign_batch(&key, batch));
        let (releases, outcomes) = signing.await?;
        let handle: Option<Handle> = releases
            .iter()
            .find_map(|release| release.head.handle.clone());
        self.claim_node(handle.as_ref());
        for release in &releases {
            self.core.cache().forget(release.head.package());
        }
        self.core
            .store
            .take_own_releases(releases, self.core.now())
            .await?;
        self.spreading.notify_one();
        self.catalogue.compare_soon();
        self.catalogue.changed();
        Ok(outcomes)
    }

    fn sign_batch(
        &self,
        key: &Keypair,
        batch: Vec<Bundle>,
    ) -> Result<(Vec<OwnRelease>, Vec<Imported>), PublisherError> {
        let mut seen = HashSet::new();
        let (mut releases, mut outcomes) = (Vec::new(), Vec::new());
        for bundle in batch {
            let twice = bundle
                .draft
                .package()
                .is_ok_and(|package| !seen.insert(package));
            let signed = match twice {
                true => Err(refuse("its package is in the batch twice")),
                false => self.sign_bundle(key, bundle),
            };
            match signed {
                Ok(release) => {
                    outcomes.push(taken(&release.head, &release.manifest));
                    releases.push(release);
                }
                Err(Unsigned::This(outcome)) => outcomes.push(outcome),
                Err(Unsigned::All(error)) => return Err(error),
            }
        }
        Ok((releases, outcomes))
    }

    /// Returns the release as this node's own, from its local knowledge of the package: asking the
    /// network for each of thousands would take too long.
    fn sign_bundle(
        &self,
        key: &Keypair,
        bundle: Bundle,
    ) -> std::result::Result<OwnRelease, Unsigned> {
        let now = self.core.now();
        let (artifacts, text) = (file_of(&bundle), bundle.text);
        if text.len() as u64 >= SMALL {
            return Err(refuse(format!(
                "it has {} bytes; at most {SMALL} are allowed",
                text.len()
            )));
        }
        let named = bundle.draft.handle.clone();
        let handle = named.or_else(|| self.core.options.handle.clone());
        let id = PackageId {
            owner: PublisherId::of(&key.public()),
            name: bundle.draft.package().map_err(refuse)?,
        };
        let draft = own_by_key(bundle.draft, &id.owner, handle.as_ref()).map_err(refuse)?;
        let manifest = draft
            .into_manifest(id.owner, artifacts, now)
            .map_err(|errors| refuse(sentences(&errors)))?;
        let mut base = self.base(&id)?;
        self.check_next(&id, &base, &manifest)?;
        let unsigned = |refusal| refuse(format!("it cannot be signed: {refusal}"));
        let manifest = Authorised::<Manifest>::sign(key, manifest).map_err(unsigned)?;
        let handle = handle.or_else(|| base.handle.clone());
        self.packages
            .check_handles(&id.owner, handle.as_ref())
            .map_err(|error| refuse(RegistryError::from(error)))?;
        let called = format!("{} {}", claimed(&id, handle.as_ref()), manifest.version);
        base.entries
            .add(id.name.ecosystem(), &manifest.version, manifest.hash());
        (base.name, base.handle) = (manifest.name.clone(), handle);
        let (head, pages) = base
            .next(id.name.ecosystem())
            .sign(key, now, DEFAULT_LIFE)
            .map_err(unsigned)?;
        Ok(OwnRelease {
            head,
            pages,
            manifest,
            called,
            bytes: Bytes::from(text.into_bytes()),
        })
    }

    /// Checks that a release may be added to a package.
    fn check_next(
        &self,
        id: &PackageId,
        base: &Base,
        manifest: &Manifest,
    ) -> std::result::Result<(), Unsigned> {
        let there = &base.entries.all;
        match check_version(&id.name, &manifest.version, there, base.complete) {
            Ok(()) => Ok(()),
            Err(AdditionError::VersionTaken { version, .. }) => {
                let first = release::find(id.name.ecosystem(), there, &version)
                    .and_then(ReleaseEntry::first);
                let held = first
                    .map(|hash| self.core.store.manifest(&hash))
                    .transpose()?
                    .flatten();
                let held = held.as_deref().map(|held| &**held);
                Err(Unsigned::This(again(&version, held, manifest)))
            }
            Err(error @ AdditionError::HistoryUnknown { .. }) => {
                Err(refuse(RegistryError::from(error)))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Puts imported packages into the DHT, slowly, until `stop` is cancelled. Resumes where an
    /// earlier run ended.
    pub async fn run_spreading(self: Arc<Self>, stop: CancellationToken) {
        let mut pace = tokio::time::interval(PACE);
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut joined = self.core.net.joined();
        loop {
            let next = match *joined.borrow_and_update() {
                0 => None,
                _ => self.core.store.next_unspread().unwrap_or_else(|error| {
                    tracing::error!(%error, "imported packages could not be read");
                    None
                }),
            };
            let Some(id) = next else {
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = self.spreading.notified() => {}
                    changed = joined.changed() => if changed.is_err() { return },
                }
                continue;
            };
            tokio::select! {
                () = stop.cancelled() => return,
                _ = pace.tick() => {}
            }
            if let Err(error) = self.spread(&id).await {
                tracing::debug!(%error, package = %id, "not put into the DHT");
                if matches!(error, RegistryError::Closed) {
                    return;
                }
            }
        }
    }

    async fn spread(&self, id: &PackageId) -> Result<()> {
        let head = self.core.store.head(id)?.map(|held| held.head);
        let newest = head
            .as_ref()
            .and_then(|head| head.releases.last())
            .and_then(|entry| entry.manifests.last());
        let manifest = newest
            .map(|hash| self.core.store.manifest(hash))
            .transpose()?
            .flatten();
        let timeout = self.core.net.query_timeout();
        for record in head
            .map(Record::Head)
            .into_iter()
            .chain(manifest.clone().map(Record::Manifest))
        {
            self.core.net.put(record, timeout).await?;
        }
        manifest
            .iter()
            .for_each(|manifest| self.fetcher.provide_files_soon(manifest));
        self.core.store.spread(id.clone()).await
    }
}

/// Returns the result for a release whose version exists already. A version of another ecosystem
/// may lose details in one of ours, so different releases can meet here.
fn again(version: &VersionText, there: Option<&Manifest>, given: &Manifest) -> Imported {
    match there {
        // The package was published, which says at least as much.
        Some(there) if !there.is_description() => Imported::Known,
        Some(there) if there.content() != given.content() => Imported::Refused {
            why: format!("{version} is there already with another text; a release never changes"),
        },
        _ => Imported::Known,
    }
}

/// Returns the result for a signed release.
fn taken(head: &Head, manifest: &Manifest) -> Imported {
    let read = |version: &VersionText| version.read(&head.ecosystem).ok();
    match head.latest() {
        Some(latest) if read(&latest.version) > read(&manifest.version) => Imported::Behind {
            version: manifest.version.clone(),
            latest: latest.version.clone(),
        },
        _ => Imported::Taken,
    }
}

/// Replaces the handles in a draft's dependencies by keys. A batch is one publisher's, so only its
/// own handle is resolved.
fn own_by_key(draft: Draft, own: &PublisherId, called: Option<&Handle>) -> Result<Draft, String> {
    let meaning = |handle: &Handle| match called {
        Some(called) if called == handle => Ok(*own),
        _ => Err(format!(
            "it depends on packages of {handle}; name them by key, as publisher-id/name"
        )),
    };
    let by_key = draft
        .dependencies
        .iter()
        .cloned()
        .map(|dependency| dependency.by_key(&draft.ecosystem, meaning));
    let dependencies = by_key.collect::<Result<_, _>>()?;
    Ok(Draft {
        dependencies,
        ..draft
    })
}

fn file_of(bundle: &Bundle) -> File {
    File::of(
        &bundle.draft.ecosystem,
        bundle.file.clone(),
        bundle.text.as_bytes(),
    )
}

fn sentences(errors: &[FieldError]) -> String {
    let sentences: Vec<String> = errors.iter().map(ToString::to_string).collect();
    sentences.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        domain::{
            dependency::Dependency, manifest::DESCRIPTION, record::HeadState, time::Timestamp,
            version::RequirementText,
        },
        ecosystem::Ecosystem,
    };

    const NOW: Timestamp = Timestamp(1_700_000_000_000);

    fn key() -> Keypair {
        Keypair::ed25519_from_bytes([1; 32]).unwrap()
    }

    fn own() -> PublisherId {
        PublisherId::of(&key().public())
    }

    fn draft(version: &str) -> Draft {
        Draft::of(
            Ecosystem::Debian,
            "tool".parse().unwrap(),
            version.parse().unwrap(),
        )
    }

    /// Returns a release of one file called `tool` with this ending.
    fn release(version: &str, ending: &str, text: &str) -> Manifest {
        let file = File::of(&Ecosystem::Debian, format!("tool{ending}"), text.as_bytes());
        draft(version).into_manifest(own(), file, NOW).unwrap()
    }

    fn head(versions: &[&str]) -> Authorised<Head> {
        let entry = |version: &&str| {
            let manifest = release(version, DESCRIPTION, "text");
            let manifest = Authorised::<Manifest>::sign(&key(), manifest).unwrap();
            ReleaseEntry::new(version.parse().unwrap(), manifest.hash())
        };
        let releases = versions.iter().map(entry).collect();
        let state = HeadState::first(Ecosystem::Debian, "tool".parse().unwrap(), releases);
        state.sign(&key(), NOW, DEFAULT_LIFE).unwrap().0
    }

    #[test]
    fn a_version_that_is_there_is_known_with_the_same_text_and_refused_with_another() {
        let version: VersionText = "1.0-1".parse().unwrap();
        let given = release("1.0-1", DESCRIPTION, "text");
        assert_eq!(again(&version, None, &given), Imported::Known);
        assert_eq!(again(&version, Some(&given), &given), Imported::Known);
        let other = release("1.0-1", DESCRIPTION, "another text");
        let refused = again(&version, Some(&other), &given);
        assert!(
            matches!(&refused, Imported::Refused { why } if why.contains("1.0-1 is there already")),
            "{refused:?}"
        );
        let package = release("1.0-1", ".deb", "the package itself");
        assert_eq!(again(&version, Some(&package), &given), Imported::Known);
    }

    #[test]
    fn a_release_below_the_latest_is_taken_and_says_which_that_is() {
        let below = release("1.0-1", DESCRIPTION, "text");
        let both = head(&["2:0.5-1", "1.0-1"]);
        let behind = Imported::Behind {
            version: "1.0-1".parse().unwrap(),
            latest: "2:0.5-1".parse().unwrap(),
        };
        assert_eq!(taken(&both, &below), behind);
        let latest = release("2:0.5-1", DESCRIPTION, "text");
        assert_eq!(taken(&both, &latest), Imported::Taken);
        assert_eq!(taken(&head(&["1.0-1"]), &below), Imported::Taken);
    }

    #[test]
    fn a_batch_names_its_own_packages_by_handle_and_others_by_key() {
        let handle: Handle = "mirror".parse().unwrap();
        let with = |package: &str| {
            let mut draft = draft("1.0-1");
            draft.dependencies = vec![Dependency::on(package, RequirementText::any())];
            draft
        };
        let by_key = own_by_key(with("mirror/lib"), &own(), Some(&handle)).unwrap();
        assert_eq!(by_key.dependencies[0].id().unwrap().owner, own());
        for called in [None, Some(&handle)] {
            let why = own_by_key(with("alice/lib"), &own(), called).unwrap_err();
            assert!(why.contains("packages of alice"), "{why}");
        }
    }
}
