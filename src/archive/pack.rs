//! One archive of a directory, the same bytes wherever it is packed: what was published can be
//! packed again by anybody and compared by its hash.
//!
//! Nothing of the machine gets in: not the order in which a file system lists, nor owners, times,
//! umask or the git settings of whoever packs. Entries are sorted by the bytes of their paths;
//! headers are GNU's, which need no records of varying form for long names; zstd works on one
//! thread at one level, with a checksum and without the size. What a newer zstd library writes may
//! differ all the same, and a test notices when it does.

use std::{
    fs::{File, Metadata},
    io::{self, Read, Write},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use super::path::{BadLink, BadPath};
use crate::domain::{
    secret::{Headers, KeyFile, MAX_KEY_FILE},
    text::printable,
};

mod listing;
mod rules;
mod walk;
mod write;

pub use listing::{Entry, EntryKind, Key, LeftOut, Listing, Refused, Row};
pub use rules::{Rules, Why, is_named, is_own, private};
use walk::Found;

/// Files with keys in them that an error names; more are counted.
const MOST_NAMED: usize = 5;

/// What may be packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of all files together, unpacked.
    pub bytes: u64,
    /// Files, links and directories.
    pub entries: u64,
}

impl Default for Limits {
    /// 1 GiB in 100,000 entries: more than sources of anything have, and half of what is unpacked
    /// by default.
    fn default() -> Self {
        Self {
            bytes: 1 << 30,
            entries: 100_000,
        }
    }
}

/// How far it is. Files are those that have bytes; links and directories are not counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Packing {
    pub files_done: u64,
    pub files: u64,
    pub bytes_done: u64,
    pub bytes: u64,
}

/// What was packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packed {
    /// Files, links and directories.
    pub entries: u64,
    pub files: u64,
    /// Bytes of the files.
    pub bytes: u64,
    /// Bytes of the archive.
    pub written: u64,
}

/// Why there is no archive. What was written by then is of no use.
#[derive(Debug, thiserror::Error)]
pub enum PackError {
    #[error("{} cannot be packed: it is not a directory; name the one that the files are in", .0.display())]
    NotDirectory(PathBuf),
    #[error(
        "{} cannot be packed: it is in the directory of your node, where its keys and data are; keep what you publish \
         elsewhere",
        .0.display()
    )]
    Own(PathBuf),
    #[error("{}", refusals(.0))]
    Keys(Vec<Refused>),
    #[error(
        "the pattern \"{pattern}\" in {list} means nothing: {why}; write it like a line of a .gitignore"
    )]
    Pattern {
        pattern: String,
        list: &'static str,
        why: String,
    },
    #[error("nothing was packed, because an ignore file cannot be understood: {}; correct it", printable(&.0.to_string()))]
    Ignore(ignore::Error),
    #[error("{path} cannot be packed: its path {why}; rename it, or leave it out with exclude")]
    Path { path: String, why: BadPath },
    #[error("{path} cannot be packed: it is a link {why}; change it, or leave it out with exclude")]
    Link { path: String, why: BadLink },
    #[error(
        "{path} cannot be packed: it is {what}, which has no content to publish; leave it out with exclude"
    )]
    Special { path: String, what: &'static str },
    #[error("{path} changed while it was packed; pack again when nothing writes to it")]
    Changed { path: String },
    #[error(
        "{path} is more than may be packed: {limit} files, links and directories at most; leave some out with exclude"
    )]
    TooMany { path: String, limit: u64 },
    #[error(
        "{path} is more than may be packed: {limit} bytes at most, all files together; leave some out with exclude"
    )]
    TooLarge { path: String, limit: u64 },
    #[error(
        "{path} cannot be read: {source}; check that it is there and yours, or leave it out with exclude"
    )]
    Read { path: String, source: io::Error },
    #[error("the archive cannot be written: {0}; check the free space of the disk")]
    Write(io::Error),
}

/// Writes the archive of `dir` to `out`, which must not lie in it: what [`plan`] finds.
///
/// # Errors
/// Anything that cannot be packed as it is, by its path; a limit; a file that changes; a disk.
pub fn pack(
    dir: &Path,
    rules: &Rules,
    limits: Limits,
    out: impl Write,
    told: impl FnMut(Packing),
) -> Result<Packed, PackError> {
    plan(dir, rules, limits)?.write(out, told)
}

/// Finds what an archive of `dir` will hold, and reads it through for keys. Left out are `.git`,
/// the node's own directories, names that are private by convention, what a `.gitignore` in the
/// tree says, whether or not it is a checkout, and what
/// `exclude` says. Other hidden files and empty directories are in it.
///
/// # Errors
/// Anything that cannot be packed as it is, by its path; a limit. Files with keys in them are no
/// error before [`Plan::write`] or [`Plan::check`], so that the rest can be shown.
pub fn plan(dir: &Path, rules: &Rules, limits: Limits) -> Result<Plan, PackError> {
    let found = walk::walk(dir, rules, limits)?;
    let mut refused = Vec::new();
    for item in &found.items {
        if let What::File { seen, .. } = &item.what
            && let Some(key) = key_in(item, *seen)?
        {
            let path = printable(&item.path);
            let named = rules::is_named(&rules.include, &item.path);
            if key == Key::Own || !named {
                refused.push(Refused { path, key });
            }
        }
    }
    Ok(Plan {
        listing: Listing::of(&found, &refused),
        items: found.items,
    })
}

/// An archive that was looked at and is still to be written.
pub struct Plan {
    items: Vec<Item>,
    listing: Listing,
}

impl Plan {
    pub fn listing(&self) -> &Listing {
        &self.listing
    }

    /// Adds what must not go along with it, such as a readme that is not in it.
    pub fn refuse(&mut self, refused: Refused) {
        self.listing.refused.push(refused);
    }

    /// Adds what the publisher should know.
    pub fn warn(&mut self, warning: String) {
        self.listing.warnings.push(warning);
    }

    /// Whether nothing in it has to stay where it is.
    ///
    /// # Errors
    /// [`PackError::Keys`] with the paths.
    pub fn check(&self) -> Result<(), PackError> {
        if self.listing.refused.is_empty() {
            Ok(())
        } else {
            Err(PackError::Keys(self.listing.refused.clone()))
        }
    }

    /// Writes the archive to `out`.
    ///
    /// # Errors
    /// As [`pack`].
    pub fn write(&self, out: impl Write, told: impl FnMut(Packing)) -> Result<Packed, PackError> {
        self.check()?;
        write::write(&self.items, out, told)
    }
}

/// One entry to be written, by its path in the archive.
struct Item {
    path: String,
    place: PathBuf,
    what: What,
    /// The line of `include` that matches it.
    included: Option<String>,
}

enum What {
    Directory,
    Link(String),
    File { seen: Seen, executable: bool },
}

/// A file's content as far as it can be told without reading it.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Seen {
    file: (u64, u64),
    size: u64,
    modified: (i64, i64),
}

impl Seen {
    fn of(metadata: &Metadata) -> Self {
        Self {
            file: (metadata.dev(), metadata.ino()),
            size: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
        }
    }
}

/// The key that a file holds. Its bytes are those that are packed later, or packing says that it
/// has changed.
fn key_in(item: &Item, seen: Seen) -> Result<Option<Key>, PackError> {
    let path = || printable(&item.path);
    let unread = |source| PackError::Read {
        path: path(),
        source,
    };
    let file = File::open(&item.place).map_err(unread)?;
    let is_same = |file: &File| file.metadata().map(|about| Seen::of(&about) == seen);
    if !is_same(&file).map_err(unread)? {
        return Err(PackError::Changed { path: path() });
    }
    let key = find_key(&file, seen.size).map_err(unread)?;
    if !is_same(&file).map_err(unread)? {
        return Err(PackError::Changed { path: path() });
    }
    Ok(key)
}

/// The key in a file of so many bytes, if there is one.
///
/// # Errors
/// When it cannot be read.
pub fn find_key(mut file: impl Read, size: u64) -> io::Result<Option<Key>> {
    /// Read at a time.
    const CHUNK: usize = 256 << 10;
    let mut bytes = Vec::new();
    if size <= MAX_KEY_FILE {
        file.by_ref()
            .take(MAX_KEY_FILE + 1)
            .read_to_end(&mut bytes)?;
        if KeyFile::recognise(&bytes).is_some() {
            return Ok(Some(Key::Own));
        }
    }
    let mut headers = Headers::default();
    headers.take(&bytes);
    let mut chunk = vec![0; CHUNK];
    loop {
        match file.read(&mut chunk) {
            Ok(0) => break,
            Ok(read) => headers.take(chunk.get(..read).unwrap_or_default()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(headers.end().map(|label| Key::Header { label }))
}

fn refusals(refused: &[Refused]) -> String {
    let named: Vec<_> = refused
        .iter()
        .take(MOST_NAMED)
        .map(ToString::to_string)
        .collect();
    let more = match refused.len().saturating_sub(MOST_NAMED) {
        0 => String::new(),
        more => format!("; {more} more files have keys in them too"),
    };
    format!("nothing was packed: {}{more}", named.join("; "))
}

fn shown(path: &Path) -> String {
    printable(&path.to_string_lossy())
}

#[cfg(test)]
mod tests;
