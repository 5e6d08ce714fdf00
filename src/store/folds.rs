//! Keeping a package's versions short: what no record that is held lists is folded, and its
//! manifests go.

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

/// Folds of packages that are not held any more, deleted at a time.
const AT_ONCE: i64 = 1_000;
const SET_FOLD: &str = "UPDATE head_rows SET fold = ? WHERE key = ? AND name = ?";

/// The versions that a head changes: that were seen with another manifest, by the rows that are
/// `known` and by what is folded.
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

/// What records list.
#[derive(Default)]
struct Listed {
    manifests: HashSet<Hash>,
    /// By their keys.
    versions: HashSet<String>,
}

impl Listed {
    fn add(&mut self, ecosystem: &Ecosystem, releases: &[ReleaseEntry]) {
        self.manifests
            .extend(releases.iter().flat_map(|entry| &entry.manifests));
        self.versions
            .extend(releases.iter().map(|entry| entry.version.key(ecosystem)));
    }

    /// Whether the version is listed, also with another manifest than the one that was seen first:
    /// that one counts then.
    fn has(&self, first: &ReleaseEntry) -> bool {
        // What was seen first is kept by its key.
        self.versions.contains(first.version.as_str())
    }

    /// The manifests that are listed, or were seen first of a version that is.
    fn needed(&self, seen: &[ReleaseEntry]) -> HashSet<Hash> {
        let first = seen
            .iter()
            .filter(|first| self.has(first))
            .flat_map(|first| &first.manifests);
        first.chain(&self.manifests).copied().collect()
    }
}

/// Drops the manifests that neither the head, nor a page or fork that is held, lists, and folds
/// such versions.
pub(super) fn tidy(db: &Connection, row: i64, head: &Authorised<Head>) -> rusqlite::Result<()> {
    let (publisher, name) = (head.owner(), &head.package().name);
    let seen = first_seen(db, &publisher, name)?;
    let manifests: Vec<(i64, Hash)> = db
        .prepare_cached("SELECT id, hash FROM manifests WHERE head = ?")?
        .query_map([row], |row| Ok((row.get(0)?, hash(row, 1)?)))?
        .collect::<rusqlite::Result<_>>()?;
    let mut listed = Listed::default();
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

/// Folds the files of manifests that go, in the order in which these were seen. Of a release that
/// does not grow nothing is folded.
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

/// Files of a manifest that were seen with other bytes before their manifest went; each with the
/// part of that hash that is kept.
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

/// Puts a package out, but for its mark and what is folded into that.
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
    // Before their head, which says whose they are.
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

/// Forgets packages that are not held any more, those that went first before the others, until what
/// is left of them takes no more than `most` bytes. Returns how many.
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
