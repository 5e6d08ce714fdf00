//! Reading one `.crate` archive, which may have been made by anybody: nothing is unpacked to disk, one file is read,
//! and every length is bounded.

use std::{
    fs::File,
    io::{self, BufReader, Read, Seek},
    path::Path,
};

use flate2::read::GzDecoder;

use super::{Entry, sanitise};
use crate::{domain::hash::ContentRoot, registry::Content};

/// Largest archive read, in bytes; those that registries take are smaller.
const MAX_ARCHIVE: u64 = 64 << 20;
/// Bytes unpacked in search of the manifest. Cargo writes it among the first files, well within the first megabyte.
const MAX_UNPACKED: u64 = 16 << 20;
/// Files passed over in search of it.
const MAX_FILES: usize = 4_096;
/// Largest manifest, in bytes: generated ones with thousands of features take a few hundred KiB.
const MAX_MANIFEST: u64 = 512 << 10;

/// Why an archive is no package.
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    #[error("it cannot be read as a gzipped tar archive: {0}")]
    Unreadable(#[from] io::Error),
    #[error("it is larger, or unpacks to more, than a crate does")]
    TooLarge,
    #[error("it is not named like name-version.crate")]
    BadFileName,
    #[error("it has no Cargo.toml in a directory named like the archive")]
    NoManifest,
    #[error("its Cargo.toml is not valid: {0}")]
    BadManifest(String),
    #[error("another archive has the same name and version")]
    Duplicate,
}

/// The release in the archive at `path`. Reads the file twice: once for its hash, once for its manifest.
pub(super) fn read(path: &Path) -> Result<Entry, Unusable> {
    let stem = path.file_stem().and_then(|stem| stem.to_str()).filter(|stem| stem.contains('-'));
    let stem = stem.ok_or(Unusable::BadFileName)?;
    let mut file = File::open(path)?;
    let size = file.metadata()?.len();
    if size > MAX_ARCHIVE {
        return Err(Unusable::TooLarge);
    }
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(&mut file)?;
    let content = Content { root: ContentRoot::from(hasher.finalize()), size };
    file.rewind()?;
    let manifest = find_manifest(file, stem)?;
    sanitise::entry(&manifest, content).map_err(Unusable::BadManifest)
}

fn find_manifest(file: File, stem: &str) -> Result<String, Unusable> {
    let mut unpacked = GzDecoder::new(BufReader::new(file)).take(MAX_UNPACKED);
    let found = search(&mut unpacked, &format!("{stem}/Cargo.toml"));
    match found {
        // The archive's end is missing because we stopped reading, not because somebody cut it off.
        Err(Unusable::Unreadable(_) | Unusable::NoManifest) if unpacked.limit() == 0 => Err(Unusable::TooLarge),
        found => found,
    }
}

fn search(unpacked: &mut impl Read, wanted: &str) -> Result<String, Unusable> {
    let mut archive = tar::Archive::new(unpacked);
    for entry in archive.entries()?.take(MAX_FILES) {
        let mut entry = entry?;
        // Compared as bytes and never joined to a path: a name that climbs is just another name.
        if !entry.header().entry_type().is_file() || *entry.path_bytes() != *wanted.as_bytes() {
            continue;
        }
        if entry.size() > MAX_MANIFEST {
            return Err(Unusable::TooLarge);
        }
        let mut text = Vec::new();
        entry.by_ref().take(MAX_MANIFEST).read_to_end(&mut text)?;
        return String::from_utf8(text).map_err(|_| Unusable::BadManifest("it is not UTF-8".to_owned()));
    }
    Err(Unusable::NoManifest)
}
