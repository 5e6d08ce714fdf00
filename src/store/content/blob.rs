//! A complete content, read and encoded group by group. Data that no longer verifies is never
//! handed out.

use std::{fs::File, io, ops::Range, os::unix::fs::FileExt};

use bao_tree::{
    BaoTree, BlockSize, ChunkNum, ChunkRanges,
    io::{
        BaoContentItem, EncodeError,
        outboard::{PreOrderMemOutboard, PreOrderOutboard},
        sync::{DecodeResponseIter, Outboard, ReadAt, encode_ranges_validated},
    },
};
use bytes::Bytes;

use crate::domain::{content::GROUP, hash::ContentRoot, manifest::Content};

/// BLAKE3 chunks in a group, as a power of two.
pub(crate) const BLOCK: BlockSize = BlockSize::from_chunk_log(4);
/// BLAKE3 chunks in a group.
const CHUNKS: u64 = 1 << 4;

/// Returns the hash tree of a content of `size` bytes.
pub(crate) fn tree(size: u64) -> BaoTree {
    BaoTree::new(size, BLOCK)
}

/// Converts a range of groups to the tree's chunks.
pub(crate) fn chunks(range: &Range<u64>) -> ChunkRanges {
    ChunkRanges::from(ChunkNum(range.start * CHUNKS)..ChunkNum(range.end * CHUNKS))
}

pub(crate) fn hash(root: &ContentRoot) -> blake3::Hash {
    root.0.into()
}

/// The reason why bytes could not be handed out.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unreadable {
    #[error("they do not verify any more")]
    Damaged,
    #[error("{0}")]
    Io(#[from] io::Error),
}

impl From<EncodeError> for Unreadable {
    fn from(error: EncodeError) -> Self {
        match error {
            EncodeError::Io(error) if error.kind() != io::ErrorKind::UnexpectedEof => {
                Self::Io(error)
            }
            // The data was truncated or changed.
            _ => Self::Damaged,
        }
    }
}

/// Bytes in memory or in a file.
pub(crate) enum Data {
    Memory(Bytes),
    File(File),
}

impl ReadAt for Data {
    fn read_at(&self, at: u64, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Memory(bytes) => bytes.as_ref().read_at(at, into),
            Self::File(file) => FileExt::read_at(file, into, at),
        }
    }
}

/// A complete content.
pub struct Blob {
    pub content: Content,
    data: Data,
    hashes: PreOrderOutboard<Data>,
}

impl Blob {
    /// Creates a blob from the bytes of a small content. Computing its hashes also verifies it.
    pub(super) fn small(content: Content, bytes: Bytes) -> Result<Self, Unreadable> {
        let PreOrderMemOutboard { root, tree, data } = PreOrderMemOutboard::create(&bytes, BLOCK);
        if root != hash(&content.root) || bytes.len() as u64 != content.size {
            return Err(Unreadable::Damaged);
        }
        let hashes = PreOrderOutboard {
            root,
            tree,
            data: Data::Memory(data.into()),
        };
        Ok(Self {
            content,
            data: Data::Memory(bytes),
            hashes,
        })
    }

    pub(super) fn in_files(content: Content, data: File, hashes: File) -> Self {
        let hashes = PreOrderOutboard {
            root: hash(&content.root),
            tree: tree(content.size),
            data: Data::File(hashes),
        };
        Self {
            content,
            data: Data::File(data),
            hashes,
        }
    }

    /// Returns the groups with the hashes that verify them, as sent over the network.
    pub(crate) fn encode(&self, range: &Range<u64>) -> Result<Vec<u8>, Unreadable> {
        encode(&self.data, &self.hashes, range)
    }

    /// Returns the verified bytes of these groups.
    pub(crate) fn read(&self, range: &Range<u64>) -> Result<Vec<u8>, Unreadable> {
        decode(&self.content, range, &self.encode(range)?)
    }
}

/// Verifies encoded groups and returns their bytes.
pub(super) fn decode(
    content: &Content,
    range: &Range<u64>,
    encoded: &[u8],
) -> Result<Vec<u8>, Unreadable> {
    let mut bytes = Vec::with_capacity(encoded.len());
    let chunks = chunks(range);
    for item in DecodeResponseIter::new(hash(&content.root), tree(content.size), encoded, &chunks) {
        match item {
            Ok(BaoContentItem::Leaf(leaf)) => bytes.extend_from_slice(&leaf.data),
            Ok(BaoContentItem::Parent(_)) => {}
            Err(_) => return Err(Unreadable::Damaged),
        }
    }
    Ok(bytes)
}

/// Encodes groups, all of which must be there.
pub(super) fn encode(
    data: &impl ReadAt,
    hashes: &impl Outboard,
    range: &Range<u64>,
) -> Result<Vec<u8>, Unreadable> {
    let count = usize::try_from(range.end.saturating_sub(range.start)).unwrap_or(0);
    // Each group has a parent hash, and there are those higher up the tree.
    let mut encoded = Vec::with_capacity(count * (GROUP as usize + 64) + 64 * 48);
    encode_ranges_validated(data, hashes, &chunks(range), &mut encoded)?;
    Ok(encoded)
}
