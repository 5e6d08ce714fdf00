//! Follow-up work after a change of the catalogue: reverse dependencies, eviction, known
//! publishers, and counts.

use std::{sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;

use super::Catalogue;
use crate::Result;

/// Interval at which the known publishers are updated.
const KNOWN_EVERY: Duration = Duration::from_secs(600);
/// A publisher is known this long after it was first seen: a new key costs nothing, but waiting
/// does.
const KNOWN_AFTER: Duration = Duration::from_secs(24 * 3_600);
/// Most known publishers, those seen first before others. Each takes a hundred bytes of memory.
const MAX_KNOWN: usize = 100_000;
/// Delay before counting, so that several changes are counted together.
const COUNT_DELAY: Duration = Duration::from_millis(200);

impl Catalogue {
    /// Runs until `stop` is cancelled. Does not wait for the network.
    pub async fn run_tidy(self: Arc<Self>, stop: CancellationToken) {
        let mut knowing = tokio::time::interval(KNOWN_EVERY);
        loop {
            let result = tokio::select! {
                () = stop.cancelled() => return,
                _ = knowing.tick() => self.know().await,
                () = self.changed.notified() => {
                    tokio::time::sleep(COUNT_DELAY).await;
                    self.tidy().await
                }
            };
            if let Err(error) = result {
                tracing::warn!(%error, "the catalogue will be tidied again");
            }
        }
    }

    async fn tidy(&self) -> Result<()> {
        self.core.store.recount().await?;
        self.core.store.make_room(self.core.now()).await?;
        self.core.count();
        Ok(())
    }

    /// Updates the set of known publishers.
    pub async fn know(&self) -> Result<()> {
        let before = self.core.now().before(KNOWN_AFTER);
        let known = self.core.read("reading the publishers", move |store| {
            store.known_publishers(before, MAX_KNOWN)
        });
        self.core.net.know(known.await?);
        Ok(())
    }
}
