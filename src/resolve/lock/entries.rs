//! The TOML entries of a lock file, and their conversion.

use std::{collections::BTreeSet, fmt};

use serde::{Deserialize, Serialize};

use super::{LockedFile, LockedRelease, LockedRequirement};
use crate::domain::{
    manifest::{Content, check_file},
    name::{Handle, PackageId, PackageRef},
    version::VersionText,
};

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LockText {
    pub(super) format: u32,
    #[serde(default)]
    pub(super) wanted: Vec<WantedEntry>,
    #[serde(default)]
    pub(super) package: Vec<PackageEntry>,
}

#[derive(Deserialize)]
pub(super) struct FormatOnly {
    pub(super) format: Option<i64>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WantedEntry {
    pub(super) package: String,
    requirement: String,
    id: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PackageEntry {
    pub(super) id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    handle: Option<String>,
    version: String,
    manifest: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    dependencies: Vec<String>,
    files: Vec<LockedFileEntry>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LockedFileEntry {
    name: String,
    content: String,
    size: u64,
    sha256: String,
}

impl From<&LockedRequirement> for WantedEntry {
    fn from(wanted: &LockedRequirement) -> Self {
        Self {
            package: wanted.package.to_string(),
            requirement: wanted.requirement.to_string(),
            id: wanted.id.to_string(),
        }
    }
}

impl From<&LockedRelease> for PackageEntry {
    fn from(locked: &LockedRelease) -> Self {
        Self {
            id: locked.id.to_string(),
            handle: locked.handle.as_ref().map(Handle::to_string),
            version: locked.version.to_string(),
            manifest: locked.manifest.to_string(),
            files: locked.files.iter().map(LockedFileEntry::from).collect(),
            dependencies: locked
                .dependencies
                .iter()
                .map(|(id, version)| format!("{id} {version}"))
                .collect(),
        }
    }
}

impl From<&LockedFile> for LockedFileEntry {
    fn from(
        LockedFile {
            name,
            content,
            sha256,
        }: &LockedFile,
    ) -> Self {
        Self {
            name: name.clone(),
            content: content.root.to_string(),
            size: content.size,
            sha256: sha256.to_string(),
        }
    }
}

impl LockedFileEntry {
    pub(super) fn read(&self) -> Result<LockedFile, String> {
        check_file(&self.name).map_err(|why| format!("files: {why}"))?;
        let content = Content {
            root: field("content", &self.content)?,
            size: self.size,
        };
        Ok(LockedFile {
            name: self.name.clone(),
            content,
            sha256: field("sha256", &self.sha256)?,
        })
    }
}

impl WantedEntry {
    pub(super) fn read(&self) -> Result<LockedRequirement, String> {
        let package: PackageRef = field("package", &self.package)?;
        if package.requirement.is_some() {
            return Err("package: put the requirement into the field requirement".to_owned());
        }
        Ok(LockedRequirement {
            package,
            requirement: field("requirement", &self.requirement)?,
            id: id_of("id", &self.id)?,
        })
    }
}

impl PackageEntry {
    pub(super) fn read(&self) -> Result<LockedRelease, String> {
        let files = self
            .files
            .iter()
            .map(LockedFileEntry::read)
            .collect::<Result<Vec<_>, _>>()?;
        let names: BTreeSet<_> = files.iter().map(|file| &file.name).collect();
        if names.len() != files.len() || files.is_empty() {
            return Err("files: there must be at least one, and each only once".to_owned());
        }
        let mut dependencies = Vec::with_capacity(self.dependencies.len());
        for dependency in &self.dependencies {
            let (id, version) = dependency.split_once(' ').ok_or(
                "dependencies: each is a package's id, a space and its version".to_owned(),
            )?;
            let id = id_of("dependencies", id)?;
            let version = version_of("dependencies", &id, version)?;
            dependencies.push((id, version));
        }
        dependencies.sort_by(|(a, _): &(PackageId, VersionText), (b, _)| a.cmp(b));
        if dependencies
            .windows(2)
            .any(|pair| matches!(pair, [(one, _), (other, _)] if one == other))
        {
            return Err("dependencies: a package is listed twice".to_owned());
        }
        let id = id_of("id", &self.id)?;
        Ok(LockedRelease {
            version: version_of("version", &id, &self.version)?,
            id,
            handle: self
                .handle
                .as_deref()
                .map(|handle| field("handle", handle))
                .transpose()?,
            manifest: field("manifest", &self.manifest)?,
            files,
            dependencies,
        })
    }
}

fn field<T: std::str::FromStr<Err: fmt::Display>>(name: &str, text: &str) -> Result<T, String> {
    text.parse().map_err(|why| format!("{name}: {why}"))
}

fn version_of(name: &str, id: &PackageId, text: &str) -> Result<VersionText, String> {
    let version: VersionText = field(name, text)?;
    version
        .read(id.name.ecosystem())
        .map_err(|why| format!("{name}: {why}"))?;
    Ok(version)
}

fn id_of(name: &str, text: &str) -> Result<PackageId, String> {
    field(name, text)
}
