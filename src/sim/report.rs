//! The figures of a run.

use serde::Serialize;

use crate::{
    domain::percentile::percentiles,
    sim::{
        Id, Joins,
        node::{LookupOutcome, Most},
        world::World,
    },
};

/// Percentiles of a quantity.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Spread {
    pub p50: f64,
    pub p95: f64,
}

/// The figures of a run, all of which depend only on the options.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    pub seed: u64,
    pub nodes: usize,
    pub joins: Joins,
    /// Number of misbehaving nodes, and of nodes that left and returned.
    pub hostile: usize,
    pub churned: usize,
    /// Virtual seconds.
    pub seconds: f64,
    /// Announcements of honest nodes.
    pub publishes: usize,
    /// Share of expected deliveries that happened, to honest nodes that were present for a while or
    /// came back; the number that came only by comparing catalogues; and the share that gossip
    /// alone delivered to nodes that were present all the time.
    pub delivered: f64,
    pub compared: usize,
    pub gossiped: f64,
    /// Delivery times of gossip in milliseconds. They are the model's: links are as slow as light
    /// in fibre.
    pub delivery_ms: Option<Spread>,
    /// Mean number of hops of an announcement.
    pub delivery_hops: Option<f64>,
    /// Mean number of copies of an announcement that the whole swarm received.
    pub messages_a_publish: f64,
    /// Share of these copies that were duplicates.
    pub duplicates: f64,
    /// Number of finished DHT lookups, and of those that reached their deadline.
    pub lookups: usize,
    pub lookups_late: usize,
    /// Lookups of published packages that succeeded.
    pub found: usize,
    /// Mean number of requests of a successful lookup, and of an unsuccessful one.
    pub requests_found: Option<f64>,
    pub requests_missing: Option<f64>,
    /// Mean number of peers asked one after the other until the first answer.
    pub hops: Option<f64>,
    /// Number of people's requests, and of those that succeeded.
    pub gets: usize,
    pub got: usize,
    /// Times in milliseconds, also the model's.
    pub get_ms: Option<Spread>,
    /// Number of honest nodes that an honest node banned, and of hostile ones.
    pub banned_honest: usize,
    pub banned_hostile: usize,
    /// Number of bans.
    pub bans: usize,
    /// Number of signatures made, and of those that had to be verified.
    pub signed: u64,
    pub verified: u64,
    /// Number of messages sent, and of those lost.
    pub sent: u64,
    pub lost: u64,
    /// Mean number of connections of a node at the end.
    pub connections: f64,
    /// The largest size of each queue.
    pub most: Most,
    pub events: u64,
    /// A hash of all events.
    pub trace: String,
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (count, sum) = values.fold((0u32, 0.0), |(count, sum), one| (count + 1, sum + one));
    (count > 0).then(|| sum / f64::from(count))
}

fn spread(values: Vec<f64>) -> Option<Spread> {
    percentiles(values).map(|(p50, p95)| Spread { p50, p95 })
}

impl Report {
    pub fn of(world: &World) -> Self {
        let (book, honest) = (&world.book, world.honest());
        let is_honest = |id: &Id| honest.binary_search(id).is_ok();
        let banned = |honest: bool| {
            let of = book.bans.iter().map(|(_, peer)| peer);
            let mut of: Vec<&Id> = of.filter(|id| is_honest(id) == honest).collect();
            of.sort_unstable();
            of.dedup();
            of.len()
        };
        let copies: u64 = book.all_announced().map(|one| one.copies).sum();
        let firsts: u64 = book.all_announced().map(|one| one.firsts).sum();
        let publishes = book.all_announced().count();
        let requests = |found: bool| {
            let of = book.lookups.iter().filter(|one| one.found == found);
            mean(of.map(|one| f64::from(one.asked)))
        };
        let wanted = |one: &&LookupOutcome| !one.is_first && one.found;
        let times = book.gets.iter().filter(|(found, _)| *found);
        let online = world.nodes.iter().filter(|node| node.online);
        let left = world.nodes.iter().filter(|node| node.epoch > 0);
        Self {
            seed: world.options.seed,
            nodes: world.nodes.len(),
            joins: world.options.joins,
            hostile: world.nodes.len() - honest.len(),
            churned: left.count(),
            seconds: world.end.since(Default::default()).as_secs_f64(),
            publishes,
            delivered: book.delivered(&honest, world.end).unwrap_or(1.0),
            compared: book.compared(&honest),
            gossiped: book.gossiped(&honest).unwrap_or(1.0),
            delivery_ms: spread(book.delays_ms(&honest)),
            delivery_hops: mean(book.hops().into_iter()),
            messages_a_publish: copies as f64 / publishes.max(1) as f64,
            duplicates: (copies - firsts) as f64 / copies.max(1) as f64,
            lookups: book.lookups.len(),
            lookups_late: book.timed_out(),
            found: book.lookups.iter().filter(wanted).count(),
            requests_found: requests(true),
            requests_missing: requests(false),
            hops: mean(
                book.lookups
                    .iter()
                    .filter_map(|one| one.depth.map(f64::from)),
            ),
            gets: book.gets_asked,
            got: times.clone().count(),
            get_ms: spread(
                times
                    .map(|(_, took)| took.as_secs_f64() * 1_000.0)
                    .collect(),
            ),
            banned_honest: banned(true),
            banned_hostile: banned(false),
            bans: book.bans.len(),
            signed: world.shared.signed,
            verified: world.signatures,
            sent: book.sent,
            lost: book.lost,
            connections: mean(online.map(|node| node.connections() as f64)).unwrap_or(0.0),
            most: world.most(),
            events: world.trace.events,
            trace: world.trace.finish(),
        }
    }
}
