//! One release: fetched into the node's store, and from there to where it was asked for.

use std::{
    collections::HashMap,
    io::{Seek, Write},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use indicatif::{HumanBytes, HumanDuration, ProgressBar, ProgressStyle};
use serde::Serialize;
use tempfile::NamedTempFile;
use tokio::sync::mpsc;

use crate::{
    RegistryError, Result,
    archive::{
        ArchiveKind,
        extract::{ExtractLimits, extract},
    },
    cli::print,
    control::Control,
    disk,
    domain::{
        hash::ContentRoot,
        manifest::{Content, File},
        text::printable,
        transfer::{Transfer, TransferId},
    },
    registry::{Contents, Fetched, Release, Wanted},
};

/// Where it goes.
pub(super) struct Target {
    pub path: PathBuf,
    /// Unpacked into a directory of that name.
    pub extract: bool,
    /// Over what is there.
    pub force: bool,
    /// Its directory may be made: it is below the one that was asked for. A path that was typed is
    /// taken as it is, so that a mistake in it is found before anything is fetched.
    pub below: bool,
}

/// A bar for one or several downloads, or lines of JSON.
pub(super) struct Progress {
    bar: ProgressBar,
    json: bool,
    /// Bytes, rate and peers of each.
    running: Mutex<HashMap<TransferId, (u64, f64, usize)>>,
    held: AtomicU64,
}

/// A line of JSON while it runs.
#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum Line<'a> {
    Progress(&'a Transfer),
}

impl Progress {
    pub fn new(what: &str, bytes: u64, json: bool) -> Self {
        let template = "{msg} {bytes} of {total_bytes} {wide_bar} {prefix}";
        let bar = print::bar(bytes).with_message(printable(what));
        let bar = match ProgressStyle::with_template(template) {
            Ok(style) => bar.with_style(style),
            Err(_) => bar,
        };
        Self {
            bar,
            json,
            running: Mutex::default(),
            held: AtomicU64::new(0),
        }
    }

    fn at(&self, transfer: &Transfer) {
        if self.json {
            // Whoever closed the pipe sees nothing of it, and the download goes on.
            let _ = print::json(&Line::Progress(transfer));
        }
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.insert(
            transfer.id,
            (transfer.done, transfer.rate, transfer.active()),
        );
        let done = running.values().map(|(done, ..)| done).sum::<u64>()
            + self.held.load(Ordering::Relaxed);
        self.bar.set_position(done);
        let rate: f64 = running.values().map(|(_, rate, _)| rate).sum();
        let left = self.bar.length().unwrap_or(done).saturating_sub(done);
        let left = match rate > 0.0 && left > 0 {
            true => format!(
                ", {} left",
                HumanDuration(Duration::from_secs_f64((left as f64 / rate).min(1e9)))
            ),
            false => String::new(),
        };
        let peers = match running.values().map(|(.., peers)| peers).sum() {
            1 => "1 peer".to_owned(),
            count => format!("{count} peers"),
        };
        self.bar
            .set_prefix(format!("{}/s{left}, {peers}", HumanBytes(rate as u64)));
    }

    fn was_held(&self, bytes: u64) {
        self.held.fetch_add(bytes, Ordering::Relaxed);
        self.bar.inc(bytes);
    }

    pub fn end(&self) {
        self.bar.finish_and_clear();
    }
}

/// Fetches a file of a release and writes it.
pub(super) async fn download(
    node: &dyn Control,
    release: &Release,
    file: &File,
    target: &Target,
    progress: &Progress,
) -> Result<Fetched> {
    let (content, wanted) = (file.content(), || Wanted::file(release, file));
    // Before anything is fetched for nothing.
    if is_there(target, content).await? {
        progress.was_held(content.size);
        return fetch(&*node.contents(), wanted(), progress).await;
    }
    let contents = node.contents();
    let fetched = fetch(&*contents, wanted(), progress).await?;
    if fetched.was_held {
        progress.was_held(content.size);
    }
    for beside in Wanted::beside(release) {
        let what = beside.what.clone();
        if let Err(error) = contents.fetch(beside, None).await {
            print::note(format!("the {what} could not be had: {error}"));
        }
    }
    let target = Arc::new(Target {
        path: target.path.clone(),
        ..*target
    });
    let file = match receive(&*contents, content, &target).await {
        // It was damaged, and is dropped: what of it is missing comes from others.
        Err(_) if contents.held(content.root).await?.is_none() => {
            print::note("its bytes on this node were damaged; what is missing is fetched again");
            fetch(&*contents, wanted(), progress).await?;
            receive(&*contents, content, &target).await?
        }
        received => received?,
    };
    let done = tokio::task::spawn_blocking(move || put_in_place(file, &target)).await;
    done.map_err(|error| print::internal("writing what was fetched", error))??;
    Ok(fetched)
}

async fn fetch(contents: &dyn Contents, wanted: Wanted, progress: &Progress) -> Result<Fetched> {
    let (updates, mut told) = mpsc::channel(16);
    let mut fetching = std::pin::pin!(contents.fetch(wanted, Some(updates)));
    loop {
        tokio::select! {
            biased;
            Some(transfer) = told.recv() => progress.at(&transfer),
            fetched = &mut fetching => {
                while let Ok(transfer) = told.try_recv() {
                    progress.at(&transfer);
                }
                return fetched;
            }
        }
    }
}

/// Whether the very same is there already; something else that is there is an error, unless it may
/// be written over.
async fn is_there(target: &Target, content: Content) -> Result<bool> {
    let path = target.path.clone();
    if path.as_os_str() == "-" {
        let why = "the bytes go into a file, so that they are whole or not there; give --output a name other than -";
        return Err(RegistryError::Usage(why.to_owned()));
    }
    if !target.below {
        disk::has_dir(&path).map_err(RegistryError::file(&path, "written"))?;
    }
    if target.extract {
        let taken = path.is_file()
            || path
                .read_dir()
                .is_ok_and(|mut entries| entries.next().is_some());
        return if taken {
            Err(occupied(&path))
        } else {
            Ok(false)
        };
    }
    let (force, asked) = (target.force, path.clone());
    let same = tokio::task::spawn_blocking(move || -> std::io::Result<Option<bool>> {
        let Ok(about) = std::fs::metadata(&asked) else {
            return Ok(None);
        };
        if !about.is_file() || about.len() != content.size {
            return Ok(Some(false));
        }
        let mut hasher = blake3::Hasher::new();
        hasher.update_reader(std::fs::File::open(&asked)?)?;
        Ok(Some(ContentRoot::from(hasher.finalize()) == content.root))
    });
    let same = same
        .await
        .map_err(|error| print::internal("looking at the file", error))?;
    match same.map_err(RegistryError::file(&path, "read"))? {
        Some(true) => Ok(true),
        Some(false) if !force || path.is_dir() => Err(occupied(&path)),
        _ => Ok(false),
    }
}

fn occupied(path: &Path) -> RegistryError {
    let what = if path.is_dir() {
        "is a directory with something in it"
    } else {
        "is there already and has other bytes"
    };
    RegistryError::Usage(format!(
        "{} {what}; give --output another place, or --force for a file",
        path.display()
    ))
}

/// The bytes in a file beside where they go, verified once more on their way.
async fn receive(
    contents: &dyn Contents,
    content: Content,
    target: &Target,
) -> Result<NamedTempFile> {
    let dir = disk::dir_of(&target.path);
    let failed = |error| RegistryError::file(dir, "written to")(error);
    if target.below {
        std::fs::create_dir_all(dir).map_err(failed)?;
    }
    // Like any other file of the person's, as the umask says; a temporary one would be its owner's
    // alone.
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o666);
    let mut file = tempfile::Builder::new()
        .permissions(mode)
        .tempfile_in(dir)
        .map_err(failed)?;
    let mut pieces = contents.read(content.root).await?;
    let mut hasher = blake3::Hasher::new();
    while let Some(piece) = pieces.recv().await {
        let piece = piece?;
        hasher.update(&piece);
        // A piece has 1 MiB at most, and there is nothing else to do.
        tokio::task::block_in_place(|| file.write_all(&piece)).map_err(failed)?;
    }
    if ContentRoot::from(hasher.finalize()) != content.root {
        return Err(RegistryError::ContentDamaged(content.root));
    }
    Ok(file)
}

/// All of it under its name, or nothing.
fn put_in_place(mut file: NamedTempFile, target: &Target) -> Result<()> {
    let failed = |error| RegistryError::file(&target.path, "written")(error);
    if target.extract {
        let kind = file
            .rewind()
            .and_then(|()| ArchiveKind::of(file.as_file_mut()))
            .map_err(failed)?;
        let kind = kind.ok_or_else(|| {
            let why =
                "it is no archive that is known here (tar, tar.gz, tar.zst); leave out --extract to have it as it is";
            RegistryError::Usage(why.to_owned())
        })?;
        extract(
            std::io::BufReader::new(file.as_file_mut()),
            kind,
            &target.path,
            ExtractLimits::default(),
        )
        .map_err(|error| RegistryError::Usage(error.to_string()))?;
        return Ok(());
    }
    file.as_file().sync_all().map_err(failed)?;
    match target.force {
        true => file
            .persist(&target.path)
            .map(drop)
            .map_err(|error| error.error),
        false => disk::name_new(file, &target.path),
    }
    .map_err(failed)?;
    disk::sync_dir(disk::dir_of(&target.path)).map_err(failed)
}
