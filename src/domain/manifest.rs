//! The signed description of a release, and the draft it comes from.

mod file_name;
pub mod limit;

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

pub(crate) use file_name::check_file;
pub use file_name::{DESCRIPTION, file_of};

pub use super::dependency::{Dependency, DependencyKind, DependencyOn};
use super::{
    hash::{ContentRoot, Digester, FileDigests, Sha1Digest, Sha256Digest, Sha512Digest},
    name::{Handle, NameError, PackageId, PackageName, PublisherId, WrittenName},
    record::{Ext, MAX_NUMBER},
    text::{is_joiner, printable, safe_or_not},
    time::Timestamp,
    version::VersionText,
};
pub use crate::ecosystem::Ecosystem;

/// Content, identified by its BLAKE3 root.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Content {
    /// The BLAKE3 root of the bytes.
    pub root: ContentRoot,
    /// Size in bytes.
    pub size: u64,
}

/// A file of a release.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    /// A name without a directory, unique in the version.
    pub name: String,
    /// BLAKE3 root of its bytes, by which they are fetched and verified.
    pub root: ContentRoot,
    /// Size in bytes.
    pub size: u64,
    /// SHA-256 of its bytes.
    pub sha256: Sha256Digest,
    /// SHA-512 of its bytes, in ecosystems that use it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha512: Option<Sha512Digest>,
    /// SHA-1 of its bytes, in ecosystems that use it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha1: Option<Sha1Digest>,
    /// The ecosystem's own data about this file, for its native client: `METADATA` of a wheel,
    /// `control` of a `.deb`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub native: Option<Content>,
    /// The publication time claimed by its upstream or archive. Nothing is ordered or aged by it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub published_at: Option<Timestamp>,
}

impl File {
    /// Returns the root and size.
    pub fn content(&self) -> Content {
        Content {
            root: self.root,
            size: self.size,
        }
    }

    /// Creates a file from bytes in memory.
    pub fn of(ecosystem: &Ecosystem, name: impl Into<String>, bytes: &[u8]) -> Self {
        let mut digester = Digester::of(ecosystem);
        digester.update(bytes);
        PutFile::from(Content {
            root: ContentRoot::of(bytes),
            size: bytes.len() as u64,
        })
        .named(name)
        .with(digester.finish(), String::new)
    }
}

/// A file whose bytes are stored but whose digests are not known yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PutFile {
    /// The root and size.
    pub content: Content,
    /// The file's name; `None` to derive it from the release's name and version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The ecosystem's own data about this file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub native: Option<Content>,
    /// The publication time claimed by its upstream or archive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub published_at: Option<Timestamp>,
}

impl From<Content> for PutFile {
    fn from(content: Content) -> Self {
        Self {
            content,
            name: None,
            native: None,
            published_at: None,
        }
    }
}

impl PutFile {
    /// Returns the file with a name.
    pub fn named(self, name: impl Into<String>) -> Self {
        Self {
            name: Some(name.into()),
            ..self
        }
    }

    /// Returns the file with its digests. `called` supplies a missing name.
    pub fn with(self, digests: FileDigests, called: impl FnOnce() -> String) -> File {
        File {
            name: self.name.unwrap_or_else(called),
            root: self.content.root,
            size: self.content.size,
            sha256: digests.sha256,
            sha512: digests.sha512,
            sha1: digests.sha1,
            native: self.native,
            published_at: self.published_at,
        }
    }
}

/// The bytes of a release: its files, its readme and its native data, each a content of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Artifacts<F = PutFile> {
    /// The files.
    pub files: Vec<F>,
    /// The readme.
    #[serde(default = "none", skip_serializing_if = "Option::is_none")]
    pub readme: Option<Content>,
    /// The ecosystem's own data about the release.
    #[serde(default = "none", skip_serializing_if = "Option::is_none")]
    pub native: Option<Content>,
}

fn none() -> Option<Content> {
    None
}

impl<F> From<F> for Artifacts<F> {
    fn from(file: F) -> Self {
        Self {
            files: vec![file],
            readme: None,
            native: None,
        }
    }
}

impl From<Content> for Artifacts {
    fn from(content: Content) -> Self {
        PutFile::from(content).into()
    }
}

impl Artifacts {
    /// Returns every content.
    pub fn contents(&self) -> Vec<Content> {
        let files = self
            .files
            .iter()
            .flat_map(|file| [Some(file.content), file.native]);
        files.chain([self.readme, self.native]).flatten().collect()
    }
}

/// The description of a release, signed by its owner. It never changes once a head lists it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The owner of the package.
    pub owner: PublisherId,
    /// The ecosystem of the package.
    #[serde(default, skip_serializing_if = "Ecosystem::is_generic")]
    pub ecosystem: Ecosystem,
    /// The name as the publisher writes it.
    pub name: WrittenName,
    /// The version.
    pub version: VersionText,
    /// A title.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// A description, which may have several lines.
    pub description: String,
    /// Categories for search.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub categories: Vec<String>,
    /// Tags for search.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// A license expression.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub license: Option<String>,
    /// The names of the authors.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub authors: Vec<String>,
    /// A link to the source repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository: Option<String>,
    /// A link to the homepage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub homepage: Option<String>,
    /// The packages it needs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dependencies: Vec<Dependency>,
    /// The files that the owner publishes with this manifest: 1 to 32. A version may have further
    /// ones in other manifests.
    pub files: Vec<File>,
    /// The readme.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub readme: Option<Content>,
    /// The ecosystem's own data about the release, for its native client: the index line of a
    /// registry for `cargo`. It is a content of its own, because a crate's features alone may be
    /// longer than a manifest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub native: Option<Content>,
    /// The time of signing, by the owner's clock.
    pub signed_at: Timestamp,
    /// Fields of later versions.
    #[serde(default, skip_serializing_if = "Ext::is_empty")]
    pub ext: Ext,
}

/// A manifest before it is signed, from a form or a TOML file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Draft {
    /// The publisher's handle. If absent, the settings or the key's short form supply it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub handle: Option<Handle>,
    /// The name as the publisher writes it.
    pub name: WrittenName,
    /// The version.
    pub version: VersionText,
    /// A title.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// A description, which may have several lines.
    #[serde(default)]
    pub description: String,
    /// Categories for search.
    #[serde(default)]
    pub categories: Vec<String>,
    /// Tags for search.
    #[serde(default)]
    pub tags: Vec<String>,
    /// A license expression.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub license: Option<String>,
    /// The names of the authors.
    #[serde(default)]
    pub authors: Vec<String>,
    /// A link to the source repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository: Option<String>,
    /// A link to the homepage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub homepage: Option<String>,
    /// The packages it needs.
    #[serde(default)]
    pub dependencies: Vec<Dependency>,
    /// The ecosystem of the package.
    #[serde(default, skip_serializing_if = "Ecosystem::is_generic")]
    pub ecosystem: Ecosystem,
}

/// A field that breaks a rule, with a remedy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct FieldError {
    /// The name of the field.
    pub field: &'static str,
    /// The problem and the remedy.
    pub problem: String,
}

impl Draft {
    /// Returns a draft with only a name and a version.
    pub fn of(ecosystem: Ecosystem, name: WrittenName, version: VersionText) -> Self {
        Self {
            handle: None,
            name,
            version,
            title: None,
            description: String::new(),
            categories: Vec::new(),
            tags: Vec::new(),
            license: None,
            authors: Vec::new(),
            repository: None,
            homepage: None,
            dependencies: Vec::new(),
            ecosystem,
        }
    }

    /// Returns the package of which it is a release.
    ///
    /// # Errors
    /// The ecosystem does not allow the name.
    pub fn package(&self) -> Result<PackageName, NameError> {
        PackageName::of(&self.ecosystem, &self.name)
    }

    /// Checks every rule that does not need the files.
    ///
    /// # Errors
    /// All fields that break a rule.
    pub fn check(&self, signed_at: Timestamp) -> Result<(), Vec<FieldError>> {
        let file = File::of(&self.ecosystem, "file", b"");
        self.clone()
            .into_manifest(PublisherId::nobody(), file, signed_at)
            .map(drop)
    }

    /// Builds the manifest from the draft and its content.
    ///
    /// # Errors
    /// All fields that break a rule.
    pub fn into_manifest(
        self,
        owner: PublisherId,
        artifacts: impl Into<Artifacts<File>>,
        signed_at: Timestamp,
    ) -> Result<Manifest, Vec<FieldError>> {
        let Artifacts {
            files,
            readme,
            native,
        } = artifacts.into();
        let manifest = Manifest {
            owner,
            ecosystem: self.ecosystem,
            name: self.name,
            version: self.version,
            title: self.title.filter(|title| !title.is_empty()),
            description: self.description,
            categories: self.categories,
            tags: self.tags,
            license: self.license.filter(|license| !license.is_empty()),
            authors: self.authors,
            repository: self.repository.filter(|link| !link.is_empty()),
            homepage: self.homepage.filter(|link| !link.is_empty()),
            dependencies: self.dependencies,
            files,
            readme,
            native,
            signed_at,
            ext: Ext::default(),
        };
        let errors = manifest.field_errors();
        if errors.is_empty() {
            Ok(manifest)
        } else {
            Err(errors)
        }
    }
}

impl Manifest {
    /// Returns true if every dependency is named by key or by its bare name, as a signed manifest
    /// requires: a handle would mean something else on every node.
    pub fn is_by_key(&self) -> bool {
        self.dependencies
            .iter()
            .all(|dependency| dependency.is_settled())
    }

    /// Returns the package of which it is a release.
    ///
    /// # Errors
    /// The ecosystem does not allow the name. This cannot happen for a verified manifest.
    pub fn package(&self) -> Result<PackageId, NameError> {
        Ok(PackageId {
            owner: self.owner,
            name: PackageName::of(&self.ecosystem, &self.name)?,
        })
    }

    /// Returns all fields that break a rule. A draft may still name dependencies by handle: see
    /// [`Self::is_by_key`].
    pub fn field_errors(&self) -> Vec<FieldError> {
        let mut errors = Vec::new();
        let mut refuse = |field, problem: String| errors.push(FieldError { field, problem });

        if let Err(error) = PackageName::of(&self.ecosystem, &self.name) {
            refuse("name", error.to_string());
        }
        if let Err(error) = self.version.read(&self.ecosystem) {
            refuse("version", error.to_string());
        }
        let one = |text: &Option<String>| text.iter().cloned().collect::<Vec<_>>();
        let texts: [(&'static str, Vec<String>, usize, usize); 8] = [
            ("title", one(&self.title), 1, limit::TITLE),
            (
                "description",
                vec![self.description.clone()],
                1,
                limit::DESCRIPTION,
            ),
            ("license", one(&self.license), 1, limit::LICENSE),
            ("repository", one(&self.repository), 1, limit::LINK),
            ("homepage", one(&self.homepage), 1, limit::LINK),
            (
                "categories",
                self.categories.clone(),
                limit::CATEGORIES,
                limit::LABEL,
            ),
            ("tags", self.tags.clone(), limit::TAGS, limit::LABEL),
            (
                "authors",
                self.authors.clone(),
                limit::AUTHORS,
                limit::AUTHOR,
            ),
        ];
        for (field, values, most, longest) in texts {
            if values.len() > most {
                refuse(
                    field,
                    format!(
                        "has {} entries, but at most {most} are allowed",
                        values.len()
                    ),
                );
            }
            for value in values {
                let length = value.chars().count();
                if length > longest {
                    refuse(
                        field,
                        format!("is {length} characters long, but at most {longest} are allowed"),
                    );
                }
                let multiline = field == "description";
                // Joiners are legitimate in prose.
                let is_text = !matches!(field, "license" | "repository" | "homepage");
                let is_unsafe = |(c, in_place): (char, bool)| {
                    (in_place || is_joiner(c) && !is_text) && !(multiline && c == '\n')
                };
                if safe_or_not(&value).any(is_unsafe) {
                    refuse(
                        field,
                        "has control or invisible characters; remove them".to_owned(),
                    );
                }
            }
        }
        for (field, labels) in [("categories", &self.categories), ("tags", &self.tags)] {
            if labels.iter().any(|label| label.trim().is_empty()) {
                refuse(field, "has an empty entry; remove it".to_owned());
            }
        }
        for (field, link) in [
            ("repository", &self.repository),
            ("homepage", &self.homepage),
        ] {
            if let Some(link) = link
                && !(link.starts_with("https://") || link.starts_with("http://"))
            {
                refuse(
                    field,
                    "is not a link; it must start with https:// or http://".to_owned(),
                );
            }
        }
        if self.dependencies.len() > limit::DEPENDENCIES {
            refuse(
                "dependencies",
                format!(
                    "has {} entries, {} at most",
                    self.dependencies.len(),
                    limit::DEPENDENCIES
                ),
            );
        }
        for problem in self
            .dependencies
            .iter()
            .filter_map(|dependency| dependency.problem(&self.ecosystem))
        {
            refuse("dependencies", problem);
        }
        match self.files.len() {
            0 => refuse(
                "files",
                "has no entry; a release has at least one file".to_owned(),
            ),
            count if count > limit::FILES => refuse(
                "files",
                format!(
                    "has {count} entries, but at most {} are allowed",
                    limit::FILES
                ),
            ),
            _ => {}
        }
        let mut names = HashSet::new();
        for file in &self.files {
            let problem = match check_file(&file.name) {
                Err(problem) => Some(problem),
                Ok(()) if !names.insert(&file.name) => Some("is there twice".to_owned()),
                Ok(()) if file.size > MAX_NUMBER => Some("is larger than any file".to_owned()),
                Ok(()) if file.published_at.is_some_and(|at| at > self.signed_at) => {
                    Some("claims to be published after it was signed".to_owned())
                }
                Ok(()) => None,
            };
            if let Some(problem) = problem {
                refuse("files", format!("{} {problem}", printable(&file.name)));
            }
        }
        let natives = self.files.iter().map(|file| ("files", file.native));
        for (field, beside) in natives.chain([("readme", self.readme), ("native", self.native)]) {
            if let Some(beside) = beside
                && beside.size > limit::BESIDE
            {
                refuse(
                    field,
                    format!("has {} bytes, {} at most", beside.size, limit::BESIDE),
                );
            }
        }
        errors
    }

    /// Returns the first file, whose providers also offer the release's readme and native data. A
    /// verified manifest has one.
    pub fn first(&self) -> Option<&File> {
        self.files.first()
    }

    /// Returns true if the release's only files are index entries, so that there is nothing to
    /// install.
    pub fn is_description(&self) -> bool {
        self.ecosystem == Ecosystem::Debian
            && self
                .files
                .iter()
                .all(|file| file.name.ends_with(DESCRIPTION))
    }

    /// Returns the content of the first file.
    pub fn content(&self) -> Content {
        self.first().map_or(
            Content {
                root: ContentRoot::of(b""),
                size: 0,
            },
            File::content,
        )
    }

    /// Returns every distinct content, with the one whose providers also offer it. Native data of a
    /// file goes with the file; the release's readme and native data go with the first file.
    pub fn contents_with_hosts(&self) -> Vec<(Content, Option<ContentRoot>)> {
        let files = self.files.iter().flat_map(|file| {
            [
                Some((file.content(), None)),
                file.native.map(|native| (native, Some(file.root))),
            ]
        });
        let first = self.first().map(|first| first.root);
        let whole = [self.readme, self.native].map(|content| Some((content?, first)));
        let mut seen = HashSet::new();
        files
            .chain(whole)
            .flatten()
            .filter(|(content, _)| seen.insert(content.root))
            .collect()
    }

    /// Returns every distinct content: files, readme and native data.
    pub fn contents(&self) -> Vec<Content> {
        self.contents_with_hosts()
            .into_iter()
            .map(|(content, _)| content)
            .collect()
    }

    /// Returns the total size of all files in bytes.
    pub fn size(&self) -> u64 {
        self.files
            .iter()
            .fold(0, |sum, file| sum.saturating_add(file.size))
    }

    /// Returns a one-line summary: the title, otherwise the description's first line.
    pub fn summary(&self) -> &str {
        match &self.title {
            Some(title) => title,
            None => self.description.lines().next().unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests;
