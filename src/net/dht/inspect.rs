//! Lookups that a person asks for, to see what comes of them and how.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use libp2p::{
    PeerId,
    kad::{self, QueryId, RecordKey},
};
use tokio::sync::oneshot;

use crate::net::{
    Net,
    dht::lookups::{Answer, Want},
    swarm::command::Command,
    swarm::task::Task,
};
use crate::{
    Result, clock,
    domain::{
        lookup::{Copy, End, Looked, RoutingTable, Sought, Trace},
        record::{DhtKey, Record},
    },
};

/// Copies of a record that are looked for.
const COPIES: usize = 3;
/// Peers that are told of.
const MOST: usize = 20;

/// One that runs, of providers or of the closest peers.
pub struct Look {
    pub deadline: Instant,
    number: u64,
    peers: Vec<PeerId>,
    reply: oneshot::Sender<(u64, Vec<PeerId>)>,
}

pub type Looks = HashMap<QueryId, Look>;

impl Task {
    pub fn look(
        &mut self,
        sought: Sought,
        what: Option<String>,
        deadline: Instant,
        reply: oneshot::Sender<(u64, Vec<PeerId>)>,
    ) {
        let kad = &mut self.swarm.behaviour_mut().kad;
        let id = match sought {
            Sought::Record(key) => kad.get_record(RecordKey::new(&key.0)),
            Sought::Providers(key) => kad.get_providers(RecordKey::new(&key.0)),
            Sought::Closest(peer) => kad.get_closest_peers(peer),
        };
        if let Some(number) = kad.follow(id, what) {
            self.looks.insert(
                id,
                Look {
                    deadline,
                    number,
                    peers: Vec::new(),
                    reply,
                },
            );
        }
    }

    /// What Kademlia found for one of them.
    pub fn on_looked(&mut self, id: QueryId, result: &kad::QueryResult, last: bool) {
        let Some(look) = self.looks.get_mut(&id) else {
            return;
        };
        match result {
            kad::QueryResult::GetProviders(Ok(kad::GetProvidersOk::FoundProviders {
                providers,
                ..
            })) => {
                for peer in providers {
                    if look.peers.len() < MOST && !look.peers.contains(peer) {
                        look.peers.push(*peer);
                    }
                }
            }
            kad::QueryResult::GetClosestPeers(
                Ok(kad::GetClosestPeersOk { peers, .. })
                | Err(kad::GetClosestPeersError::Timeout { peers, .. }),
            ) => look.peers = peers.iter().take(MOST).map(|peer| peer.peer_id).collect(),
            _ => {}
        }
        if last && let Some(look) = self.looks.remove(&id) {
            // Whoever asked may have gone.
            let _ = look.reply.send((look.number, look.peers));
        }
    }

    /// Stops what is past its deadline, or nobody waits for; what it found by then comes at once.
    pub fn expire_looks(&mut self, now: Instant) {
        let over = |look: &Look| look.deadline <= now || look.reply.is_closed();
        let late: Vec<QueryId> = self
            .looks
            .iter()
            .filter(|(_, look)| over(look))
            .map(|(id, _)| *id)
            .collect();
        for id in late {
            if let Some(look) = self.looks.get_mut(&id) {
                look.deadline = now + Duration::from_secs(60);
            }
            self.stop(&id, End::Deadline);
        }
    }

    pub fn routing(&mut self) -> RoutingTable {
        let (peers, now) = (&self.peers, clock::now());
        self.swarm
            .behaviour_mut()
            .kad
            .routing(|peer| peers.last_seen(peer, now))
    }
}

impl Net {
    /// Every lookup that runs, and the last that ended, the newest first.
    pub async fn lookups(&self) -> Result<Vec<Trace>> {
        self.send(|reply| Command::Lookups { reply }).await
    }

    /// The routing table as it is now.
    pub async fn routing(&self) -> Result<RoutingTable> {
        self.send(|reply| Command::Routing { reply }).await
    }

    /// Looks something up and tells what came of it, hop by hop. `what` is what it is for, where
    /// that is known.
    ///
    /// # Errors
    /// As for [`find`](Net::find).
    pub async fn look(
        &self,
        sought: Sought,
        what: Option<String>,
        timeout: Duration,
    ) -> Result<Looked> {
        let (number, copies, peers) = match sought {
            Sought::Record(key) => {
                let lookup = self
                    .find(DhtKey(key.0), Want::Quorum(COPIES), what, timeout)
                    .await?;
                let copy = |answer: Answer| Copy {
                    peer: answer.peer,
                    says: says(&answer.record),
                    bytes: answer.record.envelope().len() as u64,
                };
                (
                    lookup.trace,
                    lookup.answers.into_iter().take(MOST).map(copy).collect(),
                    Vec::new(),
                )
            }
            Sought::Providers(_) | Sought::Closest(_) => {
                let deadline = clock::deadline(Instant::now(), timeout);
                let (number, peers) = self
                    .send(|reply| Command::Look {
                        sought,
                        what,
                        deadline,
                        reply,
                    })
                    .await?;
                (number, Vec::new(), peers)
            }
        };
        let trace = self.send(|reply| Command::Trace { number, reply }).await?;
        let gone = || crate::RegistryError::Busy {
            what: "the list of lookups",
            limit: crate::domain::lookup::MAX_PAST,
        };
        Ok(Looked {
            trace: trace.ok_or_else(gone)?,
            copies,
            peers,
        })
    }
}

/// A record in a line.
fn says(record: &Record) -> String {
    match record {
        Record::Head(head) => {
            let latest = head.latest();
            let latest = latest
                .map(|entry| format!(", latest {}", entry.version))
                .unwrap_or_default();
            format!(
                "{}, seq {}, {} releases{latest}",
                what_of(record),
                head.seq,
                head.releases.len()
            )
        }
        Record::Manifest(_) | Record::Page(_) => what_of(record),
    }
}

/// What a record is, for a person.
pub(crate) fn what_of(record: &Record) -> String {
    // The network does not know what a handle means here, so the fingerprint is always shown.
    let package = |publisher: crate::domain::name::PublisherId,
                   handle: Option<String>,
                   name: &str| match handle {
        Some(handle) => format!("{handle}/{name} ({})", publisher.fingerprint()),
        None => format!("{}/{name}", publisher.fingerprint()),
    };
    match record {
        Record::Head(head) => {
            let handle = head.handle.as_ref().map(ToString::to_string);
            format!(
                "head of {}",
                package(head.owner(), handle, head.package().name.as_str())
            )
        }
        Record::Manifest(manifest) => {
            format!(
                "manifest of {} {}",
                package(manifest.owner(), None, manifest.package().name.as_str()),
                manifest.version
            )
        }
        Record::Page(page) => {
            format!(
                "older releases of {}",
                package(page.owner(), None, page.package().name.as_str())
            )
        }
    }
}
