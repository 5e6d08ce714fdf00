//! Documents beside the files of releases: fetched with them, read once, and kept in memory as they were understood.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::time::timeout;

use super::service::Service;
use crate::{
    RegistryError, Result,
    domain::{
        hash::{ContentRoot, Hash},
        manifest::{Content, limit},
        name::PackageId,
    },
    registry::{Wanted, read_whole},
};

/// Bytes that may be kept in memory, about.
const MOST: usize = 48 << 20;

/// Documents of releases as they were understood, by the hashes of their manifests: neither changes.
pub struct Known<T> {
    /// Bytes that may be kept, about.
    most: usize,
    held: Mutex<(usize, HashMap<Hash, Arc<T>>)>,
}

impl<T> Default for Known<T> {
    fn default() -> Self {
        Self::of(MOST)
    }
}

impl<T> Known<T> {
    /// Keeps so many bytes at most.
    pub fn of(most: usize) -> Self {
        Self { most, held: Mutex::default() }
    }

    pub fn get(&self, hash: &Hash) -> Option<Arc<T>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).1.get(hash).cloned()
    }

    /// Keeps a value that takes so many bytes; when there is no room all others go.
    pub fn keep(&self, hash: Hash, weight: usize, value: T) -> Arc<T> {
        let value = Arc::new(value);
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if held.0 + weight > self.most {
            *held = (0, HashMap::new());
        }
        held.0 += weight;
        held.1.insert(hash, value.clone());
        value
    }
}

/// Reads a document that is beside the file with this root, here or from whoever has it; `what` names it.
pub async fn read(
    service: &Service,
    id: &PackageId,
    file: &ContentRoot,
    content: Content,
    what: &str,
) -> Result<Vec<u8>> {
    let wanted =
        Wanted { content, what: what.to_owned(), package: Some(id.clone()), beside: Some(*file), for_others: false };
    let (contents, wait) = (service.contents(), service.options.wait);
    let fetched = timeout(wait, contents.fetch(wanted, None)).await;
    fetched.map_err(|_| RegistryError::Timeout { what: what.to_owned(), millis: wait.as_millis() })??;
    read_whole(&*contents, content.root, limit::BESIDE).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_bounded() {
        let known = Known::default();
        let hash = |n: u8| Hash::of(&[n]);
        known.keep(hash(0), MOST / 2, 0);
        known.keep(hash(1), MOST / 2, 1);
        assert_eq!(known.get(&hash(0)).as_deref(), Some(&0));
        known.keep(hash(2), 1, 2);
        assert_eq!(known.get(&hash(0)), None);
        assert_eq!(known.get(&hash(2)).as_deref(), Some(&2));
    }
}
