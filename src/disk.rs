//! Writing a file so that a power cut leaves the one of before or the new one, and never half of one.

use std::{fs, io, io::Write, path::Path};

/// Replaces a file, or makes it and its directory. A link stays a link, and what may be done with a file stays as it was;
/// a new one is its owner's alone.
///
/// # Errors
/// When something of it cannot be made, written or renamed.
pub fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let place = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let dir = place.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(dir)?;
    let mut file = tempfile::NamedTempFile::new_in(dir)?;
    file.write_all(bytes)?;
    if let Ok(before) = fs::metadata(&place) {
        fs::set_permissions(file.path(), before.permissions())?;
    }
    file.as_file().sync_all()?;
    file.persist(&place)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn links_and_permissions_stay() {
        let dir = tempfile::tempdir().unwrap();
        let (file, link) = (dir.path().join("new").join("a"), dir.path().join("link"));
        replace(&file, b"1").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
        symlink(&file, &link).unwrap();
        replace(&link, b"22").unwrap();
        assert_eq!(fs::read(&file).unwrap(), b"22");
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o640);
        assert!(replace(dir.path(), b"3").is_err(), "a directory is not replaced");
    }
}
