//! The form of a release: its fields as texts, and the problems of each.
//!
//! Nothing that was typed is lost: a form is saved as plain texts by field and restored from them,
//! valid or not.

mod needs;

use std::{collections::BTreeMap, convert::Infallible};

use tui_input::Input;

use crate::{
    domain::{
        hash::ContentRoot,
        manifest::{Artifacts, Content, Dependency, Draft, Ecosystem, File, Manifest, limit},
        name::{Handle, PackageName, PublisherId, qualified},
        record::{MAX_MANIFEST, MAX_NUMBER, signed_len},
        text::printable,
        time::Timestamp,
        version::VersionText,
    },
    registry::OwnPackage,
};

/// Longest text of a field, in characters; file paths are bounded by it as well.
pub const MAX_FIELD: usize = 4_096;

/// A field of the form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Field {
    Handle,
    Name,
    Version,
    Title,
    Description,
    Categories,
    Tags,
    License,
    Repository,
    Homepage,
    /// A cell of the table of dependencies.
    Needs(usize, DependencyColumn),
    File,
}

/// A column of the table of dependencies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DependencyColumn {
    Package,
    Requirement,
    Optional,
}

impl DependencyColumn {
    pub const ALL: [Self; 3] = [Self::Package, Self::Requirement, Self::Optional];

    fn key(self) -> &'static str {
        match self {
            Self::Package => "package",
            Self::Requirement => "requirement",
            Self::Optional => "optional",
        }
    }
}

impl Field {
    const BEFORE: [Self; 10] = [
        Self::Handle,
        Self::Name,
        Self::Version,
        Self::Title,
        Self::Description,
        Self::Categories,
        Self::Tags,
        Self::License,
        Self::Repository,
        Self::Homepage,
    ];

    /// Returns the field's name, which also identifies it in the saved draft.
    pub fn name(self) -> &'static str {
        match self {
            Self::Handle => "handle",
            Self::Name => "name",
            Self::Version => "version",
            Self::Title => "title",
            Self::Description => "description",
            Self::Categories => "categories",
            Self::Tags => "tags",
            Self::License => "license",
            Self::Repository => "repository",
            Self::Homepage => "homepage",
            Self::Needs(_, part) => part.key(),
            Self::File => "file",
        }
    }

    fn key(self) -> String {
        match self {
            Self::Needs(row, part) => format!("dependencies.{row}.{}", part.key()),
            field => field.name().to_owned(),
        }
    }

    /// Returns a hint for filling in the field.
    pub fn hint(self) -> &'static str {
        match self {
            Self::Handle => {
                "your name as a publisher, such as alice; shown before the package name"
            }
            Self::Name => "lower-case letters, digits, . _ -",
            Self::Version => "such as 1.0.0; higher than the last release",
            Self::Title => "a few words",
            Self::Description => "what it is and what it is for",
            Self::Categories | Self::Tags => "separated by commas",
            Self::License => "SPDX, such as MIT OR Apache-2.0",
            Self::Repository | Self::Homepage => "https://…",
            Self::Needs(_, DependencyColumn::Package) => {
                "a dependency: handle/name, or the name alone"
            }
            Self::Needs(_, DependencyColumn::Requirement) => "version requirement, such as ^1.2",
            Self::Needs(_, DependencyColumn::Optional) => "yes if optional",
            Self::File => "file or directory to publish",
        }
    }
}

/// The state of the file that the path names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum FileState {
    #[default]
    Unknown,
    Is {
        size: u64,
    },
    /// A directory, which will be packed.
    Directory,
    Wrong(String),
}

/// The existing releases of a package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Previous {
    pub name: PackageName,
    pub versions: Vec<VersionText>,
}

#[derive(Clone, Debug, Default)]
pub struct ReleaseForm {
    texts: BTreeMap<Field, Input>,
    /// The handle that the form started with.
    given: String,
    pub focus: usize,
    /// Rows of dependencies, including the empty one at the end.
    needs: usize,
    /// The dependencies that filled the rows: they have details that the form has no fields for.
    kept: Vec<Dependency>,
    pub file: FileState,
    /// Completions of the path, best first.
    pub proposals: Vec<String>,
    /// True after an attempt to publish: from then on, missing fields are reported too.
    pub tried: bool,
    /// The sentence about another publisher that claims the same handle.
    pub claimed: Option<String>,
}

/// The result of checking a form.
#[derive(Clone, Debug)]
pub struct Checked {
    pub draft: Option<Draft>,
    pub problems: BTreeMap<Field, String>,
    /// Bytes left until the manifest reaches its size limit.
    pub left: Option<i64>,
}

impl ReleaseForm {
    /// Returns an empty form, filled only with the publisher's handle if there is one.
    pub fn new(handle: Option<&str>) -> Self {
        let mut form = Self {
            needs: 1,
            ..Self::default()
        };
        if let Some(handle) = handle {
            form.set(Field::Handle, handle);
            form.given = handle.to_owned();
            form.focus = 1;
        }
        form
    }

    /// Returns a form for the release after a package's last one.
    pub fn following(package: &OwnPackage) -> Self {
        let mut form = Self::new(package.handle.as_ref().map(|handle| handle.as_str()));
        form.set(Field::Name, package.id.name.as_str());
        let next = package
            .latest
            .as_ref()
            .and_then(|latest| next_version(package.id.name.ecosystem(), &latest.version));
        if let Some(next) = next {
            form.set(Field::Version, &next);
        }
        if let Some(manifest) = &package.manifest {
            let link = |link: &Option<String>| link.clone().unwrap_or_default();
            for (field, text) in [
                (Field::Title, link(&manifest.title)),
                (Field::Description, manifest.description.clone()),
                (Field::Categories, manifest.categories.join(", ")),
                (Field::Tags, manifest.tags.join(", ")),
                (Field::License, link(&manifest.license)),
                (Field::Repository, link(&manifest.repository)),
                (Field::Homepage, link(&manifest.homepage)),
            ] {
                form.set(field, &text);
            }
            form.kept.clone_from(&manifest.dependencies);
            for (row, needed) in manifest.dependencies.iter().enumerate() {
                form.set(
                    Field::Needs(row, DependencyColumn::Package),
                    needed.written(),
                );
                form.set(
                    Field::Needs(row, DependencyColumn::Requirement),
                    &needed.requirement.to_string(),
                );
                form.set(
                    Field::Needs(row, DependencyColumn::Optional),
                    if needed.optional { "yes" } else { "" },
                );
            }
        }
        form.focus = form
            .fields()
            .iter()
            .position(|field| *field == Field::Version)
            .unwrap_or(0);
        form
    }

    /// Returns the fields as texts, for saving.
    pub fn to_texts(&self) -> BTreeMap<String, String> {
        let texts = self
            .texts
            .iter()
            .map(|(field, input)| (field.key(), input.value().to_owned()));
        let kept = serde_json::to_string(&self.kept)
            .ok()
            .filter(|_| !self.kept.is_empty());
        let texts = texts.chain(kept.map(|kept| (needs::KEPT.to_owned(), kept)));
        texts.filter(|(_, text)| !text.is_empty()).collect()
    }

    /// Restores a form from saved texts, without unknown fields and unsafe characters.
    pub fn from_texts(texts: &BTreeMap<String, String>) -> Self {
        let mut form = Self::new(None);
        form.kept = needs::kept(texts);
        for row in 0..=limit::DEPENDENCIES {
            for field in Field::BEFORE
                .into_iter()
                .chain([Field::File])
                .chain(DependencyColumn::ALL.map(|part| Field::Needs(row, part)))
            {
                if let Some(text) = texts.get(&field.key()) {
                    form.set(field, text);
                }
            }
        }
        form
    }

    /// Returns true if nothing was typed that would be missed.
    pub fn is_empty(&self) -> bool {
        let given = |field: &Field, text: &str| *field == Field::Handle && text == self.given;
        self.texts
            .iter()
            .all(|(field, input)| input.value().is_empty() || given(field, input.value()))
    }

    /// Returns all fields in the order of the form.
    pub fn fields(&self) -> Vec<Field> {
        let needs = (0..self.needs.max(1))
            .flat_map(|row| DependencyColumn::ALL.map(|part| Field::Needs(row, part)));
        Field::BEFORE
            .into_iter()
            .chain(needs)
            .chain([Field::File])
            .collect()
    }

    pub fn focused(&self) -> Field {
        self.fields()
            .get(self.focus)
            .copied()
            .unwrap_or(Field::Name)
    }

    pub fn step(&mut self, forward: bool) {
        let count = self.fields().len();
        self.focus = if forward {
            (self.focus + 1) % count
        } else {
            (self.focus + count - 1) % count
        };
    }

    pub fn focus_on(&mut self, field: Field) {
        self.focus = self
            .fields()
            .iter()
            .position(|other| *other == field)
            .unwrap_or(self.focus);
    }

    pub fn text(&self, field: Field) -> &str {
        self.texts.get(&field).map_or("", Input::value)
    }

    pub fn input(&self, field: Field) -> Input {
        self.texts.get(&field).cloned().unwrap_or_default()
    }

    pub fn focused_input(&mut self) -> &mut Input {
        let field = self.focused();
        self.texts.entry(field).or_default()
    }

    pub fn set(&mut self, field: Field, text: &str) {
        let text: String = printable(text).chars().take(MAX_FIELD).collect();
        self.texts.insert(field, Input::new(text));
        self.grow();
    }

    /// Keeps one empty row of dependencies at the end.
    pub fn grow(&mut self) {
        let used = self
            .texts
            .iter()
            .filter(|(_, input)| !input.value().is_empty())
            .filter_map(|(field, _)| match field {
                Field::Needs(row, _) => Some(row + 1),
                _ => None,
            });
        let focused = self.focused();
        self.needs = (used.max().unwrap_or(0) + 1).min(limit::DEPENDENCIES);
        self.focus_on(focused);
    }

    /// Returns the rest of the best completion of the path.
    pub fn proposed(&self) -> Option<&str> {
        let typed = self.text(Field::File);
        self.proposals
            .iter()
            .find_map(|proposal| proposal.strip_prefix(typed))
            .filter(|rest| !rest.is_empty())
    }

    /// Checks every field by the rules of records, and collects the problems of each.
    pub fn check(&self, previous: &[Previous]) -> Checked {
        let mut problems = BTreeMap::new();
        let text = |field| self.text(field).trim().to_owned();
        let mut parsed = ParsedFields {
            problems: &mut problems,
        };

        let handle = match text(Field::Handle) {
            handle if handle.is_empty() => None,
            handle => parsed.take::<Handle>(Field::Handle, &handle),
        };
        let package = parsed.take::<PackageName>(Field::Name, &text(Field::Name));
        let (ecosystem, name) = match qualified(&text(Field::Name)) {
            Ok((ecosystem, name)) if package.is_some() => (ecosystem, Some(name)),
            _ => (Ecosystem::Generic, None),
        };
        let version = match text(Field::Version) {
            version if version.is_empty() => {
                parsed.refuse(Field::Version, "enter a version, such as 1.0.0");
                None
            }
            version => {
                let wrong = "is not a version (example: 1.0.0)";
                let version = parsed.take_as::<VersionText>(Field::Version, &version, wrong);
                if version
                    .as_ref()
                    .is_some_and(|version| version.read(&ecosystem).is_err())
                {
                    parsed.refuse(Field::Version, wrong);
                }
                version.filter(|version| version.read(&ecosystem).is_ok())
            }
        };
        if let (Some(package), Some(version)) = (&package, &version)
            && let Some(before) = previous.iter().find(|before| before.name == *package)
            && before
                .versions
                .iter()
                .any(|before| before.key(&ecosystem) == version.key(&ecosystem))
        {
            parsed.refuse(
                Field::Version,
                "has been published already; releases never change",
            );
        }
        let license = text(Field::License);
        if !license.is_empty()
            && let Err(error) = spdx::Expression::parse(&license)
        {
            let canonical = spdx::Expression::canonicalize(&license).ok().flatten();
            let instead = canonical.map_or_else(
                || {
                    "is not an SPDX expression (example: MIT OR Apache-2.0; use LicenseRef-… for \
                    your own)"
                        .to_owned()
                },
                |canonical| format!("did you mean {canonical}?"),
            );
            parsed.refuse(Field::License, &format!("{}; {instead}", error.reason));
        }
        for field in [Field::Repository, Field::Homepage] {
            let link = text(field);
            if link.is_empty() {
                continue;
            }
            match url::Url::parse(&link) {
                Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => {}
                Ok(_) => parsed.refuse(field, "must start with https:// or http://"),
                Err(error) => parsed.refuse(
                    field,
                    &format!("is not a URL ({error}; example: https://example.org/web)"),
                ),
            }
        }
        let dependencies = self.dependencies(&ecosystem, &mut parsed);
        match &self.file {
            _ if text(Field::File).is_empty() => {
                parsed.refuse(Field::File, "choose a file or directory to publish")
            }
            FileState::Wrong(why) => parsed.refuse(Field::File, why),
            FileState::Unknown | FileState::Directory | FileState::Is { .. } => {}
        }

        let list = |field| -> Vec<String> {
            let entries = self
                .text(field)
                .split(',')
                .map(str::trim)
                .filter(|entry| !entry.is_empty());
            entries.map(str::to_owned).collect()
        };
        let some = |text: String| (!text.is_empty()).then_some(text);
        let named = name.is_some() && version.is_some();
        // Check the other fields even if these two are wrong.
        let name = name.or_else(|| "x".parse().ok());
        let version = version.or_else(|| "0.0.0".parse().ok());
        let draft = name.zip(version).map(|(name, version)| Draft {
            handle,
            name,
            version,
            title: some(text(Field::Title)),
            description: text(Field::Description),
            categories: list(Field::Categories),
            tags: list(Field::Tags),
            license: some(license),
            authors: Vec::new(),
            repository: some(text(Field::Repository)),
            homepage: some(text(Field::Homepage)),
            dependencies,
            ecosystem,
        });
        let mut left = None;
        if let Some(draft) = &draft {
            match as_manifest(draft) {
                Ok(manifest) => {
                    let room = MAX_MANIFEST as i64
                        - i64::try_from(signed_len(&manifest)).unwrap_or(i64::MAX);
                    if room < 0 {
                        problems.entry(Field::Description).or_insert_with(|| {
                            format!(
                                "the manifest is {} bytes over the limit of {MAX_MANIFEST}; \
                                     shorten some texts",
                                -room
                            )
                        });
                    }
                    left = named.then_some(room);
                }
                Err(errors) => {
                    for error in errors {
                        let field = Field::BEFORE
                            .into_iter()
                            .find(|field| field.name() == error.field);
                        let field = field.unwrap_or(Field::Needs(0, DependencyColumn::Package));
                        problems.entry(field).or_insert(error.problem);
                    }
                }
            }
        }
        let draft = draft.filter(|_| named && problems.is_empty());
        Checked {
            draft,
            problems,
            left,
        }
    }
}

/// Builds the manifest of a draft, with zeros as the hash of the content.
fn as_manifest(draft: &Draft) -> Result<Manifest, Vec<crate::domain::manifest::FieldError>> {
    // The manifest must be valid with a placeholder: the file and readme are not known yet.
    let content = Content {
        root: ContentRoot::of(b""),
        size: MAX_NUMBER,
    };
    let readme = Some(Content {
        size: limit::BESIDE,
        ..content
    });
    let file = File {
        size: MAX_NUMBER,
        ..File::of(&draft.ecosystem, "x".repeat(limit::FILE), b"")
    };
    // A signed manifest names dependencies by key and handle. Any key has the same length.
    let key = PublisherId::nobody();
    let by_key = |dependency: Dependency| {
        dependency
            .by_key(&draft.ecosystem, |_| Ok::<_, Infallible>(key))
            .unwrap_or_else(|never| match never {})
    };
    let dependencies = draft.dependencies.iter().cloned().map(by_key).collect();
    let draft = Draft {
        dependencies,
        ..draft.clone()
    };
    draft.into_manifest(
        key,
        Artifacts {
            files: vec![file],
            readme,
            native: None,
        },
        Timestamp(u64::MAX),
    )
}

struct ParsedFields<'a> {
    problems: &'a mut BTreeMap<Field, String>,
}

impl ParsedFields<'_> {
    fn refuse(&mut self, field: Field, problem: &str) {
        self.problems
            .entry(field)
            .or_insert_with(|| problem.to_owned());
    }

    /// Parses the text of a field, with a given sentence in place of the parser's error.
    fn take_as<T: std::str::FromStr>(
        &mut self,
        field: Field,
        text: &str,
        wrong: &str,
    ) -> Option<T> {
        let value = text.parse().ok();
        if value.is_none() {
            self.refuse(field, wrong);
        }
        value
    }

    fn take<T>(&mut self, field: Field, text: &str) -> Option<T>
    where
        T: std::str::FromStr,
        T::Err: std::fmt::Display,
    {
        match text.parse() {
            Ok(value) => Some(value),
            Err(error) => {
                self.refuse(field, &error.to_string());
                None
            }
        }
    }
}

/// Returns the next version: the next patch release, or the release that a pre-release leads to.
/// `None` for ecosystems without semantic versions.
pub fn next_version(ecosystem: &Ecosystem, last: &VersionText) -> Option<String> {
    let last = last.read(ecosystem).ok()?;
    let semver::Version {
        major,
        minor,
        patch,
        pre,
        ..
    } = last.semver()?;
    let patch = if pre.is_empty() {
        patch.saturating_add(1)
    } else {
        *patch
    };
    Some(semver::Version::new(*major, *minor, patch).to_string())
}

#[cfg(test)]
mod tests;
