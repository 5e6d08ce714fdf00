//! Everything that a head and its pages list. Pages never change, and those that were read lately
//! are kept: a package with thousands of releases has dozens, and each would be read and verified
//! for every release that is added.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use rusqlite::Connection;

use super::{
    Store,
    catalogue::{first_seen, held_page},
    conflicts, folds,
};
use crate::{
    Result,
    domain::{
        hash::Hash,
        record::{Authorised, Head, Page},
        release::{self, ReleaseEntry, VersionConflict},
    },
};

/// Pages that one package may have: about 48,000 releases.
const MAX_PAGES: usize = 1_000;
/// Entries of pages that are kept in memory, of a few hundred bytes each.
const KEPT: usize = 16_384;

/// Pages that were read lately, and how many entries they have together.
#[derive(Default)]
pub(super) struct Pages(Mutex<(usize, HashMap<Hash, Arc<Page>>)>);

impl Pages {
    fn lock(&self) -> MutexGuard<'_, (usize, HashMap<Hash, Arc<Page>>)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn get(&self, hash: &Hash) -> Option<Arc<Page>> {
        self.lock().1.get(hash).cloned()
    }

    /// Keeps a verified page; when there is no room all others go.
    fn keep(&self, hash: Hash, page: Authorised<Page>) -> Arc<Page> {
        let page = Arc::new(page.into_value());
        let mut kept = self.lock();
        if kept.0 + page.releases.len() > KEPT {
            *kept = (0, HashMap::new());
        }
        if kept.1.insert(hash, page.clone()).is_none() {
            kept.0 += page.releases.len();
        }
        page
    }
}

impl Store {
    /// The entries that a head and its pages list themselves, whatever else was seen: the next
    /// state is made of them.
    pub fn listed(&self, head: &Authorised<Head>) -> Result<(Vec<ReleaseEntry>, bool)> {
        self.read(|db| listed_together(db, &self.inner.pages, head))
    }

    /// Every release a head lists, oldest first, as far as its pages are held; and whether all of
    /// them were. A version has the manifest that was seen of it first, whatever the head says of
    /// it now.
    pub fn releases(&self, head: &Authorised<Head>) -> Result<(Vec<ReleaseEntry>, bool)> {
        self.read(|db| all_releases(db, &self.inner.pages, head))
    }
}

/// The entries that a head and the pages held of it list, and whether all of its pages are held.
fn listed_together(
    db: &Connection,
    pages: &Pages,
    head: &Authorised<Head>,
) -> rusqlite::Result<(Vec<ReleaseEntry>, bool)> {
    let mut older = Vec::new();
    let mut next = head.older;
    for _ in 0..MAX_PAGES {
        let Some(link) = next else { break };
        let page = match pages.get(&link) {
            Some(page) => page,
            None => match held_page(db, &link)? {
                Some(page) => pages.keep(link, page),
                None => break,
            },
        };
        next = page.older;
        older.push(page);
    }
    let records = older
        .iter()
        .rev()
        .map(|page| page.releases.as_slice())
        .chain([head.releases.as_slice()]);
    Ok((release::gather(&head.ecosystem, records), next.is_none()))
}

fn all_releases(
    db: &Connection,
    pages: &Pages,
    head: &Authorised<Head>,
) -> rusqlite::Result<(Vec<ReleaseEntry>, bool)> {
    let (mut releases, complete) = listed_together(db, pages, head)?;
    let known = first_seen(db, &head.owner(), &head.package().name)?;
    for VersionConflict { version, kept, .. } in
        release::conflicts(&head.ecosystem, &known, &releases)
    {
        releases
            .iter_mut()
            .filter(|entry| entry.version == version)
            .for_each(|entry| entry.manifests = vec![kept]);
    }
    let seen: HashMap<&Hash, usize> = (0..)
        .zip(known.iter().flat_map(|entry| &entry.manifests))
        .map(|(at, one)| (one, at))
        .collect();
    // What was seen first is kept by its key.
    let by_key: HashMap<&str, &ReleaseEntry> = known
        .iter()
        .map(|entry| (entry.version.as_str(), entry))
        .collect();
    for entry in releases.iter_mut().filter(|_| head.ecosystem.grows()) {
        // What was seen once stays, also where a state that lost does not say so; and of two files
        // of one name the first counts.
        let first = by_key.get(entry.version.key(&head.ecosystem).as_str());
        let listed: HashSet<Hash> = entry.manifests.iter().copied().collect();
        let unlisted = first
            .into_iter()
            .flat_map(|first| &first.manifests)
            .filter(|one| !listed.contains(one));
        entry
            .manifests
            .extend(unlisted.copied().collect::<Vec<_>>());
        entry
            .manifests
            .sort_by_key(|manifest| seen.get(manifest).copied().unwrap_or(usize::MAX));
    }
    // Of a file that was folded and comes back with other bytes likewise: the manifest that changes
    // it is none to choose from.
    if head.ecosystem.grows() {
        let unlisted = conflicts::unlisted(db, head.package())?;
        releases.iter_mut().for_each(|entry| {
            entry
                .manifests
                .retain(|manifest| !unlisted.contains(manifest))
        });
        releases.retain(|entry| !entry.manifests.is_empty());
    }
    // Of a version that was folded and comes back as another, the first is not known by name any
    // more: it is none to choose.
    let changed = folds::fold_of(db, &head.owner(), &head.package().name)?
        .conflicts(&head.ecosystem, &releases);
    releases.retain(|entry| !changed.iter().any(|one| one.version == entry.version));
    Ok((releases, complete))
}
