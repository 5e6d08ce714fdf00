//! A node behind its control socket.

use std::{
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
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream},
    sync::watch,
    time::timeout,
};
use url::form_urlencoded;

use super::{
    Control, Link, PROTOCOL, Watch,
    calls::{self, Call, Reach},
    socket,
    wire::{Failure, VERSION_HEADER},
};
use crate::{
    RegistryError, Result,
    registry::{Contents, Names, Registry},
    store,
};

/// Time to reach the socket: the node is on this machine, or behind a forwarded port.
const CONNECT_TIME: Duration = Duration::from_secs(5);
/// Longest wait for an answer; the node's own limit is shorter.
const ANSWER_TIME: Duration = Duration::from_secs(95);
/// Bytes of an answer that is no stream.
const MAX_ANSWER: usize = 64 << 20;

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
    pub(super) link: Arc<watch::Sender<Link>>,
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

    /// Makes a call, and takes its answer.
    pub(super) async fn call<C: Call>(&self, call: C) -> Result<C::Answer> {
        C::CHANGES.map_or(Ok(()), |what| self.may(what))?;
        let written = self.encode(&call)?;
        let (path, body) = if calls::has_body::<C>() {
            (C::ROUTE.to_owned(), written)
        } else {
            (format!("{}{}", C::ROUTE, query(&written)), Vec::new())
        };
        let most = (!C::ENDLESS).then_some(ANSWER_TIME);
        let body = Full::new(Bytes::from(body));
        let response = self.send_body(C::METHOD, &path, most, body).await?;
        self.take::<C::Json>(response).await.map(Into::into)
    }

    /// Asks for an answer that is text.
    pub(super) async fn text(&self, path: &str) -> Result<String> {
        let body = self
            .read(self.send(Method::GET, path, Vec::new()).await?)
            .await?;
        Ok(String::from_utf8_lossy(&body).into_owned())
    }

    pub(super) fn encode(&self, value: &impl Serialize) -> Result<Vec<u8>> {
        serde_json::to_vec(value).map_err(|error| RegistryError::Internal {
            what: "writing a request",
            why: error.to_string(),
        })
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

    fn reach(&self) -> Reach<'_> {
        Reach::Socket(self)
    }
}

/// Writes the fields of a request as a query, from its JSON.
fn query(fields: &[u8]) -> String {
    let fields: serde_json::Map<String, Value> = serde_json::from_slice(fields).unwrap_or_default();
    let mut pairs = form_urlencoded::Serializer::for_suffix("?".to_owned(), 1);
    for (name, value) in &fields {
        let text = value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned);
        pairs.append_pair(name, &text);
    }
    if fields.is_empty() {
        return String::new();
    }
    pairs.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_a_request_without_a_body_are_its_query() {
        assert_eq!(query(b"{}"), "");
        assert_eq!(query(br#"{"since": 7}"#), "?since=7");
        assert_eq!(
            query(br#"{"since": 7, "of": "a & b"}"#),
            "?of=a+%26+b&since=7"
        );
    }

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
