//! The network: one task owns the swarm, and the rest of the node controls it through a [`Net`].
//!
//! Commands go over a bounded channel, each with a `oneshot` for its reply, so no lock is held
//! while the network is waited for. Peers' requests go to the registry over a bounded channel too;
//! the task never waits for either.

pub mod content;
mod dht;
mod gossip;
mod handle;
mod peers;
mod query;
mod reach;
mod staging;
mod swarm;
pub mod sync;

pub(crate) use dht::inspect::what_of;
pub use dht::lookups::{DhtAnswer, Lookup, LookupEnd, Want};
pub use handle::Net;
pub(crate) use peers::pool;
pub use query::protocol;
pub(crate) use reach::listen::everywhere;
pub use reach::listen::try_listen;
pub use staging::{Conduct, Delays, Staging};
pub use swarm::{
    command::{AskError, Inbound, QueryReply, Verdict},
    measure::Safety,
    start::{Beginning, NetOptions, start},
};

use serde_bytes::ByteBuf;

/// The node's state machines without I/O, and the parameters of libp2p's protocols, for the
/// simulator: it runs the former and models the latter.
pub(crate) mod machines {
    pub use libp2p::swarm::ConnectionId;

    pub(crate) use super::peers::pool::Callers;
    pub use super::{
        dht::{
            lookups::{Lookup, LookupEnd, PendingLookup, Want},
            queries,
            routing::has_room,
            store::KadStore,
        },
        gossip::{judge, topics},
        peers::{
            connections::to_trim,
            discovery::{Discovery, Origin},
            penalties,
            place::PlacingContext,
            table::PeerTable,
        },
        query::{answering, greeting::Greeter, requests::Requests},
        reach::admission::ConnectionAdmission,
        swarm::{
            behaviour::{BOOTSTRAP_INTERVAL, K, PARALLELISM, most_connections},
            command::AskError,
            start::{GREET_EVERY, INBOUND, REDIALLED},
            task::TICK,
            timers::{Job, Timers},
        },
    };
}

/// The default port, for TCP and UDP (QUIC). It is fixed, so that one firewall rule serves a whole
/// site, and is not registered for another service.
pub const DEFAULT_PORT: u16 = 4807;

/// Most concurrent lookups.
pub const MAX_LOOKUPS: usize = 256;

/// The role of this node in the DHT.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DhtMode {
    /// Server, until dial-backs show that others cannot reach this node.
    #[default]
    Auto,
    Server,
    Client,
}

/// The facts that a node tells its peers about itself.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Greeting {
    pub packages: u64,
    pub handle: Option<String>,
    /// The signed claim that this node belongs to its publisher.
    pub claim: Option<ByteBuf>,
    /// Bytes that it may keep for others.
    pub room: u64,
}

/// The offset of this machine's clock from those of the connected peers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockOffset {
    /// Our clock minus the median of theirs, in milliseconds.
    pub ms: i64,
    /// Number of peers compared.
    pub peers: usize,
}
