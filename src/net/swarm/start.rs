//! Builds and starts the swarm.

use std::{
    collections::HashSet,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use futures::StreamExt;
use libp2p::{
    Multiaddr, PeerId, Swarm, SwarmBuilder, TransportError,
    identity::Keypair,
    mdns,
    metrics::{Metrics as Families, Registry},
    swarm::SwarmEvent,
};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::net::{
    Delays, DhtMode, Greeting, Inbound, MAX_LOOKUPS, Net, Staging,
    content::{BusyPeers, server},
    dht::store::KadStore,
    gossip::topics::Topics,
    handle::ServingTasks,
    peers::discovery::{Discovery, Origin, bare},
    peers::penalties::Penalties,
    peers::place::PlacingContext,
    peers::pool::{Callers, Pool},
    peers::table::{MAX_PEERS, PeerTable},
    query::asking::PeerPermits,
    reach::gate::Gate,
    reach::limited::Limited,
    reach::listen,
    reach::transport::transport,
    swarm::behaviour::{Behaviour, BehaviourEvent, BehaviourParts, Protocols},
    swarm::task::{Task, Wiring},
    swarm::{measure::Measures, readings::Readings},
    sync::{self, HeadSet},
};
use crate::{
    RegistryError, Result,
    bus::{Board, Bus, BusEvent, Level, Notice, Tally},
    domain::{
        caps, content::ContentOptions, copies::CopyFigures, dials::Dials, faults::PenaltyLedger,
        geo::GeoLocation, name::NetworkName, reputation::Weights,
    },
    geoip::Atlas,
    metrics::Metrics,
    store::{Store, content::ContentStore},
};

/// Most commands waiting for the task.
const COMMANDS: usize = 256;
/// Most requests waiting for the registry.
pub const INBOUND: usize = 512;
/// Connections that nothing uses, not even gossip, are closed after this long.
const IDLE: Duration = Duration::from_secs(30);
/// Longest wait for the operating system to report the listen addresses.
const LISTEN_WAIT: Duration = Duration::from_secs(5);
/// Interfaces that are up are reported within this time.
const INTERFACES_WAIT: Duration = Duration::from_millis(500);
/// Interval of the hellos that have news or were not answered.
pub const GREET_EVERY: Duration = Duration::from_secs(10);
/// Shortest interval at which connections are checked for silence. However often pings are sent, a
/// busy machine answers late.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Number of remembered peers dialled at the start.
pub const REDIALLED: usize = 16;

/// Settings of the swarm.
#[derive(Clone, Debug)]
pub struct NetOptions {
    pub network: NetworkName,
    /// The addresses to listen on. If empty: all interfaces on the default port, or on any free one
    /// if that is taken.
    pub listen: Vec<Multiaddr>,
    /// Peers to join through, each with `/p2p/`.
    pub bootstrap: Vec<Multiaddr>,
    /// This node's location. It is sent to others only if set: setting it is the opt-in.
    pub location: Option<GeoLocation>,
    /// A database in MaxMind's format that locates peers that declare no location.
    pub geoip_db: Option<PathBuf>,
    pub mdns: bool,
    pub dht: DhtMode,
    /// With [`DhtMode::Auto`], the interval at which peers are asked to dial back until the result
    /// is clear.
    pub dial_back_every: Duration,
    /// Default deadline of a query to the network.
    pub query_timeout: Duration,
    pub weights: Weights,
    /// Length of a peer's first ban; each further one is twice as long. The default is long enough
    /// that misbehaving does not pay, and short enough for a peer that was banned wrongly.
    pub ban_time: Duration,
    /// Interval of pings. A connection without data for four times as long, and at least 20 s, is
    /// closed.
    pub ping_every: Duration,
    /// Connections are trimmed down to `low_water` once there are more than `high_water`.
    pub low_water: usize,
    pub high_water: usize,
    /// Most connections from one private address.
    pub local_connections: usize,
}

impl NetOptions {
    /// Returns the default options for a network.
    pub fn of(network: NetworkName) -> Self {
        Self {
            network,
            listen: Vec::new(),
            bootstrap: Vec::new(),
            location: None,
            geoip_db: None,
            mdns: true,
            dht: DhtMode::Auto,
            dial_back_every: Duration::from_secs(15),
            query_timeout: Duration::from_secs(5),
            weights: Weights::default(),
            ban_time: Duration::from_secs(1_800),
            ping_every: Duration::from_secs(5),
            low_water: 48,
            high_water: 64,
            local_connections: caps::OF_A_PRIVATE_ADDRESS,
        }
    }
}

/// All that a swarm is started with besides its options.
pub struct Beginning {
    pub key: Keypair,
    pub store: Store,
    pub contents: ContentStore,
    pub content: ContentOptions,
    /// The locations of addresses.
    pub atlas: Atlas,
    pub staging: Staging,
    pub board: Board,
    pub bus: Bus,
    pub tally: Tally,
    pub metrics: Metrics,
}

/// Starts the swarm task. Returns once it listens, with the channel of peers' requests and the
/// channel of peers that have what this node lacks.
///
/// # Errors
/// [`RegistryError::Listen`] if a given address cannot be used, [`RegistryError::Address`] for a
/// bootstrap address that names no peer.
pub async fn start(
    options: NetOptions,
    with: Beginning,
) -> Result<(Net, mpsc::Receiver<Inbound>, mpsc::Receiver<PeerId>)> {
    let Beginning {
        key,
        store,
        contents,
        content,
        atlas,
        staging,
        board,
        bus,
        tally,
        metrics,
    } = with;
    let clock = staging.clock.clone();
    let now = clock.now();
    let me = key.public().to_peer_id();
    let mut discovery = Discovery::default();
    let mut own_addresses = Vec::new();
    for address in &options.bootstrap {
        let peer = listen::peer_of(address).ok_or_else(|| RegistryError::Address {
            given: address.to_string(),
            why: "it does not end with /p2p/ and the peer's id".to_owned(),
        })?;
        if peer == me {
            own_addresses.push(bare(address));
        } else {
            discovery.add(peer, address.clone(), Origin::Bootstrap, Instant::now());
        }
    }
    let remembered = store.known_peers(MAX_PEERS)?;
    for peer in remembered.iter().take(REDIALLED) {
        for address in &peer.addresses {
            discovery.add(peer.id, address.clone(), Origin::Remembered, Instant::now());
        }
    }
    let ledger = PenaltyLedger::new(store.ledger()?, options.ban_time, clock.now());
    let kad_store = KadStore::new(me, store.dht_records()?, now);

    let (addresses, moved) = listen::choose(&options.listen)?;
    let notice = |level, text: String| {
        bus.emit(BusEvent::Notice(Notice {
            at: clock.now(),
            level,
            text,
        }))
    };
    if let Some(text) = moved {
        tracing::warn!("{text}");
        notice(Level::Warning, text);
    }
    // One mDNS behaviour covers one address family.
    let find = |enable_ipv6| {
        let config = mdns::Config {
            enable_ipv6,
            ..mdns::Config::default()
        };
        options
            .mdns
            .then(|| mdns::tokio::Behaviour::new(config, me))
            .transpose()
    };
    let mdns6 = find(true).ok().flatten();
    let mdns = find(false).unwrap_or_else(|error| {
        let text = format!(
            "mDNS cannot start ({error}), so peers on the LAN are not found; use --bootstrap"
        );
        tracing::warn!("{text}");
        notice(Level::Warning, text);
        None
    });

    let protocols = Protocols::of(&options.network)?;
    let topics = Topics::of(&options.network);
    let mut gossip_counts = Registry::default();
    let behaviour = Behaviour::new(BehaviourParts {
        key: &key,
        protocols: &protocols,
        topics: &topics,
        kad_store,
        mdns: (mdns, mdns6),
        dht: options.dht,
        dial_back_every: options.dial_back_every,
        query_timeout: options.query_timeout,
        high_water: options.high_water,
        gate: Gate::new(staging.classes, options.local_connections, metrics.clone()),
        ping_every: options.ping_every,
        gossip_counts: &mut gossip_counts,
        clock: clock.clone(),
    })?;
    let streams = behaviour.streams.new_control();
    let dials = Dials::of(staging.classes);
    let limited = Limited::new(behaviour, dials, metrics.clone(), clock.clone());
    let (mut swarm, bandwidth) = build(key, limited, options.ping_every, staging.delays.clone())?;
    let mut protocols_told = Registry::default();
    let families = Families::new(&mut protocols_told);
    let early = listen_on(&mut swarm, addresses).await?;
    // Kept apart from the other metrics, because the byte counts are read all the time and the rest
    // only on request.
    let bandwidth = Arc::new(bandwidth);
    let announce = topics.announce.hash().into_string();
    let readings = Readings::new(bandwidth.clone(), gossip_counts, announce, store.clone());

    if swarm.listeners().next().is_none() {
        let text = "no network interface is up, so nobody can reach this node; it listens as soon as one is";
        tracing::warn!("{text}");
        notice(Level::Warning, text.to_owned());
    }
    let listening: Vec<String> = swarm.listeners().map(ToString::to_string).collect();
    let network = options.network.clone();
    let (commands, command_receiver) = mpsc::channel(COMMANDS);
    let (inbound, inbound_receiver) = mpsc::channel(INBOUND);
    let (greeting, greeting_receiver) = watch::channel(Greeting::default());
    let (joined_sender, joined) = watch::channel(0);
    let (clock_sender, clock) = watch::channel(None);
    let (doubted_sender, doubted) = watch::channel(HashSet::new());
    let (safety, safety_receiver) = watch::channel(None);
    let (copies, copies_receiver) = watch::channel(CopyFigures::default());
    let (gateway, gateway_receiver) = watch::channel(None);
    let protocol = protocols.content.clone();
    let (served, callers) = (Pool::new(server::STREAMS), Callers::default());
    let (known, known_receiver) = watch::channel(HashSet::new());
    let (busy, serving) = (BusyPeers::default(), CancellationToken::new());
    let incoming =
        streams
            .clone()
            .accept(protocol.clone())
            .map_err(|error| RegistryError::Internal {
                what: "serving content",
                why: error.to_string(),
            })?;
    let compared = streams
        .clone()
        .accept(protocols.sync.clone())
        .map_err(|error| RegistryError::Internal {
            what: "serving the catalogue",
            why: error.to_string(),
        })?;
    let tasks = TaskTracker::new();
    let (heads, sync) = (HeadSet::new(store.clone()), protocols.sync.clone());
    let (lacking, we_lack) = sync::server::lacking();
    let comparing = sync::server::SyncServer {
        store: store.clone(),
        set: heads.clone(),
        tally: tally.clone(),
        stop: serving.clone(),
        tasks: tasks.clone(),
        lacking,
        callers: callers.clone(),
        metrics: metrics.clone(),
    };
    tasks.spawn(sync::server::serve(comparing, compared));
    let (conduct, stop) = (staging.conduct, serving.clone());
    let shared = server::ContentServer {
        contents,
        own_only: !content.provide,
        board: board.clone(),
        metrics: metrics.clone(),
        pool: served.clone(),
        callers: callers.clone(),
        conduct,
        clock: staging.clock.clone(),
        stop,
        tasks: tasks.clone(),
    };
    tasks.spawn(server::serve(shared, incoming));
    let bearings = PlacingContext {
        atlas,
        here: options.location,
        judged: !staging.believes_places,
    };
    let task = Task::new(
        swarm,
        Wiring {
            commands: command_receiver,
            inbound,
            greeting: greeting_receiver,
            joined: joined_sender,
            doubted: doubted_sender,
            clock: clock_sender,
            store,
            bus,
            tally,
            board: board.clone(),
            busy: busy.clone(),
            served,
            callers,
            known: known_receiver,
            metrics: metrics.clone(),
        },
        discovery,
        PeerTable::new(
            remembered,
            options.weights,
            metrics.clone(),
            bearings,
            staging.classes,
            now,
        ),
        protocols,
        topics,
        options.network,
        (options.low_water, options.high_water),
        Penalties::new(ledger, metrics.clone()),
        staging,
        Measures::new(
            readings.clone(),
            (safety_receiver, copies_receiver, gateway_receiver),
            families,
            metrics,
            Instant::now(),
        ),
        options.ping_every,
        own_addresses,
        rand::make_rng(),
    );
    tracing::info!(node = %me, %network, ?listening, "the node has started");
    tokio::spawn(task.run(early));
    let net = Net {
        commands,
        lookups: Arc::new(Semaphore::new(MAX_LOOKUPS)),
        greeting: Arc::new(greeting),
        safety: Arc::new(safety),
        copies: Arc::new(copies),
        gateway: Arc::new(gateway),
        joined,
        doubted,
        clock,
        me,
        query_timeout: options.query_timeout,
        streams,
        content: protocol,
        sync,
        heads,
        known: Arc::new(known),
        busy,
        asking: PeerPermits::default(),
        idle: content.idle,
        serving: Arc::new(ServingTasks {
            stop: serving,
            tasks,
        }),
        families: [Arc::new(protocols_told), bandwidth],
        readings,
    };
    Ok((net, inbound_receiver, we_lack))
}

/// Builds the swarm and the counters of its bytes.
fn build(
    key: Keypair,
    behaviour: Limited,
    ping_every: Duration,
    delays: Option<Delays>,
) -> Result<(Swarm<Limited>, Registry)> {
    let mut bandwidth = Registry::default();
    let internal = |why: String| RegistryError::Internal {
        what: "starting the network",
        why,
    };
    let transport = transport(&key, ping_every.max(LOOK_EVERY), delays)
        .map_err(|error| internal(error.to_string()))?;
    let swarm = SwarmBuilder::with_existing_identity(key)
        .with_tokio()
        .with_other_transport(|_| transport)
        .unwrap_or_else(|never| match never {})
        .with_dns()
        .map_err(|error| internal(error.to_string()))?
        .with_bandwidth_metrics(&mut bandwidth)
        .with_behaviour(|_| behaviour)
        .unwrap_or_else(|never| match never {})
        .with_swarm_config(|config| config.with_idle_connection_timeout(IDLE))
        .build();
    Ok((swarm, bandwidth))
}

/// Returns the system's message: libp2p wraps it in errors that say nothing of their own.
fn innermost(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => innermost(source),
        None => error.to_string(),
    }
}

/// Listens on all given addresses, and waits until each is reported. If no interface is up, the
/// listener waits for one. Returns the events that happened meanwhile: peers may have connected
/// already.
async fn listen_on(
    swarm: &mut Swarm<Limited>,
    addresses: Vec<Multiaddr>,
) -> Result<Vec<SwarmEvent<BehaviourEvent>>> {
    let (mut waiting, mut hoping, mut early) = (HashSet::new(), HashSet::new(), Vec::new());
    for address in addresses {
        let failed = |why: String| RegistryError::Listen {
            address: address.to_string(),
            why,
        };
        let listened = swarm
            .listen_on(address.clone())
            .map_err(|error| match error {
                TransportError::MultiaddrNotSupported(_) => {
                    failed("neither TCP nor QUIC can listen there".to_owned())
                }
                TransportError::Other(error) => failed(innermost(&error)),
            })?;
        if listen::is_any(&address) {
            &mut hoping
        } else {
            &mut waiting
        }
        .insert(listened);
    }
    let begun = tokio::time::Instant::now();
    while !(waiting.is_empty() && hoping.is_empty()) {
        let most = if waiting.is_empty() {
            INTERFACES_WAIT
        } else {
            LISTEN_WAIT
        };
        let Ok(event) = tokio::time::timeout_at(begun + most, swarm.select_next_some()).await
        else {
            if waiting.is_empty() {
                break;
            }
            return Err(RegistryError::Listen {
                address: "the interfaces".to_owned(),
                why: "the system gave no address".to_owned(),
            });
        };
        match &event {
            SwarmEvent::NewListenAddr { listener_id, .. } => {
                waiting.remove(listener_id);
                hoping.remove(listener_id);
            }
            SwarmEvent::ListenerClosed {
                listener_id,
                reason: Err(error),
                addresses,
            } if waiting.contains(listener_id) || hoping.contains(listener_id) => {
                let address = addresses
                    .first()
                    .map(ToString::to_string)
                    .unwrap_or_default();
                return Err(RegistryError::Listen {
                    address,
                    why: error.to_string(),
                });
            }
            _ => {}
        }
        early.push(event);
    }
    Ok(early)
}
