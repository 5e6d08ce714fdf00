//! Companion files of releases: fetched with them, parsed once, and cached.

use std::{collections::HashMap, sync::Arc};

use parking_lot::Mutex;
use tokio::{
    sync::OwnedMutexGuard,
    time::{Instant, timeout_at},
};

use super::service::Service;
use crate::{
    RegistryError, Result,
    domain::{
        hash::{ContentRoot, Hash},
        manifest::{Content, Manifest, limit},
        name::PackageId,
    },
    registry::{Wanted, claimed, read_whole},
};

/// Approximate bytes of one cache. There are half a dozen, which together keep less than 40 MiB.
const MOST: usize = 6 << 20;

/// A cache of parsed documents of releases, by the hashes of their manifests, which never change.
pub struct ParsedCache<T> {
    /// Approximate bytes that may be kept.
    most: usize,
    held: Mutex<(usize, HashMap<Hash, Arc<T>>)>,
}

impl<T> Default for ParsedCache<T> {
    fn default() -> Self {
        Self::of(MOST)
    }
}

impl<T> ParsedCache<T> {
    /// Creates a cache of at most `most` bytes.
    pub fn of(most: usize) -> Self {
        Self {
            most,
            held: Mutex::default(),
        }
    }

    pub fn get(&self, hash: &Hash) -> Option<Arc<T>> {
        self.held.lock().1.get(hash).cloned()
    }

    /// Adds a value of `weight` bytes; if there is no room, all others are dropped.
    pub fn keep(&self, hash: Hash, weight: usize, value: T) -> Arc<T> {
        let value = Arc::new(value);
        let mut held = self.held.lock();
        if held.0 + weight > self.most {
            *held = (0, HashMap::new());
        }
        // If two tasks parsed the same document, count it once.
        if held.1.insert(hash, value.clone()).is_none() {
            held.0 += weight;
        }
        value
    }
}

/// The manifests and companion files needed from releases of one package, with one deadline for all
/// of them.
pub struct Ahead<'a> {
    service: &'a Service,
    id: &'a PackageId,
    manifests: Mutex<HashMap<Hash, Manifest>>,
    deadline: Instant,
}

impl<'a> Ahead<'a> {
    /// For one release.
    pub fn alone(service: &'a Service, id: &'a PackageId) -> Self {
        let deadline = Instant::now() + service.options.wait;
        Self {
            service,
            id,
            manifests: Mutex::default(),
            deadline,
        }
    }

    /// Fetches all that is needed for the releases with these manifests; `beside` returns the
    /// companion files of a manifest.
    pub async fn of(
        service: &'a Service,
        id: &'a PackageId,
        hashes: &[Hash],
        beside: impl Fn(&Manifest) -> Vec<(ContentRoot, Content)>,
    ) -> Self {
        let ahead = Self::alone(service, id);
        if hashes.is_empty() {
            return ahead;
        }
        // Errors are reported by the later calls for single documents.
        let found = service
            .registry()
            .manifests_of(id, hashes, service.options.wait)
            .await
            .unwrap_or_default();
        let mut wanted = Vec::new();
        for (_, manifest) in &found {
            let what = format!("what is beside {} {}", claimed(id, None), manifest.version);
            wanted.extend(
                beside(manifest)
                    .into_iter()
                    .map(|(file, content)| wanted_beside(id, file, content, &what)),
            );
        }
        let left = ahead.deadline.saturating_duration_since(Instant::now());
        if let Err(error) = service.contents().gather(wanted, left).await {
            tracing::warn!(package = %id, %error, "what travels beside its releases is fetched one by one");
        }
        ahead.manifests.lock().extend(found);
        ahead
    }

    fn late(&self, what: &str) -> RegistryError {
        RegistryError::Timeout {
            what: what.to_owned(),
            millis: self.service.options.wait.as_millis(),
        }
    }

    /// Returns a manifest, read once.
    pub async fn manifest(&self, hash: &Hash) -> Result<Manifest> {
        if let Some(manifest) = self.manifests.lock().remove(hash) {
            return Ok(manifest);
        }
        let asked = timeout_at(
            self.deadline,
            self.service.registry().manifest_of(self.id, hash),
        )
        .await;
        asked.map_err(|_| self.late(&format!("a manifest of {}", claimed(self.id, None))))?
    }

    /// Reads the companion file of the file with this root, here or from peers; `what` names it.
    pub async fn read(&self, file: &ContentRoot, content: Content, what: &str) -> Result<Vec<u8>> {
        let contents = self.service.contents();
        if contents.held(content.root).await?.is_none() {
            let fetch = contents.fetch(wanted_beside(self.id, *file, content, what), None);
            timeout_at(self.deadline, fetch)
                .await
                .map_err(|_| self.late(what))??;
        }
        read_whole(&*contents, content.root, limit::BESIDE).await
    }
}

fn wanted_beside(id: &PackageId, file: ContentRoot, content: Content, what: &str) -> Wanted {
    Wanted {
        content,
        what: what.to_owned(),
        package: Some(id.clone()),
        beside: Some(file),
        for_others: false,
    }
}

/// Returns the companion files of a release's first file.
pub fn of_first(manifest: &Manifest) -> Vec<(ContentRoot, Content)> {
    manifest
        .native
        .map(|native| (manifest.content().root, native))
        .into_iter()
        .collect()
}

/// Returns the companion files to fetch for a release's first file.
pub fn wanted_of(id: &PackageId, manifest: &Manifest) -> Option<Wanted> {
    let what = format!("what is beside {} {}", claimed(id, None), manifest.version);
    let (file, content) = of_first(manifest).pop()?;
    Some(wanted_beside(id, file, content, &what))
}

/// Locks per package: a second task that needs the same waits, and then finds most of it in the
/// cache.
#[derive(Default)]
pub struct PackageLocks(Mutex<HashMap<PackageId, Arc<tokio::sync::Mutex<()>>>>);

impl PackageLocks {
    /// Waits for the package's lock, which is released when the guard is dropped.
    pub async fn of(&self, id: &PackageId) -> OwnedMutexGuard<()> {
        let turn = {
            let mut turns = self.0.lock();
            turns.retain(|_, turn| Arc::strong_count(turn) > 1);
            turns.entry(id.clone()).or_default().clone()
        };
        turn.lock_owned().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_bounded() {
        let known = ParsedCache::default();
        let hash = |n: u8| Hash::of(&[n]);
        known.keep(hash(0), MOST / 2, 0);
        known.keep(hash(1), MOST / 2, 1);
        assert_eq!(known.get(&hash(0)).as_deref(), Some(&0));
        known.keep(hash(2), 1, 2);
        assert_eq!(known.get(&hash(0)), None);
        assert_eq!(known.get(&hash(2)).as_deref(), Some(&2));
    }
}
