//! Reading a `.crate` archive, which may have been made by anybody: nothing is unpacked to disk,
//! two files of it are read, and every length is bounded.

use std::{
    fs::File,
    io::{self, Read, Seek},
    path::Path,
};

use flate2::read::GzDecoder;
use sha2::{Digest as _, Sha256};
use toml::{Table, Value};

use super::{
    Unusable,
    read::{open, whole},
};
use crate::{
    domain::{
        hash::{Digest, Sha256Digest},
        manifest::{Content, Draft, limit},
        text::printable,
    },
    ecosystem::Refused,
};

mod attested;
mod index;
mod manifest;

/// Largest archive read, in bytes: as much as a gateway takes unless it is told otherwise.
const MAX_ARCHIVE: u64 = 512 << 20;
/// Bytes read at once.
const PIECE: usize = 256 << 10;
/// Bytes unpacked in search of manifest and readme. Cargo writes them among the first files, well
/// within the first megabyte.
const MAX_UNPACKED: u64 = 16 << 20;
/// Files passed over in search of them.
const MAX_FILES: usize = 4_096;
/// Messages name the manifest so.
const MANIFEST: &str = "Cargo.toml";
/// Largest manifest, in bytes: generated ones with thousands of features take a few hundred KiB.
const MAX_MANIFEST: u64 = 512 << 10;

/// A crate as it can be published: its draft is valid as it is, without a handle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CrateFile {
    pub draft: Draft,
    /// The archive's own bytes.
    pub content: Content,
    /// Other crates that it needs and its draft does not say, each with why.
    pub left_out: Vec<String>,
    /// The readme its `Cargo.toml` names, else README.md; none when it has none of at most
    /// [`limit::BESIDE`] bytes of UTF-8.
    pub readme: Option<String>,
    /// When its `Cargo.toml` was written as the archive has it, in seconds since 1970: for most
    /// crates 2006, which cargo writes.
    pub written_at: Option<u64>,
    /// The line that a cargo registry's index has for it, without a line feed, at most
    /// [`limit::BESIDE`] bytes: where the file is in a cargo home, what the registry that it came
    /// from says, and as `upstream` which that is.
    pub index: String,
}

/// The crate in the archive at `path`. Reads the file once, and its beginning twice more, and keeps
/// little of it in memory.
///
/// # Errors
/// Why it cannot be published.
pub fn read(path: &Path) -> Result<CrateFile, Unusable> {
    let stem = path
        .file_stem()
        .and_then(|stem| stem.to_str())
        .filter(|stem| stem.contains('-'));
    let stem = stem.ok_or_else(|| {
        Unusable::BadFileName(Refused("is not like name-version.crate".to_owned()))
    })?;
    let mut archive = open(path)?;
    if archive.metadata()?.len() > MAX_ARCHIVE {
        return Err(Unusable::TooLarge);
    }
    let (content, digest) = digests((&mut archive).take(MAX_ARCHIVE))?;
    let (text, written_at) = find(&mut archive, &format!("{stem}/Cargo.toml"), MAX_MANIFEST)?
        .ok_or(Unusable::Missing(MANIFEST))?;
    let text = String::from_utf8(text).map_err(|_| Unusable::bad(MANIFEST, "it is not UTF-8"))?;
    let bad = |why| Unusable::bad(MANIFEST, why);
    let manifest: Table = toml::from_str(&text).map_err(|error| bad(printable(error.message())))?;
    let (draft, left_out) = manifest::release(&manifest).map_err(bad)?;
    let digest = digest.to_string();
    let index = match attested::line(path, draft.name.as_str(), draft.version.as_str(), &digest) {
        Some(line) => line,
        None => index::line(&manifest, digest).map_err(bad)?,
    };
    if index.len() as u64 > limit::BESIDE {
        return Err(Unusable::TooLarge);
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

/// Reads an archive from where it is to its end, and returns what it is.
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

/// The path of the readme, below the directory of the crate.
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

fn readme(archive: &mut File, wanted: &str) -> Result<Option<String>, Unusable> {
    match find(archive, wanted, limit::BESIDE) {
        Ok(found) => Ok(found.and_then(|(text, _)| String::from_utf8(text).ok())),
        // A crate of many megabytes is one all the same.
        Err(Unusable::TooLarge) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The bytes of a file, and when it was changed, in seconds since 1970.
type Found = (Vec<u8>, Option<u64>);

/// One file in the archive, of `most` bytes at most.
fn find(archive: &mut File, wanted: &str, most: u64) -> Result<Option<Found>, Unusable> {
    archive.rewind()?;
    let mut unpacked = GzDecoder::new(archive).take(MAX_UNPACKED);
    match search(&mut unpacked, wanted, most) {
        // The archive's end is missing because we stopped reading, not because somebody cut it off.
        Err(Unusable::Unreadable(_)) | Ok(None) if unpacked.limit() == 0 => Err(Unusable::TooLarge),
        found => found,
    }
}

fn search(unpacked: &mut impl Read, wanted: &str, most: u64) -> Result<Option<Found>, Unusable> {
    let mut archive = tar::Archive::new(unpacked);
    for entry in archive.entries()?.take(MAX_FILES) {
        let mut entry = entry?;
        // Compared as bytes and never joined to a path: a name that climbs is just another name.
        if !entry.header().entry_type().is_file() || *entry.path_bytes() != *wanted.as_bytes() {
            continue;
        }
        let (size, changed) = (entry.size(), entry.header().mtime().ok());
        let bytes = whole(&mut entry, size, most)?.ok_or(Unusable::TooLarge)?;
        return Ok(Some((bytes, changed)));
    }
    Ok(None)
}

#[cfg(test)]
mod tests;
