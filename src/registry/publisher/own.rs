//! The packages of this node's publisher.

use std::sync::Arc;

use super::{super::core::blocking, Publisher};
use crate::{
    Result,
    domain::{
        name::PublisherId,
        package::{self, OwnPackage, OwnPackages},
        record::Authorised,
        release::{self, ReleaseEntry},
    },
};

impl Publisher {
    /// Returns this node's publisher; creates its key if there is none.
    pub async fn publisher(&self) -> Result<package::OwnPublisher> {
        let (key, new_key) = self.core.publisher_or_new().await?;
        Ok(package::OwnPublisher {
            id: PublisherId::of(&key.public()),
            new_key,
        })
    }

    /// Returns this node's publisher and its packages.
    pub async fn own(self: &Arc<Self>) -> Result<OwnPackages> {
        let publisher = self.core.publisher_id();
        let this = self.clone();
        let listed = blocking("listing the own packages", move || {
            publisher.map_or_else(|| Ok(Vec::new()), |publisher| this.packages_of(&publisher))
        });
        Ok(OwnPackages {
            publisher,
            key: self.core.publisher_path(),
            packages: listed.await?,
        })
    }

    fn packages_of(&self, publisher: &PublisherId) -> Result<Vec<OwnPackage>> {
        let heads = self.core.store.heads_of(publisher)?;
        heads
            .into_iter()
            .map(|stored| {
                let head = stored.head;
                let id = head.package().clone();
                let (releases, _) = self.core.store.releases(&head)?;
                let latest = release::highest(&head.ecosystem, &releases).cloned();
                let manifest = latest
                    .as_ref()
                    .and_then(ReleaseEntry::first)
                    .map(|hash| self.core.store.manifest(&hash))
                    .transpose()?
                    .flatten();
                let reach = self.core.store.reach(&id)?;
                let copies = latest
                    .as_ref()
                    .and_then(ReleaseEntry::first)
                    .map_or(Ok(0), |hash| self.fetcher.copies_of(&hash))?;
                Ok(OwnPackage {
                    handle: head.handle.clone(),
                    seq: head.seq,
                    signed_at: head.signed_at,
                    releases: releases.len(),
                    versions: releases.into_iter().map(|entry| entry.version).collect(),
                    latest,
                    manifest: manifest.map(Authorised::into_value),
                    replicas: reach.map(|reach| reach.replicas),
                    announced: reach.map(|reach| reach.announced),
                    copies,
                    pending: reach.is_some_and(|reach| reach.pending),
                    id,
                })
            })
            .collect()
    }
}
