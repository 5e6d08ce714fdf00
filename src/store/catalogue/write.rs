//! Stores heads, pages and manifests, and lists packages for the search.

use std::collections::HashSet;

use rusqlite::{Connection, OptionalExtension, params};

use super::{
    HeadVerdict,
    judge::{Removed, admission, is_addition, judge_listed, listed, removed, seen},
    read::{has_manifest, hash, head_row, held_head, held_manifest, key_of, mark, seen_of},
};
use crate::{
    domain::{
        hash::Hash,
        manifest::Manifest,
        name::{Handle, PackageId},
        record::{Admission, Authorised, Head, Page, consistent},
        release::{self, ReleaseEntry},
        time::Timestamp,
        version::VersionText,
    },
    ecosystem::Ecosystem,
    store::{
        claims, conflicts, folds,
        listing::{self, Listing},
        pack::PackedEnvelope,
        usage,
    },
};

pub(in crate::store) fn take(
    db: &Connection,
    head: &Authorised<Head>,
    pages: &[Authorised<Page>],
    manifests: &[Authorised<Manifest>],
    own: bool,
    now: Timestamp,
) -> rusqlite::Result<HeadVerdict> {
    // Leave out manifests that do not belong to the head.
    let manifests: Vec<&Authorised<Manifest>> = manifests
        .iter()
        .filter(|manifest| consistent(head, manifest).is_ok())
        .collect();
    let (publisher, name) = (head.owner(), &head.package().name);
    let key = publisher.to_bytes();
    let held = mark(db, &publisher, name)?;
    // A new package has nothing to look up.
    let is_new = held.is_none();
    let known = seen(db, head, held.as_ref())?;
    let verdict = match admission(held.as_ref(), head, now) {
        Ok(admission) => judge_listed(db, head, held.as_ref(), &known, admission)?,
        Err(verdict) => verdict,
    };
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
                // Changed versions are recorded as changed, not as removed.
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
            // An evicted package keeps nothing but its mark.
            let Some(row) = head_row(db, &publisher, name)? else {
                return Ok(verdict);
            };
            put_fork(db, head, own)?;
            put_versions(db, row, head, is_new)?;
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
        Admission::Newer if is_new => {
            // All that was seen of it is listed.
            only_adds = true;
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
    if let Some(row) = head_row(db, &publisher, name)? {
        put_versions(db, row, head, is_new)?;
        for page in pages {
            put_page(db, row, page)?;
        }
        for manifest in &manifests {
            put_manifest(db, row, manifest)?;
        }
        // Otherwise all pages of a package would be read for each release that is added.
        if !only_adds {
            folds::tidy(db, row, head)?;
        }
    }
    list_package(db, head, &manifests, is_new)?;
    Ok(verdict)
}

pub(in crate::store) fn replace_head(
    db: &Connection,
    head: &Authorised<Head>,
    own: bool,
    now: Timestamp,
) -> rusqlite::Result<()> {
    let key = head.owner().to_bytes();
    // A publisher without packages here counts as first seen now: an evicted key does not become
    // known by waiting.
    db.prepare_cached(
        "INSERT INTO publishers (publisher, first_seen, last_seen, own) VALUES (?1, ?2, ?2, ?3)
         ON CONFLICT (publisher) DO UPDATE SET last_seen = excluded.last_seen, own = max(own, excluded.own),
             first_seen = iif(packages = 0, excluded.first_seen, first_seen)",
    )?
    .execute(params![key, now.0, own])?;
    let number = key_of(db, &head.owner())?;
    let (name, hash) = (head.package().name.as_str(), head.hash().0);
    let handle = head.handle.as_ref().map(Handle::as_str);
    let (bytes, envelope) = (usage::head_bytes(head), PackedEnvelope::of(head.envelope()));
    // The row is updated in place because manifests and pages refer to it; confirmations of the
    // earlier state do not apply.
    let held = db
        .prepare_cached(
            "UPDATE OR FAIL head_rows SET seq = ?3, hash = ?4, handle = ?5, bytes = ?6, envelope = ?7,
             received_at = ?8, confirmed_at = NULL, confirmed_by = 0, own = ?9, signed_at = ?10, expires = ?11
             WHERE key = ?1 AND name = ?2",
        )?
        .execute(params![
            number, name, head.seq, hash, handle, bytes, envelope, now.0, own, head.signed_at.0, head.expires.0
        ])?;
    if held == 0 {
        // The head of a package that returned contains its mark and fold again.
        let fold: Option<Vec<u8>> = db
            .prepare_cached("SELECT fold FROM mark_rows WHERE key = ? AND name = ?")?
            .query_row(params![number, name], |row| row.get(0))
            .optional()?;
        db.prepare_cached(
            "INSERT OR FAIL INTO head_rows (key, name, seq, hash, handle, bytes, envelope, received_at, own,
             signed_at, expires) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        )?
        .execute(params![
            number, name, head.seq, hash, handle, bytes, envelope, now.0, own, head.signed_at.0, head.expires.0
        ])?;
        if let Some(fold) = fold {
            db.prepare_cached(folds::SET_FOLD)?
                .execute(params![fold, number, name])?;
            db.prepare_cached("DELETE FROM mark_rows WHERE key = ? AND name = ?")?
                .execute(params![number, name])?;
        }
    }
    claims::note(db, head, now)?;
    conflicts::note_handle(db, head, number, now)
}

/// A mark may outlive its head; if the same head returns, it is stored again.
pub(in crate::store) fn put_held_head_if_absent(
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

pub(in crate::store) fn put_fork(
    db: &Connection,
    head: &Authorised<Head>,
    own: bool,
) -> rusqlite::Result<()> {
    let envelope: &[u8] = head.envelope();
    let key = head.owner().to_bytes();
    let held: i64 = db
        .prepare_cached("SELECT count(*) FROM forks WHERE publisher = ? AND name = ?")?
        .query_row(params![key, head.package().name.as_str()], |row| row.get(0))?;
    // As many as the next head can name besides the selected one.
    if own || held < crate::domain::record::MAX_PREV as i64 - 1 {
        db.prepare_cached(
            "INSERT OR IGNORE INTO forks (publisher, name, hash, seq, envelope, own) VALUES (?, \
             ?, ?, ?, ?, ?)",
        )?
        .execute(params![
            key,
            head.package().name.as_str(),
            head.hash().0,
            head.seq,
            envelope,
            own
        ])?;
    }
    Ok(())
}

/// Records the manifests first seen for each version. `is_new` is true if nothing was seen of the
/// package before, and `row` is the row of its head.
pub(in crate::store) fn put_versions(
    db: &Connection,
    row: i64,
    head: &Authorised<Head>,
    is_new: bool,
) -> rusqlite::Result<()> {
    if is_new {
        let mut insert = db.prepare_cached(
            "INSERT OR IGNORE INTO release_rows (head, version, manifest, nth) VALUES (?, ?, ?, ?)",
        )?;
        for entry in &head.releases {
            let version = entry.version.key(&head.ecosystem);
            for (nth, manifest) in entry.manifests.iter().enumerate() {
                insert.execute(params![row, version, manifest.0, nth])?;
            }
        }
        return Ok(());
    }
    let grows = head.ecosystem.grows();
    let mut insert = db.prepare_cached(
        "INSERT OR IGNORE INTO release_rows (head, version, manifest, nth)
         SELECT ?1, ?2, ?3, count(*) AS others FROM release_rows WHERE head = ?1 AND version = ?2
         HAVING others = 0 OR ?4",
    )?;
    let mut seen = db.prepare_cached(
        "SELECT 1 FROM release_rows WHERE head = ? AND version = ? AND manifest = ?",
    )?;
    // Folded versions count as seen first, too.
    let changed = folds::fold_of(db, &head.owner(), &head.package().name)?
        .conflicts(&head.ecosystem, &head.releases);
    for (entry, manifest) in listed(&head.releases)
        .filter(|(entry, _)| !changed.iter().any(|one| one.version == entry.version))
    {
        let version = entry.version.key(&head.ecosystem);
        // Most exist already, and counting the version's other manifests for each one would be
        // quadratic.
        if !seen.exists(params![row, version, manifest.0])? {
            insert.execute(params![row, version, manifest.0, grows])?;
        }
    }
    Ok(())
}

pub(in crate::store) fn put_page(
    db: &Connection,
    head: i64,
    page: &Authorised<Page>,
) -> rusqlite::Result<()> {
    let envelope: &[u8] = page.envelope();
    db.prepare_cached("INSERT OR IGNORE INTO pages (hash, head, envelope) VALUES (?, ?, ?)")?
        .execute(params![page.hash().0, head, envelope])?;
    Ok(())
}

pub(in crate::store) fn put_manifest(
    db: &Connection,
    head: i64,
    manifest: &Authorised<Manifest>,
) -> rusqlite::Result<()> {
    let put = db
        .prepare_cached(
            "INSERT OR IGNORE INTO manifests (hash, head, bytes, envelope) VALUES (?, ?, ?, ?)",
        )?
        .execute(params![
            manifest.hash().0,
            head,
            manifest.envelope().len(),
            PackedEnvelope::of(manifest.envelope())
        ])?;
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

/// Returns the number by which a file of a version is looked up; other files may share it.
pub(in crate::store) fn file_number(
    ecosystem: &Ecosystem,
    version: &VersionText,
    file: &str,
) -> i64 {
    let mut hasher = blake3::Hasher::new();
    hasher
        .update(version.key(ecosystem).as_bytes())
        .update(&[0])
        .update(file.as_bytes());
    let mut number = [0; 8];
    hasher.finalize_xof().fill(&mut number);
    i64::from_le_bytes(number)
}

/// Returns the held manifests of a package that may list one of these files of a version.
pub(in crate::store) fn listing_files<'a>(
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
        "SELECT m.hash FROM files f JOIN manifests m ON m.id = f.manifest WHERE f.head = ? AND \
         f.file = ?",
    )?;
    for file in files {
        let number = file_number(package.name.ecosystem(), version, file);
        for manifest in listing.query_map(params![head, number], |row| hash(row, 0))? {
            found.insert(manifest?);
        }
    }
    Ok(found)
}

/// Lists the package by the highest release whose manifest is held or in `given`, or removes it
/// from the list if there is none. Manifests in `given` are not read and verified again. A package
/// is never listed by a disputed version: the head and the manifest first seen here would not match
/// for a peer that is sent both. A new package has no disputed version.
pub(in crate::store) fn list_package(
    db: &Connection,
    head: &Authorised<Head>,
    given: &[&Authorised<Manifest>],
    is_new: bool,
) -> rusqlite::Result<()> {
    let given = |hash: &Hash| {
        given
            .iter()
            .find(|manifest| manifest.hash() == *hash && consistent(head, manifest).is_ok())
    };
    let disputed = match is_new {
        true => Vec::new(),
        false => folds::changed(db, head, &seen_of(db, head)?)?,
    };
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
