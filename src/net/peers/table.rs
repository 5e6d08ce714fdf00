//! The peer table: an entry for each known peer, and the snapshots that readers get.

use std::{
    collections::{HashMap, HashSet},
    time::{Duration, Instant},
};

use libp2p::{Multiaddr, PeerId, swarm::ConnectionId};

use crate::net::{
    peers::discovery::bare,
    peers::identity::Start,
    peers::peer::{LastHello, OpenConnection, Peer, count_uptime},
    peers::place::PlacingContext,
    query::protocol::Hello,
};
use crate::{
    bus::{Direction, PeerTraffic, RTT_HISTORY},
    domain::{
        announced::NodeOwner,
        faults::PenaltyRecord,
        prefix::{Classes, Prefix},
        record::{NodeClaim, Presence, Signed},
        reputation::{Choices, Outcome, Population, Weights},
        text::{fit, printable},
        time::Timestamp,
    },
    metrics::Metrics,
    store::StoredPeer,
};

/// Most peers kept. The disconnected peer unseen for longest is evicted.
pub const MAX_PEERS: usize = 2_000;
/// Most of these that are known from a presence message only. Fake identities that sign one cost
/// nothing, so such peers displace only each other and no peer that was ever connected.
const MAX_HEARD: usize = 500;
const MAX_ADDRESSES: usize = 16;
const MAX_PROTOCOLS: usize = 32;
/// Longest agent version shown of a peer, in columns.
const MAX_AGENT: usize = 40;

pub struct PeerTable {
    pub(super) peers: HashMap<PeerId, Peer>,
    pub(super) weights: Weights,
    pub(super) metrics: Metrics,
    pub bearings: PlacingContext,
    /// True if locations could be looked up when the peers were settled last.
    pub(super) placed: bool,
    pub(super) population: Population,
    pub(super) choices: Choices,
    pub(super) dirty: HashSet<PeerId>,
    pub(super) gone: Vec<PeerId>,
    /// The rule by which addresses are public.
    pub(super) classes: Classes,
    /// The peers that were never connected.
    pub(super) heard: HashSet<PeerId>,
}

impl PeerTable {
    pub fn new(
        known: Vec<StoredPeer>,
        weights: Weights,
        metrics: Metrics,
        bearings: PlacingContext,
        classes: Classes,
        now: Timestamp,
    ) -> Self {
        let peers = known
            .into_iter()
            .map(|known| {
                let mut peer = Peer {
                    standing: known.standing,
                    addresses: known.addresses,
                    ..Peer::new(now)
                };
                peer.place.lists(&peer.addresses);
                (known.id, peer)
            })
            .collect();
        Self {
            peers,
            weights,
            metrics,
            bearings,
            placed: false,
            population: Population::default(),
            choices: Choices::default(),
            dirty: HashSet::new(),
            gone: Vec::new(),
            classes,
            heard: HashSet::new(),
        }
    }

    fn entry(&mut self, id: PeerId, now: Timestamp) -> &mut Peer {
        if self.peers.len() >= MAX_PEERS && !self.peers.contains_key(&id) {
            self.forget_one(|_| true);
        }
        self.dirty.insert(id);
        let peer = self.peers.entry(id).or_insert_with(|| Peer::new(now));
        if !std::mem::replace(&mut peer.met, true) {
            self.heard.remove(&id);
        }
        peer
    }

    /// As [`Self::entry`], for a peer that is only known by a message of its.
    fn heard(&mut self, id: PeerId, now: Timestamp) -> Option<&mut Peer> {
        if !self.peers.contains_key(&id) {
            if self.heard.len() >= MAX_HEARD {
                self.forget_one(|peer| !peer.met);
            } else if self.peers.len() >= MAX_PEERS {
                // Peers that were connected keep their places.
                return None;
            }
            self.peers.insert(
                id,
                Peer {
                    met: false,
                    ..Peer::new(now)
                },
            );
            self.heard.insert(id);
        }
        self.dirty.insert(id);
        self.peers.get_mut(&id)
    }

    /// Evicts the peer unseen for longest, but one that was never connected before all others.
    fn forget_one(&mut self, may: impl Fn(&Peer) -> bool) {
        let oldest = self
            .peers
            .iter()
            .filter(|(_, peer)| peer.open.is_empty() && may(peer))
            .min_by_key(|(_, peer)| (peer.met, peer.sheet.is_some(), peer.standing.last_seen))
            .map(|(id, _)| *id);
        if let Some(oldest) = oldest {
            self.forget(&oldest);
        }
    }

    pub fn forget(&mut self, id: &PeerId) {
        if self.peers.remove(id).is_some() {
            self.heard.remove(id);
            self.dirty.remove(id);
            self.gone.push(*id);
        }
    }

    pub fn len(&self) -> usize {
        self.peers.len()
    }

    pub fn connected(
        &mut self,
        id: PeerId,
        conn: ConnectionId,
        address: &Multiaddr,
        outbound: bool,
        (now, at): (Timestamp, Instant),
    ) {
        let peer = self.entry(id, now);
        if peer.open.is_empty() {
            peer.counted_until = now;
        }
        peer.place.connected(address, peer.open.is_empty());
        let direction = if outbound {
            Direction::Outbound
        } else {
            Direction::Inbound
        };
        peer.open.push(OpenConnection {
            id: conn,
            address: address.to_string(),
            direction,
            since: now,
        });
        peer.standing.last_seen = now;
        peer.alive = Some(at);
        if outbound && !peer.addresses.contains(address) && peer.addresses.len() < MAX_ADDRESSES {
            peer.addresses.insert(0, address.clone());
        }
    }

    /// Notes a closed connection. Returns true if it was the peer's last one.
    pub fn disconnected(&mut self, id: &PeerId, conn: ConnectionId, now: Timestamp) -> bool {
        let Some(peer) = self.peers.get_mut(id) else {
            return true;
        };
        peer.open.retain(|open| open.id != conn);
        let last = peer.open.is_empty();
        if last {
            count_uptime(peer, now);
            if peer.ours {
                peer.standing.observe(Outcome::ConnectionLost, now);
            }
            (peer.in_mesh, peer.silent, peer.gossip_score) = (false, false, None);
            // Its hello and round trips belong to the connection.
            (peer.said, peer.alive, peer.measured) = (None, None, None);
            peer.rtts_ms.clear();
        }
        self.dirty.insert(*id);
        last
    }

    pub fn identified(
        &mut self,
        id: PeerId,
        agent: &str,
        addresses: Vec<Multiaddr>,
        protocols: Vec<String>,
        now: Timestamp,
    ) {
        let peer = self.entry(id, now);
        peer.agent = Some(fit(&printable(agent), MAX_AGENT));
        peer.addresses = addresses.into_iter().take(MAX_ADDRESSES).collect();
        peer.place.lists(&peer.addresses);
        peer.protocols = protocols
            .iter()
            .take(MAX_PROTOCOLS)
            .map(|name| fit(&printable(name), 80))
            .collect();
        peer.ours = true;
    }

    pub fn is_ours(&self, id: &PeerId) -> bool {
        self.peers
            .get(id)
            .is_some_and(|peer| peer.ours && !peer.open.is_empty())
    }

    pub fn is_connected(&self, id: &PeerId) -> bool {
        self.peers.get(id).is_some_and(|peer| !peer.open.is_empty())
    }

    /// Returns true if this side opened the oldest connection: that side says hello.
    pub fn is_outbound(&self, id: &PeerId) -> bool {
        let oldest = self.peers.get(id).and_then(|peer| peer.open.first());
        oldest.is_some_and(|open| open.direction == Direction::Outbound)
    }

    /// Returns the time a peer was last connected, which is `now` if it still is.
    pub fn last_seen(&self, id: &PeerId, now: Timestamp) -> Option<Timestamp> {
        self.peers.get(id).map(|peer| {
            if peer.open.is_empty() {
                peer.standing.last_seen
            } else {
                now
            }
        })
    }

    /// Returns the connected peers of this network.
    pub fn ours(&self) -> impl Iterator<Item = PeerId> {
        self.peers
            .iter()
            .filter(|(_, peer)| peer.ours && !peer.open.is_empty())
            .map(|(id, _)| *id)
    }

    /// Returns true if it has answered a hello.
    pub fn has_answered(&self, id: &PeerId) -> bool {
        self.peers.get(id).is_some_and(|peer| peer.said.is_some())
    }

    pub fn observe(&mut self, id: PeerId, outcome: Outcome, now: Timestamp) {
        self.metrics.observed(outcome);
        self.entry(id, now).standing.observe(outcome, now);
    }

    /// Records the verified bytes of content that it supplied, and the time it took.
    pub fn gave(&mut self, id: PeerId, bytes: u64, took: Duration, now: Timestamp) {
        let peer = self.entry(id, now);
        peer.traffic.content_in = peer.traffic.content_in.saturating_add(bytes);
        peer.standing.observe_content(bytes, took, now);
    }

    /// Counts bytes exchanged with a peer.
    pub fn traffic(&mut self, id: &PeerId, count: impl FnOnce(&mut PeerTraffic)) {
        if let Some(peer) = self.peers.get_mut(id) {
            count(&mut peer.traffic);
        }
    }

    /// Records the time that it took to answer. Returns true if that is slow compared with the
    /// others.
    pub fn answered(&mut self, id: &PeerId, took: Duration) -> bool {
        if let Some(peer) = self.peers.get_mut(id) {
            peer.standing.observe_answer(took);
        }
        self.population.is_slow(took)
    }

    /// Notes that it did not answer a request.
    pub fn silent(&mut self, id: &PeerId) {
        if let Some(peer) = self.peers.get_mut(id) {
            peer.silent = true;
        }
    }

    /// Notes that something arrived from it.
    pub fn is_there(&mut self, id: &PeerId, now: Timestamp, at: Instant) {
        if let Some(peer) = self.peers.get_mut(id).filter(|peer| !peer.open.is_empty()) {
            (peer.alive, peer.standing.last_seen) = (Some(at), now);
        }
    }

    /// Returns true if it is connected and something has arrived from it since `since`.
    pub fn is_alive_since(&self, id: &PeerId, since: Instant) -> bool {
        self.peers
            .get(id)
            .and_then(|peer| peer.alive)
            .is_some_and(|at| at >= since)
    }

    /// Notes that it answered a request.
    pub fn spoke(&mut self, id: &PeerId) {
        if let Some(peer) = self.peers.get_mut(id) {
            peer.silent = false;
        }
    }

    /// Sets a peer's entry in the penalty ledger, for display.
    pub fn set_sheet(&mut self, id: PeerId, sheet: Option<PenaltyRecord>, now: Timestamp) {
        // An empty entry is no reason to add a peer to the table.
        if sheet.is_some() || self.peers.contains_key(&id) {
            self.entry(id, now).sheet = sheet;
        }
    }

    /// Returns the public prefix that it connects from.
    pub fn group(&self, id: &PeerId) -> Option<Prefix> {
        self.peers.get(id)?.group(self.classes)
    }

    /// Records a peer's answer to a ping. Returns true if it left requests unanswered since the
    /// ping before and answered none. They count once however many they are, because one
    /// interruption may explain all.
    pub fn round_trip(
        &mut self,
        id: PeerId,
        rtt: Duration,
        (now, at): (Timestamp, Instant),
    ) -> bool {
        let peer = self.entry(id, now);
        peer.standing.observe_rtt(rtt, now);
        peer.place.round_trip(rtt);
        if peer.rtts_ms.len() >= RTT_HISTORY {
            peer.rtts_ms.pop_front();
        }
        peer.rtts_ms.push_back(rtt.as_secs_f32() * 1_000.0);
        peer.measured = Some(at);
        std::mem::take(&mut peer.silent)
    }

    /// Records the contents of a peer's hello.
    pub fn hello(&mut self, id: PeerId, hello: &Hello, (now, at): (Timestamp, Instant)) -> Start {
        let owner = hello
            .claim
            .as_ref()
            .and_then(|claim| Signed::<NodeClaim>::verify(claim).ok());
        let owner = owner.filter(|claim| claim.node == id && claim.expires > now);
        let peer = self.entry(id, now);
        if !peer.open.is_empty() {
            let clock_offset_ms = now.offset_ms(hello.at);
            peer.said = Some(LastHello {
                at,
                packages: hello.packages,
                room: hello.room,
                clock_offset_ms,
            });
        }
        peer.owner = owner.map(|claim| NodeOwner {
            publisher: claim.signer(),
            handle: claim.handle.clone(),
        });
        peer.standing.last_seen = now;
        peer.place.hello(hello.location.clone(), hello.at, now);
        let start = peer.starts.said(hello.start);
        if start == Start::Twins {
            peer.twins = Some(at);
        }
        start
    }

    /// Returns its connections except one.
    pub fn other_connections(&self, id: &PeerId, but: ConnectionId) -> Vec<ConnectionId> {
        let open = self
            .peers
            .get(id)
            .map(|peer| peer.open.as_slice())
            .unwrap_or_default();
        open.iter()
            .map(|open| open.id)
            .filter(|open| *open != but)
            .collect()
    }

    /// Returns true if two nodes share its key.
    pub fn are_two(&self, id: &PeerId, at: Instant) -> bool {
        self.peers.get(id).is_some_and(|peer| peer.are_two(at))
    }

    /// Records a presence message that `id` has signed.
    pub fn presence(&mut self, id: PeerId, presence: Presence, now: Timestamp) {
        // A withdrawal is no reason to add a peer to the table.
        if (presence.location.is_some() || self.peers.contains_key(&id))
            && let Some(peer) = self.heard(id, now)
        {
            peer.place.presence(presence);
        }
    }

    /// Returns true if the peer lists the address itself.
    pub fn lists(&self, id: &PeerId, address: &Multiaddr) -> bool {
        let sought = bare(address);
        self.peers
            .get(id)
            .is_some_and(|peer| peer.addresses.iter().any(|one| bare(one) == sought))
    }

    pub fn set_mesh(&mut self, mesh: &HashSet<PeerId>) {
        for (id, peer) in &mut self.peers {
            let in_mesh = mesh.contains(id);
            if peer.in_mesh != in_mesh {
                peer.in_mesh = in_mesh;
                self.dirty.insert(*id);
            }
        }
    }

    /// Updates the gossip scores of the connected peers.
    pub fn set_gossip_scores(&mut self, score: impl Fn(&PeerId) -> Option<f64>) {
        for (id, peer) in self
            .peers
            .iter_mut()
            .filter(|(_, peer)| !peer.open.is_empty())
        {
            // Rounded to a tenth, because time in the mesh changes it slightly each second.
            peer.gossip_score = score(id).map(|score| (score * 10.0).round() / 10.0);
        }
    }

    /// Adds connected time to the standings, and updates the median round trip of the peers.
    pub fn settle(&mut self, now: Timestamp) {
        for peer in self.peers.values_mut().filter(|peer| !peer.open.is_empty()) {
            count_uptime(peer, now);
        }
        let here = self.peers.values().filter(|peer| !peer.open.is_empty());
        self.population = Population::of(here.map(|peer| &peer.standing));
        // Scores change with time and with the median.
        self.dirty.extend(
            self.peers
                .iter()
                .filter(|(_, peer)| !peer.open.is_empty())
                .map(|(id, _)| *id),
        );
        if !self.placed && self.bearings.atlas.is_ready() {
            self.placed = true;
            self.touch_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        domain::{geo::GeoLocation, reputation::PeerStanding},
        geoip::Atlas,
    };

    const NOW: Timestamp = Timestamp(1_700_000_000_000);

    fn table(known: usize) -> (PeerTable, Vec<PeerId>) {
        let known: Vec<StoredPeer> = (0..known)
            .map(|n| StoredPeer {
                id: PeerId::random(),
                addresses: vec!["/ip4/127.0.0.1/tcp/1".parse().unwrap()],
                standing: PeerStanding::new(NOW.before(Duration::from_secs(n as u64))),
            })
            .collect();
        let ids = known.iter().map(|peer| peer.id).collect();
        let bearings = PlacingContext {
            atlas: Atlas::default(),
            here: None,
            judged: true,
        };
        (
            PeerTable::new(
                known,
                Weights::default(),
                Metrics::default(),
                bearings,
                Classes::default(),
                NOW,
            ),
            ids,
        )
    }

    fn presence(at: Timestamp) -> Presence {
        Presence {
            at,
            location: GeoLocation::new(48.9, 2.4, None),
        }
    }

    #[test]
    fn presence_messages_of_fresh_names_push_nobody_out_that_was_met() {
        for known in [MAX_PEERS, MAX_PEERS - MAX_HEARD - 1, 10] {
            let (mut table, ids) = table(known);
            let connected = PeerId::random();
            for n in 0..3 * MAX_PEERS as u64 {
                table.presence(
                    PeerId::random(),
                    presence(NOW),
                    NOW.after(Duration::from_secs(n)),
                );
                if n == 5 {
                    let address = "/ip4/127.0.0.1/tcp/1".parse().unwrap();
                    table.connected(
                        connected,
                        ConnectionId::new_unchecked(1),
                        &address,
                        false,
                        (NOW, Instant::now()),
                    );
                }
            }
            let lost = ids
                .iter()
                .filter(|id| !table.peers.contains_key(id))
                .count();
            assert_eq!(
                lost,
                usize::from(known == MAX_PEERS),
                "one made room for a peer that connected"
            );
            assert!(table.peers.contains_key(&connected) && table.len() <= MAX_PEERS);
            assert_eq!(
                table.to_store().len(),
                known - lost,
                "these are remembered after a restart"
            );
            assert!(table.heard.len() <= MAX_HEARD);
        }
    }

    #[test]
    fn whoever_was_heard_of_and_then_connects_is_met() {
        let (mut table, _) = table(0);
        let peer = PeerId::random();
        table.presence(peer, presence(NOW), NOW);
        assert_eq!(table.heard.len(), 1);
        table.observe(peer, Outcome::RecordValid, NOW);
        assert!(
            table.heard.is_empty()
                && table.peers[&peer]
                    .place
                    .placed(&table.bearings, NOW)
                    .location
                    .is_some()
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]
        #[test]
        fn the_table_is_bounded_and_knows_whom_it_only_heard_of(
            steps in prop::collection::vec((0usize..40, 0u8..4), 1..300),
        ) {
            let (mut table, _) = table(MAX_PEERS - 20);
            let who: Vec<PeerId> = (0..40).map(|_| PeerId::random()).collect();
            let address: Multiaddr = "/ip4/127.0.0.1/tcp/1".parse().unwrap();
            for (n, (at, what)) in steps.into_iter().enumerate() {
                let now = NOW.after(Duration::from_secs(n as u64));
                match what {
                    0 => table.connected(who[at], ConnectionId::new_unchecked(n), &address, true, (now, Instant::now())),
                    1 => table.forget(&who[at]),
                    _ => table.presence(who[at], presence(now), now),
                }
                let heard: HashSet<PeerId> =
                    table.peers.iter().filter(|(_, peer)| !peer.met).map(|(id, _)| *id).collect();
                prop_assert_eq!(&heard, &table.heard);
                prop_assert!(table.len() <= MAX_PEERS + 40 && heard.len() <= MAX_HEARD);
            }
        }
    }
}
