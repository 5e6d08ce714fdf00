//! Writes the archive of the entries found.

use std::{
    fs::File,
    io::{self, Read, Write},
};

use tar::{Builder, EntryType, Header};
use zstd::stream::write::Encoder;

use super::{FileStamp, ItemKind, PackError, PackItem, PackProgress, Packed};

/// Packages are packed once and fetched often, but beyond this level zstd takes several times as
/// long for a percent or two.
pub(super) const LEVEL: i32 = 9;
/// The time of every file, in seconds since 1970. Some programs take 0 for unset, and GNU tar warns
/// of it.
const MTIME: u64 = 1;
/// Progress is reported after this many bytes or files.
const TELL_BYTES: u64 = 1 << 20;
const TELL_FILES: u64 = 64;

pub(super) fn write(
    items: &[PackItem],
    out: impl Write,
    told: impl FnMut(PackProgress),
) -> Result<Packed, PackError> {
    let sizes = items.iter().filter_map(|item| match &item.what {
        ItemKind::File { seen, .. } => Some(seen.size),
        _ => None,
    });
    let (files, bytes) = sizes.fold((0, 0), |(files, bytes), size| (files + 1, bytes + size));
    let start = PackProgress {
        files,
        bytes,
        ..PackProgress::default()
    };
    let mut progress = ProgressReporter {
        now: start,
        told_last: start,
        told,
    };
    progress.tell();

    let mut encoder =
        Encoder::new(CountingWriter { out, written: 0 }, LEVEL).map_err(PackError::Write)?;
    encoder
        .include_checksum(true)
        .and_then(|()| encoder.include_contentsize(false))
        .map_err(PackError::Write)?;
    let mut archive = Builder::new(encoder);
    for item in items {
        append(&mut archive, item, &mut progress)?;
    }
    let out = archive.into_inner().and_then(Encoder::finish);
    let written = out
        .and_then(|mut out| out.flush().map(|()| out.written))
        .map_err(PackError::Write)?;
    progress.tell();
    Ok(Packed {
        entries: items.len() as u64,
        files,
        bytes,
        written,
    })
}

fn append<W: Write, F: FnMut(PackProgress)>(
    archive: &mut Builder<W>,
    item: &PackItem,
    progress: &mut ProgressReporter<F>,
) -> Result<(), PackError> {
    let PackItem {
        path, place, what, ..
    } = item;
    match what {
        ItemKind::Directory => {
            let mut header = header(EntryType::Directory, 0o755, 0);
            archive
                .append_data(&mut header, path, io::empty())
                .map_err(PackError::Write)
        }
        ItemKind::Link(target) => {
            let mut header = header(EntryType::Symlink, 0o777, 0);
            archive
                .append_link(&mut header, path, target)
                .map_err(PackError::Write)
        }
        ItemKind::File { seen, executable } => {
            let file = File::open(place).map_err(|source| PackError::Read {
                path: path.clone(),
                source,
            })?;
            let mut header = header(
                EntryType::Regular,
                if *executable { 0o755 } else { 0o644 },
                seen.size,
            );
            let mut content = CheckedFile {
                file,
                left: seen.size,
                seen: *seen,
                failed: None,
                progress,
            };
            let appended = content
                .check()
                .and_then(|()| archive.append_data(&mut header, path, &mut content));
            match (appended, content.failed) {
                (_, Some(ReadFailure::Changed)) => Err(PackError::Changed { path: path.clone() }),
                (_, Some(ReadFailure::Unread(source))) => Err(PackError::Read {
                    path: path.clone(),
                    source,
                }),
                (Err(error), None) => Err(PackError::Write(error)),
                (Ok(()), None) => {
                    progress.file();
                    Ok(())
                }
            }
        }
    }
}

fn header(kind: EntryType, mode: u32, size: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(size);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(MTIME);
    header
}

/// Reads exactly the bytes promised by the header, which was written first, from the file that was
/// listed; anything else is an error.
struct CheckedFile<'a, F> {
    file: File,
    left: u64,
    seen: FileStamp,
    failed: Option<ReadFailure>,
    progress: &'a mut ProgressReporter<F>,
}

enum ReadFailure {
    Changed,
    Unread(io::Error),
}

impl<F> CheckedFile<'_, F> {
    fn check(&mut self) -> io::Result<()> {
        match self.file.metadata() {
            Ok(metadata) if FileStamp::of(&metadata) == self.seen => Ok(()),
            Ok(_) => Err(self.fail(ReadFailure::Changed)),
            Err(error) => Err(self.fail(ReadFailure::Unread(error))),
        }
    }

    fn fail(&mut self, why: ReadFailure) -> io::Error {
        self.failed = Some(why);
        io::ErrorKind::Other.into()
    }
}

impl<F: FnMut(PackProgress)> Read for CheckedFile<'_, F> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 {
            return self.check().map(|()| 0);
        }
        let most = buffer
            .len()
            .min(usize::try_from(self.left).unwrap_or(usize::MAX));
        match self.file.read(buffer.get_mut(..most).unwrap_or_default()) {
            Ok(0) if most > 0 => Err(self.fail(ReadFailure::Changed)),
            Ok(read) => {
                self.left -= read as u64;
                self.progress.bytes(read as u64);
                Ok(read)
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Err(error),
            Err(error) => Err(self.fail(ReadFailure::Unread(error))),
        }
    }
}

struct ProgressReporter<F> {
    now: PackProgress,
    told_last: PackProgress,
    told: F,
}

impl<F: FnMut(PackProgress)> ProgressReporter<F> {
    fn bytes(&mut self, more: u64) {
        self.now.bytes_done += more;
        if self.now.bytes_done - self.told_last.bytes_done >= TELL_BYTES {
            self.tell();
        }
    }

    fn file(&mut self) {
        self.now.files_done += 1;
        if self.now.files_done - self.told_last.files_done >= TELL_FILES {
            self.tell();
        }
    }

    fn tell(&mut self) {
        self.told_last = self.now;
        (self.told)(self.now);
    }
}

struct CountingWriter<W> {
    out: W,
    written: u64,
}

impl<W: Write> Write for CountingWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(bytes)?;
        self.written += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
