//! Removes files that an earlier resolution downloaded and the current one does not need.

use std::{
    fs::{self, File},
    io::ErrorKind,
    path::{Path, PathBuf},
};

use crate::{
    RegistryError, Result,
    domain::{hash::ContentRoot, manifest::Content},
    resolve::{LockFile, lock::LockedRelease},
};

/// Removes the releases below `out` that are in the lock `before` but not in `now`: unchanged
/// files, and with `extract` the directories they were unpacked to. Returns each path, and true if
/// it was removed.
pub(super) fn prune(
    out: &Path,
    before: &LockFile,
    now: &LockFile,
    extract: bool,
) -> Result<Vec<(PathBuf, bool)>> {
    let is_needed = |locked: &&LockedRelease| {
        now.get(&locked.id)
            .is_some_and(|now| now.version == locked.version)
    };
    let mut told = Vec::new();
    for locked in before.packages().filter(|locked| !is_needed(locked)) {
        for owner in owners(locked) {
            let owner = out.join(owner);
            let place = owner.join(super::place_of(&locked.id, &locked.version));
            if !fs::symlink_metadata(&place).is_ok_and(|metadata| metadata.is_dir()) {
                continue;
            }
            let mut removed = false;
            for file in &locked.files {
                let path = place.join(&file.name);
                if is_content(&path, file.content)? {
                    fs::remove_file(&path).map_err(RegistryError::file(&path, "removed"))?;
                    removed = true;
                }
            }
            let is_gone = if removed {
                remove_empty(&place)?
            } else if extract {
                fs::remove_dir_all(&place).map_err(RegistryError::file(&place, "removed"))?;
                true
            } else {
                false
            };
            if let Some(ecosystem) = place.parent().filter(|parent| *parent != owner) {
                remove_empty(ecosystem)?;
            }
            remove_empty(&owner)?;
            told.push((place, is_gone));
        }
    }
    Ok(told)
}

/// Returns the possible names of the publisher's directory, which depend on the meaning of the
/// handle at that time.
fn owners(locked: &LockedRelease) -> Vec<String> {
    let key = locked.id.owner.fingerprint();
    match &locked.handle {
        Some(handle) => vec![handle.to_string(), format!("{handle}-{key}"), key],
        None => vec![key],
    }
}

/// Returns true if a file has exactly the content in the lock.
fn is_content(file: &Path, content: Content) -> Result<bool> {
    let same_size = |metadata: fs::Metadata| metadata.is_file() && metadata.len() == content.size;
    if !fs::symlink_metadata(file).is_ok_and(same_size) {
        return Ok(false);
    }
    let mut hasher = blake3::Hasher::new();
    let opened = File::open(file).map_err(RegistryError::file(file, "read"))?;
    hasher
        .update_reader(opened)
        .map_err(RegistryError::file(file, "read"))?;
    Ok(ContentRoot::from(hasher.finalize()) == content.root)
}

/// Removes an empty directory; returns false if it is not empty.
fn remove_empty(dir: &Path) -> Result<bool> {
    match fs::remove_dir(dir) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::DirectoryNotEmpty => Ok(false),
        Err(error) => Err(RegistryError::file(dir, "removed")(error)),
    }
}
