//! Where bytes are written: the disk, or in tests one that is full.

use std::{fs::File, io, os::unix::fs::FileExt};

/// What can go wrong with a disk goes wrong here.
pub(crate) trait Medium: Send + Sync {
    fn write_at(&self, file: &File, at: u64, bytes: &[u8]) -> io::Result<()>;

    /// Returns once the file's bytes survive the power going off.
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

/// A disk with room for so many bytes: filling a real one takes a file system of one's own, which
/// takes root.
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
            // Like a real one, which takes what it has room for.
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
