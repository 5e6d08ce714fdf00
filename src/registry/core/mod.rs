//! The ground floor of the registry: what all of its services stand on.

mod cache;
mod chance;
mod key;
pub mod many;
mod options;

use std::{
    path::PathBuf,
    sync::{Mutex, MutexGuard, PoisonError},
};

use libp2p::{PeerId, identity::Keypair};
use tokio::sync::Semaphore;

pub use chance::Chance;
pub use options::RegistryOptions;

use crate::{
    RegistryError, Result,
    bus::{Bus, Event, Level, Notice, Tally},
    clock::Clock,
    domain::{
        announced::Announced,
        content::ContentOptions,
        record::Announcement,
        release::{self, ReleaseEntry},
        time::Timestamp,
    },
    metrics::Metrics,
    net::Net,
    store::{Store, processors},
};
use cache::Cache;

/// Where a registry reads, whom it asks, and whom it tells.
pub(super) struct Core {
    pub net: Net,
    pub store: Store,
    pub bus: Bus,
    pub tally: Tally,
    pub metrics: Metrics,
    pub options: RegistryOptions,
    pub content: ContentOptions,
    data_dir: PathBuf,
    clock: Clock,
    chance: Chance,
    cache: Mutex<Cache>,
    publisher: Mutex<Option<Keypair>>,
    /// Threads on which this node's own questions and listings read the store at once.
    reading: Semaphore,
}

impl Core {
    /// # Errors
    /// [`RegistryError::Key`] when there is a publisher key that cannot be read.
    pub async fn new(
        (net, store): (Net, Store),
        (bus, tally, metrics): (Bus, Tally, Metrics),
        (options, content): (RegistryOptions, ContentOptions),
        data_dir: PathBuf,
        (clock, chance): (Clock, Chance),
    ) -> Result<Self> {
        let publisher = key::read(&store, &data_dir).await?;
        Ok(Self {
            net,
            store,
            bus,
            tally,
            metrics,
            options,
            content,
            data_dir,
            clock,
            chance,
            cache: Mutex::default(),
            publisher: Mutex::new(publisher),
            reading: Semaphore::new(processors()),
        })
    }

    /// The time by this node's clock.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub fn chance(&self) -> &Chance {
        &self.chance
    }

    /// Packages that were asked for lately.
    pub fn cache(&self) -> MutexGuard<'_, Cache> {
        lock(&self.cache)
    }

    /// Tells whoever watches what a person should know.
    pub fn warn(&self, text: String) {
        tracing::warn!("{text}");
        self.notice(Level::Warning, text);
    }

    /// Tells whoever watches what a person may like to know.
    pub fn note(&self, text: String) {
        self.notice(Level::Info, text);
    }

    fn notice(&self, level: Level, text: String) {
        let at = self.now();
        self.bus.emit(Event::Notice(Notice { at, level, text }));
    }

    /// Tells peers how many packages are here now.
    pub fn count(&self) {
        if let Ok(packages) = self.store.package_count() {
            self.net.greet(|greeting| greeting.packages = packages);
        }
    }

    /// Shows an announcement to whoever watches.
    pub fn tell(&self, announcement: &Announcement, via: Option<PeerId>, verified_at: Timestamp) {
        let travelled = verified_at.since(announcement.announced_at());
        self.tally.announced(via.map(|_| travelled), verified_at);
        if via.is_some() {
            self.metrics.heard(travelled);
        }
        if !self.bus.has_readers() {
            return;
        }
        let (head, manifest) = (&announcement.head, &announcement.manifest);
        let entry = release::find(&head.ecosystem, &head.releases, &manifest.version);
        self.bus.emit(Event::Announced(Box::new(Announced {
            at: verified_at,
            package: head.package().clone(),
            handle: head.handle.clone(),
            trust: self
                .store
                .trust(&head.owner(), head.handle.as_ref())
                .unwrap_or_default(),
            version: manifest.version.clone(),
            summary: manifest.summary().to_string(),
            yanked: entry.is_some_and(ReleaseEntry::is_yanked),
            via,
            delay: verified_at.since(head.signed_at),
            travelled,
            seq: head.seq,
        })));
    }

    /// Reads the store on a thread that may wait for the disk; `what` is what is said to have
    /// failed if it ends before it is done.
    pub async fn read<T: Send + 'static>(
        &self,
        what: &'static str,
        read: impl FnOnce(&Store) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        // Waits here and not on a thread, however much is asked at once.
        let _turn = self
            .reading
            .acquire()
            .await
            .map_err(|_| RegistryError::Closed)?;
        let store = self.store.clone();
        blocking(what, move || read(&store)).await
    }
}

/// Runs what reads or writes much on a thread that may wait; `what` is what is said to have failed
/// if it ends before it is done.
pub(super) async fn blocking<T: Send + 'static>(
    what: &'static str,
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| {
        Err(RegistryError::Internal {
            what,
            why: error.to_string(),
        })
    })
}

/// A poisoned lock only means that another thread panicked between two assignments of plain values.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
