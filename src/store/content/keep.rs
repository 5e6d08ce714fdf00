//! Writing down that content is held, several at once where several came.

use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;

use super::{ContentStore, Origin, rows};
use crate::{
    Result, clock,
    domain::{hash::ContentRoot, manifest::Content},
};

/// Contents that may come before the bytes that are held are added up anew.
const ANEW: u64 = 64;

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

/// Bytes that are held, at least: to add them all up costs a look at each content. What is taken
/// away is not followed, nor what others write, and so they are added up anew now and then.
#[derive(Default)]
pub(super) struct Counted {
    bytes: AtomicU64,
    /// Times that more came since they were added up.
    since: AtomicU64,
}

impl Counted {
    /// Notes that so many bytes more are held; returns whether that may be too much, so that they
    /// are to be added up.
    fn may_be_full(&self, more: u64, quota: u64) -> bool {
        let bytes = self
            .bytes
            .fetch_add(more, Ordering::Relaxed)
            .saturating_add(more);
        let times = self.since.fetch_add(1, Ordering::Relaxed);
        times.is_multiple_of(ANEW) || bytes > quota
    }

    /// Returns whether so many bytes more fit for certain: half of the quota would still be free, by
    /// what was added up last.
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
    /// Keeps small content that has been verified.
    pub(crate) async fn put_small(
        &self,
        content: Content,
        bytes: Bytes,
        what: &str,
        origin: Origin,
    ) -> Result<()> {
        self.put_all_small(vec![Small {
            content,
            bytes,
            what: what.to_owned(),
            origin,
        }])
        .await
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

    /// Writes down that contents are held, and makes room for them. They are on the disk before
    /// whatever names them is; after a power cut nobody may have named them.
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
