//! Content over the control socket, the client's side.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use http_body_util::{BodyExt, StreamBody};
use hyper::{Method, body::Frame};
use libp2p::PeerId;
use tokio::{sync::mpsc, time::timeout};
use tokio_util::io::ReaderStream;

use super::{
    Remote,
    stream::Lines,
    wire::{self, Done, Fetching},
};
use crate::{
    Result,
    domain::{
        hash::ContentRoot,
        held::{Freed, Held, Lost, StorageUsage},
        manifest::Content,
        transfer::{Transfer, TransferId},
    },
    registry::{Contents, Fetched, Incoming, Order, Wanted},
};

/// Bytes of a file that are sent at once.
const PIECE: usize = 256 << 10;
/// Pieces of an answer that wait for the reader.
const PIECES: usize = 4;
/// A node that falls silent in the middle of content for so long has gone.
const SILENCE: Duration = Duration::from_secs(60);

impl Remote {
    /// The bytes of an answer, as they come.
    fn pieces(&self, body: hyper::body::Incoming) -> mpsc::Receiver<Result<Bytes>> {
        let (pieces, receiver) = mpsc::channel(PIECES);
        let (remote, mut body) = (self.clone(), body);
        tokio::spawn(async move {
            loop {
                let piece = match timeout(SILENCE, body.frame()).await {
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

#[async_trait]
impl Contents for Remote {
    async fn put(&self, bytes: Incoming) -> Result<Content> {
        self.may("publishing")?;
        let frames = ReaderStream::with_capacity(bytes, PIECE).map(|piece| piece.map(Frame::data));
        let response = self
            .send_body(Method::PUT, "/v1/content", None, StreamBody::new(frames))
            .await?;
        self.take(response).await
    }

    async fn fetch(
        &self,
        wanted: Wanted,
        progress: Option<mpsc::Sender<Transfer>>,
    ) -> Result<Fetched> {
        self.may("fetching")?;
        let body = self.encode(&wanted)?;
        let mut lines = Lines::new(
            self.send(Method::POST, "/v1/fetch", body)
                .await?
                .into_body(),
        );
        while let Some(line) = lines.next().await.map_err(|why| self.failed(why))? {
            match serde_json::from_slice(&line).map_err(|error| self.failed(error.to_string()))? {
                Fetching::Progress(transfer) => {
                    if let Some(progress) = &progress {
                        // As far as there is room.
                        let _ = progress.try_send(*transfer);
                    }
                }
                Fetching::Done(fetched) => return Ok(*fetched),
                Fetching::Error(fault) => return Err(fault.into()),
            }
        }
        Err(self.failed(
            "ended in the middle of a fetch; what came is kept: start it again, and it goes on",
        ))
    }

    async fn start_fetch(&self, wanted: Wanted) -> Result<()> {
        self.change("fetching", "/v1/fetch/start", &wanted).await
    }

    async fn read(&self, root: ContentRoot) -> Result<mpsc::Receiver<Result<Bytes>>> {
        let response = self
            .send(Method::GET, &format!("/v1/content/{root}"), Vec::new())
            .await?;
        Ok(self.pieces(response.into_body()))
    }

    async fn stream(&self, wanted: Wanted, from: u64) -> Result<mpsc::Receiver<Result<Bytes>>> {
        self.may("fetching")?;
        let body = self.encode(&wire::Stream { wanted, from })?;
        let response = self.send(Method::POST, "/v1/content/stream", body).await?;
        Ok(self.pieces(response.into_body()))
    }

    async fn held(&self, root: ContentRoot) -> Result<Option<Held>> {
        self.post("/v1/contents/held", &wire::OfContent { root })
            .await
    }

    async fn list(&self) -> Result<Vec<Held>> {
        self.get("/v1/contents").await
    }

    async fn lost(&self) -> Result<Vec<Lost>> {
        self.get("/v1/contents/lost").await
    }

    async fn usage(&self) -> Result<StorageUsage> {
        self.get("/v1/contents/usage").await
    }

    async fn keep(&self, root: ContentRoot, release: String, pinned: bool) -> Result<bool> {
        let asked = wire::Keep {
            root,
            release,
            pinned,
        };
        self.change("keeping content", "/v1/contents/keep", &asked)
            .await
            .map(|Done { done }| done)
    }

    async fn clean_up(&self, all: bool) -> Result<Freed> {
        self.change(
            "cleaning up",
            "/v1/contents/clean-up",
            &wire::CleanUp { all },
        )
        .await
    }

    async fn check(&self, root: ContentRoot) -> Result<bool> {
        self.post("/v1/contents/check", &wire::OfContent { root })
            .await
            .map(|Done { done }| done)
    }

    async fn holders(&self, root: ContentRoot) -> Result<Vec<PeerId>> {
        self.post("/v1/contents/holders", &wire::OfContent { root })
            .await
    }

    async fn offer_again(&self) -> Result<()> {
        self.change("offering content", "/v1/contents/offer", &())
            .await
            .map(|Done { .. }| ())
    }

    async fn transfers(&self) -> Result<Vec<Transfer>> {
        self.get("/v1/transfers").await
    }

    async fn direct(&self, id: TransferId, order: Order) -> Result<bool> {
        let asked = wire::Direct { id, order };
        self.change("changing a transfer", "/v1/transfers/direct", &asked)
            .await
            .map(|Done { done }| done)
    }
}
