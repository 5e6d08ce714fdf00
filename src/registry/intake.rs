//! What comes from peers, handed to the service that takes it.

use std::time::{Duration, Instant};

use futures::{StreamExt, future::BoxFuture, stream::FuturesUnordered};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::P2pRegistry;
use crate::net::{Answered, Inbound, protocol::Request};

/// What it costs at most to see what is kept of a release: a signature, and some rows.
const KEPT_IN: Duration = Duration::from_millis(5);

/// Commits and answers on their way; beyond it the queue fills, and the network task drops and
/// counts.
const MAX_RUNNING: usize = 256;

impl P2pRegistry {
    /// Serves what the network hands over until it is closed or `stop` is called.
    pub(super) async fn run_intake(
        self,
        mut inbound: mpsc::Receiver<Inbound>,
        stop: CancellationToken,
    ) {
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

    /// Hands over one; returns what is left to do.
    fn take(&self, inbound: Inbound) -> Option<BoxFuture<'static, ()>> {
        match inbound {
            Inbound::Announcement {
                data,
                via,
                author,
                verdict,
            } => self.catalogue.hear(&data, (via, author), verdict),
            Inbound::Put {
                key,
                value,
                from: _,
                verdict,
            } => self.catalogue.take_put(&key, &value, verdict),
            Inbound::Query {
                from,
                request: Request::Keep(envelope),
                reply,
                ..
            } => {
                let fetcher = self.fetcher.clone();
                Some(Box::pin(async move {
                    let begun = Instant::now();
                    let response = fetcher.keep_for(from, &envelope).await;
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
            } => Some(self.catalogue.answer(from, request, (time, good), reply)),
        }
    }
}
