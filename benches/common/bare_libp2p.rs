//! The baseline: libp2p's own protocols with nothing of ours on top.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::{collections::HashMap, time::Duration};

use futures::StreamExt;
use libp2p::{
    Multiaddr, PeerId, SwarmBuilder, gossipsub, identify,
    identity::Keypair,
    kad::{self, store::MemoryStore},
    noise, ping,
    swarm::{NetworkBehaviour, SwarmEvent},
    tcp, yamux,
};
use tokio::{
    sync::{mpsc, oneshot},
    time::Instant,
};

#[derive(NetworkBehaviour)]
struct Bare {
    kad: kad::Behaviour<MemoryStore>,
    gossip: gossipsub::Behaviour,
    identify: identify::Behaviour,
    ping: ping::Behaviour,
}

enum Do {
    Connected(oneshot::Sender<usize>),
    Publish(Vec<u8>),
    Put(Vec<u8>, Vec<u8>, oneshot::Sender<()>),
    Get(Vec<u8>, oneshot::Sender<bool>),
}

/// A bare node, which ends when it is dropped.
pub struct Floor {
    pub address: Multiaddr,
    commands: mpsc::UnboundedSender<Do>,
}

impl Floor {
    /// Starts a node. Messages that it receives go to `heard`, each with its time of arrival.
    pub async fn start(
        door: Option<Multiaddr>,
        heard: mpsc::UnboundedSender<(Vec<u8>, Instant)>,
    ) -> Self {
        let key = Keypair::generate_ed25519();
        let id = key.public().to_peer_id();
        let topic = gossipsub::IdentTopic::new("floor");
        let config = gossipsub::ConfigBuilder::default()
            .heartbeat_initial_delay(Duration::from_millis(200))
            .build()
            .unwrap();
        let mut gossip =
            gossipsub::Behaviour::new(gossipsub::MessageAuthenticity::Signed(key.clone()), config)
                .unwrap();
        gossip.subscribe(&topic).unwrap();
        let mut kad = kad::Behaviour::new(id, MemoryStore::new(id));
        kad.set_mode(Some(kad::Mode::Server));
        let behaviour = Bare {
            kad,
            gossip,
            identify: identify::Behaviour::new(identify::Config::new(
                "/floor/1".to_owned(),
                key.public(),
            )),
            ping: ping::Behaviour::new(ping::Config::new().with_interval(Duration::from_secs(15))),
        };
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
            .build();
        swarm
            .listen_on("/ip4/127.0.0.1/tcp/0".parse().unwrap())
            .unwrap();
        let address = loop {
            if let SwarmEvent::NewListenAddr { address, .. } = swarm.select_next_some().await {
                break address.with_p2p(id).unwrap();
            }
        };
        if let Some(door) = door {
            swarm.dial(door).unwrap();
        }
        let (commands, mut receiver) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            let mut puts: HashMap<kad::QueryId, oneshot::Sender<()>> = HashMap::new();
            let mut gets: HashMap<kad::QueryId, oneshot::Sender<bool>> = HashMap::new();
            loop {
                tokio::select! {
                    command = receiver.recv() => match command {
                        None => return,
                        Some(Do::Connected(reply)) => drop(reply.send(swarm.connected_peers().count())),
                        Some(Do::Publish(data)) => drop(swarm.behaviour_mut().gossip.publish(topic.clone(), data)),
                        Some(Do::Put(key, value, done)) => {
                            let record = kad::Record::new(kad::RecordKey::from(key), value);
                            let quorum = kad::Quorum::N(3.try_into().unwrap());
                            puts.insert(swarm.behaviour_mut().kad.put_record(record, quorum).unwrap(), done);
                        }
                        Some(Do::Get(key, done)) => {
                            gets.insert(swarm.behaviour_mut().kad.get_record(kad::RecordKey::from(key)), done);
                        }
                    },
                    event = swarm.select_next_some() => match event {
                        SwarmEvent::Behaviour(BareEvent::Identify(identify::Event::Received { peer_id, info, .. })) => {
                            for address in info.listen_addrs {
                                swarm.behaviour_mut().kad.add_address(&peer_id, address);
                            }
                        }
                        SwarmEvent::Behaviour(BareEvent::Gossip(gossipsub::Event::Message { message, .. })) => {
                            let _ = heard.send((message.data, Instant::now()));
                        }
                        SwarmEvent::Behaviour(BareEvent::Kad(kad::Event::OutboundQueryProgressed {
                            id, result, step, ..
                        })) => match result {
                            kad::QueryResult::PutRecord(_) => {
                                puts.remove(&id).map(|done| done.send(()));
                            }
                            kad::QueryResult::GetRecord(result) => {
                                if let Ok(kad::GetRecordOk::FoundRecord(_)) = result {
                                    gets.remove(&id).map(|done| done.send(true));
                                    if let Some(mut query) = swarm.behaviour_mut().kad.query_mut(&id) {
                                        query.finish();
                                    }
                                } else if step.last {
                                    gets.remove(&id).map(|done| done.send(false));
                                }
                            }
                            _ => {}
                        },
                        _ => {}
                    },
                }
            }
        });
        Self { address, commands }
    }

    pub async fn connected(&self) -> usize {
        let (reply, receiver) = oneshot::channel();
        self.commands.send(Do::Connected(reply)).ok().unwrap();
        receiver.await.unwrap()
    }

    pub fn publish(&self, data: Vec<u8>) {
        self.commands.send(Do::Publish(data)).ok().unwrap();
    }

    pub async fn put(&self, key: Vec<u8>, value: Vec<u8>) {
        let (done, receiver) = oneshot::channel();
        self.commands.send(Do::Put(key, value, done)).ok().unwrap();
        receiver.await.unwrap();
    }

    pub async fn get(&self, key: Vec<u8>) -> bool {
        let (done, receiver) = oneshot::channel();
        self.commands.send(Do::Get(key, done)).ok().unwrap();
        receiver.await.unwrap()
    }
}

/// Returns a random key, for unique message contents.
pub fn random_key() -> Vec<u8> {
    PeerId::random().to_bytes()
}
