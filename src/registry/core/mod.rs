//! The foundation of the registry, which all of its services use.

mod cache;
mod chance;
mod key;
pub mod many;
mod options;

use std::path::PathBuf;

use libp2p::{PeerId, identity::Keypair};
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Semaphore;

pub use chance::Chance;
pub use options::RegistryOptions;

use crate::{
    RegistryError, Result,
    bus::{Bus, BusEvent, Level, Notice, Tally},
    clock::Clock,
    domain::{
        announced::ReceivedAnnouncement,
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

/// The store, network and bus that the services share.
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
    /// Limits the threads on which this node's own requests read the store.
    reading: Semaphore,
}

impl Core {
    /// Creates the core.
    ///
    /// # Errors
    /// [`RegistryError::Key`] if there is a publisher key that cannot be read.
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

    /// Returns the time of this node's clock.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub fn chance(&self) -> &Chance {
        &self.chance
    }

    /// Returns the packages requested lately.
    pub fn cache(&self) -> MutexGuard<'_, Cache> {
        self.cache.lock()
    }

    /// Shows a warning to the readers of the bus.
    pub fn warn(&self, text: String) {
        tracing::warn!("{text}");
        self.notice(Level::Warning, text);
    }

    /// Shows a remark to the readers of the bus.
    pub fn note(&self, text: String) {
        self.notice(Level::Info, text);
    }

    fn notice(&self, level: Level, text: String) {
        let at = self.now();
        self.bus.emit(BusEvent::Notice(Notice { at, level, text }));
    }

    /// Tells peers the number of packages here.
    pub fn count(&self) {
        if let Ok(packages) = self.store.package_count() {
            self.net.greet(|greeting| greeting.packages = packages);
        }
    }

    /// Shows an announcement to the readers of the bus.
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
        self.bus
            .emit(BusEvent::Announced(Box::new(ReceivedAnnouncement {
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

    /// Reads the store on a blocking thread. `what` names the work in the error if the thread ends
    /// early.
    pub async fn read<T: Send + 'static>(
        &self,
        what: &'static str,
        read: impl FnOnce(&Store) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        // Wait for a permit here, so that many requests do not occupy as many threads.
        let _turn = self
            .reading
            .acquire()
            .await
            .map_err(|_| RegistryError::Closed)?;
        let store = self.store.clone();
        blocking(what, move || read(&store)).await
    }
}

/// Runs long reads or writes on a blocking thread. `what` names the work in the error if the thread
/// ends early.
pub(super) async fn blocking<T, E>(
    what: &'static str,
    work: impl FnOnce() -> Result<T, E> + Send + 'static,
) -> Result<T, E>
where
    T: Send + 'static,
    E: From<RegistryError> + Send + 'static,
{
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| {
        let why = error.to_string();
        Err(RegistryError::Internal { what, why }.into())
    })
}
