//! The network: one task owns the swarm, everyone else holds a [`Net`] to tell it what to do.
//!
//! Commands go over a bounded channel, each with the `oneshot` its reply comes back on, so nothing
//! here is locked while the network is waited for. What peers send goes to the registry over a
//! bounded channel too; the task never waits for either.

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
pub use dht::lookups::{Answer, Ended, Lookup, Want};
pub use handle::Net;
pub(crate) use peers::pool;
pub use query::protocol;
pub(crate) use reach::listen::everywhere;
pub use reach::listen::try_listen;
pub use staging::{Conduct, Delays, Staging};
pub use swarm::{
    command::{Answered, AskError, Inbound, Verdict},
    measure::Safety,
    start::{Beginning, NetOptions, start},
};

use serde_bytes::ByteBuf;

/// The machines without I/O that a node is made of, and the figures of libp2p's protocols: for the
/// simulator, which runs the one and models the other.
pub(crate) mod machines {
    pub use libp2p::swarm::ConnectionId;

    pub(crate) use super::peers::pool::Callers;
    pub use super::{
        dht::{
            lookups::{Ended, Lookup, Pending, Want},
            queries,
            routing::has_room,
            store::KadStore,
        },
        gossip::{judge, topics},
        peers::{
            connections::to_trim,
            discovery::{Discovery, Origin},
            penalties,
            place::Bearings,
            table::PeerTable,
        },
        query::{answering, greeting::Greeter, requests::Requests},
        reach::door::Door,
        swarm::{
            behaviour::{BOOTSTRAP_INTERVAL, K, PARALLELISM, most_connections},
            command::AskError,
            start::{GREET_EVERY, INBOUND, REDIALLED},
            task::TICK,
            timers::{Job, Timers},
        },
    };
}

/// The port a node listens on unless told otherwise, TCP and UDP (QUIC): fixed, so that one
/// firewall rule and one address on a whiteboard serve a whole site; in the range no other service
/// is registered for.
pub const DEFAULT_PORT: u16 = 4807;

/// Lookups that may run at once.
pub const MAX_LOOKUPS: usize = 256;

/// Whether this node serves the DHT to others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DhtMode {
    /// Server, and client only once dial-backs show that others cannot reach us.
    #[default]
    Auto,
    Server,
    Client,
}

/// What a node tells its peers of itself.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Greeting {
    pub packages: u64,
    pub handle: Option<String>,
    /// The signed claim that this node is its publisher's.
    pub claim: Option<ByteBuf>,
    /// Bytes that it may keep for others.
    pub room: u64,
}

/// This machine's clock beside those of the connected peers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockOffset {
    /// Ours minus the median of theirs, in milliseconds.
    pub ms: i64,
    /// Peers that were compared with.
    pub peers: usize,
}
