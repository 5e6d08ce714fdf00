//! Compares the simulator with the demo, which has real nodes, and runs many seeds: `cargo bench
//! --bench sim`.
//!
//! `SWARMDEX_BENCH_SEEDS` sets the number of seeds (100), `SWARMDEX_BENCH_NODES` the sizes that are
//! compared (32,100; empty for none). It fails if a seed breaks a bound.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::time::{Duration, Instant};

use swarmdex::{
    demo::{Demo, DemoOptions, Latency, catalogue::CatalogueSource},
    sim::{self, Options},
};

/// Length of a demo, and packages published per minute: so few that two cores keep up with a
/// hundred nodes, which is printed.
const LENGTH: Duration = Duration::from_secs(120);
const RATE: f64 = 15.0;
/// Largest accepted difference between the figures of both sides, as a share.
const MOST: f64 = 0.25;

#[derive(Clone, Copy)]
struct Figures {
    messages: f64,
    duplicates: f64,
    found: f64,
    missing: f64,
    hops: f64,
}

/// The figures of the real demo, and the conditions that the simulation copies.
struct Real {
    figures: Figures,
    announced: usize,
    /// Time until all nodes had joined.
    joined: Duration,
}

/// Returns the processor time of this process so far, in seconds.
fn cpu_seconds() -> f64 {
    const TICKS_A_SECOND: f64 = 100.0;
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let fields = after_name.split_whitespace().skip(11).take(2);
    let ticks = fields.filter_map(|ticks| ticks.parse::<f64>().ok());
    ticks.sum::<f64>() / TICKS_A_SECOND
}

async fn demo(peers: usize) -> Real {
    let (started, before) = (Instant::now(), cpu_seconds());
    let demo = Demo::start(DemoOptions {
        peers,
        seed: 7,
        catalogue: CatalogueSource::Embedded,
        project: None,
        rate: RATE,
        churn: 0.0,
        latency: Latency::Distance,
        data_dir: None,
        query_timeout: Duration::from_secs(5),
    })
    .await
    .unwrap();
    let report = demo.report(LENGTH).await;
    let (took, cpu) = (started.elapsed().as_secs_f64(), cpu_seconds() - before);
    println!(
        "\ndemo, {peers} nodes: {} announced, joined after {:.1} s, {:.2} processors busy on \
         average",
        report.announced,
        report.joined_ms.unwrap_or(f64::NAN) / 1_000.0,
        cpu / took
    );
    demo.shutdown().await.unwrap();
    let figures = Figures {
        messages: report.messages_a_publish.unwrap(),
        duplicates: report.duplicates.unwrap(),
        found: report.requests_found.unwrap(),
        missing: report.requests_missing.unwrap(),
        hops: report.delivery_hops.unwrap(),
    };
    Real {
        figures,
        announced: report.announced,
        joined: Duration::from_secs_f64(report.joined_ms.unwrap_or(0.0) / 1_000.0),
    }
}

/// Simulates as many announcements over as long a time, starting when as many nodes had joined.
/// Joining takes a few seconds more than in the demo, because the simulator spreads it over half of
/// the warm-up.
fn simulated(nodes: usize, real: &Real) -> Figures {
    let report = sim::run(
        Options {
            publishes: real.announced,
            warm_up: real.joined + Duration::from_secs(10),
            active: LENGTH.saturating_sub(real.joined),
            hostile: 0.0,
            churn: 0.0,
            loss: 0.0,
            ..Options::new(nodes, 7)
        },
        |_| {},
    )
    .unwrap();
    Figures {
        messages: report.messages_a_publish,
        duplicates: report.duplicates,
        found: report.requests_found.unwrap(),
        missing: report.requests_missing.unwrap(),
        hops: report.delivery_hops.unwrap(),
    }
}

fn compare(nodes: usize, real: Figures, simulated: Figures) {
    println!("\n{nodes} nodes                    demo  simulator  difference");
    for (name, real, simulated) in [
        ("messages a publish", real.messages, simulated.messages),
        ("share of duplicates", real.duplicates, simulated.duplicates),
        ("requests, found", real.found, simulated.found),
        ("requests, not found", real.missing, simulated.missing),
        ("delivery hops", real.hops, simulated.hops),
    ] {
        let difference = simulated / real - 1.0;
        let far = if difference.abs() > MOST {
            "  too far"
        } else {
            ""
        };
        println!(
            "{name:<22} {real:>9.2}  {simulated:>9.2}  {:>+8.1} %{far}",
            difference * 100.0
        );
    }
}

/// Runs this many seeds, and fails if one breaks a bound.
fn seeds(count: u64) {
    let started = Instant::now();
    let (mut events, mut banned, mut failed) = (0, 0, Vec::new());
    for seed in 0..count {
        let (report, broken) = sim::run_within_bounds(Options::new(200, seed)).unwrap();
        events += report.events;
        banned += report.banned_hostile;
        failed.extend((!broken.is_empty()).then_some(seed));
        for bound in broken {
            println!("seed {seed}: {bound}");
        }
    }
    println!(
        "\n{count} seeds of 200 nodes in {:.1} s: {events} events, {banned} hostile nodes banned, \
         {} seeds within all bounds",
        started.elapsed().as_secs_f64(),
        count - failed.len() as u64
    );
    assert!(failed.is_empty(), "these seeds break a bound: {failed:?}");
}

#[tokio::main]
async fn main() {
    let setting = |name: &str, default: &str| std::env::var(name).unwrap_or(default.to_owned());
    let sizes = setting("SWARMDEX_BENCH_NODES", "32,100");
    for nodes in sizes.split(',').filter(|nodes| !nodes.is_empty()) {
        let nodes = nodes.trim().parse().unwrap();
        let real = demo(nodes).await;
        compare(nodes, real.figures, simulated(nodes, &real));
    }
    seeds(setting("SWARMDEX_BENCH_SEEDS", "100").parse().unwrap());
}
