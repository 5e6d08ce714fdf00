//! Extracts one file from an untrusted zip or tar archive.

use std::{
    collections::BTreeSet,
    fs::File,
    io::{self, BufReader, Read, Seek, SeekFrom},
};

use flate2::read::MultiGzDecoder;
use jiff::{civil, tz::TimeZone};
use zip::{
    ExtraField, ZipArchive, ZipReadOptions,
    read::{ArchiveOffset, Config},
    result::ZipError,
};

use super::{ArchiveError, MAX_METADATA};
use crate::{
    archive::{
        extract::{ExtractLimits, entries::check_end, meter::Meter},
        read::{ReadmeFile, TarFile, files, whole},
    },
    domain::time::Timestamp,
};

/// The most bytes read of a zip archive's directory and local headers: 65,535 files take a third of
/// it.
const MAX_DIRECTORY: u64 = 64 << 20;
/// The signature of a zip archive's end record, which has 22 bytes and a comment of up to 65,535.
const END: &[u8] = b"PK\x05\x06";
const END_SIZE: usize = 22;
/// The signature of the zip64 locator before it, in archives of more than 4 GiB or 65,535 files.
const END_LOCATOR: &[u8] = b"PK\x06\x07";
const LOCATOR_SIZE: usize = 20;
/// The fewest bytes that a file takes in the directory.
const LISTED_SIZE: u64 = 46;

#[derive(Debug)]
pub(super) struct ArchivedFile {
    /// The path as in the archive.
    pub path: Vec<u8>,
    pub bytes: Vec<u8>,
    /// The latest modification time in the archive.
    pub written_at: Option<Timestamp>,
}

/// The metadata file, and the readme at the top of a tar archive.
pub(super) type FoundMetadata = (ArchivedFile, Option<ReadmeFile>);

/// Returns the only wanted file of a zip archive.
///
/// # Errors
/// There is none or more than one, or the directory contradicts the local headers.
pub(super) fn of_zip(
    mut archive: File,
    is_wanted: fn(&[u8]) -> bool,
    what: &'static str,
) -> Result<FoundMetadata, ArchiveError> {
    check_directory(&mut archive)?;
    let metered = Metered {
        reader: BufReader::new(archive),
        left: MAX_DIRECTORY,
    };
    let config = Config {
        archive_offset: ArchiveOffset::Known(0),
    };
    let mut archive = ZipArchive::with_config(config, metered).map_err(unzipped)?;
    archive.validate_header_consistency().map_err(unzipped)?;
    let top = |path: &[u8]| {
        path.split(|byte| *byte == b'/')
            .next()
            .unwrap_or_default()
            .to_ascii_lowercase()
    };
    let infos: BTreeSet<Vec<u8>> = archive
        .file_names_raw()
        .map(top)
        .filter(|top| top.ends_with(b".dist-info"))
        .collect();
    if infos.len() > 1 {
        return Err(ArchiveError::Ambiguous(
            "it has several metadata directories".to_owned(),
        ));
    }
    let path = one(
        archive
            .file_names_raw()
            .filter(|path| is_wanted(path))
            .map(<[u8]>::to_vec)
            .collect(),
        what,
    )?;
    let index = archive
        .index_for_name_raw(&path)
        .ok_or(ArchiveError::Missing(what))?;
    let options = ZipReadOptions::new().enforce_header_consistency(true);
    let mut entry = archive
        .by_index_with_options(index, options)
        .map_err(unzipped)?;
    if !entry.is_file() {
        return Err(ArchiveError::Missing(what));
    }
    let extended = entry.extra_data_fields().find_map(|field| match field {
        ExtraField::ExtendedTimestamp(times) => times.mod_time(),
        _ => None,
    });
    let written_at = entry
        .last_modified()
        .and_then(dos_time)
        .max(extended.map(u64::from).and_then(seconds));
    let size = entry.size();
    let bytes = bounded(&mut entry, size)?;
    Ok((
        ArchivedFile {
            path,
            bytes,
            written_at,
        },
        None,
    ))
}

/// Checks that there is one directory, that it lies where the end record says, and that its size
/// fits the claimed number of files, because the library allocates memory for that number.
fn check_directory(archive: &mut File) -> Result<(), ArchiveError> {
    let length = archive.seek(SeekFrom::End(0))?;
    let searched = length.min((END_SIZE + LOCATOR_SIZE + usize::from(u16::MAX)) as u64);
    archive.seek(SeekFrom::Start(length - searched))?;
    let mut tail = Vec::new();
    archive.by_ref().take(searched).read_to_end(&mut tail)?;
    archive.seek(SeekFrom::Start(0))?;
    let end = memchr::memmem::rfind(&tail, END).and_then(|at| tail.split_at_checked(at));
    let (before, end) = end.ok_or_else(|| ArchiveError::damaged("it has no end"))?;
    let number = |at: usize, bytes: usize| {
        end.get(at..at + bytes).map(|bytes| {
            bytes
                .iter()
                .rev()
                .fold(0, |number, byte| number << 8 | u64::from(*byte))
        })
    };
    let fields = || {
        Some([
            number(4, 4)?,
            number(8, 2)?,
            number(10, 2)?,
            number(12, 4)?,
            number(16, 4)?,
            number(20, 2)?,
        ])
    };
    let [disks, here, files, size, start, comment] =
        fields().ok_or_else(|| ArchiveError::damaged("it is cut off"))?;
    let large = before
        .len()
        .checked_sub(LOCATOR_SIZE)
        .and_then(|at| before.get(at..))
        .is_some_and(|at| at.starts_with(END_LOCATOR));
    if large || files == u64::from(u16::MAX) || start == u64::from(u32::MAX) {
        return Err(ArchiveError::TooLarge);
    }
    let at = length - end.len() as u64;
    let fits = end.len() as u64 == END_SIZE as u64 + comment
        && start + size == at
        && files * LISTED_SIZE <= size;
    if disks == 0 && here == files && fits {
        Ok(())
    } else {
        Err(ArchiveError::damaged(
            "its directory is not where its end record says",
        ))
    }
}

/// Returns the only wanted file of a gzipped tar archive, reading all of it.
///
/// # Errors
/// As [`of_zip`].
pub(super) fn of_tar(
    archive: File,
    is_wanted: fn(&[u8]) -> bool,
    what: &'static str,
) -> Result<FoundMetadata, ArchiveError> {
    let limits = ExtractLimits::default();
    let meter = Meter::new(limits.bytes, limits.ratio);
    let mut unpacked = meter.unpacked(MultiGzDecoder::new(meter.packed(BufReader::new(archive))));
    let found = search(&mut unpacked, is_wanted, what);
    // Readers in between turn the meter's error into their own.
    if meter.over().is_some() {
        Err(ArchiveError::TooLarge)
    } else {
        found
    }
}

fn search(
    unpacked: &mut impl Read,
    is_wanted: fn(&[u8]) -> bool,
    what: &'static str,
) -> Result<FoundMetadata, ArchiveError> {
    let mut found = Vec::new();
    let mut readme: Option<ReadmeFile> = None;
    files(
        unpacked,
        |TarFile {
             path,
             size,
             changed,
             content,
         }| {
            if is_wanted(path) {
                if !found.is_empty() {
                    return Err(several());
                }
                let bytes = bounded(content, size)?;
                found.push(ArchivedFile {
                    path: path.to_vec(),
                    bytes,
                    written_at: changed.and_then(seconds),
                });
            } else if let Some(name) = readme_at_top(path)
                && ReadmeFile::is_better(name, readme.as_ref())
                && let Some(bytes) =
                    whole(content, size, ReadmeFile::MOST).map_err(ArchiveError::damaged)?
            {
                readme = Some(ReadmeFile {
                    name: name.to_owned(),
                    bytes,
                });
            }
            Ok(())
        },
    )?;
    let member = one(found, what)?;
    check_end(unpacked, &mut [0; 8 << 10])?;
    Ok((member, readme))
}

/// Returns the name of a file that lies directly in a top directory.
fn readme_at_top(path: &[u8]) -> Option<&str> {
    let (_, name) = std::str::from_utf8(path.strip_prefix(b"./").unwrap_or(path))
        .ok()?
        .split_once('/')?;
    (!name.contains('/')).then_some(name)
}

fn one<T>(mut found: Vec<T>, what: &'static str) -> Result<T, ArchiveError> {
    let first = found.pop().ok_or(ArchiveError::Missing(what))?;
    if found.is_empty() {
        Ok(first)
    } else {
        Err(several())
    }
}

fn several() -> ArchiveError {
    ArchiveError::Ambiguous("it has several metadata files".to_owned())
}

/// Reads all bytes of a file that claims `size` of them.
fn bounded(reader: impl Read, size: u64) -> Result<Vec<u8>, ArchiveError> {
    whole(reader, size, MAX_METADATA)
        .map_err(ArchiveError::damaged)?
        .ok_or(ArchiveError::TooLarge)
}

fn unzipped(error: ZipError) -> ArchiveError {
    match error {
        ZipError::Io(error) if error.get_ref().is_some_and(|inner| inner.is::<TooMuch>()) => {
            ArchiveError::TooLarge
        }
        other => ArchiveError::damaged(other),
    }
}

fn seconds(at: u64) -> Option<Timestamp> {
    at.checked_mul(1_000).filter(|at| *at > 0).map(Timestamp)
}

/// Converts a zip time, which has no time zone, as UTC, which most build tools write.
fn dos_time(at: zip::DateTime) -> Option<Timestamp> {
    let part = |part: u8| i8::try_from(part).ok();
    let (year, month, day) = (
        i16::try_from(at.year()).ok()?,
        part(at.month())?,
        part(at.day())?,
    );
    let (hour, minute, second) = (part(at.hour())?, part(at.minute())?, part(at.second())?);
    let at = civil::DateTime::new(year, month, day, hour, minute, second, 0).ok()?;
    u64::try_from(at.to_zoned(TimeZone::UTC).ok()?.timestamp().as_second())
        .ok()
        .and_then(seconds)
}

#[derive(Debug, thiserror::Error)]
#[error("it has too much in it")]
struct TooMuch;

/// A reader that fails after `left` bytes.
struct Metered<R> {
    reader: R,
    left: u64,
}

impl<R: Read> Read for Metered<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(buffer)?;
        self.left = self
            .left
            .checked_sub(read as u64)
            .ok_or_else(|| io::Error::other(TooMuch))?;
        Ok(read)
    }
}

impl<R: Seek> Seek for Metered<R> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.reader.seek(to)
    }
}
