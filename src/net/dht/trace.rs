//! Kademlia, wrapped to trace every request that a lookup sends and every answer that it gets.
//!
//! `libp2p-kad` reports a query's results but not its requests. Both pass through this behaviour on
//! their way between Kademlia and its connections. A request to a peer that must be dialled first
//! is the exception: it goes into the new connection unseen, and Kademlia does not say which query
//! it belongs to. [`Traces::dialling`] guesses the query until the answer comes, and a failure is
//! attributed to the queries whose count of failures rose.

use std::{
    collections::BTreeMap,
    io,
    task::{Context, Poll},
    time::Instant,
};

use libp2p::{
    Multiaddr, PeerId,
    core::{Endpoint, transport::PortUse},
    kad::{self, QueryId, QueryInfo},
    swarm::{
        ConnectionDenied, ConnectionHandler, ConnectionId, DialError, DialFailure, FromSwarm,
        NetworkBehaviour, THandler, THandlerInEvent, THandlerOutEvent, ToSwarm,
    },
};

use crate::net::{dht::answer, dht::store::KadStore};
use crate::{
    clock::Clock,
    domain::{
        hash::Hash,
        lookup::{
            Bucket, End, HopAnswer, HopFailure, HopRequest, LookupKind, RoutingTable, Traces,
            distance_bits, position,
        },
        text::{fit, printable},
        time::Timestamp,
    },
};

/// Longest description of a lookup's purpose, in columns.
const MOST_WHAT: usize = 80;

type TracedKademlia = kad::Behaviour<KadStore>;
type Handler = <TracedKademlia as NetworkBehaviour>::ConnectionHandler;
/// The messages between Kademlia and its connections. Their enums are in a private module, so they
/// can only be named this way.
type ToHandler = <Handler as ConnectionHandler>::FromBehaviour;
type FromHandler = <Handler as ConnectionHandler>::ToBehaviour;

pub struct Traced {
    inner: TracedKademlia,
    pub traces: Traces<QueryId>,
    me: Hash,
    id: PeerId,
    /// The time of the last lookup of a key at each distance.
    refreshed: BTreeMap<u16, Timestamp>,
    /// Announcements of contents that still send requests: Kademlia reports success before these
    /// leave.
    telling: Vec<QueryId>,
    /// Peers and addresses that did not fit into answers.
    left_out: u64,
    clock: Clock,
}

impl std::ops::Deref for Traced {
    type Target = TracedKademlia;

    fn deref(&self) -> &TracedKademlia {
        &self.inner
    }
}

impl std::ops::DerefMut for Traced {
    fn deref_mut(&mut self) -> &mut TracedKademlia {
        &mut self.inner
    }
}

fn kind_of(info: &QueryInfo) -> (LookupKind, &[u8]) {
    match info {
        // The peer changes during the query; the first one is this node.
        QueryInfo::Bootstrap { .. } => (LookupKind::Bootstrap, &[]),
        QueryInfo::GetClosestPeers { key, .. } => (LookupKind::Closest, key),
        QueryInfo::GetProviders { key, .. } => (LookupKind::Providers, key.as_ref()),
        QueryInfo::AddProvider { key, .. } => (LookupKind::Provide, key.as_ref()),
        QueryInfo::PutRecord { record, .. } => (LookupKind::Put, record.key.as_ref()),
        QueryInfo::GetRecord { key, .. } => (LookupKind::Get, key.as_ref()),
    }
}

/// Writes a key as a peer id or as hexadecimal digits.
fn written(kind: LookupKind, key: &[u8]) -> String {
    /// No key of this network is longer.
    const MOST: usize = 64;
    let peer = if kind == LookupKind::Closest {
        PeerId::from_bytes(key).ok()
    } else {
        None
    };
    peer.map_or_else(
        || {
            key.iter()
                .take(MOST)
                .map(|byte| format!("{byte:02x}"))
                .collect()
        },
        |peer| peer.to_string(),
    )
}

fn why(error: &(dyn std::error::Error + 'static)) -> HopFailure {
    match error
        .source()
        .and_then(|source| source.downcast_ref::<io::Error>())
        .map(io::Error::kind)
    {
        None | Some(io::ErrorKind::InvalidData) => HopFailure::Nonsense,
        Some(io::ErrorKind::TimedOut) => HopFailure::TimedOut,
        // The handler reports an unsupported protocol this way.
        Some(io::ErrorKind::ConnectionRefused) => HopFailure::Refused,
        Some(_) => HopFailure::Lost,
    }
}

impl Traced {
    pub fn new(inner: TracedKademlia, id: PeerId, clock: Clock) -> Self {
        Self {
            inner,
            traces: Traces::default(),
            me: position(&id),
            id,
            refreshed: BTreeMap::new(),
            telling: Vec::new(),
            left_out: 0,
            clock,
        }
    }

    /// Traces a query from its start; `what` describes its purpose. Returns the number of the
    /// trace.
    pub fn follow(&mut self, id: QueryId, what: Option<String>) -> Option<u64> {
        self.begin(id);
        if let Some(what) = what {
            self.traces.name(&id, fit(&printable(&what), MOST_WHAT));
        }
        self.traces.number(&id)
    }

    /// Tells Kademlia to stop a query whose result nobody waits for any more.
    pub fn stop(&mut self, id: &QueryId, end: End) {
        self.traces.end(id, end, Instant::now());
        if let Some(mut query) = self.inner.query_mut(id) {
            query.finish();
        }
    }

    fn begin(&mut self, id: QueryId) {
        if self.traces.is_running(&id) {
            return;
        }
        // A finished query is no longer there.
        let Some(query) = self.inner.query(&id) else {
            return;
        };
        let (kind, key) = kind_of(query.info());
        let (key, target) = match kind {
            LookupKind::Bootstrap => (self.id.to_string(), self.me),
            kind => (written(kind, key), Hash::of(key)),
        };
        self.traces
            .begin(id, kind, key, target, self.clock.now(), Instant::now());
    }

    /// Shortens an outgoing answer that would be too long for the asking peer to read.
    fn cut(&mut self, event: &mut ToHandler) {
        let mut none = Vec::new();
        let left_out = match event {
            ToHandler::FindNodeRes { closer_peers, .. } => answer::fit(0, &mut none, closer_peers),
            ToHandler::GetProvidersRes {
                closer_peers,
                provider_peers,
                ..
            } => answer::fit(0, provider_peers, closer_peers),
            ToHandler::GetRecordRes {
                record,
                closer_peers,
                ..
            } => answer::fit(
                record.as_ref().map_or(0, |record| record.value.len()),
                &mut none,
                closer_peers,
            ),
            _ => 0,
        };
        self.left_out += left_out as u64;
    }

    /// Returns the number of peers and addresses left out of answers since the last call.
    pub fn take_left_out(&mut self) -> u64 {
        std::mem::take(&mut self.left_out)
    }

    /// Notes a request that leaves for a connection.
    fn leaves(&mut self, peer: PeerId, event: &ToHandler) {
        let (id, ask, key) = match event {
            ToHandler::FindNodeReq { key, query_id } => {
                (query_id, HopRequest::Find, key.as_slice())
            }
            ToHandler::GetRecord { key, query_id } => (query_id, HopRequest::Get, key.as_ref()),
            ToHandler::GetProvidersReq { key, query_id } => {
                (query_id, HopRequest::Providers, key.as_ref())
            }
            ToHandler::PutRecord { record, query_id } => {
                (query_id, HopRequest::Put, record.key.as_ref())
            }
            ToHandler::AddProvider { key, query_id, .. } => {
                (query_id, HopRequest::Provide, key.as_ref())
            }
            _ => return,
        };
        self.begin(*id);
        let target = Hash::of(key);
        self.refreshed
            .insert(distance_bits(&self.me, &target), self.clock.now());
        self.traces.asked(id, peer, ask, &target, Instant::now());
    }

    fn answered(&mut self, peer: PeerId, event: &FromHandler) {
        let at = Instant::now();
        match event {
            FromHandler::FindNodeRes {
                closer_peers,
                query_id,
            } => {
                let closer = closer_peers.iter().map(|peer| &peer.node_id);
                self.traces
                    .answered(query_id, peer, HopAnswer::Closer, closer, at);
            }
            FromHandler::GetRecordRes {
                record,
                closer_peers,
                query_id,
            } => {
                let answer = if record.is_some() {
                    HopAnswer::Record
                } else {
                    HopAnswer::Closer
                };
                let closer = closer_peers.iter().map(|peer| &peer.node_id);
                self.traces.answered(query_id, peer, answer, closer, at);
            }
            FromHandler::GetProvidersRes {
                closer_peers,
                provider_peers,
                query_id,
            } => {
                let answer = match u16::try_from(provider_peers.len()).unwrap_or(u16::MAX) {
                    0 => HopAnswer::Closer,
                    count => HopAnswer::Providers(count),
                };
                let closer = closer_peers.iter().map(|peer| &peer.node_id);
                self.traces.answered(query_id, peer, answer, closer, at);
                self.traces
                    .provided(query_id, provider_peers.iter().map(|peer| &peer.node_id));
            }
            FromHandler::PutRecordRes { query_id, .. } => {
                self.traces
                    .answered(query_id, peer, HopAnswer::Stored, std::iter::empty(), at);
            }
            FromHandler::QueryError { error, query_id } => {
                self.traces.failed(query_id, peer, why(error), at)
            }
            _ => {}
        }
    }

    fn progressed(&mut self, event: &kad::Event) {
        let kad::Event::OutboundQueryProgressed {
            id, result, step, ..
        } = event
        else {
            return;
        };
        match result {
            kad::QueryResult::GetRecord(Ok(kad::GetRecordOk::FoundRecord(found)))
                if found.peer.is_none() =>
            {
                self.traces.has_own(id);
            }
            // Only those that this node knew itself; the others were reported with their answers.
            kad::QueryResult::GetProviders(Ok(kad::GetProvidersOk::FoundProviders {
                providers,
                ..
            })) => {
                self.traces.provided(id, providers.iter());
            }
            _ => {}
        }
        if step.last && matches!(result, kad::QueryResult::StartProviding(Ok(_))) {
            self.telling.push(*id);
        } else if step.last {
            let late = matches!(
                result,
                kad::QueryResult::GetRecord(Err(kad::GetRecordError::Timeout { .. }))
                    | kad::QueryResult::PutRecord(Err(kad::PutRecordError::Timeout { .. }))
                    | kad::QueryResult::GetProviders(Err(_))
                    | kad::QueryResult::StartProviding(Err(_))
                    | kad::QueryResult::GetClosestPeers(Err(_))
                    | kad::QueryResult::Bootstrap(Err(_))
            );
            self.traces.end(
                id,
                if late { End::Deadline } else { End::Exhausted },
                Instant::now(),
            );
        }
    }

    /// Returns the number of failures so far of each running query.
    fn failures(&self) -> Vec<(QueryId, u32)> {
        self.inner
            .iter_queries()
            .map(|query| (query.id(), query.stats().num_failures()))
            .collect()
    }

    /// Tells Kademlia that a peer is gone, and traces the requests that fail with it.
    fn gone(&mut self, peer: PeerId, why: HopFailure, event: FromSwarm<'_>) {
        let before = self.failures();
        self.inner.on_swarm_event(event);
        let at = Instant::now();
        for (id, failures) in before {
            // If the query is no longer there, this failure finished it.
            let after = self
                .inner
                .query(&id)
                .map(|query| query.stats().num_failures());
            if after.is_none_or(|after| after > failures) {
                self.traces.failed(&id, peer, why, at);
            }
        }
        if why == HopFailure::Unreachable {
            self.traces.not_dialled(&peer);
        }
    }

    /// Returns the buckets that have a peer, the farthest first. `seen` returns the time at which a
    /// peer was last connected.
    pub fn routing(&mut self, seen: impl Fn(&PeerId) -> Option<Timestamp>) -> RoutingTable {
        let mut buckets: Vec<Bucket> = self
            .inner
            .kbuckets()
            .map(|bucket| {
                let bits = bucket.range().1.ilog2().map_or(0, |log| log + 1);
                let contacts = bucket.iter().map(|entry| seen(entry.node.key.preimage()));
                let connected = bucket
                    .iter()
                    .filter(|entry| entry.status == kad::NodeStatus::Connected)
                    .count();
                Bucket {
                    bits: u16::try_from(bits).unwrap_or(256),
                    peers: u16::try_from(bucket.num_entries()).unwrap_or(u16::MAX),
                    connected: u16::try_from(connected).unwrap_or(u16::MAX),
                    pending: bucket.has_pending(),
                    oldest_contact: contacts.flatten().min(),
                    refreshed: None,
                }
            })
            .collect();
        buckets.sort_unstable_by_key(|bucket| std::cmp::Reverse(bucket.bits));
        let nearest = buckets.last().map_or(0, |bucket| bucket.bits);
        for bucket in &mut buckets {
            // A lookup of this node's own id refreshes the nearest bucket and all empty ones below
            // it.
            let from = if bucket.bits == nearest {
                0
            } else {
                bucket.bits
            };
            bucket.refreshed = self
                .refreshed
                .range(from..=bucket.bits)
                .map(|(_, at)| *at)
                .max();
        }
        RoutingTable {
            me: self.id,
            room: u16::try_from(kad::K_VALUE.get()).unwrap_or(u16::MAX),
            buckets,
        }
    }
}

impl NetworkBehaviour for Traced {
    type ConnectionHandler = Handler;
    type ToSwarm = kad::Event;

    fn handle_pending_inbound_connection(
        &mut self,
        id: ConnectionId,
        local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<(), ConnectionDenied> {
        self.inner
            .handle_pending_inbound_connection(id, local, remote)
    }

    fn handle_established_inbound_connection(
        &mut self,
        id: ConnectionId,
        peer: PeerId,
        local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.inner
            .handle_established_inbound_connection(id, peer, local, remote)
    }

    fn handle_pending_outbound_connection(
        &mut self,
        id: ConnectionId,
        peer: Option<PeerId>,
        addresses: &[Multiaddr],
        role: Endpoint,
    ) -> Result<Vec<Multiaddr>, ConnectionDenied> {
        self.inner
            .handle_pending_outbound_connection(id, peer, addresses, role)
    }

    fn handle_established_outbound_connection(
        &mut self,
        id: ConnectionId,
        peer: PeerId,
        address: &Multiaddr,
        role: Endpoint,
        port: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.inner
            .handle_established_outbound_connection(id, peer, address, role, port)
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        match event {
            // Another behaviour is dialling the peer already; Kademlia waits for that dial.
            FromSwarm::DialFailure(DialFailure {
                error: DialError::DialPeerConditionFalse(_),
                ..
            }) => {
                self.inner.on_swarm_event(event);
            }
            FromSwarm::DialFailure(DialFailure {
                peer_id: Some(peer),
                ..
            }) => {
                self.gone(peer, HopFailure::Unreachable, event);
            }
            FromSwarm::ConnectionClosed(closed) if closed.remaining_established == 0 => {
                self.gone(closed.peer_id, HopFailure::Lost, event);
            }
            event => self.inner.on_swarm_event(event),
        }
    }

    fn on_connection_handler_event(
        &mut self,
        peer: PeerId,
        id: ConnectionId,
        event: THandlerOutEvent<Self>,
    ) {
        self.answered(peer, &event);
        self.inner.on_connection_handler_event(peer, id, event);
    }

    fn poll(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        let mut polled = self.inner.poll(cx);
        if let Poll::Ready(ToSwarm::NotifyHandler { event, .. }) = &mut polled {
            self.cut(event);
        }
        match &polled {
            Poll::Ready(ToSwarm::NotifyHandler { peer_id, event, .. }) => {
                self.leaves(*peer_id, event)
            }
            Poll::Ready(ToSwarm::Dial { opts }) => {
                if let Some(peer) = opts.get_peer_id() {
                    self.traces.dialling(peer, Instant::now());
                }
            }
            Poll::Ready(ToSwarm::GenerateEvent(event)) => self.progressed(event),
            Poll::Pending => {
                for id in std::mem::take(&mut self.telling) {
                    self.traces.end(&id, End::Exhausted, Instant::now());
                }
            }
            _ => {}
        }
        polled
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_is_the_logarithm_that_kademlia_buckets_by(a: [u8; 32], b: [u8; 32]) {
            let key = |bytes: [u8; 32]| kad::KBucketKey::new(bytes.to_vec());
            let bits = distance_bits(&Hash::of(&a), &Hash::of(&b));
            let log = key(a).distance(&key(b)).ilog2();
            prop_assert_eq!(log.map_or(0, |log| log + 1), u32::from(bits));
            prop_assert_eq!(bits, distance_bits(&Hash::of(&b), &Hash::of(&a)));
        }
    }

    #[test]
    fn a_peer_is_where_kademlia_says() {
        let peer = PeerId::random();
        let key = kad::KBucketKey::from(peer);
        assert_eq!(position(&peer).0, key.hashed_bytes());
    }
}
