//! Peer scores: evidence, the score computed from it, and the choice of peers to ask.
//!
//! The score guides selection and punishes nobody. People see every part exactly as it is computed
//! here.

mod score;
mod select;
mod selection;

use std::{collections::VecDeque, time::Duration};

use serde::{Deserialize, Serialize};

pub use score::{Basis, LIAR_CAP, Population, Score, Weights, is_proven, median, score};
pub use select::{Choices, EXPLORATION, MAX_SHARE, PeerCandidate, select_best_peers};
pub use selection::{SelectionMethod, unsmoothed};

use super::{record::Refusal, size::Size, time::Timestamp};

/// Successes and failures lose half their weight in this time.
pub const HALF_LIFE: Duration = Duration::from_secs(24 * 3_600);
/// Lines of evidence kept for each peer, for display.
pub const KEPT_EVIDENCE: usize = 32;
/// A lie is held against a peer for this long.
pub const LIE_LASTS: Duration = Duration::from_secs(7 * 24 * 3_600);
/// Repetitions within this time are one line with a count.
pub const ONE_LINE: Duration = Duration::from_secs(60);

/// An observed outcome. Only what this node verified itself is evidence, never a peer's word about
/// itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It answered, and the answer verified.
    AnswerRight,
    /// It answered with something that does not verify.
    AnswerWrong,
    /// It did not answer in time.
    AnswerLate,
    /// It answered, but much later than others do ([`Population::is_slow`]).
    AnswerSlow,
    /// It answered that it has nothing, but another peer had the record.
    AnswerMissing,
    /// It forwarded a valid record. This is shown but earns nothing.
    RecordValid,
    /// It forwarded a record that this node does not need: outdated, over a quota, or from a wrong
    /// clock.
    RecordIgnored,
    /// It forwarded a record whose signature does not match.
    RecordInvalid,
    /// It forwarded a signed record that every honest node refuses because of a rule.
    RecordUnfit,
    /// It could not be reached at an address that it gave.
    Unreachable,
    /// The last connection to it ended. This costs nothing by itself, but lowers its uptime.
    ConnectionLost,
    /// It sent content, or a part of one, that verifies.
    ContentRight,
    /// It sent bytes that do not match the content's hash.
    ContentWrong,
    /// It fell silent in the middle of a transfer.
    ContentLate,
    /// It sent content so slowly that others were asked for the rest.
    ContentSlow,
}

impl Outcome {
    /// Returns the outcome of forwarding a record that every honest node refuses.
    pub fn of_record(refusal: Refusal) -> Self {
        if refusal.is_proven() {
            Self::RecordInvalid
        } else {
            Self::RecordUnfit
        }
    }

    /// Returns the successes and failures that the outcome adds. A wrong answer weighs as much as
    /// four silences: it is malice or corruption, whereas silence may be the network's fault. A
    /// slow answer adds a success and a failure, so slow answers alone never make a peer good to
    /// ask.
    pub fn weight(self) -> (f64, f64) {
        match self {
            Self::AnswerRight | Self::ContentRight => (1.0, 0.0),
            Self::RecordValid | Self::RecordIgnored | Self::ConnectionLost => (0.0, 0.0),
            Self::AnswerWrong | Self::RecordInvalid | Self::RecordUnfit | Self::ContentWrong => {
                (0.0, 4.0)
            }
            Self::AnswerLate | Self::AnswerSlow | Self::ContentLate => (0.0, 1.0),
            Self::ContentSlow => (0.0, 0.5),
            Self::AnswerMissing | Self::Unreachable => (0.0, 0.25),
        }
    }

    /// Returns true if the peer was proven to have sent something false. A wrong answer may be a
    /// mistake of another version; bytes that do not match a hash or a signature are no mistake.
    pub fn is_lie(self) -> bool {
        matches!(self, Self::ContentWrong | Self::RecordInvalid)
    }

    /// Returns a short description for display.
    pub fn label(self) -> &'static str {
        match self {
            Self::AnswerRight => "answered right",
            Self::AnswerWrong => "answered wrong",
            Self::AnswerLate => "answered late",
            Self::AnswerSlow => "answered slowly",
            Self::AnswerMissing => "had nothing",
            Self::RecordValid => "relayed a valid announcement",
            Self::RecordIgnored => "relayed an announcement that was not needed",
            Self::RecordInvalid => "sent a forged record",
            Self::RecordUnfit => "sent a record that breaks a rule",
            Self::Unreachable => "could not be reached",
            Self::ConnectionLost => "its connection ended",
            Self::ContentRight => "sent content that verifies",
            Self::ContentWrong => "sent content that does not verify",
            Self::ContentLate => "fell silent while sending content",
            Self::ContentSlow => "sent content slowly",
        }
    }
}

/// An outcome and its time. Repetitions within a minute are one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerEvidence {
    /// The time of the latest one.
    pub at: Timestamp,
    /// The outcome.
    pub outcome: Outcome,
    /// The number of repetitions.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub count: u32,
    /// Bytes of verified content.
    #[serde(default, skip_serializing_if = "is_none")]
    pub bytes: u64,
}

fn one() -> u32 {
    1
}

fn is_one(count: &u32) -> bool {
    *count == 1
}

fn is_none(bytes: &u64) -> bool {
    *bytes == 0
}

impl PeerEvidence {
    /// Creates the evidence of one outcome.
    pub fn new(outcome: Outcome, at: Timestamp) -> Self {
        Self {
            at,
            outcome,
            count: 1,
            bytes: 0,
        }
    }

    /// Returns the outcome in words, with its count and size.
    pub fn describe(&self) -> String {
        let times = if self.count > 1 {
            format!(", {} times", self.count)
        } else {
            String::new()
        };
        let bytes = if self.bytes > 0 {
            format!(", {}", Size(self.bytes))
        } else {
            String::new()
        };
        format!("{}{times}{bytes}", self.outcome.label())
    }
}

/// Everything about a peer on which its score rests.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PeerStanding {
    /// Weighted successes, as of `decayed_at`.
    pub successes: f64,
    /// Weighted failures, as of `decayed_at`.
    pub failures: f64,
    /// The time up to which both are decayed.
    pub decayed_at: Timestamp,
    /// Moving average of the round trip, in milliseconds.
    pub rtt_ms: Option<f64>,
    /// Moving average of the time to answer a request, in milliseconds.
    #[serde(default)]
    pub answer_ms: Option<f64>,
    /// Moving average of its content throughput, in bytes a second.
    #[serde(default)]
    pub rate: Option<f64>,
    /// The time at which the peer was first seen.
    pub first_seen: Timestamp,
    /// The time at which it was last seen.
    pub last_seen: Timestamp,
    /// Total time connected to this node.
    pub connected: Duration,
    /// Verified answers and contents so far.
    pub served: u64,
    /// Proven lies, and the time of the latest one.
    #[serde(default)]
    pub lies: u32,
    /// The time of the latest lie.
    #[serde(default)]
    pub lied_at: Option<Timestamp>,
    /// Recent evidence, newest last.
    pub recent: VecDeque<PeerEvidence>,
}

impl PeerStanding {
    /// Creates the standing of a peer seen for the first time.
    pub fn new(now: Timestamp) -> Self {
        Self {
            successes: 0.0,
            failures: 0.0,
            decayed_at: now,
            rtt_ms: None,
            answer_ms: None,
            rate: None,
            first_seen: now,
            last_seen: now,
            connected: Duration::ZERO,
            served: 0,
            lies: 0,
            lied_at: None,
            recent: VecDeque::new(),
        }
    }

    /// Successes and failures with their half-life applied up to `now`.
    pub fn decayed(&self, now: Timestamp) -> (f64, f64) {
        let half_lives = now.since(self.decayed_at).as_secs_f64() / HALF_LIFE.as_secs_f64();
        let factor = 0.5_f64.powf(half_lives);
        (self.successes * factor, self.failures * factor)
    }

    /// Returns the number of lies, 0 once the latest is older than [`LIE_LASTS`].
    pub fn lies_lately(&self, now: Timestamp) -> u32 {
        self.lied_at
            .filter(|at| now.since(*at) < LIE_LASTS)
            .map_or(0, |_| self.lies)
    }

    /// Records an outcome.
    pub fn observe(&mut self, outcome: Outcome, now: Timestamp) {
        let (successes, failures) = self.decayed(now);
        let (won, lost) = outcome.weight();
        (self.successes, self.failures, self.decayed_at) = (successes + won, failures + lost, now);
        if won > 0.0 {
            self.served = self.served.saturating_add(1);
        }
        if outcome.is_lie() {
            self.lies = self.lies_lately(now).saturating_add(1);
            self.lied_at = Some(now);
        }
        if outcome != Outcome::Unreachable {
            self.last_seen = self.last_seen.max(now);
        }
        self.note(PeerEvidence::new(outcome, now));
    }

    /// Records verified bytes of content and the duration of the transfer.
    pub fn observe_content(&mut self, bytes: u64, took: Duration, now: Timestamp) {
        self.observe(Outcome::ContentRight, now);
        if let Some(last) = self
            .recent
            .iter_mut()
            .rev()
            .find(|one| one.outcome == Outcome::ContentRight)
        {
            last.bytes = last.bytes.saturating_add(bytes);
        }
        // Very short transfers tell nothing about throughput.
        const LEAST: u64 = 64 * 1_024;
        if bytes >= LEAST && !took.is_zero() {
            self.rate = Some(average(self.rate, bytes as f64 / took.as_secs_f64()));
        }
    }

    /// Adds a line of evidence. Repetitions are counted, because hundreds of announcements would
    /// push everything else out.
    fn note(&mut self, evidence: PeerEvidence) {
        let is_same = |one: &PeerEvidence| {
            one.outcome == evidence.outcome && evidence.at.since(one.at) < ONE_LINE
        };
        if let Some(at) = self.recent.iter().rposition(is_same)
            && let Some(mut same) = self.recent.remove(at)
        {
            (same.at, same.count) = (evidence.at, same.count.saturating_add(1));
            return self.recent.push_back(same);
        }
        self.recent.push_back(evidence);
        if self.recent.len() > KEPT_EVIDENCE {
            self.recent.pop_front();
        }
    }

    /// Records a round trip.
    pub fn observe_rtt(&mut self, rtt: Duration, now: Timestamp) {
        self.rtt_ms = Some(average(self.rtt_ms, rtt.as_secs_f64() * 1_000.0));
        self.last_seen = self.last_seen.max(now);
    }

    /// Records the time from a request to its answer.
    pub fn observe_answer(&mut self, took: Duration) {
        self.answer_ms = Some(average(self.answer_ms, took.as_secs_f64() * 1_000.0));
    }
}

/// Returns a moving average: 0.7 of the old value, 0.3 of the new one.
fn average(old: Option<f64>, new: f64) -> f64 {
    old.map_or(new, |old| 0.7 * old + 0.3 * new)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW: Timestamp = Timestamp(1_700_000_000_000);
    const POPULATION: Population = Population {
        rtt_ms: Some(20.0),
        answer_ms: Some(30.0),
        rate: Some(1e6),
    };

    fn standing(
        successes: f64,
        failures: f64,
        rtt: f64,
        hours_up: u64,
        served: u64,
    ) -> PeerStanding {
        PeerStanding {
            successes,
            failures,
            rtt_ms: Some(rtt),
            connected: Duration::from_secs(hours_up * 3_600),
            served,
            first_seen: NOW.before(Duration::from_secs(48 * 3_600)),
            ..PeerStanding::new(NOW)
        }
    }

    fn total(standing: &PeerStanding, km: Option<f64>, now: Timestamp) -> f64 {
        score(
            &Basis::of(standing, &POPULATION, km, now),
            &Weights::default(),
        )
        .total
    }

    #[test]
    fn a_liar_is_capped_for_a_week_however_good_it_is() {
        let mut liar = standing(500.0, 0.0, 1.0, 40, 500);
        assert!(total(&liar, Some(0.0), NOW) > 0.5);
        liar.observe(Outcome::AnswerWrong, NOW);
        assert_eq!(liar.lies_lately(NOW), 0, "a wrong answer may be a mistake");
        liar.observe(Outcome::ContentWrong, NOW);
        liar.observe(Outcome::ContentWrong, NOW);
        assert_eq!(liar.lies_lately(NOW), 2);
        assert!(total(&liar, Some(0.0), NOW) <= LIAR_CAP);
        let later = NOW.after(LIE_LASTS);
        assert_eq!(liar.lies_lately(later), 0);
        assert!(total(&liar, Some(0.0), later) > LIAR_CAP);
    }

    #[test]
    fn a_newcomer_is_neither_best_nor_worst() {
        let newcomer = total(&PeerStanding::new(NOW), None, NOW);
        let proven = total(&standing(50.0, 1.0, 10.0, 40, 50), None, NOW);
        let liar = total(
            &standing(2.0, 40.0, 200.0, 1, 2),
            None,
            NOW.after(Duration::from_secs(3_600)),
        );
        assert!(
            liar < newcomer && newcomer < proven,
            "{liar} {newcomer} {proven}"
        );
    }

    #[test]
    fn announcing_much_earns_nothing() {
        let mut quiet = PeerStanding::new(NOW);
        let mut loud = quiet.clone();
        (0..1_000).for_each(|_| loud.observe(Outcome::RecordValid, NOW));
        quiet.last_seen = NOW;
        assert_eq!(total(&quiet, None, NOW), total(&loud, None, NOW));
        assert_eq!(
            loud.recent.len(),
            1,
            "a run of them is one line of evidence"
        );
        assert_eq!(loud.recent[0].count, 1_000);
    }

    #[test]
    fn many_slow_answers_are_worth_less_than_a_few_quick_ones() {
        let (mut slow, mut quick) = (PeerStanding::new(NOW), PeerStanding::new(NOW));
        for _ in 0..100 {
            slow.observe(Outcome::AnswerSlow, NOW);
            slow.observe(Outcome::AnswerRight, NOW);
        }
        (0..4).for_each(|_| quick.observe(Outcome::AnswerRight, NOW));
        (slow.answer_ms, quick.answer_ms) = (Some(1_000.0), Some(30.0));
        assert!(total(&slow, None, NOW) < total(&quick, None, NOW));
    }

    #[test]
    fn who_is_near_and_answers_late_is_slow() {
        let of = |answer_ms| PeerStanding {
            answer_ms,
            ..standing(3.0, 0.0, 5.0, 1, 3)
        };
        let (unasked, late) = (of(None), of(Some(1_000.0)));
        let response = |one: &PeerStanding| Basis::of(one, &POPULATION, None, NOW).response();
        assert!(response(&unasked) > 0.7 && response(&late) < 0.1);
    }

    proptest! {
        #[test]
        fn scores_are_bounded_and_the_sum_of_their_parts(
            s in 0.0..1e6f64, f in 0.0..1e6f64, rtt in 0.0..1e5f64, up in 0u64..1_000, served in 0u64..1_000_000,
            km in 0.0..20_000.0f64, later in 0u64..10_000,
        ) {
            let standing = standing(s, f, rtt, up, served);
            let basis = Basis::of(&standing, &POPULATION, Some(km), NOW.after(Duration::from_secs(later * 60)));
            let score = score(&basis, &Weights::default());
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
        fn quicker_and_faster_is_never_worse(
            answer in 0.1..1e4f64, rate in 1e3..1e9f64, more in 1.0..10.0f64,
        ) {
            let with = |answer, rate| {
                let quick = PeerStanding { answer_ms: Some(answer), rate: Some(rate), ..standing(5.0, 1.0, 10.0, 5, 5) };
                total(&quick, None, NOW)
            };
            prop_assert!(with(answer * more, rate) <= with(answer, rate));
            prop_assert!(with(answer, rate * more) >= with(answer, rate));
        }

        /// A peer that has answered well for a while scores above any fresh identity, so discarding
        /// a bad identity gains nothing over keeping a good one.
        #[test]
        fn whitewashing_does_not_pay(
            s in 20.0..1e4f64, wrong in 0.0..0.05f64, rtt in 0.1..1e4f64, fresh_rtt in 0.01..1e3f64, answer in 0.01..1e3f64,
            rate in 1e3..1e9f64, km in 0.0..200.0f64,
        ) {
            let good = standing(s, s * wrong, rtt, 0, s as u64);
            let fresh = PeerStanding {
                rtt_ms: Some(fresh_rtt), answer_ms: Some(answer), rate: Some(rate), ..PeerStanding::new(NOW)
            };
            prop_assert!(total(&fresh, Some(km), NOW) < total(&good, None, NOW));
        }

        #[test]
        fn evidence_is_bounded_and_every_outcome_is_counted(
            outcomes in proptest::collection::vec((0usize..4, 0u64..200), 0..200),
        ) {
            const KINDS: [Outcome; 4] =
                [Outcome::AnswerRight, Outcome::RecordValid, Outcome::AnswerLate, Outcome::ContentRight];
            let (mut standing, mut now) = (PeerStanding::new(NOW), NOW);
            for (kind, later) in &outcomes {
                now = now.after(Duration::from_secs(*later));
                standing.observe(KINDS[*kind], now);
            }
            prop_assert!(standing.recent.len() <= KEPT_EVIDENCE);
            prop_assert!(standing.recent.iter().is_sorted_by_key(|one| one.at));
            if standing.recent.len() < KEPT_EVIDENCE {
                prop_assert_eq!(standing.recent.iter().map(|one| one.count as usize).sum::<usize>(), outcomes.len());
            }
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
