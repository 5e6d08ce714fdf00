//! `publish DIR` and `publish FILE --manifest TOML`.

use std::{
    path::{Path, PathBuf},
    pin::pin,
    time::Duration,
};

use tokio::sync::mpsc;

use super::{
    DONE, FAILED, ask,
    global::Global,
    names::{self, Agreement},
    print, session,
};
use crate::{
    RegistryError, Result,
    archive::{pack::PackListing, project},
    config::Settings,
    control::{Control, Wait, Watch},
    domain::{manifest::Draft, name::Handle, text::quantity},
    error::toml_error,
    prepare::{self, Planned, Prepared},
    registry::{Artifacts, Receipt, Replicas, Steps, on_other_nodes, replicated},
};

mod check;
mod listing;

use check::DraftCheck;

/// Longest draft, in bytes. A manifest is under 8 KiB; comments make a draft a little longer.
const MAX_DRAFT: u64 = 64 * 1_024;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Directory with a swarmdex.toml, which is packed, or a file, which is published as it is
    path: PathBuf,
    /// TOML file with the name, version, description and so on of a file
    #[arg(long, value_name = "TOML")]
    manifest: Option<PathBuf>,
    /// Wait up to a minute until this many peers hold the records and the bytes, and exit with 1 if
    /// they do not, as in replicas=2. The setting `copies` limits the copies of the bytes
    #[arg(long, value_name = "replicas=N", value_parser = replicas)]
    wait: Option<usize>,
    /// Publish nothing: list the files that are included or left out, with sizes and reasons, and
    /// check that publishing would succeed
    #[arg(long, conflicts_with = "wait")]
    dry_run: bool,
    /// Answer yes to all questions: before the first publish of a package, or under a handle that
    /// others claim
    #[arg(long)]
    yes: bool,
    /// Accept unknown handles among the dependencies if only one key claims them, without asking
    #[arg(long)]
    trust_new: bool,
    /// Print the receipt as one JSON object; with --dry-run, the lists
    #[arg(long)]
    json: bool,
}

/// Longest wait for replicas.
const REPLICAS_TIME: Duration = Duration::from_secs(60);
/// Longest wait for other nodes to copy the bytes before a temporary node stops.
const COPYING_TIME: Duration = Duration::from_secs(600);

fn replicas(text: &str) -> Result<usize, &'static str> {
    let count = text
        .strip_prefix("replicas=")
        .and_then(|count| count.parse().ok());
    count
        .filter(|count| (1..=20).contains(count))
        .ok_or("write replicas= and a number from 1 to 20, as in replicas=2")
}

pub(super) async fn run(global: &Global, args: Args) -> Result<u8> {
    // Check the input before starting a node.
    let settings = global.settings()?;
    let mut own = settings.paths.of_the_node();
    if global.attach()?.is_some()
        && let Some(node) = session::find(global, &settings).await?
    {
        own.push(node.status().await?.data_dir);
    }
    let most = settings.node.content.max;
    let Args {
        path,
        manifest,
        json,
        wait,
        dry_run,
        yes,
        trust_new,
    } = args;
    let looked = blocking(move || look(&path, manifest.as_deref(), most, &own)).await?;
    if dry_run {
        return check::dry_run(global, looked, json, trust_new).await;
    }
    for line in listing::remarks(looked.listing()) {
        print::note(line);
    }
    let prepared = blocking(move || looked.prepare()).await?;
    session::with(global, async |node, settings| {
        let asks = !yes && ask::is_terminal();
        if asks && DraftCheck::of(node, &prepared).await?.is_first && !is_agreed(&prepared).await? {
            print::note("nothing was published");
            return Ok(FAILED);
        }
        let mut prepared = prepared;
        prepared.draft = with_handle(prepared.draft, settings);
        let Some(draft) = settle_names(node, prepared.draft.clone(), yes, trust_new).await? else {
            return Ok(FAILED);
        };
        prepared.draft = draft;
        let progress = print::progress(&format!("hashing {}", prepared.file), prepared.size);
        let bar = progress.clone();
        let put = prepared
            .put(&*node.contents(), move |bytes| bar.inc(bytes as u64))
            .await;
        progress.finish_and_clear();
        let (draft, artifacts) = put?;
        let receipt = publish(node, draft, artifacts).await?;
        if let Some(path) = &receipt.new_key {
            print::note(new_key(path));
        }
        conclude(node, &receipt, json, settings.node.net.query_timeout).await?;
        match wait {
            Some(wanted) => wait_for_replicas(node, &receipt, wanted).await,
            None => Ok(DONE),
        }
    })
    .await
}

/// Applies `--handle` even if the running node was started without one.
fn with_handle(draft: Draft, settings: &Settings) -> Draft {
    Draft {
        handle: draft
            .handle
            .or_else(|| settings.node.registry.handle.clone()),
        ..draft
    }
}

/// Shows the files to be published, and asks for agreement.
async fn is_agreed(prepared: &Prepared) -> Result<bool> {
    let Draft { name, version, .. } = &prepared.draft;
    print::note(format!(
        "{name} has not been published before. It will contain:"
    ));
    for line in listing::folded(&prepared.listing) {
        print::note_row(&line);
    }
    ask::yes(&format!(
        "Publish {name} {version}? It can be yanked later, but never deleted."
    ))
    .await
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| print::internal("reading files", error))?
}

/// The directory or file to publish, after inspecting it.
enum Inspected {
    Directory {
        path: PathBuf,
        planned: Box<Planned>,
    },
    File(Box<Prepared>),
}

impl Inspected {
    fn listing(&self) -> &PackListing {
        match self {
            Self::Directory { planned, .. } => planned.listing(),
            Self::File(prepared) => &prepared.listing,
        }
    }

    fn draft(&self) -> &Draft {
        match self {
            Self::Directory { planned, .. } => planned.draft(),
            Self::File(prepared) => &prepared.draft,
        }
    }

    /// Packs a directory. Blocks.
    fn prepare(self) -> Result<Prepared> {
        let (path, planned) = match self {
            Self::Directory { path, planned } => (path, planned),
            Self::File(prepared) => return Ok(*prepared),
        };
        let bar = print::progress(&format!("packing {}", path.display()), 0);
        let prepared = planned.pack(|at| {
            bar.set_length(at.bytes);
            bar.set_position(at.bytes_done);
        });
        bar.finish_and_clear();
        if let Ok(Prepared {
            packed: Some(packed),
            ..
        }) = &prepared
        {
            print::note(format!(
                "packed: {} files, {} bytes into {}",
                packed.files, packed.bytes, packed.written
            ));
        }
        prepared
    }
}

/// Returns the message about a new publisher key.
pub(super) fn new_key(path: &Path) -> String {
    format!(
        "your new publisher key is in {}; back it up (`swarmdex key export`): without it you can \
         never update your packages, and anyone who has it can",
        path.display()
    )
}

/// Checks handles and names before anything is signed, and asks the user where necessary; returns
/// `None` if the user declines.
async fn settle_names(
    node: &dyn Control,
    draft: Draft,
    yes: bool,
    trust_new: bool,
) -> Result<Option<Draft>> {
    let registry = node.registry();
    let handle = handle_of(node, &draft).await?;
    let agreement = if trust_new {
        Agreement::Given
    } else {
        Agreement::Asked
    };
    let draft = names::agree_on_dependencies(&*registry, draft, handle.as_ref(), agreement).await?;
    if let Some(other) = registry.look_alike(&draft.package()?, None).await? {
        print::note(format!(
            "warning: {} looks like {other}; people may confuse them",
            draft.name
        ));
    }
    match &handle {
        Some(handle) if !names::may_publish_under(&*registry, handle, yes).await? => Ok(None),
        _ => Ok(Some(draft)),
    }
}

/// Returns the handle to publish under, if any.
async fn handle_of(node: &dyn Control, draft: &Draft) -> Result<Option<Handle>> {
    match draft.handle.clone() {
        Some(handle) => Ok(Some(handle)),
        None => Ok(node
            .status()
            .await?
            .node
            .handle
            .and_then(|handle| handle.parse().ok())),
    }
}

fn look(path: &Path, manifest: Option<&Path>, most: u64, own: &[PathBuf]) -> Result<Inspected> {
    match manifest {
        Some(manifest) if path.is_dir() => {
            let why = format!(
                "{} is a directory with its own swarmdex.toml; leave out --manifest {}",
                path.display(),
                manifest.display()
            );
            Err(RegistryError::Usage(why))
        }
        Some(manifest) => Ok(Inspected::File(Box::new(prepare::file(
            path,
            read_draft(manifest)?,
            own,
        )?))),
        None if path.is_dir() => {
            let planned = Box::new(prepare::plan(path, most, own)?);
            Ok(Inspected::Directory {
                path: path.to_owned(),
                planned,
            })
        }
        None => {
            std::fs::metadata(path).map_err(RegistryError::file(path, "read"))?;
            let path = path.display();
            let why = format!(
                "{path} is a file; describe it with --manifest TOML, or use `swarmdex import` if \
                 it is a package"
            );
            Err(RegistryError::Usage(why))
        }
    }
}

async fn wait_for_replicas(node: &dyn Control, receipt: &Receipt, wanted: usize) -> Result<u8> {
    let spinner = print::spinner(&format!("waiting for {wanted} replicas"));
    let found = replicated(&*node.registry(), receipt, wanted, REPLICAS_TIME).await;
    spinner.finish_and_clear();
    let Replicas {
        records,
        copies,
        enough,
    } = found?;
    if enough {
        print::note(format!(
            "{records} peers have its records, and its content is {}",
            on_other_nodes(copies)
        ));
        return Ok(DONE);
    }
    let time = REPLICAS_TIME.as_secs();
    print::note(format!(
        "error: after {time} s, {records} of {wanted} peers had its records, and its content was \
         {}; it is published anyway, and the node keeps replicating it",
        on_other_nodes(copies)
    ));
    Ok(FAILED)
}

pub(super) async fn publish(
    node: &dyn Control,
    draft: Draft,
    artifacts: Artifacts,
) -> Result<Receipt> {
    let registry = node.registry();
    let (progress, mut steps) = mpsc::channel(16);
    let mut publishing = pin!(registry.publish(draft, artifacts, Some(progress)));
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

/// Prints the receipt, and then waits up to `patience` for the network to take what it has not
/// taken yet.
pub(super) async fn conclude(
    node: &dyn Control,
    receipt: &Receipt,
    json: bool,
    patience: Duration,
) -> Result<()> {
    if json {
        print::json(receipt)?;
    } else {
        show(receipt)?;
    }
    if receipt.pending {
        let status = node.status().await?;
        if status.node.connected > 0 && node.wait(Wait::Published, patience).await? {
            print::note("delivered to the network");
        } else if status.pid != std::process::id() {
            print::note("not fully delivered to the network yet; the node keeps trying");
        } else {
            print::note(
                "not fully delivered to the network; run `swarmdex node` on this data directory to \
                 keep trying",
            );
        }
    }
    conclude_copies(node, receipt).await
}

/// Reports which nodes have the bytes. A temporary node first waits while others copy them.
async fn conclude_copies(node: &dyn Control, receipt: &Receipt) -> Result<()> {
    let Steps {
        copies,
        copies_wanted: wanted,
        ..
    } = receipt.steps;
    if copies >= wanted {
        return Ok(());
    }
    let status = node.status().await?;
    if status.pid != std::process::id() {
        print::note(
            "the node keeps replicating the content; keep it running until `swarmdex show` lists \
             the copies",
        );
        return Ok(());
    }
    if status.node.connected > 0 {
        let spinner = print::spinner(&format!(
            "replicating the content to {wanted} other nodes; press Ctrl-C to skip"
        ));
        node.wait(Wait::Copied, COPYING_TIME).await?;
        spinner.finish_and_clear();
    }
    let own = node.registry().own().await?.packages;
    let copies = own
        .iter()
        .find(|own| own.id == receipt.package)
        .map_or(copies, |own| own.copies);
    print::note(match copies {
        0 => "its content is on this machine only: others can download it while a node runs here \
             (`swarmdex node start`)"
            .to_owned(),
        copies => format!("its content is {}", on_other_nodes(copies)),
    });
    Ok(())
}

fn show(receipt: &Receipt) -> Result<()> {
    print::fields(&[
        ("id", receipt.id.clone()),
        (
            "handle",
            receipt
                .handle
                .as_ref()
                .map(ToString::to_string)
                .unwrap_or_default(),
        ),
        ("revision", receipt.seq.to_string()),
        ("manifest", receipt.manifest.to_string()),
        (
            "content",
            format!("{} ({} bytes)", receipt.content, receipt.size),
        ),
        ("replicas", receipt.steps.replicas.to_string()),
        ("copies", receipt.steps.copied()),
        ("announced", announced(receipt)),
    ])
}

fn read_draft(path: &Path) -> Result<Draft> {
    let size = std::fs::metadata(path)
        .map_err(RegistryError::file(path, "read"))?
        .len();
    if size > MAX_DRAFT {
        let path = path.display();
        let why = format!(
            "{path} has {size} bytes, but a manifest has at most {MAX_DRAFT}; check that \
             --manifest is the TOML file"
        );
        return Err(RegistryError::Usage(why));
    }
    let text = std::fs::read_to_string(path).map_err(RegistryError::file(path, "read"))?;
    project::read_draft(&text).map_err(|error| toml_error(path, &text, &error))
}

/// Describes who received the announcement, or why nobody did.
fn announced(receipt: &Receipt) -> String {
    match &receipt.clock {
        Some(told) => format!("no: {told}"),
        None => format!("to {}", quantity(receipt.steps.announced, "peer")),
    }
}
