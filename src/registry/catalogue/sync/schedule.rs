//! Decides with which peers this node's catalogue is compared, and when. Pure: the time and the
//! random numbers are arguments.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    time::{Duration, Instant},
};

use libp2p::PeerId;

use crate::domain::time::Timestamp;

/// Peers per round: good ones, and others.
pub const GOOD: usize = 2;
pub const OTHERS: usize = 1;
/// Shortest time between two comparisons with the same peer, even on request.
pub const GAP: Duration = Duration::from_secs(2);
/// A peer that has joined is given so long to say hello first; and others as long to join, so that
/// it is one round.
pub const SETTLE: Duration = Duration::from_millis(300);
/// Interval of the checks whether this machine slept; it did if this much more time has passed.
pub const LOOK: Duration = Duration::from_secs(10);
const SLEPT: Duration = Duration::from_secs(60);
/// Number of retries of a failed comparison, each later than the one before.
const TRIES: u32 = 3;
/// A comparison holds up the next one until its first answer has taken this long, so that a silent
/// peer costs no more than that.
pub const PATIENCE: Duration = Duration::from_secs(2);
/// Most comparisons that run at once, all but one of them with silent peers.
const AT_ONCE: usize = 3;
/// Most peers whose last comparison is remembered.
const REMEMBERED: usize = 2_048;

/// A comparison that runs.
struct RunningComparison {
    peer: PeerId,
    since: Instant,
    answered: bool,
}

/// The peers to compare with, and the times.
pub struct Schedule {
    running: Vec<RunningComparison>,
    /// Each with its number of failures.
    queue: VecDeque<(PeerId, u32)>,
    /// Peers with a failed comparison, and the time of the retry.
    again: Vec<(Instant, PeerId, u32)>,
    /// The time of the last comparison with peers that are, or were lately, connected.
    last: HashMap<PeerId, Instant>,
    looked: (Instant, Timestamp),
}

impl Schedule {
    pub fn new(now: Instant, time: Timestamp) -> Self {
        Self {
            running: Vec::new(),
            queue: VecDeque::new(),
            again: Vec::new(),
            last: HashMap::new(),
            looked: (now, time),
        }
    }

    pub fn add(&mut self, peer: PeerId) {
        if !self.queue.iter().any(|(queued, _)| *queued == peer) {
            self.queue.push_back((peer, 0));
        }
    }

    /// Returns true if no peer waits for its turn.
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Adds connected peers without a comparison so far, the best first, as many as a round has.
    /// Peers that left are forgotten: one that returns has slept or was elsewhere.
    pub fn add_fresh(&mut self, best: &[PeerId], here: &HashSet<PeerId>) {
        self.last.retain(|peer, _| here.contains(peer));
        let fresh: Vec<PeerId> = best
            .iter()
            .filter(|peer| here.contains(*peer) && !self.last.contains_key(*peer))
            .take(GOOD + OTHERS)
            .copied()
            .collect();
        fresh.into_iter().for_each(|peer| self.add(peer));
    }

    /// Adds a round: the good peers, and some of the others, drawn at random with `draw`.
    pub fn add_round(
        &mut self,
        good: Vec<PeerId>,
        mut others: Vec<PeerId>,
        draw: impl Fn(usize) -> usize,
    ) {
        others.retain(|peer| !good.contains(peer));
        good.into_iter().for_each(|peer| self.add(peer));
        for _ in 0..OTHERS.min(others.len()) {
            let drawn = draw(others.len()).min(others.len() - 1);
            self.add(others.swap_remove(drawn));
        }
    }

    /// Begins the next comparison, unless one that runs holds it up. Returns the peer and the number
    /// of comparisons with it that failed.
    pub fn begin(&mut self, now: Instant) -> Option<(PeerId, u32)> {
        while self.free_at(now).is_some_and(|at| at <= now) {
            let (peer, failed) = self.next(now)?;
            if self.running.iter().any(|one| one.peer == peer) {
                self.failed(peer, failed, now);
                continue;
            }
            self.running.push(RunningComparison {
                peer,
                since: now,
                answered: false,
            });
            return Some((peer, failed));
        }
        None
    }

    /// Notes that a peer has answered: it is not silent, and the next comparison waits for its end.
    pub fn answered(&mut self, peer: &PeerId) {
        let mut running = self.running.iter_mut();
        if let Some(one) = running.find(|one| one.peer == *peer) {
            one.answered = true;
        }
    }

    /// Notes that the comparison with a peer has ended, well or not.
    pub fn ended(&mut self, peer: &PeerId) {
        self.running.retain(|one| one.peer != *peer);
    }

    /// Returns the time from which another comparison may begin; `None` if it has to wait for the
    /// end of one.
    fn free_at(&self, now: Instant) -> Option<Instant> {
        let is_held_up =
            self.running.len() >= AT_ONCE || self.running.iter().any(|one| one.answered);
        let last = self.running.iter().map(|one| one.since + PATIENCE).max();
        (!is_held_up).then(|| last.unwrap_or(now))
    }

    /// Takes the next peer that was not compared with just now.
    fn next(&mut self, now: Instant) -> Option<(PeerId, u32)> {
        while let Some((peer, failed)) = self.queue.pop_front() {
            if self.wait_for(&peer, now).is_zero() {
                if self.last.len() >= REMEMBERED {
                    self.last.retain(|_, at| now.duration_since(*at) < GAP);
                }
                self.last.insert(peer, now);
                return Some((peer, failed));
            }
        }
        None
    }

    /// Returns the time until a peer may be compared with again.
    pub fn wait_for(&self, peer: &PeerId, now: Instant) -> Duration {
        let since = self.last.get(peer).map(|at| now.duration_since(*at));
        since
            .map(|since| GAP.saturating_sub(since))
            .unwrap_or_default()
    }

    /// Schedules a retry after a comparison that had failed `failed` times before.
    pub fn failed(&mut self, peer: PeerId, failed: u32, now: Instant) {
        if failed < TRIES && self.again.len() < REMEMBERED {
            self.again
                .push((now + GAP * (failed + 1), peer, failed + 1));
        }
    }

    /// Returns the time at which there is something to do: a retry, or a comparison that a silent
    /// peer holds up no longer.
    pub fn wakes_at(&self, now: Instant) -> Option<Instant> {
        let free = self.free_at(now).filter(|_| !self.queue.is_empty());
        self.again.iter().map(|(at, ..)| *at).chain(free).min()
    }

    /// Adds the peers whose retry is due.
    pub fn add_due(&mut self, now: Instant) {
        for (_, peer, failed) in self.again.extract_if(.., |(at, ..)| *at <= now) {
            self.queue.push_back((peer, failed));
        }
    }

    /// Returns true if more time has passed since the last check than this process was awake.
    pub fn slept(&mut self, now: Instant, time: Timestamp) -> bool {
        let (before, time_before) = std::mem::replace(&mut self.looked, (now, time));
        slept(now.duration_since(before), time.since(time_before))
    }
}

/// Returns true if the machine slept, from the time that the timer and the clock measured: the
/// timer stops during sleep on some systems and continues on others.
fn slept(awake: Duration, gone: Duration) -> bool {
    gone > awake + SLEPT || awake > LOOK + SLEPT
}

/// Varies an interval by a share between 0 and 1, so that nodes that started together do not ask
/// together.
pub fn jittered(every: Duration, share: f64) -> Duration {
    every.mul_f64(0.8 + 0.4 * share)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn schedule(now: Instant) -> Schedule {
        Schedule::new(now, Timestamp(0))
    }

    fn peers(count: usize) -> Vec<PeerId> {
        (0..count).map(|_| PeerId::random()).collect()
    }

    #[test]
    fn sleep_is_told_from_a_clock_that_is_set_a_little() {
        let hour = Duration::from_secs(3_600);
        assert!(
            !slept(LOOK, LOOK) && !slept(LOOK, LOOK + SLEPT / 2) && !slept(LOOK, Duration::ZERO)
        );
        assert!(slept(LOOK, hour), "the timer stood still");
        assert!(slept(hour, hour), "the timer went on");
    }

    #[test]
    fn a_machine_that_slept_is_noticed_once() {
        let (start, day) = (Instant::now(), Duration::from_secs(86_400));
        let mut schedule = schedule(start);
        assert!(!schedule.slept(start + LOOK, Timestamp(0).after(LOOK)));
        assert!(schedule.slept(start + LOOK * 2, Timestamp(0).after(day)));
        assert!(!schedule.slept(start + LOOK * 3, Timestamp(0).after(day + LOOK)));
        assert!(
            !schedule.slept(start + LOOK * 4, Timestamp(0)),
            "a clock that is set back is no sleep"
        );
    }

    #[test]
    fn whoever_fails_is_asked_again_a_few_times() {
        let (peer, now) = (PeerId::random(), Instant::now());
        let mut schedule = schedule(now);
        schedule.add(peer);
        schedule.add(peer);
        let next = (schedule.next(now), schedule.next(now));
        assert_eq!(next, (Some((peer, 0)), None), "once");
        let (mut at, mut failed) = (now, 0);
        for again in 1..=TRIES {
            schedule.failed(peer, failed, at);
            let due = schedule.wakes_at(at).unwrap();
            assert_eq!(due, at + GAP * again, "each time later");
            schedule.add_due(due - Duration::from_millis(1));
            assert_eq!(schedule.next(due), None, "not before");
            schedule.add_due(due);
            assert_eq!(schedule.next(due), Some((peer, again)));
            (at, failed) = (due, again);
        }
        schedule.failed(peer, failed, at);
        assert_eq!(schedule.wakes_at(at), None);
    }

    #[test]
    fn nobody_is_compared_with_twice_in_the_gap() {
        let (peer, now) = (PeerId::random(), Instant::now());
        let mut schedule = schedule(now);
        schedule.add(peer);
        assert_eq!(schedule.next(now), Some((peer, 0)));
        schedule.add(peer);
        assert_eq!(schedule.next(now + GAP / 2), None);
        assert_eq!(schedule.wait_for(&peer, now + GAP / 2), GAP / 2);
        schedule.add(peer);
        assert_eq!(schedule.next(now + GAP), Some((peer, 0)));
    }

    #[test]
    fn a_silent_peer_holds_up_the_next_one_for_a_moment_and_one_that_answers_until_its_end() {
        let (peers, now) = (peers(5), Instant::now());
        let mut schedule = schedule(now);
        peers.iter().for_each(|peer| schedule.add(*peer));
        assert_eq!(schedule.begin(now), Some((peers[0], 0)));
        assert_eq!(schedule.begin(now), None, "one at a time");
        assert_eq!(schedule.wakes_at(now), Some(now + PATIENCE));
        assert_eq!(schedule.begin(now + PATIENCE), Some((peers[1], 0)));
        assert_eq!(
            schedule.begin(now + PATIENCE),
            None,
            "this one has its time"
        );
        schedule.answered(&peers[1]);
        assert_eq!(schedule.wakes_at(now + PATIENCE), None);
        assert_eq!(schedule.begin(now + PATIENCE * 9), None, "it is not silent");
        schedule.ended(&peers[1]);
        assert_eq!(schedule.begin(now + PATIENCE * 9), Some((peers[2], 0)));
        assert_eq!(schedule.begin(now + PATIENCE * 10), Some((peers[3], 0)));
        assert_eq!(
            schedule.begin(now + PATIENCE * 11),
            None,
            "enough are silent"
        );
        schedule.ended(&peers[0]);
        assert_eq!(schedule.begin(now + PATIENCE * 11), Some((peers[4], 0)));
    }

    #[test]
    fn a_peer_with_a_running_comparison_is_asked_again_later() {
        let (peer, now) = (PeerId::random(), Instant::now());
        let mut schedule = schedule(now);
        schedule.add(peer);
        assert_eq!(schedule.begin(now), Some((peer, 0)));
        schedule.add(peer);
        let later = now + PATIENCE;
        assert_eq!(schedule.begin(later), None);
        schedule.ended(&peer);
        schedule.add_due(later + GAP);
        assert_eq!(schedule.begin(later + GAP), Some((peer, 1)));
    }

    #[test]
    fn a_few_of_those_who_join_are_asked_the_best_first_and_again_when_they_come_back() {
        let (best, now) = (peers(6), Instant::now());
        let all: HashSet<PeerId> = best.iter().copied().collect();
        let mut schedule = schedule(now);
        let ask = |schedule: &mut Schedule| -> Vec<PeerId> {
            std::iter::from_fn(|| schedule.next(now))
                .map(|(peer, _)| peer)
                .collect()
        };
        schedule.add_fresh(&best, &all);
        assert_eq!(ask(&mut schedule), best[..GOOD + OTHERS]);
        schedule.add_fresh(&best, &all);
        assert_eq!(
            ask(&mut schedule),
            best[GOOD + OTHERS..],
            "those who are left"
        );
        schedule.add_fresh(&best, &all);
        assert_eq!(ask(&mut schedule), [], "all were asked");
        let without: HashSet<PeerId> = best[1..].iter().copied().collect();
        schedule.add_fresh(&best, &without);
        schedule.add_fresh(&best, &all);
        assert_eq!(ask(&mut schedule), best[..1], "who left and came back");
    }

    proptest! {
        #[test]
        fn a_round_has_the_good_ones_and_one_of_the_others(
            good in 0..=GOOD, others in 0usize..6, both in any::<bool>(), drawn in any::<usize>(),
        ) {
            let now = Instant::now();
            let (good, mut rest) = (peers(good), peers(others));
            if both {
                rest.extend(&good);
            }
            let mut schedule = schedule(now);
            schedule.add_round(good.clone(), rest.clone(), |count| drawn % count);
            let asked: Vec<PeerId> =
                std::iter::from_fn(|| schedule.next(now)).map(|(peer, _)| peer).collect();
            prop_assert_eq!(&asked[..good.len()], &good[..]);
            prop_assert_eq!(asked.len(), good.len() + OTHERS.min(others));
            prop_assert!(asked[good.len()..].iter().all(|peer| rest.contains(peer) && !good.contains(peer)));
        }

        #[test]
        fn what_is_remembered_is_bounded(added in 0usize..3) {
            let now = Instant::now();
            let mut schedule = schedule(now);
            for n in 0..REMEMBERED + added {
                let at = now + GAP * u32::try_from(n).unwrap_or_default();
                schedule.add(PeerId::random());
                let (peer, failed) = schedule.next(at).unwrap();
                schedule.failed(peer, failed, at);
            }
            prop_assert!(schedule.last.len() <= REMEMBERED && schedule.again.len() <= REMEMBERED);
        }

        #[test]
        fn jitter_is_a_fifth_at_most(millis in 1u64..10_000_000, share in 0.0..1.0f64) {
            let every = Duration::from_millis(millis);
            let jittered = jittered(every, share);
            prop_assert!(jittered >= every.mul_f64(0.799) && jittered <= every.mul_f64(1.201));
        }
    }
}
