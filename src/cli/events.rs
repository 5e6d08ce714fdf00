//! `events`: prints the running node's events as JSON lines, or records them for `replay`.

use std::{path::PathBuf, time::Duration};

use clap::ValueEnum;
use tokio::time::Instant;

use super::{DONE, global::Global, print, session, stop::Stop};
use crate::{
    RegistryError, Result,
    bus::Batch,
    clock,
    config::parse_duration,
    control::{Link, Recorder, Watch},
};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Print only events of this kind; may be repeated
    #[arg(long, value_enum, value_name = "KIND")]
    kind: Vec<EventKind>,
    /// Record all events in this file for `replay`, instead of printing them
    #[arg(long, value_name = "FILE", conflicts_with = "kind")]
    record: Option<PathBuf>,
    /// Stop after this time, such as 30s
    #[arg(long = "for", value_name = "TIME", value_parser = length)]
    length: Option<Duration>,
    /// Print JSON lines, which is the default
    #[arg(long)]
    json: bool,
}

fn length(text: &str) -> Result<Duration, String> {
    parse_duration(text)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum EventKind {
    /// The node itself
    Node,
    /// A peer's current state
    Peer,
    /// A peer that was forgotten
    Gone,
    /// An announcement
    Announced,
    /// A notice for users
    Notice,
    /// Counters since the node started
    Counters,
    /// Health measurements
    Health,
    /// A package manager's request, in its current state
    Request,
    /// The number of announcements and notices that this reader has missed
    Dropped,
}

pub(super) async fn run(global: &Global, args: Args) -> Result<u8> {
    let settings = global.settings()?;
    let mut stop = Stop::watch()?;
    let found = session::find(global, &settings).await?;
    let node = found.ok_or_else(|| session::nobody(&settings))?;
    let mut batches = node.subscribe();
    let mut link = node.link();
    let mut recorder = match &args.record {
        Some(path) => {
            let recorder = Recorder::create(path, node.status().await?)?;
            print::note(format!(
                "recording to {}; press Ctrl-C to stop",
                path.display()
            ));
            Some(recorder)
        }
        None => None,
    };
    let end = args
        .length
        .map(|length| Instant::from_std(clock::deadline(std::time::Instant::now(), length)));
    let over = async {
        match end {
            Some(end) => tokio::time::sleep_until(end).await,
            None => std::future::pending().await,
        }
    };
    tokio::pin!(over);
    let (mut events, mut lost) = (0, 0);
    loop {
        tokio::select! {
            biased;
            () = stop.told() => break,
            () = &mut over => break,
            Ok(()) = link.changed() => {
                if let Link::Lost { why } = &*link.borrow_and_update() {
                    print::note(format!("{why}; retrying until Ctrl-C"));
                }
            }
            batch = batches.recv() => {
                let Some(batch) = batch else { return Err(RegistryError::Closed) };
                events += batch.events;
                match &mut recorder {
                    Some(recorder) => recorder.record(&batch)?,
                    None => show(&batch, &args.kind, &mut lost)?,
                }
            }
        }
    }
    if let Some(path) = &args.record {
        print::note(format!(
            "{events} events recorded in {}; view them with `swarmdex replay`",
            path.display()
        ));
    }
    Ok(DONE)
}

/// Prints lines such as `{"at": …, "kind": "peer", "peer": {…}}`.
fn show(batch: &Batch, kinds: &[EventKind], lost: &mut u64) -> Result<()> {
    let at = clock::now();
    let wanted = |kind: EventKind| kinds.is_empty() || kinds.contains(&kind);
    let line = |kind: EventKind, value: serde_json::Value| {
        if !wanted(kind) {
            return Ok(());
        }
        let name = kind
            .to_possible_value()
            .map(|value| value.get_name().to_owned())
            .unwrap_or_default();
        print::json(&serde_json::json!({ "at": at, "kind": name, name: value }))
    };
    let json = |value: serde_json::Result<serde_json::Value>| {
        value.map_err(|error| print::internal("writing JSON", error))
    };
    if let Some(node) = &batch.node {
        line(EventKind::Node, json(serde_json::to_value(node))?)?;
    }
    for peer in &batch.peers {
        line(EventKind::Peer, json(serde_json::to_value(peer))?)?;
    }
    for peer in &batch.gone {
        line(EventKind::Gone, json(serde_json::to_value(peer))?)?;
    }
    for one in &batch.announcements {
        line(EventKind::Announced, json(serde_json::to_value(one))?)?;
    }
    for notice in &batch.notices {
        line(EventKind::Notice, json(serde_json::to_value(notice))?)?;
    }
    for request in &batch.requests {
        line(EventKind::Request, json(serde_json::to_value(request))?)?;
    }
    if let Some(counters) = &batch.counters {
        line(EventKind::Counters, json(serde_json::to_value(counters))?)?;
    }
    if let Some(sample) = &batch.health {
        line(EventKind::Health, json(serde_json::to_value(sample))?)?;
    }
    if batch.dropped > *lost {
        *lost = batch.dropped;
        line(EventKind::Dropped, batch.dropped.into())?;
    }
    Ok(())
}
