//! After the catalogue has changed: who depends on whom, room for what comes next, whom this node
//! knows, and how much there is.

use std::{sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;

use super::Catalogue;
use crate::Result;

/// Publishers that are known are looked through this often.
const KNOWN_EVERY: Duration = Duration::from_secs(600);
/// A publisher is known that was seen first so long ago: making a key costs nothing, and waiting
/// does.
const KNOWN_AFTER: Duration = Duration::from_secs(24 * 3_600);
/// Publishers that are known at most, those seen first before others: each is a hundred bytes of
/// memory.
const MAX_KNOWN: usize = 100_000;
/// Counting waits this long for more to come.
const COUNT_DELAY: Duration = Duration::from_millis(200);

impl Catalogue {
    /// Runs until `stop` is called. Waits for nobody in the network.
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

    /// Looks through whom this node knows of the publishers.
    pub async fn know(&self) -> Result<()> {
        let before = self.core.now().before(KNOWN_AFTER);
        let known = self.core.read("reading the publishers", move |store| {
            store.known_publishers(before, MAX_KNOWN)
        });
        self.core.net.know(known.await?);
        Ok(())
    }
}
