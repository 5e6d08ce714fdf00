//! `publish FILE --manifest TOML`.

use std::{
    fs::File,
    path::{Path, PathBuf},
    pin::pin,
    time::Duration,
};

use tokio::{sync::mpsc, time::Instant};

use super::{DONE, FAILED, global::Global, print, session};
use crate::{
    RegistryError, Result, clock,
    config::toml_error,
    control::{Control, Wait},
    domain::manifest::Draft,
    registry::{Content, Receipt},
};

/// A manifest is under 8 KiB; a draft with comments may be longer, and not by much.
const MAX_DRAFT: u64 = 64 * 1_024;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The file to publish
    file: PathBuf,
    /// What it is: name, version, description and more, as TOML
    #[arg(long, value_name = "TOML")]
    manifest: PathBuf,
    /// Return only once it has been read back from so many peers, as replicas=2; exit code 1 when it has not after a minute
    #[arg(long, value_name = "replicas=N", value_parser = replicas)]
    wait: Option<usize>,
    /// Print the receipt as one JSON object
    #[arg(long)]
    json: bool,
}

/// Longest wait for replicas.
const REPLICAS_TIME: Duration = Duration::from_secs(60);
/// Between two looks how many there are.
const LOOK: Duration = Duration::from_millis(200);

fn replicas(text: &str) -> Result<usize, &'static str> {
    let count = text.strip_prefix("replicas=").and_then(|count| count.parse().ok());
    count.filter(|count| (1..=20).contains(count)).ok_or("write replicas= and a number from 1 to 20, as in replicas=2")
}

pub(super) async fn run(global: &Global, args: Args) -> Result<u8> {
    // Everything that can be wrong with what was asked is found before a node starts.
    let draft = read_draft(&args.manifest)?;
    let content = read_content(&args.file)?;
    if let Err(errors) = draft.clone().into_manifest(content, clock::now()) {
        return Err(RegistryError::Draft { package: draft.name, errors });
    }
    session::with(global, async |node, settings| {
        // Whoever says who he is means it, also when the node that runs was started by somebody who did not.
        let draft = Draft { handle: draft.handle.or_else(|| settings.handle.clone()), ..draft };
        let receipt = publish(node, draft, content).await?;
        if let Some(path) = &receipt.new_key {
            let path = path.display();
            print::note(format!("your publisher key is new, in {path}; back it up: without it you cannot publish in your name, and whoever has it can"));
        }
        conclude(node, &receipt, args.json, settings.query_timeout).await?;
        match args.wait {
            Some(wanted) => wait_for_replicas(node, &receipt, wanted).await,
            None => Ok(DONE),
        }
    })
    .await
}

async fn wait_for_replicas(node: &dyn Control, receipt: &Receipt, wanted: usize) -> Result<u8> {
    let (registry, deadline) = (node.registry(), Instant::now() + REPLICAS_TIME);
    let spinner = print::spinner(&format!("waiting for {wanted} replicas"));
    loop {
        let own = registry.own().await?.packages;
        let there = own.iter().find(|own| own.id == receipt.package).and_then(|own| own.replicas).unwrap_or(0);
        if there >= wanted {
            spinner.finish_and_clear();
            print::note(format!("{there} peers have it"));
            return Ok(DONE);
        }
        if Instant::now() >= deadline {
            spinner.finish_and_clear();
            let time = REPLICAS_TIME.as_secs();
            print::note(format!(
                "error: {there} of {wanted} peers had it after {time} s; it is published all the same, and the node goes on"
            ));
            return Ok(FAILED);
        }
        tokio::time::sleep(LOOK).await;
    }
}

async fn publish(node: &dyn Control, draft: Draft, content: Content) -> Result<Receipt> {
    let registry = node.registry();
    let (progress, mut steps) = mpsc::channel(16);
    let mut publishing = pin!(registry.publish(draft, content.into(), Some(progress)));
    let receipt = loop {
        tokio::select! {
            biased;
            Some(step) = steps.recv() => print::note(step),
            receipt = &mut publishing => break receipt,
        }
    };
    while let Ok(step) = steps.try_recv() {
        print::note(step);
    }
    receipt
}

/// Prints the receipt, and then gives the network `patience` to take what it has not taken yet.
pub(super) async fn conclude(node: &dyn Control, receipt: &Receipt, json: bool, patience: Duration) -> Result<()> {
    if json {
        print::json(receipt)?;
    } else {
        show(receipt)?;
    }
    if receipt.pending {
        let status = node.status().await?;
        if status.node.connected > 0 && node.wait(Wait::Published, patience).await? {
            print::note("the network has taken all of it");
        } else if status.pid != std::process::id() {
            print::note("the network has not taken all of it yet; the node goes on trying until it has");
        } else {
            print::note(
                "the network has not taken all of it; `swarmdex node` on this data directory goes on trying until it has",
            );
        }
    }
    Ok(())
}

fn show(receipt: &Receipt) -> Result<()> {
    print::fields(&[
        ("id", receipt.id.clone()),
        ("handle", receipt.handle.as_ref().map(ToString::to_string).unwrap_or_default()),
        ("state", receipt.seq.to_string()),
        ("manifest", receipt.manifest.to_string()),
        ("content", format!("{} ({} bytes)", receipt.content, receipt.size)),
        ("replicas", receipt.steps.replicas.to_string()),
        ("announced", format!("to {} peers", receipt.steps.announced)),
    ])
}

fn read_draft(path: &Path) -> Result<Draft> {
    let size = std::fs::metadata(path).map_err(RegistryError::file(path, "read"))?.len();
    if size > MAX_DRAFT {
        let path = path.display();
        let why = format!(
            "{path} has {size} bytes and a manifest takes {MAX_DRAFT} at most; check that --manifest names the TOML file"
        );
        return Err(RegistryError::Usage(why));
    }
    let text = std::fs::read_to_string(path).map_err(RegistryError::file(path, "read"))?;
    toml::from_str(&text).map_err(|error| toml_error(path, &text, &error))
}

/// Reads the whole file once, in constant memory.
fn read_content(path: &Path) -> Result<Content> {
    let kind = std::fs::metadata(path).map_err(RegistryError::file(path, "read"))?;
    if !kind.is_file() {
        let why = format!("{} is not a file; publish one file, such as an archive of a directory", path.display());
        return Err(RegistryError::Usage(why));
    }
    let progress = print::progress(&format!("reading {}", path.display()), kind.len());
    let mut hasher = blake3::Hasher::new();
    File::open(path)
        .and_then(|file| hasher.update_reader(progress.wrap_read(file)).map(drop))
        .map_err(RegistryError::file(path, "read"))?;
    progress.finish_and_clear();
    Ok(Content { root: hasher.finalize().into(), size: hasher.count() })
}
