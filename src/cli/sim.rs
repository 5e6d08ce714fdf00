//! `sim`: simulates many nodes on virtual time.

use std::time::{Duration, Instant};

use clap::builder::RangedU64ValueParser;
use indicatif::ProgressStyle;

use super::{DONE, FAILED, global::Global, print};
use crate::{
    RegistryError, Result,
    sim::{self, Joins, MAX_NODES, Options, Report, Spread},
};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Number of nodes
    #[arg(long, default_value_t = 200, value_name = "N", value_parser = RangedU64ValueParser::<usize>::new().range(2..=MAX_NODES as u64))]
    nodes: usize,
    /// Seed of the run [default: random]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Number of releases to publish
    #[arg(long, default_value_t = 50, value_name = "N", value_parser = RangedU64ValueParser::<usize>::new().range(0..=100_000))]
    publishes: usize,
    /// Number of packages to look up
    #[arg(long, default_value_t = 200, value_name = "N", value_parser = RangedU64ValueParser::<usize>::new().range(0..=100_000))]
    lookups: usize,
    /// Share of honest nodes that leave and return, from 0 to 1
    #[arg(long, default_value_t = 0.1, value_name = "SHARE", value_parser = share)]
    churn: f64,
    /// Share of nodes that misbehave, from 0 to 1
    #[arg(long, default_value_t = 0.25, value_name = "SHARE", value_parser = share)]
    hostile: f64,
    /// Share of messages that are lost, from 0 to 1
    #[arg(long, default_value_t = 0.002, value_name = "SHARE", value_parser = share)]
    loss: f64,
    /// Print the report as one JSON object
    #[arg(long)]
    json: bool,
}

fn share(text: &str) -> Result<f64, String> {
    let share = text
        .parse()
        .ok()
        .filter(|share| (0.0..=1.0).contains(share));
    share
        .ok_or_else(|| format!("\"{text}\" is not a share; give a number from 0 to 1, such as 0.1"))
}

impl Args {
    fn options(&self) -> Options {
        let seed = self
            .seed
            .unwrap_or_else(|| u64::from(rand::random::<u32>()));
        Options {
            publishes: self.publishes,
            lookups: self.lookups,
            churn: self.churn,
            hostile: self.hostile,
            loss: self.loss,
            ..Options::new(self.nodes, seed)
        }
    }
}

pub(super) async fn run(global: &Global, args: Args) -> Result<u8> {
    for flag in global.of_a_node() {
        print::note(format!(
            "{flag} has no effect: a simulation uses no network and no directory"
        ));
    }
    let options = args.options();
    let report = tokio::task::spawn_blocking(move || simulate(options))
        .await
        .map_err(|error| print::internal("the simulation", error))??;
    if args.json {
        print::json(&report)?;
    } else {
        show(&report)?;
    }
    let sound = report.delivered >= 1.0 && report.banned_honest == 0;
    Ok(if sound { DONE } else { FAILED })
}

/// Runs the simulation; on a terminal, shows a progress bar if it takes a while.
fn simulate(options: Options) -> Result<Report> {
    const SHOWN_AFTER: Duration = Duration::from_millis(100);
    const WHOLE: u64 = 1_000;
    let (started, mut bar) = (Instant::now(), None);
    let style = ProgressStyle::with_template("{msg} {wide_bar} {percent} %");
    let report = sim::run(options, |share| {
        if bar.is_none() && started.elapsed() >= SHOWN_AFTER {
            let shown = print::bar(WHOLE).with_message("simulating");
            bar = Some(match &style {
                Ok(style) => shown.with_style(style.clone()),
                Err(_) => shown,
            });
        }
        if let Some(bar) = &bar {
            bar.set_position((share * WHOLE as f64) as u64);
        }
    });
    if let Some(bar) = bar {
        bar.finish_and_clear();
    }
    report.ok_or_else(|| RegistryError::Internal {
        what: "the simulation",
        why: "the figures of gossip do not go together".to_owned(),
    })
}

fn show(report: &Report) -> Result<()> {
    let figure =
        |value: Option<f64>| value.map_or("none".to_owned(), |value| format!("{value:.1}"));
    let times = |spread: Option<Spread>| match spread {
        Some(Spread { p50, p95 }) => format!("{p50:.0} ms, p95 {p95:.0} ms"),
        None => "not measured".to_owned(),
    };
    let share = |value: f64| format!("{:.2} %", value * 100.0);
    print::fields(&[
        ("seed", report.seed.to_string()),
        (
            "nodes",
            format!(
                "{}: {} misbehave, {} left and returned; {:.1} connections each at the end",
                report.nodes, report.hostile, report.churned, report.connections
            ),
        ),
        (
            "published",
            format!(
                "{}, delivered {}, {} times only by comparing catalogues; by gossip {} of those who were there, in {}, over {} hops",
                report.publishes,
                share(report.delivered),
                report.compared,
                share(report.gossiped),
                times(report.delivery_ms),
                figure(report.delivery_hops)
            ),
        ),
        (
            "gossip",
            format!(
                "{:.1} copies of an announcement, of which {} were duplicates",
                report.messages_a_publish,
                share(report.duplicates)
            ),
        ),
        (
            "lookups",
            format!(
                "{}, {} of them ended by their deadline; {} requests where something is found, {} \
                 where not; {} hops",
                report.lookups,
                report.lookups_late,
                figure(report.requests_found),
                figure(report.requests_missing),
                figure(report.hops)
            ),
        ),
        (
            "gets",
            format!(
                "{} of {} found, in {}",
                report.got,
                report.gets,
                times(report.get_ms)
            ),
        ),
        (
            "banned",
            format!(
                "{} of {} that misbehave, {} that do not; {} bans in all",
                report.banned_hostile, report.hostile, report.banned_honest, report.bans
            ),
        ),
        (
            "signatures",
            format!("{} made, {} verified", report.signed, report.verified),
        ),
        (
            "messages",
            format!("{} sent, {} lost", report.sent, report.lost),
        ),
        (
            "events",
            format!("{} in {:.0} virtual seconds", report.events, report.seconds),
        ),
        ("trace", report.trace.clone()),
        ("model", format!("{MODEL}{}", told(report.joins))),
    ])
}

/// Says what a run of so many nodes leaves out.
fn told(joins: Joins) -> &'static str {
    match joins {
        Joins::Walked => "",
        Joins::Told => {
            " With so many nodes, those that join are told the peers that the DHT would find."
        }
    }
}

/// Explains the model behind the figures.
const MODEL: &str = "Nodes follow the program's own rules. Gossipsub and Kademlia are models with \
                     the nodes' parameters, and links have the latency of light in fibre, so times \
                     are those of the model.";
