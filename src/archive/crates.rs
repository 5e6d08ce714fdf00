//! Reads untrusted `.crate` archives: nothing is unpacked to disk, two files are read, and every
//! length is bounded.

use std::{
    fs::File,
    io::{self, Read, Seek},
    path::Path,
};

use flate2::read::GzDecoder;
use sha2::{Digest as _, Sha256};
use toml::{Table, Value};

use super::{
    ArchiveError,
    read::{open, whole},
};
use crate::{
    domain::{
        hash::{Digest, Sha256Digest},
        manifest::{Content, Draft, limit},
        text::printable,
    },
    ecosystem::InvalidText,
};

mod attested;
mod index;
mod manifest;

/// Largest archive read, in bytes: the gateway's default upload limit.
const MAX_ARCHIVE: u64 = 512 << 20;
/// Bytes read at once.
const PIECE: usize = 256 << 10;
/// The most bytes unpacked in search of manifest and readme. Cargo writes them among the first
/// files, well within the first megabyte.
const MAX_UNPACKED: u64 = 16 << 20;
/// The most files searched for them.
const MAX_FILES: usize = 4_096;
/// The manifest's name in messages.
const MANIFEST: &str = "Cargo.toml";
/// Largest manifest, in bytes: generated ones with thousands of features take a few hundred KiB.
const MAX_MANIFEST: u64 = 512 << 10;

/// A crate ready to be published: its draft is valid, without a handle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CrateFile {
    pub draft: Draft,
    /// The archive itself.
    pub content: Content,
    /// Dependencies that the draft cannot express, each with the reason.
    pub left_out: Vec<String>,
    /// The readme named in `Cargo.toml`, otherwise README.md; `None` without one of at most
    /// [`limit::BESIDE`] bytes of UTF-8.
    pub readme: Option<String>,
    /// Modification time of `Cargo.toml` in the archive, in seconds since 1970. Cargo writes a
    /// constant in 2006 for most crates.
    pub written_at: Option<u64>,
    /// Its line in a cargo registry's index, without a line feed, at most [`limit::BESIDE`] bytes.
    /// For a file in a cargo home it is the registry's own line, with the registry as `upstream`.
    pub index: String,
}

/// Reads the crate at `path`. Reads the file once, and its beginning twice more, without keeping it
/// in memory.
///
/// # Errors
/// The reason why it cannot be published.
pub fn read(path: &Path) -> Result<CrateFile, ArchiveError> {
    let stem = path
        .file_stem()
        .and_then(|stem| stem.to_str())
        .filter(|stem| stem.contains('-'));
    let stem = stem.ok_or_else(|| {
        ArchiveError::BadFileName(InvalidText(
            "is not of the form name-version.crate".to_owned(),
        ))
    })?;
    let mut archive = open(path)?;
    if archive.metadata()?.len() > MAX_ARCHIVE {
        return Err(ArchiveError::TooLarge);
    }
    let (content, digest) = digests((&mut archive).take(MAX_ARCHIVE))?;
    let (text, written_at) = find(&mut archive, &format!("{stem}/Cargo.toml"), MAX_MANIFEST)?
        .ok_or(ArchiveError::Missing(MANIFEST))?;
    let text =
        String::from_utf8(text).map_err(|_| ArchiveError::bad(MANIFEST, "it is not UTF-8"))?;
    let bad = |why| ArchiveError::bad(MANIFEST, why);
    let manifest: Table = toml::from_str(&text).map_err(|error| bad(printable(error.message())))?;
    let (draft, left_out) = manifest::release(&manifest).map_err(bad)?;
    let digest = digest.to_string();
    let index = match attested::line(path, draft.name.as_str(), draft.version.as_str(), &digest) {
        Some(line) => line,
        None => index::line(&manifest, digest).map_err(bad)?,
    };
    if index.len() as u64 > limit::BESIDE {
        return Err(ArchiveError::TooLarge);
    }
    let readme = match readme_of(&manifest) {
        Some(name) => readme(&mut archive, &format!("{stem}/{name}"))?,
        None => None,
    };
    Ok(CrateFile {
        draft,
        content,
        left_out,
        readme,
        written_at,
        index,
    })
}

/// Reads an archive from its current position to its end, and returns its root, size and digest.
fn digests(mut archive: impl Read) -> io::Result<(Content, Sha256Digest)> {
    let (mut root, mut sha256, mut buffer) = (blake3::Hasher::new(), Sha256::new(), vec![0; PIECE]);
    loop {
        let read = archive.read(&mut buffer)?;
        let piece = buffer.get(..read).unwrap_or_default();
        if piece.is_empty() {
            let content = Content {
                root: root.finalize().into(),
                size: root.count(),
            };
            return Ok((content, Digest(sha256.finalize().into())));
        }
        root.update(piece);
        sha256.update(piece);
    }
}

/// Returns the path of the readme, relative to the crate's directory.
fn readme_of(manifest: &Table) -> Option<&str> {
    let name = match manifest
        .get("package")
        .and_then(|package| package.get("readme"))
    {
        Some(Value::String(name)) => name.strip_prefix("./").unwrap_or(name),
        Some(Value::Boolean(false)) => return None,
        _ => "README.md",
    };
    Some(name)
}

fn readme(archive: &mut File, wanted: &str) -> Result<Option<String>, ArchiveError> {
    match find(archive, wanted, limit::BESIDE) {
        Ok(found) => Ok(found.and_then(|(text, _)| String::from_utf8(text).ok())),
        // A crate with a huge readme is still a crate.
        Err(ArchiveError::TooLarge) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The bytes of a file, and its modification time in seconds since 1970.
type EntryBytes = (Vec<u8>, Option<u64>);

/// Finds a file of at most `most` bytes in the archive.
fn find(archive: &mut File, wanted: &str, most: u64) -> Result<Option<EntryBytes>, ArchiveError> {
    archive.rewind()?;
    let mut unpacked = GzDecoder::new(archive).take(MAX_UNPACKED);
    match search(&mut unpacked, wanted, most) {
        // We stopped reading here; the archive itself is not truncated.
        Err(ArchiveError::Unreadable(_)) | Ok(None) if unpacked.limit() == 0 => {
            Err(ArchiveError::TooLarge)
        }
        found => found,
    }
}

fn search(
    unpacked: &mut impl Read,
    wanted: &str,
    most: u64,
) -> Result<Option<EntryBytes>, ArchiveError> {
    let mut archive = tar::Archive::new(unpacked);
    for entry in archive.entries()?.take(MAX_FILES) {
        let mut entry = entry?;
        // Compared as bytes and never joined to a path: `..` is just another name.
        if !entry.header().entry_type().is_file() || *entry.path_bytes() != *wanted.as_bytes() {
            continue;
        }
        let (size, changed) = (entry.size(), entry.header().mtime().ok());
        let bytes = whole(&mut entry, size, most)?.ok_or(ArchiveError::TooLarge)?;
        return Ok(Some((bytes, changed)));
    }
    Ok(None)
}

#[cfg(test)]
mod tests;
