//! Folds a package's old versions: manifests that no stored record lists are dropped, and only a
//! short hash of each is kept.

use std::collections::HashSet;

use rusqlite::{Connection, OptionalExtension, params};

use super::catalogue::{first_seen, hash, head_row, held_manifest, key_of, signed};
use crate::domain::{
    fold::Fold,
    hash::Hash,
    manifest::Manifest,
    name::{PackageId, PackageName, PublisherId},
    record::{Authorised, Head, Page},
    release::{self, ReleaseEntry, VersionConflict},
    time::Timestamp,
};
use crate::ecosystem::Ecosystem;

/// Folds of evicted packages deleted at a time.
const AT_ONCE: i64 = 1_000;
pub(super) const SET_FOLD: &str =
    "UPDATE OR FAIL head_rows SET fold = ? WHERE key = ? AND name = ?";

/// Returns the versions that a head changes: those seen with another manifest, by the `known` rows
/// and by the fold.
pub(super) fn changed(
    db: &Connection,
    head: &Authorised<Head>,
    known: &[ReleaseEntry],
) -> rusqlite::Result<Vec<VersionConflict>> {
    let mut changed = release::conflicts(&head.ecosystem, known, &head.releases);
    let mut folded = fold_of(db, &head.owner(), &head.package().name)?
        .conflicts(&head.ecosystem, &head.releases);
    let keys: HashSet<String> = known
        .iter()
        .map(|entry| entry.version.key(&head.ecosystem))
        .collect();
    folded.retain(|one| !keys.contains(&one.version.key(&head.ecosystem)));
    changed.extend(folded);
    Ok(changed)
}

pub(super) fn fold_of(
    db: &Connection,
    publisher: &PublisherId,
    name: &PackageName,
) -> rusqlite::Result<Fold> {
    let fold: Option<Vec<u8>> = db
        .prepare_cached("SELECT fold FROM marks WHERE publisher = ? AND name = ?")?
        .query_row(params![publisher.to_bytes(), name.as_str()], |row| {
            row.get(0)
        })
        .optional()?;
    Ok(fold.map(Fold::from_bytes).unwrap_or_default())
}

/// The manifests and versions that records list.
#[derive(Default)]
struct ListedReleases {
    manifests: HashSet<Hash>,
    /// By their keys.
    versions: HashSet<String>,
}

impl ListedReleases {
    fn add(&mut self, ecosystem: &Ecosystem, releases: &[ReleaseEntry]) {
        self.manifests
            .extend(releases.iter().flat_map(|entry| &entry.manifests));
        self.versions
            .extend(releases.iter().map(|entry| entry.version.key(ecosystem)));
    }

    /// Returns true if the version is listed, even with another manifest than the first one seen,
    /// which still counts.
    fn has(&self, first: &ReleaseEntry) -> bool {
        // First-seen entries have the version's key in place of its text.
        self.versions.contains(first.version.as_str())
    }

    /// Returns the manifests that are listed, or were first seen for a listed version.
    fn needed(&self, seen: &[ReleaseEntry]) -> HashSet<Hash> {
        let first = seen
            .iter()
            .filter(|first| self.has(first))
            .flat_map(|first| &first.manifests);
        first.chain(&self.manifests).copied().collect()
    }
}

/// Drops the manifests that neither the head nor a held page or fork lists, and folds their
/// versions.
pub(super) fn tidy(db: &Connection, row: i64, head: &Authorised<Head>) -> rusqlite::Result<()> {
    let (publisher, name) = (head.owner(), &head.package().name);
    let seen = first_seen(db, &publisher, name)?;
    let manifests: Vec<(i64, Hash)> = db
        .prepare_cached("SELECT id, hash FROM manifests WHERE head = ?")?
        .query_map([row], |row| Ok((row.get(0)?, hash(row, 1)?)))?
        .collect::<rusqlite::Result<_>>()?;
    let mut listed = ListedReleases::default();
    listed.add(&head.ecosystem, &head.releases);
    let needed = listed.needed(&seen);
    if seen.iter().all(|first| listed.has(first))
        && manifests.iter().all(|(_, hash)| needed.contains(hash))
    {
        return Ok(());
    }
    let mut pages = db.prepare_cached("SELECT envelope FROM pages WHERE head = ?")?;
    for page in pages.query_map([row], |row| signed::<Page>(row, 0))? {
        listed.add(&head.ecosystem, &page?.releases);
    }
    let mut forks =
        db.prepare_cached("SELECT envelope FROM forks WHERE publisher = ? AND name = ?")?;
    for fork in forks.query_map(params![publisher.to_bytes(), name.as_str()], |row| {
        signed::<Head>(row, 0)
    })? {
        listed.add(&head.ecosystem, &fork?.releases);
    }
    let needed = listed.needed(&seen);
    let gone = seen
        .iter()
        .flat_map(|entry| &entry.manifests)
        .filter(|hash| !needed.contains(hash));
    fold_files(db, &publisher, name, gone)?;
    let mut delete = db.prepare_cached("DELETE FROM manifests WHERE id = ?")?;
    for (id, _) in manifests.iter().filter(|(_, hash)| !needed.contains(hash)) {
        delete.execute([id])?;
    }
    fold(
        db,
        &publisher,
        name,
        seen.iter().filter(|entry| !listed.has(entry)),
    )
}

fn fold<'a>(
    db: &Connection,
    publisher: &PublisherId,
    name: &PackageName,
    releases: impl Iterator<Item = &'a ReleaseEntry>,
) -> rusqlite::Result<()> {
    let releases: Vec<&ReleaseEntry> = releases.collect();
    if releases.is_empty() {
        return Ok(());
    }
    let mut fold = fold_of(db, publisher, name)?;
    fold.add(name.ecosystem(), releases.iter().copied());
    let key = key_of(db, publisher)?;
    db.prepare_cached(SET_FOLD)?
        .execute(params![fold.as_bytes(), key, name.as_str()])?;
    let mut delete =
        db.prepare_cached("DELETE FROM release_rows WHERE head = ? AND version = ?")?;
    let row = head_row(db, publisher, name)?;
    for release in releases {
        delete.execute(params![row, release.version.to_string()])?;
    }
    Ok(())
}

/// Folds the files of manifests that are dropped, in the order in which they were seen. Does
/// nothing in ecosystems whose releases do not grow.
fn fold_files<'a>(
    db: &Connection,
    publisher: &PublisherId,
    name: &PackageName,
    manifests: impl Iterator<Item = &'a Hash>,
) -> rusqlite::Result<()> {
    let ecosystem = name.ecosystem();
    if !ecosystem.grows() {
        return Ok(());
    }
    let before = fold_of(db, publisher, name)?;
    let mut fold = before.clone();
    for hash in manifests {
        if let Some(manifest) = held_manifest(db, hash)? {
            fold.add_files(ecosystem, &manifest.version, &manifest.files);
        }
    }
    if fold != before {
        let mut update = db.prepare_cached(SET_FOLD)?;
        update.execute(params![
            fold.as_bytes(),
            key_of(db, publisher)?,
            name.as_str()
        ])?;
    }
    Ok(())
}

/// Returns the files of a manifest that were seen with other bytes in a folded manifest, each with
/// the part of the hash that is kept.
pub(super) fn changed_files(
    db: &Connection,
    manifest: &Authorised<Manifest>,
) -> rusqlite::Result<Vec<(String, Hash)>> {
    let PackageId { owner, name } = manifest.package();
    let ecosystem = name.ecosystem();
    if !ecosystem.grows() {
        return Ok(Vec::new());
    }
    Ok(fold_of(db, owner, name)?.changed_files(ecosystem, &manifest.version, &manifest.files))
}

/// Evicts a package, except its mark with the fold.
pub(super) fn put_out(
    db: &Connection,
    row: i64,
    publisher: &PublisherId,
    name: &PackageName,
    now: Timestamp,
) -> rusqlite::Result<()> {
    let key = publisher.to_bytes();
    let seen = first_seen(db, publisher, name)?;
    fold_files(
        db,
        publisher,
        name,
        seen.iter().flat_map(|entry| &entry.manifests),
    )?;
    // Delete these before their head, which has their owner.
    db.prepare_cached("DELETE FROM files WHERE head = ?")?
        .execute([row])?;
    db.prepare_cached("DELETE FROM manifests WHERE head = ?")?
        .execute([row])?;
    db.prepare_cached("DELETE FROM pages WHERE head = ?")?
        .execute([row])?;
    db.prepare_cached("DELETE FROM forks WHERE publisher = ? AND name = ?")?
        .execute(params![key, name.as_str()])?;
    fold(db, publisher, name, seen.iter())?;
    db.prepare_cached(
        "INSERT INTO mark_rows (key, name, seq, hash, expires, gone_at, fold)
         SELECT key, name, seq, hash, expires, ?, fold FROM head_rows WHERE id = ?",
    )?
    .execute(params![now.0, row])?;
    db.prepare_cached("DELETE FROM head_rows WHERE id = ?")?
        .execute([row])?;
    Ok(())
}

/// Forgets evicted packages, those evicted first before others, until the rest takes at most `most`
/// bytes. Returns their number.
pub(super) fn forget(db: &Connection, most: u64) -> rusqlite::Result<u64> {
    let mut gone = 0;
    while super::usage::usage(db)?.folds > most {
        let forgotten = db
            .prepare_cached(
                "DELETE FROM mark_rows WHERE (key, name) IN
                     (SELECT key, name FROM mark_rows ORDER BY gone_at LIMIT ?)",
            )?
            .execute([AT_ONCE])?;
        if forgotten == 0 {
            break;
        }
        gone += forgotten as u64;
    }
    Ok(gone)
}
