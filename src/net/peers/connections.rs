//! Which connections to give up when there are too many. Gossipsub keeps every connection alive by
//! itself, so without this every node ends up connected to every other.

use std::{collections::HashMap, net::IpAddr, time::Duration};

use libp2p::PeerId;

use crate::domain::{places::Caller, prefix::Prefix};

/// A connection gets this long to prove what it is good for.
pub const GRACE: Duration = Duration::from_secs(30);
/// Connections from one public prefix that are as good as any; those beyond are given up first.
pub const OF_A_GROUP: usize = 3;
/// Connections to peers that this node dialled itself, the best of which stay: nobody who comes
/// from outside can have all of them replaced. Bitcoin Core has as many
/// (`MAX_OUTBOUND_FULL_RELAY_CONNECTIONS`).
pub const OUTBOUND: usize = 8;
/// Of the connections that are kept, one of so many may be of an unknown peer that is served
/// content.
const SERVED_SHARE: usize = 4;
/// Where there is no other room, newcomers have one of so many places beyond the high water.
const NEWCOMERS: usize = 4;

/// A connected peer, as the plan sees it.
#[derive(Clone, Copy, Debug)]
pub struct Held {
    pub peer: PeerId,
    /// Time since it connected.
    pub age: Duration,
    pub score: f64,
    /// In the gossip mesh, among the closest in the routing table, with a request running, or kept
    /// by a person.
    pub protected: bool,
    /// This node dialled it.
    pub outbound: bool,
    /// The public prefix it is connected from.
    pub group: Option<Prefix>,
    /// The address it is connected from.
    pub host: Option<IpAddr>,
}

/// Those that are kept of the peers to which content moves, when about `low` connections are: good
/// ones all, unknown ones a quarter of `low`, in the order in which they are given.
pub fn served(moving: &[Caller], low: usize) -> impl Iterator<Item = PeerId> {
    let of = |good: bool| {
        moving
            .iter()
            .filter(move |caller| caller.good == good)
            .map(|caller| caller.peer)
    };
    of(true).chain(of(false).take(low / SERVED_SHARE))
}

/// The peers to disconnect: nobody up to `high` connections. Beyond it go
///
/// 1. those of prefixes that have more than [`OF_A_GROUP`], the worst first, as far as there are
///    more than `low` in all;
/// 2. of those younger than [`GRACE`] whoever has no room beside the settled ones, from where most
///    of them come, the youngest first. Identities that come again and again are always young, and
///    displace one another;
/// 3. of the settled ones, if they alone are more than `high`, the lowest scores down to `low`,
///    which leaves room before the next round.
///
/// Whether a settled connection goes never depends on those that are young or crowded. Protected
/// ones, the best of those that this node dialled, and whom it dialled just now, stay even if that
/// leaves more.
pub fn to_trim(held: &[Held], low: usize, high: usize) -> Vec<PeerId> {
    if held.len() <= high {
        return Vec::new();
    }
    let mut ranked: Vec<&Held> = held.iter().collect();
    ranked.sort_by(|a, b| {
        let better = b.score.total_cmp(&a.score).then(b.age.cmp(&a.age));
        better.then(a.peer.cmp(&b.peer))
    });
    let mut groups: HashMap<Prefix, usize> = HashMap::new();
    let (mut crowded, mut young, mut settled) = (Vec::new(), Vec::new(), Vec::new());
    let (mut dialled, mut settled_count) = (0, 0);
    for peer in ranked {
        // Of a group, the best ones count as its own.
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

/// So many of a ranking, from its end.
fn worst_first(ranked: &[&Held], most: usize) -> Vec<PeerId> {
    ranked
        .iter()
        .rev()
        .take(most)
        .map(|peer| peer.peer)
        .collect()
}

/// The young ones that go when there is room for so many of them: each address keeps as many as any
/// other, those that have been there longest.
fn without_room(mut young: Vec<&Held>, room: usize) -> Vec<PeerId> {
    young.sort_by_key(|peer| (std::cmp::Reverse(peer.age), peer.peer));
    let mut of_host: HashMap<Option<IpAddr>, usize> = HashMap::new();
    let mut turns: Vec<(usize, usize, &Held)> = young
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

    fn one(seconds: u64, score: f64) -> Held {
        Held {
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
        let crowd = (0..6).map(|n| Held {
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
        let mut held: Vec<Held> = (0..60).map(|_| one(3_600, 0.2)).collect();
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
        let at = |n: u8, seconds| Held {
            host: Some([10, 0, 0, n].into()),
            ..one(seconds, 0.3)
        };
        let newcomer = at(2, 0);
        let held: Vec<Held> = (0..80).map(|_| at(1, 20)).chain([newcomer]).collect();
        assert!(!to_trim(&held, 48, 64).contains(&newcomer.peer));
    }

    fn any_held() -> impl Strategy<Value = Held> {
        (0u64..90, 0.0..1.0f64, any::<bool>(), any::<bool>(), 0u8..8).prop_map(
            |(age, score, protected, outbound, n)| {
                let ip = [81, 2, n, 1].into();
                let group = (n < 4).then(|| Prefix::of(ip)).flatten();
                Held {
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
            let gone = |peer: &&Held| trimmed.contains(&peer.peer);
            prop_assert!(held.iter().filter(gone).all(|peer| !peer.protected));
            let reserved = held.iter().filter(|peer| peer.outbound && peer.group.is_none() && !gone(peer)).count();
            let dialled = held.iter().filter(|peer| peer.outbound && peer.group.is_none()).count();
            let grouped = held.iter().filter(|peer| peer.outbound && peer.group.is_some()).count();
            prop_assert!(reserved >= dialled.min(OUTBOUND.saturating_sub(grouped)));
            // Of those that are alike in all else, the worst go.
            let settled = |peer: &&Held| {
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
            // The settled ones by themselves, where there are too many of them in any case.
            let settled: Vec<Held> =
                held.into_iter().map(|one| Held { age: one.age + GRACE, group: None, ..one }).collect();
            let high = low + gap;
            let before: HashSet<PeerId> = to_trim(&settled, low, high).into_iter().collect();
            let more = young.into_iter().map(|(age, score)| one(age, score));
            let all: Vec<Held> = settled.iter().copied().chain(more).collect();
            let after: HashSet<PeerId> = to_trim(&all, low, high).into_iter().collect();
            prop_assert!(settled.iter().all(|one| before.contains(&one.peer) == after.contains(&one.peer)));
        }
    }
}
