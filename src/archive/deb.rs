//! Reading a `.deb`, which may have been made by anybody (deb(5)): an `ar` archive of a version, a tar archive with what dpkg is told,
//! and one with the files. Nothing is unpacked to disk, two files of it are kept, and every length is bounded.
//!
//! The files are looked through for a readme, as far as [`MAX_DATA`] goes: of a large package there is none then. dpkg-deb sorts
//! by path, and programs and libraries come before `usr/share/doc`.

use std::{
    fs::File,
    io::{self, BufReader, Read, Seek, SeekFrom},
    path::Path,
};

use flate2::read::MultiGzDecoder;
use liblzma::{
    read::XzDecoder,
    stream::{CONCATENATED, Stream},
};

use super::extract::{
    ExtractError, Unsafe,
    entries::{Entries, Entry, What},
};
use crate::domain::text::printable;

mod ar;
mod control;

pub use control::{Relation, RelationKind};

use ar::{Ar, Member};

/// Bytes that the control archive unpacks to: with the checksums of 100,000 files it is 10 MiB.
const MAX_CONTROL: u64 = 32 << 20;
/// Bytes unpacked of the files in search of a readme.
const MAX_DATA: u64 = 32 << 20;
/// Bytes that come out for each that goes in; not judged below 16 MiB.
const MAX_RATIO: u64 = 200;
const UNJUDGED: u64 = 16 << 20;
const MAX_ENTRIES: u64 = 100_000;
/// Largest `control`, in bytes: that of one stanza of an index.
const MAX_PARAGRAPH: u64 = 1 << 20;
/// Largest readme that is kept, in bytes, unpacked.
const MAX_README: u64 = 1 << 20;
/// Memory for unpacking xz, in bytes. `xz -9` wants 65 MiB, the format allows 4 GiB.
const XZ_MEMORY: u64 = 128 << 20;
/// When there was no Debian yet, in seconds since 1970: 1993-08-16. Times before that are nobody's.
const BEFORE_DEBIAN: u64 = 745_459_200;

/// A package as its `.deb` has it. Texts are as somebody wrote them: neither cut nor cleaned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deb {
    pub name: String,
    pub version: String,
    pub architecture: String,
    /// The first line of the description, and the lines behind it as they are, with the space before each.
    pub summary: Option<String>,
    pub details: Option<String>,
    pub maintainer: Option<String>,
    pub homepage: Option<String>,
    pub section: Option<String>,
    pub priority: Option<String>,
    /// The source that it was built from, and its version in parentheses where that is another one.
    pub source: Option<String>,
    pub relations: Vec<Relation>,
    /// The control paragraph, ending with one line feed, at most 1 MiB.
    pub control: String,
    pub readme: Option<Readme>,
    /// When the archive says that it was made, in seconds since 1970: for most packages the time of the latest change in the
    /// changelog. No earlier than 1993; it may lie ahead.
    pub published_at: Option<u64>,
    /// Of the archive, in bytes.
    pub size: u64,
}

/// A readme of at most 1 MiB, unpacked if it was packed with gzip, else as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Readme {
    /// The file has this name, without `.gz`.
    pub name: String,
    pub bytes: Vec<u8>,
}

/// Why an archive is no package of Debian's.
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    #[error("it cannot be read as a Debian package: {}", printable(&.0.to_string()))]
    Unreadable(#[from] io::Error),
    #[error("it is not a file")]
    NotFile,
    #[error("it is not an ar archive with debian-binary, control.tar and data.tar, in this order")]
    NotDeb,
    #[error("it is of version {0} of the format; 2.0 is known here")]
    OtherFormat(String),
    #[error("its {0} is packed with something other than gzip, xz and zstd")]
    OtherPacking(String),
    #[error("it is cut off")]
    CutOff,
    #[error("its control archive unpacks to more than one does")]
    TooLarge,
    #[error("\"{path}\" in its control archive {why}")]
    Odd { path: String, why: Unsafe },
    #[error("it has no control file")]
    NoControl,
    #[error("it has two control files that say different things")]
    TwoControls,
    #[error("its control file is not valid: {0}")]
    BadControl(String),
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

/// The package in the archive at `path`. Takes up to 128 MiB of memory and a little, as much as xz and zstd may want.
///
/// # Errors
/// Why it is none.
pub fn read(path: &Path) -> Result<Deb, Unusable> {
    let about = std::fs::metadata(path)?;
    // A pipe would be waited for.
    if !about.is_file() {
        return Err(Unusable::NotFile);
    }
    of(BufReader::new(File::open(path)?))
}

/// The package in the archive that is read.
///
/// # Errors
/// Why it is none.
pub fn of(mut archive: impl Read + Seek) -> Result<Deb, Unusable> {
    let size = archive.seek(SeekFrom::End(0))?;
    archive.rewind()?;
    let mut members = Ar::open(&mut archive, size)?;
    let version = members.next()?.filter(|member| member.name == "debian-binary").ok_or(Unusable::NotDeb)?;
    let made = version.time;
    format_of(&text(members.content(&version), 64)?)?;

    let member = significant(&mut members)?.ok_or(Unusable::NotDeb)?;
    let control = control(&member, members.content(&member))?;
    let paragraph = control::Paragraph::parse(&control).map_err(Unusable::BadControl)?;

    let member =
        significant(&mut members)?.filter(|member| member.name.starts_with("data.tar")).ok_or(Unusable::NotDeb)?;
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

/// The next member that counts: dpkg passes over those with an underscore before them.
fn significant(members: &mut Ar<impl Read + Seek>) -> Result<Option<Member>, Unusable> {
    loop {
        match members.next()? {
            Some(member) if member.name.starts_with('_') => {}
            member => return Ok(member),
        }
    }
}

/// `2.` and a number: what is added to the format raises the number only.
fn format_of(text: &str) -> Result<(), Unusable> {
    let line = text.lines().next().unwrap_or_default();
    let minor = line.strip_prefix("2.").unwrap_or_default();
    let known = !minor.is_empty() && minor.bytes().all(|b| b.is_ascii_digit());
    if known { Ok(()) } else { Err(Unusable::OtherFormat(printable(line))) }
}

fn text(content: impl Read, most: u64) -> Result<String, Unusable> {
    let mut bytes = Vec::new();
    content.take(most).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Unpacks a member by what its name ends with; returns `None` for an ending that is not known here.
fn unpacked<'a>(name: &str, base: &str, packed: impl Read + 'a) -> io::Result<Option<Box<dyn Read + 'a>>> {
    Ok(Some(match name.strip_prefix(base) {
        Some("") => Box::new(packed),
        Some(".gz") => Box::new(MultiGzDecoder::new(packed)),
        Some(".xz") => Box::new(XzDecoder::new_stream(packed, Stream::new_stream_decoder(XZ_MEMORY, CONCATENATED)?)),
        Some(".zst") => Box::new(zstd::stream::read::Decoder::new(packed)?),
        _ => return Ok(None),
    }))
}

/// Bytes that may come out of a member.
fn most(member: &Member, bound: u64) -> u64 {
    member.size.saturating_mul(MAX_RATIO).clamp(UNJUDGED, bound)
}

/// The control paragraph, ending with one line feed.
fn control(member: &Member, content: impl Read) -> Result<String, Unusable> {
    if !member.name.starts_with("control.tar") {
        return Err(Unusable::NotDeb);
    }
    let Some(unpacked) = unpacked(&member.name, "control.tar", content)? else {
        return Err(Unusable::OtherPacking(printable(&member.name)));
    };
    let mut unpacked = unpacked.take(most(member, MAX_CONTROL) + 1);
    let mut found = None;
    let searched = files(&mut unpacked, |path, size, content| {
        if path != b"control" {
            return Ok(());
        }
        let bytes = whole(content, size, MAX_PARAGRAPH)?.ok_or(Unusable::TooLarge)?;
        match &found {
            Some(known) if *known != bytes => Err(Unusable::TwoControls),
            _ => {
                found = Some(bytes);
                Ok(())
            }
        }
    });
    // Errors come of the end that is missing because we stopped there.
    if unpacked.limit() == 0 {
        return Err(Unusable::TooLarge);
    }
    searched?;
    let text = String::from_utf8(found.ok_or(Unusable::NoControl)?);
    let text = text.map_err(|_| Unusable::BadControl("it is not UTF-8".to_owned()))?;
    Ok(format!("{}\n", text.trim_end_matches(['\r', '\n'])))
}

/// The readme that is among the first files. What is wrong with the others is not asked: nothing of them is used.
fn readme(member: &Member, content: impl Read, package: &str) -> Option<Readme> {
    let unpacked = unpacked(&member.name, "data.tar", content).ok()??.take(most(member, MAX_DATA));
    // dpkg has every name in lower case.
    let directory = format!("usr/share/doc/{}/", package.to_ascii_lowercase());
    let mut best: Option<Readme> = None;
    let _ = files(unpacked, |path, size, content| {
        let Some(name) = std::str::from_utf8(path).ok().and_then(|path| path.strip_prefix(&directory)) else {
            return Ok(());
        };
        let plain = name.strip_suffix(".gz");
        let better = |rank| best.as_ref().is_none_or(|best| Some(rank) < readme_rank(&best.name));
        if !readme_rank(plain.unwrap_or(name)).is_some_and(better) {
            return Ok(());
        }
        let bytes = match plain {
            Some(_) => {
                let mut bytes = Vec::new();
                let unpacked = MultiGzDecoder::new(content).take(MAX_README + 1).read_to_end(&mut bytes);
                unpacked.ok().map(|_| bytes).filter(|bytes| bytes.len() as u64 <= MAX_README)
            }
            None => whole(content, size, MAX_README)?,
        };
        if let Some(bytes) = bytes {
            best = Some(Readme { name: plain.unwrap_or(name).to_owned(), bytes });
        }
        Ok(())
    });
    best
}

/// Ranks a file as the readme that a person should see: the lowest number wins, and `None` is no readme. What Debian itself has to say
/// about a package comes last.
fn readme_rank(name: &str) -> Option<usize> {
    let name = name.to_ascii_lowercase();
    let ranks = ["readme.md", "readme.markdown", "readme", "readme.txt", "readme.rst"];
    match ranks.iter().position(|known| *known == name) {
        None if name == "readme.debian" => Some(ranks.len() + 1),
        None if name.starts_with("readme.") && !name.contains('/') => Some(ranks.len()),
        rank => rank,
    }
}

/// Calls `keep` with each file, its path without a dot and a slash before it, its size and content.
fn files(
    unpacked: impl Read,
    mut keep: impl FnMut(&[u8], u64, &mut dyn Read) -> Result<(), Unusable>,
) -> Result<(), Unusable> {
    let mut archive = tar::Archive::new(unpacked);
    let mut entries = Entries::new(&mut archive)?;
    let mut counted = 0;
    let mut count = || {
        counted += 1;
        if counted > MAX_ENTRIES { Err(ExtractError::TooMany { limit: MAX_ENTRIES }) } else { Ok(()) }
    };
    while let Some(Entry { path, what, .. }) = entries.next(&mut count)? {
        if let What::File { size, mut content, .. } = what {
            keep(path.strip_prefix(b"./").unwrap_or(&path), size, &mut content)?;
        }
    }
    // The checksum is behind the last file.
    io::copy(&mut archive.into_inner(), &mut io::sink())?;
    Ok(())
}

/// All bytes of an entry, unless there are more than `most`.
fn whole(content: &mut dyn Read, size: u64, most: u64) -> Result<Option<Vec<u8>>, Unusable> {
    if size > most {
        return Ok(None);
    }
    let mut bytes = Vec::new();
    content.take(most).read_to_end(&mut bytes)?;
    if bytes.len() as u64 == size { Ok(Some(bytes)) } else { Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()) }
}

#[cfg(test)]
mod tests;
