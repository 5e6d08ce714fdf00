//! Files that the explorer reads and writes: files to publish, exports, and state kept between
//! runs.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use serde::de::DeserializeOwned;
use tokio::{sync::watch, task::JoinHandle};

use super::{model::form::FileState, table::export::ExportSheet};
use crate::{RegistryError, Result, disk, registry::Content};

/// Bytes read at a time.
const CHUNK: usize = 1 << 20;
/// Bytes between two reports of progress.
const PROGRESS_EVERY: u64 = 16 << 20;
/// Saves are delayed by this long, so that quick changes are written once.
const SETTLE: Duration = Duration::from_millis(200);

/// The size and modification time of a file, by which a later change is noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    size: u64,
    modified: Option<SystemTime>,
}

fn stamp(meta: &fs::Metadata) -> Stamp {
    Stamp {
        size: meta.len(),
        modified: meta.modified().ok(),
    }
}

/// Returns what kind of file a path names, or why it cannot be read.
pub fn state_of(path: &Path) -> FileState {
    match fs::metadata(path) {
        Ok(meta) if meta.is_dir() => match fs::read_dir(path) {
            Ok(_) => FileState::Directory,
            Err(error) => FileState::Wrong(cannot(&error)),
        },
        Ok(meta) if !meta.is_file() => {
            FileState::Wrong("is neither a file nor a directory".to_owned())
        }
        Ok(meta) => match File::open(path) {
            Ok(_) => FileState::Is { size: meta.len() },
            Err(error) => FileState::Wrong(cannot(&error)),
        },
        Err(error) => FileState::Wrong(cannot(&error)),
    }
}

fn cannot(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "no such file or directory".to_owned(),
        io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        _ => format!("cannot be read: {error}"),
    }
}

/// Hashes a file in constant memory.
///
/// # Errors
/// A sentence if it cannot be read, is not a file, or changes while it is being read.
pub fn hash(path: &Path, mut progress: impl FnMut(u64, u64)) -> Result<(Content, Stamp), String> {
    match state_of(path) {
        FileState::Wrong(why) => return Err(why),
        FileState::Directory => return Err("is a directory".to_owned()),
        FileState::Unknown | FileState::Is { .. } => {}
    }
    let mut file = File::open(path).map_err(|error| cannot(&error))?;
    let before = stamp(&file.metadata().map_err(|error| cannot(&error))?);
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0; CHUNK];
    let (mut done, mut reported) = (0u64, 0u64);
    loop {
        let read = file.read(&mut buffer).map_err(|error| cannot(&error))?;
        if read == 0 {
            break;
        }
        hasher.update(buffer.get(..read).unwrap_or_default());
        done += read as u64;
        if done > before.size {
            return Err(changed());
        }
        if done - reported >= PROGRESS_EVERY {
            reported = done;
            progress(done, before.size);
        }
    }
    let after = fs::metadata(path)
        .map(|meta| stamp(&meta))
        .map_err(|error| cannot(&error))?;
    if after != before || done != before.size {
        return Err(changed());
    }
    Ok((
        Content {
            root: hasher.finalize().into(),
            size: done,
        },
        before,
    ))
}

fn changed() -> String {
    "changed while it was being read; try again once nothing writes to it".to_owned()
}

/// Checks that a file has not changed since it was hashed.
///
/// # Errors
/// [`RegistryError::Usage`] if it has changed.
pub fn unchanged(path: &Path, hashed: Option<(PathBuf, Stamp)>) -> Result<()> {
    let now = fs::metadata(path).map_err(RegistryError::file(path, "read"))?;
    match hashed {
        Some((was, before)) if was == path && before == stamp(&now) => Ok(()),
        _ => Err(RegistryError::Usage(format!(
            "{} has changed since the review, so nothing was published; review it again",
            path.display()
        ))),
    }
}

/// Writes an exported view to a new file; never overwrites one.
///
/// # Errors
/// A sentence that names the file.
pub fn export(path: &Path, sheet: &ExportSheet) -> Result<(), String> {
    let name = path
        .file_name()
        .and_then(|name| name.to_str())
        .unwrap_or_default();
    let bytes = sheet
        .write(name)
        .map_err(|error| not_written(path, &error))?;
    write_new(path, &bytes)
}

/// Writes a new file atomically, with the usual permissions of the user's files.
pub fn write_new(path: &Path, bytes: &[u8]) -> Result<(), String> {
    disk::make(path, bytes, 0o666).map_err(|error| not_written(path, &error))
}

fn not_written(path: &Path, error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AlreadyExists => {
            format!("{} exists already; choose another name", path.display())
        }
        _ => format!("cannot write {}: {error}", path.display()),
    }
}

type Texts = BTreeMap<String, String>;

/// Returns the draft that an earlier run saved, if there is one that can be read.
pub fn read_draft(path: &Path) -> Option<Texts> {
    read_kept(path)
}

/// Returns the searches that earlier runs saved, newest first.
pub fn read_searches(path: &Path) -> Vec<String> {
    read_kept(path).unwrap_or_default()
}

fn read_kept<T: DeserializeOwned>(path: &Path) -> Option<T> {
    const MOST: u64 = 1 << 20;
    let file = File::open(path).ok()?;
    let mut text = String::new();
    file.take(MOST).read_to_string(&mut text).ok()?;
    serde_json::from_str(&text).ok()
}

/// Paths of the files that keep state between runs.
#[derive(Clone, Debug)]
pub struct SavedPaths {
    pub draft: PathBuf,
    /// Recent searches. Only the owner may read them: they are private.
    pub searches: PathBuf,
    /// The settings file; `None` if the settings must not be changed, as in the demo.
    pub settings: Option<PathBuf>,
}

#[derive(Clone, Debug, Default, PartialEq)]
struct Unsaved {
    draft: Option<Option<Texts>>,
    searches: Option<Vec<String>>,
    columns: BTreeMap<&'static str, Vec<String>>,
}

/// Saves state in the background. Only the newest state is written, one write at a time.
pub struct Saver {
    wanted: watch::Sender<Unsaved>,
    task: JoinHandle<()>,
}

impl Saver {
    /// Starts saving; `failed` is called with a sentence for each failed write.
    pub fn start(kept: SavedPaths, failed: impl Fn(String) + Send + Sync + 'static) -> Self {
        let (wanted, mut changes) = watch::channel(Unsaved::default());
        let task = tokio::spawn(async move {
            let mut written = Unsaved::default();
            while changes.changed().await.is_ok() {
                tokio::time::sleep(SETTLE).await;
                written = write_behind(&kept, &mut changes, written, &failed).await;
            }
            // Write the last change before the explorer ends.
            write_behind(&kept, &mut changes, written, &failed).await;
        });
        Self { wanted, task }
    }

    pub fn save_draft(&self, draft: Option<Texts>) {
        self.wanted.send_modify(|wanted| wanted.draft = Some(draft));
    }

    pub fn save_searches(&self, texts: Vec<String>) {
        self.wanted
            .send_modify(|wanted| wanted.searches = Some(texts));
    }

    pub fn save_columns(&self, table: &'static str, words: Vec<String>) {
        self.wanted
            .send_modify(|wanted| drop(wanted.columns.insert(table, words)));
    }

    /// Writes pending changes and stops.
    pub async fn end(self) {
        drop(self.wanted);
        // A join error means that the task panicked: it has ended all the same.
        let _ = self.task.await;
    }
}

async fn write_behind(
    kept: &SavedPaths,
    changes: &mut watch::Receiver<Unsaved>,
    written: Unsaved,
    failed: &(impl Fn(String) + Send + Sync),
) -> Unsaved {
    let wanted = changes.borrow_and_update().clone();
    if wanted == written {
        return written;
    }
    let (kept, now) = (kept.clone(), wanted.clone());
    let result = tokio::task::spawn_blocking(move || {
        if now.draft != written.draft
            && let Some(draft) = &now.draft
        {
            write_draft(&kept.draft, draft.as_ref()).map_err(|error| {
                format!("cannot save the draft in {}: {error}", kept.draft.display())
            })?;
        }
        if now.searches != written.searches
            && let Some(searches) = &now.searches
        {
            write_searches(&kept.searches, searches).map_err(|error| {
                format!(
                    "cannot save recent searches in {}: {error}",
                    kept.searches.display()
                )
            })?;
        }
        if now.columns != written.columns
            && let Some(settings) = &kept.settings
        {
            crate::config::write_columns(settings, &now.columns)
                .map_err(|error| format!("cannot save the columns: {error}"))?;
        }
        Ok::<(), String>(())
    });
    if let Ok(Err(why)) = result.await {
        failed(why);
    }
    wanted
}

fn write_draft(path: &Path, draft: Option<&Texts>) -> io::Result<()> {
    match draft {
        Some(draft) => disk::replace_ours(path, &serde_json::to_vec_pretty(draft)?),
        None => match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        },
    }
}

/// Writes the searches; a new file is readable by its owner only.
fn write_searches(path: &Path, texts: &[String]) -> io::Result<()> {
    disk::replace_ours(path, &serde_json::to_vec_pretty(texts)?)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn a_file_is_read_once_and_must_hold_still() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("web.tar");
        fs::write(&path, b"bytes").unwrap();
        let (content, stamp) = hash(&path, |_, _| {}).unwrap();
        assert_eq!(
            (content.size, content.root),
            (5, crate::domain::hash::ContentRoot::of(b"bytes"))
        );
        unchanged(&path, Some((path.clone(), stamp))).unwrap();
        fs::write(&path, b"other bytes").unwrap();
        assert!(
            unchanged(&path, Some((path.clone(), stamp)))
                .unwrap_err()
                .to_string()
                .contains("has changed")
        );
        fs::remove_file(&path).unwrap();
        assert!(unchanged(&path, Some((path.clone(), stamp))).is_err());
        assert_eq!(
            hash(&path, |_, _| {}).unwrap_err(),
            "no such file or directory"
        );
        assert!(
            hash(dir.path(), |_, _| {})
                .unwrap_err()
                .contains("is a directory")
        );
    }

    #[test]
    fn a_file_that_grows_while_it_is_read_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        fs::write(&path, vec![1; (PROGRESS_EVERY + 1) as usize]).unwrap();
        let grow = |_, _| {
            let mut file = File::options().append(true).open(&path).unwrap();
            file.write_all(b"more").unwrap();
        };
        assert!(
            hash(&path, grow)
                .unwrap_err()
                .contains("changed while it was being read")
        );
    }

    #[test]
    fn an_export_writes_over_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("peers.csv");
        let sheet = ExportSheet {
            columns: vec!["peer".to_owned()],
            rows: vec![],
        };
        export(&path, &sheet).unwrap();
        assert!(
            export(&path, &sheet)
                .unwrap_err()
                .contains("exists already")
        );
        assert!(
            export(&dir.path().join("no/peers.csv"), &sheet)
                .unwrap_err()
                .contains("cannot write")
        );
    }

    #[tokio::test]
    async fn what_was_kept_last_is_there_when_the_keeper_has_ended() {
        let dir = tempfile::tempdir().unwrap();
        let draft = dir.path().join("state").join("draft.json");
        let searches = dir.path().join("state").join("searches.json");
        let kept = SavedPaths {
            draft: draft.clone(),
            searches: searches.clone(),
            settings: None,
        };
        let start = || Saver::start(kept.clone(), |why| panic!("{why}"));
        let texts = |name: &str| Texts::from([("name".to_owned(), name.to_owned())]);
        let saver = start();
        saver.save_draft(Some(texts("w")));
        saver.save_draft(Some(texts("web")));
        saver.save_searches(vec!["tag:cli".to_owned(), "web".to_owned()]);
        saver.end().await;
        assert_eq!(read_searches(&searches), ["tag:cli", "web"]);
        let mode = std::os::unix::fs::PermissionsExt::mode(
            &fs::metadata(&searches).unwrap().permissions(),
        );
        assert_eq!(mode & 0o077, 0, "nobody else reads it");
        assert_eq!(read_draft(&draft), Some(texts("web")));
        let saver = start();
        saver.save_draft(None);
        saver.end().await;
        assert_eq!(read_draft(&draft), None);
        fs::write(&searches, "{}").unwrap();
        assert!(
            read_searches(&searches).is_empty(),
            "what makes no sense is no reason not to start"
        );
    }
}
