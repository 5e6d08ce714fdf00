//! `demo`: a private swarm, with the explorer or headless.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use super::{DONE, FAILED, INTERRUPTED, explorer::colour, global::Global, print, told_to_stop};
use crate::{
    RegistryError, Result,
    config::parse_duration,
    demo::{Demo, DemoOptions, Report, catalogue::Source},
    telemetry::{self, Screen},
    ui::{self, Backend, Options},
};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Nodes; you are one of them
    #[arg(long, default_value_t = 24, value_name = "N")]
    peers: usize,
    /// Keys, cities, order and schedule are functions of it; random when it is left out
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Where packages come from: cache (the local cargo cache), embedded, or a directory of .crate files
    #[arg(long, default_value = "cache", value_name = "SOURCE")]
    catalogue: Source,
    /// Packages a minute, over the whole swarm
    #[arg(long, default_value_t = 60.0, value_name = "N")]
    rate: f64,
    /// Share of the nodes that leave and return, from 0 to 1
    #[arg(long, default_value_t = 0.1, value_name = "SHARE")]
    churn: f64,
    /// Run without a terminal, and report
    #[arg(long)]
    headless: bool,
    /// How long a headless demo runs
    #[arg(long = "for", default_value = "20s", value_name = "TIME", value_parser = length)]
    length: Duration,
    /// Print the report as one JSON object
    #[arg(long, requires = "headless")]
    json: bool,
}

fn length(text: &str) -> Result<Duration, String> {
    parse_duration(text)
}

pub(super) async fn run(global: &Global, args: Args) -> Result<u8> {
    let mut settings = global.settings()?;
    if !args.headless {
        ui::check_terminal()?;
    }
    let seed = args.seed.unwrap_or_else(|| u64::from(rand::random::<u32>()));
    // What a demo logs goes with its data, and a home that cannot be written to does not stop it.
    let temporary = tempfile::Builder::new().prefix("swarmdex-demo-logs-").tempdir();
    let temporary = temporary.map_err(RegistryError::file(std::env::temp_dir(), "used for the demo's logs"))?;
    if settings.chosen_data_dir().is_none() {
        settings.paths = settings.paths.clone().within(temporary.path());
    }
    let _logs = telemetry::start(&settings, if args.headless { Screen::Free } else { Screen::Taken })?;
    let options = DemoOptions {
        peers: args.peers,
        seed,
        catalogue: args.catalogue.clone(),
        rate: args.rate,
        churn: args.churn,
        data_dir: settings.chosen_data_dir(),
        query_timeout: settings.query_timeout,
    };
    if args.headless { headless(options, &args).await } else { explorer(options).await }
}

async fn headless(options: DemoOptions, args: &Args) -> Result<u8> {
    eprintln!("seed {}: {} peers for {} s", options.seed, options.peers, args.length.as_secs());
    let demo = Demo::start(options).await?;
    demo.notes().iter().for_each(|note| eprintln!("{note}"));
    let report = tokio::select! {
        report = demo.report(args.length) => Some(report),
        stopped = told_to_stop() => { stopped?; None }
    };
    demo.shutdown().await?;
    let Some(report) = report else { return Ok(INTERRUPTED) };
    if args.json {
        print::json(&report)?
    } else {
        summary(&report)?
    }
    Ok(if report.errors.is_empty() && report.connected > 0 { DONE } else { FAILED })
}

fn summary(report: &Report) -> Result<()> {
    let ms = |values: Vec<f64>| crate::demo::percentiles(values);
    let show = |pair: Option<(f64, f64)>| {
        pair.map_or("not measured".to_owned(), |(p50, p95)| format!("{p50:.1} ms, p95 {p95:.1} ms"))
    };
    let found = report.gets.iter().filter(|get| get.found).count();
    let hit = report.searches.iter().filter(|search| search.hits > 0).count();
    print::lines(&format!(
        "peers      {} of {} connected{}\nannounced  {}, delivered {}, in {}\nstored     in {}\nsearches   {} of {} found something, in {}\ngets       {} of {} found, in {}\npackages   {}\ndropped    {} events\nmemory     {}\nerrors     {}",
        report.connected,
        report.peers,
        report.joined_ms.map_or(String::new(), |ms| format!(" after {ms:.0} ms")),
        report.announced,
        report.delivered.map_or("not measured".to_owned(), |share| format!("{:.1} %", share * 100.0)),
        show(report.delivery_ms.map(|spread| (spread.p50, spread.p95))),
        show(report.stored_ms.map(|spread| (spread.p50, spread.p95))),
        hit,
        report.searches.len(),
        show(ms(report.searches.iter().map(|search| search.ms).collect())),
        found,
        report.gets.len(),
        show(ms(report.gets.iter().map(|get| get.ms).collect())),
        report.packages,
        report.drops,
        report.rss_bytes.map_or("not known".to_owned(), |bytes| format!("{} MiB", bytes / 1_048_576)),
        if report.errors.is_empty() { "none".to_owned() } else { report.errors.join("; ") },
    ))
}

async fn explorer(options: DemoOptions) -> Result<u8> {
    let demo: Arc<Mutex<Option<Demo>>> = Arc::default();
    let started = demo.clone();
    let title = format!("swarmdex demo, seed {}", options.seed);
    let starting = async move {
        let demo = Demo::start(options).await?;
        let you = demo.you()?;
        let backend = Backend { registry: you.registry(), events: you.subscribe() };
        for note in demo.notes() {
            tracing::info!("{note}");
            you.tell(note);
        }
        *started.lock().unwrap_or_else(PoisonError::into_inner) = Some(demo);
        Ok(backend)
    };
    let shown = ui::run(starting, Options { colour: colour(), title, demo: true }).await;
    let demo = demo.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(demo) = demo {
        demo.shutdown().await?;
    }
    shown.map(|()| DONE)
}
