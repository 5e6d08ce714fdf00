//! Copies on other nodes: the bytes of a new release are given to others, so that whoever published it may leave; and what others
//! ask this node to keep.
//!
//! Who asks is the node that published, and later, when a copy was lost, the one of those that hold it which comes first by
//! [`order`]. Whoever is asked fetches in the ordinary way, and verifies. That a node holds a release is believed once it has given
//! groups of it, chosen at random, that verify.

use std::{
    collections::{HashSet, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use futures::{StreamExt, stream::FuturesUnordered};
use libp2p::PeerId;
use rand::RngExt;
use serde_bytes::ByteBuf;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch},
    task::JoinSet,
    time::MissedTickBehavior,
};
use tokio_util::sync::CancellationToken;

use super::{P2pRegistry, PublishStep, Wanted, fetch::REACH};
use crate::{
    RegistryError, Result, clock,
    domain::{
        content::groups,
        copies::{CopyFigures, LEAST, is_among, order},
        hash::{ContentRoot, Hash},
        manifest::{Content, Manifest},
        name::PackageId,
        record::{DhtKey, Signed},
        reputation::Outcome,
        time::Timestamp,
        transfer::TransferState,
        trust::Trust,
    },
    net::{
        AskError,
        content::{Answered, Broken, ContentLink},
        protocol::{Keeping, Request, Response},
    },
    store::{Reserved, contents_of},
};

/// Releases that are fetched for others at once, and of publishers that are not known here.
const FOR_OTHERS: usize = 4;
const FOR_UNKNOWN: usize = 2;
/// Own releases that are given to others at once.
const AT_ONCE: usize = 4;
/// An own release that nobody took is offered again after this long, and when a peer with room comes.
const AGAIN: Duration = Duration::from_secs(60);
/// Offers in vain, one after the other, after which the rest waits for its turn.
const IN_VAIN: usize = 20;
/// What nobody took for so long is told: right after a start nobody has said yet how much room there is.
const PATIENT: Duration = Duration::from_secs(120);
/// Own releases that want copies are looked for this often.
const LOOK: Duration = Duration::from_secs(5);
/// Between two questions how far a peer is: short at first, because most releases are small.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// A peer to which nothing came for so long does not get it.
const STALLED: Duration = Duration::from_secs(40);
/// Whoever asks is told at once where a release comes within this.
const AT_ONCE_HERE: Duration = Duration::from_millis(200);
/// Groups of a content that a peer has to show.
const PROVEN_BY: usize = 2;
/// Copies that are looked after in a round, and how many rounds there are in the time after which one counts as lost.
const A_ROUND: usize = 100;
const ROUNDS: u32 = 24;
const SHORTEST_ROUND: Duration = Duration::from_secs(1);
const LONGEST_ROUND: Duration = Duration::from_secs(3_600);
/// Wait for the DHT, for each.
const PATIENCE: Duration = Duration::from_secs(3);
/// Nodes that are looked at for one release.
const MOST_HOLDERS: usize = 16;
/// Peers that are remembered as not holding what they say they hold.
const MOST_UNFIT: usize = 1_000;
/// Room is told to peers in so many steps.
const STEPS: u64 = 64;

/// What is under way with copies.
pub(super) struct Copying {
    /// Own releases that are given to others now.
    underway: watch::Sender<HashSet<Hash>>,
    unfit: Mutex<HashSet<PeerId>>,
    /// Releases that are fetched for others now.
    fetching: Mutex<HashSet<Hash>>,
    places: Arc<Semaphore>,
    of_unknown: Arc<Semaphore>,
    /// The rounds go on after these.
    at: Mutex<[Hash; 2]>,
}

impl Default for Copying {
    fn default() -> Self {
        Self {
            underway: watch::Sender::default(),
            unfit: Mutex::default(),
            fetching: Mutex::default(),
            places: Arc::new(Semaphore::new(FOR_OTHERS)),
            of_unknown: Arc::new(Semaphore::new(FOR_UNKNOWN)),
            at: Mutex::new([Hash([0; 32]); 2]),
        }
    }
}

impl Copying {
    /// Waits until nothing is given to others.
    pub async fn idle(&self) {
        // The sender is as old as this.
        let _ = self.underway.subscribe().wait_for(HashSet::is_empty).await;
    }

    fn fetching(&self) -> MutexGuard<'_, HashSet<Hash>> {
        self.fetching.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn unfit(&self) -> MutexGuard<'_, HashSet<PeerId>> {
        self.unfit.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a peer shows of a release.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shown {
    /// Groups that were chosen at random verified.
    Holds,
    /// It says that it does not hold it.
    Lacks,
    /// It says that it holds it, and does not give it.
    Pretends,
    /// It could not be asked.
    Away,
}

impl P2pRegistry {
    /// Runs until `stop` is called.
    pub async fn run_copies(self, stop: CancellationToken) {
        let mut joined = self.net.joined();
        let every = self.state.options.copy_lost_after / ROUNDS;
        let mut round = tokio::time::interval(every.clamp(SHORTEST_ROUND, LONGEST_ROUND));
        round.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut look = tokio::time::interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // Peers that had room when they were looked at last.
        let mut roomy = HashSet::new();
        loop {
            let mut look_after = false;
            tokio::select! {
                () = stop.cancelled() => return,
                changed = joined.changed() => if changed.is_err() { return },
                _ = look.tick() => {}
                _ = round.tick() => look_after = true,
            }
            if let Err(error) = self.tell_room() {
                tracing::debug!(%error, "how much room there is for others could not be found out");
            }
            if self.state.options.copies == 0 || *joined.borrow_and_update() == 0 {
                continue;
            }
            let done = stop.run_until_cancelled(async {
                if look_after {
                    self.look_after_copies().await?;
                }
                let rooms = self.net.rooms().await?;
                let now: HashSet<PeerId> = rooms.iter().filter(|(_, room)| *room > 0).map(|(peer, _)| *peer).collect();
                // Whoever is new may take what nobody took before.
                let all = now.iter().any(|peer| !roomy.contains(peer));
                roomy = now;
                self.copy_own(all).await
            });
            if let Some(Err(error)) = done.await {
                tracing::warn!(%error, "copies on other nodes are looked after again later");
            }
        }
    }

    /// Tells peers how many bytes they may have kept here, and whoever looks at this node's health how it stands. What is kept of
    /// unknown publishers makes room for known ones.
    fn tell_room(&self) -> Result<()> {
        let Copying { underway, .. } = &self.state.copying;
        let (kept, of_known) = self.store.copies_usage(&self.net.known())?;
        let most = if self.state.options.stays { self.room_for_others()? } else { 0 };
        let step = (most / STEPS).max(1);
        let room = most.saturating_sub(of_known) / step * step;
        self.net.greet(|greeting| greeting.room = room);
        let waiting =
            self.store.tried_in_vain(clock::now().before(PATIENT))?.saturating_sub(underway.borrow().len() as u64);
        let waiting = if self.state.options.copies == 0 { 0 } else { waiting };
        self.net.tell_copies(CopyFigures { waiting, kept, room: most });
        Ok(())
    }

    /// Bytes that may be kept for others in all: what was fetched by a person is not displaced.
    fn room_for_others(&self) -> Result<u64> {
        let most = self.state.options.keep_for_others;
        if most == 0 || !self.state.options.provide {
            return Ok(0);
        }
        let usage = self.contents.usage()?;
        let (kept, _) = self.store.copies_usage(&HashSet::new())?;
        Ok(most.min(usage.quota.saturating_sub(usage.bytes).saturating_add(kept)))
    }

    /// Drops what an earlier run of this node had begun to keep for others, and what there is no room for any more.
    pub(super) async fn tidy_copies(&self) -> Result<()> {
        let store = self.store.clone();
        let known = tokio::task::spawn_blocking(move || store.known_publishers(clock::now(), usize::MAX >> 1)).await;
        let known = known.map_err(|error| RegistryError::Internal { what: "reading", why: error.to_string() })??;
        let room = self.room_for_others()?;
        let gone = self.store.tidy_copies(Arc::new(known), room).await?;
        self.forget_contents(gone).await?;
        self.tell_room()
    }

    async fn forget_contents(&self, gone: Vec<ContentRoot>) -> Result<()> {
        for root in &gone {
            self.store.forget_fetch(*root).await?;
        }
        self.contents.remove_files_of(gone).await;
        Ok(())
    }

    /// Gives own releases that want copies to others: those that were not tried lately, or `all`.
    async fn copy_own(&self, all: bool) -> Result<()> {
        let begun = clock::now();
        let before = if all { begun } else { begun.before(AGAIN) };
        let mut running = FuturesUnordered::new();
        let mut begun_now = HashSet::new();
        let mut in_vain = 0;
        loop {
            while running.len() < AT_ONCE && in_vain < IN_VAIN {
                let Some(release) = self.store.next_uncopied(before)? else { break };
                if !begun_now.insert(release) {
                    break;
                }
                // Whatever comes of it, the next one is another.
                self.store.tried_to_copy(release, false, begun).await?;
                let Some(manifest) = self.store.manifest(&release)? else {
                    self.store.tried_to_copy(release, true, begun).await?;
                    continue;
                };
                running.push(async move { self.give_copies(&manifest, None).await });
            }
            match running.next().await {
                None => return Ok(()),
                Some(had) => in_vain = if had? == 0 { in_vain + 1 } else { 0 },
            }
        }
    }

    /// Has other nodes take the bytes of an own release, as many as it wants; how many there are goes to `progress` as it changes.
    /// Returns how many have it.
    pub(super) async fn give_copies(
        &self,
        release: &Signed<Manifest>,
        progress: Option<&mpsc::Sender<PublishStep>>,
    ) -> Result<usize> {
        let (wanted, hash) = (self.state.options.copies, release.hash());
        let underway = &self.state.copying.underway;
        if !underway.send_if_modified(|underway| underway.insert(hash)) {
            return self.copies_of(&hash);
        }
        let given = self.place_copies(release, wanted, progress).await;
        underway.send_if_modified(|underway| underway.remove(&hash));
        let nodes = given?;
        self.store.tried_to_copy(hash, nodes >= wanted, clock::now()).await?;
        Ok(nodes)
    }

    /// Nodes that were seen to have a release, this one not counted.
    pub(super) fn copies_of(&self, release: &Hash) -> Result<usize> {
        Ok(self.store.holders(release)?.iter().filter(|holder| holder.missing_since.is_none()).count())
    }

    /// Nodes that have a content: this one if it has, and those of which the DHT says so.
    pub(super) async fn holders_of(&self, root: ContentRoot) -> Result<Vec<PeerId>> {
        let mut holders = Vec::new();
        if self.contents.get(&root)?.is_some() {
            holders.push(self.net.peer_id());
        }
        if *self.net.joined().borrow() == 0 {
            return Ok(holders);
        }
        let timeout = PATIENCE.min(self.net.query_timeout());
        let mut found = self.net.find_providers(DhtKey::of_content(&root), format!("who has {root}"), timeout).await?;
        while let Some(peer) = found.recv().await {
            if !holders.contains(&peer) && holders.len() < MOST_HOLDERS {
                holders.push(peer);
            }
        }
        Ok(holders)
    }

    async fn place_copies(
        &self,
        release: &Signed<Manifest>,
        wanted: usize,
        progress: Option<&mpsc::Sender<PublishStep>>,
    ) -> Result<usize> {
        let hash = release.hash();
        let known: HashSet<PeerId> = self.store.holders(&hash)?.iter().map(|holder| holder.peer).collect();
        let mut nodes = self.copies_of(&hash)?;
        let bytes = contents_of(release).iter().fold(0_u64, |sum, content| sum.saturating_add(content.size)).max(LEAST);
        let rooms = self.net.rooms().await?;
        let takes = |(peer, room): &(PeerId, u64)| {
            *room >= bytes && !known.contains(peer) && !self.state.copying.unfit().contains(peer)
        };
        let mut left: VecDeque<PeerId> =
            order(&release.content, rooms.iter().filter(|one| takes(one)).map(|(peer, _)| *peer)).into();
        let mut offers = JoinSet::new();
        loop {
            while nodes + offers.len() < wanted
                && let Some(peer) = left.pop_front()
            {
                let (registry, release) = (self.clone(), release.clone());
                offers.spawn(async move { (peer, registry.offer(peer, &release).await) });
            }
            let Some(offered) = offers.join_next().await else { return Ok(nodes) };
            let Ok((peer, taken)) = offered else { continue };
            if taken? {
                self.store.saw_holder(hash, peer, clock::now()).await?;
                nodes += 1;
                progress.map(|progress| progress.try_send(PublishStep::Copied { nodes, wanted }));
            }
        }
    }

    /// Asks a peer to keep a release, and waits until it has it; false when it does not take it.
    async fn offer(&self, peer: PeerId, release: &Signed<Manifest>) -> Result<bool> {
        let envelope = ByteBuf::from(release.envelope().to_vec());
        let (mut done, mut came, mut pause) = (0, Instant::now(), FIRST_PAUSE);
        loop {
            let answer = self.net.ask(peer, Request::Keep(envelope.clone()), self.net.query_timeout()).await?;
            match answer {
                Ok(Response::Keeping(Keeping::Held)) => {
                    return Ok(match self.shown(peer, release).await {
                        Shown::Holds => true,
                        Shown::Away => false,
                        Shown::Lacks | Shown::Pretends => {
                            self.pretends(peer, release);
                            false
                        }
                    });
                }
                Ok(Response::Keeping(Keeping::Fetching { done: now })) if now > done => {
                    (done, came) = (now, Instant::now())
                }
                Ok(Response::Keeping(Keeping::Fetching { .. })) | Err(AskError::Busy | AskError::TimedOut) => {}
                Ok(Response::Keeping(Keeping::Declined)) | Err(AskError::Refused | AskError::Unreachable) => {
                    return Ok(false);
                }
                Ok(_) => {
                    self.net.observe(peer, Outcome::AnswerWrong);
                    return Ok(false);
                }
            }
            if came.elapsed() >= STALLED {
                return Ok(false);
            }
            tokio::time::sleep(pause).await;
            pause = pause.mul_f64(1.5).min(LONGEST_PAUSE);
        }
    }

    /// A peer says that it holds a release and does not: it loses its place and its score.
    fn pretends(&self, peer: PeerId, release: &Manifest) {
        tracing::info!(%peer, package = %release.name, version = %release.version, "a peer says that it keeps it, and does not");
        self.net.observe(peer, Outcome::AnswerWrong);
        let mut unfit = self.state.copying.unfit();
        if unfit.len() >= MOST_UNFIT {
            unfit.clear();
        }
        unfit.insert(peer);
    }

    /// Asks a peer for groups of a release's contents, chosen at random.
    async fn shown(&self, peer: PeerId, release: &Manifest) -> Shown {
        for content in contents_of(release) {
            let mut shown = self.shown_of(peer, content, false).await;
            // A stream that was kept may be of a connection that is no more.
            if shown == Shown::Away {
                shown = self.shown_of(peer, content, true).await;
            }
            if shown != Shown::Holds {
                return shown;
            }
        }
        Shown::Holds
    }

    async fn shown_of(&self, peer: PeerId, content: Content, fresh: bool) -> Shown {
        let links = &self.state.fetches.links;
        let Ok((link, place)) = links.take(&self.net, peer, REACH, fresh).await else { return Shown::Away };
        match ask_for_some(link, content).await {
            Ok((link, shown)) => {
                links.give_back(link, place);
                shown
            }
            Err(Broken::Lied) => Shown::Pretends,
            Err(Broken::Lost(_) | Broken::Silent) => Shown::Away,
        }
    }

    /// Answers a peer that asks this node to keep a release for others.
    pub(super) async fn keep_for(&self, from: PeerId, envelope: &[u8]) -> Response {
        let Ok(release) = Signed::<Manifest>::verify(envelope) else { return Response::Refused };
        match self.keep(from, release).await {
            Ok(Some(keeping)) => Response::Keeping(keeping),
            Ok(None) => Response::Busy,
            Err(error) => {
                tracing::warn!(%error, "what a peer asks to be kept could not be looked at");
                Response::Busy
            }
        }
    }

    /// `None` when there is too much to do.
    async fn keep(&self, from: PeerId, release: Signed<Manifest>) -> Result<Option<Keeping>> {
        let (publisher, contents) = (release.publisher(), contents_of(&release));
        if let Some(keeping) = self.keeping(&release, &contents)? {
            return Ok(Some(keeping));
        }
        let room = self.room_for_others()?;
        if !self.state.options.stays {
            return Ok(Some(Keeping::Declined));
        }
        let fits = contents.iter().all(|content| content.size <= self.state.options.max_content.min(room));
        if !fits || self.store.trust(&publisher, None)? == Trust::Distrusted {
            return Ok(Some(Keeping::Declined));
        }
        let me = self.net.peer_id();
        let rooms = self.net.rooms().await?;
        let neighbours = rooms.iter().filter(|(_, room)| *room > 0).map(|(peer, _)| *peer);
        if !is_among(&release.content, &me, neighbours) {
            return Ok(Some(Keeping::Declined));
        }
        let known = Arc::new(self.net.known());
        let copying = &self.state.copying;
        let place = |places: &Arc<Semaphore>| places.clone().try_acquire_owned().ok();
        let of_unknown = if known.contains(&publisher) { None } else { Some(place(&copying.of_unknown)) };
        let (Some(all), Some(of_unknown)) =
            (place(&copying.places), of_unknown.map_or(Some(None), |one| one.map(Some)))
        else {
            return Ok(None);
        };
        match self.store.reserve_copy(release.clone(), known, room, clock::now()).await? {
            Reserved::Declined => return Ok(Some(Keeping::Declined)),
            // What was kept and is not all here any more is fetched again.
            Reserved::Kept => {}
            Reserved::Taken { gone } => self.forget_contents(gone).await?,
        }
        if !copying.fetching().insert(release.hash()) {
            return Ok(Some(Keeping::Fetching { done: 0 }));
        }
        self.state.announcers.note(release.content, from);
        let registry = self.clone();
        let places = [Some(all), of_unknown];
        let (ended, end) = oneshot::channel::<()>();
        let (fetches, stop) = (&self.state.fetches, self.state.fetches.stop.clone());
        let fetched = release.clone();
        fetches.tasks.spawn(async move {
            stop.run_until_cancelled(registry.fetch_for_others(fetched, places)).await;
            drop(ended);
        });
        // What is small is here before it could be asked for again.
        let _ = tokio::time::timeout(AT_ONCE_HERE, end).await;
        Ok(Some(self.keeping(&release, &contents)?.unwrap_or(Keeping::Declined)))
    }

    /// How far this node is with a release; `None` when it does nothing about it.
    fn keeping(&self, release: &Signed<Manifest>, contents: &[Content]) -> Result<Option<Keeping>> {
        let mut done = 0;
        let mut all = true;
        for content in contents {
            match self.contents.get(&content.root)?.filter(|held| held.content == *content) {
                Some(held) => done += held.content.size,
                None => {
                    all = false;
                    done += self.fetched_of(&content.root);
                }
            }
        }
        Ok(match (all, self.state.copying.fetching().contains(&release.hash())) {
            (true, false) => Some(Keeping::Held),
            (_, true) => Some(Keeping::Fetching { done }),
            (false, false) => None,
        })
    }

    async fn fetch_for_others(self, release: Signed<Manifest>, _places: [Option<OwnedSemaphorePermit>; 2]) {
        let hash = release.hash();
        let kept = self.fetch_all_of(&release).await;
        self.state.copying.fetching().remove(&hash);
        let noted = async {
            if kept {
                self.provide_soon(release.content, &format!("{} {}", release.name, release.version));
            } else {
                let gone = self.store.drop_copy(hash).await?;
                self.forget_contents(gone).await?;
            }
            self.tell_room()
        };
        if let Err(error) = noted.await {
            tracing::error!(%error, package = %release.name, "what is kept for others could not be written down");
        }
    }

    async fn fetch_all_of(&self, release: &Signed<Manifest>) -> bool {
        let package = PackageId { publisher: release.publisher(), name: release.name.clone() };
        let what = format!("copy of {}/{} {}", package.publisher.fingerprint(), release.name, release.version);
        for content in contents_of(release) {
            if self.contents.get(&content.root).is_ok_and(|held| held.is_some()) {
                continue;
            }
            let beside = (content.root != release.content).then_some(release.content);
            let wanted =
                Wanted { content, what: what.clone(), package: Some(package.clone()), beside, for_others: true };
            let Ok(mut shown) = self.begin_fetch(wanted) else { return false };
            let ended = |state: &TransferState| !matches!(state, TransferState::Waiting | TransferState::Running);
            let end = shown.wait_for(|transfer| ended(&transfer.state)).await.map(|transfer| transfer.state.clone());
            if !matches!(end, Ok(TransferState::Done)) {
                return false;
            }
        }
        true
    }

    /// Looks at some of the releases that this node keeps, or had copied: who else has them, and whether that is enough.
    async fn look_after_copies(&self) -> Result<()> {
        let at = *self.state.copying.at.lock().unwrap_or_else(PoisonError::into_inner);
        let [of_others, own] = at;
        let copies = self.store.copies_after(of_others, A_ROUND)?;
        let copied = self.store.copied_after(own, A_ROUND)?;
        let next = |count: usize, last: Option<Hash>| {
            if count < A_ROUND { Hash([0; 32]) } else { last.unwrap_or(Hash([0; 32])) }
        };
        let after = [
            next(copies.len(), copies.last().map(|(copy, _)| copy.release)),
            next(copied.len(), copied.last().copied()),
        ];
        for (copy, envelope) in copies {
            match Signed::<Manifest>::verify(&envelope) {
                Ok(release) => self.look_after(&release, copy.since).await?,
                Err(refusal) => {
                    tracing::error!(%refusal, release = %copy.release, "a release that is kept does not verify")
                }
            }
        }
        for release in copied {
            if let Some(manifest) = self.store.manifest(&release)? {
                let since = manifest.created;
                self.look_after(&manifest, since).await?;
            }
        }
        *self.state.copying.at.lock().unwrap_or_else(PoisonError::into_inner) = after;
        Ok(())
    }

    async fn look_after(&self, release: &Signed<Manifest>, since: Timestamp) -> Result<()> {
        let (hash, me) = (release.hash(), self.net.peer_id());
        let lost_after = self.state.options.copy_lost_after;
        let mut nodes: Vec<PeerId> = self.store.holders(&hash)?.into_iter().map(|holder| holder.peer).collect();
        let what = format!("who has {} {}", release.name, release.version);
        let mut found = self.net.find_providers(DhtKey::of_content(&release.content), what, PATIENCE).await?;
        while let Some(peer) = found.recv().await {
            if peer != me && !nodes.contains(&peer) && !self.state.copying.unfit().contains(&peer) {
                nodes.push(peer);
            }
        }
        for peer in nodes.into_iter().take(MOST_HOLDERS) {
            match self.shown(peer, release).await {
                Shown::Holds => self.store.saw_holder(hash, peer, clock::now()).await?,
                Shown::Away => self.store.missed_holder(hash, peer, clock::now()).await?,
                Shown::Lacks => self.store.forget_holder(hash, peer).await?,
                Shown::Pretends => {
                    self.pretends(peer, release);
                    self.store.forget_holder(hash, peer).await?;
                }
            }
        }
        let now = clock::now();
        for holder in self.store.holders(&hash)? {
            if holder.missing_since.is_some_and(|missing| now.since(missing) >= lost_after) {
                self.store.forget_holder(hash, holder.peer).await?;
            }
        }
        let holders = self.store.holders(&hash)?;
        self.store.set_elsewhere(hash, self.copies_of(&hash)? as u64).await?;
        let wanted = self.state.options.copies;
        // Right after a publish nobody has heard yet of who holds it.
        if holders.len() >= wanted || now.since(since) < lost_after {
            return Ok(());
        }
        let all = holders.iter().map(|holder| holder.peer).chain([me]);
        if order(&release.content, all).first() == Some(&me) {
            let nodes = self.place_copies(release, wanted, None).await?;
            tracing::info!(package = %release.name, version = %release.version, nodes, "a copy was lost, and is made anew");
        }
        Ok(())
    }
}

/// Asks for a content's first question, and then for groups of it.
async fn ask_for_some(mut link: ContentLink, content: Content) -> Result<(ContentLink, Shown), Broken> {
    link.ask_held(content.root).await?;
    let (mut link, answered) = link.answer(content, &(0..0), |_| {}).await?;
    let count = groups(content.size);
    match answered {
        Answered::Holds { size, have } if size == content.size && have == crate::domain::content::all(size) => {}
        Answered::Busy => return Ok((link, Shown::Away)),
        _ => return Ok((link, Shown::Lacks)),
    }
    for _ in 0..PROVEN_BY {
        let group = rand::rng().random_range(0..count.max(1));
        link.ask(content.root, &(group..group + 1)).await?;
        let (back, answered) = link.answer(content, &(group..group + 1), |_| {}).await?;
        link = back;
        match answered {
            Answered::Bytes => {}
            Answered::Busy => return Ok((link, Shown::Away)),
            _ => return Ok((link, Shown::Pretends)),
        }
    }
    Ok((link, Shown::Holds))
}
