//! Selects the peers to ask next.

use std::collections::HashMap;

use libp2p::PeerId;
use rand::{Rng, RngExt, seq::SliceRandom};
use statrs::distribution::ContinuousCDF;

use super::score::{CAUTION, record};
use crate::domain::prefix::Prefix;

/// Share of selections that explore newcomers instead of going by score.
pub const EXPLORATION: f64 = 0.1;
/// The largest share of recent selections for one peer while there are others.
pub const MAX_SHARE: f64 = 0.5;

/// A peer that may be asked.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PeerCandidate {
    /// The peer.
    pub peer: PeerId,
    /// Its score, 0 to 1.
    pub score: f64,
    /// Its decayed successes and failures; see [`super::PeerStanding::decayed`].
    pub successes: f64,
    /// Its decayed failures.
    pub failures: f64,
    /// Its speed relative to others ([`super::Basis::response`]); 0 if unmeasured.
    pub response: f64,
    /// Its share of the recent selections, 0 to 1.
    pub share: f64,
    /// The prefix of its address; peers without one are in no group.
    pub group: Option<Prefix>,
}

#[cfg(test)]
impl PeerCandidate {
    /// Returns a candidate about which only the score is known.
    pub(super) fn scored(score: f64) -> Self {
        Self {
            peer: PeerId::random(),
            score,
            successes: 0.0,
            failures: 0.0,
            response: 0.0,
            share: 0.0,
            group: None,
        }
    }
}

/// Selects up to `limit` different peers with a score of at least `min_reputation`, in the order in
/// which to ask them.
///
/// Most selections take the highest score left. One in ten uses Thompson sampling (W. R. Thompson,
/// Biometrika 25, 1933) among the peers that scores alone would leave out: a share of right answers
/// is drawn for each from Beta(1 + successes, 1 + failures). Of the draws above one half, the peer
/// wins whose draw exceeds its cautious estimate by most, weighted by its speed, because late
/// answers are worth less. Newcomers often win; a peer known to be good or slow has nothing to
/// prove, and one known to lie hardly ever draws so high.
///
/// While there are others, no peer gets more than half of the recent selections, and no address
/// prefix more than half of these, rounded up, because one party may own a whole prefix.
pub fn select_best_peers(
    candidates: &[PeerCandidate],
    min_reputation: f64,
    limit: usize,
    rng: &mut impl Rng,
) -> Vec<PeerId> {
    let mut left: Vec<PeerCandidate> = candidates
        .iter()
        .filter(|peer| peer.score >= min_reputation)
        .copied()
        .collect();
    // Shuffle first, so that equal scores are selected evenly and not always in the same order.
    left.shuffle(rng);
    left.sort_by(|a, b| b.score.total_cmp(&a.score));
    let limit = limit.min(left.len());
    let of_a_group = limit.div_ceil(2);
    let mut groups: HashMap<Prefix, usize> = HashMap::new();
    let mut chosen = Vec::with_capacity(limit);
    while chosen.len() < limit {
        let is_free = |peer: &PeerCandidate| {
            let crowded = peer
                .group
                .is_some_and(|group| groups.get(&group).is_some_and(|count| *count >= of_a_group));
            peer.share <= MAX_SHARE && !crowded
        };
        let best = left.iter().position(is_free).unwrap_or_default();
        // The peers that would be left out if only scores counted.
        let beyond = limit - chosen.len();
        let place = if left.len() > beyond && rng.random_bool(EXPLORATION) {
            let draws = left
                .iter()
                .enumerate()
                .skip(beyond)
                .filter(|(_, peer)| is_free(peer));
            let draws: Vec<(usize, f64)> = draws
                .filter_map(|(at, peer)| Some((at, promise(peer, rng)?)))
                .collect();
            draws
                .into_iter()
                .max_by(|(_, a), (_, b)| a.total_cmp(b))
                .map_or(best, |(at, _)| at)
        } else {
            best
        };
        if place >= left.len() {
            break;
        }
        let peer = left.remove(place);
        if let Some(group) = peer.group {
            *groups.entry(group).or_default() += 1;
        }
        chosen.push(peer.peer);
    }
    chosen
}

/// Returns a random draw of how far a peer may exceed its cautious estimate, weighted by its speed;
/// `None` if it is not promising enough to try.
fn promise(peer: &PeerCandidate, rng: &mut impl Rng) -> Option<f64> {
    let beta = record(peer.successes, peer.failures)?;
    let draw = beta.inverse_cdf(rng.random());
    // Assume median speed if unmeasured.
    let quick = if peer.response > 0.0 {
        peer.response
    } else {
        0.5
    };
    (draw > 0.5).then(|| (draw - beta.inverse_cdf(CAUTION)) * quick)
}

/// The recent selections of each peer: with every hundred more, earlier ones count half.
#[derive(Clone, Debug, Default)]
pub struct Choices {
    of: HashMap<PeerId, f64>,
    all: f64,
}

impl Choices {
    /// The number of selections after which one counts half.
    const MEMORY: f64 = 100.0;
    /// Shares of fewer selections than this are not reported.
    const FEW: f64 = 10.0;

    /// Records a selection of peers.
    pub fn note(&mut self, chosen: &[PeerId]) {
        let kept = 0.5f64.powf(chosen.len() as f64 / Self::MEMORY);
        self.all = self.all * kept + chosen.len() as f64;
        self.of.values_mut().for_each(|count| *count *= kept);
        for peer in chosen {
            *self.of.entry(*peer).or_default() += 1.0;
        }
        self.of.retain(|_, count| *count > 0.01);
    }

    /// Returns a peer's share of the recent selections, 0 to 1.
    pub fn share(&self, peer: &PeerId) -> f64 {
        if self.all < Self::FEW {
            0.0
        } else {
            self.of.get(peer).map_or(0.0, |count| count / self.all)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;
    use rand::{SeedableRng, rngs::StdRng};

    use super::*;

    fn group(n: u8) -> Option<Prefix> {
        Prefix::of(std::net::Ipv4Addr::new(81, 2, n, 1).into())
    }

    #[test]
    fn selection_prefers_the_best_and_explores_the_rest() {
        let mut rng = StdRng::seed_from_u64(7);
        let candidates: Vec<_> = (0..20)
            .map(|n| PeerCandidate::scored(f64::from(n) / 20.0))
            .collect();
        let best: Vec<_> = candidates.iter().rev().take(3).map(|c| c.peer).collect();
        let mut chosen_best = 0;
        for _ in 0..1_000 {
            let chosen = select_best_peers(&candidates, 0.2, 3, &mut rng);
            assert_eq!(chosen.len(), 3);
            assert!(
                candidates
                    .iter()
                    .take(4)
                    .all(|low| !chosen.contains(&low.peer)),
                "below the minimum"
            );
            chosen_best += chosen.iter().filter(|peer| best.contains(peer)).count();
        }
        assert!(
            (2_600..2_850).contains(&chosen_best),
            "about a tenth explores: {chosen_best} of 3000 were the best"
        );
        assert!(select_best_peers(&candidates, 2.0, 3, &mut rng).is_empty());
    }

    #[test]
    fn exploring_finds_newcomers_and_leaves_liars_alone() {
        let mut rng = StdRng::seed_from_u64(11);
        let proven = (0..5).map(|_| PeerCandidate {
            successes: 50.0,
            ..PeerCandidate::scored(0.8)
        });
        let newcomers = (0..3).map(|_| PeerCandidate::scored(0.4));
        let liars = (0..4).map(|_| PeerCandidate {
            failures: 20.0,
            ..PeerCandidate::scored(0.3)
        });
        let candidates: Vec<_> = proven.chain(newcomers).chain(liars).collect();
        let (mut new, mut lying, rounds) = (0, 0, 2_000);
        for _ in 0..rounds {
            let chosen = select_best_peers(&candidates, 0.0, 2, &mut rng);
            new += chosen
                .iter()
                .filter(|peer| candidates[5..8].iter().any(|one| one.peer == **peer))
                .count();
            lying += chosen
                .iter()
                .filter(|peer| candidates[8..].iter().any(|one| one.peer == **peer))
                .count();
        }
        assert!(new > rounds / 20, "{new} places of newcomers");
        assert!(
            lying * 50 < rounds * 2,
            "liars got {lying} places of {}",
            rounds * 2
        );
    }

    #[test]
    fn whoever_is_known_to_be_slow_is_hardly_tried_again() {
        let mut rng = StdRng::seed_from_u64(13);
        let proven = (0..5).map(|_| PeerCandidate {
            successes: 50.0,
            response: 0.8,
            ..PeerCandidate::scored(0.8)
        });
        let tried = (0..5).map(|_| PeerCandidate {
            successes: 2.0,
            response: 0.5,
            ..PeerCandidate::scored(0.4)
        });
        let slow = (0..5).map(|_| PeerCandidate {
            successes: 2.0,
            response: 0.15,
            ..PeerCandidate::scored(0.3)
        });
        let candidates: Vec<_> = proven.chain(tried).chain(slow).collect();
        let (mut again, mut dawdling) = (0, 0);
        for _ in 0..2_000 {
            let chosen = select_best_peers(&candidates, 0.0, 3, &mut rng);
            again += chosen
                .iter()
                .filter(|peer| candidates[5..10].iter().any(|one| one.peer == **peer))
                .count();
            dawdling += chosen
                .iter()
                .filter(|peer| candidates[10..].iter().any(|one| one.peer == **peer))
                .count();
        }
        assert!(
            again > 300 && dawdling * 10 < again,
            "{again} and {dawdling} of 6000"
        );
    }

    #[test]
    fn nobody_gets_everything() {
        let mut rng = StdRng::seed_from_u64(3);
        let mut choices = Choices::default();
        let mut candidates = vec![
            PeerCandidate::scored(0.9),
            PeerCandidate::scored(0.8),
            PeerCandidate::scored(0.7),
        ];
        let mut got: HashMap<PeerId, usize> = HashMap::new();
        for _ in 0..2_000 {
            candidates
                .iter_mut()
                .for_each(|one| one.share = choices.share(&one.peer));
            let chosen = select_best_peers(&candidates, 0.0, 1, &mut rng);
            choices.note(&chosen);
            chosen
                .into_iter()
                .for_each(|peer| *got.entry(peer).or_default() += 1);
        }
        assert!(got.values().all(|count| *count < 1_100), "{got:?}");
        assert_eq!(
            select_best_peers(&candidates[..1], 0.0, 1, &mut rng).len(),
            1,
            "alone, it gets everything"
        );
    }

    proptest! {
        #[test]
        fn the_chosen_differ_are_candidates_and_spread(
            peers in proptest::collection::vec((0.0..1.0f64, 0.0..60.0f64, 0.0..60.0f64, 0.0..1.0f64, 0u8..6), 0..24),
            limit in 0usize..8, seed in any::<u64>(),
        ) {
            let candidates: Vec<_> = peers.iter().map(|(score, successes, failures, share, n)| PeerCandidate {
                successes: *successes, failures: *failures, share: *share, group: group(*n), ..PeerCandidate::scored(*score)
            }).collect();
            let chosen = select_best_peers(&candidates, 0.1, limit, &mut StdRng::seed_from_u64(seed));
            let distinct: HashSet<_> = chosen.iter().collect();
            prop_assert_eq!(distinct.len(), chosen.len());
            let allowed: Vec<_> = candidates.iter().filter(|one| one.score >= 0.1).collect();
            prop_assert_eq!(chosen.len(), limit.min(allowed.len()), "nobody is left out for want \
                of variety");
            prop_assert!(chosen.iter().all(|peer| allowed.iter().any(|one| one.peer == *peer)));
            // If enough peers of other groups are allowed, no group gets more than half.
            let free = allowed.iter().filter(|one| one.share <= MAX_SHARE);
            let groups: HashSet<_> = free.map(|one| one.group).collect();
            if groups.len() >= chosen.len() && !chosen.is_empty() {
                let of = |peer: &PeerId| allowed.iter().find(|one| one.peer == *peer).unwrap().group;
                let most = groups.iter().map(|group| chosen.iter().filter(|peer| of(peer) == *group).count()).max();
                prop_assert!(most.unwrap_or(0) <= chosen.len().div_ceil(2));
            }
        }
    }
}
