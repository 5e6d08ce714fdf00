//! Reports each request: on the bus, in the metrics, and in one line of the log.
//!
//! The code that answers notes what the request is about in a task-local value, so that no path of
//! an answer can miss it; the body counts the bytes that were sent.

use std::{
    cell::RefCell,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Instant,
};

use axum::{
    body::{Body, Bytes, HttpBody},
    extract::Request,
    http::{HeaderMap, Method, StatusCode, header},
    response::Response,
};
use hyper::body::{Frame, SizeHint};

use super::service::{Client, Service};
use crate::{
    bus::RequestLog,
    clock,
    domain::{
        hash::ContentRoot,
        name::{PackageId, PackageName},
        request::{BytesOrigin, ClientRequest, RequestPurpose, client_of, told},
        transfer::{Transfer, TransferId},
        version::VersionText,
    },
    registry::Contents,
};

tokio::task_local! {
    static NOTES: RefCell<Notes>;
}

/// The facts about a request.
#[derive(Default)]
struct Notes {
    name: Option<PackageName>,
    package: Option<PackageId>,
    version: Option<VersionText>,
    is_change: bool,
    /// The file that is sent, and whether it was here completely before.
    file: Option<(ContentRoot, bool)>,
    refusal: Option<String>,
}

fn note(change: impl FnOnce(&mut Notes)) {
    // There are none in tests of a rule.
    let _ = NOTES.try_with(|notes| change(&mut notes.borrow_mut()));
}

/// Notes the name that a request is about.
pub fn name(name: &PackageName) {
    note(|notes| notes.name = Some(name.clone()));
}

/// Notes the package that a request is about.
pub fn package(id: &PackageId) {
    note(|notes| notes.package = Some(id.clone()));
}

pub fn version(version: &VersionText) {
    note(|notes| notes.version = Some(version.clone()));
}

/// Notes that a request is a change.
pub fn change() {
    note(|notes| notes.is_change = true);
}

/// Notes that a file is sent, and whether it was here completely before.
pub fn file(root: ContentRoot, was_here: bool) {
    note(|notes| notes.file = Some((root, was_here)));
}

/// Notes the message with which a request is refused.
pub fn refusal(status: StatusCode, text: &str) {
    if status.is_client_error() || status.is_server_error() {
        note(|notes| notes.refusal = Some(told(text)));
    }
}

/// A request before it is answered.
pub struct Began {
    at: Instant,
    request: ClientRequest,
}

impl Began {
    pub fn of(request: &Request, client: &Client) -> Self {
        let agent = request
            .headers()
            .get(header::USER_AGENT)
            .map(|agent| String::from_utf8_lossy(agent.as_bytes()));
        let request = ClientRequest {
            id: 0,
            run: 0,
            at: clock::now(),
            client: client_of(&agent.unwrap_or_default()),
            from: client.from.to_string(),
            method: told(request.method().as_str()),
            path: told(request.uri().path()),
            purpose: RequestPurpose::Read,
            package: None,
            version: None,
            owner: None,
            status: 0,
            bytes: 0,
            length: None,
            origin: BytesOrigin::default(),
            waited: 0,
            millis: None,
            refusal: None,
        };
        Self {
            at: Instant::now(),
            request,
        }
    }

    /// Answers the request, and reports it when the last byte of the answer is sent.
    pub async fn answer(
        self,
        service: Arc<Service>,
        answering: impl Future<Output = Response>,
    ) -> Response {
        let Self { at, mut request } = self;
        let (response, notes) = NOTES
            .scope(RefCell::default(), async {
                let response = answering.await;
                (response, NOTES.with(RefCell::take))
            })
            .await;
        request.owner = notes.package.as_ref().map(|package| package.owner);
        request.package = notes.package.map(|package| package.name).or(notes.name);
        request.version = notes.version;
        request.refusal = notes.refusal;
        request.purpose = match (notes.is_change, notes.file) {
            (true, _) => RequestPurpose::Change,
            (false, Some(_)) => RequestPurpose::File,
            (false, None) => RequestPurpose::Read,
        };
        request.status = response.status().as_u16();
        request.length = length(&response, &request.method);
        request.waited = millis(at);
        let requests = service.requests.clone();
        let (head, body) = response.into_parts();
        let following = Following {
            request: requests.begin(request),
            at,
            requests,
            file: notes.file,
            contents: service.contents(),
        };
        Response::from_parts(
            head,
            Body::new(CountedBody {
                body,
                following: Some(following),
            }),
        )
    }
}

fn millis(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}

/// Returns the length of the body in bytes, if known.
fn length(response: &Response, method: &str) -> Option<u64> {
    let said = |headers: &HeaderMap| {
        headers
            .get(header::CONTENT_LENGTH)?
            .to_str()
            .ok()?
            .parse()
            .ok()
    };
    match response.body().size_hint().exact() {
        None if method != Method::HEAD.as_str() => said(response.headers()),
        exact => exact,
    }
}

/// A request whose answer is being sent.
struct Following {
    request: ClientRequest,
    at: Instant,
    requests: RequestLog,
    file: Option<(ContentRoot, bool)>,
    contents: Arc<dyn Contents>,
}

impl Following {
    /// Reports the request once the answer has been sent, or the client stopped reading.
    async fn end(self) {
        let Self {
            mut request,
            at,
            requests,
            file,
            contents,
        } = self;
        request.millis = Some(millis(at));
        request.origin = match file {
            Some((root, false)) => origin(
                request.bytes,
                &contents.transfers().await.unwrap_or_default(),
                root,
            ),
            _ => BytesOrigin {
                here: request.bytes,
                peers: Vec::new(),
            },
        };
        let ClientRequest {
            client,
            from,
            method,
            path,
            status,
            bytes,
            ..
        } = &request;
        let name = request.package.as_ref().map(ToString::to_string);
        let refusal = request.refusal.as_deref();
        let (owner, ms) = (request.owner.map(|owner| owner.to_string()), request.millis);
        tracing::info!(
            target: "swarmdex::gateway::access",
            %from, %client, %method, %path, status, bytes, ms, name, owner, refusal,
            "answered"
        );
        requests.put(request);
    }
}

/// Returns the origin of a file that was not here completely: the bytes that each peer supplied to
/// the fetch, and the rest, which was here before.
fn origin(bytes: u64, transfers: &[Transfer], root: ContentRoot) -> BytesOrigin {
    let fetch = transfers
        .iter()
        .find(|one| one.id == TransferId::Fetch { root });
    let given = fetch
        .iter()
        .flat_map(|fetch| &fetch.peers)
        .filter(|peer| peer.bytes > 0);
    let peers: Vec<_> = given.map(|peer| (peer.peer, peer.bytes)).collect();
    let from_peers = peers.iter().map(|(_, bytes)| bytes).sum();
    BytesOrigin {
        here: bytes.saturating_sub(from_peers),
        peers,
    }
}

/// The body of an answer, which counts the bytes sent.
struct CountedBody {
    body: Body,
    following: Option<Following>,
}

impl HttpBody for CountedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let this = self.get_mut();
        let frame = ready!(Pin::new(&mut this.body).poll_frame(cx));
        if let (Some(Ok(frame)), Some(following)) = (&frame, &mut this.following) {
            following.request.bytes += frame.data_ref().map_or(0, |data| data.len() as u64);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for CountedBody {
    fn drop(&mut self) {
        // The runtime is gone only when the whole node is.
        if let (Some(following), Ok(runtime)) =
            (self.following.take(), tokio::runtime::Handle::try_current())
        {
            runtime.spawn(following.end());
        }
    }
}
