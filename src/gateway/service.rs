//! Every request: access checks, dispatch, and one line of the log.

use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    extract::Request,
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    response::Response,
};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::{
    Options,
    answer::{self, Written, sentence},
    cargo,
    companions::{PackageLocks, ParsedCache},
    file::SentFiles,
    guard::{self, AccessRefusal},
    npm, page, path,
    patient::Reset,
    pypi,
    request_log::Began,
    served::Lately,
};
use crate::{
    Result,
    bus::RequestLog,
    control::Control,
    domain::proof::Prover,
    registry::{Contents, Registry},
};

/// Most concurrent uploads; further ones wait.
const UPLOADS: usize = 4;
/// A node without peers that is younger than this does not know the network's packages yet.
const YOUNG: Duration = Duration::from_secs(10);

/// A node as package managers use it.
pub struct Service {
    node: Arc<dyn Control>,
    /// The board that reports clients' requests.
    pub requests: RequestLog,
    pub prover: Prover,
    pub options: Options,
    bound: SocketAddr,
    publish_token: String,
    /// The directory of uploads while they arrive.
    pub uploads: PathBuf,
    pub uploading: Semaphore,
    opened: Instant,
    pub files: SentFiles,
    pub lately: Lately,
    /// Index lines that were parsed.
    pub lines: ParsedCache<cargo::CrateLine>,
    /// Index files of crates that were written lately, by a hash of all their inputs.
    pub indexes: ParsedCache<Written>,
    pub npm: npm::ParsedDocuments,
    /// Files of Python packages, and their pages.
    pub python: ParsedCache<pypi::Files>,
    pub pages: pypi::ProjectPages,
    pub turns: PackageLocks,
    pub ahead: cargo::LookingAhead,
}

/// The other side of a connection.
#[derive(Clone)]
pub struct Client {
    pub from: IpAddr,
    /// Resets the connection.
    pub reset: Reset,
}

/// The changes that a request's tokens allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangePermission {
    Allowed,
    /// The gateway is read-only.
    Off,
    /// The publish token is missing or wrong.
    NoToken,
}

/// A request that passed the access checks.
pub struct Asked {
    pub method: Method,
    /// The path's parts after the first.
    pub parts: Vec<String>,
    pub query: String,
    pub headers: HeaderMap,
    /// The beginning of URLs in the answer.
    pub base: String,
    pub change: ChangePermission,
    /// True if the read token was required.
    pub closed: bool,
    pub client: Client,
}

impl Service {
    pub fn new(
        node: Arc<dyn Control>,
        (requests, prover): (RequestLog, Prover),
        options: Options,
        bound: SocketAddr,
        publish_token: String,
        uploads: PathBuf,
        stop: CancellationToken,
    ) -> Self {
        Self {
            node,
            requests,
            prover,
            options,
            bound,
            publish_token,
            uploads,
            uploading: Semaphore::new(UPLOADS),
            opened: Instant::now(),
            files: SentFiles::default(),
            lately: Lately::default(),
            lines: ParsedCache::default(),
            indexes: ParsedCache::default(),
            npm: npm::ParsedDocuments::default(),
            python: ParsedCache::default(),
            pages: pypi::ProjectPages::default(),
            turns: PackageLocks::default(),
            ahead: cargo::LookingAhead::new(stop),
        }
    }

    pub fn node(&self) -> &dyn Control {
        &*self.node
    }

    /// Returns a number that changes whenever anything that the node knows may have changed, if
    /// available.
    pub fn revision(&self) -> Option<u64> {
        self.node.revision()
    }

    pub fn registry(&self) -> Arc<dyn Registry> {
        self.node.registry()
    }

    pub fn contents(&self) -> Arc<dyn Contents> {
        self.node.contents()
    }

    /// Returns true if the node has just started and none of the peers that it knows is connected
    /// yet.
    pub async fn is_too_early(&self) -> Result<bool> {
        if self.opened.elapsed() > YOUNG {
            return Ok(false);
        }
        let node = self.node.status().await?.node;
        Ok(node.connected == 0 && node.known_peers > 0)
    }

    fn change(&self, words: &[String]) -> ChangePermission {
        match guard::says(words, &self.publish_token) {
            _ if !self.options.publish => ChangePermission::Off,
            true => ChangePermission::Allowed,
            false => ChangePermission::NoToken,
        }
    }

    /// Checks read access: beyond loopback, it requires one of the tokens.
    fn may_read(&self, words: &[String]) -> bool {
        let told = |token: &String| guard::says(words, token);
        self.bound.ip().is_loopback()
            || self.options.token.as_ref().is_some_and(told)
            || guard::says(words, &self.publish_token)
    }
}

/// Answers a request and reports it.
pub async fn answer(service: Arc<Service>, client: Client, request: Request) -> Response {
    let began = Began::of(&request, &client);
    began
        .answer(service.clone(), answered(service, client, request))
        .await
}

async fn answered(service: Arc<Service>, client: Client, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let host = match guard::host(&head.headers, service.options.url.as_deref()) {
        Ok(host) => host,
        Err(AccessRefusal::Host(host)) => {
            let text = format!(
                "\"{host}\" is no name of this gateway; ask it by its address, or set gateway_url \
                 to what it is called"
            );
            return sentence(StatusCode::MISDIRECTED_REQUEST, &text);
        }
        Err(AccessRefusal::Origin(origin)) => {
            return sentence(
                StatusCode::FORBIDDEN,
                &format!("pages of {origin} have no business here"),
            );
        }
    };
    let Some(mut parts) = path::parts(head.uri.path()) else {
        return sentence(
            StatusCode::BAD_REQUEST,
            "the path has a percent-escape that is none",
        );
    };
    let words = guard::words(&head.headers);
    // A proof of identity is given to anyone.
    let is_proof = head.uri.path() == "/"
        && head
            .uri
            .query()
            .is_some_and(|query| query.starts_with("nonce="));
    if !is_proof && !service.may_read(&words) {
        let text = "this gateway wants to hear its token; set it in the client, as gateway_token of the node has it";
        let mut response = sentence(StatusCode::UNAUTHORIZED, text);
        let ask = HeaderValue::from_static("Basic realm=\"swarmdex\"");
        response.headers_mut().insert(header::WWW_AUTHENTICATE, ask);
        return response;
    }
    let first = if parts.is_empty() {
        String::new()
    } else {
        parts.remove(0)
    };
    let asked = Asked {
        change: service.change(&words),
        closed: !service.bound.ip().is_loopback(),
        base: service
            .options
            .url
            .clone()
            .unwrap_or_else(|| format!("http://{host}")),
        query: head.uri.query().unwrap_or_default().to_owned(),
        method: head.method,
        headers: head.headers,
        parts,
        client,
    };
    let is_head = asked.method == Method::HEAD;
    if let Some(page) = page::answer(&service, &asked, &first).await {
        return if is_head { answer::head_of(page) } else { page };
    }
    let response = match first.as_str() {
        "cargo" => cargo::answer(&service, asked, body).await,
        "cargo-mirror" => cargo::answer_as_mirror(&service, asked, body).await,
        "npm" => npm::answer(&service, asked, body).await,
        "pypi" => pypi::answer(&service, asked, body).await,
        other => {
            let text = format!(
                "/{other} is nothing that this gateway has; there are /cargo/, /cargo-mirror/, \
                 /pypi/ and /npm/"
            );
            sentence(StatusCode::NOT_FOUND, &text)
        }
    };
    if is_head {
        answer::head_of(response)
    } else {
        response
    }
}
