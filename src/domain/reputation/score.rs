//! The peer score and its parts.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use statrs::distribution::{Beta, ContinuousCDF};

use super::PeerStanding;
use crate::domain::{
    size::Rate,
    time::{Ago, Timestamp},
};

/// Weights of the score's parts, from the settings. They need not sum to one, because the score is
/// capped.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Weights {
    /// Weight of the success rate.
    pub success: f64,
    /// Weight of the response.
    pub response: f64,
    /// Weight of the availability.
    pub availability: f64,
    /// Weight of the recency.
    pub recency: f64,
    /// The largest proximity bonus.
    pub proximity: f64,
    /// Distance in km up to which the bonus is full.
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

/// Medians over the connected peers, against which responses are judged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Population {
    /// Round trip, in milliseconds.
    pub rtt_ms: Option<f64>,
    /// Time from a request to its answer, in milliseconds.
    pub answer_ms: Option<f64>,
    /// Content throughput, in bytes a second.
    pub rate: Option<f64>,
}

impl Population {
    /// Returns the medians of some peers.
    pub fn of<'a>(standings: impl Iterator<Item = &'a PeerStanding> + Clone) -> Self {
        Self {
            rtt_ms: median(standings.clone().filter_map(|one| one.rtt_ms)),
            answer_ms: median(standings.clone().filter_map(|one| one.answer_ms)),
            rate: median(standings.filter_map(|one| one.rate)),
        }
    }

    /// Returns true if an answer took noticeably longer than usual: four times the median, and more
    /// than 300 ms.
    pub fn is_slow(&self, took: Duration) -> bool {
        let ms = took.as_secs_f64() * 1_000.0;
        ms > 300.0 && self.answer_ms.is_some_and(|median| ms > 4.0 * median)
    }
}

/// Returns the median; for an even number of values, the upper of the two middle ones.
pub fn median(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values
        .into_iter()
        .filter(|value| value.is_finite())
        .collect();
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

/// The numbers behind a score, as of its computation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Basis {
    /// Weighted successes and failures, decayed to now.
    pub successes: f64,
    /// Weighted failures.
    pub failures: f64,
    /// The peer's own averages, in the units of [`Population`].
    pub rtt_ms: Option<f64>,
    /// Time from a request to its answer, in milliseconds.
    pub answer_ms: Option<f64>,
    /// Content throughput, in bytes a second.
    pub rate: Option<f64>,
    /// The medians to compare with.
    pub population: Population,
    /// Share of the time since it was first seen, plus an hour, during which it was connected: 0 to
    /// 1.
    pub uptime: f64,
    /// Verified answers and contents so far.
    pub served: u64,
    /// Time since it was last seen.
    pub unseen: Duration,
    /// Distance in km, known only if the location is plausible.
    pub distance_km: Option<f64>,
    /// Proven lies within [`LIE_LASTS`](super::LIE_LASTS); any of them caps the score.
    #[serde(default)]
    pub lies: u32,
}

impl Basis {
    /// Collects the numbers of a peer. `distance_km` is known only if its location is plausible.
    pub fn of(
        standing: &PeerStanding,
        population: &Population,
        distance_km: Option<f64>,
        now: Timestamp,
    ) -> Self {
        let (successes, failures) = standing.decayed(now);
        let known = now.since(standing.first_seen).as_secs_f64();
        Self {
            successes,
            failures,
            rtt_ms: standing.rtt_ms,
            answer_ms: standing.answer_ms,
            rate: standing.rate,
            population: *population,
            uptime: (standing.connected.as_secs_f64() / (known + HOUR)).min(1.0),
            served: standing.served,
            unseen: now.since(standing.last_seen),
            distance_km,
            lies: standing.lies_lately(now),
        }
    }

    /// Returns a cautious estimate of the share of right answers, 0 to 1.
    pub fn success(&self) -> f64 {
        record(self.successes, self.failures).map_or(0.0, |beta| beta.inverse_cdf(CAUTION))
    }

    /// Returns true if it has been good to ask: a few right answers, and hardly a wrong one lately.
    /// A peer gets the other parts of the score just for being online, but not this one, and half
    /// of each pool is reserved for peers that have it.
    pub fn is_good(&self) -> bool {
        is_proven(self.served) && self.success() >= GOOD && self.lies == 0
    }

    /// Returns the speed relative to other peers, 0 to 1; 0.5 for one at the median.
    pub fn response(&self) -> f64 {
        let less = |own: Option<f64>, median: Option<f64>| {
            own.map(|own| {
                median
                    .filter(|median| median + own > 0.0)
                    .map_or(0.5, |median| median / (median + own))
            })
        };
        let more = less(self.population.rate, self.rate).filter(|_| self.rate.is_some());
        // The time to answer includes the round trip: being near does not help a slow peer.
        let asked = less(self.answer_ms, self.population.answer_ms);
        let parts = [asked.or(less(self.rtt_ms, self.population.rtt_ms)), more];
        let measured: Vec<f64> = parts.into_iter().flatten().collect();
        if measured.is_empty() {
            0.0
        } else {
            measured.iter().sum::<f64>() / measured.len() as f64
        }
    }

    /// Returns the availability, 0 to 1: half uptime, half answers given.
    pub fn availability(&self) -> f64 {
        let served = self.served as f64;
        0.5 * self.uptime + 0.5 * served / (served + 20.0)
    }

    /// Returns the numbers behind a part of the score, in words.
    pub fn describe(&self, part: &str) -> String {
        match part {
            "success" if self.successes + self.failures < 0.05 => "no recent requests".to_owned(),
            "success" => format!(
                "{} correct, {} wrong recently: at least {:.0} % reliable{}",
                plain(self.successes),
                plain(self.failures),
                self.success() * 100.0,
                if self.successes + self.failures < FEW {
                    " (small sample)"
                } else {
                    ""
                }
            ),
            "response" => {
                let against = |own: Option<f64>,
                               median: Option<f64>,
                               name: &str,
                               show: &dyn Fn(f64) -> String| {
                    let median = median.map_or(String::new(), |median| {
                        format!(" (median {})", show(median))
                    });
                    own.map(|own| format!("{name} {}{median}", show(own)))
                };
                let (millis, rate) = (
                    |ms: f64| format!("{ms:.1} ms"),
                    |rate: f64| Rate(rate).to_string(),
                );
                let parts = [
                    against(self.rtt_ms, self.population.rtt_ms, "round trip", &millis),
                    against(
                        self.answer_ms,
                        self.population.answer_ms,
                        "answers in",
                        &millis,
                    ),
                    against(self.rate, self.population.rate, "sends", &rate),
                ];
                let parts: Vec<String> = parts.into_iter().flatten().collect();
                if parts.is_empty() {
                    "not measured yet".to_owned()
                } else {
                    parts.join(", ")
                }
            }
            "availability" => {
                format!(
                    "uptime {:.0} % (an hour of absence is assumed), {} answers verified",
                    self.uptime * 100.0,
                    self.served
                )
            }
            "recency" if self.unseen.as_secs() == 0 => "connected now".to_owned(),
            "recency" => format!("seen {} ago", Ago(self.unseen)),
            _ => match self.distance_km {
                Some(km) => format!("{km:.0} km from here"),
                None => "no place, or one that is impossible at this ping".to_owned(),
            },
        }
    }

    /// Returns the recency, 0 to 1; 1 for a connected peer.
    pub fn recency(&self) -> f64 {
        1.0 / (1.0 + self.unseen.as_secs_f64() / HOUR)
    }
}

/// Fewer outcomes than this are a small sample.
const FEW: f64 = 10.0;

/// Formats a weighted count: whole if it is, else with one decimal.
fn plain(count: f64) -> String {
    let rounded = (count * 10.0).round() / 10.0;
    if rounded.fract() == 0.0 {
        format!("{rounded:.0}")
    } else {
        format!("{rounded:.1}")
    }
}

/// The number of right answers from which a peer can count as good.
const PROVEN: u64 = 3;

/// Returns true if this many verified answers are enough for a good peer, provided hardly any was
/// wrong.
pub fn is_proven(served: u64) -> bool {
    served >= PROVEN
}
/// The most that the score of a peer can be that lied: below that of a newcomer that is connected,
/// so that anybody else is asked first.
pub const LIAR_CAP: f64 = 0.1;

/// The least cautious estimate of a good peer: two recent right answers without a wrong one exceed
/// it.
const GOOD: f64 = 0.3;

/// The percentile used for cautious estimates.
pub(super) const CAUTION: f64 = 0.05;

const HOUR: f64 = 3_600.0;

/// A score with its weighted parts: `total` is their sum, at most 1, and at most [`LIAR_CAP`] for a
/// peer that lied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// The score, 0 to 1.
    pub total: f64,
    /// The part for right answers.
    pub success: f64,
    /// The part for speed.
    pub response: f64,
    /// The part for uptime and answers given.
    pub availability: f64,
    /// The part for being seen recently.
    pub recency: f64,
    /// The part for being near.
    pub proximity: f64,
}

impl Score {
    /// Returns the parts by name.
    pub fn parts(&self) -> [(&'static str, f64); 5] {
        [
            ("success", self.success),
            ("response", self.response),
            ("availability", self.availability),
            ("recency", self.recency),
            ("proximity", self.proximity),
        ]
    }
}

/// Scores a peer, in 0 to 1:
///
/// - success: the 5th percentile of Beta(1 + s, 1 + f), a cautious estimate of the share of right
///   answers, so that one lucky answer does not make a newcomer the best peer (as in E. Miller,
///   "How Not To Sort By Average Rating", 2009);
/// - response: the mean of the measured ones of time to answer (the round trip before the first
///   request) and throughput, each against the population's median: `median / (median + own)` for
///   times, `own / (own + median)` for throughput; unmeasured is 0;
/// - availability: half observed uptime (with an hour's prior of absence), and half
///   `served / (served + 20)`;
/// - recency: `1 / (1 + hours since last seen)`;
/// - proximity: a bonus falling linearly from `near_km` to `far_km`.
///
/// A proven lie caps the total at [`LIAR_CAP`] while it is remembered.
pub fn score(basis: &Basis, weights: &Weights) -> Score {
    let mut score = Score {
        total: 0.0,
        success: weights.success * basis.success(),
        response: weights.response * basis.response(),
        availability: weights.availability * basis.availability(),
        recency: weights.recency * basis.recency(),
        proximity: weights.proximity * basis.distance_km.map_or(0.0, |km| nearness(km, weights)),
    };
    score.total =
        (score.success + score.response + score.availability + score.recency + score.proximity)
            .clamp(0.0, if basis.lies > 0 { LIAR_CAP } else { 1.0 });
    score
}

/// Returns the distribution of a peer's share of right answers.
pub(super) fn record(successes: f64, failures: f64) -> Option<Beta> {
    Beta::new(1.0 + successes.max(0.0), 1.0 + failures.max(0.0)).ok()
}

fn nearness(km: f64, weights: &Weights) -> f64 {
    let span = weights.far_km - weights.near_km;
    if span <= 0.0 || !km.is_finite() {
        return 0.0;
    }
    ((weights.far_km - km) / span).clamp(0.0, 1.0)
}
