//! A node behind its control socket.

use std::{
    collections::HashSet,
    path::{Path, PathBuf},
    str::FromStr,
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Body, Incoming},
    header,
};
use hyper_util::rt::TokioIo;
use libp2p::{Multiaddr, PeerId};
use serde::{Serialize, de::DeserializeOwned};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream},
    sync::{mpsc, watch},
    time::timeout,
};

use super::{
    Control, Link, Logged, PROTOCOL, Status, Wait, socket,
    stream::Lines,
    wire::{self, Done, Failure, Publishing, VERSION_HEADER},
};
use crate::{
    RegistryError, Result,
    bus::{Batch, PeerSnapshot},
    domain::{
        conflict::{ConflictId, ConflictList, Evidence},
        faults::Ruling,
        hash::Hash,
        health::Sample,
        lookup::{LookupResult, RoutingTable, Sought, Trace},
        manifest::{Draft, Manifest},
        name::{Handle, PackageId, PackageName, PackageRef, PublisherId},
        query::Query,
        release::ReleaseEntry,
        trust::Claims,
        version::{RequirementText, VersionText},
    },
    registry::{
        Artifacts, Bundle, Change, Contents, Imported, LookAlike, Names, Namesake, OwnPackages,
        OwnPublisher, Package, PublishStep, Receipt, Registry, Release, SearchResults,
        SearchUpdate,
    },
    store::{
        self,
        backup::{Ask, Backup},
    },
};

/// Time to reach the socket: the node is on this machine, or behind a forwarded port.
const CONNECT_TIME: Duration = Duration::from_secs(5);
/// Longest wait for an answer; the node's own limit is shorter.
const ANSWER_TIME: Duration = Duration::from_secs(95);
/// A stream on which nothing has come for so long, not even a sign of life, is dead.
const SILENCE: Duration = Duration::from_secs(15);
/// Bytes of an answer that is no stream.
const MAX_ANSWER: usize = 64 << 20;
/// Between two attempts to reach a node that was lost.
const AGAIN: Duration = Duration::from_millis(500);
/// Batches waiting for the reader.
const BATCHES: usize = 4;
/// Updates of a search waiting for the reader.
const UPDATES: usize = 64;

/// The address of a node's control socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A Unix domain socket.
    Unix(PathBuf),
    /// Loopback, or a port that is forwarded to another machine's; with the word that lets one in.
    Tcp {
        /// Host and port.
        address: String,
        /// The token that the node expects.
        token: String,
    },
}

impl FromStr for Target {
    type Err = String;

    /// A path, `unix:PATH`, or `http://HOST:PORT`.
    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(address) = text.strip_prefix("http://") {
            let address = address.trim_end_matches('/');
            let port = address
                .rsplit_once(':')
                .and_then(|(_, port)| port.parse::<u16>().ok());
            return match port {
                Some(_) => Ok(Self::Tcp {
                    address: address.to_owned(),
                    token: String::new(),
                }),
                None => Err("write http://HOST:PORT".to_owned()),
            };
        }
        match text.strip_prefix("unix:").unwrap_or(text) {
            "" => Err("write the path of a control socket, or http://HOST:PORT".to_owned()),
            path => Ok(Self::Unix(path.into())),
        }
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unix(path) => path.display().fmt(f),
            Self::Tcp { address, .. } => write!(f, "http://{address}"),
        }
    }
}

trait Io: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Io for T {}

/// A node behind its control socket. Cheap to clone.
#[derive(Clone)]
pub struct Remote {
    target: Arc<Target>,
    link: Arc<watch::Sender<Link>>,
    readonly: bool,
    /// The data directory by which the node was found: its socket may come to be elsewhere.
    data_dir: Option<Arc<Path>>,
}

impl Remote {
    /// Connects to a node, and sees that it speaks our version.
    ///
    /// # Errors
    /// [`RegistryError::Control`] when nobody answers there, or a node that speaks another version
    /// does.
    pub async fn connect(target: Target, readonly: bool) -> Result<Self> {
        let remote = Self {
            target: Arc::new(target),
            link: Arc::default(),
            readonly,
            data_dir: None,
        };
        remote.status().await?;
        Ok(remote)
    }

    /// Returns whether the node is on this machine, rather than perhaps behind a port of another
    /// one.
    pub fn is_here(&self) -> bool {
        matches!(*self.target, Target::Unix(_))
    }

    /// Connects to the node that runs on a data directory, at the socket that its lock file names
    /// or, else, at one of the usual places; `None` when nobody answers at any.
    ///
    /// # Errors
    /// As for [`connect`](Remote::connect), when there is one.
    pub async fn on(data_dir: &Path, readonly: bool) -> Result<Option<Self>> {
        let named = store::holder(data_dir).and_then(|holder| holder.socket);
        let usual = socket::candidates(data_dir)
            .into_iter()
            .filter(|path| named.as_ref() != Some(path));
        for path in named.iter().cloned().chain(usual) {
            let (target, link) = (Arc::new(Target::Unix(path.clone())), Arc::default());
            let remote = Self {
                target,
                link,
                readonly,
                data_dir: Some(data_dir.into()),
            };
            // A socket that a node left when it was killed refuses connections.
            if UnixStream::connect(&path).await.is_ok() {
                remote.status().await?;
                return Ok(Some(remote));
            }
        }
        Ok(None)
    }

    /// Returns the present path of the socket of a node that was found by its data directory.
    fn moved(&self) -> Option<PathBuf> {
        store::holder(self.data_dir.as_ref()?)?.socket
    }

    pub(super) fn failed(&self, why: impl Into<String>) -> RegistryError {
        RegistryError::Control {
            socket: self.target.to_string(),
            why: why.into(),
        }
    }

    /// Refuses a change to a person who may only look.
    pub(super) fn may(&self, what: &'static str) -> Result<()> {
        if self.readonly {
            Err(RegistryError::ReadOnly { what })
        } else {
            Ok(())
        }
    }

    async fn open(&self) -> Result<Box<dyn Io>, String> {
        let io: Result<Box<dyn Io>, _> = match &*self.target {
            Target::Unix(path) => match UnixStream::connect(path).await {
                Err(error) => match self.moved() {
                    Some(path) => UnixStream::connect(path).await.map(|io| Box::new(io) as _),
                    None => Err(error),
                },
                io => io.map(|io| Box::new(io) as _),
            },
            Target::Tcp { address, .. } => TcpStream::connect(address)
                .await
                .map(|io| Box::new(io) as _),
        };
        io.map_err(|error| format!("cannot be reached: {error}; check that it runs"))
    }

    /// Sends a request and returns the head of the answer, if that is no error.
    pub(super) async fn send(
        &self,
        method: Method,
        path: &str,
        body: Vec<u8>,
    ) -> Result<Response<Incoming>> {
        self.send_body(
            method,
            path,
            Some(ANSWER_TIME),
            Full::new(Bytes::from(body)),
        )
        .await
    }

    /// As [`send`](Self::send) with a body of any length; without a limit on the time, the node has
    /// one.
    pub(super) async fn send_body<B>(
        &self,
        method: Method,
        path: &str,
        most: Option<Duration>,
        body: B,
    ) -> Result<Response<Incoming>>
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let io = match timeout(CONNECT_TIME, self.open()).await {
            Ok(io) => io.map_err(|why| self.failed(why))?,
            Err(_) => {
                return Err(self.failed("does not answer; check that it runs and is not stopped"));
            }
        };
        let broken = |error: hyper::Error| {
            self.failed(format!("broke off: {error}; check that it still runs"))
        };
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(io))
            .await
            .map_err(broken)?;
        tokio::spawn(connection);
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, "swarmdex");
        if let Target::Tcp { token, .. } = &*self.target {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        if !body.is_end_stream() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        let request = request
            .body(body)
            .map_err(|error| self.failed(error.to_string()))?;
        let answering = sender.send_request(request);
        let answered = match most {
            Some(most) => timeout(most, answering).await,
            None => Ok(answering.await),
        };
        let response = answered
            .map_err(|_| self.failed("does not answer; check that it is not stopped"))?
            .map_err(broken)?;
        self.check_version(&response)?;
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status();
        let body = self.read(response).await?;
        match serde_json::from_slice::<Failure>(&body) {
            Ok(failure) => Err(failure.error.into()),
            Err(_) => Err(self.failed(format!(
                "answered {status}, and not in words that are known here"
            ))),
        }
    }

    fn check_version(&self, response: &Response<Incoming>) -> Result<()> {
        let said = response
            .headers()
            .get(VERSION_HEADER)
            .and_then(|value| value.to_str().ok());
        match said.and_then(|said| said.parse::<u32>().ok()) {
            Some(PROTOCOL) => Ok(()),
            // Refused before anybody said which version.
            None if response.status() == StatusCode::UNAUTHORIZED => Ok(()),
            None => Err(self.failed("is no control socket of a Swarmdex node; check the address")),
            Some(other) => Err(self.failed(format!(
                "speaks version {other} of the control protocol and this program version {PROTOCOL}; use the same release for both"
            ))),
        }
    }

    async fn read(&self, response: Response<Incoming>) -> Result<Bytes> {
        let body = timeout(
            ANSWER_TIME,
            Limited::new(response.into_body(), MAX_ANSWER).collect(),
        )
        .await;
        let body = body.map_err(|_| self.failed("stopped in the middle of an answer"))?;
        Ok(body
            .map_err(|error| self.failed(format!("broke off: {error}")))?
            .to_bytes())
    }

    pub(super) async fn take<T: DeserializeOwned>(
        &self,
        response: Response<Incoming>,
    ) -> Result<T> {
        let body = self.read(response).await?;
        serde_json::from_slice(&body)
            .map_err(|error| self.failed(format!("answered what is not known here: {error}")))
    }

    pub(super) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        self.take(self.send(Method::GET, path, Vec::new()).await?)
            .await
    }

    pub(super) fn encode(&self, value: &impl Serialize) -> Result<Vec<u8>> {
        serde_json::to_vec(value).map_err(|error| RegistryError::Internal {
            what: "writing a request",
            why: error.to_string(),
        })
    }

    pub(super) async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        value: &impl Serialize,
    ) -> Result<T> {
        let body = self.encode(value)?;
        self.take(self.send(Method::POST, path, body).await?).await
    }

    pub(super) async fn change<T: DeserializeOwned>(
        &self,
        what: &'static str,
        path: &str,
        value: &impl Serialize,
    ) -> Result<T> {
        self.may(what)?;
        self.post(path, value).await
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
}

#[async_trait]
impl Control for Remote {
    fn registry(&self) -> Arc<dyn Registry> {
        Arc::new(self.clone())
    }

    fn contents(&self) -> Arc<dyn Contents> {
        Arc::new(self.clone())
    }

    fn names(&self) -> Arc<dyn Names> {
        Arc::new(self.clone())
    }

    fn subscribe(&self) -> mpsc::Receiver<Batch> {
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

    fn link(&self) -> watch::Receiver<Link> {
        self.link.subscribe()
    }

    async fn status(&self) -> Result<Status> {
        self.get("/v1/status").await
    }

    async fn peers(&self) -> Result<Vec<PeerSnapshot>> {
        self.get("/v1/peers").await
    }

    async fn health(&self) -> Result<Sample> {
        self.get("/v1/health").await
    }

    async fn lookups(&self) -> Result<Vec<Trace>> {
        self.get("/v1/lookups").await
    }

    async fn routing(&self) -> Result<RoutingTable> {
        self.get("/v1/routing").await
    }

    async fn look(
        &self,
        sought: Sought,
        what: Option<String>,
        most: Duration,
    ) -> Result<LookupResult> {
        let timeout_ms = u64::try_from(most.as_millis()).unwrap_or(u64::MAX);
        self.post(
            "/v1/lookup",
            &wire::Look {
                sought,
                what,
                timeout_ms,
            },
        )
        .await
    }

    async fn dial(&self, address: &Multiaddr, keep: bool, most: Duration) -> Result<PeerId> {
        let timeout_ms = u64::try_from(most.as_millis()).unwrap_or(u64::MAX);
        let dial = wire::Dial {
            address: address.to_string(),
            keep,
            timeout_ms,
        };
        self.change("connecting", "/v1/dial", &dial)
            .await
            .map(|wire::OfPeer { peer }| peer)
    }

    async fn disconnect(&self, peer: PeerId) -> Result<bool> {
        self.change("disconnecting", "/v1/disconnect", &wire::OfPeer { peer })
            .await
            .map(|Done { done }| done)
    }

    async fn judge(&self, peer: PeerId, ruling: Ruling) -> Result<bool> {
        self.change("judging a peer", "/v1/judge", &wire::Judge { peer, ruling })
            .await
            .map(|Done { done }| done)
    }

    async fn wait(&self, what: Wait, most: Duration) -> Result<bool> {
        let timeout_ms = u64::try_from(most.as_millis()).unwrap_or(u64::MAX);
        self.post("/v1/wait", &wire::Waiting { what, timeout_ms })
            .await
            .map(|Done { done }| done)
    }

    async fn logs(&self, since: u64) -> Result<Logged> {
        self.get(&format!("/v1/logs?since={since}")).await
    }

    async fn log_filter(&self) -> Result<String> {
        self.get("/v1/log-filter")
            .await
            .map(|wire::Filter { filter }| filter)
    }

    async fn set_log_filter(&self, filter: &str) -> Result<()> {
        self.may("changing the log's filter")?;
        let body = self.encode(&wire::Filter {
            filter: filter.to_owned(),
        })?;
        let response = self.send(Method::PUT, "/v1/log-filter", body).await?;
        self.take::<wire::Filter>(response).await.map(drop)
    }

    async fn metrics(&self) -> Result<String> {
        let body = self
            .read(self.send(Method::GET, "/metrics", Vec::new()).await?)
            .await?;
        Ok(String::from_utf8_lossy(&body).into_owned())
    }

    async fn backup(&self, ask: Ask) -> Result<Backup> {
        let body = Full::new(Bytes::from(self.encode(&ask)?));
        self.take(
            self.send_body(Method::POST, "/v1/backup", None, body)
                .await?,
        )
        .await
    }

    async fn shut_down(&self) -> Result<()> {
        self.change("stopping the node", "/v1/shutdown", &()).await
    }
}

#[async_trait]
impl Registry for Remote {
    async fn search(&self, query: &Query) -> Result<SearchResults> {
        self.post("/v1/search", query).await
    }

    fn search_stream(&self, query: Query) -> mpsc::Receiver<SearchUpdate> {
        let (updates, receiver) = mpsc::channel(UPDATES);
        let remote = self.clone();
        tokio::spawn(async move {
            let read = async {
                let body = remote.encode(&query)?;
                let response = remote.send(Method::POST, "/v1/search/stream", body).await?;
                let mut lines = Lines::new(response.into_body());
                while let Some(line) = lines.next().await.map_err(|why| remote.failed(why))? {
                    let update = serde_json::from_slice(&line)
                        .map_err(|error| remote.failed(error.to_string()))?;
                    if updates.send(update).await.is_err() {
                        break;
                    }
                }
                Ok::<(), RegistryError>(())
            };
            // The reader sees that the search ended without its last word.
            if let Err(error) = read.await {
                tracing::warn!(%error, "a search broke off");
            }
        });
        receiver
    }

    async fn get_package(&self, package: &PackageRef) -> Result<Package> {
        self.post(
            "/v1/package",
            &wire::OfPackage {
                package: package.to_string(),
            },
        )
        .await
    }

    async fn get_package_version(
        &self,
        package: &PackageRef,
        requirement: &RequirementText,
    ) -> Result<Release> {
        let asked = wire::OfRelease {
            package: package.to_string(),
            requirement: requirement.clone(),
        };
        self.post("/v1/release", &asked).await
    }

    async fn list_versions(&self, package: &PackageRef) -> Result<Vec<ReleaseEntry>> {
        self.get_package(package)
            .await
            .map(|package| package.releases.into())
    }

    async fn publish(
        &self,
        draft: Draft,
        artifacts: Artifacts,
        progress: Option<mpsc::Sender<PublishStep>>,
    ) -> Result<Receipt> {
        self.may("publishing")?;
        let body = self.encode(&wire::Publish { draft, artifacts })?;
        let response = self.send(Method::POST, "/v1/publish", body).await?;
        let mut lines = Lines::new(response.into_body());
        while let Some(line) = lines.next().await.map_err(|why| self.failed(why))? {
            match serde_json::from_slice(&line).map_err(|error| self.failed(error.to_string()))? {
                Publishing::Step(step) => {
                    if let Some(progress) = &progress {
                        // Told as far as there is room, like any publish.
                        let _ = progress.try_send(step);
                    }
                }
                Publishing::Done(receipt) => return Ok(*receipt),
                Publishing::Error(fault) => return Err(fault.into()),
            }
        }
        Err(self.failed(
            "ended in the middle of a publish; what was stored is not lost: start it again and look with `status`",
        ))
    }

    async fn import(&self, batch: Vec<Bundle>) -> Result<Vec<Imported>> {
        self.change(
            "importing",
            "/v1/import",
            &wire::Import {
                batch,
                how: wire::ImportAs::Sign,
            },
        )
        .await
    }

    async fn change(&self, package: &PackageRef, change: Change) -> Result<Receipt> {
        let asked = wire::ChangeOf {
            package: package.to_string(),
            change,
        };
        self.change("changing what is said of a release", "/v1/change", &asked)
            .await
    }

    async fn own(&self) -> Result<OwnPackages> {
        self.get("/v1/own").await
    }

    async fn publisher(&self) -> Result<OwnPublisher> {
        self.change("making a publisher's key", "/v1/publisher", &())
            .await
    }

    async fn claims(&self, handle: &Handle, ask: bool) -> Result<Claims> {
        self.post(
            "/v1/claims",
            &wire::OfHandle {
                handle: handle.clone(),
                ask,
            },
        )
        .await
    }

    async fn look_alike(
        &self,
        name: &PackageName,
        publisher: Option<PublisherId>,
    ) -> Result<Option<LookAlike>> {
        self.post(
            "/v1/look-alike",
            &wire::Called {
                name: name.clone(),
                publisher,
            },
        )
        .await
    }

    async fn namesakes(&self, name: &PackageName, beside: PublisherId) -> Result<Vec<Namesake>> {
        self.post(
            "/v1/namesakes",
            &wire::Named {
                name: name.clone(),
                beside,
            },
        )
        .await
    }

    async fn conflicts(&self) -> Result<ConflictList> {
        self.get("/v1/conflicts").await
    }

    async fn conflict_evidence(&self, id: ConflictId) -> Result<Evidence> {
        self.post("/v1/conflicts/evidence", &wire::OfConflict { id })
            .await
    }

    async fn exists(&self, package: &PackageRef) -> Result<bool> {
        match self.get_package(package).await {
            Ok(_) => Ok(true),
            Err(error) if matches!(error.code(), "not_found" | "unknown_handle") => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn metadata(&self, package: &PackageRef, version: &VersionText) -> Result<Manifest> {
        let asked = wire::OfVersion {
            package: package.to_string(),
            version: version.clone(),
        };
        self.post("/v1/manifest", &asked).await
    }

    async fn manifest_of(&self, package: &PackageId, hash: &Hash) -> Result<Manifest> {
        self.post(
            "/v1/manifest/by-hash",
            &wire::OfManifest {
                package: package.clone(),
                hash: *hash,
            },
        )
        .await
    }

    async fn pin(&self, handle: &Handle, publisher: PublisherId) -> Result<()> {
        let asked = wire::OfPublisher {
            publisher,
            handle: Some(handle.clone()),
        };
        self.change("pinning a handle", "/v1/pin", &asked).await
    }

    async fn trust(&self, publisher: PublisherId, handle: Option<&Handle>) -> Result<()> {
        let asked = wire::OfPublisher {
            publisher,
            handle: handle.cloned(),
        };
        self.change("trusting", "/v1/trust", &asked).await
    }

    async fn distrust(&self, publisher: PublisherId) -> Result<()> {
        let asked = wire::OfPublisher {
            publisher,
            handle: None,
        };
        self.change("distrusting", "/v1/distrust", &asked).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_paths_or_addresses() {
        let unix = |path: &str| Ok(Target::Unix(path.into()));
        assert_eq!("/run/a.sock".parse(), unix("/run/a.sock"));
        assert_eq!("unix:a.sock".parse(), unix("a.sock"));
        let tcp = Target::Tcp {
            address: "127.0.0.1:4000".to_owned(),
            token: String::new(),
        };
        assert_eq!("http://127.0.0.1:4000/".parse(), Ok(tcp));
        for bad in ["", "unix:", "http://localhost"] {
            assert!(bad.parse::<Target>().is_err(), "{bad}");
        }
    }
}
