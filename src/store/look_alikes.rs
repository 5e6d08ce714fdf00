//! Finds packages whose names could be mistaken for those that this node's person knows.

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{
    Store,
    catalogue::publisher,
    damaged,
    listing::{need_of, skeleton_of},
};
use crate::{
    Result,
    domain::{
        name::{Handle, PackageId, PackageName, PublisherId},
        query::{KnownReason, LookAlike, Namesake},
    },
};

/// Most packages of one skeleton that are checked for being a dependency of a known one.
const MOST: i64 = 256;

impl Store {
    /// Returns a package that this node's person knows (an own one, one of a pinned publisher, or a
    /// dependency of these) and that `package` could be mistaken for; `None` if there is none or
    /// `package` is known itself.
    pub fn look_alike(&self, package: &PackageId) -> Result<Option<LookAlike>> {
        let own = self.own_publisher();
        self.read_together(|db| of(db, own, package))
    }

    /// As [`Self::look_alike`], for a package of this node's own publisher, which is known for that
    /// reason.
    pub fn look_alike_of_own(&self, name: &PackageName) -> Result<Option<LookAlike>> {
        let own = self.own_publisher();
        self.read_together(|db| known(db, own, own, name))
    }
}

impl Store {
    /// Returns the packages of exactly this name that belong to this node's own publisher, to
    /// `beside`, or to a pinned publisher; the own one comes first.
    pub fn namesakes(&self, name: &PackageName, beside: &PublisherId) -> Result<Vec<Namesake>> {
        let own = self.own_publisher().map(PublisherId::to_bytes);
        self.read_together(|db| {
            let mut held = db.prepare_cached(
                "WITH k (publisher) AS (SELECT ?1 WHERE ?1 IS NOT NULL UNION SELECT ?2 UNION SELECT publisher FROM pins)
                 SELECT k.publisher, p.name, p.handle, k.publisher IS ?1
                 FROM k CROSS JOIN keys n ON n.publisher = k.publisher
                 CROSS JOIN package_rows p ON p.key = n.id AND p.name = ?3
                 ORDER BY 4 DESC, k.publisher",
            )?;
            let rows = held.query_map(params![own, beside.to_bytes(), name.as_str()], |row| {
                let LookAlike { package, handle, .. } = look_alike(row, KnownReason::Pinned)?;
                Ok(Namesake { package, handle, own: row.get(3)? })
            })?;
            rows.collect()
        })
    }
}

pub(super) fn of(
    db: &Connection,
    own: Option<PublisherId>,
    package: &PackageId,
) -> rusqlite::Result<Option<LookAlike>> {
    match is_known(db, own, package)? {
        true => Ok(None),
        false => known(db, own, Some(package.owner), &package.name),
    }
}

/// Returns the known package that a package `name` of `publisher` could be mistaken for.
fn known(
    db: &Connection,
    own: Option<PublisherId>,
    publisher: Option<PublisherId>,
    name: &PackageName,
) -> rusqlite::Result<Option<LookAlike>> {
    let skeleton = skeleton_of(name.as_str());
    let key = publisher.map(PublisherId::to_bytes).unwrap_or_default();
    let own = own.map(PublisherId::to_bytes);
    // Look by key first: a person knows few keys, so no flood of look-alikes can crowd them out.
    let by_key = db
        .prepare_cached(
            "SELECT k.publisher, p.name, p.handle, k.own
             FROM (SELECT ?1 AS publisher, 1 AS own WHERE ?1 IS NOT NULL UNION SELECT DISTINCT publisher, 0 FROM pins) k
             CROSS JOIN keys n ON n.publisher = k.publisher
             CROSS JOIN package_rows p ON p.skeleton = ?2 AND p.key = n.id
             WHERE NOT (k.publisher = ?3 AND p.name = ?4)
             ORDER BY k.own DESC, p.name <> ?4 LIMIT 1",
        )?
        .query_row(params![own, skeleton, key, name.as_str()], |row| {
            let why = if row.get(3)? { KnownReason::Own } else { KnownReason::Pinned };
            look_alike(row, why)
        })
        .optional()?;
    if by_key.is_some() {
        return Ok(by_key);
    }
    let mut alike = db.prepare_cached(
        "SELECT publisher, name, handle FROM packages
         WHERE skeleton = ? AND popularity > 0 AND NOT (publisher = ? AND name = ?) LIMIT ?",
    )?;
    let mut rows = alike.query(params![skeleton, key, name.as_str(), MOST])?;
    while let Some(row) = rows.next()? {
        let found = look_alike(row, KnownReason::Needed)?;
        if is_needed(db, own.as_deref(), &found.package)? {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

fn look_alike(row: &Row<'_>, why: KnownReason) -> rusqlite::Result<LookAlike> {
    let (name, handle): (String, Option<String>) = (row.get(1)?, row.get(2)?);
    let name = name.parse().map_err(|_| damaged(1, "name"))?;
    let handle: Option<Handle> = handle
        .map(|handle| handle.parse())
        .transpose()
        .map_err(|_| damaged(2, "handle"))?;
    Ok(LookAlike {
        package: PackageId {
            owner: publisher(row, 0)?,
            name,
        },
        handle,
        why,
    })
}

/// Returns true if this node's person knows the package.
fn is_known(
    db: &Connection,
    own: Option<PublisherId>,
    package: &PackageId,
) -> rusqlite::Result<bool> {
    let key = package.owner.to_bytes();
    if own == Some(package.owner)
        || db
            .prepare_cached("SELECT 1 FROM pins WHERE publisher = ?")?
            .exists([key])?
    {
        return Ok(true);
    }
    is_needed(db, own.map(PublisherId::to_bytes).as_deref(), package)
}

/// Returns true if an own package, or one of a pinned publisher, depends on it.
fn is_needed(db: &Connection, own: Option<&[u8]>, package: &PackageId) -> rusqlite::Result<bool> {
    db.prepare_cached(
        "SELECT 1 FROM dependents d JOIN packages p ON p.id = d.package
         WHERE d.need = ?1 AND (p.publisher = ?2 OR p.publisher IN (SELECT publisher FROM pins)) LIMIT 1",
    )?
    .exists(params![need_of(package), own])
}
