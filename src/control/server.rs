//! The node's side of the control socket: HTTP with JSON, and server-sent events.
//!
//! Nothing a client does costs the node more than a bounded amount: so many connections and streams
//! at once, so many bytes, so much time; and a client that does not read has its events merged on
//! the bus, like any slow reader.

use std::{
    convert::Infallible,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use axum::{
    Json, Router,
    extract::{DefaultBodyLimit, Query as Parameters, Request, State},
    http::{HeaderName, HeaderValue, StatusCode, header},
    middleware::{self, Next},
    response::{
        IntoResponse, Response, Sse,
        sse::{Event, KeepAlive},
    },
    routing::{get, post},
};
use futures::stream;
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, UnixListener},
    sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    Local, PROTOCOL,
    answer::{Given, Node, Shared, answer, json_lines, read, refuse, with},
    content_server, names, socket,
    wire::{self, Done, Failure, Fault, Publishing, VERSION_HEADER},
};
use crate::{
    RegistryError, Result,
    domain::{
        health::{HealthState, Measure, rows, verdict},
        name::PackageRef,
        query::Query,
    },
    store::backup::Ask,
};

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
/// Longest wait that a client may ask for.
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// Sent on a stream on which nothing happens, so that either side finds out when the other is gone.
const KEEP_ALIVE: Duration = Duration::from_secs(5);
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
    let v1 = Router::new()
        .route(
            "/status",
            get(async |State(it): Node| answer(it.node.status().await)),
        )
        .route(
            "/peers",
            get(async |State(it): Node| answer(it.node.peers().await)),
        )
        .route(
            "/health",
            get(async |State(it): Node| answer(it.node.health().await)),
        )
        .route(
            "/lookups",
            get(async |State(it): Node| answer(it.node.lookups().await)),
        )
        .route(
            "/routing",
            get(async |State(it): Node| answer(it.node.routing().await)),
        )
        .route("/lookup", post(look))
        .route(
            "/own",
            get(async |State(it): Node| answer(it.registry().own().await)),
        )
        .route(
            "/conflicts",
            get(async |State(it): Node| answer(it.registry().conflicts().await)),
        )
        .route("/conflicts/evidence", post(evidence))
        .route("/metrics", get(async |State(it): Node| metrics(&it).await))
        .route("/log-filter", get(log_filter).put(set_log_filter))
        .route("/logs", get(logs))
        .route("/events", get(events))
        .route("/search", post(search))
        .route("/search/stream", post(search_stream))
        .route("/package", post(package))
        .route("/release", post(release))
        .route("/manifest", post(manifest))
        .route("/manifest/by-hash", post(manifest_of))
        .route("/publish", post(publish))
        .route("/import", post(import))
        .route("/change", post(change))
        .route(
            "/publisher",
            post(async |State(it): Node| answer(it.registry().publisher().await)),
        )
        .route("/claims", post(claims))
        .route("/look-alike", post(look_alike))
        .route("/namesakes", post(namesakes))
        .route("/pin", post(pin))
        .route("/trust", post(trust))
        .route("/distrust", post(distrust))
        .route("/dial", post(dial))
        .route("/disconnect", post(disconnect))
        .route("/judge", post(judge))
        .route("/wait", post(wait))
        .route("/backup", post(backup))
        .route("/shutdown", post(shutdown))
        .merge(content_server::routes())
        .merge(names::routes());
    Router::new()
        .nest("/v1", v1)
        .route("/metrics", get(async |State(it): Node| metrics(&it).await))
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .fallback(nothing_here)
        .with_state(shared)
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(middleware::from_fn(bounded))
}

/// Every answer says which version is spoken, and comes in bounded time.
async fn bounded(request: Request, next: Next) -> Response {
    // A backup takes as long as the disk takes; its request is bounded by the router like any
    // other.
    let unbounded = content_server::is_content(&request) || request.uri().path() == "/v1/backup";
    let announced = request
        .headers()
        .get(header::CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok()?.parse().ok());
    let mut response = if unbounded {
        next.run(request).await
    } else if announced.is_some_and(|length: u64| length > MAX_BODY as u64) {
        let message = format!("a request has {MAX_BODY} bytes at most");
        let fault = Fault {
            code: "too_large".to_owned(),
            usage: true,
            message,
        };
        (
            StatusCode::PAYLOAD_TOO_LARGE,
            Json(Failure { error: fault }),
        )
            .into_response()
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
    let fault = Fault {
        code: "unauthorized".to_owned(),
        usage: true,
        message,
    };
    (StatusCode::UNAUTHORIZED, Json(Failure { error: fault })).into_response()
}

async fn nothing_here(request: Request) -> Response {
    let message = format!(
        "{} is nothing that this node knows; it speaks version {PROTOCOL}, under /v1",
        request.uri().path()
    );
    let fault = Fault {
        code: "no_route".to_owned(),
        usage: true,
        message,
    };
    (StatusCode::NOT_FOUND, Json(Failure { error: fault })).into_response()
}

async fn metrics(it: &Shared) -> Response {
    /// <https://prometheus.io/docs/instrumenting/exposition_formats/>
    const KIND: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    match it.node.metrics().await {
        Ok(text) => ([(header::CONTENT_TYPE, KIND)], text).into_response(),
        Err(error) => refuse(&error),
    }
}

/// Tells if the node works, for a probe that restarts it when it does not.
async fn healthz(State(it): Node) -> Response {
    match it.node.health().await {
        Ok(sample) => {
            let verdict = verdict(&sample);
            let status = match verdict.state {
                HealthState::Good | HealthState::Degraded => StatusCode::OK,
                HealthState::Bad => StatusCode::SERVICE_UNAVAILABLE,
            };
            #[derive(Serialize)]
            struct Answer {
                verdict: crate::domain::health::HealthVerdict,
                /// Measures that are not good.
                wrong: Vec<Measure>,
            }
            let wrong = rows(&sample)
                .into_iter()
                .filter(|row| row.state > Some(HealthState::Good));
            let wrong = wrong.map(|row| row.measure).collect();
            (status, Json(Answer { verdict, wrong })).into_response()
        }
        Err(error) => refuse(&error),
    }
}

/// Tells if the node takes requests: it does once it listens, even with no peers.
async fn readyz(State(it): Node) -> Response {
    match it.node.status().await {
        Ok(status) if !status.node.addresses.is_empty() => {
            (StatusCode::OK, "ready\n").into_response()
        }
        Ok(_) => (StatusCode::SERVICE_UNAVAILABLE, "it does not listen\n").into_response(),
        Err(error) => refuse(&error),
    }
}

#[derive(Deserialize)]
struct Since {
    #[serde(default)]
    since: u64,
}

async fn logs(State(it): Node, Parameters(Since { since }): Parameters<Since>) -> Response {
    answer(it.node.logs(since).await)
}

async fn log_filter(State(it): Node) -> Response {
    answer(
        it.node
            .log_filter()
            .await
            .map(|filter| wire::Filter { filter }),
    )
}

async fn set_log_filter(State(it): Node, given: Given<wire::Filter>) -> Response {
    with(given, async |wire::Filter { filter }| {
        it.node.set_log_filter(&filter).await?;
        Ok(wire::Filter {
            filter: it.node.log_filter().await?,
        })
    })
    .await
}

async fn events(State(it): Node) -> Response {
    let permit = match it.stream() {
        Ok(permit) => permit,
        Err(error) => return refuse(&error),
    };
    let batches = it.node.subscribe();
    let events = stream::unfold((batches, permit), async |(mut batches, permit)| {
        let batch = batches.recv().await?;
        let event = Event::default()
            .event("batch")
            .json_data(&batch)
            .unwrap_or_else(|error| {
                tracing::error!(%error, "a batch could not be written as JSON");
                Event::default()
                    .event("error")
                    .data("a batch could not be written as JSON")
            });
        Some((Ok::<_, Infallible>(event), (batches, permit)))
    });
    Sse::new(events)
        .keep_alive(KeepAlive::new().interval(KEEP_ALIVE))
        .into_response()
}

async fn search(State(it): Node, given: Given<Query>) -> Response {
    with(given, async |query| it.registry().search(&query).await).await
}

async fn search_stream(State(it): Node, given: Given<Query>) -> Response {
    let (query, permit) = match (read(given), it.stream()) {
        (Ok(query), Ok(permit)) => (query, permit),
        (Err(response), _) => return response,
        (_, Err(error)) => return refuse(&error),
    };
    json_lines(it.registry().search_stream(query), permit)
}

fn reference(text: &str) -> Result<PackageRef> {
    Ok(text.parse()?)
}

async fn package(State(it): Node, given: Given<wire::OfPackage>) -> Response {
    with(given, async |asked| {
        it.registry().get_package(&reference(&asked.package)?).await
    })
    .await
}

async fn release(State(it): Node, given: Given<wire::OfRelease>) -> Response {
    with(given, async |asked| {
        it.registry()
            .get_package_version(&reference(&asked.package)?, &asked.requirement)
            .await
    })
    .await
}

async fn manifest(State(it): Node, given: Given<wire::OfVersion>) -> Response {
    with(given, async |asked| {
        it.registry()
            .metadata(&reference(&asked.package)?, &asked.version)
            .await
    })
    .await
}

async fn manifest_of(State(it): Node, given: Given<wire::OfManifest>) -> Response {
    with(given, async |asked| {
        it.registry().manifest_of(&asked.package, &asked.hash).await
    })
    .await
}

async fn publish(State(it): Node, given: Given<wire::Publish>) -> Response {
    /// As many as there are steps, and the end.
    const LINES: usize = 16;
    let (asked, permit) = match (read(given), it.stream()) {
        (Ok(asked), Ok(permit)) => (asked, permit),
        (Err(response), _) => return response,
        (_, Err(error)) => return refuse(&error),
    };
    let (lines, told) = mpsc::channel(LINES);
    let registry = it.registry();
    // On a task of its own: it ends in order, whether or not the client is still there.
    tokio::spawn(async move {
        let (progress, mut steps) = mpsc::channel(LINES);
        let publishing = registry.publish(asked.draft, asked.artifacts, Some(progress));
        tokio::pin!(publishing);
        let result = loop {
            tokio::select! {
                biased;
                Some(step) = steps.recv() => drop(lines.try_send(Publishing::Step(step))),
                result = &mut publishing => break result,
            }
        };
        while let Ok(step) = steps.try_recv() {
            drop(lines.try_send(Publishing::Step(step)));
        }
        let end = match result {
            Ok(receipt) => Publishing::Done(Box::new(receipt)),
            Err(error) => Publishing::Error((&error).into()),
        };
        // A client that has gone asks `own` what became of it.
        let _ = lines.send(end).await;
    });
    json_lines(told, permit)
}

async fn import(State(it): Node, given: Given<wire::Import>) -> Response {
    with(given, async |asked| it.registry().import(asked.batch).await).await
}

async fn change(State(it): Node, given: Given<wire::ChangeOf>) -> Response {
    with(given, async |asked| {
        it.registry()
            .change(&reference(&asked.package)?, asked.change)
            .await
    })
    .await
}

async fn claims(State(it): Node, given: Given<wire::OfHandle>) -> Response {
    with(given, async |asked| {
        it.registry().claims(&asked.handle, asked.ask).await
    })
    .await
}

async fn namesakes(State(it): Node, given: Given<wire::Named>) -> Response {
    with(given, async |asked| {
        it.registry().namesakes(&asked.name, asked.beside).await
    })
    .await
}

async fn look_alike(State(it): Node, given: Given<wire::Called>) -> Response {
    with(given, async |asked| {
        it.registry().look_alike(&asked.name, asked.publisher).await
    })
    .await
}

async fn evidence(State(it): Node, given: Given<wire::OfConflict>) -> Response {
    with(given, async |asked| {
        it.registry().conflict_evidence(asked.id).await
    })
    .await
}

async fn pin(State(it): Node, given: Given<wire::OfPublisher>) -> Response {
    with(given, async |asked| {
        let handle = asked
            .handle
            .ok_or_else(|| RegistryError::Usage("say which handle to pin".to_owned()))?;
        it.registry().pin(&handle, asked.publisher).await
    })
    .await
}

async fn trust(State(it): Node, given: Given<wire::OfPublisher>) -> Response {
    with(given, async |asked| {
        it.registry()
            .trust(asked.publisher, asked.handle.as_ref())
            .await
    })
    .await
}

async fn distrust(State(it): Node, given: Given<wire::OfPublisher>) -> Response {
    with(given, async |asked| {
        it.registry().distrust(asked.publisher).await
    })
    .await
}

async fn dial(State(it): Node, given: Given<wire::Dial>) -> Response {
    with(given, async |asked| {
        let wrong = |why: String| RegistryError::Address {
            given: asked.address.clone(),
            why,
        };
        let address = asked
            .address
            .parse()
            .map_err(|error: libp2p::multiaddr::Error| wrong(error.to_string()))?;
        let most = Duration::from_millis(asked.timeout_ms).min(LONGEST_WAIT);
        it.node
            .dial(&address, asked.keep, most)
            .await
            .map(|peer| wire::OfPeer { peer })
    })
    .await
}

async fn look(State(it): Node, given: Given<wire::Look>) -> Response {
    with(given, async |asked| {
        let most = Duration::from_millis(asked.timeout_ms).min(LONGEST_WAIT);
        it.node.look(asked.sought, asked.what, most).await
    })
    .await
}

async fn disconnect(State(it): Node, given: Given<wire::OfPeer>) -> Response {
    with(given, async |asked| {
        it.node
            .disconnect(asked.peer)
            .await
            .map(|done| Done { done })
    })
    .await
}

async fn judge(State(it): Node, given: Given<wire::Judge>) -> Response {
    with(given, async |asked| {
        it.node
            .judge(asked.peer, asked.ruling)
            .await
            .map(|done| Done { done })
    })
    .await
}

async fn wait(State(it): Node, given: Given<wire::Waiting>) -> Response {
    with(given, async |asked| {
        let most = Duration::from_millis(asked.timeout_ms).min(LONGEST_WAIT);
        it.node
            .wait(asked.what, most)
            .await
            .map(|done| Done { done })
    })
    .await
}

async fn backup(State(it): Node, given: Given<Ask>) -> Response {
    with(given, async |ask| it.node.backup(ask).await).await
}

async fn shutdown(State(it): Node) -> Response {
    answer(it.node.shut_down().await)
}
