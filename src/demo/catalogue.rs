//! Packages that the demo publishes: real crates from archives on this machine, or from embedded
//! facts about a few hundred crates.

mod facts;
#[cfg(test)]
mod tests;

pub use crate::archive::ArchiveError;

use std::{
    collections::BTreeSet,
    convert::Infallible,
    fmt,
    path::{Path, PathBuf},
    str::FromStr,
};

use crate::{
    RegistryError, Result,
    archive::{
        crates::{self, CrateFile},
        release,
    },
    clock,
    domain::{
        manifest::{Dependency, DependencyKind, DependencyOn, Draft},
        name::{Handle, PackageName, PublisherId},
    },
    prepare,
    registry::{Artifacts, Content, Contents},
};

/// Most archives read: hours of publishing at a human pace, and a second or two of reading.
pub const MAX_ENTRIES: usize = 1_000;

/// The source of packages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum CatalogueSource {
    /// Archives in the local cargo cache, or the embedded facts if there are none.
    #[default]
    Cache,
    /// The embedded facts.
    Embedded,
    /// A directory of `.crate` archives.
    Directory(PathBuf),
}

impl FromStr for CatalogueSource {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(match text {
            "cache" => Self::Cache,
            "embedded" => Self::Embedded,
            path => Self::Directory(path.into()),
        })
    }
}

impl fmt::Display for CatalogueSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cache => f.write_str("cache"),
            Self::Embedded => f.write_str("embedded"),
            Self::Directory(path) => path.display().fmt(f),
        }
    }
}

/// A release to publish. Its draft is valid as it is, has no handle, and names dependencies without
/// an owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CatalogueEntry {
    /// The package in its publisher's namespace.
    pub package: PackageName,
    pub draft: Draft,
    pub content: Content,
    /// The archive; `None` if it is not on this machine.
    pub path: Option<PathBuf>,
    /// The user's project needs it, so that it is published before others.
    pub needed: bool,
}

impl CatalogueEntry {
    fn of(file: CrateFile, path: PathBuf, needed: bool) -> Result<Self, ArchiveError> {
        let package = file.draft.package().map_err(|error| ArchiveError::Bad {
            what: "Cargo.toml",
            why: error.to_string(),
        })?;
        Ok(Self {
            package,
            draft: file.draft,
            content: file.content,
            path: Some(path),
            needed,
        })
    }

    /// Stores the bytes of the release on a node: the archive, or a stand-in of the same size.
    ///
    /// # Errors
    /// The archive has changed, or the node cannot store it.
    pub async fn put(&self, contents: &dyn Contents) -> Result<Artifacts> {
        let Some(path) = self.path.clone() else {
            let bytes = std::io::Cursor::new(stand_in(&self.draft, self.content.size));
            return contents.put(Box::pin(bytes)).await.map(Artifacts::from);
        };
        let read = tokio::task::spawn_blocking(move || {
            let release =
                crates::read(&path).and_then(|found| release::of_crate(found, &path, clock::now()));
            prepare::release(release.map_err(|why| RegistryError::Usage(why.to_string()))?)
        });
        let read = read.await.map_err(|error| RegistryError::Internal {
            what: "reading a crate",
            why: error.to_string(),
        });
        let prepared = read??;
        prepared
            .put(contents, |_| {})
            .await
            .map(|(_, artifacts)| artifacts)
    }

    /// Returns the draft under `handle`, with a few dependencies resolved to keys. Dependencies
    /// without an `owner` in the demo are dropped, because they would lead nowhere.
    pub fn draft_by(
        &self,
        handle: Handle,
        owner: impl Fn(&PackageName) -> Option<(PublisherId, Handle)>,
    ) -> Draft {
        /// A manifest has room for this many keys.
        const MOST: usize = 24;
        let dependency = |need: &Dependency| {
            let DependencyOn::Bare(name) = &need.on else {
                return None;
            };
            let name = PackageName::of(&self.draft.ecosystem, name).ok()?;
            let (publisher, handle) = owner(&name)?;
            let on = DependencyOn::Package {
                package: format!("{publisher}/{name}"),
                handle: Some(handle),
            };
            Some(Dependency {
                requirement: need.requirement.clone(),
                optional: need.optional,
                ..on.into()
            })
        };
        let always =
            |need: &&Dependency| need.kind == DependencyKind::Runtime && need.platform.is_none();
        Draft {
            handle: Some(handle),
            dependencies: self
                .draft
                .dependencies
                .iter()
                .filter(always)
                .filter_map(dependency)
                .take(MOST)
                .collect(),
            ..self.draft.clone()
        }
    }
}

/// The crates in a project's lock file, by the names of their archives.
#[derive(Clone, Debug, Default)]
pub struct Needs(BTreeSet<String>);

impl Needs {
    /// Reads `Cargo.lock` in a directory; returns an empty set if there is no valid one.
    pub fn of(dir: &Path) -> Self {
        #[derive(Default, serde::Deserialize)]
        struct CargoLockFile {
            #[serde(default)]
            package: Vec<LockedCrate>,
        }
        #[derive(serde::Deserialize)]
        struct LockedCrate {
            name: String,
            version: String,
        }
        let text = std::fs::read_to_string(dir.join("Cargo.lock")).unwrap_or_default();
        let CargoLockFile { package } = toml::from_str(&text).unwrap_or_default();
        Self(
            package
                .iter()
                .map(|LockedCrate { name, version }| format!("{name}-{version}.crate"))
                .collect(),
        )
    }

    fn has(&self, archive: &Path) -> bool {
        archive
            .file_name()
            .and_then(|name| name.to_str())
            .is_some_and(|name| self.0.contains(name))
    }
}

/// An archive that was skipped, and the reason.
#[derive(Debug)]
pub struct Skipped {
    pub path: PathBuf,
    pub why: ArchiveError,
}

/// The packages to publish, sorted by name and version, without duplicates.
#[derive(Debug)]
pub struct DemoCatalogue {
    /// The source that was used in the end.
    pub source: CatalogueSource,
    pub entries: Vec<CatalogueEntry>,
    pub skipped: Vec<Skipped>,
}

impl DemoCatalogue {
    /// Reads and hashes archives, which blocks for up to a few seconds. Unusable archives are
    /// skipped. A directory without usable archives is an error, an empty cache is not.
    pub fn load(source: &CatalogueSource, needs: &Needs) -> Result<Self> {
        match source {
            CatalogueSource::Embedded => Self::embedded(),
            CatalogueSource::Directory(dir) => {
                let archives = archives_in(dir).map_err(RegistryError::file(dir, "read"))?;
                let catalogue = Self::read(source.clone(), archives, needs);
                if catalogue.entries.is_empty() {
                    return Err(RegistryError::Usage(nothing_in(dir, &catalogue.skipped)));
                }
                Ok(catalogue)
            }
            CatalogueSource::Cache => {
                let archives = cargo_home()
                    .map(|home| cached_archives(&home))
                    .unwrap_or_default();
                let catalogue = Self::read(CatalogueSource::Cache, archives, needs);
                if catalogue.entries.is_empty() {
                    Self::embedded()
                } else {
                    Ok(catalogue)
                }
            }
        }
    }

    fn embedded() -> Result<Self> {
        let mut entries = facts::embedded()?;
        sort(&mut entries);
        Ok(Self {
            source: CatalogueSource::Embedded,
            entries,
            skipped: Vec::new(),
        })
    }

    fn read(source: CatalogueSource, mut archives: Vec<PathBuf>, needs: &Needs) -> Self {
        // Sort by file name, so that all machines with the same crates use them in the same order,
        // whatever the directory of the registry.
        archives.sort_by(|a, b| a.file_name().cmp(&b.file_name()).then_with(|| a.cmp(b)));
        let step = archives.len().div_ceil(MAX_ENTRIES).max(1);
        let mut catalogue = Self {
            source,
            entries: Vec::new(),
            skipped: Vec::new(),
        };
        let mut seen = BTreeSet::new();
        for (nth, path) in archives.into_iter().enumerate() {
            let needed = needs.has(&path);
            if !needed && nth % step != 0 {
                continue;
            }
            match crates::read(&path)
                .and_then(|file| CatalogueEntry::of(file, path.clone(), needed))
            {
                Ok(entry)
                    if seen.insert((
                        entry.package.clone(),
                        entry.draft.version.key(&entry.draft.ecosystem),
                    )) =>
                {
                    catalogue.entries.push(entry);
                }
                Ok(_) => catalogue.skipped.push(Skipped {
                    path,
                    why: ArchiveError::Duplicate,
                }),
                Err(why) => catalogue.skipped.push(Skipped { path, why }),
            }
        }
        sort(&mut catalogue.entries);
        catalogue
    }
}

/// Sorts by name, then by version.
fn sort(entries: &mut [CatalogueEntry]) {
    entries.sort_by_cached_key(|entry| {
        (
            entry.package.clone(),
            entry.draft.version.read(&entry.draft.ecosystem).ok(),
        )
    });
}

/// Returns a stand-in of the size of a missing archive, with a text that says so.
fn stand_in(draft: &Draft, size: u64) -> Vec<u8> {
    let text = format!(
        "These bytes stand for the archive of {} {}, which is not on this machine.\n",
        draft.name, draft.version
    );
    let mut bytes = text.into_bytes();
    let begun = bytes.len();
    bytes.resize(usize::try_from(size).unwrap_or(usize::MAX).max(begun), 0);
    let mut filler = blake3::Hasher::new_derive_key("swarmdex demo stand-in, format 1");
    filler.update(bytes.get(..begun).unwrap_or_default());
    filler
        .finalize_xof()
        .fill(bytes.get_mut(begun..).unwrap_or_default());
    bytes
}

fn nothing_in(dir: &Path, skipped: &[Skipped]) -> String {
    let dir = dir.display();
    match skipped.first() {
        Some(Skipped { path, why }) => format!(
            "none of the {} .crate files in {dir} can be published ({}: {why}); give --catalogue \
             another directory, or embedded",
            skipped.len(),
            path.file_name().unwrap_or_default().to_string_lossy(),
        ),
        None => format!(
            "there are no .crate files in {dir}; give --catalogue another directory, or embedded"
        ),
    }
}

fn cargo_home() -> Option<PathBuf> {
    let set = std::env::var_os("CARGO_HOME")
        .filter(|home| !home.is_empty())
        .map(PathBuf::from);
    set.or_else(|| etcetera::home_dir().ok().map(|home| home.join(".cargo")))
}

/// Returns the archives of every registry in the cache; unreadable directories are skipped.
fn cached_archives(cargo_home: &Path) -> Vec<PathBuf> {
    let Ok(registries) = std::fs::read_dir(cargo_home.join("registry").join("cache")) else {
        return Vec::new();
    };
    registries
        .flatten()
        .flat_map(|registry| archives_in(&registry.path()).unwrap_or_default())
        .collect()
}

fn archives_in(dir: &Path) -> std::io::Result<Vec<PathBuf>> {
    let files = std::fs::read_dir(dir)?.flatten().map(|file| file.path());
    Ok(files
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "crate")
        })
        .collect())
}
