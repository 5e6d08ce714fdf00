//! Publishes releases: check, sign, store, deliver.

use std::{fmt::Display, path::PathBuf, sync::Arc, time::Instant};

use futures::future::try_join_all;
use libp2p::identity::Keypair;
use tokio::sync::mpsc;
use tracing::field::Empty;

use super::{
    super::{core::blocking, packages::PackagesError},
    AdditionError, Progress, Publisher, PublisherError,
    base::{Base, Taken},
    checks::{check_files, check_version},
    deliver::{Delivered, Due},
    tell,
};
use crate::{
    RegistryError, Result,
    domain::{
        hash::{Digester, Hash},
        manifest::{Artifacts, Content, Draft, File, Manifest, PutFile, file_of},
        name::{Handle, PackageId, PublisherId},
        package::{claimed, files_of},
        receipt::{PublishStep, Receipt, Steps},
        record::Authorised,
        release::{self, ReleaseEntry},
        time::Timestamp,
        version::VersionText,
    },
    ending::Ending,
};

/// A signed and committed state of a package that is to be delivered.
pub struct Published {
    pub id: PackageId,
    /// The release concerned.
    pub version: VersionText,
    pub manifest: Hash,
    pub taken: Taken,
}

/// Creates the span of a publish or change.
pub fn ending(what: &'static str, package: impl Display, version: impl Display) -> Ending {
    Ending::of(tracing::info_span!(
        "publish",
        what,
        %package,
        %version,
        seq = Empty,
        asked = Empty,
        answered = Empty,
        replicas = Empty,
        announced = Empty,
        error = Empty,
        outcome = Empty,
        ms = Empty
    ))
}

/// Runs a publish or change in its span, which records the result.
pub async fn traced(
    ending: Ending,
    publish: impl Future<Output = Result<Receipt, PublisherError>>,
) -> Result<Receipt> {
    match ending.within(publish).await {
        Ok(receipt) => {
            ending.span().record("seq", receipt.seq);
            ending.count("replicas", receipt.steps.replicas);
            ending.count("announced", receipt.steps.announced);
            ending.ended(if receipt.pending {
                "pending"
            } else {
                "delivered"
            });
            Ok(receipt)
        }
        Err(error) => {
            let error = RegistryError::from(error);
            ending.failed(&error);
            Err(error)
        }
    }
}

impl Publisher {
    /// Publishes a release in a task of its own: the caller may stop waiting, but a signed release
    /// must be delivered.
    pub async fn publish(
        self: &Arc<Self>,
        draft: Draft,
        artifacts: Artifacts,
        progress: Option<mpsc::Sender<PublishStep>>,
    ) -> Result<Receipt> {
        let publisher = self.clone();
        let ending = ending("publish", &draft.name, &draft.version);
        let publish = async move {
            publisher
                .publish_release(draft, artifacts, progress.as_ref())
                .await
        };
        detached(traced(ending, publish)).await
    }

    async fn publish_release(
        self: &Arc<Self>,
        draft: Draft,
        artifacts: Artifacts,
        progress: Progress<'_>,
    ) -> Result<Receipt, PublisherError> {
        let size = artifacts.files.iter().map(|file| file.content.size).sum();
        tell(progress, PublishStep::Hashed { size });
        let named = draft.handle.clone();
        let handle = named.or_else(|| self.core.options.handle.clone());
        let name = draft.package()?;
        let bytes = artifacts.contents();
        self.check_put(&bytes)?;
        let artifacts = self.hashed(&draft, artifacts).await?;
        let now = self.core.now();
        let (key, new_key) = self
            .key_for(&draft, handle.as_ref(), &artifacts, now)
            .await?;
        let id = PackageId {
            owner: PublisherId::of(&key.public()),
            name,
        };

        // From here on the outbox leaves the delivery to this task.
        let _delivering = self.underway.begin(&id);
        let looked = Instant::now();
        self.refresh(&id).await?;
        let lookup = looked.elapsed();
        let one_at_a_time = self.signing.lock().await;
        let mut base = self.whole_base(&id).await?;
        base.handle = handle.or_else(|| base.handle.clone());
        base.name = draft.name.clone();
        let manifest = self.addition(&id, draft, artifacts, &base, now).await?;

        let signing = Instant::now();
        let refused = |refusal| PublisherError::Refused {
            what: id.name.to_string(),
            refusal,
        };
        let version = manifest.version.clone();
        let manifest = Authorised::sign(&key, manifest).map_err(refused)?;
        base.entries
            .add(id.name.ecosystem(), &version, manifest.hash());
        // From here on the quota does not evict them.
        let what = format!("{} {version}", claimed(&id, base.handle.as_ref()));
        try_join_all(
            bytes
                .iter()
                .map(|content| self.fetcher.contents.set_own(content.root, what.clone())),
        )
        .await?;
        self.claim_node(base.handle.as_ref());
        let hash = manifest.hash();
        let taken = self
            .take_next(&key, &id, base, Some(manifest), &version, progress)
            .await?;
        // Others need not wait for this one's network requests.
        drop(one_at_a_time);
        let steps = Steps {
            lookup,
            stored: signing.elapsed(),
            copies_wanted: self.core.options.copies,
            ..Steps::default()
        };
        let published = Published {
            id,
            version,
            manifest: hash,
            taken,
        };
        self.finish(published, steps, new_key, progress).await
    }

    /// Checks that every content of a release was put here before.
    fn check_put(&self, contents: &[Content]) -> Result<(), PublisherError> {
        for content in contents {
            let held = self.fetcher.contents.get(&content.root)?;
            if !held.is_some_and(|held| held.content == *content) {
                return Err(PublisherError::NotPut(content.root));
            }
        }
        Ok(())
    }

    /// Returns the signing key, and the path of its file if it is new. A refused publish creates no
    /// key, so the draft is checked first.
    async fn key_for(
        &self,
        draft: &Draft,
        handle: Option<&Handle>,
        artifacts: &Artifacts<File>,
        now: Timestamp,
    ) -> Result<(Keypair, Option<PathBuf>), PublisherError> {
        let known = self.core.publisher_id();
        let owner = known.unwrap_or_else(|| self.core.owner_to_be());
        manifest_of(draft.clone(), owner, artifacts.clone(), now)?;
        if known.is_none() {
            let own = (&owner, handle);
            self.packages.by_key(draft.clone(), own, None).await?;
        }
        Ok(self.core.publisher_or_new().await?)
    }

    /// Returns the manifest of a release that may be added to a package, with its dependencies by
    /// key.
    async fn addition(
        &self,
        id: &PackageId,
        draft: Draft,
        artifacts: Artifacts<File>,
        base: &Base,
        now: Timestamp,
    ) -> Result<Manifest, PublisherError> {
        let given = manifest_of(draft.clone(), id.owner, artifacts.clone(), now)?;
        self.check_addition(id, &given, &base.entries.all, base.complete)
            .await?;
        self.packages
            .check_handles(&id.owner, base.handle.as_ref())?;
        let last = match draft.dependencies.is_empty() {
            true => None,
            false => release::resolve(id.name.ecosystem(), &base.entries.all, None)
                .or(base.entries.all.last()),
        };
        let last = last
            .and_then(ReleaseEntry::first)
            .map(|hash| self.core.store.manifest(&hash))
            .transpose()?
            .flatten();
        let own = (&id.owner, base.handle.as_ref());
        let last = last.as_ref().map(|last| &***last);
        let draft = self.packages.by_key(draft, own, last).await?;
        manifest_of(draft, id.owner, artifacts, now)
    }

    /// Adds the digests that the ecosystem's clients check to the artifacts, computed from the
    /// bytes here.
    async fn hashed(&self, draft: &Draft, artifacts: Artifacts) -> Result<Artifacts<File>> {
        let (contents, ecosystem) = (self.fetcher.contents.clone(), draft.ecosystem.clone());
        let called = file_of(&draft.name, &draft.version);
        blocking("reading what is published", move || {
            let digests = |file: &PutFile| {
                let mut digester = Digester::of(&ecosystem);
                contents.read_each(&file.content, |bytes| digester.update(bytes))?;
                Ok::<_, RegistryError>(digester.finish())
            };
            let files = artifacts
                .files
                .into_iter()
                .map(|file| Ok(file.clone().with(digests(&file)?, || called.clone())));
            Ok(Artifacts {
                files: files.collect::<Result<_>>()?,
                readme: artifacts.readme,
                native: artifacts.native,
            })
        })
        .await
    }

    /// Checks that the release may be added: versions may come in any order and never change, but
    /// in ecosystems whose releases grow, files may be added to one.
    async fn check_addition(
        &self,
        id: &PackageId,
        manifest: &Manifest,
        releases: &[ReleaseEntry],
        complete: bool,
    ) -> Result<(), PublisherError> {
        let there = match check_version(&id.name, &manifest.version, releases, complete) {
            Err(AdditionError::VersionTaken { .. }) if id.name.ecosystem().grows() => {
                release::find(id.name.ecosystem(), releases, &manifest.version)
            }
            checked => return Ok(checked?),
        };
        let Some(there) = there else { return Ok(()) };
        let names: Vec<String> = manifest
            .files
            .iter()
            .map(|file| file.name.clone())
            .collect();
        let (listing, missing) = self.core.store.listing_files(id, there, &names)?;
        // Of the held manifests, only those that list such a file are read: a release may have
        // thousands.
        let (mut files, mut unknown) = (Vec::new(), false);
        for hash in listing.into_iter().chain(missing) {
            match self.packages.manifest(id, &hash).await {
                Ok(one) => files.extend(files_of(there, [(hash, &**one)])),
                Err(PackagesError::NotFound { .. }) => unknown = true,
                Err(error) => return Err(error.into()),
            }
        }
        check_files(
            &id.name,
            &manifest.version,
            &files,
            names.iter().map(String::as_str),
        )?;
        match unknown {
            false => Ok(()),
            true => Err(AdditionError::HistoryUnknown {
                package: id.name.clone(),
                given: manifest.version.clone(),
                latest: manifest.version.clone(),
            }
            .into()),
        }
    }

    /// Replicates the bytes of a new release. Reports the number of copies once there are enough,
    /// or after the deadline of a query; the rest continues in the background.
    async fn copied(
        &self,
        release: &Authorised<Manifest>,
        wanted: usize,
        progress: Progress<'_>,
    ) -> usize {
        if wanted == 0 {
            return 0;
        }
        let hash = release.hash();
        let giving = self.fetcher.give_soon(release.clone(), progress.cloned());
        if let Ok(Ok(Some(Err(error)))) =
            tokio::time::timeout(self.core.net.query_timeout(), giving).await
        {
            tracing::warn!(%error, "a release could not be given to other nodes yet");
        }
        self.fetcher.copies_of(&hash).unwrap_or(0)
    }

    /// Delivers the release and writes the receipt.
    pub async fn finish(
        self: &Arc<Self>,
        Published {
            id,
            version,
            manifest: hash,
            taken,
        }: Published,
        mut steps: Steps,
        new_key: Option<PathBuf>,
        progress: Progress<'_>,
    ) -> Result<Receipt, PublisherError> {
        let manifest = self.packages.manifest(&id, &hash).await?;
        let due = Due {
            package: id.clone(),
            version: version.clone(),
            manifest: Some(hash),
            since: taken.since,
        };
        let (delivered, copies) = tokio::join!(
            self.deliver(&due, progress),
            self.copied(&manifest, steps.copies_wanted, progress)
        );
        let delivered = delivered.unwrap_or_else(|error| {
            match RegistryError::from(error) {
                // It stays in the outbox, and the next start delivers it.
                RegistryError::Closed => {
                    tracing::debug!(package = %id, "published while shutting down")
                }
                error => {
                    tracing::warn!(package = %id, %error, "published here, and not delivered yet")
                }
            }
            Delivered::default()
        });
        tracing::info!(package = %id, %version, seq = taken.seq, ?delivered, "published");
        self.outbox.notify_waiters();
        (steps.replicas, steps.announced, steps.copies) =
            (delivered.replicas, delivered.announced, copies);
        Ok(Receipt {
            id: format!("{id}@{version}"),
            package: id,
            version,
            handle: taken.handle,
            seq: taken.seq,
            manifest: hash,
            content: manifest.content().root,
            size: manifest.size(),
            steps,
            pending: !delivered.is_done(),
            clock: self.wrong_clock(),
            new_key,
        })
    }
}

/// Runs a publish or change in a task of its own.
pub async fn detached(
    publish: impl Future<Output = Result<Receipt>> + Send + 'static,
) -> Result<Receipt> {
    tokio::spawn(publish).await.unwrap_or_else(|error| {
        Err(RegistryError::Internal {
            what: "a publish",
            why: error.to_string(),
        })
    })
}

fn manifest_of(
    draft: Draft,
    owner: PublisherId,
    artifacts: Artifacts<File>,
    now: Timestamp,
) -> Result<Manifest, PublisherError> {
    let package = draft.name.clone();
    draft
        .into_manifest(owner, artifacts, now)
        .map_err(|errors| PublisherError::Draft { package, errors })
}
