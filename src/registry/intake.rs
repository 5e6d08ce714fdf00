//! What peers send: announcements, records to store, questions. Everything is verified here before
//! anything else.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use futures::{StreamExt, future::BoxFuture, stream::FuturesUnordered};
use libp2p::PeerId;
use serde_bytes::ByteBuf;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use super::P2pRegistry;
use crate::{
    Result, clock,
    domain::{
        manifest::Manifest,
        query::could_match,
        record::{
            Admission, Announcement, Authorised, DhtKey, Head, Horizon, MAX_AHEAD, Record, Refusal,
            consistent, is_of,
        },
        release,
        time::Timestamp,
        trust::Trust,
    },
    net::{
        Answered, Inbound,
        protocol::{Item, MAX_HEADS, MAX_RESPONSE, Request, Response},
    },
    store::{HeadVerdict, Store, StoredHead, is_interrupted},
};

/// Questions that wait longer for their turn are not answered: whoever asked does not wait either.
const TURN: Duration = Duration::from_secs(5);

/// Questions are answered on so many threads at once: a processor each, and two at least. Peers
/// that are unknown have half of them, so that good ones always find one.
#[derive(Clone)]
pub(super) struct Threads {
    all: Arc<Semaphore>,
    of_unknown: Arc<Semaphore>,
}

impl Default for Threads {
    fn default() -> Self {
        let count = std::thread::available_parallelism()
            .map_or(2, usize::from)
            .max(2);
        Self {
            all: Arc::new(Semaphore::new(count)),
            of_unknown: Arc::new(Semaphore::new(count / 2)),
        }
    }
}

impl Threads {
    async fn turn(&self, good: bool) -> Option<[Option<OwnedSemaphorePermit>; 2]> {
        let one = async |threads: &Arc<Semaphore>| threads.clone().acquire_owned().await.ok();
        let waited = async {
            let unknown = if good {
                None
            } else {
                one(&self.of_unknown).await
            };
            [unknown, one(&self.all).await]
        };
        timeout(TURN, waited).await.ok()
    }
}

/// What it costs at most to see what is kept of a release: a signature, and some rows.
const KEPT_IN: Duration = Duration::from_millis(5);

/// Commits and answers on their way; beyond it the queue fills, and the network task drops and
/// counts.
const MAX_RUNNING: usize = 256;

impl P2pRegistry {
    /// Serves what the network hands over until it is closed or `stop` is called.
    pub async fn run_intake(self, mut inbound: mpsc::Receiver<Inbound>, stop: CancellationToken) {
        let mut running: FuturesUnordered<BoxFuture<'static, ()>> = FuturesUnordered::new();
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                Some(()) = running.next(), if !running.is_empty() => {}
                next = inbound.recv(), if running.len() < MAX_RUNNING => match next {
                    Some(next) => running.extend(self.take(next)),
                    None => break,
                },
            }
        }
        // What has been accepted is committed before the store closes.
        while running.next().await.is_some() {}
    }

    fn take(&self, inbound: Inbound) -> Option<BoxFuture<'static, ()>> {
        match inbound {
            Inbound::Announcement {
                data,
                via,
                author,
                verdict,
            } => {
                let now = self.core.now();
                let judged = self.judge_announcement(&data, via, now);
                // The verdict comes before the commit: peers wait for it to pass the message on.
                let _ = verdict.send(judged.as_ref().map(drop).map_err(|refusal| *refusal));
                if let Err(refusal) = judged {
                    return (refusal == Refusal::Conflict)
                        .then(|| self.keep_announced(&data, now))
                        .flatten();
                }
                let (announcement, admission) = judged.ok()?;
                let registry = self.clone();
                if let Some(author) = author {
                    announcement
                        .manifest
                        .files
                        .iter()
                        .for_each(|file| self.state.announcers.note(file.root, author));
                }
                Some(Box::pin(async move {
                    registry.commit(announcement, admission, via, now).await
                }))
            }
            Inbound::Put {
                key,
                value,
                from: _,
                verdict,
            } => {
                let now = self.core.now();
                let judged = judge_put(&self.core.store, &key, &value, self.horizon(now), now);
                let disputed = match &judged {
                    Ok((Record::Head(head), true)) => Some(head.clone()),
                    _ => None,
                };
                let _ = verdict.send(judged.map(|(record, _)| record));
                Some(self.keep_evidence(disputed?, None, now))
            }
            Inbound::Query {
                from,
                request: Request::Keep(envelope),
                reply,
                ..
            } => {
                let registry = self.clone();
                Some(Box::pin(async move {
                    let begun = Instant::now();
                    let response = registry.keep_for(from, &envelope).await;
                    // Waiting for what comes of it costs nothing.
                    let took = begun.elapsed().min(KEPT_IN);
                    drop(reply.send(Answered { response, took }));
                }))
            }
            Inbound::Query {
                from,
                request,
                time,
                good,
                reply,
            } => {
                let (store, threads) = (self.core.store.clone(), self.state.threads.clone());
                let now = self.core.now();
                Some(Box::pin(async move {
                    // Without a reply the peer is told that we are busy.
                    let Some(turn) = threads.turn(good).await else {
                        return;
                    };
                    let answering = tokio::task::spawn_blocking(move || {
                        let begun = Instant::now();
                        let bounded = store.until(clock::deadline(begun, time));
                        let answer = answer(&bounded, request, now);
                        drop(turn);
                        (answer, begun.elapsed())
                    });
                    match answering.await {
                        Ok((Ok(response), took)) => drop(reply.send(Answered { response, took })),
                        Ok((Err(error), took)) => {
                            if is_interrupted(&error) {
                                tracing::debug!(peer = %from, ?took, "a question took more time than its peer has left");
                            } else {
                                tracing::warn!(%error, "a peer's question could not be answered");
                            }
                            drop(reply.send(Answered {
                                response: Response::Busy,
                                took,
                            }));
                        }
                        Err(error) => tracing::error!(%error, "answering a peer failed"),
                    }
                }))
            }
        }
    }

    fn judge_announcement(
        &self,
        data: &[u8],
        via: PeerId,
        now: Timestamp,
    ) -> Result<(Announcement, Admission), Refusal> {
        let announcement = Announcement::verify(data, now)?;
        let head = &announcement.head;
        let stored = |error: crate::RegistryError| {
            tracing::error!(%error, "the catalogue could not be read");
            Refusal::Busy
        };
        if self
            .core
            .store
            .trust(&head.owner(), head.handle.as_ref())
            .map_err(stored)?
            == Trust::Distrusted
        {
            return Err(Refusal::Distrusted);
        }
        if !self.is_welcome(&head.owner(), via).map_err(stored)? {
            return Err(Refusal::OverQuota);
        }
        self.check_dates(head, Some(&announcement.manifest), now)?;
        let verdict = self.core.store.judge_head(head, now).map_err(stored)?;
        if let Some(refusal) = verdict.refusal() {
            return Err(refusal);
        }
        let is_first = || {
            self.core
                .store
                .is_first(&announcement.manifest)
                .map_err(stored)
        };
        match verdict {
            // What is announced is another release than the one that was seen first: nobody is told
            // of it from here.
            HeadVerdict::Disputed(_) if !is_first()? => Err(Refusal::Conflict),
            // Whether a file is changed says only the manifest.
            HeadVerdict::Admitted(_) if announcement.head.ecosystem.grows() && !is_first()? => {
                Err(Refusal::Conflict)
            }
            HeadVerdict::Admitted(Admission::Same) | HeadVerdict::Disputed(Admission::Same)
                if !self.state.notices.is_news(&announcement) =>
            {
                Err(Refusal::Superseded)
            }
            HeadVerdict::Admitted(admission) | HeadVerdict::Disputed(admission) => {
                self.state.notices.note(&announcement);
                Ok((announcement, admission))
            }
            HeadVerdict::Inconsistent | HeadVerdict::Ahead | HeadVerdict::TooManyHandles => {
                Err(Refusal::Inconsistent)
            }
        }
    }

    /// Refuses what is dated ahead. The disk is looked at only for that, because nearly nothing is.
    fn check_dates(
        &self,
        head: &Authorised<Head>,
        manifest: Option<&Authorised<Manifest>>,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        let latest = manifest.map_or(head.signed_at, |manifest| {
            manifest.signed_at.max(head.signed_at)
        });
        if latest <= now.after(MAX_AHEAD) {
            Ok(())
        } else {
            self.horizon(now).check_time(latest)
        }
    }

    /// The latest time that a record from the network may have.
    pub(super) fn horizon(&self, now: Timestamp) -> Horizon {
        let newest = self.core.store.newest_signed_at().unwrap_or_else(|error| {
            tracing::error!(%error, "the newest record could not be read");
            None
        });
        Horizon::of(
            now,
            self.core.net.clock_offset().map(|offset| offset.ms),
            newest,
        )
    }

    async fn commit(
        &self,
        announcement: Announcement,
        admission: Admission,
        via: PeerId,
        verified_at: Timestamp,
    ) {
        let (head, manifest) = (announcement.head.clone(), announcement.manifest.clone());
        match self.accept_head(head, vec![manifest], verified_at).await {
            Ok(verdict) if verdict.refusal().is_some() => return,
            Ok(_) if admission == Admission::Same => {}
            Ok(_) => self.core.tell(&announcement, Some(via), verified_at),
            Err(error) => return tracing::error!(%error, "an announcement could not be kept"),
        }
        if let Err(error) = self.note_latest(&announcement.head) {
            tracing::error!(%error, "the catalogue could not be read");
        }
    }

    /// Takes a verified head of somebody else's, with what follows from it.
    pub(super) async fn accept_head(
        &self,
        head: Authorised<Head>,
        manifests: Vec<Authorised<Manifest>>,
        now: Timestamp,
    ) -> Result<HeadVerdict> {
        let id = head.package().clone();
        if self.check_dates(&head, None, now).is_err() {
            return Ok(HeadVerdict::Ahead);
        }
        let verdict = self
            .core
            .store
            .take_head(head, Vec::new(), manifests, false, now)
            .await?;
        if verdict.refusal().is_none() {
            self.core.cache().forget(&id);
            self.state.counted.notify_one();
        }
        if matches!(verdict, HeadVerdict::Disputed(_)) {
            self.core.tally.refused(Refusal::Conflict);
        }
        if verdict.is_fork() && self.core.publisher_id() == Some(id.owner) {
            self.state.forked.notify_one();
        }
        Ok(verdict)
    }
}

/// What a peer wants stored in the DHT goes by the same rules as everything else, high-water marks
/// included. With the record comes whether it is a head with entries that are not taken.
pub(super) fn judge_put(
    store: &Store,
    key: &[u8],
    value: &[u8],
    horizon: Horizon,
    now: Timestamp,
) -> Result<(Record, bool), Refusal> {
    let key = DhtKey::from_bytes(key).ok_or(Refusal::WrongKey)?;
    let record = Record::verify(&key, value)?;
    let stored = |error: crate::RegistryError| {
        tracing::error!(%error, "the catalogue could not be read");
        Refusal::Busy
    };
    let mut disputed = false;
    match &record {
        Record::Head(head) => {
            if head.is_expired(now) {
                return Err(Refusal::Expired);
            }
            horizon.check(head)?;
            let verdict = store.judge_head(head, now).map_err(stored)?;
            if let Some(refusal) = verdict.refusal() {
                return Err(refusal);
            }
            disputed = matches!(verdict, HeadVerdict::Disputed(_));
        }
        Record::Manifest(manifest) => {
            // Listed by the head that is held, but as another version.
            let id = manifest.package().clone();
            let held = store.head(&id).map_err(stored)?;
            let lists = |stored: StoredHead| {
                stored
                    .head
                    .releases
                    .iter()
                    .any(|entry| entry.lists(&manifest.hash()) && !is_of(entry, manifest))
            };
            if held.is_some_and(lists) {
                return Err(Refusal::Inconsistent);
            }
        }
        Record::Page(_) => {}
    }
    Ok((record, disputed))
}

pub(super) fn answer(store: &Store, request: Request, now: Timestamp) -> Result<Response> {
    let bytes = |envelope: &bytes::Bytes| ByteBuf::from(envelope.to_vec());
    Ok(match request {
        Request::Search(query) => {
            let query = query.public();
            let terms = query.terms();
            let (mut items, mut size, mut more) = (Vec::new(), 0, false);
            for hit in store.search_for_others(&query, now)?.hits {
                let Some(stored) = store.head(&hit.package)? else {
                    continue;
                };
                let entry =
                    release::find(&stored.head.ecosystem, &stored.head.releases, &hit.version);
                let Some(manifest) = entry
                    .map(|entry| store.first_held(entry))
                    .transpose()?
                    .flatten()
                else {
                    continue;
                };
                // What an asker would not take is not sent, by the same rules.
                if consistent(&stored.head, &manifest).is_err()
                    || !could_match(&terms, &stored.head, &manifest)
                {
                    continue;
                }
                size += stored.head.envelope().len() + manifest.envelope().len() + 32;
                if size as u64 > MAX_RESPONSE - 1024 {
                    more = true;
                    break;
                }
                let manifest = Some(bytes(manifest.envelope()));
                items.push(Item {
                    head: bytes(stored.head.envelope()),
                    manifest,
                });
            }
            more |= items.len() >= query.limit;
            Response::Packages { items, more }
        }
        Request::Handle(handle) => {
            let heads = store.heads_of_handle(&handle, MAX_HEADS)?;
            Response::Heads(heads.iter().map(|head| bytes(head.envelope())).collect())
        }
        Request::Head(package) => {
            let mut items = Vec::new();
            if let Some(stored) = store.head(&package)? {
                let manifest = stored
                    .head
                    .latest()
                    .map(|entry| store.first_held(entry))
                    .transpose()?
                    .flatten();
                let manifest =
                    manifest.filter(|manifest| consistent(&stored.head, manifest).is_ok());
                let manifest = manifest.map(|manifest| bytes(manifest.envelope()));
                items.push(Item {
                    head: bytes(stored.head.envelope()),
                    manifest,
                });
            }
            Response::Packages { items, more: false }
        }
        Request::Objects(hashes) => {
            let mut objects = Vec::new();
            for hash in hashes {
                if let Some(manifest) = store.manifest(&hash)? {
                    objects.push(bytes(manifest.envelope()));
                } else if let Some(page) = store.page(&hash)? {
                    objects.push(bytes(page.envelope()));
                }
            }
            Response::Objects(objects)
        }
        // These are answered elsewhere.
        Request::Hello(_) | Request::Keep(_) => Response::Refused,
    })
}
