//! Fetches the manifests of one package by their hashes.

use std::{collections::HashMap, time::Duration};

use libp2p::PeerId;
use parking_lot::Mutex;
use tokio::time::timeout;

use super::{
    super::core::{
        blocking,
        many::{Many, Pace, RequestOutcome},
    },
    Packages,
};
use crate::{
    Result,
    domain::{hash::Hash, manifest::Manifest, name::PackageId, record::Authorised},
    net::{
        AskError,
        protocol::{MAX_OBJECTS, Request, Response},
    },
};

/// As many requests as a peer answers at once beside others of this node.
const PACE: Pace = Pace {
    lanes: 4,
    most: MAX_OBJECTS,
};
/// Fewer than this are fetched one by one, and with the DHT's help.
const FEW: usize = 2;
/// Manifests written together.
const TOGETHER: usize = 512;

/// Manifests that arrived and are not written yet: each write reads all that is known of the
/// package.
#[derive(Default)]
struct Came(Mutex<Vec<Authorised<Manifest>>>);

impl Came {
    /// Adds manifests. Returns all of them once there are enough to write.
    fn add(&self, manifests: Vec<Authorised<Manifest>>) -> Vec<Authorised<Manifest>> {
        let mut came = self.0.lock();
        came.extend(manifests);
        if came.len() >= TOGETHER {
            std::mem::take(&mut *came)
        } else {
            Vec::new()
        }
    }
}

impl Packages {
    /// Returns the manifests with these hashes that can be had within this time. Several peers are
    /// asked for those that are not held.
    pub async fn gather_manifests(
        &self,
        id: &PackageId,
        hashes: &[Hash],
        within: Duration,
    ) -> Result<Vec<(Hash, Manifest)>> {
        let missing = self.core.store.missing_manifests(hashes)?;
        if missing.len() >= FEW {
            let came = Came::default();
            // Keep what arrived by then.
            let asked = timeout(within, self.ask_for_manifests(id, &missing, &came)).await;
            let rest = std::mem::take(&mut *came.0.lock());
            self.core
                .store
                .take_manifests(rest, self.core.now())
                .await?;
            asked.unwrap_or(Ok(()))?;
            self.catalogue.changed();
        }
        let (store, hashes) = (self.core.store.clone(), hashes.to_vec());
        blocking("reading manifests", move || {
            let read = |hash: Hash| match store.manifest(&hash) {
                Ok(manifest) => manifest.map(|manifest| Ok((hash, manifest.into_value()))),
                Err(error) => Some(Err(error)),
            };
            hashes.into_iter().filter_map(read).collect()
        })
        .await
    }

    async fn ask_for_manifests(&self, id: &PackageId, missing: &[Hash], came: &Came) -> Result<()> {
        let peers = self.core.net.sources(Some(id.owner)).await?;
        let many = Many::of(missing.len());
        let at: HashMap<Hash, usize> = missing
            .iter()
            .enumerate()
            .map(|(at, hash)| (*hash, at))
            .collect();
        let ask = |peer: PeerId, things: Vec<usize>| {
            let hashes: Vec<Hash> = things
                .iter()
                .filter_map(|at| missing.get(*at))
                .copied()
                .collect();
            let (many, at) = (&many, &at);
            async move {
                let manifests = match self.ask_peer_for_manifests(id, peer, hashes).await {
                    Ok(Some(manifests)) => manifests,
                    Ok(None) => return RequestOutcome::Busy,
                    Err(error) => {
                        tracing::debug!(%peer, %error, "a peer did not supply manifests");
                        return RequestOutcome::Nothing;
                    }
                };
                let count = manifests.len();
                manifests
                    .iter()
                    .filter_map(|one| at.get(&one.hash()))
                    .for_each(|at| many.got(*at));
                if let Err(error) = self
                    .core
                    .store
                    .take_manifests(came.add(manifests), self.core.now())
                    .await
                {
                    tracing::warn!(package = %id, %error, "manifests could not be kept");
                }
                RequestOutcome::Gave(count)
            }
        };
        many.ask(peers.into_iter().map(|(peer, _)| peer), PACE, ask)
            .await;
        Ok(())
    }

    /// Requests these from a peer and returns what it supplies; `None` if it is busy.
    async fn ask_peer_for_manifests(
        &self,
        id: &PackageId,
        peer: PeerId,
        hashes: Vec<Hash>,
    ) -> Result<Option<Vec<Authorised<Manifest>>>> {
        let objects = match self
            .core
            .net
            .ask(
                peer,
                Request::Objects(hashes.clone()),
                self.core.net.query_timeout(),
            )
            .await?
        {
            Ok(Response::Objects(objects)) => objects,
            Err(AskError::Busy) => return Ok(None),
            Ok(_) => return Ok(Some(Vec::new())),
            Err(error) => {
                tracing::debug!(%peer, %error, "a peer did not supply manifests");
                return Ok(Some(Vec::new()));
            }
        };
        let is_it = |manifest: &Authorised<Manifest>| {
            manifest.package() == id && hashes.contains(&manifest.hash())
        };
        let objects = objects
            .iter()
            .take(hashes.len())
            .map(|object| object.as_slice());
        Ok(Some(
            self.catalogue.verified::<Manifest>(peer, objects, is_it),
        ))
    }
}
