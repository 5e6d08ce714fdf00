//! `import FILE.crate …`: what people have already, as releases of their own.

use std::path::{Path, PathBuf};

use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use super::{DONE, FAILED, global::Global, names, print, publish, session};
use crate::{
    RegistryError, Result,
    archive::{crates, inspect},
    config::Settings,
    control::Control,
    domain::{manifest::Draft, name::Handle, version::RequirementText},
    ecosystem::Ecosystem,
    prepare::{self, Prepared},
    registry::Publisher,
};

mod debian;

#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(super) struct Args {
    #[command(subcommand)]
    of: Option<Of>,
    /// .crate files, and directories that are searched for them
    #[arg(required = true)]
    paths: Vec<PathBuf>,
    /// Answer yes to what is asked at a terminal
    #[arg(long, short)]
    yes: bool,
    /// Print what became of each as JSON, one object a line, and a summary
    #[arg(long)]
    json: bool,
}

/// Other things than crates.
#[derive(Debug, clap::Subcommand)]
enum Of {
    /// Take a Debian mirror's index: to look through it, or to bring it to a site without internet
    Debian(debian::Args),
}

/// What became of a file.
#[derive(Serialize)]
#[serde(rename_all = "lowercase", tag = "outcome")]
enum Became {
    Published {
        id: String,
    },
    /// It was published before.
    Known {
        why: String,
    },
    Refused {
        why: String,
    },
}

#[derive(Serialize)]
struct Line<'a> {
    file: &'a Path,
    #[serde(flatten)]
    became: &'a Became,
}

#[derive(Default, Serialize)]
struct Summary {
    published: usize,
    known: usize,
    refused: usize,
}

pub(super) async fn run(global: &Global, args: Args) -> Result<u8> {
    if let Some(Of::Debian(args)) = args.of {
        return debian::run(global, args).await;
    }
    let files = files(&args.paths)?;
    session::with(global, async |node, settings| {
        let Some((owner, handle)) = owner(node, settings, args.yes).await? else { return Ok(FAILED) };
        let bar = bar(files.len() as u64);
        let mut summary = Summary::default();
        for file in &files {
            bar.set_message(file.file_name().unwrap_or_default().to_string_lossy().into_owned());
            let became = import(node, file, &owner, handle.as_ref()).await?;
            match &became {
                Became::Published { .. } => {
                    summary.published += 1;
                    if let Some(doubtful) = doubtful(file.clone()).await {
                        bar.suspend(|| print::note(format!("warning: {}: {doubtful}", file.display())));
                    }
                }
                Became::Known { .. } => summary.known += 1,
                Became::Refused { why } => {
                    summary.refused += 1;
                    bar.suspend(|| print::note(format!("{} was not imported: {why}", file.display())));
                }
            }
            if args.json {
                bar.suspend(|| print::json(&Line { file, became: &became }))?;
            }
            bar.inc(1);
        }
        bar.finish_and_clear();
        let Summary { published, known, refused } = summary;
        if args.json {
            print::json(&summary)?;
        } else {
            print::lines(&format!("{published} published, {known} there already, {refused} not imported"))?;
        }
        Ok(if refused == 0 { DONE } else { FAILED })
    })
    .await
}

/// A warning of files that should perhaps not have been in an archive. It is taken as it is: its digest is fixed.
async fn doubtful(path: PathBuf) -> Option<String> {
    /// Files that are named; more are counted.
    const NAMED: usize = 3;
    let look = move || inspect::doubtful(&mut std::fs::File::open(path)?);
    // One that cannot be read any more was read a moment ago.
    let paths = tokio::task::spawn_blocking(look).await.ok()?.ok()?;
    let named = paths.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
    let more = match paths.len().saturating_sub(NAMED) {
        0 if paths.is_empty() => return None,
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    Some(format!("what is called or looks like a private key is in it, and is published with it: {named}{more}"))
}

/// The crates that are named, those of directories by file name; so older versions come before newer ones as far as
/// names can say.
fn files(paths: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for path in paths {
        if path.is_dir() {
            let found = crates::list(path).map_err(|error| RegistryError::Usage(error.to_string()))?;
            if found.is_empty() {
                let why = format!("there are no .crate files in {}; name another directory, or files", path.display());
                return Err(RegistryError::Usage(why));
            }
            files.extend(found);
        } else {
            std::fs::metadata(path).map_err(RegistryError::file(path, "read"))?;
            files.push(path.clone());
        }
    }
    // By name, and then as versions go, so that who is told of each is told of the latest last.
    let key = |path: &PathBuf| {
        let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let split = stem.match_indices('-').map(|(at, _)| stem.split_at(at)).find_map(|(name, rest)| {
            let version = Ecosystem::Cargo.version(rest.strip_prefix('-')?).ok()?;
            Some((name.to_owned(), Some(version)))
        });
        split.unwrap_or((stem.clone(), None))
    };
    files.sort_by_cached_key(key);
    files.dedup();
    Ok(files)
}

/// Returns the key that all packages of an import, and so their dependencies, belong to, and its handle. Makes the key where
/// there is none; `None` means that a person would rather not publish under the handle.
async fn owner(node: &dyn Control, settings: &Settings, yes: bool) -> Result<Option<(String, Option<Handle>)>> {
    let registry = node.registry();
    let handle = match settings.handle.clone() {
        Some(handle) => Some(handle),
        None => node.status().await?.node.handle.and_then(|handle| handle.parse().ok()),
    };
    if let Some(handle) = &handle
        && !names::may_publish_under(&*registry, handle, yes).await?
    {
        return Ok(None);
    }
    let Publisher { id, new_key } = registry.publisher().await?;
    if let Some(path) = &new_key {
        print::note(publish::new_key(path));
    }
    Ok(Some((id.to_string(), handle)))
}

async fn import(node: &dyn Control, path: &Path, owner: &str, handle: Option<&Handle>) -> Result<Became> {
    let (file, of) = (path.to_owned(), owner.to_owned());
    let read = tokio::task::spawn_blocking(move || prepare::crate_file(&file, &of)).await;
    let prepared = match read.map_err(|error| print::internal("reading a crate", error))? {
        Ok(prepared) => prepared,
        Err(error) => return Ok(Became::Refused { why: error.to_string() }),
    };
    let said = path.file_stem().unwrap_or_default().to_string_lossy().to_lowercase();
    let Prepared { draft: Draft { name, version, .. }, .. } = &prepared;
    if said != format!("{name}-{version}").to_lowercase() {
        let why = format!("it holds {name} {version}, and is not called so; rename it if that is right");
        return Ok(Became::Refused { why });
    }
    let exactly = RequirementText::exactly(&prepared.draft.ecosystem, version);
    let package = format!("{owner}/{}", prepared.draft.package()?).parse()?;
    let mut root = None;
    let published = async {
        let (draft, artifacts) = prepared.put(&*node.contents(), |_| {}).await?;
        root = artifacts.files.first().map(|file| file.content.root);
        let draft = Draft { handle: draft.handle.or_else(|| handle.cloned()), ..draft };
        node.registry().publish(draft, artifacts, None).await
    };
    match published.await {
        Ok(receipt) => Ok(Became::Published { id: receipt.id }),
        Err(error) if matches!(error.code(), "version_taken" | "file_taken") => {
            let there = node.registry().get_package_version(&package, &exactly).await;
            Ok(match there {
                Ok(there) if root.is_some_and(|root| there.files.iter().all(|one| one.file.root != root)) => {
                    Became::Refused { why: format!("{error}; what is published has other bytes") }
                }
                _ => Became::Known { why: error.to_string() },
            })
        }
        // What is wrong with the node is wrong for all of them.
        Err(error)
            if matches!(
                error.code(),
                "control"
                    | "closed"
                    | "commit"
                    | "database"
                    | "database_locked"
                    | "database_damaged"
                    | "database_read_only"
                    | "disk_full"
                    | "store_full"
                    | "read_only"
            ) =>
        {
            Err(error)
        }
        Err(error) => Ok(Became::Refused { why: error.to_string() }),
    }
}

fn bar(files: u64) -> ProgressBar {
    let bar = print::bar(files);
    match ProgressStyle::with_template("{pos} of {len} {wide_bar} {eta} {msg}") {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}
