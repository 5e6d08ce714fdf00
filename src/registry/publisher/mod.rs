//! Publishes this node's packages: signs, delivers and renews them, and tells peers whose node this
//! is.

mod base;
mod change;
mod checks;
mod deliver;
mod error;
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
pub(crate) use error::AdditionError;
use error::{ChangeError, PublisherError};
pub use import::{Bundle, Imported, MAX_BATCH};
use underway::Underway;

/// Publishes releases, and does the follow-up work.
pub(super) struct Publisher {
    core: Arc<Core>,
    catalogue: Arc<Catalogue>,
    packages: Arc<Packages>,
    fetcher: Arc<Fetcher>,
    /// Held while a head is created: two at once would fork. Never held while waiting for the
    /// network.
    signing: Mutex<()>,
    last: LastList,
    underway: Underway,
    /// Signals that a publish was queued or delivered.
    outbox: Notify,
    /// Signals that the outbox has entries that nothing delivers yet.
    due: Notify,
    /// Signals that imported packages must be put into the DHT.
    spreading: Notify,
}

type Progress<'a> = Option<&'a mpsc::Sender<PublishStep>>;

fn tell(progress: Progress<'_>, step: PublishStep) {
    // A slow reader misses a step; the receipt has them all.
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

    /// Tells peers whose node this is, with the handle of the settings or of the last publish.
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

    /// Tells peers whose node this is, if there is a publisher with a handle.
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
