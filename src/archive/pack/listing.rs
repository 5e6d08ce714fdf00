//! The contents of an archive before it is written, for its publisher.

use std::collections::BTreeMap;

use serde::Serialize;
use unicode_normalization::UnicodeNormalization;

use super::{ItemKind, PackItem, WalkResult, rules::LeftOutReason};
use crate::domain::text::printable;

/// The most pairs of similar names in warnings; more are counted.
const MOST_TWINS: usize = 20;

/// Everything known about an archive before it is written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct PackListing {
    /// Files, directories and links that are included, as they will be in the archive.
    pub entries: Vec<ListedEntry>,
    /// Files and directories that are left out. The contents of such a directory are not listed.
    pub left_out: Vec<LeftOutFile>,
    /// The number of further ones that are left out.
    pub left_out_more: u64,
    /// Files with private keys. Nothing is packed while there is one.
    pub refused: Vec<RefusedFile>,
    /// Warnings for the publisher.
    pub warnings: Vec<String>,
}

/// An included file, directory or link.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ListedEntry {
    pub path: String,
    pub kind: EntryKind,
    /// Size of a file in bytes; 0 for others.
    pub size: u64,
    /// The line of `include` that matches it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub included: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum EntryKind {
    File,
    Directory,
    Link,
}

/// A file or directory that is left out; a directory's path ends with a slash.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LeftOutFile {
    pub path: String,
    /// Size in bytes, except for a directory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    #[serde(flatten)]
    pub why: LeftOutReason,
}

/// A file with a private key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RefusedFile {
    pub path: String,
    #[serde(flatten)]
    pub key: FoundKey,
}

/// The owner of a private key, as far as it can be told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "key")]
pub enum FoundKey {
    /// This program's key, which is never included.
    Own,
    /// Another private key, recognised by its header. It is included only if `include` names the
    /// file.
    Header { label: String },
}

impl std::fmt::Display for RefusedFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let path = &self.path;
        match &self.key {
            FoundKey::Own => write!(
                f,
                "{path} is a key of Swarmdex, with which anybody can act in your name: it is \
                never published; move it away, or leave it out with exclude"
            ),
            FoundKey::Header { label } => write!(
                f,
                "{path} contains a private key ({label}), and publishing cannot be undone: move \
                it away, leave it out with exclude, or add this very path to include if it may be \
                public"
            ),
        }
    }
}

impl PackListing {
    pub(super) fn of(found: &WalkResult, refused: &[RefusedFile]) -> Self {
        let mut warnings = twins(&found.items);
        for line in &found.unused {
            warnings.push(format!(
                "include names {line}, but there is no such file, or exclude leaves it out"
            ));
        }
        for item in &found.items {
            let name = item.path.rsplit('/').next().unwrap_or_default();
            if let (Some(line), Some(pattern)) = (
                &item.included,
                super::rules::private(name, matches!(item.what, ItemKind::Directory)),
            ) {
                let path = printable(&item.path);
                warnings.push(format!(
                    "{path} is often private ({pattern}), but is included because of include = \
                    {line}"
                ));
            }
        }
        Self {
            entries: found.items.iter().map(ListedEntry::of).collect(),
            left_out: found.left_out.clone(),
            left_out_more: found.left_out_more,
            refused: refused.to_vec(),
            warnings,
        }
    }

    /// Returns the listing of a single file that is published as it is.
    pub fn of_file(name: &str, size: u64) -> Self {
        let entry = ListedEntry {
            path: name.to_owned(),
            kind: EntryKind::File,
            size,
            included: None,
        };
        Self {
            entries: vec![entry],
            ..Self::default()
        }
    }

    /// Returns the number of files and their total size in bytes.
    pub fn files(&self) -> (u64, u64) {
        let files = self
            .entries
            .iter()
            .filter(|entry| entry.kind == EntryKind::File);
        files.fold((0, 0), |(files, bytes), entry| {
            (files + 1, bytes + entry.size)
        })
    }

    /// Returns the included files in at most `most` rows. If there are more files, each top
    /// directory becomes one row, and any remaining excess is summed up in the last row.
    pub fn folded(&self, most: usize) -> Vec<ListingRow> {
        let files = || {
            self.entries
                .iter()
                .filter(|entry| entry.kind != EntryKind::Directory)
        };
        let row = |entry: &ListedEntry| ListingRow {
            path: entry.path.clone(),
            files: 1,
            size: entry.size,
        };
        if files().count() <= most {
            return files().map(row).collect();
        }
        let mut rows: Vec<ListingRow> = Vec::new();
        for entry in files() {
            let top = entry.path.split_once('/').map(|(top, _)| format!("{top}/"));
            match (top, rows.last_mut()) {
                (Some(top), Some(last)) if last.path == top => {
                    (last.files, last.size) = (last.files + 1, last.size + entry.size);
                }
                (Some(path), _) => rows.push(ListingRow {
                    path,
                    files: 1,
                    size: entry.size,
                }),
                (None, _) => rows.push(row(entry)),
            }
        }
        if rows.len() > most {
            let rest = rows.split_off(most.saturating_sub(1));
            let (files, size) = rest.iter().fold((0, 0), |(files, size), row| {
                (files + row.files, size + row.size)
            });
            rows.push(ListingRow {
                path: "…".to_owned(),
                files,
                size,
            });
        }
        rows
    }
}

/// A row of a listing for display: a file, or several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListingRow {
    /// A file's path, or a directory's with a slash at its end; the last row may stand for the
    /// rest.
    pub path: String,
    pub files: u64,
    /// Size in bytes.
    pub size: u64,
}

impl ListedEntry {
    fn of(item: &PackItem) -> Self {
        let (kind, size) = match &item.what {
            ItemKind::Directory => (EntryKind::Directory, 0),
            ItemKind::Link(_) => (EntryKind::Link, 0),
            ItemKind::File { seen, .. } => (EntryKind::File, seen.size),
        };
        Self {
            path: item.path.clone(),
            kind,
            size,
            included: item.included.clone(),
        }
    }
}

/// Warns of names in one directory that are the same on systems that ignore case or normal form, as
/// macOS and Windows do.
fn twins(items: &[PackItem]) -> Vec<String> {
    let nfc = |name: &str| name.nfc().collect::<String>();
    let mut seen: BTreeMap<(&str, String), &str> = BTreeMap::new();
    let mut warnings = Vec::new();
    let mut more = 0_u64;
    for item in items {
        let (dir, name) = item.path.rsplit_once('/').unwrap_or(("", &item.path));
        let normal = nfc(name);
        let folded = nfc(&normal.to_lowercase());
        let Some(first) = seen.insert((dir, folded), &item.path) else {
            continue;
        };
        if warnings.len() >= MOST_TWINS {
            more += 1;
            continue;
        }
        let first_name = first.rsplit('/').next().unwrap_or_default();
        let how = if nfc(first_name) == normal {
            "their Unicode normal form"
        } else {
            "case"
        };
        let (first, second) = (printable(first), printable(&item.path));
        warnings.push(format!(
            "{first} and {second} differ only in {how}, and are one file on some systems"
        ));
    }
    if more > 0 {
        warnings.push(format!(
            "{more} more names differ from others only in case or normal form"
        ));
    }
    warnings
}
