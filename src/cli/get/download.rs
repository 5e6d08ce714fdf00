//! Downloads one file of a release into the node's store, and copies it to its destination.

use std::{
    collections::HashMap,
    io::{Seek, Write},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use indicatif::{HumanBytes, HumanDuration, ProgressBar, ProgressStyle};
use parking_lot::Mutex;
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
        text::{printable, quantity},
        transfer::{Transfer, TransferId},
    },
    registry::{Contents, Fetched, Release, Wanted},
};

/// The destination of a download.
pub(super) struct Destination {
    pub path: PathBuf,
    /// Unpack into a directory of that name.
    pub extract: bool,
    /// Overwrite existing files.
    pub force: bool,
    /// The parent directory may be created, because it is below the requested one. A path that was
    /// typed must have a parent, so that a typing error is found before anything is downloaded.
    pub below: bool,
}

/// A progress bar for one or several downloads, or JSON lines.
pub(super) struct DownloadProgress {
    bar: ProgressBar,
    json: bool,
    /// Bytes, rate, and number of peers of each transfer.
    running: Mutex<HashMap<TransferId, (u64, f64, usize)>>,
    held: AtomicU64,
}

/// A line of JSON output during a download.
#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum TransferLine<'a> {
    Progress(&'a Transfer),
}

impl DownloadProgress {
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
            // If the reader has closed the pipe, go on with the download.
            let _ = print::json(&TransferLine::Progress(transfer));
        }
        let mut running = self.running.lock();
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
        let peers = quantity(running.values().map(|(.., peers)| peers).sum(), "peer");
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

/// Downloads a file of a release and writes it.
pub(super) async fn download(
    node: &dyn Control,
    release: &Release,
    file: &File,
    target: &Destination,
    progress: &DownloadProgress,
) -> Result<Fetched> {
    let (content, wanted) = (file.content(), || Wanted::file(release, file));
    // Check the destination before downloading anything.
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
            print::note(format!("cannot get the {what}: {error}"));
        }
    }
    let target = Arc::new(Destination {
        path: target.path.clone(),
        ..*target
    });
    let file = match receive(&*contents, content, &target).await {
        // The stored content was damaged and has been dropped: download the missing parts.
        Err(_) if contents.held(content.root).await?.is_none() => {
            print::note(
                "its content on this node was damaged; downloading the missing parts again",
            );
            fetch(&*contents, wanted(), progress).await?;
            receive(&*contents, content, &target).await?
        }
        received => received?,
    };
    let done = tokio::task::spawn_blocking(move || put_in_place(file, &target)).await;
    done.map_err(|error| print::internal("writing what was fetched", error))??;
    Ok(fetched)
}

async fn fetch(
    contents: &dyn Contents,
    wanted: Wanted,
    progress: &DownloadProgress,
) -> Result<Fetched> {
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

/// Returns true if the same file exists already; a different file is an error unless it may be
/// overwritten.
async fn is_there(target: &Destination, content: Content) -> Result<bool> {
    let path = target.path.clone();
    if path.as_os_str() == "-" {
        let why = "--output - is not supported, because files are written whole or not at all; \
                   give a file name";
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
        "is a directory that is not empty"
    } else {
        "exists already with different content"
    };
    RegistryError::Usage(format!(
        "{} {what}; choose another --output, or use --force for a file",
        path.display()
    ))
}

/// Writes the bytes to a temporary file beside the destination, verifying them again.
async fn receive(
    contents: &dyn Contents,
    content: Content,
    target: &Destination,
) -> Result<NamedTempFile> {
    let dir = disk::dir_of(&target.path);
    let failed = |error| RegistryError::file(dir, "written to")(error);
    if target.below {
        std::fs::create_dir_all(dir).map_err(failed)?;
    }
    // Use the permissions that the umask gives; a temporary file would be private.
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
        // A piece is at most 1 MiB, and nothing else runs on this task.
        tokio::task::block_in_place(|| file.write_all(&piece)).map_err(failed)?;
    }
    if ContentRoot::from(hasher.finalize()) != content.root {
        return Err(RegistryError::ContentDamaged(content.root));
    }
    Ok(file)
}

/// Renames the temporary file to its destination, atomically.
fn put_in_place(mut file: NamedTempFile, target: &Destination) -> Result<()> {
    let failed = |error| RegistryError::file(&target.path, "written")(error);
    if target.extract {
        let kind = file
            .rewind()
            .and_then(|()| ArchiveKind::of(file.as_file_mut()))
            .map_err(failed)?;
        let kind = kind.ok_or_else(|| {
            let why =
                "it is not an archive of a known kind (tar, tar.gz, tar.zst); leave out --extract \
                 to keep it as it is";
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
