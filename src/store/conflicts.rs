//! Conflicts, stored with the signed evidence: noted, listed and exported. Bounded, with the oldest
//! dropped first.

use std::collections::{HashMap, HashSet};

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{
    Store,
    catalogue::{held_head, held_manifest, held_page, listing_files, publisher, signed},
    damaged, folds,
};
use crate::{
    RegistryError, Result,
    domain::{
        conflict::{
            Case, ConflictId, ConflictList, ConflictSide, Evidence, InForce, Kind, MAX_SIDES,
            Proven, SignedBytes, Statement,
        },
        fold,
        hash::Hash,
        manifest::{File, Manifest},
        name::{Handle, PackageId, PackageName, PublisherId},
        record::{Authorised, Head, Page},
        release::{self, ReleaseEntry, VersionConflict},
        time::Timestamp,
        trust::{MAX_CLAIMANTS, Trust},
        version::VersionText,
    },
};

/// Most changed versions and forks kept of one publisher, and in all. Each takes at most 44 KiB.
const MOST_OF_ONE: i64 = 32;
/// Most bytes of these of one publisher, so that it cannot fill a megabyte by changing its
/// versions.
const MOST_BYTES_OF_ONE: i64 = 512 * 1_024;
const MOST: i64 = 500;
/// Most changed versions kept of one head: more prove nothing more.
const MOST_OF_HEAD: usize = 8;
/// Most handles remembered as claimed by several keys.
const MOST_HANDLES: i64 = 200;
/// Most pages searched for a version.
const MOST_PAGES: usize = 32;

/// A signed record, and the fields shown in lists.
struct Signature {
    envelope: Vec<u8>,
    seq: Option<u64>,
    at: Option<Timestamp>,
}

impl Signature {
    fn of(head: &Authorised<Head>) -> Self {
        Self {
            envelope: head.envelope().to_vec(),
            seq: Some(head.seq),
            at: Some(head.signed_at),
        }
    }
}

/// Records that a head lists other manifests for versions than those first seen.
pub(super) fn note_versions(
    db: &Connection,
    head: &Authorised<Head>,
    changed: &[VersionConflict],
    manifests: &[&Authorised<Manifest>],
    now: Timestamp,
) -> rusqlite::Result<()> {
    let publisher = head.owner();
    for VersionConflict {
        version,
        kept,
        offered,
    } in changed.iter().take(MOST_OF_HEAD)
    {
        let version = version.key(&head.ecosystem);
        let first = statement_of(db, &publisher, &head.package().name, &version, kept)?;
        let offered_manifest = manifests
            .iter()
            .find(|manifest| manifest.hash() == *offered);
        let manifests = [
            held_manifest(db, kept)?,
            offered_manifest.map(|manifest| (*manifest).clone()),
        ];
        note(
            db,
            Kind::Version,
            head,
            &version,
            [kept, offered],
            first,
            manifests,
            now,
        )?;
    }
    forget(db, changed.len().saturating_sub(MOST_OF_HEAD))?;
    make_room(db, &publisher)
}

/// Records that a manifest lists files with other bytes than a held or folded manifest of the same
/// version, and notes which of the two was seen first. `known` lists what was seen of the package,
/// in that order; a manifest that is not in it counts as seen now.
pub(super) fn note_files(
    db: &Connection,
    handle: Option<&Handle>,
    manifest: &Authorised<Manifest>,
    known: &[ReleaseEntry],
    now: Timestamp,
) -> rusqlite::Result<()> {
    let package = manifest.package();
    let changed = changed_files(db, manifest, known)?;
    let mut folded = folds::changed_files(db, manifest)?;
    folded.retain(|(file, _)| !changed.iter().any(|(other, ..)| other == file));
    let both = changed
        .iter()
        .take(MOST_OF_HEAD)
        .map(|(file, other, other_first)| {
            let (kept, offered) = if *other_first {
                (other, manifest)
            } else {
                (manifest, other)
            };
            (file, kept.hash(), Some(kept), offered)
        });
    let one_side = folded
        .iter()
        .take(MOST_OF_HEAD)
        .map(|(file, kept)| (file, *kept, None, manifest));
    for (file, kept, kept_manifest, offered) in both.chain(one_side) {
        db.prepare_cached(
            "INSERT OR IGNORE INTO conflicts (kind, publisher, name, version, handle, kept, offered, seen_at, kept_at, offered_at,
                 kept_manifest, offered_manifest, file) VALUES ('file', ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        )?
        .execute(params![
            package.owner.to_bytes(),
            package.name.as_str(),
            manifest.version.as_str(),
            handle.map(Handle::as_str),
            kept.0,
            offered.hash().0,
            now.0,
            kept_manifest.map(|kept| kept.signed_at.0),
            offered.signed_at.0,
            kept_manifest.map(|kept| &kept.envelope()[..]),
            &offered.envelope()[..],
            file,
        ])?;
    }
    match changed.is_empty() && folded.is_empty() {
        true => Ok(()),
        false => make_room(db, &package.owner),
    }
}

/// Returns the manifests of a package that change a file whose first bytes are no longer held.
pub(super) fn unlisted(db: &Connection, package: &PackageId) -> rusqlite::Result<HashSet<Hash>> {
    db.prepare_cached(
        "SELECT offered FROM conflicts WHERE kind = 'file' AND kept_manifest IS NULL AND \
         publisher = ? AND name = ?",
    )?
    .query_map(
        params![package.owner.to_bytes(), package.name.as_str()],
        |row| row.get(0).map(Hash),
    )?
    .collect()
}

/// Returns the files that a manifest and another held manifest of the version list with different
/// bytes, each with the other manifest, and true if that was seen first.
pub(super) fn changed_files(
    db: &Connection,
    manifest: &Authorised<Manifest>,
    known: &[ReleaseEntry],
) -> rusqlite::Result<Vec<(String, Authorised<Manifest>, bool)>> {
    let (ecosystem, mut changed) = (manifest.package().name.ecosystem(), Vec::new());
    let Some(entry) =
        release::find(ecosystem, known, &manifest.version).filter(|_| ecosystem.grows())
    else {
        return Ok(changed);
    };
    let at = entry
        .manifests
        .iter()
        .position(|one| *one == manifest.hash());
    let names = manifest.files.iter().map(|file| file.name.as_str());
    let mut others = listing_files(db, manifest.package(), &manifest.version, names)?;
    others.remove(&manifest.hash());
    for (nth, hash) in entry
        .manifests
        .iter()
        .enumerate()
        .filter(|(_, hash)| others.contains(hash))
    {
        let Some(other) =
            held_manifest(db, hash)?.filter(|other| other.package() == manifest.package())
        else {
            continue;
        };
        let differs = |file: &&File| {
            other
                .files
                .iter()
                .any(|one| one.name == file.name && one.root != file.root)
        };
        let files: Vec<String> = manifest
            .files
            .iter()
            .filter(differs)
            .map(|file| file.name.clone())
            .collect();
        changed.extend(
            files
                .into_iter()
                .map(|file| (file, other.clone(), at.is_none_or(|at| nth < at))),
        );
    }
    Ok(changed)
}

/// Returns the manifests of a package that change a file first seen in another manifest.
pub(super) fn overruled(db: &Connection, package: &PackageId) -> rusqlite::Result<HashSet<Hash>> {
    db.prepare_cached(
        "SELECT offered FROM conflicts WHERE kind = 'file' AND publisher = ? AND name = ?",
    )?
    .query_map(
        params![package.owner.to_bytes(), package.name.as_str()],
        |row| row.get(0).map(Hash),
    )?
    .collect()
}

/// Records that a head lacks manifests that its predecessor lists. `page` is the page created
/// between the two.
pub(super) fn note_removed(
    db: &Connection,
    before: &Authorised<Head>,
    head: &Authorised<Head>,
    page: Option<&Authorised<Page>>,
    gone: &[(VersionText, Hash)],
    now: Timestamp,
) -> rusqlite::Result<()> {
    let package = head.package();
    for (version, manifest) in gone.iter().take(MOST_OF_HEAD) {
        let held = held_manifest(db, manifest)?;
        db.prepare_cached(
            "INSERT OR IGNORE INTO conflicts (kind, publisher, name, version, handle, kept, offered, seen_at, kept_seq, kept_at,
                 offered_seq, offered_at, kept_by, offered_by, kept_manifest, page)
             VALUES ('removed', ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        )?
        .execute(params![
            package.owner.to_bytes(),
            package.name.as_str(),
            version.as_str(),
            head.handle.as_ref().map(Handle::as_str),
            manifest.0,
            head.hash().0,
            now.0,
            before.seq,
            before.signed_at.0,
            head.seq,
            head.signed_at.0,
            &before.envelope()[..],
            &head.envelope()[..],
            held.map(|held| held.envelope().to_vec()),
            page.filter(|_| before.older != head.older).map(|page| page.envelope().to_vec()),
        ])?;
    }
    forget(db, gone.len().saturating_sub(MOST_OF_HEAD))?;
    make_room(db, &package.owner)
}

/// Completes records of changed versions that lack a head with the first manifest, if this head
/// lists it.
pub(super) fn complete_versions(db: &Connection, head: &Authorised<Head>) -> rusqlite::Result<()> {
    let key = head.owner().to_bytes();
    let one_sided = db
        .prepare_cached(
            "SELECT 1 FROM conflicts WHERE kind = 'version' AND publisher = ? AND name = ? AND \
             kept_by IS NULL",
        )?
        .exists(params![key, head.package().name.as_str()])?;
    if !one_sided {
        return Ok(());
    }
    let mut complete = db.prepare_cached(
        "UPDATE conflicts SET kept_by = ?, kept_seq = ?, kept_at = ?
         WHERE kind = 'version' AND publisher = ? AND name = ? AND version = ? AND kept = ? AND kept_by IS NULL",
    )?;
    // Of a folded version only the first bytes of the hash were known; the full hash is part of the
    // case's id.
    let mut whole = db.prepare_cached(
        "UPDATE OR IGNORE conflicts SET kept = ?
         WHERE kind = 'version' AND publisher = ? AND name = ? AND version = ? AND kept = ? AND kept_by IS NULL",
    )?;
    let Signature { envelope, seq, at } = Signature::of(head);
    for (entry, manifest) in head
        .releases
        .iter()
        .filter_map(|entry| Some((entry, entry.first()?)))
    {
        let at = at.map(|at| at.0);
        let version = entry.version.key(&head.ecosystem);
        let folded = fold::folded(&manifest).0;
        whole.execute(params![
            manifest.0,
            key,
            head.package().name.as_str(),
            version,
            folded
        ])?;
        complete.execute(params![
            envelope,
            seq,
            at,
            key,
            head.package().name.as_str(),
            version,
            manifest.0
        ])?;
    }
    Ok(())
}

/// Records that two heads have the same number. `winner` is the one that counts here.
pub(super) fn note_fork(
    db: &Connection,
    winner: &Authorised<Head>,
    loser: &Authorised<Head>,
    now: Timestamp,
) -> rusqlite::Result<()> {
    if winner.seq != loser.seq || winner.hash() == loser.hash() {
        return Ok(());
    }
    let publisher = winner.owner();
    // The winner may change over time, but it remains the same case.
    let known = db
        .prepare_cached(
            "SELECT 1 FROM conflicts WHERE kind = 'fork' AND publisher = ? AND name = ? AND kept \
             = ? AND offered = ?",
        )?
        .exists(params![
            publisher.to_bytes(),
            winner.package().name.as_str(),
            loser.hash().0,
            winner.hash().0
        ])?;
    if known {
        return Ok(());
    }
    let hashes = [&winner.hash(), &loser.hash()];
    note(
        db,
        Kind::Fork,
        loser,
        "",
        hashes,
        Some(Signature::of(winner)),
        [None, None],
        now,
    )?;
    make_room(db, &publisher)
}

/// Records that several keys claim a handle, if the head that was just accepted is the reason.
/// `key` is the number of its owner.
pub(super) fn note_handle(
    db: &Connection,
    head: &Authorised<Head>,
    key: i64,
    now: Timestamp,
) -> rusqlite::Result<()> {
    let Some(handle) = &head.handle else {
        return Ok(());
    };
    // Two index lookups that skip the key's own rows, of which there may be very many.
    let others = db
        .prepare_cached(
            "SELECT EXISTS (SELECT 1 FROM head_rows WHERE handle = ?1 AND key < ?2)
                 OR EXISTS (SELECT 1 FROM head_rows WHERE handle = ?1 AND key > ?2)",
        )?
        .query_row(params![handle.as_str(), key], |row| row.get::<_, bool>(0))?;
    if !others {
        return Ok(());
    }
    let noted = db
        .prepare_cached(
            "INSERT OR IGNORE INTO conflicts (kind, publisher, name, version, kept, offered, seen_at)
             VALUES ('handle', x'', ?, '', x'', x'', ?)",
        )?
        .execute(params![handle.as_str(), now.0])?;
    if noted > 0 {
        // Those that matter to this node's person stay.
        let gone = db
            .prepare_cached(
                "DELETE FROM conflicts WHERE id IN (
                     SELECT id FROM conflicts WHERE kind = 'handle'
                     ORDER BY name IN (SELECT handle FROM pins UNION SELECT handle FROM heads WHERE own = 1) DESC, id DESC
                     LIMIT -1 OFFSET ?)",
            )?
            .execute([MOST_HANDLES])?;
        forget(db, gone)?;
    }
    Ok(())
}

#[expect(clippy::too_many_arguments, reason = "a row has many columns")]
fn note(
    db: &Connection,
    kind: Kind,
    head: &Authorised<Head>,
    version: &str,
    [kept, offered]: [&Hash; 2],
    first: Option<Signature>,
    manifests: [Option<Authorised<Manifest>>; 2],
    now: Timestamp,
) -> rusqlite::Result<()> {
    let then = Signature::of(head);
    let [kept_manifest, offered_manifest] =
        manifests.map(|manifest| manifest.map(|one| one.envelope().to_vec()));
    // A record that was not held when the conflict was first seen may be held now.
    db.prepare_cached(
        "INSERT INTO conflicts (kind, publisher, name, version, handle, kept, offered, seen_at, kept_seq, kept_at,
             offered_seq, offered_at, kept_by, offered_by, kept_manifest, offered_manifest)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
         ON CONFLICT DO UPDATE SET
             kept_seq = iif(kept_by IS NULL, excluded.kept_seq, kept_seq),
             kept_at = iif(kept_by IS NULL, excluded.kept_at, kept_at),
             kept_by = coalesce(kept_by, excluded.kept_by),
             kept_manifest = coalesce(kept_manifest, excluded.kept_manifest),
             offered_manifest = coalesce(offered_manifest, excluded.offered_manifest)",
    )?
    .execute(params![
        word(kind),
        head.owner().to_bytes(),
        head.package().name.as_str(),
        version,
        head.handle.as_ref().map(Handle::as_str),
        kept.0,
        offered.0,
        now.0,
        first.as_ref().and_then(|first| first.seq),
        first.as_ref().and_then(|first| first.at).map(|at| at.0),
        then.seq,
        then.at.map(|at| at.0),
        first.map(|first| first.envelope),
        then.envelope,
        kept_manifest,
        offered_manifest,
    ])?;
    Ok(())
}

/// Drops records of one publisher, and then of all, beyond the limits: first forks, which are
/// mostly honest mistakes, then the oldest; those of pinned publishers go last.
fn make_room(db: &Connection, publisher: &PublisherId) -> rusqlite::Result<()> {
    let of_one = db
        .prepare_cached(
            "DELETE FROM conflicts WHERE id IN (
                 SELECT id FROM conflicts WHERE kind != 'handle' AND publisher = ?
                 ORDER BY kind != 'fork' DESC, id DESC LIMIT -1 OFFSET ?)",
        )?
        .execute(params![publisher.to_bytes(), MOST_OF_ONE])?;
    let of_one = of_one
        + db.prepare_cached(&format!(
            "DELETE FROM conflicts WHERE id IN (
                 SELECT id FROM (SELECT id, sum({SIGNED_BYTES}) OVER (ORDER BY kind != 'fork' DESC, id DESC) AS bytes
                 FROM conflicts WHERE kind != 'handle' AND publisher = ?) WHERE bytes > ?)"
        ))?
        .execute(params![publisher.to_bytes(), MOST_BYTES_OF_ONE])?;
    let of_all = db
        .prepare_cached(
            "DELETE FROM conflicts WHERE id IN (
                 SELECT id FROM conflicts WHERE kind != 'handle'
                 ORDER BY publisher IN (SELECT publisher FROM pins) DESC, kind != 'fork' DESC, id DESC
                 LIMIT -1 OFFSET ?)",
        )?
        .execute([MOST])?;
    forget(db, of_one + of_all)
}

/// The SQL expression for the bytes of a row's signed records.
const SIGNED_BYTES: &str = "coalesce(length(kept_by), 0) + coalesce(length(offered_by), 0) \
                            + coalesce(length(kept_manifest), 0) + \
                            coalesce(length(offered_manifest), 0) \
                            + coalesce(length(page), 0)";

/// Drops records until the rest takes at most `most` bytes, for a catalogue that is smaller than
/// the conflicts may be.
pub(super) fn shrink(db: &Connection, most: u64) -> rusqlite::Result<()> {
    let gone = db
        .prepare_cached(&format!(
            "DELETE FROM conflicts WHERE id IN (
                 SELECT id FROM (SELECT id, sum({SIGNED_BYTES} + 256) OVER (
                     ORDER BY publisher IN (SELECT publisher FROM pins) DESC, kind != 'fork' DESC, id DESC) AS bytes
                 FROM conflicts) WHERE bytes > ?)"
        ))?
        .execute([i64::try_from(most).unwrap_or(i64::MAX)])?;
    forget(db, gone)
}

fn forget(db: &Connection, count: usize) -> rusqlite::Result<()> {
    if count > 0 {
        db.prepare_cached(
            "INSERT INTO forgotten (what, count) VALUES ('conflicts', ?) ON CONFLICT DO UPDATE \
             SET count = count + excluded.count",
        )?
        .execute([count as i64])?;
    }
    Ok(())
}

/// Returns a held head or page that lists the version with this manifest.
fn statement_of(
    db: &Connection,
    publisher: &PublisherId,
    name: &PackageName,
    version: &str,
    manifest: &Hash,
) -> rusqlite::Result<Option<Signature>> {
    let Some(held) = held_head(db, publisher, name)? else {
        return Ok(None);
    };
    let lists = |releases: &[crate::domain::release::ReleaseEntry]| {
        releases
            .iter()
            .any(|entry| entry.lists(manifest) && entry.version.key(name.ecosystem()) == version)
    };
    if lists(&held.head.releases) {
        return Ok(Some(Signature::of(&held.head)));
    }
    let mut next = held.head.older;
    for _ in 0..MOST_PAGES {
        let Some(page) = next.map(|hash| held_page(db, &hash)).transpose()?.flatten() else {
            break;
        };
        // The link is only a hash and does not name the owner of the page.
        if page.owner() == *publisher && page.package().name == *name && lists(&page.releases) {
            return Ok(Some(Signature {
                envelope: page.envelope().to_vec(),
                seq: None,
                at: None,
            }));
        }
        next = page.older;
    }
    let mut losers =
        db.prepare_cached("SELECT envelope FROM forks WHERE publisher = ? AND name = ?")?;
    let mut rows = losers.query(params![publisher.to_bytes(), name.as_str()])?;
    while let Some(row) = rows.next()? {
        let loser: Authorised<Head> = signed(row, 0)?;
        if lists(&loser.releases) {
            return Ok(Some(Signature::of(&loser)));
        }
    }
    Ok(None)
}

impl Store {
    /// Returns all cases, those seen last first.
    pub fn cases(&self) -> Result<ConflictList> {
        self.read_together(|db| {
            let said = PersonDecisions::of(db, self.own_publisher())?;
            let mut statement =
                db.prepare_cached(&format!("SELECT {COLUMNS} FROM conflicts ORDER BY id DESC"))?;
            let mut rows = statement.query([])?;
            let mut cases = Vec::new();
            while let Some(row) = rows.next()? {
                cases.extend(case(db, row, &said)?.map(|(_, case)| case));
            }
            let forgotten = db
                .prepare_cached("SELECT count FROM forgotten WHERE what = 'conflicts'")?
                .query_row([], |row| row.get(0))
                .optional()?;
            Ok(ConflictList {
                cases,
                forgotten: forgotten.unwrap_or(0),
            })
        })
    }

    /// Returns up to `most` cases noted after the one of this number, each with its number.
    pub fn cases_since(&self, number: i64, most: usize) -> Result<Vec<(i64, Option<Case>)>> {
        self.read_together(|db| {
            let said = PersonDecisions::of(db, self.own_publisher())?;
            let mut statement = db.prepare_cached(&format!(
                "SELECT {COLUMNS} FROM conflicts WHERE id > ? ORDER BY id LIMIT ?"
            ))?;
            let mut rows = statement.query(params![number, most as i64])?;
            let mut cases = Vec::new();
            while let Some(row) = rows.next()? {
                cases.push((row.get(0)?, case(db, row, &said)?.map(|(_, case)| case)));
            }
            Ok(cases)
        })
    }

    /// Returns the number of the case noted last, even if it was dropped.
    pub fn last_case(&self) -> Result<i64> {
        self.read(|db| {
            let last = db
                .prepare_cached("SELECT seq FROM sqlite_sequence WHERE name = 'conflicts'")?
                .query_row([], |row| row.get(0))
                .optional()?;
            Ok(last.unwrap_or(0))
        })
    }

    /// Returns the evidence of a case, for others.
    ///
    /// # Errors
    /// [`RegistryError::NoConflict`] if it is unknown, [`RegistryError::OneSided`] if the signed
    /// record of one side is not held, so that it would prove nothing.
    pub fn evidence(&self, id: &ConflictId) -> Result<Evidence> {
        let found = self.read_together(|db| {
            let said = PersonDecisions::of(db, self.own_publisher())?;
            let mut statement = db.prepare_cached(&format!("SELECT {COLUMNS} FROM conflicts"))?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                if let Some((number, case)) =
                    case(db, row, &said)?.filter(|(_, case)| case.id == *id)
                {
                    let about = case.about();
                    return Ok(Some(evidence(db, number, case)?.ok_or(about)));
                }
            }
            Ok(None)
        });
        match found? {
            Some(Ok(evidence)) => Ok(evidence),
            Some(Err(what)) => Err(RegistryError::OneSided { what }),
            None => Err(RegistryError::NoConflict(id.to_string())),
        }
    }
}

/// The columns shown in lists, without the signed records.
const COLUMNS: &str = "id, kind, publisher, name, version, handle, kept, offered, seen_at, kept_seq, kept_at, offered_seq, \
                       offered_at, kept_by IS NOT NULL, offered_by IS NOT NULL, kept_manifest IS \
                       NOT NULL, \
                       offered_manifest IS NOT NULL, file";

/// The decisions of this node's person.
struct PersonDecisions {
    own: Option<PublisherId>,
    pins: HashMap<String, PublisherId>,
    distrusted: HashSet<PublisherId>,
}

impl PersonDecisions {
    fn of(db: &Connection, own: Option<PublisherId>) -> rusqlite::Result<Self> {
        Ok(Self {
            own,
            pins: db
                .prepare_cached("SELECT handle, publisher FROM pins")?
                .query_map([], |row| Ok((row.get(0)?, publisher(row, 1)?)))?
                .collect::<rusqlite::Result<_>>()?,
            distrusted: db
                .prepare_cached("SELECT publisher FROM distrusted")?
                .query_map([], |row| publisher(row, 0))?
                .collect::<rusqlite::Result<_>>()?,
        })
    }

    fn trust(&self, publisher: &PublisherId, handle: Option<&Handle>) -> Trust {
        if self.distrusted.contains(publisher) {
            return Trust::Distrusted;
        }
        if self.own == Some(*publisher) {
            return Trust::Own;
        }
        match handle.and_then(|handle| self.pins.get(handle.as_str())) {
            Some(pinned) if pinned == publisher => Trust::Pinned,
            _ => Trust::Unknown,
        }
    }
}

fn word(kind: Kind) -> &'static str {
    match kind {
        Kind::Version => "version",
        Kind::File => "file",
        Kind::Removed => "removed",
        Kind::Fork => "fork",
        Kind::Handle => "handle",
    }
}

fn parsed<T: std::str::FromStr>(
    row: &Row<'_>,
    column: usize,
    what: &'static str,
) -> rusqlite::Result<T> {
    row.get_ref(column)?
        .as_str()?
        .parse()
        .map_err(|_| damaged(column, what))
}

/// Returns the case of a row with the row's number; `None` for a handle that is no longer claimed
/// by several keys.
fn case(
    db: &Connection,
    row: &Row<'_>,
    said: &PersonDecisions,
) -> rusqlite::Result<Option<(i64, Case)>> {
    let (number, kind): (i64, String) = (row.get(0)?, row.get(1)?);
    let seen_at = Timestamp(row.get(8)?);
    if kind == word(Kind::Handle) {
        return Ok(
            handle_case(db, parsed(row, 3, "handle")?, seen_at, said)?.map(|case| (number, case))
        );
    }
    let publisher = publisher(row, 2)?;
    let package: PackageName = parsed(row, 3, "name")?;
    let handle: Option<Handle> = match row.get_ref(5)? {
        rusqlite::types::ValueRef::Null => None,
        _ => Some(parsed(row, 5, "handle")?),
    };
    let (kept, offered) = (Hash(row.get(6)?), Hash(row.get(7)?));
    let trust = said.trust(&publisher, handle.as_ref());
    let side = |hash, seq: usize, held: usize, manifest: usize| -> rusqlite::Result<ConflictSide> {
        Ok(ConflictSide {
            publisher,
            trust,
            hash,
            seq: row.get(seq)?,
            signed_at: row.get::<_, Option<u64>>(seq + 1)?.map(Timestamp),
            since: None,
            package: None,
            held: row.get(held)?,
            manifest: row.get(manifest)?,
        })
    };
    let mut sides = vec![side(kept, 9, 13, 15)?, side(offered, 11, 14, 16)?];
    let file: String = row.get(17)?;
    let (kind, id, version, in_force) = if kind == word(Kind::File) {
        // The manifests are the signed records.
        sides.iter_mut().for_each(|side| side.held = side.manifest);
        let version: VersionText = parsed(row, 4, "version")?;
        let id = ConflictId::of_file(&publisher, &package, &version, &file, [kept, offered]);
        (Kind::File, id, Some(version), InForce::FirstSeen)
    } else if kind == word(Kind::Removed) {
        let version: VersionText = parsed(row, 4, "version")?;
        let id = ConflictId::of_removed(&publisher, &package, &version, &kept, &offered);
        (Kind::Removed, id, Some(version), InForce::Superseded)
    } else if kind == word(Kind::Fork) {
        let seq: u64 = row.get(9)?;
        let newest: Option<u64> = db
            .prepare_cached("SELECT seq FROM marks WHERE publisher = ? AND name = ?")?
            .query_row(params![publisher.to_bytes(), package.as_str()], |row| {
                row.get(0)
            })
            .optional()?;
        let went_on = newest.is_some_and(|newest| newest > seq);
        let in_force = if went_on {
            InForce::Superseded
        } else {
            InForce::Preferred
        };
        (
            Kind::Fork,
            ConflictId::of_fork(&publisher, &package, seq, [kept, offered]),
            None,
            in_force,
        )
    } else {
        let version: VersionText = parsed(row, 4, "version")?;
        let id = ConflictId::of_version(&publisher, &package, &version, [kept, offered]);
        (Kind::Version, id, Some(version), InForce::FirstSeen)
    };
    let file = Some(file).filter(|file| !file.is_empty());
    let (package, more) = (Some(package), 0);
    Ok(Some((
        number,
        Case {
            id,
            kind,
            handle,
            package,
            version,
            file,
            sides,
            more,
            in_force,
            seen_at,
        },
    )))
}

fn handle_case(
    db: &Connection,
    handle: Handle,
    seen_at: Timestamp,
    said: &PersonDecisions,
) -> rusqlite::Result<Option<Case>> {
    let mut keys = db.prepare_cached(
        "SELECT publisher, since FROM claims WHERE handle = ? ORDER BY since, publisher LIMIT ?",
    )?;
    let mut one = db.prepare_cached(
        "SELECT name, seq, hash, signed_at FROM heads WHERE handle = ? AND publisher = ? LIMIT 1",
    )?;
    let mut sides: Vec<ConflictSide> = Vec::new();
    let mut rows = keys.query(params![handle.as_str(), MAX_CLAIMANTS as i64])?;
    while let Some(row) = rows.next()? {
        let (publisher, since) = (publisher(row, 0)?, Timestamp(row.get(1)?));
        sides.push(
            one.query_row(params![handle.as_str(), publisher.to_bytes()], |row| {
                Ok(ConflictSide {
                    publisher,
                    trust: said.trust(&publisher, Some(&handle)),
                    hash: Hash(row.get(2)?),
                    seq: row.get(1)?,
                    signed_at: Some(Timestamp(row.get(3)?)).filter(|at| at.0 > 0),
                    since: Some(since),
                    package: Some(parsed(row, 0, "name")?),
                    held: true,
                    manifest: false,
                })
            })?,
        );
    }
    if sides.len() < 2 {
        return Ok(None);
    }
    sides.sort_by_key(|side| match side.trust {
        Trust::Own => 0,
        Trust::Pinned => 1,
        Trust::Unknown => 2,
        Trust::Distrusted => 3,
    });
    let more = sides.len().saturating_sub(MAX_SIDES);
    sides.truncate(MAX_SIDES);
    let in_force = match sides.first().map(|side| side.trust) {
        Some(Trust::Own) => InForce::Own,
        Some(Trust::Pinned) => InForce::Pinned,
        _ => InForce::Nobody,
    };
    let id = ConflictId::of_handle(&handle);
    Ok(Some(Case {
        id,
        kind: Kind::Handle,
        handle: Some(handle),
        package: None,
        version: None,
        file: None,
        sides,
        more,
        in_force,
        seen_at,
    }))
}

/// Returns `None` if one side is not held.
fn evidence(db: &Connection, number: i64, case: Case) -> rusqlite::Result<Option<Evidence>> {
    let statement = |envelope: Vec<u8>| {
        // The two kinds are signed under different domains, so a page never verifies as a head.
        let is_page = Authorised::<crate::domain::record::Page>::verify(&envelope).is_ok();
        if is_page {
            Statement::Page(SignedBytes(envelope))
        } else {
            Statement::Head(SignedBytes(envelope))
        }
    };
    let Case {
        id,
        kind,
        handle,
        package,
        version,
        file,
        sides,
        ..
    } = case;
    let claim = match (kind, handle, package, version, sides.first()) {
        (Kind::Handle, Some(handle), ..) => {
            let mut envelopes = Vec::new();
            for side in &sides {
                let Some(package) = &side.package else {
                    continue;
                };
                let held = held_head(db, &side.publisher, package)?;
                envelopes.extend(held.map(|held| statement(held.head.envelope().to_vec())));
            }
            let enough = envelopes.len() >= 2;
            return Ok(enough.then(|| Evidence::of(id, Proven::Handle { handle }, envelopes, [])));
        }
        (Kind::Version, _, Some(package), Some(version), Some(side)) => Proven::Version {
            publisher: side.publisher,
            package,
            version,
        },
        (Kind::File, _, Some(package), Some(version), Some(side)) => Proven::File {
            publisher: side.publisher,
            package,
            version,
            file: file.unwrap_or_default(),
        },
        (Kind::Removed, _, Some(package), Some(version), Some(side)) => Proven::Removed {
            publisher: side.publisher,
            package,
            version,
            manifest: side.hash,
        },
        (
            Kind::Fork,
            _,
            Some(package),
            _,
            Some(ConflictSide {
                publisher,
                seq: Some(seq),
                ..
            }),
        ) => Proven::Fork {
            publisher: *publisher,
            package,
            seq: *seq,
        },
        _ => return Ok(None),
    };
    let [mut kept, offered, kept_manifest, offered_manifest, page] = db
        .prepare_cached(
            "SELECT kept_by, offered_by, kept_manifest, offered_manifest, page FROM conflicts \
             WHERE id = ?",
        )?
        .query_row([number], |row| {
            Ok([
                row.get(0)?,
                row.get(1)?,
                row.get(2)?,
                row.get(3)?,
                row.get(4)?,
            ] as [Option<Vec<u8>>; 5])
        })?;
    if kind == Kind::File {
        let both = kept_manifest.zip(offered_manifest);
        return Ok(both.map(|(kept, offered)| Evidence::of(id, claim, Vec::new(), [kept, offered])));
    }
    if let (
        None,
        Proven::Version {
            publisher,
            package,
            version,
        },
        Some(side),
    ) = (&kept, &claim, sides.first())
    {
        kept = statement_of(
            db,
            publisher,
            package,
            &version.key(package.ecosystem()),
            &side.hash,
        )?
        .map(|found| found.envelope);
    }
    let (Some(kept), Some(offered)) = (kept, offered) else {
        return Ok(None);
    };
    let manifests = [kept_manifest, offered_manifest].into_iter().flatten();
    let statements = [Some(kept), Some(offered), page]
        .into_iter()
        .flatten()
        .map(statement)
        .collect();
    Ok(Some(Evidence::of(id, claim, statements, manifests)))
}

#[cfg(test)]
mod tests;
