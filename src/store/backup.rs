//! Backups of a data directory. A backup is either complete or absent, and so is a restore.
//!
//! A backup is written under a temporary name and then renamed. It contains a snapshot of the
//! database, the keys, the chosen contents, and `backup.json`, which lists every file with its
//! hash. [`restore`] is in `backup/restore.rs`.

mod restore;

pub(super) use restore::recover;
pub use restore::{Restored, Restoring, restore};

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use rusqlite::{Connection, OpenFlags};
use serde::{Deserialize, Serialize};

use super::{content, database_path, known_keys, lock, schema};
use crate::{
    RegistryError, Result, clock, disk,
    domain::{hash::ContentRoot, held::Held, secret::Role, time::Timestamp},
    store::keys,
};

/// Version of the format.
const FORMAT: u32 = 1;
/// The list of files, written last and read first.
const LIST: &str = "backup.json";
/// The name of the database in a backup and in a data directory.
const DATABASE: &str = "swarmdex.db";
const CONTENT: &str = "content";
/// Bytes copied at a time.
const PIECE: usize = 1 << 20;

/// The contents that go into a backup. Own or pinned contents that do not are remembered as
/// missing, so that they are kept again once they return.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Choice {
    None,
    /// Contents published here, because other nodes may not have them.
    #[default]
    Own,
    /// Own and pinned contents.
    Pinned,
    /// All complete contents.
    All,
}

impl Choice {
    fn takes(self, held: &Held) -> bool {
        match self {
            Self::None => false,
            Self::Own => held.own,
            Self::Pinned => held.own || held.pinned,
            Self::All => true,
        }
    }
}

/// The options of a backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ask {
    /// The directory to create: an absolute path in an existing directory.
    pub dir: PathBuf,
    pub keys: bool,
    #[serde(default)]
    pub contents: Choice,
}

/// The list of a backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backup {
    /// Version of the format.
    pub swarmdex_backup: u32,
    pub made_at: Timestamp,
    /// Versions of the program that made it and of the database.
    pub version: String,
    pub schema: i64,
    /// The node's id, if it ever ran.
    pub node: Option<String>,
    /// The publisher's key that was used last.
    pub publisher: Option<String>,
    pub contents: Choice,
    pub files: Vec<BackupEntry>,
    /// Chosen contents that were not complete, each by the name of its release.
    #[serde(default)]
    pub missing: Vec<String>,
}

/// A file of a backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupEntry {
    /// Relative to the backup's directory.
    pub path: PathBuf,
    pub size: u64,
    /// BLAKE3 hash, in hexadecimal.
    pub hash: String,
}

impl Backup {
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.size).sum()
    }

    pub fn has(&self, path: impl AsRef<Path>) -> bool {
        self.files.iter().any(|file| file.path == path.as_ref())
    }

    /// Returns true if it contains the key of this role.
    pub fn has_key(&self, role: Role) -> bool {
        self.has(key_name(role))
    }
}

fn key_name(role: Role) -> PathBuf {
    keys::path(role, Path::new(""))
}

/// Called before each step; an error stops the work there.
pub(crate) type Step<'a> = &'a mut dyn FnMut(&Path) -> Result<()>;

/// Makes a backup of a data directory, on which a node may run. Blocks until it is on the disk.
///
/// # Errors
/// Fails if the directory exists, or if anything cannot be read or written. Nothing of the backup
/// is left then.
pub fn make(data_dir: &Path, ask: &Ask) -> Result<Backup> {
    make_telling(data_dir, ask, &mut |_| Ok(()))
}

/// As [`make`], of a data directory on which no node runs. Prevents one from starting meanwhile.
///
/// # Errors
/// As [`make`], and [`RegistryError::DataDirInUse`] while another process uses the directory.
pub fn make_stopped(data_dir: &Path, ask: &Ask) -> Result<Backup> {
    if !database_path(data_dir).exists() {
        let why = format!(
            "there is no database in {}, so there is nothing to back up; check --data-dir",
            data_dir.display()
        );
        return Err(RegistryError::Usage(why));
    }
    let _lock = lock::DirLock::take(data_dir)?;
    recover(data_dir)?;
    make(data_dir, ask)
}

fn make_telling(data_dir: &Path, ask: &Ask, step: Step<'_>) -> Result<Backup> {
    let (parent, name) = place(&ask.dir)?;
    let prefix = format!(".{name}.unfinished-");
    forget_unfinished(parent, &prefix);
    // Set the mode explicitly: the crate uses the umask's.
    let ours = std::os::unix::fs::PermissionsExt::from_mode(0o700);
    let made = tempfile::Builder::new()
        .prefix(&prefix)
        .permissions(ours)
        .tempdir_in(parent);
    let beside = made.map_err(RegistryError::file(&ask.dir, "made"))?;
    // Locked until it is renamed: an unlocked one was left by a backup that was killed.
    let held = File::open(beside.path()).map_err(RegistryError::file(&ask.dir, "made"))?;
    held.lock()
        .map_err(RegistryError::file(&ask.dir, "locked"))?;
    let backup = write(data_dir, ask, beside.path(), step)?;
    step(&ask.dir)?;
    fs::rename(beside.path(), &ask.dir).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists
        | io::ErrorKind::DirectoryNotEmpty
        | io::ErrorKind::NotADirectory => taken(&ask.dir),
        _ => RegistryError::file(&ask.dir, "made")(error),
    })?;
    let _ = beside.keep();
    disk::sync_dir(parent).map_err(RegistryError::file(parent, "written to"))?;
    Ok(backup)
}

fn taken(dir: &Path) -> RegistryError {
    RegistryError::Usage(format!(
        "{} is there already; choose another name",
        dir.display()
    ))
}

/// Returns the parent directory and the name of the backup, if the name is free.
fn place(dir: &Path) -> Result<(&Path, String)> {
    let Some(name) = dir
        .file_name()
        .and_then(|name| name.to_str())
        .filter(|_| dir.is_absolute())
    else {
        return Err(RegistryError::Usage(format!(
            "{} does not name a directory that can be created",
            dir.display()
        )));
    };
    match fs::symlink_metadata(dir) {
        Ok(_) => return Err(taken(dir)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(RegistryError::file(dir, "made")(error)),
    }
    disk::has_dir(dir).map_err(RegistryError::file(dir, "made"))?;
    Ok((disk::dir_of(dir), name.to_owned()))
}

/// Removes the remains of killed backups of this name.
fn forget_unfinished(parent: &Path, prefix: &str) {
    let old = fs::read_dir(parent).into_iter().flatten().flatten();
    for old in old.filter(|old| {
        old.file_name()
            .to_str()
            .is_some_and(|name| name.starts_with(prefix))
    }) {
        let left = File::open(old.path()).is_ok_and(|dir| dir.try_lock().is_ok());
        if left && let Err(error) = fs::remove_dir_all(old.path()) {
            tracing::warn!(%error, path = %old.path().display(), "the remains of an earlier backup could not be removed");
        }
    }
}

/// Writes everything into `dir`, the list last.
fn write(data_dir: &Path, ask: &Ask, dir: &Path, step: Step<'_>) -> Result<Backup> {
    let mut files = Vec::new();
    let now = clock::now();
    let database = dir.join(DATABASE);
    step(&database)?;
    snapshot(data_dir, &database)?;
    let db = Connection::open_with_flags(&database, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    // Only this program uses the copy, and it is synced as a whole below.
    db.pragma_update(None, "synchronous", "OFF")?;
    schema::check(schema::version(&db)?, &database_path(data_dir))?;
    private(&dir.join(CONTENT))?;
    let (mut gone, mut missing) = (Vec::new(), Vec::new());
    for held in content::listed(&db)? {
        let taken = ask.contents.takes(&held);
        if !taken || held.in_file && !copy_content(data_dir, dir, &held, &mut files, step)? {
            if taken {
                missing.push(
                    held.what
                        .clone()
                        .unwrap_or_else(|| held.content.root.to_string()),
                );
            }
            gone.push(held);
        }
    }
    if !gone.is_empty() {
        let together = db.unchecked_transaction()?;
        for held in gone {
            content::leave_out(&together, &held, now)?;
        }
        together.commit()?;
        db.execute_batch("VACUUM")?;
    }
    let key = |role| known_keys::known(&db, role);
    let (node, publisher) = (key(Role::Identity)?, key(Role::Publisher)?);
    let schema = schema::version(&db)?;
    db.close().map_err(|(_, error)| error)?;
    files.push(listed(dir, Path::new(DATABASE))?);
    for role in [Role::Identity, Role::Publisher]
        .into_iter()
        .filter(|_| ask.keys)
    {
        let name = key_name(role);
        let from = data_dir.join(&name);
        step(&from)?;
        if from.exists() {
            files.push(copy(&from, dir, &name)?);
        }
    }
    let version = env!("CARGO_PKG_VERSION").to_owned();
    let contents = ask.contents;
    let backup = Backup {
        swarmdex_backup: FORMAT,
        made_at: now,
        version,
        schema,
        node,
        publisher,
        contents,
        files,
        missing,
    };
    let list = dir.join(LIST);
    step(&list)?;
    let text = serde_json::to_vec_pretty(&backup).map_err(|error| RegistryError::Internal {
        what: "writing a backup's list",
        why: error.to_string(),
    })?;
    disk::replace(&list, &text).map_err(RegistryError::file(&list, "written"))?;
    for dir in [&dir.join(CONTENT), dir] {
        disk::sync_dir(dir).map_err(RegistryError::file(dir, "written"))?;
    }
    Ok(backup)
}

/// Copies a snapshot of the database while others may write to it.
fn snapshot(data_dir: &Path, to: &Path) -> Result<()> {
    // Create the file before SQLite does, readable by its owner only.
    let made = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(to);
    made.map_err(RegistryError::file(to, "made"))?;
    let db =
        Connection::open_with_flags(database_path(data_dir), OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    db.busy_timeout(super::BUSY)?;
    // SQLite takes only UTF-8 paths.
    let path = to
        .to_str()
        .ok_or_else(|| RegistryError::Usage(format!("{} is not UTF-8", to.display())))?;
    db.execute("VACUUM INTO ?", [path])?;
    Ok(())
}

/// Copies the two files of a content. Returns false if they are gone or damaged.
fn copy_content(
    data_dir: &Path,
    dir: &Path,
    held: &Held,
    files: &mut Vec<BackupEntry>,
    step: Step<'_>,
) -> Result<bool> {
    let root = &held.content.root;
    let [data, hashes] = content::paths_of(Path::new(CONTENT), root);
    let mut copied = Vec::new();
    for name in [&data, &hashes] {
        step(&dir.join(name))?;
        match copy(&data_dir.join(name), dir, name) {
            Ok(file) => copied.push(file),
            Err(RegistryError::File { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            }
            Err(error) => return Err(error),
        }
    }
    let whole = copied.len() == 2 && copied.first().is_some_and(|file| file.hash == hex(root));
    if whole {
        files.extend(copied);
    } else {
        for name in [data, hashes] {
            // Do not leave half a content.
            let _ = fs::remove_file(dir.join(name));
        }
    }
    Ok(whole)
}

fn hex(root: &ContentRoot) -> String {
    content::hash(root).to_hex().to_string()
}

fn private(dir: &Path) -> Result<()> {
    disk::private_dir(dir).map_err(RegistryError::file(dir, "made"))
}

/// Copies a file to the same name in another directory and syncs it, readable by its owner only.
fn copy(from: &Path, dir: &Path, name: &Path) -> Result<BackupEntry> {
    let to = dir.join(name);
    let mut source = File::open(from).map_err(RegistryError::file(from, "read"))?;
    let made = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&to);
    let mut target = made.map_err(RegistryError::file(&to, "made"))?;
    let (mut hasher, mut size, mut piece) = (blake3::Hasher::new(), 0, vec![0; PIECE]);
    loop {
        let read = source
            .read(&mut piece)
            .map_err(RegistryError::file(from, "read"))?;
        let Some(read) = piece.get(..read).filter(|read| !read.is_empty()) else {
            break;
        };
        hasher.update(read);
        size += read.len() as u64;
        target
            .write_all(read)
            .map_err(RegistryError::file(&to, "written"))?;
    }
    target
        .sync_all()
        .map_err(RegistryError::file(&to, "written"))?;
    Ok(BackupEntry {
        path: name.to_owned(),
        size,
        hash: hasher.finalize().to_hex().to_string(),
    })
}

/// Returns the list entry of a file, once it is on the disk.
fn listed(dir: &Path, name: &Path) -> Result<BackupEntry> {
    let path = dir.join(name);
    let mut file = File::open(&path).map_err(RegistryError::file(&path, "read"))?;
    file.sync_all()
        .map_err(RegistryError::file(&path, "written"))?;
    let mut hasher = blake3::Hasher::new();
    let size = io::copy(&mut file, &mut hasher).map_err(RegistryError::file(&path, "read"))?;
    Ok(BackupEntry {
        path: name.to_owned(),
        size,
        hash: hasher.finalize().to_hex().to_string(),
    })
}

#[cfg(test)]
mod tests;
