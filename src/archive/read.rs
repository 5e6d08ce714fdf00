//! Shared parts of the archive readers: nothing is unpacked to disk, few files are kept, and every
//! length is bounded.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

use liblzma::{
    read::XzDecoder,
    stream::{CONCATENATED, Stream},
};

use super::extract::{
    ExtractError, Unsafe,
    entries::{EntryContent, TarEntries, TarEntry},
    meter::UNJUDGED,
};
use crate::{
    domain::{manifest::limit, text::printable, time::Timestamp},
    ecosystem::InvalidText,
};

/// The most entries of a tar archive that are read.
pub(super) const MAX_ENTRIES: u64 = 100_000;
/// The most bytes unpacked for each packed byte: programs have a ratio of 3 to 10.
const MAX_RATIO: u64 = 200;
/// Memory for unpacking xz, in bytes. `xz -9` needs 65 MiB, while the format allows 4 GiB.
const XZ_MEMORY: u64 = 128 << 20;

/// The reason why an archive cannot be published.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    #[error("it cannot be read: {}", printable(&.0.to_string()))]
    Unreadable(#[from] io::Error),
    #[error("it is not a file")]
    NotFile,
    #[error("its name {0}")]
    BadFileName(InvalidText),
    #[error("it is not {0}")]
    Other(&'static str),
    #[error("its {0}")]
    OtherFormat(String),
    #[error("it is damaged: {}", printable(.0))]
    Damaged(String),
    #[error("it is too large, or unpacks to too much")]
    TooLarge,
    #[error("\"{path}\" in it {why}")]
    Odd { path: String, why: Unsafe },
    #[error("it has no {0}")]
    Missing(&'static str),
    #[error("{0}, so programs would interpret it differently")]
    Ambiguous(String),
    #[error("its {what} is not valid: {why}")]
    Bad { what: &'static str, why: String },
    #[error("its name says another release, but its contents are {name} {version}; rename it")]
    OtherRelease { name: String, version: String },
    #[error("another archive has the same name and version")]
    Duplicate,
}

impl ArchiveError {
    pub(super) fn damaged(why: impl ToString) -> Self {
        Self::Damaged(why.to_string())
    }

    pub(super) fn bad(what: &'static str, why: impl ToString) -> Self {
        Self::Bad {
            what,
            why: why.to_string(),
        }
    }
}

impl From<ExtractError> for ArchiveError {
    fn from(error: ExtractError) -> Self {
        match error {
            ExtractError::Damaged(error) => Self::Unreadable(error),
            ExtractError::Refused { path, why } => Self::Odd { path, why },
            _ => Self::TooLarge,
        }
    }
}

/// Opens a regular file; a pipe would block.
pub(super) fn open(path: &Path) -> Result<File, ArchiveError> {
    if std::fs::metadata(path)?.is_file() {
        Ok(File::open(path)?)
    } else {
        Err(ArchiveError::NotFile)
    }
}

/// Returns the most bytes that may be unpacked from `packed` bytes: a ratio of 200, at least 16
/// MiB, at most `bound`.
pub(super) fn most_unpacked(packed: u64, bound: u64) -> u64 {
    packed.saturating_mul(MAX_RATIO).clamp(UNJUDGED, bound)
}

pub(super) fn xz<R: Read>(packed: R) -> io::Result<XzDecoder<R>> {
    Ok(XzDecoder::new_stream(
        packed,
        Stream::new_stream_decoder(XZ_MEMORY, CONCATENATED)?,
    ))
}

/// A file in a tar archive.
pub(super) struct TarFile<'a> {
    /// The path as written. It is compared and never joined to a path: `..` is just another name.
    pub path: &'a [u8],
    pub size: u64,
    /// Modification time in seconds since 1970.
    pub changed: Option<u64>,
    pub content: &'a mut dyn Read,
}

/// Calls `keep` with each file of a tar archive up to its end. Anything after the end is not read.
pub(super) fn files(
    unpacked: &mut impl Read,
    mut keep: impl FnMut(TarFile<'_>) -> Result<(), ArchiveError>,
) -> Result<(), ArchiveError> {
    let mut archive = tar::Archive::new(unpacked);
    let mut entries = TarEntries::new(&mut archive)?;
    let mut counted = 0;
    let mut count = || {
        counted += 1;
        if counted > MAX_ENTRIES {
            Err(ExtractError::TooMany { limit: MAX_ENTRIES })
        } else {
            Ok(())
        }
    };
    while let Some(TarEntry {
        path,
        changed,
        what,
    }) = entries.next(&mut count)?
    {
        if let EntryContent::File {
            size, mut content, ..
        } = what
        {
            keep(TarFile {
                path: &path,
                size,
                changed,
                content: &mut content,
            })?;
        }
    }
    Ok(())
}

/// Reads the rest: the checksum is after the last file.
pub(super) fn drain(mut rest: impl Read) -> io::Result<()> {
    io::copy(&mut rest, &mut io::sink()).map(drop)
}

/// Reads all bytes of an entry that claims `size` of them. Returns `None` if that is more than
/// `most`.
pub(super) fn whole(content: impl Read, size: u64, most: u64) -> io::Result<Option<Vec<u8>>> {
    if size > most {
        return Ok(None);
    }
    let mut bytes = Vec::new();
    content.take(most + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 == size {
        Ok(Some(bytes))
    } else {
        Err(io::ErrorKind::UnexpectedEof.into())
    }
}

/// Names of readmes in lower case, in order of preference.
const READMES: [&str; 6] = [
    "readme.md",
    "readme.markdown",
    "readme.mkd",
    "readme",
    "readme.txt",
    "readme.rst",
];

/// A readme of at most [`limit::BESIDE`] bytes, unchanged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadmeFile {
    /// The file's name.
    pub name: String,
    pub bytes: Vec<u8>,
}

impl ReadmeFile {
    /// Largest readme kept, in bytes.
    pub const MOST: u64 = limit::BESIDE;

    /// Returns true if a file of this name is a better readme than `known`.
    pub(super) fn is_better(name: &str, known: Option<&Self>) -> bool {
        rank(name).is_some_and(|new| {
            known.is_none_or(|known| rank(&known.name).is_none_or(|old| new < old))
        })
    }
}

/// Returns the rank of a readme, the lowest being the best, or `None` for other files.
/// `README.zh-CN.md` ranks low, and Debian's remarks last.
fn rank(name: &str) -> Option<usize> {
    let name = name.to_ascii_lowercase();
    match READMES.iter().position(|known| *known == name) {
        None if name == "readme.debian" => Some(READMES.len() + 1),
        None if name.starts_with("readme.") && !name.contains('/') => Some(READMES.len()),
        rank => rank,
    }
}

/// Converts a claimed time in seconds since 1970; `None` if it is before `first` or after `now`.
pub(super) fn claimed(seconds: Option<u64>, first: u64, now: Timestamp) -> Option<Timestamp> {
    let at = seconds
        .filter(|at| *at >= first)?
        .checked_mul(1_000)
        .map(Timestamp)?;
    (at <= now).then_some(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_readme_that_a_person_should_see_wins() {
        let best =
            |names: &[&str]| {
                names.iter().fold(None, |known: Option<ReadmeFile>, name| {
                    match ReadmeFile::is_better(name, known.as_ref()) {
                        true => Some(ReadmeFile {
                            name: (*name).to_owned(),
                            bytes: Vec::new(),
                        }),
                        false => known,
                    }
                })
            };
        for (names, wanted) in [
            (
                &["README.zh-CN.md", "Readme.txt", "README.Debian"][..],
                Some("Readme.txt"),
            ),
            (&["README.Debian", "readme.zh.md"], Some("readme.zh.md")),
            (&["README.rst", "README.md", "README"], Some("README.md")),
            (&["readme.d/x", "READ", "NEWS"], None),
        ] {
            assert_eq!(best(names).map(|readme| readme.name).as_deref(), wanted);
        }
    }

    #[test]
    fn a_claim_is_neither_from_before_there_was_anything_nor_from_after_now() {
        let now = Timestamp(2_000_000);
        for (seconds, wanted) in [
            (Some(999), None),
            (Some(1_000), Some(1_000_000)),
            (Some(2_001), None),
            (Some(u64::MAX), None),
            (None, None),
        ] {
            assert_eq!(
                claimed(seconds, 1_000, now),
                wanted.map(Timestamp),
                "{seconds:?}"
            );
        }
    }
}
