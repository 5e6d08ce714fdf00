//! Writes to the disk, or in tests to a simulated full disk.

use std::{fs::File, io, os::unix::fs::FileExt};

/// The operations that can fail on a disk.
pub(crate) trait Medium: Send + Sync {
    fn write_at(&self, file: &File, at: u64, bytes: &[u8]) -> io::Result<()>;

    /// Returns once the file's bytes are safe from a power cut.
    fn sync(&self, file: &File) -> io::Result<()>;
}

pub(crate) struct Disk;

impl Medium for Disk {
    fn write_at(&self, file: &File, at: u64, bytes: &[u8]) -> io::Result<()> {
        file.write_all_at(bytes, at)
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        file.sync_data()
    }
}

/// A disk with this many bytes left. Filling a real one would take a file system of its own, and
/// root.
#[cfg(test)]
pub(crate) struct Full(pub std::sync::atomic::AtomicU64);

#[cfg(test)]
impl Medium for Full {
    fn write_at(&self, file: &File, at: u64, bytes: &[u8]) -> io::Result<()> {
        use std::sync::atomic::Ordering::SeqCst;
        let needed = bytes.len() as u64;
        match self
            .0
            .fetch_update(SeqCst, SeqCst, |left| left.checked_sub(needed))
        {
            Ok(_) => Disk.write_at(file, at, bytes),
            // Like a real disk, it writes as much as fits.
            Err(left) => {
                let part = bytes.get(..left as usize).unwrap_or_default();
                self.0.store(0, SeqCst);
                Disk.write_at(file, at, part)?;
                Err(io::Error::from_raw_os_error(28))
            }
        }
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        Disk.sync(file)
    }
}
