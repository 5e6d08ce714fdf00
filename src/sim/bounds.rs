//! The bounds that every run keeps, whatever its seed.

use crate::{
    domain::lanes::MAX_LANES,
    net::machines::{INBOUND, most_connections},
    sim::{Id, script::NodeRole, world::World},
};

/// Smallest share of announcements that gossip alone delivers to nodes that were present all the
/// time, and of people's requests that succeed.
const GOSSIPED: f64 = 0.995;
const GOT: f64 = 0.95;
/// A node that a flooder reaches with this many bursts has banned it: the first is within the
/// allowance, the second disconnects it, and the third comes over a new connection.
const BURSTS: u32 = 3;

/// Returns the bounds that a run has broken, as sentences.
pub fn broken(world: &World) -> Vec<String> {
    let mut broken = Vec::new();
    let mut hold = |holds: bool, text: String| broken.extend((!holds).then_some(text));
    let (book, options, honest) = (&world.book, &world.options, world.honest());
    let is_honest = |id: &Id| honest.binary_search(id).is_ok();

    let missed = book.missed(&honest, world.end);
    hold(
        missed.is_empty(),
        format!("announcements were not heard, as (message, node): {missed:?}"),
    );
    let gossiped = book.gossiped(&honest).unwrap_or(1.0);
    hold(
        gossiped > GOSSIPED,
        format!("gossip alone delivered a share of {gossiped}"),
    );
    let published = book.all_announced().count();
    hold(
        published == options.publishes,
        format!(
            "{published} of {} releases were announced",
            options.publishes
        ),
    );

    for (by, peer) in &book.bans {
        hold(
            !is_honest(peer),
            format!("{by} banned the honest node {peer}"),
        );
        let still = world.node(*by).is_some_and(|node| node.deals_with(*peer));
        hold(!still, format!("{by} has banned {peer}, and deals with it"));
    }
    for node in world.nodes.iter().filter(|node| node.is_honest()) {
        for (flooder, count) in &node.bursts {
            let banned = book.bans.contains(&(node.me, *flooder));
            hold(
                *count < BURSTS || banned,
                format!("{flooder} flooded {} {count} times, unbanned", node.me),
            );
        }
    }
    for node in &world.nodes {
        let is_loud = matches!(node.role, NodeRole::Forger | NodeRole::Flooder);
        hold(
            !is_loud || book.bans_at.contains_key(&node.me),
            format!("nobody banned {}, a {:?}", node.me, node.role),
        );
        let open = node.lookups_open();
        hold(
            open == 0,
            format!("{open} lookups of {} did not end", node.me),
        );
    }

    let (ended, asked) = (book.gets.len(), book.gets_asked);
    hold(
        asked == options.lookups && ended == asked,
        format!(
            "of {} requests, {asked} were made and {ended} ended",
            options.lookups
        ),
    );
    let got = book.gets.iter().filter(|(found, _)| *found).count();
    hold(
        got as f64 >= asked as f64 * GOT,
        format!("{got} of {asked} requests succeeded"),
    );

    let most = world.most();
    let (connections, _) = most_connections(options.high_water);
    let are_bounded = most.waiting <= INBOUND
        && most.connections <= connections as usize
        && most.requests <= 4 * options.high_water + options.lookups
        && most.lookups <= options.lookups
        && most.lanes <= MAX_LANES
        && most.peers <= options.nodes;
    hold(are_bounded, format!("a queue is too long: {most:?}"));
    broken
}
