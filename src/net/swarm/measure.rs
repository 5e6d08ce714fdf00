//! Collects the figures of the Health screen as events happen, over a window of time and within a
//! bound.

use std::{
    collections::{BTreeMap, HashMap, HashSet, VecDeque},
    time::{Duration, Instant},
};

use libp2p::{PeerId, kad, metrics::Metrics as Families};
use tokio::sync::watch;

use crate::net::{
    dht::lookups::LookupStats,
    reach::listen,
    swarm::{readings::Readings, task::Task},
};
use crate::{
    bus::{BusEvent, Direction},
    domain::{
        copies::CopyFigures,
        health::GatewayHealth,
        health::{Sample, verdict},
        percentile::percentiles,
        record::Horizon,
    },
    metrics::{LookedUp, Metrics},
};

/// Window for lookups and dials.
const LONG: Duration = Duration::from_secs(300);
/// Window for messages and rates.
const MINUTE: Duration = Duration::from_secs(60);
/// Most entries kept of each kind.
const MOST: usize = 512;
/// Interval of the samples while somebody watches.
pub const EVERY: Duration = Duration::from_secs(2);

/// The events within a window of time; at most the newest [`MOST`].
struct Recent<T> {
    window: Duration,
    kept: VecDeque<(Instant, T)>,
}

impl<T> Recent<T> {
    fn new(window: Duration) -> Self {
        Self {
            window,
            kept: VecDeque::new(),
        }
    }

    fn push(&mut self, value: T, now: Instant) {
        self.forget(now);
        if self.kept.len() >= MOST {
            self.kept.pop_front();
        }
        self.kept.push_back((now, value));
    }

    fn forget(&mut self, now: Instant) {
        while self
            .kept
            .front()
            .is_some_and(|(at, _)| now.duration_since(*at) > self.window)
        {
            self.kept.pop_front();
        }
    }

    fn values(&self) -> impl Iterator<Item = &T> {
        self.kept.iter().map(|(_, value)| value)
    }
}

/// Counts since the start. The difference over a minute is shown.
#[derive(Clone, Copy, Default)]
struct Totals {
    announced: u64,
    overloaded: u64,
    bytes_in: f64,
    bytes_out: f64,
}

/// A peer came or went. `lost` is true if this node did not end the connection, `dead` if nothing
/// arrived any more.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Move {
    Came,
    Went {
        peer: PeerId,
        lost: bool,
        dead: bool,
    },
}

/// The replication of this node's own packages, as the registry found it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Safety {
    /// Number of own packages.
    pub own: u64,
    /// Number of those that would be lost with this node, some of which are named.
    pub endangered: u64,
    pub endangered_named: Vec<String>,
}

pub struct Measures {
    lookups: Recent<LookupStats>,
    /// The peers dialled, each with the reason if the dial failed.
    dials: Recent<(PeerId, Option<&'static str>)>,
    moves: Recent<Move>,
    refreshed: Option<Instant>,
    messages: Recent<bool>,
    totals: Recent<Totals>,
    readings: Readings,
    safety: watch::Receiver<Option<Safety>>,
    copies: watch::Receiver<CopyFigures>,
    gateway: watch::Receiver<Option<GatewayHealth>>,
    /// libp2p's metrics, which are fed with every event.
    pub families: Families,
    metrics: Metrics,
    told: Option<Sample>,
    /// Send the next sample even if it is the same.
    again: bool,
}

impl Measures {
    pub fn new(
        readings: Readings,
        (safety, copies, gateway): (
            watch::Receiver<Option<Safety>>,
            watch::Receiver<CopyFigures>,
            watch::Receiver<Option<GatewayHealth>>,
        ),
        families: Families,
        metrics: Metrics,
        now: Instant,
    ) -> Self {
        let mut totals = Recent::new(MINUTE);
        // All counts start at zero.
        totals.push(Totals::default(), now);
        Self {
            lookups: Recent::new(LONG),
            dials: Recent::new(LONG),
            moves: Recent::new(LONG),
            refreshed: None,
            messages: Recent::new(MINUTE),
            totals,
            readings,
            safety,
            copies,
            gateway,
            families,
            metrics,
            told: None,
            again: false,
        }
    }

    pub fn looked_up(&mut self, done: LookupStats, now: Instant) {
        let outcome = match done {
            LookupStats { found: true, .. } => LookedUp::Found,
            LookupStats {
                unanswered: true, ..
            } => LookedUp::Unanswered,
            _ => LookedUp::Missing,
        };
        self.metrics.looked_up(outcome, done.took);
        self.lookups.push(done, now);
    }

    /// Records the end of a dial; `failed` is the reason if it failed.
    pub fn dialled(&mut self, peer: PeerId, failed: Option<&'static str>, now: Instant) {
        self.dials.push((peer, failed), now);
    }

    pub fn moved(&mut self, moved: Move, now: Instant) {
        self.moves.push(moved, now);
    }

    /// Notes that the routing table was refreshed.
    pub fn refreshed(&mut self, now: Instant) {
        self.refreshed = Some(now);
    }

    /// Returns the number of peers that came, the number that went, and the number lost in the last
    /// two minutes that are not back.
    fn churn(&self, now: Instant, is_back: impl Fn(&PeerId) -> bool) -> (usize, usize, usize) {
        const AT_ONCE: Duration = Duration::from_secs(120);
        let came = self
            .moves
            .values()
            .filter(|moved| **moved == Move::Came)
            .count();
        let lost: HashSet<PeerId> = (self.moves.kept.iter())
            .filter(|(at, _)| now.duration_since(*at) <= AT_ONCE)
            .filter_map(|(_, moved)| match moved {
                Move::Went {
                    peer, lost: true, ..
                } if !is_back(peer) => Some(*peer),
                _ => None,
            })
            .collect();
        (came, self.moves.kept.len() - came, lost.len())
    }

    /// Returns the number of peers whose connections ended because nothing arrived any more.
    fn dead(&self) -> usize {
        let dead: HashSet<&PeerId> = (self.moves.values())
            .filter_map(|moved| match moved {
                Move::Went {
                    peer, dead: true, ..
                } => Some(peer),
                _ => None,
            })
            .collect();
        dead.len()
    }

    /// Counts a gossip message; `refused` is true if no honest node sends it.
    pub fn judged(&mut self, refused: bool, now: Instant) {
        self.messages.push(refused, now);
    }

    /// Sends the next sample even if nothing changed.
    pub fn tell_again(&mut self) {
        self.told = None;
    }
}

impl Task {
    /// Takes a sample and sends it if it differs from the previous one.
    pub fn tell_health(&mut self) {
        let sample = self.sample();
        let (before, again) = (self.measures.told.as_ref(), self.measures.again);
        if again || before != Some(&sample) {
            // A change counts only once two samples show it, and a quiet node would send no second
            // one.
            let state = |sample: &Sample| verdict(sample).state;
            self.measures.again = before.map(state) != Some(state(&sample));
            self.measures.told = Some(sample.clone());
            self.wiring.bus.emit(BusEvent::Health(Box::new(sample)));
        }
    }

    pub fn sample(&mut self) -> Sample {
        let now = Instant::now();
        let read = self.measures.readings.latest();
        self.measures.readings.read_again();
        let counters = self.wiring.tally.snapshot();
        let listening = listen::in_words(self.swarm.listeners())
            .into_iter()
            .collect();
        let measures = &mut self.measures;
        let totals = Totals {
            announced: counters.announcements,
            overloaded: counters.overloaded,
            bytes_in: read.bytes_in,
            bytes_out: read.bytes_out,
        };
        measures.totals.push(totals, now);
        measures.lookups.forget(now);
        measures.dials.forget(now);
        measures.messages.forget(now);
        measures.moves.forget(now);
        let (since, before) = measures
            .totals
            .kept
            .front()
            .copied()
            .unwrap_or((now, totals));
        let seconds = now.duration_since(since).as_secs_f64();
        let a_second =
            |now: f64, before: f64| (seconds >= 1.0).then(|| rounded((now - before) / seconds));

        let lookups = percentiles(
            measures
                .lookups
                .values()
                .map(|done| millis(done.took))
                .collect(),
        );
        let from = self.clock.now().before(LONG);
        let gossip = percentiles(
            self.wiring
                .tally
                .travelled_since(from)
                .into_iter()
                .map(millis)
                .collect(),
        );
        let count = |values: usize| values as u64;
        let behaviour = self.swarm.behaviour_mut();
        let announce = self.topics.announce.hash();
        let [copies, announced] = read.copies;
        let at = self.clock.now();
        let here = self.peers.here(now);
        let rtts = percentiles(here.rtts_ms.clone());
        let peers = &self.peers;
        let (joined, left, lost) = measures.churn(now, |peer| peers.is_connected(peer));
        let dead = measures.dead();
        // An unreachable peer counts once, however often it was dialled.
        let dials: HashMap<PeerId, Option<&str>> = measures.dials.values().copied().collect();
        let mut dial_errors: BTreeMap<String, u64> = BTreeMap::new();
        dials
            .values()
            .flatten()
            .for_each(|why| *dial_errors.entry((*why).to_owned()).or_default() += 1);
        let safety = measures.safety.borrow().clone();
        let directions = |wanted| {
            self.peers
                .directions()
                .filter(|direction| *direction == wanted)
                .count()
        };
        Sample {
            running_for: Duration::from_secs(
                self.clock
                    .now()
                    .since(self.started_at)
                    .as_secs()
                    .min(MINUTE.as_secs()),
            ),
            peers_in: directions(Direction::Inbound),
            peers_out: directions(Direction::Outbound),
            known_peers: self.peers.len(),
            announce_mesh: behaviour.gossip.mesh_peers(&announce).count(),
            announce_subscribers: behaviour
                .gossip
                .all_peers()
                .filter(|(_, topics)| topics.contains(&&announce))
                .count(),
            presence_mesh: behaviour
                .gossip
                .mesh_peers(&self.topics.presence.hash())
                .count(),
            routing_table: behaviour
                .kad
                .kbuckets()
                .map(|bucket| bucket.num_entries())
                .sum(),
            lookups: count(measures.lookups.kept.len()),
            lookups_failed: count(
                measures
                    .lookups
                    .values()
                    .filter(|done| done.unanswered)
                    .count(),
            ),
            lookup_p50_ms: lookups.map(|(p50, _)| rounded(p50)),
            lookup_p95_ms: lookups.map(|(_, p95)| rounded(p95)),
            announced_a_minute: totals.announced.saturating_sub(before.announced),
            gossip_p50_ms: gossip.map(|(p50, _)| rounded(p50)),
            gossip_p95_ms: gossip.map(|(_, p95)| rounded(p95)),
            messages: count(measures.messages.kept.len()),
            messages_refused: count(
                measures
                    .messages
                    .values()
                    .filter(|refused| **refused)
                    .count(),
            ),
            refused: counters.refused.clone(),
            dials: count(dials.len()),
            dials_failed: count(dials.values().flatten().count()),
            bytes_in: a_second(read.bytes_in, before.bytes_in),
            bytes_out: a_second(read.bytes_out, before.bytes_out),
            store_p95_ms: self.wiring.store.commit_p95().map(millis).map(rounded),
            memory: read.process.memory.map(|bytes| bytes >> 20 << 20),
            descriptors: read.process.descriptors,
            overloaded: totals.overloaded.saturating_sub(before.overloaded),
            clock_offset_ms: self
                .peers
                .clock_offset(now)
                .map(|offset| offset.ms / 1_000 * 1_000),
            tcp: here.tcp,
            quic: here.quic,
            dht_server: behaviour.kad.mode() == kad::Mode::Server,
            rtt_p50_ms: rtts.map(|(p50, _)| rounded(p50)),
            rtt_p95_ms: rtts.map(|(_, p95)| rounded(p95)),
            negative: here.negative,
            doubted: self.wiring.doubted.borrow().len(),
            clock_behind: Horizon::of(
                at,
                self.peers.clock_offset(now).map(|offset| offset.ms),
                read.newest,
            )
            .is_clock_behind(),
            banned: self
                .penalties
                .ledger()
                .all()
                .filter(|(_, sheet)| sheet.ban(at).is_some())
                .count(),
            // Rounded to ten seconds: a figure that changes in every sample would cost a frame each
            // time.
            refreshed_ago: measures.refreshed.map(|refreshed| {
                Duration::from_secs(now.duration_since(refreshed).as_secs() / 10 * 10)
            }),
            dial_errors,
            gets: measures.metrics.gets(),
            duplicates: (copies.all > 0.0)
                .then(|| rounded((1.0 - copies.first / copies.all).clamp(0.0, 1.0))),
            announcement_copies: (announced.all as u64, announced.first as u64),
            joined,
            left,
            lost,
            dead,
            listening: Some(listening),
            gateway: measures.gateway.borrow().clone(),
            twin: self.identities.twin().map(str::to_owned),
            strange: self.identities.strange(),
            agents: here.agents,
            own: safety.as_ref().map(|safety| safety.own),
            endangered: safety.as_ref().map_or(0, |safety| safety.endangered),
            endangered_named: safety
                .map(|safety| safety.endangered_named)
                .unwrap_or_default(),
            copies: *measures.copies.borrow(),
            disk: read.disk.map(|(free, all)| (free >> 24 << 24, all)),
        }
    }
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1_000.0
}

/// Rounds to two digits: smaller changes are noise and would cost every watcher a frame.
fn rounded(value: f64) -> f64 {
    if value == 0.0 || !value.is_finite() {
        return 0.0;
    }
    let scale = 10f64.powf(1.0 - value.abs().log10().floor());
    (value * scale).round() / scale
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_forgets_by_time_and_by_number() {
        let start = Instant::now();
        let mut recent = Recent::new(MINUTE);
        for n in 0..10 {
            recent.push(n, start + Duration::from_secs(n * 10));
        }
        assert_eq!(
            recent.values().copied().collect::<Vec<_>>(),
            [3, 4, 5, 6, 7, 8, 9]
        );
        for n in 0..2_000 {
            recent.push(n, start + Duration::from_secs(91));
        }
        assert_eq!(recent.kept.len(), MOST);
    }

    #[test]
    fn noise_is_rounded_away() {
        for (value, shown) in [
            (0.0, 0.0),
            (1.234, 1.2),
            (98.7, 99.0),
            (123_456.0, 120_000.0),
            (0.01234, 0.012),
        ] {
            assert!((rounded(value) - shown).abs() < 1e-9, "{value}");
        }
    }
}
