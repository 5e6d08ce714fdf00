//! Answers peers' requests about this node's catalogue.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use futures::future::BoxFuture;
use libp2p::PeerId;
use serde_bytes::ByteBuf;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, oneshot},
    time::timeout,
};

use super::Catalogue;
use crate::{
    Result, clock,
    domain::{name::PackageId, query::could_match, record::consistent, release, time::Timestamp},
    net::{
        QueryReply,
        protocol::{Item, MAX_HEADS, MAX_RESPONSE, Request, Response},
    },
    store::{Store, is_interrupted, processors},
};

/// Requests that wait longer than this are dropped: the peer does not wait longer, either.
const TURN: Duration = Duration::from_secs(5);

/// Limits the threads that answer requests: one per processor, and at least two. Unknown peers may
/// use half of them, so that good ones always find one.
#[derive(Clone)]
pub struct Threads {
    all: Arc<Semaphore>,
    of_unknown: Arc<Semaphore>,
}

impl Default for Threads {
    fn default() -> Self {
        let count = processors();
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

impl Catalogue {
    /// Answers a peer's request within the time that the peer has left. Peers that are `good` get a
    /// thread even while others keep many busy.
    pub fn answer(
        &self,
        from: PeerId,
        request: Request,
        (time, good): (Duration, bool),
        reply: oneshot::Sender<QueryReply>,
    ) -> BoxFuture<'static, ()> {
        let (store, threads) = (self.core.store.clone(), self.threads.clone());
        let now = self.core.now();
        Box::pin(async move {
            // Without a reply, the peer is told that we are busy.
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
                Ok((Ok(response), took)) => drop(reply.send(QueryReply { response, took })),
                Ok((Err(error), took)) => {
                    if is_interrupted(&error) {
                        tracing::debug!(peer = %from, ?took, "a question took more time than its peer has left");
                    } else {
                        tracing::warn!(%error, "a peer's question could not be answered");
                    }
                    let response = Response::Busy;
                    drop(reply.send(QueryReply { response, took }));
                }
                Err(error) => tracing::error!(%error, "answering a peer failed"),
            }
        })
    }
}

/// Answers a request from the store.
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
                // By the same rules, the peer would reject this hit, so it is not sent.
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
        Request::Head(package) => packages(store, &[package])?,
        Request::Heads(asked) => packages(store, &asked)?,
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

/// Returns the held heads of these packages, with the manifests of their newest releases, as many
/// as fit into an answer.
fn packages(store: &Store, asked: &[PackageId]) -> Result<Response> {
    let bytes = |envelope: &bytes::Bytes| ByteBuf::from(envelope.to_vec());
    let (mut items, mut size, mut more) = (Vec::new(), 0, false);
    for package in asked {
        let Some(stored) = store.head(package)? else {
            continue;
        };
        let manifest = stored
            .head
            .latest()
            .map(|entry| store.first_held(entry))
            .transpose()?
            .flatten()
            .filter(|manifest| consistent(&stored.head, manifest).is_ok());
        let of_manifest = manifest
            .as_ref()
            .map_or(0, |manifest| manifest.envelope().len());
        size += stored.head.envelope().len() + of_manifest + 32;
        // A single one always fits.
        if size as u64 > MAX_RESPONSE - 1024 && !items.is_empty() {
            more = true;
            break;
        }
        items.push(Item {
            head: bytes(stored.head.envelope()),
            manifest: manifest.map(|manifest| bytes(manifest.envelope())),
        });
    }
    Ok(Response::Packages { items, more })
}
