//! The successive states of a package.

use std::collections::BTreeMap;

use libp2p::identity::Keypair;
use parking_lot::Mutex;

use super::{Progress, Publisher, PublisherError, tell};
use crate::{
    Result,
    domain::{
        hash::Hash,
        manifest::Manifest,
        name::{Handle, PackageId, WrittenName},
        receipt::PublishStep,
        record::{Announcement, Authorised, DEFAULT_LIFE, Head, HeadState, MAX_PREV, Refusal},
        release::{HeadEntries, ReleaseEntry},
        time::Timestamp,
        version::VersionText,
    },
    ecosystem::Ecosystem,
    store::HeadVerdict,
};

/// The known state of a package from which the next one is made.
pub struct Base {
    /// As the publisher writes it.
    pub name: WrittenName,
    /// The highest `seq` seen.
    pub seq: u64,
    /// The heads that the next one follows.
    pub prev: Vec<Hash>,
    pub entries: HeadEntries,
    /// The newest page.
    pub older: Option<Hash>,
    /// False if the oldest releases are not held.
    pub complete: bool,
    pub handle: Option<Handle>,
    pub tags: BTreeMap<String, VersionText>,
}

impl Base {
    /// Returns the next state.
    pub fn next(self, ecosystem: &Ecosystem) -> HeadState {
        self.next_with_list(ecosystem).0
    }

    /// Returns the next state, and everything that it and its pages list.
    fn next_with_list(mut self, ecosystem: &Ecosystem) -> (HeadState, Vec<ReleaseEntry>) {
        self.entries.keep_latest(ecosystem);
        let state = HeadState {
            ecosystem: ecosystem.clone(),
            name: self.name,
            handle: self.handle,
            seq: self.seq + 1,
            prev: self.prev,
            releases: self.entries.recent,
            older: self.older,
            tags: self.tags,
        };
        (state, self.entries.all)
    }

    /// Returns true if the next head should also follow this one, which lost a fork: it has the
    /// same number, and there is room to name it.
    pub fn is_to_join(&self, loser: &Head) -> bool {
        loser.seq == self.seq && self.prev.len() < MAX_PREV
    }

    /// Joins a head that lost a fork: adds its releases, and its tags unless they exist.
    pub fn join(
        &mut self,
        ecosystem: &Ecosystem,
        loser: &Authorised<Head>,
        (releases, complete): (Vec<ReleaseEntry>, bool),
    ) {
        self.prev.push(loser.hash());
        self.entries.join(ecosystem, &releases);
        for (tag, version) in &loser.tags {
            let here = self.tags.entry(tag.clone());
            here.or_insert_with(|| version.clone());
        }
        self.complete &= complete;
    }
}

/// Most releases of the last published package that are kept in memory.
const KEPT: usize = 8_192;

/// The releases that the last signed head and its pages list. A publisher that uploads one release
/// after the other extends this list, instead of reading all pages again for each.
#[derive(Default)]
pub struct LastList(Mutex<Option<(Hash, Vec<ReleaseEntry>)>>);

impl LastList {
    /// Removes and returns the list of the head with this hash.
    fn take(&self, head: &Hash) -> Option<Vec<ReleaseEntry>> {
        let mut last = self.0.lock();
        last.take_if(|(hash, _)| *hash == *head).map(|(_, all)| all)
    }

    fn keep(&self, head: Hash, all: Vec<ReleaseEntry>) {
        *self.0.lock() = (all.len() <= KEPT).then_some((head, all));
    }
}

/// An own head, signed and committed.
#[derive(Clone, Debug)]
pub struct Taken {
    pub seq: u64,
    pub handle: Option<Handle>,
    /// The time at which it entered the outbox.
    pub since: Timestamp,
}

impl Publisher {
    /// Asks the network for a newer head of a package, which makes forks rare.
    pub async fn refresh(&self, id: &PackageId) -> Result<()> {
        if *self.core.net.joined().borrow() > 0 {
            self.packages.refresh_head(id).await?;
        }
        Ok(())
    }

    /// Returns the base for the next head, with the older releases if they can be had.
    pub async fn whole_base(&self, id: &PackageId) -> Result<Base, PublisherError> {
        let base = self.base(id)?;
        if base.complete {
            return Ok(base);
        }
        if let Some(held) = self.core.store.head(id)? {
            self.packages.fetch_pages(id, &held.head).await?;
        }
        self.base(id)
    }

    /// Returns the base for the next head of a package from what is held.
    pub fn base(&self, id: &PackageId) -> Result<Base, PublisherError> {
        let mut base = Base {
            name: id.name.bare().parse()?,
            seq: 0,
            prev: Vec::new(),
            entries: HeadEntries::default(),
            older: None,
            complete: true,
            handle: None,
            tags: BTreeMap::new(),
        };
        if let Some(mark) = self.core.store.mark(id)? {
            (base.seq, base.prev) = (mark.seq, vec![mark.hash]);
        }
        if let Some(held) = self.core.store.head(id)? {
            (base.entries.all, base.complete) = match self.last.take(&held.head.hash()) {
                Some(all) => (all, true),
                None => self.core.store.listed(&held.head)?,
            };
            base.entries.recent.clone_from(&held.head.releases);
            base.older = held.head.older;
            base.handle.clone_from(&held.head.handle);
            base.name.clone_from(&held.head.name);
            base.tags.clone_from(&held.head.tags);
        }
        for (loser, _) in self.core.store.fork_losers(id)? {
            if base.is_to_join(&loser) {
                let listed = self.core.store.listed(&loser)?;
                base.join(id.name.ecosystem(), &loser, listed);
            }
        }
        Ok(base)
    }

    /// Signs the state that follows `base` and commits it. From here on it cannot be lost.
    pub async fn take_next(
        &self,
        key: &Keypair,
        id: &PackageId,
        base: Base,
        manifest: Option<Authorised<Manifest>>,
        about: &VersionText,
        progress: Progress<'_>,
    ) -> Result<Taken, PublisherError> {
        let now = self.core.now();
        let complete = base.complete;
        let (state, all) = base.next_with_list(id.name.ecosystem());
        let taken = Taken {
            seq: state.seq,
            handle: state.handle.clone(),
            since: now,
        };
        let refused = |refusal| PublisherError::Refused {
            what: id.name.to_string(),
            refusal,
        };
        let (head, pages) = state.sign(key, now, DEFAULT_LIFE).map_err(refused)?;
        tell(progress, PublishStep::Signed { seq: taken.seq });
        let ours = (head.clone(), manifest.clone());
        let verdict = self
            .core
            .store
            .take_own_head(head, pages, manifest, about.clone(), now)
            .await?;
        self.core.cache().forget(id);
        match verdict {
            HeadVerdict::Disputed(_) => return Err(refused(Refusal::Conflict)),
            HeadVerdict::Admitted(_)
            | HeadVerdict::Inconsistent
            | HeadVerdict::Ahead
            | HeadVerdict::TooManyHandles => {
                verdict
                    .refusal()
                    .map_or(Ok(()), |refusal| Err(refused(refusal)))?;
            }
        }
        if complete {
            self.last.keep(ours.0.hash(), all);
        }
        tell(progress, PublishStep::Stored);
        self.core.count();
        if let (head, Some(manifest)) = ours {
            self.core.tell(
                &Announcement::sign(key, now, head, manifest).map_err(refused)?,
                None,
                now,
            );
        }
        Ok(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_700_000_000_000);

    fn base(versions: &[&str]) -> Base {
        let mut base = Base {
            name: "web".parse().unwrap(),
            seq: 3,
            prev: vec![Hash::of(b"held")],
            entries: HeadEntries::default(),
            older: None,
            complete: true,
            handle: None,
            tags: BTreeMap::new(),
        };
        for version in versions {
            let version: VersionText = version.parse().unwrap();
            let hash = Hash::of(version.to_string().as_bytes());
            base.entries.add(&Ecosystem::Generic, &version, hash);
        }
        base
    }

    fn signed(seq: u64, versions: &[&str], tags: &[(&str, &str)]) -> Authorised<Head> {
        let mut before = base(versions);
        before.seq = seq - 1;
        before.tags = tags
            .iter()
            .map(|(tag, version)| ((*tag).to_owned(), version.parse().unwrap()))
            .collect();
        let key = Keypair::ed25519_from_bytes([1; 32]).unwrap();
        let state = before.next(&Ecosystem::Generic);
        state.sign(&key, NOW, DEFAULT_LIFE).unwrap().0
    }

    #[test]
    fn the_next_state_has_the_next_number_and_names_what_it_follows() {
        let next = base(&["1.0.0", "1.1.0"]).next(&Ecosystem::Generic);
        assert_eq!((next.seq, next.prev), (4, vec![Hash::of(b"held")]));
        assert_eq!(next.releases.len(), 2);
    }

    #[test]
    fn a_fork_is_joined_with_what_its_loser_lists() {
        let mut base = base(&["1.0.0", "1.1.0"]);
        base.tags
            .insert("latest".to_owned(), "1.1.0".parse().unwrap());
        let tags = [("latest", "2.0.0"), ("next", "2.0.0")];
        let loser = signed(3, &["1.0.0", "2.0.0"], &tags);
        assert!(base.is_to_join(&loser));
        let listed = (loser.releases.clone(), false);
        base.join(&Ecosystem::Generic, &loser, listed);
        let next_tag = |tag: &str| base.tags[tag].to_string();
        assert_eq!(
            (next_tag("latest"), next_tag("next")),
            ("1.1.0".into(), "2.0.0".into())
        );
        assert!(!base.complete, "not all of the loser's releases are known");
        assert_eq!(base.prev, [Hash::of(b"held"), loser.hash()]);
        let versions: Vec<String> = base
            .entries
            .all
            .iter()
            .map(|entry| entry.version.to_string())
            .collect();
        assert_eq!(versions.len(), 3, "{versions:?}");
    }

    #[test]
    fn only_the_list_of_the_head_that_is_held_is_taken_and_a_long_one_is_not_kept() {
        let (last, [one, other]) = (LastList::default(), [b"1", b"2"].map(|n| Hash::of(n)));
        let list = base(&["1.0.0"]).entries.all;
        last.keep(one, list.clone());
        assert_eq!(last.take(&other), None);
        assert_eq!(last.take(&one), Some(list.clone()));
        assert_eq!(
            last.take(&one),
            None,
            "it is with whoever makes the next state"
        );
        last.keep(one, list.clone());
        last.keep(other, vec![list[0].clone(); KEPT + 1]);
        assert_eq!((last.take(&one), last.take(&other)), (None, None));
    }

    #[test]
    fn only_losers_of_the_same_number_are_joined_and_so_many_as_can_be_named() {
        let mut base = base(&["1.0.0"]);
        assert!(!base.is_to_join(&signed(2, &["1.0.0"], &[])));
        assert!(!base.is_to_join(&signed(4, &["1.0.0"], &[])));
        base.prev = vec![Hash::of(b"one"); MAX_PREV];
        assert!(!base.is_to_join(&signed(3, &["1.0.0"], &[])));
    }
}
