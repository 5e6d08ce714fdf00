//! Batches requests for heads: those made at the same time share one request to each peer.

use std::{collections::HashMap, sync::Arc, time::Duration};

use futures::future::join_all;
use libp2p::PeerId;
use parking_lot::Mutex;
use tokio::{sync::mpsc, time::sleep};

use super::{
    super::{catalogue::Catalogue, core::Core},
    Answers, FAN_OUT, Hedged, SPARE,
};
use crate::{
    Result,
    domain::{
        manifest::Manifest,
        name::PackageId,
        record::{Authorised, Head, consistent},
        reputation::Outcome,
    },
    net::protocol::{Item, MAX_PACKAGES, Request, Response},
};

/// Concurrent batches; later requests go into the next one.
const AT_ONCE: usize = 2;
/// A batch that takes longer lets others start beside it.
const LATE: Duration = Duration::from_millis(300);

/// An event for a caller that asks for a package's head.
pub enum Heard {
    /// This many peers have been asked.
    Asked(usize),
    /// A peer holds this head and gave a manifest of it.
    Head {
        peer: PeerId,
        head: Box<Authorised<Head>>,
        manifest: Option<Box<Authorised<Manifest>>>,
    },
}

/// A running request.
pub struct HeadRequest {
    /// Receives the events; it closes once all peers have answered or failed.
    pub heard: mpsc::UnboundedReceiver<Heard>,
    /// True if nothing else was requested when it started.
    pub alone: bool,
}

/// A caller that waits for a head.
struct HeadWaiter {
    id: PackageId,
    told: mpsc::UnboundedSender<Heard>,
}

/// The verified items of the answers in a batch: most peers give the same ones.
type VerifiedItems = HashMap<Item, (Authorised<Head>, Option<Box<Authorised<Manifest>>>)>;

#[derive(Default)]
struct BatchState {
    waiting: Vec<HeadWaiter>,
    running: usize,
}

/// The callers that wait for heads, and the running batches.
pub struct Together {
    core: Arc<Core>,
    catalogue: Arc<Catalogue>,
    times: Answers,
    state: Mutex<BatchState>,
}

impl Together {
    pub fn new(core: Arc<Core>, catalogue: Arc<Catalogue>, times: Answers) -> Self {
        Self {
            core,
            catalogue,
            times,
            state: Mutex::default(),
        }
    }

    /// Asks the best peers for a package's head.
    pub fn ask(self: &Arc<Self>, id: &PackageId) -> HeadRequest {
        let (told, heard) = mpsc::unbounded_channel();
        let mut state = self.state.lock();
        let alone = state.running == 0;
        let id = id.clone();
        state.waiting.push(HeadWaiter { id, told });
        self.begin(&mut state);
        HeadRequest { heard, alone }
    }

    /// Starts the next batch, if a caller waits and there is a place.
    fn begin(self: &Arc<Self>, state: &mut BatchState) {
        if state.waiting.is_empty() || state.running >= AT_ONCE {
            return;
        }
        let count = MAX_PACKAGES.min(state.waiting.len());
        let batch: Vec<HeadWaiter> = state.waiting.drain(..count).collect();
        state.running += 1;
        tokio::spawn(self.clone().run(batch));
    }

    /// Gives a place to the next batch.
    fn next(self: &Arc<Self>) {
        let mut state = self.state.lock();
        state.running -= 1;
        self.begin(&mut state);
    }

    async fn run(self: Arc<Self>, batch: Vec<HeadWaiter>) {
        let asking = async {
            if let Err(error) = self.ask_for(&batch).await {
                tracing::debug!(%error, "heads were asked of nobody");
            }
        };
        tokio::pin!(asking);
        let in_time = tokio::select! {
            () = &mut asking => true,
            () = sleep(LATE) => false,
        };
        self.next();
        if !in_time {
            asking.await;
        }
    }

    /// Asks until all peers have answered, or no caller waits any more.
    async fn ask_for(&self, batch: &[HeadWaiter]) -> Result<()> {
        let mut ids: Vec<PackageId> = batch.iter().map(|one| one.id.clone()).collect();
        ids.sort_unstable();
        ids.dedup();
        let request = match ids.as_slice() {
            [one] => Request::Head(one.clone()),
            _ => Request::Heads(ids.clone()),
        };
        let (timeout, times) = (self.core.net.query_timeout(), self.times.clone());
        let count = (FAN_OUT, SPARE);
        let mut direct =
            Hedged::of_best(&self.core.net, request, 0.0, count, times, timeout).await?;
        let mut known = VerifiedItems::new();
        let left = join_all(batch.iter().map(|one| one.told.closed()));
        tokio::pin!(left);
        loop {
            tell(batch, |_| true, || Heard::Asked(direct.asked));
            let answer = tokio::select! {
                answer = direct.next() => answer,
                _ = &mut left => return Ok(()),
            };
            match answer {
                None => return Ok(()),
                Some((peer, Ok(Response::Packages { items, .. }))) => {
                    for item in items.iter().take(ids.len()) {
                        self.take(peer, item, (&ids, batch), &mut known);
                    }
                }
                Some(_) => {}
            }
        }
    }

    /// Verifies a peer's answer, unless another peer gave the same, and passes it to the waiting
    /// callers.
    fn take(
        &self,
        peer: PeerId,
        item: &Item,
        (ids, batch): (&[PackageId], &[HeadWaiter]),
        known: &mut VerifiedItems,
    ) {
        let is_it = |head: &Authorised<Head>| ids.binary_search(head.package()).is_ok();
        let found = match known.get(item) {
            Some(found) => found.clone(),
            None => {
                let envelope = std::iter::once(item.head.as_slice());
                let head = self.catalogue.verified::<Head>(peer, envelope, is_it).pop();
                let Some(head) = head else { return };
                let manifest = self.manifest_beside(peer, &head, item.manifest.as_deref());
                let found = (head, manifest.map(Box::new));
                // An invalid item is judged anew for each peer that gives it.
                if found.1.is_some() == item.manifest.is_some() {
                    known.insert(item.clone(), found.clone());
                }
                found
            }
        };
        let (head, manifest) = found;
        tell(
            batch,
            |one| one.id == *head.package(),
            || Heard::Head {
                peer,
                head: Box::new(head.clone()),
                manifest: manifest.clone(),
            },
        );
    }

    /// Returns the manifest that came with a head, if the head lists it. Otherwise the peer is not
    /// blamed: the head, which is half of its answer, is right.
    fn manifest_beside(
        &self,
        peer: PeerId,
        head: &Authorised<Head>,
        bytes: Option<&Vec<u8>>,
    ) -> Option<Authorised<Manifest>> {
        let manifest = Authorised::<Manifest>::verify(bytes?);
        match manifest.and_then(|manifest| consistent(head, &manifest).map(|()| manifest)) {
            Ok(manifest) => Some(manifest),
            Err(refusal) => {
                self.core.tally.refused(refusal);
                if refusal.is_proven() {
                    self.core.net.observe(peer, Outcome::RecordInvalid);
                }
                None
            }
        }
    }
}

/// Sends an event to the callers of a batch that still wait.
fn tell(batch: &[HeadWaiter], is_for: impl Fn(&HeadWaiter) -> bool, heard: impl Fn() -> Heard) {
    for one in batch.iter().filter(|one| is_for(one)) {
        // A caller that has heard enough is gone.
        let _ = one.told.send(heard());
    }
}
