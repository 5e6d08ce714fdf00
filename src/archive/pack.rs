//! Packs a directory reproducibly: the same bytes on any machine, so anybody can pack it again and
//! compare hashes.
//!
//! Nothing of the machine gets in: neither the file system's order, nor owners, times, umask or git
//! settings. Entries are sorted by the bytes of their paths, headers are GNU's, which encode long
//! names in one form only, and zstd runs on one thread at one level, with a checksum and without
//! the size. A newer zstd library may still write different bytes, which a test detects.

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

pub use listing::{
    EntryKind, FoundKey, LeftOutFile, ListedEntry, ListingRow, PackListing, RefusedFile,
};
pub use rules::{LeftOutReason, Rules, is_named, is_own, private};
use walk::WalkResult;

/// The most files with keys that an error names; more are counted.
const MOST_NAMED: usize = 5;

/// Limits on packing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PackLimits {
    /// The most bytes of all files together, before compression.
    pub bytes: u64,
    /// The most files, links and directories.
    pub entries: u64,
}

impl Default for PackLimits {
    /// 1 GiB in 100,000 entries: more than any sources have, and half of the default limit for
    /// unpacking.
    fn default() -> Self {
        Self {
            bytes: 1 << 30,
            entries: 100_000,
        }
    }
}

/// Progress of packing. Links and directories are not counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PackProgress {
    pub files_done: u64,
    pub files: u64,
    pub bytes_done: u64,
    pub bytes: u64,
}

/// The result of packing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packed {
    /// The number of files, links and directories.
    pub entries: u64,
    pub files: u64,
    /// Total size of the files in bytes.
    pub bytes: u64,
    /// Size of the archive in bytes.
    pub written: u64,
}

/// The reason why there is no archive. Any bytes written so far are useless.
#[derive(Debug, thiserror::Error)]
pub enum PackError {
    #[error("{} cannot be packed: it is not a directory; name the one that the files are \
        in", .0.display())]
    NotDirectory(PathBuf),
    #[error(
        "{} cannot be packed: it is in the directory of your node, where its keys and data are; \
        keep what you publish elsewhere",
        .0.display()
    )]
    Own(PathBuf),
    #[error("{}", refusals(.0))]
    Keys(Vec<RefusedFile>),
    #[error(
        "the pattern \"{pattern}\" in {list} is invalid: {why}; write it like a line of a \
        .gitignore"
    )]
    Pattern {
        pattern: String,
        list: &'static str,
        why: String,
    },
    #[error("nothing was packed, because an ignore file is invalid: {}; correct \
        it", printable(&.0.to_string()))]
    Ignore(ignore::Error),
    #[error("{path} cannot be packed: its path {why}; rename it, or leave it out with exclude")]
    Path { path: String, why: BadPath },
    #[error("{path} cannot be packed: it is a link {why}; change it, or leave it out with exclude")]
    Link { path: String, why: BadLink },
    #[error(
        "{path} cannot be packed: it is {what}, which has no content to publish; leave it out \
        with exclude"
    )]
    Special { path: String, what: &'static str },
    #[error("{path} changed while it was being packed; pack again when nothing writes to it")]
    Changed { path: String },
    #[error(
        "{path} exceeds the limit of {limit} files, links and directories; leave some out with \
        exclude"
    )]
    TooMany { path: String, limit: u64 },
    #[error(
        "{path} exceeds the limit of {limit} bytes for all files together; leave some out with \
        exclude"
    )]
    TooLarge { path: String, limit: u64 },
    #[error(
        "{path} cannot be read: {source}; check that it is there and yours, or leave it out with \
        exclude"
    )]
    Read { path: String, source: io::Error },
    #[error("the archive cannot be written: {0}; check the free space of the disk")]
    Write(io::Error),
}

/// Writes the archive of `dir` to `out`, which must not lie in `dir`: the files found by [`plan`].
///
/// # Errors
/// The path of something that cannot be packed, a limit that is exceeded, a file that changes, or a
/// disk error.
pub fn pack(
    dir: &Path,
    rules: &Rules,
    limits: PackLimits,
    out: impl Write,
    told: impl FnMut(PackProgress),
) -> Result<Packed, PackError> {
    plan(dir, rules, limits)?.write(out, told)
}

/// Lists the files for an archive of `dir`, and searches them for private keys. It leaves out
/// `.git`, the node's own directories, names that are private by convention, and matches of
/// `exclude` or of a `.gitignore` in the tree, whether or not it is a checkout. Other hidden files
/// and empty directories are included.
///
/// # Errors
/// The path of something that cannot be packed, or a limit that is exceeded. Files with keys are an
/// error only in [`PackPlan::write`] and [`PackPlan::check`], so that the rest can be shown.
pub fn plan(dir: &Path, rules: &Rules, limits: PackLimits) -> Result<PackPlan, PackError> {
    let found = walk::walk(dir, rules, limits)?;
    let mut refused = Vec::new();
    for item in &found.items {
        if let ItemKind::File { seen, .. } = &item.what
            && let Some(key) = key_in(item, *seen)?
        {
            let path = printable(&item.path);
            let named = rules::is_named(&rules.include, &item.path);
            if key == FoundKey::Own || !named {
                refused.push(RefusedFile { path, key });
            }
        }
    }
    Ok(PackPlan {
        listing: PackListing::of(&found, &refused),
        items: found.items,
    })
}

/// An archive that was planned but not written yet.
pub struct PackPlan {
    items: Vec<PackItem>,
    listing: PackListing,
}

impl PackPlan {
    pub fn listing(&self) -> &PackListing {
        &self.listing
    }

    /// Adds a refused file that is outside the archive, such as the readme.
    pub fn refuse(&mut self, refused: RefusedFile) {
        self.listing.refused.push(refused);
    }

    /// Adds a warning for the publisher.
    pub fn warn(&mut self, warning: String) {
        self.listing.warnings.push(warning);
    }

    /// Checks that no file has a private key.
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
    pub fn write(
        &self,
        out: impl Write,
        told: impl FnMut(PackProgress),
    ) -> Result<Packed, PackError> {
        self.check()?;
        write::write(&self.items, out, told)
    }
}

/// An entry to be written, by its path in the archive.
struct PackItem {
    path: String,
    place: PathBuf,
    what: ItemKind,
    /// The line of `include` that matches it.
    included: Option<String>,
}

enum ItemKind {
    Directory,
    Link(String),
    File { seen: FileStamp, executable: bool },
}

/// A file's identity, size and time, which reveal a change without reading it.
#[derive(Clone, Copy, PartialEq, Eq)]
struct FileStamp {
    file: (u64, u64),
    size: u64,
    modified: (i64, i64),
}

impl FileStamp {
    fn of(metadata: &Metadata) -> Self {
        Self {
            file: (metadata.dev(), metadata.ino()),
            size: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
        }
    }
}

/// Returns the private key in a file, checking that the file did not change meanwhile. Packing
/// compares it with `seen` again.
fn key_in(item: &PackItem, seen: FileStamp) -> Result<Option<FoundKey>, PackError> {
    let path = || printable(&item.path);
    let unread = |source| PackError::Read {
        path: path(),
        source,
    };
    let file = File::open(&item.place).map_err(unread)?;
    let is_same = |file: &File| file.metadata().map(|about| FileStamp::of(&about) == seen);
    if !is_same(&file).map_err(unread)? {
        return Err(PackError::Changed { path: path() });
    }
    let key = find_key(&file, seen.size).map_err(unread)?;
    if !is_same(&file).map_err(unread)? {
        return Err(PackError::Changed { path: path() });
    }
    Ok(key)
}

/// Returns the private key in a file of `size` bytes, if there is one.
///
/// # Errors
/// The file cannot be read.
pub fn find_key(mut file: impl Read, size: u64) -> io::Result<Option<FoundKey>> {
    /// Bytes read at once.
    const CHUNK: usize = 256 << 10;
    let mut bytes = Vec::new();
    if size <= MAX_KEY_FILE {
        file.by_ref()
            .take(MAX_KEY_FILE + 1)
            .read_to_end(&mut bytes)?;
        if KeyFile::recognise(&bytes).is_some() {
            return Ok(Some(FoundKey::Own));
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
    Ok(headers.end().map(|label| FoundKey::Header { label }))
}

fn refusals(refused: &[RefusedFile]) -> String {
    let named: Vec<_> = refused
        .iter()
        .take(MOST_NAMED)
        .map(ToString::to_string)
        .collect();
    let more = match refused.len().saturating_sub(MOST_NAMED) {
        0 => String::new(),
        more => format!("; {more} more files contain keys"),
    };
    format!("nothing was packed: {}{more}", named.join("; "))
}

fn shown(path: &Path) -> String {
    printable(&path.to_string_lossy())
}

#[cfg(test)]
mod tests;
