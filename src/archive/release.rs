//! A common type for releases read from the archives of every ecosystem.
//!
//! [`read`] goes by a file's name and returns a release of one file; [`grouped`] joins those of one
//! version: wheels and source distribution of a Python package, or a Debian package for several
//! architectures.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use super::{
    ArchiveError,
    crates::{self, CrateFile},
    deb,
    debian::Stanza,
    npm, pypi, read as archives,
    sanitise::{Facts, checked, draft, with_dependencies},
};
use crate::{
    domain::{
        hash::ContentRoot,
        manifest::{Content, Dependency, DependencyKind, Draft, check_file},
        name::{NameError, PackageName},
        text::{fit, printable},
        time::Timestamp,
    },
    ecosystem::{
        Ecosystem,
        pypi::{dependency::VersionsOrUrl, marker::Marker},
    },
};

/// A release read from its archives. Its draft is valid, without a handle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArchivedRelease {
    pub draft: Draft,
    /// Dependencies that the draft cannot express or has no room for, each with the reason.
    pub left_out: Vec<String>,
    /// One or more files with unique names, sorted by name.
    pub files: Vec<FoundFile>,
    pub readme: Option<Vec<u8>>,
    /// The ecosystem's own data about the release: the index line for cargo, the version's registry
    /// entry for npm.
    pub native: Option<Vec<u8>>,
}

/// A file of a release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundFile {
    pub path: PathBuf,
    /// The name under which it is published.
    pub name: String,
    pub content: Content,
    /// The ecosystem's own data about this file: `METADATA` of a wheel, `PKG-INFO` of a source
    /// distribution, the control paragraph of a `.deb`.
    pub native: Option<Vec<u8>>,
    /// The archive's claimed creation time, no later than when it was read.
    pub published_at: Option<Timestamp>,
}

/// A file that conflicts with another file of its release.
#[derive(Debug)]
pub struct ConflictingFile {
    pub path: PathBuf,
    /// The release that the file claims.
    pub draft: Draft,
    pub why: ArchiveError,
}

/// November 2014 in seconds since 1970, before which there were no crates. Cargo writes 2006-07-24
/// into every package, but once wrote real times.
const BEFORE_CRATES: u64 = 1_414_800_000;

/// Returns the ecosystem of archives with this name, or `None` if they are not supported.
pub fn ecosystem_of(name: &str) -> Option<Ecosystem> {
    let endings = [
        (".crate", Ecosystem::Cargo),
        (".deb", Ecosystem::Debian),
        (".tgz", Ecosystem::Npm),
        (".whl", Ecosystem::Pypi),
        (".tar.gz", Ecosystem::Pypi),
        (".zip", Ecosystem::Pypi),
    ];
    endings
        .into_iter()
        .find(|(ending, _)| name.ends_with(ending))
        .map(|(_, ecosystem)| ecosystem)
}

/// Reads the release in the archive at `path`, with this one file. Blocks.
///
/// # Errors
/// The reason why it cannot be published.
pub fn read(path: &Path, now: Timestamp) -> Result<ArchivedRelease, ArchiveError> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    match ecosystem_of(&name) {
        Some(Ecosystem::Cargo) => crate_called_so(path, now),
        Some(Ecosystem::Debian) => of_deb(path, now),
        Some(Ecosystem::Npm) => of_npm(path, now),
        Some(Ecosystem::Pypi) => of_pypi(path, now),
        _ => Err(ArchiveError::Other(
            "named like a supported archive: .crate, .whl, .tar.gz, .zip, .tgz or .deb",
        )),
    }
}

/// Checks that a crate's file name matches its contents, which [`of_crate`] does not.
fn crate_called_so(path: &Path, now: Timestamp) -> Result<ArchivedRelease, ArchiveError> {
    let found = crates::read(path)?;
    let Draft { name, version, .. } = &found.draft;
    let said = path
        .file_stem()
        .unwrap_or_default()
        .to_string_lossy()
        .to_lowercase();
    if said != format!("{name}-{version}").to_lowercase() {
        return Err(ArchiveError::OtherRelease {
            name: name.to_string(),
            version: version.to_string(),
        });
    }
    of_crate(found, path, now)
}

/// Returns the release of the crate read from `path`.
///
/// # Errors
/// The file cannot be read again.
pub fn of_crate(
    found: CrateFile,
    path: &Path,
    now: Timestamp,
) -> Result<ArchivedRelease, ArchiveError> {
    let Draft { name, version, .. } = &found.draft;
    let name = format!("{name}-{version}.crate");
    let published_at = archives::claimed(found.written_at, BEFORE_CRATES, now);
    let file = FoundFile {
        content: found.content,
        ..FoundFile::at(path, Some(name), None, published_at)?
    };
    Ok(ArchivedRelease {
        draft: found.draft,
        left_out: found.left_out,
        files: vec![file],
        readme: found.readme.map(String::into_bytes),
        native: Some(found.index.into_bytes()),
    })
}

fn of_npm(path: &Path, now: Timestamp) -> Result<ArchivedRelease, ArchiveError> {
    let found = npm::read(path)?;
    let people = found.author.iter().chain(&found.contributors);
    let draft = draft(Facts {
        ecosystem: Ecosystem::Npm,
        name: &found.name,
        version: &found.version,
        description: found.description.as_deref().unwrap_or_default(),
        categories: Vec::new(),
        tags: found.keywords.clone(),
        license: found.license.as_deref(),
        authors: people.map(|person| person.name.clone()).collect(),
        repository: found.repository.as_deref(),
        homepage: found.homepage.as_deref(),
    });
    let draft = draft
        .and_then(checked)
        .map_err(|why| ArchiveError::bad("package.json", why))?;
    let (draft, left_out) = taken(draft, found.dependencies.iter().filter_map(npm_need));
    // Constants from before npm were already removed.
    let published_at = archives::claimed(found.published_at, 0, now);
    let native = npm::packument(&found);
    let files = vec![FoundFile::at(path, None, None, published_at)?];
    let readme = found.readme.map(|readme| readme.bytes);
    Ok(ArchivedRelease {
        draft,
        left_out,
        files,
        readme,
        native: Some(native),
    })
}

fn of_pypi(path: &Path, now: Timestamp) -> Result<ArchivedRelease, ArchiveError> {
    let pypi::Distribution {
        metadata,
        metadata_file,
        published_at,
        readme,
        ..
    } = pypi::read(path, now)?;
    let topics = metadata
        .classifiers
        .iter()
        .filter_map(|text| text.strip_prefix("Topic :: "));
    let topics = topics.filter_map(|topic| topic.rsplit(" :: ").next().map(str::to_owned));
    let approved = metadata
        .classifiers
        .iter()
        .filter_map(|text| text.strip_prefix("License :: "));
    let approved = approved
        .filter_map(|text| text.rsplit(" :: ").next())
        .next();
    // The older field often has the whole text of a license.
    let short = metadata
        .license
        .as_deref()
        .filter(|text| !text.contains('\n') && text.len() <= 80);
    let draft = draft(Facts {
        ecosystem: Ecosystem::Pypi,
        name: &metadata.name,
        version: &metadata.version,
        description: metadata.summary.as_deref().unwrap_or_default(),
        categories: topics.collect(),
        tags: metadata.keywords.clone(),
        license: metadata
            .license_expression
            .as_deref()
            .or(short)
            .or(approved),
        authors: metadata.authors.clone(),
        repository: metadata.repository.as_deref(),
        homepage: metadata.homepage.as_deref(),
    });
    let draft = draft
        .and_then(checked)
        .map_err(|why| ArchiveError::bad("metadata", why))?;
    let (draft, left_out) = taken(draft, metadata.requires_dist.iter().map(pypi_need));
    let readme = metadata
        .description
        .map(|text| text.bytes)
        .or(readme.map(|readme| readme.bytes));
    let files = vec![FoundFile::at(
        path,
        None,
        Some(metadata_file),
        published_at,
    )?];
    Ok(ArchivedRelease {
        draft,
        left_out,
        files,
        readme,
        native: None,
    })
}

/// Returns the draft with its dependencies, and those that it cannot express.
fn taken(
    draft: Draft,
    needs: impl Iterator<Item = Result<Dependency, String>>,
) -> (Draft, Vec<String>) {
    let mut unsaid = Vec::new();
    let needs = needs
        .filter_map(|need| need.map_err(|why| unsaid.push(why)).ok())
        .collect();
    let (draft, mut left_out) = with_dependencies(draft, needs);
    left_out.extend(unsaid);
    (draft, left_out)
}

/// Converts a dependency. Development dependencies concern the author only.
fn npm_need(need: &npm::NpmDependency) -> Option<Result<Dependency, String>> {
    let kind = match need.kind {
        npm::NpmDependencyKind::Normal => DependencyKind::Runtime,
        npm::NpmDependencyKind::Peer => DependencyKind::Peer,
        npm::NpmDependencyKind::Optional => DependencyKind::Optional,
        npm::NpmDependencyKind::Dev => return None,
    };
    // An alias: the requirement names another package, followed by its range.
    let alias = need.requirement.strip_prefix("npm:").map(|other| {
        let at = other.rfind('@').filter(|at| *at > 0);
        at.and_then(|at| other.split_at_checked(at))
            .map_or((other, ""), |(name, range)| {
                (name, range.trim_start_matches('@'))
            })
    });
    let (name, range) = alias.unwrap_or((&need.name, &need.requirement));
    let range = if range.is_empty() { "*" } else { range };
    let shown = || fit(&printable(&need.name), 80);
    if Ecosystem::Npm.requirement(range).is_err() {
        return Some(Err(format!(
            "{}: {} is not a version range",
            shown(),
            fit(&printable(range), 80)
        )));
    }
    let bare = name
        .parse()
        .and_then(|name| Ok(Dependency::bare(name, range.parse()?)));
    let bare = bare.map_err(|error: NameError| format!("{}: {error}", shown()));
    Some(bare.map(|bare| Dependency {
        kind,
        optional: need.optional,
        ..bare
    }))
}

fn pypi_need(need: &pypi::RequiresDist) -> Result<Dependency, String> {
    let shown = || fit(&printable(&need.text), 80);
    let Some(parsed) = &need.dependency else {
        return Err(format!("{}: it is not a PEP 508 dependency", shown()));
    };
    let requirement = match &parsed.wanted {
        VersionsOrUrl::Versions(versions) if versions.is_empty() => "*",
        VersionsOrUrl::Versions(versions) => versions,
        VersionsOrUrl::Url(_) => return Err(format!("{}: it is a file at a URL", shown())),
    };
    let bare = parsed
        .name
        .parse()
        .and_then(|name| Ok(Dependency::bare(name, requirement.parse()?)));
    let bare = bare.map_err(|error: NameError| format!("{}: {error}", shown()))?;
    let marker = parsed.marker.as_ref();
    Ok(Dependency {
        optional: marker.is_some_and(Marker::asks_for_extra),
        extras: parsed.extras.clone(),
        marker: marker.map(|marker| marker.as_str().to_owned()),
        ..bare
    })
}

fn of_deb(path: &Path, now: Timestamp) -> Result<ArchivedRelease, ArchiveError> {
    let found = deb::read(path)?;
    let stanza = Stanza::of(found.control.as_bytes())
        .map_err(|why| ArchiveError::bad("control file", why))?;
    let published_at = archives::claimed(found.published_at, 0, now);
    let readme = found
        .readme
        .map(|readme| readme.bytes)
        .or_else(|| stanza.details.map(String::into_bytes));
    let files = vec![FoundFile::at(
        path,
        None,
        Some(found.control.into_bytes()),
        published_at,
    )?];
    Ok(ArchivedRelease {
        draft: stanza.draft,
        left_out: stanza.left_out,
        files,
        readme,
        native: None,
    })
}

impl FoundFile {
    /// Reads the file again to compute its root.
    fn at(
        path: &Path,
        name: Option<String>,
        native: Option<Vec<u8>>,
        published_at: Option<Timestamp>,
    ) -> Result<Self, ArchiveError> {
        let name = name
            .unwrap_or_else(|| printable(&path.file_name().unwrap_or_default().to_string_lossy()));
        check_file(&name).map_err(|why| ArchiveError::OtherFormat(format!("name {why}")))?;
        let mut hasher = blake3::Hasher::new();
        hasher.update_reader(archives::open(path)?)?;
        let content = Content {
            root: ContentRoot::from(hasher.finalize()),
            size: hasher.count(),
        };
        Ok(Self {
            path: path.to_owned(),
            name,
            content,
            native,
            published_at,
        })
    }
}

/// Returns the package and version: the same for files that belong together.
pub fn key(draft: &Draft) -> (Option<PackageName>, String) {
    (draft.package().ok(), draft.version.key(&draft.ecosystem))
}

impl ArchivedRelease {
    /// Ranks a release's draft and readme: those of a wheel are best, since the author's tools made
    /// it from the source distribution, whose metadata may be incomplete.
    fn rank(&self) -> (bool, &str) {
        let name = self
            .files
            .first()
            .map(|file| file.name.as_str())
            .unwrap_or_default();
        (!name.ends_with(".whl"), name)
    }
}

/// Joins releases of one version of one package, in whatever order. If two files conflict, because
/// they have one name or because a release of the ecosystem has a single file, the one with the
/// first path stays.
pub fn grouped(mut found: Vec<ArchivedRelease>) -> (Vec<ArchivedRelease>, Vec<ConflictingFile>) {
    let first_path =
        |release: &ArchivedRelease| release.files.first().map(|file| file.path.clone());
    found.sort_by_cached_key(first_path);
    let mut groups: BTreeMap<_, Vec<ArchivedRelease>> = BTreeMap::new();
    let mut refused = Vec::new();
    for release in found {
        let group = groups.entry(key(&release.draft)).or_default();
        let has = |name: &str| {
            group
                .iter()
                .flat_map(|other| &other.files)
                .any(|file| file.name == name)
        };
        let is_full = !group.is_empty() && !release.draft.ecosystem.grows();
        if is_full || release.files.iter().any(|file| has(&file.name)) {
            let ArchivedRelease { draft, files, .. } = release;
            let refuse = |file: FoundFile| ConflictingFile {
                path: file.path,
                draft: draft.clone(),
                why: ArchiveError::Duplicate,
            };
            refused.extend(files.into_iter().map(refuse));
        } else {
            group.push(release);
        }
    }
    (groups.into_values().filter_map(joined).collect(), refused)
}

fn joined(mut group: Vec<ArchivedRelease>) -> Option<ArchivedRelease> {
    group.sort_by(|a, b| a.rank().cmp(&b.rank()));
    let mut releases = group.into_iter();
    let mut release = releases.next()?;
    for other in releases {
        release.files.extend(other.files);
        release.readme = release.readme.or(other.readme);
        release.native = release.native.or(other.native);
    }
    release.files.sort_by(|a, b| a.name.cmp(&b.name));
    Some(release)
}

#[cfg(test)]
mod tests;
