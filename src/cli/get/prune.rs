//! Taking away what an earlier resolution had fetched and this one does not need.

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

/// Removes the releases below `out` that are in the lock `before` and not in `now`: a file that is
/// as it was fetched, and with
/// `extract` the directory that it was unpacked to. Returns each place with whether it is gone.
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

/// What the directory of its publisher may be called, by what the handle meant when it was fetched.
fn owners(locked: &LockedRelease) -> Vec<String> {
    let key = locked.id.owner.fingerprint();
    match &locked.handle {
        Some(handle) => vec![handle.to_string(), format!("{handle}-{key}"), key],
        None => vec![key],
    }
}

/// Whether a file has the very bytes that the lock says.
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

/// Removes a directory that has nothing in it; false when it has.
fn remove_empty(dir: &Path) -> Result<bool> {
    match fs::remove_dir(dir) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::DirectoryNotEmpty => Ok(false),
        Err(error) => Err(RegistryError::file(dir, "removed")(error)),
    }
}
