//! The protocols of a node, combined.

use std::{num::NonZeroUsize, time::Duration};

use libp2p::{
    StreamProtocol, autonat, connection_limits, gossipsub, identify,
    identity::Keypair,
    kad, mdns, memory_connection_limits,
    metrics::Registry,
    ping,
    swarm::{NetworkBehaviour, behaviour::toggle::Toggle},
};

use crate::net::{
    DhtMode, dht::store::KadStore, dht::trace::Traced, gossip::topics as gossip, query::protocol,
    reach::dial_back as reach, reach::gate::Gate,
};
use crate::{RegistryError, Result, clock::Clock, domain::name::NetworkName};

/// Interval at which Kademlia looks up its own neighbourhood. At one minute, this took a core with
/// 128 nodes.
pub const BOOTSTRAP_INTERVAL: Duration = Duration::from_secs(300);
/// Peers that one lookup asks at a time: Kademlia's alpha.
pub const PARALLELISM: usize = 3;
/// Number of peers that keep a record, and size of a bucket: Kademlia's k.
pub const K: usize = kad::K_VALUE.get();
/// Longest wait for the answer to a ping. libp2p's default of 20 s would keep dead connections for
/// too long.
const PING_TIMEOUT: Duration = Duration::from_secs(6);
/// Most connections to one peer: both sides may dial at once, over TCP and QUIC.
const MAX_PER_PEER: u32 = 4;
const MAX_PENDING: u32 = 128;
/// One in this many connections is reserved for peers that this node dials.
const OUTBOUND_SHARE: u32 = 4;
/// Share of the machine's memory beyond which no connection is accepted.
const MAX_MEMORY_SHARE: f64 = 0.9;

#[derive(NetworkBehaviour)]
pub struct Behaviour {
    pub gate: Gate,
    limits: connection_limits::Behaviour,
    memory: memory_connection_limits::Behaviour,
    pub kad: Traced,
    pub gossip: gossipsub::Behaviour,
    identify: identify::Behaviour,
    ping: ping::Behaviour,
    pub mdns: Toggle<mdns::tokio::Behaviour>,
    /// The same over IPv6.
    mdns6: Toggle<mdns::tokio::Behaviour>,
    pub query: protocol::QueryBehaviour,
    pub streams: libp2p_stream::Behaviour,
    reach: Toggle<autonat::v1::Behaviour>,
}

/// The names of the network's protocols.
pub struct Protocols {
    pub kad: StreamProtocol,
    pub query: StreamProtocol,
    pub content: StreamProtocol,
    pub sync: StreamProtocol,
}

impl Protocols {
    pub fn of(network: &NetworkName) -> Result<Self> {
        let name = |kind: &str| {
            StreamProtocol::try_from_owned(format!("/swarmdex/{network}/{kind}")).map_err(|error| {
                RegistryError::Internal {
                    what: "naming a protocol",
                    why: error.to_string(),
                }
            })
        };
        Ok(Self {
            kad: name("kad/3")?,
            query: name("query/3")?,
            content: name("content/3")?,
            sync: name("sync/3")?,
        })
    }
}

/// The parts that the behaviour is built from.
pub struct BehaviourParts<'a> {
    pub key: &'a Keypair,
    pub protocols: &'a Protocols,
    pub topics: &'a gossip::Topics,
    pub kad_store: KadStore,
    /// Over IPv4 and over IPv6.
    pub mdns: (
        Option<mdns::tokio::Behaviour>,
        Option<mdns::tokio::Behaviour>,
    ),
    pub dht: DhtMode,
    pub dial_back_every: Duration,
    pub query_timeout: Duration,
    pub high_water: usize,
    pub gate: Gate,
    pub ping_every: Duration,
    pub gossip_counts: &'a mut Registry,
    pub clock: Clock,
}

/// Returns the most connections of a node, and the most that others may open: a quarter of the
/// places is left for peers that this node dials itself.
pub fn most_connections(high_water: usize) -> (u32, u32) {
    let most = u32::try_from(high_water.saturating_mul(4))
        .unwrap_or(u32::MAX)
        .max(64);
    (most, most - most / OUTBOUND_SHARE)
}

impl Behaviour {
    pub fn new(parts: BehaviourParts<'_>) -> Result<Self> {
        let BehaviourParts {
            key,
            protocols,
            topics,
            kad_store,
            mdns,
            dht,
            dial_back_every,
            query_timeout,
            high_water,
            gate,
            ping_every,
            gossip_counts,
            clock,
        } = parts;
        let me = key.public().to_peer_id();
        let slack = query_timeout + Duration::from_secs(1);

        let mut kad_config = kad::Config::new(protocols.kad.clone());
        kad_config
            // Our own deadline ends a query with the results so far; Kademlia's timeout is only a
            // safety net.
            .set_query_timeout(slack)
            .set_record_filtering(kad::StoreInserts::FilterBoth)
            .set_record_ttl(None)
            .set_replication_interval(None)
            .set_publication_interval(None)
            .set_provider_publication_interval(None)
            // Peers are added by `routing.rs`, so that the first to come cannot fill the table.
            .set_kbucket_inserts(kad::BucketInserts::Manual)
            .set_periodic_bootstrap_interval(Some(BOOTSTRAP_INTERVAL))
            .set_parallelism(NonZeroUsize::new(PARALLELISM).unwrap_or(NonZeroUsize::MIN));
        let mut kad = kad::Behaviour::with_config(me, kad_store, kad_config);
        // By default it would stay a client until an external address is known, which an isolated
        // network never has.
        kad.set_mode(Some(if dht == DhtMode::Client {
            kad::Mode::Client
        } else {
            kad::Mode::Server
        }));

        let (most, from_outside) = most_connections(high_water);
        let limits = connection_limits::ConnectionLimits::default()
            .with_max_pending_incoming(Some(MAX_PENDING))
            .with_max_pending_outgoing(Some(MAX_PENDING))
            .with_max_established_incoming(Some(from_outside))
            .with_max_established(Some(most))
            .with_max_established_per_peer(Some(MAX_PER_PEER));

        let identify = identify::Config::new("/swarmdex/3".to_owned(), key.public())
            .with_agent_version(concat!("swarmdex/", env!("CARGO_PKG_VERSION")).to_owned())
            .with_push_listen_addr_updates(true);

        Ok(Self {
            limits: connection_limits::Behaviour::new(limits),
            memory: memory_connection_limits::Behaviour::with_max_percentage(MAX_MEMORY_SHARE),
            gate,
            kad: Traced::new(kad, me, clock),
            gossip: gossip::behaviour(key, topics, gossip_counts)?,
            identify: identify::Behaviour::new(identify),
            ping: ping::Behaviour::new(
                ping::Config::new()
                    .with_interval(ping_every)
                    .with_timeout(PING_TIMEOUT),
            ),
            mdns: mdns.0.into(),
            mdns6: mdns.1.into(),
            query: protocol::behaviour(protocols.query.clone(), slack),
            streams: libp2p_stream::Behaviour::new(),
            reach: (dht == DhtMode::Auto)
                .then(|| reach::behaviour(me, dial_back_every))
                .into(),
        })
    }
}
