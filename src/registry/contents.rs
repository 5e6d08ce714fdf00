//! The interface to the contents of releases: put, fetch, read, keep.

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

/// A stream of bytes to store.
pub type Incoming = Pin<Box<dyn AsyncRead + Send>>;

/// A node's content. `Send + Sync` and object safe, like the registry.
///
/// # Errors
/// Every call fails with [`Closed`](crate::RegistryError::Closed) once the node has ended, with
/// [`Database`](crate::RegistryError::Database) if its database fails, and, over a control socket
/// that fails, with [`NoNode`](crate::RegistryError::NoNode) or
/// [`Control`](crate::RegistryError::Control).
#[async_trait]
pub trait Contents: Send + Sync {
    /// Stores bytes to be published.
    ///
    /// # Errors
    /// [`TooLarge`](crate::RegistryError::TooLarge) beyond the node's limit.
    async fn put(&self, bytes: Incoming) -> Result<Content>;

    /// Fetches a content from several peers at once, and returns when all of it is here and
    /// verified. Resumes an earlier attempt. Concurrent calls for one content share a fetch.
    /// Updates are sent to `progress` while it has room.
    ///
    /// # Errors
    /// [`Fetch`](crate::RegistryError::Fetch) if no peer supplies the rest,
    /// [`Stopped`](crate::RegistryError::Stopped) if a person stopped it.
    async fn fetch(
        &self,
        wanted: Wanted,
        progress: Option<mpsc::Sender<Transfer>>,
    ) -> Result<Fetched>;

    /// Fetches many small companion files at once, from connected peers, within this time. The
    /// caller fetches what is missing then one by one. The default implementation fetches nothing.
    ///
    /// # Errors
    /// Those of every call.
    async fn gather(&self, _wanted: Vec<Wanted>, _within: Duration) -> Result<()> {
        Ok(())
    }

    /// Starts a fetch without waiting for it.
    ///
    /// # Errors
    /// [`TooLarge`](crate::RegistryError::TooLarge); those of every call.
    async fn start_fetch(&self, wanted: Wanted) -> Result<()>;

    /// Returns the verified bytes of a content that is here, in pieces. An error is the last piece.
    ///
    /// # Errors
    /// [`NoContent`](crate::RegistryError::NoContent) if it is not here.
    async fn read(&self, root: ContentRoot) -> Result<mpsc::Receiver<Result<Bytes>>>;

    /// Returns the verified bytes of a content from offset `from` on, in order, and fetches those
    /// that are not here. The beginning is fetched first, and the fetch continues if the reader
    /// goes away. An error is the last piece.
    ///
    /// # Errors
    /// [`TooLarge`](crate::RegistryError::TooLarge) if it is larger than any node accepts. The last
    /// piece may be an error as for [`Contents::fetch`].
    async fn stream(&self, wanted: Wanted, from: u64) -> Result<mpsc::Receiver<Result<Bytes>>>;

    /// Describes a content that is here, without its bytes.
    ///
    /// # Errors
    /// Those of every call.
    async fn held(&self, root: ContentRoot) -> Result<Option<Held>>;

    /// Describes all contents that are here, those used last first.
    ///
    /// # Errors
    /// Those of every call.
    async fn list(&self) -> Result<Vec<Held>>;

    /// Describes the contents that were damaged and are not restored yet, oldest first.
    ///
    /// # Errors
    /// Those of every call.
    async fn lost(&self) -> Result<Vec<Lost>>;

    /// Returns the bytes that are here, by kind, and the quota.
    ///
    /// # Errors
    /// Those of every call.
    async fn usage(&self) -> Result<StorageUsage>;

    /// Pins a content for a release, so that it is not evicted, or unpins it. Returns false if it
    /// is not here. Pins are per release, even if several share the same bytes.
    ///
    /// # Errors
    /// Those of every call.
    async fn keep(&self, root: ContentRoot, release: String, pinned: bool) -> Result<bool>;

    /// Evicts contents that are neither own nor pinned: enough for the quota, or `all` of them.
    /// Also removes the remains of fetches that were not resumed for a week, or, with `all`, for a
    /// minute.
    ///
    /// # Errors
    /// Those of every call.
    async fn clean_up(&self, all: bool) -> Result<Freed>;

    /// Reads and verifies one content. Returns false if it is damaged: it is then dropped, and
    /// fetched again if a peer has it.
    ///
    /// # Errors
    /// [`NoContent`](crate::RegistryError::NoContent); those of every call.
    async fn check(&self, root: ContentRoot) -> Result<bool>;

    /// Returns the nodes that have a content: this one, if it does, and its providers in the DHT,
    /// without duplicates.
    ///
    /// # Errors
    /// Those of every call.
    async fn holders(&self, root: ContentRoot) -> Result<Vec<PeerId>>;

    /// Announces all contents again in the DHT, and checks again which own packages have replicas.
    ///
    /// # Errors
    /// Those of every call.
    async fn offer_again(&self) -> Result<()>;

    /// Returns the running and recent transfers, newest first.
    ///
    /// # Errors
    /// Those of every call.
    async fn transfers(&self) -> Result<Vec<Transfer>>;

    /// Pauses, resumes or stops a fetch. Returns false if there is no such fetch.
    ///
    /// # Errors
    /// Those of every call.
    async fn direct(&self, id: TransferId, order: Order) -> Result<bool>;
}

/// Reads a whole content that fits into memory.
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
