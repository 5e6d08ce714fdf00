//! `key`: the publisher's key, which is worth a backup.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use serde::Serialize;

use super::{DONE, FAILED, global::Global, print};
use crate::{
    RegistryError, Result,
    domain::name::PublisherId,
    store::{self, keys},
};

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
    /// Copy the key to a file that only you can read: a backup, or for another machine of yours
    Export {
        /// A file that does not exist yet
        file: PathBuf,
        /// Print whose key it is as one JSON object
        #[arg(long)]
        json: bool,
    },
    /// Take the key from a file, where there is none yet; a node that runs has to be stopped first
    Import {
        /// What `key export` wrote
        file: PathBuf,
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

pub(super) fn run(global: &Global, args: &Args) -> Result<u8> {
    if global.attach()?.is_some() {
        let why = "a key does not leave its machine over a socket; run this there, without --attach";
        return Err(RegistryError::Usage(why.to_owned()));
    }
    let data_dir = global.settings()?.paths.data;
    let path = keys::publisher_path(&data_dir);
    let key = keys::load(&path)?;
    let publisher = key.as_ref().map(|key| PublisherId::of(&key.public()));
    match &args.what {
        What::Show { json } => {
            if *json {
                print::json(&Shown { publisher, path })?;
            } else if let Some(publisher) = publisher {
                print::fields(&[("publisher", publisher.to_string()), ("key", path.display().to_string())])?;
            } else {
                print::note(format!("there is no key in {} yet; the first publish makes one", path.display()));
            }
            Ok(if publisher.is_some() { DONE } else { FAILED })
        }
        What::Export { file, json } => {
            export(&path, file)?;
            told(*json, publisher, file.clone())
        }
        What::Import { file, json } => {
            let publisher = import(&data_dir, &path, publisher, file)?;
            told(*json, Some(publisher), path)
        }
    }
}

fn told(json: bool, publisher: Option<PublisherId>, path: PathBuf) -> Result<u8> {
    if json { print::json(&Shown { publisher, path }).map(|()| DONE) } else { Ok(DONE) }
}

fn export(path: &Path, file: &Path) -> Result<()> {
    let bytes = fs::read(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => {
            RegistryError::Usage(format!("there is no key in {} yet; the first publish makes one", path.display()))
        }
        _ => RegistryError::file(path, "read")(error),
    })?;
    let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(file);
    let mut made = made.map_err(RegistryError::file(file, "created"))?;
    made.write_all(&bytes).and_then(|()| made.sync_all()).map_err(RegistryError::file(file, "written"))?;
    print::note(format!("your key is in {} too; whoever has that file can publish in your name", file.display()));
    Ok(())
}

fn import(data_dir: &Path, path: &Path, there: Option<PublisherId>, file: &Path) -> Result<PublisherId> {
    let missing = || RegistryError::Usage(format!("there is no file {}; name what `key export` wrote", file.display()));
    let key = keys::load(file)?.ok_or_else(missing)?;
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
        return Err(RegistryError::DataDirInUse(data_dir.to_owned()));
    }
    fs::create_dir_all(data_dir).map_err(RegistryError::file(data_dir, "created"))?;
    keys::save(path, &key)?;
    print::note(format!("you are {publisher} here from now on"));
    Ok(publisher)
}
