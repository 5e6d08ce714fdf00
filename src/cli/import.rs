//! `import PATH …`: publishes existing packages as releases of the user's own.

use std::path::{Path, PathBuf};

use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use super::{DONE, FAILED, global::Global, names, print, publish, session};
use crate::{
    RegistryError, Result,
    archive::{
        ArchiveError, inspect, list,
        release::{self, ArchivedRelease, ConflictingFile, FoundFile},
    },
    clock,
    config::Settings,
    control::Control,
    domain::{
        hash::Digester,
        manifest::{Artifacts, Content, Draft, PutFile, limit},
        name::{Handle, PublisherId},
        record::{MAX_MANIFEST, MAX_NUMBER, signed_len},
        time::Timestamp,
        version::RequirementText,
    },
    registry::{OwnPublisher, ReleaseFile},
};

mod debian;

#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(super) struct Args {
    #[command(subcommand)]
    of: Option<Of>,
    /// .crate files, Python wheels and sdists, npm tarballs, .deb files, `Packages` indexes, and
    /// directories to search for them
    #[arg(required = true)]
    paths: Vec<PathBuf>,
    /// Answer yes to all questions
    #[arg(long, short)]
    yes: bool,
    /// Print the result for each file as JSON, one object a line, and a summary
    #[arg(long)]
    json: bool,
}

/// Other kinds of import.
#[derive(Debug, clap::Subcommand)]
enum Of {
    /// Import the index of a Debian mirror: to search it, or to take it to a site without internet
    Debian(debian::Args),
}

/// The result for a release.
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

/// A file and its result.
#[derive(Serialize)]
struct ImportLine<'a> {
    file: &'a Path,
    #[serde(flatten)]
    was: Option<Was<'a>>,
    #[serde(flatten)]
    became: &'a Became,
}

/// Dependencies that a release's manifest does not declare.
#[derive(Serialize)]
struct Lacks<'a> {
    file: &'a Path,
    #[serde(flatten)]
    was: Was<'a>,
    left_out: &'a [String],
}

/// Describes the first few of the undeclared dependencies.
fn lacks(left_out: &[String]) -> String {
    /// Dependencies that are named.
    const NAMED: usize = 5;
    let named = left_out
        .iter()
        .take(NAMED)
        .map(String::as_str)
        .collect::<Vec<_>>()
        .join("; ");
    let more = match left_out.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!("; and {more} more"),
    };
    format!("its manifest does not list all dependencies: {named}{more}")
}

/// The release that a file belongs to.
#[derive(Clone, Copy, Serialize)]
struct Was<'a> {
    ecosystem: &'a str,
    name: &'a str,
    version: &'a str,
}

impl<'a> From<&'a Draft> for Was<'a> {
    fn from(
        Draft {
            ecosystem,
            name,
            version,
            ..
        }: &'a Draft,
    ) -> Self {
        Self {
            ecosystem: ecosystem.as_str(),
            name: name.as_str(),
            version: version.as_str(),
        }
    }
}

#[derive(Default, Serialize)]
struct ImportSummary {
    published: u64,
    known: u64,
    refused: u64,
}

/// Reports the result for each file.
struct ImportReporter {
    bar: ProgressBar,
    json: bool,
    summary: ImportSummary,
}

impl ImportReporter {
    fn tell(&mut self, file: &Path, draft: Option<&Draft>, became: &Became) -> Result<()> {
        let was = draft.map(Was::from);
        let shown = file.display();
        let said = was.map(
            |Was {
                 ecosystem,
                 name,
                 version,
             }| format!("{ecosystem} {name} {version}"),
        );
        let called = said
            .as_ref()
            .map(|said| format!(" ({said})"))
            .unwrap_or_default();
        let said = said.unwrap_or_default();
        let line = match became {
            Became::Published { id } => {
                self.summary.published += 1;
                format!("{shown}: {said}, published as {id}")
            }
            Became::Known { .. } => {
                self.summary.known += 1;
                format!("{shown}: {said}, published already")
            }
            Became::Refused { why } => {
                self.summary.refused += 1;
                self.bar
                    .suspend(|| print::note(format!("{shown}{called} was not imported: {why}")));
                String::new()
            }
        };
        self.bar.suspend(|| match self.json {
            true => print::json(&ImportLine { file, was, became }),
            false if line.is_empty() => Ok(()),
            false => print::lines(&line),
        })
    }

    /// Reports dependencies that a release's manifest does not declare.
    fn lacks(&mut self, file: &Path, draft: &Draft, left_out: &[String]) -> Result<()> {
        if left_out.is_empty() {
            return Ok(());
        }
        self.bar.suspend(|| match self.json {
            true => print::json(&Lacks {
                file,
                was: draft.into(),
                left_out,
            }),
            false => {
                print::note(format!("warning: {}: {}", file.display(), lacks(left_out)));
                Ok(())
            }
        })
    }

    fn refuse(&mut self, file: &Path, draft: Option<&Draft>, why: &ArchiveError) -> Result<()> {
        self.tell(
            file,
            draft,
            &Became::Refused {
                why: why.to_string(),
            },
        )
    }
}

pub(super) async fn run(global: &Global, args: Args) -> Result<u8> {
    if let Some(Of::Debian(args)) = args.of {
        return debian::run(global, args).await;
    }
    let (indexes, archives): (Vec<_>, Vec<_>) = files(&args.paths)?
        .into_iter()
        .partition(|path| is_index(path));
    let indexes = debian::open(&indexes)?;
    session::with(global, async |node, settings| {
        let Some((owner, handle)) = owner(node, settings, args.yes).await? else {
            return Ok(FAILED);
        };
        let mut teller = ImportReporter {
            bar: bar(archives.len() as u64),
            json: args.json,
            summary: ImportSummary::default(),
        };
        let releases = releases(&archives, &mut teller).await?;
        let found = releases
            .iter()
            .map(|release| release::key(&release.draft))
            .collect();
        for release in releases {
            let paths: Vec<PathBuf> = release.files.iter().map(|file| file.path.clone()).collect();
            teller
                .bar
                .set_message(format!("{} {}", release.draft.name, release.draft.version));
            import(
                node,
                release.draft,
                &paths,
                (&owner, handle.as_ref()),
                &mut teller,
            )
            .await?;
            teller.bar.inc(paths.len() as u64);
        }
        teller.bar.finish_and_clear();
        let ImportSummary {
            mut published,
            mut known,
            mut refused,
        } = teller.summary;
        if !indexes.is_empty() {
            let described = debian::describe(node, handle, args.json, indexes, found).await?;
            (published, known) = (published + described.imported, known + described.known);
            refused += described.refused + described.unread;
        }
        if args.json {
            print::json(&ImportSummary {
                published,
                known,
                refused,
            })?;
        } else {
            print::lines(&format!(
                "{published} published, {known} published already, {refused} not imported"
            ))?;
        }
        Ok(if refused == 0 { DONE } else { FAILED })
    })
    .await
}

/// Reads the releases in archives, sorted by package and version, so that the latest version is
/// announced last. Readmes and native metadata are dropped, because they take much memory.
async fn releases(
    archives: &[PathBuf],
    teller: &mut ImportReporter,
) -> Result<Vec<ArchivedRelease>> {
    let mut found = Vec::new();
    for path in archives {
        teller.bar.set_message(
            path.file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned(),
        );
        match read(path.clone()).await? {
            Ok(release) => {
                let files = release
                    .files
                    .into_iter()
                    .map(|file| FoundFile {
                        native: None,
                        ..file
                    })
                    .collect();
                found.push(ArchivedRelease {
                    files,
                    readme: None,
                    native: None,
                    ..release
                });
            }
            Err(why) => {
                teller.refuse(path, None, &why)?;
                teller.bar.inc(1);
            }
        }
    }
    let (mut releases, refused) = release::grouped(found);
    for ConflictingFile { path, draft, why } in refused {
        teller.refuse(&path, Some(&draft), &why)?;
        teller.bar.inc(1);
    }
    releases.sort_by_cached_key(|ArchivedRelease { draft, .. }| {
        (
            draft.package().ok(),
            draft.version.read(&draft.ecosystem).ok(),
        )
    });
    Ok(releases)
}

async fn read(path: PathBuf) -> Result<std::result::Result<ArchivedRelease, ArchiveError>> {
    let read = tokio::task::spawn_blocking(move || release::read(&path, clock::now())).await;
    read.map_err(|error| print::internal("reading an archive", error))
}

/// Warns about files that probably should not have been in an archive. The archive is still
/// published as it is, because its digest is fixed.
async fn doubtful(path: PathBuf) -> Option<String> {
    /// Files that are named; the rest is only counted.
    const NAMED: usize = 3;
    let look = move || inspect::doubtful(&mut std::fs::File::open(path)?);
    // The archive was readable a moment ago, so any real problem is reported elsewhere.
    let paths = tokio::task::spawn_blocking(look).await.ok()?.ok()?;
    let named = paths
        .iter()
        .take(NAMED)
        .map(String::as_str)
        .collect::<Vec<_>>()
        .join(", ");
    let more = match paths.len().saturating_sub(NAMED) {
        0 if paths.is_empty() => return None,
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    Some(format!(
        "it contains what looks like a private key, which is published with it: {named}{more}"
    ))
}

/// Returns the named archives and indexes, and those in directories.
fn files(paths: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for path in paths {
        if path.is_dir() {
            let wanted =
                |name: &str| release::ecosystem_of(name).is_some() || is_index(Path::new(name));
            let found = list::list(path, wanted)
                .map_err(|error| RegistryError::Usage(error.to_string()))?;
            if found.is_empty() {
                let why = format!(
                    "found no .crate, .whl, .tar.gz, .zip, .tgz or .deb files and no Packages \
                     index in {}; give another directory, or files",
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

/// Returns true for the name of a Debian index, or of a copy that apt keeps.
fn is_index(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let plain = [".gz", ".xz", ".lz4"]
        .iter()
        .find_map(|packed| name.strip_suffix(packed))
        .unwrap_or(&name);
    plain == "Packages" || plain.ends_with("_Packages")
}

/// Returns the key and handle for all packages of an import; their dependencies belong to it too.
/// Creates the key if there is none. Returns `None` if the user does not want to use the handle.
async fn owner(
    node: &dyn Control,
    settings: &Settings,
    yes: bool,
) -> Result<Option<(String, Option<Handle>)>> {
    let registry = node.registry();
    let handle = match settings.node.registry.handle.clone() {
        Some(handle) => Some(handle),
        None => node
            .status()
            .await?
            .node
            .handle
            .and_then(|handle| handle.parse().ok()),
    };
    if let Some(handle) = &handle
        && !names::may_publish_under(&*registry, handle, yes).await?
    {
        return Ok(None);
    }
    let OwnPublisher { id, new_key } = registry.publisher().await?;
    if let Some(path) = &new_key {
        print::note(publish::new_key(path));
    }
    Ok(Some((id.to_string(), handle)))
}

/// Publishes the release in the archives at `paths`, and reports the result for each.
async fn import(
    node: &dyn Control,
    was: Draft,
    paths: &[PathBuf],
    whose: (&str, Option<&Handle>),
    teller: &mut ImportReporter,
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
        let path = release
            .files
            .first()
            .map(|file| file.path.clone())
            .unwrap_or_default();
        let (draft, left_out) = (release.draft.clone(), release.left_out.clone());
        publish_release(node, release, whose, teller).await?;
        teller.lacks(&path, &draft, &left_out)?;
    }
    Ok(())
}

/// A file that is stored on the node, and its path.
struct StoredFile {
    path: PathBuf,
    file: PutFile,
}

/// Publishes the files of a release, in as many manifests as needed, and reports the result for
/// each.
async fn publish_release(
    node: &dyn Control,
    release: ArchivedRelease,
    whose: (&str, Option<&Handle>),
    teller: &mut ImportReporter,
) -> Result<()> {
    let contents = node.contents();
    let text = async |text: Option<Vec<u8>>| match text {
        Some(text) if !text.is_empty() && text.len() as u64 <= limit::BESIDE => contents
            .put(Box::pin(std::io::Cursor::new(text)))
            .await
            .map(Some),
        _ => Ok(None),
    };
    let ArchivedRelease {
        draft,
        files,
        readme,
        native,
        ..
    } = release;
    let draft = Draft {
        handle: draft.handle.or_else(|| whose.1.cloned()),
        ..draft
    };
    let beside = (text(readme).await?, text(native).await?);
    let mut put = Vec::new();
    for FoundFile {
        path,
        name,
        content,
        native,
        published_at,
    } in files
    {
        let opened = tokio::fs::File::open(&path)
            .await
            .map_err(RegistryError::file(&path, "read"))?;
        if contents.put(Box::pin(opened)).await? != content {
            let why =
                "it changed while it was being read; import it once it is complete".to_owned();
            teller.tell(&path, Some(&draft), &Became::Refused { why })?;
            continue;
        }
        let file = PutFile {
            content,
            name: Some(name),
            native: text(native).await?,
            published_at,
        };
        put.push(StoredFile { path, file });
    }
    for batch in batches(&draft, beside, put) {
        publish_batch(node, (&draft, beside), batch, whose.0, teller).await?;
    }
    Ok(())
}

type Beside = (Option<Content>, Option<Content>);

/// Splits the files into as few manifests as possible, each with at most [`limit::FILES`] files and
/// small enough for its envelope.
fn batches(
    draft: &Draft,
    (readme, native): Beside,
    files: Vec<StoredFile>,
) -> Vec<Vec<StoredFile>> {
    let fits = |batch: &[StoredFile]| {
        let digests = Digester::of(&draft.ecosystem).finish();
        let files = batch
            .iter()
            .map(|put| put.file.clone().with(digests, String::new))
            .collect();
        let artifacts = Artifacts {
            files,
            readme,
            native,
        };
        let manifest =
            draft
                .clone()
                .into_manifest(PublisherId::nobody(), artifacts, Timestamp(MAX_NUMBER));
        // If even one file does not fit, signing reports the reason.
        manifest.map_or(batch.len() <= limit::FILES, |manifest| {
            signed_len(&manifest) <= MAX_MANIFEST
        })
    };
    let mut batches: Vec<Vec<StoredFile>> = Vec::new();
    for put in files {
        match batches.last_mut() {
            Some(batch) => {
                batch.push(put);
                if !fits(batch) {
                    let next = batch.pop();
                    batches.push(next.into_iter().collect());
                }
            }
            None => batches.push(vec![put]),
        }
    }
    batches
}

async fn publish_batch(
    node: &dyn Control,
    (draft, (readme, native)): (&Draft, Beside),
    mut batch: Vec<StoredFile>,
    owner: &str,
    teller: &mut ImportReporter,
) -> Result<()> {
    // Try again once, without the files that were published before.
    for _ in 0..2 {
        let files = batch.iter().map(|put| put.file.clone()).collect();
        match node
            .registry()
            .publish(
                draft.clone(),
                Artifacts {
                    files,
                    readme,
                    native,
                },
                None,
            )
            .await
        {
            Ok(receipt) => {
                for StoredFile { path, .. } in batch {
                    if let Some(doubtful) = doubtful(path.clone()).await {
                        teller.bar.suspend(|| {
                            print::note(format!("warning: {}: {doubtful}", path.display()))
                        });
                    }
                    teller.tell(
                        &path,
                        Some(draft),
                        &Became::Published {
                            id: receipt.id.clone(),
                        },
                    )?;
                }
                return Ok(());
            }
            Err(error) if matches!(error.code(), "version_taken" | "file_taken") => {
                let exactly = RequirementText::exactly(&draft.ecosystem, &draft.version);
                let package = format!("{owner}/{}", draft.package()?).parse()?;
                let there = node
                    .registry()
                    .get_package_version(&package, &exactly)
                    .await?;
                let mut rest = Vec::new();
                for put in batch {
                    let named = |one: &&ReleaseFile| Some(&one.file.name) == put.file.name.as_ref();
                    let became = match there.files.iter().find(named) {
                        Some(one) if one.file.root == put.file.content.root => Became::Known {
                            why: error.to_string(),
                        },
                        None if draft.ecosystem.grows() => {
                            rest.push(put);
                            continue;
                        }
                        _ => Became::Refused {
                            why: format!("{error}; the published file has different content"),
                        },
                    };
                    teller.tell(&put.path, Some(draft), &became)?;
                }
                if rest.is_empty() {
                    return Ok(());
                }
                batch = rest;
            }
            // A failure of the node would repeat for every file.
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
                return Err(error);
            }
            Err(error) => {
                let became = Became::Refused {
                    why: error.to_string(),
                };
                return batch
                    .iter()
                    .try_for_each(|put| teller.tell(&put.path, Some(draft), &became));
            }
        }
    }
    let why = "another program published it meanwhile; run import again".to_owned();
    batch.iter().try_for_each(|put| {
        teller.tell(
            &put.path,
            Some(draft),
            &Became::Refused { why: why.clone() },
        )
    })
}

fn bar(files: u64) -> ProgressBar {
    let bar = print::bar(files);
    match ProgressStyle::with_template("{pos} of {len} {wide_bar} {eta} {msg}") {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::hash::ContentRoot;

    proptest! {
        /// Every file goes into exactly one manifest, in order, and every manifest can be signed,
        /// whatever the number and names of files.
        #[test]
        fn files_go_into_manifests_that_can_be_signed(lengths in prop::collection::vec(1usize..150, 1..90), described in 0usize..1_000) {
            let toml = format!("name = \"box\"\nversion = \"1.0\"\necosystem \
                                = \"pypi\"\ndescription = \"{}\"", "d".repeat(described));
            let draft: Draft = toml::from_str(&toml).unwrap();
            let content = Content { root: ContentRoot::of(b"x"), size: 1 };
            let named = |(n, length): (usize, &usize)| format!("{n:03}{}", "x".repeat(*length));
            let names: Vec<String> = lengths.iter().enumerate().map(named).collect();
            let put = |name: &String| StoredFile {
                path: PathBuf::new(),
                file: PutFile { native: Some(content), ..PutFile::from(content).named(name.as_str()) },
            };
            let batches = batches(&draft, (Some(content), None), names.iter().map(put).collect());
            let listed: Vec<&str> = batches.iter().flatten().filter_map(|put| put.file.name.as_deref()).collect();
            prop_assert_eq!(listed, names.iter().map(String::as_str).collect::<Vec<_>>());
            let key = libp2p::identity::Keypair::generate_ed25519();
            for batch in batches {
                let files = batch.into_iter().map(|put| put.file.with(Digester::of(&draft.ecosystem).finish(), String::new)).collect();
                let artifacts = Artifacts { files, readme: Some(content), native: None };
                let manifest = draft.clone().into_manifest(PublisherId::of(&key.public()), artifacts, clock::now()).unwrap();
                prop_assert!(crate::domain::record::Authorised::sign(&key, manifest).is_ok());
            }
        }
    }
}
