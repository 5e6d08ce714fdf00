//! Reads heads, pages and manifests from their rows.

use std::{borrow::Cow, collections::HashSet};

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{FEW_UNKNOWN, RawHead, StoredHead};
use crate::{
    domain::{
        hash::Hash,
        manifest::Manifest,
        name::{PackageName, PublisherId},
        record::{Authorised, Head, HeadMark, Page},
        release::ReleaseEntry,
        time::Timestamp,
    },
    store::{damaged, pack::unpack},
};

pub(in crate::store) fn mark(
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

/// Returns the number of a publisher in rows, assigning one if it has none.
pub(in crate::store) fn key_of(db: &Connection, publisher: &PublisherId) -> rusqlite::Result<i64> {
    let id = publisher.to_bytes();
    let known = db
        .prepare_cached("SELECT id FROM keys WHERE publisher = ?")?
        .query_row([&id], |row| row.get(0))
        .optional()?;
    match known {
        Some(key) => Ok(key),
        None => db
            .prepare_cached("INSERT INTO keys (publisher) VALUES (?)")?
            .insert([id]),
    }
}

/// Returns the row of the stored head.
pub(in crate::store) fn head_row(
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

pub(in crate::store) fn first_seen(
    db: &Connection,
    publisher: &PublisherId,
    name: &PackageName,
) -> rusqlite::Result<Vec<ReleaseEntry>> {
    let mut statement = db.prepare_cached(
        "SELECT version, manifest FROM releases WHERE publisher = ? AND name = ? ORDER BY \
         version, nth",
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

/// As [`first_seen`], but only for the versions that a head lists and those that one of its
/// manifests is known as. Nothing else can conflict with it, and in a package with many releases
/// this is much less.
pub(in crate::store) fn seen_of(
    db: &Connection,
    head: &Authorised<Head>,
) -> rusqlite::Result<Vec<ReleaseEntry>> {
    let (publisher, name) = (head.owner(), &head.package().name);
    let key = publisher.to_bytes();
    let mut of_version = db.prepare_cached(
        "SELECT manifest FROM releases WHERE publisher = ? AND name = ? AND version = ? ORDER BY \
         nth",
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
        // Each may be known as another version's manifest.
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

pub(in crate::store) fn held_head(
    db: &Connection,
    publisher: &PublisherId,
    name: &PackageName,
) -> rusqlite::Result<Option<StoredHead>> {
    db.prepare_cached(
        "SELECT envelope, received_at, confirmed_at, own, confirmed_by FROM heads WHERE publisher \
         = ? AND name = ?",
    )?
    .query_row(params![publisher.to_bytes(), name.as_str()], stored_head)
    .optional()
}

pub(in crate::store) fn stored_head(row: &Row<'_>) -> rusqlite::Result<StoredHead> {
    Ok(StoredHead {
        head: signed(row, 0)?,
        received_at: Timestamp(row.get(1)?),
        confirmed_at: row.get::<_, Option<u64>>(2)?.map(Timestamp),
        own: row.get(3)?,
        confirmed_by: row.get::<_, u32>(4)? as usize,
    })
}

pub(in crate::store) fn has_manifest(db: &Connection, hash: &Hash) -> rusqlite::Result<bool> {
    db.prepare_cached("SELECT 1 FROM manifests WHERE hash = ?")?
        .exists([hash.0])
}

pub(in crate::store) fn held_manifest(
    db: &Connection,
    hash: &Hash,
) -> rusqlite::Result<Option<Authorised<Manifest>>> {
    db.prepare_cached("SELECT envelope FROM manifests WHERE hash = ?")?
        .query_row([hash.0], |row| signed(row, 0))
        .optional()
}

pub(in crate::store) fn held_page(
    db: &Connection,
    hash: &Hash,
) -> rusqlite::Result<Option<Authorised<Page>>> {
    db.prepare_cached("SELECT envelope FROM pages WHERE hash = ?")?
        .query_row([hash.0], |row| signed(row, 0))
        .optional()
}

/// Verifies a stored envelope again: a disk may return other bytes, while the type promises a
/// verified record.
pub(in crate::store) fn signed<T: crate::domain::record::Owned>(
    row: &Row<'_>,
    column: usize,
) -> rusqlite::Result<Authorised<T>> {
    let bytes = unpack(row.get_ref(column)?.as_blob()?);
    bytes
        .and_then(|bytes| Authorised::verify(&bytes).ok())
        .ok_or_else(|| damaged(column, "envelope"))
}

/// Reads the signed envelopes of a head and of its manifest.
pub(super) fn raw_head(row: &Row<'_>) -> rusqlite::Result<RawHead> {
    let raw = |held: &[u8]| {
        let envelope = unpack(held).map(Cow::into_owned);
        envelope.ok_or_else(|| damaged(0, "envelope"))
    };
    let manifest = row.get_ref(1)?.as_blob_or_null()?.map(raw);
    Ok((raw(row.get_ref(0)?.as_blob()?)?, manifest.transpose()?))
}

pub(in crate::store) fn hash(row: &Row<'_>, column: usize) -> rusqlite::Result<Hash> {
    row.get::<_, [u8; 32]>(column).map(Hash)
}

pub(in crate::store) fn publisher(row: &Row<'_>, column: usize) -> rusqlite::Result<PublisherId> {
    PublisherId::from_bytes(row.get_ref(column)?.as_blob()?)
        .ok_or_else(|| damaged(column, "publisher"))
}
