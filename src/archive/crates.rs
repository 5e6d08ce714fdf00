//! Reading a `.crate` archive, which may have been made by anybody: nothing is unpacked to disk, two files of it are
//! read, and every length is bounded.

use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

use flate2::read::GzDecoder;
use toml::{Table, Value};

use super::Need;
use crate::domain::{
    hash::{ContentRoot, Hash},
    manifest::{Content, Draft, limit},
    text::printable,
};

mod attested;
mod index;
mod manifest;

pub(crate) use manifest::{Facts, draft};

/// Largest archive read, in bytes; those that registries take are smaller.
const MAX_ARCHIVE: u64 = 64 << 20;
/// Bytes unpacked in search of manifest and readme. Cargo writes them among the first files, well within the first
/// megabyte.
const MAX_UNPACKED: u64 = 16 << 20;
/// Files passed over in search of them.
const MAX_FILES: usize = 4_096;
/// Largest manifest, in bytes: generated ones with thousands of features take a few hundred KiB.
const MAX_MANIFEST: u64 = 512 << 10;
/// How deep [`list`] looks, and how much it looks at.
const MAX_DEPTH: usize = 8;
const MAX_LISTED: usize = 100_000;

/// A crate as it can be published: its draft is valid as it is, without handle and dependencies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CrateFile {
    pub draft: Draft,
    /// The archive's own bytes.
    pub content: Content,
    /// Other crates it is built with; not those of its build script and its tests.
    pub needs: Vec<Need>,
    /// The readme its `Cargo.toml` names, else README.md; none when it has none of at most [`limit::BESIDE`] bytes of UTF-8.
    pub readme: Option<String>,
    /// The line that a cargo registry's index has for it, without a line feed, at most [`limit::BESIDE`] bytes: where the file is in
    /// a cargo home, what the registry that it came from says, and as `upstream` which that is.
    pub index: String,
}

/// Why an archive is no package.
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    #[error("it cannot be read as a gzipped tar archive: {}", printable(&.0.to_string()))]
    Unreadable(#[from] io::Error),
    #[error("it is not a file")]
    NotFile,
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

/// Why the archives in a directory cannot be listed.
#[derive(Debug, thiserror::Error)]
pub enum Unlisted {
    #[error("{} cannot be listed: {source}; check that it is a directory, and yours", .dir.display())]
    Unreadable { dir: PathBuf, source: io::Error },
    #[error("{} has more than {MAX_LISTED} files in it; name one of the directories in it", .0.display())]
    TooMany(PathBuf),
}

/// The crate in the archive at `path`. Reads the file once, into memory.
///
/// # Errors
/// Why it cannot be published.
pub fn read(path: &Path) -> Result<CrateFile, Unusable> {
    let stem = path.file_stem().and_then(|stem| stem.to_str()).filter(|stem| stem.contains('-'));
    let stem = stem.ok_or(Unusable::BadFileName)?;
    // A pipe would be waited for.
    if !std::fs::metadata(path)?.is_file() {
        return Err(Unusable::NotFile);
    }
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX_ARCHIVE + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_ARCHIVE {
        return Err(Unusable::TooLarge);
    }
    let text = find(&bytes, &format!("{stem}/Cargo.toml"), MAX_MANIFEST)?.ok_or(Unusable::NoManifest)?;
    let text = String::from_utf8(text).map_err(|_| Unusable::BadManifest("it is not UTF-8".to_owned()))?;
    let bad = Unusable::BadManifest;
    let manifest: Table = toml::from_str(&text).map_err(|error| bad(printable(error.message())))?;
    let content = Content { root: ContentRoot::of(&bytes), size: bytes.len() as u64 };
    let (draft, needs) = manifest::release(&manifest).map_err(bad)?;
    let digest = Hash::of(&bytes).to_string();
    let index = match attested::line(path, draft.name.as_str(), draft.version.as_str(), &digest) {
        Some(line) => line,
        None => index::line(&manifest, digest).map_err(bad)?,
    };
    if index.len() as u64 > limit::BESIDE {
        return Err(Unusable::TooLarge);
    }
    let readme = match readme_of(&manifest) {
        Some(name) => readme(&bytes, &format!("{stem}/{name}"))?,
        None => None,
    };
    Ok(CrateFile { draft, content, needs, readme, index })
}

/// The path of the readme, below the directory of the crate.
fn readme_of(manifest: &Table) -> Option<&str> {
    let name = match manifest.get("package").and_then(|package| package.get("readme")) {
        Some(Value::String(name)) => name.strip_prefix("./").unwrap_or(name),
        Some(Value::Boolean(false)) => return None,
        _ => "README.md",
    };
    Some(name)
}

fn readme(archive: &[u8], wanted: &str) -> Result<Option<String>, Unusable> {
    match find(archive, wanted, limit::BESIDE) {
        Ok(text) => Ok(text.and_then(|text| String::from_utf8(text).ok())),
        // A crate of many megabytes is one all the same.
        Err(Unusable::TooLarge) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The bytes of one file in the archive, `most` at most.
fn find(archive: &[u8], wanted: &str, most: u64) -> Result<Option<Vec<u8>>, Unusable> {
    let mut unpacked = GzDecoder::new(archive).take(MAX_UNPACKED);
    match search(&mut unpacked, wanted, most) {
        // The archive's end is missing because we stopped reading, not because somebody cut it off.
        Err(Unusable::Unreadable(_)) | Ok(None) if unpacked.limit() == 0 => Err(Unusable::TooLarge),
        found => found,
    }
}

fn search(unpacked: &mut impl Read, wanted: &str, most: u64) -> Result<Option<Vec<u8>>, Unusable> {
    let mut archive = tar::Archive::new(unpacked);
    for entry in archive.entries()?.take(MAX_FILES) {
        let mut entry = entry?;
        // Compared as bytes and never joined to a path: a name that climbs is just another name.
        if !entry.header().entry_type().is_file() || *entry.path_bytes() != *wanted.as_bytes() {
            continue;
        }
        if entry.size() > most {
            return Err(Unusable::TooLarge);
        }
        let mut bytes = Vec::new();
        entry.by_ref().take(most).read_to_end(&mut bytes)?;
        let whole = bytes.len() as u64 == entry.size();
        return if whole { Ok(Some(bytes)) } else { Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()) };
    }
    Ok(None)
}

/// The `.crate` files in `dir` and the directories below it, by file name; links to directories are not followed.
///
/// # Errors
/// When a directory cannot be read, or there is too much in it.
pub fn list(dir: &Path) -> Result<Vec<PathBuf>, Unlisted> {
    let mut found = Vec::new();
    let mut seen = 0;
    let mut left = vec![(dir.to_owned(), 0)];
    while let Some((below, depth)) = left.pop() {
        let unreadable = |source| Unlisted::Unreadable { dir: below.clone(), source };
        for file in std::fs::read_dir(&below).map_err(unreadable)? {
            let file = file.map_err(unreadable)?;
            seen += 1;
            if seen > MAX_LISTED {
                return Err(Unlisted::TooMany(dir.to_owned()));
            }
            let path = file.path();
            if file.file_type().map_err(unreadable)?.is_dir() {
                if depth < MAX_DEPTH {
                    left.push((path, depth + 1));
                }
            } else if path.extension().is_some_and(|extension| extension == "crate") {
                found.push(path);
            }
        }
    }
    found.sort_by(|a, b| a.file_name().cmp(&b.file_name()).then_with(|| a.cmp(b)));
    Ok(found)
}

#[cfg(test)]
mod tests;
