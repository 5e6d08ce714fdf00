//! Heads, pages, manifests, first-seen versions and conflicts.

use std::collections::HashSet;

use rusqlite::{Connection, OptionalExtension, params};

mod judge;
mod read;
mod write;

use self::{
    judge::judge,
    read::{mark, raw_head, stored_head},
    write::{list_package, put_manifest, put_page},
};
pub(super) use self::{
    read::{
        first_seen, has_manifest, hash, head_row, held_head, held_manifest, held_page, key_of,
        publisher, signed,
    },
    write::{listing_files, take},
};

use super::{
    Store, conflicts, copies, damaged, folds,
    room::{self, Gone, ONE},
    usage::usage,
};
use crate::{
    Result,
    domain::{
        freshness::Freshness,
        hash::Hash,
        manifest::Manifest,
        name::{PackageId, PublisherId},
        package::Conflict,
        record::{Admission, Authorised, Head, HeadMark, Page, Refusal},
        release::{self, ReleaseEntry},
        time::Timestamp,
        version::VersionText,
    },
};

/// Up to this many unknown manifests of a head are looked up one by one, each with a scan of all
/// that is known of the package.
const FEW_UNKNOWN: usize = 4;

/// The verdict on a head, from all that this node has seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HeadVerdict {
    Admitted(Admission),
    /// Admitted, but some entries list another manifest for a version seen before. These entries
    /// are not accepted but kept as evidence: the first one seen counts. This node never signs such
    /// a head.
    Disputed(Admission),
    /// It lists a manifest that is held and belongs to another version or package.
    Inconsistent,
    /// Its number is far beyond the highest one seen of the package.
    Ahead,
    /// Its key would claim more handles than one may.
    TooManyHandles,
}

impl HeadVerdict {
    /// Returns the relation to the head that is held, if it is admitted.
    pub fn admission(&self) -> Option<Admission> {
        match self {
            Self::Admitted(admission) | Self::Disputed(admission) => Some(*admission),
            Self::Inconsistent | Self::Ahead | Self::TooManyHandles => None,
        }
    }

    /// Returns true if another head has its number.
    pub fn is_fork(&self) -> bool {
        matches!(
            self.admission(),
            Some(Admission::ForkWins | Admission::ForkLoses)
        )
    }

    /// Returns the reason for refusing the head, if it is refused.
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

/// A stored head, with the times at which it was received and confirmed.
#[derive(Clone, Debug)]
pub struct StoredHead {
    pub head: Authorised<Head>,
    pub received_at: Timestamp,
    /// The time at which a quorum of peers was last seen to hold the same state, and their number.
    pub confirmed_at: Option<Timestamp>,
    pub confirmed_by: usize,
    /// True if this node signed it.
    pub own: bool,
}

impl StoredHead {
    /// Returns how certain it is that this is the package's current state.
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

/// A head and a manifest that it lists, as signed envelopes.
pub type RawHead = (Vec<u8>, Option<Vec<u8>>);

impl Store {
    /// Returns the verdict on `head` without storing it.
    pub fn judge_head(&self, head: &Authorised<Head>, now: Timestamp) -> Result<HeadVerdict> {
        self.read(|db| judge(db, head, now))
    }

    /// Stores a verified head with the pages and manifests that came with it, in one transaction.
    /// `own` is true if this node signed it.
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
                // Make room first, so that a package that a person requests is not evicted at once.
                let gone = room::fit(db, room, ONE, now)?;
                Ok((take(db, &head, &pages, &manifests, own, now)?, gone))
            })
            .await?;
        self.made_room(gone);
        self.heads_changed();
        Ok(verdict)
    }

    /// Stores verified heads of other publishers, each with the manifest of its newest release if
    /// that came along. They may not be on the disk yet when it returns: a node that loses some in
    /// a power cut gets them again.
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
                    // Skip a head that cannot be stored, and keep the others.
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
        let taken = self.write_each_unsynced(heads, take_some).await?;
        let verdicts = taken.into_iter().flat_map(|(verdicts, gone)| {
            self.made_room(gone);
            verdicts
        });
        let verdicts = verdicts.collect();
        self.heads_changed();
        Ok(verdicts)
    }

    /// Returns the hash and signing time of each head, in no order.
    pub fn head_hashes(&self) -> Result<Vec<(Hash, Timestamp)>> {
        self.read(|db| {
            db.prepare_cached("SELECT hash, signed_at FROM head_rows")?
                .query_map([], |row| Ok((hash(row, 0)?, Timestamp(row.get(1)?))))?
                .collect()
        })
    }

    /// Returns the heads that are held, each with the manifest that its package is listed by, as
    /// signed envelopes. They were verified when the package was listed and are not verified again.
    pub fn raw_heads(&self, hashes: &[Hash]) -> Result<Vec<RawHead>> {
        self.read_together(|db| {
            let mut statement = db.prepare_cached(
                "SELECT h.envelope, (SELECT m.envelope FROM package_rows p
                 JOIN manifests m ON m.id = p.manifest AND m.head = h.id WHERE p.key = h.key AND p.name = h.name)
                 FROM head_rows h WHERE h.hash = ?",
            )?;
            let mut heads = Vec::with_capacity(hashes.len());
            for hash in hashes {
                heads.extend(statement.query_row([hash.0], raw_head).optional()?);
            }
            Ok(heads)
        })
    }

    /// As [`Self::take_head`], for a head that this node signs; adds it to the outbox.
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
                "INSERT OR REPLACE INTO outbox (publisher, name, version, replicas, announced, \
                 since) VALUES (?, ?, ?, 0, 0, ?)",
            )?
            .execute(params![
                head.owner().to_bytes(),
                head.package().name.as_str(),
                version.to_string(),
                now.0
            ])?;
            manifests
                .iter()
                .try_for_each(|manifest| copies::want(db, &manifest.hash(), now))?;
            Ok((verdict, gone))
        });
        let (verdict, gone) = verdict.await?;
        self.made_room(gone);
        self.heads_changed();
        Ok(verdict)
    }

    /// Notes that this many peers were seen to hold the head with this hash. After a power cut they
    /// are asked again.
    pub async fn confirm(
        &self,
        package: PackageId,
        head: Hash,
        peers: usize,
        now: Timestamp,
    ) -> Result<()> {
        self.write_unsynced(move |db| {
            db.prepare_cached(
                "UPDATE head_rows SET confirmed_at = ?, confirmed_by = ?
                 WHERE key = (SELECT id FROM keys WHERE publisher = ?) AND name = ? AND hash = ?",
            )?
            .execute(params![
                now.0,
                peers as i64,
                package.owner.to_bytes(),
                package.name.as_str(),
                head.0
            ])
            .map(drop)
        })
        .await
    }

    /// Stores a verified manifest that the stored head or one of its pages lists, and lists its
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
                list_package(db, &held.head, &[], false)?;
            }
            Ok(gone)
        });
        self.made_room(gone.await?);
        Ok(())
    }

    pub fn head(&self, package: &PackageId) -> Result<Option<StoredHead>> {
        self.read(|db| held_head(db, &package.owner, &package.name))
    }

    /// Returns the hash of the stored head of a package.
    pub fn held_hash(&self, package: &PackageId) -> Result<Option<Hash>> {
        self.read(|db| {
            db.prepare_cached("SELECT hash FROM heads WHERE publisher = ? AND name = ?")?
                .query_row(
                    params![package.owner.to_bytes(), package.name.as_str()],
                    |row| hash(row, 0),
                )
                .optional()
        })
    }

    /// Returns the highest state seen of a package, even if its head is no longer held.
    pub fn mark(&self, package: &PackageId) -> Result<Option<HeadMark>> {
        self.read(|db| mark(db, &package.owner, &package.name))
    }

    /// Returns the heads of the current `seq` that lost the selection; the flag is true if this
    /// node signed the head.
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

    /// Returns the packages of `publisher` with more than one head of the current `seq`.
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

    /// Returns the first manifest of a release that is held.
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

    /// Stores a verified page, if the head of its package is held.
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

    /// Returns up to `most` heads that this node signed before `at`, oldest first.
    pub fn own_heads_before(&self, at: Timestamp, most: usize) -> Result<Vec<StoredHead>> {
        self.read(|db| {
            db.prepare_cached(
                "SELECT envelope, received_at, confirmed_at, own, confirmed_by FROM head_rows WHERE own = 1 AND signed_at < ?
                 ORDER BY signed_at LIMIT ?",
            )?
            .query_map(params![at.0, most as i64], stored_head)?
            .collect()
        })
    }

    /// Returns the number of own packages.
    pub fn own_count(&self) -> Result<usize> {
        self.read(|db| {
            let count = db
                .prepare_cached("SELECT count(*) FROM head_rows WHERE own = 1")?
                .query_row([], |row| row.get(0));
            count.map(|count: i64| usize::try_from(count).unwrap_or_default())
        })
    }

    /// Returns up to `most` own heads from number `from` on, oldest first.
    pub fn own_heads(&self, from: usize, most: usize) -> Result<Vec<StoredHead>> {
        self.read(|db| {
            db.prepare_cached(
                "SELECT envelope, received_at, confirmed_at, own, confirmed_by FROM head_rows WHERE own = 1
                 ORDER BY signed_at LIMIT ? OFFSET ?",
            )?
            .query_map(params![most as i64, from as i64], stored_head)?
            .collect()
        })
    }

    /// Returns the head that this node signed last.
    pub fn newest_own_head(&self) -> Result<Option<StoredHead>> {
        self.read(|db| {
            db.prepare_cached(
                "SELECT envelope, received_at, confirmed_at, own, confirmed_by FROM head_rows \
                 WHERE own = 1 ORDER BY signed_at DESC LIMIT 1",
            )?
            .query_row([], stored_head)
            .optional()
        })
    }

    /// Returns the heads of one publisher, by name.
    pub fn heads_of(&self, publisher: &PublisherId) -> Result<Vec<StoredHead>> {
        self.read(|db| {
            db.prepare_cached(
                "SELECT envelope, received_at, confirmed_at, own, confirmed_by FROM heads WHERE \
                 publisher = ? ORDER BY name",
            )?
            .query_map(params![publisher.to_bytes()], stored_head)?
            .collect()
        })
    }

    /// Returns the held manifests of a package that may list one of these files of a version, and
    /// those manifests of the entry that are not held.
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

    /// Returns true if no other manifest was seen before for its version, or if the version may
    /// have several.
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

    /// Returns the signing time of the newest head of a listed package.
    pub fn newest_signed_at(&self) -> Result<Option<Timestamp>> {
        self.read(|db| {
            let newest = db
                .prepare_cached("SELECT max(signed_at) FROM package_rows")?
                .query_row([], |row| row.get(0));
            newest.map(|newest: Option<u64>| newest.map(Timestamp))
        })
    }

    /// Returns the number of packages whose heads are held.
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
