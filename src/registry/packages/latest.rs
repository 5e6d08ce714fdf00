//! Fetches the latest manifest of packages that are listed by another release.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::{Packages, PackagesError};
use crate::{RegistryError, domain::name::PackageId};

impl Packages {
    /// Fetches the noted packages one by one, until `stop` is cancelled.
    pub async fn run_latest(self: Arc<Self>, stop: CancellationToken) {
        loop {
            let Some(id) = stop
                .run_until_cancelled(self.catalogue.unlisted.next())
                .await
            else {
                return;
            };
            tokio::select! {
                () = stop.cancelled() => return,
                asked = self.fetch_latest(&id) => if let Err(error) = asked.map_err(RegistryError::from) {
                    tracing::debug!(%error, package = %id, "the manifest of the latest release could not be had");
                },
            }
        }
    }

    /// Fetches a package's latest release, so that it is listed by that one.
    async fn fetch_latest(&self, id: &PackageId) -> Result<(), PackagesError> {
        let Some(held) = self.core.store.head(id)? else {
            return Ok(());
        };
        let Some(latest) = held.head.latest() else {
            return Ok(());
        };
        match latest.first() {
            Some(first) => self.manifest(id, &first).await.map(drop),
            None => Ok(()),
        }
    }
}
