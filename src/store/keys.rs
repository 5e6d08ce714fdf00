//! Key files: the node's identity and the publisher's key, each readable by its owner only.

use std::{
    fs,
    io::Read,
    path::{Path, PathBuf},
};

use libp2p::identity::Keypair;

use crate::{
    RegistryError, Result, disk,
    domain::secret::{KeyFile, MAX_KEY_FILE, Role},
};

pub mod seal;

/// Returns the path of the node's key, which is its identity on the network.
pub fn identity_path(data_dir: &Path) -> PathBuf {
    data_dir.join("identity.key")
}

/// Returns the path of the publisher's key, which signs its packages. It should be backed up.
pub fn publisher_path(data_dir: &Path) -> PathBuf {
    data_dir.join("publisher.key")
}

/// Returns the path of a role's key.
pub fn path(role: Role, data_dir: &Path) -> PathBuf {
    match role {
        Role::Identity => identity_path(data_dir),
        Role::Publisher => publisher_path(data_dir),
    }
}

/// Returns the error for this key, whose file is gone.
pub fn lost(role: Role, path: &Path, id: String) -> RegistryError {
    RegistryError::LostKey {
        role,
        path: path.to_owned(),
        id,
    }
}

/// Reads the key, or creates and saves one if there has never been any; `known` is the id of the
/// last one.
///
/// # Errors
/// [`RegistryError::LostKey`] if there was one and its file is gone; else as [`load`] and [`save`].
pub fn load_or_first(role: Role, path: &Path, known: Option<String>) -> Result<Keypair> {
    match (load(path)?, known) {
        (None, Some(id)) => Err(lost(role, path, id)),
        (Some(key), _) => Ok(key),
        (None, None) => {
            let key = Keypair::generate_ed25519();
            save(path, &key)?;
            Ok(key)
        }
    }
}

/// Reads the key; `None` if there is no such file.
pub fn load(path: &Path) -> Result<Option<Keypair>> {
    let Some(bytes) = read(path)? else {
        return Ok(None);
    };
    let damaged = |why: &str| RegistryError::Key {
        path: path.to_owned(),
        why: why.to_owned(),
    };
    disk::tighten(path).map_err(RegistryError::file(path, "made private"))?;
    match KeyFile::recognise(&bytes) {
        Some(KeyFile::Plain(key)) => Ok(Some(*key)),
        Some(KeyFile::Sealed(_)) => {
            let path = path.display();
            let why = format!(
                "{path} is sealed with a passphrase; move it elsewhere and `swarmdex key import` it"
            );
            Err(RegistryError::Usage(why))
        }
        None => Err(damaged("it does not decode as a libp2p key")),
    }
}

/// Reads a file that may hold a key; `None` if there is no such file. Of a file that is too large
/// for a key it returns one byte more than the limit, so that it is recognised as such.
///
/// # Errors
/// Fails if the file cannot be read.
pub fn read(path: &Path) -> Result<Option<Vec<u8>>> {
    let file = match fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(RegistryError::file(path, "read")(error)),
    };
    let mut bytes = Vec::new();
    file.take(MAX_KEY_FILE + 1)
        .read_to_end(&mut bytes)
        .map_err(RegistryError::file(path, "read"))?;
    Ok(Some(bytes))
}

/// Encodes the key as in a file that is not sealed.
///
/// # Errors
/// Fails if the key cannot be encoded, which would be a bug.
pub fn encoded(key: &Keypair) -> Result<Vec<u8>> {
    key.to_protobuf_encoding()
        .map_err(|error| RegistryError::Internal {
            what: "encoding a key",
            why: error.to_string(),
        })
}

/// Reads the key, or creates and saves one.
pub fn load_or_create(path: &Path) -> Result<Keypair> {
    load_or_first(Role::Identity, path, None)
}

/// Writes the key under a temporary name and renames it, so that a power cut leaves a whole key or
/// none.
pub fn save(path: &Path, key: &Keypair) -> Result<()> {
    disk::replace(path, &encoded(key)?).map_err(RegistryError::file(path, "written"))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_key_is_kept_private_and_comes_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = identity_path(dir.path());
        assert!(load(&path).unwrap().is_none());
        let made = load_or_create(&path).unwrap();
        assert_eq!(load_or_create(&path).unwrap().public(), made.public());
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        load(&path).unwrap();
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
    }

    #[test]
    fn a_damaged_key_is_not_replaced_by_a_new_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = publisher_path(dir.path());
        fs::write(&path, b"garbage").unwrap();
        let error = load_or_create(&path).unwrap_err().to_string();
        assert!(
            error.contains("damaged") && error.contains("backup"),
            "{error}"
        );
        assert_eq!(fs::read(&path).unwrap(), b"garbage");
    }
}
