//! Reads untrusted wheels and source distributions: nothing is unpacked to disk, one file is read,
//! the metadata, and every length is bounded.
//!
//! An archive that programs would interpret differently is refused: pip uses a zip archive's
//! directory, other programs the headers before each file, and of two metadata files one program
//! takes the first and another the last.

use std::path::Path;

use super::{ArchiveError, ReadmeFile, read};
use crate::{
    domain::{text::printable, time::Timestamp},
    ecosystem::{
        Ecosystem,
        pypi::file::{FileName, Packing},
    },
};

mod container;
mod metadata;

use container::ArchivedFile;
pub use metadata::{CoreMetadata, DescriptionText, RequiresDist};

/// Largest metadata file in bytes, the same as for a readme.
pub const MAX_METADATA: u64 = 1 << 20;

/// A wheel or a source distribution, as its metadata describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Distribution {
    pub file: FileName,
    pub metadata: CoreMetadata,
    /// The bytes of `METADATA` in a wheel, which an index serves next to it (PEP 658), or of
    /// `PKG-INFO` in a source distribution.
    pub metadata_file: Vec<u8>,
    /// The README at the top of a source distribution; its metadata usually has the same text.
    pub readme: Option<ReadmeFile>,
    /// The time of the metadata file, if it is plausible.
    pub published_at: Option<Timestamp>,
}

/// Reads the distribution at `path`. Its time is accepted up to `now`.
///
/// # Errors
/// The reason why it cannot be published.
pub fn read(path: &Path, now: Timestamp) -> Result<Distribution, ArchiveError> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let file = FileName::parse(&name).map_err(ArchiveError::BadFileName)?;
    let archive = read::open(path)?;
    let (
        ArchivedFile {
            path,
            bytes,
            written_at,
        },
        readme,
    ) = match &file {
        FileName::Wheel(_) => container::of_zip(archive, is_wheel_metadata, "METADATA")?,
        FileName::Source(source) => match source.packing {
            Packing::Zip => container::of_zip(archive, is_source_metadata, "PKG-INFO")?,
            Packing::TarGz => container::of_tar(archive, is_source_metadata, "PKG-INFO")?,
        },
    };
    let metadata = CoreMetadata::parse(&bytes)
        .map_err(|why| ArchiveError::bad("metadata", format!("it {why}")))?;
    check_release(&file, &metadata.name, &metadata.version)?;
    if let FileName::Wheel(_) = &file {
        check_directory(&file, &path)?;
    }
    let published_at = written_at.filter(|at| is_sane(*at, now));
    Ok(Distribution {
        file,
        metadata,
        metadata_file: bytes,
        readme,
        published_at,
    })
}

/// Returns true for `NAME-VERSION.dist-info/METADATA`, at the top.
fn is_wheel_metadata(path: &[u8]) -> bool {
    below_top(path, b"METADATA")
        .is_some_and(|top| top.to_ascii_lowercase().ends_with(b".dist-info"))
}

/// Returns true for `PKG-INFO` in any top directory: in old archives its name may differ from the
/// file's.
fn is_source_metadata(path: &[u8]) -> bool {
    below_top(path, b"PKG-INFO").is_some_and(|top| !matches!(top, b"" | b"." | b".."))
}

/// Returns the top directory that directly has a file with this name.
fn below_top<'a>(path: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let path = path.strip_prefix(b"./").unwrap_or(path);
    path.strip_suffix(name)?
        .strip_suffix(b"/")
        .filter(|top| !top.contains(&b'/'))
}

/// Checks that a file has the release inside that its name says.
fn check_release(file: &FileName, name: &str, version: &str) -> Result<(), ArchiveError> {
    let normal = |name: &str| Ecosystem::Pypi.normalise(name);
    let inside = normal(name)
        .map_err(|why| ArchiveError::bad("metadata", format!("it has a name that {why}")))?;
    let parsed = Ecosystem::Pypi.version(version);
    let parsed = parsed
        .map_err(|why| ArchiveError::bad("metadata", format!("it has a version that {why}")))?;
    if normal(file.name()).ok().as_ref() == Some(&inside) && *file.version() == parsed {
        return Ok(());
    }
    Err(ArchiveError::OtherRelease {
        name: inside,
        version: printable(version),
    })
}

/// Checks that the directory of a wheel's metadata names the release too, because installers use
/// that.
fn check_directory(file: &FileName, path: &[u8]) -> Result<(), ArchiveError> {
    let other = || {
        ArchiveError::Ambiguous(
            "the directory of its metadata is called after another release".to_owned(),
        )
    };
    let top = std::str::from_utf8(path)
        .ok()
        .and_then(|path| path.split_once(".dist-info/"))
        .ok_or_else(other)?
        .0;
    let (name, version) = top.rsplit_once('-').ok_or_else(other)?;
    check_release(file, name, version).map_err(|_| other())
}

/// Returns true for a time between PyPI's start and now. Exact midnights are constants of build
/// tools: hatchling writes 2020-02-02, poetry 2016-01-01.
fn is_sane(at: Timestamp, now: Timestamp) -> bool {
    /// 2003-01-01.
    const FIRST: Timestamp = Timestamp(1_041_379_200_000);
    const DAY: u64 = 86_400_000;
    (FIRST..=now).contains(&at) && !at.0.is_multiple_of(DAY)
}

#[cfg(test)]
mod tests;
