//! Unpacks untrusted archives safely.
//!
//! Everything is unpacked into a temporary directory next to the destination, and renamed once
//! complete. Symbolic links are made last, so that nothing can be written through one; each path
//! component is still checked before it is entered. Hard links become copies of files unpacked
//! earlier from the same archive, because a link to a file outside would be a way in. Unpacked and
//! copied bytes are counted as they arrive, because headers may lie.
//!
//! If several entries have one path, the last counts, as for tar: `tar -r` appends changed files.
//!
//! Of the modes of files, read and execute permissions and the owner's write permission are kept,
//! subject to the umask; modes of directories, owners and times are not.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, ErrorKind, Read, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt, symlink},
    path::{Path, PathBuf},
};

use super::{
    ArchiveKind,
    path::{self, BadLink, BadPath},
};
use crate::domain::text::{fit, printable};

pub(super) mod entries;
pub(super) mod meter;

use entries::{EntryContent, TarEntries, TarEntry};
use meter::{ExceededLimit, Meter};

/// Limits on unpacking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExtractLimits {
    /// The most bytes after decompression, files and tar headers included.
    pub bytes: u64,
    /// The most entries, counting directories that are only implied by a path.
    pub entries: u64,
    /// The most bytes unpacked for each packed byte. It is checked only after the first 16 MiB,
    /// because a few kilobytes of zeros are harmless.
    pub ratio: u64,
}

impl Default for ExtractLimits {
    /// 2 GiB, 200,000 entries, and a ratio of 200: sources have a ratio of 3 to 10, logs and tables
    /// of up to 100.
    fn default() -> Self {
        Self {
            bytes: 2 << 30,
            entries: 200_000,
            ratio: 200,
        }
    }
}

/// The result of unpacking.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extracted {
    /// Files, links and directories listed in the archive.
    pub entries: u64,
    pub files: u64,
    /// Total size of the files in bytes.
    pub bytes: u64,
}

/// The reason why an entry must not be unpacked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unsafe {
    #[error("has a path that {0}")]
    Path(BadPath),
    #[error("is a link {0}")]
    Link(BadLink),
    #[error("is a hard link to something that is not an earlier file of the archive")]
    HardLink,
    #[error("is neither a file, a link nor a directory")]
    Special,
    #[error("lies below something that is not a directory")]
    Through,
    #[error(
        "is both a directory and something else, or has a name that this file system does not \
        distinguish from another"
    )]
    Conflict,
    #[error("has an ambiguous header, which programs interpret differently")]
    Ambiguous,
}

/// The remedy if the archive is legitimate.
const AS_IT_IS: &str = "if this is intended, use `get` without --extract to fetch the archive \
    itself";

/// The reason why nothing was unpacked. Nothing remains then, neither at the destination nor next
/// to it.
#[derive(Debug, thiserror::Error)]
pub enum ExtractError {
    #[error("nothing can be unpacked to {}: {why}; name a directory that does not exist yet, or \
        an empty one", .into.display())]
    Place { into: PathBuf, why: &'static str },
    #[error(
        "the archive was not unpacked: \"{path}\" in it {why}, which is not supported; {AS_IT_IS}"
    )]
    Refused { path: String, why: Unsafe },
    #[error("the archive was not unpacked: it unpacks to more than {limit} bytes; {AS_IT_IS}")]
    TooLarge { limit: u64 },
    #[error("the archive was not unpacked: it has more than {limit} entries; {AS_IT_IS}")]
    TooMany { limit: u64 },
    #[error(
        "the archive was not unpacked: it unpacks to more than {limit} times its size, like an \
        archive made to fill disks; {AS_IT_IS}"
    )]
    Bomb { limit: u64 },
    #[error("the archive was not unpacked: it is cut off or damaged ({}); fetch it \
        again", printable(&.0.to_string()))]
    Damaged(io::Error),
    #[error("{} cannot be {doing}: {source}; check that the disk is not full, and that the \
        directory is yours", .path.display())]
    File {
        path: PathBuf,
        doing: &'static str,
        source: io::Error,
    },
}

impl ExtractError {
    fn refused(path: &[u8], why: Unsafe) -> Self {
        Self::Refused {
            path: fit(&printable(&String::from_utf8_lossy(path)), 80),
            why,
        }
    }

    fn file(path: &Path, doing: &'static str) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File {
            path,
            doing,
            source,
        }
    }
}

/// Unpacks an archive of the given kind into the directory `into`, which must be empty or missing,
/// while its parent must exist. Needs up to 128 MiB of memory, the largest zstd window.
///
/// # Errors
/// The destination is occupied, the archive is damaged, exceeds a limit or has an unsafe entry, or
/// the disk fails.
pub fn extract(
    reader: impl Read,
    kind: ArchiveKind,
    into: &Path,
    limits: ExtractLimits,
) -> Result<Extracted, ExtractError> {
    let (parent, into) = &vacant(into)?;
    let beside = tempfile::Builder::new()
        .prefix(".swarmdex-unpacking-")
        .tempdir_in(parent)
        .map_err(ExtractError::file(parent, "written to"))?;
    // One level deeper: the temporary directory is private, but the tree needs ordinary modes.
    let mut tree = UnpackedTree::new(beside.path().join("tree"), limits.entries)?;

    let meter = Meter::new(limits.bytes, limits.ratio);
    let packed = meter.packed(reader);
    let unpacked: Box<dyn Read + '_> = match kind {
        ArchiveKind::Zstd => {
            Box::new(zstd::stream::read::Decoder::new(packed).map_err(ExtractError::Damaged)?)
        }
        ArchiveKind::Gzip => Box::new(flate2::read::MultiGzDecoder::new(packed)),
        ArchiveKind::Tar => Box::new(packed),
    };
    let unpacked = tree.unpack(meter.unpacked(unpacked), &meter);
    match meter.over() {
        Some(ExceededLimit::Bytes) => {
            return Err(ExtractError::TooLarge {
                limit: limits.bytes,
            });
        }
        Some(ExceededLimit::Ratio) => {
            return Err(ExtractError::Bomb {
                limit: limits.ratio,
            });
        }
        None => unpacked?,
    }
    let extracted = tree.finish()?;

    fs::rename(beside.path().join("tree"), into).map_err(|source| match source.kind() {
        ErrorKind::AlreadyExists | ErrorKind::DirectoryNotEmpty | ErrorKind::NotADirectory => {
            taken(into)
        }
        _ => ExtractError::File {
            path: into.to_owned(),
            doing: "made",
            source,
        },
    })?;
    // The files are synced. Only the name could be lost in a power failure if the directory cannot
    // be synced.
    let _ = File::open(parent).and_then(|parent| parent.sync_all());
    Ok(extracted)
}

/// Returns the parent of `into` and the destination in it, if the tree can be renamed to it.
fn vacant(into: &Path) -> Result<(PathBuf, PathBuf), ExtractError> {
    let Some(name) = into.file_name() else {
        return Err(ExtractError::Place {
            into: into.to_owned(),
            why: "it has no name of its own",
        });
    };
    let parent = into
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    // Joined again, without a trailing slash, which would follow a link.
    let place = parent.join(name);
    match fs::symlink_metadata(&place) {
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(ExtractError::file(into, "read")(error)),
        Ok(metadata) if !metadata.is_dir() => return Err(taken(into)),
        Ok(_) => {
            let mut files = fs::read_dir(into).map_err(ExtractError::file(into, "read"))?;
            if files.next().is_some() {
                return Err(taken(into));
            }
        }
    }
    Ok((parent.to_owned(), place))
}

fn taken(into: &Path) -> ExtractError {
    ExtractError::Place {
        into: into.to_owned(),
        why: "something is there already",
    }
}

/// The tree unpacked so far.
struct UnpackedTree {
    root: PathBuf,
    limit: u64,
    /// Entries, and directories created on the way to them.
    counted: u64,
    /// Sizes of files by path.
    files: HashMap<String, u64>,
    /// Targets of symbolic links to be created, by path.
    links: BTreeMap<String, String>,
    /// Files and directories to be synced.
    made: BTreeSet<PathBuf>,
    extracted: Extracted,
}

impl UnpackedTree {
    fn new(root: PathBuf, limit: u64) -> Result<Self, ExtractError> {
        let mut tree = Self {
            root,
            limit,
            counted: 0,
            files: HashMap::new(),
            links: BTreeMap::new(),
            made: BTreeSet::new(),
            extracted: Extracted::default(),
        };
        tree.make(tree.root.clone())?;
        Ok(tree)
    }

    fn unpack(&mut self, unpacked: impl Read, meter: &Meter) -> Result<(), ExtractError> {
        let mut archive = tar::Archive::new(unpacked);
        let mut entries = TarEntries::new(&mut archive).map_err(ExtractError::Damaged)?;
        let mut buffer = vec![0; 64 << 10];
        while let Some(entry) = entries.next(|| count(&mut self.counted, self.limit))? {
            self.add(entry, meter, &mut buffer)?;
        }
        // The end must be marked by a block of zeros: otherwise a tar archive cut off between two
        // entries would look complete.
        if meter.bytes_unpacked() == entries.end() {
            return Err(entries::damaged("its end is missing"));
        }
        entries::check_end(archive.into_inner(), &mut buffer)
    }

    fn add<R: Read>(
        &mut self,
        entry: TarEntry<'_, R>,
        meter: &Meter,
        buffer: &mut [u8],
    ) -> Result<(), ExtractError> {
        let TarEntry {
            path: written,
            what,
            ..
        } = entry;
        // `tar -c .` adds an entry for the directory itself, and `./` before every path.
        let mut bytes = written.strip_prefix(b"./").unwrap_or(&written);
        if matches!(what, EntryContent::Directory) {
            bytes = bytes.strip_suffix(b"/").unwrap_or(bytes);
            if matches!(bytes, b"" | b".") && written.starts_with(b".") {
                return Ok(());
            }
        }
        let refused = |why| ExtractError::refused(&written, why);
        let path = path::check(bytes).map_err(|why| refused(Unsafe::Path(why)))?;
        self.extracted.entries += 1;
        match what {
            EntryContent::Directory => {
                let place = self.place(path)?;
                if !fs::symlink_metadata(&place).is_ok_and(|metadata| metadata.is_dir()) {
                    self.clear(path, &place)?;
                    self.make(place)?;
                }
                self.links.remove(path);
                Ok(())
            }
            EntryContent::Link(target) => {
                let target =
                    path::check_link(path, &target).map_err(|why| refused(Unsafe::Link(why)))?;
                let place = self.place(path)?;
                self.clear(path, &place)?;
                self.links.insert(path.to_owned(), target.to_owned());
                Ok(())
            }
            EntryContent::File {
                mode,
                size,
                content,
            } => {
                let (mut file, place) = self.create(path, mode)?;
                copy(content, &mut file, &place, size, buffer)?;
                self.keep(path, place, size);
                Ok(())
            }
            EntryContent::HardLink(target) => {
                let target = target.strip_prefix(b"./").unwrap_or(&target);
                let target = path::check(target).map_err(|_| refused(Unsafe::HardLink))?;
                if let Some(of_link) = self.links.get(target).cloned() {
                    // The target is now relative to another directory.
                    path::check_link(path, of_link.as_bytes())
                        .map_err(|why| refused(Unsafe::Link(why)))?;
                    let place = self.place(path)?;
                    self.clear(path, &place)?;
                    self.links.insert(path.to_owned(), of_link);
                    return Ok(());
                }
                let size = *self
                    .files
                    .get(target)
                    .ok_or_else(|| refused(Unsafe::HardLink))?;
                // `tar -c a a` writes the second one as a link to itself.
                if target == path {
                    return Ok(());
                }
                meter.copies(size).map_err(ExtractError::Damaged)?;
                let from = self.place(target)?;
                let reading = || ExtractError::file(&from, "read");
                let metadata = fs::symlink_metadata(&from).map_err(reading())?;
                if !metadata.is_file() {
                    return Err(refused(Unsafe::HardLink));
                }
                let mut original = File::open(&from).map_err(reading())?;
                let (mut file, place) = self.create(path, metadata.permissions().mode())?;
                io::copy(&mut original, &mut file)
                    .map_err(ExtractError::file(&place, "written"))?;
                self.keep(path, place, size);
                Ok(())
            }
            EntryContent::Special => Err(refused(Unsafe::Special)),
        }
    }

    /// Creates a file at `path`, replacing an earlier entry of the archive.
    fn create(&mut self, path: &str, mode: u32) -> Result<(File, PathBuf), ExtractError> {
        let place = self.place(path)?;
        self.clear(path, &place)?;
        let mut options = OpenOptions::new();
        options
            .write(true)
            .create_new(true)
            .mode(mode & 0o755 | 0o600);
        let file = options
            .open(&place)
            .map_err(|error| taken_by_another(path, &place, error))?;
        Ok((file, place))
    }

    fn keep(&mut self, path: &str, place: PathBuf, size: u64) {
        self.made.insert(place);
        self.files.insert(path.to_owned(), size);
        self.extracted.files += 1;
        self.extracted.bytes += size;
    }

    /// Removes the earlier entry at `path`, because the last one counts. A directory that is not
    /// empty stays and is an error.
    fn clear(&mut self, path: &str, place: &Path) -> Result<(), ExtractError> {
        self.links.remove(path);
        if let Some(size) = self.files.remove(path) {
            fs::remove_file(place).map_err(ExtractError::file(place, "replaced"))?;
            self.made.remove(place);
            self.extracted.files -= 1;
            self.extracted.bytes -= size;
        } else if self.made.contains(place) {
            fs::remove_dir(place).map_err(|error| match error.kind() {
                ErrorKind::DirectoryNotEmpty => {
                    ExtractError::refused(path.as_bytes(), Unsafe::Conflict)
                }
                _ => ExtractError::file(place, "replaced")(error),
            })?;
            self.made.remove(place);
        }
        Ok(())
    }

    /// Returns the destination of `path`, creating its parent directories and entering only real
    /// directories.
    fn place(&mut self, path: &str) -> Result<PathBuf, ExtractError> {
        let mut place = self.root.clone();
        let mut names = path.split('/').peekable();
        while let Some(name) = names.next() {
            place.push(name);
            if names.peek().is_none() {
                break;
            }
            match fs::symlink_metadata(&place) {
                Ok(metadata) if metadata.is_dir() => {}
                Ok(_) => return Err(ExtractError::refused(path.as_bytes(), Unsafe::Through)),
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    count(&mut self.counted, self.limit)?;
                    self.make(place.clone())?;
                }
                Err(error) => return Err(ExtractError::file(&place, "read")(error)),
            }
        }
        Ok(place)
    }

    fn make(&mut self, dir: PathBuf) -> Result<(), ExtractError> {
        DirBuilder::new()
            .mode(0o755)
            .create(&dir)
            .map_err(|error| match error.kind() {
                ErrorKind::AlreadyExists => {
                    ExtractError::refused(self.within(&dir).as_bytes(), Unsafe::Conflict)
                }
                _ => ExtractError::file(&dir, "made")(error),
            })?;
        self.made.insert(dir);
        Ok(())
    }

    fn within(&self, place: &Path) -> String {
        place
            .strip_prefix(&self.root)
            .unwrap_or(place)
            .to_string_lossy()
            .into_owned()
    }

    /// Creates the symbolic links and syncs everything.
    fn finish(mut self) -> Result<Extracted, ExtractError> {
        for (path, target) in std::mem::take(&mut self.links) {
            let place = self.place(&path)?;
            symlink(target, &place).map_err(|error| taken_by_another(&path, &place, error))?;
        }
        // Sync at the end: by then the system has written most of it anyway.
        for place in &self.made {
            File::open(place)
                .and_then(|file| file.sync_all())
                .map_err(ExtractError::file(place, "written"))?;
        }
        Ok(self.extracted)
    }
}

fn taken_by_another(path: &str, place: &Path, error: io::Error) -> ExtractError {
    match error.kind() {
        ErrorKind::AlreadyExists => ExtractError::refused(path.as_bytes(), Unsafe::Conflict),
        _ => ExtractError::file(place, "made")(error),
    }
}

fn count(counted: &mut u64, limit: u64) -> Result<(), ExtractError> {
    *counted += 1;
    if *counted > limit {
        Err(ExtractError::TooMany { limit })
    } else {
        Ok(())
    }
}

fn copy(
    mut content: impl Read,
    file: &mut File,
    place: &Path,
    size: u64,
    buffer: &mut [u8],
) -> Result<(), ExtractError> {
    let mut left = size;
    loop {
        let read = match content.read(buffer) {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            read => read.map_err(ExtractError::Damaged)?,
        };
        if read == 0 {
            break;
        }
        left = left.saturating_sub(read as u64);
        file.write_all(buffer.get(..read).unwrap_or_default())
            .map_err(ExtractError::file(place, "written"))?;
    }
    if left > 0 {
        Err(ExtractError::Damaged(ErrorKind::UnexpectedEof.into()))
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
