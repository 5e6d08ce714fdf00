//! Publish: sign, store, put, announce; and the states that follow from one another.

use std::{
    collections::BTreeMap,
    fmt::Display,
    path::PathBuf,
    time::{Duration, Instant},
};

use futures::future::{join_all, try_join_all};
use libp2p::identity::Keypair;
use tokio::sync::mpsc;
use tracing::field::Empty;

use super::{
    Artifacts, Change, P2pRegistry, PublishStep, Receipt, ReleaseFile, Steps, blocking, claimed,
    files_of,
};
use crate::{
    RegistryError, Result,
    domain::{
        hash::{Digester, Hash},
        manifest::{Draft, File, Manifest, PutFile, file_of},
        name::{Handle, PackageId, PackageName, PackageRef, PublisherId, WrittenName},
        record::{
            Announcement, Authorised, DEFAULT_LIFE, DhtKey, Head, HeadState, MAX_PREV, Record,
            Refusal, VALIDITY, check_tag,
        },
        release::{self, Entries, MAX_YANKED_FILES, ReleaseEntry, YankedFile},
        text::printable,
        time::Ago,
        version::VersionText,
    },
    ecosystem::Ecosystem,
    ending::Ending,
    net::{ClockOffset, Want, what_of},
    store::{HeadVerdict, Pending},
};

/// Peers that are asked to show the records back.
const READ_BACK: usize = 3;
/// Before each attempt to read back: a peer that is busy takes a moment to verify what it was sent.
const READ_BACK_PAUSES: [Duration; 3] = [
    Duration::ZERO,
    Duration::from_millis(150),
    Duration::from_millis(600),
];

/// Everything known of a package's state when the next one is made.
pub(super) struct Base {
    /// As the publisher writes it.
    pub name: WrittenName,
    /// The highest `seq` seen.
    pub seq: u64,
    /// The heads that the next one follows.
    pub prev: Vec<Hash>,
    pub entries: Entries,
    /// The newest page that there is.
    pub older: Option<Hash>,
    /// False when the oldest of them are not held.
    pub complete: bool,
    pub handle: Option<Handle>,
    pub tags: BTreeMap<String, VersionText>,
}

impl Base {
    /// The state that follows.
    pub fn next(mut self, ecosystem: &Ecosystem) -> HeadState {
        self.entries.keep_latest(ecosystem);
        HeadState {
            ecosystem: ecosystem.clone(),
            name: self.name,
            handle: self.handle,
            seq: self.seq + 1,
            prev: self.prev,
            releases: self.entries.recent,
            older: self.older,
            tags: self.tags,
        }
    }
}

/// How far a delivery got.
#[derive(Clone, Copy, Debug, Default)]
struct Delivered {
    replicas: usize,
    announced: usize,
}

type Progress<'a> = Option<&'a mpsc::Sender<PublishStep>>;

fn tell(progress: Progress<'_>, step: PublishStep) {
    // A reader that is slow misses a step; the receipt has them all.
    progress.map(|progress| progress.try_send(step));
}

/// A span for what makes a receipt.
pub(super) fn ending(what: &'static str, package: impl Display, version: impl Display) -> Ending {
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

/// Runs it in its span, which ends with how far it got.
pub(super) async fn traced(
    ending: Ending,
    publish: impl Future<Output = Result<Receipt>>,
) -> Result<Receipt> {
    let published = ending.within(publish).await;
    match &published {
        Ok(receipt) => {
            ending.span().record("seq", receipt.seq);
            ending.count("replicas", receipt.steps.replicas);
            ending.count("announced", receipt.steps.announced);
            ending.ended(if receipt.pending {
                "pending"
            } else {
                "delivered"
            });
        }
        Err(error) => ending.failed(error),
    }
    published
}

impl P2pRegistry {
    pub(super) async fn publish_release(
        &self,
        draft: Draft,
        artifacts: Artifacts,
        progress: Progress<'_>,
    ) -> Result<Receipt> {
        let _one_at_a_time = self.state.publishing.lock().await;
        tell(
            progress,
            PublishStep::Hashed {
                size: artifacts.files.iter().map(|file| file.content.size).sum(),
            },
        );
        let handle = draft
            .handle
            .clone()
            .or_else(|| self.core.options.handle.clone());
        let name = draft.package()?;
        let owner = self
            .core
            .publisher_id()
            .unwrap_or_else(|| self.core.preview_owner());
        let bytes = artifacts.contents();
        for content in &bytes {
            let held = self
                .contents
                .get(&content.root)?
                .filter(|held| held.content == *content);
            held.ok_or(RegistryError::NotPut(content.root))?;
        }
        let artifacts = self.hashed(&draft, artifacts).await?;
        let manifest = draft
            .clone()
            .into_manifest(owner, artifacts.clone(), self.core.now())
            .map_err(|errors| RegistryError::Draft {
                package: draft.name.clone(),
                errors,
            })?;
        if self.core.publisher_id().is_none() {
            // A publish that is refused makes no key.
            self.by_key(
                draft.clone(),
                (&self.core.preview_owner(), handle.as_ref()),
                None,
            )
            .await?;
        }
        let (key, new_key) = self.core.publisher_or_new().await?;
        let id = PackageId {
            owner: PublisherId::of(&key.public()),
            name,
        };

        let looked = Instant::now();
        let mut base = self.newest_base(&id).await?;
        let lookup = looked.elapsed();
        self.check_addition(&id, &manifest, &base.entries.all, base.complete)
            .await?;
        let handle = handle.or_else(|| base.handle.clone());
        self.check_handles(&id.owner, handle.as_ref())?;
        base.handle.clone_from(&handle);
        base.name = draft.name.clone();
        // A signed manifest names its dependencies by key.
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
        let own = (&id.owner, handle.as_ref());
        let draft = self
            .by_key(draft, own, last.as_ref().map(|last| &***last))
            .await?;
        let manifest = draft
            .into_manifest(id.owner, artifacts, manifest.signed_at)
            .map_err(|errors| RegistryError::Draft {
                package: base.name.clone(),
                errors,
            })?;

        let signing = Instant::now();
        let refused = |refusal| RegistryError::Refused {
            what: id.name.to_string(),
            refusal,
        };
        let version = manifest.version.clone();
        let manifest = Authorised::sign(&key, manifest).map_err(refused)?;
        base.entries
            .add(id.name.ecosystem(), &version, manifest.hash());
        // From here on no quota takes them.
        let what = format!("{} {version}", claimed(&id, handle.as_ref()));
        try_join_all(
            bytes
                .iter()
                .map(|content| self.contents.set_own(content.root, what.clone())),
        )
        .await?;
        self.claim_node(handle.as_ref());
        self.take_next(&key, &id, base, Some(manifest), &version, progress)
            .await?;
        let stored = signing.elapsed();
        let steps = Steps {
            lookup,
            stored,
            copies_wanted: self.core.options.copies,
            ..Steps::default()
        };
        self.finish(&id, &version, steps, new_key, progress).await
    }

    /// The manifest that was added last to a version, of those that are held.
    fn listed_last(&self, head: &Authorised<Head>, version: &VersionText) -> Result<Option<Hash>> {
        let (ecosystem, manifests) = (&head.ecosystem, |entry: &ReleaseEntry| {
            entry.manifests.last().copied()
        });
        match release::find(ecosystem, &head.releases, version).and_then(manifests) {
            Some(last) => Ok(Some(last)),
            None => Ok(
                release::find(ecosystem, &self.core.store.releases(head)?.0, version)
                    .and_then(manifests),
            ),
        }
    }

    /// Has other nodes take the bytes of a new release, and tells how many have them once all that
    /// are to have them do, or after the deadline of a query; the rest goes on.
    async fn copied(
        &self,
        release: &Authorised<Manifest>,
        wanted: usize,
        progress: Progress<'_>,
    ) -> usize {
        if wanted == 0 {
            return 0;
        }
        let (registry, release, progress) = (self.clone(), release.clone(), progress.cloned());
        let hash = release.hash();
        let fetches = &self.state.fetches;
        let stop = fetches.stop.clone();
        let giving = async move { registry.give_copies(&release, progress.as_ref()).await };
        let giving = fetches
            .tasks
            .spawn(async move { stop.run_until_cancelled(giving).await });
        if let Ok(Ok(Some(Err(error)))) =
            tokio::time::timeout(self.core.net.query_timeout(), giving).await
        {
            tracing::warn!(%error, "a release could not be given to other nodes yet");
        }
        self.copies_of(&hash).unwrap_or(0)
    }

    /// Signs a state in which something else is said of what there is.
    pub(super) async fn change_state(
        &self,
        package: &PackageRef,
        change: &Change,
    ) -> Result<Receipt> {
        change
            .check()
            .map_err(|why| RegistryError::Usage(format!("the {} {why}", change.noun())))?;
        let id = self.resolve(package).await?;
        let key = self
            .core
            .key_of(&id.owner)
            .ok_or_else(|| RegistryError::NotYours {
                package: package.to_string(),
                publisher: id.owner,
            })?;
        let _one_at_a_time = self.state.publishing.lock().await;
        let looked = Instant::now();
        let mut base = self.newest_base(&id).await?;
        let lookup = looked.elapsed();
        let version = self.make_change(&id, package, change, &mut base).await?;
        let signing = Instant::now();
        self.take_next(&key, &id, base, None, &version, None)
            .await?;
        let steps = Steps {
            lookup,
            stored: signing.elapsed(),
            ..Steps::default()
        };
        self.finish(&id, &version, steps, None, None).await
    }

    /// Makes a change of state, and tells which version it is about.
    async fn make_change(
        &self,
        id: &PackageId,
        package: &PackageRef,
        change: &Change,
        base: &mut Base,
    ) -> Result<VersionText> {
        let ecosystem = id.name.ecosystem();
        let unknown = |version: &VersionText| RegistryError::NoVersion {
            package: package.to_string(),
            version: version.clone(),
        };
        let change_entry =
            |base: &mut Base, version: &VersionText, how: &dyn Fn(&mut ReleaseEntry)| {
                let there = release::find(ecosystem, &base.entries.all, version)
                    .map(|entry| entry.version.clone());
                base.entries.change(ecosystem, version, how);
                there.ok_or_else(|| unknown(version))
            };
        match change {
            Change::Yank {
                version,
                file: None,
                why,
            } => change_entry(base, version, &|entry| entry.yanked = Some(why.clone())),
            Change::Unyank {
                version,
                file: None,
            } => change_entry(base, version, &|entry| entry.yanked = None),
            Change::Yank {
                version,
                file: Some(file),
                why,
            } => {
                let entry = release::find(ecosystem, &base.entries.all, version)
                    .ok_or_else(|| unknown(version))?
                    .clone();
                let (_, files, _) = self.files_of(id, &entry).await?;
                if !files.iter().any(|one| one.file.name == *file) {
                    let names = files
                        .iter()
                        .map(|one| printable(&one.file.name))
                        .collect::<Vec<_>>()
                        .join(", ");
                    let why = format!(
                        "{package} {version} has no file {}; it has {names}",
                        printable(file)
                    );
                    return Err(RegistryError::Usage(why));
                }
                if entry.yanked_files.len() >= MAX_YANKED_FILES
                    && entry.yanked_files.iter().all(|one| one.name != *file)
                {
                    let why = format!(
                        "{MAX_YANKED_FILES} files of {package} {version} are yanked, which is the most; yank the version"
                    );
                    return Err(RegistryError::Usage(why));
                }
                change_entry(base, version, &|entry| {
                    entry.yanked_files.retain(|one| one.name != *file);
                    entry.yanked_files.push(YankedFile {
                        name: file.clone(),
                        why: why.clone(),
                    });
                })
            }
            Change::Unyank {
                version,
                file: Some(file),
            } => change_entry(base, version, &|entry| {
                entry.yanked_files.retain(|one| one.name != *file)
            }),
            Change::Deprecate { version, message } => {
                change_entry(base, version, &|entry| entry.deprecated.clone_from(message))
            }
            Change::Tag { tag, version } => {
                check_tag(ecosystem, tag).map_err(|why| {
                    RegistryError::Usage(format!("the tag {} {why}", printable(tag)))
                })?;
                match version {
                    Some(version) => {
                        let there = release::find(ecosystem, &base.entries.all, version)
                            .ok_or_else(|| unknown(version))?;
                        base.tags.insert(tag.clone(), there.version.clone());
                        Ok(there.version.clone())
                    }
                    None => base.tags.remove(tag).ok_or_else(|| {
                        RegistryError::Usage(format!(
                            "{package} has no tag {}; `show` lists those it has",
                            printable(tag)
                        ))
                    }),
                }
            }
        }
    }

    /// The artifacts with the digests that clients of the ecosystem check, of the bytes that are
    /// here.
    async fn hashed(&self, draft: &Draft, artifacts: Artifacts) -> Result<Artifacts<File>> {
        let (contents, ecosystem) = (self.contents.clone(), draft.ecosystem.clone());
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

    /// A version is added, in whatever order, and never changed; where releases grow, files may be
    /// added to one.
    async fn check_addition(
        &self,
        id: &PackageId,
        manifest: &Manifest,
        releases: &[ReleaseEntry],
        complete: bool,
    ) -> Result<()> {
        let there = match check_version(&id.name, &manifest.version, releases, complete) {
            Err(RegistryError::VersionTaken { .. }) if id.name.ecosystem().grows() => {
                release::find(id.name.ecosystem(), releases, &manifest.version)
            }
            checked => return checked,
        };
        let Some(there) = there else { return Ok(()) };
        let names: Vec<String> = manifest
            .files
            .iter()
            .map(|file| file.name.clone())
            .collect();
        let (listing, missing) = self.core.store.listing_files(id, there, &names)?;
        // Of what is held, only the manifests that list such a file are read: a release may have
        // thousands.
        let (mut files, mut unknown) = (Vec::new(), false);
        for hash in listing.into_iter().chain(missing) {
            match self.manifest(id, &hash).await {
                Ok(one) => files.extend(files_of(there, [(hash, &**one)])),
                Err(RegistryError::NotFound { .. }) => unknown = true,
                Err(error) => return Err(error),
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
            true => Err(RegistryError::HistoryUnknown {
                package: id.name.clone(),
                given: manifest.version.clone(),
                latest: manifest.version.clone(),
            }),
        }
    }

    /// What the next head follows, after asking the network for a newer one: that makes forks rare.
    async fn newest_base(&self, id: &PackageId) -> Result<Base> {
        if *self.core.net.joined().borrow() > 0 {
            self.refresh_head(id).await?;
        }
        let base = self.base(id)?;
        if base.complete {
            return Ok(base);
        }
        if let Some(held) = self.core.store.head(id)? {
            self.fetch_pages(id, &held.head).await?;
        }
        self.base(id)
    }

    /// What the next head of a package follows, by what is held.
    pub(super) fn base(&self, id: &PackageId) -> Result<Base> {
        let mut base = Base {
            name: id.name.bare().parse()?,
            seq: 0,
            prev: Vec::new(),
            entries: Entries::default(),
            older: None,
            complete: true,
            handle: None,
            tags: BTreeMap::new(),
        };
        if let Some(mark) = self.core.store.mark(id)? {
            (base.seq, base.prev) = (mark.seq, vec![mark.hash]);
        }
        if let Some(held) = self.core.store.head(id)? {
            (base.entries.all, base.complete) = self.core.store.listed(&held.head)?;
            base.entries.recent.clone_from(&held.head.releases);
            base.older = held.head.older;
            base.handle.clone_from(&held.head.handle);
            base.name.clone_from(&held.head.name);
            base.tags.clone_from(&held.head.tags);
        }
        for (loser, _) in self
            .core
            .store
            .fork_losers(id)?
            .into_iter()
            .filter(|(loser, _)| loser.seq == base.seq)
        {
            if base.prev.len() < MAX_PREV {
                base.prev.push(loser.hash());
                let (releases, complete) = self.core.store.listed(&loser)?;
                base.entries.join(id.name.ecosystem(), &releases);
                for (tag, version) in &loser.tags {
                    base.tags
                        .entry(tag.clone())
                        .or_insert_with(|| version.clone());
                }
                base.complete &= complete;
            }
        }
        Ok(base)
    }

    /// Signs the state that follows `base` and commits it: from here on it is not lost.
    pub(super) async fn take_next(
        &self,
        key: &Keypair,
        id: &PackageId,
        base: Base,
        manifest: Option<Authorised<Manifest>>,
        about: &VersionText,
        progress: Progress<'_>,
    ) -> Result<()> {
        let now = self.core.now();
        let state = base.next(id.name.ecosystem());
        let seq = state.seq;
        let refused = |refusal| RegistryError::Refused {
            what: id.name.to_string(),
            refusal,
        };
        let (head, pages) = state.sign(key, now, DEFAULT_LIFE).map_err(refused)?;
        tell(progress, PublishStep::Signed { seq });
        let ours = (head.clone(), manifest.clone());
        let verdict = self
            .core
            .store
            .take_own_head(head, pages, manifest, about.clone(), now)
            .await?;
        self.core.cache().forget(id);
        match verdict {
            HeadVerdict::Disputed(_) => return Err(refused(Refusal::Conflict)),
            HeadVerdict::Admitted(_)
            | HeadVerdict::Inconsistent
            | HeadVerdict::Ahead
            | HeadVerdict::TooManyHandles => {
                verdict
                    .refusal()
                    .map_or(Ok(()), |refusal| Err(refused(refusal)))?;
            }
        }
        tell(progress, PublishStep::Stored);
        self.core.count();
        if let (head, Some(manifest)) = ours {
            self.core.tell(
                &Announcement::sign(key, now, head, manifest).map_err(refused)?,
                None,
                now,
            );
        }
        Ok(())
    }

    /// Delivers and writes the receipt.
    async fn finish(
        &self,
        id: &PackageId,
        version: &VersionText,
        mut steps: Steps,
        new_key: Option<PathBuf>,
        progress: Progress<'_>,
    ) -> Result<Receipt> {
        let held = self.core.store.head(id)?.ok_or(RegistryError::Closed)?;
        let hash =
            self.listed_last(&held.head, version)?
                .ok_or_else(|| RegistryError::NoVersion {
                    package: id.to_string(),
                    version: version.clone(),
                })?;
        let manifest = self.manifest(id, &hash).await?;
        let (delivered, copies) = tokio::join!(
            self.deliver(id, version, progress),
            self.copied(&manifest, steps.copies_wanted, progress)
        );
        let delivered = delivered.unwrap_or_else(|error| {
            match error {
                // Kept in the outbox; the next start delivers it.
                RegistryError::Closed => {
                    tracing::debug!(package = %id, "published while shutting down")
                }
                error => {
                    tracing::warn!(package = %id, %error, "published here, and not delivered yet")
                }
            }
            Delivered::default()
        });
        tracing::info!(package = %id, %version, seq = held.head.seq, ?delivered, "published");
        self.state.outbox.notify_waiters();
        (steps.replicas, steps.announced, steps.copies) =
            (delivered.replicas, delivered.announced, copies);
        Ok(Receipt {
            id: format!("{id}@{version}"),
            package: id.clone(),
            version: version.clone(),
            handle: held.head.handle.clone(),
            seq: held.head.seq,
            manifest: hash,
            content: manifest.content().root,
            size: manifest.size(),
            steps,
            pending: !delivered.is_done(),
            clock: self.wrong_clock(),
            new_key,
        })
    }

    /// What a person is to know of this machine's clock before others refuse what it signs.
    fn wrong_clock(&self) -> Option<String> {
        let ClockOffset { ms, peers } = self.core.net.clock_offset()?;
        let off = Duration::from_millis(ms.unsigned_abs());
        let way = if ms > 0 { "ahead of" } else { "behind" };
        let told = format!(
            "your clock is {} {way} {peers} peers': they refuse this announcement; set the clock, and it is sent then",
            Ago(off)
        );
        (off > VALIDITY).then_some(told)
    }

    /// Tries what is still on its way out. Called when peers appear, and every so often.
    pub(super) async fn deliver_outbox(&self) -> Result<()> {
        for Pending {
            package, version, ..
        } in self.core.store.outbox()?
        {
            if *self.core.net.joined().borrow() == 0 {
                break;
            }
            let _one_at_a_time = self.state.publishing.lock().await;
            self.deliver(&package, &version, None).await?;
        }
        Ok(())
    }

    /// Puts head, manifest and pages into the DHT, reads them back from others, and announces.
    async fn deliver(
        &self,
        id: &PackageId,
        version: &VersionText,
        progress: Progress<'_>,
    ) -> Result<Delivered> {
        let Some(held) = self.core.store.head(id)? else {
            return Ok(Delivered::default());
        };
        let head = held.head;
        let hash = self.listed_last(&head, version)?;
        let Some(manifest) = hash
            .map(|hash| self.core.store.manifest(&hash))
            .transpose()?
            .flatten()
        else {
            return Ok(Delivered::default());
        };
        let Some(key) = self.core.key_of(&id.owner) else {
            return Ok(Delivered::default());
        };
        if *self.core.net.joined().borrow() == 0 {
            self.core
                .store
                .publish_progress(id.clone(), 0, 0, false, self.core.now())
                .await?;
            return Ok(Delivered::default());
        }
        let wrong_clock = self.wrong_clock();
        let announce = async {
            // Whoever hears it refuses it, and nobody is to be told that they heard.
            if let Some(told) = &wrong_clock {
                tracing::warn!(package = %id, "{told}");
                return Ok(0);
            }
            let data = Announcement::sign(&key, self.core.now(), head.clone(), manifest.clone())
                .and_then(|announcement| announcement.encode())
                .map_err(|refusal| RegistryError::Refused {
                    what: id.name.to_string(),
                    refusal,
                })?;
            let peers = self.core.net.announce(data).await?;
            // Of a connection that is dead nobody knows yet.
            self.core
                .net
                .alive(&peers, Instant::now(), self.core.net.query_timeout())
                .await
        };
        let spread = async {
            let timeout = self.core.net.query_timeout();
            let mut records = vec![
                Record::Head(head.clone()),
                Record::Manifest(manifest.clone()),
            ];
            let mut next = head.older;
            while let Some(page) = next
                .map(|hash| self.core.store.page(&hash))
                .transpose()?
                .flatten()
            {
                next = page.older;
                // It was put when it was cut, and so were those before it.
                if self
                    .core
                    .store
                    .has_dht_record(&DhtKey::of_page(&page.hash()))?
                {
                    break;
                }
                records.push(Record::Page(page));
            }
            let keys: Vec<(DhtKey, String)> = records
                .iter()
                .map(|record| {
                    (
                        record.key(),
                        format!("reading back the {}", what_of(record)),
                    )
                })
                .collect();
            let hashes: Vec<Hash> = records.iter().map(Record::hash).collect();
            join_all(
                records
                    .into_iter()
                    .map(|record| self.core.net.put(record, timeout)),
            )
            .await;
            tell(progress, PublishStep::Put);
            // Acknowledged is not kept: whoever filters what it stores acknowledges all the same,
            // and looks at it first.
            let mut replicas = 0;
            for pause in READ_BACK_PAUSES {
                tokio::time::sleep(pause).await;
                replicas = self.read_back(&keys, &hashes, timeout).await?;
                if replicas > 0 {
                    break;
                }
            }
            tell(progress, PublishStep::ReadBack { replicas });
            Ok::<_, RegistryError>(replicas)
        };
        // Whoever hears of it looks for its bytes; to tell everybody may take as long as a peer
        // that is gone takes to be given up.
        self.provide_files_soon(&manifest);
        self.provide_words_soon(&[manifest.name.as_str(), &manifest.tags.join(" ")].join(" "));
        let (announced, replicas) = tokio::join!(announce, spread);
        let delivered = Delivered {
            replicas: replicas?,
            announced: announced?,
        };
        tell(
            progress,
            PublishStep::Announced {
                peers: delivered.announced,
            },
        );
        let Delivered {
            replicas,
            announced,
        } = delivered;
        self.core
            .store
            .publish_progress(
                id.clone(),
                replicas,
                announced,
                delivered.is_done(),
                self.core.now(),
            )
            .await?;
        self.state.outbox.notify_waiters();
        Ok(delivered)
    }
}

impl P2pRegistry {
    /// How many peers have all of these records.
    async fn read_back(
        &self,
        keys: &[(DhtKey, String)],
        hashes: &[Hash],
        timeout: Duration,
    ) -> Result<usize> {
        let read = keys.iter().map(|(key, what)| {
            self.query_dht(*key, Want::Quorum(READ_BACK), Some(what.clone()), timeout)
        });
        let mut replicas = usize::MAX;
        for (lookup, hash) in join_all(read).await.into_iter().zip(hashes) {
            let lookup = lookup?;
            let holders = lookup
                .answers
                .iter()
                .filter(|answer| answer.peer.is_some() && answer.record.hash() == *hash);
            replicas = replicas.min(holders.count());
        }
        Ok(replicas)
    }
}

impl Delivered {
    /// Somebody else holds it, and somebody heard of it.
    fn is_done(self) -> bool {
        self.replicas > 0 && self.announced > 0
    }
}

/// A file is added to a release, and never changed: its name must be none that there is.
pub(crate) fn check_files<'a>(
    package: &PackageName,
    version: &VersionText,
    held: &[ReleaseFile],
    mut names: impl Iterator<Item = &'a str>,
) -> Result<()> {
    match names.find(|name| held.iter().any(|held| held.file.name == *name)) {
        None => Ok(()),
        Some(file) => {
            let (package, version, file) = (package.clone(), version.clone(), file.to_owned());
            Err(RegistryError::FileTaken {
                package,
                version,
                file,
            })
        }
    }
}

/// A release is added, in whatever order, and never changed: its version must be none that there
/// is. Where not all of
/// `releases` are known, only one above them is certain not to be there.
pub(crate) fn check_version(
    name: &PackageName,
    version: &VersionText,
    releases: &[ReleaseEntry],
    complete: bool,
) -> Result<()> {
    let ecosystem = name.ecosystem();
    let (given, key) = (version.read(ecosystem)?, version.key(ecosystem));
    if releases
        .iter()
        .any(|there| there.version.key(ecosystem) == key)
    {
        return Err(RegistryError::VersionTaken {
            package: name.clone(),
            version: version.clone(),
        });
    }
    if complete {
        return Ok(());
    }
    match release::highest(ecosystem, releases) {
        Some(latest) if given < latest.version.read(ecosystem)? => {
            Err(RegistryError::HistoryUnknown {
                package: name.clone(),
                given: version.clone(),
                latest: latest.version.clone(),
            })
        }
        _ => Ok(()),
    }
}
