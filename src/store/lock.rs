//! One node at a time on a data directory.

use std::{
    fs::{File, OpenOptions, TryLockError},
    path::Path,
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
        match file.try_lock() {
            Ok(()) => Ok(Self(file)),
            Err(TryLockError::WouldBlock) => Err(RegistryError::DataDirInUse(data_dir.to_owned())),
            Err(TryLockError::Error(source)) => Err(RegistryError::File { path, doing: "locked", source }),
        }
    }
}
