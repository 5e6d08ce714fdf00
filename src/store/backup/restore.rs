//! Restores a backup into a data directory.
//!
//! Everything is copied into `restoring/` and verified there. Until `restoring/complete` exists,
//! the data directory is unchanged. From then on, the next process that opens it finishes the
//! moves: see [`recover`].

use std::{
    fs, io,
    path::{Component, Path, PathBuf},
};

use rusqlite::{Connection, OpenFlags};
use serde::{Deserialize, Serialize};

use super::{Backup, CONTENT, DATABASE, FORMAT, LIST, Step, copy, key_name, private};
use crate::{
    RegistryError, Result, disk,
    domain::secret::Role,
    store::{lock, make_private, schema},
};

/// The directory in the data directory that holds a restore in progress.
pub(super) const STAGE: &str = "restoring";
/// The file in it that marks the copy as complete.
const COMPLETE: &str = "complete";

/// The options of a restore.
#[derive(Clone, Debug, Default)]
pub struct Restoring {
    /// Moves an existing node aside; without it, a data directory with a node is refused.
    pub replace: bool,
    /// Leaves out the node's key, so that the restored node gets a new identity.
    pub new_identity: bool,
}

/// The result of a restore.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Restored {
    #[serde(flatten)]
    pub backup: Backup,
    pub data_dir: PathBuf,
    /// The directory that the previous files were moved to.
    pub before: Option<PathBuf>,
}

/// The names to move, in this order, and the directory for the files in their way.
#[derive(Debug, Serialize, Deserialize)]
struct RestorePlan {
    before: PathBuf,
    names: Vec<PathBuf>,
}

/// Restores a backup into a data directory on which no node runs. Blocks until it is on the disk.
///
/// # Errors
/// [`RegistryError::DataDirInUse`] while another process uses the directory,
/// [`RegistryError::Usage`] if the directory has a node or the backup is not one, and
/// [`RegistryError::Backup`] if it is damaged. Also fails if anything cannot be read or written.
/// The data directory is unchanged after an error.
pub fn restore(data_dir: &Path, from: &Path, how: &Restoring) -> Result<Restored> {
    restore_telling(data_dir, from, how, &mut |_| Ok(()))
}

pub(super) fn restore_telling(
    data_dir: &Path,
    from: &Path,
    how: &Restoring,
    step: Step<'_>,
) -> Result<Restored> {
    let backup = read_list(from)?;
    make_private(data_dir).map_err(RegistryError::file(data_dir, "created"))?;
    let _lock = lock::DirLock::take(data_dir)?;
    recover(data_dir)?;
    let stage = data_dir.join(STAGE);
    let done = prepare(data_dir, from, &backup, how, &stage, step);
    let before = match done {
        Ok(before) => before,
        Err(error) => {
            // Remove the mark first; whatever else remains is removed when the directory is next
            // opened.
            let _ = fs::remove_file(stage.join(COMPLETE)).and_then(|()| disk::sync_dir(&stage));
            let _ = fs::remove_dir_all(&stage);
            return Err(error);
        }
    };
    advance(data_dir, step)?;
    let before = Some(data_dir.join(before)).filter(|before| before.exists());
    Ok(Restored {
        backup,
        data_dir: data_dir.to_owned(),
        before,
    })
}

fn no_backup(from: &Path, why: &str) -> RegistryError {
    RegistryError::Usage(format!(
        "{} is no backup: {why}; name the directory that `swarmdex backup` made",
        from.display()
    ))
}

fn damaged(from: &Path, why: &str) -> RegistryError {
    RegistryError::Backup {
        path: from.to_owned(),
        why: why.to_owned(),
    }
}

pub(super) fn read_list(from: &Path) -> Result<Backup> {
    let path = from.join(LIST);
    let text = match fs::read(&path) {
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
            ) =>
        {
            return Err(no_backup(from, "there is no backup.json in it"));
        }
        text => text.map_err(RegistryError::file(&path, "read"))?,
    };
    #[derive(Deserialize)]
    struct BackupVersion {
        swarmdex_backup: u32,
    }
    let version: BackupVersion = serde_json::from_slice(&text)
        .map_err(|_| no_backup(from, "its backup.json does not say so"))?;
    if version.swarmdex_backup != FORMAT {
        let why = format!(
            "it has format {}, and this program reads {FORMAT}",
            version.swarmdex_backup
        );
        return Err(RegistryError::Usage(format!(
            "{}: {why}; use the release that made it",
            from.display()
        )));
    }
    let backup: Backup =
        serde_json::from_slice(&text).map_err(|error| damaged(from, &error.to_string()))?;
    // Write nothing outside the directory, whatever the list says.
    let below = |path: &Path| {
        path.components()
            .all(|part| matches!(part, Component::Normal(_)))
    };
    let known = |path: &Path| {
        let key = [Role::Identity, Role::Publisher]
            .into_iter()
            .any(|role| path == key_name(role));
        key || path == Path::new(DATABASE) || path.parent() == Some(Path::new(CONTENT))
    };
    if let Some(file) = backup
        .files
        .iter()
        .find(|file| !below(&file.path) || !known(&file.path))
    {
        return Err(damaged(
            from,
            &format!(
                "its list has {}, which is not a file of a backup",
                file.path.display()
            ),
        ));
    }
    if !backup.has(DATABASE) {
        return Err(damaged(from, "there is no database in its list"));
    }
    schema::check(backup.schema, &from.join(DATABASE))?;
    Ok(backup)
}

/// Copies and verifies everything; the last step marks the copy as complete. Returns the directory
/// that existing files will move to.
pub(super) fn prepare(
    data_dir: &Path,
    from: &Path,
    backup: &Backup,
    how: &Restoring,
    stage: &Path,
    step: Step<'_>,
) -> Result<PathBuf> {
    let kept_out = |path: &Path| how.new_identity && path == key_name(Role::Identity);
    let files: Vec<_> = backup
        .files
        .iter()
        .filter(|file| !kept_out(&file.path))
        .collect();
    let keys = [Role::Identity, Role::Publisher].map(key_name);
    let keys = keys
        .into_iter()
        .filter(|name| files.iter().any(|file| file.path == *name));
    // Move the database last: without it, the other files mean nothing.
    let names: Vec<PathBuf> = keys.chain([CONTENT.into(), DATABASE.into()]).collect();
    let in_the_way = names.iter().find(|name| match name.as_path() {
        name if name == Path::new(CONTENT) => false,
        name => fs::symlink_metadata(data_dir.join(name)).is_ok(),
    });
    if let Some(name) = in_the_way.filter(|_| !how.replace) {
        let why = format!(
            "{} has a node already ({}), and nothing was restored; use --replace to move that \
             aside, or another --data-dir",
            data_dir.display(),
            name.display()
        );
        return Err(RegistryError::Usage(why));
    }
    private(stage)?;
    private(&stage.join(CONTENT))?;
    for file in files {
        step(&stage.join(&file.path))?;
        let copied = match copy(&from.join(&file.path), stage, &file.path) {
            Err(RegistryError::File { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                return Err(damaged(
                    from,
                    &format!("{} is not in it", file.path.display()),
                ));
            }
            copied => copied?,
        };
        if copied != *file {
            return Err(damaged(
                from,
                &format!("{} was changed since it was written", file.path.display()),
            ));
        }
    }
    let database = stage.join(DATABASE);
    let db = Connection::open_with_flags(&database, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    schema::check(schema::version(&db)?, &from.join(DATABASE))?;
    if how.new_identity {
        db.execute(
            "DELETE FROM known_keys WHERE role = ?",
            [Role::Identity.word()],
        )?;
    }
    db.close().map_err(|(_, error)| error)?;
    let synced = fs::File::open(&database).and_then(|file| file.sync_all());
    synced
        .and_then(|()| disk::sync_dir(stage))
        .map_err(RegistryError::file(&database, "written"))?;
    let before = (1_u32..).map(|number| PathBuf::from(format!("before-restore-{number}")));
    let before = before
        .into_iter()
        .find(|name| !data_dir.join(name).exists())
        .unwrap_or_default();
    let plan = serde_json::to_vec(&RestorePlan {
        before: before.clone(),
        names,
    })
    .map_err(|error| RegistryError::Internal {
        what: "writing down a restore",
        why: error.to_string(),
    })?;
    let complete = stage.join(COMPLETE);
    step(&complete)?;
    disk::make(&complete, &plan, 0o600).map_err(RegistryError::file(&complete, "written"))?;
    Ok(before)
}

/// Finishes an interrupted restore, or removes it if its copy was not complete. The caller holds
/// the lock.
///
/// # Errors
/// Fails if something cannot be moved.
pub fn recover(data_dir: &Path) -> Result<()> {
    let stage = data_dir.join(STAGE);
    match fs::symlink_metadata(&stage) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        about => about.map_err(RegistryError::file(&stage, "read"))?,
    };
    if stage.join(COMPLETE).exists() {
        tracing::warn!("an interrupted restore is now finished");
        return advance(data_dir, &mut |_| Ok(()));
    }
    tracing::warn!("an incomplete restore was removed; run it again");
    fs::remove_dir_all(&stage).map_err(RegistryError::file(&stage, "removed"))
}

/// Moves the remaining files. If it is interrupted, it can be called again and continues.
pub(super) fn advance(data_dir: &Path, step: Step<'_>) -> Result<()> {
    let stage = data_dir.join(STAGE);
    let complete = stage.join(COMPLETE);
    let text = fs::read(&complete).map_err(RegistryError::file(&complete, "read"))?;
    let plan: RestorePlan =
        serde_json::from_slice(&text).map_err(|error| damaged(&stage, &error.to_string()))?;
    let before = data_dir.join(&plan.before);
    let aside = |name: &Path, step: Step<'_>| {
        let there = data_dir.join(name);
        if fs::symlink_metadata(&there).is_ok() {
            private(&before)?;
            step(&there)?;
            fs::rename(&there, before.join(name)).map_err(RegistryError::file(&there, "moved"))?;
        }
        Ok::<(), RegistryError>(())
    };
    for name in &plan.names {
        let new = stage.join(name);
        // Moved already; the file in the data directory is the new one.
        if fs::symlink_metadata(&new).is_err() {
            continue;
        }
        if name == Path::new(DATABASE) {
            // Log files of the old database, which the new one must not be read with.
            for beside in ["swarmdex.db-wal", "swarmdex.db-shm"] {
                aside(Path::new(beside), step)?;
            }
        }
        aside(name, step)?;
        step(&new)?;
        fs::rename(&new, data_dir.join(name)).map_err(RegistryError::file(&new, "moved"))?;
        disk::sync_dir(data_dir).map_err(RegistryError::file(data_dir, "written to"))?;
    }
    step(&complete)?;
    fs::remove_dir_all(&stage).map_err(RegistryError::file(&stage, "removed"))?;
    disk::sync_dir(data_dir).map_err(RegistryError::file(data_dir, "written to"))
}
