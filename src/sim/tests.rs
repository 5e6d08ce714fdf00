//! Runs with asserted bounds. Whatever fails names its seed: `swarmdex sim --nodes N --seed SEED`.

use super::*;
use crate::{
    domain::lanes::MAX_LANES,
    net::machines::INBOUND,
    sim::{script::Role, world::World},
};

fn ran(options: &Options) -> World {
    let mut world = World::new(options.clone()).unwrap();
    while world.step() {}
    world
}

/// Everything that holds in every run, whatever the seed.
fn assert_sound(world: &World) {
    let (options, honest) = (&world.options, world.honest());
    let seed = options.seed;
    let missed = world.book.missed(&honest);
    assert!(
        missed.is_empty(),
        "seed {seed}: not heard, as (message, node): {missed:?}"
    );
    let is_honest = |id: &Id| honest.binary_search(id).is_ok();
    let wrongly: Vec<_> = world
        .book
        .bans
        .iter()
        .filter(|(_, peer)| is_honest(peer))
        .collect();
    assert!(
        wrongly.is_empty(),
        "seed {seed}: honest nodes were banned: {wrongly:?}"
    );
    for (by, peer) in &world.book.bans {
        let still = world.node(*by).unwrap().deals_with(*peer);
        assert!(
            !still,
            "seed {seed}: {by} has banned {peer}, and deals with it"
        );
    }
    for node in &world.nodes {
        let open = node.lookups_open();
        assert_eq!(open, 0, "seed {seed}: lookups of {} did not end", node.me);
    }
    let ended = world.book.gets.len();
    assert_eq!(
        ended, world.book.gets_asked,
        "seed {seed}: gets did not end"
    );
    let most = world.most();
    assert!(most.waiting <= INBOUND, "seed {seed}: {most:?}");
    assert!(
        most.connections <= 4 * options.high_water,
        "seed {seed}: {most:?}"
    );
    assert!(
        most.requests <= 4 * options.high_water + options.lookups,
        "seed {seed}: {most:?}"
    );
    assert!(
        most.lanes <= MAX_LANES && most.peers <= options.nodes,
        "seed {seed}: {most:?}"
    );
    assert!(most.lookups <= options.lookups, "seed {seed}: {most:?}");
    assert_eq!(
        world.book.all_announced().count(),
        options.publishes,
        "seed {seed}"
    );
    assert_eq!(world.book.gets_asked, options.lookups, "seed {seed}");
}

fn of(world: &World, role: Role) -> Vec<Id> {
    let nodes = world.nodes.iter().filter(|node| node.role == role);
    nodes.map(|node| node.me).collect()
}

fn assert_seeds(nodes: usize, seeds: std::ops::Range<u64>) {
    for seed in seeds {
        let world = ran(&Options::new(nodes, seed));
        assert_sound(&world);
        for caught in [of(&world, Role::Forger), of(&world, Role::Flooder)].concat() {
            let is_banned = world.book.bans_at.contains_key(&caught);
            assert!(is_banned, "seed {seed}: nobody banned {caught}");
        }
        let report = Report::of(&world);
        let found = report.got as f64 / report.gets as f64;
        assert!(
            found > 0.95,
            "seed {seed}: {} of {} found",
            report.got,
            report.gets
        );
    }
}

// In two pieces, which run beside one another. Unoptimised, two hundred nodes take ten seconds and
// more, most of it for connections that come and go; the bench runs a hundred such seeds.
#[test]
fn of_forty_nodes_a_quarter_is_hostile_1() {
    assert_seeds(40, 0..10);
}

#[test]
fn of_forty_nodes_a_quarter_is_hostile_2() {
    assert_seeds(40, 10..20);
}

/// The scenario of `tests/conduct.rs`, which takes a minute there: a few nodes, and of each kind of
/// bad peer one or two, each of which is banned in time.
#[test]
fn bad_peers_are_caught_and_honest_ones_are_served() {
    let mut caught = 0;
    for seed in 0..10 {
        let world = ran(&Options {
            hostile: 5.0 / 12.0,
            churn: 0.0,
            publishes: 20,
            lookups: 60,
            ping_every: Duration::from_secs(5),
            active: Duration::from_secs(180),
            ..Options::new(12, seed)
        });
        assert_sound(&world);
        let started = time::Time::at(world.options.warm_up);
        for (role, within) in [(Role::Forger, 185), (Role::Flooder, 20)] {
            for bad in of(&world, role) {
                let at = world.book.bans_at.get(&bad);
                let after = at.map(|at| at.since(started));
                assert!(
                    after.is_some_and(|after| after <= Duration::from_secs(within)),
                    "seed {seed}: {role:?} {bad} was banned after {after:?}"
                );
            }
        }
        // Whoever is asked nothing stalls nobody: only those who dialled it greet it.
        let stallers = of(&world, Role::Staller);
        let is_caught = |id: &Id| world.book.bans_at.contains_key(id);
        caught += stallers.into_iter().filter(is_caught).count();
    }
    assert!(caught >= 5, "{caught} of ten that stall were banned");
}

#[test]
fn a_seed_always_gives_the_same_run_and_another_seed_another() {
    let report = |seed| {
        let options = Options::new(60, seed);
        Report::of(&ran(&options))
    };
    let first = report(7);
    assert_eq!(report(7), first);
    assert_ne!(report(8).trace, first.trace);
}
