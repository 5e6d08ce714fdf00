//! What the swarm task can be told, and what it asks the registry.

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

/// Why a peer's answer did not come.
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

/// Told to the swarm task. Every reply is sent exactly once, or its sender dropped when the node
/// shuts down.
pub enum Command {
    Find {
        key: DhtKey,
        want: Want,
        /// What it is for.
        what: Option<String>,
        deadline: Instant,
        permit: OwnedSemaphorePermit,
        reply: oneshot::Sender<Lookup>,
    },
    /// Replies how many peers acknowledged, which does not mean that they kept it.
    Put {
        record: Box<Record>,
        deadline: Instant,
        reply: oneshot::Sender<usize>,
    },
    /// Replies which peers of the topic it was sent to.
    Announce {
        data: Bytes,
        reply: oneshot::Sender<Vec<PeerId>>,
    },
    /// Replies from how many of these something has come since; the others are greeted, if so told.
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
    /// Peers go to `found` as the DHT names them; its end is the end of the search.
    FindProviders {
        key: DhtKey,
        /// What it is for.
        what: String,
        deadline: Instant,
        found: mpsc::Sender<PeerId>,
    },
    /// Looks for providers or for the closest peers, or a record; replies with the number of the
    /// trace and who they are.
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
    /// Replies with every lookup that runs or is kept, the newest first.
    Lookups {
        reply: oneshot::Sender<Vec<Trace>>,
    },
    Routing {
        reply: oneshot::Sender<RoutingTable>,
    },
    /// Tells the DHT that this node has a content. Replies once it has been told, or could not be.
    Provide {
        key: DhtKey,
        /// What it is called.
        what: String,
        reply: oneshot::Sender<()>,
    },
    /// Replies with the connected peers of this network, the best first, each with its score; those
    /// that are a publisher's own before all others.
    Sources {
        publisher: Option<PublisherId>,
        reply: oneshot::Sender<Vec<(PeerId, f64)>>,
    },
    BestPeers {
        min_reputation: f64,
        limit: usize,
        reply: oneshot::Sender<Vec<PeerId>>,
    },
    /// Replies with the connected peers of this network, and how many packages each says it has.
    Catalogues {
        reply: oneshot::Sender<Vec<(PeerId, u64)>>,
    },
    /// Replies with the connected peers of this network, and how many bytes each says it may keep
    /// for others.
    Rooms {
        reply: oneshot::Sender<Vec<(PeerId, u64)>>,
    },
    Observe {
        peer: PeerId,
        outcome: Outcome,
    },
    /// Verified bytes of content that a peer gave.
    Gave {
        peer: PeerId,
        bytes: u64,
        took: Duration,
    },
    /// A person has said something about a peer. Replies whether it changed anything.
    Obey {
        peer: PeerId,
        ruling: Ruling,
        reply: oneshot::Sender<bool>,
    },
    Status {
        reply: oneshot::Sender<NodeSnapshot>,
    },
    /// Replies with every peer that is known.
    Peers {
        reply: oneshot::Sender<Vec<PeerSnapshot>>,
    },
    Health {
        reply: oneshot::Sender<Box<Sample>>,
    },
    /// Dials from now on; with `keep`, again whenever the connection is lost.
    Dial {
        peer: PeerId,
        address: Multiaddr,
        keep: bool,
    },
    /// Replies whether it was connected. It is not dialled again by itself.
    Disconnect {
        peer: PeerId,
        reply: oneshot::Sender<bool>,
    },
    /// Replies what the scores of the known peers are made of.
    Standings {
        reply: oneshot::Sender<Standings>,
    },
    /// Tell the readers of the bus everything again: one is new.
    Refresh,
    Shutdown {
        reply: oneshot::Sender<()>,
    },
}

/// What the registry makes of a record.
pub type Verdict = Result<(), Refusal>;

/// Asked of the registry. A reply that does not come counts as [`Refusal::Busy`].
pub enum Inbound {
    /// A gossip message on the announcement topic; `author` is who sent it first, by its signature.
    Announcement {
        data: Vec<u8>,
        via: PeerId,
        author: Option<PeerId>,
        verdict: oneshot::Sender<Verdict>,
    },
    /// A peer wants a record stored. The verified record comes back, to be kept.
    Put {
        key: Vec<u8>,
        value: Vec<u8>,
        from: PeerId,
        verdict: oneshot::Sender<Result<Record, Refusal>>,
    },
    /// A peer asks a question, which may take so much time; `good` when the peer has been good to
    /// ask itself.
    Query {
        from: PeerId,
        request: Request,
        time: Duration,
        good: bool,
        reply: oneshot::Sender<Answered>,
    },
}

/// An answer to a peer's question, and the time that was spent on it.
pub struct Answered {
    pub response: Response,
    pub took: Duration,
}
