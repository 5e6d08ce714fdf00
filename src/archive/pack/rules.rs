//! Deciding by name whether something goes into an archive.
//!
//! Left out are git's own files, the node's own directories, what `exclude` and the `.gitignore`
//! files of the tree say, and names that hold secrets by convention. `include` adds to what is
//! left, against the last two only: what somebody wrote into `exclude` stays out, and nothing
//! brings a node's own directories in.

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

/// Names that are private by convention, whatever they are: those of programs that keep credentials
/// in them, and of version control other than git.
const PRIVATE: [&str; 10] = [
    ".netrc", ".npmrc", ".pypirc", ".aws", ".ssh", ".gnupg", ".kube", ".docker", ".hg", ".svn",
];
/// Ends of names of keys and certificates.
const KEY_ENDS: [(&str, &str); 3] = [(".pem", "*.pem"), (".key", "*.key"), (".p12", "*.p12")];
/// The kinds of keys that OpenSSH makes, which keep their names in copies such as `id_rsa.old`.
const SSH_KEYS: [&str; 5] = ["id_rsa", "id_dsa", "id_ecdsa", "id_ed25519", "id_xmss"];

/// The options of packing a directory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// Lines of a `.gitignore` of the directory, for things that stay out.
    pub exclude: Vec<String>,
    /// Paths, and patterns as in a `.gitignore`, for things that go in against their name or a
    /// `.gitignore`.
    pub include: Vec<String>,
    /// The directories of the node on this machine. None of them need exist.
    pub own: Vec<PathBuf>,
}

/// The reason for which something stays out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "why")]
pub enum Why {
    /// It is git's.
    Git,
    /// It is the node's.
    Node,
    /// It has a name that holds secrets by convention.
    Private { pattern: String },
    /// A `.gitignore` says so.
    Ignored { pattern: String, file: String },
    /// `exclude` says so.
    Excluded { pattern: String },
}

impl std::fmt::Display for Why {
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

/// The convention by which a name is private, as a pattern.
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
    // A key has no extension; a source file that begins with the same three characters has one.
    let is_key = !is_dir && name.starts_with("id_") && (is_ssh || !name.contains('.'));
    is_key.then_some("id_*")
}

/// Whether a file or directory is the node's, or in what is.
pub fn is_own(own: &[PathBuf], place: &Path) -> bool {
    let own = Own::new(own);
    fs::canonicalize(place).is_ok_and(|place| place.ancestors().any(|dir| own.is(dir)))
}

/// The rules of one directory, compiled.
pub(super) struct Compiled {
    exclude: Gitignore,
    include: Vec<Included>,
    own: Own,
}

/// One line of `include`.
struct Included {
    line: String,
    matcher: Gitignore,
    /// The names on the way to what it matches, for a line that begins at the directory.
    way: Vec<Gitignore>,
    /// Whether it matched something that goes in.
    used: Cell<bool>,
}

impl Compiled {
    /// # Errors
    /// [`PackError::Pattern`] for a line that means nothing, [`PackError::Own`] when the directory
    /// is the node's.
    pub fn new(root: &Path, rules: &Rules) -> Result<Self, PackError> {
        let own = Own::new(&rules.own);
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

    /// The reason for which something stays out that `include` cannot add.
    pub fn never(&self, place: &Path, is_dir: bool, is_link: bool) -> Option<Why> {
        if place.file_name().is_some_and(|name| name == ".git") {
            return Some(Why::Git);
        }
        let leads_there = || {
            fs::canonicalize(place).is_ok_and(|there| there.ancestors().any(|dir| self.own.is(dir)))
        };
        if is_dir && self.own.is(place) || is_link && leads_there() {
            return Some(Why::Node);
        }
        let excluded = self.exclude.matched(place, is_dir);
        let pattern = excluded
            .is_ignore()
            .then(|| excluded.inner().map(|glob| printable(glob.original())))?;
        Some(Why::Excluded {
            pattern: pattern.unwrap_or_default(),
        })
    }

    /// The first line of `include` that matches this very path.
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

    /// Whether a line of `include` begins at the directory and may match something in this one.
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

    /// Lines of `include` that matched nothing that goes in.
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
            let why = "include only adds; what is to stay out belongs into exclude".to_owned();
            return Err(PackError::Pattern {
                pattern: printable(line),
                list: "include",
                why,
            });
        }
        let path = line.strip_prefix("./").unwrap_or(line);
        // A path is a path from the directory, also where it has one name only.
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
                // After two stars every directory is on the way; an empty matcher stands for it.
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

/// Whether `include` has this very path, and not a pattern that matches it.
pub fn is_named(include: &[String], path: &str) -> bool {
    let as_path = |line: &str| literal(line.strip_prefix("./").unwrap_or(line));
    include
        .iter()
        .any(|line| as_path(line).as_deref() == Some(path))
}

/// The path that a line names, if it is no pattern.
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
    // Git takes a bracket without an end for itself; here it is a mistake.
    builder.allow_unclosed_class(false);
    let unknown = |pattern: &str, error: ignore::Error| {
        // Its own sentence repeats the pattern.
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

/// The node's directories as they are known on this machine, by path and by what the file system
/// calls them: a directory that is mounted a second time is the same one.
struct Own(Vec<(PathBuf, (u64, u64))>);

impl Own {
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

/// The `.gitignore` files on the way to a directory.
pub(super) struct Chain {
    matcher: Gitignore,
    /// The file, as it is shown.
    file: String,
    above: Option<std::rc::Rc<Chain>>,
}

impl Chain {
    /// The chain within `dir`, whose `.gitignore` is read if it has one.
    ///
    /// # Errors
    /// [`PackError::Ignore`] when it cannot be understood.
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

    /// The reason, if the nearest file that says something of this path keeps it out.
    pub fn ignores(&self, place: &Path, is_dir: bool) -> Option<Why> {
        let mut next = Some(self);
        while let Some(here) = next {
            match here.matcher.matched(place, is_dir) {
                ignore::Match::None => next = here.above.as_deref(),
                ignore::Match::Whitelist(_) => return None,
                ignore::Match::Ignore(glob) => {
                    let pattern = printable(glob.original());
                    return Some(Why::Ignored {
                        pattern,
                        file: here.file.clone(),
                    });
                }
            }
        }
        None
    }
}
