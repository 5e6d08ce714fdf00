//! `publish FILE --manifest TOML`.

use std::{
    fs::File,
    path::{Path, PathBuf},
};

use tokio::sync::mpsc;

use super::{DONE, global::Global, own_node, print};
use crate::{
    RegistryError, Result,
    config::toml_error,
    domain::manifest::Draft,
    node::Node,
    registry::{Content, PublishStep, Receipt},
};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The file to publish
    file: PathBuf,
    /// What it is: name, version, description and more, as TOML
    #[arg(long, value_name = "TOML")]
    manifest: PathBuf,
    /// Print the receipt as one JSON object
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(global: &Global, args: Args) -> Result<u8> {
    // Everything that can be wrong with the arguments is, before a node starts.
    let draft = read_draft(&args.manifest)?;
    let content = read_content(&args.file)?;
    own_node::with(global, async |node, settings| {
        let result = publish(&node, draft, content, args.json, settings.query_timeout).await;
        (node, result)
    })
    .await
}

async fn publish(node: &Node, draft: Draft, content: Content, json: bool, patience: std::time::Duration) -> Result<u8> {
    let (progress, mut steps) = mpsc::channel(16);
    let told = tokio::spawn(async move {
        while let Some(step) = steps.recv().await {
            eprintln!("{}", describe(step));
        }
    });
    let receipt = node.registry().publish(draft, content, Some(progress)).await?;
    let _ = told.await;
    if let Some(path) = &receipt.new_key {
        eprintln!(
            "your publisher key is new, in {}; back it up: whoever has it publishes in your name, and without it you cannot",
            path.display()
        );
    }
    let delivered = !receipt.pending || (node.status().await?.connected > 0 && node.wait_published(patience).await);
    show(&receipt, delivered, json)?;
    Ok(DONE)
}

fn describe(step: PublishStep) -> String {
    match step {
        PublishStep::Hashed { size } => format!("hashed     {size} bytes"),
        PublishStep::Signed { seq } => format!("signed     state {seq} of the package"),
        PublishStep::Stored => "stored     here; nothing is lost from now on".to_owned(),
        PublishStep::Put => "put        into the DHT".to_owned(),
        PublishStep::ReadBack { replicas } => format!("read back  from {replicas} peers"),
        PublishStep::Announced { peers } => format!("announced  to {peers} peers"),
    }
}

pub(super) fn show(receipt: &Receipt, delivered: bool, json: bool) -> Result<()> {
    if json {
        return print::json(receipt);
    }
    if !delivered {
        eprintln!("nobody has taken it yet: a node on this data directory goes on trying whenever it runs (`node`)");
    }
    print::lines(&format!(
        "{}\n  publisher  {}\n  manifest   {}\n  content    {} ({} bytes)\n  state      {}",
        receipt.id,
        receipt.handle.as_ref().map_or_else(|| receipt.package.publisher.fingerprint(), ToString::to_string),
        receipt.manifest,
        receipt.content,
        receipt.size,
        receipt.seq
    ))
}

fn read_draft(path: &Path) -> Result<Draft> {
    /// A manifest is under 8 KiB; a draft with comments may be longer, and not by much.
    const MAX: u64 = 64 * 1024;
    let file = std::fs::metadata(path).map_err(RegistryError::file(path, "read"))?;
    if file.len() > MAX {
        return Err(RegistryError::Usage(format!(
            "{} has {} bytes and a manifest at most {MAX}; check that --manifest names the TOML file",
            path.display(),
            file.len()
        )));
    }
    let text = std::fs::read_to_string(path).map_err(RegistryError::file(path, "read"))?;
    toml::from_str(&text).map_err(|error| toml_error(path, &text, &error))
}

fn read_content(path: &Path) -> Result<Content> {
    let failed = || RegistryError::file(path, "read");
    let file = File::open(path).map_err(failed())?;
    if file.metadata().map_err(failed())?.is_dir() {
        return Err(RegistryError::Usage(format!(
            "{} is a directory; publish one file, such as an archive of it",
            path.display()
        )));
    }
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(&file).map_err(failed())?;
    Ok(Content { root: hasher.finalize().into(), size: hasher.count() })
}
