//! Chooses the connections to close when there are too many. Gossipsub keeps every connection
//! alive, so without this every node would end up connected to every other.

use std::{collections::HashMap, net::IpAddr, time::Duration};

use libp2p::PeerId;

use crate::domain::{places::Caller, prefix::Prefix};

/// A new connection has this long to prove useful.
pub const GRACE: Duration = Duration::from_secs(30);
/// Most connections from one public prefix that rank like any others; more are closed first.
pub const OF_A_GROUP: usize = 3;
/// The best connections that this node dialled itself, up to this number, are kept, so that peers
/// from outside cannot replace all of them. Bitcoin Core uses the same number
/// (`MAX_OUTBOUND_FULL_RELAY_CONNECTIONS`).
pub const OUTBOUND: usize = 8;
/// One in this many of the kept connections may belong to an unknown peer that downloads content.
const SERVED_SHARE: usize = 4;
/// Newcomers always have room for one in this many of the high water mark, even beyond it.
const NEWCOMERS: usize = 4;

/// A connected peer, as the plan sees it.
#[derive(Clone, Copy, Debug)]
pub struct ConnectedPeer {
    pub peer: PeerId,
    /// Time since it connected.
    pub age: Duration,
    pub score: f64,
    /// True if it is in the gossip mesh, among the closest in the routing table, has a request
    /// running, or was protected by a person.
    pub protected: bool,
    /// True if this node dialled it.
    pub outbound: bool,
    /// The public prefix that it connects from.
    pub group: Option<Prefix>,
    /// The address that it connects from.
    pub host: Option<IpAddr>,
}

/// Returns the peers to keep among those that content is moving to, if about `low` connections are
/// kept: all good ones, and unknown ones up to a quarter of `low`, in the given order.
pub fn served(moving: &[Caller], low: usize) -> impl Iterator<Item = PeerId> {
    let of = |good: bool| {
        moving
            .iter()
            .filter(move |caller| caller.good == good)
            .map(|caller| caller.peer)
    };
    of(true).chain(of(false).take(low / SERVED_SHARE))
}

/// Returns the peers to disconnect; none up to `high` connections. Beyond that, it disconnects
///
/// 1. those of prefixes with more than [`OF_A_GROUP`] connections, the worst first, as long as more
///    than `low` connections remain;
/// 2. those younger than [`GRACE`] that have no room beside the settled ones, from the addresses
///    with most of them, the youngest first. An attacker's fresh identities are always young, so
///    they displace one another;
/// 3. if the settled ones alone are more than `high`, those with the lowest scores down to `low`,
///    which leaves room until the next run.
///
/// Young or crowded connections never affect whether a settled one is closed. Protected peers, the
/// best of those that this node dialled, and those that it dialled just now are kept even if more
/// than `high` remain.
pub fn to_trim(held: &[ConnectedPeer], low: usize, high: usize) -> Vec<PeerId> {
    if held.len() <= high {
        return Vec::new();
    }
    let mut ranked: Vec<&ConnectedPeer> = held.iter().collect();
    ranked.sort_by(|a, b| {
        let better = b.score.total_cmp(&a.score).then(b.age.cmp(&a.age));
        better.then(a.peer.cmp(&b.peer))
    });
    let mut groups: HashMap<Prefix, usize> = HashMap::new();
    let (mut crowded, mut young, mut settled) = (Vec::new(), Vec::new(), Vec::new());
    let (mut dialled, mut settled_count) = (0, 0);
    for peer in ranked {
        // The best of a group do not count as crowded.
        let is_beyond = peer.group.is_some_and(|group| {
            let count = groups.entry(group).or_default();
            *count += 1;
            *count > OF_A_GROUP
        });
        let is_reserved = peer.outbound && !is_beyond && {
            dialled += 1;
            dialled <= OUTBOUND
        };
        if peer.protected || is_reserved {
            settled_count += 1;
        } else if is_beyond {
            crowded.push(peer);
        } else if peer.age >= GRACE {
            settled_count += 1;
            settled.push(peer);
        } else if !peer.outbound {
            young.push(peer);
        }
    }
    let mut gone = worst_first(&crowded, held.len().saturating_sub(low));
    let room = high.saturating_sub(settled_count).max(high / NEWCOMERS);
    gone.extend(without_room(young, room));
    if settled_count > high {
        gone.extend(worst_first(
            &settled,
            settled_count - low.min(settled_count),
        ));
    }
    gone
}

/// Returns the last `most` of a ranking, worst first.
fn worst_first(ranked: &[&ConnectedPeer], most: usize) -> Vec<PeerId> {
    ranked
        .iter()
        .rev()
        .take(most)
        .map(|peer| peer.peer)
        .collect()
}

/// Returns the young peers to disconnect if only `room` of them may stay: all addresses keep
/// equally many, those connected longest.
fn without_room(mut young: Vec<&ConnectedPeer>, room: usize) -> Vec<PeerId> {
    young.sort_by_key(|peer| (std::cmp::Reverse(peer.age), peer.peer));
    let mut of_host: HashMap<Option<IpAddr>, usize> = HashMap::new();
    let mut turns: Vec<(usize, usize, &ConnectedPeer)> = young
        .into_iter()
        .enumerate()
        .map(|(at, peer)| {
            let turn = of_host.entry(peer.host).or_default();
            *turn += 1;
            (*turn, at, peer)
        })
        .collect();
    turns.sort_by_key(|(turn, at, _)| (*turn, *at));
    turns
        .into_iter()
        .skip(room)
        .map(|(.., peer)| peer.peer)
        .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    fn one(seconds: u64, score: f64) -> ConnectedPeer {
        ConnectedPeer {
            peer: PeerId::random(),
            age: Duration::from_secs(seconds),
            score,
            protected: false,
            outbound: false,
            group: None,
            host: None,
        }
    }

    #[test]
    fn of_a_crowded_prefix_the_best_stay_and_the_others_go_first() {
        let group = Prefix::of(std::net::Ipv4Addr::new(81, 2, 69, 1).into());
        let crowd = (0..6).map(|n| ConnectedPeer {
            group,
            ..one(60, 0.5 + f64::from(n) / 20.0)
        });
        let held: Vec<_> = crowd
            .chain((0..6).map(|n| one(60, f64::from(n) / 20.0)))
            .collect();
        let at = |peer: &PeerId| held.iter().position(|one| one.peer == *peer).unwrap();
        let trimmed = |low, high| to_trim(&held, low, high).iter().map(at).collect::<Vec<_>>();
        assert_eq!(trimmed(7, 8), [0, 1, 2, 6, 7], "nine are settled");
        assert_eq!(trimmed(7, 10), [0, 1, 2], "they alone are not too many");
    }

    #[test]
    fn identities_that_come_again_every_25_seconds_displace_no_old_peer() {
        let (low, high) = (48, 64);
        let mut held: Vec<ConnectedPeer> = (0..60).map(|_| one(3_600, 0.2)).collect();
        let old: HashSet<PeerId> = held.iter().map(|held| held.peer).collect();
        for seconds in (0..600).step_by(5) {
            if seconds % 25 == 0 {
                held.retain(|held| old.contains(&held.peer));
                held.extend((0..190).map(|_| one(0, 0.4)));
            }
            let gone = to_trim(&held, low, high);
            held.retain(|held| !gone.contains(&held.peer));
            held.iter_mut()
                .for_each(|held| held.age += Duration::from_secs(5));
            assert_eq!(
                held.iter().filter(|held| old.contains(&held.peer)).count(),
                old.len()
            );
            assert!(held.len() <= high + high / NEWCOMERS);
        }
    }

    #[test]
    fn a_newcomer_keeps_its_place_beside_an_address_that_brings_many() {
        let at = |n: u8, seconds| ConnectedPeer {
            host: Some([10, 0, 0, n].into()),
            ..one(seconds, 0.3)
        };
        let newcomer = at(2, 0);
        let held: Vec<ConnectedPeer> = (0..80).map(|_| at(1, 20)).chain([newcomer]).collect();
        assert!(!to_trim(&held, 48, 64).contains(&newcomer.peer));
    }

    fn any_held() -> impl Strategy<Value = ConnectedPeer> {
        (0u64..90, 0.0..1.0f64, any::<bool>(), any::<bool>(), 0u8..8).prop_map(
            |(age, score, protected, outbound, n)| {
                let ip = [81, 2, n, 1].into();
                let group = (n < 4).then(|| Prefix::of(ip)).flatten();
                ConnectedPeer {
                    protected: protected && n % 2 == 0,
                    outbound,
                    group,
                    host: Some(ip),
                    ..one(age, score)
                }
            },
        )
    }

    #[test]
    fn of_unknown_peers_that_are_served_only_a_quarter_is_sure_of_its_place() {
        let caller = |good| Caller {
            peer: PeerId::random(),
            good,
            prefix: None,
        };
        let good: Vec<Caller> = (0..20).map(|_| caller(true)).collect();
        let unknown: Vec<Caller> = (0..20).map(|_| caller(false)).collect();
        let moving = [unknown.clone(), good.clone()].concat();
        let kept: HashSet<PeerId> = served(&moving, 8).collect();
        assert!(good.iter().all(|caller| kept.contains(&caller.peer)));
        let of_unknown = unknown.iter().filter(|caller| kept.contains(&caller.peer));
        assert_eq!(of_unknown.count(), 2);
    }

    proptest! {
        #[test]
        fn trimming_keeps_what_it_must_and_stops_at_low(
            held in proptest::collection::vec(any_held(), 0..120), low in 0usize..30, gap in 0usize..20,
        ) {
            let high = low + gap;
            let trimmed: HashSet<PeerId> = to_trim(&held, low, high).into_iter().collect();
            if held.len() <= high {
                prop_assert!(trimmed.is_empty(), "hysteresis");
            }
            prop_assert!(held.len() - trimmed.len() >= low.min(held.len()));
            let gone = |peer: &&ConnectedPeer| trimmed.contains(&peer.peer);
            prop_assert!(held.iter().filter(gone).all(|peer| !peer.protected));
            let reserved = held.iter().filter(|peer| peer.outbound && peer.group.is_none() && !gone(peer)).count();
            let dialled = held.iter().filter(|peer| peer.outbound && peer.group.is_none()).count();
            let grouped = held.iter().filter(|peer| peer.outbound && peer.group.is_some()).count();
            prop_assert!(reserved >= dialled.min(OUTBOUND.saturating_sub(grouped)));
            // Of otherwise equal peers, the worst are disconnected.
            let settled = |peer: &&ConnectedPeer| {
                !peer.protected && !peer.outbound && peer.group.is_none() && peer.age >= GRACE
            };
            let kept = held.iter().filter(settled).filter(|peer| !gone(peer)).map(|peer| peer.score);
            let worst_kept = kept.fold(1.0, f64::min);
            prop_assert!(held.iter().filter(settled).filter(gone).all(|peer| peer.score <= worst_kept));
        }

        #[test]
        fn young_connections_never_decide_which_settled_ones_go(
            held in proptest::collection::vec(any_held(), 0..120),
            young in proptest::collection::vec((0u64..30, 0.0..1.0f64), 0..200), low in 0usize..60, gap in 0usize..20,
        ) {
            // The settled ones alone, where they are too many by themselves.
            let settled: Vec<ConnectedPeer> =
                held.into_iter().map(|one| ConnectedPeer { age: one.age + GRACE, group: None, ..one }).collect();
            let high = low + gap;
            let before: HashSet<PeerId> = to_trim(&settled, low, high).into_iter().collect();
            let more = young.into_iter().map(|(age, score)| one(age, score));
            let all: Vec<ConnectedPeer> = settled.iter().copied().chain(more).collect();
            let after: HashSet<PeerId> = to_trim(&all, low, high).into_iter().collect();
            prop_assert!(settled.iter().all(|one| before.contains(&one.peer) == after.contains(&one.peer)));
        }
    }
}
