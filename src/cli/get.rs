//! `get ID[@REQ]`: resolves, downloads, verifies and writes a release.

mod download;
mod prune;

use std::path::{Path, PathBuf};

use futures::{StreamExt, TryStreamExt, stream};
use indicatif::HumanBytes;
use serde::Serialize;

use super::{
    DONE,
    global::Global,
    id::PackageArg,
    names, print,
    release::{check_fresh, find},
    session,
};
use crate::{
    RegistryError, Result, clock,
    control::Control,
    domain::{
        manifest::{Dependency, file_of},
        name::{PackageId, PackageRef, short_id},
        text::{as_file, printable},
        trust::Trust,
        version::{RequirementText, VersionText},
    },
    ecosystem::Ecosystem,
    registry::{Fetched, Release, ReleaseFile},
    resolve::{
        LeftOutDependency, Machine, Resolution, Resolving,
        lock::{self, LockFile},
        resolve_on,
    },
};
use download::{Destination, DownloadProgress, download};

/// Packages downloaded at once.
const AT_ONCE: usize = 4;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// handle/name or publisher-id/name, with @requirement: @1.2 means the newest 1.x from 1.2,
    /// @1.2.3 exactly that version
    #[arg(required_unless_present = "locked", conflicts_with = "locked")]
    package: Option<PackageArg>,
    /// File to write, or directory to write into [default: the current directory, under the
    /// publisher's file name]
    #[arg(long, short, value_name = "PATH")]
    output: Option<PathBuf>,
    /// Only this file of a release with several; may be repeated
    #[arg(long, value_name = "NAME", conflicts_with_all = ["with_deps", "locked"])]
    file: Vec<String>,
    /// Unpack the archive into a new directory
    #[arg(long)]
    extract: bool,
    /// Download dependencies too, each into its own directory, and write a lock file
    #[arg(long)]
    with_deps: bool,
    /// Python version to resolve dependencies for, such as 3.11 [default: any, including all
    /// dependencies that depend on it]
    #[arg(long, value_name = "VERSION", requires = "with_deps")]
    python: Option<String>,
    /// Download exactly the releases in a lock file
    #[arg(long)]
    locked: bool,
    /// Lock file [default: swarmdex.lock in the output directory]
    #[arg(long, value_name = "FILE")]
    lock: Option<PathBuf>,
    /// Fail unless a quorum of peers has confirmed the package's current state within ten minutes
    #[arg(long)]
    fresh: bool,
    /// Overwrite existing files
    #[arg(long)]
    force: bool,
    /// Pin an unknown handle to the only key that claims it, as at a terminal; without this flag, a
    /// script gets the release with a warning
    #[arg(long)]
    trust_new: bool,
    /// Print progress and result as JSON, one object a line
    #[arg(long)]
    json: bool,
}

/// A line of JSON output.
#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum GetLine<'a> {
    /// A file that was written.
    Got(WrittenFile<'a>),
    Lock(&'a Path),
    /// A dependency that was not downloaded.
    #[serde(rename = "left_out")]
    LeftOut(NotFollowed<'a>),
    /// A file of an earlier resolution that was removed.
    Removed(&'a Path),
}

#[derive(Serialize)]
struct NotFollowed<'a> {
    package: String,
    version: &'a VersionText,
    dependency: &'a Dependency,
    why: &'a str,
}

#[derive(Serialize)]
struct WrittenFile<'a> {
    release: &'a Release,
    /// Fingerprint of the publisher's key.
    fingerprint: String,
    path: &'a Path,
    fetched: &'a Fetched,
}

pub(super) async fn run(global: &Global, args: Args) -> Result<u8> {
    session::with(global, async |node, _| {
        match (&args.package, args.with_deps) {
            (Some(PackageArg(package)), true) => with_deps(node, package, &args).await,
            (Some(PackageArg(package)), false) => one(node, package, &args).await,
            (None, _) => locked(node, &args).await,
        }?;
        Ok(DONE)
    })
    .await
}

async fn one(node: &dyn Control, package: &PackageRef, args: &Args) -> Result<()> {
    let registry = node.registry();
    let spinner = print::spinner("asking peers");
    let found = async {
        let named = names::typed(&*registry, package).await?;
        let release = find(&*registry, &named.package).await?;
        Ok::<_, RegistryError>((named, release))
    };
    let found = found.await;
    spinner.finish_and_clear();
    let (named, release) = found?;
    check_fresh(args.fresh, &release.package, &release.freshness)?;
    let trust = if named.settle(&*registry, args.trust_new).await? {
        Trust::Pinned
    } else {
        release.trust
    };
    let release = Release { trust, ..release };
    names::warn_of_look_alike(&*registry, &release).await?;
    warn(&release);
    let files = choose(&release, &args.file)?;
    let manifest = &release.manifest;
    let dir = || PathBuf::from(file_of(&manifest.name, &manifest.version));
    let path = match (&args.output, files.as_slice()) {
        (_, [_, _, ..]) if args.extract => {
            let why = format!(
                "{} has {} files; choose the one to unpack with --file",
                what(&release),
                files.len()
            );
            return Err(RegistryError::Usage(why));
        }
        (Some(path), _) if args.extract || files.len() > 1 => path.clone(),
        (None, _) if args.extract || files.len() > 1 => dir(),
        (output, [file]) => place(output.as_deref(), &file.file.name),
        (_, _) => dir(),
    };
    let progress = DownloadProgress::new(
        &what(&release),
        files.iter().map(|one| one.file.size).sum(),
        args.json,
    );
    let several = files.len() > 1;
    let target = |file: &ReleaseFile| Destination {
        path: if several {
            path.join(&file.file.name)
        } else {
            path.clone()
        },
        extract: args.extract,
        force: args.force,
        below: several,
    };
    let mut got = Vec::new();
    for file in files {
        let target = target(file);
        let fetched = download(node, &release, &file.file, &target, &progress).await;
        got.push((target.path, fetched));
    }
    progress.end();
    for (path, fetched) in got {
        tell(&release, &path, &fetched?, args.json)?;
    }
    Ok(())
}

/// Warns about a yanked or deprecated release.
fn warn(release: &Release) {
    for warning in release.state.warnings() {
        print::note(format!("warning: {} is {warning}", what(release)));
    }
    if release.missing > 0 {
        print::note(format!(
            "warning: {} manifests of {} could not be loaded, so files may be missing",
            release.missing,
            what(release)
        ));
    }
}

/// Returns the named files; without names, all files that are not yanked.
fn choose<'a>(release: &'a Release, names: &[String]) -> Result<Vec<&'a ReleaseFile>> {
    if names.is_empty() {
        let live: Vec<_> = release
            .files
            .iter()
            .filter(|one| release.state.yanked || one.yanked.is_none())
            .collect();
        return if live.is_empty() {
            Ok(release.files.iter().collect())
        } else {
            Ok(live)
        };
    }
    let find = |name: &String| {
        release
            .files
            .iter()
            .find(|one| one.file.name == *name)
            .ok_or_else(|| {
                let there = release
                    .files
                    .iter()
                    .map(|one| printable(&one.file.name))
                    .collect::<Vec<_>>()
                    .join(", ");
                RegistryError::Usage(format!(
                    "{} has no file {name}; its files are {there}",
                    what(release)
                ))
            })
    };
    names.iter().map(find).collect()
}

/// Returns the path to write a file to.
fn place(output: Option<&Path>, file: &str) -> PathBuf {
    match output {
        Some(path) if path.is_dir() || path.to_string_lossy().ends_with('/') => path.join(file),
        Some(path) => path.to_owned(),
        None => file.into(),
    }
}

async fn with_deps(node: &dyn Control, package: &PackageRef, args: &Args) -> Result<()> {
    let wrong = |why| {
        RegistryError::Usage(format!(
            "--python {}: it {why}",
            args.python.as_deref().unwrap_or_default()
        ))
    };
    let machine = match &args.python {
        Some(version) => Machine::here().with_python(version).map_err(wrong)?,
        None => Machine::here(),
    };
    let registry = node.registry();
    let spinner = print::spinner("resolving dependencies");
    let told = spinner.clone();
    let wanted = vec![(
        PackageRef {
            requirement: None,
            ..package.clone()
        },
        package
            .requirement
            .clone()
            .unwrap_or(RequirementText::any()),
    )];
    let resolved = async {
        // Resolve by key; the lock file records what was typed as well.
        let named = names::typed(&*registry, package).await?;
        let by_key = wanted.iter().map(|(_, requirement)| {
            (
                PackageRef {
                    requirement: None,
                    ..named.package.clone()
                },
                requirement.clone(),
            )
        });
        let told = move |step: Resolving| told.set_message(step.to_string());
        let resolution = resolve_on(registry.clone(), by_key.collect(), machine, told).await?;
        Ok::<_, RegistryError>((named, resolution))
    };
    let resolved = resolved.await;
    spinner.finish_and_clear();
    let (named, resolution) = resolved?;
    named.settle(&*registry, args.trust_new).await?;
    let mut lock = LockFile::of(&resolution, &wanted);
    let mut releases = Vec::new();
    tell_left_out(&resolution, args.json)?;
    for one in resolution.releases {
        let reference = PackageRef::of(&one.package);
        let release = registry
            .get_package_version(&reference, &exactly(&one.package, &one.version))
            .await;
        let release = release.map_err(|error| error.needed_by(lock.who_needs(&one.package)))?;
        check_fresh(args.fresh, &release.package, &release.freshness)?;
        names::warn_of_look_alike(&*registry, &release).await?;
        lock.lock_files(&release.package, &release.files);
        releases.push(release);
    }
    let path = lock_path(args);
    let before = LockFile::read(&path).ok();
    make_output(args)?;
    // Write the lock first, so that the resolution is kept even if a download fails.
    lock.write(&path)?;
    all(node, releases, &lock, args).await?;
    if let Some(before) = before {
        let (out, extract, now) = (out(args), args.extract, lock.clone());
        let pruned =
            tokio::task::spawn_blocking(move || prune::prune(&out, &before, &now, extract)).await;
        for (place, is_gone) in
            pruned.map_err(|error| print::internal("removing unneeded files", error))??
        {
            match (is_gone, args.json) {
                (true, true) => print::json(&GetLine::Removed(&place))?,
                (true, false) => print::note(format!(
                    "removed {}, which is no longer needed",
                    place.display()
                )),
                (false, _) => {
                    print::note(format!(
                        "kept {}: it is no longer needed, but has been changed",
                        place.display()
                    ));
                }
            }
        }
    }
    if args.json {
        print::json(&GetLine::Lock(&path))
    } else {
        print::note(format!(
            "wrote {}; `swarmdex get --locked` downloads the same releases again",
            path.display()
        ));
        Ok(())
    }
}

/// Reports dependencies that are not downloaded, with reasons: the first few, or all of them as
/// JSON.
fn tell_left_out(resolution: &Resolution, json: bool) -> Result<()> {
    /// Dependencies reported by name.
    const NAMED: usize = 10;
    let all = resolution
        .releases
        .iter()
        .flat_map(|one| one.left_out.iter().map(move |left| (one, left)));
    if json {
        for (one, LeftOutDependency { dependency, why }) in all {
            let package = one.package.to_string();
            print::json(&GetLine::LeftOut(NotFollowed {
                package,
                version: &one.version,
                dependency,
                why,
            }))?;
        }
        return Ok(());
    }
    for (one, LeftOutDependency { dependency, why }) in all.clone().take(NAMED) {
        let Dependency { requirement, .. } = dependency;
        print::note(format!(
            "{} needs {} {requirement}, which is skipped: {why}",
            one.package.name,
            dependency.called()
        ));
    }
    match all.count().saturating_sub(NAMED) {
        0 => {}
        more => print::note(format!("{more} more are skipped; --json lists them all")),
    }
    Ok(())
}

fn out(args: &Args) -> PathBuf {
    args.output.clone().unwrap_or_else(|| PathBuf::from("."))
}

/// Returns the place of a release in its owner's directory: `web-1.0.0`, `cargo/serde-1.0.0`,
/// `npm/@scope%2Fname-1.0.0`. Hostile names cannot lead outside, and no two packages share a place.
fn place_of(package: &PackageId, version: &VersionText) -> PathBuf {
    let release = format!(
        "{}-{}",
        as_file(package.name.bare()),
        as_file(version.as_str())
    );
    match package.name.ecosystem() {
        Ecosystem::Generic => release.into(),
        ecosystem => Path::new(ecosystem.as_str()).join(release),
    }
}

fn exactly(package: &PackageId, version: &VersionText) -> RequirementText {
    RequirementText::exactly(package.name.ecosystem(), version)
}

fn lock_path(args: &Args) -> PathBuf {
    let dir = args.output.clone().unwrap_or_default();
    args.lock.clone().unwrap_or_else(|| dir.join(lock::FILE))
}

async fn locked(node: &dyn Control, args: &Args) -> Result<()> {
    let path = lock_path(args);
    let lock = LockFile::read(&path)?;
    let registry = node.registry();
    let mut releases = Vec::new();
    for one in lock.dependencies_first() {
        let release = registry
            .get_package_version(&PackageRef::of(&one.id), &exactly(&one.id, &one.version))
            .await;
        let release = release.map_err(|error| error.needed_by(lock.who_needs(&one.id)))?;
        check_fresh(args.fresh, &release.package, &release.freshness)?;
        lock.check(
            &one.id,
            &release.manifest_hash,
            &release.manifest,
            &release.files,
        )
        .map_err(|error| error.at(&path))?;
        releases.push(release);
    }
    make_output(args)?;
    all(node, releases, &lock, args).await
}

/// Creates the directory for several releases, but no parent directories.
fn make_output(args: &Args) -> Result<()> {
    let Some(dir) = args.output.as_ref().filter(|dir| !dir.is_dir()) else {
        return Ok(());
    };
    std::fs::create_dir(dir).map_err(RegistryError::file(dir, "created"))
}

/// Downloads several releases, each into its own directory.
async fn all(
    node: &dyn Control,
    releases: Vec<Release>,
    lock: &LockFile,
    args: &Args,
) -> Result<()> {
    let out = out(args);
    let wanted: Vec<(&Release, &ReleaseFile)> = releases
        .iter()
        .flat_map(|release| release.files.iter().map(move |file| (release, file)))
        .filter(|(release, file)| {
            lock.get(&release.package)
                .is_some_and(|locked| locked.has(&file.file))
        })
        .collect();
    releases.iter().for_each(warn);
    let bytes = wanted.iter().map(|(_, file)| file.file.size).sum();
    let progress = DownloadProgress::new(&format!("{} packages", releases.len()), bytes, args.json);
    let target = |release: &Release, file: &ReleaseFile| {
        // A handle proves nothing unless it is bound to the key.
        let key = release.package.owner.fingerprint();
        let owner = match &release.handle {
            Some(handle) if release.trust.is_bound() => handle.to_string(),
            Some(handle) => format!("{handle}-{key}"),
            None => key,
        };
        let dir = out
            .join(owner)
            .join(place_of(&release.package, &release.manifest.version));
        // Several files would unpack into the same directory.
        let extract = args.extract && release.files.len() == 1;
        let path = if extract {
            dir
        } else {
            dir.join(&file.file.name)
        };
        Destination {
            path,
            extract,
            force: args.force,
            below: true,
        }
    };
    let progress = &progress;
    let fetch = async |(release, file): &(&Release, &ReleaseFile)| {
        let target = target(release, file);
        let fetched = download(node, release, &file.file, &target, progress).await;
        let fetched = fetched.map_err(|error| error.needed_by(lock.who_needs(&release.package)))?;
        Ok::<_, RegistryError>((target.path, fetched))
    };
    let got: Result<Vec<_>> = stream::iter(&wanted)
        .map(fetch)
        .buffered(AT_ONCE)
        .try_collect()
        .await;
    progress.end();
    for ((release, _), (path, fetched)) in wanted.iter().zip(got?) {
        tell(release, &path, &fetched, args.json)?;
    }
    Ok(())
}

fn what(release: &Release) -> String {
    format!("{} {}", release.title(), release.manifest.version)
}

fn tell(release: &Release, path: &Path, fetched: &Fetched, json: bool) -> Result<()> {
    if json {
        return print::json(&GetLine::Got(WrittenFile {
            release,
            fingerprint: release.package.owner.fingerprint(),
            path,
            fetched,
        }));
    }
    print::fields(&[
        ("release", what(release)),
        ("written to", path.display().to_string()),
        ("size", format!("{} bytes", fetched.content.size)),
        ("verified", fetched.content.root.to_string()),
        ("from", provenance(fetched)),
        (
            "state",
            release.freshness.describe(clock::now()).to_string(),
        ),
    ])
}

/// Describes the sources of the bytes.
fn provenance(fetched: &Fetched) -> String {
    let Some(origin) = &fetched.origin else {
        return "this node".to_owned();
    };
    let bytes = |bytes: u64| HumanBytes(bytes).to_string();
    let mut parts: Vec<String> = origin
        .shares
        .iter()
        .filter(|share| share.bytes > 0)
        .map(|share| format!("{} {}", short_id(&share.peer), bytes(share.bytes)))
        .collect();
    if origin.resumed > 0 {
        parts.push(format!("an earlier attempt {}", bytes(origin.resumed)));
    }
    let liars = origin
        .shares
        .iter()
        .filter(|share| share.refused > 0)
        .count();
    if liars > 0 {
        parts.push(format!("rejected data from {liars}"));
    }
    let parts = parts.join(", ");
    if fetched.was_held {
        format!("this node, which got it from {parts}")
    } else {
        parts
    }
}

#[cfg(test)]
mod tests;
