//! Many small releases at once: an index that somebody else made, as previews for this node's own
//! eyes, or signed.

use std::{collections::HashSet, sync::Arc, time::Duration};

use bytes::Bytes;
use libp2p::identity::Keypair;
use serde::{Deserialize, Serialize};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::{super::core::blocking, Publisher, checks::check_version};
use crate::{
    RegistryError, Result,
    domain::{
        manifest::{Draft, File, Manifest},
        name::{Handle, PackageId, PublisherId},
        package::claimed,
        record::{Authorised, DEFAULT_LIFE, Record},
        release::{self, ReleaseEntry},
        version::VersionText,
    },
    store::{OwnRelease, content::SMALL},
};

/// Most releases in one batch.
pub const MAX_BATCH: usize = 1_000;
/// Between two packages that are put into the DHT: twenty a second disturb nobody.
const PACE: Duration = Duration::from_millis(50);

/// A release whose content is a short text, to be taken with many others.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Bundle {
    pub draft: Draft,
    /// What the content is called as a file.
    pub file: String,
    pub text: String,
}

/// What becomes of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Importing {
    /// Listed on this node and marked: nobody has signed it, nobody else is told of it.
    Preview,
    /// Signed as this node's own. Spreads as catalogues are compared; the DHT is told in the
    /// background.
    Sign,
}

/// What became of one of a batch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "outcome")]
pub enum Imported {
    Taken,
    /// Taken, and another release of the package stays its latest, because its version is higher.
    Behind {
        version: VersionText,
        latest: VersionText,
    },
    /// This very release was there before.
    Known,
    Refused {
        why: String,
    },
}

impl Publisher {
    /// Takes many small releases at once; returns what became of each.
    pub async fn import(
        self: &Arc<Self>,
        batch: Vec<Bundle>,
        how: Importing,
    ) -> Result<Vec<Imported>> {
        if batch.len() > MAX_BATCH {
            return Err(RegistryError::Usage(format!(
                "a batch has {} releases, and {MAX_BATCH} at most",
                batch.len()
            )));
        }
        let outcomes = match how {
            Importing::Preview => self.preview(batch).await?,
            Importing::Sign => self.sign_batch(batch).await?,
        };
        self.catalogue.changed();
        Ok(outcomes)
    }

    async fn preview(&self, batch: Vec<Bundle>) -> Result<Vec<Imported>> {
        let now = self.core.now();
        let mut outcomes = Vec::new();
        let mut manifests = Vec::new();
        let owner = self.core.preview_owner();
        for bundle in batch {
            let artifacts = file_of(&bundle);
            match bundle.draft.into_manifest(owner, artifacts, now) {
                Ok(manifest) => {
                    manifests.push(manifest);
                    outcomes.push(Imported::Taken);
                }
                Err(errors) => outcomes.push(refused(&errors)),
            }
        }
        self.core.store.take_previews(owner, manifests, now).await?;
        Ok(outcomes)
    }

    async fn sign_batch(self: &Arc<Self>, batch: Vec<Bundle>) -> Result<Vec<Imported>> {
        let _one_at_a_time = self.signing.lock().await;
        let (key, _) = self.core.publisher_or_new().await?;
        let publisher = self.clone();
        let signing = blocking("signing a batch", move || {
            let mut seen = HashSet::new();
            let (mut releases, mut outcomes) = (Vec::new(), Vec::new());
            for bundle in batch {
                let twice = bundle
                    .draft
                    .package()
                    .is_ok_and(|package| !seen.insert(package));
                let signed = match twice {
                    true => Err(Imported::Refused {
                        why: "its package is in the batch twice".to_owned(),
                    }),
                    false => publisher.sign_bundle(&key, bundle)?,
                };
                match signed {
                    Ok(release) => {
                        outcomes.push(taken(&release));
                        releases.push(release);
                    }
                    Err(outcome) => outcomes.push(outcome),
                }
            }
            Ok((releases, outcomes))
        });
        let (releases, outcomes) = signing.await?;
        let handle: Option<Handle> = releases
            .iter()
            .find_map(|release| release.head.handle.clone());
        self.claim_node(handle.as_ref());
        for release in &releases {
            let id = release.head.package().clone();
            self.core.cache().forget(&id);
        }
        self.core
            .store
            .take_own_releases(releases, self.core.now())
            .await?;
        self.spreading.notify_one();
        self.catalogue.compare_soon();
        Ok(outcomes)
    }

    /// The release as this node's own, by what it knows of the package: the network is not asked
    /// for each of thousands.
    fn sign_bundle(&self, key: &Keypair, bundle: Bundle) -> Result<Result<OwnRelease, Imported>> {
        let now = self.core.now();
        let (artifacts, text) = (file_of(&bundle), bundle.text);
        if text.len() as u64 >= SMALL {
            return Ok(Err(Imported::Refused {
                why: format!("it has {} bytes, and may have {SMALL}", text.len()),
            }));
        }
        let handle = bundle
            .draft
            .handle
            .clone()
            .or_else(|| self.core.options.handle.clone());
        let name = match bundle.draft.package() {
            Ok(name) => name,
            Err(error) => {
                return Ok(Err(Imported::Refused {
                    why: error.to_string(),
                }));
            }
        };
        let id = PackageId {
            owner: PublisherId::of(&key.public()),
            name,
        };
        let draft = match own_by_key(bundle.draft, &id.owner, handle.as_ref()) {
            Ok(draft) => draft,
            Err(why) => return Ok(Err(Imported::Refused { why })),
        };
        let manifest = match draft.into_manifest(id.owner, artifacts, now) {
            Ok(manifest) => manifest,
            Err(errors) => return Ok(Err(refused(&errors))),
        };
        let mut base = self.base(&id)?;
        match check_version(
            &id.name,
            &manifest.version,
            &base.entries.all,
            base.complete,
        ) {
            Ok(()) => {}
            Err(RegistryError::VersionTaken { version, .. }) => {
                let there = release::find(id.name.ecosystem(), &base.entries.all, &version)
                    .and_then(ReleaseEntry::first);
                let there = there
                    .map(|hash| self.core.store.manifest(&hash))
                    .transpose()?
                    .flatten();
                return Ok(Err(again(
                    &version,
                    there.as_deref().map(|there| &**there),
                    &manifest,
                )));
            }
            Err(error) if error.code() == "history_unknown" => {
                return Ok(Err(Imported::Refused {
                    why: error.to_string(),
                }));
            }
            Err(error) => return Err(error),
        }
        let what = |refusal| Imported::Refused {
            why: format!("it cannot be signed: {refusal}"),
        };
        let manifest = match Authorised::<Manifest>::sign(key, manifest) {
            Ok(manifest) => manifest,
            Err(refusal) => return Ok(Err(what(refusal))),
        };
        let handle = handle.or_else(|| base.handle.clone());
        if let Err(error) = self.packages.check_handles(&id.owner, handle.as_ref()) {
            return Ok(Err(Imported::Refused {
                why: error.to_string(),
            }));
        }
        let called = format!("{} {}", claimed(&id, handle.as_ref()), manifest.version);
        base.entries
            .add(id.name.ecosystem(), &manifest.version, manifest.hash());
        (base.name, base.handle) = (manifest.name.clone(), handle);
        Ok(
            match base.next(id.name.ecosystem()).sign(key, now, DEFAULT_LIFE) {
                Ok((head, pages)) => Ok(OwnRelease {
                    head,
                    pages,
                    manifest,
                    called,
                    bytes: Bytes::from(text.into_bytes()),
                }),
                Err(refusal) => Err(what(refusal)),
            },
        )
    }

    /// Puts what was imported into the DHT, a little at a time, until `stop` is called; goes on
    /// where an earlier run ended.
    pub async fn run_spreading(self: Arc<Self>, stop: CancellationToken) {
        let mut pace = tokio::time::interval(PACE);
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut joined = self.core.net.joined();
        loop {
            let next = match *joined.borrow_and_update() {
                0 => None,
                _ => self.core.store.next_unspread().unwrap_or_else(|error| {
                    tracing::error!(%error, "what is not in the DHT yet could not be read");
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

/// What becomes of a release whose version is there already. Not everything in a version of another
/// ecosystem's can be said in one of ours.
fn again(version: &VersionText, there: Option<&Manifest>, given: &Manifest) -> Imported {
    match there {
        // Its package was published, which says as much.
        Some(there) if !there.is_description() => Imported::Known,
        Some(there) if there.content() != given.content() => Imported::Refused {
            why: format!("{version} is there already and is another text; a release never changes"),
        },
        _ => Imported::Known,
    }
}

/// What becomes of a release that is signed.
fn taken(OwnRelease { head, manifest, .. }: &OwnRelease) -> Imported {
    let read = |version: &VersionText| version.read(&head.ecosystem).ok();
    match head.latest() {
        Some(latest) if read(&latest.version) > read(&manifest.version) => Imported::Behind {
            version: manifest.version.clone(),
            latest: latest.version.clone(),
        },
        _ => Imported::Taken,
    }
}

/// The draft with its dependencies by key. A batch is one publisher's, so no handle but its own is
/// looked up.
fn own_by_key(draft: Draft, own: &PublisherId, called: Option<&Handle>) -> Result<Draft, String> {
    let meaning = |handle: &Handle| match called {
        Some(called) if called == handle => Ok(*own),
        _ => Err(format!(
            "it needs packages of {handle}; name them by key, as publisher-id/name"
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

fn refused(errors: &[crate::domain::manifest::FieldError]) -> Imported {
    let why = errors
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join("; ");
    Imported::Refused { why }
}
