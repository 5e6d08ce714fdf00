//! The lock file: the resolved releases with the hash of each manifest, so that everybody who has
//! it gets the same bytes.
//!
//! It is TOML with one entry for each package, sorted by id, so a change of one release changes one
//! entry. A person may read it and resolve a merge in it; an inconsistent file is refused with the
//! entry and a remedy. Packages are locked by key, so it does not matter what a handle means on
//! another node.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, fs,
    path::Path,
};

mod entries;

use entries::{FormatOnly, LockText, PackageEntry, WantedEntry};

use super::{MAX_PACKAGES, Resolution};
use crate::{
    RegistryError, disk,
    domain::{
        hash::{Hash, Sha256Digest},
        manifest::{Content, Dependency, DependencyKind, DependencyOn, File, Manifest},
        name::{Handle, Owner, PackageId, PackageRef},
        text,
        toml::in_toml,
        version::{RequirementText, VersionText},
    },
    registry::{self, ReleaseFile},
};

/// The name of the file.
pub const FILE: &str = "swarmdex.lock";
/// The format that this version writes, and the only one that it reads.
pub const FORMAT: u32 = 2;
/// Largest lock file read, in bytes: enough for the most packages with the most dependencies.
const MAX_BYTES: u64 = 16 << 20;

const HEADER: &str = "\
# Written by Swarmdex: the releases that were resolved, and the hashes they must have.
# Keep it with your project. To change something, ask for it and resolve again.
";

/// A problem with a lock file, as the end of a sentence that begins with the file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct LockError(String);

impl LockError {
    /// Returns the library's error for the lock file at a path.
    pub fn at(self, path: &Path) -> RegistryError {
        RegistryError::Lock {
            path: path.to_owned(),
            why: self.0,
        }
    }
}

/// A top-level requirement and the package that it means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockedRequirement {
    /// The package as written, without a requirement.
    pub package: PackageRef,
    pub requirement: RequirementText,
    pub id: PackageId,
}

/// A locked release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockedRelease {
    pub id: PackageId,
    /// The publisher's handle, for display only; it is never looked up.
    pub handle: Option<Handle>,
    pub version: VersionText,
    /// The first manifest, which describes the release.
    pub manifest: Hash,
    /// The files at the time, in the order in which they were added. Later ones are not used.
    pub files: Vec<LockedFile>,
    /// Sorted by package.
    pub dependencies: Vec<(PackageId, VersionText)>,
}

/// A file with the digests that it must have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockedFile {
    pub name: String,
    pub content: Content,
    pub sha256: Sha256Digest,
}

impl From<&File> for LockedFile {
    fn from(file: &File) -> Self {
        Self {
            name: file.name.clone(),
            content: file.content(),
            sha256: file.sha256,
        }
    }
}

impl LockedRelease {
    /// Returns true if it has this very file.
    pub fn has(&self, file: &File) -> bool {
        self.files.contains(&LockedFile::from(file))
    }
}

/// A consistent lock: each package once, with everything it needs, and nothing unneeded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LockFile {
    wanted: Vec<LockedRequirement>,
    packages: BTreeMap<PackageId, LockedRelease>,
}

impl LockFile {
    /// Creates the lock of a resolution, for the same `wanted` list from which it was resolved.
    pub fn of(resolution: &Resolution, wanted: &[(PackageRef, RequirementText)]) -> Self {
        let versions: BTreeMap<_, _> = resolution
            .releases
            .iter()
            .map(|release| (&release.package, &release.version))
            .collect();
        let locked = |release: &super::Resolved| LockedRelease {
            id: release.package.clone(),
            handle: release.handle.clone(),
            version: release.version.clone(),
            manifest: release.manifest_hash,
            files: release
                .manifest
                .files
                .iter()
                .map(LockedFile::from)
                .collect(),
            dependencies: release
                .needs
                .iter()
                .filter_map(|needed| Some((needed.clone(), (*versions.get(needed)?).clone())))
                .collect(),
        };
        let packages = resolution
            .releases
            .iter()
            .map(|release| (release.package.clone(), locked(release)))
            .collect();
        let wanted = wanted
            .iter()
            .zip(&resolution.root)
            .map(|((package, requirement), id)| {
                // Two conflicting requirements of one package were already refused.
                let wish = (package.clone(), requirement.clone());
                let (package, requirement) =
                    super::universe::with_inner(wish.clone()).unwrap_or(wish);
                LockedRequirement {
                    package,
                    requirement,
                    id: id.clone(),
                }
            });
        Self {
            wanted: wanted.collect(),
            packages,
        }
    }

    /// Locks the current files of a release, from all its manifests.
    pub fn lock_files(&mut self, package: &PackageId, files: &[ReleaseFile]) {
        if let Some(locked) = self.packages.get_mut(package) {
            locked.files = files
                .iter()
                .map(|one| LockedFile::from(&one.file))
                .collect();
        }
    }

    /// Returns the top-level requirements, in their original order.
    pub fn wanted(&self) -> &[LockedRequirement] {
        &self.wanted
    }

    /// Returns every release, sorted by id.
    pub fn packages(&self) -> impl Iterator<Item = &LockedRelease> {
        self.packages.values()
    }

    pub fn get(&self, package: &PackageId) -> Option<&LockedRelease> {
        self.packages.get(package)
    }

    /// Returns a release that needs a package, with its version; `None` if the package is wanted at
    /// the top level.
    pub fn who_needs(&self, package: &PackageId) -> Option<String> {
        if self.wanted.iter().any(|wanted| wanted.id == *package) {
            return None;
        }
        let needs = |locked: &&LockedRelease| {
            locked
                .dependencies
                .iter()
                .any(|(needed, _)| needed == package)
        };
        let needs = self.packages.values().find(needs)?;
        Some(format!(
            "{} {}",
            registry::claimed(&needs.id, needs.handle.as_ref()),
            needs.version
        ))
    }

    /// Returns true if this lock was made for exactly these requirements.
    pub fn answers(&self, wanted: &[(PackageRef, RequirementText)]) -> bool {
        let locked = self
            .wanted
            .iter()
            .map(|wanted| (wanted.package.clone(), wanted.requirement.clone()));
        wanted
            .iter()
            .cloned()
            .map(|wish| super::universe::with_inner(wish).ok())
            .eq(locked.map(Some))
    }

    /// Returns every release after those it needs, as in [`Resolution::releases`].
    pub fn dependencies_first(&self) -> Vec<&LockedRelease> {
        let needs = self.packages.values().map(|locked| {
            (
                locked.id.clone(),
                locked
                    .dependencies
                    .iter()
                    .map(|(needed, _)| needed.clone())
                    .collect(),
            )
        });
        let order = super::order::dependencies_first(&needs.collect());
        order
            .iter()
            .filter_map(|id| self.packages.get(id))
            .collect()
    }

    /// Returns the file's text.
    pub fn to_text(&self) -> String {
        let file = LockText {
            format: FORMAT,
            wanted: self.wanted.iter().map(WantedEntry::from).collect(),
            package: self.packages.values().map(PackageEntry::from).collect(),
        };
        // Strings, numbers and lists of strings only, so serialisation cannot fail.
        format!(
            "{HEADER}{}",
            toml::to_string_pretty(&file).unwrap_or_default()
        )
    }

    /// Parses a lock file.
    ///
    /// # Errors
    /// The text is not TOML, has another format, or is inconsistent. The error names the line or
    /// the entry.
    pub fn from_text(text: &str) -> Result<Self, LockError> {
        let broken = |error: toml::de::Error| {
            let start = error.span().map_or(0, |span| span.start);
            let line = 1 + text
                .bytes()
                .take(start)
                .filter(|byte| *byte == b'\n')
                .count();
            LockError(format!(
                "is broken at line {line}: {}; correct it, or delete the file and resolve again",
                in_toml(error.message())
            ))
        };
        match toml::from_str::<FormatOnly>(text).map_err(broken)?.format {
            Some(format) if format == i64::from(FORMAT) => {}
            Some(format) => {
                return Err(LockError(format!(
                    "has format {format}, but this Swarmdex knows format {FORMAT}; use the \
                    version that wrote it, or delete the file and resolve again"
                )));
            }
            None => {
                return Err(LockError(
                    "has no format number; delete the file and resolve again".to_owned(),
                ));
            }
        }
        let file: LockText = toml::from_str(text).map_err(broken)?;
        if file.package.len() > MAX_PACKAGES {
            return Err(unfit(format!(
                "has {} packages, but at most {MAX_PACKAGES} are allowed",
                file.package.len()
            )));
        }
        let wanted = file.wanted.iter().enumerate().map(|(index, entry)| {
            entry.read().map_err(|why| {
                unfit(format!(
                    "has an invalid [[wanted]], number {}: {why}",
                    index + 1
                ))
            })
        });
        let wanted = wanted.collect::<Result<Vec<_>, _>>()?;
        let mut packages = BTreeMap::new();
        for (index, entry) in file.package.iter().enumerate() {
            let what = || text::fit(&text::printable(&entry.id), 90);
            let locked = entry.read().map_err(|why| {
                unfit(format!(
                    "has an invalid [[package]], number {}, {}: {why}",
                    index + 1,
                    what()
                ))
            })?;
            if packages.insert(locked.id.clone(), locked).is_some() {
                return Err(unfit(format!("has two entries for {}", what())));
            }
        }
        let lock = Self { wanted, packages };
        lock.fits().map_err(unfit)?;
        Ok(lock)
    }

    /// Reads a lock file.
    ///
    /// # Errors
    /// The file cannot be read, or as for [`LockFile::from_text`].
    pub fn read(path: &Path) -> crate::Result<Self> {
        let reading = RegistryError::file(path, "read");
        let text = match fs::metadata(path) {
            Ok(file) if file.len() > MAX_BYTES => {
                let why = format!(
                    "has {} bytes, but at most {MAX_BYTES} are allowed; delete it and resolve \
                    again",
                    file.len()
                );
                return Err(LockError(why).at(path));
            }
            Ok(_) => fs::read_to_string(path).map_err(reading)?,
            Err(error) => return Err(reading(error)),
        };
        Self::from_text(&text).map_err(|error| error.at(path))
    }

    /// Replaces the file atomically. Blocks.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(&self, path: &Path) -> crate::Result<()> {
        disk::replace(path, self.to_text().as_bytes()).map_err(RegistryError::file(path, "written"))
    }

    /// Checks that the registry's release of a package is the locked one. Call it before fetching
    /// anything.
    ///
    /// # Errors
    /// The package is not locked, the release differs, or the lock was edited by hand.
    pub fn check(
        &self,
        package: &PackageId,
        hash: &Hash,
        manifest: &Manifest,
        files: &[ReleaseFile],
    ) -> Result<(), LockError> {
        let locked = self
            .get(package)
            .ok_or_else(|| unfit(format!("has no entry for {package}")))?;
        let differs = |what: &str, has: &dyn fmt::Display, locked_as: &dyn fmt::Display| {
            Err(LockError(format!(
                "and the registry differ about {package} {}: {what} is {has} there and \
                {locked_as} in the lock; a release never changes, so find out which one is right \
                before you resolve again",
                locked.version
            )))
        };
        // If there are several manifests, this node may have seen another one first.
        if *hash != locked.manifest && files.iter().all(|one| one.manifest != locked.manifest) {
            return differs("the manifest", hash, &locked.manifest);
        }
        match manifest.package() {
            Ok(of) if of == *package => {}
            Ok(of) => return differs("the package", &of, package),
            Err(error) => return differs("the package", &error, package),
        }
        if manifest.version.key(package.name.ecosystem())
            != locked.version.key(package.name.ecosystem())
        {
            return differs("the version", &manifest.version, &locked.version);
        }
        for LockedFile {
            name,
            content,
            sha256,
        } in &locked.files
        {
            let Some(ReleaseFile { file, .. }) = files.iter().find(|one| one.file.name == *name)
            else {
                return differs("the file", &"missing", name);
            };
            if file.root != content.root {
                return differs("the content", &file.root, &content.root);
            }
            if file.size != content.size {
                return differs("the size", &file.size, &content.size);
            }
            if file.sha256 != *sha256 {
                return differs("the SHA-256", &file.sha256, sha256);
            }
        }
        for dependency in manifest
            .dependencies
            .iter()
            .filter(|dependency| is_always_needed(dependency))
        {
            let Some(needed) = dependency.id_for_owner(package.owner, &manifest.ecosystem) else {
                let given = text::fit(&text::printable(dependency.written()), 60);
                return Err(unfit(format!(
                    "has {package} {}, which needs \"{given}\", which names no package by its key",
                    locked.version
                )));
            };
            // The owner of a bare name was decided during resolution.
            let is_bare = matches!(dependency.on, DependencyOn::Bare(_));
            let is_it = |id: &PackageId| *id == needed || is_bare && id.name == needed.name;
            let met = |(id, version): (&PackageId, &VersionText)| {
                is_it(id) && takes(&needed, &dependency.requirement, version)
            };
            let mut had = locked
                .dependencies
                .iter()
                .map(|(id, version)| (id, version))
                .chain([(package, &locked.version)]);
            if !had.any(met) {
                return Err(unfit(format!(
                    "has no dependency of {package} {} that is {} {}, which its manifest needs",
                    locked.version,
                    text::printable(dependency.written()),
                    dependency.requirement
                )));
            }
        }
        Ok(())
    }

    /// Checks consistency.
    fn fits(&self) -> Result<(), String> {
        for wanted in &self.wanted {
            let LockedRequirement {
                package,
                requirement,
                id,
            } = wanted;
            let meant =
                matches!(package.owner, Owner::Publisher(publisher) if publisher != id.owner);
            let named = package.name.within(id.name.ecosystem());
            if meant || named.as_ref() != Ok(&id.name) {
                return Err(format!("says that {package} is {id}, which is impossible"));
            }
            match self.packages.get(id) {
                None => return Err(format!("lacks the package {id}, which was asked for")),
                Some(locked) if !takes(id, requirement, &locked.version) => {
                    return Err(format!(
                        "has {id} {}, where {requirement} was asked for",
                        locked.version
                    ));
                }
                Some(_) => {}
            }
        }
        for locked in self.packages.values() {
            for (needed, version) in &locked.dependencies {
                match self.packages.get(needed) {
                    None => {
                        return Err(format!(
                            "lacks the package {needed} {version}, which {} needs",
                            locked.id
                        ));
                    }
                    Some(other) if other.version != *version => {
                        return Err(format!(
                            "has {needed} {}, where {} needs {needed} {version}",
                            other.version, locked.id
                        ));
                    }
                    Some(_) => {}
                }
            }
        }
        let mut needed = BTreeSet::new();
        let mut open: Vec<_> = self.wanted.iter().map(|wanted| &wanted.id).collect();
        while let Some(id) = open.pop() {
            if needed.insert(id) {
                open.extend(
                    self.packages
                        .get(id)
                        .into_iter()
                        .flat_map(|locked| locked.dependencies.iter().map(|(id, _)| id)),
                );
            }
        }
        match self.packages.keys().find(|id| !needed.contains(id)) {
            Some(id) => Err(format!("has the package {id}, which nothing needs")),
            None => Ok(()),
        }
    }
}

/// Returns true if it is needed on every machine.
fn is_always_needed(dependency: &Dependency) -> bool {
    let Dependency {
        optional,
        kind,
        under,
        marker,
        platform,
        ..
    } = dependency;
    !optional
        && *kind == DependencyKind::Runtime
        && under.is_none()
        && marker.is_none()
        && platform.is_none()
}

/// Returns true if the requirement may admit the version, even a pre-release that was named
/// elsewhere.
fn takes(package: &PackageId, requirement: &RequirementText, version: &VersionText) -> bool {
    let ecosystem = package.name.ecosystem();
    match (requirement.read(ecosystem), version.read(ecosystem)) {
        (Ok(requirement), Ok(version)) => requirement.includes(&version),
        _ => false,
    }
}

fn unfit(why: String) -> LockError {
    LockError(format!(
        "{why}; undo the change, or delete the file and resolve again"
    ))
}

#[cfg(test)]
mod tests;
