//! The bytes of releases, by their BLAKE3 root. Small contents are in the database and share its
//! commits; the others are in files, each with the hashes that verify every 16 KiB.
//!
//! A file is written under another name, synced, and renamed, so that a root's file is complete or
//! absent. Every read is verified; data that no longer verifies is dropped and reported, never
//! handed out.

mod blob;
mod files;
mod keep;
mod medium;
mod partial;
mod rows;
#[cfg(test)]
mod tests;

pub use blob::Blob;
pub(crate) use blob::{chunks, hash, tree};
pub(crate) use keep::Small;
pub use partial::Partial;

use std::{
    collections::{HashMap, VecDeque},
    fs,
    io::Read,
    ops::Range,
    path::{Path, PathBuf},
    sync::{Arc, Weak},
    time::Duration,
};

use parking_lot::Mutex;
use tokio::sync::broadcast;

use super::{Store, make_private};
use crate::{
    RegistryError, Result, clock,
    domain::{
        content::{GROUP, Groups, groups},
        hash::ContentRoot,
        held::{FetchOrigin, Freed, Held, Holding, Lost, StorageUsage},
        manifest::Content,
        time::Timestamp,
    },
};
use blob::Unreadable;
use files::{on_disk, paths, remove_files};
use keep::Kept;
use medium::{Disk, Medium};

/// Contents below this size in bytes are in the database: a file would cost two renames and two
/// syncs.
pub const SMALL: u64 = 64 * 1_024;
/// Bytes read or written at once.
const PIECE: usize = 1 << 20;
/// Groups in a piece.
pub const PIECE_GROUPS: u64 = PIECE as u64 / GROUP;
/// Most contents kept open, each with two files.
const OPEN: usize = 32;
/// The time of the last use is written at most this often.
const USED_EVERY: Duration = Duration::from_secs(3_600);
/// Most damaged contents waiting to be fetched again.
const DAMAGED: usize = 64;

/// A node's contents. Cheap to clone.
#[derive(Clone)]
pub struct ContentStore {
    inner: Arc<Inner>,
}

struct Inner {
    dir: PathBuf,
    store: Store,
    quota: u64,
    medium: Arc<dyn Medium>,
    /// Contents opened lately, newest last.
    open: Mutex<VecDeque<Arc<Blob>>>,
    /// Partial contents that are open.
    partials: Mutex<HashMap<ContentRoot, Weak<Partial>>>,
    damaged: broadcast::Sender<Held>,
    counted: keep::Counted,
}

impl Inner {
    /// Removes a damaged content and reports it, so that it can be fetched again.
    async fn lose(&self, held: Held) -> Result<()> {
        let root = held.content.root;
        let first = self
            .store
            .write(move |db| rows::lose(db, &root, clock::now()))
            .await?;
        // Another task may have found it at the same time, and a node that is shutting down has no
        // listener.
        if first {
            drop(self.damaged.send(held));
        }
        Ok(())
    }
}

/// Returns the paths of a content's two files, below the directory of all contents.
pub(super) fn paths_of(dir: &Path, root: &ContentRoot) -> [PathBuf; 2] {
    paths(dir, root)
}

/// Returns all contents that a database lists as held.
pub(super) fn listed(db: &rusqlite::Connection) -> rusqlite::Result<Vec<Held>> {
    rows::list(db)
}

/// Removes a content from a copy of the database. Its pins return with it.
pub(super) fn leave_out(
    db: &rusqlite::Connection,
    held: &Held,
    now: Timestamp,
) -> rusqlite::Result<()> {
    let root = &held.content.root;
    if held.own || held.pinned {
        rows::lose(db, root, now)
    } else {
        rows::remove(db, root)
    }
    .map(drop)
}

/// Stores small own content in a running transaction.
pub(super) fn own_small(
    db: &rusqlite::Connection,
    content: &Content,
    what: &str,
    bytes: &[u8],
    now: Timestamp,
) -> rusqlite::Result<()> {
    rows::put(db, content, true, Some(what), None, Some(bytes), now)
}

/// Runs file work outside the tasks that serve the network.
async fn blocking<T: Send + 'static>(
    job: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    let done = tokio::task::spawn_blocking(job).await;
    done.unwrap_or_else(|error| {
        Err(RegistryError::Internal {
            what: "working on content",
            why: error.to_string(),
        })
    })
}

impl ContentStore {
    /// Opens the contents of a data directory. Contents that are neither own nor pinned are evicted
    /// to keep the total below `quota` bytes.
    ///
    /// # Errors
    /// [`RegistryError::File`] if the directory cannot be used.
    pub fn open(data_dir: &Path, store: Store, quota: u64) -> Result<Self> {
        Self::open_on(data_dir, store, quota, Arc::new(Disk))
    }

    fn open_on(data_dir: &Path, store: Store, quota: u64, medium: Arc<dyn Medium>) -> Result<Self> {
        let dir = data_dir.join("content");
        let inner = Inner {
            dir: dir.clone(),
            store,
            quota,
            medium,
            open: Mutex::default(),
            partials: Mutex::default(),
            damaged: broadcast::Sender::new(DAMAGED),
            counted: keep::Counted::default(),
        };
        let failed = |error| RegistryError::file(&dir, "used")(error);
        for part in [&dir, &inner.incoming(), &inner.partial_dir()] {
            make_private(part).map_err(failed)?;
        }
        // Remove puts that were interrupted by a crash: nobody was told that they exist.
        for file in fs::read_dir(inner.incoming()).map_err(failed)?.flatten() {
            fs::remove_file(file.path()).map_err(failed)?;
        }
        inner.demote_orphans()?;
        Ok(Self {
            inner: Arc::new(inner),
        })
    }

    /// Returns a channel of the contents found to be damaged from now on, which are then no longer
    /// held.
    pub fn damaged(&self) -> broadcast::Receiver<Held> {
        self.inner.damaged.subscribe()
    }

    pub fn get(&self, root: &ContentRoot) -> Result<Option<Held>> {
        self.inner.store.read(|db| rows::get(db, root))
    }

    /// Returns all contents that are held, those used last first.
    pub fn list(&self) -> Result<Vec<Held>> {
        self.inner.store.read(rows::list)
    }

    /// Returns the contents that were damaged and are not restored yet, oldest first.
    pub fn lost(&self) -> Result<Vec<Lost>> {
        self.inner.store.read(rows::lost)
    }

    pub fn usage(&self) -> Result<StorageUsage> {
        let (bytes, kept) = self.inner.store.read(rows::usage)?;
        Ok(StorageUsage {
            bytes,
            kept,
            quota: self.inner.quota,
        })
    }

    /// Returns the part of a content that is held.
    pub fn holding(&self, root: &ContentRoot) -> Result<Option<Holding>> {
        if let Some(held) = self.get(root)? {
            return Ok(Some(Holding::Complete {
                size: held.content.size,
            }));
        }
        let partial = self.inner.partial(root);
        Ok(partial.map(|partial| Holding::Partial {
            size: partial.content.size,
            have: partial.have(),
        }))
    }

    /// Opens a content that is held completely.
    pub(crate) fn blob(&self, root: &ContentRoot) -> Result<Option<Arc<Blob>>> {
        let inner = &self.inner;
        {
            let mut open = inner.open.lock();
            if let Some(at) = open.iter().position(|blob| blob.content.root == *root)
                && let Some(blob) = open.remove(at)
            {
                open.push_back(blob.clone());
                return Ok(Some(blob));
            }
        }
        let Some(held) = self.get(root)? else {
            return Ok(None);
        };
        self.note_use(&held);
        let opened = inner.open_blob(&held)?;
        let Some(blob) = opened else {
            self.drop_damaged(root)?;
            return Ok(None);
        };
        let blob = Arc::new(blob);
        let mut open = inner.open.lock();
        if open.len() >= OPEN {
            open.pop_front();
        }
        open.push_back(blob.clone());
        Ok(Some(blob))
    }

    /// Updates the time of last use, at most once an hour; the write happens in the background.
    fn note_use(&self, held: &Held) {
        let (now, root) = (clock::now(), held.content.root);
        if now.since(held.used_at) < USED_EVERY {
            return;
        }
        let (store, runtime) = (
            self.inner.store.clone(),
            tokio::runtime::Handle::try_current(),
        );
        // Only tests have no runtime.
        if let Ok(runtime) = runtime {
            runtime.spawn(async move { store.write(move |db| rows::used(db, &root, now)).await });
        }
    }

    /// Returns the groups with the hashes that verify them, from a complete or partial content;
    /// `None` if they are not there. Blocks.
    pub(crate) fn encode(&self, root: &ContentRoot, range: &Range<u64>) -> Result<Option<Vec<u8>>> {
        if let Some(blob) = self.blob(root)? {
            return self.unless_damaged(root, blob.encode(range));
        }
        let Some(partial) = self.inner.partial(root) else {
            return Ok(None);
        };
        let wanted = Groups::from(range.clone());
        if &partial.have() & &wanted != wanted {
            return Ok(None);
        }
        Ok(partial.encode(range).ok())
    }

    /// Returns verified bytes of a complete content; `None` if it is not held. Blocks.
    pub(crate) fn read(&self, root: &ContentRoot, range: &Range<u64>) -> Result<Option<Vec<u8>>> {
        match self.blob(root)? {
            Some(blob) => self.unless_damaged(root, blob.read(range)),
            None => Ok(None),
        }
    }

    /// Hands out the verified bytes of a complete content, piece by piece. Blocks.
    ///
    /// # Errors
    /// [`RegistryError::NotPut`] if it is not held or was damaged.
    pub(crate) fn read_each(&self, content: &Content, mut each: impl FnMut(&[u8])) -> Result<()> {
        let count = groups(content.size);
        for start in (0..count).step_by(PIECE_GROUPS as usize) {
            let piece = self.read(&content.root, &(start..(start + PIECE_GROUPS).min(count)))?;
            each(&piece.ok_or(RegistryError::NotPut(content.root))?);
        }
        Ok(())
    }

    /// Returns verified bytes from a group on, up to `most` groups without a gap, from a complete
    /// or partial content; `None` if that group is not there. Blocks.
    pub(crate) fn read_on(
        &self,
        root: &ContentRoot,
        at: u64,
        most: u64,
    ) -> Result<Option<Vec<u8>>> {
        if let Some(blob) = self.blob(root)? {
            let end = at.saturating_add(most).min(groups(blob.content.size));
            return self.unless_damaged(root, blob.read(&(at..end)));
        }
        let Some(partial) = self.inner.partial(root) else {
            return Ok(None);
        };
        // A damaged partial is found when it is verified as a whole.
        Ok(partial.read_on(at, most).unwrap_or_default())
    }

    fn unless_damaged(
        &self,
        root: &ContentRoot,
        read: Result<Vec<u8>, Unreadable>,
    ) -> Result<Option<Vec<u8>>> {
        match read {
            Ok(bytes) => Ok(Some(bytes)),
            Err(Unreadable::Damaged) => {
                self.drop_damaged(root)?;
                Ok(None)
            }
            Err(Unreadable::Io(error)) => Err(RegistryError::file(&self.inner.dir, "read")(error)),
        }
    }

    /// Drops a content that no longer verifies.
    fn drop_damaged(&self, root: &ContentRoot) -> Result<()> {
        let Some(held) = self.get(root)? else {
            return Ok(());
        };
        tracing::error!(%root, "content no longer verifies and is dropped; check the disk");
        self.inner
            .open
            .lock()
            .retain(|blob| blob.content.root != *root);
        // Groups that still verify need not be fetched again.
        self.inner.move_away(root)?;
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return Ok(());
        };
        let inner = self.inner.clone();
        runtime.spawn(async move {
            let root = held.content.root;
            if let Err(error) = inner.lose(held).await {
                tracing::error!(%error, %root, "damaged content could not be forgotten");
            }
        });
        Ok(())
    }

    /// Stores the bytes of `reader`. `told` is called with the number of bytes read so far. Does
    /// not block: the reading is done elsewhere.
    ///
    /// # Errors
    /// [`RegistryError::TooLarge`] beyond `most` bytes, [`RegistryError::File`] if they cannot be
    /// read or written.
    pub async fn put(
        &self,
        reader: impl Read + Send + 'static,
        own: bool,
        most: u64,
        told: impl FnMut(u64) + Send + 'static,
    ) -> Result<Content> {
        let inner = self.inner.clone();
        let (content, small) = blocking(move || inner.take(reader, most, told)).await?;
        self.keep(vec![Kept {
            content,
            own,
            what: None,
            origin: None,
            small,
        }])
        .await?;
        Ok(content)
    }

    fn remove_evicted(&self, evicted: Vec<(ContentRoot, u64)>) {
        for (root, size) in evicted {
            tracing::info!(%root, size, "content was evicted, because the quota is used up");
            self.inner
                .open
                .lock()
                .retain(|blob| blob.content.root != root);
            if let Err(error) = remove_files(&paths(&self.inner.dir, &root)) {
                tracing::warn!(%error, "the file of evicted content could not be removed");
            }
        }
    }

    /// Opens the partial of a content that is being fetched, and verifies what an earlier run left.
    ///
    /// # Errors
    /// [`RegistryError::StoreFull`] if it does not fit beside own and pinned contents.
    pub(crate) async fn partial(&self, content: Content) -> Result<Arc<Partial>> {
        if let Some(partial) = self
            .inner
            .partial(&content.root)
            .filter(|partial| partial.content == content)
        {
            return Ok(partial);
        }
        self.check_room(content.size)?;
        let inner = self.inner.clone();
        blocking(move || {
            let dir = inner.partial_dir();
            let opened = Partial::open(&dir, content, inner.medium.clone());
            let partial = Arc::new(opened.map_err(RegistryError::file(&dir, "written to"))?);
            inner
                .partials
                .lock()
                .insert(content.root, Arc::downgrade(&partial));
            Ok(partial)
        })
        .await
    }

    /// Checks that `size` more bytes fit.
    ///
    /// # Errors
    /// [`RegistryError::StoreFull`] if they do not fit beside own and pinned contents.
    pub(crate) fn check_room(&self, size: u64) -> Result<()> {
        // Summing all contents takes longer than fetching a small one.
        if self.inner.counted.surely_fit(size, self.inner.quota) {
            return Ok(());
        }
        let StorageUsage { kept, quota, .. } = self.usage()?;
        if kept.saturating_add(size) > quota {
            return Err(RegistryError::StoreFull {
                needed: size,
                kept,
                quota,
            });
        }
        Ok(())
    }

    /// Turns a finished partial into a complete content.
    pub(crate) async fn finish(
        &self,
        partial: Arc<Partial>,
        what: &str,
        origin: FetchOrigin,
    ) -> Result<()> {
        let (content, inner) = (partial.content, self.inner.clone());
        blocking(move || {
            partial
                .finish(&inner.dir)
                .map_err(RegistryError::file(&inner.dir, "written to"))?;
            inner.partials.lock().remove(&content.root);
            Ok(())
        })
        .await?;
        let (what, origin) = (Some(what.to_owned()), Some(origin));
        self.keep(vec![Kept {
            content,
            own: false,
            what,
            origin,
            small: None,
        }])
        .await
    }

    /// Returns the bytes that an earlier fetch left on the disk, which are not verified yet.
    pub(crate) fn left_of(&self, content: &Content) -> u64 {
        let [data, _] = paths(&self.inner.partial_dir(), &content.root);
        fs::metadata(data).map_or(0, |about| on_disk(&about).min(content.size))
    }

    /// Discards the partial of a content.
    pub(crate) async fn discard(&self, root: ContentRoot) -> Result<()> {
        let inner = self.inner.clone();
        blocking(move || {
            let partial = inner
                .partials
                .lock()
                .remove(&root)
                .and_then(|partial| partial.upgrade());
            let dir = inner.partial_dir();
            let removed = match partial {
                Some(partial) => partial.remove(),
                None => remove_files(&paths(&dir, &root)),
            };
            removed.map_err(RegistryError::file(&dir, "removed from"))
        })
        .await
    }

    /// Removes the files of contents that are no longer held, and their partials.
    pub(crate) async fn remove_files_of(&self, gone: Vec<ContentRoot>) {
        for root in gone {
            self.inner
                .open
                .lock()
                .retain(|blob| blob.content.root != root);
            let removed = remove_files(&paths(&self.inner.dir, &root))
                .map_err(RegistryError::file(&self.inner.dir, "removed from"));
            if let Err(error) = removed.and(self.discard(root).await) {
                tracing::warn!(%error, %root, "the file of a removed content could not be deleted");
            }
        }
    }

    /// Marks a content as part of an own release. Returns false if it is not held. The mark is on
    /// the disk together with the release's head.
    pub async fn set_own(&self, root: ContentRoot, what: String) -> Result<bool> {
        self.inner
            .store
            .write_unsynced(move |db| rows::set_own(db, &root, &what))
            .await
    }

    /// Pins a content for a release, so that it is never evicted, or removes that pin; pins of
    /// other releases stay. Returns false if it is not held.
    pub async fn set_pinned(&self, root: ContentRoot, release: String, pin: bool) -> Result<bool> {
        self.inner
            .store
            .write(move |db| rows::set_pinned(db, &root, &release, pin))
            .await
    }

    /// Evicts contents that are neither own nor pinned down to `most` bytes in all, and removes
    /// partials that got nothing for `age`.
    pub async fn gc(&self, most: u64, age: Duration) -> Result<Freed> {
        let evicted = self
            .inner
            .store
            .write(move |db| rows::evict(db, most, &[]))
            .await?;
        let long_ago = clock::now().before(age);
        self.inner
            .store
            .write(move |db| rows::forget_lost(db, long_ago))
            .await?;
        let mut freed = Freed {
            contents: evicted.len() as u64,
            bytes: evicted.iter().map(|(_, size)| size).sum(),
        };
        self.remove_evicted(evicted);
        let inner = self.inner.clone();
        let old = blocking(move || Ok(inner.old_partials(age))).await?;
        for (root, bytes) in old {
            self.discard(root).await?;
            freed.contents += 1;
            freed.bytes += bytes;
        }
        Ok(freed)
    }

    /// Reads and verifies one content. Returns false if it was damaged, and drops it.
    pub async fn verify(&self, content: Content) -> Result<bool> {
        let (store, held) = (self.clone(), self.get(&content.root)?);
        let sound = blocking(move || {
            // Open it anew: an open file can still be read after it was deleted.
            store
                .inner
                .open
                .lock()
                .retain(|blob| blob.content.root != content.root);
            let Some(blob) = store.blob(&content.root)? else {
                return Ok(false);
            };
            let count = groups(blob.content.size);
            for start in (0..count).step_by(PIECE_GROUPS as usize) {
                let range = start..(start + PIECE_GROUPS).min(count);
                if store
                    .unless_damaged(&content.root, blob.encode(&range))?
                    .is_none()
                {
                    return Ok(false);
                }
            }
            Ok(true)
        })
        .await?;
        // Wait for the removal to be recorded, in case the node ends right after this answer.
        if let (false, Some(held)) = (sound, held) {
            self.inner.lose(held).await?;
        }
        Ok(sound)
    }
}
