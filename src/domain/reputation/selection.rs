//! Methods of peer selection. All except the first exist for comparison.

use libp2p::PeerId;
use rand::{Rng, seq::SliceRandom};

use super::{
    score::{Basis, Weights, score},
    select::{PeerCandidate, select_best_peers},
};

/// A method of selecting the peers to ask.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SelectionMethod {
    /// By [`score()`], as [`select_best_peers`] does.
    #[default]
    Reputation,
    /// Uniformly at random.
    Random,
    /// The highest [`unsmoothed`] score first, without exploration.
    Unsmoothed,
}

/// The number of possible providers that are selected with exploration; the rest go by score.
const TRIED: usize = 8;

impl SelectionMethod {
    /// Returns the score by which a peer is ranked, 0 to 1.
    pub fn score(self, basis: &Basis, weights: &Weights) -> f64 {
        match self {
            Self::Reputation | Self::Random => score(basis, weights).total,
            Self::Unsmoothed => unsmoothed(basis),
        }
    }

    /// Selects up to `limit` different peers with a score of at least `min_reputation`, in the
    /// order in which to ask them.
    pub fn choose(
        self,
        candidates: &[PeerCandidate],
        min_reputation: f64,
        limit: usize,
        rng: &mut impl Rng,
    ) -> Vec<PeerId> {
        if self == Self::Reputation {
            return select_best_peers(candidates, min_reputation, limit, rng);
        }
        let mut left: Vec<&PeerCandidate> = candidates
            .iter()
            .filter(|peer| peer.score >= min_reputation)
            .collect();
        left.shuffle(rng);
        if self == Self::Unsmoothed {
            left.sort_by(|a, b| b.score.total_cmp(&a.score));
        }
        left.into_iter().take(limit).map(|one| one.peer).collect()
    }

    /// Returns all peers in the order in which to ask them until one has the content. Peers under
    /// exploration come after known ones: in parallel they cost nothing, whereas first in line they
    /// would be waited for.
    pub fn order(self, candidates: &[PeerCandidate], rng: &mut impl Rng) -> Vec<PeerId> {
        if self != Self::Reputation {
            return self.choose(candidates, 0.0, usize::MAX, rng);
        }
        let mut order = select_best_peers(candidates, 0.0, TRIED, rng);
        let score = |peer: &PeerId| {
            candidates
                .iter()
                .find(|one| one.peer == *peer)
                .map_or(0.0, |one| one.score)
        };
        order.sort_by(|a, b| score(b).total_cmp(&score(a)));
        let mut rest: Vec<&PeerCandidate> = candidates
            .iter()
            .filter(|one| !order.contains(&one.peer))
            .collect();
        rest.sort_by(|a, b| b.score.total_cmp(&a.score));
        order.extend(rest.into_iter().map(|one| one.peer));
        order
    }
}

/// Returns a common kind of score, for comparison with ours: 0.4 of the plain share of right
/// answers, which is 1 for a peer never asked, 0.3 of the response, 0.2 of the availability and 0.1
/// of the recency in [`Basis`]. It is not cautious, and proximity shows only in the response.
pub fn unsmoothed(basis: &Basis) -> f64 {
    let all = basis.successes + basis.failures;
    let success = if all > 0.0 {
        basis.successes / all
    } else {
        1.0
    };
    (0.4 * success + 0.3 * basis.response() + 0.2 * basis.availability() + 0.1 * basis.recency())
        .clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;
    use rand::{SeedableRng, rngs::StdRng};

    use super::*;

    const ALL: [SelectionMethod; 3] = [
        SelectionMethod::Reputation,
        SelectionMethod::Random,
        SelectionMethod::Unsmoothed,
    ];

    #[test]
    fn a_stranger_is_perfect_only_without_smoothing() {
        let (stranger, proven) = (
            Basis::default(),
            Basis {
                successes: 99.0,
                failures: 1.0,
                ..Basis::default()
            },
        );
        assert!(unsmoothed(&stranger) > unsmoothed(&proven));
        let by_score = |basis| SelectionMethod::Reputation.score(basis, &Weights::default());
        assert!(by_score(&stranger) < by_score(&proven));
    }

    proptest! {
        #[test]
        fn every_way_chooses_different_candidates_and_orders_all(
            scores in proptest::collection::vec(0.0..1.0f64, 0..40), limit in 0usize..10, seed in any::<u64>(),
        ) {
            let mut rng = StdRng::seed_from_u64(seed);
            let candidates: Vec<_> = scores.iter().map(|score| PeerCandidate::scored(*score)).collect();
            let all: HashSet<_> = candidates.iter().map(|one| one.peer).collect();
            for selection in ALL {
                let chosen: HashSet<_> = selection.choose(&candidates, 0.0, limit, &mut rng).into_iter().collect();
                prop_assert_eq!(chosen.len(), limit.min(all.len()));
                prop_assert!(chosen.is_subset(&all));
                let order = selection.order(&candidates, &mut rng);
                prop_assert_eq!(order.len(), all.len());
                if selection != SelectionMethod::Random && let Some(first) = order.first() {
                    let of = |peer: &PeerId| candidates.iter().find(|one| one.peer == *peer).unwrap().score;
                    prop_assert_eq!(of(first), scores.iter().copied().fold(0.0, f64::max), "the \
                        best is not waited for");
                }
                prop_assert_eq!(order.into_iter().collect::<HashSet<_>>(), all.clone());
            }
        }

        #[test]
        fn the_unsmoothed_score_is_a_share(s in 0.0..1e6f64, f in 0.0..1e6f64, rtt in 0.0..1e5f64, served in any::<u32>()) {
            let basis = Basis {
                successes: s, failures: f, rtt_ms: Some(rtt), served: served.into(), uptime: 1.0, ..Basis::default()
            };
            prop_assert!((0.0..=1.0).contains(&unsmoothed(&basis)));
        }
    }
}
