//! How good a peer has been to ask: evidence, the score made of it, and the choice of whom to ask next.
//!
//! The score guides *selection*; it punishes nobody. Every part is shown to the person as it is computed here.

use std::{collections::VecDeque, time::Duration};

use libp2p::PeerId;
use rand::{Rng, RngExt, seq::SliceRandom};
use serde::{Deserialize, Serialize};
use statrs::distribution::{Beta, ContinuousCDF};

use super::time::Timestamp;

/// Successes and failures count half after this long.
pub const HALF_LIFE: Duration = Duration::from_secs(24 * 3_600);
/// Evidence lines kept per peer for the person to read.
pub const KEPT_EVIDENCE: usize = 16;
/// Share of choices given to peers that the score would not have chosen, so that newcomers can prove themselves.
pub const EXPLORATION: f64 = 0.1;

/// One observed outcome. Only what this node verified itself is evidence; what a peer says of itself is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It answered, and the answer verified.
    AnswerRight,
    /// It answered with something that does not verify.
    AnswerWrong,
    /// It did not answer in time.
    AnswerLate,
    /// It answered that it has nothing, where another had the record.
    AnswerMissing,
    /// It passed on a record that verifies. Shown, but earns nothing: announcing much is no merit.
    RecordValid,
    /// It passed on a record that every honest node refuses.
    RecordInvalid,
    /// It could not be reached at an address it gave.
    Unreachable,
    /// It gave a content, or a part of one, that verifies.
    ContentRight,
    /// It gave bytes that are not the content's.
    ContentWrong,
    /// It fell silent in the middle of a content, or was too slow to be worth waiting for.
    ContentLate,
}

impl Outcome {
    /// What the outcome adds to the successes and failures. A wrong answer costs as much as four silences: it is
    /// either malice or corruption, and silence may be the network's fault.
    pub fn weight(self) -> (f64, f64) {
        match self {
            Self::AnswerRight | Self::ContentRight => (1.0, 0.0),
            Self::RecordValid => (0.0, 0.0),
            Self::AnswerWrong | Self::RecordInvalid | Self::ContentWrong => (0.0, 4.0),
            Self::AnswerLate | Self::ContentLate => (0.0, 1.0),
            Self::AnswerMissing | Self::Unreachable => (0.0, 0.25),
        }
    }

    pub fn label(self) -> &'static str {
        match self {
            Self::AnswerRight => "answered right",
            Self::AnswerWrong => "answered wrong",
            Self::AnswerLate => "answered late",
            Self::AnswerMissing => "had nothing",
            Self::RecordValid => "passed on a valid record",
            Self::RecordInvalid => "passed on a forged record",
            Self::Unreachable => "could not be reached",
            Self::ContentRight => "gave content that verifies",
            Self::ContentWrong => "gave content that does not verify",
            Self::ContentLate => "fell silent while giving content",
        }
    }
}

/// An outcome and when it was observed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    pub at: Timestamp,
    pub outcome: Outcome,
}

/// Everything remembered about one peer that its score is made of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Standing {
    /// Weighted verified successes, as of `decayed_at`.
    pub successes: f64,
    /// Weighted failures, as of `decayed_at`.
    pub failures: f64,
    pub decayed_at: Timestamp,
    /// Moving average of the round trip, in milliseconds.
    pub rtt_ms: Option<f64>,
    pub first_seen: Timestamp,
    pub last_seen: Timestamp,
    /// Time it was connected to this node, in all.
    pub connected: Duration,
    /// Verified answers it gave, ever.
    pub served: u64,
    pub recent: VecDeque<Evidence>,
}

impl Standing {
    pub fn new(now: Timestamp) -> Self {
        Self {
            successes: 0.0,
            failures: 0.0,
            decayed_at: now,
            rtt_ms: None,
            first_seen: now,
            last_seen: now,
            connected: Duration::ZERO,
            served: 0,
            recent: VecDeque::new(),
        }
    }

    /// Successes and failures with their half-life applied up to `now`.
    pub fn decayed(&self, now: Timestamp) -> (f64, f64) {
        let half_lives = now.since(self.decayed_at).as_secs_f64() / HALF_LIFE.as_secs_f64();
        let factor = 0.5_f64.powf(half_lives);
        (self.successes * factor, self.failures * factor)
    }

    pub fn observe(&mut self, outcome: Outcome, now: Timestamp) {
        let (successes, failures) = self.decayed(now);
        let (won, lost) = outcome.weight();
        (self.successes, self.failures, self.decayed_at) = (successes + won, failures + lost, now);
        if matches!(outcome, Outcome::AnswerRight | Outcome::ContentRight) {
            self.served = self.served.saturating_add(1);
        }
        if outcome != Outcome::Unreachable {
            self.last_seen = self.last_seen.max(now);
        }
        let evidence = Evidence { at: now, outcome };
        match self.recent.back_mut() {
            // Announcements come by the hundred and would push everything else out.
            Some(last) if last.outcome == outcome && outcome == Outcome::RecordValid => *last = evidence,
            _ => self.recent.push_back(evidence),
        }
        if self.recent.len() > KEPT_EVIDENCE {
            self.recent.pop_front();
        }
    }

    /// Moving average of round trips: 0.7 of the old, 0.3 of the new.
    pub fn observe_rtt(&mut self, rtt: Duration, now: Timestamp) {
        let new = rtt.as_secs_f64() * 1_000.0;
        self.rtt_ms = Some(self.rtt_ms.map_or(new, |old| 0.7 * old + 0.3 * new));
        self.last_seen = self.last_seen.max(now);
    }
}

/// Weights of the score's parts, as settings give them. They need not sum to one: the score is capped.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Weights {
    pub success: f64,
    pub response: f64,
    pub availability: f64,
    pub recency: f64,
    /// Most the proximity bonus adds.
    pub proximity: f64,
    /// Distance in km at which the bonus is full.
    pub near_km: f64,
    /// Distance in km from which there is no bonus.
    pub far_km: f64,
}

impl Default for Weights {
    fn default() -> Self {
        Self {
            success: 0.50,
            response: 0.25,
            availability: 0.15,
            recency: 0.10,
            proximity: 0.10,
            near_km: 0.0,
            far_km: 100.0,
        }
    }
}

/// A score with its parts, each already weighted: `total` is their sum, at most 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Score {
    pub total: f64,
    pub success: f64,
    pub response: f64,
    pub availability: f64,
    pub recency: f64,
    pub proximity: f64,
}

/// Scores a peer, in 0 to 1:
///
/// - success: the 5th percentile of Beta(1 + s, 1 + f), a cautious estimate of the share of right answers, so that
///   one lucky answer does not make a newcomer the best (as in E. Miller, "How Not To Sort By Average Rating", 2009);
/// - response: `median / (median + rtt)` against the population's median round trip; unmeasured is 0;
/// - availability: half observed uptime (with an hour's prior of absence), half `served / (served + 20)`;
/// - recency: `1 / (1 + hours since last seen)`;
/// - proximity: a bonus falling linearly from `near_km` to `far_km`.
pub fn score(
    standing: &Standing,
    median_rtt_ms: Option<f64>,
    distance_km: Option<f64>,
    weights: &Weights,
    now: Timestamp,
) -> Score {
    let (successes, failures) = standing.decayed(now);
    let success = cautious_share(successes, failures);
    let response = match (standing.rtt_ms, median_rtt_ms) {
        (Some(rtt), Some(median)) if median + rtt > 0.0 => median / (median + rtt),
        (Some(_), _) => 0.5,
        _ => 0.0,
    };
    const HOUR: f64 = 3_600.0;
    let known = now.since(standing.first_seen).as_secs_f64();
    let uptime = (standing.connected.as_secs_f64() / (known + HOUR)).min(1.0);
    let served = standing.served as f64;
    let availability = 0.5 * uptime + 0.5 * served / (served + 20.0);
    let recency = 1.0 / (1.0 + now.since(standing.last_seen).as_secs_f64() / HOUR);
    let proximity = distance_km.map_or(0.0, |km| nearness(km, weights));
    let mut score = Score {
        total: 0.0,
        success: weights.success * success,
        response: weights.response * response,
        availability: weights.availability * availability,
        recency: weights.recency * recency,
        proximity: weights.proximity * proximity,
    };
    score.total =
        (score.success + score.response + score.availability + score.recency + score.proximity).clamp(0.0, 1.0);
    score
}

fn cautious_share(successes: f64, failures: f64) -> f64 {
    Beta::new(1.0 + successes.max(0.0), 1.0 + failures.max(0.0)).map_or(0.0, |beta| beta.inverse_cdf(0.05))
}

fn nearness(km: f64, weights: &Weights) -> f64 {
    let span = weights.far_km - weights.near_km;
    if span <= 0.0 || !km.is_finite() {
        return 0.0;
    }
    ((weights.far_km - km) / span).clamp(0.0, 1.0)
}

/// The median of round trips in milliseconds, against which response is judged.
pub fn median(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.into_iter().filter(|value| value.is_finite()).collect();
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

/// A peer that may be asked, and its score.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Candidate {
    pub peer: PeerId,
    pub score: f64,
}

/// Chooses up to `limit` different peers: those of at least `min_reputation` by score, except that about
/// [`EXPLORATION`] of the places go to any of the others at random.
pub fn select_best_peers(
    candidates: &[Candidate],
    min_reputation: f64,
    limit: usize,
    rng: &mut impl Rng,
) -> Vec<PeerId> {
    let mut ranked: Vec<Candidate> = candidates.iter().filter(|peer| peer.score >= min_reputation).copied().collect();
    // Shuffled first: equals are then chosen evenly instead of always in the same order.
    ranked.shuffle(rng);
    ranked.sort_by(|a, b| b.score.total_cmp(&a.score));
    for place in 0..limit.min(ranked.len()) {
        let beyond = ranked.len() - limit.min(ranked.len());
        if beyond > 0 && rng.random_bool(EXPLORATION) {
            ranked.swap(place, limit + rng.random_range(0..beyond));
        }
    }
    ranked.into_iter().take(limit).map(|peer| peer.peer).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rand::{SeedableRng, rngs::StdRng};

    const NOW: Timestamp = Timestamp(1_700_000_000_000);

    fn standing(successes: f64, failures: f64, rtt: f64, hours_up: u64, served: u64) -> Standing {
        Standing {
            successes,
            failures,
            rtt_ms: Some(rtt),
            connected: Duration::from_secs(hours_up * 3_600),
            served,
            first_seen: NOW.before(Duration::from_secs(48 * 3_600)),
            ..Standing::new(NOW)
        }
    }

    fn total(standing: &Standing, km: Option<f64>, now: Timestamp) -> f64 {
        score(standing, Some(20.0), km, &Weights::default(), now).total
    }

    #[test]
    fn a_newcomer_is_neither_best_nor_worst() {
        let newcomer = total(&Standing::new(NOW), None, NOW);
        let proven = total(&standing(50.0, 1.0, 10.0, 40, 50), None, NOW);
        let liar = total(&standing(2.0, 40.0, 200.0, 1, 2), None, NOW.after(Duration::from_secs(3_600)));
        assert!(liar < newcomer && newcomer < proven, "{liar} {newcomer} {proven}");
    }

    #[test]
    fn announcing_much_earns_nothing() {
        let mut quiet = Standing::new(NOW);
        let mut loud = quiet.clone();
        (0..1_000).for_each(|_| loud.observe(Outcome::RecordValid, NOW));
        quiet.last_seen = NOW;
        assert_eq!(total(&quiet, None, NOW), total(&loud, None, NOW));
        assert_eq!(loud.recent.len(), 1, "a run of them is one line of evidence");
    }

    #[test]
    fn selection_prefers_the_best_and_explores_the_rest() {
        let mut rng = StdRng::seed_from_u64(7);
        let candidates: Vec<_> =
            (0..20).map(|n| Candidate { peer: PeerId::random(), score: f64::from(n) / 20.0 }).collect();
        let best: Vec<_> = candidates.iter().rev().take(3).map(|c| c.peer).collect();
        let mut chosen_best = 0;
        for _ in 0..1_000 {
            let chosen = select_best_peers(&candidates, 0.2, 3, &mut rng);
            assert_eq!(chosen.len(), 3);
            assert!(candidates.iter().take(4).all(|low| !chosen.contains(&low.peer)), "below the minimum");
            chosen_best += chosen.iter().filter(|peer| best.contains(peer)).count();
        }
        assert!((2_550..2_850).contains(&chosen_best), "about a tenth explores: {chosen_best} of 3000 were the best");
        assert!(select_best_peers(&candidates, 2.0, 3, &mut rng).is_empty());
    }

    proptest! {
        #[test]
        fn scores_are_bounded_and_the_sum_of_their_parts(
            s in 0.0..1e6f64, f in 0.0..1e6f64, rtt in 0.0..1e5f64, up in 0u64..1_000, served in 0u64..1_000_000,
            km in 0.0..20_000.0f64, later in 0u64..10_000,
        ) {
            let standing = standing(s, f, rtt, up, served);
            let score = score(&standing, Some(20.0), Some(km), &Weights::default(), NOW.after(Duration::from_secs(later * 60)));
            prop_assert!((0.0..=1.0).contains(&score.total));
            let sum = score.success + score.response + score.availability + score.recency + score.proximity;
            prop_assert!((score.total - sum.min(1.0)).abs() < 1e-9);
        }

        #[test]
        fn scores_are_monotone_in_each_part(
            s in 0.0..500.0f64, f in 0.0..500.0f64, rtt in 0.1..1e3f64, up in 0u64..40, served in 0u64..1_000, km in 0.0..150.0f64,
            more in 0.1..100.0f64,
        ) {
            let base = total(&standing(s, f, rtt, up, served), Some(km), NOW);
            let slack = 1e-6;
            prop_assert!(total(&standing(s + more, f, rtt, up, served), Some(km), NOW) >= base - slack);
            prop_assert!(total(&standing(s, f + more, rtt, up, served), Some(km), NOW) <= base + slack);
            prop_assert!(total(&standing(s, f, rtt + more, up, served), Some(km), NOW) <= base + slack);
            prop_assert!(total(&standing(s, f, rtt, up + 1, served), Some(km), NOW) >= base - slack);
            prop_assert!(total(&standing(s, f, rtt, up, served + 1), Some(km), NOW) >= base - slack);
            prop_assert!(total(&standing(s, f, rtt, up, served), Some(km + more), NOW) <= base + slack);
        }

        #[test]
        fn what_happened_is_forgotten(s in 0.0..100.0f64, f in 0.0..100.0f64, days in 0u64..30) {
            let standing = standing(s, f, 10.0, 1, 1);
            let later = NOW.after(Duration::from_secs(days * 86_400));
            let (s_left, f_left) = standing.decayed(later);
            let share = 0.5f64.powi(days as i32);
            prop_assert!((s_left - s * share).abs() < 1e-6 && (f_left - f * share).abs() < 1e-6);
        }
    }
}
