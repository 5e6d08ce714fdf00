//! Writing a file so that a power cut, or a full disk, leaves the one of before or the new one, and
//! never half of one.

use std::{
    fs, io,
    io::Write,
    os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt},
    path::Path,
};

/// The permissions of others than a file's owner.
const OTHERS: u32 = 0o077;
/// A directory in which everybody has files, such as `/tmp`.
const SHARED: u32 = 0o1002;

/// Replaces a file, or makes it in a directory that is there: a path with a mistake in it is an
/// error, and no new directory. A link stays a link, and what may be done with a file stays as it
/// was; a new one is its owner's alone.
///
/// # Errors
/// When something of it cannot be made, written or renamed.
pub fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let place = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let dir = dir_of(&place);
    let mut file = tempfile::NamedTempFile::new_in(dir)?;
    file.write_all(bytes)?;
    if let Ok(before) = fs::metadata(&place) {
        fs::set_permissions(file.path(), before.permissions())?;
    }
    file.as_file().sync_all()?;
    file.persist(&place)?;
    sync_dir(dir)
}

/// As [`replace`], and makes the directories above the file: for places of our own choosing, never
/// for a path that a person typed.
///
/// # Errors
/// As [`replace`], and when a directory cannot be made.
pub fn replace_ours(path: &Path, bytes: &[u8]) -> io::Result<()> {
    fs::create_dir_all(dir_of(path))?;
    replace(path, bytes)
}

/// Makes a file that is not there yet, in a directory that is, with this mode as the umask leaves
/// it.
///
/// # Errors
/// When there is something of that name, or the file cannot be made or written; nothing of it is
/// left then.
pub fn make(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let dir = dir_of(path);
    let mut file = tempfile::Builder::new()
        .permissions(fs::Permissions::from_mode(mode))
        .tempfile_in(dir)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    name_new(file, path)?;
    sync_dir(dir)
}

/// Gives a file its name, unless there is something of that name. Some file systems (of a virtual
/// machine's host, or over FUSE) can do neither a rename that replaces nothing nor a link; there it
/// is looked at first.
///
/// # Errors
/// When there is something of that name, or the file cannot be renamed; it is removed then.
pub fn name_new(file: tempfile::NamedTempFile, path: &Path) -> io::Result<()> {
    match file.persist_noclobber(path) {
        Ok(_) => Ok(()),
        Err(failed) if failed.error.kind() == io::ErrorKind::AlreadyExists => Err(failed.error),
        Err(failed) if fs::symlink_metadata(path).is_ok() => Err(failed.error),
        Err(failed) => failed
            .file
            .persist(path)
            .map(drop)
            .map_err(|failed| failed.error),
    }
}

/// Sees that there is a directory for a file.
///
/// # Errors
/// When it is not there, or is none.
pub fn has_dir(path: &Path) -> io::Result<()> {
    match fs::metadata(dir_of(path))?.is_dir() {
        true => Ok(()),
        false => Err(io::ErrorKind::NotADirectory.into()),
    }
}

/// The directory that has a file.
pub fn dir_of(path: &Path) -> &Path {
    path.parent()
        .filter(|dir| !dir.as_os_str().is_empty())
        .unwrap_or(Path::new("."))
}

/// Has the names of a directory's files written down. A file system that cannot do that is left to
/// its own care.
///
/// # Errors
/// When the directory cannot be opened.
pub fn sync_dir(dir: &Path) -> io::Result<()> {
    let _ = fs::File::open(dir)?.sync_all();
    Ok(())
}

/// Makes a directory for its owner alone, and those above it as the system makes directories. One
/// that exists stays as it is.
///
/// # Errors
/// When it cannot be made.
pub fn private_dir(dir: &Path) -> io::Result<()> {
    if dir.is_dir() {
        return Ok(());
    }
    if let Some(above) = dir.parent() {
        fs::create_dir_all(above)?;
    }
    match fs::DirBuilder::new().mode(0o700).create(dir) {
        // Another process was faster.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && dir.is_dir() => Ok(()),
        made => made,
    }
}

/// Makes a file or directory its owner's alone if it is not, and warns of it in the log. What is
/// not there, and a directory in which everybody has files, is left as it is.
///
/// # Errors
/// When its mode cannot be read or changed.
pub fn tighten(path: &Path) -> io::Result<()> {
    let about = match fs::metadata(path) {
        Ok(about) => about,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    let mode = about.mode() & 0o7777;
    if mode & OTHERS == 0 {
        return Ok(());
    }
    if about.is_dir() && mode & SHARED == SHARED {
        tracing::warn!(path = %path.display(), "everybody has files in this directory; give Swarmdex one of its own");
        return Ok(());
    }
    let private = mode & 0o700;
    fs::set_permissions(path, fs::Permissions::from_mode(private))?;
    let (path, now) = (path.display(), format!("{private:04o}"));
    tracing::warn!(%path, mode = %now, "others could look into this; only its owner can from now on");
    Ok(())
}

/// As [`tighten`], but where somebody else owns it, as a volume's directory in a container may be,
/// it is only warned of.
///
/// # Errors
/// As [`tighten`], in all other cases.
pub fn tighten_ours(path: &Path) -> io::Result<()> {
    match tighten(path) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            let path = path.display();
            tracing::warn!(%path, "others can look into this, and only its owner can change that: chmod go= it");
            Ok(())
        }
        tightened => tightened,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn links_and_permissions_stay() {
        let dir = tempfile::tempdir().unwrap();
        let (file, link) = (dir.path().join("new").join("a"), dir.path().join("link"));
        assert_eq!(
            replace(&file, b"1").unwrap_err().kind(),
            io::ErrorKind::NotFound,
            "no directory is made"
        );
        assert_eq!(
            make(&file, b"1", 0o600).unwrap_err().kind(),
            io::ErrorKind::NotFound
        );
        assert!(!dir.path().join("new").exists());
        replace_ours(&file, b"1").unwrap();
        assert_eq!(
            make(&file, b"2", 0o600).unwrap_err().kind(),
            io::ErrorKind::AlreadyExists
        );
        assert_eq!(fs::read(&file).unwrap(), b"1");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
        symlink(&file, &link).unwrap();
        replace(&link, b"22").unwrap();
        assert_eq!(fs::read(&file).unwrap(), b"22");
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(
            fs::metadata(&file).unwrap().permissions().mode() & 0o777,
            0o640
        );
        assert!(
            replace(dir.path(), b"3").is_err(),
            "a directory is not replaced"
        );
    }

    #[test]
    fn what_others_could_look_into_is_its_owners_alone() {
        let dir = tempfile::tempdir().unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
        let set = |path: &Path, mode| {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap()
        };
        let file = dir.path().join("a");
        fs::write(&file, "secret").unwrap();
        for (before, after) in [
            (0o644, 0o600),
            (0o600, 0o600),
            (0o400, 0o400),
            (0o755, 0o700),
            (0o640, 0o600),
        ] {
            set(&file, before);
            tighten(&file).unwrap();
            assert_eq!(mode(&file), after, "{before:o}");
        }
        for (before, after) in [(0o755, 0o700), (0o2775, 0o700), (0o1777, 0o1777)] {
            set(dir.path(), before);
            tighten(dir.path()).unwrap();
            assert_eq!(mode(dir.path()), after, "{before:o}");
        }
        tighten(&dir.path().join("absent")).unwrap();
    }
}
