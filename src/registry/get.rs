//! Get: memory, then the store, then the DHT and peers at once.

use std::{collections::HashMap, time::Duration};

use futures::{FutureExt, StreamExt, future::join_all, stream};
use libp2p::PeerId;
use tracing::{Span, field::Empty};

use super::{
    P2pRegistry, Package, Release, ReleaseFile, ReleaseState, Source, claimed, files_of,
    panel::Panel,
};
use crate::{
    RegistryError, Result,
    domain::{
        freshness::{QUORUM, confirms},
        hash::Hash,
        manifest::Manifest,
        name::{Asked, Owner, PackageId, PackageName, PackageRef, PublisherId, WrittenName},
        record::{Authorised, DhtKey, Head, Owned, Page, Record, consistent, select},
        release::{self, ReleaseEntry},
        reputation::Outcome,
        version::RequirementText,
    },
    ecosystem::Ecosystem,
    ending::Ending,
    metrics::Provenance,
    net::{
        Lookup, Want,
        protocol::{Request, Response},
    },
    store::{HeadVerdict, StoredHead},
};

/// Peers asked directly beside the DHT, and others that may be asked in their place.
pub(crate) const FAN_OUT: usize = 3;
const SPARE: usize = 3;
/// Pages fetched by one get: about 3,000 releases.
const MAX_PAGES: usize = 64;

/// What a fan-out for a head brought.
struct FoundHeads {
    /// By who gave it; a peer that answers twice is one peer.
    heads: HashMap<PeerId, (Authorised<Head>, Source)>,
    /// Manifests that came with them.
    manifests: Vec<Authorised<Manifest>>,
    asked: usize,
}

/// What a get came to, for who counts.
fn provenance(got: Result<Source, &RegistryError>) -> Provenance {
    match got {
        Ok(Source::Cache) => Provenance::Memory,
        Ok(Source::Local) => Provenance::Disk,
        Ok(Source::Dht) => Provenance::Dht,
        Ok(Source::Peer(_)) => Provenance::Peer,
        Err(error) if error.is_missing() => Provenance::Missing,
        Err(_) => Provenance::Failed,
    }
}

/// Manifests of one release that are asked for at once.
const MANIFESTS_AT_ONCE: usize = 8;
impl P2pRegistry {
    /// Runs a get in a span that ends with what came of it, and counts it.
    pub(super) async fn traced_get<T>(
        &self,
        package: &PackageRef,
        get: impl Future<Output = Result<T>>,
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
        let got = ending.within(get).await;
        let came = got.as_ref().map(source);
        self.core.metrics.got(provenance(came));
        match came {
            Ok(source) => {
                ending.span().record("source", source.label());
                ending.ended("found");
            }
            Err(error) => ending.failed(error),
        }
        got
    }

    /// Whose package is meant.
    pub(super) async fn resolve(&self, package: &PackageRef) -> Result<PackageId> {
        let owner = match &package.owner {
            Owner::Publisher(publisher) => *publisher,
            Owner::Handle(handle) => self.publisher_called(handle).await?,
        };
        match &package.name {
            Asked::Exactly(name) => Ok(PackageId {
                owner,
                name: name.clone(),
            }),
            Asked::Bare(name) => self.only_one(owner, name).await,
        }
    }

    /// The only package of an owner that is called so, in whatever ecosystem: by what is held, else
    /// by what the network has. Where there is none, it is one of `generic` that nobody has.
    async fn only_one(&self, owner: PublisherId, name: &WrittenName) -> Result<PackageId> {
        let all = || {
            Ecosystem::KNOWN
                .iter()
                .filter_map(|ecosystem| PackageName::of(ecosystem, name).ok())
        };
        let ids: Vec<PackageId> = all().map(|name| PackageId { owner, name }).collect();
        let mut there = Vec::new();
        for id in &ids {
            if self.core.store.mark(id)?.is_some()
                || (owner == self.core.preview_owner() && self.core.store.is_preview(id)?)
            {
                there.push(id.clone());
            }
        }
        if there.is_empty() && ids.len() > 1 {
            let found = join_all(ids.iter().map(|id| self.refresh_head(id))).await;
            there = ids
                .iter()
                .zip(found)
                .filter(|(_, found)| matches!(found, Ok((Some(_), _))))
                .map(|(id, _)| id.clone())
                .collect();
        }
        let nobodys =
            || PackageName::of(&Ecosystem::Generic, name).map(|name| PackageId { owner, name });
        match <[PackageId; 1]>::try_from(there) {
            Ok([only]) => Ok(only),
            Err(there) if there.is_empty() => Ok(nobodys()?),
            Err(packages) => Err(RegistryError::AmbiguousName {
                name: name.clone(),
                packages,
            }),
        }
    }

    /// The highest release that matches, after asking the network for one that is not held.
    pub(super) async fn release(
        &self,
        package: &PackageRef,
        requirement: &RequirementText,
    ) -> Result<Release> {
        let id = self.resolve(package).await?;
        let ecosystem = id.name.ecosystem();
        let asked = requirement.read(ecosystem)?;
        let mut found = self.package(&id).await?;
        if release::resolve(ecosystem, &found.releases, Some(&asked)).is_none() {
            // What is held may lack the newest release.
            found = self.package_from_network(&id).await.unwrap_or(found);
        }
        let entry =
            release::resolve(ecosystem, &found.releases, Some(&asked)).ok_or_else(|| {
                RegistryError::NoMatch {
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

    /// The files of a release, by the manifests of it that can be had; the first of these, which
    /// says what it is, and how many cannot.
    ///
    /// # Errors
    /// [`RegistryError::NotFound`] where none can be had.
    pub(super) async fn files_of(
        &self,
        id: &PackageId,
        entry: &ReleaseEntry,
    ) -> Result<(Authorised<Manifest>, Vec<ReleaseFile>, usize)> {
        let ask = |hash: Hash| async move { self.manifest(id, &hash).await };
        let asked = stream::iter(entry.manifests.clone())
            .map(ask)
            .buffered(MANIFESTS_AT_ONCE);
        let (mut had, mut last_error) = (Vec::new(), None);
        for manifest in asked.collect::<Vec<_>>().await {
            match manifest {
                Ok(manifest) => had.push(manifest),
                Err(error @ RegistryError::NotFound { .. }) => last_error = Some(error),
                Err(error) => return Err(error),
            }
        }
        let files = files_of(
            entry,
            had.iter().map(|manifest| (manifest.hash(), &***manifest)),
        );
        let missing = entry.manifests.len() - had.len();
        let nothing = || RegistryError::NotFound {
            package: format!("the manifest of {id} {}", entry.version),
            asked: FAN_OUT,
        };
        // What an index says of a release counts as long as there is nothing else.
        let first = had
            .iter()
            .position(|manifest| !manifest.is_description())
            .unwrap_or(0);
        let first = had
            .into_iter()
            .nth(first)
            .ok_or_else(|| last_error.unwrap_or_else(nothing))?;
        Ok((first, files, missing))
    }

    /// The package's state: memory, then the store while it is fresh, then the network, then the
    /// store however old.
    pub(super) async fn package(&self, id: &PackageId) -> Result<Package> {
        let now = self.core.now();
        if let Some(package) = self.core.cache().get(id, now) {
            return Ok(Package {
                source: Source::Cache,
                ..package.clone()
            });
        }
        if id.owner == self.core.preview_owner() && self.core.store.is_preview(id)? {
            return Err(RegistryError::Preview(id.name.clone()));
        }
        let held = self.core.store.head(id)?;
        if let Some(held) = held.as_ref().filter(|held| held.freshness().is_fresh(now)) {
            return self.assemble(held, Source::Local).await;
        }
        match (self.package_from_network(id).await, held) {
            (Ok(package), _) => Ok(package),
            (Err(RegistryError::NotFound { .. }), Some(held)) => {
                self.assemble(&held, Source::Local).await
            }
            (Err(error), _) => Err(error),
        }
    }

    /// Looks for the newest head and takes it.
    pub(super) async fn package_from_network(&self, id: &PackageId) -> Result<Package> {
        let (source, asked) = self.refresh_head(id).await?;
        let missing = || RegistryError::NotFound {
            package: self.missing(id),
            asked,
        };
        let source = source.ok_or_else(missing)?;
        let held = self.core.store.head(id)?.ok_or_else(missing)?;
        self.assemble(&held, source).await
    }

    /// Names a package that is not there, and those that the same owner has under that name in
    /// other ecosystems: an id without one means `generic`.
    fn missing(&self, id: &PackageId) -> String {
        let Some(name) = id
            .name
            .bare()
            .parse()
            .ok()
            .filter(|_| id.name.ecosystem().is_generic())
        else {
            return id.to_string();
        };
        let others = Ecosystem::KNOWN
            .iter()
            .filter(|ecosystem| !ecosystem.is_generic());
        let others = others.filter_map(|ecosystem| PackageName::of(ecosystem, &name).ok());
        let others = others.map(|name| PackageId {
            owner: id.owner,
            name,
        });
        let there: Vec<String> = others
            .filter(|other| self.core.store.mark(other).is_ok_and(|mark| mark.is_some()))
            .map(|other| other.to_string())
            .collect();
        match there.as_slice() {
            [] => id.to_string(),
            _ => format!("{id} (there is {})", there.join(", ")),
        }
    }

    /// Asks the network for a package's head and takes the one to believe, if any is held now:
    /// where it came from, and how many were asked.
    pub(super) async fn refresh_head(&self, id: &PackageId) -> Result<(Option<Source>, usize)> {
        let now = self.core.now();
        let FoundHeads {
            mut heads,
            manifests,
            asked,
        } = self.query_dht_parallel_heads(id).await?;
        // Of the get or publish that wants to know.
        Span::current()
            .record("asked", asked)
            .record("answered", heads.len());
        let connected = *self.core.net.joined().borrow();
        let floor = self.core.store.mark(id)?.map_or(0, |mark| mark.seq);
        // A head that conflicts with what was seen first is refused, and the next best one is
        // tried.
        while let Some(best) =
            select(heads.values().map(|(head, _)| head), floor, now).map(Authorised::hash)
        {
            let (mut chosen, mut source, mut holding) = (None, Source::Dht, 0);
            heads.retain(|peer, (head, from)| {
                let same = head.hash() == best;
                if same {
                    (chosen, source) = (Some(head.clone()), *from);
                    holding += usize::from(self.core.net.counts(peer));
                }
                !same
            });
            let Some(head) = chosen else { break };
            let listed = manifests
                .iter()
                .filter(|manifest| consistent(&head, manifest).is_ok())
                .cloned()
                .collect();
            let verdict = self.catalogue.accept_head(head, listed, now).await?;
            match verdict {
                HeadVerdict::Inconsistent | HeadVerdict::Ahead | HeadVerdict::TooManyHandles => {
                    verdict
                        .refusal()
                        .into_iter()
                        .for_each(|refusal| self.core.tally.refused(refusal));
                }
                HeadVerdict::Admitted(_) | HeadVerdict::Disputed(_) => {
                    if confirms(holding, connected) {
                        self.core
                            .store
                            .confirm(id.clone(), best, holding, now)
                            .await?;
                        self.core.cache().forget(id);
                    }
                    return Ok((Some(source), asked));
                }
            }
        }
        Ok((None, asked))
    }

    /// One lookup in the DHT, registered in the table of active queries until its deadline.
    pub(super) async fn query_dht(
        &self,
        key: DhtKey,
        want: Want,
        what: Option<String>,
        timeout: Duration,
    ) -> Result<Lookup> {
        self.core.net.find(key, want, what, timeout).await
    }

    /// Asks different peers at once, the DHT and the best we are connected to, until a quorum of
    /// distinct peers has answered or everybody has.
    async fn query_dht_parallel_heads(&self, id: &PackageId) -> Result<FoundHeads> {
        let timeout = self.core.net.query_timeout();
        let key = DhtKey::of_head(id);
        let mut found = FoundHeads {
            heads: HashMap::new(),
            manifests: Vec::new(),
            asked: 0,
        };
        let mut direct = self.ask_best(Request::Head(id.clone())).await?;
        let what = Some(format!("head of {}", claimed(id, None)));
        let mut dht = self
            .query_dht(key, Want::Quorum(QUORUM), what, timeout)
            .boxed()
            .fuse();
        let mut dht_done = false;
        let short = |found: &FoundHeads| {
            found
                .heads
                .keys()
                .filter(|peer| self.core.net.counts(peer))
                .count()
                < QUORUM
        };
        while short(&found) && !(dht_done && direct.is_over()) {
            tokio::select! {
                lookup = &mut dht, if !dht_done => {
                    dht_done = true;
                    let lookup = lookup?;
                    found.asked += lookup.asked;
                    for answer in lookup.answers {
                        if let (Some(peer), Record::Head(head)) = (answer.peer, answer.record) {
                            found.heads.entry(peer).or_insert((head, Source::Dht));
                        }
                    }
                }
                Some((peer, response)) = direct.next(), if !direct.is_over() => {
                    let Ok(Response::Packages { items, .. }) = response else { continue };
                    let Some(item) = items.first() else { continue };
                    let is_it = |head: &Authorised<Head>| head.package() == id;
                    for head in self.catalogue.verified::<Head>(peer, std::iter::once(item.head.as_slice()), is_it) {
                        found.manifests.extend(self.manifest_beside(peer, &head, item.manifest.as_deref()));
                        found.heads.insert(peer, (head, Source::Peer(peer)));
                    }
                }
            }
        }
        found.asked += direct.asked;
        Ok(found)
    }

    /// The manifest that came with a head, if it is one of the head's. One that is not costs the
    /// peer nothing: the head, which is half of its answer, is right.
    fn manifest_beside(
        &self,
        peer: PeerId,
        head: &Authorised<Head>,
        bytes: Option<&Vec<u8>>,
    ) -> Option<Authorised<Manifest>> {
        let manifest = Authorised::<Manifest>::verify(bytes?);
        match manifest.and_then(|manifest| consistent(head, &manifest).map(|()| manifest)) {
            Ok(manifest) => Some(manifest),
            Err(refusal) => {
                self.core.tally.refused(refusal);
                if refusal.is_proven() {
                    self.core.net.observe(peer, Outcome::RecordInvalid);
                }
                None
            }
        }
    }

    /// Asks different peers at once for something that never changes: the first valid answer wins.
    async fn query_dht_parallel_object<T: Owned + Clone + Send + 'static>(
        &self,
        key: DhtKey,
        what: String,
        hash: &Hash,
        from_record: fn(Record) -> Option<Authorised<T>>,
    ) -> Result<Option<Authorised<T>>> {
        let timeout = self.core.net.query_timeout();
        let mut direct = self.ask_best(Request::Objects(vec![*hash])).await?;
        let mut dht = self
            .query_dht(key, Want::First, Some(what), timeout)
            .boxed()
            .fuse();
        let mut dht_done = false;
        while !(dht_done && direct.is_over()) {
            tokio::select! {
                lookup = &mut dht, if !dht_done => {
                    dht_done = true;
                    let found = lookup?.answers.into_iter().find_map(|answer| from_record(answer.record));
                    if found.is_some() {
                        return Ok(found);
                    }
                }
                Some((peer, response)) = direct.next(), if !direct.is_over() => {
                    let Ok(Response::Objects(objects)) = response else { continue };
                    let is_it = |object: &Authorised<T>| object.hash() == *hash;
                    let objects = objects.iter().take(1).map(|object| object.as_slice());
                    if let Some(object) = self.catalogue.verified::<T>(peer, objects, is_it).into_iter().next() {
                        return Ok(Some(object));
                    }
                }
            }
        }
        Ok(None)
    }

    /// Puts one question to the best peers.
    pub(super) async fn ask_best(&self, request: Request) -> Result<Panel> {
        let (times, timeout) = (self.state.get_times.clone(), self.core.net.query_timeout());
        Panel::of_best(
            &self.core.net,
            request,
            0.0,
            (FAN_OUT, SPARE),
            times,
            timeout,
        )
        .await
    }

    /// A manifest, from the store or the network.
    pub(super) async fn manifest(
        &self,
        id: &PackageId,
        hash: &Hash,
    ) -> Result<Authorised<Manifest>> {
        if let Some(manifest) = self.core.store.manifest(hash)? {
            return Ok(manifest);
        }
        let of_record = |record| match record {
            Record::Manifest(manifest) => Some(manifest),
            _ => None,
        };
        let what = format!("manifest of {}", claimed(id, None));
        let found = self
            .query_dht_parallel_object(DhtKey::of_manifest(hash), what, hash, of_record)
            .await?;
        let manifest = found
            .filter(|manifest| manifest.package() == id)
            .ok_or_else(|| RegistryError::NotFound {
                package: format!("the manifest of {id}"),
                asked: FAN_OUT,
            })?;
        self.core
            .store
            .take_manifest(manifest.clone(), self.core.now())
            .await?;
        self.catalogue.changed();
        Ok(manifest)
    }

    /// Fetches the pages a head links to that are not held.
    pub(super) async fn fetch_pages(&self, id: &PackageId, head: &Head) -> Result<()> {
        let mut next = head.older;
        for _ in 0..MAX_PAGES {
            let Some(hash) = next else { break };
            let page = match self.core.store.page(&hash)? {
                Some(page) => page,
                None => {
                    let of_record = |record| match record {
                        Record::Page(page) => Some(page),
                        _ => None,
                    };
                    let (key, what) = (
                        DhtKey::of_page(&hash),
                        format!("older releases of {}", claimed(id, None)),
                    );
                    let found = self
                        .query_dht_parallel_object::<Page>(key, what, &hash, of_record)
                        .await?;
                    let Some(page) = found.filter(|page| page.package() == id) else {
                        break;
                    };
                    self.core
                        .store
                        .take_page(page.clone(), self.core.now())
                        .await?;
                    page
                }
            };
            next = page.older;
        }
        Ok(())
    }

    /// The package as a head tells it.
    async fn assemble(&self, held: &StoredHead, source: Source) -> Result<Package> {
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
                Err(RegistryError::NotFound { .. }) => None,
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
            let since = if held.own {
                Some(self.core.now())
            } else {
                held.confirmed_at
            };
            // What nobody has confirmed is asked for again.
            since
                .into_iter()
                .for_each(|since| self.core.cache().keep(package.clone(), since));
        }
        Ok(package)
    }
}
