//! Runs with asserted bounds. A failure names its seed: `swarmdex sim --nodes N --seed SEED`.

use super::*;
use crate::{
    domain::{lanes::MAX_LANES, reputation::Outcome},
    net::machines::{INBOUND, most_connections, penalties},
    sim::{model::gossip::GossipRpc, node::Wire, script::NodeRole, world::World},
};

fn ran(options: &Options) -> World {
    let mut world = World::new(options.clone()).unwrap();
    while world.step() {}
    world
}

/// Options of a short run: nodes are told the peers that a bootstrap finds, and have fewer
/// connections.
fn brief(nodes: usize, seed: u64) -> Options {
    Options {
        joins: Joins::Told,
        low_water: 24,
        high_water: 32,
        warm_up: Duration::from_secs(6),
        active: Duration::from_secs(12),
        settle: Duration::from_secs(7),
        ..Options::new(nodes, seed)
    }
}

/// Seeds of 200 nodes in which one node misses announcements. The reason is not known: it may be
/// the model or the rules. A seed that is mended leaves this list.
const MISSED: [u64; 0] = [];

/// Asserts what must hold in every run, whatever the seed.
fn assert_sound(world: &World) {
    let (options, honest) = (&world.options, world.honest());
    let seed = options.seed;
    let missed = world.book.missed(&honest, world.end);
    let known = options.nodes == 200 && MISSED.contains(&seed);
    assert_eq!(
        !missed.is_empty(),
        known,
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
    let (connections, _) = most_connections(options.high_water);
    assert!(
        most.connections <= connections as usize,
        "seed {seed}: {most:?}"
    );
    let gossiped = world.book.gossiped(&honest);
    assert!(
        gossiped.is_some_and(|share| share > 0.995),
        "seed {seed}: {gossiped:?} by gossip alone"
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

fn of(world: &World, role: NodeRole) -> Vec<Id> {
    let nodes = world.nodes.iter().filter(|node| node.role == role);
    nodes.map(|node| node.me).collect()
}

fn assert_seeds(nodes: usize, seeds: std::ops::Range<u64>) {
    for seed in seeds {
        let world = ran(&brief(nodes, seed));
        assert_sound(&world);
        // Not all: a connection may be trimmed before a second message comes over it.
        let forgers = of(&world, NodeRole::Forger);
        let is_caught = |id: &&Id| world.book.bans_at.contains_key(*id);
        let caught = forgers.iter().filter(is_caught).count();
        assert!(
            caught * 10 >= forgers.len() * 9,
            "seed {seed}: {caught} of {} that forge were banned",
            forgers.len()
        );
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

// In two tests, which run in parallel; the bench runs a hundred such seeds.
#[test]
fn of_two_hundred_nodes_a_quarter_is_hostile_1() {
    assert_seeds(200, 0..10);
}

#[test]
fn of_two_hundred_nodes_a_quarter_is_hostile_2() {
    assert_seeds(200, 10..20);
}

/// The scenario of `tests/conduct.rs`, which takes a minute there: a few nodes and one or two bad
/// peers of each kind, each of which is banned in time.
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
        for (role, within) in [
            (NodeRole::Forger, 185),
            (NodeRole::Flooder, 20),
            (NodeRole::Liar, 185),
        ] {
            for bad in of(&world, role) {
                let at = world.book.bans_at.get(&bad);
                let after = at.map(|at| at.since(started));
                assert!(
                    after.is_some_and(|after| after <= Duration::from_secs(within)),
                    "seed {seed}: {role:?} {bad} was banned after {after:?}"
                );
            }
        }
        // A staller that is asked nothing stalls nobody: only the nodes that dialled it greet it.
        let stallers = of(&world, NodeRole::Staller);
        let is_caught = |id: &Id| world.book.bans_at.contains_key(id);
        caught += stallers.into_iter().filter(is_caught).count();
    }
    println!("{caught} of ten that stall were banned");
    assert!(caught >= 5, "{caught} of ten that stall were banned");
}

/// One of a few nodes withholds: it is not banned, but its score drops at the nodes that asked it.
#[test]
fn whoever_says_that_it_has_nothing_is_thought_less_of() {
    let options = Options {
        hostile: 0.0,
        churn: 0.0,
        publishes: 20,
        lookups: 100,
        ..brief(24, 7)
    };
    let roles: Vec<NodeRole> = (0..24)
        .map(|n| {
            if n == 5 {
                NodeRole::Withholder
            } else {
                NodeRole::Honest
            }
        })
        .collect();
    let mut world = World::with_roles(options, &roles).unwrap();
    while world.step() {}
    assert_sound(&world);
    assert!(!world.book.bans_at.contains_key(&5));
    let failures = |of: Id| -> f64 {
        let honest = world.nodes.iter().filter(|node| node.is_honest());
        honest.map(|node| node.failures(of, &world.shared)).sum()
    };
    let others = (0..24).filter(|id| *id != 5).map(failures);
    let most = others.fold(0.0, f64::max);
    assert!(
        failures(5) > 2.0 * most,
        "{} against it, {most} against another",
        failures(5)
    );
}

/// Creates connected honest nodes without any planned events.
fn calm(nodes: usize) -> World {
    let mut world = World::new(Options {
        publishes: 0,
        lookups: 0,
        hostile: 0.0,
        churn: 0.0,
        loss: 0.0,
        active: Duration::from_secs(60),
        ..brief(nodes, 7)
    })
    .unwrap();
    world.run_until(time::Time::at(Duration::from_secs(12)));
    world
}

/// Creates messages signed by these authors, each of them news.
fn many(world: &mut World, count: usize, authors: &[Id]) -> Vec<u32> {
    let now = world.now.stamp();
    let package = world.shared.package(7).unwrap();
    let first = world.shared.release(package, 0, now).unwrap();
    let made = authors.iter().cycle().take(count);
    made.enumerate()
        .map(|(n, author)| world.shared.copy(first, *author, 1_000 + n as u32).unwrap())
        .collect()
}

/// Lets a node forward messages to a peer as if it had received them, a few at a time.
fn passes_on(world: &mut World, from: Id, to: &[(Id, Vec<u32>)]) {
    const AT_ONCE: usize = 10;
    let longest = to.iter().map(|(_, messages)| messages.len()).max();
    for at in (0..longest.unwrap_or(0)).step_by(AT_ONCE) {
        for (peer, messages) in to {
            let some = messages.iter().skip(at).take(AT_ONCE);
            world.act(from, |node, cx| {
                some.for_each(|one| node.send(*peer, Wire::Gossip(GossipRpc::Message(*one)), cx));
            });
        }
        world.run_until(world.now.after(Duration::from_millis(40)));
    }
    world.run_until(world.now.after(Duration::from_secs(2)));
}

#[test]
fn nobody_is_at_fault_for_passing_on_what_one_author_sends_too_much_of() {
    let mut world = calm(5);
    let author = 4;
    let messages = many(&mut world, 1_680, &[author]);
    let pieces = (0..4).zip(messages.chunks(420).map(<[u32]>::to_vec));
    passes_on(&mut world, author, &pieces.collect::<Vec<_>>());
    let known: Vec<usize> = (0..4).map(|id| world.nodes[id].packages()).collect();
    assert!(
        known.iter().all(|known| (1_000..1_680).contains(known)),
        "nobody took all of it: {known:?}"
    );
    assert!(world.book.bans.is_empty(), "{:?}", world.book.bans);
    for node in &world.nodes[..4] {
        assert!(
            node.penalties.ledger().all().next().is_none(),
            "{} holds something against one that passed it on",
            node.me
        );
    }
}

#[test]
fn a_neighbour_that_was_good_to_ask_may_pass_on_more_of_strangers() {
    let taken = |good: bool| {
        let mut world = calm(4);
        let via = world.shared.peer(1).unwrap();
        if good {
            let answers = [Outcome::AnswerRight; 40];
            world.act(0, |node, cx| {
                for right in answers {
                    node.penalise(penalties::PenaltyEvent::Observed(via, right), cx);
                }
            });
        }
        let authors: Vec<Id> = (0..80).map(|_| world.shared.stranger().unwrap()).collect();
        let messages = many(&mut world, 1_600, &authors);
        passes_on(&mut world, 1, &[(0, messages)]);
        world.nodes[0].packages()
    };
    let (unknown, good) = (taken(false), taken(true));
    assert!(unknown < 1_250 && good == 1_600, "{unknown} and {good}");
}

#[test]
fn a_seed_always_gives_the_same_run_and_another_seed_another() {
    let report = |seed| {
        let options = Options::new(40, seed);
        Report::of(&ran(&options))
    };
    let first = report(7);
    assert_eq!(report(7), first);
    assert_ne!(report(8).trace, first.trace);
}
