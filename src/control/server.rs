//! The node's side of the control socket: HTTP with JSON, and server-sent events.
//!
//! Nothing a client does costs the node more than a bounded amount: so many connections and streams
//! at once, so many bytes, so much time; and a client that does not read has its events merged on
//! the bus, like any slow reader.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use axum::{
    Router,
    extract::{DefaultBodyLimit, Request},
    http::{HeaderName, HeaderValue, StatusCode, header},
    middleware::{self, Next},
    response::Response,
};
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, UnixListener},
    sync::{OwnedSemaphorePermit, Semaphore, watch},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    Local, PROTOCOL,
    answer::{Shared, refuse, wrong},
    calls, socket,
    wire::VERSION_HEADER,
};
use crate::{RegistryError, Result};

/// Connections at once, on all sockets; further ones wait to be accepted.
const MAX_CONNECTIONS: usize = 128;
/// Bytes of a request's body.
const MAX_BODY: usize = 256 << 10;
/// Bytes of a request's head.
const MAX_HEAD: usize = 64 << 10;
/// Time to send the head of a request.
const HEAD_TIME: Duration = Duration::from_secs(10);
/// Time to send a request and to have it answered; streams go on afterwards.
const ANSWER_TIME: Duration = Duration::from_secs(90);
/// Time for answers that are on their way when the node ends.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// Between two looks whether the socket is still there. A session that ends takes its directory
/// with it, and a person may remove what they do not know.
const SOCKET_LOOK: Duration = Duration::from_secs(1);

/// The control sockets of a node. They are gone once it is told to [`stop`](Serving::stop), or
/// dropped.
pub struct Serving {
    /// The present path of the Unix domain socket.
    place: watch::Receiver<PathBuf>,
    /// The TCP address that is listened on, if one was asked for.
    pub tcp: Option<SocketAddr>,
    node: Arc<Local>,
    stop: CancellationToken,
    connections: TaskTracker,
}

impl Serving {
    /// The Unix domain socket.
    pub fn socket(&self) -> PathBuf {
        self.place.borrow().clone()
    }

    /// Takes no more requests, and waits a moment for answers that are on their way.
    pub async fn stop(self) {
        self.stop.cancel();
        self.connections.close();
        // A connection that takes longer is a stream, or its client does not read.
        let _ = tokio::time::timeout(LAST_WORDS, self.connections.wait()).await;
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.stop.cancel();
        self.node.has_no_socket(false);
        // It may have been removed by somebody else, and a node that starts would replace it.
        let _ = std::fs::remove_file(self.socket());
    }
}

/// Serves a node on a Unix domain socket, at the first of the places for its data directory that
/// can be had, and on TCP if that is asked for: on a loopback address only, and only to clients
/// that say the word in the data directory's
/// `control.token`. A socket that is removed is made anew.
///
/// # Errors
/// [`RegistryError::Control`] when no place for the socket can be had, [`RegistryError::Usage`] for
/// an address that is not loopback, [`RegistryError::Listen`] for one that cannot be listened on.
pub async fn serve(node: Arc<Local>, data_dir: &Path, tcp: Option<SocketAddr>) -> Result<Serving> {
    let places = socket::candidates(data_dir);
    let socket = socket::listen(&places)?;
    node.has_socket(&socket.path);
    let shared = Arc::new(Shared::of(node.clone()));
    let (at, place) = watch::channel(socket.path.clone());
    let mut serving = Serving {
        place,
        tcp: None,
        node: node.clone(),
        stop: CancellationToken::new(),
        connections: TaskTracker::new(),
    };
    let permits = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let door = Door {
        router: router(shared.clone()),
        permits: permits.clone(),
        stop: serving.stop.clone(),
        connections: serving.connections.clone(),
    };
    tokio::spawn(stay_reachable(socket, places, at, node, door));
    let Some(address) = tcp else {
        return Ok(serving);
    };
    if !address.ip().is_loopback() {
        let why = format!(
            "the control socket listens on loopback only, and {address} is not; give 127.0.0.1 or [::1], and forward it"
        );
        return Err(RegistryError::Usage(why));
    }
    let failed = |error: std::io::Error| RegistryError::Listen {
        address: address.to_string(),
        why: error.to_string(),
    };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    let token: Arc<str> = token(data_dir)?.into();
    let guarded = router(shared).layer(middleware::from_fn(move |request, next| {
        guard(token.clone(), request, next)
    }));
    let door = Door {
        router: guarded,
        permits,
        stop: serving.stop.clone(),
        connections: serving.connections.clone(),
    };
    tokio::spawn(async move { accept(&listener, &door).await });
    serving.tcp = Some(bound);
    Ok(serving)
}

/// Serves on the Unix domain socket, and makes it anew, where it can be had, when it is not there
/// any more.
async fn stay_reachable(
    mut socket: socket::Socket,
    places: Vec<PathBuf>,
    at: watch::Sender<PathBuf>,
    node: Arc<Local>,
    door: Door,
) {
    loop {
        tokio::select! {
            () = accept(&socket.listener, &door) => return,
            () = lost(&socket) => {}
        }
        let mut told = false;
        socket = loop {
            match socket::listen(&places) {
                Ok(socket) => break socket,
                // Told once; somebody may put right what is in the way.
                Err(error) if !std::mem::replace(&mut told, true) => {
                    tracing::warn!("the control socket is gone: {error}")
                }
                Err(_) => {}
            }
            if door
                .stop
                .run_until_cancelled(tokio::time::sleep(SOCKET_LOOK))
                .await
                .is_none()
            {
                return;
            }
        };
        // The node may be ending: what it says then is the last word.
        if door.stop.is_cancelled() {
            let _ = std::fs::remove_file(&socket.path);
            return;
        }
        node.has_socket(&socket.path);
        tracing::warn!(socket = %socket.path.display(), "the control socket was gone, and is made anew");
        at.send_replace(socket.path.clone());
    }
}

/// Resolves when the socket is not at its place any more.
async fn lost(socket: &socket::Socket) {
    while socket.is_there() {
        tokio::time::sleep(SOCKET_LOOK).await;
    }
}

/// The word that clients on TCP have to say, made once.
fn token(data_dir: &Path) -> Result<String> {
    let path = socket::token_path(data_dir);
    crate::disk::tighten(&path).map_err(RegistryError::file(&path, "made private"))?;
    match std::fs::read_to_string(&path) {
        Ok(token) if token.trim().len() >= 32 => return Ok(token.trim().to_owned()),
        Ok(_) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(RegistryError::file(&path, "read")(error)),
    }
    let token = blake3::Hash::from(rand::random::<[u8; 32]>())
        .to_hex()
        .to_string();
    crate::disk::replace(&path, token.as_bytes()).map_err(RegistryError::file(&path, "written"))?;
    Ok(token)
}

/// Either kind of listener.
trait Listener: Send + Sync + 'static {
    type Io: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    fn accept(&self) -> impl Future<Output = std::io::Result<Self::Io>> + Send;
}

impl Listener for UnixListener {
    type Io = tokio::net::UnixStream;

    async fn accept(&self) -> std::io::Result<Self::Io> {
        Self::accept(self).await.map(|(io, _)| io)
    }
}

impl Listener for TcpListener {
    type Io = tokio::net::TcpStream;

    async fn accept(&self) -> std::io::Result<Self::Io> {
        Self::accept(self).await.map(|(io, _)| io)
    }
}

/// The state that all connections share.
struct Door {
    router: Router,
    permits: Arc<Semaphore>,
    stop: CancellationToken,
    connections: TaskTracker,
}

/// Takes connections until the node stops serving.
async fn accept<L: Listener>(listener: &L, door: &Door) {
    /// Out of descriptors, most likely: some are free again in a moment.
    const BREATH: Duration = Duration::from_millis(100);
    let next = async || {
        let permit = door.permits.clone().acquire_owned().await.ok()?;
        Some((permit, listener.accept().await))
    };
    while let Some(Some((permit, accepted))) = door.stop.run_until_cancelled(next()).await {
        match accepted {
            Ok(io) => {
                door.connections.spawn(connection(
                    io,
                    door.router.clone(),
                    permit,
                    door.stop.clone(),
                ));
            }
            Err(error) => {
                tracing::warn!(%error, "a control connection could not be accepted");
                tokio::time::sleep(BREATH).await;
            }
        }
    }
}

async fn connection<I: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    io: I,
    router: Router,
    _permit: OwnedSemaphorePermit,
    stop: CancellationToken,
) {
    let mut http = http1::Builder::new();
    // One request each: a client that is done gives its place to others.
    http.keep_alive(false)
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .max_buf_size(MAX_HEAD);
    let serving = http.serve_connection(TokioIo::new(io), TowerToHyperService::new(router));
    tokio::pin!(serving);
    let result = tokio::select! {
        result = &mut serving => result,
        () = stop.cancelled() => {
            serving.as_mut().graceful_shutdown();
            // Streams have no end of their own.
            match tokio::time::timeout(LAST_WORDS, serving).await {
                Ok(result) => result,
                Err(_) => return,
            }
        }
    };
    if let Err(error) = result {
        tracing::debug!(%error, "a control connection ended early");
    }
}

fn router(shared: Arc<Shared>) -> Router {
    let routes = calls::rows().fold(Router::new(), |router, row| {
        router.route(row.route, (row.serve)())
    });
    routes
        .fallback(nothing_here)
        .with_state(shared)
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(middleware::from_fn(bounded))
}

/// Tells if a request is of a call that takes as long as it takes; the router bounds its body.
fn is_endless(request: &Request) -> bool {
    let (method, path) = (request.method().as_str(), request.uri().path());
    calls::rows().any(|row| row.endless && (row.method, row.route) == (method, path))
}

/// Every answer says which version is spoken, and comes in bounded time.
async fn bounded(request: Request, next: Next) -> Response {
    let unbounded = is_endless(&request);
    let announced = request
        .headers()
        .get(header::CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok()?.parse().ok());
    let mut response = if unbounded {
        next.run(request).await
    } else if announced.is_some_and(|length: u64| length > MAX_BODY as u64) {
        let message = format!("a request has {MAX_BODY} bytes at most");
        wrong(StatusCode::PAYLOAD_TOO_LARGE, "too_large", message)
    } else {
        match tokio::time::timeout(ANSWER_TIME, next.run(request)).await {
            Ok(response) => response,
            Err(_) => {
                let millis = ANSWER_TIME.as_millis();
                refuse(&RegistryError::Timeout {
                    what: "the request".to_owned(),
                    millis,
                })
            }
        }
    };
    response.headers_mut().insert(
        HeaderName::from_static(VERSION_HEADER),
        HeaderValue::from(PROTOCOL),
    );
    response
}

/// Lets a request through that says the word.
async fn guard(token: Arc<str>, request: Request, next: Next) -> Response {
    let said = request
        .headers()
        .get(header::AUTHORIZATION)
        .map_or(&b""[..], HeaderValue::as_bytes);
    let said = said.strip_prefix(b"Bearer ").unwrap_or_default();
    // Hashes are compared in constant time.
    if blake3::hash(said) == blake3::hash(token.as_bytes()) {
        return next.run(request).await;
    }
    let message =
        "send the word in the data directory's control.token as Authorization: Bearer WORD"
            .to_owned();
    wrong(StatusCode::UNAUTHORIZED, "unauthorized", message)
}

async fn nothing_here(request: Request) -> Response {
    let message = format!(
        "{} is nothing that this node knows; it speaks version {PROTOCOL}, under /v1",
        request.uri().path()
    );
    wrong(StatusCode::NOT_FOUND, "no_route", message)
}
