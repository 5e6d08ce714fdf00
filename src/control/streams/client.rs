//! The client's side of streams.

use std::{collections::HashSet, time::Duration};

use bytes::Bytes;
use futures::StreamExt;
use http_body_util::{BodyExt, StreamBody};
use hyper::{
    Method, Response,
    body::{Frame, Incoming},
};
use libp2p::PeerId;
use serde::de::DeserializeOwned;
use tokio::{sync::mpsc, time::timeout};
use tokio_util::io::ReaderStream;

use super::{
    super::{
        Control, Link, Remote,
        wire::{Publish, Stream, Told},
    },
    lines::Lines,
};
use crate::{
    RegistryError, Result,
    bus::Batch,
    domain::{
        hash::ContentRoot,
        manifest::{Content, Draft},
        query::Query,
        transfer::Transfer,
    },
    registry::{self, Artifacts, Fetched, PublishStep, Receipt, SearchUpdate, Wanted},
};

/// A stream of events on which nothing has come for so long, not even a sign of life, is dead.
const SILENCE: Duration = Duration::from_secs(15);
/// A node that falls silent in the middle of content for so long has gone.
const CONTENT_SILENCE: Duration = Duration::from_secs(60);
/// Between two attempts to reach a node that was lost.
const AGAIN: Duration = Duration::from_millis(500);
/// Batches waiting for the reader.
const BATCHES: usize = 4;
/// Updates of a search waiting for the reader.
const UPDATES: usize = 64;
/// Bytes of a file that are sent at once.
const PIECE: usize = 256 << 10;
/// Pieces of an answer that wait for the reader.
const PIECES: usize = 4;

impl Remote {
    /// Everything that happens on the node, also after it was lost and is there again.
    pub(in crate::control) fn batches(&self) -> mpsc::Receiver<Batch> {
        let (batches, receiver) = mpsc::channel(BATCHES);
        let remote = self.clone();
        tokio::spawn(async move {
            let mut known = HashSet::new();
            while !batches.is_closed() {
                let why = remote.read_events(&batches, &mut known).await;
                if !why.is_empty() {
                    remote.link.send_replace(Link::Lost { why });
                }
                tokio::select! {
                    () = tokio::time::sleep(AGAIN) => {}
                    () = batches.closed() => {}
                }
            }
        });
        receiver
    }

    /// Reads the stream of events until it breaks; says why it did.
    async fn read_events(
        &self,
        batches: &mpsc::Sender<Batch>,
        known: &mut HashSet<PeerId>,
    ) -> String {
        let response = match self.send(Method::GET, "/v1/events", Vec::new()).await {
            Ok(response) => response,
            Err(error) => return error.to_string(),
        };
        let mut lines = Lines::new(response.into_body());
        // Peers that left while nobody listened are told of like any others.
        if !known.is_empty() {
            match self.peers().await {
                Ok(peers) => {
                    let there: HashSet<PeerId> = peers.iter().map(|peer| peer.id).collect();
                    let gone: Vec<PeerId> = known.difference(&there).copied().collect();
                    known.retain(|peer| there.contains(peer));
                    let batch = Batch {
                        events: gone.len() as u64,
                        gone,
                        ..Batch::default()
                    };
                    if !batch.is_empty() && batches.send(batch).await.is_err() {
                        return String::new();
                    }
                }
                Err(error) => return error.to_string(),
            }
        }
        self.link
            .send_if_modified(|link| std::mem::take(link) != Link::Here);
        loop {
            let line = match timeout(SILENCE, lines.next()).await {
                Ok(Ok(Some(line))) => line,
                Ok(Ok(None)) => return "the node has ended".to_owned(),
                Ok(Err(why)) => return format!("the connection {why}"),
                Err(_) => return "the node does not answer".to_owned(),
            };
            let Some(data) = line.strip_prefix(b"data:") else {
                continue;
            };
            let batch: Batch = match serde_json::from_slice(data) {
                Ok(batch) => batch,
                Err(error) => return format!("it sent what is not known here: {error}"),
            };
            known.extend(batch.peers.iter().map(|peer| peer.id));
            known.retain(|peer| !batch.gone.contains(peer));
            if batches.send(batch).await.is_err() {
                return String::new();
            }
        }
    }

    /// The updates of a search. Its reader sees that it broke off, as its last word is missing.
    pub(in crate::control) fn search_updates(&self, query: Query) -> mpsc::Receiver<SearchUpdate> {
        let (updates, receiver) = mpsc::channel(UPDATES);
        let remote = self.clone();
        tokio::spawn(async move {
            let read = async {
                let body = remote.encode(&query)?;
                let response = remote.send(Method::POST, "/v1/search/stream", body).await?;
                let mut lines = Lines::new(response.into_body());
                while let Some(update) = remote.line(&mut lines).await? {
                    if updates.send(update).await.is_err() {
                        break;
                    }
                }
                Ok::<(), RegistryError>(())
            };
            if let Err(error) = read.await {
                tracing::warn!(%error, "a search broke off");
            }
        });
        receiver
    }

    pub(in crate::control) async fn publish_steps(
        &self,
        draft: Draft,
        artifacts: Artifacts,
        progress: Option<mpsc::Sender<PublishStep>>,
    ) -> Result<Receipt> {
        self.may("publishing")?;
        let body = self.encode(&Publish { draft, artifacts })?;
        let response = self.send(Method::POST, "/v1/publish", body).await?;
        let end = self.told(response, progress).await?;
        end.ok_or_else(|| {
            self.failed(
                "ended in the middle of a publish; what was stored is not lost: start it again \
                 and look with `status`",
            )
        })
    }

    pub(in crate::control) async fn fetch_steps(
        &self,
        wanted: Wanted,
        progress: Option<mpsc::Sender<Transfer>>,
    ) -> Result<Fetched> {
        self.may("fetching")?;
        let body = self.encode(&wanted)?;
        let response = self.send(Method::POST, "/v1/fetch", body).await?;
        let end = self.told(response, progress).await?;
        end.ok_or_else(|| {
            self.failed(
                "ended in the middle of a fetch; what came is kept: start it again, and it goes on",
            )
        })
    }

    /// Reads how far a job is, and its end; `None` when the node ended before that.
    async fn told<P: DeserializeOwned, D: DeserializeOwned>(
        &self,
        response: Response<Incoming>,
        progress: Option<mpsc::Sender<P>>,
    ) -> Result<Option<D>> {
        let mut lines = Lines::new(response.into_body());
        while let Some(line) = self.line(&mut lines).await? {
            match line {
                Told::Step(step) | Told::Progress(step) => {
                    if let Some(progress) = &progress {
                        // As far as there is room.
                        let _ = progress.try_send(step);
                    }
                }
                Told::Done(done) => return Ok(Some(done)),
                Told::Error(fault) => return Err(fault.into()),
            }
        }
        Ok(None)
    }

    async fn line<T: DeserializeOwned>(&self, lines: &mut Lines) -> Result<Option<T>> {
        let Some(line) = lines.next().await.map_err(|why| self.failed(why))? else {
            return Ok(None);
        };
        serde_json::from_slice(&line)
            .map(Some)
            .map_err(|error| self.failed(error.to_string()))
    }

    pub(in crate::control) async fn put_bytes(&self, bytes: registry::Incoming) -> Result<Content> {
        self.may("publishing")?;
        let frames = ReaderStream::with_capacity(bytes, PIECE).map(|piece| piece.map(Frame::data));
        let response = self
            .send_body(Method::PUT, "/v1/content", None, StreamBody::new(frames))
            .await?;
        self.take(response).await
    }

    pub(in crate::control) async fn read_bytes(
        &self,
        root: ContentRoot,
    ) -> Result<mpsc::Receiver<Result<Bytes>>> {
        let response = self
            .send(Method::GET, &format!("/v1/content/{root}"), Vec::new())
            .await?;
        Ok(self.pieces(response.into_body()))
    }

    pub(in crate::control) async fn stream_bytes(
        &self,
        wanted: Wanted,
        from: u64,
    ) -> Result<mpsc::Receiver<Result<Bytes>>> {
        self.may("fetching")?;
        let body = self.encode(&Stream { wanted, from })?;
        let response = self.send(Method::POST, "/v1/content/stream", body).await?;
        Ok(self.pieces(response.into_body()))
    }

    /// The bytes of an answer, as they come.
    fn pieces(&self, body: Incoming) -> mpsc::Receiver<Result<Bytes>> {
        let (pieces, receiver) = mpsc::channel(PIECES);
        let (remote, mut body) = (self.clone(), body);
        tokio::spawn(async move {
            loop {
                let piece = match timeout(CONTENT_SILENCE, body.frame()).await {
                    Ok(None) => return,
                    Ok(Some(Ok(frame))) => Ok(frame.into_data().unwrap_or_default()),
                    Ok(Some(Err(error))) => {
                        Err(remote.failed(format!("broke off in the middle of content: {error}")))
                    }
                    Err(_) => Err(remote.failed(
                        "fell silent in the middle of content; check that it is not stopped",
                    )),
                };
                let failed = piece.is_err();
                if pieces.send(piece).await.is_err() || failed {
                    return;
                }
            }
        });
        receiver
    }
}
