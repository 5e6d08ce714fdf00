//! `import PATH …`: what people have already, as releases of their own.

use std::path::{Path, PathBuf};

use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use super::{DONE, FAILED, global::Global, names, print, publish, session};
use crate::{
    RegistryError, Result,
    archive::{
        Unusable, inspect, list,
        release::{self, FoundFile, Refused, Release},
    },
    clock,
    config::Settings,
    control::Control,
    domain::{
        manifest::{Content, Draft, Manifest},
        name::Handle,
        version::RequirementText,
    },
    prepare::{self, Prepared},
    registry::Publisher,
};

mod debian;

#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(super) struct Args {
    #[command(subcommand)]
    of: Option<Of>,
    /// .crate files, wheels and source distributions of PyPI, npm tarballs, .deb files and `Packages` indexes, and directories
    /// that are searched for them
    #[arg(required = true)]
    paths: Vec<PathBuf>,
    /// Answer yes to what is asked at a terminal
    #[arg(long, short)]
    yes: bool,
    /// Print what became of each as JSON, one object a line, and a summary
    #[arg(long)]
    json: bool,
}

/// Other ways to import.
#[derive(Debug, clap::Subcommand)]
enum Of {
    /// Take a Debian mirror's index: to look through it, or to bring it to a site without internet
    Debian(debian::Args),
}

/// What became of a release.
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

/// What a file was, and what became of it.
#[derive(Serialize)]
struct Line<'a> {
    file: &'a Path,
    #[serde(flatten)]
    was: Option<Was<'a>>,
    #[serde(flatten)]
    became: &'a Became,
}

/// What a release needs, and its manifest does not say.
#[derive(Serialize)]
struct Lacks<'a> {
    file: &'a Path,
    #[serde(flatten)]
    was: Was<'a>,
    left_out: &'a [String],
}

/// Of what a release needs and does not say, the first few.
fn lacks(left_out: &[String]) -> String {
    /// Those that are named.
    const NAMED: usize = 5;
    let named = left_out.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>().join("; ");
    let more = match left_out.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!("; and {more} more"),
    };
    format!("its manifest does not say all that it needs: {named}{more}")
}

/// The release that a file is of.
#[derive(Clone, Copy, Serialize)]
struct Was<'a> {
    ecosystem: &'a str,
    name: &'a str,
    version: &'a str,
}

impl<'a> From<&'a Draft> for Was<'a> {
    fn from(Draft { ecosystem, name, version, .. }: &'a Draft) -> Self {
        Self { ecosystem: ecosystem.as_str(), name: name.as_str(), version: version.as_str() }
    }
}

#[derive(Default, Serialize)]
struct Summary {
    published: u64,
    known: u64,
    refused: u64,
}

/// Tells what becomes of files.
struct Teller {
    bar: ProgressBar,
    json: bool,
    summary: Summary,
}

impl Teller {
    fn tell(&mut self, file: &Path, draft: Option<&Draft>, became: &Became) -> Result<()> {
        let was = draft.map(Was::from);
        let shown = file.display();
        let said = was.map(|Was { ecosystem, name, version }| format!("{ecosystem} {name} {version}"));
        let called = said.as_ref().map(|said| format!(" ({said})")).unwrap_or_default();
        let said = said.unwrap_or_default();
        let line = match became {
            Became::Published { id } => {
                self.summary.published += 1;
                format!("{shown}: {said}, published as {id}")
            }
            Became::Known { .. } => {
                self.summary.known += 1;
                format!("{shown}: {said}, there already")
            }
            Became::Refused { why } => {
                self.summary.refused += 1;
                self.bar.suspend(|| print::note(format!("{shown}{called} was not imported: {why}")));
                String::new()
            }
        };
        self.bar.suspend(|| match self.json {
            true => print::json(&Line { file, was, became }),
            false if line.is_empty() => Ok(()),
            false => print::lines(&line),
        })
    }

    /// Says what a release needs and does not say of itself.
    fn lacks(&mut self, file: &Path, draft: &Draft, left_out: &[String]) -> Result<()> {
        if left_out.is_empty() {
            return Ok(());
        }
        self.bar.suspend(|| match self.json {
            true => print::json(&Lacks { file, was: draft.into(), left_out }),
            false => {
                print::note(format!("warning: {}: {}", file.display(), lacks(left_out)));
                Ok(())
            }
        })
    }

    fn refuse(&mut self, file: &Path, draft: Option<&Draft>, why: &Unusable) -> Result<()> {
        self.tell(file, draft, &Became::Refused { why: why.to_string() })
    }
}

pub(super) async fn run(global: &Global, args: Args) -> Result<u8> {
    if let Some(Of::Debian(args)) = args.of {
        return debian::run(global, args).await;
    }
    let (indexes, archives): (Vec<_>, Vec<_>) = files(&args.paths)?.into_iter().partition(|path| is_index(path));
    let indexes = debian::open(&indexes)?;
    session::with(global, async |node, settings| {
        let Some((owner, handle)) = owner(node, settings, args.yes).await? else { return Ok(FAILED) };
        let mut teller = Teller { bar: bar(archives.len() as u64), json: args.json, summary: Summary::default() };
        let releases = releases(&archives, &mut teller).await?;
        let found = releases.iter().map(|release| release::key(&release.draft)).collect();
        for release in releases {
            let paths: Vec<PathBuf> = release.files.iter().map(|file| file.path.clone()).collect();
            teller.bar.set_message(format!("{} {}", release.draft.name, release.draft.version));
            import(node, release.draft, &paths, (&owner, handle.as_ref()), &mut teller).await?;
            teller.bar.inc(paths.len() as u64);
        }
        teller.bar.finish_and_clear();
        let Summary { mut published, mut known, mut refused } = teller.summary;
        if !indexes.is_empty() {
            let described = debian::describe(node, handle, args.json, indexes, found).await?;
            (published, known) = (published + described.imported, known + described.known);
            refused += described.refused + described.unread;
        }
        if args.json {
            print::json(&Summary { published, known, refused })?;
        } else {
            print::lines(&format!("{published} published, {known} there already, {refused} not imported"))?;
        }
        Ok(if refused == 0 { DONE } else { FAILED })
    })
    .await
}

/// The releases that archives are of, those of one package by version, so that who is told of each is told of the latest last. Without
/// readmes and the ecosystems' own data: of many archives that is much.
async fn releases(archives: &[PathBuf], teller: &mut Teller) -> Result<Vec<Release>> {
    let mut found = Vec::new();
    for path in archives {
        teller.bar.set_message(path.file_name().unwrap_or_default().to_string_lossy().into_owned());
        match read(path.clone()).await? {
            Ok(release) => {
                let files = release.files.into_iter().map(|file| FoundFile { native: None, ..file }).collect();
                found.push(Release { files, readme: None, native: None, ..release });
            }
            Err(why) => {
                teller.refuse(path, None, &why)?;
                teller.bar.inc(1);
            }
        }
    }
    let (mut releases, refused) = release::grouped(found);
    for Refused { path, draft, why } in refused {
        teller.refuse(&path, Some(&draft), &why)?;
        teller.bar.inc(1);
    }
    releases
        .sort_by_cached_key(|Release { draft, .. }| (draft.package().ok(), draft.version.read(&draft.ecosystem).ok()));
    Ok(releases)
}

async fn read(path: PathBuf) -> Result<std::result::Result<Release, Unusable>> {
    let read = tokio::task::spawn_blocking(move || release::read(&path, clock::now())).await;
    read.map_err(|error| print::internal("reading an archive", error))
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

/// The archives and indexes that are named, and those in directories.
fn files(paths: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for path in paths {
        if path.is_dir() {
            let wanted = |name: &str| release::ecosystem_of(name).is_some() || is_index(Path::new(name));
            let found = list::list(path, wanted).map_err(|error| RegistryError::Usage(error.to_string()))?;
            if found.is_empty() {
                let why = format!(
                    "there are no .crate, .whl, .tar.gz, .zip, .tgz or .deb files and no Packages index in {}; name another directory, or files",
                    path.display()
                );
                return Err(RegistryError::Usage(why));
            }
            files.extend(found);
        } else {
            std::fs::metadata(path).map_err(RegistryError::file(path, "read"))?;
            files.push(path.clone());
        }
    }
    files.sort();
    files.dedup();
    Ok(files)
}

/// Called like an index of a Debian archive, or like what apt keeps of one.
fn is_index(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let plain = [".gz", ".xz", ".lz4"].iter().find_map(|packed| name.strip_suffix(packed)).unwrap_or(&name);
    plain == "Packages" || plain.ends_with("_Packages")
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

/// Publishes the release that the archives at `paths` are of, and tells what becomes of each.
async fn import(
    node: &dyn Control,
    was: Draft,
    paths: &[PathBuf],
    whose: (&str, Option<&Handle>),
    teller: &mut Teller,
) -> Result<()> {
    let mut found = Vec::new();
    for path in paths {
        match read(path.clone()).await? {
            Ok(release) => found.push(release),
            Err(why) => teller.refuse(path, Some(&was), &why)?,
        }
    }
    let (releases, _) = release::grouped(found);
    for release in releases {
        let path = release.files.first().map(|file| file.path.clone()).unwrap_or_default();
        let left_out = release.left_out.clone();
        let (prepared, left) = prepare::release(release)?;
        let (draft, taken) = (prepared.draft.clone(), prepared.file.clone());
        let became = publish_one(node, prepared, whose).await?;
        if let Became::Published { .. } = became
            && let Some(doubtful) = doubtful(path.clone()).await
        {
            teller.bar.suspend(|| print::note(format!("warning: {}: {doubtful}", path.display())));
        }
        teller.tell(&path, Some(&draft), &became)?;
        teller.lacks(&path, &draft, &left_out)?;
        for FoundFile { path, .. } in left {
            let why =
                format!("it is not taken yet: {} {} is published with one file, {taken}", draft.name, draft.version);
            teller.tell(&path, Some(&draft), &Became::Refused { why })?;
        }
    }
    Ok(())
}

/// Returns true where these bytes are what was published.
fn is_published(manifest: &Manifest, content: Content) -> bool {
    manifest.content() == content
}

async fn publish_one(
    node: &dyn Control,
    prepared: Prepared,
    (owner, handle): (&str, Option<&Handle>),
) -> Result<Became> {
    let Draft { version, ecosystem, .. } = &prepared.draft;
    let exactly = RequirementText::exactly(ecosystem, version);
    let package = format!("{owner}/{}", prepared.draft.package()?).parse()?;
    let mut content = None;
    let published = async {
        let (draft, artifacts) = prepared.put(&*node.contents(), |_| {}).await?;
        content = Some(artifacts.content);
        let draft = Draft { handle: draft.handle.or_else(|| handle.cloned()), ..draft };
        node.registry().publish(draft, artifacts, None).await
    };
    match published.await {
        Ok(receipt) => Ok(Became::Published { id: receipt.id }),
        Err(error) if error.code() == "version_taken" => {
            let there = node.registry().get_package_version(&package, &exactly).await;
            Ok(match there {
                Ok(there) if !content.is_some_and(|content| is_published(&there.manifest, content)) => {
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
