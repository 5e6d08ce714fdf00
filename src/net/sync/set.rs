//! The heads of the catalogue as a set that can be compared.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use negentropy::{Bound, Error, Id, Item, NegentropyStorageBase, NegentropyStorageVector};

use crate::{
    RegistryError,
    domain::{hash::Hash, time::Timestamp},
    store::Store,
};

/// A set that was not used for so long is not kept: it is 40 bytes a package.
const KEEP: Duration = Duration::from_secs(60);

/// Hashes and times of heads, in order. Cheap to clone.
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
    /// A set of these, each with when it was signed.
    ///
    /// # Errors
    /// None that a caller could do anything about.
    pub fn of(heads: impl IntoIterator<Item = (Hash, Timestamp)>) -> Result<Self, Error> {
        let mut set = NegentropyStorageVector::new();
        for (hash, signed_at) in heads {
            // The greatest of numbers stands for the end of time.
            set.insert(signed_at.0.min(u64::MAX - 1), Id::from_byte_array(hash.0))?;
        }
        set.seal()?;
        Ok(Self(Arc::new(set)))
    }
}

struct Made {
    version: u64,
    at: Instant,
    set: Heads,
}

/// Makes the set when it is needed and the catalogue has changed since. Cheap to clone.
#[derive(Clone)]
pub(crate) struct HeadSet {
    store: Store,
    made: Arc<Mutex<Option<Made>>>,
}

impl HeadSet {
    pub fn new(store: Store) -> Self {
        Self { store, made: Arc::default() }
    }

    /// The set as it is now. Blocks.
    pub fn get(&self) -> crate::Result<Heads> {
        // Before the heads are read: what comes meanwhile makes the set an old one.
        let version = self.store.heads_version();
        let mut held = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(made) = held.as_mut().filter(|made| made.version == version) {
            made.at = Instant::now();
            return Ok(made.set.clone());
        }
        let set = Heads::of(self.store.head_hashes()?).map_err(|error| RegistryError::Internal {
            what: "making a set of the catalogue",
            why: error.to_string(),
        })?;
        *held = Some(Made { version, at: Instant::now(), set: set.clone() });
        Ok(set)
    }

    /// Frees what was not used lately.
    pub fn sweep(&self) {
        let mut held = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if held.as_ref().is_some_and(|made| made.at.elapsed() > KEEP) {
            *held = None;
        }
    }
}
