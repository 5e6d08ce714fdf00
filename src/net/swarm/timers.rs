//! The timers of the task's regular jobs.

use std::time::{Duration, Instant};

use crate::domain::record::Presence;
use crate::net::{peers::identity, swarm::measure};

/// A regular job of the task. Jobs that are due together run in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Job {
    /// Updates scores and locations.
    Settle,
    /// Writes changed DHT records and ledger entries, and puts one record again.
    Flush,
    /// Dials bootstrap addresses that name this node's own key.
    FindTwins,
    /// Stores the known peers.
    Remember,
    /// Trims connections.
    Trim,
    /// Greets all peers.
    GreetAll,
    /// Greets the peers that have not answered, or all of them if there is news.
    Greet,
    /// Gossips this node's location.
    Presence,
    /// Sends a health sample to the readers of the bus.
    Health,
    /// Takes a health sample for a single request.
    Measure,
}

struct Timer {
    job: Job,
    period: Duration,
    next: Instant,
}

pub struct Timers(Vec<Timer>);

impl Timers {
    pub fn new(greet_every: Duration, now: Instant) -> Self {
        let after = |job, period| Timer {
            job,
            period,
            next: now + period,
        };
        let at_once = |job, period| Timer {
            job,
            period,
            next: now,
        };
        let seconds = Duration::from_secs;
        Self(vec![
            after(Job::Settle, seconds(5)),
            after(Job::Flush, seconds(1)),
            at_once(Job::FindTwins, identity::LOOK_EVERY),
            after(Job::Remember, seconds(60)),
            after(Job::Trim, seconds(5)),
            after(Job::GreetAll, seconds(60)),
            after(Job::Greet, greet_every),
            after(Job::Presence, Presence::INTERVAL),
            after(Job::Health, measure::EVERY),
            at_once(Job::Measure, seconds(10)),
        ])
    }

    /// Returns the jobs that are due, and schedules each one a period from now.
    pub fn due(&mut self, now: Instant) -> Vec<Job> {
        let due = self
            .0
            .iter_mut()
            .filter(|timer| now >= timer.next)
            .map(|timer| {
                timer.next = now + timer.period;
                timer.job
            });
        let mut due: Vec<Job> = due.collect();
        if due.contains(&Job::GreetAll) {
            due.retain(|job| *job != Job::Greet);
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn each_job_is_done_once_a_period_and_in_order() {
        let start = Instant::now();
        let mut timers = Timers::new(Duration::from_secs(5), start);
        let mut done: HashMap<Job, u32> = HashMap::new();
        for tick in 0..7_200 {
            let due = timers.due(start + tick * Duration::from_millis(500));
            assert!(due.is_sorted());
            due.into_iter()
                .for_each(|job| *done.entry(job).or_default() += 1);
        }
        for (job, an_hour) in [
            (Job::Settle, 719),
            (Job::Flush, 3_599),
            (Job::GreetAll, 59),
            (Job::Measure, 360),
        ] {
            assert_eq!(done[&job], an_hour, "{job:?}");
        }
    }

    #[test]
    fn a_machine_that_slept_catches_up_once() {
        let start = Instant::now();
        let mut timers = Timers::new(Duration::from_secs(5), start);
        let late = start + Duration::from_secs(36_000);
        assert_eq!(
            timers.due(late).len(),
            9,
            "all but one of the two greetings"
        );
        assert!(timers.due(late).is_empty());
    }
}
