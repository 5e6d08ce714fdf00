//! Runs with asserted bounds.

use super::*;
use crate::sim::world::World;

#[test]
fn one_run() {
    let started = std::time::Instant::now();
    let mut world = World::new(Options::new(200, 1)).unwrap();
    while world.step() {}
    eprintln!(
        "{:?} {}",
        started.elapsed(),
        serde_json::to_string_pretty(&Report::of(&world)).unwrap()
    );
}
