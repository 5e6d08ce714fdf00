//! Gets packages by name: from memory, the store, or the DHT and peers at once.

mod error;
mod get;
mod handles;
mod heads;
mod hedged;
mod latest;
mod manifests;
mod names;
mod objects;
mod resolve;
mod together;

use std::sync::Arc;

use super::{catalogue::Catalogue, core::Core};
use crate::{Result, net::protocol::Request};
pub use error::PackagesError;
pub use hedged::{Answers, Hedged};
use names::ToldNames;
use together::Together;

/// Peers asked directly besides the DHT, and others that may be asked in their place.
pub(crate) const FAN_OUT: usize = 3;
const SPARE: usize = 3;

/// The packages as users request them by name.
pub(super) struct Packages {
    core: Arc<Core>,
    catalogue: Arc<Catalogue>,
    /// The answer times of peers.
    times: Answers,
    told_names: ToldNames,
    together: Arc<Together>,
}

impl Packages {
    pub fn new(core: Arc<Core>, catalogue: Arc<Catalogue>) -> Self {
        let times = Answers::default();
        let together = Together::new(core.clone(), catalogue.clone(), times.clone());
        Self {
            core,
            catalogue,
            times,
            together: Arc::new(together),
            told_names: ToldNames::default(),
        }
    }

    /// Sends a request to the best peers.
    async fn ask_best(&self, request: Request) -> Result<Hedged> {
        let (times, timeout) = (self.times.clone(), self.core.net.query_timeout());
        let count = (FAN_OUT, SPARE);
        Hedged::of_best(&self.core.net, request, 0.0, count, times, timeout).await
    }
}
