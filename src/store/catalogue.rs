//! Heads, pages, manifests, first-seen versions and conflicts.

use std::collections::{HashMap, HashSet};

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{
    Store, claims, conflicts, copies, damaged, folds,
    listing::{self, Listing},
    room::{self, Gone, ONE},
    usage::usage,
};
use crate::{
    Result,
    domain::{
        freshness::Freshness,
        hash::Hash,
        manifest::Manifest,
        name::{Handle, PackageId, PackageName, PublisherId},
        package::Conflict,
        record::{
            Admission, Authorised, Head, HeadMark, MAX_JUMP, Page, Refusal, admit, consistent,
        },
        release::{self, ReleaseEntry},
        time::Timestamp,
        version::VersionText,
    },
    ecosystem::Ecosystem,
};

/// Manifests of a head that are looked for one by one among all that are known of its package: each
/// costs a look at all of them.
const FEW_UNKNOWN: usize = 4;

/// What a head is to this node, decided against everything it has seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HeadVerdict {
    Admitted(Admission),
    /// Admitted, but for entries that list another manifest for a version already seen. These are
    /// not taken, and kept as evidence: what was seen first counts. Of this node's own heads, none
    /// is signed that would be one.
    Disputed(Admission),
    /// It lists a manifest that is held, and is of another version or package.
    Inconsistent,
    /// Its number is far beyond the highest that was seen of the package.
    Ahead,
    /// Its key claims as many handles as one may already, and this is another one.
    TooManyHandles,
}

impl HeadVerdict {
    /// What the head is beside the one that is held, where it is one of the package.
    pub fn admission(&self) -> Option<Admission> {
        match self {
            Self::Admitted(admission) | Self::Disputed(admission) => Some(*admission),
            Self::Inconsistent | Self::Ahead | Self::TooManyHandles => None,
        }
    }

    /// Whether another head has its number.
    pub fn is_fork(&self) -> bool {
        matches!(
            self.admission(),
            Some(Admission::ForkWins | Admission::ForkLoses)
        )
    }

    /// Why the head is not taken, if it is not.
    pub fn refusal(&self) -> Option<Refusal> {
        match self {
            Self::Admitted(Admission::Older) | Self::Disputed(Admission::Older) => {
                Some(Refusal::Superseded)
            }
            Self::Inconsistent => Some(Refusal::Inconsistent),
            Self::Ahead => Some(Refusal::Ahead),
            Self::TooManyHandles => Some(Refusal::OverQuota),
            Self::Admitted(_) | Self::Disputed(_) => None,
        }
    }
}

/// A head as it is held, with when it was received and confirmed.
#[derive(Clone, Debug)]
pub struct StoredHead {
    pub head: Authorised<Head>,
    pub received_at: Timestamp,
    /// When a quorum of peers was last seen to hold the very same state, and how many these were.
    pub confirmed_at: Option<Timestamp>,
    pub confirmed_by: usize,
    /// Signed by this node.
    pub own: bool,
}

impl StoredHead {
    /// How sure it is that it is the package's current state.
    pub fn freshness(&self) -> Freshness {
        Freshness {
            own: self.own,
            received_at: self.received_at,
            confirmed_at: self.confirmed_at,
            confirmed_by: self.confirmed_by,
            expires: self.head.expires,
        }
    }
}

/// A head, and a manifest that it lists, as they were signed.
pub type RawHead = (Vec<u8>, Option<Vec<u8>>);

impl Store {
    /// What `head` would be to this node, without taking it.
    pub fn judge_head(&self, head: &Authorised<Head>, now: Timestamp) -> Result<HeadVerdict> {
        self.read(|db| judge(db, head, now))
    }

    /// Takes a verified head, the pages and manifests that came with it, in one transaction. `own`
    /// when this node has signed it; otherwise somebody else showed it.
    pub async fn take_head(
        &self,
        head: Authorised<Head>,
        pages: Vec<Authorised<Page>>,
        manifests: Vec<Authorised<Manifest>>,
        own: bool,
        now: Timestamp,
    ) -> Result<HeadVerdict> {
        let room = self.room();
        let (verdict, gone) = self
            .write(move |db| {
                // Before, so that what a person asks for is there when it was taken.
                let gone = room::fit(db, room, ONE, now)?;
                Ok((take(db, &head, &pages, &manifests, own, now)?, gone))
            })
            .await?;
        self.made_room(gone);
        self.heads_changed();
        Ok(verdict)
    }

    /// Takes verified heads of others, each with the manifest of its newest release where it came
    /// along.
    pub async fn take_heads(
        &self,
        heads: Vec<(Authorised<Head>, Option<Authorised<Manifest>>)>,
        now: Timestamp,
    ) -> Result<Vec<HeadVerdict>> {
        let room = self.room();
        let take_some =
            move |db: &Connection, heads: Vec<(Authorised<Head>, Option<Authorised<Manifest>>)>| {
                let one = |(head, manifest): &(_, Option<_>)| match take(
                    db,
                    head,
                    &[],
                    manifest.as_slice(),
                    false,
                    now,
                ) {
                    // One that no row can hold is no reason to lose the others.
                    Err(rusqlite::Error::ToSqlConversionFailure(error)) => {
                        tracing::error!(%error, package = %head.package().name, "a head that no row can hold was left out");
                        Ok(HeadVerdict::Ahead)
                    }
                    verdict => verdict,
                };
                let verdicts = heads
                    .iter()
                    .map(one)
                    .collect::<rusqlite::Result<Vec<_>>>()?;
                Ok((verdicts, room::fit(db, room, 0, now)?))
            };
        let taken = self.write_each(heads, take_some).await?;
        let verdicts = taken.into_iter().flat_map(|(verdicts, gone)| {
            self.made_room(gone);
            verdicts
        });
        let verdicts = verdicts.collect();
        self.heads_changed();
        Ok(verdicts)
    }

    /// Hash and time of each head that is held, in no order.
    pub fn head_hashes(&self) -> Result<Vec<(Hash, Timestamp)>> {
        self.read(|db| {
            db.prepare_cached("SELECT hash, signed_at FROM heads")?
                .query_map([], |row| Ok((hash(row, 0)?, Timestamp(row.get(1)?))))?
                .collect()
        })
    }

    /// Heads, each with the manifest by which its package is listed, as they were signed; those
    /// that are not held are left out. Not verified again: the two go together since the package
    /// was listed, and were verified before.
    pub fn raw_heads(&self, hashes: &[Hash]) -> Result<Vec<RawHead>> {
        self.read_together(|db| {
            let mut statement = db.prepare_cached(
                "SELECT h.envelope, (SELECT m.envelope FROM packages p
                 JOIN manifests m ON m.hash = p.manifest WHERE p.publisher = h.publisher AND p.name = h.name)
                 FROM heads h WHERE h.hash = ?",
            )?;
            let mut heads = Vec::with_capacity(hashes.len());
            for hash in hashes {
                heads.extend(statement.query_row([hash.0], |row| Ok((row.get(0)?, row.get(1)?))).optional()?);
            }
            Ok(heads)
        })
    }

    /// As [`Self::take_head`] for a head this node signs, and notes that the network has yet to
    /// take it.
    pub async fn take_own_head(
        &self,
        head: Authorised<Head>,
        pages: Vec<Authorised<Page>>,
        manifest: Option<Authorised<Manifest>>,
        version: VersionText,
        now: Timestamp,
    ) -> Result<HeadVerdict> {
        let room = self.room();
        let verdict = self.write(move |db| {
            let manifests: Vec<_> = manifest.into_iter().collect();
            let verdict = take(db, &head, &pages, &manifests, true, now)?;
            if verdict.refusal().is_some() || matches!(verdict, HeadVerdict::Disputed(_)) {
                return Ok((verdict, Gone::default()));
            }
            let gone = room::fit(db, room, 0, now)?;
            db.prepare_cached(
                "INSERT OR REPLACE INTO outbox (publisher, name, version, replicas, announced, since) VALUES (?, ?, ?, 0, 0, ?)",
            )?
            .execute(params![head.owner().to_bytes(), head.package().name.as_str(), version.to_string(), now.0])?;
            manifests.iter().try_for_each(|manifest| copies::want(db, &manifest.hash(), now))?;
            Ok((verdict, gone))
        });
        let (verdict, gone) = verdict.await?;
        self.made_room(gone);
        self.heads_changed();
        Ok(verdict)
    }

    /// So many peers were seen to hold the head with this hash.
    pub async fn confirm(
        &self,
        package: PackageId,
        head: Hash,
        peers: usize,
        now: Timestamp,
    ) -> Result<()> {
        self.write(move |db| {
            db.prepare_cached(
                "UPDATE heads SET confirmed_at = ?, confirmed_by = ? WHERE publisher = ? AND name = ? AND hash = ?",
            )?
            .execute(params![now.0, peers as i64, package.owner.to_bytes(), package.name.as_str(), head.0])
            .map(drop)
        })
        .await
    }

    /// Keeps a verified manifest that the head that is held, or a page of it, lists; and lists its
    /// package by it.
    pub async fn take_manifest(
        &self,
        manifest: Authorised<Manifest>,
        now: Timestamp,
    ) -> Result<()> {
        self.take_manifests(vec![manifest], now).await
    }

    /// As [`Self::take_manifest`], for several of one package.
    pub async fn take_manifests(
        &self,
        manifests: Vec<Authorised<Manifest>>,
        now: Timestamp,
    ) -> Result<()> {
        let Some(package) = manifests.first().map(|manifest| manifest.package().clone()) else {
            return Ok(());
        };
        let room = self.room();
        let gone = self.write(move |db| {
            let gone = room::fit(db, room, ONE.saturating_mul(manifests.len() as u64), now)?;
            let PackageId { owner, name } = &package;
            if let (Some(row), Some(held)) =
                (head_row(db, owner, name)?, held_head(db, owner, name)?)
            {
                let known = first_seen(db, owner, name)?;
                for manifest in manifests
                    .iter()
                    .filter(|manifest| *manifest.package() == package)
                {
                    conflicts::note_files(db, held.head.handle.as_ref(), manifest, &known, now)?;
                    put_manifest(db, row, manifest)?;
                }
                folds::tidy(db, row, &held.head)?;
                list_package(db, &held.head, &[])?;
            }
            Ok(gone)
        });
        self.made_room(gone.await?);
        Ok(())
    }

    pub fn head(&self, package: &PackageId) -> Result<Option<StoredHead>> {
        self.read(|db| held_head(db, &package.owner, &package.name))
    }

    /// The highest state seen of a package, even if its head is not held any more.
    pub fn mark(&self, package: &PackageId) -> Result<Option<HeadMark>> {
        self.read(|db| mark(db, &package.owner, &package.name))
    }

    /// Heads of the current `seq` that lost the selection, with whether this node signed them.
    pub fn fork_losers(&self, package: &PackageId) -> Result<Vec<(Authorised<Head>, bool)>> {
        self.read(|db| {
            db.prepare_cached(
                "SELECT envelope, own FROM forks WHERE publisher = ? AND name = ? ORDER BY hash",
            )?
            .query_map(
                params![package.owner.to_bytes(), package.name.as_str()],
                |row| Ok((signed(row, 0)?, row.get(1)?)),
            )?
            .collect()
        })
    }

    /// Packages of `publisher` with more than one head of the current `seq`.
    pub fn forked_packages(&self, publisher: &PublisherId) -> Result<Vec<PackageId>> {
        self.read(|db| {
            db.prepare_cached("SELECT DISTINCT name FROM forks WHERE publisher = ?")?
                .query_map([publisher.to_bytes()], |row| {
                    let name: String = row.get(0)?;
                    Ok(PackageId {
                        owner: *publisher,
                        name: name.parse().map_err(|_| damaged(0, "name"))?,
                    })
                })?
                .collect()
        })
    }

    pub fn manifest(&self, hash: &Hash) -> Result<Option<Authorised<Manifest>>> {
        self.read(|db| held_manifest(db, hash))
    }

    /// The first manifest of a release that is held.
    pub fn first_held(&self, release: &ReleaseEntry) -> Result<Option<Authorised<Manifest>>> {
        for hash in &release.manifests {
            if let Some(manifest) = self.manifest(hash)? {
                return Ok(Some(manifest));
            }
        }
        Ok(None)
    }

    pub fn page(&self, hash: &Hash) -> Result<Option<Authorised<Page>>> {
        self.read(|db| held_page(db, hash))
    }

    /// Keeps a verified page, if the head of its package is held.
    pub async fn take_page(&self, page: Authorised<Page>, now: Timestamp) -> Result<()> {
        let room = self.room();
        let gone = self.write(move |db| {
            let gone = room::fit(db, room, ONE, now)?;
            if let Some(row) = head_row(db, &page.owner(), &page.package().name)? {
                put_page(db, row, &page)?;
            }
            Ok(gone)
        });
        self.made_room(gone.await?);
        Ok(())
    }

    /// Heads this node signed before `at`, the oldest first, `most` of them.
    pub fn own_heads_before(&self, at: Timestamp, most: usize) -> Result<Vec<StoredHead>> {
        self.read(|db| {
            db.prepare_cached(
                "SELECT envelope, received_at, confirmed_at, own, confirmed_by FROM heads WHERE own = 1 AND signed_at < ?
                 ORDER BY signed_at LIMIT ?",
            )?
            .query_map(params![at.0, most as i64], stored_head)?
            .collect()
        })
    }

    /// How many packages of its own this node has.
    pub fn own_count(&self) -> Result<usize> {
        self.read(|db| {
            let count = db
                .prepare_cached("SELECT count(*) FROM heads WHERE own = 1")?
                .query_row([], |row| row.get(0));
            count.map(|count: i64| usize::try_from(count).unwrap_or_default())
        })
    }

    /// Own heads from number `from` on, the oldest first, `most` of them.
    pub fn own_heads(&self, from: usize, most: usize) -> Result<Vec<StoredHead>> {
        self.read(|db| {
            db.prepare_cached(
                "SELECT envelope, received_at, confirmed_at, own, confirmed_by FROM heads WHERE own = 1
                 ORDER BY signed_at LIMIT ? OFFSET ?",
            )?
            .query_map(params![most as i64, from as i64], stored_head)?
            .collect()
        })
    }

    /// The head this node signed last.
    pub fn newest_own_head(&self) -> Result<Option<StoredHead>> {
        self.read(|db| {
            db.prepare_cached(
                "SELECT envelope, received_at, confirmed_at, own, confirmed_by FROM heads WHERE own = 1 ORDER BY signed_at DESC LIMIT 1",
            )?
            .query_row([], stored_head)
            .optional()
        })
    }

    /// The heads of one publisher, by name.
    pub fn heads_of(&self, publisher: &PublisherId) -> Result<Vec<StoredHead>> {
        self.read(|db| {
            db.prepare_cached(
                "SELECT envelope, received_at, confirmed_at, own, confirmed_by FROM heads WHERE publisher = ? ORDER BY name",
            )?
            .query_map(params![publisher.to_bytes()], stored_head)?
            .collect()
        })
    }

    /// The manifests that are held of a package and may list one of these files of a version; and
    /// of the manifests of an entry, those that are not held.
    pub fn listing_files(
        &self,
        package: &PackageId,
        entry: &ReleaseEntry,
        files: &[String],
    ) -> Result<(HashSet<Hash>, Vec<Hash>)> {
        self.read(|db| {
            let found = listing_files(
                db,
                package,
                &entry.version,
                files.iter().map(String::as_str),
            )?;
            let mut missing = Vec::new();
            for manifest in &entry.manifests {
                if !has_manifest(db, manifest)? {
                    missing.push(*manifest);
                }
            }
            Ok((found, missing))
        })
    }

    /// Whether a manifest is the first that was seen of its version, or none was; or one of the
    /// several that it may have.
    pub fn is_first(&self, manifest: &Authorised<Manifest>) -> Result<bool> {
        self.read(|db| {
            let (package, version) = (manifest.package(), &manifest.version);
            let ecosystem = package.name.ecosystem();
            let offered = [ReleaseEntry::new(version.clone(), manifest.hash())];
            let known = first_seen(db, &package.owner, &package.name)?;
            let fold = folds::fold_of(db, &package.owner, &package.name)?;
            let is_known = release::find(ecosystem, &known, version).is_some();
            let folded = || !is_known && !fold.conflicts(ecosystem, &offered).is_empty();
            let changes_a_file = || {
                let changed = conflicts::changed_files(db, manifest, &known);
                changed.map(|changed| changed.iter().any(|(.., other_first)| *other_first))
            };
            Ok(release::conflicts(ecosystem, &known, &offered).is_empty()
                && !folded()
                && !changes_a_file()?)
        })
    }

    /// When the newest head that is held was signed.
    pub fn newest_signed_at(&self) -> Result<Option<Timestamp>> {
        self.read(|db| {
            let newest = db
                .prepare_cached("SELECT max(signed_at) FROM heads")?
                .query_row([], |row| row.get(0));
            newest.map(|newest: Option<u64>| newest.map(Timestamp))
        })
    }

    /// Packages whose heads are held.
    pub fn package_count(&self) -> Result<u64> {
        self.read(|db| Ok(usage(db)?.packages))
    }

    pub fn conflicts(&self, package: &PackageId) -> Result<Vec<Conflict>> {
        self.read(|db| {
            db.prepare_cached(
                "SELECT version, kept, offered, seen_at, file FROM conflicts
                 WHERE kind IN ('version', 'file') AND publisher = ? AND name = ? ORDER BY seen_at",
            )?
            .query_map(
                params![package.owner.to_bytes(), package.name.as_str()],
                |row| {
                    let version: String = row.get(0)?;
                    Ok(Conflict {
                        package: package.clone(),
                        version: version.parse().map_err(|_| damaged(0, "version"))?,
                        kept: hash(row, 1)?,
                        offered: hash(row, 2)?,
                        seen_at: Timestamp(row.get(3)?),
                        file: Some(row.get(4)?).filter(|file: &String| !file.is_empty()),
                    })
                },
            )?
            .collect()
        })
    }
}

fn judge(
    db: &Connection,
    head: &Authorised<Head>,
    now: Timestamp,
) -> rusqlite::Result<HeadVerdict> {
    let held = mark(db, &head.owner(), &head.package().name)?;
    let admission = admit(held.as_ref(), &HeadMark::of(head), now);
    if matches!(admission, Admission::Older | Admission::Same) {
        return Ok(HeadVerdict::Admitted(admission));
    }
    let highest = held.map_or(0, |mark| mark.seq);
    if head.seq > highest.saturating_add(MAX_JUMP) {
        return Ok(HeadVerdict::Ahead);
    }
    let known = seen_of(db, head)?;
    if !goes_together(db, head, &known)? {
        return Ok(HeadVerdict::Inconsistent);
    }
    if claims::is_one_too_many(db, head)? {
        return Ok(HeadVerdict::TooManyHandles);
    }
    let disputed =
        !folds::changed(db, head, &known)?.is_empty() || removed(db, head, &[])?.is_some();
    Ok(if disputed {
        HeadVerdict::Disputed(admission)
    } else {
        HeadVerdict::Admitted(admission)
    })
}

/// What a head lacks of the head that is held and that it follows at once.
struct Removed {
    before: Authorised<Head>,
    page: Option<Authorised<Page>>,
    gone: Vec<(VersionText, Hash)>,
}

fn removed(
    db: &Connection,
    head: &Authorised<Head>,
    pages: &[Authorised<Page>],
) -> rusqlite::Result<Option<Removed>> {
    let Some(mark) = mark(db, &head.owner(), &head.package().name)?
        .filter(|mark| head.prev.contains(&mark.hash))
    else {
        return Ok(None);
    };
    let held = held_head(db, &head.owner(), &head.package().name)?
        .filter(|held| held.head.hash() == mark.hash);
    let Some(StoredHead { head: before, .. }) = held else {
        return Ok(None);
    };
    let page = match pages.iter().find(|page| head.older == Some(page.hash())) {
        Some(page) => Some(page.clone()),
        None => head
            .older
            .filter(|older| before.older != Some(*older))
            .map(|older| held_page(db, &older))
            .transpose()?
            .flatten(),
    };
    let gone = head.removes(&before, page.as_ref()).unwrap_or_default();
    Ok((!gone.is_empty()).then_some(Removed { before, page, gone }))
}

/// Returns whether a head lists all that the head that is held and that it follows at once listed,
/// so that nothing goes with that.
fn is_addition(
    db: &Connection,
    head: &Authorised<Head>,
    pages: &[Authorised<Page>],
) -> rusqlite::Result<bool> {
    let held = held_head(db, &head.owner(), &head.package().name)?;
    let page = pages.iter().find(|page| head.older == Some(page.hash()));
    Ok(held
        .and_then(|held| head.removes(&held.head, page))
        .is_some_and(|gone| gone.is_empty()))
}

/// Whether no entry of a head lists a manifest that is known as another version's, or is held and
/// of another package.
fn goes_together(
    db: &Connection,
    head: &Authorised<Head>,
    known: &[ReleaseEntry],
) -> rusqlite::Result<bool> {
    let by_manifest: HashMap<&Hash, &ReleaseEntry> = known
        .iter()
        .flat_map(|entry| {
            entry
                .manifests
                .iter()
                .map(move |manifest| (manifest, entry))
        })
        .collect();
    for (entry, manifest) in listed(&head.releases) {
        match by_manifest.get(manifest) {
            Some(first)
                if first.version.key(&head.ecosystem) == entry.version.key(&head.ecosystem) => {}
            Some(_) => return Ok(false),
            None => {
                let held = held_manifest(db, manifest)?;
                if held.is_some_and(|manifest| consistent(head, &manifest).is_err()) {
                    return Ok(false);
                }
            }
        }
    }
    Ok(true)
}

/// Every manifest that is listed, with its entry.
fn listed(releases: &[ReleaseEntry]) -> impl Iterator<Item = (&ReleaseEntry, &Hash)> {
    releases.iter().flat_map(|entry| {
        entry
            .manifests
            .iter()
            .map(move |manifest| (entry, manifest))
    })
}

pub(super) fn take(
    db: &Connection,
    head: &Authorised<Head>,
    pages: &[Authorised<Page>],
    manifests: &[Authorised<Manifest>],
    own: bool,
    now: Timestamp,
) -> rusqlite::Result<HeadVerdict> {
    // What came along and is of something else is left out.
    let manifests: Vec<&Authorised<Manifest>> = manifests
        .iter()
        .filter(|manifest| consistent(head, manifest).is_ok())
        .collect();
    let verdict = judge(db, head, now)?;
    let (publisher, name) = (head.owner(), &head.package().name);
    let key = publisher.to_bytes();
    let known = seen_of(db, head)?;
    for manifest in &manifests {
        conflicts::note_files(db, head.handle.as_ref(), manifest, &known, now)?;
    }
    let admission = match verdict {
        HeadVerdict::Inconsistent | HeadVerdict::Ahead | HeadVerdict::TooManyHandles => {
            return Ok(verdict);
        }
        HeadVerdict::Admitted(admission) => admission,
        HeadVerdict::Disputed(admission) => {
            if own {
                return Ok(verdict);
            }
            let changed = folds::changed(db, head, &known)?;
            conflicts::note_versions(db, head, &changed, &manifests, now)?;
            if let Some(Removed {
                before,
                page,
                mut gone,
            }) = removed(db, head, pages)?
            {
                // What was changed is told as that.
                gone.retain(|(version, _)| changed.iter().all(|one| one.version != *version));
                conflicts::note_removed(db, &before, head, page.as_ref(), &gone, now)?;
            }
            admission
        }
    };
    let mut only_adds = false;
    match admission {
        Admission::Older => {
            conflicts::complete_versions(db, head)?;
            return Ok(verdict);
        }
        Admission::Same => put_held_head_if_absent(db, head, own, now)?,
        Admission::ForkLoses => {
            // Of a package that was put out, nothing is kept but its mark.
            let Some(row) = head_row(db, &publisher, name)? else {
                return Ok(verdict);
            };
            put_fork(db, head, own)?;
            put_versions(db, head)?;
            for manifest in manifests {
                put_manifest(db, row, manifest)?;
            }
            if let Some(winner) = held_head(db, &publisher, name)? {
                conflicts::note_fork(db, &winner.head, head, now)?;
                folds::tidy(db, row, &winner.head)?;
            }
            return Ok(verdict);
        }
        Admission::ForkWins => {
            if let Some(loser) = held_head(db, &publisher, name)? {
                put_fork(db, &loser.head, loser.own)?;
                conflicts::note_fork(db, head, &loser.head, now)?;
            }
            replace_head(db, head, own, now)?;
        }
        Admission::Newer => {
            let forks = db
                .prepare_cached("DELETE FROM forks WHERE publisher = ? AND name = ? AND seq < ?")?
                .execute(params![key, name.as_str(), head.seq])?;
            only_adds = forks == 0 && is_addition(db, head, pages)?;
            replace_head(db, head, own, now)?;
        }
    }
    put_versions(db, head)?;
    if let Some(row) = head_row(db, &publisher, name)? {
        for page in pages {
            put_page(db, row, page)?;
        }
        for manifest in &manifests {
            put_manifest(db, row, manifest)?;
        }
        // Of a package with many pages all of them would be read for each release that is added.
        if !only_adds {
            folds::tidy(db, row, head)?;
        }
    }
    list_package(db, head, &manifests)?;
    Ok(verdict)
}

fn replace_head(
    db: &Connection,
    head: &Authorised<Head>,
    own: bool,
    now: Timestamp,
) -> rusqlite::Result<()> {
    let key = head.owner().to_bytes();
    let envelope: &[u8] = head.envelope();
    db.prepare_cached("INSERT OR IGNORE INTO publishers (publisher, first_seen, last_seen, own) VALUES (?, ?, ?, ?)")?
        .execute(params![key, now.0, now.0, own])?;
    db.prepare_cached(
        "UPDATE publishers SET last_seen = ?1, own = max(own, ?2), first_seen = iif(packages = 0, ?1, first_seen)
         WHERE publisher = ?3",
    )?
    .execute(params![now.0, own, key])?;
    // Whoever had nothing here meanwhile is seen first again: a key that was displaced does not
    // become known by waiting. The row stays, because manifests and pages are of it; who confirmed
    // the state before does not confirm this one.
    db.prepare_cached(
        "INSERT INTO heads (publisher, name, seq, hash, handle, envelope, received_at, own, signed_at)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
         ON CONFLICT (publisher, name) DO UPDATE SET seq = excluded.seq, hash = excluded.hash, handle = excluded.handle,
             envelope = excluded.envelope, received_at = excluded.received_at, confirmed_at = NULL, confirmed_by = 0,
             own = excluded.own, signed_at = excluded.signed_at",
    )?
    .execute(params![
        key,
        head.package().name.as_str(),
        head.seq,
        head.hash().0,
        head.handle.as_ref().map(Handle::as_str),
        envelope,
        now.0,
        own,
        head.signed_at.0
    ])?;
    db.prepare_cached(
        "INSERT INTO marks (publisher, name, seq, hash, expires) VALUES (?, ?, ?, ?, ?)
         ON CONFLICT (publisher, name) DO UPDATE SET seq = excluded.seq, hash = excluded.hash,
             expires = excluded.expires, gone_at = NULL",
    )?
    .execute(params![
        key,
        head.package().name.as_str(),
        head.seq,
        head.hash().0,
        head.expires.0
    ])?;
    claims::note(db, head, now)?;
    conflicts::note_handle(db, head, now)
}

/// A mark may outlive its head; the very same head coming back is held again.
fn put_held_head_if_absent(
    db: &Connection,
    head: &Authorised<Head>,
    own: bool,
    now: Timestamp,
) -> rusqlite::Result<()> {
    match held_head(db, &head.owner(), &head.package().name)? {
        Some(_) => Ok(()),
        None => replace_head(db, head, own, now),
    }
}

fn put_fork(db: &Connection, head: &Authorised<Head>, own: bool) -> rusqlite::Result<()> {
    let envelope: &[u8] = head.envelope();
    let key = head.owner().to_bytes();
    let held: i64 = db
        .prepare_cached("SELECT count(*) FROM forks WHERE publisher = ? AND name = ?")?
        .query_row(params![key, head.package().name.as_str()], |row| row.get(0))?;
    // As many as the next head can name beside the selected one.
    if own || held < crate::domain::record::MAX_PREV as i64 - 1 {
        db.prepare_cached(
            "INSERT OR IGNORE INTO forks (publisher, name, hash, seq, envelope, own) VALUES (?, ?, ?, ?, ?, ?)",
        )?
        .execute(params![key, head.package().name.as_str(), head.hash().0, head.seq, envelope, own])?;
    }
    Ok(())
}

fn put_versions(db: &Connection, head: &Authorised<Head>) -> rusqlite::Result<()> {
    let key = head.owner().to_bytes();
    let grows = head.ecosystem.grows();
    let mut insert = db.prepare_cached(
        "INSERT OR IGNORE INTO releases (publisher, name, version, manifest, nth)
         SELECT ?1, ?2, ?3, ?4, count(*) AS others FROM releases WHERE publisher = ?1 AND name = ?2 AND version = ?3
         HAVING others = 0 OR ?5",
    )?;
    let mut seen = db.prepare_cached(
        "SELECT 1 FROM releases WHERE publisher = ? AND name = ? AND version = ? AND manifest = ?",
    )?;
    // What was folded counts as seen first, too.
    let changed = folds::fold_of(db, &head.owner(), &head.package().name)?
        .conflicts(&head.ecosystem, &head.releases);
    for (entry, manifest) in listed(&head.releases)
        .filter(|(entry, _)| !changed.iter().any(|one| one.version == entry.version))
    {
        let (name, version) = (
            head.package().name.as_str(),
            entry.version.key(&head.ecosystem),
        );
        // Most are: to count the others of a version for each of them would cost its length
        // squared.
        if !seen.exists(params![key, name, version, manifest.0])? {
            insert.execute(params![key, name, version, manifest.0, grows])?;
        }
    }
    Ok(())
}

fn put_page(db: &Connection, head: i64, page: &Authorised<Page>) -> rusqlite::Result<()> {
    let envelope: &[u8] = page.envelope();
    db.prepare_cached("INSERT OR IGNORE INTO pages (hash, head, envelope) VALUES (?, ?, ?)")?
        .execute(params![page.hash().0, head, envelope])?;
    Ok(())
}

fn put_manifest(
    db: &Connection,
    head: i64,
    manifest: &Authorised<Manifest>,
) -> rusqlite::Result<()> {
    let envelope: &[u8] = manifest.envelope();
    let put = db
        .prepare_cached("INSERT OR IGNORE INTO manifests (hash, head, envelope) VALUES (?, ?, ?)")?
        .execute(params![manifest.hash().0, head, envelope])?;
    let grows = manifest.package().name.ecosystem().grows();
    if put == 1 && grows {
        let id = db.last_insert_rowid();
        let mut insert = db.prepare_cached(
            "INSERT OR IGNORE INTO files (head, file, manifest) VALUES (?, ?, ?)",
        )?;
        for file in &manifest.files {
            insert.execute(params![
                head,
                file_number(&manifest.ecosystem, &manifest.version, &file.name),
                id
            ])?;
        }
    }
    Ok(())
}

/// The number by which a file of a version is looked for; another file may have it too.
fn file_number(ecosystem: &Ecosystem, version: &VersionText, file: &str) -> i64 {
    let mut hasher = blake3::Hasher::new();
    hasher
        .update(version.key(ecosystem).as_bytes())
        .update(&[0])
        .update(file.as_bytes());
    let mut number = [0; 8];
    hasher.finalize_xof().fill(&mut number);
    i64::from_le_bytes(number)
}

/// The manifests that are held of a package and may list one of these files of a version.
pub(super) fn listing_files<'a>(
    db: &Connection,
    package: &PackageId,
    version: &VersionText,
    files: impl Iterator<Item = &'a str>,
) -> rusqlite::Result<HashSet<Hash>> {
    let mut found = HashSet::new();
    let Some(head) = head_row(db, &package.owner, &package.name)? else {
        return Ok(found);
    };
    let mut listing = db.prepare_cached(
        "SELECT m.hash FROM files f JOIN manifests m ON m.id = f.manifest WHERE f.head = ? AND f.file = ?",
    )?;
    for file in files {
        let number = file_number(package.name.ecosystem(), version, file);
        for manifest in listing.query_map(params![head, number], |row| hash(row, 0))? {
            found.insert(manifest?);
        }
    }
    Ok(found)
}

/// Lists the package by the highest release whose manifest is held, or was just `given`, and takes
/// it off the list when there is none. What is given is not read, and verified, again. A version
/// that is disputed is not listed by: whoever is sent the head with the manifest that was seen
/// first here would find that they do not go together.
pub(super) fn list_package(
    db: &Connection,
    head: &Authorised<Head>,
    given: &[&Authorised<Manifest>],
) -> rusqlite::Result<()> {
    let given = |hash: &Hash| {
        given
            .iter()
            .find(|manifest| manifest.hash() == *hash && consistent(head, manifest).is_ok())
    };
    let disputed = folds::changed(db, head, &seen_of(db, head)?)?;
    let overruled = if head.ecosystem.grows() {
        conflicts::overruled(db, head.package())?
    } else {
        HashSet::new()
    };
    let mut held: Vec<ReleaseEntry> = Vec::new();
    for entry in head
        .releases
        .iter()
        .filter(|entry| !disputed.iter().any(|one| one.version == entry.version))
    {
        let mut manifests = Vec::new();
        for manifest in entry
            .manifests
            .iter()
            .filter(|manifest| !overruled.contains(manifest))
        {
            if given(manifest).is_some() || has_manifest(db, manifest)? {
                manifests.push(*manifest);
                break;
            }
        }
        if !manifests.is_empty() {
            held.push(ReleaseEntry {
                manifests,
                ..entry.clone()
            });
        }
    }
    loop {
        let highest = || release::highest(&head.ecosystem, &held);
        let Some(entry) = release::resolve(&head.ecosystem, &held, None)
            .or_else(highest)
            .cloned()
        else {
            return listing::unlist(db, &head.owner(), &head.package().name);
        };
        for hash in &entry.manifests {
            let read = match given(hash) {
                Some(manifest) => Some((*manifest).clone()),
                None => {
                    held_manifest(db, hash)?.filter(|manifest| consistent(head, manifest).is_ok())
                }
            };
            if let Some(manifest) = read {
                return listing::list(db, &Listing::of(head, &manifest, &entry));
            }
        }
        held.retain(|one| one.version != entry.version);
    }
}

fn mark(
    db: &Connection,
    publisher: &PublisherId,
    name: &PackageName,
) -> rusqlite::Result<Option<HeadMark>> {
    db.prepare_cached("SELECT seq, hash, expires FROM marks WHERE publisher = ? AND name = ?")?
        .query_row(params![publisher.to_bytes(), name.as_str()], |row| {
            Ok(HeadMark {
                seq: row.get(0)?,
                hash: hash(row, 1)?,
                expires: Timestamp(row.get(2)?),
            })
        })
        .optional()
}

/// The row of the head that is held.
fn head_row(
    db: &Connection,
    publisher: &PublisherId,
    name: &PackageName,
) -> rusqlite::Result<Option<i64>> {
    db.prepare_cached("SELECT id FROM heads WHERE publisher = ? AND name = ?")?
        .query_row(params![publisher.to_bytes(), name.as_str()], |row| {
            row.get(0)
        })
        .optional()
}

pub(super) fn first_seen(
    db: &Connection,
    publisher: &PublisherId,
    name: &PackageName,
) -> rusqlite::Result<Vec<ReleaseEntry>> {
    let mut statement = db.prepare_cached(
        "SELECT version, manifest FROM releases WHERE publisher = ? AND name = ? ORDER BY version, nth",
    )?;
    let mut rows = statement.query(params![publisher.to_bytes(), name.as_str()])?;
    let mut seen: Vec<ReleaseEntry> = Vec::new();
    while let Some(row) = rows.next()? {
        let (version, manifest) = (row.get_ref(0)?.as_str()?, hash(row, 1)?);
        match seen.last_mut() {
            Some(last) if last.version.as_str() == version => last.manifests.push(manifest),
            _ => seen.push(ReleaseEntry::new(
                version.parse().map_err(|_| damaged(0, "version"))?,
                manifest,
            )),
        }
    }
    Ok(seen)
}

/// As [`first_seen`], of the versions that a head lists, and of those that one of its manifests is
/// known as: that is all that can speak against it, and of a package with many releases much less.
fn seen_of(db: &Connection, head: &Authorised<Head>) -> rusqlite::Result<Vec<ReleaseEntry>> {
    let (publisher, name) = (head.owner(), &head.package().name);
    let key = publisher.to_bytes();
    let mut of_version = db.prepare_cached(
        "SELECT manifest FROM releases WHERE publisher = ? AND name = ? AND version = ? ORDER BY nth",
    )?;
    let (mut seen, mut unknown) = (Vec::new(), 0);
    for entry in &head.releases {
        let version = entry.version.key(&head.ecosystem);
        let manifests: Vec<Hash> = of_version
            .query_map(params![key, name.as_str(), version], |row| hash(row, 0))?
            .collect::<rusqlite::Result<_>>()?;
        unknown += entry
            .manifests
            .iter()
            .filter(|manifest| !manifests.contains(manifest))
            .count();
        if let Some((first, more)) = manifests.split_first() {
            let mut known =
                ReleaseEntry::new(version.parse().map_err(|_| damaged(0, "version"))?, *first);
            known.manifests.extend_from_slice(more);
            seen.push(known);
        }
    }
    match unknown {
        0 => Ok(seen),
        // Each may be known as another version's.
        1..=FEW_UNKNOWN => {
            let mut of_manifest = db.prepare_cached(
                "SELECT version FROM releases WHERE publisher = ? AND name = ? AND manifest = ?",
            )?;
            let known: HashSet<Hash> = seen
                .iter()
                .flat_map(|entry| &entry.manifests)
                .copied()
                .collect();
            for manifest in head.releases.iter().flat_map(|entry| &entry.manifests) {
                if known.contains(manifest) {
                    continue;
                }
                let version: Option<String> = of_manifest
                    .query_row(params![key, name.as_str(), manifest.0], |row| row.get(0))
                    .optional()?;
                if let Some(version) = version {
                    seen.push(ReleaseEntry::new(
                        version.parse().map_err(|_| damaged(0, "version"))?,
                        *manifest,
                    ));
                }
            }
            Ok(seen)
        }
        _ => first_seen(db, &publisher, name),
    }
}

pub(super) fn held_head(
    db: &Connection,
    publisher: &PublisherId,
    name: &PackageName,
) -> rusqlite::Result<Option<StoredHead>> {
    db.prepare_cached(
        "SELECT envelope, received_at, confirmed_at, own, confirmed_by FROM heads WHERE publisher = ? AND name = ?",
    )?
    .query_row(params![publisher.to_bytes(), name.as_str()], stored_head)
    .optional()
}

fn stored_head(row: &Row<'_>) -> rusqlite::Result<StoredHead> {
    Ok(StoredHead {
        head: signed(row, 0)?,
        received_at: Timestamp(row.get(1)?),
        confirmed_at: row.get::<_, Option<u64>>(2)?.map(Timestamp),
        own: row.get(3)?,
        confirmed_by: row.get::<_, u32>(4)? as usize,
    })
}

pub(super) fn has_manifest(db: &Connection, hash: &Hash) -> rusqlite::Result<bool> {
    db.prepare_cached("SELECT 1 FROM manifests WHERE hash = ?")?
        .exists([hash.0])
}

pub(super) fn held_manifest(
    db: &Connection,
    hash: &Hash,
) -> rusqlite::Result<Option<Authorised<Manifest>>> {
    db.prepare_cached("SELECT envelope FROM manifests WHERE hash = ?")?
        .query_row([hash.0], |row| signed(row, 0))
        .optional()
}

pub(super) fn held_page(
    db: &Connection,
    hash: &Hash,
) -> rusqlite::Result<Option<Authorised<Page>>> {
    db.prepare_cached("SELECT envelope FROM pages WHERE hash = ?")?
        .query_row([hash.0], |row| signed(row, 0))
        .optional()
}

/// Envelopes are verified again when read: a disk can lie too, and the type says "checked".
pub(super) fn signed<T: crate::domain::record::Owned>(
    row: &Row<'_>,
    column: usize,
) -> rusqlite::Result<Authorised<T>> {
    let bytes = row.get_ref(column)?.as_blob()?;
    Authorised::verify(bytes).map_err(|_| damaged(column, "envelope"))
}

pub(super) fn hash(row: &Row<'_>, column: usize) -> rusqlite::Result<Hash> {
    row.get::<_, [u8; 32]>(column).map(Hash)
}

pub(super) fn publisher(row: &Row<'_>, column: usize) -> rusqlite::Result<PublisherId> {
    PublisherId::from_bytes(row.get_ref(column)?.as_blob()?)
        .ok_or_else(|| damaged(column, "publisher"))
}
