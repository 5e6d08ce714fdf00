//! Accepts connections, with limits on their number and on their silence.

use std::{collections::HashMap, net::IpAddr, sync::Arc, time::Duration};

use axum::{Router, extract::Request, routing::any};
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use parking_lot::Mutex;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    LAST_WORDS,
    patient::{Patient, Reset},
    service::{self, Client, Service},
};

/// Most concurrent connections; further ones wait to be accepted.
const MAX_CONNECTIONS: usize = 256;
/// Most connections from one address; further ones are closed. A browser opens 6 and npm 15, and
/// two of each still fit.
const MAX_OF_AN_ADDRESS: usize = 32;
/// Time to send the head of a request, also of the next one on a kept connection.
const HEAD_TIME: Duration = Duration::from_secs(60);
/// A client that reads no byte of its answer for this long is disconnected.
const SLOWEST: Duration = Duration::from_secs(60);
/// Most bytes of a request's head.
const MAX_HEAD: usize = 64 << 10;
/// Pause after a failed accept, which is usually due to a lack of descriptors.
const BREATH: Duration = Duration::from_millis(100);

/// The number of connections of each address.
#[derive(Default)]
struct AddressLimits(Mutex<HashMap<IpAddr, usize>>);

impl AddressLimits {
    /// Takes a slot for one more connection from an address; `None` if it has none left.
    fn enter(self: &Arc<Self>, from: IpAddr) -> Option<AddressPermit> {
        let mut held = self.0.lock();
        let count = held.entry(from).or_default();
        (*count < MAX_OF_AN_ADDRESS).then(|| {
            *count += 1;
            AddressPermit {
                limits: self.clone(),
                from,
            }
        })
    }
}

/// A slot, which is free again when this is dropped.
struct AddressPermit {
    limits: Arc<AddressLimits>,
    from: IpAddr,
}

impl Drop for AddressPermit {
    fn drop(&mut self) {
        let mut held = self.limits.0.lock();
        if let Some(count) = held.get_mut(&self.from) {
            *count -= 1;
            if *count == 0 {
                held.remove(&self.from);
            }
        }
    }
}

/// Accepts connections until the gateway ends.
pub async fn accept(
    listener: TcpListener,
    service: Arc<Service>,
    stop: CancellationToken,
    connections: TaskTracker,
) {
    let permits = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let limits = Arc::new(AddressLimits::default());
    let next = async || {
        let permit = permits.clone().acquire_owned().await.ok()?;
        Some((permit, listener.accept().await))
    };
    while let Some(Some((permit, accepted))) = stop.run_until_cancelled(next()).await {
        match accepted {
            Ok((io, from)) => match limits.enter(from.ip()) {
                Some(permit_of_address) => {
                    connections.spawn(connection(
                        io,
                        from.ip(),
                        service.clone(),
                        (permit, permit_of_address),
                        stop.clone(),
                    ));
                }
                None => {
                    tracing::warn!(from = %from.ip(), "the gateway has too many connections from an address")
                }
            },
            Err(error) => {
                tracing::warn!(%error, "a connection to the gateway could not be accepted");
                tokio::time::sleep(BREATH).await;
            }
        }
    }
}

async fn connection(
    io: TcpStream,
    from: IpAddr,
    service: Arc<Service>,
    _places: (OwnedSemaphorePermit, AddressPermit),
    stop: CancellationToken,
) {
    // Answers are written whole; without this, the rest of one would wait for an acknowledgement.
    let _ = io.set_nodelay(true);
    let reset = Reset::default();
    let client = Client {
        from,
        reset: reset.clone(),
    };
    let answer =
        any(move |request: Request| service::answer(service.clone(), client.clone(), request));
    let router = Router::new().fallback(answer);
    // Answers are flushed one by one. To gather those of a pipeline (`pipeline_flush`), hyper 1.12
    // copies every body behind its head, which for a document of megabytes takes as long as sending
    // it.
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .max_buf_size(MAX_HEAD);
    let io = TokioIo::new(Patient::new(io, SLOWEST, reset.clone()));
    let mut serving = Box::pin(http.serve_connection(io, TowerToHyperService::new(router)));
    let result = tokio::select! {
        result = &mut serving => result,
        () = stop.cancelled() => {
            serving.as_mut().graceful_shutdown();
            match tokio::time::timeout(LAST_WORDS, &mut serving).await {
                Ok(result) => result,
                Err(_) => return reset.set(),
            }
        }
    };
    if let Err(error) = result {
        tracing::debug!(%error, "a connection to the gateway ended early");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_its_places_and_gives_them_back() {
        let limits = Arc::new(AddressLimits::default());
        let from = |n| IpAddr::from([127, 0, 0, n]);
        let held: Vec<_> = (0..MAX_OF_AN_ADDRESS)
            .map(|_| limits.enter(from(1)).unwrap())
            .collect();
        assert!(limits.enter(from(1)).is_none());
        assert!(
            limits.enter(from(2)).is_some(),
            "another one is not concerned"
        );
        drop(held);
        assert!(limits.enter(from(1)).is_some());
        assert!(limits.0.lock().is_empty());
    }
}
