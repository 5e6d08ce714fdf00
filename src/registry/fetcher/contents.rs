//! Implements the users' interface to contents: put, fetch, read, keep.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::{io::AsyncRead, sync::mpsc};
use tokio_util::io::SyncIoBridge;

use super::{Fetcher, error::FetcherError};
use crate::{
    Result,
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
/// The remains of a fetch that was not resumed are removed after this time.
const LEFT_FOR: Duration = Duration::from_secs(7 * 24 * 3_600);

/// Returns the bytes and age of contents beyond which a clean-up removes them: by the quota, or
/// `all` that may be removed.
fn removed_beyond(all: bool, quota: u64) -> (u64, Duration) {
    match all {
        true => (0, A_MINUTE),
        false => (quota, LEFT_FOR),
    }
}

impl Fetcher {
    /// Stores bytes to be published.
    pub async fn put(&self, bytes: impl AsyncRead + Unpin + Send + 'static) -> Result<Content> {
        let reader = SyncIoBridge::new(bytes);
        self.contents
            .put(reader, false, self.core.content.max, |_| {})
            .await
    }

    /// Fetches a content, and returns when all of it is here and verified.
    pub async fn fetch(
        self: &Arc<Self>,
        wanted: Wanted,
        progress: Option<mpsc::Sender<Transfer>>,
    ) -> Result<Fetched, FetcherError> {
        self.core.store.asked_for(wanted.content.root).await?;
        self.fetch_content(wanted, progress).await
    }

    /// Fetches many small companion files at once.
    pub async fn gather(&self, wanted: Vec<Wanted>, within: Duration) -> Result<()> {
        for one in &wanted {
            self.core.store.asked_for(one.content.root).await?;
        }
        self.gather_contents(wanted, within).await
    }

    /// Starts a fetch without waiting for it.
    pub async fn start_fetch(self: &Arc<Self>, wanted: Wanted) -> Result<(), FetcherError> {
        self.core.store.asked_for(wanted.content.root).await?;
        if self.contents.get(&wanted.content.root)?.is_none() {
            self.begin_fetch(wanted)?;
        }
        Ok(())
    }

    /// Returns the verified bytes of a content that is here, in pieces.
    pub async fn read(
        &self,
        root: ContentRoot,
    ) -> Result<mpsc::Receiver<Result<Bytes>>, FetcherError> {
        let held = self
            .contents
            .get(&root)?
            .ok_or(FetcherError::NoContent(root))?;
        let (sender, receiver) = mpsc::channel(PIECES);
        let (contents, count) = (self.contents.clone(), groups(held.content.size));
        tokio::task::spawn_blocking(move || {
            for start in (0..count).step_by(PIECE_GROUPS as usize) {
                let read = contents.read(&root, &(start..(start + PIECE_GROUPS).min(count)));
                let piece = read.and_then(|bytes| {
                    bytes
                        .map(Bytes::from)
                        .ok_or_else(|| FetcherError::Damaged(root).into())
                });
                let failed = piece.is_err();
                if sender.blocking_send(piece).is_err() || failed {
                    return;
                }
            }
        });
        Ok(receiver)
    }

    /// Returns the verified bytes of a content from an offset on, as they arrive.
    pub async fn stream(
        self: &Arc<Self>,
        wanted: Wanted,
        from: u64,
    ) -> Result<mpsc::Receiver<Result<Bytes>>, FetcherError> {
        self.core.store.asked_for(wanted.content.root).await?;
        self.stream_content(wanted, from).await
    }

    /// Pins a content for a release, or unpins it.
    pub async fn pin(&self, root: ContentRoot, release: String, pinned: bool) -> Result<bool> {
        self.core.store.asked_for(root).await?;
        self.contents.set_pinned(root, release, pinned).await
    }

    /// Removes contents that are neither own nor pinned.
    pub async fn clean_up(&self, all: bool) -> Result<Freed> {
        let (most, age) = removed_beyond(all, self.contents.usage()?.quota);
        self.contents.gc(most, age).await
    }

    /// Reads and verifies one content. Returns false if it was damaged.
    pub async fn check(&self, root: ContentRoot) -> Result<bool, FetcherError> {
        let held = self
            .contents
            .get(&root)?
            .ok_or(FetcherError::NoContent(root))?;
        Ok(self.contents.verify(held.content).await?)
    }

    /// Controls a fetch. Returns false if there is no such fetch.
    pub async fn direct(
        self: &Arc<Self>,
        id: TransferId,
        order: Order,
    ) -> Result<bool, FetcherError> {
        match id {
            TransferId::Fetch { root } => self.direct_fetch(root, order).await,
            // A transfer to another node is that node's to stop.
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
