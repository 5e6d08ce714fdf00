//! Real nodes on loopback, and a bare libp2p peer that says whatever a test wants.

#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

pub mod mmdb;

use std::{collections::HashMap, net::Ipv4Addr, path::Path, sync::Arc, time::Duration};

use futures::StreamExt;
use libp2p::{
    Multiaddr, PeerId, StreamProtocol, SwarmBuilder, gossipsub, identify,
    identity::Keypair,
    kad::{
        self,
        store::{MemoryStore, MemoryStoreConfig},
    },
    multiaddr::Protocol,
    noise, ping, request_response,
    swarm::{NetworkBehaviour, SwarmEvent},
    tcp, yamux,
};
use swarmdex::{
    bus::Batch,
    domain::{
        hash::ContentRoot,
        manifest::{Draft, File, Manifest},
        name::{PackageId, PackageName, PackageRef, PublisherId},
        record::{Authorised, Head, HeadState},
        release::ReleaseEntry,
        time::Timestamp,
    },
    net::protocol::{Request, Response},
    node::{DhtMode, Node, NodeOptions},
    registry::{Artifacts, CatalogueScope, Content, Contents},
};
use tokio::sync::mpsc;

pub const NETWORK: &str = "lab";
pub const TCP: &str = "/ip4/127.0.0.1/tcp/0";
pub const QUIC: &str = "/ip4/127.0.0.1/udp/0/quic-v1";
/// Longest wait for something that must happen, on a busy machine too; reaching it fails the test.
pub const PATIENCE: Duration = Duration::from_secs(60);
pub const DAY: Duration = Duration::from_secs(86_400);

pub fn options(dir: &Path, listen: &str, bootstrap: &[String]) -> NodeOptions {
    let mut options = NodeOptions::of(dir.to_owned(), NETWORK.parse().unwrap());
    options.net.listen = vec![listen.parse().unwrap()];
    options.net.bootstrap = bootstrap
        .iter()
        .map(|address| address.parse().unwrap())
        .collect();
    options.net.mdns = false;
    options.net.dht = DhtMode::Server;
    options.net.dial_back_every = Duration::from_millis(200);
    // Tests check the location of content: replicas are made only in tests about them.
    options.registry.copies = 0;
    options.registry.keep_for_others = 0;
    options
}

/// A node with a temporary directory, joined through `bootstrap`.
pub struct Lab {
    pub node: Node,
    pub dir: tempfile::TempDir,
}

impl Lab {
    pub async fn start(listen: &str, bootstrap: &[String]) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), listen, bootstrap).await
    }

    /// Starts a node that copies no catalogues.
    pub async fn partial(listen: &str, bootstrap: &[String]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut options = options(dir.path(), listen, bootstrap);
        options.registry.catalogue = CatalogueScope::Partial;
        let node = Node::start(options).await.unwrap();
        assert!(node.wait_joined(PATIENCE).await, "found nobody");
        Self { node, dir }
    }

    pub async fn start_in(dir: tempfile::TempDir, listen: &str, bootstrap: &[String]) -> Self {
        let node = Node::start(options(dir.path(), listen, bootstrap))
            .await
            .unwrap();
        if !bootstrap.is_empty() {
            assert!(node.wait_joined(PATIENCE).await, "found nobody");
        }
        Self { node, dir }
    }

    pub async fn address(&self) -> String {
        self.node
            .status()
            .await
            .unwrap()
            .addresses
            .first()
            .cloned()
            .unwrap()
    }

    pub async fn stop(self) -> tempfile::TempDir {
        self.node.shutdown().await.unwrap();
        self.dir
    }
}

/// Waits for a batch that satisfies `is_it`.
pub async fn wait_for(
    batches: &mut mpsc::Receiver<Batch>,
    what: &str,
    mut is_it: impl FnMut(&Batch) -> bool,
) {
    let waited = tokio::time::timeout(PATIENCE, async {
        while let Some(batch) = batches.recv().await {
            if is_it(&batch) {
                return;
            }
        }
        panic!("the node ended while waiting for {what}");
    });
    waited
        .await
        .unwrap_or_else(|_| panic!("waited in vain for {what}"));
}

pub fn draft(name: &str, version: &str) -> Draft {
    toml::from_str(&format!(
        "name = \"{name}\"\nversion = \"{version}\"\ndescription = \"The {name} package\""
    ))
    .unwrap()
}

pub fn content(bytes: &[u8]) -> Artifacts {
    Content {
        root: ContentRoot::of(bytes),
        size: bytes.len() as u64,
    }
    .into()
}

/// Stores bytes on a node, as a publisher does first.
pub async fn put(contents: Arc<dyn Contents>, bytes: &[u8]) -> Artifacts {
    contents
        .put(Box::pin(std::io::Cursor::new(bytes.to_vec())))
        .await
        .unwrap()
        .into()
}

pub fn reference(id: &PackageId) -> PackageRef {
    PackageRef::of(id)
}

pub fn id_of(key: &Keypair, name: &str) -> PackageId {
    PackageId {
        owner: PublisherId::of(&key.public()),
        name: name.parse().unwrap(),
    }
}

/// Signs a manifest; `name` may begin with an ecosystem.
pub fn manifest(key: &Keypair, name: &str, version: &str, bytes: &[u8]) -> Authorised<Manifest> {
    let name: PackageName = name.parse().unwrap();
    let draft = Draft {
        ecosystem: name.ecosystem().clone(),
        ..draft(name.bare(), version)
    };
    let file = File::of(
        &draft.ecosystem,
        format!("{}-{version}", name.bare()),
        bytes,
    );
    let manifest = draft
        .into_manifest(PublisherId::of(&key.public()), file, Timestamp(1))
        .unwrap();
    Authorised::sign(key, manifest).unwrap()
}

/// Signs a head with revision `seq` that lists `manifests`, signed at `now` for `life`.
pub fn head(
    key: &Keypair,
    seq: u64,
    manifests: &[&Authorised<Manifest>],
    now: Timestamp,
    life: Duration,
) -> Authorised<Head> {
    let (ecosystem, name) = (manifests[0].ecosystem.clone(), manifests[0].name.clone());
    let releases = manifests
        .iter()
        .map(|manifest| ReleaseEntry::new(manifest.version.clone(), manifest.hash()))
        .collect();
    let prev = if seq > 1 {
        vec![manifests[0].hash()]
    } else {
        vec![]
    };
    HeadState {
        seq,
        prev,
        ..HeadState::first(ecosystem, name, releases)
    }
    .sign(key, now, life)
    .unwrap()
    .0
}

#[derive(NetworkBehaviour)]
struct Bare {
    kad: kad::Behaviour<MemoryStore>,
    identify: identify::Behaviour,
    query: request_response::cbor::Behaviour<Request, Response>,
    streams: libp2p_stream::Behaviour,
    ping: ping::Behaviour,
    gossip: gossipsub::Behaviour,
}

/// A bare peer: Kademlia with libp2p's own store, which checks nothing, and answers from the test.
pub struct BarePeer {
    pub id: PeerId,
    pub address: String,
    /// Raw streams for the test.
    pub streams: libp2p_stream::Control,
    commands: mpsc::UnboundedSender<Do>,
}

/// Values that a get found.
type Reply = tokio::sync::oneshot::Sender<Vec<Vec<u8>>>;

enum Do {
    Knock(Multiaddr),
    Ask(
        PeerId,
        Request,
        tokio::sync::oneshot::Sender<Option<Response>>,
    ),
    Shout(Vec<u8>, Option<tokio::sync::oneshot::Sender<()>>),
    Hold(Vec<u8>, Vec<u8>),
    Put(Vec<u8>, Vec<u8>, PeerId, tokio::sync::oneshot::Sender<()>),
    Get(Vec<u8>, Reply),
    Dial(PeerId, Multiaddr, tokio::sync::oneshot::Sender<()>),
    Lists(Vec<Multiaddr>),
    Provide(Vec<u8>, tokio::sync::oneshot::Sender<()>),
    Providers(Vec<u8>, tokio::sync::oneshot::Sender<Vec<PeerId>>),
}

/// Returns the answer to a request; `None` for never.
pub type Answers = Arc<dyn Fn(Request) -> Option<Response> + Send + Sync>;

impl BarePeer {
    pub async fn start(answers: Answers) -> Self {
        let key = Keypair::generate_ed25519();
        let id = key.public().to_peer_id();
        let protocol = |kind: &str| {
            StreamProtocol::try_from_owned(format!("/swarmdex/{NETWORK}/{kind}")).unwrap()
        };
        // Tests may need to claim a lot of content.
        let room = MemoryStoreConfig {
            max_provided_keys: usize::MAX,
            ..MemoryStoreConfig::default()
        };
        let store = MemoryStore::with_config(id, room);
        let mut kad = kad::Behaviour::with_config(id, store, kad::Config::new(protocol("kad/3")));
        kad.set_mode(Some(kad::Mode::Server));
        let behaviour = Bare {
            kad,
            identify: identify::Behaviour::new(identify::Config::new(
                "/bare/1".to_owned(),
                key.public(),
            )),
            query: request_response::cbor::Behaviour::new(
                [(protocol("query/3"), request_response::ProtocolSupport::Full)],
                request_response::Config::default(),
            ),
            streams: libp2p_stream::Behaviour::new(),
            ping: ping::Behaviour::default(),
            gossip: gossip(&key),
        };
        let streams = behaviour.streams.new_control();
        let mut swarm = SwarmBuilder::with_existing_identity(key)
            .with_tokio()
            .with_tcp(
                tcp::Config::default(),
                noise::Config::new,
                yamux::Config::default,
            )
            .unwrap()
            .with_behaviour(|_| behaviour)
            .unwrap()
            .with_swarm_config(|config| {
                config.with_idle_connection_timeout(Duration::from_secs(60))
            })
            .build();
        swarm.listen_on(TCP.parse().unwrap()).unwrap();
        let address = loop {
            if let SwarmEvent::NewListenAddr { address, .. } = swarm.select_next_some().await {
                break format!("{address}/p2p/{id}");
            }
        };
        let (commands, mut receiver) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            let mut unanswered = Vec::new();
            let mut puts = HashMap::new();
            let mut asks: HashMap<
                request_response::OutboundRequestId,
                tokio::sync::oneshot::Sender<Option<Response>>,
            > = HashMap::new();
            let mut gets: HashMap<kad::QueryId, (Vec<Vec<u8>>, Reply)> = HashMap::new();
            let mut dials: HashMap<PeerId, tokio::sync::oneshot::Sender<()>> = HashMap::new();
            let mut finds: HashMap<kad::QueryId, (Vec<PeerId>, tokio::sync::oneshot::Sender<_>)> =
                HashMap::new();
            loop {
                tokio::select! {
                    command = receiver.recv() => match command {
                        None => return,
                        // A failed dial shows in what does not follow.
                        Some(Do::Knock(address)) => drop(swarm.dial(address)),
                        Some(Do::Ask(peer, request, reply)) => {
                            asks.insert(swarm.behaviour_mut().query.send_request(&peer, request), reply);
                        }
                        Some(Do::Shout(data, done)) => {
                            let topic = gossipsub::IdentTopic::new(format!("/swarmdex/{NETWORK}/announce/3"));
                            // Without subscribers, the message is lost.
                            let _ = swarm.behaviour_mut().gossip.publish(topic, data);
                            done.map(|done| done.send(()));
                        }
                        Some(Do::Hold(key, value)) => {
                            use kad::store::RecordStore;
                            let record = kad::Record::new(kad::RecordKey::from(key), value);
                            swarm.behaviour_mut().kad.store_mut().put(record).unwrap();
                        }
                        Some(Do::Put(key, value, to, done)) => {
                            let record = kad::Record::new(kad::RecordKey::from(key), value);
                            let id = swarm.behaviour_mut().kad.put_record_to(record, [to].into_iter(), kad::Quorum::One);
                            puts.insert(id, done);
                        }
                        Some(Do::Get(key, done)) => {
                            let id = swarm.behaviour_mut().kad.get_record(kad::RecordKey::from(key));
                            gets.insert(id, (vec![], done));
                        }
                        Some(Do::Dial(peer, address, done)) => {
                            swarm.dial(address).unwrap();
                            dials.insert(peer, done);
                        }
                        Some(Do::Lists(addresses)) => {
                            addresses.into_iter().for_each(|address| swarm.add_external_address(address));
                        }
                        Some(Do::Provide(key, done)) => {
                            let id = swarm.behaviour_mut().kad.start_providing(kad::RecordKey::from(key)).unwrap();
                            puts.insert(id, done);
                        }
                        Some(Do::Providers(key, done)) => {
                            let id = swarm.behaviour_mut().kad.get_providers(kad::RecordKey::from(key));
                            finds.insert(id, (vec![], done));
                        }
                    },
                    event = swarm.select_next_some() => match event {
                        SwarmEvent::Behaviour(BareEvent::Identify(identify::Event::Received { peer_id, info, .. })) => {
                            for address in info.listen_addrs {
                                swarm.behaviour_mut().kad.add_address(&peer_id, address);
                            }
                            dials.remove(&peer_id).map(|done| done.send(()));
                        }
                        SwarmEvent::Behaviour(BareEvent::Query(request_response::Event::Message {
                            message: request_response::Message::Request { request, channel, .. }, ..
                        })) => {
                            match answers(request) {
                                Some(response) => drop(swarm.behaviour_mut().query.send_response(channel, response)),
                                None => unanswered.push(channel),
                            }
                        }
                        SwarmEvent::Behaviour(BareEvent::Query(request_response::Event::Message {
                            message: request_response::Message::Response { request_id, response }, ..
                        })) => drop(asks.remove(&request_id).map(|reply| reply.send(Some(response)))),
                        SwarmEvent::Behaviour(BareEvent::Query(request_response::Event::OutboundFailure {
                            request_id, ..
                        })) => drop(asks.remove(&request_id).map(|reply| reply.send(None))),
                        SwarmEvent::Behaviour(BareEvent::Kad(kad::Event::OutboundQueryProgressed {
                            id, result, step, ..
                        })) => match result {
                            kad::QueryResult::PutRecord(_) | kad::QueryResult::StartProviding(_) => {
                                puts.remove(&id).map(|done: tokio::sync::oneshot::Sender<()>| done.send(()));
                            }
                            kad::QueryResult::GetProviders(result) => {
                                if let Ok(kad::GetProvidersOk::FoundProviders { providers, .. }) = result
                                    && let Some((found, _)) = finds.get_mut(&id)
                                {
                                    found.extend(providers);
                                }
                                if step.last && let Some((found, done)) = finds.remove(&id) {
                                    let _ = done.send(found);
                                }
                            }
                            kad::QueryResult::GetRecord(result) => {
                                if let Ok(kad::GetRecordOk::FoundRecord(found)) = result
                                    && let Some((values, _)) = gets.get_mut(&id)
                                    && found.peer.is_some()
                                {
                                    values.push(found.record.value);
                                }
                                if step.last && let Some((values, done)) = gets.remove(&id) {
                                    let _ = done.send(values);
                                }
                            }
                            _ => {}
                        },
                        _ => {}
                    },
                }
            }
        });
        Self {
            id,
            address,
            streams,
            commands,
        }
    }

    /// Returns the content protocol, for either side.
    pub fn content_protocol() -> StreamProtocol {
        StreamProtocol::try_from_owned(format!("/swarmdex/{NETWORK}/content/3")).unwrap()
    }

    /// Returns the sync protocol, for either side.
    pub fn sync_protocol() -> StreamProtocol {
        StreamProtocol::try_from_owned(format!("/swarmdex/{NETWORK}/sync/3")).unwrap()
    }

    /// Dials an address without waiting.
    pub fn knock(&self, address: &str) {
        self.commands
            .send(Do::Knock(address.parse().unwrap()))
            .ok()
            .unwrap();
    }

    /// Sends a request to a connected peer; returns `None` if there was no answer.
    pub async fn ask(&self, peer: PeerId, request: Request) -> Option<Response> {
        let (reply, receiver) = tokio::sync::oneshot::channel();
        self.commands
            .send(Do::Ask(peer, request, reply))
            .ok()
            .unwrap();
        tokio::time::timeout(PATIENCE, receiver)
            .await
            .unwrap()
            .unwrap_or_default()
    }

    /// Gossips a message on the topic of announcements, as its own.
    pub fn shout(&self, data: &[u8]) {
        self.commands
            .send(Do::Shout(data.to_vec(), None))
            .ok()
            .unwrap();
    }

    /// Gossips a message and returns once it is sent, so that a flood does not block everything
    /// else.
    pub async fn shouted(&self, data: &[u8]) {
        let (done, receiver) = tokio::sync::oneshot::channel();
        self.commands
            .send(Do::Shout(data.to_vec(), Some(done)))
            .ok()
            .unwrap();
        receiver.await.unwrap();
    }

    /// Holds any record in its own store.
    pub fn hold(&self, key: &[u8], value: &[u8]) {
        self.commands
            .send(Do::Hold(key.to_vec(), value.to_vec()))
            .ok()
            .unwrap();
    }

    /// Puts a record to one peer; returns when that has acknowledged or failed.
    pub async fn put_to(&self, peer: PeerId, key: &[u8], value: &[u8]) {
        let (done, receiver) = tokio::sync::oneshot::channel();
        self.commands
            .send(Do::Put(key.to_vec(), value.to_vec(), peer, done))
            .ok()
            .unwrap();
        tokio::time::timeout(PATIENCE, receiver)
            .await
            .unwrap()
            .unwrap();
    }

    /// Connects to a node by its address and id; returns when the node has named its protocols.
    pub async fn dial(&self, node: Multiaddr) {
        let peer = match node.iter().last() {
            Some(libp2p::multiaddr::Protocol::P2p(peer)) => peer,
            other => panic!("{other:?} is no id"),
        };
        let (done, receiver) = tokio::sync::oneshot::channel();
        self.commands.send(Do::Dial(peer, node, done)).ok().unwrap();
        tokio::time::timeout(PATIENCE, receiver)
            .await
            .unwrap()
            .unwrap();
    }

    /// Claims these addresses for itself as well.
    pub fn lists(&self, addresses: Vec<Multiaddr>) {
        self.commands.send(Do::Lists(addresses)).ok().unwrap();
    }

    /// Claims to have the content of a key; returns when the closest peers have been found.
    pub async fn provide(&self, key: &[u8]) {
        let (done, receiver) = tokio::sync::oneshot::channel();
        self.commands
            .send(Do::Provide(key.to_vec(), done))
            .ok()
            .unwrap();
        tokio::time::timeout(PATIENCE, receiver)
            .await
            .unwrap()
            .unwrap();
    }

    /// Returns the providers of a key that others name.
    pub async fn providers(&self, key: &[u8]) -> Vec<PeerId> {
        let (done, receiver) = tokio::sync::oneshot::channel();
        self.commands
            .send(Do::Providers(key.to_vec(), done))
            .ok()
            .unwrap();
        tokio::time::timeout(PATIENCE, receiver)
            .await
            .unwrap()
            .unwrap()
    }

    /// Returns the values that others have for a key.
    pub async fn get(&self, key: &[u8]) -> Vec<Vec<u8>> {
        let (done, receiver) = tokio::sync::oneshot::channel();
        self.commands
            .send(Do::Get(key.to_vec(), done))
            .ok()
            .unwrap();
        tokio::time::timeout(PATIENCE, receiver)
            .await
            .unwrap()
            .unwrap()
    }
}

/// Splits a node's TCP address into its parts.
pub fn tcp_parts(node: &str) -> (Ipv4Addr, u16, PeerId) {
    let address: Multiaddr = node.parse().unwrap();
    let mut parts = address.iter();
    let (Some(Protocol::Ip4(ip)), Some(Protocol::Tcp(port)), Some(Protocol::P2p(peer))) =
        (parts.next(), parts.next(), parts.next())
    else {
        panic!("{node}");
    };
    (ip, port, peer)
}

/// Returns the address of a relay to a node: the node sees connections through it as coming from
/// `source`, which can be any address in 127.0.0.0/8.
pub async fn by_way_of(source: [u8; 4], node: &str) -> String {
    let (ip, port, peer) = tcp_parts(node);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let way = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut near, _)) = listener.accept().await {
            let socket = tokio::net::TcpSocket::new_v4().unwrap();
            socket.bind((source, 0).into()).unwrap();
            tokio::spawn(async move {
                if let Ok(mut far) = socket.connect((ip, port).into()).await {
                    let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
                }
            });
        }
    });
    format!("/ip4/127.0.0.1/tcp/{}/p2p/{peer}", way.port())
}

fn gossip(key: &Keypair) -> gossipsub::Behaviour {
    let config = gossipsub::ConfigBuilder::default()
        .validation_mode(gossipsub::ValidationMode::Strict)
        .max_transmit_size(32 * 1_024)
        .heartbeat_initial_delay(Duration::from_millis(100))
        // It says only what a test makes it say, and relays nothing.
        .heartbeat_interval(Duration::from_secs(3_600))
        .validate_messages()
        .build()
        .unwrap();
    let author = gossipsub::MessageAuthenticity::Signed(key.clone());
    let mut gossip = gossipsub::Behaviour::new(author, config).unwrap();
    gossip
        .subscribe(&gossipsub::IdentTopic::new(format!(
            "/swarmdex/{NETWORK}/announce/3"
        )))
        .unwrap();
    gossip
}

/// Refuses every request.
pub fn silent() -> Answers {
    Arc::new(|_| Some(Response::Refused))
}

pub fn address(text: &str) -> Multiaddr {
    text.parse().unwrap()
}
