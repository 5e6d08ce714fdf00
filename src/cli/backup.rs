//! `backup` and `restore`: saves and restores a node's data directory.

use std::path::PathBuf;

use clap::ValueEnum;
use indicatif::HumanBytes;
use tokio::time::Instant;

use super::{DONE, FAILED, INTERRUPTED, global::Global, print, session, stop::Stop};
use crate::{
    RegistryError, Result, clock,
    config::Settings,
    control::Control,
    domain::secret::Role,
    store::{
        self,
        backup::{Ask, Backup, Choice, Restored, Restoring},
    },
};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Directory to create, on the node's machine; its parent must exist
    dir: PathBuf,
    /// Leave out the keys: the node's own key and your publisher key
    #[arg(long)]
    no_keys: bool,
    /// Content to include
    #[arg(long, value_enum, value_name = "WHICH", default_value_t)]
    contents: Which,
    /// Print the backup's description as one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Which {
    /// No content: other nodes have it, or you keep it elsewhere
    None,
    /// Content that was published on this node
    #[default]
    Own,
    /// Own and pinned content
    Pinned,
    /// All content on this node
    All,
}

impl From<Which> for Choice {
    fn from(which: Which) -> Self {
        match which {
            Which::None => Self::None,
            Which::Own => Self::Own,
            Which::Pinned => Self::Pinned,
            Which::All => Self::All,
        }
    }
}

#[derive(Debug, clap::Args)]
pub(super) struct Restore {
    /// Directory that `backup` created
    dir: PathBuf,
    /// Move an existing node's files to before-restore-N in the data directory
    #[arg(long)]
    replace: bool,
    /// Give the node a new identity, because the original still runs elsewhere
    #[arg(long)]
    new_identity: bool,
    /// Print the result as one JSON object
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(global: &Global, args: Args) -> Result<u8> {
    let settings = global.settings()?;
    let dir = std::path::absolute(&args.dir).map_err(RegistryError::file(&args.dir, "made"))?;
    let ask = Ask {
        dir,
        keys: !args.no_keys,
        contents: args.contents.into(),
    };
    let mut stop = Stop::watch()?;
    let spinner = print::spinner("backing up");
    let made = tokio::select! {
        made = make(global, &settings, &ask) => made,
        () = stop.told() => {
            spinner.finish_and_clear();
            print::note("interrupted; the backup is complete or absent, never partial");
            return Ok(INTERRUPTED);
        }
    };
    spinner.finish_and_clear();
    let backup = made?;
    for what in &backup.missing {
        print::note(format!(
            "left out, because its content is damaged or missing: {what}; run `swarmdex verify` to \
             repair it"
        ));
    }
    if args.json {
        print::json(&backup)?;
    } else {
        print::fields(&described(&backup, ask.dir.display().to_string()))?;
    }
    let gone = lost_keys(&backup, &ask);
    for (whose, id) in &gone {
        print::note(format!(
            "error: {whose} key, of {id}, is missing, and so not in the backup"
        ));
    }
    if args.no_keys {
        print::note("the backup has no keys; `swarmdex key export` copies your publisher key");
    } else {
        print::note("the backup has your keys: anyone who can read it can publish in your name");
    }
    Ok(if backup.missing.is_empty() && gone.is_empty() {
        DONE
    } else {
        FAILED
    })
}

/// Returns the keys that should be in the backup but have been lost on this node.
fn lost_keys(backup: &Backup, ask: &Ask) -> Vec<(&'static str, String)> {
    let keys = [
        ("the node's own", Role::Identity, backup.node.clone()),
        ("the publisher's", Role::Publisher, backup.publisher.clone()),
    ];
    let gone = keys
        .into_iter()
        .filter(|(_, role, _)| ask.keys && !backup.has_key(*role));
    gone.filter_map(|(whose, _, id)| Some((whose, id?)))
        .collect()
}

/// Asks the running node to make the backup. Without one, makes it directly, once no other command
/// uses the data directory.
async fn make(global: &Global, settings: &Settings, ask: &Ask) -> Result<Backup> {
    let deadline = session::turn_deadline(global, settings);
    loop {
        if let Some(node) = session::find(global, settings).await? {
            return node.backup(ask.clone()).await;
        }
        let (data_dir, what) = (settings.paths.data.clone(), ask.clone());
        let made = blocking(move || store::backup::make_stopped(&data_dir, &what)).await;
        match made {
            Err(RegistryError::DataDirInUse { .. }) if Instant::now() < deadline => {
                tokio::time::sleep(session::TURN_LOOK).await;
            }
            made => return made,
        }
    }
}

async fn blocking<T: Send + 'static>(
    job: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    let done = tokio::task::spawn_blocking(job).await;
    done.unwrap_or_else(|error| Err(print::internal("copying a data directory", error)))
}

pub(super) async fn restore(global: &Global, args: Restore) -> Result<u8> {
    if global.attach()?.is_some() {
        let why =
            "cannot restore a running node; stop it and run this on its machine, without --attach";
        return Err(RegistryError::Usage(why.to_owned()));
    }
    if global.readonly {
        return Err(RegistryError::ReadOnly { what: "restoring" });
    }
    let data_dir = global.settings()?.paths.data;
    let how = Restoring {
        replace: args.replace,
        new_identity: args.new_identity,
    };
    let spinner = print::spinner("restoring");
    // Ctrl-C is safe here, like a power cut: the directory is left either as it was or complete.
    let restored = blocking(move || store::backup::restore(&data_dir, &args.dir, &how)).await;
    spinner.finish_and_clear();
    let Restored {
        backup,
        data_dir,
        before,
    } = restored?;
    if let Some(before) = &before {
        print::note(format!(
            "the previous files are in {}; remove them once you no longer need them",
            before.display()
        ));
    }
    tell_of_keys(&backup, args.new_identity);
    if args.json {
        print::json(&Restored {
            backup,
            data_dir,
            before,
        })?;
    } else {
        print::fields(&described(&backup, data_dir.display().to_string()))?;
    }
    Ok(DONE)
}

/// Tells the user which keys the node has now, and which are missing.
fn tell_of_keys(backup: &Backup, new_identity: bool) {
    let node = backup
        .node
        .clone()
        .unwrap_or_else(|| "one that never ran".to_owned());
    match (backup.has_key(Role::Identity), new_identity) {
        (_, true) => print::note("this is a new node; it gets a key when it starts"),
        (true, false) => print::note(format!(
            "this is node {node} now: never run it twice; if the original still runs, restore with \
             --new-identity instead"
        )),
        (false, false) => print::note(format!(
            "the backup does not have the node's own key: copy identity.key of {node} into the \
             data directory, or run `swarmdex key new --identity`"
        )),
    }
    if let Some(publisher) = backup
        .publisher
        .as_ref()
        .filter(|_| !backup.has_key(Role::Publisher))
    {
        print::note(format!(
            "the backup does not have the key of {publisher}: restore it with `swarmdex key import`"
        ));
    }
}

fn described(backup: &Backup, path: String) -> Vec<(&'static str, String)> {
    let keys = [
        (Role::Identity, "the node's"),
        (Role::Publisher, "the publisher's"),
    ];
    let keys: Vec<&str> = keys
        .into_iter()
        .filter(|(role, _)| backup.has_key(*role))
        .map(|(_, whose)| whose)
        .collect();
    let files = backup
        .files
        .iter()
        .filter(|file| file.path.extension().is_some_and(|end| end == "data"))
        .count();
    let which = Which::value_variants()
        .iter()
        .find(|which| Choice::from(**which) == backup.contents);
    let which = which
        .and_then(|which| which.to_possible_value())
        .map(|value| value.get_name().to_owned());
    vec![
        ("path", path),
        ("made", clock::day(backup.made_at)),
        ("node", backup.node.clone().unwrap_or_default()),
        ("publisher", backup.publisher.clone().unwrap_or_default()),
        (
            "keys",
            if keys.is_empty() {
                "none".to_owned()
            } else {
                keys.join(" and ")
            },
        ),
        (
            "contents",
            format!(
                "{}: {files} files, and small contents in the database",
                which.unwrap_or_default()
            ),
        ),
        ("size", HumanBytes(backup.bytes()).to_string()),
    ]
}
