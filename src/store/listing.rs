//! The index entry of a package: its row, its words, and its dependencies. Written with the head,
//! in one transaction.

use std::collections::{BTreeMap, HashSet};

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{
    Store,
    catalogue::{self, key_of},
};
use crate::{
    Result,
    domain::{
        hash::Hash,
        manifest::Manifest,
        name::{Handle, PackageId, PackageName, PublisherId},
        query::{Facet, fold, licenses, words},
        record::{Authorised, Head},
        release::ReleaseEntry,
        skeleton::skeleton,
        time::Timestamp,
    },
};

/// Every release is yanked.
pub(super) const YANKED: u8 = 1;
/// The release that it is listed by is deprecated. 2 was a flag of schema 12.
pub(super) const DEPRECATED: u8 = 4;

/// Prefix of every word in the `facets` column. A private-use character at which the index does not
/// split, and which `domain::query::words` does not treat as a letter, so that no search text can
/// contain it. It is repeated three times, so that the index has one prefix entry for all such
/// words of a package.
const MARK: &str = "\u{e000}\u{e000}\u{e000}";
/// The word of every package, and that of packages of which every release is yanked.
pub(super) const EVERY_WORD: &str = "\u{e000}\u{e000}\u{e000}a";
pub(super) const YANKED_WORD: &str = "\u{e000}\u{e000}\u{e000}y";
/// Most providers of a package that count.
const MAX_PROVIDERS: i64 = 255;
/// Popularity is ordered by dependents first, then by providers.
pub(super) const DEPENDENT: i64 = 256;
/// Dependencies counted in one transaction, so that other writers do not wait long.
const RECOUNTED: usize = 2_000;

/// Returns the word that stands for a label: a hash, because the index would split the label.
pub(super) fn facet_word(facet: Facet, value: &str) -> String {
    let hash = blake3::hash(fold(value).as_bytes()).to_hex();
    format!(
        "{MARK}{}{}",
        facet.key().get(..1).unwrap_or_default(),
        hash.get(..16).unwrap_or_default()
    )
}

/// Converts a word of an index of schema 12, whose facets began with one such character.
pub(super) fn mark_again(word: &str) -> String {
    match word.strip_prefix('\u{e000}') {
        Some(rest) => format!("{MARK}{rest}"),
        None => word.to_owned(),
    }
}

/// Returns a text as a number, by which rows refer to dependencies: the text would take most of the
/// database.
fn need(text: &str) -> i64 {
    let hash = blake3::hash(text.as_bytes());
    let first = hash.as_bytes().first_chunk().copied().unwrap_or_default();
    i64::from_be_bytes(first)
}

/// Returns the number by which other packages depend on a package. It is made from the key only,
/// because a handle can be claimed by any key.
pub(super) fn need_of(id: &PackageId) -> i64 {
    need(&id.to_string())
}

/// Returns the number by which names that look alike are found.
pub(super) fn skeleton_of(name: &str) -> i64 {
    need(&skeleton(name))
}

/// One package as the index stores it.
pub(super) struct Listing<'a> {
    pub package: &'a PackageId,
    pub handle: Option<&'a Handle>,
    pub manifest: &'a Manifest,
    /// Hash of its manifest.
    pub hash: Hash,
    pub signed_at: Timestamp,
    pub flags: u8,
}

impl<'a> Listing<'a> {
    pub fn of(
        head: &'a Authorised<Head>,
        manifest: &'a Authorised<Manifest>,
        entry: &ReleaseEntry,
    ) -> Self {
        Self {
            package: head.package(),
            handle: head.handle.as_ref(),
            manifest,
            hash: manifest.hash(),
            signed_at: head.signed_at,
            flags: if entry.is_yanked() { YANKED } else { 0 }
                | if entry.deprecated.is_some() {
                    DEPRECATED
                } else {
                    0
                },
        }
    }

    /// Returns the words of its labels; `owner` is its publisher's id as text.
    fn facets(&self, owner: &str) -> String {
        let manifest = self.manifest;
        let mut words = vec![EVERY_WORD.to_owned()];
        let mut add = |facet, value: &str| words.push(facet_word(facet, value));
        manifest
            .categories
            .iter()
            .for_each(|value| add(Facet::Category, value));
        manifest
            .tags
            .iter()
            .for_each(|value| add(Facet::Tag, value));
        if let Some(license) = &manifest.license {
            add(Facet::License, license);
            licenses(license)
                .filter(|one| one != license)
                .for_each(|one| add(Facet::License, one));
        }
        add(Facet::Ecosystem, manifest.ecosystem.as_str());
        add(Facet::Publisher, owner);
        if let Some(handle) = self.handle {
            add(Facet::Publisher, handle.as_str());
        }
        if self.flags & YANKED != 0 {
            words.push(YANKED_WORD.to_owned());
        }
        words.join(" ")
    }
}

/// Returns a text in the form for the index: words separated by spaces.
fn as_words(text: &str) -> String {
    words(text).collect::<Vec<_>>().join(" ")
}

/// Separates labels in one column.
pub(super) const BETWEEN: char = '\n';

fn joined(labels: &[String]) -> String {
    labels.join("\n")
}

pub(super) fn list(db: &Connection, listing: &Listing<'_>) -> rusqlite::Result<()> {
    let Listing {
        package,
        handle,
        manifest,
        hash,
        signed_at,
        flags,
    } = listing;
    let (key, name) = (package.owner.to_bytes(), &package.name);
    let held: Option<(i64, Vec<u8>)> = db
        .prepare_cached("SELECT id, needs FROM packages WHERE publisher = ? AND name = ?")?
        .query_row(params![key, name.as_str()], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .optional()?;
    // A bare name means a package of the same owner, as imported packages use it.
    let beside = |dependency: &crate::domain::manifest::Dependency| {
        dependency.id_for_owner(package.owner, &manifest.ecosystem)
    };
    // Writing a key as text takes much arithmetic, and most dependencies are the same owner's.
    let owner = package.owner.to_string();
    let text = |id: &PackageId| match id.owner == package.owner {
        true => format!("{owner}/{}", id.name),
        false => id.to_string(),
    };
    let called = manifest.dependencies.iter().filter_map(beside);
    let needed: BTreeMap<i64, PackageId> = called.map(|id| (need(&text(&id)), id)).collect();
    let needs: Vec<u8> = needed.keys().flat_map(|need| need.to_be_bytes()).collect();
    let own = need(&text(package));
    let row = match &held {
        Some((row, _)) => {
            db.prepare_cached("DELETE FROM words WHERE rowid = ?")?
                .execute([row])?;
            db.prepare_cached(
                "UPDATE package_rows SET signed_at = ?, flags = ?, ecosystem = ?, handle = ?, version = ?, title = ?,
                 summary = ?, categories = ?, tags = ?, license = ?, needs = ?,
                 manifest = (SELECT id FROM manifests WHERE hash = ?) WHERE id = ?",
            )?
            .execute(params![
                signed_at.0,
                flags,
                manifest.ecosystem.as_str(),
                handle.map(Handle::as_str),
                manifest.version.to_string(),
                manifest.title,
                manifest.summary(),
                joined(&manifest.categories),
                joined(&manifest.tags),
                manifest.license,
                needs,
                hash.0,
                row
            ])?;
            *row
        }
        None => {
            let dependents = count_dependents(db, own)?;
            db.prepare_cached(
                "INSERT INTO package_rows (key, name, popularity, signed_at, flags, ecosystem, handle, version, title,
                 summary, categories, tags, license, needs, manifest, skeleton)
                 VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, (SELECT id FROM manifests WHERE hash = ?), ?)",
            )?
            .insert(params![
                key_of(db, &package.owner)?,
                name.as_str(),
                dependents * DEPENDENT,
                signed_at.0,
                flags,
                manifest.ecosystem.as_str(),
                handle.map(Handle::as_str),
                manifest.version.to_string(),
                manifest.title,
                manifest.summary(),
                joined(&manifest.categories),
                joined(&manifest.tags),
                manifest.license,
                needs,
                hash.0,
                skeleton_of(name.as_str())
            ])?
        }
    };
    if held
        .as_ref()
        .map_or(!needs.is_empty(), |(_, before)| *before != needs)
    {
        if let Some((_, before)) = &held {
            forget_needs(db, row, before)?;
        }
        let mut depend =
            db.prepare_cached("INSERT OR IGNORE INTO dependents (need, package) VALUES (?, ?)")?;
        for (need, id) in &needed {
            depend.execute([need, &row])?;
            // One that is not listed yet is counted when it is.
            if let Some(package) = row_of(db, id)? {
                put_recount(db, *need, Some(package))?;
            }
        }
    }
    let labels = [manifest.categories.join(" "), manifest.tags.join(" ")].join(" ");
    let title = manifest.title.as_deref().unwrap_or_default();
    db.prepare_cached("INSERT INTO words (rowid, name, title, description, labels, facets) VALUES (?, ?, ?, ?, ?, ?)")?
        .execute(params![
            row,
            as_words(name.bare()),
            as_words(title),
            as_words(&manifest.description),
            as_words(&labels),
            listing.facets(&owner)
        ])?;
    Ok(())
}

fn count_dependents(db: &Connection, need: i64) -> rusqlite::Result<i64> {
    db.prepare_cached("SELECT count(*) FROM dependents WHERE need = ?")?
        .query_row([need], |row| row.get(0))
}

/// Returns the row of a listed package.
fn row_of(db: &Connection, id: &PackageId) -> rusqlite::Result<Option<i64>> {
    db.prepare_cached("SELECT id FROM packages WHERE publisher = ? AND name = ?")?
        .query_row(params![id.owner.to_bytes(), id.name.as_str()], |row| {
            row.get(0)
        })
        .optional()
}

/// Has the dependents of a package counted later. `package` is its row, if it is known.
fn put_recount(db: &Connection, need: i64, package: Option<i64>) -> rusqlite::Result<()> {
    db.prepare_cached(
        "INSERT INTO recount (need, package) VALUES (?, ?)
         ON CONFLICT DO UPDATE SET package = excluded.package WHERE package IS NULL",
    )?
    .execute(params![need, package])
    .map(drop)
}

fn forget_needs(db: &Connection, row: i64, needs: &[u8]) -> rusqlite::Result<()> {
    let needs = needs
        .chunks_exact(8)
        .filter_map(|bytes| bytes.try_into().ok().map(i64::from_be_bytes));
    for need in needs {
        db.prepare_cached("DELETE FROM dependents WHERE need = ? AND package = ?")?
            .execute([need, row])?;
        put_recount(db, need, None)?;
    }
    Ok(())
}

pub(super) fn unlist(
    db: &Connection,
    publisher: &PublisherId,
    name: &PackageName,
) -> rusqlite::Result<()> {
    let row: Option<(i64, Vec<u8>)> = db
        .prepare_cached(
            "DELETE FROM package_rows WHERE key = (SELECT id FROM keys WHERE publisher = ?) AND name = ?
             RETURNING id, needs",
        )?
        .query_row(params![publisher.to_bytes(), name.as_str()], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .optional()?;
    let Some((row, needs)) = row else {
        return Ok(());
    };
    forget_needs(db, row, &needs)?;
    db.prepare_cached("DELETE FROM words WHERE rowid = ?")?
        .execute([row])?;
    db.prepare_cached("DELETE FROM providers WHERE package = ?")?
        .execute([row])?;
    Ok(())
}

impl Store {
    /// Counts the dependents of packages whose dependents changed. Returns true if there was
    /// anything to count. A package named by many changes is counted once.
    pub async fn recount(&self) -> Result<bool> {
        let mut counted = false;
        loop {
            let left = self.write(recount).await?;
            counted |= left > 0;
            if left < RECOUNTED {
                return Ok(counted);
            }
        }
    }

    /// Notes that a peer has the content of a package.
    pub async fn saw_provider(&self, package: &PackageId, peer: libp2p::PeerId) -> Result<()> {
        let package = package.clone();
        self.write_unsynced(move |db| {
            let Some(row) = row_of(db, &package)? else {
                return Ok(());
            };
            let seen: i64 = db
                .prepare_cached("SELECT count(*) FROM providers WHERE package = ?")?
                .query_row([row], |row| row.get(0))?;
            if seen < MAX_PROVIDERS {
                let new = db
                    .prepare_cached(
                        "INSERT OR IGNORE INTO providers (package, peer) VALUES (?, ?)",
                    )?
                    .execute(params![row, peer.to_bytes()])?;
                db.prepare_cached(
                    "UPDATE package_rows SET popularity = popularity + ? WHERE id = ?",
                )?
                .execute([new as i64, row])?;
            }
            Ok(())
        })
        .await
    }
}

/// Counts the dependents of some of the packages whose dependents changed. Returns the number of
/// these packages.
fn recount(db: &Connection) -> rusqlite::Result<usize> {
    let changed = db
        .prepare_cached("SELECT need, package FROM recount ORDER BY need LIMIT ?")?
        .query_map([RECOUNTED as i64], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<rusqlite::Result<Vec<(i64, Option<i64>)>>>()?;
    let Some((last, _)) = changed.last() else {
        return Ok(0);
    };
    db.prepare_cached("DELETE FROM recount WHERE need <= ?")?
        .execute([last])?;
    let mut unknown = HashSet::new();
    for (need, package) in &changed {
        match package {
            Some(row) => recount_one(db, *need, *row)?,
            None => drop(unknown.insert(*need)),
        }
    }
    if !unknown.is_empty() {
        recount_unknown(db, &unknown)?;
    }
    Ok(changed.len())
}

/// Recounts the dependents of packages whose rows are not known, by reading all packages, which is
/// rare.
fn recount_unknown(db: &Connection, needs: &HashSet<i64>) -> rusqlite::Result<()> {
    let mut found = Vec::new();
    let mut all = db.prepare_cached("SELECT id, publisher, name FROM packages")?;
    let mut rows = all.query([])?;
    while let Some(row) = rows.next()? {
        let need = need_of_row(row)?.filter(|need| needs.contains(need));
        if let Some(need) = need {
            found.push((need, row.get(0)?));
        }
    }
    found
        .into_iter()
        .try_for_each(|(need, row)| recount_one(db, need, row))
}

/// Returns the number that dependents have for a package, from its row, key and name.
fn need_of_row(row: &Row<'_>) -> rusqlite::Result<Option<i64>> {
    let Ok(name) = row.get_ref(2)?.as_str()?.parse() else {
        return Ok(None);
    };
    let owner = catalogue::publisher(row, 1)?;
    Ok(Some(need_of(&PackageId { owner, name })))
}

fn recount_one(db: &Connection, need: i64, package: i64) -> rusqlite::Result<()> {
    let held = db
        .prepare_cached("SELECT id, publisher, name, popularity FROM packages WHERE id = ?")?
        .query_row([package], |row| Ok((need_of_row(row)?, row.get(3)?)))
        .optional()?;
    // It may be gone, and another package may have its row.
    let Some((Some(of), popularity)) = held else {
        return Ok(());
    };
    let popularity: i64 = popularity;
    if of != need {
        return Ok(());
    }
    let counted = count_dependents(db, need)? * DEPENDENT + popularity % DEPENDENT;
    if counted != popularity {
        db.prepare_cached("UPDATE package_rows SET popularity = ? WHERE id = ?")?
            .execute([counted, package])?;
    }
    Ok(())
}
