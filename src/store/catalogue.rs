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
    /// along. They may not be on the disk yet when it returns: a node that lost some to a power cut
    /// is sent them again.
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
        let taken = self.write_each_unsynced(heads, take_some).await?;
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
            db.prepare_cached("SELECT hash, signed_at FROM head_rows")?
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

    /// So many peers were seen to hold the head with this hash. After a power cut they are asked
    /// again.
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

    /// The hash of the head that is held of a package.
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
                "SELECT envelope, received_at, confirmed_at, own, confirmed_by FROM head_rows WHERE own = 1 AND signed_at < ?
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
                .prepare_cached("SELECT count(*) FROM head_rows WHERE own = 1")?
                .query_row([], |row| row.get(0));
            count.map(|count: i64| usize::try_from(count).unwrap_or_default())
        })
    }

    /// Own heads from number `from` on, the oldest first, `most` of them.
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

    /// The head this node signed last.
    pub fn newest_own_head(&self) -> Result<Option<StoredHead>> {
        self.read(|db| {
            db.prepare_cached(
                "SELECT envelope, received_at, confirmed_at, own, confirmed_by FROM head_rows WHERE own = 1 ORDER BY signed_at DESC LIMIT 1",
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
                .prepare_cached("SELECT max(signed_at) FROM head_rows")?
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
