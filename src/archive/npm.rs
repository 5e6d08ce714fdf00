//! Reads untrusted npm tarballs: nothing is unpacked to disk, two files are kept, and every length
//! is bounded.
//!
//! npm strips the first directory of every path, whatever its name, so the package may lie in any:
//! `package/package.json` as npm packs it, `node/package.json` as others do. If two of them differ,
//! programs may choose either, so such an archive is refused.

use std::{
    io::{self, BufRead, BufReader, Cursor, Read, Seek, SeekFrom},
    path::Path,
};

use flate2::bufread::GzDecoder;
use sha1::Sha1;
use sha2::{Digest, Sha512};

use super::read::{ArchiveError, ReadmeFile, TarFile, drain, files, most_unpacked, open, whole};
use crate::domain::text::{fit, printable};

mod manifest;

pub use manifest::{NpmDependency, NpmDependencyKind, Person, packument};

/// Largest archive read, in bytes: the gateway's default upload limit. Packages with native
/// binaries take 50 MiB.
const MAX_ARCHIVE: u64 = 512 << 20;
/// The most bytes unpacked. The whole archive is searched, because `package.json` may be anywhere.
const MAX_UNPACKED: u64 = 2 << 30;
/// The name of the manifest.
const MANIFEST: &str = "package.json";
/// Largest `package.json`, in bytes: old ones include the readme.
const MAX_MANIFEST: u64 = 1 << 20;
/// The beginning of 2010 in seconds since 1970, before which npm did not exist. npm, pnpm and yarn
/// write constant times before that into every package: 1985-10-26 and 1984-06-22.
const BEFORE_NPM: u64 = 1_262_304_000;

/// A package described by its tarball. Texts are as written, neither shortened nor cleaned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NpmTarball {
    /// A name that npm accepts for existing packages.
    pub name: String,
    /// The version as npm lists it: without a leading v and without build metadata.
    pub version: String,
    pub description: Option<String>,
    /// An SPDX expression, if the author wrote one. The old form of a list becomes a choice with
    /// `OR`.
    pub license: Option<String>,
    pub author: Option<Person>,
    pub maintainers: Vec<Person>,
    pub contributors: Vec<Person>,
    pub homepage: Option<String>,
    /// A URL; short forms such as GitHub's are expanded.
    pub repository: Option<String>,
    pub keywords: Vec<String>,
    pub dependencies: Vec<NpmDependency>,
    /// The message of a package deprecated in its own `package.json`; npm's registry keeps these
    /// elsewhere.
    pub deprecated: Option<String>,
    pub readme: Option<ReadmeFile>,
    /// The bytes of `package.json`, at most 1 MiB.
    pub package_json: Vec<u8>,
    /// The latest modification time of a file, in seconds since 1970, if the archive has real ones.
    /// No earlier than 2010; it may lie in the future.
    pub published_at: Option<u64>,
    /// Size of the archive in bytes.
    pub size: u64,
    pub sha1: [u8; 20],
    pub sha512: [u8; 64],
}

/// Bytes read at once.
const PIECE: usize = 64 << 10;

/// Reads the package at `path`. Reads the file twice, without keeping it in memory.
///
/// # Errors
/// The reason why it is not a valid package.
pub fn read(path: &Path) -> Result<NpmTarball, ArchiveError> {
    within(BufReader::with_capacity(PIECE, open(path)?))
}

/// Reads the package in an archive in memory.
///
/// # Errors
/// The reason why it is not a valid package.
pub fn of(archive: &[u8]) -> Result<NpmTarball, ArchiveError> {
    within(Cursor::new(archive))
}

fn within(mut archive: impl BufRead + Seek) -> Result<NpmTarball, ArchiveError> {
    let (size, sha1, sha512) = digests(&mut archive)?;
    archive.rewind()?;
    let most = most_unpacked(size, MAX_UNPACKED);
    let mut unpacked = Gunzip(Some(GzDecoder::new(archive))).take(most + 1);
    let found = TarballFiles::search(&mut unpacked);
    // Errors now only come from the missing end, because we stopped there.
    if unpacked.limit() == 0 {
        return Err(ArchiveError::TooLarge);
    }
    let TarballFiles {
        manifest,
        readme,
        newest,
    } = found?;
    let (_, package_json) = manifest.ok_or(ArchiveError::Missing(MANIFEST))?;
    let manifest = manifest::PackageJson::parse(&package_json)
        .map_err(|why| ArchiveError::bad(MANIFEST, why))?;
    Ok(NpmTarball {
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
        size,
        sha1,
        sha512,
    })
}

/// Returns the size and the digests.
fn digests(archive: &mut impl BufRead) -> Result<(u64, [u8; 20], [u8; 64]), ArchiveError> {
    let (mut size, mut sha1, mut sha512) = (0, Sha1::new(), Sha512::new());
    loop {
        let piece = archive.fill_buf()?;
        if piece.is_empty() {
            return Ok((size, sha1.finalize().into(), sha512.finalize().into()));
        }
        sha1.update(piece);
        sha512.update(piece);
        let length = piece.len();
        size += length as u64;
        if size > MAX_ARCHIVE {
            return Err(ArchiveError::TooLarge);
        }
        archive.consume(length);
    }
}

/// Unpacks the members of a gzip file. Anything else after them is ignored, as by zlib and so by
/// npm: some old tarballs are padded with zeros.
struct Gunzip<R>(Option<GzDecoder<R>>);

impl<R: BufRead + Seek> Read for Gunzip<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while let Some(member) = &mut self.0 {
            let read = member.read(buffer)?;
            if read > 0 || buffer.is_empty() {
                return Ok(read);
            }
            let Some(mut rest) = self.0.take().map(GzDecoder::into_inner) else {
                break;
            };
            // A buffered file may offer as little as one byte without reading on.
            let mut begin = Vec::new();
            rest.by_ref()
                .take(MEMBER.len() as u64)
                .read_to_end(&mut begin)?;
            if begin == MEMBER {
                rest.seek(SeekFrom::Current(-(MEMBER.len() as i64)))?;
                self.0 = Some(GzDecoder::new(rest));
            }
        }
        Ok(0)
    }
}

/// The first bytes of a gzip member.
const MEMBER: [u8; 2] = [0x1f, 0x8b];

/// The files wanted from an archive.
#[derive(Default)]
struct TarballFiles {
    /// The directory of `package.json`, and its bytes.
    manifest: Option<(String, Vec<u8>)>,
    readme: Option<ReadmeFile>,
    /// The latest modification time of a file.
    newest: Option<u64>,
}

impl TarballFiles {
    fn search(mut unpacked: impl Read) -> Result<Self, ArchiveError> {
        let mut found = Self::default();
        files(&mut unpacked, |file| {
            found.newest = found.newest.max(file.changed);
            found.file(file)
        })?;
        drain(unpacked)?;
        Ok(found)
    }

    /// Keeps the file if it is one of those wanted.
    fn file(
        &mut self,
        TarFile {
            path,
            size,
            content,
            ..
        }: TarFile<'_>,
    ) -> Result<(), ArchiveError> {
        let Some((directory, name)) = std::str::from_utf8(path)
            .ok()
            .and_then(|path| path.split_once('/'))
        else {
            return Ok(());
        };
        if name == MANIFEST {
            let bytes = whole(content, size, MAX_MANIFEST)?.ok_or(ArchiveError::TooLarge)?;
            let shown = |directory: &str| fit(&printable(directory), 40);
            return match &self.manifest {
                Some((other, known)) if *known != bytes => Err(ArchiveError::Ambiguous(format!(
                    "it has two files {MANIFEST}, in {} and {}, that say different things",
                    shown(other),
                    shown(directory)
                ))),
                _ => {
                    self.manifest = Some((directory.to_owned(), bytes));
                    Ok(())
                }
            };
        }
        if ReadmeFile::is_better(name, self.readme.as_ref())
            && let Some(bytes) = whole(content, size, ReadmeFile::MOST)?
        {
            self.readme = Some(ReadmeFile {
                name: name.to_owned(),
                bytes,
            });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
