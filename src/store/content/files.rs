//! The files of contents: their paths, how they are written, and recovery after a crash.

use std::{
    fs::{self, File},
    io::{self, Read, Seek},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use bao_tree::io::{outboard::PreOrderOutboard, sync::outboard};
use bytes::Bytes;

use super::{Blob, Held, Inner, PIECE, Partial, SMALL, hash, rows, tree};
use crate::{
    RegistryError, Result,
    domain::{hash::ContentRoot, manifest::Content},
};

/// Returns the paths of a content's bytes and hashes in a directory.
pub(super) fn paths(dir: &Path, root: &ContentRoot) -> [PathBuf; 2] {
    let name = hash(root).to_hex();
    [
        dir.join(format!("{name}.data")),
        dir.join(format!("{name}.hashes")),
    ]
}

pub(super) fn remove_files(paths: &[PathBuf]) -> io::Result<()> {
    for path in paths {
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// Returns the disk space of a file, which may be less than its length because of holes.
pub(super) fn on_disk(about: &fs::Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::blocks(about) * 512
}

/// Returns the root that a file is named after.
fn root_of(path: &Path) -> Option<ContentRoot> {
    let stem = path.file_stem()?.to_str()?;
    let is_data = path
        .extension()
        .is_some_and(|extension| extension == "data");
    blake3::Hash::from_hex(stem)
        .ok()
        .filter(|_| is_data)
        .map(ContentRoot::from)
}

impl Inner {
    pub(super) fn incoming(&self) -> PathBuf {
        self.dir.join("incoming")
    }

    pub(super) fn partial_dir(&self) -> PathBuf {
        self.dir.join("partial")
    }

    /// Returns a partial content that is open now.
    pub(super) fn partial(&self, root: &ContentRoot) -> Option<Arc<Partial>> {
        let mut partials = self.partials.lock();
        let partial = partials.get(root)?.upgrade();
        if partial.is_none() {
            partials.remove(root);
        }
        partial
    }

    /// Turns a content whose rename was not recorded before a power cut back into a partial, which
    /// is then verified.
    pub(super) fn demote_orphans(&self) -> Result<()> {
        let failed = |error| RegistryError::file(&self.dir, "used")(error);
        for file in fs::read_dir(&self.dir).map_err(failed)?.flatten() {
            let Some(root) = root_of(&file.path()) else {
                continue;
            };
            if self.store.read(|db| rows::get(db, &root))?.is_none() {
                self.move_away(&root)?;
            }
        }
        Ok(())
    }

    /// Turns the files of a complete content into those of a partial.
    pub(super) fn move_away(&self, root: &ContentRoot) -> Result<()> {
        let (from, to) = (paths(&self.dir, root), paths(&self.partial_dir(), root));
        for (from, to) in from.iter().zip(&to) {
            match fs::rename(from, to) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(RegistryError::file(from, "moved")(error));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Opens a content; `None` if it is damaged.
    pub(super) fn open_blob(&self, held: &Held) -> Result<Option<Blob>> {
        let content = held.content;
        if !held.in_file {
            let bytes = self
                .store
                .read(|db| rows::data(db, &content.root))?
                .unwrap_or_default();
            return Ok(Blob::small(content, bytes.into()).ok());
        }
        let [data, hashes] = paths(&self.dir, &content.root);
        let open = |path: &Path| match File::open(path) {
            Ok(file) => Ok(Some(file)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(RegistryError::file(path, "read")(error)),
        };
        let (Some(data), Some(hashes)) = (open(&data)?, open(&hashes)?) else {
            return Ok(None);
        };
        Ok(Some(Blob::in_files(content, data, hashes)))
    }

    /// Reads all bytes: into memory while they are few, else into a file that is then named after
    /// its root.
    pub(super) fn take(
        &self,
        mut reader: impl Read,
        most: u64,
        mut told: impl FnMut(u64),
    ) -> Result<(Content, Option<Bytes>)> {
        let failed = |error| RegistryError::file("what is to be published", "read")(error);
        let mut start = Vec::new();
        reader
            .by_ref()
            .take(SMALL)
            .read_to_end(&mut start)
            .map_err(failed)?;
        told(start.len() as u64);
        if (start.len() as u64) < SMALL {
            let content = Content {
                root: ContentRoot::of(&start),
                size: start.len() as u64,
            };
            return Ok((content, Some(start.into())));
        }
        let full = |error| RegistryError::file(&self.dir, "written to")(error);
        let file = tempfile::NamedTempFile::new_in(self.incoming()).map_err(full)?;
        let (mut piece, mut size) = (start, 0_u64);
        while !piece.is_empty() {
            self.medium
                .write_at(file.as_file(), size, &piece)
                .map_err(full)?;
            size += piece.len() as u64;
            if size > most {
                return Err(RegistryError::TooLarge { size, most });
            }
            told(size);
            piece.clear();
            reader
                .by_ref()
                .take(PIECE as u64)
                .read_to_end(&mut piece)
                .map_err(failed)?;
        }
        self.name(file, size).map(|content| (content, None))
    }

    /// Hashes a complete file and names it after its root.
    fn name(&self, mut file: tempfile::NamedTempFile, size: u64) -> Result<Content> {
        let full = |error| RegistryError::file(&self.dir, "written to")(error);
        file.rewind().map_err(full)?;
        let tree = tree(size);
        let beside = tempfile::NamedTempFile::new_in(self.incoming()).map_err(full)?;
        let mut hashes = PreOrderOutboard {
            root: [0; 32].into(),
            tree,
            data: beside.as_file().try_clone().map_err(full)?,
        };
        let root = outboard(
            io::BufReader::with_capacity(PIECE, file.as_file()),
            tree,
            &mut hashes,
        )
        .map_err(full)?;
        let content = Content {
            root: root.into(),
            size,
        };
        self.medium.sync(beside.as_file()).map_err(full)?;
        self.medium.sync(file.as_file()).map_err(full)?;
        let [data, hashes] = paths(&self.dir, &content.root);
        beside.persist(hashes).map_err(|error| full(error.error))?;
        file.persist(data).map_err(|error| full(error.error))?;
        File::open(&self.dir)
            .and_then(|dir| dir.sync_all())
            .map_err(full)?;
        Ok(content)
    }

    /// Returns the partials that are not open and were not written to for `age`, with their disk
    /// space in bytes.
    pub(super) fn old_partials(&self, age: Duration) -> Vec<(ContentRoot, u64)> {
        let files = fs::read_dir(self.partial_dir())
            .into_iter()
            .flatten()
            .flatten();
        files
            .filter_map(|file| {
                let root = root_of(&file.path())?;
                let about = file.metadata().ok()?;
                let written = about.modified().ok()?.elapsed().unwrap_or_default();
                let bytes = on_disk(&about);
                (written >= age && self.partial(&root).is_none()).then_some((root, bytes))
            })
            .collect()
    }
}
