//! The packages of this node's publisher.

use super::{OwnPackage, P2pRegistry};
use crate::{
    Result,
    domain::{
        name::PublisherId,
        record::Authorised,
        release::{self, ReleaseEntry},
    },
};

impl P2pRegistry {
    pub(super) fn packages_of(&self, publisher: &PublisherId) -> Result<Vec<OwnPackage>> {
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
                    .map_or(Ok(0), |hash| self.copies_of(&hash))?;
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
