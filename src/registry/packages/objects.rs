//! Immutable records, from the store, the DHT and peers: manifests, and pages of older releases.

use futures::FutureExt;

use super::{FAN_OUT, Packages, PackagesError};
use crate::{
    Result,
    domain::{
        hash::Hash,
        manifest::Manifest,
        name::PackageId,
        package::claimed,
        record::{Authorised, DhtKey, Head, Owned, Page, Record},
    },
    net::{
        Want,
        protocol::{Request, Response},
    },
};

/// Most pages fetched by one get: about 3,000 releases.
const MAX_PAGES: usize = 64;

impl Packages {
    /// Requests an immutable record from several peers at once; the first valid answer wins.
    async fn find_object<T: Owned + Clone + Send + 'static>(
        &self,
        key: DhtKey,
        what: String,
        hash: &Hash,
        from_record: fn(Record) -> Option<Authorised<T>>,
    ) -> Result<Option<Authorised<T>>> {
        let timeout = self.core.net.query_timeout();
        let mut direct = self.ask_best(Request::Objects(vec![*hash])).await?;
        let mut dht = self
            .core
            .net
            .find(key, Want::First, Some(what), timeout)
            .boxed()
            .fuse();
        let mut dht_done = false;
        while !(dht_done && direct.is_over()) {
            tokio::select! {
                lookup = &mut dht, if !dht_done => {
                    dht_done = true;
                    let found = lookup?.answers.into_iter().find_map(|answer| from_record(answer.record));
                    if found.is_some() {
                        return Ok(found);
                    }
                }
                Some((peer, response)) = direct.next(), if !direct.is_over() => {
                    let Ok(Response::Objects(objects)) = response else { continue };
                    let is_it = |object: &Authorised<T>| object.hash() == *hash;
                    let objects = objects.iter().take(1).map(|object| object.as_slice());
                    if let Some(object) = self.catalogue.verified::<T>(peer, objects, is_it).into_iter().next() {
                        return Ok(Some(object));
                    }
                }
            }
        }
        Ok(None)
    }

    /// Returns a manifest from the store or the network.
    ///
    /// # Errors
    /// [`PackagesError::NotFound`] if no peer that was asked has it.
    pub async fn manifest(
        &self,
        id: &PackageId,
        hash: &Hash,
    ) -> Result<Authorised<Manifest>, PackagesError> {
        if let Some(manifest) = self.core.store.manifest(hash)? {
            return Ok(manifest);
        }
        let of_record = |record| match record {
            Record::Manifest(manifest) => Some(manifest),
            _ => None,
        };
        let what = format!("manifest of {}", claimed(id, None));
        let found = self
            .find_object(DhtKey::of_manifest(hash), what, hash, of_record)
            .await?;
        let manifest = found
            .filter(|manifest| manifest.package() == id)
            .ok_or_else(|| PackagesError::NotFound {
                package: format!("the manifest of {id}"),
                asked: FAN_OUT,
            })?;
        self.core
            .store
            .take_manifest(manifest.clone(), self.core.now())
            .await?;
        self.catalogue.changed();
        Ok(manifest)
    }

    /// Fetches the pages that a head links to and that are not held.
    pub async fn fetch_pages(&self, id: &PackageId, head: &Head) -> Result<()> {
        let mut next = head.older;
        for _ in 0..MAX_PAGES {
            let Some(hash) = next else { break };
            let page = match self.core.store.page(&hash)? {
                Some(page) => page,
                None => {
                    let of_record = |record| match record {
                        Record::Page(page) => Some(page),
                        _ => None,
                    };
                    let (key, what) = (
                        DhtKey::of_page(&hash),
                        format!("older releases of {}", claimed(id, None)),
                    );
                    let found = self
                        .find_object::<Page>(key, what, &hash, of_record)
                        .await?;
                    let Some(page) = found.filter(|page| page.package() == id) else {
                        break;
                    };
                    self.core
                        .store
                        .take_page(page.clone(), self.core.now())
                        .await?;
                    page
                }
            };
            next = page.older;
        }
        Ok(())
    }
}
