//! Reads the entries of a tar archive together with their extension headers.
//!
//! Headers are read raw, because the tar crate would read an extension header of any length into
//! memory and resolve contradictions silently. Anything that programs interpret differently is
//! refused, because then the archive's contents are ambiguous.

use std::io::{self, Read};

use tar::EntryType;

use super::{ExtractError, Unsafe};

/// Longest extension header, in bytes.
const MAX_EXTENSION: u64 = 64 << 10;
const BLOCK: u64 = 512;

pub(in crate::archive) struct TarEntry<'a, R: Read> {
    /// The path as written.
    pub path: Vec<u8>,
    /// Modification time in seconds since the Unix epoch, the later if there are two.
    pub changed: Option<u64>,
    pub what: EntryContent<tar::Entry<'a, R>>,
}

pub(in crate::archive) enum EntryContent<C> {
    Directory,
    File {
        mode: u32,
        size: u64,
        content: C,
    },
    Link(Vec<u8>),
    /// The target as written.
    HardLink(Vec<u8>),
    Special,
}

pub(in crate::archive) struct TarEntries<'a, R: Read> {
    raw: tar::Entries<'a, R>,
    /// Offset of the header after the last entry.
    end: u64,
}

/// Properties that extension headers give the following entry.
#[derive(Default)]
struct Extension {
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    size: Option<u64>,
    changed: Option<u64>,
}

impl<'a, R: Read> TarEntries<'a, R> {
    pub fn new(archive: &'a mut tar::Archive<R>) -> io::Result<Self> {
        Ok(Self {
            raw: archive.entries()?.raw(true),
            end: 0,
        })
    }

    /// Returns the next entry. `count` is called for each header read.
    ///
    /// # Errors
    /// The archive is damaged or ambiguous, or `count` fails.
    pub fn next(
        &mut self,
        mut count: impl FnMut() -> Result<(), ExtractError>,
    ) -> Result<Option<TarEntry<'a, R>>, ExtractError> {
        let mut extension = Extension::default();
        for entry in self.raw.by_ref() {
            let mut entry = entry.map_err(ExtractError::Damaged)?;
            count()?;
            self.end = entry.raw_file_position() + entry.size().div_ceil(BLOCK) * BLOCK;
            let header = entry.header();
            if header.as_ustar().is_none() && header.as_gnu().is_none() {
                return Err(damaged("it has a header older than ustar"));
            }
            let kind = header.entry_type();
            let path = header.path_bytes().into_owned();
            let ambiguous = || ExtractError::refused(&path, Unsafe::Ambiguous);
            match kind {
                EntryType::GNULongName => {
                    set(&mut extension.path, text(&mut entry)?).ok_or_else(ambiguous)?
                }
                EntryType::GNULongLink => {
                    set(&mut extension.link, text(&mut entry)?).ok_or_else(ambiguous)?
                }
                EntryType::XHeader => {
                    for PaxRecord { key, value } in records(&small(&mut entry)?)? {
                        extension
                            .take(key, value.to_owned())
                            .ok_or_else(ambiguous)?;
                    }
                }
                EntryType::XGlobalHeader => {
                    let mut none = Extension::default();
                    for PaxRecord { key, value } in records(&small(&mut entry)?)? {
                        none.take(key, value.to_owned()).ok_or_else(ambiguous)?;
                    }
                    if !none.is_empty() {
                        return Err(ambiguous());
                    }
                }
                _ => return extension.entry(entry, path, kind).map(Some),
            }
        }
        if extension.is_empty() {
            Ok(None)
        } else {
            Err(damaged("its last entry is missing"))
        }
    }

    /// Returns the offset at which the archive must end.
    pub fn end(&self) -> u64 {
        self.end
    }
}

impl Extension {
    fn is_empty(&self) -> bool {
        self.path.is_none() && self.link.is_none() && self.size.is_none()
    }

    /// Takes a record. Returns `None` for a duplicate or an unsupported feature.
    fn take(&mut self, key: &[u8], value: Vec<u8>) -> Option<()> {
        match key {
            b"path" => set(&mut self.path, value),
            b"linkpath" => set(&mut self.link, value),
            b"size" => set(
                &mut self.size,
                std::str::from_utf8(&value).ok()?.parse().ok()?,
            ),
            // The time has a fraction: Python writes it here, and 0 into the header.
            b"mtime" => {
                let seconds = value.split(|byte| *byte == b'.').next().unwrap_or_default();
                self.changed = std::str::from_utf8(seconds)
                    .ok()
                    .and_then(|seconds| seconds.parse().ok());
                Some(())
            }
            _ if key.starts_with(b"GNU.sparse.") => None,
            _ => Some(()),
        }
    }

    fn entry<'a, R: Read>(
        self,
        entry: tar::Entry<'a, R>,
        path: Vec<u8>,
        kind: EntryType,
    ) -> Result<TarEntry<'a, R>, ExtractError> {
        let header = entry.header();
        let path = self.path.unwrap_or(path);
        if self.size.is_some_and(|size| size != entry.size()) {
            return Err(ExtractError::refused(&path, Unsafe::Ambiguous));
        }
        let changed = self.changed.max(header.mtime().ok());
        let named = || header.link_name_bytes().map(|name| name.into_owned());
        let what = match kind {
            EntryType::Directory => EntryContent::Directory,
            EntryType::Symlink => EntryContent::Link(self.link.or_else(named).unwrap_or_default()),
            // Some programs treat the bytes after a hard link as the file's, others as the next
            // header.
            EntryType::Link if entry.size() > 0 => {
                return Err(ExtractError::refused(&path, Unsafe::Ambiguous));
            }
            EntryType::Link => EntryContent::HardLink(self.link.or_else(named).unwrap_or_default()),
            EntryType::Regular => {
                let mode = header.mode().map_err(ExtractError::Damaged)?;
                EntryContent::File {
                    mode,
                    size: entry.size(),
                    content: entry,
                }
            }
            _ => EntryContent::Special,
        };
        Ok(TarEntry {
            path,
            changed,
            what,
        })
    }
}

/// Sets a field. Returns `None` if it was already set.
fn set<T>(field: &mut Option<T>, value: T) -> Option<()> {
    field.replace(value).is_none().then_some(())
}

fn small(entry: &mut impl Read) -> Result<Vec<u8>, ExtractError> {
    let mut bytes = Vec::new();
    entry
        .take(MAX_EXTENSION + 1)
        .read_to_end(&mut bytes)
        .map_err(ExtractError::Damaged)?;
    if bytes.len() as u64 > MAX_EXTENSION {
        return Err(damaged("it has an extension header longer than 64 KiB"));
    }
    Ok(bytes)
}

/// Reads a GNU long name without its terminating zero.
fn text(entry: &mut impl Read) -> Result<Vec<u8>, ExtractError> {
    let mut text = small(entry)?;
    text.pop_if(|last| *last == 0);
    Ok(text)
}

struct PaxRecord<'a> {
    key: &'a [u8],
    value: &'a [u8],
}

/// Parses the records of a pax header: `length key=value` and a line feed, with the length counting
/// all of it.
fn records(mut bytes: &[u8]) -> Result<Vec<PaxRecord<'_>>, ExtractError> {
    let mut records = Vec::new();
    while !bytes.is_empty() {
        let (record, rest) =
            record(bytes).ok_or_else(|| damaged("it has a broken extension header"))?;
        records.push(record);
        bytes = rest;
    }
    Ok(records)
}

fn record(bytes: &[u8]) -> Option<(PaxRecord<'_>, &[u8])> {
    let space = bytes.iter().position(|byte| *byte == b' ')?;
    let length = std::str::from_utf8(bytes.get(..space)?)
        .ok()?
        .parse()
        .ok()?;
    let (record, rest) = bytes.split_at_checked(length)?;
    let record = record.get(space + 1..)?.strip_suffix(b"\n")?;
    let equals = record.iter().position(|byte| *byte == b'=')?;
    Some((
        PaxRecord {
            key: record.get(..equals)?,
            value: record.get(equals + 1..)?,
        },
        rest,
    ))
}

/// Checks that only zeros follow. Reads to the end, where compression formats have their checksum.
pub(in crate::archive) fn check_end(
    mut rest: impl Read,
    buffer: &mut [u8],
) -> Result<(), ExtractError> {
    loop {
        match rest.read(buffer) {
            Ok(0) => return Ok(()),
            Ok(read) if buffer.iter().take(read).all(|byte| *byte == 0) => {}
            Ok(_) => return Err(damaged("there is data after its end")),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(ExtractError::Damaged(error)),
        }
    }
}

pub(in crate::archive) fn damaged(why: &'static str) -> ExtractError {
    ExtractError::Damaged(io::Error::other(why))
}
