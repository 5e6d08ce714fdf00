//! A model of `libp2p-gossipsub` 0.50: one topic's mesh, its heartbeat, and message forwarding. The
//! parameters are those of [`config`].
//!
//! Not modelled: explicit peers, peer exchange, fanout (every node is subscribed), and the
//! penalties for early grafts and broken promises.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    rc::Rc,
    time::Duration,
};

use crate::{
    net::machines::topics::{config, scoring},
    sim::{Id, dice::Dice, time::Time},
};

/// A message's number.
pub type MessageNumber = u32;

/// The parameters, by gossipsub's names.
#[derive(Clone, Copy, Debug)]
pub struct Figures {
    pub mesh_n: usize,
    pub mesh_n_low: usize,
    pub mesh_n_high: usize,
    pub mesh_outbound_min: usize,
    pub heartbeat: Duration,
    pub first_heartbeat: Duration,
    history_length: usize,
    history_gossip: usize,
    gossip_lazy: usize,
    gossip_factor: f64,
    retain_scores: usize,
    prune_backoff: Duration,
    idontwant_above: usize,
    graft_ticks: u64,
    graft_peers: usize,
}

impl Figures {
    /// Returns a node's parameters; `None` if gossipsub rejects them, in which case no node would
    /// start, either.
    pub fn of_nodes() -> Option<Self> {
        let config = config().ok()?;
        Some(Self {
            mesh_n: config.mesh_n(),
            mesh_n_low: config.mesh_n_low(),
            mesh_n_high: config.mesh_n_high(),
            mesh_outbound_min: config.mesh_outbound_min(),
            heartbeat: config.heartbeat_interval(),
            first_heartbeat: config.heartbeat_initial_delay(),
            history_length: config.history_length(),
            history_gossip: config.history_gossip(),
            gossip_lazy: config.gossip_lazy(),
            gossip_factor: config.gossip_factor(),
            retain_scores: config.retain_scores(),
            prune_backoff: config.prune_backoff(),
            idontwant_above: config.idontwant_message_size_threshold(),
            graft_ticks: config.opportunistic_graft_ticks(),
            graft_peers: config.opportunistic_graft_peers(),
        })
    }
}

/// A gossip message between two nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GossipRpc {
    Message(MessageNumber),
    IHave(Rc<[MessageNumber]>),
    IWant(Box<[MessageNumber]>),
    IDontWant(MessageNumber),
    Graft,
    Prune,
}

/// The verdict on a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acceptance {
    Accept,
    Ignore,
    Reject,
}

struct MeshPeer {
    outbound: bool,
    in_mesh_since: Option<Time>,
    /// No graft before this time.
    backoff: Time,
    /// First deliveries and refused messages, as of `at`.
    first: f64,
    invalid: f64,
    at: Time,
    /// Messages that the peer does not want.
    unwanted: VecDeque<(MessageNumber, Time)>,
}

/// Validity of an IDONTWANT (`IDONTWANT_TIMEOUT` in `behaviour.rs` of gossipsub).
const UNWANTED: Duration = Duration::from_secs(3);

impl MeshPeer {
    fn decay(&mut self, now: Time) {
        let hours =
            now.since(self.at).as_secs_f64() / scoring::FIRST_DELIVERIES_DECAY.as_secs_f64();
        // The rest of a counter after its decay time: `score_parameter_decay`.
        let left = 0.01f64.powf(hours);
        (self.first, self.invalid, self.at) = (self.first * left, self.invalid * left, now);
    }

    /// P1, P2 and P4; the others are off or concern parts that are not modelled.
    fn score(&self, now: Time) -> f64 {
        let meshed = self.in_mesh_since.map_or(0.0, |since| {
            now.since(since)
                .as_secs_f64()
                .min(scoring::TIME_IN_MESH_CAP)
        });
        let meshed = scoring::TIME_IN_MESH_WEIGHT * meshed;
        if self.first == 0.0 && self.invalid == 0.0 {
            return meshed;
        }
        let hours =
            now.since(self.at).as_secs_f64() / scoring::FIRST_DELIVERIES_DECAY.as_secs_f64();
        let left = 0.01f64.powf(hours);
        let (first, invalid) = (self.first * left, self.invalid * left);
        meshed
            + scoring::FIRST_DELIVERIES_WEIGHT * first.min(scoring::FIRST_DELIVERIES_CAP)
            + scoring::INVALID_WEIGHT * invalid * invalid
    }

    /// Returns true if its score is below a threshold that only refused messages can lead to.
    fn is_below(&self, threshold: f64, now: Time) -> bool {
        self.invalid > 0.0 && self.score(now) < threshold
    }
}

/// The messages received, one bit for each.
#[derive(Default)]
struct Seen(Vec<u64>);

impl Seen {
    /// Adds a message. Returns false if it was there.
    fn insert(&mut self, message: MessageNumber) -> bool {
        let at = message as usize / 64;
        if self.0.len() <= at {
            self.0.resize(at + 1, 0);
        }
        let is_new = !self.contains(message);
        if let Some(bits) = self.0.get_mut(at) {
            *bits |= 1 << (message % 64);
        }
        is_new
    }

    fn contains(&self, message: MessageNumber) -> bool {
        let bits = self.0.get(message as usize / 64);
        bits.is_some_and(|bits| bits >> (message % 64) & 1 == 1)
    }
}

/// The gossip state of one node.
pub struct Gossip {
    figures: Figures,
    peers: BTreeMap<Id, MeshPeer>,
    mesh: BTreeSet<Id>,
    seen: Seen,
    /// Accepted messages by heartbeat, newest first.
    history: VecDeque<Vec<MessageNumber>>,
    beats: u64,
}

impl Gossip {
    pub fn new(figures: Figures) -> Self {
        Self {
            figures,
            peers: BTreeMap::new(),
            mesh: BTreeSet::new(),
            seen: Seen::default(),
            history: VecDeque::from([Vec::new()]),
            beats: 0,
        }
    }

    /// Notes that a peer subscribed. If the mesh is small, the peer is added at once.
    pub fn joined(&mut self, peer: Id, outbound: bool, now: Time, out: &mut Vec<(Id, GossipRpc)>) {
        let is_wanted = self.mesh.len() < self.figures.mesh_n_low;
        self.peers.entry(peer).or_insert_with(|| MeshPeer {
            outbound,
            in_mesh_since: is_wanted.then_some(now),
            backoff: Time::default(),
            first: 0.0,
            invalid: 0.0,
            at: now,
            unwanted: VecDeque::new(),
        });
        if is_wanted && self.mesh.insert(peer) {
            out.push((peer, GossipRpc::Graft));
        }
    }

    pub fn left(&mut self, peer: Id) {
        self.peers.remove(&peer);
        self.mesh.remove(&peer);
    }

    pub fn figures(&self) -> Figures {
        self.figures
    }

    pub fn mesh(&self) -> &BTreeSet<Id> {
        &self.mesh
    }

    pub fn score(&self, peer: Id, now: Time) -> Option<f64> {
        self.peers.get(&peer).map(|peer| peer.score(now))
    }

    /// Returns the number of messages that peers may request.
    pub fn remembered(&self) -> usize {
        self.history.iter().map(Vec::len).sum()
    }

    /// Sends an own message to every peer (`flood_publish`). Returns their number.
    pub fn publish(
        &mut self,
        message: MessageNumber,
        now: Time,
        out: &mut Vec<(Id, GossipRpc)>,
    ) -> usize {
        self.seen.insert(message);
        self.remember(message);
        let before = out.len();
        let wanted = self
            .peers
            .iter()
            .filter(|(_, peer)| !peer.is_below(scoring::PUBLISH_THRESHOLD, now));
        out.extend(wanted.map(|(id, _)| (*id, GossipRpc::Message(message))));
        out.len() - before
    }

    fn remember(&mut self, message: MessageNumber) {
        if let Some(newest) = self.history.front_mut() {
            newest.push(message);
        }
    }

    /// Returns true if messages of a peer are accepted at all.
    pub fn hears(&self, peer: Id, now: Time) -> bool {
        let known = self.peers.get(&peer);
        known.is_some_and(|peer| !peer.is_below(scoring::GRAYLIST_THRESHOLD, now))
    }

    /// Receives a message from a peer. Returns true for the first copy.
    pub fn received(
        &mut self,
        from: Id,
        author: Id,
        message: MessageNumber,
        bytes: usize,
        out: &mut Vec<(Id, GossipRpc)>,
    ) -> bool {
        if !self.seen.insert(message) {
            return false;
        }
        if bytes > self.figures.idontwant_above {
            let others = self.mesh.iter().filter(|id| **id != from && **id != author);
            out.extend(others.map(|id| (*id, GossipRpc::IDontWant(message))));
        }
        true
    }

    /// Applies the verdict on a message; an accepted one is forwarded to the mesh.
    pub fn judged(
        &mut self,
        from: Id,
        author: Id,
        message: MessageNumber,
        acceptance: Acceptance,
        now: Time,
        out: &mut Vec<(Id, GossipRpc)>,
    ) {
        if let Some(peer) = self.peers.get_mut(&from) {
            peer.decay(now);
            match acceptance {
                Acceptance::Accept => peer.first += 1.0,
                Acceptance::Ignore => {}
                Acceptance::Reject => peer.invalid += 1.0,
            }
        }
        if acceptance != Acceptance::Accept {
            return;
        }
        self.remember(message);
        for id in self.mesh.iter().filter(|id| **id != from && **id != author) {
            let peer = self.peers.get(id);
            let is_unwanted = |peer: &MeshPeer| {
                let mut unwanted = peer.unwanted.iter();
                unwanted.any(|(one, at)| *one == message && now.since(*at) <= UNWANTED)
            };
            if !peer.is_some_and(is_unwanted) {
                out.push((*id, GossipRpc::Message(message)));
            }
        }
    }

    /// Receives anything but a message.
    pub fn heard(&mut self, from: Id, said: GossipRpc, now: Time, out: &mut Vec<(Id, GossipRpc)>) {
        let Some(peer) = self.peers.get_mut(&from) else {
            return;
        };
        match said {
            GossipRpc::Message(_) => {}
            GossipRpc::IHave(ids) => {
                let missing = ids.iter().filter(|id| !self.seen.contains(**id)).copied();
                let missing: Box<[MessageNumber]> = missing.collect();
                if !missing.is_empty() && !peer.is_below(scoring::GOSSIP_THRESHOLD, now) {
                    out.push((from, GossipRpc::IWant(missing)));
                }
            }
            GossipRpc::IWant(ids) => {
                let held = |id: &&MessageNumber| self.history.iter().any(|held| held.contains(id));
                out.extend(
                    ids.iter()
                        .filter(held)
                        .map(|id| (from, GossipRpc::Message(*id))),
                );
            }
            GossipRpc::IDontWant(message) => {
                peer.unwanted.push_back((message, now));
            }
            GossipRpc::Graft if peer.backoff > now || peer.score(now) < 0.0 => {
                peer.backoff = now.after(self.figures.prune_backoff);
                out.push((from, GossipRpc::Prune));
            }
            // A full mesh accepts only peers that this node dialled.
            GossipRpc::Graft if self.mesh.len() >= self.figures.mesh_n_high && !peer.outbound => {
                peer.backoff = now.after(self.figures.prune_backoff);
                out.push((from, GossipRpc::Prune));
            }
            GossipRpc::Graft => {
                peer.in_mesh_since.get_or_insert(now);
                self.mesh.insert(from);
            }
            GossipRpc::Prune => {
                (peer.in_mesh_since, peer.backoff) = (None, now.after(self.figures.prune_backoff));
                self.mesh.remove(&from);
            }
        }
    }

    /// Keeps the mesh at its size, gossips some message ids, and forgets old messages.
    pub fn heartbeat(&mut self, now: Time, dice: &mut Dice, out: &mut Vec<(Id, GossipRpc)>) {
        self.beats += 1;
        let bad: Vec<Id> = self
            .mesh
            .iter()
            .copied()
            .filter(|id| self.is_bad(*id, now))
            .collect();
        bad.into_iter().for_each(|id| self.prune(id, now, out));
        if self.mesh.len() < self.figures.mesh_n_low {
            let wanted = self.figures.mesh_n - self.mesh.len();
            self.graft(wanted, now, dice, out, |_, _| true);
        }
        if self.mesh.len() >= self.figures.mesh_n_high {
            self.shrink(now, dice, out);
        }
        let outbound = self.mesh_outbound();
        if self.mesh.len() >= self.figures.mesh_n_low && outbound < self.figures.mesh_outbound_min {
            let wanted = self.figures.mesh_outbound_min - outbound;
            self.graft(wanted, now, dice, out, |peer, _| peer.outbound);
        }
        if self.beats.is_multiple_of(self.figures.graft_ticks) && self.mesh.len() > 1 {
            self.improve(now, dice, out);
        }
        self.tell(now, dice, out);
        self.history.push_front(Vec::new());
        self.history.truncate(self.figures.history_length);
        for peer in self.peers.values_mut() {
            while peer
                .unwanted
                .front()
                .is_some_and(|(_, at)| now.since(*at) > UNWANTED)
            {
                peer.unwanted.pop_front();
            }
        }
    }

    fn is_bad(&self, id: Id, now: Time) -> bool {
        let peer = self.peers.get(&id);
        peer.is_none_or(|peer| peer.is_below(0.0, now))
    }

    fn mesh_outbound(&self) -> usize {
        let outbound = |id: &&Id| self.peers.get(id).is_some_and(|peer| peer.outbound);
        self.mesh.iter().filter(outbound).count()
    }

    fn prune(&mut self, id: Id, now: Time, out: &mut Vec<(Id, GossipRpc)>) {
        self.mesh.remove(&id);
        if let Some(peer) = self.peers.get_mut(&id) {
            (peer.in_mesh_since, peer.backoff) = (None, now.after(self.figures.prune_backoff));
            out.push((id, GossipRpc::Prune));
        }
    }

    fn graft(
        &mut self,
        wanted: usize,
        now: Time,
        dice: &mut Dice,
        out: &mut Vec<(Id, GossipRpc)>,
        may: impl Fn(&MeshPeer, f64) -> bool,
    ) {
        // Gossipsub waits one heartbeat longer than the backoff.
        let over = |peer: &MeshPeer| {
            peer.backoff == Time::default() || peer.backoff.after(self.figures.heartbeat) <= now
        };
        let free = self.peers.iter().filter(|(id, peer)| {
            !self.mesh.contains(id) && over(peer) && {
                let score = peer.score(now);
                score >= 0.0 && may(peer, score)
            }
        });
        let mut free: Vec<Id> = free.map(|(id, _)| *id).collect();
        dice.pick(&mut free, wanted);
        for id in free.into_iter().take(wanted) {
            self.mesh.insert(id);
            if let Some(peer) = self.peers.get_mut(&id) {
                peer.in_mesh_since = Some(now);
            }
            out.push((id, GossipRpc::Graft));
        }
    }

    /// Shrinks the mesh to `mesh_n`: the best peers stay, and enough of those that this node
    /// dialled.
    fn shrink(&mut self, now: Time, dice: &mut Dice, out: &mut Vec<(Id, GossipRpc)>) {
        let mut ranked: Vec<(f64, Id)> = self
            .mesh
            .iter()
            .map(|id| (self.score(*id, now).unwrap_or(0.0), *id))
            .collect();
        let all = ranked.len();
        dice.pick(&mut ranked, all);
        ranked.sort_by(|a, b| a.0.total_cmp(&b.0));
        let worst = all.saturating_sub(self.figures.retain_scores);
        if let Some(worst) = ranked.get_mut(..worst) {
            dice.pick(worst, all);
        }
        let mut outbound = self.mesh_outbound();
        for (_, id) in ranked {
            if self.mesh.len() <= self.figures.mesh_n {
                break;
            }
            if self.peers.get(&id).is_some_and(|peer| peer.outbound) {
                if outbound <= self.figures.mesh_outbound_min {
                    continue;
                }
                outbound -= 1;
            }
            self.prune(id, now, out);
        }
    }

    /// Opportunistic grafting: if half of the mesh has low scores, some peers with better ones are
    /// added.
    fn improve(&mut self, now: Time, dice: &mut Dice, out: &mut Vec<(Id, GossipRpc)>) {
        let mut scores: Vec<f64> = self
            .mesh
            .iter()
            .filter_map(|id| self.score(*id, now))
            .collect();
        scores.sort_by(f64::total_cmp);
        let middle = scores.len() / 2;
        let at = |place: usize| scores.get(place).copied().unwrap_or(0.0);
        let median = if scores.len().is_multiple_of(2) {
            (at(middle.saturating_sub(1)) + at(middle)) / 2.0
        } else {
            at(middle)
        };
        if median < scoring::OPPORTUNISTIC_GRAFT_THRESHOLD {
            self.graft(self.figures.graft_peers, now, dice, out, |_, score| {
                score > median
            });
        }
    }

    /// Sends message ids to some peers outside the mesh.
    fn tell(&self, now: Time, dice: &mut Dice, out: &mut Vec<(Id, GossipRpc)>) {
        let told = self.history.iter().take(self.figures.history_gossip);
        let ids: Rc<[MessageNumber]> = told.flatten().copied().collect();
        if ids.is_empty() {
            return;
        }
        let others = self.peers.iter().filter(|(id, peer)| {
            !self.mesh.contains(id) && !peer.is_below(scoring::GOSSIP_THRESHOLD, now)
        });
        let mut others: Vec<Id> = others.map(|(id, _)| *id).collect();
        let share = (self.figures.gossip_factor * others.len() as f64) as usize;
        let count = share.max(self.figures.gossip_lazy);
        dice.pick(&mut others, count);
        out.extend(
            others
                .into_iter()
                .take(count)
                .map(|id| (id, GossipRpc::IHave(ids.clone()))),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gossip(peers: Id) -> Gossip {
        let mut gossip = Gossip::new(Figures::of_nodes().unwrap());
        let mut out = Vec::new();
        (0..peers).for_each(|id| gossip.joined(id, id % 3 == 0, Time::default(), &mut out));
        assert_eq!(
            out.len(),
            gossip.figures.mesh_n_low,
            "the first ones are in it at once"
        );
        gossip
    }

    fn at(seconds: u64) -> Time {
        Time::at(Duration::from_secs(seconds))
    }

    #[test]
    fn the_figures_are_those_that_a_node_configures() {
        let figures = Figures::of_nodes().unwrap();
        let mesh = (figures.mesh_n_low, figures.mesh_n, figures.mesh_n_high);
        assert_eq!((mesh, figures.mesh_outbound_min), ((6, 8, 12), 2));
        assert_eq!(figures.heartbeat, Duration::from_secs(1));
        assert_eq!((figures.history_gossip, figures.history_length), (3, 5));
    }

    #[test]
    fn a_mesh_grows_to_what_it_should_be_and_shrinks_to_it() {
        let (mut gossip, mut dice, mut out) = (gossip(40), Dice::of(1, "mesh", 0), Vec::new());
        for id in 1..4 {
            gossip.heard(id, GossipRpc::Prune, at(0), &mut out);
        }
        gossip.heartbeat(at(1), &mut dice, &mut out);
        assert_eq!(gossip.mesh().len(), gossip.figures.mesh_n);
        assert!(
            out.iter()
                .all(|(id, said)| *said == GossipRpc::Graft && *id > 3)
        );
        let more: Vec<Id> = (0..40).filter(|id| !gossip.mesh().contains(id)).collect();
        for id in more {
            gossip.heard(id, GossipRpc::Graft, at(1), &mut out);
        }
        assert!(gossip.mesh().len() >= gossip.figures.mesh_n_high);
        gossip.heartbeat(at(2), &mut dice, &mut out);
        assert_eq!(gossip.mesh().len(), gossip.figures.mesh_n);
        assert!(gossip.mesh_outbound() >= gossip.figures.mesh_outbound_min);
    }

    #[test]
    fn a_message_goes_on_once_it_is_accepted_and_not_to_who_does_not_want_it() {
        let (mut gossip, mut dice, mut out) = (gossip(40), Dice::of(1, "mesh", 0), Vec::new());
        gossip.heartbeat(at(1), &mut dice, &mut out);
        let mesh: Vec<Id> = gossip.mesh().iter().copied().collect();
        out.clear();
        assert!(gossip.received(mesh[0], 50, 7, 2_000, &mut out));
        assert_eq!(
            out.len(),
            mesh.len() - 1,
            "the others are told not to send it"
        );
        assert!(!gossip.received(mesh[1], 50, 7, 2_000, &mut out));
        gossip.heard(mesh[2], GossipRpc::IDontWant(7), at(1), &mut out);
        out.clear();
        gossip.judged(mesh[0], 50, 7, Acceptance::Accept, at(1), &mut out);
        let to: Vec<Id> = out.iter().map(|(id, _)| *id).collect();
        assert_eq!(
            to,
            mesh[1..2]
                .iter()
                .chain(&mesh[3..])
                .copied()
                .collect::<Vec<_>>()
        );
        out.clear();
        gossip.heartbeat(at(2), &mut dice, &mut out);
        let told = out
            .iter()
            .filter(|(_, said)| matches!(said, GossipRpc::IHave(_)));
        assert_eq!(told.count(), 8, "a quarter of those beside the mesh");
        out.clear();
        gossip.heard(39, GossipRpc::IWant([7].into()), at(2), &mut out);
        assert_eq!(out, [(39, GossipRpc::Message(7))]);
    }

    #[test]
    fn who_sends_what_is_refused_leaves_the_mesh_and_is_not_heard_in_the_end() {
        let (mut gossip, mut dice, mut out) = (gossip(40), Dice::of(1, "mesh", 0), Vec::new());
        gossip.heartbeat(at(1), &mut dice, &mut out);
        let bad = *gossip.mesh().first().unwrap();
        for message in 0..2 {
            assert!(gossip.hears(bad, at(1)));
            gossip.judged(bad, bad, message, Acceptance::Reject, at(1), &mut out);
        }
        assert!(!gossip.hears(bad, at(1)));
        gossip.heartbeat(at(2), &mut dice, &mut out);
        assert!(!gossip.mesh().contains(&bad));
    }
}
