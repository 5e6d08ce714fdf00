//! One whole node: store, keys, swarm task and registry, put together and taken down in order.

use std::{path::PathBuf, time::Duration};

use libp2p::Multiaddr;

use crate::domain::{
    geo::GeoLocation,
    name::{Handle, NetworkName},
    reputation::Weights,
};

pub use crate::net::DhtMode;

/// Everything a node needs to know to start.
#[derive(Clone, Debug)]
pub struct NodeOptions {
    pub data_dir: PathBuf,
    pub network: NetworkName,
    /// Where to listen. Empty: all interfaces on the default port, or on any free one when that is taken.
    pub listen: Vec<Multiaddr>,
    /// Peers to join through, each with `/p2p/`.
    pub bootstrap: Vec<Multiaddr>,
    /// What this node's publisher calls itself.
    pub handle: Option<Handle>,
    /// Declared to others only when set: setting it is the opt-in.
    pub location: Option<GeoLocation>,
    pub mdns: bool,
    pub dht: DhtMode,
    /// Deadline of each query to the network.
    pub query_timeout: Duration,
    pub weights: Weights,
    /// Connections are trimmed down to `low_water` once there are more than `high_water`.
    pub low_water: usize,
    pub high_water: usize,
}
