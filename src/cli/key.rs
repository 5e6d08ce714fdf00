//! `key`: the publisher's key, which is worth a backup.

use std::{
    fs::{self, OpenOptions},
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use libp2p::identity::Keypair;
use serde::Serialize;

use super::{DONE, FAILED, global::Global, print};
use crate::{
    RegistryError, Result,
    domain::{name::PublisherId, secret::KeyFile},
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
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Say who the key makes you, and where it is; exit code 1 when there is none yet
    Show {
        /// Print it as one JSON object
        #[arg(long)]
        json: bool,
    },
    /// Write the key to a file, sealed with a passphrase: a backup, or for another machine of yours
    Export {
        /// A file that does not exist yet
        file: PathBuf,
        /// File with the passphrase in its first line; without it SWARMDEX_PASSPHRASE, or you are asked
        #[arg(long, value_name = "FILE", conflicts_with = "plain")]
        passphrase_file: Option<PathBuf>,
        /// Without a passphrase: whoever has the file has the key
        #[arg(long)]
        plain: bool,
        /// Print whose key it is as one JSON object
        #[arg(long)]
        json: bool,
    },
    /// Take the key from a file, where there is none yet; a node that runs has to be stopped first
    Import {
        /// What `key export` wrote, sealed or plain
        file: PathBuf,
        /// File with the passphrase in its first line; without it SWARMDEX_PASSPHRASE, or you are asked
        #[arg(long, value_name = "FILE")]
        passphrase_file: Option<PathBuf>,
        /// Print whose key it is as one JSON object
        #[arg(long)]
        json: bool,
    },
}

#[derive(Serialize)]
struct Shown {
    publisher: Option<PublisherId>,
    path: PathBuf,
}

pub(super) async fn run(global: &Global, args: Args) -> Result<u8> {
    if global.attach()?.is_some() {
        let why = "a key does not leave its machine over a socket; run this there, without --attach";
        return Err(RegistryError::Usage(why.to_owned()));
    }
    let data_dir = global.settings()?.paths.data;
    let path = keys::publisher_path(&data_dir);
    let key = keys::load(&path)?;
    let publisher = key.as_ref().map(|key| PublisherId::of(&key.public()));
    match args.what {
        What::Show { json } => {
            if json {
                print::json(&Shown { publisher, path })?;
            } else if let Some(publisher) = publisher {
                print::fields(&[("publisher", publisher.to_string()), ("key", path.display().to_string())])?;
            } else {
                print::note(format!("there is no key in {} yet; the first publish makes one", path.display()));
            }
            Ok(if publisher.is_some() { DONE } else { FAILED })
        }
        What::Export { file, passphrase_file, plain, json } => {
            let missing = || {
                let path = path.display();
                RegistryError::Usage(format!("there is no key in {path} yet; the first publish makes one"))
            };
            let key = key.ok_or_else(missing)?;
            export(&key, &file, passphrase_file, plain).await?;
            told(json, publisher, file)
        }
        What::Import { file, passphrase_file, json } => {
            let key = read(&file, passphrase_file).await?;
            let publisher = import(&data_dir, &path, publisher, &key)?;
            told(json, Some(publisher), path)
        }
    }
}

fn told(json: bool, publisher: Option<PublisherId>, path: PathBuf) -> Result<u8> {
    if json { print::json(&Shown { publisher, path }).map(|()| DONE) } else { Ok(DONE) }
}

async fn export(key: &Keypair, file: &Path, passphrase_file: Option<PathBuf>, plain: bool) -> Result<()> {
    // Said before somebody thinks of a passphrase; the file is still made as one that must not be there.
    if fs::symlink_metadata(file).is_ok() {
        return Err(RegistryError::file(file, "created")(std::io::ErrorKind::AlreadyExists.into()));
    }
    let (bytes, whose) = if plain {
        (keys::encoded(key)?, "whoever has that file can publish in your name")
    } else {
        let Passphrase(passphrase) = passphrase::get(passphrase_file, Use::Seal).await?;
        let key = key.clone();
        let sealing = tokio::task::spawn_blocking(move || seal::seal(&key, &passphrase, seal::WORK));
        let sealed = sealing.await.map_err(|error| print::internal("sealing a key", error))??;
        (sealed.into_bytes(), "it opens with your passphrase only, so keep both, and not in one place")
    };
    write_new(file, &bytes)?;
    print::note(format!("your key is in {} too; {whose}", file.display()));
    Ok(())
}

/// Makes a file that only its owner can read, whole or not at all.
fn write_new(file: &Path, bytes: &[u8]) -> Result<()> {
    let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(file);
    let mut made = made.map_err(RegistryError::file(file, "created"))?;
    let written = made.write_all(bytes).and_then(|()| made.sync_all());
    written.map_err(|error| {
        // Half a key looks like a backup, and is none.
        let _ = fs::remove_file(file);
        RegistryError::file(file, "written")(error)
    })
}

/// The key in a file of either form.
async fn read(file: &Path, passphrase_file: Option<PathBuf>) -> Result<Keypair> {
    let missing = || RegistryError::Usage(format!("there is no file {}; name what `key export` wrote", file.display()));
    let wrong = |why: String| RegistryError::Key { path: file.to_owned(), why };
    let bytes = keys::read(file)?.ok_or_else(missing)?;
    let armored = match KeyFile::recognise(&bytes) {
        Some(KeyFile::Plain(key)) => return Ok(*key),
        Some(KeyFile::Sealed(armored)) => armored.to_owned(),
        None => return Err(wrong("it is not what `key export` writes".to_owned())),
    };
    let Passphrase(passphrase) = passphrase::get(passphrase_file, Use::Open).await?;
    let opening = tokio::task::spawn_blocking(move || seal::open(&armored, &passphrase));
    let opened = opening.await.map_err(|error| print::internal("opening a key", error))?;
    opened.map_err(|why| RegistryError::Sealed { path: file.to_owned(), why: why.to_string() })
}

fn import(data_dir: &Path, path: &Path, there: Option<PublisherId>, key: &Keypair) -> Result<PublisherId> {
    let publisher = PublisherId::of(&key.public());
    match there {
        Some(there) if there == publisher => {
            print::note(format!("{publisher} is your key already"));
            return Ok(publisher);
        }
        Some(there) => {
            let why = format!(
                "there is a key already, of {there}; move {} away first, and keep it: nobody else can change its packages",
                path.display()
            );
            return Err(RegistryError::Usage(why));
        }
        None => {}
    }
    if store::is_in_use(data_dir) {
        return Err(store::in_use(data_dir));
    }
    store::make_private(data_dir).map_err(RegistryError::file(data_dir, "created"))?;
    keys::save(path, key)?;
    print::note(format!("you are {publisher} here from now on"));
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
