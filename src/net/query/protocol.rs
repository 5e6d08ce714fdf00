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
/// Most packages in one question for heads.
pub const MAX_PACKAGES: usize = 32;
/// Most heads in one answer about a handle.
pub const MAX_HEADS: usize = 50;

/// What a peer is asked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Request {
    Hello(Hello),
    /// Packages that match.
    Search(Query),
    /// Heads of whoever calls itself this.
    Handle(Handle),
    /// The current head of one package, with the manifest of its newest release.
    Head(PackageId),
    /// Manifests and pages by their payload hashes.
    Objects(Vec<Hash>),
    /// Keep the bytes of the release with this manifest for others, if there is room; asked again,
    /// how far that is.
    Keep(ByteBuf),
    /// As [`Request::Head`], for several packages.
    Heads(Vec<PackageId>),
}

/// What a peer answers. Envelopes are as their publishers signed them; the asker verifies each.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Response {
    Hello(Hello),
    Packages {
        items: Vec<Item>,
        /// There was more than fits.
        more: bool,
    },
    Heads(Vec<ByteBuf>),
    Objects(Vec<ByteBuf>),
    Keeping(Keeping),
    /// Not now: too much to do.
    Busy,
    /// Not ever: the request breaks a limit.
    Refused,
}

impl Response {
    /// Bytes of the signed things in it: about what it takes on the wire.
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

/// How far a node is with keeping a release for others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Keeping {
    /// All of it is there.
    Held,
    /// It is fetched; so many bytes have come.
    Fetching { done: u64 },
    /// There is no room for it, or none for its publisher. No fault.
    Declined,
}

/// A head and the manifest of its release that is newest.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Item {
    pub head: ByteBuf,
    /// Left out where it is not held.
    pub manifest: Option<ByteBuf>,
}

/// How a node stands, by its own word.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Hello {
    /// The sender's clock.
    pub at: Timestamp,
    /// Packages in its catalogue.
    pub packages: u64,
    /// A publisher's signed claim that the node is its own.
    pub claim: Option<ByteBuf>,
    /// Where it is, if it opted in.
    pub location: Option<GeoLocation>,
    /// Bytes that it may keep for others.
    #[serde(default)]
    pub room: u64,
    /// A number that it drew when it started; 0 of nodes that draw none. Two nodes with one key
    /// differ in it.
    #[serde(default)]
    pub start: u64,
    /// The sender is connected with two nodes that have the receiver's key.
    #[serde(default)]
    pub twins: bool,
}

impl Response {
    /// The kind, for logs.
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

pub type Behaviour = request_response::cbor::Behaviour<Request, Response>;

/// Streams a peer may have open in all before new ones are refused.
const MAX_STREAMS: usize = 64;

pub fn behaviour(protocol: StreamProtocol, timeout: std::time::Duration) -> Behaviour {
    let codec = request_response::cbor::codec::Codec::default()
        .set_request_size_maximum(MAX_REQUEST)
        .set_response_size_maximum(MAX_RESPONSE);
    let config = request_response::Config::default()
        .with_request_timeout(timeout)
        .with_max_concurrent_streams(MAX_STREAMS);
    Behaviour::with_codec(
        codec,
        [(protocol, request_response::ProtocolSupport::Full)],
        config,
    )
}
