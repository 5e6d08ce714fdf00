//! Reads untrusted `Packages` indexes of Debian archives, one stanza at a time, with every length
//! bounded.
//!
//! The format is deb822 (Debian Policy 5.1): fields of one or more lines, and an empty line after
//! each package. A problem with one stanza is reported and the next one is read; damage to the file
//! itself ends the reading.

use std::{
    fs::{self, File},
    io::{self, BufRead, BufReader, Read, Seek, Take},
    iter::FusedIterator,
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::domain::text::{fit, printable};

mod packing;
mod stanza;
mod tags;

pub(super) use stanza::fields;
pub use stanza::{Stanza, StanzaError};

/// Longest piece of a line read at once, in bytes; nearly all lines are shorter.
const PIECE: u64 = 64 << 10;

/// Limits on an index.
#[derive(Clone, Copy, Debug)]
struct IndexLimits {
    /// The most bytes after decompression.
    bytes: u64,
    /// The most bytes of one stanza.
    stanza: usize,
    stanzas: u64,
}

/// About 60 times the size of Debian's main archive.
const LIMITS: IndexLimits = IndexLimits {
    bytes: 4 << 30,
    stanza: 1 << 20,
    stanzas: 10_000_000,
};

/// The reason why an index cannot be read, or not to its end.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    #[error("{} cannot be read: {source}; check that it is there, and yours to \
        read", .path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("{} is not a file; name an index, such as one of /var/lib/apt/lists", .0.display())]
    NotFile(PathBuf),
    #[error("{} is not a Packages index, nor one that is packed with gzip, xz or lz4; name one of \
        these", .0.display())]
    NotIndex(PathBuf),
    #[error("{} is cut off or damaged after {} lines ({}); fetch it \
        again", .path.display(), .lines, printable(&.source.to_string()))]
    Damaged {
        path: PathBuf,
        lines: u64,
        source: io::Error,
    },
    #[error("{} unpacks to more than {bytes} bytes, which no index does; check where it comes \
        from", .path.display())]
    TooLarge { path: PathBuf, bytes: u64 },
    #[error("{} has more than {stanzas} packages, which no index has; check where it comes \
        from", .path.display())]
    TooMany { path: PathBuf, stanzas: u64 },
}

/// A stanza that is skipped; those after it are still read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} (line {line}) was skipped: \
    {why}", .name.as_deref().unwrap_or("a package without a name"))]
pub struct Bad {
    /// The package's name, if it can be read, cleaned and shortened.
    pub name: Option<String>,
    /// Line number of its beginning, from 1, in the decompressed index.
    pub line: u64,
    pub why: StanzaError,
}

/// Progress of reading, in bytes of the file as packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadProgress {
    pub read: u64,
    pub size: u64,
}

/// An index that is being read. It ends at the first error of the file; a bad stanza is no such
/// error.
pub struct Index {
    path: PathBuf,
    file: Arc<File>,
    size: u64,
    text: BufReader<Take<Box<dyn Read + Send>>>,
    limits: IndexLimits,
    /// The next line, or a part of a long one; empty at the end.
    piece: Vec<u8>,
    /// True if the piece begins a line.
    begins: bool,
    /// The number of complete lines before the piece.
    lines: u64,
    stanzas: u64,
    over: bool,
}

/// Opens the index at `path`, plain or packed with gzip, xz or lz4, whatever its name is. Needs up
/// to about 128 MiB of memory for an xz dictionary.
///
/// # Errors
/// It is not a file, cannot be read, or is not an index. An empty file is an index without
/// packages.
pub fn open(path: &Path) -> Result<Index, IndexError> {
    open_within(path, LIMITS)
}

fn open_within(path: &Path, limits: IndexLimits) -> Result<Index, IndexError> {
    let unread = |source| IndexError::File {
        path: path.to_owned(),
        source,
    };
    let about = fs::metadata(path).map_err(unread)?;
    // Opening a pipe would block.
    if !about.is_file() {
        return Err(IndexError::NotFile(path.to_owned()));
    }
    let file = Arc::new(File::open(path).map_err(unread)?);
    let unpacked = packing::unpacked(BufReader::new(Arc::clone(&file))).map_err(unread)?;
    let mut index = Index {
        path: path.to_owned(),
        file,
        size: about.len(),
        // One byte more than allowed, to detect an excess.
        text: BufReader::new(unpacked.take(limits.bytes.saturating_add(1))),
        limits,
        piece: Vec::new(),
        begins: true,
        lines: 0,
        stanzas: 0,
        over: false,
    };
    index.advance()?;
    index.pass_blank_lines()?;
    if index.piece.is_empty() || begins_field(&index.piece) {
        Ok(index)
    } else {
        Err(IndexError::NotIndex(index.path))
    }
}

/// Returns true if a line begins with a field name. Images or web pages do not.
fn begins_field(line: &[u8]) -> bool {
    let end = line
        .iter()
        .position(|byte| *byte == b':')
        .unwrap_or_default();
    let mut name = line.iter().take(end);
    end > 0 && name.all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-')
}

impl Index {
    /// Returns the progress, slightly ahead of the last stanza, because files are read in larger
    /// pieces.
    pub fn progress(&self) -> ReadProgress {
        // The decoder reads from the same file, so this position advances with it.
        ReadProgress {
            read: (&*self.file).stream_position().unwrap_or_default(),
            size: self.size,
        }
    }

    /// Advances to the next line, or to the next part of a long one.
    fn advance(&mut self) -> Result<(), IndexError> {
        self.begins = self.piece.is_empty() || self.piece.ends_with(b"\n");
        self.lines += u64::from(self.piece.ends_with(b"\n"));
        self.piece.clear();
        match (&mut self.text)
            .take(PIECE)
            .read_until(b'\n', &mut self.piece)
        {
            Ok(0) if self.text.get_ref().limit() == 0 => Err(IndexError::TooLarge {
                path: self.path.clone(),
                bytes: self.limits.bytes,
            }),
            Ok(_) => Ok(()),
            Err(source) => Err(IndexError::Damaged {
                path: self.path.clone(),
                lines: self.lines,
                source,
            }),
        }
    }

    fn is_blank(&self) -> bool {
        self.begins && matches!(self.piece.as_slice(), b"\n" | b"\r\n")
    }

    fn pass_blank_lines(&mut self) -> Result<(), IndexError> {
        while self.is_blank() {
            self.advance()?;
        }
        Ok(())
    }

    /// Reads the next stanza up to the blank line after it and no further, so that damage behind it
    /// does not affect it.
    fn stanza(&mut self) -> Result<Option<Result<Stanza, Bad>>, IndexError> {
        self.pass_blank_lines()?;
        if self.piece.is_empty() {
            return Ok(None);
        }
        self.stanzas += 1;
        if self.stanzas > self.limits.stanzas {
            return Err(IndexError::TooMany {
                path: self.path.clone(),
                stanzas: self.limits.stanzas,
            });
        }
        let line = self.lines + 1;
        let mut text = Vec::new();
        let mut fits = true;
        while !self.piece.is_empty() && !self.is_blank() {
            fits &= text.len() + self.piece.len() <= self.limits.stanza;
            if fits {
                text.extend_from_slice(&self.piece);
            }
            self.advance()?;
        }
        let read = if fits {
            Stanza::of(&text)
        } else {
            Err(StanzaError::TooLong)
        };
        Ok(Some(read.map_err(|why| Bad {
            name: name_in(&text),
            line,
            why,
        })))
    }
}

/// Returns a stanza's package name for display, whatever bytes it consists of.
fn name_in(text: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(text);
    let name = text
        .lines()
        .find_map(|line| line.strip_prefix("Package:"))?;
    Some(fit(&printable(name), 80)).filter(|name| !name.is_empty())
}

impl Iterator for Index {
    /// The outer error concerns the file and comes last; the inner one concerns a stanza.
    type Item = Result<Result<Stanza, Bad>, IndexError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.over {
            return None;
        }
        let next = self.stanza().transpose();
        self.over = !matches!(next, Some(Ok(_)));
        next
    }
}

impl FusedIterator for Index {}

#[cfg(test)]
mod tests;
