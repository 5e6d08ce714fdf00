//! Decides which peer is asked for which groups next. Pure: the time, in milliseconds, is an
//! argument.
//!
//! A peer gets a new piece as it finishes the one before, so that each supplies what it can. Near
//! the end, when no pieces are left, an idle peer is also asked for what a slow one still owes (a
//! hedged request), and the first answer counts.

use std::{collections::BTreeMap, ops::Range};

use libp2p::PeerId;

use crate::domain::content::{GROUP, Groups, bytes_in, groups, ranges};

/// Most groups in a piece: 1 MiB.
const PIECE: u64 = 64;
/// Content of up to this many groups (256 KiB) is requested from one peer at a time: it is here
/// before several peers have said what they have.
pub const ONE_PEER: u64 = 16;
/// Most pieces requested from one peer at once.
const MOST_ASKED: usize = 4;
/// A peer of at least this score is asked for several pieces at once before it has supplied
/// anything...
const TRUSTED: f64 = 0.5;
/// ...up to this many bytes: with a distant peer, each round trip that is waited for is what takes
/// long.
const AT_FIRST: u64 = 256 << 10;
/// A peer with a lower score is never asked for many pieces.
const DOUBTFUL: f64 = 0.1;
/// The outstanding requests should keep a peer busy for this long, in milliseconds.
const BUSY_MS: f64 = 400.0;
/// Most peers that owe the same groups.
const MOST_OWING: usize = 2;
/// A peer without a known rate is slow once it owes something for longer than this.
const PATIENCE_MS: u64 = 1_500;
/// Expected time for a piece from a peer without a known rate.
const UNKNOWN_MS: f64 = 50.0;
/// A peer is judged by its rate after this long.
const JUDGED_AFTER_MS: u64 = 3_000;
/// A peer whose rate is a smaller part of the best peer's is not worth its slot.
const TOO_SLOW: f64 = 0.1;

struct PeerPlan {
    holds: Groups,
    /// Bytes per second: 0.7 of the previous rate plus 0.3 of the rate of the last piece.
    rate: Option<f64>,
    /// Reputation, 0 to 1.
    score: f64,
    since_ms: u64,
    /// The group at which it continues.
    cursor: u64,
}

struct Owed {
    range: Range<u64>,
    peer: PeerId,
    since_ms: u64,
}

pub struct Plan {
    size: u64,
    piece: u64,
    have: Groups,
    peers: BTreeMap<PeerId, PeerPlan>,
    owed: Vec<Owed>,
    /// The group at which the next peer starts. Nodes that fetch the same content start at
    /// different ones, so that they soon have something for each other.
    next_cursor: u64,
    /// True if a reader consumes the content in order while it arrives.
    in_order: bool,
}

impl Plan {
    /// Creates a plan for a content of `size` bytes, of which the groups `have` are here. `begin`
    /// is any number and chooses where the first peer starts.
    pub fn new(size: u64, have: Groups, begin: u64) -> Self {
        let count = groups(size);
        // Small content is cut into smaller pieces, so that there are enough for several peers.
        let piece = (count / 16).clamp(4, PIECE);
        Self {
            size,
            piece,
            have,
            peers: BTreeMap::new(),
            owed: Vec::new(),
            next_cursor: begin % count,
            in_order: false,
        }
    }

    /// From now on, requests the missing groups from the beginning.
    pub fn in_order(&mut self) {
        self.in_order = true;
    }

    /// Sets the groups that a peer holds, which may grow between two calls.
    pub fn holds(&mut self, peer: PeerId, holds: Groups, score: f64, now_ms: u64) {
        let count = groups(self.size);
        if let Some(known) = self.peers.get_mut(&peer) {
            known.holds = holds;
            return;
        }
        let cursor = self.next_cursor;
        // Steps by the golden ratio spread any number of peers well.
        self.next_cursor = (cursor + (count as f64 * 0.618) as u64) % count;
        self.peers.insert(
            peer,
            PeerPlan {
                holds,
                rate: None,
                score,
                since_ms: now_ms,
                cursor,
            },
        );
    }

    /// Removes a peer; what it owes is requested from others.
    pub fn remove(&mut self, peer: &PeerId) {
        self.peers.remove(peer);
        self.owed.retain(|owed| owed.peer != *peer);
    }

    pub fn is_complete(&self) -> bool {
        ranges(&self.missing(), groups(self.size)).is_empty()
    }

    fn missing(&self) -> Groups {
        Groups::from(0..groups(self.size)) - self.have.clone()
    }

    /// Returns the number of pieces that a peer should owe at once: one until it has supplied
    /// something, unless it is trusted; then as many as keep it busy, or fewer if it has a low
    /// score.
    pub fn depth(&self, peer: &PeerId) -> usize {
        let Some(PeerPlan { rate, score, .. }) = self.peers.get(peer) else {
            return 1;
        };
        let piece = self.piece * GROUP;
        let Some(rate) = rate else {
            return if *score < TRUSTED {
                1
            } else {
                (AT_FIRST / piece).clamp(1, MOST_ASKED as u64) as usize
            };
        };
        let wanted = (rate * BUSY_MS / 1_000.0 / piece as f64).ceil().max(1.0);
        let most = if *score < DOUBTFUL { 2 } else { MOST_ASKED };
        (wanted as usize).clamp(1, most).max(2)
    }

    /// Returns the groups to request from a peer next; `None` if it has nothing that is wanted now.
    pub fn next(&mut self, peer: &PeerId, now_ms: u64) -> Option<Range<u64>> {
        let range = self.free(peer).or_else(|| self.hedge(peer, now_ms))?;
        if let Some(known) = self.peers.get_mut(peer) {
            known.cursor = range.end;
        }
        self.owed.push(Owed {
            range: range.clone(),
            peer: *peer,
            since_ms: now_ms,
        });
        Some(range)
    }

    /// Returns groups that no peer owes, from the peer's cursor on.
    fn free(&self, peer: &PeerId) -> Option<Range<u64>> {
        let known = self.peers.get(peer)?;
        let owed = self.owed.iter().fold(Groups::empty(), |all, owed| {
            all | Groups::from(owed.range.clone())
        });
        let free = ranges(
            &((known.holds.clone() & self.missing()) - owed),
            groups(self.size),
        );
        let onwards = free.iter().find_map(|range| {
            let start = range
                .start
                .max(if self.in_order { 0 } else { known.cursor });
            (start < range.end).then_some(start..range.end)
        });
        let range = onwards.or_else(|| free.first().cloned())?;
        // Requests end at multiples of the piece size, so that the parent hashes are sent once.
        let end = (range.start / self.piece + 1) * self.piece;
        Some(range.start..range.end.min(end))
    }

    /// Returns groups that a slower peer owes.
    fn hedge(&self, peer: &PeerId, now_ms: u64) -> Option<Range<u64>> {
        let known = self.peers.get(peer)?;
        let missing = self.missing();
        let candidates = self.owed.iter().filter(|owed| owed.peer != *peer);
        let candidates = candidates.filter(|owed| {
            let wanted = Groups::from(owed.range.clone()) & missing.clone();
            let owing = self
                .owed
                .iter()
                .filter(|other| other.range == owed.range)
                .count();
            let mine = self
                .owed
                .iter()
                .any(|other| other.peer == *peer && other.range == owed.range);
            let has = known.holds.clone() & wanted.clone() == wanted;
            owing < MOST_OWING && !mine && has && !wanted.is_empty()
        });
        let late = |owed: &Owed| self.expected_ms(owed, now_ms);
        let worst = candidates.max_by_key(|owed| late(owed))?;
        // A peer that has supplied nothing yet may be faster, so it gets an assumed rate.
        let own = known.rate.map_or(UNKNOWN_MS, |rate| {
            bytes_in(&worst.range, self.size) as f64 * 1_000.0 / rate
        });
        (late(worst) as f64 > 2.0 * own).then(|| worst.range.clone())
    }

    /// Returns the expected milliseconds until a peer has supplied what it owes, including what it
    /// owes before that.
    fn expected_ms(&self, owed: &Owed, now_ms: u64) -> u64 {
        let waited = now_ms.saturating_sub(owed.since_ms);
        match self.peers.get(&owed.peer).and_then(|peer| peer.rate) {
            Some(rate) if rate > 0.0 => {
                let before = self
                    .owed
                    .iter()
                    .filter(|other| other.peer == owed.peer && other.since_ms <= owed.since_ms);
                let bytes: u64 = before.map(|other| bytes_in(&other.range, self.size)).sum();
                // A peer that is overdue is expected to be even later.
                ((bytes as f64 * 1_000.0 / rate) as u64).max(waited / 2)
            }
            _ if waited > PATIENCE_MS => u64::MAX,
            _ => waited,
        }
    }

    /// Notes that groups arrived from a peer, `took_ms` after it had finished the ones before.
    pub fn got(&mut self, peer: &PeerId, range: &Range<u64>, took_ms: u64) {
        self.have |= Groups::from(range.clone());
        self.owed
            .retain(|owed| !(owed.peer == *peer && owed.range == *range));
        if let Some(known) = self.peers.get_mut(peer) {
            let now = bytes_in(range, self.size) as f64 * 1_000.0 / took_ms.max(1) as f64;
            known.rate = Some(known.rate.map_or(now, |rate| 0.7 * rate + 0.3 * now));
        }
    }

    /// Notes that some of the requested groups arrived, and that the rest will not.
    pub fn got_some(&mut self, groups: Groups) {
        self.have |= groups;
    }

    /// Notes that a peer does not have these groups after all.
    pub fn lacks(&mut self, peer: &PeerId, range: &Range<u64>) {
        self.owed
            .retain(|owed| !(owed.peer == *peer && owed.range == *range));
        if let Some(known) = self.peers.get_mut(peer) {
            known.holds -= Groups::from(range.clone());
        }
    }

    /// Returns true if a peer is known to hold missing groups.
    pub fn has_wanted(&self, peer: &PeerId) -> bool {
        let wanted = self
            .peers
            .get(peer)
            .map(|known| known.holds.clone() & self.missing());
        wanted.is_some_and(|wanted| !ranges(&wanted, groups(self.size)).is_empty())
    }

    /// Returns true if a peer only occupies a slot: others that are ten times as fast have all that
    /// it could still supply.
    pub fn is_too_slow(&self, peer: &PeerId, now_ms: u64) -> bool {
        let Some(known) = self.peers.get(peer) else {
            return false;
        };
        if now_ms.saturating_sub(known.since_ms) < JUDGED_AFTER_MS {
            return false;
        }
        // A peer that has supplied nothing yet had enough time to.
        let rate = known.rate.unwrap_or(0.0);
        let wanted = known.holds.clone() & self.missing();
        let faster = self.peers.iter().filter(|(other, one)| {
            *other != peer && one.rate.is_some_and(|other| rate < TOO_SLOW * other)
        });
        let covered = faster.fold(Groups::empty(), |all, (_, other)| all | other.holds.clone());
        !wanted.is_empty() && covered & wanted.clone() == wanted
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::content::{GROUP, all};

    const MIB: u64 = 1 << 20;

    fn plan(size: u64) -> Plan {
        Plan::new(size, Groups::empty(), 0)
    }

    /// Simulates a fetch from peers with these rates in bytes per second, in steps of a
    /// millisecond. Returns the time that it took, and the bytes that each supplied.
    fn play(size: u64, rates: &[u64], begin: u64) -> (u64, Vec<u64>) {
        let mut plan = Plan::new(size, Groups::empty(), begin);
        let peers: Vec<PeerId> = rates.iter().map(|_| PeerId::random()).collect();
        peers
            .iter()
            .for_each(|peer| plan.holds(*peer, all(size), 0.5, 0));
        let mut asked: Vec<std::collections::VecDeque<Range<u64>>> =
            rates.iter().map(|_| Default::default()).collect();
        let mut given = vec![(0_u64, 0_u64, 0_u64); rates.len()];
        for now in 0..10_000_000 {
            for (n, peer) in peers.iter().enumerate() {
                while asked[n].len() < plan.depth(peer) {
                    let Some(range) = plan.next(peer, now) else {
                        break;
                    };
                    if asked[n].is_empty() {
                        given[n].1 = now;
                    }
                    asked[n].push_back(range);
                }
                given[n].0 += rates[n] / 1_000;
                let Some(front) = asked[n].front().cloned() else {
                    given[n].0 = 0;
                    continue;
                };
                let bytes = bytes_in(&front, size);
                if given[n].0 >= bytes {
                    given[n].0 -= bytes;
                    given[n].2 += bytes;
                    asked[n].pop_front();
                    plan.got(peer, &front, now - given[n].1);
                    given[n].1 = now;
                }
            }
            if plan.is_complete() {
                return (now, given.into_iter().map(|(.., bytes)| bytes).collect());
            }
        }
        panic!("it never ends");
    }

    #[test]
    fn four_are_nearly_four_times_as_fast_as_one() {
        let (one, _) = play(256 * MIB, &[20 * MIB], 7);
        let (four, _) = play(256 * MIB, &[20 * MIB; 4], 7);
        assert!(one as f64 / four as f64 > 3.7, "{one} ms and {four} ms");
    }

    #[test]
    fn each_gives_what_it_can_and_the_slow_tail_is_taken_over() {
        let (ms, given) = play(64 * MIB, &[40 * MIB, 10 * MIB, 200_000], 3);
        assert!(given[0] > 3 * given[1], "{given:?}");
        // 64 MiB at 50 MiB/s; the slowest peer alone would have taken five seconds for its first
        // piece.
        assert!(ms < 1_700, "{ms} ms");
    }

    #[test]
    fn a_silent_peer_is_not_waited_for() {
        let (ms, given) = play(16 * MIB, &[10 * MIB, 0], 0);
        assert!(ms < 4_000 && given[1] == 0, "{ms} ms");
    }

    #[test]
    fn the_slow_are_dropped_only_while_others_have_what_they_have() {
        let size = 100 * MIB;
        let (fast, slow) = (PeerId::random(), PeerId::random());
        let mut plan = plan(size);
        plan.holds(fast, all(size), 0.5, 0);
        plan.holds(slow, all(size), 0.5, 0);
        let range = plan.next(&fast, 0).unwrap();
        plan.got(&fast, &range, 10);
        let range = plan.next(&slow, 0).unwrap();
        plan.got(&slow, &range, 2_000);
        assert!(!plan.is_too_slow(&slow, 1_000), "it has had no time");
        assert!(plan.is_too_slow(&slow, 4_000));
        assert!(!plan.is_too_slow(&fast, 4_000));
        plan.holds(fast, Groups::from(0..5), 0.5, 0);
        assert!(!plan.is_too_slow(&slow, 4_000), "nobody else has the rest");
    }

    #[test]
    fn an_unknown_peer_is_asked_for_one_piece_first() {
        let mut plan = plan(100 * MIB);
        let peer = PeerId::random();
        plan.holds(peer, all(100 * MIB), 0.05, 0);
        assert_eq!(plan.depth(&peer), 1);
        let range = plan.next(&peer, 0).unwrap();
        plan.got(&peer, &range, 1);
        assert_eq!(plan.depth(&peer), 2, "its reputation is poor");
    }

    #[test]
    fn a_trusted_peer_is_asked_for_all_of_a_small_content_at_once() {
        let (far, stranger) = (PeerId::random(), PeerId::random());
        for (size, pieces) in [(200 << 10, 4), (MIB, 4), (4 * MIB, 1), (100 * MIB, 1)] {
            let mut plan = plan(size);
            plan.holds(far, all(size), 0.8, 0);
            plan.holds(stranger, all(size), 0.3, 0);
            assert_eq!(
                (plan.depth(&far), plan.depth(&stranger)),
                (pieces, 1),
                "of {size} bytes"
            );
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn whoever_leaves_and_whatever_they_hold_it_ends_when_all_is_held(
            size in 1u64..40 * MIB,
            begin in any::<u64>(),
            peers in proptest::collection::vec((any::<u64>(), 0.0..1.0f64), 1..6),
            steps in proptest::collection::vec((0usize..6, 0u8..10), 0..400),
        ) {
            let mut plan = Plan::new(size, Groups::empty(), begin);
            let count = groups(size);
            let ids: Vec<PeerId> = peers.iter().map(|_| PeerId::random()).collect();
            for (id, (from, score)) in ids.iter().zip(&peers) {
                plan.holds(*id, Groups::from(from % count..count), *score, 0);
            }
            let mut asked: BTreeMap<PeerId, Vec<Range<u64>>> = BTreeMap::new();
            for (now, (peer, what)) in (0_u64..).zip(steps) {
                let peer = ids[peer % ids.len()];
                match what {
                    0 => { plan.remove(&peer); asked.remove(&peer); }
                    1..=5 => if let Some(range) = plan.next(&peer, now) {
                        prop_assert!(range.end <= count && !range.is_empty());
                        prop_assert!(range.end - range.start <= PIECE);
                        asked.entry(peer).or_default().push(range);
                    },
                    6 => if let Some(range) = asked.get_mut(&peer).and_then(Vec::pop) {
                        plan.lacks(&peer, &range);
                    },
                    _ => if let Some(range) = asked.get_mut(&peer).and_then(|all| (!all.is_empty()).then(|| all.remove(0))) {
                        plan.got(&peer, &range, 5);
                    },
                }
            }
            // A peer with all groups can supply all that are missing, in every state of the plan.
            ids.iter().for_each(|id| plan.remove(id));
            let seed = PeerId::random();
            plan.holds(seed, all(size), 0.5, 1_000_000);
            let mut bytes = 0;
            while let Some(range) = plan.next(&seed, 1_000_000) {
                bytes += bytes_in(&range, size);
                plan.got(&seed, &range, 1);
            }
            prop_assert!(plan.is_complete());
            prop_assert!(bytes <= count * GROUP);
        }
    }
}
