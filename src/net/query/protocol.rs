//! The query protocol, `/swarmdex/<network>/query/3`: one CBOR request, one CBOR response, both
//! bounded.

use libp2p::{StreamProtocol, request_response};
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use crate::domain::{
    geo::GeoLocation,
    hash::Hash,
    name::{Handle, PackageId},
    query::Query,
    time::Timestamp,
};

/// Largest request, in bytes.
pub const MAX_REQUEST: u64 = 16 * 1024;
/// Largest response, in bytes.
pub const MAX_RESPONSE: u64 = 1024 * 1024;
/// Most hashes in one request.
pub const MAX_OBJECTS: usize = 16;
/// Most packages in one request for heads.
pub const MAX_PACKAGES: usize = 32;
/// Most heads in one answer about a handle.
pub const MAX_HEADS: usize = 50;

/// A request to a peer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Request {
    Hello(Hello),
    /// Asks for matching packages.
    Search(Query),
    /// Asks for heads of the publishers that claim a handle.
    Handle(Handle),
    /// Asks for the current head of one package, with the manifest of its newest release.
    Head(PackageId),
    /// Asks for manifests and pages by their payload hashes.
    Objects(Vec<Hash>),
    /// Asks the peer to keep the bytes of the release with this manifest, if it has space.
    /// Repeating the request returns the progress.
    Keep(ByteBuf),
    /// As [`Request::Head`], for several packages.
    Heads(Vec<PackageId>),
}

/// A peer's response. It contains signed envelopes, which the receiver verifies.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Response {
    Hello(Hello),
    Packages {
        items: Vec<Item>,
        /// True if not everything fitted.
        more: bool,
    },
    Heads(Vec<ByteBuf>),
    Objects(Vec<ByteBuf>),
    Keeping(Keeping),
    /// The peer is busy.
    Busy,
    /// The request breaks a limit.
    Refused,
}

impl Response {
    /// Returns the bytes of the signed records in it, which is about its size on the wire.
    pub fn payload(&self) -> usize {
        match self {
            Self::Packages { items, .. } => {
                let manifest =
                    |item: &Item| item.manifest.as_ref().map_or(0, |manifest| manifest.len());
                items
                    .iter()
                    .map(|item| item.head.len() + manifest(item))
                    .sum()
            }
            Self::Heads(parts) | Self::Objects(parts) => parts.iter().map(|part| part.len()).sum(),
            Self::Hello(_) | Self::Keeping(_) | Self::Busy | Self::Refused => 0,
        }
    }
}

/// The progress of a node that keeps a release for others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Keeping {
    /// It has all of the release.
    Held,
    /// It is fetching the release and has this many bytes.
    Fetching { done: u64 },
    /// It has no space for the release or its publisher, which is no fault.
    Declined,
}

/// A head and the manifest of its newest release.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Item {
    pub head: ByteBuf,
    /// `None` if it is not held.
    pub manifest: Option<ByteBuf>,
}

/// The facts that a node states about itself.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Hello {
    /// The time of the sender's clock.
    pub at: Timestamp,
    /// Number of packages in its catalogue.
    pub packages: u64,
    /// A publisher's signed claim that the node belongs to it.
    pub claim: Option<ByteBuf>,
    /// Its location, if it opted in.
    pub location: Option<GeoLocation>,
    /// Bytes that it may keep for others.
    #[serde(default)]
    pub room: u64,
    /// A random number drawn at its start, or 0 if it draws none. It differs between two nodes with
    /// one key.
    #[serde(default)]
    pub start: u64,
    /// True if the sender is connected with two nodes that have the receiver's key.
    #[serde(default)]
    pub twins: bool,
}

impl Response {
    /// Returns the kind, for logs.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Hello(_) => "hello",
            Self::Packages { .. } => "packages",
            Self::Heads(_) => "heads",
            Self::Objects(_) => "objects",
            Self::Keeping(_) => "keeping",
            Self::Busy => "busy",
            Self::Refused => "refused",
        }
    }
}

pub type QueryBehaviour = request_response::cbor::Behaviour<Request, Response>;

/// Most streams of one peer; further ones are refused.
const MAX_STREAMS: usize = 64;

pub fn behaviour(protocol: StreamProtocol, timeout: std::time::Duration) -> QueryBehaviour {
    let codec = request_response::cbor::codec::Codec::default()
        .set_request_size_maximum(MAX_REQUEST)
        .set_response_size_maximum(MAX_RESPONSE);
    let config = request_response::Config::default()
        .with_request_timeout(timeout)
        .with_max_concurrent_streams(MAX_STREAMS);
    QueryBehaviour::with_codec(
        codec,
        [(protocol, request_response::ProtocolSupport::Full)],
        config,
    )
}
