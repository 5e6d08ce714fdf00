//! The bytes of releases: fetched from peers, provided to peers, and replicated.

mod contents;
mod copies;
mod error;
mod fetch;
mod many;
mod provide;
mod safety;

use std::{sync::Arc, time::Duration};

use super::{catalogue::Catalogue, core::Core};
use crate::{bus::Board, store::content::ContentStore};
use copies::Copying;
use fetch::Fetches;
use provide::Providing;
use safety::Looking;

/// Time to reach a peer.
const REACH: Duration = Duration::from_secs(5);

/// Content on this node and on others.
pub(super) struct Fetcher {
    core: Arc<Core>,
    catalogue: Arc<Catalogue>,
    pub contents: ContentStore,
    /// The running transfers, for display.
    pub board: Board,
    fetches: Fetches,
    providing: Providing,
    copying: Copying,
    looking: Looking,
}

impl Fetcher {
    pub fn new(
        core: Arc<Core>,
        catalogue: Arc<Catalogue>,
        contents: ContentStore,
        board: Board,
    ) -> Self {
        Self {
            core,
            catalogue,
            contents,
            board,
            fetches: Fetches::default(),
            providing: Providing::default(),
            copying: Copying::default(),
            looking: Looking::default(),
        }
    }

    /// Waits until no own release is being offered any more.
    pub async fn wait_copied(&self) {
        self.copying.idle().await;
    }
}
