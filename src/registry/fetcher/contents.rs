//! Content as users of a node ask for it: put, fetched, read, kept.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::{io::AsyncRead, sync::mpsc};
use tokio_util::io::SyncIoBridge;

use super::Fetcher;
use crate::{
    RegistryError, Result,
    domain::{
        content::groups,
        hash::ContentRoot,
        held::Freed,
        manifest::Content,
        transfer::{Fetched, Order, Transfer, TransferId, Wanted},
    },
    store::content::PIECE_GROUPS,
};

/// Pieces of 1 MiB that are read ahead of a reader.
const PIECES: usize = 2;
const A_MINUTE: Duration = Duration::from_secs(60);
/// What is left of a fetch that nobody has gone on with is removed after this time.
const LEFT_FOR: Duration = Duration::from_secs(7 * 24 * 3_600);

/// The most bytes and the age of what is left, beyond which a clean-up removes it: by the quota, or
/// `all` that may be.
fn removed_beyond(all: bool, quota: u64) -> (u64, Duration) {
    match all {
        true => (0, A_MINUTE),
        false => (quota, LEFT_FOR),
    }
}

impl Fetcher {
    /// Takes bytes to be published.
    pub async fn put(&self, bytes: impl AsyncRead + Unpin + Send + 'static) -> Result<Content> {
        let reader = SyncIoBridge::new(bytes);
        self.contents
            .put(reader, false, self.core.content.max, |_| {})
            .await
    }

    /// Fetches what is not here, and returns when all of it is here and verified.
    pub async fn fetch(
        self: &Arc<Self>,
        wanted: Wanted,
        progress: Option<mpsc::Sender<Transfer>>,
    ) -> Result<Fetched> {
        self.core.store.asked_for(wanted.content.root).await?;
        self.fetch_content(wanted, progress).await
    }

    /// Fetches what is small and travels beside files, many at once.
    pub async fn gather(&self, wanted: Vec<Wanted>, within: Duration) -> Result<()> {
        for one in &wanted {
            self.core.store.asked_for(one.content.root).await?;
        }
        self.gather_contents(wanted, within).await
    }

    /// Begins to fetch, and does not wait.
    pub async fn start_fetch(self: &Arc<Self>, wanted: Wanted) -> Result<()> {
        self.core.store.asked_for(wanted.content.root).await?;
        if self.contents.get(&wanted.content.root)?.is_none() {
            self.begin_fetch(wanted)?;
        }
        Ok(())
    }

    /// The verified bytes of content that is here, in pieces.
    pub async fn read(&self, root: ContentRoot) -> Result<mpsc::Receiver<Result<Bytes>>> {
        let held = self
            .contents
            .get(&root)?
            .ok_or(RegistryError::NoContent(root))?;
        let (sender, receiver) = mpsc::channel(PIECES);
        let (contents, count) = (self.contents.clone(), groups(held.content.size));
        tokio::task::spawn_blocking(move || {
            for start in (0..count).step_by(PIECE_GROUPS as usize) {
                let read = contents.read(&root, &(start..(start + PIECE_GROUPS).min(count)));
                let piece = read.and_then(|bytes| {
                    bytes
                        .map(Bytes::from)
                        .ok_or(RegistryError::ContentDamaged(root))
                });
                let failed = piece.is_err();
                if sender.blocking_send(piece).is_err() || failed {
                    return;
                }
            }
        });
        Ok(receiver)
    }

    /// The verified bytes of content from an offset on, as they come.
    pub async fn stream(
        self: &Arc<Self>,
        wanted: Wanted,
        from: u64,
    ) -> Result<mpsc::Receiver<Result<Bytes>>> {
        self.core.store.asked_for(wanted.content.root).await?;
        self.stream_content(wanted, from).await
    }

    /// Keeps content for a release whatever the quota says, or no longer.
    pub async fn pin(&self, root: ContentRoot, release: String, pinned: bool) -> Result<bool> {
        self.core.store.asked_for(root).await?;
        self.contents.set_pinned(root, release, pinned).await
    }

    /// Removes what is neither own nor pinned.
    pub async fn clean_up(&self, all: bool) -> Result<Freed> {
        let (most, age) = removed_beyond(all, self.contents.usage()?.quota);
        self.contents.gc(most, age).await
    }

    /// Reads and verifies one content; false when it was damaged.
    pub async fn check(&self, root: ContentRoot) -> Result<bool> {
        let held = self
            .contents
            .get(&root)?
            .ok_or(RegistryError::NoContent(root))?;
        self.contents.verify(held.content).await
    }

    /// Tells a fetch what to do; false when there is none that it could be told.
    pub async fn direct(self: &Arc<Self>, id: TransferId, order: Order) -> Result<bool> {
        match id {
            TransferId::Fetch { root } => self.direct_fetch(root, order).await,
            // What others fetch is theirs to stop.
            TransferId::Serve { .. } => Ok(false),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clean_up_leaves_what_the_quota_allows_and_with_all_nothing() {
        assert_eq!(removed_beyond(false, 10), (10, LEFT_FOR));
        assert_eq!(removed_beyond(true, 10), (0, A_MINUTE));
    }
}
