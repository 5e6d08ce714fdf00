//! The catalogue's heads as a set that can be compared.

use std::{
    cell::Cell,
    sync::Arc,
    time::{Duration, Instant},
};

use negentropy::{Bound, Error, Id, Item, NegentropyStorageBase, NegentropyStorageVector};
use parking_lot::Mutex;

use crate::{
    RegistryError,
    domain::{hash::Hash, time::Timestamp},
    store::Store,
};

/// An unused set is freed after this long, because it takes 40 bytes per package.
const KEEP: Duration = Duration::from_secs(60);

/// Hashes and signing times of heads, in order. Cheap to clone.
#[derive(Clone, Default)]
pub struct Heads(Arc<NegentropyStorageVector>);

impl NegentropyStorageBase for Heads {
    fn size(&self) -> Result<usize, Error> {
        self.0.size()
    }

    fn get_item(&self, at: usize) -> Result<Option<Item>, Error> {
        self.0.get_item(at)
    }

    fn iterate(
        &self,
        begin: usize,
        end: usize,
        each: &mut dyn FnMut(Item, usize) -> Result<bool, Error>,
    ) -> Result<(), Error> {
        self.0.iterate(begin, end, each)
    }

    fn find_lower_bound(&self, first: usize, last: usize, value: &Bound) -> usize {
        self.0.find_lower_bound(first, last, value)
    }
}

impl Heads {
    /// Creates a set of heads, each with its signing time.
    ///
    /// # Errors
    /// Only internal ones of the set's implementation.
    pub fn of(heads: impl IntoIterator<Item = (Hash, Timestamp)>) -> Result<Self, Error> {
        let mut set = NegentropyStorageVector::new();
        for (hash, signed_at) in heads {
            // The largest number is reserved for the end of time.
            set.insert(signed_at.0.min(u64::MAX - 1), Id::from_byte_array(hash.0))?;
        }
        set.seal()?;
        Ok(Self(Arc::new(set)))
    }

    pub(super) fn len(&self) -> u64 {
        self.0.size().map_or(0, |size| size as u64)
    }

    /// Returns the set for a comparison that visited `worked` items before and may visit `most` in
    /// all.
    pub(super) fn counted(&self, worked: u64, most: u64) -> BoundedSet<'_> {
        BoundedSet {
            set: self,
            worked: Cell::new(worked),
            most,
        }
    }
}

/// A set that counts the items that a comparison visits, and fails beyond a limit.
pub(super) struct BoundedSet<'a> {
    set: &'a Heads,
    worked: Cell<u64>,
    most: u64,
}

impl BoundedSet<'_> {
    pub fn worked(&self) -> u64 {
        self.worked.get()
    }

    fn work(&self) -> Result<(), Error> {
        self.worked.set(self.worked.get().saturating_add(1));
        // The kind of error does not matter: callers check `is_spent`.
        if self.is_spent() {
            Err(Error::BadRange)
        } else {
            Ok(())
        }
    }

    pub fn is_spent(&self) -> bool {
        self.worked.get() > self.most
    }
}

impl NegentropyStorageBase for BoundedSet<'_> {
    fn size(&self) -> Result<usize, Error> {
        self.set.size()
    }

    fn get_item(&self, at: usize) -> Result<Option<Item>, Error> {
        self.work()?;
        self.set.get_item(at)
    }

    fn iterate(
        &self,
        begin: usize,
        end: usize,
        each: &mut dyn FnMut(Item, usize) -> Result<bool, Error>,
    ) -> Result<(), Error> {
        self.set.iterate(begin, end, &mut |item, at| {
            self.work()?;
            each(item, at)
        })
    }

    fn find_lower_bound(&self, first: usize, last: usize, value: &Bound) -> usize {
        self.set.find_lower_bound(first, last, value)
    }
}

struct Made {
    version: u64,
    at: Instant,
    set: Heads,
}

/// Builds the set when it is needed and the catalogue has changed. Cheap to clone.
#[derive(Clone)]
pub(crate) struct HeadSet {
    store: Store,
    made: Arc<Mutex<Option<Made>>>,
}

impl HeadSet {
    pub fn new(store: Store) -> Self {
        Self {
            store,
            made: Arc::default(),
        }
    }

    /// Returns the current set. Blocks.
    pub fn get(&self) -> crate::Result<Heads> {
        // Read before the heads, so that heads that arrive meanwhile make the set outdated.
        let version = self.store.heads_version();
        let mut held = self.made.lock();
        if let Some(made) = held.as_mut().filter(|made| made.version == version) {
            made.at = Instant::now();
            return Ok(made.set.clone());
        }
        let set =
            Heads::of(self.store.head_hashes()?).map_err(|error| RegistryError::Internal {
                what: "making a set of the catalogue",
                why: error.to_string(),
            })?;
        *held = Some(Made {
            version,
            at: Instant::now(),
            set: set.clone(),
        });
        Ok(set)
    }

    /// Frees the set if it was not used lately.
    pub fn sweep(&self) {
        let mut held = self.made.lock();
        if held.as_ref().is_some_and(|made| made.at.elapsed() > KEEP) {
            *held = None;
        }
    }
}
