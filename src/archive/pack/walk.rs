//! Walks a directory and decides for each entry if it is included.

use std::{
    collections::HashSet,
    fs::{self, FileType},
    os::unix::fs::{FileTypeExt, MetadataExt},
    path::{Path, PathBuf},
    rc::Rc,
};

use super::{
    FileStamp, ItemKind, PackError, PackItem, PackLimits,
    listing::LeftOutFile,
    rules::{Chain, Compiled, LeftOutReason, Rules, private},
    shown,
};
use crate::{archive::path, domain::text::printable};

/// The most entries examined, including those left out. An ignored directory is searched only if
/// `include` reaches into it, and no sources have more than this.
const MOST_SEEN: u64 = 1_000_000;
/// The most entries listed as left out; more are counted.
const MOST_LEFT_OUT: usize = 10_000;

/// The result of a walk.
pub(super) struct WalkResult {
    /// Included entries, sorted by the bytes of their paths.
    pub items: Vec<PackItem>,
    /// Entries left out, in the order found. The contents of such a directory are not listed.
    pub left_out: Vec<LeftOutFile>,
    pub left_out_more: u64,
    /// Lines of `include` that had no effect.
    pub unused: Vec<String>,
}

/// The decision about a directory, which extends to its contents.
#[derive(Clone, Copy)]
struct DirectoryStanding {
    out: Option<Out>,
    /// A line of `include` matches the directory or a parent.
    included: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Out {
    Private,
    Ignored,
}

/// An entry that still has to be decided.
struct PendingEntry {
    place: PathBuf,
    kind: FileType,
    above: DirectoryStanding,
    ignores: Option<Rc<Chain>>,
}

struct TreeWalk<'a> {
    root: PathBuf,
    rules: Compiled,
    limits: PackLimits,
    named: &'a Path,
    pending: Vec<PendingEntry>,
    found: WalkResult,
    directories: HashSet<PathBuf>,
    bytes: u64,
    seen: u64,
}

/// Walks a directory.
///
/// # Errors
/// As [`super::plan`].
pub(super) fn walk(dir: &Path, rules: &Rules, limits: PackLimits) -> Result<WalkResult, PackError> {
    let unread = |source| PackError::Read {
        path: shown(dir),
        source,
    };
    // An absolute root, so that pattern matching does not depend on how the directory was named.
    let root = fs::canonicalize(dir).map_err(unread)?;
    if !root.is_dir() {
        return Err(PackError::NotDirectory(dir.to_owned()));
    }
    let rules = Compiled::new(&root, rules)?;
    let found = WalkResult {
        items: Vec::new(),
        left_out: Vec::new(),
        left_out_more: 0,
        unused: Vec::new(),
    };
    let (pending, directories) = (Vec::new(), HashSet::new());
    let mut walk = TreeWalk {
        root,
        rules,
        limits,
        named: dir,
        pending,
        found,
        directories,
        bytes: 0,
        seen: 0,
    };
    let root = walk.root.clone();
    let chain = Chain::within(&root, &root, None)?;
    walk.list(
        &root,
        DirectoryStanding {
            out: None,
            included: false,
        },
        chain.as_ref(),
    )?;
    while let Some(next) = walk.pending.pop() {
        walk.judge(next)?;
    }
    let TreeWalk {
        rules, mut found, ..
    } = walk;
    found.unused = rules.unused().map(printable).collect();
    found.items.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(found)
}

impl TreeWalk<'_> {
    /// Queues a directory's entries before all others, sorted by name, so that a limit is always
    /// exceeded at the same path.
    fn list(
        &mut self,
        dir: &Path,
        above: DirectoryStanding,
        ignores: Option<&Rc<Chain>>,
    ) -> Result<(), PackError> {
        let path = if dir == self.root {
            shown(self.named)
        } else {
            self.shown(dir)
        };
        let unread = |source| PackError::Read {
            path: path.clone(),
            source,
        };
        let mut entries = Vec::new();
        for entry in fs::read_dir(dir).map_err(unread)? {
            let entry = entry.map_err(unread)?;
            let kind = entry.file_type().map_err(unread)?;
            entries.push(PendingEntry {
                place: entry.path(),
                kind,
                above,
                ignores: ignores.cloned(),
            });
        }
        self.seen = self.seen.saturating_add(entries.len() as u64);
        if self.seen > MOST_SEEN {
            return Err(PackError::TooMany {
                path,
                limit: MOST_SEEN,
            });
        }
        entries.sort_by(|a, b| b.place.cmp(&a.place));
        self.pending.append(&mut entries);
        Ok(())
    }

    fn judge(&mut self, next: PendingEntry) -> Result<(), PackError> {
        let PendingEntry {
            place,
            kind,
            above,
            ignores,
        } = next;
        let is_dir = kind.is_dir();
        if let Some(why) = self.rules.never(&place, is_dir, kind.is_symlink()) {
            self.leave_out(&place, is_dir, above, why);
            return Ok(());
        }
        let by = self.rules.included(&place, is_dir).map(str::to_owned);
        let included = above.included || by.is_some();
        let name = place.file_name().unwrap_or_default().to_string_lossy();
        // Only a match of the private name itself or of something below it overrides the
        // convention, not a match of a parent directory.
        let private = private(&name, is_dir).filter(|_| by.is_none());
        let (out, why) = match private {
            Some(pattern) => (
                Some(Out::Private),
                Some(LeftOutReason::Private {
                    pattern: pattern.to_owned(),
                }),
            ),
            None if above.out == Some(Out::Private) && by.is_none() => (above.out, None),
            None if included => (None, None),
            None if above.out == Some(Out::Ignored) => (above.out, None),
            None => {
                let why = ignores
                    .as_ref()
                    .and_then(|chain| chain.ignores(&place, is_dir));
                (why.as_ref().map(|_| Out::Ignored), why)
            }
        };
        let standing = DirectoryStanding { out, included };
        if out.is_some() {
            let inside = place.strip_prefix(&self.root).unwrap_or(&place);
            let goes_on = is_dir
                && inside.as_os_str().len() <= path::MAX_PATH
                && self.rules.reaches_into(&self.root, inside);
            if let Some(why) = why {
                self.leave_out(&place, is_dir, above, why);
            }
            return if goes_on {
                self.list(&place, standing, None)
            } else {
                Ok(())
            };
        }
        self.take(&place, by)?;
        if is_dir {
            let chain = Chain::within(&self.root, &place, ignores.as_ref())?;
            self.list(&place, standing, chain.as_ref())?;
        }
        Ok(())
    }

    /// Lists an entry as left out, unless its directory is.
    fn leave_out(
        &mut self,
        place: &Path,
        is_dir: bool,
        above: DirectoryStanding,
        why: LeftOutReason,
    ) {
        if above.out.is_some() {
            return;
        }
        if self.found.left_out.len() >= MOST_LEFT_OUT {
            self.found.left_out_more += 1;
            return;
        }
        let size = if is_dir {
            None
        } else {
            fs::symlink_metadata(place).ok().map(|about| about.len())
        };
        let mut path = self.shown(place);
        if is_dir {
            path.push('/');
        }
        self.found.left_out.push(LeftOutFile { path, size, why });
    }

    /// Includes an entry, after its parent directories, which may have been left out themselves.
    fn take(&mut self, place: &Path, by: Option<String>) -> Result<(), PackError> {
        let above: Vec<PathBuf> = place
            .ancestors()
            .skip(1)
            .take_while(|dir| **dir != *self.root)
            .map(Into::into)
            .collect();
        for dir in above
            .into_iter()
            .rev()
            .filter(|dir| !self.directories.contains(dir))
            .collect::<Vec<_>>()
        {
            self.take_one(&dir, None)?;
        }
        self.take_one(place, by)
    }

    fn take_one(&mut self, place: &Path, included: Option<String>) -> Result<(), PackError> {
        let item = item(&self.root, place, included)?;
        if self.found.items.len() as u64 >= self.limits.entries {
            return Err(PackError::TooMany {
                path: printable(&item.path),
                limit: self.limits.entries,
            });
        }
        match &item.what {
            ItemKind::File { seen, .. } => self.bytes = self.bytes.saturating_add(seen.size),
            ItemKind::Directory => drop(self.directories.insert(place.to_owned())),
            ItemKind::Link(_) => {}
        }
        if self.bytes > self.limits.bytes {
            return Err(PackError::TooLarge {
                path: printable(&item.path),
                limit: self.limits.bytes,
            });
        }
        self.found.items.push(item);
        Ok(())
    }

    fn shown(&self, place: &Path) -> String {
        shown(place.strip_prefix(&self.root).unwrap_or(place))
    }
}

fn item(root: &Path, place: &Path, included: Option<String>) -> Result<PackItem, PackError> {
    let inside = place.strip_prefix(root).unwrap_or(place);
    let path = path::check(inside.as_os_str().as_encoded_bytes())
        .map_err(|why| PackError::Path {
            path: shown(inside),
            why,
        })?
        .to_owned();
    let unread = |source| PackError::Read {
        path: path.clone(),
        source,
    };
    let metadata = fs::symlink_metadata(place).map_err(unread)?;
    let kind = metadata.file_type();
    let special = |what| {
        Err(PackError::Special {
            path: path.clone(),
            what,
        })
    };
    let what = if kind.is_dir() {
        ItemKind::Directory
    } else if kind.is_symlink() {
        let target = fs::read_link(place).map_err(unread)?;
        let target =
            path::check_link(&path, target.as_os_str().as_encoded_bytes()).map_err(|why| {
                PackError::Link {
                    path: path.clone(),
                    why,
                }
            })?;
        ItemKind::Link(target.to_owned())
    } else if kind.is_file() {
        ItemKind::File {
            seen: FileStamp::of(&metadata),
            executable: metadata.mode() & 0o100 != 0,
        }
    } else if kind.is_socket() {
        return special("a socket");
    } else if kind.is_fifo() {
        return special("a pipe");
    } else {
        return special("a device");
    };
    Ok(PackItem {
        path,
        place: place.to_owned(),
        what,
        included,
    })
}
