//! What this node publishes: signed, delivered, renewed, and told of its own.

mod base;
mod change;
mod checks;
mod deliver;
mod import;
mod outbox;
mod own;
mod publish;
mod renew;
mod underway;

use std::sync::Arc;

use libp2p::PeerId;
use serde_bytes::ByteBuf;
use tokio::sync::{Mutex, Notify, mpsc};

use super::{catalogue::Catalogue, core::Core, fetcher::Fetcher, packages::Packages};
use crate::{
    Result,
    domain::{
        name::Handle,
        receipt::PublishStep,
        record::{NodeClaim, Signed},
    },
};
use base::LastList;
pub(crate) use checks::{check_files, check_version};
pub use import::{Bundle, Imported, MAX_BATCH};
use underway::Underway;

/// Publishes, and whatever follows from that.
pub(super) struct Publisher {
    core: Arc<Core>,
    catalogue: Arc<Catalogue>,
    packages: Arc<Packages>,
    fetcher: Arc<Fetcher>,
    /// Held while a head is made: two at once would fork. Nobody waits for the network with it.
    signing: Mutex<()>,
    last: LastList,
    underway: Underway,
    /// A publish went on its way, or arrived.
    outbox: Notify,
    /// Something is on its way that nobody delivers yet.
    due: Notify,
    /// Something imported is to be put into the DHT.
    spreading: Notify,
}

type Progress<'a> = Option<&'a mpsc::Sender<PublishStep>>;

fn tell(progress: Progress<'_>, step: PublishStep) {
    // A reader that is slow misses a step; the receipt has them all.
    progress.map(|progress| progress.try_send(step));
}

impl Publisher {
    pub fn new(
        core: Arc<Core>,
        catalogue: Arc<Catalogue>,
        packages: Arc<Packages>,
        fetcher: Arc<Fetcher>,
    ) -> Self {
        Self {
            core,
            catalogue,
            packages,
            fetcher,
            signing: Mutex::default(),
            last: LastList::default(),
            underway: Underway::default(),
            outbox: Notify::new(),
            due: Notify::new(),
            spreading: Notify::new(),
        }
    }

    /// Tells peers whose node this is, as the settings have it or as the last publish had.
    pub fn introduce(&self) -> Result<()> {
        let handle = match &self.core.options.handle {
            Some(handle) => Some(handle.clone()),
            None => {
                let newest = self.core.store.newest_own_head()?;
                newest.and_then(|stored| stored.head.handle.clone())
            }
        };
        self.claim_node(handle.as_ref());
        Ok(())
    }

    /// Tells peers whose node this is, if there is a publisher and it calls itself something.
    fn claim_node(&self, handle: Option<&Handle>) {
        let claim = handle
            .zip(self.core.publisher_key())
            .and_then(|(handle, key)| {
                let now = self.core.now();
                let node: PeerId = self.core.net.peer_id();
                let claim = NodeClaim {
                    node,
                    handle: handle.clone(),
                    signed_at: now,
                    expires: now.after(NodeClaim::MAX_LIFE),
                };
                Signed::sign(&key, claim).ok()
            });
        self.core.net.greet(|greeting| {
            greeting.handle = handle.map(ToString::to_string);
            greeting.claim = claim.map(|claim| ByteBuf::from(claim.envelope().to_vec()));
        });
    }
}
