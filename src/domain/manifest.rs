//! The signed description of a release, and the draft it comes from.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

pub use super::dependency::{Dependency, Kind, On};
use super::{
    hash::{ContentRoot, Digester, Digests, Sha1Digest, Sha256Digest, Sha512Digest},
    name::{Handle, NameError, PackageId, PackageName, PublisherId, WrittenName},
    record::{Ext, MAX_NUMBER},
    text::{as_file, is_joiner, is_unsafe_char, printable, safe_or_not},
    time::Timestamp,
    version::VersionText,
};
pub use crate::ecosystem::Ecosystem;

/// Limits on a manifest's fields, in characters or entries. Together they stay well under the 8 KiB
/// a manifest may take, which is what a DHT value can carry with room for the envelope.
pub mod limit {
    pub const TITLE: usize = 120;
    pub const DESCRIPTION: usize = 1_000;
    pub const LICENSE: usize = 120;
    pub const LINK: usize = 200;
    pub const LABEL: usize = 40;
    pub const CATEGORIES: usize = 8;
    pub const TAGS: usize = 16;
    pub const AUTHORS: usize = 8;
    pub const AUTHOR: usize = 100;
    pub const DEPENDENCIES: usize = 256;
    /// Bytes of a package that is needed, with its owner's id.
    pub const PACKAGE: usize = 300;
    /// Extras or features that are wanted of one dependency, and bytes of each.
    pub const EXTRAS: usize = 128;
    pub const EXTRA: usize = 64;
    /// Bytes of the condition under which a dependency is needed, and of the systems on which it
    /// is.
    pub const MARKER: usize = 1_024;
    pub const PLATFORM: usize = 1_024;
    pub const FILE: usize = 160;
    /// Files of one manifest; a release with more has several manifests.
    pub const FILES: usize = 32;
    /// Bytes of a readme, and of an ecosystem's own data: what a screen shows and a client reads is
    /// text.
    pub const BESIDE: u64 = 1 << 20;
}

/// Bytes by their BLAKE3 root.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Content {
    pub root: ContentRoot,
    /// Size in bytes.
    pub size: u64,
}

/// A file of a release.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    /// Without a directory; occurs once in a version.
    pub name: String,
    /// BLAKE3 root of its bytes, by which they are fetched and verified.
    pub root: ContentRoot,
    /// Size in bytes.
    pub size: u64,
    pub sha256: Sha256Digest,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha512: Option<Sha512Digest>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha1: Option<Sha1Digest>,
    /// The ecosystem's own data of this file, for its native client: of a wheel its `METADATA`, of
    /// a `.deb` its `control`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub native: Option<Content>,
    /// When its upstream or archive says that it was published: a claim, which orders and ages
    /// nothing here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub published_at: Option<Timestamp>,
}

impl File {
    pub fn content(&self) -> Content {
        Content {
            root: self.root,
            size: self.size,
        }
    }

    /// A file of bytes that are in memory.
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

/// A file whose bytes are there, before its digests are known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PutFile {
    pub content: Content,
    /// What it is called; `None` for the release's name and version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub native: Option<Content>,
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
    pub fn named(self, name: impl Into<String>) -> Self {
        Self {
            name: Some(name.into()),
            ..self
        }
    }

    /// The file, once its digests are known; `called` is its name where it has none.
    pub fn with(self, digests: Digests, called: impl FnOnce() -> String) -> File {
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

/// The bytes of a release: its files, and what travels beside them as content of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Artifacts<F = PutFile> {
    pub files: Vec<F>,
    #[serde(default = "none", skip_serializing_if = "Option::is_none")]
    pub readme: Option<Content>,
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
    /// Every content of them.
    pub fn contents(&self) -> Vec<Content> {
        let files = self
            .files
            .iter()
            .flat_map(|file| [Some(file.content), file.native]);
        files.chain([self.readme, self.native]).flatten().collect()
    }
}

/// What a release is. Signed by its publisher; never changes once a head lists it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Whose package it is.
    pub owner: PublisherId,
    #[serde(default, skip_serializing_if = "Ecosystem::is_generic")]
    pub ecosystem: Ecosystem,
    /// As the publisher writes it.
    pub name: WrittenName,
    pub version: VersionText,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    pub description: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub categories: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub license: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub authors: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub homepage: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dependencies: Vec<Dependency>,
    /// What the owner publishes with this manifest: 1 to 32 files. A version may have further ones,
    /// in manifests of their own.
    pub files: Vec<File>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub readme: Option<Content>,
    /// The ecosystem's own data of the release, for its native client: for `cargo` the line of a
    /// registry's index. Content of its own, because a crate's features alone may be longer than a
    /// manifest may be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub native: Option<Content>,
    /// When it was signed, by the owner's clock.
    pub signed_at: Timestamp,
    #[serde(default, skip_serializing_if = "Ext::is_empty")]
    pub ext: Ext,
}

/// What a person typed, or a TOML file says, before it is signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Draft {
    /// What the publisher calls itself; settings or the key's short form fill it in when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub handle: Option<Handle>,
    pub name: WrittenName,
    pub version: VersionText,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    #[serde(default)]
    pub description: String,
    #[serde(default)]
    pub categories: Vec<String>,
    #[serde(default)]
    pub tags: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub license: Option<String>,
    #[serde(default)]
    pub authors: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub homepage: Option<String>,
    #[serde(default)]
    pub dependencies: Vec<Dependency>,
    #[serde(default, skip_serializing_if = "Ecosystem::is_generic")]
    pub ecosystem: Ecosystem,
}

/// A field that breaks a rule, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct FieldError {
    pub field: &'static str,
    pub problem: String,
}

impl Draft {
    /// A draft that says nothing but which release it is.
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

    /// Which of its publisher's packages it is a release of.
    ///
    /// # Errors
    /// When its ecosystem has no such name.
    pub fn package(&self) -> Result<PackageName, NameError> {
        PackageName::of(&self.ecosystem, &self.name)
    }

    /// Every field that breaks a rule, as far as that can be said without its files.
    pub fn check(&self, signed_at: Timestamp) -> Result<(), Vec<FieldError>> {
        let file = File::of(&self.ecosystem, "file", b"");
        self.clone()
            .into_manifest(PublisherId::nobody(), file, signed_at)
            .map(drop)
    }

    /// The manifest this draft becomes once its content is known, or every field that stands in the
    /// way.
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
    /// Returns whether every dependency is named by key or by its bare name, as it must be in a
    /// signed manifest: a handle would mean something else on every node.
    pub fn is_by_key(&self) -> bool {
        self.dependencies
            .iter()
            .all(|dependency| dependency.is_settled())
    }

    /// The package that it is a release of.
    ///
    /// # Errors
    /// When its ecosystem has no such name; a verified manifest has one that it has.
    pub fn package(&self) -> Result<PackageId, NameError> {
        Ok(PackageId {
            owner: self.owner,
            name: PackageName::of(&self.ecosystem, &self.name)?,
        })
    }

    /// Every rule this manifest breaks; empty for a valid one. A draft may still name dependencies
    /// by handle: see [`Self::is_by_key`].
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
                    format!("has {} entries, {most} at most", values.len()),
                );
            }
            for value in values {
                let length = value.chars().count();
                if length > longest {
                    refuse(
                        field,
                        format!("is {length} characters long, {longest} at most"),
                    );
                }
                let multiline = field == "description";
                // Of people's texts, joiners are a part.
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
                "has no entry; a release has one file at least".to_owned(),
            ),
            count if count > limit::FILES => refuse(
                "files",
                format!("has {count} entries, {} at most", limit::FILES),
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
                    Some("says that it was published after it was signed".to_owned())
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

    /// The first file, beside which the release's readme and its ecosystem's own data travel. A
    /// verified manifest has one.
    pub fn first(&self) -> Option<&File> {
        self.files.first()
    }

    /// Returns true where the release's one file is what an index says of it: there is nothing in
    /// it to install.
    pub fn is_description(&self) -> bool {
        self.ecosystem == Ecosystem::Debian
            && self
                .files
                .iter()
                .all(|file| file.name.ends_with(DESCRIPTION))
    }

    /// The bytes of the first file.
    pub fn content(&self) -> Content {
        self.first().map_or(
            Content {
                root: ContentRoot::of(b""),
                size: 0,
            },
            File::content,
        )
    }

    /// Every content, once, with the one beside which it travels: whoever has that has it too. A
    /// file's own data is beside it, the release's readme and data beside the first file.
    pub fn contents_beside(&self) -> Vec<(Content, Option<ContentRoot>)> {
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

    /// Every content: of the files, and beside them, each once.
    pub fn contents(&self) -> Vec<Content> {
        self.contents_beside()
            .into_iter()
            .map(|(content, _)| content)
            .collect()
    }

    /// Bytes of all files.
    pub fn size(&self) -> u64 {
        self.files
            .iter()
            .fold(0, |sum, file| sum.saturating_add(file.size))
    }

    /// One line that says what the package is: the title, else the description's first line.
    pub fn summary(&self) -> &str {
        match &self.title {
            Some(title) => title,
            None => self.description.lines().next().unwrap_or_default(),
        }
    }
}

/// What the name of a file ends with that is a stanza of a Debian index, in the place of a package
/// that was not there.
pub const DESCRIPTION: &str = ".control";

/// What a release is called as a file, whatever its ecosystem lets names and versions be.
pub fn file_of(name: &WrittenName, version: &VersionText) -> String {
    format!("{}-{}", as_file(name.as_str()), as_file(version.as_str()))
}

/// A name that is one file in whatever directory it is written to, on whatever system.
pub(crate) fn check_file(file: &str) -> Result<(), String> {
    let wrong = if file.is_empty() || file.len() > limit::FILE {
        "must have 1 to 160 bytes"
    } else if file.starts_with(['.', '-']) || file.ends_with(['.', ' ']) {
        "must not begin with a dot or a hyphen, nor end with a dot or a space"
    } else if file
        .chars()
        .any(|c| is_unsafe_char(c) || r#"/\:*?"<>|"#.contains(c))
    {
        "is no name of a file: it has a character that means something to a system or a terminal"
    } else {
        return Ok(());
    };
    Err(wrong.to_owned())
}

#[cfg(test)]
mod tests;
