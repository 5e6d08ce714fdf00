//! The commands for the swarm task, and its requests to the registry.

use std::time::{Duration, Instant};

use bytes::Bytes;
use libp2p::{Multiaddr, PeerId};
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};

use crate::net::{
    dht::lookups::{Lookup, Want},
    peers::rank::Standings,
    query::protocol::{Request, Response},
};
use crate::{
    bus::{NodeSnapshot, PeerSnapshot},
    domain::{
        faults::Ruling,
        health::Sample,
        lookup::{RoutingTable, Sought, Trace},
        name::PublisherId,
        record::{DhtKey, Record, Refusal},
        reputation::Outcome,
    },
};

/// The reason why a peer did not answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    #[error("it did not answer in time")]
    TimedOut,
    #[error("it could not be reached")]
    Unreachable,
    #[error("it is busy")]
    Busy,
    #[error("it refused the request, or answered something else")]
    Refused,
}

/// A command for the swarm task. Each reply is sent exactly once, or its sender is dropped when the
/// node shuts down.
pub enum Command {
    Find {
        key: DhtKey,
        want: Want,
        /// The purpose, for display.
        what: Option<String>,
        deadline: Instant,
        permit: OwnedSemaphorePermit,
        reply: oneshot::Sender<Lookup>,
    },
    /// Replies with the number of peers that acknowledged the record, which does not mean that they
    /// kept it.
    Put {
        record: Box<Record>,
        deadline: Instant,
        reply: oneshot::Sender<usize>,
    },
    /// Replies with the subscribers that it was sent to.
    Announce {
        data: Bytes,
        reply: oneshot::Sender<Vec<PeerId>>,
    },
    /// Replies with the number of these peers that something has arrived from since. If told to,
    /// greets the others.
    Alive {
        peers: Vec<PeerId>,
        since: Instant,
        greet: bool,
        reply: oneshot::Sender<usize>,
    },
    Ask {
        peer: PeerId,
        request: Request,
        deadline: Instant,
        reply: oneshot::Sender<Result<Response, AskError>>,
    },
    /// Sends providers to `found` as the DHT reports them; the channel closes when the lookup ends.
    FindProviders {
        key: DhtKey,
        /// The purpose, for display.
        what: String,
        deadline: Instant,
        found: mpsc::Sender<PeerId>,
    },
    /// Looks up providers, the closest peers, or a record. Replies with the number of the trace and
    /// the peers found.
    Look {
        sought: Sought,
        what: Option<String>,
        deadline: Instant,
        reply: oneshot::Sender<(u64, Vec<PeerId>)>,
    },
    /// Replies with one lookup by its number, if it is still kept.
    Trace {
        number: u64,
        reply: oneshot::Sender<Option<Trace>>,
    },
    /// Replies with all running and kept lookups, newest first.
    Lookups {
        reply: oneshot::Sender<Vec<Trace>>,
    },
    Routing {
        reply: oneshot::Sender<RoutingTable>,
    },
    /// Announces a content of this node in the DHT. Replies once the announcement has succeeded or
    /// failed.
    Provide {
        key: DhtKey,
        /// The name of the content, for display.
        what: String,
        reply: oneshot::Sender<()>,
    },
    /// Replies with the connected peers of this network and their scores, best first; the nodes of
    /// `publisher` come before all others.
    Sources {
        publisher: Option<PublisherId>,
        reply: oneshot::Sender<Vec<(PeerId, f64)>>,
    },
    BestPeers {
        min_reputation: f64,
        limit: usize,
        reply: oneshot::Sender<Vec<PeerId>>,
    },
    /// Replies with the connected peers of this network and the number of packages that each
    /// reports.
    Catalogues {
        reply: oneshot::Sender<Vec<(PeerId, u64)>>,
    },
    /// Replies with the connected peers of this network and the bytes that each reports it may keep
    /// for others.
    Rooms {
        reply: oneshot::Sender<Vec<(PeerId, u64)>>,
    },
    Observe {
        peer: PeerId,
        outcome: Outcome,
    },
    /// A peer supplied verified bytes of content.
    Gave {
        peer: PeerId,
        bytes: u64,
        took: Duration,
    },
    /// A person's decision about a peer. Replies whether it changed anything.
    Moderate {
        peer: PeerId,
        ruling: Ruling,
        reply: oneshot::Sender<bool>,
    },
    Status {
        reply: oneshot::Sender<NodeSnapshot>,
    },
    /// Replies with all known peers.
    Peers {
        reply: oneshot::Sender<Vec<PeerSnapshot>>,
    },
    Health {
        reply: oneshot::Sender<Box<Sample>>,
    },
    /// Dials the peer; with `keep`, again whenever the connection is lost.
    Dial {
        peer: PeerId,
        address: Multiaddr,
        keep: bool,
    },
    /// Disconnects the peer, which is then not dialled again. Replies whether it was connected.
    Disconnect {
        peer: PeerId,
        reply: oneshot::Sender<bool>,
    },
    /// Replies with the inputs to the scores of all known peers.
    Standings {
        reply: oneshot::Sender<Standings>,
    },
    /// Sends the whole state to the readers of the bus, for a new reader.
    Refresh,
    Shutdown {
        reply: oneshot::Sender<()>,
    },
}

/// The registry's decision about a record.
pub type Verdict = Result<(), Refusal>;

/// A request to the registry. A missing reply counts as [`Refusal::Busy`].
pub enum Inbound {
    /// An announcement from gossip. `author` is the peer that signed the message.
    Announcement {
        data: Vec<u8>,
        via: PeerId,
        author: Option<PeerId>,
        verdict: oneshot::Sender<Verdict>,
    },
    /// A peer wants to store a record. The reply is the verified record.
    Put {
        key: Vec<u8>,
        value: Vec<u8>,
        from: PeerId,
        verdict: oneshot::Sender<Result<Record, Refusal>>,
    },
    /// A peer's query, which may take this much time. `good` is true if the peer has a good record.
    Query {
        from: PeerId,
        request: Request,
        time: Duration,
        good: bool,
        reply: oneshot::Sender<QueryReply>,
    },
}

/// The answer to a peer's query, and the time spent on it.
pub struct QueryReply {
    pub response: Response,
    pub took: Duration,
}
