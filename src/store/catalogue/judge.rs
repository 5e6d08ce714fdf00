//! Judges heads: the relation of a head to what is held, and the part of it that may be accepted.

use std::collections::HashMap;

use rusqlite::Connection;

use super::{
    HeadVerdict, StoredHead,
    read::{held_head, held_manifest, held_page, mark, seen_of},
};
use crate::{
    domain::{
        hash::Hash,
        record::{Admission, Authorised, Head, HeadMark, MAX_JUMP, Page, admit, consistent},
        release::ReleaseEntry,
        time::Timestamp,
        version::VersionText,
    },
    store::{claims, folds},
};

pub(in crate::store) fn judge(
    db: &Connection,
    head: &Authorised<Head>,
    now: Timestamp,
) -> rusqlite::Result<HeadVerdict> {
    let held = mark(db, &head.owner(), &head.package().name)?;
    match admission(held.as_ref(), head, now) {
        Ok(admission) => {
            let known = seen(db, head, held.as_ref())?;
            judge_listed(db, head, held.as_ref(), &known, admission)
        }
        Err(verdict) => Ok(verdict),
    }
}

/// Returns the relation of a head to the highest state seen, or the verdict if its list does not
/// matter.
pub(super) fn admission(
    held: Option<&HeadMark>,
    head: &Authorised<Head>,
    now: Timestamp,
) -> Result<Admission, HeadVerdict> {
    let admission = admit(held, &HeadMark::of(head), now);
    if matches!(admission, Admission::Older | Admission::Same) {
        return Err(HeadVerdict::Admitted(admission));
    }
    let highest = held.map_or(0, |mark| mark.seq);
    if head.seq > highest.saturating_add(MAX_JUMP) {
        return Err(HeadVerdict::Ahead);
    }
    Ok(admission)
}

/// As [`seen_of`]. Nothing was seen of a package without a mark: its releases are folded into that
/// before it is evicted.
pub(super) fn seen(
    db: &Connection,
    head: &Authorised<Head>,
    held: Option<&HeadMark>,
) -> rusqlite::Result<Vec<ReleaseEntry>> {
    held.map_or(Ok(Vec::new()), |_| seen_of(db, head))
}

/// Judges the list of an admitted head by what was seen of its package.
pub(super) fn judge_listed(
    db: &Connection,
    head: &Authorised<Head>,
    held: Option<&HeadMark>,
    known: &[ReleaseEntry],
    admission: Admission,
) -> rusqlite::Result<HeadVerdict> {
    if !goes_together(db, head, known)? {
        return Ok(HeadVerdict::Inconsistent);
    }
    if claims::is_one_too_many(db, head)? {
        return Ok(HeadVerdict::TooManyHandles);
    }
    let disputed = held.is_some()
        && (!folds::changed(db, head, known)?.is_empty() || removed(db, head, &[])?.is_some());
    Ok(if disputed {
        HeadVerdict::Disputed(admission)
    } else {
        HeadVerdict::Admitted(admission)
    })
}

/// Manifests that a head lacks although its direct predecessor, which is held, listed them.
pub(super) struct Removed {
    pub(super) before: Authorised<Head>,
    pub(super) page: Option<Authorised<Page>>,
    pub(super) gone: Vec<(VersionText, Hash)>,
}

pub(in crate::store) fn removed(
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

/// Returns true if a head lists all that its direct predecessor listed, so that nothing is removed.
pub(in crate::store) fn is_addition(
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

/// Returns true if no entry of a head lists a manifest that is known as another version's, or is
/// held and belongs to another package.
pub(in crate::store) fn goes_together(
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

/// Returns every listed manifest with its entry.
pub(in crate::store) fn listed(
    releases: &[ReleaseEntry],
) -> impl Iterator<Item = (&ReleaseEntry, &Hash)> {
    releases.iter().flat_map(|entry| {
        entry
            .manifests
            .iter()
            .map(move |manifest| (entry, manifest))
    })
}
