//! One archive of a directory, the same bytes wherever it is packed: what was published can be packed again by anybody
//! and compared by its hash.
//!
//! Nothing of the machine gets in: not the order in which a file system lists, nor owners, times, umask or the git
//! settings of whoever packs. Entries are sorted by the bytes of their paths; headers are GNU's, which need no records
//! of varying form for long names; zstd works on one thread at one level, with a checksum and without the size. What a
//! newer zstd library writes may differ all the same, and a test notices when it does.

use std::{
    fs::{self, File, Metadata},
    io::{self, Read, Write},
    os::unix::fs::{FileTypeExt, MetadataExt},
    path::{Path, PathBuf},
};

use ignore::{
    DirEntry, WalkBuilder,
    gitignore::{Gitignore, GitignoreBuilder},
};
use tar::{Builder, EntryType, Header};
use zstd::stream::write::Encoder;

use super::path::{self, BadLink, BadPath};
use crate::domain::text::printable;

/// Packed once and fetched often: beyond this level zstd takes several times as long for a percent or two.
const LEVEL: i32 = 9;
/// Every file's time, in seconds since 1970. Not 0, which some programs take for no time and GNU tar warns of.
const MTIME: u64 = 1;
/// Progress is told each time this much was packed since.
const TELL_BYTES: u64 = 1 << 20;
const TELL_FILES: u64 = 64;

/// What may be packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of all files together, unpacked.
    pub bytes: u64,
    /// Files, links and directories.
    pub entries: u64,
}

impl Default for Limits {
    /// 1 GiB in 100,000 entries: more than sources of anything have, and half of what is unpacked by default.
    fn default() -> Self {
        Self { bytes: 1 << 30, entries: 100_000 }
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
    #[error("the pattern \"{pattern}\" in exclude means nothing: {why}; write it like a line of a .gitignore")]
    Pattern { pattern: String, why: String },
    #[error("nothing was packed, because an ignore file cannot be understood: {}; correct it", printable(&.0.to_string()))]
    Ignore(ignore::Error),
    #[error("{path} cannot be packed: its path {why}; rename it, or leave it out with exclude")]
    Path { path: String, why: BadPath },
    #[error("{path} cannot be packed: it is a link {why}; change it, or leave it out with exclude")]
    Link { path: String, why: BadLink },
    #[error("{path} cannot be packed: it is {what}, which has no content to publish; leave it out with exclude")]
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
    #[error("{path} cannot be read: {source}; check that it is there and yours, or leave it out with exclude")]
    Read { path: String, source: io::Error },
    #[error("the archive cannot be written: {0}; check the free space of the disk")]
    Write(io::Error),
}

/// Writes the archive of `dir` to `out`, which must not lie in it. Left out are `.git`, what a `.gitignore` in the tree
/// says, whether or not it is a checkout, and what `exclude` says (patterns as in a `.gitignore` of `dir`). Other hidden
/// files and empty directories are in it.
///
/// # Errors
/// Anything that cannot be packed as it is, by its path; a limit; a file that changes; a disk.
pub fn pack(
    dir: &Path,
    exclude: &[String],
    limits: Limits,
    out: impl Write,
    told: impl FnMut(Packing),
) -> Result<Packed, PackError> {
    let items = walk(dir, exclude, limits)?;
    write(&items, out, told)
}

/// One entry to be written, by its path in the archive.
struct Item {
    path: String,
    place: PathBuf,
    what: What,
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

fn walk(dir: &Path, exclude: &[String], limits: Limits) -> Result<Vec<Item>, PackError> {
    let unread = |source| PackError::Read { path: shown(dir), source };
    // An absolute root, so that what a pattern is matched against does not depend on how the directory was named.
    let root = fs::canonicalize(dir).map_err(unread)?;
    if !root.is_dir() {
        return Err(PackError::NotDirectory(dir.to_owned()));
    }
    let excluded = patterns(&root, exclude)?;
    let wanted = move |entry: &DirEntry| {
        let directory = entry.file_type().is_some_and(|kind| kind.is_dir());
        entry.depth() == 0 || entry.file_name() != ".git" && !excluded.matched(entry.path(), directory).is_ignore()
    };
    let mut found = WalkBuilder::new(&root);
    found.standard_filters(false).git_ignore(true).require_git(false);
    // By name, so that it is always the same path that goes over a limit.
    found.sort_by_file_name(|a, b| a.cmp(b)).filter_entry(wanted);

    let mut items = Vec::new();
    let mut bytes = 0_u64;
    for entry in found.build() {
        let entry = entry.map_err(|error| not_walked(dir, error))?;
        if let Some(error) = entry.error() {
            return Err(PackError::Ignore(error.clone()));
        }
        if entry.depth() == 0 {
            continue;
        }
        let item = item(&root, entry)?;
        if items.len() as u64 >= limits.entries {
            return Err(PackError::TooMany { path: printable(&item.path), limit: limits.entries });
        }
        if let What::File { seen, .. } = &item.what {
            bytes = bytes.saturating_add(seen.size);
        }
        if bytes > limits.bytes {
            return Err(PackError::TooLarge { path: printable(&item.path), limit: limits.bytes });
        }
        items.push(item);
    }
    items.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(items)
}

fn patterns(root: &Path, exclude: &[String]) -> Result<Gitignore, PackError> {
    let mut builder = GitignoreBuilder::new(root);
    let unknown = |pattern: &str, error: ignore::Error| PackError::Pattern {
        pattern: printable(pattern),
        why: printable(&error.to_string()),
    };
    for pattern in exclude {
        builder.add_line(None, pattern).map_err(|error| unknown(pattern, error))?;
    }
    builder.build().map_err(|error| unknown(&exclude.join(" "), error))
}

fn item(root: &Path, entry: DirEntry) -> Result<Item, PackError> {
    let place = entry.into_path();
    let inside = place.strip_prefix(root).unwrap_or(&place);
    let path = path::check(inside.as_os_str().as_encoded_bytes())
        .map_err(|why| PackError::Path { path: shown(inside), why })?
        .to_owned();
    let unread = |source| PackError::Read { path: path.clone(), source };
    let metadata = fs::symlink_metadata(&place).map_err(unread)?;
    let kind = metadata.file_type();
    let special = |what| Err(PackError::Special { path: path.clone(), what });
    let what = if kind.is_dir() {
        What::Directory
    } else if kind.is_symlink() {
        let target = fs::read_link(&place).map_err(unread)?;
        let target = path::check_link(&path, target.as_os_str().as_encoded_bytes())
            .map_err(|why| PackError::Link { path: path.clone(), why })?;
        What::Link(target.to_owned())
    } else if kind.is_file() {
        What::File { seen: Seen::of(&metadata), executable: metadata.mode() & 0o100 != 0 }
    } else if kind.is_socket() {
        return special("a socket");
    } else if kind.is_fifo() {
        return special("a pipe");
    } else {
        return special("a device");
    };
    Ok(Item { path, place, what })
}

fn not_walked(dir: &Path, error: ignore::Error) -> PackError {
    let mut inner = &error;
    let mut path = None;
    while let ignore::Error::WithPath { err, .. } | ignore::Error::WithDepth { err, .. } = inner {
        if let ignore::Error::WithPath { path: known, .. } = inner {
            path = Some(known);
        }
        inner = err;
    }
    let path = shown(path.map_or(dir, |path| path));
    if !error.is_io() {
        return PackError::Ignore(error);
    }
    let source = error.into_io_error().unwrap_or_else(|| io::Error::other("it cannot be listed"));
    PackError::Read { path, source }
}

fn shown(path: &Path) -> String {
    printable(&path.to_string_lossy())
}

fn write(items: &[Item], out: impl Write, told: impl FnMut(Packing)) -> Result<Packed, PackError> {
    let sizes = items.iter().filter_map(|item| match &item.what {
        What::File { seen, .. } => Some(seen.size),
        _ => None,
    });
    let (files, bytes) = sizes.fold((0, 0), |(files, bytes), size| (files + 1, bytes + size));
    let start = Packing { files, bytes, ..Packing::default() };
    let mut progress = Progress { now: start, told_last: start, told };
    progress.tell();

    let mut encoder = Encoder::new(Counted { out, written: 0 }, LEVEL).map_err(PackError::Write)?;
    encoder.include_checksum(true).and_then(|()| encoder.include_contentsize(false)).map_err(PackError::Write)?;
    let mut archive = Builder::new(encoder);
    for item in items {
        append(&mut archive, item, &mut progress)?;
    }
    let out = archive.into_inner().and_then(Encoder::finish);
    let written = out.and_then(|mut out| out.flush().map(|()| out.written)).map_err(PackError::Write)?;
    progress.tell();
    Ok(Packed { entries: items.len() as u64, files, bytes, written })
}

fn append<W: Write, F: FnMut(Packing)>(
    archive: &mut Builder<W>,
    item: &Item,
    progress: &mut Progress<F>,
) -> Result<(), PackError> {
    let Item { path, place, what } = item;
    match what {
        What::Directory => {
            let mut header = header(EntryType::Directory, 0o755, 0);
            archive.append_data(&mut header, path, io::empty()).map_err(PackError::Write)
        }
        What::Link(target) => {
            let mut header = header(EntryType::Symlink, 0o777, 0);
            archive.append_link(&mut header, path, target).map_err(PackError::Write)
        }
        What::File { seen, executable } => {
            let file = File::open(place).map_err(|source| PackError::Read { path: path.clone(), source })?;
            let mut header = header(EntryType::Regular, if *executable { 0o755 } else { 0o644 }, seen.size);
            let mut content = Content { file, left: seen.size, seen: *seen, failed: None, progress };
            let appended = content.check().and_then(|()| archive.append_data(&mut header, path, &mut content));
            match (appended, content.failed) {
                (_, Some(Failed::Changed)) => Err(PackError::Changed { path: path.clone() }),
                (_, Some(Failed::Unread(source))) => Err(PackError::Read { path: path.clone(), source }),
                (Err(error), None) => Err(PackError::Write(error)),
                (Ok(()), None) => {
                    progress.file();
                    Ok(())
                }
            }
        }
    }
}

fn header(kind: EntryType, mode: u32, size: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(size);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(MTIME);
    header
}

/// Exactly the bytes that the header promises, of the file that was found, or an error: a header is written before the
/// bytes are known.
struct Content<'a, F> {
    file: File,
    left: u64,
    seen: Seen,
    failed: Option<Failed>,
    progress: &'a mut Progress<F>,
}

enum Failed {
    Changed,
    Unread(io::Error),
}

impl<F> Content<'_, F> {
    fn check(&mut self) -> io::Result<()> {
        match self.file.metadata() {
            Ok(metadata) if Seen::of(&metadata) == self.seen => Ok(()),
            Ok(_) => Err(self.fail(Failed::Changed)),
            Err(error) => Err(self.fail(Failed::Unread(error))),
        }
    }

    fn fail(&mut self, why: Failed) -> io::Error {
        self.failed = Some(why);
        io::ErrorKind::Other.into()
    }
}

impl<F: FnMut(Packing)> Read for Content<'_, F> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 {
            return self.check().map(|()| 0);
        }
        let most = buffer.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        match self.file.read(buffer.get_mut(..most).unwrap_or_default()) {
            Ok(0) if most > 0 => Err(self.fail(Failed::Changed)),
            Ok(read) => {
                self.left -= read as u64;
                self.progress.bytes(read as u64);
                Ok(read)
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Err(error),
            Err(error) => Err(self.fail(Failed::Unread(error))),
        }
    }
}

struct Progress<F> {
    now: Packing,
    told_last: Packing,
    told: F,
}

impl<F: FnMut(Packing)> Progress<F> {
    fn bytes(&mut self, more: u64) {
        self.now.bytes_done += more;
        if self.now.bytes_done - self.told_last.bytes_done >= TELL_BYTES {
            self.tell();
        }
    }

    fn file(&mut self) {
        self.now.files_done += 1;
        if self.now.files_done - self.told_last.files_done >= TELL_FILES {
            self.tell();
        }
    }

    fn tell(&mut self) {
        self.told_last = self.now;
        (self.told)(self.now);
    }
}

struct Counted<W> {
    out: W,
    written: u64,
}

impl<W: Write> Write for Counted<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(bytes)?;
        self.written += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

#[cfg(test)]
mod tests;
