//! Writing down that content is held, several at once where several came.

use bytes::Bytes;

use super::{ContentStore, Origin, rows};
use crate::{
    Result, clock,
    domain::{hash::ContentRoot, manifest::Content},
};

/// Small content that has been verified, with its bytes.
pub(crate) struct Small {
    pub content: Content,
    /// The release it is of, for eyes.
    pub what: String,
    pub origin: Origin,
    pub bytes: Bytes,
}

/// Content that is to be held from now on.
pub(super) struct Kept {
    pub content: Content,
    pub own: bool,
    pub what: Option<String>,
    pub origin: Option<Origin>,
    /// The bytes of what is small.
    pub small: Option<Bytes>,
}

impl ContentStore {
    /// Keeps small content that has been verified.
    pub(crate) async fn put_small(&self, content: Content, bytes: Bytes, what: &str, origin: Origin) -> Result<()> {
        self.put_all_small(vec![Small { content, bytes, what: what.to_owned(), origin }]).await
    }

    /// Keeps small contents that have been verified, together.
    pub(crate) async fn put_all_small(&self, all: Vec<Small>) -> Result<()> {
        let kept = |one: Small| Kept {
            content: one.content,
            own: false,
            what: Some(one.what),
            origin: Some(one.origin),
            small: Some(one.bytes),
        };
        self.keep(all.into_iter().map(kept).collect()).await
    }

    /// Writes down that contents are held, and makes room for them.
    pub(super) async fn keep(&self, all: Vec<Kept>) -> Result<()> {
        let (now, quota) = (clock::now(), self.inner.quota);
        let evicted = self
            .inner
            .store
            .write(move |db| {
                for Kept { content, own, what, origin, small } in &all {
                    rows::put(db, content, *own, what.as_deref(), origin.as_ref(), small.as_deref(), now)?;
                }
                let spared: Vec<ContentRoot> = all.iter().map(|one| one.content.root).collect();
                rows::evict(db, quota, &spared)
            })
            .await?;
        self.remove_evicted(evicted);
        Ok(())
    }
}
