//! What the demo publishes: real crates, read from archives that are already on this machine, or
//! from facts about some hundred of them that come with the program.

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

/// Most archives that are read: hours of publishing at a human pace, and a second or two of
/// reading.
pub const MAX_ENTRIES: usize = 1_000;

/// Where packages come from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Source {
    /// The archives in the local cargo cache; the embedded facts when there are none.
    #[default]
    Cache,
    /// The facts that come with the program.
    Embedded,
    /// A directory of `.crate` archives.
    Directory(PathBuf),
}

impl FromStr for Source {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(match text {
            "cache" => Self::Cache,
            "embedded" => Self::Embedded,
            path => Self::Directory(path.into()),
        })
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cache => f.write_str("cache"),
            Self::Embedded => f.write_str("embedded"),
            Self::Directory(path) => path.display().fmt(f),
        }
    }
}

/// One release that can be published: its draft is valid as it is, without a handle, and names what
/// it needs by its bare name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Which of its publisher's packages it is.
    pub package: PackageName,
    pub draft: Draft,
    pub content: Content,
    /// The archive; `None` for one that is not on this machine.
    pub path: Option<PathBuf>,
    /// The person's project needs it, so that it comes before the others.
    pub needed: bool,
}

impl Entry {
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

    /// Puts the bytes of the release on a node: those of the archive, or as many that stand for it.
    ///
    /// # Errors
    /// When the archive is not what it was, or the node cannot take it.
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

    /// The draft as `handle` publishes it, with a few of its dependencies by key. Those on packages
    /// that nobody publishes (`owner` knows none) are left out: a reference that leads nowhere
    /// helps nobody.
    pub fn draft_by(
        &self,
        handle: Handle,
        owner: impl Fn(&PackageName) -> Option<(PublisherId, Handle)>,
    ) -> Draft {
        /// There is room for as many keys in a manifest.
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

/// The crates that a project's lock file has, by the names of their archives.
#[derive(Clone, Debug, Default)]
pub struct Needs(BTreeSet<String>);

impl Needs {
    /// Those of `Cargo.lock` in a directory; none where there is no such file, or it is none.
    pub fn of(dir: &Path) -> Self {
        #[derive(Default, serde::Deserialize)]
        struct Lock {
            #[serde(default)]
            package: Vec<Locked>,
        }
        #[derive(serde::Deserialize)]
        struct Locked {
            name: String,
            version: String,
        }
        let text = std::fs::read_to_string(dir.join("Cargo.lock")).unwrap_or_default();
        let Lock { package } = toml::from_str(&text).unwrap_or_default();
        Self(
            package
                .iter()
                .map(|Locked { name, version }| format!("{name}-{version}.crate"))
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

/// An archive that was not taken, and why.
#[derive(Debug)]
pub struct Skipped {
    pub path: PathBuf,
    pub why: ArchiveError,
}

/// Packages to publish, by name and then version, each once.
#[derive(Debug)]
pub struct Catalogue {
    /// Where they came from in the end.
    pub source: Source,
    pub entries: Vec<Entry>,
    pub skipped: Vec<Skipped>,
}

impl Catalogue {
    /// Reads and hashes archives, so it blocks for up to a few seconds. Archives that cannot be
    /// used are skipped; a directory that has none that can is an error, an empty cache is not.
    pub fn load(source: &Source, needs: &Needs) -> Result<Self> {
        match source {
            Source::Embedded => Self::embedded(),
            Source::Directory(dir) => {
                let archives = archives_in(dir).map_err(RegistryError::file(dir, "read"))?;
                let catalogue = Self::read(source.clone(), archives, needs);
                if catalogue.entries.is_empty() {
                    return Err(RegistryError::Usage(nothing_in(dir, &catalogue.skipped)));
                }
                Ok(catalogue)
            }
            Source::Cache => {
                let archives = cargo_home()
                    .map(|home| cached_archives(&home))
                    .unwrap_or_default();
                let catalogue = Self::read(Source::Cache, archives, needs);
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
            source: Source::Embedded,
            entries,
            skipped: Vec::new(),
        })
    }

    fn read(source: Source, mut archives: Vec<PathBuf>, needs: &Needs) -> Self {
        // By file name: the same crates come first on every machine that has them, whatever the
        // registry's directory.
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
            match crates::read(&path).and_then(|file| Entry::of(file, path.clone(), needed)) {
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

/// By name and then version.
fn sort(entries: &mut [Entry]) {
    entries.sort_by_cached_key(|entry| {
        (
            entry.package.clone(),
            entry.draft.version.read(&entry.draft.ecosystem).ok(),
        )
    });
}

/// Bytes of the size of an archive that is not here. They say so.
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
            "none of the {} .crate files in {dir} can be published ({}: {why}); give --catalogue another directory, or embedded",
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

/// The archives of every registry's directory in the cache; a directory that cannot be read has
/// none.
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
