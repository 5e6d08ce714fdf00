//! Reads the members of an `ar` archive as described in deb(5): headers of 60 bytes, contents at
//! even offsets.

use std::io::{self, Read, Seek, SeekFrom, Take};

use super::{ArchiveError, NOT_DEB};

const MAGIC: &[u8; 8] = b"!<arch>\n";
const HEADER: usize = 60;
/// The most members read. A package has three, and some tools add a few.
const MAX_MEMBERS: usize = 32;

pub(super) struct Ar<'a, R> {
    archive: &'a mut R,
    size: u64,
    /// Offset of the next header.
    next: u64,
    seen: usize,
}

pub(super) struct ArMember {
    /// The name without the trailing slash that some programs write.
    pub name: String,
    /// Modification time in seconds since 1970.
    pub time: u64,
    start: u64,
    /// Size in bytes.
    pub size: u64,
}

impl<'a, R: Read + Seek> Ar<'a, R> {
    /// Starts reading `archive`, which has `size` bytes.
    pub fn open(archive: &'a mut R, size: u64) -> Result<Self, ArchiveError> {
        let mut magic = [0; 8];
        match archive.read_exact(&mut magic) {
            Ok(()) if magic == *MAGIC => Ok(Self {
                archive,
                size,
                next: 8,
                seen: 0,
            }),
            Err(error) if error.kind() != io::ErrorKind::UnexpectedEof => Err(error.into()),
            _ => Err(NOT_DEB),
        }
    }

    /// Returns the next member, which lies completely within the archive; `None` at the end.
    pub fn next(&mut self) -> Result<Option<ArMember>, ArchiveError> {
        self.seen += 1;
        // A line feed may pad the last member.
        if self.next >= self.size || self.seen > MAX_MEMBERS {
            return Ok(None);
        }
        self.archive.seek(SeekFrom::Start(self.next))?;
        let mut header = [0; HEADER];
        self.archive
            .read_exact(&mut header)
            .map_err(|error| match error.kind() {
                io::ErrorKind::UnexpectedEof => ArchiveError::damaged("it is cut off"),
                _ => error.into(),
            })?;
        let field = |from: usize, to: usize| {
            let text = header
                .get(from..to)
                .and_then(|bytes| std::str::from_utf8(bytes).ok());
            text.map(|text| text.trim_end_matches(' ')).ok_or(NOT_DEB)
        };
        if header.get(58..) != Some(b"`\n") {
            return Err(NOT_DEB);
        }
        let name = field(0, 16)?;
        let size = number(field(48, 58)?).ok_or(NOT_DEB)?;
        let start = self.next + HEADER as u64;
        let end = start + size;
        if end > self.size {
            return Err(ArchiveError::damaged("it is cut off"));
        }
        self.next = end + end % 2;
        let name = name.strip_suffix('/').unwrap_or(name).to_owned();
        Ok(Some(ArMember {
            name,
            time: number(field(16, 28)?).unwrap_or_default(),
            start,
            size,
        }))
    }

    /// Returns the bytes of a member, or none if the archive cannot seek there.
    pub fn content(&mut self, member: &ArMember) -> Take<&mut R> {
        let there = self.archive.seek(SeekFrom::Start(member.start)).is_ok();
        self.archive
            .by_ref()
            .take(if there { member.size } else { 0 })
    }
}

/// Parses digits only: a header has room for ten, or twelve for a time.
fn number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if digits { text.parse().ok() } else { None }
}
