//! The members of an `ar` archive, as deb(5) has them: headers of 60 bytes, and contents that begin
//! at even places.

use std::io::{self, Read, Seek, SeekFrom, Take};

use super::{NOT_DEB, Unusable};

const MAGIC: &[u8; 8] = b"!<arch>\n";
const HEADER: usize = 60;
/// Members looked at. A package has three, and few add some of their own.
const MAX_MEMBERS: usize = 32;

pub(super) struct Ar<'a, R> {
    archive: &'a mut R,
    size: u64,
    /// The next header begins at this byte.
    next: u64,
    seen: usize,
}

pub(super) struct Member {
    /// Without the slash that some programs write behind it.
    pub name: String,
    /// In seconds since 1970.
    pub time: u64,
    start: u64,
    /// In bytes.
    pub size: u64,
}

impl<'a, R: Read + Seek> Ar<'a, R> {
    /// Reads from the beginning of `archive`, which has `size` bytes.
    pub fn open(archive: &'a mut R, size: u64) -> Result<Self, Unusable> {
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

    /// The next member, whole in the archive; none at the end.
    pub fn next(&mut self) -> Result<Option<Member>, Unusable> {
        self.seen += 1;
        // A line feed may fill up the last member.
        if self.next >= self.size || self.seen > MAX_MEMBERS {
            return Ok(None);
        }
        self.archive.seek(SeekFrom::Start(self.next))?;
        let mut header = [0; HEADER];
        self.archive
            .read_exact(&mut header)
            .map_err(|error| match error.kind() {
                io::ErrorKind::UnexpectedEof => Unusable::damaged("it is cut off"),
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
            return Err(Unusable::damaged("it is cut off"));
        }
        self.next = end + end % 2;
        let name = name.strip_suffix('/').unwrap_or(name).to_owned();
        Ok(Some(Member {
            name,
            time: number(field(16, 28)?).unwrap_or_default(),
            start,
            size,
        }))
    }

    /// The bytes of a member; of nothing else where it cannot be gone to.
    pub fn content(&mut self, member: &Member) -> Take<&mut R> {
        let there = self.archive.seek(SeekFrom::Start(member.start)).is_ok();
        self.archive
            .by_ref()
            .take(if there { member.size } else { 0 })
    }
}

/// Digits alone: ten at most fit into a header, twelve into that for a time.
fn number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if digits { text.parse().ok() } else { None }
}
