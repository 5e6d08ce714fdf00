//! Decides by name if something is packed.
//!
//! Left out are git's own files, the node's own directories, matches of `exclude` and of
//! `.gitignore` files in the tree, and names that hold secrets by convention. `include` overrides
//! the last two only: `exclude` is stronger, and a node's own directories are never packed.

use std::{
    cell::Cell,
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use ignore::gitignore::{Gitignore, GitignoreBuilder};
use serde::Serialize;

use super::{PackError, shown};
use crate::domain::text::printable;

/// Names that are private by convention: credentials of common programs, and version control other
/// than git.
const PRIVATE: [&str; 10] = [
    ".netrc", ".npmrc", ".pypirc", ".aws", ".ssh", ".gnupg", ".kube", ".docker", ".hg", ".svn",
];
/// Suffixes of keys and certificates.
const KEY_ENDS: [(&str, &str); 3] = [(".pem", "*.pem"), (".key", "*.key"), (".p12", "*.p12")];
/// Names of OpenSSH's keys, which also begin the names of copies such as `id_rsa.old`.
const SSH_KEYS: [&str; 5] = ["id_rsa", "id_dsa", "id_ecdsa", "id_ed25519", "id_xmss"];

/// The rules for packing a directory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// Patterns as in a `.gitignore` of the directory, for files to leave out.
    pub exclude: Vec<String>,
    /// Paths, and patterns as in a `.gitignore`, for files to include despite their name or a
    /// `.gitignore`.
    pub include: Vec<String>,
    /// The directories of the node on this machine. They need not exist.
    pub own: Vec<PathBuf>,
}

/// The reason why something is left out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "why")]
pub enum LeftOutReason {
    /// It belongs to git.
    Git,
    /// It belongs to the node.
    Node,
    /// Its name is private by convention.
    Private { pattern: String },
    /// A `.gitignore` matches.
    Ignored { pattern: String, file: String },
    /// `exclude` matches.
    Excluded { pattern: String },
}

impl std::fmt::Display for LeftOutReason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Git => f.write_str("git keeps its own files there"),
            Self::Node => f.write_str("your node keeps its keys and data there"),
            Self::Private { pattern } => write!(f, "{pattern} is often private; include adds it"),
            Self::Ignored { pattern, file } => write!(f, "{file} says {pattern}"),
            Self::Excluded { pattern } => write!(f, "exclude says {pattern}"),
        }
    }
}

/// Returns the convention by which a name is private, as a pattern.
pub fn private(name: &str, is_dir: bool) -> Option<&'static str> {
    let name = name.to_ascii_lowercase();
    if name.starts_with(".env") {
        return Some(".env*");
    }
    if let Some(known) = PRIVATE.iter().find(|known| **known == name) {
        return Some(known);
    }
    if let Some((_, pattern)) = KEY_ENDS.iter().find(|(end, _)| name.ends_with(end)) {
        return Some(pattern);
    }
    if name.contains(".sqlite") {
        return Some("*.sqlite*");
    }
    let is_ssh = SSH_KEYS.iter().any(|key| name.starts_with(key)) && !name.ends_with(".pub");
    // A key has no extension, unlike a source file that begins with the same three characters.
    let is_key = !is_dir && name.starts_with("id_") && (is_ssh || !name.contains('.'));
    is_key.then_some("id_*")
}

/// Returns true if a file or directory belongs to the node or lies in its directories.
pub fn is_own(own: &[PathBuf], place: &Path) -> bool {
    let own = OwnDirectories::new(own);
    fs::canonicalize(place).is_ok_and(|place| place.ancestors().any(|dir| own.is(dir)))
}

/// The compiled rules of a directory.
pub(super) struct Compiled {
    exclude: Gitignore,
    include: Vec<Included>,
    own: OwnDirectories,
}

/// A line of `include`.
struct Included {
    line: String,
    matcher: Gitignore,
    /// Patterns for the parent directories of its matches, for an anchored line.
    way: Vec<Gitignore>,
    /// True once it has matched something that is included.
    used: Cell<bool>,
}

impl Compiled {
    /// Compiles the rules.
    ///
    /// # Errors
    /// [`PackError::Pattern`] for an invalid line, [`PackError::Own`] if the directory is the
    /// node's.
    pub fn new(root: &Path, rules: &Rules) -> Result<Self, PackError> {
        let own = OwnDirectories::new(&rules.own);
        if root.ancestors().any(|above| own.is(above)) {
            return Err(PackError::Own(root.to_owned()));
        }
        let exclude = matcher(root, "exclude", rules.exclude.iter().map(String::as_str))?;
        let include = rules
            .include
            .iter()
            .filter(|line| !is_comment(line))
            .map(|line| Included::new(root, line));
        Ok(Self {
            exclude,
            include: include.collect::<Result<_, _>>()?,
            own,
        })
    }

    /// Returns the reason to leave something out that `include` cannot override.
    pub fn never(&self, place: &Path, is_dir: bool, is_link: bool) -> Option<LeftOutReason> {
        if place.file_name().is_some_and(|name| name == ".git") {
            return Some(LeftOutReason::Git);
        }
        let leads_there = || {
            fs::canonicalize(place).is_ok_and(|there| there.ancestors().any(|dir| self.own.is(dir)))
        };
        if is_dir && self.own.is(place) || is_link && leads_there() {
            return Some(LeftOutReason::Node);
        }
        let excluded = self.exclude.matched(place, is_dir);
        let pattern = excluded
            .is_ignore()
            .then(|| excluded.inner().map(|glob| printable(glob.original())))?;
        Some(LeftOutReason::Excluded {
            pattern: pattern.unwrap_or_default(),
        })
    }

    /// Returns the first line of `include` that matches this very path.
    pub fn included(&self, place: &Path, is_dir: bool) -> Option<&str> {
        let mut first = None;
        for one in &self.include {
            if one.matcher.matched(place, is_dir).is_ignore() {
                one.used.set(true);
                first = first.or(Some(one.line.as_str()));
            }
        }
        first
    }

    /// Returns true if an anchored line of `include` may match something in this directory.
    pub fn reaches_into(&self, root: &Path, inside: &Path) -> bool {
        let names: Vec<_> = inside.components().collect();
        self.include.iter().any(|one| {
            let on_the_way = |(part, name): (&Gitignore, &std::path::Component<'_>)| {
                part.is_empty() || part.matched(root.join(name), true).is_ignore()
            };
            let open_end = one.way.iter().any(Gitignore::is_empty);
            (open_end || one.way.len() > names.len()) && one.way.iter().zip(&names).all(on_the_way)
        })
    }

    /// Returns the lines of `include` that matched nothing that is included.
    pub fn unused(&self) -> impl Iterator<Item = &str> {
        self.include
            .iter()
            .filter(|one| !one.used.get())
            .map(|one| one.line.as_str())
    }
}

impl Included {
    fn new(root: &Path, line: &str) -> Result<Self, PackError> {
        if line.starts_with('!') {
            let why = "include only adds files; use exclude to leave files out".to_owned();
            return Err(PackError::Pattern {
                pattern: printable(line),
                list: "include",
                why,
            });
        }
        let path = line.strip_prefix("./").unwrap_or(line);
        // A plain path is relative to the directory even if it has a single component.
        let anchored = match literal(path) {
            Some(_) if !path.starts_with('/') => format!("/{path}"),
            _ => path.to_owned(),
        };
        let matcher = matcher(root, "include", [anchored.as_str()])?;
        let inner = anchored.trim_matches('/');
        let begins_here = anchored.starts_with('/') || inner.contains('/');
        let mut way = Vec::new();
        if begins_here && !inner.starts_with("**") {
            for part in inner.split('/') {
                // After `**` every directory may lead to a match; an empty matcher stands for that.
                if part.contains("**") {
                    way.push(Gitignore::empty());
                    break;
                }
                way.push(self::matcher(
                    root,
                    "include",
                    [format!("/{part}").as_str()],
                )?);
            }
        }
        Ok(Self {
            line: line.to_owned(),
            matcher,
            way,
            used: Cell::new(false),
        })
    }
}

/// Returns true if `include` has this very path, and not a pattern that matches it.
pub fn is_named(include: &[String], path: &str) -> bool {
    let as_path = |line: &str| literal(line.strip_prefix("./").unwrap_or(line));
    include
        .iter()
        .any(|line| as_path(line).as_deref() == Some(path))
}

/// Returns the path that a line names, unless it is a pattern.
fn literal(line: &str) -> Option<String> {
    let mut path = String::new();
    let mut chars = line.trim_matches('/').chars();
    while let Some(next) = chars.next() {
        match next {
            '\\' => path.push(chars.next()?),
            '*' | '?' | '[' | ']' | '{' | '}' => return None,
            other => path.push(other),
        }
    }
    Some(path)
}

fn is_comment(line: &str) -> bool {
    line.starts_with('#') || line.trim().is_empty()
}

fn matcher<'a>(
    root: &Path,
    list: &'static str,
    lines: impl IntoIterator<Item = &'a str>,
) -> Result<Gitignore, PackError> {
    let mut builder = GitignoreBuilder::new(root);
    // Git takes an unclosed bracket literally; here it is an error.
    builder.allow_unclosed_class(false);
    let unknown = |pattern: &str, error: ignore::Error| {
        // The library's own message repeats the pattern.
        let why = match error {
            ignore::Error::Glob { err, .. } => err,
            other => other.to_string(),
        };
        PackError::Pattern {
            pattern: printable(pattern),
            list,
            why: printable(&why),
        }
    };
    let mut last = "";
    for line in lines {
        builder
            .add_line(None, line)
            .map_err(|error| unknown(line, error))?;
        last = line;
    }
    builder.build().map_err(|error| unknown(last, error))
}

/// The node's existing directories, by path and by device and inode: a directory mounted a second
/// time is the same one.
struct OwnDirectories(Vec<(PathBuf, (u64, u64))>);

impl OwnDirectories {
    fn new(dirs: &[PathBuf]) -> Self {
        let there = |dir: &PathBuf| {
            let real = fs::canonicalize(dir).ok()?;
            let about = fs::metadata(&real).ok()?;
            Some((real, (about.dev(), about.ino())))
        };
        Self(dirs.iter().filter_map(there).collect())
    }

    fn is(&self, dir: &Path) -> bool {
        let same = || {
            fs::symlink_metadata(dir)
                .ok()
                .map(|about| (about.dev(), about.ino()))
        };
        !self.0.is_empty()
            && (self.0.iter().any(|(own, _)| own == dir)
                || same().is_some_and(|id| self.0.iter().any(|(_, own)| *own == id)))
    }
}

/// The chain of `.gitignore` files that apply in a directory.
pub(super) struct Chain {
    matcher: Gitignore,
    /// The file's path for display.
    file: String,
    above: Option<std::rc::Rc<Chain>>,
}

impl Chain {
    /// Returns the chain within `dir`, extended by its `.gitignore` if it has one.
    ///
    /// # Errors
    /// [`PackError::Ignore`] if that cannot be parsed.
    pub fn within(
        root: &Path,
        dir: &Path,
        above: Option<&std::rc::Rc<Self>>,
    ) -> Result<Option<std::rc::Rc<Self>>, PackError> {
        let file = dir.join(".gitignore");
        if !file.is_file() {
            return Ok(above.cloned());
        }
        let mut builder = GitignoreBuilder::new(dir);
        if let Some(error) = builder.add(&file) {
            return Err(PackError::Ignore(error));
        }
        let matcher = builder.build().map_err(PackError::Ignore)?;
        let file = shown(file.strip_prefix(root).unwrap_or(&file));
        Ok(Some(std::rc::Rc::new(Self {
            matcher,
            file,
            above: above.cloned(),
        })))
    }

    /// Returns the reason if the nearest file with a matching line ignores the path.
    pub fn ignores(&self, place: &Path, is_dir: bool) -> Option<LeftOutReason> {
        let mut next = Some(self);
        while let Some(here) = next {
            match here.matcher.matched(place, is_dir) {
                ignore::Match::None => next = here.above.as_deref(),
                ignore::Match::Whitelist(_) => return None,
                ignore::Match::Ignore(glob) => {
                    let pattern = printable(glob.original());
                    return Some(LeftOutReason::Ignored {
                        pattern,
                        file: here.file.clone(),
                    });
                }
            }
        }
        None
    }
}
