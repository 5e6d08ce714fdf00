//! `key`: manages the publisher key, which should be backed up.

use std::{
    fs,
    path::{Path, PathBuf},
};

use libp2p::identity::Keypair;
use serde::Serialize;

use super::{DONE, FAILED, global::Global, print};
use crate::{
    RegistryError, Result, disk,
    domain::{
        name::PublisherId,
        secret::{KeyFile, Role},
    },
    store::{
        self,
        keys::{self, seal},
    },
};

mod passphrase;

use passphrase::{Passphrase, Use};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    what: KeyVerb,
}

#[derive(Debug, clap::Subcommand)]
enum KeyVerb {
    /// Show your publisher id and the path of the key; exit code 1 if there is no key yet
    Show {
        /// Print it as one JSON object
        #[arg(long)]
        json: bool,
    },
    /// Export the key to a file, encrypted with a passphrase, as a backup or for another machine
    Export {
        /// File to create
        file: PathBuf,
        /// File with the passphrase in its first line [default: SWARMDEX_PASSPHRASE, or a prompt]
        #[arg(long, value_name = "FILE", conflicts_with = "plain")]
        passphrase_file: Option<PathBuf>,
        /// Do not encrypt: anyone with the file has the key
        #[arg(long)]
        plain: bool,
        /// Print the publisher id as one JSON object
        #[arg(long)]
        json: bool,
    },
    /// Import the key from a file, if there is none yet; stop the node first
    Import {
        /// File that `key export` created
        file: PathBuf,
        /// File with the passphrase in its first line [default: SWARMDEX_PASSPHRASE, or a prompt]
        #[arg(long, value_name = "FILE")]
        passphrase_file: Option<PathBuf>,
        /// Print the publisher id as one JSON object
        #[arg(long)]
        json: bool,
    },
    /// Create a new key if there is none, or if it was lost; stop the node first
    ///
    /// The first publish creates a key by itself. If there was a key and its file is gone,
    /// publishing is refused until you run this: a new key can never change what the old one
    /// published.
    New {
        /// Create a new identity of the node instead: to others, it becomes another node
        #[arg(long)]
        identity: bool,
        /// Print the publisher id as one JSON object
        #[arg(long)]
        json: bool,
    },
}

#[derive(Serialize)]
struct NewKeyOutput {
    id: String,
    path: PathBuf,
    /// The earlier key, which was lost.
    before: Option<String>,
}

#[derive(Serialize)]
struct KeyOutput {
    publisher: Option<PublisherId>,
    path: PathBuf,
}

pub(super) async fn run(global: &Global, args: Args) -> Result<u8> {
    if global.attach()?.is_some() {
        let why = "keys are never sent over a socket; run this on the machine of the node, without \
                   --attach";
        return Err(RegistryError::Usage(why.to_owned()));
    }
    let data_dir = global.settings()?.paths.data;
    if let KeyVerb::New { identity, json } = args.what {
        return make(
            &data_dir,
            if identity {
                Role::Identity
            } else {
                Role::Publisher
            },
            json,
        );
    }
    let path = keys::publisher_path(&data_dir);
    let key = keys::load(&path)?;
    let publisher = key.as_ref().map(|key| PublisherId::of(&key.public()));
    match args.what {
        KeyVerb::Show { json } => {
            if json {
                print::json(&KeyOutput { publisher, path })?;
            } else if let Some(publisher) = publisher {
                print::fields(&[
                    ("publisher", publisher.to_string()),
                    ("key", path.display().to_string()),
                ])?;
            } else {
                print::note(missing(&data_dir, &path)?);
            }
            Ok(if publisher.is_some() { DONE } else { FAILED })
        }
        KeyVerb::Export {
            file,
            passphrase_file,
            plain,
            json,
        } => {
            let Some(key) = key else {
                return Err(RegistryError::Usage(missing(&data_dir, &path)?));
            };
            export(&key, &file, passphrase_file, plain).await?;
            told(json, publisher, file)
        }
        KeyVerb::Import {
            file,
            passphrase_file,
            json,
        } => {
            let key = read(&file, passphrase_file).await?;
            let publisher = import(&data_dir, &path, publisher, &key)?;
            told(json, Some(publisher), path)
        }
        // `new` has been handled above.
        KeyVerb::New { .. } => Ok(DONE),
    }
}

/// Returns the sentence for a missing key: not created yet, or lost.
fn missing(data_dir: &Path, path: &Path) -> Result<String> {
    Ok(match store::known_key(data_dir, Role::Publisher)? {
        Some(id) => keys::lost(Role::Publisher, path, id).to_string(),
        None => format!(
            "there is no key in {} yet; the first publish creates one",
            path.display()
        ),
    })
}

fn make(data_dir: &Path, role: Role, json: bool) -> Result<u8> {
    let path = keys::path(role, data_dir);
    if keys::read(&path)?.is_some() {
        let why = format!(
            "there is a key in {} already; move it away first, and keep it: without it you lose \
             that identity",
            path.display()
        );
        return Err(RegistryError::Usage(why));
    }
    if store::is_in_use(data_dir) {
        return Err(store::in_use(data_dir));
    }
    let before = store::known_key(data_dir, role)?;
    store::make_private(data_dir).map_err(RegistryError::file(data_dir, "created"))?;
    let key = Keypair::generate_ed25519();
    keys::save(&path, &key)?;
    let id = match role {
        Role::Identity => key.public().to_peer_id().to_string(),
        Role::Publisher => PublisherId::of(&key.public()).to_string(),
    };
    let whose = if role == Role::Identity {
        "this is the node"
    } else {
        "you are"
    };
    print::note(format!(
        "{whose} {id} from now on, with the key in {}",
        path.display()
    ));
    if json {
        print::json(&NewKeyOutput { id, path, before })?;
    }
    Ok(DONE)
}

fn told(json: bool, publisher: Option<PublisherId>, path: PathBuf) -> Result<u8> {
    if json {
        print::json(&KeyOutput { publisher, path }).map(|()| DONE)
    } else {
        Ok(DONE)
    }
}

async fn export(
    key: &Keypair,
    file: &Path,
    passphrase_file: Option<PathBuf>,
    plain: bool,
) -> Result<()> {
    // Fail before asking for a passphrase. Writing still refuses to overwrite.
    if fs::symlink_metadata(file).is_ok() {
        return Err(RegistryError::file(file, "created")(
            std::io::ErrorKind::AlreadyExists.into(),
        ));
    }
    let (bytes, whose) = if plain {
        (
            keys::encoded(key)?,
            "anyone with that file can publish in your name",
        )
    } else {
        let Passphrase(passphrase) = passphrase::get(passphrase_file, Use::Seal).await?;
        let key = key.clone();
        let sealing =
            tokio::task::spawn_blocking(move || seal::seal(&key, &passphrase, seal::WORK));
        let sealed = sealing
            .await
            .map_err(|error| print::internal("sealing a key", error))??;
        (
            sealed.into_bytes(),
            "it can only be read with your passphrase, so keep both, in different places",
        )
    };
    write_new(file, &bytes)?;
    print::note(format!("your key is in {} too; {whose}", file.display()));
    Ok(())
}

/// Writes a private file atomically: half a key would look like a backup.
fn write_new(file: &Path, bytes: &[u8]) -> Result<()> {
    disk::make(file, bytes, 0o600).map_err(RegistryError::file(file, "written"))
}

/// Reads the key in a file, encrypted or not.
async fn read(file: &Path, passphrase_file: Option<PathBuf>) -> Result<Keypair> {
    let missing = || {
        RegistryError::Usage(format!(
            "there is no file {}; give a file that `key export` wrote",
            file.display()
        ))
    };
    let wrong = |why: String| RegistryError::Key {
        path: file.to_owned(),
        why,
    };
    let bytes = keys::read(file)?.ok_or_else(missing)?;
    let armored = match KeyFile::recognise(&bytes) {
        Some(KeyFile::Plain(key)) => return Ok(*key),
        Some(KeyFile::Sealed(armored)) => armored.to_owned(),
        None => return Err(wrong("it is not a file that `key export` wrote".to_owned())),
    };
    let Passphrase(passphrase) = passphrase::get(passphrase_file, Use::Open).await?;
    let opening = tokio::task::spawn_blocking(move || seal::open(&armored, &passphrase));
    let opened = opening
        .await
        .map_err(|error| print::internal("opening a key", error))?;
    opened.map_err(|why| RegistryError::Sealed {
        path: file.to_owned(),
        why: why.to_string(),
    })
}

fn import(
    data_dir: &Path,
    path: &Path,
    there: Option<PublisherId>,
    key: &Keypair,
) -> Result<PublisherId> {
    let publisher = PublisherId::of(&key.public());
    match there {
        Some(there) if there == publisher => {
            print::note(format!("{publisher} is your key already"));
            return Ok(publisher);
        }
        Some(there) => {
            let why = format!(
                "there is a key of {there} already; move {} away first, and keep it: without it \
                 nobody can update its packages",
                path.display()
            );
            return Err(RegistryError::Usage(why));
        }
        None => {}
    }
    if store::is_in_use(data_dir) {
        return Err(store::in_use(data_dir));
    }
    let before = store::known_key(data_dir, Role::Publisher)?;
    store::make_private(data_dir).map_err(RegistryError::file(data_dir, "created"))?;
    keys::save(path, key)?;
    print::note(format!("you are {publisher} from now on"));
    if let Some(before) = before.filter(|before| *before != publisher.to_string()) {
        print::note(format!(
            "{before} has published from here, and this key cannot update those packages; keep the \
             backup of the old key"
        ));
    }
    Ok(publisher)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_there_is_not_written_over() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("backup.key");
        write_new(&file, b"key").unwrap();
        assert!(write_new(&file, b"other").is_err());
        assert_eq!(fs::read(&file).unwrap(), b"key", "what is there stays");
    }
}
