//! Reading an npm tarball, which may have been made by anybody: nothing is unpacked to disk, two files of it are kept, and every
//! length is bounded.
//!
//! npm takes the first directory of every path away, whatever it is called, so the package is what lies in any of them:
//! `package/package.json` as npm packs it, `node/package.json` as others do. Of two that have different bytes nobody can say
//! which one a program takes, so an archive that has two is none.

use std::{
    fs::File,
    io::{self, BufRead, Read},
    path::Path,
};

use flate2::bufread::GzDecoder;
use sha1::Sha1;
use sha2::{Digest, Sha512};

use super::extract::{
    ExtractError, Unsafe,
    entries::{Entries, Entry, What},
};
use crate::domain::text::{fit, printable};

mod manifest;

pub use manifest::{Dependency, DependencyKind, Person};

/// Largest archive read, in bytes. Those with programs for one system in them take 50 MiB.
const MAX_ARCHIVE: u64 = 128 << 20;
/// Bytes unpacked: all of it is looked through, because `package.json` may stand anywhere. More than 16 MiB only if there are 200 at
/// most for each packed one: programs are packed at 3 to 10.
const MAX_UNPACKED: u64 = 1 << 30;
const MAX_RATIO: u64 = 200;
const UNJUDGED: u64 = 16 << 20;
const MAX_ENTRIES: u64 = 100_000;
/// Largest `package.json`, in bytes: old ones have the readme in them.
const MAX_MANIFEST: u64 = 1 << 20;
/// Largest readme that is kept, in bytes.
const MAX_README: u64 = 1 << 20;
/// When there was no npm yet, in seconds since 1970: the beginning of 2010. npm, pnpm and yarn write times before that into what they
/// pack, the same ones for every package: 1985-10-26 and 1984-06-22.
const BEFORE_NPM: u64 = 1_262_304_000;

/// A package as its tarball has it. Texts are as somebody wrote them: neither cut nor cleaned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tarball {
    /// A name that npm takes for a package that exists.
    pub name: String,
    /// As npm lists it: without a v before it, and without build metadata.
    pub version: String,
    pub description: Option<String>,
    /// An SPDX expression, if the author wrote one. Of several in a list, the old form, any may be chosen.
    pub license: Option<String>,
    pub author: Option<Person>,
    pub maintainers: Vec<Person>,
    pub contributors: Vec<Person>,
    pub homepage: Option<String>,
    /// An address; the short forms of GitHub and its like are written out.
    pub repository: Option<String>,
    pub keywords: Vec<String>,
    pub dependencies: Vec<Dependency>,
    /// The message of a package that is deprecated in its own `package.json`; npm's registry has these elsewhere.
    pub deprecated: Option<String>,
    pub readme: Option<Readme>,
    /// The bytes of `package.json`, at most 1 MiB.
    pub package_json: Vec<u8>,
    /// The newest time of a file, in seconds since 1970, if the archive has real ones. No earlier than 2010; it may lie ahead.
    pub published_at: Option<u64>,
    /// Of the archive, in bytes.
    pub size: u64,
    pub sha1: [u8; 20],
    pub sha512: [u8; 64],
}

/// A readme of at most 1 MiB, as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Readme {
    /// The file has this name.
    pub name: String,
    pub bytes: Vec<u8>,
}

/// Why an archive is no package of npm's.
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    #[error("it cannot be read as a gzipped tar archive: {}", printable(&.0.to_string()))]
    Unreadable(#[from] io::Error),
    #[error("it is not a file")]
    NotFile,
    #[error("it is larger, or unpacks to more, than a package of npm does")]
    TooLarge,
    #[error("\"{path}\" in it {why}")]
    Odd { path: String, why: Unsafe },
    #[error("it has no package.json in a directory of its own")]
    NoManifest,
    #[error("it has two files package.json, in {0} and {1}, that say different things")]
    TwoManifests(String, String),
    #[error("its package.json is not valid: {0}")]
    BadManifest(String),
}

impl From<ExtractError> for Unusable {
    fn from(error: ExtractError) -> Self {
        match error {
            ExtractError::Damaged(error) => Self::Unreadable(error),
            ExtractError::Refused { path, why } => Self::Odd { path, why },
            _ => Self::TooLarge,
        }
    }
}

/// The package in the archive at `path`. Reads the file once, into memory.
///
/// # Errors
/// Why it is none.
pub fn read(path: &Path) -> Result<Tarball, Unusable> {
    // A pipe would be waited for.
    if !std::fs::metadata(path)?.is_file() {
        return Err(Unusable::NotFile);
    }
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX_ARCHIVE + 1).read_to_end(&mut bytes)?;
    of(&bytes)
}

/// The package in the archive with these bytes.
///
/// # Errors
/// Why it is none.
pub fn of(archive: &[u8]) -> Result<Tarball, Unusable> {
    if archive.len() as u64 > MAX_ARCHIVE {
        return Err(Unusable::TooLarge);
    }
    let most = (archive.len() as u64 * MAX_RATIO).clamp(UNJUDGED, MAX_UNPACKED);
    let mut unpacked = Gunzip(Some(GzDecoder::new(archive))).take(most + 1);
    let found = Found::search(&mut unpacked);
    // Errors come of the end that is missing because we stopped there.
    if unpacked.limit() == 0 {
        return Err(Unusable::TooLarge);
    }
    let Found { manifest, readme, newest } = found?;
    let (_, package_json) = manifest.ok_or(Unusable::NoManifest)?;
    let manifest = manifest::Manifest::parse(&package_json).map_err(Unusable::BadManifest)?;
    Ok(Tarball {
        name: manifest.name,
        version: manifest.version,
        description: manifest.description,
        license: manifest.license,
        author: manifest.author,
        maintainers: manifest.maintainers,
        contributors: manifest.contributors,
        homepage: manifest.homepage,
        repository: manifest.repository,
        keywords: manifest.keywords,
        dependencies: manifest.dependencies,
        deprecated: manifest.deprecated,
        readme,
        package_json,
        published_at: newest.filter(|time| *time >= BEFORE_NPM),
        size: archive.len() as u64,
        sha1: Sha1::digest(archive).into(),
        sha512: Sha512::digest(archive).into(),
    })
}

/// Unpacks the members of a gzip file. Anything else that follows them is passed over, as by zlib, and so by npm: some
/// old tarballs are filled up with zeros.
struct Gunzip<'a>(Option<GzDecoder<&'a [u8]>>);

impl Read for Gunzip<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while let Some(member) = &mut self.0 {
            let read = member.read(buffer)?;
            if read > 0 || buffer.is_empty() {
                return Ok(read);
            }
            let mut rest = self.0.take().map(GzDecoder::into_inner).unwrap_or_default();
            if rest.fill_buf()?.starts_with(&[0x1f, 0x8b]) {
                self.0 = Some(GzDecoder::new(rest));
            }
        }
        Ok(0)
    }
}

/// What is wanted of an archive's files.
#[derive(Default)]
struct Found {
    /// The directory that `package.json` is in, and its bytes.
    manifest: Option<(String, Vec<u8>)>,
    readme: Option<Readme>,
    /// Latest time of a file.
    newest: Option<u64>,
}

impl Found {
    fn search(unpacked: impl Read) -> Result<Self, Unusable> {
        let mut archive = tar::Archive::new(unpacked);
        let mut entries = Entries::new(&mut archive)?;
        let mut found = Self::default();
        let mut counted = 0;
        let mut count = || {
            counted += 1;
            if counted > MAX_ENTRIES { Err(ExtractError::TooMany { limit: MAX_ENTRIES }) } else { Ok(()) }
        };
        while let Some(Entry { path, what, .. }) = entries.next(&mut count)? {
            if let What::File { size, content, .. } = what {
                let time = content.header().mtime().unwrap_or_default();
                found.newest = found.newest.max(Some(time));
                found.file(&path, size, content)?;
            }
        }
        // The checksum is behind the last file.
        io::copy(&mut archive.into_inner(), &mut io::sink())?;
        Ok(found)
    }

    /// Keeps the file if it is one of those that are wanted. Paths are compared and never joined to one: a name that climbs
    /// is just another name.
    fn file(&mut self, path: &[u8], size: u64, content: impl Read) -> Result<(), Unusable> {
        let Some((directory, name)) = std::str::from_utf8(path).ok().and_then(|path| path.split_once('/')) else {
            return Ok(());
        };
        if name == "package.json" {
            let bytes = whole(content, size, MAX_MANIFEST)?.ok_or(Unusable::TooLarge)?;
            let shown = |directory: &str| fit(&printable(directory), 40);
            return match &self.manifest {
                Some((other, known)) if *known != bytes => Err(Unusable::TwoManifests(shown(other), shown(directory))),
                _ => {
                    self.manifest = Some((directory.to_owned(), bytes));
                    Ok(())
                }
            };
        }
        let better = |rank| self.readme.as_ref().is_none_or(|known| Some(rank) < readme_rank(&known.name));
        if readme_rank(name).is_some_and(better)
            && let Some(bytes) = whole(content, size, MAX_README)?
        {
            self.readme = Some(Readme { name: name.to_owned(), bytes });
        }
        Ok(())
    }
}

/// All bytes of an entry, unless there are more than `most`.
fn whole(content: impl Read, size: u64, most: u64) -> Result<Option<Vec<u8>>, Unusable> {
    if size > most {
        return Ok(None);
    }
    let mut bytes = Vec::new();
    content.take(most).read_to_end(&mut bytes)?;
    let whole = bytes.len() as u64 == size;
    if whole { Ok(Some(bytes)) } else { Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()) }
}

/// Ranks a file as the readme that a person should see: the lowest number wins, and `None` is no readme. `README.zh-CN.md` comes last.
fn readme_rank(name: &str) -> Option<usize> {
    let name = name.to_ascii_lowercase();
    let ranks = ["readme.md", "readme.markdown", "readme.mkd", "readme", "readme.txt", "readme.rst"];
    let rank = ranks.iter().position(|known| *known == name);
    rank.or_else(|| (name.starts_with("readme.") && !name.contains('/')).then_some(ranks.len()))
}

#[cfg(test)]
mod tests;
