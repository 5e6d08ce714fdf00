//! Reads a directory's `swarmdex.toml`, the description of a release next to its files.

use std::{
    fmt,
    fs::{self, File},
    io::{self, Read},
    path::{Component, Path, PathBuf},
};

use serde::{
    Deserialize,
    de::{DeserializeSeed, Visitor},
};
use toml::de::{DeTable, DeValue, Deserializer, ValueDeserializer};

use crate::{
    domain::{
        manifest::{Draft, limit},
        name::{NameError, PackageRef},
        text::printable,
        toml::in_toml,
        version::{RequirementText, VersionText},
    },
    ecosystem::Ecosystem,
};

/// The name of the file.
pub const FILE: &str = "swarmdex.toml";
/// Largest file read, in bytes: a draft at its limits takes about 8 KiB.
pub const MAX_FILE: u64 = 64 << 10;
/// Names of the readme if none is given, in order of preference.
const READMES: [&str; 3] = ["README.md", "README", "readme.md"];
/// The keys of a file: those of a [`Draft`], and three for packing.
const KEYS: [&str; 16] = [
    "handle",
    "name",
    "version",
    "title",
    "description",
    "categories",
    "tags",
    "license",
    "authors",
    "repository",
    "homepage",
    "dependencies",
    "ecosystem",
    "exclude",
    "include",
    "readme",
];

/// The content of a directory's file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProjectFile {
    pub draft: Draft,
    pub pack: PackOptions,
}

/// The options for packing a directory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PackOptions {
    /// Patterns as in a `.gitignore`, for files to leave out.
    pub exclude: Vec<String>,
    /// Paths and patterns of files to include despite their name or a `.gitignore`.
    pub include: Vec<String>,
    pub readme: Option<ProjectReadme>,
}

/// The readme, shown before a release is fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProjectReadme {
    /// Its path in the directory.
    pub path: String,
    /// At most [`limit::BESIDE`] bytes.
    pub text: String,
}

#[derive(Debug, thiserror::Error)]
pub enum ProjectError {
    #[error("there is no {FILE} in {}; create one with at least a name and a \
        version", .0.display())]
    Missing(PathBuf),
    #[error("{} cannot be read: {source}; check that it is a file, and yours", .path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("{} has more than {MAX_FILE} bytes; it describes a release, its files are packed from \
        the directory", .0.display())]
    TooLarge(PathBuf),
    #[error("{} is not UTF-8; save it as such", .0.display())]
    NotText(PathBuf),
    /// A TOML error; `text` is the input, for the line number.
    #[error("{}, line {}: {}; correct it and try \
        again", .path.display(), line(.text, .error.span()), printable(&in_toml(.error.message())))]
    Toml {
        path: PathBuf,
        text: String,
        error: Box<toml::de::Error>,
    },
    #[error("{}, line {line}: unknown key \"{key}\"; the known keys are \
        {}", .path.display(), KEYS.join(", "))]
    Key {
        path: PathBuf,
        line: usize,
        key: String,
    },
    #[error(
        "the readme {readme} cannot be published: {why}; name another with readme, or set \
        readme = false"
    )]
    Readme { readme: String, why: String },
}

/// Reads the file of `dir` and the readme it names.
///
/// # Errors
/// There is no file, it is invalid, or the readme cannot be published.
pub fn read(dir: &Path) -> Result<ProjectFile, ProjectError> {
    let path = dir.join(FILE);
    let text = match read_text(&path, MAX_FILE) {
        Ok(text) => text,
        Err(Unread::File(error)) if error.kind() == io::ErrorKind::NotFound => {
            return Err(ProjectError::Missing(dir.to_owned()));
        }
        Err(Unread::File(source)) => return Err(ProjectError::File { path, source }),
        Err(Unread::TooLarge) => return Err(ProjectError::TooLarge(path)),
        Err(Unread::NotText) => return Err(ProjectError::NotText(path)),
    };
    let ParsedProject {
        draft,
        exclude,
        include,
        readme,
    } = parse(&path, &text)?;
    Ok(ProjectFile {
        draft,
        pack: PackOptions {
            exclude,
            include,
            readme: readme.read(dir)?,
        },
    })
}

/// Returns the packing options of a directory whose release is described elsewhere: `exclude` and
/// `include` of its file, if there is one, and its readme.
///
/// # Errors
/// As [`read`], except that the file may be missing.
pub fn packing(dir: &Path) -> Result<PackOptions, ProjectError> {
    match read(dir) {
        Ok(project) => Ok(project.pack),
        Err(ProjectError::Missing(_)) => Ok(PackOptions {
            readme: ReadmeChoice::Default.read(dir)?,
            ..PackOptions::default()
        }),
        Err(error) => Err(error),
    }
}

#[derive(Debug)]
struct ParsedProject {
    draft: Draft,
    exclude: Vec<String>,
    include: Vec<String>,
    readme: ReadmeChoice,
}

/// The readme that a file asks for.
#[derive(Debug)]
enum ReadmeChoice {
    Default,
    No,
    At(String),
}

fn parse(path: &Path, text: &str) -> Result<ParsedProject, ProjectError> {
    let broken = |mut error: toml::de::Error| {
        error.set_input(Some(text));
        ProjectError::Toml {
            path: path.to_owned(),
            text: text.to_owned(),
            error: Box::new(error),
        }
    };
    // `DeTable` keeps spans, which `toml::Table` loses; and serde cannot both flatten a draft and
    // refuse unknown keys.
    let mut table = DeTable::parse(text).map_err(broken)?;
    if let Some(key) = table
        .get_ref()
        .keys()
        .find(|key| !KEYS.contains(&key.get_ref().as_ref()))
    {
        let line = line(text, Some(key.span()));
        return Err(ProjectError::Key {
            path: path.to_owned(),
            line,
            key: printable(key.get_ref()),
        });
    }
    let mut list = |key: &str| match table.get_mut().remove(key) {
        Some(value) => Vec::<String>::deserialize(ValueDeserializer::from(value)).map_err(broken),
        None => Ok(Vec::new()),
    };
    let (exclude, include) = (list("exclude")?, list("include")?);
    let readme = match table.get_mut().remove("readme") {
        None => ReadmeChoice::Default,
        Some(value) if matches!(value.get_ref(), DeValue::Boolean(false)) => ReadmeChoice::No,
        Some(value) => {
            ReadmeChoice::At(String::deserialize(ValueDeserializer::from(value)).map_err(broken)?)
        }
    };
    let draft = draft_of(table).map_err(broken)?;
    Ok(ParsedProject {
        draft,
        exclude,
        include,
        readme,
    })
}

/// Reads a standalone draft. An error has its position in `text`.
///
/// # Errors
/// The text is not TOML, has unknown keys, or has a version or requirement that is invalid in its
/// ecosystem.
pub fn read_draft(text: &str) -> Result<Draft, toml::de::Error> {
    let placed = |mut error: toml::de::Error| {
        error.set_input(Some(text));
        error
    };
    draft_of(DeTable::parse(text).map_err(placed)?).map_err(placed)
}

fn draft_of(table: toml::Spanned<DeTable<'_>>) -> Result<Draft, toml::de::Error> {
    let raw = table.clone();
    let draft = Draft::deserialize(Deserializer::from(table))?;
    means_something(raw.get_ref(), &draft.ecosystem)?;
    Ok(draft)
}

/// Refuses versions and requirements that are invalid in the ecosystem, with their position.
fn means_something(table: &DeTable<'_>, ecosystem: &Ecosystem) -> Result<(), toml::de::Error> {
    let read_version = |text: &str| text.parse::<VersionText>()?.read(ecosystem).map(drop);
    if let Some(version) = table.get("version") {
        Means(read_version).deserialize(ValueDeserializer::from(version.clone()))?;
    }
    let Some(DeValue::Array(dependencies)) = table.get("dependencies").map(|value| value.get_ref())
    else {
        return Ok(());
    };
    for dependency in dependencies
        .iter()
        .filter_map(|dependency| dependency.get_ref().as_table())
    {
        let package = dependency
            .get("package")
            .and_then(|package| package.get_ref().as_str());
        let package = package.and_then(|package| {
            package
                .parse::<PackageRef>()
                .ok()?
                .name
                .within(ecosystem)
                .ok()
        });
        // A bare name belongs to the draft's ecosystem; an invalid package is refused together with
        // other fields.
        let of = match &package {
            Some(package) => Some(package.ecosystem()),
            None => dependency.contains_key("name").then_some(ecosystem),
        };
        if let (Some(of), Some(requirement)) = (of, dependency.get("requirement")) {
            let read = |text: &str| text.parse::<RequirementText>()?.read(of).map(drop);
            Means(read).deserialize(ValueDeserializer::from(requirement.clone()))?;
        }
    }
    Ok(())
}

/// Validates a text during deserialisation, because the parser knows its position.
struct Means<F>(F);

impl<'de, F: Fn(&str) -> Result<(), NameError>> DeserializeSeed<'de> for Means<F> {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<F: Fn(&str) -> Result<(), NameError>> Visitor<'_> for Means<F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<(), E> {
        (self.0)(text).map_err(E::custom)
    }
}

impl ReadmeChoice {
    fn read(self, dir: &Path) -> Result<Option<ProjectReadme>, ProjectError> {
        let name = match self {
            Self::No => return Ok(None),
            Self::At(name) => name,
            Self::Default => match READMES
                .iter()
                .find(|name| dir.join(name).symlink_metadata().is_ok())
            {
                Some(name) => (*name).to_owned(),
                None => return Ok(None),
            },
        };
        let refused = |why: &str| ProjectError::Readme {
            readme: printable(&name),
            why: why.to_owned(),
        };
        let inside = Path::new(&name)
            .components()
            .all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
        if !inside || name.is_empty() {
            return Err(refused("it is not a path inside the directory"));
        }
        let unread = |error: io::Error| refused(&error.to_string());
        let (root, place) = (fs::canonicalize(dir), fs::canonicalize(dir.join(&name)));
        let (root, place) = (root.map_err(unread)?, place.map_err(unread)?);
        if !place.starts_with(&root) {
            return Err(refused("it is a link to something outside the directory"));
        }
        if !place.is_file() {
            return Err(refused("it is not a file"));
        }
        match read_text(&place, limit::BESIDE) {
            Ok(text) => Ok(Some(ProjectReadme {
                path: name.strip_prefix("./").unwrap_or(&name).to_owned(),
                text,
            })),
            Err(Unread::File(error)) => Err(unread(error)),
            Err(Unread::TooLarge) => Err(refused(&format!(
                "it has more than {} bytes",
                limit::BESIDE
            ))),
            Err(Unread::NotText) => Err(refused("it is not UTF-8")),
        }
    }
}

enum Unread {
    File(io::Error),
    TooLarge,
    NotText,
}

fn read_text(path: &Path, most: u64) -> Result<String, Unread> {
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(Unread::File)?;
    file.take(most + 1)
        .read_to_end(&mut bytes)
        .map_err(Unread::File)?;
    if bytes.len() as u64 > most {
        return Err(Unread::TooLarge);
    }
    String::from_utf8(bytes).map_err(|_| Unread::NotText)
}

/// Returns the line number, from 1, at which a span begins.
fn line(text: &str, span: Option<std::ops::Range<usize>>) -> usize {
    let before = text
        .as_bytes()
        .get(..span.map_or(0, |span| span.start))
        .unwrap_or(text.as_bytes());
    before.iter().filter(|byte| **byte == b'\n').count() + 1
}

#[cfg(test)]
mod tests;
