//! Records contents as held, several at once when several arrive.

use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;

use super::{ContentStore, FetchOrigin, rows};
use crate::{
    Result, clock,
    domain::{hash::ContentRoot, manifest::Content},
};

/// After this many contents, the total size is computed again.
const ANEW: u64 = 64;

/// Small verified content with its bytes.
pub(crate) struct Small {
    pub content: Content,
    /// The name of its release, for display.
    pub what: String,
    pub origin: FetchOrigin,
    pub bytes: Bytes,
}

/// A content to record as held.
pub(super) struct Kept {
    pub content: Content,
    pub own: bool,
    pub what: Option<String>,
    pub origin: Option<FetchOrigin>,
    /// The bytes, if it is small.
    pub small: Option<Bytes>,
}

/// A rough count of the bytes that are held, because the exact sum reads every row. Removals and
/// other writers are not tracked, so the sum is computed again now and then.
#[derive(Default)]
pub(super) struct Counted {
    bytes: AtomicU64,
    /// Number of additions since the sum was computed.
    since: AtomicU64,
}

impl Counted {
    /// Adds to the count. Returns true if the quota may be exceeded or a new sum is due.
    fn may_be_full(&self, more: u64, quota: u64) -> bool {
        let bytes = self
            .bytes
            .fetch_add(more, Ordering::Relaxed)
            .saturating_add(more);
        let times = self.since.fetch_add(1, Ordering::Relaxed);
        times.is_multiple_of(ANEW) || bytes > quota
    }

    /// Returns true if this many more bytes certainly fit: half of the quota would still be free,
    /// by the last sum.
    pub fn surely_fit(&self, more: u64, quota: u64) -> bool {
        let bytes = self.bytes.load(Ordering::Relaxed);
        self.since.load(Ordering::Relaxed) > 0 && bytes.saturating_add(more) <= quota / 2
    }

    fn set(&self, bytes: u64) {
        self.bytes.store(bytes, Ordering::Relaxed);
        self.since.store(1, Ordering::Relaxed);
    }
}

impl ContentStore {
    /// Stores a small verified content.
    pub(crate) async fn put_small(
        &self,
        content: Content,
        bytes: Bytes,
        what: &str,
        origin: FetchOrigin,
    ) -> Result<()> {
        self.put_all_small(vec![Small {
            content,
            bytes,
            what: what.to_owned(),
            origin,
        }])
        .await
    }

    /// Stores small verified contents in one transaction.
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

    /// Records contents as held, and evicts others if necessary. The write is not synced: a power
    /// cut may take it, but never without the later writes that refer to it.
    pub(super) async fn keep(&self, all: Vec<Kept>) -> Result<()> {
        let (now, quota, inner) = (clock::now(), self.inner.quota, self.inner.clone());
        let evicted = self
            .inner
            .store
            .write_unsynced(move |db| {
                for Kept {
                    content,
                    own,
                    what,
                    origin,
                    small,
                } in &all
                {
                    rows::put(
                        db,
                        content,
                        *own,
                        what.as_deref(),
                        origin.as_ref(),
                        small.as_deref(),
                        now,
                    )?;
                }
                if !inner
                    .counted
                    .may_be_full(all.iter().map(|one| one.content.size).sum(), quota)
                {
                    return Ok(Vec::new());
                }
                inner.counted.set(rows::usage(db)?.0);
                let spared: Vec<ContentRoot> = all.iter().map(|one| one.content.root).collect();
                rows::evict(db, quota, &spared)
            })
            .await?;
        self.remove_evicted(evicted);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_is_added_up_when_it_may_be_too_much_and_now_and_then() {
        let counted = Counted::default();
        assert!(
            counted.may_be_full(1, 100),
            "the first time nothing is known"
        );
        counted.set(50);
        assert!(!counted.may_be_full(50, 100));
        assert!(counted.may_be_full(1, 100));
        counted.set(10);
        let times = (0..2 * ANEW)
            .filter(|_| counted.may_be_full(0, 100))
            .count();
        assert_eq!(times, 2);
    }
}
