//! The bytes of releases as their users see them: put, fetch, read, keep.

use std::{pin::Pin, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use libp2p::PeerId;
use tokio::{io::AsyncRead, sync::mpsc};

use crate::{
    RegistryError, Result,
    domain::{
        hash::ContentRoot,
        held::{Freed, Held, Lost, StorageUsage},
        manifest::Content,
        transfer::{Fetched, Order, Transfer, TransferId, Wanted},
    },
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

    async fn usage(&self) -> Result<StorageUsage>;

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
