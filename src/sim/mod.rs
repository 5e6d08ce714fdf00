//! A simulator: many nodes on virtual time, in one thread, with messages that are delayed and lost,
//! and nodes that come, go and misbehave. The same seed gives the same run.
//!
//! The nodes' own state machines run unchanged: penalties, the peer table, discovery, trimming,
//! lookups, requests, timers, the record store, the admission of connections, and the rules of
//! `domain/` that they use. Records and announcements are signed; each is verified once by its
//! rule, and counted for every node that would verify it. Gossipsub and Kademlia are models
//! ([`model`]) with the parameters that `net/` configures. Comparing catalogues is one message each
//! way, at the times of the real schedule. Content, disks and people are not simulated.

mod book;
mod bounds;
mod dice;
mod model;
mod node;
mod report;
mod script;
mod shared;
#[cfg(test)]
mod tests;
mod time;
mod world;

use std::time::Duration;

pub use report::{Report, Spread};

/// A node's number.
pub type Id = u32;

/// Most nodes of a run: with more, it would only measure the memory.
pub const MAX_NODES: usize = 20_000;

/// The way a joining node learns of more peers than those whose addresses it was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Joins {
    /// It asks the DHT, as real nodes do.
    Walked,
    /// It is told at once which peers it would find. Only the model can do this; it saves half of
    /// the messages of a run.
    Told,
}

/// With more nodes than this, joining nodes are told which peers they would find.
pub const MOST_WALKED: usize = 2_000;

/// The options of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    pub nodes: usize,
    pub seed: u64,
    /// Number of releases that honest nodes publish, and of packages that people request.
    pub publishes: usize,
    pub lookups: usize,
    /// Share of the honest nodes that leave and return, and share of all nodes that misbehave.
    pub churn: f64,
    pub hostile: f64,
    /// Share of the messages that are lost: gossip for good, all others until they are sent again.
    pub loss: f64,
    pub joins: Joins,
    /// Connections are trimmed down to `low_water` once there are more than `high_water`.
    pub low_water: usize,
    pub high_water: usize,
    pub ping_every: Duration,
    pub query_timeout: Duration,
    pub ban_time: Duration,
    /// Nodes join in the first half of `warm_up`. Events happen during `active`, and nothing new
    /// during `settle`.
    pub warm_up: Duration,
    pub active: Duration,
    pub settle: Duration,
}

impl Options {
    /// Returns the default options of a run.
    pub fn new(nodes: usize, seed: u64) -> Self {
        Self {
            nodes,
            seed,
            publishes: 50,
            lookups: 200,
            churn: 0.1,
            hostile: 0.25,
            loss: 0.002,
            joins: if nodes > MOST_WALKED {
                Joins::Told
            } else {
                Joins::Walked
            },
            low_water: 48,
            high_water: 64,
            ping_every: Duration::from_secs(15),
            query_timeout: Duration::from_secs(5),
            ban_time: Duration::from_secs(1_800),
            warm_up: Duration::from_secs(14),
            active: Duration::from_secs(20),
            settle: Duration::from_secs(11),
        }
    }
}

/// Runs a simulation, and reports progress as a share of one.
pub fn run(options: Options, progress: impl FnMut(f64)) -> Option<Report> {
    finished(options, progress).map(|world| Report::of(&world))
}

/// Runs a simulation. Returns its report, and the bounds that it has broken, as sentences.
pub fn run_within_bounds(options: Options) -> Option<(Report, Vec<String>)> {
    let world = finished(options, |_| ())?;
    Some((Report::of(&world), bounds::broken(&world)))
}

fn finished(options: Options, mut progress: impl FnMut(f64)) -> Option<world::World> {
    /// Events between two reports of progress.
    const BETWEEN: u64 = 50_000;
    let mut world = world::World::new(options)?;
    let mut steps = 0u64;
    while world.step() {
        steps += 1;
        if steps.is_multiple_of(BETWEEN) {
            progress(world.now.micros() as f64 / world.end.micros().max(1) as f64);
        }
    }
    Some(world)
}
