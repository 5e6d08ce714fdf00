//! Fetching content: who may have it, how they are asked together, and what a person is told of it.
//!
//! One fetch runs for a root, however many ask for it. Its pieces are handed out by [`plan`], asked
//! for by a [`worker`] for each peer, and written by the [`run`].

mod links;
mod plan;
mod run;
mod stream;
mod worker;

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use libp2p::PeerId;
use tokio::{
    sync::{Semaphore, mpsc, watch},
    task::JoinSet,
};

use super::{Fetched, Order, P2pRegistry, Wanted};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    RegistryError, Result,
    domain::{
        hash::ContentRoot,
        held::Origin,
        record::DhtKey,
        time::Timestamp,
        transfer::{Part, Transfer, TransferId, TransferPeer, TransferState, rate},
    },
    store::{StoredFetch, content::SMALL},
};
use links::Links;
use plan::ONE_PEER;
use run::Run;

/// Time to reach a peer.
pub(super) const REACH: Duration = Duration::from_secs(5);
/// Fetches at once; the rest wait.
const MOST: usize = 32;
/// Peers that one content is fetched from at once.
const WORKERS: usize = 8;
/// A small content is asked of one more peer each time this has gone by without it, or a peer had
/// it not.
const STAGGER: Duration = Duration::from_millis(100);
/// Progress is looked at this often.
const LOOK: Duration = Duration::from_millis(200);
/// Attempts to find more peers after those that were known have given what they have, while
/// something came of it.
const ROUNDS: usize = 5;
/// A fetch that takes long looks for more providers this often.
const SEARCH_AGAIN: Duration = Duration::from_secs(10);
/// A fetch to which nothing came for so many times as long as a peer may be silent has nobody who
/// gives the rest.
const STALLED: u32 = 2;
/// Before the next of these.
const BREATH: Duration = Duration::from_millis(500);

/// The fetches of a node.
pub(super) struct Fetches {
    running: Mutex<HashMap<ContentRoot, Arc<Entry>>>,
    places: Semaphore,
    pub links: Links,
    /// Ends all of them, and what they have is kept for the next start.
    pub stop: CancellationToken,
    pub tasks: TaskTracker,
}

impl Default for Fetches {
    fn default() -> Self {
        Self {
            running: Mutex::default(),
            places: Semaphore::new(MOST),
            links: Links::default(),
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
        }
    }
}

impl Fetches {
    fn lock(&self) -> MutexGuard<'_, HashMap<ContentRoot, Arc<Entry>>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A fetch that runs.
struct Entry {
    wanted: Wanted,
    shown: watch::Sender<Transfer>,
    order: watch::Sender<Option<Order>>,
    in_order: bool,
}

/// How an attempt ended.
enum Ended {
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

impl P2pRegistry {
    /// What is here already, or waits for the fetch that brings it.
    pub(super) async fn fetch_content(
        &self,
        wanted: Wanted,
        progress: Option<mpsc::Sender<Transfer>>,
    ) -> Result<Fetched> {
        let content = wanted.content;
        if let Some(held) = self.contents.get(&content.root)? {
            return Ok(Fetched {
                content: held.content,
                was_held: true,
                origin: held.origin,
            });
        }
        let what = wanted.what.clone();
        let mut shown = self.begin_fetch(wanted)?;
        loop {
            let now = shown.borrow_and_update().clone();
            if let Some(progress) = &progress {
                // As far as there is room.
                let _ = progress.try_send(now.clone());
            }
            match now.state {
                TransferState::Waiting | TransferState::Running => {}
                TransferState::Done => break,
                TransferState::Paused => {
                    return Err(RegistryError::Stopped {
                        what,
                        how: "paused",
                    });
                }
                TransferState::Cancelled => return Err(RegistryError::Cancelled { what }),
                TransferState::Failed(why) => {
                    return Err(RegistryError::Fetch {
                        what,
                        why,
                        done: now.done,
                        size: now.size,
                    });
                }
            }
            shown.changed().await.map_err(|_| RegistryError::Closed)?;
        }
        let held = self
            .contents
            .get(&content.root)?
            .ok_or(RegistryError::NoContent(content.root))?;
        Ok(Fetched {
            content: held.content,
            was_held: false,
            origin: held.origin,
        })
    }

    /// The fetch of a content: the one that runs, or a new one.
    pub(super) fn begin_fetch(&self, wanted: Wanted) -> Result<watch::Receiver<Transfer>> {
        self.begin_fetch_for(wanted, false)
    }

    /// As [`Self::begin_fetch`]; a new one asks first for what stands first, where somebody reads
    /// it while it comes.
    fn begin_fetch_for(&self, wanted: Wanted, in_order: bool) -> Result<watch::Receiver<Transfer>> {
        let (root, size) = (wanted.content.root, wanted.content.size);
        if size > self.core.options.max_content {
            return Err(RegistryError::TooLarge {
                size,
                most: self.core.options.max_content,
            });
        }
        let mut running = self.state.fetches.lock();
        if let Some(entry) = running.get(&root) {
            return Ok(entry.shown.subscribe());
        }
        let entry = Arc::new(Entry {
            shown: watch::Sender::new(begun(&wanted, TransferState::Waiting, self.core.now())),
            order: watch::Sender::new(None),
            in_order,
            wanted,
        });
        running.insert(root, entry.clone());
        let shown = entry.shown.subscribe();
        let (fetches, registry) = (&self.state.fetches, self.clone());
        let stop = fetches.stop.clone();
        fetches.tasks.spawn(async move {
            if stop
                .run_until_cancelled(registry.clone().run_fetch(entry))
                .await
                .is_none()
            {
                // Whoever waits for it holds the registry: without this they would wait for each
                // other, for ever.
                registry.state.fetches.lock().remove(&root);
            }
        });
        Ok(shown)
    }

    /// Bytes that have come of a content that is being fetched.
    pub(super) fn fetched_of(&self, root: &ContentRoot) -> u64 {
        self.state
            .fetches
            .lock()
            .get(root)
            .map_or(0, |entry| entry.shown.borrow().done)
    }

    /// Tells a fetch what to do; false when there is none that it could be told.
    pub(super) async fn direct_fetch(&self, root: ContentRoot, order: Order) -> Result<bool> {
        let running = self.state.fetches.lock().get(&root).cloned();
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

    /// Throws away what came of a content.
    async fn forget_fetch(&self, root: ContentRoot) -> Result<()> {
        self.contents.discard(root).await?;
        self.core.store.forget_fetch(root).await
    }

    /// Shows what an earlier run of this node had not ended; returns what is to be gone on with
    /// once somebody is there, which is all but what was paused.
    pub(super) fn unended_fetches(&self) -> Result<Vec<Wanted>> {
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

    async fn run_fetch(self, entry: Arc<Entry>) {
        let root = entry.wanted.content.root;
        self.show(&entry, |_| {});
        let ended = self.attempt(&entry).await;
        let now = self.core.now();
        let state = match ended {
            Ended::Here => TransferState::Done,
            Ended::Stopped(Order::Cancel) => TransferState::Cancelled,
            Ended::Stopped(_) => TransferState::Paused,
            Ended::Failed(why) => TransferState::Failed(why),
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
        // From here on somebody else may begin it again.
        self.state.fetches.lock().remove(&root);
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

    /// What has not ended for good is written down: a node that starts again knows of it.
    async fn note_end(&self, entry: &Entry, state: &TransferState) -> Result<()> {
        let (wanted, root) = (entry.wanted.clone(), entry.wanted.content.root);
        match state {
            TransferState::Done if wanted.content.size < SMALL => Ok(()),
            TransferState::Done => self.core.store.forget_fetch(root).await,
            TransferState::Cancelled => self.forget_fetch(root).await,
            // One that failed is not tried again without being asked to: it would fail again.
            _ => {
                self.core
                    .store
                    .note_fetch(wanted, true, self.core.now())
                    .await
            }
        }
    }

    fn show(&self, entry: &Entry, change: impl FnOnce(&mut Transfer)) {
        entry.shown.send_modify(change);
        self.board.put(entry.shown.borrow().clone());
    }

    async fn attempt(&self, entry: &Entry) -> Ended {
        let mut order = entry.order.subscribe();
        let told = async {
            // The entry, which has the sender, is there as long as this is.
            match order.wait_for(Option::is_some).await {
                Ok(order) => order.unwrap_or(Order::Pause),
                Err(_) => Order::Pause,
            }
        };
        tokio::select! {
            ended = self.fetch_once(entry) => match ended {
                Ok(ended) => ended,
                Err(error) => Ended::Failed(error.to_string()),
            },
            order = told => Ended::Stopped(order),
        }
    }

    async fn fetch_once(&self, entry: &Entry) -> Result<Ended> {
        let _place = self
            .state
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
        let why = self.gather(entry, &run).await?;
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
            return Ok(Ended::Failed(why));
        }
        let origin = Origin {
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
        if wanted.beside.is_none() && self.core.options.provide {
            self.provide_soon(wanted.content.root, &wanted.what);
        }
        if let (Some(package), None) = (&wanted.package, wanted.beside) {
            for one in run.parts().iter().filter(|one| one.bytes > 0) {
                self.core.store.saw_provider(package, one.peer).await?;
            }
        }
        Ok(Ended::Here)
    }

    /// Asks everybody who may have it until all of it is here; returns why it is not, if it is not.
    async fn gather(&self, entry: &Entry, run: &Arc<Run>) -> Result<Option<String>> {
        let single = crate::domain::content::groups(run.wanted.content.size) <= ONE_PEER;
        let mut workers: JoinSet<()> = JoinSet::new();
        let mut crowd = Crowd::default();
        let (mut asked, mut rounds, mut before, mut searched) = (0, 0, 0, Instant::now());
        let mut pace = Pace::new(run.done());
        let mut look = tokio::time::interval(if single { STAGGER } else { LOOK });
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        self.recruit(run, &mut crowd).await?;
        let mut provided = false;
        loop {
            if run.is_complete() {
                return Ok(None);
            }
            if let Some(error) = run.failure() {
                return Ok(Some(
                    RegistryError::file("the content store", "written to")(error).to_string(),
                ));
            }
            let most = if single {
                let late = (run.millis() / STAGGER.as_millis() as u64) as usize;
                (1 + late + run.in_vain()).min(WORKERS)
            } else {
                WORKERS
            };
            while workers.len() < most
                && let Some((peer, score)) = crowd.next()
            {
                asked += 1;
                run.heard();
                workers.spawn(worker::work(self.clone(), run.clone(), peer, score));
            }
            if crowd.dht.is_none() && !crowd.searched && (!single || workers.len() < most) {
                crowd.search(self, &run.wanted).await?;
            }
            if workers.is_empty() && crowd.is_exhausted() && !run.is_over() {
                // Somebody may have come since.
                self.recruit(run, &mut crowd).await?;
                if !crowd.waiting.is_empty() {
                    continue;
                }
                // While something comes of it, those that were busy, or had only a part, are asked
                // once more.
                let came = run.came();
                // Those that were slow or lost are asked once more too when there is nobody else:
                // it may be our own side.
                let once_more = rounds == 0 && came == 0;
                if rounds >= ROUNDS || (came == before && !(once_more && run.was_slow_or_lost())) {
                    return Ok(Some(why_not(run, asked)));
                }
                (rounds, before) = (rounds + 1, came);
                tokio::time::sleep(BREATH).await;
                crowd = Crowd::default();
                if once_more {
                    run.forgive();
                }
                self.recruit(run, &mut crowd).await?;
                continue;
            }
            // Those who have a part may wait for one another, and for what none of them has.
            let stalled = run.silent_for() >= STALLED * self.core.options.content_idle;
            if stalled && crowd.dht.is_none() && !run.is_over() {
                return Ok(Some(why_not(run, asked)));
            }
            if searched.elapsed() >= SEARCH_AGAIN && crowd.dht.is_none() {
                (crowd.searched, searched) = (false, Instant::now());
            }
            tokio::select! {
                () = run.changed.notified() => {}
                Some(_) = workers.join_next(), if !workers.is_empty() => {}
                found = crowd.found() => crowd.add_found(found),
                _ = look.tick() => {
                    let done = run.done();
                    let now = pace.at(done);
                    self.show(entry, |transfer| {
                        (transfer.done, transfer.rate, transfer.peers) = (done, now, run.parts());
                    });
                    // Whoever else wants it can have of us what there is.
                    if !provided && !single && done > 0 && self.core.options.provide {
                        provided = true;
                        self.provide_soon(run.wanted.content.root, &run.wanted.what);
                    }
                }
            }
        }
    }

    /// Those who are known already: who announced it, the publisher's own nodes, then everybody by
    /// reputation.
    async fn recruit(&self, run: &Run, crowd: &mut Crowd) -> Result<()> {
        let wanted = &run.wanted;
        let sources = self
            .core
            .net
            .sources(wanted.package.as_ref().map(|package| package.owner))
            .await?;
        crowd.scores = sources.iter().copied().collect();
        crowd.met.insert(self.core.net.peer_id());
        crowd.met.extend(run.given_up());
        for peer in self
            .catalogue
            .announcers
            .of(&wanted.beside.unwrap_or(wanted.content.root))
        {
            crowd.add(peer);
        }
        sources.into_iter().for_each(|(peer, _)| crowd.add(peer));
        Ok(())
    }
}

/// Nobody is asked for anything any more.
fn at_rest(peers: &mut [TransferPeer]) {
    for one in peers
        .iter_mut()
        .filter(|one| matches!(one.part, Part::Giving | Part::Asked))
    {
        one.part = Part::Idle;
    }
}

fn why_not(run: &Run, asked: usize) -> String {
    let size = run.wanted.content.size;
    if let Some(said) = run.said_size() {
        return format!(
            "its manifest says that it has {size} bytes, and peers that have it say {said}; that is for its publisher to \
             put right"
        );
    }
    let lied = run
        .parts()
        .iter()
        .filter(|one| one.part == Part::Lied)
        .count();
    let lied = match lied {
        0 => String::new(),
        1 => ", of which one gave what does not verify".to_owned(),
        count => format!(", of which {count} gave what does not verify"),
    };
    let reached = run
        .parts()
        .iter()
        .filter(|one| one.part != Part::Lost || one.bytes > 0)
        .count();
    if asked > 0 && reached == 0 {
        return format!(
            "none of the {asked} peers that may have it could be reached; check `status` for peers"
        );
    }
    match reached {
        0 => "no peer is connected that could have it; check `status` for peers".to_owned(),
        1 => format!(
            "the one peer that was asked does not give it{lied}; try again when others are there"
        ),
        _ if run.done() > 0 => {
            format!(
                "none of {reached} peers that were asked gives the rest{lied}; try again when others are there"
            )
        }
        _ => format!(
            "none of {reached} peers that were asked has it{lied}; try again when others are there"
        ),
    }
}

/// Peers that may have a content, each once.
#[derive(Default)]
struct Crowd {
    waiting: VecDeque<PeerId>,
    met: HashSet<PeerId>,
    scores: HashMap<PeerId, f64>,
    dht: Option<mpsc::Receiver<PeerId>>,
    searched: bool,
}

impl Crowd {
    fn add(&mut self, peer: PeerId) {
        if self.met.insert(peer) {
            self.waiting.push_back(peer);
        }
    }

    async fn search(&mut self, registry: &P2pRegistry, wanted: &Wanted) -> Result<()> {
        self.searched = true;
        let root = wanted.beside.unwrap_or(wanted.content.root);
        let (key, timeout) = (DhtKey::of_content(&root), registry.core.net.query_timeout());
        let what = format!("content of {}", wanted.what);
        self.dht = Some(registry.core.net.find_providers(key, what, timeout).await?);
        Ok(())
    }

    /// The next one that the DHT names, or that it names no more.
    async fn found(&mut self) -> Option<PeerId> {
        match &mut self.dht {
            Some(dht) => dht.recv().await,
            None => std::future::pending().await,
        }
    }

    /// A provider says of itself that it has it: it goes first.
    fn add_found(&mut self, found: Option<PeerId>) {
        match found {
            Some(peer) => {
                if self.met.insert(peer) {
                    self.waiting.push_front(peer);
                } else if let Some(at) = self.waiting.iter().position(|waiting| *waiting == peer) {
                    self.waiting.swap(0, at);
                }
            }
            None => self.dht = None,
        }
    }

    /// The next to ask, and its score.
    fn next(&mut self) -> Option<(PeerId, f64)> {
        let peer = self.waiting.pop_front()?;
        Some((peer, self.scores.get(&peer).copied().unwrap_or(0.0)))
    }

    fn is_exhausted(&self) -> bool {
        self.waiting.is_empty() && self.dht.is_none() && self.searched
    }
}

/// Bytes a second, smoothed so that one can read it.
struct Pace {
    at: Instant,
    done: u64,
    rate: Option<f64>,
}

impl Pace {
    fn new(done: u64) -> Self {
        Self {
            at: Instant::now(),
            done,
            rate: None,
        }
    }

    fn at(&mut self, done: u64) -> f64 {
        let millis = u64::try_from(self.at.elapsed().as_millis()).unwrap_or(u64::MAX);
        let now = rate(done.saturating_sub(self.done), millis);
        (self.at, self.done) = (Instant::now(), done);
        let smooth = self.rate.map_or(now, |rate| 0.7 * rate + 0.3 * now);
        self.rate = Some(smooth);
        smooth
    }
}
