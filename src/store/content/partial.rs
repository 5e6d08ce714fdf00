//! A partial content: a file with holes, and the hashes of the groups that are there.
//!
//! The list of groups is not stored: data and hashes are, and every group is verified when a
//! partial is opened again. So neither a kill nor a power cut can make an incomplete group count.

use std::{
    fs::{self, File, OpenOptions},
    io,
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
};

use bao_tree::{
    ChunkRanges, TreeNode,
    io::{BaoContentItem, Parent, outboard::PreOrderOutboard, sync::valid_ranges},
};
use parking_lot::Mutex;

use super::{
    blob::{Data, Unreadable, decode, encode, hash, tree},
    medium::Medium,
};
use crate::domain::{
    content::{GROUP, Groups, all, bytes_of, groups, ranges},
    manifest::Content,
};

/// BLAKE3 chunks in a group.
const CHUNKS: u64 = GROUP / 1_024;

/// A content of which some groups are there. Shared by the tasks that write and serve it.
pub struct Partial {
    pub content: Content,
    data: Data,
    hashes: PreOrderOutboard<Data>,
    paths: [PathBuf; 2],
    have: Mutex<Groups>,
    medium: Arc<dyn Medium>,
}

impl Partial {
    /// Opens what an earlier run left, as far as it verifies, or starts a new one. Reads all of it.
    pub(super) fn open(dir: &Path, content: Content, medium: Arc<dyn Medium>) -> io::Result<Self> {
        let paths = super::files::paths(dir, &content.root);
        let open = |path: &Path| {
            OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .open(path)
        };
        let [data, hashes] = [open(&paths[0])?, open(&paths[1])?];
        // Holes take no disk space.
        data.set_len(content.size)?;
        let hashes = PreOrderOutboard {
            root: hash(&content.root),
            tree: tree(content.size),
            data: Data::File(hashes),
        };
        let partial = Self {
            content,
            data: Data::File(data),
            hashes,
            paths,
            have: Mutex::new(Groups::empty()),
            medium,
        };
        *partial.have.lock() = partial.verified()?;
        Ok(partial)
    }

    fn verified(&self) -> io::Result<Groups> {
        let mut have = Groups::empty();
        for range in valid_ranges(&self.hashes, &self.data, &ChunkRanges::all()) {
            let range = range?;
            // The last group may have fewer chunks.
            have |= Groups::from(range.start.0 / CHUNKS..range.end.0.div_ceil(CHUNKS));
        }
        Ok(have & all(self.content.size))
    }

    /// Returns the groups that are there.
    pub fn have(&self) -> Groups {
        self.have.lock().clone()
    }

    pub fn bytes(&self) -> u64 {
        bytes_of(&self.have.lock(), self.content.size)
    }

    pub fn is_complete(&self) -> bool {
        let all = all(self.content.size);
        &*self.have.lock() & &all == all
    }

    /// Writes verified groups and their parent hashes.
    pub(crate) fn write(&self, items: &[BaoContentItem]) -> io::Result<()> {
        let (Data::File(data), Data::File(hashes)) = (&self.data, &self.hashes.data) else {
            return Ok(());
        };
        // Write the hashes first: a group without them does not count.
        let parents = items.iter().filter_map(|item| match item {
            BaoContentItem::Parent(parent) => self.place(parent),
            BaoContentItem::Leaf(_) => None,
        });
        for (at, bytes) in joined(parents.collect()) {
            self.medium.write_at(hashes, at, &bytes)?;
        }
        let mut written = Groups::empty();
        for item in items {
            let BaoContentItem::Leaf(leaf) = item else {
                continue;
            };
            self.medium.write_at(data, leaf.offset, &leaf.data)?;
            let group = leaf.offset / GROUP;
            written |= Groups::from(group..group + 1);
        }
        *self.have.lock() |= written;
        Ok(())
    }

    /// Returns the position of a pair of hashes and its bytes; `None` if it is not stored.
    fn place(&self, parent: &Parent) -> Option<(u64, [u8; 64])> {
        let node: TreeNode = parent.node;
        let at = self.hashes.tree.pre_order_offset(node)? * 64;
        let mut bytes = [0; 64];
        let (left, right) = bytes.split_at_mut(32);
        left.copy_from_slice(parent.pair.0.as_bytes());
        right.copy_from_slice(parent.pair.1.as_bytes());
        Some((at, bytes))
    }

    /// Returns the groups with the hashes that verify them. All of them must be there.
    pub(crate) fn encode(&self, range: &Range<u64>) -> Result<Vec<u8>, Unreadable> {
        encode(&self.data, &self.hashes, range)
    }

    /// Returns the verified bytes from a group on, up to `most` groups without a gap; `None` if
    /// that group is not there.
    pub(super) fn read_on(&self, at: u64, most: u64) -> Result<Option<Vec<u8>>, Unreadable> {
        let there = self.have() & Groups::from(at..at.saturating_add(most));
        let first = ranges(&there, groups(self.content.size))
            .into_iter()
            .next()
            .filter(|range| range.start == at);
        let Some(range) = first else { return Ok(None) };
        decode(&self.content, &range, &self.encode(&range)?).map(Some)
    }

    /// Syncs what is written so far, so that less is left to sync at the end.
    pub(crate) fn sync(&self) -> io::Result<()> {
        match &self.data {
            Data::File(file) => self.medium.sync(file),
            Data::Memory(_) => Ok(()),
        }
    }

    /// Turns it into a complete content: synced, then renamed.
    pub(super) fn finish(&self, to: &Path) -> io::Result<()> {
        if let (Data::File(data), Data::File(hashes)) = (&self.data, &self.hashes.data) {
            self.medium.sync(hashes)?;
            self.medium.sync(data)?;
        }
        let finals = super::files::paths(to, &self.content.root);
        // Rename the hashes first: data without hashes would count as damaged.
        fs::rename(&self.paths[1], &finals[1])?;
        fs::rename(&self.paths[0], &finals[0])?;
        File::open(to)?.sync_all()
    }

    pub(super) fn remove(&self) -> io::Result<()> {
        super::files::remove_files(&self.paths)
    }
}

/// Joins pieces that are contiguous.
fn joined(mut pieces: Vec<(u64, [u8; 64])>) -> Vec<(u64, Vec<u8>)> {
    pieces.sort_by_key(|(at, _)| *at);
    let mut out: Vec<(u64, Vec<u8>)> = Vec::new();
    for (at, bytes) in pieces {
        match out.last_mut() {
            Some((start, held)) if *start + held.len() as u64 == at => {
                held.extend_from_slice(&bytes)
            }
            _ => out.push((at, bytes.to_vec())),
        }
    }
    out
}
