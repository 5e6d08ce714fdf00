//! Passes the requests of peers to the services.

use std::time::{Duration, Instant};

use futures::{StreamExt, future::BoxFuture, stream::FuturesUnordered};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::P2pRegistry;
use crate::net::{Inbound, QueryReply, protocol::Request};

/// Longest time to look up the state of a kept release: it takes a signature and some rows.
const KEPT_IN: Duration = Duration::from_millis(5);

/// Most commits and answers under way; beyond that the queue fills, and the network task drops and
/// counts requests.
const MAX_RUNNING: usize = 256;

impl P2pRegistry {
    /// Serves the network's requests until the queue is closed or `stop` is cancelled.
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
        // Accepted records are committed before the store closes.
        while running.next().await.is_some() {}
    }

    /// Passes one request on. Returns the work that is left.
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
                    // Time spent waiting for the outcome does not count.
                    let took = begun.elapsed().min(KEPT_IN);
                    drop(reply.send(QueryReply { response, took }));
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
