//! The bytes of releases as their users see them: put, fetch, read, keep.

use std::{pin::Pin, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use libp2p::PeerId;
use tokio::{io::AsyncRead, sync::mpsc};
use tokio_util::io::SyncIoBridge;

use super::P2pRegistry;
use crate::{
    RegistryError, Result,
    domain::{
        content::groups,
        hash::ContentRoot,
        held::{Freed, Held, Lost, Usage},
        manifest::Content,
        transfer::{Fetched, Order, Transfer, TransferId, Wanted},
    },
    store::content::PIECE_GROUPS,
};

/// Bytes that come from somewhere.
pub type Incoming = Pin<Box<dyn AsyncRead + Send>>;

/// A node's content. `Send + Sync` and object safe, like the registry.
#[async_trait]
pub trait Contents: Send + Sync {
    /// Takes bytes to be published, whatever they are.
    ///
    /// # Errors
    /// [`TooLarge`](crate::RegistryError::TooLarge) beyond the most that the node takes.
    async fn put(&self, bytes: Incoming) -> Result<Content>;

    /// Fetches what is not here, from several peers at once, and returns when all of it is here and
    /// verified; goes on where an earlier attempt stopped. Who asks for the same at the same time
    /// waits for the same fetch. Progress goes to
    /// `progress`, as far as it has room.
    ///
    /// # Errors
    /// [`Fetch`](crate::RegistryError::Fetch) when nobody gives the rest,
    /// [`Stopped`](crate::RegistryError::Stopped) when a person stopped it.
    async fn fetch(
        &self,
        wanted: Wanted,
        progress: Option<mpsc::Sender<Transfer>>,
    ) -> Result<Fetched>;

    /// Fetches what is small and travels beside files, many at once, from peers that are connected,
    /// and waits no longer than this. What is not here then is to be fetched alone, which is all of
    /// it where this is not done.
    async fn gather(&self, _wanted: Vec<Wanted>, _within: Duration) -> Result<()> {
        Ok(())
    }

    /// Begins to fetch, and does not wait.
    async fn start_fetch(&self, wanted: Wanted) -> Result<()>;

    /// The verified bytes of content that is here, in pieces. A piece that is an error is the last.
    ///
    /// # Errors
    /// [`NoContent`](crate::RegistryError::NoContent) when it is not here.
    async fn read(&self, root: ContentRoot) -> Result<mpsc::Receiver<Result<Bytes>>>;

    /// The verified bytes of content from offset `from` on, in order, as they come from other nodes
    /// where they are not here. What stands first is fetched first, and the fetch goes on when
    /// nobody reads any more. A piece that is an error is the last.
    ///
    /// # Errors
    /// [`TooLarge`](crate::RegistryError::TooLarge) for what no node takes; the last piece as
    /// [`Contents::fetch`].
    async fn stream(&self, wanted: Wanted, from: u64) -> Result<mpsc::Receiver<Result<Bytes>>>;

    /// Content that is here, without its bytes.
    async fn held(&self, root: ContentRoot) -> Result<Option<Held>>;

    /// All content that is here, what was used last first.
    async fn list(&self) -> Result<Vec<Held>>;

    /// Content that was damaged and is not here again, the oldest first.
    async fn lost(&self) -> Result<Vec<Lost>>;

    async fn usage(&self) -> Result<Usage>;

    /// Keeps content whatever the quota says for a release, or no longer for that one; false when
    /// it is not here. What is pinned for a release stays for it, whatever becomes of others with
    /// the same bytes.
    async fn keep(&self, root: ContentRoot, release: String, pinned: bool) -> Result<bool>;

    /// Removes what is neither own nor pinned: as much as the quota wants, or `all` of it; and what
    /// was left of fetches that nobody has gone on with for a week, or with `all` for a minute.
    async fn clean_up(&self, all: bool) -> Result<Freed>;

    /// Reads and verifies one content; false when it was damaged. It is dropped then, and fetched
    /// again if it can be had.
    async fn check(&self, root: ContentRoot) -> Result<bool>;

    /// Nodes that have a content: this one if it has, and those of which the DHT says so, each
    /// once.
    async fn holders(&self, root: ContentRoot) -> Result<Vec<PeerId>>;

    /// Tells the DHT again of everything that is here, and has it looked at anew which of the own
    /// packages others have.
    async fn offer_again(&self) -> Result<()>;

    /// Transfers that run, and those that did lately, the newest first.
    async fn transfers(&self) -> Result<Vec<Transfer>>;

    /// Tells a fetch what to do; false when there is none that it could be told.
    async fn direct(&self, id: TransferId, order: Order) -> Result<bool>;
}

/// Pieces of 1 MiB that are read ahead of a reader.
const PIECES: usize = 2;
const A_MINUTE: Duration = Duration::from_secs(60);
/// What is left of a fetch that nobody has gone on with is removed after this time.
pub(super) const LEFT_FOR: Duration = Duration::from_secs(7 * 24 * 3_600);

/// The whole of a content that is small enough to be in memory.
///
/// # Errors
/// As [`Contents::read`]; [`TooLarge`](crate::RegistryError::TooLarge) beyond `most` bytes.
pub async fn read_whole(contents: &dyn Contents, root: ContentRoot, most: u64) -> Result<Vec<u8>> {
    let mut pieces = contents.read(root).await?;
    let mut whole = Vec::new();
    while let Some(piece) = pieces.recv().await {
        whole.extend_from_slice(&piece?);
        if whole.len() as u64 > most {
            return Err(RegistryError::TooLarge {
                size: whole.len() as u64,
                most,
            });
        }
    }
    Ok(whole)
}

#[async_trait]
impl Contents for P2pRegistry {
    async fn put(&self, bytes: Incoming) -> Result<Content> {
        let reader = SyncIoBridge::new(bytes);
        self.contents
            .put(reader, false, self.core.options.max_content, |_| {})
            .await
    }

    async fn fetch(
        &self,
        wanted: Wanted,
        progress: Option<mpsc::Sender<Transfer>>,
    ) -> Result<Fetched> {
        self.core.store.asked_for(wanted.content.root).await?;
        self.fetch_content(wanted, progress).await
    }

    async fn gather(&self, wanted: Vec<Wanted>, within: Duration) -> Result<()> {
        for one in &wanted {
            self.core.store.asked_for(one.content.root).await?;
        }
        self.gather_contents(wanted, within).await
    }

    async fn start_fetch(&self, wanted: Wanted) -> Result<()> {
        self.core.store.asked_for(wanted.content.root).await?;
        if self.contents.get(&wanted.content.root)?.is_none() {
            self.begin_fetch(wanted)?;
        }
        Ok(())
    }

    async fn read(&self, root: ContentRoot) -> Result<mpsc::Receiver<Result<Bytes>>> {
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

    async fn stream(&self, wanted: Wanted, from: u64) -> Result<mpsc::Receiver<Result<Bytes>>> {
        self.core.store.asked_for(wanted.content.root).await?;
        self.stream_content(wanted, from).await
    }

    async fn held(&self, root: ContentRoot) -> Result<Option<Held>> {
        self.contents.get(&root)
    }

    async fn list(&self) -> Result<Vec<Held>> {
        self.contents.list()
    }

    async fn lost(&self) -> Result<Vec<Lost>> {
        self.contents.lost()
    }

    async fn usage(&self) -> Result<Usage> {
        self.contents.usage()
    }

    async fn keep(&self, root: ContentRoot, release: String, pinned: bool) -> Result<bool> {
        self.core.store.asked_for(root).await?;
        self.contents.set_pinned(root, release, pinned).await
    }

    async fn clean_up(&self, all: bool) -> Result<Freed> {
        let quota = self.contents.usage()?.quota;
        let (most, age) = if all {
            (0, A_MINUTE)
        } else {
            (quota, LEFT_FOR)
        };
        let freed = self.contents.gc(most, age).await?;
        Ok(freed)
    }

    async fn check(&self, root: ContentRoot) -> Result<bool> {
        let held = self
            .contents
            .get(&root)?
            .ok_or(RegistryError::NoContent(root))?;
        self.contents.verify(held.content).await
    }

    async fn holders(&self, root: ContentRoot) -> Result<Vec<PeerId>> {
        self.holders_of(root).await
    }

    async fn offer_again(&self) -> Result<()> {
        self.offer_everything();
        Ok(())
    }

    async fn transfers(&self) -> Result<Vec<Transfer>> {
        Ok(self.board.list())
    }

    async fn direct(&self, id: TransferId, order: Order) -> Result<bool> {
        match id {
            TransferId::Fetch { root } => self.direct_fetch(root, order).await,
            // What others fetch is theirs to stop.
            TransferId::Serve { .. } => Ok(false),
        }
    }
}
