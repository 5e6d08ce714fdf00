//! Lists all releases of a head and its pages. Pages never change, and those read lately are
//! cached: a package with thousands of releases has dozens, and each would be read and verified for
//! every release that is added.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use parking_lot::Mutex;
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

/// Most pages of one package: about 48,000 releases.
const MAX_PAGES: usize = 1_000;
/// Most page entries kept in memory, of a few hundred bytes each.
const KEPT: usize = 16_384;

/// Pages read lately, and the number of their entries.
#[derive(Default)]
pub(super) struct Pages(Mutex<(usize, HashMap<Hash, Arc<Page>>)>);

impl Pages {
    fn get(&self, hash: &Hash) -> Option<Arc<Page>> {
        self.0.lock().1.get(hash).cloned()
    }

    /// Adds a verified page to the cache; if there is no room, all others are dropped.
    fn keep(&self, hash: Hash, page: Authorised<Page>) -> Arc<Page> {
        let page = Arc::new(page.into_value());
        let mut kept = self.0.lock();
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
    /// Returns the entries as the head and its pages list them, from which the next state is made.
    /// The flag is true if all pages are held.
    pub fn listed(&self, head: &Authorised<Head>) -> Result<(Vec<ReleaseEntry>, bool)> {
        self.read(|db| listed_together(db, &self.inner.pages, head))
    }

    /// Returns every release that a head lists, oldest first. The flag is true if all pages are
    /// held. A version has the manifest that was first seen for it, whatever the head says now.
    pub fn releases(&self, head: &Authorised<Head>) -> Result<(Vec<ReleaseEntry>, bool)> {
        self.read(|db| all_releases(db, &self.inner.pages, head))
    }
}

/// Collects the entries of a head and its held pages. The flag is true if all pages are held.
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
    // First-seen entries have the version's key in place of its text.
    let by_key: HashMap<&str, &ReleaseEntry> = known
        .iter()
        .map(|entry| (entry.version.as_str(), entry))
        .collect();
    for entry in releases.iter_mut().filter(|_| head.ecosystem.grows()) {
        // A manifest that was listed once stays, even if a losing head does not list it; and of two
        // files with one name, the first one counts.
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
    // The same for a file that was folded and returns with other bytes: the manifest that changes
    // it does not count.
    if head.ecosystem.grows() {
        let unlisted = conflicts::unlisted(db, head.package())?;
        releases.iter_mut().for_each(|entry| {
            entry
                .manifests
                .retain(|manifest| !unlisted.contains(manifest))
        });
        releases.retain(|entry| !entry.manifests.is_empty());
    }
    // If a version was folded and returns with another manifest, the first one is no longer known,
    // so neither counts.
    let changed = folds::fold_of(db, &head.owner(), &head.package().name)?
        .conflicts(&head.ecosystem, &releases);
    releases.retain(|entry| !changed.iter().any(|one| one.version == entry.version));
    Ok((releases, complete))
}
