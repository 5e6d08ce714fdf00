//! Reads untrusted `.deb` archives (deb(5)): an `ar` archive of a version, a tar archive with
//! control data for dpkg, and one with the files. Nothing is unpacked to disk, two files are kept,
//! and every length is bounded.
//!
//! A readme is looked for in the first [`MAX_DATA`] bytes of the files, so a large package may have
//! none here: dpkg-deb sorts by path, and programs and libraries come before `usr/share/doc`.

use std::{
    io::{self, BufReader, Read, Seek, SeekFrom},
    path::Path,
};

use flate2::read::MultiGzDecoder;

use super::read::{
    ArchiveError, ReadmeFile, TarFile, drain, files, most_unpacked, open, whole, xz,
};
use crate::domain::text::printable;

mod ar;
mod control;

pub use control::{ControlRelation, RelationKind};

use ar::{Ar, ArMember};

/// The most bytes unpacked of the control archive. With the checksums of 100,000 files it has 10
/// MiB.
const MAX_CONTROL: u64 = 32 << 20;
/// The most bytes unpacked of the files in search of a readme.
const MAX_DATA: u64 = 32 << 20;
/// Largest `control` file in bytes, the same as for a stanza of an index.
const MAX_PARAGRAPH: u64 = 1 << 20;
/// The control file's name in messages.
const CONTROL: &str = "control file";
/// 1993-08-16 in seconds since 1970, before which Debian did not exist. Earlier times are not real.
const BEFORE_DEBIAN: u64 = 745_459_200;

/// A package described by its `.deb`. Texts are as written, neither shortened nor cleaned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deb {
    pub name: String,
    pub version: String,
    pub architecture: String,
    /// The first line of the description, and the following lines unchanged, each with its leading
    /// space.
    pub summary: Option<String>,
    pub details: Option<String>,
    pub maintainer: Option<String>,
    pub homepage: Option<String>,
    pub section: Option<String>,
    pub priority: Option<String>,
    /// The source package, followed by its version in parentheses if that differs.
    pub source: Option<String>,
    pub relations: Vec<ControlRelation>,
    /// The control paragraph, ending with one line feed, at most 1 MiB.
    pub control: String,
    /// A readme. If it was gzipped, it is unpacked and its name lacks `.gz`.
    pub readme: Option<ReadmeFile>,
    /// The archive's claimed creation time, in seconds since 1970: usually that of the latest
    /// changelog entry. No earlier than 1993; it may lie in the future.
    pub published_at: Option<u64>,
    /// Size of the archive in bytes.
    pub size: u64,
}

/// Reads the package at `path`. Needs up to about 128 MiB of memory, the most that xz and zstd may
/// use.
///
/// # Errors
/// The reason why it is not a valid package.
pub fn read(path: &Path) -> Result<Deb, ArchiveError> {
    of(BufReader::new(open(path)?))
}

/// Reads the package in an archive.
///
/// # Errors
/// The reason why it is not a valid package.
pub fn of(mut archive: impl Read + Seek) -> Result<Deb, ArchiveError> {
    let size = archive.seek(SeekFrom::End(0))?;
    archive.rewind()?;
    let mut members = Ar::open(&mut archive, size)?;
    let version = members
        .next()?
        .filter(|member| member.name == "debian-binary")
        .ok_or(NOT_DEB)?;
    let made = version.time;
    format_of(&text(members.content(&version), 64)?)?;

    let member = significant(&mut members)?.ok_or(NOT_DEB)?;
    let control = control(&member, members.content(&member))?;
    let paragraph =
        control::Paragraph::parse(&control).map_err(|why| ArchiveError::bad(CONTROL, why))?;

    let member = significant(&mut members)?
        .filter(|member| member.name.starts_with("data.tar"))
        .ok_or(NOT_DEB)?;
    let name = paragraph.name.clone();
    let readme = readme(&member, members.content(&member), &name);
    Ok(Deb {
        name,
        version: paragraph.version,
        architecture: paragraph.architecture,
        summary: paragraph.summary,
        details: paragraph.details,
        maintainer: paragraph.maintainer,
        homepage: paragraph.homepage,
        section: paragraph.section,
        priority: paragraph.priority,
        source: paragraph.source,
        relations: paragraph.relations,
        control,
        readme,
        published_at: Some(made).filter(|time| *time >= BEFORE_DEBIAN),
        size,
    })
}

/// The error for a file that lacks the parts of every package.
const NOT_DEB: ArchiveError = ArchiveError::Other(
    "an ar archive with debian-binary, control.tar and data.tar, in this order, as a .deb is",
);

/// Returns the next significant member: dpkg ignores those with a leading underscore.
fn significant(members: &mut Ar<impl Read + Seek>) -> Result<Option<ArMember>, ArchiveError> {
    loop {
        match members.next()? {
            Some(member) if member.name.starts_with('_') => {}
            member => return Ok(member),
        }
    }
}

/// Checks for `2.` and a number: compatible additions to the format raise only that.
fn format_of(text: &str) -> Result<(), ArchiveError> {
    let line = text.lines().next().unwrap_or_default();
    let minor = line.strip_prefix("2.").unwrap_or_default();
    let known = !minor.is_empty() && minor.bytes().all(|b| b.is_ascii_digit());
    if known {
        Ok(())
    } else {
        Err(ArchiveError::OtherFormat(format!(
            "format is version {} of .deb, where 2.0 is known here",
            printable(line)
        )))
    }
}

fn text(content: impl Read, most: u64) -> Result<String, ArchiveError> {
    let mut bytes = Vec::new();
    content.take(most).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Unpacks a member by the suffix of its name. Returns `None` for an unknown suffix.
fn unpacked<'a>(
    name: &str,
    base: &str,
    packed: impl Read + 'a,
) -> io::Result<Option<Box<dyn Read + 'a>>> {
    Ok(Some(match name.strip_prefix(base) {
        Some("") => Box::new(packed),
        Some(".gz") => Box::new(MultiGzDecoder::new(packed)),
        Some(".xz") => Box::new(xz(packed)?),
        Some(".zst") => Box::new(zstd::stream::read::Decoder::new(packed)?),
        _ => return Ok(None),
    }))
}

/// Returns the control paragraph, ending with one line feed.
fn control(member: &ArMember, content: impl Read) -> Result<String, ArchiveError> {
    if !member.name.starts_with("control.tar") {
        return Err(NOT_DEB);
    }
    let Some(unpacked) = unpacked(&member.name, "control.tar", content)? else {
        let name = printable(&member.name);
        return Err(ArchiveError::OtherFormat(format!(
            "{name} is packed with something other than gzip, xz and zstd"
        )));
    };
    let mut unpacked = unpacked.take(most_unpacked(member.size, MAX_CONTROL) + 1);
    let mut found = None;
    let searched = files(
        &mut unpacked,
        |TarFile {
             path,
             size,
             content,
             ..
         }| {
            if !matches!(path, b"control" | b"./control") {
                return Ok(());
            }
            let bytes = whole(content, size, MAX_PARAGRAPH)?.ok_or(ArchiveError::TooLarge)?;
            match found.replace(bytes) {
                Some(known) if Some(&known) != found.as_ref() => Err(ArchiveError::Ambiguous(
                    "it has two control files that say different things".to_owned(),
                )),
                _ => Ok(()),
            }
        },
    );
    let searched = searched.and_then(|()| Ok(drain(&mut unpacked)?));
    // Errors now only come from the missing end, because we stopped there.
    if unpacked.limit() == 0 {
        return Err(ArchiveError::TooLarge);
    }
    searched?;
    let text = String::from_utf8(found.ok_or(ArchiveError::Missing(CONTROL))?);
    let text = text.map_err(|_| ArchiveError::bad(CONTROL, "it is not UTF-8"))?;
    Ok(format!("{}\n", text.trim_end_matches(['\r', '\n'])))
}

/// Returns the best readme among the first files. Problems of other files are ignored, because
/// nothing of them is used.
fn readme(member: &ArMember, content: impl Read, package: &str) -> Option<ReadmeFile> {
    let mut unpacked = unpacked(&member.name, "data.tar", content)
        .ok()??
        .take(most_unpacked(member.size, MAX_DATA));
    // dpkg lowercases names.
    let directory = format!("usr/share/doc/{}/", package.to_ascii_lowercase());
    let mut best: Option<ReadmeFile> = None;
    let _ = files(
        &mut unpacked,
        |TarFile {
             path,
             size,
             content,
             ..
         }| {
            let path = std::str::from_utf8(path).unwrap_or_default();
            let Some(name) = path
                .strip_prefix("./")
                .unwrap_or(path)
                .strip_prefix(&directory)
            else {
                return Ok(());
            };
            let plain = name.strip_suffix(".gz");
            if !ReadmeFile::is_better(plain.unwrap_or(name), best.as_ref()) {
                return Ok(());
            }
            let bytes = match plain {
                Some(_) => {
                    let mut bytes = Vec::new();
                    let unpacked = MultiGzDecoder::new(content)
                        .take(ReadmeFile::MOST + 1)
                        .read_to_end(&mut bytes);
                    unpacked
                        .ok()
                        .map(|_| bytes)
                        .filter(|bytes| bytes.len() as u64 <= ReadmeFile::MOST)
                }
                None => whole(content, size, ReadmeFile::MOST)?,
            };
            if let Some(bytes) = bytes {
                best = Some(ReadmeFile {
                    name: plain.unwrap_or(name).to_owned(),
                    bytes,
                });
            }
            Ok(())
        },
    );
    best
}

#[cfg(test)]
mod tests;
