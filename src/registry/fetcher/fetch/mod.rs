//! Fetches content: chooses peers, asks several at once, and reports progress.
//!
//! There is one fetch per root, however many callers wait for it. Its pieces are assigned by
//! [`plan`], requested by a [`worker`] for each peer, and written by the [`run`].

mod crowd;
mod gather;
mod givers;
mod links;
mod plan;
mod run;
mod stream;
mod worker;

use std::{collections::HashMap, sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{Fetcher, error::FetcherError};
use crate::{
    RegistryError, Result,
    domain::{
        hash::ContentRoot,
        held::FetchOrigin,
        time::Timestamp,
        transfer::{
            Fetched, Order, Part, Transfer, TransferId, TransferPeer, TransferState, Wanted,
        },
    },
    store::{StoredFetch, content::SMALL},
};
use givers::Givers;
use links::Links;
use run::Run;

/// Most concurrent fetches; the rest wait.
const MOST: usize = 32;

/// The fetches of a node.
pub struct Fetches {
    running: Mutex<HashMap<ContentRoot, Arc<RunningFetch>>>,
    places: Semaphore,
    pub links: Links,
    givers: Givers,
    /// Ends all fetches; their parts are kept for the next start.
    pub stop: CancellationToken,
    pub tasks: TaskTracker,
}

impl Default for Fetches {
    fn default() -> Self {
        Self {
            running: Mutex::default(),
            places: Semaphore::new(MOST),
            links: Links::default(),
            givers: Givers::default(),
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
        }
    }
}

impl Fetches {}

/// A running fetch.
struct RunningFetch {
    wanted: Wanted,
    shown: watch::Sender<Transfer>,
    order: watch::Sender<Option<Order>>,
    in_order: bool,
}

/// Returns the result of a fetch for those who wait for it; `None` while it runs.
fn ended(transfer: &Transfer) -> Option<Result<(), FetcherError>> {
    let what = transfer.what.clone();
    Some(match &transfer.state {
        TransferState::Waiting | TransferState::Running => return None,
        TransferState::Done => Ok(()),
        TransferState::Paused => Err(FetcherError::Paused { what }),
        TransferState::Cancelled => Err(FetcherError::Cancelled { what }),
        TransferState::Failed(why) => Err(FetcherError::Failed {
            what,
            why: why.clone(),
            done: transfer.done,
            size: transfer.size,
        }),
    })
}

/// The parts of a finished fetch that are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stays {
    /// Nothing had been written.
    Nothing,
    /// The content, without a record of the fetch.
    Bytes,
    /// Neither a record nor bytes.
    Neither,
    /// The fetch and its result, until a person resumes it.
    Fetch,
}

/// Returns the parts to keep of a fetch, by its result. A failed one is only resumed on request: it
/// would fail again.
fn what_stays(state: &TransferState, size: u64) -> Stays {
    match state {
        TransferState::Done if size < SMALL => Stays::Nothing,
        TransferState::Done => Stays::Bytes,
        TransferState::Cancelled => Stays::Neither,
        TransferState::Waiting
        | TransferState::Running
        | TransferState::Paused
        | TransferState::Failed(_) => Stays::Fetch,
    }
}

/// The result of an attempt.
enum AttemptEnd {
    Here,
    Stopped(Order),
    Failed(String),
}

fn begun(wanted: &Wanted, state: TransferState, now: Timestamp) -> Transfer {
    Transfer {
        id: TransferId::Fetch {
            root: wanted.content.root,
        },
        what: wanted.what.clone(),
        size: wanted.content.size,
        done: 0,
        resumed: 0,
        rate: 0.0,
        state,
        peers: Vec::new(),
        started_at: now,
        ended_at: None,
        for_others: wanted.for_others,
        beside: wanted.beside.is_some(),
    }
}

impl Fetcher {
    /// Returns once the content is here, fetching it if necessary.
    pub async fn fetch_content(
        self: &Arc<Self>,
        wanted: Wanted,
        progress: Option<mpsc::Sender<Transfer>>,
    ) -> Result<Fetched, FetcherError> {
        let content = wanted.content;
        if let Some(held) = self.contents.get(&content.root)? {
            return Ok(Fetched {
                content: held.content,
                was_held: true,
                origin: held.origin,
            });
        }
        let mut shown = self.begin_fetch(wanted)?;
        loop {
            let now = shown.borrow_and_update().clone();
            if let Some(progress) = &progress {
                // Dropped if the channel is full.
                let _ = progress.try_send(now.clone());
            }
            match ended(&now) {
                None => {}
                Some(Ok(())) => break,
                Some(Err(error)) => return Err(error),
            }
            shown.changed().await.map_err(|_| RegistryError::Closed)?;
        }
        let held = self
            .contents
            .get(&content.root)?
            .ok_or(FetcherError::NoContent(content.root))?;
        Ok(Fetched {
            content: held.content,
            was_held: false,
            origin: held.origin,
        })
    }

    /// Returns the running fetch of a content, or starts one.
    pub fn begin_fetch(
        self: &Arc<Self>,
        wanted: Wanted,
    ) -> Result<watch::Receiver<Transfer>, FetcherError> {
        self.begin_fetch_for(wanted, false)
    }

    /// As [`Self::begin_fetch`]; if `in_order` is true, a new fetch requests the content from its
    /// beginning, because a reader consumes it while it arrives.
    fn begin_fetch_for(
        self: &Arc<Self>,
        wanted: Wanted,
        in_order: bool,
    ) -> Result<watch::Receiver<Transfer>, FetcherError> {
        let (root, size) = (wanted.content.root, wanted.content.size);
        if size > self.core.content.max {
            return Err(FetcherError::TooLarge {
                size,
                most: self.core.content.max,
            });
        }
        let mut running = self.fetches.running.lock();
        if let Some(entry) = running.get(&root) {
            return Ok(entry.shown.subscribe());
        }
        let entry = Arc::new(RunningFetch {
            shown: watch::Sender::new(begun(&wanted, TransferState::Waiting, self.core.now())),
            order: watch::Sender::new(None),
            in_order,
            wanted,
        });
        running.insert(root, entry.clone());
        let shown = entry.shown.subscribe();
        let (fetches, fetcher) = (&self.fetches, self.clone());
        let stop = fetches.stop.clone();
        fetches.tasks.spawn(async move {
            if stop
                .run_until_cancelled(fetcher.clone().run_fetch(entry))
                .await
                .is_none()
            {
                // The task of the fetch holds the registry, and the registry holds the entry: this
                // breaks the cycle.
                fetcher.fetches.running.lock().remove(&root);
            }
        });
        Ok(shown)
    }

    /// Returns true if anything is being fetched.
    pub fn is_fetching(&self) -> bool {
        !self.fetches.running.lock().is_empty()
    }

    /// Returns the bytes received of a content that is being fetched.
    pub fn fetched_of(&self, root: &ContentRoot) -> u64 {
        self.fetches
            .running
            .lock()
            .get(root)
            .map_or(0, |entry| entry.shown.borrow().done)
    }

    /// Controls a fetch. Returns false if there is no such fetch.
    pub async fn direct_fetch(
        self: &Arc<Self>,
        root: ContentRoot,
        order: Order,
    ) -> Result<bool, FetcherError> {
        let running = self.fetches.running.lock().get(&root).cloned();
        if let Some(entry) = running {
            return Ok(order != Order::Resume && entry.order.send(Some(order)).is_ok());
        }
        let Some(StoredFetch { wanted, .. }) = self
            .core
            .store
            .fetches()?
            .into_iter()
            .find(|one| one.wanted.content.root == root)
        else {
            return Ok(false);
        };
        match order {
            Order::Pause => Ok(false),
            Order::Resume => self.begin_fetch(wanted).map(|_| true),
            Order::Cancel => {
                self.forget_fetch(root).await?;
                let ended = Transfer {
                    ended_at: Some(self.core.now()),
                    ..begun(&wanted, TransferState::Cancelled, self.core.now())
                };
                self.board.put(ended);
                Ok(true)
            }
        }
    }

    /// Discards what arrived of a content.
    async fn forget_fetch(&self, root: ContentRoot) -> Result<()> {
        self.contents.discard(root).await?;
        self.core.store.forget_fetch(root).await
    }

    /// Shows the unfinished fetches of an earlier run. Returns those that are not paused, to be
    /// resumed once peers are connected.
    pub fn unended_fetches(&self) -> Result<Vec<Wanted>> {
        let mut open = Vec::new();
        for StoredFetch {
            wanted,
            paused,
            since,
        } in self.core.store.fetches()?
        {
            let state = if paused {
                TransferState::Paused
            } else {
                TransferState::Waiting
            };
            let done = self.contents.left_of(&wanted.content);
            self.board.put(Transfer {
                done,
                ..begun(&wanted, state, since)
            });
            if !paused {
                open.push(wanted);
            }
        }
        Ok(open)
    }

    async fn run_fetch(self: Arc<Self>, entry: Arc<RunningFetch>) {
        let root = entry.wanted.content.root;
        self.show(&entry, |_| {});
        let ended = self.attempt(&entry).await;
        let now = self.core.now();
        let state = match ended {
            AttemptEnd::Here => TransferState::Done,
            AttemptEnd::Stopped(Order::Cancel) => TransferState::Cancelled,
            AttemptEnd::Stopped(_) => TransferState::Paused,
            AttemptEnd::Failed(why) => TransferState::Failed(why),
        };
        self.core.metrics.fetch_ended(match state {
            TransferState::Done => Some(true),
            TransferState::Failed(_) => Some(false),
            _ => None,
        });
        let noted = self.note_end(&entry, &state).await;
        if let Err(error) = noted {
            tracing::error!(%error, %root, "how a fetch ended could not be written down");
        }
        // From here on another caller may start it again.
        self.fetches.running.lock().remove(&root);
        self.show(&entry, |transfer| {
            transfer.rate = 0.0;
            transfer.ended_at = Some(now);
            at_rest(&mut transfer.peers);
            if state == TransferState::Cancelled {
                (transfer.done, transfer.resumed) = (0, 0);
            }
            transfer.state = state;
        });
    }

    /// Stores a fetch that may be resumed, so that the next run knows it.
    async fn note_end(&self, entry: &RunningFetch, state: &TransferState) -> Result<()> {
        let (wanted, root) = (entry.wanted.clone(), entry.wanted.content.root);
        match what_stays(state, wanted.content.size) {
            Stays::Nothing => Ok(()),
            Stays::Bytes => self.core.store.forget_fetch(root).await,
            Stays::Neither => self.forget_fetch(root).await,
            Stays::Fetch => {
                let now = self.core.now();
                self.core.store.note_fetch(wanted, true, now).await
            }
        }
    }

    fn show(&self, entry: &RunningFetch, change: impl FnOnce(&mut Transfer)) {
        entry.shown.send_modify(change);
        self.board.put(entry.shown.borrow().clone());
    }

    async fn attempt(self: &Arc<Self>, entry: &RunningFetch) -> AttemptEnd {
        let mut order = entry.order.subscribe();
        let told = async {
            // The entry with the sender lives as long as this.
            match order.wait_for(Option::is_some).await {
                Ok(order) => order.unwrap_or(Order::Pause),
                Err(_) => Order::Pause,
            }
        };
        tokio::select! {
            ended = self.fetch_once(entry) => match ended {
                Ok(ended) => ended,
                Err(error) => AttemptEnd::Failed(error.to_string()),
            },
            order = told => AttemptEnd::Stopped(order),
        }
    }

    async fn fetch_once(self: &Arc<Self>, entry: &RunningFetch) -> Result<AttemptEnd> {
        let _place = self
            .fetches
            .places
            .acquire()
            .await
            .map_err(|_| RegistryError::Closed)?;
        let wanted = &entry.wanted;
        let run = Arc::new(
            Run::begin(
                &self.contents,
                self.core.metrics.clone(),
                wanted.clone(),
                self.core.chance().number(),
            )
            .await?,
        );
        if entry.in_order {
            run.plan().in_order();
        }
        if wanted.content.size >= SMALL {
            self.core
                .store
                .note_fetch(wanted.clone(), false, self.core.now())
                .await?;
        }
        self.show(entry, |transfer| {
            transfer.state = TransferState::Running;
            (transfer.done, transfer.resumed) = (run.done(), run.resumed);
        });
        let why = self.ask_all(entry, &run).await?;
        for one in run
            .parts()
            .iter()
            .filter(|one| one.bytes > 0 && one.part != Part::Lied)
        {
            self.core
                .net
                .gave(one.peer, one.bytes, Duration::from_millis(one.millis));
        }
        self.show(entry, |transfer| {
            (transfer.done, transfer.peers) = (run.done(), run.parts())
        });
        if let Some(why) = why {
            return Ok(AttemptEnd::Failed(why));
        }
        let origin = FetchOrigin {
            shares: run.shares(),
            millis: run.millis(),
            resumed: run.resumed,
        };
        match run.take() {
            Ok(bytes) => {
                self.contents
                    .put_small(wanted.content, bytes, &wanted.what, origin)
                    .await?
            }
            Err(partial) => self.contents.finish(partial, &wanted.what, origin).await?,
        }
        if wanted.beside.is_none() && self.core.content.provide {
            self.provide_soon(wanted.content.root, &wanted.what);
        }
        if let (Some(package), None) = (&wanted.package, wanted.beside) {
            for one in run.parts().iter().filter(|one| one.bytes > 0) {
                self.core.store.saw_provider(package, one.peer).await?;
            }
        }
        Ok(AttemptEnd::Here)
    }
}

/// Notes that no peer is asked any more.
fn at_rest(peers: &mut [TransferPeer]) {
    for one in peers
        .iter_mut()
        .filter(|one| matches!(one.part, Part::Giving | Part::Asked))
    {
        one.part = Part::Idle;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::manifest::Content;

    fn transfer(state: TransferState) -> Transfer {
        let root = ContentRoot::of(b"1");
        let wanted = Wanted {
            content: Content { root, size: 10 },
            what: "web 1.0.0".to_owned(),
            package: None,
            beside: None,
            for_others: false,
        };
        begun(&wanted, state, Timestamp(1))
    }

    #[test]
    fn whoever_waits_is_told_how_it_ended() {
        let told = |state| ended(&transfer(state));
        assert!(told(TransferState::Waiting).is_none() && told(TransferState::Running).is_none());
        assert!(told(TransferState::Done).unwrap().is_ok());
        let error = |state| told(state).unwrap().unwrap_err();
        assert!(matches!(
            error(TransferState::Paused),
            FetcherError::Paused { .. }
        ));
        assert!(matches!(
            error(TransferState::Cancelled),
            FetcherError::Cancelled { .. }
        ));
        let failed = error(TransferState::Failed("nobody has it".to_owned()));
        let failed = RegistryError::from(failed);
        assert!(failed.to_string().contains("nobody has it"), "{failed}");
    }

    #[test]
    fn what_failed_or_was_paused_stays_to_be_gone_on_with() {
        let failed = TransferState::Failed(String::new());
        for size in [SMALL - 1, SMALL] {
            assert_eq!(what_stays(&failed, size), Stays::Fetch);
            assert_eq!(what_stays(&TransferState::Paused, size), Stays::Fetch);
            assert_eq!(what_stays(&TransferState::Cancelled, size), Stays::Neither);
        }
        assert_eq!(
            what_stays(&TransferState::Done, SMALL - 1),
            Stays::Nothing,
            "it was never noted"
        );
        assert_eq!(what_stays(&TransferState::Done, SMALL), Stays::Bytes);
    }
}
