//! The path of the control socket, and making the socket safely.

use std::{
    fs, io,
    os::unix::{
        ffi::OsStrExt,
        fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt},
    },
    path::{Path, PathBuf},
};

use tokio::net::UnixListener;

use crate::{RegistryError, Result};

/// Longest path of a socket: `sun_path` of unix(7), with its final zero.
const LONGEST: usize = 107;

/// Paths at which the socket of the node on a data directory may be, best first: in the session's
/// directory, under a name made of a hash of the data directory, or in the data directory.
pub fn candidates(data_dir: &Path) -> Vec<PathBuf> {
    let whole = fs::canonicalize(data_dir).unwrap_or_else(|_| data_dir.to_owned());
    let hash = blake3::hash(whole.as_os_str().as_bytes()).to_hex();
    let name = format!("{}.sock", hash.get(..16).unwrap_or_default());
    let session = std::env::var_os("XDG_RUNTIME_DIR")
        .map(PathBuf::from)
        .filter(|dir| dir.is_absolute());
    let session = session.map(|dir| dir.join("swarmdex").join(name));
    session
        .into_iter()
        .chain([whole.join("control.sock")])
        .collect()
}

/// The path of the file with the token that clients over TCP must send.
pub fn token_path(data_dir: &Path) -> PathBuf {
    data_dir.join("control.token")
}

/// A socket that is listened on.
#[derive(Debug)]
pub struct Socket {
    pub listener: UnixListener,
    pub path: PathBuf,
    /// Device and inode of its file: another one of the same name is another program's.
    file: Option<(u64, u64)>,
}

impl Socket {
    /// Returns whether its file is still at its place, so that others can connect.
    pub fn is_there(&self) -> bool {
        self.file.is_some() && file_at(&self.path) == self.file
    }
}

fn file_at(path: &Path) -> Option<(u64, u64)> {
    fs::symlink_metadata(path)
        .ok()
        .map(|meta| (meta.dev(), meta.ino()))
}

/// Listens at the first of these places that can be had. The caller holds the lock on the data
/// directory, so a socket that is there already is what a node left that ended without a word.
///
/// # Errors
/// [`RegistryError::Control`] when none of them can be had, with the reason of each.
pub fn listen(candidates: &[PathBuf]) -> Result<Socket> {
    let mut reasons = Vec::new();
    for path in candidates {
        match at(path) {
            Ok(listener) => {
                return Ok(Socket {
                    listener,
                    path: path.clone(),
                    file: file_at(path),
                });
            }
            Err(why) => reasons.push(format!("{}: {why}", path.display())),
        }
    }
    let why = format!(
        "cannot be made ({}), so that no other program can reach the node; put that right, or name a private directory in \
         XDG_RUNTIME_DIR",
        reasons.join("; ")
    );
    let socket = candidates
        .first()
        .map_or(String::new(), |path| path.display().to_string());
    Err(RegistryError::Control { socket, why })
}

fn at(path: &Path) -> Result<UnixListener, String> {
    let said = |error: io::Error| error.to_string();
    if path.as_os_str().len() > LONGEST {
        return Err(format!(
            "the path is longer than the {LONGEST} bytes that a socket's may have"
        ));
    }
    let dir = path.parent().unwrap_or(Path::new("/"));
    private(dir)?;
    // Made under another name, closed to others, and only then put in its place: nobody can come in
    // between.
    let new = path.with_extension("new");
    for old in [&new, path] {
        match fs::symlink_metadata(old) {
            Ok(meta) if meta.file_type().is_socket() => fs::remove_file(old).map_err(said)?,
            Ok(_) => {
                return Err("something else that is no socket is there; move it away".to_owned());
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(said(error)),
        }
    }
    let listener = UnixListener::bind(&new).map_err(said)?;
    fs::set_permissions(&new, fs::Permissions::from_mode(0o600)).map_err(said)?;
    fs::rename(&new, path).map_err(said)?;
    Ok(listener)
}

/// Makes the directory for us alone, or sees that the one that is there is ours and that others
/// cannot write to it.
fn private(dir: &Path) -> Result<(), String> {
    let made = fs::DirBuilder::new().mode(0o700).create(dir);
    match made {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error.to_string()),
        _ => {}
    }
    let meta = fs::symlink_metadata(dir).map_err(|error| error.to_string())?;
    if !meta.is_dir() {
        return Err("its directory is no directory".to_owned());
    }
    // Files that this process makes belong to the user it runs as.
    let me = fs::metadata("/proc/self").map(|me| me.uid()).ok();
    if me.is_some_and(|me| me != meta.uid()) {
        return Err("its directory belongs to somebody else".to_owned());
    }
    if meta.mode() & 0o022 != 0 {
        return Err("its directory can be written to by others; chmod 700 it".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_socket_is_private_and_replaces_one_that_was_left() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("run").join("a.sock");
        let first = listen(std::slice::from_ref(&path)).unwrap();
        assert_eq!(first.path, path);
        assert!(first.is_there());
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(
            fs::metadata(path.parent().unwrap()).unwrap().mode() & 0o777,
            0o700
        );
        // As after kill -9: the file stays.
        drop(first);
        assert!(path.exists());
        let second = listen(std::slice::from_ref(&path)).unwrap();
        assert!(second.is_there());
        let taken = listen(std::slice::from_ref(&path)).unwrap();
        assert!(
            taken.is_there() && !second.is_there(),
            "another socket is at its place"
        );
        fs::remove_file(&path).unwrap();
        assert!(!taken.is_there());
        drop(taken);
        tokio::net::UnixStream::connect(&path).await.unwrap_err();
    }

    /// Only root can give a directory to somebody else; for others there is nothing to be seen
    /// here.
    #[tokio::test]
    async fn a_directory_of_somebody_else_is_not_used() {
        let dir = tempfile::tempdir().unwrap();
        let foreign = dir.path().join("foreign");
        fs::create_dir(&foreign).unwrap();
        if std::os::unix::fs::chown(&foreign, Some(65_534), Some(65_534)).is_ok() {
            let error = listen(&[foreign.join("a.sock")]).unwrap_err();
            assert!(
                error.to_string().contains("belongs to somebody else"),
                "{error}"
            );
        }
    }

    #[tokio::test]
    async fn a_place_that_cannot_be_had_is_passed_over_and_the_reasons_are_told() {
        let dir = tempfile::tempdir().unwrap();
        let open = dir.path().join("open");
        fs::create_dir(&open).unwrap();
        fs::set_permissions(&open, fs::Permissions::from_mode(0o777)).unwrap();
        let taken = dir.path().join("taken");
        fs::write(&taken, "a file").unwrap();
        let bad = [
            open.join("a.sock"),
            dir.path().join("missing/deeper/a.sock"),
            dir.path().join("x".repeat(120)),
            taken.clone(),
        ];
        let said = listen(&bad).unwrap_err().to_string();
        for part in [
            "written to by others",
            "No such file",
            "107 bytes",
            "no socket",
        ] {
            assert!(said.contains(part), "{said}");
        }
        assert_eq!(fs::read(&taken).unwrap(), b"a file");
        let good = dir.path().join("good.sock");
        assert_eq!(
            listen(&[open.join("a.sock"), good.clone()]).unwrap().path,
            good
        );
    }
}
