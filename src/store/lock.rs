//! One node at a time on a data directory.

use std::{
    fs::{File, OpenOptions, TryLockError},
    path::Path,
    time::Duration,
};

use crate::{RegistryError, Result};

/// Held for as long as the directory is in use; the system lets go of it when the process ends, however it ends.
pub(super) struct DirLock(#[expect(dead_code, reason = "held, never read")] File);

impl DirLock {
    pub(super) fn take(data_dir: &Path) -> Result<Self> {
        let path = data_dir.join("lock");
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(RegistryError::file(&path, "opened"))?;
        /// Somebody may just be looking whether it is in use, which takes no time at all.
        const LOOKS: usize = 5;
        const LOOK: Duration = Duration::from_millis(5);
        for _ in 0..LOOKS {
            match file.try_lock() {
                Ok(()) => return Ok(Self(file)),
                Err(TryLockError::WouldBlock) => std::thread::sleep(LOOK),
                Err(TryLockError::Error(source)) => return Err(RegistryError::File { path, doing: "locked", source }),
            }
        }
        Err(RegistryError::DataDirInUse(data_dir.to_owned()))
    }
}

/// Whether some process has the directory.
pub fn is_in_use(data_dir: &Path) -> bool {
    let file = OpenOptions::new().write(true).open(data_dir.join("lock"));
    file.is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
}
