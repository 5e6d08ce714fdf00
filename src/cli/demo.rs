//! `demo`: a private swarm, in the explorer or headless.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use clap::{ValueEnum, builder::RangedU64ValueParser};
use indicatif::HumanBytes;

use super::{DONE, FAILED, explorer, global::Global, plain, print, session, stop::Stop};
use crate::{
    RegistryError, Result,
    config::{Settings, parse_duration},
    control::{Control, Local, Serving},
    demo::{self, Demo, DemoOptions, DemoReport, Percentiles, catalogue::CatalogueSource},
    domain::percentile::percentiles,
    gateway::{self, Gateway},
    telemetry::{self, Logs, StderrUse},
    ui::{self, SavedPaths},
};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Number of nodes, including yours
    #[arg(long, default_value_t = 24, value_name = "N", value_parser = RangedU64ValueParser::<usize>::new().range(1..))]
    peers: usize,
    /// Seed of keys, cities, order and schedule [default: random]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Source of packages: cache (the local cargo cache), embedded, or a directory of .crate files
    #[arg(long, default_value = "cache", value_name = "SOURCE")]
    catalogue: CatalogueSource,
    /// Directory whose Cargo.lock lists the crates to publish first [default: the current one]
    #[arg(long, value_name = "DIR")]
    project: Option<PathBuf>,
    /// Packages a minute, over the whole swarm
    #[arg(long, default_value_t = 60.0, value_name = "N")]
    rate: f64,
    /// Share of nodes that leave and return, from 0 to 1
    #[arg(long, default_value_t = 0.1, value_name = "SHARE")]
    churn: f64,
    /// Latency of links: distance (light in fibre between the nodes' cities) or none
    #[arg(
        long,
        default_value = "distance",
        value_name = "HOW",
        hide_possible_values = true
    )]
    latency: LatencyChoice,
    /// Run without a terminal, and print a report
    #[arg(long)]
    pub headless: bool,
    /// Print one sentence a line for each change on your node, until Ctrl-C or SIGTERM
    #[arg(long, conflicts_with = "headless")]
    pub plain: bool,
    /// Duration of a headless demo
    #[arg(long = "for", default_value = "20s", value_name = "TIME", value_parser = length, requires = "headless")]
    length: Duration,
    /// Print the report as one JSON object
    #[arg(long, requires = "headless")]
    json: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum LatencyChoice {
    Distance,
    None,
}

impl From<LatencyChoice> for demo::Latency {
    fn from(latency: LatencyChoice) -> Self {
        match latency {
            LatencyChoice::Distance => Self::Distance,
            LatencyChoice::None => Self::None,
        }
    }
}

fn length(text: &str) -> Result<Duration, String> {
    parse_duration(text)
}

pub(super) async fn run(global: &Global, args: Args) -> Result<u8> {
    let settings = global.settings()?;
    if args.plain && args.headless {
        return Err(RegistryError::Usage(
            "--plain and --headless exclude each other; leave one out".to_owned(),
        ));
    }
    if !args.headless && !args.plain {
        ui::check_terminal()?;
        explorer::check(global, &settings)?;
    }
    for flag in global.of_a_node() {
        print::note(format!("{flag} has no effect: the demo's swarm is private"));
    }
    let seed = args
        .seed
        .unwrap_or_else(|| u64::from(rand::random::<u32>()));
    let data_dir = global.given_data_dir();
    let screen = if args.headless {
        StderrUse::Free
    } else {
        StderrUse::Taken
    };
    let logs = logs(&settings, data_dir.is_some(), screen);
    let options = DemoOptions {
        peers: args.peers,
        seed,
        catalogue: args.catalogue.clone(),
        project: args
            .project
            .clone()
            .or_else(|| std::env::current_dir().ok()),
        rate: args.rate,
        churn: args.churn,
        latency: args.latency.into(),
        data_dir,
        query_timeout: settings.node.net.query_timeout,
    };
    match &args {
        Args { headless: true, .. } => headless(options, logs.as_ref(), &args).await,
        Args { plain: true, .. } => plainly(options, logs.as_ref()).await,
        _ => on_screen(options, &settings, logs).await,
    }
}

/// The user's node in a demo, with the servers that other programs can use.
struct ServedDemo {
    you: Arc<Local>,
    serving: Option<Serving>,
    gateway: Option<Gateway>,
}

impl ServedDemo {
    async fn start(demo: &Demo, logs: Option<&Logs>) -> Result<Self> {
        let node = demo.you()?;
        let (you, serving) = session::serve(node, logs, None).await?;
        let gateway = session::open_gateway(&you, node, gateway::Options::on_any_port()).await;
        Ok(Self {
            you,
            serving,
            gateway,
        })
    }

    /// Returns sentences about how to use them.
    fn notes(&self) -> Vec<String> {
        let attach = self.serving.as_ref().map(attach);
        let gateway = self.gateway.as_ref().map(|gateway| {
            let url = gateway.url();
            format!(
                "build with cargo from this swarm: CARGO_HOME=$(mktemp -d) cargo build --locked \
                 --config 'source.crates-io.replace-with=\"swarm\"' \
                 --config 'registries.swarm.index=\"sparse+{url}/cargo-mirror/\"' (also at {url})"
            )
        });
        attach.into_iter().chain(gateway).collect()
    }

    async fn end(self) {
        if let Some(gateway) = self.gateway {
            gateway.stop().await;
        }
        if let Some(serving) = self.serving {
            serving.stop().await;
        }
    }
}

/// Returns a sentence about how to attach to the node.
fn attach(serving: &Serving) -> String {
    format!(
        "to open another explorer on this node: swarmdex --attach {}",
        serving.socket().display()
    )
}

/// Starts logging beside the demo's data directory, or else apart from the user's own logs. A demo
/// starts even if logs cannot be written.
fn logs(settings: &Settings, with_data: bool, screen: StderrUse) -> Option<Logs> {
    let mut settings = settings.clone();
    if !with_data {
        settings.paths.state.push("demo");
    }
    let temporary = || {
        let mut settings = settings.clone();
        settings.paths.state =
            std::env::temp_dir().join(format!("swarmdex-demo-{}", std::process::id()));
        telemetry::start(&settings.log_options(), screen)
    };
    let logs = telemetry::start(&settings.log_options(), screen).or_else(|_| temporary());
    logs.inspect_err(|error| print::note(format!("the demo runs without a log: {error}")))
        .ok()
}

async fn headless(options: DemoOptions, logs: Option<&Logs>, args: &Args) -> Result<u8> {
    let mut stop = Stop::watch()?;
    print::note(format!(
        "seed {}: {} peers for {} s",
        options.seed,
        options.peers,
        args.length.as_secs_f64()
    ));
    let demo = Demo::start(options).await?;
    let served = ServedDemo::start(&demo, logs).await?;
    for note in demo.notes().iter().cloned().chain(served.notes()) {
        print::note(note);
    }
    let report = tokio::select! {
        report = demo.report(args.length) => Some(report),
        () = stop.told() => None,
    };
    served.end().await;
    demo.shutdown().await?;
    let Some(report) = report else {
        print::note("interrupted before the report");
        return Ok(FAILED);
    };
    if args.json {
        print::json(&report)?;
    } else {
        show(&report)?;
    }
    let together = report.connected > 0 || report.peers == 1;
    let sound = report.errors.is_empty() && report.bad_bytes_delivered == 0;
    Ok(if sound && together { DONE } else { FAILED })
}

async fn plainly(options: DemoOptions, logs: Option<&Logs>) -> Result<u8> {
    let mut stop = Stop::watch()?;
    let what = format!(
        "demo of {} peers on a private swarm, seed {}",
        options.peers, options.seed
    );
    let demo = Demo::start(options).await?;
    let served = ServedDemo::start(&demo, logs).await?;
    let notes = demo.notes().iter().cloned().chain(served.notes());
    let first: Vec<String> = std::iter::once(what).chain(notes).collect();
    let told = plain::tell(&*served.you, &first, &mut stop).await;
    print::note("shutting down");
    served.end().await;
    let ended = demo.shutdown().await;
    told.and(ended).map(|()| DONE)
}

fn show(report: &DemoReport) -> Result<()> {
    let spread = |spread: Option<(f64, f64)>| {
        spread.map_or("not measured".to_owned(), |(p50, p95)| {
            format!("{p50:.1} ms, p95 {p95:.1} ms")
        })
    };
    let hits = report
        .searches
        .iter()
        .filter(|search| search.hits > 0)
        .count();
    let found = report.gets.iter().filter(|get| get.found).count();
    let joined = report
        .joined_ms
        .map_or(String::new(), |ms| format!(" after {ms:.0} ms"));
    let latency = match report.one_way_ms {
        Some(Percentiles { p50, p95 }) => {
            format!("latency by distance, one way {p50:.1} ms, p95 {p95:.1} ms")
        }
        None => "no added latency".to_owned(),
    };
    let delivered = report.delivered.map_or("not measured".to_owned(), |share| {
        format!("{:.1} %", share * 100.0)
    });
    let delays = spread(report.delivery_ms.map(|ms| (ms.p50, ms.p95)));
    let figure = |value: Option<f64>| value.map_or("?".to_owned(), |value| format!("{value:.1}"));
    let gossip = format!(
        "{} copies of each announcement, {} % of them duplicates, over {} hops",
        figure(report.messages_a_publish),
        figure(report.duplicates.map(|share| share * 100.0)),
        figure(report.delivery_hops),
    );
    let lookups = format!(
        "{} requests if found, {} if not",
        figure(report.requests_found),
        figure(report.requests_missing),
    );
    let searches = spread(percentiles(
        report.searches.iter().map(|search| search.ms).collect(),
    ));
    let gets = spread(percentiles(report.gets.iter().map(|get| get.ms).collect()));
    let rate = report.bytes_per_s.map_or(String::new(), |rate| {
        format!(" at {}/s", HumanBytes(rate as u64))
    });
    let fetches = format!(
        "{}, {}{rate}; {} bad ranges refused, {} bad bytes delivered",
        report.fetches,
        HumanBytes(report.bytes),
        report.bad_ranges_refused,
        report.bad_bytes_delivered
    );
    print::fields(&[
        (
            "peers",
            format!("{} of {} connected{joined}", report.connected, report.peers),
        ),
        ("latency", latency),
        (
            "announced",
            format!("{}, delivered {delivered}, in {delays}", report.announced),
        ),
        ("gossip", gossip),
        ("lookups", lookups),
        (
            "stored",
            format!("in {}", spread(report.stored_ms.map(|ms| (ms.p50, ms.p95)))),
        ),
        (
            "searches",
            format!(
                "{hits} of {} had results, in {searches}",
                report.searches.len()
            ),
        ),
        (
            "gets",
            format!("{found} of {} found, in {gets}", report.gets.len()),
        ),
        ("fetches", fetches),
        ("packages", report.packages.to_string()),
        ("dropped", format!("{} events", report.drops)),
        (
            "memory",
            report.rss_bytes.map_or("not known".to_owned(), |bytes| {
                format!("{} MiB", bytes / 1_048_576)
            }),
        ),
        (
            "errors",
            if report.errors.is_empty() {
                "none".to_owned()
            } else {
                report.errors.join("; ")
            },
        ),
    ])
}

/// Returns the files of a demo's explorer, which never changes the user's settings. Drafts and
/// searches belong to the demo: without a directory of its own, they end with it.
fn kept(data_dir: Option<&Path>) -> Result<(SavedPaths, Option<tempfile::TempDir>)> {
    let (dir, temporary) = match data_dir {
        Some(dir) => (dir.join("state"), None),
        None => {
            let dir = tempfile::tempdir()
                .map_err(RegistryError::file(std::env::temp_dir(), "written to"))?;
            (dir.path().to_owned(), Some(dir))
        }
    };
    let files = SavedPaths {
        draft: dir.join("draft.json"),
        searches: dir.join("searches.json"),
        settings: None,
    };
    Ok((files, temporary))
}

async fn on_screen(options: DemoOptions, settings: &Settings, logs: Option<Logs>) -> Result<u8> {
    let mut shown = explorer::ui_options(format!("swarmdex demo, seed {}", options.seed), settings);
    shown.demo = true;
    let (own, _temporary) = kept(options.data_dir.as_deref())?;
    shown.kept = own;
    let starting = async move {
        let demo = Demo::start(options).await?;
        let served = ServedDemo::start(&demo, logs.as_ref()).await?;
        for note in demo.notes().iter().cloned().chain(served.notes()) {
            tracing::info!("{note}");
            demo.you()?.tell(&note);
        }
        let control: Arc<dyn Control> = served.you.clone();
        Ok(((demo, served, logs), control))
    };
    let (demo, shown) = explorer::open(shown, starting).await;
    let ended = match demo {
        Some((demo, served, _)) => {
            served.end().await;
            demo.shutdown().await
        }
        None => Ok(()),
    };
    shown.and(ended).map(|()| DONE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_demos_share_no_draft_unless_they_share_a_directory() {
        let [(a, temporary), (b, _other)] = [kept(None).unwrap(), kept(None).unwrap()];
        assert_ne!((&a.draft, &a.searches), (&b.draft, &b.searches));
        assert!(a.settings.is_none());
        drop(temporary);
        assert!(
            !a.draft.parent().unwrap().exists(),
            "they end with the demo"
        );
        let dir = Path::new("/srv/demo");
        let (own, temporary) = kept(Some(dir)).unwrap();
        assert!(own.draft.starts_with(dir) && temporary.is_none());
    }
}
